r"""Metrics by nearest neighbours: how realistic samples are, how much of the data they cover, and which are copies.

Every function takes features (n, d), as `metrics.features` makes them. A set is seen as the union of balls around its
samples; the radius of each is the distance to its k-th neighbour in the same set.

    a, b = metrics.features(net, made), metrics.features(net, real)
    precision_recall(a, b)                  # quality and variety apart
    density_coverage(a, b)                  # the same, less sensitive to outliers
    authenticity(a, metrics.features(net, training_images))
    report(a, b, metrics.features(net, training_images))        # all of these at once, in half the time
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .metrics import feature_rows, two_feature_sets


class Nearest(NamedTuple):
    """distance and index of the nearest neighbour of each sample, both (n,)."""

    distance: Tensor
    index: Tensor


def nearest(a: Tensor, b: Tensor, block: int = 1000) -> Nearest:
    """For each row of a (n, d) the nearest row of b (m, d). Raises ValueError as `metrics.frechet_distance` does."""
    a, b = two_feature_sets(a, b)
    found = [_distances(part, b).min(1) for part in a.split(block)]
    return Nearest(torch.cat([one.values for one in found]), torch.cat([one.indices for one in found]))


class PrecisionRecall(NamedTuple):
    """precision: the share of generated samples in real balls; recall: the share of real ones in generated balls."""

    precision: float
    recall: float


def precision_recall(made: Tensor, real: Tensor, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall of generated features (n, d) against real ones (m, d), each from 0 to 1.

    A sample is in a set's support if it lies in a ball around one of the set's samples, whose radius is the distance to
    that sample's k-th neighbour in the set. Both sets should have the same number of samples. Two halves of one set do
    not reach 1, and one outlier with a large ball can raise either number. Kynkäänniemi et al. 2019, eqs. 1 and 2.
    Raises ValueError unless k is at least 1 and each set has more than k samples.
    """
    made, real = two_feature_sets(made, real)
    return PrecisionRecall(_within_any(made, real, k), _within_any(real, made, k))


class DensityCoverage(NamedTuple):
    """density: the real balls that a generated sample lies in, over k; coverage: the share of real balls met."""

    density: float
    coverage: float


def density_coverage(made: Tensor, real: Tensor, k: int = 5) -> DensityCoverage:
    r"""Density and coverage of generated features (n, d) against real ones (m, d).

    density $\frac{1}{kn} \sum_j \sum_i 1[y_j \in B_k(x_i)]$, coverage $\frac 1m \sum_i 1[\exists j: y_j \in B_k(x_i)]$
    for generated y and real x, whose balls $B_k$ have the distance to the k-th neighbour among the real as radius.

    Equal distributions have density 1 on average, which may be exceeded, and coverage
    $1 - \frac{(m-1) \cdots (m-k)}{(n+m-1) \cdots (n+m-k)}$, about $1 - 2^{-k}$ for n = m. Naeem et al. 2020, eqs. 3
    to 8. Raises ValueError unless k is at least 1, and there are more than k real samples and two generated ones.
    """
    made, real = two_feature_sets(made, real)
    radius = _radii(real, k)
    inside = [_distances(part, real) <= radius for part in made.split(1000)]
    density = sum(float(part.sum()) for part in inside) / (k * len(made))
    met = torch.stack([part.any(0) for part in inside]).any(0)
    return DensityCoverage(density, met.double().mean().item())


def authenticity(made: Tensor, train: Tensor) -> float:
    """The share of generated samples that are not copies of training samples, from features (n, d) and (m, d).

    A sample counts as a copy if its nearest training sample is nearer to it than to any other training sample. That
    happens by chance too: new samples of the data's own distribution reach less than 1, and how much less depends on
    the dimension. So compare with held-out data. Alaa et al. 2022, section 3. Raises ValueError for fewer than two
    samples in a set.
    """
    distance, index = nearest(made, train)
    return (distance >= _radii(feature_rows(train), 1)[index]).double().mean().item()


def report(made: Tensor, real: Tensor, train: Tensor, k_support: int = 3, k_density: int = 5) -> dict[str, float]:
    """All numbers of this module by name, from features: made (n, d), real (m, d) and training ones (l, d).

    "precision", "recall", "density", "coverage" and "authenticity" are what the functions above return; "nearer" is the
    share of generated samples that are nearer to a training sample than to any real one, ½ on average for new samples
    if m = l (Meehan et al. 2020 make a test of it). Each distance is computed once. Raises what those functions raise.
    """
    if min(k_support, k_density) < 1:
        raise ValueError(f"Expected k_support and k_density from 1 on, got {k_support} and {k_density}.")
    made, real = two_feature_sets(made, real)
    made, train = two_feature_sets(made, train)
    reach = _to_neighbours(real, max(k_support, k_density))
    support, dense = reach[:, k_support - 1], reach[:, k_density - 1]
    own, apart = _radii(made, k_support), _radii(train, 1)
    recalled, met = torch.zeros(2, len(real), dtype=torch.bool)
    precise = inside = new = nearer = 0.0
    for part, ball in zip(made.split(1000), own.split(1000), strict=True):
        to_real, to_train = _distances(part, real), _distances(part, train).min(1)
        precise += float((to_real <= support).any(1).sum())
        recalled |= (to_real <= ball[:, None]).any(0)
        inside += float((to_real <= dense).sum())
        met |= (to_real <= dense).any(0)
        new += float((to_train.values >= apart[to_train.indices]).sum())
        nearer += float((to_train.values < to_real.min(1).values).sum())
    n = len(made)
    return {
        "precision": precise / n,
        "recall": recalled.double().mean().item(),
        "density": inside / (k_density * n),
        "coverage": met.double().mean().item(),
        "authenticity": new / n,
        "nearer": nearer / n,
    }


def _within_any(x: Tensor, support: Tensor, k: int) -> float:
    """The share of x in a ball around any sample of the support."""
    radius = _radii(support, k)
    return torch.cat([(_distances(part, support) <= radius).any(1) for part in x.split(1000)]).double().mean().item()


def _radii(x: Tensor, k: int) -> Tensor:
    """(n,): the distance of each sample to its k-th neighbour in the same set."""
    return _to_neighbours(x, k)[:, -1]


def _to_neighbours(x: Tensor, k: int) -> Tensor:
    """(n, k): each sample's distances to its k nearest neighbours in the same set: not to itself, but to its copies."""
    if not 1 <= k < len(x):
        raise ValueError(f"Expected more than k = {k} samples, with k at least 1, got {len(x)}.")
    return torch.cat([_distances(part, x).topk(k + 1, largest=False).values[:, 1:] for part in x.split(1000)])


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """(n, m). Not by inner products: a copy has distance 0 to the last bit."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
