"""The form of a notebook: each rule yields sentences, and nothing where it is kept.

What holds of every page are the rules of cells and figures. A chapter has two readings besides, with a section
`## In short`; the errata, a page to look things up in, have not. `python -m tools.notebooks check 03` prints the
faults.
"""

from __future__ import annotations

import re
import symtable
import unicodedata
from collections.abc import Iterator
from functools import cache

from . import LETTERS, ROOT, readings, setup_cell
from .cells import code_cells, is_folded, lines_with_headings, parts, source, tags, title
from .dependency_hash import claims_in

BEHIND = {"Exercises", "Common mistakes", "Sources"}  # sections behind the first reading that are not "Deeper: …"
EASY, PREDICTIONS = 2, 3  # at least
CLAIM_TITLE = re.compile(r"Claims? (?:\w+\.\d+(?:, | and |, and )?)+$")
STARTED, ENDED = re.compile(r"<details\b", re.I), re.compile(r"</details>", re.I)
BOXES = ("Solution", "Check", "Hint", "How we got here")  # how the boxes among the exercises may begin
TERM_LINK = re.compile(r"\[([^\]]*)\]\(([^)]*)\)")
FENCED = re.compile(r"^ {0,3}(```+|~~~+)[^\n]*\n.*?^ {0,3}\1", re.S | re.M)
#: Terms of the glossary that no first use has to link: what every page is about (the start explains it), and words that
#: several chapters use in another sense first ("half precision", "training mode", "a network maps", "powers of ten").
EVERYDAY = set(
    """
    generator critic discriminator sample score seed step turn update claim control condition
    mode map quality law judge power flow overshoot seeking covering coupling precision
    """.split()
)


def faults(notebook: dict, name: str = "") -> Iterator[str]:
    """Everything in which a page is not in the form. `name` is the file's, such as "02_first_gan"."""
    chapter = readings.converted(notebook)
    if chapter or f"{name}.ipynb" in LETTERS:
        yield from width_faults(notebook)
        yield from fold_faults(notebook)
        yield from figure_faults(notebook, str(int(name[:2])) if name[:2].isdigit() else "")
        yield from term_faults(notebook)
    if chapter:
        yield from length_faults(notebook, name)
        yield from section_faults(notebook)
        yield from prediction_faults(notebook)
        yield from exercise_faults(notebook)
        yield from overwriting_faults(notebook)


def written(notebook: dict) -> list[dict]:
    """The code cells that are the chapter's own: all but the set-up cell."""
    return [cell for cell in code_cells(notebook) if not setup_cell.is_setup(source(cell))]


def length_faults(notebook: dict, name: str = "") -> Iterator[str]:
    """A first reading that is too long."""
    found = readings.measure("", notebook)
    words, lines = (readings.FIRST_WORDS, readings.FIRST_LINES)
    if name == "start":
        words, lines = (readings.START_WORDS, readings.START_LINES)
    if found.first_words > words:
        yield f"the first reading has {found.first_words:,} words, more than {words:,}"
    if found.first_lines > lines:
        yield f"the first reading has {found.first_lines} lines of visible code, more than {lines}"


def width_faults(notebook: dict) -> Iterator[str]:
    """Lines that are too wide."""
    for cell in written(notebook):
        if wide := readings.wide_lines(cell):
            yield f"{len(wide)} lines wider than {readings.COLUMNS} columns, such as {wide[0].strip()[:50]!r}"


def section_faults(notebook: dict) -> Iterator[str]:
    """Sections that are missing, out of order, or behind the exercises without "Deeper"."""
    sections = [heading for level, heading, _ in parts(notebook) if level == 2]
    if "Exercises" not in sections:
        yield "no section `## Exercises`"
        return
    first = sections.index("Exercises")
    if sections.index("In short") > first:
        yield "`## In short` stands behind the exercises; it closes the first reading"
    for heading in sections[:first]:
        if heading.startswith("Deeper") or heading in BEHIND:
            yield f"`## {heading}` stands in the first reading"
    for heading in sections[first:]:
        if heading not in BEHIND and not heading.startswith("Deeper: "):
            yield f"`## {heading}` stands in the second reading: its heading begins with 'Deeper: '"


