"""The conversion of docstrings, on an example and on what docutils makes of every docstring of the package."""

import importlib
import inspect
import pkgutil

import docutils.core
import pytest

import gan_tutorial
from tools import docstrings

MODULES = [
    importlib.import_module(f"gan_tutorial.{module.name}")
    for module in pkgutil.iter_modules(gan_tutorial.__path__)
    if module.name != "__main__"
]


def test_an_example():
    lines = [
        "$w \\cdot x$ of `w`",
        "",
        "real, fake  (batch, *shape);",
        "            float32",
        "eps  (batch,)",
        "*Now* raises $a",
        "b$ or *word*:",
        "",
        "    f(*x)  # `x`",
        "",
        "    g(x)",
        "",
        "The end.",
    ]
    assert docstrings.convert(lines) == [
        ":math:`w \\cdot x` of ``w``",
        "",
        "",
        "* ``real, fake``: (batch, \\*shape);",
        "  float32",
        "* ``eps``: (batch,)",
        "",
        "*Now* raises :math:`a b` or *word*:",
        "",
        "::",
        "",
        "    f(*x)  # `x`",
        "",
        "    g(x)",
        "",
        "The end.",
    ]


def test_a_formula_may_go_on_in_the_next_line():
    """A role in reStructuredText may not; two dollars in two paragraphs are no formula."""
    assert docstrings.convert(["so $a +", "    b$ is"]) == [":math:`a + b`".join(["so ", " is"])]
    assert docstrings.convert(["5 $ each", "", "or $ 6"]) == ["5 $ each", "", "or $ 6"]


def test_a_signature_is_python_whatever_its_defaults_are():
    given = "(f: ~collections.abc.Callable = <function a.<lambda>>, g=<function x.mean>, c=<class 'torch.optim.Adam'>)"
    assert docstrings.tidy(given) == "(f: Callable = ..., g=mean, c=Adam)"
    assert docstrings.tidy("(log: dict = <factory>, n=1)") == "(log: dict = ..., n=1)"


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
