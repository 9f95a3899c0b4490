"""A short hash of everything that a chapter's numbers depend on: two trees with the same hash give the same results.

What counts is the syntax tree of the chapter's code cells and of every module of the package that they lead to, whole,
and the package's data files, by their content; of the models that ship, those that the chapter names. What cannot
change a number is left out, so that it may be edited freely: formatting, comments, docstrings, the texts of claims, the
set-up cell, and cells behind the last claim.

Nothing else is left out. A cell that only prints or draws counts, because what it calls might move a generator of
random numbers; so do the modules that draw, because hooks and chapters compute with their values.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cache
from pathlib import PurePosixPath
from typing import NamedTuple

from .setup_cell import is_setup

PACKAGE = "gan_tutorial"
SILENT = {"ctx", "kind", "type_comment", "type_ignores"}  # fields that say nothing
EMPTY = {"[]", "f[]"}  # some Pythons lack these fields


def dump(node) -> str:
    """The tree as text, the same on every Python: without positions, empty fields, and statements that do nothing."""
    if isinstance(node, list):
        nodes = [n for n in node if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
        return "[" + ",".join(map(dump, nodes)) + "]"
    if isinstance(node, ast.JoinedStr):  # Pythons differ in how they cut the text between two {…}
        return f"f[{','.join(dump(n) for n in node.values if getattr(n, 'value', None) != '')}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, dump(value)) for name, value in ast.iter_fields(node) if name not in SILENT and value is not None]
    return f"{type(node).__name__}({','.join(f'{name}={text}' for name, text in fields if text not in EMPTY)})"


def claim_calls(tree: ast.AST) -> list[ast.Call]:
    """The calls of `gt.claim` (or a bare `claim`), in the order of the source."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    calls = [n for n in calls if getattr(n.func, "attr", getattr(n.func, "id", None)) == "claim"]
    return sorted(calls, key=lambda call: (call.lineno, call.col_offset))


class Claim(NamedTuple):
    number: str
    text: str
    exact: bool
    bounds: list[float | None]  # low and high, as far as they are written out as numbers
    call: str  # as it stands in the cell


@cache
def claims_in(source: str) -> list[Claim]:
    """The claims that code states, in order. ValueError where a number or a text is computed."""
    found = []
    for call in claim_calls(ast.parse(source)) if "claim(" in source else []:
        words = [str(arg.value) for arg in call.args[:2] if isinstance(arg, ast.Constant)]
        if len(words) != 2:
            raise ValueError(f"a claim's number and text are written out, not computed: {ast.unparse(call)}")
        given = {}
        for keyword in call.keywords:
            with suppress(ValueError):
                given[keyword.arg] = ast.literal_eval(keyword.value)
        bounds = [given.get("low"), given.get("high")]
        found.append(Claim(words[0], words[1], given.get("exact") is True, bounds, ast.unparse(call)))
    return found


def until_last_claim(cells: list[str], numbers: Collection[str] | None = None) -> list[str]:
    """The cells up to the last one with a claim, or with one of these claims."""
    found = [any(numbers is None or claim.number in numbers for claim in claims_in(cell)) for cell in cells]
    return cells[: max((place for place, has in enumerate(found, 1) if has), default=0)]


def imports(tree: ast.AST, relative: bool) -> Iterator[tuple[str, str]]:
    """(name here, path within the package, "" for the package itself) of all imports from it, anywhere in the tree."""
    for node in ast.walk(tree):
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else []:
            path = f"{getattr(node, 'module', None) or ''}.{alias.name}".strip(".")
            inside = relative and getattr(node, "level", 0)
            if inside or path.split(".")[0] == PACKAGE:
                yield (
                    alias.asname or alias.name.split(".")[0],
                    path if inside else path.removeprefix(PACKAGE).strip("."),
                )
                if isinstance(node, ast.Import) and not alias.asname:
                    yield PACKAGE, ""  # `import gan_tutorial.data` binds the package


