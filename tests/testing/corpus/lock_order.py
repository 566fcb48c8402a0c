"""Two tasks take two locks in opposite order."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "lock-order deadlock"


async def transfer(source: trio.Lock, target: trio.Lock) -> None:
    async with source, target:  # BUG
        await trio.lowlevel.checkpoint()


async def buggy(probe: Any) -> None:
    a, b = trio.Lock(), trio.Lock()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transfer, a, b)
        nursery.start_soon(transfer, b, a)


async def fixed(probe: Any) -> None:
    a, b = trio.Lock(), trio.Lock()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transfer, a, b)
        nursery.start_soon(transfer, a, b)
