"""Measures that make a training faster and leave its game alone: `recipes.DCGAN.train(data, faster=(bfloat16, fused))`.

A measure changes what a training is made of, after its players are built: how their arithmetic is rounded, how their
tensors lie in memory, who runs their losses. Weights, their names and the batches stay what they are. Which measure
pays depends on the machine and on the networks: `benchmarks/speed.py` finds out.
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FunctionType

import torch
from torch import Tensor, nn

from . import processes
from .game import Batch, Player
from .objectives import Objective

Terms = dict[str, Tensor]


@dataclass(frozen=True)
class Measure:
    """One way to be faster.

    player     changes a player in place; it may put another function in place of its `loss` or its `update`
    refusal    a device -> why it cannot be done there, in a sentence; None where it can
    objective  what becomes of an objective before players are built of it
    """

    name: str
    player: Callable[[Player], None]
    refusal: Callable[[torch.device], str | None] = lambda device: None
    objective: Callable[[Objective], Objective] = lambda objective: objective


def players(recipe, generator: nn.Module, critic: nn.Module, faster: Sequence[Measure] = ()) -> Sequence[Player]:
    """The players of a recipe, with these measures taken. Their order in `faster` does not matter.

    ValueError, with a sentence, for what is no measure, and for one that cannot be taken on the networks' device.
    """
    for measure in faster:
        if measure not in MEASURES.values():
            raise ValueError("A training is faster by measures, such as (faster.bfloat16, faster.fused), and "
                             f"{measure!r} is none.")
    device = next(generator.parameters()).device
    wanted = [measure for measure in MEASURES.values() if measure in faster]
    for measure in wanted:
        if why := measure.refusal(device):
            raise ValueError(why)
        objective = recipe.objective
        recipe = replace(recipe, objective=tuple(map(measure.objective, objective)) if isinstance(objective, tuple)
                         else measure.objective(objective))
    made = recipe.players(generator, critic)
    for measure in wanted:
        for player in made:
            measure.player(player)
    return made


def named(names: Iterable[str]) -> tuple[Measure, ...]:
    """The measures of these names. ValueError, with those that there are, for any other."""
    names = list(names)
    for name in names:
        if name not in MEASURES:
            raise ValueError(f"There is no measure {name!r} to be faster, only {', '.join(MEASURES)}.")
    return tuple(measure for name, measure in MEASURES.items() if name in names)


# ------------------------------------------------------------------------------------------------------- bfloat16

def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware. Emulation, which PyTorch counts too, is slower than float32.

    Looks at the flags that Linux shows of a processor; at a GPU's generation, Ampere being the first (8.0).
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    info = Path("/proc/cpuinfo")
    words = set(info.read_text().split()) if device.type == "cpu" and info.is_file() else set()
    return not words.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def _half(player: Player) -> None:
    loss, device = player.loss, next(player.net.parameters()).device.type

    def in_bfloat16(batch: Batch) -> Terms:
        with torch.autocast(device, torch.bfloat16):
            return loss(batch)

    player.loss = in_bfloat16
    player.net.register_forward_hook(_float)


def _float(net: nn.Module, given: tuple, made: Tensor) -> Tensor:
    return made.float()


def _in_float32(objective: Objective) -> Objective:
    """The objective, whose penalty runs in float32 within a loss that does not."""
    penalty = objective.penalty

    def exact(critic, real: Tensor, fake: Tensor, eps: Tensor) -> Tensor:
        with torch.autocast(real.device.type, enabled=False):
            return penalty(critic, real, fake, eps)

    return replace(objective, penalty=exact) if penalty else objective


#: Matrix products and convolutions of the losses in bfloat16: 8 bits of precision, so that each factor is off by up to
#: 2^-8 of its size. Losses differ in their third digit. What a network returns, its weights, gradients, Adam's state,
#: the average and every file stay float32, and so does the whole gradient penalty, whose gradient would else be off by
#: some thousandths. The exponents are those of float32: small gradients do not vanish, and no loss needs scaling.
#: On CUDA the power iteration of spectral normalisation is rounded too, and holds its bound to some thousandths.
#: Micikevicius et al. 2018; Kalamkar et
#: al. 2019.
bfloat16 = Measure("bf16", _half, lambda device: None if has_bfloat16(device) else (
    f"This {device.type} has no bfloat16 arithmetic, only an emulation of it that is slow: train without bf16."),
    _in_float32)


# --------------------------------------------------------------------------------------------------- channels last

def _channels_last(player: Player) -> None:
    loss = player.loss
    player.net.to(memory_format=torch.channels_last)

    def channels_last_loss(batch: Batch) -> Terms:
        return loss(Batch(*(x.contiguous(memory_format=torch.channels_last) if x is not None and x.ndim == 4 else x
                            for x in batch)))

    player.loss = channels_last_loss


#: Images and kernels with their channels side by side in memory, as convolutions of many channels like them. Shapes and
#: indices stay the same, sums may be taken in another order: equal up to rounding. Files hold the usual order.
channels_last = Measure("channels-last", _channels_last)


# ------------------------------------------------------------------------------------------------------ fused Adam

def _settings(player: Player, **settings) -> None:
    for group in player.optimizer.param_groups:
        if settings.keys() - group.keys():
            raise ValueError(f"The {type(player.optimizer).__name__} of {player.name} cannot be {', '.join(settings)}: "
                             "train with Adam, or without this measure.")
        group.update(settings)


#: Adam's step of all weights in one pass over memory, in place of a dozen. Equal up to rounding.
fused = Measure("fused", partial(_settings, fused=True),
                lambda device: None if device.type in ("cpu", "cuda") else "Adam is fused on a CPU or on CUDA only.")


# -------------------------------------------------------------------------------------------------------- compiled

def _no_compiler(device: torch.device) -> str | None:
    if processes.count() > 1:
        return "Losses are compiled in one process only: train with one, or without compile."
    if device.type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return "torch.compile needs a C++ compiler on a CPU, such as g++: install one, or train without compile."
    return None


def _compiled(player: Player) -> None:
    inner = player.loss

    def loss(batch: Batch) -> Terms:
        return inner(batch)

    # What was compiled is kept with the code. Players of one code would share it, and the ninth would run uncompiled.
    code = loss.__code__.replace(co_name=player.name.replace(" ", "_"))
    own = FunctionType(code, loss.__globals__, code.co_name, None, loss.__closure__)
    player.loss = torch.compile(own, dynamic=False)


#: `torch.compile` of the players' losses, forward and backward: passes over memory are fused into few. Sums are taken
#: in another order: equal up to rounding. The first step takes a minute or so. The functions are compiled and not the
#: modules, so that weights keep their names. (On a CPU labelled networks look at their labels: compiled in parts.)
compiled = Measure("compile", _compiled, _no_compiler)


# ---------------------------------------------------------------------------------------------------------- graphs

class Replayed:
    """A function of batches that is recorded once and then replayed, on copies of its batches in one place.

    function  batch -> named terms, all on a GPU, and never anything else at the same batch shapes
    record    (function without arguments) -> what it returned, and a function that does the same once more

    The first `WARM` batches are played as usual, so that everything that is kept between steps is there: an optimiser's
    state, what a compiler makes, workspaces of libraries. All of them are steps of the training. ValueError for a batch
    of another shape.
    """

    WARM = 3

    def __init__(self, function: Callable[[Batch], Terms], record: Callable | None = None):
        self.function, self.record = function, record or captured
        self.seen, self.batch = 0, None

    def __call__(self, batch: Batch) -> Terms:
        self.seen += 1
        if self.seen <= self.WARM:
            return aside(self.function, batch)
        if self.batch is None:
            self.batch = Batch(*(None if x is None else x.clone() for x in batch))
            self.terms, self.replay = self.record(partial(self.function, self.batch))
        for mine, given in zip(self.batch, batch, strict=True):
            if (mine is None) != (given is None) or mine is not None and mine.shape != given.shape:
                raise ValueError("A recorded update takes batches of one shape: build the Feed as it was at first, or "
                                 "train without graphs.")
            if mine is not None:
                mine.copy_(given)
        self.replay()
        return {name: term.clone() for name, term in self.terms.items()}  # the next replay writes over them


def aside(function: Callable[[Batch], Terms], batch: Batch) -> Terms:
    """function(batch) on a stream of its own, as warming up for a recording asks for; on a CPU just that."""
    if not batch.real.is_cuda:
        return function(batch)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        terms = function(batch)
    torch.cuda.current_stream().wait_stream(stream)
    return terms


def captured(function: Callable[[], Terms]) -> tuple[Terms, Callable[[], None]]:
    """Record what a function gives the GPU to do, without doing it; gives its results and the replay."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        terms = function()
    return terms, graph.replay


def _graphs(player: Player) -> None:
    _settings(player, capturable=True)
    player.update = Replayed(player.update)


def _no_graphs(device: torch.device) -> str | None:
    if device.type != "cuda":
        return "Only CUDA records updates as graphs: train without graphs here."
    if processes.count() > 1:
        return "Graphs are recorded in one process only: train with one, or without graphs."
    return None


#: A whole update, from the batch to the new weights, as one CUDA graph: one launch in place of hundreds, which small
#: networks wait for. The same kernels run: only Adam counts its steps on the GPU, in float32. A learning rate that
#: is changed later has no effect. pytorch.org/docs/stable/notes/cuda.html, "CUDA Graphs".
graphs = Measure("graphs", _graphs, _no_graphs)

#: All of them, by name, in the order they are taken: a compiled loss contains what stands before it.
MEASURES = {measure.name: measure for measure in (bfloat16, channels_last, fused, compiled, graphs)}
