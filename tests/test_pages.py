"""The built pages: complete without a network, no link into nowhere, no picture without words.

The pages are built here if they are older than what they are made from.
"""

import html.parser
import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tools import ERRATA, book, notebooks, setup_cell

ROOT = Path(__file__).parents[1]


class Page(html.parser.HTMLParser):
    """What a page holds: ids, links, what it loads, images without words."""

    LOADS = {
        "script": "src",
        "img": "src",
        "iframe": "src",
        "video": "src",
        "audio": "src",
        "source": "src",
        "embed": "src",
        "object": "data",
    }
    LINKS = {"stylesheet", "preload", "modulepreload", "icon", "manifest", "prefetch"}

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loads, self.silent = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given.get("id"), given.get("name") if tag == "a" else None} - {None}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if given.get(self.LOADS.get(tag)):
            self.loads.append(given[self.LOADS[tag]])
        if tag == "link" and self.LINKS & set((given.get("rel") or "").split()):
            self.loads.append(given.get("href") or "")
        if tag == "img" and not (given.get("alt") or "").strip():
            self.silent.append(given.get("src"))

    handle_startendtag = handle_starttag


def outside(address):
    """Whether a browser asks another host for this."""
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in ("http", "https")


PRESETS = set(re.findall(r"^  (\w+): \{", (ROOT / "book/lab/src/engine/presets.ts").read_text(encoding="utf-8"), re.M))


def dead_links(pages, root):
    """(page, link) for each link or load, within the book, whose file or anchor is not there."""
    dead = []
    for path, page in pages.items():
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            missing = not target.is_file() or root not in target.parents
            if target.name == "laboratory.html" and anchor in PRESETS:  # a setting, which the page's script reads
                continue
            if missing or (anchor and target in pages and anchor not in pages[target].ids):
                dead.append((str(path.relative_to(root)), link))
    return dead


def read(root):
    paths = [p for p in sorted(root.rglob("*.html")) if "_static" not in p.relative_to(root).parts]
    return {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in paths}


@pytest.fixture(scope="module")
def pages(built):
    return read(built)


def test_every_chapter_has_its_page(pages):
    names = {path.stem for path in pages}
    assert {path.stem for path in (ROOT / "book").glob("*.ipynb")} <= names
    assert {"index", "intro", "bibliography", "claims", "glossary", "notation", "api"} <= names


def test_nothing_is_loaded_from_elsewhere(pages):
    assert {(path.name, load) for path, page in pages.items() for load in page.loads if outside(load)} == set()


def test_style_sheets_load_nothing_from_elsewhere(pages):
    sheets = list((book.HTML / "_static").rglob("*.css"))
    assert sheets
    for sheet in sheets:
        text = sheet.read_text(encoding="utf-8")
        for mark in ("url(http", 'url("http', "url('http", "url(//", '@import "http', "@import url(http"):
            assert mark not in text, sheet.name


def test_no_link_leads_nowhere(pages):
    assert dead_links(pages, book.HTML) == []


def test_every_picture_has_words(pages):
    silent = [(path.name, source) for path, page in pages.items() for source in page.silent]
    # The theme shows the logo beside the title, without words of its own.
    assert [pair for pair in silent if not str(pair[1]).endswith("logo.svg")] == []


def test_there_is_a_button_for_colab_only_where_there_is_a_repository(pages):
    repository, release = setup_cell.project()
    chapters = [path.stem for path in sorted((ROOT / "book").glob("*.ipynb"))]
    colab = [
        link
        for path, page in pages.items()
        for link in page.links
        if "colab.research.google.com" in link and path.stem in chapters
    ]
    if not repository:
        assert colab == []
    else:
        for name in chapters:
            assert any(link.endswith(f"/blob/{release}/book/{name}.ipynb") for link in colab), name


# -------------------------------------------------------------------------------------------------- the title page

INTRO = (ROOT / "book" / "intro.md").read_text(encoding="utf-8")
BOX = re.compile(r'<a href="(\w+)\.html" data-needs="([\d ]*)"><b>(.+?)</b>')


def in_contents():
    """Chapter files of the table of contents, in order, with their titles."""
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    every = [chapter for part in parts for chapter in part["chapters"]]
    return {chapter["file"].removeprefix("book/"): chapter["title"] for chapter in every if "title" in chapter}


def test_the_map_has_a_box_for_each_chapter_and_no_other():
    boxes = {file: title for file, _, title in BOX.findall(INTRO)}
    assert boxes == {file: title.replace(". ", " ", 1) for file, title in in_contents().items()}
    assert next(iter(in_contents())) == "start"


