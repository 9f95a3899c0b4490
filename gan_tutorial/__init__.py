"""Generative adversarial networks, for reading. Start with `game.fit`, the loop, and `objectives`, the mathematics."""

from . import checkpoint, costs, data, faster, hooks, metrics, plots, processes, recipes
from .average import Average
from .checkpoint import pretrained
from .claims import ClaimFailed, claim
from .data import Data
from .game import Batch, Feed, Log, NonFiniteLoss, Player, Stop, adam, adversaries, fit, sample
from .networks import (
    Cascade,
    CoarseImage,
    ConvCritic,
    ConvGenerator,
    Embedding,
    MLPCritic,
    MLPGenerator,
    OneHot,
    Projection,
    StackedGenerator,
    dcgan_init,
    shuffled,
    transposed,
    upsampled,
)
from .objectives import (
    Objective,
    clipping,
    gradient_penalty,
    hinge,
    least_squares,
    minimax,
    nonsaturating,
    r1,
    wasserstein,
    wgan,
    wgan_gp,
)
from .runtime import Run

__version__ = "0.1.0"

__all__ = [
    "Average", "Batch", "Cascade", "ClaimFailed", "CoarseImage", "ConvCritic", "ConvGenerator", "Data", "Embedding",
    "Feed", "Log", "MLPCritic", "MLPGenerator", "NonFiniteLoss", "Objective", "OneHot", "Player", "Projection",
    "Run", "StackedGenerator", "Stop", "adam", "adversaries", "checkpoint", "claim", "clipping", "costs", "data",
    "dcgan_init", "faster", "fit", "gradient_penalty", "hinge", "hooks", "least_squares", "metrics", "minimax",
    "nonsaturating", "plots", "pretrained", "processes", "r1", "recipes", "sample", "shuffled", "transposed",
    "upsampled", "wasserstein", "wgan", "wgan_gp",
]
