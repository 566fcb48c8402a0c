"""Tasks take tickets and are served in their order. If a task times out, its ticket stays in the line, and all wait."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "queue blocked by the ticket of a task that timed out"


class Queue:
    def __init__(self, *, careful: bool) -> None:
        self.careful = careful
        self.waiting: list[int] = []
        self.tickets = 0
        self.moved = trio.Event()

    async def take_turn(self) -> None:
        ticket = self.tickets
        self.tickets += 1
        self.waiting.append(ticket)
        try:
            while self.waiting[0] != ticket:
                await self.moved.wait()  # BUG
            await trio.sleep(1)
        except trio.Cancelled:
            if self.careful:
                self.leave(ticket)
            raise
        self.leave(ticket)

    def leave(self, ticket: int) -> None:
        self.waiting.remove(ticket)
        self.moved.set()
        self.moved = trio.Event()


async def run(probe: Any, *, careful: bool) -> None:
    queue = Queue(careful=careful)

    async def customer(patience: float) -> None:
        with trio.move_on_after(patience):
            await queue.take_turn()

    async with trio.open_nursery() as nursery:
        for patience in (30, 20, float("inf")):
            nursery.start_soon(customer, patience)


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
