"""No line of code, output or formula is cut in a window 1280 pixels wide: nothing has to be scrolled sideways."""

from pathlib import Path

import pytest
import yaml

from tools.browser import UNFOLD, opened

pytestmark = pytest.mark.slow  # it opens every page
ROOT = Path(__file__).parents[1]
CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [CONTENTS["root"], *(chapter["file"] for part in CONTENTS["parts"] for chapter in part["chapters"])]

# What is folded is opened first: it is read as well, and has no width before.
CUT = """() => {
document.querySelectorAll("details").forEach((box) => { box.open = true; });
const parts = document.querySelectorAll("main pre, main .output, main .cell_output, main div.math");
const shown = [...parts].filter((one) => one.checkVisibility());
return shown.filter((one) => one.scrollWidth > one.clientWidth).map(
  (one) => `${one.scrollWidth} in ${one.clientWidth} pixels: ${one.textContent.trim().slice(0, 80)}`
);
}"""


def cut(browser, address):
    """The parts of a page that are wider than their place, each with its first words."""
    with opened(browser, address, reduced_motion="reduce") as page:
        page.evaluate(UNFOLD)
        page.wait_for_timeout(200)  # formulas and folds settle
        return page.evaluate(CUT)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_cut(name, chromium, built):
    assert cut(chromium, (built / f"{name}.html").as_uri()) == []


def test_a_page_with_wide_parts(chromium, tmp_path):
    """The test can fail: for a visible line, a folded one and a formula, and not for what fits."""
    (tmp_path / "a.html").write_text(
        """<!doctype html><title>A page</title><style>pre, .math { overflow-x: auto; width: 300px }</style><main>
        <pre>short</pre><pre>LONG</pre><details><summary>x</summary><pre>folded LONG</pre></details>
        <div class="math" style="white-space: nowrap">formula LONG</div></main>""".replace("LONG", "wide " * 40)
    )
    found = [line.split(": ")[1][:7].strip() for line in cut(chromium, (tmp_path / "a.html").as_uri())]
    assert found == ["wide wi", "folded", "formula"]
