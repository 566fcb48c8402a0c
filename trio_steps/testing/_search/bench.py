"""The bench: it runs one program, counts the runs, and learns which values the program returns."""

from __future__ import annotations

import gc
import inspect
import time
from math import inf
from typing import TYPE_CHECKING, Any, Final, cast, final

import attrs
import trio

from trio_steps._core.checks import answered
from trio_steps._core.errors import ConfigError, short_repr
from trio_steps.testing._compare import same, show
from trio_steps.testing._findings import Finding
from trio_steps.testing._machine.conductor import name_of
from trio_steps.testing._machine.run import Run, perform
from trio_steps.testing._machine.settings import check_budget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_steps.testing._machine.schedules import Schedule
    from trio_steps.testing._machine.settings import Program, Settings
    from trio_steps.testing._machine.token import Recipe

_KNOWN: Final = 100  # values, each compared with the value of a disturbed run
_FORGET: Final = 64  # runs from one garbage collection to the next


@final
class Bench:
    """Runs a program again and again, up to a budget.

    Attributes:
      runs: how many times it was run.
      budget: how many times it may be run.
      trusts_values: whether the undisturbed program returns the same values every time.
      ignored: how many findings were ignored, by invariant.
      notes: what the reader of the report has to know.

    Raises:
      ConfigError: the program is not a function, or the budget does not allow a single run.
      RuntimeError: this was called inside a Trio program.
    """

    def __init__(
        self, program: Program, settings: Settings, *, runs: float = float("inf"), seconds: float = float("inf")
    ) -> None:
        given = cast("object", program)
        if inspect.iscoroutine(given):
            name = given.__name__
            given.close()  # a warning that it was never awaited would not help anyone
            raise ConfigError(f"give the function {name}, not the coroutine that {name}(…) returned")
        if not callable(given):
            raise ConfigError(f"{short_repr(given)} can't be run: give an async function of one argument, the probe")
        if not isinstance(runs, float) or runs != inf:  # no limit
            check_budget(runs)
        if trio.lowlevel.in_trio_run():
            raise RuntimeError(
                f"{name_of(program)!r} can't be explored inside a Trio program, because each run "
                "is a separate trio.run: call explore and the like from a plain function, `def test_…`, not `async def`"
            )
        self.program = program
        self.settings = settings
        self.runs = 0
        self.budget = runs
        self.trusts_values = True
        self.ignored: dict[str, int] = {}
        self.notes: dict[str, None] = {}
        self._ends = time.monotonic() + seconds
        self._orders: set[int] = set()
        self._known: list[Any] = []

    @property
    def schedules(self) -> int:
        """The number of different orders of steps in undisturbed runs."""
        return len(self._orders)

    @property
    def stopped(self) -> str | None:
        """The budget that is used up, in words, or None."""
        if self.runs >= self.budget:
            return "the budget of runs"
        if time.monotonic() >= self._ends:
            return "the budget of time"
        return None

    def run(
        self, recipe: Recipe, *, schedule: Schedule | None = None, keep_log: bool = False, survey: bool = False
    ) -> Run:
        """Run the program once more."""
        self.runs += 1
        if not self.runs % _FORGET:
            gc.collect(1)
        run = perform(self.program, recipe, self.settings, schedule=schedule, keep_log=keep_log, survey=survey)
        self.notes.update(dict.fromkeys(run.notes))
        self._count(run.ignored)
        ended_well = run.error is None and not run.cancelled
        if not run.disturbed:
            self._orders.add(hash(run.order))
            if ended_well and not run.findings:
                self._learn(run.value)
        elif ended_well:
            return self.with_finding(run, self._judge_value(run))
        return run

    def with_finding(self, run: Run, finding: Finding | None) -> Run:
        """Return `run` with one more finding, unless `finding` is None or is to be ignored."""
        if finding is None:
            return run
        if self.settings.ignores(finding):
            self._count([finding])
            return attrs.evolve(run, ignored=(*run.ignored, finding))
        return attrs.evolve(run, findings=(*run.findings, finding))

    def _count(self, ignored: Iterable[Finding]) -> None:
        for finding in ignored:
            self.ignored[finding.invariant] = self.ignored.get(finding.invariant, 0) + 1

    def _learn(self, value: Any) -> None:
        if len(self._known) < _KNOWN and not self._knows(value):
            self._known.append(value)

    def _knows(self, value: Any) -> bool:
        return any(same(value, known) for known in self._known)

    def _judge_value(self, run: Run) -> Finding | None:
        """Compare the value of a disturbed run with the values of undisturbed runs."""
        values = self.settings.values
        if (
            values == "any"
            or not self.trusts_values
            or any(found.invariant == "cancellation" for found in run.findings)
        ):
            return None
        if self._knows(run.value) or (callable(values) and answered(values, run.value)):
            return None
        undisturbed = self.run(run.recipe.undisturbed)
        if self._knows(run.value) or not self._known:
            return None
        if undisturbed.error is None and same(undisturbed.value, run.value):
            return None
        known = " or ".join(show(value) for value in self._known[:5])
        message = f"the program returned {show(run.value)}; undisturbed, it returns {known}"
        if run.injected:
            return Finding(invariant="outcome", message=f"cancelled, {message}", what="value")
        hint = 'if that value is correct, give values="any", or values=a function that is true for such values'
        if run.expired is None:
            return Finding(invariant="outcome", message=f"given a fault, {message}\n{hint}", what="value")
        return Finding(
            invariant="timeout-value", message=f"when {run.expired} fired, {message}\n{hint}", what=show(run.value)
        )