def fold_faults(notebook: dict) -> Iterator[str]:
    """Folded cells without a title, claims that are not folded, folded boxes that do not end in their cell."""
    for cell in written(notebook):
        if is_folded(cell) and not title(cell):
            yield f"a folded cell without `# @title …` in its first line: {source(cell).splitlines()[0][:50]!r}"
        numbers = [claim.number for claim in claims_in(source(cell))]
        if numbers and "hide-input" not in tags(cell):
            yield f"claim {', '.join(numbers)}: its cell is not folded (tag hide-input)"
        if numbers and not (CLAIM_TITLE.match(title(cell)) and re.findall(r"\w+\.\d+", title(cell)) == numbers):
            yield f"claim {', '.join(numbers)}: its cell's title is not `# @title Claim {' and '.join(numbers)}`"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and len(STARTED.findall(source(cell))) != len(ENDED.findall(source(cell))):
            yield f"a <details> that does not end in its cell: {source(cell)[:50]!r}"


def figure_faults(notebook: dict, chapter: str = "") -> Iterator[str]:
    """Pictures whose caption does not come before all else, and captions out of order. `chapter` is its number."""
    waiting: dict | None = None  # the last cell with a picture that has no caption yet
    for cell in [*(cell for cell in notebook["cells"] if source(cell).strip()), {"cell_type": "", "source": ""}]:
        picture = cell["cell_type"] == "code" and readings.shows_picture(cell) and "hide-cell" not in tags(cell)
        said = cell["cell_type"] == "code" and (cell.get("outputs") or claims_in(source(cell)))
        prints = said and "hide-cell" not in tags(cell)
        caption = readings.CAPTION.match(source(cell).lstrip()) if cell["cell_type"] == "markdown" else None
        if waiting is not None and not caption and (picture or prints or cell["cell_type"] != "code"):
            yield f"no caption `**Figure …**` behind the picture of the cell {source(waiting).splitlines()[0][:50]!r}"
        if caption and waiting is None:
            yield f"a caption without a picture before it: {source(cell)[:50]!r}"
        if caption and waiting is not None and title(waiting) not in ("", f"Figure {caption[1]}"):
            yield f"the cell {title(waiting)!r} has the caption of figure {caption[1]}"
        if cell["cell_type"] == "code" and title(cell).startswith("Figure ") and not picture:
            yield f"the cell {title(cell)!r} shows no picture"
        waiting = cell if picture else waiting if cell["cell_type"] == "code" else None
    numbers = readings.captions(notebook)
    prefix = f"{chapter}." if chapter else numbers[0].rpartition("1")[0] if numbers else ""
    if numbers != [f"{prefix}{count}" for count in range(1, len(numbers) + 1)]:
        yield f"figures are numbered {', '.join(numbers)}; expected {prefix}1, {prefix}2 and so on"


def prediction_faults(notebook: dict) -> Iterator[str]:
    """Too few questions to predict, or some without an answer."""
    first, _ = readings.readings(notebook)
    count = readings.predictions(first)
    if count < PREDICTIONS:
        yield f"{count} questions to predict in the first reading (`**Predict.** …`); expected {PREDICTIONS}"
    for cell in first:
        text = source(cell) if cell["cell_type"] == "markdown" else ""
        if text.count("**Predict.**") > len(re.findall(r"<details><summary>Answer</summary>", text)):
            yield f"a question to predict without `<details><summary>Answer</summary>`: {text[:50]!r}"


def exercise_faults(notebook: dict) -> Iterator[str]:
    """Exercises without stars or a solution, and too few of one star that check themselves."""
    stars = readings.exercises(notebook)
    cells = readings.exercise_cells(notebook)
    code = {title(cell): cell for cell in cells if cell["cell_type"] == "code"}
    prose = "\n".join(source(cell) for cell in cells if cell["cell_type"] == "markdown")
    easy = 0
    for number, count in stars.items():
        check, solution = code.get(f"Check {number}"), code.get(f"Solution {number}")
        if not 1 <= count <= 3:
            yield f"exercise {number} has {count} stars; expected one to three"
        if not solution and f"<summary>Solution {number}</summary>" not in prose:
            yield f"exercise {number} has no solution (`# @title Solution {number}`)"
        if not check and not re.search(rf"<summary>Check {number}\b", prose):
            yield f"exercise {number} has no check (`# @title Check {number}`, or a folded box of that name)"
        if solution and "hide-cell" not in tags(solution):
            yield f"the solution of exercise {number} is not folded (tag hide-cell)"
        if check and "hide-input" not in tags(check):
            yield f"the check of exercise {number} is not folded (tag hide-input)"
        if check and f"def check_{number}(" not in source(check):
            yield f"the check of exercise {number} does not define check_{number}"
        if check and f'@gt.grader("Exercise {number}")' not in source(check):
            yield f"the check of exercise {number} stops at an answer of another kind: put @gt.grader above it"
        if check and solution and f"assert check_{number}(" not in source(solution):
            yield f"the solution of exercise {number} does not end with `assert check_{number}(…)`"
        easy += bool(count == 1 and check and solution)
    for summary in readings.SUMMARY.findall(prose):
        if not summary.startswith(BOXES):
            yield f"a box among the exercises is called {summary!r}: `make student` removes only 'Solution …'"
    if easy < EASY:
        yield f"{easy} exercises of one star with a check and a folded solution; expected at least {EASY}"


