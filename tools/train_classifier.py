"""Train the digit classifiers that ship with the book, from data to files: the recipe of their weights.

    python -m tools.train_classifier              both, into gan_tutorial/classifiers/; two minutes on one core
    python -m tools.train_classifier synthetic    one of them
    python -m tools.train_classifier --validate   train on 50,000 images, judge on the other 10,000, keep nothing

A classifier is a game with one player, who minimises the cross-entropy of images that are disturbed a little. The
seed decides everything: a second run on the same machine writes the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import torch
from safetensors.torch import save
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

import gan_tutorial as gt
from gan_tutorial import metrics

from . import atomic_write, option_parser

SEED, STEPS, BATCH, RATE, DECAY = 0, 2400, 128, 0.005, 0.02
DATA = {
    "mnist": {"train": gt.data.mnist, "test": lambda: gt.data.mnist("test")},
    "synthetic": {"train": gt.data.synthetic_digits, "test": lambda: gt.data.synthetic_digits(10_000, split="test")},
}


def disturbed(batch: gt.Batch) -> gt.Batch:
    """The batch moved and speckled, as its own z and eps decide: a pure function, so that `Feed` may apply it.

    Each image goes through an affine map (standard deviations: 1.4 pixels, and 0.1 in every entry of the matrix) and
    gets white noise of a standard deviation up to 0.3. Generated images are speckled, and a classifier that never saw
    noise read every second MNIST digit wrong at 0.3.
    """
    affine, noise = batch.z[:, :6].view(-1, 2, 3), batch.z[:, 6:].view_as(batch.real)
    place = affine_grid(torch.eye(2, 3) + 0.1 * affine, list(batch.real.shape), align_corners=False)
    moved = grid_sample(batch.real + 1, place, align_corners=False) - 1  # what comes in from outside is background
    return batch._replace(real=(moved + 0.3 * batch.eps.view(-1, 1, 1, 1) * noise).clamp(-1, 1))


def train(data: gt.Data, seed: int = SEED, steps: int = STEPS) -> metrics.DigitClassifier:
    """A classifier of these digits, as it is shipped: its weights are rounded to half precision."""
    torch.manual_seed(seed)
    net = metrics.DigitClassifier()
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1)
    loss = lambda b: {"cross-entropy": cross_entropy(net(b.real), b.condition)}  # noqa: E731
    player = gt.Player("classifier", net, loss, optimizer)
    feed = gt.Feed(data, latent_dim=6 + 28 * 28, batch_size=BATCH, seed=seed, labelled=True, prepare=disturbed)
    gt.fit([player], feed, steps, hooks=[gt.hooks.Lines(200), lambda step, log: schedule.step()])
    net.load_state_dict(halved(net))
    return net.eval()


def halved(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The network's weights and statistics, floating-point ones in half precision."""
    return {name: x.half() if x.is_floating_point() else x for name, x in net.state_dict().items()}


def accuracy(net: metrics.DigitClassifier, data: gt.Data) -> float:
    assert data.label is not None
    return metrics.label_accuracy(net, data.take(slice(None)), data.label)


def write(name: str, net: torch.nn.Module, recipe: dict) -> None:
    """The file, and its SHA-256 in metrics.py, by which a damaged file is noticed and claims know their weights."""
    content = save(halved(net), {"recipe": json.dumps(recipe)})  # one entry of metadata: several have no fixed order
    atomic_write(metrics.WEIGHTS / f"{name}.safetensors", content)
    source = Path(metrics.__file__)
    text, found = re.subn(
        rf'("{name}": )"[0-9a-f]*"', rf'\1"{hashlib.sha256(content).hexdigest()}"', source.read_text(encoding="utf-8")
    )
    assert found == 1, f"{source} names no SHA-256 of {name}"
    atomic_write(source, text)
    print(f"{name}.safetensors: {len(content):,} bytes, {recipe}")


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="mnist | synthetic", help="which classifiers; both if none is named"
    )
    parser.add_argument("--validate", action="store_true", help="train on 50,000 images, judge on the other 10,000")
    asked = parser.parse_args()
    for name in asked.names or DATA:
        data = DATA[name]["train"]()
        if asked.validate:
            print(f"{name}: validation accuracy {accuracy(train(data[:50_000]), data[50_000:]):.4f}")
            continue
        net = train(data)
        recipe = {
            "digits": name,
            "images": len(data),
            "seed": SEED,
            "steps": STEPS,
            "batch": BATCH,
            "test accuracy": round(accuracy(net, DATA[name]["test"]()), 4),
        }
        write(name, net, recipe)


if __name__ == "__main__":
    main()
