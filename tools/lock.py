"""Write requirements.txt: versions of everything in pyproject.toml that fit together, on every Python that we promise.

    python -m tools.lock             adds what is missing, and leaves all other versions as they are
    python -m tools.lock --upgrade   moves everything to the newest versions (`make lock`)

They are found by `uv pip compile`, for all systems at once.
"""

from __future__ import annotations

import subprocess
import sys

from packaging.requirements import Requirement

from . import ROOT, atomic_write

FILE = ROOT / "requirements.txt"
# What torch brings on a machine with a GPU belongs to that machine.
LEFT_OUT = ("nvidia-", "cuda-", "triton")
MACHINES = [
    {"python_version": v, "python_full_version": f"{v}.9", "implementation_name": "cpython", **system}
    for v in ("3.11", "3.12", "3.13")
    for system in (
        {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"},
        {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64", "os_name": "posix"},
    )
]


def pins(compiled: str) -> list[str]:
    """name==version, without a build such as +cpu, and with a marker only where some of our machines do without it."""
    found = []
    for line in filter(None, map(str.strip, compiled.splitlines())):
        one = Requirement(line)
        needed = [one.marker is None or one.marker.evaluate(machine) for machine in MACHINES]
        if any(needed) and not one.name.startswith(LEFT_OUT):
            pin = f"{one.name}{one.specifier}".partition("+")[0]
            found.append(pin if all(needed) else f"{pin} ; {one.marker}")
    return found


def main(words: list[str]) -> None:
    options = ["--extra", "book", "--universal", "--python-version", "3.11", "--fork-strategy", "fewest"]
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *options]
    quiet = ["--quiet", "--no-header", "--no-annotate"]
    known = [] if "--upgrade" in words else ["--constraint", str(FILE)]
    compiled = subprocess.run([*command, *quiet, *known], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    head = [line for line in FILE.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    atomic_write(FILE, "\n".join(head + pins(compiled)) + "\n")
    print(f"{FILE.name}: {len(pins(compiled))} packages")


if __name__ == "__main__":
    main(sys.argv[1:])
