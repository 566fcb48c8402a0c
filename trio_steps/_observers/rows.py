"""The events of a run as rows: one for each run of a step, with the runs inside it.

The rows are a pure function of the events. Every drawing of a run, as text or as a page, draws these rows.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Literal, cast, final

import attrs

from trio_steps._core.errors import cut, short_repr
from trio_steps._core.events.records import (
    AttemptEnded,
    AttemptStarted,
    CircuitChanged,
    ErrorDiscarded,
    Event,
    LimitWaited,
    PathsCounted,
    StepCancelled,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    ValueDiscarded,
)
from trio_steps._drawing.looks import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trio_steps._core.scope import Scope
    from trio_steps._drawing.looks import Look, Status

_MOST_TEXT: Final = 1_000
"""The most characters of an error's message."""


@final
@attrs.define(eq=False)
class Attempt:
    """An attempt of a step, which is still running if `end` is None."""

    start: float
    end: float | None = None
    error: BaseException | None = None


@final
@attrs.frozen
class Phase:
    """A part of a run: a failed attempt, the wait before an attempt, or the last attempt."""

    kind: Literal["failed", "wait", "last"]
    start: float
    end: float


@final
@attrs.define(eq=False)
class Row:
    """A run of a step; a path that waited for its turn and never ran; or a crowd of them.

    Times are those of the events, in seconds.
    """

    id: str
    name: str  # in full
    label: str  # the name, without the name of the row around it
    parent: Row | None
    start: float  # if it never started: when that was known
    end: float | None = None  # None: it is still running
    status: Status = "running"
    ran: bool = True  # False: it never started
    won: bool = False  # a race, by succeeding
    queued: float | None = None  # since when it waited for its turn to start, if that is known
    text: str = ""  # how it ended
    error: BaseException | None = None
    in_pipeline: bool = False  # it is a step of a pipeline, of which there are not too many
    parallel: bool = False  # the rows inside it are such steps too
    attempts: list[Attempt] = attrs.field(factory=list[Attempt])  # if it has policies
    notes: list[str] = attrs.field(factory=list[str])  # what else happened: waits for limits, circuit breakers
    retries: list[StepRetrying] = attrs.field(factory=list[StepRetrying])
    discards: list[ValueDiscarded | ErrorDiscarded] = attrs.field(factory=list["ValueDiscarded | ErrorDiscarded"])
    children: list[Row] = attrs.field(factory=list["Row"])
    errors: list[BaseException] = attrs.field(factory=list[BaseException])  # of the children
    crowd: Sequence[Row] = ()
    is_telling: bool = False  # it failed or was retried, or a row inside it did
    depth: int = attrs.field(default=0, init=False)  # how many rows are around it

    def __attrs_post_init__(self) -> None:
        if self.parent is not None:
            self.depth = self.parent.depth + 1

    @property
    def look(self) -> Look:
        """How it is drawn."""
        return "won" if self.won else self.status

    @property
    def waited(self) -> float:
        """The seconds for which it waited for its turn to start; 0 if Trio only had to switch tasks."""
        waited = 0.0 if self.queued is None else self.start - self.queued
        return waited if waited >= 0.001 else 0.0

    def end_by(self, now: float) -> float:
        """Return when it ended, or `now` if it is still running."""
        return now if self.end is None else self.end

    @property
    def retried(self) -> str:
        """The number of retries, in words; empty if there were none."""
        return "1 retry" if len(self.retries) == 1 else f"{len(self.retries)} retries" if self.retries else ""

    @property
    def is_written(self) -> bool:
        """Whether it is a step of a pipeline, which always has its own line or row."""
        return self.in_pipeline or (self.parent is not None and self.parent.parallel)

    def phases(self, now: float) -> Iterator[Phase]:
        """Yield the parts of its run, up to `now` if it is still running."""
        end = self.end_by(now)
        at = self.start
        for number, attempt in enumerate(self.attempts, 1):
            if attempt.start > at:
                yield Phase("wait", at, attempt.start)
            at = end if attempt.end is None else attempt.end
            # The attempt whose failure is the failure of the run is not marked again.
            is_whole = number == len(self.attempts) and self.status == "failed"
            has_failed = isinstance(attempt.error, Exception) and not is_whole
            yield Phase("failed" if has_failed else "last", attempt.start, at)
        if not self.attempts:
            yield Phase("last", at, end)
        elif at < end:
            yield Phase("wait", at, end)

    def said(self) -> str:
        """Return one line with what the status alone does not say."""
        again = self.retried
        if again and self.status != "failed":
            again += f" after {describe(self.retries[-1].error)}"
        return plain("; ".join(filter(None, (self.text, again, *self.notes, *map(self.discard, self.discards)))))

    def discard(self, event: ValueDiscarded | ErrorDiscarded) -> str:
        """Return what was discarded."""
        if isinstance(event, ErrorDiscarded):
            what = "discarded" if event.error is self.error else f"discarded {describe(event.error)}"
        else:
            what = "value disposed of" if event.disposed else "value discarded"
        return what if event.name == self.name else f"{event.name.removeprefix(f'{self.name}/')}: {what}"


