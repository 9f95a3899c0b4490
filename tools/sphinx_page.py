"""A Sphinx extension: what every page has in common besides its text.

- Its head: one viewport, a title that is said once, a description made of its first sentences, and the tags by which
  other programs show a link to it. The picture of these tags and the page's canonical address need an address
  (`html_baseurl`, which `make repository` sets); without one they are left out.
- Under a chapter's title: links to the notebook, to Colab and to its source, the latter where there is a repository.
- `404.html`, whose links work from any folder, a page at the root, and `sitemap.xml` where there is an address.
- A formula and the comma behind it stay on one line. On a phone the lines of code wrap under their own beginning.
- `{cite-box}` stands for the book's entry in BibTeX, made of CITATION.cff.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from docutils import nodes
from PIL import Image
from sphinx.util.docutils import SphinxDirective

from . import setup_cell
from .reused_outputs import cell_titled

DESCRIPTION = 160  # characters that search engines show
CARD = "_static/card.png"


# -------------------------------------------------------------------------------------------------------------- head


def sentences(text: str, limit: int = DESCRIPTION) -> str:
    """The first sentences of a text that fit, or as many words of the first one as do."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    ends = [match.end() for match in re.finditer(r"[.?!](?= )", text[:limit])]
    return text[: ends[-1]] if ends else text[: text.rindex(" ", 0, limit)] + " …"


def described(doctree) -> str:
    """A page's description: its first paragraphs of text, formulas left out."""
    words = ""
    for paragraph in doctree.findall(nodes.paragraph) if doctree is not None else ():
        if isinstance(paragraph.parent, nodes.section | nodes.document) and "reading-time" not in paragraph["classes"]:
            if any(paragraph.findall(nodes.math)) or any(paragraph.findall(nodes.raw)):
                continue
            words = f"{words} {paragraph.astext()}".strip()
        if len(words) >= DESCRIPTION / 2:
            break
    return sentences(words) or "A book on generative adversarial networks whose every claim is a test."


def tags(title: str, description: str, book: str, address: str, base: str) -> str:
    """The tags by which a link to a page is shown elsewhere."""
    found = {"description": description}
    properties = {
        "og:type": "website",
        "og:site_name": book,
        "og:title": title,
        "og:description": description,
    }
    if base:  # a picture and an address are asked for in full
        properties |= {
            "og:url": address,
            "og:image": base + CARD,
            "og:image:alt": "Forty digits that a generator of this book has drawn.",
        }
        found["twitter:card"] = "summary_large_image"
    lines = [f'<meta name="{name}" content="{html.escape(value)}" />' for name, value in found.items()]
    lines += [f'<meta property="{name}" content="{html.escape(value)}" />' for name, value in properties.items()]
    return "".join(f"\n    {line}" for line in lines)


def base_of(app) -> str:
    """Where the pages are published, with a slash at the end; "" where that is not known."""
    return app.config.html_baseurl.rstrip("/") + "/" if app.config.html_baseurl else ""


def complete_head(app, pagename: str, template: str, context: dict, doctree) -> None:
    book = app.config.html_title
    title = html.unescape(re.sub(r"<.*?>", "", context.get("title") or "")) or book
    base = base_of(app)
    context["metatags"] = re.sub(r'\s*<meta [^>]*name="viewport"[^>]*>', "", context.get("metatags") or "")
    context["metatags"] += tags(title, described(doctree), book, f"{base}{pagename}.html", base)
    if title == book:
        context["docstitle"] = ""  # it would stand there twice


def one_viewport(app, error) -> None:
    """Two layers of the theme ask for a viewport, in a template that cannot be told not to."""
    for path in pages(app) if error is None and app.builder.format == "html" else []:
        text = path.read_text(encoding="utf-8")
        first, *rest = re.findall(r'<meta name="viewport"[^>]*>', text) or [""]
        for tag in rest:
            head, _, tail = text.rpartition(tag)
            text = head + tail
        path.write_text(text, encoding="utf-8")


