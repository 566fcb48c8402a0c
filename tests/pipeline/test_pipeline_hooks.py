"""Hooks, stop(), observers, and what a cancelled run reports."""

from __future__ import annotations

import logging

import pytest
import trio

from trio_steps import (
    ConfigError,
    ErrorDiscarded,
    ForkPartialError,
    Fulfilled,
    PathsCounted,
    Pipeline,
    Recorder,
    Rejected,
    Retry,
    StepCancelled,
    StepFailed,
    StepStarted,
    StepSucceeded,
    StepTimeoutError,
    fork,
    otherwise,
    step,
    when,
)


def gives(seconds, **keys):
    async def give():
        await trio.sleep(seconds)
        return keys

    return give


def fails(seconds, error):
    async def fail():
        await trio.sleep(seconds)
        raise error

    return fail


def stops_at(name, log):
    """A hook that records every step and stops the run at one of them."""

    def hook(event):
        log.append(event.name)
        if event.name == name:
            event.stop()

    return hook


# on_step_complete


async def test_complete_hook_gets_name_duration_and_context() -> None:
    told = []
    p = Pipeline().step("a", gives(2, a=1)).step("b", lambda a: {"b": [a]})
    await p.run({"x": 0}, on_step_complete=lambda e: told.append((e.name, e.duration, dict(e.context), repr(e))))
    assert told == [
        ("a", 2, {"x": 0, "a": 1}, "<StepCompletion of 'a' in 2 s>"),
        ("b", 0, {"x": 0, "a": 1, "b": [1]}, "<StepCompletion of 'b' in 0 s>"),
    ]


async def test_complete_hook_gets_copies_that_show_the_moment() -> None:
    events = []
    p = Pipeline().step("a", lambda: {"a": [1]}).step("b", lambda a: {"a": [*a, 2]})
    result = await p.run({}, on_step_complete=events.append)
    events[0].context["a"].append("mine")
    assert result == {"a": [1, 2]}
    assert [dict(event.context) for event in events] == [{"a": [1, "mine"]}, {"a": [1, 2]}]
    result["a"].append("late")
    assert events[1].checkpoint.entries[-1].changes == {"a": [1, 2]}


async def test_inner_steps_report_before_their_container() -> None:
    names = []
    sub = Pipeline("sub").step("one", gives(1)).step("two", gives(1))
    p = Pipeline().step("group", sub, gives(5)).branch_on("route", otherwise(sub))
    p = p.for_each("each", lambda n: n, over="ns", each="n", into="out", concurrency=1)
    await p.run({"ns": [1, 2]}, on_step_complete=lambda event: names.append(event.name))
    assert names == [
        "group/sub/one",
        "group/sub/two",
        "group/sub",
        "group/give",
        "group",
        "route/sub/one",
        "route/sub/two",
        "route",
        "each/1",
        "each/2",
        "each",
    ]


async def test_member_shows_the_context_with_its_own_output() -> None:
    seen = {}
    p = Pipeline().step("g", gives(1, a=1), gives(2, b=1))
    await p.run({"x": 0}, on_step_complete=lambda event: seen.update({event.name: dict(event.context)}))
    assert seen == {"g/give": {"x": 0, "a": 1}, "g/give#2": {"x": 0, "b": 1}, "g": {"x": 0, "a": 1, "b": 1}}


async def test_hooks_of_constructor_and_run_are_both_called_and_may_be_async() -> None:
    told = []

    async def slow(event):
        await trio.sleep(1)
        told.append(("own", event.name))

    p = Pipeline(on_step_complete=slow, on_error=lambda name, error: told.append(("own", name)))
    p = p.step("a", lambda: None).step("b", fails(0, OSError()), on_error="continue")
    await p.run(
        {}, on_step_complete=lambda e: told.append(("run", e.name)), on_error=lambda n, _: told.append(("run", n))
    )
    assert told == [("own", "a"), ("run", "a"), ("own", "b"), ("run", "b")]
    assert trio.current_time() == 1
    del told[:]
    await p({})
    assert told == [("own", "a"), ("own", "b")]


