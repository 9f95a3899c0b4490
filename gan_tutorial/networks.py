"""Networks. A generator is called `generator(z, label)`, a critic `critic(x, label)` and returns scores (batch,).

How a label enters is a value too, the argument `label` of each network: `OneHot` or `Embedding` set it beside the
input, `Projection` into the critic's score, `CoarseImage` takes a smaller image for a label. Without one, a network
refuses labels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, one_hot
from torch.nn.utils.parametrizations import spectral_norm

# --------------------------------------------------------------------------------------------- how a label enters


class OneHot(nn.Module):
    """Concatenation: beside the input stand `classes` numbers, or constant maps beside an image; one of them is 1.

    Mirza & Osindero 2014. ValueError for labels that are no int64 (batch,) in 0 … classes - 1.
    """

    def __init__(self, classes: int):
        super().__init__()
        self.classes = self.extra = classes

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return _beside(x, one_hot(_classes(label, self.classes, len(x)), self.classes).to(x.dtype))


class Embedding(nn.Module):
    """Concatenation of a learned vector: `dim` numbers for each class. ValueError for labels as `OneHot` raises it."""

    def __init__(self, classes: int, dim: int = 16):
        super().__init__()
        self.classes, self.extra = classes, dim
        self.table = nn.Embedding(classes, dim)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return _beside(x, self.table(_classes(label, self.classes, len(x))))


@dataclass(frozen=True)
class Projection:
    """For critics: the score of features h(x) is w·h + b + v(label)·h, with a learned v for each class.

    So each class has a last layer of its own, w + v(label). Miyato & Koyama 2018, eq. 3, with a linear ψ.
    """

    classes: int


class CoarseImage(nn.Module):
    """The label is an image (batch, channels, h/k, w/k): it is enlarged k times and stands beside x as more channels.

    Denton et al. 2015. ValueError for a label of another kind.
    """

    def __init__(self, channels: int = 1):
        super().__init__()
        self.extra = channels

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return torch.cat([x, _enlarged(label, self.extra, x.shape[2:])], dim=1)


def _beside(x: Tensor, code: Tensor) -> Tensor:
    """x (batch, n, …) and a code (batch, m) in one tensor (batch, n + m, …): over an image, the code is constant."""
    code = code.view(*code.shape, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
    return torch.cat([x, code], dim=1)


def _classes(label: Tensor, classes: int, batch: int) -> Tensor:
    # One label would broadcast over the batch without a word.
    if label.shape != (batch,) or label.dtype != torch.int64:
        raise ValueError(f"Labels must be int64 of shape (batch,), here ({batch},), not {label.dtype} of shape "
                         f"{tuple(label.shape)}.")
    # On a GPU the look would make the host wait, and the kernel notices by itself.
    if label.device.type == "cpu" and len(label) and not 0 <= label.min() <= label.max() < classes:
        raise ValueError(f"Labels run from 0 to {classes - 1} here, but there is one from {label.min()} to "
                         f"{label.max()}: build the network with as many classes as the data have.")
    return label


def _enlarged(image: Tensor, channels: int, size: tuple[int, int]) -> Tensor:
    """A coarse image (batch, channels, h, w), each pixel a block of the finer one."""
    if image.ndim != 4 or image.shape[1] != channels or not image.is_floating_point() or any(
            big % small for big, small in zip(size, image.shape[2:], strict=True)):
        raise ValueError(f"The label must be a floating-point image (batch, {channels}, h, w) whose sides divide "
                         f"{tuple(size)}, not {image.dtype} of shape {tuple(image.shape)}: "
                         "give the Feed a `prepare` that shrinks the real images.")
    return interpolate(image, size=tuple(size), mode="nearest")


def _join(net: nn.Module, label: Tensor | None) -> nn.Module | None:
    """The module that sets the label beside the network's input. ValueError for a label too many or too few."""
    if (label is None) != (net.label is None):
        raise ValueError(f"This {type(net).__name__} takes no label: build the Feed with labelled=False, or the "
                         "network with a label such as OneHot(10)." if net.label is None else
                         f"This {type(net).__name__} needs a label with each sample: build the Feed with "
                         "labelled=True, or with a `prepare` that makes one.")
    return net.label if isinstance(net.label, nn.Module) else None


# --------------------------------------------------------------------------------------------- fully connected


