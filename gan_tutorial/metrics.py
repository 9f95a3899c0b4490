r"""How good are the samples? Numbers that compare two sets of them, most of them by the features of a digit classifier.

Every set is summed up by features (n, d): what a small network, trained to tell the ten digits apart, sees in each
image. The numbers depend on that network: they compare with one another, and not with those of papers, which take the
features of Inception. `make classifiers` trains it, once on MNIST and once on synthetic digits.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .data import Data
from .files import read_checked

WEIGHTS = Path(__file__).parent / "classifiers"
CLASSIFIERS = {  # digits: the SHA-256 of their classifier's file, which `make classifiers` writes here
    "mnist": "2e235deb945b5b21e8baabeaa7fefd41e00bcbe639264092e41be0712c34a0c8",
    "synthetic": "0515abe3feb5b880e920f31983dc116e114b1adc222fe73a9c24c0f2495ece99",
}


# ---------------------------------------------------------------------------------------------------- the classifier


class DigitClassifier(nn.Module):
    """Images of digits (n, 1, 28, 28) in [-1, 1] -> logits (n, 10), by way of `width` features.

    Three convolutions, each of which halves the image, then two linear layers. The features are what the first of
    these makes, standardised: over the training images each has about mean 0 and variance 1. They are taken before the
    activation, which would flatten their negative side.
    """

    def __init__(self, width: int = 64):
        super().__init__()
        self.body = nn.Sequential(
            *_halve(1, 32, 5),  # (n, 32, 14, 14)
            *_halve(32, 64, 3),  # (n, 64, 7, 7)
            *_halve(64, 64, 3),  # (n, 64, 4, 4)
            nn.Flatten(),
            nn.Linear(1024, width, bias=False),
            nn.BatchNorm1d(width, affine=False),
        )
        self.head = nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(width, 10))

    def features(self, x: Tensor) -> Tensor:
        """(n, 1, 28, 28) -> (n, width)."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def _halve(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]


def classifier(digits: str | Data, device: torch.device | str | None = None) -> DigitClassifier:
    """The classifier that ships with the book for "mnist" or "synthetic" digits: frozen, in evaluation mode.

    digits  the name, or a data set, whose name and device are taken: `classifier(data)`
    device  where it shall live; the data's or the CPU where it is not given

    Its test error is 0.6 % for MNIST and 0.03 % for synthetic digits. It was trained on images that were moved and
    speckled a little, and reads generated ones that are. Raises ValueError for digits that have no classifier, and
    where its file is not the one that was shipped.
    """
    from safetensors.torch import load

    name = digits.name if isinstance(digits, Data) else digits
    if name not in CLASSIFIERS:
        raise ValueError(f"There is no classifier for {name!r}, only for {' and '.join(CLASSIFIERS)} digits.")
    if device is None and isinstance(digits, Data):
        device = digits.values.device
    weights = load(read_checked(WEIGHTS / f"{name}.safetensors", CLASSIFIERS[name]))  # in half precision
    with torch.device("meta"):  # draws no first weights, which would move the seeds of networks that are built later
        net = DigitClassifier()
    net.load_state_dict({key: w.float() if w.is_floating_point() else w for key, w in weights.items()}, assign=True)
    return net.requires_grad_(False).eval().to(device)


def features(classifier: nn.Module, images: Tensor, batch: int = 500) -> Tensor:
    """The features (n, d) of images (n, 1, 28, 28) in [-1, 1], computed `batch` at a time, without a graph.

    Raises ValueError for another shape or type, and for values that are not finite or outside [-1, 1].
    """
    return _batched(classifier.features, images, batch)


def predict(classifier: nn.Module, images: Tensor, batch: int = 500) -> Tensor:
    """The digits (n,) int64 that the classifier reads in images (n, 1, 28, 28). Raises what `features` raises."""
    return _batched(classifier, images, batch).argmax(1)


