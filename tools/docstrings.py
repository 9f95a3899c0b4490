r"""A Sphinx extension: the package's docstrings, written to be read in the source, as reStructuredText.

$x$               ->  :math:`x`
`name`            ->  ``name``
*                 ->  \*                    (a shape such as (batch, *shape) is no emphasis, *word* is)
name  what it is  ->  * ``name``: what it is  (two spaces or more; continued on indented lines)
    code          ->  a literal block         (four spaces or more, below a blank line)
"""

import re

ENTRY = re.compile(r"^([A-Za-z_][\w.]*(?:, \w+)*) {2,}(\S.*)$")
MARKED = re.compile(r"(\$[^$]+\$|`[^`]+`|\*\w+\*)")


def inline(text: str) -> str:
    """A paragraph's mathematics, code and asterisks."""

    def turn(part: str) -> str:
        if part.startswith("$"):
            return f":math:`{' '.join(part[1:-1].split())}`"
        if part.startswith("`"):
            return f"`{part}`"
        return part if part.startswith("*") and part.endswith("*") else part.replace("*", r"\*")

    return "".join(map(turn, MARKED.split(text)))


def blocks(lines: list[str]) -> list[list[str]]:
    """What stands between blank lines. Indented blocks that follow each other are one, with its blank lines."""
    found: list[list[str]] = []
    for line in lines:
        if not line.strip():
            found.append([])
        elif not found:
            found.append([line])
        elif not found[-1] and len(found) > 1 and is_code(found[-2]) and line.startswith("    "):
            found.pop()
            found[-1] += ["", line]
        else:
            found[-1].append(line)
    return [block for block in found if block]


def is_code(block: list[str]) -> bool:
    return all(line.startswith("    ") or not line for line in block)


def convert(lines: list[str]) -> list[str]:
    """The lines of one docstring, converted."""
    out: list[str] = []
    for block in blocks(lines):
        if is_code(block):
            out += ["::", "", *block, ""]
            continue
        in_entries = False
        for line in inline("\n".join(block)).split("\n"):
            entry = ENTRY.match(line)
            if bool(entry) != in_entries and not line.startswith(" "):
                out.append("")  # a list stands between blank lines
                in_entries = bool(entry)
            if entry:  # a bullet, not a field: Sphinx would write a field's name with a capital
                line = f"* ``{entry[1]}``: {entry[2]}"
            elif in_entries and line.startswith(" "):
                line = f"  {line.strip()}"
            out.append(line)
        out.append("")
    return out[:-1]


def tidy(signature: str) -> str:
    """A signature without the addresses of types and functions, which Sphinx cannot read as Python."""
    for pattern, name in (
        (r"<function [^<>]*<lambda>>|<factory>", "..."),
        (r"<function (?:\w+\.)*(\w+)>|<class '(?:\w+\.)*(\w+)'>", lambda found: found[1] or found[2]),
        (r"~(?:\w+\.)*", ""),
    ):
        signature = re.sub(pattern, name, signature)
    return signature


def setup(app):
    """Sphinx's entry point."""

    def docstring(app, what, name, obj, options, lines):
        lines[:] = convert(lines)

    def signature(app, what, name, obj, options, given, returned):
        return given and tidy(given), returned

    app.connect("autodoc-process-docstring", docstring)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True}
