"""Files that come from elsewhere: a directory of the reader's, a cache, or the first of several mirrors that answers.

A file is known by the SHA-256 of its *uncompressed* content, because two mirrors compress the same bytes differently.
Nothing is used, and nothing is kept in the cache, before that checksum has been verified.
"""

import gzip
import hashlib
import io
import math
import os
import struct
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import TqdmWarning, tqdm

from . import atomic
from .runtime import show_progress

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",  # torchvision's
    "https://storage.googleapis.com/cvdf-datasets/mnist/",  # TensorFlow Datasets'
    "https://sagemaker-sample-files.s3.amazonaws.com/datasets/image/MNIST/",  # Amazon's own examples
)
MNIST_FILES = {  # name: SHA-256 of the uncompressed content
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MOST = 50_000_000  # bytes in a file, compressed or not; the largest of MNIST's has 47,040,016, compressed 9.9 million
ROUNDS, PAUSE = 2, 2.0  # how often every mirror is asked before we give up, and the seconds between rounds
TIMEOUT = (5, 20)  # seconds to connect, and to wait without receiving a byte
PATIENCE = 300.0  # seconds for one file from one mirror in all: 33 kB a second are enough
NO_CACHE = Path(os.devnull) / "gan_tutorial"  # where nothing is found and nothing can be kept
REMEDIES = (
    "put MNIST's four files in the folder mnist/ of a directory and name that directory in GAN_TUTORIAL_DATA, "
    "or set GAN_TUTORIAL_DIGITS=synthetic to use digits that the package draws itself"
)


class Unavailable(OSError):
    """A file is not at hand, and may not or cannot be downloaded."""


def _pooch():
    """The package that downloads, imported late: it loads requests, which takes half a second.

    It also imports tqdm's bars for notebooks, which warn in a Jupyter without ipywidgets. They are not used here.
    """
    with warnings.catch_warnings(category=TqdmWarning, action="ignore"):
        import pooch
    return pooch


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where files are kept between runs: `GAN_TUTORIAL_CACHE`, else the operating system's place for a user's cache.

    ValueError if that setting cannot be a directory. A user without a home has no cache: this is then a path where
    nothing can be kept.
    """
    pooch = _pooch()

    asked = environment.get("GAN_TUTORIAL_CACHE")
    try:
        path = Path(asked or pooch.os_cache("gan_tutorial")).expanduser().resolve()
        if not path.is_symlink():  # else a loop of links
            return path
    except (OSError, RuntimeError, ValueError):  # no such user; a loop of links; a path that no system has
        pass
    if asked:
        raise ValueError(
            f"GAN_TUTORIAL_CACHE is {asked!r}, which leads nowhere: give the absolute path of a directory."
        )
    return NO_CACHE


def download_allowed() -> bool:
    """Whether `GAN_TUTORIAL_DOWNLOAD` permits downloads: "1" or unset for yes, "0" for no; else ValueError."""
    answer = os.environ.get("GAN_TUTORIAL_DOWNLOAD") or "1"
    if answer not in ("0", "1"):
        raise ValueError(f"GAN_TUTORIAL_DOWNLOAD is {answer!r}; set it to 1 to allow downloads or to 0 to forbid them.")
    return answer == "1"


def read_checked(path: Path, sha256: str, most: int = MOST) -> bytes:
    """The uncompressed content of a plain or gzipped file, of `most` bytes at most.

    ValueError, with the file's name, if it is damaged or larger, or if its content has another SHA-256.
    """
    with open(path, "rb") as file:
        return checked(file.read(most + 1), sha256, str(path), most)


def checked(content: bytes, sha256: str, name: str, most: int = MOST) -> bytes:
    """The uncompressed content, if it has this SHA-256 and `most` bytes at most. ValueError, with the name, otherwise.

    Its first two bytes tell whether it is gzipped, and not its name: some servers decompress on the way.
    """
    if content[:2] == b"\x1f\x8b":
        try:  # with a limit, not all of it: a few megabytes may decompress to terabytes
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(most + 1)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{name} is truncated or corrupt ({error}).") from None
    if len(content) > most:
        raise ValueError(f"{name} is not the file it should be: it has more than {most:,} bytes.")
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{name} is not the file it should be: the SHA-256 of its content is {found[:12]}…, not {sha256[:12]}…."
        )
    return content


def from_directory(directory: Path, files: dict[str, str]) -> dict[str, bytes]:
    """The content of every file, plain or .gz, from a directory that must hold them all.

    FileNotFoundError if one is missing, ValueError if one is not what it should be.
    """
    contents = {}
    for name, sha256 in files.items():
        found = [path for path in (directory / name, directory / f"{name}.gz") if path.is_file()]
        if not found:
            raise FileNotFoundError(f"{directory} has neither {name} nor {name}.gz.")
        contents[name] = read_checked(found[0], sha256)
    return contents


def from_cache(directory: Path, files: dict[str, str]) -> dict[str, bytes]:
    """The content of those files that the cache holds. An unusable one is reported, and removed if possible."""
    contents = {}
    for name, sha256 in files.items():
        path = directory / f"{name}.gz"
        try:
            if path.exists() and not path.is_file():
                raise ValueError(f"{path} is not a file.")
            contents[name] = read_checked(path, sha256)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            print(f"{path} cannot be read ({error.strerror or error}); it is left out.")
        except ValueError as error:
            print(f"{error} It is {'removed from the cache' if discard(path) else 'left out'}.")
    return contents


def discard(path: Path) -> bool:
    """Remove a file if possible. Returns whether it was removed."""
    with suppress(OSError):
        path.unlink()
        return True
    return False


def download(
    directory: Path, name: str, sha256: str, mirrors: tuple[str, ...], most: int = MOST, patience: float = PATIENCE
) -> bytes:
    """The content of `name`.gz from the first mirror that sends the right one; it is kept in the directory.

    most      bytes that a mirror may send at most, and that the decompressed content may have at most
    patience  seconds after which a mirror is given up, even if it is still sending

    The mirrors are asked in turn, and after a pause once more. A file is checked before it is kept, and then written
    atomically: two processes may download at once, and neither reads half a file. If it cannot be kept, a message says
    so. Raises Unavailable, with a note of what each mirror did, if none sent the file.
    """
    failures = {}
    for attempt in range(ROUNDS):
        time.sleep(attempt * PAUSE)
        for mirror in mirrors:
            try:
                sent = fetch(f"{mirror}{name}.gz", name, most, patience)
                content = checked(sent, sha256, "what it sent", most)
            except (OSError, ValueError) as error:  # the errors of requests are OSErrors
                failures[mirror] = str(error)
                continue
            keep(directory / f"{name}.gz", sent)
            return content
    unavailable = Unavailable(f"{name} could not be downloaded: {REMEDIES}.")
    for mirror, reason in failures.items():
        unavailable.add_note(f"{mirror}: {reason}")
    raise unavailable


def keep(path: Path, content: bytes) -> None:
    """Put a file into the cache, or say that it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.discard_parts(path.parent)
        atomic.write(path, content)
    except OSError as error:
        print(
            f"{path.name} cannot be kept for the next time ({error.strerror or error}): name a directory that can be "
            "written to in GAN_TUTORIAL_CACHE."
        )


def fetch(url: str, name: str, most: int, patience: float) -> bytes:
    """What a server sends. OSError if that fails, is more than `most` bytes, or takes more than `patience` seconds.

    A thread fetches while this one waits: a server that sends a byte now and then would keep any single call for ever.
    """
    pooch = _pooch()

    body, failure = Limited(most), []

    def work() -> None:
        try:
            with progress(name) as bar:
                pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT)(url, body, None)  # pyright: ignore[reportArgumentType]
        except Exception as error:  # of requests and of what it is built on
            failure.append(error)

    worker = threading.Thread(target=work, daemon=True)
    try:
        worker.start()
        worker.join(patience)
    finally:
        body.most = 0  # ends a worker that is left behind, at the next bytes that it gets
    if worker.is_alive():
        raise TimeoutError(f"it was still sending after {patience:g} seconds.")
    if failure:
        raise failure[0] if isinstance(failure[0], OSError) else OSError(f"{type(failure[0]).__name__}: {failure[0]}")
    return body.getvalue()


