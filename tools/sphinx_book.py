"""What the book adds to Sphinx: mathematics without a network, and a bibliography labelled as the chapters cite it."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style as Plain
from pybtex.style.labels import BaseLabelStyle

MATHJAX = "mathjax/tex-svg-full.js"  # one file: SVG needs no fonts, and "full" loads no extension later


def use_local_mathjax(app, config) -> None:
    config.mathjax_path = MATHJAX


def copy_mathjax(app, error) -> None:
    """Put the one file of MathJax that the pages use into _static, from the package sphinx-mathjax-offline."""
    if error is not None or app.builder.format != "html":
        return
    package = importlib.util.find_spec("sphinx-mathjax-offline")
    assert package and package.origin, "it is in requirements.txt"
    target = Path(app.outdir) / "_static" / MATHJAX
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(package.origin).parent / "static" / MATHJAX, target)


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
    app.connect("config-inited", use_local_mathjax)
    app.connect("build-finished", copy_mathjax)
    return {"version": "1", "parallel_read_safe": True}
