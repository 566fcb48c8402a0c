"""The cause of a cancellation: who or what cancelled a step."""

from __future__ import annotations

import signal

import pytest
import trio

from trio_steps import ForkPartialError, Pipeline, Retry, StepCancelled, fork, race, settle, step
from trio_steps.testing import RecordingObserver


async def forever() -> None:
    await trio.sleep_forever()


def reasons(seen: RecordingObserver) -> dict[str, str]:
    """Why each step was cancelled, by its name."""
    return {event.name: event.reason for event in seen.of(StepCancelled)}


async def test_cause_is_the_timeout_of_a_step_around_and_its_name() -> None:
    seen = RecordingObserver()
    inner = fork("inner", mode="all", paths=[forever])
    with pytest.raises(trio.TooSlowError):
        await step(inner, id="outer", timeout=2).run(observers=[seen])
    assert reasons(seen) == dict.fromkeys(["outer/forever"], "timeout of 2 s of step 'outer'")


async def test_cause_is_the_timeout_that_fired_and_no_other() -> None:
    seen = RecordingObserver()
    patient = step(step(forever), id="patient", timeout=5)
    with pytest.raises(trio.TooSlowError):
        await step(lambda: race(patient), id="outer", total_timeout=2).run(observers=[seen])
    assert set(reasons(seen).values()) == {"timeout of 2 s of step 'outer'"}


async def test_cause_is_a_timeout_of_a_step_of_a_pipeline() -> None:
    seen = RecordingObserver()

    async def work() -> None:
        await step(forever)()

    with pytest.raises(trio.TooSlowError):
        await Pipeline("p").step("work", work, timeout=0.5).run({}, observers=[seen])
    assert reasons(seen) == {"work/forever": "timeout of 0.5 s of step 'work'"}


async def test_cause_is_a_timeout_that_is_no_step_s() -> None:
    seen = RecordingObserver()
    with trio.move_on_after(1):
        await step(step(forever), id="patient", timeout=5).run(observers=[seen])
    assert reasons(seen) == {"patient": "a timeout around it"}


async def test_timeout_that_is_over_is_not_the_cause() -> None:
    """A later cancellation in the same task, by another deadline, is not blamed on it."""
    seen = RecordingObserver()
    await step(lambda: None, id="quick", timeout=1)()
    with trio.move_on_after(5):
        await step(forever).run(observers=[seen])
    assert reasons(seen) == {"forever": "a timeout around it"}


async def test_cause_is_the_task_that_cancelled_and_no_address() -> None:
    seen = RecordingObserver()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_soon, scope)
            await step(forever).run(observers=[seen])
    assert reasons(seen) == {"forever": f"by task '{__name__}.cancel_soon'"}


async def cancel_soon(scope: trio.CancelScope) -> None:
    await trio.sleep(1)
    scope.cancel()


async def test_cause_is_the_reason_that_was_given() -> None:
    seen = RecordingObserver()
    with trio.CancelScope() as scope:
        scope.cancel("the client has left")
        await step(forever).run(observers=[seen])
    assert reasons(seen) == {"forever": "the client has left"}


def test_cause_is_not_known_if_no_task_cancelled() -> None:
    seen = RecordingObserver()
    scope = trio.CancelScope()
    scope.cancel()

    async def main() -> None:
        with scope:
            await step(forever).run(observers=[seen])

    trio.run(main)
    assert reasons(seen) == {"forever": "cancelled"}


def test_cause_is_ctrl_c() -> None:
    seen = RecordingObserver()

    async def interrupt() -> None:
        await trio.sleep(1)
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        trio.run(
            lambda: settle(interrupt, forever, observers=[seen]), clock=trio.testing.MockClock(autojump_threshold=0)
        )
    assert set(reasons(seen).values()) == {"Ctrl-C"}
    assert "settle/forever" in reasons(seen)


async def test_cause_is_ctrl_c_in_a_task_beside() -> None:
    seen = RecordingObserver()

    async def interrupted() -> None:
        await trio.sleep(1)
        raise KeyboardInterrupt

    with pytest.raises(BaseExceptionGroup):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interrupted)
            await step(forever).run(observers=[seen])
    assert reasons(seen) == {"forever": "Ctrl-C"}


async def test_cause_is_the_failure_of_a_task_beside() -> None:
    seen = RecordingObserver()

    async def fails() -> None:
        await trio.sleep(1)
        raise ValueError(7)

    with pytest.raises(ExceptionGroup):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails)
            await step(forever, retry=Retry(2)).run(observers=[seen])
    assert reasons(seen) == {"forever": "child task raised exception ValueError(7)"}


async def test_cause_is_a_decision_and_whose() -> None:
    seen = RecordingObserver()

    async def fails() -> None:
        await trio.sleep(1)
        raise ValueError(7)

    with pytest.raises(ForkPartialError) as caught:
        await fork("both", mode="all", paths=[fails, forever]).run(observers=[seen])
    assert reasons(seen) == {"both/forever": "fork 'both': path 'fails' failed: ValueError(7)"}
    assert "fork 'both': path 'fails' failed" in str(caught.value.failed[1].error)
