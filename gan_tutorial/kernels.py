r"""Gaussian kernels: comparing two sets of samples, estimating a density, and blurring.

    kernel = gaussian(median_distance(real))      # or several: gaussian(1, 2, 4)
    mmd2(made, real, kernel)                      # a squared distance, or a loss
    permutation_test(made, real, kernel).p_value  # from one distribution?
    log_likelihood(x, made, sigma)                # a Parzen window estimate
    blur(images, sigma)                           # smooths each image; it adds no noise

Samples may have any shape (n, …); the distance between two of them is the Euclidean one over all their numbers.
"""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from .data import in_double
from .runtime import derive_seed

Kernel = Callable[[Tensor], Tensor]


def gaussian(*sigmas: float | Tensor) -> Kernel:
    r"""The kernel $k(x, y) = \frac 1s \sum_{\sigma} e^{-\|x - y\|^2 / 2\sigma^2}$ as a function of squared distances.

    sigmas  one or several bandwidths, s of them, in units of the samples; several see differences on several scales

    k(x, x) = 1, and 0 < k <= 1. Raises ValueError for no bandwidth, and for any that is not positive.
    """
    widths = [float(sigma) for sigma in sigmas]
    if not widths or not all(0 < width < math.inf for width in widths):
        raise ValueError(f"Expected one or several positive bandwidths, got {widths}.")

    def kernel(squared: Tensor) -> Tensor:
        return sum((torch.exp(squared / (-2 * width**2)) for width in widths), torch.zeros_like(squared)) / len(widths)

    return kernel


def median_distance(x: Tensor, y: Tensor | None = None, most: int = 2000) -> float:
    r"""The median distance between samples of x, or of x and y together: a first guess at a bandwidth.

    most  only this many samples of each set are used, the first ones

    It is the width of the whole set. If the sets differ in details that are much finer, a kernel of this width does
    not see them. Gretton et al. 2012, section 8. Raises ValueError for fewer than two samples, and if at least half of
    the distances are zero.
    """
    rows = _rows(x)[:most] if y is None else torch.cat([_rows(x)[:most], _rows(y, x)[:most]])
    if len(rows) < 2:
        raise ValueError(f"Expected at least two samples, got {len(rows)}.")
    median = torch.pdist(in_double(rows)).median().item()
    if median == 0:
        raise ValueError("At least half of the samples' distances are zero: these are copies. Choose a bandwidth.")
    return median


# -------------------------------------------------------------------------------------------------------- two samples


def mmd2(x: Tensor, y: Tensor, kernel: Kernel, unbiased: bool = True, block: int = 1000) -> Tensor:
    r"""The squared maximum mean discrepancy between the distributions of x (n, …) and y (m, …), estimated; a scalar.

    $\frac{1}{n(n-1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{m(m-1)} \sum_{i \ne j} k(y_i, y_j)
    - \frac{2}{nm} \sum_{i,j} k(x_i, y_j)$

    unbiased  True for the formula above, whose mean is 0 for equal distributions, and which may be negative. False for
              all pairs, divided by n² and m²: the squared distance of the samples themselves, never negative, too large
              by about (1 - mean k)(1/n + 1/m)

    Differentiable in x and y, which makes it a loss: that of a generative moment matching network (Li et al. 2015;
    Dziugaite et al. 2015). Computed `block` rows at a time. Gretton et al. 2012, eqs. 3 and 5. Raises ValueError for
    samples of different shapes, fewer than two of them, and values that are not finite.
    """
    x, y = _two_sets(x, y)
    within = (_within(rows, kernel, unbiased, block) for rows in (x, y))
    return sum(within, -2 * _total(x, y, kernel, block) / (len(x) * len(y)))


def _within(rows: Tensor, kernel: Kernel, unbiased: bool, block: int) -> Tensor:
    n, total = len(rows), _total(rows, rows, kernel, block)
    if not unbiased:
        return total / n**2
    return (total - n * kernel(rows.new_zeros(()))) / (n * (n - 1))


