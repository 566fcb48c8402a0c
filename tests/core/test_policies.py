"""What policies refuse, and the order in which they apply, neighbour by neighbour."""

from __future__ import annotations

import functools
import math

import attrs
import pytest
import trio
import trio.testing
from bodies import Body, BoomError, boom, opened

from trio_steps import (
    CircuitBreaker,
    CircuitOpenError,
    ConfigError,
    Retry,
    StepTimeoutError,
    fork,
    step,
)
from trio_steps._core.policies import Policies

# Misuse


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attempts": 0}, r"^Retry\(attempts=0\): give the number of attempts, 1 or more$"),
        ({"attempts": -1}, r"^Retry\(attempts=-1\)"),
        ({"attempts": 2.0}, r"^Retry\(attempts=2\.0\)"),
        ({"attempts": True}, r"^Retry\(attempts=True\)"),
        ({"attempts": None}, r"^Retry\(attempts=None\)"),
        ({"attempts": "3"}, r"^Retry\(attempts='3'\)"),
        ({"backoff": "double"}, r"^Retry\(backoff='double'\): use \"fixed\", \"linear\" or \"exponential\"$"),
        ({"backoff": None}, r"^Retry\(backoff=None\)"),
        ({"delay": -1}, r"^Retry\(delay=…\) must be a number of seconds, 0 or more, not -1$"),
        ({"delay": "1"}, r"^Retry\(delay=…\) must be a number of seconds, 0 or more, not '1'$"),
        ({"delay": math.nan}, r"^Retry\(delay=…\)"),
        ({"delay": True}, r"^Retry\(delay=…\)"),
        ({"delay": None}, r"^Retry\(delay=…\)"),
        ({"max_delay": -0.5}, r"^Retry\(max_delay=…\) must be a number of seconds, 0 or more, not -0\.5$"),
        ({"max_delay": None}, r"^Retry\(max_delay=…\)"),
        ({"jitter": -0.1}, r"^Retry\(jitter=-0\.1\): give the random part of the delay, 0 to 1$"),
        ({"jitter": 1.5}, r"^Retry\(jitter=1\.5\)"),
        ({"jitter": math.nan}, r"^Retry\(jitter=nan\)"),
        ({"jitter": "0.5"}, r"^Retry\(jitter='0\.5'\)"),
        ({"jitter": None}, r"^Retry\(jitter=None\)"),
        ({"jitter": [0.5]}, r"^Retry\(jitter=\[0\.5\]\)"),
        ({"on": 5}, r"^Retry\(on=5\): give exception types, or a function of the exception$"),
        ({"on": "OSError"}, r"^Retry\(on='OSError'\)"),
        ({"on": [OSError]}, r"^Retry\(on=\["),
        ({"on": None}, r"^Retry\(on=None\)"),
        ({"on": int}, r"^Retry\(on=<class 'int'>\)"),
        ({"on": (OSError, 5)}, r"^Retry\(on=\("),
        ({"on": (OSError, lambda error: True)}, r"^Retry\(on=\("),
        ({"on": BaseException}, r"^Retry\(on=<class 'BaseException'>\)"),
        ({"on": KeyboardInterrupt}, r"^Retry\(on=<class 'KeyboardInterrupt'>\)"),
        ({"on": (OSError, trio.Cancelled)}, r"^Retry\(on=\("),
    ],
)
def test_retry_refuses_what_makes_no_sense(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Retry(**{"attempts": 3, **options})


@pytest.mark.parametrize(
    ("threshold", "cooldown", "options", "message"),
    [
        (0, 1, {}, r"^CircuitBreaker\(failure_threshold=0\): give 1 or more failures$"),
        (1.5, 1, {}, r"^CircuitBreaker\(failure_threshold=1\.5\)"),
        (True, 1, {}, r"^CircuitBreaker\(failure_threshold=True\)"),
        (None, 1, {}, r"^CircuitBreaker\(failure_threshold=None\)"),
        (1, -1, {}, r"^CircuitBreaker\(cooldown=…\) must be a number of seconds, 0 or more, not -1$"),
        (1, "1", {}, r"^CircuitBreaker\(cooldown=…\)"),
        (1, math.nan, {}, r"^CircuitBreaker\(cooldown=…\)"),
        (1, None, {}, r"^CircuitBreaker\(cooldown=…\)"),
        (1, 1, {"on_open": "ignore"}, r"^CircuitBreaker\(on_open='ignore'\): use \"raise\" or \"skip\"$"),
        (1, 1, {"on_open": None}, r"^CircuitBreaker\(on_open=None\)"),
    ],
)
def test_breaker_refuses_what_makes_no_sense(threshold, cooldown, options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        CircuitBreaker(threshold, cooldown, **options)


@pytest.mark.parametrize("policy", ["timeout", "total_timeout"])
@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (0, "=0 leaves no time to run at all; give seconds, or None for no limit$"),
        (-1, r" must be a number of seconds, 0 or more, not -1$"),
        ("2", r" must be a number of seconds, 0 or more, not '2'$"),
        (math.nan, r" must be a number of seconds, 0 or more, not nan$"),
        (True, r" must be a number of seconds, 0 or more, not True$"),
        (False, r" must be a number of seconds, 0 or more, not False$"),
    ],
)
def test_timeout_refuses_what_makes_no_sense(policy, seconds, message) -> None:
    with pytest.raises(ConfigError, match=f"^{policy}{message}"):
        step(Body(), **{policy: seconds})


