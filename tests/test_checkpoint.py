"""Files of trainings: going on is as if never stopped, and whatever kills a process leaves a file that can be read."""

import inspect
import os
import random
import signal
import time
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import gan_tutorial as gt
from gan_tutorial import acceleration, checkpoint, layout
from gan_tutorial.game import Feed, adversaries
from gan_tutorial.objectives import gradient_penalty, r1, weight_clipping
from gan_tutorial.recipes import CONDITIONAL, DCGAN, MLP, RECIPES, WGAN
from gan_tutorial.training import Recipe, Trainer

digits = gt.data.synthetic_digits(200, seed=0)
points = gt.Data("points", torch.randn(50, 2, generator=torch.Generator().manual_seed(0)))

# The smallest recipe: half a thousand weights, so that files are small and training is quick.
TINY = Recipe(
    "tiny",
    {
        "generator": lambda spec: gt.MLPGenerator(spec.latent_dim, spec.shape, width=8),
        "critic": lambda spec: gt.MLPCritic(spec.shape, width=8),
    },
    latent_dim=2,
    batch_size=8,
    half_life=100,
)


@pytest.fixture(autouse=True)
def own_recipes_are_meant():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The recipe .* is not the package's own")
        yield


def trained(recipe=TINY, data=points, steps=2, **options):
    trainer = Trainer(recipe, data, **options)
    trainer.run(steps=steps)
    return trainer


def saved(folder, recipe=TINY, data=points, steps=2, **options) -> Path:
    path = folder / "saved.safetensors"
    checkpoint.save(trained(recipe, data, steps, **options), path)
    return path


def everything(trainer, folder):
    """All tensors that a training consists of, by way of a file, and what its card says of its place."""
    checkpoint.save(trainer, folder / "all.safetensors")
    card, tensors = checkpoint.read(folder / "all.safetensors")
    return {k: v for k, v in card.items() if k not in ("sha256", "seconds", "options")}, tensors


def same(one, other):
    return (
        one[0] == other[0]
        and one[1].keys() == other[1].keys()
        and all(torch.equal(value, other[1][name]) for name, value in one[1].items())
    )


def as_if_never_stopped(folder, recipe, data=points, **options):
    """Two steps, a file, and three more, are five steps; gives the resumed training."""
    whole = trained(recipe, data, 5, **options)
    rest = checkpoint.resume(saved(folder, recipe, data, 2, **options), data, recipe=recipe)
    rest.run(steps=5)
    assert same(everything(whole, folder), everything(rest, folder))
    return rest


# ----------------------------------------------------------------------------------------------- as if never stopped


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_going_on_is_as_if_never_stopped(recipe, tmp_path):
    recipe, few = recipe.configure(batch_size=16), digits[:32]
    whole = trained(recipe, few, 5, seed=3)
    part = trained(recipe, few, 2, seed=3)
    checkpoint.save(part, tmp_path / "part.safetensors")
    torch.manual_seed(99)  # nobody else's random numbers matter
    rest = checkpoint.resume(tmp_path / "part.safetensors", few)
    assert same(everything(part, tmp_path), everything(rest, tmp_path)) and rest.seconds > 0
    rest.run(steps=5)
    assert same(everything(whole, tmp_path), everything(rest, tmp_path))
    assert {len(term) for player in rest.log.values() for term in player.values()} == {5}
    part.run(steps=5)  # and so is going on without a file
    assert same(everything(whole, tmp_path), everything(part, tmp_path))


@pytest.mark.parametrize(
    "optimizer",
    [
        gt.adam(1e-3),
        partial(torch.optim.SGD, lr=0.1),
        partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        *(
            partial(kind, lr=1e-3)
            for kind in (
                *(torch.optim.AdamW, torch.optim.NAdam, torch.optim.RAdam, torch.optim.Adamax, torch.optim.Adagrad),
                *(torch.optim.Adadelta, torch.optim.RMSprop, torch.optim.Rprop, torch.optim.ASGD),
            )
        ),
        partial(torch.optim.Adam, lr=1e-3, amsgrad=True),
    ],
    ids=lambda factory: f"{factory.func.__name__} {'-'.join(factory.keywords)}",
)
def test_whatever_the_optimiser_keeps_is_kept(optimizer, tmp_path):
    as_if_never_stopped(tmp_path, replace(TINY, optimizer=optimizer))


