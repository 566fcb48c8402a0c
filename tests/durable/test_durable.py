"""Runs that are kept in a store: what is written when, and how they continue; with a store in memory."""

from __future__ import annotations

import json
import logging
from contextlib import asynccontextmanager
from datetime import datetime

import attrs
import pytest
import trio

from trio_steps import CheckpointError, ConfigError, ForkPartialError, Pipeline, Retry, otherwise, step
from trio_steps._pipeline.run.durable import error_text
from trio_steps.store import RunClaimedError
from trio_steps.testing import MemoryStore, sweep_cancellation


class WatchedStore:
    """A store in memory that records each change that it was told to write.

    `before_write` is called with each change; it may raise, or wait.
    """

    def __init__(self):
        self.inside = MemoryStore()
        self.changes = []

    async def before_write(self, change):
        pass

    @asynccontextmanager
    async def claim(self, run_id):
        async with self.inside.claim(run_id) as claim:
            yield WatchedClaim(self, claim)

    @property
    def runs(self):
        return self.inside._runs

    @property
    def claimed(self):
        return self.inside._claims

    @property
    def statuses(self):
        return [change.status for change in self.changes]

    def numbers(self, run_id="r"):
        return sorted(self.runs[run_id].parts)


class WatchedClaim:
    def __init__(self, store, inside):
        self.store = store
        self.inside = inside
        self.run_id = inside.run_id
        self.now = inside.now
        self.check = inside.check
        self.read = inside.read
        self.wait_cancelled = inside.wait_cancelled

    async def write(self, change):
        await self.store.before_write(change)
        with trio.CancelScope(shield=True):  # like a worker thread
            await self.inside.write(change)
        self.store.changes.append(change)


class Steps:
    """Steps that record that they were run."""

    def __init__(self):
        self.ran = []

    def gives(self, name, **keys):
        def give():
            self.ran.append(name)
            return keys

        return give

    def fails(self, name, *errors, then=None):
        left = list(errors)

        async def fail():
            self.ran.append(name)
            if left:
                raise left.pop(0)
            return then

        return fail


@pytest.fixture
def store():
    return WatchedStore()


@pytest.fixture
def steps():
    return Steps()


# What is written


async def test_save_writes_only_what_is_new(store) -> None:
    p = Pipeline("p").step("a", lambda: {"a": 1}).step("b", lambda: {"b": 2})
    assert await p.run({"x": 0}, store=store, run_id="r") == {"x": 0, "a": 1, "b": 2}
    assert [(change.status, change.step, sorted(change.parts), list(change.dropped)) for change in store.changes] == [
        ("running", None, [0, 1], []),
        ("running", "a", [2], []),
        ("running", "b", [3], []),
        ("finished", "b", [4], [2, 3]),
    ]
    assert {change.pipeline for change in store.changes} == {"p"}
    assert store.numbers() == [0, 1, 4]
    assert json.loads(store.runs["r"].parts[4])["journal"][0]["changes"] == {"x": 0, "a": 1, "b": 2}


async def test_save_comes_before_every_other_hook(store) -> None:
    seen = []
    p = Pipeline("p", on_step_complete=lambda event: seen.append((event.name, store.changes[-1].step)))
    p = p.step("a", lambda: {"a": 1}).step("b", lambda: {"b": 2})
    await p.run({}, store=store, run_id="r", on_step_complete=lambda event: seen.append(store.changes[-1].step))
    assert seen == [("a", "a"), "a", ("b", "b"), "b"]


async def test_save_drops_what_is_inside_a_step_that_is_done(store) -> None:
    p = Pipeline("p").for_each("each", lambda n: n, over="ns", each="n", into="out", concurrency=1)
    await p.run({"ns": [1, 2]}, store=store, run_id="r")
    assert [(change.step, sorted(change.parts), list(change.dropped)) for change in store.changes[1:4]] == [
        ("each/1", [2], []),
        ("each/2", [3], []),
        ("each", [4], [2, 3]),
    ]


