"""`make claims` on a book of two toy chapters, without torch: what it must accept, and what it must not let pass."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import claim_sources  # noqa: E402
import claims  # noqa: E402
import claims_page  # noqa: E402
import code_key  # noqa: E402
from claim_verdict import distance, holds, rounded  # noqa: E402

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
    '    record({"digits": os.environ.get("GAN_TUTORIAL_DIGITS") or "drawn"})\n',
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
    "# Set-up. Nothing here.",
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

    def key(self) -> str:
        book = claim_sources.Book(self.root)
        assert book.problems == []
        return book.chapters["01"].key


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A complete record, made once: 10 seeds and 2 sabotages."""
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


def test_the_record(done):
    one, two = (done.record["claims"][n] for n in ("1.1", "1.2"))
    assert one["exact"] and one["sets"]["none"]["values"] == [2]
    assert one["fails_under"] == [{"sabotage": "a wrong sum", "value": 3}]
    entry = two["sets"]["none"]
    assert (entry["runs"], entry["held"], entry["low"], entry["high"]) == (10, 10, 1.5, 2.5)
    values = entry["values"]
    mean = sum(values) / 10
    sd = (sum((v - mean) ** 2 for v in values) / 9) ** 0.5
    assert entry["mean"] == pytest.approx(mean, rel=1e-5) and entry["sd"] == pytest.approx(sd, rel=1e-4)
    assert entry["margin"] == pytest.approx(min(mean - 1.5, 2.5 - mean) / sd, rel=1e-4)
    assert two["cell"] == "01_toy.ipynb#claim-1-2"
    assert two["fails_under"][0]["value"] > 2.5
    runs = [r for r in done.record["runs"] if not r["sabotage"]]
    assert [r["seed"] for r in runs] == list(range(10)) and all(r["peak_mb"] > 1 and r["seconds"] >= 0 for r in runs)


def test_the_page_lists_what_the_record_says(done):
    page = (done.root / "book" / "appendix" / "claims.md").read_text(encoding="utf-8")
    page = page.replace("\N{NO-BREAK SPACE}", " ")
    assert "## [A toy](../01_toy.ipynb)" in page
    assert "| [1.1](../01_toy.ipynb#claim-1-1) **One and one is two** | = 2 |" in page
    assert "| one run | 2 | 1 | exact |\n| ✗ a wrong sum | 3 | 1 | fails |" in page
    assert "| [1.2](../01_toy.ipynb#claim-1-2) **The measure is near 2** | ≥ 1.5, ≤ 2.5 |" in page
    assert claims_page.plain("D* = p_d|x$") == r"D\* = p\_d\|x\$"


def test_nothing_is_run_twice(done, capsys):
    before = (done.root / "book" / "claims.json").read_bytes()
    assert done.claims() == 0 and done.claims("--check") == 0
    assert "12 of 12 runs are up to date" in capsys.readouterr().out
    assert (done.root / "book" / "claims.json").read_bytes() == before
    assert done.claims("--table") == 0
    assert "01_toy.ipynb" in capsys.readouterr().out


def test_words_and_pictures_make_nothing_stale(done):
    done.change("gan_tutorial/toy.py", "  # a comment", "")
    done.change("gan_tutorial/toy.py", "A number near 2.", "Some\n    number.")
    done.change("gan_tutorial/toy.py", "return 1", "return 11")  # in a function that no chapter uses
    done.change("gan_tutorial/plots.py", "pass", "print(x)")
    done.chapter("# Set-up. Another.", *CELLS[1:3], "gt.plots.curve(value)\nprint(f'{value:.2f}')", *CELLS[3:])
    assert done.claims("--check") == 0


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("gan_tutorial/toy.py", "uniform(-1, 1)", "uniform(-1, 2)"),
        ("book/01_toy.ipynb", "gt.measure(0.1)", "gt.measure(0.2)"),
        ("book/01_toy.ipynb", "high=2.5", "high=2.6"),
    ],
    ids=["package", "chapter", "bound"],
)  # no name of a notebook in an id: conftest.py would take the test for a cell
def test_code_and_bounds_do(done, capsys, file, old, new):
    done.change(file, old, new)
    assert done.claims("--check") == 1
    assert "10 of 10 runs are missing or out of date" in capsys.readouterr().out


