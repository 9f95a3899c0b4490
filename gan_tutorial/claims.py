"""A claim is a sentence of the book that a cell checks; a check tells a reader whether an exercise is solved."""

import json
import os
from collections.abc import Callable
from functools import wraps

from .runtime import scale_from_environment


class ClaimFailed(AssertionError):
    """A measured value lies outside the bounds that a claim of the book states."""


def record(entry: dict) -> None:
    """Append `entry` as a JSON line to the file that GAN_TUTORIAL_RECORD names; do nothing if it is not set."""
    path = os.environ.get("GAN_TUTORIAL_RECORD")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def claim(
    number: str, text: str, value, *, low: float | None = None, high: float | None = None, exact: bool = False
) -> None:
    """Check low <= value <= high and print `✓ number text`, a line that is the same on every machine.

    number  "chapter.count", such as "7.3", or "S.1" for the start.
    value   a number (a tensor of one element will do), or a bool where no bound is given: it must then be true.
    exact   marks a fact that holds to rounding whatever the seed, so that one run is enough to check it.

    Bounds come from theory or from a control run, never from the value that was measured. NaN satisfies no claim.
    At scale "smoke" a training is too short to show anything: nothing is checked or printed.
    Raises ClaimFailed with the value where the claim fails, ValueError where it cannot be checked.
    """
    if scale_from_environment() == "smoke":
        return
    if low is None and high is None:
        if not (isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")):  # torch's, numpy's
            raise ValueError(f"Claim {number} has no bound, so its value must be true or false, not {value!r}.")
        low = 1.0
    value = float(value)
    low, high = (None if bound is None else float(bound) for bound in (low, high))  # JSON cannot hold tensors
    holds = (low is None or low <= value) and (high is None or value <= high)  # never for NaN
    record({"claim": number, "text": text, "value": value, "low": low, "high": high, "exact": exact, "holds": holds})
    if holds:
        print(f"✓ {number} {text}")
    elif os.environ.get("GAN_TUTORIAL_RECORD_ONLY") == "1":  # `make claims` wants every value, the failed ones too
        print(f"✗ {number} {text}: measured {value:.6g}")
    else:
        bounds = " and ".join(
            f"{word} {bound:g}" for word, bound in (("at least", low), ("at most", high)) if bound is not None
        )
        raise ClaimFailed(f"Claim {number} fails: {text}. Measured {value:.6g}; it must be {bounds}.")


def check(exercise: str, value, *, low: float | None = None, high: float | None = None, hint: str = "") -> bool:
    """Print whether an answer to an exercise is right, without showing how to find it; return whether it is.

    exercise  what the line calls it, such as "Exercise 2".
    value     what is measured of the answer, to lie between `low` and `high`; or true or false. None, and `...`, mean
              that there is no answer yet.
    hint      a sentence for a wrong answer.

    It never raises for a wrong answer, so that a notebook runs on. At scale "smoke" nothing is checked, and the line
    says so. Under `make claims` everything passes in silence: there a sabotage is to make a claim fail, and not a
    solution. Raises what float(value) raises for a value that is not a number; see `grader`.
    """
    if value is None or value is ...:
        print(f"… {exercise}: no answer yet")
        return False
    if scale_from_environment() == "smoke":
        print(f"… {exercise}: not checked at scale smoke")
        return True
    if os.environ.get("GAN_TUTORIAL_RECORD_ONLY") == "1":
        return True
    if low is None and high is None:
        low = 1.0
    value = float(value)
    right = (low is None or low <= value) and (high is None or value <= high)  # never for NaN
    print(f"✓ {exercise}: right" if right else f"✗ {exercise}: not yet. {hint}".rstrip())
    return right


def grader(exercise: str) -> Callable[[Callable[..., bool]], Callable[..., bool]]:
    """A decorator for a function that calls `check` with what it measures of an answer: `@gt.grader("Exercise 1")`.

    An answer that the function cannot use, such as a list instead of a number, counts as not yet right: the line says
    what was raised, and the notebook runs on.
    """

    def safe(function: Callable[..., bool]) -> Callable[..., bool]:
        @wraps(function)
        def graded(*answers, **more) -> bool:
            try:
                return function(*answers, **more)
            except Exception as error:
                why = str(error).strip().partition("\n")[0]
                print(f"✗ {exercise}: the check cannot use this answer ({type(error).__name__}: {why})")
                return False

        return graded

    return safe