def pages(app) -> list[Path]:
    return [path for path in Path(app.outdir).rglob("*.html") if "_static" not in path.relative_to(app.outdir).parts]


# ------------------------------------------------------------------------------------------------------ under a title


def links_of(repository: str, release: str, source: str, notebook: str) -> str:
    """Links to a chapter's notebook and, where there is a repository, to Colab and to its source."""
    links = [f'<a href="{html.escape(notebook)}" download>notebook</a>']
    if repository:
        name = urlsplit(repository).path.strip("/")
        colab = f"https://colab.research.google.com/github/{name}/blob/{release}/{source}"
        links += [f'<a href="{colab}">open in Colab</a>', f'<a href="{repository}/blob/HEAD/{source}">on GitHub</a>']
    return " · ".join(links)


def add_links(app, pagename: str, template: str, context: dict, doctree) -> None:
    source = context.get("sourcename") or ""
    if not source.endswith(".ipynb") or 'class="reading-time"' not in context.get("body", ""):
        return
    root = Path(app.srcdir)
    repository, release = setup_cell.project(root) if (root / "pyproject.toml").exists() else ("", "")
    made = links_of(repository, release, source, context["pathto"](f"_sources/{source}", 1))
    line = re.compile(r'(<p class="reading-time">.*?)(</p>)', re.S)
    context["body"] = line.sub(lambda found: f"{found[1]} · {made}{found[2]}", context["body"], count=1)


# -------------------------------------------------------------------------------------------- pages that Sphinx lacks

