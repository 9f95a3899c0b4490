"""Where a training writes: tested before it starts, locked while it lasts, and never left half written."""

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from . import atomic, distributed
from .layout import escaped

ROOM = 2**24  # bytes that a place must have before a training; a file of a recipe for 28 × 28 digits is smaller


def write(content: bytes, path: str | Path) -> None:
    """Replace a file atomically, as `atomic.write` does. OSError, with a sentence, where it cannot be written."""
    try:
        atomic.write(path, content)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise no_place(path, error) from None


def no_place(path: str | Path, error: Exception) -> OSError:
    """The error for a file that cannot be written, with what to do."""
    return OSError(
        f"{escaped(str(path))} cannot be written ({getattr(error, 'strerror', None) or error}). Name a file in a "
        "folder that exists, can be written to, and has room."
    )


def check_writable(path: str | Path, room: int = ROOM) -> None:
    """Check that `path` can be written, before a training whose result goes there. Raises OSError if it cannot.

    room  bytes that must fit

    Nothing is left behind, and a file that is already at `path` stays as it is.
    """
    try:
        target = Path(path).resolve(strict=False)
        if target.is_dir():
            raise IsADirectoryError("it is a folder")
        if target.exists() and not target.is_file():
            raise OSError("it is not a regular file")
        with suppress(FileNotFoundError):
            target.lstat()  # says whether the name is too long
        with tempfile.TemporaryFile(dir=target.parent) as file:
            file.write(bytes(room))
            file.flush()
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a loop of links, in Python before 3.13
        raise no_place(path, error) from None


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Keep every other training off a file, for as long as this one trains; and see that it can be written at all.

        with checkpoint.locked("digits.safetensors"):
            trainer.run(steps=1000)
            checkpoint.save(trainer, "digits.safetensors")

    The lock is the operating system's, on a file ".NAME.lock" in the same folder, which is removed at the end. Killing
    the process frees the lock, even if that file stays. Two names of one file, such as a link, share one lock. Of
    several processes that train together, only the first one takes it, but all of them may enter.

    Raises BlockingIOError if another training has the lock, and OSError if the file cannot be written. A file system
    without locks leads to a warning.
    """
    if distributed.rank():
        yield
        return
    check_writable(path)
    target = Path(path).resolve(strict=False)
    file = target.with_name(f".{os.fsdecode(os.fsencode(target.name)[:200])}.lock")  # names may have 255 bytes
    lock = filelock.FileLock(file)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise BlockingIOError(
            f"Another training is writing to {escaped(str(path))}: wait until it ends, or write to another file."
        ) from None
    except (OSError, NotImplementedError) as error:
        warnings.warn(f"{file} cannot be locked ({error}): see that no other training writes there.", stacklevel=3)
    try:
        atomic.discard_parts(target.parent)
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):  # Windows does not remove open files
                file.unlink()
            lock.release()
