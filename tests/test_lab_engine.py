"""The laboratory's engine in the pages learns as the package does: its gradients, its steps, its data and its numbers.

The engine is asked in Node, by `lab_engine.mjs`; the answers come from the package, in double precision.
"""

import itertools
import json
import math
import os
import subprocess
from functools import partial
from pathlib import Path

import pytest
import scipy.stats
import torch

import gan_tutorial as gt
from gan_tutorial.game import Batch
from tools import node

HERE = Path(__file__).resolve().parent
HARNESS = node.LAB / "src" / "engine" / "harness.ts"
TOLERANCE = 1e-4
STEPS = 10


@pytest.fixture(scope="session")
def ask(tmp_path_factory):
    """(name, argument), … -> what the engine answers, each its value or, for an error, an exception; one process."""
    modules = node.install()
    command = [node.NODE, HERE / "lab_engine.mjs", HARNESS, tmp_path_factory.mktemp("engine")]
    environment = os.environ | {"NODE_PATH": str(modules)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:

        def answer(question):
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            found = json.loads(process.stdout.readline())
            return RuntimeError(found["error"]) if "error" in found else found.get("value")

        yield lambda *questions: [answer(question) for question in questions]
        process.stdin.close()


# ------------------------------------------------------------------------------------- learning, as the package learns

ADAM = {"beta1": 0.0, "beta2": 0.9, "lrCritic": 2e-3, "lrGenerator": 1e-3}
GAMES = {
    "minimax": {"game": "minimax"},
    "nonsaturating": {"game": "nonsaturating"},
    "least_squares": {"game": "least_squares"},
    "hinge": {"game": "hinge"},
    "wgan": {
        "game": "wasserstein",
        "clip": 0.05,
        "nCritic": 5,
        "optimizerCritic": "rmsprop",
        "optimizerGenerator": "rmsprop",
    },
    "wgan_gp": {"game": "wasserstein", "penalty": "gradient_penalty", "weight": 10, "nCritic": 5, **ADAM},
    "wgan_gp, three layers": {"game": "wasserstein", "penalty": "gradient_penalty", "weight": 0.5, "depth": 3},
    "one layer, R2, SGD": {
        "game": "minimax",
        "penalty": "r2",
        "weight": 2,
        "depth": 1,
        "optimizerGenerator": "sgd",
        "optimizerCritic": "sgd",
    },
    "r1": {"game": "nonsaturating", "penalty": "r1", "weight": 1, "nGenerator": 2, **ADAM},
    "relativistic": {"game": "relativistic", "penalty": "r1_r2", "weight": 0.5, "latent": 3, **ADAM},
}
SMALL = {"batch": 32, "width": 16, "halfLife": 15}


def objective(setting):
    """The package's objective of a setting."""
    penalties = {
        "none": None,
        "gradient_penalty": gt.gradient_penalty,
        "r1": gt.r1,
        "r2": gt.r2,
        "r1_r2": None,
    }
    weight, found = setting.get("weight", 1), penalties[setting.get("penalty", "none")]
    penalty = found and partial(found, weight=weight)
    if setting.get("penalty") == "r1_r2":
        penalty = {"r1": partial(gt.r1, weight=weight), "r2": partial(gt.r2, weight=weight)}
    game = getattr(gt, setting["game"])
    clip = gt.weight_clipping(setting["clip"]) if setting.get("clip") else None
    return gt.Objective(
        game.critic,
        game.generator,
        penalty,
        n_critic=setting.get("nCritic", 1),
        constraint=clip,
        relativistic=game.relativistic,
    )


def optimizer(setting, player):
    kind, lr = (
        setting.get(f"optimizer{player}", "adam"),
        setting.get(f"lr{player}", 4e-3 if player == "Critic" else 1e-3),
    )
    if kind != "adam":
        return partial({"rmsprop": torch.optim.RMSprop, "sgd": torch.optim.SGD}[kind], lr=lr)
    return gt.adam(lr, (setting.get("beta1", 0.5), setting.get("beta2", 0.999)))


class Trained:
    """The package's training of a setting, in double precision, from given weights and batches."""

    def __init__(self, setting, seed=0, steps=STEPS):
        torch.manual_seed(seed)
        self.steps = steps
        self.setting = setting = {**SMALL, **setting}
        latent, width, depth = setting.get("latent", 2), setting["width"], setting.get("depth", 2)
        self.G = gt.MLPGenerator(latent, (2,), width, depth).double()
        self.C = gt.MLPCritic((2,), width, depth).double()
        self.first = {"generator": numbers(self.G), "critic": numbers(self.C)}
        updates = setting.get("nCritic", 1) + setting.get("nGenerator", 1)
        self.batches = [self.draw(setting["batch"], latent) for _ in range(max(1, updates * steps))]
        self.players = gt.adversaries(
            self.G,
            self.C,
            objective(setting),
            optimizer(setting, "Generator"),
            critic_optimizer=optimizer(setting, "Critic"),
        )
        self.players[1].updates = setting.get("nGenerator", 1)
        self.gradients = {player.name: self.gradient(player) for player in self.players}
        ema = gt.EMA(self.G, setting["halfLife"], setting["batch"])
        gt.fit(self.players, iter(self.batches), steps, hooks=[ema])
        self.average = ema.net

    def draw(self, n, latent):
        """A batch with the float32 numbers that the engine gets."""
        real, z, eps = torch.randn(n, 2), torch.randn(n, latent), torch.rand(n)
        return Batch(real.double(), None, z.double(), eps.double())

    def gradient(self, player):
        """Of the player's whole loss on the first batch, by weight."""
        for weight in player.weights:
            weight.requires_grad_(True)
        loss = player.total(player.loss(self.batches[0]))
        found = torch.autograd.grad(loss, player.weights)
        player.rest()
        return [gradient.flatten() for gradient in found]

    def question(self, fault="right"):
        batches = [{k: getattr(b, k).flatten().tolist() for k in ("real", "z", "eps")} for b in self.batches]
        weights = {
            name: [{"shape": list(shape), "values": values.tolist()} for shape, values in first]
            for name, first in self.first.items()
        }
        given = {"setting": self.setting, "weights": weights, "batches": batches, "steps": self.steps, "fault": fault}
        return "learn", given

    def errors(self, answer):
        """Relative errors of the engine's gradients, and of how far it moved each weight in all steps."""
        nets = {"critic": self.C, "generator": self.G, "average": self.average}
        found = {
            f"gradient of the {name}, {k}": apart(torch.tensor(values), expected)
            for name, gradients in self.gradients.items()
            for k, (values, expected) in enumerate(zip(answer["gradients"][name], gradients, strict=True))
        }
        for name, net in nets.items():
            for k, (values, (_, expected)) in enumerate(zip(answer[name], numbers(net), strict=True)):
                found[f"weights of the {name}, {k}"] = apart(torch.tensor(values), expected)
        return found


def numbers(net):
    return [(weight.shape, weight.detach().flatten().clone()) for weight in net.parameters()]


def apart(found, expected):
    """‖found - expected‖ / ‖expected‖; where nothing is expected, ‖found‖."""
    size = expected.norm().item()
    return (found.double() - expected).norm().item() / (size or 1.0)


@pytest.fixture(scope="module")
def trained():
    return {name: Trained(setting) for name, setting in GAMES.items()}


@pytest.fixture(scope="module")
def answers(ask, trained):
    return dict(zip(trained, ask(*(one.question() for one in trained.values())), strict=True))


@pytest.mark.parametrize("name", GAMES)
def test_gradients_and_ten_steps_are_the_packages(name, trained, answers):
    errors = trained[name].errors(answers[name])
    worst = max(errors, key=errors.get)
    assert errors[worst] < TOLERANCE, (worst, errors[worst])


# Sizes that fit no block of a processor's registers, or fit well: jax-js compiles another program for each.
SHAPES = [
    {"batch": 8, "width": 4, "depth": 1, "latent": 1, "penalty": "gradient_penalty", "game": "wasserstein"},
    {"batch": 31, "width": 7, "depth": 2, "latent": 3, "penalty": "r1", "game": "least_squares"},
    {"batch": 33, "width": 65, "depth": 3, "latent": 64, "penalty": "r1_r2", "game": "relativistic"},
    {"batch": 128, "width": 64, "depth": 2, "latent": 2, "penalty": "gradient_penalty", "game": "wasserstein"},
    {"batch": 128, "width": 128, "depth": 2, "latent": 2, "penalty": "r2", "game": "nonsaturating"},
    {"batch": 100, "width": 30, "depth": 4, "latent": 5, "penalty": "gradient_penalty", "game": "hinge"},
    {"batch": 512, "width": 256, "depth": 2, "latent": 16, "penalty": "r1_r2", "game": "minimax"},
]


def test_gradients_of_networks_of_other_sizes(ask):
    games = [Trained(setting, seed=1, steps=0) for setting in SHAPES]
    for game, answer in zip(games, ask(*(game.question() for game in games)), strict=True):
        for name, expected in game.gradients.items():
            found = torch.cat([torch.tensor(values) for values in answer["gradients"][name]])
            assert apart(found, torch.cat(expected)) < TOLERANCE / 10, (name, game.setting)


def test_the_comparison_notices_the_known_faults(ask, trained):
    """Second derivatives by jax-js on WebAssembly, and a penalty without its derivative in the weights."""
    names = [name for name, setting in GAMES.items() if "penalty" in setting]
    for fault in ("nested", "dropped"):
        for name, answer in zip(names, ask(*(trained[name].question(fault) for name in names)), strict=True):
            assert isinstance(answer, RuntimeError) or max(trained[name].errors(answer).values()) > 10 * TOLERANCE, (
                fault,
                name,
            )


# ------------------------------------------------------------------------------------- what a setting is


FULL = {
    "data": "points",
    "points": [[0.1, -0.2], [-2.995, 3.0]],
    "sigma": 0.035,
    "size": 1.5,
    "shift": -0.25,
    "game": "relativistic",
    "penalty": "r1_r2",
    "weight": 0.1,
    "clip": 0.3,
    "optimizerCritic": "rmsprop",
    "optimizerGenerator": "sgd",
    "lrCritic": 2.5e-7 * 10,
    "lrGenerator": 3e-4,
    "beta1": 0.0,
    "beta2": 0.99,
    "nCritic": 3,
    "nGenerator": 2,
    "batch": 64,
    "width": 32,
    "depth": 3,
    "latent": 5,
    "halfLife": 123456.0,
    "seed": 4_294_967_295,
}


def test_a_link_holds_every_setting(ask):
    defaults, full, empty, short = ask(("check", {}), ("check", FULL), ("encode", {}), ("encode", {"seed": 3}))
    assert set(full) == set(defaults) == set(FULL) and full == FULL
    assert all(full[key] != defaults[key] for key in full)  # so that each is in the link
    link, twenty = ask(("encode", FULL), ("encode", {**FULL, "points": [[k / 200, -k / 200] for k in range(400)]}))
    back, hashed, back_empty = ask(("decode", link), ("decode", f"#{link}"), ("decode", empty))
    assert back == hashed == full and back_empty == defaults
    assert (empty, short) == ("gan1", "gan1&seed=3") and len(twenty) < 2000
    assert ask(("decode", twenty))[0]["points"] == [[k / 200, -k / 200] for k in range(400)]
    assert not set(link) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=&._-")


def test_presets_are_settings_that_links_hold(ask):
    (found,) = ask(("presets", None))
    settings = [preset["setting"] for preset in found["PRESETS"].values()]
    links = ask(*(("encode", setting) for setting in settings))
    assert ask(*(("decode", link) for link in links)) == settings
    assert len(set(links)) == len(links)
    assert {preset["chapter"] for preset in found["PRESETS"].values()} == {1, 2, 6, 7, 10}


def test_each_objective_is_recognised_and_leaves_nothing_of_the_last_one(ask):
    names = list(ask(("presets", None))[0]["OBJECTIVES"])
    odd = {**FULL, "data": "ring", "points": []}
    made = ask(*(("objective", {"setting": odd, "name": name}) for name in names))
    assert [one["name"] for one in made] == names
    for one in made:
        setting = {**one["setting"]}
        for key in ("game", "penalty", "weight", "clip", "nCritic", "nGenerator"):
            setting.pop(key)
        assert all(odd[key] == value for key, value in setting.items())
    plain = made[names.index("nonsaturating")]["setting"]
    assert (plain["penalty"], plain["clip"], plain["nCritic"], plain["nGenerator"]) == ("none", 0, 1, 1)
    mixed = {"game": "hinge", "penalty": "r1"}, {"game": "nonsaturating", "clip": 0.1}, {"game": "wasserstein"}
    assert ask(*(("objectiveOf", setting) for setting in mixed)) == [None, None, None]


@pytest.mark.parametrize(
    ("link", "says"),
    [
        ("", "holds no setting"),
        ("the-loop", "holds no setting"),
        ("gan2&seed=1", "another version"),
        ("gan1&sed=1", "does not know, “sed=1”"),
        ("gan1&seed", "does not know, “seed”"),
        ("gan1&seed=1=2", "does not know"),
        ("gan1&__proto__=1", "does not know"),
        ("gan1&seed=1&seed=2", "twice"),
        ("gan1&seed=", "expected a number"),
        ("gan1&seed=1.5", "Seed: expected a whole number from 0 to 4294967295, got 1.5."),
        ("gan1&seed=-1", "expected a whole number"),
        ("gan1&width=1e9", "from 4 to 256"),
        ("gan1&width=NaN", "expected a number"),
        ("gan1&lrCritic=Infinity", "expected a number"),
        ("gan1&lrCritic=0", "Learning rate of the critic: expected a number from"),
        ("gan1&clip=-1", ", or 0 for none"),
        ("gan1&game=toString", "Expected game to be one of minimax, nonsaturating"),
        ("gan1&data=points", "Draw at least one point"),
        ("gan1&data=points&points=abc", "was the end of it cut off?"),
        ("gan1&data=points&points=zzzz", "was the end of it cut off?"),
        ("gan1&data=points&points=" + "0000" * 401, "at most 400 points"),
    ],
)
def test_a_bad_link_is_refused_with_a_sentence(ask, link, says):
    (answer,) = ask(("decode", link))
    assert isinstance(answer, RuntimeError) and says in str(answer), answer
    assert str(answer).startswith("SettingError: ")


def test_which_addresses_are_settings(ask):
    hashes = ["#gan1&seed=1", "gan1", "gan7&new=1", "", "#", "#the-loop", "gan1x", "#gan"]
    assert ask(*(("isHash", one) for one in hashes)) == [True, True, True, False, False, False, False, False]


# ------------------------------------------------------------------------------------- the same run as a program


def program(text):
    """The names that a program in Python leaves."""
    names = {}
    exec(compile(text, "<the laboratory's program>", "exec"), names)
    return names


@pytest.mark.parametrize("name", GAMES)
def test_the_program_is_the_same_training(ask, trained, answers, name):
    """Its players, from the same weights and on the same batches, end where the engine's end."""
    one = trained[name]
    (text,) = ask(("python", {"setting": one.setting, "steps": 0}))
    names = program(text)
    nets = {"generator": names["G"], "critic": names["C"], "average": names["ema"].net}
    for role, net in nets.items():
        first = one.first["generator" if role == "average" else role]
        net.double()
        with torch.no_grad():
            for weight, (shape, values) in zip(net.parameters(), first, strict=True):
                weight.copy_(values.view(shape))
    gt.fit(names["players"], iter(one.batches), STEPS, hooks=[names["ema"]])
    for role, net in nets.items():
        for values, (_, expected) in zip(answers[name][role], numbers(net), strict=True):
            assert apart(torch.tensor(values), expected) < TOLERANCE, role


PLACES = [
    {"data": "ring", "size": 1.5, "shift": 3, "sigma": 0.1},
    {"data": "grid", "size": 2, "sigma": 0.05},
    {"data": "grid", "shift": -1},
    {"data": "roll"},
    {"data": "roll", "size": 2, "shift": 1, "sigma": 0.1},
    {"data": "points", "points": [[0, 0], [1, 0.5], [-1, 2]], "sigma": 0.1},
]


@pytest.mark.parametrize("setting", PLACES, ids=lambda setting: " ".join(map(str, setting.values())))
def test_data_are_the_programs(ask, setting):
    """Means, covariances and quantiles of 10,000 points agree to their sampling error; modes to rounding."""
    text, data = ask(("python", {"setting": setting, "steps": 3}), ("data", setting))
    names = program(text)
    assert names["log"]["critic"]["game"].isfinite().all() and names["samples"].shape == (1000, 2)
    theirs, ours = names["data"], torch.tensor(data["values"]).view(-1, 2)
    assert len(ours) == len(theirs) and data["sigma"] == setting.get("sigma", 0.05)
    spread = theirs.values.std(0)
    assert ((ours.mean(0) - theirs.values.mean(0)).abs() < 5 * spread * math.sqrt(2 / 10_000)).all()
    assert torch.allclose(ours.T.cov(), theirs.values.T.cov(), atol=0.05 * spread.max() ** 2)
    shares = torch.linspace(0.05, 0.95, 19)
    for radius in (lambda x: x.norm(dim=1), lambda x: x[:, 0], lambda x: x[:, 1]):
        # The share of ours below each quantile of theirs: a jump between modes does not matter.
        below = (radius(ours)[:, None] <= radius(theirs.values).quantile(shares)).float().mean(0)
        assert (below - shares).abs().max() < 0.03
    if theirs.modes is None:
        assert data["modes"] is None
    else:
        assert torch.allclose(torch.tensor(data["modes"], dtype=torch.float32).view(-1, 2), theirs.modes, atol=1e-6)
        assert gt.metrics.modes(ours, theirs).quality == pytest.approx(1 - math.exp(-4.5), abs=0.005)


@pytest.mark.parametrize("data", ["ring", "grid"])
def test_modes_are_counted_as_the_package_counts(ask, data):
    theirs = getattr(gt.data, data)(sigma=0.05)
    random = torch.Generator().manual_seed(0)
    sets = [0.7 * torch.randn(n, 2, generator=random) for n in (1, 20, 300, 3000)]
    sets += [theirs.values[:500], torch.full((3, 2), 9.0)]
    answers = ask(*(("modes", {"setting": {"data": data}, "points": x.flatten().tolist()}) for x in sets))
    for x, answer in zip(sets, answers, strict=True):
        found = gt.metrics.modes(x, theirs)
        assert answer["found"] == found.found and answer["hits"] == found.hits.tolist()
        assert answer["quality"] == pytest.approx(found.quality) and answer["of"] == len(theirs.modes)
    assert ask(("modes", {"setting": {"data": "roll"}, "points": [0, 0]})) == [None]


# ------------------------------------------------------------------------------------- what a page sees


@pytest.mark.parametrize("name", ["minimax", "least_squares", "relativistic"])
def test_a_state_shows_the_networks(ask, name):
    """Field and samples are the networks', arrows the descent of the generator's loss in each sample."""
    setting, view = {**SMALL, **GAMES[name]}, {"box": [-2, 1, 0, 1.5], "field": 6, "samples": 40, "arrows": 12}
    (state,) = ask(("look", {"setting": setting, "steps": 3, "view": view}))
    G = gt.MLPGenerator(setting.get("latent", 2), (2,), setting["width"]).double()
    C = gt.MLPCritic((2,), setting["width"]).double()
    for net, key in ((G, "generator"), (C, "critic")):
        with torch.no_grad():
            for weight, values in zip(net.parameters(), state["weights"][key], strict=True):
                weight.copy_(torch.tensor(values).view(weight.shape))
    centres = [((torch.arange(6) + 0.5) / 6) * side + low for low, side in ((-2, 3), (0, 1.5))]
    points = torch.cartesian_prod(centres[1], centres[0]).flip(1).double()
    assert torch.allclose(torch.tensor(state["field"]).double(), C(points), atol=1e-5)

    samples = torch.tensor(state["samples"]).double().view(-1, 2)
    assert len(samples) == 40 and len(state["fresh"]) == len(state["ema"]) == 80
    x = samples[:12].clone().requires_grad_(True)
    real = torch.tensor(state["data"][:24]).double().view(-1, 2)
    game = getattr(gt, setting["game"])
    loss = game.generator(C(real), C(x)) if game.relativistic else game.generator(C(x))
    (slope,) = torch.autograd.grad(12 * loss, x)  # a sample's own loss, not its share of the mean
    assert torch.allclose(torch.tensor(state["arrows"]).view(-1, 2).double(), -slope, rtol=1e-4, atol=1e-6)
    losses = state["losses"]
    assert losses["from"] == 0 and [len(losses[k]) for k in ("critic", "penalty", "generator")] == [3, 3, 3]
    assert ("penalty" in setting) == any(losses["penalty"])


def test_first_weights_have_the_law_of_pytorchs_layers(ask):
    """Uniform in ± 1/√inputs, weights and biases, and each network its own."""
    setting = {"width": 200, "depth": 3, "latent": 50}
    (state,) = ask(("look", {"setting": setting, "steps": 0, "view": {"samples": 5}}))
    for name, first, outputs in (("generator", 50, 2), ("critic", 2, 1)):
        sizes = [first, 200, 200, 200, outputs]
        found = iter(state["weights"][name])
        for inputs, units in itertools.pairwise(sizes):
            for count in (inputs * units, units):
                values, bound = next(found), 1 / math.sqrt(inputs)
                uniform = scipy.stats.uniform(-bound, 2 * bound)
                assert len(values) == count and scipy.stats.kstest(values, uniform.cdf).pvalue > 1e-3
    assert state["weights"]["generator"][2][:5] != state["weights"]["critic"][2][:5]


def reports(heard, kind):
    return [one[kind] for one in heard if one["kind"] == kind]


QUICK = {**SMALL, "depth": 1, "nCritic": 2}
VIEW = {"field": 3, "samples": 5, "arrows": 2}


def start(**setting):
    return {"kind": "start", "setting": {**QUICK, **setting}, "view": VIEW}


def test_a_page_steps_and_looks(ask):
    script = [
        start(),
        {"kind": "step"},
        {"kind": "update", "player": "next"},
        {"kind": "update", "player": "generator"},
        {"kind": "step"},
        {"kind": "reset", "seed": 5},
        {"kind": "reset", "seed": 0},
        {"kind": "step"},
    ]
    (heard,) = ask(("session", script))
    states = reports(heard, "state")
    assert [s["steps"] for s in states] == [0, 1, 1, 1, 2, 0, 0, 1]
    assert [s["turn"]["player"] for s in states] == ["critic"] * 8
    assert [s["turn"]["done"] for s in states] == [0, 0, 1, 1, 0, 0, 0, 0]
    assert states[4]["updates"] == {"critic": 4, "generator": 3}
    assert states[7] == states[1] and states[5]["samples"] != states[0]["samples"]
    assert [s["change"] is None for s in states] == [True, True, False, False, True, True, True, True]
    own, other = states[2]["change"], states[3]["change"]
    assert own["player"] == "critic" and other["player"] == "generator"
    assert own["after"]["critic"] < own["before"]["critic"] and own["fake"] == own["fakeAfter"]
    assert other["after"]["generator"] < other["before"]["generator"] and other["fake"] != other["fakeAfter"]
    # The first step of Adam has the length of the learning rate in each weight that has a gradient.
    first = ask(("session", [start(), {"kind": "update", "player": "critic"}]))[0][-1]["state"]["change"]
    assert 0 < first["moved"] <= 4e-3 * math.sqrt(2 * 16 + 16 + 16 + 1) * 1.001
    (looks,) = ask(("session", [start(), {"kind": "view", "view": {}}]))
    one, two = reports(looks, "state")
    assert (
        one["samples"] == two["samples"] and len({str(x) for s in (one, two) for x in (s["samples"], s["fresh"])}) == 3
    )
    assert len(reports(heard, "data")) == 3 and reports(heard, "data")[0]["modes"]


def test_a_page_runs_slowly_quickly_and_pauses(ask):
    def last(*script):
        (heard,) = ask(("session", [start(), *script, {"kind": "pause"}]))
        assert not [one for one in heard if one["kind"] == "trouble"]
        return reports(heard, "state")

    slow = last({"kind": "run", "pace": 4}, 2000)
    assert 7 <= slow[-1]["steps"] <= 9 and not slow[-1]["running"] and slow[-2]["running"]
    assert slow[-1]["stepsPerSecond"] == pytest.approx(4, abs=0.5)
    assert len(slow) <= 2 + 12 * 2.1  # frames
    updates = last({"kind": "run", "pace": 3, "by": "update"}, 2000)
    assert sum(updates[-1]["updates"].values()) in (6, 7) and updates[-1]["change"]
    quick = last({"kind": "run", "pace": "full"}, 200, {"kind": "pause"}, 500)
    assert quick[-1]["steps"] == quick[-2]["steps"] > 20
    for pace, by in (("full", "step"), (30, "step"), (100, "update")):
        ended = last({"kind": "run", "pace": pace, "by": by, "until": 7}, 1500)
        assert [ended[-2][key] for key in ("steps", "running")] == [7, False] and ended[-3]["steps"] < 7, (pace, by)
        assert ended[-2]["updates"] == {"critic": 14, "generator": 7}
    behind = last({"kind": "step"}, {"kind": "step"}, {"kind": "run", "pace": "full", "until": 1}, 200)
    assert (behind[-1]["steps"], behind[-1]["running"]) == (2, False)
    changed = last({"kind": "rates", "lrCritic": 1e-6, "lrGenerator": 1e-6}, {"kind": "update", "player": "next"})
    assert changed[-1]["change"]["moved"] < 1e-4
    kept = last(
        {"kind": "rates", "lrCritic": 1e-6, "lrGenerator": 1e-6},
        {"kind": "reset"},
        {"kind": "update", "player": "critic"},
    )
    assert kept[-1]["change"]["moved"] < 1e-4 and kept[-1]["updates"]["critic"] == 1


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ([{"kind": "step"}], "send a setting first"),
        ([{"kind": "start", "setting": {"width": 3}}], "expected a whole number from 4 to 256"),
        ([start(), {"kind": "run", "pace": 0}], "positive number of steps a second"),
        ([start(), {"kind": "run", "pace": "full", "until": -1}], "Expected a step to run to"),
        ([start(), {"kind": "rates", "lrCritic": -1, "lrGenerator": 1}], "Learning rate of the critic"),
        ([start(), {"kind": "view", "view": {"samples": 0}}], "view.samples"),
        ([start(), {"kind": "view", "view": {"box": [1, 0, 0, 1]}}], "Expected a box"),
        ([start(), {"kind": "dance"}], "no command “dance”"),
    ],
)
def test_a_page_hears_what_cannot_be_done(ask, script, says):
    (heard,) = ask(("session", script))
    assert heard[-1]["kind"] == "trouble" and says in heard[-1]["message"] and not heard[-1]["over"]


