"""A small book with sources: a chapter's link to the bibliography leads to the entry that it names."""

import os
import re
import subprocess
import sys

import pytest

from tools import ROOT

pytestmark = pytest.mark.slow  # it builds pages
CONFIG = """
extensions = ["myst_parser", "sphinxcontrib.bibtex", "tools.sphinx_book"]
bibtex_bibfiles = ["a.bib"]
bibtex_default_style = "book"
html_theme = "basic"
exclude_patterns = ["_build"]
"""
ENTRY = "@misc{%s, author = {%s}, title = {%s}, year = {2014}}\n"
CHAPTER = """# A chapter

[One and Two, 2014](bibliography.md), [Three et
al., 2014](bibliography.md), the [bibliography](bibliography.md), [One and Two, 2014](index.md).
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    (folder / "conf.py").write_text(CONFIG)
    entries = ENTRY % ("b14", "Three, A. and Four, B. and Five, C.", "Later") + ENTRY % (
        "a14",
        "One, A. and Two, B.",
        "X",
    )
    (folder / "a.bib").write_text(entries)
    (folder / "index.md").write_text("# Book\n\n```{toctree}\nchapter\nbibliography\n```\n")
    (folder / "chapter.md").write_text(CHAPTER)
    (folder / "bibliography.md").write_text("# Bibliography\n\n```{bibliography}\n:all:\n```\n")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", str(folder), str(folder / "_build")]
    made = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert made.returncode == 0, made.stderr
    return lambda name: (folder / "_build" / f"{name}.html").read_text(encoding="utf-8")


def test_a_link_leads_to_the_entry_that_it_names(pages):
    body = pages("chapter").split('role="main"')[1].split('role="navigation"')[0]
    links = re.findall(r'<a class="reference internal" href="([^"]*)">', body)
    assert links == [
        "bibliography.html#source-a14",
        "bibliography.html#source-b14",
        "bibliography.html",
        "index.html",
    ]


def test_the_entries_have_these_places(pages):
    places = re.findall(r'id="(source-\w+)".*?>\s*(?:<[^>]*>)*\[?(?:<[^>]*>)*([^<\]]+)', pages("bibliography"), re.S)
    assert {place: " ".join(label.split()) for place, label in places} == {
        "source-a14": "One and Two, 2014",
        "source-b14": "Three et al., 2014",
    }
