"""A loop breaks out of an async generator that owns a connection, and leaves closing it to the garbage collector."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TITLE = "async generator closed late"


async def rows(probe: Any) -> AsyncIterator[int]:
    with probe.resource("cursor"):
        for row in range(3):
            await trio.sleep(1)
            yield row


async def buggy(probe: Any) -> int:
    async for row in rows(probe):  # BUG
        if row == 1:
            return row
    return -1


async def fixed(probe: Any) -> int:
    async with aclosing(rows(probe)) as stream:  # type: ignore[type-var]
        async for row in stream:
            if row == 1:
                return row
    return -1
