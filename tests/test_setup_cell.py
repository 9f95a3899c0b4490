"""The set-up cell: silent here; on a make-believe Colab it installs from a local git repository."""

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tools import setup_cell

ROOT = Path(__file__).parents[1]

# What a chapter would find: the versions of torch and numpy before and after, and the package.
AFTER = """
import gan_tutorial
from importlib.metadata import version
print(gan_tutorial.__file__, gan_tutorial.word, version("torch"), version("numpy"))
"""


def git(repository, *words):
    settings = [
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@example.org",
        "-c",
        "init.defaultBranch=main",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "tag.gpgsign=false",
    ]
    subprocess.run(["git", *settings, *words], cwd=repository, check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A git repository with a package of our package's name, a release v1.0 and later work behind it."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "gan_tutorial").mkdir()
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    for name in ("README.md", "LICENSE"):
        (folder / name).write_text("text\n")
    module = folder / "gan_tutorial" / "__init__.py"
    module.write_text("word = 'release'\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "release")
    git(folder, "tag", "v1.0")
    module.write_text("word = 'later work'\n")
    git(folder, "commit", "-q", "-a", "-m", "later")
    return folder.as_uri()


@pytest.fixture
def colab(tmp_path):
    """A Python environment with torch and numpy, pip and setuptools, without our package, and with google.colab.

    It sees the packages of the environment that runs the tests, as Colab's kernel sees Colab's, and no package index:
    the installation must get by with what is there.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    site = Path(
        subprocess.run(
            [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    )
    shared = tmp_path / "shared"  # all that is installed here, but for our own package
    shared.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "gan_tutorial" not in entry.name and not entry.name.endswith(".pth"):
            (shared / entry.name).symlink_to(entry)
    (site / "shared.pth").write_text(f"{shared}\n")
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").touch()

    def run(source):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "GAN_", "COV_"))}
        environment |= {
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
        }
        command = [str(python), "-c", source]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def test_the_cell_is_valid_and_names_this_release():
    compile(setup_cell.text(), "cell", "exec")
    assert setup_cell.text().startswith(setup_cell.MARK)
    assert f'"{setup_cell.project()[1]}"' in setup_cell.text()


@pytest.mark.parametrize("address", ["", "https://github.com/someone/gan-book"])
def test_the_formatter_leaves_it_alone(address):
    source = setup_cell.text(address, "v10.20.30") + "\n"
    command = [sys.executable, "-m", "ruff", "format", "--config", str(ROOT / "book" / "ruff.toml"), "-"]
    assert subprocess.run(command, input=source, capture_output=True, text=True).stdout == source


def test_here_it_does_nothing(capfd, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("the cell ran a command"))
    exec(compile(setup_cell.text("https://example.org/book", "v1.0"), "cell", "exec"), {})
    assert capfd.readouterr() == ("", "")


def test_on_colab_it_installs_the_release_and_leaves_torch_alone(colab, repository):
    result = colab(setup_cell.text(repository, "v1.0") + AFTER)
    assert result.returncode == 0, result.stderr
    file, *words = result.stdout.splitlines()[-1].split(" ")
    assert "site-packages" in file
    assert words[0] == "release"
    assert words[-2:] == [importlib.metadata.version(name) for name in ("torch", "numpy")]  # +cu130 is not in there


def test_a_second_run_on_colab_installs_nothing(colab, repository):
    cell = setup_cell.text(repository, "v1.0")
    assert colab(cell).returncode == 0
    again = colab("import subprocess; subprocess.run = None\n" + cell + AFTER)
    assert again.returncode == 0, again.stderr


def test_a_release_that_does_not_exist_stops_the_notebook(colab, repository):
    result = colab(setup_cell.text(repository, "v9.9") + "\nprint('went on')")
    assert result.returncode != 0
    assert "went on" not in result.stdout
    assert "v9.9" in result.stderr


def test_without_an_address_colab_is_told_what_to_do(colab):
    result = colab(setup_cell.text("", "v1.0") + "\nprint('went on')")
    assert result.returncode != 0
    assert "upload its folder gan_tutorial" in result.stderr


def test_putting_the_cell_into_a_notebook():
    notebook = {
        "cells": [
            {"cell_type": "markdown", "source": ["# T"]},
            {"cell_type": "code", "source": ["# @title Set-up\n", "old"], "metadata": {}},
        ]
    }
    assert setup_cell.put(notebook, "# @title Set-up\nnew")
    assert notebook["cells"][1]["source"] == ["# @title Set-up\n", "new"]
    assert notebook["cells"][1]["metadata"]["tags"] == ["hide-cell"]
    assert not setup_cell.put(notebook, "# @title Set-up\nnew")
    assert setup_cell.put(notebook, setup_cell.text("https://example.org"))
    assert "".join(notebook["cells"][1]["source"]) == setup_cell.text("https://example.org")
    with pytest.raises(ValueError, match="no set-up cell"):
        setup_cell.put({"cells": []}, "# @title Set-up")
