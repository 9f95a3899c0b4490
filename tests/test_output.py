"""Where a training writes: tried before it starts, its own while it lasts, and never half a file."""

import errno
import os
import signal
import time

import pytest
import torch

import gan_tutorial as gt
from gan_tutorial import checkpoint, output
from gan_tutorial.recipes import MLP
from gan_tutorial.training import Trainer

resource = pytest.importorskip("resource")  # this system has no limits, nor fork
points = gt.Data("points", torch.randn(200, 2, generator=torch.Generator().manual_seed(0)))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------------------------------------------ faults while saving


@pytest.mark.parametrize(
    "step, at, left",
    [("open", 0, "old"), ("fchmod", 0, "old"), ("fsync", 0, "old"), ("replace", 0, "old"), ("fsync", 1, "new")],
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
        for attempt in (lambda p: output.test_write(p), lambda p: checkpoint.locked(p).__enter__()):
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
        output.test_write(tmp_path / name)
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
        try_it(lambda: output.test_write(tmp_path / "a"), say)
        try_it(lambda: output.test_write(tmp_path / "a", room=10**5), say)

    process = Forked(small)
    assert "a cannot be written (File too large)" in process.hear() and process.hear() == "fine"
    process.end()
    assert names(tmp_path) == []


def test_a_folder_of_somebody_else_is_known_before(tmp_path):
    def powerless(say):
        os.setuid(65534) if os.geteuid() == 0 else tmp_path.chmod(0o500)
        try_it(lambda: output.test_write(tmp_path / "a"), say)

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
    hours_ago = time.time() - 2 * output.STALE
    for part in (old, foreign):
        os.utime(part, (hours_ago, hours_ago))
    with checkpoint.locked(tmp_path / "a"):
        assert not old.exists() and young.exists() and foreign.exists()
