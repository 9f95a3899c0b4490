"""What the command line does: train, sample, evaluate. Its arguments, errors and signals are in `cli`."""

import contextlib
import csv
import io
import json
import math
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import checkpoint, data, distributed, metrics, plots
from .acceleration import get_accelerations
from .cli import DATA, ENDING, Ended, check_free, complain, program, say
from .game import Interrupted
from .recipes import TrainedModel, Trainer, get_recipe, interruptible, learning_rate
from .runtime import derive_seed, pick_device, seed_from_environment

JUDGED = 10_000  # samples that a model is judged by
SHOWN = 64  # samples in a picture of a training
locked = getattr(checkpoint, "locked", contextlib.nullcontext)
NUMBERS = ("batch_size", "lr", "latent_dim", "half_life", "flip", "augment")  # that replace a recipe's own


def seed_of(options) -> int:
    """The seed that was asked for: by --seed, else by GAN_TUTORIAL_SEED, else 0."""
    asked = seed_from_environment()  # also where it is not used: nonsense is refused
    return next(seed for seed in (options.seed, asked, 0) if seed is not None)


def spectator() -> bool:
    """Whether torchrun started this process beside a first one, which is enough for what is no training."""
    torchrun = "TORCHELASTIC_RUN_ID" in os.environ and "LOCAL_RANK" in os.environ
    return torchrun and os.environ.get("RANK", "0") != "0"


# ---------------------------------------------------------------------------------------------------------- train


def train(options) -> int:
    """Train a recipe, or continue with a file, and save what was made."""
    distributed.init()
    if distributed.rank() == 0:
        with locked(options.out):
            return train_one(options)
    os.environ["GAN_TUTORIAL_PROGRESS"] = "0"  # the first process speaks
    with contextlib.redirect_stdout(None):
        return train_one(options)


def train_one(options) -> int:
    """The part of one process."""
    out, first = options.out, distributed.rank() == 0
    source = out if restarted(out) else options.resume
    check_free(out, source)
    trainer, goal, facts = begin(options) if source is None else go_on(options, source)
    goal = {"steps": options.steps, "seconds": options.seconds} if options.steps or options.seconds else goal
    if trainer.steps > (goal["steps"] or math.inf) or trainer.seconds > (goal["seconds"] or math.inf):
        raise ValueError(
            f"{source} has {trainer.steps:,} steps in {trainer.seconds:.0f} s behind it, more than was asked for: "
            "--steps and --seconds count from the beginning."
        )
    keeper = Keeper(out, trainer.steps, options.every, {**facts, "goal": goal, "launch": launch()})
    pictures = Pictures(options.pictures, trainer) if options.pictures and first else None
    if first and (source is None or not out.exists()):
        keeper.save(trainer)

    def periodic(trainer: Trainer) -> None:
        made = trainer.model()
        keeper.try_to_save(trainer, made)
        if pictures:
            pictures.add(trainer, made)
        if not sys.stdout.isatty():
            say(line(trainer, goal))

    with interruptible(*ENDING) as asked:  # until it is saved
        try:
            trainer.run(**goal, save=periodic, every=options.every)
        except Interrupted:
            asked = asked or [signal.SIGINT]  # another process was interrupted
        except KeyboardInterrupt:
            raise Ended(asked[0] if asked else signal.SIGINT, f"Ended at once. {keeper.told()}") from None
        except Exception as error:
            error.add_note(keeper.told())
            raise
        if not first:
            return 128 + asked[0] if asked else 0
        try:
            made = trainer.model()
            kept = keeper.save_somewhere(trainer, made)
        except KeyboardInterrupt:
            raise Ended(asked[0] if asked else signal.SIGINT, f"Ended at once. {keeper.told()}") from None
    if pictures:
        pictures.add(trainer, made)
    if not kept:
        return 1
    if asked:
        say(f"{line(trainer, goal)}. Saved. Continue with: {program()} train --resume {keeper.path}")
        return 128 + asked[0]
    say(f"{line(trainer, goal)}. {out} holds the model.")
    if options.evaluate != 0:
        judge_and_keep(keeper, trainer, made, options.evaluate)
    return 0


def begin(options) -> tuple[Trainer, dict, dict]:
    """A new training, how long it lasts unless something else was asked for, and what its file's card is to say."""
    recipe = get_recipe(options.recipe).configure(**numbers(options))
    accelerations = get_accelerations(options.accelerate or ())
    found, facts = open_data(options.data, size=options.size, channels=options.channels, fit=options.fit)
    trainer = Trainer(recipe, found.to(pick_device()[0]), seed_of(options), accelerations)
    return trainer, {"steps": recipe.steps, "seconds": None}, facts


