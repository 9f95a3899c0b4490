"""The models that come with the package: each recipe has one, small, and as good as its card says."""

import json
import os
import signal

import pytest
import torch

import gan_tutorial as gt
from gan_tutorial import checkpoint, cli, metrics
from gan_tutorial.recipes import MLP, RECIPES
from gan_tutorial.training import Trainer
from tools import train_pretrained

few = gt.data.synthetic_digits(300, seed=0)


def test_what_is_shipped_is_the_average_in_half_precision_and_the_losses_means(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "POINTS", 5)
    training = Trainer(MLP, few)
    training.run(steps=10)
    checkpoint.save(training, tmp_path / "whole.safetensors")
    checkpoint.ship(tmp_path / "whole.safetensors", tmp_path / "mlp.safetensors", curve=[{"step": 1}, {"step": 2}])
    made, shipped = training.model(), checkpoint.load(tmp_path / "mlp.safetensors")
    for mine, theirs in zip(made.generator.state_dict().values(), shipped.generator.state_dict().values(), strict=True):
        assert theirs.dtype == torch.float32 and torch.equal(mine.half().float(), theirs)
    pairs = made.log["critic"]["game"].view(-1, 2)
    torch.testing.assert_close(shipped.log["critic"]["game"], pairs.mean(1))
    assert (
        shipped.card["curve"] == [{"step": 1}, {"step": 2}] and shipped.card["data"] == few.name and shipped.steps == 10
    )
    size = 2 * sum(p.numel() for p in made.generator.parameters())
    assert (tmp_path / "mlp.safetensors").stat().st_size < size + 20_000
    with pytest.raises(ValueError, match="no training to go on with"):
        checkpoint.resume(tmp_path / "mlp.safetensors", few)
    with torch.no_grad():
        training.averages["generator"].net.layers[0].weight[0, 0] = 1e5
    checkpoint.save(training, tmp_path / "whole.safetensors")
    with pytest.raises(ValueError, match="half precision"):
        checkpoint.ship(tmp_path / "whole.safetensors", tmp_path / "mlp.safetensors")
    assert checkpoint.load(tmp_path / "mlp.safetensors").card["curve"] == [{"step": 1}, {"step": 2}]  # as it was


def test_a_long_training_goes_on_where_it_stopped(tmp_path, capsys):
    def digits(name, split="train"):
        return few

    call = ["mlp", "--folder", str(tmp_path / "work"), "--out", str(tmp_path / "models")]
    assert train_pretrained.main([*call, "--seconds", "0.6"], digits) == 0
    first = checkpoint.load(tmp_path / "models" / "mlp.safetensors").card
    assert train_pretrained.main([*call, "--seconds", "1.2"], digits) == 0
    made = checkpoint.load(tmp_path / "models" / "mlp.safetensors")
    curve = made.card["curve"]
    assert curve[: len(first["curve"])] == first["curve"] and curve[-1]["step"] == made.steps > first["step"]
    assert made.seconds >= 1.2 and [point["seconds"] for point in curve] == sorted(p["seconds"] for p in curve)
    assert made.card["metrics"] == pytest.approx(metrics.report(made.sample(len(few)), few))

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    assert train_pretrained.main(call, interrupted) == 130 and "goes on" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_costs_no_step_and_the_same_command_goes_on(number, tmp_path, monkeypatch, capsys):
    """TERM and HUP ended it at once, and up to a minute of training was lost."""
    call = ["mlp", "--folder", str(tmp_path / "work"), "--out", str(tmp_path / "models"), "--seconds", "100"]
    done, step = [], Trainer.step

    def stepped(trainer, *arguments):
        step(trainer, *arguments)
        done.append(trainer.steps)
        if trainer.steps == 7:
            signal.raise_signal(number)

    monkeypatch.setattr(Trainer, "step", stepped)
    assert train_pretrained.main(call, lambda name, split="train": few) == 128 + number
    assert "the same command goes on" in capsys.readouterr().err and done[-1] == 7
    file = tmp_path / "work" / "mlp.safetensors"
    assert checkpoint.resume(file, few).steps == 7 and os.listdir(tmp_path / "work") == [file.name]  # the lock is gone