class Limited(io.BytesIO):
    """Bytes in memory, `most` of them; OSError for more."""

    def __init__(self, most: int):
        super().__init__()
        self.most = most

    def write(self, content) -> int:
        if self.tell() + len(content) > self.most:
            raise OSError(f"it sent more than {self.most:,} bytes.")
        return super().write(content)


def progress(name: str) -> tqdm:
    """A progress bar in bytes for pooch, which sets the total; shown where somebody watches."""
    return tqdm(
        desc=name, total=1, unit="B", unit_scale=True, disable=not show_progress(), file=sys.stdout, leave=False
    )


def parse_idx(content: bytes, name: str) -> Tensor:
    """The array in an IDX file, uint8.

    The header is two zero bytes, the type (8: unsigned byte), the number of dimensions, and each dimension as a
    big-endian 32-bit integer; the data follow in C order, with nothing after them. ValueError if it is otherwise.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        start = f"it starts with {content[:4].hex()}" if content else "it is empty"
        raise ValueError(f"{name} is not an IDX file of unsigned bytes: {start}.")
    ndim = content[3]
    if ndim == 0 or len(content) < 4 + 4 * ndim:
        raise ValueError(f"{name} ends inside its header of {ndim} dimensions.")
    shape = struct.unpack_from(f">{ndim}I", content, 4)
    if len(content) - 4 - 4 * ndim != math.prod(shape):
        raise ValueError(f"{name} promises {shape} bytes and holds {len(content) - 4 - 4 * ndim}.")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * ndim).reshape(shape).copy())
