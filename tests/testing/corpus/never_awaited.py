"""The code for the unlikely order of events lacks an `await`."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "coroutine never awaited"


async def log_late(name: str) -> None:
    await trio.lowlevel.checkpoint()


async def run(*, forgets: bool) -> list[str]:
    done: list[str] = []

    async def worker(name: str, steps: int) -> None:
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        if name == "fast" and "slow" in done:
            if forgets:
                log_late(name)  # type: ignore[unused-coroutine]  # BUG
            else:
                await log_late(name)
        done.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker, "fast", 1)
        nursery.start_soon(worker, "slow", 3)
    return sorted(done)


async def buggy(probe: Any) -> list[str]:
    return await run(forgets=True)


async def fixed(probe: Any) -> list[str]:
    return await run(forgets=False)
