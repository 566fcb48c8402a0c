"""P17: what it costs to run a program one step at a time, as `trio_steps.testing` does.

A step of the program under test waits at a gate for its turn. That is compared with a step of plain Trio. A sweep runs
the program once for each of its points, so its runs have points × points steps in all, and a step of a long program
must not take longer than a step of a short one. Memory is the peak of one exploration of a large program.
"""

from __future__ import annotations

import functools
import tracemalloc
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trio_steps.testing import Probe, explore, sweep_cancellation
from trio_steps.testing._machine.run import perform
from trio_steps.testing._machine.settings import Settings as Bounds
from trio_steps.testing._machine.token import Recipe

from .measure import Collected, Contender, Figure, Row, Settings, Target, judge, take_turns
from .memory import MIB
from .work import same

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

KEYS = ("P17",)

TASKS = 4
GATED, PLAIN = "trio_steps", "bare Trio"
LONG, SHORT = "a long program", "a short program"

STEP = Target(key="P17", what="a gated step", of=GATED, against=PLAIN, limit=2.3, unit="step")
SWEEP = Target(
    key="P17", what="a step in a sweep of 1,000 points, 6 rounds", of=LONG, against=SHORT, limit=1.5, unit="step"
)
SWEEPS = 6
"""How many rounds there are of them: a sweep takes seconds, and is far from its limit."""
MOST_MIB = 40.0


async def ticks(count: int) -> None:
    for _ in range(count):
        await trio.lowlevel.checkpoint()


async def tasks(_probe: Probe | None, *, count: int, each: int) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(ticks, each)


def gated(each: int) -> int:
    """Run a program of some tasks one step at a time; return how many steps it took."""
    program = functools.partial(tasks, count=TASKS, each=each)
    return perform(program, Recipe(), Bounds(max_steps=10**7)).steps


def plain(each: int) -> int:
    """Run the same under plain Trio; return how many steps that are."""
    trio.run(functools.partial(tasks, None, count=TASKS, each=each))
    return TASKS * (each + 1) + 2


def swept(points: int) -> int:
    """Cancel a program at every one of its points; return about how many steps all of its runs took."""
    each = points // TASKS - 1
    report = sweep_cancellation(functools.partial(tasks, count=TASKS, each=each), budget=points * 2)
    same("a sweep", "points that were not tried", report.untried, ())
    return report.points * report.points // 2


def _contender(name: str, how: str, work: Callable[[Settings], int], check: Callable[[], None]) -> Contender:
    def sample(settings: Settings) -> float:
        with Collected(settings):
            start = settings.clock()
            steps = work(settings)
            return (settings.clock() - start) / steps

    return Contender(name=name, how=how, sample=sample, check=check)


def check_steps() -> None:
    """Assert that both count the same steps."""
    same(GATED, "steps", gated(20), plain(20))


def steps_row(settings: Settings) -> Iterator[Row]:
    contenders = (
        _contender(GATED, "each step at a gate", lambda settings: gated(settings.size(5_000)), check_steps),
        _contender(PLAIN, "nursery of four tasks", lambda settings: plain(settings.size(5_000)), check_steps),
    )
    yield from judge([STEP], contenders, take_turns(contenders, settings), None)


def sweep_row(settings: Settings) -> Iterator[Row]:
    def nothing() -> None: ...

    contenders = (
        _contender(LONG, "1,000 points", lambda settings: swept(settings.size(1_000, 400)), nothing),
        _contender(SHORT, "250 points", lambda settings: swept(settings.size(250, 100)), nothing),
    )
    settings = attrs.evolve(settings, rounds=min(settings.rounds, SWEEPS))
    yield from judge([SWEEP], contenders, take_turns(contenders, settings), None)


def explored(points: int, count: int, runs: int) -> float:
    """Return the peak memory, in MiB, of exploring a program of so many points and tasks."""
    program: Any = functools.partial(tasks, count=count, each=points // count)
    tracemalloc.start()
    try:
        report = explore(program, budget=runs)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    same("an exploration", "findings", report.failures, ())
    return peak / MIB


def memory_row(settings: Settings) -> Row:
    points = settings.size(5_000)
    peak = explored(points, count=min(100, points), runs=40 if settings.quick else 200)
    figure = Figure(median=peak, low=peak, high=peak, unit="MiB")
    return Row(key="P17", what=f"peak of exploring {points:,} points of 100 tasks", limit=MOST_MIB, figure=figure)


def measure(keys: Collection[str], settings: Settings) -> Iterator[Row]:
    """Measure those of `keys` that are measured here."""
    if "P17" in keys:
        yield from steps_row(settings)
        yield from sweep_row(settings)
        yield memory_row(settings)
