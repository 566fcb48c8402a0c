"""What a fork costs by its width, from 1 path to 1,000: ``python -m benchmarks.width``.

Paths of one checkpoint each, all at once, whose values are collected: with trio_steps, bare Trio, anyio and asyncio.
They take turns, as everywhere here, and the figure is the median of each.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from .fanout import OURS, UNBOUNDED
from .measure import ROUNDS, Settings, take_turns
from .report import fill
from .svg import BOTTOM, FAINT, INK, TOP, box, line, picture, text
from .work import contender

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTHS = (1, 2, 3, 5, 10, 30, 100, 300, 1_000)
COLOURS = {OURS: "#0b7285", "bare Trio": "#495057", "anyio": "#e8590c", "asyncio": "#5f3dc4"}
PATHS = 600
"""The least number of paths of a sample, in as many forks as that takes."""


@attrs.frozen
class Curve:
    """The seconds that a fork takes, for each of `WIDTHS`."""

    name: str
    how: str
    seconds: list[float]


def curves(settings: Settings) -> list[Curve]:
    """Measure all widths."""
    ways = [way for way in UNBOUNDED.present() if way.name in COLOURS]
    found = [Curve(way.name, way.how, []) for way in ways]
    for width in WIDTHS:
        forks = max(1, round(PATHS * settings.scale / width))
        contenders = [
            contender(way, UNBOUNDED.check, width, UNBOUNDED.expected, UNBOUNDED.make_paths, forks, per_fork=True)
            for way in ways
        ]
        taken = take_turns(contenders, settings)
        for curve in found:
            curve.seconds.append(statistics.median(taken[curve.name]))
    return found


def table(found: Sequence[Curve]) -> str:
    """Return the microseconds of a fork as text, and ours as a multiple of bare Trio's."""
    lines = [f"{'µs per fork of':<16}" + "".join(f"{width:>9,}" for width in WIDTHS)]
    lines += [f"{curve.name:<16}" + "".join(f"{one * 1e6:9,.0f}" for one in curve.seconds) for curve in found]
    by_name = {curve.name: curve.seconds for curve in found}
    ratios = [ours / bare for ours, bare in zip(by_name[OURS], by_name["bare Trio"], strict=True)]
    lines.append(f"{'× bare Trio':<16}" + "".join(f"{ratio:9.2f}" for ratio in ratios))
    return "\n".join(lines)


LEFT, RIGHT = 80.0, 560.0


def drawing(found: Sequence[Curve]) -> str:
    """Draw the microseconds of a fork against its width, both on logarithmic scales."""
    every = [one * 1e6 for curve in found for one in curve.seconds]
    low, high = math.log10(min(every) * 0.8), math.log10(max(every) * 1.2)

    def across(width: int) -> float:
        return LEFT + (RIGHT - LEFT) * math.log10(width) / math.log10(WIDTHS[-1])

    def up(micros: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (math.log10(micros) - low) / (high - low)

    def parts() -> Iterable[str]:
        yield text(LEFT, 24, "Microseconds per fork, by the number of its paths", weight="bold")
        for mark in (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000):
            if low <= math.log10(mark) <= high:
                yield line([(LEFT, up(mark)), (RIGHT, up(mark))], FAINT)
                yield text(LEFT - 6, up(mark) + 4, f"{mark:,}", anchor="end")
        for width in WIDTHS:
            yield line([(across(width), TOP), (across(width), BOTTOM)], FAINT)
            yield text(across(width), BOTTOM + 16, f"{width:,}", anchor="middle")
        yield line([(LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM)], INK)
        for number, curve in enumerate(found):
            colour = COLOURS[curve.name]
            points = [(across(width), up(one * 1e6)) for width, one in zip(WIDTHS, curve.seconds, strict=True)]
            yield line(points, colour, width=3 if curve.name == OURS else 2)
            y = TOP + 20 + 18 * number
            yield box(RIGHT + 20, y - 8, 14, 4, colour)
            yield text(RIGHT + 40, y, f"{curve.name}: {curve.how}")

    return picture(860, BOTTOM + 40, "What a fork costs by its width", parts())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.width", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of forks, to try things out; default 1")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table into this page, a picture beside it")
    options = parser.parse_args(arguments)
    found = curves(Settings(rounds=options.rounds, scale=options.scale))
    told = table(found)
    print(told)
    if options.page is not None:
        page = options.page
        page.write_text(fill(page.read_text(encoding="utf-8"), {"width": told}), encoding="utf-8")
        (page.parent / f"{page.stem}-width.svg").write_text(drawing(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
