"""Accelerations: the same game as without them, up to the rounding that each announces."""

import os
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from torch import nn

import gan_tutorial as gt
from gan_tutorial import acceleration, checkpoint
from gan_tutorial.recipes import CONDITIONAL, DCGAN, MLP, STACKED, VAE, WGAN_GP
from gan_tutorial.training import Trainer

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning"),  # PyTorch's own, compiling
    pytest.mark.filterwarnings("ignore:The recipe .* is not the package's own"),
]

digits = gt.data.synthetic_digits(200, seed=0)


def narrow(recipe, **critic):
    """The recipe with networks of width 4, and batches of 16."""
    return replace(
        recipe,
        batch_size=16,
        networks={
            "generator": lambda spec: gt.ConvGenerator(spec.latent_dim, width=4),
            "critic": lambda spec: gt.ConvCritic(width=4, hidden=8, **critic),
        },
    )


SMALL = {
    "dcgan": narrow(DCGAN, spectral=True),
    "wgan-gp": narrow(WGAN_GP),
    "conditional": replace(
        CONDITIONAL,
        batch_size=16,
        networks={
            "generator": lambda spec: gt.ConvGenerator(64, width=4, condition=gt.Embedding(10)),
            "critic": lambda spec: gt.ConvCritic(width=4, hidden=8, spectral=True, condition=gt.Projection(10)),
        },
    ),
    "stacked": replace(STACKED, batch_size=16),
}
small = pytest.mark.parametrize("recipe", SMALL.values(), ids=SMALL.keys())
halves = pytest.mark.skipif(
    not acceleration.has_bfloat16(torch.device("cpu")), reason="this CPU has no bfloat16 arithmetic"
)
compiles = pytest.mark.skipif(
    acceleration.compiled.refusal(torch.device("cpu")) is not None, reason="no C++ compiler here"
)


def first(recipe, *accelerations):
    """Terms, and gradients of all weights, that each player sees before anybody has learned."""
    return first_of(Trainer(recipe, digits, 1, accelerations))


def first_of(trainer):
    seen = {}
    for player in trainer.players:
        player.net.train()
        gradients = []
        player.wrap("recorder", gradients=lambda found, kept=gradients: kept.extend(x.flatten().clone() for x in found))
        for group in player.optimizer.param_groups:
            group["lr"] = group["initial_lr"] = 0.0  # what schedules multiply, too
        terms = player.update(next(trainer.feed))
        seen[f"{player.name}'s terms"] = torch.stack(list(terms.values()))
        seen[player.name] = torch.cat(gradients)
    return seen


def close(one, other, rtol):
    """As far apart as rtol of the largest: small gradients are differences of large ones."""
    return one.keys() == other.keys() and all(
        (one[name] - other[name]).abs().max() <= rtol * one[name].abs().max() for name in one
    )


def everything(trainer, path):
    checkpoint.save(trainer, path)
    return checkpoint.read(path)[1]


def learned(trainer):
    """Weights and statistics, the averages, and the losses."""
    log = {f"{player}.{term}": values for player, terms in trainer.log.items() for term, values in terms.items()}
    averages = {name: average.net for name, average in trainer.averages.items()}
    return log | checkpoint.state_of(trainer.networks) | {f"a.{k}": v for k, v in checkpoint.state_of(averages).items()}


def batches_counted(trainer):
    return [int(n) for name, n in checkpoint.state_of(trainer.networks).items() if name.endswith("batches_tracked")]


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ---------------------------------------------------------------------------------------- equal up to rounding


@small
@pytest.mark.parametrize("one", [acceleration.channels_last, acceleration.fused], ids=lambda one: one.name)
def test_layout_and_fused_adam_change_roundings_only(recipe, one):
    assert close(first(recipe), first(recipe, one), 1e-5)
    plain, fast = Trainer(recipe, digits), Trainer(recipe, digits, accelerations=[one])
    plain.run(steps=3)
    fast.run(steps=3)
    for player, terms in plain.log.items():
        for term, values in terms.items():
            torch.testing.assert_close(fast.log[player][term], values, rtol=1e-3, atol=1e-3)


