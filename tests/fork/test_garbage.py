"""Nothing that has ended waits for the garbage collector: neither a result nor an error is part of a cycle.

Trio takes the same care. A cycle keeps everything in the frames of a traceback alive until the collector runs. In a
program with many errors and a large heap, that comes late and takes long.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from paths import returns

from trio_steps import Pipeline, Retry, fork, gather, race, settle, step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

value = returns(1, "value")
slow = returns(9, "slow")


async def error() -> None:
    await trio.sleep(1)
    raise OSError("down")


async def fails_when_cancelled() -> None:
    try:
        await trio.sleep(9)
    finally:
        raise KeyError("cleanup")


async def interrupts() -> None:
    await trio.lowlevel.checkpoint()
    raise KeyboardInterrupt


async def exits_in_a_nursery() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(error)
        nursery.start_soon(interrupts)


class BrokenMode:
    def succeeded(self, _index: int, _value: object, /) -> bool:
        raise LookupError("bug in the mode")

    def failed(self, _index: int, _error: Exception, /) -> bool:
        return False

    def exhausted(self, _total: int, /) -> bool:
        return False

    def result(self) -> None:
        """There is none."""


def broken_mode() -> BrokenMode:
    return BrokenMode()


def broken_source() -> Iterator[Callable[[], Any]]:
    yield value
    raise OSError("half-way")


async def refused() -> None:
    return await gather(error, partial(value, "an argument too many"))


async def cancelled(body: Callable[[], Awaitable[object]]) -> None:
    with trio.move_on_after(0.5):
        await body()


def with_a_key() -> dict[str, int]:
    return {"a": 1}


def needs_it(a: int) -> None:
    raise LookupError(a)


STORIES: dict[str, Callable[[], Awaitable[object]]] = {
    "gather": lambda: gather(value, value),
    "gather fails": lambda: gather(value, error, slow),
    "gather fails, limited": lambda: gather(value, error, slow, value, concurrency=2),
    "gather fails, limiter": lambda: gather(value, error, slow, value, concurrency=trio.CapacityLimiter(2)),
    "gather, lazy": lambda: gather((value for _ in range(9)), concurrency=2),
    "gather fails, lazy": lambda: gather((path for path in (value, error, slow)), concurrency=2),
    "gather, cleanup fails": lambda: gather(error, fails_when_cancelled),
    "gather, cancelled": lambda: cancelled(lambda: gather(value, slow)),
    "gather, cancelled, limited": lambda: cancelled(lambda: gather(value, slow, value, concurrency=2)),
    "gather, refused": refused,
    "settle": lambda: settle(value, error),
    "settle, limited": lambda: settle(value, error, value, concurrency=2),
    "settle, late": lambda: fork("f", mode="settle", paths=[value, slow], timeout=2)(),
    "race": lambda: race(value, slow, slow),
    "race, limited": lambda: race(slow, value, slow, concurrency=2),
    "race, staggered": lambda: race(slow, value, stagger=1),
    "race, cleanup fails": lambda: race(value, fails_when_cancelled),
    "race, lost": lambda: race(error, error),
    "quorum": lambda: fork("f", mode="quorum", need=1, paths=[error, value, slow])(),
    "fork, too late": lambda: fork("f", mode="all", paths=[value, slow], timeout=2)(),
    "fork in a fork": lambda: gather(value, fork("f", mode="all", paths=[error, slow])),
    "merge fails": lambda: fork("f", mode="all", paths=[value], merge=needs_it)(),
    "interrupted": lambda: gather(interrupts, slow),
    "interrupted, limited": lambda: gather(slow, interrupts, slow, concurrency=2),
    "mode fails": lambda: fork("f", mode=broken_mode, paths=[value, slow])(),
    "mode and source fail": lambda: fork("f", mode=broken_mode, paths=broken_source)(),
    "errors and an interrupt": lambda: gather(slow, exits_in_a_nursery),
    "observed": lambda: gather(value, value, observers=[id]),
    "observed, and fails": lambda: gather(value, error, observers=[id]),
    "observed, guarded": lambda: step(fork("f", mode="all", paths=[value]), timeout=9).run(observers=[id]),
    "step fails": lambda: step(error)(),
    "step, retried": lambda: step(error, retry=Retry(attempts=2, delay=1))(),
    "step, too late": lambda: step(slow, timeout=1)(),
    "pipeline": Pipeline("p").step("one", with_a_key),
    "pipeline fails": Pipeline("p").step("one", with_a_key).step("two", needs_it),
    "pipeline, parallel step fails": Pipeline("p").step("both", error, slow),
    "pipeline, late": Pipeline("p").step("slow", step(slow, timeout=1)),
}


@pytest.fixture
def saved() -> Iterator[list[object]]:
    """Turn the collector off, and let it keep what it finds when it is called.

    It is not shown what the other tests have left: to walk through all of that takes far longer than a story.
    """
    gc.disable()
    gc.freeze()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.unfreeze()
    gc.enable()


async def end_of(story: Callable[[], Awaitable[object]]) -> None:
    with suppress(Exception, KeyboardInterrupt):
        await story()


@pytest.mark.parametrize("name", STORIES)
async def test_nothing_is_left_for_the_garbage_collector(name: str, saved: list[Any]) -> None:
    await end_of(STORIES[name])  # so that objects made only once exist
    gc.collect()
    saved.clear()
    await end_of(STORIES[name])
    gc.collect()
    assert sorted({type(thing).__qualname__ for thing in saved}) == []
