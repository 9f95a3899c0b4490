"""What the command line does: train, sample, evaluate. Its arguments, errors and signals are in `cli`."""

import contextlib
import io
import json
import math
import os
import secrets
import shutil
import signal
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import atomic, checkpoint, data, distributed, hooks, images, layout, metrics, plots
from .acceleration import get_accelerations
from .cli import DATA, ENDING, FITS, LARGEST, Ended, check_free, complain, program, say
from .game import Interrupted
from .images import available_memory, human
from .recipes import get_recipe
from .runtime import default_seed, pick_device
from .training import TrainedModel, Trainer, interruptible, learning_rate

JUDGED = 10_000  # samples that a model is judged by
FLOWERS = {"train": 20_000, "test": 10_000}  # how many are drawn
SHOWN = 64  # samples in a picture of a training
NUMBERS = ("batch_size", "lr", "latent_dim", "half_life", "flip", "augment")  # that replace a recipe's own


def spectator() -> bool:
    """Whether torchrun started this process in addition to a first one, which alone does whatever is not a training."""
    torchrun = "TORCHELASTIC_RUN_ID" in os.environ and "LOCAL_RANK" in os.environ
    return torchrun and os.environ.get("RANK", "0") != "0"


# ---------------------------------------------------------------------------------------------------------- train


def train(options) -> int:
    """Train a recipe, or continue with a file, and save what was made."""
    distributed.init()
    silence = contextlib.nullcontext()
    if distributed.rank():  # the first process speaks
        os.environ["GAN_TUTORIAL_PROGRESS"], silence = "0", contextlib.redirect_stdout(None)
    with silence, checkpoint.locked(options.out):
        return train_one(options)


def train_one(options) -> int:
    """What one process does of it. Returns the exit code."""
    trainer, keeper = opened(options)
    with interruptible(*ENDING) as asked:  # until it is saved
        try:
            number = run(trainer, keeper, asked)
            if distributed.rank():
                return 128 + number if number else 0
            made = trainer.model()
            kept = keeper.save_somewhere(trainer, made)
        except KeyboardInterrupt:
            raise Ended(asked[0] if asked else signal.SIGINT, f"Ended at once. {keeper.told()}") from None
        number = asked[0] if asked else number
    keeper.draw(made)
    if not kept:
        return 1
    if number:
        say(f"{line(trainer, keeper.goal)}. Saved. Continue with: {program()} train --resume {keeper.path}")
        return 128 + number
    say(f"{line(trainer, keeper.goal)}. {keeper.path} holds the model.")
    samples = made.sample(SHOWN)
    if torch.equal(samples, samples[:1].expand_as(samples)):
        complain("Warning: all samples of this model are the same, so it learned nothing: train with a lower --lr.")
    if options.evaluate != 0:
        judge_and_keep(keeper, trainer, made, options.evaluate)
    return 0


def opened(options) -> tuple[Trainer, "Keeper"]:
    """The training that was asked for, and its keeper: everything that can be refused is refused here."""
    source = options.out if restarted(options.out) else options.resume
    check_free(options.out, source)
    trainer, goal, facts = begin(options) if source is None else go_on(options, source)
    own = goal["seconds"] or math.inf  # a training overshoots it by part of a step
    if options.steps or options.seconds:
        goal = {"steps": options.steps, "seconds": options.seconds}
    if trainer.steps > (goal["steps"] or math.inf) or (options.seconds or math.inf) < min(trainer.seconds, own):
        raise ValueError(
            f"{source} has {trainer.steps:,} steps in {trainer.seconds:.0f} s behind it, more than was asked for: "
            "--steps and --seconds count from the beginning."
        )
    keeper = Keeper(options.out, trainer, goal, options.every, {**facts, "launch": launch()})
    if distributed.rank() == 0:
        made = trainer.model()
        if options.pictures:
            keeper.draw_into(options.pictures, trainer, made)
        if not options.out.exists():
            keeper.save(trainer, made)
    return trainer, keeper


def run(trainer: Trainer, keeper: "Keeper", asked: list[int]) -> int | None:
    """Train until the goal is reached, and return None; or until a signal comes, and return which.

    A second signal raises KeyboardInterrupt. Any other exception gets a note on what the file holds.
    """
    try:
        trainer.run(**keeper.goal, hooks=keeper.pictures, save=keeper.periodic, every=keeper.every)
    except Interrupted:
        return asked[0] if asked else signal.SIGINT  # if it came to another process
    except Exception as error:
        error.add_note(keeper.told())
        raise
    return None


