"""The set-up cell: one text, the same in every notebook.

    python -m tools.setup_cell                  prints the cell
    python -m tools.setup_cell book/03_x.ipynb  puts it in place of the first code cell that begins with MARK

On Colab the cell installs the package from the book's repository, at the release that the notebook belongs to, and
pins torch and numpy to what Colab already has, so that pip cannot replace them. Anywhere else it does nothing.

The release is a tag, which whoever owns the repository can move. A commit's hash would be firmer, but the cell is part
of the commit, and no text can hold the hash of a commit that holds the text. Colab opens the notebook itself by the
same tag, so whoever can move it could change this cell too: protect tags in the repository's settings.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

from . import ROOT, atomic_write

MARK = "# @title Set-up"

# Laid out as `ruff format` lays out a notebook's cell.
TEMPLATE = """\
# @title Set-up
# On Colab this installs the book's package; anywhere else it does nothing.
import importlib.metadata
import importlib.util
import subprocess
import sys

repository = "{repository}"
release = "{release}"
have = importlib.util.find_spec
if have("google") and have("google.colab") and not have("gan_tutorial"):
    if not repository:
        raise RuntimeError(
            "This copy of the book names no repository to install from: "
            "upload its folder gan_tutorial to Colab, beside this notebook."
        )
    version = importlib.metadata.version
    keep = [f"{{name}}=={{version(name)}}" for name in ("torch", "numpy")]
    pip = [sys.executable, "-m", "pip", "install", "-q"]
    subprocess.run([*pip, f"git+{{repository}}@{{release}}", *keep], check=True)
    # This fails here, and not ten cells later, if the installation did.
    importlib.import_module("gan_tutorial")
"""


def project(root: Path = ROOT) -> tuple[str, str]:
    """The repository's address ("" until `make repository` has set it) and the release, read from pyproject.toml."""
    table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table.get("urls", {}).get("Repository", ""), "v" + table["version"]


def text(repository: str | None = None, release: str | None = None) -> str:
    """The source of the set-up cell, without a newline at its end."""
    known = project()
    return TEMPLATE.format(
        repository=known[0] if repository is None else repository, release=release or known[1]
    ).rstrip("\n")


def is_setup(source: str) -> bool:
    return source.startswith(MARK)


def put(notebook: dict, source: str) -> bool:
    """Write `source` into the notebook's set-up cell; True if that changed it. ValueError where there is none."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and is_setup("".join(cell["source"])):
            changed = "".join(cell["source"]) != source
            as_lines = isinstance(cell["source"], list)  # as on disk; nbformat in memory holds one string
            cell["source"] = source.splitlines(keepends=True) if as_lines else source
            tags = cell["metadata"].setdefault("tags", [])
            if "hide-cell" not in tags:
                tags.append("hide-cell")
                changed = True
            return changed
    raise ValueError(f"no set-up cell: make the first code cell begin with the line {MARK!r}")


def main(paths: list[str]) -> None:
    if not paths:
        print(text())
    for path in map(Path, paths):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        if put(notebook, text()):
            atomic_write(path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
            print(f"{path}: set-up cell written")


if __name__ == "__main__":
    main(sys.argv[1:])
