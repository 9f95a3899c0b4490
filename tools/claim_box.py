"""What is recorded of a claim, as HTML: its bound, a line with a dot for each seed, and what breaks it.

Drawn when the pages are built, without scripts: in print and without JavaScript all of it is there. Positions are
percentages, so a line is as wide as its column. A sentence stands for each line where it is not seen.
"""

from __future__ import annotations

import html
import math
import re
import statistics
from collections.abc import Iterable
from typing import NamedTuple

from .claim_sources import SEEDS
from .claim_verdict import Entry, Record, holds

SETS = {"mnist": "MNIST", "synthetic": "synthetic digits", "none": "all"}
SPACE = "\N{NO-BREAK SPACE}"
LOGARITHMIC = 30  # positive values that differ by more than this factor stand on a logarithmic scale
FAR = 3  # what was broken stands on the scale if it makes that no longer than by this factor
EDGE = 9.0  # what is free at both ends of a line, in percent of it
NEAR = 5  # standard deviations: nearer than that a claim is near its bound
STATES = {"✓": "recorded for today's code", "↻": "waits to be recorded again"}
COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def record_anchor(number: str) -> str:
    """The id of a claim's record on the page of claims."""
    return "record-" + number.replace(".", "-")


def shown(value, digits: int = 4) -> str:
    if value in ("inf", "-inf"):
        return value.replace("inf", "∞").replace("-", "−")
    number, _, power = f"{float(value):.{digits}g}".replace("-", "−").partition("e")
    if not power:
        return number
    ten = "10" + power.replace("+", "").replace("−0", "−").lstrip("0").translate(RAISED)
    return ten if number == "1" else f"{number}·{ten}"


