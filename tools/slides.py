"""Slides of each chapter's figures, to lecture from: one HTML file a chapter in _build/slides/.

    python -m tools.slides        all chapters
    python -m tools.slides 02 05  some of them

A slide has a figure, the heading that it stands under and its caption. The first slide has the chapter's title and
question, the last one what is "in short". A file is complete in itself and needs no network: pictures are in it, films
play in it, and formulas are set, with the fonts that they need. Arrow keys and the space bar turn pages.
"""

from __future__ import annotations

import atexit
import base64
import html
import json
from collections.abc import Iterator
from functools import cache

from . import ROOT, atomic_write, formulas, notebooks, option_parser, readings, student
from .cells import parts, section, source

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
{slides}
<script>
{keys}
</script>
</body>
</html>
"""

STYLE = """\
html { scroll-snap-type: y mandatory; font: 1.4rem/1.45 system-ui, sans-serif; color: #222; background: #fff; }
body { margin: 0; }
section { box-sizing: border-box; height: 100vh; padding: 3vh 6vw; scroll-snap-align: start; display: flex;
  flex-direction: column; justify-content: center; gap: 2vh; }
section > * { margin: 0; }
h1 { font-size: 3rem; }
h2 { font-size: 1.6rem; color: #555; }
.picture { flex: 1 1 0; min-height: 0; display: flex; align-items: center; justify-content: center; }
.picture > img { width: 100%; height: 100%; object-fit: contain; }
.printed { display: none !important; }
footer { font-size: 0.8rem; color: #666; }
@media print {
  @page { size: A4 landscape; margin: 0; }
  html { scroll-snap-type: none; font-size: 12pt; }
  section { height: 100vh; break-after: page; break-inside: avoid; }
  .played { display: none !important; }
  .printed { display: flex !important; }
}"""

KEYS = """\
addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 }[event.key];
  if (!step || event.target.closest("button, input, select, .gt-film")) return;
  event.preventDefault();
  const slides = [...document.querySelectorAll("section")];
  const here = Math.round(scrollY / innerHeight);
  slides[Math.max(0, Math.min(slides.length - 1, here + step))].scrollIntoView();
});"""


@cache
def setter() -> formulas.Setter:
    """What sets formulas; it ends with the program."""
    made = formulas.Setter()
    atexit.register(made.close)
    return made


@cache
def renderer():
    """Markdown to HTML, with formulas as KaTeX sets them."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    def formula(content: str, options: dict) -> str:
        return setter().formula(content, options["display_mode"])

    return MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, renderer=formula)


def rendered(text: str) -> str:
    """HTML of Markdown, without links, which lead to files that are not there."""
    return renderer().render(readings.LINK.sub(lambda link: "" if link[1] else link[2], text))


def data_uri(data: dict) -> str:
    """The picture among the forms of an output, as an address that holds it whole: SVG, PNG, or "" for none."""
    if svg := "".join(data.get("image/svg+xml", "")):
        return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    png = "".join(data.get("image/png", "")).replace("\n", "")
    return f"data:image/png;base64,{png}" if png else ""


def picture(cell: dict) -> str:
    """HTML of what a cell shows: a picture with its alt text; a film, and for paper the picture in its place."""
    alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
    found = []
    for output in cell["outputs"]:
        data = output.get("data", {})
        film = "".join(data.get("text/html", ""))
        address = data_uri(data)
        still = f'<img src="{address}" alt="{html.escape(alt)}">' if address else ""
        if "<img" in film:
            found.append(f'<div class="picture played">{film}</div>')
            found.append(f'<div class="picture printed">{still}</div>' if still else "")
        elif still:
            found.append(f'<div class="picture">{still}</div>')
    return "\n".join(found)


def alt_words(cell: dict) -> str:
    return cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")


def figures(notebook: dict) -> Iterator[tuple[str, dict, str]]:
    """(heading, cell, words) of each picture: its caption, or its alt text where it has none.

    Pictures of solutions are left out: slides are shown to those who are to solve the exercises.
    """
    heading, waiting = "", None
    for level, found, cell in [*parts(notebook), (0, "", {"cell_type": "markdown", "source": ""})]:
        shows = cell["cell_type"] == "code" and readings.shows_picture(cell) and not student.is_solution(cell)
        if waiting and (shows or cell["cell_type"] == "markdown"):
            caption = readings.CAPTION.match(source(cell).lstrip()) if not shows else None
            words = source(cell).strip().split("\n\n")[0] if caption else alt_words(waiting[1])
            yield (*waiting, words)
            waiting = None
        heading = found if level > 1 else heading
        waiting = (heading, cell) if shows else waiting


def slides(notebook: dict) -> Iterator[str]:
    """The HTML of each slide."""
    opening = source(notebook["cells"][0])
    below = opening.partition("\n")[2].strip()
    yield f"{rendered('# ' + title(notebook))}{rendered(below)}"
    for heading, cell, words in figures(notebook):
        yield f"{rendered('## ' + heading)}{picture(cell)}\n{rendered(words)}"
    if summary := section(notebook, "In short"):
        yield rendered("\n\n".join(source(cell) for cell in summary if cell["cell_type"] == "markdown"))


def title(notebook: dict) -> str:
    return next((heading for level, heading, _ in parts(notebook) if level == 1), "Untitled")


def page(notebook: dict) -> str:
    """The whole HTML file of one chapter's slides."""
    made = list(slides(notebook))
    body = "\n".join(f"<section>\n{slide}\n<footer>{count}</footer>\n</section>" for count, slide in enumerate(made, 1))
    style = STYLE
    if 'class="katex' in body:
        style += f"\n{formulas.style()[0]}\n{formulas.font_faces(formulas.classes_in(body))}"
    return PAGE.format(title=html.escape(title(notebook)), style=style, slides=body, keys=KEYS)


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("names", nargs="*", help="paths or chapter numbers; all chapters where none is given")
    folder = ROOT / "_build" / "slides"
    for path in notebooks.chapters(parser.parse_args().names):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        atomic_write(folder / f"{path.stem}.html", page(notebook))
        print(f"{folder / path.stem}.html: {len(list(slides(notebook)))} slides")


if __name__ == "__main__":
    main()