def begin(options) -> tuple[Trainer, dict, dict]:
    """A new training, how long it lasts unless something else was asked for, and facts for the card of its file."""
    recipe = get_recipe(options.recipe).configure(**numbers(options))
    accelerations = get_accelerations(options.accelerate or ())
    found, facts = open_data(options.data, size=options.size, channels=options.channels, fit=options.fit)
    trainer = Trainer(recipe, found.to(pick_device()[0]), default_seed(options.seed), accelerations)
    return trainer, {"steps": recipe.steps, "seconds": None}, facts


def go_on(options, source: Path) -> tuple[Trainer, dict, dict]:
    """The training in a file, its goal, and facts for its card. ValueError if something else was asked for.

    FileNotFoundError if its data are not here.
    """
    card, _ = checkpoint.read(source, tensors=False)
    compare(card, options, source)
    accelerations = None if options.accelerate is None else get_accelerations(options.accelerate)
    folder = folder_of(card)
    name = options.data or folder.get("path") or card["data"]
    if name not in DATA and not Path(name).is_dir():
        raise FileNotFoundError(f"{source} was trained on {name}, which is not here: name its folder with --data.")
    channels, *size = card["shape"]
    found, facts = open_data(name, size=tuple(size), channels=channels, fit=folder.get("fit") or options.fit)
    try:
        trainer = checkpoint.resume(source, found.to(pick_device()[0]), accelerations)
    except ValueError as error:
        if accelerations is None and card["accelerations"]:
            error.add_note(
                f"{source} was trained with {', '.join(map(str, card['accelerations']))}: name the accelerations to "
                "continue with, or none of them: --accelerate"
            )
        raise
    return trainer, goal_of(card) or {"steps": trainer.recipe.steps, "seconds": None}, facts


def folder_of(card: Mapping) -> dict:
    """The folder of images that a card names, and how they were read; empty for other data."""
    folder = card.get("folder", {})
    known = isinstance(folder, dict) and isinstance(folder.get("path"), str) and folder.get("fit") in FITS
    return {**folder, "path": unquoted_path(folder["path"])} if known else {}


def quoted_path(path: str) -> str:
    """A path as a card can hold it: what is not printable, and %, is escaped as in a URL."""
    return "".join(c if c.isprintable() and c != "%" else urllib.parse.quote(os.fsencode(c)) for c in path)


def unquoted_path(text: str) -> str:
    """The inverse of `quoted_path`."""
    return os.fsdecode(urllib.parse.unquote_to_bytes(os.fsencode(text)))


def goal_of(card: dict) -> dict | None:
    """How long it was to last: {"steps": n, "seconds": None}, or the other way round; None if the card does not say."""
    goal = card.get("goal")
    kinds = {"steps": int, "seconds": int | float}
    amounts = {name: goal.get(name) for name in kinds} if isinstance(goal, dict) else {}
    given = [(name, x) for name, x in amounts.items() if x is not None]
    known = [isinstance(x, kinds[name]) and not isinstance(x, bool) and 0 < x <= LARGEST for name, x in given]
    return amounts if known == [True] else None


def numbers(options) -> dict:
    """What is asked for in place of the recipe's own numbers."""
    return {name: getattr(options, name) for name in NUMBERS if getattr(options, name) is not None}


def compare(card: dict, options, source: Path) -> None:
    """Check that what is asked for is what a file was trained with. Raises ValueError, with both, if it is not."""
    recipe = checkpoint.recipe_of(card)
    used = {
        **{name: getattr(recipe, name) for name in NUMBERS if name != "lr"},
        "lr": card["options"].get("lr", learning_rate(recipe.optimizer)),  # as it was asked for, before rounding
        "augment": recipe.augment is not None,
        "seed": card["seed"],
        "channels": card["shape"][0],
        "size": tuple(card["shape"][1:]),
        "fit": folder_of(card).get("fit"),
    }
    asked = {name: (getattr(options, name), there) for name, there in used.items()}
    asked["recipe"] = (options.recipe, card["recipe"])
    if options.data in DATA or card["data"] in DATA:  # a folder may have moved: what it holds is compared later
        asked["data"] = (options.data, card["data"])
    for name, (wish, there) in asked.items():
        if wish is not None and there is not None and wish != there:
            raise ValueError(
                f"{source} was trained with {option(name, there)}, not {option(name, wish)}. Leave that out to "
                "continue, or train anew without --resume."
            )


