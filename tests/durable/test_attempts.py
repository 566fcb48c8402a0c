"""The number of failed attempts is stored: a run that continues after a crash does not start counting again."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from trio_steps import AttemptStarted, Pipeline, Retry, current_scope, step
from trio_steps.testing import MemoryStore, StoreCrashedError

TRIES = Retry(3, delay=1)


class Busy:
    """A step that fails in every attempt except number `good`, and records the attempts."""

    def __init__(self, good: int = 99) -> None:
        self.attempts: list[int] = []
        self.good = good

    def __call__(self) -> dict[str, int]:
        attempt = current_scope().attempt
        self.attempts.append(attempt)
        if attempt != self.good:
            raise OSError(f"busy {attempt}")
        return {"receipt": attempt}


def as_step(busy: Busy) -> Pipeline:
    return Pipeline("p").step("charge", busy, retry=TRIES)


def as_step_with_a_retry_of_its_own(busy: Busy) -> Pipeline:
    return Pipeline("p").step("charge", step(busy, retry=TRIES, id="busy"))


def as_member(busy: Busy) -> Pipeline:
    return Pipeline("p").step("both", step(busy, retry=TRIES, id="charge"), step(lambda: {"x": 1}, id="x"))


def as_element(busy: Busy) -> Pipeline:
    async def each(n: int) -> dict[str, int]:
        return busy()

    return (
        Pipeline("p")
        .step("ns", lambda: {"ns": [7]})
        .for_each("each", step(each, retry=TRIES), over="ns", each="n", into="out")
    )


def as_pipeline(busy: Busy) -> Pipeline:
    inner = Pipeline("in").step("before", lambda: {"before": 1}).step("charge", busy)
    # the attempts are those of the outer step
    return Pipeline("p").step("in", inner.step("after", lambda: {"after": 1}), retry=TRIES)


WAYS = [as_step, as_step_with_a_retry_of_its_own, as_member, as_element]


async def run(pipeline: Pipeline, store: MemoryStore) -> str:
    """Run the pipeline, and return the status of the run."""
    with suppress(OSError, ExceptionGroup, StoreCrashedError):
        await pipeline.run({}, store=store, run_id="r")
    if store.saves == store.crash_at:
        store.restart()
    [record] = await store.runs()
    return record.status


@pytest.mark.parametrize("make", WAYS)
async def test_attempts_that_failed_before_a_crash_count(make) -> None:
    ended = "interrupted"
    crash_at = 0
    while ended == "interrupted":
        crash_at += 1
        busy = Busy()
        store = MemoryStore(crash_at=crash_at)
        ended = await run(make(busy), store)
        assert busy.attempts == sorted(set(busy.attempts))
        before = list(busy.attempts)
        if ended == "interrupted":
            assert await run(make(busy), store) == "failed"
            # the last attempt is made again if the crash came before its failure was stored
            assert busy.attempts in ([*before, *range(len(before) + 1, 4)], [*before, *range(len(before), 4)])
    assert busy.attempts == [1, 2, 3]


@pytest.mark.parametrize("make", WAYS)
async def test_attempt_that_the_process_dies_in_does_not_count(make) -> None:
    store = MemoryStore()

    class Dies(Busy):
        def __call__(self) -> dict[str, int]:
            if current_scope().attempt == 2 and len(self.attempts) == 1:
                self.attempts.append(2)
                scope.cancel()  # as if the process died here
            return super().__call__()

    busy = Dies(good=3)
    p = make(busy)
    with trio.CancelScope() as scope:
        await run(p, store)
    assert scope.cancelled_caught
    assert busy.attempts == [1, 2, 2]
    assert await run(p, store) == "finished"
    assert busy.attempts == [1, 2, 2, 2, 3]


async def test_run_that_failed_has_all_attempts_again() -> None:
    busy, store = Busy(), MemoryStore()
    p = as_step(busy)
    assert [await run(p, store), await run(p, store)] == ["failed", "failed"]
    assert busy.attempts == [1, 2, 3, 1, 2, 3]


async def test_attempts_are_told_by_the_store_while_they_count() -> None:
    store = MemoryStore()
    told = []

    async def tell() -> None:
        told.append((trio.current_time(), (await store.load("r")).attempts))

    async def busy() -> None:
        await tell()
        raise OSError("busy")

    with pytest.raises(OSError, match="busy"):
        await Pipeline("p").step("charge", busy, retry=TRIES).run({}, store=store, run_id="r")
    assert told == [(0, {}), (1, {"charge": 1}), (2, {"charge": 2})]
    assert (await store.load("r")).attempts == {"charge": 2}


async def test_attempts_of_elements_are_told_by_their_names() -> None:
    store = MemoryStore()
    await run(as_element(Busy()), store)
    assert (await store.load("r")).attempts == {"each/1": 2}


async def test_retry_that_allows_fewer_attempts_now_makes_one_more() -> None:
    busy, store = Busy(), MemoryStore(crash_at=3)
    assert await run(as_step(busy), store) == "interrupted"
    assert await run(Pipeline("p").step("charge", busy, retry=Retry(2)), store) == "failed"
    assert busy.attempts == [1, 2, 3, 2]


async def test_what_a_failed_attempt_did_is_done_again_also_after_a_crash() -> None:
    ran: list[str] = []

    def note(name: str):
        return lambda: ran.append(name)

    def charge() -> None:
        ran.append("charge")
        if ran.count("charge") < 2:
            raise OSError("busy")

    inner = Pipeline("in").step("before", note("before")).step("charge", charge)
    p = Pipeline("p").step("in", inner, retry=TRIES)
    store = MemoryStore(crash_at=3)  # at the first step of the second attempt
    assert await run(p, store) == "interrupted"
    assert ran == ["before", "charge", "before"]
    assert (await store.load("r")).attempts == {"in": 1}
    assert await run(p, store) == "finished"
    assert ran == ["before", "charge", "before", "before", "charge"]


async def test_inner_retry_of_a_step_counts_anew_in_each_attempt_of_the_outer_one() -> None:
    busy, store = Busy(), MemoryStore(crash_at=2)
    p = Pipeline("p").step("charge", step(busy, retry=Retry(2), id="inner"), retry=Retry(2))
    assert await run(p, store) == "interrupted"  # after the last attempt had failed
    assert (busy.attempts, (await store.load("r")).attempts) == ([1, 2, 1, 2], {"charge": 1})
    assert await run(p, store) == "failed"
    assert busy.attempts == [1, 2, 1, 2, 1, 2]


async def test_attempts_in_a_race_are_not_kept() -> None:
    store = MemoryStore()
    busy = Busy(good=3)
    p = Pipeline("p").step("race", step(busy, retry=TRIES, id="busy"), trio.sleep_forever, mode="race")
    assert await run(p, store) == "finished"
    assert (busy.attempts, store.saves) == ([1, 2, 3], 3)


async def test_observers_are_told_the_number_that_goes_on() -> None:
    store = MemoryStore(crash_at=2)
    p = as_step(Busy(good=2))
    assert await run(p, store) == "interrupted"
    events = []
    await p.run({}, store=store, run_id="r", observers=[events.append])
    assert [event.attempt for event in events if isinstance(event, AttemptStarted)] == [2]
