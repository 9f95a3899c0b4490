"""Where a training writes: tried before it starts, its own while it lasts, and never half a file."""

import errno
import os
import signal
import stat
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import gan_tutorial as gt
from gan_tutorial import atomic, cache, checkpoint, commands, files, output
from gan_tutorial.recipes import MLP
from gan_tutorial.training import Spec, Trainer

resource = pytest.importorskip("resource")  # this system has no limits, nor fork
points = gt.Data("points", torch.randn(200, 2, generator=torch.Generator().manual_seed(0)))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------------------------------------------ faults while saving


@pytest.mark.parametrize(
    "step, at, left",
    [("open", 0, "old"), ("fstat", 0, "old"), ("fsync", 0, "old"), ("replace", 0, "old"), ("fsync", 1, "new")],
)
def test_a_fault_at_any_step_of_a_save_leaves_a_whole_file(step, at, left, tmp_path, monkeypatch):
    path, trainer = tmp_path / "a.safetensors", Trainer(MLP, points)
    checkpoint.save(trainer, path)
    trainer.run(steps=1)
    model, real, calls = trainer.model(), getattr(os, step), iter(range(at + 1))

    def fails(*arguments, **options):
        if next(calls, None) == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(os, step, fails)
    with pytest.raises(
        OSError, match="a.safetensors cannot be written .No space left on device.. Name a file in a fold"
    ):
        checkpoint.save(trainer, path, model)
    monkeypatch.undo()
    assert names(tmp_path) == ["a.safetensors"]
    assert checkpoint.resume(path, points).steps == {"old": 0, "new": 1}[left]
    checkpoint.save(trainer, path)
    assert checkpoint.resume(path, points).steps == 1


# ---------------------------------------------------------------------------------------------- known before training


def bad_places(folder):
    (folder / "file").write_text("x")
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    os.mkfifo(folder / "pipe")
    return [
        folder / "none" / "a.safetensors",
        folder / "file" / "a.safetensors",
        folder,
        folder / "one",
        folder / "pipe",
        folder / ("n" * 300),
        folder / "zero\0byte",
    ]


def test_a_place_that_cannot_be_written_to_is_known_before(tmp_path):
    places = bad_places(tmp_path)
    before = names(tmp_path)
    for place in places:
        for attempt in (lambda p: output.check_writable(p), lambda p: checkpoint.locked(p).__enter__()):
            with pytest.raises(OSError, match="cannot be written .*Name a file in a folder that exists") as failure:
                attempt(place)
            assert str(failure.value).isprintable()
        with pytest.raises(OSError, match="cannot be written"):  # and right it was
            output.write(b"content", place)
    assert names(tmp_path) == before


def test_a_place_that_can_be_written_to_stays_as_it_is(tmp_path):
    (tmp_path / "old").write_text("old")
    (tmp_path / "link").symlink_to("old")
    (tmp_path / "dangling").symlink_to("not yet")
    before = names(tmp_path)
    for name in ("old", "link", "dangling", "new", "n" * 255, "caf\udce9", "new\nline"):
        output.check_writable(tmp_path / name)
    assert names(tmp_path) == before and (tmp_path / "old").read_text() == "old"


class Forked:
    """A function in a process of its own, which needs no imports anew; `print` it to be heard."""

    def __init__(self, function):
        told, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(told)
                with os.fdopen(tell, "w", buffering=1) as say:
                    function(lambda text: print(text, file=say, flush=True))
            finally:
                os._exit(0)
        os.close(tell)
        self.told = os.fdopen(told)

    def hear(self) -> str:
        return self.told.readline().strip()

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.told.close()

    def end(self):
        os.waitpid(self.pid, 0)
        self.told.close()


def try_it(function, say):
    try:
        function()
        say("fine")
    except OSError as error:
        say(f"{type(error).__name__}: {error}")


def test_too_little_room_is_known_before(tmp_path):
    def small(say):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))
        try_it(lambda: output.check_writable(tmp_path / "a"), say)
        try_it(lambda: output.check_writable(tmp_path / "a", room=10**5), say)

    process = Forked(small)
    assert "a cannot be written (File too large)" in process.hear() and process.hear() == "fine"
    process.end()
    assert names(tmp_path) == []


def test_a_folder_of_somebody_else_is_known_before(tmp_path):
    def powerless(say):
        os.setuid(65534) if os.geteuid() == 0 else tmp_path.chmod(0o500)
        try_it(lambda: output.check_writable(tmp_path / "a"), say)

    process = Forked(powerless)
    assert "a cannot be written (Permission denied)" in process.hear()
    process.end()


# ------------------------------------------------------------------------------------------------------ one training


def test_one_file_has_one_training(tmp_path):
    path = tmp_path / "a.safetensors"
    (tmp_path / "link").symlink_to("a.safetensors")
    with checkpoint.locked(path):
        for other in (path, str(path), tmp_path / "." / "a.safetensors", tmp_path / "link"):
            with pytest.raises(
                BlockingIOError, match="Another training is writing to .*: wait until it ends, or write"
            ):
                with checkpoint.locked(other):
                    raise AssertionError
        with checkpoint.locked(tmp_path / "b.safetensors"):
            output.write(b"new", path)
    with checkpoint.locked(path):
        pass
    with pytest.raises(KeyboardInterrupt), checkpoint.locked(path):
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a.safetensors", "link"]


