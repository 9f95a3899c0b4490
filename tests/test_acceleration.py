"""Measures that make a training faster: the same game as without them, up to the rounding that each announces."""

import json
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors import safe_open
from torch import nn

import gan_tutorial as gt
from gan_tutorial import acceleration, checkpoint
from gan_tutorial.__main__ import main
from gan_tutorial.recipes import CONDITIONAL, DCGAN, MLP, RECIPES, STACKED, WGAN_GP, Trainer

# Of PyTorch about itself, while it compiles.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")

digits = gt.data.synthetic_digits(200, seed=0)
SMALL = {
    "dcgan": replace(
        DCGAN,
        batch=16,
        generator=lambda: gt.ConvGenerator(64, width=4),
        critic=lambda: gt.ConvCritic(width=4, hidden=8, spectral=True),
    ),
    "wgan-gp": replace(
        WGAN_GP,
        batch=16,
        generator=lambda: gt.ConvGenerator(64, width=4),
        critic=lambda: gt.ConvCritic(width=4, hidden=8),
    ),
    "conditional": replace(
        CONDITIONAL,
        batch=16,
        generator=lambda: gt.ConvGenerator(64, width=4, label=gt.Embedding(10)),
        critic=lambda: gt.ConvCritic(width=4, hidden=8, spectral=True, label=gt.Projection(10)),
    ),
    "stacked": replace(STACKED, batch=16),
}
small = pytest.mark.parametrize("recipe", SMALL.values(), ids=SMALL.keys())
halves = pytest.mark.skipif(
    not acceleration.has_bfloat16(torch.device("cpu")), reason="this CPU has no bfloat16 arithmetic"
)
compiles = pytest.mark.skipif(
    acceleration.compiled.refusal(torch.device("cpu")) is not None, reason="no C++ compiler here"
)
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="graphs need CUDA")


def first(recipe, *measures):
    """Terms, and gradients of all weights, that each player sees before anybody has learned."""
    return first_of(Trainer(recipe, digits, 1, measures))


def first_of(training):
    seen = {}
    for player in training.players:
        player.net.train()
        for weight in player.weights:
            weight.requires_grad_(True)
        terms = player.loss(next(training.feed))
        gradients = torch.autograd.grad(player.total(terms), player.weights, allow_unused=True, materialize_grads=True)
        seen[f"{player.name}'s terms"] = torch.stack([term.detach() for term in terms.values()])
        seen[player.name] = torch.cat([x.flatten() for x in gradients])
        player.rest()
    return seen


def close(one, other, rtol):
    """As far apart as rtol of the largest: small gradients are differences of large ones."""
    return one.keys() == other.keys() and all(
        (one[name] - other[name]).abs().max() <= rtol * one[name].abs().max() for name in one
    )


def everything(training, path):
    checkpoint.save(training, path)
    return checkpoint.read(path)[1]


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ---------------------------------------------------------------------------------------- equal up to rounding


@small
@pytest.mark.parametrize("measure", [acceleration.channels_last, acceleration.fused], ids=lambda measure: measure.name)
def test_layout_and_fused_adam_change_roundings_only(recipe, measure):
    assert close(first(recipe), first(recipe, measure), 1e-5)
    plain, fast = Trainer(recipe, digits), Trainer(recipe, digits, faster=[measure])
    plain.run(steps=3)
    fast.run(steps=3)
    for player, terms in plain.log.items():
        for term, values in terms.items():
            torch.testing.assert_close(fast.log[player][term], values, rtol=1e-3, atol=1e-3)


def test_three_steps_make_the_same_weights():
    """In float64, where a gradient of nothing but rounding is nothing to Adam: that of a bias before BatchNorm."""

    def weights(*measures):
        training = Trainer(SMALL["dcgan"], digits, 0, measures)
        for player in training.players:
            player.net.double()
        for _ in range(3):
            for player in training.players:
                batch = next(training.feed)
                player.update(batch._replace(real=batch.real.double(), z=batch.z.double()))
        return torch.cat([p.detach().flatten() for player in training.players for p in player.weights])

    plain = weights()
    for measure in (acceleration.channels_last, acceleration.fused):
        torch.testing.assert_close(weights(measure), plain, rtol=1e-7, atol=1e-9)


def test_channels_last_and_fused_are_really_on():
    training = Trainer(SMALL["dcgan"], digits, 0, [acceleration.channels_last, acceleration.fused])
    seen = []
    for player in training.players:
        convolution = next(m for m in player.net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))
        convolution.register_forward_hook(lambda net, given, made: seen.append(made))
    training.run(steps=1)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen) and len(seen) == 5
    assert all(group["fused"] for player in training.players for group in player.optimizer.param_groups)


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


