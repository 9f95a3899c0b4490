"""requirements.txt installs elsewhere too, and has all that pyproject.toml asks for."""

import re
import tomllib
from importlib.metadata import distribution, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import lock

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
PINNED = [line.partition("==") for line in LINES if "==" in line]
PINS = {canonicalize_name(name): version for name, _, version in PINNED}


def test_every_line_is_a_plain_pin():
    wrong = [line for line in LINES if not line.startswith("#") and not re.fullmatch(r"[\w.-]+==[\w.]+", line)]
    assert wrong == []
    assert len(PINS) > 50


def test_pyproject_is_satisfied():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for text in project["dependencies"] + project["optional-dependencies"]["book"]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(PINS[canonicalize_name(wanted.name)]), text


def test_the_lock_is_complete():
    """What a pinned package needs, on any of the promised Pythons, is pinned too, at a version that it accepts."""
    for name in PINS:
        for text in requires(name) or []:
            need = Requirement(text)
            for python in ("3.11", "3.12", "3.13"):
                marks = {
                    "python_version": python,
                    "python_full_version": python + ".1",
                    "sys_platform": "linux",
                    "platform_system": "Linux",
                    "platform_machine": "x86_64",
                    "extra": "",
                }
                if need.marker and not need.marker.evaluate(marks):
                    continue
                if canonicalize_name(need.name).startswith(("nvidia-", "cuda-", "triton")):
                    continue  # torch's own, on a machine with a GPU
                pin = PINS.get(canonicalize_name(need.name))
                assert pin and need.specifier.contains(pin, prereleases=True), f"{name} needs {text}"


def test_every_pin_runs_on_the_promised_pythons():
    for name in PINS:
        wanted = distribution(name).metadata.get("Requires-Python")
        for python in ("3.11.0", "3.12.0", "3.13.0"):
            assert not wanted or Requirement(f"x{wanted.replace(' ', '')}").specifier.contains(python), (name, wanted)


def test_a_freeze_becomes_plain_pins():
    freeze = (
        "Torch==2.13.0+cpu\nnvidia-cudnn==9.1\n-e git+x\npip==1\nB_x==2\ntriton==3\na @ file:///x\ngan-tutorial==1\n"
    )
    assert lock.pinned(freeze) == ["B_x==2", "Torch==2.13.0"]