def go_on(options, source: Path) -> tuple[Trainer, dict, dict]:
    """The training in a file, its goal, and what its card says; ValueError where something else is asked for."""
    card, _ = checkpoint.read(source, tensors=False)
    seed_of(options)
    compare(card, options, source)
    accelerations = None if options.accelerate is None else get_accelerations(options.accelerate)
    folder = card.get("folder") or {}
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
    return trainer, card.get("goal") or {"steps": trainer.recipe.steps, "seconds": None}, facts


def numbers(options) -> dict:
    """What is asked for in place of the recipe's own numbers."""
    return {name: getattr(options, name) for name in NUMBERS if getattr(options, name) is not None}


def compare(card: dict, options, source: Path) -> None:
    """Whether what is asked for is what a file was trained with. ValueError, with both, where it is not."""
    recipe = checkpoint.recipe_of(card)
    used = {
        **{name: getattr(recipe, name) for name in NUMBERS if name != "lr"},
        "lr": learning_rate(recipe.optimizer),
        "augment": recipe.augment is not None,
        "seed": card["seed"],
        "channels": card["shape"][0],
        "size": tuple(card["shape"][1:]),
        "fit": (card.get("folder") or {}).get("fit"),
    }
    asked = {name: (getattr(options, name), there) for name, there in used.items()}
    asked["recipe"] = (options.recipe, card["recipe"])
    if options.data in DATA or card["data"] in DATA:
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
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{option}" if value else f"--no-{option}"
    return f"--{option} {'x'.join(map(str, value)) if isinstance(value, tuple) else value}"


class Keeper:
    """Keeps a training in its file. A save that fails costs a warning and not the training.

    steps  that the file holds
    """

    def __init__(self, path: Path, steps: int, every: float, facts: dict):
        self.path, self.steps, self.every, self.facts = path, steps, every, facts

    def save(self, trainer: Trainer, made: TrainedModel | None = None, **facts) -> None:
        checkpoint.save(trainer, self.path, made, **{**self.facts, **facts})
        self.steps = trainer.steps

    def try_to_save(self, trainer: Trainer, made: TrainedModel) -> None:
        """Save; where the disk does not let us, say so, and leave it to the next time."""
        try:
            self.save(trainer, made)
        except OSError as error:
            complain(f"Warning: {error} {self.told()} Training goes on; the next try is in {self.every:g} s.")

    def save_somewhere(self, trainer: Trainer, made: TrainedModel) -> bool:
        """Save; where that fails, in another folder. Whether it is where it was meant to be."""
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
        return f"{self.path} holds the state after {self.steps:,} step{'s' * (self.steps != 1)}."


def elsewhere(path: Path) -> Iterator[Path]:
    """Where a training can go whose own folder takes nothing any more: names that do not exist."""
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        yield folder / f"{path.stem}-{secrets.token_hex(4)}{path.suffix}"


class Pictures:
    """A folder that shows how a training goes: samples-N.png after N steps, from the same z, and losses.csv.

    A table of one line a step: its number, and each term of each player's loss. OSError where the folder cannot be made
    or written to; later that is a warning.
    """

    def __init__(self, folder: Path, trainer: Trainer):
        self.folder, self.written = folder, 0
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "losses.csv").write_text("")
        if len(trainer.spec.shape) != 3 or trainer.spec.shape[0] not in (1, 3):
            raise ValueError(f"Samples of shape {trainer.spec.shape} are no pictures: leave --pictures out.")

    def add(self, trainer: Trainer, made: TrainedModel) -> None:
        """Samples and losses up to here."""
        try:
            with replaced(self.folder / f"samples-{trainer.steps:08}.png") as file:
                Image.fromarray(plots.tile(made.sample(SHOWN).cpu())).save(file, "PNG")
            self.add_losses(trainer)
        except OSError as error:
            complain(f"Warning: {error} Training goes on.")

    def add_losses(self, trainer: Trainer) -> None:
        columns = {f"{player} {term}": x for player, terms in trainer.log.items() for term, x in terms.items()}
        with open(self.folder / "losses.csv", "a", newline="") as file:
            table = csv.writer(file)
            if columns and not self.written:
                table.writerow(["step", *columns])
            rows = zip(*(x[self.written :].tolist() for x in columns.values()), strict=True)
            table.writerows([step, *row] for step, row in enumerate(rows, self.written + 1))
        self.written = trainer.steps


