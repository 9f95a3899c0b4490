"""The conversion of docstrings, on an example and on what docutils makes of every docstring of the package."""

import inspect

import docutils.core
import pytest

import gan_tutorial as gt
from tools import docstrings

MODULES = [
    gt.average,
    gt.checkpoint,
    gt.claims,
    gt.costs,
    gt.data,
    gt.drawn,
    gt.faster,
    gt.files,
    gt.game,
    gt.hooks,
    gt.metrics,
    gt.networks,
    gt.objectives,
    gt.plots,
    gt.processes,
    gt.recipes,
    gt.runtime,
]


def test_an_example():
    lines = [
        "$w \\cdot x$ of `w`",
        "",
        "real, fake  (batch, *shape);",
        "            float32",
        "eps  (batch,)",
        "*Now* raises.",
    ]
    assert docstrings.convert(lines) == [
        ":math:`w \\cdot x` of ``w``",
        "",
        "",
        "* ``real, fake``: (batch, \\*shape);",
        "  float32",
        "* ``eps``: (batch,)",
        "",
        "*Now* raises.",
    ]


def public_docstrings():
    for module in MODULES:
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_") and value.__doc__:
                yield pytest.param(inspect.getdoc(value), id=f"{module.__name__}.{name}")


@pytest.mark.parametrize("doc", list(public_docstrings()))
def test_every_public_docstring_is_valid_restructured_text(doc):
    text = "\n".join(docstrings.convert(doc.splitlines()))
    page = docutils.core.publish_string(
        text, writer_name="null", settings_overrides={"report_level": 2, "halt_level": 2, "raw_enabled": False}
    )
    assert page is None
