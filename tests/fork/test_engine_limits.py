"""When the engine starts paths: always as many at once as allowed, and never more."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, repeat
from typing import Any

import pytest
import trio
import trio.testing
from paths import returns
from ways import LIMITS, Gauge, how

from trio_steps import (
    ForkPartialError,
    fork,
    gather,
)

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


async def test_freed_slot_starts_the_next_path_of_a_list_that_a_function_returned() -> None:
    gauge = Gauge()
    paths = [gauge.path(seconds, f"p{seconds}") for seconds in (5, 1, 2, 3)]
    await fork("f", mode="all", paths=lambda: paths, concurrency=2)()
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


class Turns(trio.abc.Instrument):
    """Counts the turns of all tasks."""

    count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


@pytest.mark.parametrize(
    ("limit", "most"), [(None, 1), (1, 2 * 32), (2, 2 * 16), (3, 18), (7, 5), (trio.CapacityLimiter(1), 16)]
)
async def test_members_share_32_turns_and_one_alone_may_take_two_stretches_in_a_row(limit: Any, most: int) -> None:
    turns, seen = Turns(), Counter[int]()

    def path() -> None:
        seen[turns.count] += 1

    await gather(path)  # from now on its code is trusted, so that no worker stops to look for open scopes
    trio.lowlevel.add_instrument(turns)
    await gather(*[path] * 600, concurrency=limit)
    trio.lowlevel.remove_instrument(turns)
    assert max(seen.values()) == most


async def test_deadline_stops_paths_that_never_block() -> None:
    """A million paths that never await, and a clock that advances only in them."""
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