@cache
def terms() -> dict[str, tuple[re.Pattern, str]]:
    """Entry of the glossary -> (what finds its names in a text, the anchor by its first name), without EVERYDAY's."""
    text = (ROOT / "book" / "appendix" / "glossary.md").read_text(encoding="utf-8")
    found = {}
    for entry in re.findall(r"^(\w[^\n]*)\n  \S", text, re.M):
        names = [name.strip() for name in entry.split(",")]
        wanted = [name for name in names if name not in EVERYDAY and "(" not in name]
        if wanted:
            any_case = [f"(?i:{re.escape(name[0])}){re.escape(name[1:])}" for name in wanted]
            pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(any_case)})s?(?![\w-])".replace(r"\ ", r"\s+"))
            plain = unicodedata.normalize("NFKD", wanted[0]).encode("ascii", "ignore").decode()  # as Sphinx does
            found[entry] = pattern, "term-" + re.sub(r"\W+", "-", plain).strip("-")
    return found


def blank(found: re.Match) -> str:
    """As much space in the place of a match, so that what is behind it stays where it is."""
    return re.sub(r"[^\n]", " ", found[0])


def plain_prose(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Markdown as long as before in which all but a reader's plain sentences is blank, and where glossary links stand.

    Blank are folded boxes, code, formulas, headings, tables, captions, HTML and links to elsewhere.
    """
    for pattern in (readings.DETAILS, FENCED, readings.PICTURE, readings.DISPLAYED, readings.INLINE, readings.TAG):
        text = pattern.sub(blank, text)
    text = re.sub(r"`[^`\n]*`", blank, text)
    lines = [
        " " * (len(line) - 1) + "\n" if level or line.startswith("|") else line
        for line, level, _ in lines_with_headings(text)
    ]
    text = "".join(lines)
    text = re.sub(r"^\*\*Figure [\w.]+\*\*.*?(?=\n\n|\Z)", blank, text, flags=re.S | re.M)
    text = TERM_LINK.sub(lambda link: link[0] if "glossary.md#term-" in link[2] else blank(link), text)
    return text, [link.span() for link in TERM_LINK.finditer(text)]


def first_uses(notebook: dict) -> Iterator[tuple[str, int, re.Match, bool]]:
    """(entry, place of the cell, where it is found, whether that is a link) of each term's first use in the prose."""
    prose = {
        place: plain_prose(source(cell))
        for place, cell in enumerate(notebook["cells"])
        if cell["cell_type"] == "markdown"
    }
    for entry, (pattern, _) in terms().items():
        for place, (text, links) in prose.items():
            if found := pattern.search(text):
                yield entry, place, found, any(start < found.start() < end for start, end in links)
                break


def term_faults(notebook: dict) -> Iterator[str]:
    """Terms of the glossary whose first use in the prose is no link to it."""
    for entry, _, found, linked in first_uses(notebook):
        if not linked:
            words, anchor = " ".join(found[0].split()), terms()[entry][1]
            yield f"the first {words!r} is not a link to the glossary: [{words}](appendix/glossary.md#{anchor})"


def names(code: str) -> tuple[set[str], set[str]]:
    """The names that a cell sets for those behind it, and those that it takes from before, in its functions as well."""
    table = symtable.symtable(code, "cell", "exec")
    defined = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    read = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    inner = table.get_children()
    while inner:
        function = inner.pop()
        inner += function.get_children()
        read |= {s.get_name() for s in function.get_symbols() if s.is_global() and s.is_referenced()}
    return defined, read - defined


def overwriting_faults(notebook: dict) -> Iterator[str]:
    """A solution, or a check, that sets a name which the chapter reads behind it: a claim may then measure that."""
    setter: dict[str, str] = {}  # a name -> the title of the exercise's cell that set it last
    for cell in code_cells(notebook):
        defined, read = names(source(cell))
        if title(cell).startswith(("Solution ", "Check ")):
            setter |= dict.fromkeys(defined, title(cell))
            continue
        for name in sorted(read & setter.keys()):
            where = title(cell) or source(cell)[:30]
            yield f"{where!r} reads {name}, which {setter[name]} sets: give that another name"
        for name in defined:
            setter.pop(name, None)
