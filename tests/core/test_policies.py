"""What policies refuse, the order in which they apply, pair by pair, and the events about them."""

from __future__ import annotations

import functools
import math
import traceback

import attrs
import pytest
import trio
import trio.testing
from bodies import Body, BoomError, boom, opened
from paths import ANY_SCOPE

from trio_steps import (
    AttemptEnded,
    AttemptStarted,
    CircuitBreaker,
    CircuitChanged,
    CircuitOpenError,
    ConfigError,
    ForkPartialError,
    LimitWaited,
    QueueFullError,
    RateLimit,
    Retry,
    StepRetrying,
    StepStarted,
    StepSucceeded,
    StepTimeoutError,
    fork,
    step,
)
from trio_steps._core.policy.policies import Policies

# Misuse


@pytest.mark.parametrize("policy", ["timeout", "total_timeout"])
@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (0, "=0 leaves no time to run at all; give seconds, or None for no limit$"),
        (-1, r" must be a number of seconds, more than 0, not -1$"),
        ("2", r" must be a number of seconds, more than 0, not '2'$"),
        (math.nan, r" must be a number of seconds, more than 0, not nan$"),
        (True, r" must be a number of seconds, more than 0, not True$"),
        (False, r" must be a number of seconds, more than 0, not False$"),
    ],
)
def test_timeout_refuses_what_makes_no_sense(policy, seconds, message) -> None:
    with pytest.raises(ConfigError, match=f"^{policy}{message}"):
        step(Body(), **{policy: seconds})


