"""The recipes of the book: trainings with a name, fully specified. Values, not scripts.

    model = gt.recipes.DCGAN.train(gt.data.digits(run), seconds=60)
    images = model.sample(100)

A training of your own is a `Recipe` of `gan_tutorial.training` too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn
from torch.nn.functional import avg_pool2d

from .game import Batch, Player, adam, adversaries
from .gmmn import GMMN
from .inpainting import INPAINTING
from .networks import (
    Cascade,
    CoarseImage,
    ConvCritic,
    ConvGenerator,
    Embedding,
    LaplacianLevel,
    MLPCritic,
    MLPGenerator,
    Projection,
)
from .objectives import gradient_penalty, nonsaturating, r1, weight_clipping, wgan, wgan_gp
from .training import Recipe, Spec, refuse_unused, scale_lr
from .translation import CYCLEGAN, PIX2PIX
from .vae import VAE

#: Fully connected networks, for samples of any shape: the first GAN of the book. R1 keeps a long training from getting
#: worse again.
MLP = Recipe(
    "mlp",
    {
        "generator": lambda spec: MLPGenerator(spec.latent_dim, spec.shape, width=256),
        "critic": lambda spec: MLPCritic(spec.shape, width=256),
    },
    replace(nonsaturating, penalty=partial(r1, weight=0.5)),
    adam(1e-3),
    steps=8_000,
)

#: The convolutional GAN. A Lipschitz critic tolerates a high learning rate. Its hidden layer holds most of its weights
#: and sees the image as a whole; in short trainings it is not this view that helps (chapter 5).
DCGAN = Recipe(
    "dcgan",
    {
        "generator": lambda spec: ConvGenerator(spec.latent_dim, spec.size, spec.channels, width=16),
        "critic": lambda spec: ConvCritic(spec.size, spec.channels, width=16, hidden=128, spectral=True),
    },
    nonsaturating,
    adam(8e-3, (0.0, 0.99)),
    steps=4_000,
    share_batch=True,
)

#: The same, told the class: beside z in the generator, by projection in the critic.
CONDITIONAL = replace(
    DCGAN,
    name="conditional",
    networks={
        "generator": lambda spec: ConvGenerator(
            spec.latent_dim, spec.size, spec.channels, width=16, condition=Embedding(spec.classes)
        ),
        "critic": lambda spec: ConvCritic(
            spec.size, spec.channels, width=16, hidden=128, spectral=True, condition=Projection(spec.classes)
        ),
    },
    labelled=True,
)

#: The convolutional networks under the gradient penalty, without spectral normalisation.
WGAN_GP = Recipe(
    "wgan-gp",
    {
        "generator": lambda spec: ConvGenerator(spec.latent_dim, spec.size, spec.channels, width=16),
        "critic": lambda spec: ConvCritic(spec.size, spec.channels, width=16, hidden=128),
    },
    replace(wgan_gp, penalty=partial(gradient_penalty, weight=1.0), n_critic=1),
    adam(6e-3, (0.0, 0.9)),
    steps=2_800,
    share_batch=True,
)

#: The same networks, the critic's weights clipped.
WGAN = replace(
    WGAN_GP,
    name="wgan",
    objective=replace(wgan, constraint=weight_clipping(0.03), n_critic=2),
    optimizer=adam(4e-3, (0.0, 0.9)),
    steps=3_000,
    share_batch=False,
)


def pyramid(spec: Spec) -> list[tuple[int, int]]:
    """The sizes of a stack's images, coarsest first: halved as long as that leaves whole pixels, seven or more.

    ValueError for images that cannot be halved once.
    """
    sizes = [spec.size]
    while all(side % 2 == 0 and side >= 14 for side in sizes[0]):
        sizes.insert(0, (sizes[0][0] // 2, sizes[0][1] // 2))
    if len(sizes) == 1:
        raise ValueError(f"A stack halves its images, and {sizes[0]} pixels cannot be halved: take another size.")
    return sizes


def pyramid_generator(spec: Spec) -> Cascade:
    """A small fully connected level, with half of z, and convolutional ones that share the other half.

    Raises ValueError for a latent_dim too small to share, and as `pyramid` does.
    """
    coarsest, *finer = pyramid(spec)
    share = spec.latent_dim // 2 // len(finer)
    if share < 1:
        raise ValueError(f"A stack of {len(finer) + 1} levels needs a latent_dim of {2 * len(finer)} or more.")
    first = MLPGenerator(spec.latent_dim - share * len(finer), (spec.channels, *coarsest), width=256)
    return Cascade(first, *(LaplacianLevel(share, size, spec.channels, width=16) for size in finer))


def pyramid_critics(spec: Spec) -> nn.ModuleList:
    """One critic for each level; those of the finer levels see the coarse image too."""
    (coarsest, *finer), channels = pyramid(spec), spec.channels
    return nn.ModuleList(
        [
            MLPCritic((channels, *coarsest), width=256),
            *(
                ConvCritic(size, channels, width=16, depth=k, hidden=64, spectral=True, condition=CoarseImage(channels))
                for k, size in enumerate(finer, 1)
            ),
        ]
    )


def pyramid_players(recipe: Recipe, networks: Mapping[str, Any]) -> Sequence[Player]:
    """Critic and generator of each level, `critic 0` and `generator 0` the coarsest.

    Each level plays on real images of its size; except for the coarsest, its condition is the real image at half that
    size. The levels meet only in sampling, when each one's image becomes the next one's condition. The coarsest one has
    R1 and a quarter of the learning rates. Denton et al. 2015. Raises ValueError for labels and augmentations, which it
    has no use for.
    """
    refuse_unused(recipe, "labelled", "augment")
    generator, players = networks["generator"], []
    for k, (level, critic) in enumerate(zip(generator.levels, networks["critic"], strict=True)):
        objective, optimizer, critic_optimizer = recipe.objective, recipe.optimizer, recipe.critic_optimizer
        if k == 0:
            objective = replace(objective, penalty=partial(r1, weight=0.1))
            optimizer = scale_lr(optimizer, 0.25)
            critic_optimizer = critic_optimizer and scale_lr(critic_optimizer, 0.25)
        players += adversaries(
            level,
            critic,
            objective,
            optimizer,
            critic_optimizer=critic_optimizer,
            lr_schedule=recipe.lr_schedule,
            term_weights=recipe.term_weights,
            prepare=partial(at_level, k, generator),
            share_batch=recipe.share_batch,
            names=(f"critic {k}", f"generator {k}"),
        )
    return players


def at_level(k: int, generator: Cascade, batch: Batch) -> Batch:
    """What level k of a stack sees of a batch of whole images and of z for all levels."""
    image = batch.real
    for _ in generator.levels[k + 1 :]:
        image = avg_pool2d(image, 2)
    coarse = avg_pool2d(image, 2) if k else None
    return batch._replace(real=image, condition=coarse, z=generator.parts(batch.z)[k])


#: A Laplacian pyramid, from 7 pixels to 14 to 28, or from whatever the images can be halved to; it has nothing to do
#: with the data set `gt.data.stacked`. At a constant learning rate the coarsest level gets worse again in a long
#: training.
STACKED = Recipe(
    "stacked",
    {"generator": pyramid_generator, "critic": pyramid_critics},
    nonsaturating,
    adam(4e-3, (0.0, 0.99)),
    steps=1_500,
    lr_schedule=lambda step: 1 / (1 + step / 4_000),
    players=pyramid_players,
)

#: Those that make samples from noise, or from noise and a label, by name.
RECIPES = {recipe.name: recipe for recipe in (MLP, CONDITIONAL, STACKED, DCGAN, WGAN, WGAN_GP, VAE, GMMN)}

#: All that have a name, including those that make images from images, by `model.sample(n, images)`.
NAMED = {**RECIPES, **{recipe.name: recipe for recipe in (INPAINTING, PIX2PIX, CYCLEGAN)}}


def get_recipe(name: str) -> Recipe:
    """The recipe of this name. ValueError, with those that there are, for any other."""
    if name not in NAMED:
        raise ValueError(f"Unknown recipe {name!r}; expected one of {', '.join(NAMED)}.")
    return NAMED[name]
