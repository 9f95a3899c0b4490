"""The questions for an exam: each has an answer, and the numbers in the answers are computed here in other ways."""

import math
import re
from functools import partial

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from torch.nn import functional as F

from gan_tutorial import metrics, neighbours
from tools import ROOT


def entries(name):
    """Number -> text of each numbered paragraph."""
    text = (ROOT / "book" / name).read_text(encoding="utf-8")
    return {int(number): words for number, words in re.findall(r"^\*\*(\d+)\.\*\* (.+)$", text, re.M)}


QUESTIONS, ANSWERS = entries("instructors.md"), entries("instructors_answers.md")


def test_each_question_has_stars_a_chapter_that_exists_and_an_answer():
    assert list(QUESTIONS) == list(ANSWERS) == list(range(1, len(QUESTIONS) + 1))
    found = [re.match(r"(★{1,3}) \((\d+)\) ", words) for words in QUESTIONS.values()]
    assert all(found)
    chapters = {int(match[2]) for match in found}
    assert chapters == {int(path.name[:2]) for path in (ROOT / "book").glob("[0-9][0-9]_*.ipynb")}
    stars = [len(match[1]) for match in found]
    assert len(stars) >= 24 and min(map(stars.count, (1, 2, 3))) >= 4


def kl(p, q):
    return integrate.quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), -30, 30)[0]


def js(p, q):
    p, q = np.asarray(p, float), np.asarray(q, float)
    m = (p + q) / 2
    return sum(float((a[a > 0] * np.log(a[a > 0] / m[a > 0])).sum()) for a in (p, q)) / 2


def slopes(a):
    """Of the two generator losses at a logit, by automatic differentiation."""
    losses = (lambda a: torch.log(1 - torch.sigmoid(a)), lambda a: -torch.log(torch.sigmoid(a)))
    return [torch.func.grad(loss)(torch.tensor(a, dtype=torch.float64)).item() for loss in losses]


def simultaneous(steps, eta):
    theta, phi = 1.0, 0.0
    for _ in range(steps):
        theta, phi = theta - eta * phi, phi + eta * theta
    return math.hypot(theta, phi)


def seen_by_last(layers):
    """The receptive field, by the gradient of one output."""
    x = torch.zeros(1, 1, 200, requires_grad=True)
    y = x
    for _ in range(layers):
        y = F.conv1d(y, torch.ones(1, 1, 4), stride=2)
    y[0, 0, 5].backward()
    return int((x.grad != 0).sum())


def score(x):
    """The best critic's, of two noisy lines."""
    return stats.norm.logpdf(x, 0, 0.5) - stats.norm.logpdf(x, 1, 0.5)


def painted(answer):
    """The mean absolute error of a pixel that is red, green or blue with probabilities 0.6, 0.3 and 0.1."""
    chance, hues = np.array([0.6, 0.3, 0.1]), 2 * np.eye(3) - 1
    given = {"red": (np.array([1.0]), hues[:1]), "black": (np.array([1.0]), -np.ones((1, 3))), "draw": (chance, hues)}
    weights, answers = given[answer]
    return float((np.outer(weights, chance) * np.abs(answers[:, None] - hues[None]).mean(2)).sum())


def smoothed(D):
    """The expected log-likelihood of a real sample whose label is 1 with probability 0.9."""
    return 0.9 * math.log(D) + 0.1 * math.log(1 - D)


def off(v, power):
    """The mean error of a pixel that is white with probability 0.3."""
    return 0.3 * abs(1 - v) ** power + 0.7 * abs(-1 - v) ** power


