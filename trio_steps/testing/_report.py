"""Reports: what was tried and what was found, as text that a person can act on."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final, final

import attrs

from ._findings import ExplorationError, Finding, Invariant
from ._machine.conductor import name_of
from ._search.minimise import minimise

if TYPE_CHECKING:
    from ._machine.run import Run
    from ._machine.schedules import Policy
    from ._places import Place
    from ._search.bench import Bench

_TRACE: Final = 30  # lines
_MOST_FAILURES: Final = 5
_WORDS: Final[dict[Policy, str]] = {
    "trio": "Trio itself runs tasks in this order, or could",
    "batch": "any order of the tasks that are woken together",
    "any": "any order of the tasks that are woken; Trio's own order differs, another version's may not",
}


@final
@attrs.frozen(kw_only=True)
class Failure:
    """Something that was found, and the least that shows it.

    Attributes:
      finding: what is wrong.
      token: replays the run that shows it.
      policy: the weakest policy under which that run is possible.
      cancelled_at: the task that had moved last when the program was cancelled (or got the fault), and its line.
      schedule: the choices that matter, in words.
      trace: what the tasks did, line by line.
      text: all of it, for a person to read.
    """

    finding: Finding
    token: str
    policy: Policy
    cancelled_at: tuple[str, Place | None] | None
    schedule: str
    trace: tuple[str, ...]
    text: str = attrs.field(repr=False)

    @property
    def invariant(self) -> Invariant:
        """Which invariant is broken."""
        return self.finding.invariant

    def __str__(self) -> str:
        return self.text


@final
@attrs.frozen(kw_only=True)
class Report:
    """What an exploration has tried, and what it found.

    Attributes:
      program: the name of the program.
      what: what was tried, in words.
      runs: how many times the program was run.
      points: at how many points it was cancelled, or given a fault.
      schedules: in how many different orders its tasks ran, undisturbed.
      exhausted: whether that is all there is of what was tried.
      stopped: what ended the exploration.
      failures: what was found.
      notes: what the reader has to know to judge the rest.
    """

    program: str
    what: str
    runs: int
    points: int
    schedules: int
    exhausted: bool
    stopped: str
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.failures

    def raise_if_failed(self) -> None:
        """Do nothing if nothing was found.

        Raises:
          ExplorationError: something was; its text is the report.
        """
        if self.failures:
            raise ExplorationError(str(self))

    def __str__(self) -> str:
        result = f"{len(self.failures)} found" if self.failures else "nothing found"
        head = f"{self.program}: {result} in {self.runs} runs ({self.what})"
        lines = [f"{head}; stopped by {self.stopped}", *(f"note: {note}" for note in self.notes)]
        return "\n\n".join(["\n".join(lines), *map(str, self.failures)])


@final
class Findings:
    """What was found so far, each thing once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[Run, Finding]] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, run: Run) -> None:
        """Keep what is new."""
        for finding in run.findings:
            self._found.setdefault(finding.key, (run, finding))

    def report(self, bench: Bench, *, what: str, points: int, schedules: int, exhausted: bool, stopped: str) -> Report:
        """Return the report of what `bench` has tried, with the first findings explained."""
        runs = bench.runs  # not those that it takes to explain
        found = list(self._found.values())[:_MOST_FAILURES]
        return Report(
            program=name_of(bench.program),
            what=what,
            runs=runs,
            points=points,
            schedules=schedules,
            exhausted=exhausted,
            stopped=stopped,
            failures=tuple(_explain(bench, run, finding) for run, finding in found),
            notes=tuple(bench.notes),
        )


def _explain(bench: Bench, run: Run, finding: Finding) -> Failure:
    """Find the least that shows `finding`, and put it in words."""
    name = name_of(bench.program)
    least = minimise(bench, run, finding)
    told = bench.run(least.recipe, keep_log=True)
    same = [found for found in told.findings if found.invariant == finding.invariant]
    same.sort(key=lambda found: found.message != finding.message)  # of several, the one it was about
    if not same:
        note = "the same choices gave another run the next time: the program is not deterministic"
        return failure_of(run, finding, name, note)
    return failure_of(told, same[0], name)


def failure_of(run: Run, finding: Finding, name: str, note: str = "") -> Failure:
    """Put in words what a run shows; it has a trace if its log was kept."""
    lines = [str(finding.invariant).upper() + ": " + finding.message.split("\n", 1)[0]]
    lines += finding.message.split("\n")[1:]
    if finding.place is not None:
        lines.append(f"  at {finding.place.story}")
    cancelled_at = None
    if run.where is not None and (run.injected or run.recipe.fault_at is not None):
        cancelled_at = run.where.task, run.where.place
        what = f"cancelled at point {run.recipe.cancel_at}" if run.injected else "given a fault"
        after = f", after {run.where.task} got to {run.where.place}" if run.where.place is not None else ""
        lines.append(f"  when the program is {what}{after}:")
        lines += [f"    {line}" for line in run.where.lines]
        if run.reached is not None and run.reached[1] is not None:
            lines.append(f"  the cancellation came first to {run.reached[0]} at {run.reached[1].story}")
    schedule = schedule_in_words(run)
    lines += [f"  order: {schedule}", f"  policy {run.recipe.policy!r}: {_WORDS[run.recipe.policy]}"]
    if note:
        lines.append(f"  note: {note}")
    if run.trace:
        lines.append("  what the tasks did:" if len(run.trace) <= _TRACE else f"  the last {_TRACE} steps:")
        lines += [f"    {line}" for line in _folded(run.trace[-_TRACE:])]
    lines.append(f'  again: replay({name}, "{run.token}"), or pytest --steps-replay={run.token}')
    return Failure(
        finding=finding,
        token=run.token,
        policy=run.recipe.policy,
        cancelled_at=cancelled_at,
        schedule=schedule,
        trace=run.trace,
        text="\n".join(lines),
    )


def _folded(trace: tuple[str, ...]) -> list[str]:
    """Say the same thing once, and how many times it happened."""
    folded: list[str] = []
    for line, repeats in groupby(trace):
        times = sum(1 for _ in repeats)
        folded.append(line if times == 1 else f"{line} ({times} times)")
    return folded


def schedule_in_words(run: Run) -> str:
    """Say where the run deviates from FIFO."""
    deviations = sorted(run.recipe.deviations.items())
    if not deviations:
        return "FIFO"
    said: list[str] = []
    for decision, choice in deviations:
        if run.recipe.policy == "trio":
            said.append(f"decision {decision} → the batch reversed")
        elif decision < len(run.chosen):
            said.append(f"decision {decision} → task `{run.chosen[decision]}`")
        else:
            said.append(f"decision {decision} → choice {choice}")
    return "FIFO except " + ", ".join(said)