def read(events: Iterable[Event]) -> list[Row]:
    """Return the runs at the top, in the order in which they began, with everything that ran inside them."""
    reader = _Reader()
    for event in events:
        reader.read(event)
    return reader.top


def walk(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield `rows` and all rows inside them, each before those inside it."""
    ahead = list(rows[::-1])  # no recursion: a step that starts the next one may nest thousands
    while ahead:
        row = ahead.pop()
        yield row
        ahead += row.children[::-1]


@final
class _Reader:
    """Finds the row of each event: the row of its scope, or of a path in the scope of a fork."""

    def __init__(self) -> None:
        self.top: list[Row] = []
        self._runs: dict[Scope, Row] = {}
        self._latest: dict[tuple[Row, str], Row] = {}  # inside that row, by full name
        self._queues: dict[
            Row, tuple[float, int]
        ] = {}  # per fork: when its paths were counted, and how many still wait
        self._before: dict[Row, int] = {}  # per retried fork: how many paths ran in earlier attempts

    def read(self, event: Event) -> None:
        """Enter `event` in its row."""
        match event:
            case StepStarted(in_pipeline=in_pipeline, parallel=parallel):
                row = self._run(event, event.time)
                row.in_pipeline, row.parallel = in_pipeline, parallel
                stored = stored_run(event)
                if row.parent is not None and stored and stored not in row.parent.notes:
                    row.parent.notes.append(stored)
            case StepSucceeded(won=won):
                self._end(event, event.duration, "succeeded").won = won
            case StepFailed(error=error):
                row = self._end(event, event.duration, "failed")
                row.error, row.text = error, describe(error, row.name, row.errors)
                if row.parent is not None:
                    row.parent.errors.append(error)
            case StepCancelled(reason=reason):
                row = self._end(event, event.duration, "cancelled")
                row.text = _because(reason, row.parent)
            case StepSkipped(reason=reason):
                row = self._skip(event)
                row.text = _because(reason, row.parent)
            case StepRetrying():
                row = self._run(event, event.time)
                row.retries.append(event)
                self._before[row] = len(row.children)
            case AttemptStarted(time=time):
                self._run(event, time).attempts.append(Attempt(time))
            case AttemptEnded(time=time, duration=duration, error=error):
                row = self._run(event, time - duration)
                if not row.attempts or row.attempts[-1].end is not None:  # its start was not observed
                    row.attempts.append(Attempt(time - duration))
                row.attempts[-1].end, row.attempts[-1].error = time, error
            case LimitWaited(time=time, limit=limit, duration=duration):
                self._run(event, time - duration).notes.append(waited_for(limit, duration))
            case CircuitChanged(state=state):
                self._run(event, event.time).notes.append(breaker_is(state))
            case PathsCounted(time=time, total=total):
                row = self._run(event, time)
                if len(row.children) == self._before.get(row, 0):  # otherwise they came one by one
                    self._queues[row] = time, total
            case ValueDiscarded(name=name) | ErrorDiscarded(name=name):
                row = self._run(event, event.time)
                self._latest.get((row, name), row).discards.append(event)
            case _:
                pass  # it adds nothing to a row

    def _run(self, event: Event, start: float) -> Row:
        """Return the row of the event's scope, which is new if the scope is."""
        scope = event.scope
        if scope in self._runs:
            return self._runs[scope]
        ids = [scope.id]
        outer = scope.parent
        while outer is not None and outer not in self._runs:  # it is not observed, or is not a step
            if not outer.unnamed_inside:
                ids.append(outer.id)
            outer = outer.parent
        parent = None if outer is None else self._runs[outer]
        label = "/".join(reversed(ids))
        row = self._runs[scope] = self._add(Row(scope.id, scope.name, label, parent, start))
        return row

    def _add(self, row: Row) -> Row:
        parent = row.parent
        if parent is None:
            self.top.append(row)
            return row
        parent.children.append(row)
        self._latest[parent, row.name] = row
        counted, waiting = self._queues.get(parent, (0.0, 0))
        if waiting:
            row.queued = counted
            self._queues[parent] = counted, waiting - 1
        return row

    def _end(self, event: Event, duration: float, status: Status) -> Row:
        row = self._run(event, event.time - duration)
        row.end, row.status = event.time, status
        return row

    def _skip(self, event: StepSkipped) -> Row:
        name, scope, time = event.name, event.scope, event.time
        if name == scope.name:
            started = scope in self._runs
            row = self._end(event, 0.0, "skipped")
            row.ran, row.in_pipeline = started, event.in_pipeline
            return row
        id = name.removeprefix(f"{scope.name}/")
        row = self._add(Row(id, name, id, self._run(event, time), time))
        row.end, row.status, row.ran = time, "queued", False
        return row


def _because(reason: str, parent: Row | None) -> str:
    """Return `reason` without what the row around it (`parent`) already shows: the fork, and its error."""
    if parent is not None:
        reason = reason.removeprefix(f"fork {parent.id!r}: ")
        for error in parent.errors[-1:]:
            reason = reason.removesuffix(f": {short_repr(error)}")
    return reason.removeprefix("cancelled ")


def describe(error: BaseException, name: str = "", told: Iterable[BaseException] = ()) -> str:
    """Return the type and message of `error`, without what its row (`name`) or other rows (`told`) already show."""
    kind, text = type(error).__name__, message(error)
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        known = set(map(id, told))
        rest = [describe(inner, name) for inner in group.exceptions if known.isdisjoint((id(group), id(inner)))]
        text = cut(group.message + (f" ({', '.join(rest)})" if rest else ""), _MOST_TEXT)
    text = text.removeprefix(f"fork {name!r}: ").removeprefix(f"{name!r} ")
    return f"{kind}: {text}" if text else kind


# In words


def stored_run(event: StepStarted) -> str:
    """Return the note about the run around a step: its id, if it is kept in a store; otherwise an empty text.

    A run has its id when its first step begins, and not when it begins itself: first it has to be claimed.
    """
    around = event.scope.parent
    if not event.in_pipeline or around is None or not hasattr(around, "durable_run"):
        return ""
    return plain(f"run {around.durable_run.run_id}")


def waited_for(limit: str, duration: float) -> str:
    """Return the note about a step that waited `duration` seconds for a limit."""
    what = "a token of its limiter" if limit == "limiter" else "a permit of its rate"
    return f"waited {clock(duration)} for {what}"


def breaker_is(state: str) -> str:
    """Return the note about a step whose circuit breaker changed to `state`."""
    return f"circuit breaker {'opened' if state == 'open' else state}"


def headline(error: BaseException) -> str:
    """Return the type and message of `error`, for a line that is cut elsewhere."""
    return f"{type(error).__name__}: {message(error)}".removesuffix(": ")


def message(error: BaseException) -> str:
    """Return the message of `error`, cut to 1,000 characters. An error in its ``__str__`` does no harm."""
    try:
        return cut(str(error), _MOST_TEXT)
    except Exception:  # noqa: BLE001 - any error, in the method that describes an error
        return "its message could not be read"


def counts(rows: Iterable[Row]) -> str:
    """Return how many of `rows` ended in each way."""
    ends: Counter[str] = Counter()
    for row in rows:
        ends[WORDS[row.status]] += 1
        ends["retries"] += len(row.retries)
        ends["discarded"] += len(row.discards)
    return ", ".join(f"{ends[what]} {what}" for what in (*WORDS.values(), "retries", "discarded") if ends[what])


def clock(seconds: float) -> str:
    """Return a time with up to three digits, in a suitable unit."""
    if seconds >= 0.9995:
        return f"{seconds:.3g} s" if seconds < 99.95 else f"{seconds:.0f} s"
    if seconds >= 0.0009995:
        return f"{seconds * 1e3:.2g} ms" if seconds < 0.00995 else f"{seconds * 1e3:.0f} ms"
    micro = round(seconds * 1e6)
    return f"{micro} µs" if micro else "0 ms"


def plain(text: str) -> str:
    """Return `text` on one line, without characters that would affect a terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
