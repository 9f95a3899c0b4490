"""Data: the type, where digits come from, and the laws of the points."""

import gzip
import hashlib
import json
import math
import os
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import gan_tutorial as gt
from gan_tutorial import files
from gan_tutorial.data import Data

SETTINGS = (
    "GAN_TUTORIAL_DATA",
    "GAN_TUTORIAL_CACHE",
    "GAN_TUTORIAL_DIGITS",
    "GAN_TUTORIAL_DOWNLOAD",
    "GAN_TUTORIAL_RECORD",
)
images = torch.arange(4 * 784).remainder(256).to(torch.uint8).view(4, 1, 28, 28)


# ---------------------------------------------------------------------------------------------------------- the type


def test_take_scales_every_grey_level_exactly():
    data = Data("grey", torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1))
    levels = data.take(torch.arange(256)).view(-1)
    assert levels.dtype == torch.float32 and levels[0] == -1 and levels[255] == 1
    torch.testing.assert_close(levels.double(), (2 * torch.arange(256).double() / 255 - 1), atol=1e-7, rtol=0)


def test_take_leaves_numbers_alone_and_follows_the_index():
    data = Data("numbers", torch.tensor([[0.5], [7.0], [-2.0]]))
    assert data.take(torch.tensor([2, 2, 0])).tolist() == [[-2.0], [-2.0], [0.5]]
    assert data.take(slice(1, None)).tolist() == [[7.0], [-2.0]]


def test_a_part_of_a_data_set_keeps_values_labels_and_factors_together():
    data = Data("x", images, torch.tensor([3, 1, 3, 0]), {"slant": torch.arange(4.0)})
    part = data[data.label == 3]
    assert len(part) == 2 and part.factors["slant"].tolist() == [0.0, 2.0] and torch.equal(part.values, images[[0, 2]])
    assert data[1:3].label.tolist() == [1, 3]
    ring = gt.data.ring(100)[:10]
    assert ring.modes.shape == (8, 2) and ring.sigma == 0.02  # these belong to the law, not to the sample


def test_to_moves_every_tensor():
    data = gt.data.gaussians(10, (0.0, 1.0), (1.0, 2.0)).to("meta")
    assert {x.device.type for x in (data.values, data.label, data.modes, data.sigma)} == {"meta"}
    assert gt.data.swiss_roll(10).to("meta").factors["t"].is_meta


@pytest.mark.parametrize("device", ["cuda:99", "tpu", 3.5])
def test_a_device_that_is_not_there(device):
    with pytest.raises(ValueError, match="Expected a device of this machine"):
        gt.data.ring(10).to(device)


def test_what_a_data_set_says_of_itself():
    data = Data("x", images)
    assert len(data) == 4 and data.shape == (1, 28, 28) and "4 of shape (1, 28, 28)" in repr(data)
    with pytest.raises(AttributeError):
        data.name = "y"


@pytest.mark.parametrize(
    "words, arguments",
    [
        ("empty", (torch.zeros(0, 2),)),
        ("uint8 for images", (torch.zeros(4, 2, dtype=torch.float64),)),
        ("uint8 for images", (torch.zeros(4, 2, dtype=torch.int64),)),
        (r"\(n, channels, height, width\)", (images[:, 0],)),
        (r"\(n, d\)", (torch.zeros(4),)),
        ("one for each sample", (torch.zeros(4, 2), torch.zeros(3, dtype=torch.int64))),
        ("one for each sample", (torch.zeros(4, 2), torch.zeros(4, 1, dtype=torch.int64))),
        ("int64", (torch.zeros(4, 2), torch.zeros(4))),
        ("slant", (torch.zeros(4, 2), None, {"slant": torch.zeros(3)})),
        ("modes", (torch.zeros(4, 2), None, {}, torch.zeros(8, 3))),
    ],
)
def test_bad_data_is_refused(words, arguments):
    with pytest.raises(ValueError, match=words):
        Data("bad", *arguments)


@pytest.mark.parametrize("index", [0, torch.tensor(3), torch.tensor([[0, 1]]), [0, 1]])
def test_only_a_slice_or_a_row_of_numbers_is_an_index(index):
    """PyTorch would take an axis away, or add one: images without a channel, say."""
    with pytest.raises(ValueError, match="slice"):
        Data("x", torch.zeros(4, 3, 8, 8))[index]


