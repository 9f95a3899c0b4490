"""Train the models that ship with the book: each recipe for a long time, judged on the way, in half precision.

    python -m tools.train_pretrained                        all of them, into gan_tutorial/models/: hours
    python -m tools.train_pretrained dcgan --seconds 1800   one of them
    python -m tools.train_pretrained --folder FOLDER        where trainings are kept, to continue after Ctrl-C

Ctrl-C, and what else ends a program, ends it after the step at hand, which is kept; a second time, at once.
A model is judged when it has trained for 1/64, 1/32, … 1/2 and all of its seconds; its card keeps the curve.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from gan_tutorial import checkpoint, cli, inpainting, metrics, translation
from gan_tutorial.commands import packaged
from gan_tutorial.data import Data
from gan_tutorial.game import Interrupted
from gan_tutorial.recipes import RECIPES, get_recipe
from gan_tutorial.runtime import pick_device
from gan_tutorial.training import TrainedModel, Trainer, interruptible

from . import option_parser

HALVINGS = 6
SETS = ("mnist", "synthetic")
MODELS = [*RECIPES, "inpainting", "pix2pix"]


def trained(name: str, seconds: float, data: str, folder: Path, digits: Callable = packaged) -> Path:
    """The file of a recipe's training, trained for so long, going on with it where it is there.

    Raises cli.Ended where a signal ended it, OSError where the file cannot be written, and BlockingIOError where
    another training writes to it.
    """
    path = folder / f"{name}.safetensors"
    with checkpoint.locked(path), interruptible(*cli.ENDING) as stopped:
        try:
            go_on(name, seconds, task(name, digits(data)), digits(data, "test"), path)
        except Interrupted:
            raise cli.Ended(stopped[0] if stopped else signal.SIGINT) from None
        if stopped:  # while its last model was judged
            raise cli.Ended(stopped[0])
    return path


def go_on(name: str, seconds: float, train: Data, test: Data, path: Path) -> None:
    """Train for so long in all, and judge on the way."""
    train = train.to(pick_device()[0])
    if path.is_file():
        training, curve = checkpoint.resume(path, train), checkpoint.read(path, tensors=False)[0].get("curve", [])
    else:
        training, curve = Trainer(get_recipe(name), train), []
    for k in range(HALVINGS, -1, -1):
        if k and curve and training.seconds >= seconds / 2**k:
            continue  # behind us
        try:
            training.run(seconds=seconds / 2**k, save=lambda it: checkpoint.save(it, path, curve=curve))
        except Interrupted:
            checkpoint.save(training, path, curve=curve)
            raise
        made = training.model()
        if not curve or training.steps > curve[-1]["step"]:
            numbers = judged(made, test)
            curve.append({"step": training.steps, "seconds": round(training.seconds, 1), **numbers})
            checkpoint.save(training, path, made, curve=curve)
            print(
                f"{name}: {training.steps:,} steps in {training.seconds:.0f} s, "
                f"Fréchet distance {curve[-1]['Fréchet distance']:.3f}",
                flush=True,
            )


def task(name: str, data: Data) -> Data:
    """What a recipe is trained on."""
    return translation.outlined(data) if name == "pix2pix" else data


def asked(name: str, test: Data) -> Tensor | None:
    """What is made of test images and given as condition, for recipes that make images of images."""
    images = test.take(slice(None))
    if name == "pix2pix":
        return translation.outline(images)
    if name == "inpainting":
        u = torch.rand(len(images), 2, generator=torch.Generator().manual_seed(0))
        height, width = images.shape[2:]
        return inpainting.condition(images, inpainting.holes(u, (height, width)))
    return None


def judged(made: TrainedModel, test: Data) -> dict[str, float]:
    """The metrics of as many samples as there are test images; of images that were made of them by the label."""
    condition = asked(made.recipe.name, test)
    label = made.conditions(len(test)) if condition is None else test.label
    return metrics.report(made.sample(len(test), condition).cpu(), test, label=label)


def main(arguments: list[str] | None = None, digits: Callable = packaged) -> int:
    parser = option_parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="RECIPE", help="without one, all of them")
    parser.add_argument("--seconds", type=cli.number, default=900.0, help="of training (default 900)")
    parser.add_argument("--data", choices=SETS, default="mnist")
    parser.add_argument("--folder", type=Path, default=Path("_gallery"), help="of the trainings (default _gallery)")
    parser.add_argument("--out", type=Path, default=checkpoint.SHIPPED, help="of the models")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in MODELS]
    if unknown:
        parser.error(f"unknown recipe {', '.join(unknown)}; choose from {', '.join(MODELS)}")
    for folder in (options.folder, options.out):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        names = options.names or MODELS
        for name in names:  # now, and not after hours
            checkpoint.check_writable(options.out / f"{name}.safetensors")
        train, test = digits(options.data), digits(options.data, "test")
        best = metrics.subset(train, len(test), seed=1)  # nothing generated can be better
        real = metrics.report(best.take(slice(None)), test, label=best.label)
        for name in names:
            path = trained(name, options.seconds, options.data, options.folder, digits)
            small = options.folder / f"{name}.small.safetensors"
            checkpoint.ship(path, small)
            made = checkpoint.load(small)
            numbers = judged(made, test)  # of the very weights that are shipped
            checkpoint.ship(path, options.out / path.name, metrics=numbers, **{"training images": real})
            print(made, metrics.table({name: numbers, "training images": real}), sep="\n", flush=True)
    except KeyboardInterrupt as interrupt:
        print(f"Interrupted. What was done is in {options.folder}: the same command goes on with it.", file=sys.stderr)
        return 128 + getattr(interrupt, "number", signal.SIGINT)
    except (OSError, ValueError, ArithmeticError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
