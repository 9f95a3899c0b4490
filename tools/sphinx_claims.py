"""A Sphinx extension: claims as what they are.

- The cell that checks claim 1.2 gets the id `claim-1-2`, so that pages can link to it. Notebook cells have no anchors
  of their own. The ids are entered where MyST keeps the slugs of headings, and a link such as
  [1.2](../01_minimax.ipynb#claim-1-2) is then checked like any other: one that leads nowhere is a warning.
- In place of the line that the cell prints stands a box with the claim's record (claim_box.py); the code comes behind.
- `<!-- all claims -->` stands for the records of all claims (claims_page.py).
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.transforms.post_transforms import SphinxPostTransform

from . import claim_box, claims, claims_page
from .claim_sources import Book
from .claim_verdict import Record, judge
from .dependency_hash import claims_in

MARK = "<!-- all claims -->"
PAGE = "book/appendix/claims"
PRINTED = re.compile(r"^✓ (\S+) .*\n?", re.M)


@cache
def recorded(root: Path) -> tuple[Book, dict[str, Record], list[dict]]:
    """The book, the record of each claim and all runs."""
    book = Book(root)
    runs = claims.stored(book)
    return book, judge(book, runs)[0], runs


def fill_in(app, docname: str, source: list[str]) -> None:
    if MARK in source[0] and not app.env.doc2path(docname).endswith(".ipynb"):
        book, record, runs = recorded(Path(app.srcdir))
        source[0] = source[0].replace(MARK, claims_page.page(book.chapters, record, runs))


def claim_cells(doctree):
    """(cell, numbers of the claims that it checks)"""
    for cell in list(doctree.findall(nodes.container)):
        if cell.get("nb_element") == "cell_code" and cell.children:
            numbers = [claim.number for claim in claims_in(cell[0].astext())]  # the input comes first, then the output
            if numbers:
                yield cell, numbers


def add_anchors(app, doctree) -> None:
    slugs = app.env.metadata[app.env.docname].setdefault("myst_slugs", {})
    for cell, numbers in claim_cells(doctree):
        for number in numbers:
            anchor = claims_page.anchor(number)
            cell["ids"].append(anchor)
            slugs[anchor] = (cell.line or 0, anchor, f"claim {number}")


def without_lines(output, numbers: list[str]) -> None:
    """Take the lines "✓ 1.2 …" out of what a cell printed; what is then empty goes too."""
    for block in list(output.findall(nodes.literal_block)):
        text = PRINTED.sub(lambda line: "" if line[1] in numbers else line[0], block.astext())
        if text.strip():
            block.rawsource, block.children = text, []
            block += nodes.Text(text)
        else:
            block.parent.remove(block)
    for holder in list(output.findall(nodes.container)):
        if holder is not output and not holder.children:
            holder.parent.remove(holder)


def add_boxes(app, doctree) -> None:
    """Boxes in place of the lines that claims print."""
    found = list(claim_cells(doctree))
    record = recorded(Path(app.srcdir))[1] if found else {}
    for cell, numbers in found:
        for output in [child for child in cell.children if child.get("nb_element") == "cell_code_output"]:
            without_lines(output, numbers)
            if not output.children:
                cell.remove(output)
        page = app.builder.get_relative_uri(app.env.docname, PAGE) if PAGE in app.env.found_docs else ""
        boxes = "".join(claim_box.box(record[number], page) for number in numbers if number in record)
        cell += nodes.raw("", boxes, format="html")
        cell["classes"].append("claims")
        code = "the code that checks it" if len(numbers) == 1 else "the code that checks them"
        cell["prompt_show"] = cell["prompt_hide"] = code.capitalize()


class CodeBehindClaims(SphinxPostTransform):
    """The folded code of a claim comes last: first what is claimed and what was measured."""

    default_priority = 200  # MyST-NB folds cells at 199
    formats = ("html",)

    def run(self, **kwargs) -> None:
        for cell in self.document.findall(nodes.container):
            if "claims" in cell["classes"] and isinstance(cell[0], HideCodeCellNode):
                cell.append(cell.pop(0))


def load(app, pagename, templatename, context, doctree) -> None:
    if pagename == PAGE:
        app.add_js_file("lab/claims.js", loading_method="defer")


def change(app, doctree) -> None:
    add_anchors(app, doctree)
    add_boxes(app, doctree)


def setup(app):
    app.connect("source-read", fill_in)
    app.connect("doctree-read", change, priority=450)  # after the cells' titles are taken out of their code
    app.connect("html-page-context", load)
    app.add_post_transform(CodeBehindClaims)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