def option(name: str, value) -> str:
    """An option as one writes it on the command line."""
    if name == "recipe":
        return f"the recipe {value}"
    words = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{words}" if value else f"--no-{words}"
    return f"--{words} {'x'.join(map(str, value)) if isinstance(value, tuple) else value}"


class Keeper:
    """Keeps a training in its file, and in pictures. A failure while it trains leads to a warning, and does not end it.

    goal   {"steps": n, "seconds": None}, or the other way round
    every  seconds between two saves
    facts  for the card, in addition to the goal
    steps  how many the file holds
    """

    def __init__(self, path: Path, trainer: Trainer, goal: dict, every: float, facts: dict):
        self.path, self.goal, self.every, self.facts = path, goal, every, {**facts, "goal": goal}
        self.steps, self.pictures = trainer.steps, []

    def save(self, trainer: Trainer, made: TrainedModel | None = None, **facts) -> None:
        """Save, with these facts in addition to its own. Raises what `checkpoint.save` raises."""
        checkpoint.save(trainer, self.path, made, **self.facts, **facts)
        self.steps = trainer.steps

    def draw_into(self, folder: Path, trainer: Trainer, made: TrainedModel) -> None:
        """Sample grids and losses from now on."""
        self.made = made
        take = partial(self.take, SHOWN)
        grids = hooks.SampleGrids(folder, take, every_seconds=math.inf, start=trainer.steps, log=trainer.log)
        self.pictures = [grids]

    def take(self, n: int) -> Tensor:
        """Samples of the latest model, from the same z each time."""
        return self.made.sample(n).cpu()

    def draw(self, made: TrainedModel) -> None:
        """A picture of this model's samples, and the losses up to now, where pictures are kept."""
        self.made = made
        for grids in self.pictures:
            grids.write()

    def periodic(self, trainer: Trainer) -> None:
        """What is done every `every` seconds."""
        made = trainer.model()
        self.try_to_save(trainer, made)
        self.draw(made)
        if not sys.stdout.isatty():
            say(line(trainer, self.goal))

    def try_to_save(self, trainer: Trainer, made: TrainedModel) -> None:
        """Save; if the disk does not allow it, say so, and leave it for the next time."""
        try:
            self.save(trainer, made)
        except OSError as error:
            complain(f"Warning: {error} {self.told()} Training goes on; the next try is in {self.every:g} s.")

    def save_somewhere(self, trainer: Trainer, made: TrainedModel) -> bool:
        """Save, and if that fails, in another folder. Returns whether the file is where it was meant to be."""
        for path in (self.path, *elsewhere(self.path)):
            try:
                checkpoint.save(trainer, path, made, **self.facts)
            except OSError as error:
                complain(str(error))
                continue
            if path != self.path:
                complain(f"All {trainer.steps:,} steps were saved to {path} instead. {self.told()}")
            self.steps = trainer.steps if path == self.path else self.steps
            return path == self.path
        complain(f"Nothing could be saved. {self.told()}")
        return False

    def told(self) -> str:
        """What the file holds, in a sentence."""
        return f"{self.path} holds the state after {self.steps:,} step{'s' * (self.steps != 1)}."


def elsewhere(path: Path) -> Iterator[Path]:
    """Where to save a training whose own folder cannot be written to any more: names that do not exist yet."""
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        yield folder / f"{path.stem}-{secrets.token_hex(4)}{path.suffix}"


def judge_and_keep(keeper: Keeper, trainer: Trainer, made: TrainedModel, n: int | None) -> None:
    """Evaluate what is already saved, and add the result to its file. Whatever happens here, the model is kept."""
    kept = f"{keeper.path} holds the model, all {trainer.steps:,} steps of it"
    try:
        real = held_out(trainer.data)
        samples = made.sample(min(n or JUDGED, len(real))).cpu()
        how: dict = {"label": made.conditions(len(samples)), "features": features_for(real)}
        if trainer.data.name in DATA:
            columns = metrics.compare(samples, trainer.data.to("cpu"), real, title="the model", **how)
        else:  # a folder: all its images were trained on
            columns = {"the model": metrics.report(samples, real, **how)}
            columns["the model"].notes.append("Compared with the very images that it was trained on.")
        keeper.save(trainer, made, metrics=dict(columns["the model"]))
        say(metrics.table(columns))
    except KeyboardInterrupt as interrupt:
        number = getattr(interrupt, "number", signal.SIGINT)
        raise Ended(number, f"Interrupted while it was evaluated. {kept}.") from None
    except (OSError, ValueError) as error:
        complain(f"{kept}, but it could not be evaluated: {error}")


