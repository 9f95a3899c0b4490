"""Write the notebooks as a class gets them, without solutions, or as its instructor has them.

    python -m tools.student               _build/student/: exercises, starters and checks, no solutions
    python -m tools.student --instructor  _build/instructor/ and instructor.zip: everything, and the exam's answers

What goes is what is called a solution: code cells titled `# @title Solution 3`, and folded boxes whose summary begins
with "Solution". Everything else stays with its outputs, and each notebook written is a valid one.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from . import ROOT, atomic_write, option_parser
from .cells import source, tags, title

BOX = re.compile(r"\n*<details>\s*<summary>\s*Solution\b.*?</details>\n*", re.S | re.I)
ANSWERS = ("instructors.md", "instructors_answers.md")


def is_solution(cell: dict) -> bool:
    """Whether a code cell holds a solution; before chapters had titles, they began with a comment that says so."""
    return title(cell).startswith("Solution") or ("hide-cell" in tags(cell) and source(cell).startswith("# Solution"))


def kept(cells: list[dict]) -> Iterator[dict]:
    """The cells of a notebook for students."""
    for cell in cells:
        if cell["cell_type"] == "markdown" and BOX.search(source(cell)):
            text = BOX.sub("\n\n", source(cell)).strip("\n")
            if text.strip():
                yield {**cell, "source": text}
        elif not (cell["cell_type"] == "code" and is_solution(cell)):
            yield cell


def without_solutions(notebook: dict) -> dict:
    """The notebook for students. What was known of its run is no longer true of it, and goes."""
    metadata = {key: value for key, value in notebook["metadata"].items() if key != "gan_tutorial"}
    return {**notebook, "cells": list(kept(notebook["cells"])), "metadata": metadata}


def write(folder: Path, notebooks: dict[str, dict]) -> None:
    """Make `folder` hold these notebooks and nothing else. ValidationError if one of them is not valid."""
    import nbformat

    shutil.rmtree(folder, ignore_errors=True)
    for name, notebook in notebooks.items():
        nbformat.validate(nbformat.from_dict(notebook))
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        atomic_write(folder / f"{name}.ipynb", text)


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--instructor", action="store_true", help="with solutions and answers, as a zip file")
    asked = parser.parse_args()
    book = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "book").glob("*.ipynb"))}
    folder = ROOT / "_build" / ("instructor" if asked.instructor else "student")
    write(folder, book if asked.instructor else {name: without_solutions(made) for name, made in book.items()})
    if asked.instructor:
        for name in ANSWERS:
            shutil.copyfile(ROOT / "book" / name, folder / name)
        print(f"{len(book)} notebooks with solutions in {shutil.make_archive(str(folder), 'zip', folder)}")
    else:
        print(f"{len(book)} notebooks without solutions in {folder}")


if __name__ == "__main__":
    main()
