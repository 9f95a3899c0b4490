"""The package's front door: names come from where they say, and nothing is loaded before it is needed."""

import ast
import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import gan_tutorial as gt


def test_importing_the_package_and_its_command_line_loads_nothing_heavy():
    program = (
        "import sys, gan_tutorial, gan_tutorial.cli, gan_tutorial.__main__\n"
        "from gan_tutorial import cli\n"
        "cli.parser()\n"
        "print(sorted({'torch', 'numpy', 'matplotlib', 'PIL', 'safetensors', 'tqdm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_name_is_what_its_module_has():
    for module, names in gt.NAMES.items():
        for name in names.split():
            there = importlib.import_module(f"gan_tutorial.{module or name}")
            assert getattr(gt, name) is (getattr(there, name) if module else there)
    assert set(gt.__all__) <= set(dir(gt)) and gt.__all__ == sorted(set(gt.__all__))


def test_type_checkers_are_told_the_same_names():
    tree = ast.parse(Path(gt.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {node.module or "": " ".join(alias.name for alias in node.names) for node in block.body}
    assert told == {module: " ".join(names.split()) for module, names in gt.NAMES.items()}


def test_other_modules_and_missing_names():
    from gan_tutorial import game, networks  # not among the names, and there all the same

    assert gt.game is game and gt.networks is networks
    for name in ("nobody", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"module 'gan_tutorial' has no attribute '{name}'"):
            getattr(gt, name)
    with pytest.raises(ImportError, match="nobody"):
        from gan_tutorial import nobody  # noqa: F401


def test_a_star_brings_all_names():
    names = {}
    exec("from gan_tutorial import *", names)
    assert set(gt.__all__) <= set(names) and names["fit"] is gt.fit


def test_what_was_pickled_is_found_again_in_a_fresh_process():
    program = (
        "import pickle, sys; print(pickle.load(sys.stdin.buffer)[0].__name__, 'gan_tutorial.plots' in sys.modules)"
    )
    content = pickle.dumps([gt.fit, gt.Data])
    done = subprocess.run([sys.executable, "-c", program], input=content, capture_output=True, check=True)
    assert done.stdout == b"fit False\n"