@torch.no_grad()
def _batched(function, images: Tensor, batch: int) -> Tensor:
    if images.shape[1:] != (1, 28, 28) or len(images) == 0 or not images.is_floating_point():
        raise ValueError(
            "The classifier reads floating-point images of shape (n, 1, 28, 28), not "
            f"{images.dtype} of shape {tuple(images.shape)}: take those of a data set by d.take(index)."
        )
    low, high = images.min().item(), images.max().item()
    if not (low >= -1.001 and high <= 1.001):  # written so that NaN fails as well
        raise ValueError(
            f"Images are in [-1, 1], but these reach from {low:.3g} to {high:.3g}: "
            "rescale them, or end the generator with tanh."
        )
    return torch.cat([function(part) for part in images.split(batch)])


# ------------------------------------------------------------------------------------------------- sets with labels


def label_accuracy(classifier: nn.Module, images: Tensor, label: Tensor) -> float:
    """The share of images in which the classifier reads the label (n,) that they were made for.

    Its own mistakes count against the generator: real test images reach its accuracy, not 1.
    """
    if label.shape != images.shape[:1]:
        raise ValueError(f"{len(images)} images need as many labels, not labels of shape {tuple(label.shape)}.")
    return (predict(classifier, images) == label.to(images.device)).float().mean().item()


def within_class_variance(features: Tensor, label: Tensor) -> float:
    r"""$\sum_c \frac{n_c}{n} \operatorname{tr} S_c$: how much samples of one class differ, on average over the classes.

    features, label  (n, d) and (n,); $S_c$ is the covariance of the $n_c$ features of class c, divided by $n_c - 1$

    It does not see where a class lies, only how wide it is: a generator with one image for each class has spread 0.
    Raises ValueError where a class has one sample only.
    """
    x, label = _rows(features), label.cpu()
    if label.shape != x.shape[:1]:
        raise ValueError(f"{len(x)} features need as many labels, not labels of shape {tuple(label.shape)}.")
    classes, counts = label.unique(return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            f"Class {classes[counts.argmin()].item()} has one sample only: the spread within a class "
            "takes at least two of each."
        )
    return sum(n / len(x) * x[label == c].var(0).sum() for c, n in zip(classes, counts, strict=True)).item()


# ----------------------------------------------------------------------------------------------- distances of two sets


def frechet_distance(a: Tensor, b: Tensor) -> float:
    r"""$|\mu - \mu'|^2 + \operatorname{tr}(S + S' - 2 (S S')^{1/2})$, from features (n, d) and (m, d).

    The squared Wasserstein-2 distance between the Gaussians that have the sets' means and covariances (divided by
    n - 1): zero if these agree, whatever else differs. In units of the features squared. From few samples it is
    estimated too *high*, even between two halves of one set: compare sets of equal sizes, with many more samples
    than dimensions. Heusel et al. 2017.
    Raises ValueError for sets of different dimensions, fewer than two samples, and values that are not finite.
    """
    a, b = _two_sets(a, b)
    # With the triangular factor of the centred samples S = r^T r, and S' = s^T s. The eigenvalues of S S' are then the
    # squared singular values of r s^T: no root of a matrix, which rounding makes complex where S is nearly singular.
    r, s = (torch.linalg.qr((x - x.mean(0)) / (len(x) - 1) ** 0.5, mode="r").R for x in (a, b))
    means = (a.mean(0) - b.mean(0)).square().sum()
    return (means + r.square().sum() + s.square().sum() - 2 * torch.linalg.svdvals(r @ s.T).sum()).item()