@pytest.mark.parametrize("hook", ["on_step_complete", "on_error"])
async def test_hook_that_raises_fails_the_run_with_its_own_error_whatever_the_policies(hook) -> None:
    error = LookupError("mine")

    def bad(*args):
        raise error

    sub = Pipeline("sub").step("s", lambda: None).step("f", fails(0, OSError()), on_error="continue")
    p = Pipeline().step("g", sub, mode="settle", on_error="continue", retry=Retry(3)).step("n", lambda: {"n": 1})
    events = []
    with pytest.raises(LookupError) as caught:
        await p.run({}, observers=[events.append], **{hook: bad})
    assert caught.value is error
    assert [event.error for event in events if isinstance(event, StepFailed) and event.name == "g"] == [error]


@pytest.mark.parametrize("mode", ["all", "settle", "race"])
async def test_hook_that_raises_inside_a_fork_is_told_as_what_it_raised(mode) -> None:
    error = LookupError("mine")

    def bad(event):
        raise error

    member = Pipeline("m").step("s", gives(1))
    p = Pipeline("root").step("g", member, gives(5), mode=mode, on_error="continue")
    events = []
    with pytest.raises(LookupError) as caught:
        await p.run({}, observers=[events.append], on_step_complete=bad)
    assert caught.value is error
    failed = [event for event in events if isinstance(event, StepFailed)]
    assert [event.name for event in failed] == ["g/m", "g", "root"]
    assert all(event.error is error for event in failed)
    assert trio.current_time() == 1


async def test_hooks_that_raise_at_once_fail_the_run_with_the_first_and_report_the_other(caplog) -> None:
    errors = []

    async def bad(event):
        with trio.CancelScope(shield=True):
            await trio.sleep(1 if event.name == "each/1" else 2)
        errors.append(LookupError(event.name))
        raise errors[-1]

    events = []
    p = Pipeline().for_each("each", lambda n: n, over="ns", each="n", into="out")
    with pytest.raises(LookupError) as caught:
        await p.run({"ns": [1, 2]}, observers=[events.append], on_step_complete=bad)
    assert caught.value is errors[0]
    assert [event.error for event in events if isinstance(event, ErrorDiscarded)] == [errors[1]]
    assert "LookupError('each/2')" in caplog.text.splitlines()[0]


async def test_hook_that_raises_in_a_pipeline_that_is_a_path_is_an_error_of_the_path() -> None:
    error = LookupError("mine")

    def bad(event):
        raise error

    path = Pipeline("path", on_step_complete=bad).step("s", lambda: None)
    views = fork("views", mode="settle", paths=[path])
    assert (await Pipeline().step(views, provides="v").run({}))["v"] == (Rejected("path", error),)


async def test_hook_is_not_told_of_what_ended_after_the_cancellation() -> None:
    told = []

    async def stubborn():
        with trio.CancelScope(shield=True):
            await trio.sleep(2)
        return {}

    steps = {
        "step": stubborn,
        "member": Pipeline("g").step("g", stubborn, mode="all"),
        "inner": Pipeline("x").step("s", stubborn),
        "element": Pipeline("e").for_each(lambda n: stubborn(), over="ns", each="n", into="out"),
    }
    for name, fn in steps.items():
        with trio.move_on_after(1) as scope:
            await Pipeline().step(name, fn).run({"ns": [1]}, on_step_complete=lambda event: told.append(event.name))
        assert scope.cancelled_caught
    assert told == []


async def test_second_hook_is_not_told_when_the_first_has_cancelled_the_run() -> None:
    told = []
    with trio.CancelScope() as around:
        p = Pipeline(on_step_complete=lambda event: around.cancel()).step("s", gives(1))
        await p.run({}, on_step_complete=told.append)
    assert around.cancelled_caught
    assert told == []


async def test_hook_inside_a_row_that_raises_is_no_failure_of_the_step() -> None:
    def bad(event):
        raise LookupError

    with pytest.raises(LookupError):
        await (
            Pipeline()
            .step("s", Pipeline("x").step("t", lambda: None), on_error="continue")
            .run({}, on_step_complete=bad)
        )


