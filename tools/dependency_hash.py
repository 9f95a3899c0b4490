"""A short hash of the code that a chapter's numbers depend on: two trees with the same key give the same results.

What counts is the chapter's code cells and the definitions of the package that they reach. `gt.fit` leads to the
function `fit` in game.py, from there to `Player.update`, and so on, definition by definition: a new function in the
same module makes no result stale. What cannot change a number is blanked first, so that editing it is free: comments,
docstrings, blank lines, where a line is wrapped, spaces, the texts of claims, the set-up cell, and statements that only
draw or print.

Only positions in the source are used, never a dump of the syntax tree, so the key is the same on every Python.
"""

from __future__ import annotations

import ast
import hashlib
import io
import re
import tokenize
from collections.abc import Iterator
from functools import lru_cache

# Definitions that cannot change what a claim measures, and why.
NO_MATTER = {
    "plots": "draws what has been measured",
    "film": "shows pictures one after another",
    "hooks.Lines": "draws losses while training runs",
    "claims": "judges and records a value after it was measured; make claims judges it again",
    "files.download": "fetches bytes whose SHA-256 is checked",
    "files.MNIST_MIRRORS": "where from",
    "files.REMEDIES": "words",
    "checkpoint.pretrained": "shows a model that ships, whose card holds its code",
    "metrics.table": "words",
    "runtime.progress": "a progress bar",
    "runtime.watched": "whether to show it",
}
DRAWING = {"plt", "fig", "figure", "ax", "axes", "axis", "gt.plots", "gt.pretrained", "print", "display"}
CANVASES = {"subplots", "subplot_mosaic", "figure", "gca", "gcf"}  # what these return is drawn upon
PURE = {
    "len",
    "range",
    "zip",
    "enumerate",
    "sorted",
    "min",
    "max",
    "abs",
    "round",
    "sum",
    "str",
    "list",
    "float",
    "item",
    "table",
    "tolist",
    "numpy",
    "detach",
    "cpu",
    "mean",
    "std",
    "flatten",
    "squeeze",
    "join",
}  # functions, methods
SETUP = "# Set-up."
TEXT, GAP, WRAPPED = "\0", "\2", "\1"  # what stands in place of a claim's text, of spaces, at the end of a row


def chain(node: ast.AST) -> list[str]:
    """`gt.data.ring` as ["gt", "data", "ring"]; [] for anything but names joined by dots."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else []


def references(node: ast.AST) -> Iterator[list[str]]:
    """The dotted names that a piece of code uses, each as long as it is written."""
    names = chain(node)
    if names:
        yield names
    else:
        for child in ast.iter_child_nodes(node):
            yield from references(child)


def canvases(tree: ast.AST) -> set[str]:
    """The names that a chapter gives to what it draws upon: `figure, (left, right) = plt.subplots(1, 2)`.

    And to a model that ships, `shipped = gt.pretrained("dcgan")`, as long as it is only shown.
    """
    calls = [
        (n, chain(n.value.func))
        for n in ast.walk(tree)
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.Call) and chain(n.value.func)
    ]
    made = [n for n, names in calls if names[0] == "plt" and names[-1] in CANVASES]
    models = [n for n, names in calls if names == ["gt", "pretrained"]]
    drawn = {name.id for n in made for target in n.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    shown = {target.id for n in models for target in n.targets if isinstance(target, ast.Name)}
    showing = [
        n for n in ast.walk(tree) if isinstance(n, ast.Assign | ast.Expr) and only_draws(n, DRAWING | drawn | shown)
    ]
    inside = {id(part) for n in showing for part in ast.walk(n)}
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in inside}
    return drawn | shown - used


def draws(call: ast.Call, drawing: set[str]) -> bool:
    """`plt.show()`, `axes[0].plot(x)`, `gt.plots.grid(images)`, `print(x)`."""
    node = call.func
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        if ".".join(chain(node)[:2]) in drawing:
            return True
        node = node.func if isinstance(node, ast.Call) else node.value
    return isinstance(node, ast.Name) and node.id in drawing


def only_draws(statement: ast.Assign | ast.Expr, drawing: set[str]) -> bool:
    """Whether a statement draws or prints and does nothing else: `ax.plot(x, y)`, `fig, ax = plt.subplots()`.

    One call of anything else in it (a network, a sampler) might move a generator of random numbers: then it matters.
    """
    if not isinstance(statement.value, ast.Call) or not draws(statement.value, drawing):
        return False
    names = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    calls = [n for n in ast.walk(statement) if isinstance(n, ast.Call)]

    def pure(call: ast.Call) -> bool:
        return getattr(call.func, "attr", getattr(call.func, "id", None)) in PURE

    return names <= drawing and all(draws(call, drawing) or pure(call) for call in calls)


def claim_calls(tree: ast.AST) -> list[ast.Call]:
    """The calls of `gt.claim` (or a bare `claim`), in the order of the source."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and chain(n.func) in (["gt", "claim"], ["claim"])]
    return sorted(calls, key=lambda n: (n.lineno, n.col_offset))