class Noisy(nn.Module):
    """Layers that draw random numbers, a weight without a gradient, one under two names, and a buffer."""

    def __init__(self, shape):
        super().__init__()
        first = nn.Linear(2, 8)
        self.layers = nn.Sequential(first, nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, *shape))
        self.again = first
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, z, condition=None):
        return self.layers(z + 0.1 * torch.randn_like(z) * self.training)


def test_dropout_noise_tied_and_unused_weights_go_on(tmp_path):
    networks = {**TINY.networks, "generator": lambda spec: Noisy(spec.shape)}
    recipe = replace(TINY, networks=networks, term_weights={"game": lambda step: 1 / (1 + step)})
    rest = as_if_never_stopped(tmp_path, recipe)
    torch.manual_seed(1)
    once = rest.players[1].loss(next(rest.feed))["game"]
    assert once != rest.players[1].loss(next(rest.feed))["game"]  # the layers do draw
    loaded = checkpoint.load(tmp_path / "all.safetensors", recipe=recipe)
    assert torch.equal(loaded.sample(5), rest.model().sample(5))


def test_players_and_terms_may_have_any_printable_name(tmp_path):
    def players(recipe, networks):
        names = ("the critic, 50% v1.0", "Generator é")
        terms = {"critic_terms": lambda batch, fake: {"a.b": fake.mean() * 0}}
        return adversaries(*networks.values(), recipe.objective, recipe.optimizer, names=names, **terms)

    recipe = replace(TINY, players=players)
    rest = as_if_never_stopped(tmp_path, recipe)
    loaded = checkpoint.load(tmp_path / "all.safetensors", recipe=recipe)
    assert {p: list(terms) for p, terms in loaded.log.items()} == {p: list(terms) for p, terms in rest.log.items()}


def test_schedules_and_constraints_of_any_kind_can_be_saved(tmp_path):
    """A schedule that ends, one that grows without bound, and a constraint on one of several weights."""
    rates = [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03]

    def clip_one(weights):
        weights[2].clamp_(-0.01, 0.01)

    recipe = replace(
        TINY,
        objective=replace(gt.nonsaturating, constraint=clip_one, penalty=by_hand),
        lr_schedule=rates.__getitem__,
        term_weights={"penalty": lambda step: 1e-9 * 2.0 ** min(step, 10**4) if step < 2000 else float("inf")},
    )
    as_if_never_stopped(tmp_path, recipe)
    other = replace(recipe, lr_schedule=rates[:5].__getitem__)
    with pytest.raises(ValueError, match="lr_schedule is"):  # the first twenty steps are all compared
        checkpoint.resume(tmp_path / "saved.safetensors", points, recipe=other)
    other = replace(
        recipe, objective=replace(recipe.objective, constraint=lambda weights: weights[1].clamp_(-0.1, 0.1))
    )
    with pytest.raises(ValueError, match="constraint is"):
        checkpoint.resume(tmp_path / "saved.safetensors", points, recipe=other)


def test_saving_while_it_trains_changes_nothing(tmp_path):
    quiet, noisy = (Trainer(DCGAN.configure(batch_size=16), digits[:32]) for _ in range(2))
    quiet.run(steps=4)
    noisy.run(steps=4, save=lambda t: checkpoint.save(t, tmp_path / "now.safetensors"), every=1e-9)
    assert same(everything(quiet, tmp_path), everything(noisy, tmp_path))
    assert checkpoint.read(tmp_path / "now.safetensors")[0]["step"] == 4