def judge_and_keep(keeper: Keeper, trainer: Trainer, made: TrainedModel, n: int | None) -> None:
    """Evaluate what is saved already, and note that in its file: whatever happens here, the model is kept."""
    kept = f"{keeper.path} holds the model, all {trainer.steps:,} steps of it"
    try:
        real = held_out(trainer.data)
        images = made.sample(min(n or JUDGED, len(real))).cpu()
        table = judged(images, some(real, len(images)), made.conditions(len(images)))
        keeper.save(trainer, made, metrics=table)
        say(metrics.table({"the model": table}))
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
    """The data of this name, or the images of this folder, and what a card is to say of them.

    Without a name digits, MNIST where it can be had. Of a folder the split is all of it.
    """
    if name is None:
        return data.digits(split=split), {}
    if name in DATA:
        return packaged(name, split), {}
    how = {"size": size or (64, 64), "channels": channels or 3, "fit": fit or "crop"}
    found = data.folder(name, **how)
    names = list(found.class_names or ())
    say(
        f"{name}: {len(found):,} images"
        + (f" of {len(names)} classes" if names else "")
        + (f"; {len(found.skipped):,} files could not be read and are skipped" if found.skipped else "")
    )
    return found, {"folder": {"path": os.path.abspath(name), **how}, "class_names": names}


def packaged(name: str, split: str = "train") -> data.Data:
    """One of the data sets that the package knows by name."""
    if name == "mnist":
        return data.mnist(split)
    return data.synthetic_digits(data.SPLITS[split][1], split=split)


def held_out(trained_on: data.Data) -> data.Data:
    """What a model is compared with: test images of the data it was trained on; for others, those data themselves."""
    return packaged(trained_on.name, "test") if trained_on.name in DATA else trained_on.to("cpu")


def some(images: data.Data, n: int, seed: int = 0) -> data.Data:
    """n of them, drawn at random, always the same ones: the first ones may be easier than the rest."""
    random = torch.Generator().manual_seed(derive_seed(seed, "which images"))
    return images[torch.randperm(len(images), generator=random)[:n]]


# --------------------------------------------------------------------------------------------------------- sample


def sample(options) -> int:
    """Write samples of a model."""
    if spectator():
        return 0
    seed = seed_of(options)
    made = checkpoint.load(checkpoint.find(options.model), pick_device()[0])
    label = class_of(made, options.label)
    if options.folder:
        write = write_folder
    elif options.out.suffix == ".npy":
        write = write_array
    else:
        write = write_grid
    if write is not write_array and (len(made.spec.shape) != 3 or made.spec.shape[0] not in (1, 3)):
        raise ValueError(f"Samples of shape {made.spec.shape} are no pictures: write them to a .npy file.")
    write(made, options.n, label, seed, options.out)
    say(f"{options.out} holds {options.n:,} samples.")
    return 0


def class_of(made: TrainedModel, text: str | None) -> int | None:
    """The class that is asked for, by its name or its number. ValueError where there is none."""
    if text is None:
        return None
    if not made.recipe.labelled:
        raise ValueError(f"The model {made.recipe.name} is unconditional: leave --label out.")
    names = class_names(made)
    if text in names:
        return names.index(text)
    if text.isdecimal() and len(text) < 10 and int(text) < made.spec.classes:
        return int(text)
    raise ValueError(
        f"Expected a label from 0 to {made.spec.classes - 1}"
        + (f", or one of {', '.join(names)}" if names else "")
        + f"; got {text}."
    )


def class_names(made: TrainedModel) -> list[str]:
    """The names of a model's classes, as its card has them; none where it has not one for each."""
    names = made.card.get("class_names")
    good = isinstance(names, list) and len(names) == made.spec.classes and all(isinstance(name, str) for name in names)
    return names if good else []


def pieces(made: TrainedModel, n: int, label: int | None, seed: int) -> Iterator[Tensor]:
    """Its samples, some at a time, on the CPU. ValueError where one is not finite."""
    with torch.no_grad():
        for piece in made.pieces(n, label, seed):
            if not piece.isfinite().all():
                raise ValueError("The samples of this model are not finite: its weights are damaged.")
            yield piece.cpu()