class MLPGenerator(nn.Module):
    """Fully connected layers from z to samples of any shape.

    latent   dimensions of z
    shape    of a sample, such as (2,) or (1, 28, 28)
    width    of each of the `depth` hidden layers (ReLU)
    output   the last layer's activation; where it is not given, tanh for images (three dimensions), which live in
             [-1, 1], and none for points
    label    how a label enters: OneHot, Embedding, or None

    `forward(z, label)` maps (batch, latent) to (batch, *shape). ValueError for another shape, or where a label is
    missing or not expected.
    """

    def __init__(self, latent: int, shape: tuple[int, ...] = (2,), width: int = 128, depth: int = 2,
                 output: nn.Module | None = None, label: nn.Module | None = None):
        super().__init__()
        self.latent, self.shape, self.label = latent, tuple(shape), label
        last = output if output is not None else nn.Tanh() if len(self.shape) == 3 else nn.Identity()
        self.layers = nn.Sequential(*_hidden(latent + _extra(label), width, depth, nn.ReLU),
                                    nn.Linear(width, prod(self.shape)), last)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        join = _join(self, label)
        _expect(z, (self.latent,), "z")
        return self.layers(join(z, label) if join else z).view(-1, *self.shape)


class MLPCritic(nn.Module):
    """Fully connected layers from a sample to a score: no last activation, since objectives take logits.

    shape    of a sample, such as (2,) or (1, 28, 28)
    width    of each of the `depth` hidden layers (leaky ReLU, so that a unit which is off still passes a gradient)
    label    how a label enters: OneHot, Embedding, Projection, or None

    `forward(x, label)` maps (batch, *shape) to (batch,). ValueError for another shape, or where a label is missing or
    not expected.
    """

    def __init__(self, shape: tuple[int, ...] = (2,), width: int = 128, depth: int = 2,
                 label: nn.Module | Projection | None = None):
        super().__init__()
        self.shape, self.label = tuple(shape), label
        self.layers = nn.Sequential(*_hidden(prod(self.shape) + _extra(label, critic=True), width, depth,
                                             lambda: nn.LeakyReLU(0.2)))
        self.score = _Score(width, label)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        join = _join(self, label)
        _expect(x, self.shape, "x")
        x = x.flatten(1)
        return self.score(self.layers(join(x, label) if join else x), label)


class _Score(nn.Module):
    """A critic's last layer: features (batch, n) -> scores (batch,), with the label's share under `Projection`."""

    def __init__(self, features: int, label, wrap: Callable[[nn.Module], nn.Module] = lambda layer: layer):
        super().__init__()
        self.linear = wrap(nn.Linear(features, 1))
        self.project = None
        if isinstance(label, Projection):
            self.project = wrap(nn.Embedding(label.classes, features))
            if not hasattr(self.project, "parametrizations"):
                nn.init.zeros_(self.project.weight)  # at first a critic that knows no label

    def forward(self, h: Tensor, label: Tensor | None) -> Tensor:
        score = self.linear(h).squeeze(1)  # (batch, 1) -> (batch,)
        if self.project is None:
            return score
        return score + (self.project(_classes(label, self.project.num_embeddings, len(h))) * h).sum(1)


# --------------------------------------------------------------------------------------------- convolutional

# Three ways to double a feature map: (inputs, outputs) -> a module from (batch, inputs, h, w) to
# (batch, outputs, 2h, 2w).


def transposed(inputs: int, outputs: int) -> nn.Module:
    """A transposed convolution of stride 2. Its kernel of 4 is a multiple of the stride: no checkerboard by overlap."""
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1)


def upsampled(inputs: int, outputs: int) -> nn.Module:
    """Each pixel four times, then a convolution at full size. Odena et al. 2016."""
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, kernel_size=3, padding=1))


def shuffled(inputs: int, outputs: int) -> nn.Module:
    """A convolution at small size to four times the channels, which become blocks of 2 × 2. Shi et al. 2016."""
    return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, kernel_size=3, padding=1), nn.PixelShuffle(2))