def test_what_saving_takes_is_no_training():
    trainer = Trainer(TINY, points)
    start = time.perf_counter()
    trainer.run(steps=3, save=lambda t: time.sleep(0.4), every=1e-9)
    assert trainer.seconds < time.perf_counter() - start - 1.1


def test_a_file_samples_as_the_training_did(tmp_path):
    trainer = trained(CONDITIONAL, digits)
    checkpoint.save(trainer, tmp_path / "model.safetensors", goal={"steps": 2})
    made, loaded = trainer.model(), checkpoint.load(tmp_path / "model.safetensors")
    label = torch.arange(20) % 10
    assert torch.equal(made.sample(20, label), loaded.sample(20, label))
    assert loaded.steps == 2 and loaded.log["generator"]["game"].shape == (2,) and not loaded.generator.training
    card = checkpoint.read(tmp_path / "model.safetensors")[0]
    assert card["data"] == "synthetic" and card["goal"] == {"steps": 2} and gt.__version__ in card["code"]
    assert card["machine"].endswith(f"torch {torch.__version__}")


def test_a_file_before_the_first_step(tmp_path):
    path = saved(tmp_path, steps=0)
    rest = checkpoint.resume(path, points, recipe=TINY)
    rest.run(steps=3)
    assert same(everything(rest, tmp_path), everything(trained(steps=3), tmp_path))


def test_the_same_training_gives_the_same_bytes(tmp_path):
    trainer = trained()
    contents = []
    for _ in range(8):
        checkpoint.save(trainer, tmp_path / "a.safetensors")
        contents.append((tmp_path / "a.safetensors").read_bytes())
    assert len(set(contents)) == 1


def test_options_that_a_hook_changed_survive(tmp_path):
    trainer = Trainer(TINY, points)

    def decay(step, log):
        for player in trainer.players:
            for group in player.optimizer.param_groups:
                group["lr"], group["betas"], group["weight_decay"] = 1e-4, (0.25, 0.5), 0.125

    trainer.run(steps=2, hooks=[decay])
    checkpoint.save(trainer, tmp_path / "a.safetensors")
    rest = checkpoint.resume(tmp_path / "a.safetensors", points, recipe=TINY)
    group = rest.players[0].optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (1e-4, (0.25, 0.5), 0.125)
    for each in (trainer, rest):
        each.run(steps=4)
    assert same(everything(trainer, tmp_path), everything(rest, tmp_path))


def test_accelerations_may_change_and_the_optimiser_goes_on(tmp_path):
    path = saved(tmp_path, accelerations=[acceleration.fused])
    assert checkpoint.read(path)[0]["accelerations"] == ["fused"]
    fused, plain = (checkpoint.resume(path, points, each, recipe=TINY) for each in (None, ()))
    groups = [t.players[0].optimizer.param_groups[0] for t in (fused, plain)]
    assert groups[0]["fused"] and not groups[1]["fused"]
    for each in (fused, plain):
        each.run(steps=4)
    for one, other in zip(fused.players[0].weights, plain.players[0].weights, strict=True):
        torch.testing.assert_close(one, other)


# ---------------------------------------------------------------------------------------------------- ended, or killed


def test_ctrl_c_ends_after_a_whole_step_and_the_rest_is_the_same(tmp_path):
    trainer = Trainer(TINY, points)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(gt.Interrupted):
        trainer.run(steps=6, hooks=[lambda step, log: step == 2 and os.kill(os.getpid(), signal.SIGINT)])
    assert trainer.steps == 3 and signal.getsignal(signal.SIGINT) is before
    trainer.run(steps=6)
    assert same(everything(trained(steps=6), tmp_path), everything(trainer, tmp_path))


