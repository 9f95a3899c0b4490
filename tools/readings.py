"""How long the chapters are to read: measured, and printed as Markdown tables.

    python -m tools.readings

A first reading is what stands before `## Exercises`. Words are those of the Markdown outside folded boxes; a formula in
a line counts as one word, a displayed one as five. Lines are those of visible code, blank ones left out.

On the way from the title page everything counts that a reader of the pages sees: also what they put in for marks and
directives, the line of minutes under a title, the captions of films and the labels of what is folded; not what code
printed. (Scripts exchange some of it: the laboratory's words for others, a film's caption for its controls.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import ROOT, book_order, chapter_number
from .cells import code_cells, is_folded, readings, section, source, title

PACE = 200  # words a minute
COLUMNS = 80
FIRST_WORDS, FIRST_LINES = 2500, 200  # at most, of a first reading
START_WORDS, START_LINES = 1200, 60  # at most, of the chapter before all others
LOOP_WORDS, DIGIT_WORDS = 600, 1500  # goals on the way from the title page

DETAILS = re.compile(r"<details\b.*?</details>", re.S | re.I)
SUMMARY = re.compile(r"<summary>(.*?)</summary>", re.S | re.I)
PICTURE = re.compile(r"<(svg|script|style)\b.*?</\1>", re.S | re.I)
DISPLAYED = re.compile(r"\$\$.+?\$\$|^\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.S | re.M)
INLINE = re.compile(r"(?<![\\$])\$(?! )[^$\n]+(?:\n[^$\n]+)?\$")
LINK = re.compile(r"(!?)\[([^\]]*)\]\([^)]*\)")
TAG = re.compile(r"</?[a-z][^>]*>|<!--.*?-->", re.S | re.I)
CAPTION = re.compile(r"\*\*Figure ([\w.]+?)\.\*\*")
EXERCISE = re.compile(
    r"^(?:#{3,6} +|\*\*|(?=Exercise ))(?:★+ *)?(?:Exercise +(?P<named>\d+)\b|(?P<bare>\d+)(?=[.:)]| *★))[^\n]*", re.M
)
LOOP = re.compile(r"\.backward\(|\bgt\.fit\(")
MARK = re.compile(r"<!-- (output|minutes): (.+?) -->")  # filled in by reused_outputs.py
LABORATORY = re.compile(r"^```\{lab\}[^\n]*\n(?::\w+:[^\n]*\n)*(.*?)^```$", re.S | re.M)
FILM_CAPTION = re.compile(r"<figcaption>(.*?)</figcaption>", re.S)


def without_fences(text: str) -> tuple[str, int]:
    """Markdown without its fenced code, and how many lines of code that was."""
    kept, lines, fence = [], 0, ""
    for line in text.splitlines():
        mark = re.match(r" {0,3}(```+|~~~+)", line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif fence:
            lines += bool(line.strip())
        else:
            kept.append(line)
    return "\n".join(kept), lines


def word_count(text: str) -> int:
    """The words of Markdown that are read without unfolding anything."""
    text, _ = without_fences(DETAILS.sub(" ", text))
    text = PICTURE.sub(" ", text)
    text = LINK.sub(lambda link: " " if link[1] else link[2], text)
    text = INLINE.sub(" formula ", DISPLAYED.sub(" a formula of five words ", text))
    return sum(any(map(str.isalnum, word)) for word in TAG.sub(" ", text).split())


def line_count(cell: dict) -> int:
    """The lines of code that one sees: of a code cell that is not folded, or fenced in Markdown."""
    if cell["cell_type"] == "markdown":
        return without_fences(DETAILS.sub("", source(cell)))[1]
    return 0 if is_folded(cell) else sum(bool(line.strip()) for line in source(cell).splitlines())


def words(cells: Iterable[dict]) -> int:
    return sum(word_count(source(cell)) for cell in cells if cell["cell_type"] == "markdown")


def lines(cells: Iterable[dict]) -> int:
    return sum(map(line_count, cells))


def minutes(count: int) -> int:
    """The time that so many words take to read, at least one minute."""
    return max(1, round(count / PACE))


def wide_lines(cell: dict) -> list[str]:
    """The lines of a code cell, and of the text that it printed, that are wider than a column."""
    texts = [source(cell)]
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        shown = output.get("text", "") if len(data) == 0 else data.get("text/plain", "") if len(data) == 1 else ""
        texts.append("".join(shown))
    return [line for text in texts for line in text.splitlines() if len(line) > COLUMNS]


def shows_picture(cell: dict) -> bool:
    """Whether a code cell's output is a picture or a film."""
    kinds = [output.get("data", {}) for output in cell.get("outputs", [])]
    return any(
        any(kind.startswith("image/") for kind in data) or "<img" in "".join(data.get("text/html", ""))
        for data in kinds
    )


