"""Hundreds of damaged and of forged files, seeded: each is refused by a ValueError, or as good as the true one."""

import copy
import hashlib
import json
import random
import tempfile
import warnings
from functools import cache
from pathlib import Path

import pytest
import safetensors.torch
import torch

import gan_tutorial as gt
from gan_tutorial import checkpoint, layout
from gan_tutorial.training import Recipe, Trainer

points = gt.Data("points", torch.randn(50, 2, generator=torch.Generator().manual_seed(0)))
TINY = Recipe(
    "tiny",
    {
        "generator": lambda spec: gt.MLPGenerator(spec.latent_dim, spec.shape, width=4),
        "critic": lambda spec: gt.MLPCritic(spec.shape, width=4),
    },
    latent_dim=2,
    batch_size=8,
    half_life=100,
)
SEEDS = range(10)  # each makes a tenth of the cases below


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The recipe|.* was trained with")
        yield


@cache
def true_file() -> tuple[bytes, str, dict]:
    """A small training's file: its bytes, its card as text, its tensors."""
    trainer = Trainer(TINY, points)
    trainer.run(steps=2)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        checkpoint.save(trainer, Path(folder) / "a", note={"of": ["all", 1.5, None, True]}, metrics={"distance": 1.0})
        content = (Path(folder) / "a").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return content, header["__metadata__"]["gan_tutorial"], safetensors.torch.load(content)


def forged(tensors: dict, words: str) -> bytes:
    """A file with a right sum, whatever its card is; by other code than the package's."""
    content = safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()}, {"gan_tutorial": words})
    said = json.dumps("0" * 64).encode().replace(b'"', rb"\"")
    if said not in content:  # the card has no place for it
        return content
    return content.replace(said, said.replace(b"0" * 64, hashlib.sha256(content).hexdigest().encode()), 1)


def blank(words: str) -> str:
    """A card's text with zeros for its sum."""
    return words.replace(json.loads(words)["sha256"], "0" * 64)


def uses(content: bytes, path) -> set[str]:
    """Load and sample, resume and train: for which of the two, "load" and "resume", the file is good enough."""
    path.write_bytes(content)
    accepted = set()
    for use in (load, resume):
        try:
            use(path)
            accepted.add(use.__name__)
        except (ValueError, gt.NonFiniteLoss) as error:  # the latter from a forged eps or lr that an optimiser takes
            assert str(error).isprintable() and len(str(error)) < 1000, error
    return accepted


def load(path):
    made = checkpoint.load(path, recipe=TINY)
    assert made.sample(3).isfinite().all() and str(made).isprintable() and isinstance(made.metrics, dict)
    assert all(values.ndim == 1 and values.isfinite().all() for own in made.log.values() for values in own.values())


def resume(path):
    trainer = checkpoint.resume(path, points, recipe=TINY)
    trainer.run(steps=trainer.steps + 2)
    assert len(trainer.log["critic"]["game"]) == trainer.steps
    assert all(value.isfinite().all() for net in trainer.networks.values() for value in net.state_dict().values())


def test_the_true_file_is_accepted(tmp_path):
    content, words, tensors = true_file()
    assert uses(content, tmp_path / "a") == {"load", "resume"}
    assert forged(tensors, blank(words)) == content  # so that forged files are refused for what was changed in them


# --------------------------------------------------------------------------------------------------------- damage


def test_every_flipped_bit_is_refused(tmp_path):
    """200 anywhere, and 200 in the header."""
    content, chance = true_file()[0], random.Random(0)
    header = 8 + int.from_bytes(content[:8], "little")
    for k in range(400):
        damaged = bytearray(content)
        damaged[chance.randrange(header if k % 2 else len(content))] ^= 1 << chance.randrange(8)
        for tensors in (True, False):
            with pytest.raises(ValueError):
                layout.parse(bytes(damaged), tensors)


def test_every_truncation_and_every_lost_or_doubled_piece_is_refused():
    content, chance = true_file()[0], random.Random(1)
    for k in range(150):
        start = chance.randrange(len(content))
        stop = chance.randrange(start, len(content)) + 1
        damaged = (
            content[:start],
            content[:start] + content[stop:],
            content[:stop] + content[start:],
            content[:start] + bytes(stop - start) + content[stop:],
        )[k % 4]
        if damaged != content:
            with pytest.raises(ValueError):
                layout.parse(damaged)


def test_noise_is_refused():
    chance = random.Random(2)
    for k in range(100):
        noise = chance.randbytes(chance.randrange(200))
        for content in (noise, len(noise).to_bytes(8, "little") + noise, (2**63 + k).to_bytes(8, "little") + noise):
            with pytest.raises(ValueError):
                layout.parse(content)


