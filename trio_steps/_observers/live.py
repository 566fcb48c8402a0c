"""The tree of runs as it is now, in bounded memory: what a live display draws.

Each step that is running has a row. Of the runs inside it that are over, a row keeps the most telling few and counts
the others. So a fork of a million paths is as small as its limit, and a service can be watched for as long as it runs.
"""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush, heappushpop
from itertools import chain, islice
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, final

from trio_steps._core.events.records import (
    CircuitChanged,
    LimitWaited,
    PathsCounted,
    StepCancelled,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepSucceeded,
)

from .rows import breaker_is, headline, stored_run, waited_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trio_steps._core.events.records import Event
    from trio_steps._core.scope import Scope
    from trio_steps._drawing.looks import Look, Status

_SIBLINGS: Final = (50, 24, 12, 6, 3, 2)  # rows to draw in one row: the most for which there is room
_MOST_SIBLINGS: Final = 50  # rows that are over and kept, in one row
_MOST_ROWS: Final = 1000  # rows that are over and kept, in all
_MOST_TEXT: Final = 200  # characters of an error's message
_MANY: Final = 12  # paths

_Rank: TypeAlias = tuple[int, float, int]


@final
class LiveRow:
    """A run of a step, and what is known about the runs inside it.

    Attributes:
      name: the full name.
      number: its place in the order in which rows began.
      start: when it began, in seconds.
      parent: the row around it.
      status: its current state, or how it ended.
      won: it won a race.
      took: how long it took, in seconds, when it is over.
      attempts: the number of attempts; 0 if it never started.
      text: the last error, or a reason.
      waited: what it last waited for.
      breaker: the last change that it made to its circuit breaker.
      stored: the id of the run, if it is kept in a store.
      paths: the number of paths, if it is a fork and the number is known.
      running: the rows inside it that are running.
      kept: the rows inside it that are over and kept: a heap, the least telling first.
      steps: all steps of a pipeline inside it that are over.
      in_pipeline: it is a step of a pipeline.
      parallel: the rows inside it are steps of a pipeline.
      ended: how many rows inside it are over, kept or not.
      shortest: the shortest time that one of those took, in seconds.
      longest: the longest time that one of those took, in seconds.
    """

    __slots__ = (
        "attempts",
        "breaker",
        "ended",
        "in_pipeline",
        "kept",
        "longest",
        "name",
        "number",
        "parallel",
        "parent",
        "paths",
        "running",
        "shortest",
        "start",
        "status",
        "steps",
        "stored",
        "text",
        "took",
        "waited",
        "won",
    )

    def __init__(self, name: str, number: int, start: float, parent: LiveRow | None) -> None:
        self.name = name
        self.number = number
        self.start = start
        self.parent = parent
        self.status: Status = "running"
        self.won = False
        self.took = 0.0
        self.attempts = 1
        self.text = ""
        self.waited = self.breaker = self.stored = ""
        self.paths: int | None = None
        self.running: dict[Scope, LiveRow] = {}
        self.kept: list[tuple[_Rank, LiveRow]] = []
        self.steps: list[LiveRow] = []
        self.in_pipeline = False
        self.parallel = False
        self.ended: dict[Look, int] = {}
        self.shortest = inf
        self.longest = 0.0

    @property
    def label(self) -> str:
        """The name, without the name of the row around it."""
        return self.name if self.parent is None else self.name.removeprefix(f"{self.parent.name}/")

    @property
    def note(self) -> str:
        """What else is known of it: the id of its run, a wait for a limit, a circuit breaker."""
        return "; ".join(filter(None, (self.stored, self.waited, self.breaker)))

    @property
    def look(self) -> Look:
        """How it is drawn."""
        return "won" if self.won else self.status

    @property
    def is_wide(self) -> bool:
        """Whether it has more rows inside than a person wants to read."""
        return max(self.paths or 0, len(self.running) + sum(self.ended.values())) > _MANY

    def took_by(self, now: float) -> float:
        """Return how long it took, or how long it has taken by `now` if it is running."""
        return now - self.start if self.status == "running" else self.took

    @property
    def rank(self) -> _Rank:
        """The greater, the more telling: a winner, then a failure, then by time taken."""
        kind = 3 if self.won else 2 if self.status == "failed" else 1 if self.attempts else 0
        return kind, self.took, -self.number

    @property
    def size(self) -> int:
        """The number of rows that are over in it, including itself."""
        rows = [self]  # no recursion: a step that starts the next one may nest thousands
        for row in rows:
            rows += [inside for _, inside in row.kept]
            rows += row.steps
        return len(rows)