def write_array(made: TrainedModel, n: int, label: int | None, seed: int, out: Path) -> None:
    """All samples as one array, float32 in [-1, 1]."""
    refuse_above(n, 4 * math.prod(made.spec.shape), shutil.disk_usage(out.parent).free, "on this disk")
    refuse_above(n, 16, available_memory(), "in memory")  # labels
    with replaced(out) as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (n, *made.spec.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces(made, n, label, seed):
            file.write(piece.numpy().astype("<f4").tobytes())


def write_grid(made: TrainedModel, n: int, label: int | None, seed: int, out: Path) -> None:
    """All samples as one picture."""
    refuse_above(n, 12 * math.prod(made.spec.shape), available_memory(), "in memory")
    images = torch.cat(list(pieces(made, n, label, seed)))
    with replaced(out) as file:
        Image.fromarray(plots.tile(images)).save(file, "PNG")


def write_folder(made: TrainedModel, n: int, label: int | None, seed: int, out: Path) -> None:
    """One PNG a sample, numbered; in a folder for each class where the model has classes."""
    refuse_above(n, 4096 + math.prod(made.spec.shape), shutil.disk_usage(out.parent).free, "on this disk")
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
    """A folder's name for each class: the class's, or its number where that is none for a folder."""
    names = class_names(made)
    plain = all(Path(name).name == name and name.isprintable() and name[0] != "." for name in names)
    return names if names and plain and len(set(names)) == len(names) else [str(k) for k in range(made.spec.classes)]


def write_picture(image: np.ndarray, path: Path) -> None:
    """An image (channels, height, width) of bytes as a PNG, whole or not at all."""
    content = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(content, "PNG")
    try:
        path.write_bytes(content.getvalue())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` when complete. OSError, with a sentence, where it cannot."""
    part = path.with_name(f".{secrets.token_hex(16)}.part")
    try:
        try:
            with open(part, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error.strerror or error}). Name a file in a folder that exists, can be "
            "written to, and has room."
        ) from None


def refuse_above(n: int, each: int, there: int, where: str) -> None:
    """ValueError, with the number that fits, where n samples of `each` so many bytes need more than is there."""
    if n * each > there:
        raise ValueError(
            f"{n:,} samples take {n * each / 1e9:,.1f} GB, and there are {there / 1e9:,.1f} GB {where}: expected --n "
            f"{there // each} or less."
        )


def available_memory() -> int:
    """Bytes that this process can still take: of the machine, and of the container that it may run in."""
    limits = [sys.maxsize]
    with contextlib.suppress(OSError, ValueError):
        words = Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()
        limits.append(1024 * int(words[0]))
    with contextlib.suppress(OSError, ValueError):  # version 2; "max" where there is no limit
        group = Path("/sys/fs/cgroup")
        limits.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return max(0, min(limits))


# ------------------------------------------------------------------------------------------------------- evaluate


def evaluate(options) -> int:
    """Print a model's metrics beside those of real training images, which are the best that can be expected."""
    if spectator():
        return 0
    seed = seed_of(options)
    made = checkpoint.load(checkpoint.find(options.model), pick_device()[0])
    real = held_out(origin(made)) if options.against is None else like(made, options.against, "test")
    n = options.n or min(JUDGED, len(real))
    if n > len(real):
        raise ValueError(
            f"{real.name} has {len(real):,} images to compare with: expected --n {len(real)} or less, since distances "
            "between sets of unequal sizes mislead."
        )
    refuse_above(n, 16 * math.prod(made.spec.shape), available_memory(), "in memory")
    real, asked = some(real, n, seed), made.conditions(n)
    columns = {"the model": judged(torch.cat(list(pieces(made, n, None, seed))), real, asked)}
    try:
        best = some(origin(made), n, seed + 1)
        columns["training images"] = judged(best.take(slice(None)), real, None if asked is None else best.label)
    except OSError as error:
        complain(f"No column of training images: {error}")
    if options.json:
        card = {name: value for name, value in made.card.items() if name != "metrics"}
        print(json.dumps({"card": card, "metrics": columns["the model"], **columns}, indent=1))
        return 0
    say(f"{made}\n\n{n:,} samples, against {n:,} images of {real.name}:\n")
    say(metrics.table(columns))
    return 0


def origin(made: TrainedModel) -> data.Data:
    """What a model was trained on. FileNotFoundError where that is not here."""
    folder = made.card.get("folder") or {}
    name = folder.get("path") or made.card["data"]
    if name not in DATA and not Path(name).is_dir():
        raise FileNotFoundError(f"This model was trained on {name}, which is not here: name images with --against.")
    return like(made, name, "train")


def like(made: TrainedModel, name: str, split: str) -> data.Data:
    """Data of this name, of the shape of a model's samples."""
    channels, *size = made.spec.shape
    fit = (made.card.get("folder") or {}).get("fit")
    found, _ = open_data(name, split, size=tuple(size), channels=channels, fit=fit)
    if found.shape != made.spec.shape:
        raise ValueError(f"{name} has samples of shape {found.shape}, and the model makes {made.spec.shape}.")
    return found


def judged(images: Tensor, real: data.Data, label: Tensor | None) -> dict[str, float]:
    """The metrics of images, made for these labels, against real ones: by a classifier of digits, or for any data."""
    features = {} if real.name in DATA else {"features": metrics.random_features(real.shape)}
    return dict(metrics.report(images, real, label=label, **features))
