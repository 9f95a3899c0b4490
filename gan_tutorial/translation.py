r"""Translating images: from pairs (pix2pix, Isola et al. 2017), and without pairs (CycleGAN, Zhu et al. 2017).

Pairs are images of double width, side by side, as in pix2pix's own files: on the left what is given, on the right what
is to be made from it. Without pairs there are two sets of images in one data set: those of label 0, *a*, and those of
label 1, *b*, such as two folders within a folder.

A translator here is a function of its image alone: `z` is not used. Where several answers are right, it gives one.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from .data import Data
from .game import Batch, Feed, Player, adam, sample
from .networks import ConvCritic
from .objectives import nonsaturating
from .runtime import check_seed
from .training import Networks, Recipe, Spec, adversarial_players, refuse_unused

CLOSE = 10.0  # the weight of the absolute error next to the game; also of the cycle term


class Translator(nn.Module):
    """Images (n, channels, height, width) in [-1, 1] -> images of the same shape.

    Blocks of 2 × 2 pixels become channels at half the size. Then the maps are halved once more, and enlarged again.
    Skip connections at each size keep strokes where they are (a small U-Net, Ronneberger et al. 2015). Without `across`
    and with a `code`, all that gets through is a vector of this many numbers: such a network is free to move strokes,
    and has to remember what it sees.

    width   channels at half the size, twice as many at a quarter
    across  whether there are skip connections
    code    how many numbers the bottleneck has; 0 for a convolution in its place, which sees no distant parts

    Raises ValueError for sides that are not multiples of 4, and for images with another number of channels or, with a
    `code`, of another size.
    """

    def __init__(self, channels: int, size: tuple[int, int], width: int = 16, across: bool = True, code: int = 0):
        super().__init__()
        if size[0] % 4 or size[1] % 4:
            raise ValueError(f"This network halves an image twice, and {tuple(size)} pixels are not multiples of 4.")
        wide, small, blocks = 2 * width, (size[0] // 4, size[1] // 4), 4 * channels
        area = small[0] * small[1]
        self.across, self.channels, self.size = across, channels, tuple(size) if code else None
        self.blocks = nn.PixelUnshuffle(2)
        self.fine = nn.Sequential(nn.Conv2d(blocks, width, 3, 1, 1), nn.LeakyReLU(0.2))
        self.down = nn.Sequential(nn.Conv2d(width, wide, 4, 2, 1), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2))
        middle: list[nn.Module] = [nn.Conv2d(wide, wide, 3, 1, 1)]
        if code:
            middle = [nn.Flatten(), nn.Linear(wide * area, code), nn.Linear(code, wide * area)]
            middle.append(nn.Unflatten(1, (wide, *small)))
        self.middle = nn.Sequential(*middle, nn.BatchNorm2d(wide), nn.ReLU())
        inner, outer = (2 * wide, 2 * width + blocks) if across else (wide, width)
        self.up = nn.Sequential(nn.ConvTranspose2d(inner, width, 4, 2, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(outer, blocks, 3, 1, 1), nn.PixelShuffle(2), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        _check_images(x, self.channels, self.size)
        x = self.blocks(x)
        fine = self.fine(x)
        quarter = self.down(fine)
        y = self.middle(quarter)
        y = self.up(torch.cat([y, quarter], dim=1) if self.across else y)
        return self.last(torch.cat([y, fine, x], dim=1) if self.across else y)


def _check_images(x: Tensor, channels: int, size: tuple[int, ...] | None) -> None:
    """Raise ValueError unless these are floating-point images for a `Translator`; any size will do if it is None."""
    fits = x.ndim == 4 and x.shape[1] == channels and x.shape[2] % 4 == x.shape[3] % 4 == 0
    if not fits or not x.is_floating_point() or (size is not None and tuple(x.shape[2:]) != size):
        sides = "height, width), of sides that are multiples of 4" if size is None else f"{size[0]}, {size[1]})"
        raise ValueError(
            f"Expected floating-point images (n, {channels}, {sides} to translate, got {x.dtype} of shape "
            f"{tuple(x.shape)}."
        )


# ------------------------------------------------------------------------------------------------------- with pairs


def outline(images: Tensor) -> Tensor:
    """Outlines of images in [-1, 1], of the same shape: 1 just outside the ink (pixels above 0), -1 elsewhere."""
    ink = (images > 0).to(images.dtype)
    return 2 * (max_pool2d(ink, 3, 1, 1) - ink) - 1


def outlined(data: Data) -> Data:
    """Pairs as uint8: the `outline` of each image on the left, the image itself on the right. Labels are dropped."""
    images = data.take(slice(None))
    sides = side_by_side(outline(images), images)
    return Data(f"{data.name} with outlines", ((sides + 1) * 127.5).round().to(torch.uint8))


def side_by_side(given: Tensor, wanted: Tensor) -> Tensor:
    """Pairs as images of double width. Raises ValueError for images of different shapes."""
    if given.shape != wanted.shape:
        raise ValueError(f"Both images of a pair need one shape, got {tuple(given.shape)} and {tuple(wanted.shape)}.")
    return torch.cat([given, wanted], dim=3)


def _half(spec: Spec) -> tuple[int, int]:
    height, width = spec.size
    if width % 2:
        raise ValueError(f"Pairs stand side by side, in images of an even width, got {width} pixels.")
    return height, width // 2


class PairTranslator(nn.Module):
    """A `Translator` as a generator: it reads its condition, and ignores z."""

    def __init__(self, spec: Spec, **options):
        super().__init__()
        self.net = Translator(spec.channels, _half(spec), **options)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is None:
            raise ValueError("Translating needs the images to translate, as condition.")
        return self.net(condition)


class PairCritic(nn.Module):
    """The score of a pair: it sees the given image as further channels of the other one."""

    def __init__(self, spec: Spec, width: int = 16, hidden: int = 128):
        super().__init__()
        self.net = ConvCritic(_half(spec), 2 * spec.channels, width=width, hidden=hidden, spectral=True)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is None:
            raise ValueError("This critic needs the images that were translated, as condition.")
        return self.net(torch.cat([x, condition], dim=1))


def split_pairs(batch: Batch) -> Batch:
    """The pairs of a batch: their left halves become the condition, their right ones the real images."""
    given, wanted = batch.real.chunk(2, dim=3)
    return batch._replace(real=wanted, condition=given)


def half_shape(spec: Spec) -> tuple[int | None, ...]:
    """The shape of an image to translate, half as wide as a pair: so that a whole pair is refused."""
    return spec.channels, *_half(spec)


def any_size(spec: Spec) -> tuple[int | None, ...]:
    """The shape of an image to translate, any size: what was learned on small images may be applied to larger ones."""
    return spec.channels, None, None


def pairs(recipe: Recipe, data: Data, seed: int) -> Feed:
    """Batches of pairs. Raises ValueError for `flip`, which would exchange the two halves of a pair."""
    if recipe.flip:
        raise ValueError("A pair is one image of double width, and flip would exchange its halves: leave flip out.")
    return Feed(data, recipe.latent_dim, recipe.batch_size, seed, prepare=split_pairs)


def pix2pix_players(recipe: Recipe, networks: Networks, weight: float = CLOSE) -> Sequence[Player]:
    """A critic of pairs, and a translator, whose loss adds `weight` times the mean absolute error to the game."""
    refuse_unused(recipe, "labelled", "augment")  # augmenting would move one image of a pair, and not the other
    return adversarial_players(
        recipe, networks, lambda batch, fake: {"close": weight * (fake - batch.real).abs().mean()}
    )


def translate(networks: Networks, z: Tensor, condition: Tensor | None) -> Tensor:
    """The translations of the images given as condition."""
    return sample(networks["generator"], z, condition)


#: `model.sample(n, images)` translates n images.
PIX2PIX = Recipe(
    "pix2pix",
    {"generator": PairTranslator, "critic": PairCritic},
    nonsaturating,
    adam(4e-3, (0.0, 0.99)),
    steps=2_000,
    latent_dim=1,
    share_batch=True,
    players=pix2pix_players,
    batches=pairs,
    sampler=translate,
    condition_shape=half_shape,
)


# ---------------------------------------------------------------------------------------------------- without pairs


class Two(NamedTuple):
    """A batch of each set, drawn independently."""

    a: Batch
    b: Batch


class TwoSets:
    """Batches of both sets: images of label 0, and images of label 1.

    Raises ValueError for other labels, or none, and for seeds of 2⁶³ or more, as each set has a seed of its own.
    """

    def __init__(self, recipe: Recipe, data: Data, seed: int):
        if data.label is None or sorted(data.label.unique().tolist()) != [0, 1]:
            raise ValueError("CycleGAN needs two sets of images: a data set with the labels 0 and 1, and no others.")
        if check_seed(seed) >= 2**63:
            raise ValueError(f"CycleGAN makes two seeds of one: expected one from 0 to 2**63 - 1, got {seed}.")
        sets = [data[data.label == k] for k in (0, 1)]
        self.feeds = [Feed(sets[k], 1, recipe.batch_size, 2 * int(seed) + k, flip=recipe.flip) for k in (0, 1)]

    def __iter__(self):
        return self

    def __next__(self) -> Two:
        return Two(*map(next, self.feeds))

    @property
    def batches_drawn(self) -> int:
        return self.feeds[0].batches_drawn

    @batches_drawn.setter
    def batches_drawn(self, n: int) -> None:
        for feed in self.feeds:
            feed.batches_drawn = n


def translator(spec: Spec, **options) -> Translator:
    """One direction: a translator from images of the data's shape to images of the same shape."""
    return Translator(spec.channels, spec.size, **options)


