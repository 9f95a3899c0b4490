"""A Sphinx extension: a bibliography labelled as the chapters cite it, and the script that every page has."""

from __future__ import annotations

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


def setup(app):
    register_plugin("pybtex.style.labels", "author_year_words", AuthorYear)
    register_plugin("pybtex.style.formatting", "book", Book)
    app.add_js_file("lab/page.js", loading_method="defer")
    return {"version": "1", "parallel_read_safe": True}
