"""The built pages as a reader meets them: claims, tables, head and foot. They are built here if they are not fresh."""

import html
import json
import os
import re
import subprocess
import sys
from functools import cache
from xml.etree import ElementTree

import pytest
from PIL import Image

from tools import ROOT, book, chapter_number, notebooks, setup_cell, sphinx_page
from tools.browser import UNFOLD
from tools.cells import code_cells, source
from tools.claim_box import record_anchor
from tools.claims_page import anchor
from tools.dependency_hash import claims_in


@cache
def built():
    book.ensure()
    return book.HTML


@cache
def page(name):
    return (built() / name).read_text(encoding="utf-8")


def words(text):
    return re.sub(r"\s+", " ", re.sub(r"<.*?>", "", text)).strip()


CHAPTERS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in notebooks.chapters()}
CLAIMS = [
    (name, claim) for name, made in CHAPTERS.items() for cell in code_cells(made) for claim in claims_in(source(cell))
]


# ------------------------------------------------------------------------------------------------------------ claims


def box(name, number):
    boxes = page(f"book/{name}.html").split('<div class="claim-box ')[1:]
    return next(text for text in boxes if f'aria-label="Claim {number}"' in text)


def test_each_mark_leads_to_its_record_and_each_record_to_its_cell():
    records = page("book/appendix/claims.html")
    assert len(CLAIMS) > 200
    for name, claim in CLAIMS:
        chapter, one = page(f"book/{name}.html"), record_anchor(claim.number)
        assert f'<a class="claim-number" href="appendix/claims.html#{one}"' in box(name, claim.number)
        assert f'id="{anchor(claim.number)}"' in chapter and records.count(f'id="{one}"') == 1
        own = records[records.index(f'id="{one}"') :].split("</details>")[0]
        assert f'<a href="../{name}.html#{anchor(claim.number)}">' in own, claim.number


def test_a_claim_is_said_once_in_its_chapter_before_any_code_is_opened():
    """The line that the cell prints has made place for the box; the code, which says it again, is folded behind it."""
    for name, claim in CLAIMS:
        chapter = page(f"book/{name}.html")
        unfolded = words(re.sub(r'<details class="admonition hide.*?</details>', "", chapter, flags=re.S))
        assert len(re.findall(rf"[✓↻] {re.escape(claim.number)} ", unfolded)) == 1, claim.number
    behind = page("book/01_minimax.html").split('id="claim-1-1"')[1]
    assert behind.index("claim-box") < behind.index("The code that checks it")


def test_what_a_claims_cell_prints_besides_is_kept():
    assert "V(D*, G) = -0.994858" in page("book/01_minimax.html")


def test_a_claim_has_a_dot_for_each_run_that_is_recorded():
    runs = json.loads((ROOT / "book" / "claims.json").read_text(encoding="utf-8"))["runs"]
    counted = 0
    for name, claim in CLAIMS:
        sets = {}
        for run in runs:
            if (
                not run["sabotage"]
                and claim.number in run["claims"]
                and run["chapter"] == chapter_number(f"{name}.ipynb")
            ):
                sets.setdefault(run["digits"], {})[run["seed"]] = run["claims"][claim.number]
        values = {json.dumps([made[seed] for seed in sorted(made)]) for made in sets.values()}
        kept = sets if len(values) > 1 else dict(list(sets.items())[:1])
        expected = 0 if claim.exact else sum(map(len, kept.values()))
        assert len(re.findall(r'<circle class="(?:seed|fresh)"', box(name, claim.number))) == expected, claim.number
        counted += expected
    assert counted > 1000


def test_claims_are_found_by_words_and_by_kind(open_page, book_on_disk):
    window = open_page(f"{book_on_disk}/book/appendix/claims.html")
    shown = "[...document.querySelectorAll('details.record')].filter(one => one.checkVisibility()).length"
    everything = window.evaluate(shown)
    assert everything == len(CLAIMS)
    window.get_by_label("Words").fill("gradient")
    found = [one.inner_text() for one in window.locator("details.record:visible summary").all()]
    assert 3 < len(found) < 60 and all("gradient" in text.lower() for text in found)
    assert window.inner_text(".claim-filter output") == f"{len(found)} of {everything}"
    window.get_by_label("Kind").select_option("exact")
    exact = [one.inner_text() for one in window.locator("details.record:visible summary").all()]
    assert 0 < len(exact) < len(found) and all(text.endswith("exact") for text in exact)
    window.evaluate("location.hash = 'record-2-1'")
    window.wait_for_function(f"{shown} === {everything}")
    quiet = open_page(f"{book_on_disk}/book/appendix/claims.html", java_script_enabled=False)
    assert not quiet.is_visible(".claim-filter")


