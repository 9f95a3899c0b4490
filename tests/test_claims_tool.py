"""`make claims` on a book of two toy chapters, without torch: what it must accept, and what it must not let pass."""

import ast
import hashlib
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools import ROOT, claim_box, claim_sources, claims, claims_page, notebooks, sphinx_claims
from tools.claim_sources import FRESH_SEEDS
from tools.claim_verdict import distance, holds, judge, rounded
from tools.dependency_hash import dependency_hash, dump

TOY = '''\
"""A toy."""
import os
import random


def measure(spread):  # a comment
    """A number near 2."""
    return 2 + spread * random.Random(os.environ["GAN_TUTORIAL_SEED"]).uniform(-1, 1)


def unused():
    return 1
'''
PACKAGE = {
    "__init__": "from . import data, plots\nfrom .claims import claim\nfrom .toy import measure\n",
    "claims": (ROOT / "gan_tutorial" / "claims.py").read_text(encoding="utf-8"),
    "runtime": 'import os\n\n\ndef scale_from_environment():\n    return os.environ.get("GAN_TUTORIAL_SCALE")\n',
    "plots": "def curve(x):\n    pass\n",
    "data": "import os\nfrom .claims import record\n\n\ndef digits():\n"
    '    record({"digits": os.environ.get("GAN_TUTORIAL_DIGITS") or "synthetic"})\n',
    "toy": TOY,
}
SABOTAGES = """
[[sabotage]]
name = "two is three"
file = "gan_tutorial/toy.py"
old = "return 2 +"
new = "return 3 +"
claims = ["1.2"]

[[sabotage]]
name = "a wrong sum"
file = "book/01_toy.ipynb"
old = "1 + 1"
new = "1 + 2"
claims = ["1.1"]
"""
EXACT = 'gt.claim("1.1", "One and one is two", total, low=2, high=2, exact=True)'
CLOSE = 'gt.claim("1.2", "The measure is near 2", value, low=1.5, high=2.5)'
CELLS = [
    "# @title Set-up",
    "import gan_tutorial as gt\ntotal = 1 + 1",
    "value = gt.measure(0.1)\nvalue",
    EXACT + "\n" + CLOSE,
]


def notebook(cells, title="A toy"):
    code = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in cells]
    return json.dumps(
        {
            "cells": [{"cell_type": "markdown", "source": f"# {title}", "metadata": {}}, *code],
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {},
        }
    )


