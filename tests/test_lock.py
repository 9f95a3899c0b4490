"""requirements.txt installs elsewhere too, and has all that pyproject.toml asks for."""

import re
import tomllib
from importlib.metadata import distribution, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import ROOT, lock

LINES = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
PINNED = [Requirement(line) for line in LINES if not line.startswith("#")]
PINS = {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in PINNED}
EVERYWHERE = {canonicalize_name(one.name) for one in PINNED if one.marker is None}


def test_every_line_is_a_plain_pin():
    pin = r'[\w.-]+==[\w.]+( ; sys_platform == "\w+")?'
    assert [line for line in LINES if not line.startswith("#") and not re.fullmatch(pin, line)] == []
    assert len(PINS) > 50 and {"torch", "jupyter-book"} <= EVERYWHERE


def test_pyproject_is_satisfied():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for text in project["dependencies"] + project["optional-dependencies"]["book"]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(PINS[canonicalize_name(wanted.name)]), text


def test_the_lock_is_complete():
    """What a pinned package needs, on any of the promised machines, is pinned too, at a version that it accepts."""
    for name in EVERYWHERE:
        for need in map(Requirement, requires(name) or []):
            for machine in lock.MACHINES:
                if need.marker and not need.marker.evaluate(machine | {"extra": ""}):
                    continue
                if not canonicalize_name(need.name).startswith(lock.LEFT_OUT):
                    pin = PINS.get(canonicalize_name(need.name))
                    assert pin and need.specifier.contains(pin, prereleases=True), f"{name} needs {need}"


def test_every_pin_runs_on_the_promised_pythons():
    for name in EVERYWHERE:
        wanted = distribution(name).metadata.get("Requires-Python")
        for python in ("3.11.0", "3.12.0", "3.13.0"):
            assert not wanted or Requirement(f"x{wanted.replace(' ', '')}").specifier.contains(python), (name, wanted)


def test_what_is_compiled_becomes_pins():
    compiled = """\
torch==2.13.0+cpu
nvidia-cudnn==9.1 ; sys_platform == 'linux'
triton==3 ; python_full_version < '3.15' and sys_platform == 'linux'
colorama==0.4 ; sys_platform == 'win32'
cffi==2 ; implementation_name == 'pypy'
appnope==1.0 ; sys_platform == 'darwin'
pexpect==4.9 ; sys_platform != 'emscripten' and sys_platform != 'win32'

b-x==2
"""
    expected = ["torch==2.13.0", "appnope==1.0 ; sys_platform == 'darwin'", "pexpect==4.9", "b-x==2"]
    assert lock.pins(compiled) == [line.replace("'", '"') for line in expected]
