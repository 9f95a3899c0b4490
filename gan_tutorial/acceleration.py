"""Accelerations leave the game alone: `recipes.DCGAN.train(data, accelerations=(bfloat16, fused))`.

An acceleration changes what a training is made of, after its players are built: how their arithmetic is rounded, how
their tensors lie in memory, who runs their losses. Weights, their names and the batches stay what they are, and
`player.wrappers` lists what was put around its loss and its update. Which one pays depends on the machine and on the
networks: `benchmarks/speed.py` finds out.
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FunctionType

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map

from . import distributed
from .game import Batch, Player, Terms


@dataclass(frozen=True)
class Acceleration:
    """One way to be faster.

    apply    changes a player, by `Player.wrap` or in its network and optimiser
    refusal  a device -> why it cannot be done there, in a sentence; None if it can
    """

    name: str
    apply: Callable[[Player], None]
    refusal: Callable[[torch.device], str | None] = lambda device: None


def accelerate(players: Sequence[Player], accelerations: Sequence[Acceleration]) -> None:
    """Apply accelerations to players, in the order of `ACCELERATIONS`, in whatever order they are given.

    Raises ValueError for anything but accelerations, for one that is not supported here, and for one that a player's
    optimiser or `term_weights` rule out.
    """
    for one in accelerations:
        if one not in ACCELERATIONS.values():
            raise ValueError(f"Expected accelerations such as (bfloat16, fused), got {one!r}.")
    device = next(players[0].net.parameters()).device
    taken = [known for known in ACCELERATIONS.values() if known in accelerations]
    for one in taken:
        if why := one.refusal(device):
            raise ValueError(why)
    for one in taken:
        for player in players:
            one.apply(player)


def get_accelerations(names: Iterable[str]) -> tuple[Acceleration, ...]:
    """The accelerations of these names. ValueError, with those that there are, for any other."""
    names = list(names)
    for name in names:
        if not isinstance(name, str) or name not in ACCELERATIONS:
            raise ValueError(f"Unknown acceleration {name!r}; expected some of {', '.join(ACCELERATIONS)}.")
    return tuple(one for name, one in ACCELERATIONS.items() if name in names)


# ------------------------------------------------------------------------------------------------------- bfloat16


def has_bfloat16(device: torch.device, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the device multiplies bfloat16 in hardware. PyTorch also counts emulation, slower than float32.

    This looks at the flags that Linux lists for a processor, or at a GPU's generation, Ampere (8.0) being the first.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    words = set(cpuinfo.read_text().split()) if device.type == "cpu" and cpuinfo.is_file() else set()
    return not words.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def _half(player: Player) -> None:
    device = next(player.net.parameters()).device.type

    def in_bfloat16(loss: Callable[[Batch], Terms]) -> Callable[[Batch], Terms]:
        def rounded(batch: Batch) -> Terms:
            with torch.autocast(device, torch.bfloat16):
                return loss(batch)

        return rounded

    player.wrap("bf16 loss", loss=in_bfloat16)
    held = player.net.children() if isinstance(player.net, nn.ModuleDict | nn.ModuleList) else ()  # called one by one
    for net in (player.net, *held):
        net.register_forward_hook(_float)


def _float(net: nn.Module, given: tuple, made):
    return tree_map(lambda x: x.float() if isinstance(x, Tensor) and x.is_floating_point() else x, made)


#: Matrix products and convolutions of the losses in bfloat16: 8 bits of precision, so that each factor is off by up to
#: 2^-8 of its size. Losses differ in their third digit. What a network returns, its weights, gradients, Adam's state,
#: the average and every file stay float32. So does the whole gradient penalty, whose gradient would be off by some
#: thousandths. The exponents are those of float32: small gradients do not vanish, and no loss needs scaling.
#: On CUDA the power iteration of spectral normalisation is rounded too, and keeps its bound to within some thousandths.
#: Micikevicius et al. 2018; Kalamkar et al. 2019.
bfloat16 = Acceleration(
    "bf16",
    _half,
    lambda device: (
        None
        if has_bfloat16(device)
        else f"This {device.type} has no bfloat16 arithmetic, only a slow emulation of it: train without bf16."
    ),
)


# --------------------------------------------------------------------------------------------------- channels last


def _channels_last(player: Player) -> None:
    player.net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # left out of torch's types

    def last(x):
        return x.contiguous(memory_format=torch.channels_last) if isinstance(x, Tensor) and x.ndim == 4 else x

    player.wrap("channels-last loss", loss=lambda loss: lambda batch: loss(tree_map(last, batch)))


#: Images and kernels with a pixel's channels side by side in memory, which suits convolutions of many channels. Shapes
#: and indices stay the same. Sums may be taken in another order: equal up to rounding. Files keep the usual order.
channels_last = Acceleration("channels-last", _channels_last)


# ------------------------------------------------------------------------------------------------------ fused Adam


def _settings(player: Player, **settings) -> None:
    for group in player.optimizer.param_groups:
        if settings.keys() - group.keys():
            raise ValueError(
                f"The {type(player.optimizer).__name__} of {player.name} cannot be {', '.join(settings)}: "
                "train with Adam, or without this acceleration."
            )
        group.update(settings)


#: Adam's step for all weights in one pass over memory instead of a dozen. Equal up to rounding.
fused = Acceleration(
    "fused",
    partial(_settings, fused=True),
    lambda device: None if device.type in ("cpu", "cuda") else "Adam is fused on a CPU or on CUDA only.",
)


# -------------------------------------------------------------------------------------------------------- compiled


def _no_compiler(device: torch.device) -> str | None:
    if distributed.world_size() > 1:
        return "Losses are compiled in one process only: train with one, or without compile."
    if device.type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return "torch.compile needs a C++ compiler on a CPU, such as g++: install one, or train without compile."
    return None


def _compiled(player: Player, backend: str = "inductor") -> None:
    def compiled(inner: Callable[[Batch], Terms]) -> Callable[[Batch], Terms]:
        def loss(batch: Batch) -> Terms:
            return inner(batch)

        # PyTorch keeps what it compiles by code object, up to eight for each. Players with one code object would share
        # these, and the ninth would run uncompiled.
        code = loss.__code__.replace(co_name=player.name.replace(" ", "_"))
        own = FunctionType(code, loss.__globals__, code.co_name, None, loss.__closure__)
        return torch.compile(own, dynamic=False, backend=backend)

    player.wrap("compiled loss", loss=compiled)


#: `torch.compile` of the players' losses, forward and backward: many passes over memory are fused into few. Sums are
#: taken in another order: equal up to rounding. The first step takes a minute or so. The functions are compiled and not
#: the modules, so that weights keep their names. (On a CPU, labelled networks check their labels, and are therefore
#: compiled in parts.)
compiled = Acceleration("compile", _compiled, _no_compiler)


# ---------------------------------------------------------------------------------------------------------- graphs


class CUDAGraphed:
    """A function of batches that is recorded once and then replayed; each batch is copied to where the first one lay.

    function  batch -> named terms, all on a GPU; it launches the same kernels for all batches of the same shapes
    record    (function without arguments) -> what it returned, and a function that does the same once more

    A batch is a `Batch`, or any nesting of tuples, lists and dictionaries with tensors and None in it. The first `WARM`
    batches are run as usual, and are steps of the training like all others. Afterwards everything exists that is kept
    between steps: an optimiser's state, what a compiler makes, workspaces of libraries. Raises ValueError for a batch
    of another shape, for one that holds anything but tensors (it would stay as it was when the graph was recorded), and
    for a function that cannot be recorded.
    """

    WARM = 3

    def __init__(self, function: Callable[[Batch], Terms], record: Callable | None = None):
        self.function, self.record = function, record or captured
        self.seen = 0
        self.batch, self.kept, self.shape = None, [], None  # where the first batch lay: whole, and taken apart
        self.terms: Terms = {}
        self.replay: Callable[[], None] = lambda: None  # until there is a recording

    def __call__(self, batch: Batch) -> Terms:
        self.seen += 1
        if self.seen <= self.WARM:
            return on_side_stream(self.function, batch)
        given, shape = tree_flatten(batch)
        if self.batch is None:
            copy = tree_map(_copied, batch)
            try:
                self.terms, self.replay = self.record(partial(self.function, copy))
            except RuntimeError as error:
                raise ValueError(
                    "This update cannot be recorded. Usually its loss reads values on the host, as gmmn's does, or "
                    f"calls .item(): train without graphs. (CUDA says: {error})"
                ) from error
            self.kept, self.shape = tree_flatten(copy)
            self.batch = copy  # last, so that a failed recording is tried again, and says so again
        if shape != self.shape or any(_size(mine) != _size(new) for mine, new in zip(self.kept, given, strict=True)):
            raise ValueError(
                "A recorded update takes batches of one shape: build the Feed as it was at first, or train without "
                "graphs."
            )
        for mine, new in zip(self.kept, given, strict=True):
            if mine is not None:
                mine.copy_(new)
        self.replay()
        return {name: term.clone() for name, term in self.terms.items()}  # the next replay writes over them


def _copied(x: Tensor | None) -> Tensor | None:
    if x is not None and not isinstance(x, Tensor):
        raise ValueError(
            f"A recorded update takes batches of tensors, and this one holds a {type(x).__name__}: make it a tensor, "
            "or train without graphs."
        )
    return None if x is None else x.clone()


def _size(x: Tensor | None) -> torch.Size | None:
    return getattr(x, "shape", None)


def on_side_stream(function: Callable[[Batch], Terms], batch: Batch) -> Terms:
    """function(batch) on a stream of its own, as the warm-up of a recording requires; on a CPU, function(batch)."""
    if not any(isinstance(x, Tensor) and x.is_cuda for x in tree_leaves(batch)):
        return function(batch)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        terms = function(batch)
    torch.cuda.current_stream().wait_stream(stream)
    return terms


def captured(function: Callable[[], Terms]) -> tuple[Terms, Callable[[], None]]:
    """Record what a function launches on the GPU, without running it. Returns its terms and the replay."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        terms = function()
    return terms, graph.replay


