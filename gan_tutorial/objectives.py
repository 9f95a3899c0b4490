r"""Adversarial objectives: what each player minimises, as pure functions of critic scores.

A score is the critic's raw output $f(x)$, a "logit" where a probability is meant: $D(x) = \sigma(f(x))$. Scores have
shape (batch,); every function returns a scalar to *minimise*. Nothing here knows a network, an optimiser or a device.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from numbers import Integral

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

Critic = Callable[[Tensor], Tensor]


def check_scores(function):
    """A decorator: `function` takes only scores, floating point of shape (batch,), at least one; else ValueError."""

    @wraps(function)
    def checked(*scores):
        for s in scores:
            # (batch, 1) against (batch,) would silently broadcast to (batch, batch).
            if not isinstance(s, Tensor):
                raise ValueError(f"Expected scores, a tensor (batch,), from the critic, got a {type(s).__name__}.")
            if s.ndim != 1 or len(s) == 0 or not s.is_floating_point():
                raise ValueError(
                    f"Scores must be floating point of shape (batch,), not {s.dtype} of shape "
                    f"{tuple(s.shape)}; a critic ends with .squeeze(1) or .flatten()."
                )
        return function(*scores)

    # Every `replace` of an Objective passes its functions through here again: they are checked once.
    again = checked.__code__ is getattr(function, "__code__", None)  # pyright: ignore[reportAttributeAccessIssue]
    return function if again else checked


Penalty = Callable[[Critic, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Objective:
    """What each player minimises.

    critic        (scores of real, scores of fake samples), each (batch,) -> scalar
    generator     scores of fake samples (batch,) -> scalar; of a relativistic objective (real, fake) -> scalar
    penalty       (critic, real, fake, eps) -> scalar that is added to the critic's loss; eps is (batch,) in [0, 1).
                  Several have names, {"r1": r1, "r2": r2}, and are logged separately; a single one is "penalty".
    n_critic      critic updates in each step
    constraint    on the critic's weights, applied in place after each of its updates: weights -> None
    relativistic  whether the generator's loss takes the scores of real samples too

    `critic` and `generator` raise ValueError for anything but floating-point scores of shape (batch,). Building one
    raises it for n_critic below 1, and for a penalty of the name "game".
    """

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[..., Tensor]
    penalty: Penalty | Mapping[str, Penalty] | None = None
    n_critic: int = 1
    constraint: Callable[[Sequence[Tensor]], None] | None = None
    relativistic: bool = False

    def __post_init__(self):
        if isinstance(self.n_critic, bool) or not isinstance(self.n_critic, Integral) or self.n_critic < 1:
            raise ValueError(f"Expected a whole number of critic updates from 1 on, got n_critic={self.n_critic!r}.")
        if isinstance(self.penalty, Mapping) and "game" in self.penalty:
            raise ValueError("The adversarial loss itself is called 'game': give a penalty another name.")
        object.__setattr__(self, "critic", check_scores(self.critic))
        object.__setattr__(self, "generator", check_scores(self.generator))

    @property
    def penalties(self) -> dict[str, Penalty]:
        """Its penalties by name; empty if it has none."""
        if self.penalty is None:
            return {}
        return dict(self.penalty) if isinstance(self.penalty, Mapping) else {"penalty": self.penalty}


def logistic_loss(real: Tensor, fake: Tensor) -> Tensor:
    r"""$-\mathbb E[\ln D(x)] - \mathbb E[\ln(1 - D(\tilde x))]$, the negative of the value $V(D, G)$.

    From logits: $-\ln\sigma(a) = \mathrm{softplus}(-a)$ and $-\ln(1 - \sigma(a)) = \mathrm{softplus}(a)$ stay exact
    where the logarithm of a rounded probability is infinite. Goodfellow et al. 2014, eq. 1.
    """
    return softplus(-real).mean() + softplus(fake).mean()


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    r"""$\mathbb E[f(\tilde x)] - \mathbb E[f(x)]$. Arjovsky et al. 2017, eq. 2, with the sign reversed."""
    return fake.mean() - real.mean()


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, eps: Tensor, weight: float = 10.0) -> Tensor:
    r"""$\lambda\,\mathbb E[(\|\nabla f(\hat x)\|_2 - 1)^2]$ at $\hat x = \epsilon x + (1 - \epsilon)\tilde x$.

    real, fake  (batch, *shape)
    eps         (batch,), uniform on [0, 1): each sample has its own point and its own norm
    weight      $\lambda$

    Gulrajani et al. 2017, eq. 3. Raises ValueError for other shapes.
    """
    eps = _one_a_sample(real, fake, eps)
    return weight * (_slopes(critic, eps * real + (1 - eps) * fake) - 1).square().mean()


def r1(critic: Critic, real: Tensor, fake: Tensor, eps: Tensor, weight: float = 1.0) -> Tensor:
    r"""$\frac{\gamma}{2}\,\mathbb E[\|\nabla f(x)\|_2^2]$ on real samples; fake and eps are not used.

    `weight` is $\gamma$. Mescheder et al. 2018, section 4.1.
    """
    return weight / 2 * _gradients(critic, real).square().sum(1).mean()


def r2(critic: Critic, real: Tensor, fake: Tensor, eps: Tensor, weight: float = 1.0) -> Tensor:
    r"""$\frac{\gamma}{2}\,\mathbb E[\|\nabla f(\tilde x)\|_2^2]$ on fake samples; real and eps are not used.

    `weight` is $\gamma$. Mescheder et al. 2018, section 4.1; together with R1 in Huang et al. 2024.
    """
    return weight / 2 * _gradients(critic, fake).square().sum(1).mean()


def weight_clipping(bound: float = 0.01) -> Callable[[Sequence[Tensor]], None]:
    r"""A constraint: every weight is clipped to $[-c, c]$, where $c$ is the bound.

    Then the critic is $K$-Lipschitz for some $K$, which depends on the architecture and on $c$ alone, and which nobody
    knows. Arjovsky et al. 2017, algorithm 1. Raises ValueError for a bound that is not positive.
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
        raise ValueError(
            "A penalty between samples needs real and fake of one shape (batch, …) and eps of shape "
            f"(batch,), not {tuple(real.shape)}, {tuple(fake.shape)} and {tuple(eps.shape)}."
        )
    return eps.view(-1, *[1] * (real.ndim - 1))