@pytest.mark.parametrize(
    ("policy", "value", "message"),
    [
        ("limiter", 3, r"^limiter=3: give a trio\.CapacityLimiter$"),
        ("limiter", trio.Semaphore(3), r"^limiter=<trio\.Semaphore.*>: give a trio\.CapacityLimiter$"),
        ("circuit_breaker", True, r"^circuit_breaker=True: give a trio_steps\.CircuitBreaker$"),
        ("circuit_breaker", CircuitBreaker, r"^circuit_breaker=<class .*>: give a trio_steps\.CircuitBreaker$"),
        ("retry", 3, r"^retry=3: give a trio_steps\.Retry$"),
        ("retry", Retry, r"^retry=<class .*>: give a trio_steps\.Retry$"),
    ],
)
def test_policies_refuse_what_is_none(policy, value, message) -> None:
    with pytest.raises(ConfigError, match=message):
        step(Body(), **{policy: value})


def test_policies_are_checked_when_a_decorator_is_made() -> None:
    with pytest.raises(ConfigError, match=r"^timeout=0 leaves"):
        step(timeout=0)


def test_policies_are_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Policies().timeout = 3
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Retry(3).attempts = 4


def test_retry_takes_all_but_the_attempts_by_keyword() -> None:
    with pytest.raises(TypeError):
        Retry(3, "fixed")


# The order, neighbour by neighbour


async def test_total_timeout_is_outside_limiter(autojump_clock) -> None:
    """The time spent waiting for a token counts."""
    limiter = trio.CapacityLimiter(1)
    body = Body("never")
    async with limiter:
        with pytest.raises(StepTimeoutError) as caught:
            await step(body, limiter=limiter, total_timeout=2)()
    assert caught.value.seconds == 2
    assert trio.current_time() == 2
    assert body.starts == []
    assert limiter.borrowed_tokens == 0


async def test_limiter_is_outside_circuit_breaker_that_opens_in_the_meantime(autojump_clock) -> None:
    """The breaker is asked when the token is there, not before."""
    limiter = trio.CapacityLimiter(1)
    breaker = CircuitBreaker(1, 10)
    body = Body("never")

    async def waits():
        with pytest.raises(CircuitOpenError) as caught:
            await step(body, limiter=limiter, circuit_breaker=breaker)()
        assert trio.current_time() == 3
        assert caught.value.retry_after == 8

    async with trio.open_nursery() as nursery, limiter:
        nursery.start_soon(waits)
        await trio.sleep(1)
        with pytest.raises(BoomError):
            await step(Body(BoomError()), circuit_breaker=breaker)()
        await trio.sleep(2)
    assert body.starts == []
    assert limiter.borrowed_tokens == 0


async def test_limiter_is_outside_circuit_breaker_that_cools_down_in_the_meantime(autojump_clock) -> None:
    limiter = trio.CapacityLimiter(1)
    breaker = await opened(cooldown=2)
    body = Body("fine")
    async with trio.open_nursery() as nursery, limiter:
        nursery.start_soon(step(body, limiter=limiter, circuit_breaker=breaker))
        await trio.sleep(3)
    assert body.starts == [3]
    assert breaker.state == "closed"


async def test_limiter_is_outside_circuit_breaker_so_that_who_waits_has_no_probe(autojump_clock) -> None:
    limiter = trio.CapacityLimiter(1)
    breaker = await opened(cooldown=1)
    await trio.sleep(1)
    async with trio.open_nursery() as nursery, limiter:
        nursery.start_soon(step(Body("fine"), limiter=limiter, circuit_breaker=breaker))
        await trio.sleep(1)
        assert await step(Body("probe"), circuit_breaker=breaker)() == "probe"


async def test_circuit_breaker_is_outside_retry(autojump_clock) -> None:
    """All attempts together are one call."""
    breaker = CircuitBreaker(2, 100)
    guarded = step(Body(*boom(6), "never"), circuit_breaker=breaker, retry=Retry(3))
    with pytest.raises(BoomError):
        await guarded()
    assert breaker.state == "closed"
    with pytest.raises(BoomError):
        await guarded()
    assert breaker.state == "open"


async def test_circuit_breaker_is_outside_retry_so_that_a_later_attempt_is_a_success(autojump_clock) -> None:
    breaker = CircuitBreaker(1, 100)
    assert await step(Body(*boom(2), "fine"), circuit_breaker=breaker, retry=Retry(3))() == "fine"
    assert breaker.state == "closed"


