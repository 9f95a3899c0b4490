"""A Sphinx extension: a bibliography labelled as the chapters cite it, and the script that every page has.

A chapter writes [Goodfellow et al., 2014](appendix/bibliography.md), which leads to the page of sources in Jupyter and
on GitHub as well. On the pages such a link leads to the entry of that name.
"""

from __future__ import annotations

from docutils import nodes
from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style as Plain
from pybtex.style.labels import BaseLabelStyle


class AuthorYear(BaseLabelStyle):
    """[Goodfellow et al., 2014], [Mirza and Osindero, 2014]: the words that the chapters use as a link's text."""

    def format_labels(self, entries):
        for entry in entries:
            people = entry.persons.get("author") or entry.persons.get("editor")
            names = [" ".join(person.prelast_names + person.last_names).strip("{}") for person in people]
            who = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
            yield f"{who}, {entry.fields['year']}"


class Book(Plain):
    default_label_style = "author_year_words"


def name_entries(app, config) -> None:
    """Entries keep their anchor, `#source-goodfellow2014`, when others come."""
    config.bibtex_cite_id = "source-{key}"


def link_entries(app, doctree, docname: str) -> None:
    """Lead links to the bibliography whose words are an entry's label to that entry."""
    if app.builder.format != "html":
        return
    places = {one.formatted_entry.label: one.citation_id for one in app.env.get_domain("cite").citations}
    for link in doctree.findall(nodes.reference):
        place = places.get(" ".join(link.astext().split()))
        if place and link.get("refuri", "").endswith("bibliography.html"):
            link["refuri"] += f"#{place}"


def setup(app):
    register_plugin("pybtex.style.labels", "author_year_words", AuthorYear)
    register_plugin("pybtex.style.formatting", "book", Book)
    app.connect("config-inited", name_entries)
    app.connect("doctree-resolved", link_entries)
    app.add_js_file("lab/page.js", loading_method="defer")
    return {"version": "1", "parallel_read_safe": True}
