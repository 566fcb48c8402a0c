"""The recorder: what it keeps, and how it draws that."""

from __future__ import annotations

import inspect
import re

import pytest
import trio
from paths import cleans_up, never, raises, returns, shielded

from trio_steps import (
    CircuitBreaker,
    Event,
    ForkPartialError,
    Recorder,
    Retry,
    StepCancelled,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    fork,
    gather,
    race,
    settle,
    step,
)
from trio_steps._core.scope import scope_of


def chart(text):
    return inspect.cleandoc(text)


def replayed(*events):
    """A recorder that was told of `events`."""
    recorder = Recorder()
    for event in events:
        recorder(event)
    return recorder


def scope(id, parent=None):
    return scope_of(id, parent, None, None, None)


def ran(name, start, end, parent=None):
    run = scope(name.rpartition("/")[2], parent)
    return (
        StepStarted(name=name, scope=run, time=start),
        StepSucceeded(name=name, scope=run, time=end, duration=end - start),
    )


def fails(times, delay=0.1, error=None):
    """A function that fails `times` times, each after `delay` seconds."""
    left = times

    async def flaky():
        nonlocal left
        left -= 1
        await trio.sleep(delay)
        if left >= 0:
            raise error or OSError("busy")

    return flaky


async def nothing():
    pass


# What it keeps


async def test_recorder_keeps_the_events_in_order():
    recorder, seen = Recorder(), []
    await race(returns(1, "a"), returns(2, "b"), observers=[recorder, seen.append])
    assert recorder.events == tuple(seen)
    assert len(seen) == 7


async def test_events_that_were_handed_out_do_not_change():
    recorder = Recorder()
    before = recorder.events
    await gather(nothing, observers=[recorder])
    assert before == ()
    assert len(recorder.events) == 5


async def test_str_is_the_timeline_as_it_is_by_default():
    recorder = Recorder()
    await race(returns(1, "a"), returns(2, "b"), observers=[recorder])
    assert str(recorder) == recorder.render() == recorder.render(width=100, color=False)


def test_repr_is_short():
    assert repr(replayed(*ran("a", 0, 1))) == "<Recorder: 2 events>"


def test_recorder_that_has_seen_nothing_says_so():
    assert Recorder().render() == "nothing has run yet"


# How steps end


async def test_race_shows_who_won_who_was_stopped_and_who_failed():
    recorder = Recorder()
    await race(
        returns(0.5, "mirror-a"),
        returns(0.25, "mirror-b"),
        raises(0.1, OSError("no route to host"), id="mirror-c"),
        observers=[recorder],
    )
    assert recorder.render() == chart("""
                      0 ms       100 ms      200 ms  start    took
        ✓ race        ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms  250 ms
          ⊘ mirror-a  ────────────────────────────⊘   0 ms  250 ms  cancelled at 250 ms: path 'mirror-b' won
          ★ mirror-b  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms  250 ms
          ✗ mirror-c  ━━━━━━━━━━━✗                    0 ms  100 ms  OSError: no route to host
    """)


async def test_all_shows_the_failure_once_in_full():
    recorder = Recorder()
    research = fork(
        "gather-research",
        mode="all",
        paths=[returns(0.35, "academic"), raises(0.65, ConnectionError("refused"), id="news"), never],
    )
    with pytest.raises(ForkPartialError):
        await research.run(observers=[recorder])
    assert recorder.render() == chart("""
                           0 ms   200 ms  400 ms      start    took
        ✗ gather-research  ━━━━━━━━━━━━━━━━━━━━━━━━✗   0 ms  650 ms  ForkPartialError: 1 of 3 paths failed
          ✓ academic       ━━━━━━━━━━━━━╸              0 ms  350 ms
          ✗ news           ━━━━━━━━━━━━━━━━━━━━━━━━✗   0 ms  650 ms  ConnectionError: refused
          ⊘ never          ────────────────────────⊘   0 ms  650 ms  cancelled at 650 ms: path 'news' failed
    """)


