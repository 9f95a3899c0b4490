"""What only a GPU can show: graphs, bf16, memory formats, compilation, NCCL and resuming there. Skipped without one.

A GPU takes sums in an order of its own: what is compared is equal up to rounding, after few steps.
"""

import copy
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist

import gan_tutorial as gt
from gan_tutorial import acceleration, checkpoint, distributed
from gan_tutorial.recipes import RECIPES
from gan_tutorial.training import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this needs CUDA")

every = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
STEPS = 8  # more than a recording takes before its first replay


@pytest.fixture(scope="module")
def digits():
    return gt.data.synthetic_digits(500, seed=0).to("cuda")


@pytest.fixture(autouse=True)
def full_precision():
    """Convolutions in float32, not in TF32, and by algorithms that repeat."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = before


def slow(recipe):
    """The recipe with a small learning rate, under which rounding stays small."""
    return recipe.configure(lr=1e-4)


def trained(recipe, data, *accelerations, steps=STEPS):
    trainer = Trainer(recipe, data, accelerations=accelerations)
    trainer.run(steps=steps)
    return trainer


def assert_same_game(one, other, tolerance):
    """Losses agree at every step."""
    for player, terms in one.log.items():
        for term, values in terms.items():
            torch.testing.assert_close(other.log[player][term], values, rtol=tolerance, atol=tolerance)


@every
def test_a_gpu_plays_the_game_of_a_cpu(recipe, digits):
    """The same weights at first, and other batches: so a batch of the GPU is shown to both."""
    here, there = Trainer(slow(recipe), digits), Trainer(slow(recipe), digits.to("cpu"))
    for one, other in zip(here.players, there.players, strict=True):
        batch = next(here.feed)
        one.net.train()
        other.net.train()
        terms = one.update(batch)
        expected = other.update(gt.Batch(*(None if x is None else x.cpu() for x in batch)))
        assert list(terms) == list(expected)
        for name, value in expected.items():
            torch.testing.assert_close(terms[name].cpu(), value, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "recipe", [recipe for name, recipe in RECIPES.items() if name != "gmmn"], ids=lambda one: one.name
)
def test_graphs_play_the_same_game(recipe, digits):
    """All but gmmn, whose loss looks at its numbers."""
    plain, graphed = (trained(slow(recipe), digits, *own) for own in ((), (acceleration.graphs,)))
    assert all("graphed update" in player.wrappers for player in graphed.players)
    assert_same_game(plain, graphed, 2e-3)
    weights = zip(*(checkpoint.state_of(t.networks).values() for t in (plain, graphed)), strict=True)
    assert all(torch.allclose(a, b, atol=2e-3) for a, b in weights if a.is_floating_point())


def test_a_graph_draws_no_batch_twice(digits):
    """Each replay sees its own batch: losses move as those of eager steps do, and no two are equal."""
    trainer = trained(slow(RECIPES["dcgan"]), digits, acceleration.graphs, steps=30)
    assert len(set(trainer.log["critic"]["game"].tolist())) > 25


def test_a_schedule_reaches_a_graph(digits):
    """From step 5 on the learning rate is 0, and no weight moves: in a graph that was recorded before."""
    recipe = replace(slow(RECIPES["mlp"]), lr_schedule=lambda step: float(step < 5))
    trainer = Trainer(recipe, digits, accelerations=[acceleration.graphs])
    trainer.run(steps=5)
    before = copy.deepcopy(checkpoint.state_of(trainer.networks))
    trainer.run(steps=12)
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.state_of(trainer.networks).items())
    moving = trained(slow(RECIPES["mlp"]), digits, acceleration.graphs, steps=12)
    assert not all(torch.equal(value, before[name]) for name, value in checkpoint.state_of(moving.networks).items())


@pytest.mark.skipif(
    torch.cuda.is_available() and acceleration.bfloat16.refusal(torch.device("cuda")) is not None,
    reason="this GPU has no bfloat16",
)
@every
def test_bfloat16_is_off_by_its_rounding(recipe, digits):
    plain, half = (trained(slow(recipe), digits, *own, steps=3) for own in ((), (acceleration.bfloat16,)))
    assert_same_game(plain, half, 0.05)
    assert any(
        not torch.equal(half.log[player][term], values)
        for player, terms in plain.log.items()
        for term, values in terms.items()
    )
    assert all(value.dtype != torch.bfloat16 for value in checkpoint.state_of(half.networks).values())


@every
@pytest.mark.parametrize("one", [acceleration.channels_last, acceleration.fused], ids=lambda one: one.name)
def test_layout_and_fused_adam_change_roundings_only(recipe, one, digits):
    plain, fast = (trained(slow(recipe), digits, *own, steps=3) for own in ((), (one,)))
    assert_same_game(plain, fast, 2e-3)


@pytest.mark.parametrize(
    "accelerations",
    [(), (acceleration.graphs,), (acceleration.channels_last, acceleration.fused)],
    ids=["plain", "graphs", "channels-last, fused"],
)
@pytest.mark.parametrize("name", ["dcgan", "wgan-gp"])
def test_a_training_goes_on_from_its_file(name, accelerations, digits, tmp_path):
    recipe = RECIPES[name].configure(lr=1e-4)
    whole = trained(recipe, digits, *accelerations, steps=2 * STEPS)
    part = trained(recipe, digits, *accelerations)
    checkpoint.save(part, tmp_path / "part.safetensors")
    rest = checkpoint.resume(tmp_path / "part.safetensors", digits)
    assert rest.accelerations == accelerations and rest.steps == STEPS
    rest.run(steps=2 * STEPS)
    assert_same_game(whole, rest, 5e-3)


def test_a_model_moves_between_devices(digits, tmp_path):
    trainer = trained(RECIPES["conditional"], digits, steps=2)
    checkpoint.save(trainer, tmp_path / "model.safetensors")
    on = {device: checkpoint.load(tmp_path / "model.safetensors", device) for device in ("cpu", "cuda")}
    z, label = torch.randn(20, 64), torch.arange(20) % 10
    here, there = (
        model.recipe.sampler(model.networks, z.to(device), label.to(device)).cpu() for device, model in on.items()
    )
    torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-3)
    assert on["cuda"].sample(3).device.type == "cuda"


def test_one_process_that_averages_by_nccl_learns_the_same(digits, tmp_path):
    if not dist.is_nccl_available():
        pytest.skip("this PyTorch has no NCCL")
    dist.init_process_group("nccl", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        plain, parallel = Trainer(slow(RECIPES["wgan-gp"]), digits), Trainer(slow(RECIPES["wgan-gp"]), digits)
        distributed.data_parallel(parallel.players)
        assert parallel.players[0].wrappers == ["all-reduced gradients", "all-reduced losses"]
        plain.run(steps=3)
        parallel.run(steps=3)
        assert_same_game(plain, parallel, 2e-3)
    finally:
        dist.destroy_process_group()


def test_compiled_and_graphed_together(digits):
    plain = trained(slow(RECIPES["mlp"]), digits)
    fast = trained(slow(RECIPES["mlp"]), digits, acceleration.compiled, acceleration.graphs)
    assert fast.players[0].wrappers == ["compiled loss", "graphed update"]
    assert_same_game(plain, fast, 2e-3)
