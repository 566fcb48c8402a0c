"""The recorder's timeline: how each step ended, retries, discarded values, nesting, several runs."""

from __future__ import annotations

import re

import pytest
import trio
from paths import cleans_up, never, raises, returns, shielded
from timelines import chart, fails, nothing, ran, replayed

from trio_steps import (
    CircuitBreaker,
    ForkPartialError,
    Recorder,
    Retry,
    fork,
    gather,
    race,
    settle,
    step,
)

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
        ✗ gather   ━━━━━━━━━━━━━━━━━━━✗   0 ms  1.5 s  ForkPartialError: no path failed, but the fork did
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
                     0 ms      200 ms    400 ms      start    took
        ⊘ gather     ─────────────────────────────⊘   0 ms  600 ms  cancelled at 600 ms: a timeout around it
          ⊘ never    ─────────────────────────────⊘   0 ms  600 ms  cancelled at 600 ms: a timeout around it
          · never#2                               ·                 never started: a timeout around it
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
                   0 ms             50 ms               start    took
        ✗ guarded  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━✗   0 ms  100 ms  OSError: busy; circuit breaker opened

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
        ⊘ flaky  ────↻──────────────⊘   0 ms  500 ms  cancelled at 500 ms: a timeout around it; 1 retry
                                                      after OSError: busy
    """)


# Values and errors that no one received


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


# A run in progress, and several runs


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
