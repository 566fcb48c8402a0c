"""Clean-up says goodbye under a timeout, and closes inside it. When the timeout fires, nothing is closed."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "closing inside the timeout of a goodbye"


async def run(probe: Any, *, careful: bool) -> None:
    conn = probe.resource("conn")
    try:
        await trio.sleep(1)
    finally:
        with trio.move_on_after(5, shield=True):
            await trio.sleep(1)  # BUG
            if not careful:
                conn.close()
        if careful:
            conn.close()


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
