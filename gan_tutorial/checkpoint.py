"""Trainings and models as files: save, load, go on. A file is safetensors, with a card in its metadata.

    training = Training(recipes.DCGAN, data)
    training.run(steps=1000)
    save(training, "digits.safetensors")            # at a stroke: never half a file
    training = resume("digits.safetensors", data)
    training.run(steps=3500)                        # as if it had never stopped
    images = load("digits.safetensors").sample(100)
    images = pretrained("dcgan").sample(100)       # models that come with the package

Tensors are named by their place: `model.…` is the averaged generator, settled, all that sampling needs;
`critic.net.…`, `critic.optimizer.3.exp_avg`, `generator.…` and `log.critic.game` are what training needs to go on.
"""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .data import Data
from .faster import Measure
from .faster import named as measures
from .recipes import Trained, Training, named

SHIPPED = Path(__file__).with_name("models")
POINTS = 500  # of a loss curve that is shipped
CARD, FORMAT = "gan_tutorial", 1  # the metadata's one entry, and which version of this layout
ENTRIES = {"recipe": str, "step": int, "seed": int, "data": str, "samples": int, "seconds": int | float, "code": str,
           "machine": str, "drawn": int, "images": int, "settings": dict}


def save(training: Training, path: str | Path, made: Trained | None = None, **facts) -> None:
    """Write a training to a file, from which `resume` goes on and `load` samples.

    made   what `training.trained()` returns, where it is at hand
    facts  for the card, beside recipe, step, seed, data, code, machine and seconds; anything that JSON holds

    The file is written beside its place, flushed to the disk, and put there at a stroke: whoever reads it, or kills
    this process, finds the old file or the new one. (A process that is killed while it writes leaves FILE.….part
    behind.) OSError where it cannot be written; ValueError, and nothing is written, where a weight is not finite.
    """
    made = training.trained() if made is None else made
    tensors = {f"model.{name}": value for name, value in made.generator.state_dict().items()}
    for player in training.players:
        tensors |= {f"{player.name}.net.{name}": value for name, value in player.net.state_dict().items()}
        for index, own in player.optimizer.state_dict()["state"].items():
            tensors |= {f"{player.name}.optimizer.{index}.{name}": torch.as_tensor(x) for name, x in own.items()}
    spoilt = [name for name, value in tensors.items() if not value.isfinite().all()]
    if spoilt:
        raise ValueError(f"After {training.steps:,} steps {spoilt[0]} is not finite any more, and {path} is left as it "
                         "was: train with a lower learning rate.")
    tensors |= {f"log.{player}.{term}": values for player, terms in made.log.items() for term, values in terms.items()}
    card = {"format": FORMAT, "recipe": training.recipe.name, "step": training.steps, "seed": training.seed,
            "data": training.data.name, "samples": len(training.data), "seconds": round(training.seconds, 3),
            "code": code(), "machine": machine(training.data.values.device), "drawn": training.feed.drawn,
            "images": training.average.images, "settings": settings(training),
            "faster": [measure.name for measure in training.faster], **facts}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write(safetensors.torch.save(tensors, {CARD: json.dumps(card, ensure_ascii=False)}), path)


def settings(training: Training) -> dict:
    """The numbers of a recipe, and of its optimisers, that decide how a training goes on."""
    recipe = training.recipe
    numbers = {name: getattr(recipe, name) for name in ("batch", "latent", "labelled", "half_life")}
    for player in training.players:
        numbers[player.name] = {"updates": player.updates, "optimizer": type(player.optimizer).__name__} | {
            name: value for name, value in player.optimizer.defaults.items() if isinstance(value, int | float | tuple)}
    return json.loads(json.dumps(numbers))  # as it comes out of a file


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
        raise OSError(f"{path} could not be written ({error.strerror or error}). Name a file in a folder that exists, "
                      "can be written to, and has room.") from None


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
    if card["format"] > FORMAT:
        raise ValueError(f"{path} was written by a newer version of this package ({card.get('code')}): update it to "
                         "read the file.")
    wrong = [name for name, kind in ENTRIES.items() if not isinstance(card.get(name), kind)]
    wrong += [] if isinstance(card.setdefault("faster", []), list) else ["faster"]  # older files have none
    if wrong:
        raise ValueError(f"{damaged}: its card has no proper entry for {', '.join(wrong)}.")
    return card, found