def set_critic(spec: Spec, width: int = 16, hidden: int = 128) -> ConvCritic:
    """The critic of one set."""
    return ConvCritic(spec.size, spec.channels, width=width, hidden=hidden, spectral=True)


def cycle_players(recipe: Recipe, networks: Networks, cycle: float = CLOSE, identity: float = 0.0) -> Sequence[Player]:
    """Two critics, then both translators together, on one batch.

    cycle     weight of the mean absolute errors after a round trip, in both directions; 0 for none
    identity  weight of those for images that are already in the target set, and should stay as they are; 0 for none

    Zhu et al. 2017, eq. 3, with the recipe's objective; the identity term is that of their section 5.2. Raises
    ValueError for an objective with a penalty, a constraint, several critic updates or relativistic scores, and for
    labels, augmentations and `share_batch`: this game has no use for them, and all three share each batch as it is.
    """
    refuse_unused(recipe, "labelled", "augment", "share_batch")
    ab, ba = networks["a to b"], networks["b to a"]
    both, objective = nn.ModuleDict({"a to b": ab, "b to a": ba}), recipe.objective
    if objective.penalties or objective.constraint or objective.relativistic or objective.n_critic > 1:
        raise ValueError(
            f"{recipe.name} plays an objective's two losses alone, without penalty, constraint, relativistic scores or "
            "more than one critic update: take one such as nonsaturating or least_squares."
        )

    def mean_error(x: Tensor, y: Tensor) -> Tensor:
        return (x - y).abs().mean()

    def critic_loss(critic: nn.Module, real: Callable, fake: Callable, batch: Any) -> dict[str, Tensor]:
        return {"game": objective.critic(critic(real(batch)), critic(fake(batch)))}

    def loss(batch: Any) -> dict[str, Tensor]:
        a, b = batch.a.real, batch.b.real
        to_b, to_a = ab(a), ba(b)
        game = objective.generator(networks["critic b"](to_b)) + objective.generator(networks["critic a"](to_a))
        terms = {"game": game}
        if cycle:
            terms["cycle"] = cycle * (mean_error(ba(to_b), a) + mean_error(ab(to_a), b))
        if identity:
            terms["identity"] = identity * (mean_error(ab(b), b) + mean_error(ba(a), a))
        return terms

    def critic(name: str, real: Callable, fake: Callable, share: bool) -> Player:
        net = networks[name]
        learn = (recipe.critic_optimizer or recipe.optimizer)(net.parameters())
        return Player(
            name,
            net,
            partial(critic_loss, net, real, fake),
            learn,
            lr_schedule=recipe.lr_schedule,
            term_weights=recipe.term_weights,
            share_batch=share,
        )

    learn = recipe.optimizer(both.parameters())
    return [
        critic("critic b", lambda t: t.b.real, lambda t: ab(t.a.real), share=False),
        critic("critic a", lambda t: t.a.real, lambda t: ba(t.b.real), share=True),
        Player("translators", both, loss, learn, lr_schedule=recipe.lr_schedule, share_batch=True),
    ]


def a_to_b(networks: Networks, z: Tensor, condition: Tensor | None) -> Tensor:
    """The translations into set b of the images of set a that are given as condition."""
    if condition is None:
        raise ValueError("Translating needs the images to translate, as condition.")
    return sample(networks["a to b"], condition)


def forward_both(networks: Networks, batch: Any) -> None:
    """Both directions on the real images of a `Two`."""
    networks["a to b"](batch.a.real)
    networks["b to a"](batch.b.real)


#: `model.sample(n, images)` translates images of set a; the way back is `gt.sample(model.networks["b to a"], images)`.
CYCLEGAN = Recipe(
    "cyclegan",
    {"a to b": translator, "b to a": translator, "critic a": set_critic, "critic b": set_critic},
    nonsaturating,
    adam(4e-3, (0.0, 0.99)),
    steps=1_000,
    latent_dim=1,
    players=cycle_players,
    batches=TwoSets,  # pyright: ignore[reportArgumentType]  # a `Two`, not a `Batch`: the players know
    averaged=("a to b", "b to a"),
    sampler=a_to_b,
    forward=forward_both,
    condition_shape=any_size,
)
