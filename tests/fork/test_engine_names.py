"""The names of paths: in scopes, in Trio's task tree and in tracebacks."""

from __future__ import annotations

import traceback
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from paths import returns
from ways import LIMITS, how

from trio_steps import (
    ForkPartialError,
    Retry,
    current_scope,
    fork,
    gather,
    step,
)

# names


async def test_full_names_are_paths_and_a_fork_that_is_a_path_adds_one_level() -> None:
    seen: list[str] = []

    async def leaf() -> None:
        scope = current_scope()
        seen.append(scope.name)
        assert scope.parent is not None
        assert scope.name == f"{scope.parent.name}/{scope.id}"

    inner = fork("inner", mode="all", paths=[leaf, leaf, partial(leaf)])
    await fork("outer", mode="all", paths=[inner, leaf, partial(inner)], concurrency=1)()
    assert seen == [
        "outer/inner/leaf",
        "outer/inner/leaf#2",
        "outer/inner/leaf#3",
        "outer/leaf",
        "outer/inner#2/leaf",
        "outer/inner#2/leaf#2",
        "outer/inner#2/leaf#3",
    ]


async def test_names_made_unique_keep_clear_of_names_that_were_given() -> None:
    def f() -> str:
        return current_scope().id

    assert await gather(f, step(f, id="f#2"), f, step(f, id="f")) == ("f#3", "f#2", "f#4", "f") or await gather(
        f, step(f, id="f#2"), f
    ) == ("f", "f#2", "f#3")


@pytest.mark.parametrize("limit", LIMITS)
async def test_task_dump_shows_the_full_name_of_each_running_path(limit: str) -> None:
    def names() -> set[str]:
        found: set[str] = set()
        tasks = [trio.lowlevel.current_root_task()]
        while tasks:
            task = tasks.pop()
            assert task is not None
            found.add(task.name)
            tasks.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)
        return found

    seen: set[str] = set()

    async def look() -> None:
        await trio.sleep(1)
        seen.update(names())

    inner = fork("inner", mode="all", **how(limit, [look, step(trio.sleep, id="nap")]))
    outer = fork("outer", mode="all", paths=lambda _=None: [partial(_with_input, inner, 2)])
    await outer()
    assert {"outer/_with_input/inner/look", "outer/_with_input/inner/nap"} <= seen


async def _with_input(inner: Any, seconds: float) -> None:
    await inner(seconds)


async def test_waiting_member_of_a_crew_does_not_go_by_the_name_of_its_last_path() -> None:
    limiter = trio.CapacityLimiter(1)
    await limiter.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(gather, concurrency=limiter), returns(0, "a"))
        await trio.testing.wait_all_tasks_blocked()
        (caller,) = nursery.child_tasks
        assert [task.name for task in caller.child_nurseries[0].child_tasks] == ["gather"]
        limiter.release()


async def test_traceback_of_an_interrupt_shows_the_users_frames_alone() -> None:
    async def interrupted() -> None:
        raise KeyboardInterrupt

    inner = fork("inner", mode="all", paths=[step(interrupted, timeout=9, retry=Retry(2))])
    for limit in (None, 2, trio.CapacityLimiter(2)):
        with pytest.raises(KeyboardInterrupt) as caught:
            await gather(inner, concurrency=limit)
        assert [frame.name for frame in traceback.extract_tb(caught.tb)][1:] == ["interrupted"]


async def test_traceback_of_a_path_shows_the_users_frames_alone() -> None:
    async def innermost() -> None:
        raise OSError("down")

    async def failing() -> None:
        await innermost()

    for limit in (None, 2, trio.CapacityLimiter(2)):
        with pytest.raises(ForkPartialError) as caught:
            await gather(failing, concurrency=limit)
        (error,) = caught.value.exceptions
        assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == ["failing", "innermost"]
        assert error.__notes__ == ["in step 'gather/failing'"]
        ours = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)][1:]
        assert ours == []
