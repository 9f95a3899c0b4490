"""What a GPU is asked, without one: parts that fail alone, their rows and tables, and a little of one in earnest."""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import gan_tutorial as gt
from benchmarks import gpu, stacked
from gan_tutorial import acceleration
from gan_tutorial.recipes import RECIPES
from gan_tutorial.training import Spec

ROOT = Path(gpu.__file__).parents[1]


def python(source):
    """A process that runs these lines; `emit(row)` writes a row to the file."""
    head = "import json, os, subprocess, sys, time\ndef emit(row): open({0!r}, 'a').write(json.dumps(row) + chr(10))\n"
    return lambda rows: [sys.executable, "-c", head.format(str(rows)) + source]


def part(source, rows, seconds=60.0):
    return gpu.run_part(python(source)(rows), rows, seconds)


def test_the_chapter_is_reached_even_if_all_parts_before_it_use_up_their_time():
    before = list(gpu.PARTS)[: list(gpu.PARTS).index("chapter")]
    assert gpu.LIMIT - sum(gpu.PARTS[name].seconds for name in before) >= 80


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
    assert gpu.PARTS["stacked"].seconds >= gpu.FULL.stacked_seconds + 60
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
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "gpu.json").symlink_to(tmp_path / "kept.json")
    command = ["bash", ROOT / "benchmarks" / "gpu.sh", "--dry", "--parts", "nccl", "--out", tmp_path / "made"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True, timeout=500
    )
    made = json.loads((tmp_path / "kept.json").read_text())
    assert done.returncode == 0 and list(made["parts"]) == ["nccl"] and made["dry"], done.stderr
    (row,) = made["parts"]["nccl"]["rows"]
    assert row["backend"] in ("gloo", "nccl") and row["largest difference after 20 steps"] < 1e-3
    assert "weights differ by at most" in done.stdout and "| " not in done.stderr


def test_without_a_gpu_there_is_a_sentence(little):
    if gpu.pick_device()[0].type != "cuda":
        with pytest.raises(SystemExit, match="no GPU here.*--dry"):
            gpu.main(["--parts", "nccl"])


def test_every_recipe_is_measured():
    assert sorted(gpu.FULL.recipes) == sorted(RECIPES)


def test_an_acceleration_that_a_recipe_refuses_is_left_out_with_the_reason(monkeypatch):
    """On a GPU gmmn's loss looks at its numbers, which no recorded graph can do."""
    tried, rows = [], []

    def side(recipe, data, accelerations):
        def run(steps):
            tried.append((recipe.name, steps))
            if recipe.name == "gmmn":
                raise ValueError("This update cannot be recorded.\nTrain without graphs.")

        return run

    monkeypatch.setattr(gpu.speed, "side", side)
    both = (acceleration.fused, acceleration.graphs)
    assert gpu.recordable("gmmn", None, both, rows.append) == (acceleration.fused,)
    assert rows == [
        {"name": "gmmn", "left out": "without graphs: This update cannot be recorded. Train without graphs."}
    ]
    assert gpu.recordable("vae", None, both, rows.append) == both and len(rows) == 1
    assert tried == [("gmmn", 4), ("vae", 4)] and not gpu.bad({"status": "done", "rows": rows})


# ---------------------------------------------------------------------------------------------------- stacked digits


def test_modes_and_kl_are_those_of_the_shares():
    """The uniform distribution has 0, k of 1,000 equally likely numbers ln(1000 / k), and a mixture its own sum."""
    assert stacked.modes_and_kl(torch.arange(1000).repeat(3)) == (1000, pytest.approx(0, abs=1e-12))
    assert stacked.modes_and_kl(torch.arange(50).repeat(7)) == (50, pytest.approx(math.log(20)))
    assert stacked.modes_and_kl(torch.tensor([7])) == (1, pytest.approx(math.log(1000)))
    found = stacked.modes_and_kl(torch.tensor([1, 1, 1, 2]))
    assert found == (2, pytest.approx(0.75 * math.log(750) + 0.25 * math.log(250)))


def test_a_reader_learns_digits_and_reads_three_of_them():
    digits, test = (gt.data.synthetic_digits(n, split=split) for n, split in ((5000, "train"), (1000, "test")))
    state = torch.get_rng_state()
    net = stacked.reader(digits, 400)
    assert torch.equal(torch.get_rng_state(), state)
    stack = gt.data.stacked(test, 1500)
    images = stack.take(slice(None))
    assert (stacked.read(net, images) == stack.label).float().mean() > 0.5  # chance is a thousandth
    assert stacked.counted(net, images)["modes"] == stacked.modes_and_kl(stacked.read(net, images))[0]


def test_two_steps_of_the_game_on_stacked_digits():
    """As chapter 10 has it for a GPU, on images of 28 × 28, in small batches; every part of its row is there."""
    digits = gt.data.synthetic_digits(200)
    rows, net = [], stacked.reader(digits, 5)
    stack = gt.data.stacked(digits, 100)
    stacked.play(stacked.RECIPE.configure(batch_size=8), stack, net, rows.append, steps=2, looks=2, samples=20)
    assert [row["steps"] for row in rows] == [1, 2] and stack.shape == (3, 28, 28)
    for row in rows:
        assert 1 <= row["modes"] <= 20 and 0 < row["KL"] <= math.log(1000) + 1e-9
        assert row["goals"] == {"modes": 990, "KL": 0.2} and row["reached"] == {"modes": False, "KL": False}
        assert row["last weights"].keys() == {"modes", "KL"}
    json.dumps(rows)
    networks = stacked.RECIPE.build(Spec((3, 28, 28), 0, 64))
    expected = gt.ConvGenerator(64, 28, channels=3, width=64), gt.ConvCritic(28, channels=3, width=64, hidden=256)
    for mine, chapters in zip(networks.values(), expected, strict=True):
        assert [p.shape for p in mine.parameters()] == [p.shape for p in chapters.parameters()]
    text = gpu.of_modes([{"name": "real stacks", "modes": 1000, "KL": 0.05}, *rows])
    assert "| real stacks |  |  | 1,000 | 0.050 |  |" in text
    assert text.endswith("Goals: at least 990 modes, missed; a KL below 0.2, missed.")


def test_a_game_on_stacked_digits_that_cannot_be_recorded_is_played_without_graphs(monkeypatch):
    few, rows = gt.data.synthetic_digits(60), []

    def play(recipe, stack, net, emit, *_, accelerations, **__):
        if accelerations:
            raise ValueError("This update cannot be recorded.")
        emit({"accelerations": accelerations})

    for one in (acceleration.fused, acceleration.graphs):
        monkeypatch.setitem(one.__dict__, "refusal", lambda device: None)
    monkeypatch.setattr(gpu, "digits", lambda: (torch.device("cpu"), few))
    monkeypatch.setattr(gt.data, "digits", lambda **_: few)
    monkeypatch.setattr(stacked, "play", play)
    gpu.thousand(gpu.DRY, rows.append)
    assert rows[0]["name"] == "real stacks" and rows[0].keys() == {"name", "data", "modes", "KL"}
    assert rows[1]["left out"].startswith("without fused + graphs: This update") and rows[2] == {"accelerations": ()}