def _graphs(player: Player, record: Callable | None = None) -> None:
    if player.term_weights:
        raise ValueError(f"A graph is recorded once, and term_weights of {player.name} change: train without graphs.")
    _settings(player, capturable=True)
    if player.lr_schedule:  # a tensor, which the graph reads anew each time
        for group in player.optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"], device=player.weights[0].device)
    player.wrap("graphed update", update=lambda update: CUDAGraphed(update, record))


def _no_graphs(device: torch.device) -> str | None:
    if device.type != "cuda":
        return "Only CUDA records updates as graphs: train without graphs here."
    if distributed.world_size() > 1:
        return "Graphs are recorded in one process only: train with one, or without graphs."
    return None


#: A whole update, from the batch to the new weights, as one CUDA graph: one launch instead of hundreds, which small
#: networks spend their time on. The same kernels run, except that Adam counts its steps on the GPU, in float32. A
#: learning rate that a hook changes later has no effect; a schedule's has. pytorch.org/docs/stable/notes/cuda.html,
#: "CUDA Graphs".
graphs = Acceleration("graphs", _graphs, _no_graphs)

#: All of them, by name, in the order in which they are applied: a compiled loss contains those before it.
ACCELERATIONS = {one.name: one for one in (bfloat16, channels_last, fused, compiled, graphs)}