least = partial(optimize.minimize_scalar, bounds=(1e-6, 1 - 1e-6), method="bounded", options={"xatol": 1e-9})
narrow, wide = stats.norm(0, 1), stats.norm(0, 2)
slope = max(np.linspace(0, 3, 30_001), key=lambda s: 4 * s - 10 * (s - 1) ** 2)
bound = np.prod([0.01 * math.sqrt(64 * 2), 0.01 * 64, 0.01 * math.sqrt(64)])
NUMBERS = {
    1: [stats.norm(1, 2).pdf(1)],
    3: [kl(narrow, wide), kl(wide, narrow)],
    6: [0.3 / 0.4, torch.logit(torch.tensor(0.75, dtype=torch.float64)).item()],
    9: slopes(math.log(0.001 / 0.999)),
    10: [simultaneous(100, 0.1)],
    15: [js([1 / 8] * 8, [1 / 4] * 4 + [0] * 4)],
    24: [seen_by_last(3)],
    29: [stats.wasserstein_distance([0, 1, 5], [2, 3, 4])],
    30: [bound, math.floor(1 / bound)],
    33: [slope, 4 * slope],
    36: [1 / (0.2 + 0.8 / 4), 1 / 0.2],
    41: [float(np.diff([score(0), score(1)])[0]), score(0), score(1)],
    42: [float(np.sum(np.array([[1, -1], [-1, 1]]) * np.exp(-np.array([[0, 1], [1, 0]]) / 2)))],
    43: [-stats.multivariate_normal(cov=np.eye(2)).entropy()],
    46: [stats.binom.sf(13, 20, 0.5), stats.binom.sf(14, 20, 0.5), stats.binom.isf(0.05, 20, 0.5) + 1],
    48: [2 * math.log(2), math.log(2)],
    49: [least(lambda D: -0.75 * smoothed(D) - 0.25 * math.log(1 - D)).x, least(lambda D: -smoothed(D)).fun],
    50: [float(part(np.linalg.eigvals([[0, 0.5], [-0.5, -0.5]])[0])) for part in (np.real, lambda s: abs(s.imag))],
    51: [js([1 / 64] * 64, [1 / 16] * 16 + [0] * 48), js([1 / 8] * 8, [1 / 4] * 4 + [0] * 4)],
    52: [kl(stats.norm(1, 0.5), stats.norm(0, 1))],
    53: [
        stats.norm(0, math.sqrt(2)).logpdf(2),
        integrate.quad(lambda z: stats.norm.pdf(z) * stats.norm(z, 1).logpdf(2), -12, 12)[0],
        kl(stats.norm(0, 1), stats.norm(1, math.sqrt(0.5))),
    ],
    54: [least(lambda v: off(v, 2), bounds=(-1, 1)).x, least(lambda v: off(v, 2), bounds=(-1, 1)).fun],
    55: [js([0.1, 0.9], [0, 1]), math.log(2), stats.entropy([0.1, 0.9], [0.001, 0.999])],
    56: [float(4 * k * stats.bernoulli(0.7).var()) for k in (1, 2)],
    60: [
        *(lambda found: (found.x, found.fun))(least(lambda a: 0.9 * (a - 1) ** 2 + 0.1 * (a + 1) ** 2)),
        4 * 0.9 * 0.1 * 2,
        0.1 * 4,
    ],
    61: [optimize.brentq(lambda n: 25 * 0.1 * n - 36000 - 0.1 * n, 1, 1e6)],
    62: [luck := math.sqrt(101 / (12 * 50 * 50)), 0.12 / luck, 0.5 + 3 * luck],
    64: [painted(answer) for answer in ("red", "black", "draw")],
    65: [math.perm(10, 10)],
    66: [
        2 / 3 * 2 / 255,
        *(misread := [math.erfc(k / math.sqrt(2)) for k in [28 * 10 / 255]]),
        (misread[0] + 2 * misread[0] / 2) / 3,
    ],
    67: [3 * 2 * 1 / 9, 3 * 2 * 2 * 2 / 27],
}


@pytest.mark.parametrize("number", NUMBERS)
def test_the_numbers_of_an_answer(number):
    """Each value stands in the answer, rounded to as many digits as it is given with; a whole number is exact."""
    said = re.findall(r"-?\d+(?:\.\d+)?", ANSWERS[number])
    for value in NUMBERS[number]:
        rounded = {f"{value:.{len(one.partition('.')[2])}f}" for one in said if "." in one} | {str(round(value, 9))}
        assert rounded & {*said, *(f"{one}.0" for one in said)}, (value, said)


def test_answer_2_by_the_layers():
    out = F.conv2d(torch.zeros(1, 1, 28, 28), torch.zeros(1, 1, 4, 4), stride=2, padding=1)
    assert out.shape[-1] == 14
    assert F.conv_transpose2d(out, torch.zeros(1, 1, 4, 4), stride=2, padding=1).shape[-1] == 28


def test_answer_4_by_counting():
    for theta in (0.0, 0.25, 0.5, 1.0, 2.0):
        cells = np.arange(400)
        p, q = [((cells >= 100 * a) & (cells < 100 * a + 100)) / 100 for a in (0, theta)]
        assert js(p, q) == pytest.approx(min(theta, 1) * math.log(2))


def test_answer_5_by_the_layer():
    def norm(*x):
        return F.batch_norm(torch.tensor(x).view(-1, 1), None, None, training=True, eps=1e-12).flatten().tolist()

    assert norm(1.0, 3.0) == pytest.approx([-1, 1])
    assert norm(1.0, -1.0) == pytest.approx([1, -1])


