"""A Sphinx extension: marks in the Markdown that the pages fill in, so that what they show cannot go stale.

    <!-- output: start.ipynb, Figure S.2 -->           the picture or film of the cell with this title, with its caption
    <!-- output: start.ipynb, Figure S.2, alone -->    the same without the caption
    <!-- minutes: 00, 01, S -->                        how long their first readings take, such as "35 minutes"

Outputs come from the committed notebooks. A mark that leads to nothing stops the build. Jupyter, Colab and GitHub show
nothing in the place of a mark.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from . import cells, notebooks, readings, slides, sphinx_figures

MARK = re.compile(r"<!-- (output|minutes): (.+?) -->")


def cell_titled(notebook: dict, title: str) -> int:
    """The place of the code cell whose first line is `# @title` and this title. LookupError where there is none."""
    for place, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code" and cells.source(cell).split("\n")[0] == f"# @title {title}":
            return place
    raise LookupError(f"no cell is titled {title!r}")


def output(path: Path, title: str, caption: bool = True, images: tuple[Path, str] | None = None) -> str:
    """HTML of the film or picture that this cell of a notebook shows, and of the caption in the cell behind it.

    `images` is where the files of a vector figure go, and the way there from the page (`sphinx_figures.images`).
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    place = cell_titled(notebook, title)
    shown = [made["data"] for made in notebook["cells"][place]["outputs"] if "data" in made]
    films = ["".join(data["text/html"]) for data in shown if "text/html" in data]
    pictures = [data for data in shown if "image/png" in data or "image/svg+xml" in data]
    if films:
        # The same film stands on this page or another one a second time, so its elements get ids of their own.
        made = re.sub(r"\bfilm-([0-9a-f]+)-(\d+)", r"film-\1-\2-again", films[-1])
    elif pictures:
        alt = notebook["cells"][place]["metadata"]["mystnb"]["image"]["alt"]
        svg = "".join(pictures[-1].get("image/svg+xml", ""))
        made = f'<img src="{slides.data_uri(pictures[-1])}" alt="{html.escape(alt)}">'
        if svg and images:
            made = sphinx_figures.figure(svg, alt, *images)
    else:
        raise LookupError(f"the cell titled {title!r} shows no picture")
    after = cells.source(notebook["cells"][place + 1]) if caption and place + 1 < len(notebook["cells"]) else ""
    # Not in bold: the caption below the figure has the anchor `#figure-s-2`, and there is only one.
    named = after.startswith(f"**{title}.**")
    words = after.split("\n\n")[0].replace(f"**{title}.**", f"*{title}.*") if named else ""
    return f'```{{raw}} html\n<div class="reused-output">\n{made}\n</div>\n```\n\n{words}'


def minutes(chapters: list[str]) -> str:
    """How long the first readings of these chapters take together; numbers such as "S" or "03"."""
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in notebooks.chapters(chapters)]
    words = sum(readings.words(cells.readings(notebook)[0]) for notebook in contents)
    return f"{readings.minutes(words)}\N{NO-BREAK SPACE}minutes"


def filled(text: str, folder: Path, images: tuple[Path, str] | None = None) -> str:
    """The text with its marks filled in; notebooks are looked for in `folder`, `images` as in `output`."""

    def fill(mark: re.Match) -> str:
        kind, given = mark[1], [word.strip() for word in mark[2].split(",")]
        return output(folder / given[0], given[1], "alone" not in given, images) if kind == "output" else minutes(given)

    return MARK.sub(fill, text)


def fill_in(app, docname: str, source: list[str]) -> None:
    if not MARK.search(source[0]):
        return
    path = Path(app.env.doc2path(docname))
    images = sphinx_figures.images(app, docname) if app.builder.format == "html" else None
    if path.suffix != ".ipynb":
        source[0] = filled(source[0], path.parent, images)
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = filled(cells.source(cell), path.parent, images)
    source[0] = json.dumps(notebook)


def setup(app):
    app.connect("source-read", fill_in)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
