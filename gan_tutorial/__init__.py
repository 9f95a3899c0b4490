"""Generative adversarial networks, for reading. Start with `game.fit`, the loop, and `objectives`, the mathematics."""

from . import data, hooks, plots
from .claims import ClaimFailed, claim
from .data import Data
from .game import Batch, Feed, Log, NonFiniteLoss, Player, adam, adversaries, fit, sample
from .networks import MLPCritic, MLPGenerator
from .objectives import (
    Objective,
    gradient_penalty,
    hinge,
    least_squares,
    minimax,
    nonsaturating,
    r1,
    wasserstein,
    wgan_gp,
)
from .runtime import Run

__version__ = "0.1.0"

__all__ = [
    "Batch", "ClaimFailed", "Data", "Feed", "Log", "MLPCritic", "MLPGenerator", "NonFiniteLoss", "Objective", "Player",
    "Run", "adam", "adversaries", "claim", "data", "fit", "gradient_penalty", "hinge", "hooks", "least_squares",
    "minimax", "nonsaturating", "plots", "r1", "sample", "wasserstein", "wgan_gp",
]