def test_a_training_that_was_ended_within_a_step_is_not_saved(tmp_path):
    path, trainer = saved(tmp_path), trained(steps=3)
    before = path.read_bytes()

    def interrupted(batch):
        raise KeyboardInterrupt

    trainer.players[1].wrap("ends", loss=lambda loss: interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.run(steps=6)
    assert trainer.feed.batches_drawn == 2 * 3 + 2  # the critic has moved, the generator has not
    with pytest.raises(ValueError, match="ended within step 4, and half a step cannot be resumed"):
        checkpoint.save(trainer, path)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="cannot go on"):
        trainer.run(steps=6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_killed_at_any_moment_leaves_a_file_to_go_on_with(tmp_path):
    path, moments = tmp_path / "killed.safetensors", random.Random(0)
    checkpoint.save(Trainer(TINY, points), path)
    steps = [0]
    for turn in range(20):
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:  # goes on where the last one was killed, and saves after every step
            try:
                torch.set_num_threads(1)

                def save(trainer, tell=tell):
                    checkpoint.save(trainer, path)
                    os.write(tell, b".")

                os.close(told)
                with checkpoint.locked(path):  # what a killed one has locked is free again
                    checkpoint.resume(path, points, recipe=TINY).run(steps=10**6, save=save, every=1e-9)
            finally:
                os._exit(0)
        os.close(tell)
        if turn % 5:  # one in five is killed even before its first save; a loaded machine may take long to get there
            assert os.read(told, 1) == b"."
        time.sleep(moments.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(told)
        steps.append(checkpoint.resume(path, points, recipe=TINY).steps)
        assert steps[-1] > steps[-2] or turn % 5 == 0 and steps[-1] == steps[-2]
    assert all(p == path or p.suffix in (".part", ".lock") for p in tmp_path.iterdir())
    rest = checkpoint.resume(path, points, recipe=TINY)
    assert same(everything(trained(steps=steps[-1]), tmp_path), everything(rest, tmp_path))


def test_a_spoilt_state_does_not_take_the_place_of_a_good_one(tmp_path):
    path, trainer = saved(tmp_path), trained(steps=3)
    with torch.no_grad():
        next(trainer.players[0].net.parameters())[0] = torch.nan
    with pytest.raises(ValueError, match="After 3 steps net.critic.* is not finite any more"):
        checkpoint.save(trainer, path)
    bound = [0.0]
    objective = replace(gt.nonsaturating, penalty=lambda critic, real, fake, eps: torch.tensor(bound[0]))
    trainer = trained(replace(TINY, objective=objective), steps=3)
    bound[0] = torch.inf
    with pytest.raises(ValueError, match="After 3 steps critic's next 'penalty' is not finite any more"):
        checkpoint.save(trainer, path)
    assert checkpoint.resume(path, points, recipe=TINY).steps == 2


def test_what_is_read_is_a_copy_of_the_file(tmp_path):
    path = saved(tmp_path)
    trainer = checkpoint.resume(path, points, recipe=TINY)
    os.truncate(path, 0)  # under a view of the file, the next step would end the process
    trainer.run(steps=4)


# ----------------------------------------------------------------------------------------------------- the same game


def clipped(bound):
    return replace(TINY, objective=replace(gt.wgan, constraint=weight_clipping(bound)))


def penalised(weight):
    return replace(TINY, objective=replace(gt.nonsaturating, penalty=partial(r1, weight=weight)))


def wide(spec):
    return gt.MLPCritic(spec.shape, width=9)


def deep(spec):
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0))


def shifted(recipe, data, seed):
    return Feed(data, recipe.latent_dim, recipe.batch_size, seed, prepare=lambda b: b._replace(z=b.z + 1))


def by_hand(critic, real, fake, eps):
    return 100 * r1(critic, real, fake, eps)


by_hand_too = replace(TINY, objective=replace(gt.nonsaturating, penalty=lambda *given: 100.1 * r1(*given)))
SCHEDULE = {"lr_schedule": lambda step: 1 / (1 + step)}
PENALISED = penalised(0.1)


