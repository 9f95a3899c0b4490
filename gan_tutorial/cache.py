"""What took time to make is kept in the reader's cache, and made again if that file is damaged or does not fit."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import atomic

Arrays = dict[str, Tensor]


def kept(
    directory: Path | None, name: str, key: str, make: Callable[[], tuple[Arrays, bool]], fits: Callable[[Arrays], bool]
) -> Arrays:
    """The arrays in the file `name`-`key`.npz of a directory; if it is not there yet, those of `make`, then kept in it.

    directory  where files are kept; None keeps nothing
    make       returns the arrays, and whether they may be kept
    key        of all that the arrays depend on: files of the same name with another key are removed
    fits       whether arrays that were read are of the form that `make` gives them

    A file that cannot be read, is damaged, or does not fit is named and made again. (zipfile checks each array's
    CRC-32.) A directory that cannot be written to is left alone.
    """
    if directory is None:
        return make()[0]
    file = directory / f"{name}-{key}.npz"
    try:
        with np.load(file) as arrays:
            found = {array: torch.from_numpy(arrays[array]) for array in arrays.files}
        if fits(found):
            return found
        print(f"{file.name} in the cache holds something else, and is made again.")
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        print(f"{file.name} in the cache cannot be read ({error.strerror or error}), and is made again.")
    except Exception as error:  # damaged in some way
        print(f"{file.name} in the cache is damaged ({type(error).__name__}), and is made again.")
    arrays, lasting = make()
    if not lasting:
        return arrays
    with suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        atomic.discard_parts(directory)
        _write(file, arrays)
        for other in set(directory.glob(f"{name}-*.npz")) - {file}:
            if len(other.stem) == len(file.stem):  # the same name, not one that begins with it
                other.unlink(missing_ok=True)
    return arrays


def _write(file: Path, arrays: Mapping[str, Tensor]) -> None:
    """Atomically: nobody sees half a file."""
    with atomic.replacing(file) as out:
        np.savez(out, **{name: array.numpy() for name, array in arrays.items()})  # pyright: ignore[reportArgumentType]
