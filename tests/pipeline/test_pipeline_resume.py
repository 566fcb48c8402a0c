"""A run that is resumed from a checkpoint: what runs again, what does not, and with which overrides."""

from __future__ import annotations

import gc
from datetime import datetime

import pytest
import trio
from resumable import fails, gives, ran

from trio_steps import (
    Checkpoint,
    CheckpointError,
    ConfigError,
    ForkPartialError,
    Fulfilled,
    Pipeline,
    Rejected,
    Retry,
    StepCompletion,
    otherwise,
    when,
)
from trio_steps._pipeline.run.journal import Entry


async def checkpoints_of(p, inputs=None):
    """Run `p`, and return its result and the checkpoint after each step, each once through JSON."""
    events = []
    del ran[:]
    result = await p.run(inputs or {}, on_step_complete=events.append)
    found = {event.name: Checkpoint.from_json(event.checkpoint.to_json()) for event in events}
    del ran[:]
    return result, found


async def test_resume_knows_a_value_that_was_passed_on_unchanged() -> None:
    def passes_on(at, error):
        return {"at": at, "error": error, "odd": [at, error]}

    error = Rejected("x", OSError(1, "no"))
    inner = Pipeline("inner").step("same", passes_on).transform("only", passes_on)
    p = Pipeline().step("odd", lambda at, error: {"odd": [at, error]}).step("n", inner, merge_policy="error")
    result, at = await checkpoints_of(p, {"at": datetime(2026, 1, 2), "error": error})  # noqa: DTZ001
    for checkpoint in at.values():
        again = await p.resume(checkpoint)
        assert (again["at"], repr(again["odd"])) == (result["at"], repr(result["odd"]))


async def test_resume_with_an_error_of_a_parallel_step_that_somebody_has_succeeded_in() -> None:
    inner = Pipeline("inner").step("g", gives(0, a=1), fails(1, OSError("no")))
    p = Pipeline().step("s", inner, gives(2, b=1), mode="settle").step("end", gives(1, c=1))
    result, at = await checkpoints_of(p)
    [rejected] = [entry for entry in at["s/give"].entries if entry.kind == "rejected"]
    assert rejected.error.succeeded == (Fulfilled("give", {"a": 1}),)
    assert await p.resume(at["s/give"]) == result == {"b": 1, "c": 1}


@pytest.mark.parametrize("reason", ["condition", "failure"])
async def test_step_that_is_skipped_leaves_nothing_behind_where_nothing_is_recorded(reason) -> None:
    def entries():
        gc.collect()
        return sum(type(thing) is Entry for thing in gc.get_objects())

    def fail(x):
        raise ValueError

    p = Pipeline().step("before", lambda: {"before": entries()})
    if reason == "condition":
        p = p.step("skipped", gives(0), condition=lambda x: False)
    else:
        p = p.step("skipped", fail, on_error="continue", log=False)
    p = p.step("after", lambda: {"after": entries()})
    result = await p.run({"x": 0})
    assert result["after"] == result["before"]


async def test_resume_goes_on_after_the_step() -> None:
    p = Pipeline().step("a", gives(1, a=1)).step("b", gives(1, b=(1, {2: 3}))).step("c", gives(1, c=1))
    result, at = await checkpoints_of(p, {"x": 0})
    assert await p.resume(at["a"]) == result == {"x": 0, "a": 1, "b": (1, {2: 3}), "c": 1}
    assert ran == ["b", "c"]
    assert await p.resume(at["c"]) == result
    assert ran == ["b", "c"]


async def test_resume_does_not_ask_conditions_again_nor_try_again_what_was_forgiven() -> None:
    asked = []

    def ask():
        asked.append(1)
        return len(asked) == 2

    p = (
        Pipeline()
        .step("skip", gives(0, s=1), condition=ask)
        .step("nest", Pipeline("n").step("in", gives(0, i=1)).step("in2", gives(0, i2=1)), condition=ask)
        .step("bad", fails(0, OSError()), on_error="continue")
        .step("end", gives(0, e=1))
    )
    result, at = await checkpoints_of(p)
    assert len(asked) == 2
    assert await p.resume(at["nest/in"]) == result == {"i": 1, "i2": 1, "e": 1}
    assert ran == ["nest/in2", "bad", "end"]
    assert len(asked) == 2


def once(log, name, seconds, answer):
    """A condition that takes `seconds` to return `answer`, and records that it was asked."""

    async def ask():
        log.append(name)
        await trio.sleep(seconds)
        return answer

    return ask


