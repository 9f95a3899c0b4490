"""Replace a file atomically: whoever reads it, and whatever fails on the way, it holds the old content or the new."""

import errno
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

# The errors of a file system that cannot flush a folder at all: nothing more can be done then.
CANNOT_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}
STALE = 3600  # seconds after which what a killed process was writing is certainly not being written any more


def write(path: str | Path, content: bytes, flush: bool = True) -> None:
    """Write `content` to the file at `path`, atomically, and return when it is on the disk. See `replacing`."""
    with replacing(path, flush) as file:
        file.write(content)


@contextmanager
def replacing(path: str | Path, flush: bool = True) -> Iterator[BinaryIO]:
    """A binary file to write to, which takes the place of `path` at the end of the block, and is on the disk then.

        with atomic.replacing("samples.npy") as file:
            file.write(header)
            file.write(body)

    flush  whether to wait for the disk, about ten milliseconds; without it a power cut may leave an empty file

    The bytes go to a new file in the same folder first, under a random name that is opened exclusively, so that
    neither another process nor a link that lies there can be written to. Then it takes the place of `path`.

    A file that exists keeps its permissions, a new one gets those that the process gives (its umask). Where `path` is
    a symbolic link, the file that it points to is replaced, and the link stays. What is not a regular file, such as a
    device, is never replaced.

    Raises OSError if that cannot be done. Then, and if the block itself raises anything, the file is as it was, and
    nothing else is left behind. (There is one exception: if the folder cannot be flushed at the very end, the new
    content is already in place, but might not survive a power cut.)
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink():  # realpath gives up on a loop of links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not target.is_file():  # a device, a pipe: root could put a file in its place
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    mode = target.stat().st_mode & 0o7777 if target.exists() else None
    part = target.with_name(f".{secrets.token_hex(16)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        with open(descriptor, "wb") as file:
            if mode is not None and os.fstat(descriptor).st_mode & 0o7777 != mode:
                with suppress(PermissionError):  # a Windows drive under WSL, a share: they have no modes
                    os.fchmod(descriptor, mode)
            yield file
            file.flush()
            if flush:
                os.fsync(descriptor)
        os.replace(part, target)
    except BaseException:  # Ctrl-C too
        part.unlink(missing_ok=True)
        raise
    if flush:
        _flush_folder(target.parent)


def discard_parts(folder: Path) -> None:
    """Remove what killed processes were writing into a folder more than an hour ago. Raises nothing."""
    with suppress(OSError):
        for part in folder.glob(".*.part"):
            with suppress(OSError):
                if re.fullmatch(r"\.[0-9a-f]{32}\.part", part.name) and time.time() - part.lstat().st_mtime > STALE:
                    part.unlink()


def _flush_folder(folder: Path) -> None:
    """Put the folder's entries on the disk: without it, a power cut may bring the old file back."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_FLUSH:
            raise
    finally:
        os.close(descriptor)
