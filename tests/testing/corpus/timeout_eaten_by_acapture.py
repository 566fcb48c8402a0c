"""`outcome.acapture` captures the `Cancelled` of the timeout around it, so the timeout never shows."""

from __future__ import annotations

from typing import Any

import outcome
import trio

TITLE = "`move_on_after` swallowed by `acapture`"


async def slow() -> str:
    await trio.sleep(5)
    return "slow"


async def buggy(probe: Any) -> Any:
    result: Any = None
    with trio.move_on_after(1):
        result = await outcome.acapture(slow)  # BUG
    return result


async def fixed(probe: Any) -> Any:
    result: Any = None
    with trio.move_on_after(1):
        try:
            result = outcome.Value(await slow())
        except Exception as error:
            result = outcome.Error(error)
    return result
