"""What every kind of step takes: a condition, on_error, and the policies, which apply around the whole step."""

from __future__ import annotations

import pytest
import trio

from trio_steps import (
    CircuitBreaker,
    CircuitOpenError,
    ConfigError,
    ForkPartialError,
    Pipeline,
    Recorder,
    Retry,
    StepSkipped,
    StepTimeoutError,
    ValueDiscarded,
    otherwise,
    when,
)

INPUTS = {"ns": [1]}

KINDS = {
    "function": lambda p, fn, **options: p.step("s", fn, **options),
    "transform": lambda p, fn, **options: p.transform("s", fn, **options),
    "all": lambda p, fn, **options: p.step("s", fn, lambda: None, **options),
    "race": lambda p, fn, **options: p.step("s", fn, mode="race", **options),
    "nested": lambda p, fn, **options: p.step("s", Pipeline("x").step("t", fn), **options),
    "branch": lambda p, fn, **options: p.branch_on("s", otherwise(lambda p: p.step("t", fn)), **options),
    "each": lambda p, fn, **options: p.for_each("s", lambda n: fn(), over="ns", each="n", into="o", **options),
    "each pipeline": lambda p, fn, **options: p.for_each(
        "s", Pipeline().step("t", lambda n: fn()), over="ns", each="n", into="o", **options
    ),
}
every_kind = pytest.mark.parametrize("add", KINDS.values(), ids=KINDS.keys())


async def give():
    await trio.sleep(2)
    return {"o": 1}


def fails(times):
    """A step that fails the given number of times, each after a second."""
    left = [OSError(number) for number in range(times)]

    async def fail():
        await trio.sleep(1)
        if left:
            raise left.pop(0)
        return {"o": 1}

    return fail


def cause(error):
    """Return the error of the step, with or without a fork around it."""
    return error.exceptions[0] if isinstance(error, ForkPartialError) else error


@every_kind
async def test_condition_that_does_not_hold_skips_it(add) -> None:
    async def never(ns):
        await trio.sleep(1)
        return False

    events = []
    p = add(Pipeline(), give, condition=never).step("n", lambda ns: {"next": 1})
    assert await p.run(INPUTS, observers=[events.append]) == {"ns": [1], "next": 1}
    assert [event.name for event in events if isinstance(event, StepSkipped)] == ["s"]
    assert trio.current_time() == 1


@every_kind
async def test_condition_that_raises_is_handled_by_its_on_error(add) -> None:
    p = add(Pipeline(), give, condition=lambda: 1 / 0, on_error="continue").step("n", lambda: {"next": 1})
    assert await p.run(INPUTS) == {"ns": [1], "next": 1}
    with pytest.raises(ZeroDivisionError):
        await add(Pipeline(), give, condition=lambda: 1 / 0).run(INPUTS)


@every_kind
@pytest.mark.parametrize(("on_error", "rest"), [("continue", {"next": 1}), ("skip-remaining", {})])
async def test_failure_is_forgiven_by_its_on_error(add, on_error, rest) -> None:
    p = add(Pipeline(), fails(1), on_error=on_error).step("n", lambda: {"next": 1})
    assert await p.run(INPUTS) == {"ns": [1], **rest}


@every_kind
async def test_failure_that_is_not_forgiven_ends_the_run(add) -> None:
    with pytest.raises((OSError, ForkPartialError)) as caught:
        await add(Pipeline(), fails(1)).step("n", lambda: {"next": 1}).run(INPUTS)
    assert cause(caught.value).args == (0,)


@every_kind
async def test_retry_runs_all_of_it_again(add) -> None:
    result = await add(Pipeline(), fails(2), retry=Retry(3, delay=10)).run(INPUTS)
    assert "o" in result
    assert trio.current_time() == 1 + 10 + 1 + 10 + 1


@every_kind
async def test_limiter_is_held_while_it_runs(add) -> None:
    limiter = trio.CapacityLimiter(1)
    held = []

    async def look():
        held.append(limiter.borrowed_tokens)

    await limiter.acquire_on_behalf_of("somebody")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(add(Pipeline(), look, limiter=limiter, on_error="continue").run, INPUTS)
        await trio.sleep(3)
        assert held == []
        limiter.release_on_behalf_of("somebody")
    assert held == [1]
    assert limiter.borrowed_tokens == 0


@every_kind
async def test_total_timeout_is_around_all_attempts(add) -> None:
    with pytest.raises(StepTimeoutError) as caught:
        await add(Pipeline(), fails(9), retry=Retry(9), total_timeout=2.5).run(INPUTS)
    assert (caught.value.step, trio.current_time()) == ("s", 2.5)


