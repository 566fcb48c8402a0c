"""Draw what the policies of a step do in one call: ``python scripts/policies.py docs/pictures/policies.svg``.

The call is a request over HTTP that succeeds at the third attempt. It is run on Trio's virtual clock, and the picture
is drawn from its events.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from trio.testing import MockClock

from trio_steps import (
    AttemptEnded,
    AttemptStarted,
    CircuitBreaker,
    LimitWaited,
    RateLimit,
    Recorder,
    Retry,
    StepRetrying,
    StepSucceeded,
    step,
)
from trio_steps._drawing.looks import LIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_steps import Event

WIDTH, LEFT, RIGHT, TOP, ROW = 920, 250, 20, 62, 40
ROWS = (  # from the outside in, with the purpose of each
    ("total_timeout=15", "the whole call"),
    ("limiter=CapacityLimiter(20)", "a token, held to the end"),
    ("retry=Retry(3, delay=1)", "attempts, and waits between them"),
    ("circuit_breaker=…", "asked before each attempt"),
    ("rate=RateLimit(1, per=2)", "a permit for each request"),
    ("timeout=2", "each request"),
    ("GET /orders", "what the server sees"),
)


async def events() -> tuple[Event, ...]:
    """Make the call, and return what happened."""
    answers = iter([(0.5, "503"), (60.0, "too late"), (0.5, "200")])

    async def get() -> str:
        seconds, status = next(answers)
        await trio.sleep(seconds)
        if status == "503":
            raise ConnectionError(status)
        return status

    limiter = trio.CapacityLimiter(1)
    call = step(
        get,
        total_timeout=15,
        limiter=limiter,
        retry=Retry(3, delay=1, on=(ConnectionError, trio.TooSlowError)),
        circuit_breaker=CircuitBreaker(5, cooldown=30),
        rate=RateLimit(1, per=2.0, burst=1),
        timeout=2,
    )

    async def somebody_else(task_status: trio.TaskStatus[None]) -> None:
        async with limiter:
            task_status.started()
            await trio.sleep(1)

    recorder = Recorder()
    async with trio.open_nursery() as nursery:
        await nursery.start(somebody_else)
        await call.run(observers=[recorder])
    return recorder.events


def svg(story: tuple[Event, ...]) -> Iterator[str]:
    """Yield the lines of the picture."""
    end = next(event.time for event in story if isinstance(event, StepSucceeded))
    permits = [event.time for event in story if isinstance(event, AttemptStarted)]  # an attempt has its permit
    ends = [event.time for event in story if isinstance(event, AttemptEnded)]
    waits = [event for event in story if isinstance(event, LimitWaited)]
    token = next(event.time for event in waits if event.limit == "limiter")
    slept = [event.time + event.delay for event in story if isinstance(event, StepRetrying)]
    starts = [token, *slept]
    height = TOP + ROW * len(ROWS) + 34

    def x(time: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * time / end

    def bar(
        row: int, begin: float, until: float, color: str, note: str = "", *, waiting: bool = False
    ) -> Iterator[str]:
        y = TOP + ROW * row + 6
        if until > begin:
            look = f"fill='none' stroke='{color}' stroke-dasharray='4 3'" if waiting else f"fill='{color}'"
            yield f"<rect x='{x(begin):.1f}' y='{y}' width='{x(until) - x(begin):.1f}' height='18' rx='3' {look}/>"
        if note:
            ink = color if waiting else LIGHT["paper"]
            yield (
                f"<text x='{(x(begin) + x(until)) / 2:.1f}' y='{y + 13}' text-anchor='middle' font-size='11' "
                f"fill='{ink}'>{escape(note)}</text>"
            )

    title = "One call: which policy acts when"
    yield (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' viewBox='0 0 {WIDTH} {height}' "
        f"role='img' aria-label='{title}' font-family='system-ui, sans-serif' font-size='13'>"
    )
    yield f"<title>{title}</title>"
    yield f"<rect width='{WIDTH}' height='{height}' fill='{LIGHT['paper']}'/>"
    yield f"<text x='16' y='28' font-size='15' font-weight='600' fill='{LIGHT['ink']}'>{title}</text>"
    bottom = TOP + ROW * len(ROWS)
    for second in range(int(end) + 1):
        yield f"<line x1='{x(second):.1f}' y1='{TOP - 6}' x2='{x(second):.1f}' y2='{bottom}' stroke='{LIGHT['rule']}'/>"
        middle = f"x='{x(second):.1f}' y='{bottom + 18}' text-anchor='middle'"
        yield f"<text {middle} fill='{LIGHT['dim']}'>{second} s</text>"
    for row, (code, what) in enumerate(ROWS):
        y = TOP + ROW * row
        yield f"<text x='16' y='{y + 14}' font-family='ui-monospace, monospace' fill='{LIGHT['ink']}'>{code}</text>"
        yield f"<text x='16' y='{y + 29}' font-size='11' fill='{LIGHT['dim']}'>{what}</text>"
    yield from bar(0, 0, end, LIGHT["skipped"], f"{end:g} of 15 s")
    yield from bar(1, 0, token, LIGHT["cancelled"], "waits", waiting=True)
    yield from bar(1, token, end, LIGHT["skipped"], "holds a token, between attempts too")
    answers = (("503", "failed"), ("too slow", "failed"), ("200", "succeeded"))
    for number, (begin, permit, until) in enumerate(zip(starts, permits, ends, strict=True)):
        yield from bar(
            2, begin, until, LIGHT["running"], f"{number + 1}" if until - begin < 1 else f"attempt {number + 1}"
        )
        if number + 1 < len(starts):
            yield from bar(2, until, starts[number + 1], LIGHT["cancelled"], "sleeps", waiting=True)
        asked = f"M{x(begin):.1f} {TOP + ROW * 3 + 7}l7 8l-7 8l-7-8z"
        yield f"<path d='{asked}' fill='{LIGHT['succeeded']}'/>"
        yield (
            f"<text x='{x(begin) + 11:.1f}' y='{TOP + ROW * 3 + 19}' font-size='11' "
            f"fill='{LIGHT['succeeded']}'>closed</text>"
        )
        yield from bar(4, begin, permit, LIGHT["cancelled"], "waits" if permit > begin else "", waiting=True)
        granted = f"M{x(permit):.1f} {TOP + ROW * 4 + 6}v18"
        yield f"<path d='{granted}' stroke='{LIGHT['succeeded']}' stroke-width='3'/>"
        answer, look = answers[number]
        yield from bar(5, permit, until, LIGHT["running"], "2 s" if until - permit == 2 else "")
        yield from bar(6, permit, until, LIGHT["succeeded" if look == "succeeded" else "failed"], answer)
    yield "</svg>"


def main() -> None:
    """Write the picture."""
    story = trio.run(events, clock=MockClock(autojump_threshold=0))
    Path(sys.argv[1]).write_text("\n".join(svg(story)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
