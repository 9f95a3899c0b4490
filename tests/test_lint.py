"""What `make lint` asks of the code's form and types, so that one run says everything; and that each check can fail."""

import subprocess
import sys

import pytest
import yaml

from tools import ROOT

CHECKS = {
    "format": ["ruff", "format", "--check"],
    "check": ["ruff", "check", "--output-format", "concise"],
    "types": ["basedpyright", "--level", "error"],
}
FAULTS = {"format": "x = {  'a':1 }\n", "check": "import os\n", "types": "def f() -> int:\n    return 'a'\n"}


def run(check, *words, cwd=ROOT):
    command = [sys.executable, "-m", *CHECKS[check], *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("check", CHECKS)
def test_the_code_is_clean(check):
    result = run(check)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("check", CHECKS)
def test_the_check_can_fail(check, tmp_path):
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for name in ("tools", "gan_tutorial"):  # what the configuration names has to be there
        (tmp_path / name).mkdir()
    (tmp_path / "conftest.py").write_text("")
    (tmp_path / "tools" / "a.py").write_text("x = 1\n")
    assert run(check, cwd=tmp_path).returncode == 0
    (tmp_path / "tools" / "a.py").write_text(FAULTS[check])
    assert run(check, cwd=tmp_path).returncode == 1


def test_what_runs_before_a_commit_is_what_make_runs():
    """No hook comes from another repository; each is one of the checks, by the environment that make made."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    entries = [hook["entry"].removesuffix(" --fix") for hook in hooks[0]["hooks"]]
    words = {"format": 2, "check": 2, "types": 3}  # without what only shapes the output
    assert entries == [f".venv/bin/python -m {' '.join(CHECKS[check][:n])}" for check, n in words.items()]
    assert {hook["language"] for hook in hooks[0]["hooks"]} == {"system"}
