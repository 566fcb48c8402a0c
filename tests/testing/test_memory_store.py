"""`MemoryStore` as a process that can die: every call comes to Trio first, and a store that has crashed takes none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from trio_steps.store import RunChange, RunClaimedError
from trio_steps.testing import MemoryStore, StoreCrashedError

if TYPE_CHECKING:
    from collections.abc import Callable

CHANGE = RunChange(pipeline="p", status="running")


async def claims(store: MemoryStore) -> None:
    async with store.claim("r"):
        pass


async def takes(store: MemoryStore) -> None:
    async with store.take({"p": (None,)}):
        pass


CALLS: dict[str, Callable[[MemoryStore], Any]] = {
    "claim": claims,
    "take": takes,
    "read": lambda store: store.read("r"),
    "runs": lambda store: store.runs(),
    "delete": lambda store: store.delete("r"),
    "write_answers": lambda store: store.write_answers("r", {"ask": "1"}),
    "cancel": lambda store: store.cancel("r"),
    "submit": lambda store: store.submit("new", CHANGE),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


async def written(store: MemoryStore) -> None:
    async with store.claim("r") as claim:
        await claim.write(CHANGE)


@each_call
async def test_call_is_a_checkpoint(call: Callable[[MemoryStore], Any]) -> None:
    store = MemoryStore()
    await written(store)
    with trio.testing.assert_checkpoints():
        await call(store)


@each_call
async def test_call_that_is_cancelled_does_nothing(call: Callable[[MemoryStore], Any]) -> None:
    store = MemoryStore()
    await written(store)
    before = await store.read("r")
    with trio.CancelScope() as scope:
        scope.cancel()
        await call(store)
    assert scope.cancelled_caught
    assert await store.read("r") == before
    assert [record.run_id for record in await store.runs()] == ["r"]


@each_call
async def test_store_that_has_crashed_takes_no_call_until_it_is_restarted(call: Callable[[MemoryStore], Any]) -> None:
    store = MemoryStore(crash_at=1)
    async with store.claim("r") as claim:
        await claim.write(CHANGE)
        with pytest.raises(StoreCrashedError, match=r"^the process died at save number 1$"):
            await claim.write(CHANGE)
        with pytest.raises(StoreCrashedError, match=r"^the process has died; store.restart\(\) restarts it$"):
            await claim.write(CHANGE)
        with pytest.raises(StoreCrashedError, match="has died"):
            await claim.read()
    with pytest.raises(StoreCrashedError, match="has died"):
        await call(store)
    store.restart()
    assert [(record.status, record.deaths) for record in await store.runs()] == [("interrupted", 1)]
    await call(store)


async def test_claim_that_is_lost_refuses_what_it_is_asked() -> None:
    store = MemoryStore()
    async with store.claim("r") as claim:
        claim.check()
        await claim.write(CHANGE)
        store.lose("r")
        with pytest.raises(RunClaimedError):
            claim.check()
        with pytest.raises(RunClaimedError):
            await claim.write(CHANGE)
        with pytest.raises(RunClaimedError):
            await claim.wait_cancelled()
    assert store.saves == 1


async def test_time_of_a_store_is_that_of_trio_from_the_year_2000_on() -> None:
    store = MemoryStore()
    await trio.sleep(90)
    async with store.claim("r") as claim:
        assert claim.now() == store.now() == datetime(2000, 1, 1, 0, 1, 30, tzinfo=UTC)
