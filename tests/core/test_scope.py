"""`current_scope`: how a step finds out where it runs."""

from __future__ import annotations

import contextvars

import pytest
import trio

from trio_steps import current_scope, fork, step
from trio_steps._core.scope import current, scope_of

OUTSIDE = r"^current_scope\(\) was called outside of any step; call it in the body of one$"


def scope(id, parent=None):
    return scope_of(id, parent, None, None, None)


def test_scope_outside_of_any_step_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=OUTSIDE):
        current_scope()


def test_scope_name_is_the_id_at_the_top() -> None:
    assert scope("a").name == "a"


def test_scope_name_joins_the_ids_from_the_top_down() -> None:
    assert scope("c", scope("b", scope("a"))).name == "a/b/c"


def test_scope_that_is_not_named_inside_names_itself_but_not_what_runs_in_it() -> None:
    around = scope_of("b", scope("a"), None, None, None, unnamed_inside=True)
    assert around.name == "a/b"
    assert scope("c", around).name == "a/c"


def test_scopes_are_told_apart_by_identity() -> None:
    assert scope("a") != scope("a")


def test_scope_shows_its_full_name_only() -> None:
    """State and observers may be large, or secret."""
    assert repr(scope_of("b", scope("a"), {"key": 1}, None, None)) == "<Scope of 'a/b'>"


async def test_scope_of_a_step_has_its_id_name_parent_and_state() -> None:
    seen = []
    state = {"key": 1}

    @step
    async def work():
        seen.append(current_scope())

    await work.run(state=state)
    [found] = seen
    assert (found.id, found.name, found.parent) == ("work", "work", None)
    assert found.state is state


async def test_scope_of_a_step_inside_another_has_that_one_as_parent() -> None:
    seen = []

    @step
    async def inner():
        seen.append(current_scope())

    @step
    async def outer():
        seen.append(current_scope())
        await inner()
        assert current_scope() is seen[0]

    await outer()
    around, within = seen
    assert within.parent is around
    assert (within.id, within.name) == ("inner", "outer/inner")


async def test_scope_of_a_plain_function_that_a_step_calls_is_the_steps() -> None:
    seen = []

    async def helper():
        seen.append(current_scope().name)

    @step
    async def work():
        await helper()

    await work()
    assert seen == ["work"]


async def test_scope_has_no_state_when_none_was_given() -> None:
    seen = []

    @step
    async def work():
        seen.append(current_scope().state)

    await work()
    await work.run(state=None)
    assert seen == [None, None]


async def test_scope_has_an_empty_state_when_one_was_given() -> None:
    seen = []
    state = {}

    @step
    async def work():
        seen.append(current_scope().state)

    await work.run(state=state)
    assert seen[0] is state


async def test_scope_of_a_step_inside_shares_the_state_of_the_step_around() -> None:
    @step
    async def inner():
        current_scope().state["seen"] = True

    @step
    async def outer():
        await inner()

    state = {}
    await outer.run(state=state)
    assert state == {"seen": True}


async def test_scope_of_a_run_inside_with_a_state_of_its_own_has_that_one() -> None:
    own = {"own": True}
    seen = []

    @step
    async def inner():
        seen.append(current_scope().state)

    @step
    async def outer():
        await inner.run(state=own)
        seen.append(current_scope().state)

    state = {"own": False}
    await outer.run(state=state)
    assert seen[0] is own
    assert seen[1] is state


async def test_scope_of_a_path_has_the_fork_as_parent() -> None:
    seen = []

    async def path():
        seen.append(current_scope())

    await fork("f", mode="all", paths=[path])()
    [found] = seen
    assert (found.id, found.name, found.parent.id) == ("path", "f/path", "f")


async def test_scope_is_gone_after_the_step() -> None:
    @step
    async def work():
        pass

    await work()
    with pytest.raises(RuntimeError, match=OUTSIDE):
        current_scope()


async def test_scope_is_gone_after_a_step_that_failed() -> None:
    @step
    async def work():
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await work()
    assert current.get() is None


async def test_scope_is_gone_after_a_step_that_was_cancelled() -> None:
    @step
    async def work():
        await trio.sleep_forever()

    with trio.CancelScope() as cancel:
        cancel.cancel()
        await work()
    assert current.get() is None


async def test_scope_is_gone_after_a_step_whose_observer_was_interrupted() -> None:
    def interrupted(event):
        raise KeyboardInterrupt

    @step
    async def work():
        pass

    with pytest.raises(KeyboardInterrupt):
        await work.run(observers=[interrupted])
    assert current.get() is None


def test_scope_is_gone_after_a_step_that_was_called_outside_of_trio() -> None:
    @step
    async def work():
        pass

    def call():
        with pytest.raises(RuntimeError, match="runs only in a Trio program"):
            work().send(None)
        return current.get()

    assert contextvars.copy_context().run(call) is None


async def test_scope_is_seen_by_tasks_that_the_step_starts() -> None:
    seen = []

    async def task():
        seen.append(current_scope().name)

    @step
    async def work():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(task)

    await work()
    assert seen == ["work"]


async def test_scope_of_one_task_is_not_seen_by_another(autojump_clock) -> None:
    seen = []

    @step
    async def work():
        await trio.sleep(2)

    async def other():
        await trio.sleep(1)
        seen.append(current.get())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        nursery.start_soon(other)
    assert seen == [None]
