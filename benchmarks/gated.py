"""What it costs to run a program one step at a time: gated steps a second, and cancel points a second.

python benchmarks/gated.py
"""

from __future__ import annotations

import time

import trio

from trio_steps.testing import Probe, sweep_cancellation
from trio_steps.testing._machine.run import perform
from trio_steps.testing._machine.settings import Settings
from trio_steps.testing._machine.token import Recipe


async def ticks(count: int) -> None:
    for _ in range(count):
        await trio.lowlevel.checkpoint()


async def long(_probe: Probe) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(ticks, 5_000)


async def ninety_points(_probe: Probe) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(ticks, 20)
        await trio.sleep(1)


def gated_steps_a_second() -> float:
    """Return how many steps a second a program of four tasks takes."""
    start = time.perf_counter()
    run = perform(long, Recipe(), Settings(max_steps=10**6))
    return run.steps / (time.perf_counter() - start)


def cancel_points_a_second() -> float:
    """Return how many points a second a program of some ninety is cancelled at, one run each."""
    start = time.perf_counter()
    report = sweep_cancellation(ninety_points)
    return report.points / (time.perf_counter() - start)


def main() -> None:
    print(f"{max(gated_steps_a_second() for _ in range(3)):8,.0f} gated steps a second")
    print(f"{max(cancel_points_a_second() for _ in range(3)):8,.0f} cancel points a second, of a program of 90")


if __name__ == "__main__":
    main()