POINTS = Data("points", torch.arange(12.0).view(4, 3), torch.arange(4))


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (torch.tensor([True, False, True]), r"mask of shape \(4,\).*got shape \(3,\)"),
        (torch.tensor([0.0, 1.0]), r"int64, or a mask as bool, got torch.float32: convert"),
        (torch.tensor([0, 1, 1, 0], dtype=torch.uint8), "got torch.uint8: convert"),  # PyTorch takes these as a mask
        (torch.tensor([0, 4]), r"4 samples, with the indices 0 to 3, or from the end -1 to -4"),
        (torch.tensor([-5]), "has 4 samples"),
        (torch.tensor([-5]).int(), "has 4 samples"),
    ],
)
def test_an_index_that_leads_nowhere_gets_a_sentence(index, words):
    for use in (POINTS.take, POINTS.__getitem__):
        with pytest.raises(ValueError, match=words):
            use(index)


def test_a_place_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="got 4"):
        POINTS[torch.tensor([0, 4])]
    with pytest.raises(ValueError, match="got -5"):
        POINTS[torch.tensor([-5, 0])]
    with pytest.raises(ValueError, match="'points' has 4 samples.*got 9"):
        POINTS.take(9)


def test_places_count_from_the_end_too_and_may_be_few():
    for index in (torch.tensor([-4, 3]), torch.tensor([0, -1]), torch.tensor([0, 3]).int()):
        assert POINTS[index].label.tolist() == [0, 3] and torch.equal(POINTS.take(index), POINTS.values[[0, 3]])
    assert POINTS.take(torch.tensor([], dtype=torch.int64)).shape == (0, 3)
    assert POINTS.take(torch.zeros(4, dtype=torch.bool)).shape == (0, 3)
    assert POINTS.take(torch.tensor([[0, 1], [2, 3]])).shape == (2, 2, 3)


def test_take_looks_at_no_number_of_its_index():
    """On a GPU that would make the host wait at each step: the `meta` device has no numbers at all."""
    assert POINTS.to("meta").take(torch.zeros(5, dtype=torch.int64, device="meta")).shape == (5, 3)


# ------------------------------------------------------------------------------------------------------- the digits


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """No settings but an empty cache and no network; a function that changes them."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)

    def change(**values):
        for name, value in values.items():
            monkeypatch.setenv(f"GAN_TUTORIAL_{name}", str(value))

    change(CACHE=tmp_path / "cache", DOWNLOAD=0)
    return change


@pytest.fixture
def tiny(monkeypatch):
    """Four small files in the place of MNIST's, with their own checksums: {name: content}."""
    rng, contents = np.random.default_rng(0), {}
    for prefix, n in (("train", 6), ("t10k", 3)):
        contents[f"{prefix}-images-idx3-ubyte"] = struct.pack(">4I", 0x803, n, 28, 28) + rng.bytes(n * 784)
        contents[f"{prefix}-labels-idx1-ubyte"] = struct.pack(">2I", 0x801, n) + bytes(range(n))
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(files, "MNIST_FILES", sums)
    monkeypatch.setattr(files, "MNIST_MIRRORS", ())
    monkeypatch.setattr(files, "PAUSE", 0.0)
    return contents


@pytest.fixture
def few(monkeypatch):
    """Twelve synthetic digits in the place of 60,000."""
    real = gt.data.draw
    monkeypatch.setattr(gt.data, "draw", lambda n, seed, split, cache: real(12, seed, split))


