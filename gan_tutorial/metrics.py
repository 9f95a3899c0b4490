r"""How good are the samples? Numbers that compare two sets of samples, most of them by features of a network.

    test = gt.data.digits(split="test")
    metrics.report(model.sample(10_000), test)                  # by the judge that ships
    metrics.report(made, real, features=metrics.inception())    # FID and KID of papers
    metrics.report(made, real, features=metrics.random_features(real.shape))  # others

Every set is summed up by features (n, d): what a network sees in each sample. Numbers depend on that network: they can
be compared only if they come from the same network and from equally many samples. `make classifiers` trains those that
ship, one on MNIST and one on synthetic digits.
"""

import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import atomic
from .data import Data, in_double
from .files import Unavailable, checked, download_allowed, fetch, read_checked
from .runtime import derive_seed

WEIGHTS = Path(__file__).parent / "classifiers"
CLASSIFIERS = {  # digits: the SHA-256 of their classifier's file, which `make classifiers` writes here
    "mnist": "2e235deb945b5b21e8baabeaa7fefd41e00bcbe639264092e41be0712c34a0c8",
    "synthetic": "9169cc546a15f3472856c2644b4df823b0e24bce0a311422bb3e060dcb1250ae",
}
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"  # as torch-fidelity names its file
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
INCEPTION_MOST = 100_000_000  # bytes; the file has 91 MB
INCEPTION_PATIENCE = 1800.0  # seconds for all of it: 50 kB a second are enough

READABLE = 10  # samples per feature that make a Fréchet distance readable, its bias being known to within a tenth

Network = nn.Module | Callable[[Tensor], Tensor]


class Metric(NamedTuple):
    """How a number is read. better: "↓" lower, "↑" higher, "→ 1" nearer to one; meaning: in a phrase."""

    better: str
    meaning: str


METRICS = {  # what `report` returns, in the order of its rows
    "Fréchet distance": Metric("↓", "of the features' means and covariances"),
    "Fréchet bias": Metric("", "the Fréchet distance to expect from equal distributions with as many samples"),
    "kernel distance": Metric("↓", "of all moments up to the third; unbiased, around 0 for equal distributions"),
    "confident (p > 0.9)": Metric("↑", "the share of samples of which the classifier is that sure"),
    "variance ratio": Metric("→ 1", "of the features, samples to real"),
    "label accuracy": Metric("↑", "the share that the classifier reads as the label asked for"),
    "within-class variance ratio": Metric("→ 1", "of the features of one class, samples to real"),
}


# ---------------------------------------------------------------------------------------------------- the classifier


class DigitClassifier(nn.Module):
    """Images of digits (n, 1, 28, 28) in [-1, 1] -> logits (n, 10), by way of `width` features.

    Three convolutions, each of which halves the image, then two linear layers. The features are what the first of
    these makes, standardised: over the training images each has about mean 0 and variance 1. They are taken before the
    activation, which would flatten their negative side.
    """

    shape = (1, 28, 28)  # of an image

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


def classifier(
    digits: str | Data, device: torch.device | str | None = None, directory: Path = WEIGHTS
) -> DigitClassifier:
    """The classifier that ships with the book for "mnist" or "synthetic" digits: frozen, in evaluation mode.

    digits     the name, or a data set, whose name and device are taken: `classifier(data)`
    device     where to put it; by default the data's device, or the CPU
    directory  of its file

    Its test error is 0.6 % for MNIST and 0.03 % for synthetic digits. It was trained on images that were moved and
    speckled a little, and so reads generated images with such flaws. Raises ValueError for digits that have no
    classifier, and if its file is not the one that was shipped.
    """
    from safetensors.torch import load

    name = digits.name if isinstance(digits, Data) else digits
    if name not in CLASSIFIERS:
        raise ValueError(
            f"There is no classifier for {name!r}, only for {' and '.join(CLASSIFIERS)} digits. For other data, give "
            "report(…, features=…, classifier=…) networks of your own."
        )
    if device is None and isinstance(digits, Data):
        device = digits.values.device
    weights = load(read_checked(directory / f"{name}.safetensors", CLASSIFIERS[name]))  # in half precision
    with torch.device("meta"):  # draws no initial weights: that would change those of networks that are built later
        net = DigitClassifier()
    net.load_state_dict({key: w.float() if w.is_floating_point() else w for key, w in weights.items()}, assign=True)
    return net.requires_grad_(False).eval().to(device)


