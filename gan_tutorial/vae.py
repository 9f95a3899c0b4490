r"""A variational autoencoder: the decoder is a generator, and an encoder takes the critic's place.

It maximises the ELBO, a lower bound on the log-likelihood when noise of width $\sigma$ is on each pixel:
$\mathbb E_{z \sim q(z|x)} \ln p(x|z) - \mathrm{KL}(q(z|x) \,\|\, \mathcal N(0, I))$. Kingma and Welling 2014.
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from .game import Batch, Player, adam, sample
from .networks import ConvCritic, ConvGenerator
from .training import Networks, Recipe, Spec, lone_player

SIGMA = 0.7  # of the noise on pixels of [-1, 1]: a smaller one is sharper, and leaves more holes between codes


class Encoder(nn.Module):
    """Images (n, channels, h, w) -> mean and logarithm of the variance of their codes, (n, latent_dim) each."""

    def __init__(self, spec: Spec, width: int = 16, hidden: int = 128):
        super().__init__()
        self.look = ConvCritic(spec.size, spec.channels, width=width, hidden=hidden).layers
        self.tell = nn.Linear(hidden, 2 * spec.latent_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.tell(self.look(images)).chunk(2, dim=1)
        return mean, log_variance


def code(networks: Networks, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    r"""A code for each image, $z = m + s \epsilon$ with $\epsilon$ the batch's z; then m and $\ln s^2$."""
    mean, log_variance = networks["encoder"](batch.real)
    return mean + (log_variance / 2).exp() * batch.z, mean, log_variance


def loss(networks: Networks, batch: Batch, sigma: float = SIGMA) -> dict[str, Tensor]:
    r"""The negative ELBO, without the constant of sigma, in nats an image, as its two terms.

    reconstruction  $\|x - \hat x\|^2 / 2\sigma^2$
    kl              $\frac 12 \sum_i (m_i^2 + s_i^2 - 1 - \ln s_i^2)$
    """
    z, mean, log_variance = code(networks, batch)
    off = (networks["decoder"](z) - batch.real).square().flatten(1).sum(1)
    kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
    return {"reconstruction": (off / (2 * sigma**2)).mean(), "kl": kl.mean()}


def players(recipe: Recipe, networks: Networks) -> Sequence[Player]:
    """One player: encoder and decoder minimise the same loss. ValueError as `lone_player` raises it."""
    return lone_player(recipe, "vae", nn.ModuleDict(networks), partial(loss, networks))


def forward(networks: Networks, batch: Batch) -> None:
    """Encode and decode, as in training."""
    networks["decoder"](code(networks, batch)[0])


def decode(networks: Networks, z: Tensor, condition: Tensor | None) -> Tensor:
    """Images from z, without the noise on pixels."""
    return sample(networks["decoder"], z, condition)


#: The generator of `dcgan` as a decoder. Samples are decoded from the prior; codes of images from
#: `model.networks["encoder"]`.
VAE = Recipe(
    "vae",
    {
        "encoder": Encoder,
        "decoder": lambda spec: ConvGenerator(spec.latent_dim, spec.size, spec.channels, width=16),
    },
    optimizer=adam(3e-3, (0.9, 0.99)),
    steps=7_000,
    latent_dim=16,
    players=players,
    averaged=("encoder", "decoder"),
    sampler=decode,
    forward=forward,
)
