"""What a GPU is asked, in at most eight minutes and without a network. Called by gpu.sh, which says how.

    python -m benchmarks.gpu --out FOLDER                  # all parts, the most valuable first
    python -m benchmarks.gpu --parts speed chapter
    python -m benchmarks.gpu --dry                         # a minute on a CPU, to see that it works

Each part is a process with seconds of its own. What it has found is kept when its time is over or when it fails, and
the next one goes on. Writes gpu.json, anew after each part, and prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist

import gan_tutorial as gt
from gan_tutorial import acceleration, atomic, distributed
from gan_tutorial.acceleration import ACCELERATIONS
from gan_tutorial.recipes import get_recipe
from gan_tutorial.runtime import pick_device
from gan_tutorial.training import Trainer

from . import speed, stacked
from .baselines import Judge, short
from .runners import Result, isolate

ROOT = Path(__file__).resolve().parents[1]
CARRIED = ROOT / "benchmarks" / "carried"  # what git ignores and a machine without a network needs: see gpu.sh
LIMIT = 460.0  # seconds of all parts together: gpu.sh has less than eight minutes
LEAST = 5.0  # seconds without which no part is begun
Emit = Callable[[dict], None]


@dataclass(frozen=True)
class Settings:
    """How much of everything.

    recipes           that are measured and trained, the most interesting first
    seconds, repeats  of each turn in a round, and how many rounds
    minute            seconds of each training; samples: that it is judged by
    chapter, scale    that is executed
    compiles          whether torch.compile is measured, which takes a while before its first step
    stacked           steps on stacked digits, at most; stacked_seconds: of them; reader: steps of what counts modes
    """

    recipes: tuple[str, ...] = ("dcgan", "wgan-gp", "conditional", "mlp", "stacked", "wgan", "vae", "gmmn")
    seconds: float = 0.3
    repeats: int = 3
    minute: float = 60.0
    samples: int = 10_000
    chapter: str = "07_wgan_gp"
    scale: str = "gpu"
    compiles: bool = True
    stacked: int = 50_000
    stacked_seconds: float = 360.0
    reader: int = 5_000


FULL = Settings()
DRY = Settings(("mlp",), 0.05, 1, 1.0, 500, "00_primer", "smoke", False, 2, 60.0, 5)


# --------------------------------------------------------------------------------------------------------- the parts


def tests(settings: Settings, emit: Emit) -> None:
    """The tests that need CUDA, a row for each."""
    import pytest

    class Outcomes:
        def pytest_runtest_logreport(self, report):
            if report.when == "call" or report.outcome != "passed":
                words = {"words": report.longreprtext[-2000:]} if report.failed else {}
                emit({"test": report.nodeid, "outcome": report.outcome, **words})

    pytest.main(["-q", "-p", "no:cacheprovider", str(ROOT / "tests" / "test_cuda.py")], plugins=[Outcomes()])


def peers(settings: Settings, emit: Emit) -> None:
    """Scripts of others, and their networks under the book's loop: those whose clones were brought along."""
    device = pick_device()[0]
    seconds = 3 * settings.seconds  # a script that waits for its data has few steps in them
    options = SimpleNamespace(threads=torch.get_num_threads(), repeats=settings.repeats, seconds=seconds)
    able, brought = accelerations(settings, device), []
    for peer, folder in ((speed.PYTORCH_GAN, "PyTorch-GAN"), (speed.EXAMPLES, "examples")):
        if (CARRIED / folder / peer.script).is_file():
            brought.append((peer, CARRIED / folder))
        else:
            emit({"name": peer.title, "left out": f"benchmarks/carried/{folder} has no {peer.script}"})
    eager = tuple(one for one in able if one is not acceleration.compiled)
    for taken in [eager, able] if able != eager else [eager]:  # compiled networks take long before their first step
        for peer, clone in brought:
            with recorded(peer.title, emit):
                for row in speed.compared(peer, clone, taken, options):
                    emit(row)