def _total(x: Tensor, y: Tensor, kernel: Kernel, block: int) -> Tensor:
    return sum((kernel(squared_distances(part, y)).sum() for part in x.split(block)), x.new_zeros(()))


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    r"""$\|x_i - y_j\|^2$ of all pairs, (n, m), from rows (n, d) and (m, d); never negative.

    From inner products, after the mean of y is subtracted from both: without that, samples far from 0 would lose
    digits.
    """
    centre = y.detach().mean(0)
    x, y = x - centre, y - centre
    squares = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
    return squares.clamp(min=0)


def witness(points: Tensor, x: Tensor, y: Tensor, kernel: Kernel, block: int = 1000) -> Tensor:
    r"""$\frac 1n \sum_i k(t, x_i) - \frac 1m \sum_j k(t, y_j)$ at each of the points t (k, …): (k,).

    Where it is positive, x has more mass than y within a bandwidth; where it is negative, less. Of all functions of
    unit norm in the kernel's space it is, up to scale, the one whose means over x and y differ most: what a critic is
    to a GAN. Gretton et al. 2012, eq. 4. Raises ValueError for samples of different shapes or that are not finite.
    """
    t, x, y = _rows(points), _rows(x, points), _rows(y, points)
    parts = [kernel(squared_distances(p, x)).mean(1) - kernel(squared_distances(p, y)).mean(1) for p in t.split(block)]
    return torch.cat(parts)


class TwoSampleTest(NamedTuple):
    """statistic: the unbiased squared MMD; p_value: see `permutation_test`; null: that of each permutation, (k,)."""

    statistic: float
    p_value: float
    null: Tensor


@torch.no_grad()
def permutation_test(x: Tensor, y: Tensor, kernel: Kernel, permutations: int = 200, seed: int = 0) -> TwoSampleTest:
    r"""A two-sample test: are x (n, …) and y (m, …) from one distribution?

    If they are, it means nothing which sample belongs to which set: the squared MMD of the sets as they are is then
    distributed like those of `permutations` random divisions. p = (1 + how many of these are at least as large) / (1 +
    permutations), so that a test that rejects for p <= a wrongly rejects with probability at most a, whatever n
    (Phipson and Smyth 2010). A kernel whose bandwidth was chosen by looking at *both* sets together keeps that promise;
    one chosen for a large result does not. Raises what `mmd2` raises, and ValueError for fewer than one permutation.
    """
    if permutations < 1:
        raise ValueError(f"Expected at least one permutation, got {permutations}.")
    x, y = _two_sets(x, y)
    n, m = len(x), len(y)
    rows = in_double(torch.cat([x, y]))
    pairs = kernel(squared_distances(rows, rows)).fill_diagonal_(0)
    random = torch.Generator().manual_seed(derive_seed(seed, "permutation test"))
    orders = [torch.arange(n + m)]  # the first is the sets as they are, so that all values are computed alike
    orders += [torch.randperm(n + m, generator=random) for _ in range(permutations)]
    first = torch.zeros(n + m, len(orders), dtype=rows.dtype)  # who is in the first set, a column for each order
    for column, order in enumerate(orders):
        first[order[:n], column] = 1
    own = (pairs @ first.to(pairs)).cpu()  # each one's sum over the first set
    within, across = (own * first).sum(0), (own * (1 - first)).sum(0)
    rest = pairs.sum().cpu() - within - 2 * across
    found = within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * across / (n * m)
    statistic = found[0].item()
    # A permutation that leaves the division as it is has the same value, up to rounding.
    as_large = int((found[1:] >= statistic - 1e-12).sum())
    return TwoSampleTest(statistic, (1 + as_large) / (1 + permutations), found[1:])


# --------------------------------------------------------------------------------------------------- a density's value


