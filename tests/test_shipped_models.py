"""The table of the models that ship, in the benchmarks' README, says what their cards say."""

from benchmarks import shipped_models
from tools import ROOT


def test_the_table_in_the_readme_is_that_of_the_cards():
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert shipped_models.table() in readme, "write it anew: python -m benchmarks.shipped_models"
