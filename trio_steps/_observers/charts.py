"""Which rows are drawn, on what time axis: the last runs, and of a thousand siblings the most telling and a crowd."""

from __future__ import annotations

from math import ceil, floor, inf, log10
from typing import TYPE_CHECKING, Final, final

import attrs

from trio_steps._drawing.looks import WORDS

from .rows import Row, clock, counts, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trio_steps._core.events import Event
    from trio_steps._drawing.looks import Look

_RANK: Final[dict[Look, int]] = {look: rank for rank, look in enumerate(WORDS)}


@final
@attrs.frozen
class Chart:
    """Rows that share a time axis, each followed by those inside it."""

    rows: Sequence[Row]
    origin: float  # when the first began
    now: float  # up to when to draw those that go on
    span: float  # how many seconds there are to draw

    @classmethod
    def of(cls, rows: Sequence[Row], now: float) -> Chart:
        """Return the chart of `rows`."""
        origin = min(row.start for row in rows)
        return cls(rows, origin, now, max(row.end_by(now) for row in rows) - origin)

    def fraction(self, time: float) -> float:
        """Return which part of the chart is before `time`, from 0 to 1."""
        return min(max((time - self.origin) / (self.span or 1.0), 0.0), 1.0)

    def busy(self, rows: Iterable[Row], columns: int) -> list[int]:
        """Return how many of `rows` ran at once, at most, in each of so many equal parts of the chart."""
        changes: list[tuple[float, int, int]] = []
        for row in rows:
            if row.ran:
                end = row.end_by(self.now)
                # one that takes over does not run beside the one that ends; one that takes no time runs all the same
                changes += (row.start, 1, 1), (end, 2 if end == row.start else 0, -1)
        busy, running, column = [0] * columns, 0, 0
        for time, _, change in sorted(changes):
            at = self.fraction(time) * columns
            before, column = column, min(int(at), columns - 1)
            for past in range(before, ceil(at)):
                busy[past] = max(busy[past], running)
            running += change
            if change > 0:
                busy[column] = max(busy[column], running)
        return busy

    def moment(self, time: float) -> str:
        """Return `time` in words: how long after the start of the chart."""
        return clock(round(time - self.origin, 3 if self.span >= 0.1 else 6))  # not when each task got its turn


def pick(events: Sequence[Event], *, siblings: Sequence[int], rows: int) -> tuple[list[Chart], list[Row]]:
    """Return charts of the last runs, and the runs that were before those.

    Args:
      events: at least one.
      siblings: how many there may be, from the most to the least: the first number that keeps to `rows` counts.
      rows: how many all charts should have together.
    """
    groups = _overlapping(read(events))
    picked: list[list[Row]] = []
    for most in siblings:
        picked = [list(_pick(group, most)) for group in groups[0 if len(groups) <= most else 1 - most :]]
        if sum(map(len, picked)) <= rows:
            break
    earlier = [row for group in groups[: -len(picked)] for row in group]
    return [Chart.of(rows, events[-1].time) for rows in picked], earlier


def _overlapping(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the runs at the top in groups, each of which begins when those before are over."""
    groups: list[list[Row]] = []
    over = -inf
    for row in rows:
        if row.start >= over:
            groups.append([])
        groups[-1].append(row)
        over = max(over, row.end_by(inf))
    return groups


def _pick(top: Sequence[Row], most: int) -> Iterator[Row]:
    """Yield `top` and what ran inside them; of more than `most` siblings the least telling as a crowd."""
    ahead = [_siblings(top, most)]  # no recursion: a step that starts the next one may nest thousands
    while ahead:
        row = next(ahead[-1], None)
        if row is None:
            ahead.pop()
        else:
            yield row
            ahead.append(_siblings(row.children, most))


def _siblings(rows: Sequence[Row], most: int) -> Iterator[Row]:
    by_rank = sorted(rows, key=lambda row: _RANK[row.look])
    telling = set(by_rank if len(rows) <= most else by_rank[: most - 1])
    yield from (row for row in rows if row in telling)
    crowd = [row for row in rows if row not in telling]
    if crowd:
        ran = [row for row in crowd if row.ran] or crowd
        start, end = min(row.start for row in ran), max(row.end_by(inf) for row in ran)
        label = f"… {len(crowd)} more"
        yield Row(
            id=label,
            name=label,
            label=label,
            parent=crowd[0].parent,
            start=start,
            end=None if end == inf else end,
            status=min((row.status for row in crowd), key=_RANK.__getitem__),
            ran=ran is not crowd,
            text=counts(crowd),
            crowd=crowd,
        )


def round_times(span: float, least: float) -> Iterator[float]:
    """Yield the times from 0 to `span` to be named on an axis, at least `least` seconds apart."""
    power = 10.0 ** floor(log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)
    yield from (number * step for number in range(floor(span / step) + 1))