def put(directory, contents, packed=True):
    directory.mkdir(parents=True)
    for name, content in contents.items():
        (directory / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_from_a_directory(settings, tiny, tmp_path, capsys, packed):
    put(tmp_path / "data" / "mnist", tiny, packed)
    settings(DATA=tmp_path / "data", RECORD=tmp_path / "record")
    train, test = gt.data.digits(), gt.data.digits(split="test")
    assert train.values.shape == (6, 1, 28, 28) and train.values.dtype == torch.uint8
    assert train.values.numpy().tobytes() == tiny["train-images-idx3-ubyte"][16:]
    assert train.label.tolist() == list(range(6)) and test.label.tolist() == [0, 1, 2]
    assert capsys.readouterr().out == (
        "digits: MNIST, 6 training images (from GAN_TUTORIAL_DATA)\n"
        "digits: MNIST, 3 test images (from GAN_TUTORIAL_DATA)\n"
    )
    assert [json.loads(line) for line in (tmp_path / "record").open()] == [{"digits": "mnist"}] * 2


@pytest.mark.parametrize("asked", ["", "mnist"])
def test_a_directory_that_is_incomplete_or_wrong_is_no_reason_to_look_elsewhere(settings, tiny, tmp_path, asked):
    settings(DATA=tmp_path / "data", DIGITS=asked)
    put(tmp_path / "cache" / "mnist", tiny)
    with pytest.raises(FileNotFoundError, match="GAN_TUTORIAL_DATA"):
        gt.data.digits()
    put(tmp_path / "data" / "mnist", tiny)
    (tmp_path / "data" / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels"):  # although the training images are there
        gt.data.digits()
    (tmp_path / "data" / "mnist" / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01")
    with pytest.raises(ValueError, match="t10k-labels"):
        gt.data.digits()


def test_a_relative_directory_is_explained_where_it_leads_nowhere(settings, tiny, tmp_path, monkeypatch):
    put(tmp_path / "data" / "mnist", tiny)
    settings(DATA="data")
    monkeypatch.chdir(tmp_path)
    assert len(gt.data.mnist()) == 6
    monkeypatch.chdir(tmp_path / "data")
    with pytest.raises(FileNotFoundError, match="absolute path"):
        gt.data.mnist()


def test_the_directory_of_a_user_who_is_not_there_gets_a_sentence(settings, monkeypatch):
    """It was a RuntimeError, here and wherever the setting is made absolute for another process."""
    from benchmarks import runners
    from tools import notebooks

    settings(DATA="~no-such-user/mnist")
    with pytest.raises(FileNotFoundError, match="GAN_TUTORIAL_DATA is '~no-such-user/mnist', but .* is not a dir"):
        gt.data.mnist()
    assert notebooks.kernel_environment()["GAN_TUTORIAL_DATA"].endswith("no-such-user/mnist")
    for name in ("PROGRESS", "SEED", "SCALE"):  # which `isolate` sets
        monkeypatch.setenv(f"GAN_TUTORIAL_{name}", "")
    settings(CACHE="~no-such-user")
    runners.isolate()
    assert os.environ["GAN_TUTORIAL_DATA"] == "~no-such-user/mnist"
    with pytest.raises(ValueError, match="leads nowhere"):
        files.cache_directory()
    monkeypatch.setenv("HOME", "/home/me")
    settings(DATA="~/digits")
    assert notebooks.kernel_environment()["GAN_TUTORIAL_DATA"] == "/home/me/digits"


def test_mnist_from_the_cache(settings, tiny, tmp_path, capsys):
    put(tmp_path / "cache" / "mnist", tiny)
    gt.data.digits()
    assert "MNIST, 6 training images (from the cache)" in capsys.readouterr().out


def test_mnist_is_downloaded_when_that_is_allowed(settings, tiny, tmp_path, monkeypatch, capsys):
    def download(directory, name, sha256, mirrors):
        put(directory / name, {})
        return tiny[name]

    monkeypatch.setattr(files, "download", download)
    settings(DOWNLOAD=1)
    gt.data.digits(split="test")
    assert "MNIST, 3 test images (downloaded)" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "cache" / "mnist").iterdir()) == sorted(tiny)  # all four at once


def test_without_mnist_digits_are_drawn_and_the_line_says_why(settings, tiny, few, tmp_path, capsys):
    settings(RECORD=tmp_path / "record")
    gt.data.digits()
    settings(DOWNLOAD=1)
    gt.data.digits()
    settings(DIGITS="synthetic")
    gt.data.digits(split="test")
    assert capsys.readouterr().out.splitlines() == [
        "digits: synthetic, 12 training images (no MNIST at hand and GAN_TUTORIAL_DOWNLOAD=0)",
        "digits: synthetic, 12 training images (MNIST could not be downloaded)",
        "digits: synthetic, 12 test images (GAN_TUTORIAL_DIGITS=synthetic)",
    ]
    assert [json.loads(line) for line in (tmp_path / "record").open()] == [{"digits": "synthetic"}] * 3


@pytest.mark.parametrize("download", [0, 1])
def test_mnist_that_is_asked_for_and_cannot_be_had_is_an_error_with_two_remedies(settings, tiny, download):
    settings(DIGITS="mnist", DOWNLOAD=download)
    with pytest.raises(files.Unavailable, match="GAN_TUTORIAL_DATA.*GAN_TUTORIAL_DIGITS=synthetic"):
        gt.data.digits()


def test_a_damaged_file_in_the_cache_is_named_and_digits_are_drawn(settings, tiny, few, tmp_path, capsys):
    put(tmp_path / "cache" / "mnist", tiny)
    damaged = tmp_path / "cache" / "mnist" / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    data = gt.data.digits(split="test")
    said = capsys.readouterr().out
    assert data.name == "synthetic" and "train-images" in said and "removed" in said and not damaged.exists()


def test_digits_go_to_the_device_of_the_run(settings, few):
    settings(DIGITS="synthetic")
    assert gt.data.digits(SimpleNamespace(device=torch.device("meta"))).values.is_meta


def test_unknown_names_are_refused(settings):
    for call in (gt.data.digits, gt.data.mnist, gt.data.synthetic_digits):
        with pytest.raises(ValueError, match="'train' or 'test'"):
            call(split="validation")
    settings(DIGITS="MNIST")
    with pytest.raises(ValueError, match="'mnist' or 'synthetic'"):
        gt.data.digits()
    with pytest.raises(ValueError, match="positive"):
        gt.data.synthetic_digits(0)


@pytest.mark.skipif(not os.environ.get("GAN_TUTORIAL_DATA"), reason="GAN_TUTORIAL_DATA is not set")
def test_the_real_mnist():
    train, test = gt.data.mnist(), gt.data.mnist("test")
    assert train.values.shape == (60_000, 1, 28, 28) and test.values.shape == (10_000, 1, 28, 28)
    assert train.label.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert test.label.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    grey = train.values.float() / 255
    assert grey.mean().item() == pytest.approx(0.1307, abs=1e-4)  # the two numbers that everybody normalises with
    assert grey.std().item() == pytest.approx(0.3081, abs=1e-4)


# ------------------------------------------------------------------------------------------------------- the points

SETS = [gt.data.ring, gt.data.grid, gt.data.swiss_roll, gt.data.gaussians]


@pytest.mark.parametrize("make", SETS)
def test_a_seed_decides_and_the_global_generator_is_left_alone(make):
    state = torch.get_rng_state()
    a, b, c = make(100), make(100), make(100, seed=1)
    assert torch.equal(a.values, b.values) and not torch.equal(a.values, c.values)
    assert a.values.dtype == torch.float32 and torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="n is 0"):
        make(0)


