"""From runs to a verdict: the record of each claim, and every rule that is broken."""

from __future__ import annotations

import math
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT / "tools") not in sys.path:
    sys.path.insert(0, str(ROOT / "tools"))

import claims_page  # noqa: E402
from claim_sources import Book, Chapter, Claim, Sabotage  # noqa: E402

ABSENT = "missing or out of date"
MARGIN = 3.0  # standard deviations between the mean and the bound


def identity(run: dict) -> tuple:
    if run.get("sabotage"):
        return run["chapter"], run["sabotage"]
    return run["chapter"], run["digits"], run["seed"]


def rounded(value: float | None, digits: int = 6):
    """Rounded to significant digits; "inf" and "nan" as words, since JSON has none."""
    if value is None:
        return None
    return float(f"{value:.{digits}g}") if math.isfinite(value) else str(float(value))


def holds(recorded: list) -> bool:
    value, low, high = (None if x is None else float(x) for x in recorded)
    return (low is None or low <= value) and (high is None or value <= high) and not math.isnan(value)


def distance(recorded: list[list]) -> float | None:
    """How far the mean lies inside the nearer bound, in standard deviations; None where all values are the same.

    A bound may come from a control run and then differ from run to run: what is averaged is the way to the bound.
    """
    ways = [
        [sign * (float(r[0]) - float(r[i])) for r in recorded]
        for i, sign in ((1, 1), (2, -1))
        if all(r[i] is not None for r in recorded)
    ]
    spread = [(statistics.fmean(way), statistics.stdev(way)) for way in ways if len(way) > 1]
    return min((mean / sd for mean, sd in spread if sd > 0), default=None)


def judge(book: Book, runs: list[dict]) -> tuple[dict, list[tuple[str, str]]]:
    """The record of every claim, made of the runs that are up to date, and (chapter, sentence) for each broken rule."""
    record, problems = {}, list(book.problems)
    for chapter in book.chapters.values():
        fresh = {
            identity(r): r
            for r in runs
            if r["chapter"] == chapter.number and not r["sabotage"] and r["key"] == chapter.key
        }
        absent = [w for w in chapter.runs() if (chapter.number, *w) not in fresh]
        if absent:
            problems.append(
                (chapter.number, f"chapter {chapter.number}: {len(absent)} of {len(chapter.runs())} runs are {ABSENT}")
            )
        undone = sum(
            not any(shows(run, sabotage, chapter.number, claims) for run in runs)
            for sabotage in book.sabotages
            for claims in [sabotage.claims.get(chapter.number)]
            if claims
        )
        if undone:
            text = f"chapter {chapter.number}: {undone} runs under sabotage are {ABSENT}"
            problems.append((chapter.number, text))
        for claim in chapter.claims.values():
            sets = {}
            for digits in chapter.sets:
                mine = [run["claims"] for (_, used, _), run in sorted(fresh.items()) if used == digits]
                values = [claims[claim.number] for claims in mine if claim.number in claims]
                if not values:
                    continue
                numbers = [float(v[0]) for v in values]
                margin = None if claim.exact else distance(values)
                sets[digits] = {
                    "runs": len(values),
                    "held": sum(map(holds, values)),
                    "mean": rounded(statistics.fmean(numbers)),
                    "sd": rounded(statistics.stdev(numbers)) if len(values) > 1 else None,
                    "margin": rounded(margin),
                    "low": typical(values, 1),
                    "high": typical(values, 2),
                    "values": [v[0] for v in values],
                }
                held = f"claim {claim.number} held in {sum(map(holds, values))} of {len(values)} runs ({digits})"
                if not all(map(holds, values)):
                    problems.append((chapter.number, held))
                elif margin is not None and margin < MARGIN and len(values) > 2:
                    problems.append(
                        (
                            chapter.number,
                            f"{held}, but its mean is only {margin:.2g} standard deviations "
                            f"from the bound; {MARGIN:g} are asked for",
                        )
                    )
            record[claim.number] = {
                "text": claim.text,
                "cell": f"{chapter.notebook}#{claims_page.anchor(claim.number)}",
                "exact": claim.exact,
                "sets": sets,
                "fails_under": under_sabotage(book, chapter, claim, runs, problems),
            }
    return record, problems


def typical(values: list[list], index: int):
    """A bound: the same in all runs, or its mean where it comes from a control run."""
    bounds = [v[index] for v in values]
    return None if None in bounds else rounded(statistics.fmean(map(float, bounds)), 12)


def shows(run: dict, sabotage: Sabotage, chapter: str, claims: list[str]) -> bool:
    """Whether this is an up-to-date run of a chapter under a sabotage, and recorded these claims."""
    return (
        run["sabotage"] == sabotage.name
        and run["chapter"] == chapter
        and run["key"] == sabotage.keys[chapter]
        and set(claims) <= set(run["claims"])
    )


def under_sabotage(book: Book, chapter: Chapter, claim: Claim, runs: list[dict], problems: list) -> list[dict]:
    """[{"sabotage", "value"}] where the claim failed as it must."""
    failed = []
    for sabotage in book.sabotages:
        if claim.number not in sabotage.claims.get(chapter.number, []):
            continue
        run = next((r for r in runs if shows(r, sabotage, chapter.number, [claim.number])), None)
        name = f"claim {claim.number} under {sabotage.name!r}"
        if run is None:
            continue  # a crash, or not yet run: reported elsewhere
        if math.isnan(float(run["claims"][claim.number][0])):
            problems.append((chapter.number, f"{name} is not a number: that is a crash, not a failure by value"))
        elif holds(run["claims"][claim.number]):
            problems.append((chapter.number, f"{name} still holds, with {run['claims'][claim.number][0]:g}"))
        else:
            failed.append({"sabotage": sabotage.name, "value": run["claims"][claim.number][0]})
    return failed
