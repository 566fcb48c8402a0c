"""How a repeat runs: in rounds, each of which sees the changes of those before it, until a condition holds."""

from __future__ import annotations

import pytest
import trio

from trio_steps import (
    Checkpoint,
    KeyCollisionError,
    LoopLimitError,
    Pipeline,
    Retry,
    StepCancelled,
    StepFailed,
    StepStarted,
    StepTimeoutError,
    otherwise,
    when,
)
from trio_steps.testing import RecordingObserver


def counting(log=None, **options):
    """Return a pipeline that counts to three, one per round."""

    def count(n):
        if log is not None:
            log.append(n + 1)
        return {"n": n + 1}

    options = {"until": lambda n: n == 3, "at_most": 5, **options}
    return Pipeline("p").repeat("loop", lambda p: p.step("count", count), **options)


async def checkpoints_of(pipeline, inputs):
    saved = []
    whole = await pipeline.run(
        inputs, on_step_complete=lambda event: saved.append((event.name, event.checkpoint.to_json()))
    )
    return whole, saved


async def test_rounds_go_on_until_the_condition_holds() -> None:
    log = []
    assert await counting(log).step("end", lambda n: {"end": n}).run({"n": 0}) == {"n": 3, "end": 3}
    assert log == [1, 2, 3]


async def test_rounds_have_names_in_events_and_hooks_and_complete_once_until_has_answered() -> None:
    order, seen = [], RecordingObserver()

    async def until(n):
        order.append(f"until {n}")
        await trio.sleep(1)
        return n == 2

    p = counting(until=until)
    await p.run({"n": 0}, observers=[seen], on_step_complete=lambda event: order.append((event.name, event.duration)))
    assert order == [
        ("loop/1/count", 0),
        "until 1",
        ("loop/1", 1),
        ("loop/2/count", 0),
        "until 2",
        ("loop/2", 1),
        ("loop", 2),
    ]
    assert seen.names(StepStarted) == ["p", "loop", "loop/1", "loop/1/count", "loop/2", "loop/2/count"]
    assert p.step_names == ("loop", "loop/count")
    assert p.input_of("loop/count") == p.input_of("loop/2/count")


async def test_limit_raises_and_the_patch_is_dropped_if_that_is_forgiven() -> None:
    p = counting(at_most=2)
    with pytest.raises(LoopLimitError) as caught:
        await p.run({"n": 0})
    assert (caught.value.step, caught.value.at_most) == ("loop", 2)
    forgiving = counting(at_most=2, on_error="continue")
    assert await forgiving.run({"n": 0}, on_error=lambda *_: None) == {"n": 0}


async def test_limit_keeps_the_patch_if_it_is_told_to_continue() -> None:
    assert await counting(at_most=2, on_limit="continue").run({"n": 0}) == {"n": 2}


async def test_transform_in_a_round_replaces_what_that_sees_only() -> None:
    seen = []

    def look(n, other="gone"):
        seen.append((n, other))

    p = Pipeline("p").repeat(
        "loop",
        lambda p: p.step("before", look).transform("only", lambda n: {"n": n + 1}).step("after", look),
        until=lambda n: n == 2,
        at_most=9,
    )
    assert await p.run({"n": 0, "other": "here"}) == {"n": 2, "other": "here"}
    assert seen == [(0, "here"), (1, "gone"), (1, "here"), (2, "gone")]


async def test_all_rounds_are_one_patch() -> None:
    """A value that returns to what it was is not a change. A new one is one change, however many rounds made it."""
    p = Pipeline("p").repeat(
        "loop",
        lambda p: p.step("turn", lambda side, turns=0: {"side": -side, "turns": turns + 1}),
        until=lambda turns: turns == 2,
        at_most=2,
        merge_policy="error",
    )
    assert await p.run({"side": 1}) == {"side": 1, "turns": 2}
    with pytest.raises(KeyCollisionError):
        await p.run({"side": 1, "turns": 1})


