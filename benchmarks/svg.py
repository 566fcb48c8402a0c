"""The pictures, as SVG written by hand: a handful of lines and labels needs no library.

Colours are fixed and the background is white, so that a picture looks the same on a light page and on a dark one.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from .measure import PEERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .latency import Study
    from .measure import Row

FONT = "font-family='system-ui, sans-serif' font-size='12'"
INK, FAINT = "#1f2933", "#cbd2d9"
OURS, PEER, LIMIT = "#0b7285", "#adb5bd", "#c92a2a"
COLOURS = {
    "plain": "#495057",
    "race of 2": "#0b7285",
    "hedge at p95": "#2b8a3e",
    "all of 3": "#e8590c",
    "quorum 2 of 3": "#5f3dc4",
    "settle": "#c2255c",
}


def text(x: float, y: float, content: str, *, anchor: str = "start", colour: str = INK, weight: str = "normal") -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='{colour}' font-weight='{weight}'>"
        f"{escape(content)}</text>"
    )


def line(points: Iterable[tuple[float, float]], colour: str, *, width: float = 1.0, dash: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = f" stroke-dasharray='{dash}'" if dash else ""
    return f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='{width}'{dashes}/>"


def box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' fill='{colour}'/>"


def dot(x: float, y: float, colour: str) -> str:
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4' fill='{colour}'/>"


def picture(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    size = f"width='{width:.0f}' height='{height:.0f}' viewBox='0 0 {width:.0f} {height:.0f}'"
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img' aria-label='{escape(title)}' {FONT}>",
            f"<title>{escape(title)}</title>",
            box(0, 0, width, height, "#ffffff"),
            *parts,
            "</svg>\n",
        ]
    )


# The targets

BAR, GAP, LEFT, RIGHT, SCALE = 14.0, 10.0, 390.0, 110.0, 420.0


def targets(rows: Sequence[Row]) -> str:
    """Draw a group of bars for each row: the figure, its limit as a red mark, and the peers."""
    parts: list[str] = []
    y = 50.0
    parts.append(text(10, 24, "What it costs, as a multiple of what each target is measured against", weight="bold"))
    for row in rows:
        figures = [("trio_steps", row.figure.median, OURS)]
        figures += [
            (peer.name, peer.figure.median, PEER)
            for peer in row.peers
            if peer.figure is not None and peer.name in PEERS
        ]
        most = max(row.limit, *(value for _, value, _ in figures)) or 1.0
        unit = SCALE / most
        parts.append(text(10, y + BAR - 3, f"{row.key}  {row.what}", weight="bold"))
        top = y
        for name, value, colour in figures:
            parts.append(text(LEFT - 6, y + BAR - 3, name, anchor="end") if y > top else "")
            parts.append(box(LEFT, y, max(value * unit, 1.0), BAR, colour))
            parts.append(text(LEFT + max(value * unit, 1.0) + 5, y + BAR - 3, f"{value:.2f} {row.figure.unit}"))
            y += BAR + 2
        mark = LEFT + row.limit * unit
        parts.append(line([(mark, top - 3), (mark, top + BAR + 3)], LIMIT, width=2))
        y += GAP
    parts.append(line([(LEFT, y + 3), (LEFT, y + 15)], LIMIT, width=2))
    parts.append(text(LEFT + 6, y + 13, "at most", colour=LIMIT))
    return picture(LEFT + SCALE + RIGHT, y + 30, "The targets, and what was measured", (part for part in parts if part))


# Fan-out


def fanout(rows: Sequence[Row]) -> str:
    """Draw the cost of a path, in microseconds on one machine: bounded (P1) and unbounded (P3), the fastest first."""
    parts: list[str] = []
    y = 10.0
    for key, title in (("P1", "2,000 paths, 10 at once: µs per path"), ("P3", "1,000 paths at once: µs per path")):
        own = [row for row in rows if row.key == key]
        bars = [(f"trio_steps: {row.what}", row.seconds, OURS) for row in own]
        bars += [(f"{peer.name}: {peer.how}", peer.seconds, PEER) for row in own[:1] for peer in row.peers]
        known = sorted((seconds * 1e6, name, colour) for name, seconds, colour in bars if seconds is not None)
        unit = SCALE / max((cost for cost, _, _ in known), default=1.0)
        parts.append(text(10, y + BAR, title, weight="bold"))
        y += BAR + GAP
        for cost, name, colour in known:
            parts.append(text(LEFT - 6, y + BAR - 3, name, anchor="end", weight="bold" if colour == OURS else "normal"))
            parts.append(box(LEFT, y, cost * unit, BAR, colour))
            parts.append(text(LEFT + cost * unit + 5, y + BAR - 3, f"{cost:.1f}"))
            y += BAR + 4
        y += 2 * GAP
    return picture(LEFT + SCALE + RIGHT, y, "What a path of a fork costs, against peers", parts)


# Latency

WIDTH, HEIGHT = 940.0, 380.0
TOP, BOTTOM = 60.0, 320.0


def latency(studies: Sequence[Study]) -> str:
    """Draw the times to the result by quantile, and beside that what hedging costs and buys."""
    return picture(
        WIDTH, HEIGHT, "Latency of forks", [*_quantiles(studies, 60.0, 480.0), *_bargain(studies, 620.0, 860.0)]
    )


def _quantiles(studies: Sequence[Study], left: float, right: float) -> Iterable[str]:
    """Draw the milliseconds against the number of nines, both on logarithmic scales."""

    def across(q: float) -> float:
        return left + (right - left) * -math.log10(1 - q) / 3

    yield text(left, 24, "Milliseconds to the result, by percentile", weight="bold")
    shown = [one for one in studies if _colour(one.name) is not None]
    up = Scale([one.times[0] * 1000 for one in shown] + [one.quantile(0.999) * 1000 for one in shown])
    yield from _grid(left, right, up)
    for q in (0.0, 0.5, 0.9, 0.99, 0.999):
        yield line([(across(q), TOP), (across(q), BOTTOM)], FAINT)
        yield text(across(q), BOTTOM + 16, f"p{q * 100:g}", anchor="middle")
    steps = [1 - 10 ** (-nines / 40) for nines in range(121)]
    for number, one in enumerate(shown):
        colour = _colour(one.name) or INK
        yield line([(across(q), up(one.quantile(q) * 1000)) for q in steps], colour, width=2)
        x, y = left + 10 + number % 3 * 150, BOTTOM + 36 + number // 3 * 16
        yield box(x, y - 8, 14, 4, colour)
        yield text(x + 20, y, one.name)


def _bargain(studies: Sequence[Study], left: float, right: float) -> Iterable[str]:
    """Draw the p99 against the extra requests of the plans that need one answer: plain, hedges and race."""
    shown = [one for one in studies if one.name == "plain" or one.name.startswith(("hedge", "race"))]
    shown.sort(key=lambda one: one.extra)

    def across(extra: float) -> float:
        return left + (right - left) * extra

    yield text(left - 40, 24, "p99 of hedges at p50 to p99, by extra requests", weight="bold")
    up = Scale([one.quantile(0.99) * 1000 for one in shown])
    yield from _grid(left, right, up)
    for extra in (0.0, 0.25, 0.5, 0.75, 1.0):
        yield text(across(extra), BOTTOM + 16, f"+{extra:.0%}", anchor="middle")
    points = [(across(one.extra), up(one.quantile(0.99) * 1000)) for one in shown]
    yield line(points, FAINT, width=2)
    for number, (one, (x, y)) in enumerate(zip(shown, points, strict=True)):
        yield dot(x, y, _colour(one.name) or "#2b8a3e")
        label = one.name.removeprefix("hedge at ")
        at_the_edge = one.extra > 0.9
        yield text(
            x + (-8 if at_the_edge else 8),
            y + (16 if number % 2 else -6),
            label,
            anchor="end" if at_the_edge else "start",
        )


def _colour(name: str) -> str | None:
    """Return the colour of a plan, None for one that only the second panel shows."""
    return COLOURS.get("settle" if name.startswith("settle") else name)


class Scale:
    """A logarithmic scale for milliseconds, from TOP to BOTTOM."""

    def __init__(self, values: Sequence[float]) -> None:
        self.low, self.high = math.log10(min(values) * 0.8), math.log10(max(values) * 1.2)

    def __call__(self, value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (math.log10(value) - self.low) / (self.high - self.low)


def _grid(left: float, right: float, up: Scale) -> Iterable[str]:
    for mark in (5, 10, 20, 50, 100, 200, 500, 1000, 2000):
        if up.low <= math.log10(mark) <= up.high:
            yield line([(left, up(mark)), (right, up(mark))], FAINT)
            yield text(left - 6, up(mark) + 4, f"{mark}", anchor="end")
    yield line([(left, TOP), (left, BOTTOM), (right, BOTTOM)], INK)
