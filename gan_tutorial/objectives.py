r"""Adversarial objectives: what each player minimises, as pure functions of critic scores.

A score is the critic's raw output $f(x)$, a "logit" where a probability is meant: $D(x) = \sigma(f(x))$. Scores have
shape (batch,); every function returns a scalar to *minimise*. Nothing here knows a network, an optimiser or a device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

Critic = Callable[[Tensor], Tensor]


def of_scores(function):
    """Let `function` take scores only: floating point, of shape (batch,), at least one."""

    @wraps(function)
    def checked(*scores):
        for s in scores:
            # (batch, 1) against (batch,) would broadcast to (batch, batch) without a word.
            if s.ndim != 1 or len(s) == 0 or not s.is_floating_point():
                raise ValueError(f"Scores must be floating point of shape (batch,), not {s.dtype} of shape "
                                 f"{tuple(s.shape)}; a critic ends with .squeeze(1) or .flatten().")
        return function(*scores)

    return checked


@dataclass(frozen=True)
class Objective:
    """What each player minimises.

    critic     (scores of real, scores of fake samples), each (batch,) -> scalar
    generator  scores of fake samples (batch,) -> scalar
    penalty    (critic, real, fake, eps) -> scalar that is added to the critic's loss; eps is (batch,) in [0, 1)
    updates    critic updates for each generator update
    constraint on the critic's weights, applied in place after each of its updates: weights -> None

    The two functions raise ValueError for anything but floating-point scores of shape (batch,).
    """

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    penalty: Callable[[Critic, Tensor, Tensor, Tensor], Tensor] | None = None
    updates: int = 1
    constraint: Callable[[Sequence[Tensor]], None] | None = None

    def __post_init__(self):
        if self.updates < 1:
            raise ValueError(f"A critic needs at least one update a turn, not {self.updates}.")
        object.__setattr__(self, "critic", of_scores(self.critic))
        object.__setattr__(self, "generator", of_scores(self.generator))


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    r"""$-\mathbb E[\ln D(x)] - \mathbb E[\ln(1 - D(\tilde x))]$, the negative of the value $V(D, G)$.

    From logits: $-\ln\sigma(a) = \mathrm{softplus}(-a)$ and $-\ln(1 - \sigma(a)) = \mathrm{softplus}(a)$ stay exact
    where the logarithm of a rounded probability is infinite. Goodfellow et al. 2014, eq. 1.
    """
    return softplus(-real).mean() + softplus(fake).mean()


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    r"""$\mathbb E[f(\tilde x)] - \mathbb E[f(x)]$. Arjovsky et al. 2017, eq. 2, with its sign turned."""
    return fake.mean() - real.mean()


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, eps: Tensor, weight: float = 10.0) -> Tensor:
    r"""$\lambda\,\mathbb E[(\|\nabla f(\hat x)\|_2 - 1)^2]$ at $\hat x = \epsilon x + (1 - \epsilon)\tilde x$.

    real, fake  (batch, *shape); eps (batch,), uniform on [0, 1): each sample has its own point and its own norm.
    Gulrajani et al. 2017, eq. 3.
    """
    eps = _one_a_sample(real, fake, eps)
    return weight * (_slopes(critic, eps * real + (1 - eps) * fake) - 1).square().mean()


def r1(critic: Critic, real: Tensor, fake: Tensor, eps: Tensor, weight: float = 1.0) -> Tensor:
    r"""$\frac{\gamma}{2}\,\mathbb E[\|\nabla f(x)\|_2^2]$ on real samples; fake and eps are not used.

    Mescheder et al. 2018, section 4.1.
    """
    return weight / 2 * _gradients(critic, real).square().sum(1).mean()


def clipping(bound: float = 0.01) -> Callable[[Sequence[Tensor]], None]:
    r"""A constraint: every weight goes back into $[-c, c]$, $c$ being the bound.

    Then the critic is $K$-Lipschitz for some $K$, which depends on the architecture and on $c$ alone, and which nobody
    knows. Arjovsky et al. 2017, algorithm 1. ValueError for a bound that is not positive.
    """
    if not bound > 0:
        raise ValueError(f"Weights are clipped to [-c, c] with a positive c, not {bound}.")

    def clip(weights: Sequence[Tensor]) -> None:
        for weight in weights:
            weight.clamp_(-bound, bound)

    return clip


def _one_a_sample(real: Tensor, fake: Tensor, eps: Tensor) -> Tensor:
    """eps as (batch, 1, …, 1), so that it multiplies whole samples."""
    if real.shape != fake.shape or eps.shape != real.shape[:1]:
        raise ValueError("A penalty between samples needs real and fake of one shape (batch, …) and eps of shape "
                         f"(batch,), not {tuple(real.shape)}, {tuple(fake.shape)} and {tuple(eps.shape)}.")
    return eps.view(-1, *[1] * (real.ndim - 1))


def _gradients(critic: Critic, points: Tensor) -> Tensor:
    """Each sample's gradient of its own score, (batch, dimensions)."""
    # The sum, not the mean, whose gradients would be smaller by the batch size.
    return torch.func.grad(lambda x: critic(x).sum())(points).flatten(1)


def _slopes(critic: Critic, points: Tensor) -> Tensor:
    """Each sample's gradient norm, (batch,). `norm` has a gradient at zero; the root of a sum of squares has not."""
    return _gradients(critic, points).norm(dim=1)


#: The zero-sum game: the generator minimises $\mathbb E[\ln(1 - D(\tilde x))]$. Goodfellow et al. 2014, eq. 1.
minimax = Objective(cross_entropy, lambda fake: -softplus(fake).mean())

#: The generator minimises $-\mathbb E[\ln D(\tilde x)]$ instead. Goodfellow et al. 2014, section 3.
nonsaturating = Objective(cross_entropy, lambda fake: softplus(-fake).mean())

#: Targets 1 for real and 0 for fake scores. Mao et al. 2017, with their 0-1 coding.
least_squares = Objective(lambda real, fake: ((real - 1).square().mean() + fake.square().mean()) / 2,
                          lambda fake: (fake - 1).square().mean() / 2)

#: Margins at 1 and -1. Lim & Ye 2017; Miyato et al. 2018.
hinge = Objective(lambda real, fake: relu(1 - real).mean() + relu(1 + fake).mean(), lambda fake: -fake.mean())

#: The difference of mean scores; the critic must be kept Lipschitz by other means. Arjovsky et al. 2017.
wasserstein = Objective(wasserstein_critic, lambda fake: -fake.mean(), updates=5)

#: The same, kept Lipschitz by clipping the critic's weights. Arjovsky et al. 2017, algorithm 1.
wgan = Objective(wasserstein_critic, lambda fake: -fake.mean(), updates=5, constraint=clipping(0.01))

#: The same, kept Lipschitz by the gradient penalty. Gulrajani et al. 2017, algorithm 1.
wgan_gp = Objective(wasserstein_critic, lambda fake: -fake.mean(), gradient_penalty, updates=5)
