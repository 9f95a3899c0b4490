"""The benchmark of speed, on a clock that goes only when it is told to: turns, medians, shares, tables, peers."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import gan_tutorial as gt
from benchmarks import speed
from gan_tutorial import acceleration
from gan_tutorial.recipes import MLP
from gan_tutorial.training import Trainer

PICTURES = torch.randint(256, (20, 1, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
TINY = gt.Data("mnist", PICTURES, torch.arange(20) % 10)


class Clock:
    """It goes only when it is told to."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


# ------------------------------------------------------------------------------------------------- clock and medians


def test_sides_take_turns_of_about_the_same_length(clock):
    turns = []

    def side(name, cost):
        def run(steps):
            turns.append((name, steps))
            clock.now += cost * steps

        return run

    rates = speed.interleaved({"none": side("none", 0.5), "slow": side("slow", 5.0)}, 2, 2.0, clock)
    assert turns == [
        ("none", speed.WARM),
        ("none", 2),
        ("slow", speed.WARM),
        ("slow", 2),
        ("none", 4),
        ("slow", 1),
        ("none", 4),
        ("slow", 1),
    ]
    assert rates == {"none": [2.0, 2.0], "slow": [0.2, 0.2]}


def test_rounds_are_compared_with_themselves():
    """In the second round something else made the machine three times slower, and no ratio shows it."""
    rates = {"none": [6.0, 2.0, 6.0], "twice": [12.0, 4.0, 12.0]}
    none, twice = speed.rows("x", rates, batch=10, count=100)
    assert (none["ratio"], twice["ratio"]) == (1, 2) and (none["images"], twice["images"]) == (60, 120)
    assert twice["flops_per_second"] == 1200 and speed.ratio(rates, "none", "twice") == 0.5


def test_what_is_worth_it_is_combined():
    rates = {"none": [1.0], "bf16": [1.5], "channels-last": [0.9], "fused": [1.2], "bf16 + fused": [2.0]}
    assert speed.best(rates, (acceleration.bfloat16, acceleration.channels_last, acceleration.fused)) == (
        acceleration.bfloat16,
        acceleration.fused,
    )
    assert speed.title((acceleration.bfloat16, acceleration.fused)) == "bf16 + fused" and speed.title(()) == "none"


def test_a_recipe_is_measured_plain_by_each_acceleration_and_by_the_best(clock):
    gain = {acceleration.channels_last: 1.25, acceleration.fused: 2.0}

    def build(recipe, data, accelerations):
        cost = 1.0
        for one in accelerations:
            cost /= gain[one]

        def run(steps):
            clock.now += cost * steps

        return run

    options = SimpleNamespace(repeats=3, seconds=10.0)
    enough = gt.Data("mnist", PICTURES.repeat(4, 1, 1, 1))
    found = speed.measured(MLP, "mlp", enough, tuple(gain), options, build, clock)
    assert [(row["accelerations"], round(row["ratio"], 9)) for row in found] == [
        ("none", 1),
        ("channels-last", 1.25),
        ("fused", 2),
        ("channels-last + fused", 2.5),
    ]
    count = speed.flops(Trainer(MLP, enough))
    assert found[0]["images"] == pytest.approx(MLP.batch_size)
    assert found[2]["flops_per_second"] == pytest.approx(2 * count)


# ------------------------------------------------------------------------------------------------- flops and peaks


def test_flops_of_a_linear_game_have_a_closed_form():
    """Weights' gradients cost as much as the way forward, inputs' too; nobody asks for those of z and of real images,
    nor in the critic's turn for those of fake images, nor in the generator's turn for those of the critic's weights."""
    batch, z, width, pixels = 5, 3, 7, 784
    recipe = replace(
        MLP,
        objective=gt.nonsaturating,
        batch_size=batch,
        latent_dim=z,
        networks={
            "generator": lambda spec: gt.MLPGenerator(z, (1, 28, 28), width, depth=1),
            "critic": lambda spec: gt.MLPCritic((1, 28, 28), width, depth=1),
        },
    )
    generator, critic = 2 * batch * (z * width + width * pixels), 2 * batch * (pixels * width + width)
    critics_turn = generator + 2 * (2 * critic + 2 * batch * width)
    generators_turn = 2 * generator + 2 * batch * width * pixels + 2 * critic
    assert speed.flops(Trainer(recipe, TINY)) == critics_turn + generators_turn
    shared = replace(recipe, share_batch=True)  # the generator's way forward is the critic's turn's
    assert speed.flops(Trainer(shared, TINY)) == critics_turn + generators_turn - generator


def test_a_penalty_is_more_flops():
    """The penalty's point goes forward and back, and its slope once more in both directions."""
    recipe = replace(gt.recipes.WGAN_GP, batch_size=5)
    plain = replace(recipe, objective=replace(recipe.objective, penalty=None))
    assert speed.flops(Trainer(recipe, TINY)) > 1.2 * speed.flops(Trainer(plain, TINY))


