"""The committed record of the claims: within the rules. That code changed after a recording is a warning."""

import subprocess
import sys
import warnings

from tools import ROOT


def test_every_claim_has_a_record_and_a_sabotage_and_none_fails():
    """`make claims ARGS=--check` is the strict form: it asks for a complete record of the code as it is."""
    command = [sys.executable, "-m", "tools.claims", "--check", "--allow-stale"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = (result.stdout + result.stderr).splitlines()
    for line in said:
        if line.startswith("⚠"):
            warnings.warn(line.removeprefix("⚠ "), stacklevel=1)
    assert result.returncode == 0, "\n".join(["run `make claims`", *said[:10], f"({len(said)} lines)"])