def uses(tree: ast.AST) -> set[tuple[str, str]]:
    """(name, attribute) of all names that are used: `gt.fit` as ("gt", "fit"), a bare `gt` as ("gt", "?")."""
    parents = {id(node.value): node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {(node.id, parents.get(id(node), "?")) for node in ast.walk(tree) if isinstance(node, ast.Name)}


def named(bound: set[tuple[str, str]], used: set[tuple[str, str]]) -> set[str]:
    """The first names below the package that code leads to: {"game", "fit"}. "?": some that we cannot read."""
    whole = {"import_module", "__import__"} | {name for name, path in bound if not path}  # they may stand for any of it
    found = {path.split(".")[0] for _, path in bound if path} | {attribute for name, attribute in used if name in whole}
    return found - {"__version__", "__file__"}


class Module:
    """One source of the package: its text as it is hashed, the names that it uses, and what it does on import."""

    def __init__(self, source: str):
        tree = ast.parse(source)
        bound = set(imports(tree, relative=True))
        self.text, self.names = dump(tree), named(bound, uses(tree))
        self.exports = {name: path.split(".")[0] for name, path in bound}
        define = ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign
        self.on_import = dump([s for s in tree.body if not isinstance(s, define)])


class Cell:
    """A chapter's cell: its text as it is hashed, what it imports from the package, and the names that it uses."""

    def __init__(self, source: str):
        tree = ast.parse(source)
        self.bound, self.used = set(imports(tree, relative=False)), uses(tree)
        self.words = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        self.lists_models = re.search(r"\bshipped\(", source) is not None
        if any(isinstance(n, ast.Constant) and PACKAGE in str(n.value) for n in ast.walk(tree)):
            self.used.add(("__import__", "?"))  # code for another process
        for call in claim_calls(tree):
            del call.args[1:2]  # its text
        self.text = dump(tree.body).strip("[]")


read_module, read_cell = cache(Module), cache(Cell)


def dependency_hash(cells: list[str], package: dict[str, str], data: dict[str, str]) -> str:
    """The hash of a chapter: of its code cells, of the package's modules that they lead to, and of its data files.

    package  module -> source, such as {"__init__": …, "game": …}
    data     name of a file -> a hash of its content

    What any module does on import counts, since all may be imported; its definitions only where they are used.
    """
    chapter = [read_cell(cell) for cell in until_last_claim([cell for cell in cells if not is_setup(cell)])]
    names = named(set().union(*(cell.bound for cell in chapter)), set().union(*(cell.used for cell in chapter)))
    modules = {name: read_module(source) for name, source in sorted(package.items())}
    exports, reached, left = modules["__init__"].exports, set(), names
    while left:
        name = left.pop()
        found = {name, exports.get(name)} & set(modules)
        if not found:  # we cannot tell: all of them
            reached = set(modules)
            break
        left.update(*(modules[one].names for one in found - reached))
        reached |= found
    parts = [one.text if name in reached else one.on_import for name, one in modules.items()]
    parts = [part for part in parts if part not in EMPTY]  # a module that is new and not used changes nothing
    # A chapter that asks which models there are (`checkpoint.shipped()`) may load any of them.
    words = set().union(*(cell.words for cell in chapter))
    every = reached == set(modules) or any(cell.lists_models for cell in chapter)
    files = [(name, content) for name, content in sorted(data.items()) if every or model(name) in {None, *words}]
    text = ",".join(cell.text for cell in chapter if cell.text)
    return hashlib.sha256("\n".join([text, *parts, repr(files)]).encode()).hexdigest()[:12]


def model(file: str) -> str | None:
    """The name of the model that ships in this file: "dcgan" for gan_tutorial/models/dcgan.safetensors."""
    path = PurePosixPath(file)
    return path.stem if path.match(f"{PACKAGE}/models/*.safetensors") else None
