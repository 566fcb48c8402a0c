"""Bugs that few orders show: `explore` and reduction find what running every order finds."""

from __future__ import annotations

import pytest
from rare import PROGRAMS

from trio_steps.testing import Report, enumerate_schedules, explore


def found(report: Report) -> set[tuple[str, str, str]]:
    return {failure.finding.key for failure in report.failures}


def test_there_are_thirty() -> None:
    assert len(PROGRAMS) == 30


@pytest.mark.long
@pytest.mark.parametrize("name", PROGRAMS)
def test_bug_is_found_in_fewer_orders_as_in_all(name: str) -> None:
    program = PROGRAMS[name]
    full, reduced = enumerate_schedules(program), enumerate_schedules(program, reduce=True)
    assert full.exhausted
    assert full.failures
    assert reduced.exhausted
    assert found(reduced) == found(full)
    assert reduced.runs <= full.runs
    # its orders stand for all orders, each for different ones: an exact cover, so none is missing
    assert reduced.saved == full.runs - reduced.runs


@pytest.mark.long
@pytest.mark.parametrize("name", PROGRAMS)
def test_bug_is_found_by_exploring(name: str) -> None:
    assert found(enumerate_schedules(PROGRAMS[name])) <= found(explore(PROGRAMS[name], budget=200))
