"""Train the critics that judge live models in the pages: against the gallery's generators, which stand still.

    python -m tools.train_critics                   all of them, into book/lab/critics: some minutes
    python -m tools.train_critics dcgan --steps 500

The gallery's files hold no critic, since sampling needs none. Each of these is a small one that learned afterwards, by
the objective of the model's own recipe, from real digits and from samples of the finished generator. What is kept is
its moving average, in the package's own layout; the card names the generator's file by its sum.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from gan_tutorial import EMA, Feed, adam, checkpoint, cli, fit, networks
from gan_tutorial.commands import packaged
from gan_tutorial.data import Data
from gan_tutorial.game import Player, sample
from gan_tutorial.layout import SUM
from gan_tutorial.recipes import RECIPES

from . import ROOT, option_parser

FOLDER = ROOT / "book" / "lab" / "critics"
STEPS, BATCH, SEED = 6_000, 64, 0
CRITICS: dict[str, Callable[[], nn.Module]] = {
    "dcgan": lambda: networks.ConvCritic(width=8, hidden=32, spectral=True),
    "wgan-gp": lambda: networks.ConvCritic(width=8, hidden=32),
}


def trained(name: str, digits: Data, steps: int) -> nn.Module:
    """A critic of real digits and of samples of the gallery's model, which does not move."""
    model, objective = checkpoint.pretrained(name), RECIPES[name].objective
    torch.manual_seed(SEED)
    critic = CRITICS[name]()
    average = EMA(critic, half_life=50_000, batch_size=BATCH)

    def loss(batch):
        with torch.no_grad():
            fake = sample(model.generator, batch.z)
        terms = {"game": objective.critic(critic(batch.real), critic(fake))}
        penalties = objective.penalties.items()
        return terms | {name: penalty(critic, batch.real, fake, batch.eps) for name, penalty in penalties}

    player = Player("critic", critic, loss, adam(2e-3, (0.0, 0.99))(critic.parameters()))
    feed = Feed(digits, latent_dim=model.spec.latent_dim, batch_size=BATCH, seed=SEED)
    fit([player], feed, steps, hooks=[lambda step, log: average()])
    return average.net.eval()


def better_than(real: torch.Tensor, fake: torch.Tensor) -> float:
    """How often a real digit's score is above a sample's: 1/2 for a critic that knows nothing."""
    return (real[:, None] > fake).float().mean().item()


def main(arguments: list[str] | None = None, digits: Callable[..., Data] = packaged) -> int:
    parser = option_parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="MODEL", help=f"of {', '.join(CRITICS)}; without one, all of them")
    parser.add_argument("--steps", type=cli.whole(1), default=STEPS, help=f"of training (default {STEPS:,})")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in CRITICS]:
        parser.error(f"no critic is known for {', '.join(unknown)}; choose from {', '.join(CRITICS)}")
    train, test = digits("mnist"), digits("mnist", "test")
    for name in options.names or CRITICS:
        critic = trained(name, train, options.steps)
        card, _ = checkpoint.read(checkpoint.SHIPPED / f"{name}.safetensors", tensors=False)
        model = checkpoint.pretrained(name)
        with torch.no_grad():
            real, fake = critic(test.take(slice(0, 2000))), critic(model.sample(2000, seed=1))
        share = better_than(real, fake)
        card = {key: card[key] for key in checkpoint.ENTRIES} | {
            "step": options.steps,
            "code": checkpoint.code(),
            "judges": card[SUM],
            "real above samples": share,
            "format": checkpoint.FORMAT,
        }
        tensors = {f"net.critic.{key}": value.half() for key, value in critic.state_dict().items()}
        options.out.mkdir(parents=True, exist_ok=True)
        path = options.out / f"{name}.safetensors"
        checkpoint.write(checkpoint.serialized(tensors, card), path)
        print(
            f"{name}: a real digit's score is above a sample's in {share:.1%} of pairs; {path.stat().st_size:,} bytes"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
