"""Hooks and observers of nested pipelines, and failures that no hook or observer is told of."""

from __future__ import annotations

import logging

import attrs
import pytest
import trio

from trio_steps import (
    ForkPartialError,
    KeyOverridden,
    Pipeline,
    Rejected,
    Retry,
    StepFailed,
    StepStarted,
    StepTimeoutError,
    fork,
    otherwise,
    when,
)
from trio_steps.testing import RecordingObserver


def bad() -> None:
    raise ValueError("bad")


# Hooks of nested pipelines


def inside(kind, inner):
    """Return a pipeline that runs `inner`, and the prefix of the steps in it."""
    outer = Pipeline("outer")
    if kind == "step":
        return outer.step("in", inner), "in/"
    if kind == "member":
        return outer.step("in", inner, lambda: None), f"in/{inner.id}/"
    if kind == "branch":
        return outer.branch_on("in", when(lambda: False, Pipeline("no")), otherwise(inner)), f"in/{inner.id}/"
    if kind == "for_each":
        return outer.for_each("in", inner, over="xs", each="x", into="ys"), "in/1/"
    if kind == "fork":
        return outer.step("in", fork("f", mode="all", paths=[inner]), provides="ys"), f"in/{inner.id}/"
    return outer.step("deep", Pipeline("middle").step("in", inner)), "deep/in/"


KINDS = ("step", "member", "branch", "for_each", "fork", "deep")


@pytest.mark.parametrize("kind", KINDS)
async def test_hooks_of_a_pipeline_are_called_wherever_it_runs(kind) -> None:
    told = []
    inner = (
        Pipeline("inner", on_step_complete=lambda e: told.append(e.name), on_error=lambda *args: told.append(args))
        .step("good", lambda x=0: {"good": x})
        .step("bad", bad, on_error="continue")
    )
    outer, prefix = inside(kind, inner)
    await outer.run({"xs": [1]})
    assert [name for name in told if isinstance(name, str)] == [f"{prefix}good"]
    assert [(name, str(error)) for name, error in told[1:]] == [(f"{prefix}bad", "bad")]


@pytest.mark.parametrize("kind", KINDS)
async def test_observers_of_a_pipeline_are_called_wherever_it_runs_and_of_nothing_else(kind) -> None:
    seen = RecordingObserver()
    inner = Pipeline("inner", observers=[seen]).step("one", lambda x=0: {"one": x}).step("two", lambda: {"two": 2})
    outer, prefix = inside(kind, inner)
    await outer.step("after", lambda: None).run({"xs": [1]})
    assert seen.names(StepStarted) == [f"{prefix}one", f"{prefix}two"]


async def test_hooks_of_the_innermost_pipeline_are_called_first() -> None:
    told = []

    def hooks(who):
        return {
            "on_step_complete": lambda e: told.append((who, e.name)),
            "on_error": lambda name, _: told.append((who, name)),
        }

    inner = Pipeline("inner", **hooks("inner")).step("a", lambda: {"a": 1}).step("bad", bad, on_error="continue")
    middle = Pipeline("middle", **hooks("middle")).step("i", inner)
    await Pipeline("outer", **hooks("outer")).step("m", middle).run({}, **hooks("run"))
    whos = ("inner", "middle", "outer", "run")
    assert told == [
        *((who, "m/i/a") for who in whos),
        *((who, "m/i/bad") for who in whos),
        *((who, "m/i") for who in whos[1:]),
        *((who, "m") for who in whos[2:]),
    ]


async def test_observers_of_the_innermost_pipeline_are_called_first() -> None:
    told = []

    def note(who):
        return lambda event: told.append(who) if isinstance(event, StepStarted) and event.name.endswith("/a") else None

    inner = Pipeline("inner", observers=[note("inner")]).step("a", lambda: {"a": 1})
    outer = Pipeline("outer", observers=[note("outer")]).step("i", inner)
    await outer.run({}, observers=[note("run")])
    assert told == ["inner", "outer", "run"]


async def test_hook_of_two_pipelines_is_called_once_for_each_event() -> None:
    class Log:
        def __init__(self):
            self.names = []

        def done(self, event):
            self.names.append(event.name)

    log, seen = Log(), RecordingObserver()
    inner = Pipeline("inner", on_step_complete=log.done, observers=[seen]).step("a", lambda: {"a": 1})
    await Pipeline("outer", on_step_complete=log.done, observers=[seen]).step("i", inner).run({})
    assert log.names == ["i/a", "i"]
    assert seen.names(StepStarted) == ["outer", "i", "i/a"]


async def test_hook_inside_stops_the_run_and_its_checkpoint_is_of_the_whole_run() -> None:
    saved = []

    def stop(event):
        saved.append(event.checkpoint)
        event.stop()

    inner = Pipeline("inner", on_step_complete=stop).step("a", lambda: {"a": 1}).step("b", lambda a: {"b": a + 1})
    outer = (
        Pipeline("outer").step("first", lambda: {"n": 0}).step("i", inner).step("last", lambda n, b: {"last": n + b})
    )
    assert await outer.run({}) == {"n": 0, "a": 1}
    assert [entry.step for entry in saved[0].entries] == ["", "first", "i/a"]
    assert await outer.resume(saved[0]) == {"n": 0, "a": 1, "b": 2}  # the hook of `inner` stops the resumed run too
    assert await outer.resume(saved[1]) == {"n": 0, "a": 1, "b": 2, "last": 2}


