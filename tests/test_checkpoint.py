"""Files of trainings: going on is as if never stopped, and whatever kills a process leaves a file that can be read."""

import json
import os
import random
import signal
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import gan_tutorial as gt
from gan_tutorial import checkpoint
from gan_tutorial.recipes import CONDITIONAL, DCGAN, RECIPES, WGAN_GP, Trainer

digits = gt.data.synthetic_digits(200, seed=0)


@pytest.fixture(autouse=True)
def ctrl_c():
    """Ctrl-C as usual: background jobs ignore it, and so would what they start."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


def test_where_ctrl_c_is_ignored_it_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    training = Trainer(DCGAN, digits)
    training.run(steps=2, hooks=[lambda step, log: os.kill(os.getpid(), signal.SIGINT)])
    assert training.steps == 2 and not training.interrupted


def everything(training, folder):
    """All tensors that a training consists of, by way of a file, and what its card says of its place."""
    checkpoint.save(training, folder / "all.safetensors")
    card, tensors = checkpoint.read(folder / "all.safetensors")
    return {name: card[name] for name in ("recipe", "step", "seed", "data", "synthetic", "images")}, tensors


def same(one, other):
    return (
        one[0] == other[0]
        and one[1].keys() == other[1].keys()
        and all(torch.equal(value, other[1][name]) for name, value in one[1].items())
    )


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_going_on_is_as_if_never_stopped(recipe, tmp_path):
    whole = Trainer(recipe, digits, seed=3)
    whole.run(steps=5)
    part = Trainer(recipe, digits, seed=3)
    part.run(steps=2)
    checkpoint.save(part, tmp_path / "part.safetensors")
    torch.manual_seed(99)  # nobody else's random numbers matter
    rest = checkpoint.resume(tmp_path / "part.safetensors", digits)
    assert same(everything(part, tmp_path), everything(rest, tmp_path)) and rest.seconds > 0
    rest.run(steps=5)
    assert same(everything(whole, tmp_path), everything(rest, tmp_path))
    assert len(next(iter(rest.log.values()))["game"]) == 5
    part.run(steps=5)  # and so is going on without a file
    assert same(everything(whole, tmp_path), everything(part, tmp_path))


def test_saving_while_it_trains_changes_nothing(tmp_path):
    quiet, saved = Trainer(DCGAN, digits), Trainer(DCGAN, digits)
    quiet.run(steps=4)
    saved.run(steps=4, save=lambda t: checkpoint.save(t, tmp_path / "now.safetensors"), every=1e-9)
    assert same(everything(quiet, tmp_path), everything(saved, tmp_path))
    assert checkpoint.read(tmp_path / "now.safetensors")[0]["step"] == 4


def test_what_saving_takes_is_no_training():
    training = Trainer(DCGAN, digits)
    start = time.perf_counter()
    training.run(steps=3, save=lambda t: time.sleep(0.4), every=1e-9)
    assert training.seconds < time.perf_counter() - start - 1.1


def test_a_file_samples_as_the_training_did(tmp_path):
    training = Trainer(CONDITIONAL, digits)
    training.run(steps=2)
    checkpoint.save(training, tmp_path / "model.safetensors", goal={"steps": 2})
    made, loaded = training.trained(), checkpoint.load(tmp_path / "model.safetensors")
    label = torch.arange(20) % 10
    assert torch.equal(made.sample(20, label), loaded.sample(20, label))
    assert loaded.steps == 2 and loaded.log["generator"]["game"].shape == (2,) and not loaded.generator.training
    card = checkpoint.read(tmp_path / "model.safetensors")[0]
    assert card["data"] == "synthetic" and card["goal"] == {"steps": 2} and gt.__version__ in card["code"]
    assert card["machine"].endswith(f"torch {torch.__version__}")


def test_ctrl_c_ends_after_a_whole_step_and_the_rest_is_the_same(tmp_path):
    training, whole = Trainer(DCGAN, digits), Trainer(DCGAN, digits)
    before = signal.getsignal(signal.SIGINT)
    training.run(steps=6, hooks=[lambda step, log: step == 2 and os.kill(os.getpid(), signal.SIGINT)])
    assert training.interrupted and training.steps == 3 and signal.getsignal(signal.SIGINT) is before
    training.run(steps=6)
    whole.run(steps=6)
    assert not training.interrupted and same(everything(whole, tmp_path), everything(training, tmp_path))


def test_a_second_ctrl_c_does_not_wait():
    def twice(step, log):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        Trainer(DCGAN, digits).run(steps=6, hooks=[twice])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_killed_at_any_moment_leaves_a_file_to_go_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(gt.recipes, "SETTLING", 1)  # so that it saves often
    path, moments = tmp_path / "killed.safetensors", random.Random(0)
    training = Trainer(WGAN_GP, digits)
    checkpoint.save(training, path)
    steps = []
    for _ in range(20):
        child = os.fork()
        if child == 0:  # goes on where the last one was killed, and saves after every step
            try:
                torch.set_num_threads(1)
                checkpoint.resume(path, digits).run(steps=10**6, save=lambda t: checkpoint.save(t, path), every=1e-9)
            finally:
                os._exit(0)
        time.sleep(moments.uniform(0.1, 0.6))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        steps.append(checkpoint.resume(path, digits).steps)
    assert steps == sorted(steps) and steps[-1] > 5
    assert all(p == path or p.suffix == ".part" for p in tmp_path.iterdir())
    rest, whole = checkpoint.resume(path, digits), Trainer(WGAN_GP, digits)
    whole.run(steps=steps[-1])
    assert same(everything(whole, tmp_path), everything(rest, tmp_path))


def test_a_failure_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "good.safetensors"
    training = Trainer(DCGAN, digits)
    checkpoint.save(training, path)
    good = path.read_bytes()

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="good.safetensors could not be written .*No space left"):
        checkpoint.save(training, path)
    assert path.read_bytes() == good and [p.name for p in tmp_path.iterdir()] == ["good.safetensors"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="folder that exists"):
        checkpoint.save(Trainer(DCGAN, digits), tmp_path / "none" / "a.safetensors")


def test_a_spoilt_state_does_not_take_the_place_of_a_good_one(tmp_path):
    path, training = tmp_path / "good.safetensors", Trainer(DCGAN, digits)
    training.run(steps=1)
    checkpoint.save(training, path)
    next(training.players[0].net.parameters()).data[0] = torch.nan
    with pytest.raises(ValueError, match="is not finite any more"):
        checkpoint.save(training, path)
    assert checkpoint.resume(path, digits).steps == 1


def test_what_is_read_is_a_copy_of_the_file(tmp_path):
    path, training = tmp_path / "a.safetensors", Trainer(DCGAN, digits)
    training.run(steps=1)
    checkpoint.save(training, path)
    training = checkpoint.resume(path, digits)
    os.truncate(path, 0)  # under a view of the file, the next step would end the process
    training.run(steps=2)
    assert oct(path.stat().st_mode & 0o777) == oct(0o666 & ~umask())


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_hook_may_stop_it_and_the_rest_is_the_same(tmp_path):
    def stop(step, log):
        raise gt.Stop

    stopped, whole = Trainer(DCGAN, digits), Trainer(DCGAN, digits)
    stopped.run(steps=5, hooks=[stop])
    assert stopped.steps == len(stopped.log["critic"]["game"]) == 1 and not stopped.interrupted
    stopped.run(steps=3)
    whole.run(steps=3)
    assert same(everything(whole, tmp_path), everything(stopped, tmp_path))


def rewritten(path, card=None, keep=lambda name: True):
    """The file again with another card, or with some of its tensors."""
    with safe_open(path, "pt") as file:
        metadata = {checkpoint.CARD: json.dumps(json.loads(file.metadata()[checkpoint.CARD]) | (card or {}))}
        tensors = {name: file.get_tensor(name) for name in file.keys() if keep(name)}
    save_file(tensors, path, metadata)


def test_files_that_cannot_be_used_get_a_sentence(tmp_path):
    path = tmp_path / "a.safetensors"

    def refused(error, words, data=digits):
        with pytest.raises(error, match=words):
            checkpoint.resume(path, data)

    refused(FileNotFoundError, "no file")
    path.write_text("hello")
    refused(ValueError, "no model of this package, or it is damaged")
    save_file({"x": torch.ones(1)}, path)
    refused(ValueError, "another program")
    training = Trainer(DCGAN, digits)
    training.run(steps=1)
    checkpoint.save(training, path)
    whole = path.read_bytes()
    for end in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        refused(ValueError, "damaged")
    path.write_bytes(whole)
    refused(ValueError, "was trained on 200 samples of drawn, not on 100 of drawn", digits[:100])
    rewritten(path, {"format": checkpoint.FORMAT + 1})
    refused(ValueError, "newer version")
    path.write_bytes(whole)
    rewritten(path, {"recipe": "nobody"})
    refused(ValueError, "no recipe 'nobody'")
    for name in ("recipe", "step", "settings", "synthetic"):
        path.write_bytes(whole)
        rewritten(path, {name: ["x"]})
        refused(ValueError, f"no proper entry for {name}")
    path.write_bytes(whole)
    rewritten(path, {"settings": {"batch": 32}})
    refused(ValueError, "other networks or settings")
    for part in ("critic.optimizer.", "log.generator.", "log."):
        path.write_bytes(whole)
        rewritten(path, keep=lambda name, part=part: not name.startswith(part))
        refused(ValueError, "only a part of its training")
    path.write_bytes(whole)
    rewritten(path, {"recipe": "conditional"})
    with pytest.raises(ValueError, match="another version of its recipe"):
        checkpoint.load(path)
    path.write_bytes(whole)
    rewritten(path, keep=lambda name: name.startswith("model."))
    refused(ValueError, "no training to go on with")
    assert checkpoint.load(path).sample(2).shape == (2, 1, 28, 28)
