"""The benchmark beside PyTorch-GAN, without PyTorch-GAN: the stand-in, the clock, the judging, the table."""

import importlib
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import interpolate, one_hot
from torch.utils.data import DataLoader

import gan_tutorial as gt
from benchmarks import baselines, runners

PICTURES = torch.randint(256, (20, 1, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
TINY = gt.Data("mnist", PICTURES, torch.arange(20) % 10)


def load(split="train"):
    return TINY if split == "train" else TINY[:5]


@pytest.fixture
def torchvision(monkeypatch):
    """The stand-in, imported as the scripts do, on twenty pictures of noise; forgotten afterwards."""
    monkeypatch.syspath_prepend(str(runners.STUBS))
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "torchvision"}
    made = importlib.import_module("torchvision")
    made.datasets.MNIST.load = staticmethod(load)
    yield made
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    sys.modules.update(before)


# ------------------------------------------------------------------------------------------------------ the stand-in


def pipeline(torchvision, size):
    t = torchvision.transforms
    return torchvision.datasets.MNIST(
        "nowhere",
        train=True,
        download=True,
        transform=t.Compose([t.Resize(size), t.ToTensor(), t.Normalize([0.5], [0.5])]),
    )


def test_the_digits_go_through_the_transforms(torchvision):
    data = pipeline(torchvision, 28)
    torch.testing.assert_close(
        torch.stack([data[i][0] for i in range(20)]), (PICTURES.float() / 255 - 0.5) / 0.5, atol=1e-7, rtol=0
    )
    assert [data[i][1] for i in range(20)] == TINY.label.tolist() and len(data) == 20
    images, digits = next(iter(DataLoader(data, batch_size=8)))
    assert images.shape == (8, 1, 28, 28) and images.dtype == torch.float32
    assert torch.equal(digits, TINY.label[:8])
    assert torch.equal(TINY.values, PICTURES)  # nothing was changed in place
    assert len(torchvision.datasets.MNIST("nowhere", train=False)) == 5


@pytest.mark.parametrize("size", [32, 14])
def test_resize_is_bilinear_and_does_not_alias(torchvision, size):
    data = pipeline(torchvision, size)
    grey = (torch.stack([data[i][0] for i in range(20)]) + 1) * 127.5
    expected = interpolate(PICTURES.float(), (size, size), mode="bilinear", antialias=True, align_corners=False)
    assert (grey - expected).abs().max() <= 1.01  # PIL rounds to whole grey levels after each of its two passes
    assert (grey - grey.round()).abs().max() < 1e-4


def test_the_first_read_is_noted_and_no_other(torchvision):
    clock = iter([5.0, 6.0])
    torchvision.datasets.MNIST.clock = staticmethod(lambda: next(clock))
    data = torchvision.datasets.MNIST("nowhere")
    assert data.first_read is None
    assert data[3][0].size == (28, 28) and data[4][1] == 4
    assert torchvision.datasets.MNIST.first_read == 5.0


def test_pictures_of_samples_are_not_written(torchvision, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torchvision.utils.save_image(torch.zeros(25, 1, 28, 28), "0.png", nrow=5, normalize=True)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------- training

# A script as theirs are: settings from the command line, work on the module's level, endless printing. Its generator
# shows one grey level: the steps so far, in tenths, and a half less in training mode, which spoils its evaluation mode,
# as BatchNorm's statistics are moved by sampling.
SCRIPT = """
import argparse, os
import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from torchvision.utils import save_image
from make_believe import wait

os.makedirs("images", exist_ok=True)
os.makedirs("../../data/mnist", exist_ok=True)
parser = argparse.ArgumentParser()
parser.add_argument("--latent_dim", type=int, default=3)
parser.add_argument("--batch_size", type=int, default=8)
opt = parser.parse_args()

class Generator(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.level, self.spoilt = torch.nn.Parameter(torch.zeros(1)), 0.0
    def forward(self, z):
        assert z.shape == (8, 3)
        self.spoilt += 0.01 * self.training
        return (self.level / 10 - (0.5 if self.training else self.spoilt)).expand(len(z), 1, 28, 28)

generator, critic = Generator(), torch.nn.Linear(1, 1)
optimizer_G = torch.optim.SGD(generator.parameters(), lr=1.0)
optimizer_D = torch.optim.Adam(critic.parameters())
loader = DataLoader(datasets.MNIST("../../data/mnist", transform=transforms.ToTensor()), opt.batch_size)
wait(100)  # setting up is not training
for epoch in range(EPOCHS):
    for images, digits in loader:
        critic(torch.ones(1)).backward()
        optimizer_D.step()
        optimizer_G.zero_grad()
        (-generator.level).sum().backward()
        wait(1)
        optimizer_G.step()
        print("epoch", epoch)
        save_image(images, "images/0.png")
"""


@pytest.fixture
def clock(torchvision, monkeypatch):
    """A clock that goes only when the script waits."""
    clock = SimpleNamespace(now=0.0)

    def wait(seconds):
        clock.now += seconds

    monkeypatch.setitem(sys.modules, "make_believe", SimpleNamespace(wait=wait))
    return clock


def train(folder, clock, monkeypatch, script, seconds):
    path = folder / "make_believe.py"
    path.write_text(script)
    (folder / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(folder / "a" / "b")
    with torch.random.fork_rng():
        return runners.theirs(path, seconds, 0, torch.get_num_threads(), 20, None, lambda: clock.now, load)


def test_a_script_is_stopped_after_its_seconds_of_training(clock, tmp_path, monkeypatch, capsys):
    made = train(tmp_path, clock, monkeypatch, SCRIPT.replace("EPOCHS", "99"), seconds=7)
    assert made.seconds == 7 and made.steps == 7  # seven of the generator's, over three epochs
    assert made.samples["eval"].shape == made.samples["train"].shape == (20, 1, 28, 28)
    assert made.samples["eval"] == pytest.approx(0.7) and made.samples["train"] == pytest.approx(0.2)
    assert capsys.readouterr().out == ""
    assert sys.argv[0] != str(tmp_path / "make_believe.py") and str(tmp_path) not in sys.path


def test_the_clock_is_taken_away_again(clock, tmp_path, monkeypatch):
    train(tmp_path, clock, monkeypatch, SCRIPT.replace("EPOCHS", "99"), seconds=1)
    weight = torch.ones(1, requires_grad=True)
    weight.sum().backward()
    torch.optim.SGD([weight], lr=1.0).step()  # would raise TimeBudgetReached
    assert weight.item() == 0


def test_a_script_that_does_not_train_long_enough_is_an_error(clock, tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="was done before it was stopped; ask for fewer repeats or seconds"):
        train(tmp_path, clock, monkeypatch, SCRIPT.replace("EPOCHS", "2"), seconds=7)


def test_a_script_that_trains_on_something_else_is_an_error(clock, tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="without a sample"):
        train(
            tmp_path, clock, monkeypatch, SCRIPT.replace("EPOCHS", "99").replace(" in loader", " in [(None, None)]"), 7
        )


@pytest.mark.parametrize("recipe, label", [("dcgan", None), ("conditional", torch.arange(20) % 10)])
def test_a_recipe_of_the_book(recipe, label):
    many = gt.Data("mnist", PICTURES.repeat(5, 1, 1, 1), TINY.label.repeat(5))
    with torch.random.fork_rng():
        made = runners.ours(recipe, 0.01, 0, torch.get_num_threads(), 20, label, lambda: many)
    assert made.steps >= 1 and made.seconds > 0.01
    again = gt.recipes.get_recipe(recipe).train(many, steps=made.steps, seed=0).sample(20, label, seed=0)
    torch.testing.assert_close(torch.from_numpy(made.samples["eval"]), again)


def test_a_process_of_its_own_works_in_a_folder_that_is_gone_afterwards():
    folder = Path(runners.in_subprocess(os.getcwd))
    assert len(folder.parents) > 3 and folder != Path.cwd() and not folder.parents[1].exists()


def test_samples_come_in_whole_batches():
    seen = []

    def generator(z, label):
        seen.append(len(z))
        return z + label[:, None]

    z, label = torch.randn(10, 2), torch.arange(10)
    assert torch.equal(torch.from_numpy(runners.sample_batches(generator, z, label, 4)), z + label[:, None])
    assert seen == [4, 4, 4]


# ----------------------------------------------------------------------------------------------------------- judging


class Reader(nn.Module):
    """Five pixels as features; reads the digit from the first pixel, -0.9 for 0 to 0.9 for 9."""

    def features(self, x):
        return x.flatten(1)[:, [300, 310, 320, 330, 340]]

    def forward(self, x):
        return one_hot(((x[:, 0, 0, 0] + 0.9) / 0.2).round().long().clamp(0, 9), 10).float()


@pytest.fixture
def judge():
    return baselines.Judge(TINY, Reader())


@pytest.mark.parametrize("good, bad", [("eval", "train"), ("train", "eval")])
def test_the_better_of_two_modes_counts(judge, good, bad):
    real = TINY.take(slice(None))
    score = judge.score(
        runners.Result(60.0, 5, {"eval": 0, "train": 0} | {good: real.numpy(), bad: (real / 2).numpy()})
    )
    assert (score.mode, score.seconds, score.steps, score.label_accuracy) == (good, 60.0, 5, None)
    assert score.distance == pytest.approx(0, abs=1e-6)


def test_larger_images_are_compared_in_the_way_that_suits_them(judge):
    """Real images come out at distance 0 when they were enlarged, and also when only our way back to 28 is undone."""
    real = TINY.take(slice(None))
    enlarged = baselines.resized(real, 32)
    assert judge.score(runners.Result(1, 1, {"eval": enlarged.numpy()})).distance == pytest.approx(0, abs=1e-6)
    plain, there_and_back = judge.real(32)
    assert torch.equal(plain, Reader().features(real)) and not torch.allclose(plain, there_and_back, atol=0.01)
    assert len(judge.real(28)) == 1 and baselines.resized(real, 28) is real


def test_the_way_back_to_28_does_not_alias():
    noise = torch.rand(32, 32, generator=torch.Generator().manual_seed(0))
    pillow = Image.fromarray(noise.numpy()).resize((28, 28), Image.Resampling.BILINEAR)
    torch.testing.assert_close(baselines.resized(noise[None, None], 28)[0, 0], torch.from_numpy(np.array(pillow)))


def test_label_accuracy_is_that_of_the_mode_that_counts(judge):
    real = TINY.take(slice(None))
    real[:, 0, 0, 0] = TINY.label * 0.2 - 0.9
    wrong = real / 2
    wrong[:, 0, 0, 0] = -0.9
    samples = {"eval": wrong.numpy(), "train": real.numpy()}
    assert judge.score(runners.Result(1, 1, samples), TINY.label).label_accuracy == 1
    assert judge.score(runners.Result(1, 1, {"eval": wrong.numpy()}), TINY.label).label_accuracy == pytest.approx(0.1)


# --------------------------------------------------------------------------------------------------------- the table


def scores(distances, accuracies=None):
    accuracies = accuracies or [None] * len(distances)
    return [baselines.Score(d, a, "eval", 60.0, 9) for d, a in zip(distances, accuracies, strict=True)]


def test_medians_decide():
    dcgan, _, cgan = baselines.PAIRS
    assert baselines.row(dcgan, {"ours": scores([9, 5, 1]), "theirs": scores([50, 1, 90])})["holds"]
    short = baselines.row(dcgan, {"ours": scores([5.1, 5.1, 1]), "theirs": scores([50, 1, 90])})
    assert short["ratio"] == pytest.approx(0.102) and not short["holds"]
    own, peer = scores([4, 4, 4], [0.96, 0.97, 1.0]), scores([400] * 3, [0.1, 0.2, 0.3])
    holds = baselines.row(cgan, {"ours": own, "theirs": peer})
    assert holds["holds"] and holds["label_accuracy"] == {"ours": 0.97, "theirs": 0.2}
    assert not baselines.row(cgan, {"ours": scores([4] * 3, [0.96, 0.96, 1.0]), "theirs": peer})["holds"]
    lines = baselines.table([short, holds]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert "falls short" in lines[2] and "5.10 (1.00 to 5.10)" in lines[2]
    assert "holds" in lines[3] and "97.0% (theirs 20.0%), at least 97%" in lines[3]


def test_a_distance_in_short():
    assert [baselines.short(x) for x in (0.001234, 5, 62.44, 1777.7)] == ["0.00123", "5.00", "62.4", "1,778"]


@pytest.fixture
def clone(tmp_path):
    for pair in baselines.PAIRS:
        path = tmp_path / "clone" / "implementations" / pair.script / f"{pair.script}.py"
        path.parent.mkdir(parents=True)
        path.write_text("")
    return tmp_path / "clone"


@pytest.fixture
def calls(monkeypatch):
    """What main would have run, in order; and its settings, taken back afterwards."""
    for name in ("PROGRESS", "SEED", "SCALE"):
        monkeypatch.setenv(f"GAN_TUTORIAL_{name}", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    return []


def main(calls, judge, arguments, stop=99):
    def run(function, what, seconds, seed, threads, n, label):
        if len(calls) == stop:
            raise KeyboardInterrupt
        calls.append((function.__name__, Path(what).name, seconds, seed, threads, n, label is not None))
        samples = judge.images.numpy() / (1 + (function is runners.theirs))
        return runners.Result(seconds + 0.5, 1, {"eval": samples})

    return baselines.main(arguments, run, lambda split: TINY, lambda test: judge)


def test_the_sides_take_turns(clone, calls, judge, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAN_TUTORIAL_DATA", "digits")
    file = tmp_path / "runs.json"
    file.symlink_to(tmp_path / "kept.json")
    options = ["--only", "dcgan", "cgan", "--seconds", "7", "--repeats", "2", "--json", str(file)]
    assert main(calls, judge, [str(clone), *options]) == 0
    assert os.environ["GAN_TUTORIAL_DATA"] == str(tmp_path.resolve() / "digits")
    assert calls == [
        call
        for ours, theirs, labelled in (("dcgan", "dcgan.py", False), ("conditional", "cgan.py", True))
        for seed in (0, 1)
        for call in (("ours", ours, 7, seed, 2, 20, labelled), ("theirs", theirs, 7.5, seed, 2, 20, labelled))
    ]
    said = capsys.readouterr()
    assert "| dcgan | " in said.out and "| conditional | " in said.out and str(tmp_path) not in said.out
    assert "dcgan.py, seed 1: " in said.err
    assert file.is_symlink() and '"seconds": 7' in file.read_text() and str(tmp_path) not in file.read_text()


def test_ctrl_c_leaves_what_was_complete(clone, calls, judge, capsys):
    assert main(calls, judge, [str(clone), "--repeats", "1"], stop=2) == 130
    said = capsys.readouterr()
    assert "| dcgan | " in said.out and "wgan-gp" not in said.out and "Interrupted" in said.err


def test_what_is_no_clone_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"is not a clone of PyTorch-GAN.*dcgan\.py.*git clone"):
        baselines.main([str(tmp_path)])


def test_without_mnist_there_is_a_sentence(clone, tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_TUTORIAL_DATA", str(tmp_path / "nothing"))
    with pytest.raises(SystemExit, match="needs MNIST.*GAN_TUTORIAL_DATA"):
        baselines.main([str(clone)])


@pytest.mark.parametrize("option", [["--seconds", "0"], ["--seconds", "nan"], ["--repeats", "0"], ["--threads", "0"]])
def test_numbers_that_make_no_sense_are_refused(clone, option, capsys):
    with pytest.raises(SystemExit):
        baselines.main([str(clone), *option])
    assert "positive" in capsys.readouterr().err
