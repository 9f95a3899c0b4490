"""An atomic write leaves the old file or the new one, under faults at every step and under kills."""

import errno
import os
import stat
import subprocess
import sys
import threading

import pytest

from gan_tutorial import atomic

OLD, NEW = b"old " * 1000, b"new " * 3000


@pytest.fixture
def path(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    return tmp_path / "file"


def test_it_writes_a_new_file_and_replaces_an_old_one(tmp_path):
    for content in (b"", OLD, NEW, b"\0"):
        atomic.write(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    atomic.write(str(tmp_path / "named by a string"), OLD)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "named by a string"]


def fails(code, function, at):
    """`function`, which fails at its call number `at` (from 0)."""
    calls = iter(range(at + 1))

    def replacement(*arguments, **options):
        if next(calls, None) == at:
            raise OSError(code, os.strerror(code))
        return function(*arguments, **options)

    return replacement


STEPS = [("open", 0), ("fstat", 0), ("fsync", 0), ("replace", 0)]


@pytest.mark.parametrize("step, at", STEPS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_fault_before_the_end_leaves_the_old_file_and_nothing_else(path, monkeypatch, step, at, code):
    monkeypatch.setattr(os, step, fails(code, getattr(os, step), at))
    with pytest.raises(OSError) as caught:
        atomic.write(path, NEW)
    assert caught.value.errno == code
    assert path.read_bytes() == OLD and os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("step, at", [("open", 1), ("fsync", 1)])
def test_a_fault_when_the_folder_is_flushed_is_said_and_leaves_the_new_file(path, monkeypatch, step, at):
    monkeypatch.setattr(os, step, fails(errno.EIO, getattr(os, step), at))
    with pytest.raises(OSError):
        atomic.write(path, NEW)
    assert path.read_bytes() == NEW and os.listdir(path.parent) == ["file"]


def test_a_file_system_that_cannot_flush_folders_is_no_fault(path, monkeypatch):
    monkeypatch.setattr(os, "fsync", fails(errno.EINVAL, os.fsync, 1))
    atomic.write(path, NEW)
    assert path.read_bytes() == NEW


def test_ctrl_c_leaves_nothing_behind(path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        atomic.write(path, NEW)
    assert path.read_bytes() == OLD and os.listdir(path.parent) == ["file"]


def child(source, *arguments):
    """Run a piece of Python that writes NEW to the file at sys.argv[1]."""
    start = "import os, resource, signal, sys, importlib.util as u\n"
    start += f"spec = u.spec_from_file_location('atomic', {atomic.__file__!r}); atomic = u.module_from_spec(spec)\n"
    start += f"spec.loader.exec_module(atomic); path = sys.argv[1]; NEW = {NEW!r}\n"
    command = [sys.executable, "-c", start + source, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_disk_that_is_really_full(path):
    """The write itself fails, after some of it: no file may grow beyond 5000 bytes."""
    assert len(NEW) > 5000
    limited = "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
    result = child(limited + "atomic.write(path, NEW)", path)
    assert "File too large" in result.stderr
    assert path.read_bytes() == OLD and os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize(
    "step, at, left", [("open", 0, OLD), ("fsync", 0, OLD), ("replace", 0, OLD), ("fsync", 1, NEW)]
)
def test_killed_at_a_step(path, step, at, left):
    """What a reader finds afterwards is whole, and the next write is not disturbed by what was left behind."""
    killed = f"calls, real = iter(range(9)), os.{step}\n"
    killed += f"def kill(*a, **k):\n    if next(calls) == {at}: os.kill(os.getpid(), 9)\n    return real(*a, **k)\n"
    result = child(killed + f"os.{step} = kill\natomic.write(path, NEW)", path)
    assert result.returncode == -9
    assert path.read_bytes() == left
    atomic.write(path, NEW)
    assert path.read_bytes() == NEW


def test_permissions_are_kept_and_a_new_file_gets_the_usual_ones(path):
    path.chmod(0o640)
    atomic.write(path, NEW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    before = os.umask(0o027)
    try:
        atomic.write(path.with_name("fresh"), NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.with_name("fresh").stat().st_mode) == 0o640


def test_it_writes_through_a_link(path, tmp_path):
    (tmp_path / "folder").mkdir()
    link = tmp_path / "folder" / "link"
    link.symlink_to("../file")
    atomic.write(link, NEW)
    assert link.is_symlink() and path.read_bytes() == NEW and os.listdir(tmp_path / "folder") == ["link"]
    (tmp_path / "folder" / "dangling").symlink_to("../not yet")
    atomic.write(tmp_path / "folder" / "dangling", NEW)
    assert (tmp_path / "not yet").read_bytes() == NEW


def test_a_link_that_lies_in_wait_is_not_followed(path, monkeypatch):
    victim = path.with_name("victim")
    victim.write_bytes(OLD)
    monkeypatch.setattr("secrets.token_hex", lambda n: "known")
    path.with_name(".known.part").symlink_to(victim)
    with pytest.raises(FileExistsError):
        atomic.write(path, NEW)
    assert victim.read_bytes() == OLD and path.read_bytes() == OLD


def test_loops_and_folders_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        atomic.write(tmp_path / "a", NEW)
    with pytest.raises(IsADirectoryError):
        atomic.write(tmp_path, NEW)
    with pytest.raises(FileNotFoundError):
        atomic.write(tmp_path / "missing" / "file", NEW)
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_many_writers_never_show_half_a_file(path):
    """Eight threads write eight contents; each reader sees one of them, whole."""
    contents = [bytes([65 + n]) * 50_000 for n in range(8)]
    atomic.write(path, contents[0])
    writers = [threading.Thread(target=lambda c=c: [atomic.write(path, c) for _ in range(10)]) for c in contents]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(path.read_bytes())
    assert seen <= set(contents) and os.listdir(path.parent) == ["file"]


def test_the_tools_can_load_it_alone():
    """By its path, in a Python that has neither torch nor the package's other modules."""
    result = child("assert 'torch' not in sys.modules and 'gan_tutorial' not in sys.modules", "nowhere")
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_or_a_device_is_never_replaced(tmp_path):
    """Root could: a file took the place of the null device."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match="not a regular file"):
            atomic.write(tmp_path / name, NEW)
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode) and (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


# ------------------------------------------------------------------------------------------------- a file in pieces


def test_a_file_in_pieces_appears_at_the_end_of_the_block(path):
    path.chmod(0o640)
    with atomic.replacing(path) as file:
        for start in range(0, len(NEW), 1000):
            file.write(NEW[start : start + 1000])
            assert path.read_bytes() == OLD
    assert path.read_bytes() == NEW and os.listdir(path.parent) == ["file"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, GeneratorExit])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(path, error):
    with pytest.raises(error), atomic.replacing(path) as file:
        file.write(NEW[:100])
        raise error
    assert path.read_bytes() == OLD and os.listdir(path.parent) == ["file"]


def test_what_may_be_lost_in_a_power_cut_is_not_waited_for(path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("waited for the disk"))
    atomic.write(path, NEW, flush=False)
    assert path.read_bytes() == NEW and os.listdir(path.parent) == ["file"]


def test_what_killed_processes_left_goes_away_after_an_hour(tmp_path):
    parts = [tmp_path / f".{c * 32}.part" for c in "0a"]
    other = tmp_path / "notes.part"
    for part in (*parts, other):
        part.write_bytes(b"half")
    ago = os.stat(other).st_mtime - 2 * atomic.STALE
    for part in (parts[0], other):
        os.utime(part, (ago, ago))
    atomic.discard_parts(tmp_path)
    assert sorted(tmp_path.iterdir()) == [parts[1], other]
    atomic.discard_parts(tmp_path / "nowhere")


def test_where_modes_cannot_be_set(tmp_path, monkeypatch):
    """A Windows drive under WSL and a share answer EPERM, even to the mode that a file has."""

    def refused(descriptor, mode):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refused)
    path = tmp_path / "a.txt"
    for content in (b"first", b"second"):
        atomic.write(path, content)
        assert path.read_bytes() == content
        path.chmod(0o600)  # other than the new file's
