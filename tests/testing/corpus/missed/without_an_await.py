"""It becomes slower and slower. Not found: the results are right, and time in sync code is not measured."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "quadratic work"


async def buggy(probe: Any) -> int:
    found: list[int] = []
    for number in range(100):
        if number not in found:
            found.append(number)
    await trio.lowlevel.checkpoint()
    return len(found)
