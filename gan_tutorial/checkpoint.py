"""Trainings and models as files: save, load, go on. A file is safetensors, with a card in its metadata.

    trainer = Trainer(recipes.DCGAN, data)
    trainer.run(steps=1000)
    save(trainer, "digits.safetensors")             # replaced atomically: never half a file
    trainer = resume("digits.safetensors", data)
    trainer.run(steps=3500)                         # as if it had never stopped
    images = load("digits.safetensors").sample(100)
    images = pretrained("dcgan").sample(100)        # models that come with the package

Tensors are named by their place: `model.generator.…` is the moving average, all that sampling needs;
`net.critic.…`, `optimizer.critic.3.exp_avg`, `random.0` and `log.critic.game` are what training needs to go on. What a
file cannot hold, such as the functions of a recipe, is compared by what it does when a training goes on: the losses on
the next batch are in the card.
"""

import hashlib
import json
import math
import os
import platform
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .acceleration import Acceleration, get_accelerations
from .data import Data
from .game import Player
from .recipes import RECIPES, Recipe, Spec, TrainedModel, Trainer, get_recipe

SHIPPED = Path(__file__).with_name("models")
POINTS = 500  # of a loss curve that is shipped
PROBES = (0, 1, 10, 100, 1_000, 10_000, 100_000)  # steps at which schedules are compared
CARD, FORMAT = "gan_tutorial", 2  # the metadata's one entry, and which version of this layout
ENTRIES = {
    "recipe": str,
    "options": dict,
    "shape": list,
    "classes": int,
    "step": int,
    "seed": int,
    "data": str,
    "samples": int,
    "content": str,
    "seconds": int | float,
    "code": str,
    "machine": str,
    "threads": int,
    "batches_drawn": int,
    "images": dict,
    "settings": dict,
    "groups": dict,
    "losses_ahead": dict,
    "accelerations": list,
}


def save(trainer: Trainer, path: str | Path, model: TrainedModel | None = None, **facts) -> None:
    """Write a training to a file, from which `resume` goes on and `load` samples.

    model  what `trainer.model()` returns, where it is at hand
    facts  for the card, beside those that it has: anything that JSON holds, under names of their own

    The file is replaced atomically: whoever reads it, or kills this process, finds the old file or the new one. OSError
    where it cannot be written; ValueError, and nothing is written, where a weight is not finite, where the training was
    ended within a step, and for facts that JSON cannot hold or that the card has already. Warns where the recipe is not
    one of the package's, so that loading needs it.
    """
    if not trainer.whole:
        raise ValueError(
            f"This training was ended within step {trainer.steps + 1:,}, and half a step cannot be resumed: {path} is "
            "left as it was."
        )
    model = trainer.model() if model is None else model
    tensors = {f"model.{name}": value for name, value in state_of(model.networks).items()}
    tensors |= {f"net.{name}": value for name, value in state_of(trainer.networks).items()}
    for player in trainer.players:
        for index, own in player.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{player.name}.{index}.{name}": torch.as_tensor(x) for name, x in own.items()}
    bad = [name for name, value in tensors.items() if not value.isfinite().all()]
    if bad:
        raise ValueError(
            f"After {trainer.steps:,} steps {bad[0]} is not finite any more, and {path} is left as it "
            "was: train with a lower learning rate."
        )
    tensors |= {f"log.{player}.{term}": values for player, terms in model.log.items() for term, values in terms.items()}
    tensors |= {f"random.{index}": state for index, state in enumerate(trainer.layers.states)}
    card = {
        "format": FORMAT,
        "recipe": trainer.recipe.name,
        "options": dict(trainer.recipe.options),
        "shape": list(trainer.spec.shape),
        "classes": trainer.spec.classes,
        "step": trainer.steps,
        "seed": trainer.seed,
        "data": trainer.data.name,
        "samples": len(trainer.data),
        "content": content(trainer.data),
        "seconds": round(trainer.seconds, 3),
        "code": code(),
        "machine": machine(trainer.device),
        "threads": torch.get_num_threads(),
        "batches_drawn": trainer.feed.batches_drawn,
        "images": {name: average.images for name, average in trainer.averages.items()},
        "settings": settings(trainer),
        "groups": {player.name: groups(player) for player in trainer.players},
        "losses_ahead": trainer.losses_ahead(),
        "accelerations": [one.name for one in trainer.accelerations],
    }
    if taken := card.keys() & facts.keys():
        raise ValueError(f"The card has its own {', '.join(sorted(taken))}: give the facts other names.")
    if not packaged(trainer.recipe):
        warnings.warn(
            f"The recipe {trainer.recipe.name!r} is not the package's own: load and resume {path} with recipe=….",
            stacklevel=2,
        )
    write(serialized(tensors, {**card, **facts}), path)


