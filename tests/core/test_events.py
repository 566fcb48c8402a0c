"""Event records, and who gets them."""

from __future__ import annotations

import functools
import gc
import logging

import attrs
import pytest
import trio
from paths import ANY_SCOPE

from trio_steps import (
    AttemptEnded,
    AttemptStarted,
    CircuitBreaker,
    CircuitChanged,
    CircuitOpenError,
    ConfigError,
    ErrorDiscarded,
    Event,
    LimitWaited,
    PathsCounted,
    Pipeline,
    Retry,
    StepCancelled,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    ValueDiscarded,
    step,
)
from trio_steps._core.errors import short_repr
from trio_steps._core.events.observers import Observers
from trio_steps._core.events.records import KeyOverridden
from trio_steps._core.scope import scope_of
from trio_steps.testing import RecordingObserver

RECORDS = [
    StepStarted(name="a", scope=ANY_SCOPE, time=1.0),
    StepSucceeded(name="a", scope=ANY_SCOPE, time=1.0, duration=0.5),
    StepFailed(name="a", scope=ANY_SCOPE, time=1.0, duration=0.5, error=ValueError()),
    StepCancelled(name="a", scope=ANY_SCOPE, time=1.0, duration=0.5, reason="because"),
    StepSkipped(name="a", scope=ANY_SCOPE, time=1.0, reason="because"),
    StepRetrying(name="a", scope=ANY_SCOPE, time=1.0, attempt=1, error=ValueError(), delay=0.5),
    ValueDiscarded(name="a", scope=ANY_SCOPE, time=1.0, value=7, disposed=True),
    ErrorDiscarded(name="a", scope=ANY_SCOPE, time=1.0, error=ValueError()),
    AttemptStarted(name="a", scope=ANY_SCOPE, time=1.0, attempt=1),
    AttemptEnded(name="a", scope=ANY_SCOPE, time=1.0, attempt=1, duration=0.5, status="succeeded"),
    LimitWaited(name="a", scope=ANY_SCOPE, time=1.0, limit="rate", duration=0.5),
    CircuitChanged(name="a", scope=ANY_SCOPE, time=1.0, state="open"),
    PathsCounted(name="a", scope=ANY_SCOPE, time=1.0, total=7),
    KeyOverridden(name="a", scope=ANY_SCOPE, time=1.0, key="k", first="b", second="c"),
]


def started(name):
    return StepStarted(name=name, scope=ANY_SCOPE, time=0.0)


def test_event_stands_for_all_kinds() -> None:
    gc.collect()  # attrs makes each class anew, to give it slots, and leaves the first one to the collector
    assert {type(record) for record in RECORDS} == set(Event.__subclasses__())


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_event_is_frozen_and_has_a_name_and_a_time(record) -> None:
    assert (record.name, record.time) == ("a", 1.0)
    for field in attrs.fields(type(record)):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(record, field.name, None)


@pytest.mark.parametrize("kind", [type(record) for record in RECORDS])
def test_event_takes_no_positional_arguments(kind) -> None:
    with pytest.raises(TypeError):
        kind("a", 1.0)


def test_events_of_the_same_kind_are_equal_if_their_fields_are() -> None:
    """But whose run it was does not count: the events of two runs are compared."""
    event = StepCancelled(name="a", scope=ANY_SCOPE, time=1.0, duration=0.5, reason="because")
    same = StepCancelled(
        name="a", scope=scope_of("a", None, None, None, None), time=1.0, duration=0.5, reason="because"
    )
    assert event == same
    assert hash(event) == hash(same)
    for name, value in {"name": "b", "time": 2.0, "duration": 1.0, "reason": "", "quiet": True}.items():
        assert event != attrs.evolve(event, **{name: value})


def test_events_of_two_kinds_are_not_equal_whatever_their_fields() -> None:
    first = StepSkipped(name="a", scope=ANY_SCOPE, time=1.0, reason="because")
    other = Event(name="a", scope=ANY_SCOPE, time=1.0)
    assert first != other
    assert other != first
    assert len({first, other, Event(name="a", scope=ANY_SCOPE, time=1.0)}) == 2


