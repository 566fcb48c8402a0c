"""The events of a fork."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
from paths import never, raises, returns, shielded

from trio_steps import (
    Event,
    ForkPartialError,
    PathsCounted,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    ValueDiscarded,
    fork,
    gather,
    race,
    step,
)

# observers


async def test_observers_hear_the_whole_story_with_exact_times() -> None:
    events: list[Event] = []
    error = OSError()
    story = fork("f", mode="all", paths=[returns(1, "a"), raises(2, error), never, returns(9, "queued")], concurrency=3)
    with pytest.raises(ForkPartialError) as caught:
        await fork("f", mode="all", paths=[story]).run(observers=[events.append])
    assert caught.value.exceptions[0].exceptions[0] is error  # type: ignore[attr-defined]
    story_events = [(type(event).__name__, event.name, event.time) for event in events]
    assert story_events == [
        ("StepStarted", "f", 0),
        ("PathsCounted", "f", 0),
        ("StepStarted", "f/f", 0),
        ("PathsCounted", "f/f", 0),
        ("StepStarted", "f/f/a", 0),
        ("StepStarted", "f/f/bad", 0),
        ("StepStarted", "f/f/never", 0),
        ("StepSucceeded", "f/f/a", 1),
        ("StepStarted", "f/f/queued", 1),
        ("StepFailed", "f/f/bad", 2),
        *sorted([("StepCancelled", "f/f/never", 2), ("StepCancelled", "f/f/queued", 2)], key=_order(events)),
        ("StepFailed", "f/f", 2),
        ("StepFailed", "f", 2),
    ]
    assert [event.duration for event in events if isinstance(event, (StepSucceeded, StepFailed))] == [1, 2, 2, 2]
    assert [event.total for event in events if isinstance(event, PathsCounted)] == [1, 4]


async def test_fork_with_a_lazy_source_counts_its_paths_when_that_has_run_dry() -> None:
    events: list[Event] = []
    paths = lambda: iter([returns(1, "a"), returns(2, "b")])  # noqa: E731
    await fork("f", mode="all", paths=paths, concurrency=1).run(observers=[events.append])
    counted = [(event.name, event.time, event.total) for event in events if isinstance(event, PathsCounted)]
    assert counted == [("f", 3, 2)]


async def test_events_of_one_run_have_its_scope_and_its_parents_are_what_it_runs_in() -> None:
    events: list[Event] = []
    inner = fork("inner", mode="all", paths=[returns(1, "a")])
    await gather(partial(inner.run, observers=[events.append]), partial(inner.run, observers=[events.append]))
    runs = {event.scope for event in events if event.name == "gather/run/inner/a"}
    assert len(runs) == 1  # started and succeeded
    (run,) = runs
    assert run.parent in {event.scope for event in events if isinstance(event, PathsCounted)}
    assert len({event.scope for event in events}) == 4


async def test_events_of_paths_that_never_started_have_the_scope_of_the_fork() -> None:
    events: list[Event] = []
    await fork("f", mode="race", paths=[returns(1, "a"), returns(1, "b")], concurrency=1).run(observers=[events.append])
    (skipped,) = [event for event in events if isinstance(event, StepSkipped)]
    assert (skipped.name, skipped.scope.name) == ("f/b", "f")


async def test_path_whose_value_its_mode_can_not_take_has_an_end_nevertheless() -> None:
    class Broken:
        def succeeded(self, index: int, value: object) -> bool:
            raise LookupError("bug in the mode")

        def failed(self, index: int, error: Exception) -> bool:
            return True

        def exhausted(self, total: int) -> bool:
            return False

        def result(self) -> None:
            return None

    events: list[Event] = []
    with pytest.raises(LookupError, match="bug in the mode"):
        await fork("f", mode=Broken, paths=[returns(1, "a")]).run(observers=[events.append])
    assert [(type(event), event.time) for event in events if event.name == "f/a"] == [
        (StepStarted, 0),
        (StepSucceeded, 1),
        (ValueDiscarded, 1),
    ]


async def test_only_the_winner_of_a_race_is_told_to_have_won() -> None:
    events: list[Event] = []
    won = lambda: [event.name for event in events if isinstance(event, StepSucceeded) and event.won]  # noqa: E731
    await race(returns(1, "a"), shielded(2, "late"), raises(0.5, OSError()), observers=[events.append])
    assert won() == ["race/a"]
    await gather(returns(1, "a"), observers=[events.append])
    assert won() == ["race/a"]


def _order(events: list[Event]) -> Any:
    names = [(type(event).__name__, event.name) for event in events]
    return lambda row: names.index(row[:2])


async def test_observers_are_told_of_paths_that_were_never_started() -> None:
    events: list[Event] = []
    paths = [returns(1, "a"), returns(1, "b"), returns(1, "c")]
    await fork("f", mode="race", paths=paths, concurrency=1).run(observers=[events.append])
    skipped = [event for event in events if isinstance(event, StepSkipped)]
    assert [(event.name, event.reason) for event in skipped] == [
        ("f/b", "fork 'f': path 'a' won"),
        ("f/c", "fork 'f': path 'a' won"),
    ]


async def test_path_that_never_started_is_skipped_for_the_reason_of_the_cancellation_from_outside() -> None:
    events: list[Event] = []
    run = fork("f", mode="all", paths=[never, returns(1, "b")], concurrency=1).run
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(run, observers=[events.append]))
        await trio.sleep(1)
        nursery.cancel_scope.cancel("no longer needed")
    [skipped] = [event for event in events if isinstance(event, StepSkipped)]
    assert (skipped.name, skipped.reason, skipped.time) == ("f/b", "no longer needed", 1)


async def test_observer_may_join_for_one_inner_run() -> None:
    outer: list[str] = []
    inner: list[str] = []
    leaf = step(lambda: 1, id="leaf")

    async def path() -> None:
        await leaf.run(observers=[lambda event: inner.append(event.name)])

    await fork("f", mode="all", paths=[path]).run(observers=[lambda event: outer.append(event.name)])
    assert set(inner) == {"f/path/leaf"}
    assert set(outer) == {"f", "f/path", "f/path/leaf"}


async def test_observer_that_raises_is_dropped_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []
    calls = 0

    def broken(event: Event) -> None:
        nonlocal calls
        calls += 1
        raise LookupError("bug in the observer")

    assert await fork("f", mode="all", paths=[returns(1, "a")]).run(observers=[broken, heard.append]) == ("a",)
    assert calls == 1
    assert [type(event) for event in heard] == [StepStarted, PathsCounted, StepStarted, StepSucceeded, StepSucceeded]
    assert "bug in the observer" in caplog.text


async def test_value_discarded_says_whether_it_was_disposed_of() -> None:
    events: list[Event] = []
    f = fork("f", mode="race", paths=[returns(1, "a"), shielded(2, "late")], dispose=lambda _: None)
    await f.run(observers=[events.append])
    (discarded,) = [event for event in events if isinstance(event, ValueDiscarded)]
    assert (discarded.value, discarded.disposed, discarded.time) == ("late", True, 2)
