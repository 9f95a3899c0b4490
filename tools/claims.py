"""Check every claim of the book: over seeds, on both digit sets, and under sabotage.

    python -m tools.claims                       run what is missing or out of date, then judge (`make claims`)
    python -m tools.claims --check               run nothing; fail if anything is missing, out of date or wrong
    python -m tools.claims --check --allow-stale run nothing; fail if a claim fails, has no record or no sabotage
    python -m tools.claims --only 01 --seeds 2   a part, for development
    python -m tools.claims --missing --seeds 1   only what has no record at all: what was recorded earlier stays
    python -m tools.claims --carry               run nothing; write the record under today's numbers and texts of claims

A run is one chapter's code cells, in order, in a process of its own. Runs are kept in book/claims.json with a hash of
all that they depend on (dependency_hash.py), so only what changed is run again; the file is written after each run, so
an interrupted `make claims` goes on where it stopped.

The rules: a claim holds in all runs, ten seeds on each digit set, and on each set the mean lies at least three standard
deviations from the bound. It also holds under three more seeds on each set, which nobody looks at while a chapter is
written. A claim marked exact needs one run. Each claim fails, by its value, under at least one sabotage of
book/sabotages.toml: a `new` text in place of an `old` one in a module of the package or in a notebook.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from . import ROOT, atomic_write, chapter_of, claims_page, cores, locked, option_parser
from .claim_runs import Job, execute
from .claim_sources import SEEDS, Book
from .claim_verdict import Problem, Record, carried, identity, judge, shows

RECORD = "book/claims.json"


def wanted(book: Book, only: list[str], seeds: int) -> list[Job]:
    """All runs that the record needs: seed 0 first, then the sabotages, then the other seeds."""
    chapters = [chapter for chapter in book.chapters.values() if not only or chapter.number in only]
    known = [seed for seed in SEEDS if seed < seeds]
    plain = [Job(c, *which) for c in chapters for which in c.runs() if which[1] in known or seeds >= len(SEEDS)]
    broken = [Job(c, "any", 0, s) for c in chapters for s in book.sabotages.values() if c.number in s.claims]
    return [job for job in plain if job.seed == 0] + broken + [job for job in plain if job.seed > 0]


def stored(book: Book) -> list[dict]:
    path = book.root / RECORD
    return carried(book, json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []


def written(record: dict[str, Record], runs: list[dict]) -> str:
    """The file that these runs make: JSON with one run, and one text of a claim, a line, for small diffs."""
    runs = sorted(runs, key=lambda run: (run["chapter"], run["sabotage"] or "", run["digits"], run["seed"]))
    texts = {number: one.claim.text for number, one in record.items()}
    parts = [
        ",\n".join(f"  {json.dumps(n)}: {json.dumps(text, ensure_ascii=False)}" for n, text in texts.items()),
        ",\n".join(f"  {json.dumps(run, ensure_ascii=False)}" for run in runs),
    ]
    return '{{\n "texts": {{\n{}\n }},\n "runs": [\n{}\n ]\n}}\n'.format(*parts)


def save(book: Book, runs: list[dict]) -> None:
    atomic_write(book.root / RECORD, written(judge(book, runs)[0], runs))


def run_stale(book: Book, only: list[str], seeds: int, workers: int, missing: bool = False) -> list[Problem]:
    """Run what is not up to date (or `missing`: what lacks a claim), saving after each run. Returns what went wrong."""
    jobs, known = wanted(book, only, seeds), {identity(run): run for run in stored(book)}
    if missing:
        stale = [job for job in jobs if not recorded(known.get(job.identity), job)]
    else:
        stale = [job for job in jobs if not shows(known.get(job.identity), job.key, job.must if job.sabotage else [])]
    print(f"{len(jobs) - len(stale)} of {len(jobs)} runs are up to date", flush=True)

    def keep(run: dict) -> None:
        known[identity(run)] = run
        save(book, list(known.values()))

    crashes = asyncio.run(execute(stale, book, workers, list(known.values()), keep))
    save(book, list(known.values()))
    return crashes


def recorded(run: dict | None, job: Job) -> bool:
    """Whether a run of any version of the code holds the job's claims (an exact fact is recorded with seed 0 alone)."""
    exact = {number for number, claim in job.chapter.claims.items() if claim.exact and job.seed > 0}
    return run is not None and set(job.must) - exact <= set(run["claims"])


def report(book: Book, runs: list[dict], problems: list[Problem], options: argparse.Namespace) -> int:
    """Say what is wrong and what is stale; the exit status."""
    record, broken = judge(book, runs)
    partial, lenient = options.only or options.seeds < len(SEEDS), options.allow_stale or options.seeds < len(SEEDS)
    problems = problems + [
        p for p in broken if p.chapter in (options.only or [p.chapter]) and not (lenient and p.stale)
    ]
    if options.check and not partial and not lenient:
        path = book.root / RECORD
        if not path.exists() or path.read_text(encoding="utf-8") != written(record, runs):
            problems.append(Problem("", f"{RECORD} does not say what the runs and chapters say: run `make claims`"))
    for problem in problems:
        print(f"✗ {problem.text}")
    earlier = [number for number, one in record.items() if one.earlier]
    if earlier and not partial:
        print(f"⚠ {claims_page.earlier(earlier, record)}: `make claims` records them anew")
    if not partial and (todo := claims_page.unfinished(record)):
        print(f"⚠ {todo}: `make claims` runs them")
    if not problems:
        whole = f"all {len(record)} claims hold" + ("" if lenient else ", and each fails under a sabotage")
        print("this part holds; the record is NOT complete" if partial else whole)
    return 1 if problems else 0


def main(arguments: list[str] | None = None) -> int:
    parser = option_parser(__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NN", help="these chapters alone")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="fewer seeds, for development")
    parser.add_argument("--jobs", type=int, default=cores(), help="runs side by side (default: one a core)")
    parser.add_argument("--check", action="store_true", help="run nothing; is the record complete and up to date?")
    parser.add_argument("--allow-stale", action="store_true", help="with --check: code may have changed meanwhile")
    parser.add_argument("--missing", action="store_true", help="run only what no version of the code has recorded")
    parser.add_argument(
        "--carry", action="store_true", help="run nothing; keep the record under today's numbers and texts"
    )
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.only, crashes = [chapter_of(number) for number in options.only], []

    book = Book(options.root.resolve())
    if not (options.check or options.carry):
        busy = "Another `make claims` is at work on this book: wait for it, or stop it."
        with locked(book.root / "book", busy, wait=False):
            try:
                crashes = run_stale(book, options.only, options.seeds, max(1, options.jobs), options.missing)
            except (KeyboardInterrupt, asyncio.CancelledError):
                print("Stopped. What was finished is kept; the same command goes on from there.")
                return 130
    runs = stored(book)
    if options.carry:
        save(book, runs)
    return 0 if options.carry else report(book, runs, crashes, options)


if __name__ == "__main__":
    sys.exit(main())
