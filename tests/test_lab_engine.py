"""The laboratory's engine in the pages learns as the package does: its gradients, its steps, its data and its numbers.

The engine is asked in Node, by `lab_engine.mjs`; the answers come from the package, in double precision.
"""

import copy
import json
from functools import partial
from pathlib import Path

import gan_tutorial as gt
import pytest
import torch
from gan_tutorial.game import Batch
from tools import node

HERE = Path(__file__).resolve().parent
HARNESS = node.LAB / "src" / "engine" / "harness.ts"
TOLERANCE = 1e-4
STEPS = 10


@pytest.fixture(scope="session")
def ask(tmp_path_factory):
    """(name, argument), … -> what the engine answers, each its value or, for an error, an exception; one process."""
    node.install()

    def ask(*questions):
        folder = tmp_path_factory.mktemp("engine")
        (folder / "questions.json").write_text(json.dumps(questions))
        node.run(HERE / "lab_engine.mjs", HARNESS, folder / "questions.json", folder / "answers.json", cwd=folder)
        answers = json.loads((folder / "answers.json").read_text())
        return [answer.get("value", RuntimeError(answer.get("error"))) for answer in answers]

    return ask


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
SMALL = {"batch": 32, "width": 16, "halfLife": 500}


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
    kind, lr = setting.get(f"optimizer{player}", "adam"), setting.get(f"lr{player}", 4e-3 if player == "Critic" else 1e-3)
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


def test_the_comparison_notices_the_known_faults(ask, trained):
    """Second derivatives by jax-js on WebAssembly, and a penalty without its derivative in the weights."""
    names = [name for name, setting in GAMES.items() if "penalty" in setting]
    for fault in ("nested", "dropped"):
        for name, answer in zip(names, ask(*(trained[name].question(fault) for name in names)), strict=True):
            assert isinstance(answer, RuntimeError) or max(trained[name].errors(answer).values()) > 10 * TOLERANCE, (
                fault,
                name,
            )
