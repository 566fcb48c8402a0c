"""If two requests both time out, all retries are used up. Not found: only one timeout fires in a run."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "failure only if two timeouts fire"


async def buggy(probe: Any) -> None:
    failures = 0

    @probe.invariant
    def is_still_up() -> bool:
        return failures < 2

    async def request() -> None:
        nonlocal failures
        with trio.move_on_after(5) as scope:
            await trio.sleep(1)
        failures += scope.cancelled_caught

    await request()
    await request()
