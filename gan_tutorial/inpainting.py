r"""Filling a hole in an image by a conditional GAN: known pixels are the condition, and z decides the rest.

$\hat x = m \odot x + (1 - m) \odot G(z, m \odot x, m)$ for an image x and a mask m, 1 where a pixel is known. Known
pixels are kept, so all that the critic can find fault with is the filling, and whether it fits what is around it.

In the game alone, the generator may ignore z and give one answer to each hole. So a second term asks for as much
variety as there is: the energy score. Like the game, it is best for the right distribution.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from .data import Data
from .game import Batch, Feed, Player, adam, sample
from .networks import ConvCritic
from .objectives import nonsaturating
from .training import Networks, Recipe, Spec, adversarial_players, refuse_unused

SIDE = 4 / 7  # of a hole, as a fraction of an image's side: 16 pixels of 28
WEIGHT = 0.3  # of the energy score next to the game


def holes(u: Tensor, size: tuple[int, int], side: float = SIDE) -> Tensor:
    """Masks (n, 1, height, width): 0 in a rectangle, 1 elsewhere.

    u     (n, 2), uniform on [0, 1): where each rectangle lies, from top to bottom and from left to right. All places
          within the image are equally likely.
    side  of the rectangle, as a fraction of the image's sides, above 0 and below 1

    Raises ValueError for another shape of u, or for a side out of range.
    """
    if u.ndim != 2 or u.shape[1] != 2:
        raise ValueError(f"Expected two numbers for each hole, of shape (n, 2), got shape {tuple(u.shape)}.")
    if not 0 < side < 1:
        raise ValueError(f"Expected a hole's side in parts of the image's, between 0 and 1, got {side}.")
    inside = []
    for along, length in zip(u.T, size, strict=True):
        wide = max(1, round(side * length))
        start = (along * (length - wide + 1)).floor()[:, None]
        place = torch.arange(length, device=u.device)
        inside.append((place >= start) & (place < start + wide))
    rows, columns = inside
    return 1 - (rows[:, None, :, None] & columns[:, None, None, :]).to(u.dtype)


def condition(images: Tensor, mask: Tensor) -> Tensor:
    """The condition of a filling, (n, channels + 1, height, width): known pixels, 0 in the hole, and the mask."""
    return torch.cat([images * mask, mask], dim=1)


def condition_shape(spec: Spec) -> tuple[int, ...]:
    """The shape of the condition of one filling: known pixels, and the mask as one more channel."""
    return spec.channels + 1, *spec.size


def punch(batch: Batch, side: float = SIDE) -> Batch:
    """The batch with its images as condition, with holes where its own `u` says. Draws no random numbers."""
    assert batch.u is not None  # `batches` asks for it
    height, width = batch.real.shape[2:]
    return batch._replace(condition=condition(batch.real, holes(batch.u, (height, width), side)))


class Filler(nn.Module):
    """A hole's surroundings and z become a whole image, in which the known pixels are the given ones.

    A small U-Net (Ronneberger et al. 2015): down to a quarter of the size and to one vector, to which z is appended,
    and up again, with skip connections at each size. `forward(z, condition)` maps (n, latent_dim) and (n, channels + 1,
    height, width) to (n, channels, height, width). Known pixels must be 0 in the hole, as `condition` makes them.
    Raises ValueError for sides that are not multiples of 4, and if a condition is missing or of another shape or type.
    """

    def __init__(self, spec: Spec, width: int = 16, hidden: int = 64):
        super().__init__()
        height, across = spec.size
        if height % 4 or across % 4:
            raise ValueError(f"This network halves an image twice, and {spec.size} pixels are not multiples of 4.")
        self.channels, self.asked = spec.channels, condition_shape(spec)
        small, wide = (height // 4, across // 4), 2 * width
        area = small[0] * small[1]
        self.down1 = nn.Sequential(nn.Conv2d(spec.channels + 1, width, 4, 2, 1), nn.LeakyReLU(0.2))
        self.down2 = nn.Sequential(nn.Conv2d(width, wide, 4, 2, 1), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2))
        self.whole = nn.Sequential(nn.Flatten(), nn.Linear(wide * area, hidden), nn.LeakyReLU(0.2))
        self.spread = nn.Sequential(
            nn.Linear(hidden + spec.latent_dim, wide * area),
            nn.Unflatten(1, (wide, *small)),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        )
        self.up1 = nn.Sequential(nn.ConvTranspose2d(2 * wide, width, 4, 2, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.up2 = nn.Sequential(nn.ConvTranspose2d(2 * width, spec.channels, 4, 2, 1), nn.Tanh())

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is None:
            raise ValueError("Filling in needs a condition: inpainting.condition(images, mask).")
        if condition.shape != (len(z), *self.asked) or not condition.is_floating_point():
            raise ValueError(
                f"Expected known pixels and the mask as condition, floating point of shape "
                f"({', '.join(map(str, (len(z), *self.asked)))}), one for each z, got {condition.dtype} of shape "
                f"{tuple(condition.shape)}: give inpainting.condition(images, mask)."
            )
        known, mask = condition[:, : self.channels], condition[:, self.channels :]
        half = self.down1(condition)
        quarter = self.down2(half)
        guess = self.spread(torch.cat([self.whole(quarter), z], dim=1))
        guess = self.up1(torch.cat([guess, quarter], dim=1))
        guess = self.up2(torch.cat([guess, half], dim=1))
        return known + (1 - mask) * guess


class HoleCritic(nn.Module):
    """A `ConvCritic` that sees the whole image and, as one more channel, where the hole is."""

    def __init__(self, spec: Spec, width: int = 16, hidden: int = 128):
        super().__init__()
        self.channels = spec.channels
        self.net = ConvCritic(spec.size, spec.channels + 1, width=width, hidden=hidden, spectral=True)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is None:
            raise ValueError("This critic needs a condition: inpainting.condition(images, mask).")
        return self.net(torch.cat([x, condition[:, self.channels :]], dim=1))


def batches(recipe: Recipe, data: Data, seed: int, side: float = SIDE) -> Feed:
    """Images with holes, which lie where the batch's own random numbers say."""
    punched = partial(punch, side=side)
    return Feed(data, recipe.latent_dim, recipe.batch_size, seed, prepare=punched, flip=recipe.flip, uniforms=2)


