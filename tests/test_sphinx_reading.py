"""A small book, built with warnings as errors: labels, anchors, marks and reading times stand where they should."""

import json
import os
import re
import subprocess
import sys

import pytest

from tools import ROOT, readings

CONFIG = """
extensions = ["myst_nb", "tools.sphinx_reading"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"
html_theme = "basic"
"""

GLOSSARY = """# Glossary

```{glossary}
mode collapse
  One thing only.

moving average, EMA
  Of weights.

kernel (of a GPU)
  A function.
```
"""

LINKS = """[a](appendix/glossary.md#term-mode-collapse) [b](appendix/glossary.md#term-EMA)
[c](appendix/glossary.md#term-moving-average) [d](appendix/glossary.md#term-ema)
[e](appendix/glossary.md#term-kernel-of-a-GPU)"""

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def markdown(source):
    return {"cell_type": "markdown", "source": source, "metadata": {}, "id": f"m{abs(hash(source))}"[:12]}


def code(source, *tags, outputs=()):
    return {
        "cell_type": "code",
        "source": source,
        "metadata": {"tags": list(tags)},
        "outputs": list(outputs),
        "execution_count": 1,
        "id": f"c{abs(hash(source))}"[:12],
    }


def stream(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


PICTURE = {"output_type": "display_data", "data": {"image/png": PNG}, "metadata": {}}
CELLS = [
    markdown("# A first GAN\n\n" + "word " * 800 + "\n\n" + LINKS),
    code("# @title Set-up\n# On Colab this installs.\nimport sys", "hide-cell"),
    code("# @title Figure 2.1\nplot()", "hide-input", outputs=[PICTURE]),
    markdown(
        "**Figure 2.1.** A dot.\n\n**Predict.** What?\n\n<details><summary>Answer</summary>\n\n*This*.\n\n</details>"
    ),
    code(
        '# @title Claims 2.1 and 2.2\ngt.claim("2.1", "One", 0)\ngt.claim("2.2", "Two", 0)',
        "hide-input",
        outputs=[stream("✓ 2.1 One\n✓ 2.2 Two\n")],
    ),
    code("# a comment\nvisible = 1"),
    markdown("## In short\n\nFive lines.\n\n## Exercises\n\n**1. One.** ★"),
    code("# @title Solution <1>\nx = 1", "hide-cell"),
    markdown("## Deeper: a proof of $x$\n\n" + "word " * 390 + "\n\n### Deeper still"),
]
METADATA = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
RUNS = [
    {"chapter": "02", "seed": 1, "sabotage": None, "digits": "mnist", "seconds": 1.0},
    {"chapter": "02", "seed": 0, "sabotage": None, "digits": "mnist", "seconds": 58.0},
    {"chapter": "02", "seed": 0, "sabotage": None, "digits": "synthetic", "seconds": 2.0},
    {"chapter": "02", "seed": 0, "sabotage": "a fault", "digits": "mnist", "seconds": 3.0},
]


def build(folder, cells=CELLS):
    book = folder / "book"
    (book / "appendix").mkdir(parents=True)
    (folder / "conf.py").write_text(CONFIG)
    toctree = "```{toctree}\nbook/02_x\nbook/appendix/glossary\n```"
    (folder / "index.md").write_text(f"# Book\n\n```{{chapter-lengths}}\n```\n\n{toctree}\n")
    (book / "appendix" / "glossary.md").write_text(GLOSSARY)
    (book / "claims.json").write_text(json.dumps({"texts": {}, "runs": RUNS}))
    notebook = {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    (book / "02_x.ipynb").write_text(json.dumps(notebook))
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-n",
        "-W",
        "--keep-going",
        "-b",
        "html",
        str(folder),
        str(folder / "html"),
    ]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    status, said = build(folder)
    assert status == 0, said
    names = {"chapter": "book/02_x.html", "index": "index.html"}
    return {name: (folder / "html" / path).read_text(encoding="utf-8") for name, path in names.items()}


def folded(page):
    """The label of each folded cell, and what its code is, without marks."""
    found = re.findall(r'<details class="admonition hide.*?<summary>(.*?)</summary>(.*?)</details>', page, re.S)
    return {re.sub(r"<.*?>|\n", "", label): re.sub(r"<.*?>", "", body).strip() for label, body in found}


def test_a_folded_cell_is_labelled_by_its_title_which_its_code_does_not_repeat(pages):
    cells = folded(pages["chapter"])
    labels = ["Set-up", "Code of Figure 2.1", "Claims 2.1 and 2.2", "Solution &lt;1&gt;"]
    assert list(cells) == labels
    assert cells["Set-up"] == "# On Colab this installs.\nimport sys"
    assert "@title" not in pages["chapter"]
    assert "Toggle hidden content" not in pages["chapter"]
    assert "a comment" in re.sub(r"<.*?>", "", pages["chapter"])


def test_links_to_terms_and_claims_lead_to_what_is_there(pages):
    links = re.findall(r'href="(\S*?#[\w-]+)"><span class="std std-ref">(\w)</span>', pages["chapter"])
    term = "appendix/glossary.html#term-"
    assert {name: link for link, name in links} == {
        "a": term + "mode-collapse",
        "b": term + "moving-average-EMA",
        "c": term + "moving-average-EMA",
        "d": term + "moving-average-EMA",
        "e": term + "kernel-of-a-GPU",
    }


def test_captions_and_questions_have_their_looks(pages):
    assert '<p class="caption" id="figure-2-1"><strong>Figure 2.1.</strong>' in pages["chapter"]
    assert '<p class="predict"><strong>Predict.</strong>' in pages["chapter"]


def test_a_link_to_a_term_that_is_not_there_is_an_error(tmp_path):
    cells = [markdown("# A first GAN\n\n[a](appendix/glossary.md#term-nothing)")]
    status, said = build(tmp_path, cells)
    assert status != 0
    assert "term-nothing" in said


def test_what_is_deeper_is_marked_in_its_heading_and_in_the_contents(pages):
    assert '<section class="deeper" id="deeper-a-proof-of-x">' in pages["chapter"]
    marks = re.findall(r'<span class="deeper-mark">Deeper:</span> a proof', pages["chapter"])
    assert len(marks) == 2  # the heading, and the sidebar's contents
    assert "Deeper still" in pages["chapter"]  # no colon, no mark


def test_the_reading_time_stands_under_the_title(pages):
    # 800 words, the title's 4, the links' 7, "Two" … : about 4 minutes; 390 words and the exercises: 2.
    assert re.search(
        r"</h1>\s*<p class=\"reading-time\">First reading 4 min · the rest 2 min, exercises not solved · "
        r"runs in 58 s</p>",
        pages["chapter"],
    )
    assert "0 min" not in " ".join(re.findall(r'reading-time">(.*?)<', pages["chapter"]))


def test_the_table_of_all_chapters_is_computed(pages):
    row = re.search(r"<tr[^>]*>\s*<td>(?:(?!</tr>).)*2\. A first GAN(?:(?!</tr>).)*</tr>", pages["index"], re.S)[0]
    cells = [re.sub(r"<.*?>", "", cell).strip() for cell in re.findall(r"<td>(.*?)</td>", row, re.S)]
    assert cells == ["2. A first GAN", "4", "2", "58 s", "1 / 0 / 0"]
    assert 'href="book/02_x.html"' in row


def test_without_a_record_there_is_no_running_time(tmp_path):
    assert readings.running_times(tmp_path) == {}
