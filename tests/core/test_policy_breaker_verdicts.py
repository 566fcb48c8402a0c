"""What the end of an attempt means for a `CircuitBreaker`: a success, a failure, or nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
import trio.testing
from bodies import Body, BoomError, boom, opened

from trio_steps import (
    CircuitBreaker,
    CircuitOpenError,
    RateLimit,
    Retry,
    StepTimeoutError,
    gather,
    race,
    step,
)

# Circuit breaker: which errors are the service's fault


class NotFoundError(Exception):
    pass


@pytest.mark.parametrize(
    ("on", "error", "fault"),
    [
        (Exception, NotFoundError(), True),
        (OSError, NotFoundError(), False),
        (OSError, ConnectionError(), True),
        ((OSError, NotFoundError), NotFoundError(), True),
        ((), OSError(), False),
        (lambda error: not isinstance(error, NotFoundError), NotFoundError(), False),
        (lambda error: not isinstance(error, NotFoundError), OSError(), True),
        (OSError, ExceptionGroup("", [NotFoundError(), OSError()]), True),
        (OSError, ExceptionGroup("", [NotFoundError(), ExceptionGroup("", [OSError()])]), True),
        (OSError, ExceptionGroup("", [NotFoundError()]), False),
        (ExceptionGroup, ExceptionGroup("", [NotFoundError()]), True),
    ],
)
async def test_breaker_counts_the_errors_it_was_told(on, error, fault, autojump_clock) -> None:
    breaker = CircuitBreaker(1, 10, on=on)
    with pytest.raises(type(error)) as caught:
        await step(Body(error), circuit_breaker=breaker)()
    assert caught.value is error
    assert breaker.state == ("open" if fault else "closed")


async def test_breaker_takes_any_other_error_for_a_success(autojump_clock) -> None:
    breaker = CircuitBreaker(2, 10, on=OSError)
    guarded = step(Body(OSError(), NotFoundError(), OSError(), OSError()), circuit_breaker=breaker)
    states = []
    for _ in range(4):
        with pytest.raises((OSError, NotFoundError)):
            await guarded()
        states.append(breaker.state)
    assert states == ["closed", "closed", "closed", "open"]


async def test_breaker_closes_when_the_probe_raises_what_is_not_the_fault_of_the_service(autojump_clock) -> None:
    breaker = CircuitBreaker(1, 10, on=OSError)
    guarded = step(Body(OSError("down"), NotFoundError()), circuit_breaker=breaker)
    with pytest.raises(OSError, match=r"^down"):
        await guarded()
    await trio.sleep(10)
    with pytest.raises(NotFoundError):
        await guarded()
    assert breaker.state == "closed"


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
async def test_breaker_whose_predicate_raises_gets_the_probe_back(error, autojump_clock) -> None:
    answers = iter([True, error])

    def fault(error):
        answer = next(answers)
        if answer is True:
            return True
        raise answer

    breaker = CircuitBreaker(1, 10, on=fault)
    guarded = step(Body(*boom(2), "fine"), circuit_breaker=breaker)
    with pytest.raises(BoomError):
        await guarded()
    await trio.sleep(10)
    with pytest.raises(type(error)) as caught:
        await guarded()
    assert isinstance(caught.value.__context__, BoomError)
    assert breaker.state == "open"
    assert await guarded() == "fine"


@pytest.mark.parametrize("policy", ["timeout", "total_timeout"])
async def test_breaker_counts_an_attempt_that_was_too_slow_whatever_on_says(policy, autojump_clock) -> None:
    breaker = CircuitBreaker(1, 10, on=OSError)
    with pytest.raises(StepTimeoutError):
        await step(trio.sleep_forever, circuit_breaker=breaker, **{policy: 1})()
    assert breaker.state == "open"


@pytest.mark.parametrize("policy", ["timeout", "total_timeout"])
async def test_breaker_counts_a_sync_attempt_that_was_too_slow(policy, autojump_clock) -> None:
    breaker = CircuitBreaker(1, 10)
    with pytest.raises(StepTimeoutError):
        await step(lambda: autojump_clock.jump(5), circuit_breaker=breaker, **{policy: 1})()
    assert breaker.state == "open"


@pytest.mark.parametrize("policy", ["timeout", "total_timeout"])
async def test_breaker_counts_an_attempt_that_was_too_slow_and_failed_in_its_clean_up(policy, autojump_clock) -> None:
    breaker = CircuitBreaker(1, 10, on=OSError)

    async def body():
        try:
            await trio.sleep_forever()
        finally:
            raise NotFoundError

    with pytest.raises(NotFoundError):
        await step(body, circuit_breaker=breaker, **{policy: 1})()
    assert breaker.state == "open"


# Circuit breaker: an attempt that was cancelled from outside counts neither way


def loses(end):
    """Return a body that is cancelled, but ends in another way."""

    async def body():
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            if end == "raises":
                raise BoomError from None
            if end == "is cancelled":
                raise
        return "late"

    return body


@pytest.mark.parametrize("end", ["raises", "returns", "is cancelled"])
@pytest.mark.parametrize("policies", [{}, {"total_timeout": 9}, {"timeout": 9}], ids=lambda policies: "".join(policies))
async def test_breaker_counts_no_attempt_that_was_cancelled_from_outside(end, policies, autojump_clock) -> None:
    breaker = CircuitBreaker(2, 10)
    with pytest.raises(BoomError):
        await step(Body(BoomError()), circuit_breaker=breaker)()
    with trio.move_on_after(1), suppress(BoomError):
        await step(loses(end), circuit_breaker=breaker, **policies)()
    assert breaker.state == "closed"
    with pytest.raises(BoomError):
        await step(Body(BoomError()), circuit_breaker=breaker)()
    assert breaker.state == "open"  # the second failure in a row, with no success in between


@pytest.mark.parametrize("end", ["raises", "returns", "is cancelled"])
@pytest.mark.parametrize("policies", [{}, {"total_timeout": 9}, {"timeout": 9}], ids=lambda policies: "".join(policies))
async def test_breaker_gets_the_probe_back_from_an_attempt_that_was_cancelled_from_outside(
    end, policies, autojump_clock
) -> None:
    breaker = await opened(cooldown=10)
    await trio.sleep(10)
    with trio.move_on_after(1), suppress(BoomError):
        await step(loses(end), circuit_breaker=breaker, **policies)()
    assert breaker.state == "open"
    assert await step(Body("fine"), circuit_breaker=breaker)() == "fine"
    assert breaker.state == "closed"


async def test_breaker_counts_no_attempt_whose_total_time_was_over_after_it_was_cancelled(autojump_clock) -> None:
    breaker = CircuitBreaker(1, 10)

    async def body():
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(9)

    with trio.move_on_after(1) as scope:
        await step(body, circuit_breaker=breaker, total_timeout=2)()
    assert scope.cancelled_caught
    assert breaker.state == "closed"


async def test_breaker_counts_no_sync_attempt_during_which_a_deadline_outside_has_passed(autojump_clock) -> None:
    """Trio has not delivered the cancellation yet, but will."""
    breaker = CircuitBreaker(1, 10)

    def body():
        autojump_clock.jump(5)
        raise BoomError

    with trio.move_on_after(1), pytest.raises(BoomError):
        await step(body, circuit_breaker=breaker)()
    assert breaker.state == "closed"


async def test_breaker_says_nothing_of_a_race_that_was_won(autojump_clock) -> None:
    breaker = CircuitBreaker(3, 60)

    async def fast():
        await trio.sleep(1)
        return "a"

    for _ in range(3):
        assert await race(fast, step(loses("raises"), circuit_breaker=breaker)) == "a"
    assert breaker.state == "closed"


async def test_breaker_gets_the_probe_back_from_an_attempt_that_waits_for_a_permit(autojump_clock) -> None:
    """It ran out of time before the service was called."""
    breaker = await opened(cooldown=1)
    rate = RateLimit(1, per=10)
    await rate.acquire()
    await trio.sleep(1)
    with pytest.raises(StepTimeoutError):
        await step(Body("never"), circuit_breaker=breaker, rate=rate, total_timeout=2)()
    assert trio.current_time() == 3
    assert await step(Body("fine"), circuit_breaker=breaker)() == "fine"


# Circuit breaker: a step inside a probe


async def test_breaker_takes_a_step_inside_its_probe_for_a_part_of_it(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    low = step(Body("up"), id="low", circuit_breaker=breaker)

    @step(circuit_breaker=breaker)
    async def high():
        [value] = await gather(low)  # a path, two levels down
        assert breaker.state == "open"
        return value

    await trio.sleep(10)
    assert await high() == "up"
    assert breaker.state == "closed"


async def test_breaker_is_told_by_the_probe_and_not_by_a_step_inside_it(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    low = step(Body(BoomError(), "up"), id="low", circuit_breaker=breaker, retry=Retry(2))

    @step(circuit_breaker=breaker)
    async def high():
        return await low()

    await trio.sleep(10)
    assert await high() == "up"
    assert breaker.state == "closed"


async def test_breaker_refuses_a_step_that_a_probe_left_behind(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    low = step(Body("never"), circuit_breaker=breaker)
    refused = []

    async def later():
        await trio.sleep(1)
        with pytest.raises(CircuitOpenError):
            await low()
        refused.append(trio.current_time())

    async with trio.open_nursery() as nursery:

        @step(circuit_breaker=breaker)
        async def high():
            nursery.start_soon(later)
            raise BoomError

        await trio.sleep(10)
        with pytest.raises(BoomError):
            await high()
    assert refused == [11]


async def test_breaker_knows_the_probe_of_another_breaker_from_its_own(autojump_clock) -> None:
    breaker, other = await opened(cooldown=10), await opened(cooldown=10)
    low = step(Body("never"), circuit_breaker=other)

    @step(circuit_breaker=breaker)
    async def high():
        await low()

    await trio.sleep(9)
    assert [one.state for one in (breaker, other)] == ["open", "open"]
    await trio.sleep(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(step(Body("slow", seconds=5), circuit_breaker=other))
        await trio.sleep(1)
        with pytest.raises(CircuitOpenError):
            await high()


async def test_breakers_of_a_step_made_of_a_step_are_both_asked(autojump_clock) -> None:
    """They share a scope, and each knows its own probe."""
    first, second = await opened(cooldown=10), await opened(cooldown=10)
    both = step(step(Body("fine"), circuit_breaker=first), circuit_breaker=second)
    await trio.sleep(10)
    assert await both() == "fine"
    assert (first.state, second.state) == ("closed", "closed")
