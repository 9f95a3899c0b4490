"""From runs to a verdict: the record of each claim, and every rule that is broken."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import NamedTuple

from . import chapter_of
from .claim_sources import SEEDS, Book, Chapter
from .dependency_hash import Claim

MARGIN = 3.0  # standard deviations between the mean and the bound


class Problem(NamedTuple):
    chapter: str
    text: str
    stale: bool = False  # nothing is wrong, but a run is missing or was made with an earlier version of the code


@dataclass
class Entry:
    """What is recorded of a claim on one digit set. A recorded value is [value, low, high]."""

    values: list[list]
    fresh: list[list]  # under seeds that were never looked at
    margin: float | None

    def low_high(self) -> list:
        """The bounds: the same in all runs, or their mean where they come from a control run."""
        bounds = [[value[i] for value in self.values + self.fresh] for i in (1, 2)]
        return [None if None in b else rounded(statistics.fmean(map(float, b)), 12) for b in bounds]


@dataclass
class Record:
    claim: Claim
    sets: dict[str, Entry] = field(default_factory=dict)
    fails_under: dict[str, float] = field(default_factory=dict)  # sabotage -> value
    earlier: bool = False  # some of it was recorded for an earlier version of the code


def identity(run: dict) -> tuple:
    return (run["chapter"], run["sabotage"]) if run["sabotage"] else (run["chapter"], run["digits"], run["seed"])


def rounded(value: float | None, digits: int = 6):
    """Rounded to significant digits; "inf" and "nan" as words, since JSON has none."""
    if value is None:
        return None
    return float(f"{value:.{digits}g}") if math.isfinite(value) else str(float(value))


def holds(recorded: list) -> bool:
    value, low, high = (math.nan if x is None else float(x) for x in recorded)
    return not (math.isnan(value) or value < low or value > high)


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


def current_key(book: Book, run: dict) -> str | None:
    """The key that the run would have with today's sources."""
    if run["sabotage"]:
        sabotage = book.sabotages.get(run["sabotage"])
        return sabotage.keys.get(run["chapter"]) if sabotage else None
    chapter = book.chapters.get(run["chapter"])
    return chapter.key if chapter else None


def carried(book: Book, stored: dict) -> list[dict]:
    """The stored runs under today's numbers of the claims, without what belongs to no claim of the book any more.

    A claim is found again by its text. Otherwise it is the one of the same number, reworded, if that one's text is gone
    and the bounds are the same; else it is a new claim, which has no record.
    """
    runs = []
    for run in stored["runs"]:
        chapter = book.chapters.get(run["chapter"])
        if chapter and run["key"] != current_key(book, run):
            own = {n: text for n, text in stored["texts"].items() if chapter_of(n) == run["chapter"]}
            numbers, today = {text: n for n, text in own.items()}, {claim.text for claim in chapter.claims.values()}
            claims = {}
            for number, claim in chapter.claims.items():
                old = numbers.get(claim.text) or (None if own.get(number) in today else number)
                if old in run["claims"] and bounded(run["claims"][old], claim):
                    claims[number] = run["claims"][old]
            run = run | {"claims": claims}
        gone = run["chapter"] not in book.existing or run["sabotage"] and run["sabotage"] not in book.names
        unasked = chapter and not run["sabotage"] and (run["digits"], run["seed"]) not in chapter.runs()
        if run["claims"] and not gone and not unasked:
            runs.append(run)
    return runs


def bounded(recorded: list, claim: Claim) -> bool:
    """Whether a value was recorded with the bounds that the claim states, as far as they are written out."""
    pairs = zip(recorded[1:], claim.bounds, strict=True)
    return all(b is None or then is not None and math.isclose(float(then), b, rel_tol=1e-9) for then, b in pairs)


def judge(book: Book, runs: list[dict]) -> tuple[dict[str, Record], list[Problem]]:
    """The record of every claim, made of the latest runs, and every rule that is broken."""
    record, problems = {}, [Problem(*problem) for problem in book.problems]
    for chapter in book.chapters.values():
        plain = {(r["digits"], r["seed"]): r for r in runs if r["chapter"] == chapter.number and not r["sabotage"]}
        broken = {r["sabotage"]: r for r in runs if r["chapter"] == chapter.number and r["sabotage"]}
        absent = [which for which in chapter.runs() if plain.get(which, {}).get("key") != chapter.key]
        if absent:
            text = f"chapter {chapter.number}: {len(absent)} of {len(chapter.runs())} runs are missing or out of date"
            problems.append(Problem(chapter.number, text, stale=True))
        wanted = [s for s in book.sabotages.values() if chapter.number in s.claims]
        undone = [s for s in wanted if not shows(broken.get(s.name), s.keys[chapter.number], s.claims[chapter.number])]
        if undone:
            text = f"chapter {chapter.number}: {len(undone)} runs under sabotage are missing or out of date"
            problems.append(Problem(chapter.number, text, stale=True))
        for claim in chapter.claims.values():
            one = record[claim.number] = Record(claim)
            for digits in chapter.sets:
                measure(chapter, one, digits, plain, problems)
            for sabotage in wanted:
                if claim.number in sabotage.claims[chapter.number] and sabotage.name in broken:
                    under_sabotage(chapter, one, broken[sabotage.name], problems)
                    one.earlier |= sabotage in undone
    return record, problems


def shows(run: dict | None, key: str, claims: list[str]) -> bool:
    """Whether this is an up-to-date run and recorded these claims."""
    return run is not None and run["key"] == key and set(claims) <= set(run["claims"])


def measure(chapter: Chapter, record: Record, digits: str, plain: dict, problems: list[Problem]) -> None:
    """Enter what was recorded of a claim on one digit set, and judge it."""
    claim, values = record.claim, {}
    for seed in (*SEEDS, *chapter.fresh_seeds):
        run = plain.get((digits, seed), {})
        if claim.number in run.get("claims", {}):
            values[seed] = run["claims"][claim.number]
            record.earlier |= run["key"] != chapter.key
    known, fresh = ([v for seed, v in values.items() if seed in seeds] for seeds in (SEEDS, chapter.fresh_seeds))
    if not known:
        problems.append(Problem(chapter.number, f"claim {claim.number} has no record ({digits})"))
        return
    margin = None if claim.exact else distance(known)
    record.sets[digits] = Entry(known, fresh, margin)
    for seeds, kind in ((known, digits), (fresh, f"{digits}, fresh seeds")):
        held = f"claim {claim.number} held in {sum(map(holds, seeds))} of {len(seeds)} runs ({kind})"
        if not all(map(holds, seeds)):
            problems.append(Problem(chapter.number, held))
        elif seeds is known and margin is not None and margin < MARGIN and len(known) > 2:
            what = f"its mean is only {margin:.2g} standard deviations from the bound; {MARGIN:g} are asked for"
            problems.append(Problem(chapter.number, f"{held}, but {what}"))


def under_sabotage(chapter: Chapter, record: Record, run: dict, problems: list[Problem]) -> None:
    """Enter the value with which a claim failed under a sabotage, as it must."""
    recorded = run["claims"].get(record.claim.number)
    if recorded is None:
        return  # a crash, or not yet run: reported elsewhere
    name = f"claim {record.claim.number} under {run['sabotage']!r}"
    if math.isnan(float(recorded[0])):
        problems.append(Problem(chapter.number, f"{name} is not a number: that is a crash, not a failure by value"))
    elif holds(recorded):
        problems.append(Problem(chapter.number, f"{name} still holds, with {recorded[0]:g}"))
    else:
        record.fails_under[run["sabotage"]] = recorded[0]
