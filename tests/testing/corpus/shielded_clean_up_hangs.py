"""A shielded clean-up waits for a worker that is not shielded, and has been cancelled."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "shielded clean-up that hangs"


async def worker(jobs: trio.MemoryReceiveChannel[trio.Event]) -> None:
    async for done in jobs:
        await trio.lowlevel.checkpoint()
        done.set()


async def run(*, patience: float) -> None:
    send, receive = trio.open_memory_channel[trio.Event](1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker, receive)
        try:
            await trio.sleep(1)
        finally:
            flushed = trio.Event()
            with trio.move_on_after(patience) as scope:
                scope.shield = True
                await send.send(flushed)
                await flushed.wait()  # BUG
            send.close()


async def buggy(probe: Any) -> None:
    await run(patience=float("inf"))


async def fixed(probe: Any) -> None:
    await run(patience=2)