class Toy:
    """A small book in a folder, and `make claims` on it."""

    def __init__(self, root: Path):
        self.root = root
        for name, source in PACKAGE.items():
            self.write(f"gan_tutorial/{name}.py", source)
        self.write("gan_tutorial/models/one.bin", "one")
        self.write("gan_tutorial/models/two.bin", "two")
        self.chapter(*CELLS)
        self.write("book/sabotages.toml", SABOTAGES)

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, encoding="utf-8")

    def chapter(self, *cells, name="01_toy") -> None:
        self.write(f"book/{name}.ipynb", notebook(cells))

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def claims(self, *options: str) -> int:
        return claims.main(["--root", str(self.root), *options])

    @property
    def record(self) -> dict:
        return json.loads((self.root / "book" / "claims.json").read_text(encoding="utf-8"))

    def edit(self, change) -> None:
        """Put something else into the record."""
        record = self.record
        change(record)
        self.write("book/claims.json", json.dumps(record))

    @property
    def page(self) -> str:
        """What the page of claims says, as it is made when the pages are built."""
        book = claim_sources.Book(self.root)
        runs = claims.stored(book)
        return claims_page.page(book.chapters, judge(book, runs)[0], runs).replace("\N{NO-BREAK SPACE}", " ")

    def key(self) -> str:
        return claim_sources.Book(self.root).chapters["01"].key


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A complete record, made once: 10 seeds, 3 fresh ones and 2 sabotages."""
    toy = Toy(tmp_path_factory.mktemp("finished"))
    assert toy.claims() == 0
    return toy


@pytest.fixture
def toy(tmp_path):
    return Toy(tmp_path)


@pytest.fixture
def done(finished, tmp_path):
    shutil.copytree(finished.root, tmp_path, dirs_exist_ok=True)
    toy = object.__new__(Toy)
    toy.root = tmp_path
    return toy


# ------------------------------------------------------------------------------------------ what is recorded


def test_the_record(done):
    assert done.record["texts"] == {"1.1": "One and one is two", "1.2": "The measure is near 2"}
    runs = [run for run in done.record["runs"] if not run["sabotage"]]
    assert [run["seed"] for run in runs] == [*range(10), *FRESH_SEEDS]
    assert all(run["peak_mb"] > 1 and run["seconds"] >= 0 for run in runs)
    for run in runs:  # the value is a known function of the seed; an exact claim is recorded with seed 0
        value = 2 + 0.1 * random.Random(str(run["seed"])).uniform(-1, 1)
        assert run["claims"]["1.2"] == [pytest.approx(value, rel=1e-5), 1.5, 2.5]
        assert run["claims"].get("1.1") == ([2, 2, 2] if run["seed"] == 0 else None)
    broken = {run["sabotage"]: run["claims"] for run in done.record["runs"] if run["sabotage"]}
    assert broken["a wrong sum"] == {"1.1": [3, 2, 2]} and broken["two is three"]["1.2"][0] > 2.5


def words(text):
    return re.sub(r"\s+", " ", re.sub(r"<.*?>", "", text))


def test_the_page_lists_what_the_record_says(done):
    exact, close = done.page.split('<details class="record"')[1:]
    assert "## 1. A toy\n\n2 claims, 1 of them exact, in [the chapter](../01_toy.ipynb)." in done.page
    assert "1.1 ✓ One and one is two exact" in words(exact) and '<div class="record-body" id="record-1-1">' in exact
    assert "Asked for: = 2. Measured: 2. Exact, so one run checks it." in words(exact)
    assert "✗ a wrong sum: measured 3, so the claim fails" in words(exact) and "<svg" not in exact
    assert '<a href="../01_toy.html#claim-1-2">' in close and "Asked for: ≥ 1.5, ≤ 2.5." in words(close)
    values = [rounded(2 + 0.1 * random.Random(str(seed)).uniform(-1, 1)) for seed in range(10)]
    mean, sd = statistics.fmean(values), statistics.stdev(values)
    margin = f"{min(mean - 1.5, 2.5 - mean) / sd:.0f} standard deviations inside the bound"
    row = f"measured {mean:.3g} ± {sd:.2g} {margin}; fresh seeds "
    assert row in words(close)
    assert "earlier version" not in done.page and done.page.count(">✓</span>") == 2
    assert f'#record-1-2">1.2</a> The measure is near 2: {min(mean - 1.5, 2.5 - mean) / sd:.0f} sd' in done.page


def test_a_box_has_another_mark_where_its_record_is_stale(done):
    book = claim_sources.Book(done.root)
    for change, mark in (("uniform(-1, 1)", "✓"), ("uniform(-1, 2)", "↻")):
        done.change("gan_tutorial/toy.py", "uniform(-1, 1)", change)
        book = claim_sources.Book(done.root)
        for record in judge(book, claims.stored(book))[0].values():
            box = claim_box.box(record, "")
            assert re.findall("[✓↻]", box) == [mark] and "earlier version" not in box


@pytest.mark.parametrize(
    "said, shown",
    [
        ("The value is -ln 4 + 2 JS", "The value is −ln 4 + 2 JS"),
        ("theta² + eta theta phi - 1", "θ² + η θ φ − 1"),
        ("at most c^L h^(L-1) sqrt(d)", "at most c<sup>L</sup> h<sup>L−1</sup> √d"),
        ("1e-8, half-way, x < y", "1e-8, half-way, x &lt; y"),
    ],
)
def test_a_claim_is_typeset(said, shown):
    assert claim_box.typeset(said) == shown


def test_bounds_are_short_in_a_box_and_whole_in_the_record(done):
    done.edit(lambda record: [run["claims"].update({"1.2": [2, 1.2345678, None]}) for run in record["runs"]])
    book = claim_sources.Book(done.root)
    record = judge(book, claims.stored(book))[0]["1.2"]
    assert "≥\N{NO-BREAK SPACE}1.23<" in claim_box.box(record, "") and "1.234568<" in claim_box.entry(record, "")
    assert [claim_box.shown(x) for x in (1.11e-16, -1e-9, 3e10, 0.5)] == ["1.11·10⁻¹⁶", "−1·10⁻⁹", "3·10¹⁰", "0.5"]
    assert claim_box.distance(63.2) == "63\N{NO-BREAK SPACE}sd" and claim_box.distance(4.21)[:3] == "4.2"


def test_a_line_has_a_dot_for_each_seed_and_a_cross_for_each_sabotage(done):
    """Where its value and the bounds belong: their order on the line is the order of the numbers."""
    book = claim_sources.Book(done.root)
    record = judge(book, claims.stored(book))[0]["1.2"]
    shown = claim_box.rows(record)
    for kind, values in (("seed", record.sets["none"].values), ("fresh", record.sets["none"].fresh)):
        places = [float(x) for x in re.findall(rf'<circle class="{kind}" cx="([\d.]+)%"', shown)]
        assert len(places) == len(values) == {"seed": 10, "fresh": 3}[kind]
        assert [places[i] for i in sorted(range(len(values)), key=lambda i: values[i][0])] == sorted(places)
    low, high = sorted({float(x) for x in re.findall(r'<line class="bound" x1="([\d.]+)%"', shown)})
    cross = float(re.search(r'<text class="broken" x="([\d.]+)%"', shown)[1])
    assert low < min(places) and max(places) < high < cross and shown.count('class="broken"') == 1
    said = re.findall(r'role="img" aria-label="(.*?)"', shown)
    assert said[0].startswith("measured: ten seeds between 1.") and "three fresh seeds between" in said[0]
    assert said[0].endswith("It must be at least 1.5 and at most 2.5.") and len(said) == 2


def test_a_line_for_each_digit_set_unless_they_agree_in_every_value(done):
    book = claim_sources.Book(done.root)
    record = judge(book, claims.stored(book))[0]["1.2"]
    entry = record.sets["none"]
    record.sets = {"mnist": entry, "synthetic": entry}
    assert claim_box.rows(record).count("<svg") == 2  # one, and that of the sabotage
    record.sets = {"mnist": entry, "synthetic": type(entry)([[1.4, 1.5, 2.5]], [], None)}
    shown = words(claim_box.rows(record))
    assert "MNIST" in shown and "synthetic digits 1.4 holds in 0 of 1, one of ten seeds so far" in shown


@pytest.mark.parametrize(
    "numbers, logarithmic", [([1, 31], True), ([0, 31], False), ([1, 29], False), ([-1, 5], False)]
)
def test_values_that_lie_far_apart_have_a_logarithmic_scale(numbers, logarithmic):
    scale = claim_box.Scale.over([*numbers, float("inf")])
    ends = [scale(number) for number in numbers]
    assert scale.logarithmic is logarithmic and ends == [claim_box.EDGE, 100 - claim_box.EDGE]
    assert scale("inf") == 100 and scale("-inf") == 0 and scale(1e9) == 100
    middle = 31**0.5 if logarithmic else sum(numbers) / 2
    assert scale(middle) == pytest.approx(50)


def test_nothing_is_run_twice(done, capsys):
    before = (done.root / "book" / "claims.json").read_bytes()
    assert done.claims() == 0 and done.claims("--check") == 0
    assert "15 of 15 runs are up to date" in capsys.readouterr().out
    assert (done.root / "book" / "claims.json").read_bytes() == before


def test_what_comes_after_the_last_claim_runs_with_seed_0_alone(toy):
    """The solutions: they claim nothing, and cost as much for every seed."""
    after = f'import os\nopen(r"{toy.root / "ran"}", "a").write(os.environ["GAN_TUTORIAL_SEED"] + "\\n")'
    toy.chapter(*CELLS, after)
    assert toy.claims("--seeds", "3") == 0
    assert (toy.root / "ran").read_text() == "0\n"


def test_digits_are_run_on_both_sets_and_all_exact_chapters_once(toy, capsys):
    toy.chapter("import gan_tutorial as gt\ngt.data.digits()", "total = 1 + 1", EXACT)
    toy.write("book/sabotages.toml", SABOTAGES.split("[[sabotage]]")[-1].join(["[[sabotage]]", ""]))
    assert toy.claims() == 0
    assert "0 of 3 runs are up to date" in capsys.readouterr().out
    sets = sorted(claim_sources.SETS)
    assert [(run["digits"], run["sabotage"]) for run in toy.record["runs"]] == [
        *((digits, None) for digits in sets),
        (claim_sources.SETS[1], "a wrong sum"),
    ]


def test_resumes_after_a_kill_and_refuses_to_run_twice(toy, capsys):
    toy.chapter(*CELLS[:3], "import time\ntime.sleep(0.3)", CELLS[3])
    command = [sys.executable, "-m", "tools.claims", "--root", str(toy.root), "--jobs", "1"]
    environment = os.environ | {"TMPDIR": str(toy.root)}  # what a killed process leaves goes with the toy
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT, env=environment)
    path = toy.root / "book" / "claims.json"
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.02)
    with pytest.raises(SystemExit):
        toy.claims()
    assert "Another `make claims` is at work" in capsys.readouterr().out
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(toy.record["runs"])
    assert 0 < kept < 15
    assert toy.claims() == 0
    assert f"{kept} of 15 runs are up to date" in capsys.readouterr().out
    assert toy.claims("--check") == 0


@pytest.mark.parametrize(
    ("how", "shell"),
    [
        (signal.SIGTERM, []),
        (signal.SIGHUP, []),  # the terminal is closed
        (signal.SIGINT, []),
        (signal.SIGTERM, ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]),
    ],
)
def test_stopped_it_stops_its_runs_too(toy, how, shell):
    """Also in the background (a shell's `&`), where the signal of Ctrl-C is ignored."""
    toy.chapter(
        f"import os\nopen(r'{toy.root / 'pid'}', 'w').write(str(os.getpid()))\nimport time\ntime.sleep(60)", *CELLS
    )
    command = [*shell, sys.executable, "-m", "tools.claims", "--root", str(toy.root), "--jobs", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    while not ((toy.root / "pid").exists() and (toy.root / "pid").read_text()):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(how)
    assert "the same command goes on" in process.communicate()[0] and process.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int((toy.root / "pid").read_text()), 0)


def test_a_part_says_that_it_is_one(toy, capsys):
    toy.chapter("import gan_tutorial as gt\ngt.claim('2.1', 'True', True)", name="02_other")
    assert toy.claims("--only", "1", "--seeds", "1") == 0
    assert "the record is NOT complete" in capsys.readouterr().out
    assert toy.claims("--check") == 1
    assert "no sabotage for claim 2.1" in capsys.readouterr().out


# -------------------------------------------------------------------------------------- what makes it stale


def test_words_and_layout_make_nothing_stale(done):
    done.change("gan_tutorial/toy.py", "  # a comment", "")
    done.change("gan_tutorial/toy.py", "A number near 2.", "Some\n    number.")
    done.change("gan_tutorial/toy.py", "return 2 + spread", "return (2 +\n            spread)")
    done.change("book/sabotages.toml", '"return 2 +"', '"(2 +"')
    done.change("book/sabotages.toml", '"return 3 +"', '"(3 +"')
    done.change("gan_tutorial/plots.py", "pass", "return x")  # a module that the chapter does not lead to
    done.chapter("# @title Set-up\n# Another.", CELLS[1] + "  # words", *CELLS[2:], "print('a solution')")
    done.change("gan_tutorial/toy.py", "(2 +\n            spread)", "2 + spread")
    done.write("book/sabotages.toml", SABOTAGES)
    assert done.claims("--check") == 0


HOLES = {
    "two model files change places": lambda toy: [
        toy.write("gan_tutorial/models/one.bin", "two"),
        toy.write("gan_tutorial/models/two.bin", "one"),
    ],
    "package data change": lambda toy: toy.write("gan_tutorial/models/one.bin", "three"),
    "a data file is new": lambda toy: toy.write("gan_tutorial/more.json", "{}"),
    "a data file is gone": lambda toy: (toy.root / "gan_tutorial/models/one.bin").unlink(),
    "a print with an effect is gone": lambda toy: toy.change("book/01_toy.ipynb", "print(next(it)); ", ""),
    "a print in the package is gone": lambda toy: toy.change("gan_tutorial/toy.py", "print(random.random())", "pass"),
    "a module does something on import": lambda toy: toy.change("gan_tutorial/plots.py", "def", "print(1)\ndef"),
    "a bound": lambda toy: toy.change("book/01_toy.ipynb", "high=2.5", "high=2.6"),
    "a definition elsewhere": lambda toy: toy.change("gan_tutorial/far.py", "1", "2"),
}


@pytest.mark.parametrize("change", HOLES.values(), ids=HOLES)
def test_what_can_change_a_value_changes_the_hash(toy, change):
    toy.change("gan_tutorial/toy.py", "return 1", "print(random.random())")
    toy.change("gan_tutorial/toy.py", "import os", "import os\nfrom . import far")
    toy.write("gan_tutorial/far.py", "FACTOR = 1\n")
    toy.chapter(*CELLS[:2], "it = iter([1, 2]); print(next(it)); value = gt.measure(next(it))", CELLS[3])
    before = toy.key()
    change(toy)
    assert toy.key() != before


def test_a_model_counts_for_the_chapters_that_name_it(toy):
    """So a model more in the gallery makes no chapter stale that does not load it."""
    calls = {"gt.measure('one')": {"one"}, "[gt.measure(n) for n in gt.data.shipped()]": {"one", "two"}}
    for call, counts in calls.items():
        toy.chapter(*CELLS[:2], call, CELLS[3])
        for name in ("one", "two"):
            file = f"gan_tutorial/models/{name}.safetensors"
            toy.write(file, "first")
            before = toy.key()
            toy.write(file, "second")
            assert (toy.key() != before) == (name in counts), (call, name)


def test_a_module_more_makes_nothing_stale(toy):
    before = toy.key()
    toy.write("gan_tutorial/more.py", "def more():\n    return 1\n")
    assert toy.key() == before
    toy.write("gan_tutorial/more.py", "print('imported')\n")
    assert toy.key() != before


def test_models_that_change_places_are_noticed_in_the_record(done, capsys):
    done.write("gan_tutorial/models/one.bin", "two")
    done.write("gan_tutorial/models/two.bin", "one")
    assert done.claims("--check") == 1
    assert "13 of 13 runs are missing or out of date" in capsys.readouterr().out


def test_a_claim_may_be_reworded(done, capsys):
    done.change("book/01_toy.ipynb", "The measure is near 2", "The measure is close to 2")
    assert done.claims("--check") == 1
    out = capsys.readouterr().out
    assert "claims.json does not say" in out and "out of date" not in out
    assert done.claims("--carry") == 0 and done.claims("--check") == 0
    assert done.claims() == 0 and "15 of 15 runs are up to date" in capsys.readouterr().out
    assert done.claims("--check") == 0


def test_stale_is_not_false(done, capsys):
    """Where only code changed after the recording, that is said, with a count; nothing fails but the strict check."""
    done.change("gan_tutorial/toy.py", "uniform(-1, 1)", "uniform(-1, 2)")
    assert done.claims("--check", "--allow-stale") == 0
    assert "⚠ 2 of 2 claims are recorded for an earlier version of the code" in capsys.readouterr().out
    assert done.claims("--check") == 1
    out = capsys.readouterr().out
    assert "13 of 13 runs are missing or out of date" in out and "2 runs under sabotage are missing" in out
    assert done.page.count("earlier version") == 1 and "**2 of 2 claims are recorded for an earlier" in done.page
    assert done.page.count('<span title="waits to be recorded again">↻</span>') == 2 and "✓" not in done.page


def test_false_is_false_even_if_stale(done, capsys):
    done.edit(lambda record: record["runs"][4]["claims"].update({"1.2": [2.7, 1.5, 2.5]}))
    done.change("gan_tutorial/toy.py", "uniform(-1, 1)", "uniform(-1, 2)")
    assert done.claims("--check", "--allow-stale") == 1
    assert "claim 1.2 held in 9 of 10 runs" in capsys.readouterr().out


def test_claims_that_move_take_their_record_along(done, capsys):
    """A claim is put in front, the first one becomes the second: each keeps its own values, the new one has none."""
    new = 'gt.claim("1.1", "New", value, low=0)\n' + EXACT.replace("1.1", "1.2") + "\n" + CLOSE.replace("1.2", "1.3")
    done.chapter(*CELLS[:3], new)
    done.change("book/sabotages.toml", '["1.2"]', '["1.3"]')
    done.change("book/sabotages.toml", '["1.1"]', '["1.2"]')
    assert done.claims("--check", "--allow-stale") == 1
    out = capsys.readouterr().out
    assert "claim 1.1 has no record (none)" in out and "no sabotage for claim 1.1" in out
    assert "1.2" not in out.replace("held", "") and "1.3" not in out
    runs = claims.stored(claim_sources.Book(done.root))
    assert runs[0]["claims"] == {"1.2": [2, 2, 2], "1.3": runs[0]["claims"]["1.3"]} and runs[1]["claims"].keys() == {
        "1.3"
    }


def test_a_claim_that_is_removed_is_forgotten(done):
    done.chapter(*CELLS[:3], CLOSE.replace("1.2", "1.1"))
    done.write("book/sabotages.toml", SABOTAGES.split("\n\n")[0].replace("1.2", "1.1"))
    assert done.claims("--check", "--allow-stale") == 0
    assert done.claims("--carry") == 0
    assert done.record["texts"] == {"1.1": "The measure is near 2"} and "a wrong sum" not in done.page
    assert all(run["claims"]["1.1"][1:] == [1.5, 2.5] for run in done.record["runs"])


def test_another_bound_has_no_record(done, capsys):
    """What was recorded against a wide bound says nothing of a narrow one."""
    done.change("book/01_toy.ipynb", "high=2.5", "high=2.2")
    assert done.claims("--check", "--allow-stale") == 1
    assert "claim 1.2 has no record" in capsys.readouterr().out


def test_a_record_that_was_edited_is_noticed(done, capsys):
    done.change("book/claims.json", "is near 2", "is far from 2")
    assert done.claims("--check") == 1
    assert "claims.json does not say" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ the rules


@pytest.mark.parametrize(
    "seed, what", [(7, "9 of 10 runs (none)"), (FRESH_SEEDS[1], "2 of 3 runs (none, fresh seeds)")]
)
def test_one_seed_that_fails_is_enough(done, capsys, seed, what):
    def change(record):
        next(run for run in record["runs"] if run["seed"] == seed)["claims"]["1.2"] = [2.7, 1.5, 2.5]

    done.edit(change)
    assert done.claims() == 1
    assert f"claim 1.2 held in {what}" in capsys.readouterr().out
    assert f"holds in {what.split()[0]}" in done.page


def test_fresh_seeds_are_demanded(done, capsys):
    done.edit(lambda record: record.update(runs=[run for run in record["runs"] if run["seed"] != FRESH_SEEDS[2]]))
    assert done.claims("--check") == 1
    assert "1 of 13 runs are missing" in capsys.readouterr().out
    assert done.claims() == 0 and "14 of 15 runs are up to date" in capsys.readouterr().out


def test_a_seed_that_is_not_asked_for_any_more_leaves_the_record(done, capsys):
    """As when fresh seeds that somebody has looked at are replaced: what the old ones showed counts no longer."""

    def rename(record):
        for run in record["runs"]:
            if run["seed"] == FRESH_SEEDS[0]:
                run["seed"] = 999

    done.edit(rename)
    assert done.claims("--check") == 1 and "1 of 13 runs are missing" in capsys.readouterr().out
    assert done.claims() == 0
    assert 999 not in [run["seed"] for run in done.record["runs"]]


def test_a_chapter_whose_claim_failed_on_the_fresh_seeds_has_others(done, capsys, monkeypatch):
    monkeypatch.setitem(claim_sources.REPLACED, "01", (901, 902, 903))
    assert done.claims("--check") == 1 and "3 of 13 runs are missing" in capsys.readouterr().out
    assert done.claims() == 0
    seeds = {run["seed"] for run in done.record["runs"] if not run["sabotage"]}
    assert seeds == {*range(10), 901, 902, 903}


def test_three_standard_deviations_of_the_ten_seeds_alone(done, capsys):
    def change(record):
        for run in record["runs"]:
            if not run["sabotage"]:
                run["claims"]["1.2"] = [2 + (0.1 * (run["seed"] - 4.5) if run["seed"] < 100 else 0.5), 1.5, 2.5]

    done.edit(change)  # sd 0.303, bound 0.5 away
    assert done.claims() == 1
    out = capsys.readouterr().out
    assert "held in 10 of 10 runs (none), but its mean is only 1.7 standard deviations" in out and "fresh" not in out


def test_a_sabotage_must_break_its_claim(toy, capsys):
    toy.change("book/sabotages.toml", '"return 3 +"', '"return 2.01 +"')
    assert toy.claims("--seeds", "1") == 1
    assert "claim 1.2 under 'two is three' still holds, with 1.98" in capsys.readouterr().out


def test_a_sabotage_may_be_given_one_more_claim(done, capsys):
    done.change("book/sabotages.toml", 'claims = ["1.2"]', 'claims = ["1.2", "1.1"]')
    assert done.claims("--check") == 1
    assert "chapter 01: 1 runs under sabotage are missing" in capsys.readouterr().out
    assert done.claims() == 1
    out = capsys.readouterr().out
    assert "14 of 15 runs are up to date" in out and "claim 1.1 under 'two is three' still holds, with 2" in out


def test_by_value_not_by_a_crash(toy, capsys):
    toy.change("book/sabotages.toml", '"return 3 +"', '"return 1 / 0 +"')
    assert toy.claims("--seeds", "1") == 1
    out = capsys.readouterr().out
    assert "under 'two is three': stopped (1) before 1.2" in out and "ZeroDivisionError" in out
    assert "in code cell 3:\nvalue = gt.measure(0.1)" in out


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ('old = "1 + 1"', 'old = "1"', "its old text occurs 7 times in book/01_toy.ipynb"),
        ('old = "1 + 1"', 'old = "7"', "its old text occurs 0 times"),
        ('file = "book/01_toy.ipynb"', 'file = "book/09_x.ipynb"', "neither a module of gan_tutorial/ nor a notebook"),
        (
            'old = "return 2 +"\nnew = "return 3 +"',
            'old = "a comment"\nnew = "nothing"',
            "changes nothing that chapter",
        ),
        ('old = "1 + 1"\nnew = "1 + 2"', 'old = "low=2, high=2,"\nnew = "low=3,"', "it changes a claim"),
        ('old = "1 + 1"\nnew = "1 + 2"', 'old = "two\\", total"\nnew = "two\\", total + 1"', "it changes a claim"),
        ('claims = ["1.1"]', 'claims = ["1.1", "1.7"]', "the book has no claim 1.7"),
        ('claims = ["1.1"]', "claims = []", "needs name, file, old, new and claims"),
        ('claims = ["1.1"]', 'claims = ["1.1"]\nwhy = "x"', "needs name, file, old, new and claims"),
        ('name = "a wrong sum"', 'name = "two is three"', "its name is taken"),
        ('new = "1 + 2"', 'new = "1 +"', "invalid syntax"),
        ('claims = ["1.1"]', 'claims = ["1.2"]', "no sabotage for claim 1.1"),
    ],
    ids=range(12),
)
def test_a_sabotage_that_makes_no_sense(toy, capsys, old, new, sentence):
    toy.change("book/sabotages.toml", old, new)
    assert toy.claims("--check", "--allow-stale") == 1
    assert sentence in capsys.readouterr().out


