"""One line says what a run is; the environment overrides a notebook, and is checked."""

import pytest
import torch
from torch import nn

import gan_tutorial as gt
from gan_tutorial import runtime


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("SEED", "SCALE", "PROGRESS"):
        monkeypatch.delenv(f"GAN_TUTORIAL_{name}", raising=False)


def test_one_line_says_it_all(capsys):
    run = gt.Run(seed=3)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    for word in ("seed 3", f"device {run.device.type}", "precision float32", f"scale {run.scale_name}"):
        assert word in out


def test_the_environment_decides(monkeypatch, capsys):
    monkeypatch.setenv("GAN_TUTORIAL_SEED", "7")
    monkeypatch.setenv("GAN_TUTORIAL_SCALE", "smoke")
    run = gt.Run(seed=3)
    assert (run.seed, run.scale_name) == (7, "smoke") and "from GAN_TUTORIAL_SEED" in capsys.readouterr().out
    assert run.scale(cpu=600, gpu=20_000, smoke=10) == 10 and run.scale(cpu=600) == 600


def test_where_there_is_a_gpu_its_scale_is_used_and_networks_go_there(monkeypatch):
    monkeypatch.setattr(runtime, "pick_device", lambda: (torch.device("meta"), "make-believe"))
    run = gt.Run()
    assert run.scale_name == "gpu" and run.scale(cpu=1, gpu=2) == 2 and run.scale(cpu=1) == 1
    assert run.scale(cpu=1, gpu=0) == 0  # nought is a value
    net = nn.Linear(2, 2)
    assert run.place(net) is net and all(p.device.type == "meta" for p in net.parameters())


def test_float32_means_float32():
    gt.Run()
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32


def test_the_seed_decides_the_first_weights():
    weights = [(gt.Run(seed), nn.Linear(4, 4).weight)[1] for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("SEED", "one", "whole number"), ("SEED", "-1", "whole number"), ("SCALE", "huge", "smoke, cpu, gpu")],
)
def test_an_unknown_setting_is_an_error(monkeypatch, name, value, words):
    monkeypatch.setenv(f"GAN_TUTORIAL_{name}", value)
    with pytest.raises(ValueError, match=words):
        gt.Run()


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"seed": 0.5}, {"precision": "half"}])
def test_a_bad_argument_is_an_error(arguments):
    with pytest.raises(ValueError):
        gt.Run(**arguments)


def test_precision_that_is_not_there_is_refused():
    if torch.cuda.is_available():
        pytest.skip("this machine may have TF32")
    with pytest.raises(ValueError, match="no TF32"):
        gt.Run(precision="tf32")


def test_streams_of_random_numbers_do_not_meet():
    seeds = {runtime.derive_seed(seed, "batch", n) for seed in range(20) for n in range(500)}
    assert len(seeds) > 10_000 - 5  # of 2**32; 0.01 collisions are expected
    assert runtime.derive_seed(0, "batch", 1) != runtime.derive_seed(1, "batch", 0)


def test_progress_is_silent_where_nobody_watches(capsys, monkeypatch):
    assert list(runtime.progress(3)) == [0, 1, 2]  # under pytest nobody watches
    monkeypatch.setenv("GAN_TUTORIAL_PROGRESS", "1")
    monkeypatch.setattr(runtime, "tqdm", lambda steps, disable, **_: disable)
    assert runtime.progress(3) is False
    monkeypatch.setenv("GAN_TUTORIAL_PROGRESS", "0")
    assert runtime.progress(3) is True
    assert "".join(capsys.readouterr()) == ""
