"""Chooses which rows are drawn, and their time axis: the last runs; of a thousand paths, the most telling and a crowd.

The steps of a pipeline always have a row each: someone wrote them one by one, and will look for them.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice, zip_longest
from math import ceil, floor, inf, log10
from typing import TYPE_CHECKING, Final, final

import attrs

from trio_steps._drawing.looks import WORDS

from .rows import Row, clock, counts, read, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trio_steps._core.events.records import Event
    from trio_steps._drawing.looks import Look

_RANK: Final[dict[Look, int]] = {look: rank for rank, look in enumerate(WORDS)}


@final
@attrs.frozen
class Chart:
    """Rows that share a time axis, each followed by those inside it."""

    rows: Sequence[Row]
    origin: float  # when the first row began
    now: float  # where to end the rows that are still running
    span: float  # the length of the axis, in seconds

    @classmethod
    def of(cls, rows: Sequence[Row], now: float) -> Chart:
        """Return the chart of `rows`."""
        origin = min(row.start for row in rows)
        return cls(rows, origin, now, max(row.end_by(now) for row in rows) - origin)

    def fraction(self, time: float) -> float:
        """Return the position of `time` in the chart, from 0 to 1."""
        return min(max((time - self.origin) / (self.span or 1.0), 0.0), 1.0)

    def busy(self, rows: Iterable[Row], columns: int) -> list[int]:
        """Divide the chart into `columns` equal parts, and return the most of `rows` that ran at once in each."""
        changes: list[tuple[float, int, int]] = []
        for row in rows:
            if row.ran:
                end = row.end_by(self.now)
                # A row that begins when another ends does not run beside it. A row that takes no time counts.
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
        """Return `time` as the time since the start of the chart, in words."""
        return clock(round(time - self.origin, 3 if self.span >= 0.1 else 6))  # hides when each task got its turn


def pick(
    events: Sequence[Event], *, siblings: Sequence[int], usual: int, rows: int | None = None
) -> tuple[list[Chart], list[Row]]:
    """Return charts of the last runs, and the runs before those.

    Each step of a pipeline always has a row. Such rows do not count towards the limits.

    Args:
      events: at least one.
      siblings: limits for the rows in one row, in descending order. The first with at most `usual` rows in all is used.
      usual: how many rows all charts should have together if `rows` is None.
      rows: how many rows all charts may have instead, or None.
    """
    top = read(events)
    _find_trouble(top)
    groups = _overlapping(top)
    if rows is not None:
        fitting = bisect_right(range(2, rows + 1), rows, key=lambda most: _length(_picked(groups, most)))
        siblings = (fitting + 1,)
    picked: list[list[Row]] = []
    for most in siblings:
        picked = _picked(groups, max(most, 2))
        if _length(picked) <= usual:
            break
    earlier = [row for group in groups[: -len(picked)] for row in group]
    return [Chart.of(rows, events[-1].time) for rows in picked], earlier


def _picked(groups: Sequence[Sequence[Row]], most: int) -> list[list[Row]]:
    """Return the rows of the last groups, with at most `most` siblings in a row."""
    return [list(_pick(group, most)) for group in groups[0 if len(groups) <= most else 1 - most :]]


def _length(picked: Iterable[Iterable[Row]]) -> int:
    return sum(not row.is_written for rows in picked for row in rows)


def _find_trouble(top: Sequence[Row]) -> None:
    """Mark the rows that did not succeed at the first attempt, and those with such a row inside."""
    for row in reversed(list(walk(top))):
        row.is_telling = row.is_telling or row.status == "failed" or bool(row.retries)
        if row.is_telling and row.parent is not None:
            row.parent.is_telling = True


def _overlapping(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the runs at the top in groups. A group begins when all runs before it are over."""
    groups: list[list[Row]] = []
    over = -inf
    for row in rows:
        if row.start >= over:
            groups.append([])
        groups[-1].append(row)
        over = max(over, row.end_by(inf))
    return groups


def _pick(top: Sequence[Row], most: int) -> Iterator[Row]:
    """Yield `top` and the rows inside. Of more than `most` paths, the least telling become a crowd."""
    ahead = [_siblings(top, most)]  # no recursion: a step that starts the next one may nest thousands
    while ahead:
        row = next(ahead[-1], None)
        if row is None:
            ahead.pop()
        else:
            yield row
            ahead.append(_siblings(row.children, most))


def _siblings(rows: Sequence[Row], most: int) -> Iterator[Row]:
    paths = [row for row in rows if not row.is_written]
    crowd: list[Row] = []
    if len(paths) > most:
        telling = set(islice(most_telling(paths), most - 1))
        crowd = [row for row in paths if row not in telling]
        hidden = set(crowd)
        rows = [row for row in rows if row not in hidden]
    yield from rows
    if crowd:
        yield _crowd(crowd)


def most_telling(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield `rows` by turns: one that won, one that failed, one that is running, one in trouble, and the slowest."""
    slowest = sorted(rows, key=lambda row: (row.ran, round(row.end_by(inf) - row.start, 9)), reverse=True)
    kinds = [
        [row for row in slowest if row.won],
        [row for row in slowest if row.status == "failed"],
        [row for row in slowest if row.status == "running"],
        [row for row in slowest if row.is_telling and row.status != "failed"],
        slowest,
    ]
    told: set[Row] = set()
    for turn in zip_longest(*kinds):
        for row in turn:
            if row is not None and row not in told:
                told.add(row)
                yield row


def _crowd(crowd: Sequence[Row]) -> Row:
    """Return one row that stands for all of `crowd`."""
    ran = [row for row in crowd if row.ran] or crowd
    start, end = min(row.start for row in ran), max(row.end_by(inf) for row in ran)
    label = f"… {len(crowd)} more"
    return Row(
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
    """Yield round times from 0 to `span` for the labels of an axis, at least `least` seconds apart."""
    power = 10.0 ** floor(log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)
    yield from (number * step for number in range(floor(span / step) + 1))
