"""The VAE's loss against independent formulas, and the GMMN's against the kernel module's."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

import gan_tutorial as gt
from gan_tutorial import distributed, gmmn, vae
from gan_tutorial.training import Spec

random = torch.Generator().manual_seed(0)
SPEC = Spec((1, 12, 12), 0, 3)


def batch(n=50):
    real = torch.rand(n, *SPEC.shape, generator=random) * 2 - 1
    return gt.Batch(real, None, torch.randn(n, SPEC.latent_dim, generator=random), torch.empty(n, 0))


def networks():
    torch.manual_seed(0)
    return {name: net.eval() for name, net in vae.VAE.build(SPEC).items()}


def test_the_loss_is_the_negative_elbo_of_torch_distributions():
    """Up to the constant of sigma: the log of a normal density, and the divergence of two normals."""
    nets, given, sigma = networks(), batch(), 0.3
    mean, log_variance = nets["encoder"](given.real)
    scale = (log_variance / 2).exp()
    q, prior = Independent(Normal(mean, scale), 1), Independent(Normal(torch.zeros_like(mean), 1.0), 1)
    made = nets["decoder"](mean + scale * given.z)
    density = Normal(made, sigma).log_prob(given.real).flatten(1).sum(1)
    constant = 144 * (math.log(sigma) + math.log(2 * math.pi) / 2)
    terms = vae.loss(nets, given, sigma)
    assert terms["reconstruction"].item() == pytest.approx(-density.mean().item() - constant, rel=1e-4)
    assert terms["kl"].item() == pytest.approx(kl_divergence(q, prior).mean().item(), rel=1e-4)


def test_a_linear_vae_reaches_the_best_likelihood_of_its_kind():
    """The ELBO of a straight line of a decoder touches the likelihood of the best Gaussian. Tipping and Bishop 1999."""
    points = (
        torch.randn(4000, 2, generator=random, dtype=torch.float64) @ torch.tensor([[1.0, 0.9], [0.0, 0.4]]).double()
    )
    sigma = 0.4

    class Line(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([[0.3, 0.2]]).double())

        def forward(self, z):
            return z @ self.w

    class Look(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean, self.log_variance = nn.Linear(2, 1).double(), nn.Parameter(torch.zeros(1).double())

        def forward(self, x):
            return self.mean(x), self.log_variance.expand(len(x), 1)

    nets = {"encoder": Look(), "decoder": Line()}
    optimizer = torch.optim.Adam(nn.ModuleDict(nets).parameters(), lr=0.01)
    for _ in range(1500):
        z = torch.randn(4000, 1, generator=random, dtype=torch.float64)
        optimizer.zero_grad()
        sum(vae.loss(nets, gt.Batch(points, None, z, torch.empty(4000, 0)), sigma).values()).backward()
        optimizer.step()
    values, vectors = torch.linalg.eigh(points.T @ points / len(points))
    best = vectors[:, -1] * (values[-1] - sigma**2).sqrt()  # of probabilistic principal component analysis
    found = nets["decoder"].w.detach()[0]
    assert torch.minimum((found - best).norm(), (found + best).norm()) < 0.05 * best.norm()


def test_the_gmmns_loss_is_the_root_of_the_biased_mmd():
    given = batch()
    net = gt.MLPGenerator(SPEC.latent_dim, SPEC.shape, width=8)
    scale = torch.pdist(given.real.flatten(1)).median()
    x, y = net(given.z).flatten(1), given.real.flatten(1)

    def mean(a, b):
        squares = torch.cdist(a, b).square()
        return torch.stack([(-squares / (2 * (part * scale) ** 2)).exp() for part in (0.15, 0.3, 0.6)]).mean()

    expected = (mean(x, x) + mean(y, y) - 2 * mean(x, y)).sqrt().item()
    assert gmmn.loss(net, given)["mmd"].item() == pytest.approx(expected, rel=1e-3)


def test_both_learn_the_digits():
    """A VAE draws digits better than their mean, which costs half of their variance over sigma squared."""
    digits = gt.data.synthetic_digits(600, seed=0)
    log = vae.VAE.train(digits, steps=150).log["vae"]["reconstruction"]
    images = digits.take(slice(None)).flatten(1)
    assert log[-20:].mean() < 0.8 * (images - images.mean(0)).square().sum(1).mean() / (2 * vae.SIGMA**2)
    log = gmmn.GMMN.train(digits, steps=100).log["generator"]["mmd"]
    assert log[-20:].mean() < log[0] / 2


BOTH = pytest.mark.parametrize("recipe", [vae.VAE, gmmn.GMMN], ids=lambda recipe: recipe.name)
DIGITS = gt.data.synthetic_digits(300, seed=0)


@BOTH
def test_schedules_reach_the_one_player(recipe):
    half = {"kl": lambda step: 0.5} if recipe is vae.VAE else {"mmd": lambda step: 0.5}
    (player,) = gt.Trainer(replace(recipe, lr_schedule=lambda step: 0.25, term_weights=half), DIGITS).players
    (plain,) = gt.Trainer(recipe, DIGITS).players
    given, name = next(gt.Feed(DIGITS, recipe.latent_dim, 64)), next(iter(half))
    assert player.update(given)[name].item() == pytest.approx(plain.update(given)[name].item() / 2, rel=1e-5)
    rates = [one.optimizer.param_groups[0]["lr"] for one in (player, plain)]
    assert rates[0] == rates[1] / 4


@BOTH
@pytest.mark.parametrize(
    "change",
    [
        {"augment": gt.augment.DiffAugment()},
        {"objective": gt.wgan_gp},
        {"critic_optimizer": gt.adam(1e-3)},
        {"share_batch": True},
        {"labelled": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_game_without_a_critic_has_no_use_for_is_refused(recipe, change):
    with pytest.raises(ValueError, match=f"players of {recipe.name} make no use of {next(iter(change))}: leave it out"):
        gt.Trainer(replace(recipe, **change), DIGITS)


def test_a_gmmn_that_diverges_ends_as_other_trainings_do():
    """With step, player and term, and without a model of weights that are of no use."""
    with pytest.raises(gt.NonFiniteLoss, match="the generator's term 'mmd' became nan") as caught:
        gmmn.GMMN.configure(lr=1e37, batch_size=32).train(DIGITS, steps=20)
    assert not hasattr(caught.value, "model") and not getattr(caught.value, "__notes__", [])


def test_a_distance_of_whole_batches_is_not_divided_among_processes(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(ValueError, match="train with one process"):
        gmmn.players(gmmn.GMMN, gmmn.GMMN.build(SPEC))
