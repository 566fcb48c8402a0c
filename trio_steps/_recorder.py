"""The built-in observer: it keeps the story of a run, and draws it as a timeline.

Three parts, each a pure function of the one before. Events are read into *rows*: one for each run of a step, with
the runs inside it. Rows are picked, so that a thousand siblings become a few and a crowd. What was picked is drawn
on a common time axis, with box-drawing lines: their halves can be light or heavy, so a cell shows two moments.
"""

from __future__ import annotations

import sys
import textwrap
from collections import Counter, defaultdict
from math import floor, inf, log10
from typing import TYPE_CHECKING, Final, cast, final

import attrs

from ._events import (
    ErrorDiscarded,
    Event,
    StepCancelled,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    ValueDiscarded,
)

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_FAILED, _RUNNING, _DONE, _CANCELLED, _SKIPPED = _MARKS = "✗▸✓⊘·"  # the most telling first
_RETRIED: Final = "↻"
_WORDS: Final = dict(zip(_MARKS, ("failed", "still running", "succeeded", "cancelled", "skipped"), strict=True))
_COLORS: Final = dict(zip(_MARKS, ("31", "36", "32", "33", "2"), strict=True))
_DIM: Final = "2"

_NOTHING, _LIGHT, _HEAVY = 0, 1, 2
_LINES: Final = " ╶╺╴─╼╸╾━"  # the left half times 3, plus the right half
_HEIGHTS: Final = " ▁▂▃▄▅▆▇█"

_LEAST_WIDTH: Final = 80
_MOST_LINES: Final = 120
_MOST_SIBLINGS: Final = (12, 6, 3, 2)  # the first that keeps to that number of lines


@final
@attrs.define(eq=False, repr=False)
class Recorder:
    """Keeps every event of the runs it observes, and draws them as a timeline.

    Give it to a run, ``await research.run(topic, observers=[recorder])``, or to several, and print it, when they
    have ended or before. It holds on to the errors and discarded values in the events. Runs of one name at the
    same time are told apart only as far as their events differ: better give each a recorder of its own.
    """

    _events: list[Event] = attrs.field(factory=list[Event], init=False)

    def __call__(self, event: Event) -> None:
        """Keep `event`, unless it is of a step with ``log=False``."""
        if not event.quiet:
            self._events.append(event)

    @property
    def events(self) -> tuple[Event, ...]:
        """The events so far, in order."""
        return tuple(self._events)

    def render(self, *, width: int = 100, color: bool = False) -> str:
        """Return the timeline: a line for each step says when it ran, and how that ended.

        Runs that overlap share a time axis. Of more than a dozen siblings, the most telling get a line each, and
        the rest one together: how many ran at each moment, and how they ended.

        Args:
          width: how many characters a line may have; less than 80 counts as 80.
          color: whether to use ANSI colours. Nothing is told by colour alone.
        """
        if not self._events:
            return "nothing has run yet"
        now = self._events[-1].time
        groups = _overlapping(_read(self._events))
        picked = _pick_groups(groups)
        charts = ["\n".join(_draw(rows, now, max(width, _LEAST_WIDTH), color)) for rows in picked]
        earlier = [row for group in groups[: -len(picked)] for row in group]
        if earlier:
            charts.insert(0, f"… {len(earlier)} earlier runs: {_counts(earlier)}")
        return "\n\n".join(charts)

    def __str__(self) -> str:
        return self.render()

    def __repr__(self) -> str:
        return f"<Recorder: {len(self._events)} events>"


# Reading: from events to rows


