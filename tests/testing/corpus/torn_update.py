"""Money is taken from one account before a wait, and put into the other after it."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "torn update of two accounts"


async def run(probe: Any, *, careful: bool) -> None:
    accounts = {"a": 10, "b": 0}

    @probe.invariant
    def no_money_is_lost() -> bool:
        return sum(accounts.values()) == 10

    async def log(line: str) -> None:
        await trio.sleep(1)  # BUG

    with trio.CancelScope(shield=careful):
        accounts["a"] -= 5
        await log("5 from a to b")
        accounts["b"] += 5


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
