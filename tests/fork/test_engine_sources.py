"""Where the engine takes paths from: sources of every kind, pulled one at a time, and closed."""

from __future__ import annotations

import gc
import tracemalloc
from functools import partial
from itertools import repeat
from typing import Any

import pytest
import trio
import trio.testing
from paths import cleans_up, never, raises, returns, shielded

from trio_steps import (
    ConfigError,
    ForkPartialError,
    fork,
    gather,
    race,
    settle,
    step,
)

# sources


async def test_sync_source_is_pulled_only_when_a_slot_is_free() -> None:
    pulled: list[tuple[int, float]] = []

    def source() -> Any:
        for n in range(5):
            pulled.append((n, trio.current_time()))
            yield returns(1, n)

    await gather(source(), concurrency=2)
    assert pulled == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)]


async def test_async_source_is_pulled_only_when_a_slot_is_free() -> None:
    pulled: list[tuple[int, float]] = []

    async def source() -> Any:
        for n in range(5):
            pulled.append((n, trio.current_time()))
            await trio.sleep(0.25)
            yield returns(1, n)

    await gather(source(), concurrency=2)
    assert pulled == [(0, 0), (1, 0.25), (2, 1.25), (3, 1.5), (4, 2.5)]


async def test_source_is_pulled_only_when_a_token_is_free() -> None:
    limiter = trio.CapacityLimiter(1)
    pulled: list[float] = []

    def source() -> Any:
        pulled.append(trio.current_time())
        yield returns(1, "a")

    await limiter.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(gather, concurrency=limiter), source())
        await trio.sleep(3)
        limiter.release()
    assert pulled == [3]


async def test_endless_source_is_closed_when_the_fork_is_decided() -> None:
    closed: list[tuple[str, float]] = []

    def source() -> Any:
        try:
            yield raises(0.5, OSError())
            yield returns(1, "a")
            while True:
                yield shielded(4, "late")
        finally:
            closed.append(("sync", trio.current_time()))

    assert await race(source(), concurrency=2) == "a"
    assert closed == [("sync", 1)]
    assert trio.current_time() == 4.5


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("concurrency", [2, trio.CapacityLimiter(2)], ids=["int", "limiter"])
async def test_source_is_closed_when_the_fork_is_cancelled_from_outside(kind: str, concurrency: Any) -> None:
    closed = []

    def lazy() -> Any:
        try:
            yield from repeat(never)
        finally:
            closed.append(trio.current_time())

    async def arriving() -> Any:
        try:
            for path in repeat(never):
                yield path
        finally:
            closed.append(trio.current_time())

    source = {"sync": lazy, "async": arriving}[kind]()  # referenced here, so the collector does not close it
    with trio.move_on_after(1) as scope:
        await settle(source, concurrency=concurrency)
    assert scope.cancelled_caught
    assert closed == [1]


async def test_async_source_is_closed_by_the_task_that_called_the_fork() -> None:
    caller = trio.lowlevel.current_task()
    log: list[tuple[Any, float]] = []

    async def source() -> Any:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                with trio.CancelScope():
                    log.append((trio.lowlevel.current_task(), trio.current_time()))
                    yield returns(2, "a")
                    while True:
                        yield never
        finally:
            log.append((trio.lowlevel.current_task(), trio.current_time()))

    assert await race(source(), concurrency=3) == "a"
    assert log == [(caller, 0), (caller, 2)]