def test_the_ring_has_eight_modes_evenly_spaced():
    data = gt.data.ring(40_000, radius=2.0, sigma=0.05)
    roots = torch.view_as_real(2 * torch.exp(2j * math.pi * torch.arange(8) / 8))  # linspace(0, 2π, 8) has only seven
    torch.testing.assert_close(data.modes, roots, atol=1e-6, rtol=0)
    check_mixture(data, torch.full((8,), 1 / 8))


def test_the_grid_is_a_centred_lattice():
    data = gt.data.grid(40_000)
    assert sorted(map(tuple, data.modes.tolist())) == [(x / 2, y / 2) for x in range(-2, 3) for y in range(-2, 3)]
    check_mixture(data, torch.full((25,), 1 / 25))
    assert sorted(set(gt.data.grid(9, side=2, spacing=3).modes.view(-1).tolist())) == [-1.5, 1.5]


def test_gaussians_on_the_line():
    data = gt.data.gaussians(40_000, (-1.0, 3.0), (0.5, 0.1), (3.0, 1.0))
    assert data.values.shape == (40_000, 1)
    check_mixture(data, torch.tensor([0.75, 0.25]))
    assert gt.data.gaussians(10).modes.tolist() == [[0.0]]


def check_mixture(data, weights):
    """Each mode's share, mean and spread are the law's, within five standard errors."""
    n, k = len(data), len(data.modes)
    sigma = torch.as_tensor(data.sigma).expand(k)
    share = data.label.bincount(minlength=k) / n
    assert ((share - weights).abs() < 5 * (weights * (1 - weights) / n).sqrt()).all()
    for mode in range(k):
        x = data.values[data.label == mode]
        assert ((x.mean(0) - data.modes[mode]).abs() < 5 * sigma[mode] / len(x) ** 0.5).all()
        assert ((x.std(0) / sigma[mode] - 1).abs() < 5 / (2 * len(x)) ** 0.5).all()
        assert torch.cdist(x, data.modes).argmin(1).eq(mode).float().mean() > 0.999


