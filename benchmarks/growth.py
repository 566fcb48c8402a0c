"""P18 and P19: nothing grows faster than the work, where forks fail, and where pipelines are built."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, cast

import trio

from trio_steps import ForkPartialError, fork, settle

from .measure import Collected, Contender, Row, Settings, Target, judge, take_turns, timed
from .pipelines import row_of
from .work import same

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

    from trio_steps import Fork

    from .work import Path

KEYS = ("P18", "P19")

# P18

MANY, DEEP, SHARED = 200_000, 300, 8_000
LIMIT = 10
FORKS = 50
"""How often a sample runs a fork whose first path fails."""


class _OddError(Exception):
    """The error of the paths here."""


async def fails() -> None:
    await trio.lowlevel.checkpoint()
    raise _OddError


async def lasts() -> None:
    await trio.sleep_forever()


def timed_work(name: str, work: Callable[[], Awaitable[object]], units: int, expected: object) -> Contender:
    """Return a contender whose `work`, of so many units, returns what is `expected`."""

    def sample(settings: Settings) -> float:
        seconds, result = timed("trio", work, settings)
        same(name, "result", result, expected)
        return seconds / units

    return Contender(name=name, how="", sample=sample, check=lambda: None)


def first_fails(paths: int) -> Contender:
    """Run a fork of known paths, ten at once, whose first path fails."""
    first: Fork[None, tuple[None, ...]] = fork(
        "first", mode="all", paths=[fails, *[lasts] * (paths - 1)], concurrency=LIMIT
    )

    async def work() -> int:
        failed = 0
        for _ in range(FORKS):
            try:
                await first()
            except ForkPartialError as error:
                failed = len(error.failed)
        return failed

    return timed_work(f"{paths:,} paths", work, FORKS, paths)


def nested(depth: int) -> Path:
    """Return a fork in a fork in a fork … whose innermost path fails."""
    path: Any = fails
    for level in range(depth):
        path = fork(f"level-{level}", mode="all", paths=[path])
    return path


def depth_of(error: BaseException) -> int:
    """Return how many errors of forks there are around the innermost error."""
    depth = 0
    while isinstance(error, ForkPartialError):
        depth += 1
        (error,) = cast("BaseExceptionGroup[BaseException]", error).exceptions
    return depth


def deep(depth: int, times: int) -> Contender:
    path = nested(depth)

    async def work() -> int:
        found = 0
        for _ in range(times):
            try:
                await path()
            except ForkPartialError as error:
                found = depth_of(error)
        return found

    return timed_work(f"{depth} deep", work, depth * times, depth)


def failing(errors: Callable[[], Exception], size: int) -> Callable[[], Awaitable[int]]:
    async def path() -> None:
        error = errors()
        await trio.lowlevel.checkpoint()
        raise error

    async def work() -> int:
        return sum(result.error is not None for result in await settle(*[path] * size, concurrency=LIMIT))

    return work


ONE_OBJECT, OWN_OBJECTS = "one object", "an object each"


def errors_of(settings: Settings) -> list[Contender]:
    size = settings.size(SHARED)

    def shared() -> Callable[[], Exception]:
        one = _OddError()
        return lambda: one

    async def all_one() -> int:
        return await failing(shared(), size)()

    return [
        timed_work(ONE_OBJECT, all_one, size, size),
        timed_work(OWN_OBJECTS, failing(_OddError, size), size, size),
    ]


def failure_rows(settings: Settings) -> Iterator[Row]:
    many = settings.size(MANY)
    depth = settings.size(DEEP)
    heats = (
        (
            Target(key="P18", what=f"fork of {many:,} paths, the first fails", of=f"{many:,} paths",
                   against=f"{LIMIT} paths", limit=2.0, unit="fork"),
            [first_fails(many), first_fails(LIMIT)],
        ),
        (
            Target(key="P18", what=f"forks nested {depth} deep that fail", of=f"{depth} deep",
                   against=f"{depth // 10} deep", limit=2.0, unit="fork"),
            [deep(depth, 1), deep(depth // 10, 10)],
        ),
        (
            Target(key="P18", what=f"{settings.size(SHARED):,} paths that raise one object", of=ONE_OBJECT,
                   against=OWN_OBJECTS, limit=2.0),
            errors_of(settings),
        ),
    )  # fmt: skip
    for target, contenders in heats:
        yield from judge([target], contenders, take_turns(contenders, settings), None)


# P19

STEPS = 1_000


def builds(steps: int) -> Contender:
    name = f"{steps:,} steps"

    def sample(settings: Settings) -> float:
        with Collected(settings):
            start = settings.clock()
            row_of(steps)
            return (settings.clock() - start) / steps

    def check() -> None:
        count = 3
        same(name, "result", trio.run(functools.partial(row_of(count).run, {"count": 0})), {"count": count})

    return Contender(name=name, how="", sample=sample, check=check)


def building_rows(settings: Settings) -> Iterator[Row]:
    steps = settings.size(STEPS, STEPS // 4)
    target = Target(
        key="P19", what=f"building a pipeline of {2 * steps:,} steps", of=f"{2 * steps:,} steps",
        against=f"{steps:,} steps", limit=1.3, unit="step",
    )  # fmt: skip
    contenders = [builds(2 * steps), builds(steps)]
    yield from judge([target], contenders, take_turns(contenders, settings), None)


def measure(keys: Collection[str], settings: Settings) -> Iterator[Row]:
    """Measure those of `keys` that are measured here."""
    if "P18" in keys:
        yield from failure_rows(settings)
    if "P19" in keys:
        yield from building_rows(settings)
