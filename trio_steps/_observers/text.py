"""The timeline of a run as text: a line for each step, on a common time axis.

Bars are box-drawing lines. Each half of a character can be light or heavy, so a character shows two moments.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final, final

import attrs

from trio_steps._drawing.looks import ANSI, MARKS, RETRIED, TERMINAL, WORDS, encodable

from .charts import Chart, pick, round_times
from .rows import Row, clock, counts, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trio_steps._core.events.records import Event

_NOTHING, _LIGHT, _HEAVY = 0, 1, 2
_LINES: Final = " ╶╺╴─╼╸╾━"  # the left half times 3, plus the right half
_HEIGHTS: Final = " ▁▂▃▄▅▆▇█"

_LEAST_WIDTH: Final = 40
_MOST_LINES: Final = 120
_MOST_SIBLINGS: Final = (12, 6, 3, 2)  # the first that keeps to that number of lines


def render(events: Sequence[Event], *, width: int, color: bool, rows: int | None, encoding: str | None) -> str:
    """Return the timeline of `events`."""
    if not events:
        return "nothing has run yet"
    charts, earlier = pick(events, siblings=_MOST_SIBLINGS, usual=_MOST_LINES, rows=rows)
    texts = ["\n".join(_draw(chart, max(width, _LEAST_WIDTH), color)) for chart in charts]
    if earlier:
        texts.insert(0, f"… {len(earlier)} earlier runs: {counts(earlier)}")
    return encodable("\n\n".join(texts), encoding)


@final
@attrs.frozen(kw_only=True)
class _Columns:
    """The widths of the columns of a line, in characters; 0 if a column is left out."""

    label: int
    bar: int
    start: int
    took: int
    note: int

    @classmethod
    def fitting(cls, width: int, *, label: int, start: int, took: int, note: int) -> _Columns:
        """Return the columns that fit into `width`.

        Readers look for names. If there is no room for them, notes move to separate lines, and figures give way: first
        the start of a step, then how long it took. Names are cut last.
        """
        wanted, least_bar, least_note = min(label, width * 3 // 5), width // 5, min(note, 24)
        room = width
        for shown, beside in ((start, took), True), ((start, took), False), ((0, took), False):
            figures = sum(column + 2 for column in shown if column)
            room = width - 2 - figures - least_bar - (least_note + 2 if beside and note else 0)
            if wanted <= room:
                break
        else:
            shown, figures, beside = (0, 0), 0, False
            room = width - 2 - least_bar
        label = min(label, max(wanted, min(room, width * 3 // 10)))
        rest = width - 2 - label - figures
        if note and not beside:
            return cls(label=label, bar=min(rest, width // 2), start=shown[0], took=shown[1], note=0)
        bar = min(max(rest - 2 - note, least_bar), width // 2)
        return cls(label=label, bar=bar, start=shown[0], took=shown[1], note=rest - 2 - bar)


def _draw(chart: Chart, width: int, is_colored: bool) -> Iterator[str]:
    """Yield the lines of one chart."""

    def paint(text: str, color: str) -> str:
        return f"\x1b[{ANSI[color]}m{text}\x1b[0m" if is_colored and text.strip() else text

    def figures(start: str, took: str) -> str:
        shown = ((start, columns.start), (took, columns.took))
        return "".join(f"  {text:>{column}}" for text, column in shown if column)

    rows = chart.rows
    labels = [f"{'':{2 * row.depth}}{'' if row.crowd else f'{MARKS[row.look]} '}{plain(row.label)}" for row in rows]
    starts = [chart.moment(row.start) if row.ran else "" for row in rows]
    tooks = [clock(row.end_by(chart.now) - row.start) if row.ran else "" for row in rows]
    notes = [_note(row, chart) for row in rows]
    columns = _Columns.fitting(
        width,
        label=max(map(len, labels)),
        start=max(5, *map(len, starts)),
        took=max(5, *map(len, tooks)),
        note=max(map(len, notes)),
    )
    axis = _Axis(chart, columns.bar)

    yield paint(f"{'':{columns.label}}  {axis.ticks():{columns.bar}}{figures('start', 'took')}".rstrip(), "dim")
    for row, label, start, took, note in zip(rows, labels, starts, tooks, notes, strict=True):
        color = "dim" if row.crowd else TERMINAL[row.look]
        line = f"{_cut(label, columns.label):{columns.label}}  {paint(axis.bar(row), color)}{figures(start, took)}"
        indent = width - columns.note if columns.note else min(2 * row.depth + 4, width // 2)
        first, *more = textwrap.wrap(note, width - indent, max_lines=3, placeholder=" …") or [""]
        if columns.note:
            yield f"{line}  {paint(first, color)}".rstrip()
        else:
            yield line.rstrip()
            more = [first, *more] if first else []
        for text in more:
            yield f"{'':{indent}}{paint(text, color)}"


def _cut(label: str, width: int) -> str:
    """Return `label`, without its middle if it is too long, because similar names tend to differ at the end."""
    if len(label) <= width:
        return label
    last = (width - 1) // 3
    return f"{label[: width - 1 - last]}…{label[len(label) - last :]}"


def _note(row: Row, chart: Chart) -> str:
    """Return how `row` ended, if its mark alone does not show that."""
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
        """Return the number of half cells before `time`."""
        return round(self.chart.fraction(time) * 2 * self.cells)

    def _halves(self, row: Row) -> tuple[int, int]:
        """Return where the bar of `row` begins and ends, in half cells: at least one."""
        first = min(self.half(row.start), 2 * self.cells - 1)
        return first, max(self.half(row.end_by(self.chart.now)), first + 1)

    def ticks(self) -> str:
        """Return the line of round times, each at its position."""
        text = ""
        for time in round_times(self.chart.span, 7.5 * (self.chart.span or 1.0) / self.cells):
            label = clock(time)
            at = self.half(self.chart.origin + time) // 2
            if at + len(label) <= self.cells:
                text = f"{text:{at}}{label}"
        return text

    def bar(self, row: Row) -> str:
        """Return the bar of `row`, light where it waited or was cancelled, with marks for what happened."""
        if row.crowd:
            return self._crowd(row.crowd)
        first, last = self._halves(row)
        halves = [_NOTHING] * (2 * self.cells)
        bar = _LIGHT if row.status == "cancelled" else _HEAVY
        failed: list[int] = []
        if row.ran:
            for phase in row.phases(self.chart.now):
                start, end = max(self.half(phase.start), first), min(self.half(phase.end), last)
                halves[start:end] = [_LIGHT if phase.kind == "wait" else bar] * (end - start)
                failed += [min(end, last - 1) // 2] * (phase.kind == "failed")
            halves[first:last] = [half or bar for half in halves[first:last]]  # a bar that takes no time stays visible
        cells = [_LINES[3 * left + right] for left, right in zip(halves[::2], halves[1::2], strict=True)]
        for cell in failed:
            cells[cell] = RETRIED
        if row.status != "succeeded":
            cells[(last - 1) // 2] = MARKS[row.status]
        return "".join(cells)

    def _crowd(self, rows: Iterable[Row]) -> str:
        """Return how many of `rows` ran in each cell, from a few (▁) to the most (█)."""
        busy = self.chart.busy(rows, self.cells)
        top, most = len(_HEIGHTS) - 1, max(1, *busy)
        return "".join(_HEIGHTS[-(-count * top // most)] for count in busy)  # rounded up