def test_text_of_an_event_shows_what_matters_to_its_kind() -> None:
    """Not its scope, which has no text of its own, nor flags for those who draw it."""
    event = StepRetrying(name="a", scope=ANY_SCOPE, time=1.0, attempt=1, error=ValueError("x" * 500), delay=0.5)
    assert repr(event) == f"StepRetrying(name='a', time=1.0, attempt=1, error={short_repr(event.error)}, delay=0.5)"
    assert repr(StepStarted(name="a", scope=ANY_SCOPE, time=1.0, quiet=True)) == "StepStarted(name='a', time=1.0)"


def test_text_of_an_event_that_holds_itself_is_finite() -> None:
    error = ValueError()
    event = ErrorDiscarded(name="a", scope=ANY_SCOPE, time=1.0, error=error)
    error.args = (event,)
    assert repr(event) == "ErrorDiscarded(name='a', time=1.0, error=ValueError(...))"


# Observers


def test_observers_get_each_event_in_their_order() -> None:
    seen = []
    observers = Observers([lambda event: seen.append((1, event)), lambda event: seen.append((2, event))])
    observers(started("a"))
    observers(started("b"))
    assert seen == [(1, started("a")), (2, started("a")), (1, started("b")), (2, started("b"))]


def test_observers_are_asked_for_once_however_they_are_given() -> None:
    seen = []
    observers = Observers(observer for observer in (seen.append,))
    observers(started("a"))
    observers(started("b"))
    assert seen == [started("a"), started("b")]


def test_observers_of_a_run_inside_are_called_before_those_of_the_run_around() -> None:
    outer, inner = [], []
    observers = Observers([lambda event: outer.append((event, len(inner)))])
    Observers([inner.append], observers)(started("a"))
    observers(started("b"))
    assert outer == [(started("a"), 1), (started("b"), 1)]
    assert inner == [started("a")]


def test_observer_that_is_given_twice_is_told_once() -> None:
    seen = []

    def observer(event):
        seen.append(event)

    Observers([observer, observer])(started("a"))
    assert seen == [started("a")]


def test_observer_of_the_run_around_is_not_told_again_by_a_run_inside() -> None:
    seen, heard = [], []

    def observer(event):
        seen.append(event)

    around = Observers([], Observers([observer]))
    Observers([observer, heard.append], around)(started("a"))
    assert (seen, heard) == ([started("a")], [started("a")])


@pytest.mark.parametrize("kind", [RecordingObserver, list])
def test_method_is_one_observer_however_often_it_is_looked_up(kind) -> None:
    """The methods of two equal objects are two observers."""
    first, second = kind(), kind()
    method = {RecordingObserver: "__call__", list: "append"}[kind]
    Observers([getattr(first, method), getattr(second, method)], Observers([getattr(first, method)]))(started("a"))
    assert [getattr(each, "events", each) for each in (first, second)] == [[started("a")], [started("a")]]


async def test_observer_of_a_pipeline_that_its_run_is_given_too_is_told_once() -> None:
    seen = RecordingObserver()
    pipeline = Pipeline("p", observers=[seen]).step("a", lambda: {"a": 1})
    await pipeline.run({}, observers=[seen])
    assert seen.names(StepStarted) == ["p", "a"]


async def test_observer_around_a_quiet_step_is_told_aloud_by_a_run_inside_that_it_is_given_to() -> None:
    """It was given to the inner run on purpose. The events that it gets as the outer observer are marked."""
    seen = RecordingObserver()

    async def inner():
        pass

    async def work():
        await step(inner).run(observers=[seen])

    await Pipeline("p").step("work", work, provides="work", log=False).run({}, observers=[seen])
    assert [event.quiet for event in seen.of(StepStarted) if event.name == "work/inner"] == [False, True]