def serialized(tensors: Mapping[str, Tensor], card: dict) -> bytes:
    """A file's bytes. ValueError for a card that JSON cannot hold."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        words = json.dumps(card, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"A card holds what JSON holds: strings, finite numbers, lists and dictionaries ({error})."
        ) from None
    return safetensors.torch.save(tensors, {CARD: words})


def packaged(recipe: Recipe) -> bool:
    """Whether the package has this recipe, so that its name and its options say everything."""
    if recipe.name not in RECIPES:
        return False
    known = get_recipe(recipe.name).configure(**recipe.options)
    rates = {"optimizer", "critic_optimizer"} if "lr" in recipe.options else set()
    return all(getattr(known, f.name) == getattr(recipe, f.name) for f in fields(recipe) if f.name not in rates)


def state_of(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """All weights and buffers, "generator.layers.0.weight"."""
    return {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}


def settings(trainer: Trainer) -> dict:
    """What a file does not hold and what decides how a training goes on: numbers, and functions by what they return."""
    recipe = trainer.recipe
    numbers = {name: getattr(recipe, name) for name in ("batch_size", "latent_dim", "labelled", "half_life")}
    for player in trainer.players:
        numbers[player.name] = {
            "updates": player.updates,
            "optimizer": type(player.optimizer).__name__,
            "lr": [group["initial_lr"] for group in player.optimizer.param_groups],
            "lr_schedule": [round(player.lr_schedule(n), 6) for n in PROBES] if player.lr_schedule else None,
            "term_weights": {
                term: [round(weight(n), 6) for n in PROBES] for term, weight in player.term_weights.items()
            },
            "constraint": constrained(player),
        }
    return json.loads(json.dumps(numbers))  # as it comes out of a file


def constrained(player: Player) -> list[float] | None:
    """What a player's constraint makes of weights from -1 to 1: its bound, whatever function it is."""
    if player.constraint is None:
        return None
    weights = torch.linspace(-1, 1, 9)
    player.constraint([weights])
    return [round(w, 6) for w in weights.tolist()]


def groups(player: Player) -> list[dict]:
    """The optimiser's present options: lr, betas and so on; a hook may have changed them."""
    return [
        {
            name: float(value) if isinstance(value, Tensor) else value
            for name, value in group.items()
            if isinstance(value, bool | int | float | tuple | Tensor)
        }
        for group in player.optimizer.state_dict()["param_groups"]
    ]


def content(data: Data) -> str:
    """SHA-256 of the samples and their labels."""
    digest = hashlib.sha256(repr((tuple(data.values.shape), data.values.dtype)).encode())
    for tensor in (data.values, data.label):
        if tensor is not None:
            digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def write(content: bytes, path: str | Path) -> None:
    """Put a file in its place at a stroke. OSError, with a sentence, where it cannot be written."""
    path = Path(path)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        try:
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # the bytes before the name
            os.replace(part, path)
        except BaseException:
            if part.is_file():
                part.unlink()
            raise
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error.strerror or error}). Name a file in a folder that exists, "
            "can be written to, and has room."
        ) from None