class ConvGenerator(nn.Module):
    """From z to images: a fully connected layer to small feature maps, then `depth` doublings of their size.

    latent    dimensions of z
    size      of the image, a multiple of 2^depth
    channels  of the image
    width     channels of the maps before the last doubling; each doubling before it has twice as many
    label     how a label enters beside z: OneHot, Embedding, or None
    norm      channels -> a normalising module, after every layer but the last; None for none
    up        (inputs, outputs) -> a module that doubles: transposed, upsampled or shuffled

    `forward(z, label)` maps (batch, latent) to (batch, channels, size, size) in [-1, 1]. Radford et al. 2016, section
    3, in small. ValueError for a size that does not halve, another shape of z, or a label missing or not expected.
    """

    def __init__(self, latent: int, size: int = 28, channels: int = 1, width: int = 32, depth: int = 2,
                 label: nn.Module | None = None, norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
                 up: Callable[[int, int], nn.Module] = transposed):
        super().__init__()
        self.latent, self.label = latent, label
        small, wide = _halved(size, depth), width * 2 ** (depth - 1)
        layers = [nn.Linear(latent + _extra(label), wide * small**2), nn.Unflatten(1, (wide, small, small)),
                  *_normed(norm, wide), nn.ReLU()]  # (batch, wide, 7, 7)
        for _ in range(depth - 1):
            layers += [up(wide, wide // 2), *_normed(norm, wide // 2), nn.ReLU()]  # (batch, wide / 2, 14, 14)
            wide //= 2
        self.layers = nn.Sequential(*layers, up(width, channels), nn.Tanh())  # (batch, channels, 28, 28)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        join = _join(self, label)
        _expect(z, (self.latent,), "z")
        return self.layers(join(z, label) if join else z)


class ConvCritic(nn.Module):
    """From images to scores: `depth` convolutions of stride 2, each with twice the channels, and a linear layer.

    That layer adds up what is seen in windows, of 10 × 10 pixels at depth 2: without a hidden layer before it, nothing
    in the critic can notice that two distant parts of an image do not belong together.

    size      of the image, a multiple of 2^depth
    channels  of the image
    width     channels after the first convolution
    label     how a label enters: OneHot, Embedding or CoarseImage beside the image, Projection in the score, or None
    norm      channels -> a normalising module after every convolution but the first; None, as here, for none
    hidden    units of a fully connected layer before the score, which see the whole image at once; None for none
    spectral  whether every weight matrix is divided by its largest singular value (Miyato et al. 2018). A pixel lies in
              four windows of a convolution, so that each stretches by 2 at most, and the critic by 2^depth (by twice
              that under Projection). The power iteration behind it moves a buffer at every forward pass in training.

    `forward(x, label)` maps (batch, channels, size, size) to (batch,); `features(x, label)` to the last layer's input,
    (batch, n). ValueError for a size that does not halve, images of another shape, or a label missing or not expected.
    """

    def __init__(self, size: int = 28, channels: int = 1, width: int = 32, depth: int = 2,
                 label: nn.Module | Projection | None = None, norm: Callable[[int], nn.Module] | None = None,
                 hidden: int | None = None, spectral: bool = False):
        super().__init__()
        self.shape, self.label = (channels, size, size), label
        wrap = spectral_norm if spectral else lambda layer: layer
        small, inputs, layers = _halved(size, depth), channels + _extra(label, critic=True, image=True), []
        for level in range(depth):
            outputs = width * 2**level
            layers += [wrap(nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1)),
                       *_normed(norm if level else None, outputs), nn.LeakyReLU(0.2)]  # 28 -> 14 -> 7
            inputs = outputs
        layers, inputs = [*layers, nn.Flatten()], inputs * small**2
        if hidden is not None:
            layers, inputs = [*layers, wrap(nn.Linear(inputs, hidden)), nn.LeakyReLU(0.2)], hidden
        self.layers = nn.Sequential(*layers)
        self.score = _Score(inputs, label, wrap)

    def features(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        join = _join(self, label)
        _expect(x, self.shape, "x")
        return self.layers(join(x, label) if join else x)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        return self.score(self.features(x, label), label)


class StackedGenerator(nn.Module):
    r"""One level of a stack: a coarse image and noise become an image of twice its size, coarse + residual.

    $x = \tanh(a\,\mathrm{up}(c) + r(c, z))$, with the enlarged coarse image up(c), a learned number a, and a residual r
    of convolutions. The sum is squashed so that images stay in [-1, 1].

    latent    dimensions of z, which becomes one more map beside the coarse image
    size      of the finer image, even
    channels  of both images
    width     of the residual's maps

    `forward(z, label)` maps (batch, latent) and the coarse image (batch, channels, size/2, size/2) to
    (batch, channels, size, size). After Denton et al. 2015. ValueError for other shapes.
    """

    def __init__(self, latent: int, size: int, channels: int = 1, width: int = 32,
                 norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
                 up: Callable[[int, int], nn.Module] = transposed):
        super().__init__()
        small = _halved(size, 1)
        self.latent, self.coarse, self.size = latent, (channels, small, small), (size, size)
        self.noise = nn.Sequential(nn.Linear(latent, small**2), nn.Unflatten(1, (1, small, small)))
        self.residual = nn.Sequential(nn.Conv2d(channels + 1, width, 3, padding=1), *_normed(norm, width), nn.ReLU(),
                                      nn.Conv2d(width, width, 3, padding=1), *_normed(norm, width), nn.ReLU(),
                                      up(width, channels))
        self.gain = nn.Parameter(torch.tensor(2.0))  # tanh(2) is 0.96: at first the enlarged image, nearly

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        _expect(z, (self.latent,), "z")
        if label is None:
            raise ValueError("A StackedGenerator needs the coarse image as label: give the Feed a `prepare`.")
        _expect(label, self.coarse, "The coarse image")
        residual = self.residual(torch.cat([label, self.noise(z)], dim=1))
        return torch.tanh(self.gain * _enlarged(label, self.coarse[0], self.size) + residual)


class Cascade(nn.Module):
    """A stack, coarsest level first: each level makes its image from a part of z and the image of the level before.

    `forward(z)` maps (batch, latent), the sum of what the levels take, to the last level's images. Denton et al. 2015.
    ValueError for another shape of z, or for a label.
    """

    def __init__(self, *levels: nn.Module):
        super().__init__()
        self.levels, self.label = nn.ModuleList(levels), None
        self.latent = sum(level.latent for level in levels)

    def parts(self, z: Tensor) -> tuple[Tensor, ...]:
        """Each level's own part of z."""
        _expect(z, (self.latent,), "z")
        return z.split([level.latent for level in self.levels], dim=1)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        _join(self, label)
        image = None
        for level, part in zip(self.levels, self.parts(z), strict=True):
            image = level(part, image)
        return image


def dcgan_init(net: nn.Module) -> nn.Module:
    """DCGAN's first weights, set in place: N(0, 0.02²) for layers, N(1, 0.02²) for BatchNorm's scales, 0 for biases.

    Radford et al. 2016, section 4, with the scales of its authors' code. (Scales near 0 would shut the network.)
    Returns the network.
    """
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            if hasattr(module, "parametrizations"):
                nn.init.normal_(module.parametrizations.weight.original, 0.0, 0.02)
                _iterate(module)
            else:
                nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    return net


@torch.no_grad()
def _iterate(module: nn.Module) -> None:
    """Let spectral normalisation find the singular value of a weight that was replaced, as it does when it is new."""
    weight = module.parametrizations.weight
    training = weight.training
    weight.train()
    for _ in range(15):
        _ = module.weight  # each look is an iteration
    weight.train(training)


# --------------------------------------------------------------------------------------------- small parts


def _hidden(inputs: int, width: int, depth: int, activation) -> list[nn.Module]:
    """`depth` fully connected layers of one width, each with its activation."""
    if depth < 1:
        raise ValueError(f"A network of this family has at least one hidden layer, not {depth}.")
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), activation()]
        inputs = width
    return layers


