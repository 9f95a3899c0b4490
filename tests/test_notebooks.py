"""The committed notebooks' form, and the check itself on notebooks that are wrong on purpose."""

import copy

import pytest

from tools import notebooks, readings, setup_cell

SETUP = setup_cell.text()
PNG = {"output_type": "display_data", "data": {"image/png": "aGVsbG8="}, "metadata": {}}


@pytest.mark.parametrize("path", notebooks.chapters(), ids=lambda path: path.stem)
def test_the_chapter_is_in_order(path):
    assert notebooks.check(path) == []


def test_there_are_chapters_and_the_start_is_the_first():
    assert len(notebooks.chapters()) >= 3
    assert notebooks.chapters()[0].name == "start.ipynb" == notebooks.chapters(["S"])[0].name
    assert [path.name[:3] for path in notebooks.chapters(["3", "s", "00"])] == ["03_", "sta", "00_"]


def test_the_appendix_is_the_last_and_its_letter_names_it():
    names = [path.name for path in notebooks.chapters()]
    assert "errata.ipynb" == names[-1] == notebooks.chapters(["a"])[0].name
    assert names == list(map("{}.ipynb".format, readings.chapters()))


# -------------------------------------------------------------------------------------- the check can fail


def code(source, *outputs, count=None, **metadata):
    return {
        "cell_type": "code",
        "source": source,
        "outputs": list(outputs),
        "execution_count": count,
        "metadata": metadata,
    }


def markdown(source):
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def html(text):
    return {"output_type": "display_data", "data": {"text/html": text}, "metadata": {}}


def notebook(*cells):
    """A notebook that is in order: the set-up cell and `cells`, counted, with ids and the hash of its code."""
    made = {"cells": copy.deepcopy([markdown("# Title"), code(SETUP), *cells]), "metadata": {}}
    for count, cell in enumerate(notebooks.code_cells(made), start=1):
        cell["execution_count"] = count
    notebooks.normalise(made)
    return made


def only_problem(made, size=0):
    found = notebooks.problems(made, size)
    assert len(found) == 1, found
    return found[0]


def alt(text):
    return {"mystnb": {"image": {"alt": text}}}


def test_a_notebook_in_order_has_no_problems():
    made = notebook(
        markdown(
            "A loss $\\mathbb{E}_{x}[\\log D(x)]$ and `{name}` and\n\n$$\\frac{a}{b}$$\n\n"
            "```python\n{'a': 1}\n```\n[text](https://example.org) ![A curve that falls.](curve.png)"
        ),
        code("x = 1"),
        code("plot()", PNG, **alt("Two curves that cross at zero.")),
        code(
            "film()",
            html(
                '<div><img src="data:image/png;base64,aa" alt="A film."><script>let a = 1 // 2</script>'
                '<a href="https://example.org">elsewhere</a></div>'
            ),
        ),
        code('gt.claim("1.1", "It holds", 0, low=0)', tags=["nbval-check-output"]),
    )
    assert notebooks.problems(made) == []


def test_a_large_notebook():
    assert "2.00 MB" in only_problem(notebook(), size=2_000_000)


@pytest.mark.parametrize("counts", [[1, 3], [2, 1], [None, None], [1, 1]])
def test_a_notebook_out_of_order(counts):
    made = notebook(code("x = 1"))
    for cell, count in zip(notebooks.code_cells(made), counts, strict=True):
        cell["execution_count"] = count
    assert "not executed in order" in only_problem(made)


def test_code_that_was_changed_after_it_ran():
    made = notebook(code("x = 1"))
    made["cells"][-1]["source"] = "x = 2"
    assert "not the code that made the outputs" in only_problem(made)


def test_a_new_address_in_the_setup_cell_is_no_change_of_code():
    made = notebook(code("x = 1"))
    before = notebooks.fingerprint(made)
    made["cells"][1]["source"] = SETUP.replace('release = "', 'release = "new ')
    assert notebooks.fingerprint(made) == before