def test_a_training_that_explodes_ends_with_a_sentence(ask):
    wild = start(game="least_squares", optimizerCritic="sgd", lrCritic=1, size=2.5, shift=5, nCritic=20)
    script = [wild, {"kind": "run", "pace": "full"}, 3000, {"kind": "step"}, {"kind": "reset"}, {"kind": "step"}]
    (heard,) = ask(("session", script))
    trouble = [one for one in heard if one["kind"] == "trouble"]
    assert trouble[0]["over"] and "the critic's loss became" in trouble[0]["message"]
    assert "This training has failed" in trouble[1]["message"]
    assert not reports(heard, "state")[-1]["running"]


def test_random_numbers_are_uniform_normal_and_of_their_stream(ask):
    one, same, other, batch = ask(
        *(("numbers", {"words": words, "n": 20_000}) for words in ([0, "a"], [0, "a"], [0, "b"], [0, "a", 1]))
    )
    assert one == same and one["bits"] != other["bits"] != batch["bits"]
    assert abs(torch.corrcoef(torch.tensor([one["uniform"], other["uniform"], batch["uniform"]])).triu(1)).max() < 0.03
    assert scipy.stats.kstest(one["uniform"], "uniform").pvalue > 1e-3
    assert scipy.stats.kstest(one["normal"], "norm").pvalue > 1e-3
    ones = [sum(bits >> k & 1 for bits in one["bits"]) for k in range(32)]
    assert max(abs(count - 10_000) for count in ones) < 5 * math.sqrt(5000)