async def test_stagger_shows_when_each_path_started_and_who_never_did():
    recorder = Recorder()
    await race(never, returns(0.3, "second"), never, never, stagger=0.25, observers=[recorder])
    assert recorder.render() == chart("""
                     0 ms       200 ms     400 ms      start    took
        ✓ race       ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━    0 ms  550 ms
          ⊘ never    ──────────────────────────────⊘    0 ms  550 ms  cancelled at 550 ms: path 'second' won
          ★ second                 ━━━━━━━━━━━━━━━━━  250 ms  300 ms
          ⊘ never#2                              ──⊘  500 ms   50 ms  cancelled at 550 ms: path 'second' won
          · never#3                                ·                  never started: path 'second' won
    """)


async def test_settle_shows_its_deadline():
    recorder = Recorder()
    await settle(returns(0.8, "a"), never, raises(0.2, KeyError("key")), timeout=1.5, observers=[recorder])
    assert recorder.render() == chart("""
                   0 ms      500 ms    1 s          start    took
        ✓ settle   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms   1.5 s
          ✓ a      ━━━━━━━━━━━━━━━━╸                 0 ms  800 ms
          ⊘ never  ──────────────────────────────⊘   0 ms   1.5 s  cancelled at 1.5 s: timed out after 1.5 s
          ✗ bad    ━━━✗                              0 ms  200 ms  KeyError: 'key'
    """)


async def test_deadline_of_a_fork_stands_in_its_own_line():
    recorder = Recorder()
    with pytest.raises(ForkPartialError):
        await gather(returns(1, "a"), never, timeout=1.5, observers=[recorder])
    assert recorder.render() == chart("""
                   0 ms         1 s      start   took
        ✗ gather   ━━━━━━━━━━━━━━━━━━━✗   0 ms  1.5 s  ForkPartialError: no path failed, the fork did
                                                       (StepTimeoutError: timed out after 1.5 s)
          ✓ a      ━━━━━━━━━━━━━╸         0 ms    1 s
          ⊘ never  ───────────────────⊘   0 ms  1.5 s  cancelled at 1.5 s: timed out after 1.5 s
    """)


async def test_quorum_shows_who_was_too_many():
    recorder = Recorder()
    experts = [returns(0.1, "a"), raises(0.2, ValueError(), id="b"), returns(0.3, "c"), returns(0.4, "d")]
    await fork("experts", mode="quorum", need=2, paths=experts).run(observers=[recorder])
    assert recorder.render() == chart("""
                   0 ms         100 ms       200 ms         start    took
        ✓ experts  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms  300 ms
          ✓ a      ━━━━━━━━━━━━━                             0 ms  100 ms
          ✗ b      ━━━━━━━━━━━━━━━━━━━━━━━━━✗                0 ms  200 ms  ValueError
          ✓ c      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms  300 ms
          ⊘ d      ──────────────────────────────────────⊘   0 ms  300 ms  cancelled at 300 ms: path 'c' won
    """)


async def test_run_that_was_cancelled_from_outside_says_why():
    recorder = Recorder()
    with trio.move_on_after(0.6):
        await gather(never, never, concurrency=1, observers=[recorder])
    assert recorder.render() == chart("""
                     0 ms       200 ms     400 ms        start    took
        ⊘ gather     ─────────────────────────────────⊘   0 ms  600 ms  cancelled at 600 ms: due to deadline
          ⊘ never    ─────────────────────────────────⊘   0 ms  600 ms  cancelled at 600 ms: due to deadline
          · never#2                                   ·                 never started: due to deadline
    """)


async def test_failed_timeout_of_a_step_does_not_repeat_its_name():
    recorder = Recorder()
    await settle(step(never, timeout=0.5), observers=[recorder])
    assert recorder.render() == chart("""
                   0 ms         200 ms       400 ms   start    took
        ✓ settle   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms  500 ms
          ✗ never  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━✗   0 ms  500 ms  StepTimeoutError: timed out after 0.5 s
    """)


async def test_group_of_errors_shows_its_members():
    recorder = Recorder()
    error = ExceptionGroup("both sides", [OSError("left"), KeyError()])
    await settle(raises(1, error), observers=[recorder])
    assert recorder.render() == chart("""
                  0 ms       500 ms       start   took
        ✓ settle  ━━━━━━━━━━━━━━━━━━━━━━   0 ms    1 s
          ✗ bad   ━━━━━━━━━━━━━━━━━━━━━✗   0 ms    1 s  ExceptionGroup: both sides (OSError: left, KeyError)
    """)


