"""The workflows fit their schema, pass an auditor, pin every action; and each of these checks can fail."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PINNED = re.compile(r"^\s*-? ?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def schema(name, *paths):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", name, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True)


def zizmor(path):
    command = [Path(sys.executable).with_name("zizmor"), "--offline", "--no-progress", "--persona", "pedantic", path]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def unpinned(text):
    """The lines that use an action otherwise than by the full hash of a commit, with its release beside it."""
    return [line for line in text.splitlines() if "uses:" in line and not PINNED.match(line)]


def changed(tmp_path, old, new):
    text = (GITHUB / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert old in text
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "tests.yml").write_text(text.replace(old, new), encoding="utf-8")
    return folder / "tests.yml"


@pytest.mark.parametrize(
    "name, paths",
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.dependabot", [GITHUB / "dependabot.yml"]),
        ("vendor.citation-file-format", [ROOT / "CITATION.cff"]),
    ],
)
def test_they_fit_their_schema(name, paths):
    assert paths
    result = schema(name, *paths)
    assert result.returncode == 0, result.stdout


def test_the_auditor_finds_nothing():
    result = zizmor(GITHUB)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_rights_are_least(path):
    text = path.read_text(encoding="utf-8")
    assert unpinned(text) == []
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        writes = {right for right, value in job.get("permissions", {}).items() if value == "write"}
        runs_our_code = any("checkout" in step.get("uses", "") for step in job["steps"])
        assert not (writes and runs_our_code)
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_the_tested_pythons_are_the_promised_ones():
    workflow = yaml.safe_load((GITHUB / "workflows" / "tests.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


def test_the_schema_can_fail(tmp_path):
    assert schema("vendor.github-workflows", changed(tmp_path, "steps:", "stops:")).returncode


@pytest.mark.parametrize(
    "old, new",
    [
        ("        with:\n          persist-credentials: false\n", ""),
        ("      contents: read # the checkout\n", "      contents: write\n      packages: write\n"),
        ("permissions: {}\n", "permissions: write-all\n"),
        ("run: make test\n", 'run: echo "${{ github.event.pull_request.title }}"\n'),
    ],
)
def test_the_auditor_can_fail(tmp_path, old, new):
    assert zizmor(changed(tmp_path, old, new)).returncode


@pytest.mark.parametrize(
    "line",
    [
        "      - uses: actions/checkout@v7",
        "      - uses: actions/checkout@main",
        "      - uses: actions/checkout@3d3c42e # v7.0.1",
        "      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1",
    ],
)
def test_a_loose_pin_is_found(line):
    assert unpinned(line) == [line]
