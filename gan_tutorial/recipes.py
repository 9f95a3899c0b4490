"""Named trainings, fully specified: what networks learn, by which objective, from which batches. Values, not scripts.

    made = gt.recipes.DCGAN.train(gt.data.digits(run), seconds=60)
    images = made.sample(100)
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor, nn

from .average import Average
from .data import Data
from .game import Feed, Log, Stop, adam, adversaries, fit, sample
from .networks import ConvCritic, ConvGenerator, Embedding, Projection
from .objectives import Objective, nonsaturating, wgan_gp
from .runtime import derived_seed

SETTLING = 50  # batches of 100 samples that BatchNorm's statistics are measured on, after training


@dataclass(frozen=True)
class Trained:
    """What a training made.

    generator  the running average of the generator, frozen, its BatchNorm statistics measured anew
    seconds    of training; steps: how many
    """

    recipe: "Recipe"
    generator: nn.Module
    log: Log
    steps: int
    seconds: float

    @torch.no_grad()
    def sample(self, n: int, label: Tensor | None = None, seed: int = 0) -> Tensor:
        """n images (n, 1, 28, 28) in [-1, 1], made in pieces that fit into memory.

        label  (n,) int64, where the recipe is labelled. ValueError where it is missing, too many or not expected.
        """
        if label is not None and label.shape != (n,):
            raise ValueError(f"Give one label for each of the {n} images, not labels of shape {tuple(label.shape)}.")
        device = next(self.generator.parameters()).device
        random = torch.Generator(device).manual_seed(derived_seed(seed, "samples"))
        z = torch.randn(n, self.recipe.latent, generator=random, device=device)
        pieces = [(part, None) for part in z.split(1000)] if label is None else zip(
            z.split(1000), label.to(device).split(1000), strict=True)
        return torch.cat([sample(self.generator, *piece) for piece in pieces])


@dataclass(frozen=True)
class Recipe:
    """A GAN on digits of 28 × 28 pixels, with every number that its training needs.

    generator, critic  functions that build the networks
    optimizer          parameters -> optimiser, one for each player
    labelled           whether both networks are told the digit
    half_life          of the generator's running average, in images
    steps              of the generator in about a minute on two CPU cores
    """

    name: str
    generator: Callable[[], nn.Module]
    critic: Callable[[], nn.Module]
    objective: Objective
    optimizer: Callable[[Iterable], torch.optim.Optimizer]
    steps: int
    latent: int = 64
    batch: int = 64
    labelled: bool = False
    half_life: float = 5_000

    def train(self, data: Data, steps: int | None = None, seconds: float | None = None, seed: int = 0,
              hooks: Sequence[Callable[[int, Log], None]] = ()) -> Trained:
        """Train on `data`, on its device: for `steps`, else for `seconds`, else for the recipe's own steps.

        The same seed and steps give the same weights on one CPU. Ctrl-C ends the training and keeps what was learned.
        ValueError if both steps and seconds are given, or the recipe needs labels that the data do not have.
        """
        if steps is not None and seconds is not None:
            raise ValueError("Train for a number of steps or of seconds, not for both.")
        feed = Feed(data, self.latent, self.batch, seed, self.labelled)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(seed, self.name, "weights"))
            generator, critic = self.generator().to(data.values.device), self.critic().to(data.values.device)
        players = adversaries(generator, critic, self.objective, self.optimizer)
        average = Average(generator, self.half_life, self.batch)
        start = time.perf_counter()

        def clock(step: int, log: Log) -> None:
            if seconds is not None and time.perf_counter() - start >= seconds:
                raise Stop

        log = fit(players, feed, 10**9 if seconds is not None else self.steps if steps is None else steps,
                  [average, *hooks, clock])
        spent = time.perf_counter() - start
        settling = Feed(data, self.latent, 100, derived_seed(seed, "settling"), self.labelled)
        settled = average.settle((batch.z, batch.label) for batch in islice(settling, SETTLING))
        return Trained(self, settled, log, log.steps, spent)


#: The convolutional GAN. A critic of bounded slope bears a learning rate that is high for a GAN. Without its hidden
#: layer it judges distant parts of an image apart, and the generator comes to rest at shapes between two digits.
DCGAN = Recipe("dcgan", lambda: ConvGenerator(64, width=16), lambda: ConvCritic(width=16, hidden=128, spectral=True),
               nonsaturating, adam(4e-3, (0.0, 0.99)), steps=3_500)

#: The same networks under the gradient penalty, without spectral normalisation.
WGAN_GP = Recipe("wgan-gp", lambda: ConvGenerator(64, width=16), lambda: ConvCritic(width=16, hidden=128),
                 replace(wgan_gp, updates=2), adam(4e-3, (0.0, 0.9)), steps=1_800)

#: The first again, told the digit: beside z in the generator, by projection in the critic.
CONDITIONAL = Recipe("conditional", lambda: ConvGenerator(64, width=16, label=Embedding(10)),
                     lambda: ConvCritic(width=16, hidden=128, spectral=True, label=Projection(10)),
                     nonsaturating, adam(4e-3, (0.0, 0.99)), steps=3_500, labelled=True)
