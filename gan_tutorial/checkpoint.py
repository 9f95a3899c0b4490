"""Trainings and models as files: save, load, go on. A file is safetensors, with a card in its metadata.

    trainer = Trainer(recipes.DCGAN, data)
    trainer.run(steps=1000)
    save(trainer, "digits.safetensors")      # atomically: never half a file
    trainer = resume("digits.safetensors", data)
    trainer.run(steps=3500)                  # as if it had never stopped
    images = load("digits.safetensors").sample(100)
    images = pretrained("dcgan").sample(100)  # a model that comes with the package

Tensors are named by their place: `model.generator.…` is the moving average, all that sampling needs;
`net.critic.…`, `optimizer.critic.3.exp_avg`, `random.0` and `log.critic.game` are what training needs to go on. What a
file cannot hold, such as the functions of a recipe, is compared by what it does when a training goes on: the losses on
the next batch are in the card. What such a file looks like, and what is checked in it, is in `layout`; where it is
written, in `output`.
"""

import copy
import hashlib
import inspect
import json
import math
import platform
import subprocess
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache, partial
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from .acceleration import Acceleration, get_accelerations
from .data import Data
from .game import Player
from .layout import CARD, ENTRIES, FLOATS, FORMAT, SUM, escaped, is_number, quoted, read, serialized, unquoted
from .output import check_writable, locked, write
from .recipes import NAMED, get_recipe
from .training import Networks, Recipe, Spec, TrainedModel, Trainer

__all__ = [
    "CARD",
    "FORMAT",
    "check_writable",
    "find",
    "load",
    "locked",
    "pretrained",
    "read",
    "resume",
    "save",
    "serialized",
    "ship",
    "shipped",
    "write",
]

INDIFFERENT = {"fused", "foreach", "capturable", "differentiable"}  # how an optimiser computes, not what
SHIPPED = Path(__file__).with_name("models")
POINTS = 500  # of a loss curve that ships, at most
PROBES = sorted({*range(20), *(round(1.2**k) for k in range(16, 76))})  # steps at which schedules are compared, to 10^6


# ------------------------------------------------------------------------------------------------------------- saving


def save(trainer: Trainer, path: str | Path, model: TrainedModel | None = None, **facts) -> None:
    """Write a training to a file, from which `resume` goes on and `load` samples.

    model  what `trainer.model()` returns, if it is at hand
    facts  for the card, in addition to its own: anything that JSON can hold, under other names

    The file is replaced atomically: whoever reads it, even after this process was killed, finds the old file or the new
    one. Warns if the recipe is not one of the package's, so that loading will need it.

    Raises OSError if the file cannot be written. Raises ValueError, and writes nothing, if a weight or a loss is not
    finite, if the training was stopped within a step, if `model` is not that of this training now, and for facts that
    JSON cannot hold or that the card already has. Raises NonFiniteLoss if a loss not yet read is not finite.
    """
    said = escaped(str(path))
    if not trainer.whole:
        raise ValueError(
            f"This training was ended within step {trainer.steps + 1:,}, and half a step cannot be resumed: {said} is "
            "left as it was."
        )
    if model is not None and (model.recipe is not trainer.recipe or model.steps != trainer.steps):
        raise ValueError(
            f"The model is of {model.recipe.name} after {model.steps:,} steps, the training of {trainer.recipe.name} "
            f"after {trainer.steps:,}: give trainer.model() of now, or none."
        )
    model, log, ahead = trainer.model() if model is None else model, trainer.log, trainer.losses_ahead()
    own = {
        **prefixed("net", state_of(trainer.networks)),
        **prefixed("optimizer", {name: value for player in trainer.players for name, value in kept_by(player).items()}),
    }
    unfit = [name for name, value in own.items() if not value.isfinite().all()]
    unfit += [f"{player}'s next {term!r}" for player, term, value in flat(ahead) if not math.isfinite(value)]
    if unfit:
        raise ValueError(
            f"After {trainer.steps:,} steps {unfit[0]} is not finite any more, and {said} is left as it "
            "was: train with a lower learning rate."
        )
    tensors = {
        **prefixed("model", state_of(model.networks)),
        **own,
        **{f"log.{quoted(player)}.{quoted(term)}": values for player, term, values in flat(log)},
        **{f"random.{index}": state for index, state in enumerate(trainer.layers.states)},
    }
    card = {
        "format": FORMAT,
        "recipe": trainer.recipe.name,
        "options": dict(trainer.recipe.options),
        "shape": list(trainer.spec.shape),
        "classes": trainer.spec.classes,
        "step": trainer.steps,
        "seed": int(trainer.seed),
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
        "stateless": {player.name: stateless(player) for player in trainer.players},
        "losses_ahead": ahead,
        "accelerations": [one.name for one in trainer.accelerations],
    }
    if not is_packaged(trainer.recipe):
        warnings.warn(
            f"The recipe {trainer.recipe.name!r} is not the package's own: load and resume {said} with recipe=….",
            stacklevel=2,
        )
    write(serialized(tensors, joined(card, facts)), path)


