"""Execute the chapters in place, and say what is wrong with a committed notebook.

    python -m tools.notebooks run                           every notebook of the book
    python -m tools.notebooks run book/02_first_gan.ipynb 03 S
    python -m tools.notebooks check                         the form of the notebooks, without running them
    python -m tools.notebooks find 3                        the path of a chapter

`run` is the only way to make stored outputs: seed 0, scale "cpu", one thread, MNIST, figures as SVG (what a film stands
for elsewhere is PNG), from a fresh kernel, top to bottom. A notebook is written only if every cell succeeded; a failed
one is left under _build/failed/ with its error. Metadata that changes from run to run is dropped, so that a rerun
changes only what the code changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from . import LETTERS, ROOT, atomic_write, book_order, chapter_number, chapter_of, form, option_parser, setup_cell
from .cells import code_cells, source
from .dependency_hash import claims_in

LARGEST = 1_500_000  # bytes of one notebook
CLAIM_TAG = "nbval-check-output"


def chapters(names: Sequence[str] = ()) -> list[Path]:
    """The notebooks named by path, number, letter or file ("03", "3", "S", "start"); by no name all, in order."""
    every = sorted((ROOT / "book").glob("*.ipynb"), key=lambda path: book_order(path.name))
    if not names:
        return every
    found = []
    for name in names:
        if name.isdigit() or name.upper() in LETTERS.values():
            match = [p for p in every if chapter_number(p.name) == chapter_of(name)]
        else:
            match = [Path(name).resolve()] if Path(name).is_file() else [p for p in every if p.stem == name]
        if not match:
            known = ", ".join(p.stem for p in every) or "none"
            raise SystemExit(f"there is no chapter {name!r}; the book has: {known}")
        found += match
    return found


def fingerprint(notebook: dict) -> str:
    """A hash of the code that makes the outputs: all code cells but the set-up cell, which does nothing here."""
    sources = [source(c).rstrip() for c in code_cells(notebook) if not setup_cell.is_setup(source(c))]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:16]


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
    if environment.get("GAN_TUTORIAL_DATA"):  # kernels start in the notebook's folder
        # os.path leaves ~ alone where there is no such user: the package says so later, in a sentence.
        environment["GAN_TUTORIAL_DATA"] = os.path.abspath(os.path.expanduser(environment["GAN_TUTORIAL_DATA"]))
    # Seed 0 and, on a CPU, scale "cpu" are what a chapter takes by itself; `problems` sees to it that it did.
    for variable in ("SEED", "SCALE", "RECORD", "RECORD_ONLY"):
        environment.pop(f"GAN_TUTORIAL_{variable}", None)
    environment.pop("MPLBACKEND", None)
    environment.update(changes)
    return environment


def peak_memory(of: int = resource.RUSAGE_SELF) -> int:
    """Bytes: the most that this process, or the largest of its children, ever held."""
    return resource.getrusage(of).ru_maxrss * (1 if sys.platform == "darwin" else 1024)  # macOS counts in bytes


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
        cell["metadata"] |= folded(cell["metadata"].get("tags", []))


def folded(tags: Sequence[str]) -> dict:
    """What the pages fold by these tags, told to JupyterLab (`jupyter`) and to Colab (`cellView`, `collapsed`)."""
    if "hide-cell" in tags:
        return {"cellView": "form", "collapsed": True, "jupyter": {"outputs_hidden": True, "source_hidden": True}}
    if "hide-input" in tags:
        return {"cellView": "form", "jupyter": {"source_hidden": True}}
    return {}


def execute(path: Path, failed: Path = ROOT / "_build" / "failed") -> None:
    """Run one notebook from a fresh kernel and store what it printed. SystemExit with the error where a cell fails."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.read(path, as_version=4)
    notebook["cells"] = [cell for cell in notebook["cells"] if source(cell).strip()]
    if any(setup_cell.is_setup(source(cell)) for cell in code_cells(notebook)):
        setup_cell.put(notebook, setup_cell.text())
    # One stream an output, however often the kernel flushed: that is an accident of timing.
    options = {"timeout": 1800, "kernel_name": "python3", "record_timing": False, "coalesce_streams": True}
    options["extra_arguments"] = ["--IPKernelApp.extensions=tools.vector_figures"]
    client = NotebookClient(notebook, resources={"metadata": {"path": path.parent}}, **options)
    started = time.perf_counter()
    try:
        client.execute(env=kernel_environment())
    except CellExecutionError as error:
        atomic_write(failed / path.name, nbformat.writes(notebook) + "\n")
        raise SystemExit(f"{error}\n{path.name} is unchanged; what ran is in {failed / path.name}") from None
    seconds = time.perf_counter() - started
    normalise(notebook)
    atomic_write(path, nbformat.writes(notebook) + "\n")
    peak = peak_memory(resource.RUSAGE_CHILDREN)
    print(f"{path.name}: {seconds:.0f} s, {peak / 1e9:.2f} GB, {path.stat().st_size / 1e6:.2f} MB", flush=True)