async def test_error_that_passes_through_is_told_in_full_by_the_innermost_step():
    recorder = Recorder()

    async def outer():
        await gather(raises(1, OSError("down")), never)

    with pytest.raises(ForkPartialError):
        await step(outer).run(observers=[recorder])
    assert recorder.render() == chart("""
                     0 ms      500 ms      start   took
        ✗ outer      ━━━━━━━━━━━━━━━━━━━✗   0 ms    1 s  ForkPartialError: fork 'outer/gather': 1 of 2 paths
                                                         failed
          ✗ gather   ━━━━━━━━━━━━━━━━━━━✗   0 ms    1 s  ForkPartialError: 1 of 2 paths failed
            ✗ bad    ━━━━━━━━━━━━━━━━━━━✗   0 ms    1 s  OSError: down
            ⊘ never  ───────────────────⊘   0 ms    1 s  cancelled at 1 s: path 'bad' failed
    """)


async def test_step_that_its_breaker_skips_is_told_from_a_path_that_never_started():
    recorder = Recorder()
    breaker = CircuitBreaker(1, 9, on_open="skip")
    guarded = step(fails(1), id="guarded", circuit_breaker=breaker)
    with pytest.raises(OSError, match="busy"):
        await guarded.run(observers=[recorder])
    await guarded.run(observers=[recorder])
    assert recorder.render() == chart("""
                   0 ms      20 ms     40 ms     60 ms     80 ms       start    took
        ✗ guarded  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━✗   0 ms  100 ms  OSError: busy

                   0 ms                  start   took
        » guarded  »                      0 ms   0 ms  skipped: circuit breaker of 'guarded' is open; next
                                                       probe in 9 s
    """)


# Retries


async def test_retries_are_marked_and_the_wait_is_a_light_line():
    recorder = Recorder()
    patient = step(fails(3), retry=Retry(4, backoff="exponential", delay=0.15))
    await gather(patient, returns(0.2, "quick"), observers=[recorder])
    assert recorder.render() == chart("""
                   0 ms           500 ms        1 s             start    took
        ✓ gather   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms  1.45 s
          ✓ flaky  ━━━↻───╼━━↻────────╼━━↻─────────────────━━━   0 ms  1.45 s  3 retries after OSError: busy
          ✓ quick  ━━━━━━                                        0 ms  200 ms
    """)


async def test_retries_that_end_in_failure_show_the_last_error_once():
    recorder = Recorder()
    with pytest.raises(OSError, match="busy"):
        await step(fails(2), retry=Retry(2, delay=0.3)).run(observers=[recorder])
    assert recorder.render() == chart("""
                 0 ms      100 ms    200 ms    300 ms    400 ms      start    took
        ✗ flaky  ━━━━━━━━━━↻─────────────────────────────━━━━━━━━━✗   0 ms  500 ms  OSError: busy; 1 retry
    """)


async def test_wait_that_is_cancelled_ends_with_the_step():
    recorder = Recorder()
    with trio.move_on_after(0.5):
        await step(fails(1), retry=Retry(2, delay=9)).run(observers=[recorder])
    assert recorder.render() == chart("""
                 0 ms    200 ms        start    took
        ⊘ flaky  ────↻──────────────⊘   0 ms  500 ms  cancelled at 500 ms: due to deadline; 1 retry after
                                                      OSError: busy
    """)


# Values and errors that nobody got


async def test_value_that_came_too_late_is_noted():
    recorder = Recorder()
    await race(returns(1, "a"), shielded(1.5, "b"), observers=[recorder])
    assert recorder.render() == chart("""
                0 ms            500 ms           1 s                start   took
        ✓ race  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms  1.5 s
          ★ a   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸                   0 ms    1 s
          ✓ b   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms  1.5 s  value discarded
    """)


async def test_value_that_was_disposed_of_is_noted_and_so_is_the_error_of_dispose():
    recorder = Recorder()

    def dispose(value):
        raise TypeError(f"can't close {value}")

    await race(returns(1, "a"), shielded(1.5, "b"), dispose=dispose, observers=[recorder])
    assert recorder.render() == chart("""
                0 ms   500 ms  1 s       start   took
        ✓ race  ━━━━━━━━━━━━━━━━━━━━━━━   0 ms  1.5 s
          ★ a   ━━━━━━━━━━━━━━━╸          0 ms    1 s
          ✓ b   ━━━━━━━━━━━━━━━━━━━━━━━   0 ms  1.5 s  value disposed of; discarded TypeError: can't close b
    """)