# ------------------------------------------------------------------------------------- the Dirac-GAN


def dirac_velocity(setting, theta, phi):
    """By the package's objective and penalties and automatic differentiation."""
    theta, phi = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (theta, phi))
    real, fake, eps = torch.zeros(1, 1).double(), theta.view(1, 1), torch.full((1,), 0.3).double()

    def f(x):
        return phi * x.squeeze(1)

    chosen = objective(setting)
    loss = chosen.critic(f(real), f(fake)) + sum(p(f, real, fake, eps) for p in chosen.penalties.values())
    own = chosen.generator(f(real), f(fake)) if chosen.relativistic else chosen.generator(f(fake))
    return [-torch.autograd.grad(own, theta)[0].item(), -torch.autograd.grad(loss, phi)[0].item()]


def test_dirac_velocities_are_the_packages(ask):
    games = ["minimax", "nonsaturating", "least_squares", "hinge", "wasserstein", "relativistic"]
    penalties = ["none", "gradient_penalty", "r1", "r2", "r1_r2"]
    settings = [{"game": g, "penalty": p, "weight": 0.7} for g in games for p in penalties]
    random = torch.Generator().manual_seed(0)
    places = (1.5 * torch.randn(20, 2, generator=random, dtype=torch.float64)).tolist()
    answers = ask(*(("velocity", {"setting": setting, "places": places}) for setting in settings))
    for setting, answer in zip(settings, answers, strict=True):
        for place, found in zip(places, answer, strict=True):
            assert found == pytest.approx(dirac_velocity(setting, *place), abs=1e-12), (setting, place)


