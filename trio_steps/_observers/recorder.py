"""The built-in observer: it keeps the story of a run, and draws it as a timeline.

As text, on a common time axis, with box-drawing lines: their halves can be light or heavy, so a cell shows two moments.
The other drawings are modules of their own, imported when they are asked for.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Final, final

import attrs

from trio_steps._core.public import public

from .charts import Chart, pick, round_times
from .rows import MARKS, WORDS, Look, Row, clock, counts, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trio_steps._core.events import Event
    from trio_steps._core.step import Step
    from trio_steps._drawing.graph import Direction

_RETRIED: Final = "↻"
_COLORS: Final[dict[Look, str]] = dict(zip(WORDS, ("31", "36", "32", "32", "33", "2", "2"), strict=True))
_DIM: Final = "2"

_NOTHING, _LIGHT, _HEAVY = 0, 1, 2
_LINES: Final = " ╶╺╴─╼╸╾━"  # the left half times 3, plus the right half
_HEIGHTS: Final = " ▁▂▃▄▅▆▇█"

_LEAST_WIDTH: Final = 80
_MOST_LINES: Final = 120
_MOST_SIBLINGS: Final = (12, 6, 3, 2)  # the first that keeps to that number of lines


@public
@final
@attrs.define(eq=False, repr=False)
class Recorder:
    """Keeps every event of the runs it observes, and draws them as a timeline.

    Give it to a run, ``await research.run(topic, observers=[recorder])``, or to several, at the same time or one after
    another, and print it, when they have ended or before. It holds on to the errors and discarded values in the events.
    """

    _events: list[Event] = attrs.field(factory=list["Event"], init=False)

    def __call__(self, event: Event) -> None:
        """Keep `event`, unless it is of a step with ``log=False``."""
        if not event.quiet:
            self._events.append(event)

    @property
    def events(self) -> tuple[Event, ...]:
        """The events so far, in order."""
        return tuple(self._events)

    def render(self, *, width: int = 100, color: bool = False) -> str:
        """Return the timeline as text: a line for each step says when it ran, and how that ended.

        Runs that overlap share a time axis. Of more than a dozen siblings, the most telling get a line each, and
        the rest one together: how many ran at each moment, and how they ended.

        Args:
          width: how many characters a line may have; less than 80 counts as 80.
          color: whether to use ANSI colours. Nothing is told by colour alone.
        """
        if not self._events:
            return "nothing has run yet"
        charts, earlier = pick(self._events, siblings=_MOST_SIBLINGS, rows=_MOST_LINES)
        texts = ["\n".join(_draw(chart, max(width, _LEAST_WIDTH), color)) for chart in charts]
        if earlier:
            texts.insert(0, f"… {len(earlier)} earlier runs: {counts(earlier)}")
        return "\n\n".join(texts)

    def to_html(self, *, title: str | None = None) -> str:
        """Return the timeline as a page: one HTML file that needs nothing else, and no network.

        Keep it with ``Path("run.html").write_text(recorder.to_html())``; it is ASCII. Rows fold, and on hover or focus
        tell why. Of more than 24 siblings, fewer on a long page, the least telling are drawn together.

        Args:
          title: the heading; by default what ran.
        """
        from .html import timeline  # noqa: PLC0415 - who draws nothing need not wait for it

        return timeline(self._events, title)

    def to_chrome_trace(self) -> str:
        """Return the runs as JSON in Chrome's trace event format, for https://ui.perfetto.dev or chrome://tracing.

        Every run of a step is there, on a track with those it is inside of; it is ASCII, and times are microseconds.
        """
        from .chrome import chrome_trace  # noqa: PLC0415 - who draws nothing need not wait for it

        return chrome_trace(self._events)

    def to_mermaid(self, step: Step[Any, Any], *, direction: Direction = "down") -> str:
        """Return `step` as a Mermaid flowchart in which its last run has left its marks, and its colours.

        What succeeded, won, failed, was cancelled, skipped or never started has a mark and a word for that, and the
        way that the run took is a thick line. Steps with ``log=False`` are left out.

        Args:
          step: the pipeline or fork that ran, or was a step of what ran.
          direction: where it leads: ``"down"`` or ``"right"``.

        Raises:
          ConfigError: there is no such direction, or `step` is no step.
        """
        from trio_steps._pipeline.outline import draw  # noqa: PLC0415 - who draws nothing need not wait for it

        return draw("mermaid", step, direction, self._events)

    def to_dot(self, step: Step[Any, Any], *, direction: Direction = "down") -> str:
        """Return `step` in the language of Graphviz, ``dot -Tsvg``: the diagram of `to_mermaid`.

        Args:
          step: the pipeline or fork that ran, or was a step of what ran.
          direction: where it leads: ``"down"`` or ``"right"``.

        Raises:
          ConfigError: there is no such direction, or `step` is no step.
        """
        from trio_steps._pipeline.outline import draw  # noqa: PLC0415 - who draws nothing need not wait for it

        return draw("dot", step, direction, self._events)

    def __str__(self) -> str:
        return self.render()

    def __repr__(self) -> str:
        return f"<Recorder: {len(self._events)} events>"


def _draw(chart: Chart, width: int, color: bool) -> Iterator[str]:
    """Yield the lines of one chart."""

    def paint(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if color and text.strip() else text

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

    yield paint(f"{'':{for_label}}  {axis.ticks():{for_bar}}  {'start':>{for_start}}  {'took':>{for_took}}", _DIM)
    for row, label, start, took, note in zip(rows, labels, starts, tooks, notes, strict=True):
        code = _DIM if row.crowd else _COLORS[row.look]
        first, *more = textwrap.wrap(note, for_rest - for_bar, max_lines=3, placeholder=" …") or [""]
        name = label if len(label) <= for_label else f"{label[: for_label - 1]}…"
        line = f"{name:{for_label}}  {paint(axis.bar(row), code)}  {start:>{for_start}}  {took:>{for_took}}"
        yield f"{line}  {paint(first, code)}".rstrip()
        for text in more:
            yield f"{'':{width - for_rest + for_bar}}{paint(text, code)}"


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
