"""Rows: which run each event belongs to, and the words of a row."""

from __future__ import annotations

import pytest
import trio
from paths import cleans_up, never, raises, returns, shielded

from trio_steps import (
    CircuitBreaker,
    ErrorDiscarded,
    Event,
    KeyOverridden,
    Pipeline,
    Recorder,
    Retry,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    ValueDiscarded,
    fork,
    gather,
    otherwise,
    race,
    step,
)
from trio_steps._core.scope import scope_of
from trio_steps._observers.rows import read


def scope(id, parent=None):
    return scope_of(id, parent, None, None, None)


def story(row):
    """The text of a row, without times."""
    return row.label, row.status, [story(child) for child in row.children]


def fails(times, error=None):
    """A function that fails `times` times, after 0.1 s each."""
    left = times

    async def flaky():
        nonlocal left
        left -= 1
        await trio.sleep(0.1)
        if left >= 0:
            raise error or OSError("busy")

    return flaky


async def sleepy():
    await trio.sleep(1)


def only(rows):
    (row,) = rows
    return row


# Which run it is


async def test_overlapping_runs_of_one_name_keep_their_own_paths_and_ends():
    recorder = Recorder()
    hedged = fork("hedged", mode="race", paths=lambda delay: [returns(delay, "a"), returns(delay + 1, "b")])
    async with trio.open_nursery() as nursery:
        for delay in (3, 1, 2):
            nursery.start_soon(lambda delay=delay: hedged.run(delay, observers=[recorder]))
            await trio.sleep(0.25)
    rows = read(recorder.events)
    assert [(row.start, row.end) for row in rows] == [(0, 3), (0.25, 1.25), (0.5, 2.5)]
    assert [[(child.name, child.end, child.won) for child in row.children] for row in rows] == [
        [("hedged/a", end, True), ("hedged/b", end, False)] for end in (3, 1.25, 2.5)
    ]


async def test_overlapping_runs_of_one_name_and_equal_times_are_told_apart():
    recorder = Recorder()
    flaky = fork("flaky", mode="settle", paths=lambda error: [raises(1, error), never], timeout=2)
    async with trio.open_nursery() as nursery:
        for text in "xyz":
            nursery.start_soon(lambda text=text: flaky.run(OSError(text), observers=[recorder]))
    rows = read(recorder.events)
    assert [story(row) for row in rows] == [
        ("flaky", "succeeded", [("bad", "failed", []), ("never", "cancelled", [])])
    ] * 3
    assert sorted(row.children[0].text for row in rows) == ["OSError: x", "OSError: y", "OSError: z"]


async def test_overlapping_runs_inside_one_step_keep_their_own_retries_discards_and_queues():
    recorder = Recorder()

    async def compete(times):
        patient = step(fails(times), id="patient", retry=Retry(3))
        await race(patient, shielded(0.5, times, id="late"), never, concurrency=2, observers=[])

    async def both():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(compete, 1)
            nursery.start_soon(compete, 2)

    await step(both).run(observers=[recorder])
    forks = only(read(recorder.events)).children
    assert [story(row) for row in forks] == [
        ("race", "succeeded", [("patient", "succeeded", []), ("late", "succeeded", []), ("never", "queued", [])])
    ] * 2
    assert sorted(len(row.children[0].retries) for row in forks) == [1, 2]
    for row in forks:
        assert [event.value for event in row.children[1].discards] == [len(row.children[0].retries)]


async def test_rows_of_a_pipeline_are_inside_it_and_inside_its_branches():
    recorder = Recorder()
    signup = (
        Pipeline("signup")
        .step("check", lambda: None, condition=False)
        .branch_on("plan", otherwise(lambda builder: builder.step("greet", lambda: None), name="free"))
    )
    await signup.run({}, observers=[recorder])
    assert story(only(read(recorder.events))) == (
        "signup",
        "succeeded",
        [("check", "skipped", []), ("plan", "succeeded", [("free/greet", "succeeded", [])])],
    )


