"""Metrics of nearest neighbours against a search by SciPy, by hand, and by counting orders."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

import gan_tutorial as gt
from gan_tutorial import neighbours


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_nearest_is_that_of_a_tree():
    a, b = normal(37, 3), normal(23, 3, seed=1)
    distance, index = cKDTree(b.numpy()).query(a.numpy())
    for block in (5, 1000):
        found = neighbours.nearest(a, b, block)
        np.testing.assert_allclose(found.distance, distance)
        assert found.index.tolist() == index.tolist()


def by_tree(x, support, k):
    tree = cKDTree(support.numpy())
    radius = tree.query(support.numpy(), k + 1)[0][:, k]
    return np.linalg.norm(x.numpy()[:, None] - support.numpy(), axis=2) <= radius


def test_all_numbers_of_the_report_by_scikit_learn():
    """`kneighbors()` without an argument is the search that leaves each sample itself out."""
    made, real, train = (normal(n, 3, seed=n).numpy() for n in (40, 30, 35))
    across = np.linalg.norm(made[:, None] - real, axis=2)
    radius = {
        (name, k): NearestNeighbors(n_neighbors=k).fit(x).kneighbors()[0][:, -1]
        for name, x, k in (("made", made, 3), ("real", real, 3), ("real", real, 5), ("train", train, 1))
    }
    nearest, index = (a[:, 0] for a in NearestNeighbors(n_neighbors=1).fit(train).kneighbors(made))
    inside = across <= radius["real", 5]
    expected = {
        "precision": (across <= radius["real", 3]).any(1).mean(),
        "recall": (across <= radius["made", 3][:, None]).any(0).mean(),
        "density": inside.sum() / (5 * len(made)),
        "coverage": inside.any(0).mean(),
        "authenticity": (nearest >= radius["train", 1][index]).mean(),
        "nearer": (nearest < across.min(1)).mean(),
    }
    found = neighbours.report(*(torch.from_numpy(x) for x in (made, real, train)))
    assert found == pytest.approx(expected, rel=1e-12)
    assert all(0 < value < 1.5 for value in expected.values())  # none is trivially right


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_by_a_tree(k):
    made, real = normal(40, 2) * 0.5, normal(30, 2, seed=1)
    found = neighbours.precision_recall(made, real, k)
    assert found.precision == pytest.approx(by_tree(made, real, k).any(1).mean())
    assert found.recall == pytest.approx(by_tree(real, made, k).any(1).mean())
    back = neighbours.precision_recall(real, made, k)
    assert (back.precision, back.recall) == (found.recall, found.precision)


@pytest.mark.parametrize("k", [1, 5])
def test_density_and_coverage_by_a_tree(k):
    made, real = normal(40, 2) * 0.5, normal(30, 2, seed=1)
    inside = by_tree(made, real, k)
    found = neighbours.density_coverage(made, real, k)
    assert found.density == pytest.approx(inside.sum() / (k * len(made)))
    assert found.coverage == pytest.approx(inside.any(0).mean())


def test_a_line_by_hand():
    """Real 0, 1, 3: balls of radius 1, 1, 2 for k = 1. Made 0.5 lies in two of them (and at 1 off 3: no), 9 in none."""
    real, made = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.5], [9.0]])
    assert neighbours.density_coverage(made, real, 1) == (1.0, pytest.approx(2 / 3))
    assert neighbours.precision_recall(made, real, 1).precision == 0.5
    assert neighbours.precision_recall(made, real, 1).recall == 1.0  # made balls have radius 8.5


def test_equal_distributions_have_the_coverage_of_counting_orders():
    n, m, k = 60, 40, 3
    expected = 1 - math.prod((m - i) / (n + m - i) for i in range(1, k + 1))
    found = [neighbours.density_coverage(normal(n, 3, seed=2 * s), normal(m, 3, seed=2 * s + 1), k) for s in range(300)]
    for values, wanted in (([f.coverage for f in found], expected), ([f.density for f in found], 1.0)):
        assert abs(np.mean(values) - wanted) < 4 * np.std(values) / len(values) ** 0.5


def test_what_each_one_sees():
    """Half of the data missing lowers recall and coverage, noise lowers precision and density."""
    real = torch.cat([normal(200, 2), normal(200, 2, seed=1) + 20])
    half, noise = normal(400, 2, seed=2), torch.cat([normal(200, 2, seed=3), normal(200, 2, seed=4) * 40 + 200])
    assert (
        neighbours.precision_recall(half, real).recall < 0.55 < 0.9 < neighbours.precision_recall(half, real).precision
    )
    assert neighbours.density_coverage(half, real).coverage < 0.55
    assert neighbours.precision_recall(noise, real).precision < 0.55
    assert neighbours.density_coverage(noise, real).density < 0.6


@pytest.mark.parametrize("n", [30, 1700])
def test_the_report_has_what_the_functions_return(n):
    made, real, train = normal(n, 3) * 0.8, normal(50, 3, seed=1), normal(40, 3, seed=2)
    made[:7] = train[:7]
    p, r = neighbours.precision_recall(made, real, 2)
    d, c = neighbours.density_coverage(made, real, 4)
    a = neighbours.authenticity(made, train)
    nearer = (cKDTree(train.numpy()).query(made.numpy())[0] < cKDTree(real.numpy()).query(made.numpy())[0]).mean()
    found = neighbours.report(made, real, train, 2, 4)
    assert found == pytest.approx(
        {"precision": p, "recall": r, "density": d, "coverage": c, "authenticity": a, "nearer": nearer}
    )


def test_new_samples_are_nearer_to_either_set_equally_often():
    shares = [
        neighbours.report(*(normal(60, 2, seed=3 * s + i) for i in range(3)))["nearer"] for s in range(300)
    ]  # made, real and training samples of one distribution
    assert abs(np.mean(shares) - 0.5) < 4 * np.std(shares) / len(shares) ** 0.5


def test_copies_are_not_authentic_and_far_samples_are():
    train = normal(100, 4)
    assert neighbours.authenticity(train[:50] + 1e-9, train) == 0.0
    assert neighbours.authenticity(normal(50, 4, seed=1) + 100, train) == 1.0
    new = neighbours.authenticity(normal(500, 4, seed=2), train)
    mixed = neighbours.authenticity(torch.cat([normal(500, 4, seed=2), train.repeat(5, 1)]), train)
    assert mixed == pytest.approx(new / 2)


@pytest.fixture(scope="module")
def images():
    """Rows of synthetic digits, drawn apart: new ones (300, 784), and a training set."""
    drawn = gt.data.synthetic_digits(600, seed=3).take(slice(None)).flatten(1)
    return drawn[:300], drawn[300:]


@pytest.mark.parametrize("copied", [0.0, 0.5, 1.0])
def test_copies_of_images_are_seen(images, copied):
    """A copy with faint noise has no authenticity, and lies at the noise's length; new images keep what they had.

    The length of noise of deviation s in 784 pixels is 28 s, give or take s / sqrt 2. Between new images and training
    images the nearest distance is several times as large, so that its median tells which kind is in the majority.
    """
    new, train = images
    n, s = round(copied * len(new)), 0.02
    random = torch.Generator().manual_seed(0)
    copies = train[:n] + s * torch.randn(n, 784, generator=random)
    made = torch.cat([new[n:], copies])
    far, of_copies = neighbours.nearest(made, train).distance.split([len(new) - n, n])
    assert neighbours.authenticity(new, train) > 0.4
    kept = neighbours.authenticity(new[n:], train) * (1 - copied) if n < len(new) else 0.0
    assert neighbours.authenticity(made, train) == pytest.approx(kept, abs=1e-12)
    assert ((of_copies - 28 * s).abs() < 5 * s / math.sqrt(2)).all()
    assert not len(far) or far.median() > 5 * 28 * s


@pytest.mark.parametrize(
    "call",
    [
        lambda x: neighbours.precision_recall(x, x, 0),
        lambda x: neighbours.precision_recall(x, x, 10),
        lambda x: neighbours.density_coverage(x, x, 10),
        lambda x: neighbours.density_coverage(x, x[:, :1]),
        lambda x: neighbours.nearest(x, x / 0),
        lambda x: neighbours.authenticity(x, x[:1]),
        lambda x: neighbours.report(x, x, x[:, :1]),
        lambda x: neighbours.report(x, x[:5], x),
        lambda x: neighbours.report(x, x, x, k_support=0),
        lambda x: neighbours.report(x, x, x, k_density=0),
    ],
)
def test_bad_input_gets_a_sentence(call):
    with pytest.raises(ValueError):
        call(torch.ones(10, 2))
