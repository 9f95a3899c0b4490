"""A Sphinx extension: a model of the gallery that runs in the page, where a reader asks for it.

    ```{live} dcgan                in Markdown
    ```
    <!-- live: dcgan -->           the same in a notebook, where Jupyter, Colab and GitHub show nothing in its place
    <!-- live: dcgan seed=3 -->    what is shown first, as in the links that the place itself makes

What runs is in book/lab/src/live. The weights are the gallery's own file, in a script that leaves its bytes in base64:
scripts are all that a page which is opened from disk may load. Until then, in print, and where nothing runs, the page
shows twenty samples, drawn when the book is built.
"""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from gan_tutorial.cli import RECIPES

from . import ROOT, atomic_write, cells

MODELS = ROOT / "gan_tutorial" / "models"
CRITICS = ROOT / "book" / "lab" / "critics"
PLACE = "_static/models"
MARK = re.compile(r"^<!-- live: (.+?) -->$", re.M)
COLUMNS = 10


def gallery() -> list[str]:
    """The models that draw of noise: what runs in a page has no images to begin with."""
    return sorted(path.stem for path in MODELS.glob("*.safetensors") if path.stem in RECIPES)


def scripts(name: str) -> dict[str, str]:
    """The scripts that hold a model's file, and that of a critic where there is one: {"dcgan.js": …}."""
    files = {name: MODELS / f"{name}.safetensors", f"{name}-critic": CRITICS / f"{name}.safetensors"}
    return {
        f"{key}.js": f"(window.ganModels ??= {{}})[{json.dumps(key)}] = "
        f"{json.dumps(base64.b64encode(path.read_bytes()).decode())};\n"
        for key, path in files.items()
        if path.is_file()
    }


def draw_poster(name: str, path: Path) -> None:
    """Twenty samples of a model, in two rows."""
    from PIL import Image

    from gan_tutorial import checkpoint

    images = checkpoint.pretrained(name).sample(2 * COLUMNS)  # (20, channels, h, w)
    n, channels, height, width = images.shape
    sheet = images.view(2, COLUMNS, channels, height, width).permute(0, 3, 1, 4, 2).reshape(2 * height, -1, channels)
    levels = ((sheet.clamp(-1, 1) + 1) * 127.5).round().byte().squeeze(-1).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path, optimize=True)


def place(name: str, start: str, root: str) -> str:
    """HTML of the place where the model will run, at first as `start` says; `root` leads to the book's folder."""
    from gan_tutorial import layout

    card, _ = layout.read(MODELS / f"{name}.safetensors", tensors=False)
    _, height, width = card["shape"]
    network = "decoder" if "decoder" in card["images"] else "generator"
    made = scripts(name)
    size = round(sum(map(len, made.values())) / 1000)
    classes = f" Each column was asked for its digit, 0 to {card['classes'] - 1}." if card["classes"] else ""
    alt = f"Two rows of ten samples of the model {name}.{classes}"
    at = html.escape(f"{root}{PLACE}/{name}")
    data = {"model": name, "classes": card["classes"], "start": start, "script": f"{root}{PLACE}/{name}.js"}
    if len(made) > 1:
        data["critic"] = f"{root}{PLACE}/{name}-critic.js"
    given = " ".join(f'data-{key}="{html.escape(str(value))}"' for key, value in data.items())
    return f"""<div class="live" {given}>
<img class="live-poster" src="{at}.png" width="{COLUMNS * width}" height="{2 * height}" alt="{html.escape(alt)}">
<div class="live-start">
<button type="button" hidden>Run this {network} here ({size} kB)</button>
<p>Where JavaScript is on, this {network} runs here.</p>
</div>
</div>"""


class Live(SphinxDirective):
    required_arguments = 1
    optional_arguments = 1

    def run(self):
        name, start = [*self.arguments, ""][:2]
        if name not in gallery():
            raise self.error(f"There is no model {name!r} in the gallery, only {', '.join(gallery())}.")
        self.env.note_dependency(str(MODELS / f"{name}.safetensors"))
        self.env.metadata[self.env.docname].setdefault("live", []).append(name)
        return [nodes.raw("", place(name, start, "../" * self.env.docname.count("/")), format="html")]


def fill_in(app, docname: str, source: list[str]) -> None:
    """Make directives of the marks in a notebook."""
    if not app.env.doc2path(docname).endswith(".ipynb") or "<!-- live: " not in source[0]:
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = MARK.sub(r"```{live} \1\n```", cells.source(cell))
    source[0] = json.dumps(notebook)


def add_files(app, pagename: str, templatename, context, doctree) -> None:
    """The script and its styles, to pages with a model; they are bundled when the pages are written."""
    if app.env.metadata.get(pagename, {}).get("live"):
        app.add_js_file("lab/live.js", loading_method="defer")
        app.add_css_file("lab/live.css")


def write_models(app, error) -> None:
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / PLACE
    for name in sorted({name for page in app.env.metadata.values() for name in page.get("live", [])}):
        try:
            for file, text in scripts(name).items():
                atomic_write(folder / file, text)
            draw_poster(name, folder / f"{name}.png")
        except (OSError, ValueError) as reason:
            raise ExtensionError(f"The model {name} could not be put into the pages: {reason}") from None


def setup(app):
    app.add_directive("live", Live)
    app.connect("source-read", fill_in)
    app.connect("html-page-context", add_files)
    app.connect("build-finished", write_models)
    return {"version": "1", "parallel_read_safe": True}
