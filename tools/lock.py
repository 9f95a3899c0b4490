"""Write requirements.txt anew: the newest versions of everything in pyproject.toml that fit together.

    python tools/lock.py [PYTHON]

They are found by an installation into an environment of its own, made with PYTHON. Choose the oldest Python that the
book promises, so that every version fits the newer ones too; then run `make test` with each.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What torch brings on a machine with a GPU belongs to that machine; the rest is in every environment, or is ours.
LEFT_OUT = ("pip", "gan-tutorial", "gan_tutorial", "triton", "pytorch-triton")


def pinned(freeze: str) -> list[str]:
    """The lines of `pip freeze` that hold on every machine: name==version, without a build such as +cpu."""
    lines = (line.partition("+")[0].strip() for line in freeze.splitlines())
    names = {line.partition("==")[0].lower(): line for line in lines if "==" in line}
    return [
        line for name, line in sorted(names.items()) if not (name in LEFT_OUT or name.startswith(("nvidia-", "cuda-")))
    ]


def main(python: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", f"{ROOT}[book]"], check=True)
        freeze = subprocess.run([*pip, "freeze", "--all"], check=True, capture_output=True, text=True).stdout
    path = ROOT / "requirements.txt"
    head = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    path.write_text("\n".join(head + pinned(freeze)) + "\n", encoding="utf-8")
    print(f"{path.name}: {len(pinned(freeze))} packages")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else sys.executable)