@pytest.mark.parametrize(
    "before, after, words",
    [
        (replace(TINY, objective=gt.hinge), TINY, "term 'game' of critic"),
        (TINY, replace(TINY, objective=gt.least_squares), "term 'game' of critic"),
        (PENALISED, penalised(0.1005), "penalties: penalty: weight is 0.1005 and was 0.1"),
        (penalised(1.0), replace(TINY, objective=replace(gt.nonsaturating, penalty=by_hand)), "penalties: .* is None"),
        (by_hand_too, replace(TINY, objective=replace(gt.nonsaturating, penalty=by_hand)), "'penalty' of critic is"),
        (PENALISED, TINY, "penalties: penalty is None and was"),
        (
            PENALISED,
            replace(PENALISED, objective=replace(gt.nonsaturating, penalty=gradient_penalty)),
            "weight is 10.0 and was 0.1",
        ),
        (TINY, replace(TINY, objective=replace(gt.nonsaturating, n_critic=2)), "critic: updates is 2 and was 1"),
        (TINY, replace(TINY, optimizer=gt.adam(2e-3)), r"critic: lr is \[0.002\] and was \[0.001\]"),
        (TINY, replace(TINY, critic_optimizer=gt.adam(2e-3)), r"^(?!.*generator).*critic: lr is \[0.002\]"),
        (TINY, replace(TINY, optimizer=partial(torch.optim.SGD, lr=1e-3)), "critic: optimizer is SGD and was Adam"),
        (clipped(0.01), clipped(0.02), "critic: constraint is"),
        (clipped(0.01), TINY, "constraint is None"),
        (replace(TINY, **SCHEDULE), TINY, "lr_schedule is None and was"),
        (TINY, replace(TINY, **SCHEDULE), "lr_schedule is .* and was None"),
        (PENALISED, replace(PENALISED, term_weights={"game": lambda step: 0.5}), "term_weights: game is"),
        (TINY, replace(TINY, batch_size=9), "batch_size is 9 and was 8"),
        (TINY, replace(TINY, half_life=200), "half_life is 200 and was 100"),
        (TINY, replace(TINY, latent_dim=3), r"weight has shape \(8, 2\) .* now has shape \(8, 3\)"),
        (
            TINY,
            replace(TINY, networks=TINY.networks | {"critic": wide}),
            r"has shape \(8, 2\) .* now has shape \(9, 2\)",
        ),
        (TINY, replace(TINY, networks=TINY.networks | {"critic": deep}), "is only in its networks now"),
        (TINY, replace(TINY, networks=TINY.networks | {"third": wide}), "third.* is only in its networks now"),
        (TINY, replace(TINY, averaged=("critic",)), "critic.* is only in its networks now"),
        (TINY, replace(TINY, batches=shifted), "on the next batch"),
    ],
)
def test_another_game_is_refused(before, after, words, tmp_path):
    path = saved(tmp_path, before)
    checkpoint.resume(path, points, recipe=before)
    with pytest.raises(ValueError, match=words) as failure:
        checkpoint.resume(path, points, recipe=after)
    assert "saved.safetensors" in str(failure.value) or "This file" in str(failure.value)


def test_other_data_are_refused(tmp_path):
    labels = torch.arange(50) % 3
    labelled = gt.Data("points", points.values, labels)
    path = saved(tmp_path, data=labelled)
    checkpoint.resume(path, gt.Data("renamed", points.values.clone(), labels.clone()), recipe=TINY)
    moved, renamed = points.values.clone(), labels.clone()
    moved[49, 1] += 1e-3
    renamed[49] = 0
    for other in (points, labelled[:49], gt.Data("points", moved, labels), gt.Data("points", points.values, renamed)):
        with pytest.raises(ValueError, match="was trained on 50 samples of points.* would be another training"):
            checkpoint.resume(path, other, recipe=TINY)


