"""What a GPU is asked, without one: parts that fail alone, their rows and tables, and a little of one in earnest."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import gpu

ROOT = Path(gpu.__file__).parents[1]


def python(source):
    """A process that runs these lines; `emit(row)` writes a row to the file."""
    head = "import json, os, subprocess, sys, time\ndef emit(row): open({0!r}, 'a').write(json.dumps(row) + chr(10))\n"
    return lambda rows: [sys.executable, "-c", head.format(str(rows)) + source]


def part(source, rows, seconds=60.0):
    return gpu.run_part(python(source)(rows), rows, seconds)


def test_a_part_gives_its_rows(tmp_path):
    report = part("emit({'a': 1}); emit({'b': [2]}); print('not kept')", tmp_path / "rows")
    assert report["status"] == "done" and report["rows"] == [{"a": 1}, {"b": [2]}] and "words" not in report


def test_what_a_failed_part_found_is_kept(tmp_path):
    report = part("emit({'a': 1}); sys.exit('the reason')", tmp_path / "rows")
    assert report["status"] == "failed, exit status 1" and report["rows"] == [{"a": 1}]
    assert report["words"] == "the reason\n"


def test_a_part_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path):
    rows = tmp_path / "rows"
    report = part(
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "emit({'pid': child.pid})\ntime.sleep(600)",
        rows,
        seconds=5.0,
    )
    assert report["status"] == "out of time after 5 s" and report["seconds"] < 300
    (row,) = report["rows"]
    for _ in range(200):  # whoever inherits it takes it away
        state = Path(f"/proc/{row['pid']}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("the child lives")


def test_one_part_fails_and_the_others_go_on(tmp_path, capsys):
    sources = {"tests": "emit({'n': 1})", "peers": "1 / 0", "speed": "emit({'n': 2})"}
    saved = []

    def command(name, rows):
        return python(sources[name])(rows)

    reports = gpu.run(sources, command, 600.0, lambda found: saved.append(list(found)))
    assert [report["status"] for report in reports.values()] == ["done", "failed, exit status 1", "done"]
    assert "ZeroDivisionError" in reports["peers"]["words"] and reports["speed"]["rows"] == [{"n": 2}]
    assert saved == [["tests"], ["tests", "peers"], ["tests", "peers", "speed"]]
    assert "peers: failed" in capsys.readouterr().err


def test_parts_that_would_begin_too_late_are_left_out():
    reports = gpu.run(["tests"], lambda name, rows: pytest.fail("begun"), gpu.LEAST - 1, lambda found: None)
    assert reports["tests"]["status"] == "left out, no time"


def test_all_parts_fit_into_eight_minutes():
    """The first four even if each of them takes all of its time; the others take what is left."""
    assert list(gpu.PARTS)[:4] == ["tests", "peers", "speed", "trained"]
    assert sum(gpu.PARTS[name].seconds for name in list(gpu.PARTS)[:4]) <= gpu.LIMIT < 8 * 60
    assert gpu.PARTS["trained"].seconds > gpu.FULL.minute + 20
    assert gpu.TITLES.keys() == gpu.TABLES.keys() == gpu.PARTS.keys()


def test_a_failure_within_a_part_is_a_row():
    rows = []
    with gpu.recorded("dcgan", rows.append):
        raise RuntimeError("out of memory")
    with gpu.recorded("no clone", rows.append):
        raise SystemExit("make one")
    assert rows == [
        {"name": "dcgan", "error": "RuntimeError: out of memory"},
        {"name": "no clone", "error": "SystemExit: make one"},
    ]
    assert gpu.bad({"status": "done", "rows": rows}) and not gpu.bad({"status": "done", "rows": [{"ratio": 3}]})
    outcomes = [{"test": "x::y", "outcome": outcome} for outcome in ("passed", "skipped", "failed")]
    assert gpu.bad({"status": "done", "rows": outcomes}) and not gpu.bad({"status": "done", "rows": outcomes[:2]})


def rates(name, **ratios):
    return [{"name": name, "accelerations": own, "images": 100 * r, "ratio": r} for own, r in ratios.items()]


def test_one_line_a_recipe_and_the_best_of_it():
    rows = rates("dcgan", **{"none": 1.0, "bf16": 1.5, "graphs": 4.0, "bf16 + graphs": 6.0}) + rates("mlp", none=1.0)
    assert gpu.pivot(rows, "none").splitlines() == [
        "| recipe | images/s, none | bf16 | graphs | best |",
        "| --- | --- | --- | --- | --- |",
        "| dcgan | 100 | 1.50 | 4.00 | 6.00 (bf16 + graphs; 600 images/s) |",
        "| mlp | 100 |  |  | 1.00 (none; 100 images/s) |",
    ]
    peer = rates("a peer", **{"its script": 1.0, "none": 0.5, "graphs": 5.5})
    assert (
        gpu.pivot(peer, "its script").splitlines()[2] == "| a peer | 100 | 0.50 | 5.50 | 5.50 (graphs; 550 images/s) |"
    )


def test_a_report_says_what_failed_and_what_was_left_out():
    training = {"name": "mlp", "data": "mnist", "seconds": 60.2, "steps": 9000, "distance": 4.5, "label accuracy": None}
    facts = {"machine": "a card, torch 3", "cuda": "13.0", "date": "2030-01-02", "code": "1.0"}
    outcomes = [{"test": name, "outcome": "failed" if name == "x::y" else "passed"} for name in ("a", "x::y", "b")]
    found = gpu.tables(
        facts,
        {
            "tests": {"status": "done", "seconds": 9.0, "rows": outcomes},
            "peers": {"status": "done", "seconds": 1.0, "rows": [{"name": "a peer", "left out": "no clone"}]},
            "trained": {"status": "done", "seconds": 70.0, "rows": [training, {"name": "wgan", "error": "a\nb: c"}]},
            "nccl": {"status": "failed, exit status 1", "seconds": 2.0, "rows": [], "words": "first\nNCCL error\n"},
        },
    )
    assert found.startswith("a card, torch 3, CUDA 13.0, 2030-01-02, version 1.0.")
    for line in (
        "2 passed, 1 failed\n\nx::y failed",
        "a peer: no clone",
        "| mlp | mnist | 60 | 9,000 | 4.50 |  |",
        "wgan: b: c",
        "**One process that exchanges gradients** (failed, exit status 1, 2 s)",
        "Its last words: `NCCL error`",
    ):
        assert line in found


@pytest.fixture
def little(monkeypatch):
    """Settings that reach the processes: drawn digits, one thread; taken back afterwards."""
    for name in ("PROGRESS", "SEED", "SCALE", "DATA"):
        monkeypatch.setenv(f"GAN_TUTORIAL_{name}", "")
    monkeypatch.setenv("GAN_TUTORIAL_DIGITS", "synthetic")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_a_little_of_it_in_earnest(little, tmp_path, capsys):
    """By the script, as whoever has a GPU calls it."""
    command = ["bash", ROOT / "benchmarks" / "gpu.sh", "--dry", "--parts", "nccl", "--out", tmp_path / "made"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True, timeout=500
    )
    made = json.loads((tmp_path / "made" / "gpu.json").read_text())
    assert done.returncode == 0 and list(made["parts"]) == ["nccl"] and made["dry"], done.stderr
    (row,) = made["parts"]["nccl"]["rows"]
    assert row["backend"] in ("gloo", "nccl") and row["largest difference after 20 steps"] < 1e-3
    assert "weights differ by at most" in done.stdout and "| " not in done.stderr


def test_without_a_gpu_there_is_a_sentence(little):
    if gpu.pick_device()[0].type != "cuda":
        with pytest.raises(SystemExit, match="no GPU here.*--dry"):
            gpu.main(["--parts", "nccl"])