def test_dirac_paths_are_those_of_chapter_1(ask):
    """Without R1 each step multiplies the distance by (1 + η²σ²)^½; with it the linear factor is the formula's."""
    eta = 0.1
    (free,) = ask(("path", {"setting": {"rate": eta}, "start": [1, 0], "steps": 50}))
    for (theta, phi), after in zip(free, free[1:], strict=False):
        grown = math.hypot(theta, phi) * math.sqrt(1 + (eta / (1 + math.exp(-theta * phi))) ** 2)
        assert math.hypot(*after) == pytest.approx(grown, rel=1e-12)
    gammas = [0.0, 0.3, 0.9, 1.25, 2.0, 30.0]
    factors = ask(*(("contraction", {"gamma": gamma, "rate": eta}) for gamma in gammas))
    for gamma, factor in zip(gammas, factors, strict=True):
        step = torch.tensor([[1, eta / 2], [-eta / 2, 1 - eta * gamma]])
        assert factor == pytest.approx(torch.linalg.eigvals(step).abs().max().item(), rel=1e-6)
    turns = {"order": "alternating", "game": "wasserstein", "clip": 0.5}
    (path,) = ask(("path", {"setting": {**turns, "rate": 0.25}, "start": [1, 0.1], "steps": 3}))
    expected = [[1, 0.1], [0.9625, -0.15], [0.86484375, -0.390625], [0.73984375, -0.5]]
    assert sum(path, []) == pytest.approx(sum(expected, []))