def test_data_that_were_changed_in_place_are_other_data(tmp_path):
    mine = gt.Data("mine", points.values.clone())
    path = saved(tmp_path, data=mine)
    mine.values[7, 0] += 1
    with pytest.raises(ValueError, match="are not the same ones"):
        checkpoint.resume(path, mine, recipe=TINY)
    mine.values[7, 0] = points.values[7, 0]
    assert checkpoint.resume(path, mine, recipe=TINY).steps == 2


def test_a_recipe_of_ones_own_is_announced_and_must_be_given(tmp_path):
    path, mine = tmp_path / "mine.safetensors", replace(MLP, name="mine")
    trainer = trained(mine, digits, 1)
    with pytest.warns(UserWarning, match="'mine' is not the package's own: load and resume .* with recipe=…"):
        checkpoint.save(trainer, path)
    for use in (checkpoint.load, partial(checkpoint.resume, data=digits)):
        with pytest.raises(ValueError, match="'mine', which is not one of the package's: give it as recipe=…"):
            use(path)
        with pytest.raises(ValueError, match="by the recipe 'mine', not by 'mlp'"):
            use(path, recipe=MLP)
        assert use(path, recipe=mine).recipe is mine


def test_which_recipes_are_the_packages_own():
    for recipe in RECIPES.values():
        assert checkpoint.is_packaged(recipe) and checkpoint.is_packaged(recipe.configure(batch_size=10, lr=1e-3))
        assert checkpoint.is_packaged(recipe.configure(lr=1e-3).configure(lr=0.7, half_life=3.0))
    for changed in (
        replace(MLP, name="mine"),
        replace(MLP, objective=gt.hinge),
        replace(MLP, batch_size=3),
        replace(MLP.configure(lr=1e-3), optimizer=partial(torch.optim.SGD, lr=1e-3)),
        replace(MLP.configure(lr=1e-3), optimizer=gt.adam(2e-3)),
        replace(WGAN, objective=replace(WGAN.objective, constraint=weight_clipping(0.5))),
    ):
        assert not checkpoint.is_packaged(changed)


def test_configured_recipes_are_loaded_by_their_name(tmp_path):
    recipe = MLP.configure(batch_size=10, latent_dim=3, lr=2e-4, half_life=77)
    path = tmp_path / "a.safetensors"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint.save(trained(recipe, digits, 1), path)
        rest = checkpoint.resume(path, digits)
    assert rest.recipe.options == recipe.options and rest.players[0].optimizer.param_groups[0]["lr"] == 2e-4
    assert checkpoint.load(path).sample(3).shape == (3, 1, 28, 28)


def test_numbers_of_numpys_are_saved(tmp_path):
    """JSON does not know them, and the training was lost."""
    whole, numpys = (
        MLP.configure(batch_size=kind(32), latent_dim=kind(3), lr=number(0.5), half_life=number(64), flip=switch(1))
        for kind, number, switch in ((int, float, bool), (np.int64, np.float32, np.bool_))
    )
    assert numpys.options == whole.options and checkpoint.is_packaged(numpys)
    assert {type(value) for value in numpys.options.values()} == {int, float, bool}
    assert checkpoint.resume(saved(tmp_path, numpys, digits, 1), digits).steps == 1
    rate = replace(TINY, optimizer=gt.adam(np.float32(1e-3)))
    assert checkpoint.resume(saved(tmp_path, rate), points, recipe=rate).steps == 2


def test_another_number_of_threads_is_said(tmp_path):
    path, threads = saved(tmp_path), torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        with pytest.warns(UserWarning, match=f"with {threads} threads and goes on with {threads + 1}"):
            checkpoint.resume(path, points, recipe=TINY)
    finally:
        torch.set_num_threads(threads)


# ----------------------------------------------------------------------------------------------------------- the card


@pytest.mark.parametrize("name", ["step", "content", "format", "sha256", "losses_ahead"])
def test_facts_do_not_replace_what_the_card_says(name, tmp_path):
    path = saved(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"The card has its own {name}: give the facts other names"):
        checkpoint.save(trained(), path, **{name: 99})
    with pytest.raises(ValueError, match=f"The card has its own {name}"):
        checkpoint.ship(path, path, **{name: 99})
    assert path.read_bytes() == before