def test_observer_that_raises_is_logged_with_its_traceback_and_dropped(caplog) -> None:
    seen, calls = [], []
    problem = ZeroDivisionError("bad observer")

    def bad(event):
        calls.append(event)
        raise problem

    observers = Observers([bad, seen.append])
    observers(started("a"))
    observers(started("b"))
    assert calls == [started("a")]
    assert seen == [started("a"), started("b")]
    [record] = caplog.records
    assert (record.name, record.levelno) == ("trio_steps", logging.ERROR)
    assert record.exc_info[1] is problem
    assert record.getMessage() == f"observer {bad!r} raised at {started('a')!r} and is dropped"


def test_observers_that_all_raise_leave_none(caplog) -> None:
    def bad(event):
        raise ValueError

    def worse(event):
        raise KeyError

    observers = Observers([bad, worse])
    observers(started("a"))
    observers(started("b"))
    assert [type(record.exc_info[1]) for record in caplog.records] == [ValueError, KeyError]


def test_observer_that_is_dropped_is_found_by_identity(caplog) -> None:
    """An observer may be equal to another, or refuse to be compared."""
    seen = []

    class Odd:
        __hash__ = None

        def __init__(self, bad):
            self.bad = bad

        def __eq__(self, other):
            raise AssertionError

        def __call__(self, event):
            if self.bad:
                raise ValueError
            seen.append(event)

    observers = Observers([Odd(bad=True), Odd(bad=False)])
    observers(started("a"))
    observers(started("b"))
    assert seen == [started("a"), started("b")]
    assert len(caplog.records) == 1


def test_observer_dropped_in_a_run_gets_nothing_of_a_run_inside(caplog) -> None:
    calls = []

    def bad(event):
        calls.append(event)
        raise ValueError

    observers = Observers([bad])
    observers(started("a"))
    Observers([], observers)(started("b"))
    assert calls == [started("a")]


async def test_observer_that_raises_in_a_run_inside_is_dropped_from_the_run_around(autojump_clock, caplog) -> None:
    """An observer is in one list, however many runs it observes."""
    heard, inner_heard = [], []

    def bad(event):
        heard.append(event)
        if event.name == "outer/inner":
            raise ValueError

    async def inner():
        pass

    async def outer():
        await step(inner).run(observers=[inner_heard.append])

    await step(outer).run(observers=[bad])
    assert heard == [started("outer"), started("outer/inner")]
    assert len(inner_heard) == 2
    assert len(caplog.records) == 1


async def test_observer_that_raises_in_the_run_around_is_dropped_from_a_run_inside(autojump_clock, caplog) -> None:
    """An inner run is under way when its observer fails at an event of its sibling."""
    heard = []

    def bad(event):
        heard.append(event.name)
        if event.name == "outer/sibling":
            raise ValueError

    async def inner():
        await trio.sleep(2)

    async def sibling():
        pass

    async def outer():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(functools.partial(step(inner).run, observers=[lambda event: None]))
            await trio.sleep(1)
            await step(sibling)()

    await step(outer).run(observers=[bad])
    assert heard == ["outer", "outer/inner", "outer/sibling"]
    assert len(caplog.records) == 1