def restarted(out: Path | None) -> bool:
    """Whether torchrun started this process again, and an earlier start of the same launch wrote the file."""
    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0" or launch() is None or not out or not out.is_file():
        return False
    return checkpoint.read(out, tensors=False)[0].get("launch") == launch()


def launch() -> str | None:
    """torchrun's name for this launch, the same after a restart; None without one."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    return None if name == "none" else name


def line(trainer: Trainer, goal: dict) -> str:
    """Where a training stands, in words."""
    share = trainer.steps / goal["steps"] if goal["steps"] else trainer.seconds / goal["seconds"]
    left = trainer.seconds * (1 / share - 1) if share else float("nan")
    steps = f"{trainer.steps:,} step{'s' * (trainer.steps != 1)}"
    return f"{steps} in {trainer.seconds:.0f} s" + (f", {left:.0f} s left" if 0 < share < 1 else "")


# ----------------------------------------------------------------------------------------------------------- data


def open_data(name: str | None, split: str = "train", size=None, channels=None, fit=None) -> tuple[data.Data, dict]:
    """The data of this name, or the images of this folder, and facts about them for a card.

    Without a name: digits, MNIST's if available. For a folder, either split is all of it.
    """
    if name in DATA or name is None:
        found, facts = packaged(name, split, size), {}
    else:
        how = {"size": size or (64, 64), "channels": channels or 3, "fit": fit or "crop"}
        base = Path(name).resolve().name
        found = data.folder(name, name=f"folder {base}" if base in DATA else None, **how)  # `DATA` are our own names
        facts = {"folder": {"path": quoted_path(os.path.abspath(name)), **how}}
    names = list(found.class_names)
    return found, {**facts, "class_names": names} if names else facts


def packaged(name: str | None, split: str = "train", size: tuple[int, ...] | None = None) -> data.Data:
    """The package's data of this name; without a name, the digits that are available. Flowers are drawn at any size."""
    if name is None:
        return data.digits(split=split)
    if name == "mnist":
        return data.mnist(split)
    if name == "synthetic":
        return data.synthetic_digits(data.SPLITS[split][1], split=split)
    if size is not None and size[0] != size[1]:
        raise ValueError(f"Flowers are drawn on squares: expected one --size, got {size[0]}x{size[1]}.")
    return data.flowers(FLOWERS[split], split=split, size=size[0] if size else 64)


def held_out(trained_on: data.Data) -> data.Data:
    """What a model is compared with: test images of the package's own data; for other data, the training images."""
    if trained_on.name not in DATA:
        return trained_on.to("cpu")
    return packaged(trained_on.name, "test", trained_on.shape[1:])


# --------------------------------------------------------------------------------------------------------- sample


def sample(options) -> int:
    """Write samples of a model."""
    if spectator():
        return 0
    seed = default_seed(options.seed)
    made = checkpoint.load(checkpoint.find(options.model), pick_device()[0])
    label = class_of(made, options.label)
    if options.folder:
        write = write_folder
    elif options.out.suffix.lower() == ".npy":
        write = write_array
    else:
        write = write_grid
    if write is write_folder and (len(made.spec.shape) != 3 or made.spec.shape[0] not in (1, 3)):
        raise ValueError(f"Samples of shape {made.spec.shape} are not pictures: write them to a .npy file.")
    write(made, options.n, label, seed, options.out)
    say(f"{options.out} holds {options.n:,} samples.")
    return 0


def class_of(made: TrainedModel, text: str | None) -> int | None:
    """The class that is asked for, by its name or its number. ValueError if there is no such class."""
    if text is None:
        return None
    if not made.recipe.labelled:
        raise ValueError(f"The model {made.recipe.name} is unconditional: leave --label out.")
    names = class_names(made)
    for said in (text, images.printable(text), layout.escaped(text)):  # as `data.folder` writes names, and a card
        if names.count(said) == 1:
            return names.index(said)
    numbered = any(name.isdecimal() for name in names)  # then a number is a name
    if not numbered and text.isdecimal() and len(text) < 10 and int(text) < made.spec.classes:
        return int(text)
    expected = "one of the classes" if numbered else f"a label from 0 to {made.spec.classes - 1}, or one of"
    raise ValueError(
        (f"Expected {expected} {', '.join(names)}" if names else f"Expected a label from 0 to {made.spec.classes - 1}")
        + f"; got {text or 'nothing'}."
    )


