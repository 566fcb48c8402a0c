"""Which runs `runs` returns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from trio_steps import ConfigError, Pipeline
from trio_steps._durable.filter import Filter
from trio_steps.store import RunRecord, SqliteStore
from trio_steps.testing import MemoryStore

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RECORD = RunRecord(run_id="r", pipeline="order", status="failed", started=NOON, updated=NOON)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("which", "matches"),
    [
        (Filter(), True),
        (Filter(pipeline="order"), True),
        (Filter(pipeline="".join("order")), True),  # another text, and equal
        (Filter(pipeline="refund"), False),
        (Filter(pipeline="bill"), False),
        (Filter(status=("failed", "stopped")), True),
        (Filter(status=("stopped",)), False),
        (Filter(status=()), False),
        (Filter(since=NOON - SECOND), True),
        (Filter(since=NOON), True),
        (Filter(since=NOON + SECOND), False),
        (Filter(before=NOON + SECOND), True),
        (Filter(before=NOON), False),
        (Filter(before=NOON - SECOND), False),
        (Filter(pipeline="order", status=("failed",), since=NOON, before=NOON + SECOND), True),
    ],
)
def test_filter_matches_what_all_of_it_is_about(which: Filter, matches: bool) -> None:
    assert which.matches(RECORD) is matches


async def test_status_that_is_no_tuple_is_an_error_in_every_store() -> None:
    with pytest.raises(ConfigError, match=r"runs\(status='failed'\): give a tuple, status=\('failed',\)"):
        Filter(status="failed")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="give a tuple"):
        await MemoryStore().runs(status="failed")  # type: ignore[arg-type]


async def test_limit_beyond_what_a_machine_counts_is_no_limit(tmp_path) -> None:
    for store in (MemoryStore(), SqliteStore(tmp_path / "runs.db")):
        await Pipeline("p").step(lambda: None).submit({}, store=store, run_id="r")
        assert [record.run_id for record in await store.runs(limit=10**400)] == ["r"]
