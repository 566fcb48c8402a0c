"""`MemoryStore` as a process that can die: every call comes to Trio first, and a store that has crashed takes none."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from junk import named, wrong

from trio_steps import ConfigError, Pipeline
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


@pytest.mark.parametrize(
    ("fails", "at_each_save"),
    [
        pytest.param(False, [[], ["interrupted"], ["interrupted"], ["interrupted"], ["finished"]], id="succeeds"),
        pytest.param(True, [[], ["interrupted"], ["interrupted"], ["failed"]], id="fails"),
    ],
)
async def test_run_that_dies_does_not_log_that_its_end_is_not_saved(
    fails: bool, at_each_save: list[list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    def step() -> None:
        if fails:
            raise ValueError("bad")

    p = Pipeline("p").step("a", lambda: {"a": 1}).step("b", step)
    statuses: list[list[str]] = []
    for number in range(len(at_each_save)):
        store = MemoryStore(crash_at=number)
        with suppress(StoreCrashedError, ValueError):
            await p.run({}, store=store, run_id="r")
        store.restart()
        statuses.append([record.status for record in await store.runs()])
    assert statuses == at_each_save
    assert [record.message for record in caplog.records] == []


async def test_store_that_was_restarted_does_not_crash_again() -> None:
    store = MemoryStore(crash_at=0)
    with pytest.raises(StoreCrashedError, match="at save number 0"):
        await written(store)
    store.restart()
    await written(store)
    assert (store.saves, store.crash_at) == (1, None)


async def test_store_crashes_at_the_save_with_the_number_however_large() -> None:
    store = MemoryStore(crash_at=int("1000"))
    async with store.claim("r") as claim:
        for _ in range(1000):
            await claim.write(CHANGE)
        with pytest.raises(StoreCrashedError, match="at save number 1000"):
            await claim.write(CHANGE)
    assert store.saves == 1000


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


# Who has a run, and who can take it


async def submit(store: MemoryStore, *run_ids: str, pipeline: str = "p") -> None:
    for run_id in run_ids:
        assert await store.submit(run_id, RunChange(pipeline=pipeline, status="submitted"))


async def taken(store: MemoryStore, **options: Any) -> str | None:
    async with store.take({"p": (None,)}, **options) as claim:
        return None if claim is None else claim.run_id


def read_from_a_file(status: str) -> Any:
    """Return an equal text that is not the same object, as that of a store is."""
    return "".join(status)


@pytest.mark.parametrize(
    ("status", "after", "deaths"),
    [
        ("running", "interrupted", 1),
        ("waiting", "waiting", 0),
        ("submitted", "submitted", 0),
        ("stopped", "stopped", 0),
        ("failed", "failed", 0),
        ("finished", "finished", 0),
    ],
)
async def test_only_a_run_that_is_running_dies_with_its_owner(status: str, after: str, deaths: int) -> None:
    store = MemoryStore()
    async with store.claim("r") as claim:
        await claim.write(RunChange(pipeline="p", status=read_from_a_file(status)))
        store.lose("r")
    [record] = await store.runs()
    assert (record.status, record.deaths) == (after, deaths)


async def test_take_gives_each_run_to_one_the_one_that_was_written_first_before_others() -> None:
    store = MemoryStore()
    await submit(store, "first", "second", "third")
    await trio.sleep(1)
    async with store.claim("first") as claim:
        await claim.write(CHANGE)
    async with store.take({"p": (None,)}) as one, store.take({"p": (None,)}) as two, store.take({"p": (None,)}) as last:
        assert one is not None
        assert two is not None
        assert last is not None
        assert (one.run_id, two.run_id, last.run_id) == ("second", "third", "first")
    assert await taken(store) == "second"


async def test_take_looks_behind_runs_that_are_not_for_it() -> None:
    store = MemoryStore()
    await submit(store, "other", pipeline="q")
    await submit(store, "claimed", "mine")
    async with store.claim("claimed"):
        assert await taken(store) == "mine"


async def died(store: MemoryStore, run_id: str, times: int, **last: Any) -> None:
    for _ in range(times):
        async with store.claim(run_id) as claim:
            await claim.write(RunChange(pipeline="p", status="running"))
            store.lose(run_id)
    if last:
        async with store.claim(run_id) as claim:
            await claim.write(RunChange(pipeline="p", **last))


@pytest.mark.parametrize("max_deaths", [1, 2, 3])
async def test_run_that_so_many_processes_or_more_have_died_of_is_failed_and_others_are_taken(max_deaths: int) -> None:
    store = MemoryStore()
    await died(store, "deadly", 2)
    await submit(store, "mine")
    expected = "deadly" if max_deaths == 3 else "mine"
    assert await taken(store, max_deaths=max_deaths) == expected
    statuses = {record.run_id: record.status for record in await store.runs()}
    if max_deaths == 3:
        assert statuses == {"deadly": "interrupted", "mine": "submitted"}
    else:
        assert statuses == {"deadly": "failed", "mine": "interrupted"}  # it was taken, and given back as it was


async def test_run_that_was_answered_is_taken_whatever_has_died_of_it() -> None:
    store = MemoryStore()
    await died(store, "r", 2, status=read_from_a_file("waiting"), waiting={"ask": None})
    assert await taken(store, max_deaths=1) is None
    await store.write_answers("r", {"ask": "1"})
    assert await taken(store, max_deaths=1) == "r"


async def test_run_that_waits_is_taken_at_the_very_moment_when_its_time_is_over() -> None:
    store = MemoryStore()
    async with store.claim("r") as claim:
        until = store.now() + timedelta(seconds=10)
        await claim.write(RunChange(pipeline="p", status="waiting", waiting={"ask": until, "more": None}))
    await trio.sleep(9)
    assert await taken(store) is None
    await trio.sleep(1)
    assert await taken(store) == "r"
    await trio.sleep(1)
    assert await taken(store) == "r"


async def test_delete_of_a_run_that_is_not_there_says_so_even_if_someone_has_claimed_it() -> None:
    store = MemoryStore()
    async with store.claim("r"):
        with pytest.raises(KeyError, match="there is no run 'r' in the store"):
            await store.delete("r")


def test_wrong_number_of_the_save_at_which_it_crashes_is_refused() -> None:
    right = "0 1 huge none"
    for value in wrong(right):
        with pytest.raises(ConfigError, match=r"^crash_at=.*: give the number of a save, 0 or more$"):
            MemoryStore(crash_at=value)
    for value in named(right):
        MemoryStore(crash_at=value)