def test_a_differing_setup_cell():
    made = notebook(code("x = 1"))
    made["cells"][1]["source"] += "\n"
    assert "set-up cell" in only_problem(made)


def test_no_code_at_all():
    assert "set-up cell" in " ".join(notebooks.problems({"cells": [], "metadata": {}}))


@pytest.mark.parametrize(
    "text",
    [
        "see {cite}`goodfellow2014`",
        "see {cite:t}`goodfellow2014`",
        "{ref}`here`",
        "```{note}\ntext\n```",
        "~~~ {figure} a.png\n~~~",
        "::::{grid}\n::::",
        ":::note\n:::",
        "(a-target)=\n# Title",
        "{{ version }}",
        "% a comment",
        "+++",
        ".. note:: text",
    ],
)
def test_myst_syntax(text):
    assert "which Colab and Jupyter show raw" in only_problem(notebook(markdown(text)))


@pytest.mark.parametrize(
    "text",
    [
        "a set {1, 2} and {`a`}",
        "$\\{x\\}$`code`",
        "```\n:::note\n```",
        "`{cite}` as code",
        "50 % of it",
        "a (b) = c",
        "$${{a}}$$ and $x_{{i}}$",
        "a:::b",
    ],
)
def test_what_only_looks_like_myst(text):
    assert notebooks.problems(notebook(markdown(text))) == []


@pytest.mark.parametrize("metadata", [{}, alt(""), alt("  "), alt("figure.png"), alt("Figure"), {"mystnb": {}}])
def test_a_picture_without_alt_text(metadata):
    assert "alt text" in only_problem(notebook(code("plot()", PNG, **metadata)))


def test_an_html_picture_without_alt_text():
    assert "alt text" in only_problem(notebook(code("film()", html("<img src='data:image/png;base64,aa'>"))))


def test_a_markdown_picture_without_alt_text():
    assert "alt text" in only_problem(notebook(markdown("![](curve.png)")))


def test_what_a_drawing_call_returned():
    label = {"output_type": "execute_result", "data": {"text/plain": "Text(0, 0.5, 'f')"}, "metadata": {}}
    assert "semicolon" in only_problem(notebook(code("ax.set_ylabel('f')", label, PNG, **alt("A falling line."))))


def test_an_error_output():
    error = {"output_type": "error", "ename": "ValueError", "evalue": "bad", "traceback": []}
    assert "ValueError: bad" in only_problem(notebook(code("f()", error)))


def test_output_on_stderr():
    stream = {"output_type": "stream", "name": "stderr", "text": "a warning"}
    assert "stderr" in only_problem(notebook(code("f()", stream)))


@pytest.mark.parametrize(
    "text",
    [
        "seed 1 · device cpu (no GPU found) · float32 · scale cpu (no GPU found)\n",
        "x\nseed 0 · device cuda (H200) · float32 · scale gpu (H200)\n",
        "digits: drawn, 60,000 training images\n",
        "seed 0 (from GAN_TUTORIAL_SEED) · device cpu (no GPU found) · float32 · scale smoke\n",
    ],
)
def test_an_output_that_is_not_the_published_one(text):
    stream = {"output_type": "stream", "name": "stdout", "text": text}
    assert "made " in only_problem(notebook(code("run = gt.Run()", stream)))


def test_a_widget():
    widget = {"output_type": "display_data", "data": {"application/vnd.jupyter.widget-view+json": {}}, "metadata": {}}
    assert "widget" in only_problem(notebook(code("f()", widget)))