async def test_skip_remaining_ends_its_round() -> None:
    log = []

    def first(n):
        log.append(n)
        if n == 1:
            raise ValueError("skip")
        return {"n": n + 1}

    p = Pipeline("p").repeat(
        "loop",
        lambda p: (
            p.step("up", lambda n: {"n": n + 1})
            .step("first", first, on_error="skip-remaining")
            .step("second", lambda n: log.append(f"second {n}"))
        ),
        until=lambda n: n > 3,
        at_most=9,
    )
    assert (await p.run({"n": 0}, on_error=lambda *_: None))["n"] == 5
    assert log == [1, 2, "second 3", 4, "second 5"]


async def test_timeout_is_for_all_rounds_and_retry_begins_with_the_first() -> None:
    async def slow(n):
        await trio.sleep(2)
        return {"n": n + 1}

    def loop(**options):
        return Pipeline("p").repeat(
            "loop", lambda p: p.step("slow", slow), until=lambda n: n == 3, at_most=5, **options
        )

    with pytest.raises(StepTimeoutError):
        await loop(timeout=5).run({"n": 0})
    assert trio.current_time() == 5
    tries = []

    def flaky(n):
        tries.append(n)
        if len(tries) == 2:
            raise OSError
        return {"n": n + 1}

    p = Pipeline("p").repeat(
        "loop", lambda p: p.step("flaky", flaky), until=lambda n: n == 3, at_most=5, retry=Retry(2)
    )
    seen = RecordingObserver()
    assert await p.run({"n": 0}, observers=[seen]) == {"n": 3}
    assert tries == [0, 1, 0, 1, 2]
    assert [event.name for event in seen.of(StepFailed)] == ["loop/2/flaky", "loop/2"]


