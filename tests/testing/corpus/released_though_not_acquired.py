"""A lock is released in a ``finally`` that also runs when a timeout fires before the lock was acquired."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "lock released that was never acquired"


async def work(lock: trio.Lock, *, careful: bool) -> None:
    with trio.move_on_after(10):
        if careful:
            async with lock:
                await trio.sleep(1)
            return
        try:
            await lock.acquire()
            await trio.sleep(1)
        finally:
            lock.release()  # BUG


async def run(*, careful: bool) -> None:
    lock = trio.Lock()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(named_work, lock, careful)


async def named_work(lock: trio.Lock, careful: bool) -> None:
    await work(lock, careful=careful)


async def buggy(probe: Any) -> None:
    await run(careful=False)


async def fixed(probe: Any) -> None:
    await run(careful=True)