def kernel_distance(a: Tensor, b: Tensor, block: int = 100) -> float:
    r"""The squared MMD of features (n, d) and (m, d), estimated without bias, for $k(x, y) = (x \cdot y / d + 1)^3$.

    $\frac{1}{n(n-1)} \sum_{i \ne j} k(a_i, a_j) + \frac{1}{m(m-1)} \sum_{i \ne j} k(b_i, b_j)
    - \frac{2}{nm} \sum_{i,j} k(a_i, b_j)$

    It sees means, covariances and third moments. Its mean is right for sets of any size, zero where the laws agree,
    so that single values may be negative. Computed `block` rows at a time. Gretton et al. 2012; the kernel is that
    of Bińkowski et al. 2018. Raises what `frechet_distance` raises.
    """
    a, b = _two_sets(a, b)
    n, m, d = len(a), len(b), a.shape[1]

    def k(inner):
        return (inner / d + 1) ** 3

    def total(x, y):
        return sum(k(part @ y.T).sum() for part in x.split(block))

    within = [(total(x, x) - k(x.square().sum(1)).sum()) / (len(x) * (len(x) - 1)) for x in (a, b)]
    return (sum(within) - 2 / (n * m) * total(a, b)).item()


def _two_sets(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    a, b = _rows(a), _rows(b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"Sets of features have one number of dimensions, not {a.shape[1]} and {b.shape[1]}.")
    return a, b


def _rows(features: Tensor) -> Tensor:
    """Features (n, d) in double precision, on the CPU: not every device has it, and differences are small."""
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"Features have shape (n, d), with n at least 2, not {tuple(features.shape)}.")
    if not features.isfinite().all():
        raise ValueError("These features are not all finite: look at the samples that they come from.")
    return features.detach().cpu().double()


def report(images: Tensor, test: Data, label: Tensor | None = None) -> dict[str, float]:
    """Every number of this module that judges images (n, 1, 28, 28) in [-1, 1] against test images, by name.

    test   digits with a classifier; as many as there are images are compared with
    label  (n,), what the images were made for: adds the agreement, and the spread within a class. Spreads are shares of
           that of the test images.

    Raises what `classifier` and `features` raise.
    """
    judge = classifier(test, images.device)
    real, made = (features(judge, x) for x in (test.take(slice(0, len(images))).to(images.device), images))
    sure = torch.cat([judge(part).softmax(1).amax(1) for part in images.split(500)]) > 0.9
    numbers = {
        "Fréchet distance": frechet_distance(made, real),
        "kernel distance": kernel_distance(made, real),
        "read with p > 0.9": sure.float().mean().item(),
        "spread": (made.var(0).sum() / real.var(0).sum()).item(),
    }
    if label is not None:
        within = within_class_variance(made, label) / within_class_variance(real, test.label[: len(images)])
        numbers |= {"label agreement": label_accuracy(judge, images, label), "spread within class": within}
    return numbers


def table(columns: dict[str, dict[str, float]]) -> str:
    """Metrics side by side: one row for each, one column for each set of images."""
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    lines = [" " * 24 + "".join(f"{title:>18}" for title in columns)]
    for name in names:
        cells = (f"{column[name]:18.4g}" if name in column else " " * 18 for column in columns.values())
        lines.append(f"{name:24}" + "".join(cells))
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------- points with modes


class Modes(NamedTuple):
    """found: modes with at least one good point; quality: the share of good points; hits: how many at each mode."""

    found: int
    quality: float
    hits: Tensor


def modes(points: Tensor, data: Data) -> Modes:
    """How many modes of `data` the points (n, d) find. A point is good if it is within 3 sigma of the nearest mode.

    Even the data miss a little: in the plane a Gaussian leaves that circle with probability exp(-9/2) = 1.1 %.
    Srivastava et al. 2017. Raises ValueError for data without modes, or points of another shape.
    """
    if data.modes is None or data.sigma is None:
        raise ValueError(f"{data.name} has no known modes: use data.ring, data.grid or data.gaussians.")
    if points.ndim != 2 or points.shape[1:] != data.modes.shape[1:] or len(points) == 0:
        raise ValueError(f"Points of {data.name} have shape (n, {data.modes.shape[1]}), not {tuple(points.shape)}.")
    differences = points.detach().to(data.modes)[:, None] - data.modes  # (n, k, d)
    sigmas, nearest = (differences.norm(dim=2) / data.sigma).min(1)  # (n, k) -> (n,)
    good = sigmas <= 3
    hits = nearest[good].bincount(minlength=len(data.modes))
    return Modes(int((hits > 0).sum()), good.float().mean().item(), hits)
