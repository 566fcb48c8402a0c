"""Tests are in the folder of the package that they test, in files with unique names."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import pytest
from places import ROOT

import trio_steps

PACKAGE = Path(trio_steps.__file__).parent
TESTS = ROOT / "tests"

FOLDERS = {
    "_cli": "cli",
    "_core": "core",
    "_drawing": "drawing",
    "_durable": "durable",
    "_fork": "fork",
    "_observers": "observers",
    "_pipeline": "pipeline",
    "_values": "values",
    "testing": "testing",
}
"""Where the tests of a package are."""


def test_no_two_files_have_the_same_name() -> None:
    """All test folders are on the path while tests run, so the second file would not be imported."""
    names = Counter(path.name for path in TESTS.glob("*/*.py") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("package", [path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()])
def test_package_has_a_folder_of_tests(package: str) -> None:
    assert any((TESTS / FOLDERS[package]).glob("test_*.py"))


def test_file_of_tests_is_no_longer_than_a_person_reads() -> None:
    long = {path.name for path in TESTS.glob("*/*.py") if len(path.read_text(encoding="utf-8").splitlines()) > 640}
    assert long == set()


def test_mutation_that_is_said_to_change_nothing_is_of_a_line_that_is_there() -> None:
    """Otherwise `tests/mutate.py` could not find it."""
    entries = tomllib.loads((TESTS / "unnoticed.toml").read_text(encoding="utf-8"))["unnoticed"]
    stale = [
        entry
        for entry in entries
        if entry["before"]
        not in {line.strip() for line in (PACKAGE.parent / entry["file"]).read_text(encoding="utf-8").splitlines()}
    ]
    assert stale == []
