"""Two producers share one end of a channel, and the first to finish closes it."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "channel closed under another sender"


async def produce(send: trio.MemorySendChannel[int], items: int) -> None:
    async with send:
        for item in range(items):
            await send.send(item)  # BUG


async def run(*, clones: bool) -> int:
    send, receive = trio.open_memory_channel[int](10)
    total = 0
    async with trio.open_nursery() as nursery:
        async with send:
            nursery.start_soon(produce, send.clone() if clones else send, 2)
            nursery.start_soon(produce, send.clone() if clones else send, 2)
            if not clones:
                await trio.sleep(1)
        async for _ in receive:
            total += 1
    return total


async def buggy(probe: Any) -> int:
    return await run(clones=False)


async def fixed(probe: Any) -> int:
    return await run(clones=True)
