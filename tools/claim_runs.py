"""Run chapters, several at a time, each in a process and a folder of its own, and collect what they record."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import ROOT
from .claim_sources import SETS, Book, Chapter, Sabotage
from .claim_verdict import Problem, holds, identity, rounded
from .notebooks import kernel_environment

LIMIT = 3600  # seconds before a run counts as hung


@dataclass(frozen=True)
class Job:
    chapter: Chapter
    digits: str
    seed: int
    sabotage: Sabotage | None = None

    @property
    def key(self) -> str:
        return self.sabotage.keys[self.chapter.number] if self.sabotage else self.chapter.key

    @property
    def must(self) -> list[str]:
        """The claims that must be recorded."""
        return self.sabotage.claims[self.chapter.number] if self.sabotage else list(self.chapter.claims)

    @property
    def identity(self) -> tuple:
        name = self.sabotage.name if self.sabotage else None
        return identity({"chapter": self.chapter.number, "digits": self.digits, "seed": self.seed, "sabotage": name})

    def __str__(self) -> str:
        what = f"under {self.sabotage.name!r}" if self.sabotage else f"{self.digits} seed {self.seed}"
        return f"{self.chapter.number} {what}".replace("none seed", "seed")


def result(job: Job, lines: list[dict], status: int | str, output: str) -> dict | str:
    """The run for the record, made of the lines that it recorded, or a sentence that says why there is none."""
    claims: dict[str, list] = {}
    for line in (line for line in lines if "claim" in line):
        number, exactly = line["claim"], [line[k] for k in ("value", "low", "high")]
        if number in claims or number not in job.chapter.claims:
            return f"{job}: claim {number} was recorded twice, or the notebook's text does not show it"
        claims[number] = [rounded(x, digits) for x, digits in zip(exactly, (6, 12, 12), strict=True)]
        if holds(claims[number]) != line["holds"]:  # so close to the bound that rounding decides
            claims[number] = exactly
    used = {line["digits"] for line in lines if "digits" in line}
    missing = [number for number in job.must if number not in claims]
    if missing and not status:
        return f"{job}: did not record {', '.join(missing)}"
    if missing or status and not job.sabotage:
        return f"{job}: stopped ({status}) before {missing[0] if missing else 'its end'}\n{output[-3000:]}"
    if not job.sabotage and used - {job.digits}:
        return f"{job}: used the digit set {', '.join(sorted(used))}"

    def kept(number: str) -> bool:  # an exact fact is recorded once, unless it fails
        return job.seed == 0 or not job.chapter.claims[number].exact or not holds(claims[number])

    cost = next((line for line in lines if "seconds" in line), {})
    return {
        "chapter": job.chapter.number,
        "digits": next(iter(used), "none") if job.sabotage else job.digits,
        "seed": job.seed,
        "sabotage": job.sabotage.name if job.sabotage else None,
        "key": job.key,
        **{name: cost.get(name) for name in ("seconds", "peak_mb", "torch")},
        "claims": {n: v for n, v in claims.items() if (n in job.must if job.sabotage else kept(n))},
    }


async def run(job: Job, book: Book) -> dict | str:
    """Run a chapter's cells in a process of its own, from a copy of the sources: editing meanwhile changes nothing."""
    sources = job.sabotage.sources if job.sabotage else book.sources
    # What comes behind the last claim, the solutions of exercises, is run with seed 0 alone.
    cells = book.cells(sources, job.chapter, job.must if job.sabotage or job.seed else None)
    with tempfile.TemporaryDirectory(prefix="claims-") as name:
        folder = Path(name).resolve()
        sources.write(book.root, folder)
        (folder / "cells").write_text(json.dumps(cells), encoding="utf-8")
        environment = kernel_environment(
            PYTHONPATH=os.pathsep.join([str(folder), str(ROOT)]),
            MPLBACKEND="Agg",
            IPYTHONDIR=str(folder / "ipython"),
            GAN_TUTORIAL_SEED=str(job.seed),
            GAN_TUTORIAL_DIGITS=job.digits if job.digits in SETS else "",
            GAN_TUTORIAL_RECORD=str(folder / "record"),
            GAN_TUTORIAL_RECORD_ONLY="1",
            **({"GAN_TUTORIAL_DOWNLOAD": "0"} if job.sabotage else {}),
        )
        command = [sys.executable, "-m", "tools.run_cells", str(folder / "cells"), str(folder / "record")]
        with open(folder / "output", "wb") as output:
            child = await asyncio.create_subprocess_exec(
                *command, env=environment, cwd=folder / "book", stdout=output, stderr=output
            )
        try:
            status: int | str = await asyncio.wait_for(child.wait(), LIMIT)
        except TimeoutError:
            status = f"after {LIMIT} s"
        finally:
            if child.returncode is None:  # a time limit, or we are stopped ourselves
                child.kill()
                await child.wait()
        record = folder / "record"
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
        said = (folder / "output").read_text(encoding="utf-8", errors="replace")
        return result(job, list(map(json.loads, lines)), status, said)


async def execute(jobs: list[Job], book: Book, workers: int, known: list[dict], keep: Callable) -> list[Problem]:
    """Run the jobs, `workers` at a time; `keep(run)` stores a result. Returns the problems."""
    # Cancelled, and not by Ctrl-C's signal: a shell's `&` makes that one ignored. Under nohup so is SIGHUP, and stays.
    if whole := asyncio.current_task():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, whole.cancel)
    gate, problems, left, broken = asyncio.Semaphore(workers), [], list(jobs), set()
    expected = {run["chapter"]: run["seconds"] for run in known if run["seconds"]}

    async def one(job: Job) -> None:
        number, began = job.chapter.number, time.monotonic()
        found = await run(job, book)
        seconds = expected[number] = time.monotonic() - began
        if isinstance(found, dict):
            keep(found)
        else:
            problems.append(Problem(number, found))
            broken.update([] if job.sabotage else [number])  # its other seeds would stop there too
        minutes = sum(expected.get(j.chapter.number, seconds) for j in left if j is not job) / workers / 60
        cost = f"{seconds:.0f} s, {found['peak_mb']} MB" if isinstance(found, dict) else "FAILED"
        print(f"[{len(jobs) - len(left) + 1}/{len(jobs)}] {job}: {cost}; about {minutes:.0f} min left", flush=True)

    async def in_turn(job: Job) -> None:
        async with gate:
            if job.chapter.number not in broken:
                await one(job)
            left.remove(job)

    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(in_turn(job))
    return problems