def _gradients(critic: Critic, points: Tensor) -> Tensor:
    """Each sample's gradient of its own score, (batch, dimensions)."""
    # Of the sum, not of the mean, whose gradients would be smaller by a factor of the batch size.
    return torch.func.grad(lambda x: critic(x).sum())(points).flatten(1)


def _slopes(critic: Critic, points: Tensor) -> Tensor:
    """Each sample's gradient norm, (batch,). `norm` has a gradient at zero; the root of a sum of squares does not."""
    return _gradients(critic, points).norm(dim=1)


def _logistic_difference(ahead: Tensor, behind: Tensor) -> Tensor:
    if ahead.shape != behind.shape:
        raise ValueError(
            f"A relativistic objective compares pairs: expected as many real as fake scores, got {len(ahead)} and "
            f"{len(behind)}."
        )
    return softplus(behind - ahead).mean()


#: The zero-sum game: the generator minimises $\mathbb E[\ln(1 - D(\tilde x))]$. Goodfellow et al. 2014, eq. 1.
minimax = Objective(logistic_loss, lambda fake: -softplus(fake).mean())

#: The generator minimises $-\mathbb E[\ln D(\tilde x)]$ instead. Goodfellow et al. 2014, section 3.
nonsaturating = Objective(logistic_loss, lambda fake: softplus(-fake).mean())

#: Targets 1 for real and 0 for fake scores. Mao et al. 2017, with their 0-1 coding.
least_squares = Objective(
    lambda real, fake: ((real - 1).square().mean() + fake.square().mean()) / 2,
    lambda fake: (fake - 1).square().mean() / 2,
)

#: Margins at 1 and -1. Lim & Ye 2017; Miyato et al. 2018.
hinge = Objective(lambda real, fake: relu(1 - real).mean() + relu(1 + fake).mean(), lambda fake: -fake.mean())

#: The difference of mean scores; the critic must be kept Lipschitz by other means. Arjovsky et al. 2017.
wasserstein = Objective(wasserstein_critic, lambda fake: -fake.mean(), n_critic=5)

#: The same, kept Lipschitz by clipping the critic's weights. Arjovsky et al. 2017, algorithm 1.
wgan = Objective(wasserstein_critic, lambda fake: -fake.mean(), n_critic=5, constraint=weight_clipping(0.01))

#: The same, kept Lipschitz by the gradient penalty. Gulrajani et al. 2017, algorithm 1.
wgan_gp = Objective(wasserstein_critic, lambda fake: -fake.mean(), gradient_penalty, n_critic=5)

#: Each player wants its side of a pair ahead: the critic minimises $\mathbb E[\mathrm{softplus}(f(\tilde x) - f(x))]$,
#: the generator the same with the two exchanged. Jolicoeur-Martineau 2019; with `r1` and `r2` Huang et al. 2024.
relativistic = Objective(_logistic_difference, lambda real, fake: _logistic_difference(fake, real), relativistic=True)
