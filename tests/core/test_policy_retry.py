"""`Retry`: what is tried again, how often and when."""

from __future__ import annotations

import functools
import math
import random

import pytest
import trio
import trio.testing
from bodies import Body, BoomError, boom
from paths import ANY_SCOPE

from trio_steps import (
    AttemptEnded,
    CircuitOpenError,
    ConfigError,
    ForkPartialError,
    NotAcceptedError,
    Retry,
    StepRetrying,
    StepTimeoutError,
    ValueDiscarded,
    current_scope,
    fork,
    step,
)

# Misuse


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attempts": 0}, r"^Retry\(attempts=0\): give the number of attempts, 1 or more: Retry\(3\)$"),
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
        ({"on": 5}, r"^Retry\(on=5\): give exception types, or a function of the exception: on=OSError"),
        ({"on": "OSError"}, r"^Retry\(on='OSError'\)"),
        ({"on": [OSError]}, r"^Retry\(on=\["),
        ({"on": None}, r"^Retry\(on=None\)"),
        ({"on": int}, r"^Retry\(on=<class 'int'>\)"),
        ({"on": (OSError, 5)}, r"^Retry\(on=\("),
        ({"on": (OSError, lambda error: True)}, r"^Retry\(on=\("),
        ({"on": BaseException}, r"^Retry\(on=<class 'BaseException'>\)"),
        ({"on": KeyboardInterrupt}, r"^Retry\(on=<class 'KeyboardInterrupt'>\)"),
        ({"on": (OSError, trio.Cancelled)}, r"^Retry\(on=\("),
        (
            {"on": Body.__call__},
            r"^Retry\(on=<function .*>\) is async, and its answer is needed at once: give exception",
        ),
        ({"on": functools.partial(Body.__call__, 1)}, r"^Retry\(on=functools.* is async"),
        ({"on": Body()}, r"^Retry\(on=<.*>\) is async"),
        ({"accept": 5}, r"^Retry\(accept=5\): give a function of the value: accept=lambda value: value is not None$"),
        ({"accept": Body()}, r"^Retry\(accept=<.*>\) is async, and its answer is needed at once: give a function of"),
        ({"delay": Body()}, r"^Retry\(delay=<.*>\) is async, and its answer is needed at once: give seconds, or a"),
    ],
)
def test_retry_refuses_what_makes_no_sense(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Retry(**{"attempts": 3, **options})


def test_retry_takes_all_but_the_attempts_by_keyword() -> None:
    with pytest.raises(TypeError):
        Retry(3, "fixed")


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
    """Attempts that never block do not starve the event loop."""
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


# Retry: groups and open breakers


class FallbackError(OSError):
    pass


@pytest.mark.parametrize(
    ("on", "error", "wanted"),
    [
        (OSError, ExceptionGroup("", [OSError(), FallbackError()]), True),
        (OSError, ExceptionGroup("", [ExceptionGroup("", [OSError()]), OSError()]), True),
        (OSError, ExceptionGroup("", [OSError(), ValueError()]), False),
        ((OSError, ValueError), ExceptionGroup("", [OSError(), ValueError()]), True),
        (ExceptionGroup, ExceptionGroup("", [OSError(), ValueError()]), True),
        (ForkPartialError, ForkPartialError("", [OSError(), ValueError()]), True),
        (OSError, ForkPartialError("", [OSError()]), True),
        (lambda error: isinstance(error, OSError), ExceptionGroup("", [OSError()]), True),
        (lambda error: isinstance(error, OSError), ExceptionGroup("", [OSError(), ValueError()]), False),
        (Exception, CircuitOpenError("s", 1), False),
        ((Exception, CircuitOpenError), CircuitOpenError("s", 1), True),
        (CircuitOpenError, CircuitOpenError("s", 1), True),
        (lambda error: True, CircuitOpenError("s", 1), True),
    ],
)
def test_retry_wants_a_group_that_matches_or_all_of_whose_errors_do(on, error, wanted) -> None:
    assert Retry(2, on=on).wants(error) is wanted


async def test_retry_of_a_fork_is_told_by_the_errors_of_its_paths(autojump_clock) -> None:
    body = Body(OSError("busy"), OSError("busy"), "fine")
    parallel = fork("f", mode="all", paths=[body, trio.lowlevel.checkpoint])
    assert await step(parallel, retry=Retry(3, delay=1, on=OSError))() == ("fine", None)
    assert body.starts == [0, 1, 2]


# Retry: a delay that depends on the error


async def test_retry_waits_as_long_as_its_function_says(autojump_clock) -> None:
    asked = []

    def told(error, attempt):
        asked.append((error.args[0], attempt))
        return {1: 7, 2: None, 3: 99}[attempt]

    body = Body(*boom(3), "fine")
    retry = Retry(9, delay=told, max_delay=10, jitter=1)
    assert await step(body, retry=retry)() == "fine"
    assert body.starts == [0, 7, 7, 17]  # None means no delay, 99 is above max_delay, and jitter does not apply
    assert asked == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("delay", [-1, "7", math.nan, True])
async def test_retry_refuses_a_delay_that_is_no_number_of_seconds(delay) -> None:
    [error] = boom(1)
    with pytest.raises(ConfigError, match=r"^what Retry\(delay=…\) returns must be a number of seconds") as caught:
        await step(Body(error), retry=Retry(2, delay=lambda error, attempt: delay))()
    assert caught.value.__context__ is error


# Retry: values that are not accepted


async def test_retry_tries_again_when_the_value_is_not_accepted(autojump_clock) -> None:
    body = Body(None, None, "ready")
    retry = Retry(5, delay=1, on=(), accept=lambda value: value is not None)
    assert await step(body, retry=retry)() == "ready"
    assert body.starts == [0, 1, 2]


async def test_retry_raises_the_last_value_that_is_not_accepted(autojump_clock) -> None:
    with pytest.raises(NotAcceptedError) as caught:
        await step(Body(202, 203), retry=Retry(2, accept=lambda value: value == 200))()
    assert (caught.value.step, caught.value.value) == ("body", 203)
    assert caught.value.__notes__ == ["after 2 of 2 attempts", "in step 'body'"]


async def test_retry_discards_each_value_that_it_does_not_accept_but_the_last(autojump_clock) -> None:
    events = []
    with pytest.raises(NotAcceptedError) as caught:
        await step(Body(1, 2, 3), retry=Retry(3, accept=lambda value: False)).run(observers=[events.append])
    assert [event.value for event in events if isinstance(event, ValueDiscarded)] == [1, 2]
    assert caught.value.value == 3


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
async def test_retry_raises_what_accept_raises_at_once_and_discards_the_value(error) -> None:
    events = []

    def accept(value):
        raise error

    with pytest.raises(type(error)) as caught:
        await step(Body(7, "never"), retry=Retry(5, accept=accept)).run(observers=[events.append])
    assert caught.value is error
    assert [event.value for event in events if isinstance(event, ValueDiscarded)] == [7]
    [end] = [event for event in events if isinstance(event, AttemptEnded)]
    assert (end.status, end.error) == ("failed", error)


async def test_retry_asks_on_about_a_value_that_a_step_inside_did_not_accept(autojump_clock) -> None:
    inner = step(Body(1, 2), id="inner", retry=Retry(1, accept=lambda value: False))
    with pytest.raises(NotAcceptedError):
        await step(inner, id="outer", retry=Retry(2, on=OSError))()


# Retry: the number of the attempt


async def test_scope_tells_which_attempt_it_is() -> None:
    seen = []

    @step(retry=Retry(3))
    async def work():
        seen.append(current_scope().attempt)
        assert await step(lambda: current_scope().attempt)() == 1
        if len(seen) < 3:
            raise BoomError

    await work()
    assert seen == [1, 2, 3]


async def test_scope_tells_the_attempt_of_the_step_that_tries_again() -> None:
    """A step with its own timeout still knows which attempt of the outer step it is."""
    seen = []

    async def work():
        seen.append(current_scope().attempt)
        raise BoomError

    with pytest.raises(BoomError):
        await step(step(work, timeout=1), retry=Retry(2))()
    with pytest.raises(BoomError):
        await step(step(work, retry=Retry(2)), retry=Retry(2))()
    assert seen == [1, 2, 1, 2, 1, 2]


async def test_scope_of_a_step_without_retry_is_at_its_first_attempt() -> None:
    assert await step(lambda: current_scope().attempt)() == 1


# Retry: nothing is tried again after a cancellation


async def test_retry_that_is_cancelled_from_outside_raises_cancelled_and_reports_the_error(
    autojump_clock, caplog
) -> None:
    """A loser whose clean-up raises is not tried again, and its error is not lost."""
    events = []
    error = BoomError("clean-up")

    async def body():
        try:
            await trio.sleep_forever()
        finally:
            raise error

    with trio.move_on_after(1) as scope:
        await step(body, retry=Retry(3)).run(observers=[events.append])
    assert scope.cancelled_caught
    assert [type(event).__name__ for event in events] == [
        "StepStarted",
        "AttemptStarted",
        "AttemptEnded",
        "ErrorDiscarded",
        "StepCancelled",
    ]
    assert events[3].error is error
    assert [record.getMessage() for record in caplog.records] == [
        "body: an error that it does not raise: BoomError('clean-up')"
    ]


async def test_retry_that_is_cancelled_from_outside_discards_a_value_that_is_not_accepted(
    autojump_clock, caplog
) -> None:
    events = []

    async def body():
        with trio.CancelScope(shield=True):
            await trio.sleep(2)
        return 7

    with trio.move_on_after(1) as scope:
        await step(body, retry=Retry(3, accept=lambda value: False)).run(observers=[events.append])
    assert scope.cancelled_caught
    assert [event.value for event in events if isinstance(event, ValueDiscarded)] == [7]
    assert caplog.records == []


async def test_retry_that_is_cancelled_from_outside_still_raises_the_last_error(autojump_clock) -> None:
    async def body():
        try:
            await trio.sleep_forever()
        finally:
            raise BoomError

    with trio.move_on_after(1) as scope, pytest.raises(BoomError):
        await step(body, retry=Retry(1))()
    assert not scope.cancelled_caught


async def test_retry_that_runs_out_of_total_time_shows_the_error_and_does_not_report_it(autojump_clock, caplog) -> None:
    error = BoomError()

    async def body():
        try:
            await trio.sleep_forever()
        finally:
            raise error

    with pytest.raises(StepTimeoutError) as caught:
        await step(body, retry=Retry(3), total_timeout=1)()
    assert caught.value.__cause__ is error
    assert caplog.records == []


async def test_retry_that_is_cancelled_and_runs_out_of_total_time_reports_the_error(autojump_clock, caplog) -> None:
    async def body():
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)
            raise BoomError

    with trio.move_on_after(3) as scope:
        await step(body, retry=Retry(3), total_timeout=1)()
    assert scope.cancelled_caught
    assert [record.getMessage() for record in caplog.records] == ["body: an error that it does not raise: BoomError()"]


class Mover(trio.abc.Instrument):
    """Moves the deadline of `scope` before Trio checks it."""

    def __init__(self, scope):
        self.scope = scope

    def before_io_wait(self, timeout):
        if self.scope.deadline <= trio.current_time():
            self.scope.deadline = trio.current_time() + 100


async def test_retry_goes_on_when_a_deadline_that_has_passed_is_moved_in_time(autojump_clock) -> None:
    """Other tasks may run between the end of an attempt and Trio's next check of its deadlines."""
    attempts = []
    with trio.move_on_after(5) as scope:
        mover = Mover(scope)
        trio.lowlevel.add_instrument(mover)

        @step(retry=Retry(2))
        def body():
            attempts.append(trio.current_time())
            if len(attempts) == 1:
                autojump_clock.jump(5)
                raise BoomError
            return 7

        assert await body() == 7
        trio.lowlevel.remove_instrument(mover)
    assert attempts == [0, 5]
