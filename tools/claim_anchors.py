"""A Sphinx extension: the cell that checks claim 1.2 gets the id `claim-1-2`, so that pages can link to it.

Notebook cells have no anchors of their own. The ids are entered where MyST keeps the slugs of headings, and a link such
as [1.2](../01_minimax.ipynb#claim-1-2) is then checked like any other: one that leads nowhere is a warning.
"""

from __future__ import annotations

from docutils import nodes

from . import claims_page
from .dependency_hash import claims_in


def add_anchors(app, doctree) -> None:
    slugs = app.env.metadata[app.env.docname].setdefault("myst_slugs", {})
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") != "cell_code" or not cell.children:
            continue
        source = cell[0].astext()  # the input comes first, then the output
        for claim in claims_in(source):
            anchor = claims_page.anchor(claim.number)
            cell["ids"].append(anchor)
            slugs[anchor] = (cell.line or 0, anchor, f"claim {claim.number}")


def setup(app):
    app.connect("doctree-read", add_anchors)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