def joined(card: Mapping, facts: Mapping) -> dict:
    """A card with further facts. Raises ValueError for those that it already has."""
    if taken := facts.keys() & {*ENTRIES, "format", SUM}:
        raise ValueError(f"The card has its own {', '.join(sorted(taken))}: give the facts other names.")
    return {**card, **facts}


def is_packaged(recipe: Recipe) -> bool:
    """Whether the package has this recipe, so that its name and its options say everything."""
    if recipe.name not in NAMED:
        return False
    known = get_recipe(recipe.name).configure(**recipe.options)
    return all(same(getattr(known, field.name), getattr(recipe, field.name)) for field in fields(recipe))


def same(one, other) -> bool:
    """Whether two fields of recipes are the same. An optimiser that does the same as another counts as the same."""
    if isinstance(one, partial) and isinstance(other, partial):
        rates = [each.keywords.get("lr", 0.0) for each in (one, other)]
        rest = [{**each.keywords, "lr": None} for each in (one, other)]
        return one.func == other.func and one.args == other.args and rest[0] == rest[1] and math.isclose(*rates)
    return one == other


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under longer names."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def state_of(networks: Networks) -> dict[str, Tensor]:
    """All weights and buffers, "generator.layers.0.weight"."""
    return {f"{quoted(name)}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}


def kept_by(player: Player, state: Mapping[int, Mapping] | None = None) -> dict[str, Tensor]:
    """What a player's optimiser keeps for each weight, or `state`, under names such as "critic.3.exp_avg"."""
    states = player.optimizer.state_dict()["state"] if state is None else state
    return {
        f"{quoted(player.name)}.{index}.{name}": torch.as_tensor(value)
        for index, own in states.items()
        for name, value in own.items()
        if value is not None
    }


def stateless(player: Player) -> list[int]:
    """The weights for which the optimiser keeps nothing, such as those that have had no gradient yet."""
    state = player.optimizer.state_dict()["state"]
    return [index for index in range(len(player.weights)) if not state.get(index)]


def flat(terms: Mapping[str, Mapping]) -> Iterator[tuple]:
    """(player, term, value), one after another."""
    return ((player, term, value) for player, own in terms.items() for term, value in own.items())


def settings(trainer: Trainer) -> dict:
    """What decides how a training goes on, but is not in its tensors: numbers, and functions by what they return."""
    recipe = trainer.recipe
    numbers = {name: getattr(recipe, name) for name in ("batch_size", "latent_dim", "labelled", "half_life")}
    numbers["penalties"] = {name: numbers_of(penalty) for name, penalty in recipe.objective.penalties.items()}
    for player in trainer.players:
        numbers[player.name] = {
            "updates": player.updates,
            "share_batch": player.share_batch,
            "optimizer": type(player.optimizer).__name__,
            "lr": [group["initial_lr"] for group in player.optimizer.param_groups],
            "switches": [
                {name: value for name, value in group.items() if isinstance(value, bool) and name not in INDIFFERENT}
                for group in player.optimizer.param_groups
            ],
            "lr_schedule": probed(player.lr_schedule) if player.lr_schedule else None,
            "term_weights": {term: probed(weight) for term, weight in player.term_weights.items()},
            "constraint": constrained(player),
        }
    return json.loads(json.dumps(numbers))  # as it comes out of a file


def numbers_of(function: Callable) -> dict[str, float]:
    """A function's default numbers, {"weight": 10.0}, including those that a `partial` sets."""
    try:
        defaults = {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}
    except (TypeError, ValueError):  # its signature is not available
        return {}
    return {name: value for name, value in defaults.items() if is_number(value)}


def probed(schedule: Callable[[int], float]) -> list[float | str]:
    """A schedule's values at `PROBES`, rounded to six decimals; where it fails, the name of the error."""
    found: list[float | str] = []
    for step in PROBES:
        try:
            value = float(schedule(step))
            found.append(round(value, 6) if math.isfinite(value) else str(value))
        except Exception as error:  # such as a list of rates that is shorter: no reason not to save
            found.append(type(error).__name__)
    return found


def constrained(player: Player) -> list | str | None:
    """[least, greatest] of each weight after a player's constraint was applied to weights from -1 to 1.

    None without a constraint; the name of the error if it fails.
    """
    if player.constraint is None:
        return None
    weights = [torch.linspace(-1, 1, weight.numel()).view(weight.shape) for weight in player.weights]
    try:
        player.constraint(weights)
    except Exception as error:
        return type(error).__name__
    return [[round(weight.min().item(), 6), round(weight.max().item(), 6)] for weight in weights if weight.numel()]


def groups(player: Player) -> list[dict]:
    """The optimiser's present options, lr, betas and so on: a hook may have changed them."""
    return [
        {
            name: float(value) if isinstance(value, Tensor) else value
            for name, value in group.items()
            if isinstance(value, bool | int | float | tuple | Tensor)
        }
        for group in player.optimizer.state_dict()["param_groups"]
    ]


_contents: WeakKeyDictionary[Data, tuple[tuple, str]] = WeakKeyDictionary()


def content(data: Data) -> str:
    """SHA-256 of the samples and their labels. Taken once, and again where they were changed in place."""
    tensors = [tensor for tensor in (data.values, data.label) if tensor is not None]
    versions = tuple((id(tensor), 0 if tensor.is_inference() else tensor._version) for tensor in tensors)
    known = _contents.get(data)
    if known is None or known[0] != versions:
        digest = hashlib.sha256(repr((tuple(data.values.shape), data.values.dtype)).encode())
        for tensor in tensors:
            digest.update(tensor.cpu().contiguous().numpy().data)
        _contents[data] = known = versions, digest.hexdigest()
    return known[1]


# ----------------------------------------------------------------------------------------------------------- going on


def resume(
    path: str | Path,
    data: Data,
    accelerations: Sequence[Acceleration] | None = None,
    recipe: Recipe | None = None,
) -> Trainer:
    """The training that a file holds, ready to go on with the same data.

    accelerations  to use from now on; by default those that the file was trained with
    recipe         that it was trained by, if it is not one of the package's

    With the accelerations of the file, and the same number of threads, it goes on as if it had never stopped, on a CPU
    bit for bit. Warns of another number of threads. Raises ValueError if the file holds only a model, or only a part of
    a training, and if the game has changed: other data, networks, objective, penalties or numbers. Raises what `read`
    raises, too.
    """
    card, tensors = read(path)
    path = escaped(str(path))  # in messages
    if not any(name.startswith("net.") for name in tensors):
        raise ValueError(f"{path} holds a model to sample from, but no training to go on with.")
    if accelerations is None:
        accelerations = get_accelerations(card["accelerations"])
    if (card["samples"], card["content"]) != (len(data), content(data)):
        raise ValueError(
            f"{path} was trained on {card['samples']:,} samples of {card['data']}, and these {len(data):,} of "
            f"{data.name} are not the same ones: going on with other data would be another training."
        )
    recipe = recipe_of(card, recipe)
    spec = recipe.spec(data)
    if (list(spec.shape), spec.classes) != (card["shape"], card["classes"]):
        raise ValueError(
            changed(path, f"samples have shape {spec.shape} and {spec.classes} classes, and had {card['shape']}")
        )
    check_networks(path, part(tensors, "model."), recipe, spec)
    trainer = Trainer(recipe, data, card["seed"], accelerations)
    if card["settings"] != settings(trainer):
        raise ValueError(changed(path, differences(card["settings"], settings(trainer))))
    check(path, tensors, training_of(trainer, card))
    fill(trainer.networks, part(tensors, "net."), path)
    fill({name: average.net for name, average in trainer.averages.items()}, part(tensors, "model."), path)
    for player in trainer.players:
        go_on(player, card, part(tensors, f"optimizer.{quoted(player.name)}."), path)
    for name, average in trainer.averages.items():
        average.images = card["images"][name]
    trainer.feed.batches_drawn = card["batches_drawn"]
    states = [tensors.get(f"random.{index}", state) for index, state in enumerate(trainer.layers.states)]
    trainer.layers.states = states
    trainer.steps, trainer.seconds = card["step"], card["seconds"]
    trainer.logs = [log] if (log := log_of(card, tensors)) else []
    alike = trainer.device.type == "cpu" and (card["machine"], card["accelerations"]) == (
        machine(trainer.device),
        [one.name for one in trainer.accelerations],
    )
    same_game(card["losses_ahead"], trainer.losses_ahead(), path, *((1e-5, 1e-7) if alike else (2e-3, 1e-4)))
    if trainer.device.type == "cpu" and card["threads"] != torch.get_num_threads():
        warnings.warn(
            f"{path} was trained with {card['threads']} threads and goes on with {torch.get_num_threads()}: sums are "
            "taken in another order, so that weights will not be the same bit for bit.",
            stacklevel=2,
        )
    return trainer


def training_of(trainer: Trainer, card: Mapping) -> dict[str, Tensor]:
    """What the file of this training should hold, by name: tensors of the right shapes and types.

    Raises ValueError if the card has other players or averages than the trainer.
    """
    names = [player.name for player in trainer.players]
    for entry in ("groups", "stateless", "losses_ahead"):
        if sorted(card[entry]) != sorted(names):
            raise ValueError(f"The players of this file are {', '.join(card[entry])}, and not {', '.join(names)}.")
    if card["images"].keys() != trainer.averages.keys():
        raise ValueError(f"This file averages {', '.join(card['images'])}, and not {', '.join(trainer.averages)}.")
    tensors = prefixed("net", state_of(trainer.networks))
    tensors |= prefixed("model", state_of({name: average.net for name, average in trainer.averages.items()}))
    for player in trainer.players:
        state = {i: own for i, own in after_a_step(player).items() if i not in card["stateless"][player.name]}
        tensors |= prefixed("optimizer", kept_by(player, state))
    tensors |= {f"random.{index}": state for index, state in enumerate(trainer.layers.states)}
    terms = flat(card["losses_ahead"]) if card["step"] else ()
    tensors |= {f"log.{quoted(p)}.{quoted(term)}": torch.empty(card["step"], device="meta") for p, term, _ in terms}
    return tensors


def after_a_step(player: Player) -> dict[int, dict[str, Tensor]]:
    """What the optimiser keeps for each weight after a step, found out by a step of a copy."""
    twin = copy.deepcopy(player.optimizer)
    for weight in (weight for group in twin.param_groups for weight in group["params"]):
        weight.requires_grad_(True).grad = torch.zeros_like(weight)
    twin.step()
    return twin.state_dict()["state"]


def check(path: str | Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """ValueError if a training's tensors are not those expected. The state of a GPU's generator may be missing."""
    gpu = {"random.1"} - (found.keys() & expected.keys())
    found, expected = ({k: v for k, v in each.items() if k not in gpu} for each in (found, expected))
    if missing := sorted(expected.keys() - found.keys()):
        if missing[0].startswith("net."):
            raise ValueError(changed(path, f"{missing[0]} is only in its networks now"))
        raise ValueError(f"{path} holds only a part of its training, and cannot be resumed: no {missing[0]}.")
    if foreign := sorted(found.keys() - expected.keys()):
        raise ValueError(changed(path, f"it holds {foreign[0]}, which this training has no place for"))
    for name, like in expected.items():
        kinds = FLOATS if name.startswith("log.") else (like.dtype,)
        if found[name].shape != like.shape or found[name].dtype not in kinds:
            raise ValueError(changed(path, f"{name} {described(found[name])}, and now {described(like)}"))
    try:
        torch.Generator().set_state(found["random.0"])
    except RuntimeError:
        raise ValueError(changed(path, "random.0 is not a state of PyTorch's random numbers")) from None


def described(value: Tensor) -> str:
    """A tensor's shape and type, in words."""
    return f"has shape {tuple(value.shape)} and type {str(value.dtype).removeprefix('torch.')}"


def go_on(player: Player, card: Mapping, kept: Mapping[str, Tensor], path) -> None:
    """Give a player's optimiser its state and its options as they were."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in kept.items():
        index, entry = name.split(".", 1)
        like = player.weights[int(index)]
        if value.ndim and value.shape == like.shape:  # fused Adam assumes that it has the weight's memory layout
            value = torch.empty_like(like).copy_(value)
        state.setdefault(int(index), {})[entry] = value
    now, before = player.optimizer.state_dict(), card["groups"][player.name]
    if len(before) != len(now["param_groups"]):
        raise ValueError(changed(path, f"the optimiser of {player.name} has {len(now['param_groups'])} groups"))
    for group, old in zip(now["param_groups"], before, strict=True):
        group |= {
            name: option(path, name, group[name], old.get(name)) for name in sorted({"lr"} | group.keys() & old.keys())
        }
    player.optimizer.load_state_dict({**now, "state": state})
    player.updates_done = card["step"] * player.updates


def option(path, name: str, now, before):
    """The value from a file for an optimiser's option, such as a rate, whose present value is `now`.

    Switches keep their present value. ValueError for a value that the option cannot have.
    """
    if isinstance(now, bool) or now is None:  # "fused" and its like belong to accelerations
        return now
    several = isinstance(now, tuple)
    values, likes = (before if several else [before]), (now if several else [now])
    most = 1 if name == "betas" else math.inf
    if (
        not isinstance(values, list)
        or len(values) != len(likes)
        or not all(
            like is None if value is None else is_number(value) and 0 <= value < most
            for value, like in zip(values, likes, strict=True)
        )
    ):
        raise ValueError(changed(path, f"an optimiser's {name} is {now} and was {before}"))
    if isinstance(now, Tensor):  # a learning rate that a recorded CUDA graph reads
        return torch.full_like(now, before)
    return tuple(values) if several else before


def same_game(stored: Mapping, now: Mapping, path, relative: float, absolute: float) -> None:
    """ValueError unless the losses on the next batch are those in the file, up to these differences."""
    names, names_now = ([(player, term) for player, term, _ in flat(each)] for each in (stored, now))
    if sorted(names) != sorted(names_now):
        raise ValueError(changed(path, f"the terms of its losses are {names_now} and were {names}"))
    for player, term, value in flat(stored):
        if not math.isclose(value, now[player][term], rel_tol=relative, abs_tol=absolute):
            raise ValueError(
                changed(
                    path,
                    f"the term {term!r} of {player} is {now[player][term]:.6g} on the next batch, and was {value:.6g}",
                )
            )


def recipe_of(card: Mapping, recipe: Recipe | None = None) -> Recipe:
    """The recipe that a card names, configured as it was; or the one that is given, which must have this name.

    ValueError for another name, and for one that the package does not know.
    """
    if recipe is None:
        if card["recipe"] not in NAMED:
            raise ValueError(
                f"This file was made by the recipe {card['recipe']!r}, which is not one of the package's: give it as "
                "recipe=…."
            )
        return get_recipe(card["recipe"]).configure(**card["options"])
    if recipe.name != card["recipe"]:
        raise ValueError(f"This file was made by the recipe {card['recipe']!r}, not by {recipe.name!r}.")
    return recipe


def load(path: str | Path, device: torch.device | str | None = None, recipe: Recipe | None = None) -> TrainedModel:
    """The model in a file: its networks, ready to sample, with the history of its training if the file has that.

    device  where to put the networks; by default the CPU
    recipe  that it was trained by, if it is not one of the package's

    Raises what `read` raises, and ValueError for an unknown recipe, and if the recipe now builds other networks.
    """
    card, tensors = read(path)
    path = escaped(str(path))  # in messages
    recipe = recipe_of(card, recipe)
    spec = Spec(tuple(card["shape"]), card["classes"], recipe.latent_dim)
    state = part(tensors, "model.")
    check_networks(path, state, recipe, spec)
    with torch.random.fork_rng(devices=[]):
        networks = recipe.build(spec, recipe.averaged)
    # Shipped in half precision.
    fill(networks, {name: value.float() if value.is_floating_point() else value for name, value in state.items()}, path)
    networks = {name: net.requires_grad_(False).eval().to(device) for name, net in networks.items()}
    return TrainedModel(recipe, networks, spec, log_of(card, tensors), card["step"], card["seconds"], card)


def check_networks(path, state: Mapping[str, Tensor], recipe: Recipe, spec: Spec) -> None:
    """ValueError if the networks that the recipe averages have weights of other names, shapes or types than these.

    They are first built on PyTorch's "meta" device, that is, without memory: a wrong number in a card could ask for
    more than there is. Networks that cannot be built there are compared when they are filled.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            expected = state_of(recipe.build(spec, recipe.averaged))
    except ValueError:  # the recipe's own sentence
        raise
    except Exception:
        return
    for name in sorted(expected.keys() | state.keys()):
        if name not in expected or name not in state:
            raise ValueError(changed(path, f"{name} is only in {'the file' if name in state else 'its networks now'}"))
        found, like = state[name], expected[name]
        if found.shape != like.shape or found.is_floating_point() != like.is_floating_point():
            raise ValueError(changed(path, f"{name} {described(found)}, and now {described(like)}"))


def ship(source: str | Path, path: str | Path, **facts) -> None:
    """Write only the model of a training: its weights in half precision, its losses as means over equal spans.

    facts  for the card, in addition to those of the training

    Raises ValueError, and writes nothing, for a weight that half precision cannot hold, and for facts that the card
    already has; and what `read` raises.
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
    write(serialized(small, joined(card, facts)), path)


def shipped() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def find(model: str | Path) -> Path:
    """The file of this name, or else that of the package's model of this name. FileNotFoundError for neither."""
    if not Path(model).is_file() and str(model) not in shipped():
        raise FileNotFoundError(f"There is no file {model}, and the package's own models are {', '.join(shipped())}.")
    return Path(model) if Path(model).is_file() else SHIPPED / f"{model}.safetensors"


def pretrained(name: str, device: torch.device | str | None = None) -> TrainedModel:
    """A model that comes with the package, trained on MNIST for a long time by the recipe of its name. See its card.

    Raises ValueError, with the names that there are, for another name.
    """
    if name not in shipped():
        raise ValueError(f"No model {name!r} comes with the package, only {', '.join(shipped())}.")
    return load(SHIPPED / f"{name}.safetensors", device)


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def log_of(card: Mapping, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The history that a file holds, in the order of turns if the card has it: the tensors are sorted by name."""
    log: dict[str, dict[str, Tensor]] = {}
    stored = part(tensors, "log.")
    in_order = [f"{quoted(player)}.{quoted(term)}" for player, term, _ in flat(card["losses_ahead"])]
    for name in [*(name for name in in_order if name in stored), *sorted(stored.keys() - {*in_order})]:
        player, term = map(unquoted, name.split("."))
        log.setdefault(player, {})[term] = stored[name]
    return log


def fill(networks: Networks, state: Mapping[str, Tensor], path) -> None:
    """Put weights and buffers into networks. ValueError where they do not fit."""
    for name, net in networks.items():
        try:
            net.load_state_dict(part(state, f"{quoted(name)}."))
        except RuntimeError:
            raise ValueError(changed(path, f"the network {name} has other layers")) from None


def changed(path, how: str) -> str:
    """The message for a file that cannot be used since the game has changed."""
    return f"{path} was made by another version of its recipe: {how}. Only the code that wrote it can resume it."


def differences(before: Mapping, now: Mapping, of: str = "") -> str:
    """Which settings have changed, in words."""
    said = []
    for name in [name for name in {**before, **now} if before.get(name) != now.get(name)]:
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            said.append(differences(old, new, f"{of}{name}: "))
        else:
            said.append(f"{of}{name} is {new} and was {old}")
    return "; ".join(said)


@cache
def code() -> str:
    """The package's version and, if it is in a repository, the commit, with + for uncommitted changes."""
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
    """The machine in words: a processor with its number of threads, or a GPU; and PyTorch's version."""
    if device.type == "cuda":
        what = torch.cuda.get_device_name(device)
    else:
        lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = models[0] if models else platform.processor() or platform.machine()
        threads = torch.get_num_threads()
        what = f"{threads} thread{'s' * (threads > 1)} of {model}"
    return f"{what}, torch {torch.__version__}"
