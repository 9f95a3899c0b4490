"""Make the book's environment: `PYTHON -m tools.environment FOLDER`, with the Python that it is to have.

A new environment is made beside the old one, and takes its place when it is complete: FOLDER is a link, which is turned
at the end. Whatever fails on the way, a missing network say, leaves the old one as it was.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from . import ROOT, locked

READY = ".ready"  # in an environment: it is complete
SOURCES = ("requirements.txt", "pyproject.toml")


def stamp(*sources: str) -> str:
    """What a complete environment says of itself: hashes of the files that it was made from. Not their times, which a
    change of branches moves.
    """
    return "".join(f"{name} {hashlib.sha256((ROOT / name).read_bytes()).hexdigest()}\n" for name in sources)


def outdated(folder: Path, source: str) -> bool:
    """Whether the environment was made from another version of a file, or is not there."""
    ready = folder / READY
    return not ready.is_file() or stamp(source) not in ready.read_text()


def pip(folder: Path, *words: str) -> None:
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*command, *words], check=True, cwd=ROOT)


def link_package(folder: Path) -> None:
    """The package is linked into the environment, not copied."""
    pip(folder, "--no-deps", "--no-build-isolation", "--editable", ".")


def fill(folder: Path) -> None:
    pip(folder, "-r", "requirements.txt")
    link_package(folder)


def make(folder: Path, fill: Callable[[Path], None] = fill) -> None:
    """A complete environment, in a folder of its own beside `folder`, which then leads there."""
    for other in set(folder.parent.glob(f"{folder.name}-*")) - {folder.resolve()}:
        shutil.rmtree(other, ignore_errors=True)  # of a make that was killed: we hold the lock
    new = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        subprocess.run([sys.executable, "-m", "venv", str(new)], check=True)
        fill(new)
        (new / READY).write_text(stamp(*SOURCES))
        old = folder.resolve()
        if folder.is_dir() and not folder.is_symlink():  # as earlier versions of this book made it
            old = folder.rename(new.with_name(f"{new.name}-old"))
        link = new.with_name(f"{new.name}-link")
        link.symlink_to(new.name)
        os.replace(link, folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if old.parent == folder.parent:  # a link that a user set leads to an environment that others use
        shutil.rmtree(old, ignore_errors=True)


def main(folder: Path) -> None:
    if not os.access(folder.parent, os.W_OK):
        sys.exit(f"{folder.parent} cannot be written to. Copy the book to a folder of yours, and run make there.")
    with locked(folder.parent, "Another make is at work on the environment; waiting for it."):
        try:
            if outdated(folder, "requirements.txt"):
                print(f"Making {folder.name} with {sys.executable}: a few minutes, once.", flush=True)
                make(folder)
            elif outdated(folder, "pyproject.toml"):
                link_package(folder)
            (folder / READY).write_text(stamp(*SOURCES))  # newer than these files: for make
        except (subprocess.CalledProcessError, KeyboardInterrupt) as error:
            command = " ".join(getattr(error, "cmd", ["it was interrupted"]))
            venv = " On Debian and Ubuntu: apt install python3-venv." if "venv" in command.split() else ""
            there = f" {folder.name} is as it was." if folder.exists() else ""
            sys.exit(f"The environment could not be made: {command}.{venv}{there}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
