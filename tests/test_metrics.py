"""Metrics: the shipped classifiers, and distances of sets against closed forms, double loops and invariances."""

import hashlib
import json
import math
import os
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
import train_classifier
from safetensors import safe_open
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
    with pytest.raises(ValueError, match="only for mnist and drawn"):
        metrics.classifier(digits)


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    content = bytearray((metrics.WEIGHTS / "drawn.safetensors").read_bytes())
    content[-1] ^= 1  # the file is as long as before, and safetensors would read it
    (tmp_path / "drawn.safetensors").write_bytes(content)
    monkeypatch.setattr(metrics, "WEIGHTS", tmp_path)
    with pytest.raises(ValueError, match=r"drawn\.safetensors is not the file it should be"):
        metrics.classifier("synthetic")


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
        ("tanh", torch.full((3, 1, 28, 28), math.nan)),
    ],
)
def test_what_is_no_image_is_refused(words, images):
    for read_images in (metrics.features, metrics.predict):
        with pytest.raises(ValueError, match=words):
            read_images(metrics.classifier("synthetic"), images)


# ---------------------------------------------------------------------------------------------------------- the recipe


def test_a_batch_is_disturbed_as_its_noise_says():
    data = gt.data.synthetic_digits(64)
    batch = next(gt.Feed(data, 6 + 28 * 28, 16, labelled=True))
    a, b = train_classifier.disturbed(batch), train_classifier.disturbed(batch)
    assert torch.equal(a.real, b.real) and a.real.abs().max() <= 1 and torch.equal(a.label, batch.label)
    still = train_classifier.disturbed(batch._replace(z=torch.zeros_like(batch.z)))
    torch.testing.assert_close(still.real, batch.real, atol=1e-5, rtol=0)
    z = torch.zeros_like(batch.z)
    z[:, 2] = 10 / 14  # one pixel of 28, since the whole width is 2
    moved = train_classifier.disturbed(batch._replace(z=z)).real
    torch.testing.assert_close(moved[..., :-1], batch.real[..., 1:], atol=1e-4, rtol=0)
    assert (moved[..., -1] + 1).abs().max() < 1e-4  # background comes in


def test_from_data_to_a_file_that_is_loaded_again(tmp_path, monkeypatch):
    data = gt.data.synthetic_digits(3000)
    net = train_classifier.train(data[:2500], steps=40)
    assert train_classifier.accuracy(net, data[2500:]) > 0.9  # chance is 0.1

    source = shutil.copy(metrics.__file__, tmp_path / "metrics.py")
    monkeypatch.setattr(metrics, "WEIGHTS", tmp_path / "classifiers")
    monkeypatch.setattr(metrics, "__file__", str(source))
    train_classifier.write("synthetic", net, {"digits": "synthetic", "seed": 0})
    sha256 = hashlib.sha256((tmp_path / "classifiers" / "drawn.safetensors").read_bytes()).hexdigest()
    assert f'"synthetic": "{sha256}"' in source.read_text() and metrics.CLASSIFIERS["mnist"] in source.read_text()
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.setitem(metrics.CLASSIFIERS, "synthetic", sha256)
    x = data.take(slice(0, 20))
    assert torch.equal(metrics.classifier("synthetic")(x), net(x))


def test_the_recipe_is_that_of_the_shipped_files():
    for name in metrics.CLASSIFIERS:
        _, recipe = read(name)
        assert (recipe["seed"], recipe["steps"], recipe["batch"]) == (
            train_classifier.SEED,
            train_classifier.STEPS,
            train_classifier.BATCH,
        )


# ------------------------------------------------------------------------------------------------------------ labels


def test_agreement_is_the_share_that_is_read_right():
    shown = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])
    images = torch.zeros(8, 1, 28, 28)
    images[:, 0, 0, :10] = F.one_hot(shown, 10).float()
    asked = torch.tensor([3, 1, 4, 1, 5, 0, 0, 0])
    assert metrics.label_accuracy(lambda x: x[:, 0, 0, :10], images, asked) == 5 / 8
    with pytest.raises(ValueError, match="as many labels"):
        metrics.label_accuracy(lambda x: x[:, 0, 0, :10], images, asked[:1])


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
    with pytest.raises(ValueError, match="Class 4 has one sample"):
        metrics.within_class_variance(normal(3, 2), torch.tensor([1, 1, 4]))
    with pytest.raises(ValueError, match="as many labels"):
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
