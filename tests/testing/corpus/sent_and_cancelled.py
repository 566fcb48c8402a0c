"""A sender that is cancelled leaves its offer until it runs again, and a receiver of the same tick takes it."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "`send` cancelled although its item was received"


class Channel:
    def __init__(self) -> None:
        self.offers: list[tuple[str, trio.Event]] = []

    async def send(self, item: str) -> None:
        offer = item, trio.Event()
        self.offers.append(offer)
        try:
            await offer[1].wait()  # BUG
        except trio.Cancelled:
            if offer in self.offers:
                self.offers.remove(offer)
            raise

    def receive_nowait(self) -> str:
        if not self.offers:
            raise trio.WouldBlock
        item, taken = self.offers.pop(0)
        taken.set()
        return item


async def run(probe: Any, sending: Any, receiving: Any) -> None:
    got: list[str] = []
    told: list[str] = []

    @probe.invariant
    def sender_knows_what_was_received() -> None:
        assert set(got) <= set(told), f"{got} arrived, and the sender was told of {told}"

    async def sender() -> None:
        with trio.move_on_after(30):
            await sending.send("item")
            told.append("item")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender)
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        try:
            got.append(receiving.receive_nowait())
        except trio.WouldBlock:
            return


async def buggy(probe: Any) -> None:
    channel = Channel()
    await run(probe, channel, channel)


async def fixed(probe: Any) -> None:
    await run(probe, *trio.open_memory_channel[str](0))