async def test_save_drops_what_a_retry_does_again(store, steps) -> None:
    inner = Pipeline("in").step("a", steps.gives("a", a=1)).step("b", steps.fails("b", OSError(), then={"b": 2}))
    p = Pipeline("p").step("in", inner, retry=Retry(attempts=2, delay=1))
    await p.run({}, store=store, run_id="r")
    assert steps.ran == ["a", "b", "a", "b"]
    assert [(change.step, sorted(change.parts), list(change.dropped)) for change in store.changes[1:6]] == [
        ("in/a", [2], []),
        ("in/a", [3], [2]),  # the failure of the first attempt replaces its steps
        ("in/a", [4], []),
        ("in/b", [5], []),
        ("in", [6], [4, 5]),
    ]


async def test_saves_of_parallel_steps_take_turns_and_write_the_newest_journal(store) -> None:
    first_is_written = trio.Event()

    async def before_write(change):
        if change.step == "g/1":
            await first_is_written.wait()

    async def last():
        await trio.sleep(2)
        first_is_written.set()
        return {"c": 3}

    async def later():
        await trio.sleep(1)
        return {"b": 2}

    store.before_write = before_write
    p = Pipeline("p").step("g", lambda: {"a": 1}, later, last)
    assert await p.run({}, store=store, run_id="r") == {"a": 1, "b": 2, "c": 3}
    # the save of g/later waits for that of g/1, and by then is as new as that of g/last
    assert [(change.step, sorted(change.parts)) for change in store.changes[1:4]] == [
        ("g/1", [2]),
        ("g/last", [3, 4]),
        ("g", [5]),
    ]


async def test_nothing_is_written_inside_a_race(store) -> None:
    p = Pipeline("p").step("r", lambda: {"a": 1}, trio.sleep_forever, mode="race")
    await p.run({}, store=store, run_id="r")
    assert [change.step for change in store.changes] == [None, "r", "r"]


async def test_stopped_run_says_so_and_goes_on(store, steps) -> None:
    p = Pipeline("p").step("a", steps.gives("a", a=1)).step("b", steps.gives("b", b=2))
    stopped = []

    def stop(event):
        stopped.append(event.stopped)
        event.stop()
        stopped.append(event.stopped)

    assert await p.run({}, store=store, run_id="r", on_step_complete=stop) == {"a": 1}
    assert stopped == [False, True]
    assert store.statuses[-1] == "stopped"
    assert await p.run({}, store=store, run_id="r") == {"a": 1, "b": 2}
    assert store.statuses[-1] == "finished"
    assert steps.ran == ["a", "b"]


# Where it continues


async def test_failed_run_goes_on_after_what_was_done(store, steps) -> None:
    inner = Pipeline("in").step("c", steps.gives("c", c=3)).step("d", steps.fails("d", OSError("no"), then={"d": 4}))
    p = Pipeline("p").step("a", steps.gives("a", a=(1, {2: 3}))).branch_on("route", otherwise(inner))
    with pytest.raises(OSError, match="no"):
        await p.run({"x": 0}, store=store, run_id="r")
    assert store.changes[-1].error == "OSError: no\nin step 'route/in/d'"
    assert (store.changes[-1].status, store.changes[-1].step) == ("failed", "route/in/c")
    expected = {"x": 0, "a": (1, {2: 3}), "c": 3, "d": 4}
    assert await p.run({"x": 0}, store=store, run_id="r") == expected
    assert steps.ran == ["a", "c", "d", "d"]
    again = store.changes[store.statuses.index("failed") + 1]
    assert (again.status, again.error, sorted(again.parts)) == ("running", None, [0])
    assert await p.run(store=store, run_id="r") == expected
    assert steps.ran == ["a", "c", "d", "d"]


async def test_failed_run_does_not_run_again_the_siblings_that_were_done(store, steps) -> None:
    p = Pipeline("p").step("g", steps.gives("a", a=1), steps.fails("b", OSError("no"), then={"b": 2}), concurrency=1)
    with pytest.raises(ForkPartialError):
        await p.run({}, store=store, run_id="r")
    assert store.changes[-1].error == (
        "ForkPartialError: fork 'g': 1 of 2 paths failed (1 sub-exception)\nin step 'g'\nOSError: no\nin step 'g/fail'"
    )
    assert await p.run({}, store=store, run_id="r") == {"a": 1, "b": 2}
    assert steps.ran == ["a", "b", "b"]