def exercise_cells(notebook: dict) -> list[dict]:
    """The cells of the exercises, in both readings."""
    return [*section(notebook, "Exercises"), *section(notebook, "Deeper: more exercises")]


def exercises(notebook: dict) -> dict[int, int]:
    """The numbers of the exercises with their stars, 0 where one has none."""
    texts = (source(cell) for cell in exercise_cells(notebook) if cell["cell_type"] == "markdown")
    found = [match for text in texts for match in EXERCISE.finditer(DETAILS.sub("", text))]
    return {int(match["named"] or match["bare"]): match[0].count("★") for match in found}


def captions(notebook: dict) -> list[str]:
    """The numbers of the figures that have a caption, in order."""
    texts = (source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    return [found[1] for text in texts if (found := CAPTION.match(text.lstrip()))]


def predictions(cells: Iterable[dict]) -> int:
    """How many questions are to be answered before the result is seen."""
    return sum(source(cell).count("**Predict.**") for cell in cells if cell["cell_type"] == "markdown")


def converted(notebook: dict) -> bool:
    """Whether the chapter has two readings."""
    return bool(section(notebook, "In short"))


@dataclass(frozen=True)
class Length:
    """What is measured of one chapter."""

    name: str
    first_words: int
    first_lines: int
    words: int
    lines: int
    wide_cells: int
    wide_lines: int
    stars: tuple[int, int, int]  # exercises of one, two, three stars
    figures: int  # with captions
    pictures: int
    predictions: int
    seconds: float | None  # of processor time, one thread

    @property
    def first_minutes(self) -> int:
        return minutes(self.first_words)

    @property
    def deeper_minutes(self) -> int:
        """Of the second reading; 0 where there is none."""
        rest = self.words - self.first_words
        return minutes(rest) if rest else 0


def measure(name: str, notebook: dict, seconds: float | None = None) -> Length:
    first, _ = readings(notebook)
    wide = [len(wide_lines(cell)) for cell in code_cells(notebook)]
    stars = list(exercises(notebook).values())
    return Length(
        name=name,
        first_words=words(first),
        first_lines=lines(first),
        words=words(notebook["cells"]),
        lines=lines(notebook["cells"]),
        wide_cells=sum(map(bool, wide)),
        wide_lines=sum(wide),
        stars=(stars.count(1), stars.count(2), stars.count(3)),
        figures=len(captions(notebook)),
        pictures=sum(map(shows_picture, code_cells(notebook))),
        predictions=predictions(first),
        seconds=seconds,
    )


def running_times(root: Path = ROOT) -> dict[str, float]:
    """Seconds of each chapter's run with seed 0, from the record of the claims: {"02": 63.0}."""
    path = root / "book" / "claims.json"
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.is_file() else []
    runs = [run for run in runs if run["seed"] == 0 and run["sabotage"] is None and run.get("seconds")]
    return {run["chapter"]: run["seconds"] for run in sorted(runs, key=lambda run: run["digits"] == "mnist")}


def chapters(root: Path = ROOT) -> dict[str, dict]:
    """The book's notebooks by name, the first one first."""
    paths = sorted((root / "book").glob("*.ipynb"), key=lambda path: book_order(path.name))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def lengths(root: Path = ROOT) -> list[Length]:
    times = running_times(root)
    return [
        measure(name, notebook, times.get(chapter_number(f"{name}.ipynb"))) for name, notebook in chapters(root).items()
    ]


# ------------------------------------------------------------------------------------------- from the title page


@dataclass(frozen=True)
class Arrival:
    """How much one has read when one meets something for the first time."""

    where: str
    words: int
    lines: int


def film_captions(cell: dict) -> str:
    """What stands under a cell's films until they play, and where they do not."""
    films = ["".join(output.get("data", {}).get("text/html", "")) for output in cell.get("outputs", [])]
    return " ".join(found for film in films for found in FILM_CAPTION.findall(film))


def as_shown(text: str, notebooks: dict[str, dict]) -> str:
    """Markdown with the words that the pages put in for marks and for `{lab}`. LookupError where a mark leads nowhere.

    notebooks  the book's, by name; of a picture with a caption nothing is added but the words of a film
    """

    def fill(mark: re.Match) -> str:
        if mark[1] == "minutes":
            return "10 minutes"  # two words, whatever their number
        name, wanted = [word.strip() for word in mark[2].split(",")][:2]
        found = [cell for cell in notebooks[name.removesuffix(".ipynb")]["cells"] if title(cell) == wanted]
        if not found:
            raise LookupError(f"No cell of {name} is titled {wanted!r}: the mark {mark[0]!r} needs another title.")
        return film_captions(found[0])

    return MARK.sub(fill, LABORATORY.sub(lambda lab: lab[1], text))


def time_words(length: Length) -> Iterator[str]:
    """First reading 12 min, the rest 9 min, exercises not solved, runs in 60 s; minutes are those of reading."""
    if length.deeper_minutes:
        yield f"First reading {length.first_minutes} min"
        yield f"the rest {length.deeper_minutes} min, exercises not solved"
    else:
        yield f"{length.first_minutes} min"
    if length.seconds is not None:
        yield f"runs in {length.seconds:.0f} s"


def title_page(root: Path = ROOT) -> dict:
    text = (root / "book" / "intro.md").read_text(encoding="utf-8")
    return {"cells": [{"cell_type": "markdown", "source": text, "metadata": {}}]}


def route(root: Path = ROOT) -> Iterator[tuple[str, dict]]:
    """(page, cell) from the title page through the beginning and the chapters, first readings only, as shown."""
    notebooks, times = chapters(root), running_times(root)
    for name, notebook in {"intro": title_page(root), **notebooks}.items():
        if name.startswith("00_"):  # background, looked up where it is needed
            continue
        if name != "intro":
            length = measure(name, notebook, times.get(chapter_number(f"{name}.ipynb")))
            under_title = " · ".join([*time_words(length), "notebook"])
            yield name, {"cell_type": "markdown", "source": under_title, "metadata": {}}
        for cell in readings(notebook)[0]:
            shown = as_shown(source(cell), notebooks) if cell["cell_type"] == "markdown" else source(cell)
            yield name, {**cell, "source": shown}


def label(cell: dict) -> str:
    """The words on a folded cell, "" on one that is not: its title, which for a figure's code says so."""
    words = title(cell) if is_folded(cell) else ""
    return f"Code of {words}" if words.startswith("Figure ") else words


def shown_words(cell: dict) -> int:
    """The words of a cell that a reader sees, outside its code and what that printed."""
    if cell["cell_type"] == "markdown":
        return word_count(source(cell)) + sum(map(word_count, SUMMARY.findall(source(cell))))
    return word_count(f"{label(cell)} {film_captions(cell)}")


def arrivals(cells: Iterable[tuple[str, dict]]) -> tuple[Arrival | None, Arrival | None]:
    """Where the first training loop comes, and behind it the first picture of generated digits; None if nowhere.

    A loop is visible code that takes a backward pass, or calls the package's training. A picture shows digits if its
    alt text, or its film's, says so.
    """
    loop, read, seen = None, 0, 0
    for page, cell in cells:
        code = cell["cell_type"] == "code"
        loops = code and not is_folded(cell) and LOOP.search(source(cell))
        loop = loop or (Arrival(page, read, seen) if loops else None)
        if loop and code and shows_picture(cell) and "digit" in picture_words(cell):
            return loop, Arrival(page, read, seen)
        read, seen = read + shown_words(cell), seen + line_count(cell)
    return loop, None


def picture_words(cell: dict) -> str:
    """The alt text of a cell's picture or film, in small letters."""
    alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
    films = ["".join(output.get("data", {}).get("text/html", "")) for output in cell.get("outputs", [])]
    return " ".join([alt, *(found for film in films for found in re.findall(r'\balt="([^"]*)"', film))]).lower()


# ------------------------------------------------------------------------------------------------------- tables

COLUMN_NAMES = (
    "chapter",
    "first reading: words",
    "minutes",
    "lines",
    "whole: words",
    "minutes",
    "lines",
    "wide cells (lines)",
    "★ / ★★ / ★★★",
    "figures with captions",
    "predict",
    "runs in",
)


def table(rows: Iterable[Iterable[object]], names: Iterable[str]) -> str:
    """A Markdown table."""
    names = list(names)
    body = [[str(value) for value in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [names, ["---"] * len(names), *body])


def row(found: Length) -> tuple:
    return (
        found.name,
        f"{found.first_words:,}",
        found.first_minutes,
        found.first_lines,
        f"{found.words:,}",
        minutes(found.words),
        found.lines,
        f"{found.wide_cells} ({found.wide_lines})",
        " / ".join(map(str, found.stars)),
        f"{found.figures} of {found.pictures}",
        found.predictions,
        "" if found.seconds is None else f"{found.seconds:.0f} s",
    )


def way_in(root: Path = ROOT) -> str:
    """The table of what one reads before the first loop and before the first digits."""
    goals = (("the first training loop", LOOP_WORDS), ("the first generated digits", DIGIT_WORDS))
    rows = []
    for (name, goal), found in zip(goals, arrivals(route(root)), strict=True):
        measured = (found.words, found.lines, found.where) if found else ("–", "–", "nowhere")
        rows.append((name, *measured, f"under {goal:,} words"))
    return table(rows, ("from the title page to", "words", "lines of code", "in", "goal"))


def main() -> None:
    print(table(map(row, lengths()), COLUMN_NAMES))
    print(f"\nA first reading has at most {FIRST_WORDS:,} words and {FIRST_LINES} lines. {PACE} words a minute.\n")
    print(way_in())


if __name__ == "__main__":
    main()
