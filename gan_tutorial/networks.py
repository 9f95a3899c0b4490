"""Networks. A generator is called `generator(z, condition)`, a critic `critic(x, condition)`, scores are (batch,).

How a condition enters is a value too, the argument `condition` of each network: `OneHot` and `Embedding` append a label
to the input, `Projection` brings it into the critic's score, and `CoarseImage` appends a smaller image. Without one, a
network refuses conditions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log2, prod
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, one_hot
from torch.nn.utils.parametrizations import spectral_norm

# --------------------------------------------------------------------------------------------- how a condition enters


class OneHot(nn.Module):
    """Concatenation: the input gains `classes` numbers, or an image as many constant maps; one is 1, the others 0.

    Mirza & Osindero 2014. Raises ValueError for labels that are not int64 (batch,) in 0 … classes - 1. Their range is
    checked on a CPU only: on a GPU the check would make the host wait.
    """

    def __init__(self, classes: int):
        super().__init__()
        self.classes = self.extra = classes

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return _beside(x, one_hot(_classes(condition, self.classes, len(x)), self.classes).to(x.dtype))


class Embedding(nn.Module):
    """Concatenation of a learned vector: `dim` numbers for each class. Raises ValueError as `OneHot` does."""

    def __init__(self, classes: int, dim: int = 16):
        super().__init__()
        self.classes, self.extra = classes, dim
        self.table = nn.Embedding(classes, dim)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return _beside(x, self.table(_classes(condition, self.classes, len(x))))


@dataclass(frozen=True)
class Projection:
    """For critics: the score of features h(x) is w·h + b + v(label)·h, with a learned v for each class.

    So each class has a last layer of its own, w + v(label). Miyato & Koyama 2018, eq. 3, with a linear ψ.
    """

    classes: int


class CoarseImage(nn.Module):
    """The condition is an image (batch, channels, h/k, w/k): enlarged k times, it is appended to x as more channels.

    Denton et al. 2015. Raises ValueError for a condition of another type or shape.
    """

    def __init__(self, channels: int = 1):
        super().__init__()
        self.extra = channels

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return torch.cat([x, _enlarged(condition, self.extra, x.shape[2:])], dim=1)


def _beside(x: Tensor, code: Tensor) -> Tensor:
    """x (batch, n, …) and a code (batch, m) in one tensor (batch, n + m, …): over an image, the code is constant."""
    code = code.view(*code.shape, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
    return torch.cat([x, code], dim=1)


def _classes(label: Tensor, classes: int, batch: int) -> Tensor:
    # A single label would silently broadcast over the batch.
    if label.shape != (batch,) or label.dtype != torch.int64:
        raise ValueError(
            f"Labels must be int64 of shape (batch,), here ({batch},), not {label.dtype} of shape {tuple(label.shape)}."
        )
    # On a GPU the kernel itself fails for a label out of range.
    if label.device.type == "cpu" and len(label) and not 0 <= label.min() <= label.max() < classes:
        raise ValueError(
            f"Labels run from 0 to {classes - 1} here, but there is one from {label.min()} to "
            f"{label.max()}: build the network with as many classes as the data have."
        )
    return label


def _enlarged(image: Tensor, channels: int, size: tuple[int, ...]) -> Tensor:
    """A coarse image (batch, channels, h, w) enlarged to `size`: each pixel becomes a block."""
    if (
        image.ndim != 4
        or image.shape[1] != channels
        or not image.is_floating_point()
        or any(not small or big % small for big, small in zip(size, image.shape[2:], strict=True))
    ):
        raise ValueError(
            f"The condition must be a floating-point image (batch, {channels}, h, w) whose sides divide "
            f"{tuple(size)}, not {image.dtype} of shape {tuple(image.shape)}: "
            "give the Feed a `prepare` that shrinks the real images."
        )
    return interpolate(image, size=tuple(size), mode="nearest")


def _join(net: nn.Module, condition: Tensor | None) -> nn.Module | None:
    """The module that appends the condition to the input, if any. ValueError if one is missing or not expected."""
    if (condition is None) != (net.condition is None):
        raise ValueError(
            f"This {type(net).__name__} takes no condition: build the Feed with labelled=False, or the "
            "network with a condition such as OneHot(10)."
            if net.condition is None
            else f"This {type(net).__name__} needs a condition with each sample: build the Feed with "
            "labelled=True, or with a `prepare` that makes one."
        )
    return net.condition if isinstance(net.condition, nn.Module) else None


# --------------------------------------------------------------------------------------------- fully connected


class MLPGenerator(nn.Module):
    """Fully connected layers from z to samples of any shape.

    latent_dim  dimensions of z
    shape       of a sample, such as (2,) or (1, 28, 28)
    width       of each of the `depth` hidden layers (ReLU)
    output      the last layer's activation; by default tanh for images (three dimensions), which live in [-1, 1], and
                none for points and signals
    condition   how a condition enters: OneHot, Embedding, or None

    `forward(z, condition)` maps (batch, latent_dim) to (batch, *shape). ValueError for another shape, or where a
    condition is missing or not expected.
    """

    def __init__(
        self,
        latent_dim: int,
        shape: tuple[int, ...] = (2,),
        width: int = 128,
        depth: int = 2,
        output: nn.Module | None = None,
        condition: nn.Module | None = None,
    ):
        super().__init__()
        self.latent_dim, self.shape, self.condition = latent_dim, _sample_shape(shape), condition
        last = output if output is not None else nn.Tanh() if len(self.shape) == 3 else nn.Identity()
        self.layers = nn.Sequential(
            *_hidden(latent_dim + _extra(condition), width, depth, nn.ReLU), nn.Linear(width, prod(self.shape)), last
        )

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        join = _join(self, condition)
        _expect(z, (self.latent_dim,), "z")
        return self.layers(join(z, condition) if join else z).view(-1, *self.shape)


class MLPCritic(nn.Module):
    """Fully connected layers from a sample to a score: no last activation, since objectives take logits.

    shape      of a sample, such as (2,) or (1, 28, 28)
    width      of each of the `depth` hidden layers (leaky ReLU, so that a unit which is off still passes a gradient)
    condition  how a condition enters: OneHot, Embedding, Projection, or None
    minibatch_std  whether the last hidden layer also sees how much the samples of the batch differ, see `MinibatchStd`

    `forward(x, condition)` maps (batch, *shape) to (batch,). ValueError for another shape, or where a condition is
    missing or not expected.
    """

    def __init__(
        self,
        shape: tuple[int, ...] = (2,),
        width: int = 128,
        depth: int = 2,
        condition: nn.Module | Projection | None = None,
        minibatch_std: bool = False,
    ):
        super().__init__()
        self.shape, self.condition = _sample_shape(shape), condition
        inputs = prod(self.shape) + _extra(condition, critic=True)
        layers = _hidden(inputs, width, depth, lambda: nn.LeakyReLU(0.2))
        if minibatch_std:
            layers[-2:-1] = [MinibatchStd(), nn.Linear((width if depth > 1 else inputs) + 1, width)]
        self.layers = nn.Sequential(*layers)
        self.score = _Score(width, condition)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        join = _join(self, condition)
        _expect(x, self.shape, "x")
        x = x.flatten(1)
        return self.score(self.layers(join(x, condition) if join else x), condition)


class _Score(nn.Module):
    """A critic's last layer: features (batch, n) -> scores (batch,), with the label's share under `Projection`."""

    def __init__(self, features: int, condition, wrap: Callable = lambda layer: layer):
        super().__init__()
        self.linear = wrap(nn.Linear(features, 1))
        self.project: nn.Embedding | None = None
        if isinstance(condition, Projection):
            self.project = project = wrap(nn.Embedding(condition.classes, features))
            if not hasattr(project, "parametrizations"):
                nn.init.zeros_(project.weight)  # at first a critic that ignores the label

    def forward(self, h: Tensor, condition) -> Tensor:
        score = self.linear(h).squeeze(1)  # (batch, 1) -> (batch,)
        if self.project is None:
            return score
        return score + (self.project(_classes(condition, self.project.num_embeddings, len(h))) * h).sum(1)


# --------------------------------------------------------------------------------------------- convolutional

# Three ways to double a feature map: (inputs, outputs) -> a module from (batch, inputs, h, w) to
# (batch, outputs, 2h, 2w).


def conv_transpose_up(inputs: int, outputs: int) -> nn.Module:
    """A transposed convolution of stride 2. Its kernel size 4 is a multiple of that: even overlap, no checkerboard."""
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1)


def nearest_up(inputs: int, outputs: int) -> nn.Module:
    """Nearest-neighbour upsampling, then a convolution at full size. Odena et al. 2016."""
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, kernel_size=3, padding=1))


def pixel_shuffle_up(inputs: int, outputs: int) -> nn.Module:
    """A convolution at the small size to four times the channels, which become blocks of 2 × 2. Shi et al. 2016."""
    return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, kernel_size=3, padding=1), nn.PixelShuffle(2))


class ConvGenerator(nn.Module):
    """From z to images: a fully connected layer to small feature maps, then `depth` doublings of their size.

    latent_dim  dimensions of z
    size        of the image: one number, or (height, width). Surplus rows and columns are cut off at bottom and right.
    channels    of the image
    width       channels of the maps before the last doubling; each doubling before it has twice as many
    depth       by default, halvings until the shorter side has 7 pixels or fewer, at least one: 2 for 28, 4 for 64
    condition   how a condition enters beside z: OneHot, Embedding, or None
    norm        channels -> a normalising module, after every layer but the last; None for none
    up          (inputs, outputs) -> a module that doubles: conv_transpose_up, nearest_up or pixel_shuffle_up

    `forward(z, condition)` maps (batch, latent_dim) to (batch, channels, height, width) in [-1, 1]. A small version of
    Radford et al. 2016, section 3. Raises ValueError for a size or depth that makes no sense, another shape of z, or a
    condition missing or not expected.
    """

    def __init__(
        self,
        latent_dim: int,
        size: int | tuple[int, int] = 28,
        channels: int = 1,
        width: int = 32,
        depth: int | None = None,
        condition: nn.Module | None = None,
        norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
        up: Callable[[int, int], nn.Module] = conv_transpose_up,
    ):
        super().__init__()
        self.latent_dim, self.condition, self.size = latent_dim, condition, image_size(size)
        depth = _depth(self.size, depth)
        small, wide = tuple(-(-side // 2**depth) for side in self.size), width * 2 ** (depth - 1)
        layers = [
            nn.Linear(latent_dim + _extra(condition), wide * prod(small)),
            nn.Unflatten(1, (wide, *small)),
            *_normed(norm, wide),
            nn.ReLU(),
        ]  # (batch, wide, 7, 7)
        for _ in range(depth - 1):
            layers += [up(wide, wide // 2), *_normed(norm, wide // 2), nn.ReLU()]  # (batch, wide / 2, 14, 14)
            wide //= 2
        self.layers = nn.Sequential(*layers, up(width, channels), nn.Tanh())  # (batch, channels, 28, 28)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        join = _join(self, condition)
        _expect(z, (self.latent_dim,), "z")
        height, width = self.size
        return self.layers(join(z, condition) if join else z)[..., :height, :width]


class ConvCritic(nn.Module):
    """From images to scores: `depth` convolutions of stride 2, each with twice the channels, and a linear layer.

    That layer adds up what is seen in windows of the image, 10 × 10 pixels each at depth 2. Without a hidden layer
    before it, nothing in the critic can notice that two distant parts of an image do not belong together.

    size       of the image: one number, or (height, width)
    channels   of the image
    width      channels after the first convolution
    depth      by default, halvings until the shorter side has 7 pixels or fewer, at least one: 2 for 28, 4 for 64
    condition  how a condition enters: OneHot, Embedding or CoarseImage beside the image, Projection in the score, or
               None
    norm       channels -> a normalising module after every convolution but the first; None, as here, for none
    hidden     units of a fully connected layer before the score, which see the whole image at once; None for none
    spectral   whether every weight matrix is divided by its largest singular value (Miyato et al. 2018). A pixel lies
               in four windows of a convolution, so that each convolution stretches distances at most by 2, and the
               critic, without a norm, by 2^depth (twice that under Projection). The power iteration behind it updates a
               buffer at every forward pass in training.

    `forward(x, condition)` maps (batch, channels, height, width) to (batch,); `features(x, condition)` to the last
    layer's input, (batch, n). ValueError for a size or depth that makes no sense, images of another shape, or a
    condition missing or not expected.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 28,
        channels: int = 1,
        width: int = 32,
        depth: int | None = None,
        condition: nn.Module | Projection | None = None,
        norm: Callable[[int], nn.Module] | None = None,
        hidden: int | None = None,
        spectral: bool = False,
    ):
        super().__init__()
        self.shape, self.condition = (channels, *image_size(size)), condition
        wrap = spectral_norm if spectral else lambda layer: layer
        inputs, layers = channels + _extra(condition, critic=True, image=True), []
        depth = _depth(self.shape[1:], depth)
        small = [side // 2**depth for side in self.shape[1:]]
        for level in range(depth):
            outputs = width * 2**level
            layers += [
                wrap(nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1)),
                *_normed(norm if level else None, outputs),
                nn.LeakyReLU(0.2),
            ]  # 28 -> 14 -> 7
            inputs = outputs
        layers, inputs = [*layers, nn.Flatten()], inputs * prod(small)
        if hidden is not None:
            layers, inputs = [*layers, wrap(nn.Linear(inputs, hidden)), nn.LeakyReLU(0.2)], hidden
        self.layers = nn.Sequential(*layers)
        self.score = _Score(inputs, condition, wrap)

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        join = _join(self, condition)
        _expect(x, self.shape, "x")
        return self.layers(join(x, condition) if join else x)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.score(self.features(x, condition), condition)