@pytest.mark.parametrize(
    "cell, sentence",
    [
        (EXACT.replace("1.1", "1.3"), "claim 1.3 stands where 1.1 is expected"),
        (EXACT + "\n" + EXACT, "claim 1.1 stands where 1.2 is expected"),
        (EXACT.replace('"One and one is two"', 'f"{total}"'), "written out, not computed"),
    ],
)
def test_claims_that_break_the_form(done, capsys, cell, sentence):
    done.chapter(*CELLS[:3], cell)
    assert done.claims("--check", "--allow-stale") == 1
    assert sentence in capsys.readouterr().out
    assert len(claims.stored(claim_sources.Book(done.root))) == 15  # nothing is forgotten because of a slip


def test_a_claim_that_is_not_reached_or_twice(toy, capsys):
    toy.chapter(*CELLS[:3], f"for _ in range(2):\n    {EXACT}\nif False:\n    {CLOSE}")
    assert toy.claims("--seeds", "1") == 1
    assert "01 seed 0: claim 1.1 was recorded twice" in capsys.readouterr().out
    toy.chapter(*CELLS[:3], f"{EXACT}\nif False:\n    {CLOSE}")
    assert toy.claims("--seeds", "1") == 1
    assert "01 seed 0: did not record 1.2" in capsys.readouterr().out