def test_answer_11_by_playing():
    eta, theta, phi = 0.7, 0.3, -1.1
    before = theta**2 + phi**2 + eta * theta * phi
    for _ in range(1000):
        phi += eta * theta
        theta -= eta * phi
    assert theta**2 + phi**2 + eta * theta * phi == pytest.approx(before)


def test_answer_14_by_descent():
    targets = torch.tensor([0.0, 1.0, 1.0, 1.0])
    scores = torch.randn(4, 1, requires_grad=True)
    for _ in range(200):
        (slope,) = torch.autograd.grad(((scores - targets) ** 2).mean(), scores)
        scores = (scores - slope).detach().requires_grad_()
    assert torch.allclose(scores, torch.full((4, 1), 0.75), atol=1e-4)
    with pytest.raises(ValueError):
        F.binary_cross_entropy_with_logits(scores, targets)


def test_answer_25_by_the_layer():
    def painted(kernel):
        out = F.conv_transpose2d(torch.ones(1, 1, 8, 8), torch.ones(1, 1, kernel, kernel), stride=2)
        return set(out[0, 0, 4:-4, 4:-4].flatten().tolist())

    assert painted(3) == {1, 2, 4}
    assert painted(4) == {4}


def test_answer_26_by_drawing():
    z1, z2 = torch.randn(2, 100, 10_000, generator=torch.Generator().manual_seed(0))
    assert ((z1 + z2) / 2).norm(dim=1).mean().item() == pytest.approx(math.sqrt(5000), rel=0.01)
    assert ((z1 + z2) * math.sqrt(0.5)).norm(dim=1).mean().item() == pytest.approx(100, rel=0.01)


def test_answer_35_by_descent():
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    w = torch.tensor([0.3, 0.2, 0.1], requires_grad=True)
    for _ in range(500):
        points = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((points @ w).sum(), points, create_graph=True)
        (slope,) = torch.autograd.grad((gradient.norm() - 1) ** 2, w)
        w = (w - 0.005 * slope).detach().requires_grad_()
    assert w.norm().item() == pytest.approx(1 / 8, abs=1e-4)


def test_answer_38_by_adding():
    x = torch.randn(128, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    w = torch.ones(3, dtype=torch.float64)

    def gradient(x, norm):
        def loss(w):
            scores = x @ w
            scores = (scores - scores.mean()) / scores.std() if norm else scores
            return F.softplus(scores + x[:, 0]).mean()

        return torch.func.grad(loss)(w)

    for norm in (False, True):
        parts = torch.stack([gradient(part, norm) for part in x.split(32)]).mean(0)
        assert torch.allclose(parts, gradient(x, norm), rtol=1e-10) is not norm


def test_answer_44_by_the_metrics():
    assert metrics.classifier_score(100 * torch.eye(10).repeat(5, 1)) == pytest.approx(10)
    real = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    found = neighbours.precision_recall(real[:4].repeat(10, 1) + 0.001, real)
    assert found == (1, 0)


def test_answer_45_by_the_metrics():
    real, made = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.5], [9.0]])
    assert neighbours.precision_recall(made, real, 1) == (0.5, 1)
    assert neighbours.density_coverage(made, real, 1) == (1, pytest.approx(2 / 3))


def test_answer_47_by_drawing():
    d, n = 4, 400
    random = torch.Generator().manual_seed(0)
    pairs = [torch.randn(2, n, d, generator=random, dtype=torch.float64) for _ in range(2000)]
    measured = np.mean([metrics.frechet_distance(a, b) for a, b in pairs])
    assert measured == pytest.approx(d * (d + 5) / (2 * n), rel=0.05)
    numbers = [64 * 69 / 2000, round(64 * 69 / 2 / 0.1)]
    assert all(f"{number:g}" in ANSWERS[47] for number in numbers)


def test_answer_62_by_drawing():
    random = np.random.default_rng(0)
    shares = [stats.mannwhitneyu(*random.normal(size=(2, 50))).statistic / 2500 for _ in range(4000)]
    assert np.std(shares) == pytest.approx(0.058, rel=0.05)


def test_answer_63_by_drawing():
    """A signal seen through noise, both normal: the mean of X given Y is Y/2, its variance 1/2."""
    x, n, fresh = np.random.default_rng(0).normal(size=(3, 400_000))
    y = x + n
    draw = y / 2 + fresh / math.sqrt(2)
    assert np.mean((x - draw) ** 2) == pytest.approx(2 * np.mean((x - y / 2) ** 2), rel=0.01)
    assert np.var(draw) == pytest.approx(1, rel=0.01)
