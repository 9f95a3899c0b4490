"""Execute the chapters in place, and say what is wrong with a committed notebook.

    python tools/notebooks.py run                      every notebook of the book
    python tools/notebooks.py run book/02_first_gan.ipynb 03
    python tools/notebooks.py check                    the form of the notebooks, without running them
    python tools/notebooks.py find 3                   the path of a chapter

`run` is the only way to make stored outputs: seed 0, scale "cpu", one thread, MNIST, PNG pictures, from a fresh kernel,
top to bottom. A notebook is written only if every cell succeeded, and in one move; a failed one is left under
_build/failed/ with its error. Metadata that changes from run to run is dropped, so that a rerun changes only what the
code changed.
"""

from __future__ import annotations

import argparse
import hashlib
import html.parser
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT / "tools") not in sys.path:
    sys.path.insert(0, str(ROOT / "tools"))

import setup_cell  # noqa: E402

LARGEST = 1_500_000  # bytes of one notebook
CLAIM_TAG = "nbval-check-output"


def chapters(names: list[str] = ()) -> list[Path]:
    """The notebooks named by path or by number ("03", "3"); all of the book where no name is given."""
    every = sorted((ROOT / "book").glob("*.ipynb"))
    if not names:
        return every
    found = []
    for name in names:
        if name.isdigit():
            match = [p for p in every if p.name.startswith(f"{int(name):02d}_")]
        else:
            match = [Path(name).resolve()] if Path(name).is_file() else []
        if not match:
            known = ", ".join(p.stem for p in every) or "none"
            raise SystemExit(f"there is no chapter {name!r}; the book has: {known}")
        found += match
    return found


def source(cell: dict) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def code_cells(notebook: dict) -> list[dict]:
    """The code cells that hold something, in order."""
    return [c for c in notebook["cells"] if c["cell_type"] == "code" and source(c).strip()]


def fingerprint(notebook: dict) -> str:
    """A hash of the code that makes the outputs: all code cells but the set-up cell, which does nothing here."""
    sources = [source(c).rstrip() for c in code_cells(notebook) if not source(c).startswith(setup_cell.MARK)]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:16]


# --------------------------------------------------------------------------------------------------------- running


def kernel_environment(**changes: str) -> dict[str, str]:
    """The environment in which stored outputs are made."""
    environment = dict(os.environ)
    path = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    environment |= {
        "PYTHONPATH": os.pathsep.join(path),
        "GAN_TUTORIAL_DIGITS": "mnist",
        "GAN_TUTORIAL_PROGRESS": "0",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
    }
    if environment.get("GAN_TUTORIAL_DATA"):
        environment["GAN_TUTORIAL_DATA"] = os.path.abspath(environment["GAN_TUTORIAL_DATA"])
    # Seed 0 and, on a CPU, scale "cpu" are what a chapter takes by itself; `problems` sees to it that it did.
    for variable in ("SEED", "SCALE", "RECORD", "RECORD_ONLY"):
        environment.pop(f"GAN_TUTORIAL_{variable}", None)
    environment.pop("MPLBACKEND", None)
    environment.update(changes)
    return environment


def merge_streams(outputs: list[dict]) -> list[dict]:
    """Join neighbouring pieces of one stream: where a kernel flushes is an accident of timing."""
    merged: list[dict] = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output["output_type"] == last.get("output_type") == "stream" and output["name"] == last["name"]:
            last["text"] += output["text"]
        else:
            merged.append(output)
    return merged


def normalise(notebook: dict) -> None:
    """Drop what changes from machine to machine; give each cell an id that depends on its source alone."""
    notebook["metadata"] = {
        "gan_tutorial": {"executed": fingerprint(notebook)},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
    }
    notebook["nbformat"], notebook["nbformat_minor"] = 4, 5
    seen: dict[str, int] = {}
    for cell in notebook["cells"]:
        digest = hashlib.sha256(f"{cell['cell_type']}\n{source(cell)}".encode()).hexdigest()[:10]
        seen[digest] = seen.get(digest, 0) + 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        cell["metadata"] = {k: cell["metadata"][k] for k in ("mystnb", "tags") if cell["metadata"].get(k)}
        if cell["cell_type"] == "code":
            cell["outputs"] = merge_streams(cell["outputs"])