# ----------------------------------------------------------------------------------------------------------- chapters


def test_a_chapter_s_title_has_its_number_and_its_name_elsewhere_has_not():
    for name in CHAPTERS:
        made = page(f"book/{name}.html")
        heading, title = (
            words(re.search(r"<article.*?<h1>(.*?)</h1>", made, re.S)[1]),
            re.search(r"<title>(.*?)</title>", made)[1],
        )
        number = f"{int(name[:2])}. " if name[:2].isdigit() else ""
        assert heading.startswith(number) and not re.match(r"\d+\. \d", heading)
        assert not re.match(r"\d", title.strip()), title


def test_a_figure_comes_before_its_code():
    """And its caption too, where it follows the figure at once."""
    for name in CHAPTERS:
        body = page(f"book/{name}.html").partition("</h1>")[2]
        for label in re.findall(r"Code of Figure ([\w.]+)</p>", body):
            place = body.index(f"Code of Figure {label}</p>")
            cell = body[body.rindex("cell-figure", 0, place) : place]
            assert re.search(r'<picture|gt-film|<img|class="chart"', cell), (name, label)


# ------------------------------------------------------------------------------------------------------------ tables


def test_each_cell_carries_the_name_of_its_column():
    """Only so is it clear what a value is where rows are cards."""
    notation = page("book/appendix/notation.html")
    tables = re.findall(r"<table.*?</table>", notation, re.S)
    assert len(tables) > 5
    for table in tables:
        heads = [words(head) for head in re.findall(r"<th .*?</th>", table, re.S)]
        rows = re.findall(r"<tr.*?</tr>", table, re.S)[1:]
        assert len(heads) > 1 and rows and "cards" in table.split(">")[0]
        for row in rows:
            assert re.findall(r'<td[^>]* data-label="(.*?)"', row) == heads


def test_narrow_tables_stay_tables_on_a_phone(open_page, book_on_disk):
    """Their rows can be compared, and they need no scrolling; wide ones are cards."""
    shown = {}
    for name in ("05_dcgan", "07_wgan_gp", "09_evaluation"):
        window = open_page(f"{book_on_disk}/book/{name}.html", width=360)
        window.evaluate(UNFOLD)
        shown[name] = window.evaluate(
            """[...document.querySelectorAll('article table')].map(one =>
                [one.matches('.cards'), one.scrollWidth - one.clientWidth])"""
        )
    assert [False, 0] in shown["05_dcgan"] and [False, 0] in shown["07_wgan_gp"]
    assert shown["09_evaluation"] and all(cards for cards, _ in shown["09_evaluation"])
    assert all(over <= 0 for found in shown.values() for _, over in found)


def test_tables_keep_their_roles_whatever_their_display():
    table = re.search(r"<table.*?</table>", page("book/appendix/notation.html"), re.S)[0]
    for tag, role in {
        "table": "table",
        "thead": "rowgroup",
        "tbody": "rowgroup",
        "tr": "row",
        "th": "columnheader",
        "td": "cell",
    }.items():
        tags = re.findall(rf"<{tag}\b[^>]*>", table)
        assert tags and all(f'role="{role}"' in one for one in tags), tag


# --------------------------------------------------------------------------------------------------------- the head


def every_page():
    for path in sorted(built().rglob("*.html")):
        if not {"_static", "_modules"} & set(path.relative_to(book.HTML).parts):
            yield path.name, path.read_text(encoding="utf-8").split("</head>")[0]


def test_each_head_has_one_of_each_tag():
    seen = 0
    for name, head in every_page():
        plain = name in ("404.html", "index.html")
        assert head.count("<title>") == 1 and head.count('name="viewport"') == (0 if name == "index.html" else 1), name
        for tag in ('name="description"', 'property="og:title"', 'property="og:description"', 'property="og:type"'):
            assert head.count(tag) == (0 if plain else 1), (name, tag)
        seen += 1
    assert seen > 20