MISSING = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<base href="{base}">
<link rel="icon" href="data:,">
<title>{title}</title>
{script}<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1.05rem/1.6 system-ui, sans-serif; margin: 3rem auto; max-width: 40rem; padding: 0 1rem; }}
li {{ margin: 0.3rem 0; }}
</style>
</head>
<body>
<main>
<h1>{heading}</h1>
<p>{words}</p>
<ul>
{links}</ul>
</main>
</body>
</html>
"""
# This page stands for an address of any depth. The book begins before the last of its folders.
FIND_BASE = """\
<script>
var here = location.pathname, inside = here.match(/^(.*\\/)(?:book|_static|_sources|_modules|_images)\\//);
document.querySelector("base").href = /404\\.html$/.test(here) || !inside ? here.replace(/[^\\/]*$/, "") : inside[1];
</script>
"""
ROOT_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<link rel="icon" href="data:,">
<title>{title}</title>
<meta http-equiv="refresh" content="0; url={first}">
</head>
<body>
<main><h1>{title}</h1>
<p><a href="{first}">Open the book</a></p></main>
</body>
</html>
"""


def contents(app) -> list[tuple[str, str]]:
    """(address, title) of all pages, in the order of the table of contents."""
    root = app.config.root_doc
    names = [root, *app.env.toctree_includes.get(root, [])]
    return [(f"{name}.html", html.escape(app.env.titles[name].astext())) for name in names if name in app.env.titles]


def add_pages(app, error) -> None:
    if error is not None or app.builder.format != "html":
        return
    folder, base = Path(app.outdir), base_of(app)
    first, title = f"{app.config.root_doc}.html", html.escape(app.config.html_title)
    missing = MISSING.format(
        base=urlsplit(base).path if base else "./",
        script="" if base else FIND_BASE,
        title=f"Not found · {title}",
        heading="This page is not there",
        words="It may have moved, or its address may be mistyped. These pages are there:",
        links="".join(f'<li><a href="{address}">{name}</a></li>\n' for address, name in contents(app)),
    )
    (folder / "404.html").write_text(missing, encoding="utf-8")
    if not (folder / "index.html").exists():
        (folder / "index.html").write_text(ROOT_PAGE.format(title=title, first=first), encoding="utf-8")
    if base:
        places = "".join(f"<url><loc>{base}{name}.html</loc></url>\n" for name in sorted(app.env.found_docs))
        space = "http://www.sitemaps.org/schemas/sitemap/0.9"
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="{space}">\n{places}</urlset>\n'
        (folder / "sitemap.xml").write_text(text, encoding="utf-8")
        card(Path(app.srcdir) / "book" / "start.ipynb", "Figure S.2", folder / CARD)


def card(notebook: Path, figure: str, target: Path) -> None:
    """The picture that is shown beside a link to the book: what the title page shows, on black, 1200 by 630 pixels."""
    made = json.loads(notebook.read_text(encoding="utf-8"))
    outputs = made["cells"][cell_titled(made, figure)]["outputs"]
    data = next(output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {}))
    picture = Image.open(io.BytesIO(base64.b64decode("".join(data)))).convert("L")
    scale = min(1160 // picture.width, 590 // picture.height) or 1
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    ground = Image.new("L", (1200, 630))
    ground.paste(picture, ((1200 - picture.width) // 2, (630 - picture.height) // 2))
    ground.quantize(16).save(target, optimize=True)


# ----------------------------------------------------------------------------------------------------------- citation


def bibtex(citation: dict, year: str) -> str:
    """An entry in BibTeX of what stands in CITATION.cff."""
    people = [one.get("name") or f"{one['family-names']}, {one['given-names']}" for one in citation["authors"]]
    fields = {
        "title": f"{{{citation['title']}}}",
        "author": " and ".join(f"{{{name}}}" for name in people),
        "year": year,
        "version": str(citation["version"]),
        "url": citation.get("repository-code", ""),
    }
    key = re.sub(r"\W+", "-", citation["title"].split(",")[0].lower()) + year
    lines = ",\n".join(f"  {name:<7} = {{{value}}}" for name, value in fields.items() if value)
    return f"@software{{{key},\n{lines}\n}}"


class CiteBox(SphinxDirective):
    def run(self):
        path = Path(self.env.srcdir) / "CITATION.cff"
        self.env.note_dependency(str(path))
        text = bibtex(yaml.safe_load(path.read_text(encoding="utf-8")), re.sub(r"\D", "", self.config.copyright)[:4])
        return [nodes.literal_block(text, text, language="bibtex")]


# -------------------------------------------------------------------------------------------------------------- code


OPENING = re.compile(r'(<span class="p">[(\[{]+</span>)')


def wrapped_lines(code: str) -> str:
    """Highlighted code, each line in a piece of its own that knows how far it is indented."""
    begin, rest = code.split("<pre>", 1)
    inside, end = rest.rsplit("</pre>", 1)
    inside = inside.removeprefix("<span></span>")
    lines = []
    for line in inside.removesuffix("\n").split("\n"):
        plain = html.unescape(re.sub(r"<.*?>", "", line))
        indent = len(plain) - len(plain.lstrip(" "))
        style = f' style="--indent:{indent}"' if indent and indent < len(plain) else ""
        line = OPENING.sub(r"\1<wbr>", line)
        lines.append(f'<span class="line"{style}>{line}\n</span>')
    return f"{begin}<pre><span></span>{''.join(lines)}</pre>{end}"


def is_table(text: str) -> bool:
    """Whether what is printed stands in columns, so that its lines must not wrap."""
    return bool(re.search(r"\S {2,}\S|^\s*[\[(]|tensor\(", text, re.M))


def visit_literal_block(translator, node) -> None:
    try:
        type(translator).visit_literal_block(translator, node)
    except nodes.SkipNode:
        made = translator.body[-1]
        output = node.get("language") == "myst-ansi"
        if made.count("<pre>") == 1 and "linenos" not in made and not (output and is_table(node.astext())):
            translator.body[-1] = wrapped_lines(made)
        raise


def setup(app):
    app.add_node(nodes.literal_block, override=True, html=(visit_literal_block, None))
    app.add_directive("cite-box", CiteBox)
    app.connect("html-page-context", complete_head)
    app.connect("html-page-context", add_links)
    app.connect("build-finished", add_pages, priority=400)  # before a bare page is put at the root
    app.connect("build-finished", one_viewport, priority=450)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