@every_kind
async def test_timeout_stops_it(add) -> None:
    with pytest.raises((StepTimeoutError, ForkPartialError)) as caught:
        await add(Pipeline(), give, timeout=1).run(INPUTS)
    error = caught.value.exceptions[-1] if isinstance(caught.value, ForkPartialError) else caught.value
    assert isinstance(error, StepTimeoutError)
    assert (error.step, trio.current_time()) == ("s", 1)


@every_kind
@pytest.mark.parametrize("on_open", ["raise", "skip"])
async def test_breaker_that_is_open_does_not_let_it_run(add, on_open) -> None:
    breaker = CircuitBreaker(1, 60, on_open=on_open)
    p = add(Pipeline(), fails(1), circuit_breaker=breaker, on_error="continue").step("n", lambda: {"next": 1})
    errors = []
    for _ in range(2):
        assert await p.run(INPUTS, on_error=lambda name, error: errors.append((name, error))) == {"ns": [1], "next": 1}
    assert trio.current_time() == 1
    assert [name for name, error in errors if isinstance(error, CircuitOpenError)] == ["s"] * (on_open == "raise")


@every_kind
async def test_log_false_keeps_it_and_all_inside_out_of_summaries(add) -> None:
    events, recorder = [], Recorder()
    await add(Pipeline("root"), give, log=False).run(INPUTS, observers=[events.append, recorder])
    assert all(event.quiet == (event.name != "root") for event in events)


@pytest.mark.parametrize("add", [add for kind, add in KINDS.items() if kind != "transform"])
async def test_merge_policy_decides_what_becomes_of_keys_that_are_there(add) -> None:
    async def fresh():
        return {"o": 2}

    assert (await add(Pipeline(), fresh, merge_policy="skip").run({**INPUTS, "o": 1}))["o"] == 1
    assert (await add(Pipeline(), fresh).run({**INPUTS, "o": 1}))["o"] != 1


def test_case_is_looked_for_a_pipeline_before_it_is_called_as_a_builder() -> None:
    sub = Pipeline("sub").step("s", lambda: None)
    assert Pipeline().branch_on("b", when(lambda: True, sub)).step_names == ("b", "b/sub/s")
    with pytest.raises(ConfigError, match="has to return the pipeline"):
        Pipeline().branch_on("b", when(lambda: True, lambda p: None))


@pytest.mark.parametrize("limit", ["timeout", "total_timeout"])
async def test_condition_that_answers_when_its_time_is_over_is_too_late(autojump_clock, limit) -> None:
    ran = []

    def slow():
        autojump_clock.jump(5)
        return True

    p = Pipeline("p").step("s", lambda: ran.append("s"), condition=slow, **{limit: 5.0})
    with pytest.raises(StepTimeoutError) as caught:
        await p.run({})
    assert (caught.value.step, caught.value.seconds) == ("s", 5.0)
    assert ran == []


async def test_value_of_a_step_is_what_its_function_returned_when_it_is_judged_and_discarded() -> None:
    values = iter([{"page": 202}, {"page": 200}])
    judged, events = [], []
    retry = Retry(2, on=(), accept=lambda value: judged.append(value) or value["page"] == 200)
    p = Pipeline("p").step("load", lambda: next(values), retry=retry)
    assert await p.run({}, observers=[events.append]) == {"page": 200}
    assert judged == [{"page": 202}, {"page": 200}]
    assert [event.value for event in events if isinstance(event, ValueDiscarded)] == [{"page": 202}]


async def test_value_of_a_step_of_several_functions_is_what_all_of_them_give_when_it_is_judged() -> None:
    pages = iter([202, 200])
    judged, events = [], []
    retry = Retry(2, on=(), accept=lambda value: judged.append(value) or value["page"] == 200)
    p = Pipeline("p").step("both", lambda: {"page": next(pages)}, lambda: {"other": 1}, retry=retry)
    assert await p.run({}, observers=[events.append]) == {"page": 200, "other": 1}
    assert judged == [{"page": 202, "other": 1}, {"page": 200, "other": 1}]
    assert [event.value for event in events if isinstance(event, ValueDiscarded)] == [{"page": 202, "other": 1}]


class Promise:
    """It can be awaited, and is no coroutine."""

    def __await__(self):
        return give().__await__()


def promise():
    return Promise()


@every_kind
async def test_what_a_sync_function_returns_is_awaited_if_it_can_be(add):
    assert await add(Pipeline("p"), promise).run(INPUTS) == await add(Pipeline("p"), give).run(INPUTS)