def _normed(norm: Callable[[int], nn.Module] | None, channels: int) -> list[nn.Module]:
    return [norm(channels)] if norm else []


def _extra(label, critic: bool = False, image: bool = False) -> int:
    """How many inputs a label adds. ValueError for one that cannot enter such a network, which would go unused."""
    if label is None or (critic and isinstance(label, Projection)):
        return 0
    if not isinstance(label, nn.Module) or (isinstance(label, CoarseImage) and not image):
        ways = ["OneHot(10)", "Embedding(10)", *["Projection(10)"] * critic, *["CoarseImage()"] * image]
        raise ValueError(f"Here a label enters by {', '.join(ways)} or not at all (None), not by {label!r}.")
    return label.extra


def _halved(size: int, times: int) -> int:
    if times < 1 or size % 2**times:
        raise ValueError(f"An image of {size} pixels cannot be halved {times} times: choose a depth from 1 on and a "
                         f"size that is a multiple of 2^depth.")
    return size // 2**times


def _expect(x: Tensor, shape: tuple[int, ...], name: str) -> None:
    if x.ndim != 1 + len(shape) or tuple(x.shape[1:]) != shape or not x.is_floating_point():
        raise ValueError(f"{name} must be floating point of shape (batch, {', '.join(map(str, shape))}), "
                         f"not {x.dtype} of shape {tuple(x.shape)}.")