def write(path: Path, notebook) -> None:
    """Write in one move: a run that is interrupted leaves the old file whole."""
    import nbformat

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def execute(path: Path) -> None:
    """Run one notebook from a fresh kernel and store what it printed. SystemExit with the error where a cell fails."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.read(path, as_version=4)
    notebook["cells"] = [c for c in notebook["cells"] if source(c).strip()]
    for cell in notebook["cells"]:
        cell["metadata"].pop("execution", None)
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    if any(source(c).startswith(setup_cell.MARK) for c in code_cells(notebook)):
        setup_cell.put(notebook, setup_cell.text())
    where = {"metadata": {"path": path.parent}}
    client = NotebookClient(notebook, timeout=1800, kernel_name="python3", record_timing=False, resources=where)
    started = time.perf_counter()
    try:
        client.execute(env=kernel_environment())
    except CellExecutionError as error:
        failed = ROOT / "_build" / "failed" / path.name
        write(failed, notebook)
        raise SystemExit(f"{error}\n{path.name} is unchanged; what ran is in {failed}") from None
    seconds = time.perf_counter() - started
    normalise(notebook)
    write(path, notebook)
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    print(f"{path.name}: {seconds:.0f} s, {peak / 1e9:.2f} GB, {path.stat().st_size / 1e6:.2f} MB", flush=True)


# -------------------------------------------------------------------------------------------------------- checking

MYST = {
    "a MyST role": re.compile(r"(?<![\w`\\])\{[a-zA-Z][\w:.+-]*\}`"),
    "a MyST directive": re.compile(r"^\s*(`{3,}|~{3,})\s*\{", re.M),
    "a colon fence": re.compile(r"^\s*:{3,}", re.M),
    "a MyST target": re.compile(r"^\([\w:.-]+\)=\s*$", re.M),
    "a MyST comment or break": re.compile(r"^(\+\+\+|%\s)", re.M),
    "a MyST substitution": re.compile(r"\{\{.*?\}\}(?!\})"),
    "a Sphinx include": re.compile(r"^\.\.\s+\w+::", re.M),
}
FENCE = re.compile(r"^(```+|~~~+)(?!\s*\{).*?^\1\s*$", re.M | re.S)
MATHS = re.compile(r"\$\$.*?\$\$|(?<!\\)\$[^$\n]+?(?<!\\)\$", re.S)
CODE_SPAN = re.compile(r"(?<!\}|`)(`+)(?!`).+?(?<!`)\1(?!`)")
SETTINGS = re.compile(r"^seed (\d+).* · device (\w+).* · scale (\w+)", re.M)  # what gt.Run prints
ELSEWHERE = re.compile(r"^\s*(https?:)?//", re.I)
SCRIPT_LOADS = re.compile(
    r"""(?:\bimport\b\s*(?:\(|[\w{}*,\s]*\bfrom\b)?|\bfetch\s*\(|\burl\s*\(|\bimportScripts\s*\(|@import\s)"""
    r"""\s*["'`]?\s*(?:https?:)?//""",
    re.I,
)
LOADING = {"src", "href", "srcset", "data", "poster", "action", "background", "xlink:href", "formaction"}


class Loads(html.parser.HTMLParser):
    """Collects what an HTML fragment loads from another host. A link that a reader clicks loads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in LOADING and ELSEWHERE.match(value or "") and not (tag == "a" and name == "href"):
                self.found.append(f"<{tag} {name}={value}>")
            if name == "style" and SCRIPT_LOADS.search(value or ""):
                self.found.append(f"<{tag} style={value}>")
            if name == "srcdoc":
                self.found += loads(value or "")

    handle_startendtag = handle_starttag


def loads(fragment: str) -> list[str]:
    """What this HTML would load from elsewhere: tags, style sheets, scripts."""
    parser = Loads()
    parser.feed(fragment)
    parser.close()
    return parser.found + [match.group(0).strip() for match in SCRIPT_LOADS.finditer(fragment)]


def prose(markdown: str) -> str:
    """A markdown cell without what cannot hold MyST: fenced code, maths and code spans are blanked."""
    for pattern in (FENCE, MATHS, CODE_SPAN):
        markdown = pattern.sub(" ", markdown)
    return markdown


def myst(markdown: str) -> list[str]:
    """Names of the MyST constructs in a markdown cell; Colab and Jupyter would show them raw."""
    blanked = prose(markdown)
    outside = FENCE.sub(" ", markdown)
    # A role is `{name}` glued to a code span, so it must be looked for before code spans are blanked.
    return [
        name for name, pattern in MYST.items() if pattern.search(MATHS.sub(" ", outside) if "role" in name else blanked)
    ]


def text_of(value) -> str:
    return value if isinstance(value, str) else "".join(value)


def picture_problem(cell: dict) -> str | None:
    """What is wrong with the alt text of a code cell that shows a picture; None if nothing is."""
    outputs = [o for o in cell["outputs"] if any(k.startswith("image/") for k in o.get("data", {}))]
    if not outputs:
        return None
    alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "").strip()
    if not alt:
        return 'a picture without alt text: set the cell\'s metadata mystnb = {"image": {"alt": "…"}}'
    if re.search(r"\.(png|jpe?g|svg|gif|webp)$", alt, re.I) or " " not in alt:
        return f"alt text that is no sentence: {alt!r}"
    return None


class Images(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.silent = 0

    def handle_starttag(self, tag, attributes):
        if tag == "img" and not (dict(attributes).get("alt") or "").strip():
            self.silent += 1

    handle_startendtag = handle_starttag


def output_problems(cell: dict) -> list[str]:
    """Errors, stderr, widgets and outside loads among a cell's outputs."""
    found = []
    for output in cell["outputs"]:
        kind, data = output["output_type"], output.get("data", {})
        if kind == "error":
            found.append(f"an error output: {output['ename']}: {output['evalue']}")
        if kind == "stream" and output["name"] == "stderr":
            found.append(f"output on stderr: {text_of(output['text'])[:80]!r}")
        if kind == "stream":
            text = text_of(output["text"])
            if any(match.groups() != ("0", "cpu", "cpu") for match in SETTINGS.finditer(text)):
                found.append("not made with seed 0, on a CPU, at scale cpu")
            if re.search(r"^digits: drawn", text, re.M):
                found.append("made on drawn digits, not on MNIST")
        if any("widget" in mime for mime in data):
            found.append("a widget, which needs scripts from elsewhere")
        for mime in ("text/html", "image/svg+xml", "text/markdown", "application/javascript"):
            if mime in data:
                found += [f"an output that loads from elsewhere: {what}" for what in loads(text_of(data[mime]))]
        if "text/html" in data:
            images = Images()
            images.feed(text_of(data["text/html"]))
            if images.silent:
                found.append("an <img> without alt text in an HTML output")
    return found


def problems(notebook: dict, size: int = 0, setup: str | None = None) -> list[str]:
    """Every fault in the form of a committed notebook, each a sentence that begins with the cell's place."""
    found = []
    if size > LARGEST:
        found.append(f"{size / 1e6:.2f} MB, over {LARGEST / 1e6} MB: fewer or smaller pictures")
    cells = code_cells(notebook)
    counts = [c.get("execution_count") for c in cells]
    if counts != list(range(1, len(cells) + 1)):
        found.append(f"not executed in order from a fresh kernel: execution counts {counts}")
    executed = notebook["metadata"].get("gan_tutorial", {}).get("executed")
    if executed != fingerprint(notebook):
        found.append("the code is not the code that made the outputs: run `make notebooks N=` with its number")
    if not cells or source(cells[0]) != (setup_cell.text() if setup is None else setup):
        found.append("the first code cell is not the set-up cell: `python tools/setup_cell.py NOTEBOOK` writes it")
    ids = [c.get("id") for c in notebook["cells"]]
    if len(set(ids)) != len(ids):
        found.append("two cells have the same id")
    for place, cell in enumerate(notebook["cells"], start=1):
        where = f"cell {place}"
        if cell["cell_type"] == "markdown":
            found += [f"{where}: {name}, which Colab and Jupyter show raw" for name in myst(source(cell))]
            found += [f"{where}: markdown that loads from elsewhere: {what}" for what in markdown_loads(source(cell))]
            continue
        if cell["cell_type"] != "code":
            found.append(f"{where}: a {cell['cell_type']} cell")
            continue
        found += [f"{where}: {problem}" for problem in output_problems(cell)]
        if picture := picture_problem(cell):
            found.append(f"{where}: {picture}")
        if re.search(r"^\s*(gt\.)?claim\(", source(cell), re.M) and CLAIM_TAG not in cell["metadata"].get("tags", []):
            found.append(f"{where}: a claim without the tag {CLAIM_TAG}")
        if re.search(r"^\s*[%!]", source(cell), re.M):
            found.append(f"{where}: a magic or a shell command; the chapters are plain Python")
    return found


def markdown_loads(markdown: str) -> list[str]:
    """Pictures and HTML in a markdown cell that come from another host, and pictures without alt text."""
    outside = prose(markdown)
    found = loads(outside)
    for alt, target in re.findall(r"!\[([^\]]*)\]\(\s*<?([^)\s>]+)", outside):
        if ELSEWHERE.match(target):
            found.append(target)
        if not alt.strip():
            found.append(f"a picture without alt text: {target}")
    return found


def check(path: Path) -> list[str]:
    """The faults of the notebook at `path`."""
    return problems(json.loads(path.read_text(encoding="utf-8")), path.stat().st_size)


# ------------------------------------------------------------------------------------------------------------ main


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=["run", "check", "find"])
    parser.add_argument("names", nargs="*", help="paths or chapter numbers; all chapters where none is given")
    asked = parser.parse_args()
    paths = chapters(asked.names)
    if asked.command == "find":
        print(*paths, sep="\n")
        return
    if asked.command == "run" and len(paths) > 1:
        # One process a notebook, so that each one's peak memory is its own.
        codes = [subprocess.run([sys.executable, __file__, "run", str(path)]).returncode for path in paths]
        sys.exit(max(codes, default=0))
    faults = 0
    for path in paths:
        if asked.command == "run":
            execute(path)
        for problem in check(path):
            faults += 1
            print(f"{path.name}: {problem}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