def test_observer_that_is_interrupted_is_not_dropped_but_ends_the_run() -> None:
    def interrupted(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Observers([interrupted])(started("a"))


# The events of a step


async def test_step_that_returns_is_started_and_succeeded(autojump_clock) -> None:
    events = []

    @step
    async def work():
        await trio.sleep(1.5)

    await trio.sleep(0.5)
    await work.run(observers=[events.append])
    assert events == [
        StepStarted(name="work", scope=ANY_SCOPE, time=0.5),
        StepSucceeded(name="work", scope=ANY_SCOPE, time=2.0, duration=1.5),
    ]


async def test_step_that_raises_is_started_and_failed_with_the_very_error(autojump_clock) -> None:
    events = []
    error = ValueError("broken")

    @step
    async def work():
        await trio.sleep(2)
        raise error

    with pytest.raises(ValueError, match=r"^broken"):
        await work.run(observers=[events.append])
    assert events == [started("work"), StepFailed(name="work", scope=ANY_SCOPE, time=2.0, duration=2.0, error=error)]


async def test_step_that_is_cancelled_tells_the_reason(autojump_clock) -> None:
    events = []

    @step
    async def work():
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(functools.partial(work.run, observers=[events.append]))
        await trio.sleep(3)
        nursery.cancel_scope.cancel("the user went home")
    assert events == [
        started("work"),
        StepCancelled(name="work", scope=ANY_SCOPE, time=3.0, duration=3.0, reason="the user went home"),
    ]


async def test_step_that_is_cancelled_by_a_deadline_tells_so(autojump_clock) -> None:
    events = []

    @step
    async def work():
        await trio.sleep_forever()

    with trio.move_on_after(4):
        await work.run(observers=[events.append])
    assert events == [
        started("work"),
        StepCancelled(name="work", scope=ANY_SCOPE, time=4.0, duration=4.0, reason="a timeout around it"),
    ]


async def test_step_that_is_cancelled_in_a_nursery_of_its_own_is_cancelled(autojump_clock) -> None:
    """It raises a group that holds only ``Cancelled``."""
    events = []

    @step
    async def work():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()

    with trio.CancelScope(deadline=1) as scope:
        scope.cancel("enough")
        await work.run(observers=[events.append])
    assert events == [
        started("work"),
        StepCancelled(name="work", scope=ANY_SCOPE, time=0.0, duration=0.0, reason="enough"),
    ]


async def test_step_that_raises_while_it_is_cancelled_has_failed(autojump_clock) -> None:
    """A group of an error and ``Cancelled`` is a failure, because the error must be seen."""
    events = []

    async def clumsy():
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("clean-up")

    @step
    async def work():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clumsy)
            await trio.sleep_forever()

    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match=r"^clean-up")), trio.move_on_after(1):
        await work.run(observers=[events.append])
    begin, end = events
    assert begin == started("work")
    assert (type(end), end.time, end.duration) == (StepFailed, 1.0, 1.0)
    assert {type(error) for error in end.error.exceptions} == {ValueError, trio.Cancelled}


async def test_step_that_is_interrupted_has_failed(autojump_clock) -> None:
    events = []
    interrupt = KeyboardInterrupt()

    @step
    async def work():
        raise interrupt

    with pytest.raises(KeyboardInterrupt):
        await work.run(observers=[events.append])
    assert events == [
        started("work"),
        StepFailed(name="work", scope=ANY_SCOPE, time=0.0, duration=0.0, error=interrupt),
    ]


async def test_step_that_is_tried_again_tells_each_failed_attempt_but_the_last(autojump_clock) -> None:
    events = []
    errors = [OSError(1), OSError(2), OSError(3)]
    waiting = iter(errors)

    @step(retry=Retry(3, backoff="linear", delay=2.0))
    async def work():
        await trio.sleep(1)
        raise next(waiting)

    with pytest.raises(OSError, match=r"^3"):
        await work.run(observers=[events.append])
    assert [event for event in events if not isinstance(event, (AttemptStarted, AttemptEnded))] == [
        started("work"),
        StepRetrying(name="work", scope=ANY_SCOPE, time=1.0, attempt=1, error=errors[0], delay=2.0),
        StepRetrying(name="work", scope=ANY_SCOPE, time=4.0, attempt=2, error=errors[1], delay=4.0),
        StepFailed(name="work", scope=ANY_SCOPE, time=9.0, duration=9.0, error=errors[2]),
    ]


async def test_step_with_an_open_breaker_that_skips_is_skipped_and_has_no_end(autojump_clock) -> None:
    events = []

    @step(circuit_breaker=CircuitBreaker(1, 10, on_open="skip"))
    async def work():
        raise OSError("down")

    with pytest.raises(OSError, match="down"):
        await work()
    await trio.sleep(4)
    assert await work.run(observers=[events.append]) is None
    assert events == [
        StepStarted(name="work", scope=ANY_SCOPE, time=4.0),
        StepSkipped(
            name="work", scope=ANY_SCOPE, time=4.0, reason="circuit breaker of 'work' is open; next probe in 6 s"
        ),
    ]


