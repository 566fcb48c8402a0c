"""The error path cleans up, and so does the `finally` that comes after it."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "clean-up twice"


async def buggy(probe: Any) -> None:
    conn = probe.resource("conn")
    try:
        await trio.sleep(1)
    except BaseException:
        conn.close()
        raise
    finally:
        conn.close()  # BUG


async def fixed(probe: Any) -> None:
    conn = probe.resource("conn")
    try:
        await trio.sleep(1)
    finally:
        conn.close()
