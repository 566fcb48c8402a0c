"""A task that is woken assumes that there is an item, but another task may have been quicker."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "condition not rechecked after a wake-up"


async def run(probe: Any, *, careful: bool) -> None:
    items: list[int] = []
    changed = trio.Condition()

    async def consume() -> None:
        async with changed:
            if careful:
                while not items:
                    await changed.wait()
            elif not items:
                await changed.wait()
            items.pop()  # BUG

    async def take_what_is_there() -> None:
        await trio.lowlevel.checkpoint()
        async with changed:
            if items:
                items.pop()

    async def produce() -> None:
        for number in range(2):
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            async with changed:
                items.append(number)
                changed.notify()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        nursery.start_soon(take_what_is_there)
        nursery.start_soon(produce)


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
