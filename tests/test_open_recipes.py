"""Recipes that the package does not have: each trains, is saved, goes on bit for bit, is loaded, and sampled.

None of them needs a change in the package: networks, players, batches and the sampler are values of a `Recipe`.
"""

import math
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

import gan_tutorial as gt
from gan_tutorial import checkpoint
from gan_tutorial.recipes import DCGAN, MLP, RECIPES
from gan_tutorial.training import Clock, Recipe, Trainer, interruptible

random = torch.Generator().manual_seed(0)
GREY = gt.Data("squares", (torch.rand(60, 1, 8, 8, generator=random) * 255).byte(), torch.arange(60) % 2)
POINTS = gt.Data("points", torch.randn(60, 2, generator=random))
adam = gt.adam(1e-3)


# --- a variational autoencoder: one player, two networks, noise from the batch (Kingma & Welling 2014) ----------------


class Encoder(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2 * spec.latent_dim))

    def forward(self, x):
        return self.layers(x).chunk(2, 1)


def vae_players(recipe, networks):
    both = nn.ModuleDict(networks)

    def loss(batch):
        mean, log_var = networks["encoder"](batch.real)
        made = networks["decoder"](mean + (log_var / 2).exp() * batch.z)
        kl = (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean() / 2
        return {"reconstruction": mse_loss(made, batch.real, reduction="sum") / len(made), "kl": kl}

    anneal = {"kl": lambda step: min(1.0, step / 4)}
    return [gt.Player("vae", both, loss, recipe.optimizer(both.parameters()), term_weights=anneal)]


VAE = Recipe(
    "own vae",
    {"encoder": Encoder, "decoder": lambda spec: gt.MLPGenerator(spec.latent_dim, spec.shape, width=16)},
    optimizer=adam,
    latent_dim=3,
    batch_size=16,
    players=vae_players,
    averaged=("decoder",),
    sampler=lambda networks, z, condition: gt.sample(networks["decoder"], z),
    forward=lambda networks, batch: networks["decoder"](batch.z),
)


# --- a generative moment matching network: no critic, the loss is a kernel's (Li et al. 2015) ------------------------


def mmd(x: Tensor, y: Tensor) -> Tensor:
    def mean(a, b):
        return (-torch.cdist(a, b).square() / 2).exp().mean()

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def gmmn_players(recipe, networks):
    net = networks["generator"]
    return [gt.Player("generator", net, lambda b: {"mmd": mmd(net(b.z), b.real)}, recipe.optimizer(net.parameters()))]


GMMN = Recipe(
    "own gmmn",
    {"generator": lambda spec: gt.MLPGenerator(spec.latent_dim, spec.shape, width=16)},
    optimizer=adam,
    latent_dim=2,
    batch_size=20,
    players=gmmn_players,
    lr_schedule=lambda step: 1 / (1 + step / 3),
)


# --- CycleGAN: two generators, two critics, two domains (Zhu et al. 2017); networks and objective of one's own -------


def translator(spec):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1), nn.Tanh()
    )


def domain_critic(spec):
    return gt.ConvCritic(spec.size, width=2)


class Both(NamedTuple):
    a: gt.Batch
    b: gt.Batch


class Domains:
    """A batch of each domain, by its label."""

    def __init__(self, recipe, data, seed):
        sets = [data[data.label == k] for k in (0, 1)]
        self.feeds = [gt.Feed(part, 1, recipe.batch_size, 2 * seed + k) for k, part in enumerate(sets)]

    def __iter__(self):
        return self

    def __next__(self):
        return Both(*map(next, self.feeds))

    @property
    def batches_drawn(self):
        return self.feeds[0].batches_drawn

    @batches_drawn.setter
    def batches_drawn(self, n):
        for feed in self.feeds:
            feed.batches_drawn = n


