"""`timeout` and `total_timeout`: the error names the step and its time, and nothing is lost."""

from __future__ import annotations

import math

import pytest
import trio
import trio.testing
from bodies import Body, BoomError
from paths import ANY_SCOPE

from trio_steps import (
    Retry,
    StepTimeoutError,
    ValueDiscarded,
    step,
)

# Timeout


async def test_timeout_raises_a_step_timeout_error_with_the_full_name_and_the_seconds(autojump_clock) -> None:
    async def outer():
        await step(trio.sleep_forever, timeout=2.5)()

    with pytest.raises(StepTimeoutError) as caught:
        await step(outer)()
    assert trio.current_time() == 2.5
    assert isinstance(caught.value, trio.TooSlowError)
    assert (caught.value.step, caught.value.seconds) == ("outer/sleep_forever", 2.5)
    assert caught.value.__notes__ == ["in step 'outer/sleep_forever'"]


async def test_timeout_leaves_a_body_that_is_in_time_alone(autojump_clock) -> None:
    assert await step(Body(7, seconds=2), timeout=2.5)() == 7
    assert trio.current_time() == 2


async def test_timeout_leaves_the_error_of_a_body_that_is_in_time_alone(autojump_clock) -> None:
    error = BoomError()
    with pytest.raises(BoomError) as caught:
        await step(Body(error, seconds=2), timeout=2.5)()
    assert caught.value is error


async def test_timeout_may_be_infinite(autojump_clock) -> None:
    assert await step(Body(7, seconds=1e6), timeout=math.inf, total_timeout=math.inf)() == 7


@pytest.mark.parametrize("policy", ["timeout", "total_timeout"])
async def test_timeout_is_raised_when_the_clean_up_of_the_body_is_over(policy, autojump_clock) -> None:
    stopped = []

    async def body():
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)
            stopped.append(trio.current_time())

    with pytest.raises(StepTimeoutError):
        await step(body, **{policy: 1})()
    assert stopped == [4]
    assert trio.current_time() == 4


@pytest.mark.parametrize("policy", ["timeout", "total_timeout"])
async def test_timeout_is_raised_when_the_tasks_of_the_body_have_stopped(policy, autojump_clock) -> None:
    stopped = []

    async def task():
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)
            stopped.append(trio.current_time())

    async def body():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(task)
            nursery.start_soon(task)

    with pytest.raises(StepTimeoutError):
        await step(body, **{policy: 1})()
    assert stopped == [4, 4]


@pytest.mark.parametrize("policy", ["timeout", "total_timeout"])
async def test_timeout_of_a_body_that_shields_itself_and_returns_is_raised_and_the_value_is_discarded(
    policy, autojump_clock
) -> None:
    events = []

    async def body():
        with trio.CancelScope(shield=True):
            await trio.sleep(3)
        return 7

    with pytest.raises(StepTimeoutError) as caught:
        await step(body, **{policy: 1}).run(observers=[events.append])
    assert caught.value.seconds == 1
    assert trio.current_time() == 3
    assert [event for event in events if isinstance(event, ValueDiscarded)] == [
        ValueDiscarded(name="body", time=3, scope=ANY_SCOPE, value=7, disposed=False)
    ]


@pytest.mark.parametrize("policy", ["timeout", "total_timeout"])
@pytest.mark.parametrize(("seconds", "late"), [(0.5, False), (1, True), (2, True)])
async def test_timeout_of_a_sync_body_that_ends_at_its_deadline_or_later_is_raised(
    policy, seconds, late, autojump_clock
) -> None:
    """Nothing can stop it, so its value is late."""

    def body():
        autojump_clock.jump(seconds)
        return 7

    guarded = step(body, **{policy: 1})
    if not late:
        assert await guarded() == 7
        return
    with pytest.raises(StepTimeoutError) as caught:
        await guarded()
    assert (caught.value.step, caught.value.seconds) == ("body", 1)


@pytest.mark.parametrize("policy", ["timeout", "total_timeout"])
async def test_timeout_leaves_an_error_of_the_body_alone_however_late(policy, autojump_clock) -> None:
    error = BoomError()

    def body():
        autojump_clock.jump(9)
        raise error

    with pytest.raises(BoomError) as caught:
        await step(body, **{policy: 1})()
    assert caught.value is error


async def test_timeout_of_an_async_body_that_ends_at_its_deadline_is_raised(autojump_clock) -> None:
    with pytest.raises(StepTimeoutError):
        await step(trio.sleep, timeout=2)(2)
    assert trio.current_time() == 2


async def test_timeout_of_a_sync_body_is_tried_again_in_time_for_the_next_attempt(autojump_clock) -> None:
    seconds = iter([5, 0.5])

    def body():
        autojump_clock.jump(next(seconds))
        return "in time"

    assert await step(body, timeout=1, retry=Retry(2, delay=1))() == "in time"
    assert trio.current_time() == 6.5


@pytest.mark.parametrize("policy", ["timeout", "total_timeout"])
async def test_timeout_of_a_body_whose_clean_up_fails_loses_no_error(policy, autojump_clock) -> None:
    error = BoomError("clean-up")

    async def body():
        try:
            await trio.sleep_forever()
        finally:
            raise error

    with pytest.raises(BoomError) as caught:
        await step(body, **{policy: 1})()
    assert caught.value is error
    assert isinstance(error.__context__, trio.Cancelled)
    assert trio.current_time() == 1


async def test_timeout_of_a_body_with_a_task_whose_clean_up_fails_loses_no_error(autojump_clock) -> None:
    """The group keeps the error. The cancellations in it came from the timeout."""
    error = BoomError("clean-up")

    async def task():
        try:
            await trio.sleep_forever()
        finally:
            raise error

    async def body():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(task)
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await step(body, timeout=1)()
    assert caught.value.exceptions == (error,)


async def test_timeout_gives_way_to_a_cancellation_from_outside(autojump_clock) -> None:
    """The body is in its clean-up after the timeout when the scope around is cancelled."""

    async def body():
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)
            await trio.lowlevel.checkpoint()

    with trio.move_on_after(2) as scope:
        await step(body, timeout=1)()
    assert scope.cancelled_caught
    assert trio.current_time() == 4


async def test_timeout_is_not_raised_for_a_cancellation_from_outside(autojump_clock) -> None:
    with trio.move_on_after(1) as scope:
        await step(trio.sleep_forever, timeout=2, total_timeout=3)()
    assert scope.cancelled_caught
    assert trio.current_time() == 1


async def test_timeout_of_an_inner_step_can_be_caught_by_the_outer_one(autojump_clock) -> None:
    async def outer():
        with pytest.raises(StepTimeoutError):
            await step(trio.sleep_forever, timeout=1)()
        await trio.sleep(1)
        return "fallback"

    assert await step(outer, timeout=3)() == "fallback"
    assert trio.current_time() == 2


async def test_timeout_tells_which_of_two_was_over(autojump_clock) -> None:
    body = step(trio.sleep_forever, id="s", timeout=1, total_timeout=2)
    with pytest.raises(StepTimeoutError) as caught:
        await body()
    assert caught.value.seconds == 1


async def test_timeout_starts_anew_in_each_run(autojump_clock) -> None:
    slow = step(trio.sleep, timeout=2)
    for _ in range(3):
        await slow(1.5)
    assert trio.current_time() == 4.5
