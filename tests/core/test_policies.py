"""Timeouts, retries, circuit breakers, limiters: each for itself, and in their order."""

from __future__ import annotations

import functools
import math
import random

import attrs
import pytest
import trio
import trio.testing
from paths import ANY_SCOPE

from trio_steps import (
    CircuitBreaker,
    CircuitOpenError,
    ConfigError,
    Retry,
    StepRetrying,
    StepTimeoutError,
    fork,
    step,
)
from trio_steps._core.policies import Policies


class BoomError(Exception):
    """What a body raises in these tests."""


class Body:
    """A body that follows a script: each call takes `seconds`, then raises or returns what comes next."""

    __name__ = "body"

    def __init__(self, *script, seconds=0.0):
        self.script = iter(script)
        self.seconds = seconds
        self.starts = []

    async def __call__(self):
        self.starts.append(trio.current_time())
        if self.seconds:
            await trio.sleep(self.seconds)
        what = next(self.script)
        if isinstance(what, BaseException):
            raise what
        return what


def boom(count):
    return [BoomError(number) for number in range(1, count + 1)]


async def opened(threshold=1, cooldown=10.0, **options):
    """Return a breaker that has just opened."""
    breaker = CircuitBreaker(threshold, cooldown, **options)
    for error in boom(threshold):
        with pytest.raises(BoomError):
            await step(Body(error), circuit_breaker=breaker)()
    assert breaker.state == "open"
    return breaker


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
async def test_timeout_of_a_body_that_shields_itself_and_returns_loses_no_value(policy, autojump_clock) -> None:
    async def body():
        with trio.CancelScope(shield=True):
            await trio.sleep(3)
        return 7

    assert await step(body, **{policy: 1})() == 7
    assert trio.current_time() == 3


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
    """The group keeps the error; the cancellations in it were the timeout's own."""
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


# Circuit breaker: closed and open


async def test_breaker_opens_after_failures_in_a_row(autojump_clock) -> None:
    breaker = CircuitBreaker(3, 10)
    body = Body(*boom(3), "never")
    guarded = step(body, circuit_breaker=breaker)
    for _ in range(3):
        assert breaker.state == "closed"
        with pytest.raises(BoomError):
            await guarded()
    assert breaker.state == "open"
    with pytest.raises(CircuitOpenError):
        await guarded()
    assert len(body.starts) == 3


async def test_breaker_counts_from_zero_after_a_success(autojump_clock) -> None:
    breaker = CircuitBreaker(2, 10)
    guarded = step(Body(BoomError(), "fine", BoomError(), "fine"), circuit_breaker=breaker)
    for fails in (True, False, True, False):
        if fails:
            with pytest.raises(BoomError):
                await guarded()
        else:
            await guarded()
    assert breaker.state == "closed"


