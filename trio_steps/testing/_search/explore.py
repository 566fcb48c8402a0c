"""The portfolio: kinds of runs that take turns, until there is nothing left to try or the budget is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_steps._core.checks import check_flag, check_seconds
from trio_steps.testing._machine.settings import check_seed, settings_of
from trio_steps.testing._machine.token import Recipe

from .order import ranges
from .phases import CANCEL, DELAYS, PAIRS, RANDOM, TIMEOUTS, Phase, phases
from .reduce import Orders
from .replay import compared
from .search import Search

if TYPE_CHECKING:
    from typing import Unpack

    from trio_steps.testing._machine.run import Run
    from trio_steps.testing._machine.settings import Options, Program, Settings
    from trio_steps.testing._report import Report

BUDGET = 300
"""The fewest runs that `explore` makes without a budget."""

SWEPT = 1000
"""How many cancel points, and how many lone timeouts, it then tries at least, if the program has so many."""


def explore(
    program: Program,
    *,
    budget: float | None = None,
    seconds: float = 60.0,
    seed: int = 0,
    reduce: bool = False,
    **options: Unpack[Options],
) -> Report:
    """Run `program` again and again, disturbed in every way, and report what is wrong with it.

    First it runs undisturbed, twice. Then these kinds of runs take turns: the program is cancelled at a point; one of
    its timeouts fires at a point, alone; its tasks run in an order that deviates from FIFO once, or twice; they run in
    a random order, and every other such run is also disturbed at random. A finding does not end the exploration.

    Args:
      program: an async function of a `Probe`.
      budget: how many runs at most, not counting those that minimise a failure. None: 300, and as many more as it
        takes to cancel the program at every point and to let every timeout fire at every point, up to 1,000 of each.
      seconds: the most real time, in seconds.
      seed: the seed of the random runs.
      reduce: also try all orders that differ in more than independent steps, as `enumerate_schedules` does. After
        these, no other undisturbed order is tried.
      options: see `Options`.

    Raises:
      ConfigError: an argument is not valid.
      RuntimeError: it was called inside a Trio program.
    """
    check_seconds("seconds", seconds)
    check_seed(seed)
    check_flag("reduce", reduce, form="True to try all orders that differ in more than independent steps, or False")
    return Exploration(program, settings_of("explore", options), budget, seconds, seed, reduce=reduce).report()


class Exploration:
    """One call of `explore`, and its progress."""

    def __init__(
        self,
        program: Program,
        settings: Settings,
        budget: float | None,
        seconds: float,
        seed: int,
        *,
        reduce: bool,
    ) -> None:
        runs = float("inf") if budget is None else budget
        self._search = Search(program, settings, runs=runs, seconds=seconds)
        self._stops_early = budget is None
        self._seed = seed
        self._orders = Orders("any") if reduce else None
        self._points = 0
        self._cancelled: set[int] = set()
        self._timeouts = 0
        self._decides = False  # whether the program has any decision
        self._phases: list[Phase] = []
        self._all: dict[str, Phase] = {}

    def report(self) -> Report:
        """Explore, and return the report."""
        return self._search.report(self._go, self._report)

    def _go(self) -> str:
        search = self._search
        baseline = search.baseline()
        self._points = baseline.points
        self._decides = bool(baseline.options)
        self._phases = phases(baseline, self._seed, self._orders)
        self._all = {phase.name: phase for phase in self._phases}
        stopped = search.bench.stopped
        if stopped is None:
            again = search.bench.run(Recipe(policy="trio"))
            difference = compared(baseline, again)
            search.found.add(search.bench.with_finding(again, difference), search.bench.runs)
            search.bench.trusts_values = difference is None
            stopped = search.bench.stopped
        while stopped is None and self._phases:
            for phase in list(self._phases):
                stopped = self._turn(phase)
                if stopped is not None:
                    break
        return stopped or "having tried everything"

    def _turn(self, phase: Phase) -> str | None:
        """Make the runs of one turn of `phase`. Return what stops the search, or None."""
        if phase.name in (DELAYS, PAIRS) and self._orders is not None and self._orders.exhausted:
            self._phases.remove(phase)  # these were tried already, apart from independent steps
            return None
        if phase.name in (PAIRS, RANDOM) and not self._decides:
            if phase.name == PAIRS or self._phases == [phase]:
                self._phases.remove(phase)  # the program has only one order
            return None
        for trial in phase.turn():
            run = self._search.tries(trial)
            self._note(trial[0], run)
            self._search.show(f"{len(self._cancelled)} of {self._points} cancel points")
            stopped = self._search.bench.stopped or self._enough()
            if stopped is not None:
                return stopped
            if any(finding.invariant == "livelock" for finding in run.findings):
                phase.share = 1  # failing runs take long, and rarely come alone
                break
        if phase.over:
            self._phases.remove(phase)
        return None

    def _note(self, recipe: Recipe, run: Run) -> None:
        self._decides |= bool(run.options)
        if recipe.policy == "trio" and run.injected and recipe.cancel_at is not None:
            self._cancelled.add(recipe.cancel_at)
        self._timeouts += run.expired is not None and recipe.chance is None

    def _enough(self) -> str | None:
        runs = self._search.bench.runs - (0 if self._orders is None else self._orders.runs)
        if not self._stops_early or runs < BUDGET:
            return None
        swept = all(self._all[name].over or self._all[name].tried >= SWEPT for name in (CANCEL, TIMEOUTS))
        return "the budget of runs" if swept else None

    def _report(self, stopped: str, *, explains: bool) -> Report:
        untried = tuple(point for point in range(self._points) if point not in self._cancelled)
        what = f"{self._search.bench.schedules} orders undisturbed"
        if self._orders is not None:
            what += f", {'all that differ, ' if self._orders.exhausted else ''}{self._orders}"
            self._search.bench.notes.update(dict.fromkeys(self._orders.notes()))
        what += f", cancelled at {len(self._cancelled)} of {self._points} points of FIFO"
        if untried:
            what += f" (not at {ranges(untried)})"
        lone = self._all.get(TIMEOUTS)
        if lone is not None and lone.total:
            what += f", {self._timeouts} of {lone.total} lone timeouts"
        return self._search.found.report(
            self._search.bench,
            what=what,
            points=len(self._cancelled) + self._timeouts,
            timeouts=self._timeouts,
            untried=untried,
            saved=0 if self._orders is None else self._orders.saved,
            exhausted=not self._phases and not self._decides,
            stopped=stopped,
            explains=explains,
        )
