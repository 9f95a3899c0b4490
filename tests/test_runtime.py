"""One line says what a run is; the environment overrides a notebook, and is checked."""

import itertools

import numpy as np
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
    for word in ("seed 3", f"device {run.device.type}", "float32", f"scale {run.scale_name}"):
        assert word in out


def test_the_environment_decides(monkeypatch, capsys):
    monkeypatch.setenv("GAN_TUTORIAL_SEED", "7")
    monkeypatch.setenv("GAN_TUTORIAL_SCALE", "smoke")
    run = gt.Run(seed=3)
    assert (run.seed, run.scale_name) == (7, "smoke") and "from GAN_TUTORIAL_SEED" in capsys.readouterr().out
    assert run.scale(cpu=600, gpu=20_000, smoke=10) == 10 and run.scale(cpu=600) == 600


def test_where_there_is_a_gpu_its_scale_is_used_and_networks_go_there(monkeypatch):
    monkeypatch.setattr(runtime, "pick_device", lambda asked: (torch.device("meta"), "make-believe"))
    run = gt.Run()
    assert run.scale_name == "gpu" and run.scale(cpu=1, gpu=2) == 2 and run.scale(cpu=1) == 1
    assert run.scale(cpu=1, gpu=0) == 0  # nought is a value
    net = nn.Linear(2, 2)
    assert run.place(net) is net and all(p.device.type == "meta" for p in net.parameters())


def test_a_device_can_be_chosen(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "some GPU")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert (gt.Run().device.type, gt.Run(device="cuda").device.type) == ("cuda", "cuda")
    run = gt.Run(device="cpu")
    assert (run.device.type, run.scale_name) == ("cpu", "cpu")
    assert "device cpu (chosen)" in capsys.readouterr().out
    with pytest.raises(
        ValueError, match=r"Expected a device at hand \('cuda', 'cuda:0', 'cpu', 'cpu:0'\), got 'mps'\."
    ):
        gt.Run(device="mps")


def test_a_device_may_have_a_number_if_there_are_so_many(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"GPU {device or 0}")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for name in ("cuda:0", "cuda:1", "mps:0", "cpu:0"):
        for asked in (name, torch.device(name)):
            assert gt.Run(device=asked).device == torch.device(name)
    assert "device cuda:1 (GPU 1)" in capsys.readouterr().out
    for absent in ("cuda:2", "mps:1", "tpu", "cuda:", ""):
        with pytest.raises(ValueError, match=f"Expected a device at hand .*, got {absent!r}"):
            gt.Run(device=absent)


def test_float32_means_float32():
    gt.Run()
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32


def test_the_seed_decides_the_first_weights():
    weights = [(gt.Run(seed), nn.Linear(4, 4).weight)[1] for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SEED", "one", "whole number"),
        ("SEED", "-1", "whole number"),
        ("SEED", "1.5", "whole number"),
        ("SEED", "٣", "whole number"),  # a digit to Python, and likely a slip
        ("SEED", "9" * 5000, "whole number"),
        ("SEED", str(2**64), "2\\*\\*64"),
        ("SCALE", "huge", "smoke, cpu, gpu"),
    ],
)
def test_an_unknown_setting_is_an_error(monkeypatch, name, value, words):
    monkeypatch.setenv(f"GAN_TUTORIAL_{name}", value)
    with pytest.raises(ValueError, match=words):
        gt.Run()


@pytest.mark.parametrize(
    "arguments", [{"seed": -1}, {"seed": 0.5}, {"seed": True}, {"seed": 2**64}, {"precision": "half"}]
)
def test_a_bad_argument_is_an_error(arguments):
    with pytest.raises(ValueError):
        gt.Run(**arguments)


def test_a_seed_that_is_left_out_is_that_of_the_environment(monkeypatch):
    assert runtime.default_seed() == 0 and runtime.default_seed(5) == 5
    monkeypatch.setenv("GAN_TUTORIAL_SEED", "7")
    assert runtime.default_seed() == 7 and runtime.default_seed(5) == 5 and runtime.default_seed(0) == 0
    monkeypatch.setenv("GAN_TUTORIAL_SEED", "seven")
    with pytest.raises(ValueError, match="GAN_TUTORIAL_SEED"):
        runtime.default_seed()
    for wrong in (-1, 0.5, True, "7"):
        with pytest.raises(ValueError, match="Expected a whole-number seed"):
            runtime.default_seed(wrong)


def test_seeds_may_be_numbers_of_numpy():
    seeds = [gt.Run(seed).seed for seed in (np.int64(3), 2**64 - 1)]
    assert seeds == [3, 2**64 - 1] and type(seeds[0]) is int


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
    assert "".join(capsys.readouterr()) == ""
    monkeypatch.setenv("GAN_TUTORIAL_PROGRESS", "1")
    assert list(runtime.progress(3)) == [0, 1, 2] and "0/3" in capsys.readouterr().out
    monkeypatch.setenv("GAN_TUTORIAL_PROGRESS", "0")
    assert list(runtime.progress(3)) == [0, 1, 2] and "".join(capsys.readouterr()) == ""


@pytest.mark.parametrize("shown", ["0", "1"])
@pytest.mark.parametrize("amount", [3, 2**31, 2**63, 10**30, 10**400])
def test_no_number_of_steps_is_too_large_for_a_bar(monkeypatch, capsys, shown, amount):
    monkeypatch.setenv("GAN_TUTORIAL_PROGRESS", shown)
    assert list(itertools.islice(runtime.progress(amount), 3)) == [0, 1, 2]
    with runtime.progress_bar(amount, None) as show:
        for step in (1, 2, amount):
            show(step, float(step % 1000))


@pytest.mark.parametrize("shown", ["0", "1"])
@pytest.mark.parametrize("seconds", [0.2, 5.0, 1e30, float("inf")])
def test_no_number_of_seconds_is_too_large_for_a_bar(monkeypatch, capsys, shown, seconds):
    monkeypatch.setenv("GAN_TUTORIAL_PROGRESS", shown)
    with runtime.progress_bar(None, seconds, 10, 2.0) as show:
        show(11, 3.5)
        show(10**30, min(seconds, 1e300))


def test_the_loops_within_a_bar_show_none_of_their_own(monkeypatch, capsys):
    monkeypatch.setenv("GAN_TUTORIAL_PROGRESS", "1")
    with runtime.progress_bar(3, None) as show:
        assert not runtime.show_progress()
        for step in range(3):
            show(step + 1, 0.0)
    assert runtime.show_progress() and "0/3" in capsys.readouterr().out