RAISED = str.maketrans("0123456789−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
GREEK = dict(zip("eps eta gamma lambda phi pi sigma theta".split(), "εηγλφπσθ", strict=True))
NOTATION = (  # what a claim's line prints, and what a page shows
    (re.compile(rf"(?<![A-Za-z])({'|'.join(GREEK)})(?![A-Za-z])"), lambda found: GREEK[found[1]]),
    (re.compile(r"\bsqrt\((\w+)\)"), r"√\1"),
    (re.compile(r"\bsqrt(?=\()"), "√"),
    (re.compile(r"(?<![\w.)])-(?=[\w( ])|(?<=[\w)²]) -(?= )"), lambda found: found[0].replace("-", "−")),
    (re.compile(r"\^\(([^()]*)\)"), lambda found: f"<sup>{found[1].replace('-', '−')}</sup>"),
    (re.compile(r"\^(\w+)"), r"<sup>\1</sup>"),
)


def typeset(text: str) -> str:
    """A claim's sentence as HTML, with the signs that a line of plain text writes out: √2, θ, −ln 4."""
    text = html.escape(text, quote=False)
    for pattern, sign in NOTATION:
        text = pattern.sub(sign, text)
    return text


def mark(record: Record) -> str:
    """✓ where the record is of today's code, ↻ where it waits to be made again."""
    return "↻" if record.earlier or not record.sets else "✓"


def bound(entry: Entry, digits: int = 3) -> str:
    """≥ 1, ≤ 2; of more than four digits so many are shown."""
    low, high = (
        None if b is None else shown(b, digits if len(shown(b, 7).strip("−0.")) > 5 else 7) for b in entry.low_high()
    )
    if low == high:
        return f"={SPACE}{low}"
    return ", ".join(f"{sign}{SPACE}{b}" for sign, b in (("≥", low), ("≤", high)) if b is not None)


def bound_words(entry: Entry) -> str:
    """at least 1 and at most 2"""
    low, high = entry.low_high()
    if low == high:
        return f"exactly {shown(low, 7)}"
    return " and ".join(f"{sign} {shown(b, 7)}" for sign, b in (("at least", low), ("at most", high)) if b is not None)


def distinct(record: Record) -> dict[str, Entry]:
    """Entries by digit set; one, under "none", where the sets agree in every value: the claim is not about digits."""
    sets = record.sets
    if len(sets) > 1 and len({repr(entry) for entry in sets.values()}) == 1:
        return {"none": next(iter(sets.values()))}
    return sets


def count(number: int) -> str:
    return COUNTS[number] if number < len(COUNTS) else str(number)


# ---------------------------------------------------------------------------------------------------------- the line


class Scale(NamedTuple):
    """From values to percent of the line's length."""

    low: float
    high: float
    logarithmic: bool

    def __call__(self, value) -> float:
        value, ends = float(value), (self.low, self.high)
        if math.isinf(value):
            return 0.0 if value < 0 else 100.0
        if self.logarithmic:
            value, ends = math.log(max(value, 1e-300)), (math.log(self.low), math.log(self.high))
        part = (value - ends[0]) / (ends[1] - ends[0])
        return min(100.0, max(0.0, EDGE + (100 - 2 * EDGE) * part))

    @classmethod
    def over(cls, numbers: Iterable) -> Scale:
        """One on which all these numbers can be told apart."""
        finite = sorted(value for value in map(float, numbers) if math.isfinite(value))
        low, high = (finite[0], finite[-1]) if finite else (0.0, 1.0)
        if low == high:
            return cls(low - 1, high + 1, False)
        return cls(low, high, low > 0 and high / low > LOGARITHMIC)


def scale_of(record: Record, sets: dict[str, Entry]) -> Scale:
    """One for all lines of a claim: over values and bounds, and over what was broken, unless that lies far away."""
    bounds = [b for entry in sets.values() for b in entry.low_high() if b is not None]
    inner = Scale.over(bounds + [value[0] for entry in sets.values() for value in entry.values + entry.fresh])
    outer = Scale.over([inner.low, inner.high, *record.fails_under.values()])
    near = outer.logarithmic or outer.high - outer.low <= FAR * (inner.high - inner.low)
    return outer if near and sets else inner


def percent(place: float) -> str:
    return f"{place:.1f}".removesuffix(".0") + "%"


def ground(entry: Entry, scale: Scale) -> str:
    """The line, its bounds, and what lies beyond them."""
    low, high = entry.low_high()
    parts = ['<line class="axis" x1="0" x2="100%" y1="9" y2="9"/>']
    for value, beyond in ((low, True), (high, False)):
        if value is not None:
            place = scale(value)
            start, width = (0.0, place) if beyond else (place, 100 - place)
            parts.append(f'<rect class="out" x="{percent(start)}" width="{percent(width)}" height="18"/>')
            parts.append(f'<line class="bound" x1="{percent(place)}" x2="{percent(place)}" y1="0" y2="18"/>')
    return "".join(parts)


def line(marks: str, entry: Entry, scale: Scale, words: str) -> str:
    return (
        f'<svg class="claim-line" role="img" aria-label="{html.escape(words)}" width="100%" height="18">'
        f"{ground(entry, scale)}{marks}</svg>"
    )


def dots(values: list[list], scale: Scale, kind: str) -> str:
    return "".join(f'<circle class="{kind}" cx="{percent(scale(value[0]))}" cy="9" r="4"/>' for value in values)


def between(values: list[list]) -> str:
    numbers = [float(value[0]) for value in values]
    low, high = shown(min(numbers), 3), shown(max(numbers), 3)
    return f"at {low}" if low == high else f"between {low} and {high}"


def seeds(values: list[list], kind: str = "") -> str:
    return f"{count(len(values))} {kind}{'seed' if len(values) == 1 else 'seeds'} {between(values)}"


def sentence(name: str, entry: Entry) -> str:
    """What a line shows, for those who do not see it."""
    fresh = f", {seeds(entry.fresh, 'fresh ')}" if entry.fresh else ""
    return f"{name}: {seeds(entry.values)}{fresh}. It must be {bound_words(entry)}."


# --------------------------------------------------------------------------------------------------------------- rows


def mean(values: list[list]) -> str:
    """The mean of the values ± their standard deviation."""
    numbers = [float(value[0]) for value in values]
    spread = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
    return shown(statistics.fmean(numbers), 3) + (f"{SPACE}±{SPACE}{shown(spread, 2)}" if spread else "")


def distance(margin: float, unit: str = "sd") -> str:
    return f"{margin:.{0 if margin >= 10 else 1}f}{SPACE}{unit}".replace("-", "−")


def verdict(entry: Entry, exact: bool) -> str:
    """How far the mean lies from the bound, in standard deviations, and what is missing or wrong."""
    known, held = len(entry.values), sum(map(holds, entry.values))
    words = []
    if held < known:
        words.append(f"holds in {held} of {known}")
    elif not exact and entry.margin is not None:
        words.append(f"{distance(entry.margin, 'standard deviations')} inside the bound")
    if not exact and known < len(SEEDS):
        words.append(f"{count(known)} of {count(len(SEEDS))} seeds so far")
    if entry.fresh and not all(map(holds, entry.fresh)):
        words.append(f"fresh seeds: holds in {sum(map(holds, entry.fresh))} of {len(entry.fresh)}")
    return ", ".join(words)


def row(name: str, track: str, numbers: str, note: str = "") -> str:
    note = f' <span class="claim-note">{note}</span>' if note else ""
    return (
        f'<div class="claim-row"><span class="claim-set">{name}</span> {track} '
        f'<span class="claim-value">{numbers}{note}</span></div>\n'
    )


def rows(record: Record, precision: int = 3) -> str:
    """What is asked for, to `precision` digits, a line for each digit set, and one for what is broken on purpose."""
    sets = distinct(record)
    if not sets:
        return paragraph("Not recorded yet.")
    bounds = list(dict.fromkeys(bound(entry, precision) for entry in sets.values()))
    asked = f"Asked for: <b>{' or '.join(bounds)}</b>."
    if record.claim.exact:
        names = {digits: f"{SETS[digits]} " if len(sets) > 1 else "" for digits in sets}
        found = ", ".join(f"{names[digits]}<b>{mean(entry.values)}</b>" for digits, entry in sets.items())
        wrong = "; ".join(filter(None, (verdict(entry, True) for entry in sets.values())))
        return paragraph(asked, f"Measured: {found}.", "Exact, so one run checks it.", wrong)
    scale, out = scale_of(record, sets), []
    for digits, entry in sets.items():
        name = SETS[digits] if digits != "none" else "measured"
        marks = dots(entry.values, scale, "seed") + dots(entry.fresh, scale, "fresh")
        note = "; ".join(
            filter(None, (verdict(entry, False), f"fresh seeds {mean(entry.fresh)}" if entry.fresh else ""))
        )
        out.append(row(name, line(marks, entry, scale, sentence(name, entry)), mean(entry.values), note))
    if broken := list(record.fails_under.values()):
        values = ", ".join(shown(value, 3) for value in broken)
        track = line(crosses(broken, scale), next(iter(sets.values())), scale, f"Broken on purpose: {values}.")
        out.append(row("broken on purpose", track, values))
    return paragraph(asked) + "".join(out)


def paragraph(*sentences: str) -> str:
    return f'<p class="claim-bound">{" ".join(filter(None, sentences))}</p>\n'


def crosses(values: list, scale: Scale) -> str:
    """A cross for each value; one that lies beyond the scale stands at its end, with an arrow."""
    out = []
    for value in values:
        place = scale(value)
        if 0 < place < 100:
            x = percent(place)
            out.append(f'<text class="broken" x="{x}" y="14" text-anchor="middle">✗</text>')
        else:
            end = place >= 100
            words, anchor = ("✗→", "end") if end else ("←✗", "start")
            out.append(f'<text class="broken" x="{percent(place)}" y="14" text-anchor="{anchor}">{words}</text>')
    return "".join(out)


def sabotages(record: Record) -> str:
    """What was broken on purpose, and what was measured then."""
    if not record.fails_under:
        return paragraph("It has not been run under its sabotage yet.")
    lines = "".join(
        f"<li><span>✗ {html.escape(name)}:</span> measured {shown(value, 3)}, so the claim fails</li>\n"
        for name, value in record.fails_under.items()
    )
    return f'<ul class="claim-sabotages">\n{lines}</ul>\n'


def box(record: Record, claims_page: str) -> str:
    """A claim in its chapter. `claims_page` is the address of the page of claims from there."""
    claim = record.claim
    number, sign = html.escape(claim.number), mark(record)
    state = "checked" if sign == "✓" else "earlier"
    return f"""\
<div class="claim-box {state}" role="group" aria-label="Claim {number}">
<p class="claim-words"><a class="claim-number" href="{claims_page}#{record_anchor(claim.number)}"
title="Its record: {STATES[sign]}">{sign}{SPACE}{number}</a> {typeset(claim.text)}</p>
{rows(record)}<details class="claim-more"><summary>What breaks it</summary>
{sabotages(record)}</details>
</div>
"""


def entry(record: Record, cell: str) -> str:
    """A claim on the page of claims, folded. `cell` is the address of the cell that checks it."""
    claim = record.claim
    margins = [one.margin for one in record.sets.values() if one.margin is not None]
    tail = "exact" if claim.exact else distance(min(margins)) if margins else ""
    kinds = ["exact" if claim.exact else "statistical"]
    kinds += ["near"] if margins and min(margins) < NEAR else []
    kinds += ["earlier"] if mark(record) == "↻" else []
    number = html.escape(claim.number)
    return f"""\
<details class="record" data-kinds="{" ".join(kinds)}"><summary><b>{number}</b> \
<span title="{STATES[mark(record)]}">{mark(record)}</span> {typeset(claim.text)} <i>{tail}</i></summary>
<div class="record-body" id="{record_anchor(claim.number)}">
{rows(record, precision=7)}{sabotages(record)}{paragraph(f'<a href="{cell}">The cell that checks claim {number}</a>')}\
</div></details>
"""
