"""The linter, so that one run says everything."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def ruff(*paths):
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "--output-format", "concise", *map(str, paths)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_code_is_clean():
    result = ruff(".")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_linter_can_fail(tmp_path):
    (tmp_path / "a.py").write_text("import os\n")
    assert "F401" in ruff("--config", ROOT / "pyproject.toml", tmp_path / "a.py").stdout