def test_three_steps_make_the_same_weights():
    """In float64, where a gradient of nothing but rounding is nothing to Adam: that of a bias before BatchNorm."""

    def weights(*accelerations):
        trainer = Trainer(SMALL["dcgan"], digits, 0, accelerations)
        for player in trainer.players:
            player.net.double()
        for _ in range(3):
            for player in trainer.players:
                batch = next(trainer.feed)
                player.update(batch._replace(real=batch.real.double(), z=batch.z.double()))
        return torch.cat([p.detach().flatten() for player in trainer.players for p in player.weights])

    plain = weights()
    for one in (acceleration.channels_last, acceleration.fused):
        torch.testing.assert_close(weights(one), plain, rtol=1e-7, atol=1e-9)


def test_channels_last_and_fused_are_really_on():
    trainer = Trainer(SMALL["dcgan"], digits, 0, [acceleration.channels_last, acceleration.fused])
    seen = []
    for player in trainer.players:
        convolution = next(m for m in player.net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))
        convolution.register_forward_hook(lambda net, given, made: seen.append(made))
    trainer.run(steps=1)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen) and len(seen) == 4
    assert all(group["fused"] for player in trainer.players for group in player.optimizer.param_groups)


@halves
def test_a_player_prints_what_was_put_around_it_innermost_first():
    """In the order in which they are taken, and not in the one in which they were named."""
    named = [acceleration.fused, acceleration.channels_last, acceleration.bfloat16]
    critic, _ = Trainer(SMALL["wgan-gp"], digits, accelerations=named).players
    assert critic.wrappers == ["bf16 loss", "channels-last loss"]  # fused is a setting of Adam
    assert repr(critic) == "Player('critic': 1 a turn by Adam, bf16 loss < channels-last loss)"
    assert repr(Trainer(MLP, digits).players[1]) == "Player('generator': 1 a turn by Adam)"


# -------------------------------------------------------------------------------------------------------- bfloat16


@halves
@small
def test_bfloat16_is_off_by_its_rounding(recipe):
    exact, half = first(recipe), first(recipe, acceleration.bfloat16)
    terms = [name for name in exact if name.endswith("terms")]
    assert close({n: exact[n] for n in terms}, {n: half[n] for n in terms}, 2**-8)
    assert not any(torch.equal(exact[name], half[name]) for name in exact)  # it was on
    for name in exact.keys() - set(terms):
        assert torch.cosine_similarity(exact[name], half[name], 0) > 0.99


def test_networks_of_a_player_of_several_return_float32_too():
    """Emulated where the CPU has no bfloat16: also a network that returns a tuple."""
    networks = {name: net.train() for name, net in VAE.build(gt.training.Spec((1, 28, 28), 0, 16)).items()}
    (player,) = VAE.players(VAE, networks)
    acceleration._half(player)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.bfloat16
        made = *networks["encoder"](torch.zeros(2, 1, 28, 28)), networks["decoder"](torch.zeros(2, 16))
    assert [x.dtype for x in made] == 3 * [torch.float32]


class Fixed(nn.Module):
    """A generator that always makes the same images."""

    def __init__(self, images):
        super().__init__()
        self.images = nn.Parameter(images)

    def forward(self, z, condition=None):
        return self.images.clone()


@halves
def test_the_penalty_stays_in_float32():
    """Given the same points, bit for bit. In bfloat16 it would be off."""
    recipe, terms = SMALL["wgan-gp"], []
    batch = next(gt.Feed(digits, 3, 16))
    fake = batch.real.flip(0) / 2
    for accelerations in ((), (acceleration.bfloat16,)):
        torch.manual_seed(0)
        critic = gt.ConvCritic(width=4, hidden=8)
        players = gt.adversaries(Fixed(fake), critic, recipe.objective, gt.adam(0.0))
        acceleration.accelerate(players, accelerations)
        terms.append(players[0].update(batch))
    exact, half = terms
    assert list(exact) == ["game", "penalty"]
    assert torch.equal(half["penalty"], exact["penalty"]) and not torch.equal(half["game"], exact["game"])
    with torch.autocast("cpu", torch.bfloat16):
        rounded = gt.gradient_penalty(lambda x: critic(x, None), batch.real, fake, batch.eps)
    assert not torch.equal(rounded.detach(), exact["penalty"])


