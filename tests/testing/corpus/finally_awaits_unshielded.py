"""A `finally` says goodbye before it closes. In a cancelled task the goodbye raises, and the close is skipped."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "unshielded await in a `finally`"


async def goodbye() -> None:
    await trio.sleep(0.1)


async def buggy(probe: Any) -> None:
    conn = probe.resource("conn")
    try:
        await trio.sleep(1)
    finally:
        await goodbye()  # BUG
        conn.close()


async def fixed(probe: Any) -> None:
    conn = probe.resource("conn")
    try:
        await trio.sleep(1)
    finally:
        try:
            with trio.move_on_after(1) as scope:
                scope.shield = True
                await goodbye()
        finally:
            conn.close()
