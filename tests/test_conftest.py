"""The test behind each chapter's last cell: it passes where all is well, and fails for what it is there to see."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
CLAIM = 'gt.claim("1.1", "One is one", 1.0, low=1)'
CHAPTERS = {  # a chapter's second cell, and whether the chapter's last test is to pass
    "good": (CLAIM, True),
    "start": (CLAIM.replace("1.1", "S.1"), True),
    "errata": (CLAIM.replace("1.1", "A.1"), True),
    "own_images": (CLAIM.replace("1.1", "O.1"), True),
    "quiet_errata": (f"if False:\n    {CLAIM.replace('1.1', 'A.1')}", False),
    "quiet_start": (f"if False:\n    {CLAIM.replace('1.1', 'S.1')}", False),
    "quiet": (f"if False:\n    {CLAIM}", False),
    "swallowed": (f"try:\n    {CLAIM.replace('low=1', 'low=2')}\nexcept AssertionError:\n    pass", False),
    "digits": ('gt.claims.record({"digits": "synthetic"})\n' + CLAIM, True),
    "wrong_digits": ('gt.claims.record({"digits": "mnist"})\n' + CLAIM, False),
    "silent_digits": (f"if False:\n    gt.data.digits()\n{CLAIM}", False),
    "environment": (
        "from os import environ, path\n"
        "assert environ['GAN_TUTORIAL_DOWNLOAD'] == '0' and environ['GAN_TUTORIAL_SCALE'] == 'cpu'\n"
        "assert path.isabs(environ['GAN_TUTORIAL_DATA'])",
        True,
    ),
}


def test_a_user_who_is_not_there_ends_no_run(monkeypatch):
    """The package says it, in a sentence, where the digits are read."""
    monkeypatch.setenv("GAN_TUTORIAL_DATA", "~no-such-user/digits")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/test_lock.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def environment():
    """This one, without the settings of whoever runs these tests."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("GAN_", "PYTEST_"))}
    return ours | {"GAN_TUTORIAL_DIGITS": "synthetic", "GAN_TUTORIAL_DATA": "relative", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What pytest says of a dozen small chapters, with synthetic digits asked for."""
    folder = tmp_path_factory.mktemp("book")
    shutil.copyfile(ROOT / "conftest.py", folder / "conftest.py")
    for name, (source, _) in CHAPTERS.items():
        cells = [nbformat.v4.new_code_cell(text) for text in ("import gan_tutorial as gt", source)]
        if name == "good":  # its output is compared
            cells[1].execution_count, cells[1].metadata["tags"] = 1, ["nbval-check-output"]
            cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="✓ 1.1 One is one\n")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")
    options = ["-rA", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"]
    command = [sys.executable, "-m", "pytest", *options]

    def run(*words):
        return subprocess.run([*command, *words], cwd=folder, env=environment(), capture_output=True, text=True).stdout

    return run("."), run("good.ipynb", "--smoke")


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_last_test_of_a_chapter(report, name):
    assert f"PASSED {name}.ipynb::Cell 1" in report[0], report[0]
    assert f"{'PASSED' if CHAPTERS[name][1] else 'FAILED'} {name}.ipynb::record" in report[0], report[0]


def test_a_claim_that_prints_nothing_at_smoke_scale_is_no_fault(report):
    """Nothing is checked there, so stored outputs are not compared."""
    assert "3 passed" in report[1] and "0 claims hold" in report[1], report[1]


def test_what_passed_and_is_unchanged_is_left_out(tmp_path):
    """With --changed a chapter is run again after its code or the package changed, or if it failed."""
    shutil.copyfile(ROOT / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "gan_tutorial").mkdir()
    (tmp_path / "gan_tutorial" / "module.py").write_text("x = 1\n")

    def write(name, source, note="Words."):
        cells = [nbformat.v4.new_markdown_cell(note), nbformat.v4.new_code_cell(source)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / f"{name}.ipynb")

    def ran(*options):
        command = [sys.executable, "-m", "pytest", "-rA", "--nbval-lax", "--nbval-current-env", "--smoke", *options]
        said = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True).stdout
        return {name for name in ("good", "bad") if f"{name}.ipynb::Cell 0" in said}

    write("good", "1 + 1")
    write("bad", "1 / 0")
    assert ran("--changed") == {"good", "bad"}
    assert ran("--changed") == {"bad"}
    assert ran() == {"good", "bad"}
    write("good", "1 + 1", "Other words.")
    assert ran("--changed") == {"bad"}
    write("bad", "1 / 1")
    assert ran("--changed") == {"bad"}
    assert ran("--changed") == set()
    write("good", "1 + 2")
    assert ran("--changed") == {"good"}
    (tmp_path / "gan_tutorial" / "module.py").write_text("x = 2\n")
    assert ran("--changed") == {"good", "bad"}
    (tmp_path / "requirements.txt").write_text("torch==2.13.0\n")
    assert ran("--changed") == {"good", "bad"}


def test_long_files_start_first(tmp_path):
    """Chapters, then the tests marked as slow, then the others: each kind in the order of its names."""
    shutil.copyfile(ROOT / "conftest.py", tmp_path / "conftest.py")
    for name in ("test_pages", "test_quality", "test_vae", "test_arrays"):
        (tmp_path / f"{name}.py").write_text("def test_one():\n    pass\n")
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")]), tmp_path / "zeta.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "--nbval-lax", "-p", "no:cacheprovider"]
    said = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True).stdout
    files = [line.partition("::")[0] for line in said.splitlines() if "::" in line]
    assert files == ["zeta.ipynb"] * 2 + ["test_pages.py", "test_vae.py", "test_arrays.py", "test_quality.py"], said
