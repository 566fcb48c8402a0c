"""A pool gives a free slot to the first waiter. If that task's timeout fires in the same tick, the slot is lost."""

from __future__ import annotations

from collections import deque
from typing import Any

import trio

TITLE = "slot handed to a waiter that times out"


class Pool:
    def __init__(self, *, careful: bool) -> None:
        self.free = 1
        self.careful = careful
        self.waiting: deque[trio.Event] = deque()

    async def acquire(self) -> None:
        if self.free:
            self.free -= 1
            return
        handed = trio.Event()
        self.waiting.append(handed)
        try:
            await handed.wait()  # BUG
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            if handed.is_set():
                if self.careful:
                    self.release()
            else:
                self.waiting.remove(handed)
            raise

    def release(self) -> None:
        if self.waiting:
            self.waiting.popleft().set()
        else:
            self.free += 1


async def run(probe: Any, *, careful: bool) -> None:
    pool = Pool(careful=careful)

    async def request(seconds: float) -> None:
        with trio.move_on_after(seconds):
            await pool.acquire()
            try:
                await trio.sleep(1)
            finally:
                pool.release()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(request, 60)
        nursery.start_soon(request, 30)
    await pool.acquire()
    pool.release()


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
