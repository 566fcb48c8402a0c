"""``__aenter__`` opens a connection, then waits for a handshake. If that is cancelled, ``__aexit__`` is not called."""

from __future__ import annotations

from typing import Any, Self

import trio

TITLE = "connection leaked by a cancelled `__aenter__`"


class Session:
    def __init__(self, probe: Any, *, careful: bool) -> None:
        self.probe = probe
        self.careful = careful
        self.connection: Any = None

    async def __aenter__(self) -> Self:
        self.connection = self.probe.resource("connection")  # BUG
        try:
            await trio.sleep(1)
        except BaseException:
            if self.careful:
                self.connection.close()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        self.connection.close()


async def run(probe: Any, *, careful: bool) -> None:
    async with Session(probe, careful=careful):
        await trio.sleep(1)


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
