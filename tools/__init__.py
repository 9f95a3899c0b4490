"""What stands behind `make`: each module is run as `python -m tools.NAME`, from the repository's root.

This file and what needs no environment (the environment's making, the set-up cell, the repository's address) use
nothing but Python's own library.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib.machinery
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START = "start.ipynb"  # the way into the book, before chapter 0
ERRATA = "errata.ipynb"  # appendix A, behind all chapters
OWN_IMAGES = "own_images.ipynb"  # behind the chapters that have numbers
LETTERS = {START: "S", OWN_IMAGES: "O", ERRATA: "A"}  # notebooks without a number: their claims are S.1, O.1, A.1, …
ROOT = Path(__file__).resolve().parent.parent

# The package's own module, loaded by its path: importing the package would need torch.
_loader = importlib.machinery.SourceFileLoader("atomic", str(ROOT / "gan_tutorial" / "atomic.py"))
_atomic = importlib.util.module_from_spec(importlib.machinery.ModuleSpec("atomic", _loader))
_loader.exec_module(_atomic)


def atomic_write(path: Path, content: str | bytes) -> bool:
    """Make `content` the file's, atomically; True if that changed it. A file that holds it already is left alone."""
    content = content.encode() if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    _atomic.write(path, content)
    return True


@contextmanager
def locked(folder: Path, busy: str, wait: bool = True) -> Iterator[None]:
    """Hold `folder` for one process at a time. Another one says `busy`, and waits, or exits with status 2.

    The lock lives as long as the process: one that is killed leaves nothing behind.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(busy, flush=True)
            if not wait:
                raise SystemExit(2) from None
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def option_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser of a tool's options, described by the tool's docstring."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def cores() -> int:
    """How many processors this process may use: on a shared machine fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chapter_number(notebook: str) -> str:
    """What the record calls a chapter, from the name of its file: "03" for 03_conditional.ipynb, "S" for the start."""
    return LETTERS.get(notebook, notebook[:2])


def book_order(notebook: str) -> tuple[int, str]:
    """A key that sorts the names of notebooks as the book has them: the start, the chapters, the appendix."""
    return {START: 0, ERRATA: 2}.get(notebook, 1), notebook


def chapter_of(number: str) -> str:
    """The same from the number of a chapter or of a claim in it: "03" for "3", "03" and "3.2", "S" for "S.1"."""
    chapter = number.split(".")[0].upper()
    return chapter if chapter in LETTERS.values() else f"{int(chapter):02d}"
