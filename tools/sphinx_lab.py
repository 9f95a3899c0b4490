"""A Sphinx extension: the laboratory in a page, at one of its settings.

In a page of Markdown it is a directive. What stands in it is shown until the laboratory is there, and stays where there
is no JavaScript:

    ```{lab} title
    :layout: small

    Two networks train here as you watch.
    ```

In a chapter, which is read in Jupyter and on Colab as well, it is a paragraph of one link to the laboratory's page:

    [Play it: the Dirac-GAN](laboratory.md#dirac)

There it stays a link. On the page the laboratory takes its place, at the setting of that name.

The script and its style (book/lab/src/lab/) are loaded on pages that need them only; the trainer, which is larger, when
somebody presses play.
"""

from __future__ import annotations

import html

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

PAGE = "book/laboratory"
LAYOUTS = ("full", "small", "embedded")


class lab(nodes.General, nodes.Element):
    """A laboratory: setting, layout and page; its children are what stands there without it."""


def visit(translator, node) -> None:
    attributes = {
        "class": "gan-lab",
        "data-lab": node["setting"],
        "data-layout": node["layout"],
        "data-page": translator.builder.get_relative_uri(translator.builder.current_docname, PAGE),
    }
    translator.body.append("<div " + " ".join(f'{key}="{html.escape(text)}"' for key, text in attributes.items()) + ">")


def depart(translator, node) -> None:
    translator.body.append("</div>\n")


def nothing(translator, node) -> None:
    """Pages that are no HTML show what stands in the laboratory's place."""


class Lab(SphinxDirective):
    required_arguments = 1  # the name of a setting
    has_content = True
    option_spec = {"layout": lambda text: directives.choice(text, LAYOUTS)}

    def run(self):
        self.assert_has_content()
        node = lab(setting=self.arguments[0], layout=self.options.get("layout", "embedded"))
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]


def link_of(paragraph) -> addnodes.pending_xref | None:
    """The link to a setting of the laboratory that a paragraph consists of."""
    parts = [child for child in paragraph.children if child.astext().strip()]
    if len(parts) != 1 or not isinstance(parts[0], addnodes.pending_xref):
        return None
    link = parts[0]
    return link if link.get("reftarget") == PAGE and link.get("reftargetid") else None


def mount(app, doctree) -> None:
    """Put a laboratory around each link to one of its settings; the link itself then leads to the page."""
    for paragraph in list(doctree.findall(nodes.paragraph)):
        if link := link_of(paragraph):
            node = lab(setting=link["reftargetid"], layout="embedded")
            link["reftargetid"] = None
            paragraph.replace_self(node)
            node += paragraph


def load(app, pagename, templatename, context, doctree) -> None:
    if doctree is not None and next(doctree.findall(lab), None) is not None:
        app.add_css_file("lab/lab.css")
        app.add_js_file("lab/lab.js", loading_method="defer")


def setup(app):
    app.add_node(lab, html=(visit, depart), latex=(nothing, nothing), text=(nothing, nothing))
    app.add_directive("lab", Lab)
    app.connect("doctree-read", mount)
    app.connect("html-page-context", load)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