# ------------------------------------------------------------------------------------- whole trainings

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def presets(ask):
    return ask(("presets", None))[0]["PRESETS"]


def preset_runs(ask, preset, steps=None, seeds=SEEDS):
    """What is found at the end of a preset's training, for each seed."""
    runs = [
        ("train", {"setting": {**preset["setting"], "seed": seed}, "steps": steps or preset["steps"]}) for seed in seeds
    ]
    return [answer["marks"][-1] for answer in ask(*runs)]


def test_the_same_seed_gives_the_same_run(ask):
    runs = [("train", {"setting": {**QUICK, "seed": seed}, "steps": 5, "samples": 10}) for seed in (1, 1, 2)]
    one, same, other = ask(*runs)
    assert one == same and one["weights"] != other["weights"]


@pytest.mark.slow
def test_wgan_gp_finds_all_modes_of_the_ring(ask, presets):
    """And its control, the same game clipped, does not bring as many samples to them."""
    for end in preset_runs(ask, presets["penalised"]):
        assert end["modes"]["found"] == 8 and end["modes"]["quality"] > 0.2, end["modes"]


@pytest.mark.slow
def test_minimax_fails_against_a_strong_critic_and_the_non_saturating_loss_does_not(ask, presets):
    """Chapter 1's: with plain gradients no minimax generator covers half of the way to the data, the others do."""

    def way(end):
        return torch.tensor(end["samples"]).view(-1, 2).mean(0)[0].item() / 3

    for stuck, arrived in zip(
        preset_runs(ask, presets["saturated"]), preset_runs(ask, presets["unsaturated"]), strict=True
    ):
        assert way(stuck) < 0.25 and stuck["modes"]["found"] == 0
        assert way(arrived) > 0.5 and arrived["modes"]["found"] >= 6


