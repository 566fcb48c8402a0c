"""`Retry`: which errors, how often, and after which delay."""

from __future__ import annotations

import random

import pytest
import trio
import trio.testing
from bodies import Body, BoomError, boom
from paths import ANY_SCOPE

from trio_steps import (
    Retry,
    StepRetrying,
    StepTimeoutError,
    step,
)

# Retry: the plan


@pytest.mark.parametrize(
    ("retry", "delays"),
    [
        (Retry(9), [0, 0, 0, 0]),
        (Retry(9, delay=0.5), [0.5, 0.5, 0.5, 0.5]),
        (Retry(9, backoff="fixed", delay=2), [2, 2, 2, 2]),
        (Retry(9, backoff="linear", delay=0.5), [0.5, 1, 1.5, 2]),
        (Retry(9, backoff="exponential", delay=0.5), [0.5, 1, 2, 4]),
        (Retry(9, backoff="fixed", delay=3, max_delay=2), [2, 2, 2, 2]),
        (Retry(9, backoff="linear", delay=1, max_delay=2.5), [1, 2, 2.5, 2.5]),
        (Retry(9, backoff="exponential", delay=1, max_delay=5), [1, 2, 4, 5]),
        (Retry(9, backoff="exponential", delay=1, max_delay=0), [0, 0, 0, 0]),
    ],
)
def test_retry_delay_grows_as_told(retry, delays) -> None:
    assert [retry.delay_after(attempt) for attempt in (1, 2, 3, 4)] == delays


@pytest.mark.parametrize(("delay", "expected"), [(0, 0), (0.25, 60), (3, 60)])
def test_retry_delay_of_a_very_long_exponential_retry_is_still_a_number(delay, expected) -> None:
    retry = Retry(10_000, backoff="exponential", delay=delay, max_delay=60)
    assert retry.delay_after(9_999) == expected


def test_retry_delay_without_jitter_asks_for_no_random_number(monkeypatch) -> None:
    def refuse():
        raise AssertionError

    monkeypatch.setattr(random, "random", refuse)
    assert Retry(3, delay=2).delay_after(1) == 2


@pytest.mark.parametrize(
    ("jitter", "drawn", "delay"),
    [(0.25, 0.0, 8.0), (0.25, 1.0, 6.0), (0.25, 0.5, 7.0), (1, 0.75, 2.0), (1, 0.0, 8.0)],
)
def test_retry_jitter_takes_its_random_part_off_the_delay(jitter, drawn, delay, monkeypatch) -> None:
    monkeypatch.setattr(random, "random", lambda: drawn)
    assert Retry(3, delay=8, jitter=jitter).delay_after(1) == delay


def test_retry_jitter_takes_its_part_of_the_delay_after_max_delay(monkeypatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.5)
    assert Retry(3, delay=8, max_delay=4, jitter=0.5).delay_after(1) == 3


def test_retry_jitter_stays_in_its_bounds_and_differs_each_time() -> None:
    state = random.getstate()
    try:
        random.seed(0)
        retry = Retry(3, delay=8, jitter=0.25)
        delays = [retry.delay_after(1) for _ in range(1_000)]
    finally:
        random.setstate(state)
    assert all(6 < delay <= 8 for delay in delays)
    assert len(set(delays)) == 1_000
    assert min(delays) < 6.1
    assert max(delays) > 7.9


@pytest.mark.parametrize(
    ("on", "wanted"),
    [
        (Exception, {"OSError", "ConnectionError", "ValueError"}),
        (OSError, {"OSError", "ConnectionError"}),
        ((ConnectionError, ValueError), {"ConnectionError", "ValueError"}),
        ((), set()),
        (lambda error: error.args == ("yes",), {"ConnectionError"}),
        (lambda error: error.args, {"ConnectionError"}),
    ],
)
def test_retry_wants_the_errors_it_was_told(on, wanted) -> None:
    retry = Retry(3, on=on)
    errors = [OSError(), ConnectionError("yes"), ValueError()]
    answers = {type(error).__name__: retry.wants(error) for error in errors}
    assert {name for name, answer in answers.items() if answer is True} == wanted
    assert {type(answer) for answer in answers.values()} == {bool}


# Retry: a run


async def test_retry_tries_until_it_succeeds(autojump_clock) -> None:
    body = Body(*boom(2), "done", seconds=1)
    assert await step(body, retry=Retry(5, backoff="exponential", delay=2))() == "done"
    assert body.starts == [0, 3, 8]
    assert trio.current_time() == 9


async def test_retry_leaves_no_trace_of_attempts_that_failed_before_one_succeeded(autojump_clock) -> None:
    error = BoomError()
    await step(Body(error, "done"), retry=Retry(2))()
    assert not hasattr(error, "__notes__")


async def test_retry_raises_the_last_error_with_the_number_of_attempts(autojump_clock) -> None:
    errors = boom(3)
    with pytest.raises(BoomError) as caught:
        await step(Body(*errors), retry=Retry(3, delay=1))()
    assert caught.value is errors[2]
    assert caught.value.__notes__ == ["after 3 of 3 attempts", "in step 'body'"]
    assert trio.current_time() == 2