async def test_hook_is_not_told_of_a_step_that_was_cancelled() -> None:
    names = []
    p = Pipeline().step("a", gives(1)).step("b", gives(5))
    with trio.move_on_after(2):
        await p.run({}, on_step_complete=lambda event: names.append(event.name))
    assert names == ["a"]


async def test_cancellation_during_a_hook_stops_everything() -> None:
    ran = []

    async def slow(event):
        await trio.sleep(5)

    with trio.move_on_after(1) as scope:
        await Pipeline().step("a", lambda: None).step("b", lambda: ran.append(1)).run({}, on_step_complete=slow)
    assert scope.cancelled_caught
    assert ran == []


async def test_cancellation_in_a_condition_and_in_the_sleep_of_a_retry_stops_everything() -> None:
    told = []
    for p in (
        Pipeline().step("s", lambda: None, condition=trio.sleep_forever, on_error="continue"),
        Pipeline().step("s", fails(0, OSError()), retry=Retry(2, delay=9), on_error="continue"),
        Pipeline().step("s", gives(9), gives(9), on_error="continue"),
    ):
        with trio.move_on_after(1) as scope:
            await p.run({}, on_step_complete=told.append, on_error=lambda n, e: told.append(n))
        assert scope.cancelled_caught
    assert told == []
    assert trio.current_time() == 3


# on_error


async def test_error_hook_sees_every_failure_once_where_it_happened() -> None:
    inner, member, late = OSError("inner"), OSError("member"), OSError("late")
    told = []
    sub = Pipeline("sub").step("deep", fails(1, inner))
    p = (
        Pipeline()
        .step("nest", sub, on_error="continue")
        .step("g", fails(1, member), sub, gives(9), mode="settle", timeout=3)
        .step("last", fails(0, late))
    )
    with pytest.raises(OSError, match="late"):
        await p.run({}, on_error=lambda name, error: told.append((name, error)))
    assert told[0] == ("nest/deep", inner)
    assert sorted(told[1:-2], key=lambda each: each[0]) == [("g/fail", member), ("g/sub/deep", inner)]
    assert told[-2][0] == "g/give"
    assert isinstance(told[-2][1], StepTimeoutError)
    assert told[-1] == ("last", late)


async def test_error_hook_sees_an_error_that_is_raised_again_by_another_step() -> None:
    same = OSError()
    told = []
    p = Pipeline().step("a", fails(1, same), on_error="continue").step("b", fails(1, same), on_error="continue")
    p = p.step("g", fails(1, same), fails(2, same), mode="settle")
    await p.run({}, on_error=lambda name, error: told.append((name, error)))
    assert told == [("a", same), ("b", same), ("g/fail", same), ("g/fail#2", same)]


async def test_error_hook_sees_an_error_that_is_raised_again_by_the_next_attempt() -> None:
    same = OSError()
    told = []
    sub = Pipeline("sub").step("deep", fails(1, same))
    p = Pipeline().step("a", gives(1)).step("nest", sub, retry=Retry(attempts=2), on_error="continue")
    await p.run({}, on_error=lambda name, error: told.append((name, trio.current_time())))
    assert told == [("nest/deep", 2), ("nest/deep", 3)]


async def test_error_hook_sees_what_a_group_raises_only_if_it_is_new() -> None:
    told = []
    p = Pipeline().step("g", fails(1, OSError()), gives(9), on_error="continue")
    p = p.step("h", gives(9), gives(9), timeout=1, on_error="continue")
    await p.run({}, on_error=lambda name, error: told.append((name, type(error))))
    assert told == [("g/fail", OSError), ("h", ForkPartialError)]


async def test_error_hook_sees_losers_of_a_race_and_elements() -> None:
    def bad(n):
        raise OSError

    told = []
    p = Pipeline().step("r", fails(0, OSError()), gives(1), mode="race")
    p = p.for_each("e", bad, over="ns", each="n", into="out", mode="settle")
    await p.run({"ns": [1]}, on_error=lambda name, error: told.append(name))
    assert told == ["r/fail", "e/1"]


