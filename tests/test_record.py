"""The committed record of the claims: within the rules. That code changed after a recording is a warning."""

import json
import subprocess
import sys
import warnings

from tools import ROOT

MOST_MB = 2_000  # of memory for a chapter: the limit that was set for the book, and not one taken from a measurement


def test_every_claim_has_a_record_and_a_sabotage_and_none_fails():
    """`make claims ARGS=--check` is the strict form: it asks for a complete record of the code as it is."""
    command = [sys.executable, "-m", "tools.claims", "--check", "--allow-stale"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = (result.stdout + result.stderr).splitlines()
    for line in said:
        if line.startswith("⚠"):
            warnings.warn(line.removeprefix("⚠ "), stacklevel=1)
    assert result.returncode == 0, "\n".join(["run `make claims`", *said[:10], f"({len(said)} lines)"])


def test_every_recorded_run_stayed_within_the_limit_of_memory():
    runs = json.loads((ROOT / "book" / "claims.json").read_text(encoding="utf-8"))["runs"]
    names = ("chapter", "digits", "seed", "sabotage", "peak_mb")
    assert runs
    assert [] == [[run[name] for name in names] for run in runs if not 0 < run["peak_mb"] < MOST_MB]
