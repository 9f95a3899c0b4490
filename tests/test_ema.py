"""The running average against closed forms, and BatchNorm's statistics against direct computation."""

import copy

import pytest
import torch
from torch import nn

import gan_tutorial as gt
from gan_tutorial.ema import update_bn


class Number(nn.Module):
    """One weight in float64, so that a thousand steps keep twelve digits."""

    def __init__(self, value=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(float(value), dtype=torch.float64))

    def set(self, value):
        with torch.no_grad():
            self.weight.fill_(value)


def generator():
    torch.manual_seed(0)
    return gt.ConvGenerator(3, 8, width=2, condition=gt.OneHot(3))


def feed():
    values = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return gt.Feed(gt.Data("noise", values, torch.arange(60) % 3), latent_dim=3, batch_size=6, labelled=True)


def train(average=None, steps=6):
    G = generator()
    C = gt.ConvCritic(8, width=2, condition=gt.Projection(3))
    hooks = [average := gt.EMA(G, 100, 6)] if average else []
    gt.fit(gt.adversaries(G, C, gt.nonsaturating, gt.adam(1e-2)), feed(), steps, hooks=hooks)
    return G, average


# --- weights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rampup_ratio", [None, 1e9])
def test_under_constant_weights_the_distance_shrinks_geometrically(rampup_ratio):
    """average = c + (a - c) * 2^(-n b / h) after n steps from a to c."""
    net = Number(5)
    average = gt.EMA(net, half_life=700, batch_size=16, rampup_ratio=rampup_ratio)
    net.set(-2)
    for n in range(1, 200):
        average()
        assert average.net.weight.item() == pytest.approx(-2 + 7 * 2 ** (-n * 16 / 700), rel=1e-12)


