"""It asks the clock, not the scope, whether it is late. Not found: a scope that expires alone leaves the clock."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "program that checks its own copy of the deadline"


async def buggy(probe: Any) -> None:
    deadline = trio.current_time() + 5
    conn = None
    with trio.CancelScope(deadline=deadline):
        await trio.sleep(1)
    if trio.current_time() >= deadline:
        conn = probe.resource("conn")  # never closed
    assert conn is None
