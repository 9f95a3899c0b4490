"""Slides of a chapter: one a figure, in order, complete in themselves."""

import base64
import re
import subprocess

import pytest

from tools import cells, readings, slides
from tools.browser import installed

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FILM = '<figure class="gt-film"><img src="data:image/png;base64,AA" alt="A film."><script>let a = 1</script></figure>'


def shown(alt, **data):
    kinds = {kind.replace("_", "/"): value for kind, value in data.items()}
    return {
        "cell_type": "code",
        "source": "plot()",
        "metadata": {"mystnb": {"image": {"alt": alt}}},
        "outputs": [{"output_type": "display_data", "data": kinds, "metadata": {}}],
    }


def code(source):
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": []}


def markdown(source):
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def chapter(formula="x"):
    return {
        "cells": [
            markdown("# A game & more\n\nHow does it *go*? See [there](02_x.ipynb)."),
            markdown("## First"),
            shown('Two "curves".', image_png=PNG + "\n"),
            code("gt.claim('1.1', 'text', 0)"),
            markdown(f"**Figure 1.1.** Curves of {formula}.\n\nMore text.\n\n## Second"),
            shown("A still.", image_png=PNG, text_html=FILM),
            shown("No caption.", image_png=PNG),
            markdown("## In short\n\n- one\n- two"),
            markdown("## Exercises"),
        ]
    }


def test_a_slide_for_the_title_each_figure_and_the_summary():
    made = list(slides.slides(chapter()))
    assert len(made) == 5
    assert "<h1>A game &amp; more</h1>" in made[0] and "<em>go</em>? See there." in made[0]
    assert "<h2>First</h2>" in made[1] and "<strong>Figure 1.1.</strong> Curves of x." in made[1]
    assert "More text" not in "".join(made)
    assert 'alt="Two &quot;curves&quot;."' in made[1] and f'src="data:image/png;base64,{PNG}"' in made[1]
    assert "<h2>Second</h2>" in made[2] and "<p>A still.</p>" in made[2]
    assert f'class="picture played">{FILM}' in made[2] and 'class="picture printed"><img' in made[2]
    assert "<p>No caption.</p>" in made[3]
    assert "<h2>In short</h2>" in made[4] and made[4].count("<li>") == 2


def test_a_solution_s_picture_is_on_no_slide():
    """Slides are shown to those who are to solve the exercises."""
    made, solved = chapter(), shown("What comes out.", image_png=PNG)
    solved["source"] = "# @title Solution 1\nplot()"
    solved["metadata"]["tags"] = ["hide-cell"]
    made["cells"].append(solved)
    assert list(slides.slides(made)) == list(slides.slides(chapter()))
    made["cells"][2:2] = [solved]  # the caption belongs to the picture behind it
    assert list(slides.slides(made)) == list(slides.slides(chapter()))


def test_no_slide_of_the_book_shows_a_solution():
    for name, notebook in readings.chapters().items():
        titles = [cells.title(cell) for _, cell, _ in slides.figures(notebook)]
        assert titles and not [title for title in titles if title.startswith("Solution")], name


def test_a_page_needs_nothing_from_elsewhere():
    page = slides.page(chapter())
    assert page.count("<section>") == 5
    assert "<title>A game &amp; more</title>" in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "http" not in page
    assert "break-after: page" in page
    assert "katex" not in page


def test_formulas_are_set_and_bring_their_fonts_along():
    page = slides.page(chapter(r"$a < b$"))
    assert re.search(r'Curves of <span[^>]*><span class="katex"><span class="katex-mathml"><math', page)
    assert "<mo>&lt;</mo>" in page and "$" not in page.split("<body>")[1].split("<script>")[0]
    assert set(re.findall(r"@font-face\{font-family:(KaTeX_\w+)", page)) == {"KaTeX_Main", "KaTeX_Math"}
    assert "url(" in page and re.findall(r"url\((?!data:)", page) == []
    assert page.count("</script>") == 2  # the film's, the keys


@pytest.mark.slow
@pytest.mark.skipif(installed() is None, reason="needs Chromium or Chrome")
def test_one_slide_a_printed_page(tmp_path):
    (tmp_path / "a.html").write_text(slides.page(chapter(r"$a < b$")), encoding="utf-8")
    command = [installed(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'user'}"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=10000", "--no-pdf-header-footer"]
    pdf = tmp_path / "a.pdf"
    subprocess.run(
        [*command, f"--print-to-pdf={pdf}", (tmp_path / "a.html").as_uri()], capture_output=True, timeout=120
    )
    assert len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) == 5


def test_the_picture_of_these_tests_is_one():
    assert base64.b64decode(PNG).startswith(b"\x89PNG")
