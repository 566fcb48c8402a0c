"""tricycle 0.4.1: an `RWLock` does not wake the readers behind a writer that gives up.

What happens: a reader holds the lock, a writer waits for it, a second reader waits behind the writer. The writer is
cancelled. No one wakes the second reader, although only a reader holds the lock. If the first reader waits for the
second, both wait for ever.

What is right: when a writer that waits is cancelled, the readers behind it, up to the next writer, get the lock.
"""

from __future__ import annotations

import trio
import trio.testing
from tricycle import RWLock


async def main() -> str:
    """Return whether the second reader got the lock."""
    lock = RWLock(read_biased=False)
    second = trio.Event()

    async def read_first() -> None:
        async with lock.read_locked():
            await second.wait()

    async def write_or_give_up() -> None:
        with trio.move_on_after(2):
            await lock.acquire_write()

    async def read_second() -> None:
        async with lock.read_locked():
            second.set()

    with trio.move_on_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_first)
            await trio.sleep(1)
            nursery.start_soon(write_or_give_up)
            await trio.sleep(0.5)
            nursery.start_soon(read_second)
    return "the second reader got the lock" if second.is_set() else "the second reader waits for ever"


if __name__ == "__main__":
    print(trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0)))
