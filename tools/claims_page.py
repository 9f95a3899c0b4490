"""The appendix page that lists every claim with its record, written by claims.py from book/claims.json."""

from __future__ import annotations

INTRODUCTION = """\
# All claims

A line that begins with ✓ in a chapter is a claim that a cell has just checked. Here is what lies behind each of them.

Bounds come from theory or from a control run, never from our own measurement. A claim marked *exact* is a fact that
holds to rounding, whatever the seed: one run checks it. Every other claim was checked in ten runs with ten seeds, and
where a chapter uses digits, in ten on MNIST and ten on drawn digits, which are never pooled. It has to hold in all of
them, and the mean has to lie at least three standard deviations from the bound: the *distance* below. Where all ten
values are the same there is no spread to measure it by, and we write "no spread".

A test that cannot fail shows nothing. So each claim is also checked in a copy of the book in which one thing was
broken on purpose, and there it must fail. The last column says what was broken and what was measured then.

`make claims` repeats all of it and writes this page.
"""
SETS = {"mnist": "MNIST", "drawn": "drawn", "none": ""}


def anchor(number: str) -> str:
    """The id of the cell that checks a claim; claim_anchors.py puts it into the built page."""
    return "claim-" + number.replace(".", "-")


def shown(value) -> str:
    return {"inf": "∞", "-inf": "−∞"}.get(value, f"{float(value):.4g}".replace("-", "−"))


def escaped(text: str) -> str:
    return text.replace("|", "\\|")


def bound(entry: dict) -> str:
    low, high = entry["low"], entry["high"]
    return " and ".join(f"{sign} {shown(b)}" for sign, b in (("≥", low), ("≤", high)) if b is not None)


def row(number: str, claim: dict) -> str:
    sets = claim["sets"]
    bounds, means, distances = [], [], []
    for name, entry in sets.items():
        label = f"{SETS[name]}: " if SETS[name] and len(sets) > 1 else ""
        runs = f"{entry['runs']} run" + "s" * (entry["runs"] != 1)
        spread = f" ± {shown(entry['sd'])}" if entry["sd"] else ""
        bounds.append(bound(entry))
        means.append(f"{label}{shown(entry['mean'])}{spread} ({runs})")
        far = "exact" if claim["exact"] else "no spread" if entry["margin"] is None else f"{entry['margin']:.1f}"
        distances.append(far)
    bounds, distances = (list(dict.fromkeys(x)) if len(set(x)) == 1 else x for x in (bounds, distances))
    broken = "<br>".join(f"{escaped(f['sabotage'])}: {shown(f['value'])}" for f in claim["fails_under"])
    link = f"[{number}](../{claim['cell']})"
    cells = [f"{link} {escaped(claim['text'])}", *("<br>".join(x) or "—" for x in (bounds, means, distances)), broken]
    return "| " + " | ".join(cells) + " |"


def page(chapters: dict, record: dict, runs: list[dict]) -> str:
    """The page in MyST Markdown."""
    parts = [INTRODUCTION]
    for chapter in chapters.values():
        if not chapter.claims:
            continue
        rows = [row(number, record[number]) for number in chapter.claims]
        versions = sorted({r["torch"] for r in runs if r["chapter"] == chapter.number and r["torch"]})
        made = f"\nMeasured with torch {', '.join(versions)} on a CPU.\n" if versions else ""
        parts.append(f"## [{chapter.title}](../{chapter.notebook})\n{made}\n"
                     "| Claim | Bound | Mean ± standard deviation | Distance | Fails when |\n"
                     "| --- | --- | --- | --- | --- |\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)
