"""The findings so far, each once; and how each becomes a failure that a person can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from trio_steps.testing._machine.conductor import name_of
from trio_steps.testing._machine.schedules import POLICIES
from trio_steps.testing._report import Failure, Report, failure_of

from .minimise import minimise

if TYPE_CHECKING:
    from trio_steps.testing._findings import Finding
    from trio_steps.testing._machine.run import Run

    from .bench import Bench

_MOST: Final = 20  # failures that are explained


@final
class Findings:
    """The findings so far, each once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], tuple[int, Run, Finding]] = {}
        self._more: set[tuple[str, str, str]] = set()

    def __len__(self) -> int:
        return len(self._found) + len(self._more)

    def add(self, run: Run, number: int) -> None:
        """Keep the new findings of run number `number`, and for each known finding its simplest run."""
        for finding in run.findings:
            known = self._found.get(finding.key)
            if known is not None:
                if _simplicity(run) < _simplicity(known[1]):
                    self._found[finding.key] = known[0], run, finding
            elif len(self._found) < _MOST:
                self._found[finding.key] = number, run, finding
            else:
                self._more.add(finding.key)

    def report(
        self,
        bench: Bench,
        *,
        what: str,
        points: int,
        exhausted: bool,
        stopped: str,
        timeouts: int = 0,
        untried: tuple[int, ...] = (),
        saved: int = 0,
        explains: bool = True,
    ) -> Report:
        """Return the report of what `bench` tried; if it `explains`, with the smallest run for each finding."""
        runs, schedules, ignored = (
            bench.runs,
            bench.schedules,
            dict(bench.ignored),
        )  # not those that it takes to explain
        failures = tuple(
            _explain(bench, number, run, finding)
            if explains
            else failure_of(run, finding, name_of(bench.program), number=number)
            for number, run, finding in self._found.values()
        )
        notes = dict(bench.notes)
        if self._more:
            notes[f"{len(self._more)} more findings are not shown: fix these first"] = None
        return Report(
            program=name_of(bench.program),
            what=what,
            runs=runs,
            points=points,
            timeouts=timeouts,
            untried=untried,
            schedules=schedules,
            saved=saved,
            exhausted=exhausted,
            stopped=stopped,
            failures=failures,
            ignored=ignored,
            notes=tuple(notes),
        )


def _simplicity(run: Run) -> tuple[int, int, int]:
    recipe = run.recipe
    at = recipe.expire_at if recipe.cancel_at is None else recipe.cancel_at
    return POLICIES.index(recipe.policy), len(recipe.deviations), (recipe.fault_at or 0) if at is None else at


def _explain(bench: Bench, number: int, run: Run, finding: Finding) -> Failure:
    """Find the smallest run that shows `finding`, and put it into words."""
    name = name_of(bench.program)
    least = minimise(bench, run, finding)
    told = bench.run(least.recipe, keep_log=True)
    for found in told.findings:
        if found.key == finding.key:
            return failure_of(told, found, name, number=number)
    note = "the same choices gave another run the next time: the program is not deterministic"
    return failure_of(run, finding, name, number=number, notes=[note])
