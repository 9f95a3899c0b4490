"""Run chapters, several at a time, each in a process and a folder of its own, and collect what they record.

python tools/claim_runs.py CELLS [CLAIM …]   is what the child does: run the code cells in the file CELLS
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT / "tools") not in sys.path:
    sys.path.insert(0, str(ROOT / "tools"))

import notebooks  # noqa: E402
from claim_sources import SETS, Chapter, Tree  # noqa: E402
from claim_verdict import holds, identity, rounded  # noqa: E402

LIMIT = 1800  # seconds before a run counts as hung


@dataclass
class Job:
    chapter: Chapter
    digits: str
    seed: int
    key: str
    tree: Tree
    sabotage: str | None = None
    must: tuple[str, ...] = ()  # the claims that must be recorded

    def __str__(self) -> str:
        what = f"under {self.sabotage!r}" if self.sabotage else f"{self.digits} seed {self.seed}"
        return f"{self.chapter.number} {what}".replace("none seed", "seed")

    @property
    def identity(self) -> tuple:
        return identity(
            {"chapter": self.chapter.number, "digits": self.digits, "seed": self.seed, "sabotage": self.sabotage}
        )


def play(cells: Path, must: list[str]) -> None:
    """In the child: run the cells as Jupyter would; stop early once the claims in `must` have been recorded."""
    sys.path[:] = ["", *(p for p in sys.path if Path(p) != ROOT / "tools")]  # as in a kernel
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    shell.showtraceback = shell.showsyntaxerror = shell.showindentationerror = lambda *_, **__: None
    record = Path(os.environ["GAN_TUTORIAL_RECORD"])
    for number, cell in enumerate(json.loads(cells.read_text(encoding="utf-8")), 1):
        result = shell.run_cell(cell)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            trace = error.__traceback__
            while trace is not None and "IPython" in trace.tb_frame.f_code.co_filename:
                trace = trace.tb_next
            print(f"code cell {number}:\n{cell}\n" + "".join(traceback.format_exception(error.with_traceback(trace))))
            sys.exit(1)
        if must and set(must) <= {e.get("claim") for e in entries(record)}:
            break
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    torch = getattr(sys.modules.get("torch"), "__version__", None)
    with record.open("a", encoding="utf-8") as file:
        # Processor time, in one thread: it depends less than the clock on what else the machine does.
        print(
            json.dumps({"seconds": round(time.process_time(), 1), "peak_mb": round(peak / 1e6), "torch": torch}),
            file=file,
        )


def entries(record: Path) -> list[dict]:
    return [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()] if record.exists() else []


class Process:
    """A job under way, in a folder of its own."""

    def __init__(self, job: Job, root: Path):
        self.job, self.started = job, time.monotonic()
        self.temporary = tempfile.TemporaryDirectory(prefix="claims-")
        self.folder = Path(self.temporary.name).resolve()
        job.tree.write(root, self.folder)
        cells = self.folder / "cells.json"
        cells.write_text(json.dumps(job.tree.notebooks[job.chapter.notebook]), encoding="utf-8")
        environment = notebooks.kernel_environment(
            PYTHONPATH=str(self.folder),
            MPLBACKEND="Agg",
            IPYTHONDIR=str(self.folder / "ipython"),
            GAN_TUTORIAL_SEED=str(job.seed),
            GAN_TUTORIAL_DIGITS=job.digits if job.digits in SETS else "",
            GAN_TUTORIAL_RECORD=str(self.folder / "record"),
            GAN_TUTORIAL_RECORD_ONLY="1",
            **({"GAN_TUTORIAL_DOWNLOAD": "0"} if job.sabotage else {}),
        )
        command = [sys.executable, str(Path(__file__).resolve()), str(cells)]
        with open(self.folder / "output", "w", encoding="utf-8") as output:
            early = job.sabotage or job.seed  # what comes after the last claim, the solutions, runs with seed 0 alone
            self.process = subprocess.Popen(
                [*command, *job.must] if early else command,
                env=environment,
                cwd=self.folder / "book",
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def done(self) -> bool:
        if time.monotonic() - self.started > LIMIT:
            self.process.kill()
        return self.process.poll() is not None

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.temporary.cleanup()

    def result(self) -> tuple[dict | None, str | None]:
        """The run for the record, or a sentence that says why there is none."""
        job, lines = self.job, entries(self.folder / "record")
        claims: dict[str, list] = {}
        problem = None
        for line in (line for line in lines if "claim" in line):
            if line["claim"] in claims or line["claim"] not in job.chapter.claims:
                problem = f"claim {line['claim']} was recorded twice, or the notebook's text does not show it"
            exactly = [line[k] for k in ("value", "low", "high")]
            claims[line["claim"]] = [rounded(x, digits) for x, digits in zip(exactly, (6, 12, 12), strict=True)]
            if holds(claims[line["claim"]]) != line["holds"]:  # so close to the bound that rounding decides
                claims[line["claim"]] = exactly
        missing = [n for n in job.must if n not in claims]
        used = {line["digits"] for line in lines if "digits" in line}
        if missing and self.process.returncode:
            output = (self.folder / "output").read_text(encoding="utf-8", errors="replace")
            problem = f"stopped (status {self.process.returncode}) before claim {missing[0]}\n{output[-3000:]}"
        elif missing:
            problem = f"did not record {', '.join(missing)}"
        elif self.process.returncode and not job.sabotage:
            output = (self.folder / "output").read_text(encoding="utf-8", errors="replace")
            problem = f"crashed after its last claim\n{output[-3000:]}"
        elif not job.sabotage and used - {job.digits}:
            problem = f"used the digit set {', '.join(sorted(used))}"
        self.temporary.cleanup()
        if problem:
            return None, f"{job}: {problem}"
        kept = {
            n: v
            for n, v in claims.items()
            if (n in job.must if job.sabotage else job.seed == 0 or not job.chapter.claims[n].exact or not holds(v))
        }  # an exact fact is recorded once, unless it fails
        cost = next((line for line in lines if "seconds" in line), {})
        digits = next(iter(used), "none") if job.sabotage else job.digits
        return {
            "chapter": job.chapter.number,
            "digits": digits,
            "seed": job.seed,
            "sabotage": job.sabotage,
            "key": job.key,
            "seconds": cost.get("seconds"),
            "peak_mb": cost.get("peak_mb"),
            "torch": cost.get("torch"),
            "claims": kept,
        }, None


def execute(jobs: list[Job], root: Path, workers: int, known: list[dict], keep) -> list[str]:
    """Run the jobs, `workers` at a time; `keep(run)` stores a result. Returns the problems."""
    problems, running, finished, began = [], [], 0, time.monotonic()
    pending, total, spent, expected = list(jobs), len(jobs), 0.0, {}
    for run in known:
        expected[run["chapter"]] = max(expected.get(run["chapter"], 0), run["seconds"] or 0)
    try:
        while pending or running:
            while pending and len(running) < workers:
                running.append(Process(pending.pop(0), root))
            time.sleep(0.05)
            for process in [p for p in running if p.done()]:
                running.remove(process)
                seconds, job = time.monotonic() - process.started, process.job
                finished, spent = finished + 1, spent + seconds
                expected[job.chapter.number] = max(expected.get(job.chapter.number, 0), seconds)
                run, problem = process.result()
                if problem:
                    problems.append(problem)
                    if not job.sabotage:  # its other seeds would stop there too
                        total -= sum(j.chapter is job.chapter for j in pending)
                        pending = [j for j in pending if j.chapter is not job.chapter]
                else:
                    keep(run)
                left = (
                    sum(expected.get(j.chapter.number, spent / finished) for j in pending + [p.job for p in running])
                    / workers
                )
                cost = f"{run['peak_mb']} MB" if run else "FAILED"
                time_left = f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"
                print(f"[{finished}/{total}] {job}: {seconds:.0f} s, {cost}; about {time_left} left", flush=True)
    finally:
        for process in running:
            process.stop()
    print(f"{finished} runs in {(time.monotonic() - began) / 60:.1f} min")
    return problems


if __name__ == "__main__":
    play(Path(sys.argv[1]), sys.argv[2:])
