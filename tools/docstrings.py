r"""A Sphinx extension: the package's docstrings, written to be read in the source, as reStructuredText.

$x$               ->  :math:`x`
`name`            ->  ``name``
*                 ->  \*                    (a shape such as (batch, *shape) is no emphasis, *word* is)
name  what it is  ->  * ``name``: what it is  (two spaces or more; continued on indented lines)
"""

import re

ENTRY = re.compile(r"^([A-Za-z_][\w.]*(?:, \w+)*) {2,}(\S.*)$")
FORMULA = re.compile(
    r"\$(?:[^$\n]|\n(?!\s*\n))+\$"
)  # in one paragraph; a role in reStructuredText would end with the line
MARKED = re.compile(r"(\$[^$]+\$|`[^`]+`|\*\w+\*)")


def inline(text: str) -> str:
    """One line's mathematics, code and asterisks."""

    def turn(part: str) -> str:
        if part.startswith("$"):
            return f":math:`{part[1:-1].strip()}`"
        if part.startswith("`"):
            return f"`{part}`"
        return part if part.startswith("*") and part.endswith("*") else part.replace("*", r"\*")

    return "".join(map(turn, MARKED.split(text)))


def convert(lines: list[str]) -> list[str]:
    """The lines of one docstring, converted."""
    out, in_entries = [], False
    text = FORMULA.sub(lambda formula: re.sub(r"\s*\n\s*", " ", formula[0]), "\n".join(lines))
    for line in map(inline, text.split("\n")):
        entry = ENTRY.match(line)
        if bool(entry) != in_entries and not line.startswith(" "):
            out.append("")  # a list stands between blank lines
            in_entries = bool(entry)
        if entry:  # a bullet, not a field: Sphinx would write a field's name with a capital
            line = f"* ``{entry[1]}``: {entry[2]}"
        elif in_entries and line.startswith(" "):
            line = f"  {line.strip()}"
        out.append(line)
    return out


def setup(app):
    """Sphinx's entry point."""

    def process(app, what, name, obj, options, lines):
        lines[:] = convert(lines)

    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True}