@pytest.mark.parametrize(
    ("policy", "value", "message"),
    [
        ("limiter", 3, r"^limiter=3: give a trio\.CapacityLimiter: limiter=trio\.CapacityLimiter\(10\)$"),
        (
            "limiter",
            trio.Semaphore(3),
            r"^limiter=<trio\.Semaphore.*>: give a trio\.CapacityLimiter: limiter=trio\.CapacityLimiter\(10\)$",
        ),
        (
            "circuit_breaker",
            True,
            r"^circuit_breaker=True: give a trio_steps\.CircuitBreaker: circuit_breaker=Circ",
        ),
        (
            "circuit_breaker",
            CircuitBreaker,
            r"^circuit_breaker=<class .*>: give a trio_steps\.CircuitBreaker: circuit_breaker=Circ",
        ),
        ("retry", 3, r"^retry=3: give a trio_steps\.Retry: retry=Retry\(3, delay=0\.5\)$"),
        ("rate", 10, r"^rate=10: give a trio_steps\.RateLimit: rate=RateLimit\(10, per=1\.0\)$"),
        (
            "max_waiting",
            -1,
            r"^max_waiting=-1: give how many calls may wait for the limiter, 0 or more: max_waiting=10$",
        ),
        ("max_waiting", True, r"^max_waiting=True: give how many"),
        (
            "max_waiting",
            3,
            r"^max_waiting=3 limits the line for a limiter, but there is no limiter: add limiter=trio\.Cap",
        ),
        ("retry", Retry, r"^retry=<class .*>: give a trio_steps\.Retry: retry=Retry\(3, delay=0\.5\)$"),
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


# The order, pair by pair


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
    """The breaker is asked after the token has been taken, not before."""
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


async def test_retry_is_outside_circuit_breaker(autojump_clock) -> None:
    """Each attempt is one call."""
    breaker = CircuitBreaker(3, 100)
    guarded = step(Body(*boom(6), "never"), circuit_breaker=breaker, retry=Retry(2))
    with pytest.raises(BoomError):
        await guarded()
    assert breaker.state == "closed"
    with pytest.raises(CircuitOpenError) as caught:
        await guarded()
    assert breaker.state == "open"
    assert caught.value.__notes__ == ["after 2 of 2 attempts", "in step 'body'"]


async def test_retry_is_outside_circuit_breaker_so_that_an_attempt_that_succeeds_closes_it(autojump_clock) -> None:
    breaker = CircuitBreaker(2, 100)
    guarded = step(Body(BoomError(), "fine", BoomError(), "fine"), circuit_breaker=breaker, retry=Retry(2))
    assert await guarded() == "fine"
    assert await guarded() == "fine"
    assert breaker.state == "closed"


async def test_retry_is_outside_circuit_breaker_whose_refusal_is_not_tried_again(autojump_clock) -> None:
    breaker = await opened(cooldown=1)
    body = Body("never")
    with pytest.raises(CircuitOpenError) as caught:
        await step(body, circuit_breaker=breaker, retry=Retry(5, delay=1))()
    assert trio.current_time() == 0
    assert caught.value.__notes__ == ["after 1 of 5 attempts", "in step 'body'"]
    assert body.starts == []


async def test_retry_outlasts_an_open_breaker_if_it_is_told_to(autojump_clock) -> None:
    breaker = await opened(cooldown=3)
    body = Body("fine")
    waiting = Retry(5, delay=lambda error, attempt: error.retry_after, on=(OSError, CircuitOpenError))
    assert await step(body, circuit_breaker=breaker, retry=waiting)() == "fine"
    assert body.starts == [3]


async def test_circuit_breaker_is_outside_rate(autojump_clock) -> None:
    """A refused call takes no permit, and a call that waits for a permit has been let in."""
    rate = RateLimit(1, per=5)
    breaker = await opened(cooldown=1)
    refused = step(Body("never"), circuit_breaker=breaker, rate=rate)
    with pytest.raises(CircuitOpenError):
        await refused()
    await step(Body("fine"), rate=rate)()
    await trio.sleep(1)
    probe = Body("fine")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(step(probe, circuit_breaker=breaker, rate=rate))
        await trio.sleep(1)
        with pytest.raises(CircuitOpenError, match="a probe is under way"):
            await refused()
    assert probe.starts == [5]


async def test_retry_is_outside_rate(autojump_clock) -> None:
    """Each attempt is a request."""
    body = Body(*boom(2), "fine")
    assert await step(body, retry=Retry(3), rate=RateLimit(1, per=2))() == "fine"
    assert body.starts == [0, 2, 4]


async def test_rate_is_outside_timeout(autojump_clock) -> None:
    """The time spent waiting for a permit does not count."""
    rate = RateLimit(1, per=5)
    body = Body("first", "second", seconds=1)
    guarded = step(body, rate=rate, timeout=2)
    assert [await guarded(), await guarded()] == ["first", "second"]
    assert body.starts == [0, 5]


async def test_total_timeout_is_outside_rate(autojump_clock) -> None:
    rate = RateLimit(1, per=5)
    body = Body("first", "third")
    guarded = step(body, rate=rate, total_timeout=2)
    await guarded()
    with pytest.raises(StepTimeoutError):
        await guarded()
    assert trio.current_time() == 2
    await trio.sleep(3)
    assert await guarded() == "third"  # the cancelled call did not take the permit
    assert body.starts == [0, 5]


async def test_retry_is_outside_timeout(autojump_clock) -> None:
    """Each attempt has the full timeout, and the sleep in between does not count."""
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
    """It ends the attempt, which counts as a failure."""
    breaker = CircuitBreaker(1, 10)
    with pytest.raises(StepTimeoutError):
        await step(trio.sleep_forever, circuit_breaker=breaker, total_timeout=1)()
    assert breaker.state == "open"


async def test_circuit_breaker_is_outside_timeout(autojump_clock) -> None:
    """An attempt that is too slow counts as a failure."""
    breaker = CircuitBreaker(1, 10)
    with pytest.raises(StepTimeoutError):
        await step(trio.sleep_forever, circuit_breaker=breaker, timeout=1)()
    assert breaker.state == "open"


async def test_limiter_is_outside_timeout(autojump_clock) -> None:
    """The time spent waiting for a token does not count."""
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


# max_waiting


async def test_max_waiting_refuses_a_call_when_so_many_wait_already(autojump_clock) -> None:
    limiter = trio.CapacityLimiter(1)
    body = Body("first", "second", "third", seconds=2)
    guarded = step(body, limiter=limiter, max_waiting=2)

    async def outer():
        await guarded()

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(guarded)
        await trio.sleep(1)
        with pytest.raises(QueueFullError) as caught:
            await step(outer)()
        assert trio.current_time() == 1
    assert (caught.value.step, caught.value.waiting) == ("outer/body", 2)
    assert str(caught.value) == "'outer/body' was not tried: its limiter has no free token, and 2 calls wait for one"
    assert body.starts == [0, 2, 4]


async def test_max_waiting_counts_whoever_waits_for_the_limiter(autojump_clock) -> None:
    limiter = trio.CapacityLimiter(1)

    async def stranger():
        async with limiter:
            await trio.sleep(2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stranger)
        nursery.start_soon(stranger)
        await trio.sleep(1)
        with pytest.raises(QueueFullError, match="and 1 call waits for one"):
            await step(Body("never"), limiter=limiter, max_waiting=1)()


async def test_max_waiting_of_zero_lets_nobody_wait(autojump_clock) -> None:
    limiter = trio.CapacityLimiter(1)
    guarded = step(Body("first", "second", seconds=2), limiter=limiter, max_waiting=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(guarded)
        await trio.sleep(1)
        with pytest.raises(QueueFullError, match="and no call may wait for one"):
            await guarded()
    assert await guarded() == "second"


async def test_max_waiting_does_not_refuse_who_runs_on_a_lent_token(autojump_clock) -> None:
    limiter = trio.CapacityLimiter(1)
    inner = step(Body("fine"), limiter=limiter, max_waiting=0)

    async def outer():
        return await inner()

    assert await step(outer, limiter=limiter, max_waiting=0)() == "fine"


async def test_max_waiting_is_no_failure_of_an_attempt(autojump_clock) -> None:
    """The limiter is outside of the retry, so no attempt has begun, and none is made."""
    limiter = trio.CapacityLimiter(1)
    events = []
    async with limiter:
        with pytest.raises(QueueFullError):
            await step(Body("never"), limiter=limiter, max_waiting=0, retry=Retry(3, delay=1)).run(
                observers=[events.append]
            )
    assert trio.current_time() == 0
    assert [type(event).__name__ for event in events] == ["StepStarted", "StepFailed"]


# Tracebacks


async def test_traceback_of_a_step_with_policies_shows_the_users_frames_alone(autojump_clock) -> None:
    async def inner():
        raise BoomError

    async def body():
        await inner()

    policies = {
        "total_timeout": 9,
        "limiter": trio.CapacityLimiter(1),
        "retry": Retry(2),
        "circuit_breaker": CircuitBreaker(9, 9),
        "rate": RateLimit(9, per=9),
        "timeout": 9,
    }
    with pytest.raises(BoomError) as caught:
        await step(body, **policies)()
    assert [frame.name for frame in traceback.extract_tb(caught.tb)][1:] == ["body", "inner"]
    with pytest.raises(ForkPartialError) as caught:
        await fork("f", mode="all", paths=[step(body, **policies)])()
    [error] = caught.value.exceptions
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == ["body", "inner"]


async def test_traceback_of_a_timeout_has_no_frame_of_ours(autojump_clock) -> None:
    with pytest.raises(StepTimeoutError) as caught:
        await step(trio.sleep_forever, timeout=1, retry=Retry(2))()
    assert [frame.name for frame in traceback.extract_tb(caught.tb)][1:] == []


# Events


async def test_events_tell_the_beginning_and_the_end_of_each_attempt(autojump_clock) -> None:
    events = []
    error = BoomError()
    await step(Body(error, "fine", seconds=1), retry=Retry(2, delay=3)).run(observers=[events.append])
    name, scope = "body", ANY_SCOPE
    assert events == [
        StepStarted(name=name, time=0, scope=scope),
        AttemptStarted(name=name, time=0, scope=scope, attempt=1),
        AttemptEnded(name=name, time=1, scope=scope, attempt=1, duration=1, status="failed", error=error),
        StepRetrying(name=name, time=1, scope=scope, attempt=1, error=error, delay=3),
        AttemptStarted(name=name, time=4, scope=scope, attempt=2),
        AttemptEnded(name=name, time=5, scope=scope, attempt=2, duration=1, status="succeeded"),
        StepSucceeded(name=name, time=5, scope=scope, duration=5),
    ]


async def test_events_tell_of_an_attempt_that_is_cancelled_or_interrupted(autojump_clock) -> None:
    events = []
    with trio.move_on_after(1):
        await step(trio.sleep_forever, retry=Retry(2)).run(observers=[events.append])
    with pytest.raises(KeyboardInterrupt):
        await step(Body(KeyboardInterrupt()), retry=Retry(2)).run(observers=[events.append])
    ends = [event for event in events if isinstance(event, AttemptEnded)]
    assert [(end.status, type(end.error).__name__) for end in ends] == [
        ("cancelled", "NoneType"),
        ("failed", "KeyboardInterrupt"),
    ]


async def test_events_tell_who_waited_for_a_limit_and_how_long(autojump_clock) -> None:
    events = []
    limiter = trio.CapacityLimiter(1)
    rate = RateLimit(1, per=5)
    guarded = step(Body(1, 2), id="s", limiter=limiter, rate=rate)
    async with trio.open_nursery() as nursery, limiter:
        nursery.start_soon(functools.partial(guarded.run, observers=[events.append]))
        await trio.sleep(2)
    await guarded.run(observers=[events.append])
    assert [event for event in events if isinstance(event, LimitWaited)] == [
        LimitWaited(name="s", time=2, scope=ANY_SCOPE, limit="limiter", duration=2),
        LimitWaited(name="s", time=7, scope=ANY_SCOPE, limit="rate", duration=5),
    ]


async def test_events_tell_which_attempt_opened_or_closed_a_breaker(autojump_clock) -> None:
    events = []
    guarded = step(Body(*boom(2), "fine"), circuit_breaker=CircuitBreaker(2, 3), retry=Retry(3, delay=3))
    await guarded.run(observers=[events.append])
    assert [event for event in events if isinstance(event, CircuitChanged)] == [
        CircuitChanged(name="body", time=3, scope=ANY_SCOPE, state="open"),
        CircuitChanged(name="body", time=6, scope=ANY_SCOPE, state="closed"),
    ]
