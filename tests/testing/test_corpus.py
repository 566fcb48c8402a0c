"""Seeded bugs: `explore` finds each of them, names its line, and finds nothing in the corrected program."""

from __future__ import annotations

import functools
import importlib.util
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
from places import DOCS
from plain import found_in

from trio_steps.testing import Report, explore, replay
from trio_steps.testing._machine.token import TRIO

FILES = sorted((Path(__file__).parent / "corpus").glob("*.py"))
NAMES = [file.stem for file in FILES]
TABLE = DOCS / "testing.md"


@functools.cache
def load(name: str) -> Any:
    file = Path(__file__).parent / "corpus" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"corpus_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # since Python 3.14, about the bug of return_in_finally
        spec.loader.exec_module(module)
    return module


@functools.cache
def report_on(name: str) -> Report:
    return explore(load(name).buggy)


# All tests of one bug are consecutive, so that one worker of pytest-xdist explores it only once.
each = pytest.mark.parametrize("name", NAMES, scope="module")

MISSED = sorted(file.stem for file in (Path(__file__).parent / "corpus" / "missed").glob("*.py"))


def test_corpus_has_forty_bugs() -> None:
    assert len(FILES) >= 40


@pytest.mark.parametrize("name", MISSED)
def test_bug_that_is_said_not_to_be_found_is_not_found(name: str) -> None:
    module = load(f"missed/{name}")
    assert explore(module.buggy, budget=100).ok
    rows = [line for line in TABLE.read_text().splitlines() if line.startswith(f"| {module.TITLE} |")]
    assert len(rows) == 1


def test_every_bug_that_is_not_found_is_in_the_corpus() -> None:
    _, section = TABLE.read_text().split("## What is not found\n")
    rows = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("| ")]
    assert len(rows) == len(MISSED) + 2


@each
def test_explore_finds_the_seeded_bug_and_names_its_line(name: str) -> None:
    module = load(name)
    report = report_on(name)
    assert report.failures, str(report)
    assert report.failures[0].run <= 200
    lines = Path(module.__file__).read_text().splitlines()
    marked = [f"{name}.py:{number}" for number, line in enumerate(lines, 1) if "# BUG" in line]
    assert any(place in str(report) for place in marked), f"{marked} is not in\n{report}"


@pytest.mark.long
@each
def test_reduction_loses_no_seeded_bug(name: str) -> None:
    found = {failure.finding.key for failure in report_on(name).failures}
    assert {failure.finding.key for failure in explore(load(name).buggy, reduce=True).failures} == found


@pytest.mark.long
@each
def test_reduction_raises_no_alarm_on_the_corrected_program(name: str) -> None:
    assert explore(load(name).fixed, reduce=True, budget=60).ok


@each
def test_token_of_the_seeded_bug_replays_it(name: str) -> None:
    module = load(name)
    failure = report_on(name).failures[0]
    run = replay(module.buggy, failure.token)
    assert failure.invariant in [finding.invariant for finding in run.findings]
    assert run.token == failure.token
    assert run.notes == ()


@each
def test_explore_is_silent_on_the_corrected_program(name: str) -> None:
    report = explore(load(name).fixed, budget=100)
    assert report.ok, str(report)


@each
def test_documented_table_is_what_happens(name: str) -> None:
    module = load(name)
    report = report_on(name)
    plain = found_in(module.buggy, 5)
    failure = report.failures[0]
    row = f"| {module.TITLE} | {failure.invariant} | {failure.run} | `{failure.policy}` | {plain * 20} |"
    assert row in TABLE.read_text().splitlines(), row


@pytest.mark.parametrize("name", ["channel_item_lost", "lost_update", "lock_order"])
def test_documented_failure_text_is_what_is_printed(name: str) -> None:
    text = str(report_on(name).failures[0])
    shown = re.sub(r"\S*/(?=\w+\.py)", "", text).replace(f"s1:{TRIO}:", "s1:0.xx:")
    assert shown in TABLE.read_text(), shown
