r"""A Sphinx extension: formulas are set by KaTeX when a page is written, and need no script in the reader's browser.

A formula that KaTeX cannot set is a warning with its place, so it fails the build. A full stop or comma after a formula
in a line, or a bracket before it, never stands alone at a line's end or beginning.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

from . import atomic_write, formulas

SHEET, FONTS = "katex.css", "katex-fonts.css"  # tools/pages.py adds a link to the fonts where a page ends
AFTER = re.compile(r"[.,;:!?)\]’”%]+|-\w+|[’']s\b")
BEFORE = re.compile(r"[(\[“‘]+$")
logger = logging.getLogger(__name__)


class Formulas:
    """What sets one build's formulas, started when the first is met."""

    def __init__(self):
        self._setter: formulas.Setter | None = None
        self.classes: set[str] = set()

    def html(self, node, tex: str, display: bool) -> str:
        if self._setter is None:
            self._setter = formulas.Setter()
        try:
            made = self._setter.formula(tex, display)
        except ValueError as error:
            logger.warning("KaTeX cannot set the formula %s: %s", tex.strip(), error, location=node)
            return f"<code>{nodes.unescape(tex)}</code>"
        self.classes |= formulas.classes_in(made)
        return made

    def end(self, app, error) -> None:
        """Write the style sheets that this build's pages need."""
        if self._setter is not None:
            self._setter.close()
        if error is None and app.builder.format == "html":
            static = Path(app.outdir) / "_static"
            atomic_write(static / SHEET, formulas.style()[0])
            atomic_write(static / FONTS, formulas.font_faces(self.classes))


def source(node) -> str:
    """The TeX of a displayed formula, as Sphinx has MathJax set it: blank lines part equations, split aligns one."""
    text = node.astext()
    if node.get("nowrap"):
        # KaTeX would number each line of these itself; the page's numbers are Sphinx's.
        return re.sub(r"(\\(?:begin|end)\{(?:align|alignat|equation|gather|multline))\}", r"\1*}", text)
    found = [part.strip() for part in text.split("\n\n") if part.strip()]
    found = [rf"\begin{{split}}{part}\end{{split}}" if needs_split(part) else part for part in found]
    return found[0] if len(found) == 1 else rf"\begin{{aligned}}{(chr(92) * 2).join(found)}\end{{aligned}}"


def needs_split(part: str) -> bool:
    r"""Whether lines are parted by \\ outside any environment."""
    return r"\\" in re.sub(r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}", "", part, flags=re.S)


def visit_math(translator, node) -> None:
    made = translator.builder.app.formulas.html(node, node.astext(), display=False)
    translator.body.append(translator.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    translator.body.append(f"{made}</span>")
    raise nodes.SkipNode


def visit_math_block(translator, node) -> None:
    made = translator.builder.app.formulas.html(node, source(node), display=True)
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node.get("number"):
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append(f"{made}</div>\n")
    raise nodes.SkipNode


class KeepTogether(SphinxPostTransform):
    """Put each formula in a line and what must not be parted from it into one element."""

    default_priority = 900  # when links and roles are resolved
    formats = ("html",)

    def run(self, **_) -> None:
        for formula in list(self.document.findall(nodes.math)):
            keep_together(formula)


def keep_together(formula) -> None:
    parent, place = formula.parent, formula.parent.index(formula)
    before = parent[place - 1] if place else None
    after = parent[place + 1] if place + 1 < len(parent) else None
    opening = BEFORE.search(before) if isinstance(before, nodes.Text) else None
    closing = AFTER.match(after) if isinstance(after, nodes.Text) else None
    if not opening and not closing:
        return
    kept = nodes.inline("", "", classes=["kept-together"])
    parent[place] = kept
    for text, match, inside in ((before, opening, 0), (after, closing, 1)):
        if text is not None and match:
            parent.replace(text, nodes.Text(text[: match.start()] + text[match.end() :]))
            kept += nodes.Text(match[0])
        if not inside:
            kept += formula


def setup(app):
    app.formulas = Formulas()
    app.add_html_math_renderer("katex", (visit_math, None), (visit_math_block, None))
    app.add_post_transform(KeepTogether)
    app.add_css_file(SHEET, priority=200)
    app.connect("build-finished", app.formulas.end)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
