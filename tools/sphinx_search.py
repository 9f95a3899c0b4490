r"""A Sphinx extension: what the search in the pages looks through, as _static/search-data.js.

An entry is a chapter, a section, a figure, a claim, a term of the glossary or an object of the package, each with its
title, its text without code, and other names by which it is found: those in its formulas, so that $\mathrm{JS}(p, q)$
is found by "JS". In the text a formula stands as it is read in a line, or as "…" where it takes more than that. The
file is a script that calls `bookSearch`, because a page from disk may load a script and nothing else; it is loaded when
someone searches (book/lab/src/search).
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

from . import atomic_write, claim_box, claims_page
from .dependency_hash import claims_in

DATA = "search-data.js"
CLAIMS = "book/appendix/claims"
SKIPPED = (nodes.raw, nodes.literal_block, nodes.comment, nodes.image, addnodes.toctree, addnodes.index)
GREEK = set(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi varphi "
    "chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split()
)
COMMAND = re.compile(r"\\([A-Za-z]+)\*?")
CAPTION = re.compile(r"Figure [\w.]+?(?=\.$)")


def names_in(tex: str) -> str:
    r"""The names in a formula, in order: "JS p q sigma 2" for \mathrm{JS}(p, q) \le \sigma^2."""
    named = COMMAND.sub(lambda found: f" {found[1]} " if found[1] in GREEK else " ", tex)
    return " ".join(re.findall(r"\w+(?:\.\d+)?", re.sub(r"_\{?(\w+)\}?", r"\1", named)))


SIGNS = dict(
    zip(
        "leq le geq ge neq ne approx sim to mapsto cdot times pm infty partial nabla sum int mid ell in circ".split(),
        "≤ ≤ ≥ ≥ ≠ ≠ ≈ ∼ → ↦ · × ± ∞ ∂ ∇ ∑ ∫ | ℓ ∈ ∘".split(),
        strict=True,
    )
)
SIGNS |= {name: html.unescape(f"&{name.removeprefix('var')};") for name in GREEK}
SIGNS |= {name: name for name in ("ln", "log", "exp", "min", "max", "inf", "sup", "det")}
SIGNS |= {"quad": " ", "qquad": " "}
SIGNS |= dict.fromkeys(("left", "right", "big", "Big", "bigl", "bigr", "displaystyle", "limits"), "")
UPRIGHT = re.compile(
    r"\\(?:mathrm|mathbf|mathbb|mathcal|mathsf|text|operatorname|boldsymbol)\*?\s*(?:\{([^{}]*)\}|(\w))"
)
ROOT = re.compile(r"\\sqrt\s*(?:\{([^{}]*)\}|(\w))")
FRACTION = re.compile(r"\\[td]?frac\s*(?:\{([^{}]*)\}|(\w))\s*(?:\{([^{}]*)\}|(\w))")
LONGEST = 60  # characters of a formula in a line of text


def part(text: str) -> str:
    return text if re.fullmatch(r"[\w.*]*", text) else f"({text})"


def sign(command: re.Match) -> str:
    known = SIGNS.get(command[1])
    return command[0] if known is None else f" {known} " if known else ""


def line(tex: str) -> str:
    r"""A formula as it is read in a line, "JS(p, q) ≤ ln 2 / σ²"; "…" where it takes more than a line."""
    found = tex.strip().rstrip(".,")
    while found != (found := UPRIGHT.sub(lambda name: name[1] or name[2], found)):
        pass
    found = ROOT.sub(lambda of: "√" + part(of[1] or of[2]), found)
    found = FRACTION.sub(lambda of: f"{part(of[1] or of[2])}/{part(of[3] or of[4])}", found)
    found = re.sub(r"\\([{}|])", lambda one: {"{": "⦃", "}": "⦄", "|": "‖"}[one[1]], re.sub(r"\\[,;!: ]", " ", found))
    found = COMMAND.sub(sign, found)
    found = re.sub(r"\s*([_^])\s*(?:\{([^{}]*)\}|(\S))", lambda of: of[1] + part((of[2] or of[3] or "").strip()), found)
    found = found.replace("^2", "²").replace("^⊤", "ᵀ").translate(str.maketrans("-⦃⦄~", "−{} "))
    found = re.sub(r"\s+([,.)\]|_^²])|([(\[|])\s+", lambda near: near[1] or near[2], tidy(found))
    return "…" if "\\" in found or "&" in found or len(found) > LONGEST else found


def names(node) -> str:
    """The names in a node's formulas, each once."""
    found = " ".join(names_in(formula.astext()) for formula in node.findall(is_formula)).split()
    return " ".join(dict.fromkeys(found))


