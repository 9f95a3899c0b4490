"""What all tests share: settings that make a run repeatable, and for each chapter a check of what its cells recorded.

nbval turns every code cell of a notebook into a test. Behind the last cell of each we append one test more: did every
claim in the source really run and hold, and did the chapter use the digits that it was to use?
"""

from __future__ import annotations

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


def scale(config) -> str:
    """The scale of the chapters; unit tests set their own."""
    return "smoke" if config.getoption("--smoke") else os.environ.get("GAN_TUTORIAL_SCALE") or "cpu"


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes seconds; `make quick` leaves it out")
    os.environ["GAN_TUTORIAL_DOWNLOAD"] = "0"  # a test never downloads
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ.pop("GAN_TUTORIAL_RECORD_ONLY", None)
    if os.environ.get("GAN_TUTORIAL_DATA"):  # kernels start in the notebook's folder
        os.environ["GAN_TUTORIAL_DATA"] = str(Path(os.environ["GAN_TUTORIAL_DATA"]).expanduser().absolute())


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
    from gan_tutorial.files import MNIST_FILES, cache_directory

    asked = os.environ.get("GAN_TUTORIAL_DIGITS")
    if asked or os.environ.get("GAN_TUTORIAL_DATA"):
        return asked or "mnist"
    cache = cache_directory() / "mnist"
    return "mnist" if all((cache / f"{name}.gz").is_file() for name in MNIST_FILES) else "synthetic"


class Recorded(pytest.Item):
    """The last test of a chapter: what its cells recorded while nbval ran them."""

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

    def reportinfo(self):
        return self.path, None, f"{self.path.name}: what it recorded"

    def repr_failure(self, excinfo):
        return f"{self.path.name}: {excinfo.value}"


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem.removeprefix("test_") in SLOW:
            item.add_marker("slow")
        if item.path.suffix == ".ipynb" and scale(item.config) == "smoke":
            item.options["check"] = False  # claims check and print nothing there
    cells = [(place, item) for place, item in enumerate(items) if item.path.suffix == ".ipynb"]
    last = {item.parent: place for place, item in cells}
    for chapter, place in sorted(last.items(), key=lambda pair: -pair[1]):
        items.insert(place + 1, Recorded.from_parent(chapter, name="record"))


def pytest_terminal_summary(terminalreporter):
    """A line a chapter: seconds, claims, digits."""
    seconds, words = {}, {}
    for report in (r for kind in ("passed", "failed", "error") for r in terminalreporter.stats.get(kind, [])):
        path, suffix, _ = getattr(report, "nodeid", "").partition(".ipynb")
        if suffix:
            name = path.rpartition("/")[2]
            seconds[name] = seconds.get(name, 0.0) + report.duration
            words[name] = dict(report.user_properties).get("chapter", words.get(name))
    if seconds:
        terminalreporter.section("chapters")
        for name in sorted(seconds):
            terminalreporter.write_line(f"{name}: {seconds[name]:.0f} s, {words[name] or 'not all cells passed'}")