def features(net: Network, samples: Tensor, batch: int = 500) -> Tensor:
    """The features (n, d) float32 of samples (n, …), computed `batch` at a time, without a graph.

    net  a module or function, samples -> (n, d), or a module with a method `features` that does this, such as
         `DigitClassifier`. A module is run in evaluation mode, on its own device.

    Samples may be in half, single or double precision: they are converted to the network's. Raises ValueError for other
    types or shapes, values that are not finite, images (n, channels, height, width) of at most four channels outside
    [-1, 1], and features that are not (n, d).
    """
    found = _batched(net, _method(net) or net, samples, batch)
    if found.ndim != 2 or len(found) != len(samples):
        raise ValueError(f"Expected features of shape ({len(samples)}, d), got {tuple(found.shape)}: flatten them.")
    return found


def _method(net: Network | None) -> Callable[[Tensor], Tensor] | None:
    """Its method `features`, if it has one. A submodule of this name, as in torchvision's VGG, does not count."""
    found = getattr(net, "features", None)
    return found if inspect.ismethod(found) else None


def logits(net: Network, samples: Tensor, batch: int = 500) -> Tensor:
    """The logits (n, classes) float32 that a classifier gives to samples (n, …). Raises what `features` raises."""
    found = _batched(net, net, samples, batch)
    if found.ndim != 2 or len(found) != len(samples) or found.shape[1] < 2:
        raise ValueError(f"Expected logits of shape ({len(samples)}, classes), got {tuple(found.shape)}.")
    return found


def predict(classifier: Network, samples: Tensor, batch: int = 500) -> Tensor:
    """The classes (n,) int64 that the classifier reads in samples (n, …). Raises what `features` raises."""
    return logits(classifier, samples, batch).argmax(1)


@torch.no_grad()
def _batched(net: Network, function: Callable[[Tensor], Tensor], samples: Tensor, batch: int) -> Tensor:
    """The function's values at the samples, computed `batch` at a time, on the net's device and in its precision."""
    _check_samples(samples, getattr(net, "shape", None))
    weight = next((p for p in net.parameters() if p.is_floating_point()), None) if isinstance(net, nn.Module) else None
    device, dtype = (samples.device, torch.float32) if weight is None else (weight.device, weight.dtype)
    with _evaluation(net):
        parts = [function(part.to(device, dtype)) for part in samples.split(batch)]
    if not all(isinstance(part, Tensor) and part.is_floating_point() for part in parts):
        raise ValueError(f"Expected a floating-point tensor from the network, got {type(parts[0]).__name__}.")
    if any(part.ndim == 0 or part.shape[1:] != parts[0].shape[1:] for part in parts):
        raise ValueError(
            f"Expected a row of numbers for each sample from the network, got shape {tuple(parts[-1].shape)} for "
            f"samples of shape {tuple(samples.shape[1:])}: return (n, d)."
        )
    return torch.cat(parts).float()


@contextmanager
def _evaluation(net: Network) -> Iterator[None]:
    """Within this block, every module is in evaluation mode; afterwards its own mode is restored."""
    modes = [(m, m.training) for m in net.modules()] if isinstance(net, nn.Module) else []
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _check_samples(samples: Tensor, shape: tuple[int, ...] | None = None) -> None:
    """Raise ValueError unless these are finite floating-point samples (n, *shape), images in [-1, 1]."""
    if not isinstance(samples, Tensor):
        raise ValueError(f"Expected a tensor of samples, got a {type(samples).__name__}: use torch.as_tensor.")
    wanted = "(n, …)" if shape is None else f"(n, {', '.join(map(str, shape))})"
    fits = samples.ndim >= 2 if shape is None else tuple(samples.shape[1:]) == tuple(shape)
    if not fits or len(samples) == 0 or not samples.is_floating_point():
        raise ValueError(
            f"Expected floating-point samples of shape {wanted}, got {samples.dtype} of shape {tuple(samples.shape)}: "
            "take those of a data set by d.take(index)."
        )
    if not samples.isfinite().all():
        raise ValueError("These samples are not all finite: check the training, or the data, that they come from.")
    low, high = samples.min().item(), samples.max().item()
    if _looks_like_images(samples) and not -1.001 <= low <= high <= 1.001:
        raise ValueError(
            f"Images are in [-1, 1], but these reach from {low:.3g} to {high:.3g}: "
            "rescale them, or end the generator with tanh."
        )


def _looks_like_images(samples: Tensor) -> bool:
    """Whether samples are of the kind that lies in [-1, 1]: as in `Data`, more than four channels have any range."""
    return samples.ndim == 4 and samples.shape[1] <= 4


# ----------------------------------------------------------------------------------------------- networks for any data


