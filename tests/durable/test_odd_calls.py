"""Calls of stores and workers with invalid arguments: each is an error that says what to give."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_steps import ConfigError, Pipeline
from trio_steps.store import RunStatus, RunStore, SqliteStore, work
from trio_steps.testing import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

NAIVE = datetime(1999, 1, 1)  # noqa: DTZ001 - without a time zone


def fails() -> Any:
    raise OSError("no")


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> RunStore:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "runs.db", synchronous="normal")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"keep": True}, "prune(keep=True): keep 0 or more"),
        ({"keep": 1.5}, "prune(keep=1.5): keep 0 or more"),
        ({"keep": "3"}, "prune(keep='3'): keep 0 or more"),
        ({"keep": -1}, "prune(keep=-1): keep 0 or more"),
        ({"older_than": 30}, "prune(older_than=30): give a duration, older_than=timedelta(days=30)"),
        ({"older_than": timedelta(days=-1)}, "give a duration, older_than=timedelta(days=30)"),
        ({"older_than": timedelta(days=-1), "keep": 0}, "give a duration"),
        ({"keep": 0, "status": "failed"}, "prune(status='failed'): give a tuple, status=('failed',)"),
        ({"keep": 0, "status": ("gone",)}, "prune(status=('gone',)): give a tuple of some of 'submitted', 'running', "),
        ({"keep": 0, "status": None}, "prune(status=None): give a tuple of some of 'submitted'"),
    ],
)
async def test_prune_deletes_nothing_if_it_is_not_told_what(
    store: RunStore, options: dict[str, Any], error: str
) -> None:
    p: Pipeline[Any, Any] = Pipeline("p")
    await p.run({}, store=store, run_id="r")
    with pytest.raises(ConfigError, match=re.escape(error)):
        await store.prune(**options)
    assert len(await store.runs()) == 1


async def test_prune_of_what_is_older_than_any_calendar_deletes_nothing(store: RunStore) -> None:
    await Pipeline[Any, Any]("p").run({}, store=store, run_id="r")
    assert await store.prune(older_than=timedelta.max) == ()
    assert len(await store.runs()) == 1


ODD_FILTERS: Any = [
    ({"limit": -1}, "runs(limit=-1): give the most runs to return, 0 or more"),
    ({"limit": "2"}, "runs(limit='2'): give the most"),
    ({"limit": True}, "runs(limit=True): give the most"),
    ({"limit": 1.0}, "runs(limit=1.0): give the most"),
    ({"since": NAIVE}, "give a time with a time zone, since=datetime.now(UTC) - timedelta(days=1)"),
    ({"before": NAIVE}, "give a time with a time zone, before=datetime.now(UTC) - timedelta(days=1)"),
    ({"since": "2026-01-01"}, "runs(since='2026-01-01'): give a time with"),
    ({"before": 0}, "runs(before=0): give a time with"),
    ({"status": "failed"}, "runs(status='failed'): give a tuple, status=('failed',)"),
    ({"status": ("failed", "gone")}, "runs(status=('failed', 'gone')): give a tuple of some of 'submitted', 'running'"),
    ({"status": ([],)}, "runs(status=([],)): give a tuple of some of"),
    ({"status": 5}, "runs(status=5): give a tuple of some of"),
    ({"pipeline": 5}, "runs(pipeline=5): give the name of a pipeline, as text"),
    ({"after": 5}, "runs(after=5): give the id of a run, as text"),
    ({"after": "\udcff"}, "runs(after='\\udcff'): give the id of a run, as text"),
]


@pytest.mark.parametrize(("options", "error"), ODD_FILTERS)
async def test_odd_filter_is_refused_before_anything_is_read(
    store: RunStore, options: dict[str, Any], error: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(error)):
        await store.runs(**options)


async def test_filter_may_allow_no_run_at_all(store: RunStore) -> None:
    await Pipeline[Any, Any]("p").run({}, store=store, run_id="r")
    assert await store.runs(limit=0) == await store.runs(status=()) == ()
    assert len(await store.runs(status={"finished"}, limit=1, since=NAIVE.replace(tzinfo=UTC))) == 1


async def test_run_with_an_unreadable_id_is_not_there(store: RunStore) -> None:
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.load("\udcff"),
        lambda: store.answer("\udcff", ok=True),
    ]
    for call in calls:
        with pytest.raises(KeyError, match=re.escape("there is no run '\\\\udcff' in the store")):
            await call()


@pytest.mark.parametrize("name", ["", "/fails", "fails/", "fails//x", None, 3])
async def test_step_whose_name_is_none_is_not_marked(store: RunStore, name: Any) -> None:
    p: Pipeline[Any, Any] = Pipeline("p").step("fails", fails)
    with suppress(OSError):
        await p.run({}, store=store, run_id="r")
    before = await store.read("r")
    with pytest.raises(KeyError, match=re.escape(f"has no step {name!r}; it has 'fails'")):
        await store.mark_done("r", name)
    assert await store.read("r") == before


@pytest.mark.parametrize(
    ("output", "taken", "error"),
    [
        ([("x", 1)], None, "give a mapping of keys and their values"),
        (3, None, "give a mapping of keys and their values"),
        ({}, ["route"], "taken=['route']): give a mapping of branches and their cases"),
    ],
    ids=["pairs", "number", "taken"],
)
async def test_output_and_cases_that_are_no_mappings_are_refused(
    store: RunStore, output: Any, taken: Any, error: str
) -> None:
    p: Pipeline[Any, Any] = Pipeline("p").step("fails", fails)
    with suppress(OSError):
        await p.run({}, store=store, run_id="r")
    with pytest.raises(ConfigError, match=re.escape(error)):
        await store.mark_done("r", "fails", output, taken=taken)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_deaths": 0}, "work(max_deaths=0): give the number of deaths"),
        ({"max_deaths": True}, "work(max_deaths=True)"),
        ({"max_deaths": "5"}, "work(max_deaths='5')"),
        ({"on_end": 3}, "work(on_end=3): give a function"),
    ],
)
async def test_worker_with_odd_arguments_is_refused_before_it_takes_a_run(options: dict[str, Any], error: str) -> None:
    store = MemoryStore()
    p: Pipeline[Any, Any] = Pipeline("p")
    await p.submit({}, store=store, run_id="r")
    with pytest.raises(ConfigError, match=re.escape(error)):
        await work(store, [p], **options)
    assert [record.status for record in await store.runs()] == ["submitted"]


async def test_function_that_a_worker_calls_at_the_end_of_a_run_may_be_async() -> None:
    store = MemoryStore()
    told: list[tuple[str, float]] = []

    async def on_end(run_id: str, _: RunStatus, __: Exception | None) -> None:
        await trio.sleep(2)
        told.append((run_id, trio.current_time()))
        nursery.cancel_scope.cancel()

    p: Pipeline[Any, Any] = Pipeline("p")
    await p.submit({}, store=store, run_id="r")
    async with trio.open_nursery() as nursery:
        await work(store, [p], on_end=on_end)
    assert told == [("r", 2)]
