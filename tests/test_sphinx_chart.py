"""A flow chart as text: all of its words, a link to each part that it names, and no figure beside it."""

import json
import re

import pytest
from sphinx.errors import ExtensionError

from tools import ROOT, cells
from tools import sphinx_chart as charts

NOTEBOOK = ROOT / "book" / "10_failures.ipynb"


def drawing():
    """The source of the cell that draws the chart."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    sources = [cells.source(cell) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return next(source for source in sources if charts.chart_of(source))


def words(text):
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_a_cell_without_a_chart_has_none():
    assert charts.chart_of("flow = 1\n%matplotlib inline") is None
    assert charts.chart_of("def draw():\n    CHART = [('a', 'b')]") is None
    assert charts.chart_of("CHART = [('a\\nb', 'c')]") == [("a b", "c")]


def test_what_is_named_is_linked_and_what_is_gone_is_an_error():
    sections = {"Failure 1: none": "one", "Failure 12: many": "twelve", "Deeper: a label bug, renamed": "bug"}
    made = charts.written([("Is 1 < 2?", "LABEL BUG (failure 1)."), ("None: chapter 9", "")], sections)
    assert re.findall(r'href="([^"]+)">([^<]+)<', made) == [
        ("#bug", "LABEL BUG"),
        ("#one", "failure 1"),
        ("09_evaluation.html", "chapter 9"),
    ]
    assert "Is 1 &lt; 2?" in made and made.count("yes:") == 1 and made.count("<li>") == 2
    with pytest.raises(ExtensionError, match="names 'failure 3', and no heading begins with 'Failure 3:'"):
        charts.written([("a", "failure 3")], sections)


def test_the_page_has_the_chart_s_words_and_not_its_figure(built):
    page = (built / "book" / "10_failures.html").read_text(encoding="utf-8")
    made = re.search(r'<ol class="chart">.*?</ol>', page)[0]
    chart = charts.chart_of(drawing())
    assert len(chart) == 9
    found = [words(row).replace(" yes: ", "|") for row in re.findall(r"<li>(.*?)</li>", made)]
    plain = [re.sub(r"\W", "", text) for text in found]
    assert plain == [re.sub(r"\W", "", question + advice) for question, advice in chart]
    places = re.findall(r'href="#([^"]+)"', made)
    assert len(places) >= 8 and all(f'id="{place}"' in page for place in places)
    before = page[: page.index('<ol class="chart">')]
    assert "<picture" not in before[before.rindex('class="cell') :] and "A flow chart of eight questions" not in page