@halves
def test_everything_that_is_kept_stays_float32(tmp_path):
    trainer = Trainer(SMALL["dcgan"], digits, 0, [acceleration.bfloat16])
    trainer.run(steps=2)
    for name, value in everything(trainer, tmp_path / "half.safetensors").items():
        if name.startswith("random."):
            assert value.dtype == torch.uint8
        else:
            assert value.dtype == (torch.int64 if name.endswith("num_batches_tracked") else torch.float32), name
    assert trainer.model().sample(3).dtype == torch.float32


# ----------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    "accelerations",
    [
        pytest.param((acceleration.bfloat16, acceleration.fused), marks=halves),
        (acceleration.channels_last, acceleration.fused),
    ],
    ids=["bf16", "channels-last"],
)
def test_a_file_knows_its_accelerations_and_goes_on_as_if_never_stopped(accelerations, tmp_path):
    recipe, part_file = SMALL["dcgan"], tmp_path / "part.safetensors"
    whole, part = (Trainer(recipe, digits, 3, accelerations) for _ in range(2))
    whole.run(steps=4)
    part.run(steps=2)
    checkpoint.save(part, part_file)
    assert checkpoint.read(part_file)[0]["accelerations"] == [one.name for one in accelerations]
    rest = checkpoint.resume(part_file, digits, recipe=recipe)
    assert rest.accelerations == accelerations
    rest.run(steps=4)
    assert equal(everything(whole, tmp_path / "a.safetensors"), everything(rest, tmp_path / "b.safetensors"))
    assert checkpoint.resume(part_file, digits, accelerations=(), recipe=recipe).accelerations == ()
    plain = Trainer(recipe, digits, 3)
    plain.run(steps=4)
    names = everything(plain, tmp_path / "c.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert {name: file.get_slice(name).get_shape() for name in file.keys()} == {
            name: list(value.shape) for name, value in names.items()
        }


@pytest.mark.parametrize(
    "written, words", [(3, "'accelerations' is not a list of names"), (["magic"], "Unknown acceleration 'magic'")]
)
def test_a_file_with_damaged_accelerations(written, words, tmp_path):
    trainer = Trainer(MLP, digits)
    trainer.run(steps=1)
    tensors = everything(trainer, tmp_path / "new.safetensors")
    card, _ = checkpoint.read(tmp_path / "new.safetensors")
    assert card["accelerations"] == []
    damaged = tmp_path / "damaged.safetensors"
    with pytest.raises(ValueError, match=words):  # when it is written, or else when it is read
        checkpoint.write(checkpoint.serialized(tensors, card | {"accelerations": written}), damaged)
        checkpoint.resume(damaged, digits)


# -------------------------------------------------------------------------------------------------------- refusals