def cyclegan_players(recipe, networks):
    there, back = networks["a to b"], networks["b to a"]
    both = nn.ModuleDict({"there": there, "back": back})

    def judge(name, real, fake):
        net = networks[name]

        def loss(batch):
            return {"game": (net(real(batch)) - 1).square().mean() + net(fake(batch)).square().mean()}

        return gt.Player(name, net, loss, recipe.optimizer(net.parameters()))

    def loss(batch):
        a, b = batch.a.real, batch.b.real
        to_a, to_b = back(b), there(a)
        fooled = (networks["critic a"](to_a) - 1).square().mean() + (networks["critic b"](to_b) - 1).square().mean()
        return {"game": fooled, "cycle": 5 * ((back(to_b) - a).abs().mean() + (there(to_a) - b).abs().mean())}

    return [
        judge("critic a", lambda batch: batch.a.real, lambda batch: back(batch.b.real)),
        judge("critic b", lambda batch: batch.b.real, lambda batch: there(batch.a.real)),
        gt.Player("translators", both, loss, recipe.optimizer(both.parameters())),
    ]


def forward_both(networks, batch):
    networks["a to b"](batch.a.real)
    networks["b to a"](batch.b.real)


CYCLEGAN = Recipe(
    "own cyclegan",
    {"a to b": translator, "b to a": translator, "critic a": domain_critic, "critic b": domain_critic},
    optimizer=adam,
    latent_dim=1,
    batch_size=10,
    players=cyclegan_players,
    batches=Domains,
    averaged=("a to b", "b to a"),
    sampler=lambda networks, z, condition: gt.sample(networks["a to b"], condition),
    forward=forward_both,
)


# --- R3GAN's game: relativistic pairing, R1 and R2, on networks of one's own with dropout (Huang et al. 2024) ---------


class OwnCritic(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(16, 1)
        )

    def forward(self, x, condition=None):
        return self.layers(x).squeeze(1)


R3GAN = Recipe(
    "r3gan",
    {"generator": lambda spec: gt.MLPGenerator(spec.latent_dim, spec.shape, width=16), "critic": OwnCritic},
    replace(gt.relativistic, penalty={"r1": partial(gt.r1, weight=0.5), "r2": partial(gt.r2, weight=0.5)}),
    gt.adam(1e-3),
    critic_optimizer=gt.adam(4e-3),
    latent_dim=3,
    batch_size=16,
    term_weights={"r1": lambda step: 2.0 ** (-step)},
    lr_schedule=lambda step: max(0.0, 1 - step / 100),
)

OWN = {
    "vae": (VAE, GREY),
    "gmmn": (GMMN, POINTS),
    "cyclegan": (CYCLEGAN, GREY),
    "r3gan": (R3GAN, GREY),
    "signals": (replace(MLP, name="signals", batch_size=10), gt.Data("signals", torch.randn(30, 2, 16))),
}


def everything(trainer) -> Iterator[Tensor]:
    yield from checkpoint.state_of(trainer.networks).values()
    yield from (value for average in trainer.averages.values() for value in average.net.state_dict().values())


