"""What claims.json is compared with: the chapters, the claims that they state, and the sabotages.

Everything is read once, into memory, so that a run and its key come from the same text.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
import tomllib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT / "tools") not in sys.path:
    sys.path.insert(0, str(ROOT / "tools"))

import code_key  # noqa: E402
import notebooks  # noqa: E402

SEEDS, SETS = 10, ("mnist", "drawn")


@dataclass
class Tree:
    """The sources that a run is made of: modules of the package, and each notebook's code cells."""

    package: dict[str, str]  # "game" -> source
    notebooks: dict[str, list[str]]  # "01_minimax.ipynb" -> cells

    def sabotaged(self, file: str, old: str, new: str) -> Tree:
        """The tree with one text replaced. ValueError unless `old` occurs in `file` exactly once."""
        package, books = dict(self.package), {name: list(cells) for name, cells in self.notebooks.items()}
        folder, _, name = file.partition("/")
        if folder == "gan_tutorial" and name.removesuffix(".py") in package:
            parts, keys = package, [name.removesuffix(".py")]
        elif folder == "book" and name in books:
            parts, keys = books[name], list(range(len(books[name])))
        else:
            raise ValueError(f"{file} is neither a module of gan_tutorial/ nor a notebook of book/")
        count = sum(parts[key].count(old) for key in keys)
        if count != 1:
            raise ValueError(f"its old text occurs {count} times in {file}; it must occur exactly once")
        for key in keys:
            parts[key] = parts[key].replace(old, new)
        return Tree(package, books)

    def write(self, root: Path, folder: Path) -> None:
        """Lay the tree out below `folder`; what else the package and the book hold comes from `root`."""
        shutil.copytree(
            root / "gan_tutorial", folder / "gan_tutorial", ignore=shutil.ignore_patterns("__pycache__", "*.py")
        )
        for name, source in self.package.items():
            (folder / "gan_tutorial" / f"{name}.py").write_text(source, encoding="utf-8")
        (folder / "book").mkdir()
        for entry in (root / "book").iterdir():
            (folder / "book" / entry.name).symlink_to(entry)


@dataclass
class Claim:
    number: str
    text: str
    exact: bool


@dataclass
class Chapter:
    number: str  # "01"
    notebook: str
    title: str
    cells: list[str]
    claims: dict[str, Claim]
    key: str
    sets: tuple[str, ...]  # the digit sets it is run on; ("none",) where it uses no digits

    def runs(self) -> list[tuple[str, int]]:
        seeds = 1 if all(claim.exact for claim in self.claims.values()) else SEEDS
        return [(digits, seed) for seed in range(seeds) for digits in self.sets] if self.claims else []


@dataclass
class Sabotage:
    name: str
    claims: dict[str, list[str]]  # chapter -> the claims that must fail
    tree: Tree | None = None
    keys: dict[str, str] = field(default_factory=dict)  # chapter -> key of the sabotaged code


def claims_in(cells: list[str]) -> list[Claim]:
    """The claims that a chapter's code states, in order. ValueError where a number or a text is computed."""
    found = []
    for call in code_key.claim_calls(ast.parse("\n".join(cells))):
        words = [arg.value for arg in call.args[:2] if isinstance(arg, ast.Constant)]
        if len(words) != 2 or not all(isinstance(word, str) for word in words):
            raise ValueError(f"a claim's number and text are written out, not computed: {ast.unparse(call)}")
        exact = next((k.value for k in call.keywords if k.arg == "exact"), None)
        found.append(Claim(*words, isinstance(exact, ast.Constant) and exact.value is True))
    return found