@pytest.mark.slow
def test_a_slow_critic_collapses(ask, presets):
    """Chapter 10's first failure: perfect losses and under half of the modes, where a quick critic finds all."""
    for slow, quick in zip(preset_runs(ask, presets["collapse"]), preset_runs(ask, presets["healthy"]), strict=True):
        assert slow["modes"]["found"] <= 3 and quick["modes"]["found"] == 8
        assert sum(slow["losses"]["critic"][-50:]) / 50 == pytest.approx(math.log(4), abs=0.1)


@pytest.mark.slow
def test_a_collapse_is_seen(ask, presets):
    """From step 150 on the samples are one spot, on two modes at most, and in the picture, which ends at 1.6."""
    marks = list(range(150, 400, 10))
    setting = presets["collapse"]["setting"]
    for run in ask(*(("train", {"setting": {**setting, "seed": k}, "steps": 400, "marks": marks}) for k in SEEDS)):
        looks = [torch.tensor(mark["samples"]).view(-1, 2) for mark in run["marks"]]
        inside = [(x.abs() < 1.6).all(1).float().mean().item() for x in looks]
        assert sum(share > 0.5 for share in inside) >= 0.9 * len(looks), inside
        assert max(mark["modes"]["found"] for mark in run["marks"]) <= 2


@pytest.mark.slow
def test_memory_does_not_grow(ask):
    """Twice 2,500 steps: the second half adds less than a hundredth of what it would if nothing were freed."""
    before, after = ask(("memory", {"setting": {"width": 32, "batch": 32}, "steps": 2500}))[0]
    assert after - before < 10  # MB; the batches and gradients of 2,500 steps alone are 60
