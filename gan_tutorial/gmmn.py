"""A generative moment matching network: a generator without a critic, whose loss is a distance between two batches.

Li, Swersky and Zemel 2015; Dziugaite, Roy and Ghahramani 2015.
"""

import math
from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from . import distributed
from .game import Batch, Player, adam
from .kernels import gaussian, median_distance, mmd2
from .networks import MLPGenerator
from .training import Networks, Recipe, lone_player

BANDWIDTHS = 0.15, 0.3, 0.6  # as fractions of the median distance between real samples


def loss(generator: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """The maximum mean discrepancy between generated and real samples, as the root of its biased squared estimate.

    NaN for generated samples that are not finite, so that the training ends like any other that diverges.
    """
    made = generator(batch.z)
    if not made.isfinite().all():
        return {"mmd": made.sum() * math.nan}
    scale = median_distance(batch.real, most=100)
    kernel = gaussian(*(part * scale for part in BANDWIDTHS))
    return {"mmd": mmd2(made, batch.real, kernel, unbiased=False).sqrt()}


def players(recipe: Recipe, networks: Networks) -> Sequence[Player]:
    """One player, the generator. Raises ValueError for several processes, and as `lone_player` does."""
    if distributed.world_size() > 1:
        raise ValueError(
            f"{recipe.name} compares whole batches, which several processes divide: train with one process."
        )
    return lone_player(recipe, "generator", networks["generator"], partial(loss, networks["generator"]))


#: Fully connected, for samples of any shape. A large batch: all that the loss knows of the data is in it.
GMMN = Recipe(
    "gmmn",
    {"generator": lambda spec: MLPGenerator(spec.latent_dim, spec.shape, width=256)},
    optimizer=adam(2e-3, (0.9, 0.999)),
    steps=6_500,
    latent_dim=32,
    batch_size=256,
    players=players,
)
