"""A store whose runs are executed by workers only: `run` submits, and waits until a worker has run it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest
import trio
from memory_queue import MemoryQueue

from trio_steps import CheckpointError, ConfigError, Pipeline, current_scope
from trio_steps._pipeline.run.queue import _goes_on
from trio_steps.store import (
    AnswerError,
    RunCancelledError,
    RunClaimedError,
    RunFailedError,
    StoreError,
    work,
)


@asynccontextmanager
async def worker(store, *pipelines):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(work, store, pipelines, on_end=lambda *_: None))
        yield
        nursery.cancel_scope.cancel()


@dataclass
class Doubled:
    n: int


def stop(event):
    event.stop()


double = Pipeline("double").step("double", lambda n: {"n": 2 * n})
order = (
    Pipeline("order")
    .step("charge", lambda: {"receipt": "R-1"})
    .wait_for("approval", provides="approved", of=bool)
    .step("ship", lambda approved: {"shipped": approved})
)


async def test_run_is_done_by_a_worker():
    store = MemoryQueue()
    async with worker(store, double):
        assert await double.run({"n": 4}, store=store, run_id="r") == {"n": 8}
        assert await double.run(store=store, run_id="r") == {"n": 8}
        assert await double.run({"n": 4}, store=store, run_id="r") == {"n": 8}
    assert [record.status for record in await store.runs()] == ["finished"]


async def test_result_is_what_outputs_says():
    store = MemoryQueue()
    tidy = double.outputs(Doubled)
    async with worker(store, tidy):
        assert await tidy.run({"n": 4}, store=store, run_id="r") == Doubled(8)


async def test_run_without_input_is_submitted():
    store = MemoryQueue()
    one = Pipeline("one").step("one", lambda: {"n": 1})
    async with worker(store, one):
        assert await one.run(store=store, run_id="r") == {"n": 1}


async def test_run_with_other_inputs_or_of_another_pipeline_is_an_error():
    store = MemoryQueue()
    assert await double.submit({"n": 4}, store=store, run_id="r")
    with pytest.raises(CheckpointError, match="other inputs"):
        await double.run({"n": 5}, store=store, run_id="r")
    with pytest.raises(CheckpointError, match="of the pipeline 'double', not of 'order'"):
        await order.run(store=store, run_id="r")


async def test_failure_is_told_in_words_and_the_next_call_goes_on():
    store = MemoryQueue()
    ran = []

    def fail(n):
        if len(ran) == 2:
            raise ValueError(f"{n} is no good")
        return {"n": n + 1}

    pipeline = Pipeline("p").step("note", lambda: ran.append(1)).step("more", lambda: ran.append(2)).step("fail", fail)
    async with worker(store, pipeline):
        with pytest.raises(RunFailedError) as caught:
            await pipeline.run({"n": 4}, store=store, run_id="r")
        ran.append(3)
        assert await pipeline.run(store=store, run_id="r") == {"n": 5}
    assert caught.value.run_id == "r"
    assert caught.value.error == "ValueError: 4 is no good\nin step 'fail'"
    assert str(caught.value).startswith("the run 'r' has failed where it was run: ValueError: 4 is no good")
    assert ran == [1, 2, 3]


async def test_run_that_waits_returns_the_context_then():
    store = MemoryQueue()
    async with worker(store, order):
        partial_context = await order.run(store=store, run_id="r")
        assert partial_context == {"receipt": "R-1"}
        assert await order.run(store=store, run_id="r") == partial_context
        done = await order.run(store=store, run_id="r", answers={"approved": True})
    assert done == {"receipt": "R-1", "approved": True, "shipped": True}


async def test_run_that_waits_inside_of_steps_returns_what_is_done_around_them():
    store = MemoryQueue()
    inner = Pipeline("inner").step("note", lambda: {"noted": 1}).wait_for("agreed", provides="agreed", of=bool)
    outer = Pipeline("outer").step("first", lambda: {"first": 1}).step(inner).step("last", lambda agreed: {"last": 1})
    async with worker(store, outer):
        assert await outer.run(store=store, run_id="r") == {"first": 1}
        done = await outer.run(store=store, run_id="r", answers={"inner/agreed": True})
    assert done == {"first": 1, "noted": 1, "agreed": True, "last": 1}


async def test_run_whose_time_to_wait_is_over_goes_on():
    store = MemoryQueue()
    slow = Pipeline("slow").wait_for("ok", provides="ok", of=bool, timeout=10, on_error="continue")
    async with worker(store, slow):
        assert await slow.run(store=store, run_id="r") == {}
        await trio.sleep(10)
        assert await slow.run(store=store, run_id="r") == {}
    assert [record.status for record in await store.runs()] == ["finished"]


async def test_run_that_a_hook_stopped_returns_the_context_then_and_goes_on():
    store = MemoryQueue()
    steps = Pipeline("steps").step("one", lambda: {"one": 1}).step("two", lambda: {"two": 2})
    stopping = Pipeline("steps", on_step_complete=stop).step("one", lambda: {"one": 1}).step("two", lambda: {"two": 2})
    async with worker(store, stopping):
        assert await steps.run(store=store, run_id="r") == {"one": 1}
    async with worker(store, steps):
        assert await steps.run(store=store, run_id="r") == {"one": 1, "two": 2}


async def test_run_that_was_cancelled_is_an_error():
    store = MemoryQueue()
    await double.submit({"n": 4}, store=store, run_id="r")
    assert await store.cancel("r")
    with pytest.raises(RunCancelledError):
        await double.run(store=store, run_id="r")


async def test_cancelling_the_caller_leaves_the_run_going():
    store = MemoryQueue()
    with trio.move_on_after(1) as scope:
        await double.run({"n": 4}, store=store, run_id="r")
    assert scope.cancelled_caught
    async with worker(store, double):
        assert await double.run(store=store, run_id="r") == {"n": 8}


async def test_who_waits_for_a_worker_is_told_once_that_there_may_be_none(caplog):
    store = MemoryQueue()
    with trio.move_on_after(60):
        await double.run({"n": 4}, store=store, run_id="r")
    [warning] = caplog.messages
    assert warning == (
        "the run 'r' waits for a worker, and none has taken it for 5 s: does one work for the pipeline 'double'?"
    )


async def test_answers_that_nobody_asks_for_are_refused_before_anything_is_saved():
    store = MemoryQueue()
    with pytest.raises(AnswerError, match="asks for bool, not for 1"):
        await order.run(store=store, run_id="r", answers={"approved": 1})
    assert await store.runs() == ()


@pytest.mark.parametrize(
    "given", [{"observers": [print]}, {"state": {"n": 1}}, {"on_step_complete": print}, {"on_error": print}]
)
async def test_what_belongs_to_the_worker_is_refused(given):
    [name] = given
    with pytest.raises(ConfigError, match=rf"run\(store=MemoryQueue\(\), {name}=…\): a worker runs this run"):
        await double.run({"n": 4}, store=MemoryQueue(), run_id="r", **given)


async def test_run_can_not_be_claimed_by_its_id():
    with pytest.raises(StoreError, match=r"MemoryQueue\(\) gives a run to whichever worker is free, so the run 'r'"):
        MemoryQueue().claim("r")


async def test_step_is_marked_as_done_where_nobody_runs_the_run():
    store = MemoryQueue()
    await order.submit(store=store, run_id="r")
    store.changed.append("approval")  # an answer arrives at that very moment
    await store.mark_done("r", "charge", {"receipt": "by hand"})
    async with worker(store, order):
        done = await order.run(store=store, run_id="r")
    assert done == {"receipt": "by hand", "approved": True, "shipped": True}
    with pytest.raises(ConfigError, match="give a mapping"):
        await store.mark_done("r", "charge", {1: 2})


async def test_step_is_not_marked_as_done_while_the_run_is_running():
    store = MemoryQueue()
    running = Pipeline("running").step("sleep", partial(trio.sleep, 5)).step("after", lambda: None)
    async with worker(store, running):
        await running.submit(store=store, run_id="r")
        await trio.sleep(1)
        with pytest.raises(RunClaimedError):
            await store.mark_done("r", "after")


async def test_scope_of_the_caller_is_its_own():
    store = MemoryQueue()
    seen = []
    looks = Pipeline("looks").step("look", lambda: seen.append(current_scope().run_id))
    async with worker(store, looks):
        await looks.run(store=store, run_id="r")
    assert seen == ["r"]


@pytest.mark.parametrize("is_waiting", [False, True], ids=["submitted", "waiting"])
async def test_answer_by_the_new_name_of_a_step_is_kept_before_a_worker_knows_that_name(is_waiting):
    store = MemoryQueue()
    asks = Pipeline("each").step("see", lambda n: None).wait_for("approval", provides="ok", of=bool)
    asks_now = Pipeline("each").step("see", lambda n: None).wait_for("sign-off", provides="ok", of=bool, was="approval")
    old, new = (
        Pipeline("p")
        .wait_for(name, provides="first", of=bool, was=was)
        .for_each("items", each, over="ns", each="n", into="out")
        for name, was, each in (("start", (), asks), ("begin", "start", asks_now))
    )
    await old.submit({"ns": [1, 2]}, store=store, run_id="r")
    if is_waiting:
        async with worker(store, old):
            await old.run(store=store, run_id="r")
    with pytest.raises(AnswerError, match="no step of the run 'r' asks for 'start'; it asks for 'begin', 'items"):
        await new.run(store=store, run_id="r", answers={"start": 1, "begin": True})
    with trio.move_on_after(1):
        await new.run(store=store, run_id="r", answers={"begin": True, "items/1/sign-off": False})
    stored = await store.read("r")
    assert stored.answers == {"start": "true", "items/1/approval": "false"}
    async with worker(store, new):
        await new.run(store=store, run_id="r")
        assert [*(await store.look("r")).waiting] == ["items/2/sign-off"]
        result = await new.run(store=store, run_id="r", answers={"ok": True})
    assert [each["ok"] for each in result["out"]] == [False, True]


async def test_answer_to_a_question_that_only_the_new_pipeline_asks_is_kept_under_its_name():
    store = MemoryQueue()
    old = Pipeline("p").wait_for("first", provides="a")
    new = Pipeline("p").wait_for("first", provides="a").wait_for("second", provides="b")
    await old.submit({}, store=store, run_id="r")
    async with worker(store, new):
        assert await new.run(store=store, run_id="r", answers={"first": 1, "second": 2}) == {"a": 1, "b": 2}


async def test_run_that_waits_is_at_rest_until_the_moment_of_its_timeout():
    store = MemoryQueue()
    p = Pipeline("p").wait_for("ask", provides="x", timeout=60.0)
    await p.submit({}, store=store, run_id="r")
    async with worker(store, p):
        await p.run(store=store, run_id="r")
    stored = await store.read("r")
    assert stored.record.status == "waiting"
    until = stored.record.waiting["ask"]
    for early, goes_on in ((timedelta(microseconds=1), False), (timedelta(0), True), (timedelta(seconds=-1), True)):
        store.now = lambda early=early: until - early
        assert _goes_on(store, stored) is goes_on
