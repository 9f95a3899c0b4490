"""A Sphinx extension: what a reader finds their way by.

- A folded cell is labelled by its title ("Solution 3"), and the line `# @title Solution 3` is not shown. The code of a
  figure stands behind the figure and its caption.
- A chapter's title begins with its number.
- Under a chapter's title stands how long its readings take, measured when the pages are built.
- Sections and entries of the contents that begin with "Deeper" are marked, captions and questions to predict too.
- A link such as [mode collapse](appendix/glossary.md#term-mode-collapse) leads to the glossary's entry: also to one of
  several words, as in "moving average, EMA", by each of them, in capital or small letters.
- `{chapter-lengths}` stands for the table of all chapters' minutes and running times.
"""

from __future__ import annotations

import html
import json
import re
from functools import cache
from pathlib import Path

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode, depart_HideCellInput
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

from . import chapter_number, readings
from .cells import TITLE

CAPTION = re.compile(r"Figure ([\w.]+)\.$")


def slugs(app) -> dict:
    """Where MyST keeps the anchors of the page that is being read: a link to another one is a warning."""
    return app.env.metadata[app.env.docname].setdefault("myst_slugs", {})


# ---------------------------------------------------------------------------------------------------------- labels


def label_cells(doctree) -> None:
    """Take the title out of each cell's code, and make it the label of what is folded."""
    for cell in doctree.findall(nodes.container):
        code = next(cell[0].findall(nodes.literal_block), None) if is_code(cell) else None
        match = TITLE.match(code.astext()) if code is not None else None
        if code is None or match is None:
            continue
        text = code.astext()[match.end() :]
        code.rawsource, code.children = text, []
        code += nodes.Text(text)
        label = f"Code of {match[1]}" if match[1].startswith("Figure ") else match[1]
        cell["prompt_show"] = cell["prompt_hide"] = label
        cell["classes"].append(f"cell-{match[1].split()[0].lower()}")


def is_code(cell) -> bool:
    return cell.get("nb_element") == "cell_code" and bool(cell.children)


def visit_folded(translator, node) -> None:
    """As in MyST-NB, but named by its own words and not "Toggle hidden content"."""
    translator.body.append(f'<details class="admonition hide {" ".join(node["classes"])}">\n<summary>\n')
    prompts = [("collapsed ", node["prompt_show"]), ("expanded ", node["prompt_hide"])]
    for state, prompt in prompts if prompts[0][1] != prompts[1][1] else [("", node["prompt_show"])]:
        translator.body.append(f'<p class="{state}admonition-title">{html.escape(prompt)}</p>\n')
    translator.body.append("</summary>\n")


class FigureFirst(SphinxPostTransform):
    """The folded code of a figure comes behind the figure, and behind its caption if there is one."""

    default_priority = 200  # MyST-NB folds cells at 199
    formats = ("html",)

    def run(self, **kwargs) -> None:
        for cell in list(self.document.findall(nodes.container)):
            if "cell-figure" in cell["classes"] and len(cell) > 1 and isinstance(cell[0], HideCodeCellNode):
                code, parent = cell.pop(0), cell.parent
                place = parent.index(cell) + 1
                behind = parent[place] if place < len(parent) else None
                if isinstance(behind, nodes.paragraph) and "caption" in behind["classes"]:
                    parent.insert(place + 1, nodes.container("", code, classes=["cell", "cell-code"]))
                else:
                    cell.append(code)


# ----------------------------------------------------------------------------------------------------------- marks


def number_title(app, doctree, docname: str) -> None:
    """Put a chapter's number before its title, where it is shown; in lists of chapters each has it already."""
    number, title = chapter_number(Path(docname).name), doctree.next_node(nodes.title)
    if number.isdigit() and title is not None:
        title.insert(0, nodes.Text(f"{int(number)}. "))


