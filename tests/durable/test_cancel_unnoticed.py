"""A cancelled run ends as cancelled even if it or its process ends before it has noticed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from trio_steps import Pipeline
from trio_steps.store import RunChange, RunStatus, RunStore, SqliteStore, work
from trio_steps.testing import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path


def memory(_: Path) -> RunStore:
    return MemoryStore()


def sqlite(directory: Path) -> RunStore:
    return SqliteStore(directory / "runs.db", synchronous="normal")


@pytest.fixture(
    params=[memory, sqlite],
    ids=["memory", "sqlite"],
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RunStore:
    return cast("RunStore", request.param(tmp_path))


async def status(store: RunStore) -> str:
    [record] = await store.runs()
    return record.status


async def take(store: RunStore) -> str | None:
    async with store.take({"p": (None,)}) as claim:
        return None if claim is None else claim.run_id


@pytest.mark.parametrize("end", ["running", "waiting", "stopped"])
async def test_run_that_ends_before_it_has_noticed_is_cancelled(store: RunStore, end: RunStatus) -> None:
    async with store.claim("r") as claim:
        await claim.write(RunChange(pipeline="p", status="running"))
        assert await store.cancel("r")
        await claim.write(RunChange(pipeline="p", status=end, waiting={"ask": None}))
    [record] = await store.runs()
    assert (record.status, record.waiting) == ("cancelled", {})
    assert not await store.cancel("r")
    assert await take(store) is None


@pytest.mark.parametrize("end", ["finished", "failed"])
async def test_run_that_is_over_before_it_has_noticed_is_what_it_is(store: RunStore, end: RunStatus) -> None:
    async with store.claim("r") as claim:
        await claim.write(RunChange(pipeline="p", status="running"))
        assert await store.cancel("r")
        await claim.write(RunChange(pipeline="p", status=end))
    assert await status(store) == end


async def test_run_of_a_worker_that_is_stopped_before_it_has_noticed_is_cancelled(store: RunStore) -> None:
    async def cancelled() -> None:
        assert await store.cancel("r")
        nursery.cancel_scope.cancel()
        await trio.sleep_forever()

    p: Pipeline[Any, Any] = Pipeline("p").step("a", cancelled)
    await p.submit({}, store=store, run_id="r")
    async with trio.open_nursery() as nursery:
        await work(store, [p])
    assert await status(store) == "cancelled"
    assert await take(store) is None


async def test_run_whose_process_is_said_to_have_died_before_it_has_noticed_is_cancelled() -> None:
    store = MemoryStore()
    async with store.claim("r") as claim:
        await claim.write(RunChange(pipeline="p", status="running"))
        assert await store.cancel("r")
        store.restart()
    [record] = await store.runs()
    assert (record.status, record.deaths) == ("cancelled", 1)


DIES = """
import sys, time
import trio
from trio_steps.store import RunChange, SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    async with store.claim("r") as claim:
        await claim.write(RunChange(pipeline="p", status="running"))
        print("running", flush=True)
        time.sleep(600)  # so that nothing here notices

trio.run(main)
"""


async def test_run_whose_process_dies_before_it_has_noticed_is_cancelled_and_can_go_on(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "runs.db", synchronous="normal")
    with subprocess.Popen([sys.executable, "-c", DIES, store.path], stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            assert await store.cancel("r")
            assert await status(store) == "running"
        finally:
            process.kill()
    [record] = await store.runs()
    assert (record.status, record.deaths) == ("cancelled", 1)
    assert await take(store) is None
    assert not await store.cancel("r")
    async with store.claim("r") as claim:  # a worker that claims it anyway can run it
        await claim.write(RunChange(pipeline="p", status="running"))
        with trio.move_on_after(1) as scope:
            await claim.wait_cancelled()
        assert scope.cancelled_caught
    assert (await status(store), await take(store)) == ("interrupted", "r")
