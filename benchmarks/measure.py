"""Contenders, rounds and ratios.

Absolute times on shared machines mean nothing, so every figure is a ratio of two contenders of one *heat*, which
take turns (A B C, A B C, …) in one process. A ratio is taken round by round, so that a slow phase of the machine hits
both of its sides; the figure is the median of these ratios, the spread its quartiles.

What is counted is the CPU time of the process (or wall-clock time, with ``--clock wall``). None of the work waits for
anything, so both are the same on an idle machine, and on a busy one the time that other processes take does not count.

The garbage collector: a full collection comes before each sample, and is not timed, so that no contender pays for the
garbage of another. During a sample it runs as it does in a user's program (``--gc off`` shows the difference).

Context variables: a sample runs in a context without any. `docs/performance.md` says what one costs.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from contextvars import Context
from typing import TYPE_CHECKING, Any, Literal

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

ROUNDS = 20
"""Medians are taken of at least as many."""

PEERS = {
    "bare Trio": "trio",
    "trio-util": "trio_util",
    "aioresult": "aioresult",
    "aiometer": "aiometer",
    "anyio": "anyio",
    "asyncio": "asyncio",
}
"""The peers, and the module that each of them needs."""

Loop = Literal["trio", "asyncio"]


class DifferentResultError(Exception):
    """A contender did not compute what the others did, so its time means nothing."""


@attrs.frozen(kw_only=True)
class Settings:
    """How to measure."""

    rounds: int = ROUNDS
    quick: bool = False
    scale: float = 1.0  # of all sizes; for trying things out
    gc: bool = True
    clock: Callable[[], float] = time.process_time

    def size(self, full: int, quick: int | None = None) -> int:
        """Return how many paths to run: `full`, as the target says, or `quick` for a quick look."""
        paths = quick if quick is not None and self.quick else full
        return max(20, round(paths * self.scale))


@attrs.frozen(kw_only=True)
class Contender:
    """One way to do the work of a heat.

    Attributes:
      name: its name; for a peer, its key in `PEERS`.
      how: what is used of it.
      sample: does the work once, and returns the seconds per unit.
      check: does the work at a tiny size.

    Raises:
      DifferentResultError: (from `check` and `sample`) the result is wrong.
    """

    name: str
    how: str
    sample: Callable[[Settings], float]
    check: Callable[[], None]


@attrs.frozen(kw_only=True)
class Target:
    """`of` may cost at most `limit` times what `against` costs, both contenders of the same heat.

    Attributes:
      unit: the unit of work that the seconds are for.
      beside: other contenders of ours, shown with the peers.
    """

    key: str
    what: str
    of: str
    against: str
    limit: float
    unit: str = "path"
    beside: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Figure:
    """A median and its quartiles: of ratios, or of MiB."""

    median: float
    low: float
    high: float
    unit: str = "×"

    def __str__(self) -> str:
        if self.unit != "×":
            return f"{self.median:.2f} {self.unit}"
        return f"{self.median:.3f} × ({self.low:.3f}–{self.high:.3f})"


@attrs.frozen(kw_only=True)
class PeerRow:
    """The cost of a target's work with a peer, as a multiple of what the target is measured against.

    Attributes:
      figure: None if it can't do the work, and `how` says why.
      seconds: the median per unit, where time was measured.
    """

    name: str
    how: str
    figure: Figure | None
    seconds: float | None = None


@attrs.frozen(kw_only=True)
class Row:
    """A target, and what was measured; see `PeerRow`."""

    key: str
    what: str
    limit: float
    figure: Figure
    against: str = ""
    unit: str = ""
    seconds: float | None = None
    peers: tuple[PeerRow, ...] = ()

    @property
    def met(self) -> bool:
        return self.figure.median <= self.limit


def figure_of(samples: Sequence[float]) -> Figure:
    """Return the median of `samples`, and their quartiles."""
    if len(samples) < 2:
        return Figure(median=samples[0], low=samples[0], high=samples[0])
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return Figure(median=statistics.median(samples), low=low, high=high)


def take_turns(contenders: Sequence[Contender], settings: Settings) -> dict[str, list[float]]:
    """Check every contender, then sample all of them in turn; return what each took, round by round."""
    for contender in contenders:
        contender.check()
        contender.sample(settings)  # warms up caches and the specialised code
    taken: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(settings.rounds):
        for contender in contenders:
            taken[contender.name].append(contender.sample(settings))
    return taken


def judge(
    targets: Sequence[Target],
    contenders: Sequence[Contender],
    taken: dict[str, list[float]],
    cannot: Mapping[str, str] | None,
) -> list[Row]:
    """Return a row for each of `targets`, with every peer in it.

    Args:
      targets: the targets to judge.
      contenders: the contenders that took part.
      taken: the result of `take_turns` for them.
      cannot: why a peer did not take part, if not just because it isn't installed; None if no peer has a place,
        because trio_steps is measured against itself.
    """
    how = {contender.name: contender.how for contender in contenders}

    def measured(name: str, target: Target) -> PeerRow:
        ratios = [one / other for one, other in zip(taken[name], taken[target.against], strict=True)]
        return PeerRow(
            name=name, how=how.get(name, ""), figure=figure_of(ratios), seconds=statistics.median(taken[name])
        )

    rows: list[Row] = []
    for target in targets:
        ours = measured(target.of, target)
        assert ours.figure is not None
        peers = [measured(name, target) for name in target.beside]
        if cannot is not None:
            # Some work has but two sides. No peer is missing there.
            is_contest = bool(cannot) or any(peer in taken for peer in PEERS if peer != target.against)
            peers += [
                measured(peer, target)
                if peer in taken
                else PeerRow(name=peer, how=cannot.get(peer, "not installed"), figure=None)
                for peer in PEERS
                if is_contest or peer in taken
            ]
        row = Row(
            key=target.key,
            what=target.what,
            limit=target.limit,
            figure=ours.figure,
            against=target.against,
            unit=target.unit,
            seconds=ours.seconds,
            peers=tuple(peers),
        )
        rows.append(row)
    return rows


def run_in(loop: Loop, main: Callable[[], Awaitable[Any]]) -> Any:
    """Run `main` in its own event loop, in a context without variables. The measuring code has some (of decimal)."""
    context = Context()
    if loop == "trio":
        return context.run(trio.run, main)

    async def started() -> Any:
        return await main()

    return context.run(asyncio.run, started())


def timed(loop: Loop, work: Callable[[], Awaitable[Any]], settings: Settings) -> tuple[float, Any]:
    """Run `work` once; return the seconds it took, without the start of its event loop, and its result."""

    async def main() -> tuple[float, Any]:
        start = settings.clock()
        result = await work()
        return settings.clock() - start, result

    with Collected(settings):
        seconds, result = run_in(loop, main)
    return seconds, result


class Collected:
    """Collect all garbage now, and switch the collector inside the block as `settings` say."""

    def __init__(self, settings: Settings) -> None:
        self._enabled = settings.gc

    def __enter__(self) -> None:
        self._was_enabled = gc.isenabled()
        gc.collect()
        (gc.enable if self._enabled else gc.disable)()

    def __exit__(self, *_: object) -> None:
        (gc.enable if self._was_enabled else gc.disable)()
