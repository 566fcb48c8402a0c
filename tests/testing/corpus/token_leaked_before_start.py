"""A token is taken for a task that is then never started."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "token leaked between acquire and start"


async def work(limiter: trio.CapacityLimiter, key: object) -> None:
    try:
        await trio.sleep(1)
    finally:
        limiter.release_on_behalf_of(key)


async def buggy(probe: Any) -> None:
    limiter = trio.CapacityLimiter(2)
    async with trio.open_nursery() as nursery:
        for key in range(3):
            await limiter.acquire_on_behalf_of(key)
            await trio.lowlevel.checkpoint()  # BUG
            nursery.start_soon(work, limiter, key)


async def fixed(probe: Any) -> None:
    limiter = trio.CapacityLimiter(2)

    async def hold_and_work() -> None:
        async with limiter:
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(hold_and_work)
