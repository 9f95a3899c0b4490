"""A generative moment matching network: a generator without a critic, whose loss is a kernel's distance of two batches.

Li, Swersky and Zemel 2015; Dziugaite, Roy and Ghahramani 2015.
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from .game import Batch, Player, adam
from .kernels import gaussian, median_distance, mmd2
from .networks import MLPGenerator
from .training import Networks, Recipe

BANDWIDTHS = 0.15, 0.3, 0.6  # in parts of the median distance of real samples


def loss(generator: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """The maximum mean discrepancy of generated and real samples, the root of its biased estimate."""
    scale = median_distance(batch.real, most=100)
    kernel = gaussian(*(part * scale for part in BANDWIDTHS))
    return {"mmd": mmd2(generator(batch.z), batch.real, kernel, unbiased=False).sqrt()}


def players(recipe: Recipe, networks: Networks) -> Sequence[Player]:
    """One player, the generator."""
    net = networks["generator"]
    return [Player("generator", net, partial(loss, net), recipe.optimizer(net.parameters()))]


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
