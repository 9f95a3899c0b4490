"""Files from a directory, the cache and mirrors, against a server on this machine that misbehaves in every way."""

import contextlib
import gzip
import hashlib
import http.server
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
import torch

from gan_tutorial import files

CONTENT = bytes(range(256)) * 200
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PACKED = gzip.compress(CONTENT, mtime=0)


def send(handler, body: bytes, promised: int | None = None):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) if promised is None else promised))
    handler.end_headers()
    handler.wfile.write(body)


def good(handler):
    send(handler, PACKED)


def unpacked(handler):
    send(handler, CONTENT)


def compressed_otherwise(handler):
    send(handler, gzip.compress(CONTENT, compresslevel=1, mtime=12345))


def gone(handler):
    handler.send_error(404)


def busy(handler):
    handler.send_error(503)


def truncated(handler):
    send(handler, PACKED[: len(PACKED) // 2], promised=len(PACKED))


def truncated_in_silence(handler):
    send(handler, PACKED[: len(PACKED) // 2])


def another_file(handler):
    send(handler, gzip.compress(b"another" + CONTENT))


def a_page(handler):
    send(handler, b"<html>Please log in to the network of this hotel.</html>")


def garbled(handler):
    send(handler, PACKED[:40] + bytes(100) + PACKED[140:])


def stalled(handler):
    send(handler, PACKED[:100], promised=len(PACKED))
    handler.server.released.wait(5)


def slow(handler):
    """Slower in all than the time limit for silence, but never silent for so long."""
    send(handler, b"", promised=len(PACKED))
    step = len(PACKED) // 32 + 1
    for k in range(0, len(PACKED), step):
        handler.wfile.write(PACKED[k : k + step])
        handler.wfile.flush()
        time.sleep(0.1)


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.released.is_set():
        handler.wfile.write(bytes(100_000))


def endless_and_promised_short(handler):
    """Chunked, without a length."""
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while not handler.server.released.is_set():
        handler.wfile.write(b"186a0\r\n" + bytes(100_000) + b"\r\n")


def trickle(handler):
    """Never silent for long, and never done."""
    send(handler, b"", promised=10**6)
    while not handler.server.released.wait(0.05):
        handler.wfile.write(b"x")
        handler.wfile.flush()


def trickling_headers(handler):
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
    while not handler.server.released.wait(0.05):
        handler.wfile.write(b"x")
        handler.wfile.flush()


def bomb(handler):
    """A few kilobytes that stand for ten megabytes."""
    send(handler, BOMB)


def bomb_on_the_way(handler):
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(BOMB)))
    handler.end_headers()
    handler.wfile.write(BOMB)


def around_in_circles(handler):
    handler.send_response(302)
    handler.send_header("Location", handler.path)
    handler.end_headers()


BOMB = gzip.compress(bytes(10_000_000), mtime=0)
MOST = 200_000  # bytes, in these tests


class Mirror:
    """A server that meets its k-th request with the k-th behaviour, and later ones with the last."""

    def __init__(self, *behaviours):
        mirror, self.asked, lock = self, [], threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                with lock:
                    mirror.asked.append(self.path)
                    turn = len(mirror.asked) - 1
                try:
                    behaviours[min(turn, len(behaviours) - 1)](self)
                except OSError:  # the client has hung up
                    pass

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.released = threading.Event()
        self.url = f"http://127.0.0.1:{self.server.server_port}/mnist/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self):
        self.server.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def mirror(monkeypatch):
    """Start mirrors that are closed after the test; there is no pause between rounds.

    Silence is cut off early where it is tested: others keep the usual limit, however busy this machine is.
    """
    monkeypatch.setattr(files, "PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    mirrors = []

    def start(*behaviours):
        limits = [{stalled: 1.0, slow: 2.0}.get(one, files.TIMEOUT[1]) for one in behaviours]
        monkeypatch.setattr(files, "TIMEOUT", (files.TIMEOUT[0], min(limits)))
        mirrors.append(Mirror(*behaviours))
        return mirrors[-1]

    yield start
    for each in mirrors:
        each.close()


def refused() -> str:
    """The address of a port where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


def get(directory, *mirrors, patience=300.0) -> bytes:
    return files.download(directory, "digits", SHA256, tuple(getattr(m, "url", m) for m in mirrors), MOST, patience)


def left_in(directory) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("behaviour", [good, unpacked, compressed_otherwise, slow])
def test_the_first_mirror_that_delivers_is_enough(mirror, tmp_path, behaviour):
    first, second = mirror(behaviour), mirror(good)
    assert get(tmp_path / "new", first, second) == CONTENT
    assert first.asked == ["/mnist/digits.gz"] and second.asked == []
    assert left_in(tmp_path / "new") == ["digits.gz"]
    assert files.from_cache(tmp_path / "new", {"digits": SHA256}) == {"digits": CONTENT}


@pytest.mark.parametrize(
    "behaviour",
    [
        *(gone, busy, truncated, truncated_in_silence, another_file, a_page, garbled, stalled),
        *(endless, endless_and_promised_short, bomb, bomb_on_the_way),
    ],
)
def test_the_next_mirror_is_asked_when_one_fails(mirror, tmp_path, behaviour):
    bad = mirror(behaviour)
    assert get(tmp_path, bad, mirror(good)) == CONTENT
    assert len(bad.asked) == 1 and left_in(tmp_path) == ["digits.gz"]


@pytest.mark.parametrize("behaviour", [trickle, trickling_headers])
def test_a_mirror_that_never_ends_is_left(mirror, tmp_path, behaviour):
    with pytest.raises(files.Unavailable) as failure:
        get(tmp_path, mirror(behaviour), patience=0.3)
    assert "still sending after 0.3 seconds" in failure.value.__notes__[0] and left_in(tmp_path) == []


def test_what_mirrors_did_is_said(mirror, tmp_path):
    told = {endless: "more than 200,000 bytes", bomb: "more than 200,000 bytes", around_in_circles: "redirects"}
    with pytest.raises(files.Unavailable) as failure:
        get(tmp_path, *map(mirror, told))
    assert all(words in note for words, note in zip(told.values(), failure.value.__notes__, strict=True))


def test_progress_is_shown_where_somebody_watches(mirror, tmp_path, monkeypatch, capsys):
    for setting in "01":
        monkeypatch.setenv("GAN_TUTORIAL_PROGRESS", setting)
        get(tmp_path, mirror(good))
        said = capsys.readouterr()
        assert said.err == "" and ("digits:" in said.out) == (setting == "1")


def test_the_next_mirror_is_asked_when_nobody_listens(mirror, tmp_path):
    assert get(tmp_path, refused(), mirror(good)) == CONTENT


def test_a_mirror_that_comes_back_is_used_in_the_next_round(mirror, tmp_path):
    first, second = mirror(busy, good), mirror(gone)
    assert get(tmp_path, first, second) == CONTENT
    assert len(first.asked) == 2 and len(second.asked) == 1


@pytest.mark.parametrize("behaviour", [gone, truncated, another_file, stalled])
def test_no_mirror_delivers(mirror, tmp_path, behaviour):
    bad, nobody = mirror(behaviour), refused()
    with pytest.raises(files.Unavailable, match="GAN_TUTORIAL_DATA.*GAN_TUTORIAL_DIGITS=synthetic") as failure:
        get(tmp_path, bad, nobody)
    assert len(bad.asked) == files.ROUNDS and left_in(tmp_path) == []
    assert [note.split(": ")[0] for note in failure.value.__notes__] == [bad.url, nobody]
    assert str(tmp_path) not in str(failure.value) + "".join(failure.value.__notes__)


def test_a_cache_that_cannot_be_written_to_is_said_and_does_no_harm(mirror, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "cache" / "digits.gz").mkdir(parents=True)
    for cache in (tmp_path / "file", tmp_path / "file" / "deeper", tmp_path / "cache", files.NO_CACHE):
        assert get(cache, mirror(good)) == CONTENT
        said = capsys.readouterr().out
        assert "digits.gz cannot be kept" in said and "GAN_TUTORIAL_CACHE" in said
    assert left_in(tmp_path / "cache") == ["digits.gz"]


def test_two_processes_download_at_once(mirror, tmp_path):
    server = mirror(slow)
    program = (
        "import sys, hashlib; from pathlib import Path; from gan_tutorial import files; "
        f"content = files.download(Path({str(tmp_path)!r}), 'digits', {SHA256!r}, ({server.url!r},)); "
        "print(hashlib.sha256(content).hexdigest())"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(files.__file__).parents[1])}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(2)
    ]
    said = [process.communicate() for process in both]
    assert [out.strip() for out, _ in said] == [SHA256, SHA256], said
    assert len(server.asked) == 2 and left_in(tmp_path) == ["digits.gz"]


# ------------------------------------------------------------------------------------------------- cache, directory


@pytest.mark.parametrize(
    "damaged",
    [PACKED[:-20], b"", b"\x1f\x8b", gzip.compress(b"another"), b"<html></html>"],
    ids=["cut off", "empty", "two bytes", "another", "a page"],
)
def test_a_damaged_file_in_the_cache_is_named_and_removed(tmp_path, capsys, damaged):
    (tmp_path / "digits.gz").write_bytes(damaged)
    (tmp_path / "other.gz").write_bytes(PACKED)
    assert files.from_cache(tmp_path, {"digits": SHA256, "other": SHA256}) == {"other": CONTENT}
    assert left_in(tmp_path) == ["other.gz"]
    assert "digits.gz" in capsys.readouterr().out


def test_the_cache_may_be_absent(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    for cache in (tmp_path / "none", tmp_path / "file", files.NO_CACHE):
        assert files.from_cache(cache, {"digits": SHA256}) == {}
    assert capsys.readouterr().out == ""


def test_a_foreign_thing_in_the_cache_is_named_and_left_out(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.gz")
    (tmp_path / "folder.gz").mkdir()
    (tmp_path / "loop.gz").symlink_to("loop.gz")
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(files.MOST + 1), 1))
    (tmp_path / "other.gz").write_bytes(PACKED)
    wanted = dict.fromkeys(["pipe", "folder", "loop", "bomb", "other"], SHA256)
    assert files.from_cache(tmp_path, wanted) == {"other": CONTENT}
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4 and all(f"{name}.gz" in line for name, line in zip(wanted, said, strict=False))
    assert "more than 50,000,000 bytes" in said[3]


def test_an_unreadable_cache_is_named_and_left_out(tmp_path):
    (tmp_path / "digits.gz").write_bytes(PACKED)
    (tmp_path / "digits.gz").chmod(0)
    said = in_a_child(lambda: print(files.from_cache(tmp_path, {"digits": ""})), 65534).splitlines()
    assert "cannot be read (Permission denied); it is left out" in said[0] and said[1] == "{}"


def in_a_child(function, user: int) -> str:
    """What a function prints in a process of a user who may do less than root."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(told)
            if os.geteuid() == 0:
                os.setuid(user)
            with os.fdopen(tell, "w") as said, contextlib.redirect_stdout(said):
                function()
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(told) as heard:
        said = heard.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.parametrize(
    "name, body",
    [("digits", CONTENT), ("digits.gz", PACKED), ("digits", PACKED), ("digits.gz", gzip.compress(CONTENT, 1))],
)
def test_a_directory_holds_plain_or_gzipped_files(tmp_path, name, body):
    (tmp_path / name).write_bytes(body)
    assert files.from_directory(tmp_path, {"digits": SHA256}) == {"digits": CONTENT}


def test_a_directory_that_is_incomplete_or_wrong_is_an_error_and_stays_as_it_is(tmp_path):
    wanted = {"digits": SHA256, "other": SHA256}
    (tmp_path / "digits").write_bytes(CONTENT)
    with pytest.raises(FileNotFoundError, match="neither other nor other.gz"):
        files.from_directory(tmp_path, wanted)
    (tmp_path / "other.gz").write_bytes(PACKED[:-9])
    with pytest.raises(ValueError, match="other.gz is truncated or corrupt"):
        files.from_directory(tmp_path, wanted)
    (tmp_path / "other.gz").write_bytes(gzip.compress(b"another"))
    with pytest.raises(ValueError, match="other.gz is not the file it should be"):
        files.from_directory(tmp_path, wanted)
    assert left_in(tmp_path) == ["digits", "other.gz"]


def test_a_bomb_in_a_directory_is_not_unpacked(tmp_path):
    """A thousandth of the memory that the whole would take, and the plain file just as little."""
    (tmp_path / "digits.gz").write_bytes(BOMB)
    (tmp_path / "plain").write_bytes(bytes(MOST + 1))
    for name in ("digits.gz", "plain"):
        tracemalloc.start()
        with pytest.raises(ValueError, match=f"{name} is not the file it should be: it has more than 200,000 bytes"):
            files.read_checked(tmp_path / name, SHA256, MOST)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
        tracemalloc.stop()
    assert files.MOST > 47_040_016  # the largest of MNIST's


@pytest.mark.parametrize("place", ["~no-such-user/here", "loop", "zero\0byte"])
def test_a_cache_that_leads_nowhere_gets_a_sentence(place, tmp_path, monkeypatch):
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="GAN_TUTORIAL_CACHE is .* leads nowhere: give the absolute path"):
        files.cache_directory({"GAN_TUTORIAL_CACHE": place})


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    if os.geteuid():
        pytest.skip("only root can become a user without a home")
    files.cache_directory()  # which imports what it needs
    for name in ("HOME", "XDG_CACHE_HOME", "GAN_TUTORIAL_CACHE"):
        monkeypatch.delenv(name, raising=False)
    assert in_a_child(lambda: print(files.cache_directory()), 54321).strip() == str(files.NO_CACHE)


def test_where_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_TUTORIAL_CACHE", str(tmp_path / "here"))
    assert files.cache_directory() == (tmp_path / "here").resolve()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAN_TUTORIAL_CACHE", "there")
    assert files.cache_directory() == (tmp_path / "there").resolve()
    monkeypatch.delenv("GAN_TUTORIAL_CACHE")
    assert files.cache_directory().name == "gan_tutorial" and files.cache_directory().is_absolute()


def test_whether_downloads_are_allowed(monkeypatch):
    for setting, allowed in (("0", False), ("1", True), ("", True)):
        monkeypatch.setenv("GAN_TUTORIAL_DOWNLOAD", setting)
        assert files.download_allowed() is allowed
    monkeypatch.setenv("GAN_TUTORIAL_DOWNLOAD", "no")
    with pytest.raises(ValueError, match="to 0 to forbid"):
        files.download_allowed()


def test_mirrors_and_sums_are_well_formed():
    assert len(set(files.MNIST_MIRRORS)) >= 2
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in files.MNIST_MIRRORS)
    assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in files.MNIST_FILES.values())


