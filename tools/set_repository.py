"""The repository's address and the release: read from pyproject.toml, written everywhere else.

    python -m tools.set_repository owner/name   sets the address (on GitHub; Colab opens notebooks from there)
    python -m tools.set_repository              writes address and version again, say after a new version
    python -m tools.set_repository --none       forgets the address
    python -m tools.set_repository --check      writes nothing; fails and names the files that differ

Until an address is set, the book has no button that leads to Colab or to a repository. Once it is, every link leads to
the release: the tag "v" + version, which must exist when the pages are published.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from . import ROOT, atomic_write, option_parser, setup_cell

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9._-]{1,100}")
GITHUB = "https://github.com/"
COLAB = "https://colab.research.google.com"


def pyproject(text: str, repository: str) -> str:
    """pyproject.toml with this address in [project.urls]."""
    line = f'Repository = "{repository}"\n' if repository else ""
    return re.sub(r"(?<=\[project\.urls\]\n)(Repository = .*\n)?", line, text, count=1)


def config(repository: str, release: str) -> str:
    """The part of _config.yml that depends on the address. Without one there are no buttons that lead there."""
    known = "true" if repository else "false"
    address = f"  url: {repository}\n  branch: {release}\n" if repository else ""
    launch = f"launch_buttons:\n  colab_url: {COLAB}\n" if repository else ""
    owner, _, name = repository.removeprefix(GITHUB).partition("/")
    pages = f"  baseurl: https://{owner.lower()}.github.io/{name}/\n" if repository else ""
    return f"""\
repository:
  path_to_book: ""
{address}{launch}html:
  favicon: book/_static/favicon.svg
  home_page_in_navbar: true
  use_repository_button: {known}
  use_issues_button: {known}
{pages}"""


def readme(repository: str, release: str) -> str:
    """The part of README.md that depends on the address."""
    folder = repository.rpartition("/")[2] or "the-book"
    if repository:
        colab = (
            f"Each chapter opens there by the rocket at the top of its page, or from "
            f"[this list]({COLAB}/github/{repository.removeprefix(GITHUB)}/blob/{release}/)."
        )
        install = f'pip install "git+{repository}@{release}"'
    else:
        colab = (
            "This copy names no public repository yet, so there is no button for it; "
            "`make repository REPO=owner/name` makes one."
        )
        install = "pip install ."
    return f"""
```
git clone {repository or "<this repository>"} {folder} && cd {folder}
make book     # the pages: _build/html/index.html
make test     # every check there is
```

**On Colab.** {colab} The first code cell installs the package and leaves Colab's torch as it is.

**The package alone.** `{install}`
"""


def between(text: str, mark: str, inside: str) -> str:
    """`text` with what stands between its two marks replaced. ValueError if either is not there exactly once."""
    begin, end = mark.format("repository: begin"), mark.format("repository: end")
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the marks {begin.strip()!r} and {end.strip()!r} must each stand there once")
    return text[: text.index(begin) + len(begin)] + inside + text[text.index(end) :]


def citation(text: str, repository: str, version: str) -> str:
    text = re.sub(r"^version: .*$", f"version: {version}", text, count=1, flags=re.M)
    text = re.sub(r"^repository-code: .*\n", "", text, flags=re.M)
    return text.rstrip("\n") + "\n" + (f'repository-code: "{repository}"\n' if repository else "")


def expected(root: Path) -> dict[Path, str]:
    """What each file that repeats the address or the version should hold, by pyproject.toml."""
    repository, release = setup_cell.project(root)
    version = release.removeprefix("v")
    texts = {}

    def rewrite(name: str | Path, change) -> None:
        path = root / name
        try:
            texts[path] = change(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SystemExit(f"{name}: {error}") from None

    rewrite("_config.yml", lambda t: between(t, "# {}\n", config(repository, release)))
    rewrite("README.md", lambda t: between(t, "<!-- {} -->\n", readme(repository, release)))
    rewrite("CITATION.cff", lambda t: citation(t, repository, version))
    rewrite(
        "gan_tutorial/__init__.py",
        lambda t: re.sub(r'^__version__ = ".*"$', f'__version__ = "{version}"', t, flags=re.M),
    )
    for path in sorted((root / "book").glob("*.ipynb")):
        rewrite(path.relative_to(root), lambda t: with_setup(t, setup_cell.text(repository, release)))
    return texts


def with_setup(text: str, source: str) -> str:
    notebook = json.loads(text)
    if not setup_cell.put(notebook, source):
        return text
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def differing(root: Path = ROOT) -> list[Path]:
    """The files that do not say what pyproject.toml says."""
    return [path for path, text in expected(root).items() if path.read_text(encoding="utf-8") != text]


def write(root: Path = ROOT) -> list[Path]:
    """Bring every file in line with pyproject.toml; the files that this changed."""
    return [path for path, text in expected(root).items() if atomic_write(path, text)]


def move(root: Path, name: str) -> None:
    """Set the address to GitHub's owner/name, or to none where `name` is empty. SystemExit if it is no such name."""
    name = name.strip().removeprefix(GITHUB).removesuffix(".git").strip("/")
    if name and not NAME.fullmatch(name):
        raise SystemExit(f"{name!r} is not a repository on GitHub. Expected owner/name.")
    path = root / "pyproject.toml"
    atomic_write(path, pyproject(path.read_text(encoding="utf-8"), GITHUB + name if name else ""))


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("repository", nargs="?", help="owner/name")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--none", action="store_true")
    asked = parser.parse_args()
    if asked.check:
        wrong = differing()
        for path in wrong:
            print(f"{path.relative_to(ROOT)} does not say what pyproject.toml says; run `make repository`")
        sys.exit(bool(wrong))
    if asked.repository or asked.none:
        move(ROOT, "" if asked.none else asked.repository)
    for path in write():
        print(f"{path.relative_to(ROOT)} written")
    print("Repository:", setup_cell.project()[0] or "not set; `make repository REPO=owner/name` sets it")


if __name__ == "__main__":
    main()
