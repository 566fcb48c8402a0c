"""Two tasks are cancelled, and one of them continues as if nothing had happened."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "`Cancelled` swallowed by one of two tasks"


async def buggy(probe: Any) -> None:
    async def swallows() -> None:
        try:
            await trio.sleep(1)
        except BaseException:
            return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(swallows)
        nursery.start_soon(trio.sleep, 1)