@pytest.mark.parametrize("batch", [1, 8, 32])
def test_what_a_step_contributed_counts_half_after_a_half_life(batch):
    """An impulse, followed by h = 320 more images: by 320, 40 or 10 steps."""
    net = Number()
    average = gt.EMA(net, half_life=320, batch_size=batch, rampup_ratio=None)
    net.set(1)
    average()
    contribution = average.net.weight.item()
    assert contribution == pytest.approx(1 - 0.5 ** (batch / 320), rel=1e-12)
    net.set(0)
    for halves in (1, 2):
        for _ in range(320 // batch):
            average()
        assert average.net.weight.item() == pytest.approx(contribution / 2**halves, rel=1e-12)


def test_early_on_the_half_life_is_a_share_of_the_images_seen():
    """By a loop of our own; the first step forgets all but 2^-10, and from 1000 / 0.1 images on h is 1000."""
    net, expected = Number(3), 3.0
    average = gt.EMA(net, half_life=1000, batch_size=50)
    for n in range(1, 301):
        net.set((-1) ** n * n)
        average(n - 1, None)
        beta = 2 ** (-50 / min(1000, n * 50 / 10))
        expected = beta * expected + (1 - beta) * (-1) ** n * n
        assert average.net.weight.item() == pytest.approx(expected, rel=1e-12)
        assert average.images == 50 * n
        if n == 1:
            assert expected == pytest.approx(-1 + 4 / 1024)
    assert beta == 2 ** (-0.05)


def test_a_ramp_forgets_the_first_weights():
    """While h = r n b, a step multiplies what was there by 2^(-1 / r n): after N steps 2^(-(1 + 1/2 + … + 1/N) / r)."""
    net = Number(1)
    average = gt.EMA(net, half_life=1e9, batch_size=7, rampup_ratio=0.5)
    net.set(0)
    for _ in range(40):
        average()
    assert average.net.weight.item() == pytest.approx(2 ** (-2 * sum(1 / n for n in range(1, 41))), rel=1e-12)


def test_every_weight_is_averaged():
    net = generator()
    average, first = gt.EMA(net, 100, 10), [p.detach().clone() for p in net.parameters()]
    with torch.no_grad():
        for p in net.parameters():
            p.normal_()
    average.update(0.25)
    for mean, a, b in zip(average.net.parameters(), first, net.parameters(), strict=True):
        torch.testing.assert_close(mean, 0.75 * a + 0.25 * b.detach())


def test_the_average_is_a_frozen_copy_ready_to_sample():
    net = generator()
    average = gt.EMA(net, 100, 10)
    assert net.training and all(p.requires_grad for p in net.parameters())
    assert not any(m.training for m in average.net.modules())
    assert not any(p.requires_grad for p in average.net.parameters())
    assert not {id(p) for p in net.parameters()} & {id(p) for p in average.net.parameters()}
    before = [p.clone() for p in average.net.parameters()]
    with torch.no_grad():
        for p in net.parameters():
            p.add_(1)
    assert all(torch.equal(a, b) for a, b in zip(before, average.net.parameters(), strict=True))
    average()
    assert not any(p.requires_grad or p.grad is not None for p in average.net.parameters())


def test_training_is_the_same_with_and_without_an_average():
    (G, _), drawn = train(), torch.get_rng_state()
    H, average = train(average=True)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(a, b) for a, b in zip(G.state_dict().values(), H.state_dict().values(), strict=True))
    assert average.images == 36
    settled = copy.deepcopy(H.state_dict())
    average.update_bn((torch.randn(6, 3), torch.arange(6) % 3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(settled.values(), H.state_dict().values(), strict=True))
    assert all(m.training for m in H.modules())


def test_fit_calls_it_once_a_step():
    """By our own average of the weights after each step."""
    G, seen = generator(), []
    average = gt.EMA(G, half_life=20, batch_size=6, rampup_ratio=None)
    shadow = [p.detach().clone() for p in G.parameters()]

    def watch(step, log):
        seen.append([p.detach().clone() for p in G.parameters()])

    C = gt.ConvCritic(8, width=2, condition=gt.Projection(3))
    gt.fit(gt.adversaries(G, C, gt.nonsaturating, gt.adam(1e-2)), feed(), 5, hooks=[average, watch])
    for weights in seen:
        shadow = [0.5 ** (6 / 20) * a + (1 - 0.5 ** (6 / 20)) * b for a, b in zip(shadow, weights, strict=True)]
    for mean, expected in zip(average.net.parameters(), shadow, strict=True):
        torch.testing.assert_close(mean, expected)


# --- buffers ---------------------------------------------------------------------------------------------------------


def test_buffers_are_copied_whole_numbers_too():
    G, average = train(average=True)
    counts = [b for b in average.net.buffers() if not b.is_floating_point()]
    assert counts and all(b == 12 for b in counts)  # G ran in six steps' two turns
    for mine, theirs in zip(average.net.buffers(), G.buffers(), strict=True):
        assert torch.equal(mine, theirs) and mine is not theirs
    before = [b.clone() for b in average.net.buffers()]
    G(torch.randn(6, 3), torch.zeros(6, dtype=torch.long))  # … and not shared
    assert all(torch.equal(a, b) for a, b in zip(before, average.net.buffers(), strict=True))


class Net(nn.Module):
    """Two layers with BatchNorm, the second behind dropout."""

    def __init__(self):
        super().__init__()
        self.first, self.norm1, self.drop = nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=0.3), nn.Dropout(0.5)
        self.second, self.norm2 = nn.Linear(4, 2), nn.BatchNorm1d(2, momentum=None)

    def forward(self, x, shift=None):
        x = self.norm1(self.first(x if shift is None else x + shift))
        return self.norm2(self.second(self.drop(x.relu())))


def averaged():
    """An average whose weights are those of no step, and whose statistics fit nothing."""
    torch.manual_seed(0)
    net = Net()
    average = gt.EMA(net, 100, 10)
    with torch.no_grad():
        for p in net.parameters():
            p.normal_()
    net(100 + torch.randn(50, 3))
    average.update(0.5)
    return net, average


