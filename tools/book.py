"""Build the book's pages into _build/html.

    python -m tools.book

Nothing is done where the pages are whole and newer than everything that they are made from. Otherwise they are all made
anew: that takes seconds, and an incremental build is not to be trusted (it keeps a chapter's old title in the other
pages' sidebars, keeps pages that were removed, and passes after a build that failed with warnings).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import yaml

from . import ROOT, atomic_write, locked, node, pages

PACKAGE = ("gan_tutorial/**/*.py", "gan_tutorial/models/*")
SOURCES = ("_config.yml", "_toc.yml", "requirements.txt", "book/**/*", *PACKAGE, "tools/*.py")
HTML = ROOT / "_build" / "html"
STAMP = ".made-from"


def digest(folder: Path, paths: Iterable[Path]) -> str:
    """A hash of the names and contents of these files; hidden ones do not count."""
    total = hashlib.sha256()
    for path in sorted(paths):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            total.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()


def made_from(root: Path = ROOT) -> str:
    """A hash of everything that the pages are made from."""
    return digest(root, (path for pattern in SOURCES for path in root.glob(pattern)))


def fresh(root: Path = ROOT, html: Path = HTML) -> bool:
    """Whether the pages are made from what is there now, and are all still there as they were made."""
    stamp = html / STAMP
    return stamp.is_file() and stamp.read_text() == f"{made_from(root)} {digest(html, html.rglob('*'))}"


def build() -> None:
    """Make all pages, with every warning an error. RuntimeError with Sphinx's output where that fails."""
    doctrees = ROOT / "_build" / ".doctrees"
    for folder in (HTML, doctrees):
        shutil.rmtree(folder, ignore_errors=True)
    before = made_from()
    # The package is imported for the API reference; what it prints or draws must not depend on the reader's settings.
    environment = dict(os.environ, PYTHONPATH=str(ROOT), MPLBACKEND="agg")
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(ROOT)]
    options = ["-W", "-n", "--keep-going", "-q", "--path-output", str(ROOT)]
    result = subprocess.run(
        [*command, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )
    if result.returncode:
        shutil.rmtree(doctrees, ignore_errors=True)
        raise RuntimeError(f"{result.stdout}\nThe book was not built.")
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    pages.finish(HTML, config["sphinx"]["config"]["html_css_files"])
    node.bundle(HTML / "_static" / "lab")
    atomic_write(HTML / STAMP, f"{before} {digest(HTML, HTML.rglob('*'))}")


def ensure() -> None:
    """Build the pages if they are not fresh; one process at a time."""
    (ROOT / "_build").mkdir(exist_ok=True)
    with locked(ROOT / "_build", "The pages are being built by another process; waiting for it."):
        if not fresh():
            started = time.perf_counter()
            build()
            print(f"Built in {time.perf_counter() - started:.0f} s.")


def main() -> None:
    try:
        ensure()
    except RuntimeError as error:
        sys.exit(str(error))
    print(f"Open {HTML / 'index.html'}")


if __name__ == "__main__":
    main()