def test_a_claim_may_be_reworded(done, capsys):
    done.change("book/01_toy.ipynb", "The measure is near 2", "The measure is close to 2")
    assert done.claims("--check") == 1
    out = capsys.readouterr().out
    assert "claims.md does not say" in out and "out of date" not in out
    assert done.claims() == 0 and "12 of 12 runs are up to date" in capsys.readouterr().out
    assert done.claims("--check") == 0


def test_a_record_that_was_edited_is_noticed(done, capsys):
    done.change("book/claims.json", '"held": 10', '"held": 9')
    assert done.claims("--check") == 1
    assert "book/claims.json does not say" in capsys.readouterr().out


def test_one_seed_that_fails_is_enough(done, capsys):
    run = next(r for r in done.record["runs"] if r["seed"] == 7)
    value = run["claims"]["1.2"][0]
    done.change("book/claims.json", f'"1.2": [{value}, 1.5, 2.5]', '"1.2": [2.7, 1.5, 2.5]')
    assert done.claims() == 1
    assert "claim 1.2 held in 9 of 10 runs" in capsys.readouterr().out


def test_three_standard_deviations(done, capsys):
    record = done.record
    for run in record["runs"]:
        if not run["sabotage"]:
            run["claims"]["1.2"] = [2 + 0.1 * (run["seed"] - 4.5), 1.5, 2.5]  # sd 0.303, bound 0.5 away
    done.write("book/claims.json", json.dumps(record))
    assert done.claims() == 1
    assert "held in 10 of 10 runs (none), but its mean is only 1.7 standard deviations" in capsys.readouterr().out


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
    assert "11 of 12 runs are up to date" in out and "claim 1.1 under 'two is three' still holds, with 2" in out


def test_what_comes_after_the_last_claim_runs_with_seed_0_alone(toy):
    """The solutions: they claim nothing, and cost as much for every seed."""
    after = f'import os\nopen(r"{toy.root / "ran"}", "a").write(os.environ["GAN_TUTORIAL_SEED"] + "\\n")'
    toy.chapter(*CELLS, after)
    assert toy.claims("--seeds", "3") == 0
    assert (toy.root / "ran").read_text() == "0\n"


def test_by_value_not_by_a_crash(toy, capsys):
    toy.change("book/sabotages.toml", '"return 3 +"', '"return 1 / 0 +"')
    assert toy.claims("--seeds", "1") == 1
    out = capsys.readouterr().out
    assert "under 'two is three': stopped (status 1) before claim 1.2" in out and "ZeroDivisionError" in out
    assert "code cell 3:\nvalue = gt.measure(0.1)" in out


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ('old = "1 + 1"', 'old = "1"', "its old text occurs 7 times in book/01_toy.ipynb"),
        ('old = "1 + 1"', 'old = "7"', "its old text occurs 0 times"),
        ('file = "book/01_toy.ipynb"', 'file = "book/09_x.ipynb"', "neither a module of gan_tutorial/ nor a notebook"),
        (
            'old = "return 2 +"\nnew = "return 3 +"',
            'old = "return 1"\nnew = "return 3"',
            "changes nothing that chapter 01",
        ),
        (
            'old = "return 2 +"\nnew = "return 3 +"',
            'old = "a comment"\nnew = "nothing"',
            "changes nothing that chapter 01",
        ),
        ('old = "1 + 1"\nnew = "1 + 2"', 'old = "low=2, high=2,"\nnew = "low=3,"', "it changes a claim"),
        ('claims = ["1.1"]', 'claims = ["1.1", "1.7"]', "the book has no claim 1.7"),
        ('claims = ["1.1"]', "claims = []", "needs name, file, old, new and claims"),
        ('name = "a wrong sum"', 'name = "two is three"', "its name is taken"),
        ('new = "1 + 2"', 'new = "1 +"', "invalid syntax"),
        ('claims = ["1.1"]', 'claims = ["1.2"]', "no sabotage for claim 1.1"),
    ],
    ids=range(11),
)
def test_a_sabotage_that_makes_no_sense(toy, capsys, old, new, sentence):
    toy.change("book/sabotages.toml", old, new)
    assert toy.claims("--check") == 1
    assert sentence in capsys.readouterr().out


