"""Read a folder's pictures with Pillow: those of any mode and size become images of one size, grey or in colour."""

import errno
import hashlib
import json
import os
import shutil
import stat
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageColor, ImageFile, ImageOps
from PIL import __version__ as pillow_version
from torch import Tensor

from .cache import Arrays, kept
from .runtime import derive_seed, progress_bar

FITS = ("crop", "pad", "stretch")
MODES = {1: "L", 3: "RGB"}
NEEDS_A_PROGRAM = {"EPS", "WMF"}  # Pillow would start another program to draw these
READING = 2  # raise this number if the same files are read in another way, so that what old caches hold is not used
CGROUP = Path("/sys/fs/cgroup")  # what Linux says about a container's memory
RECLAIMED = ("inactive_file", "slab_reclaimable")  # caches counted there, which Linux gives up if memory is short
AT_ONCE = 256  # files read between two updates of the progress bar; Ctrl-C waits for at most these


class File(NamedTuple):
    """A file below a folder: its path from there, as the system spells it, its bytes and its last change."""

    path: str
    size: int
    changed: int

    @property
    def kind(self) -> str:
        """The sub-folder that it lies in, directly or deeper; empty for the folder itself."""
        return self.path.split(os.sep, 1)[0] if os.sep in self.path else ""


class Format(NamedTuple):
    """What pictures become: (channels, height, width), how they are fitted into it, and the colour behind them."""

    channels: int
    height: int
    width: int
    fit: str
    background: str


class Pictures(NamedTuple):
    """Images (n, channels, height, width) uint8, each one's sub-folder, and (file, reason) for those left out."""

    images: Tensor
    kinds: list[str]
    skipped: list[tuple[str, str]]


# ------------------------------------------------------------------------------------------------------ one picture


class Picture(NamedTuple):
    """Levels (channels, height, width) uint8, the file's mode, and the level of white if the format does not say it."""

    levels: np.ndarray
    mode: str
    white: int | None


def read_picture(path: str | Path, form: Format, whites: Mapping[str, int] | None = None) -> Picture:
    """One picture. The level of white is that of its mode in `whites`, or else `white_level`.

    Raises whatever Pillow raises, and ValueError for grey levels that are out of range.
    """
    formats = [name for name in _formats() if name not in NEEDS_A_PROGRAM]
    with Image.open(path, formats=formats) as picture:
        side = 2 * max(form.height, form.width)
        picture.draft(None, (side, side))  # a large JPEG need not be unpacked in full
        picture.load()
        picture = ImageOps.exif_transpose(picture)
        own = picture.mode
        white = (whites or {}).get(own, white_level(picture))
        picture = fitted(plain(picture, MODES[form.channels], form.background, white), form)
    levels = np.asarray(picture)
    return Picture(levels[None] if form.channels == 1 else levels.transpose(2, 0, 1), own, white)


def white_level(picture: Image.Image) -> int | None:
    """The level of white in a picture of floating point (F) or of 32-bit integers (I); None for all other modes.

    Their formats do not say it. It is taken to be 1 (F) or 255 (I) if no level exceeds that, else 255 or 65535.
    """
    if picture.mode not in ("F", "I"):
        return None
    dim, bright = (1, 255) if picture.mode == "F" else (255, 65535)
    return dim if np.asarray(picture).max() <= dim else bright


def plain(picture: Image.Image, mode: str, background: str, white: int | None = None) -> Image.Image:
    """The picture in 8 bits a channel, mode L or RGB, over a background where it is transparent.

    Grey levels of more bits, 0…white (by default 65535), are scaled. ValueError for values out of range.
    """
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = Image.fromarray(_to_bytes(np.asarray(picture), white or 65535))
    elif picture.has_transparency_data:
        picture = picture.convert("RGBA")
        behind = Image.new("RGBA", picture.size, background)
        picture = Image.alpha_composite(behind, picture)
    return picture if picture.mode == mode else picture.convert(mode)


def _to_bytes(levels: np.ndarray, most: int) -> np.ndarray:
    """Grey levels 0…most as 0…255. ValueError for values out of range."""
    low, high = levels.min(), levels.max()
    if not 0 <= low <= high <= most:
        raise ValueError(f"grey levels from {low:.4g} to {high:.4g}, beyond 0…{most}")
    return (levels * (255 / most)).round().astype(np.uint8)


def fitted(picture: Image.Image, form: Format) -> Image.Image:
    """The picture at the size of a format: its middle, or the whole of it with a margin, or stretched."""
    size = (form.width, form.height)
    if form.fit == "crop":
        return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    if form.fit == "pad":
        return ImageOps.pad(picture, size, Image.Resampling.LANCZOS, color=form.background)
    return picture.resize(size, Image.Resampling.LANCZOS)


