"""A ``finally`` that returns drops any exception that was propagating, even a ``Cancelled``."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "`return` in a `finally`"


async def read(*, careful: bool) -> str:
    received = ""
    try:
        for _ in range(2):
            await trio.sleep(1)  # BUG
            received += "x"
    finally:
        if not careful and not received:
            return received  # noqa: B012
    return received


async def run(probe: Any, *, careful: bool) -> str:
    with trio.fail_after(5):
        return await read(careful=careful)


async def buggy(probe: Any) -> str:
    return await run(probe, careful=False)


async def fixed(probe: Any) -> str:
    return await run(probe, careful=True)
