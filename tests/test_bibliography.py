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


def test_every_source_has_a_link():
    """To the paper by DOI or arXiv; what has neither to its own page."""
    entries = parse_file(ROOT / "book" / "references.bib").entries
    links = {name: entry.fields.get("url", "") for name, entry in entries.items()}
    lasting = ("https://doi.org/10.", "https://arxiv.org/abs/")
    others = {name for name, link in links.items() if not link.startswith(lasting)}
    assert {name: links[name] for name in others} == {
        "ajder2019": "https://regmedia.co.uk/2019/10/08/deepfake_report.pdf",
        "eu2024": "https://eur-lex.europa.eu/eli/reg/2024/1689/oj",
        "gretton2012": "https://jmlr.org/papers/v13/gretton12a.html",
        "prince2023": "https://udlbook.github.io/udlbook/",
        "shu2017": "https://ruishu.io/2017/12/26/acgan/",
        "us2025": "https://www.congress.gov/bill/119th-congress/senate-bill/146",
        "zhang2023": "https://d2l.ai",
    }
    assert len(set(links.values())) == len(links)  # no two sources by one link


def test_the_glossary_has_the_words_of_the_field():
    text = (ROOT / "book" / "appendix" / "glossary.md").read_text(encoding="utf-8")
    terms = {name.strip() for line in re.findall(r"^(\w.*)\n  ", text, re.M) for name in line.split(",")}
    wanted = "discriminator, generator loss, critic loss, label accuracy, EMA, mixed precision, distributed training"
    assert set(f"{wanted}, FID-like, KID-like, conditional distribution, distribution".split(", ")) <= terms