async def test_circuit_breaker_is_outside_retry_so_that_a_refusal_is_not_tried_again(autojump_clock) -> None:
    breaker = await opened(cooldown=1)
    body = Body("never")
    with pytest.raises(CircuitOpenError) as caught:
        await step(body, circuit_breaker=breaker, retry=Retry(5, delay=1))()
    assert trio.current_time() == 0
    assert caught.value.__notes__ == ["in step 'body'"]
    assert body.starts == []


async def test_retry_is_outside_timeout(autojump_clock) -> None:
    """Each attempt has all the time, and the sleep in between has no limit."""
    body = Body("never", "never", "never", seconds=100)
    with pytest.raises(StepTimeoutError) as caught:
        await step(body, retry=Retry(3, delay=5), timeout=1)()
    assert body.starts == [0, 6, 12]
    assert trio.current_time() == 13
    assert caught.value.seconds == 1


async def test_limiter_is_outside_retry(autojump_clock) -> None:
    """The token is held while the step sleeps between attempts."""
    limiter = trio.CapacityLimiter(1)
    other = Body("fine")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(step(Body(BoomError(), "fine"), limiter=limiter, retry=Retry(2, delay=5)))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(step(other, limiter=limiter))
    assert other.starts == [5]


async def test_total_timeout_is_outside_retry(autojump_clock) -> None:
    """It spans the attempts and the sleep in between."""
    body = Body(*boom(2), "never", seconds=1)
    with pytest.raises(StepTimeoutError) as caught:
        await step(body, retry=Retry(9, delay=2), total_timeout=5)()
    assert body.starts == [0, 3]
    assert trio.current_time() == 5
    assert caught.value.seconds == 5
    assert caught.value.__notes__ == ["in step 'body'"]


async def test_total_timeout_is_outside_circuit_breaker(autojump_clock) -> None:
    """It cancels the call, and a cancelled call counts neither way."""
    breaker = CircuitBreaker(1, 10)
    with pytest.raises(StepTimeoutError):
        await step(trio.sleep_forever, circuit_breaker=breaker, total_timeout=1)()
    assert breaker.state == "closed"


async def test_circuit_breaker_is_outside_timeout(autojump_clock) -> None:
    """An attempt that is too slow is a failure."""
    breaker = CircuitBreaker(1, 10)
    with pytest.raises(StepTimeoutError):
        await step(trio.sleep_forever, circuit_breaker=breaker, timeout=1)()
    assert breaker.state == "open"


async def test_limiter_is_outside_timeout(autojump_clock) -> None:
    """The time spent waiting for a token is not the attempt's."""
    limiter = trio.CapacityLimiter(1)
    body = Body("fine", seconds=1)
    async with trio.open_nursery() as nursery, limiter:
        nursery.start_soon(step(body, limiter=limiter, timeout=2))
        await trio.sleep(5)
    assert body.starts == [5]
    assert trio.current_time() == 6


async def test_policies_of_a_step_made_of_a_step_are_outside_of_its_own(autojump_clock) -> None:
    body = Body("never", "never", "never", "never", seconds=100)
    inner = step(body, retry=Retry(2), timeout=1)
    with pytest.raises(StepTimeoutError) as caught:
        await step(inner, id="outer", retry=Retry(2, delay=5))()
    assert body.starts == [0, 1, 7, 8]
    assert caught.value.step == "outer"
    assert caught.value.__notes__ == ["after 2 of 2 attempts", "in step 'outer'"]


async def test_policies_apply_to_a_body_that_is_sync(autojump_clock) -> None:
    answers = iter([BoomError(), 7])

    def work():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await step(work, retry=Retry(2, delay=1), timeout=5)() == 7
    assert trio.current_time() == 1


async def test_policies_apply_in_a_fork_too(autojump_clock) -> None:
    body = Body(*boom(1), 7, seconds=1)
    [value] = await fork("f", mode="all", paths=[step(body, retry=Retry(2, delay=1), timeout=2)])()
    assert value == 7
    assert trio.current_time() == 3


async def test_policies_apply_to_a_body_that_is_a_partial(autojump_clock) -> None:
    assert await step(functools.partial(trio.sleep, 1), timeout=2)() is None
    with pytest.raises(StepTimeoutError) as caught:
        await step(functools.partial(trio.sleep, 3), timeout=2)()
    assert caught.value.step == "sleep"


async def test_total_timeout_during_a_back_off_says_which_error_was_pending(autojump_clock) -> None:
    error = OSError("busy")

    async def busy() -> None:
        raise error

    with pytest.raises(StepTimeoutError) as caught:
        await step(busy, retry=Retry(3, delay=5), total_timeout=2)()
    assert caught.value.__cause__ is error
    assert trio.current_time() == 2


async def test_timeout_without_a_pending_error_has_no_cause(autojump_clock) -> None:
    with pytest.raises(StepTimeoutError) as caught:
        await step(trio.sleep_forever, timeout=1)()
    assert caught.value.__cause__ is None
