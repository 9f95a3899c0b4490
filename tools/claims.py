"""Check every claim of the book: over seeds, on both digit sets, and under sabotage.

    python tools/claims.py                      run what is missing or out of date, then judge (`make claims`)
    python tools/claims.py --check              run nothing; fail if the record is out of date or a claim breaks a rule
    python tools/claims.py --only 01 --seeds 2  a part, for development
    python tools/claims.py --table              what each chapter costs, and its narrowest margin

A run is one chapter's code cells, in order, in a process of its own, from a copy of the sources: editing while it runs
changes nothing. Results are kept in book/claims.json under a key of the code that they depend on (code_key.py), so only
what changed is run again; the file is written after each run, so an interrupted `make claims` goes on where it stopped.

The rules: a claim holds in all runs, ten seeds on each digit set, and on each set the mean lies at least three standard
deviations from the bound. A claim marked exact needs one run. Each claim fails, by its value, under at least one
sabotage of book/sabotages.toml: a `new` text in place of an `old` one in a module of the package or in a notebook.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import math
import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT / "tools") not in sys.path:
    sys.path.insert(0, str(ROOT / "tools"))

import claims_page  # noqa: E402
from claim_runs import Job, execute  # noqa: E402
from claim_sources import SEEDS, Book  # noqa: E402
from claim_verdict import ABSENT, identity, judge  # noqa: E402


def wanted(book: Book, only: list[str], seeds: int) -> list[Job]:
    """All runs that the record needs: seed 0 first, then the sabotages, then the other seeds."""
    chapters = [c for c in book.chapters.values() if not only or c.number in only]
    plain = [
        Job(c, digits, seed, c.key, book.tree, None, tuple(c.claims))
        for c in chapters
        for digits, seed in c.runs()
        if seed < seeds
    ]
    broken = [
        Job(c, "any", 0, s.keys[c.number], s.tree, s.name, tuple(s.claims[c.number]))
        for c in chapters
        for s in book.sabotages
        if c.number in s.claims
    ]
    return [j for j in plain if j.seed == 0] + broken + [j for j in plain if j.seed > 0]


def dumps(record: dict, runs: list[dict]) -> str:
    """JSON with one run, and one digit set of a claim, a line: small diffs."""

    def compact(x):
        return json.dumps(x, ensure_ascii=False)

    def block(opening, items, closing):
        return f"{opening}\n" + ",\n".join(items) + f"\n{closing}" if items else opening + closing

    claims = []
    for name, claim in record.items():
        fields = [f"   {compact(k)}: {compact(v)}" for k, v in claim.items() if k != "sets"]
        fields += [block('   "sets": {', [f"    {compact(k)}: {compact(v)}" for k, v in claim["sets"].items()], "   }")]
        claims.append(block(f"  {compact(name)}: {{", fields, "  }"))
    lines = [
        f"  {compact(run)}"
        for run in sorted(runs, key=lambda r: (r["chapter"], r["sabotage"] or "", r["digits"], r["seed"]))
    ]
    return "{\n" + block(' "claims": {', claims, " }") + ",\n" + block(' "runs": [', lines, " ]") + "\n}\n"


def stored(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []


def write(path: Path, text: str) -> None:
    """In one move, and only if it changes something."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)


def save(book: Book, runs: list[dict]) -> None:
    record, _ = judge(book, runs)
    write(book.root / "book" / "claims.json", dumps(record, runs))
    write(book.root / "book" / "appendix" / "claims.md", claims_page.page(book.chapters, record, runs))


def table(book: Book, record: dict, runs: list[dict]) -> str:
    lines = [f"{'chapter':<24} {'seconds':>8} {'MB':>6} {'claims':>7} {'margin':>7}  narrowest"]
    for chapter in book.chapters.values():
        mine = [r for r in runs if r["chapter"] == chapter.number and not r["sabotage"] and r["seconds"]]
        margins = [
            (entry["margin"], n)
            for n in chapter.claims
            for entry in record[n]["sets"].values()
            if entry["margin"] is not None
        ]
        margin, which = min(margins, default=(math.nan, "-"))
        lines.append(
            f"{chapter.notebook:<24} {max((r['seconds'] for r in mine), default=math.nan):>8.0f} "
            f"{max((r['peak_mb'] for r in mine), default=math.nan):>6.0f} {len(chapter.claims):>7} "
            f"{margin:>7.3g}  {which}"
        )
    return "\n".join(lines)


def run_stale(book: Book, runs: list[dict], only: list[str], seeds: int, workers: int) -> tuple[list[dict], list[str]]:
    """Run what is not up to date, saving after each run. Returns all runs, and what went wrong."""
    jobs = wanted(book, only, seeds)
    needed = {job.identity for job in wanted(book, [], SEEDS)}
    needed |= {(chapter, name) for chapter in book.chapters for name in book.named}
    known = {identity(r): r for r in runs if r["chapter"] not in book.chapters or identity(r) in needed}
    stale = [
        job
        for job in jobs
        if known.get(job.identity, {}).get("key") != job.key
        or job.sabotage
        and not set(job.must) <= set(known[job.identity]["claims"])
    ]
    print(f"{len(jobs) - len(stale)} of {len(jobs)} runs are up to date", flush=True)

    def keep(run: dict) -> None:
        known[identity(run)] = run
        save(book, list(known.values()))

    crashes = execute(stale, book.root, workers, list(known.values()), keep)
    save(book, list(known.values()))
    return list(known.values()), crashes


def unsaved(book: Book, record: dict, runs: list[dict]) -> list[str]:
    """Which of the two files differs from what the runs say."""
    files = {
        "book/claims.json": dumps(record, runs),
        "book/appendix/claims.md": claims_page.page(book.chapters, record, runs),
    }
    return [
        f"{name} does not say what the runs and the chapters say: run `make claims`"
        for name, text in files.items()
        if not (book.root / name).exists() or (book.root / name).read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str] | None = None) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NN", help="these chapters alone")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="fewer seeds, for development")
    parser.add_argument("--jobs", type=int, default=cores, help="runs side by side (default: one a core)")
    parser.add_argument("--check", action="store_true", help="run nothing; is the record complete and up to date?")
    parser.add_argument("--table", action="store_true", help="run nothing; print what each chapter costs")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    only, crashes = [f"{int(n):02d}" for n in options.only], []

    book = Book(options.root.resolve())
    path = book.root / "book" / "claims.json"
    if options.check or options.table:
        runs = stored(path)
    else:
        lock = os.open(book.root / "book", os.O_RDONLY)  # locked while we live; nothing is left behind if we are killed
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another `make claims` is at work on this book: wait for it, or stop it")
            return 2
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that children are stopped
        try:
            runs, crashes = run_stale(book, stored(path), only, options.seeds, max(1, options.jobs))
        except KeyboardInterrupt:
            print("stopped; what was finished is kept")
            return 130
        finally:
            signal.signal(signal.SIGTERM, before)
            os.close(lock)

    record, broken = judge(book, runs)
    if options.table:
        print(table(book, record, runs))
        return 0
    partial = bool(only) or options.seeds < SEEDS
    problems = crashes + [text for chapter, text in broken if not only or chapter in only]
    if options.seeds < SEEDS:
        problems = [text for text in problems if ABSENT not in text]
    if options.check and not partial:
        problems += unsaved(book, record, runs)
    for text in problems:
        print(f"✗ {text}")
    if not problems:
        print(
            "this part holds; the record is NOT complete"
            if partial
            else f"all {len(record)} claims hold, and each fails under a sabotage"
        )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