class Book:
    """All that the record is compared with. `problems` holds (chapter, sentence): what is wrong before any run."""

    def __init__(self, root: Path):
        self.root = root
        self.problems: list[tuple[str, str]] = []
        self.chapters: dict[str, Chapter] = {}
        self.sabotages: list[Sabotage] = []
        self.named: set[str] = set()  # the names of all sabotages, the broken ones too
        contents = {
            path.name: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted((root / "book").glob("[0-9][0-9]_*.ipynb"))
        }
        self.tree = Tree(
            {path.stem: path.read_text(encoding="utf-8") for path in (root / "gan_tutorial").glob("*.py")},
            {name: [notebooks.source(c) for c in notebooks.code_cells(content)] for name, content in contents.items()},
        )
        for name, content in contents.items():
            try:
                self.chapters[name[:2]] = self.chapter(name, content)
            except (ValueError, SyntaxError) as error:
                self.problems.append((name[:2], f"{name}: {error}"))
        path = root / "book" / "sabotages.toml"
        for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("sabotage", []) if path.exists() else []:
            self.add_sabotage(entry)
        for chapter in self.chapters.values():
            broken = {number for sabotage in self.sabotages for number in sabotage.claims.get(chapter.number, [])}
            alone = ", ".join(number for number in chapter.claims if number not in broken)
            if alone:
                self.problems.append((chapter.number, f"no sabotage for claim {alone}"))

    def chapter(self, name: str, content: dict) -> Chapter:
        cells = self.tree.notebooks[name]
        text = "\n".join(notebooks.source(c) for c in content["cells"] if c["cell_type"] == "markdown")
        title = re.search(r"^# (.+)$", text, re.M)
        key, reached = code_key.code_key(cells, code_key.Package(self.tree.package))
        claims = claims_in(cells)
        for count, claim in enumerate(claims, 1):
            if claim.number != f"{int(name[:2])}.{count}":
                problem = f"{name}: claim {claim.number} stands where {int(name[:2])}.{count} is expected"
                self.problems.append((name[:2], problem))
                break
        return Chapter(
            name[:2],
            name,
            title[1].strip() if title else name,
            cells,
            {c.number: c for c in claims},
            key,
            SETS if "data.digits" in reached else ("none",),
        )

    def add_sabotage(self, entry: dict) -> None:
        """Check an entry and work out the keys of the code that it makes."""
        name, known = entry.get("name", "?"), {n: c for c in self.chapters.values() for n in c.claims}
        where = [f"{int(str(n).split('.')[0]):02d}" for n in entry.get("claims", [])] or ["?"]
        try:
            if set(entry) != {"name", "file", "old", "new", "claims"} or not entry["claims"]:
                raise ValueError("it needs name, file, old, new and claims, and nothing else")
            if name in self.named:
                raise ValueError("its name is taken")
            self.named.add(name)
            unknown = [n for n, w in zip(entry["claims"], where, strict=True) if n not in known and w in self.chapters]
            if unknown:
                raise ValueError(f"the book has no claim {', '.join(unknown)}")
            sabotage = Sabotage(name, {}, self.tree.sabotaged(entry["file"], entry["old"], entry["new"]))
            package = code_key.Package(sabotage.tree.package)
            for number in filter(known.get, entry["claims"]):
                sabotage.claims.setdefault(known[number].number, []).append(number)
            for chapter in map(self.chapters.get, sabotage.claims):
                cells = sabotage.tree.notebooks[chapter.notebook]
                key = sabotage.keys[chapter.number] = code_key.code_key(cells, package)[0]
                if key == chapter.key:
                    raise ValueError(f"it changes nothing that chapter {chapter.number} runs")
                if statements("\n".join(cells)) != statements("\n".join(chapter.cells)):
                    raise ValueError("it changes a claim; it must change what the claim is about")
            self.sabotages.append(sabotage)
        except (ValueError, SyntaxError) as error:
            self.problems += [(w, f"sabotage {name!r}: {error}") for w in sorted(set(where))]


@lru_cache(maxsize=64)
def statements(source: str) -> list[str]:
    """The claims in a source, as they stand."""
    return [ast.unparse(call) for call in code_key.claim_calls(ast.parse(source))]