def bare(source: str, tree: ast.Module, chapter: bool = False) -> list[str]:
    """The source's lines, with everything blanked that cannot matter; line numbers stay what they were.

    What stands between other code becomes TEXT or GAP, which `joined` shortens, however long it was.
    """
    rows = source.split("\n")
    lines = [row.encode() for row in rows]  # ast counts columns in bytes
    inner = [n for n in ast.walk(tree) if isinstance(n, ast.Assign | ast.Expr)]
    unneeded = [n for n in inner if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)]
    if chapter:
        drawing = DRAWING | canvases(tree)
        unneeded += [n for n in inner if only_draws(n, drawing)]
    texts = [call.args[1] for call in claim_calls(tree) if len(call.args) > 1] if chapter else []
    spans = [(n.lineno, n.col_offset, n.end_lineno, n.end_col_offset) for n in unneeded + texts]
    fills = [b" "] * len(unneeded) + [TEXT.encode()] * len(texts)
    gaps, wrapped = layout(source)
    for row, column, end in gaps:
        spans.append((row, len(rows[row - 1][:column].encode()), row, len(rows[row - 1][:end].encode())))
        fills.append(GAP.encode())
    for (first, start, last, end), fill in zip(spans, fills, strict=True):
        for row in range(first, last + 1):
            line = lines[row - 1]
            left, right = start if row == first else 0, end if row == last else len(line)
            lines[row - 1] = line[:left] + fill * (right - left) + line[right:]
    return [line.decode() + WRAPPED * (row in wrapped) for row, line in enumerate(lines, 1)]


def layout(source: str) -> tuple[list[tuple[int, int, int]], set[int]]:
    """Spans (row, column, end) of comments and of spaces between two tokens, and the rows that end within brackets."""
    spans, wrapped, brackets, strings, before = [], set(), 0, 0, None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        strings -= kind == "FSTRING_END"  # from Python 3.12 on, an f-string is several tokens
        if kind == "COMMENT":
            spans.append((*token.start, token.end[1]))
        elif kind == "NL" and brackets:
            wrapped.add(token.start[0])
        elif kind == "OP" and not strings:
            brackets += (token.string in "([{") - (token.string in ")]}")
        if before and before.end[0] == token.start[0] and before.string.strip() and not strings:
            spans.append((*before.end, token.start[1]))
        strings += kind == "FSTRING_START"
        before = token
    return spans, wrapped


def joined(lines: list[str]) -> str:
    """Lines as they are hashed: without blank ones, trailing spaces and wraps."""
    text = "\n".join(filter(None, (line.replace(GAP, "").rstrip() for line in lines)))
    text = re.sub(rf"[ ]*{WRAPPED}\n[ ]*", "", text)
    return re.sub(rf"\s*{TEXT}[\s{TEXT}]*", TEXT, text.replace(WRAPPED, ""))


