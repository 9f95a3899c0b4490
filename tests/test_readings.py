"""A chapter's length on texts counted by hand, and the rules of its form, each on a chapter that breaks it."""

import copy
import re

import pytest

from tools import cells, form, notebooks, readings

PNG = {"output_type": "display_data", "data": {"image/png": "aGVsbG8="}, "metadata": {}}


def code(source, *outputs, tags=(), alt=None):
    metadata = {"tags": list(tags)} | ({"mystnb": {"image": {"alt": alt}}} if alt else {})
    return {"cell_type": "code", "source": source, "outputs": list(outputs), "metadata": metadata}


def markdown(source):
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def printed(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


QUESTION = "**Predict.** What now?\n\n<details><summary>Answer</summary>\n\nThis.\n\n</details>"


def exercise(number, stars="★"):
    return [
        markdown(f"**{number}. A title.** {stars} What is the answer?"),
        code("answer = ..."),
        code(
            f'# @title Check {number}\n@gt.grader("Exercise {number}")\ndef check_{number}(answer):\n    return True',
            tags=["hide-input"],
        ),
        code(f"# @title Solution {number}\nassert check_{number}(2)", tags=["hide-cell"]),
    ]


def chapter():
    """A chapter that keeps every rule."""
    return [
        markdown("# Title\n\nA question."),
        code("# @title Set-up\nimport sys", tags=["hide-cell"]),
        code("# @title Figure 2.1\nplot()", PNG, tags=["hide-input"], alt="Two curves."),
        markdown("**Figure 2.1.** Two curves.\n\nA sentence."),
        markdown(f"## The idea\n\n{QUESTION}\n\n{QUESTION}"),
        code("x = 1"),
        code('# @title Claim 2.1\ngt.claim("2.1", "It holds", 0, low=0)', tags=["hide-input", "nbval-check-output"]),
        markdown(f"{QUESTION}\n\n## In short\n\nFive lines."),
        markdown("## Exercises"),
        *exercise(1),
        *exercise(2),
        markdown(
            "**Exercise 3** ★★★\n\n<details><summary>Check 3</summary>\n\nA sign of it.\n\n</details>\n\n"
            "<details><summary>Solution 3</summary>\n\nProse.\n\n</details>"
        ),
        markdown("## Deeper: a proof\n\n### A step"),
        code("plot()", PNG, alt="One curve."),
        markdown("**Figure 2.2.** One curve."),
        markdown("## Common mistakes\n\n## Sources"),
    ]


def notebook(cells):
    return {"cells": copy.deepcopy(cells), "metadata": {}}


def faults(cells, name="02_x"):
    return list(form.faults(notebook(cells), name))


# ------------------------------------------------------------------------------------------------- each rule can fail


def test_a_chapter_in_the_form_has_no_faults():
    assert faults(chapter()) == []
    assert faults(chapter(), "start") == []  # it has no number; its figures have any prefix


def test_a_chapter_with_one_reading_is_not_judged():
    made = [markdown("# Title " + "word " * 5000), code("x = 1\n" * 500), code("plot()", PNG)]
    assert faults(made) == []


def test_the_check_of_a_committed_notebook_holds_the_form():
    made = notebook(chapter())
    made["cells"][4]["source"] += " word" * 2500
    assert [fault for fault in notebooks.problems(made, name="02_x") if "more than 2,500" in fault]


def replaced(old, new, count=1):
    """The chapter with one text replaced, wherever it stands."""
    made = chapter()
    assert sum(cell["source"].count(old) for cell in made) >= count
    for cell in made:
        cell["source"] = cell["source"].replace(old, new)
    return made


def without_tag(tag, source):
    made = chapter()
    found = [cell for cell in made if source in cell["source"] and tag in cell["metadata"].get("tags", [])]
    assert found
    for cell in found:
        cell["metadata"]["tags"].remove(tag)
    return made


def inserted(place, cell):
    made = chapter()
    made.insert(place, cell)
    return made


BROKEN = {
    "too many words": (replaced("A sentence.", "word " * 2501), "words, more than 2,500"),
    "too much code": (replaced("x = 1", "x = 1\n" * 201), "lines of visible code, more than 200"),
    "wide code": (replaced("x = 1", f"x = {'1' * 77}"), "wider than 80 columns"),
    "wide output": (inserted(6, code("f()", printed("a" * 81))), "wider than 80 columns"),
    "no exercises": (replaced("## Exercises", "## Deeper: exercises"), "no section `## Exercises`"),
    "a section that is not deeper": (replaced("## Deeper: a proof", "## A proof"), "begins with 'Deeper: '"),
    "deeper too early": (replaced("## The idea", "## Deeper: the idea"), "stands in the first reading"),
    "mistakes too early": (replaced("## The idea", "## Common mistakes"), "stands in the first reading"),
    "a folded cell without title": (replaced("# @title Solution 2\n", ""), "folded cell without `# @title"),
    "an open claim": (without_tag("hide-input", "gt.claim"), "claim 2.1: its cell is not folded"),
    "a claim's other number": (replaced("# @title Claim 2.1", "# @title Claim 2.2"), "not `# @title Claim 2.1`"),
    "a claim without a title": (replaced("# @title Claim 2.1\n", "# @title A check\n"), "not `# @title Claim 2.1`"),
    "an open box": (replaced("Prose.\n\n</details>", "Prose."), "does not end in its cell"),
    "no caption": (replaced("**Figure 2.1.** Two", "Two"), "no caption"),
    "a caption too late": (inserted(3, markdown("Words.")), "no caption"),
    "two pictures and one caption": (inserted(3, code("plot()", PNG)), "no caption"),
    "a picture at the end": ([*chapter(), code("plot()", PNG)], "no caption"),
    "a caption twice": (inserted(4, markdown("**Figure 2.1.** Again.")), "a caption without a picture"),
    "a figure without a picture": (
        inserted(6, code("# @title Figure 2.9\nplot()", tags=["hide-input"])),
        "the cell 'Figure 2.9' shows no picture",
    ),
    "figures out of order": (replaced("Figure 2.2", "Figure 2.3"), "figures are numbered 2.1, 2.3"),
    "figures of another chapter": (replaced("Figure 2.", "Figure 3."), "expected 2.1, 2.2"),
    "a title of another figure": (replaced("# @title Figure 2.1", "# @title Figure 2.2"), "has the caption of"),
    "too few predictions": (replaced(f"{QUESTION}\n\n{QUESTION}", QUESTION), "2 questions to predict"),
    "no answer": (replaced(f"{QUESTION}\n\n## In", "**Predict.** What now?\n\n## In"), "question to predict without"),
    "an exercise without stars": (replaced("★★★", ""), "exercise 3 has 0 stars"),
    "an exercise without solution": (replaced("Solution 3<", "Answer 3<"), "exercise 3 has no solution"),
    "an open solution": (without_tag("hide-cell", "Solution 1"), "the solution of exercise 1 is not folded"),
    "an open check": (without_tag("hide-input", "Check 1"), "the check of exercise 1 is not folded"),
    "a check of another name": (replaced("def check_1", "def check_one"), "does not define check_1"),
    "a check without a grader": (replaced('@gt.grader("Exercise 1")\n', ""), "stops at an answer of another kind"),
    "a solution that is not checked": (replaced("assert check_1(2)", "2"), "does not end with `assert check_1("),
    "one easy exercise": (replaced("**2. A title.** ★", "**2. A title.** ★★"), "1 exercises of one star"),
    "a solution that changes what is read behind it": (
        [*replaced("assert check_1(2)", "x = 2\nassert check_1(2)"), code("def f(y):\n    return x + y")],
        "reads x, which Solution 1 sets",
    ),
    "no easy check": (replaced("# @title Check 2", "# @title Help 2"), "1 exercises of one star"),
    "no check of code": (replaced("# @title Check 2", "# @title Help 2"), "exercise 2 has no check"),
    "no check in words": (replaced("Check 3<", "Answer 3<"), "exercise 3 has no check"),
    "a solution of another name": (
        replaced(
            "<details><summary>Check 3",
            "<details><summary>What the table says</summary></details><details><summary>Check 3",
        ),
        "called 'What the table says'",
    ),
    "a term without a link": (
        replaced("A sentence.", "The Fréchet distance."),
        "the first 'Fréchet distance' is not a link",
    ),
}


@pytest.mark.parametrize("made, words", BROKEN.values(), ids=BROKEN)
def test_a_chapter_that_breaks_one_rule(made, words):
    found = faults(made)
    assert [fault for fault in found if words in fault], found


LINKED = "[mode collapse](appendix/glossary.md#term-mode-collapse)"


@pytest.mark.parametrize(
    "text",
    [
        f"We see {LINKED}, and mode collapse again.",
        "We see [Mode\ncollapse](../appendix/glossary.md#term-mode-collapse).",
        "### A mode collapse\n\n`mode collapse`\n\n| mode collapse |\n| --- |\n\n```\nmode collapse\n```",
        "[mode collapse](02_first_gan.ipynb) $mode collapse$ <!-- mode collapse -->",
        "<details><summary>x</summary>\n\nmode collapse\n\n</details>",
        "A step of the generator, a sample, and non-mode collapse-like things.",  # words of every day, parts of words
    ],
)
def test_a_term_s_first_use_is_linked_or_no_sentence(text):
    assert [*form.term_faults(notebook([markdown(text), markdown(f"Then {LINKED}.")]))] == []


@pytest.mark.parametrize("words", ["mode collapse", "Mode collapse", "mode\ncollapses", "*mode collapse*"])
def test_a_term_that_is_linked_too_late(words):
    (fault,) = form.term_faults(notebook([markdown(f"**Figure 1.1.** x\n\nHere {words}."), markdown(f"So {LINKED}.")]))
    assert "[" in fault and "#term-mode-collapse)" in fault


def test_one_name_of_an_entry_is_enough():
    """An average's three names are one entry: what is linked first is."""
    link = "An [EMA](appendix/glossary.md#term-EMA)."
    assert [*form.term_faults(notebook([markdown(f"{link} A moving average.")]))] == []
    (fault,) = form.term_faults(notebook([markdown(f"A moving average. {link}")]))
    assert "'moving average'" in fault


def test_words_of_every_day_are_words_of_the_glossary():
    """Else the list of exceptions would go stale unseen."""
    text = (readings.ROOT / "book" / "appendix" / "glossary.md").read_text(encoding="utf-8")
    names = {name.strip() for entry in re.findall(r"^\w[^\n]*$", text, re.M) for name in entry.split(",")}
    assert form.EVERYDAY - names == set()


@pytest.mark.parametrize("behind", ["x = 3\nx + 1", "def f(x):\n    return x", "[x for x in 'abc']", "f(x=1)", "y.x"])
def test_a_name_of_a_solution_that_is_not_read_behind_it(behind):
    assert faults([*replaced("assert check_1(2)", "x = 2\nassert check_1(2)"), code(behind)]) == []


def test_a_page_to_look_things_up_in_has_one_reading_and_the_same_cells_and_figures():
    page = [cell for cell in replaced("## In short\n\nFive lines.", "## Losses") if "xercise" not in cell["source"]]
    assert faults(page, "errata") == []
    page.insert(6, code("f()", PNG, printed("a" * 81)))
    found = " ".join(faults(page, "errata"))
    assert "no caption" in found and "wider than 80" in found and "In short" not in found


def test_the_chapter_before_all_others_is_shorter():
    made = replaced("A sentence.", "word " * 1201)
    assert faults(made) == []
    assert "more than 1,200" in " ".join(faults(made, "start"))
    made = replaced("x = 1", "x = 1\n" * 61)
    assert faults(made) == []
    assert "more than 60" in " ".join(faults(made, "start"))


def test_nothing_stands_between_a_picture_and_its_caption():
    made = [cell for cell in chapter() if "gt.claim" not in cell["source"]]
    claim = next(cell for cell in chapter() if "gt.claim" in cell["source"])
    for between in (claim, code("f()", printed("a table"))):
        assert "no caption" in " ".join(faults([*made[:3], between, *made[3:]]))
    assert faults([*made[:3], code("x = 1"), *made[3:4], claim, *made[4:]]) == []


def test_what_is_summed_up_after_the_exercises():
    made = [cell for cell in chapter() if "## In short" not in cell["source"]]
    assert "stands behind the exercises" in " ".join(faults([*made, markdown("## In short\n\nFive lines.")]))


# ------------------------------------------------------------------------------------------------ counted by hand


@pytest.mark.parametrize(
    "text, count",
    [
        ("One two three.", 3),
        ("## A heading\n\n- one\n- two", 4),
        ("a [link of words](https://example.org/a-b) b", 5),
        ("![not read](a.png) read", 1),
        ("The loss $-\\ln D(x)$ is $a + b$ here", 6),
        ("so\n\n$$ a + b = c $$\n\nand", 7),
        ("so\n\n\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}\n\nand", 7),
        ("it costs 5 $ and 6 $", 5),
        ("before <details><summary>Answer</summary>\n\nnot read at first\n\n</details> behind", 2),
        ("```python\nx = 1\n```\nread", 1),
        ("| a | b |\n| --- | --- |\n| c | d |", 4),
        ("<svg><text>on the map</text></svg> one <b>two</b>", 2),
        ("well-known – and `gt.fit(players)` ·", 3),
    ],
)
def test_words_counted_by_hand(text, count):
    assert readings.word_count(text) == count


def test_lines_of_code_counted_by_hand():
    made = [
        code("x = 1\n\n# why\ny = 2"),
        code("hidden = 1", tags=["hide-input"]),
        code("hidden = 1", tags=["hide-cell"]),
        markdown("```python\na\n\nb\n```\n<details><summary>x</summary>\n\n```python\nc\n```\n\n</details>"),
    ]
    assert readings.lines(made) == 5


def test_the_first_reading_ends_within_a_cell():
    made = notebook([markdown("# T\n\none\n\n```\n## Exercises\n```\n\n## Exercises\n\ntwo"), code("x = 1")])
    first, second = cells.readings(made)
    assert readings.words(first) == 2  # the title and "one"
    assert readings.words(second) == 2
    assert readings.lines(second) == 1


def test_without_exercises_the_first_reading_ends_before_what_is_deeper():
    first, second = cells.readings(notebook([markdown("# T\n\n## One\n\n### Deeper: two"), markdown("three")]))
    assert [readings.words(part) for part in (first, second)] == [2, 3]


@pytest.mark.parametrize(
    "text, found",
    [
        ("**1. Title.** ★ Text", {1: 1}),
        ("### Exercise 2 ★★", {2: 2}),
        ("**Exercise 3 ★★★.** Text", {3: 3}),
        ("### ★★ 4. Title", {4: 2}),
        ("Exercise 5: Title", {5: 0}),
        ("1. a list, not an exercise\n\nIn exercise 2 ★ we", {}),
        ("**10 samples** are drawn", {}),
    ],
)
def test_exercises_and_their_stars(text, found):
    assert readings.exercises(notebook([markdown("## Exercises\n\n" + text)])) == found
    assert readings.exercises(notebook([markdown("## Deeper: more exercises\n\n" + text)])) == found
    assert readings.exercises(notebook([markdown("## Sources\n\n" + text)])) == {}


def test_a_film_is_a_picture_and_a_table_is_not():
    film = {"output_type": "display_data", "data": {"text/html": '<figure><img src="data:,"></figure>'}}
    text = {"output_type": "display_data", "data": {"text/html": "<table></table>", "text/plain": "a" * 90}}
    assert readings.shows_picture(code("f()", film))
    assert not readings.shows_picture(code("f()", text, printed("x")))
    assert readings.wide_lines(code("f()", text)) == []  # its text is not what the page shows


# --------------------------------------------------------------------------------------------- from the title page


def test_the_way_to_the_first_loop_and_to_the_first_digits():
    film = {"data": {"text/html": '<img src="data:," alt="Rows of DIGITS.">'}}
    pages = [
        ("intro", markdown("one two")),
        ("start", code("plot()", PNG, alt="Real digits.")),  # data, before any training
        ("start", code("loss.backward()", tags=["hide-cell"])),  # nobody sees it
        ("start", code("a\nb")),
        ("start", markdown("three")),
        ("start", code("loss.backward()\nstep()")),
        ("start", code("plot()", PNG, alt="A loss that falls.")),
        ("start", markdown("four")),
        ("next", code("film()", film)),
    ]
    loop, digits = readings.arrivals(pages)
    assert (loop.where, loop.words, loop.lines) == ("start", 3, 3)
    assert (digits.where, digits.words, digits.lines) == ("next", 4, 6)
    assert readings.arrivals(pages[:2]) == (None, None)


def test_what_the_pages_put_in_is_counted():
    """By hand: minutes are two words, and a film has a caption, a folded cell a label."""
    film = {"data": {"text/html": '<img src="data:," alt="Digits."><figcaption>A still picture</figcaption>'}}
    made = notebook([code("# @title Figure S.1\nfilm()", film, tags=["hide-input"])])
    lab = "```{lab} penalised\n:layout: small\n\nTwo [networks](lab.md) train.\n```"
    for text, count in (
        ("read <!-- minutes: S, 02 --> now", 4),
        (f"one\n\n{lab}\n\ntwo\n\n```\ncode\n```\n\nthree", 6),
        ("<!-- output: start.ipynb, Figure S.1, alone -->", 3),
        ("<!-- only a comment -->", 0),
    ):
        assert readings.word_count(readings.as_shown(text, {"start": made})) == count, text
    with pytest.raises(LookupError, match="No cell of start.ipynb is titled 'Figure S.9'"):
        readings.as_shown("<!-- output: start.ipynb, Figure S.9 -->", {"start": made})
    assert readings.shown_words(made["cells"][0]) == len("Code of Figure S.1 A still picture".split())
    assert readings.shown_words(code("x = 1")) == 0
    assert readings.shown_words(markdown("one <details><summary>Cite it</summary>\n\nfolded\n\n</details>")) == 3


SEEN = """() => {
const loop = [...document.querySelectorAll("main div.cell")].find((one) => one.textContent.includes(".backward("));
for (let one = loop; one && one.tagName !== "ARTICLE"; one = one.parentElement)
  while (one.nextSibling) one.nextSibling.remove();
loop?.remove();
document.querySelectorAll("pre").forEach((one) => one.remove());
return document.querySelector("article").innerText;
}"""


@pytest.mark.slow
def test_the_words_on_the_way_are_those_that_a_browser_shows(open_page, book_on_disk):
    """Up to the first loop, without scripts, which would put the film's controls in the place of its caption."""
    seen = 0
    for name in ("intro", "start"):
        text = open_page(f"{book_on_disk}/book/{name}.html", java_script_enabled=False).evaluate(SEEN)
        seen += sum(any(map(str.isalnum, word)) for word in text.split())
    loop, _ = readings.arrivals(readings.route())
    assert loop is not None and loop.where == "start"
    assert seen == pytest.approx(loop.words, abs=3)


@pytest.mark.skipif("start" not in readings.chapters(), reason="the book has no chapter to start with yet")
def test_the_book_keeps_its_goals():
    loop, digits = readings.arrivals(readings.route())
    assert loop is not None and loop.words < readings.LOOP_WORDS, readings.way_in()
    assert digits is not None and digits.words < readings.DIGIT_WORDS, readings.way_in()