# --------------------------------------------------------------------------------------------------------- forgery

ZOO = [None, True, False, -1, 0, 1, 7, 2**63, 10**30, -(10**400), 0.5, -0.5, 1e300, "", "x", "\x1b[2J", "critic"]
ZOO += [
    [],
    {},
    [[]],
    [-1],
    ["fused"],
    [["fused"]],
    [{"fused": 1}],
    {"critic": []},
    {"generator": -1},
    {"x": {"y": 0.0}},
]
RAW = ["NaN", "Infinity", "-Infinity", "1e999", "[" * 100_000, "{", '"\\ud800"', "[" * 60 + "]" * 60, "01", "9" * 5000]


def places(x, path=()):
    """The path to everything in a card."""
    yield path
    for key, value in x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, list) else ():
        yield from places(value, (*path, key))


def other_card(card: dict, chance: random.Random) -> str:
    """The text of a card with one change, somewhere in it."""
    *path, last = chance.choice([p for p in places(card) if p and p != ("sha256",)])
    inner = card
    for key in path:
        inner = inner[key]
    kind = chance.choice(["value", "value", "value", "delete", "rename", "raw"])
    if kind == "value":
        inner[last] = copy.deepcopy(chance.choice(ZOO))
    elif kind == "delete":
        del inner[last]
    elif kind == "rename" and isinstance(inner, dict):
        inner[chance.choice(["x", "", "\x1b", "critic", "lr"])] = inner.pop(last)
    else:
        inner[last] = "RAW"
        return json.dumps(card).replace('"RAW"', chance.choice(RAW))
    return json.dumps(card)


@pytest.mark.parametrize("seed", SEEDS)
def test_forged_cards(seed, tmp_path):
    _, words, tensors = true_file()
    chance = random.Random(seed)
    for _ in range(40):
        other = other_card(json.loads(blank(words)), chance)
        accepted = uses(forged(tensors, other), tmp_path / "a")
        if "resume" in accepted:  # what decides how it goes on is as it was
            true, now = json.loads(words), json.loads(other)
            for name in ("step", "settings", "batches_drawn", "losses_ahead", "seed", "content"):
                assert now[name] == true[name]


def other_tensors(tensors: dict, chance: random.Random) -> dict:
    """The tensors with one change."""
    name = chance.choice(list(tensors))
    value = tensors.pop(name)
    flat = value.flatten()
    changes = {
        "lost": {},
        "scalar": {name: flat[0].clone() if len(flat) else value},
        "longer": {name: torch.cat([flat, flat])},
        "deeper": {name: value[None]},
        "empty": {name: value[:0] if value.ndim else value.new_zeros(0)},
        "flat": {name: flat if value.ndim > 1 else value[None, None]},
        "nan": {name: torch.full(value.shape, torch.nan)},
        "infinite": {name: torch.full(value.shape, -torch.inf)},
        "whole": {name: value.to(torch.int64)},
        "double": {name: value.double()},
        "complex": {name: value.to(torch.complex64)},
        "eight bits": {name: value.float().to(torch.float8_e4m3fn)},
        "below zero": {name: -value.float().abs() - 1},
        "renamed": {
            chance.choice(["", "x", "net.", "log.a.b", "optimizer.critic.99.step", "random.9", name + "x"]): value
        },
        "another's": {chance.choice(list(tensors)): value},
        "escape": {name + "\x1b[2J": value},
        "beside": {name: value, name.replace("critic", "nobody") + "a": value.clone()},
    }
    return tensors | changes[chance.choice(list(changes))]


@pytest.mark.parametrize("seed", SEEDS)
def test_forged_tensors(seed, tmp_path):
    _, words, true = true_file()
    chance = random.Random(100 + seed)
    for _ in range(40):
        tensors = other_tensors(dict(true), chance)
        accepted = uses(forged(tensors, blank(words)), tmp_path / "a")
        for use, prefix in (("load", "model."), ("resume", "")):
            if use in accepted:
                assert described(tensors, prefix) == described(true, prefix)


