"""A counter is read before a checkpoint and written after it."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "lost update across a checkpoint"


async def deposit(account: dict[str, int], amount: int, delay: int, lock: trio.Lock | None) -> None:
    for _ in range(delay):
        await trio.lowlevel.checkpoint()
    if lock is not None:
        async with lock:
            balance = account["balance"]
            await trio.lowlevel.checkpoint()
            account["balance"] = balance + amount
        return
    balance = account["balance"]
    await trio.lowlevel.checkpoint()  # BUG
    account["balance"] = balance + amount


async def run(probe: Any, lock: trio.Lock | None) -> int:
    account = {"balance": 0}
    done = False

    @probe.invariant
    def nothing_is_lost() -> bool:
        return not done or account["balance"] == 30

    async with trio.open_nursery() as nursery:
        nursery.start_soon(deposit, account, 10, 0, lock)
        nursery.start_soon(deposit, account, 20, 2, lock)
    done = True
    return account["balance"]


async def buggy(probe: Any) -> int:
    return await run(probe, None)


async def fixed(probe: Any) -> int:
    return await run(probe, trio.Lock())
