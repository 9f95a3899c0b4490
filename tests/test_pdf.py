"""Pages printed and joined into one file: numbers, bookmarks, links that stay within it, and nothing folded away."""

import shutil

import pytest
from pypdf import PdfReader

from tools import pdf
from tools.browser import installed

needs_browser = pytest.mark.skipif(installed() is None, reason="needs Chromium or Chrome")
PAGE = """<!DOCTYPE html><title>{name}</title><link rel="stylesheet" href="print.css">
<main class="bd-article"><section id="{name}"><h1>{name}<a class="headerlink" href="#{name}">#</a></h1>
<p><a href="{other}.html#deep">to the other</a> <a href="data.ipynb">a file</a> <a href="https://a.example/">web</a></p>
<details><summary>Solution</summary><pre>{long}</pre></details>
<section id="part-{name}" style="break-before: page"><h2>Part of {name}</h2><p id="deep">Deep in {name}.</p>
</section></section></main>"""


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pdf")
    shutil.copy(pdf.ROOT / "book" / "_static" / "print.css", folder)
    pages = []
    for name, other in (("one", "two"), ("two", "one")):
        pages.append((folder / f"{name}.html").resolve())
        pages[-1].write_text(PAGE.format(name=name, other=other, long="wide" * 60 + "end"))
    pdf.join(pdf.print_pages(pages, folder), folder / "book.pdf", "Title", "Author")
    return PdfReader(folder / "book.pdf")


@needs_browser
def test_the_sheets_are_all_there_numbered_through_with_what_is_folded(joined):
    texts = [" ".join(sheet.extract_text().split()) for sheet in joined.pages]
    assert len(texts) == 4 and [text.split()[-1] for text in texts] == list("1234")
    for text in (texts[0], texts[2]):
        assert "Solution" in text and text.count("wide") > 50 and "end" in text.replace(" ", "")
    assert joined.metadata.title == "Title" and joined.metadata.author == "Author"


@needs_browser
def test_long_code_goes_on_on_the_next_sheet(tmp_path):
    """It does not wait for an empty one, which it would not fit on either."""
    shutil.copy(pdf.ROOT / "book" / "_static" / "print.css", tmp_path)
    lines = "".join(f'<span class="line">line {number}\n</span>' for number in range(150))
    (tmp_path / "a.html").write_text(
        '<!DOCTYPE html><link rel="stylesheet" href="print.css"><main class="bd-article"><p>Before.</p>'
        f'<div class="highlight"><pre><span></span>{lines}</pre></div></main>'
    )
    [printed] = pdf.print_pages([tmp_path / "a.html"], tmp_path)
    texts = [sheet.extract_text() for sheet in PdfReader(printed.pdf).pages]
    assert len(texts) > 1 and all("line" in text for text in texts) and "Before." in texts[0]


@needs_browser
def test_the_bookmarks_are_the_headings(joined):
    one, of_one, two, of_two = joined.outline
    found = [(mark.title, joined.get_destination_page_number(mark)) for mark in (one, of_one[0], two, of_two[0])]
    assert found == [("one", 0), ("Part of one", 1), ("two", 2), ("Part of two", 3)]


@needs_browser
def test_links_lead_to_places_in_the_file_or_to_the_web(joined):
    sheets = [sheet.indirect_reference.idnum for sheet in joined.pages]
    aims = {}
    for number, sheet in enumerate(joined.pages):
        for link in (one.get_object() for one in sheet.get("/Annots", [])):
            aim = link["/A"]["/URI"] if "/A" in link else sheets.index(link["/Dest"][0].idnum)
            aims.setdefault(number, set()).add(aim)
    assert {0: {3, "https://a.example/"}, 2: {1, "https://a.example/"}}.items() <= {
        number: {aim for aim in found if aim not in (number, number + 1)} for number, found in aims.items()
    }.items()
    assert "file:" not in str(aims)


def test_without_a_browser_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="No browser found. Install Chromium or Chrome"):
        pdf.make()


def test_the_book_is_printed_in_the_order_of_its_contents():
    names = pdf.contents()
    assert names[:3] == ["book/intro", "book/start", "book/laboratory"] and names[-1] == "book/appendix/bibliography"
