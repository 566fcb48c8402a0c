"""A consumer checks, then waits for news. News that comes in between is never seen."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "lost wake-up"


class Mailbox:
    def __init__(self) -> None:
        self.items: list[int] = []
        self.news = trio.Event()

    def put(self, item: int) -> None:
        self.items.append(item)
        self.news.set()
        self.news = trio.Event()

    async def get(self) -> int:
        while not self.items:
            await trio.lowlevel.checkpoint()
            await self.news.wait()  # BUG
        return self.items.pop(0)

    async def get_well(self) -> int:
        while not self.items:
            await self.news.wait()
        return self.items.pop(0)


async def run(get: Any, mailbox: Mailbox) -> None:
    async def produce() -> None:
        for _ in range(4):
            await trio.lowlevel.checkpoint()
        mailbox.put(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(get)
        nursery.start_soon(produce)


async def buggy(probe: Any) -> None:
    mailbox = Mailbox()
    await run(mailbox.get, mailbox)


async def fixed(probe: Any) -> None:
    mailbox = Mailbox()
    await run(mailbox.get_well, mailbox)
