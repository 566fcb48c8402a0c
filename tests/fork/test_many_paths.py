"""The cost of a fork of very many known paths depends only on how many of them start."""

from __future__ import annotations

import pickle
import tracemalloc
from functools import partial
from typing import Any

import pytest
import trio

from trio_steps import ForkPartialError, PathCancelledError, fork, gather, settle
from trio_steps._fork.paths import MANY
from trio_steps._values.codec import decode, encode

N = 20_000


async def work(number: int) -> int:
    await trio.lowlevel.checkpoint()
    if not number:
        raise OSError("first")
    await trio.sleep(1)
    return number


async def failed(paths: Any, **options: Any) -> ForkPartialError[Any]:
    with pytest.raises(ForkPartialError) as caught:
        await gather(paths, concurrency=10, **options)
    return caught.value


async def test_first_of_very_many_paths_fails_and_the_others_are_accounted_for() -> None:
    error = await failed([partial(work, number) for number in range(N)])
    assert str(error) == f"fork 'gather': 1 of {N} paths failed (1 sub-exception)"
    assert len(error.failed) == N
    first, second, third = error.failed[0], error.failed[1], error.failed[-1]
    assert (first.step_id, repr(first.error)) == ("work", "OSError('first')")
    assert (second.step_id, second.kind, getattr(second.error, "started", None)) == ("work#2", "cancelled", True)
    assert (third.step_id, third.kind) == (f"work#{N}", "cancelled")
    assert isinstance(third.error, PathCancelledError)
    assert not third.error.started
    assert third.error.step == f"gather/work#{N}"
    assert third.error.reason == "fork 'gather': path 'work' failed: OSError('first')"
    assert [result.step_id for result in error.failed[-2:]] == [f"work#{N - 1}", f"work#{N}"]
    assert [result.step_id for result in error.failed] == ["work", *(f"work#{number}" for number in range(2, N + 1))]
    with pytest.raises(IndexError):
        error.failed[N]
    assert repr(error.failed) == f"<{N} paths, of which {N - 10} were not started>"


async def test_paths_that_never_started_cost_no_object_each() -> None:
    paths = [partial(work, number) for number in range(N)]
    tracemalloc.start()
    error = await failed(paths)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(error.failed) == N
    assert peak < 24 * N  # two columns of pointers, and next to nothing besides
    assert held < peak


async def test_error_of_very_many_paths_survives_pickle() -> None:
    error = await failed([partial(work, number) for number in range(N)])
    copy = pickle.loads(pickle.dumps(error))
    assert len(copy.failed) == N
    assert copy.failed[-1].error.step == f"gather/work#{N}"


async def test_names_of_very_many_paths_are_numbered_by_function() -> None:
    async def other() -> str:
        return "other"

    async def same() -> str:
        return "same"

    paths = [same] * 3000 + [other, other] + [same] * 3000
    results = await settle(paths, concurrency=100)
    ids = [result.step_id for result in results]
    assert ids[:3] == ["same", "same#2", "same#3"]
    assert ids[2999:3004] == ["same#3000", "other", "other#2", "same#3001", "same#3002"]
    assert ids[-1] == "same#6000"
    assert len(set(ids)) == len(ids)


async def test_error_object_of_very_many_paths_is_written_to_a_checkpoint() -> None:
    count = MANY + 1  # with so many, results of paths that never started are made on demand
    many = fork("many", mode="all", paths=[partial(work, number) for number in range(count)], concurrency=10)
    [rejected] = await settle(many)
    read = decode(encode(rejected.error))
    assert isinstance(read, ForkPartialError)
    assert len(read.failed) == count


@pytest.mark.parametrize(("left", "at_once"), [(2, True), (MANY, True), (MANY + 1, False)])
async def test_results_of_paths_that_never_started_are_made_at_once_if_they_are_few(left: int, at_once: bool) -> None:
    with pytest.raises(ForkPartialError) as caught:
        await gather([partial(work, number) for number in range(left + 1)], concurrency=1)
    assert isinstance(caught.value.failed, tuple) is at_once
    assert len(caught.value.failed) == left + 1


class Spawned(trio.abc.Instrument):
    """Counts the tasks that are spawned."""

    count = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


async def test_paths_without_a_limit_have_a_task_each_and_no_more_than_two_batches_of_32_wait_to_begin() -> None:
    begun: list[int] = []
    spawned = Spawned()

    async def path() -> None:
        begun.append(spawned.count)
        await trio.lowlevel.checkpoint()

    trio.lowlevel.add_instrument(spawned)
    await gather(*[path] * 200)
    trio.lowlevel.remove_instrument(spawned)
    assert spawned.count == 200
    assert begun[0] in (32, 64)  # Trio chooses which runs first: the caller, or the tasks that it spawned
    assert max(count - number for number, count in enumerate(begun)) <= 64


@pytest.mark.parametrize(("count", "tasks"), [(1, 1), (3, 3), (4, 4), (6, 6), (7, 3), (300, 3)])
async def test_paths_under_a_limit_have_a_task_each_if_there_are_at_most_two_for_each_slot(
    count: int, tasks: int
) -> None:
    """Otherwise the members of a crew share them."""
    spawned = Spawned()

    async def path() -> None:
        await trio.sleep(1)

    trio.lowlevel.add_instrument(spawned)
    await gather(*[path] * count, concurrency=3)
    trio.lowlevel.remove_instrument(spawned)
    assert spawned.count == tasks


@pytest.mark.parametrize("count", [3, 300])
async def test_paths_behind_a_limiter_need_a_task_for_each_token_and_one_that_waits_for_the_next(count: int) -> None:
    spawned = Spawned()

    async def path() -> None:
        await trio.sleep(1)

    trio.lowlevel.add_instrument(spawned)
    await gather(*[path] * count, concurrency=trio.CapacityLimiter(2))
    trio.lowlevel.remove_instrument(spawned)
    assert spawned.count == 3
