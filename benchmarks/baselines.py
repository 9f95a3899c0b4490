"""The book's recipes beside PyTorch-GAN's scripts: the same digits, the same cores, the same seconds of training.

    python -m benchmarks.baselines PATH/TO/PyTorch-GAN
    python -m benchmarks.baselines PATH --only dcgan cgan --seconds 60 --repeats 3 --json FILE

Prints a table of Fréchet distances to MNIST's test set; benchmarks/README.md says what is measured, and how. Their
scripts run unchanged, from your clone. Keep the machine free of other work meanwhile.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.nn.functional import interpolate

import gan_tutorial as gt
from gan_tutorial import metrics

from .runners import Result, in_subprocess, isolate, ours, theirs, write_json

Run = Callable  # (function, *its arguments) -> what it returns, as `in_subprocess` does
ORIGIN = "https://github.com/eriklindernoren/PyTorch-GAN"


@dataclass(frozen=True)
class Pair:
    """A recipe of the book, by name, the script that it is measured against, and what it promises for 60 seconds.

    ratio           our distance is at most this share of theirs
    label_accuracy  at least this share of our samples show the digit that was asked for; None where none is asked for
    """

    recipe: str
    script: str
    ratio: float
    label_accuracy: float | None = None


PAIRS = (Pair("dcgan", "dcgan", 1 / 10), Pair("wgan-gp", "wgan_gp", 1 / 10), Pair("conditional", "cgan", 1 / 100, 0.97))


@dataclass(frozen=True)
class Score:
    """A training, judged: Fréchet distance, label accuracy (None without labels), and the mode that samples best."""

    distance: float
    label_accuracy: float | None
    mode: str
    seconds: float
    steps: int


# ----------------------------------------------------------------------------------------------------------- judging


def resized(images: Tensor, side: int) -> Tensor:
    """Images (n, 1, h, h) as (n, 1, side, side), bilinear without aliasing; of that size already, as they are."""
    if images.shape[-1] == side:
        return images
    return interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)


class Judge:
    """Distances to the images of `test` in the features of `classifier`; by default the one that ships for `test`."""

    def __init__(self, test: gt.Data, classifier=None):
        self.classifier = metrics.classifier(test) if classifier is None else classifier
        self.images, self.references = test.take(slice(None)), {}

    def real(self, side: int) -> list[Tensor]:
        """Features of the test images; for another side also after a way there and back, which blurs a little."""
        if side not in self.references:
            ways = [self.images] if side == 28 else [self.images, resized(resized(self.images, side), 28)]
            self.references[side] = [metrics.features(self.classifier, images) for images in ways]
        return self.references[side]

    def score(self, result: Result, label: Tensor | None = None) -> Score:
        """The best of its modes, each against the reference that suits it best."""
        scores = []
        for mode, samples in result.samples.items():
            images = resized(torch.from_numpy(samples), 28)
            fake = metrics.features(self.classifier, images)
            distance = min(metrics.frechet_distance(fake, real) for real in self.real(samples.shape[-1]))
            accuracy = None if label is None else metrics.label_accuracy(self.classifier, images, label)
            scores.append(Score(distance, accuracy, mode, result.seconds, result.steps))
        return min(scores, key=lambda score: score.distance)


# --------------------------------------------------------------------------------------------------------- the table


def row(pair: Pair, scores: dict[str, list[Score]]) -> dict:
    """The medians of a pair, their ratio, and whether the recipe keeps its promise."""
    middle = {side: median(score.distance for score in own) for side, own in scores.items()}
    accuracy = {
        side: median(score.label_accuracy for score in own) if pair.label_accuracy else None
        for side, own in scores.items()
    }
    ratio = middle["ours"] / middle["theirs"]
    holds = ratio <= pair.ratio and (pair.label_accuracy is None or accuracy["ours"] >= pair.label_accuracy)
    return {
        "recipe": pair.recipe,
        "script": f"{pair.script}.py",
        **middle,
        "ratio": ratio,
        "at_most": pair.ratio,
        "label_accuracy": accuracy,
        "accuracy_at_least": pair.label_accuracy,
        "holds": holds,
        "runs": {side: [vars(score) for score in own] for side, own in scores.items()},
    }


def short(distance: float) -> str:
    """Three digits, or all that stand before the point."""
    return f"{distance:,.0f}" if distance >= 100 else f"{distance:#.3g}"


def table(rows: list[dict]) -> str:
    """The rows in Markdown: Fréchet distances, medians with the range of the runs."""
    lines = [
        "| recipe | distance | script | distance | ratio | at most | label accuracy | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        ranges = {side: [run["distance"] for run in r["runs"][side]] for side in ("ours", "theirs")}
        mine, their = (f"{short(r[side])} ({short(min(own))} to {short(max(own))})" for side, own in ranges.items())
        accuracy = r["label_accuracy"]
        words = (
            ""
            if accuracy["ours"] is None
            else f"{accuracy['ours']:.1%} (theirs {accuracy['theirs']:.1%}), at least {r['accuracy_at_least']:.0%}"
        )
        lines.append(
            f"| {r['recipe']} | {mine} | {r['script']} | {their} | {r['ratio']:.4f} | {r['at_most']:g} | "
            f"{words} | {'holds' if r['holds'] else 'falls short'} |"
        )
    return "\n".join(lines)


def compare(pair: Pair, script: Path, judge: Judge, test: gt.Data, options, run: Run) -> dict:
    """Both sides in turn, once for each seed, and what came of it. They train for as long as our whole call took."""
    label, scores = test.label if pair.label_accuracy else None, {"ours": [], "theirs": []}
    for seed in range(options.repeats):
        seconds = options.seconds
        for side, function, what, name in (
            ("ours", ours, pair.recipe, pair.recipe),
            ("theirs", theirs, script, script.name),
        ):
            result = run(function, what, seconds, seed, options.threads, len(test), label)
            seconds, score = result.seconds, judge.score(result, label)
            scores[side].append(score)
            accuracy = "" if label is None else f", label accuracy {score.label_accuracy:.1%}"
            print(
                f"{name}, seed {seed}: {short(score.distance)}{accuracy} after {score.seconds:.1f} s, "
                f"{score.steps:,} steps ({score.mode} mode)",
                file=sys.stderr,
                flush=True,
            )
    return row(pair, scores)


def scripts(clone: Path, pairs) -> dict[Pair, Path]:
    """Where the pairs' scripts are. SystemExit, with a sentence, if the path is no clone that has them."""
    found = {pair: clone / "implementations" / pair.script / f"{pair.script}.py" for pair in pairs}
    for path in found.values():
        if not path.is_file():
            raise SystemExit(
                f"{clone} is not a clone of PyTorch-GAN: it has no {path.relative_to(clone)}. "
                f"Make one: git clone {ORIGIN}"
            )
    return {pair: path.resolve() for pair, path in found.items()}


