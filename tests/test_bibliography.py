"""Every source that a chapter names stands in the bibliography, under the words by which the chapter names it."""

import json
import re
from pathlib import Path

import pytest
from pybtex.database import parse_file

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[([^\[\]]+)\]\((?:appendix/)?bibliography\.md\)")


def labels() -> set[str]:
    from tools.sphinx_book import AuthorYear

    entries = parse_file(ROOT / "book" / "references.bib").entries.values()
    return set(AuthorYear().format_labels(entries))


def cited(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [text for cell in cells if cell["cell_type"] == "markdown" for text in LINK.findall("".join(cell["source"]))]


@pytest.mark.parametrize("notebook", sorted((ROOT / "book").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_source_is_in_the_bibliography(notebook):
    assert cited(notebook), "a chapter without a source"
    unknown = set(cited(notebook)) - labels() - {"bibliography"}
    assert not unknown, f"not in book/references.bib, or under other words: {sorted(unknown)}"
