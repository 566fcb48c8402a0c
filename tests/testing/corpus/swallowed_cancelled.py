"""A worker that must not fail catches everything, even a cancellation."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "`except BaseException` swallows `Cancelled`"


async def request() -> str:
    await trio.sleep(1)
    return "fresh"


async def buggy(probe: Any) -> str:
    try:
        return await request()  # BUG
    except BaseException:
        return "stale"


async def fixed(probe: Any) -> str:
    try:
        return await request()
    except Exception:
        return "stale"