class LaplacianLevel(nn.Module):
    r"""One level of a stack: a coarse image and noise become an image of twice its size, coarse + residual.

    $x = \tanh(a\,\mathrm{up}(c) + r(c, z))$, with the enlarged coarse image up(c), a learned number a, and a residual r
    of convolutions. The sum is squashed so that images stay in [-1, 1].

    latent_dim  dimensions of z, which becomes one more map beside the coarse image
    size        of the finer image, even: one number, or (height, width)
    channels    of both images
    width       of the residual's maps
    norm, up    as in `ConvGenerator`

    `forward(z, condition)` maps (batch, latent_dim) and the coarse image (batch, channels, height/2, width/2) to
    (batch, channels, height, width). After Denton et al. 2015. ValueError for other shapes.
    """

    def __init__(
        self,
        latent_dim: int,
        size: int | tuple[int, int],
        channels: int = 1,
        width: int = 32,
        norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
        up: Callable[[int, int], nn.Module] = conv_transpose_up,
    ):
        super().__init__()
        self.latent_dim, self.size = latent_dim, image_size(size)
        if any(side % 2 for side in self.size):
            raise ValueError(
                f"A level of a stack doubles an image, and {size} pixels are not a double: take an even size."
            )
        small = tuple(side // 2 for side in self.size)
        self.coarse = (channels, *small)
        self.noise = nn.Sequential(nn.Linear(latent_dim, prod(small)), nn.Unflatten(1, (1, *small)))
        self.residual = nn.Sequential(
            nn.Conv2d(channels + 1, width, 3, padding=1),
            *_normed(norm, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            *_normed(norm, width),
            nn.ReLU(),
            up(width, channels),
        )
        self.gain = nn.Parameter(torch.tensor(2.0))  # tanh(2) is 0.96: at first nearly the enlarged image

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        _expect(z, (self.latent_dim,), "z")
        if condition is None:
            raise ValueError("A LaplacianLevel needs the coarse image as condition: give the Feed a `prepare`.")
        _expect(condition, self.coarse, "The coarse image")
        residual = self.residual(torch.cat([condition, self.noise(z)], dim=1))
        return torch.tanh(self.gain * _enlarged(condition, self.coarse[0], self.size) + residual)


class Cascade(nn.Module):
    """A stack, coarsest level first: each level makes its image from a part of z and the image of the level before.

    `forward(z)` maps (batch, latent_dim), where latent_dim is the sum of the levels', to the last level's images.
    Denton et al. 2015. Raises ValueError for no level, another shape of z, or a condition.
    """

    def __init__(self, *levels: MLPGenerator | ConvGenerator | LaplacianLevel):
        super().__init__()
        if not levels:
            raise ValueError("Expected the levels of a stack, coarsest first: Cascade(coarse, finer).")
        self.levels, self.condition = nn.ModuleList(levels), None
        self.latent_dim = sum(level.latent_dim for level in levels)

    def parts(self, z: Tensor) -> tuple[Tensor, ...]:
        """Each level's own part of z."""
        _expect(z, (self.latent_dim,), "z")
        return z.split([level.latent_dim for level in self.levels], dim=1)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        _join(self, condition)
        image = None
        for level, part in zip(self.levels, self.parts(z), strict=True):
            image = level(part, image)
        return image  # pyright: ignore[reportReturnType]  # there is at least one level


# --------------------------------------------------------------------------------------------- what sees a whole batch


class MinibatchStd(nn.Module):
    r"""One more feature, the same for the whole batch: how much the samples of the batch differ.

    $\frac1n\sum_j \sqrt{\mathrm{Var}_i\,h_{ij} + 10^{-8}}$: for each of the n features (at each place of a map) the
    standard deviation over the batch, with the batch size as divisor and not one less; then their mean.

    (batch, n, …) -> (batch, n + 1, …). A critic with this layer sees at once that all samples are alike. A sample's
    score then depends on the rest of its batch: give the critic real and generated samples in separate batches, as
    `adversaries` does. A gradient penalty, which takes the slope at each sample, also contains that sample's effect on
    the scores of the others. Karras et al. 2018, section 3, with the whole batch as one group. Raises ValueError for a
    tensor without features.
    """

    def forward(self, h: Tensor) -> Tensor:
        if h.ndim < 2 or not h.is_floating_point():
            raise ValueError(
                f"Expected floating-point features (batch, n, …), got {h.dtype} of shape {tuple(h.shape)}."
            )
        spread = (h.var(0, correction=0) + 1e-8).sqrt().mean()  # at variance 0 the root alone has an infinite slope
        return torch.cat([h, spread.expand(len(h), 1, *h.shape[2:])], dim=1)


class Packed(nn.Module):
    """A critic that judges samples in packs: m of them, side by side as channels, are all real or all generated.

    critic  of a pack: for samples (channels, …) it takes (m · channels, …), such as MLPCritic((2 * 2,)) for pairs of
            points in the plane
    m       samples in a pack

    `forward(x)` maps (batch, channels, …) to (batch,): neighbours in the batch make a pack, and each sample has its
    pack's score, so that a mean over samples is the mean over packs. A generator that makes only one thing is found
    out, since two alike are rare among real samples. Each score is counted m times in a sum of scores, so that R1 and
    R2 weigh m times what they would weigh on the packs. Lin et al. 2018. Raises ValueError for m below 1, a batch that
    m does not divide, a pack that the critic does not take, and for conditions.
    """

    def __init__(self, critic: nn.Module, m: int = 2):
        super().__init__()
        if not is_whole(m) or m < 1:
            raise ValueError(f"Expected a whole number of samples in a pack, from 1 on, got m={m!r}.")
        self.critic, self.m = critic, int(m)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is not None:
            raise ValueError("A Packed critic takes no condition: build the Feed with labelled=False.")
        if x.ndim < 2 or len(x) % self.m:
            raise ValueError(
                f"Expected samples (batch, channels, …) in a batch that {self.m} divides, got shape {tuple(x.shape)}."
            )
        packs = x.reshape(len(x) // self.m, self.m * x.shape[1], *x.shape[2:])
        return self.critic(packs).repeat_interleave(self.m)


def dcgan_init(net: nn.Module) -> nn.Module:
    """DCGAN's initial weights, set in place: N(0, 0.02²) for layers, N(1, 0.02²) for BatchNorm's scales, 0 for biases.

    Radford et al. 2016, section 4, with the scales of its authors' code. (Scales near 0 would silence the network.)
    Layers are linear, convolutional and transposed convolutional in two dimensions. Returns the network.
    """
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            if hasattr(module, "parametrizations"):
                nn.init.normal_(module.get_parameter("parametrizations.weight.original"), 0.0, 0.02)
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
    """Let spectral normalisation find the singular value of a replaced weight, as it does for a new one."""
    weight = module.get_submodule("parametrizations.weight")
    training = weight.training
    weight.train()
    for _ in range(15):
        _ = module.weight  # each access is an iteration
    weight.train(training)


# --------------------------------------------------------------------------------------------- small parts


def _hidden(inputs: int, width: int, depth: int, activation) -> list[nn.Module]:
    """`depth` fully connected layers of one width, each with its activation."""
    if depth < 1:
        raise ValueError(f"Expected a depth of at least 1, got {depth}.")
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), activation()]
        inputs = width
    return layers


def _normed(norm: Callable[[int], nn.Module] | None, channels: int) -> list[nn.Module]:
    return [norm(channels)] if norm else []


def _extra(condition, critic: bool = False, image: bool = False) -> int:
    """How many inputs a condition adds. ValueError for one that cannot enter such a network and would go unused."""
    if condition is None or (critic and isinstance(condition, Projection)):
        return 0
    extra = getattr(condition, "extra", None)
    if not isinstance(condition, nn.Module) or extra is None or (isinstance(condition, CoarseImage) and not image):
        ways = ["OneHot(10)", "Embedding(10)", *["Projection(10)"] * critic, *["CoarseImage()"] * image]
        raise ValueError(
            f"Expected condition={', '.join(ways)}, a module of your own whose `extra` says how many inputs it adds, "
            f"or None, got {condition!r}."
        )
    return extra


def is_whole(value) -> bool:
    """Whether it is a whole number, Python's or NumPy's; True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _sample_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of one sample. ValueError unless it is a sequence of positive whole numbers."""
    sides = tuple(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else ()
    if not sides or any(not is_whole(side) or int(side) < 1 for side in sides):
        raise ValueError(f"Expected the shape of a sample, such as (2,) or (1, 28, 28), got shape={shape!r}.")
    return tuple(int(side) for side in sides)


def image_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of an image, from one number or two. ValueError unless they are positive whole numbers."""
    sides = tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else (size, size)
    if len(sides) != 2 or any(not is_whole(side) or int(side) < 1 for side in sides):
        raise ValueError(f"Expected the size of an image, such as 28 or (48, 80), got {size!r}.")
    return int(sides[0]), int(sides[1])


def _depth(sides: tuple[int, int], depth: int | None) -> int:
    """How often an image is halved: `depth`, or by default until its shorter side has 7 pixels or fewer."""
    shorter = min(sides)
    if depth is None:
        depth = max(1, ceil(log2(shorter / 7)))
    if not is_whole(depth) or not 1 <= depth <= log2(shorter):
        raise ValueError(
            f"An image of {sides[0]} by {sides[1]} pixels cannot be halved {depth} times: expected "
            + (f"a depth from 1 to {int(log2(shorter))}." if shorter > 1 else "two pixels or more on each side.")
        )
    return int(depth)


def _expect(x: Tensor, shape: tuple[int, ...], name: str) -> None:
    if x.ndim != 1 + len(shape) or tuple(x.shape[1:]) != shape or not x.is_floating_point():
        raise ValueError(
            f"{name} must be floating point of shape (batch, {', '.join(map(str, shape))}), "
            f"not {x.dtype} of shape {tuple(x.shape)}."
        )