@final
@attrs.define(eq=False)
class _Row:
    """What a line shows: a run of a step, or a crowd of them."""

    label: str
    parent: _Row | None
    start: float
    end: float | None = None  # None: it goes on
    mark: str = _RUNNING
    ran: bool = True  # False: it never started
    text: str = ""  # how it ended
    error: BaseException | None = None
    retries: list[StepRetrying] = attrs.field(factory=list[StepRetrying])
    discards: list[str] = attrs.field(factory=list[str])
    children: list[_Row] = attrs.field(factory=list["_Row"])
    labels: set[str] = attrs.field(factory=set[str])  # of the children
    errors: list[BaseException] = attrs.field(factory=list[BaseException])  # of the children
    crowd: Sequence[_Row] | None = None

    @property
    def depth(self) -> int:
        return 0 if self.parent is None else self.parent.depth + 1

    def because(self, reason: str) -> str:
        """Return `reason` without what the rows around this one say: which fork it was, and what error."""
        if self.parent is not None:
            for id in (self.parent.label, self.parent.label.rpartition("/")[2]):
                reason = reason.removeprefix(f"fork {id!r}: ")
            for error in self.parent.errors[-1:]:
                reason = reason.removesuffix(f": {error!r}")
        return reason.removeprefix("cancelled ")

    def note(self, moment: Callable[[float], str]) -> str:
        """Return what there is to say; `moment` puts a time in words."""
        text = self.text
        if self.mark == _CANCELLED and self.end is not None:
            text = f"cancelled at {moment(self.end)}: {text}"
        elif self.mark == _SKIPPED:
            text = f"{'skipped' if self.ran else 'never started'}: {text}"
        elif self.mark == _RUNNING:
            text = _WORDS[_RUNNING]
        again = ""
        if self.retries:
            again = "1 retry" if len(self.retries) == 1 else f"{len(self.retries)} retries"
            if self.mark != _FAILED:
                again += f" after {_describe(self.retries[-1].error)}"
        return _plain("; ".join(filter(None, (text, again, *self.discards))))


@final
class _Reader:
    """Finds out which run of a step each event is about, and inside which run that was.

    The name need not be enough, for a step can run again, and twice at once. But the duration of an end tells
    the start, and the paths of one fork have different names.
    """

    def __init__(self) -> None:
        self.top: list[_Row] = []
        self._running: defaultdict[str, list[_Row]] = defaultdict(list)
        self._latest: dict[str, _Row] = {}

    def read(self, event: Event) -> None:
        """Enter `event` in its row."""
        name = event.name
        match event:
            case StepStarted(time=start):
                self._running[name].append(self._add(name, start))
            case StepSucceeded(duration=duration):
                self._end(event, duration, _DONE)
            case StepFailed(duration=duration, error=error):
                row = self._end(event, duration, _FAILED)
                row.error, row.text = error, _describe(error, name, row.errors)
                if row.parent is not None:
                    row.parent.errors.append(error)
            case StepCancelled(duration=duration, reason=reason):
                row = self._end(event, duration, _CANCELLED)
                row.text = row.because(reason)
            case StepSkipped(reason=reason):
                ran = bool(self._running[name])
                row = self._end(event, 0.0, _SKIPPED)
                row.ran, row.text = ran, row.because(reason)
            case StepRetrying(attempt=attempt):
                fitting = (row for row in self._running[name] if len(row.retries) == attempt - 1)
                next(fitting, self._last(event)).retries.append(event)
            case ValueDiscarded(disposed=disposed):
                self._last(event).discards.append("value disposed of" if disposed else "value discarded")
            case ErrorDiscarded(error=error):
                row = self._last(event)
                row.discards.append("discarded" if error is row.error else f"discarded {_describe(error)}")
            case _:
                pass  # it says nothing here

    def _add(self, name: str, start: float) -> _Row:
        """Add a row to the nearest run that is going on around `name`, or at the top if there is none."""
        cut = name.rfind("/")
        while cut >= 0 and not self._running.get(name[:cut]):
            cut = name.rfind("/", 0, cut)
        label = name[cut + 1 :]
        parent = None
        if cut >= 0:
            parents = self._running[name[:cut]]
            parent = next((row for row in parents if label not in row.labels), parents[-1])
            parent.labels.add(label)
        row = self._latest[name] = _Row(label, parent, start)
        (self.top if parent is None else parent.children).append(row)
        return row

    def _end(self, event: Event, duration: float, mark: str) -> _Row:
        running = self._running[event.name]
        if running:
            row = next((row for row in running if event.time - row.start == duration), running[0])
            running.remove(row)
        else:
            row = self._add(event.name, event.time - duration)
        row.end, row.mark = event.time, mark
        return row

    def _last(self, event: Event) -> _Row:
        return self._latest.get(event.name) or self._add(event.name, event.time)