def test_the_title_of_the_first_page_is_said_once():
    title = re.search(r"<title>(.*?)</title>", page("book/intro.html"), re.S)[1]
    assert title == "Generative adversarial networks, claim by claim"
    assert "The minimax game &#8212; Generative" in page("book/01_minimax.html")


def test_descriptions_are_sentences_of_their_pages():
    found = {}
    for name in CHAPTERS:
        head, _, body = page(f"book/{name}.html").partition("</head>")
        found[name] = html.unescape(re.search(r'name="description" content="(.*?)"', head)[1])
        assert 40 < len(found[name]) <= 162, (name, found[name])
        assert found[name].removesuffix(" …")[:40] in words(html.unescape(body)), name
    assert len(set(found.values())) == len(found)


def test_what_is_too_long_for_a_description_ends_with_a_sentence_or_a_word():
    assert sphinx_page.sentences("One two. Three  four five.", 15) == "One two."
    assert sphinx_page.sentences("One two three four", 15) == "One two three …"
    assert sphinx_page.sentences("One.\n Two.") == "One. Two."


def test_a_chapter_offers_its_notebook_and_other_places_only_where_there_is_a_repository():
    for name in CHAPTERS:
        line = re.search(r'<p class="reading-time">.*?</p>', page(f"book/{name}.html"), re.S)[0]
        notebook = re.search(r'<a href="([^"]*)" download>', line)[1]
        assert json.loads((book.HTML / "book" / notebook).read_text(encoding="utf-8"))["cells"]
        assert ("colab" in line) is bool(setup_cell.project()[0])
    links = sphinx_page.links_of("https://github.com/a/b", "v1", "book/x.ipynb", "x.ipynb")
    assert "https://colab.research.google.com/github/a/b/blob/v1/book/x.ipynb" in links
    assert 'href="https://github.com/a/b/blob/HEAD/book/x.ipynb"' in links


#: What these begin with is code to be read: the first picture is what it made.
CODE_FIRST = (
    "00_primer",
    "02_first_gan",
    "04_stacked",
    "11_gan_or_vae",
    "12_translation",
    "15_after_gans",
    "own_images",
    "errata",
)


def test_a_chapter_opens_with_its_question_and_a_picture_before_any_code_that_is_open():
    for name in CHAPTERS:
        body = page(f"book/{name}.html").partition("</h1>")[2]
        unfolded = re.sub(r'<details class="admonition hide.*?</details>', "", body, flags=re.S)
        code = re.search(r'<div class="cell_input', unfolded)
        picture = re.search(r'<img |class="gt-film"|class="chart"|<div class="math', unfolded)
        assert words(unfolded[:400]) and picture, name
        if name not in CODE_FIRST:
            assert code is None or picture.start() < code.start(), name


# ------------------------------------------------------------------------------------------------ a small book

CONF = """
extensions = ["myst_nb", "tools.sphinx_page", "tools.sphinx_tables"]
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"
html_theme = "basic"
html_title = "Small"
copyright = "2026"
html_baseurl = {base!r}
"""
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FIGURE = {
    "cell_type": "code",
    "source": "# @title Figure S.2",
    "metadata": {},
    "execution_count": 1,
    "outputs": [{"output_type": "display_data", "data": {"image/png": PNG}, "metadata": {}}],
    "id": "a",
}
TEXT = """# Small

One & "two": $x$, $y$ (see $z$), and $a + b + c + d + e + f + g + h + i + j + k + l + m = n$, then.

Words enough to be described by them, so that this is a description.

| a | $b$ |
| - | - |
| 1 | 2 |

```python
def f(x):
    return g(x, [1])
```

```{cite-box}
```

```{toctree}
book/start
```
"""