def test_error_in_words_can_be_stored_whatever_it_says() -> None:
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError

    assert error_text(ValueError("half \ud800")) == "ValueError: half \\ud800"
    silent = "test_error_in_words_can_be_stored_whatever_it_says.<locals>.Silent: <str() raised RuntimeError>"
    assert error_text(Silent()) == silent


def test_error_in_words_has_only_the_first_of_very_many() -> None:
    odd = KeyError("x" * 2_000)
    odd.__notes__ = None  # type: ignore[assignment]
    assert error_text(odd) == f"KeyError: 'x{'x' * 997}…"
    assert error_text(ForkPartialError("many", [OSError(n) for n in range(100)])).count("OSError") == 20


async def test_run_with_the_pipeline_changed_after_the_point_it_goes_on_from(store, steps) -> None:
    a = Pipeline("p").step("a", steps.gives("a", a=1))
    with pytest.raises(OSError, match="no"):
        await a.step("b", steps.fails("b", OSError("no"))).run({}, store=store, run_id="r")
    with pytest.raises(OSError, match="not"):
        await (
            a.step("c", steps.gives("c", c=3))
            .step("d", steps.fails("d", OSError("not")))
            .run({}, store=store, run_id="r")
        )
    assert await a.step("c", steps.gives("c")).step("e", lambda c: {"e": c}).run({}, store=store, run_id="r") == {
        "a": 1,
        "c": 3,
        "e": 3,
    }
    assert steps.ran == ["a", "b", "c", "d"]


async def test_run_with_the_pipeline_changed_before_that_is_an_error(store, steps) -> None:
    p = Pipeline("p").step("a", steps.gives("a", a=1)).step("b", steps.fails("b", OSError("no")))
    with pytest.raises(OSError, match="no"):
        await p.run({}, store=store, run_id="r")
    changed = Pipeline("p").step("first", steps.gives("first")).step("a", steps.gives("a", a=1))
    with pytest.raises(CheckpointError, match="step 'first': the step was inserted before 'a'") as caught:
        await changed.run({}, store=store, run_id="r")
    assert caught.value.__notes__ == ["in the stored run 'r'"]
    assert steps.ran == ["a", "b"]
    assert store.statuses == ["running", "running", "failed"]


async def test_run_of_another_pipeline_is_an_error_also_when_it_is_finished(store) -> None:
    await Pipeline("p").run({}, store=store, run_id="r")
    with pytest.raises(CheckpointError, match="is of the pipeline 'p', not of 'q'; use another run_id"):
        await Pipeline("q").run({}, store=store, run_id="r")


async def test_finished_run_returns_its_result_also_after_skip_remaining(store, steps) -> None:
    p = Pipeline("p").step("a", steps.gives("a", a=1)).step("b", steps.fails("b", OSError()), on_error="skip-remaining")
    p = p.step("c", steps.gives("c", c=3))
    assert await p.run({}, store=store, run_id="r") == {"a": 1}
    assert await p.run({}, store=store, run_id="r") == {"a": 1}
    assert steps.ran == ["a", "b"]


async def test_result_is_what_outputs_says_each_time(store) -> None:
    @attrs.frozen
    class Done:
        a: int

    p = Pipeline("p").step("a", lambda: {"a": 1, "b": 2}).outputs(Done)
    assert await p.run({}, store=store, run_id="r") == Done(1)
    assert await p.run({}, store=store, run_id="r") == Done(1)


async def test_codec_writes_the_values_of_the_store(store) -> None:
    p = Pipeline("p", codec=json).step("a", lambda: {"a": [1]})
    assert await p.run({"x": {"y": 1, "z": 2}}, store=store, run_id="r") == {"x": {"y": 1, "z": 2}, "a": [1]}
    assert await p.run({"x": {"z": 2, "y": 1}}, store=store, run_id="r") == {"x": {"y": 1, "z": 2}, "a": [1]}
    with pytest.raises(CheckpointError, match="was written with a codec"):
        await Pipeline("p").run({}, store=store, run_id="r")


# Inputs


