"""No step begins once the claim of its run may have expired, and a worker that has the run then is left alone."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from trio_steps import Pipeline, Retry
from trio_steps.store import RunClaimedError, work
from trio_steps.testing import MemoryStore, _stores


class Claims:
    """Every claim, all of which can be made to expire."""

    def __init__(self, monkeypatch):
        self.are_over = False
        monkeypatch.setattr(_stores._Claim, "check", self.check)

    def check(self):
        if self.are_over:
            raise RunClaimedError("r")

    def run_out(self):
        self.are_over = True


def never():
    pytest.fail("it must not begin")


def after_a_step(claims):
    return Pipeline("p").step("one", claims.run_out).step("two", never, on_error="continue")


def among_members(claims):
    second = Pipeline("second").step("wait", partial(trio.sleep, 1)).step("never", never)
    return Pipeline("p").step("both", claims.run_out, second)


def at_the_second_member(claims):
    return Pipeline("p").step("both", claims.run_out, never, concurrency=1)


def at_the_second_element(claims):
    def run_out(n):
        if claims.are_over:
            never()
        claims.run_out()

    return Pipeline("p").for_each("each", run_out, over="numbers", each="n", into="done", concurrency=1)


def at_the_second_attempt(claims):
    def fail():
        if claims.are_over:
            never()
        trio.lowlevel.spawn_system_task(run_out_later)
        raise OSError("try again")

    async def run_out_later():
        await trio.sleep(1)
        claims.run_out()

    return Pipeline("p").step("fail", fail, retry=Retry(3, delay=2))


@pytest.mark.parametrize(
    "make", [after_a_step, among_members, at_the_second_member, at_the_second_element, at_the_second_attempt]
)
async def test_nothing_begins_once_the_claim_has_run_out(make, monkeypatch):
    claims = Claims(monkeypatch)
    pipeline = make(claims)
    with pytest.RaisesGroup(RunClaimedError, allow_unwrapped=True, flatten_subgroups=True):
        await pipeline.run({"numbers": [1, 2]}, store=MemoryStore(), run_id="r")


async def test_worker_that_has_lost_a_run_leaves_it_alone_and_logs_nothing(caplog):
    store = MemoryStore()
    sleeps = Pipeline("p").step("sleep", trio.sleep_forever)
    ends = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(work, store, [sleeps], on_end=lambda *end: ends.append(end)))
        await sleeps.submit(store=store, run_id="r")
        await trio.sleep(1)
        async with trio.open_nursery() as other:
            store.lose("r")
            async with store.claim("r") as claim:
                await trio.sleep(1)
                claim.check()
            other.cancel_scope.cancel()
        nursery.cancel_scope.cancel()
    [(run_id, status, error)] = ends
    assert (run_id, status) == ("r", "running")
    assert isinstance(error, RunClaimedError)
    assert caplog.messages == []


async def test_claim_of_memory_that_was_lost_says_so():
    store = MemoryStore()
    async with store.claim("r") as claim:
        claim.check()
        store.lose("r")
        with pytest.raises(RunClaimedError):
            claim.check()
