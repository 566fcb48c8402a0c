"""Chrome trace JSON: its content and its format."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from functools import partial

import pytest
import trio
from paths import never, raises, returns, shielded
from timelines import fails

from trio_steps import Recorder, Retry, StepStarted, StepSucceeded, gather, race, settle, step
from trio_steps._core.scope import scope_of


def scope(id, parent=None):
    return scope_of(id, parent, None, None, None)


def trace(recorder):
    return json.loads(recorder.to_chrome_trace())["traceEvents"]


def runs(recorder):
    """The complete events, by the names of their steps."""
    return {
        entry["args"]["step"]: entry
        for entry in trace(recorder)
        if entry["ph"] == "X" and not entry["name"].startswith("attempt ")
    }


def instants(recorder):
    return [(entry["name"], entry["ts"], entry["tid"]) for entry in trace(recorder) if entry["ph"] == "i"]


def lanes(recorder):
    names = {entry["tid"]: entry["args"]["name"] for entry in trace(recorder) if entry["name"] == "thread_name"}
    return {name: names[entry["tid"]] for name, entry in runs(recorder).items()}


def check_format(text):
    """Raise unless `text` conforms to the format.

    The rules: an object with `traceEvents`; every event has a phase, a name, a process and a thread; those in time have
    a category and `ts` in microseconds, complete ones a `dur` that is not negative, instants a scope; events of one
    thread nest; a thread with events has a name and a place, each once.
    """
    assert text.isascii()
    document = json.loads(text)
    assert document.keys() == {"traceEvents", "displayTimeUnit"}
    assert document["displayTimeUnit"] in ("ms", "ns")
    named, placed, used = [], [], set()
    threads = defaultdict(list)
    for entry in document["traceEvents"]:
        assert type(entry["name"]) is str
        assert type(entry["pid"]) is type(entry["tid"]) is int
        assert type(entry["args"]) is dict
        if entry["ph"] == "M":
            assert entry.keys() == {"ph", "name", "pid", "tid", "args"}
            if entry["name"] == "thread_name":
                named.append(entry["tid"])
                assert type(entry["args"]["name"]) is str
            elif entry["name"] == "thread_sort_index":
                placed.append(entry["tid"])
                assert type(entry["args"]["sort_index"]) is int
            else:
                assert entry["name"] == "process_name"
            continue
        used.add(entry["tid"])
        assert type(entry["cat"]) is str
        assert entry["ts"] >= 0
        if entry["ph"] == "X":
            assert entry.keys() == {"ph", "name", "cat", "pid", "tid", "args", "ts", "dur"}
            assert entry["dur"] >= 0
            # JSON's numbers are decimal: whole nanoseconds, as Perfetto reads them
            start, span = round(entry["ts"] * 1000), round(entry["dur"] * 1000)
            threads[entry["tid"]].append((start, start + span))
        else:
            assert entry["ph"] == "i"
            assert entry.keys() == {"ph", "name", "cat", "pid", "tid", "args", "ts", "s"}
            assert entry["s"] == "t"
    assert sorted(named) == sorted(placed) == sorted(used)
    for spans in threads.values():
        stack = []
        for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while stack and stack[-1] <= start:
                stack.pop()
            assert not stack or end <= stack[-1]
            stack.append(end)


async def test_run_is_a_complete_event_in_microseconds_from_the_first_start():
    recorder = Recorder()
    await trio.sleep(3)
    await race(returns(0.25, "a"), never, stagger=0.125, observers=[recorder])
    found = runs(recorder)
    assert {name: (entry["ts"], entry["dur"]) for name, entry in found.items()} == {
        "race": (0, 250_000),
        "race/a": (0, 250_000),
        "race/never": (125_000, 125_000),
    }
    assert found["race/a"]["name"] == "a"
    assert found["race/a"]["cat"] == "won"
    check_format(recorder.to_chrome_trace())


async def test_attempts_are_in_the_run_if_there_are_several():
    recorder = Recorder()
    await trio.sleep(3)
    flaky = step(fails(2, 0.25), retry=Retry(3, delay=0.5), id="flaky")
    await race(flaky, step(returns(5, "a"), timeout=9), observers=[recorder])
    whole = runs(recorder)["race/flaky"]
    attempts = [entry for entry in trace(recorder) if entry["name"].startswith("attempt ")]
    assert [(entry["name"], entry["cat"], entry["ts"], entry["dur"], entry["tid"]) for entry in attempts] == [
        ("attempt 1", "failed", 0, 250_000, whole["tid"]),
        ("attempt 2", "failed", 750_000, 250_000, whole["tid"]),
        ("attempt 3", "succeeded", 1_500_000, 250_000, whole["tid"]),
    ]
    assert attempts[0]["args"] == {"step": "race/flaky", "attempt": 1, "error": "OSError: busy"}
    check_format(recorder.to_chrome_trace())


async def test_attempt_that_goes_on_is_drawn_up_to_the_last_event():
    recorder = Recorder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(settle, step(fails(1, 1), retry=Retry(2)), returns(1.5, "a"), observers=[recorder]))
        await trio.sleep(1.75)
        (attempt,) = (entry for entry in trace(recorder) if entry["name"] == "attempt 2")
        nursery.cancel_scope.cancel()
    assert (attempt["cat"], attempt["ts"], attempt["dur"]) == ("running", 1_000_000, 500_000)


async def test_args_tell_status_reason_attempts_and_wait():
    recorder = Recorder()
    left = [OSError("busy"), OSError("busy still"), None]

    async def flaky():
        await trio.sleep(0.1)
        error = left.pop(0)
        if error is not None:
            raise error

    await settle(step(flaky, retry=Retry(3)), raises(1, KeyError("k")), concurrency=1, observers=[recorder])
    assert runs(recorder)["settle/flaky"]["args"] == {
        "step": "settle/flaky",
        "status": "succeeded",
        "reason": "2 retries after OSError: busy still",
        "attempts": 3,
    }
    assert runs(recorder)["settle/bad"]["args"] == {
        "step": "settle/bad",
        "status": "failed",
        "reason": "KeyError: 'k'",
        "waited for its turn": "300 ms",
        "attempts": 1,
    }


async def test_retry_and_discard_are_instants_on_the_lane_of_their_run():
    recorder = Recorder()
    left = [OSError("busy"), None]

    async def flaky():
        error = left.pop(0)
        if error is not None:
            raise error
        await trio.sleep(1)

    await race(step(flaky, retry=Retry(2, delay=0.5)), shielded(2, "late"), observers=[recorder])
    found = runs(recorder)
    assert instants(recorder) == [
        ("flaky: retry", 0, found["race/flaky"]["tid"]),
        ("late: value discarded", 2_000_000, found["race/late"]["tid"]),
    ]
    (retry,) = (entry for entry in trace(recorder) if entry["name"] == "flaky: retry")
    assert retry["args"] == {"step": "race/flaky", "attempt": 1, "error": "OSError: busy", "delay": "500 ms"}


async def test_path_that_never_started_is_an_instant():
    recorder = Recorder()
    await race(returns(1, "a"), never, concurrency=1, observers=[recorder])
    ((name, time, _),) = instants(recorder)
    assert (name, time) == ("never: never started", 1_000_000)


async def test_run_that_goes_on_ends_at_the_last_event():
    recorder = Recorder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: gather(returns(0.25, "a"), returns(1, "b"), observers=[recorder]))
        await trio.sleep(0.5)
        entry = runs(recorder)["gather/b"]
        assert (entry["dur"], entry["args"]["status"]) == (250_000, "still running")


async def test_overlapping_paths_get_lanes_of_their_own_and_later_ones_use_them_again():
    recorder = Recorder()

    async def both():
        await gather(returns(1, "a"), returns(2, "b"), returns(0.5, "c"), returns(1, "d"), concurrency=3)
        await gather(returns(1, "e"), returns(2, "f"))

    await step(both).run(observers=[recorder])
    assert lanes(recorder) == {
        "both": "lane 1",
        "both/gather": "lane 1",
        "both/gather/a": "lane 1",
        "both/gather/b": "lane 1.1",
        "both/gather/c": "lane 1.2",
        "both/gather/d": "lane 1.2",
        "both/gather/e": "lane 1",
        "both/gather/f": "lane 1.1",
    }
    check_format(recorder.to_chrome_trace())


async def test_lanes_stand_below_the_one_that_they_belong_to():
    recorder = Recorder()
    await gather(*[partial(gather, returns(1, "x"), returns(1, "y"))] * 2, observers=[recorder])
    places = {entry["tid"]: entry["args"]["sort_index"] for entry in trace(recorder) if "sort_index" in entry["args"]}
    names = {entry["tid"]: entry["args"]["name"] for entry in trace(recorder) if entry["name"] == "thread_name"}
    assert [names[tid] for tid in sorted(places, key=places.__getitem__)] == [
        "lane 1",
        "lane 1.1",
        "lane 1.2",
        "lane 1.2.1",
    ]


def test_run_that_outlives_what_it_began_in_gets_another_lane():
    around = scope("around")
    inner = scope("inner", around)
    recorder = Recorder()
    for event in (
        StepStarted(name="around", scope=around, time=0.0),
        StepStarted(name="around/inner", scope=inner, time=1.0),
        StepSucceeded(name="around", scope=around, time=2.0, duration=2.0),
        StepSucceeded(name="around/inner", scope=inner, time=3.0, duration=2.0),
    ):
        recorder(event)
    assert lanes(recorder) == {"around": "lane 1", "around/inner": "lane 1.1"}
    check_format(recorder.to_chrome_trace())


async def test_runs_that_take_no_time_stay_in_their_lane():
    recorder = Recorder()

    async def nothing():
        pass

    await gather(nothing, nothing, observers=[recorder])
    assert set(lanes(recorder).values()) == {"lane 1"}


@pytest.mark.parametrize("seed", range(5))
async def test_any_run_keeps_to_the_format(seed):
    recorder = Recorder()
    dice = random.Random(seed)

    async def work(depth):
        for _ in range(dice.randrange(1, 3)):
            await trio.sleep(dice.random())
            if depth:
                await settle(*[partial(work, depth - 1)] * dice.randrange(2, 5), concurrency=dice.randrange(1, 5))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(lambda: step(lambda: work(3), id="top").run(observers=[recorder]))
    assert len(runs(recorder)) > 3
    check_format(recorder.to_chrome_trace())


async def test_odd_names_and_errors_are_plain_text():
    recorder = Recorder()
    await settle(raises(1, OSError("\x00 \ud800 \u2028 ]]>"), id="<\x07b>"), observers=[recorder])
    check_format(recorder.to_chrome_trace())
    entry = next(entry for entry in trace(recorder) if entry.get("cat") == "failed")
    assert (entry["name"], entry["args"]["reason"]) == ("< b>", "OSError: ]]>")


def test_recorder_that_has_seen_nothing_gives_an_empty_trace():
    recorder = Recorder()
    check_format(recorder.to_chrome_trace())
    assert [entry["name"] for entry in trace(recorder)] == ["process_name"]