def class_names(made: TrainedModel) -> list[str]:
    """The names of a model's classes, as its card has them; empty unless it has one for each class."""
    names = made.card.get("class_names", [])
    good = isinstance(names, list) and len(names) == made.spec.classes and all(isinstance(name, str) for name in names)
    return names if good else []


def pieces(made: TrainedModel, n: int, label: int | None, seed: int) -> Iterator[Tensor]:
    """Its samples, some at a time, on the CPU. ValueError if one is not finite."""
    with torch.no_grad():
        for piece in made.pieces(n, label, seed):
            if not piece.isfinite().all():
                raise ValueError("The samples of this model are not finite: its weights are damaged.")
            yield piece.cpu()


def write_array(made: TrainedModel, n: int, label: int | None, seed: int, out: Path) -> None:
    """Write all samples as one array, float32, images in [-1, 1]. ValueError if they do not fit."""
    refuse_above(n, 4 * math.prod(made.spec.shape), shutil.disk_usage(out.parent).free, "on the disk of --out")
    refuse_above(n, 16, available_memory(), "in memory")  # labels
    with replaced(out) as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (n, *made.spec.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces(made, n, label, seed):
            file.write(piece.numpy().astype("<f4").tobytes())


def write_grid(made: TrainedModel, n: int, label: int | None, seed: int, out: Path) -> None:
    """Write all samples as one picture. ValueError if they do not fit into memory."""
    refuse_above(n, 12 * math.prod(made.spec.shape), available_memory(), "in memory")
    grid = plots.png(torch.cat(list(pieces(made, n, label, seed))))
    with replaced(out) as file:
        file.write(grid)


def write_folder(made: TrainedModel, n: int, label: int | None, seed: int, out: Path) -> None:
    """Write one PNG per sample, numbered, and in a folder for each class if the model has classes.

    ValueError if they do not fit; OSError, with how many there are, if one cannot be written.
    """
    refuse_above(n, 4096 + math.prod(made.spec.shape), shutil.disk_usage(out.parent).free, "on the disk of --out")
    refuse_above(n, 16, available_memory(), "in memory")
    asked = made.conditions(n, label)
    folders = [out / name for name in folder_names(made)] if asked is not None else [out]
    for folder in (out, *(folders if asked is not None and label is None else ())):
        folder.mkdir(exist_ok=True)
    number = 0
    try:
        for piece in pieces(made, n, label, seed):
            for image in plots.as_bytes(piece):
                folder = folders[0 if asked is None else int(asked[number])]
                folder.mkdir(exist_ok=True)
                write_picture(image, folder / f"{number:0{len(str(n - 1))}}.png")
                number += 1
    except OSError as error:
        raise OSError(
            f"{out} holds {number:,} of {n:,} samples; the next could not be written ({error.strerror or error})."
        ) from None
    except KeyboardInterrupt as interrupt:
        words = f"Interrupted. {out} holds {number:,} of {n:,} samples."
        raise Ended(getattr(interrupt, "number", signal.SIGINT), words) from None


def folder_names(made: TrainedModel) -> list[str]:
    """A folder's name for each class: the names of the classes, or their numbers if not all names can be folders'."""
    names = class_names(made)
    plain = all(Path(name).name == name and name.isprintable() and name[:1] not in ("", ".") for name in names)
    return names if names and plain and len(set(names)) == len(names) else [str(k) for k in range(made.spec.classes)]


def write_picture(image: np.ndarray, path: Path) -> None:
    """Write an image (channels, height, width) of bytes as a PNG, whole or not at all."""
    content = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(content, "PNG")
    atomic.write(path, content.getvalue(), flush=False)  # there may be thousands: ten milliseconds each


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """`atomic.replacing`, whose OSError says what to do if the file cannot be written."""
    try:
        with atomic.replacing(path) as file:
            yield file
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error.strerror or error}). Name a file in a folder that exists, can be "
            "written to, and has room."
        ) from None