async def test_error_that_changed_nothing_is_noted():
    recorder = Recorder()
    await race(returns(1, "a"), cleans_up([], 0.5, error=OSError("late")), observers=[recorder])
    assert recorder.render() == chart("""
                  0 ms            500 ms           1 s                start   took
        ✓ race    ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms  1.5 s
          ★ a     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸                   0 ms    1 s
          ✗ slow  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━✗   0 ms  1.5 s  OSError: late; discarded
    """)


# Nesting and names


async def test_fork_in_a_fork_is_indented_and_says_which_fork_stopped_it():
    recorder = Recorder()
    sources = fork("sources", mode="all", paths=[returns(0.35, "academic"), never], concurrency=1)
    await fork("outer", mode="race", paths=[returns(0.5, "cache"), sources]).run(observers=[recorder])
    assert recorder.render() == chart("""
                        0 ms    200 ms         start    took
        ✓ outer         ━━━━━━━━━━━━━━━━━━━━    0 ms  500 ms
          ★ cache       ━━━━━━━━━━━━━━━━━━━━    0 ms  500 ms
          ⊘ sources     ───────────────────⊘    0 ms  500 ms  cancelled at 500 ms: path 'cache' won
            ✓ academic  ━━━━━━━━━━━━━━          0 ms  350 ms  value discarded
            ⊘ never                   ─────⊘  350 ms  150 ms  cancelled at 500 ms: fork 'outer': path
                                                              'cache' won
    """)


async def test_step_that_runs_again_gets_a_line_each_time():
    recorder = Recorder()
    ping = returns(0.5, "ping")

    async def twice():
        await ping()
        await ping()

    await step(twice).run(observers=[recorder])
    assert recorder.render() == chart("""
                  0 ms      200 ms    400 ms    600 ms    800 ms       start    took
        ✓ twice   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━    0 ms     1 s
          ✓ ping  ━━━━━━━━━━━━━━━━━━━━━━━━━                             0 ms  500 ms
          ✓ ping                           ━━━━━━━━━━━━━━━━━━━━━━━━━  500 ms  500 ms
    """)


async def test_run_inside_a_step_that_is_not_observed_has_its_full_name():
    recorder = Recorder()

    async def outer():
        await race(returns(1, "a"), never, observers=[recorder])

    await step(outer)()
    assert recorder.render() == chart("""
                      0 ms    200 ms  400 ms  600 ms  800 ms    start   took
        ✓ outer/race  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    1 s
          ★ a         ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    1 s
          ⊘ never     ───────────────────────────────────────⊘   0 ms    1 s  cancelled at 1 s: path 'a' won
    """)


async def test_slash_in_an_id_is_part_of_the_label():
    recorder = Recorder()
    await fork("a/b", mode="race", paths=[returns(1, "c/d"), never]).run(observers=[recorder])
    assert recorder.render() == chart("""
                   0 ms    200 ms  400 ms  600 ms   800 ms    start   took
        ✓ a/b      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    1 s
          ★ c/d    ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    1 s
          ⊘ never  ────────────────────────────────────────⊘   0 ms    1 s  cancelled at 1 s: path 'c/d' won
    """)


async def test_runs_of_one_name_at_the_same_time_keep_their_own_paths():
    recorder = Recorder()

    async def compete(delay):
        await race(returns(delay, "a"), returns(delay / 2, "b"), observers=[recorder])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(compete, 1.0)
        await trio.sleep(0.1)
        nursery.start_soon(compete, 0.6)
    assert recorder.render() == chart("""
                0 ms    100 ms  200 ms  300 ms   400 ms     start    took
        ✓ race  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━    0 ms  500 ms
          ⊘ a   ────────────────────────────────────────⊘    0 ms  500 ms  cancelled at 500 ms: path 'b' won
          ★ b   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━    0 ms  500 ms
        ✓ race          ━━━━━━━━━━━━━━━━━━━━━━━━━          100 ms  300 ms
          ⊘ a           ────────────────────────⊘          100 ms  300 ms  cancelled at 400 ms: path 'b' won
          ★ b           ━━━━━━━━━━━━━━━━━━━━━━━━━          100 ms  300 ms
    """)