@pytest.mark.parametrize(
    "cell, sentence",
    [
        (EXACT.replace("1.1", "1.3"), "claim 1.3 stands where 1.1 is expected"),
        (EXACT + "\n" + EXACT, "claim 1.1 stands where 1.2 is expected"),
        (EXACT.replace('"One and one is two"', 'f"{total}"'), "written out, not computed"),
    ],
)
def test_claims_that_break_the_form(toy, capsys, cell, sentence):
    toy.chapter(*CELLS[:3], cell)
    assert toy.claims("--check") == 1
    assert sentence in capsys.readouterr().out


def test_a_claim_that_is_not_reached_or_twice(toy, capsys):
    toy.chapter(*CELLS[:3], f"for _ in range(2):\n    {EXACT}\nif False:\n    {CLOSE}")
    assert toy.claims("--seeds", "1") == 1
    out = capsys.readouterr().out
    assert "01 seed 0: did not record 1.2" in out


def test_digits_are_run_on_both_sets_and_all_exact_chapters_once(toy, capsys):
    toy.chapter("import gan_tutorial as gt\ngt.data.digits()", "total = 1 + 1", EXACT)
    toy.write("book/sabotages.toml", SABOTAGES.split("[[sabotage]]")[-1].join(["[[sabotage]]", ""]))
    assert toy.claims() == 0
    assert "0 of 3 runs are up to date" in capsys.readouterr().out
    assert list(toy.record["claims"]["1.1"]["sets"]) == ["mnist", "drawn"]
    assert [(r["digits"], r["sabotage"]) for r in toy.record["runs"]] == [
        ("drawn", None),
        ("mnist", None),
        ("drawn", "a wrong sum"),
    ]


def test_resumes_after_a_kill_and_refuses_to_run_twice(toy, capsys):
    toy.chapter(*CELLS[:3], "import time\ntime.sleep(0.3)", CELLS[3])
    command = [sys.executable, str(ROOT / "tools" / "claims.py"), "--root", str(toy.root), "--jobs", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    path = toy.root / "book" / "claims.json"
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.02)
    assert toy.claims() == 2
    assert "another `make claims` is at work" in capsys.readouterr().out
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(toy.record["runs"])
    assert 0 < kept < 12
    assert toy.claims() == 0
    assert f"{kept} of 12 runs are up to date" in capsys.readouterr().out
    assert toy.claims("--check") == 0


def test_a_part_says_that_it_is_one(toy, capsys):
    toy.chapter("import gan_tutorial as gt\ngt.claim('2.1', 'True', True)", name="02_other")
    assert toy.claims("--only", "1", "--seeds", "1") == 0
    assert "the record is NOT complete" in capsys.readouterr().out
    assert toy.claims("--check") == 1
    assert "no sabotage for claim 2.1" in capsys.readouterr().out


def test_the_cell_of_a_claim_has_an_anchor():
    from types import SimpleNamespace

    import claim_anchors
    from docutils import nodes

    def cell(source):
        return nodes.container("", nodes.container("", nodes.literal_block(source, source)), nb_element="cell_code")

    document = nodes.section("", cell("x = 1"), cell(EXACT + "\n" + CLOSE))
    app = SimpleNamespace(env=SimpleNamespace(docname="01_toy", metadata={"01_toy": {"myst_slugs": {}}}))
    claim_anchors.add_anchors(app, document)
    assert document[0]["ids"] == [] and document[1]["ids"] == ["claim-1-1", "claim-1-2"]
    assert list(app.env.metadata["01_toy"]["myst_slugs"]) == ["claim-1-1", "claim-1-2"]


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
    return code_key.code_key(list(cells), code_key.Package(PACKAGE | package))[0]