def test_more_updates_are_more_flops():
    recipe = replace(MLP, batch_size=5, objective=replace(MLP.objective, n_critic=1))
    one, two, three = (
        speed.flops(Trainer(replace(recipe, objective=replace(recipe.objective, n_critic=n)), TINY)) for n in (1, 2, 3)
    )
    assert three - two == two - one > 0


def test_peaks_are_of_products_that_the_device_has():
    found = speed.peaks(torch.device("cpu"), (8, 16))
    assert "torch.mm, float32" in found and all(rate > 0 for rate in found.values())
    assert ("torch.mm, bf16" in found) == acceleration.has_bfloat16(torch.device("cpu"))


# ------------------------------------------------------------------------------------------------------------- peers

# A script as theirs are, with two thirds of the work elsewhere: the clock goes on by a second a step.
SCRIPT = """
import argparse
import torch
from torch import nn
from make_believe import wait
parser = argparse.ArgumentParser()
parser.add_argument("--size", type=int, required=True)
opt = parser.parse_args()
opt.batch, opt.z, opt.side = 4, 3, 16

class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(nn.ConvTranspose2d(3, 1, opt.size), nn.Tanh())
    def forward(self, z):
        return self.main(z)

class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(nn.Conv2d(1, 1, opt.size), nn.Sigmoid())
    def forward(self, x):
        return self.main(x).view(-1, 1).squeeze(1)

netG, netD = Generator(), Critic()
optG = torch.optim.Adam(netG.parameters(), lr=0.1, betas=(0.5, 0.9))
optD = torch.optim.Adam(netD.parameters(), lr=0.1, betas=(0.5, 0.9))
for step in range(STEPS):
    for optimizer, loss in ((optD, lambda: -netD(torch.rand(4, 1, 16, 16)).log().mean()),
                            (optG, lambda: -netD(netG(torch.randn(4, 3, 1, 1))).log().mean())):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    wait(1)
    print(step)
"""
PEER = speed.Peer(
    "a peer", "script.py", "its address", ("--size", "16"), ("netG", "netD", "optG"), ("batch", "z", "side"), True
)


@pytest.fixture
def script(clock, tmp_path, monkeypatch):
    def wait(seconds):
        clock.now += seconds

    monkeypatch.setitem(sys.modules, "make_believe", SimpleNamespace(wait=wait))
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.replace("STEPS", "99"))
    return path


def test_a_script_and_its_networks_take_turns(script, clock, capsys):
    recipes, turns = [], []

    def build(recipe, data, accelerations):
        recipes.append(recipe)
        assert data.values.shape == (20, 1, 16, 16)
        trainer = Trainer(recipe, data, 0, accelerations)

        def run(steps):
            turns.append(steps)
            clock.now += steps / (4 if accelerations else 2)
            if steps == speed.WARM:
                trainer.run(steps=1)

        return run

    with torch.random.fork_rng():
        found = speed.beside(
            PEER, script, ("fused",), torch.get_num_threads(), 3, 5.0, build, clock, lambda split: TINY
        )
    assert found["rates"] == {"theirs": [1, 1, 1], "none": [2, 2, 2], "fused": [4, 4, 4]} and found["batch"] == 4
    assert turns[-6:] == [5, 5, 10, 20, 10, 20] and found["flops"] > 0  # theirs had 5 steps in as many seconds
    assert recipes[0].latent_dim == 3 and recipes[0].optimizer.keywords == {"lr": 0.1, "betas": (0.5, 0.9)}
    assert capsys.readouterr().out == "" and sys.argv[0] != str(script)
    made = speed.rows("a peer", found["rates"], 4, found["flops"], "theirs")
    assert [row["ratio"] for row in made] == [1, 2, 4]


def test_a_script_that_ends_too_soon_is_an_error(script, clock):
    script.write_text(SCRIPT.replace("STEPS", "3"))
    with pytest.raises(RuntimeError, match="fewer repeats or seconds"), torch.random.fork_rng():
        speed.beside(PEER, script, (), torch.get_num_threads(), 3, 5.0, clock=clock, load=lambda split: TINY)
    weight = torch.ones(1, requires_grad=True)
    weight.sum().backward()
    torch.optim.SGD([weight], lr=1.0).step()  # nobody looks on any more


def test_scores_are_those_before_the_sigmoid():
    critic = nn.Sequential(nn.Flatten(), nn.Linear(9, 1), nn.Sigmoid())
    x = torch.randn(4, 1, 3, 3)
    probability = critic(x)
    scores = speed.Called(critic, scores=True)(x, None)
    assert scores.shape == (4,)
    torch.testing.assert_close(scores.sigmoid(), probability.flatten())
    with pytest.raises(ValueError, match="no label"):
        speed.Called(critic, scores=True)(x, torch.zeros(4))
    generator = speed.Called(nn.ConvTranspose2d(3, 1, 4), deep=True)
    assert generator(torch.randn(2, 3)).shape == (2, 1, 4, 4)


