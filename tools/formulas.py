"""Formulas set by KaTeX, icons drawn by Font Awesome: as HTML, when the pages are built.

One process of node serves a whole build. KaTeX writes each formula twice: as MathML for a screen reader, and as spans
that a style sheet and its fonts put in place, so that it looks the same in every browser, before any script has run.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path

from . import node

# Names that chapters may use beside KaTeX's own; a notebook's view in Jupyter knows none of them, so there are none.
MACROS: dict[str, str] = {}


class Setter:
    """Sets formulas; use it as a context manager, or call `close`."""

    def __init__(self):
        modules = node.install()
        environment = dict(os.environ, NODE_PATH=str(modules))
        command = [str(node.NODE), str(node.LAB / "page.mjs"), json.dumps(MACROS)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, encoding="utf-8"
        )
        self._answers: dict[str, dict] = {}

    def __enter__(self) -> Setter:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        if self._process.stdin and self._process.stdout:
            self._process.stdin.close()
            self._process.stdout.close()
        self._process.wait()

    def _ask(self, **question) -> dict:
        line = json.dumps(question)
        if line not in self._answers:
            assert self._process.stdin and self._process.stdout
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
            if not answer:
                raise RuntimeError("The process of node that sets formulas ended.")
            self._answers[line] = json.loads(answer)
        answer = self._answers[line]
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def formula(self, tex: str, display: bool = False) -> str:
        """HTML of a formula. Raises ValueError where KaTeX cannot set it."""
        return self._ask(tex=tex.strip(), display=display)["html"]

    def icon(self, name: str) -> str:
        """An icon of Font Awesome, such as "bars", as SVG in the size and colour of the text around it.

        Raises ValueError where there is none of that name.
        """
        width, height, path = self._ask(icon=name)["icon"]
        return f'<svg class="svg-icon" viewBox="0 0 {width} {height}" aria-hidden="true"><path d="{path}"/></svg>'


# ----------------------------------------------------------------------------------------------------- style and fonts

FACE = re.compile(r"@font-face\s*\{([^}]*)\}")


@cache
def style() -> tuple[str, dict[tuple[str, str, str], Path]]:
    """KaTeX's style sheet without its fonts, and the fonts' files by family, weight and style."""
    folder = node.install() / "katex" / "dist"
    sheet = (folder / "katex.min.css").read_text(encoding="utf-8")
    fonts = {}
    for face in FACE.findall(sheet):
        given = dict(re.findall(r"([\w-]+):([^;]+)", face))
        key = (given["font-family"].strip('"'), given["font-weight"], given["font-style"])
        fonts[key] = folder / re.findall(r"url\((fonts/[\w-]+\.woff2)\)", face)[0]
    return FACE.sub("", sheet), fonts


def font_faces(classes: set[str]) -> str:
    """A style sheet with the fonts that formulas made of these classes need, inside it.

    Firefox loads no font's file for a page that is opened from disk.
    """
    sheet, fonts = style()
    needed = {("KaTeX_Main", "400", "normal")}
    for selectors, rules in re.findall(r"([^{}]+)\{([^{}]*)\}", sheet):
        given = dict(re.findall(r"(font-[\w]+):([^;]+)", rules))
        used = any(set(re.findall(r"\.([\w-]+)", one)) <= classes for one in selectors.split(","))
        if used and ({"font-family", "font-weight", "font-style"} & given.keys()):
            weight = given.get("font-weight", "400").replace("bold", "700").replace("normal", "400")
            family = given.get("font-family", "KaTeX_Main").split(",")[0].strip('"')
            needed.add((family, weight, given.get("font-style", "normal")))
    return "".join(
        f"@font-face{{font-family:{family};font-weight:{weight};font-style:{slant};font-display:swap;"
        f"src:url(data:font/woff2;base64,{base64.b64encode(fonts[family, weight, slant].read_bytes()).decode()})"
        'format("woff2")}\n'
        for family, weight, slant in sorted(needed & fonts.keys())
    )


def classes_in(text: str) -> set[str]:
    """The classes of all elements in this HTML."""
    return {name for names in set(re.findall(r'class="([^"]*)"', text)) for name in names.split()}