def test_the_swiss_roll_lies_around_its_spiral():
    data = gt.data.swiss_roll(20_000, sigma=0.02)
    t = data.factors["t"]
    assert t.min() >= 1.5 * math.pi and t.max() <= 4.5 * math.pi and data.modes is None and data.label is None
    noise = data.values - (t / (4.5 * math.pi))[:, None] * torch.view_as_real(torch.exp(1j * t))
    assert noise.std().item() == pytest.approx(0.02, rel=0.03) and noise.mean().abs() < 5 * 0.02 / 40_000**0.5
    assert t.mean().item() == pytest.approx(3 * math.pi, rel=0.02)


def test_stacked_digits_are_three_of_the_digits_and_their_number():
    """Each image of the source is of one grey level, which tells the digit: level 10 · digit + k."""
    levels = torch.tensor([10 * digit + k for digit in range(10) for k in range(3)], dtype=torch.uint8)
    grey = Data("grey", levels[:, None, None, None].expand(30, 1, 4, 5).contiguous(), (levels // 10).long())
    made = gt.data.stacked(grey, 20_000, seed=3)
    assert made.values.shape == (20_000, 3, 4, 5) and made.values.dtype == torch.uint8
    assert torch.equal(made.values.amax((2, 3)), made.values.amin((2, 3)))  # a channel is one image of the source
    each = (made.values[:, :, 0, 0] // 10).long()
    assert torch.equal(made.label, each @ torch.tensor([100, 10, 1]))
    # 1,000 numbers, equally likely: chi² has mean 999 and standard deviation 45
    hits = made.label.bincount(minlength=1000).double()
    assert len(hits) == 1000 and ((hits - 20).square() / 20).sum() < 999 + 5 * 45
    again, other = gt.data.stacked(grey, 100, seed=3), gt.data.stacked(grey, 100, seed=4)
    assert torch.equal(again.label, gt.data.stacked(grey, 100, seed=3).label)
    assert not torch.equal(again.label, other.label)


@pytest.mark.parametrize(
    "data",
    [
        Data("no labels", images),
        Data("colour", images.expand(-1, 3, -1, -1), torch.arange(4)),
        gt.data.ring(10),
        "digits",
        Data("large", images, torch.tensor([0, 1, 2, 10])),
    ],
    ids=lambda data: getattr(data, "name", data),
)
def test_what_are_no_digits_cannot_be_stacked(data):
    with pytest.raises(ValueError, match="Expected grey images with labels|labels from 0 to 9"):
        gt.data.stacked(data, 10)


def test_bad_settings_of_the_points_are_refused():
    for call in (
        lambda: gt.data.ring(modes=0),
        lambda: gt.data.ring(sigma=-1),
        lambda: gt.data.grid(side=0),
        lambda: gt.data.grid(spacing=0),
        lambda: gt.data.swiss_roll(sigma=math.nan),
        lambda: gt.data.gaussians(sigmas=(0.0,)),
        lambda: gt.data.gaussians(weights=(-1.0,)),
    ):
        with pytest.raises(ValueError, match="must be positive"):
            call()
    for n in (10.0, "10", True, math.inf):
        with pytest.raises(ValueError, match=r"n is .*; it must be a whole number, and positive"):
            gt.data.ring(n)
    with pytest.raises(ValueError, match="sigma is '1'; it must be a number"):
        gt.data.ring(sigma="1")
    for means, sigmas in (((0.0, 1.0), (1.0,)), ((), ())):
        with pytest.raises(ValueError, match="as many means as sigmas"):
            gt.data.gaussians(10, means, sigmas)


def test_nothing_here_names_a_machine(settings, tiny, few, tmp_path, capsys):
    put(tmp_path / "cache" / "mnist", tiny)
    gt.data.digits()
    assert str(Path(tmp_path)) not in capsys.readouterr().out