async def test_run_inside_a_quiet_step_is_quiet_too():
    recorder = Recorder()

    async def load():
        await race(returns(1, "a"), never)

    await Pipeline("p").step("loud", load).step("hushed", load, log=False).run({}, observers=[recorder])
    inner = ("race", "succeeded", [("a", "succeeded", []), ("never", "cancelled", [])])
    assert story(only(read(recorder.events))) == ("p", "succeeded", [("loud", "succeeded", [inner])])


def test_run_is_inside_the_nearest_one_that_was_seen():
    top = scope("top")
    inner = scope("c", scope("b", scope("a", top)))
    rows = read([StepStarted(name="top", time=0.0, scope=top), StepStarted(name="top/a/b/c", time=1.0, scope=inner)])
    assert story(only(rows)) == ("top", "running", [("a/b/c", "running", [])])
    assert only(rows).children[0].name == "top/a/b/c"
    assert only(rows).children[0].depth == 1


async def test_run_inside_a_pipeline_that_is_not_observed_has_a_name_without_it():
    recorder = Recorder()

    async def load():
        await race(returns(1, "a"), never, observers=[recorder])

    await Pipeline("p").step("load", load).run({})
    assert only(read(recorder.events)).label == only(read(recorder.events)).name == "load/race"


# How it went


async def test_row_has_its_times_and_its_winner():
    recorder = Recorder()
    await race(returns(1, "a"), shielded(1.5, "b"), never, observers=[recorder])
    row = only(read(recorder.events))
    assert [(child.label, child.start, child.end, child.won) for child in row.children] == [
        ("a", 0, 1, True),
        ("b", 0, 1.5, False),
        ("never", 0, 1, False),
    ]
    assert not row.won


async def test_nobody_wins_where_all_are_wanted():
    recorder = Recorder()
    await gather(returns(1, "a"), returns(2, "b"), observers=[recorder])
    assert not any(child.won for child in only(read(recorder.events)).children)


async def test_row_has_its_retries_and_the_error_of_the_last_attempt():
    recorder = Recorder()
    last = KeyError("last")
    with pytest.raises(KeyError):
        await step(fails(3, last), retry=Retry(3, delay=0.5)).run(observers=[recorder])
    row = only(read(recorder.events))
    assert [(retry.time, retry.delay, retry.attempt) for retry in row.retries] == [(0.1, 0.5, 1), (0.7, 0.5, 2)]
    assert row.error is last
    assert row.status == "failed"


async def test_paths_of_both_attempts_of_a_fork_are_rows():
    recorder = Recorder()
    pair = Pipeline("p").step("pair", step(sleepy, id="a"), step(fails(1), id="b"), concurrency=1, retry=Retry(2))
    await pair.run({}, observers=[recorder])
    row = only(only(read(recorder.events)).children)
    assert [(child.label, child.status, child.queued, child.start) for child in row.children] == [
        ("a", "succeeded", 0, 0),
        ("b", "failed", 0, 1),
        ("a", "succeeded", 1.1, 1.1),
        ("b", "succeeded", 1.1, 2.1),
    ]


async def test_discarded_values_and_errors_are_of_the_path_that_they_come_from():
    recorder = Recorder()
    late = OSError("late")
    await race(returns(1, "a"), shielded(2, "b"), cleans_up([], 1.5, error=late), observers=[recorder])
    winner, other, slow = only(read(recorder.events)).children
    assert winner.discards == []
    assert [event.value for event in other.discards] == ["b"]
    assert [event.error for event in slow.discards] == [late]


async def test_path_that_waited_knows_since_when():
    recorder = Recorder()
    await gather(returns(1, "a"), returns(2, "b"), returns(1, "c"), concurrency=1, observers=[recorder])
    assert [(child.queued, child.start) for child in only(read(recorder.events)).children] == [(0, 0), (0, 1), (0, 3)]


async def test_path_that_started_with_the_next_switch_did_not_wait():
    recorder = Recorder()
    await race(never, returns(1, "a"), stagger=0.0009, observers=[recorder])
    assert [child.waited for child in only(read(recorder.events)).children] == [0, 0]
    recorder = Recorder()
    await race(never, returns(1, "a"), stagger=0.25, observers=[recorder])
    assert [child.waited for child in only(read(recorder.events)).children] == [0, 0.25]


