"""A Sphinx extension: tables whose rows a narrow screen shows as cards, all but those that fit it as they are.

Each cell of a table with a head carries its column's name, which the style sheet puts before the cell where rows are
cards. Tables and their parts carry their roles in words: a browser may forget them where `display` is not that of a
table.
"""

from __future__ import annotations

import html

from docutils import nodes

ROLES = {
    nodes.table: "table",
    nodes.thead: "rowgroup",
    nodes.tbody: "rowgroup",
    nodes.row: "row",
    nodes.entry: "cell",
}


def name_of(entry) -> str:
    """A column's name as plain text, the words of its formulas too."""
    return " ".join(entry.astext().split())


NARROW = 34  # letters in a row


def is_narrow(table) -> bool:
    """Whether a phone shows the table as it is, so that its rows can be compared."""
    widest: dict[int, int] = {}
    for row in table.findall(nodes.row):
        for place, entry in columns(row):
            widest[place] = max(widest.get(place, 0), len(name_of(entry)))
    return sum(widest.values()) <= NARROW


def columns(row):
    """(place, entry): the first column that each entry of a row stands in."""
    place = 0
    for entry in row.findall(nodes.entry):
        yield place, entry
        place += 1 + entry.get("morecols", 0)


def label(doctree) -> None:
    """Write each column's name to its cells."""
    for table in doctree.findall(nodes.table):
        head = next(table.findall(nodes.thead), None)
        if head is None:
            continue
        table["classes"] += [] if is_narrow(table) else ["cards"]
        names = {place: name_of(entry) for place, entry in columns(head[-1])}
        for row in (row for body in table.findall(nodes.tbody) for row in body.findall(nodes.row)):
            for place, entry in columns(row):
                entry["column"] = names.get(place, "")


def visitors(kind):
    """The visitors of one kind of node: the theme's own, with the role and the column's name in the opening tag."""

    def visit(translator, node) -> None:
        at = len(translator.body)
        getattr(type(translator), f"visit_{kind.__name__}")(translator, node)
        role = "columnheader" if kind is nodes.entry and isinstance(node.parent.parent, nodes.thead) else ROLES[kind]
        more = f' role="{role}"'
        named = kind is nodes.entry and "column" in node
        if named:
            more += f' data-label="{html.escape(node["column"])}"'
        place = next(i for i in range(at, len(translator.body)) if translator.body[i].lstrip().startswith("<t"))
        tag, rest = translator.body[place].split(">", 1)
        translator.body[place] = f"{tag}{more}>{rest}"
        if named:
            translator.body.append("<div>")  # the name and the content stand side by side

    def depart(translator, node) -> None:
        if kind is nodes.entry and "column" in node:
            translator.body.append("</div>")
        getattr(type(translator), f"depart_{kind.__name__}")(translator, node)

    return visit, depart


def setup(app):
    for kind in ROLES:
        app.add_node(kind, override=True, html=visitors(kind))
    app.connect("doctree-read", lambda app, doctree: label(doctree))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