async def test_step_with_an_open_breaker_that_raises_has_failed(autojump_clock) -> None:
    events = []

    @step(circuit_breaker=CircuitBreaker(1, 10))
    async def work():
        raise OSError("down")

    with pytest.raises(OSError, match="down"):
        await work()
    with pytest.raises(CircuitOpenError) as caught:
        await work.run(observers=[events.append])
    assert events == [
        started("work"),
        StepFailed(name="work", scope=ANY_SCOPE, time=0.0, duration=0.0, error=caught.value),
    ]


async def test_events_have_the_full_names_of_nested_steps(autojump_clock) -> None:
    events = []

    @step
    async def inner():
        await trio.sleep(1)

    @step
    async def outer():
        await inner()
        await trio.sleep(1)

    await outer.run(observers=[events.append])
    assert events == [
        started("outer"),
        started("outer/inner"),
        StepSucceeded(name="outer/inner", scope=ANY_SCOPE, time=1.0, duration=1.0),
        StepSucceeded(name="outer", scope=ANY_SCOPE, time=2.0, duration=2.0),
    ]


async def test_events_of_a_run_inside_reach_its_own_observers_and_those_around() -> None:
    outside, inside = [], []

    @step
    async def inner():
        pass

    @step
    async def outer():
        await inner.run(observers=[lambda event: inside.append(event.name)])

    await outer.run(observers=[lambda event: outside.append(event.name)])
    assert outside == ["outer", "outer/inner", "outer/inner", "outer"]
    assert inside == ["outer/inner", "outer/inner"]


async def test_events_of_a_run_inside_reach_its_observers_with_none_around() -> None:
    inside = []

    @step
    async def inner():
        pass

    @step
    async def outer():
        await inner.run(observers=[lambda event: inside.append(event.name)])

    await outer()
    assert inside == ["outer/inner", "outer/inner"]


async def test_events_are_told_synchronously() -> None:
    """An observer has been called by the time the line after it runs."""
    order = []

    @step
    async def work():
        order.append("body")

    await work.run(observers=[lambda event: order.append(type(event).__name__)])
    order.append("after")
    assert order == ["StepStarted", "body", "StepSucceeded", "after"]


async def test_run_goes_on_when_an_observer_raises(caplog) -> None:
    events = []

    def bad(event):
        raise ValueError

    @step
    async def work():
        return 7

    assert await work.run(observers=[bad, events.append]) == 7
    assert [type(event) for event in events] == [StepStarted, StepSucceeded]
    assert len(caplog.records) == 1


async def test_no_event_is_made_when_nobody_listens(monkeypatch) -> None:
    def refuse(**fields):
        raise AssertionError

    for kind in ("StepStarted", "StepSucceeded", "StepFailed", "StepCancelled", "StepSkipped"):
        monkeypatch.setattr(f"trio_steps._core.step.{kind}", refuse)
    for kind in ("StepRetrying", "AttemptStarted", "AttemptEnded", "LimitWaited", "CircuitChanged"):
        monkeypatch.setattr(f"trio_steps._core.policy.policies.{kind}", refuse)
    breaker = CircuitBreaker(2, 10, on_open="skip")

    async def broken():
        raise OSError("down")

    failing = step(broken, retry=Retry(2), circuit_breaker=breaker)

    async def succeeds():
        return 7

    with pytest.raises(OSError, match="down"):
        await failing()
    assert await failing() is None
    assert await step(succeeds).run(observers=[]) == 7
    with trio.CancelScope() as scope:
        scope.cancel()
        await step(trio.lowlevel.checkpoint)()
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("observers", "message"),
    [
        (print, "observers=<built-in function print>: give them in a list, observers=[…]"),
        (["log"], "observers=['log']: 'log': give a sync function of an event, such as a Recorder()"),
    ],
)
async def test_observers_that_are_none_are_refused(observers, message) -> None:
    """Everywhere that takes observers: a step, a run of a pipeline, and a pipeline for all its runs."""
    with pytest.raises(ConfigError) as of_step:
        await step(print).run(observers=observers)
    with pytest.raises(ConfigError) as of_run:
        Pipeline("p").run({}, observers=observers)
    with pytest.raises(ConfigError) as of_pipeline:
        Pipeline("p", observers=observers)
    assert [str(caught.value) for caught in (of_step, of_run, of_pipeline)] == [message] * 3
