"""The runs in Chrome's trace event format, which Perfetto and chrome://tracing show.

A run of a step is a complete event. Something that happened at one moment is an instant event. The events of one track
have to nest, but paths overlap. So a track is a *lane*, which a run shares with the run around it. A run that would
overlap another one there gets a lane below, which is reused when it is free. The format is described at
https://perfetto.dev/docs/getting-started/other-formats#chrome-json-format.
"""

from __future__ import annotations

import json
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, TypeAlias, final

import attrs

from trio_steps._drawing.looks import WORDS

from .rows import Attempt, Row, clock, describe, plain, read, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trio_steps._core.events.records import Event

_PROCESS: Final = 1

_Entry: TypeAlias = "dict[str, object]"


def chrome_trace(events: Sequence[Event]) -> str:
    """Return the trace as JSON. Times count from the start of the first run."""
    rows = sorted(walk(read(events)), key=lambda row: row.start)  # stable: inner rows stay after outer ones
    lanes = _Lanes()
    entries: list[_Entry] = []
    if rows:
        times = _Times(rows[0].start, events[-1].time)
        for row in rows:
            entries += _entries(row, times, lanes.find(row, times))
    named = [_metadata("process_name", 0, name="trio_steps"), *lanes.metadata()]
    return json.dumps({"traceEvents": named + entries, "displayTimeUnit": "ms"})


@final
@attrs.frozen
class _Times:
    """Whole nanoseconds, so that rows that nest still nest after rounding."""

    origin: float
    now: float

    def at(self, time: float) -> int:
        return round((time - self.origin) * 1e9)

    def span(self, row: Row) -> tuple[int, int]:
        """Return when `row` started and ended."""
        return self.at(row.start), self.at(row.end_by(self.now))


@final
@attrs.define(eq=False)
class _Lane:
    name: str
    tid: int
    open: list[tuple[Row, int]] = attrs.field(factory=list["tuple[Row, int]"])  # with its end: each inside the last
    below: list[_Lane] = attrs.field(factory=list["_Lane"])
    busy: list[tuple[int, int]] = attrs.field(factory=list["tuple[int, int]"])  # a heap: until when, which lane
    free: list[int] = attrs.field(factory=list[int])  # a heap: which lane


@final
class _Lanes:
    """Finds a lane for each row. Rows must come in the order of their starts."""

    def __init__(self) -> None:
        self._top = _Lane("lane ", 0)
        self._of: dict[Row, _Lane] = {}
        self._last_tid = 0

    def find(self, row: Row, times: _Times) -> int:
        """Return the thread id of the lane for `row`: the lane of the row around it, or one below."""
        start, end = times.span(row)
        lane = self._top if row.parent is None else self._of[row.parent]
        while lane.open and lane.open[-1][1] <= start and lane.open[-1][0] is not row.parent:
            lane.open.pop()
        if not lane.open or lane.open[-1][0] is not row.parent or lane.open[-1][1] < end:
            lane = self._below(lane, start, end)
        lane.open.append((row, end))
        self._of[row] = lane
        return lane.tid

    def _below(self, lane: _Lane, start: int, end: int) -> _Lane:
        """Return the first lane below that is free from `start` to `end`."""
        while lane.busy and lane.busy[0][0] <= start:
            heappush(lane.free, heappop(lane.busy)[1])
        if lane.free:
            index = heappop(lane.free)
        else:
            index = len(lane.below)
            self._last_tid += 1
            dot = "" if lane is self._top else "."
            lane.below.append(_Lane(f"{lane.name}{dot}{index + 1}", self._last_tid))
        heappush(lane.busy, (end, index))
        lane.below[index].open.clear()
        return lane.below[index]

    def metadata(self) -> Iterator[_Entry]:
        """Yield the names of the lanes, and their order: each is followed by those below it."""
        ahead = self._top.below[::-1]
        order = 0
        while ahead:
            lane = ahead.pop()
            ahead += lane.below[::-1]
            yield _metadata("thread_name", lane.tid, name=lane.name)
            yield _metadata("thread_sort_index", lane.tid, sort_index=order)
            order += 1


def _entries(row: Row, times: _Times, lane: int) -> Iterator[_Entry]:
    """Yield the trace events of `row`."""
    status = WORDS[row.look]
    args: dict[str, object] = {"step": plain(row.name), "status": status}
    if said := row.said():
        args["reason"] = said
    if row.waited:
        args["waited for its turn"] = clock(row.waited)
    if row.ran:
        args["attempts"] = len(row.retries) + 1
        start, end = times.span(row)
        entry = _entry("X", row.label, status, start, lane, args)
        entry["dur"] = (end - start) / 1000
        yield entry
    else:
        yield _instant(f"{row.label}: {status}", status, times.at(row.start), lane, args)
    if len(row.attempts) > 1:
        for number, attempt in enumerate(row.attempts, 1):
            yield _attempt(row, number, attempt, times, lane)
    for retry in row.retries:
        told: _Entry = {
            "step": plain(row.name),
            "attempt": retry.attempt,
            "error": plain(describe(retry.error)),
            "delay": clock(retry.delay),
        }
        yield _instant(f"{row.label}: retry", "retry", times.at(retry.time), lane, told)
    for event in row.discards:
        what = plain(row.discard(event))
        yield _instant(f"{row.label}: {what}", "discard", times.at(event.time), lane, {"step": plain(row.name)})


def _entry(phase: str, name: str, category: str, at: int, lane: int, args: _Entry) -> _Entry:
    return {
        "ph": phase,
        "name": plain(name),
        "cat": category,
        "ts": at / 1000,
        "pid": _PROCESS,
        "tid": lane,
        "args": args,
    }


def _attempt(row: Row, number: int, attempt: Attempt, times: _Times, lane: int) -> _Entry:
    status = "running" if attempt.end is None else "failed" if attempt.error is not None else "succeeded"
    args: _Entry = {"step": plain(row.name), "attempt": number}
    if attempt.error is not None:
        args["error"] = plain(describe(attempt.error))
    start, end = times.at(attempt.start), times.at(row.end_by(times.now) if attempt.end is None else attempt.end)
    entry = _entry("X", f"attempt {number}", status, start, lane, args)
    entry["dur"] = (end - start) / 1000
    return entry


def _instant(name: str, category: str, at: int, lane: int, args: _Entry) -> _Entry:
    return {**_entry("i", name, category, at, lane, args), "s": "t"}


def _metadata(kind: str, lane: int, **args: object) -> _Entry:
    return {"ph": "M", "name": kind, "pid": _PROCESS, "tid": lane, "args": args}