async def test_condition_of_a_sibling_that_is_answered_is_not_asked_again() -> None:
    log = []
    sub = Pipeline("sub").step("s", gives(5, s=1), condition=once(log, "s", 1, True))
    nest = Pipeline("nest").step("n", Pipeline("x").step("in", gives(5, i=1)), condition=once(log, "n", 1, True))
    no = Pipeline("no").step("n", gives(5, no=1), condition=once(log, "no", 1, False)).step("t", gives(5, t=1))
    late = Pipeline("late").step("l", gives(5, l=1), condition=once(log, "late", 3, True))
    p = Pipeline().step("g", gives(2, a=1), sub, nest, no, late)
    result, at = await checkpoints_of(p)
    del log[:]
    assert await p.resume(at["g/give"]) == result
    assert log == ["late"]


async def test_case_of_a_sibling_that_was_passed_or_taken_is_not_asked_again() -> None:
    log = []

    def route(name, first, second):
        return Pipeline(name).branch_on(
            "b",
            when(once(log, f"{name} 1", 1, first), lambda p: p.step("one", gives(5, **{name: 1}))),
            when(once(log, f"{name} 2", 3, second), lambda p: p.step("two", gives(5, **{name: 2}))),
            otherwise(lambda p: p.step("three", gives(5, **{name: 3}))),
        )

    p = Pipeline().step("g", gives(2, a=1), route("x", True, True), route("y", False, True), route("z", False, False))
    result, at = await checkpoints_of(p)
    assert result == {"a": 1, "x": 1, "y": 2, "z": 3}
    del log[:]
    assert await p.resume(at["g/give"]) == result
    assert sorted(log) == ["y 2", "z 2"]
    del log[:]
    assert await p.resume(at["g/x"]) == result
    assert log == []


async def test_condition_of_a_step_that_is_tried_again_is_asked_once_and_those_inside_in_each_attempt() -> None:
    log, tries = [], []

    def flaky():
        tries.append(1)
        if len(tries) == 1:
            raise OSError

    sub = (
        Pipeline("sub")
        .step("in", gives(0, i=1), condition=once(log, "inside", 0, True))
        .branch_on("b", when(once(log, "case", 0, False), lambda p: p))
        .step(flaky)
        .step("end", gives(0, e=1))
    )
    p = Pipeline().step("nest", sub, retry=Retry(2), condition=once(log, "nest", 0, True))
    result, at = await checkpoints_of(p)
    assert log == ["nest", "inside", "case", "inside", "case"]
    del log[:]
    assert await p.resume(at["nest/flaky"]) == result
    assert log == []
    del log[:], tries[:]
    assert await p.resume(at["nest/b"]) == result
    assert log == ["inside", "case"]


async def test_condition_of_a_step_that_waits_for_its_next_attempt_is_not_asked_again() -> None:
    log, tries = [], []

    def flaky():
        tries.append(1)
        if len(tries) == 1:
            raise OSError

    again = Pipeline("again").step(
        "nest", Pipeline("x").step(flaky), condition=once(log, "nest", 0, True), retry=Retry(2, delay=5)
    )
    p = Pipeline().step("g", gives(2, a=1), again)
    result, at = await checkpoints_of(p)
    del log[:]
    assert await p.resume(at["g/give"]) == result
    assert log == []


async def test_case_that_was_passed_is_asked_in_the_next_attempt_after_a_resume() -> None:
    log, tries = [], []

    def flaky():
        tries.append(1)
        if len(tries) == 2:
            raise OSError

    p = Pipeline().branch_on(
        "b",
        when(once(log, "first", 0, False), lambda p: p),
        when(once(log, "second", 0, True), lambda p: p.step("in", gives(0, i=1)).step(flaky)),
        retry=Retry(2),
    )
    result, at = await checkpoints_of(p)
    del log[:]
    assert await p.resume(at["b/case-2/in"]) == result
    assert log == ["first", "second"]


async def test_resume_after_a_transform_has_the_new_context_only() -> None:
    p = Pipeline().step("a", gives(0, a=1)).transform("t", lambda a: {"b": a}).step("c", gives(0, c=1))
    result, at = await checkpoints_of(p, {"x": 0})
    assert await p.resume(at["t"]) == result == {"b": 1, "c": 1}


