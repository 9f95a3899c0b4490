"""The committed record of the claims: complete, up to date, and within the rules."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_claim_has_an_up_to_date_record():
    command = [sys.executable, "tools/claims.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, "run `make claims`\n" + result.stdout + result.stderr