def rates(settings: Settings, emit: Emit) -> None:
    """Images a second of every recipe: plain, by each acceleration, by the best of them together; then compiled."""
    device, data = digits()
    options = SimpleNamespace(repeats=settings.repeats, seconds=settings.seconds)
    emit({"peaks": speed.peaks(device, (2048, 8192) if device.type == "cuda" else (256,))})
    eager = tuple(one for one in accelerations(settings, device) if one is not acceleration.compiled)
    together = {}
    for name in settings.recipes:
        with recorded(name, emit):
            able = recordable(name, data, eager, emit)
            found = speed.measured(get_recipe(name), name, data, able, options)
            alone = {row["accelerations"]: row["ratio"] for row in found}
            together[name] = tuple(one for one in able if alone[one.name] >= speed.WORTH)
            for row in found:
                emit(row)
    for name in settings.recipes if acceleration.compiled in accelerations(settings, device) else ():
        with recorded(name, emit):
            recipe = get_recipe(name)
            both = acceleration.get_accelerations(
                [one.name for one in (*together.get(name, ()), acceleration.compiled)]
            )
            sides = {speed.title(own): speed.side(recipe, data, own) for own in {(), (acceleration.compiled,), both}}
            sides = {title: sides[title] for title in sorted(sides, key=lambda title: title != "none")}
            count = speed.flops(Trainer(recipe, data))
            found = speed.interleaved(sides, settings.repeats, settings.seconds)
            for row in speed.rows(name, found, recipe.batch_size, count)[1:]:
                emit(row)


def recordable(name: str, data: gt.Data, eager: speed.Accelerations, emit: Emit) -> speed.Accelerations:
    """Those accelerations under which this recipe can be played; the others are left out, with the reason."""
    able = []
    for one in eager:
        try:
            if one is acceleration.graphs:  # as gmmn, whose loss looks at its numbers, refuses at its first recording
                speed.side(get_recipe(name), data, (one,))(acceleration.CUDAGraphed.WARM + 1)
            able.append(one)
        except ValueError as error:
            emit({"name": name, "left out": f"without {one.name}: {error}".replace("\n", " ")})
    return tuple(able)