def test_the_cell_of_a_claim_has_an_anchor():
    from docutils import nodes

    def cell(source):
        return nodes.container("", nodes.container("", nodes.literal_block(source, source)), nb_element="cell_code")

    document = nodes.section("", cell("x = 1"), cell(EXACT + "\n" + CLOSE))
    app = SimpleNamespace(env=SimpleNamespace(docname="01_toy", metadata={"01_toy": {"myst_slugs": {}}}))
    sphinx_claims.add_anchors(app, document)
    assert document[0]["ids"] == [] and document[1]["ids"] == ["claim-1-1", "claim-1-2"]
    assert list(app.env.metadata["01_toy"]["myst_slugs"]) == ["claim-1-1", "claim-1-2"]


@pytest.mark.parametrize("name, letter", [("start", "S"), ("own_images", "O"), ("errata", "A")])
def test_a_notebook_without_a_number_has_claims_that_begin_with_a_letter(toy, capsys, name, letter):
    """It is recorded, listed in its place, run alone by its letter, sabotaged, and its runs outlive a new text."""
    claim = f'gt.claim("{letter}.1", "Two and one is three", total, low=3, high=3, exact=True)'
    toy.chapter("import gan_tutorial as gt", "total = 2 + 1", claim, name=name)
    sabotage = f"""
[[sabotage]]
name = "a worse sum"
file = "book/{name}.ipynb"
old = "2 + 1"
new = "2 + 2"
claims = ["{letter}.1"]
"""
    toy.write("book/sabotages.toml", SABOTAGES + sabotage)
    assert toy.claims("--only", letter.lower()) == 0
    assert {run["chapter"] for run in toy.record["runs"]} == {letter} and f"{letter}.1" in toy.record["texts"]
    assert f'<a href="../{name}.html#claim-{letter}-1">' in toy.page
    assert f"{letter}.1 ✓ Two and one is three exact" in words(toy.page)
    first = toy.page.index(f"#claim-{letter}-1") < toy.page.index("#claim-1-1")
    assert first == (name == "start") and "✗ a worse sum: measured 4" in words(toy.page)
    toy.change(f"book/{name}.ipynb", "Two and one", "One and two")
    toy.change(f"book/{name}.ipynb", "total = 2 + 1", "total = 2 + 1 + 0")
    toy.change("book/sabotages.toml", 'old = "2 + 1"', 'old = "2 + 1 + 0"')
    capsys.readouterr()
    assert toy.claims("--check", "--allow-stale", "--only", letter) == 0, capsys.readouterr().out
    toy.change(f"book/{name}.ipynb", f"{letter}.1", f"{letter}.2")
    assert toy.claims("--check", "--only", letter) == 1
    assert f"claim {letter}.2 stands where {letter}.1 is expected" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------- by hand