@pytest.mark.parametrize(
    ("then", "now"),
    [
        pytest.param({"x": 1, "y": {"a": 1, "b": 2}}, {"y": {"b": 2, "a": 1}, "x": 1}, id="order"),
        pytest.param({"x": {"a", "b", "c", 1, 2}}, {"x": {2, 1, "c", "b", "a"}}, id="set"),
        pytest.param({"x": datetime(2026, 1, 2)}, {"x": datetime(2026, 1, 2)}, id="datetime"),  # noqa: DTZ001
        pytest.param({"x": OSError(1, "no")}, {"x": OSError(1, "no")}, id="exception"),
        pytest.param({"x": float("nan")}, {"x": float("nan")}, id="nan"),
    ],
)
async def test_run_goes_on_with_equal_inputs(store, then, now) -> None:
    p = Pipeline("p").step("a", lambda: {"a": 1})
    await p.run(then, store=store, run_id="r")
    assert (await p.run(now, store=store, run_id="r"))["a"] == 1


@pytest.mark.parametrize(
    ("then", "now", "key"),
    [
        pytest.param({"x": 1}, {"x": 2}, "x", id="value"),
        pytest.param({"x": 1}, {"x": True}, "x", id="type"),
        pytest.param({"x": 1}, {"x": 1, "y": 2}, "y", id="more"),
        pytest.param({"x": 1, "y": 2}, {"x": 1}, "y", id="less"),
        pytest.param({"x": 1}, None, "x", id="none"),
    ],
)
async def test_run_with_other_inputs_is_an_error(store, then, now, key) -> None:
    p = Pipeline("p")
    await p.run(then, store=store, run_id="r")
    with pytest.raises(CheckpointError, match=f"key '{key}': the run was started with other inputs"):
        await p.run(now, store=store, run_id="r")


async def test_run_without_inputs_goes_on_with_its_own(store, steps) -> None:
    p = Pipeline("p").step("a", steps.fails("a", OSError("no"), then={"a": 1}))
    with pytest.raises(OSError, match="no"):
        await p.run({"x": 1}, store=store, run_id="r")
    assert await p.run(store=store, run_id="r") == {"x": 1, "a": 1}


async def test_run_without_inputs_begins_with_nothing(store) -> None:
    assert await Pipeline("p").step("a", lambda: {"a": 1}).run(store=store, run_id="r") == {"a": 1}


async def test_input_of_a_wrong_type_claims_nothing(store) -> None:
    with pytest.raises(TypeError, match="pipeline 'p' takes a mapping"):
        await Pipeline("p").run(3, store=store, run_id="r")
    assert store.runs == {}


# What can't be


async def test_value_that_cannot_be_held_fails_the_run_and_keeps_what_can(store, steps) -> None:
    p = Pipeline("p").step("a", steps.gives("a", a=1)).step("b", lambda: {"b": [object()]})
    with pytest.raises(CheckpointError, match=r"step 'b', key 'b': .* can't be held"):
        await p.run({}, store=store, run_id="r")
    assert store.statuses == ["running", "running", "running", "failed"]
    assert [sorted(change.parts) for change in store.changes] == [[0, 1], [2], [3], []]


async def test_step_whose_value_cannot_be_held_is_not_run_again(store, steps) -> None:
    p = Pipeline("p").step("charge", steps.gives("charge", receipt=object())).step("mail", steps.gives("mail"))
    for _ in range(3):
        with pytest.raises(CheckpointError, match=r"^step 'charge', key 'receipt': .*object.*can't be held"):
            await p.run({}, store=store, run_id="r")
    assert steps.ran == ["charge"]
    with pytest.raises(CheckpointError) as caught:
        await p.run({}, store=store, run_id="r")
    assert "store.mark_done('r', 'charge', {…})" in str(caught.value)
    await store.inside.mark_done("r", "charge", {"receipt": "R-42"})
    assert await p.run({}, store=store, run_id="r") == {"receipt": "R-42"}
    assert steps.ran == ["charge", "mail"]


async def test_siblings_of_a_step_whose_value_cannot_be_held_are_kept(store, steps) -> None:
    async def charge():
        await trio.sleep(1)
        return {"receipt": object()}

    p = Pipeline("p").step("both", steps.gives("other", other=1), charge)
    with pytest.raises(CheckpointError, match=r"^step 'both/charge', key 'receipt'|^step 'both/2', key 'receipt'"):
        await p.run({}, store=store, run_id="r")
    with pytest.raises(CheckpointError, match="it is not run again"):
        await p.run({}, store=store, run_id="r")
    assert steps.ran == ["other"]