class Viewing(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(1, 3, 3)

    def forward(self, x):
        return self.net(x).view(len(x), -1).sum(1)


class Squeezed(Viewing):
    def forward(self, x, condition=None):
        return super().forward(x)


def test_what_networks_do_not_support_is_left_out(capsys):
    def recipe(critic):
        networks = {"generator": lambda spec: gt.MLPGenerator(3, (1, 28, 28), 8), "critic": lambda spec: critic()}
        return gt.Recipe("viewing", networks, latent_dim=3, batch_size=4)

    assert speed.supports(recipe(Squeezed), TINY, acceleration.fused)
    assert not speed.supports(recipe(Squeezed), TINY, acceleration.channels_last)
    assert "viewing does not support channels-last: view size" in capsys.readouterr().err
    assert speed.supports(recipe(lambda: speed.Called(Viewing(), scores=True)), TINY, acceleration.channels_last)


# --------------------------------------------------------------------------------------------------------- the table


def test_shares_are_of_the_products_that_were_measured():
    rows = speed.rows("mlp", {"none": [1.0], "fused": [2.0]}, 64, 10**9)
    rows += [
        {
            "name": "a peer",
            "accelerations": "its script",
            "images": 12.0,
            "ratio": 1.0,
            "flops": None,
            "flops_per_second": None,
        }
    ]
    peak = {"torch.mm, float32": 10e9, "oneDNN, float32": 20e9, "torch.mm, bf16": 80e9}
    lines = speed.table(rows, peak).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == "| mlp | none | 64 | 1.00 | 1 | 1 | 10% | 5% |"
    assert lines[3] == "| mlp | fused | 128 | 2.00 | 1 | 2 | 20% | 10% |"
    assert lines[4].startswith("| a peer | its script | 12 | 1.00 |")


@pytest.fixture
def calls(monkeypatch):
    """What main would have measured, in order; and its settings, taken back afterwards."""
    for name in ("PROGRESS", "SEED", "SCALE"):
        monkeypatch.setenv(f"GAN_TUTORIAL_{name}", "")
    return []


def main(calls, *arguments, **changes):
    def measure(recipe, name, data, accelerations, options):
        calls.append((name, [one.name for one in accelerations]))
        if name == "stop":
            raise KeyboardInterrupt
        return speed.rows(name, {"none": [1.0]}, recipe.batch_size, 10**9)

    peak = {"torch.mm, float32": 1e10}
    return speed.main([*arguments], **{"measure": measure, "peak_of": lambda _: peak, "load": lambda: TINY, **changes})


def test_recipes_and_widths(calls, tmp_path, capsys):
    file = tmp_path / "speed.json"
    file.symlink_to(tmp_path / "kept.json")
    assert main(calls, "--only", "mlp", "--widths", "8", "--accelerations", "fused", "--json", str(file)) == 0
    assert calls == [("mlp", ["fused"]), ("dcgan of width 8", ["fused"])]
    assert "| dcgan of width 8 | none | 64 |" in capsys.readouterr().out
    assert file.is_symlink()
    assert [row["name"] for row in json.loads(file.read_text())["rows"]] == ["mlp", "dcgan of width 8"]
    narrow = speed.wider(8)
    critic = narrow.build(narrow.spec(TINY))["critic"]
    assert critic.layers[0].out_channels == 8 and narrow.batch_size == gt.recipes.DCGAN.batch_size


def test_ctrl_c_leaves_what_was_complete(calls, capsys):
    assert main(calls, recipes={"mlp": MLP, "stop": MLP}) == 130
    said = capsys.readouterr()
    assert "| mlp | none |" in said.out and "Interrupted" in said.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU records graphs")
def test_accelerations_that_cannot_be_taken_are_told_about(calls, capsys):
    assert main(calls, "--only", "mlp", "--accelerations", "graphs") == 0
    assert calls == [("mlp", [])] and "Without graphs. Only CUDA" in capsys.readouterr().err


def test_what_is_no_clone_is_refused(calls, tmp_path):
    with pytest.raises(SystemExit, match=r"is not a clone of PyTorch-GAN.*dcgan\.py.*Make one: git clone"):
        main(calls, "--only", "--pytorch-gan", str(tmp_path))


@pytest.mark.parametrize(
    "option", [["--seconds", "0"], ["--seconds", "nan"], ["--repeats", "0"], ["--threads", "0"], ["--widths", "0"]]
)
def test_numbers_that_make_no_sense_are_refused(option, capsys):
    with pytest.raises(SystemExit):
        speed.main(option)
    assert "positive" in capsys.readouterr().err
