"""What the record is compared with: the chapters, the claims that they state, and the sabotages.

Everything is read once, into memory, so that a run and its hash come from the same text.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from . import LETTERS, book_order, chapter_number, chapter_of, notebooks
from .dependency_hash import PACKAGE, Claim, claims_in, dependency_hash, until_last_claim

SETS = ("mnist", "synthetic")  # the digits that a chapter is run on
SEEDS = range(10)  # those that a chapter is written with: all claims hold, and by a margin
FRESH_SEEDS = (301, 302, 303)  # the hold-out: never looked at while a chapter is written, and all claims hold
REPLACED = {"10": (401, 402, 403)}  # others, where a claim failed on those and was changed


@dataclass(frozen=True)
class Sources:
    """What a run is made of: the package's modules and data, and each notebook's code cells."""

    package: dict[str, str]  # "game" -> source
    data: dict[str, str]  # "models/dcgan.safetensors" -> a hash of its content
    notebooks: dict[str, list[str]]  # "01_minimax.ipynb" -> cells

    @classmethod
    def read(cls, root: Path, contents: dict[str, dict]) -> Sources:
        package, data = {}, {}
        for path in sorted((root / PACKAGE).rglob("*")):
            if path.is_file() and path.suffix == ".py" and path.parent.name == PACKAGE:
                package[path.stem] = path.read_text(encoding="utf-8")
            elif path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
                data[path.relative_to(root).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
        cells = {name: list(map(notebooks.source, notebooks.code_cells(made))) for name, made in contents.items()}
        return cls(package, data, cells)

    def sabotaged(self, file: str, old: str, new: str) -> Sources:
        """The same with one text replaced. ValueError unless `old` occurs in `file` exactly once."""
        folder, _, name = file.partition("/")
        module = name.removesuffix(".py")
        if folder == PACKAGE and module in self.package:
            texts = [self.package[module]]
        elif folder == "book" and name in self.notebooks:
            texts = self.notebooks[name]
        else:
            raise ValueError(f"{file} is neither a module of {PACKAGE}/ nor a notebook of book/")
        count = sum(text.count(old) for text in texts)
        if count != 1:
            raise ValueError(f"its old text occurs {count} times in {file}; it must occur exactly once")
        texts = [text.replace(old, new) for text in texts]
        if folder == "book":
            return Sources(self.package, self.data, self.notebooks | {name: texts})
        return Sources(self.package | {module: texts[0]}, self.data, self.notebooks)

    def write(self, root: Path, folder: Path) -> None:
        """Lay the package out below `folder`; its data, and what lies in the book's folder, come from `root`."""
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / PACKAGE, folder / PACKAGE, ignore=ignored)
        for name, source in self.package.items():
            (folder / PACKAGE / f"{name}.py").write_text(source, encoding="utf-8")
        (folder / "book").mkdir()
        for entry in (root / "book").iterdir():
            (folder / "book" / entry.name).symlink_to(entry)

    def claims(self, notebook: str) -> list[Claim]:
        return [claim for cell in self.notebooks[notebook] for claim in claims_in(cell)]

    def key(self, notebook: str) -> str:
        return dependency_hash(self.notebooks[notebook], self.package, self.data)


@dataclass(frozen=True)
class Chapter:
    number: str  # "01", "S" for the start, "A" for the errata
    notebook: str
    title: str
    claims: dict[str, Claim]
    key: str
    sets: tuple[str, ...]  # the digits that it is run on; ("none",) where it uses none

    @property
    def fresh_seeds(self) -> tuple[int, ...]:
        return REPLACED.get(self.number, FRESH_SEEDS)

    def runs(self) -> list[tuple[str, int]]:
        """(digits, seed) of all runs; one seed is enough where all claims are exact."""
        seeds = (0,) if all(claim.exact for claim in self.claims.values()) else (*SEEDS, *self.fresh_seeds)
        return [(digits, seed) for seed in seeds for digits in self.sets] if self.claims else []


@dataclass(frozen=True)
class Sabotage:
    name: str
    sources: Sources
    claims: dict[str, list[str]]  # chapter -> the claims that must fail
    keys: dict[str, str]  # chapter -> its key with the sabotaged sources


