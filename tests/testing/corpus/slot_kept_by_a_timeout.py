"""A slot is taken and given back inside a timeout, which may fire in between."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "slot not released on a timeout"


async def run(probe: Any, *, careful: bool) -> None:
    free = 1

    async def request() -> None:
        nonlocal free
        with trio.move_on_after(10):
            assert free, "no slot is left"
            free -= 1
            try:
                await trio.sleep(1)  # BUG
            except trio.Cancelled:
                if careful:
                    free += 1
                raise
            free += 1

    await request()
    await request()


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