def test_what_cannot_be_written_is_known_before_hours(tmp_path, monkeypatch, capsys):
    call = ["mlp", "vae", "--folder", str(tmp_path / "work"), "--out", str(tmp_path / "models")]

    def trained(*_):
        pytest.fail("it trains")

    monkeypatch.setattr(train_pretrained, "go_on", trained)
    (tmp_path / "models" / "vae.safetensors").mkdir(parents=True)  # the second one's place is taken
    assert train_pretrained.main(call, lambda name, split="train": few) == 1
    assert "vae.safetensors cannot be written" in capsys.readouterr().err
    (tmp_path / "models" / "vae.safetensors").rmdir()
    with checkpoint.locked(tmp_path / "work" / "mlp.safetensors"):  # of another training
        assert train_pretrained.main(call, lambda name, split="train": few) == 1
    assert "Another training is writing" in capsys.readouterr().err


def test_every_recipe_has_a_model():
    assert checkpoint.shipped() == sorted(train_pretrained.MODELS) and set(RECIPES) < set(train_pretrained.MODELS)
    assert sum(path.stat().st_size for path in checkpoint.SHIPPED.iterdir()) < 4_000_000


@pytest.mark.parametrize("name", RECIPES)
def test_a_model_makes_digits_and_its_card_tells_of_it(name):
    made = gt.pretrained(name)
    label = torch.arange(200) % 10 if made.recipe.labelled else None
    images = made.sample(200, label)
    assert images.shape == (200, 1, 28, 28) and images.abs().max() <= 1
    card = made.card
    assert card["recipe"] == name and card["data"] == "mnist" and card["step"] == made.steps
    assert card["curve"][-1]["step"] == made.steps and card["metrics"]["Fréchet distance"] > 0
    read = metrics.predict(metrics.classifier("mnist"), images)
    assert len(read.unique()) == 10
    if made.recipe.labelled:
        assert (read == label).float().mean() > 0.9


@pytest.mark.parametrize("name", ["inpainting", "pix2pix"])
def test_a_model_makes_images_of_images_and_needs_them(name):
    """Digits that it never saw are still read as what they were; without images it says what it needs."""
    made, test = gt.pretrained(name), gt.data.synthetic_digits(300, seed=5, split="test")
    images = made.sample(300, train_pretrained.asked(name, test))
    assert images.shape == (300, 1, 28, 28) and images.abs().max() <= 1
    assert made.card["recipe"] == name and made.card["curve"][-1]["step"] == made.steps
    read = metrics.predict(metrics.classifier("synthetic"), images)
    assert (read == test.label).float().mean() > 0.5  # chance is a tenth
    with pytest.raises(ValueError, match="needs"):
        made.sample(3)


@pytest.mark.parametrize("name", train_pretrained.MODELS)
def test_metrics_of_a_card_can_be_measured_again(name):
    """The card's numbers are those of the file. Machines round otherwise: within a hundredth."""
    if not os.environ.get("GAN_TUTORIAL_DATA"):
        pytest.skip("needs MNIST")
    made = gt.pretrained(name)
    assert train_pretrained.judged(made, gt.data.mnist("test")) == pytest.approx(made.card["metrics"], rel=1e-2)


def test_a_model_is_a_file_or_one_of_the_package(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sample", "conditional", "--n", "3", "--label", "7", "--out", "sevens.npy"]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", "dcgan", "--against", "synthetic", "--n", "100", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["card"]["step"] == gt.pretrained("dcgan").steps
    assert cli.main(["sample", "biggan", "--out", "x.png"]) == 1
    assert "no file biggan" in capsys.readouterr().err
    with pytest.raises(ValueError, match="only conditional, dcgan"):
        gt.pretrained("biggan")