async def test_hook_inside_that_fails_is_the_error_of_the_run() -> None:
    def hook(event):
        raise OSError("the hook")

    deep, around = RecordingObserver(), RecordingObserver()
    inner = Pipeline("inner", on_step_complete=hook).step("a", lambda: {"a": 1})
    middle = Pipeline("middle", observers=[deep]).step("i", inner, on_error="continue")
    with pytest.raises(OSError, match="the hook"):
        await Pipeline("outer", observers=[around]).step("m", middle, on_error="continue").run({})
    assert [(event.name, type(event.error)) for event in deep.of(StepFailed)] == [("m/i", OSError)]
    names = ["m/i", "m", "outer"]
    assert [(event.name, type(event.error)) for event in around.of(StepFailed)] == [(name, OSError) for name in names]


async def test_step_around_a_pipeline_is_not_told_to_the_observers_of_that() -> None:
    seen, tries = RecordingObserver(), []

    def flaky():
        tries.append(1)
        if len(tries) == 1:
            raise OSError
        return {"a": 1}

    inner = Pipeline("inner", observers=[seen]).step("a", flaky)
    await Pipeline("outer").step("i", inner, retry=Retry(2)).run({})
    assert [event.name for event in seen.events] == ["i/a"] * 4


# Failures that are forgiven


def messages(caplog):
    return [(record.levelno, record.getMessage(), record.exc_info and record.exc_info[0]) for record in caplog.records]


@pytest.mark.parametrize("on_error", ["continue", "skip-remaining"])
async def test_failure_that_is_forgiven_is_logged_with_its_traceback(on_error, caplog) -> None:
    await Pipeline("p").step("a", bad, on_error=on_error).run({})
    assert messages(caplog) == [(logging.WARNING, "a failed, and the run continues without it", ValueError)]
    [record] = caplog.records
    assert record.exc_info[2].tb_frame.f_code.co_name == "bad"  # it begins where the user's code does
    assert record.name == "trio_steps"


async def test_failure_that_a_settle_forgives_is_logged(caplog) -> None:
    await Pipeline("p").step("both", bad, lambda: {"b": 2}, mode="settle").run({})
    assert messages(caplog) == [(logging.WARNING, "both/bad failed, and the run continues without it", ValueError)]


async def test_failure_that_a_hook_or_an_observer_receives_is_not_logged(caplog) -> None:
    p = Pipeline("p").step("a", bad, on_error="continue").step("both", bad, lambda: {"b": 2}, mode="settle")
    await p.run({}, on_error=lambda name, error: None)
    await p.run({}, observers=[lambda event: None])
    await p.step("hidden", bad, on_error="continue", log=False).run({}, observers=[lambda event: None])
    await Pipeline("q").step("hidden", bad, on_error="continue", log=False).run({})
    assert messages(caplog) == []


async def test_failure_that_is_raised_is_not_logged(caplog) -> None:
    with pytest.raises(ForkPartialError):
        await Pipeline("p").step("both", bad, lambda: {"b": 2}).run({})
    assert messages(caplog) == []


async def test_failure_in_the_results_of_a_for_each_is_not_logged(caplog) -> None:
    p = Pipeline("p").for_each("e", lambda x: 1 // x, over="xs", each="x", into="ys", mode="settle")
    result = await p.run({"xs": [0]})
    assert isinstance(result["ys"][0], Rejected)
    assert messages(caplog) == []


# Conditions


async def test_condition_is_covered_by_the_timeouts_of_its_step() -> None:
    async def slow():
        await trio.sleep(5)
        return True

    for options, steps in (
        ({"timeout": 2}, [lambda: {"a": 1}]),
        ({"total_timeout": 2}, [lambda: {"a": 1}]),
        ({"timeout": 2}, [lambda: {"a": 1}, lambda: {"b": 1}]),
        ({"total_timeout": 2, "timeout": 3}, [Pipeline("inner").step("c", lambda: {"c": 1})]),
    ):
        start = trio.current_time()
        told = []
        p = Pipeline("p").step("s", *steps, condition=slow, on_error="continue", **options)
        assert await p.run({}, on_error=lambda name, error, told=told: told.append(str(error))) == {}
        assert trio.current_time() == start + 2
        assert told == ["'s' timed out after 2 s"]


async def test_condition_takes_its_share_of_the_total_timeout() -> None:
    async def holds():
        await trio.sleep(2)
        return True

    async def work():
        await trio.sleep(2)
        return {"a": trio.current_time()}

    p = Pipeline("p").step("s", work, condition=holds, timeout=3, total_timeout=5)
    assert await p.run({}) == {"a": 4}
    with pytest.raises(StepTimeoutError, match=r"'s' timed out after 3\.5 s"):
        await Pipeline("p").step("s", work, condition=holds, timeout=3, total_timeout=3.5).run({})
    assert trio.current_time() == 4 + 3.5


# Results of runs that are stopped


@attrs.frozen
class Done:
    a: int
    b: int


async def test_stopped_run_with_outputs_returns_the_context_so_far() -> None:
    p = Pipeline("p").step("a", lambda: {"a": 1}).step("b", lambda: {"b": 2}).outputs(Done)
    assert await p.run({}, on_step_complete=lambda event: event.stop()) == {"a": 1}
    assert await p.run({}) == Done(1, 2)


async def test_key_that_is_overridden_inside_is_told_to_the_observers_inside() -> None:
    seen = RecordingObserver()
    inner = (
        Pipeline("inner", observers=[seen]).step("a", lambda: {"k": 1}).step("b", lambda: {"k": 2}, merge_policy="warn")
    )
    await Pipeline("outer").step("i", inner).run({})
    assert seen.names(KeyOverridden) == ["i/b"]