def _read(events: Iterable[Event]) -> list[_Row]:
    """Return the runs at the top, with all that ran inside them."""
    reader = _Reader()
    for event in events:
        reader.read(event)
    return reader.top


def _describe(error: BaseException, name: str = "", told: Sequence[BaseException] = ()) -> str:
    """Return the type and message of `error`, without what its line says (`name`) or others do (`told`)."""
    kind, text = type(error).__name__, str(error)
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        known = set(map(id, told))
        rest = [_describe(inner, name) for inner in group.exceptions if known.isdisjoint((id(group), id(inner)))]
        text = group.message + (f" ({', '.join(rest)})" if rest else "")
    text = text.removeprefix(f"fork {name!r}: ").removeprefix(f"{name!r} ")
    return f"{kind}: {text}" if text else kind


# Picking: from all rows to those that are drawn


def _overlapping(rows: Iterable[_Row]) -> list[list[_Row]]:
    """Return the runs at the top in groups, each of which begins when those before are over."""
    groups: list[list[_Row]] = []
    over = -inf
    for row in rows:
        if row.start >= over:
            groups.append([])
        groups[-1].append(row)
        over = max(over, inf if row.end is None else row.end)
    return groups


def _pick_groups(groups: Sequence[Sequence[_Row]]) -> list[list[_Row]]:
    """Return what to draw of the last groups, with as many siblings as there is room for."""

    def picked(most: int) -> list[list[_Row]]:
        return [list(_pick(rows, most)) for rows in groups[0 if len(groups) <= most else 1 - most :]]

    few_enough = (rows for rows in map(picked, _MOST_SIBLINGS) if sum(map(len, rows)) <= _MOST_LINES)
    return next(few_enough, None) or picked(_MOST_SIBLINGS[-1])


def _pick(rows: Sequence[_Row], most: int) -> Iterator[_Row]:
    """Yield `rows` and what ran inside them; of more than `most` siblings the least telling as a crowd."""
    by_mark = sorted(rows, key=lambda row: _MARKS.index(row.mark))
    telling = set(by_mark if len(rows) <= most else by_mark[: most - 1])
    crowd: list[_Row] = []
    for row in rows:
        if row in telling:
            yield row
            yield from _pick(row.children, most)
        else:
            crowd.append(row)
    if crowd:
        ran = [row for row in crowd if row.ran]
        start = min((row.start for row in ran), default=crowd[0].start)
        end = None if _RUNNING in {row.mark for row in ran} else max((row.end or start for row in ran), default=start)
        label, text = f"… {len(crowd)} more", _counts(crowd)
        yield _Row(label, crowd[0].parent, start, end, "", bool(ran), text, crowd=ran)


def _counts(rows: Sequence[_Row]) -> str:
    """Return how many of `rows` ended in each way."""
    ends = Counter(row.mark for row in rows)
    counts = [(ends[mark], _WORDS[mark]) for mark in _MARKS]
    counts += (sum(len(row.retries) for row in rows), "retries"), (sum(len(row.discards) for row in rows), "discarded")
    return ", ".join(f"{count} {what}" for count, what in counts if count)


# Drawing: from rows to lines