def is_formula(node) -> bool:
    return isinstance(node, nodes.math | nodes.math_block)


def words(node, skipped: tuple = ()) -> str:
    """The text of a node, without code and without nodes of the kinds `skipped`."""
    if isinstance(node, nodes.Text):
        return node.astext()
    if is_formula(node):
        return f" {line(node.astext())} " if isinstance(node, nodes.math_block) else line(node.astext())
    if isinstance(node, SKIPPED + skipped) or "code_cell" in node.get("classes", ()):
        return ""
    if node.get("nb_element", "").startswith("cell_code"):
        return ""
    end = "" if isinstance(node, nodes.TextElement) and not isinstance(node, nodes.paragraph | nodes.title) else " "
    return "".join(words(child, skipped) for child in node.children) + end


def tidy(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


OWN = (nodes.section, addnodes.desc, addnodes.glossary)  # these have entries of their own
Entry = tuple[str, str, str, str, str]  # kind, anchor, title, text, other names
# What a chapter is looked for by and not called.
ALIASES = {"book/06_wasserstein": "WGAN", "book/13_filling_in": "inpainting"}


def entries(doctree, title: str, alias: str = "") -> Iterator[Entry]:
    """What of a page can be found, from its top to its end."""
    sections = list(doctree.findall(nodes.section))
    for section in sections:
        heading = section.next_node(nodes.title)
        parts = [child for child in section.children if child is not heading]
        own = tidy("".join(words(child, OWN) for child in parts))
        named = " ".join(names(child) for child in [heading, *parts] if not isinstance(child, OWN))
        first = section is sections[0]
        yield (
            "page" if first else "section",
            "" if first else section["ids"][0],
            title if first else tidy(words(heading)),
            own,
            alias if first else named,
        )
    for paragraph in doctree.findall(nodes.paragraph):
        if "caption" in paragraph.get("classes", ()) and paragraph["ids"]:
            name = CAPTION.match(tidy(words(paragraph.next_node(nodes.strong))))
            yield "figure", paragraph["ids"][0], name[0] if name else "Figure", tidy(words(paragraph)), names(paragraph)
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") == "cell_code_source":
            for claim in claims_in(cell.astext()):
                text = html.unescape(re.sub(r"<sup>(.*?)</sup>", r"^(\1)", claim_box.typeset(claim.text)))
                yield "claim", claims_page.anchor(claim.number), f"Claim {claim.number}", text, claim.text
    for item in doctree.findall(nodes.definition_list_item):
        term = item.next_node(nodes.term)
        if term is not None and any(one.startswith("term-") for one in term["ids"]):
            yield "term", term["ids"][0], tidy(words(term)), tidy(words(item.next_node(nodes.definition))), names(item)
    for described in doctree.findall(addnodes.desc):
        for signature in described.findall(addnodes.desc_signature):
            content = described.next_node(addnodes.desc_content)
            if signature.parent is described and signature["ids"]:
                text = tidy(words(content, (addnodes.desc,))) if content is not None else ""
                formulas = names(content) if content is not None else ""
                yield "object", signature["ids"][0], signature["ids"][0].removeprefix("gan_tutorial."), text, formulas


def page_title(app, docname: str) -> str:
    number = re.match(r"(\d\d)_", docname.rpartition("/")[2])
    title = app.env.titles[docname].astext()
    return f"{int(number[1])}. {title}" if number else title


class Data:
    def __init__(self):
        self.pages: dict[str, tuple[str, list[Entry]]] = {}

    def add(self, app, doctree, docname: str) -> None:
        title = page_title(app, docname)
        found = list(entries(doctree, title, ALIASES.get(docname, "")))
        if docname == CLAIMS:  # each has its entry where the chapter makes it
            found = [("page", "", title, "", "")]
        self.pages[docname] = (title, found)

    def write(self, app, error) -> None:
        if error is None and app.builder.format == "html":
            every = [[app.builder.get_target_uri(name), *page] for name, page in sorted(self.pages.items())]
            text = json.dumps(every, ensure_ascii=False, separators=(",", ":"))
            atomic_write(Path(app.outdir) / "_static" / DATA, f"bookSearch({text})\n")


def setup(app):
    data = Data()
    app.connect("doctree-resolved", data.add)
    app.connect("build-finished", data.write)
    app.add_js_file("lab/search.js", loading_method="defer")
    app.add_css_file("search.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