async def test_retries_of_one_name_at_the_same_time_keep_to_their_own_line():
    recorder = Recorder()
    async with trio.open_nursery() as nursery:
        for times, delay in ((1, 0.3), (2, 0.2)):
            flaky = step(fails(times, delay), id="flaky", retry=Retry(3, delay=0.05))
            nursery.start_soon(lambda flaky=flaky: flaky.run(observers=[recorder]))
    assert sorted(re.findall(r"\d retr\w+", str(recorder))) == ["1 retry", "2 retries"]


# While it goes on, and several runs


async def test_run_that_goes_on_is_drawn_up_to_the_last_event():
    recorder = Recorder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: gather(returns(0.25, "a"), returns(1, "b"), observers=[recorder]))
        await trio.sleep(0.5)
        assert recorder.render() == chart("""
                      0 ms      50 ms     100 ms    150 ms    200 ms      start    took
            ▸ gather  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  250 ms  still running
              ✓ a     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms  250 ms
              ▸ b     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  250 ms  still running
        """)


async def test_runs_one_after_another_get_a_chart_each():
    recorder = Recorder()
    await race(returns(0.1, "a"), never, observers=[recorder])
    await trio.sleep(5)
    await gather(returns(2, "b"), observers=[recorder])
    assert recorder.render() == chart("""
                   0 ms    20 ms  40 ms   60 ms   80 ms     start    took
        ✓ race     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms  100 ms
          ★ a      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms  100 ms
          ⊘ never  ──────────────────────────────────────⊘   0 ms  100 ms  cancelled at 100 ms: path 'a' won

                  0 ms        500 ms       1 s         1.5 s          start   took
        ✓ gather  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    2 s
          ✓ b     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    2 s
    """)


async def test_runs_that_overlap_share_a_time_axis():
    recorder = Recorder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: gather(returns(1, "a"), observers=[recorder]))
        await trio.sleep(0.5)
        nursery.start_soon(lambda: settle(returns(1, "b"), observers=[recorder]))
    assert recorder.render() == chart("""
                  0 ms            500 ms           1 s                 start   took
        ✓ gather  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸                    0 ms    1 s
          ✓ a     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸                    0 ms    1 s
        ✓ settle                  ╺━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  500 ms    1 s
          ✓ b                     ╺━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  500 ms    1 s
    """)


async def test_many_runs_are_counted_and_the_last_ones_drawn():
    recorder = Recorder()
    for number in range(100):
        await settle(returns(1, f"path-{number}"), observers=[recorder])
    head, *charts = recorder.render().split("\n\n")
    assert head == "… 89 earlier runs: 89 succeeded"
    assert [re.findall(r"path-\d+", drawn) for drawn in charts] == [[f"path-{number}"] for number in range(89, 100)]


async def test_run_that_takes_no_time_is_a_point():
    recorder = Recorder()
    await gather(nothing, nothing, observers=[recorder])
    assert recorder.render() == chart("""
                       0 ms                                                start   took
        ✓ gather       ╸                                                    0 ms   0 ms
          ✓ nothing    ╸                                                    0 ms   0 ms
          ✓ nothing#2  ╸                                                    0 ms   0 ms
    """)


# Crowds


async def test_thousand_paths_become_the_most_telling_ones_and_a_crowd():
    recorder = Recorder()
    paths = [returns(0.1, f"path-{number}") for number in range(1000)]
    paths[700] = raises(0.05, OSError("down"), id="path-700")
    await settle(paths, concurrency=50, observers=[recorder])
    assert recorder.render() == chart("""
                      0 ms        500 ms       1 s         1.5 s          start    took
        ✓ settle      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms     2 s
          ✓ path-0    ━━╸                                                  0 ms  100 ms
          ✓ path-1    ━━╸                                                  0 ms  100 ms
          ✓ path-2    ━━╸                                                  0 ms  100 ms
          ✓ path-3    ━━╸                                                  0 ms  100 ms
          ✓ path-4    ━━╸                                                  0 ms  100 ms
          ✓ path-5    ━━╸                                                  0 ms  100 ms
          ✓ path-6    ━━╸                                                  0 ms  100 ms
          ✓ path-7    ━━╸                                                  0 ms  100 ms
          ✓ path-8    ━━╸                                                  0 ms  100 ms
          ✓ path-9    ━━╸                                                  0 ms  100 ms
          ✗ path-700                                     ✗                1.4 s   50 ms  OSError: down
          … 989 more  ▇▇████████████████████████████████████████████████   0 ms     2 s  989 succeeded
    """)