class Book:
    """All that the record is compared with. `problems` holds (chapter, sentence): what is wrong before any run."""

    def __init__(self, root: Path):
        self.root = root
        self.problems: list[tuple[str, str]] = []
        self.chapters: dict[str, Chapter] = {}
        self.sabotages: dict[str, Sabotage] = {}
        paths = [path for name in ("[0-9][0-9]_*.ipynb", *LETTERS) for path in (root / "book").glob(name)]
        paths.sort(key=lambda path: book_order(path.name))
        contents = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}
        self.sources = Sources.read(root, contents)
        for name, content in contents.items():
            try:
                self.chapters[chapter_number(name)] = self.chapter(name, content)
            except (ValueError, SyntaxError) as error:
                self.problems.append((chapter_number(name), f"{name}: {error}"))
        self.numbers = {number: chapter for chapter in self.chapters.values() for number in chapter.claims}
        self.existing = set(map(chapter_number, contents))  # also chapters that cannot be read at the moment
        path = root / "book" / "sabotages.toml"
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("sabotage", []) if path.exists() else []
        self.names = {entry.get("name") for entry in entries}
        for entry in entries:
            try:
                self.add_sabotage(**entry)
            except (TypeError, ValueError, SyntaxError) as error:
                error = (
                    "it needs name, file, old, new and claims, and nothing else" if type(error) is TypeError else error
                )
                where = {chapter_of(number) for number in entry.get("claims", [])} or {"?"}
                self.problems += [(chapter, f"sabotage {entry.get('name')!r}: {error}") for chapter in sorted(where)]
        for chapter in self.chapters.values():
            broken = {number for s in self.sabotages.values() for number in s.claims.get(chapter.number, [])}
            if alone := ", ".join(number for number in chapter.claims if number not in broken):
                self.problems.append((chapter.number, f"no sabotage for claim {alone}"))

    def chapter(self, name: str, content: dict) -> Chapter:
        source = "\n".join(self.sources.notebooks[name])
        text = "\n".join(notebooks.source(c) for c in content["cells"] if c["cell_type"] == "markdown")
        title = re.search(r"^# (.+)$", text, re.M)
        claims = {claim.number: claim for claim in self.sources.claims(name)}
        number = chapter_number(name)
        for count, claim in enumerate(self.sources.claims(name), 1):
            if claim.number != (expected := f"{number.removeprefix('0')}.{count}"):
                raise ValueError(f"claim {claim.number} stands where {expected} is expected")
        sets = SETS if re.search(r"\bdigits\(", source) else ("none",)
        return Chapter(number, name, title[1].strip() if title else name, claims, self.sources.key(name), sets)

    def add_sabotage(self, name: str, file: str, old: str, new: str, claims: list[str]) -> None:
        """Check an entry and work out the keys of the code that it makes."""
        if not claims:
            raise TypeError
        if name in self.sabotages:
            raise ValueError("its name is taken")
        if unknown := [number for number in claims if number not in self.numbers]:
            raise ValueError(f"the book has no claim {', '.join(unknown)}")
        sources = self.sources.sabotaged(file, old, new)
        wanted: dict[str, list[str]] = {}
        for number in claims:
            wanted.setdefault(self.numbers[number].number, []).append(number)
        keys = {}
        for number in wanted:
            chapter = self.chapters[number]
            keys[number] = sources.key(chapter.notebook)
            if keys[number] == chapter.key:
                raise ValueError(f"it changes nothing that chapter {number} runs")
            if sources.claims(chapter.notebook) != list(chapter.claims.values()):
                raise ValueError("it changes a claim; it must change what the claim is about")
        self.sabotages[name] = Sabotage(name, sources, wanted, keys)

    def cells(self, sources: Sources, chapter: Chapter, claims: list[str] | None) -> list[str]:
        """The code cells up to the last of these claims; all of them where None is asked for."""
        cells = sources.notebooks[chapter.notebook]
        return cells if claims is None else until_last_claim(cells, claims)