def test_what_only_draws_does_not_count():
    plain = key("import matplotlib.pyplot as plt", "x = 1")
    for cell in (
        "fig, axes = plt.subplots(2)\naxes[0].plot(x)\nplt.show()",
        "f, (left, right) = plt.subplots(1, 2)\nleft.set(xlabel='x')\nright.plot(x)",
        "print(f'{x.mean():.2f}', '$é$')  # é",
    ):
        assert key("import matplotlib.pyplot as plt", "x = 1\n" + cell) == plain
    for cell in ("print(net(x))", "ax.plot(torch.randn(3))", "n, bins = plt.hist(x)", "print(y := 2)"):
        assert key("import matplotlib.pyplot as plt", "x = 1\n" + cell) != plain


def test_a_model_that_is_only_shown_does_not_count():
    package = code_key.Package(
        {
            "__init__": "from .checkpoint import pretrained",
            "plots": "",
            "metrics": "",
            "checkpoint": "def pretrained(name): ...",
        }
    )

    def key(*lines):
        return code_key.code_key(["import gan_tutorial as gt\n" + "\n".join(lines)], package)[0]

    shown = (
        "made = gt.pretrained('dcgan')",
        "print(made, gt.metrics.table(made.metrics))",
        "figure = gt.plots.trained(made, made.sample(64))",
    )
    assert key(*shown) == key(shown[0].replace("dcgan", "mlp"), *shown[1:])
    for use in ("x = made.sample(64)", "if made.steps > 3: y = 1", "for image in made.sample(3): y = image"):
        assert key(*shown, use) != key(shown[0].replace("dcgan", "mlp"), *shown[1:], use)


def test_layout_does_not_count_but_strings_and_blocks_do():
    plain = key("x = f(a, b, c)\nif x:\n    y = f'{x + 1} é'\n    z = 'a b'")
    assert key("x = f(a,  # é\n      b,\n\n      c)\nif x :\n  # no\n    y=f'{x + 1} é'\n\n    z = 'a b'  ") == plain
    assert key("x = f(a, b, c)\nif x:\n    y = f'{x + 1} é'\nz = 'a b'") != plain
    assert key("x = f(a, b, c)\nif x:\n    y = f'{x + 1} é'\n    z = 'ab'") != plain
    assert key("gt.claim('1.1', 'short', x,\n  low=1)") == key("gt.claim('1.1', 'long '\n         'text', x, low=1)")
    assert key("gt.claim('1.1', 'short', x, low=1)") != key("gt.claim('1.1', 'short', x, low=11)")


def test_code_is_reached_through_the_package():
    cell = "import gan_tutorial as gt\ngt.measure(1)"
    chain = {"toy": "from . import far\nfrom .far import B as C\n\ndef measure(x):\n    return far.f(C)\n\n\nD = 1\n"}
    far = "A = 1\nB = 2\nE = 3\n\n\ndef f(x):\n    return A\n"
    plain = key(cell, **chain, far=far)
    assert key(cell, **chain, far=far.replace("A = 1", "A = 2")) != plain
    assert key(cell, **chain, far=far.replace("B = 2", "B = 3")) != plain
    assert key(cell, **chain, far=far.replace("E = 3", "E = 4")) == plain
    assert key(cell, **chain, far=far + "\nif A:\n    A = 3\n") != plain  # runs on import
    assert key(cell, toy=chain["toy"].replace("D = 1", "D = 2"), far=far) == plain
    assert key("from gan_tutorial.toy import measure as m\nm(1)", **chain, far=far) != key(
        "from gan_tutorial.toy import measure as m\nm(1)", **chain, far=far.replace("A = 1", "A = 2")
    )


def test_a_film_whose_frames_a_claim_counts_matters():
    """Claim 2.5 counts modes in the frames of a film: a film that collects other frames makes chapter 2 stale, and
    every other chapter that makes one."""
    book = claim_sources.Book(ROOT)
    changed = book.tree.sabotaged("gan_tutorial/hooks.py", "self.frames.append(frame)", "self.frames.insert(0, frame)")
    package = code_key.Package(changed.package)
    stale = {
        c.number
        for c in book.chapters.values()
        if code_key.code_key(changed.notebooks[c.notebook], package)[0] != c.key
    }
    filming = {c.number for c in book.chapters.values() if "hooks.Film(" in (ROOT / "book" / c.notebook).read_text()}
    assert "02" in stale and stale == filming
