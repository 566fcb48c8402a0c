"""What is left of a run whose process died, and what may be done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from crashing_store import DiedError, Process

from trio_steps import Pipeline
from trio_steps.store import RunChange, RunStatus, RunStore, SqliteStore
from trio_steps.testing import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path


def memory(_: Path) -> RunStore:
    return MemoryStore()


def sqlite(directory: Path) -> RunStore:
    return SqliteStore(directory / "runs.db", synchronous="normal")


@pytest.fixture(params=[memory, sqlite], ids=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RunStore:
    return cast("RunStore", request.param(tmp_path))


def died(store: RunStore, process: Process) -> None:
    """Let the process of a store die, and another one have the store."""
    process.die()
    if isinstance(store, MemoryStore):
        store.restart()


async def dies(store: RunStore, *, before: RunStatus = "running", cancelled: bool = False, writes: bool = True) -> None:
    """Let a process die that has the run ``r``, which was `before`."""
    process = Process(store, "r", {})
    if before != "running":
        await found(store, before)
    async with process.claim("r") as claim:
        if writes:
            await claim.write(RunChange(pipeline="p", status="running"))
        if cancelled:
            assert await store.cancel("r")
        died(store, process)
    await process.bury()


async def found(store: RunStore, status: RunStatus) -> None:
    """Put the run ``r`` into the store, with `status`."""
    if status == "submitted":
        await store.submit("r", RunChange(pipeline="p", status="submitted"))
    elif status == "interrupted":
        await dies(store)
    else:
        async with store.claim("r") as claim:
            await claim.write(RunChange(pipeline="p", status=status, waiting={"ask": None}))


async def state(store: RunStore) -> tuple[str, int]:
    [record] = await store.runs()
    stored = await store.read("r")
    assert stored is not None
    assert stored.record == record
    return record.status, record.deaths


async def taken(store: RunStore) -> str | None:
    async with store.take({"p": (None,)}) as claim:
        return None if claim is None else claim.run_id


async def test_death_is_still_counted_after_the_run_is_cancelled(store: RunStore) -> None:
    await dies(store)
    assert await state(store) == ("interrupted", 1)
    assert await store.cancel("r")
    assert await state(store) == ("cancelled", 1)
    assert not await store.cancel("r")
    assert await state(store) == ("cancelled", 1)
    assert await taken(store) is None


async def test_death_in_a_pipeline_is_still_counted_after_the_run_is_cancelled(store: RunStore) -> None:
    async def a() -> None:
        died(store, process)

    p = Pipeline("p").step("a", a)
    process = Process(store, "r", {})
    with pytest.raises(DiedError):
        await p.run(store=process, run_id="r")
    await process.bury()
    assert await state(store) == ("interrupted", 1)
    assert await store.cancel("r")
    assert await state(store) == ("cancelled", 1)


async def test_each_death_is_counted_once_whatever_looks_at_it(store: RunStore) -> None:
    for number in range(1, 4):
        await dies(store)
        for _ in range(2):
            assert await state(store) == ("interrupted", number)
    await dies(store, writes=False)
    assert await state(store) == ("interrupted", 4)
    async with store.claim("r") as claim:
        stored = await claim.read()
        assert stored is not None
        assert stored.record.deaths == 4
    assert await state(store) == ("interrupted", 4)


@pytest.mark.parametrize("before", ["submitted", "waiting", "stopped", "interrupted"])
@pytest.mark.parametrize("looked", [False, True], ids=["cancelled-again", "looked-at"])
async def test_run_that_is_cancelled_before_its_dead_process_has_written_anything_is_cancelled(
    store: RunStore, before: RunStatus, *, looked: bool
) -> None:
    await dies(store, before=before, cancelled=True, writes=False)
    deaths = 2 if before == "interrupted" else 0
    if looked:
        assert await state(store) == ("cancelled", deaths)
        [record] = await store.runs(status=("cancelled",))
        assert record.waiting == {}
    assert not await store.cancel("r")
    assert await state(store) == ("cancelled", deaths)
    await store.write_answers("r", {"ask": "true"})
    assert await taken(store) is None


async def taken_and_died(store: RunStore, max_deaths: int) -> str | None:
    """Let a worker die as soon as it has taken a run."""
    process = Process(store, "r", {})
    async with process.take({"p": (None,)}, max_deaths=max_deaths) as claim:
        found = None if claim is None else claim.run_id
        died(store, process)
    await process.bury()
    return found


@pytest.mark.parametrize("before", ["submitted", "waiting"])
async def test_run_whose_workers_die_before_they_write_anything_fails_after_so_many(
    store: RunStore, before: RunStatus
) -> None:
    await found(store, before)
    await store.write_answers("r", {"ask": "true"})
    for number in range(1, 4):
        assert await taken_and_died(store, 3) == "r"
        assert await state(store) == ("interrupted", number)
    assert await taken_and_died(store, 3) is None
    assert await state(store) == ("failed", 3)


@pytest.mark.parametrize("before", ["submitted", "waiting"])
async def test_run_that_a_worker_gives_back_before_it_has_written_anything_has_no_death(
    store: RunStore, before: RunStatus
) -> None:
    await found(store, before)
    await store.write_answers("r", {"ask": "true"})
    assert await taken(store) == await taken(store) == "r"
    assert await state(store) == ("interrupted", 0)


async def test_run_that_was_cancelled_stays_cancelled_if_the_next_process_dies_before_it_has_written_anything(
    store: RunStore,
) -> None:
    await dies(store, cancelled=True)
    await dies(store, writes=False)
    assert await state(store) == ("cancelled", 1)
    assert await taken(store) is None


async def test_run_that_failed_before_its_dead_process_was_told_to_cancel_it_can_be_cancelled(store: RunStore) -> None:
    process = Process(store, "r", {})
    async with process.claim("r") as claim:
        await claim.write(RunChange(pipeline="p", status="failed", error="no"))
        assert await store.cancel("r")
        died(store, process)
    await process.bury()
    assert await state(store) == ("failed", 0)
    assert await store.cancel("r")
    assert await state(store) == ("cancelled", 0)


async def test_finished_run_can_not_be_cancelled_even_before_it_is_released(store: RunStore) -> None:
    async with store.claim("r") as claim:
        await claim.write(RunChange(pipeline="p", status="finished"))
        assert not await store.cancel("r")
    assert await state(store) == ("finished", 0)
