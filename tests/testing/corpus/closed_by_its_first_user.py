"""Tasks share a connection while it is open, and the first of them closes it when its own timeout fires."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "shared connection closed by its first user"


class Shared:
    def __init__(self, probe: Any, *, careful: bool) -> None:
        self.probe = probe
        self.careful = careful
        self.users = 0
        self.connection: Any = None

    async def use(self, seconds: float) -> None:
        first = not self.users
        self.users += 1
        if first:
            self.connection = self.probe.resource("connection")
        connection = self.connection
        try:
            await trio.sleep(seconds)
            assert not connection.closed, "closed under its user"  # BUG
        finally:
            self.users -= 1
            if not self.users if self.careful else first:
                connection.close()


async def run(probe: Any, *, careful: bool) -> None:
    shared = Shared(probe, careful=careful)

    async def request(seconds: float) -> None:
        with trio.move_on_after(10):
            await shared.use(seconds)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(request, 3)
        await trio.sleep(1)
        nursery.start_soon(request, 1)


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
