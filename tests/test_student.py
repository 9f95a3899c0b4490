"""Notebooks for a class: what a solution is goes, everything else stays, and what is written is valid and runs."""

import ast
import json
import zipfile

import nbformat
import pytest

from tools import notebooks, student


def code(source, *tags):
    return {
        "cell_type": "code",
        "source": source,
        "metadata": {"tags": list(tags)},
        "outputs": [],
        "execution_count": None,
    }


def markdown(source):
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def notebook(*cells):
    made = {
        "cells": [dict(cell, id=f"c{place}") for place, cell in enumerate(cells)],
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return made | {"metadata": {"gan_tutorial": {"executed": "1"}, "language_info": {"name": "python"}}}


CHECK = "# @title Check 1\ndef check_1(answer):\n    return answer == 2\n\n\ncheck_1(answer)"
MADE = notebook(
    markdown("# T\n\n<details><summary>Answer</summary>\n\nto a prediction\n\n</details>"),
    markdown("## Exercises\n\n**1. One.** ★"),
    code("answer = ..."),
    code(CHECK, "hide-input"),
    code("# @title Solution 1\nsolution = 2\nassert check_1(solution)", "hide-cell"),
    markdown("**2. Two.** ★★ Why?\n\n<details><summary>Solution 2</summary>\n\nsecret\n\n</details>\n\nA hint."),
    markdown("<details><summary>Solution 3</summary>\n\nsecret\n\n</details>"),
    code("# Solution. From before.\nsecret = 1", "hide-cell"),
    code("# Solution of the equation, which is no exercise\nvisible = 1"),
)


def test_solutions_go_and_all_else_stays():
    made = student.without_solutions(MADE)
    assert [cell["id"] for cell in made["cells"]] == ["c0", "c1", "c2", "c3", "c5", "c8"]
    assert "secret" not in json.dumps(made)
    assert made["cells"][0] == MADE["cells"][0]
    assert made["cells"][4]["source"] == "**2. Two.** ★★ Why?\n\nA hint."
    assert made["metadata"] == {"language_info": {"name": "python"}}
    assert "secret" in json.dumps(MADE)  # the notebook itself is as it was


def test_what_is_written_is_valid_and_alone_in_its_folder(tmp_path):
    (tmp_path / "old.ipynb").touch()
    student.write(tmp_path, {"01_x": student.without_solutions(MADE)})
    assert [path.name for path in tmp_path.iterdir()] == ["01_x.ipynb"]
    nbformat.validate(nbformat.read(tmp_path / "01_x.ipynb", as_version=4))
    with pytest.raises(nbformat.ValidationError):
        student.write(tmp_path, {"01_x": {**MADE, "cells": [{"cell_type": "code", "id": "a"}]}})


def test_an_instructor_s_archive_has_the_solutions_and_the_answers(tmp_path, monkeypatch, capsys):
    """Every notebook as it is in the book, both pages for instructors, and nothing else."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "01_x.ipynb").write_text(json.dumps(MADE))
    for name in student.ANSWERS:
        (tmp_path / "book" / name).write_text(f"words of {name}")
    monkeypatch.setattr(student, "ROOT", tmp_path)
    for option, folder in (([], "student"), (["--instructor"], "instructor")):
        monkeypatch.setattr("sys.argv", ["student", *option])
        student.main()
        assert str(tmp_path / "_build" / folder) in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "_build" / "instructor.zip") as archive:
        held = {name: archive.read(name).decode() for name in archive.namelist() if not name.endswith("/")}
    assert held.keys() == {"01_x.ipynb", *student.ANSWERS}
    assert json.loads(held["01_x.ipynb"]) == MADE
    assert all(held[name] == f"words of {name}" for name in student.ANSWERS)
    assert "secret" not in (tmp_path / "_build" / "student" / "01_x.ipynb").read_text()


def test_a_student_s_notebook_runs_without_an_answer():
    names = {}
    for cell in notebooks.code_cells(student.without_solutions(MADE)):
        exec(compile(cell["source"], "cell", "exec"), names)
    assert names["answer"] is ...
    assert "solution" not in names


@pytest.mark.parametrize("path", notebooks.chapters(), ids=lambda path: path.stem)
def test_no_solution_is_left_in_a_chapter_and_what_is_left_stands_alone(path):
    """No cell that stays uses a name that only a solution makes."""
    book = json.loads(path.read_text(encoding="utf-8"))
    cells = student.without_solutions(book)["cells"]
    code_left = [ast.parse(notebooks.source(cell)) for cell in cells if cell["cell_type"] == "code"]
    solutions = [ast.parse(notebooks.source(c)) for c in notebooks.code_cells(book) if student.is_solution(c)]

    def bound(trees):
        """The names that some code makes: variables, arguments, functions, classes, imports."""
        nodes = [node for tree in trees for node in ast.walk(tree)]
        kinds = {ast.arg: "arg", ast.FunctionDef: "name", ast.ClassDef: "name", ast.alias: "name"}
        stored = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
        return stored | {getattr(n, kinds[type(n)]) for n in nodes if type(n) in kinds}

    nodes = [n for tree in code_left for n in ast.walk(tree)]
    used = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    assert used & (bound(solutions) - bound(code_left)) == set()
    assert "<summary>Solution" not in "".join(notebooks.source(cell) for cell in cells)
