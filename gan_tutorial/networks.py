"""Networks. A generator is called `generator(z, label)`, a critic `critic(x, label)` and returns scores (batch,)."""

from math import prod

from torch import Tensor, nn


class MLPGenerator(nn.Module):
    """Fully connected layers from z to samples of any shape.

    latent   dimensions of z
    shape    of a sample, such as (2,) or (1, 28, 28)
    width    of each of the `depth` hidden layers (ReLU)
    output   the last layer's activation; where it is not given, tanh for images (three dimensions), which live in
             [-1, 1], and none for points

    `forward(z)` maps (batch, latent) to (batch, *shape). ValueError for another shape, or for a label.
    """

    def __init__(self, latent: int, shape: tuple[int, ...] = (2,), width: int = 128, depth: int = 2,
                 output: nn.Module | None = None):
        super().__init__()
        self.latent, self.shape = latent, tuple(shape)
        last = output if output is not None else nn.Tanh() if len(self.shape) == 3 else nn.Identity()
        self.layers = nn.Sequential(*_hidden(latent, width, depth, nn.ReLU),
                                    nn.Linear(width, prod(self.shape)), last)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        _no_label(self, label)
        _expect(z, (self.latent,), "z")
        return self.layers(z).view(-1, *self.shape)


class MLPCritic(nn.Module):
    """Fully connected layers from a sample to a score: no last activation, since objectives take logits.

    shape    of a sample, such as (2,) or (1, 28, 28)
    width    of each of the `depth` hidden layers (leaky ReLU, so that a unit which is off still passes a gradient)

    `forward(x)` maps (batch, *shape) to (batch,). ValueError for another shape, or for a label.
    """

    def __init__(self, shape: tuple[int, ...] = (2,), width: int = 128, depth: int = 2):
        super().__init__()
        self.shape = tuple(shape)
        self.layers = nn.Sequential(nn.Flatten(), *_hidden(prod(self.shape), width, depth, lambda: nn.LeakyReLU(0.2)),
                                    nn.Linear(width, 1))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        _no_label(self, label)
        _expect(x, self.shape, "x")
        return self.layers(x).squeeze(1)  # (batch, 1) -> (batch,)


def _hidden(inputs: int, width: int, depth: int, activation) -> list[nn.Module]:
    """`depth` fully connected layers of one width, each with its activation."""
    if depth < 1:
        raise ValueError(f"A network of this family has at least one hidden layer, not {depth}.")
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), activation()]
        inputs = width
    return layers


def _no_label(net: nn.Module, label: Tensor | None) -> None:
    if label is not None:
        raise ValueError(f"{type(net).__name__} takes no label: build the Feed with labelled=False.")


def _expect(x: Tensor, shape: tuple[int, ...], name: str) -> None:
    if x.ndim != 1 + len(shape) or tuple(x.shape[1:]) != shape or not x.is_floating_point():
        raise ValueError(f"{name} must be floating point of shape (batch, {', '.join(map(str, shape))}), "
                         f"not {x.dtype} of shape {tuple(x.shape)}.")