def main(
    arguments: list[str] | None = None,
    run: Run = in_subprocess,
    load: Callable[[str], gt.Data] = gt.data.mnist,
    judging: Callable[[gt.Data], Judge] = Judge,
) -> int:
    """Measure what the arguments ask for. 130 after Ctrl-C, which leaves what was complete."""
    parser = argparse.ArgumentParser(description="The book's recipes beside PyTorch-GAN's scripts.")
    parser.add_argument("clone", type=Path, help=f"a clone of {ORIGIN}")
    parser.add_argument("--seconds", type=float, default=60, help="of each training (default 60)")
    parser.add_argument("--repeats", type=int, default=3, help="trainings of each side, seeds 0, 1, … (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="of each training (default 2)")
    parser.add_argument("--only", nargs="+", choices=[pair.script for pair in PAIRS], help="some of the scripts")
    parser.add_argument("--json", type=Path, help="write all runs to this file")
    options = parser.parse_args(arguments)
    if not options.seconds > 0 or options.repeats < 1 or options.threads < 1:
        parser.error("seconds, repeats and threads are positive")
    found = scripts(options.clone, [pair for pair in PAIRS if options.only is None or pair.script in options.only])
    try:
        test = load("test")
    except (OSError, ValueError) as error:
        raise SystemExit(f"This needs MNIST. {error}") from None
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # neither side has a GPU
    isolate()
    judge, rows, code = judging(test), [], 0
    try:
        for pair, script in found.items():
            rows.append(compare(pair, script, judge, test, options, run))
    except KeyboardInterrupt:
        print("Interrupted. What was complete:", file=sys.stderr)
        code = 130
    print(
        f"Fréchet distance to MNIST's test set after {options.seconds:g} s of training, {options.threads} threads, "
        f"median of {options.repeats}:\n\n{table(rows)}"
        if rows
        else "nothing"
    )
    if options.json:
        settings = {"seconds": options.seconds, "threads": options.threads, "torch": torch.__version__}
        write_json(options.json, {**settings, "rows": rows})
    return code


if __name__ == "__main__":
    raise SystemExit(main())
