"""Gaussian kernels against SciPy, double loops, closed forms and counting."""

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KernelDensity

from gan_tutorial import kernels
from gan_tutorial.kernels import gaussian


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_scipy(x, y, *sigmas):
    squared = cdist(x.flatten(1).numpy(), y.flatten(1).numpy(), "sqeuclidean")
    return np.mean([np.exp(-squared / (2 * sigma**2)) for sigma in sigmas], axis=0)


@pytest.mark.parametrize("sigmas", [(1.0,), (0.5, 2.0, 7.0)])
def test_the_kernel_is_scipys(sigmas):
    x, y = normal(7, 3), normal(5, 3, seed=1)
    found = gaussian(*sigmas)(kernels.squared_distances(x, y))
    np.testing.assert_allclose(found.numpy(), by_scipy(x, y, *sigmas), rtol=1e-12)


@pytest.mark.parametrize("unbiased", [True, False])
def test_kernel_and_mmd_by_scikit_learn(unbiased):
    """Its RBF kernel is exp(-gamma |x - y|²), so that gamma is 1/(2 sigma²)."""
    x, y, sigma = normal(12, 3), normal(9, 3, seed=1) + 1, 1.7
    k = [rbf_kernel(a, b, gamma=1 / (2 * sigma**2)) for a, b in ((x, x), (y, y), (x, y))]
    np.testing.assert_allclose(gaussian(sigma)(kernels.squared_distances(x, y)), k[2], rtol=1e-12)
    within = [(m.sum() - unbiased * np.trace(m)) / (len(m) * (len(m) - unbiased)) for m in k[:2]]
    found = kernels.mmd2(x, y, gaussian(sigma), unbiased)
    assert found.item() == pytest.approx(sum(within) - 2 * k[2].mean(), rel=1e-10)


def test_distances_keep_their_digits_far_from_zero():
    """In single precision 1,000² + 1,000² - 2 · 1,000² has no digit of 0.1² left."""
    x, y = normal(20, 3, dtype=torch.float32) * 0.1, normal(30, 3, seed=1, dtype=torch.float32) * 0.1
    near = kernels.squared_distances(x, y)
    far = kernels.squared_distances(x + 1024, y + 1024)
    torch.testing.assert_close(far, near, rtol=0.02, atol=2e-4)
    assert kernels.squared_distances(x, x).min() >= 0


def test_the_median_is_scipys_and_scales_with_the_samples():
    x, y = normal(31, 2, 2), normal(20, 2, 2, seed=1)
    both = torch.cat([x, y]).flatten(1).numpy()
    assert kernels.median_distance(x) == pytest.approx(np.quantile(pdist(x.flatten(1)), 0.5, method="lower"))
    assert kernels.median_distance(x, y) == pytest.approx(np.quantile(pdist(both), 0.5, method="lower"))
    assert kernels.median_distance(3 * x) == pytest.approx(3 * kernels.median_distance(x))


@pytest.mark.parametrize("unbiased", [True, False])
def test_mmd_is_the_double_loop_of_the_paper(unbiased):
    x, y = normal(6, 2), normal(9, 2, seed=1) + 1
    k = [by_scipy(a, b, 0.7, 3.0) for a, b in ((x, x), (y, y), (x, y))]
    within = [
        sum(m[i, j] for i in range(len(m)) for j in range(len(m)) if i != j or not unbiased)
        / (len(m) * (len(m) - unbiased))
        for m in k[:2]
    ]
    expected = within[0] + within[1] - 2 * k[2].mean()
    for block in (1, 4, 1000):
        found = kernels.mmd2(x, y, gaussian(0.7, 3.0), unbiased, block)
        assert found.item() == pytest.approx(expected, rel=1e-10)


def closed_form(mean, sigma, d=1):
    """MMD² of N(0, I) and N(m, I) in d dimensions: 2 (E k(x, x') - E k(x, y)), integrals of Gaussians."""
    peak = (sigma**2 / (sigma**2 + 2)) ** (d / 2)
    return 2 * peak * (1 - math.exp(-(mean**2) / (2 * (sigma**2 + 2))))


@pytest.mark.parametrize("mean", [0.0, 0.5, 2.0])
def test_mmd_of_two_gaussians_has_a_closed_form(mean):
    found = [
        kernels.mmd2(normal(200, 1, seed=2 * s), normal(200, 1, seed=2 * s + 1) + mean, gaussian(1.5)).item()
        for s in range(50)
    ]
    error = np.std(found) / len(found) ** 0.5
    assert abs(np.mean(found) - closed_form(mean, 1.5)) < 4 * error  # unbiased: also at 0
    assert min(found) < 0 or mean


