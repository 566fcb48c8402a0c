"""A timeout fires between the two halves of a frame, and the connection is used again."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "connection reused after half a frame"


class Connection:
    def __init__(self) -> None:
        self.sent = ""
        self.broken = False

    async def send(self, text: str, *, careful: bool) -> None:
        if self.broken:
            return
        self.broken = careful
        self.sent += "<"
        await trio.sleep(1)  # BUG
        self.sent += f"{text}>"
        self.broken = False


async def run(probe: Any, *, careful: bool) -> None:
    connection = Connection()

    @probe.invariant
    def no_frame_begins_inside_of_another() -> bool:
        return "<<" not in connection.sent

    for text in ("one", "two"):
        with trio.move_on_after(5):
            await connection.send(text, careful=careful)


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