class Line(NamedTuple):
    """What to draw on a line: `row`, or if there is a `rest`, how many more rows are inside it."""

    depth: int
    row: LiveRow
    rest: Counter[Look] | None

    @property
    def is_step(self) -> bool:
        """Whether the line shows a step of a pipeline."""
        return self.rest is None and self.row.in_pipeline


@final
class Tree:
    """An observer that keeps the tree.

    Attributes:
      count: how many rows there have been.
      first: the time of the first event, in seconds.
      last: the time of the last event, in seconds.
      slowest: seconds and name of the slowest step without others inside that succeeded or failed.
      fastest: seconds and name of the fastest such step that succeeded.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first = self.last = 0.0
        self.slowest: tuple[float, str] | None = None
        self.fastest: tuple[float, str] | None = None
        self._top = LiveRow("", 0, 0.0, None)
        self._running: dict[Scope, LiveRow] = {}
        self._kept = 0

    def __call__(self, event: Event) -> None:
        """Enter `event`."""
        scope = event.scope
        row = self._running.get(scope)
        if not self.count:
            self.first = event.time
        self.last = event.time
        match event:
            case StepStarted(in_pipeline=in_pipeline, parallel=parallel) if row is None:
                row, parent = self._add(event)
                row.in_pipeline, row.parallel = in_pipeline or parent.parallel, parallel
                self._running[scope] = parent.running[scope] = row
                parent.stored = parent.stored or stored_run(event)
            case StepSkipped(name=name, reason=reason) if row is None or name != row.name:
                skipped, parent = self._add(event)
                skipped.attempts = 0
                skipped.in_pipeline = event.in_pipeline
                self._end(skipped, parent, "skipped" if row is None else "queued", 0.0, reason)
            case _ if row is None:
                pass  # a second time: a caller that passes events on may do so twice
            case StepRetrying(attempt=attempt, error=error):
                row.attempts, row.text = attempt + 1, headline(error)
            case LimitWaited(limit=limit, duration=duration):
                row.waited = waited_for(limit, duration)
            case CircuitChanged(state=state):
                row.breaker = breaker_is(state)
            case PathsCounted(total=total):
                row.paths = (row.paths or 0) + total  # another attempt has its paths again
            case StepSucceeded(duration=duration, won=won):
                row.won = won
                self._leave(scope, row, "succeeded", duration, row.text)
            case StepFailed(duration=duration, error=error):
                self._leave(scope, row, "failed", duration, headline(error))
            case StepCancelled(duration=duration, reason=reason):
                self._leave(scope, row, "cancelled", duration, reason)
            case StepSkipped(time=time, reason=reason):
                self._leave(scope, row, "skipped", time - row.start, reason)
            case _:
                pass  # discarded values and overridden keys are not shown here

    def _add(self, event: Event) -> tuple[LiveRow, LiveRow]:
        """Make a row, and find the one around it."""
        parent: LiveRow | None = None
        scope: Scope | None = event.scope
        while parent is None and scope is not None:
            parent = self._running.get(scope)  # None if that is not observed, or is not a step
            scope = scope.parent
        parent = parent or self._top
        self.count += 1
        return LiveRow(event.name, self.count, event.time, parent), parent

    def _leave(self, scope: Scope, row: LiveRow, status: Status, took: float, text: str) -> None:
        """Record the end of a row that was running."""
        parent = row.parent
        assert parent is not None  # the top never ends
        del self._running[scope], parent.running[scope]
        if row.running:  # in tasks that outlive the step
            for inside in row.running.values():
                inside.parent = parent
            parent.running.update(row.running)
            row.running.clear()
        if took < parent.shortest:
            parent.shortest = took
        if took > parent.longest:
            parent.longest = took
        if not row.ended and status in ("succeeded", "failed"):
            end = took, row.name
            self.slowest = max(self.slowest or end, end)
            if status == "succeeded":
                self.fastest = min(self.fastest or end, end)
        self._end(row, parent, status, took, text)

    def _end(self, row: LiveRow, parent: LiveRow, status: Status, took: float, text: str) -> None:
        row.status, row.took = status, took
        if text:
            fork = parent.name.rpartition("/")[2]
            row.text = text[:_MOST_TEXT].removeprefix(f"fork {fork!r}: ")
        parent.ended[status] = parent.ended.get(status, 0) + 1
        self._kept += 1
        if row.in_pipeline:
            parent.steps.append(row)
        elif len(parent.kept) < _MOST_SIBLINGS:
            heappush(parent.kept, (row.rank, row))
        else:
            self._kept -= heappushpop(parent.kept, (row.rank, row))[1].size
        if self._kept > _MOST_ROWS:
            self._forget(parent)

    def _forget(self, parent: LiveRow) -> None:
        """Forget a few rows: first those inside runs that are over, and then those inside `parent`."""
        old = next((run for _, run in self._top.kept if run.kept or run.steps), parent)
        if old.kept:
            self._kept -= heappop(old.kept)[1].size
        elif old is not parent:
            self._kept -= sum(step.size for step in old.steps)
            old.steps.clear()

    def lines(self, room: int, *, is_live: bool) -> list[Line]:
        """Return what to draw on at most `room` lines, with as many rows in each row as there is room for.

        Args:
          room: the number of lines. In a final drawing, steps of pipelines do not count.
          is_live: whether it will be drawn again soon. Then, of many rows that are over, only those that will stay are
            shown, because the slowest ones may change at any moment.
        """
        lines: list[Line] = []
        for most in _SIBLINGS:
            lines = list(islice(_pick(self._top, 0, most, is_live), room + 1 if is_live else None))
            if sum(is_live or not line.is_step for line in lines) <= room:
                break
        left = iter(range(room))
        return [line for line in lines if (line.is_step and not is_live) or next(left, None) is not None]


def _pick(row: LiveRow, depth: int, most: int, is_live: bool) -> Iterator[Line]:
    """Yield the lines inside `row`: for at most `most` rows, and for the rows inside them."""
    room = most if row.paths is None else min(most, _MANY)  # paths are much alike, so a few will do
    kept = [inside for _, inside in sorted(row.kept, reverse=True)]
    if is_live:
        kept = sorted((*kept, *row.steps), key=lambda inside: inside.rank, reverse=True)
    rest = Counter(row.ended)
    rest["running"] = len(row.running)
    if not is_live:
        rest -= _statuses(row.steps)
    if rest.total() > room or len(row.running) + len(kept) < rest.total():
        room -= 1
        stays = [inside for inside in kept if inside.won or inside.status == "failed"]
        kept = stays if is_live else [inside for inside in kept if inside.attempts]
    picked = list(islice(chain(row.running.values(), kept), room))
    rest -= _statuses(picked)
    if not is_live:
        picked += row.steps
    for inside in sorted(picked, key=lambda inside: inside.number):
        yield Line(depth, inside, None)
        yield from _pick(inside, depth + 1, most, is_live)
    if rest.total():
        yield Line(depth, row, rest)


def _statuses(rows: Iterable[LiveRow]) -> Counter[Look]:
    statuses: Counter[Look] = Counter()
    for row in rows:
        statuses[row.status] += 1
    return statuses
