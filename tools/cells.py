"""What a notebook's cells say: their source, their title, and the Markdown between two headings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

FOLDED = {"hide-input", "hide-cell"}  # tags of cells whose code is folded
TITLE = re.compile(r"# @title[ \t]+(\S.*?)[ \t]*(?:\n|$)")
FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
HEADING = re.compile(r"^(#{1,6})[ \t]+(\S.*?)[ \t]*#*$")


def source(cell: dict) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def code_cells(notebook: dict) -> list[dict]:
    """The code cells that hold something, in order."""
    return [c for c in notebook["cells"] if c["cell_type"] == "code" and source(c).strip()]


def title(cell: dict) -> str:
    """What stands behind `# @title` in a code cell's first line: its title in Colab's forms and on the page, or ""."""
    match = TITLE.match(source(cell)) if cell["cell_type"] == "code" else None
    return match[1] if match else ""


def tags(cell: dict) -> Sequence[str]:
    return cell["metadata"].get("tags", [])


def is_folded(cell: dict) -> bool:
    """Whether a code cell's code is folded, on the page and in a notebook."""
    return not FOLDED.isdisjoint(tags(cell))


def lines_with_headings(text: str) -> Iterator[tuple[str, int, str]]:
    """(line, level, heading) of each line of Markdown; level 0 and "" where it is no heading. Code has no headings."""
    fence = ""
    for line in text.splitlines(keepends=True):
        mark = FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        found = None if fence else HEADING.match(line.rstrip())
        yield (line, len(found[1]), found[2]) if found else (line, 0, "")


def parts(notebook: dict) -> list[tuple[int, str, dict]]:
    """The notebook cut at every heading: (level, heading, cell).

    The level is 0 for a code cell, and for Markdown that begins without a heading.
    """
    found = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            found.append((0, "", cell))
            continue
        pieces: list[tuple[int, str, list[str]]] = [(0, "", [])]
        for line, level, heading in lines_with_headings(source(cell)):
            if level:
                pieces.append((level, heading, []))
            pieces[-1][2].append(line)
        for level, heading, lines in pieces:
            if lines:
                found.append((level, heading, {**cell, "source": "".join(lines)}))
    return found


def section(notebook: dict, name: str) -> list[dict]:
    """The cells of the section `## name`, without what comes behind its end; [] where there is none."""
    found, inside = [], False
    for level, heading, cell in parts(notebook):
        if level in (1, 2):
            inside = level == 2 and heading == name
        if inside:
            found.append(cell)
    return found


def readings(notebook: dict) -> tuple[list[dict], list[dict]]:
    """The cells of the first reading, and those behind it. A cell with headings of both is cut.

    The first reading ends at `## Exercises`; where there is none, at the first heading that begins with "Deeper".
    """
    found = parts(notebook)
    exercises = (place for place, (level, heading, _) in enumerate(found) if level == 2 and heading == "Exercises")
    deeper = (place for place, (_, heading, _) in enumerate(found) if heading.startswith("Deeper"))
    end = next(exercises, None)
    end = next(deeper, len(found)) if end is None else end
    return [cell for _, _, cell in found[:end]], [cell for _, _, cell in found[end:]]