def described(tensors: dict, prefix: str) -> dict:
    """Names and shapes, and the types of all but losses."""
    return {
        name: (value.shape, "" if name.startswith("log.") else value.dtype if prefix == "" else "float")
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


NO_OPTIONS = [
    {"latent_dim": -3},
    {"latent_dim": "9"},
    {"latent_dim": 2.5},
    {"latent_dim": 2**53},
    {"batch_size": True},
    {"lr": "abc"},
    {"half_life": 0},
    {"flip": 1},
    {"foo": 1},
    [],
]


@pytest.mark.parametrize(
    "card, words",
    [
        ({"accelerations": [["fused"]]}, "'accelerations' is not a list of names"),
        ({"accelerations": ["magic"]}, "Unknown acceleration 'magic'"),
        ({"images": {"generator": -5}}, "'images' is not a dictionary of numbers of images"),
        ({"images": {}}, "averages , and not generator"),
        ({"step": 3}, "its log.* has shape|has shape"),
        ({"step": -1}, "'step' is not a number of steps"),
        ({"step": 2.0}, "'step' is not a number of steps"),
        ({"batches_drawn": 5}, "on the next batch"),
        ({"seed": 1}, "on the next batch"),
        ({"classes": True}, "'classes' is not a number of classes"),
        ({"shape": [10**9, 10**9]}, "'shape' is not the shape of a sample"),
        ({"shape": [2**14, 2**14]}, "shape"),
        *(({"options": options}, "'options' is not") for options in NO_OPTIONS),
        ({"losses_ahead": {"critic": {"game": None}, "generator": {}}}, "'losses_ahead' is not"),
        ({"groups": {"critic": [{"lr": -1.0}], "generator": [{}]}}, "an optimiser's lr is 0.001 and was -1"),
        ({"groups": {"critic": [{"betas": [0.5, 1.5]}], "generator": [{}]}}, "an optimiser's betas"),
        ({"groups": {"critic": [], "generator": [{}]}}, "the optimiser of critic has 1 groups"),
        ({"groups": {"nobody": []}}, "players of this file are nobody, and not critic, generator"),
        ({"content": "../../etc"}, "'content' is not a SHA-256"),
        ({"curve": [[1]]}, "'curve' is not"),
    ],
)
def test_what_forged_cards_are_told(card, words, tmp_path):
    _, text, tensors = true_file()
    (tmp_path / "a").write_bytes(forged(tensors, json.dumps(json.loads(blank(text)) | card)))
    with pytest.raises(ValueError, match=words):
        checkpoint.resume(tmp_path / "a", points, recipe=TINY)


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("optimizer.critic.0.step", lambda x: -x, "is negative"),
        ("optimizer.critic.0.step", None, "only a part of its training.*no optimizer.critic.0.step"),
        ("optimizer.critic.0.exp_avg", None, "only a part of its training.*no optimizer.critic.0.exp_avg"),
        ("optimizer.critic.0.exp_avg", lambda x: x[0, 0], r"has shape \(\)"),
        ("optimizer.critic.0.exp_avg", lambda x: x.T, "has shape"),
        ("optimizer.critic.0.exp_avg_sq", lambda x: -x, "is negative"),
        ("optimizer.critic.0.step", lambda x: x.long(), "type int64, and now"),
        ("log.critic.game", lambda x: x[None], r"is torch.float32 of shape \(1, 2\)"),
        ("log.critic.game", lambda x: x[0], r"is torch.float32 of shape \(\)"),
        ("log.critic.game", lambda x: x[:1], "different numbers of steps"),
        ("log.critic.game", None, "only a part of its training.*no log.critic.game"),
        ("random.0", lambda x: x[:10], "has shape"),
        ("random.0", lambda x: 255 - x, "not a state of PyTorch's random numbers"),
        ("net.critic.layers.0.weight", lambda x: x * torch.inf, "is not finite"),
        ("net.critic.layers.0.weight", lambda x: x * 1.01, "on the next batch"),
        ("model.generator.layers.0.weight", lambda x: x.bool(), "type bool"),
    ],
)
def test_what_forged_tensors_are_told(name, change, words, tmp_path):
    _, text, tensors = true_file()
    tensors = dict(tensors)
    value = tensors.pop(name)
    if change:
        tensors[name] = change(value)
    (tmp_path / "a").write_bytes(forged(tensors, blank(text)))
    with pytest.raises(ValueError, match=words):
        checkpoint.resume(tmp_path / "a", points, recipe=TINY)


@pytest.mark.parametrize(
    "extra", ["log.nobody.game", "log.critic.penalty", "net.third.weight", "optimizer.critic.99.step"]
)
def test_what_has_no_place_is_refused(extra, tmp_path):
    _, text, tensors = true_file()
    (tmp_path / "a").write_bytes(forged({**tensors, extra: torch.ones(2)}, blank(text)))
    with pytest.raises(ValueError, match=f"{extra}.*no place"):
        checkpoint.resume(tmp_path / "a", points, recipe=TINY)
