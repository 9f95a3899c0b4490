"""The repository's address and the release: one place, written everywhere, and a README whose example runs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools import claim_sources, set_repository, setup_cell

ROOT = Path(__file__).parents[1]


@pytest.fixture
def copy(tmp_path):
    """A copy of all files that name the address or the release, and a notebook."""
    for path in set_repository.expected(ROOT):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    (tmp_path / "book").mkdir(exist_ok=True)
    cell = {"cell_type": "code", "source": ["# @title Set-up\n"], "metadata": {}, "outputs": [], "execution_count": 1}
    (tmp_path / "book" / "99_x.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}}))
    for name in ("someone/book", ""):  # whatever the address of this copy of the book, and the age of its cells
        set_repository.move(tmp_path, name)
        set_repository.write(tmp_path)
    return tmp_path


def config(folder):
    return yaml.safe_load((folder / "_config.yml").read_text(encoding="utf-8"))


def test_all_files_say_what_pyproject_says():
    assert [path.name for path in set_repository.differing(ROOT)] == []


def test_without_an_address_nothing_leads_to_colab(copy):
    assert "launch_buttons" not in config(copy)
    assert config(copy)["html"]["use_repository_button"] is False
    assert "url" not in config(copy)["repository"] and "baseurl" not in config(copy)["html"]
    assert "github.com" not in (copy / "README.md").read_text(encoding="utf-8")


def test_an_address_is_written_everywhere(copy):
    set_repository.move(copy, "someone/gan-book")
    assert {p.name for p in set_repository.differing(copy)} == {
        "_config.yml",
        "README.md",
        "CITATION.cff",
        "99_x.ipynb",
        *(p.name for p in (copy / "book").glob("*.ipynb")),
    }
    set_repository.write(copy)
    assert set_repository.differing(copy) == []
    url = "https://github.com/someone/gan-book"
    release = setup_cell.project(copy)[1]
    assert config(copy)["repository"] == {"path_to_book": "", "url": url, "branch": release}
    assert config(copy)["html"]["baseurl"] == "https://someone.github.io/gan-book/"  # canonical links, the sitemap
    assert config(copy)["launch_buttons"] == {"colab_url": "https://colab.research.google.com"}
    for name in ("README.md", "CITATION.cff", "book/99_x.ipynb"):
        assert url in (copy / name).read_text(encoding="utf-8"), name


def test_moving_twice_is_moving_once(copy):
    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    set_repository.move(copy, "https://github.com/someone/gan-book.git")
    set_repository.write(copy)
    set_repository.move(copy, "")
    set_repository.write(copy)
    assert {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()} == before


def test_a_new_version_is_written_everywhere(copy):
    path = copy / "pyproject.toml"
    path.write_text(re.sub(r'^version = ".*"', 'version = "7.8.9"', path.read_text(encoding="utf-8"), flags=re.M))
    set_repository.write(copy)
    assert '__version__ = "7.8.9"' in (copy / "gan_tutorial" / "__init__.py").read_text(encoding="utf-8")
    assert "version: 7.8.9" in (copy / "CITATION.cff").read_text(encoding="utf-8")
    assert "v7.8.9" in (copy / "book" / "99_x.ipynb").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["book", "a/b/c", "a b/c", "-a/b", "a/", "a/b;ls", 'a/b"'])
def test_what_is_no_repository_is_refused(copy, name):
    with pytest.raises(SystemExit, match="owner/name"):
        set_repository.move(copy, name)


def test_a_lost_mark_is_named(copy):
    (copy / "README.md").write_text("nothing\n")
    with pytest.raises(SystemExit, match="README.md: the marks"):
        set_repository.write(copy)


def test_the_example_in_the_readme_finds_all_modes():
    """Whole, as a reader runs it; a shorter version of it once found none."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    example = next(block for block in blocks if block.startswith("import gan_tutorial"))
    check = example + "\nassert points.shape == (1000, 2)"
    result = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "8 of 8 modes" in result.stdout


def test_own_data_in_the_readme(tmp_path):
    """The second example, on a folder of its own and for a step."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    example = next(block for block in blocks if "gt.data.folder" in block)
    check = example.replace("seconds=180", "steps=1").replace("MLP.train(table)", "MLP.train(table, steps=1)")
    set_up = """
import numpy as np
from PIL import Image
import gan_tutorial as gt
rows = np.random.default_rng(0).normal([0, 10], [1, 1000], (70, 2))
for k in range(70):
    Image.fromarray(np.full((40, 30, 3), k, np.uint8)).save(f"photos/{k}.png")
"""
    (tmp_path / "photos").mkdir()
    after = "assert rows_made.shape == (1000, 2) and model.sample(2).shape == (2, 3, 64, 64)"
    result = subprocess.run(
        [sys.executable, "-c", set_up + check + after],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "GAN_TUTORIAL_CACHE": str(tmp_path / "cache")},
    )
    assert result.returncode == 0, result.stderr


def test_the_citation_is_valid():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version"} <= citation.keys()


def test_every_link_in_the_readme_leads_somewhere():
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", re.sub(r"`[^`]*`", "", text)):
            assert (ROOT / target).is_file(), f"{name}: {target}"


def test_the_claim_in_the_readme_stands_in_the_book():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    number, sentence = re.search(r'gt\.claim\(\s*"([\d.]+)",\s*"([^"]*)"', text).groups()
    book = claim_sources.Book(ROOT)
    assert book.numbers[number].claims[number].text == sentence
    assert f"✓ {number} {sentence}" in text
