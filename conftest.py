"""What all tests share: settings that make a run repeatable, and for each chapter a check of what its cells recorded.

nbval turns every code cell of a notebook into a test. Behind the last cell of each we append one test more: did every
claim in the source really run and hold, and did the chapter use the digits that it was to use?
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).resolve().parent
PASSED = "chapters/passed"  # in pytest's cache: what each chapter ran when it last passed
CLAIM = re.compile(r"""\bclaim\(\s*["']((?:\d+|[AOS])\.\d+)["']""")
matplotlib.use("agg")


# Files of tests that train, start processes or build pages, three seconds and more: `make quick` leaves them out.
SLOW = """
acceleration baselines browser checkpoint claims_tool conftest distributed environment files gpu inpainting lab_page
live live_page main open_recipes own_data pages pdf pretrained recipes search set_repository setup_cell speed
sphinx_chart sphinx_figures sphinx_page sphinx_reading translation vae
""".split()


def pytest_addoption(parser):
    parser.addoption("--smoke", action="store_true", help="run chapters at smoke scale, which checks no claims")
    parser.addoption("--changed", action="store_true", help="leave out chapters that passed, and run the same code now")


def scale(config) -> str:
    """The scale of the chapters; unit tests set their own."""
    return "smoke" if config.getoption("--smoke") else os.environ.get("GAN_TUTORIAL_SCALE") or "cpu"


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes seconds; `make quick` leaves it out")
    os.environ["GAN_TUTORIAL_DOWNLOAD"] = "0"  # a test never downloads
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ.pop("GAN_TUTORIAL_RECORD_ONLY", None)
    if os.environ.get("GAN_TUTORIAL_DATA"):  # kernels start in the notebook's folder
        # os.path leaves ~ alone where there is no such user: the package says so later, in a sentence.
        os.environ["GAN_TUTORIAL_DATA"] = os.path.abspath(os.path.expanduser(os.environ["GAN_TUTORIAL_DATA"]))


@cache
def records() -> tempfile.TemporaryDirectory:
    """A folder of this process alone, under a name that nobody can foresee; it goes when the process ends."""
    return tempfile.TemporaryDirectory(prefix="gan-tutorial-")


def record_of(notebook: Path) -> Path:
    """Where this process's run of a chapter writes what it claimed and which digits it used."""
    return Path(records().name) / f"{notebook.stem}.jsonl"


@contextmanager
def environment(**changes: str):
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item):
    """nbval starts a chapter's kernel in the setup of its first cell; the kernel inherits what stands here then."""
    if item.path.suffix != ".ipynb":
        return (yield)
    if getattr(item.parent, "kernel", None) is None:
        record_of(item.path).unlink(missing_ok=True)
    settings = {
        "GAN_TUTORIAL_RECORD": str(record_of(item.path)),
        "GAN_TUTORIAL_SCALE": scale(item.config),
        "GAN_TUTORIAL_PROGRESS": "0",
    }
    with environment(**settings):
        return (yield)


def expected_digits() -> str:
    """The digits that chapters are to use here: those asked for, else MNIST where it is local, else synthetic ones."""
    asked = os.environ.get("GAN_TUTORIAL_DIGITS")
    if asked or os.environ.get("GAN_TUTORIAL_DATA"):
        return asked or "mnist"
    from gan_tutorial.files import MNIST_FILES, cache_directory

    cache = cache_directory() / "mnist"
    return "mnist" if all((cache / f"{name}.gz").is_file() for name in MNIST_FILES) else "synthetic"


@cache
def package_hash() -> bytes:
    """A hash of the package with its data, of the versions that it runs on, and of this file."""
    files = [*sorted((ROOT / "gan_tutorial").rglob("*")), ROOT / "requirements.txt", Path(__file__)]
    read = (path.read_bytes() for path in files if path.is_file() and path.suffix != ".pyc")
    return hashlib.sha256(b"".join(read)).digest()


def what_runs(config, notebook: Path) -> str:
    """A hash of what a chapter's tests run: its code cells, the package, scale and digits."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [[cell["source"], cell["metadata"].get("tags")] for cell in cells if cell["cell_type"] == "code"]
    settings = json.dumps([code, scale(config), expected_digits()]).encode()
    return hashlib.sha256(package_hash() + settings).hexdigest()


def unchanged(config, notebooks: set[Path]) -> set[Path]:
    """Those of the notebooks that passed, and run the same now."""
    passed = config.cache.get(PASSED, {})
    return {path for path in notebooks if passed.get(path.stem) == what_runs(config, path)}


class Recorded(pytest.Item):
    """The last test of a chapter: what its cells recorded while nbval ran them."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.ran = what_runs(self.config, self.path)  # now, and not as the files stand when the chapter has run

    def runtest(self):
        cells = json.loads(self.path.read_text(encoding="utf-8"))["cells"]
        source = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
        file = record_of(self.path)
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
        claims = [line["claim"] for line in lines if "claim" in line]
        digits = {line["digits"] for line in lines if "digits" in line}
        if scale(self.config) != "smoke":
            assert claims == CLAIM.findall(source), "the claims that ran are not the claims in the source"
        failed = [line["claim"] for line in lines if not line.get("holds", True)]
        assert not failed, f"failed claims: {', '.join(failed)}"
        if "data.digits(" in source or digits:
            assert digits == {expected_digits()}, f"the chapter used {digits or 'no digits at all'}"
        self.user_properties.append(("chapter", f"{len(claims)} claims hold" + "".join(f", {d}" for d in digits)))
        self.user_properties.append(("ran", self.ran))

    def reportinfo(self):
        return self.path, None, f"{self.path.name}: what it recorded"

    def repr_failure(self, excinfo):
        return f"{self.path.name}: {excinfo.value}"


def turn(item) -> int:
    """Long files first, so that no worker is left alone with one at the end: chapters, slow tests, the others."""
    return 0 if item.path.suffix == ".ipynb" else 1 if item.path.stem.removeprefix("test_") in SLOW else 2


def pytest_collection_modifyitems(config, items):
    if config.getoption("--changed"):
        same = unchanged(config, {item.path for item in items if item.path.suffix == ".ipynb"})
        config.hook.pytest_deselected(items=[item for item in items if item.path in same])
        items[:] = [item for item in items if item.path not in same]
    items.sort(key=turn)
    for item in items:
        if turn(item) == 1:
            item.add_marker("slow")
        if item.path.suffix == ".ipynb" and scale(item.config) == "smoke":
            item.options["check"] = False  # claims check and print nothing there
    cells = [(place, item) for place, item in enumerate(items) if item.path.suffix == ".ipynb"]
    last = {item.parent: place for place, item in cells}
    for chapter, place in sorted(last.items(), key=lambda pair: -pair[1]):
        items.insert(place + 1, Recorded.from_parent(chapter, name="record"))


def pytest_terminal_summary(terminalreporter, config):
    """A line a chapter: seconds, claims, digits. What passed whole is kept, for `--changed`."""
    seconds, words, failed, passed = {}, {}, set(), {}
    for kind, report in ((k, r) for k in ("passed", "failed", "error") for r in terminalreporter.stats.get(k, [])):
        path = Path(getattr(report, "nodeid", "").partition("::")[0])
        if path.suffix == ".ipynb":
            name = path.stem
            seconds[name] = seconds.get(name, 0.0) + report.duration
            said = dict(report.user_properties)
            words[name], passed[name] = said.get("chapter", words.get(name)), said.get("ran", passed.get(name))
            failed |= set() if kind == "passed" else {name}
    if config.getoption("--changed"):
        known = {n: key for n, key in (config.cache.get(PASSED, {}) | passed).items() if key and n not in failed}
        config.cache.set(PASSED, known)
        terminalreporter.write_line(f"chapters that passed before, and run the same now: {len(known.keys() - seconds)}")
    if seconds:
        terminalreporter.section("chapters")
        for name in sorted(seconds):
            terminalreporter.write_line(f"{name}: {seconds[name]:.0f} s, {words[name] or 'not all cells passed'}")
