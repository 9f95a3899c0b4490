"""make runs nothing that stands in a variable of the user's, and passes it on as it is."""

import os
import re
import subprocess

import pytest

from tools import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def make(*words, **settings):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "PY"))}
    return subprocess.run(["make", *words], cwd=ROOT, env=environment | settings, capture_output=True, text=True)


@pytest.mark.parametrize(
    "value", ["`touch {}`", "$(shell touch {})", "$$(touch {})", "a$b {}", "it's; touch {}", "~/{}"]
)
def test_a_folder_with_a_strange_name_is_only_a_name(tmp_path, value):
    """The target's command is replaced by one that prints the variable: what make passed on."""
    value = value.format(tmp_path / "ran")
    words = ["claims", "--old-file", ".venv/.ready", "PY=printenv GAN_TUTORIAL_DATA; true"]
    result = make(*words, GAN_TUTORIAL_DATA=value)
    assert result.stdout == value + "\n", result.stderr
    assert not (tmp_path / "ran").exists()


def test_help_lists_every_target():
    targets = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.M).group(1).split())
    assert targets == set(re.findall(r"^([a-z]+):.*## ", MAKEFILE, re.M))
    listed = make("help").stdout
    assert all(f"make {target} " in listed for target in targets)
