"""A getter takes the item out of the queue and then waits. If a timeout fires there, the item is lost."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "item lost when its getter times out"


async def run(probe: Any, *, careful: bool) -> None:
    queue = [1, 2]
    handled: list[int] = []

    @probe.invariant
    def nothing_is_lost() -> None:
        assert sorted(queue + handled) == [1, 2], f"{queue} are queued and {handled} handled, of 1 and 2"

    async def get() -> int:
        if careful:
            await trio.lowlevel.checkpoint()
            return queue.pop(0)
        item = queue.pop(0)
        await trio.lowlevel.checkpoint()  # BUG
        return item

    for _ in range(2):
        with trio.move_on_after(10):
            handled.append(await get())


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