@pytest.mark.parametrize("error", [None, ValueError("in the source's nursery")])
@pytest.mark.parametrize("waits", [False, True])
async def test_async_source_with_a_nursery_is_closed_early(
    waits: bool, error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Its nursery puts the GeneratorExit into a group, together with the errors of its children."""
    log: list[Any] = []

    async def source() -> Any:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cleans_up(log, 1, error=error))
            yield returns(2, "a")
            if waits:
                await trio.sleep_forever()
            yield never

    assert await race(source(), concurrency=2) == "a"
    assert log == [("slow", 3)]
    assert [record.exc_info is not None for record in caplog.records] == ([True] if error else [])


async def test_async_source_with_an_empty_nursery_is_closed_early() -> None:
    async def source() -> Any:
        async with trio.open_nursery():
            yield returns(1, "a")
            yield never
            yield never

    assert await race(source(), concurrency=2) == "a"


async def test_async_source_that_waits_is_cancelled_when_the_fork_is_decided() -> None:
    async def source() -> Any:
        yield returns(1, "a")
        await trio.sleep_forever()

    assert await race(source()) == "a"
    assert trio.current_time() == 1


async def test_source_of_any_iterable_kind() -> None:
    class Again:
        def __iter__(self) -> Any:
            return iter([returns(0, "a")])

    class AgainAsync:
        def __aiter__(self) -> Any:
            return self.once()

        async def once(self) -> Any:
            yield returns(0, "a")

    class Bare:
        def __init__(self) -> None:
            self.left = 2

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            self.left -= 1
            if not self.left:
                raise StopAsyncIteration
            return returns(0, "a")

    for source in (Again(), AgainAsync()):
        reusable = fork("f", mode="all", paths=source, concurrency=1)
        assert await reusable() == ("a",)
        assert await reusable() == ("a",)
    assert await gather({returns(0, "a")}) == ("a",)
    assert await gather(Bare()) == ("a",)


@pytest.mark.parametrize("mode", ["race", "all", "settle"])
@pytest.mark.parametrize("kind", ["sync", "async", "unlimited", "function", "iter", "aiter", "item"])
async def test_exception_from_the_source_ends_the_fork_in_every_mode(mode: str, kind: str) -> None:
    log: list[Any] = []
    error = OSError("half-way")

    def source() -> Any:
        yield cleans_up(log)
        yield raises(2, ValueError(), id="other") if mode == "settle" else never
        raise error

    async def async_source() -> Any:
        for path in source():
            await trio.sleep(1)
            yield path

    class Broken:
        def __iter__(self) -> Any:
            raise error

    class BrokenAsync:
        def __aiter__(self) -> Any:
            raise error

    def function() -> Any:
        raise error

    def item() -> Any:
        yield cleans_up(log)
        yield "oops"

    paths: dict[str, Any] = {
        "sync": source,
        "unlimited": source,
        "async": async_source,
        "function": function,
        "iter": Broken,
        "aiter": BrokenAsync,
        "item": item,
    }
    limit = None if kind == "unlimited" else 3
    with pytest.raises(ForkPartialError) as caught:
        await fork("f", mode=mode, paths=paths[kind], concurrency=limit)()
    if kind == "item":
        (only,) = caught.value.exceptions
        assert isinstance(only, ConfigError)
    else:
        assert caught.value.exceptions[-1] is error
        assert error.__notes__ == ["in step 'f'"]
    if kind in ("sync", "async", "unlimited"):
        assert [rejected.kind for rejected in caught.value.failed] == ["cancelled", "cancelled"]
        reason = "fork 'f': its source of paths failed: OSError('half-way')"
        assert caught.value.failed[0].error.args[1] == reason
    assert len(log) <= 1


async def test_exception_while_a_source_is_closed_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    def source() -> Any:
        try:
            while True:
                yield returns(1, "a")
        finally:
            raise OSError("can't close")

    async def async_source() -> Any:
        try:
            while True:
                yield returns(1, "a")
        finally:
            raise OSError("can't close async")

    assert await race(source(), concurrency=1) == "a"
    assert await race(async_source(), concurrency=1) == "a"
    assert ["can't close" in record.getMessage() for record in caplog.records] == [True, True]


async def test_exception_while_a_source_is_closed_by_an_outer_cancellation_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def source() -> Any:
        try:
            yield never
            yield never
        finally:
            raise OSError("can't close")

    with trio.move_on_after(1) as scope:
        await gather(source(), concurrency=1)
    assert scope.cancelled_caught
    assert "can't close" in caplog.text


async def test_lazy_source_numbers_names_that_repeat_and_lists_what_was_pulled() -> None:
    async def fetch() -> None:
        await trio.sleep(1)

    async def other() -> None:
        await trio.sleep(0.5)
        raise OSError

    def source() -> Any:
        yield from (fetch, fetch, other, fetch)
        raise AssertionError("not pulled")

    results = await settle(iter([fetch, fetch, step(fetch, id="mine"), fetch]), concurrency=2)
    assert [result.step_id for result in results] == ["fetch", "fetch#2", "mine", "fetch#3"]
    with pytest.raises(ForkPartialError) as caught:
        await gather(source(), concurrency=2)
    assert [fulfilled.step_id for fulfilled in caught.value.succeeded] == ["fetch", "fetch#2"]
    assert [rejected.step_id for rejected in caught.value.failed] == ["other", "fetch#3"]


@pytest.mark.long
async def test_million_paths_need_memory_for_their_results_only() -> None:
    def path() -> None:
        return None

    def source(n: int) -> Any:
        for _ in range(n):
            yield path

    async def peak(n: int) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            count = await fork("f", mode="all", paths=lambda: source(n), concurrency=100, merge=len)()
            assert count == n
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = await peak(1_000), await peak(50_000)
    assert many - few < 50_000 * 10  # one pointer each, and some room to grow


async def test_queue_of_paths_behind_a_limiter_needs_no_task_each() -> None:
    limiter = trio.CapacityLimiter(2)
    most = 0

    def path() -> None:
        nonlocal most
        most = max(most, trio.lowlevel.current_statistics().tasks_living)

    before = trio.lowlevel.current_statistics().tasks_living
    await gather(*[path] * 500, concurrency=limiter)
    assert most - before <= 3
