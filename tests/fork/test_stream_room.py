"""How many results of a `stream` may wait for its reader, and when the reader lets others run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from paths import raises, returns

from trio_steps import ForkPartialError, Fulfilled, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


async def test_no_path_starts_while_as_many_results_wait_as_the_limit() -> None:
    started: list[int] = []

    def paths() -> Iterator[Callable[[], Any]]:
        for number in range(100):
            started.append(number)
            yield returns(1, number)

    async with stream(paths(), concurrency=3) as results:
        await trio.sleep(50)
        # three ended in one tick; when the third did, two others had been started
        assert len(started) == 5
        await anext(results)
        await anext(results)
        await trio.sleep(50)
        # three of five still wait
        assert len(started) == 5
        await anext(results)
        await trio.sleep(50)
        assert len(started) == 8
        assert len([result async for result in results]) == 97


@pytest.mark.parametrize("kind", ["crew", "tokens", "async", "stagger", "unlimited"])
async def test_at_most_buffer_and_limit_less_one_wait(kind: str) -> None:
    waiting = most = 0

    async def path() -> None:
        nonlocal waiting, most
        await trio.sleep(1)
        waiting += 1
        most = max(most, waiting)

    async def slowly() -> AsyncIterator[Callable[[], Any]]:
        for _ in range(60):
            yield path

    options: dict[str, Any] = {
        "crew": {"concurrency": 4},
        "tokens": {"concurrency": trio.CapacityLimiter(4)},
        "async": {"concurrency": 4},
        "stagger": {"concurrency": 4, "stagger": 0},
        "unlimited": {},
    }[kind]
    paths: Any = slowly() if kind == "async" else (path for _ in range(60))
    async with stream(paths, buffer=5, **options) as results:
        async for _ in results:
            waiting -= 1
            await trio.sleep(0.5)
    assert most <= (5 + 4 - 1 if options else 60)
    assert waiting == 0


@pytest.mark.parametrize("lazy", [False, True])
async def test_unlimited_paths_that_end_at_once_wait_for_room(lazy: bool) -> None:
    started: list[int] = []

    async def path(number: int) -> None:
        started.append(number)

    paths = [partial(path, number) for number in range(100)]
    async with stream(iter(paths) if lazy else paths, buffer=5) as results:
        await trio.sleep(1)
        # The first stretch starts before any of them can end, and the next one may.
        first = len(started)
        assert first in (32, 64)
        for _ in range(first - 4):
            await anext(results)
        await trio.sleep(1)
        assert len(started) in (first + 32, min(first + 64, 100))  # as soon as fewer than five wait
        assert len([result async for result in results]) == 100 - (first - 4)


async def test_unlimited_paths_without_a_buffer_wait_for_no_reader() -> None:
    started: list[int] = []

    async def path(number: int) -> None:
        started.append(number)

    async with stream([partial(path, number) for number in range(100)]) as results:
        await trio.sleep(1)
        assert len(started) == 100
        assert len([result async for result in results]) == 100


async def test_reader_lets_others_run_at_every_thirty_second_result() -> None:
    class Turns(trio.abc.Instrument):
        own = 0

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self.own += task is reader

    reader, turns = trio.lowlevel.current_task(), Turns()
    delays = [0] * 100 + [2] * 100
    async with stream(returns(delay, "value") for delay in delays) as results:
        await trio.sleep(1)
        trio.lowlevel.add_instrument(turns)
        seen: list[int] = []
        for _ in range(180):
            await anext(results)
            seen.append(turns.own)
    trio.lowlevel.remove_instrument(turns)
    # The reader waits for the hundred-and-first.
    assert seen == [0] * 31 + [1] * 32 + [2] * 32 + [3] * 5 + [4] * 32 + [5] * 32 + [6] * 16


async def test_last_failure_ends_a_stream_although_a_member_waits_for_room() -> None:
    paths = [raises(4, OSError()), returns(1, "a"), returns(1, "b")]
    async with stream(*paths, mode="all", concurrency=2, buffer=1) as values:
        await trio.sleep(1.5)
        assert await anext(values) == "a"
        await trio.sleep(3)
        assert trio.current_time() == 4.5
        with pytest.raises(ForkPartialError) as caught:
            await anext(values)
        assert trio.current_time() == 4.5
    assert caught.value.succeeded == (Fulfilled("b", "b"),)


async def test_path_that_waits_for_room_holds_no_token() -> None:
    limiter = trio.CapacityLimiter(2)
    async with stream((returns(1, n) for n in range(10)), concurrency=limiter) as results:
        await trio.sleep(5)
        assert limiter.borrowed_tokens == 0
        assert len([result async for result in results]) == 10


async def test_buffer_of_ordered_results_counts_those_that_are_held_back() -> None:
    started: list[int] = []

    def paths() -> Iterator[Callable[[], Any]]:
        for number in range(10):
            started.append(number)
            yield returns(100 if number == 0 else 1, number)

    async with stream(paths(), concurrency=3, buffer=4, ordered=True) as results:
        assert (await anext(results)).value == 0
        assert trio.current_time() == 100
        # 1 to 4 ended and waited; the fifth was started when three of them did
        assert len(started) == 6
        assert [result.value async for result in results] == list(range(1, 10))


@pytest.mark.parametrize("ordered", [False, True])
async def test_million_lazy_paths_need_the_memory_of_a_few(ordered: bool) -> None:
    async def path() -> bytes:
        return bytes(10_000)

    most = 0
    async with stream((path for _ in range(3000)), concurrency=10, ordered=ordered) as results:
        async for _ in results:
            delivery, ledger = results._delivery, results._delivery.ledger
            kept = (ledger.untaken, ledger._taken, ledger.values, delivery._arrived, delivery._ready or ())
            most = max(most, sum(map(len, kept)))
    assert most <= 40


async def test_buffer_of_hundreds_is_refilled_by_each_result_that_is_taken() -> None:
    """Their numbers are no longer one object each."""
    started: list[int] = []

    async def path(number: int) -> None:
        started.append(number)

    async with stream((partial(path, number) for number in range(400)), concurrency=1, buffer=300) as results:
        for taken in range(100):
            await trio.sleep(1)
            assert len(started) == 300 + taken
            await anext(results)
        assert len([result async for result in results]) == 300
