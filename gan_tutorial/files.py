"""Files that come from elsewhere: a directory of the reader's, a cache, or the first of several mirrors that answers.

A file is known by the SHA-256 of its *uncompressed* content, because two mirrors compress the same bytes differently.
Nothing is used, and nothing stays in the cache, before that sum has been checked.
"""

import gzip
import hashlib
import math
import os
import struct
import sys
import time
import uuid
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

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
ROUNDS, PAUSE = 2, 2.0  # how often every mirror is asked before we give up, and the seconds in between
TIMEOUT = (5, 20)  # seconds: to connect, and without a single byte; a slow mirror that keeps sending may go on
REMEDIES = (
    "put MNIST's four files in the folder mnist/ of a directory and name that directory in GAN_TUTORIAL_DATA, "
    "or set GAN_TUTORIAL_DIGITS=synthetic to use digits that the package draws itself"
)


class Unavailable(OSError):
    """A file is not at hand, and may not or cannot be downloaded."""


def cache_directory() -> Path:
    """Where files are kept between runs: `GAN_TUTORIAL_CACHE`, else the operating system's place for a user's cache."""
    import pooch

    return Path(os.environ.get("GAN_TUTORIAL_CACHE") or pooch.os_cache("gan_tutorial")).expanduser().resolve()


def download_allowed() -> bool:
    """Whether `GAN_TUTORIAL_DOWNLOAD` permits the network: "1" (and unset) yes, "0" no, anything else a ValueError."""
    answer = os.environ.get("GAN_TUTORIAL_DOWNLOAD") or "1"
    if answer not in ("0", "1"):
        raise ValueError(f"GAN_TUTORIAL_DOWNLOAD is {answer!r}; set it to 1 to allow downloads or to 0 to forbid them.")
    return answer == "1"


def read_checked(path: Path, sha256: str) -> bytes:
    """The uncompressed content of a plain or gzipped file.

    ValueError, with the file's name, if it is damaged or if the content's SHA-256 is another. Whether a file is
    gzipped is seen from its first two bytes, not from its name: some servers unpack on the way.
    """
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is truncated or corrupt ({error}).") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{path} is not the file it should be: the SHA-256 of its content is {found[:12]}…, not {sha256[:12]}…."
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
    """The content of those files that the cache holds. A damaged one is named, removed, and left out."""
    contents = {}
    for name, sha256 in files.items():
        path = directory / f"{name}.gz"
        try:
            contents[name] = read_checked(path, sha256)
        except FileNotFoundError:
            continue
        except ValueError as error:
            path.unlink(missing_ok=True)
            print(f"{error} It has been removed from the cache.")
    return contents


def download(directory: Path, name: str, sha256: str, mirrors: tuple[str, ...]) -> bytes:
    """Bring `name`.gz into the directory from the first mirror that sends the right content; return that content.

    The mirrors are asked in turn, and after a pause in turn again. A file arrives under a name of its own and takes
    its place once it has been checked, at a stroke: two processes may download at once, and neither reads half a file.
    Raises Unavailable, with a note of what each mirror did, if none sent the file, or if the directory cannot be made.
    """
    import pooch

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"{name} has no place in the cache: name a directory that can be written to in GAN_TUTORIAL_CACHE."
        ) from error
    failures = {}
    for attempt in range(ROUNDS):
        time.sleep(attempt * PAUSE)
        for mirror in mirrors:
            part = directory / f"{name}.{uuid.uuid4().hex}.part"
            try:
                with progress(name) as bar:
                    pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT)(f"{mirror}{name}.gz", str(part), None)
                content = read_checked(part, sha256)
                os.replace(part, directory / f"{name}.gz")
                return content
            except (OSError, ValueError) as error:  # the errors of requests are OSErrors
                failures[mirror] = str(error).replace(str(part), "what it sent")
            finally:
                part.unlink(missing_ok=True)
    unavailable = Unavailable(f"{name} could not be downloaded: {REMEDIES}.")
    for mirror, reason in failures.items():
        unavailable.add_note(f"{mirror}: {reason}")
    raise unavailable


def progress(name: str) -> tqdm:
    """A bar of bytes for pooch, which sets the total; shown where somebody watches."""
    return tqdm(
        desc=name, total=1, unit="B", unit_scale=True, disable=not show_progress(), file=sys.stdout, leave=False
    )


def parse_idx(content: bytes, name: str) -> Tensor:
    """The array in an IDX file, uint8.

    The header is two zero bytes, the type (8: unsigned byte), the number of dimensions, and each dimension as a
    big-endian 32-bit integer; the data follow in C order, and nothing after them. ValueError if it is otherwise.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError(f"{name} is no IDX file of unsigned bytes: it starts with {content[:4].hex()}.")
    ndim = content[3]
    if ndim == 0 or len(content) < 4 + 4 * ndim:
        raise ValueError(f"{name} ends inside its header of {ndim} dimensions.")
    shape = struct.unpack_from(f">{ndim}I", content, 4)
    if len(content) - 4 - 4 * ndim != math.prod(shape):
        raise ValueError(f"{name} promises {shape} bytes and holds {len(content) - 4 - 4 * ndim}.")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * ndim).reshape(shape).copy())
