"""Reports: what was tried and what was found, as text to act on."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, final

import attrs

from ._findings import ExplorationError, Finding, Invariant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ._machine.run import Run
    from ._machine.schedules import Policy
    from ._places import Place

_TRACE: Final = 30  # lines
_TIME: Final = 11  # characters in front of each
_ALIKE: Final = 2  # lines that are shown of similar ones
_MANY: Final = 4  # similar lines; a count of fewer would not be shorter
_CYCLES: Final = range(1, 9)  # lines
_WORDS: Final[dict[Policy, str]] = {
    "trio": "Trio itself runs tasks in this order, or could",
    "batch": "any order of the tasks that are woken together",
    "any": "any order of the tasks that are woken; Trio's own order differs, another version's may not",
}


@final
@attrs.frozen(kw_only=True)
class Failure:
    """A finding, with the smallest run that shows it.

    Attributes:
      finding: what is wrong.
      run: the number of the run that first showed it, from 1.
      token: replays the smallest run that shows it.
      policy: the weakest policy under which that run is possible.
      cancelled_at: the task that had moved last when the program was disturbed, and its line.
      expired: the timeout that fired alone, in words, or None.
      schedule: the choices that matter, in words.
      trace: what the tasks did, line by line.
      text: all of this in words.
    """

    finding: Finding
    run: int
    token: str
    policy: Policy
    cancelled_at: tuple[str, Place | None] | None
    expired: str | None
    schedule: str
    trace: tuple[str, ...]
    text: str = attrs.field(repr=False)

    @property
    def invariant(self) -> Invariant:
        """The name of the broken invariant."""
        return self.finding.invariant

    def __str__(self) -> str:
        return self.text


@final
@attrs.frozen(kw_only=True)
class Report:
    """What an exploration tried and found.

    Attributes:
      program: the name of the program.
      what: what was tried, in words.
      runs: how many times the program was run.
      points: the number of points at which it was disturbed: cancelled, given a fault, or one of its timeouts fired.
      timeouts: how often a timeout fired alone, each time another one or at another point.
      untried: the numbers of the points at which it was not cancelled for lack of budget.
      schedules: the number of different orders in which its tasks ran undisturbed.
      saved: how many more runs it would have taken without ``reduce=True``, as far as that was counted.
      exhausted: whether everything of this kind was tried.
      stopped: what ended the exploration.
      failures: the findings, each once, in the order in which they were found.
      ignored: how many findings were not reported because of ``ignore=``, by invariant.
      notes: what the reader has to know to judge the rest.
    """

    program: str
    what: str
    runs: int
    points: int
    schedules: int
    exhausted: bool
    stopped: str
    timeouts: int = 0
    saved: int = 0
    untried: tuple[int, ...] = ()
    failures: tuple[Failure, ...] = ()
    ignored: Mapping[str, int] = attrs.field(factory=dict[str, int])
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.failures

    def raise_if_failed(self) -> None:
        """Raise if anything was found.

        Raises:
          ExplorationError: there are failures. Its text is the report, and its cause the first error that was found.
        """
        __tracebackhide__ = True
        if self.failures:
            causes = (failure.finding.error for failure in self.failures)
            raise ExplorationError(str(self)) from next((error for error in causes if error is not None), None)

    def __str__(self) -> str:
        result = f"{len(self.failures)} found" if self.failures else "nothing found"
        head = f"{self.program}: {result} in {self.runs} runs ({self.what})"
        lines = [f"{head}; stopped by {self.stopped}"]
        if self.ignored:
            counts = ", ".join(f"{count} of {invariant!r}" for invariant, count in sorted(self.ignored.items()))
            lines.append(f"ignored: {counts}")
        lines += [f"note: {note}" for note in self.notes]
        return "\n\n".join(["\n".join(lines), *map(str, self.failures)])


def failure_of(run: Run, finding: Finding, name: str, *, number: int = 1, notes: Iterable[str] = ()) -> Failure:
    """Put into words what a run shows, with a trace if its log was kept."""
    first, *more = finding.message.split("\n")
    lines = [f"{str(finding.invariant).upper()}: {first}", *alike(more)]
    if finding.place is not None:
        lines.append(f"  at {finding.place.story}")
    cancelled_at = None
    if run.where is not None:
        cancelled_at = run.where.task, run.where.place
        after = f", after {run.where.task} got to {run.where.place}" if run.where.place is not None else ""
        lines.append(f"  when {_what_was_done(run)}{after}:")
        lines += [f"    {line}" for line in alike(run.where.lines)]
        if run.reached is not None and run.reached[1] is not None:
            lines.append(f"  the cancellation first reached {run.reached[0]} at {run.reached[1].story}")
    order = order_in_words(run)
    lines.append("  order: FIFO" + (", except that" if order else ""))
    lines += [f"    {line}" for line in folded(order)]
    lines.append(f"  policy {run.recipe.policy!r}: {_WORDS[run.recipe.policy]}")
    lines += [f"  note: {note}" for note in notes]
    if run.trace:
        trace = folded(run.trace)
        lines.append("  what the tasks did:" if len(trace) <= _TRACE else f"  the last {_TRACE} lines of that:")
        lines += [f"    {line}" for line in trace[-_TRACE:]]
    lines += [f"  {line}" for line in run.objects]
    lines.append(f'  again: replay({name}, "{run.token}"), or pytest --steps-replay={run.token}')
    return Failure(
        finding=finding,
        run=number,
        token=run.token,
        policy=run.recipe.policy,
        cancelled_at=cancelled_at,
        expired=run.expired,
        schedule="FIFO" + (f", except that {'; '.join(folded(order))}" if order else ""),
        trace=run.trace,
        text="\n".join(lines),
    )


def _what_was_done(run: Run) -> str:
    if run.injected:
        return f"the program is cancelled at point {run.recipe.cancel_at}"
    if run.expired is not None:
        return f"{run.expired} fires at point {run.recipe.expire_at}, and no other does"
    return "the program is given a fault"


def order_in_words(run: Run) -> list[str]:
    """Return where the run deviates from FIFO, a line for each decision."""
    said = [line for line in run.chosen if line]
    if said:
        return said
    return [f"at decision {decision}, choice {choice}" for decision, choice in sorted(run.recipe.deviations.items())]


def alike(lines: Iterable[str]) -> list[str]:
    """Keep two of the lines that differ only in numbers, and count the others."""
    lines = list(lines)
    counts = Counter(map(_numberless, lines))
    seen: Counter[str] = Counter()
    kept: list[str] = []
    for line in lines:
        kind = _numberless(line)
        seen[kind] += 1
        if seen[kind] <= _ALIKE or counts[kind] < _MANY:
            kept.append(line)
        elif seen[kind] == counts[kind]:
            indent = line[: len(line) - len(line.lstrip())]
            kept.append(f"{indent}… {counts[kind] - _ALIKE:,} more like this")
    return kept


def _numberless(line: str) -> str:
    return re.sub(r"#\d+", "#", line)


def folded(lines: Sequence[str]) -> list[str]:
    """Show lines that repeat, apart from the time in front, once and with a count."""
    times_in_front = [line[:_TIME].strip().replace(".", "").isdigit() for line in lines]
    kinds = [line[_TIME:] if timed else line for line, timed in zip(lines, times_in_front, strict=True)]
    told: list[str] = []
    at = 0
    while at < len(lines):
        size, times = _cycle(kinds, at)
        told += lines[at : at + size]
        if times == 2:
            told[-1] += " (2 times)"
        elif times > 1:
            told.append(f"{'':{_TIME if times_in_front[at] else 0}}… {(times - 1) * size:,} more like this")
        at += size * times
    return told


def _cycle(kinds: Sequence[str], at: int) -> tuple[int, int]:
    """Return how many lines from `at` on form a cycle, and how many times it repeats."""
    for size in _CYCLES:
        times = 1
        while kinds[at : at + size] == kinds[at + size * times : at + size * (times + 1)]:
            times += 1
        if times > 2 or (times == 2 and size == 1):
            return size, times
    return 1, 1