def energy_score(first: Tensor, second: Tensor, real: Tensor) -> Tensor:
    r"""$\frac12\mathbb E(\|x_1 - x\| + \|x_2 - x\| - \|x_1 - x_2\|)$: how two answers surround the truth.

    first, second, real  (n, …), the two answers independent given what they answer

    Its expectation is least if answers have the distribution of the truth, and only then: a strictly proper score.
    Gneiting and Raftery 2007, section 4.3.
    """

    def distance(a: Tensor, b: Tensor) -> Tensor:
        # A root has an infinite slope at 0, where two images are equal.
        return ((a - b).square().flatten(1).sum(1) + 1e-6).sqrt()

    return (distance(first, real) + distance(second, real) - distance(first, second)).mean() / 2


def players(recipe: Recipe, networks: Networks, weight: float = WEIGHT) -> Sequence[Player]:
    """A critic, and a generator whose loss adds `weight` times the energy score to the game.

    The second answer to a hole is made from the z of the previous sample in the batch. Raises ValueError for labels and
    augmentations, which it has no use for.
    """
    net = networks["generator"]

    def spread(batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        other = net(batch.z.roll(1, 0), batch.condition)
        return {"energy": weight * energy_score(fake, other, batch.real)}

    refuse_unused(recipe, "labelled", "augment")  # augmenting would move an image, and not its condition
    return adversarial_players(recipe, networks, spread)


def fill(networks: Networks, z: Tensor, condition: Tensor | None) -> Tensor:
    """Images with the holes of `condition` filled, one answer for each z. ValueError for a mask outside [0, 1]."""
    if condition is not None and condition.ndim == 4:
        low, high = (bound.item() for bound in condition[:, -1].aminmax())
        if not -0.001 <= low <= high <= 1.001:  # a mask that was resized is rounded
            raise ValueError(
                "Expected a mask of 1 where a pixel is known and 0 in the hole, as the last channel of the condition, "
                f"got values from {low:.4g} to {high:.4g}: give inpainting.condition(images, mask)."
            )
    return sample(networks["generator"], z, condition)


#: `model.sample(n, inpainting.condition(images, mask), seed=k)`: another seed, another answer.
INPAINTING = Recipe(
    "inpainting",
    {"generator": Filler, "critic": HoleCritic},
    nonsaturating,
    adam(8e-3, (0.0, 0.99)),
    steps=2_000,
    latent_dim=16,
    share_batch=True,
    players=players,
    batches=batches,
    sampler=fill,
    condition_shape=condition_shape,
)
