"""A Sphinx extension: a flow chart of questions as text, in the place of its figure.

A cell that draws one holds its words as CHART, a list of pairs: a question, and what to do if the answer is yes. In
Jupyter and on Colab the figure is shown. On the page they are a list: it can be searched and selected, its letters have
the size of the text on a phone too, and where a pair names a part of the book a link leads there.
"""

from __future__ import annotations

import ast
import html
import re

from docutils import nodes
from sphinx.errors import ExtensionError

from .sphinx_figures import within_output

#: Words of a chart -> how the heading begins, on the same page, under which more is said of them.
HEADINGS = {
    r"failure (\d)": r"Failure \1:",
    "bound the critic's slope": "Deeper: what “clip the gradients” does",  # as typeset
    "LABEL BUG": "Deeper: a label bug",
    "LEARNED BY HEART": "Deeper: too few data",
    "BLIND CRITIC": "Deeper: a critic that is too weak",
    "DRIFT": "Deeper: a level that drifts",
}
PAGES = {r"chapter 9": "09_evaluation.html"}


def chart_of(source: str) -> list[tuple[str, str]] | None:
    """The words of a chart that a cell draws, each pair's without its line breaks."""
    if "CHART = [" not in source:
        return None
    for line in ast.parse(source).body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "CHART":
            pairs = ast.literal_eval(line.value)
            return [(" ".join(question.split()), " ".join(answer.split())) for question, answer in pairs]
    return None


def linked(words: str, sections: dict[str, str]) -> str:
    """HTML of words, with links from what is named in them. ExtensionError where a heading is not there any more."""

    def link(found: re.Match, target: str) -> str:
        return f'<a class="reference internal" href="{html.escape(target)}">{found[0]}</a>'

    def to_heading(found: re.Match, heading: str) -> str:
        begins = found.expand(heading)
        places = [place for title, place in sections.items() if title.startswith(begins)]
        if len(places) != 1:
            raise ExtensionError(f"The chart names {found[0]!r}, and no heading begins with {begins!r}.")
        return link(found, f"#{places[0]}")

    made = html.escape(words, quote=False)
    for pattern, heading in HEADINGS.items():
        made = re.sub(pattern, lambda found, heading=heading: to_heading(found, heading), made)
    for pattern, page in PAGES.items():
        made = re.sub(pattern, lambda found, page=page: link(found, page), made)
    return made


def written(chart: list[tuple[str, str]], sections: dict[str, str]) -> str:
    """HTML of a chart; `sections` are the page's headings and their places."""
    rows = []
    for question, advice in chart:
        asked = f'<p class="chart-question">{linked(question, sections)}</p>'
        answer = f'<p class="chart-advice"><span>yes:</span> {linked(advice, sections)}</p>' if advice else ""
        rows.append(f"<li>{asked}{answer}</li>")
    return f'<ol class="chart">{"".join(rows)}</ol>'


def replaced(app, doctree) -> None:
    """Put the words of charts in the place of their figures."""
    if app.builder.format != "html":
        return
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") != "cell_code":
            continue
        source = next(cell.findall(nodes.literal_block), None)
        chart = chart_of(source.astext()) if source is not None else None
        if chart:
            sections = {one[0].astext(): one["ids"][0] for one in doctree.findall(nodes.section)}
            for image in [one for one in cell.findall(nodes.image) if within_output(one)]:
                image.replace_self(nodes.raw("", written(chart, sections), format="html"))


def setup(app):
    app.connect("doctree-read", replaced, priority=290)  # before figures get their forms
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
