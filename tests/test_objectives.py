"""Objectives against closed forms, and against the mistakes that circulate."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import gan_tutorial as gt

OBJECTIVES = {
    "minimax": gt.minimax,
    "nonsaturating": gt.nonsaturating,
    "least_squares": gt.least_squares,
    "hinge": gt.hinge,
    "wasserstein": gt.wasserstein,
    "wgan": gt.wgan,
    "wgan_gp": gt.wgan_gp,
}
each_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


def slope(function, score):
    """d function / d score at one score."""
    score = torch.tensor([float(score)], dtype=torch.float64, requires_grad=True)
    function(score).backward()
    return score.grad.item()


def test_cross_entropy_is_the_value_of_the_game_with_its_sign_turned():
    real, fake = torch.randn(2, 50, dtype=torch.float64)
    D = torch.sigmoid
    expected = -(D(real).log().mean() + (1 - D(fake)).log().mean())
    torch.testing.assert_close(gt.minimax.critic(real, fake), expected)
    torch.testing.assert_close(gt.nonsaturating.critic(real, fake), expected)
    # Zero-sum: what the generator gains in its term, the critic loses.
    torch.testing.assert_close(gt.minimax.generator(fake), (1 - D(fake)).log().mean())
    torch.testing.assert_close(gt.nonsaturating.generator(fake), -D(fake).log().mean())


@pytest.mark.parametrize("score", [-20, -3, 0, 3, 20])
def test_generator_gradients_saturate_where_they_should(score):
    D = 1 / (1 + math.exp(-score))
    assert slope(gt.minimax.generator, score) == pytest.approx(-D, rel=1e-9)
    assert slope(gt.nonsaturating.generator, score) == pytest.approx(D - 1, rel=1e-6)


def test_at_logit_minus_20_the_two_differ_by_nine_digits():
    assert slope(gt.minimax.generator, -20) == pytest.approx(-2.06e-9, rel=1e-2)
    assert slope(gt.nonsaturating.generator, -20) == pytest.approx(-1, abs=1e-8)


@pytest.mark.parametrize("score", [-200.0, 200.0])
@each_objective
def test_losses_and_gradients_stay_finite_at_extreme_scores(objective, score):
    scores = torch.full((4,), score, requires_grad=True)
    total = objective.critic(scores, -scores) + objective.critic(-scores, scores) + objective.generator(scores)
    total.backward()
    assert total.isfinite() and scores.grad.isfinite().all()


def test_least_squares_and_hinge_by_hand():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, -2.0])
    assert gt.least_squares.critic(real, fake) == (0 + 4) / 2 / 2 + (0 + 4) / 2 / 2
    assert gt.least_squares.generator(fake) == (1 + 9) / 2 / 2
    assert gt.hinge.critic(real, fake) == 0 + (1 + 0) / 2
    assert gt.hinge.generator(fake) == 1


def test_wasserstein_does_not_see_a_constant_added_to_the_critic():
    real, fake = torch.randn(2, 64, dtype=torch.float64)
    torch.testing.assert_close(gt.wasserstein.critic(real + 7, fake + 7), gt.wasserstein.critic(real, fake))


@each_objective
def test_a_critic_step_pulls_the_scores_apart_and_a_generator_step_raises_its_own(objective):
    """Trap 14: from scores near zero, without penalty, real scores rise above fake ones, and fakes then follow."""
    real, fake = torch.randn(32, 3) + 1, torch.randn(32, 3) - 1
    w = torch.zeros(3, requires_grad=True)
    gap = lambda w: (real @ w).mean() - (fake @ w).mean()  # noqa: E731
    objective.critic(real @ w, fake @ w).backward()
    stepped = w.detach() - 0.1 * w.grad
    assert gap(stepped) > gap(w) + 0.01

    fake = fake.clone().requires_grad_(True)
    objective.generator(fake @ stepped).backward()
    assert ((fake - 0.1 * fake.grad) @ stepped).mean() > (fake @ stepped).mean()


@pytest.mark.parametrize("shape", [(5, 3), (5, 1, 4, 4)])
def test_the_penalty_of_a_linear_critic_is_its_closed_form(shape):
    """Trap 1: for w.x it is weight * (|w| - 1)^2 wherever the points lie."""
    w = torch.randn(shape[1:], dtype=torch.float64)
    critic = lambda x: (x * w).flatten(1).sum(1)  # noqa: E731
    real, fake, eps = torch.randn(shape).double(), torch.randn(shape).double(), torch.rand(shape[0]).double()
    expected = (w.norm() - 1) ** 2
    torch.testing.assert_close(gt.gradient_penalty(critic, real, fake, eps, weight=7.0), 7 * expected)
    torch.testing.assert_close(gt.r1(critic, real, fake, eps, weight=3.0), 1.5 * w.square().sum())


def test_the_penalty_takes_one_point_and_one_norm_a_sample():
    """For f = |x|^2 / 2 the slope is |x|: a formula that a scalar eps or a norm over the batch would not give."""
    real, fake = torch.randn(2, 9, 1, 4, 4, dtype=torch.float64)
    eps = torch.rand(9, dtype=torch.float64)
    points = [e * r + (1 - e) * f for e, r, f in zip(eps, real, fake, strict=True)]
    expected = 10 * sum((p.norm() - 1) ** 2 for p in points) / 9
    critic = lambda x: x.square().flatten(1).sum(1) / 2  # noqa: E731
    torch.testing.assert_close(gt.gradient_penalty(critic, real, fake, eps), expected)
    # Trap 2: doubling the batch leaves every sample's norm alone.
    twice = gt.gradient_penalty(critic, real.repeat(2, 1, 1, 1), fake.repeat(2, 1, 1, 1), eps.repeat(2))
    torch.testing.assert_close(twice, expected)


def test_r1_is_half_the_squared_slope_at_the_real_samples():
    """For f = |x|^2 / 2 the slope is x; the fake samples are elsewhere, and do not count."""
    critic = lambda x: x.square().sum(1) / 2  # noqa: E731
    real, fake = torch.randn(2, 9, 3, dtype=torch.float64)
    expected = real.square().sum(1).mean() / 2
    torch.testing.assert_close(gt.r1(critic, real, fake, None), expected)
    torch.testing.assert_close(gt.r1(critic, real, fake, None, weight=4.0), 4 * expected)


def test_r2_is_half_the_squared_slope_at_the_fake_samples():
    """For f = |x|^2 / 2 the slope is x; the real samples are elsewhere, and do not count."""
    critic = lambda x: x.square().sum(1) / 2  # noqa: E731
    real, fake = torch.randn(2, 9, 3, dtype=torch.float64)
    expected = fake.square().sum(1).mean() / 2
    torch.testing.assert_close(gt.r2(critic, real, fake, None), expected)
    torch.testing.assert_close(gt.r2(critic, real, fake, None, weight=4.0), 4 * expected)


def test_no_penalty_takes_the_place_of_the_game():
    with pytest.raises(ValueError, match="another name"):
        replace(gt.hinge, penalty={"game": gt.r1})


def test_how_often_a_critic_moves():
    """The papers': five critic updates in WGAN (algorithm 1) and WGAN-GP (algorithm 1), else one."""
    often = {name: o.n_critic for name, o in OBJECTIVES.items() if o.n_critic != 1}
    assert often == {"wasserstein": 5, "wgan": 5, "wgan_gp": 5}


