"""The appendix page that lists every claim with its record, written by claims.py from book/claims.json."""

from __future__ import annotations

import re

INTRODUCTION = """\
# All claims

A line that begins with ✓ in a chapter is a claim that a cell has just checked. Here is what lies behind each of them.

Bounds come from theory or from a control run, never from our own measurement; a few are a definition of what counts,
or a goal set beforehand, and their chapters say so. A claim marked *exact* is a fact that holds to rounding, whatever
the seed: one run checks it. Every other claim was checked in ten runs with ten seeds, and where a chapter uses digits,
in ten on MNIST and ten on drawn digits, which are never pooled. It has to hold in all of them. We print the mean of the
measured value ± its standard deviation, and the *distance*: how many standard deviations lie between the mean and the
bound. It has to be at least three. Where all ten values are the same, there is no spread to measure it by.

A test that cannot fail shows nothing. So each claim is also checked in a copy of the book in which one thing is broken
on purpose, and there it must fail. The rows that begin with ✗ say what was broken and what was measured then; *fails*
in their last column is what we want to see.

The value is the quantity that the claim's cell computes: mostly a deviation from theory, a number of mistakes, or a
distance. A claim that is only true or false has the value 1 or 0. The number of the claim leads to its cell.

`make claims` repeats all of it and writes this page. The single values stand in `book/claims.json`.
"""
HEAD = "| Claim | Value | Runs | Distance |\n| :-- | --: | --: | --: |\n"
SETS = {"mnist": "MNIST", "drawn": "drawn digits", "none": "ten seeds"}


def anchor(number: str) -> str:
    """The id of the cell that checks a claim; claim_anchors.py puts it into the built page."""
    return "claim-" + number.replace(".", "-")


def shown(value, digits: int = 4) -> str:
    return {"inf": "∞", "-inf": "−∞"}.get(value) or f"{float(value):.{digits}g}".replace("-", "−")


def plain(text: str) -> str:
    """The text, so that Markdown shows its signs as they are: the * of D* is no emphasis."""
    return re.sub(r"([\\`*_{}\[\]<>$|#&])", r"\\\1", text)


def bound(entry: dict) -> str:
    low, high = entry["low"], entry["high"]
    if low == high:
        return f"=\N{NO-BREAK SPACE}{shown(low, 7)}"
    return ", ".join(f"{sign}\N{NO-BREAK SPACE}{shown(b, 7)}" for sign, b in (("≥", low), ("≤", high)) if b is not None)


def distance(claim: dict, entry: dict) -> str:
    if entry["held"] < entry["runs"]:
        return f"holds in {entry['held']}"
    return "exact" if claim["exact"] else "no spread" if entry["margin"] is None else f"{entry['margin']:.1f}"


def rows(number: str, claim: dict) -> list[list[str]]:
    """A row for the claim with its bound, one for each digit set, one for each sabotage."""
    sets = claim["sets"]
    if len(sets) > 1 and sets["mnist"] == sets["drawn"]:  # the claim is not about digits
        sets = {"none": sets["mnist"]}
    bounds = list(dict.fromkeys(bound(entry) for entry in sets.values()))
    lines = [[f"[{number}](../{claim['cell']}) **{plain(claim['text'])}**", "<br>".join(bounds), "", ""]]
    for name, entry in sets.items():
        spread = f"\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{shown(entry['sd'], 2)}" if entry["sd"] else ""
        label = "one run" if name == "none" and entry["runs"] == 1 else SETS[name]
        lines.append([label, shown(entry["mean"]) + spread, str(entry["runs"]), distance(claim, entry)])
    lines += [[f"✗ {plain(f['sabotage'])}", shown(f["value"]), "1", "fails"] for f in claim["fails_under"]]
    return lines


def page(chapters: dict, record: dict, runs: list[dict]) -> str:
    """The page, in MyST Markdown."""
    parts = [INTRODUCTION]
    for chapter in chapters.values():
        if chapter.claims:
            table = [" | ".join(row) for number in chapter.claims for row in rows(number, record[number])]
            versions = sorted({r["torch"].split("+")[0] for r in runs if r["chapter"] == chapter.number and r["torch"]})
            made = f"Measured with torch {', '.join(versions)} on a CPU.\n\n" if versions else ""
            parts.append(
                f"## [{chapter.title}](../{chapter.notebook})\n\n{made}{HEAD}"
                + "".join(f"| {row} |\n" for row in table)
            )
    return "\n".join(parts)
