"""What the pages fill in: outputs of committed notebooks, minutes of reading; a mark that leads nowhere is an error."""

import json

import pytest

from tools import readings, reused_outputs


def notebook(tmp_path, data):
    shown = {"output_type": "display_data", "data": data, "metadata": {}}
    cell = {
        "cell_type": "code",
        "source": "# @title Figure S.2\nplay()",
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}, shown],
        "metadata": {"mystnb": {"image": {"alt": 'Digits, "drawn".'}}},
    }
    after = {"cell_type": "markdown", "source": "**Figure S.2.** A film.\n\nMore.", "metadata": {}}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [cell, after]}), encoding="utf-8")
    return path


def test_a_film_has_ids_of_its_own_and_its_caption(tmp_path):
    film = '<figure class="gt-film" id="film-0a1b-1">getElementById("film-0a1b-1")</figure>'
    notebook(tmp_path, {"text/html": film, "image/png": "aGk="})
    text = reused_outputs.filled("before <!-- output: a.ipynb, Figure S.2 --> after", tmp_path)
    assert text.count("film-0a1b-1-again") == 2 and 'film-0a1b-1"' not in text
    assert "*Figure S.2.* A film." in text and "**" not in text and "More." not in text and "aGk" not in text
    assert text.startswith("before ```{raw} html\n") and text.endswith(" after")
    assert "A film." not in reused_outputs.filled("<!-- output: a.ipynb, Figure S.2, alone -->", tmp_path)


def test_a_picture_keeps_its_words(tmp_path):
    made = reused_outputs.output(notebook(tmp_path, {"image/png": "aGk=\n"}), "Figure S.2")
    assert '<img src="data:image/png;base64,aGk=" alt="Digits, &quot;drawn&quot;.">' in made


@pytest.mark.parametrize("title, data", [("Figure S.3", {"image/png": ""}), ("Figure S.2", {"text/plain": "x"})])
def test_a_mark_that_leads_nowhere(tmp_path, title, data):
    with pytest.raises(LookupError, match=title):
        reused_outputs.output(notebook(tmp_path, data), title)


def test_minutes_of_a_route_are_those_of_its_first_readings():
    lengths = {length.name[:2]: length for length in readings.lengths()}
    total = lengths["01"].first_words + lengths["06"].first_words
    assert reused_outputs.minutes(["1", "6"]) == f"{round(total / 200)}\N{NO-BREAK SPACE}minutes" and total > 1000