# -------------------------------------------------------------------------------------------------------- checking

MYST = {
    "myst_role": "a MyST role",
    "myst_target": "a MyST target",
    "myst_line_comment": "a MyST comment",
    "myst_block_break": "a MyST break",
    "colon_fence": "a colon fence",
}  # tokens of MyST's own parser
RAW = {"a MyST substitution": r"\{\{.*?\}\}(?!\})", "a Sphinx directive": r"^\.\.\s+\w+::"}  # plain text to the parser
SETTINGS = re.compile(r"^seed (\d+).* · device (\w+).* · scale (\w+)", re.M)  # what gt.Run prints
OWN_DIGITS = re.compile(r"^digits: (?!mnist)\w+", re.M | re.I)
NO_LOAD = re.compile(r"""<a\s[^>]*>|\bxmlns(:\w+)?=["'][^"']*""")  # a link that one clicks, a name that looks like one
LOAD = re.compile(r"""(?:=|\(|["'`])\s*(?:https?:)?//[\w.-]+""", re.I)
SILENT = re.compile(r"""<img\b(?![^>]*\balt\s*=\s*["']\s*[^"'\s])[^>]*>""", re.I)


def html_faults(fragment: str) -> Iterator[str]:
    """What HTML, its style or its scripts would load from another host, and images without words."""
    yield from (f"it loads from elsewhere: {found}" for found in LOAD.findall(NO_LOAD.sub("", fragment)))
    yield from (f"an image without alt text: {found[:80]}" for found in SILENT.findall(fragment))


@cache
def markdown_parser():
    """MyST's own, so that what it would take for its syntax is found, and nothing else."""
    from markdown_it.renderer import RendererHTML
    from myst_parser.config.main import MdParserConfig
    from myst_parser.parsers.mdit import create_md_parser

    extensions = {"amsmath", "colon_fence", "dollarmath"}
    config = MdParserConfig(enable_extensions=extensions, dmath_double_inline=True)
    return create_md_parser(config, RendererHTML)


def markdown_faults(text: str) -> Iterator[str]:
    """MyST syntax, which Colab and Jupyter would show raw; what comes from another host; pictures without alt text."""
    blocks = markdown_parser().parse(text)
    for token in blocks + [child for block in blocks for child in block.children or []]:
        if token.type in MYST or (token.type == "fence" and token.info.strip().startswith("{")):
            yield f"{MYST.get(token.type, 'a MyST directive')}, which Colab and Jupyter show raw"
        if token.type == "text":
            names = (name for name, pattern in RAW.items() if re.search(pattern, token.content))
            yield from (f"{name}, which Colab and Jupyter show raw" for name in names)
        if token.type in ("html_block", "html_inline"):
            yield from html_faults(token.content)
        if token.type == "image":
            yield from html_faults(f'<img src="{token.attrs["src"]}" alt="{token.content}">')


def alt_faults(cell: dict) -> Iterator[str]:
    """What is wrong with the words of a code cell that shows a picture."""
    if any(kind.startswith("image/") for output in cell["outputs"] for kind in output.get("data", {})):
        alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "").strip()
        if not alt:
            yield 'a picture without alt text: set the cell\'s metadata mystnb = {"image": {"alt": "…"}}'
        elif re.search(r"\.(png|jpe?g|svg|gif|webp)$", alt, re.I) or " " not in alt:
            yield f"alt text that is not a sentence: {alt!r}"