class RandomFeatures(nn.Module):
    """Images (n, channels, h, w) or signals (n, channels, length) -> (n, 64): convolutions that learned nothing.

    Convolutions of stride 2 with a leaky ReLU, of 32 channels, the last one of 64, until the shorter side has at most
    four pixels; then the mean over all pixels. The weights come from He's initialisation and are frozen; they are the
    same on every machine for the same shape and seed. Raises ValueError for a shape that is neither.
    """

    def __init__(self, shape: Sequence[int], seed: int = 0):
        super().__init__()
        self.shape = tuple(shape) if isinstance(shape, Sequence) else (shape,)
        if len(self.shape) not in (2, 3):
            raise ValueError(
                f"Expected the shape of an image or signal, (channels, height, width) or (channels, length), got "
                f"{self.shape}. Of a table the columns are features already: report(made, real)."
            )
        Conv = nn.Conv2d if len(self.shape) == 3 else nn.Conv1d
        channels, side, layers = self.shape[0], min(self.shape[1:]), []
        while side > 4 or not layers:
            width = 64 if side <= 8 else 32
            layers += [Conv(channels, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
            channels, side = width, (side + 1) // 2
        self.body = nn.Sequential(*layers)
        random = torch.Generator().manual_seed(derive_seed(seed, "random features", *self.shape))
        for layer in layers[::2]:
            nn.init.kaiming_normal_(layer.weight, 0.2, generator=random)
            nn.init.normal_(layer.bias, std=0.1, generator=random)
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).flatten(2).mean(2)


def random_features(shape: Sequence[int], seed: int = 0, device: torch.device | str | None = None) -> RandomFeatures:
    """Features for images or signals of any shape, where there is no network that has learned from such data.

    They notice noise, blur and a collapse to few samples, and less clearly a missing class: a network that has learned
    from such data sees more. Their numbers can be compared only with others of the same shape and seed, and with
    nothing in print. Random networks as features: Naeem et al. 2020.
    """
    with torch.random.fork_rng(devices=[]):  # drawing the layers' initial weights must not change other random numbers
        return RandomFeatures(shape, seed).to(device)


class Inception(nn.Module):
    """Images (n, 1 or 3, h, w) in [-1, 1] -> (n, 2048), by `net`, which takes bytes (n, 3, h, w).

    Grey images go in as three equal channels. Raises ValueError for another number of channels.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            raise ValueError(
                f"Expected images (n, 1, h, w) or (n, 3, h, w) for Inception, got shape {tuple(x.shape)}: drop alpha."
            )
        x = ((x.clamp(-1, 1) + 1) * 127.5).round().byte()
        found = self.net(x.expand(-1, 3, -1, -1))
        return found[0] if isinstance(found, tuple) else found


def inception(weights: str | Path | None = None, device: torch.device | str | None = None) -> Inception:
    """The features that papers use: `report(made, real, features=inception())` has FID and KID as its two distances.

    weights  the file of the network's weights; by default the one in the cache of torch.hub, or else a download of
             91 MB, unless GAN_TUTORIAL_DOWNLOAD is 0
    device   where to put it; by default the CPU

    Heusel et al. 2017 and Bińkowski et al. 2018, with the original TensorFlow network as torch-fidelity converted it;
    papers print 1,000 times the KID. With fewer than 2,049 samples FID is left out, and with fewer than 20,480 it is
    too biased to be read. Most papers take 50,000; with fewer, FID comes out higher. Raises ImportError without the
    package torch-fidelity, FileNotFoundError or `files.Unavailable` without the weights, and ValueError for a file that
    is not the original.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision, which it imports, for another torch
        raise ImportError(
            f"Inception's features need torch-fidelity, which cannot be imported ({error}). Install it beside a "
            "torchvision built for this torch: pip install 'gan-tutorial[fid]'."
        ) from error
    path = Path(weights) if weights else Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION
    if not path.is_file():
        _download_inception(URL_INCEPTION_V3, path, allowed=weights is None and download_allowed())
    read_checked(path, INCEPTION_SHA256, INCEPTION_MOST)  # before it is read as a pickle, which could run code
    net = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    return Inception(net).requires_grad_(False).eval().to(device)


def _download_inception(url: str, path: Path, allowed: bool) -> None:
    """Put the weights at `path`, whole and checked. FileNotFoundError if not allowed, Unavailable if it fails."""
    if not allowed:
        raise FileNotFoundError(
            f"Inception's weights are not at {path}. Download {url} and name the file: metrics.inception(FILE)."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sent = fetch(url, INCEPTION, INCEPTION_MOST, INCEPTION_PATIENCE)
        atomic.write(path, checked(sent, INCEPTION_SHA256, "what was sent", INCEPTION_MOST))
    except (OSError, ValueError) as error:  # ValueError: another SHA-256
        raise Unavailable(
            f"Inception's weights could not be downloaded ({error}). Bring {url} here by other means and name the "
            "file: metrics.inception(FILE)."
        ) from error


# ------------------------------------------------------------------------------------------------- sets with labels


def label_accuracy(classifier: Network, samples: Tensor, label: Tensor) -> float:
    """The share of samples in which the classifier reads the label (n,) that they were made for.

    Its own mistakes count against the generator: real test images reach its accuracy, not 1. Raises ValueError as
    `features` does, for another number of labels, and for labels that are not whole numbers from 0 to its number of
    classes less one.
    """
    return _accuracy(logits(classifier, samples), label)


def classifier_score(logits: Tensor) -> float:
    r"""$\exp \mathbb E_x\, \mathrm{KL}(p(y \mid x) \,\Vert\, p(y))$, from the logits (n, classes) of n samples.

    It runs from 1, where the classifier says the same of all samples, to the number of classes, where it is sure of
    each and all classes are equally frequent. No real sample enters it: one good image per class gets the best score.
    Salimans et al. 2016, section 4, with Inception's logits (the Inception Score). Raises ValueError for logits of
    another shape, and for values that are not finite.
    """
    log_p = feature_rows(logits).log_softmax(1)
    marginal = log_p.logsumexp(0) - math.log(len(log_p))
    return (log_p.exp() * (log_p - marginal)).sum(1).mean().exp().item()


def _accuracy(logits: Tensor, label: Tensor) -> float:
    label = _labels(label, len(logits), logits.shape[1])
    return (logits.argmax(1).cpu() == label).float().mean().item()


def _labels(label: Tensor | Iterable[int], n: int, classes: int | None = None) -> Tensor:
    """Labels (n,) int64 on the CPU, from a tensor, list or array. ValueError for anything else."""
    try:
        label = torch.as_tensor(label).cpu()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"Labels are whole numbers, one for each sample, but these are {label!r:.80}.") from None
    if label.shape != (n,):
        raise ValueError(f"Expected one label for each of {n} samples, got labels of shape {tuple(label.shape)}.")
    if label.is_floating_point() or label.is_complex() or label.dtype == torch.bool:
        raise ValueError(f"Labels are whole numbers, such as int64, but these are {label.dtype}.")
    if classes is not None and not 0 <= label.min() <= label.max() < classes:
        raise ValueError(
            f"The classifier knows labels 0 to {classes - 1}, but these reach from {label.min()} to {label.max()}."
        )
    return label.long()


def within_class_variance(features: Tensor, label: Tensor) -> float:
    r"""$\sum_c \frac{n_c}{n} \operatorname{tr} S_c$: how much samples of one class differ, on average over samples.

    features, label  (n, d) and (n,); $S_c$ is the covariance of the $n_c$ features of class c, with divisor $n_c - 1$

    It does not see where a class lies, only how wide it is: 0 for a generator with one image for each class.
    Raises ValueError if a class has only one sample.
    """
    x = feature_rows(features)
    label = _labels(label, len(x))
    classes, counts = label.unique(return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            f"Class {classes[counts.argmin()].item()} has only one sample: the variance within a class "
            "takes at least two of each."
        )
    return float(sum(n / len(x) * x[label == c].var(0).sum() for c, n in zip(classes, counts, strict=True)))


# ----------------------------------------------------------------------------------------------- distances of two sets


def frechet_distance(a: Tensor, b: Tensor) -> float:
    r"""$|\mu - \mu'|^2 + \operatorname{tr}(S + S' - 2 (S S')^{1/2})$, from features (n, d) and (m, d).

    The squared Wasserstein-2 distance between the Gaussians that have the sets' means and covariances (with divisor
    n - 1): zero if these agree, whatever else differs. Its unit is that of the features, squared. From few samples it
    is estimated too *high*, even between two halves of one set, by about `frechet_bias`: compare sets of equal sizes,
    with many more samples than dimensions. Heusel et al. 2017.
    Raises ValueError for sets of different dimensions, fewer than two samples, and values that are not finite. Warns if
    a set has no more samples than dimensions, so that its covariance is singular: `report` then leaves it out.
    """
    a, b = two_feature_sets(a, b)
    n, d = min(len(a), len(b)), a.shape[1]
    if n <= d:
        warnings.warn(
            f"A Fréchet distance of {d:,} features from {n:,} samples mostly measures how few they are: take more than "
            f"{d:,}, and {READABLE * d:,} or more to read it.",
            stacklevel=2,
        )
    # With the triangular factor of the centred samples S = r^T r, and S' = s^T s. The eigenvalues of S S' are then the
    # squared singular values of r s^T: no root of a matrix, which rounding makes complex where S is nearly singular.
    r, s = (torch.linalg.qr((x - x.mean(0)) / (len(x) - 1) ** 0.5, mode="r").R for x in (a, b))
    means = (a.mean(0) - b.mean(0)).square().sum()
    return (means + r.square().sum() + s.square().sum() - 2 * torch.linalg.svdvals(r @ s.T).sum()).item()


def frechet_bias(real: Tensor, n: int, m: int | None = None) -> float:
    r"""The Fréchet distance to expect between n and m samples (m = n if not given) of the distribution of `real`.

    $\left(\frac 1n + \frac 1m\right) \Bigl( \operatorname{tr} S + \frac 12 \sum_{i,j}
    \frac{\operatorname{Var}(x_i x_j)}{\lambda_i + \lambda_j} \Bigr)$

    real  features (k, d); S is their covariance, $\lambda$ its eigenvalues, x the centred features in its eigenbasis

    The first term comes from the means. An error E of a covariance adds $\frac 12 \sum_{ij} E_{ij}^2 / (\lambda_i +
    \lambda_j)$ to the distance, to second order, and its entries have the variances $\operatorname{Var}(x_i x_j) / n$.
    For a Gaussian these are $\lambda_i \lambda_j (1 + \delta_{ij}) / n$, and the whole is $s^2 d (d + 5) / 2n$ if all d
    variances are $s^2$ and m = n. If `real` has few samples, the bias comes out too low: by a fifth with 2 d of them,
    by a twentieth with 10 d. That it falls like 1/n, and is not the same for all generators, is the point of Chong and
    Forsyth 2020. Raises ValueError for n or m below 2, and as `frechet_distance` does.
    """
    m = n if m is None else m
    if min(n, m) < 2:
        raise ValueError(f"Expected at least two samples, got {min(n, m)}.")
    x = feature_rows(real)
    x = x - x.mean(0)
    values, basis = torch.linalg.eigh(x.T @ x / (len(x) - 1))
    kept = values > 1e-12 * values[-1]  # directions in which nothing varies have no error
    values, squares = values[kept], (x @ basis[:, kept]).square()
    variances = squares.T @ squares / len(x) - values.square().diag()
    errors = 0.5 * (variances / (values[:, None] + values)).sum()
    return ((1 / n + 1 / m) * (values.sum() + errors)).item()


def kernel_distance(a: Tensor, b: Tensor, block: int = 100) -> float:
    r"""The squared MMD of features (n, d) and (m, d), estimated without bias, for $k(x, y) = (x \cdot y / d + 1)^3$.

    $\frac{1}{n(n-1)} \sum_{i \ne j} k(a_i, a_j) + \frac{1}{m(m-1)} \sum_{i \ne j} k(b_i, b_j)
    - \frac{2}{nm} \sum_{i,j} k(a_i, b_j)$

    It sees means, covariances and third moments. Its expectation is right for sets of any size, and zero where the
    distributions agree, so that single values may be negative. Computed `block` rows at a time. Gretton et al. 2012;
    the kernel is that of Bińkowski et al. 2018. Raises what `frechet_distance` raises.
    """
    a, b = two_feature_sets(a, b)
    within = [_kernel_sums(x, None, block).sum() / (len(x) * (len(x) - 1)) for x in (a, b)]
    return float(sum(within) - 2 / (len(a) * len(b)) * _kernel_sums(a, b, block).sum())


def _kernel_sums(x: Tensor, y: Tensor | None, block: int) -> Tensor:
    """(n,): for each row of x the sum of (x · y / d + 1)³ over the rows of y, or, for None, over the others of x."""
    d, others = x.shape[1], x if y is None else y
    sums = torch.cat([((part @ others.T / d + 1) ** 3).sum(1) for part in x.split(block)])
    return sums - (x.square().sum(1) / d + 1) ** 3 if y is None else sums


class Estimate(NamedTuple):
    """value: what was estimated; error: its standard error."""

    value: float
    error: float


def kernel_estimate(a: Tensor, b: Tensor, block: int = 100) -> Estimate:
    r"""`kernel_distance` of features (n, d) and (m, d), with a standard error by the jackknife.

    The variance is $\frac{n-1}{n} \sum_i (U_{-i} - \bar U)^2$, with $U_{-i}$ the distance without sample i, plus the
    same for the other set. It comes from the row sums of the kernel matrices, and hardly takes longer.

    On average this variance is not too small, whatever the distributions (Efron and Stein 1981). Where they are equal
    it is about twice too large: three standard errors are then more than four of the distance's own standard
    deviations.
    Raises what `frechet_distance` raises, and ValueError for fewer than three samples in a set.
    """
    a, b = two_feature_sets(a, b)
    n, m = len(a), len(b)
    if min(n, m) < 3:
        raise ValueError(f"Expected at least three samples in each set, got {n} and {m}.")
    within_a, within_b = (_kernel_sums(x, None, block) for x in (a, b))
    across_a, across_b = _kernel_sums(a, b, block), _kernel_sums(b, a, block)
    sum_a, sum_b, across = within_a.sum(), within_b.sum(), across_a.sum()
    own_a, own_b = sum_a / (n * (n - 1)), sum_b / (m * (m - 1))
    without_a = (sum_a - 2 * within_a) / ((n - 1) * (n - 2)) + own_b - 2 * (across - across_a) / ((n - 1) * m)
    without_b = own_a + (sum_b - 2 * within_b) / ((m - 1) * (m - 2)) - 2 * (across - across_b) / (n * (m - 1))
    variance = sum((len(u) - 1) / len(u) * (u - u.mean()).square().sum() for u in (without_a, without_b))
    return Estimate(float(own_a + own_b - 2 * across / (n * m)), float(variance) ** 0.5)


def two_feature_sets(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets as `feature_rows` gives them. Raises what it raises, and ValueError for different dimensions."""
    a, b = feature_rows(a), feature_rows(b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"Sets of features have one number of dimensions, not {a.shape[1]} and {b.shape[1]}.")
    return a, b


def feature_rows(features: Tensor) -> Tensor:
    """Features (n, d), a tensor or array, in double precision on the CPU: not every device has it.

    Raises ValueError for another shape, fewer than two samples, and values that are not finite.
    """
    features = torch.as_tensor(features)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"Features have shape (n, d), with n at least 2, not {tuple(features.shape)}.")
    if not features.isfinite().all():
        raise ValueError("These features are not all finite: check the samples that they come from.")
    return features.detach().cpu().double()


# ------------------------------------------------------------------------------------------------------------ reports


class Report(dict[str, float]):
    """Numbers by name, as in `METRICS`, and `notes`: sentences on what they were measured by, and what is missing."""

    def __init__(self, numbers: Mapping[str, float] | Iterable = (), notes: Iterable[str] = ()):
        super().__init__(numbers)
        self.notes = list(notes)

    def __repr__(self) -> str:
        return table({"": self})


def report(
    made: Tensor,
    real: Data | Tensor,
    *,
    label: Tensor | None = None,
    real_label: Tensor | None = None,
    features: Network | None = None,
    classifier: Network | None = None,
    seed: int = 0,
) -> Report:
    """Every number of this module that judges samples against real ones that no network was trained on, by name.

    made        (n, …), images in [-1, 1]
    real        test data, or a tensor like `made`: at most n of them, drawn by `seed`, are compared
    label       (n,), what the samples were made for: adds label accuracy and the variance within a class
    real_label  the labels of `real` if it is a tensor; a data set has its own
    features    a network, samples -> (n, d). By default the method `features` of the classifier; or that of the
                classifier that ships with the book for these digits; or the columns of a table, each divided by its
                standard deviation
    classifier  samples -> logits, if there is one; if `features` is not given either, the one that ships for these
                digits
    seed        of the choice of real samples

    What the samples cannot show is left out, and a note says so: the Fréchet distance, unless there are more samples
    than features; the variance within a class, unless both sets have the same classes and two samples of each; a ratio
    to a real variance that is zero. Another note has the standard errors of what is estimated without bias. Warns if
    most samples are bit for bit among the real ones. Raises ValueError for samples of different shapes, for data that
    need `features`, and as `features` and `label_accuracy` do.
    """
    _check_samples(made)
    notes = []
    x, real_label, name = _real(real, real_label, len(made), seed, notes)
    if x.shape[1:] != made.shape[1:]:
        raise ValueError(
            f"Expected samples of the shape of real ones, {tuple(x.shape[1:])}, got {tuple(made.shape[1:])}."
        )
    features, classifier = _networks(real, x, features, classifier)
    _copies(made, x, notes)
    if _looks_like_images(made) and made.min() >= 0 > x.min():
        notes.append(
            "These images never go below 0, and the real ones do: images are in [-1, 1], rescale [0, 1] to it."
        )
    a, b = (_features(features, samples) for samples in (made, x))
    n, d = a.shape
    notes.insert(0, f"{n:,} samples, {len(b):,} of {name}; {d} features.")
    numbers = {}
    if min(n, len(b)) > d:
        numbers = {"Fréchet distance": frechet_distance(a, b), "Fréchet bias": frechet_bias(b, n, len(b))}
        if min(n, len(b)) < READABLE * d:
            notes.append(f"The Fréchet distance is biased by few samples: read it from {READABLE * d:,} on.")
    else:
        notes.append(f"No Fréchet distance: {d} features need more than {d} samples; read it from {READABLE * d:,} on.")
    errors = []  # of the numbers
    if min(n, len(b)) > 2:
        numbers["kernel distance"], error = kernel_estimate(a, b)
        errors.append(f"kernel distance ± {error:.1g}")
    else:
        numbers["kernel distance"] = kernel_distance(a, b)
    scores = None if classifier is None else logits(classifier, made)
    if scores is not None:
        numbers["confident (p > 0.9)"] = (scores.softmax(1).amax(1) > 0.9).float().mean().item()
        most = 50 / n**0.5  # sqrt(p (1 - p) / n) at p = 1/2, in percentage points
        errors.append(f"shares and accuracies ± at most {most:.1f} percentage points")
    if errors:
        notes.append(f"Standard errors: {', '.join(errors)}.")
    variance = feature_rows(b).var(0).sum()
    if variance > 0:
        numbers["variance ratio"] = (feature_rows(a).var(0).sum() / variance).item()
    else:
        notes.append("No variance ratio: all real samples have the same features.")
    if label is not None:
        label = _labels(label, n)
        if scores is not None:
            numbers["label accuracy"] = _accuracy(scores, label)
        numbers |= _within(a, label, b, real_label, notes)
    return Report(numbers, notes)


def compare(
    made: Tensor, train: Data, test: Data, *, label: Tensor | None = None, title: str = "model", **settings
) -> dict[str, Report]:
    """Two columns for `table`: the samples, and equally many training images, each against test images.

    Training images show the best result that can be expected. If there are fewer of them, a note says so. `settings`
    are features, classifier and seed of `report`.
    """
    some = subset(train, len(made), settings.get("seed", 0) + 1)
    own = some.label if label is not None else None
    columns = {
        title: report(made, test, label=label, **settings),
        "training images": report(some.take(slice(None)), test, label=own, **settings),
    }
    if len(some) < len(made):
        columns["training images"].notes.append(
            f"There are only {len(some):,} training images, for {len(made):,} samples: their Fréchet bias is larger."
        )
    return columns


def subset(data: Data, n: int, seed: int = 0) -> Data:
    """n samples of a data set, or all if there are fewer, drawn without replacement: files often have some order."""
    random = torch.Generator().manual_seed(derive_seed(seed, "subset"))
    return data[torch.randperm(len(data), generator=random)[:n].to(data.values.device)]


def table(columns: Mapping[str, Mapping[str, float]]) -> str:
    """Metrics side by side: a row for each, with the better direction; a column for each set; notes below."""
    found = {name for column in columns.values() for name in column}
    names = [name for name in METRICS if name in found]
    names += [name for column in columns.values() for name in column if name not in METRICS and name not in names]
    names = list(dict.fromkeys(names))
    lines = [" " * 34 + "".join(f"{title:>18}" for title in columns)] if any(columns) else []
    for name in names:
        cells = (f"{column[name]:18.4g}" if name in column else " " * 18 for column in columns.values())
        better = METRICS[name].better if name in METRICS else ""
        lines.append(f"{name:28} {better:4} " + "".join(cells))
    notes = [(title, note) for title, column in columns.items() for note in getattr(column, "notes", ())]
    lines += dict.fromkeys(f"{title}: {note}" if title else note for title, note in notes)
    return "\n".join(lines)


def _real(real, label, n: int, seed: int, notes: list[str]) -> tuple[Tensor, Tensor | None, str]:
    """At most n real samples, their labels, and what they are called."""
    if not isinstance(real, Data):
        _check_samples(real)
        index = torch.randperm(len(real), generator=torch.Generator().manual_seed(derive_seed(seed, "subset")))[:n]
        label = None if label is None else _labels(label, len(real))[index]
        x, total, name = real[index.to(real.device)], len(real), "the real ones"
    else:
        if label is not None:
            raise ValueError("Leave real_label out: a data set has its own labels.")
        some = subset(real, n, seed)
        x, label, total, name = some.take(slice(None)), some.label, len(real), real.name
        if real.split == "train" or (real.name == "mnist" and total > 10_000):
            own = {"mnist": "MNIST's training images", "synthetic": "the training images of the synthetic digits"}
            known = own.get(real.name, f"the training images of the {real.name}")
            notes.append(f"These real images are {known}: judge by test images, made with split='test'.")
    if total < n:
        notes.append(f"There are only {total:,} real samples, for {n:,} samples.")
    return x, label, name


def _networks(real, x: Tensor, features, classifier) -> tuple[Network, Network | None]:
    """Those given, or what is at hand for these data; no features for a table, whose columns are taken."""
    known = isinstance(real, Data) and real.name in CLASSIFIERS and real.shape == DigitClassifier.shape
    if features is None and classifier is None and known:
        classifier = _shipped(real)
    if features is None and _method(classifier):
        features = classifier
    if features is None and known:
        features = _shipped(real)
    if features is None and x.ndim == 2:
        scale = in_double(x).std(0)
        return (lambda rows: rows / scale.where(scale > 0, 1).to(rows)), classifier
    if features is None:
        raise ValueError(
            f"Samples of shape {tuple(x.shape[1:])} are judged by features: give report(…, features=net), a network "
            "that learned from such data, metrics.inception(), or metrics.random_features(shape)."
        )
    return features, classifier


_shipped, _features = classifier, features  # in `report`, arguments hide these names


def _copies(made: Tensor, real: Tensor, notes: list[str]) -> None:
    """Say how many samples are, bit for bit, among the real ones, and warn if most of them are."""
    known = {hash(row.tobytes()) for row in real.detach().float().cpu().contiguous().numpy()}
    same = sum(hash(row.tobytes()) in known for row in made.detach().float().cpu().contiguous().numpy())
    if same:
        notes.append(f"{same:,} of {len(made):,} samples are bit for bit among the real ones: copies, or the same set.")
    if same > len(made) / 2:
        warnings.warn(notes[-1] + " Judge by data that nothing was trained on.", stacklevel=3)


def _within(a: Tensor, label: Tensor, b: Tensor, real_label: Tensor | None, notes: list[str]) -> dict[str, float]:
    """The ratio of variances within a class, or a note on why there is none."""
    if real_label is None:
        notes.append("No within-class variance ratio: the real samples have no labels.")
        return {}
    for who, classes in (("made", label), ("real", real_label)):
        values, counts = classes.unique(return_counts=True)
        if counts.min() < 2:
            notes.append(f"No within-class variance ratio: only one {who} sample of class {values[counts.argmin()]}.")
            return {}
    if not torch.equal(label.unique(), real_label.cpu().unique()):
        notes.append("No within-class variance ratio: the samples are of other classes than the real ones.")
        return {}
    variance = within_class_variance(b, real_label)
    if variance == 0:
        notes.append("No within-class variance ratio: the real samples of a class have the same features.")
        return {}
    return {"within-class variance ratio": within_class_variance(a, label) / variance}


# ------------------------------------------------------------------------------------------------- points with modes


class Modes(NamedTuple):
    """found: modes with at least one good point; quality: the share of good points; hits: how many at each mode."""

    found: int
    quality: float
    hits: Tensor


def modes(points: Tensor, data: Data) -> Modes:
    """How many modes of `data` the points (n, d) find. A point is good if it is within 3 sigma of the nearest mode.

    The nearest mode is the one that is the fewest of its own sigmas away. Even the data miss a little: in the plane a
    Gaussian leaves that circle with probability exp(-9/2) = 1.1 %.
    Srivastava et al. 2017. Raises ValueError for data without modes, or points of another shape.
    """
    if data.modes is None or data.sigma is None:
        raise ValueError(f"{data.name} has no known modes: expected data.ring, data.grid or data.gaussians.")
    points = torch.as_tensor(points)
    if points.ndim != 2 or points.shape[1:] != data.modes.shape[1:] or len(points) == 0:
        raise ValueError(f"Points of {data.name} have shape (n, {data.modes.shape[1]}), not {tuple(points.shape)}.")
    differences = points.detach().to(data.modes)[:, None] - data.modes  # (n, k, d)
    sigmas, nearest = (differences.norm(dim=2) / data.sigma).min(1)  # (n, k) -> (n,)
    good = sigmas <= 3
    hits = nearest[good].bincount(minlength=len(data.modes))
    return Modes(int((hits > 0).sum()), good.float().mean().item(), hits)