def read(path: str | Path, tensors: bool = True) -> tuple[dict, dict[str, Tensor]]:
    """A file's card and tensors, or its card alone.

    FileNotFoundError, or ValueError for a file that is damaged, of another program, or newer than this code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    damaged = f"{path} is no model of this package, or it is damaged"
    try:
        with safe_open(path, "pt") as file:
            words = (file.metadata() or {}).get(CARD)
            card = None if words is None else json.loads(words)
            # Copies: the file may change under a view of it.
            found = {name: file.get_tensor(name).clone() for name in file.keys()} if tensors else {}
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{damaged} ({error}).") from None
    if card is None:
        raise ValueError(f"{path} holds tensors, but no card of this package: it was written by another program.")
    if not isinstance(card, dict) or not isinstance(card.get("format"), int):
        raise ValueError(f"{damaged}: its card has no format.")
    if card["format"] != FORMAT:
        age = "a newer" if card["format"] > FORMAT else "an older"
        raise ValueError(f"{path} was written by {age} version of this package, {card.get('code')}: read it with that.")
    wrong = [name for name, kind in ENTRIES.items() if not isinstance(card.get(name), kind)]
    if wrong:
        raise ValueError(f"{damaged}: its card has no proper entry for {', '.join(wrong)}.")
    return card, found


def resume(
    path: str | Path,
    data: Data,
    accelerations: Sequence[Acceleration] | None = None,
    recipe: Recipe | None = None,
) -> Trainer:
    """The training that a file holds, ready to go on with the same data.

    accelerations  to take from now on; without it those that the file was trained with
    recipe         that it was trained by, where it is not one of the package's

    With the accelerations of the file, and as many threads, it goes on as if it had never stopped, on a CPU bit for
    bit. ValueError where the file holds a model alone, or a part of a training, and where the game is another one now:
    other data, networks, objective, penalties or numbers; and what `read` raises. Warns of another number of threads.
    """
    card, tensors = read(path)
    if accelerations is None:
        accelerations = get_accelerations(card["accelerations"])
    if (card["samples"], card["content"]) != (len(data), content(data)):
        raise ValueError(
            f"{path} was trained on {card['samples']:,} samples of {card['data']}, and these {len(data):,} of "
            f"{data.name} are not the same ones: going on with other data would be another training."
        )
    if not any(name.startswith("net.") for name in tensors):
        raise ValueError(f"{path} holds a model to sample from, but no training to go on with.")
    trainer = Trainer(recipe_of(card, recipe), data, card["seed"], accelerations)
    if card["settings"] != settings(trainer):
        raise ValueError(changed(path, differences(card["settings"], settings(trainer))))
    fill(trainer.networks, part(tensors, "net."), path)
    fill({name: average.net for name, average in trainer.averages.items()}, part(tensors, "model."), path)
    log, complete = _log(tensors), True
    for player in trainer.players:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in part(tensors, f"optimizer.{player.name}.").items():
            index, entry = name.split(".", 1)
            like = player.weights[int(index)] if int(index) < len(player.weights) else value
            if value.ndim and value.shape == like.shape:  # a fused Adam takes it to lie in memory as the weight does
                value = torch.empty_like(like).copy_(value)
            state.setdefault(int(index), {})[entry] = value
        complete &= len(state) == (len(player.weights) if card["step"] else 0)
        complete &= all(len(values) == card["step"] for values in log.get(player.name, {"": []}).values())
        now = player.optimizer.state_dict()
        for group, kept in zip(now["param_groups"], card["groups"][player.name], strict=True):
            group["lr"] = torch.full_like(group["lr"], kept["lr"]) if isinstance(group["lr"], Tensor) else kept["lr"]
        player.optimizer.load_state_dict({**now, "state": state})
        player.updates_done = card["step"] * player.updates
    if not complete or bool(log) != bool(card["step"]):
        raise ValueError(f"{path} holds only a part of its training, and cannot be gone on with.")
    for name, images in card["images"].items():
        trainer.averages[name].images = images
    trainer.feed.batches_drawn = card["batches_drawn"]
    trainer.layers.states = [
        tensors[f"random.{i}"] for i in range(len(trainer.layers.states)) if f"random.{i}" in tensors
    ]
    trainer.steps, trainer.seconds = card["step"], card["seconds"]
    trainer.logs = [log] if log else []
    same_game(card["losses_ahead"], trainer.losses_ahead(), path)
    if trainer.device.type == "cpu" and card["threads"] != torch.get_num_threads():
        warnings.warn(
            f"{path} was trained with {card['threads']} threads and goes on with {torch.get_num_threads()}: sums are "
            "taken in another order, so that weights will not be the same bit for bit.",
            stacklevel=2,
        )
    return trainer


def same_game(stored: Mapping, now: Mapping, path) -> None:
    """See whether losses on the next batch are what they were when the file was written, up to rounding."""
    if {p: list(terms) for p, terms in stored.items()} != {p: list(terms) for p, terms in now.items()}:
        raise ValueError(changed(path, f"its losses have the terms {stored.keys()}"))
    for player, terms in stored.items():
        for term, value in terms.items():
            if not math.isclose(value, now[player][term], rel_tol=2e-3, abs_tol=1e-4):
                raise ValueError(
                    changed(
                        path,
                        f"the term {term!r} of {player} is {now[player][term]:.6g} on the next batch, and was "
                        f"{value:.6g}",
                    )
                )


def recipe_of(card: Mapping, recipe: Recipe | None = None) -> Recipe:
    """The recipe that a card names, configured as it was; or the one that is given, if it has this name."""
    if recipe is None:
        if card["recipe"] not in RECIPES:
            raise ValueError(
                f"This file was made by the recipe {card['recipe']!r}, which is not one of the package's: give it as "
                "recipe=…."
            )
        return get_recipe(card["recipe"]).configure(**card["options"])
    if recipe.name != card["recipe"]:
        raise ValueError(f"This file was made by the recipe {card['recipe']!r}, not by {recipe.name!r}.")
    return recipe


def load(path: str | Path, device: torch.device | str | None = None, recipe: Recipe | None = None) -> TrainedModel:
    """The model in a file: its networks, ready to sample, with the history of its training where that is kept.

    recipe  that it was trained by, where it is not one of the package's

    ValueError as `read` raises it, and where the recipe builds another network now.
    """
    card, tensors = read(path)
    recipe = recipe_of(card, recipe)
    spec = Spec(tuple(card["shape"]), card["classes"], recipe.latent_dim)
    with torch.random.fork_rng(devices=[]):
        networks = recipe.build(spec, recipe.averaged)
    halves = part(tensors, "model.")  # shipped in half precision
    fill(
        networks, {name: value.float() if value.is_floating_point() else value for name, value in halves.items()}, path
    )
    networks = {name: net.requires_grad_(False).eval().to(device) for name, net in networks.items()}
    return TrainedModel(recipe, networks, spec, _log(tensors), card["step"], card["seconds"], card)


def ship(source: str | Path, path: str | Path, **facts) -> None:
    """Write the model of a training alone: its weights in half precision, its losses as means over equal spans.

    facts  for the card, beside those of the training

    ValueError, and nothing is written, for a weight that half precision cannot hold; and what `read` raises.
    """
    card, tensors = read(source)
    small = {
        name: value.half() if value.is_floating_point() else value
        for name, value in tensors.items()
        if name.startswith("model.")
    }
    small |= {
        name: torch.stack([span.mean() for span in values.tensor_split(min(POINTS, len(values)))])
        for name, values in tensors.items()
        if name.startswith("log.")
    }
    large = [name for name, value in small.items() if not value.isfinite().all()]
    if large:
        raise ValueError(f"{large[0]} of {source} does not fit into half precision, and {path} is left as it was.")
    write(serialized(small, {**card, **facts}), path)


def shipped() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def find(model: str | Path) -> Path:
    """The file of a model: one of this name, or else one that comes with the package. FileNotFoundError for neither."""
    if not Path(model).is_file() and str(model) not in shipped():
        raise FileNotFoundError(f"There is no file {model}, and the package's own models are {', '.join(shipped())}.")
    return Path(model) if Path(model).is_file() else SHIPPED / f"{model}.safetensors"


def pretrained(name: str, device: torch.device | str | None = None) -> TrainedModel:
    """A model that comes with the package, trained on MNIST for long by the recipe of its name. Its card tells how.

    ValueError, with those that there are, for another name.
    """
    if name not in shipped():
        raise ValueError(f"No model {name!r} comes with the package, only {', '.join(shipped())}.")
    return load(SHIPPED / f"{name}.safetensors", device)


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _log(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    log: dict[str, dict[str, Tensor]] = {}
    for name, values in part(tensors, "log.").items():
        player, term = name.split(".", 1)
        log.setdefault(player, {})[term] = values
    return log


def fill(networks: Mapping[str, nn.Module], state: Mapping[str, Tensor], path) -> None:
    """Put weights and buffers into networks. ValueError where they do not fit."""
    try:
        nn.ModuleDict(networks).load_state_dict(state)
    except RuntimeError:
        raise ValueError(changed(path, "its networks have other layers")) from None


def changed(path, how: str) -> str:
    """That a file cannot be used, since the game is another one."""
    return f"{path} was made by another version of its recipe: {how}. The code that wrote it can go on with it."


def differences(before: Mapping, now: Mapping) -> str:
    """Which settings are not what they were, in words."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "; ".join(f"{name} is {now.get(name)} and was {before.get(name)}" for name in names)


@cache
def code() -> str:
    """The package's version and, where it lies in a repository, the commit, with + for changes on top."""
    from . import __version__

    here = Path(__file__).resolve().parent
    git = ["git", "-C", str(here), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    if (here.parent / ".git").exists():
        try:
            return f"{__version__}, {subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()}"
        except (OSError, subprocess.CalledProcessError):  # no git at hand
            pass
    return __version__


def machine(device: torch.device) -> str:
    """What computes, in words: a processor with its threads, or a GPU, and PyTorch's version."""
    if device.type == "cuda":
        what = torch.cuda.get_device_name(device)
    else:
        lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = models[0] if models else platform.processor() or platform.machine()
        threads = torch.get_num_threads()
        what = f"{threads} thread{'s' * (threads > 1)} of {model}"
    return f"{what}, torch {torch.__version__}"