def test_three_ways_to_hold_a_wasserstein_critic():
    """The same scores count the same; what holds the critic differs."""
    real, fake = torch.randn(2, 50, dtype=torch.float64)
    for objective in (gt.wasserstein, gt.wgan, gt.wgan_gp):
        torch.testing.assert_close(objective.critic(real, fake), fake.mean() - real.mean())
        torch.testing.assert_close(objective.generator(fake), -fake.mean())
    held = {name: (o.penalty is not None, o.constraint is not None) for name, o in OBJECTIVES.items()}
    assert {name: how for name, how in held.items() if any(how)} == {"wgan": (False, True), "wgan_gp": (True, False)}


@pytest.mark.parametrize("bound", [0.01, 2])
def test_clipping_moves_only_what_lies_outside(bound):
    """In place, to the nearest number in [-c, c]: every weight, biases too."""
    torch.manual_seed(0)
    weights = [torch.randn(40, 30) * 2 * bound, torch.randn(40) * 2 * bound]
    expected = [[min(max(v, -bound), bound) for v in w.flatten().tolist()] for w in weights]
    places = [w.data_ptr() for w in weights]
    assert gt.weight_clipping(bound)(weights) is None
    for w, e, place in zip(weights, expected, places, strict=True):
        torch.testing.assert_close(w.flatten(), torch.tensor(e))
        assert w.data_ptr() == place and w.abs().max() == w.new_tensor(bound)


