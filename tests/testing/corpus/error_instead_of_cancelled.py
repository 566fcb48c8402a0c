"""A wrapper turns every `Cancelled` inside it into a timeout error, even one from another scope."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "every `Cancelled` turned into a timeout error"


async def fetch(*, careful: bool) -> None:
    scope = trio.CancelScope(deadline=trio.current_time() + 5)
    try:
        with scope:
            await trio.sleep(1)
            return
    except trio.Cancelled:
        if careful:
            raise
        raise trio.TooSlowError("fetch") from None  # BUG
    raise trio.TooSlowError("fetch")


async def run(*, careful: bool) -> None:
    with trio.move_on_after(60):
        await fetch(careful=careful)


async def buggy(probe: Any) -> None:
    await run(careful=False)


async def fixed(probe: Any) -> None:
    await run(careful=True)
