"""Draw the live tree of a run as an animated picture: ``python scripts/live_tree.py docs/pictures/live-tree.svg``.

The run is on Trio's virtual clock, so the picture is the same each time. A browser that is asked for less motion shows
the last frame.
"""

from __future__ import annotations

import io
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import trio
from rich.console import Console
from trio.testing import MockClock

from trio_steps import Pipeline, Retry, step
from trio_steps._drawing.looks import DARK
from trio_steps.terminal import LiveTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.segment import Segment
    from rich.style import Style

COLUMNS, ROWS = 84, 24
INTERVAL = 0.4  # seconds of the run between two frames
PACE = 0.6  # seconds of the picture for one second of the run
PAUSE = 3.0  # seconds for which the summary is shown
WIDTH, HEIGHT = 8.4, 19.0  # pixels of a character
COLORS = {"red": DARK["failed"], "cyan": DARK["running"], "green": DARK["succeeded"], "yellow": DARK["cancelled"]}

busy = [ConnectionError("busy"), ConnectionError("busy")]


async def mirror(seconds: float) -> dict[str, list[int]]:
    await trio.sleep(seconds)
    if seconds < 0.5:
        raise ConnectionError("no route to host")
    return {"pages": list(range(240))}


async def fetch(number: int) -> str:
    await trio.sleep(0.1 + number * 7 % 9 / 20)
    if number in {77, 140}:
        raise OSError(f"page {number} is gone")
    return f"page {number}"


async def summarize() -> str:
    await trio.sleep(0.9)
    if busy:
        raise busy.pop()
    return "all about owls"


async def translate(summary: str, seconds: float) -> str:
    await trio.sleep(seconds)
    return summary


report = (
    Pipeline("report")
    .step(
        "find",
        *(step(partial(mirror, seconds), id=id) for id, seconds in (("tokyo", 2.0), ("oslo", 1.2), ("lima", 0.3))),
        mode="race",
    )
    .for_each("crawl", fetch, over="pages", each="number", into="texts", mode="settle", concurrency=8)
    .step("summarize", step(summarize, retry=Retry(3, delay=0.4)), provides="summary")
    .step(
        "translate",
        *(step(partial(translate, seconds=s), id=id, provides=id) for id, s in (("en", 0.7), ("es", 1.3), ("ja", 1.8))),
    )
)


def frames() -> list[tuple[float, list[str]]]:
    """Return the frames of the run: for how many seconds each is shown, and its lines."""
    shots: list[tuple[float, list[str]]] = []
    console = Console(width=COLUMNS, height=ROWS, file=io.StringIO(), force_terminal=True, color_system="standard")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            tree = LiveTree(console=console, summary=False)
            nursery.start_soon(shoot, tree)
            await report.run({}, observers=[tree])
            await trio.sleep(INTERVAL)
            nursery.cancel_scope.cancel()
            shots.append((PAUSE, drawn(tree.summary())))

    async def shoot(tree: LiveTree) -> None:
        await trio.sleep(0.013)  # no frame shows a moment in which something happens
        while True:
            await trio.sleep(INTERVAL)
            shots.append((INTERVAL * PACE, drawn(tree._picture(trio.current_time()))))  # noqa: SLF001 - its picture

    def drawn(picture: object) -> list[str]:
        return [line_of(line) for line in console.render_lines(picture, pad=False)]  # type: ignore[arg-type]

    trio.run(main, clock=MockClock(autojump_threshold=0))
    return shots


def line_of(line: list[Segment]) -> str:
    """Return a line as SVG: its parts, each at the place of its first character."""
    column, parts = 0, []
    for segment in line:
        text = segment.text.rstrip() if segment is line[-1] else segment.text
        if text.strip():
            at = column + len(text) - len(text.lstrip())
            word = text.strip()
            place = f'x="{at * WIDTH:g}" textLength="{len(word) * WIDTH:g}"'
            parts.append(f"<tspan {place}{look(segment.style)}>{escape(word)}</tspan>")
        column += len(segment.text)
    return "".join(parts)


def look(style: Style | None) -> str:
    if style is None:
        return ""
    color = "" if style.color is None else f' fill="{COLORS[style.color.name]}"'
    return color + (' class="dim"' if style.dim else "")


def svg(shots: list[tuple[float, list[str]]]) -> Iterator[str]:
    """Yield the picture: the frames lie on each other, and one at a time is visible."""
    width, height = COLUMNS * WIDTH + 32, max(len(lines) for _, lines in shots) * HEIGHT + 58
    whole = sum(seconds for seconds, _ in shots)
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    yield "<title>A live tree in a terminal, and the summary that takes its place</title>"
    yield "<style>"
    yield "text { font: 14px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; white-space: pre; }"
    yield f"text {{ fill: {DARK['ink']}; }} .dim {{ fill: {DARK['dim']}; }}"
    yield f".frame {{ visibility: hidden; animation: {whole:g}s step-end infinite; }}"
    at = 0.0
    for number, (seconds, _) in enumerate(shots):
        first, last = 100 * at / whole, 100 * (at + seconds) / whole
        before = "0% { visibility: hidden; } " if first else ""
        after = "" if number == len(shots) - 1 else f" {last:.2f}% {{ visibility: hidden; }}"
        yield f"@keyframes f{number} {{ {before}{first:.2f}% {{ visibility: visible; }}{after} }}"
        at += seconds
    yield "@media (prefers-reduced-motion) { .frame { animation: none !important; } .last { visibility: visible; } }"
    yield "</style>"
    yield f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{DARK["paper"]}"/>'
    for x, color in ((22, "failed"), (42, "cancelled"), (62, "succeeded")):
        yield f'<circle cx="{x}" cy="20" r="6" fill="{DARK[color]}" opacity=".8"/>'
    for number, (_, lines) in enumerate(shots):
        last = " last" if number == len(shots) - 1 else ""
        yield f'<g class="frame{last}" style="animation-name: f{number}" transform="translate(16 56)">'
        for row, line in enumerate(lines):
            if line:
                yield f'<text y="{row * HEIGHT:g}">{line}</text>'
        yield "</g>"
    yield "</svg>"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text("\n".join(svg(frames())) + "\n", encoding="utf-8")
