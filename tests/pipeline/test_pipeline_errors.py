"""Errors, cancellation and policies of a pipeline's steps."""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import Any

import pytest
import trio

from trio_steps import (
    AttemptEnded,
    CircuitBreaker,
    CircuitOpenError,
    ForkPartialError,
    Pipeline,
    Retry,
    StepFailed,
    StepSkipped,
    StepTimeoutError,
    fork,
    step,
)

# Errors


def fails(error):
    def fail():
        raise error

    return fail


async def test_error_comes_out_as_it_is_with_the_name_of_its_step() -> None:
    error = OSError("no")
    with pytest.raises(OSError, match="no") as caught:
        await Pipeline("root").step("bad", fails(error)).run({})
    assert caught.value is error
    assert error.__notes__ == ["in step 'bad'"]


@pytest.mark.parametrize("kind", [AttemptEnded, StepFailed])
async def test_interrupt_of_an_observer_at_the_failure_of_a_step_loses_no_value_in_its_error(kind) -> None:
    disposed = []

    async def a():
        return "a"

    async def slow_failure():
        await trio.sleep(1)
        raise OSError

    def observer(event):
        if isinstance(event, kind) and event.name == "f":
            raise KeyboardInterrupt

    pair = step(fork("f", mode="all", paths=[a, slow_failure], dispose=disposed.append), retry=Retry(1))
    with pytest.raises(KeyboardInterrupt):
        await Pipeline("root").step("f", pair).run({}, observers=[observer])
    assert disposed == ["a"]


async def test_on_error_continue_goes_on_without_the_output() -> None:
    p = Pipeline().step("bad", fails(OSError()), on_error="continue").step("next", lambda: {"x": 1})
    assert await p.run({}) == {"x": 1}


async def test_on_error_skip_remaining_ends_the_innermost_pipeline() -> None:
    inner = Pipeline("inner").step("a", lambda: {"a": 1}).step("bad", fails(OSError()), on_error="skip-remaining")
    inner = inner.step("never", lambda: {"never": 1})
    assert await Pipeline().step(inner).step("next", lambda: {"x": 1}).run({}) == {"a": 1, "x": 1}
    assert await inner.run({}) == {"a": 1}


async def test_cancellation_is_never_an_error() -> None:
    after = []
    p = Pipeline().step("slow", trio.sleep_forever, on_error="continue").step("next", lambda: after.append(1))
    with trio.move_on_after(1) as scope:
        await p.run({})
    assert scope.cancelled_caught
    assert after == []


async def test_group_that_mixes_a_cancellation_with_an_error_is_not_forgiven() -> None:
    """Trio removes the cancellation at its scope; the error propagates."""

    async def mixed():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise error

    error = OSError("too")
    with pytest.raises(BaseExceptionGroup) as caught, trio.move_on_after(1):
        await Pipeline().step("mixed", mixed, on_error="continue").run({})
    assert caught.value.exceptions == (error,)


# Sync steps and cancellation


async def test_sync_step_is_followed_by_a_checkpoint() -> None:
    ran = []
    p = Pipeline()
    for number in range(5):
        p = p.step(f"s{number}", functools.partial(lambda number: ran.append(number), number))
    with trio.CancelScope() as scope:
        await p.step("x", lambda: None).run({}, observers=[lambda e: e.name == "s2" and scope.cancel()])
    assert ran == [0, 1, 2]