def _formats() -> list[str]:
    Image.init()
    return list(Image.OPEN)


def _reason(error: Exception) -> str:
    """Why a picture could not be read, in a few words without its path."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "no picture that Pillow can read"
    if isinstance(error, Image.DecompressionBombError):
        return "too large: Pillow's limit against decompression bombs, PIL.Image.MAX_IMAGE_PIXELS"
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error).strip().split("\n")[0][:80]
    return printable(words or type(error).__name__)


def _may_pass(error: Exception) -> bool:
    """Whether the system failed and not the file: by an errno such as EACCES, EIO or EMFILE, or for lack of memory.

    EINVAL does not count: a damaged file may make Pillow seek to before its beginning.
    """
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno not in (None, errno.EINVAL))


# --------------------------------------------------------------------------------------------------------- a folder


def read_folder(folder: Path, form: Format, limit: int | None, cache: Path | None, memory: int | None) -> Pictures:
    """All pictures below a folder, in the order of their names; at most `limit` of them, chosen at random.

    cache   a directory where they are kept, or None. Their name there depends on the files, with sizes and last
            changes, on the format, and on what Pillow can read. Nothing is kept if the system failed to read a file
    memory  bytes that they may take; by default 80 % of `available_memory`

    Raises MemoryError, before any picture is read, if they would take more; NotADirectoryError if there is no such
    folder; and ValueError if there is no picture in it.
    """
    if not folder.is_dir():
        what = "not a folder" if folder.exists() else "not there"
        raise NotADirectoryError(
            f"{printable(str(folder))} is {what}: give the path of a folder with pictures, or with one sub-folder for "
            "each class."
        )
    paths, skipped = list_files(folder)
    if limit is not None and limit < len(paths):
        order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(derive_seed("limit", limit)))
        paths = [paths[index] for index in sorted(order[:limit].tolist())]
    if not paths:
        raise ValueError(f"{printable(str(folder))} has no files, except hidden ones: expected pictures.")
    _check_memory(len(paths), form, memory)

    name = hashlib.sha256(repr((os.fsencode(folder.resolve()), form, limit)).encode()).hexdigest()[:12]
    pillow = (pillow_version, Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, sorted(_formats()))
    key = hashlib.sha256(
        repr([READING, pillow, *((os.fsencode(file.path), *file[1:]) for file in paths)]).encode()
    ).hexdigest()[:12]

    def read() -> tuple[Arrays, bool]:
        images, places, broken, lasting = read_all(folder, paths, form)
        return _pack(images, places, broken), lasting

    arrays = kept(
        _if_it_fits(cache, len(paths) * _bytes(form)),
        f"folder-{name}",
        key,
        read,
        lambda found: _unpack(found)[0].shape[1:] == form[:3],
    )
    images, places, broken = _unpack(arrays)
    if len(images) == 0:
        (first, reason), *_ = broken
        raise ValueError(
            f"None of the {len(paths):,} files below {printable(str(folder))} is a picture that can be read; the first "
            f"one, {first}: {reason}."
        )
    return Pictures(images, [paths[place].kind for place in places.tolist()], [*skipped, *broken])


def list_files(folder: Path) -> tuple[list[File], list[tuple[str, str]]]:
    """The files below a folder, in the order of their names, and the folders that cannot be opened, with the reason.

    Left out are hidden files and folders, what is not a file (a pipe, say), and links to a folder that contains them.
    """
    found, closed = [], []

    def walk(inside: str, above: frozenset[str]) -> None:
        here = os.path.join(folder, inside)
        real = os.path.realpath(here)
        if real in above:
            return
        try:
            names = sorted(os.listdir(here))
        except OSError as error:
            closed.append((printable(inside), error.strerror or type(error).__name__))
            return
        for name in names:
            if name.startswith("."):
                continue
            path = os.path.join(inside, name)
            try:
                status = os.stat(os.path.join(folder, path))
            except OSError as error:  # a link to nowhere
                closed.append((printable(path), error.strerror or type(error).__name__))
                continue
            if stat.S_ISDIR(status.st_mode):
                walk(path, above | {real})
            elif stat.S_ISREG(status.st_mode):
                found.append(File(path, status.st_size, status.st_mtime_ns))

    walk("", frozenset())
    return found, closed


def read_all(
    folder: Path, files: list[File], form: Format
) -> tuple[np.ndarray, list[int], list[tuple[str, str]], bool]:
    """The images, the indices of their files in the list, (file, reason) for each that could not be read, and whether
    all of these reasons lie in the files themselves.

    All pictures of one mode get the same level of white, the highest that one of them needs: those that were read with
    a lower one are read again.
    """
    images, places, broken, lasting = np.empty((len(files), *form[:3]), np.uint8), [], [], True
    found: list[tuple[str, int | None]] = []  # mode and white of each image
    whites: dict[str, int] = {}

    def read(file: File) -> Picture | Exception:
        try:
            return read_picture(os.path.join(folder, file.path), form, whites)
        except Exception as error:  # Pillow's plug-ins raise anything at all for a damaged file
            return error

    def failed(file: File, error: Exception) -> None:
        nonlocal lasting
        broken.append((printable(file.path), _reason(error)))
        lasting &= not _may_pass(error)

    todo: Iterator[File] = iter(files)
    with (
        warnings.catch_warnings(action="ignore"),  # Pillow's, about damaged metadata and large pictures
        progress_bar(len(files), None) as show,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        done = 0
        while part := list(islice(todo, AT_ONCE)):
            for place, result in enumerate(pool.map(read, part), done):
                if isinstance(result, Exception):
                    failed(files[place], result)
                else:
                    images[len(places)] = result.levels
                    places.append(place)
                    found.append((result.mode, result.white))
            done += len(part)
            show(done, 0.0)
    whites.update(sorted((mode, white) for mode, white in found if white is not None))  # the highest comes last
    good: list[int] = []
    for index, (place, (mode, white)) in enumerate(zip(places, found, strict=True)):
        levels = images[index]
        if white != whites.get(mode):
            result = read(files[place])
            if isinstance(result, Exception):
                failed(files[place], result)
                continue
            levels = result.levels
        images[len(good)] = levels
        good.append(place)
    return images[: len(good)], good, broken, lasting


def _pack(images: np.ndarray, places: list[int], broken: list[tuple[str, str]]) -> Arrays:
    text = torch.frombuffer(bytearray(json.dumps(broken).encode()), dtype=torch.uint8)
    return {"images": torch.from_numpy(images), "places": torch.tensor(places, dtype=torch.int64), "broken": text}


def _unpack(arrays: Arrays) -> tuple[Tensor, Tensor, list[tuple[str, str]]]:
    broken = [tuple(pair) for pair in json.loads(arrays["broken"].numpy().tobytes())]
    return arrays["images"], arrays["places"], broken


# ------------------------------------------------------------------------------------------------------ small parts


def check_colour(colour: str) -> None:
    """ValueError unless Pillow knows the colour."""
    try:
        ImageColor.getrgb(colour)
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f'Expected a colour such as "white" or "#ff8000", got background={colour!r}.') from None


def printable(text: str) -> str:
    """The text with � for each byte that is no character and each control code, which a terminal might obey."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def available_memory() -> int | None:
    """Bytes that this process may still take, according to the system; None if it does not say."""
    known = []
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        known.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        try:
            known.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))  # all there is: an upper bound
        except (AttributeError, OSError, ValueError):
            pass
    try:
        most, taken = (int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        known.append(most - taken + sum(int(stat[name]) for name in RECLAIMED))
    except (OSError, KeyError, ValueError):  # no container, or one without a limit
        pass
    return min(known, default=None)


def human(count: float) -> str:
    """A number of bytes in words: 48 kB, 1.2 GB."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count, units = count / 1000, units[1:]
    return f"{count:.0f} {units[0]}" if count >= 10 or units[0] == "bytes" else f"{count:.1f} {units[0]}"


def _bytes(form: Format) -> int:
    return form.channels * form.height * form.width


def _check_memory(n: int, form: Format, memory: int | None) -> None:
    needed, free = n * _bytes(form), available_memory()
    allowed = memory if memory is not None else None if free is None else int(0.8 * free)
    if allowed is not None and needed > allowed:
        fewer = allowed // _bytes(form)
        raise MemoryError(
            f"{n:,} pictures of {form.channels} × {form.height} × {form.width} bytes take {human(needed)}, and "
            f"{human(allowed)} may be used. Choose a smaller size"
            + (f", or limit={fewer} to read that many." if fewer > 0 else ".")
        )


def _if_it_fits(cache: Path | None, needed: int) -> Path | None:
    """The directory, if its disk has room for twice as many bytes; else None."""
    if cache is None:
        return None
    there = next(place for place in (cache, *cache.parents) if place.exists())
    return cache if shutil.disk_usage(there).free > 2 * needed else None
