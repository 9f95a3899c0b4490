"""Generative adversarial networks, for reading. Begin with `game.turns`, the loop, then `objectives`, the theory.

Each name is imported when it is first used (PEP 562): torch takes seconds to load, and the command line's help and
errors need none of it.
"""

# ruff: noqa: F401 (what is imported for type checkers is in `__all__` by the table below)
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the same names once more, for type checkers and editors
    from . import (
        acceleration,
        augment,
        checkpoint,
        data,
        distributed,
        flops,
        hooks,
        kernels,
        metrics,
        neighbours,
        plots,
        recipes,
    )
    from .checkpoint import pretrained
    from .claims import ClaimFailed, check, claim, grader
    from .data import Data
    from .ema import EMA
    from .game import Batch, Feed, Interrupted, Log, NonFiniteLoss, Player, adam, adversaries, fit, sample, turns
    from .networks import (
        Cascade,
        CoarseImage,
        ConvCritic,
        ConvGenerator,
        Embedding,
        LaplacianLevel,
        MinibatchStd,
        MLPCritic,
        MLPGenerator,
        OneHot,
        Packed,
        Projection,
        conv_transpose_up,
        dcgan_init,
        nearest_up,
        pixel_shuffle_up,
    )
    from .objectives import (
        Objective,
        gradient_penalty,
        hinge,
        least_squares,
        minimax,
        nonsaturating,
        r1,
        r2,
        relativistic,
        wasserstein,
        weight_clipping,
        wgan,
        wgan_gp,
    )
    from .runtime import Run
    from .training import Recipe, TrainedModel, Trainer

__version__ = "0.1.0"

#: Which module each name comes from; "" for the modules themselves.
NAMES = {
    "": "acceleration augment checkpoint data distributed flops hooks kernels metrics neighbours plots recipes",
    "checkpoint": "pretrained",
    "claims": "ClaimFailed check claim grader",
    "data": "Data",
    "ema": "EMA",
    "game": "Batch Feed Interrupted Log NonFiniteLoss Player adam adversaries fit sample turns",
    "networks": "Cascade CoarseImage ConvCritic ConvGenerator Embedding LaplacianLevel MinibatchStd MLPCritic "
    "MLPGenerator OneHot Packed Projection conv_transpose_up dcgan_init nearest_up pixel_shuffle_up",
    "objectives": "Objective gradient_penalty hinge least_squares minimax nonsaturating r1 r2 relativistic wasserstein "
    "weight_clipping wgan wgan_gp",
    "runtime": "Run",
    "training": "Recipe TrainedModel Trainer",
}
_MODULE = {name: module for module, names in NAMES.items() for name in names.split()}

__all__ = sorted(_MODULE)


def __getattr__(name: str):
    if name not in _MODULE and (name.startswith("_") or find_spec(f"{__name__}.{name}") is None):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    source = _MODULE.get(name)  # None or "": the name is a module, in `__all__` or not
    value = getattr(import_module(f".{source}", __name__), name) if source else import_module(f".{name}", __name__)
    globals()[name] = value  # next time the name is found without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