def resume(path: str | Path, data: Data, faster: Sequence[Measure] | None = None) -> Training:
    """The training that a file holds, ready to go on with the same data.

    faster  measures to take from now on; without it those that the file was trained with

    With the measures of the file it goes on as if it had never stopped, on a CPU bit for bit. ValueError where the file
    holds a model alone, or a part of a training, where it was trained on other data, or by a recipe that is another one
    now; and what `read` raises.
    """
    card, tensors = read(path)
    faster = measures(card["faster"]) if faster is None else faster
    training = Training(named(card["recipe"]), data, card["seed"], faster)
    if (card["data"], card["samples"]) != (data.name, len(data)):
        raise ValueError(f"{path} was trained on {card['samples']:,} samples of {card['data']}, not on {len(data):,} "
                         f"of {data.name}: going on with other data would be another training.")
    if not any(name.startswith(f"{training.players[0].name}.") for name in tensors):
        raise ValueError(f"{path} holds a model to sample from, but no training to go on with.")
    _fill(training.average.net, _part(tensors, "model."), path)
    if card["settings"] != settings(training):
        raise ValueError(_changed(path))
    log, complete = _log(tensors), True
    for player in training.players:
        _fill(player.net, _part(tensors, f"{player.name}.net."), path)
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(tensors, f"{player.name}.optimizer.").items():
            index, entry = name.split(".", 1)
            like = player.weights[int(index)] if int(index) < len(player.weights) else value
            if value.ndim and value.shape == like.shape:  # a fused Adam takes it to lie in memory as the weight does
                value = torch.empty_like(like).copy_(value)
            state.setdefault(int(index), {})[entry] = value
        complete &= len(state) == (len(player.weights) if card["step"] else 0)
        complete &= all(len(values) == card["step"] for values in log.get(player.name, {"": []}).values())
        player.optimizer.load_state_dict({**player.optimizer.state_dict(), "state": state})
    if not complete or bool(log) != bool(card["step"]):
        raise ValueError(f"{path} holds only a part of its training, and cannot be gone on with.")
    training.average.images, training.feed.drawn = card["images"], card["drawn"]
    training.steps, training.seconds = card["step"], card["seconds"]
    training.past = [log] if log else []
    return training


def load(path: str | Path, device: torch.device | str | None = None) -> Trained:
    """The model in a file: its generator, ready to sample, with the history of its training where that is kept.

    ValueError as `read` raises it, and where the recipe builds another network now.
    """
    card, tensors = read(path)
    recipe = named(card["recipe"])
    with torch.random.fork_rng(devices=[]):
        generator = recipe.generator()
    _fill(generator, {name: value.float() if value.is_floating_point() else value  # shipped in half precision
                      for name, value in _part(tensors, "model.").items()}, path)
    return Trained(recipe, generator.requires_grad_(False).eval().to(device), _log(tensors), card["step"],
                   card["seconds"], card=card)


def ship(source: str | Path, path: str | Path, **facts) -> None:
    """Write the model of a training alone: its weights in half precision, its losses as means over equal spans.

    facts  for the card, beside those of the training

    ValueError, and nothing is written, for a weight that half precision cannot hold; and what `read` raises.
    """
    card, tensors = read(source)
    small = {name: value.half() if value.is_floating_point() else value
             for name, value in tensors.items() if name.startswith("model.")}
    small |= {name: torch.stack([span.mean() for span in values.tensor_split(min(POINTS, len(values)))])
              for name, values in tensors.items() if name.startswith("log.")}
    large = [name for name, value in small.items() if not value.isfinite().all()]
    if large:
        raise ValueError(f"{large[0]} of {source} does not fit into half precision, and {path} is left as it was.")
    write(safetensors.torch.save(small, {CARD: json.dumps({**card, **facts}, ensure_ascii=False)}), path)


def shipped() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def find(model: str | Path) -> Path:
    """The file of a model: one of this name, or else one that comes with the package. FileNotFoundError for neither."""
    if not Path(model).is_file() and str(model) not in shipped():
        raise FileNotFoundError(f"There is no file {model}, and the package's own models are "
                                f"{', '.join(shipped())}.")
    return Path(model) if Path(model).is_file() else SHIPPED / f"{model}.safetensors"


def pretrained(name: str, device: torch.device | str | None = None) -> Trained:
    """A model that comes with the package, trained on MNIST for long by the recipe of its name. Its card tells how.

    ValueError, with those that there are, for another name.
    """
    if name not in shipped():
        raise ValueError(f"No model {name!r} comes with the package, only {', '.join(shipped())}.")
    return load(SHIPPED / f"{name}.safetensors", device)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _log(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    log: dict[str, dict[str, Tensor]] = {}
    for name, values in _part(tensors, "log.").items():
        player, term = name.split(".", 1)
        log.setdefault(player, {})[term] = values
    return log


def _fill(net: nn.Module, state: Mapping[str, Tensor], path) -> None:
    try:
        net.load_state_dict(state)
    except RuntimeError:
        raise ValueError(_changed(path)) from None


def _changed(path) -> str:
    return (f"{path} was made by another version of its recipe, with other networks or settings: the code that wrote "
            "it can go on with it.")


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