def test_distance():
    assert distance([[1, 0, None], [3, 0, None]]) == pytest.approx(2 / 2**0.5)
    assert distance([[1, 0, 10], [3, 0, 2.5]]) == pytest.approx(min(2 / 2**0.5, 4.25 / 45.125**0.5))  # bounds differ
    assert distance([[1, 0, None]] * 3) is None and distance([[1, 0, None]]) is None


def test_holds_and_rounded():
    assert holds([1, 1, None]) and not holds([1, 1.1, None]) and holds([1, None, 1]) and not holds(["nan", 0, None])
    assert holds(["inf", 0, None]) and not holds(["inf", 0, 1])
    assert rounded(0.123456789) == 0.123457 and rounded(float("inf")) == "inf" and rounded(None) is None


def key(*cells, **package):
    last = "gt.claim('1.1', 'text', 1, low=1)"
    return dependency_hash([*cells, last], PACKAGE | package, {})


def test_layout_does_not_count_but_strings_and_blocks_do():
    plain = key("x = f(a, b, c)\nif x:\n    y = f'{x + 1} é'\n    z = 'a b'")
    assert key("x = f(a,  # é\n      b,\n\n      c)\nif x :\n  # no\n    y=f'{x+1} é'\n\n    z = \"a b\"  ") == plain
    assert key("x = f(a, b, c)\nif x:\n    y = f'{x + 1} é'\nz = 'a b'") != plain
    assert key("x = f(a, b, c)\nif x:\n    y = f'{x + 1} é'\n    z = 'ab'") != plain
    assert key("gt.claim('1.1', 'short', x,\n  low=1)") == key("gt.claim('1.1', 'long '\n         'text', x, low=1)")
    assert key("gt.claim('1.1', 'short', x, low=1)") != key("gt.claim('1.1', 'short', x, low=11)")
    assert key("x = 1", "# @title Set-up\n# One.") == key("x = 1", "# @title Set-up\nprint(2)")


