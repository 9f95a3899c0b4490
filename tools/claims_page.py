"""The appendix page that lists every claim with its record, written by claims.py from book/claims.json."""

from __future__ import annotations

import re
import statistics

from .claim_sources import FRESH_SEEDS, SEEDS, Chapter
from .claim_verdict import Entry, Record, holds

INTRODUCTION = """\
# All claims

A line that begins with ✓ in a chapter is a claim that a cell has just checked. Here is what lies behind each of them.

Bounds come from theory or from a control run, never from our own measurement; a few are a definition of what counts,
or a goal set beforehand, and their chapters say so. A claim marked *exact* is a fact that holds to rounding, whatever
the seed: one run checks it. Every other claim is checked in ten runs with ten seeds, and where a chapter uses digits,
in ten on MNIST and ten on synthetic digits, which are never pooled. It has to hold in all of them. We print the mean of
the measured value ± its standard deviation, and the *distance*: how many standard deviations lie between the mean and
the bound. It has to be at least three. Where all ten values are the same, there is no spread to measure it by.

Ten seeds that were looked at while a chapter was written can flatter it, and ten values of a quantity with heavy tails
can miss the bad one. So each of these claims is also checked under *fresh seeds*, three more on each digit set, which
nobody looked at before the text stood. There too it has to hold, and those rows stand apart.

A test that cannot fail shows nothing. So each claim is also checked in a copy of the book in which one thing is broken
on purpose, and there it must fail. The rows that begin with ✗ say what was broken and what was measured then; *fails*
in their last column is what we want to see.

The value is the quantity that the claim's cell computes: mostly a deviation from theory, a number of mistakes, or a
distance. A claim that is only true or false has the value 1 or 0. The number of the claim leads to its cell.

`make claims` repeats all of it and writes this page. The single values stand in `book/claims.json`. A claim that is new
may have fewer runs until `make claims` has been through: the page then says so, here and in the column of runs.
"""
HEAD = "| Claim | Value | Runs | Distance |\n| :-- | --: | --: | --: |\n"
SETS = {"mnist": "MNIST", "synthetic": "synthetic digits", "none": "all"}
SPACE = "\N{NO-BREAK SPACE}"


def anchor(number: str) -> str:
    """The id of the cell that checks a claim; claim_anchors.py puts it into the built page."""
    return "claim-" + number.replace(".", "-")


def shown(value, digits: int = 4) -> str:
    return {"inf": "∞", "-inf": "−∞"}.get(value) or f"{float(value):.{digits}g}".replace("-", "−")


def plain(text: str) -> str:
    """The text, so that Markdown shows its signs as they are: the * of D* is no emphasis."""
    return re.sub(r"([\\`*_{}\[\]<>$|#&])", r"\\\1", text)


def bound(entry: Entry) -> str:
    low, high = entry.low_high()
    if low == high:
        return f"={SPACE}{shown(low, 7)}"
    return ", ".join(f"{sign}{SPACE}{shown(b, 7)}" for sign, b in (("≥", low), ("≤", high)) if b is not None)


def measured(label: str, values: list[list], verdict: str) -> list[str]:
    """A row: the mean of the values ± their standard deviation, how many there are, and what they say."""
    numbers = [float(value[0]) for value in values]
    spread = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
    text = shown(statistics.fmean(numbers)) + (f"{SPACE}±{SPACE}{shown(spread, 2)}" if spread else "")
    held = sum(map(holds, values))
    return [label, text, str(len(values)), verdict if held == len(values) else f"holds in {held}"]


def rows(chapter: Chapter, record: Record) -> list[list[str]]:
    """A row for the claim with its bound, two for each digit set, one for each sabotage."""
    claim, sets = record.claim, record.sets
    if len(sets) > 1 and len({repr(entry) for entry in sets.values()}) == 1:  # the claim is not about digits
        sets = {"none": next(iter(sets.values()))}
    bounds = list(dict.fromkeys(bound(entry) for entry in sets.values()))
    name = f"[{claim.number}](../{chapter.notebook}#{anchor(claim.number)}) **{plain(claim.text)}**"
    lines = [[name, "<br>".join(bounds), "", ""]]
    for name, entry in sets.items():
        verdict = "exact" if claim.exact else "no spread" if entry.margin is None else f"{entry.margin:.1f}"
        few = f"{len(entry.values)} of " if len(entry.values) < len(SEEDS) else ""
        label = "one run" if claim.exact and len(entry.values) == 1 else f"{SETS[name]}, {few}ten seeds"
        lines.append(measured(label, entry.values, verdict))
        if entry.fresh:
            lines.append(measured(f"{SETS[name]}, fresh seeds", entry.fresh, "holds"))
    return lines + [[f"✗ {plain(name)}", shown(value), "1", "fails"] for name, value in record.fails_under.items()]


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


def page(chapters: dict[str, Chapter], record: dict[str, Record], runs: list[dict]) -> str:
    """The page, in MyST Markdown."""
    stale = [number for number, one in record.items() if one.earlier]
    parts = [
        INTRODUCTION
        + (f"\n**{earlier(stale, record)}**, and wait for the next `make claims`.\n" if stale else "")
        + (f"\n**{todo}.**\n" if (todo := unfinished(record)) else "")
    ]
    for chapter in filter(lambda chapter: chapter.claims, chapters.values()):
        table = [" | ".join(row) for number in chapter.claims for row in rows(chapter, record[number])]
        versions = sorted({r["torch"].split("+")[0] for r in runs if r["chapter"] == chapter.number and r["torch"]})
        words = [f"Measured with torch {', '.join(versions)} on a CPU."] if versions else []
        mine = [number for number in chapter.claims if record[number].earlier]
        which = f": {', '.join(mine)}" if len(mine) < len(chapter.claims) else ""
        words += [f"{earlier(mine, chapter.claims)}{which}."] if mine else []
        made = " ".join(words) + "\n\n" if words else ""
        lines = "".join(f"| {row} |\n" for row in table)
        parts.append(f"## [{chapter.title}](../{chapter.notebook})\n\n{made}{HEAD}{lines}")
    return "\n".join(parts)