async def test_resume_inside_a_branch_takes_the_same_case_without_asking() -> None:
    answers = [True]
    p = Pipeline().branch_on(
        "b",
        when(lambda: answers.pop(), lambda p: p.step("s", gives(0, s=1)).step("t", gives(0, t=1))),
        otherwise(lambda p: p.step("other", gives(0, other=1))),
    )
    result, at = await checkpoints_of(p)
    assert await p.resume(at["b/case-1/s"]) == result == {"s": 1, "t": 1}
    assert ran == ["b/case-1/t"]


async def test_resume_runs_only_the_siblings_that_were_not_done() -> None:
    sub = Pipeline("sub").step("one", gives(2, one=1)).step("two", gives(2, two=1))
    p = Pipeline().step("g", gives(1, a=1), sub, gives(3, b=1)).step("end", gives(0, e=1))
    result, at = await checkpoints_of(p)
    assert await p.resume(at["g/sub/one"]) == result
    assert ran == ["g/sub/two", "g/give#2", "end"]
    del ran[:]
    assert await p.resume(at["g/sub"]) == result
    assert ran == ["end"]


async def test_resume_of_a_settled_step_does_not_run_again_what_was_rejected() -> None:
    told = []
    p = Pipeline().step("g", fails(1, OSError("no")), gives(2, a=1), gives(3, b=1), mode="settle")
    result, at = await checkpoints_of(p)
    assert await p.resume(at["g/give"], on_error=lambda name, error: told.append(name)) == result == {"a": 1, "b": 1}
    assert ran == ["g/give#2"]
    assert told == []


async def test_resume_inside_a_race_is_before_the_race() -> None:
    sub = Pipeline("sub").step("one", gives(1, one=1)).step("two", gives(1, two=1))
    p = Pipeline().step("a", gives(0, a=1)).step("r", sub, gives(5), mode="race").step("end", gives(0, e=1))
    result, at = await checkpoints_of(p)
    assert await p.resume(at["r/sub/one"]) == result
    assert ran == ["r/sub/one", "r/give", "r/sub/two", "end"]


@pytest.mark.parametrize("mode", ["all", "settle"])
async def test_resume_of_a_for_each_runs_only_the_elements_that_were_not_done(mode) -> None:
    seen = []

    async def work(n):
        seen.append(n)
        await trio.sleep(n)
        if mode == "settle" and n == 1:
            raise error
        return n * 2

    error = OSError("no")
    p = Pipeline().for_each("e", work, over="ns", each="n", into="out", mode=mode)
    result, at = await checkpoints_of(p, {"ns": {"a": 1, "b": 2, "c": 3}})
    del seen[:]
    again = await p.resume(at["e/2"])
    assert seen == [3]
    if mode == "all":
        assert again == result == {"ns": {"a": 1, "b": 2, "c": 3}, "out": {"a": 2, "b": 4, "c": 6}}
    else:
        assert list(again["out"].values())[1:] == [Fulfilled("2", 4), Fulfilled("3", 6)]
        assert isinstance(again["out"]["a"], Rejected)
        assert again["out"]["a"].error.args == ("no",)


async def test_entries_of_failed_attempts_are_forgotten_but_not_by_older_checkpoints() -> None:
    tries = []

    def flaky():
        tries.append(1)
        if len(tries) == 1:
            raise OSError

    p = Pipeline().step(
        "nest", Pipeline("n").step("one", gives(0, one=1)).step(flaky).step("two", gives(0, t=1)), retry=Retry(2)
    )
    events = []
    result = await p.run({}, on_step_complete=events.append)
    names = [[entry.step for entry in event.checkpoint.entries] for event in events]
    assert [event.name for event in events] == ["nest/one", "nest/one", "nest/flaky", "nest/two", "nest"]
    assert names == [
        ["", "nest/one"],
        ["", "nest", "nest/one"],  # the entry of "nest" counts the failed attempts
        ["", "nest", "nest/one", "nest/flaky"],
        ["", "nest", "nest/one", "nest/flaky", "nest/two"],
        ["", "nest", "nest"],
    ]
    del ran[:]
    assert await p.resume(events[0].checkpoint) == result
    assert ran == ["nest/two"]


async def test_attempt_that_fails_after_a_resume_begins_from_nothing() -> None:
    tries = []

    def flaky():
        tries.append(1)
        if len(tries) == 2:
            raise OSError

    sub = (
        Pipeline("n")
        .step("one", gives(0, one=1))
        .branch_on("b", otherwise(lambda p: p.step("x", gives(0, x=1)).step(flaky)))
    )
    p = Pipeline().step("nest", sub, retry=Retry(2))
    result, at = await checkpoints_of(p)
    assert await p.resume(at["nest/b/otherwise/x"]) == result
    assert ran == ["nest/one", "nest/b/otherwise/x"]