def output_faults(output: dict) -> Iterator[str]:
    """An error, words on stderr, other settings than the published ones, a widget, loads from elsewhere."""
    kind, data = output["output_type"], output.get("data", {})
    text = "".join(output.get("text", ""))
    if kind == "error":
        yield f"an error output: {output['ename']}: {output['evalue']}"
    if kind == "stream" and output["name"] == "stderr":
        yield f"output on stderr: {text[:80]!r}"
    if any(match.groups() != ("0", "cpu", "cpu") for match in SETTINGS.finditer(text)):
        yield "not made with seed 0, on a CPU, at scale cpu"
    if OWN_DIGITS.search(text):
        yield "not made on MNIST"
    if any("widget" in mime for mime in data):
        yield "a widget, which needs scripts from elsewhere"
    for mime in ("text/html", "image/svg+xml", "text/markdown", "application/javascript"):
        yield from html_faults("".join(data.get(mime, "")))


def code_faults(cell: dict) -> Iterator[str]:
    for output in cell["outputs"]:
        yield from output_faults(output)
    yield from alt_faults(cell)
    kinds = [set(output.get("data", {})) for output in cell["outputs"]]
    if {"text/plain"} in kinds and any(kind.startswith("image/") for data in kinds for kind in data):
        yield "what a drawing call returned stands beside its picture: end the cell's last line with a semicolon"
    text = source(cell)
    if re.search(r"^\s*[%!]", text, re.M):
        yield "a magic or a shell command; the chapters are plain Python"
    elif claims_in(text) and CLAIM_TAG not in cell["metadata"].get("tags", []):
        yield f"a claim without the tag {CLAIM_TAG}"


def problems(notebook: dict, size: int = 0, name: str = "") -> list[str]:
    """Every fault in the form of a committed notebook, each a sentence; `name` is its file's, without the suffix."""
    found = []
    if size > LARGEST:
        found.append(f"{size / 1e6:.2f} MB, over {LARGEST / 1e6} MB: fewer or smaller pictures")
    cells = code_cells(notebook)
    counts = [c.get("execution_count") for c in cells]
    if counts != list(range(1, len(cells) + 1)):
        found.append(f"not executed in order from a fresh kernel: execution counts {counts}")
    if notebook["metadata"].get("gan_tutorial", {}).get("executed") != fingerprint(notebook):
        found.append("the code is not the code that made the outputs: run `make notebooks N=` with its number")
    if not cells or source(cells[0]) != setup_cell.text():
        found.append("the first code cell is not the set-up cell: `python -m tools.setup_cell NOTEBOOK` writes it")
    ids = [c.get("id") for c in notebook["cells"]]
    if len(set(ids)) != len(ids):
        found.append("two cells have the same id")
    for place, cell in enumerate(notebook["cells"], start=1):
        checks = {"markdown": lambda cell: markdown_faults(source(cell)), "code": code_faults}
        check = checks.get(cell["cell_type"], lambda cell: [f"a {cell['cell_type']} cell"])
        found += [f"cell {place}: {fault}" for fault in check(cell)]
    return found + list(form.faults(notebook, name))


def check(path: Path) -> list[str]:
    """The faults of the notebook at `path`."""
    return problems(json.loads(path.read_text(encoding="utf-8")), path.stat().st_size, path.stem)


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("command", choices=["run", "check", "find"])
    parser.add_argument("names", nargs="*", help="paths or chapter numbers; all chapters where none is given")
    asked = parser.parse_args()
    paths = chapters(asked.names)
    if asked.command == "find":
        print(*paths, sep="\n")
    elif asked.command == "run" and len(paths) > 1:
        # One process a notebook, so that each one's peak memory is its own.
        command = [sys.executable, "-m", "tools.notebooks", "run"]
        sys.exit(max(subprocess.run([*command, str(path)], cwd=ROOT).returncode for path in paths))
    else:
        for path in paths if asked.command == "run" else []:
            execute(path)
        faults = [f"{path.name}: {fault}" for path in paths for fault in check(path)]
        print(*faults, sep="\n", end="\n" if faults else "")
        sys.exit(bool(faults))


if __name__ == "__main__":
    main()
