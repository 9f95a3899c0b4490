"""Formulas set when pages are built: an error has its place, punctuation stays with its formula, fonts suffice."""

import re

import pytest
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from tools import formulas, sphinx_math


@pytest.fixture(scope="module")
def setter():
    with formulas.Setter() as made:
        yield made


def test_a_formula_is_set_twice_for_eyes_and_ears(setter):
    made = setter.formula(r"\frac{a}{b}")
    assert "<mfrac><mi>a</mi><mi>b</mi></mfrac>" in made and 'class="katex-html" aria-hidden="true"' in made
    assert "katex-display" in setter.formula("x", display=True) and "katex-display" not in made


def test_what_cannot_be_set_is_said(setter):
    with pytest.raises(ValueError, match=r"Undefined control sequence: \\unheard"):
        setter.formula(r"\unheard x")
    with pytest.raises(ValueError, match="faNosuchicon"):
        setter.icon("nosuchicon")
    assert "katex" in setter.formula("x")  # and the next one is set


def test_the_fonts_are_those_of_the_formulas(setter):
    def families(tex):
        sheet = formulas.font_faces(formulas.classes_in(setter.formula(tex)))
        assert re.findall(r"url\((?!data:font/woff2;base64,)", sheet) == []
        return set(re.findall(r"font-family:KaTeX_(\w+);font-weight:(\d+);font-style:(\w+)", sheet))

    plain = {("Main", "400", "normal"), ("Math", "400", "italic")}
    assert families("x") == plain
    assert families(r"\mathbb{E} x") == plain | {("AMS", "400", "normal")}
    assert families(r"\mathbf{W} x") == plain | {("Main", "700", "normal")}
    assert families(r"\mathcal{L} x") == plain | {("Caligraphic", "400", "normal")}
    assert families(r"\Bigl( x") == plain | {("Size2", "400", "normal")}


def block(tex, **attributes):
    return nodes.math_block(tex, tex, **attributes)


def test_displayed_equations_are_those_that_sphinx_means():
    assert sphinx_math.source(block("a = b")) == "a = b"
    assert sphinx_math.source(block(r"a \\ b")) == r"\begin{split}a \\ b\end{split}"
    matrix = r"\begin{pmatrix} a \\ b \end{pmatrix}"
    assert sphinx_math.source(block(matrix)) == matrix
    assert sphinx_math.source(block("a\n\nb")) == r"\begin{aligned}a\\b\end{aligned}"
    # Numbers are the page's, so KaTeX writes none of its own.
    assert sphinx_math.source(block(r"\begin{align}a&=b\end{align}", nowrap=True)) == r"\begin{align*}a&=b\end{align*}"


@pytest.mark.parametrize(
    "before, after, kept, left",
    [
        ("see ", ", and", "x,", "see | and"),
        ("see (", ") now", "(x)", "see | now"),
        ("see ", " and", "x", "see | and"),
        ("see ", "-axis", "x-axis", "see |"),
        ("", ".", "x.", "|"),
    ],
)
def test_punctuation_is_kept_with_its_formula(before, after, kept, left):
    paragraph = nodes.paragraph()
    paragraph += [nodes.Text(before), nodes.math("x", "x"), nodes.Text(after)]
    text = paragraph.astext()
    sphinx_math.keep_together(paragraph[1])
    assert paragraph.astext() == text
    together = [node for node in paragraph.children if not isinstance(node, nodes.Text)]
    assert [node.astext() for node in together] == [kept]
    assert "|".join(node.astext() for node in paragraph.children if isinstance(node, nodes.Text)) == left


PAGE = r"""# A page on $x_1$

An equation,

$$ a = \frac{b}{c} $$ (first)

and {eq}`first` again, a table

| $\alpha$ | b |
| --- | --- |
| 1 | $y$ |

\begin{align}
a &= b \\
c &= d
\end{align}
"""


def build(folder, text):
    """The page's HTML, and Sphinx's warnings."""
    (folder / "index.md").write_text(text, encoding="utf-8")
    settings = {
        "extensions": ["myst_parser", "tools.sphinx_math"],
        "html_math_renderer": "katex",
        "myst_enable_extensions": ["amsmath", "dollarmath"],
    }
    warnings = (folder / "warnings").open("w+", encoding="utf-8")
    with warnings, docutils_namespace():
        Sphinx(folder, None, folder / "out", folder / "trees", "html", settings, status=None, warning=warnings).build()
        warnings.seek(0)
        return (folder / "out" / "index.html").read_text(encoding="utf-8"), warnings.read()


@pytest.mark.slow
def test_numbers_references_tables_and_headings(tmp_path):
    page, warnings = build(tmp_path, PAGE)
    assert warnings == ""
    assert re.search(r'<div class="math[^>]* id="equation-first">\s*<span class="eqno">\(1\)', page)
    assert re.search(r'href="#equation-first">\(1\)</a>', page)
    assert '<span class="eqno">(2)' in page and page.count('class="katex-display"') == 2
    heading, table = re.search(r"<h1>.*?</h1>", page)[0], re.search(r"<table.*?</table>", page, re.S)[0]
    assert heading.count('class="katex"') == 1 and table.count('class="katex"') == 2
    assert 'class="katex-error' not in page and "eqn-num" not in page
    assert (tmp_path / "out" / "_static" / sphinx_math.FONTS).is_file()


@pytest.mark.slow
def test_a_wrong_formula_is_a_warning_with_its_place(tmp_path):
    _, warnings = build(tmp_path, "# A page\n\nText and $\\oops$.\n")
    assert re.search(
        r"index\.md:3: WARNING: KaTeX cannot set the formula \\oops: .*Undefined control sequence", warnings
    )