DEFS = {"toy": "from . import far\n\ndef measure(x):\n    return far.A + 1\n", "far": "A = 1\n", "other": "B = 1\n"}


@pytest.mark.parametrize(
    "cell, reaches",
    [
        ("import gan_tutorial as gt\ngt.measure(1)", {"toy", "far"}),
        ("import gan_tutorial.toy\ngan_tutorial.measure(1)", {"toy", "far"}),
        ("from gan_tutorial.toy import measure as m\nm(1)", {"toy", "far"}),
        ("from gan_tutorial import far as f\nf.A", {"far"}),
        ("import gan_tutorial as gt\ngt.data.digits()", set()),
        ("import gan_tutorial as gt\ngetattr(gt, name)(1)", {"toy", "far", "other"}),  # we cannot tell: all
        ("from gan_tutorial import *", {"toy", "far", "other"}),
        ("from importlib import import_module\nimport_module(name)", {"toy", "far", "other"}),
        ("run([sys.executable, '-m', 'gan_tutorial', 'train'])", {"toy", "far", "other"}),
    ],
)
def test_modules_are_reached_through_the_package(cell, reaches):
    plain = key(cell, **DEFS)
    assert {name for name in DEFS if key(cell, **DEFS | {name: DEFS[name].replace("1", "2")}) != plain} >= reaches
    assert {name for name in DEFS if key(cell, **DEFS | {name: DEFS[name] + "\nC = 3\n"}) != plain} == reaches


