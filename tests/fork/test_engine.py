"""How the engine runs paths: limits, sources, contexts, tokens, names."""

from __future__ import annotations

import gc
import math
import traceback
import tracemalloc
from contextvars import ContextVar
from functools import partial
from itertools import pairwise, repeat
from typing import Any

import pytest
import trio
import trio.testing
from paths import cleans_up, never, raises, returns, shielded

from trio_steps import (
    ConfigError,
    ErrorDiscarded,
    Event,
    ForkPartialError,
    PathsCounted,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    ValueDiscarded,
    current_scope,
    fork,
    gather,
    race,
    settle,
    step,
)

variable: ContextVar[object] = ContextVar("variable", default="unset")

LIMITS = ["none", "int", "limiter", "stagger", "async"]


def how(limit: str, paths: list[Any]) -> dict[str, Any]:
    """The five ways in which the engine can come to its paths, as arguments of a fork."""
    if limit == "int":
        return {"paths": paths, "concurrency": 2}
    if limit == "limiter":
        return {"paths": paths, "concurrency": trio.CapacityLimiter(2)}
    if limit == "stagger":
        return {"paths": paths, "stagger": 0, "concurrency": 2}
    if limit == "async":

        async def source(*_: object) -> Any:
            for path in paths:
                yield path

        return {"paths": source, "concurrency": 2}
    return {"paths": paths}


class Gauge:
    """Counts how many paths run at once."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.starts: list[tuple[str, float]] = []

    def path(self, seconds: float, name: str = "path") -> Any:
        async def run() -> str:
            self.starts.append((name, trio.current_time()))
            self.running += 1
            self.most = max(self.most, self.running)
            await trio.sleep(seconds)
            self.running -= 1
            return name

        return step(run, id=name)


# limits


@pytest.mark.parametrize("limit", LIMITS)
async def test_paths_start_in_path_order(limit: str) -> None:
    gauge = Gauge()
    paths = [gauge.path(1, f"p{n}") for n in range(20)]
    await fork("f", mode="all", **how(limit, paths))()
    assert [name for name, _ in gauge.starts] == [f"p{n}" for n in range(20)]


@pytest.mark.parametrize("limit", ["int", "limiter", "stagger", "async"])
async def test_limit_is_reached_and_not_exceeded(limit: str) -> None:
    gauge = Gauge()
    await fork("f", mode="all", **how(limit, [gauge.path(1, f"p{n}") for n in range(5)]))()
    assert gauge.most == 2
    assert [time for _, time in gauge.starts] == [0, 0, 1, 1, 2]


async def test_freed_slot_starts_the_next_path_at_once() -> None:
    gauge = Gauge()
    await gather(*[gauge.path(seconds, f"p{seconds}") for seconds in (5, 1, 2, 3)], concurrency=2)
    assert gauge.starts == [("p5", 0), ("p1", 0), ("p2", 1), ("p3", 3)]


async def test_limit_of_a_lazy_source_is_reached() -> None:
    gauge = Gauge()
    await gather((gauge.path(1) for _ in range(12)), concurrency=5)
    assert gauge.most == 5
    assert trio.current_time() == 3


async def test_limit_larger_than_the_number_of_paths() -> None:
    assert await gather(returns(1, "a"), returns(1, "b"), concurrency=1000) == ("a", "b")
    assert trio.current_time() == 1


async def test_unlimited_paths_all_start_at_once() -> None:
    gauge = Gauge()
    await gather(*[gauge.path(1, f"p{n}") for n in range(100)])
    assert gauge.most == 100
    assert trio.current_time() == 1


@pytest.mark.parametrize("known", [True, False], ids=["known", "lazy"])
@pytest.mark.parametrize("limit", [None, 3])
async def test_paths_that_never_block_do_not_starve_the_loop(limit: int | None, known: bool) -> None:
    """Between any two wake-ups of a bystander, only a few dozen paths run."""
    done = 0
    seen: list[int] = []

    def path() -> None:
        nonlocal done
        done += 1

    async with trio.open_nursery() as nursery:

        async def bystander() -> None:
            while True:
                seen.append(done)
                await trio.lowlevel.checkpoint()

        nursery.start_soon(bystander)
        await gather([path] * 1000 if known else repeat(path, 1000), concurrency=limit)
        nursery.cancel_scope.cancel()
    assert max(after - before for before, after in pairwise(seen)) <= 4 * 32


async def test_deadline_stops_paths_that_never_block() -> None:
    """A million paths that never await, and a clock that only they advance."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    done = 0

    def path() -> None:
        nonlocal done
        done += 1
        clock.jump(0.01)

    def source() -> Any:
        while True:
            yield path

    with pytest.raises(ForkPartialError):
        await fork("f", mode="all", paths=source, concurrency=4, timeout=1)()
    assert 100 <= done <= 100 + 4 * 32


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
    """Its nursery wraps what closes it in a group, together with whatever its children raise then."""
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
    assert many - few < 50_000 * 10  # a pointer each, and some room to grow