def refuse_above(n: int, each: int, there: int | None, where: str) -> None:
    """Raise ValueError, with the number that fits, if n samples of `each` bytes need more than there is."""
    if there is not None and each > there:
        raise ValueError(f"A sample takes {human(each)}, and {human(there)} are free {where}: make room there.")
    if there is not None and n * each > there:
        raise ValueError(
            f"{n:,} samples take {human(n * each)}, and {human(there)} are free {where}: expected --n {there // each} "
            "or less."
        )


# ------------------------------------------------------------------------------------------------------- evaluate


def evaluate(options) -> int:
    """Print a model's metrics beside those of real training images, which are the best that can be expected."""
    if spectator():
        return 0
    out = sys.stderr if options.json else sys.stdout
    with contextlib.redirect_stdout(out):  # `data.folder` prints what it read, which is not JSON
        made, columns = evaluated(options, default_seed(options.seed))
    if options.json:
        card = {name: value for name, value in made.card.items() if name != "metrics"}
        notes = [f"{title}: {note}" for title, report in columns.items() for note in report.notes]
        print(json.dumps({"card": card, "metrics": columns["the model"], **columns, "notes": notes}, indent=1))
    else:
        say(f"{made}\n")
        say(metrics.table(columns))
    return 0


def evaluated(options, seed: int) -> tuple[TrainedModel, dict[str, metrics.Report]]:
    """A model, and the metrics of its samples and of training images, both against the same real images."""
    made = checkpoint.load(checkpoint.find(options.model), pick_device()[0])
    real, trained_on, notes = compared(made, options.against, seed)
    n = options.n or min(JUDGED, len(real), len(trained_on or real))
    if n > len(real):
        raise ValueError(
            f"{real.name} has {len(real):,} images to compare with: expected --n {len(real)} or less, since distances "
            "between sets of unequal sizes mislead."
        )
    refuse_above(n, 16 * math.prod(made.spec.shape), available_memory(), "in memory")
    samples, asked = torch.cat(list(pieces(made, n, None, seed))), made.conditions(n)
    features = metrics.inception(device=pick_device()[0]) if options.inception else features_for(real)
    how: dict = {"label": asked, "features": features, "seed": seed}
    if trained_on is None:
        columns = {"the model": metrics.report(samples, real, **how)}
    else:
        columns = metrics.compare(samples, trained_on, real, title="the model", **how)
    columns["the model"].notes += notes
    return made, columns


def compared(made: TrainedModel, against: str | None, seed: int) -> tuple[data.Data, data.Data | None, list[str]]:
    """The images that a model is compared with, training images for the column next to it, and notes.

    If there are no test images of what it was trained on, as for a folder, the training images are split in halves at
    random, so that no image is compared with itself.
    """
    if against is not None:
        real = like(made, against, "test")
        try:
            return real, origin(made), []
        except OSError as error:
            return real, None, [f"No column of training images: {error}"]
    trained_on = origin(made)
    if trained_on.name in DATA:
        return held_out(trained_on), trained_on, []
    shuffled, half = metrics.subset(trained_on, len(trained_on), seed), len(trained_on) // 2
    note = "Compared with half of the images that it was trained on: name images that it has not seen with --against."
    return shuffled[:half], shuffled[half:], [note]


def features_for(real: data.Data) -> torch.nn.Module | None:
    """The network that images are compared by: for digits None, the classifier that ships; else a random network."""
    return None if real.name in metrics.CLASSIFIERS else metrics.random_features(real.shape)


def origin(made: TrainedModel) -> data.Data:
    """The data that a model was trained on. FileNotFoundError if they are not here."""
    name = folder_of(made.card).get("path") or made.card["data"]
    if name not in DATA and not Path(name).is_dir():
        raise FileNotFoundError(f"This model was trained on {name}, which is not here: name images with --against.")
    return like(made, name, "train")


def like(made: TrainedModel, name: str, split: str) -> data.Data:
    """Data of this name, in the shape of a model's samples. ValueError if they have another."""
    channels, *size = made.spec.shape
    found, _ = open_data(name, split, size=tuple(size), channels=channels, fit=folder_of(made.card).get("fit"))
    if found.shape != made.spec.shape:
        raise ValueError(f"{name} has samples of shape {found.shape}, and the model makes {made.spec.shape}.")
    return found