async def test_crowd_that_never_started_has_no_bar():
    recorder = Recorder()
    await race([returns(1, f"path-{number}") for number in range(1000)], concurrency=1, observers=[recorder])
    assert recorder.render() == chart("""
                      0 ms   200 ms  400 ms  600 ms 800 ms    start   took
        ✓ race        ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    1 s
          ★ path-0    ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    1 s
          · path-1                                         ·                never started: path 'path-0' won
          · path-2                                         ·                never started: path 'path-0' won
          · path-3                                         ·                never started: path 'path-0' won
          · path-4                                         ·                never started: path 'path-0' won
          · path-5                                         ·                never started: path 'path-0' won
          · path-6                                         ·                never started: path 'path-0' won
          · path-7                                         ·                never started: path 'path-0' won
          · path-8                                         ·                never started: path 'path-0' won
          · path-9                                         ·                never started: path 'path-0' won
          · path-10                                        ·                never started: path 'path-0' won
          … 989 more                                                        989 never started
    """)


async def test_crowd_that_still_runs_is_drawn_up_to_the_last_event():
    recorder = Recorder()
    async with trio.open_nursery() as nursery:
        paths = [returns(number / 10, f"path-{number}") for number in range(1, 16)]
        nursery.start_soon(lambda: gather(*paths, observers=[recorder]))
        await trio.sleep(0.55)
        assert recorder.render() == chart("""
                         0 ms      100 ms    200 ms    300 ms    400 ms      start    took
            ▸ gather     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ✓ path-1   ━━━━━━━━━━                                           0 ms  100 ms
              ▸ path-6   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-7   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-8   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-9   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-10  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-11  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-12  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-13  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-14  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-15  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              … 4 more   ████████████████████▆▆▆▆▆▆▆▆▆▆▄▄▄▄▄▄▄▄▄▄▂▂▂▂▂▂▂▂▂▂   0 ms  500 ms  4 succeeded
        """)


async def test_thirteen_siblings_are_a_crowd_and_twelve_are_not():
    twelve, thirteen = Recorder(), Recorder()
    await gather(*[nothing] * 12, observers=[twelve])
    await gather(*[nothing] * 13, observers=[thirteen])
    assert twelve.render().splitlines()[-1].split()[:2] == ["✓", "nothing#12"]
    assert thirteen.render().splitlines()[-1].split()[:3] == ["…", "2", "more"]
    assert len(twelve.render().splitlines()) == len(thirteen.render().splitlines())


async def test_crowd_counts_retries_and_what_was_discarded():
    recorder = Recorder()
    flaky = [step(fails(1, 0.25), retry=Retry(2)) for _ in range(20)]
    late = [shielded(2, f"late-{number}") for number in range(20)]
    await settle(*flaky, *late, timeout=1, observers=[recorder])
    assert recorder.render().splitlines()[-1].endswith("  29 succeeded, 9 retries, 20 discarded")


async def test_many_crowds_get_fewer_lines_each():
    recorder = Recorder()
    inner = [fork(f"fork-{number}", mode="all", paths=[nothing] * 20) for number in range(20)]
    await gather(*inner, observers=[recorder])
    lines = recorder.render().splitlines()
    assert len(lines) == 1 + 1 + 5 * (1 + 6) + 1
    assert lines[-1].split() == ["…", "15", "more", "█", "0", "ms", "0", "ms", "15", "succeeded"]


# Width, colours and odd characters


@pytest.mark.parametrize("width", [80, 100, 133])
async def test_no_line_is_longer_than_the_width(width):
    recorder = Recorder()
    paths = [raises(number, OSError("error" * number), id="name" * number) for number in range(1, 20)]
    await settle(*paths, observers=[recorder])
    lines = recorder.render(width=width).splitlines()
    assert max(map(len, lines)) == width
    assert not any(line != line.rstrip() for line in lines)


