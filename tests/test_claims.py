"""A claim prints one line, or raises with what was measured."""

import json

import numpy as np
import pytest
import torch

import gan_tutorial as gt


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("SCALE", "RECORD", "RECORD_ONLY"):
        monkeypatch.delenv(f"GAN_TUTORIAL_{name}", raising=False)


@pytest.mark.parametrize("value", [0.9, 1.0, 1.1, torch.tensor(1.0), torch.tensor([1.0])])
def test_the_line_does_not_depend_on_the_value(capsys, value):
    gt.claim("7.3", "The overshoot is theta²/2λ, within 10 %", value, low=0.9, high=1.1)
    assert capsys.readouterr().out == "✓ 7.3 The overshoot is theta²/2λ, within 10 %\n"


@pytest.mark.parametrize("value", [0.89, 1.11, float("nan"), float("inf"), torch.tensor(2.0)])
def test_a_value_outside_raises_with_the_value(value):
    with pytest.raises(gt.ClaimFailed, match=f"Measured {float(value):.6g}; it must be at least 0.9 and at most 1.1"):
        gt.claim("7.3", "The overshoot", value, low=0.9, high=1.1)


def test_one_bound_is_enough_and_nan_never_passes():
    gt.claim("1.1", "small", 0.1, high=0.2)
    gt.claim("1.2", "large", 0.3, low=0.2)
    for bounds in ({"high": 1.0}, {"low": 0.0}):
        with pytest.raises(gt.ClaimFailed):
            gt.claim("1.3", "a number", float("nan"), **bounds)


def test_without_a_bound_the_value_is_true_or_false(capsys):
    gt.claim("1.1", "equal", torch.equal(torch.ones(2), torch.ones(2)))
    gt.claim("1.2", "equal", torch.ones(2).eq(1).all())
    with pytest.raises(gt.ClaimFailed):
        gt.claim("1.3", "equal", False)
    with pytest.raises(ValueError, match="no bound"):
        gt.claim("1.4", "a number", 1.0)  # a number that only has to be "truthy" would test nothing


def test_smoke_checks_and_prints_nothing(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("GAN_TUTORIAL_SCALE", "smoke")
    monkeypatch.setenv("GAN_TUTORIAL_RECORD", str(tmp_path / "record"))
    gt.claim("1.1", "small", 5, high=0)
    assert capsys.readouterr().out == "" and not (tmp_path / "record").exists()


@pytest.mark.parametrize("number", [np.float32, np.float64, torch.tensor])
@pytest.mark.parametrize("value", [0.5, 2.0])
def test_bounds_may_be_numbers_of_any_kind(monkeypatch, tmp_path, number, value):
    """A record is JSON, which knows neither numpy's numbers nor its booleans."""
    monkeypatch.setenv("GAN_TUTORIAL_RECORD", str(tmp_path / "record"))
    monkeypatch.setenv("GAN_TUTORIAL_RECORD_ONLY", "1")
    gt.claim("1.1", "small", number(value), high=number(1.0))
    assert json.loads((tmp_path / "record").read_text())["holds"] is (value < 1)


def test_the_record_holds_what_failed_too(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("GAN_TUTORIAL_RECORD", str(tmp_path / "record"))
    gt.claim("1.1", "small", 0.5, high=1, exact=True)
    with pytest.raises(gt.ClaimFailed):
        gt.claim("1.2", "small", 2, high=1)
    monkeypatch.setenv("GAN_TUTORIAL_RECORD_ONLY", "1")
    gt.claim("1.3", "small", 2, high=1)  # does not raise, so that later claims are reached
    lines = [json.loads(line) for line in (tmp_path / "record").read_text().splitlines()]
    assert [(e["claim"], e["value"], e["holds"], e["exact"]) for e in lines] == [
        ("1.1", 0.5, True, True),
        ("1.2", 2.0, False, False),
        ("1.3", 2.0, False, False),
    ]


@pytest.mark.parametrize("answer", [None, ...])
def test_an_exercise_without_an_answer(capsys, answer):
    assert not gt.check("Exercise 2", answer, high=1)
    assert capsys.readouterr().out == "… Exercise 2: no answer yet\n"


@pytest.mark.parametrize("value, right", [(0.5, True), (1.0, True), (1.1, False), (-1, False), (float("nan"), False)])
def test_an_answer_is_judged_without_telling_the_solution(capsys, value, right):
    assert gt.check("Exercise 2", torch.tensor(value), low=0, high=1, hint="Mind the sign.") is right
    told = "✓ Exercise 2: right\n" if right else "✗ Exercise 2: not yet. Mind the sign.\n"
    assert capsys.readouterr().out == told  # neither the value nor the bounds
    assert gt.check("Exercise 3", True) and not gt.check("Exercise 3", torch.tensor(False))


@pytest.mark.parametrize("variable, value", [("SCALE", "smoke"), ("RECORD_ONLY", "1")])
def test_an_answer_is_not_judged_at_smoke_scale_or_under_sabotage(monkeypatch, capsys, variable, value):
    monkeypatch.setenv(f"GAN_TUTORIAL_{variable}", value)
    assert gt.check("Exercise 2", 7, high=1)
    assert capsys.readouterr().out == ("… Exercise 2: not checked at scale smoke\n" if value == "smoke" else "")


@gt.grader("Exercise 4")
def check_4(answer):
    """It must be 2."""
    return gt.check("Exercise 4", abs(answer - 2), high=1e-6)


@pytest.mark.parametrize(
    "answer, right, told",
    [
        (2, True, "✓ Exercise 4: right\n"),
        (3, False, "✗ Exercise 4: not yet.\n"),
        ([2], False, "✗ Exercise 4: the check cannot use this answer (TypeError: unsupported operand type(s) for -"),
        (lambda: 2, False, "✗ Exercise 4: the check cannot use this answer (TypeError: unsupported operand type(s)"),
        (
            torch.ones(2),
            False,
            "✗ Exercise 4: the check cannot use this answer (ValueError: only one element tensors can be conv",
        ),
    ],
)
def test_a_grader_takes_answers_of_any_kind(capsys, answer, right, told):
    assert check_4(answer) is right and check_4.__doc__ == "It must be 2."
    out = capsys.readouterr().out
    assert out.startswith(told) and out.count("\n") == 1


def test_a_grader_lets_the_reader_interrupt():
    @gt.grader("Exercise 5")
    def check_5(answer):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_5(1)