def _draw(rows: Sequence[_Row], now: float, width: int, color: bool) -> Iterator[str]:
    """Yield the lines of one chart."""

    def paint(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if color and text.strip() else text

    ends = [now if row.end is None else row.end for row in rows]
    origin = min(row.start for row in rows)
    span = max(ends) - origin

    def moment(time: float) -> str:
        return _clock(round(time - origin, 3 if span >= 0.1 else 6))  # not when each task got its turn

    labels = [_plain(f"{row.mark} {row.label}") for row in rows]
    labels = [f"{'':{2 * row.depth}}{label}" for row, label in zip(rows, labels, strict=True)]
    starts = [moment(row.start) if row.ran else "" for row in rows]
    tooks = [_clock(end - row.start) if row.ran else "" for row, end in zip(rows, ends, strict=True)]
    notes = [row.note(moment) for row in rows]
    for_label = min(max(map(len, labels)), width * 3 // 10)
    for_start, for_took = max(5, *map(len, starts)), max(5, *map(len, tooks))
    for_rest = width - for_label - for_start - for_took - 8
    for_bar = min(max(for_rest - max(map(len, notes)), width // 5), width // 2)
    axis = _Axis(origin, span, for_bar)

    yield paint(f"{'':{for_label}}  {axis.ticks():{for_bar}}  {'start':>{for_start}}  {'took':>{for_took}}", _DIM)
    for row, end, label, start, took, note in zip(rows, ends, labels, starts, tooks, notes, strict=True):
        code = _COLORS.get(row.mark, _DIM)
        first, *more = textwrap.wrap(note, for_rest - for_bar, max_lines=3, placeholder=" …") or [""]
        name = label if len(label) <= for_label else f"{label[: for_label - 1]}…"
        line = f"{name:{for_label}}  {paint(axis.bar(row, end), code)}  {start:>{for_start}}  {took:>{for_took}}"
        yield f"{line}  {paint(first, code)}".rstrip()
        for text in more:
            yield f"{'':{width - for_rest + for_bar}}{paint(text, code)}"


@final
@attrs.frozen
class _Axis:
    """Time, as `cells` characters show it."""

    origin: float
    span: float
    cells: int

    def half(self, time: float) -> int:
        """Return how many half cells there are before `time`."""
        return min(max(round((time - self.origin) / (self.span or 1.0) * 2 * self.cells), 0), 2 * self.cells)

    def _halves(self, start: float, end: float) -> tuple[int, int]:
        """Return where to draw from and to: one half at least."""
        first = min(self.half(start), 2 * self.cells - 1)
        return first, max(self.half(end), first + 1)

    def ticks(self) -> str:
        """Return round times, each where its moment is."""
        least = 7.5 * (self.span or 1.0) / self.cells
        power = 10.0 ** floor(log10(least))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)
        text = "0 ms"
        for number in range(1, floor(self.span / step) + 1):
            label = _clock(number * step)
            at = self.half(self.origin + number * step) // 2
            if at + len(label) <= self.cells:
                text = f"{text:{at}}{label}"
        return text

    def bar(self, row: _Row, end: float) -> str:
        """Return the line of `row`: light where it waited or was cancelled, and marks for what happened."""
        if row.crowd is not None:
            return self._crowd(row.crowd, end)
        first, last = self._halves(row.start, end)
        halves = [_NOTHING] * (2 * self.cells)
        if row.ran:
            halves[first:last] = [_LIGHT if row.mark == _CANCELLED else _HEAVY] * (last - first)
        for retry in row.retries:
            failed, again = self.half(retry.time), min(self.half(retry.time + retry.delay), last)
            halves[failed:again] = [_LIGHT] * (again - failed)
        bar = [_LINES[3 * left + right] for left, right in zip(halves[::2], halves[1::2], strict=True)]
        for retry in row.retries:
            bar[min(self.half(retry.time), last - 1) // 2] = _RETRIED
        if row.mark != _DONE:
            bar[(last - 1) // 2] = row.mark
        return "".join(bar)

    def _crowd(self, rows: Iterable[_Row], now: float) -> str:
        """Return how many of `rows` ran in each cell, from a few (▁) to the most (█)."""
        busy = [0] * self.cells
        for row in rows:
            for half in range(*self._halves(row.start, now if row.end is None else row.end)):
                busy[half // 2] += 1
        top, most = len(_HEIGHTS) - 1, max(1, *busy)
        return "".join(_HEIGHTS[-(-count * top // most)] for count in busy)  # rounded up


def _clock(seconds: float) -> str:
    """Return a time with up to three digits, in a unit that suits it."""
    if seconds >= 0.9995:
        return f"{seconds:.3g} s" if seconds < 99.95 else f"{seconds:.0f} s"
    if seconds >= 0.0009995:
        return f"{seconds * 1e3:.2g} ms" if seconds < 0.00995 else f"{seconds * 1e3:.0f} ms"
    micro = round(seconds * 1e6)
    return f"{micro} µs" if micro else "0 ms"


def _plain(text: str) -> str:
    """Return `text` on one line, and without characters that would do something to a terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
