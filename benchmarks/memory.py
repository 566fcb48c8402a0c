"""P5, the peak of a million-path fork; and the soak, which checks that nothing grows, however many forks have run.

The peak is what `tracemalloc` saw, without the result: exact, and the same on a busy machine.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import sys
import time
import tracemalloc
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trio_steps import ForkPartialError, Pipeline, fork, gather, race, settle, step

from .fanout import BOUNDED, is_present
from .measure import (
    PEERS,
    Contender,
    Figure,
    Loop,
    PeerRow,
    Row,
    Settings,
    Target,
    judge,
    run_in,
    take_turns,
    timed,
)
from .work import Path, brief_paths, same

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

if sys.platform != "win32":
    import resource

MIB = 2**20
CONCURRENCY = 100

KEYS = ("P5",)


# P5


async def million(count: int) -> Any:
    """Run `count` paths that come from a generator; return the list that `merge` received."""
    numbers = itertools.count()

    async def path() -> int:
        number = next(numbers)
        await trio.lowlevel.checkpoint()
        return number

    def paths() -> Iterator[Path]:
        for _ in range(count):
            yield path

    run = fork("million", mode="all", paths=paths, concurrency=CONCURRENCY, merge=lambda values: values)
    return await run()


def peak_of(
    loop: Loop, work: Callable[[], Awaitable[Any]], expected: Collection[Any], read: Callable[[Any], Any] = list
) -> float:
    """Return the peak of `work` in MiB, over what its result holds; `read` turns the result into `expected`."""
    held: list[int] = []

    async def main() -> None:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        result = await work()
        _, peak = tracemalloc.get_traced_memory()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        same("a fork under tracemalloc", "result", read(result), expected)
        held.append((peak - before) - (after - before))

    tracemalloc.start()
    try:
        run_in(loop, main)
    finally:
        tracemalloc.stop()
    return held[0] / MIB


def peak_row(settings: Settings) -> Row:
    check_is_lazy()
    count, fewer = settings.size(1_000_000, 50_000), settings.size(50_000, 10_000)
    peak = peak_of("trio", functools.partial(million, count), list(range(count)))
    peers: list[PeerRow] = []
    for name in PEERS:
        figure = None
        how = BOUNDED.cannot.get(name, "not installed")
        if name not in BOUNDED.cannot and is_present(name):
            way = BOUNDED.way(name)
            paths = brief_paths(fewer, way.loop)  # theirs for nothing: they are there before
            work = functools.partial(way.run, paths, way.limit())
            figure = _mib(peak_of(way.loop, work, list(range(fewer)), way.read))
            how = f"{way.how}: {fewer:,} paths"
        peers.append(PeerRow(name=name, how=how, figure=figure))
    return Row(
        key="P5",
        what=f"peak of {count:,} paths over their result",
        limit=2.0,
        figure=_mib(peak),
        peers=tuple(peers),
    )


def _mib(amount: float) -> Figure:
    return Figure(median=amount, low=amount, high=amount, unit="MiB")


def check_is_lazy() -> None:
    """Assert that a path is taken from the generator only when there is room for it.

    Raises:
      DifferentResultError: it is taken earlier.
    """
    taken = ended = most = 0

    async def path() -> None:
        nonlocal ended
        for _ in range(2 * CONCURRENCY):  # long enough for as many to start as there is room for
            await trio.lowlevel.checkpoint()
        ended += 1

    def paths() -> Iterator[Path]:
        nonlocal taken, most
        for _ in range(5 * CONCURRENCY):
            taken += 1
            most = max(most, taken - ended)
            yield path

    trio.run(fork("lazy", mode="all", paths=paths, concurrency=CONCURRENCY))
    same("trio_steps", "number of paths that were taken and had not ended", most, CONCURRENCY)


def time_row(settings: Settings) -> Row:
    """A path of very many costs what one of 2,000 does. With a million, 20 rounds would take some minutes."""
    small, large = settings.size(2_000), settings.size(250_000, 20_000)
    few, many = f"{small:,} paths", f"{large:,} paths"
    contenders = [
        _from_a_generator(few, small, max(1, min(large, 100_000) // small)),
        _from_a_generator(many, large, 1),
    ]
    target = Target(key="P5", what=f"time per path of {many}", of=many, against=few, limit=1.3)
    (row,) = judge([target], contenders, take_turns(contenders, settings), None)
    return row


def _from_a_generator(name: str, count: int, forks: int) -> Contender:
    def sample(settings: Settings) -> float:
        results: list[Any] = []

        async def work() -> None:
            for _ in range(forks):
                results[:] = [await million(count)]

        seconds, _ = timed("trio", work, settings)
        same(name, "result", results[0], list(range(count)))
        return seconds / count / forks

    return Contender(name=name, how="fork of a generator", sample=sample, check=check_is_lazy)


def measure(keys: Collection[str], settings: Settings) -> Iterator[Row]:
    """Measure those of `keys` that are measured here."""
    if "P5" in keys:
        yield peak_row(settings)
        yield time_row(settings)


# The soak


@attrs.frozen(kw_only=True)
class Level:
    """Objects and memory at one moment, after a garbage collection."""

    objects: int
    rss: int | None  # bytes; None where it can't be read


@attrs.frozen(kw_only=True)
class Soak:
    """Objects and memory before and after many forks."""

    forks: int
    before: Level
    after: Level

    @property
    def steady(self) -> bool:
        """Whether no object and no memory is left behind. The memory of 1,000 leaks of anything is too much."""
        grown = self.after.objects - self.before.objects
        if self.before.rss is None or self.after.rss is None:
            return grown < 100
        return grown < 100 and self.after.rss - self.before.rss < 4 * MIB


def level() -> Level:
    gc.collect()
    return Level(objects=len(gc.get_objects()), rss=_rss())


def _rss() -> int | None:
    statm = File("/proc/self/statm")
    if statm.exists() and sys.platform != "win32":
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return None


async def _count_up(count: int) -> dict[str, Any]:
    return {"count": count + 1, "many": [{"deep": count}] * 3}


async def _twice(one: dict[str, int]) -> list[dict[str, int]]:
    return [one, one]


_PIPELINE: Pipeline[Any, Any] = (
    Pipeline("soak")
    .step("both", step(_count_up, id="one"), step(_count_up, id="two"), mode="settle")
    .for_each("each", _twice, over="many", each="one", into="twos", concurrency=2)
)


async def _assorted_forks(limiter: trio.CapacityLimiter) -> int:
    """Run forks that end in every possible way; return how many."""

    async def fine() -> int:
        await trio.lowlevel.checkpoint()
        return 1

    async def fails() -> None:
        await trio.lowlevel.checkpoint()
        raise ConnectionError

    async def nested() -> object:
        return await gather(fine, fine, concurrency=limiter)

    await gather(fine, fine)
    await settle(fine, fails, fine, concurrency=2)
    await settle(nested, nested, concurrency=limiter)
    await race(fails, fine, trio.sleep_forever)
    await settle(fine, trio.sleep_forever, timeout=1e-9)
    with contextlib.suppress(ForkPartialError):
        await gather(fine, fails)
    with trio.CancelScope() as scope:
        scope.cancel()
        await gather(fine)
    await _PIPELINE.run({"count": 1})
    return 11


def soak(seconds: float) -> Soak:
    """Run forks for that many seconds, and compare objects and memory before and after."""

    async def main() -> Soak:
        limiter = trio.CapacityLimiter(2)

        async def forks_for(seconds: float) -> int:
            forks, end = 0, time.perf_counter() + seconds
            while time.perf_counter() < end:
                forks += await _assorted_forks(limiter)
            return forks

        await forks_for(min(seconds / 10, 5.0))  # pools and caches fill up
        before = level()
        forks = await forks_for(seconds)
        return Soak(forks=forks, before=before, after=level())

    return trio.run(main)