async def test_journal_forgets_what_was_inside_a_step_while_siblings_do_the_same() -> None:
    long = Pipeline("x").step("s", gives(1)).step("t", gives(1)).step("u", gives(1)).step("v", gives(1))
    late = Pipeline("y").step("s", gives(1)).step("t", gives(1))
    p = Pipeline().step("g", Pipeline("one").step("n", long), Pipeline("two").step("wait", gives(3.5)).step("n", late))
    events = []
    await p.run({}, on_step_complete=events.append)
    steps = {event.name: [entry.step.removeprefix("g/") for entry in event.checkpoint.entries[1:]] for event in events}
    assert steps == {
        "g/one/n/s": ["one/n/s"],
        "g/one/n/t": ["one/n/s", "one/n/t"],
        "g/one/n/u": ["one/n/s", "one/n/t", "one/n/u"],
        "g/two/wait": ["one/n/s", "one/n/t", "one/n/u", "two/wait"],
        "g/one/n/v": ["one/n/s", "one/n/t", "one/n/u", "two/wait", "one/n/v"],
        "g/one/n": ["two/wait", "one/n"],
        "g/one": ["two/wait", "one/n", "one"],
        "g/two/n/s": ["two/wait", "one/n", "one", "two/n/s"],
        "g/two/n/t": ["two/wait", "one/n", "one", "two/n/s", "two/n/t"],
        "g/two/n": ["two/wait", "one/n", "one", "two/n"],
        "g/two": ["two/wait", "one/n", "one", "two/n", "two"],
        "g": ["g"],
    }


async def test_a_resumed_run_makes_checkpoints_of_the_whole() -> None:
    p = Pipeline().step("a", gives(0, a=1)).step("b", gives(0, b=1)).step("c", gives(0, c=1))
    result, at = await checkpoints_of(p)
    events = []
    await p.resume(at["a"], on_step_complete=events.append)
    del ran[:]
    assert await p.resume(events[0].checkpoint) == result
    assert ran == ["c"]


async def test_stop_and_resume_gives_what_the_run_would_have() -> None:
    p = Pipeline().step("a", gives(0, a=1)).step("b", gives(0, b=1))
    kept = []

    def stop(event):
        kept.append(event.checkpoint.to_json())
        event.stop()

    assert await p.run({}, on_step_complete=stop) == {"a": 1}
    assert await p.resume(Checkpoint.from_json(kept[0])) == {"a": 1, "b": 1}


async def test_checkpoint_of_the_result_is_not_changed_by_who_has_the_result() -> None:
    p = Pipeline().step("a", lambda: {"a": [1]}).step("b", gives(0))
    events = []
    result = await p.run({}, on_step_complete=events.append)
    result["a"].append("mine")
    again = await p.resume(events[0].checkpoint)
    again["a"].append("mine")
    assert await p.resume(events[0].checkpoint) == {"a": [1]}


# Overrides


async def test_overrides_replace_keys_wherever_the_rest_reads_them() -> None:
    def see(a, new=None):
        return {"seen": (a, new)}

    sub = Pipeline("sub").step("set", lambda: {"a": 2}).step("hook", gives(0)).step("see", see)
    p = Pipeline().step("first", lambda: {"a": 1}).step("nest", sub, merge_policy="error", on_error="continue")
    _, at = await checkpoints_of(p)
    assert await p.resume(at["nest/hook"], overrides={"a": 9, "new": 5}) == {"a": 9, "new": 5, "seen": (9, 5)}


async def test_overrides_reach_behind_a_transform_and_into_outputs_that_wait() -> None:
    sub = (
        Pipeline("sub")
        .transform("t", lambda: {"b": 1})
        .step("hook", gives(2))
        .step("see", lambda a=0, b=0: {"s": (a, b)})
    )
    p = Pipeline().step("g", gives(1, w=1), sub, merge_policy="error")
    _, at = await checkpoints_of(p)
    assert await p.resume(at["g/sub/hook"], overrides={"a": 7, "w": 8}) == {"a": 7, "w": 8, "b": 1, "s": (7, 1)}


