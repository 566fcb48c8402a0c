"""A stream takes the options of a fork, and its paths start in the block and nowhere else."""

from __future__ import annotations

import traceback
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from paths import cleans_up, raises, returns

from trio_steps import ForkPartialError, NotAcceptedError, RateLimit, current_scope, fork, step, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def numbered(starts: list[float], amount: int) -> list[Any]:
    """Return paths that note when they start."""

    async def path(number: int) -> int:
        starts.append(trio.current_time())
        return number

    return [step(partial(path, number), id=str(number)) for number in range(amount)]


async def test_paths_start_when_the_block_is_entered() -> None:
    starts: list[float] = []
    made = stream(numbered(starts, 2))
    await trio.sleep(5)
    async with made:
        await trio.sleep(1)
        assert starts == [5, 5]


@pytest.mark.parametrize("options", [{"stagger": 2}, {"rate": RateLimit(1, per=2.0)}], ids=["stagger", "rate"])
@pytest.mark.parametrize("growing", [False, True])
async def test_stagger_and_rate_hold_in_a_stream(options: dict[str, Any], growing: bool) -> None:
    starts: list[float] = []
    async with stream(numbered(starts, 3), growing=growing, **options) as results:
        assert [(trio.current_time(), result.value) async for result in results] == [(0, 0), (2, 1), (4, 2)]
    assert starts == [0, 2, 4]


async def test_stagger_of_a_stream_goes_on_at_once_after_a_failure() -> None:
    async with stream(raises(1, OSError()), returns(1, "b"), stagger=60) as results:
        assert [(trio.current_time(), result.kind) async for result in results] == [(1, "step_failed"), (2, None)]


async def test_refused_value_breaks_a_stream_of_values_and_is_in_its_error() -> None:
    disposed: list[Any] = []
    paths = [returns(1, "a"), returns(2, "bad"), returns(3, "c")]
    async with stream(*paths, mode="all", accept=lambda value: value != "bad", dispose=disposed.append) as values:
        assert await anext(values) == "a"
        with pytest.raises(ForkPartialError) as caught:
            await anext(values)
    [error] = caught.value.exceptions
    assert isinstance(error, NotAcceptedError)
    assert (error.value, disposed) == ("bad", [])


async def test_ordered_stream_of_a_mapping_has_its_keys_in_their_order() -> None:
    async with stream({"b": returns(2, 1), "a": returns(1, 2)}, ordered=True) as results:
        assert [(result.step_id, result.value) async for result in results] == [("b", 1), ("a", 2)]


async def test_async_source_of_a_stream_has_a_task_of_its_own() -> None:
    tasks: set[trio.lowlevel.Task] = set()

    async def paths() -> AsyncIterator[Callable[[], Any]]:
        tasks.add(trio.lowlevel.current_task())
        try:
            for number in range(3):
                yield returns(1, number)
                tasks.add(trio.lowlevel.current_task())
        finally:
            tasks.add(trio.lowlevel.current_task())

    async def path_task() -> trio.lowlevel.Task:
        return trio.lowlevel.current_task()

    async with stream(paths(), concurrency=1) as results:
        assert [result.value async for result in results] == [0, 1, 2]
    async with stream(path_task) as values:
        [other] = [result.value async for result in values]
    [own] = tasks
    assert own is not trio.lowlevel.current_task()
    assert own is not other


async def test_traceback_of_a_stream_has_one_frame_of_ours() -> None:
    async with stream(raises(1, OSError()), mode="all") as values:
        with pytest.raises(ForkPartialError) as caught:
            await anext(values)
    assert [frame.name for frame in traceback.extract_tb(caught.tb)][1:] == ["take"]
    [error] = caught.value.exceptions
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == ["path"]
    with pytest.raises(KeyboardInterrupt) as interrupted:
        async with stream(raises(1, KeyboardInterrupt())) as results:
            await anext(results)
    assert [frame.name for frame in traceback.extract_tb(interrupted.tb)][1:] == ["__aexit__", "path"]


async def test_growing_stream_takes_no_path_after_its_timeout() -> None:
    told: list[str] = []

    async def adds_late() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with pytest.raises(RuntimeError, match="fork 'stream' is decided") as caught:
                current_scope().add(returns(0, "late"))
            told.append(str(caught.value))

    async with stream(adds_late, returns(1, "a"), growing=True, timeout=3) as results:
        assert [(trio.current_time(), result.kind) async for result in results] == [(1, None), (3, "timed_out")]
    assert len(told) == 1


async def test_growing_stream_starts_no_added_path_while_its_buffer_is_full() -> None:
    starts: list[float] = []

    async def path(more: int) -> int:
        starts.append(trio.current_time())
        if more:
            current_scope().add(partial(path, more - 1))
        return more

    async with stream(partial(path, 3), growing=True, concurrency=1) as results:
        taken: list[Any] = []
        while len(taken) < 4:
            await trio.sleep(1)
            taken.append((await anext(results)).value)
    assert taken == [3, 2, 1, 0]
    assert starts == [0, 1, 2, 3]


async def test_stream_of_a_reusable_fork_can_be_made_again_after_a_break() -> None:
    log: list[Any] = []
    f = fork("f", mode="settle", paths=[returns(1, "a"), cleans_up(log)], concurrency=2)
    for _ in range(2):
        async with f.stream() as results:
            assert (await anext(results)).value == "a"
    assert log == [("slow", 1), ("slow", 2)]


async def test_stream_under_a_limiter_without_tokens_starts_when_it_has_some() -> None:
    limiter, starts = trio.CapacityLimiter(1), list[float]()
    with suppress(ValueError):  # an older Trio always leaves one token, so someone else has that one
        limiter.total_tokens = 0
    borrower = object()
    if limiter.total_tokens:
        limiter.acquire_on_behalf_of_nowait(borrower)

    async def allow() -> None:
        await trio.sleep(2)
        if limiter.total_tokens:
            limiter.release_on_behalf_of(borrower)
        limiter.total_tokens = 1

    async with trio.open_nursery() as nursery, stream(numbered(starts, 3), concurrency=limiter) as results:
        nursery.start_soon(allow)
        assert [result.value async for result in results] == [0, 1, 2]
    assert starts == [2, 2, 2]
