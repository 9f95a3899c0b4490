"""The whole book as one PDF, _build/book.pdf, with bookmarks and with links that work within it.

    python -m tools.pdf

The built pages are printed one by one by Chromium or Chrome, as book/_static/print.css says, and joined. Links between
pages lead to their places in the file; links to files beside the pages are dropped.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import yaml
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, Fit, FloatObject, NameObject, NullObject

from . import ROOT, book, browser

TARGET = ROOT / "_build" / "book.pdf"
NUMBERS, TOP = "numbers.pdf", 842.0  # points, the upper edge of A4
LINK = re.compile(r'href="([^"#:]*)#([^"]+)"')

# Runs in each page before it is printed: opens what is folded, and links to every place that another page links to,
# since Chromium notes a place in a file only where a link of the same file leads there.
PREPARE = """
async anchors => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  const headings = [];
  for (const heading of document.querySelectorAll(".bd-article section > h1, .bd-article section > h2")) {
    const text = heading.cloneNode(true);
    text.querySelectorAll(".headerlink").forEach(link => link.remove());
    headings.push([Number(heading.tagName[1]), text.textContent.trim(), heading.parentElement.id]);
    anchors.push(heading.parentElement.id);
  }
  const marks = document.createElement("div");
  marks.style = "font-size: 1px; line-height: 1px; opacity: 0";
  for (const anchor of anchors) {
    if (!document.getElementById(anchor)) continue;
    const link = document.createElement("a");
    link.href = "#" + anchor;
    link.textContent = ".";
    marks.append(link);
  }
  document.querySelector(".bd-article").append(marks);
  const images = [...document.images].filter(image => !image.closest(".only-dark"));
  for (const image of images) image.loading = "eager";
  await Promise.all(images.map(image => image.decode().catch(() => null)));
  await document.fonts.ready;
  return headings;
}
"""


def contents(root: Path = ROOT) -> list[str]:
    """The pages of the table of contents, in order, without .html."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


def anchors(pages: list[Path]) -> dict[Path, list[str]]:
    """The places in each page that some page links to."""
    wanted: dict[Path, set[str]] = {page: set() for page in pages}
    for page in pages:
        for address, anchor in LINK.findall(page.read_text(encoding="utf-8")):
            target = (page.parent / unquote(address)).resolve() if address else page
            if target in wanted:
                wanted[target].add(unquote(anchor))
    return {page: sorted(found) for page, found in wanted.items()}


class Printed(NamedTuple):
    page: Path
    pdf: Path
    places: dict[str, tuple[int, float, float]]  # anchor -> its page in the file, left and top
    headings: list[tuple[int, str, str]]  # level, text, anchor


def print_pages(pages: list[Path], folder: Path) -> list[Printed]:
    """Each page as a PDF of its own, and a last one of nothing but numbers, to be laid over the others."""
    wanted, printed = anchors(pages), []
    with browser.started() as chromium:
        for page in pages:
            window = chromium.new_page(color_scheme="light", reduced_motion="reduce")
            window.goto(page.as_uri(), wait_until="load", timeout=120_000)  # long pages, slow machines
            headings = window.evaluate(PREPARE, wanted[page])
            target = folder / f"{len(printed)}.pdf"
            window.pdf(path=target, prefer_css_page_size=True, print_background=True, tagged=True)
            window.close()
            printed.append(Printed(page, target, places(PdfReader(target)), headings))
        window = chromium.new_page()
        window.set_content(numbers(sum(len(PdfReader(one.pdf).pages) for one in printed)))
        window.pdf(path=folder / NUMBERS, prefer_css_page_size=True)
    return printed


def numbers(count: int) -> str:
    """A sheet for each number, which stands at its foot."""
    style = "@page { size: A4; margin: 0 } p { break-after: page; margin: 0; padding-top: 284mm; text-align: center; "
    sheets = "".join(f"<p>{number}</p>" for number in range(1, count + 1))
    return f"<style>{style} font: 8pt sans-serif; height: 10mm }}</style>{sheets}"


def places(reader: PdfReader) -> dict[str, tuple[int, float, float]]:
    found = {}
    for name, place in reader.named_destinations.items():
        at = reader.get_destination_page_number(place)
        if at is not None:
            found[unquote(name).removeprefix("/")] = (at, float(place.left or 0), float(place.top or 0))
    return found


def join(printed: list[Printed], target: Path, title: str, author: str) -> None:
    """One file, with the pages' bookmarks; links between pages become links within the file."""
    writer, starts = PdfWriter(), {}
    for one in printed:
        starts[one.page] = len(writer.pages)
        writer.append(one.pdf, import_outline=False)
        parent = None
        for level, text, anchor in one.headings:
            at, _, top = one.places.get(anchor, (0, 0.0, TOP))
            fit = Fit.xyz(left=0, top=top)
            above = parent if level > 1 else None
            made = writer.add_outline_item(title=text, page_number=starts[one.page] + at, parent=above, fit=fit)
            parent = made if level == 1 else parent
    for sheet, number in zip(writer.pages, PdfReader(printed[0].pdf.parent / NUMBERS).pages, strict=False):
        sheet.merge_page(number)
        sheet.compress_content_streams()  # to merge them, pypdf unpacked them
    by_page = {one.page: one for one in printed}
    for one in printed:
        for number in range(starts[one.page], starts[one.page] + len(PdfReader(one.pdf).pages)):
            sheet = writer.pages[number]
            kept = [a for a in sheet.get("/Annots", []) if lead(a.get_object(), one, by_page, starts, writer)]
            sheet[NameObject("/Annots")] = ArrayObject(kept)
    writer.add_metadata({"/Title": title, "/Author": author})
    writer.page_mode = "/UseOutlines"
    writer.compress_identical_objects()
    writer.write(target)


def lead(link, own: Printed, by_page: dict[Path, Printed], starts: dict[Path, int], writer: PdfWriter) -> bool:
    """Turn a link within the book into one within the file; whether the link is to be kept."""
    action = link.get("/A")
    action = action.get_object() if action is not None else {}
    if isinstance(link.get("/Dest"), str):
        aim, anchor = own, unquote(link["/Dest"]).removeprefix("/")
    elif str(action.get("/URI", "")).startswith("file:"):
        parts = urlsplit(str(action["/URI"]))
        aim, anchor = by_page.get(Path(url2pathname(parts.path))), unquote(parts.fragment)
    else:
        return True  # to the web
    if aim is None:
        return False
    page, left, top = aim.places.get(anchor, (0, 0.0, TOP))
    sheet = writer.pages[starts[aim.page] + page]
    place = [sheet.indirect_reference, NameObject("/XYZ"), FloatObject(left), FloatObject(top), NullObject()]
    link.pop("/A", None)
    link[NameObject("/Dest")] = ArrayObject(place)
    return True


def make(target: Path = TARGET) -> int:
    """Print the built pages into one file; how many sheets it has."""
    browser.find()  # before the minute that a build takes
    book.ensure()
    pages = [(book.HTML / f"{name}.html").resolve() for name in contents()]
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        printed = print_pages(pages, Path(folder))
        join(printed, target, config["title"], config["author"])
    return len(PdfReader(target).pages)


def main() -> None:
    try:
        sheets = make()
    except RuntimeError as error:
        sys.exit(str(error))
    print(f"{TARGET} written: {sheets} pages, {TARGET.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
