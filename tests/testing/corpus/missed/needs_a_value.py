"""It fails for one value in a million. Not found: the program always runs with the value that it is given."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "failure only for a value that the program does not use"


async def buggy(probe: Any, size: int = 10) -> int:
    await trio.sleep(1)
    return size // (size - 65_536)
