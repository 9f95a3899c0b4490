"""Stacked MNIST in 28 × 28 pixels, which chapter 10 describes for a GPU: a recipe, a reader, and what it counts.

Three digits are the channels of one image: 1,000 known modes, about equally many of each. The reader is a classifier
of single digits. It counts the modes that samples show, and the Kullback–Leibler divergence of their shares from the
uniform ones. `python -m benchmarks.gpu --parts stacked` plays it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import gan_tutorial as gt
from gan_tutorial.acceleration import Acceleration
from gan_tutorial.training import Recipe, Trainer

MODES, KL = 990, 0.2  # the goals: at least so many modes, and less than that
NUMBERS = 1000

#: Relativistic scores with R1 and R2 (Huang et al. 2024), by the networks and numbers of chapter 10 at scale `gpu`.
RECIPE = Recipe(
    "stacked digits",
    {
        "generator": lambda spec: gt.ConvGenerator(spec.latent_dim, spec.size, channels=spec.channels, width=64),
        "critic": lambda spec: gt.ConvCritic(spec.size, channels=spec.channels, width=64, hidden=256),
    },
    replace(gt.relativistic, penalty={"r1": partial(gt.r1, weight=0.1), "r2": partial(gt.r2, weight=0.1)}),
    gt.adam(1e-3),
    critic_optimizer=gt.adam(4e-3),
    steps=50_000,
    latent_dim=64,
    batch_size=256,
)


def reader(digits: gt.Data, steps: int = 5_000, seed: int = 0) -> nn.Module:
    """A small classifier of single grey digits (n, 1, height, width), trained on these, on their device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        size = digits.shape[1] * digits.shape[2]
        net = nn.Sequential(nn.Flatten(), nn.Linear(size, 128), nn.ReLU(), nn.Linear(128, 10))
    net = net.to(digits.values.device)
    adam, feed = torch.optim.Adam(net.parameters(), 3e-3), gt.Feed(digits, 1, min(128, len(digits)), seed, True)
    for _ in range(steps):
        batch = next(feed)
        assert batch.condition is not None  # the feed is labelled
        adam.zero_grad()
        cross_entropy(net(batch.real), batch.condition).backward()
        adam.step()
    return net.requires_grad_(False)


def read(net: nn.Module, images: Tensor) -> Tensor:
    """The number 0 … 999 that each stacked image (n, 3, height, width) shows, (n,) int64."""
    each = net(images.flatten(0, 1)[:, None]).argmax(1).view(-1, 3)
    return (each * each.new_tensor([100, 10, 1])).sum(1)


def modes_and_kl(numbers: Tensor) -> tuple[int, float]:
    r"""How many of 1,000 numbers occur among (n,), and $\sum_k p_k \ln (1000\, p_k)$ of their shares, 0 … ln 1000."""
    share = torch.bincount(numbers, minlength=NUMBERS).double() / len(numbers)
    share = share[share > 0]
    return len(share), (share * (NUMBERS * share).log()).sum().item()


def counted(net: nn.Module, images: Tensor) -> dict[str, float]:
    """{"modes": …, "KL": …} of images, by the reader."""
    modes, kl = modes_and_kl(torch.cat([read(net, some) for some in images.split(1000)]))
    return {"modes": modes, "KL": kl}


def play(
    recipe: Recipe,
    stack: gt.Data,
    net: nn.Module,
    emit: Callable[[dict], None],
    steps: int,
    seconds: float = float("inf"),
    looks: int = 10,
    samples: int = 10_000,
    accelerations: Sequence[Acceleration] = (),
) -> None:
    """Train on stacked digits for so many steps, or until seconds are over, and emit a row at each of some looks.

    A row has the counts of samples by the averaged weights, against which the goals hold, and by the last weights, as
    the chapter counts.
    """
    trainer = Trainer(recipe, stack, 0, accelerations)
    for look in range(1, looks + 1):
        trainer.run(steps=max(1, steps * look // looks))
        z = torch.randn(samples, recipe.latent_dim, generator=torch.Generator().manual_seed(look)).to(trainer.device)
        last = torch.cat([gt.sample(trainer.networks["generator"], some) for some in z.split(1000)])
        found = counted(net, trainer.model().sample(samples))
        emit(
            {
                "name": "relativistic + R1 + R2",
                "data": stack.name,
                "accelerations": [one.name for one in accelerations],
                "steps": trainer.steps,
                "seconds": trainer.seconds,
                **found,
                "last weights": counted(net, last),
                "goals": {"modes": MODES, "KL": KL},
                "reached": {"modes": found["modes"] >= MODES, "KL": found["KL"] < KL},
            }
        )
        if trainer.seconds * (look + 1) / look > seconds:  # the next look would come too late
            return