def test_settled_statistics_are_those_of_the_inputs():
    """Means and unbiased variances of each batch, then their means over the batches, layer by layer, in float64."""
    _, average = averaged()
    batches = list(torch.randn(5, 20, 3) * 3 + 1)
    net = average.update_bn(iter(batches))
    assert net is average.net
    twin = copy.deepcopy(net).double()
    first = [twin.first(x.double()) for x in batches]
    hidden = [
        ((x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt() * twin.norm1.weight + twin.norm1.bias).relu()
        for x in first
    ]
    for norm, values in [(net.norm1, first), (net.norm2, [twin.second(h) for h in hidden])]:  # no dropout
        mean, var = (torch.stack(rows).mean(0) for rows in ([v.mean(0) for v in values], [v.var(0) for v in values]))
        torch.testing.assert_close(norm.running_mean.double(), mean, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(norm.running_var.double(), var, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net.norm1.running_mean.double(), torch.cat(first).mean(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net.norm1.running_var.double(), torch.cat(first).var(0), rtol=0.1, atol=0)


def test_after_settling_samples_have_the_statistics_that_training_gave_them():
    """On the batch that it settled on, evaluation agrees with training up to n / (n - 1) in the variance."""
    _, average = averaged()
    x = torch.randn(1000, 3)
    net = average.update_bn([x])
    out = net(x)
    torch.testing.assert_close(out.mean(0), net.norm2.bias, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(out.std(0), net.norm2.weight.abs(), atol=1e-2, rtol=1e-2)


def test_settling_takes_tuples_of_arguments():
    _, average = averaged()
    x, shift = torch.randn(2, 4, 20, 3)
    one = copy.deepcopy(average.update_bn(list(x + shift)).state_dict())
    two = average.update_bn(zip(x, shift, strict=True)).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_settling_takes_one_tensor_of_several_batches():
    _, average = averaged()
    x = torch.randn(4, 20, 3)
    one = copy.deepcopy(average.update_bn(list(x)).state_dict())
    two = average.update_bn(x).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_settling_that_fails_leaves_the_statistics_as_they_were():
    _, average = averaged()
    before = copy.deepcopy(average.net.state_dict())
    for inputs, error in ([], ValueError), ([torch.randn(9, 3), torch.randn(9, 5)], RuntimeError):
        with pytest.raises(error):
            average.update_bn(inputs)
        assert all(torch.equal(before[name], value) for name, value in average.net.state_dict().items())


def test_settling_restores_modes_and_momenta_and_leaves_the_source_alone():
    net, average = averaged()
    before = copy.deepcopy(net.state_dict())
    average.update_bn([torch.randn(9, 3)])
    assert not any(m.training for m in average.net.modules())
    assert (average.net.norm1.momentum, average.net.norm2.momentum) == (0.3, None)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(b.requires_grad for b in average.net.buffers())
    with pytest.raises(RuntimeError):  # a network that fails half way
        average.update_bn([torch.randn(9, 5)])
    assert not any(m.training for m in average.net.modules()) and average.net.norm1.momentum == 0.3


def test_settling_needs_inputs_where_there_is_something_to_settle():
    _, average = averaged()
    with pytest.raises(ValueError, match="at least one input"):
        average.update_bn([])
    assert not any(m.training for m in average.net.modules()) and average.net.norm1.momentum == 0.3


def test_a_norm_that_no_pass_reaches_is_named():
    one, other = (nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)) for _ in range(2))
    with pytest.raises(ValueError, match=r"none reached Sequential\.1\."):
        update_bn([one, other], [lambda: one(torch.randn(9, 3))])


def test_without_batch_norm_there_is_nothing_to_settle():
    average = gt.EMA(gt.MLPGenerator(3), 100, 10)
    before = copy.deepcopy(average.net.state_dict())
    assert average.update_bn(None) is average.net
    assert all(torch.equal(before[name], value) for name, value in average.net.state_dict().items())


@pytest.mark.parametrize(
    "settings",
    [
        {"half_life": 0},
        {"half_life": -1},
        {"half_life": float("nan")},
        {"batch_size": 0},
        {"rampup_ratio": 0},
        {"rampup_ratio": -0.1},
    ],
)
def test_an_average_that_cannot_be_is_refused(settings):
    with pytest.raises(ValueError, match="Expected a positive"):
        gt.EMA(Number(), **{"half_life": 10, "batch_size": 1, **settings})
