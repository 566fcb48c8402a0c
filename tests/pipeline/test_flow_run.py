"""How a flow runs: each member starts as soon as the siblings that it takes keys from have ended."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TypedDict

import pytest
import trio

from trio_steps import (
    Checkpoint,
    ForkPartialError,
    KeyCollisionError,
    PathCancelledError,
    Pipeline,
    RateLimit,
    Retry,
    StepFailed,
    StepStarted,
    StepSucceeded,
    step,
)
from trio_steps.testing import RecordingObserver


class Work:
    """Functions that take time, and when each began."""

    def __init__(self):
        self.starts: dict[str, float] = {}

    def member(self, name, seconds, needs=(), error=None, **defaults):
        async def run(**keys):
            self.starts[name] = trio.current_time()
            await trio.sleep(seconds)
            if error is not None:
                raise error
            return {"from": keys}

        parameters = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY) for key in needs]
        parameters += [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default) for key, default in defaults.items()
        ]
        run.__signature__ = inspect.Signature(parameters)
        return step(run, id=name, provides=name)


def classic(work):
    return (
        work.member("a", 1),
        work.member("b", 5),
        work.member("c", 3, ["a"]),
        work.member("d", 3, ["a", "b"]),
        work.member("e", 3, ["c"]),
    )


async def test_member_starts_as_soon_as_its_keys_are_there() -> None:
    work = Work()
    p = Pipeline("p").step("all", *classic(work), mode="flow")
    result = await p.run({})
    assert trio.current_time() == 8
    assert work.starts == {"a": 0, "b": 0, "c": 1, "e": 4, "d": 5}
    assert list(result) == ["a", "b", "c", "d", "e"]
    assert result["d"] == {"from": {"a": {"from": {}}, "b": {"from": {}}}}


async def test_order_of_the_members_does_not_matter() -> None:
    work = Work()
    p = Pipeline("p").step("all", *reversed(classic(work)), mode="flow")
    await p.run({})
    assert trio.current_time() == 8
    assert work.starts == {"a": 0, "b": 0, "c": 1, "e": 4, "d": 5}


async def test_duration_of_a_member_counts_from_its_start() -> None:
    seen, told = RecordingObserver(), []
    p = Pipeline("p").step("all", *classic(Work()), mode="flow")
    await p.run({}, observers=[seen], on_step_complete=lambda event: told.append((event.name, event.duration)))
    assert {event.name: (event.time, event.duration) for event in seen.of(StepSucceeded)}["all/d"] == (8, 3)
    assert dict(told) == {"all/a": 1, "all/b": 5, "all/c": 3, "all/d": 3, "all/e": 3, "all": 8}
    assert {event.name: event.time for event in seen.of(StepStarted)}["all/e"] == 4


async def test_member_that_waits_holds_no_slot() -> None:
    """There are two slots: if the waiting member held one, the other two would run one after the other."""
    work = Work()
    members = work.member("last", 1, ["one", "two"]), work.member("one", 2), work.member("two", 3)
    await Pipeline("p").step("all", *members, mode="flow", concurrency=2).run({})
    assert work.starts == {"one": 0, "two": 0, "last": 3}
    assert trio.current_time() == 4


async def test_member_that_waits_holds_no_token_of_a_limiter() -> None:
    work, limiter = Work(), trio.CapacityLimiter(1)
    members = work.member("last", 1, ["one"]), work.member("one", 2)
    p = Pipeline("p").step("all", *members, mode="flow", concurrency=limiter)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(p.run, {})
        await trio.sleep(1)
        assert limiter.borrowed_tokens == 1
        await trio.sleep(1.5)
        assert limiter.borrowed_tokens == 1
    assert limiter.borrowed_tokens == 0
    assert trio.current_time() == 3


async def test_timeouts_of_a_member_count_from_its_start() -> None:
    """It waits five seconds for its key, and then takes as long as its timeouts allow, or a little longer."""

    async def slow(one, *, seconds):
        await trio.sleep(seconds)
        return one

    for seconds, ends in ((0.5, 1), (1.5, None)):
        for option in ("timeout", "total_timeout"):
            began = trio.current_time()
            late = step(partial(slow, seconds=seconds), id="late", provides="late", **{option: 1})
            p = Pipeline("p").step("all", late, Work().member("one", 5), mode="flow")
            if ends is None:
                with pytest.raises(ForkPartialError) as caught:
                    await p.run({})
                assert [str(error) for error in caught.value.exceptions] == ["'all/late' timed out after 1 s"]
                assert trio.current_time() == began + 6
            else:
                await p.run({})
                assert trio.current_time() == began + 5.5


async def test_member_that_waits_takes_no_permit() -> None:
    rate = RateLimit(1, per=10)
    times: list[float] = []

    async def last(one) -> None:
        times.append(trio.current_time())

    async def other() -> None:
        await trio.sleep(1)
        await rate.acquire()
        times.append(trio.current_time())

    p = Pipeline("p").step("all", step(last, rate=rate), Work().member("one", 2), other, mode="flow")
    await p.run({})
    assert times == [1, 11]


def gives(id, fn):
    return step(fn, id=id, provides=id)


async def test_key_that_a_sibling_provides_comes_from_it_and_others_from_the_context() -> None:
    members = gives("sum", lambda a, x: a + x), gives("a", lambda x: x * 10)
    assert await Pipeline("p").step("all", *members, mode="flow").run({"a": 1, "x": 2}) == {"a": 20, "x": 2, "sum": 22}


async def test_member_sees_its_own_copy_of_what_a_sibling_provides() -> None:
    def change(xs):
        xs.append("mine")
        return xs

    members = gives("changed", change), gives("seen", lambda xs: xs), gives("xs", lambda: [0])
    result = await Pipeline("p").step("all", *members, mode="flow", concurrency=1).run({})
    assert result == {"xs": [0], "changed": [0, "mine"], "seen": [0]}


async def test_pipeline_is_a_member_too_and_passes_on_what_it_changes() -> None:
    inner = Pipeline("inner").step(lambda x: x + 1, provides="y").step(lambda y: [y], provides="z")
    user = Pipeline("user").step(lambda z: z, provides="u").step(lambda u, x: (u, x), provides="v")
    p = Pipeline("p").step("all", user, inner, mode="flow")
    assert await p.run({"x": 1}) == {"x": 1, "y": 2, "z": [2], "u": [2], "v": ([2], 1)}
    assert await p.run({"x": 1, "y": 2, "z": [2]}) == {"x": 1, "y": 2, "z": [2], "u": [2], "v": ([2], 1)}


class Maybe(TypedDict, total=False):
    k: int


async def test_key_that_a_sibling_ends_without_has_its_default_even_if_the_context_has_it() -> None:
    def maybe(x) -> Maybe:
        return {"k": x} if x else {}

    p = Pipeline("p").step("all", maybe, gives("see", lambda k="none", y=0: (k, y)), mode="flow")
    assert await p.run({"k": "old", "x": 0, "y": 5}) == {"k": "old", "x": 0, "y": 5, "see": ("none", 5)}
    assert (await p.run({"k": "old", "x": 1, "y": 5}))["see"] == (1, 5)


async def test_failure_stops_the_others_and_who_waits_does_not_start() -> None:
    work = Work()
    members = (
        work.member("good", 1),
        work.member("bad", 2, error=ValueError("no")),
        work.member("slow", 9),
        work.member("waits", 1, ["bad"]),
        work.member("after", 5, ["good"]),
    )
    with pytest.raises(ForkPartialError) as caught:
        await Pipeline("p").step("all", *members, mode="flow").run({})
    assert trio.current_time() == 2
    assert work.starts == {"good": 0, "bad": 0, "slow": 0, "after": 1}
    assert [end.step_id for end in caught.value.succeeded] == ["good"]
    assert [(end.step_id, type(end.error)) for end in caught.value.failed] == [
        ("bad", ValueError),
        ("slow", PathCancelledError),
        ("after", PathCancelledError),
    ]


async def test_cancelled_flow_cancels_who_runs_and_who_waits() -> None:
    work = Work()
    with trio.move_on_after(2) as scope:
        await Pipeline("p").step("all", *classic(work), mode="flow").run({})
    assert scope.cancelled_caught
    assert trio.current_time() == 2
    assert work.starts == {"a": 0, "b": 0, "c": 1}


async def test_timeout_of_a_flow_is_the_forks() -> None:
    seen = RecordingObserver()
    p = Pipeline("p").step("all", *classic(Work()), mode="flow", timeout=6, on_error="continue")
    assert await p.run({}, observers=[seen]) == {}
    assert trio.current_time() == 6
    assert [event.name for event in seen.of(StepFailed)][-1] == "all"


async def test_retry_runs_the_whole_flow_again() -> None:
    tries = []

    def flaky(a):
        tries.append(a)
        if len(tries) == 1:
            raise OSError
        return a

    work = Work()
    p = Pipeline("p").step("all", work.member("a", 1), gives("b", flaky), mode="flow", retry=Retry(2))
    assert (await p.run({}))["b"] == {"from": {}}
    assert trio.current_time() == 2


async def test_merge_policy_applies_at_the_end() -> None:
    work = Work()
    p = Pipeline("p").step("all", *classic(work), mode="flow", merge_policy="error")
    with pytest.raises(KeyCollisionError):
        await p.run({"e": "old"})
    assert trio.current_time() == 8


async def test_stop_starts_nobody_else_and_merges_what_there_is() -> None:
    work = Work()

    def stop(event):
        if event.name == "all/a":
            event.stop()

    result = (
        await Pipeline("p")
        .step("all", *classic(work), mode="flow")
        .step("end", lambda: None)
        .run({}, on_step_complete=stop)
    )
    assert sorted(result) == ["a", "b"]
    assert work.starts == {"a": 0, "b": 0}
    assert trio.current_time() == 5


async def test_stop_inside_a_member_leaves_the_flow_incomplete() -> None:
    inner = Pipeline("inner").step("one", lambda: 1, provides="x").step("two", lambda: 2, provides="y")

    def stop(event):
        if event.name == "all/inner/one":
            event.stop()

    p = Pipeline("p").step("all", inner, gives("z", lambda y: y), mode="flow")
    assert await p.run({}, on_step_complete=stop) == {"x": 1}


# Resumed


async def checkpoints_of(pipeline, inputs=None):
    saved = {}

    def save(event):
        saved[event.name] = Checkpoint.from_json(event.checkpoint.to_json())

    return await pipeline.run(inputs or {}, on_step_complete=save), saved


async def test_flow_is_resumed_inside_and_who_is_done_is_not_run_again() -> None:
    work = Work()
    p = Pipeline("p").step("all", *classic(work), mode="flow").step("end", lambda d, e: {"end": (d, e)})
    whole, at = await checkpoints_of(p)
    assert list(at) == ["all/a", "all/c", "all/b", "all/e", "all/d", "all", "end"]
    again = {"all/a": "bcde", "all/c": "bde", "all/b": "de", "all/e": "d", "all/d": "", "all": "", "end": ""}
    for name, checkpoint in at.items():
        work.starts.clear()
        assert await p.resume(checkpoint) == whole
        assert sorted(work.starts) == list(again[name])


async def test_flow_is_resumed_inside_a_pipeline_that_is_a_member() -> None:
    log = []

    def note(name, value):
        log.append(name)
        return value

    inner = Pipeline("inner").step("one", lambda a: note("x", a), provides="x")
    inner = inner.step("two", lambda x: note("y", x), provides="y")
    members = gives("a", lambda: note("a", 1)), inner, gives("z", lambda y: note("z", y))
    p = Pipeline("p").step("all", *members, mode="flow")
    whole, at = await checkpoints_of(p)
    log.clear()
    assert await p.resume(at["all/inner/one"]) == whole
    assert log == ["y", "z"]


async def test_overrides_replace_what_siblings_have_provided() -> None:
    work = Work()
    p = Pipeline("p").step("all", *classic(work), mode="flow", merge_policy="error")
    _, at = await checkpoints_of(p)
    result = await p.resume(at["all/a"], overrides={"a": "mine"})
    assert result["a"] == "mine"
    assert result["c"] == {"from": {"a": "mine"}}
    assert result["d"] == {"from": {"a": "mine", "b": {"from": {}}}}


async def test_overridden_flow_can_be_resumed_again() -> None:
    work = Work()
    p = Pipeline("p").step("all", *classic(work), mode="flow", merge_policy="error")
    _, at = await checkpoints_of(p)
    saved = {}
    first = await p.resume(
        at["all/a"],
        overrides={"a": "mine"},
        on_step_complete=lambda event: saved.__setitem__(event.name, event.checkpoint.to_json()),
    )
    for text in saved.values():
        assert await p.resume(Checkpoint.from_json(text)) == first
