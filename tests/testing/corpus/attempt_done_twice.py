"""An attempt has had its effect when its timeout fires late, so it counts as failed and is made again."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "attempt repeated although it succeeded"


async def run(probe: Any, *, careful: bool) -> None:
    paid: set[str] = set()
    times = 0

    @probe.invariant
    def is_paid_once() -> None:
        assert times <= 1, f"paid {times} times"

    async def pay(key: str) -> None:
        nonlocal times
        if not careful or key not in paid:
            paid.add(key)
            times += 1
        await trio.sleep(1)  # BUG

    for _ in range(3):
        with trio.move_on_after(10):
            await pay("order 5")
            return


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