async def test_sibling_that_was_done_in_the_same_moment_as_a_step_whose_value_cannot_be_held_is_kept(
    store, steps
) -> None:
    charge = step(steps.gives("charge", receipt=object()), id="charge")
    p = Pipeline("p").step("both", steps.gives("other", other=1), charge)
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"^step 'both/charge', key 'receipt'"):
            await p.run({}, store=store, run_id="r")
    assert sorted(steps.ran) == ["charge", "other"]
    await store.inside.mark_done("r", "both/charge", {"receipt": "R-42"})
    assert await p.run({}, store=store, run_id="r") == {"other": 1, "receipt": "R-42"}
    assert sorted(steps.ran) == ["charge", "other"]


async def test_input_that_cannot_be_held_is_an_error_before_anything_runs(store, steps) -> None:
    p = Pipeline("p").step("a", steps.gives("a", a=1))
    with pytest.raises(CheckpointError, match=r"^key 'x': .* can't be held"):
        await p.run({"x": object()}, store=store, run_id="r")
    assert steps.ran == []
    assert store.runs == {}


def test_store_without_run_id_is_an_error(store) -> None:
    for run_id in (None, "", 42, "half a \ud800"):
        with pytest.raises(ConfigError, match='give the run a name, run_id="order-42"'):
            Pipeline("p").run({}, store=store, run_id=run_id)


def test_store_that_is_none_is_an_error() -> None:
    with pytest.raises(
        ConfigError, match=r"^run\(store='runs.db'\): give a store, .*store=SqliteStore\(\"runs.db\"\)$"
    ):
        Pipeline("p").run({}, store="runs.db", run_id="r")


def test_run_id_without_store_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"give also where the run is kept, store=SqliteStore\(\"runs.db\"\)"):
        Pipeline("p").run({}, run_id="r")


async def test_run_that_is_running_is_an_error(store) -> None:
    p = Pipeline("p").step("again", lambda: p.run({}, store=store, run_id="r"))
    with pytest.raises(RunClaimedError, match=r"^the run 'r' is already running; wait for it, or use another run_id"):
        await p.run({}, store=store, run_id="r")
    assert store.claimed == {}
    assert str(RunClaimedError("r", 42)) == (
        "the run 'r' is already running, in the process 42; wait for it, or use another run_id"
    )


# Cancellation


async def test_cancelled_run_says_so_and_goes_on(store, steps) -> None:
    async def slow(wait=False):
        await trio.sleep(9 * wait)

    p = Pipeline("p").step("a", steps.gives("a", a=1)).step("b", slow)
    with trio.move_on_after(1) as scope:
        await p.run({"wait": True}, store=store, run_id="r")
    assert scope.cancelled_caught
    assert (store.changes[-1].status, store.changes[-1].error) == ("cancelled", None)
    assert store.numbers() == [0, 1, 2]
    assert store.claimed == {}
    assert await p.run(store=store, run_id="r") == {"wait": True, "a": 1}
    assert steps.ran == ["a"]


async def test_step_that_waits_for_its_turn_to_be_saved_when_the_run_is_cancelled_is_saved(store) -> None:
    async def before_write(change):
        if change.step == "g/1":
            with trio.CancelScope(shield=True):
                await trio.sleep(3)

    async def later():
        await trio.sleep(1)
        return {"b": 2}

    store.before_write = before_write
    p = Pipeline("p").step("g", lambda: {"a": 1}, later)
    with trio.move_on_after(2):
        await p.run({}, store=store, run_id="r")
    assert [(change.status, change.step, sorted(change.parts)) for change in store.changes[1:]] == [
        ("running", "g/1", [2]),
        ("cancelled", "g/later", [3]),
    ]