@pytest.mark.parametrize(
    "fragment",
    [
        '<script src="https://example.org/a.js"></script>',
        "<script src=//example.org/a.js></script>",
        '<link rel="stylesheet" href="http://example.org/a.css">',
        '<iframe src="https://example.org"></iframe>',
        '<div style="background: url(https://example.org/a.png)"></div>',
        "<style>@import 'https://example.org/a.css'</style>",
        '<script>import("https://example.org/a.js")</script>',
        "<script>fetch('//example.org/data')</script>",
        '<script type="module">import {a} from "https://example.org/a.js"</script>',
        "<style>@font-face { src: url('https://example.org/a.woff') }</style>",
        '<video poster="https://example.org/a.png"></video>',
        '<svg><image xlink:href="https://example.org/a.png"/></svg>',
        "<iframe srcdoc=\"<script src='https://example.org/a.js'></script>\"></iframe>",
    ],
)
def test_an_output_that_loads_from_elsewhere(fragment):
    assert any("from elsewhere" in p for p in notebooks.problems(notebook(code("f()", html(fragment)))))


@pytest.mark.parametrize("text", ["![A curve.](https://example.org/a.png)", '<img src="//example.org/a.png" alt="A.">'])
def test_markdown_that_loads_from_elsewhere(text):
    assert "from elsewhere" in only_problem(notebook(markdown(text)))


def test_a_claim_whose_output_is_not_compared():
    assert "nbval-check-output" in only_problem(notebook(code('gt.claim("1.1", "It holds", 0, low=0)')))


@pytest.mark.parametrize("source", ["%matplotlib inline", "x = 1\n!ls", "  %time f()"])
def test_magics_and_shell_commands(source):
    assert "plain Python" in only_problem(notebook(code(source)))


def test_two_cells_with_one_id():
    made = notebook(code("x = 1"))
    made["cells"][-1]["id"] = made["cells"][0]["id"]
    assert "same id" in only_problem(made)


# ------------------------------------------------------------------------------------------------ running


def write(path, *sources):
    import nbformat

    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in (setup_cell.MARK, *sources)])
    nbformat.write(made, path)


def test_a_run_stores_outputs_that_a_rerun_does_not_change(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_TUTORIAL_SEED", "5")
    path = tmp_path / "01_x.ipynb"
    settings = "import os\nos.environ.get('GAN_TUTORIAL_SEED'), os.environ['GAN_TUTORIAL_DIGITS']"
    write(path, "print(1)\nprint(2)", "", settings)
    notebooks.execute(path)
    first = path.read_bytes()
    assert notebooks.check(path) == []
    assert b"(None, 'mnist')" in first
    notebooks.execute(path)
    assert path.read_bytes() == first


def test_a_run_that_fails_leaves_the_notebook_as_it_was(tmp_path):
    path = tmp_path / "01_x.ipynb"
    write(path, "1 / 0")
    before = path.read_bytes()
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        notebooks.execute(path, failed=tmp_path / "failed")
    assert path.read_bytes() == before
    assert (tmp_path / "failed" / "01_x.ipynb").is_file()
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    "tags, input_hidden, output_hidden",
    [([], False, False), (["hide-input"], True, False), (["hide-cell"], True, True)],
)
def test_what_the_pages_fold_is_folded_in_jupyter_and_on_colab(tags, input_hidden, output_hidden):
    made = notebook(code("x = 1", tags=tags))
    made["cells"][-1]["metadata"]["jupyter"] = {"source_hidden": True}  # the tags alone decide
    notebooks.normalise(made)
    metadata = made["cells"][-1]["metadata"]
    assert metadata.get("jupyter", {}).get("source_hidden", False) is input_hidden
    assert (metadata.get("cellView") == "form") is input_hidden
    assert metadata.get("jupyter", {}).get("outputs_hidden", False) is output_hidden
    assert metadata.get("collapsed", False) is output_hidden


@pytest.mark.parametrize("name", ["3", "03", "03_conditional", "book/03_conditional.ipynb", "S", "s", "start"])
def test_a_chapter_is_found_by_each_of_its_names(name, monkeypatch):
    monkeypatch.chdir(notebooks.ROOT)
    (found,) = notebooks.chapters([name])
    assert found.stem == ("03_conditional" if "3" in name else "start")


def test_a_chapter_that_is_not_there():
    with pytest.raises(SystemExit, match="there is no chapter 'begin'; the book has: start, 00_primer"):
        notebooks.chapters(["begin"])
