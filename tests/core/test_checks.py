"""A function whose answer is needed at once can't be async. If it is async in disguise, that is an error, not a yes."""

from __future__ import annotations

from typing import Any

import pytest

from trio_steps import (
    CircuitBreaker,
    ConfigError,
    ForkPartialError,
    Retry,
    fork,
    gather,
    observing,
    race,
    settle,
    step,
    stream,
)
from trio_steps.testing import explore


async def says_no(_: object) -> bool:
    return False


@step
async def step_that_says_no(_: object) -> bool:
    return False


class Refusing:
    """A callable that does not look async, but whose answer is awaitable without being a coroutine."""

    def __call__(self, _: object) -> Refusing:
        return self

    def __await__(self) -> Any:
        raise AssertionError("nobody awaits it")


async def one() -> int:
    return 1


async def fails() -> None:
    raise OSError("down")


async def test_accept_refuses_an_async_function_wherever_a_fork_is_made() -> None:
    message = "accept=<function says_no at 0x[0-9a-f]+> is async, and its answer is needed at once: give a function of"
    for make in (gather, race, settle):
        with pytest.raises(ConfigError, match=message):
            await make(one, accept=says_no)
    with pytest.raises(ConfigError, match=message):
        fork("f", mode="all", paths=[one], accept=says_no)
    with pytest.raises(ConfigError, match=message):
        async with stream(one, accept=says_no):
            raise AssertionError


@pytest.mark.parametrize(
    ("predicate", "what"),
    [
        (step_that_says_no, "<step 'step_that_says_no'> is async: it returned <coroutine object"),
        (lambda value: says_no(value), "<lambda>.* is async: it returned <coroutine object says_no"),
        (Refusing(), "Refusing object at .*> is async: it returned <.*Refusing object"),
    ],
)
async def test_accept_that_turns_out_to_be_async_fails_the_path_and_loses_no_value(predicate, what) -> None:
    disposed: list[int] = []
    with pytest.raises(ForkPartialError) as caught:
        await gather(one, accept=predicate, dispose=disposed.append)
    [error] = caught.value.exceptions
    assert isinstance(error, ConfigError)
    assert caught.match("1 of 1 paths failed")
    with pytest.raises(ConfigError, match=what):
        raise error
    assert disposed == [1]


async def test_retry_whose_predicates_turn_out_to_be_async_does_not_take_them_for_a_yes() -> None:
    with pytest.raises(ConfigError, match="is async: it returned <coroutine"):
        await step(fails, retry=Retry(2, on=step_that_says_no))()
    with pytest.raises(ConfigError, match="is async: it returned <coroutine"):
        await step(one, retry=Retry(2, accept=step_that_says_no))()
    with pytest.raises(ConfigError, match="is async: it returned <coroutine"):
        await step(fails, retry=Retry(2, delay=lambda error, attempt: says_no(error)))()


async def test_breaker_whose_predicate_turns_out_to_be_async_does_not_take_it_for_a_yes() -> None:
    with pytest.raises(ConfigError, match="is async: it returned <coroutine"):
        await step(fails, circuit_breaker=CircuitBreaker(1, cooldown=1, on=step_that_says_no))()


async def test_observers_refuse_an_async_function() -> None:
    message = "<function says_no at .*> is async, and its answer is needed at once: give a sync function of an event"
    with pytest.raises(ConfigError, match=message):
        await step(one).run(observers=[says_no])
    with pytest.raises(ConfigError, match=message), observing(says_no):
        raise AssertionError


async def test_observer_that_turns_out_to_be_async_is_reported_and_dropped(caplog) -> None:
    assert await step(one).run(observers=[lambda event: says_no(event)]) == 1
    [record] = caplog.records
    assert "is dropped" in record.message
    assert "is async: it returned <coroutine object says_no" in str(record.exc_info[1])


def test_explore_refuses_an_async_predicate_of_values() -> None:
    async def program(probe) -> int:
        return 1

    with pytest.raises(
        ConfigError, match=r"^values=<function says_no at .*> is async, and its answer is needed at onc"
    ):
        explore(program, values=says_no)
