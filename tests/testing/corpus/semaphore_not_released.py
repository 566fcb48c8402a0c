"""A semaphore is released at the end of the work, but not if the work is cancelled."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "semaphore not released on cancel"


async def work() -> None:
    await trio.sleep(1)


async def buggy(probe: Any) -> None:
    slots = probe.watch(trio.Semaphore(2))
    await slots.acquire()
    await work()  # BUG
    slots.release()


async def fixed(probe: Any) -> None:
    slots = probe.watch(trio.Semaphore(2))
    async with slots:
        await work()
