"""The timeline of a run as text: a line for each step, on a common time axis.

Bars are box-drawing lines. Their halves can be light or heavy, so a character shows two moments.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final, final

import attrs

from trio_steps._drawing.looks import ANSI, MARKS, TERMINAL, WORDS

from .charts import Chart, pick, round_times
from .rows import Row, clock, counts, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trio_steps._core.events import Event

_RETRIED: Final = "↻"

_NOTHING, _LIGHT, _HEAVY = 0, 1, 2
_LINES: Final = " ╶╺╴─╼╸╾━"  # the left half times 3, plus the right half
_HEIGHTS: Final = " ▁▂▃▄▅▆▇█"

_LEAST_WIDTH: Final = 80
_MOST_LINES: Final = 120
_MOST_SIBLINGS: Final = (12, 6, 3, 2)  # the first that keeps to that number of lines


def render(events: Sequence[Event], *, width: int, color: bool) -> str:
    """Return the timeline of `events`."""
    if not events:
        return "nothing has run yet"
    charts, earlier = pick(events, siblings=_MOST_SIBLINGS, rows=_MOST_LINES)
    texts = ["\n".join(_draw(chart, max(width, _LEAST_WIDTH), color)) for chart in charts]
    if earlier:
        texts.insert(0, f"… {len(earlier)} earlier runs: {counts(earlier)}")
    return "\n\n".join(texts)


def _draw(chart: Chart, width: int, is_colored: bool) -> Iterator[str]:
    """Yield the lines of one chart."""

    def paint(text: str, color: str) -> str:
        return f"\x1b[{ANSI[color]}m{text}\x1b[0m" if is_colored and text.strip() else text

    rows = chart.rows
    labels = [f"{'':{2 * row.depth}}{'' if row.crowd else f'{MARKS[row.look]} '}{plain(row.label)}" for row in rows]
    starts = [chart.moment(row.start) if row.ran else "" for row in rows]
    tooks = [clock(row.end_by(chart.now) - row.start) if row.ran else "" for row in rows]
    notes = [_note(row, chart) for row in rows]
    for_label = min(max(map(len, labels)), width * 3 // 10)
    for_start, for_took = max(5, *map(len, starts)), max(5, *map(len, tooks))
    for_rest = width - for_label - for_start - for_took - 8
    for_bar = min(max(for_rest - max(map(len, notes)), width // 5), width // 2)
    axis = _Axis(chart, for_bar)

    yield paint(f"{'':{for_label}}  {axis.ticks():{for_bar}}  {'start':>{for_start}}  {'took':>{for_took}}", "dim")
    for row, label, start, took, note in zip(rows, labels, starts, tooks, notes, strict=True):
        color = "dim" if row.crowd else TERMINAL[row.look]
        first, *more = textwrap.wrap(note, for_rest - for_bar, max_lines=3, placeholder=" …") or [""]
        name = label if len(label) <= for_label else f"{label[: for_label - 1]}…"
        line = f"{name:{for_label}}  {paint(axis.bar(row), color)}  {start:>{for_start}}  {took:>{for_took}}"
        yield f"{line}  {paint(first, color)}".rstrip()
        for text in more:
            yield f"{'':{width - for_rest + for_bar}}{paint(text, color)}"


def _note(row: Row, chart: Chart) -> str:
    """Return how `row` ended, if its mark alone does not tell."""
    said = row.said()
    if row.crowd or row.status in ("succeeded", "failed"):
        return said
    word = WORDS[row.status]
    if row.status == "running":
        return f"{word}; {said}" if said else word
    when = f" at {chart.moment(row.end_by(chart.now))}" if row.status == "cancelled" else ""
    return f"{word}{when}: {said}"


@final
@attrs.frozen
class _Axis:
    """Time, as `cells` characters show it."""

    chart: Chart
    cells: int

    def half(self, time: float) -> int:
        """Return how many half cells there are before `time`."""
        return round(self.chart.fraction(time) * 2 * self.cells)

    def _halves(self, row: Row) -> tuple[int, int]:
        """Return where to draw `row` from and to: one half at least."""
        first = min(self.half(row.start), 2 * self.cells - 1)
        return first, max(self.half(row.end_by(self.chart.now)), first + 1)

    def ticks(self) -> str:
        """Return round times, each where its moment is."""
        text = ""
        for time in round_times(self.chart.span, 7.5 * (self.chart.span or 1.0) / self.cells):
            label = clock(time)
            at = self.half(self.chart.origin + time) // 2
            if at + len(label) <= self.cells:
                text = f"{text:{at}}{label}"
        return text

    def bar(self, row: Row) -> str:
        """Return the line of `row`: light where it waited or was cancelled, and marks for what happened."""
        if row.crowd:
            return self._crowd(row.crowd)
        first, last = self._halves(row)
        halves = [_NOTHING] * (2 * self.cells)
        if row.ran:
            halves[first:last] = [_LIGHT if row.status == "cancelled" else _HEAVY] * (last - first)
        for retry in row.retries:
            failed, again = self.half(retry.time), min(self.half(retry.time + retry.delay), last)
            halves[failed:again] = [_LIGHT] * (again - failed)
        bar = [_LINES[3 * left + right] for left, right in zip(halves[::2], halves[1::2], strict=True)]
        for retry in row.retries:
            bar[min(self.half(retry.time), last - 1) // 2] = _RETRIED
        if row.status != "succeeded":
            bar[(last - 1) // 2] = MARKS[row.status]
        return "".join(bar)

    def _crowd(self, rows: Iterable[Row]) -> str:
        """Return how many of `rows` ran in each cell, from a few (▁) to the most (█)."""
        busy = self.chart.busy(rows, self.cells)
        top, most = len(_HEIGHTS) - 1, max(1, *busy)
        return "".join(_HEIGHTS[-(-count * top // most)] for count in busy)  # rounded up