def trained(settings: Settings, emit: Emit) -> None:
    """A minute of each recipe and its distance, all of them at the same time: each leaves most of a GPU idle."""
    share = max(1, (os.cpu_count() or 1) // len(settings.recipes))
    with ProcessPoolExecutor(len(settings.recipes), get_context("spawn")) as pool:
        done = {pool.submit(train, name, settings, share): name for name in settings.recipes}
        for future in as_completed(done):
            with recorded(done[future], emit):
                emit(future.result())


def train(name: str, settings: Settings, threads: int) -> dict:
    """One recipe, trained for its minute and judged as `benchmarks.baselines` judges."""
    torch.set_num_threads(threads)
    _, data = digits()
    recipe = get_recipe(name)
    made = recipe.train(data, seconds=settings.minute)
    test = gt.data.digits(split="test")[: settings.samples]
    label = test.label if recipe.labelled else None
    samples = made.sample(len(test), label).cpu().numpy()
    score = Judge(test).score(Result(made.seconds, made.steps, {"eval": samples}), label)
    return {
        "name": name,
        "data": data.name,
        "steps": made.steps,
        "seconds": made.seconds,
        "images": made.steps * recipe.batch_size / made.seconds,
        "distance": score.distance,
        "label accuracy": score.label_accuracy,
    }


def nccl(settings: Settings, emit: Emit) -> None:
    """One process that averages its gradients with nobody, by NCCL: the same weights, and what the exchange costs."""
    device, data = digits()
    backend = "nccl" if device.type == "cuda" else "gloo"
    recipe = get_recipe(settings.recipes[0])
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group(backend, init_method=f"file://{folder}/store", rank=0, world_size=1)
        plain, parallel = Trainer(recipe, data), Trainer(recipe, data)
        distributed.data_parallel(parallel.players)
        sides = {
            name: (lambda steps, trainer=trainer: trainer.run(steps=trainer.steps + steps))
            for name, trainer in (("plain", plain), ("all-reduced", parallel))
        }
        for run in sides.values():
            run(20)
        weights = [gt.checkpoint.state_of(trainer.networks) for trainer in (plain, parallel)]
        apart = max(
            (one - other).abs().max().item()
            for one, other in zip(*(state.values() for state in weights), strict=True)
            if one.is_floating_point()
        )
        found = speed.interleaved(sides, settings.repeats, settings.seconds)
        dist.destroy_process_group()
    emit(
        {
            "name": recipe.name,
            "backend": backend,
            "largest difference after 20 steps": apart,
            "ratio": speed.ratio(found, "all-reduced", "plain"),
            "wrappers": parallel.players[0].wrappers,
        }
    )


def chapter(settings: Settings, emit: Emit) -> None:
    """One chapter at the scale of a GPU, and its seconds."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.read(ROOT / "book" / f"{settings.chapter}.ipynb", 4)
    client = NotebookClient(notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": ROOT}})
    os.environ["GAN_TUTORIAL_SCALE"] = settings.scale
    row, start = {"name": settings.chapter, "scale": settings.scale}, time.perf_counter()
    try:
        client.execute()
    except CellExecutionError as error:
        row["error"] = str(error)[-2000:]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ran = sum(cell.execution_count is not None for cell in code)
    emit({**row, "seconds": time.perf_counter() - start, "cells": ran, "of": len(code)})


def thousand(settings: Settings, emit: Emit) -> None:
    """Stacked digits, of which chapter 10 has only a small version: how many of the 1,000 modes are found."""
    device, data = digits()
    with contextlib.redirect_stdout(sys.stderr):
        test = gt.data.digits(split="test").to(device)
    net = stacked.reader(data, settings.reader)
    real = gt.data.stacked(test, settings.samples)
    emit({"name": "real stacks", "data": real.name, **stacked.counted(net, real.take(slice(None)))})
    stack, taken = gt.data.stacked(data, 20_000), (acceleration.fused, acceleration.graphs)
    for able in (tuple(one for one in taken if not one.refusal(device)), ()):
        try:
            stacked.play(
                stacked.RECIPE,
                stack,
                net,
                emit,
                settings.stacked,
                settings.stacked_seconds,
                looks=min(10, settings.stacked),
                samples=settings.samples,
                accelerations=able,
            )
            return
        except ValueError as error:  # an update that cannot be recorded
            if not able:
                raise
            emit({"name": stacked.RECIPE.name, "left out": f"without {speed.title(able)}: {error}".replace("\n", " ")})


def warm(settings: Settings, emit: Emit) -> None:
    """Compile every recipe's losses beside the first part, so that the compiler's cache has them later."""
    with ProcessPoolExecutor(len(settings.recipes), get_context("spawn")) as pool:
        list(pool.map(compile_once, settings.recipes))


def compile_once(name: str) -> None:
    speed.side(get_recipe(name), digits()[1], (acceleration.compiled,))(1)


def digits() -> tuple[torch.device, gt.Data]:
    """The fastest device, and the digits there."""
    device = pick_device()[0]
    with contextlib.redirect_stdout(sys.stderr):
        return device, gt.data.digits().to(device)


def accelerations(settings: Settings, device: torch.device) -> speed.Accelerations:
    """Those that can be taken here."""
    able = (one for one in ACCELERATIONS.values() if not one.refusal(device))
    return tuple(one for one in able if settings.compiles or one is not acceleration.compiled)


@contextlib.contextmanager
def recorded(name: str, emit: Emit):
    """What fails within becomes a row, and the part goes on."""
    try:
        yield
    except (Exception, SystemExit) as error:
        emit({"name": name, "error": f"{type(error).__name__}: {error}"[-2000:]})


@dataclass(frozen=True)
class Part:
    """What it finds, and the seconds that it has for it at most."""

    find: Callable[[Settings, Emit], None]
    seconds: float


#: In the order of their worth. Even if all before the chapter use up their seconds, it has 80 of the LIMIT's.
PARTS = {
    "tests": Part(tests, 65),
    "peers": Part(peers, 95),
    "speed": Part(rates, 110),
    "trained": Part(trained, 90),
    "nccl": Part(nccl, 20),
    "chapter": Part(chapter, 300),
    "stacked": Part(thousand, 450),  # nearly all of the time: ask for it alone
}


# --------------------------------------------------------------------------------------------------------- the frame


def run_part(command: Sequence[str], rows: Path, seconds: float) -> dict:
    """Run a process that writes rows to a file, for so many seconds at most, and report what it found and how it ended.

    The process and all that it started are ended when its time is over.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            code = process.wait(seconds)
            status = "done" if code == 0 else f"failed, exit status {code}"
        except subprocess.TimeoutExpired:
            status = f"out of time after {seconds:.0f} s"
        finally:
            end(process)
        log.seek(0)
        words = log.read().decode(errors="replace")
    found = [json.loads(line) for line in rows.read_text().splitlines()] if rows.is_file() else []
    report = {"status": status, "seconds": time.perf_counter() - start, "rows": found}
    return report if status == "done" else {**report, "words": words[-3000:]}


def end(process: subprocess.Popen) -> None:
    """End a process's whole session, if any of it is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(parts: Iterable[str], command: Callable[[str, Path], Sequence[str]], limit: float, save: Callable) -> dict:
    """Reports of all parts, in turn; `save` is given what there is after each.

    command  (a part, the file for its rows) -> the process that finds them
    limit    seconds of all parts together: those that begin too late are left out
    """
    reports, start = {}, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for name in parts:
            left = limit - (time.perf_counter() - start)
            if left < LEAST:
                reports[name] = {"status": "left out, no time", "seconds": 0.0, "rows": []}
            else:
                rows = Path(folder) / f"{name}.jsonl"
                reports[name] = run_part(command(name, rows), rows, min(PARTS[name].seconds, left))
            speed.say(f"{name}: {reports[name]['status']}, {reports[name]['seconds']:.0f} s")
            save(reports)
    return reports


def main(given: list[str] | None = None) -> int:
    """All parts, or those that are asked for. 1 where one of them did not come to its end, or a test failed."""
    parser = argparse.ArgumentParser(description="What a GPU is asked.")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=[*PARTS],
        default=[name for name in PARTS if name != "stacked"],
        help="some of them, in this order",
    )
    parser.add_argument("--dry", action="store_true", help="a little of each, on any machine")
    parser.add_argument("--limit", type=float, default=LIMIT, help=f"seconds of all parts together (default {LIMIT:g})")
    parser.add_argument("--out", type=Path, default=Path("_gpu"), help="folder for gpu.json (default _gpu)")
    parser.add_argument("--one", choices=[*PARTS, "warm"], help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    settings = DRY if options.dry else FULL
    isolate()
    if options.one:

        def emit(row: dict) -> None:
            with open(options.rows, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

        {**{name: part.find for name, part in PARTS.items()}, "warm": warm}[options.one](settings, emit)
        return 0
    device, _ = pick_device()
    if device.type != "cuda" and not options.dry:
        raise SystemExit("There is no GPU here. To see that this works: benchmarks/gpu.sh --dry")
    facts = {
        "machine": gt.checkpoint.machine(device),
        "cuda": torch.version.cuda,
        "date": datetime.date.today().isoformat(),
        "code": gt.checkpoint.code(),
        "dry": options.dry,
        "settings": asdict(settings),
    }

    def command(name: str, rows: Path) -> list[str]:
        dry = ["--dry"] * options.dry
        return [sys.executable, "-m", "benchmarks.gpu", "--one", name, "--rows", str(rows), *dry]

    def save(reports: dict) -> None:
        options.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**facts, "parts": reports}, indent=1)
        atomic.write(options.out / "gpu.json", (text + "\n").encode())

    warming = None
    if settings.compiles and "speed" in options.parts and options.parts[0] == "tests":
        warming = subprocess.Popen(
            command("warm", Path(os.devnull)), cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL
        )

    def begin(name: str, rows: Path) -> list[str]:
        nonlocal warming
        if warming and name != options.parts[0]:  # what follows is timed
            with contextlib.suppress(subprocess.TimeoutExpired):
                warming.wait(45)
            end(warming)
            warming = None
        return command(name, rows)

    try:
        reports = run(options.parts, begin, options.limit, save)
    finally:
        if warming:
            end(warming)
    print(tables(facts, reports))
    return int(any(bad(report) for report in reports.values()))


def bad(report: Mapping) -> bool:
    """Whether a part ended before its time, or found a fault."""
    rows = report["rows"]
    return report["status"] != "done" or any("error" in row or row.get("outcome") == "failed" for row in rows)


# -------------------------------------------------------------------------------------------------------- the tables


def tables(facts: Mapping, reports: Mapping[str, Mapping]) -> str:
    """Everything in Markdown, for README.md."""
    cuda = f", CUDA {facts['cuda']}" if facts["cuda"] else ""
    text = [f"{facts['machine']}{cuda}, {facts['date']}, version {facts['code']}."]
    for name, report in reports.items():
        text.append(f"**{TITLES[name]}** ({report['status']}, {report['seconds']:.0f} s)")
        rows = [row for row in report["rows"] if not row.keys() & {"error", "left out", "peaks"}]
        if rows:
            text.append(TABLES[name](rows))
        text += [
            f"{row.get('name', name)}: {(row.get('error') or row['left out']).splitlines()[-1]}"
            for row in report["rows"]
            if row.keys() & {"error", "left out"}
        ]
        if "words" in report and report["words"].strip():
            text.append(f"Its last words: `{report['words'].strip().splitlines()[-1]}`")
    return "\n\n".join(text)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def pivot(rows: Sequence[Mapping], beside: str) -> str:
    """One line a training: images a second of the side that ratios are taken beside, then how many times as fast."""
    names = list(dict.fromkeys(row["name"] for row in rows))
    single = [name for name in ("none", *ACCELERATIONS) if name != beside]
    single = [name for name in single if any(row["accelerations"] == name for row in rows)]
    lines = []
    for name in names:
        own = {row["accelerations"]: row for row in rows if row["name"] == name}
        first = own.get(beside)
        top = max(own.values(), key=lambda row: row["ratio"])
        ratios = (f"{own[title]['ratio']:.2f}" if title in own else "" for title in single)
        best = f"{top['ratio']:.2f} ({top['accelerations']}; {top['images']:,.0f} images/s)"
        lines.append([name, f"{first['images']:,.0f}" if first else "", *ratios, best])
    return markdown(["networks of" if beside != "none" else "recipe", f"images/s, {beside}", *single, "best"], lines)


def of_tests(rows: Sequence[Mapping]) -> str:
    """Numbers, and the names of what failed."""
    counts = Counter(row["outcome"] for row in rows)
    failed = [f"{row['test']} failed" for row in rows if row["outcome"] == "failed"]
    return "\n\n".join([", ".join(f"{n} {outcome}" for outcome, n in counts.items()), *failed])


def of_trainings(rows: Sequence[Mapping]) -> str:
    """The best first."""
    lines = []
    for row in sorted(rows, key=lambda row: row["distance"]):
        accuracy = "" if row["label accuracy"] is None else f"{row['label accuracy']:.1%}"
        seconds = f"{row['seconds']:.0f}"
        lines.append([row["name"], row["data"], seconds, f"{row['steps']:,}", short(row["distance"]), accuracy])
    return markdown(["recipe", "digits", "seconds", "steps", "distance", "label accuracy"], lines)


def of_nccl(rows: Sequence[Mapping]) -> str:
    """A sentence."""
    return "\n\n".join(
        f"{row['name']} by {row['backend']}: after 20 steps weights differ by at most "
        f"{row['largest difference after 20 steps']:.1g}; {row['ratio']:.2f} times as fast as without the exchange."
        for row in rows
    )


def of_chapters(rows: Sequence[Mapping]) -> str:
    """A sentence."""
    return "\n\n".join(
        f"{row['name']} at {row['scale']} scale: {row['cells']} of {row['of']} cells in {row['seconds']:.0f} s."
        for row in rows
    )


def of_modes(rows: Sequence[Mapping]) -> str:
    """The counts as the training went on, and whether the goals are reached at its end."""
    lines = []
    for row in rows:
        last = row.get("last weights", {})
        cells = [f"{row[name]:,.0f}" if name in row else "" for name in ("steps", "seconds")]
        numbers = [f"{row['modes']:,}", f"{row['KL']:.3f}"]
        lines.append([row["name"], *cells, *numbers, f"{last['modes']:,}, {last['KL']:.3f}" if last else ""])
    text = [markdown(["game", "steps", "seconds", "modes", "KL", "last weights"], lines)]
    if "reached" in rows[-1]:
        goals, reached = rows[-1]["goals"], rows[-1]["reached"]
        said = {name: "reached" if reached[name] else "missed" for name in reached}
        text.append(
            f"Goals: at least {goals['modes']} modes, {said['modes']}; a KL below {goals['KL']:g}, {said['KL']}."
        )
    return "\n\n".join(text)


TITLES = {
    "tests": "Tests that need CUDA",
    "peers": "Beside the scripts of others, on their networks",
    "speed": "Images a second",
    "trained": "A minute of training, all recipes at the same time",
    "nccl": "One process that exchanges gradients",
    "chapter": "A chapter",
    "stacked": "1,000 modes of stacked digits",
}
TABLES = {
    "tests": of_tests,
    "peers": lambda rows: pivot(rows, "its script"),
    "speed": lambda rows: pivot(rows, "none"),
    "trained": of_trainings,
    "nccl": of_nccl,
    "chapter": of_chapters,
    "stacked": of_modes,
}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and so end what was started
    raise SystemExit(main())
