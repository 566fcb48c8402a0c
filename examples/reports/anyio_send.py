"""anyio 4.16.0 on Trio: ``send()`` of a memory object stream raises `Cancelled` although the item was received.

What happens: a sender waits in ``send()`` on a stream without a buffer. Its scope is cancelled, and before the sender
runs again, a receiver calls ``receive_nowait()``. The receiver gets the item. The sender is told that it was cancelled.

What is right: either the receiver gets the item and ``send()`` returns, or ``send()`` is cancelled and the receiver
finds nothing. Trio's own channel does the latter, because it takes the offer back when the sender is cancelled, not
when the sender next runs.

Why: ``MemoryObjectSendStream.send`` takes its offer out of ``waiting_senders`` in an ``except`` clause, which runs when
the task does.
"""

from __future__ import annotations

from typing import Any

import anyio
import trio
import trio.testing


async def main(send: Any, receive: Any) -> str:
    """Return what both sides were told."""
    scope = trio.CancelScope()
    told = "cancelled"

    async def sender() -> None:
        nonlocal told
        with scope:
            await send.send("item")
            told = "delivered"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        try:
            got = receive.receive_nowait()
        except (trio.WouldBlock, anyio.WouldBlock):
            got = "nothing"
    return f"the receiver got {got}, the sender was told: {told}"


if __name__ == "__main__":
    print("trio: ", trio.run(main, *trio.open_memory_channel[str](0)))
    print("anyio:", trio.run(main, *anyio.create_memory_object_stream[str](0)))