# Stopping


async def test_stop_ends_the_run_after_the_step_and_returns_the_context_so_far() -> None:
    log = []
    p = Pipeline().step("a", lambda: {"a": 1}).step("b", lambda: {"b": 1}).step("c", lambda: {"c": 1})
    assert await p.run({}, on_step_complete=stops_at("b", log)) == {"a": 1, "b": 1}
    assert log == ["a", "b"]


async def test_stop_in_a_nested_pipeline_ends_the_whole_run() -> None:
    log, events = [], []
    sub = Pipeline("sub").step("one", lambda: {"one": 1}).step("two", lambda: {"two": 1})
    p = Pipeline().step("nest", Pipeline("mid").step(sub)).step("after", lambda: {"after": 1})
    stop = stops_at("nest/sub/one", log)
    assert await p.run({}, on_step_complete=stop, observers=[events.append]) == {"one": 1}
    assert log == ["nest/sub/one"]
    assert [e.name for e in events if isinstance(e, StepCancelled)] == ["nest/sub", "nest"]
    assert {e.reason for e in events if isinstance(e, StepCancelled)} == {"the run was stopped"}


async def test_stop_lets_siblings_finish_the_step_they_are_in_and_merges_what_there_is() -> None:
    log = []
    one = Pipeline("one").step("s", gives(1, a=1)).step("t", gives(1, never=1))
    two = Pipeline("two").step("s", gives(3, b=1)).step("t", gives(1, never=1))
    p = Pipeline().step("g", one, two, gives(2, c=1), gives(1, never=1), concurrency=3).step("n", gives(1, never=1))
    assert await p.run({}, on_step_complete=stops_at("g/one/s", log)) == {"a": 1, "b": 1, "c": 1}
    assert log == ["g/one/s", "g/give", "g/two/s"]
    assert trio.current_time() == 3


@pytest.mark.parametrize("mode", ["all", "settle"])
async def test_stop_at_the_last_inner_step_completes_the_containers(mode) -> None:
    log = []
    p = (
        Pipeline()
        .step("g", Pipeline("sub").step("s", gives(1, a=1)), gives(0, b=1), mode=mode)
        .step("n", lambda: {"n": 1})
    )
    assert await p.run({}, on_step_complete=stops_at("g/sub/s", log)) == {"a": 1, "b": 1}
    assert log == ["g/give", "g/sub/s", "g/sub", "g"]


async def test_stop_in_a_race_means_that_a_half_done_member_can_not_win() -> None:
    log = []
    half = Pipeline("half").step("s", gives(1, a=1)).step("t", gives(1, a=2))
    p = Pipeline().step("r", half, fails(2, OSError()), mode="race").step("n", lambda: {"n": 1})
    assert await p.run({}, on_step_complete=stops_at("r/half/s", log)) == {}
    p = Pipeline().step("r", half, gives(3, b=1), mode="race").step("n", lambda: {"n": 1})
    assert await p.run({}, on_step_complete=stops_at("r/half/s", log)) == {"b": 1}


@pytest.mark.parametrize("mode", ["all", "settle"])
async def test_stop_in_a_for_each_stores_nothing_incomplete(mode) -> None:
    log = []
    p = Pipeline().for_each("e", lambda n: n, over="ns", each="n", into="out", mode=mode, concurrency=1)
    assert await p.run({"ns": [1, 2, 3]}, on_step_complete=stops_at("e/2", log)) == {"ns": [1, 2, 3]}
    assert log == ["e/1", "e/2"]


