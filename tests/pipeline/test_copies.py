"""A copy that takes long is reported once for each step and key, with the remedy."""

from __future__ import annotations

import logging

import pytest

from trio_steps import Pipeline
from trio_steps._pipeline import copies


@pytest.fixture
def slow(monkeypatch):
    """Make each copy take as many seconds as the list says."""
    seconds, now = [0.0], [0.0]

    def copy(value):
        now[0] += seconds[0]
        return list(value)

    monkeypatch.setattr(copies, "copy_value", copy)
    monkeypatch.setattr(copies, "perf_counter", lambda: now[0])
    return seconds


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


async def test_copy_that_takes_long_is_reported_once_with_the_remedy(slow, caplog) -> None:
    slow[0] = 0.7
    p = Pipeline("p").step("sum-up", lambda rows, more=(): None).step("again", lambda rows: None)
    for _ in range(2):
        await p.run({"rows": [1], "more": [2]})
    assert warnings(caplog) == [
        "copying 'rows' took 0.7 s in 'sum-up': share=('rows',)",
        "copying 'more' took 0.7 s in 'sum-up': share=('more',)",
        "copying 'rows' took 0.7 s in 'again': share=('rows',)",
    ]
    assert {record.name for record in caplog.records} == {"trio_steps"}


async def test_copy_of_what_a_step_returns_is_reported_too(slow, caplog) -> None:
    slow[0] = 0.3
    p = Pipeline("p").step("rows", lambda: {"rows": [1], "n": 1}).step("others", lambda: [2], provides="others")
    await p.run({})
    assert warnings(caplog) == [
        "copying 'rows' took 0.3 s in 'rows': share=('rows',)",
        "copying 'others' took 0.3 s in 'others': share=('others',)",
    ]


async def test_copy_in_a_for_each_is_reported_once_and_not_for_each_element(slow, caplog) -> None:
    slow[0] = 0.3
    p = Pipeline("p").for_each("each", lambda x, table: None, over="xs", each="x", into="ys")
    await p.run({"xs": [1, 2, 3], "table": [0]})
    assert warnings(caplog) == ["copying 'table' took 0.3 s in 'each/1': share=('table',)"]


async def test_quick_copies_and_shared_keys_are_not_reported(slow, caplog) -> None:
    slow[0] = 0.25
    await Pipeline("p").step("a", lambda rows: None).run({"rows": [1]})
    slow[0] = 9
    await Pipeline("p", share=("rows",)).step("a", lambda rows, n: {"rows": rows}).run({"rows": [1], "n": 1})
    assert warnings(caplog) == []
