"""The built pages as a reader meets them: claims, tables, head and foot. They are built here if they are not fresh."""

import json
import re
from functools import cache

import pytest

from tools import ROOT, book, notebooks
from tools.cells import code_cells, source
from tools.claim_box import record_anchor
from tools.claims_page import anchor
from tools.dependency_hash import claims_in


@pytest.fixture(scope="module", autouse=True)
def built():
    book.ensure()


@cache
def page(name):
    return (book.HTML / name).read_text(encoding="utf-8")


def words(text):
    return re.sub(r"\s+", " ", re.sub(r"<.*?>", "", text)).strip()


CHAPTERS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in notebooks.chapters()}
CLAIMS = [
    (name, claim) for name, made in CHAPTERS.items() for cell in code_cells(made) for claim in claims_in(source(cell))
]


# ------------------------------------------------------------------------------------------------------------ claims


def box(name, number):
    boxes = page(f"book/{name}.html").split('<div class="claim-box"')[1:]
    return next(text for text in boxes if f'aria-label="Claim {number}"' in text)


def test_each_mark_leads_to_its_record_and_each_record_to_its_cell():
    records = page("book/appendix/claims.html")
    assert len(CLAIMS) > 200
    for name, claim in CLAIMS:
        chapter, one = page(f"book/{name}.html"), record_anchor(claim.number)
        assert f'<a class="claim-number" href="appendix/claims.html#{one}"' in box(name, claim.number)
        assert f'id="{anchor(claim.number)}"' in chapter and records.count(f'id="{one}"') == 1
        own = records[records.index(f'id="{one}"') :].split("</details>")[0]
        assert f'<a href="../{name}.html#{anchor(claim.number)}">' in own, claim.number


def test_a_claim_is_said_once_in_its_chapter_before_any_code_is_opened():
    """The line that the cell prints has made place for the box; the code, which says it again, is folded behind it."""
    for name, claim in CLAIMS:
        chapter = page(f"book/{name}.html")
        unfolded = words(re.sub(r'<details class="admonition hide.*?</details>', "", chapter, flags=re.S))
        assert unfolded.count(f"✓ {claim.number} ") == 1, claim.number
    behind = page("book/01_minimax.html").split('id="claim-1-1"')[1]
    assert behind.index("claim-box") < behind.index("The code that checks it")


def test_what_a_claims_cell_prints_besides_is_kept():
    assert "V(D*, G) = -0.994858" in page("book/01_minimax.html")


def test_a_claim_has_a_dot_for_each_run_that_is_recorded():
    runs = json.loads((ROOT / "book" / "claims.json").read_text(encoding="utf-8"))["runs"]
    counted = 0
    for name, claim in CLAIMS:
        sets = {}
        for run in runs:
            if (
                not run["sabotage"]
                and claim.number in run["claims"]
                and (run["chapter"] == name[:2] or name == "start")
            ):
                sets.setdefault(run["digits"], {})[run["seed"]] = run["claims"][claim.number]
        values = {json.dumps([made[seed] for seed in sorted(made)]) for made in sets.values()}
        kept = sets if len(values) > 1 else dict(list(sets.items())[:1])
        expected = 0 if claim.exact else sum(map(len, kept.values()))
        assert len(re.findall(r'<circle class="(?:seed|fresh)"', box(name, claim.number))) == expected, claim.number
        counted += expected
    assert counted > 1000


# ------------------------------------------------------------------------------------------------------------ tables


def test_each_cell_carries_the_name_of_its_column():
    """Only so is it clear what a value is where rows are cards."""
    notation = page("book/appendix/notation.html")
    tables = re.findall(r"<table.*?</table>", notation, re.S)
    assert len(tables) > 5
    for table in tables:
        heads = [words(head) for head in re.findall(r"<th .*?</th>", table, re.S)]
        rows = re.findall(r"<tr.*?</tr>", table, re.S)[1:]
        assert len(heads) > 1 and rows and "cards" in table.split(">")[0]
        for row in rows:
            assert re.findall(r'<td[^>]* data-label="(.*?)"', row) == heads


def test_tables_keep_their_roles_whatever_their_display():
    table = re.search(r"<table.*?</table>", page("book/appendix/notation.html"), re.S)[0]
    for tag, role in {
        "table": "table",
        "thead": "rowgroup",
        "tbody": "rowgroup",
        "tr": "row",
        "th": "columnheader",
        "td": "cell",
    }.items():
        tags = re.findall(rf"<{tag}\b[^>]*>", table)
        assert tags and all(f'role="{role}"' in one for one in tags), tag
