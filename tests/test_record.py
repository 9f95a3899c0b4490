"""The committed record of the claims: complete, up to date, and within the rules."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_claim_has_an_up_to_date_record():
    command = [sys.executable, "tools/claims.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = (result.stdout + result.stderr).splitlines()
    assert result.returncode == 0, "\n".join(["run `make claims`", *said[:10], f"({len(said)} lines)"])