async def test_width_that_leaves_no_room_is_taken_as_80():
    recorder = Recorder()
    await race(returns(1, "a"), never, observers=[recorder])
    assert recorder.render(width=1) == recorder.render(width=80) != recorder.render(width=81)


async def test_long_names_and_notes_are_wrapped_and_cut():
    recorder = Recorder()
    await settle(raises(1, OSError("long " * 99), id="long-" * 99), observers=[recorder])
    assert recorder.render() == chart("""
                                        0 ms      500 ms      start   took
        ✓ settle                        ━━━━━━━━━━━━━━━━━━━━   0 ms    1 s
          ✗ long-long-long-long-long-…  ━━━━━━━━━━━━━━━━━━━✗   0 ms    1 s  OSError: long long long long
                                                                            long long long long long long
                                                                            long long long long long long …
    """)


async def test_characters_that_would_change_the_terminal_are_left_out():
    recorder = Recorder()
    await settle(raises(1, OSError("\x1b[31mone\n\n\ttwo"), id="a\x07b"), observers=[recorder])
    assert recorder.render() == chart("""
                  0 ms      200 ms    400 ms    600 ms    800 ms      start   took
        ✓ settle  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    1 s
          ✗ a b   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━✗   0 ms    1 s  OSError: [31mone two
    """)


async def test_colors_are_used_on_request_and_tell_nothing_more():
    recorder = Recorder()
    with pytest.raises(ForkPartialError):
        await gather(returns(1, "a"), raises(2, OSError("down")), never, concurrency=2, observers=[recorder])
    colored = recorder.render(color=True)
    assert set(re.findall(r"\x1b\[(\d+)m", colored)) == {"0", "2", "31", "32", "33"}
    assert re.sub(r"\x1b\[\d+m", "", colored) == recorder.render()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (4e-7, "0 ms"),
        (2.5e-5, "25 µs"),
        (0.000999, "999 µs"),
        (0.0009996, "1 ms"),
        (0.0042, "4.2 ms"),
        (0.0125, "12 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.234, "1.23 s"),
        (59.96, "60 s"),
        (99.96, "100 s"),
        (12345.6, "12346 s"),
    ],
)
def test_duration_has_a_unit_that_suits_it(seconds, shown):
    assert f"  {shown}" in replayed(*ran("a", 0.0, seconds)).render().splitlines()[1]


def test_start_is_not_more_exact_than_a_run_of_a_second_needs():
    around = scope("a")
    recorder = replayed(
        StepStarted(name="a", scope=around, time=0.0),
        *ran("a/b", 0.000123, 0.5, around),
        *ran("a/c", 0.00056, 0.5, around),
    )
    assert re.findall(r"(\d ms)  \d+ ms", str(recorder)) == ["0 ms", "0 ms", "1 ms"]


# Stories with a piece missing


def test_end_without_a_start_is_drawn_from_its_duration():
    recorder = replayed(
        StepSucceeded(name="a", scope=scope("a"), time=2.0, duration=1.0),
        StepFailed(name="b", scope=scope("b"), time=3.0, duration=2.0, error=OSError()),
        StepCancelled(name="c", scope=scope("c"), time=4.0, duration=1.0, reason="enough"),
        StepSkipped(name="d", scope=scope("d"), time=4.0, reason="no time"),
    )
    assert recorder.render() == chart("""
             0 ms        500 ms       1 s         1.5 s          start   took
        ✓ a  ━━━━━━━━━━━━━━━━━━━━━━━━━                            0 ms    1 s
        ✗ b  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━✗   0 ms    2 s  OSError

             0 ms      200 ms    400 ms    600 ms    800 ms      start   took
        ⊘ c  ─────────────────────────────────────────────────⊘   0 ms    1 s  cancelled at 1 s: enough

             0 ms                                                start   took
        » d  »                                                                 skipped: no time
    """)


def test_event_of_another_kind_is_kept_and_not_drawn():
    event = Event(name="a", scope=scope("a"), time=1.5)
    recorder = replayed(*ran("a", 1.0, 2.0), event)
    assert recorder.events[-1] is event
    assert recorder.render() == replayed(*ran("a", 1.0, 2.0)).render()
