"""The package's command line: python -m gan_tutorial train dcgan --seconds 60 --out digits.safetensors"""

import argparse
import contextlib
import io
import json
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from . import checkpoint, data, distributed, metrics, plots
from .acceleration import ACCELERATIONS, get_accelerations
from .game import Interrupted, NonFiniteLoss
from .recipes import RECIPES, TrainedModel, Trainer, get_recipe, interruptible
from .runtime import pick_device

JUDGED = 10_000  # samples that a model is judged by
EXAMPLES = """\
  python -m gan_tutorial recipes
  python -m gan_tutorial train dcgan --seconds 60 --out digits.safetensors
  python -m gan_tutorial train --resume digits.safetensors --steps 20000
  python -m gan_tutorial sample digits.safetensors --n 100 --out digits.png
  python -m gan_tutorial evaluate digits.safetensors
  python -m gan_tutorial sample conditional --label 7 --out sevens.npy
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command. 0 if it did what was asked; 1 if not, with a sentence on standard error; 2 for bad arguments; 130
    after Ctrl-C."""
    options = parser().parse_args(arguments)
    if options.run is not train and os.environ.get("RANK", "0") != "0":
        return 0  # one process is enough for what is no training
    try:
        if options.run is train:
            distributed.init()
        if distributed.rank():  # the first one speaks
            os.environ["GAN_TUTORIAL_PROGRESS"] = "0"
        with contextlib.redirect_stdout(None) if distributed.rank() else contextlib.nullcontext():
            return options.run(options)
    except (OSError, ValueError, NonFiniteLoss) as error:
        for sentence in [str(error), *getattr(error, "__notes__", [])]:
            print(sentence, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The arguments of all commands."""
    top = argparse.ArgumentParser(
        "python -m gan_tutorial",
        epilog=EXAMPLES,
        description="Train GANs on digits, sample from them, judge them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable, words: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        made.set_defaults(run=run)
        return made

    command("recipes", recipes, "list the recipes")

    train_ = command("train", train, "train a recipe into a file, or go on with one")
    train_.add_argument("recipe", nargs="?", metavar="RECIPE", help="its name; with --resume the file knows it")
    amount = train_.add_mutually_exclusive_group()
    amount.add_argument("--steps", type=positive(int), metavar="N", help="train for N steps in all")
    amount.add_argument(
        "--seconds",
        type=positive(float),
        metavar="S",
        help="train for S seconds in all, evaluation and saving excluded",
    )
    train_.add_argument("--data", choices=("mnist", "synthetic"), help="without it MNIST if it can be had")
    train_.add_argument("--seed", type=int, metavar="N", help="of all random numbers (default 0)")
    train_.add_argument("--out", type=Path, metavar="FILE", help="the file to write (default RECIPE.safetensors)")
    train_.add_argument("--resume", type=Path, metavar="FILE", help="go on with this file, and write it anew, or --out")
    train_.add_argument(
        "--every", type=positive(float), default=60.0, metavar="S", help="save every S seconds (default 60)"
    )
    train_.add_argument(
        "--faster",
        nargs="*",
        choices=list(ACCELERATIONS),
        metavar="MEASURE",
        help=f"after RECIPE, some of {', '.join(ACCELERATIONS)}; with --resume the file knows them",
    )

    model = f"a file, or a model of the package's own: {', '.join(checkpoint.shipped())}"
    sample_ = command("sample", sample, "sample from a model")
    sample_.add_argument("model", metavar="MODEL", help=model)
    sample_.add_argument("--n", type=positive(int), default=100, metavar="N", help="how many images (default 100)")
    sample_.add_argument("--label", type=int, choices=range(10), metavar="K", help="the digit; without it all in turn")
    sample_.add_argument("--seed", type=int, default=0, metavar="N")
    sample_.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help=".npy (float32, (n, 1, 28, 28), in [-1, 1]) or .png (a grid)",
    )

    evaluate_ = command("evaluate", evaluate, "compare a model's samples with test images")
    evaluate_.add_argument("model", metavar="MODEL", help=model)
    evaluate_.add_argument("--n", type=positive(int), default=JUDGED, metavar="N", help=f"samples (default {JUDGED})")
    evaluate_.add_argument("--json", action="store_true", help="print JSON in place of a table")
    return top


def positive(kind: type) -> Callable[[str], float]:
    """A type of argument: a positive number of this kind."""

    def convert(text: str):
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is no positive number")
        return value

    convert.__name__ = "number"  # argparse names it in its message
    return convert


# ------------------------------------------------------------------------------------------------------ the commands


def recipes(options) -> int:
    """List the recipes."""
    for name, recipe in RECIPES.items():
        print(
            f"{name:12} {recipe.steps:6,} steps of {recipe.batch_size}{', told the digit' if recipe.labelled else ''}"
        )
    return 0


def train(options) -> int:
    """Train a recipe, or go on with a file, and save what was made."""
    source, out = options.resume, options.out or options.resume
    faster = None if options.faster is None else get_accelerations(options.faster)
    if out is None and options.recipe is not None:
        out = Path(f"{get_recipe(options.recipe).name}.safetensors")
    if restarted(out):  # torchrun starts us once more: go on with what the last start had saved
        source = out
    if source is None and options.recipe is None:
        raise ValueError(f"Name a recipe to train, one of {', '.join(RECIPES)}, or go on with a file: --resume FILE.")
    if out.exists() and out != source:
        how = f"Go on with it by --resume {out}, or name" if out.is_file() else "Name"
        raise ValueError(f"{out} is there already. {how} another file by --out.")
    if source is None:
        training = Trainer(
            get_recipe(options.recipe), digits(options.data, device=True), options.seed or 0, faster or ()
        )
        goal = {"steps": training.recipe.steps, "seconds": None}
    else:
        card, _ = checkpoint.read(source, tensors=False)
        for name, asked in (("recipe", options.recipe), ("seed", options.seed), ("data", options.data)):
            if asked is not None and asked != card[name]:
                raise ValueError(
                    f"{source} was trained with {name} {card[name]}, not {asked}. Leave {asked} out to go "
                    "on, or train anew without --resume."
                )
        try:
            training = checkpoint.resume(source, digits(card["data"], device=True), faster)
        except ValueError as error:
            if faster is None and card.get("accelerations"):
                error.add_note(
                    f"{source} was trained with {', '.join(card['accelerations'])}: name the measures to go on "
                    "with, or none of them: --faster"
                )
            raise
        goal = card.get("goal") or {"steps": training.recipe.steps, "seconds": None}
    if options.steps or options.seconds:
        goal = {"steps": options.steps, "seconds": options.seconds}
    if training.steps > (goal["steps"] or math.inf) or training.seconds > (goal["seconds"] or math.inf):
        raise ValueError(
            f"{source} has {training.steps:,} steps in {training.seconds:.0f} s behind it, more than was "
            "asked for: --steps and --seconds count from the beginning."
        )

    def save(training: Trainer, made: TrainedModel | None = None, **facts) -> None:
        if distributed.rank() == 0:
            checkpoint.save(training, out, made, goal=goal, launch=launch(), **facts)

    def report(training: Trainer) -> None:
        save(training)
        if sys.stdout and not sys.stdout.isatty():
            print(line(training, goal), flush=True)

    if out != source:
        save(training)  # a place that cannot be written to is better known before than after
    with interruptible() as asked:  # until it is saved
        try:
            training.run(**goal, save=report, every=options.every)
        except Interrupted:
            asked.append(signal.SIGINT)
        except NonFiniteLoss as error:
            raise ValueError(f"{error}\n{out} holds the last state that was saved.") from None
        if distributed.rank():
            return 0
        made = training.model()
        save(training, made)
    if asked:
        print(f"{line(training, goal)}. Saved. Go on with: python -m gan_tutorial train --resume {out}")
        return 130
    numbers = judged(made, training.data.name)
    save(training, made, metrics=numbers)
    print(f"{line(training, goal)}. {out} holds the model.")
    print(metrics.table({"the model": numbers}))
    return 0


def sample(options) -> int:
    """Write samples of a model to a file."""
    kind = options.out.suffix
    if kind not in (".npy", ".png"):
        raise ValueError(f"Samples go to a .npy or a .png file, not to {options.out}.")
    made = checkpoint.load(checkpoint.find(options.model), pick_device()[0])
    if options.label is not None and not made.recipe.labelled:
        raise ValueError(f"{options.model} was not told digits, so it cannot be asked for one: leave --label out.")
    images = made.sample(options.n, labels(made, options.n, options.label), options.seed).cpu()
    content = io.BytesIO()
    if kind == ".npy":
        np.save(content, images.numpy())
    else:
        Image.fromarray(plots.tile(images)).save(content, "PNG")
    checkpoint.write(content.getvalue(), options.out)
    print(f"{options.out} holds {options.n:,} images.")
    return 0


def evaluate(options) -> int:
    """Print a model's metrics beside those of real training images, which are the best that can be expected."""
    made = checkpoint.load(checkpoint.find(options.model), pick_device()[0])
    test = digits(made.card["data"], "test")
    model = judged(made, made.card["data"], options.n, test)
    if options.json:
        card = {name: value for name, value in made.card.items() if name != "metrics"}
        print(json.dumps({"card": card, "metrics": model}, indent=1))
        return 0
    train_ = digits(made.card["data"])
    real = metrics.report(train_.take(slice(0, options.n)), test, train_.label[: options.n])
    print(f"{made}\n")
    print(metrics.table({"the model": model, "training images": real}))
    return 0


# --------------------------------------------------------------------------------------------------------- their parts


def restarted(out: Path | None) -> bool:
    """Whether torchrun started this process again, and an earlier start of the same launch wrote the file."""
    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0" or launch() is None or not out or not out.is_file():
        return False
    return checkpoint.read(out, tensors=False)[0].get("launch") == launch()


def launch() -> str | None:
    """torchrun's name for this launch, the same after a restart; None without one."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    return None if name == "none" else name


def digits(name: str | None, split: str = "train", device: bool = False) -> data.Data:
    """The digits of this name, or those that can be had; on the fastest device if asked. ValueError for others."""
    if name not in (None, "mnist", "synthetic"):
        raise ValueError(f"There are mnist and synthetic digits, but no {name!r}.")
    if name is None:
        made = data.digits(split=split)
    else:
        made = data.mnist(split) if name == "mnist" else data.synthetic_digits(data.SPLITS[split][1], split=split)
    return made.to(pick_device()[0]) if device else made


def labels(made: TrainedModel, n: int, label: int | None = None) -> torch.Tensor | None:
    """The digits to ask a model for: one of them, or all in turn; None where it takes none."""
    if not made.recipe.labelled:
        return None
    return torch.arange(n) % 10 if label is None else torch.full((n,), label)


def judged(made: TrainedModel, name: str, n: int | None = None, test: data.Data | None = None) -> dict[str, float]:
    """The metrics of n samples of a model against the test images of the digits that it was trained on."""
    n = JUDGED if n is None else n
    asked = labels(made, n)
    return metrics.report(made.sample(n, asked).cpu(), digits(name, "test") if test is None else test, asked)


def line(training: Trainer, goal: dict) -> str:
    """Where a training stands, in words."""
    share = training.steps / goal["steps"] if goal["steps"] else training.seconds / goal["seconds"]
    left = training.seconds * (1 / share - 1) if share else float("nan")
    return f"{training.steps:,} steps in {training.seconds:.0f} s" + (f", {left:.0f} s left" if 0 < share < 1 else "")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # whoever ends us wants it saved
    raise SystemExit(main())