async def test_breaker_that_is_open_names_the_step_and_the_time_to_wait(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    await trio.sleep(4)

    async def outer():
        await step(Body("never"), circuit_breaker=breaker)()

    with pytest.raises(CircuitOpenError) as caught:
        await step(outer)()
    assert (caught.value.step, caught.value.retry_after) == ("outer/body", 6.0)
    assert caught.value.__notes__ == ["in step 'outer/body'"]


async def test_breaker_stays_open_until_the_very_end_of_its_cooldown(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    body = Body("fine")
    guarded = step(body, circuit_breaker=breaker)
    await trio.sleep(9.5)
    with pytest.raises(CircuitOpenError) as caught:
        await guarded()
    assert caught.value.retry_after == 0.5
    await trio.sleep(0.5)
    assert await guarded() == "fine"
    assert body.starts == [10]
    assert breaker.state == "closed"


async def test_breaker_without_cooldown_lets_a_probe_through_at_once(autojump_clock) -> None:
    breaker = await opened(cooldown=0)
    assert await step(Body("fine"), circuit_breaker=breaker)() == "fine"
    assert breaker.state == "closed"


async def test_breaker_refuses_without_counting_it(autojump_clock) -> None:
    """To be refused is no failure: it neither lengthens the cooldown nor counts later."""
    breaker = await opened(threshold=1, cooldown=10)
    guarded = step(Body("fine"), circuit_breaker=breaker)
    for _ in range(5):
        await trio.sleep(1)
        with pytest.raises(CircuitOpenError):
            await guarded()
    await trio.sleep(5)
    assert await guarded() == "fine"


async def test_breaker_shows_its_state_in_its_repr(autojump_clock) -> None:
    shown = "CircuitBreaker(failure_threshold=2, cooldown=10, on_open='skip', state={!r})"
    assert repr(CircuitBreaker(2, 10, on_open="skip")) == shown.format("closed")
    assert repr(await opened(2, 10, on_open="skip")) == shown.format("open")


# Circuit breaker: half open


async def test_breaker_closes_when_the_probe_succeeds(autojump_clock) -> None:
    breaker = await opened(threshold=2, cooldown=10)
    await trio.sleep(10)
    guarded = step(Body("fine", BoomError(), "fine"), circuit_breaker=breaker)
    assert await guarded() == "fine"
    assert breaker.state == "closed"
    with pytest.raises(BoomError):  # the first of two in a row again
        await guarded()
    assert breaker.state == "closed"


async def test_breaker_opens_again_when_the_probe_fails(autojump_clock) -> None:
    breaker = await opened(threshold=3, cooldown=10)
    await trio.sleep(12)
    guarded = step(Body(BoomError(), "fine", seconds=1), circuit_breaker=breaker)
    with pytest.raises(BoomError):
        await guarded()
    assert breaker.state == "open"
    with pytest.raises(CircuitOpenError) as caught:
        await guarded()
    assert caught.value.retry_after == 10
    await trio.sleep(10)
    assert await guarded() == "fine"


async def test_breaker_lets_one_probe_through_at_a_time(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    await trio.sleep(15)
    body = Body("fine", seconds=2)
    guarded = step(body, circuit_breaker=breaker)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(guarded)
        await trio.sleep(1)
        with pytest.raises(CircuitOpenError) as caught:
            await guarded()
        assert caught.value.retry_after == 0
        assert str(caught.value) == "circuit breaker of 'body' is open; a probe is under way"
        assert breaker.state == "open"
    assert body.starts == [15]
    assert breaker.state == "closed"


async def test_breaker_gets_the_probe_back_when_it_is_cancelled(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    await trio.sleep(10)
    body = Body("fine", seconds=2)
    guarded = step(body, circuit_breaker=breaker)
    with trio.move_on_after(1):
        await guarded()
    assert breaker.state == "open"
    await guarded()  # at once: the cancelled probe lengthened no cooldown
    assert body.starts == [10, 11]
    assert breaker.state == "closed"


async def test_breaker_gets_the_probe_back_when_it_is_interrupted(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    await trio.sleep(10)
    guarded = step(Body(KeyboardInterrupt(), "fine"), circuit_breaker=breaker)
    with pytest.raises(KeyboardInterrupt):
        await guarded()
    assert breaker.state == "open"
    assert await guarded() == "fine"


async def test_breaker_does_not_count_a_cancelled_call_as_failure(autojump_clock) -> None:
    breaker = CircuitBreaker(1, 10)
    with trio.move_on_after(1):
        await step(trio.sleep_forever, circuit_breaker=breaker)()
    assert breaker.state == "closed"


async def test_breaker_does_not_count_a_cancelled_call_as_success(autojump_clock) -> None:
    breaker = CircuitBreaker(2, 10)
    with pytest.raises(BoomError):
        await step(Body(BoomError()), circuit_breaker=breaker)()
    with trio.move_on_after(1):
        await step(trio.sleep_forever, circuit_breaker=breaker)()
    with pytest.raises(BoomError):
        await step(Body(BoomError()), circuit_breaker=breaker)()
    assert breaker.state == "open"


@pytest.mark.parametrize("end", ["fine", BoomError()], ids=["succeeds", "fails"])
async def test_breaker_ignores_the_end_of_a_call_from_before_it_opened(end, autojump_clock) -> None:
    breaker = CircuitBreaker(1, 10)
    late = Body(end, seconds=5)

    async def call_late():
        if end == "fine":
            await step(late, circuit_breaker=breaker)()
        else:
            with pytest.raises(BoomError):
                await step(late, circuit_breaker=breaker)()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call_late)
        await trio.sleep(1)
        with pytest.raises(BoomError):
            await step(Body(BoomError()), circuit_breaker=breaker)()
    assert trio.current_time() == 5
    assert breaker.state == "open"
    with pytest.raises(CircuitOpenError) as caught:
        await step(Body("never"), circuit_breaker=breaker)()
    assert caught.value.retry_after == 6  # of the cooldown that began at 1


async def test_breaker_ignores_the_end_of_a_call_from_before_it_opened_while_a_probe_is_under_way(
    autojump_clock,
) -> None:
    breaker = CircuitBreaker(1, 10)

    async def call_late():
        with pytest.raises(BoomError):
            await step(Body(BoomError(), seconds=15), circuit_breaker=breaker)()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call_late)
        await trio.sleep(1)
        with pytest.raises(BoomError):
            await step(Body(BoomError()), circuit_breaker=breaker)()
        await trio.sleep(11)
        probe = step(Body("fine", seconds=8), circuit_breaker=breaker)
        nursery.start_soon(probe)
        await trio.sleep(4)
        with pytest.raises(CircuitOpenError, match="a probe is under way"):
            await probe()
    assert trio.current_time() == 20
    assert breaker.state == "closed"


async def test_breaker_ignores_the_end_of_a_call_from_before_it_opened_after_it_has_closed_again(
    autojump_clock,
) -> None:
    """The call began before the outage; a probe has since told how things are now."""
    breaker = CircuitBreaker(1, 10)

    async def call_late():
        with pytest.raises(BoomError):
            await step(Body(BoomError(), seconds=15), circuit_breaker=breaker)()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call_late)
        await trio.sleep(1)
        with pytest.raises(BoomError):
            await step(Body(BoomError()), circuit_breaker=breaker)()
        await trio.sleep(11)
        await step(Body("fine"), circuit_breaker=breaker)()
        assert breaker.state == "closed"
    assert trio.current_time() == 15
    assert breaker.state == "closed"


# Circuit breaker: shared, and what a step does about it


async def test_breaker_that_is_shared_by_steps_is_shared_state(autojump_clock) -> None:
    breaker = CircuitBreaker(2, 10)
    for name in ("first", "second"):
        with pytest.raises(BoomError):
            await step(Body(BoomError()), id=name, circuit_breaker=breaker)()
    third = Body("fine")
    with pytest.raises(CircuitOpenError) as caught:
        await step(third, id="third", circuit_breaker=breaker)()
    assert caught.value.step == "third"
    assert third.starts == []


async def test_breaker_lets_one_probe_through_for_all_the_steps_that_share_it(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    await trio.sleep(10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(step(Body("fine", seconds=2), circuit_breaker=breaker))
        await trio.sleep(1)
        with pytest.raises(CircuitOpenError):
            await step(Body("never"), circuit_breaker=breaker)()


async def test_breaker_is_not_shared_by_equal_options(autojump_clock) -> None:
    await opened(1, 10)
    assert await step(Body("fine"), circuit_breaker=CircuitBreaker(1, 10))() == "fine"


async def test_breaker_that_skips_makes_the_step_return_none_without_a_call(autojump_clock) -> None:
    breaker = await opened(on_open="skip")
    body = Body("never")
    assert await step(body, circuit_breaker=breaker)() is None
    assert body.starts == []


async def test_breaker_that_skips_does_so_while_a_probe_is_under_way(autojump_clock) -> None:
    breaker = await opened(cooldown=10, on_open="skip")
    await trio.sleep(10)
    guarded = step(Body("fine", seconds=2), circuit_breaker=breaker)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(guarded)
        await trio.sleep(1)
        assert await guarded() is None


async def test_breaker_that_skips_lets_failures_out(autojump_clock) -> None:
    with pytest.raises(BoomError):
        await step(Body(BoomError()), circuit_breaker=CircuitBreaker(1, 10, on_open="skip"))()


async def test_breaker_that_skips_does_not_hide_the_open_breaker_of_a_step_inside(autojump_clock) -> None:
    """The outer step did run, and failed."""
    inner_breaker = await opened()
    breaker = CircuitBreaker(1, 10, on_open="skip")

    async def outer():
        await step(Body("never"), circuit_breaker=inner_breaker)()

    with pytest.raises(CircuitOpenError) as caught:
        await step(outer, circuit_breaker=breaker)()
    assert caught.value.step == "outer/body"
    assert breaker.state == "open"


async def test_breaker_that_skips_is_a_failed_path_in_a_fork(autojump_clock) -> None:
    breaker = await opened(on_open="skip")
    [result] = await fork("f", mode="settle", paths=[step(Body("never"), circuit_breaker=breaker)])()
    assert result.status == "rejected"
    assert type(result.error) is CircuitOpenError
    assert result.error.step == "f/body"


async def test_breaker_that_skips_still_skips_when_another_step_is_made_of_its_step(autojump_clock) -> None:
    """To add a timeout to a step changes nothing about its breaker."""
    breaker = await opened(on_open="skip")
    guarded = step(Body("never"), circuit_breaker=breaker)
    assert await step(guarded, timeout=1)() is None
    assert await step(guarded)() is None


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