deep_list: list = []
for _ in range(5000):
    deep_list = [deep_list]
itself: list = []
itself.append(itself)


@pytest.mark.parametrize(
    "fact",
    [torch.ones(2), {1, 2}, float("nan"), float("inf"), object(), b"bytes", Path("a"), deep_list, itself],
    ids=lambda fact: type(fact).__name__,
)
def test_facts_that_json_cannot_hold_are_refused(fact, tmp_path):
    path = saved(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="A card holds only JSON values of the expected kinds: "):
        checkpoint.save(trained(), path, mine=fact)
    assert path.read_bytes() == before


def test_strings_of_a_card_are_printable_when_read(tmp_path):
    odd = gt.Data("\x1b[2Jcaf\udce9 \u202egnp.\n\x9b1mé 数", points.values)
    path = tmp_path / "a.safetensors"
    checkpoint.save(trained(data=odd), path, note={"\x07": ["\x1b]0;x\x07"]})
    card, _ = checkpoint.read(path)
    assert card["data"] == r"\x1b[2Jcaf\udce9 \u202egnp.\n\x9b1mé 数"
    assert card["note"] == {r"\x07": [r"\x1b]0;x\x07"]}
    assert str(checkpoint.load(path, recipe=TINY)).isprintable()
    assert checkpoint.resume(path, odd, recipe=TINY).data is odd  # what it is called does not matter
    with pytest.raises(ValueError, match=r"samples of \\x1b\[2J"):
        checkpoint.resume(path, points[:9], recipe=TINY)


@pytest.mark.parametrize(
    "name",
    ["a b.safetensors", "caf\udce9.safetensors", "new\nline", "數字.safetensors", "-x", "%s{}", "\x1b[2J", "é" * 127],
)
def test_odd_names_of_files(name, tmp_path):
    path = tmp_path / name
    checkpoint.save(trained(), path)
    with checkpoint.locked(path):
        assert checkpoint.resume(path, points, recipe=TINY).steps == 2
    assert checkpoint.load(str(path), recipe=TINY).steps == 2
    assert [p.name for p in tmp_path.iterdir()] == [name]
    for use in (partial(checkpoint.load), partial(checkpoint.resume, data=points[:9], recipe=TINY)):
        with pytest.raises(ValueError) as failure:
            use(path)
        assert str(failure.value).isprintable()
    path.write_bytes(b"")
    with pytest.raises(ValueError) as failure:
        checkpoint.read(path)
    assert str(failure.value).isprintable()


# ------------------------------------------------------------------------------------------------- files of other kinds


def rewritten(path, card=None, keep=lambda name: True):
    """The file again with another card, or with some of its tensors, and a right sum."""
    old, tensors = checkpoint.read(path)
    path.write_bytes(checkpoint.serialized({k: v for k, v in tensors.items() if keep(k)}, old | (card or {})))


