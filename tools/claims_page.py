"""What the page of claims lists: every claim with its record, chapter by chapter, and those nearest to their bounds."""

from __future__ import annotations

import html
from pathlib import PurePosixPath

from . import claim_box
from .claim_sources import FRESH_SEEDS, SEEDS, Chapter
from .claim_verdict import Record

NEAREST = 8  # how many claims stand in the list of those nearest to their bounds


def anchor(number: str) -> str:
    """The id of the cell that checks a claim; sphinx_claims.py puts it into the built page."""
    return "claim-" + number.replace(".", "-")


def cell(chapter: Chapter, number: str) -> str:
    """The address of that cell, seen from the page of claims."""
    return f"../{PurePosixPath(chapter.notebook).stem}.html#{anchor(number)}"


def unfinished(record: dict[str, Record]) -> str:
    """A sentence on the runs that the rules ask for and nobody has made yet; "" where there are none."""
    seeded = [one for one in record.values() if not one.claim.exact]
    counts = {
        "all ten seeds": sum(any(len(e.values) < len(SEEDS) for e in one.sets.values()) for one in seeded),
        "the fresh seeds": sum(any(len(e.fresh) < len(FRESH_SEEDS) for e in one.sets.values()) for one in seeded),
        "a run under sabotage": sum(not one.fails_under for one in record.values()),
    }
    words = ", ".join(f"{what} for {count}" for what, count in counts.items() if count)
    return words and f"Of {len(record)} claims, still to be run: {words}"


def earlier(numbers: list[str], of: dict) -> str:
    """A sentence on the claims that were recorded for an earlier version of the code."""
    return f"{len(numbers)} of {len(of)} claims are recorded for an earlier version of the code"


def raw(text: str) -> str:
    return f"```{{raw}} html\n{text}\n```\n"


def nearest(chapters: dict[str, Chapter], record: dict[str, Record]) -> str:
    """The claims whose mean lies nearest to the bound: the first to fail if something changed."""
    found = sorted(
        (entry.margin, number, claim_box.SETS[digits])
        for number, one in record.items()
        for digits, entry in claim_box.distinct(one).items()
        if entry.margin is not None and len(entry.values) == len(SEEDS)
    )
    best: dict[str, tuple[float, str]] = {}
    for margin, number, digits in found:
        best.setdefault(number, (margin, digits))
    words = {number: claim_box.typeset(record[number].claim.text) for number in best}
    lines = "".join(
        f'<li><a href="#{claim_box.record_anchor(number)}">{number}</a> {words[number]}: '
        f"{claim_box.distance(margin)}{'' if digits == 'all' else f' on {digits}'}</li>\n"
        for number, (margin, digits) in list(best.items())[:NEAREST]
    )
    return f'## Nearest to their bounds\n\n{raw(f"""<ul class="nearest">{chr(10)}{lines}</ul>""")}' if lines else ""


def place(chapter: Chapter) -> str:
    """The anchor of a chapter's part of the page."""
    return f"claims-{chapter.number.lower()}"


def numbered(chapter: Chapter) -> str:
    """A chapter's title with its number, if it has one."""
    return f"{int(chapter.number)}. {chapter.title}" if chapter.number.isdigit() else chapter.title


def jumps(chapters: list[Chapter]) -> str:
    """Links to the chapters' parts of the page."""
    links = "\n".join(
        f'<a href="#{place(one)}" title="{html.escape(one.title)}">{one.number.lstrip("0") or "0"}</a>'
        for one in chapters
    )
    return raw(f'<nav class="claim-chapters" aria-label="Chapters of this page">\n{links}\n</nav>')


FILTER = """<form class="claim-filter" hidden>
<label>Words <input type="search" name="words"></label>
<label>Kind <select name="kind">
<option value="">all</option>
<option value="exact">exact</option>
<option value="statistical">statistical</option>
<option value="near">near its bound</option>
<option value="earlier">waiting to be recorded again</option>
</select></label>
<output role="status"></output>
</form>"""


def part(chapter: Chapter, record: dict[str, Record], runs: list[dict]) -> str:
    """A chapter's claims."""
    versions = sorted({r["torch"].split("+")[0] for r in runs if r["chapter"] == chapter.number and r["torch"]})
    total, exact = len(chapter.claims), sum(claim.exact for claim in chapter.claims.values())
    count = f"{total} claims, {exact} of them exact" if total > 1 else "One claim"
    words = [f"{count}, in [the chapter](../{chapter.notebook})."]
    words += [f"Measured with torch {', '.join(versions)} on a CPU."] if versions else []
    mine = [number for number in chapter.claims if record[number].earlier]
    if mine and not all(one.earlier for one in record.values()):  # else the page says it once, of all
        which = f": {', '.join(mine)}" if len(mine) < total else ""
        words.append(f"{earlier(mine, chapter.claims)}{which}.")
    entries = "".join(claim_box.entry(record[number], cell(chapter, number)) for number in chapter.claims)
    return f"({place(chapter)})=\n## {numbered(chapter)}\n\n{' '.join(words)}\n\n{raw(entries)}"


def page(chapters: dict[str, Chapter], record: dict[str, Record], runs: list[dict]) -> str:
    """What stands below the page's introduction, in MyST Markdown."""
    stale = [number for number, one in record.items() if one.earlier]
    with_claims = [chapter for chapter in chapters.values() if chapter.claims]
    parts = [
        f"**{earlier(stale, record)}**, and wait for the next `make claims`." if stale else "",
        f"**{todo}.**" if (todo := unfinished(record)) else "",
        jumps(with_claims),
        raw(FILTER),
        nearest(chapters, record),
        *(part(chapter, record, runs) for chapter in with_claims),
    ]
    return "\n\n".join(filter(None, parts))