def test_with_all_pairs_mmd_is_a_distance_of_sample_sets():
    x, y = normal(8, 3), normal(8, 3, seed=1)
    kernel = gaussian(1.0)
    assert kernels.mmd2(x, x, kernel, unbiased=False).item() == pytest.approx(0, abs=1e-15)
    assert kernels.mmd2(x, y, kernel, unbiased=False) > 0
    assert kernels.mmd2(x, y, kernel).item() == pytest.approx(kernels.mmd2(y, x, kernel).item(), rel=1e-12)


def test_mmd_is_a_loss():
    x, y = normal(5, 2).requires_grad_(), normal(6, 2, seed=1)
    assert torch.autograd.gradcheck(lambda x: kernels.mmd2(x, y, gaussian(1.0, 2.0), block=2), x)


def test_the_witness_is_the_derivative_of_mmd():
    """Moving one sample of x by a little changes the biased MMD² by 2/n times the witness's slope there."""
    x, y = normal(6, 2).requires_grad_(), normal(5, 2, seed=1)
    kernel = gaussian(0.9)
    (slope,) = torch.autograd.grad(kernels.mmd2(x, y, kernel, unbiased=False), x)
    t = x.detach().clone().requires_grad_()
    (expected,) = torch.autograd.grad(kernels.witness(t, x.detach(), y, kernel, block=4).sum(), t)
    torch.testing.assert_close(slope, 2 / len(x) * expected)


# -------------------------------------------------------------------------------------------------------- the test


def test_the_test_has_its_size_and_finds_what_is_there():
    """Under the null p is uniform on the multiples of 1/20: rejections at 0.1 are binomial."""
    kernel, runs = gaussian(1.0), 200
    p = [
        kernels.permutation_test(normal(15, 2, seed=s), normal(12, 2, seed=1000 + s), kernel, 19, seed=s).p_value
        for s in range(runs)
    ]
    rejected = sum(one <= 0.1 + 1e-9 for one in p)
    low, high = scipy.stats.binom.ppf([0.0005, 0.9995], runs, 0.1)
    assert low <= rejected <= high
    assert kernels.permutation_test(normal(30, 2), normal(30, 2, seed=1) + 2, kernel).p_value == pytest.approx(1 / 201)


def power_of_means(shift, n, permutations, level=0.05):
    """The power of a permutation test of two means, n normal numbers of variance 1 each, moved apart by `shift`.

    Such a test rejects as Student's t does: t has a noncentral distribution, and each random division exceeds it with
    the probability p(t) of the central one, so that the number of those that do is binomial. The integral over t is a
    sum. It rejects if (1 + exceeded) / (1 + permutations) is at most the level.
    """
    t = np.linspace(-8, 14, 4401)
    density = scipy.stats.nct.pdf(t, 2 * n - 2, shift * math.sqrt(n / 2))
    exceeds = 2 * scipy.stats.t.sf(np.abs(t), 2 * n - 2)
    most = math.floor(level * (1 + permutations) + 1e-9) - 1
    return np.trapezoid(density * scipy.stats.binom.cdf(most, permutations, exceeds), t)


@pytest.mark.parametrize("shift", [0.3, 0.6])
def test_with_a_wide_kernel_the_test_has_the_power_of_a_test_of_means(shift):
    """A kernel much wider than the samples sees the difference of their means alone: its power has a formula."""
    kernel, n, runs = gaussian(50.0), 40, 400
    p = [
        kernels.permutation_test(normal(n, 1, seed=s), normal(n, 1, seed=5000 + s) + shift, kernel, 99, s).p_value
        for s in range(runs)
    ]
    rejected = sum(one <= 0.05 + 1e-9 for one in p)
    low, high = scipy.stats.binom.ppf([0.0005, 0.9995], runs, power_of_means(shift, n, 99))
    assert 0.1 * runs < low <= rejected <= high < 0.9 * runs  # neither "never" nor "always" would pass


def test_the_values_of_permutations_are_those_of_mmd2():
    x, y, kernel = normal(4, 2), normal(3, 2, seed=1), gaussian(1.0)
    found = kernels.permutation_test(x, y, kernel, 300)
    rows = torch.cat([x, y])
    from itertools import combinations

    values = []
    for first in combinations(range(7), 4):
        rest = [i for i in range(7) if i not in first]
        values.append(kernels.mmd2(rows[list(first)], rows[rest], kernel).item())
    assert found.statistic == pytest.approx(kernels.mmd2(x, y, kernel).item(), rel=1e-12)
    gaps = np.abs(found.null.numpy()[:, None] - np.array(values)).min(1)
    assert gaps.max() < 1e-12  # each is one of the 35 divisions
    assert len(np.unique(found.null.numpy().round(10))) > 25


def test_the_statistic_is_computed_like_the_values_it_is_compared_with():
    """In double precision also for samples in single precision, and without a graph."""
    x, y, kernel = normal(40, 2).float().requires_grad_(), normal(30, 2, seed=1).float(), gaussian(1.0)
    found = kernels.permutation_test(x, y, kernel, 20)
    assert found.statistic == pytest.approx(kernels.mmd2(x.double(), y.double(), kernel).item(), rel=1e-12)
    assert found.null.dtype == torch.float64 and not found.null.requires_grad