@pytest.mark.filterwarnings("ignore:The recipe")
@pytest.mark.parametrize(("recipe", "data"), OWN.values(), ids=OWN.keys())
def test_a_recipe_of_ones_own_trains_is_saved_goes_on_is_loaded_and_sampled(recipe, data, tmp_path):
    file = tmp_path / "own.safetensors"
    whole, first = Trainer(recipe, data, seed=3), Trainer(recipe, data, seed=3)
    start = [value.clone() for value in everything(whole)]
    whole.run(steps=7)
    first.run(steps=3)
    checkpoint.save(first, file)
    with pytest.raises(ValueError, match="give it as recipe="):
        checkpoint.resume(file, data)
    second = checkpoint.resume(file, data, recipe=recipe)
    second.run(steps=7)
    assert all(torch.equal(a, b) for a, b in zip(everything(whole), everything(second), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(everything(whole), start, strict=True))
    for player, terms in whole.log.items():
        for term, values in terms.items():
            assert torch.equal(values, second.log[player][term]) and values.shape == (7,)

    checkpoint.save(second, file)
    model = checkpoint.load(file, recipe=recipe)
    condition = data.take(slice(0, 5)) if recipe is CYCLEGAN else None
    samples = model.sample(5, condition)
    assert samples.shape == (5, *data.shape)
    assert torch.equal(samples, whole.model().sample(5, condition))


SIZES = {"grey 20 × 36": (1, 20, 36), "colour 32": (3, 32, 32), "four channels, odd": (4, 15, 21)}


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "stacked"])
@pytest.mark.parametrize("shape", SIZES.values(), ids=SIZES.keys())
def test_recipes_take_their_shape_from_the_data(name, shape, tmp_path):
    data = gt.Data("mine", (torch.rand(30, *shape) * 255).byte(), torch.arange(30) % 4)
    trainer = Trainer(RECIPES[name].configure(batch_size=8, latent_dim=5, lr=1e-4), data)
    trainer.run(steps=1)
    checkpoint.save(trainer, tmp_path / "mine.safetensors")
    model = checkpoint.load(tmp_path / "mine.safetensors")  # its name and the card are enough
    assert model.recipe.batch_size == 8 and model.recipe.options["lr"] == 1e-4
    assert model.sample(6).shape == (6, *shape) and model.spec.classes == (4 if model.recipe.labelled else 0)
    resumed = checkpoint.resume(tmp_path / "mine.safetensors", data)
    for run in (trainer, resumed):
        run.run(steps=2)
    assert all(torch.equal(a, b) for a, b in zip(everything(trainer), everything(resumed), strict=True))


@pytest.mark.parametrize(("shape", "coarsest"), [((3, 16, 32), (8, 16)), ((1, 28, 28), (7, 7)), ((2, 64, 48), (8, 6))])
def test_a_stack_halves_its_images_as_often_as_it_can(shape, coarsest):
    data = gt.Data("mine", (torch.rand(70, *shape) * 255).byte())
    if min(coarsest) < 7:
        coarsest = tuple(2 * side for side in coarsest)
    model = RECIPES["stacked"].train(data, steps=1)
    assert model.sample(3).shape == (3, *shape)
    assert model.generator.levels[0].shape == (shape[0], *coarsest)


@pytest.mark.parametrize("shape", [(3, 16, 32), (1, 48, 32)])
def test_a_stack_of_another_size_is_saved_goes_on_and_is_loaded(shape, tmp_path):
    data = gt.Data("mine", (torch.rand(30, *shape) * 255).byte())
    recipe, file = RECIPES["stacked"].configure(batch_size=8), tmp_path / "mine.safetensors"
    whole, first = (Trainer(recipe, data, seed=3) for _ in range(2))
    whole.run(steps=3)
    first.run(steps=1)
    checkpoint.save(first, file)
    second = checkpoint.resume(file, data)  # its name and the card are enough
    second.run(steps=3)
    assert all(torch.equal(a, b) for a, b in zip(everything(whole), everything(second), strict=True))
    checkpoint.save(second, file)
    model = checkpoint.load(file)
    assert model.sample(3).shape == (3, *shape) and torch.equal(model.sample(3), whole.model().sample(3))


def test_a_stack_refuses_what_cannot_be_halved():
    data = gt.Data("mine", torch.zeros(70, 1, 15, 28, dtype=torch.uint8))
    with pytest.raises(ValueError, match="cannot be halved"):
        RECIPES["stacked"].train(data, steps=1)


@pytest.mark.parametrize("recipe", [DCGAN, RECIPES["stacked"], RECIPES["wgan-gp"]])
def test_convolutional_recipes_refuse_points(recipe):
    with pytest.raises(ValueError, match="fully connected networks, such as mlp"):
        recipe.train(gt.Data("points", torch.randn(90, 2)), steps=1)


def test_fewer_samples_than_batchnorm_is_measured_on_lose_nothing():
    """The training of 64 to 99 images once ended in an error after its last step."""
    data = gt.Data("few", (torch.rand(70, 1, 28, 28) * 255).byte())
    assert DCGAN.train(data, steps=1).sample(2).shape == (2, 1, 28, 28)