async def test_overrides_are_in_later_checkpoints_too() -> None:
    p = Pipeline().step("a", gives(0, a=1)).step("b", gives(0, b=1)).step("c", lambda a: {"c": a})
    _, at = await checkpoints_of(p)
    events = []
    await p.resume(at["a"], overrides={"a": 5}, on_step_complete=events.append)
    assert (await p.resume(events[0].checkpoint))["c"] == 5


async def test_overridden_collection_is_gone_through_from_the_start() -> None:
    p = Pipeline().for_each("e", lambda n: n, over="ns", each="n", into="out", concurrency=1)
    _, at = await checkpoints_of(p, {"ns": [1, 2]})
    assert (await p.resume(at["e/1"], overrides={"ns": [5, 6, 7]}))["out"] == [5, 6, 7]
    assert (await p.resume(at["e/1"], overrides={"out": 0}))["out"] == [1, 2]


# What can't be resumed


async def test_checkpoint_of_another_or_a_changed_pipeline_is_refused() -> None:
    a, b, c = gives(0), gives(0), gives(0)
    p = Pipeline("p").step("a", a).step("b", b).step("c", c)
    _, at = await checkpoints_of(p)
    for other, message in (
        (Pipeline("q").step("a", a).step("b", b), "is of the pipeline 'p', not of 'q'"),
        (Pipeline("p").step("a", a).step("b2", b).step("c", c), "step 'b': "),
        (Pipeline("p").step("a", a).step("new", a).step("b", b).step("c", c), "step 'new': the step was inserted"),
    ):
        with pytest.raises(CheckpointError, match=message):
            await other.resume(at["b"])
    assert await Pipeline("p").step("a", a).step("b", b).step("d", c).resume(at["b"]) == {}


async def test_case_that_is_gone_is_refused() -> None:
    kept = []
    inside = when(lambda: True, lambda p: p.step("s", gives(0)), name="one")
    p = Pipeline().branch_on("b", inside, otherwise(Pipeline("x").step("t", gives(0))))
    await p.run({}, on_step_complete=lambda event: kept.append(event.checkpoint))
    taken = Checkpoint(kept[0].pipeline, ("b",), kept[0].entries[:2], 2)
    with pytest.raises(
        CheckpointError, match="step 'b': the branch took the case 'one', which the pipeline doesn't have"
    ):
        await Pipeline().branch_on("b", otherwise(lambda p: p)).resume(taken)
    with pytest.raises(CheckpointError, match="step 'b': the branch took the case 'one'"):
        await Pipeline().step("b", gives(0)).resume(taken)


async def test_what_is_no_checkpoint_is_refused() -> None:
    p = Pipeline()
    with pytest.raises(CheckpointError, match="give a Checkpoint"):
        await p.resume("text")
    with pytest.raises(CheckpointError, match="does not contain the input of the run"):
        await p.resume(Checkpoint("pipeline", (), [], 0))


async def test_what_a_failed_container_did_stays_in_the_checkpoints_of_others_while_its_failure_is_told() -> None:
    """Hooks were told of it; if the process ends before `on_error` returns, the run continues from there."""
    events: dict[str, StepCompletion] = {}

    async def tell_slowly(name: str, error: Exception) -> None:
        await trio.sleep(5)

    inner = Pipeline("inner").step("done", lambda: {"a": 1}).step("slow", trio.sleep_forever)
    p = Pipeline("p").step("g", Pipeline("sub").step("container", inner, timeout=1), gives(2))
    with pytest.raises(ForkPartialError):
        await p.run({}, on_step_complete=lambda event: events.update({event.name: event}), on_error=tell_slowly)
    assert [entry.step for entry in events["g/give"].checkpoint.entries[1:]] == ["g/sub/container/done", "g/give"]


async def test_what_a_forgiven_container_did_is_forgotten_when_it_is_over() -> None:
    events: list[StepCompletion] = []
    inner = Pipeline("inner").step("done", lambda: {"a": 1}).step("bad", fails(0, OSError()))
    p = Pipeline("p").step("container", inner, on_error="continue").step("last", lambda: None)
    await p.run({}, on_step_complete=events.append)
    assert [entry.step for entry in events[-1].checkpoint.entries[1:]] == ["container", "last"]


async def test_overrides_that_are_no_mapping_are_refused() -> None:
    p = Pipeline("p").step("a", gives(0, a=1))
    at = {}
    await p.run({}, on_step_complete=lambda event: at.update({event.name: event.checkpoint}))
    with pytest.raises(ConfigError, match=r"^resume\(overrides=\['a'\]\): give a mapping of keys and their values$"):
        p.resume(at["a"], overrides=["a"])