@halves
def test_the_penalty_stays_in_float32():
    """Given the same points, bit for bit. In bfloat16 it would be off."""
    plain, half = (Trainer(SMALL["wgan-gp"], digits, 0, measures) for measures in ((), (acceleration.bfloat16,)))
    critic = half.players[0].net
    objective = acceleration.bfloat16.objective(half.recipe.objective)
    batch = next(plain.feed)
    fake = batch.real.flip(0)

    def penalty(objective, critic):
        return objective.penalty(critic, batch.real, fake, batch.eps).detach()

    exact = penalty(plain.recipe.objective, plain.players[0].net)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(penalty(objective, critic), exact)
        assert not torch.equal(penalty(half.recipe.objective, critic), exact)


@halves
def test_everything_that_is_kept_stays_float32(tmp_path):
    training = Trainer(SMALL["dcgan"], digits, 0, [acceleration.bfloat16])
    training.run(steps=2)
    tensors = everything(training, tmp_path / "half.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float32, torch.int64}
    assert all(
        value.dtype == torch.int64
        for name, value in tensors.items()
        if value.dtype != torch.float32 and name.endswith("num_batches_tracked")
    )
    assert training.trained().sample(3).dtype == torch.float32


# ----------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    "measures",
    [
        pytest.param((acceleration.bfloat16, acceleration.fused), marks=halves),
        (acceleration.channels_last, acceleration.fused),
    ],
    ids=["bf16", "channels-last"],
)
def test_a_file_knows_its_measures_and_goes_on_as_if_never_stopped(measures, tmp_path, monkeypatch):
    recipe = SMALL["dcgan"]
    monkeypatch.setitem(RECIPES, "dcgan", recipe)
    whole, part = (Trainer(recipe, digits, 3, measures) for _ in range(2))
    whole.run(steps=4)
    part.run(steps=2)
    checkpoint.save(part, tmp_path / "part.safetensors")
    assert checkpoint.read(tmp_path / "part.safetensors")[0]["faster"] == [measure.name for measure in measures]
    rest = checkpoint.resume(tmp_path / "part.safetensors", digits)
    assert rest.faster == measures
    rest.run(steps=4)
    assert equal(everything(whole, tmp_path / "a.safetensors"), everything(rest, tmp_path / "b.safetensors"))
    assert checkpoint.resume(tmp_path / "part.safetensors", digits, faster=()).faster == ()
    plain = Trainer(recipe, digits, 3)
    plain.run(steps=4)
    names = everything(plain, tmp_path / "c.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert {name: file.get_slice(name).get_shape() for name in file.keys()} == {
            name: list(value.shape) for name, value in names.items()
        }


def test_files_from_before_and_damaged_ones(tmp_path):
    training = Trainer(MLP, digits)
    training.run(steps=1)
    tensors = everything(training, tmp_path / "new.safetensors")
    card, _ = checkpoint.read(tmp_path / "new.safetensors")
    assert card["faster"] == []

    def rewritten(card):
        from safetensors.torch import save_file

        save_file(tensors, tmp_path / "old.safetensors", {checkpoint.CARD: json.dumps(card)})
        return tmp_path / "old.safetensors"

    assert checkpoint.resume(rewritten({k: v for k, v in card.items() if k != "faster"}), digits).faster == ()
    with pytest.raises(ValueError, match="no proper entry for faster"):
        checkpoint.resume(rewritten(card | {"faster": 3}), digits)
    with pytest.raises(ValueError, match="no measure 'magic'"):
        checkpoint.resume(rewritten(card | {"faster": ["magic"]}), digits)