# -------------------------------------------------------------------------------------------------------------- IDX


def idx(*shape, body=None, start=b"\0\0\x08") -> bytes:
    size = torch.Size(shape).numel()
    header = start + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return header + (bytes(size) if body is None else body)


def test_idx_is_read_in_c_order():
    values = files.parse_idx(idx(2, 3, 4, body=bytes(range(24))), "x")
    assert values.dtype == torch.uint8
    assert torch.equal(values, torch.arange(24, dtype=torch.uint8).view(2, 3, 4))
    values += 1  # the memory is ours


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "not an IDX file.*it is empty"),
        (b"\0\0\x08", "not an IDX file"),
        (b"PNG!" + bytes(9), "not an IDX file"),
        (idx(3, start=b"\0\0\x0d"), "not an IDX file"),  # floats
        (b"\0\0\x08\x00", "header"),
        (idx(3, 4, 5)[:12], "header"),
        (idx(3, 4)[:-1], "promises"),
        (idx(3, 4) + b"\0", "promises"),
        (idx(2**31, 2**31, 2**31, body=b""), "promises"),
    ],
)
def test_idx_with_a_wrong_header_or_length_is_refused(content, words):
    with pytest.raises(ValueError, match=f"digits.*{words}"):
        files.parse_idx(content, "digits")


def test_a_gzip_stream_with_a_broken_block_is_named(tmp_path):
    squeezed = zlib.compressobj(wbits=31)
    body = bytearray(squeezed.compress(CONTENT) + squeezed.flush())
    body[15] ^= 255
    (tmp_path / "digits.gz").write_bytes(body)
    with pytest.raises(ValueError, match="digits.gz is truncated or corrupt"):
        files.read_checked(tmp_path / "digits.gz", SHA256)