def mark_deeper(doctree) -> None:
    """Give what belongs to the second reading a class; its heading begins with a mark, on the page and in contents."""
    for section in doctree.findall(nodes.section):
        title = section.next_node(nodes.title)
        if title is None or not title.children:
            continue
        first = title[0]
        if isinstance(first, nodes.Text) and first.astext().startswith("Deeper: "):
            section["classes"].append("deeper")
            mark = nodes.inline("", "Deeper:", classes=["deeper-mark"])
            title[:1] = [mark, nodes.Text(first.astext().removeprefix("Deeper:"))]


def mark_paragraphs(doctree) -> None:
    """Captions get a class and an anchor, `#figure-2-3`; questions to predict get a class."""
    for paragraph in doctree.findall(nodes.paragraph):
        first = next((child for child in paragraph.children if child.astext()), None)  # MyST begins with an empty text
        start = first.astext() if isinstance(first, nodes.strong) else ""
        if start == "Predict.":
            paragraph["classes"].append("predict")
        elif match := CAPTION.match(start):
            paragraph["classes"].append("caption")
            paragraph["ids"].append("figure-" + match[1].replace(".", "-").lower())


def add_terms(app, doctree) -> None:
    """Enter the glossary's terms where MyST looks for anchors, by each of an entry's names."""
    for term in doctree.findall(nodes.term):
        identifier = next((one for one in term["ids"] if one.startswith("term-")), None)
        for name in [term.astext(), *term.astext().split(",")] if identifier else []:
            slug = "term-" + re.sub(r"\W+", "-", name.strip()).strip("-")
            for anchor in (identifier, slug, slug.lower()):
                slugs(app).setdefault(anchor, (term.line or 0, identifier, name))


# ---------------------------------------------------------------------------------------------------- reading time


@cache
def running_times(root: Path) -> dict[str, float]:
    return readings.running_times(root)


def add_reading_time(app, doctree) -> None:
    path = Path(app.env.doc2path(app.env.docname))
    title = doctree.next_node(nodes.title)
    if path.suffix != ".ipynb" or title is None:
        return
    notebook = json.loads(path.read_text(encoding="utf-8"))
    seconds = running_times(Path(app.srcdir)).get(chapter_number(path.name))
    words = " · ".join(readings.time_words(readings.measure(path.stem, notebook, seconds)))
    title.parent.insert(title.parent.index(title) + 1, nodes.paragraph("", words, classes=["reading-time"]))


class ChapterLengths(SphinxDirective):
    """The table of the chapters' minutes and running times, with links."""

    def run(self):
        rows = []
        for length in readings.lengths(Path(self.env.srcdir)):
            seconds = "" if length.seconds is None else f"{length.seconds:.0f} s"
            name = f"[{chapter_title(Path(self.env.srcdir), length.name)}](/book/{length.name}.ipynb)"
            easy, middle, hard = length.stars
            deeper = length.deeper_minutes or ""
            rows.append((name, length.first_minutes, deeper, seconds, f"{easy} / {middle} / {hard}"))
        names = (
            "chapter",
            "first reading, min",
            "the rest, min (exercises not solved)",
            "runs in",
            "exercises ★ / ★★ / ★★★",
        )
        return self.parse_text_to_nodes(readings.table(rows, names))


def chapter_title(root: Path, name: str) -> str:
    """A chapter's number and title, as in "2. A first GAN"."""
    text = (root / "book" / f"{name}.ipynb").read_text(encoding="utf-8")
    cells = json.loads(text)["cells"]
    found = re.search(r"^# (.+)$", "".join(cells[0]["source"]), re.M)
    title = found[1].strip() if found else name
    return f"{int(name[:2])}. {title}" if name[:2].isdigit() else title


def change(app, doctree) -> None:
    label_cells(doctree)
    mark_deeper(doctree)
    mark_paragraphs(doctree)
    add_terms(app, doctree)
    add_reading_time(app, doctree)


def setup(app):
    app.add_node(HideCodeCellNode, override=True, html=(visit_folded, depart_HideCellInput))
    app.add_directive("chapter-lengths", ChapterLengths)
    app.connect("doctree-read", change, priority=400)  # before Sphinx collects the contents
    app.connect("doctree-resolved", number_title, priority=900)  # when search and contents have the title
    app.add_post_transform(FigureFirst)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
