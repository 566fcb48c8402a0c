"""A consumer takes an item off a channel and waits before it handles it; cancelled there, the item is gone."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "channel item lost on cancel"


async def run(probe: Any, *, careful: bool) -> None:
    send, receive = trio.open_memory_channel[int](3)
    taken: list[int] = []
    handled: list[int] = []

    @probe.invariant
    def no_item_is_lost() -> None:
        lost = [item for item in taken if item not in handled]
        assert not lost, f"items {lost} were taken and never handled"

    async def produce() -> None:
        async with send:
            for item in range(3):
                await send.send(item)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        async with receive:
            async for item in receive:
                taken.append(item)
                if careful:
                    handled.append(item)
                await trio.sleep(1)  # BUG
                if not careful:
                    handled.append(item)


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