@pytest.mark.parametrize("each", [False, True])
async def test_what_the_stop_cut_short_has_not_succeeded_when_a_sibling_fails(each) -> None:
    async def late_failure(n=2):
        await trio.sleep(n)
        if n == 2:
            raise OSError
        return {"n": n}

    two = Pipeline("1").step("x", gives(1)).step("y", gives(1))
    p = Pipeline().step("g", two, late_failure)
    if each:
        p = Pipeline().for_each("g", late_failure, over="ns", each="n", into="out", concurrency=2)
    with pytest.raises(ForkPartialError) as caught:
        await p.run({"ns": [0, 2, 3]}, on_step_complete=lambda event: event.stop())
    assert caught.value.succeeded == ((Fulfilled("1", {"n": 0}),) if each else ())
    [cut_short] = [end for end in caught.value.failed if not isinstance(end.error, OSError)]
    number = "3" if each else "1"
    assert cut_short.step_id == number
    assert str(cut_short.error) == f"'g/{number}' was cancelled: the run was stopped"


async def test_stop_in_a_branch() -> None:
    log = []
    p = Pipeline().branch_on(
        "b", when(lambda: True, lambda p: p.step("s", lambda: {"s": 1}).step("t", lambda: {"t": 1}))
    )
    assert await p.run({}, on_step_complete=stops_at("b/case-1/s", log)) == {"s": 1}


# Observers


async def test_observers_hear_of_every_step_with_its_full_name() -> None:
    events = []
    sub = Pipeline("sub").step("s", gives(1))
    await Pipeline("root", observers=[events.append]).step("nest", sub).step("g", gives(1), gives(2)).run({})
    assert [(type(e), e.name, e.time) for e in events] == [
        (StepStarted, "root", 0),
        (StepStarted, "nest", 0),
        (StepStarted, "nest/s", 0),
        (StepSucceeded, "nest/s", 1),
        (StepSucceeded, "nest", 1),
        (StepStarted, "g", 1),
        (PathsCounted, "g", 1),
        (StepStarted, "g/give", 1),
        (StepStarted, "g/give#2", 1),
        (StepSucceeded, "g/give", 2),
        (StepSucceeded, "g/give#2", 3),
        (StepSucceeded, "g", 3),
        (StepSucceeded, "root", 3),
    ]


async def test_cancelled_steps_are_told_as_cancelled() -> None:
    events = []
    with trio.move_on_after(1):
        await Pipeline("root").step("nest", Pipeline("sub").step("s", gives(5))).run({}, observers=[events.append])
    assert [e.name for e in events if isinstance(e, StepCancelled)] == ["nest/s", "nest", "root"]


async def test_step_with_log_false_is_kept_out_of_logs_and_summaries_only(caplog) -> None:
    events, recorder = [], Recorder()
    quiet = Pipeline("quiet").step("inner", lambda: {"a": 2}, merge_policy="warn", log=False)
    p = Pipeline().step("quiet", quiet, log=False).step("loud", lambda: None)
    await p.run({"a": 1}, observers=[events.append, recorder])
    assert {event.name for event in events if event.quiet} == {"quiet", "quiet/inner"}
    assert {event.name for event in recorder.events} == {"pipeline", "loud"}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_condition_that_is_cancelled_tells_of_no_start() -> None:
    events = []
    with trio.move_on_after(1):
        await Pipeline().step("s", lambda: None, condition=trio.sleep_forever).run({}, observers=[events.append])
    assert [event.name for event in events] == ["pipeline", "pipeline"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"on_step_complete": 5}, r"^on_step_complete=5: give a function of a StepCompletion$"),
        ({"on_error": "continue"}, r"^on_error='continue': give a function .*: \.step\(…, on_error=\"continue\"\)$"),
    ],
)
def test_hook_that_is_no_function_is_refused(option, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Pipeline("p").run({}, **option)
    with pytest.raises(ConfigError, match=message):
        Pipeline("p", **option)


async def test_observer_of_a_run_with_hooks_is_not_told_twice_of_a_run_inside_it() -> None:
    events = []

    async def inner() -> None:
        pass

    async def outer() -> None:
        await step(inner).run(observers=[events.append])

    p = Pipeline("p", on_step_complete=lambda _event: None).step("o", outer, provides="x")
    await p.run({}, observers=[events.append])
    assert [type(e) for e in events if e.name == "o/inner"] == [StepStarted, StepSucceeded]