async def test_condition_that_fails_fails_its_round() -> None:
    told, seen = [], RecordingObserver()
    p = counting(until=lambda n: 1 // (n - 1))
    with pytest.raises(ZeroDivisionError) as caught:
        await p.run({"n": 0}, observers=[seen], on_error=lambda name, error: told.append(name))
    assert told == ["loop/1"]
    assert caught.value.__notes__ == ["in step 'loop/1'"]
    assert [event.name for event in seen.of(StepFailed)] == ["loop/1", "loop", "p"]


async def test_cancelled_repeat_stops_where_it_is() -> None:
    async def slow(n):
        await trio.sleep(2)
        return {"n": n + 1}

    seen = RecordingObserver()
    p = Pipeline("p").repeat("loop", lambda p: p.step("slow", slow), until=lambda n: False, at_most=99)
    with trio.move_on_after(5) as scope:
        await p.run({"n": 0}, observers=[seen])
    assert scope.cancelled_caught
    assert [(event.name, event.duration) for event in seen.of(StepCancelled)] == [
        ("loop/3/slow", 1),
        ("loop/3", 1),
        ("loop", 5),
        ("p", 5),
    ]


async def test_stop_ends_the_run_in_its_round_and_returns_what_there_is() -> None:
    def stop(event):
        if event.name == "loop/2/one":
            event.stop()

    async def one(n):
        await trio.sleep(1)
        return {"n": n + 1}

    p = Pipeline("p").repeat(
        "loop",
        lambda p: p.step("one", one).step("two", lambda n: {"m": n}),
        until=lambda m: m == 9,
        at_most=9,
    )
    assert await p.run({"n": 0}, on_step_complete=stop) == {"n": 2, "m": 1}
    seen = RecordingObserver()
    assert await p.run({"n": 0}, on_step_complete=stop, observers=[seen]) == {"n": 2, "m": 1}
    assert [(event.name, event.time, event.duration) for event in seen.of(StepCancelled)] == [
        ("loop/2", 4, 1),
        ("loop", 4, 2),
    ]


# Resumed


async def test_resumed_run_continues_in_its_round() -> None:
    log = []
    whole, saved = await checkpoints_of(counting(log).step("end", lambda n: {"end": n}), {"n": 0})
    again = {"loop/1/count": [2, 3], "loop/1": [2, 3], "loop/2/count": [3], "loop/2": [3]}
    for name, text in saved:
        log.clear()
        assert await counting(log).step("end", lambda n: {"end": n}).resume(Checkpoint.from_json(text)) == whole
        assert log == again.get(name, [])


async def test_answer_is_recorded_with_the_round_and_not_asked_again() -> None:
    asked = []

    def until(n):
        asked.append(n)
        return n == 2

    p = counting(until=until)
    _, saved = await checkpoints_of(p, {"n": 0})
    texts = dict(saved)
    asked.clear()
    assert await p.resume(Checkpoint.from_json(texts["loop/2"])) == {"n": 2}
    assert asked == []
    assert await p.resume(Checkpoint.from_json(texts["loop/1"])) == {"n": 2}
    assert asked == [2]


async def test_limit_is_reached_again_by_a_run_that_is_resumed_at_it() -> None:
    p = counting(at_most=2)
    saved = []
    with pytest.raises(LoopLimitError):
        await p.run({"n": 0}, on_step_complete=lambda event: saved.append(event.checkpoint))
    with pytest.raises(LoopLimitError):
        await p.resume(saved[-1])
    with pytest.raises(LoopLimitError):
        await p.resume(saved[0])


async def test_checkpoint_does_not_grow_with_finished_rounds() -> None:
    p = counting(until=lambda n: n == 50, at_most=50)
    _, saved = await checkpoints_of(p, {"n": 0})
    lengths = [len(Checkpoint.from_json(text).entries) for name, text in saved if name.endswith("count")]
    assert lengths == [2, *([3] * 49)]


async def test_value_that_is_back_to_what_it_was_stays_so_in_a_resumed_run() -> None:
    error = ValueError("a")
    p = Pipeline("p").repeat(
        "loop",
        lambda p: p.step("swap", lambda e, n=0: {"e": e if n else ValueError("b"), "n": n + 1}),
        until=lambda n: n == 2,
        at_most=2,
    )
    whole, saved = await checkpoints_of(p, {"e": error})
    for _, text in saved:
        assert repr(await p.resume(Checkpoint.from_json(text))) == repr(whole)


async def test_repeats_nest_in_branches_and_for_each_and_each_other() -> None:
    log = []

    def note(x, n=0):
        log.append((x, n))
        return {"n": n + 1}

    inner = Pipeline("inner").repeat("loop", lambda p: p.step("note", note), until=lambda n: n >= 2, at_most=3)
    p = (
        Pipeline("p")
        .for_each("each", inner, over="xs", each="x", into="ys", concurrency=1)
        .branch_on(
            "route",
            when(
                lambda: True,
                lambda q: q.repeat(
                    "outer",
                    lambda r: r.repeat(
                        "deep", lambda s: s.step("add", lambda t=0: {"t": t + 1}), until=lambda t: t % 2 == 0, at_most=2
                    ),
                    until=lambda t: t == 4,
                    at_most=9,
                ),
            ),
            otherwise(lambda q: q),
        )
    )
    whole, saved = await checkpoints_of(p, {"xs": ["a", "b"]})
    assert [y["n"] for y in whole["ys"]] == [2, 2]
    assert whole["t"] == 4
    names = [name for name, _ in saved]
    assert "each/2/loop/1/note" in names
    assert "route/case-1/outer/2/deep/1/add" in names
    for _, text in saved:
        assert await p.resume(Checkpoint.from_json(text)) == whole


async def test_checkpoint_of_a_step_that_the_body_does_not_have_any_more_is_refused() -> None:
    _, saved = await checkpoints_of(counting(), {"n": 0})
    other = Pipeline("p").repeat(
        "loop", lambda p: p.step("renamed", lambda n: {"n": n + 1}), until=lambda n: n == 3, at_most=5
    )
    with pytest.raises(ValueError, match="'loop/count'"):
        await other.resume(Checkpoint.from_json(dict(saved)["loop/2/count"]))


async def test_hooks_of_the_body_are_called_in_each_round() -> None:
    told = []
    body = Pipeline("body", on_step_complete=lambda event: told.append(event.name)).step("up", lambda n: {"n": n + 1})
    await Pipeline("p").repeat("loop", body, until=lambda n: n == 2, at_most=5).run({"n": 0})
    assert told == ["loop/1/up", "loop/2/up"]
