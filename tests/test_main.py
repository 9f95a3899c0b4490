"""The command line: what it writes, what it prints, and a sentence where it cannot."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import gan_tutorial as gt
from gan_tutorial import __main__ as cli
from gan_tutorial import checkpoint, metrics

few = gt.data.synthetic_digits(400, seed=0)


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Few digits, few samples to judge, a folder to write in, and Ctrl-C as usual, which background jobs ignore."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(cli, "digits", lambda name, split="train", device=False: few)
    monkeypatch.setattr(cli, "JUDGED", 200)
    monkeypatch.chdir(tmp_path)
    yield
    signal.signal(signal.SIGINT, usual)


def run(*words):
    return cli.main([str(word) for word in words])


def test_train_sample_evaluate(capsys):
    assert run("train", "conditional", "--steps", 3, "--out", "c.safetensors") == 0
    card = checkpoint.read("c.safetensors")[0]
    assert card["step"] == 3 and card["seed"] == 0 and set(card["metrics"]) >= {"Fréchet distance", "label agreement"}
    assert "3 steps" in capsys.readouterr().out

    assert run("sample", "c.safetensors", "--n", 12, "--label", 7, "--out", "seven.npy") == 0
    images = np.load("seven.npy")
    assert images.shape == (12, 1, 28, 28) and images.dtype == np.float32
    sevens = checkpoint.load("c.safetensors").sample(12, torch.full((12,), 7))
    assert np.array_equal(images, sevens.numpy())
    assert run("sample", "c.safetensors", "--n", 12, "--out", "ten.png") == 0
    assert Image.open("ten.png").size == (4 * 29 - 1, 3 * 29 - 1)

    capsys.readouterr()
    assert run("evaluate", "c.safetensors", "--n", 200, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["card"]["recipe"] == "conditional" and told["metrics"] == pytest.approx(card["metrics"])
    assert run("evaluate", "c.safetensors", "--n", 200) == 0
    table = capsys.readouterr().out
    assert "training images" in table and all(name in table for name in card["metrics"])


def test_going_on_reaches_the_goal_of_the_first_call():
    assert run("train", "dcgan", "--steps", 2, "--seed", 5, "--out", "a.safetensors") == 0
    assert run("train", "--resume", "a.safetensors", "--steps", 4, "--out", "b.safetensors") == 0
    assert run("train", "dcgan", "--steps", 4, "--seed", 5, "--out", "whole.safetensors") == 0
    (_, one), (_, other) = checkpoint.read("b.safetensors"), checkpoint.read("whole.safetensors")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert checkpoint.read("a.safetensors")[0]["step"] == 2
    assert run("train", "--resume", "b.safetensors") == 0 and checkpoint.read("b.safetensors")[0]["step"] == 4


def test_an_interrupted_training_says_how_to_go_on(capsys, monkeypatch):
    seen = cli.line
    monkeypatch.setattr(
        cli,
        "line",
        lambda training, goal: (training.steps == 2 and os.kill(os.getpid(), signal.SIGINT), seen(training, goal))[1],
    )
    assert run("train", "dcgan", "--steps", 5, "--every", 1e-9, "--out", "a.safetensors") == 130
    out = capsys.readouterr().out
    assert "Go on with: python -m gan_tutorial train --resume a.safetensors" in out
    assert checkpoint.read("a.safetensors")[0]["step"] in (2, 3)
    monkeypatch.setattr(cli, "line", seen)
    assert run("train", "--resume", "a.safetensors") == 0 and checkpoint.read("a.safetensors")[0]["step"] == 5


def test_ctrl_c_while_it_is_judged_loses_nothing(monkeypatch, capsys):
    def judged(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "judged", judged)
    assert run("train", "dcgan", "--steps", 2, "--out", "a.safetensors") == 130
    assert checkpoint.read("a.safetensors")[0]["step"] == 2


def test_seconds_of_training():
    assert run("train", "dcgan", "--seconds", 0.3, "--out", "a.safetensors") == 0
    card, tensors = checkpoint.read("a.safetensors")
    assert card["goal"] == {"steps": None, "seconds": 0.3} and card["step"] == len(tensors["log.critic.game"]) > 0
    assert 0.3 <= card["seconds"] < 10


def test_only_a_restart_of_the_same_launch_takes_a_file_over(monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")
    assert run("train", "dcgan", "--steps", 2, "--out", "a.safetensors") == 0
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert run("train", "dcgan", "--steps", 3, "--out", "a.safetensors") == 0
    assert run("train", "wgan-gp", "--out", "a.safetensors") == 1  # a slip of the hand, started again or not
    for other in ("two", "none"):
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", other)
        assert run("train", "dcgan", "--out", "a.safetensors") == 1
    assert checkpoint.read("a.safetensors")[0]["step"] == 3


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["train"], "Name a recipe to train, one of mlp"),
        (["train", "nobody"], "There is no recipe 'nobody'"),
        (["train", "dcgan", "--out", "none/a.safetensors"], "folder that exists"),
        (["train", "dcgan", "--out", "there.safetensors"], "is there already. Go on with it by --resume"),
        (["train", "wgan-gp", "--resume", "there.safetensors"], "was trained with recipe dcgan, not wgan-gp"),
        (["train", "--resume", "there.safetensors", "--seed", "1"], "was trained with seed 0, not 1"),
        (["train", "--resume", "there.safetensors", "--out", "hello.txt"], "hello.txt is there already"),
        (["train", "dcgan", "--out", "folder"], "folder is there already. Name another file"),
        (["train", "dcgan", "--out", "hello.txt/a"], "Not a directory"),
        (["train", "--resume", "there.safetensors", "--out", "none/a"], "folder that exists"),
        (["train", "--resume", "trained.safetensors", "--steps", "1"], "has 2 steps in"),
        (["sample", "nowhere", "--out", "a.png"], "There is no file nowhere"),
        (["sample", "there.safetensors", "--out", "a.gif"], "a .npy or a .png file"),
        (["sample", "there.safetensors", "--out", "a.png", "--label", "3"], "leave --label out"),
        (["sample", "there.safetensors", "--out", "none/a.png"], "none/a.png could not be written (No such file"),
        (["evaluate", "hello.txt"], "no model of this package"),
    ],
)
def test_mistakes_get_a_sentence(words, sentence, capsys, tmp_path):
    training = gt.recipes.Trainer(gt.recipes.DCGAN, few)
    checkpoint.save(training, "there.safetensors")
    training.run(steps=2)
    checkpoint.save(training, "trained.safetensors")
    (tmp_path / "hello.txt").write_text("hello")
    (tmp_path / "folder").mkdir()
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()}
    assert run(*words) == 1
    told = capsys.readouterr().err
    assert sentence in told and "Traceback" not in told
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "words",
    [
        ["train", "dcgan", "--steps", "0"],
        ["train", "dcgan", "--seconds", "nan"],
        ["train", "dcgan", "--steps", "2", "--seconds", "2"],
        [],
        ["sing"],
        ["sample", "a", "--label", "10", "--out", "a.png"],
    ],
)
def test_bad_arguments(words):
    with pytest.raises(SystemExit) as end:
        run(*words)
    assert end.value.code == 2


def test_recipes_are_listed_and_the_module_runs(capsys):
    assert run("recipes") == 0
    listed = capsys.readouterr().out
    assert [line.split()[0] for line in listed.splitlines()] == list(gt.recipes.RECIPES)
    done = subprocess.run(
        [sys.executable, "-m", "gan_tutorial", "recipes"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0 and done.stdout == listed


def test_the_report_holds_what_its_parts_say():
    images, label = few.take(slice(0, 150)), few.label[:150]
    test = gt.data.synthetic_digits(300, seed=1)
    judge = metrics.classifier(test)
    made, real = metrics.features(judge, images), metrics.features(judge, test.take(slice(0, 150)))
    report = metrics.report(images, test, label)
    assert report["Fréchet distance"] == metrics.frechet_distance(made, real)
    assert report["kernel distance"] == metrics.kernel_distance(made, real)
    assert report["label agreement"] == metrics.label_accuracy(judge, images, label)
    assert report["spread"] == pytest.approx((torch.cov(made.T).trace() / torch.cov(real.T).trace()).item())
    probability = judge(images).softmax(1).max(1).values
    assert report["read with p > 0.9"] == pytest.approx(sum(p > 0.9 for p in probability.tolist()) / 150)
    same = metrics.report(images, few[:150], label)  # the test images themselves
    assert same["Fréchet distance"] == pytest.approx(0, abs=1e-6)
    assert same["spread"] == same["spread within class"] == 1
    assert "label agreement" not in metrics.report(images, test)