def test_weights_are_clipped_to_a_hundredth_by_default():
    for constraint in (gt.weight_clipping(), gt.wgan.constraint):
        weights = [torch.tensor([-1.0, -0.011, -0.009, 0.0, 0.009, 7.0])]
        constraint(weights)
        assert torch.equal(weights[0], torch.tensor([-0.01, -0.01, -0.009, 0.0, 0.009, 0.01]))


@pytest.mark.parametrize("bound", [0, -0.01, float("nan")])
def test_a_bound_that_is_not_positive_is_refused(bound):
    with pytest.raises(ValueError, match=r"clipped to \[-c, c\] with a positive c"):
        gt.weight_clipping(bound)


def test_eps_is_the_share_of_the_real_sample():
    critic = lambda x: x.square().sum(1) / 2  # noqa: E731
    real, fake = torch.full((1, 1), 3.0), torch.zeros(1, 1)
    assert gt.gradient_penalty(critic, real, fake, torch.tensor([1.0])) == pytest.approx(10 * (3 - 1) ** 2)
    assert gt.gradient_penalty(critic, real, fake, torch.tensor([0.0])) == pytest.approx(10 * (0 - 1) ** 2)


@pytest.mark.parametrize("penalty", [gt.gradient_penalty, gt.r1])
def test_the_penalty_of_a_flat_critic_has_a_finite_gradient(penalty):
    """Trap 3: a zero slope, where the root of a sum of squares has a NaN gradient."""
    net = nn.Linear(3, 1)
    nn.init.zeros_(net.weight)
    penalty(lambda x: net(x).squeeze(1), torch.randn(4, 3), torch.randn(4, 3), torch.rand(4)).backward()
    assert net.weight.grad.isfinite().all()


@pytest.mark.parametrize("penalty", [gt.gradient_penalty, gt.r1])
def test_the_gradient_of_a_penalty_agrees_with_finite_differences(penalty):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    real, fake = torch.randn(2, 4, 3, dtype=torch.float64)
    eps = torch.rand(4, dtype=torch.float64)
    value = lambda: penalty(lambda x: net(x).squeeze(1), real, fake, eps)  # noqa: E731
    value().backward()
    weight = net[0].weight
    with torch.no_grad():
        weight[0, 0] += 1e-6
        up = value()
        weight[0, 0] -= 2e-6
        down = value()
    assert weight.grad[0, 0].item() == pytest.approx(((up - down) / 2e-6).item(), rel=1e-6)


@each_objective
@pytest.mark.parametrize(
    "scores",
    [
        torch.zeros(4, 1),
        torch.zeros(()),
        torch.zeros(0),
        torch.zeros(4, dtype=torch.long),
    ],
    ids=["column", "scalar", "empty", "integer"],
)
def test_what_are_no_scores_is_refused(objective, scores):
    """Trap 11: (N, 1) - (N,) broadcasts to N x N without a word."""
    good = torch.zeros(4)
    for call in (
        lambda: objective.critic(scores, good),
        lambda: objective.critic(good, scores),
        lambda: objective.generator(scores),
    ):
        with pytest.raises(ValueError, match=r"shape \(batch,\)"):
            call()


def test_a_penalty_between_samples_of_different_shapes_is_refused():
    flat = lambda x: x.flatten(1).sum(1)  # noqa: E731
    with pytest.raises(ValueError, match="one shape"):
        gt.gradient_penalty(flat, torch.zeros(4, 2), torch.zeros(4, 3), torch.zeros(4))
    with pytest.raises(ValueError, match="eps of shape"):
        gt.gradient_penalty(flat, torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(4, 1))


def test_an_objective_can_be_varied():
    regularised = replace(gt.nonsaturating, penalty=gt.r1, n_critic=2)
    assert regularised.penalty is gt.r1 and regularised.n_critic == 2 and gt.nonsaturating.penalty is None
    with pytest.raises(ValueError, match="from 1 on, got n_critic=0"):
        replace(gt.hinge, n_critic=0)


def test_scores_are_checked_once_however_often_an_objective_is_varied():
    varied = replace(replace(gt.hinge, n_critic=2), n_critic=3)
    assert varied.critic is gt.hinge.critic and varied.generator is gt.hinge.generator
    own = replace(gt.hinge, generator=lambda fake: -fake.mean())
    with pytest.raises(ValueError, match=r"shape \(batch,\)"):
        own.generator(torch.zeros(4, 1))