def test_what_cannot_be_is_refused_with_a_sentence(monkeypatch):
    net = nn.Linear(1, 1)
    player = gt.Player("critic", net, lambda batch: {}, torch.optim.RMSprop(net.parameters(), 0.1))
    with pytest.raises(ValueError, match="Expected accelerations such as .* got 'bf16'"):
        Trainer(MLP, digits, accelerations=["bf16"])
    with pytest.raises(ValueError, match="Unknown acceleration 'magic'; expected some of bf16, "):
        acceleration.get_accelerations(["fused", "magic"])
    with pytest.raises(ValueError, match="The RMSprop of critic cannot be fused: train with Adam"):
        acceleration.accelerate([player], [acceleration.fused])
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(ValueError, match="C\\+\\+ compiler"):
        Trainer(MLP, digits, accelerations=[acceleration.compiled])
    assert "This mps has no bfloat16" in acceleration.bfloat16.refusal(torch.device("mps"))
    assert "CPU or on CUDA" in acceleration.fused.refusal(torch.device("mps"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there graphs can be recorded")
def test_graphs_are_refused_without_cuda():
    with pytest.raises(ValueError, match="Only CUDA records updates"):
        Trainer(MLP, digits, accelerations=[acceleration.graphs])


def test_a_refused_acceleration_leaves_the_players_alone():
    """Nothing is half applied: channels-last stands before graphs, which no CPU records."""
    players = Trainer(MLP, digits).players
    with pytest.raises(ValueError):
        acceleration.accelerate(players, [acceleration.channels_last, acceleration.graphs])
    assert all(player.wrappers == [] for player in players)


def test_bfloat16_is_looked_up_in_the_processors_flags(tmp_path):
    info, cpu = tmp_path / "cpuinfo", torch.device("cpu")
    assert not acceleration.has_bfloat16(cpu, info)  # a system without that file
    info.write_text("flags\t\t: fma avx2 avx512f\n")
    assert not acceleration.has_bfloat16(cpu, info)
    info.write_text("flags\t\t: fma avx2 avx512_bf16\n")
    assert acceleration.has_bfloat16(cpu, info) and not acceleration.has_bfloat16(torch.device("mps"), info)


# -------------------------------------------------------------------------------------------------------- compiled


@pytest.mark.parametrize("recipe", ["dcgan", "wgan-gp", "conditional"])
def test_compiled_losses_are_the_eager_ones_and_are_compiled_once(recipe):
    """Up to what the C++ compiler would be given, which takes long."""
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    trainer = Trainer(SMALL[recipe], digits, 1)
    for player in trainer.players:
        acceleration._compiled(player, backend="aot_eager")
    assert close(first(SMALL[recipe]), first_of(trainer), 1e-5)
    before = batches_counted(trainer)
    trainer.run(steps=2)
    graphs = counters["stats"]["unique_graphs"]
    assert graphs >= len(trainer.players)
    trainer.run(steps=6)
    assert counters["stats"]["unique_graphs"] == graphs
    assert batches_counted(trainer) == [n + 6 for n in before]  # in BatchNorm a shared batch counts once


@compiles
def test_compiled_to_the_end():
    networks = {
        "generator": lambda spec: gt.MLPGenerator(64, (1, 28, 28), width=8, depth=1),
        "critic": lambda spec: gt.MLPCritic((1, 28, 28), width=8, depth=1),
    }
    recipe = replace(MLP, networks=networks)
    assert close(first(recipe), first(recipe, acceleration.compiled), 1e-5)


# ---------------------------------------------------------------------------------------------------------- graphs


class Recorder:
    """Records as CUDA does, on a CPU: without a result at first, then always into the same tensors."""

    def __init__(self, *names):
        self.names, self.recorded = names, 0

    def __call__(self, function):
        self.recorded += 1
        terms = {name: torch.zeros(()) for name in self.names}

        def replay():
            for name, term in function().items():
                terms[name].copy_(term)

        return terms, replay


def graphed(trainer):
    """A trainer whose updates are recorded as by `acceleration.graphs`, but for Adam, which counts on CUDA only."""
    for player in trainer.players:
        names = ["game", *(trainer.recipe.objective.penalties if player.name == "critic" else ())]
        acceleration._graphs(player, Recorder(*names))
        for group in player.optimizer.param_groups:
            group["capturable"] = False
    return trainer


def test_replayed_updates_are_the_updates():
    """Bit for bit: batches are copied into place, terms out of it, and warming up is training."""
    plain, replayed = Trainer(SMALL["wgan-gp"], digits), graphed(Trainer(SMALL["wgan-gp"], digits))
    plain.run(steps=6)
    replayed.run(steps=6)
    assert all(player.wrappers == ["graphed update"] for player in replayed.players)
    assert equal(learned(plain), learned(replayed))


def test_a_schedule_reaches_a_recorded_update():
    """A graph reads its learning rate where it lay when it was recorded: there the schedule writes it."""
    scheduled = replace(SMALL["dcgan"], lr_schedule=lambda step: 0.5**step)
    plain, replayed = Trainer(scheduled, digits), graphed(Trainer(scheduled, digits))
    places = [group["lr"] for player in replayed.players for group in player.optimizer.param_groups]
    assert all(isinstance(lr, torch.Tensor) for lr in places)
    plain.run(steps=6)
    replayed.run(steps=6)
    rate = scheduled.optimizer.keywords["lr"]
    for lr, now in zip(places, (g["lr"] for p in replayed.players for g in p.optimizer.param_groups), strict=True):
        assert lr is now and lr.item() == pytest.approx(rate * 0.5**5)
    assert equal(learned(plain), learned(replayed))


def test_a_player_whose_terms_are_weighted_by_the_step_is_refused():
    faded = replace(SMALL["wgan-gp"], term_weights={"penalty": lambda step: 1 / (1 + step)})
    with pytest.raises(ValueError, match="term_weights of critic change: train without graphs"):
        graphed(Trainer(faded, digits))


def test_any_nesting_of_tensors_is_a_batch():
    """CycleGAN's batches have two domains: dictionaries, tuples and None stay what they are, wherever they lie."""

    def batch(n):
        return {"a": torch.full((2, 3), float(n)), "b": (torch.tensor([n, n]), None, [torch.tensor(float(n))])}

    def function(batch):
        one, nothing, (two,) = batch["b"]
        assert nothing is None and one.dtype == torch.int64
        return {"game": batch["a"].sum() + 100 * one.sum() + 10_000 * two}

    record = Recorder("game")
    update = acceleration.CUDAGraphed(function, record)
    assert [update(batch(n))["game"].item() for n in range(1, 8)] == [10_206.0 * n for n in range(1, 8)]
    assert record.recorded == 1 and update.batch["a"][0, 0] == 7
    with pytest.raises(ValueError, match="batches of one shape"):
        update({"a": torch.zeros(2, 3), "b": (torch.tensor([1, 1]), torch.zeros(2), [torch.tensor(1.0)])})
    with pytest.raises(ValueError, match="batches of one shape"):
        update({"a": torch.zeros(2, 3), "c": torch.zeros(2)})


def test_numbers_in_a_batch_are_refused_since_a_graph_would_keep_them():
    update = acceleration.CUDAGraphed(lambda batch: {"game": batch[0] * batch[1]}, Recorder("game"))
    for n in range(3):
        update((torch.ones(()), n))
    with pytest.raises(ValueError, match="batches of tensors, and this one holds a int"):
        update((torch.ones(()), 3))


def test_a_replay_takes_batches_of_one_shape():
    update = acceleration.CUDAGraphed(lambda batch: {"game": batch.real.mean()}, Recorder("game"))
    batch = gt.Batch(torch.ones(4, 2), None, torch.ones(4, 3), torch.ones(4))
    for _ in range(5):
        update(batch)
    with pytest.raises(ValueError, match="batches of one shape"):
        update(gt.Batch(*(None if x is None else x[:2] for x in batch)))
    with pytest.raises(ValueError, match="batches of one shape"):
        update(batch._replace(condition=torch.zeros(4)))


def test_a_loss_that_looks_at_its_numbers_is_refused_by_graphs_with_a_sentence():
    """While it records, CUDA raises a RuntimeError at every look: so does this recorder."""

    def record(function):
        raise RuntimeError("operation not permitted when stream is capturing")

    update = acceleration.CUDAGraphed(lambda batch: {"mmd": batch.real.mean()}, record)
    batch = gt.Batch(torch.ones(4, 2), None, torch.ones(4, 3), torch.ones(4))
    for _ in range(3):
        update(batch)
    for _ in range(2):  # the second call is not taken for a replay
        with pytest.raises(ValueError, match="train without graphs.*stream is capturing"):
            update(batch)
    update.record = Recorder("mmd")
    assert update(batch) == {"mmd": 1}