def test_a_training_ended_within_a_step_is_not_saved_and_does_not_go_on(tmp_path):
    class Broken(Exception):
        pass

    trainer = Trainer(MLP, gt.Data("few", (torch.rand(70, 1, 8, 8) * 255).byte()))
    trainer.run(steps=2)

    def fail(batch):
        raise Broken

    loss = trainer.players[1].loss
    trainer.players[1].wrap("broken", loss=lambda loss: fail)
    with pytest.raises(Broken):
        trainer.run(steps=4)
    assert trainer.steps == 2 and trainer.log["critic"]["game"].shape == (2,)
    with pytest.raises(ValueError, match="ended within step 3"):
        checkpoint.save(trainer, tmp_path / "half.safetensors")
    trainer.players[1].wrap("mended", loss=lambda _: loss)
    with pytest.raises(ValueError, match="ended within a step"):
        trainer.run(steps=4)


def test_looking_at_the_next_losses_changes_nothing():
    """Batch number, BatchNorm's and spectral normalisation's buffers, dropout's random numbers: all as before."""
    looked, other = (Trainer(recipe, GREY, seed=1) for recipe in (R3GAN, R3GAN))
    for trainer in (looked, other):
        trainer.run(steps=2)
    before = looked.losses_ahead()
    assert before == looked.losses_ahead()
    looked.run(steps=3)
    other.run(steps=3)
    assert all(torch.equal(a, b) for a, b in zip(everything(looked), everything(other), strict=True))
    assert before["critic"]["game"] == pytest.approx(looked.log["critic"]["game"][2].item(), rel=1e-6)


def test_a_loss_that_fails_while_it_is_looked_at_changes_nothing():
    failing, other = (Trainer(R3GAN, GREY, seed=1) for _ in range(2))
    hook = failing.networks["critic"].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        failing.losses_ahead()
    hook.remove()
    assert all(torch.equal(a, b) for a, b in zip(everything(failing), everything(other), strict=True))
    for trainer in (failing, other):
        trainer.run(steps=2)
    assert all(torch.equal(a, b) for a, b in zip(everything(failing), everything(other), strict=True))


def test_a_part_of_the_data_without_its_last_class_has_all_classes():
    named = replace(GREY, label=torch.arange(60) % 3, class_names=("ant", "bee", "cat"))
    for data in (named, named[named.label < 2]):
        assert RECIPES["conditional"].spec(data).classes == 3
    assert RECIPES["conditional"].spec(replace(named, class_names=())[:2]).classes == 2


def test_an_interrupted_recipe_hands_over_what_it_made():
    """After the whole step at hand, and as if no more steps had been asked for."""
    data = gt.Data("few", (torch.rand(70, 1, 8, 8) * 255).byte())

    def press(step, log):
        if step == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(gt.Interrupted, match="after 3 steps") as caught:
        MLP.train(data, steps=50, hooks=[press])
    assert torch.equal(caught.value.model.sample(4), MLP.train(data, steps=3).sample(4))
    assert caught.value.log["critic"]["game"].shape == (3,)


def test_what_would_fail_after_the_last_step_fails_before_the_first():
    """A `forward` that does not fit the averaged networks lost a whole training; so did batches without a number."""

    def build(spec):
        return nn.Sequential(nn.Linear(spec.latent_dim, 2), nn.BatchNorm1d(2))

    def players(recipe, networks):
        net = networks["gen"]
        return [gt.Player("gen", net, lambda b: {"mmd": mmd(net(b.z), b.real)}, recipe.optimizer(net.parameters()))]

    own = Recipe("own", {"gen": build}, optimizer=adam, latent_dim=2, batch_size=9, players=players, averaged=("gen",))
    with pytest.raises(ValueError, match="forward.*gen.*Give the recipe a `forward`"):
        Trainer(own, POINTS)
    with pytest.raises(ValueError, match="without `batches_drawn`"):
        Trainer(replace(GMMN, batches=lambda recipe, data, seed: iter([])), POINTS)


