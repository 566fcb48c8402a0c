"""P11: small forks, the everyday case, against what a person writes by hand. And P14: results read as they arrive."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import attrs

from trio_steps import fork, settle, stream

from .by_hand import gather_by_hand, race_by_hand, settle_by_hand
from .fanout import BOUNDED, OURS, Heat, fill_a_list, first_cancels, gather_all, race_all, read_settled, read_winner
from .measure import Contender, Row, Settings, Target, judge, take_turns
from .work import Way, check_needs_all, check_races, check_settles, contender, paths_alike, same

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from trio_steps import Fork

    from .work import Path

FORKS = 300
"""How many forks a sample runs: one takes a tenth of a millisecond."""

BUILT = "trio_steps, built beforehand"
STREAM = "trio_steps, stream"


@functools.lru_cache(maxsize=8)
def _built(paths: tuple[Path, ...]) -> Fork[None, tuple[Any, ...]]:
    return fork("built", mode="all", paths=paths)


async def run_built(paths: Sequence[Path], _limit: Any) -> Any:
    return await _built(tuple(paths))()


async def settle_two_at_once(paths: Sequence[Path], _limit: Any) -> Any:
    return await settle(*paths, concurrency=2)


async def settle_two_by_hand(paths: Sequence[Path], _limit: Any) -> Any:
    return await settle_by_hand(paths, 2)


async def stream_within(paths: Sequence[Path], limit: Any) -> list[Any]:
    async with stream(paths, concurrency=limit) as results:
        return [result async for result in results]


def read_in_path_order(results: Any) -> list[Any]:
    """Read results that came in any order; their ids are numbered in path order."""

    def number(result: Any) -> int:
        return int(result.step_id.partition("#")[2] or 1)

    return read_settled(sorted(results, key=number))


def check_two_at_once(way: Way) -> None:
    """Assert that the limit is two. Everything else is as in any other settle."""
    check_settles(attrs.evolve(way, run=settle_by_hand if way.name == "by hand" else settle_within_limit))


async def settle_within_limit(paths: Sequence[Path], limit: Any) -> Any:
    return await settle(*paths, concurrency=limit)


THREE = Heat(
    targets=(
        Target(
            key="P11",
            what="gather of 3, on the spot",
            of=OURS,
            against="bare Trio",
            limit=1.4,
            unit="fork",
            beside=("by hand",),
        ),
        Target(key="P11", what="all of 3, built beforehand", of=BUILT, against="bare Trio", limit=1.3, unit="fork"),
    ),
    size=3,
    expected=lambda size: list(range(size)),
    check=check_needs_all,
    ways=(
        Way(name=OURS, how="gather", run=gather_all),
        Way(name=BUILT, how="fork(mode='all')", run=run_built),
        Way(name="by hand", how="nursery, scopes, looks", run=gather_by_hand),
        Way(name="bare Trio", how="nursery that fills a list", run=fill_a_list),
    ),
)
TWO = Heat(
    targets=(
        Target(key="P11", what="race of 2", of=OURS, against="bare Trio", limit=1.2, unit="fork", beside=("by hand",)),
    ),
    size=2,
    expected=lambda _size: 0,
    check=check_races,
    make_paths=paths_alike,
    ways=(
        Way(name=OURS, how="race", run=race_all, read=lambda winner: winner),
        Way(name="by hand", how="nursery, scopes, looks", run=race_by_hand, read=lambda winner: winner),
        Way(name="bare Trio", how="nursery that cancels its scope", run=first_cancels, read=read_winner),
    ),
)
LIMITED = Heat(
    targets=(
        Target(
            key="P11",
            what="settle of 3 under 2",
            of=OURS,
            against="bare Trio",
            limit=1.7,
            unit="fork",
            beside=("by hand",),
        ),
    ),
    size=3,
    expected=lambda size: list(range(size)),
    check=check_two_at_once,
    ways=(
        Way(name=OURS, how="settle(concurrency=2)", run=settle_two_at_once, read=read_settled),
        Way(name="by hand", how="nursery, scopes, looks", run=settle_two_by_hand, read=read_settled),
        Way(name="bare Trio", how="nursery that fills a list", run=fill_a_list),
    ),
)
SMALL_FORKS = (THREE, TWO, LIMITED)

STREAMED = Heat(
    targets=(Target(key="P14", what="stream, concurrency=10, each result taken", of=STREAM, against=OURS, limit=1.3),),
    size=BOUNDED.size,
    expected=BOUNDED.expected,
    check=check_settles,
    ways=(
        attrs.evolve(BOUNDED.ways[0], name=OURS),
        Way(name=STREAM, how="stream(concurrency=10)", run=stream_within, read=read_in_path_order),
    ),
)


def small_forks(settings: Settings) -> Iterator[Row]:
    """Measure forks of two or three paths; the figure is for a fork, not for a path."""
    forks = max(3, round(FORKS * settings.scale))
    for heat in SMALL_FORKS:
        contenders: list[Contender] = []
        for way in heat.ways:
            check = _no_check if way.name == "bare Trio" and heat is LIMITED else heat.check
            contenders.append(contender(way, check, heat.size, heat.expected, heat.make_paths, forks, per_fork=True))
        yield from judge(heat.targets, contenders, take_turns(contenders, settings), heat.cannot)


def _no_check(way: Way) -> None:
    """Check nothing: a nursery that fills a list has no limit, and does less than what it is compared with."""
    same(way.name, "how it is done", way.how, "nursery that fills a list")


KEYS = ("P11", "P14")


def measure(keys: Collection[str], settings: Settings) -> Iterator[Row]:
    """Measure those of `keys` that are measured here."""
    if "P11" in keys:
        yield from small_forks(settings)
    if "P14" in keys:
        yield from STREAMED.rows(settings)
