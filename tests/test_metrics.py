"""Metrics: the shipped classifiers, and distances of sets against closed forms, double loops and invariances."""

import hashlib
import http.server
import json
import math
import os
import sys
import threading
import tomllib
import types
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from safetensors import safe_open
from sklearn.metrics.pairwise import polynomial_kernel
from torch.nn import functional as F

import gan_tutorial as gt
from gan_tutorial import metrics


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exact(n, mean, root, seed=0):
    """n samples whose mean is `mean` and whose covariance is root' root, not only in expectation."""
    x = normal(n, len(root), seed=seed)
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(x.T @ x / (n - 1)), x.T, upper=False).T
    return white @ torch.as_tensor(root, dtype=torch.float64) + torch.as_tensor(mean, dtype=torch.float64)


# ------------------------------------------------------------------------------------------------- shipped classifiers


def read(name):
    """The weights of a shipped classifier, and what its file says of them."""
    with safe_open(metrics.WEIGHTS / f"{name}.safetensors", "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["recipe"])


@pytest.fixture(scope="module", params=["mnist", "synthetic"])
def test_digits(request):
    if request.param == "synthetic":
        return gt.data.synthetic_digits(10_000, split="test")
    if not os.environ.get("GAN_TUTORIAL_DATA"):
        pytest.skip("no MNIST at hand: GAN_TUTORIAL_DATA is not set")
    return gt.data.mnist("test")


def test_it_reads_the_test_digits(test_digits):
    classifier = metrics.classifier(test_digits)
    found = metrics.label_accuracy(classifier, test_digits.take(slice(None)), test_digits.label)
    _, recipe = read(test_digits.name)
    assert found >= 0.99 and abs(found - recipe["test accuracy"]) < 5e-4 and recipe["digits"] == test_digits.name
    assert (metrics.WEIGHTS / f"{test_digits.name}.safetensors").stat().st_size < 500_000


def test_its_features_are_standardised_and_none_is_superfluous(test_digits):
    f = metrics.features(metrics.classifier(test_digits), test_digits.take(slice(0, 5000)))
    assert f.shape == (5000, 64) and f.mean(0).abs().max() < 0.3 and (f.var(0) - 1).abs().max() < 0.3
    assert torch.linalg.eigvalsh(f.double().T.cov()).min() > 1e-4  # or the Fréchet distance would be ill-conditioned


def test_it_stands_speckles(test_digits):
    x = test_digits.take(slice(0, 1000))
    speckled = (x + 0.3 * normal(*x.shape).float()).clamp(-1, 1)
    assert metrics.label_accuracy(metrics.classifier(test_digits), speckled, test_digits.label[:1000]) >= 0.98


@pytest.mark.parametrize("name", metrics.CLASSIFIERS)
def test_the_network_written_out(name):
    """What the file's weights say, in double precision and without a module."""
    weights, _ = read(name)
    w = {key: value.double() for key, value in weights.items()}

    def norm(x, at, affine=True):
        wide = [1, -1] + [1] * (x.ndim - 2)
        x = (x - w[f"{at}.running_mean"].view(wide)) / (w[f"{at}.running_var"].view(wide) + 1e-5).sqrt()
        return x * w[f"{at}.weight"].view(wide) + w[f"{at}.bias"].view(wide) if affine else x

    x = gt.data.synthetic_digits(50, split="test").take(slice(None))
    h = x.double()
    for at in (0, 3, 6):
        kernel = w[f"body.{at}.weight"]
        h = norm(F.conv2d(h, kernel, stride=2, padding=kernel.shape[-1] // 2), f"body.{at + 1}").clamp(min=0)
    f = norm(h.flatten(1) @ w["body.10.weight"].T, "body.11", affine=False)
    logits = torch.where(f > 0, f, 0.2 * f) @ w["head.1.weight"].T + w["head.1.bias"]
    classifier = metrics.classifier(name)
    torch.testing.assert_close(metrics.features(classifier, x).double(), f, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(classifier(x).double(), logits, atol=1e-3, rtol=1e-4)
    assert torch.equal(metrics.predict(classifier, x), logits.argmax(1))


def test_it_is_frozen_and_changes_nobody_else():
    state = torch.get_rng_state()
    classifier = metrics.classifier("synthetic")
    assert torch.equal(torch.get_rng_state(), state)
    assert not classifier.training and not any(p.requires_grad for p in classifier.parameters())
    assert all(x.dtype == torch.float32 for x in classifier.parameters())
    x = torch.zeros(2, 1, 28, 28, requires_grad=True)
    assert torch.autograd.grad(classifier(x)[:, 3].sum(), x)[0].abs().sum() > 0  # images still get a gradient
    assert not metrics.features(classifier, x).requires_grad


def test_a_data_set_says_which_one_and_where():
    data = gt.data.synthetic_digits(3)
    assert torch.equal(metrics.classifier(data).head[1].weight, metrics.classifier("synthetic").head[1].weight)
    meta = gt.Data("mnist", torch.zeros(3, 1, 28, 28, dtype=torch.uint8, device="meta"))
    assert next(metrics.classifier(meta).parameters()).is_meta
    assert not next(metrics.classifier(meta, "cpu").parameters()).is_meta


@pytest.mark.parametrize("digits", ["fashion", gt.data.ring(8)])
def test_other_data_have_no_classifier(digits):
    with pytest.raises(ValueError, match="only for mnist and synthetic"):
        metrics.classifier(digits)


def test_a_damaged_file_is_named(tmp_path):
    content = bytearray((metrics.WEIGHTS / "synthetic.safetensors").read_bytes())
    content[-1] ^= 1  # the file is as long as before, and safetensors would read it
    (tmp_path / "synthetic.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"synthetic\.safetensors"):
        metrics.classifier("synthetic", directory=tmp_path)


def test_the_weights_are_part_of_the_package():
    """A wheel carries what package-data names."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["gan_tutorial"]
    package = Path(gt.__file__).parent
    shipped = {path for pattern in patterns for path in package.glob(pattern)}
    assert {metrics.WEIGHTS / f"{name}.safetensors" for name in metrics.CLASSIFIERS} <= shipped


def test_the_batch_size_changes_nothing():
    x, classifier = gt.data.synthetic_digits(30).take(slice(None)), metrics.classifier("synthetic")
    whole = metrics.features(classifier, x)
    for batch in (1, 7, 29):
        torch.testing.assert_close(metrics.features(classifier, x, batch), whole, atol=1e-5, rtol=1e-5)
        assert torch.equal(metrics.predict(classifier, x, batch), metrics.predict(classifier, x))


@pytest.mark.parametrize(
    "words, images",
    [
        ("data set by d.take", torch.zeros(3, 1, 28, 28, dtype=torch.uint8)),
        (r"\(n, 1, 28, 28\)", torch.zeros(3, 28, 28)),
        (r"\(n, 1, 28, 28\)", torch.zeros(3, 3, 28, 28)),
        (r"\(n, 1, 28, 28\)", torch.zeros(0, 1, 28, 28)),
        ("tanh", torch.full((3, 1, 28, 28), 255.0)),
        ("finite", torch.full((3, 1, 28, 28), math.nan)),
    ],
)
def test_what_is_no_image_is_refused(words, images):
    for read_images in (metrics.features, metrics.predict):
        with pytest.raises(ValueError, match=words):
            read_images(metrics.classifier("synthetic"), images)


def test_more_than_four_channels_have_any_range():
    """As `Data` has them: measured maps, say. They are not told to end their generator with tanh, nor to go below 0."""
    maps = 20 + 5 * normal(40, 6, 3, 2).float()
    data, made = gt.Data("maps", maps[:20] - 20), maps[20:].abs()
    found = metrics.report(made, data, features=torch.nn.Flatten())
    assert found["variance ratio"] > 0 and not any("below 0" in note for note in found.notes)
    with pytest.raises(ValueError, match="tanh"):
        metrics.report(made[:, :4], maps[:20, :4], features=torch.nn.Flatten())


# ------------------------------------------------------------------------------------------------------------ labels


def one_hot_images(shown):
    images = torch.zeros(len(shown), 1, 28, 28)
    images[:, 0, 0, :10] = F.one_hot(torch.as_tensor(shown), 10).float()
    return images


def first_row(x):
    """A classifier of such images."""
    return x[:, 0, 0, :10]


def test_label_accuracy_is_the_share_that_is_read_right():
    images, asked = one_hot_images([3, 1, 4, 1, 5, 9, 2, 6]), [3, 1, 4, 1, 5, 0, 0, 0]
    for label in (torch.tensor(asked), torch.tensor(asked, dtype=torch.int32), asked, np.array(asked)):
        assert metrics.label_accuracy(first_row, images, label) == 5 / 8


@pytest.mark.parametrize(
    "label, words",
    [
        (torch.zeros(1).long(), "one label for each of 8 samples"),
        (torch.arange(8) + 3, "0 to 9, but these reach from 3 to 10"),
        (torch.arange(8) - 1, "0 to 9, but these reach from -1 to 6"),
        (torch.zeros(8), "whole numbers"),
        (torch.zeros(8, dtype=torch.bool), "whole numbers"),
    ],
)
def test_labels_that_the_classifier_cannot_read_are_refused(label, words):
    with pytest.raises(ValueError, match=words):
        metrics.label_accuracy(first_row, one_hot_images(range(8)), label)


def test_spread_of_two_classes_by_hand():
    # Class 0: -1 and 1, variance 2. Class 7: (0, 0), (0, 3), (0, 6), variance 9. Shares 2/5 and 3/5.
    x = torch.tensor([[-1.0, 5], [1, 5], [0, 0], [0, 3], [0, 6]])
    assert metrics.within_class_variance(x, torch.tensor([0, 0, 7, 7, 7])) == pytest.approx(2 / 5 * 2 + 3 / 5 * 9)


def test_spread_is_what_the_class_means_leave_of_the_total():
    """Analysis of variance: total = within + between, for classes of one size."""
    x, label = normal(60, 4) @ normal(4, 4, seed=1), torch.arange(60) % 3
    means = torch.stack([x[label == c].mean(0) for c in range(3)])
    between = 20 * (means - x.mean(0)).square().sum()
    within = (60 - 3) * metrics.within_class_variance(x, label)
    torch.testing.assert_close(within + between, 59 * x.T.cov().trace())


def test_spread_does_not_see_where_a_class_lies():
    x, label = normal(60, 4), torch.arange(60) % 3
    spread = metrics.within_class_variance(x, label)
    assert metrics.within_class_variance(x + 100 * normal(3, 4)[label], label) == pytest.approx(spread)
    assert metrics.within_class_variance(3 * x, label) == pytest.approx(9 * spread)
    assert metrics.within_class_variance(normal(3, 4)[label], label) == pytest.approx(0)  # one image for each class


def test_spread_needs_two_of_a_class_and_as_many_labels():
    with pytest.raises(ValueError, match="Class 4 has only one sample"):
        metrics.within_class_variance(normal(3, 2), torch.tensor([1, 1, 4]))
    with pytest.raises(ValueError, match="one label for each"):
        metrics.within_class_variance(normal(3, 2), torch.tensor([1, 1]))


# ------------------------------------------------------------------------------------------------- Fréchet distance


def test_frechet_of_equal_covariances_is_the_squared_distance_of_means():
    root = normal(5, 5, seed=1)
    a, b = exact(200, [0] * 5, root), exact(300, [1, 2, 0, 0, -2], root, seed=2)
    assert metrics.frechet_distance(a, b) == pytest.approx(9, abs=1e-9)


def test_frechet_of_diagonal_covariances():
    s, t = torch.tensor([1.0, 2, 3]), torch.tensor([2.0, 2, 0.5])
    a, b = exact(100, [1, 0, 0], s.diag()), exact(80, [0, 0, 2], t.diag(), seed=1)
    assert metrics.frechet_distance(a, b) == pytest.approx(5 + (s - t).square().sum().item(), abs=1e-9)


def test_frechet_on_the_line():
    a, b = exact(50, [3], [[2.0]]), exact(70, [-1], [[0.5]], seed=1)
    assert metrics.frechet_distance(a, b) == pytest.approx(4**2 + 1.5**2, abs=1e-9)


def test_frechet_against_a_matrix_square_root():
    a, b = normal(90, 6) @ normal(6, 6, seed=1), 1 + normal(70, 6, seed=2) @ normal(6, 6, seed=3)
    s, t = np.cov(a.numpy().T), np.cov(b.numpy().T)
    by_scipy = (a.mean(0) - b.mean(0)).square().sum().item() + np.trace(s + t - 2 * scipy.linalg.sqrtm(s @ t).real)
    assert metrics.frechet_distance(a, b) == pytest.approx(by_scipy, rel=1e-9)


def test_frechet_of_a_set_with_itself_is_zero_and_the_order_does_not_matter():
    a, b = normal(40, 6), normal(50, 6, seed=1) * 2
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-12)
    assert metrics.frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-12)
    assert metrics.frechet_distance(a, b) == pytest.approx(metrics.frechet_distance(b, a), rel=1e-12)


def test_frechet_does_not_see_a_rotation_or_a_shift_of_both():
    a, b = normal(40, 6), normal(50, 6, seed=1) * torch.arange(1.0, 7)
    turn = torch.linalg.qr(normal(6, 6, seed=2)).Q
    assert metrics.frechet_distance(5 + a @ turn, 5 + b @ turn) == pytest.approx(
        metrics.frechet_distance(a, b), rel=1e-9
    )
    assert metrics.frechet_distance(3 * a, 3 * b) == pytest.approx(9 * metrics.frechet_distance(a, b), rel=1e-9)


def test_frechet_of_singular_covariances():
    """Sets in a plane of a space of 40 dimensions, and fewer samples than dimensions: as in the plane itself."""
    a, b = normal(25, 2), 1 + 2 * normal(30, 2, seed=1)
    plane = torch.linalg.qr(normal(40, 2, seed=2)).Q.T
    assert metrics.frechet_distance(a @ plane, b @ plane) == pytest.approx(metrics.frechet_distance(a, b), abs=1e-9)
    assert metrics.frechet_distance(a @ plane, a @ plane) == pytest.approx(0, abs=1e-12)
    assert metrics.frechet_distance(torch.ones(5, 3), torch.zeros(4, 3)) == pytest.approx(3)


def test_frechet_is_too_high_for_few_samples():
    means = [
        np.mean([metrics.frechet_distance(normal(n, 8, seed=2 * i), normal(n, 8, seed=2 * i + 1)) for i in range(20)])
        for n in (20, 80, 320)
    ]
    assert means[0] > 2 * means[1] > 4 * means[2] > 0


@pytest.mark.parametrize("d, n", [(1, 40), (3, 40), (8, 80), (20, 60)])
def test_the_bias_of_equal_gaussians_is_known(d, n):
    """d (d + 5) / 2n for unit variances: from a set that stands for the whole distribution, and from what happens."""
    assert metrics.frechet_bias(normal(40_000, d), n) == pytest.approx(d * (d + 5) / (2 * n), rel=0.03)
    values = [
        metrics.frechet_distance(normal(n, d, seed=2 * i), normal(n, d, seed=2 * i + 1)) for i in range(400 // d + 40)
    ]
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values) - d * (d + 5) / (2 * n)) < 4 * error + 0.05 * np.mean(values)


def test_the_bias_of_what_is_no_gaussian_and_of_sets_of_two_sizes():
    """A coin in each of two directions, turned: fourth moments far below a Gaussian's."""
    turn = torch.linalg.qr(normal(2, 2)).Q @ torch.diag(torch.tensor([1.0, 3.0])).double()

    def coins(n, seed):
        return normal(n, 2, seed=seed).sign() @ turn

    whole, found = coins(40_000, 0), metrics.frechet_bias(coins(40_000, 0), 50, 200)
    values = [metrics.frechet_distance(coins(50, 2 * i + 1), coins(200, 2 * i + 2)) for i in range(400)]
    assert abs(np.mean(values) - found) < 4 * np.std(values) / 20 + 0.03 * found
    gaussian = metrics.frechet_bias(normal(40_000, 2) @ turn, 50, 200)
    assert found < 0.9 * gaussian
    assert metrics.frechet_bias(5 + 2 * whole, 100, 400) == pytest.approx(4 * found / 2, rel=1e-9)


def test_the_bias_of_real_features_from_the_set_itself():
    """Two halves of synthetic digits, by the classifier: within a fifth of what two halves show."""
    digits = gt.data.synthetic_digits(6000, split="test")
    f = metrics.features(metrics.classifier(digits), digits.take(slice(None)))
    seen = []
    for i in range(8):
        a, b = f[torch.randperm(6000, generator=torch.Generator().manual_seed(i))].split(3000)
        seen.append(metrics.frechet_distance(a, b))
    assert metrics.frechet_bias(a, 3000) == pytest.approx(np.mean(seen), rel=0.2)


def test_directions_in_which_nothing_varies_add_no_bias():
    x = normal(500, 3)
    flat = torch.cat([x, torch.ones(500, 4).double()], 1)
    assert metrics.frechet_bias(flat, 70) == pytest.approx(metrics.frechet_bias(x, 70), rel=1e-9)
    assert metrics.frechet_bias(torch.ones(5, 3), 70) == 0
    with pytest.raises(ValueError, match="at least two samples"):
        metrics.frechet_bias(x, 1)


# --------------------------------------------------------------------------------------------------- kernel distance


def double_loop(a, b):
    def k(x, y):
        return (sum(s * t for s, t in zip(x, y, strict=True)) / len(x) + 1) ** 3

    a, b = a.tolist(), b.tolist()
    n, m = len(a), len(b)
    return (
        sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        + sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
        - 2 * sum(k(x, y) for x in a for y in b) / (n * m)
    )


def test_kernel_distance_against_a_double_loop():
    a, b = normal(9, 4), 0.5 + 2 * normal(7, 4, seed=1)
    expected = double_loop(a, b)
    for block in (1, 3, 100):
        assert metrics.kernel_distance(a, b, block) == pytest.approx(expected, rel=1e-10)
    assert metrics.kernel_distance(b, a) == pytest.approx(expected, rel=1e-10)
    a = a.double()  # the very tensor on both sides: each pair counts across, one with itself too
    assert metrics.kernel_distance(a, a) == pytest.approx(double_loop(a, a), rel=1e-10)
    assert metrics.kernel_estimate(a, a).value == pytest.approx(double_loop(a, a), rel=1e-10)


def test_kernel_distance_by_scikit_learn():
    a, b = normal(30, 4).double(), 0.5 + 2 * normal(20, 4, seed=1).double()
    k = [polynomial_kernel(x, y, degree=3, gamma=1 / 4, coef0=1) for x, y in ((a, a), (b, b), (a, b))]
    within = [(m.sum() - np.trace(m)) / (len(m) * (len(m) - 1)) for m in k[:2]]
    assert metrics.kernel_distance(a, b) == pytest.approx(sum(within) - 2 * k[2].mean(), rel=1e-10)


def test_kernel_distance_of_two_points():
    """All samples at x or all at y: k(x, x) + k(y, y) - 2 k(x, y)."""
    x, y = torch.tensor([1.0, 3]), torch.tensor([2.0, 0])
    found = metrics.kernel_distance(x.expand(5, 2), y.expand(4, 2))
    assert found == pytest.approx((10 / 2 + 1) ** 3 + (4 / 2 + 1) ** 3 - 2 * (2 / 2 + 1) ** 3)


def test_kernel_distance_is_unbiased():
    """From sets of any size, zero on average where the laws agree, and so negative about half of the time."""
    for n, m in ((5, 5), (12, 30)):
        values = np.array(
            [metrics.kernel_distance(normal(n, 3, seed=2 * i), normal(m, 3, seed=2 * i + 1)) for i in range(600)]
        )
        assert abs(values.mean()) < 4 * values.std() / math.sqrt(len(values))
        assert (values < 0).mean() > 0.3


def test_kernel_estimate_by_leaving_out_each_sample():
    a, b = normal(9, 3), normal(7, 3, seed=1) * 2 + 0.5
    for block in (2, 100):
        found = metrics.kernel_estimate(a, b, block)
        assert found.value == pytest.approx(metrics.kernel_distance(a, b), rel=1e-10)
        without_a = [metrics.kernel_distance(torch.cat([a[:i], a[i + 1 :]]), b) for i in range(9)]
        without_b = [metrics.kernel_distance(a, torch.cat([b[:i], b[i + 1 :]])) for i in range(7)]
        variance = 8 * np.var(without_a) + 6 * np.var(without_b)
        assert found.error == pytest.approx(variance**0.5, rel=1e-8)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_error_of_the_kernel_distance_is_not_too_small(shift):
    """Efron and Stein's inequality; where the distributions are equal it is twice the variance, to first order."""
    pairs = [(normal(60, 3, seed=2 * s), normal(60, 3, seed=2 * s + 1) + shift) for s in range(400)]
    found = [metrics.kernel_estimate(a, b) for a, b in pairs]
    ratio = np.mean([one.error**2 for one in found]) / np.var([one.value for one in found])
    low, high = (1.6, 2.6) if shift == 0 else (0.9, 1.4)
    assert low < ratio < high


def test_kernel_estimate_takes_three_samples():
    with pytest.raises(ValueError, match="at least three"):
        metrics.kernel_estimate(normal(2, 3), normal(5, 3))


def test_features_may_be_arrays_of_any_precision():
    a, b = normal(30, 4), 1 + normal(30, 4, seed=1)
    for distance in (metrics.frechet_distance, metrics.kernel_distance):
        expected = distance(a, b)
        assert distance(a.numpy(), b.tolist()) == pytest.approx(expected)
        assert distance(a.half(), b.bfloat16()) == pytest.approx(expected, rel=0.02)


def test_what_is_no_pair_of_sets_is_refused():
    for distance in (metrics.frechet_distance, metrics.kernel_distance):
        for words, a, b in (
            ("one number of dimensions", normal(5, 2), normal(5, 3)),
            ("n at least 2", normal(5, 2), normal(1, 2)),
            ("n at least 2", normal(5), normal(5)),
            ("not all finite", normal(5, 2), normal(5, 2) / 0),
        ):
            with pytest.raises(ValueError, match=words):
                distance(a, b)


# ----------------------------------------------------------------------------------------------------------- reports


def sets(n=300, shape=(3, 6, 5), seed=0, labelled=True):
    """A data set of bytes, and images that are none of its own."""
    random = torch.Generator().manual_seed(seed)
    values = torch.randint(256, (n, *shape), dtype=torch.uint8, generator=random)
    made = torch.randint(256, (n, *shape), dtype=torch.uint8, generator=random).float() / 127.5 - 1
    return gt.Data("own", values, torch.arange(n) % 4 if labelled else None), made


def halves(x):
    """Features: the mean of the upper and of the lower half."""
    return torch.stack([x[:, :, :3].mean((1, 2, 3)), x[:, :, 3:].mean((1, 2, 3))], 1)


def four(x):
    return torch.cat([halves(x), -halves(x)], 1) * 100


def test_a_report_on_digits_is_that_of_the_parts():
    test, n = gt.data.synthetic_digits(900, split="test"), 400
    made, label = gt.data.synthetic_digits(n, seed=1).take(slice(None)), gt.data.synthetic_digits(n, seed=1).label
    net, real = metrics.classifier(test), metrics.subset(test, n)
    f, g = metrics.features(net, made), metrics.features(net, real.take(slice(None)))
    found = metrics.report(made, test, label=label)
    assert found == pytest.approx(
        {
            "Fréchet distance": metrics.frechet_distance(f, g),
            "Fréchet bias": metrics.frechet_bias(g, n),
            "kernel distance": metrics.kernel_distance(f, g),
            "confident (p > 0.9)": ((net(made).softmax(1) > 0.9).sum() / n).item(),
            "variance ratio": (f.var(0).sum() / g.var(0).sum()).item(),
            "label accuracy": metrics.label_accuracy(net, made, label),
            "within-class variance ratio": metrics.within_class_variance(f, label)
            / metrics.within_class_variance(g, real.label),
        },
        rel=1e-5,
    )
    assert list(found) == list(metrics.METRICS) and found.notes == [
        "400 samples, 400 of synthetic; 64 features.",
        "The Fréchet distance is biased by few samples: read it from 640 on.",
        f"Standard errors: kernel distance ± {metrics.kernel_estimate(f, g).error:.1g}, shares and accuracies ± at "
        "most 2.5 percentage points.",
    ]


def test_a_report_on_any_images_by_networks_of_ones_own():
    data, made = sets()
    a, b = halves(made), halves(data.take(slice(None)))
    found = metrics.report(made, data, label=data.label, features=halves, classifier=four)
    assert found["Fréchet distance"] == pytest.approx(metrics.frechet_distance(a, b), rel=1e-4)
    assert found["label accuracy"] == (four(made).argmax(1) == data.label).float().mean().item()
    assert found["within-class variance ratio"] == pytest.approx(
        metrics.within_class_variance(a, data.label) / metrics.within_class_variance(b, data.label), rel=1e-4
    )
    by_tensor = metrics.report(
        made, data.take(slice(None)), label=data.label, real_label=data.label, features=halves, classifier=four
    )
    assert by_tensor == pytest.approx(found, rel=1e-5)
    without = metrics.report(made, data, features=halves)
    assert list(without) == ["Fréchet distance", "Fréchet bias", "kernel distance", "variance ratio"]


def test_a_sample_is_read_with_confidence_where_its_probability_is_above_nine_tenths():
    margins = torch.tensor([2.19, 2.2, -2.19, -2.2, 0.0, 30])  # ln 9 = 2.197
    found = metrics.report(
        margins[:, None], normal(6, 1).float(), classifier=lambda x: torch.cat([x, torch.zeros_like(x)], 1) + 5
    )
    assert found["confident (p > 0.9)"] == 3 / 6


def test_a_table_is_judged_by_its_columns_whatever_their_scales():
    real, made = normal(200, 3), 0.1 + 1.2 * normal(200, 3, seed=1)
    scales = torch.tensor([1.0, 1e4, 1e-3]).double()
    found, scaled = metrics.report(made, real), metrics.report(made * scales, real * scales)
    assert scaled == pytest.approx(found, rel=1e-3)
    assert found["variance ratio"] == pytest.approx((made.var(0) / real.var(0)).mean().item(), rel=1e-4)


def test_a_classifier_of_ones_own_leaves_the_features_of_digits_to_the_one_that_ships():
    test, made = gt.data.synthetic_digits(90, split="test"), gt.data.synthetic_digits(80, seed=1).take(slice(None))
    found = metrics.report(made, test, classifier=lambda x: 9 * x[:, 0, 0, :10])
    assert found["Fréchet distance"] == metrics.report(made, test)["Fréchet distance"]
    assert found["confident (p > 0.9)"] != metrics.report(made, test)["confident (p > 0.9)"]


def test_other_samples_need_features():
    data, made = sets()
    with pytest.raises(ValueError, match=r"give report\(…, features=net\)"):
        metrics.report(made, data)
    with pytest.raises(ValueError, match="random_features"):
        metrics.report(made[:, 0], made[:, 0])  # signals


@pytest.mark.parametrize(
    "words, made, settings",
    [
        (r"real ones, \(3, 6, 5\), got \(1, 6, 5\)", torch.zeros(9, 1, 6, 5), {}),
        ("floating-point", torch.zeros(9, 3, 6, 5, dtype=torch.uint8), {}),
        ("tanh", torch.full((9, 3, 6, 5), 255.0), {}),
        ("not all finite", torch.full((9, 3, 6, 5), math.nan), {}),
        ("not all finite", torch.full((9, 3, 6, 5), math.inf), {}),
        ("tensor of samples", np.zeros((9, 3, 6, 5)), {}),
        ("one label for each of 9", torch.zeros(9, 3, 6, 5), {"label": torch.zeros(8).long()}),
        ("0 to 3, but these reach", torch.zeros(9, 3, 6, 5), {"label": torch.arange(9), "classifier": four}),
        ("real_label out", torch.zeros(9, 3, 6, 5), {"real_label": torch.zeros(9).long()}),
        ("flatten", torch.zeros(9, 3, 6, 5), {"features": lambda x: x}),
        ("flatten", torch.zeros(9, 3, 6, 5), {"features": lambda x: halves(x).sum(0)[None]}),
        ("logits of shape", torch.zeros(9, 3, 6, 5), {"classifier": lambda x: x[:, 0, 0, 0]}),
        ("n at least 2", torch.zeros(1, 3, 6, 5), {}),
    ],
)
def test_what_a_report_refuses(words, made, settings):
    with pytest.raises(ValueError, match=words):
        metrics.report(made, sets()[0], **{"features": halves} | settings)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-6), (torch.float16, 0.02), (torch.bfloat16, 0.1)])
def test_every_precision_is_read(dtype, tolerance):
    test = gt.data.synthetic_digits(400, split="test")
    made = gt.data.synthetic_digits(300, seed=1).take(slice(None))
    net = metrics.classifier(test)
    assert (metrics.predict(net, made.to(dtype)) == metrics.predict(net, made)).float().mean() > 0.99
    found, plain = metrics.report(made.to(dtype), test), metrics.report(made, test)
    assert found["Fréchet distance"] == pytest.approx(plain["Fréchet distance"], rel=tolerance)
    deep = metrics.report(made, test, features=metrics.classifier(test).to(torch.float64))
    assert deep["Fréchet distance"] == pytest.approx(plain["Fréchet distance"], rel=1e-3)


def test_a_network_is_run_in_evaluation_mode_and_left_in_its_own():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(90))
    net.train()[1].eval()
    _, made = sets()
    torch.testing.assert_close(metrics.features(net, made), made.flatten(1) / math.sqrt(1 + 1e-5))
    assert [m.training for m in net.modules()] == [True, True, False, True] and net[2].num_batches_tracked == 0


def test_a_part_called_features_is_not_taken_for_the_network():
    class VGG(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.features = torch.nn.Conv2d(3, 2, 3)

        def forward(self, x):
            return self.features(x).mean((2, 3))

    assert metrics.features(VGG(), sets()[1]).shape == (300, 2)


def test_too_few_samples_leave_a_row_out_and_say_so():
    data, made = sets()
    pixels = torch.nn.Flatten()  # 90 features
    few = metrics.report(made[:90], data, features=pixels)
    assert "Fréchet distance" not in few and "Fréchet bias" not in few and "kernel distance" in few
    assert any("90 features need more than 90 samples" in note for note in few.notes)
    assert "Fréchet distance" in metrics.report(made[:91], data, features=pixels)
    label = torch.tensor([0, 1, 1, 2, 2])
    alone = metrics.report(made[:5], data, label=label, features=halves, classifier=four)
    assert "within-class variance ratio" not in alone and "label accuracy" in alone
    assert any("only one made sample of class 0" in note for note in alone.notes)
    unlabelled = metrics.report(made, sets(labelled=False)[0], label=data.label, features=halves)
    assert any("no labels" in note for note in unlabelled.notes)


def test_images_on_another_scale_are_noticed():
    data, made = sets()
    words = "never go below 0"
    assert any(words in note for note in metrics.report((made + 1) / 2, data, features=halves).notes)
    assert not any(words in note for note in metrics.report(made, data, features=halves).notes)
    bright = gt.Data("bright", data.values // 2 + 128)  # real images that have no dark pixel either
    assert not any(words in note for note in metrics.report((made + 1) / 2, bright, features=halves).notes)


@pytest.mark.parametrize("label", [torch.arange(300) % 10, torch.arange(300) % 3])
def test_other_classes_than_the_real_ones_have_no_variance_to_compare(label):
    data, made = sets()  # of classes 0 to 3
    found = metrics.report(made, data, label=label, features=halves)
    assert "within-class variance ratio" not in found and any("of other classes" in note for note in found.notes)
    assert "within-class variance ratio" in metrics.report(made, data, label=data.label, features=halves)


def test_real_samples_that_do_not_vary_have_no_ratio_to_them():
    _, made = sets()
    label, levels = torch.arange(300) % 4, torch.arange(300, dtype=torch.uint8) % 4
    by_class = gt.Data("classes", levels[:, None, None, None].expand(-1, 3, 6, 5).contiguous(), label)
    found = metrics.report(made, by_class, label=label, features=halves)
    assert "within-class variance ratio" not in found and "variance ratio" in found
    assert any("No within-class variance ratio: the real samples of a class" in note for note in found.notes)
    found = metrics.report(made, replace(by_class, values=0 * by_class.values), features=halves)
    assert "variance ratio" not in found and any("No variance ratio" in note for note in found.notes)


def test_labels_that_are_names_and_features_that_are_one_number_are_refused():
    data, made = sets()
    with pytest.raises(ValueError, match=r"Labels are whole numbers, .* \['a'\]"):
        metrics.report(made, data, label=["a"], features=halves)
    with pytest.raises(ValueError, match=r"a row of numbers for each sample from the network, got shape \(\)"):
        metrics.report(made, data, features=lambda x: x.mean())


def test_real_samples_are_drawn_and_too_few_are_said():
    data, made = sets()
    data = gt.Data("sorted", data.values.float().sort(0).values / 127.5 - 1)  # in order, as files often are
    spread = [metrics.report(made[:60], data, features=halves, seed=seed)["variance ratio"] for seed in (0, 0, 1)]
    first = metrics.report(made[:60], data.take(slice(0, 60)), features=halves)["variance ratio"]
    assert spread[0] == spread[1] != spread[2] and first > 3 * max(spread)
    few = metrics.report(made, data[:100], features=halves)
    assert "There are only 100 real samples, for 300 samples." in few.notes
    assert few.notes[0] == "300 samples, 100 of sorted; 2 features."


def test_a_subset_has_each_sample_at_most_once():
    data = gt.Data("numbers", torch.arange(50.0)[:, None], torch.arange(50))
    some = metrics.subset(data, 20)
    assert len(some.label.unique()) == 20 and torch.equal(some.values[:, 0].long(), some.label)
    assert not torch.equal(some.label, torch.arange(20)) and len(metrics.subset(data, 80)) == 50
    assert torch.equal(metrics.subset(data, 20).label, some.label)
    assert not torch.equal(metrics.subset(data, 20, seed=1).label, some.label)


def test_real_samples_that_pass_for_made_ones_are_noticed():
    data, made = sets()
    made[:7] = data.take(slice(100, 107))
    found = metrics.report(made, data, features=halves)
    assert any("7 of 300 samples are bit for bit among the real ones" in note for note in found.notes)
    with pytest.warns(UserWarning, match="300 of 300"):
        metrics.report(data.take(slice(None)), data, features=halves)


def test_training_images_as_test_images_are_noticed():
    training = gt.Data("mnist", torch.zeros(10_001, 1, 28, 28, dtype=torch.uint8))
    for data, noticed in ((training, True), (training[:10_000], False)):
        found = metrics.report(-torch.rand(3, 1, 28, 28), data, features=halves)
        assert any("MNIST's training images" in note for note in found.notes) is noticed


@pytest.mark.parametrize(
    ("make", "called"),
    [
        (lambda split: gt.data.synthetic_digits(40, split=split), "the synthetic digits"),
        (lambda split: gt.data.flowers(40, split=split, size=16), "the flowers"),
    ],
)
def test_training_images_of_the_packages_own_data_are_noticed(make, called):
    """Not parts of them, which may be held out from training."""
    training, test = make("train"), make("test")
    assert (training.split, test.split, training[:30].split) == ("train", "test", "")
    assert training.to("cpu").split == "train" and gt.Data("x", torch.zeros(2, 2)).split == ""
    for data, noticed in ((training, True), (test, False), (training[20:], False)):
        found = metrics.report(-torch.rand(9, *data.shape), data, features=halves)
        assert any(f"training images of {called}: judge by" in note for note in found.notes) is noticed


def test_a_frechet_distance_of_too_few_samples_is_warned_of():
    """With no more samples than dimensions a covariance is singular; `report` leaves the distance out then."""
    rows = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    for a, b in ((rows[:8], rows), (rows, rows[:8]), (rows[:5], rows[5:10])):
        with pytest.warns(UserWarning, match=f"of 8 features from {min(len(a), len(b))} samples.*80 or more to read"):
            metrics.frechet_distance(a, b)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.frechet_distance(rows[:9], rows)
        metrics.report(rows[:8], rows)


def test_a_note_says_how_uncertain_shares_and_the_kernel_distance_are():
    """A share's standard error is at most that of a fair coin, √(¼/n); the kernel distance's is its own estimate's."""
    random = torch.Generator().manual_seed(0)
    made, real = torch.randn(400, 3, generator=random), torch.randn(400, 3, generator=random)
    found = metrics.report(made, real, features=lambda x: x, classifier=lambda x: 9 * x)
    (note,) = (note for note in found.notes if "Standard error" in note)
    error = metrics.kernel_estimate(made, real).error
    assert (
        note
        == f"Standard errors: kernel distance ± {error:.1g}, shares and accuracies ± at most 2.5 percentage points."
    )
    assert found["kernel distance"] == pytest.approx(metrics.kernel_distance(made, real), rel=1e-9, abs=1e-12)
    coins = (torch.rand(20_000, 400, generator=random) < 0.5).double().mean(1)
    assert 100 * coins.std().item() == pytest.approx(2.5, rel=0.03)
    assert not any("Standard" in note for note in metrics.report(made[:2], real[:2], features=lambda x: x).notes)


def test_two_columns_with_the_training_images_beside():
    data, made = sets(400)
    train, test = data[:200], data[200:]
    label = torch.arange(100) % 4
    columns = metrics.compare(made[:100], train, test, label=label, features=halves, title="ours")
    assert list(columns) == ["ours", "training images"]
    assert columns["ours"] == metrics.report(made[:100], test, label=label, features=halves)
    some = metrics.subset(train, 100, seed=1)
    expected = metrics.report(some.take(slice(None)), test, label=some.label, features=halves)
    assert columns["training images"] == expected
    assert not any("only" in note for note in columns["training images"].notes)
    few = metrics.compare(made[:100], train[:30], test, features=halves)
    assert any("only 30 training images, for 100 samples" in note for note in few["training images"].notes)


def test_a_table_says_which_way_is_better_and_what_is_missing():
    one = metrics.Report({"Fréchet distance": 1.25, "variance ratio": 0.5}, ["9 samples."])
    lines = metrics.table({"a": one, "b": {"Fréchet distance": 2.5, "own number": 3}}).splitlines()
    assert [line.split() for line in lines] == [
        ["a", "b"],
        ["Fréchet", "distance", "↓", "1.25", "2.5"],
        ["variance", "ratio", "→", "1", "0.5"],
        ["own", "number", "3"],
        ["a:", "9", "samples."],
    ]
    assert len({len(line) for line in lines[:2]}) == 1 and lines[3].endswith("3")
    assert repr(one).endswith("9 samples.") and json.loads(json.dumps(one)) == dict(one)
    assert metrics.table({}) == ""


# ---------------------------------------------------------------------------------------------- networks for any data


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 48, 80), (4, 5, 3), (2, 100), (1, 3)])
def test_random_features_of_any_shape(shape):
    state = torch.get_rng_state()
    net, again, other = (metrics.random_features(shape, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    x = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    f = metrics.features(net, x)
    assert f.shape == (5, 64) and torch.equal(f, metrics.features(again, x))
    assert not torch.allclose(f, metrics.features(other, x))
    assert f.std(0).min() > 0  # every feature tells these apart


def test_random_features_are_for_images_and_signals():
    for shape in ((7,), 7):
        with pytest.raises(ValueError, match="columns are features"):
            metrics.random_features(shape)
    with pytest.raises(ValueError, match=r"\(n, 1, 28, 28\)"):
        metrics.features(metrics.random_features((1, 28, 28)), torch.zeros(3, 1, 32, 32))


def test_random_features_rank_what_is_plainly_worse():
    """Noise on synthetic digits, and blur: further away at each level."""
    test, n = gt.data.synthetic_digits(1000, split="test"), 800
    x = gt.data.synthetic_digits(n, seed=1).take(slice(None))
    noise = normal(*x.shape).float()
    noisy = [(x + level * noise).clamp(-1, 1) for level in (0, 0.1, 0.2, 0.4, 0.8)]
    blurred = [x, *(F.avg_pool2d(x, k, 1, k // 2, count_include_pad=False) for k in (3, 5, 9))]
    for seed in (0, 1):
        net = metrics.random_features((1, 28, 28), seed)
        for levels in (noisy, blurred):
            reports = [metrics.report(images, test, features=net) for images in levels]
            for name in ("Fréchet distance", "kernel distance"):
                values = [found[name] for found in reports]
                assert all(b > 1.5 * max(a, 0) for a, b in zip(values, values[1:], strict=False)), (name, values)
        few = metrics.report(x[:20].repeat(n // 20, 1, 1, 1), test, features=net)  # twenty images again and again
        assert few["Fréchet distance"] > 3 * metrics.report(x, test, features=net)["Fréchet distance"]


class Bytes(torch.nn.Module):
    """Stands for Inception: bytes (n, 3, h, w) -> the mean of each channel, in a tuple as torch-fidelity gives it."""

    def forward(self, x):
        assert x.dtype == torch.uint8 and x.shape[1] == 3
        return (x.float().mean((2, 3)),)


def test_inception_is_shown_bytes_in_three_channels():
    net = metrics.Inception(Bytes())
    greys = torch.arange(256.0).reshape(1, 1, 16, 16) / 127.5 - 1
    torch.testing.assert_close(metrics.features(net, greys), torch.full((1, 3), 127.5))
    data, made = sets()
    torch.testing.assert_close(metrics.features(net, data.take(slice(None))), data.values.float().mean((2, 3)))
    found = metrics.report(made, data, features=net)
    a, b = (metrics.features(net, x) for x in (made, data.take(slice(None))))
    assert found["Fréchet distance"] == pytest.approx(metrics.frechet_distance(a, b), rel=1e-6)
    for channels in (2, 4):
        with pytest.raises(ValueError, match="drop alpha"):
            metrics.features(net, torch.zeros(3, channels, 6, 5))


def test_without_the_package_or_its_weights_a_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"need torch-fidelity.*pip install 'gan-tutorial\[fid\]'"):
        metrics.inception()
    module = "torch_fidelity.feature_extractor_inceptionv3"
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    sys.modules[module].URL_INCEPTION_V3 = "ADDRESS"
    sys.modules[module].FeatureExtractorInceptionV3 = lambda *_, **__: pytest.fail("read before it was checked")
    with pytest.raises(FileNotFoundError, match=r"none\.pth\. Download ADDRESS and name the file"):
        metrics.inception(tmp_path / "none.pth")
    monkeypatch.setenv("GAN_TUTORIAL_DOWNLOAD", "0")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # an empty cache
    with pytest.raises(FileNotFoundError, match="Download ADDRESS"):
        metrics.inception()
    monkeypatch.setenv("GAN_TUTORIAL_DOWNLOAD", "1")
    sys.modules[module].URL_INCEPTION_V3 = (tmp_path / "missing").as_uri()  # no network is asked
    with pytest.raises(OSError, match="could not be downloaded"):
        metrics.inception()
    assert not list(tmp_path.rglob("*.pth"))
    (tmp_path / "wrong.pth").write_bytes(b"not these")
    with pytest.raises(ValueError, match=r"wrong\.pth"):
        metrics.inception(tmp_path / "wrong.pth")


class Sender(http.server.BaseHTTPRequestHandler):
    """Sends the weights, or what is asked for in their place."""

    weights = bytes(range(256)) * 40

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        body = self.weights if self.path == "/right" else self.weights[::-1]
        try:
            self.wfile.write(body)
            while self.path == "/endless":
                self.wfile.write(bytes(100_000))
            while self.path == "/trickle" and not self.server.released.wait(0.05):
                self.wfile.write(b"x")
        except OSError:  # the client has hung up
            pass

    def log_message(self, *args):
        pass


@pytest.fixture
def sender(monkeypatch, tmp_path):
    """The address of a server, and the place in an empty cache where weights go; downloads are allowed."""
    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = lambda *_, **__: Bytes()
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name, value in (("GAN_TUTORIAL_DOWNLOAD", "1"), ("TORCH_HOME", str(tmp_path)), ("NO_PROXY", "127.0.0.1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(metrics, "INCEPTION_SHA256", hashlib.sha256(Sender.weights).hexdigest())
    monkeypatch.setattr(metrics, "INCEPTION_MOST", 1_000_000)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sender)
    server.daemon_threads, server.released = True, threading.Event()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def at(path):
        module.URL_INCEPTION_V3 = f"http://127.0.0.1:{server.server_port}/{path}"

    yield at, Path(torch.hub.get_dir()) / "checkpoints"
    server.released.set()
    server.shutdown()
    server.server_close()


def test_inceptions_weights_are_downloaded_once_and_kept(sender):
    at, cache = sender
    at("right")
    assert isinstance(metrics.inception().net, Bytes)
    assert [path.name for path in cache.iterdir()] == [metrics.INCEPTION]
    assert (cache / metrics.INCEPTION).read_bytes() == Sender.weights
    at("wrong")
    assert isinstance(metrics.inception().net, Bytes)  # nobody was asked


@pytest.mark.parametrize(
    ("path", "words"),
    [("wrong", "the SHA-256"), ("endless", "more than 1,000,000 bytes"), ("trickle", "still sending after 0.3 s")],
)
def test_a_download_of_inceptions_weights_has_an_end_and_leaves_nothing_wrong(sender, path, words, monkeypatch):
    """PyTorch's own downloader takes all that is sent, for as long as it is sent."""
    at, cache = sender
    if path == "trickle":
        monkeypatch.setattr(metrics, "INCEPTION_PATIENCE", 0.3)
    at(path)
    with pytest.raises(OSError, match=f"could not be downloaded.*{words}.*metrics.inception"):
        metrics.inception()
    assert not list(cache.iterdir())


def test_inceptions_weights_are_read_whatever_their_size(tmp_path, monkeypatch):
    """A file of zeros as large as the original, 91 MiB, and by its sum the original."""
    size, module = 91 * 2**20, types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.URL_INCEPTION_V3, module.FeatureExtractorInceptionV3 = "ADDRESS", lambda *_, **__: Bytes()
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(metrics, "INCEPTION_SHA256", hashlib.sha256(bytes(size)).hexdigest())
    with open(tmp_path / "weights.pth", "wb") as file:
        file.truncate(size)  # sparse: takes no room on the disk
    assert isinstance(metrics.inception(tmp_path / "weights.pth").net, Bytes)


def test_our_distances_are_those_of_torch_fidelity():
    """FID and KID of the package that papers use, from the same features."""
    pytest.importorskip("torch_fidelity")
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kernel_mmd

    a, b = normal(300, 16).float(), (0.3 + 1.2 * normal(300, 16, seed=1)).float()
    fid = fid_statistics_to_metric(fid_features_to_statistics(a), fid_features_to_statistics(b), verbose=False)
    assert metrics.frechet_distance(a, b) == pytest.approx(next(iter(fid.values())), rel=1e-6)
    kid = kernel_mmd(a.double().numpy(), b.double().numpy())
    assert metrics.kernel_distance(a, b) == pytest.approx(float(kid), rel=1e-9)


# ------------------------------------------------------------------------------------------------------------- modes


def test_modes_of_points_that_we_put_there():
    ring = gt.data.ring(10, modes=4, sigma=0.1)  # at (1, 0), (0, 1), (-1, 0), (0, -1)
    points = torch.tensor([[1.0, 0], [1.29, 0], [1.31, 0], [0, 0.72], [0.2, -1.2], [0, 0], [9, 9], [0.25, -1.25]])
    found, quality, hits = metrics.modes(points, ring)
    assert (found, quality, hits.tolist()) == (3, 4 / 8, [2, 1, 0, 1])


def test_each_mode_has_its_own_sigma():
    line = gt.data.gaussians(10, (0.0, 4.0), (1.0, 0.1))
    found = metrics.modes(torch.tensor([[2.9], [3.1], [3.65], [-3.1], [4.2]]), line)
    assert (found.found, found.hits.tolist()) == (2, [1, 1]) and found.quality == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    "data, share",
    [
        (gt.data.ring(20_000, sigma=0.02), 1 - math.exp(-4.5)),
        (gt.data.grid(20_000), 1 - math.exp(-4.5)),
        (gt.data.gaussians(20_000, (-20.0, 20.0), (1.0, 2.0)), math.erf(3 / math.sqrt(2))),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_data_find_all_their_modes(data, share):
    found, quality, hits = metrics.modes(data.take(slice(None)), data)
    assert found == len(data.modes) and hits.sum().item() == round(quality * len(data))
    assert abs(quality - share) < 4 * math.sqrt(share * (1 - share) / len(data))
    assert (hits / len(data) - share / len(data.modes)).abs().max() < 0.02


def test_modes_need_modes_and_points():
    with pytest.raises(ValueError, match="no known modes"):
        metrics.modes(torch.zeros(3, 2), gt.data.swiss_roll(5))
    for points in (torch.zeros(3, 1), torch.zeros(3), torch.zeros(0, 2)):
        with pytest.raises(ValueError, match=r"\(n, 2\)"):
            metrics.modes(points, gt.data.ring(8))


def test_the_classifier_score_by_probabilities():
    scores = 3 * normal(50, 4)
    p = scores.softmax(1).numpy()
    expected = np.exp((p * np.log(p / p.mean(0))).sum(1).mean())
    assert metrics.classifier_score(scores) == pytest.approx(expected)
    assert metrics.classifier_score(scores + normal(50, 1, seed=1)) == pytest.approx(expected)


def test_the_classifier_score_is_from_one_to_the_number_of_classes():
    sure = 1000 * torch.eye(10).repeat(5, 1)
    assert metrics.classifier_score(sure) == pytest.approx(10)
    assert metrics.classifier_score(sure[::10]) == pytest.approx(1)  # one class, however sure
    assert metrics.classifier_score(torch.zeros(20, 10)) == pytest.approx(1)