def test_a_norm_that_forward_does_not_reach_is_named_before_the_first_step():
    """It was noticed after the last step, and the whole training was lost."""
    both = replace(CYCLEGAN, forward=lambda networks, batch: networks["a to b"](batch.a.real))
    with pytest.raises(ValueError, match=r"forward.*none reached Sequential\.1"):
        Trainer(both, GREY)


def test_trying_the_end_changes_no_average():
    trainer = Trainer(CYCLEGAN, GREY)
    for name, average in trainer.averages.items():
        assert all(map(torch.equal, average.net.state_dict().values(), trainer.networks[name].state_dict().values()))


def test_a_second_run_that_is_interrupted_before_its_first_step_keeps_the_history():
    trainer = Trainer(GMMN, POINTS)
    trainer.run(steps=2)
    with interruptible() as asked:
        asked.append(signal.SIGINT)
        with pytest.raises(gt.Interrupted, match="after 2 steps") as caught:
            trainer.run(steps=4)
    assert caught.value.log["generator"]["mmd"].shape == (2,)


def test_an_error_in_a_hook_hands_over_what_was_made():
    data = gt.Data("few", (torch.rand(70, 1, 8, 8) * 255).byte())

    def fail(step, log):
        if step == 2:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError) as caught:
        MLP.train(data, steps=9, hooks=[fail])
    assert torch.equal(caught.value.model.sample(4), MLP.train(data, steps=3).sample(4))


@pytest.mark.parametrize(
    "amount", [{"steps": -5}, {"steps": 2.5}, {"steps": True}, {"seconds": -3}, {"seconds": math.nan}]
)
def test_a_training_of_no_length_is_refused(amount):
    with pytest.raises(ValueError, match="Expected a (whole )?number of"):
        GMMN.train(POINTS, **amount)


@pytest.mark.filterwarnings("ignore:The recipe")
@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999), maximize=True)},
        {"lr_schedule": lambda step: 1 if step < 8 else 0.1},
        {"share_batch": True},
    ],
)
def test_another_switch_or_schedule_is_another_game(change, tmp_path):
    recipe = replace(R3GAN, lr_schedule=lambda step: 1 if step < 5 else 0.1)
    trainer = Trainer(recipe, GREY)
    trainer.run(steps=2)
    checkpoint.save(trainer, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="another version"):
        checkpoint.resume(tmp_path / "a.safetensors", GREY, recipe=replace(recipe, **change))


@pytest.mark.filterwarnings("ignore:The recipe")
def test_schedules_go_on_by_steps_where_a_turn_has_several_updates(tmp_path):
    """The critic's updates are counted, its schedule is of steps: bit for bit after resuming."""
    recipe = replace(R3GAN, objective=replace(R3GAN.objective, n_critic=3), lr_schedule=lambda step: 1 / (1 + step))
    whole, first = Trainer(recipe, GREY), Trainer(recipe, GREY)
    whole.run(steps=5)
    first.run(steps=2)
    checkpoint.save(first, tmp_path / "a.safetensors")
    second = checkpoint.resume(tmp_path / "a.safetensors", GREY, recipe=recipe)
    second.run(steps=5)
    assert all(torch.equal(a, b) for a, b in zip(everything(whole), everything(second), strict=True))
    assert second.players[0].optimizer.param_groups[0]["lr"] == pytest.approx(4e-3 / 5)


def test_a_model_of_another_moment_is_not_saved_with_a_training(tmp_path):
    trainer = Trainer(MLP, gt.Data("few", (torch.rand(70, 1, 8, 8) * 255).byte()))
    old = trainer.model()
    trainer.run(steps=2)
    with pytest.raises(ValueError, match="give trainer.model"):
        checkpoint.save(trainer, tmp_path / "a.safetensors", model=old)


def test_a_clock_leaves_out_every_pause():
    clock = Clock(10.0, torch.device("cpu"))
    for _ in range(2):
        with clock.paused():
            clock.start -= 100.0  # as if it had taken so long
            clock.away += 100.0
    assert 10.0 <= clock() < 20.0