def test_the_command_line_takes_names(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gt.metrics, "report", lambda *_: {})
    out = tmp_path / "mlp.safetensors"
    assert (
        main(
            [
                "train",
                "mlp",
                "--steps",
                "2",
                "--data",
                "synthetic",
                "--faster",
                "channels-last",
                "fused",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    assert checkpoint.read(out, tensors=False)[0]["faster"] == ["channels-last", "fused"]
    assert main(["train", "--resume", str(out), "--steps", "3"]) == 0
    assert checkpoint.read(out, tensors=False)[0]["faster"] == ["channels-last", "fused"]
    assert main(["train", "--resume", str(out), "--steps", "4", "--faster"]) == 0
    assert checkpoint.read(out, tensors=False)[0]["faster"] == []
    with pytest.raises(SystemExit):
        main(["train", "mlp", "--faster", "magic"])
    assert "invalid choice: 'magic'" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------------- refusals


def test_what_cannot_be_is_refused_with_a_sentence(monkeypatch):
    net = nn.Linear(1, 1)
    sgd = gt.Player("critic", net, lambda batch: {}, torch.optim.SGD(net.parameters(), 0.1))
    with pytest.raises(ValueError, match="'bf16' is none"):
        Trainer(MLP, digits, faster=["bf16"])
    with pytest.raises(ValueError, match="no measure 'magic'"):
        acceleration.named(["fused", "magic"])
    with pytest.raises(ValueError, match="The SGD of critic cannot be capturable"):
        acceleration._settings(sgd, capturable=True)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="Only CUDA records updates"):
            Trainer(MLP, digits, faster=[acceleration.graphs])
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="C\\+\\+ compiler"):
        Trainer(MLP, digits, faster=[acceleration.compiled])
    monkeypatch.setattr(faster, "has_bfloat16", lambda device: False)
    with pytest.raises(ValueError, match="This cpu has no bfloat16"):
        Trainer(MLP, digits, faster=[acceleration.bfloat16])
    monkeypatch.setattr(gt.distributed, "count", lambda: 2)
    assert "one process" in acceleration.compiled.refusal(torch.device("cpu"))
    assert "one process" in acceleration.graphs.refusal(torch.device("cuda"))
    assert "CPU or on CUDA" in acceleration.fused.refusal(torch.device("mps"))


def test_bfloat16_is_looked_up_in_the_processors_flags(monkeypatch, tmp_path):
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(faster, "Path", lambda path: info)
    assert not acceleration.has_bfloat16(torch.device("cpu"))  # a system without that file
    info.write_text("flags\t\t: fma avx2 avx512f\n")
    assert not acceleration.has_bfloat16(torch.device("cpu"))
    info.write_text("flags\t\t: fma avx2 avx512_bf16\n")
    assert acceleration.has_bfloat16(torch.device("cpu")) and not acceleration.has_bfloat16(torch.device("mps"))


# -------------------------------------------------------------------------------------------------------- compiled


@pytest.fixture
def traced(monkeypatch):
    """torch.compile up to what the C++ compiler would be given, which takes long; counts its graphs."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(shutil, "which", lambda name: name)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    return lambda: torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("recipe", ["dcgan", "wgan-gp", "conditional"])
def test_compiled_losses_are_the_eager_ones_and_are_compiled_once(recipe, traced):
    recipe = SMALL[recipe]
    training = Trainer(recipe, digits, 1, [acceleration.compiled])
    assert close(first(recipe), first_of(training), 1e-5)
    training.run(steps=2)
    graphs = traced()
    assert graphs >= len(training.players)
    training.run(steps=6)
    assert traced() == graphs


@compiles
def test_compiled_to_the_end(tmp_path):
    recipe = replace(
        MLP,
        generator=lambda: gt.MLPGenerator(64, (1, 28, 28), width=8, depth=1),
        critic=lambda: gt.MLPCritic((1, 28, 28), width=8, depth=1),
    )
    assert close(first(recipe), first(recipe, acceleration.compiled), 1e-5)


# ---------------------------------------------------------------------------------------------------------- graphs


class Recorder:
    """Records as CUDA does, on a CPU: without a result at first, then always into the same tensors."""

    def __init__(self):
        self.recorded = 0

    def __call__(self, function):
        self.recorded += 1
        names = ("game", "penalty") if self.recorded == 1 else ("game",)  # the critic comes first
        terms = {name: torch.zeros(()) for name in names}

        def replay():
            for name, term in function().items():
                terms[name].copy_(term)

        return terms, replay


def test_replayed_updates_are_the_updates(tmp_path):
    """Bit for bit: batches are copied into place, terms out of it, and warming up is training."""
    recipe = SMALL["wgan-gp"]
    plain, replayed, record = Trainer(recipe, digits), Trainer(recipe, digits), Recorder()
    for player in replayed.players:
        player.update = acceleration.CUDAGraphed(player.update, record)
    plain.run(steps=6)
    replayed.run(steps=6)
    assert record.recorded == 2 and all(player.update.batch is not None for player in replayed.players)
    assert equal(everything(plain, tmp_path / "a.safetensors"), everything(replayed, tmp_path / "b.safetensors"))


def test_a_replay_takes_batches_of_one_shape():
    update = acceleration.CUDAGraphed(
        lambda batch: {"game": batch.real.mean()}, lambda function: ({"game": torch.zeros(())}, function)
    )
    batch = gt.Batch(torch.ones(4, 2), None, torch.ones(4, 3), torch.ones(4))
    for _ in range(5):
        update(batch)
    with pytest.raises(ValueError, match="batches of one shape"):
        update(gt.Batch(*(None if x is None else x[:2] for x in batch)))
    with pytest.raises(ValueError, match="batches of one shape"):
        update(batch._replace(label=torch.zeros(4)))


@on_cuda
@small
def test_graphs_play_the_same_game(recipe):
    on_gpu = digits.to("cuda")
    plain, recorded = (Trainer(recipe, on_gpu, 0, measures) for measures in ((), (acceleration.graphs,)))
    plain.run(steps=8)
    recorded.run(steps=8)
    for player, terms in plain.log.items():
        for term, values in terms.items():
            torch.testing.assert_close(recorded.log[player][term], values, rtol=1e-2, atol=1e-2)