async def test_run_that_is_cancelled_before_a_failed_attempt_is_saved_goes_on_in_that_attempt(store, steps) -> None:
    async def before_write(change):
        if change.dropped:
            scope.cancel()
            await trio.lowlevel.checkpoint()

    store.before_write = before_write
    inner = Pipeline("in").step("a", steps.gives("a", a=1)).step("b", steps.fails("b", OSError(), then={"b": 2}))
    p = Pipeline("p").step("in", inner, retry=Retry(attempts=2, delay=1))
    with trio.CancelScope() as scope:
        await p.run({}, store=store, run_id="r")
    assert scope.cancelled_caught
    assert store.numbers() == [0, 1, 2]
    store.before_write = WatchedStore().before_write
    assert await p.run({}, store=store, run_id="r") == {"a": 1, "b": 2}
    assert steps.ran == ["a", "b", "b"]


async def test_run_that_is_cancelled_at_its_end_is_finished(store) -> None:
    async def before_write(change):
        if change.status == "finished":
            scope.cancel()
            await trio.lowlevel.checkpoint()

    store.before_write = before_write
    with trio.CancelScope() as scope:
        await Pipeline("p").step("a", lambda: {"a": 1}).run({}, store=store, run_id="r")
    assert scope.cancelled_caught
    assert store.statuses == ["running", "running", "finished"]


async def test_failure_to_save_the_end_is_logged_and_hides_no_error(store, steps, caplog) -> None:
    async def before_write(change):
        if change.status == "failed":
            raise OSError("disk full")

    store.before_write = before_write
    p = Pipeline("p").step("a", steps.fails("a", ValueError("bad")))
    with pytest.raises(ValueError, match="bad"):
        await p.run({}, store=store, run_id="r")
    [record] = caplog.records
    assert (record.name, record.levelno) == ("trio_steps", logging.ERROR)
    assert record.message == "the end of a durable run of 'p' could not be saved"
    assert str(record.exc_info[1]) == "disk full"


async def test_failure_to_save_the_result_fails_the_run(store) -> None:
    async def before_write(change):
        if change.status == "finished":
            raise OSError("disk full")

    store.before_write = before_write
    with pytest.raises(OSError, match="disk full"):
        await Pipeline("p").step("a", lambda: {"a": 1}).run({}, store=store, run_id="r")
    assert (store.runs["r"].record.status, store.numbers()) == ("failed", [0, 1, 2])


async def test_failure_to_save_a_step_fails_the_run(store, steps) -> None:
    async def before_write(change):
        if change.status == "running" and change.step == "a":
            raise OSError("disk full")

    store.before_write = before_write
    p = Pipeline("p").step("a", steps.gives("a", a=1), on_error="continue").step("b", steps.gives("b", b=2))
    with pytest.raises(OSError, match="disk full"):
        await p.run({}, store=store, run_id="r")
    assert steps.ran == ["a"]
    assert store.runs["r"].record.status == "failed"
    assert store.numbers() == [0, 1, 2]  # the step is saved with the end of the run, if that can be written


def test_run_that_is_cancelled_anywhere_goes_on_and_does_not_do_again_what_was_told() -> None:
    async def program(probe):
        store = WatchedStore()
        ran = []
        told = set()

        async def before_write(change):
            await trio.lowlevel.checkpoint()  # like a worker thread, which then finishes even if cancelled
            await trio.lowlevel.cancel_shielded_checkpoint()

        def step(name, **keys):
            async def run():
                assert name not in told
                await trio.sleep(1)
                ran.append(name)
                return keys

            return run

        async def run():
            hook = {"on_step_complete": lambda event: told.add(event.name)}
            return await p.run({"ns": [1, 2]}, store=store, run_id="r", **hook)

        store.before_write = before_write
        inner = Pipeline("in").step("a", step("g/in/a", a=1)).step("b", step("g/in/b", b=2))
        p = Pipeline("p").step("g", inner, step("g/run", c=3)).step("d", step("d", d=4))
        p = p.for_each("each", lambda n: n, over="ns", each="n", into="out", concurrency=1)
        try:
            await run()
        finally:
            with trio.CancelScope(shield=True):
                assert store.claimed == {}
                assert await run() == {"ns": [1, 2], "a": 1, "b": 2, "c": 3, "d": 4, "out": [1, 2]}
                assert set(ran) == {"g/in/a", "g/in/b", "g/run", "d"}

    sweep_cancellation(program).raise_if_failed()
