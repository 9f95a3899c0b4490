"""The search in the pages: chapters and sections before the package's reference, names in formulas, no server."""

import json
import re

import pytest

from tools.sphinx_search import DATA, line, names_in

FIELD, FOUND = "#pst-search-dialog input", "#pst-search-dialog .found"


def test_the_names_in_a_formula():
    assert names_in(r"\mathrm{JS}(p, q) \le \frac 1{2.5}\sigma^2") == "JS p q 1 2.5 sigma 2"
    assert names_in(r"W_1(\mathcal N, x_{10})") == "W1 N x10"


@pytest.mark.parametrize(
    "tex, read",
    [
        (r"\theta \neq 0", "θ ≠ 0"),
        (r"\ln 2", "ln 2"),
        (r"-\ln 4 + 2\,\mathrm{JS}(p, q)", "− ln 4 + 2 JS(p, q)"),
        (r"D^*(x) = \frac{p(x)}{p(x) + q(x)}", "D^*(x) = (p(x))/(p(x) + q(x))"),
        (r"\tfrac12\sqrt{d + 1}\,x_{10}^2", "1/2√(d + 1) x_10²"),
        (r"\mathbb E_{x \sim p}\big[\|x\|\big]", "E_(x ∼ p)[‖x‖]"),
        (r"\begin{cases} 0 & x < 1 \\ 1 \end{cases}", "…"),
        (r"\widehat{abc}", "…"),
    ],
)
def test_a_formula_in_a_line_says_what_it_says_or_nothing(tex, read):
    assert line(tex) == read


@pytest.fixture
def search(open_page, book_on_disk):
    """search(words): the titles and addresses found, as the dialog shows them, on a page opened from disk."""
    page = open_page(f"{book_on_disk}/book/06_wasserstein.html")
    page.keyboard.press("Control+k")

    def search(words):
        page.fill(FIELD, "")
        page.wait_for_selector(f"{FOUND}[hidden]", state="attached")
        page.fill(FIELD, words)
        page.wait_for_selector(f"{FOUND}:not([hidden])")
        links = page.locator(f"{FOUND} li > a")
        return [(link.inner_text(), link.get_attribute("href")) for link in links.all()]

    search.page = page
    return search


def test_chapters_sections_and_numbers_come_first(search):
    assert search("DCGAN")[0][1] == "../book/05_dcgan.html"
    assert search("Wasserstein")[0][1] == "../book/06_wasserstein.html"
    assert search("JS")[0][1].startswith("../book/06_wasserstein.html#")
    assert {title for title, _ in search("1.2")[:2]} == {"Claim 1.2", "Figure 1.2"}
    assert search("mode collapse")[0][1] == "../book/appendix/glossary.html#term-mode-collapse"
    assert search("frechet_distance")[0][0] == "metrics.frechet_distance"
    assert "Fréchet" in search("frechet")[0][0]
    assert search("WGAN")[0][1] == "../book/06_wasserstein.html"
    assert not {"Bibliography", "Sources", "Exercises"} & {title for title, _ in search("mode collapse")[:8]}
    assert search("zxqvbn") == []
    assert "Nothing found for “zxqvbn”." in search.page.inner_text(FOUND)
    assert search.page.record.messages == search.page.record.requests == []


def test_the_keyboard_leads_to_a_place(search):
    found = search("Wasserstein")
    page = search.page
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == found[1][0]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.name") == "q"
    page.keyboard.press("Escape")
    assert not page.is_visible(FIELD)
    page.keyboard.press("Control+k")
    found = search("Wasserstein")  # Escape has emptied the field
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("!document.querySelector('dialog[open]')")
    assert page.url.endswith(found[0][1].removeprefix(".."))


def test_all_results_have_a_page(open_page, book_address):
    page = open_page(f"{book_address}/search.html?q=gradient%20penalty")
    page.wait_for_selector(".bd-search-container .found li")
    assert page.locator(".bd-search-container .found li").count() > 20
    assert page.record.messages == page.record.requests == []


def test_each_place_is_there(built):
    """An entry's address leads to an element of a page; the whole is no heavier than a few pictures."""
    text = (built / "_static" / DATA).read_text(encoding="utf-8")
    assert len(text) < 1_000_000
    entries = 0
    assert "ln 2" in text and "JS is 2 for" not in text  # a formula keeps its meaning
    for address, _, found in json.loads(text.removeprefix("bookSearch(").rstrip().removesuffix(")")):
        ids = set(re.findall(r'\bid="([^"]+)"', (built / address).read_text(encoding="utf-8")))
        assert {anchor for _, anchor, *_ in found} - ids <= {""}, address
        entries += len(found)
    assert entries > 500
