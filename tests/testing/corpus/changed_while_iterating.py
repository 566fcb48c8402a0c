"""All listeners are notified, one after the other, and one of them leaves meanwhile."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "set changed during iteration"


async def run(probe: Any, *, careful: bool) -> None:
    listeners: set[str] = set()

    async def listen(name: str) -> None:
        listeners.add(name)
        try:
            with trio.move_on_after(10):
                await trio.sleep(5)
        finally:
            listeners.discard(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, "a")
        nursery.start_soon(listen, "b")
        await trio.sleep(1)
        for _ in list(listeners) if careful else listeners:
            await trio.sleep(1)  # BUG


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
