"""What a path inherits and leaves behind: context variables, open scopes and nurseries, its task."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import pytest
import trio
import trio.testing
from ways import LIMITS, how, variable

from trio_steps import (
    fork,
    gather,
    settle,
)

# contexts


@pytest.mark.parametrize("limit", LIMITS)
async def test_path_starts_with_the_callers_variables_and_leaves_nothing_behind(limit: str) -> None:
    variable.set("caller")
    seen: list[object] = []

    async def path() -> None:
        seen.append(variable.get())
        variable.set(len(seen))
        await trio.lowlevel.checkpoint()
        assert variable.get() != "caller"

    await fork("f", mode="all", **how(limit, [path] * 20))()
    assert seen == ["caller"] * 20
    assert variable.get() == "caller"


@pytest.mark.parametrize("limit", ["int", "limiter"])
async def test_new_value_that_is_equal_to_the_old_one_is_not_left_behind(limit: str) -> None:
    class Nosy:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        __hash__ = None  # type: ignore[assignment]

    for old, new in ((1, True), (Nosy(), Nosy())):
        variable.set(old)
        seen: list[object] = []

        def path(seen: list[object] = seen, new: object = new) -> None:
            seen.append(variable.get())
            variable.set(new)

        await fork("f", mode="all", **how(limit, [path] * 4))()
        assert all(value is old for value in seen)


@pytest.mark.parametrize("limit", ["int", "limiter"])
async def test_new_variable_is_not_left_behind(limit: str) -> None:
    fresh: ContextVar[int] = ContextVar("fresh")
    seen: list[object] = []

    def path() -> None:
        seen.append(fresh.get(None))
        fresh.set(1)

    await fork("f", mode="all", **how(limit, [path] * 5))()
    assert seen == [None] * 5


@pytest.mark.parametrize("limit", ["none", "int"])
async def test_variable_that_a_sync_source_sets_reaches_no_path(limit: str) -> None:
    seen: list[object] = []
    inside: list[object] = []

    def path() -> None:
        seen.append(variable.get())

    def source() -> Any:
        for n in range(4):
            inside.append(variable.get())
            variable.set(n)
            yield path
        inside.append(variable.get())

    variable.set("caller")
    await gather(source(), concurrency=2 if limit == "int" else None)
    assert seen == ["caller"] * 4
    assert inside == ["caller", 0, 1, 2, 3]
    assert variable.get() == "caller"


async def test_clean_worker_runs_path_after_path_in_one_task() -> None:
    tasks: list[Any] = []

    def path() -> None:
        tasks.append(trio.lowlevel.current_task())

    await gather(*[path] * 5, concurrency=1)
    assert len(set(tasks)) == 1


async def test_task_of_a_path_that_leaves_a_nursery_open_and_raises_is_not_used_again() -> None:
    class Odd(BaseExceptionGroup[BaseException]):
        pass

    tasks: list[Any] = []

    def leaves(error: BaseException) -> Any:
        async def path() -> None:
            tasks.append(trio.lowlevel.current_task())
            await trio.open_nursery().__aenter__()
            raise error

        return path

    def path() -> None:
        tasks.append(trio.lowlevel.current_task())

    for error in (OSError("o"), Odd("only errors", [OSError("o")])):
        tasks.clear()
        bad, good = await settle(leaves(error), path, concurrency=1)
        assert (bad.status, good.status) == ("rejected", "fulfilled")
        assert tasks[0] is not tasks[1]


async def test_path_that_leaves_a_nursery_open_fails_and_its_task_is_not_used_again() -> None:
    tasks: list[Any] = []

    async def leaves() -> str:
        tasks.append(trio.lowlevel.current_task())
        await trio.open_nursery().__aenter__()
        return "value"

    def path() -> str:
        tasks.append(trio.lowlevel.current_task())
        return "fine"

    for limit in (None, 1, trio.CapacityLimiter(1)):
        tasks.clear()
        disposed: list[str] = []
        bad, good, also = await settle(leaves, path, path, concurrency=limit, dispose=disposed.append)
        assert isinstance(bad.error, RuntimeError)
        assert str(bad.error) == "path 'settle/leaves' returned with its own nursery still open"
        assert (good.value, also.value) == ("fine", "fine")
        assert tasks[0] not in tasks[1:]
        assert disposed == ["value"]
        if isinstance(limit, trio.CapacityLimiter):
            assert limit.borrowed_tokens == 0


async def test_token_of_a_path_that_leaves_a_nursery_open_is_free_for_the_next_path() -> None:
    """Paths that start one after another have a task each, under a token that the task before it took."""
    limiter = trio.CapacityLimiter(1)

    async def leaves() -> None:
        await trio.open_nursery().__aenter__()

    bad, good = await settle(leaves, lambda: limiter.borrowed_tokens, concurrency=limiter, stagger=0)
    assert (bad.status, good.value, limiter.borrowed_tokens) == ("rejected", 1, 0)