def test_the_title_page_speaks_of_no_chapter_that_is_not_there():
    numbers = {file[:2] for file in in_contents() if file[:2].isdigit()}
    text = re.sub(r"<!--.*?-->", "", INTRO)
    needs = " ".join(re.findall(r"Needs ([\d, ]+)\.", text))
    spoken = re.findall(r"[Cc]hapters? (\d+)|\[(\d+)[\] ]", text)
    spoken = [number for pair in spoken for number in pair if number] + re.findall(r"\d+", needs)
    assert len(spoken) > 5 and {f"{int(number):02d}" for number in spoken} <= numbers


def needed(chapter, boxes):
    """All that a chapter needs by the map, and what that needs."""
    return {need for direct in boxes[chapter] for need in {direct} | needed(direct, boxes)}


def test_a_chapter_needs_what_the_map_says():
    """Its own words on what one needs link to no chapter that the map leaves out. The appendix is not on the map."""
    boxes = {file[:2]: [f"{int(n):02d}" for n in needs.split()] for file, needs, _ in BOX.findall(INTRO)}
    assert sum(map(len, boxes.values())) > 10
    for path in (path for path in notebooks.chapters() if path.name != ERRATA):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n\n".join(notebooks.source(cell) for cell in cells if cell["cell_type"] == "markdown")
        passages = re.findall(r"^(?:#+ |\*\*)?(?:What y|Y)ou need\b.*?(?=^#|\Z)", text, re.S | re.M)
        linked = {number for passage in passages for number in re.findall(r"\((\d\d)_\w+\.ipynb", passage)}
        background = {"00", path.name[:2]}  # the primer is linked wherever it helps
        assert passages, f"{path.name} does not say what one needs"
        assert linked - background <= needed(path.name[:2], boxes), path.name


def test_a_route_comes_to_no_chapter_before_what_that_needs():
    needs = {file[:2]: [f"{int(n):02d}" for n in needs.split()] for file, needs, _ in BOX.findall(INTRO)}
    routes = re.findall(r"^- \*\*\w+.*ipynb.*$", INTRO, re.M)
    assert len(routes) == 3
    for route in routes:
        passed = re.findall(r"\((\w\w)\w+\.ipynb", route)
        assert passed and all(set(needs[chapter]) <= set(passed[:i]) for i, chapter in enumerate(passed)), route
        minutes = re.search(r"minutes: ([\w, ]+?) -->", route)
        assert minutes is None or [{"S": "st"}.get(name, name) for name in minutes[1].split(", ")] == passed, route


def test_the_first_picture_of_the_title_page_is_what_the_start_trains(pages):
    intro = (book.HTML / "book" / "intro.html").read_text(encoding="utf-8")
    assert intro.index('class="start-button"') < intro.index('class="gt-film"') < intro.index("chapter-map")
    start = (book.HTML / "book" / "start.html").read_text(encoding="utf-8")
    assert start.count('class="gt-film"') == 2 and start.index('class="gt-film"') < start.index("importlib")


# ---------------------------------------------------------------------------------------- the checks can fail


def test_a_page_that_is_wrong_in_every_way(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="b.html#here">x</a> <a href="b.html#gone">x</a> <a href="#nowhere">x</a>'
        '<a href="c.html">x</a> <a href="https://example.org">x</a> <img src="//example.org/a.png">'
        '<img src="a.png" alt="A."/>'
        '<script src="https://example.org/a.js"></script> <link rel="stylesheet" href="https://example.org/a.css">'
        '<link rel="canonical" href="https://example.org/">'
    )
    (tmp_path / "b.html").write_text('<p id="here">')
    made = read(tmp_path)
    page = made[(tmp_path / "a.html").resolve()]
    assert dead_links(made, tmp_path) == [("a.html", link) for link in ("b.html#gone", "#nowhere", "c.html", "a.png")]
    assert [load for load in page.loads if outside(load)] == [
        "//example.org/a.png",
        "https://example.org/a.js",
        "https://example.org/a.css",
    ]
    assert page.silent == ["//example.org/a.png"]


def test_a_change_of_a_source_or_a_lost_page_makes_the_pages_stale(tmp_path):
    html, source = tmp_path / "html", tmp_path / "book" / "a.md"
    for folder in (html, source.parent):
        folder.mkdir()
    source.write_text("one")
    (html / "a.html").write_text("one")

    def fresh():
        return book.fresh(tmp_path, html)

    assert not fresh()
    (html / book.STAMP).write_text(f"{book.made_from(tmp_path)} {book.digest(html, html.rglob('*'))}")
    assert fresh()
    source.write_text("two")
    assert not fresh()
    source.write_text("one")
    assert fresh()
    source.rename(source.with_name("b.md"))
    assert not fresh()
    source.with_name("b.md").rename(source)
    assert fresh()
    (html / "a.html").unlink()
    assert not fresh()
