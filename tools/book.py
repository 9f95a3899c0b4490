"""Build the book's pages into _build/html.

    python tools/book.py

Nothing is done where the pages are newer than everything that they are made from. Otherwise they are all made anew:
that takes seconds, and an incremental build is not to be trusted (it keeps a chapter's old title in the other pages'
sidebars, keeps pages that were removed, and passes after a build that failed with warnings).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
HTML = BUILD / "html"
STAMP = HTML / ".made-from"
SOURCES = ("_config.yml", "_toc.yml", "requirements.txt", "book/**/*", "gan_tutorial/**/*.py", "tools/*.py")


def made_from() -> str:
    """A hash of everything that the pages are made from."""
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and ".ipynb_checkpoints" not in path.parts and not path.name.startswith("."):
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def fresh() -> bool:
    return STAMP.is_file() and STAMP.read_text() == made_from()


def build() -> None:
    """Make all pages, with every warning an error. RuntimeError with Sphinx's output where that fails."""
    before = made_from()
    for folder in (HTML, BUILD / ".doctrees"):
        shutil.rmtree(folder, ignore_errors=True)
    # The package is imported for the API reference; what it prints or draws must not depend on the reader's settings.
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "tools")]), MPLBACKEND="agg")
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(ROOT)]
    options = ["-W", "-n", "--keep-going", "-q", "--path-output", str(ROOT)]
    result = subprocess.run(
        [*command, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )
    if result.returncode:
        shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
        raise RuntimeError(f"{result.stdout}\nThe book was not built.")
    STAMP.write_text(before)


def main() -> None:
    if not fresh():
        started = time.perf_counter()
        try:
            build()
        except RuntimeError as error:
            sys.exit(str(error))
        print(f"Built in {time.perf_counter() - started:.0f} s.")
    print(f"Open {HTML / 'index.html'}")


if __name__ == "__main__":
    main()
