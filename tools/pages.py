"""What is done to the pages when Sphinx has written them: what the theme loads and no page needs goes.

The theme draws its icons by a script of 1.5 MB, loads a search index of its own with every page, and has every script
in front of the text. Here icons become SVG in the page, and scripts wait until the text is there. Where the theme's
pages are no longer what is expected here, that is an error and not a page without icons.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from . import formulas

ICON = re.compile(r'<(i|span) class="([^"]*\bfa-solid\b[^"]*)"([^>]*)>\s*</\1>')
SIZES = ("fa-solid", "fa-lg", "fa-fw")
SCRIPT = re.compile(r'\s*<script\b[^>]*\bsrc="([^"?]*)[^"]*"[^>]*></script>')
SHEET = re.compile(r'\s*<link\b[^>]*\bhref="([^"?]*\.css)[^"]*"[^>]*/>')
# The theme's own search and icons; ours are in book/lab/src/search and below.
DROPPED = ("fontawesome.js", "searchtools.js", "language_data.js", "searchindex.js")
BLOCKING = ("documentation_options.js",)  # scripts in the page rely on it
NOT_NEEDED = ("scripts/fontawesome.js", "scripts/fontawesome.js.LICENSE.txt", "vendor/fontawesome", "**/*.map")
GLYPHS = re.compile(
    r"(?:\.fa-[\w-]+:{1,2}(?:before|after),?)+\{[^{}]*\}|@font-face\{font-family:\"?Font ?Awesome[^{}]*\}"
)


def with_icons(page: str, setter: formulas.Setter) -> str:
    """The page with SVG in place of the elements that the theme's script would fill."""

    def draw(found: re.Match) -> str:
        names = found[2].split()
        name = next(name for name in names if name.startswith("fa-") and name not in SIZES)
        others = [one for one in names if not one.startswith("fa-")]
        attributes = re.sub(r'\s+title="[^"]*"', "", found[3])
        svg = setter.icon(name.removeprefix("fa-"))
        return svg.replace('class="svg-icon"', f'class="{" ".join(["svg-icon", *others])}"{attributes}')

    return ICON.sub(draw, page)


def lighter(page: str) -> str:
    """The page without scripts and style sheets that it does not use; the others' scripts run when it has been read."""
    uses_design = re.search(r'class="[^"]*\bsd-', page)

    def script(found: re.Match) -> str:
        name = found[1].rpartition("/")[2]
        if name in DROPPED or (name == "design-tabs.js" and not uses_design):
            return ""
        waits = name in BLOCKING or re.search(r"\b(?:defer|async)\b", found[0])
        return found[0] if waits else found[0].replace("<script ", "<script defer ", 1)

    def sheet(found: re.Match) -> str:
        if found[1].endswith("styles/theme.css"):  # nothing but the order to load another one
            return found[0].replace("styles/theme.css", "basic.css")
        name = found[1].rpartition("/")[2]
        return "" if name == "sphinx-design.min.css" and not uses_design else found[0]

    return SHEET.sub(sheet, SCRIPT.sub(script, page))


COLOUR = re.compile(r'html\[data-theme="(\w+)"\] \.highlight(?: \.(\w+))? \{([^}]*)\}')


def plain_classes(sheet: str) -> set[str]:
    """The classes of code that look as code does anyway, in light and in dark: half of a chapter's elements."""
    ground: dict[str, str] = {}
    looks: dict[str, dict[str, str]] = {}
    for theme, name, rules in COLOUR.findall(sheet):
        if name:
            looks.setdefault(name, {})[theme] = rules.strip()
        elif colour := re.search(r"(?<!-)color: (#\w+)", rules):
            ground[theme] = f"color: {colour[1]}"
    return {name for name, found in looks.items() if found == ground}


def fewer_spans(page: str, plain: set[str]) -> str:
    """The page without elements around those parts of code."""
    span = re.compile(f'<span class="(?:{"|".join(sorted(plain))})">([^<]*)</span>')
    return re.sub(r"<pre\b.*?</pre>", lambda code: span.sub(r"\1", code[0]), page, flags=re.S) if plain else page


def with_fonts(page: str) -> str:
    """Fonts of formulas come at the end: the text does not wait for them."""
    found = re.search(r'<link\b[^>]*href="([^"]*)katex\.css[^"]*"[^>]*/>', page)
    if found is None or 'class="katex' not in page:
        return page.replace(found[0], "") if found else page
    return page.replace("</body>", f'<link rel="stylesheet" href="{found[1]}katex-fonts.css" />\n</body>')


