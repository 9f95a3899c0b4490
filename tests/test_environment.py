"""The environment behind make: a new one takes the place of the old one when it is complete, and never before."""

import os
import shutil
import subprocess
import sys

import pytest

from tools import ROOT, environment


@pytest.fixture
def book(tmp_path):
    """A folder with what the environment is made by, and an environment as an earlier version made it."""
    for name in ("tools/__init__.py", "tools/environment.py", "gan_tutorial/atomic.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "requirements.txt").write_text("no-such-package-as-this==1.0\n")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "mine").touch()
    return tmp_path


def run(book):
    settings = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PYTHONPATH": ""}
    command = [sys.executable, "-m", "tools.environment", ".venv"]
    return subprocess.run(command, cwd=book, env=os.environ | settings, capture_output=True, text=True)


def test_one_that_cannot_be_made_leaves_the_old_one(book):
    before = sorted(os.listdir(book))
    result = run(book)
    assert result.returncode == 1
    assert "could not be made" in result.stderr and ".venv is as it was." in result.stderr
    assert "Traceback" not in result.stderr
    assert [name for name in sorted(os.listdir(book)) if name not in before] == []
    assert (book / ".venv" / "mine").is_file()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(book):
    book.chmod(0o500)
    assert "Copy the book to a folder of yours" in run(book).stderr


def test_a_complete_one_takes_its_place(book):
    """First that of a folder, then that of a link; scripts know their own path, and nothing is left over."""
    for name in ("first", "second"):
        environment.make(book / ".venv", fill=lambda new, name=name: (new / name).touch())
        assert (book / ".venv").is_symlink() and (book / ".venv" / name).is_file()
        assert sum(entry.startswith(".venv") for entry in os.listdir(book)) == 2
        prefix = subprocess.run(
            [book / ".venv/bin/python", "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True
        )
        assert prefix.stdout.strip() == str(book / ".venv")
    assert not (book / ".venv" / "first").exists()
    assert not environment.outdated(book / ".venv", "requirements.txt")
    assert environment.outdated(book / ".venv", "LICENSE") and environment.outdated(book, "requirements.txt")


def test_one_elsewhere_that_a_link_leads_to_is_left_alone(book, tmp_path_factory):
    shared = tmp_path_factory.mktemp("elsewhere")
    (shared / "mine").touch()
    shutil.rmtree(book / ".venv")
    (book / ".venv").symlink_to(shared)
    environment.make(book / ".venv", fill=lambda new: None)
    assert (shared / "mine").is_file() and (book / ".venv").resolve().parent == book