def test_files_that_cannot_be_used_get_a_sentence(tmp_path):
    path = tmp_path / "a.safetensors"

    def refused(error, words):
        with pytest.raises(error, match=words):
            checkpoint.resume(path, digits)

    refused(FileNotFoundError, "no file")
    path.mkdir()
    refused(FileNotFoundError, "no file")
    with pytest.raises(OSError, match="nnn cannot be read .File name too long"):
        checkpoint.load(tmp_path / ("n" * 300))
    path.rmdir()
    path.write_text("hello")
    refused(ValueError, "is not a model of this package, or it is damaged")
    path.write_bytes(bytes(1000))
    refused(ValueError, "is not a model of this package, or it is damaged")
    save_file({"x": torch.ones(1)}, path)
    refused(ValueError, "another program")
    checkpoint.save(trained(DCGAN, digits, 1), path)
    whole = path.read_bytes()
    for end in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        refused(ValueError, "damaged")
    path.write_bytes(whole + b"\0")
    refused(ValueError, "damaged")
    path.write_bytes(whole)
    rewritten(path, {"format": checkpoint.FORMAT + 1})
    refused(ValueError, r"newer version of this package, 0\.1\.0.*: read it with that")
    path.write_bytes(whole)
    rewritten(path, {"recipe": "nobody"})
    refused(ValueError, "'nobody', which is not one of the package's")
    path.write_bytes(whole)
    rewritten(path, {"settings": {"batch_size": 32}})
    refused(ValueError, "batch_size is 64 and was 32")
    for part in ("optimizer.critic.", "optimizer.critic.3.exp_avg", "log.generator.", "log.", "random.", "net.critic."):
        path.write_bytes(whole)
        rewritten(path, keep=lambda name, part=part: not name.startswith(part))
        refused(ValueError, "only a part of its training, and cannot be resumed|only in its networks now")
    path.write_bytes(whole)
    rewritten(path, {"recipe": "conditional", "classes": 10})
    with pytest.raises(ValueError, match="another version of its recipe.* Only the code that wrote it can resume it"):
        checkpoint.load(path)
    path.write_bytes(whole)
    rewritten(path, keep=lambda name: name.startswith("model."))
    refused(ValueError, "no training to go on with")
    assert checkpoint.load(path).sample(2).shape == (2, 1, 28, 28)


def test_files_of_the_first_format_get_a_sentence(tmp_path):
    path = tmp_path / "old.safetensors"
    card = '{"format": 1, "recipe": "dcgan", "latent": 64, "code": "0.1.0, 44498153ce39"}'
    save_file({"generator.average.layers.0.weight": torch.ones(3)}, path, {checkpoint.CARD: card})
    with pytest.raises(ValueError, match="older version of this package, 0.1.0, 44498153ce39: read it with that"):
        checkpoint.load(path)


def test_shipped_models_are_whole_and_checked(tmp_path):
    for name in checkpoint.shipped():
        content = bytearray((checkpoint.SHIPPED / f"{name}.safetensors").read_bytes())
        assert checkpoint.read(checkpoint.SHIPPED / f"{name}.safetensors")[0]["recipe"] == name
        content[-100] ^= 1
        (tmp_path / "a.safetensors").write_bytes(content)
        with pytest.raises(ValueError, match="damaged: its content does not have the SHA-256 that it says"):
            checkpoint.load(tmp_path / "a.safetensors")


def test_a_shipped_model_samples_as_in_half_precision(tmp_path):
    path, small = saved(tmp_path, MLP, digits), tmp_path / "small.safetensors"
    checkpoint.ship(path, small, curve=[{"seconds": 1.0}], metrics={"distance": 2.0})
    whole, half = checkpoint.load(path), checkpoint.load(small)
    torch.testing.assert_close(whole.sample(4), half.sample(4), atol=5e-3, rtol=0)
    assert half.card["curve"] == [{"seconds": 1.0}] and small.stat().st_size < path.stat().st_size / 4
    with pytest.raises(ValueError, match="no training to go on with"):
        checkpoint.resume(small, digits)


def test_what_is_not_whole_is_not_written(tmp_path):
    """A file that `read` would refuse is never made: facts that the package itself reads are checked too."""
    path = tmp_path / "a.safetensors"
    with pytest.raises(ValueError, match="its card's 'curve' is not a list of dictionaries of numbers"):
        checkpoint.save(trained(), path, curve="steep")
    assert not path.exists()


def test_the_table_of_options_has_what_a_recipe_can_be_configured_with():
    configurable = inspect.signature(gt.Recipe.configure).parameters.keys() - {"self"}
    assert layout.OPTIONS.keys() == configurable
    layout_takes = {"batch_size": 8, "latent_dim": 9, "lr": 1e-3, "half_life": 10, "flip": False, "augment": True}
    assert layout.are_options(layout_takes) and layout.are_options({})