SAMPLES = '''
def f(x: T = f"{1!r:>{2}} {x=}" "tail", *, y: int = 1_0 + 0x10) -> "str":
    """Words."""
    match x:
        case {"a": [1, *_], **rest} if not rest: return f"{x:}", (yield), lambda *a, b=-1.50, **c: a
    with open(x) as a, b: pass
    async def g(): return [i async for i in x if i], {*x}, {**x}, x[1:2, ...], b"\\x00", "\\N{BULLET}", 1e400, 2j
    try: global z
    except* (A, B) as e: raise e from None
    return (1, *x), x @ y // ~z, not x, x if y else z, "a" \'b\'
'''


def test_the_hash_is_the_same_on_every_python():
    """Recorded with Python 3.11; 3.12 and 3.13 have other fields in their trees, and cut f-strings differently."""
    digest = hashlib.sha256(dump(ast.parse(SAMPLES)).encode()).hexdigest()
    assert digest[:12] == "609fdefaee3a"


def test_a_hook_that_collects_other_frames_makes_the_chapters_that_film_stale():
    """Claim 2.5 counts modes in the frames of a film: so the module that makes them counts, though it draws."""
    book = claim_sources.Book(ROOT)
    module = book.sources.package["hooks"]
    assert module.count("self.frames.append(frame)") == 1
    changed = book.sources.sabotaged(
        "gan_tutorial/hooks.py", "self.frames.append(frame)", "self.frames.insert(0, frame)"
    )
    stale = {name for name in changed.notebooks if changed.key(name) != book.sources.key(name)}
    filming = {path.name for path in notebooks.chapters() if "hooks.Film(" in path.read_text(encoding="utf-8")}
    assert filming and filming <= stale