def log_likelihood(x: Tensor, samples: Tensor, sigma: float, block: int = 500) -> Tensor:
    r"""$\ln \frac 1n \sum_i \mathcal N(x; s_i, \sigma^2 I)$ at each x (k, …), from samples s (n, …): (k,), in nats.

    The Parzen window estimate of the samples' log-density. Breuleux et al. 2011 judged generators by its mean over
    test images; Theis et al. 2016 show why one should not. Raises ValueError for a sigma that is not positive, and for
    samples of different shapes or that are not finite.
    """
    if not 0 < sigma < math.inf:
        raise ValueError(f"Expected a positive sigma, got {sigma}.")
    rows, centres = in_double(_rows(x)), in_double(_rows(samples, x))
    parts = [torch.logsumexp(squared_distances(part, centres) / (-2 * sigma**2), 1) for part in rows.split(block)]
    return torch.cat(parts) - math.log(len(centres)) - rows.shape[1] / 2 * math.log(2 * math.pi * sigma**2)


def best_sigma(samples: Tensor, validation: Tensor, sigmas: Iterable[float]) -> float:
    """The sigma that gives the validation samples the greatest mean log-likelihood.

    The validation samples must be neither those that the density is made of, which would choose sigma = 0, nor those
    that the result is reported on. Raises ValueError for no sigma, and as `log_likelihood` does.
    """
    scores = {sigma: log_likelihood(validation, samples, sigma).mean().item() for sigma in sigmas}
    if not scores:
        raise ValueError("Expected one or several sigmas to choose from.")
    return max(scores, key=lambda sigma: scores[sigma])


# ------------------------------------------------------------------------------------------------------------- blurring


def blur(images: Tensor, sigma: float) -> Tensor:
    r"""Images (n, channels, h, w), each pixel a mean over pixels at distance r with weights $e^{-r^2 / 2\sigma^2}$.

    The weights reach 4 sigma in each direction and sum to 1; edge pixels are repeated beyond the border, so that a
    constant image stays as it is. This smooths every image. What convolves their *distribution* with N(0, sigma² I) is
    noise: images + sigma * torch.randn_like(images). sigma = 0 changes nothing. Raises ValueError for a negative one,
    and for anything but floating-point images.
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(f"Expected floating-point images (n, channels, h, w), got {tuple(images.shape)}.")
    if not 0 <= sigma < math.inf:
        raise ValueError(f"Expected sigma to be at least 0, got {sigma}.")
    if sigma == 0:
        return images
    reach = math.ceil(4 * sigma)
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    weights = torch.exp(-offsets.square() / (2 * sigma**2))
    weights = weights / weights.sum()
    flat = images.flatten(0, 1)[:, None]  # a channel is an image of its own
    flat = conv2d(pad(flat, (0, 0, reach, reach), "replicate"), weights[None, None, :, None])
    flat = conv2d(pad(flat, (reach, reach, 0, 0), "replicate"), weights[None, None, None, :])
    return flat.view_as(images)


def _two_sets(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets as rows. ValueError as of `_rows`, and for fewer than two samples."""
    x, y = _rows(x), _rows(y, x)
    if min(len(x), len(y)) < 2:
        raise ValueError(f"Expected at least two samples in each set, got {len(x)} and {len(y)}.")
    return x, y


def _rows(samples: Tensor, like: Tensor | None = None) -> Tensor:
    """Samples (n, …) as rows (n, d). ValueError for what is not a set of samples of the shape of `like`."""
    if not isinstance(samples, Tensor) or samples.ndim < 2 or not samples.is_floating_point() or len(samples) == 0:
        got = f"{samples.dtype} {tuple(samples.shape)}" if isinstance(samples, Tensor) else type(samples).__name__
        raise ValueError(f"Expected floating-point samples (n, …), got {got}.")
    if like is not None and samples[0].numel() != like[0].numel():
        raise ValueError(
            f"Expected sets of samples of one shape, got {tuple(like.shape[1:])} and {tuple(samples.shape[1:])}."
        )
    if not samples.detach().isfinite().all():
        raise ValueError("These samples are not all finite: check what they come from.")
    return samples.flatten(1)
