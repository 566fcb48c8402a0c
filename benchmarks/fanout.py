"""P1 to P4 and P10: forks against bare Trio, asyncio and peers."""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

import attrs
import outcome
import trio

from trio_steps import gather, race, settle

from .measure import PEERS, Contender, Row, Settings, Target, judge, take_turns
from .work import (
    LIMIT,
    MakePaths,
    Path,
    Way,
    brief_paths,
    check_needs_all,
    check_races,
    check_settles,
    contender,
    paths_alike,
    paths_before_a_winner,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

# How trio_steps does it


async def settle_within(paths: Sequence[Path], limit: Any) -> Any:
    return await settle(*paths, concurrency=limit)


def read_settled(results: Any) -> list[Any]:
    return [result.value if result.status == "fulfilled" else result.error for result in results]


async def gather_all(paths: Sequence[Path], _limit: Any) -> Any:
    return await gather(*paths)


async def race_all(paths: Sequence[Path], _limit: Any) -> Any:
    return await race(*paths)


# What one writes by hand


async def idiom(paths: Sequence[Path], limiter: Any, open_tasks: Callable[[], Any] = trio.open_nursery) -> Any:
    """The usual one: a task per path, which waits for the limiter and captures the outcome."""
    outcomes: list[Any] = [None] * len(paths)

    async def worker(index: int, path: Path) -> None:
        async with limiter:
            outcomes[index] = await outcome.acapture(path)

    async with open_tasks() as tasks:
        for index, path in enumerate(paths):
            tasks.start_soon(worker, index, path)
    return outcomes


def read_outcomes(outcomes: Any) -> list[Any]:
    return [result.value if isinstance(result, outcome.Value) else result.error for result in outcomes]


async def fill_a_list(
    paths: Sequence[Path], _limit: Any, open_tasks: Callable[[], Any] = trio.open_nursery
) -> list[Any]:
    values: list[Any] = [None] * len(paths)

    async def worker(index: int, path: Path) -> None:
        values[index] = await path()

    async with open_tasks() as tasks:
        for index, path in enumerate(paths):
            tasks.start_soon(worker, index, path)
    return values


async def first_cancels(
    paths: Sequence[Path], _limit: Any, open_tasks: Callable[[], Any] = trio.open_nursery
) -> list[Any]:
    winners: list[Any] = []
    async with open_tasks() as tasks:

        async def worker(path: Path) -> None:
            winners.append(await path())
            tasks.cancel_scope.cancel()

        for path in paths:
            tasks.start_soon(worker, path)
    return winners


def read_winner(winners: Any) -> Any:
    return winners[0]


def as_it_is(winner: Any) -> Any:
    return winner


# asyncio


async def gather_with_semaphore(paths: Sequence[Path], semaphore: Any) -> Any:
    async def worker(path: Path) -> Any:
        async with semaphore:
            return await path()

    return await asyncio.gather(*[worker(path) for path in paths], return_exceptions=True)


async def asyncio_task_group(paths: Sequence[Path], _limit: Any) -> Any:
    task_group: Any = asyncio.TaskGroup()  # type: ignore[attr-defined,unused-ignore]
    async with task_group as group:
        tasks: list[Any] = [group.create_task(path()) for path in paths]
    return [task.result() for task in tasks]


async def asyncio_wait_first(paths: Sequence[Path], _limit: Any) -> Any:
    tasks = [asyncio.ensure_future(path()) for path in paths]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.wait(tasks)
    return [task.result() for task in tasks if task in done]


# aioresult, aiometer, trio-util


def is_present(name: str) -> bool:
    """Tell whether a peer is installed; what is no peer is there."""
    return name not in PEERS or importlib.util.find_spec(PEERS[name]) is not None


def peer(module: str) -> Any:
    """Import a peer where it runs: it may not be installed."""
    return importlib.import_module(module)


async def captures_within(paths: Sequence[Path], limiter: Any) -> Any:
    aioresult = peer("aioresult")

    async def worker(path: Path) -> Any:
        async with limiter:
            return await path()

    async with trio.open_nursery() as nursery:
        return [aioresult.ResultCapture.start_soon(nursery, worker, path, suppress_exception=True) for path in paths]


def read_captures(captures: Any) -> list[Any]:
    return [capture.result() if capture.exception() is None else capture.exception() for capture in captures]


async def captures(paths: Sequence[Path], _limit: Any) -> Any:
    aioresult = peer("aioresult")

    async with trio.open_nursery() as nursery:
        results = [aioresult.ResultCapture.start_soon(nursery, path) for path in paths]
    return [result.result() for result in results]


async def first_capture(paths: Sequence[Path], _limit: Any) -> Any:
    aioresult = peer("aioresult")

    async with trio.open_nursery() as nursery:
        results = [aioresult.ResultCapture.start_soon(nursery, path) for path in paths]
        first = await aioresult.wait_any(results)
        nursery.cancel_scope.cancel()
    return first.result()


async def meter_within(paths: Sequence[Path], limit: int) -> Any:
    aiometer = peer("aiometer")

    return await aiometer.run_all([functools.partial(outcome.acapture, path) for path in paths], max_at_once=limit)


async def meter_all(paths: Sequence[Path], _limit: Any) -> Any:
    aiometer = peer("aiometer")

    return await aiometer.run_all(paths)


async def wait_all_into_list(paths: Sequence[Path], _limit: Any) -> Any:
    trio_util = peer("trio_util")

    values: list[Any] = [None] * len(paths)

    async def worker(index: int, path: Path) -> None:
        values[index] = await path()

    await trio_util.wait_all(*[functools.partial(worker, index, path) for index, path in enumerate(paths)])
    return values


async def wait_any_into_list(paths: Sequence[Path], _limit: Any) -> Any:
    trio_util = peer("trio_util")

    winners: list[Any] = []

    async def worker(path: Path) -> None:
        winners.append(await path())

    await trio_util.wait_any(*[functools.partial(worker, path) for path in paths])
    return winners


# anyio


def task_group() -> Any:
    return peer("anyio").create_task_group()


def anyio_limiter() -> Any:
    return peer("anyio").CapacityLimiter(LIMIT)


def trio_limiter() -> trio.CapacityLimiter:
    return trio.CapacityLimiter(LIMIT)


# The heats

OURS = "trio_steps"
OURS_LIMITER = "trio_steps, limiter"


@attrs.frozen(kw_only=True)
class Heat:
    """Contenders for the same work, and the targets that their ratios are for."""

    targets: tuple[Target, ...]
    ways: tuple[Way, ...]
    check: Callable[[Way], None]
    size: int
    expected: Callable[[int], Any]
    make_paths: MakePaths = brief_paths
    cannot: dict[str, str] = attrs.field(factory=dict[str, str])

    def present(self) -> list[Way]:
        """Return those ways that are installed."""
        return [way for way in self.ways if is_present(way.name)]

    def way(self, name: str) -> Way:
        (way,) = (way for way in self.ways if way.name == name)
        return way

    def contenders(self, settings: Settings) -> list[Contender]:
        size = settings.size(self.size)
        return [contender(way, self.check, size, self.expected, self.make_paths) for way in self.present()]

    def rows(self, settings: Settings) -> list[Row]:
        contenders = self.contenders(settings)
        return judge(self.targets, contenders, take_turns(contenders, settings), self.cannot)


def _in_order(size: int) -> list[int]:
    return list(range(size))


BOUNDED = Heat(
    targets=(
        Target(key="P1", what="settle, concurrency=10", of=OURS, against="bare Trio", limit=0.25),
        Target(key="P1", what="settle, CapacityLimiter(10)", of=OURS_LIMITER, against="bare Trio", limit=0.30),
        Target(key="P2", what="settle, concurrency=10", of=OURS, against="asyncio", limit=0.50),
        Target(key="P2", what="settle, CapacityLimiter(10)", of=OURS_LIMITER, against="asyncio", limit=0.62),
    ),
    size=2000,
    expected=_in_order,
    check=check_settles,
    ways=(
        Way(name=OURS, how="settle(concurrency=10)", run=settle_within, read=read_settled),
        Way(name="bare Trio", how="task per path, CapacityLimiter, acapture", run=idiom, read=read_outcomes,
            limit=trio_limiter),
        Way(name=OURS_LIMITER, how="settle(concurrency=limiter)", run=settle_within, read=read_settled,
            limit=trio_limiter),
        Way(name="asyncio", how="gather, Semaphore", run=gather_with_semaphore, loop="asyncio",
            limit=functools.partial(asyncio.Semaphore, LIMIT)),
        Way(name="anyio", how="task group, CapacityLimiter, acapture",
            run=functools.partial(idiom, open_tasks=task_group), read=read_outcomes, limit=anyio_limiter),
        Way(name="aioresult", how="ResultCapture, CapacityLimiter", run=captures_within, read=read_captures,
            limit=trio_limiter),
        Way(name="aiometer", how="run_all, acapture", run=meter_within, read=read_outcomes),
    ),
    cannot={"trio-util": "wait_all has no limit and returns no results"},
)  # fmt: skip

UNBOUNDED = Heat(
    targets=(Target(key="P3", what="gather, no limit", of=OURS, against="bare Trio", limit=1.08),),
    size=1000,
    expected=_in_order,
    check=check_needs_all,
    ways=(
        Way(name=OURS, how="gather", run=gather_all),
        Way(name="bare Trio", how="nursery that fills a list", run=fill_a_list),
        Way(name="trio-util", how="wait_all, into a list", run=wait_all_into_list),
        Way(name="aioresult", how="ResultCapture", run=captures),
        Way(name="aiometer", how="run_all", run=meter_all),
        Way(name="anyio", how="task group, into a list", run=functools.partial(fill_a_list, open_tasks=task_group)),
        Way(name="asyncio", how="TaskGroup", run=asyncio_task_group, loop="asyncio"),
    ),
)  # fmt: skip

_RACERS = (
    Way(name=OURS, how="race", run=race_all, read=as_it_is),
    Way(name="bare Trio", how="nursery that cancels its scope", run=first_cancels, read=read_winner),
    Way(name="trio-util", how="wait_any, first to end, into a list", run=wait_any_into_list, read=read_winner),
    Way(name="aioresult", how="wait_any, first to end, then cancel", run=first_capture, read=as_it_is),
    Way(name="anyio", how="task group that cancels its scope",
        run=functools.partial(first_cancels, open_tasks=task_group), read=read_winner),
    Way(name="asyncio", how="wait(FIRST_COMPLETED), cancel", run=asyncio_wait_first, read=read_winner, loop="asyncio"),
)  # fmt: skip
_NO_RACERS = {"aiometer": "run_any waits for every loser to end by itself"}

RACES = (
    # Each path would succeed at once: most of them need not even start.
    Heat(
        targets=(Target(key="P4", what="race, any path may win", of=OURS, against="bare Trio", limit=1.15),),
        size=1000,
        expected=lambda _size: 0,
        check=check_races,
        make_paths=paths_alike,
        ways=_RACERS,
        cannot=_NO_RACERS,
    ),
    # The last path wins: all others are under way, and have to be cancelled.
    Heat(
        targets=(Target(key="P4", what="race, the last path wins", of=OURS, against="bare Trio", limit=1.15),),
        size=1000,
        expected=lambda size: size - 1,
        check=check_races,
        make_paths=paths_before_a_winner,
        ways=_RACERS,
        cannot=_NO_RACERS,
    ),
)

HEATS = (BOUNDED, UNBOUNDED, *RACES)


def growth(settings: Settings) -> list[Row]:
    """P10: a path of a large fork costs what one of a small fork does."""
    small, large = settings.size(1_000), settings.size(100_000, 10_000)
    rows: list[Row] = []
    for what, way, check in (
        ("settle, concurrency=10", BOUNDED.ways[0], check_settles),
        ("gather, no limit", UNBOUNDED.ways[0], check_needs_all),
    ):
        contenders = [
            attrs.evolve(contender(way, check, size, _in_order, forks=large // size), name=f"{size:,} paths")
            for size in (small, large)
        ]
        few, many = (one.name for one in contenders)
        target = Target(key="P10", what=f"{what}, {many}", of=many, against=few, limit=1.3)
        rows += judge([target], contenders, take_turns(contenders, settings), None)
    return rows


KEYS = ("P1", "P2", "P3", "P4", "P10")


def measure(keys: Collection[str], settings: Settings) -> Iterator[Row]:
    """Measure those of `keys` that are measured here."""
    for heat in HEATS:
        if any(target.key in keys for target in heat.targets):
            yield from (row for row in heat.rows(settings) if row.key in keys)
    if "P10" in keys:
        yield from growth(settings)