def test_equal_sets_of_copies_are_never_rejected():
    x = torch.ones(10, 2)
    assert kernels.permutation_test(x, x, gaussian(1.0), 50).p_value == 1


# ------------------------------------------------------------------------------------------------------- the density


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_the_likelihood_is_a_mixture_of_gaussians(sigma):
    samples, x = normal(5, 3), normal(4, 3, seed=1)
    pdf = np.mean([scipy.stats.multivariate_normal(s.numpy(), sigma**2).pdf(x.numpy()) for s in samples], axis=0)
    for block in (1, 500):
        np.testing.assert_allclose(kernels.log_likelihood(x, samples, sigma, block).numpy(), np.log(pdf), rtol=1e-9)


def test_the_likelihood_is_a_density():
    grid = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
    assert kernels.log_likelihood(grid, normal(7, 1), 0.4).exp().sum() * (24 / 4000) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_parzen_windows_by_scikit_learn(sigma):
    x, samples = normal(11, 4), normal(30, 4, seed=1)
    expected = KernelDensity(kernel="gaussian", bandwidth=sigma).fit(samples.numpy()).score_samples(x.numpy())
    np.testing.assert_allclose(kernels.log_likelihood(x, samples, sigma).numpy(), expected, rtol=1e-9)


def test_the_likelihood_is_finite_far_away_where_the_density_is_not():
    far = kernels.log_likelihood(torch.full((1, 784), 5.0), torch.zeros(3, 784), 0.01)
    assert far.isfinite().all() and far < -1e6


def test_the_best_sigma_is_that_of_silverman_for_a_gaussian():
    """For d = 1 and a normal density the best width is near 1.06 n^(-1/5)."""
    best = kernels.best_sigma(normal(400, 1), normal(5000, 1, seed=1), np.geomspace(0.05, 2, 30).tolist())
    assert 0.5 < best / (1.06 * 400**-0.2) < 2
    assert kernels.best_sigma(normal(9, 1), normal(9, 1), [1e-3, 1.0]) == 1e-3  # validated on itself: too small


# ----------------------------------------------------------------------------------------------------------- blurring


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
def test_blur_is_scipys(sigma):
    images = normal(2, 3, 12, 9)
    reach = math.ceil(4 * sigma)
    expected = scipy.ndimage.gaussian_filter(
        images.numpy(), (0, 0, sigma, sigma), mode="nearest", radius=(0, 0, reach, reach)
    )
    np.testing.assert_allclose(kernels.blur(images, sigma).numpy(), expected, atol=1e-12)


def test_blur_keeps_constants_and_adds_up():
    """Two blurs are one: variances add (away from the border)."""
    assert torch.equal(kernels.blur(normal(1, 1, 4, 4), 0), normal(1, 1, 4, 4))
    constant = torch.full((1, 2, 5, 6), 0.7, dtype=torch.float64)
    torch.testing.assert_close(kernels.blur(constant, 3.0), constant)
    point = torch.zeros(1, 1, 61, 61, dtype=torch.float64)
    point[..., 30, 30] = 1
    twice = kernels.blur(kernels.blur(point, 2.0), 1.5)
    torch.testing.assert_close(twice, kernels.blur(point, 2.5), atol=2e-5, rtol=0)


# ------------------------------------------------------------------------------------------------------------- errors

X = torch.zeros(3, 2)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: gaussian(), "positive bandwidths"),
        (lambda: gaussian(1, -1), "positive bandwidths"),
        (lambda: gaussian(float("nan")), "positive bandwidths"),
        (lambda: kernels.median_distance(X), "At least half .* copies"),
        (lambda: kernels.median_distance(X[:1]), "two samples"),
        (lambda: kernels.mmd2(X[:1], X, gaussian(1)), "two samples"),
        (lambda: kernels.mmd2(X, torch.zeros(3, 5), gaussian(1)), "one shape"),
        (lambda: kernels.mmd2(X, X / 0, gaussian(1)), "finite"),
        (lambda: kernels.mmd2(X, X.long(), gaussian(1)), "floating-point"),
        (lambda: kernels.mmd2([1.0], X, gaussian(1)), "floating-point"),
        (lambda: kernels.permutation_test(X, X, gaussian(1), 0), "one permutation"),
        (lambda: kernels.permutation_test(X[:1], X, gaussian(1)), "two samples"),
        (lambda: kernels.log_likelihood(X, X, 0), "positive sigma"),
        (lambda: kernels.best_sigma(X, X, []), "sigmas"),
        (lambda: kernels.blur(X, 1), "images"),
        (lambda: kernels.blur(torch.zeros(1, 1, 2, 2), -1), "at least 0"),
    ],
)
def test_bad_input_gets_a_sentence(call, says):
    with pytest.raises(ValueError, match=says):
        call()