LOGO, ALT, HOME = (
    re.compile(r'<a class="navbar-brand logo".*?</a>', re.S),
    re.compile(r'alt="[^"]*"'),
    'alt="Title page"',
)
AUTHOR = re.compile(r'<p class="component-author">.*?</p>', re.S)
NO_SCRIPT = re.compile(r"<noscript>.*?</noscript>", re.S)
WITHOUT_SEARCH = """<noscript>
<style>form.bd-search { display: none !important; }</style>
<p>The search needs JavaScript, which is switched off here. These pages list what the book has:
<a href="genindex.html">the index</a>, <a href="book/appendix/glossary.html">the glossary</a> and
<a href="book/appendix/claims.html">all claims</a>.</p>
</noscript>"""
EMPTY_HEAD = re.compile(r'<th class="head[^"]*" role="columnheader"><p></p></th>')


def mended(page: str) -> str:
    """What the theme and docutils get wrong for those who listen to a page."""
    # The button's words are "Search Ctrl+K": its name must hold them.
    page = re.sub(r'(<button class="[^"]*search-button-field[^"]*") title="[^"]*" aria-label="[^"]*"', r"\1", page)
    # The entries of a bibliography are no list items, and their role is one that was given up.
    page = page.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    page = page.replace(' role="doc-biblioentry"', "")
    # The logo is a link within a part of the page that has a name; what it shows is where it leads.
    page = LOGO.sub(lambda logo: f'<nav aria-label="Title page">{ALT.sub(HOME, logo[0])}</nav>', page)
    page = AUTHOR.sub("", page)  # the line below names them too
    page = NO_SCRIPT.sub(lambda found: WITHOUT_SEARCH if "activate JavaScript" in found[0] else found[0], page)
    return EMPTY_HEAD.sub('<td class="head" role="cell"></td>', page)


def lazy(page: str) -> str:
    """Pictures are loaded when they come near, all but the first in the text; a picture inside the page needs none."""
    start = page.find("<article")

    def wait(found: re.Match) -> str:
        return found[0] if "loading=" in found[0] or 'src="data:' in found[0] else f'<img loading="lazy"{found[0][4:]}'

    first = page.find("<img", start)
    after = page.find(">", first) if first >= 0 else -1
    return page if start < 0 or first < 0 else page[:after] + re.sub(r"<img\b[^>]*>", wait, page[after:])


def join_sheets(static: Path, names: list[str]) -> str:
    """Put these style sheets into the first one, for one request in place of many; a hash of its new content."""
    first, *others = (static / name for name in names)
    text = "\n".join(path.read_text(encoding="utf-8") for path in (first, *others))
    first.write_text(text, encoding="utf-8")
    for path in others:
        path.unlink()
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def with_joined(page: str, names: list[str], version: str) -> str:
    """The page with a link to the first of these style sheets alone, which holds them all."""

    def sheet(found: re.Match) -> str:
        name = found[1].rpartition("/")[2]
        if name not in names:
            return found[0]
        return re.sub(r"\.css[^\"]*", f".css?v={version}", found[0]) if name == names[0] else ""

    return SHEET.sub(sheet, page)


def finish(html: Path, own: Sequence[str] = ()) -> None:
    """Do all of this to the pages in the folder `html`, and make one of the book's `own` style sheets.

    RuntimeError where the theme is not what it was.
    """
    sheet = html / "_static" / "styles" / "pydata-sphinx-theme.css"
    text, glyphs = GLYPHS.subn("", sheet.read_text(encoding="utf-8"))
    if glyphs < 100:
        raise RuntimeError(f"{sheet.name} is not what it was: its icons are not found.")
    sheet.write_text(text, encoding="utf-8")
    plain = plain_classes((html / "_static" / "pygments.css").read_text(encoding="utf-8"))
    version = join_sheets(html / "_static", names) if (names := list(own)) else ""
    with formulas.Setter() as setter:
        for path in sorted(html.rglob("*.html")):
            page = path.read_text(encoding="utf-8")
            if "_static" in path.relative_to(html).parts or "<body" not in page:
                continue  # index.html has none: it leads to the title page
            made = fewer_spans(lazy(with_fonts(lighter(mended(with_icons(page, setter))))), plain)
            made = with_joined(made, names, version)
            left = re.findall(r'class="[^"]*\bfa-[a-z-]+', re.sub(r"<pre>.*?</pre>", "", made, flags=re.S))
            if left or any(name in made for name in DROPPED[:1]):
                raise RuntimeError(f"{path.name}: an icon is left as the theme's script would draw it: {left[:1]}")
            path.write_text(made, encoding="utf-8")
    for pattern in NOT_NEEDED:
        for path in sorted((html / "_static").glob(pattern), reverse=True):
            for file in [path] if path.is_file() else sorted(path.rglob("*")):
                if file.is_file():
                    file.unlink()