async def test_pipeline_of_sync_steps_lets_others_run_between_any_two() -> None:
    order = []

    async def other():
        for _ in range(2):
            await trio.lowlevel.checkpoint()
            order.append("other")

    p = Pipeline().step("a", lambda: order.append("a")).step("b", lambda: order.append("b"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await p.run({})
    assert order.index("a") < order.index("other") < len(order) - 1


async def test_run_in_a_cancelled_scope_does_nothing() -> None:
    ran = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await Pipeline().step("s", lambda: ran.append(1)).run({})
    assert ran == []


# Policies


async def test_step_timeout_stops_the_step_and_retry_gives_each_attempt_fresh_copies() -> None:
    seen = []

    async def slow(a):
        seen.append(list(a))
        a.append(1)
        await trio.sleep(2 if len(seen) < 3 else 0.5)
        return {"b": a}

    p = Pipeline().step("slow", slow, timeout=1, retry=Retry(3, delay=10))
    assert await p.run({"a": []}) == {"a": [], "b": [1]}
    assert seen == [[], [], []]
    assert trio.current_time() == 1 + 10 + 1 + 10 + 0.5


async def test_step_timeout_names_the_step() -> None:
    with pytest.raises(StepTimeoutError, match=r"^'slow' timed out after 1 s"):
        await Pipeline().step("slow", trio.sleep_forever, timeout=1).run({})


async def test_sync_step_that_fails_and_is_forgiven_is_followed_by_a_checkpoint_too() -> None:
    def fail():
        scope.cancel()
        raise OSError

    ran = []
    with trio.CancelScope() as scope:
        await Pipeline().step("a", fail, on_error="continue").step("b", lambda: ran.append("b")).run({})
    assert scope.cancelled_caught
    assert ran == []


async def test_sync_step_with_policies_is_followed_by_a_checkpoint_too() -> None:
    p = Pipeline().step("a", lambda: None, timeout=1).step("b", lambda: {"x": 1})
    with trio.CancelScope() as scope:
        await p.run({}, observers=[lambda e: scope.cancel() if e.name == "a" else None])
    assert scope.cancelled_caught


async def test_breaker_that_skips_skips_the_step() -> None:
    breaker = CircuitBreaker(1, cooldown=5, on_open="skip")
    p = Pipeline().step("bad", fails(OSError()), circuit_breaker=breaker, on_error="continue")
    events = []
    assert await p.run({}) == {}
    assert await p.run({}, observers=[events.append]) == {}
    [skipped] = [event for event in events if isinstance(event, StepSkipped)]
    assert skipped.reason == "circuit breaker of 'bad' is open; next probe in 5 s"


async def test_breaker_that_raises_fails_the_step() -> None:
    breaker = CircuitBreaker(1, cooldown=5)
    p = Pipeline().step("bad", fails(OSError()), circuit_breaker=breaker)
    for error in (OSError, CircuitOpenError):
        with pytest.raises(error):
            await p.run({})


@pytest.mark.parametrize("shape", ["step", "nested", "member", "settled member", "element", "settled element"])
async def test_stop_iteration_of_a_sync_function_is_told_once_as_the_error_that_the_caller_gets(shape: str) -> None:
    stop = StopIteration(1)

    def stops(x: int) -> None:
        raise stop

    p, over = Pipeline("p"), {"over": "xs", "each": "x", "into": "ys"}
    shapes: dict[str, Any] = {
        "step": lambda: p.step("s", stops),
        "nested": lambda: p.step("n", Pipeline("n").step("s", stops)),
        "member": lambda: p.step("s", stops, lambda: None),
        "settled member": lambda: p.step("s", stops, lambda: None, mode="settle"),
        "element": lambda: p.for_each("s", stops, **over),
        "settled element": lambda: p.for_each("s", stops, **over, mode="settle"),
    }
    told: list[tuple[str, Exception]] = []
    failures: list[StepFailed] = []
    end: Any = None
    with suppress(RuntimeError, ForkPartialError):
        end = await shapes[shape]().run(
            {"x": 1} if "element" not in shape else {"xs": [1]},
            on_error=lambda name, error: told.append((name, error)),
            observers=[lambda event: failures.append(event) if isinstance(event, StepFailed) else None],
        )
    [(name, error)] = told
    where = {"step": "s", "nested": "n/s", "element": "s/1", "settled element": "s/1"}
    assert name == where.get(shape, "s/stops")
    assert repr(error) == "RuntimeError('coroutine raised StopIteration')"
    assert error.__cause__ is stop
    assert failures[0].error is error
    if shape == "settled element":
        assert end["ys"][0].error is error


async def test_for_each_that_fails_makes_no_results_for_the_elements_that_never_started() -> None:
    p = Pipeline("p").for_each("s", lambda x: 1 / x, over="xs", each="x", into="ys", concurrency=1)
    with pytest.raises(ForkPartialError) as caught:
        await p.run({"xs": [1, 0, *range(10_000)]})
    assert [end.step_id for end in caught.value.succeeded] == ["1"]
    assert repr(caught.value.failed) == "<10001 paths, of which 10000 were not started>"