async def test_queue_of_paths_behind_a_limiter_needs_no_task_each() -> None:
    limiter = trio.CapacityLimiter(2)
    most = 0

    def path() -> None:
        nonlocal most
        most = max(most, trio.lowlevel.current_statistics().tasks_living)

    before = trio.lowlevel.current_statistics().tasks_living
    await gather(*[path] * 500, concurrency=limiter)
    assert most - before <= 3


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
        assert str(bad.error) == "path 'settle/leaves' returned with a nursery of its own still open"
        assert (good.value, also.value) == ("fine", "fine")
        assert tasks[0] not in tasks[1:]
        assert disposed == ["value"]
        if isinstance(limit, trio.CapacityLimiter):
            assert limit.borrowed_tokens == 0


async def test_path_that_leaves_a_cancel_scope_open_is_reported_and_its_task_is_not_used_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks: list[Any] = []
    events: list[Event] = []

    def leaves() -> None:
        tasks.append(trio.lowlevel.current_task())
        trio.CancelScope().__enter__()

    def path() -> None:
        tasks.append(trio.lowlevel.current_task())

    await fork("f", mode="all", paths=[leaves, path, path], concurrency=1).run(observers=[events.append])
    assert tasks[0] not in tasks[1:]
    (report,) = [event for event in events if isinstance(event, ErrorDiscarded)]
    assert str(report.error) == "path 'leaves' of fork 'f' returned with a cancel scope of its own still open"
    assert "cancel scope of its own still open" in caplog.text


async def test_report_of_an_open_cancel_scope_names_no_more_than_it_has_to() -> None:
    """A worker looks after 1, then 16, then 128 paths; the report says between which of them it was."""
    events: list[Event] = []

    def path() -> None:
        pass

    def leaves() -> None:
        trio.CancelScope().__enter__()

    paths = [path] * 10 + [leaves] + [path] * 40 + [leaves] + [path] * 28
    await fork("f", mode="all", paths=paths, concurrency=1).run(observers=[events.append])
    first, second = (str(event.error) for event in events if isinstance(event, ErrorDiscarded))
    names = ["path#2", *(f"path#{number}" for number in range(3, 11)), "leaves"]
    names += [f"path#{number}" for number in range(11, 17)]
    assert first.startswith(f"path {' or '.join(map(repr, names))} of fork 'f' returned")
    # whoever takes over begins with one path, and then 16, again
    assert second.startswith("path 'path#34' or … or 'path#78' (46 paths) of fork 'f' returned")


async def test_cancel_scope_that_is_left_open_and_fires_is_not_silent() -> None:
    def leaves() -> None:
        trio.CancelScope(deadline=1).__enter__()

    with pytest.raises(RuntimeError, match="Cancel scope stack corrupted"):
        await gather(lambda: None, leaves, never, concurrency=1)


# tokens


async def test_limiter_is_shared_with_whatever_else_uses_it() -> None:
    limiter = trio.CapacityLimiter(2)
    gauge = Gauge()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            paths = [gauge.path(1, f"p{n}") for n in range(4)]
            nursery.start_soon(partial(fork("f", mode="all", paths=paths, concurrency=limiter).run))
    assert gauge.most == 2
    assert trio.current_time() == 4