def test_another_process_is_told_at_once_and_a_killed_one_frees_the_file(tmp_path):
    path = tmp_path / "a.safetensors"

    def hold(say):
        with checkpoint.locked(path):
            say("mine")
            while True:
                time.sleep(1)

    first = Forked(hold)
    assert first.hear() == "mine"
    second = Forked(lambda say: try_it(lambda: hold(say), say))
    assert second.hear().startswith("BlockingIOError: Another training is writing to")
    second.end()
    first.kill()
    assert names(tmp_path) == [".a.safetensors.lock"]  # stale, and in nobody's way
    third = Forked(hold)
    assert third.hear() == "mine"
    third.kill()
    with checkpoint.locked(path):
        pass
    assert names(tmp_path) == []


def test_of_several_processes_the_first_one_takes_the_lock(tmp_path):
    def join(rank, say):
        meeting = f"file://{tmp_path}/meeting"
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
        with checkpoint.locked(tmp_path / "a"):
            torch.distributed.barrier()
            say(f"{rank}: {(tmp_path / '.a.lock').exists()}")
            torch.distributed.barrier()

    processes = [Forked(lambda say, rank=rank: join(rank, say)) for rank in (0, 1)]
    assert [process.hear() for process in processes] == ["0: True", "1: True"]
    for process in processes:
        process.end()


def test_what_killed_processes_were_writing_goes_away(tmp_path):
    old, young, foreign = (tmp_path / f".{c * 32}.part" for c in "abx")
    for part in (old, young, foreign):
        part.write_bytes(b"half")
    hours_ago = time.time() - 2 * atomic.STALE
    for part in (old, foreign):
        os.utime(part, (hours_ago, hours_ago))
    with checkpoint.locked(tmp_path / "a"):
        assert not old.exists() and young.exists() and foreign.exists()


# ----------------------------------------------------------------------------------------------- whoever else writes


def zeros(n, condition=None, seed=0):
    yield torch.zeros(n, 1, 4, 4)


MADE = SimpleNamespace(spec=Spec((1, 4, 4), 0, 1), pieces=zeros)
LOG = {"critic": {"game": torch.tensor([0.5, 0.25])}}


def training_pictures(path):
    gt.hooks.SampleGrids(path.parent, lambda: torch.zeros(2, 1, 4, 4), every=1)


def training_losses(path):
    gt.hooks.SampleGrids(path.parent, lambda: torch.zeros(2, 1, 4, 4), every=1, start=2, log=LOG)


WRITERS = {
    "a training's picture": ("step-0000000.png", training_pictures, b""),
    "a training's losses": ("losses.csv", training_losses, b"step,critic game\r\n1,0.5\r\n"),
    "samples as an array": ("a.npy", partial(commands.write_array, MADE, 2, None, 0), b"old"),
    "samples in a picture": ("a.png", partial(commands.write_grid, MADE, 2, None, 0), b"old"),
    "one sample of many": ("0.png", partial(commands.write_picture, np.zeros((1, 4, 4), np.uint8)), b"old"),
    "the cache": ("a-0.npz", lambda path: cache._write(path, {"a": torch.zeros(3)}), b"old"),
    "a download": ("digits.gz", lambda path: files.keep(path, b"new"), b"old"),
}


def another_place(folder, writer):
    """A folder with a link to a file elsewhere, of a mode of its own."""
    name, write, old = WRITERS[writer]
    (folder / "here").mkdir()
    (folder / "there").mkdir()
    target, link = folder / "there" / "file", folder / "here" / name
    target.write_bytes(old)
    target.chmod(0o640)
    link.symlink_to(target)
    return link, target, lambda: write(link), old


@pytest.mark.parametrize("writer", WRITERS)
def test_a_link_and_the_modes_of_a_file_are_kept(writer, tmp_path, monkeypatch):
    link, target, write, old = another_place(tmp_path, writer)
    # A name that can be foreseen was written through.
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    link.with_name(link.name + ".part").symlink_to(victim)
    write()
    assert link.is_symlink() and target.read_bytes() not in (b"", old)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640 and names(target.parent) == ["file"]
    assert victim.read_bytes() == b"untouched"
    assert {*names(link.parent)} - {"step-0000002.png"} == {link.name, f"{link.name}.part"}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(writer, tmp_path, monkeypatch):
    link, target, write, old = another_place(tmp_path, writer)

    def fails(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fails)
    try:
        write()
    except OSError as error:
        assert "No space left" in str(error)
    assert target.read_bytes() == old and names(target.parent) == ["file"] and names(link.parent) == [link.name]


def test_the_cache_forgets_what_killed_processes_left(tmp_path):
    old = tmp_path / f".{'0' * 32}.part"
    for write in (
        lambda: cache.kept(tmp_path, "a", "0", lambda: ({"a": torch.zeros(3)}, True), lambda found: True),
        lambda: files.keep(tmp_path / "digits.gz", b"new"),
    ):
        old.write_bytes(b"half")
        os.utime(old, (0, 0))
        write()
        assert not old.exists()