async def test_path_that_never_started_waited_till_it_was_clear():
    recorder = Recorder()
    await race(returns(1, "a"), never, concurrency=1, observers=[recorder])
    path = only(read(recorder.events)).children[1]
    assert (path.status, path.ran, path.queued, path.start, path.end) == ("queued", False, 0, 1, 1)
    assert path.said() == "path 'a' won"


async def test_path_of_a_lazy_source_did_not_wait():
    recorder = Recorder()
    await gather((returns(1, name) for name in "abc"), concurrency=1, observers=[recorder])
    assert [child.queued for child in only(read(recorder.events)).children] == [None, None, None]


async def test_step_that_merge_runs_did_not_wait_like_a_path():
    recorder = Recorder()

    async def merge(values):
        return await returns(1, "merged")()

    await fork("all", mode="all", paths=[returns(1, "a")], merge=merge).run(observers=[recorder])
    assert [(child.label, child.queued) for child in only(read(recorder.events)).children] == [
        ("a", 0),
        ("merged", None),
    ]


async def test_step_that_its_breaker_skips_has_started_and_one_whose_condition_fails_has_not():
    recorder = Recorder()
    breaker = CircuitBreaker(1, 9, on_open="skip")
    guarded = step(fails(1), id="guarded", circuit_breaker=breaker)
    with pytest.raises(OSError, match="busy"):
        await guarded()
    await guarded.run(observers=[recorder])
    await Pipeline("p").step("never", lambda: None, condition=False).run({}, observers=[recorder])
    by_breaker, pipeline = read(recorder.events)
    assert (by_breaker.status, by_breaker.ran) == ("skipped", True)
    assert (only(pipeline.children).status, only(pipeline.children).ran) == ("skipped", False)
    assert only(pipeline.children).said() == "its condition does not hold"


async def test_error_without_a_message_of_its_own_is_told():
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("no message")

    recorder = Recorder()
    with pytest.raises(MuteError):
        await step(raises(1, MuteError()), id="mute").run(observers=[recorder])
    assert only(read(recorder.events)).said() == "MuteError: its message could not be read"


# Stories with missing events


def test_end_without_a_start_began_as_long_before_as_it_took():
    row = only(read([StepSucceeded(name="a", scope=scope("a"), time=3.0, duration=2.0)]))
    assert (row.start, row.end, row.status) == (1, 3, "succeeded")


def test_retry_of_a_step_that_nobody_started_is_of_one_that_runs():
    error = OSError("busy")
    row = only(read([StepRetrying(name="a", scope=scope("a"), time=3.0, attempt=1, error=error, delay=1.0)]))
    assert (row.start, row.status, row.said()) == (3, "running", "1 retry after OSError: busy")


def test_what_a_path_that_was_not_seen_leaves_is_told_by_its_fork():
    around = scope("fork")
    value = ValueDiscarded(name="fork/hushed", scope=around, time=1.0, value=1, disposed=True)
    error = ErrorDiscarded(name="fork/hushed", scope=around, time=2.0, error=OSError("late"))
    row = only(read([StepStarted(name="fork", scope=around, time=0.0), value, error]))
    assert row.discards == [value, error]
    assert row.said() == "hushed: value disposed of; hushed: discarded OSError: late"


def test_error_of_the_fork_itself_is_its_own():
    around = scope("fork")
    error = ErrorDiscarded(name="fork", scope=around, time=2.0, error=OSError("late"))
    row = only(read([StepStarted(name="fork", scope=around, time=0.0), error]))
    assert row.said() == "discarded OSError: late"


def test_skipped_path_of_a_fork_that_was_not_seen_is_inside_it():
    rows = read([StepSkipped(name="fork/a", scope=scope("fork"), time=1.0, reason="enough")])
    assert story(only(rows)) == ("fork", "running", [("a", "queued", [])])


@pytest.mark.parametrize(
    "event",
    [
        Event(name="a", scope=scope("a"), time=1.5),
        KeyOverridden(name="a", scope=scope("a"), time=1.5, key="k", first="x", second="y"),
    ],
)
def test_event_that_says_nothing_here_is_no_row(event):
    assert read([event]) == []