async def test_limiter_is_fair_to_others_that_wait() -> None:
    limiter = trio.CapacityLimiter(1)
    gauge = Gauge()
    got: list[float] = []

    async def other() -> None:
        await trio.sleep(0.5)
        async with limiter:
            got.append(trio.current_time())
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await gather(*[gauge.path(1, f"p{n}") for n in range(3)], concurrency=limiter)
    assert got == [1] or got == [2]
    assert trio.current_time() == 4


async def test_token_that_others_give_back_starts_the_next_path_at_once() -> None:
    limiter = trio.CapacityLimiter(2)
    gauge = Gauge()

    async def other() -> None:
        async with limiter:
            await trio.sleep(1.5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await trio.testing.wait_all_tasks_blocked()
        await gather(*[gauge.path(9, f"p{n}") for n in range(2)], concurrency=limiter)
    assert [time for _, time in gauge.starts] == [0, 1.5]


async def test_limiter_may_grow_shrink_and_pause_while_the_fork_runs() -> None:
    limiter = trio.CapacityLimiter(0)
    gauge = Gauge()

    async def change() -> None:
        await trio.sleep(1)
        limiter.total_tokens = 1
        await trio.sleep(0.5)
        limiter.total_tokens = 3
        await trio.sleep(0.75)
        limiter.total_tokens = 0
        await trio.sleep(4)
        limiter.total_tokens = math.inf

    async with trio.open_nursery() as nursery:
        nursery.start_soon(change)
        await gather(*[gauge.path(1, f"p{n}") for n in range(8)], concurrency=limiter)
    assert [time for _, time in gauge.starts] == [1, 1.5, 1.5, 2, 6.25, 6.25, 6.25, 6.25]
    assert limiter.borrowed_tokens == 0


async def test_infinite_limiter_limits_nothing() -> None:
    gauge = Gauge()
    await gather(*[gauge.path(1, f"p{n}") for n in range(50)], concurrency=trio.CapacityLimiter(math.inf))
    assert gauge.most == 50
    await gather((gauge.path(1, f"p{n}") for n in range(50)), concurrency=trio.CapacityLimiter(math.inf))
    assert trio.current_time() == 2


async def test_fork_ends_while_the_limiter_is_held_by_others() -> None:
    """A worker that waits for a token in vain does not keep a fork from ending whose paths are done."""
    limiter = trio.CapacityLimiter(2)
    await limiter.acquire()
    assert await gather((returns(1, n) for n in range(3)), concurrency=limiter) == (0, 1, 2)
    assert trio.current_time() == 3


@pytest.mark.parametrize("tokens", [1, 2])
async def test_nested_forks_under_one_full_limiter_run_on_the_tokens_they_have(tokens: int) -> None:
    limiter = trio.CapacityLimiter(tokens)
    gauge = Gauge()

    def inner(n: int) -> Any:
        paths = [gauge.path(1, f"{n}-{m}") for m in range(3)]
        return fork(f"inner-{n}", mode="all", paths=paths, concurrency=limiter)

    outer = fork("outer", mode="all", paths=[inner(0), inner(1)], concurrency=limiter)
    assert await outer() == (("0-0", "0-1", "0-2"), ("1-0", "1-1", "1-2"))
    assert gauge.most == tokens
    assert trio.current_time() == 6 / tokens
    assert limiter.borrowed_tokens == 0


async def test_nesting_three_deep_under_one_token() -> None:
    limiter = trio.CapacityLimiter(1)
    innermost = fork("c", mode="all", paths=[returns(1, 1), returns(1, 2)], concurrency=limiter)
    inner = fork("b", mode="all", paths=[innermost, returns(1, 3)], concurrency=limiter)
    outer = fork("a", mode="all", paths=[inner, returns(1, 4)], concurrency=limiter)
    assert await outer() == (((1, 2), 3), 4)
    assert trio.current_time() == 4


async def test_inner_fork_takes_free_tokens_beside_the_one_it_is_lent() -> None:
    limiter = trio.CapacityLimiter(3)
    gauge = Gauge()
    for lazy in (False, True):
        start = trio.current_time()
        paths = [gauge.path(1, f"p{n}") for n in range(6)]
        inner = fork(
            "inner", mode="all", paths=(lambda paths=paths: iter(paths)) if lazy else paths, concurrency=limiter
        )
        await fork("outer", mode="all", paths=[inner], concurrency=limiter)()
        assert gauge.most == 3
        assert trio.current_time() - start == 2


async def test_two_forks_inside_one_path_share_its_lane() -> None:
    """They can't both run on the one token, and neither may wait for the other for ever."""
    limiter = trio.CapacityLimiter(1)
    gauge = Gauge()

    async def path() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(partial(_gather_gauged, gauge, limiter))

    await gather(path, concurrency=limiter)
    assert gauge.most == 1
    assert trio.current_time() == 4


async def _gather_gauged(gauge: Gauge, limiter: trio.CapacityLimiter) -> None:
    await gather(gauge.path(1, "a"), gauge.path(1, "b"), concurrency=limiter)


@pytest.mark.parametrize("kind", ["stagger", "async"])
async def test_fed_fork_nested_under_a_full_limiter_runs_on_the_token_it_has(kind: str) -> None:
    limiter = trio.CapacityLimiter(1)
    options = {**how(kind, [returns(1, "a"), returns(1, "b")]), "concurrency": limiter}
    inner = fork("inner", mode="all", **options)
    assert await fork("outer", mode="all", paths=[inner], concurrency=limiter)() == (("a", "b"),)
    assert trio.current_time() == 2


async def test_background_fork_keeps_the_token_of_its_path_until_it_has_ended() -> None:
    limiter = trio.CapacityLimiter(1)
    gauge = Gauge()
    async with trio.open_nursery() as background:

        async def path() -> None:
            background.start_soon(partial(_gather_gauged, gauge, limiter))
            await trio.sleep(0.5)

        await gather(path, gauge.path(1, "next"), concurrency=limiter)
    assert gauge.most == 1
    assert gauge.starts == [("a", 0), ("next", 1), ("b", 2)]
    assert limiter.borrowed_tokens == 0


async def test_background_fork_that_waited_for_a_lane_takes_a_token_when_the_path_has_ended() -> None:
    limiter = trio.CapacityLimiter(1)
    gauge = Gauge()
    async with trio.open_nursery() as background:

        async def path() -> None:
            for name in ("a", "b"):
                background.start_soon(partial(gather, concurrency=limiter), gauge.path(2, name))
                await trio.sleep(0.5)

        await gather(path, concurrency=limiter)
    assert gauge.starts == [("a", 0), ("b", 2)]
    assert limiter.borrowed_tokens == 0


async def test_path_on_a_lane_leaves_no_variable_behind_either() -> None:
    limiter = trio.CapacityLimiter(1)
    seen: list[object] = []

    def path() -> None:
        seen.append(variable.get())
        variable.set(len(seen))

    inner = fork("inner", mode="all", paths=[path, path, path], concurrency=limiter)
    await fork("outer", mode="all", paths=[inner], concurrency=limiter)()
    assert seen == ["unset"] * 3
    assert limiter.borrowed_tokens == 0


async def test_background_fork_that_starts_after_its_path_has_ended_takes_tokens_of_its_own() -> None:
    limiter = trio.CapacityLimiter(1)
    gauge = Gauge()
    async with trio.open_nursery() as background:

        async def later() -> None:
            await trio.sleep(1)
            await _gather_gauged(gauge, limiter)

        async def path() -> None:
            background.start_soon(later)

        await gather(path, gauge.path(3, "next"), concurrency=limiter)
    assert gauge.starts == [("next", 0), ("a", 3), ("b", 4)]


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
        assert ours == ["gather", "_run", "result"]


# state


async def test_each_path_has_its_own_deep_copy_of_the_state() -> None:
    seen: list[Any] = []

    async def path(name: str) -> None:
        state = current_scope().state
        assert state is not None
        state["list"].append(name)  # type: ignore[attr-defined]
        await trio.sleep(1)
        seen.append(state["list"])

    state: dict[str, object] = {"list": []}
    await fork("f", mode="all", paths=[partial(path, "a"), partial(path, "b")]).run(state=state)
    assert sorted(seen) == [["a"], ["b"]]
    assert state == {"list": []}


async def test_race_leaves_the_winners_state_and_other_modes_change_nothing() -> None:
    async def path(name: str, seconds: float) -> str:
        state = current_scope().state
        assert state is not None
        await trio.sleep(seconds)
        state["who"] = name
        state.pop("old", None)
        return name

    paths = [partial(path, "slow", 2), partial(path, "quick", 1)]
    state: dict[str, object] = {"old": 1}
    assert await fork("f", mode="race", paths=paths).run(state=state) == "quick"
    assert state == {"who": "quick"}
    for mode in ("all", "settle"):
        state = {"old": 1}
        await fork("f", mode=mode, paths=paths).run(state=state)
        assert state == {"old": 1}
    state = {"old": 1}
    await fork("f", mode="quorum", need=1, paths=paths).run(state=state)
    assert state == {"old": 1}


async def test_nested_race_hands_the_state_up_level_by_level() -> None:
    def path() -> None:
        state = current_scope().state
        assert state is not None
        state["deep"] = True

    inner = fork("inner", mode="race", paths=[path])
    state: dict[str, object] = {}
    await fork("outer", mode="race", paths=[inner]).run(state=state)
    assert state == {"deep": True}
    state = {}
    await fork("outer", mode="all", paths=[inner]).run(state=state)
    assert state == {}


async def test_state_is_copied_when_the_path_starts() -> None:
    state: dict[str, object] = {"n": 0}
    seen: list[object] = []

    def path() -> None:
        here = current_scope().state
        assert here is not None
        seen.append(here["n"])
        state["n"] = 1

    await fork("f", mode="all", paths=[path, path], concurrency=1).run(state=state)
    assert seen == [0, 1]


async def test_nothing_is_copied_when_no_state_was_given() -> None:
    assert await gather(lambda: current_scope().state) == (None,)


async def test_state_that_cannot_be_copied_is_the_failure_of_the_path() -> None:
    class Stubborn:
        def __deepcopy__(self, memo: object) -> None:
            raise TypeError("not me")

    results = await fork("f", mode="settle", paths=[lambda: 1]).run(state={"x": Stubborn()})
    assert [str(result.error) for result in results] == ["not me"]


# observers


async def test_observers_hear_the_whole_story_with_exact_times() -> None:
    events: list[Event] = []
    error = OSError()
    story = fork("f", mode="all", paths=[returns(1, "a"), raises(2, error), never, returns(9, "queued")], concurrency=3)
    with pytest.raises(ForkPartialError) as caught:
        await fork("f", mode="all", paths=[story]).run(observers=[events.append])
    assert caught.value.exceptions[0].exceptions[0] is error  # type: ignore[attr-defined]
    story_events = [(type(event).__name__, event.name, event.time) for event in events]
    assert story_events == [
        ("StepStarted", "f", 0),
        ("PathsCounted", "f", 0),
        ("StepStarted", "f/f", 0),
        ("PathsCounted", "f/f", 0),
        ("StepStarted", "f/f/a", 0),
        ("StepStarted", "f/f/bad", 0),
        ("StepStarted", "f/f/never", 0),
        ("StepSucceeded", "f/f/a", 1),
        ("StepStarted", "f/f/queued", 1),
        ("StepFailed", "f/f/bad", 2),
        *sorted([("StepCancelled", "f/f/never", 2), ("StepCancelled", "f/f/queued", 2)], key=_order(events)),
        ("StepFailed", "f/f", 2),
        ("StepFailed", "f", 2),
    ]
    assert [event.duration for event in events if isinstance(event, (StepSucceeded, StepFailed))] == [1, 2, 2, 2]
    assert [event.total for event in events if isinstance(event, PathsCounted)] == [1, 4]


async def test_fork_with_a_lazy_source_counts_its_paths_when_that_has_run_dry() -> None:
    events: list[Event] = []
    paths = lambda: iter([returns(1, "a"), returns(2, "b")])  # noqa: E731
    await fork("f", mode="all", paths=paths, concurrency=1).run(observers=[events.append])
    counted = [(event.name, event.time, event.total) for event in events if isinstance(event, PathsCounted)]
    assert counted == [("f", 3, 2)]


async def test_events_of_one_run_have_its_scope_and_its_parents_are_what_it_runs_in() -> None:
    events: list[Event] = []
    inner = fork("inner", mode="all", paths=[returns(1, "a")])
    await gather(partial(inner.run, observers=[events.append]), partial(inner.run, observers=[events.append]))
    runs = {event.scope for event in events if event.name == "gather/run/inner/a"}
    assert len(runs) == 1  # started and succeeded
    (run,) = runs
    assert run.parent in {event.scope for event in events if isinstance(event, PathsCounted)}
    assert len({event.scope for event in events}) == 4


async def test_events_of_paths_that_never_started_have_the_scope_of_the_fork() -> None:
    events: list[Event] = []
    await fork("f", mode="race", paths=[returns(1, "a"), returns(1, "b")], concurrency=1).run(observers=[events.append])
    (skipped,) = [event for event in events if isinstance(event, StepSkipped)]
    assert (skipped.name, skipped.scope.name) == ("f/b", "f")


async def test_path_whose_value_its_mode_can_not_take_has_an_end_nevertheless() -> None:
    class Broken:
        def succeeded(self, index: int, value: object) -> bool:
            raise LookupError("bug in the mode")

        def failed(self, index: int, error: Exception) -> bool:
            return True

        def exhausted(self, total: int) -> bool:
            return False

        def result(self) -> None:
            return None

    events: list[Event] = []
    with pytest.raises(LookupError, match="bug in the mode"):
        await fork("f", mode=Broken, paths=[returns(1, "a")]).run(observers=[events.append])
    assert [(type(event), event.time) for event in events if event.name == "f/a"] == [
        (StepStarted, 0),
        (StepSucceeded, 1),
        (ValueDiscarded, 1),
    ]


async def test_only_the_winner_of_a_race_is_told_to_have_won() -> None:
    events: list[Event] = []
    won = lambda: [event.name for event in events if isinstance(event, StepSucceeded) and event.won]  # noqa: E731
    await race(returns(1, "a"), shielded(2, "late"), raises(0.5, OSError()), observers=[events.append])
    assert won() == ["race/a"]
    await gather(returns(1, "a"), observers=[events.append])
    assert won() == ["race/a"]


def _order(events: list[Event]) -> Any:
    names = [(type(event).__name__, event.name) for event in events]
    return lambda row: names.index(row[:2])


async def test_observers_are_told_of_paths_that_were_never_started() -> None:
    events: list[Event] = []
    paths = [returns(1, "a"), returns(1, "b"), returns(1, "c")]
    await fork("f", mode="race", paths=paths, concurrency=1).run(observers=[events.append])
    skipped = [event for event in events if isinstance(event, StepSkipped)]
    assert [(event.name, event.reason) for event in skipped] == [
        ("f/b", "fork 'f': path 'a' won"),
        ("f/c", "fork 'f': path 'a' won"),
    ]


async def test_observer_may_join_for_one_inner_run() -> None:
    outer: list[str] = []
    inner: list[str] = []
    leaf = step(lambda: 1, id="leaf")

    async def path() -> None:
        await leaf.run(observers=[lambda event: inner.append(event.name)])

    await fork("f", mode="all", paths=[path]).run(observers=[lambda event: outer.append(event.name)])
    assert set(inner) == {"f/path/leaf"}
    assert set(outer) == {"f", "f/path", "f/path/leaf"}


async def test_observer_that_raises_is_dropped_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []
    calls = 0

    def broken(event: Event) -> None:
        nonlocal calls
        calls += 1
        raise LookupError("bug in the observer")

    assert await fork("f", mode="all", paths=[returns(1, "a")]).run(observers=[broken, heard.append]) == ("a",)
    assert calls == 1
    assert [type(event) for event in heard] == [StepStarted, PathsCounted, StepStarted, StepSucceeded, StepSucceeded]
    assert "bug in the observer" in caplog.text


async def test_value_discarded_says_whether_it_was_disposed_of() -> None:
    events: list[Event] = []
    f = fork("f", mode="race", paths=[returns(1, "a"), shielded(2, "late")], dispose=lambda _: None)
    await f.run(observers=[events.append])
    (discarded,) = [event for event in events if isinstance(event, ValueDiscarded)]
    assert (discarded.value, discarded.disposed, discarded.time) == ("late", True, 2)