class Module:
    """One source, cut into its top-level statements: the names that they define, and where imported names lead."""

    def __init__(self, source: str, modules: frozenset[str], chapter: bool = False):
        self.tree = ast.parse(source)
        self.lines = bare(source, self.tree, chapter)
        self.links: dict[str, list[str]] = {}  # name here -> ["game", "fit"], ["data"] or ["__init__"], the package
        self.defined: dict[str, list[ast.stmt]] = {}
        self.always: list[ast.stmt] = []  # what defines no name: it runs on import
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.link(node, modules)
        for statement in self.tree.body:
            names = defines(statement)
            for name in names:
                self.defined.setdefault(name, []).append(statement)
            if not names:
                self.always.append(statement)

    def link(self, node: ast.Import | ast.ImportFrom, modules: frozenset[str]) -> None:
        for alias in node.names:
            path = alias.name if isinstance(node, ast.Import) else f"{node.module or ''}.{alias.name}"
            if not getattr(node, "level", 0):
                package, _, path = path.partition(".")
                if package != "gan_tutorial":
                    continue
            names = path.strip(".").split(".") if path else []
            if isinstance(node, ast.Import) and not alias.asname:
                names = []  # `import gan_tutorial.data` binds the package
            if not names or names[0] not in modules:
                names = ["__init__", *names]
            self.links[alias.asname or alias.name.split(".")[0]] = names

    def text(self, statement: ast.stmt, name: str = "") -> str:
        """The statement without what was blanked; of an import, only what concerns `name`."""
        if isinstance(statement, ast.Import | ast.ImportFrom):
            origin = getattr(statement, "module", "")
            return "".join(
                f"import {origin} {a.name} {a.asname}"
                for a in statement.names
                if (a.asname or a.name).split(".")[0] == name
            )
        first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
        return joined(self.lines[first - 1 : statement.end_lineno])


parsed = lru_cache(maxsize=256)(Module)


def defines(statement: ast.stmt) -> list[str]:
    """The names that a top-level statement defines, if that is all it does."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Import(names) | ast.ImportFrom(names=names):
            return [(alias.asname or alias.name).split(".")[0] for alias in names]
        case ast.Assign() | ast.AnnAssign():
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            flat = [t for target in targets for t in getattr(target, "elts", [target])]
            return [t.id for t in flat] if all(isinstance(t, ast.Name) for t in flat) else []
    return []


class Package:
    """The package's sources, {"game": "…", "__init__": "…"}, and what can be reached in them."""

    def __init__(self, sources: dict[str, str]):
        self.names = set(sources)
        self.modules = {name: parsed(source, frozenset(self.names)) for name, source in sources.items()}

    def reach(self, start: Module) -> dict[str, list[str]]:
        """The definitions that a source depends on, with their texts: {"game.fit": ["def fit…"]}."""
        found: dict[str, list[str]] = {}

        def follow(module: str, names: list[str]) -> None:
            """Find out what `module.names` is: a link to elsewhere, a definition, a submodule of the package."""
            source, name = self.modules[module], names[0] if names else None
            if name in source.links:
                first, *rest = source.links[name]
                follow(first, rest + names[1:])
            elif name in source.defined:
                take(module, name)
            elif module == "__init__" and name in self.names:
                follow(name, names[1:])
            elif module != "__init__" or name:  # we cannot tell: everything in it, to be safe
                for name in source.defined:
                    take(module, name)

        def take(module: str, name: str) -> None:
            if f"{module}.{name}" in found or module in NO_MATTER or f"{module}.{name}" in NO_MATTER:
                return
            source = self.modules[module]
            found[f"{module}.{name}"] = [source.text(s, name) for s in source.defined[name]]
            for statement in source.defined[name] + source.always:
                visit(statement, source, module)
            found[module] = [source.text(s) for s in source.always]

        def visit(statement: ast.stmt, source: Module, module: str | None) -> None:
            for names in references(statement):
                if names[0] in source.links:
                    first, *rest = source.links[names[0]]
                    follow(first, rest + names[1:])
                elif module and names[0] in source.defined:
                    take(module, names[0])

        for statement in start.tree.body:
            visit(statement, start, None)
        return found


def code_key(cells: list[str], package: Package) -> tuple[str, set[str]]:
    """The key of a chapter (its code cells, in order), and the names of the definitions that it reaches."""
    source = "\n".join(cell for cell in cells if not cell.startswith(SETUP)) + "\n"
    chapter = parsed(source, frozenset(package.names), chapter=True)
    reached = package.reach(chapter)
    texts = sorted({text for texts in reached.values() for text in texts})
    return hashlib.sha256("\n\0\n".join([joined(chapter.lines), *texts]).encode()).hexdigest()[:12], set(reached)
