"""The command line: what it writes, what it prints, how it ends, and a sentence where it cannot."""

import contextlib
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gan_tutorial as gt
from gan_tutorial import acceleration, checkpoint, cli, commands, data, images, plots, recipes
from gan_tutorial.training import Recipe, Spec, TrainedModel, Trainer

few = gt.data.synthetic_digits(400, seed=0)


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """A folder to write in, and no settings of the machine's."""
    for name in ("GAN_TUTORIAL_SEED", "RANK", "LOCAL_RANK", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    return cli.main([str(word) for word in words])


PICTURES = {"cats": (200, 60, 60), "dogs": (60, 200, 60), "snails": (60, 60, 200)}


def paint(folder, each=14):
    """A folder of pictures of three colours and several sizes, and one file that is none."""
    for k, (name, colour) in enumerate(PICTURES.items()):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            noise = np.random.default_rng(100 * k + i).integers(-40, 40, (20 + i, 30 - k, 3))
            Image.fromarray((np.array(colour) + noise).astype(np.uint8)).save(folder / name / f"{i}.png")
    (folder / "cats" / "broken.png").write_bytes(b"no picture")


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    paint(folder := tmp_path_factory.mktemp("data") / "pets", each=30)
    return folder


@pytest.fixture
def small(pets):
    """Arguments to train on few small pictures, without an evaluation."""
    return ("--data", pets, "--size", 8, "--channels", 1, "--evaluate", 0)


@pytest.fixture
def train(small):
    return lambda *words: run("train", *words, *small)


def card_of(path):
    return checkpoint.read(path, tensors=False)[0]


# ------------------------------------------------------------------------------------------------ what it is told


def test_it_knows_the_names_that_there_are():
    assert set(cli.RECIPES) == set(recipes.RECIPES) and set(cli.ACCELERATIONS) == set(acceleration.ACCELERATIONS)
    assert cli.shipped() == checkpoint.shipped() and checkpoint.SHIPPED == cli.MODELS
    assert cli.FITS == images.FITS
    for name in cli.DATA:
        assert hasattr(data, name) if name == "mnist" else commands.packaged(name, "test", (8, 8)).name == name


def test_recipes_help_and_version(capsys):
    assert run("recipes") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(cli.RECIPES)
    assert run("--version") == 0 and capsys.readouterr().out == f"gan-tutorial {gt.__version__}\n"
    for command in ((), ("train",), ("sample",), ("evaluate",), ("recipes",)):
        assert run(*command, "--help") == 0 and "usage: " in capsys.readouterr().out


def test_both_ways_to_call_it():
    project = (Path(gt.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert 'gan-tutorial = "gan_tutorial.cli:main"' in project
    module = [sys.executable, "-m", "gan_tutorial", "recipes"]
    script = [sys.executable, "-c", "import sys; from gan_tutorial.cli import main; sys.exit(main())", "recipes"]
    first, second = (subprocess.run(words, capture_output=True, text=True, check=True) for words in (module, script))
    assert first.stdout == second.stdout and "wgan-gp" in first.stdout


# -------------------------------------------------------------------------------------------------- what it makes


def test_train_sample_evaluate(capsys):
    words = ("--steps", 3, "--data", "synthetic", "--evaluate", 200, "--out", "c.safetensors")
    assert run("train", "conditional", *words) == 0
    card = card_of("c.safetensors")
    assert card["step"] == 3 and card["seed"] == 0 and "Fréchet distance" in card["metrics"]
    told = capsys.readouterr().out
    assert "3 steps" in told
    (header,) = (line for line in told.splitlines() if line.endswith("training images"))
    (distances,) = (line.split()[3:] for line in told.splitlines() if line.startswith("Fréchet distance"))
    assert header.split() == ["the", "model", "training", "images"] and len(distances) == 2
    assert float(distances[0]) == pytest.approx(card["metrics"]["Fréchet distance"], rel=1e-3)
    assert float(distances[1]) < float(distances[0])  # after three steps

    assert run("sample", "c.safetensors", "--n", 12, "--label", 7, "--out", "seven.npy") == 0
    images = np.load("seven.npy")
    assert images.shape == (12, 1, 28, 28) and images.dtype == np.float32
    sevens = checkpoint.load("c.safetensors").sample(12, torch.full((12,), 7))
    assert np.array_equal(images, sevens.numpy())
    assert run("sample", "c.safetensors", "--n", 12, "--out", "ten.png") == 0
    assert Image.open("ten.png").size == (4 * 29 - 1, 3 * 29 - 1)
    assert sorted(path.suffix for path in Path().iterdir()) == [".npy", ".png", ".safetensors"]  # no half files

    capsys.readouterr()
    assert run("evaluate", "c.safetensors", "--n", 200, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["card"]["recipe"] == "conditional" and told["metrics"] == pytest.approx(card["metrics"])
    distances = [told[column]["Fréchet distance"] for column in ("training images", "the model")]
    assert distances[0] < distances[1]  # after three steps
    assert run("evaluate", "c.safetensors", "--n", 200, "--against", "synthetic") == 0
    table = capsys.readouterr().out
    assert "training images" in table and all(name in table for name in card["metrics"])


def test_your_own_images(capsys):
    paint(Path("pets"))
    own = ("--data", "pets", "--size", "16x12", "--fit", "pad", "--flip", "--augment", "--batch-size", 8)
    words = (*own, "--steps", 2, "--every", 1e-9, "--pictures", "p", "--out", "a.safetensors")
    assert run("train", "conditional", *words) == 0
    told = capsys.readouterr()
    assert "42 pictures" in told.out and "broken.png" in told.out and "variance ratio" in told.out and not told.err
    assert "Compared with the very images that it was trained on." in told.out
    card = card_of("a.safetensors")
    assert card["shape"] == [3, 16, 12] and card["class_names"] == list(PICTURES) and card["options"]["augment"] is True
    assert len(list(Path("p").glob("*.png"))) == 3 and len(Path("p/losses.csv").read_text().splitlines()) == 3

    assert run("sample", "a.safetensors", "--n", 4, "--label", "dogs", "--out", "made/") == 0
    assert sorted(path.as_posix() for path in Path("made").rglob("*.png")) == [f"made/dogs/{i}.png" for i in range(4)]
    expected = plots.as_bytes(checkpoint.load("a.safetensors").sample(4, 1))[2].transpose(1, 2, 0)
    assert np.array_equal(np.asarray(Image.open("made/dogs/2.png")), expected)

    assert run("train", "--resume", "a.safetensors", "--steps", 3, "--evaluate", 0, "--pictures", "p") == 0
    assert len(Path("p/losses.csv").read_text().splitlines()) == 4
    capsys.readouterr()
    assert run("evaluate", "a.safetensors", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["training images"]["kernel distance"] < told["the model"]["kernel distance"]
    assert any("21 samples, 21 of pets" in note for note in told["notes"])  # the other half

    os.rename("pets", "animals")
    for words in (("train", "--resume", "a.safetensors"), ("evaluate", "a.safetensors")):
        assert run(*words) == 1 and "which is not here" in capsys.readouterr().err
    assert run("evaluate", "a.safetensors", "--against", "animals") == 0
    assert "No column of training images" in capsys.readouterr().out
    assert train_own("--resume", "a.safetensors", "--data", "animals", "--steps", 4) == 0
    assert card_of("a.safetensors")["folder"]["path"] == os.path.abspath("animals")
    (Path("animals") / "dogs" / "0.png").unlink()
    assert train_own("--resume", "a.safetensors", "--steps", 5) == 1
    assert "are not the same" in capsys.readouterr().err


def train_own(*words):
    return run("train", *words, "--evaluate", 0)


def test_a_folder_that_is_called_like_our_data_is_a_folder(capsys):
    paint(Path("flowers"))
    words = ("--size", 16, "--batch-size", 8, "--steps", 1, "--evaluate", 0, "--out", "a.safetensors")
    assert run("train", "dcgan", "--data", "./flowers", *words) == 0
    assert card_of("a.safetensors")["data"] == "folder flowers" and card_of("a.safetensors")["samples"] == 42
    assert train_own("--resume", "a.safetensors", "--steps", 2) == 0


def test_flowers_at_a_size_of_ones_own():
    found, facts = commands.open_data("flowers", "test", size=(8, 8))
    assert (
        found.shape == (3, 8, 8) and facts == {"class_names": list(found.class_names)} and len(found.class_names) == 6
    )


def test_going_on_reaches_the_goal_of_the_first_call(train):
    assert train("mlp", "--steps", 2, "--seed", 5, "--out", "a.safetensors") == 0
    assert train("--resume", "a.safetensors", "--steps", 4, "--out", "b.safetensors") == 0
    assert train("mlp", "--steps", 4, "--seed", 5, "--out", "whole.safetensors") == 0
    (_, one), (_, other) = checkpoint.read("b.safetensors"), checkpoint.read("whole.safetensors")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert card_of("a.safetensors")["step"] == 2
    assert train("--resume", "b.safetensors") == 0 and card_of("b.safetensors")["step"] == 4


def test_numbers_in_place_of_the_recipes_stay_with_the_file(capsys, train):
    asked = ("--batch-size", 16, "--lr", 0.002, "--latent-dim", 8, "--half-life", 1000, "--flip")
    assert train("mlp", *asked, "--steps", 2, "--out", "a.safetensors") == 0
    options = {"batch_size": 16, "lr": 0.002, "latent_dim": 8, "half_life": 1000.0, "flip": True}
    assert card_of("a.safetensors")["options"] == options
    assert checkpoint.load("a.safetensors").spec.latent_dim == 8
    assert train("--resume", "a.safetensors", *asked, "--steps", 3) == 0  # what is the same may be said again
    assert card_of("a.safetensors")["step"] == 3
    for words, sentence in [
        (("--batch-size", 64), "trained with --batch-size 16, not --batch-size 64"),
        (("--lr", 0.001), "trained with --lr 0.002, not --lr 0.001"),
        (("--no-flip",), "trained with --flip, not --no-flip"),
        (("--size", "64"), "trained with --size 8x8, not --size 64x64"),
        (("--channels", 3), "trained with --channels 1, not --channels 3"),
        (("--seed", 1), "trained with --seed 0, not --seed 1"),
    ]:
        capsys.readouterr()
        assert run("train", "--resume", "a.safetensors", *words, "--steps", 4) == 1
        assert sentence in capsys.readouterr().err
    assert card_of("a.safetensors")["step"] == 3


def test_a_rate_is_the_one_that_was_asked_for_however_its_recipe_rounds(train):
    rate = 0.007
    assert (rate / 0.006) * 0.006 != rate  # as the recipe has it
    assert train("wgan-gp", "--lr", rate, "--steps", 1, "--out", "a.safetensors") == 0
    assert train("--resume", "a.safetensors", "--lr", rate, "--steps", 2) == 0


def test_a_training_that_was_saved_by_hand_goes_on_with_its_folder(pets, small, capsys):
    trainer = Trainer(recipes.MLP, gt.data.folder(pets, size=8, channels=1))
    checkpoint.save(trainer, "a.safetensors")  # whose card names no folder
    assert train_own("--resume", "a.safetensors") == 1 and "name its folder with --data" in capsys.readouterr().err
    assert train_own("--resume", "a.safetensors", "--data", pets, "--steps", 1) == 0
    assert train_own("--resume", "a.safetensors", "--data", "synthetic", "--steps", 2) == 1
    assert "trained with --data pets, not --data synthetic" in capsys.readouterr().err


def test_pictures_of_a_training(train):
    assert train("wgan-gp", "--steps", 3, "--every", 1e-9, "--pictures", "p", "--out", "a.safetensors") == 0
    names = ["losses.csv", *(f"step-{step:07}.png" for step in (0, 1, 2, 3))]
    assert sorted(path.name for path in Path("p").iterdir()) == names
    last = np.asarray(Image.open("p/step-0000003.png"))
    assert np.array_equal(last, plots.tile(checkpoint.load("a.safetensors").sample(64)))
    assert train("--resume", "a.safetensors", "--steps", 5, "--pictures", "p") == 0
    rows = list(csv.DictReader(Path("p/losses.csv").open()))
    log = checkpoint.load("a.safetensors").log
    assert list(rows[0]) == ["step", *(f"{player} {term}" for player in log for term in log[player])]
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5]
    penalties = torch.tensor([float(row["critic penalty"]) for row in rows])
    torch.testing.assert_close(penalties, log["critic"]["penalty"], rtol=1e-4, atol=1e-6)
    before = Path("p/losses.csv").read_bytes()
    assert train("mlp", "--steps", 1, "--out", "b.safetensors") == 0
    assert train("--resume", "b.safetensors", "--steps", 2, "--pictures", "p") == 1
    assert Path("p/losses.csv").read_bytes() == before


def test_a_model_that_learned_nothing_is_announced(capsys, train):
    for rate, words in ((1e2, "all samples of this model are the same"), (1e-3, "")):
        assert train("mlp", "--lr", rate, "--steps", 20, "--out", f"{rate}.safetensors") == 0
        told = capsys.readouterr().err
        assert words in told and bool(words) == bool(told)


def test_the_seed_of_the_environment(monkeypatch, capsys, train):
    monkeypatch.setenv("GAN_TUTORIAL_SEED", "7")
    assert train("mlp", "--steps", 1, "--out", "a.safetensors") == 0 and card_of("a.safetensors")["seed"] == 7
    assert train("mlp", "--steps", 1, "--seed", 3, "--out", "b.safetensors") == 0
    assert card_of("b.safetensors")["seed"] == 3
    assert run("sample", "dcgan", "--n", 2, "--out", "a.npy") == 0
    assert np.array_equal(np.load("a.npy"), gt.pretrained("dcgan").sample(2, seed=7).numpy())
    monkeypatch.setenv("GAN_TUTORIAL_SEED", "many")
    for words in (["train", "mlp", "--out", "c.safetensors"], ["sample", "dcgan", "--out", "c.npy"]):
        assert run(*words) == 1 and "GAN_TUTORIAL_SEED" in capsys.readouterr().err
    assert not Path("c.safetensors").exists()


def test_seconds_of_training(train):
    assert train("mlp", "--seconds", 0.3, "--out", "a.safetensors") == 0
    card, tensors = checkpoint.read("a.safetensors")
    assert card["goal"] == {"steps": None, "seconds": 0.3} and card["step"] == len(tensors["log.critic.game"]) > 0
    assert 0.3 <= card["seconds"]
    for words in ((), ("--seconds", 0.3)):  # it is reached, and passed by a part of a step
        assert train("--resume", "a.safetensors", *words) == 0 and card_of("a.safetensors")["step"] == card["step"]
    assert train("--resume", "a.safetensors", "--seconds", 0.2) == 1
    assert train("--resume", "a.safetensors", "--seconds", 0.5) == 0 and card_of("a.safetensors")["seconds"] >= 0.5


def test_only_a_restart_of_the_same_launch_takes_a_file_over(monkeypatch, train):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")
    assert train("mlp", "--steps", 2, "--out", "a.safetensors", "--pictures", "p") == 0
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert train("mlp", "--steps", 3, "--out", "a.safetensors", "--pictures", "p") == 0
    assert train("mlp", "--steps", 3, "--out", "b.safetensors", "--pictures", "p") == 1  # another one's losses
    assert train("wgan-gp", "--out", "a.safetensors") == 1  # a slip of the hand, started again or not
    for other in ("two", "none"):
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", other)
        assert train("mlp", "--out", "a.safetensors") == 1
    assert card_of("a.safetensors")["step"] == 3


def test_a_rank_alone_is_no_reason_to_do_nothing(monkeypatch):
    """Some clusters set RANK for every process; torchrun sets more, and there one process is enough to sample."""
    monkeypatch.setenv("RANK", "1")
    assert run("sample", "mlp", "--n", 2, "--out", "a.npy") == 0 and len(np.load("a.npy")) == 2
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")
    assert run("sample", "mlp", "--n", 2, "--out", "b.npy") == 0 and not Path("b.npy").exists()


def test_another_number_of_threads_is_a_warning_of_one_line(capsys, train):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert train("mlp", "--steps", 1, "--out", "a.safetensors") == 0
        torch.set_num_threads(2)
        capsys.readouterr()
        assert train("--resume", "a.safetensors", "--steps", 2) == 0
    finally:
        torch.set_num_threads(before)
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("Warning: a.safetensors was trained with 1 thread")


# ------------------------------------------------------------------------------------------- a folder of samples


@pytest.mark.parametrize("junk", [None, 3, "x", [], {}, {"steps": "x"}, {"path": 3}, {"steps": 2, "seconds": 3}])
def test_nonsense_in_a_card_is_as_if_it_were_not_there(junk):
    assert commands.goal_of({"goal": junk}) is None and commands.folder_of({"folder": junk}) == {}
    made = toy()
    assert commands.class_names(replace(made, card={"class_names": junk})) == []


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        ({"steps": 5, "seconds": None}, {"steps": 5, "seconds": None}),
        ({"steps": None, "seconds": 0.5, "note": "x"}, {"steps": None, "seconds": 0.5}),
        ({"steps": 5}, {"steps": 5, "seconds": None}),
        ({"steps": 5.5, "seconds": None}, None),
    ],
)
def test_of_a_goal_whole_steps_or_seconds_are_read_and_nothing_else(goal, expected):
    assert commands.goal_of({"goal": goal}) == expected


def toy(names=None, sampler=None, labelled=True, shape=(3, 2, 4)):
    """A model of three classes whose samples are k everywhere in class k, scaled into [-1, 1]."""

    def constant(networks, z, condition):
        level = torch.zeros(len(z)) if condition is None else condition / 2
        return level.view(-1, *[1] * len(shape)).expand(-1, *shape)

    recipe = Recipe("toy", {}, labelled=labelled, latent_dim=2, sampler=sampler or constant)
    net = torch.nn.Linear(2, 2)
    return TrainedModel(recipe, {"generator": net}, Spec(shape, 3, 2), {}, 1, 1.0, {"class_names": names})


def test_one_picture_a_sample_in_a_folder_for_each_class():
    commands.write_folder(toy(["cat", "dog", "snail"]), 11, None, 0, Path("all"))
    found = {path.relative_to("all").as_posix(): np.asarray(Image.open(path)) for path in Path("all").glob("*/*")}
    classes = ["cat", "dog", "snail"]
    assert sorted(found) == sorted(f"{classes[i % 3]}/{i:02}.png" for i in range(11))
    level = {"cat": 128, "dog": 191, "snail": 255}
    assert all(image.shape == (2, 4, 3) and (image == level[name.split("/")[0]]).all() for name, image in found.items())
    commands.write_folder(toy(), 1, 2, 0, Path("one"))
    assert [path.as_posix() for path in Path("one").rglob("*.png")] == ["one/2/0.png"]
    commands.write_folder(toy(labelled=False, shape=(1, 2, 4)), 2, None, 0, Path("flat"))
    assert [np.asarray(Image.open(f"flat/{i}.png")).shape for i in (0, 1)] == [(2, 4)] * 2


@pytest.mark.parametrize(
    "names", [["..", "b", "c"], ["", "b", "c"], ["a/b", "c", "d"], ["a", "a", "b"], ["a\n", "b", "c"], [1, 2, 3]]
)
def test_a_card_names_no_folder_elsewhere(names, folder):
    commands.write_folder(toy(names), 3, None, 0, Path("out"))
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert found == ["out/0/0.png", "out/1/1.png", "out/2/2.png"]


def test_classes_by_number_and_by_name():
    named = toy(["ant", "cat", "dog"])
    assert [commands.class_of(named, text) for text in (None, "cat", "ant", "2")] == [None, 1, 0, 2]
    for text in ("3", "-1", "bird", "²"):
        with pytest.raises(ValueError, match=f"from 0 to 2, or one of ant, cat, dog; got {text}"):
            commands.class_of(named, text)


def test_where_classes_are_called_by_numbers_a_number_is_a_name():
    named = toy(["1", "2", "3"])
    assert [commands.class_of(named, text) for text in "123"] == [0, 1, 2]
    for text in ("0", "4"):
        with pytest.raises(ValueError, match=f"one of the classes 1, 2, 3; got {text}"):
            commands.class_of(named, text)


ODD = ["a\xa0b", "100%", "%41", "caf\xe9", os.fsdecode(b"caf\xe9"), "new\nline"]


@pytest.mark.parametrize("name", ODD)
def test_folders_with_odd_names_come_back(name, capsys):
    """What a card holds is printable, and names of folders need not be."""
    paint(Path(name), each=4)
    (Path(name) / "cats").rename(Path(name) / name)
    words = ("--size", 8, "--batch-size", 4, "--steps", 1, "--evaluate", 0, "--out", "a.safetensors")
    assert run("train", "conditional", "--data", name, *words) == 0
    assert commands.folder_of(card_of("a.safetensors"))["path"] == os.path.abspath(name)
    assert train_own("--resume", "a.safetensors", "--steps", 2) == 0
    assert run("evaluate", "a.safetensors") == 0
    assert run("sample", "a.safetensors", "--n", 2, "--label", name, "--out", "b.npy") == 0
    expected = checkpoint.load("a.safetensors").sample(2, sorted([name, "dogs", "snails"]).index(name))
    assert np.array_equal(np.load("b.npy"), expected.numpy())


@pytest.mark.parametrize(
    "end, sentence",
    [
        (KeyboardInterrupt(), "Interrupted. out holds 1,000 of 1,500 samples."),
        (OSError(28, "No space left on device"), "1,000 of 1,500 samples; the next could not be written (No space"),
    ],
)
def test_what_was_written_before_the_end_is_told(end, sentence):
    def sampler(networks, z, condition):
        if len(z) < 1000:
            raise end
        return torch.zeros(len(z), 1, 2, 2)

    with pytest.raises((cli.Ended, OSError), match=re.escape(sentence)):
        commands.write_folder(toy(sampler=sampler, labelled=False, shape=(1, 2, 2)), 1500, None, 0, Path("out"))
    assert len(list(Path("out").iterdir())) == 1000
    with pytest.raises(type(end)):
        commands.write_array(toy(sampler=sampler, labelled=False, shape=(1, 2, 2)), 1500, None, 0, Path("a.npy"))
    assert not [path for path in Path().iterdir() if path.name != "out"]


def test_samples_may_be_called_in_capitals_and_replace_no_pipe(capsys):
    assert (
        run("sample", "mlp", "--n", 4, "--out", "A.PNG") == 0 and run("sample", "mlp", "--n", 4, "--out", "B.NPY") == 0
    )
    assert Image.open("A.PNG").format == "PNG" and np.load("B.NPY").shape[0] == 4
    os.mkfifo("pipe.png")
    assert run("sample", "mlp", "--out", "pipe.png") == 1 and "not a regular file" in capsys.readouterr().err
    assert Path("pipe.png").is_fifo()


def test_an_array_is_what_numpy_would_have_saved():
    commands.write_array(toy(), 2500, None, 0, Path("a.npy"))
    expected = io.BytesIO()
    np.save(expected, toy().sample(2500).numpy())
    assert Path("a.npy").read_bytes() == expected.getvalue()


@pytest.mark.parametrize(
    "error, is_lack",
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB.", True),
        ("MPS backend out of memory (MPS allocated: 8 GB).", True),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes. Error code 12", True),
        ("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.", True),  # Windows
        ("CUDA error: an illegal memory access was encountered", False),
    ],
)
def test_a_lack_of_memory_is_told_from_a_fault_in_memory(error, is_lack, monkeypatch, capsys):
    def fails(options):
        raise RuntimeError(error)

    monkeypatch.setattr(commands, "sample", fails)
    with contextlib.nullcontext() if is_lack else pytest.raises(RuntimeError, match="illegal memory access"):
        assert run("sample", "mlp", "--out", "a.npy") == 1
    assert ("There is not enough memory" in capsys.readouterr().err) is is_lack


def test_as_many_training_images_as_there_are_beside_more_to_compare_with(pets, small, capsys):
    """30 pictures a class to compare with, and 14 to train on."""
    paint(Path("few"))
    words = ("--data", "few", "--batch-size", 8, "--steps", 1, "--out", "a.safetensors")
    assert run("train", "mlp", *small[2:], *words) == 0
    for words, n, noted in (((), 42, False), (("--n", 60), 60, True)):
        capsys.readouterr()
        assert run("evaluate", "a.safetensors", "--against", pets, *words) == 0
        told = capsys.readouterr().out
        assert f"the model: {n} samples, {n} of pets" in told and "training images: 42 samples, 42 of pets" in told
        assert (f"only 42 training images, for {n} samples" in told) is noted


def test_damaged_weights_make_no_samples():
    made = toy(sampler=lambda networks, z, condition: torch.full((len(z), 3, 2, 4), float("nan")))
    with pytest.raises(ValueError, match="not finite"):
        commands.write_array(made, 2, None, 0, Path("a.npy"))
    assert not list(Path().iterdir())


def test_more_than_fits_is_refused_with_the_number_that_fits(capsys):
    commands.refuse_above(10, 100, 1000, "in memory")
    with pytest.raises(ValueError, match="11 samples take .* in memory: expected --n 10 or less"):
        commands.refuse_above(11, 100, 1000, "in memory")
    with pytest.raises(ValueError, match="A sample takes 100 bytes, and 99 bytes are free in memory"):
        commands.refuse_above(11, 100, 99, "in memory")
    assert 2**20 < commands.available_memory() < 2**50
    for place in ("a.npy", "a.png", "many/"):
        assert run("sample", "mlp", "--n", 10**15, "--out", place) == 1
        told = capsys.readouterr().err
        assert 0 < int(re.search(r"expected --n (\d+) or less", told)[1]) < 10**15
    assert not list(Path().iterdir())


# -------------------------------------------------------------------------------------------------- what it refuses

FORTY = [
    # code, words, what the sentence says
    (2, [], "required: COMMAND"),
    (2, ["sing"], "invalid choice: 'sing'"),
    (2, ["--out", "a"], "invalid choice: 'a'"),
    (2, ["recipes", "more"], "unrecognized arguments: more"),
    (1, ["train"], "Name a recipe to train, one of mlp"),
    (2, ["train", "nobody"], "unknown recipe 'nobody'; expected one of mlp"),
    (2, ["train", "mlp", "--steps", "0"], "whole number from 1 to 10^15, got 0"),
    (2, ["train", "mlp", "--steps", "1.5"], "got 1.5"),
    (2, ["train", "mlp", "--steps", "+-5"], "whole number from 1 to 10^15, got +-5"),
    (2, ["train", "mlp", "--steps", str(2**63)], "got 9223372036854775808"),
    (2, ["train", "mlp", "--steps", "9" * 5000], "got 999"),
    (2, ["train", "mlp", "--seconds", "nan"], "positive number, got nan"),
    (2, ["train", "mlp", "--seconds", "inf"], "positive number, got inf"),
    (2, ["train", "mlp", "--steps", "2", "--seconds", "2"], "not allowed with argument"),
    (2, ["train", "mlp", "--seed", "-1"], "whole number from 0 to 10^15, got -1"),
    (2, ["train", "mlp", "--step", "3"], "unrecognized arguments: --step"),
    (2, ["train", "mlp", "--every", "0"], "positive number, got 0"),
    (2, ["train", "mlp", "--lr", "-0.1"], "positive number, got -0.1"),
    (2, ["train", "mlp", "--batch-size", "zero"], "got zero"),
    (2, ["train", "mlp", "--size", "0"], "size from 4 to 4096 such as 64 or 48x80, got 0"),
    (2, ["train", "mlp", "--size", "1x2x3"], "got 1x2x3"),
    (2, ["train", "mlp", "--channels", "2"], "invalid choice: 2"),
    (2, ["train", "mlp", "--accelerate", "magic"], "unknown acceleration 'magic'"),
    (2, ["train", "--accelerate", "fused", "mlp"], "mlp is a recipe: put it first"),
    (2, ["train", "mlp", "--steps", "\x1b[31m"], "got ?[31m"),
    (1, ["train", "mlp", "--data", "nowhere"], "There is no folder nowhere: expected one with images, or --data mnist"),
    (1, ["train", "mlp", "--data", "folder"], "folder"),
    (1, ["train", "mlp", "--data", "full"], "no picture"),
    (1, ["train", "mlp", "--data", "flowers", "--size", "20x30"], "expected one --size, got 20x30"),
    (1, ["train", "mlp", "--data", "hello.txt"], "There is no folder hello.txt"),
    (1, ["train", "mlp", "--data", "synthetic", "--size", "64"], "--size can be chosen for a folder of images"),
    (1, ["train", "mlp", "--out", "none/a.safetensors"], "There is no folder none"),
    (1, ["train", "mlp", "--out", "hello.txt/a"], "There is no folder hello.txt"),
    (1, ["train", "mlp", "--out", "there.safetensors"], "already exists. Continue with --resume there.safetensors"),
    (2, ["train", "mlp", "--out", ""], "name of a file or folder, got ''"),
    (2, ["train", "mlp", "--data", ""], "name of a file or folder, got ''"),
    (2, ["sample", "mlp", "--out", "a\0.png"], "name of a file or folder, got 'a\\x00.png'"),
    (1, ["train", "mlp", "--evaluate", "1"], "Expected --evaluate 0, or 2 samples or more"),
    (1, ["train", "mlp", "--out", "folder"], "folder already exists. Name another file"),
    (1, ["train", "mlp", "--pictures", "hello.txt"], "hello.txt is a file"),
    (1, ["train", "mlp", "--pictures", "full"], "full has the losses of another training"),
    (1, ["train", "--resume", "nowhere"], "There is no file nowhere"),
    (1, ["train", "--resume", "hello.txt"], "is not a model of this package"),
    (1, ["train", "wgan-gp", "--resume", "there.safetensors"], "trained with the recipe mlp, not the recipe wgan-gp"),
    (
        1,
        ["train", "--resume", "there.safetensors", "--data", "mnist"],
        "trained with --data synthetic, not --data mnist",
    ),
    (1, ["train", "--resume", "there.safetensors", "--out", "hello.txt"], "hello.txt already exists"),
    (1, ["train", "--resume", "there.safetensors", "--out", "none/a"], "There is no folder none"),
    (1, ["train", "--resume", "there.safetensors", "--accelerate", "graphs"], "Only CUDA records updates as graphs"),
    (1, ["train", "--resume", "trained.safetensors", "--steps", "1"], "has 2 steps in"),
    (2, ["sample", "mlp"], "required: --out"),
    (2, ["sample", "mlp", "--n", "-5", "--out", "a.png"], "got -5"),
    (
        1,
        ["sample", "nowhere", "--out", "a.png"],
        "There is no file nowhere, and the models that ship with the package are",
    ),
    (1, ["sample", "mlp", "--out", "a.gif"], "Expected --out FILE.png, FILE.npy or DIRECTORY/, got a.gif"),
    (1, ["sample", "mlp", "--out", "none/a.png"], "There is no folder none"),
    (1, ["sample", "mlp", "--out", "none/more/"], "There is no folder none"),
    (1, ["sample", "mlp", "--out", "full/"], "full is not an empty folder"),
    (1, ["sample", "mlp", "--out", "hello.txt/"], "hello.txt is not an empty folder"),
    (1, ["sample", "mlp", "--label", "3", "--out", "a.png"], "unconditional: leave --label out"),
    (1, ["sample", "conditional", "--label", "12", "--out", "a.png"], "Expected a label from 0 to 9; got 12"),
    (1, ["evaluate", "hello.txt"], "is not a model of this package"),
    (1, ["evaluate", "mlp", "--against", "nowhere"], "There is no folder nowhere"),
    (1, ["evaluate", "mlp", "--against", "synthetic", "--n", "10001"], "expected --n 10000 or less"),
    (2, ["evaluate", "mlp", "--n", "1"], "whole number from 2"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A file at its start, and one after two steps."""
    made, here = Trainer(recipes.MLP, commands.packaged("synthetic")), tmp_path_factory.mktemp("trained")
    checkpoint.save(made, here / "there.safetensors")
    made.run(steps=2)
    checkpoint.save(made, here / "trained.safetensors")
    return [path.resolve() for path in here.iterdir()]


@pytest.mark.parametrize("code, words, sentence", FORTY)
def test_mistakes_get_a_sentence_and_leave_everything_as_it_was(code, words, sentence, trained, capsys, folder):
    for path in trained:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "hello.txt").write_text("hello")
    (folder / "folder").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "losses.csv").write_text("else")
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    assert run(*words) == code
    told = capsys.readouterr()
    assert (
        sentence.lower() in told.err.lower()
        and "Traceback" not in told.err
        and "\x1b" not in told.err
        and len(told.err) < 600
    )
    assert told.out == ""
    assert {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")} == before


# -------------------------------------------------------------------------------- what can happen while it trains


def test_a_save_that_fails_costs_a_warning_and_not_the_training(capsys, folder):
    trainer = Trainer(recipes.MLP, few)
    keeper = commands.Keeper(Path("gone/a.safetensors"), trainer, {"steps": 2, "seconds": None}, 60, {})
    trainer.run(steps=2)
    made = trainer.model()
    keeper.try_to_save(trainer, made)
    told = capsys.readouterr().err
    assert "Warning: gone/a.safetensors" in told and "the state after 0 steps" in told and "next try is in 60 s" in told
    assert not keeper.save_somewhere(trainer, made)  # elsewhere, then: it is told where
    told = capsys.readouterr().err
    (kept,) = folder.glob("a-*.safetensors")
    assert f"All 2 steps were saved to {kept} instead. gone/a.safetensors holds the state after 0 steps" in told
    assert card_of(kept)["step"] == 2
    Path("gone").mkdir()
    keeper.try_to_save(trainer, made)
    assert keeper.save_somewhere(trainer, made) and card_of("gone/a.safetensors")["goal"]["steps"] == 2
    assert keeper.steps == 2 and not capsys.readouterr().err


def test_text_is_taken_whatever_the_stream_can_show():
    under = io.BytesIO()
    output = cli.Output(io.TextIOWrapper(under, encoding="ascii"))
    print("Fréchet", file=output, flush=True)
    assert under.getvalue() == b"Fr?chet\n" and output.error is None

    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    output = cli.Output(Broken())
    print("one", file=output)
    print("two", file=output, flush=True)
    assert isinstance(output.error, BrokenPipeError)
    print("nowhere", file=cli.Output(None))


def test_strings_of_a_card_do_not_reach_the_terminal_raw(capsys):
    cli.say("\x1b]0;title\x07 and \x9b31m, but\n\ttabs")
    assert capsys.readouterr().out == "?]0;title? and ?31m, but\n\ttabs\n"


LAUNCH = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN if sys.argv[1] == "background" else signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@contextlib.contextmanager
def started(*words, where="foreground", python=("-m", "gan_tutorial"), **settings):
    """A process of its own: in the background of a script, where Ctrl-C is ignored, or not."""
    words = [sys.executable, "-c", LAUNCH, where, *python, *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **settings}
    process = subprocess.Popen(words, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


LONG = ("--steps", 10**9)


def first_save(process):
    """Wait for the line that it prints after its first periodic save."""
    return next((line for line in process.stdout if re.match("[0-9,]+ steps? in", line)), "")


@pytest.mark.parametrize(
    "number, where, code",
    [
        (signal.SIGINT, "foreground", 130),
        (signal.SIGTERM, "background", 143),
        (signal.SIGHUP, "background", 129),
    ],
)
def test_a_signal_ends_a_training_and_it_is_saved(number, where, code, train, small):
    with started("train", "mlp", *small, *LONG, "--every", 0.1, "--out", "a.safetensors", where=where) as process:
        assert first_save(process)
        process.send_signal(number)
        out, err = process.communicate(timeout=300)
    assert process.returncode == code and err == ""
    last = out.splitlines()[-1]
    assert last.endswith("Saved. Continue with: python -m gan_tutorial train --resume a.safetensors")
    card, tensors = checkpoint.read("a.safetensors")
    assert re.match(f"{card['step']:,} steps? in", last) and len(tensors["log.critic.game"]) == card["step"] > 0
    assert os.listdir() == ["a.safetensors"]
    assert train("--resume", "a.safetensors", "--steps", card["step"] + 1) == 0


def test_a_second_signal_ends_it_at_once_and_says_what_the_file_holds():
    words = ("dcgan", *LONG, "--evaluate", 0, "--every", 1e-9, "--out", "a.safetensors")
    words = (*words, "--data", "synthetic", "--batch-size", 1500)  # steps of a second or more
    with started("train", *words, where="background") as process:
        assert first_save(process).startswith("1 step in")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=300)
    assert process.returncode in (143, 129) and "Traceback" not in err
    step = card_of("a.safetensors")["step"]
    assert err == f"Ended at once. a.safetensors holds the state after {step:,} step{'s' * (step != 1)}.\n"
    assert os.listdir() == ["a.safetensors"]


def test_ctrl_c_while_torch_is_imported_is_no_traceback():
    Path("torch.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    path = os.pathsep.join([os.getcwd(), os.environ["PYTHONPATH"]])
    with started("sample", "mlp", "--out", "a.npy", env={**os.environ, "PYTHONPATH": path}) as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGINT and out == err == ""  # a shell says 130


def test_a_training_does_not_end_with_its_reader(small):
    """train … | head -1"""
    words = ("--steps", 60, "--every", 1e-9, "--out", "a.safetensors")
    with started("train", "mlp", *small, *words) as process:
        assert first_save(process).startswith("1 step in")
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(timeout=300) == 0 and err == ""
    assert card_of("a.safetensors")["step"] == 60


def test_a_folder_that_goes_away_while_it_trains(small):
    Path("here").mkdir()
    with started("train", "mlp", *small, *LONG, "--every", 0.2, "--out", "here/a.safetensors") as process:
        first_save(process)
        os.rename("here", "there")
        assert "Warning: here/a.safetensors" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 1 and "instead" in err
    (kept,) = Path().glob("a-*.safetensors")
    assert card_of(kept)["step"] > card_of("there/a.safetensors")["step"] > 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_lost_output_is_an_error_where_output_is_what_was_asked_for(capsys, small):
    def lost(*words):
        with contextlib.suppress(OSError), open("/dev/full", "w") as full, contextlib.redirect_stdout(full):
            code = run(*words)
        assert capsys.readouterr().err == "The output could not be written (No space left on device).\n"
        return code

    assert lost("recipes") == 1
    assert lost("train", "mlp", *small, "--steps", 1, "--out", "a.safetensors") == 0
    assert card_of("a.safetensors")["step"] == 1


def test_streams_that_are_closed(train):
    with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
        assert run("sing") == 2 and run("recipes") == 0
        assert train("mlp", "--steps", 1, "--every", 1e-9, "--out", "a.safetensors") == 0