async def test_retry_of_one_attempt_tries_once(autojump_clock) -> None:
    [error] = boom(1)
    with pytest.raises(BoomError) as caught:
        await step(Body(error), retry=Retry(1, delay=5))()
    assert caught.value.__notes__ == ["after 1 of 1 attempts", "in step 'body'"]
    assert trio.current_time() == 0


async def test_retry_raises_an_error_it_does_not_want_at_once(autojump_clock) -> None:
    error = ValueError("unwanted")
    body = Body(OSError(), error, "never")
    with pytest.raises(ValueError, match=r"^unwanted") as caught:
        await step(body, retry=Retry(5, delay=1, on=OSError))()
    assert caught.value is error
    assert caught.value.__notes__ == ["after 2 of 5 attempts", "in step 'body'"]
    assert body.starts == [0, 1]


async def test_retry_asks_a_predicate_about_each_error(autojump_clock) -> None:
    errors = boom(3)
    asked = []

    def again(error):
        asked.append(error)
        return error is not errors[2]

    with pytest.raises(BoomError) as caught:
        await step(Body(*errors, "never"), retry=Retry(9, on=again))()
    assert caught.value is errors[2]
    assert asked == errors


async def test_retry_keeps_the_error_in_view_when_its_predicate_fails(autojump_clock) -> None:
    [error] = boom(1)

    def bad(error):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        await step(Body(error), retry=Retry(2, on=bad))()
    assert caught.value.__context__ is error


async def test_retry_tries_a_timeout_again(autojump_clock) -> None:
    body = Body("never", "never", seconds=9)
    with pytest.raises(StepTimeoutError) as caught:
        await step(body, retry=Retry(2, delay=1, on=trio.TooSlowError), timeout=2)()
    assert body.starts == [0, 3]
    assert caught.value.__notes__ == ["after 2 of 2 attempts", "in step 'body'"]


async def test_retry_begins_an_attempt_when_the_one_before_has_cleaned_up(autojump_clock) -> None:
    story = []

    async def body():
        story.append(("start", trio.current_time()))
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)
            story.append(("stopped", trio.current_time()))

    with pytest.raises(StepTimeoutError):
        await step(body, retry=Retry(2), timeout=1)()
    assert story == [("start", 0), ("stopped", 4), ("start", 4), ("stopped", 8)]


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(),
        GeneratorExit(),
        BaseExceptionGroup("mixed", [BoomError(), KeyboardInterrupt()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_retry_never_tries_again_what_is_no_exception(error) -> None:
    body = Body(error, "never")
    with pytest.raises(type(error)) as caught:
        await step(body, retry=Retry(5))()
    assert caught.value is error
    assert len(body.starts) == 1
    assert not hasattr(error, "__notes__")


async def test_retry_never_tries_again_after_a_cancellation(autojump_clock) -> None:
    body = Body("never", seconds=9)
    with trio.move_on_after(1) as scope:
        await step(body, retry=Retry(5))()
    assert scope.cancelled_caught
    assert body.starts == [0]


async def test_retry_sleep_can_be_cancelled_and_shows_which_error_was_pending(autojump_clock) -> None:
    [error] = boom(1)
    body = Body(error, "never")
    contexts = []

    async def outer():
        try:
            await step(body, retry=Retry(5, delay=100))()
        except trio.Cancelled as cancelled:
            contexts.append(cancelled.__context__)
            raise

    with trio.move_on_after(1) as scope:
        await outer()
    assert scope.cancelled_caught
    assert trio.current_time() == 1
    assert contexts == [error]
    assert body.starts == [0]


async def test_retry_without_delay_can_be_cancelled_between_attempts(autojump_clock) -> None:
    """Attempts that never block don't keep the loop from others."""
    attempts = []

    with trio.CancelScope() as scope:

        @step(retry=Retry(1_000_000))
        async def hopeless():
            attempts.append(None)
            if len(attempts) == 5:
                scope.cancel()
            raise BoomError

        await hopeless()
    assert scope.cancelled_caught
    assert len(attempts) == 5


async def test_retry_tells_its_delay_with_jitter(autojump_clock, monkeypatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.5)
    [error] = boom(1)
    events = []
    body = Body(error, "done")
    await step(body, retry=Retry(2, delay=4, jitter=0.5)).run(observers=[events.append])
    assert [event for event in events if isinstance(event, StepRetrying)] == [
        StepRetrying(name="body", scope=ANY_SCOPE, time=0.0, attempt=1, error=error, delay=3.0)
    ]
    assert body.starts == [0, 3]


async def test_retry_object_is_shared_without_sharing_attempts() -> None:
    retry = Retry(2)
    for _ in range(3):
        assert await step(Body(*boom(1), "done"), retry=retry)() == "done"


async def test_retry_calls_the_body_with_the_same_input_each_time() -> None:
    inputs = []

    @step(retry=Retry(3))
    async def work(input):
        inputs.append(input)
        if len(inputs) < 3:
            raise BoomError
        return input

    assert await work("x") == "x"
    assert inputs == ["x", "x", "x"]