def test_what_an_earlier_version_recorded_is_not_run_again_where_only_what_is_missing_is_wanted(done):
    before = done.record["runs"]
    done.change("gan_tutorial/toy.py", "return 1", "return 2")
    assert done.claims("--missing") == 1  # the strict verdict is about all of it
    assert done.record["runs"] == before
    new = 'gt.claim("1.3", "Two and two is four", 2 * total, low=4, high=4, exact=True)'
    done.chapter(*CELLS, new)
    done.write("book/sabotages.toml", SABOTAGES.replace('claims = ["1.1"]', 'claims = ["1.1", "1.3"]'))
    done.claims("--missing", "--seeds", "1")
    ran = [run for run in done.record["runs"] if run not in before]
    assert [(run["seed"], run["sabotage"]) for run in ran] == [(0, None), (0, "a wrong sum")]


def test_the_page_says_what_has_not_been_run_yet(toy):
    assert toy.claims("--seeds", "3") == 0
    assert "three of ten seeds so far" in toy.page
    # 1.1 is exact: one run is all that it needs.
    assert "**Of 2 claims, still to be run: all ten seeds for 1, the fresh seeds for 1.**" in toy.page


def test_the_page_says_which_claims_were_never_broken(done):
    """A record from which the runs under sabotage are gone, as that of claims that were just written."""
    assert "still to be run" not in done.page
    record = done.record
    record["runs"] = [run for run in record["runs"] if not run["sabotage"]]
    done.write("book/claims.json", json.dumps(record))
    assert "**Of 2 claims, still to be run: a run under sabotage for 2.**" in done.page