def small_book(folder, base):
    (folder / "book").mkdir()
    (folder / "conf.py").write_text(CONF.format(base=base))
    (folder / "index.md").write_text(TEXT)
    (folder / "CITATION.cff").write_text('title: "Small, a book"\nauthors:\n  - name: "We"\nversion: 0.1.0\n')
    notebook = {"cells": [{"cell_type": "markdown", "source": "# Start", "metadata": {}, "id": "b"}, FIGURE]}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    text = json.dumps(notebook | {"metadata": kernel, "nbformat": 4, "nbformat_minor": 5})
    (folder / "book" / "start.ipynb").write_text(text)
    command = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "-b", "html", str(folder), str(folder / "html")]
    result = subprocess.run(command, env=dict(os.environ, PYTHONPATH=str(ROOT)), capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return small_book(tmp_path_factory.mktemp("published"), "https://a.example/b")


@pytest.fixture(scope="module")
def unpublished(tmp_path_factory):
    return small_book(tmp_path_factory.mktemp("unpublished"), "")


def test_an_address_makes_canonical_links_a_sitemap_and_a_picture(published, unpublished):
    head = (published / "book" / "start.html").read_text()
    assert '<link rel="canonical" href="https://a.example/b/book/start.html" />' in head
    assert '<meta property="og:url" content="https://a.example/b/book/start.html" />' in head
    assert '<meta property="og:image" content="https://a.example/b/_static/card.png" />' in head
    assert Image.open(published / "_static" / "card.png").size == (1200, 630)
    places = [place.text for place in ElementTree.parse(published / "sitemap.xml").iter() if place.tag.endswith("loc")]
    assert places == ["https://a.example/b/book/start.html", "https://a.example/b/index.html"]
    head = (unpublished / "book" / "start.html").read_text()
    assert not {"canonical", "og:url", "og:image"} & set(re.findall(r"canonical|og:\w+", head))
    assert not (unpublished / "sitemap.xml").exists() and not (unpublished / "_static" / "card.png").exists()


def test_a_page_that_is_not_there_leads_back_from_any_depth(published, unpublished):
    known, unknown = ((folder / "404.html").read_text() for folder in (published, unpublished))
    assert '<base href="/b/">' in known and "<script>" not in known
    assert '<base href="./">' in unknown and "location.pathname" in unknown
    assert '<li><a href="book/start.html">Start</a></li>' in known and '<a href="index.html">Small</a>' in known


@pytest.mark.parametrize(
    "address, base",
    [
        ("/404.html", "/"),
        ("/x", "/"),
        ("/r/x", "/r/"),
        ("/r/book/x", "/r/"),
        ("/r/book/appendix/deep/x.html", "/r/"),
        ("/book/r/book/x", "/book/r/"),
        ("/home/book/_build/html/404.html", "/home/book/_build/html/"),
        ("/_modules/gan_tutorial/x.html", "/"),
    ],
)
def test_the_book_is_found_above_an_address_that_is_not_there(address, base):
    """The script's two regular expressions, by Python's."""
    inside, rest = re.findall(r"/((?:[^/\n\\[]|\\.|\[(?:[^\]\\]|\\.)*\])+)/[.)]", sphinx_page.FIND_BASE)[0], None
    found = re.match(inside.replace("\\/", "/"), address)
    direct = address.endswith("404.html") or not found
    assert (re.sub(r"[^/]*$", "", address) if direct else found[1]) == base and rest is None


def test_lines_of_code_know_how_far_they_are_indented_and_read_the_same(unpublished):
    text = (unpublished / "index.html").read_text()
    code = re.search(r"<pre>(.*?)</pre>", text, re.S)[1]
    assert html.unescape(re.sub(r"<.*?>", "", code)) == "def f(x):\n    return g(x, [1])\n"
    assert re.findall(r'<span class="line"([^>]*)>', code) == ["", ' style="--indent:4"']


def test_what_is_printed_in_columns_does_not_wrap():
    for text in ("step   loss\n1      0.5", "tensor([1, 2])", "[[1 2]\n [3 4]]"):
        assert sphinx_page.is_table(text)
    assert not sphinx_page.is_table("search and formula differ by at most 5e-05\n(the steps are 1e-4)"[:43])


def test_the_cite_box_says_what_the_citation_file_says(unpublished):
    text = words(html.unescape((unpublished / "index.html").read_text()))
    assert "@software{small2026, title = {{Small, a book}}, author = {{We}}, year = {2026}, version = {0.1.0} }" in text
    people = {"authors": [{"family-names": "A", "given-names": "B"}, {"name": "C"}], "title": "T", "version": 1}
    assert "author  = {{A, B} and {C}}" in sphinx_page.bibtex(people | {"repository-code": "u"}, "1")


def test_the_head_of_a_column_may_be_a_formula(unpublished):
    assert re.findall(r'data-label="(.*?)"', (unpublished / "index.html").read_text()) == ["a", "b"]
