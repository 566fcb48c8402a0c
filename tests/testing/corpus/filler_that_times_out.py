"""The first task to ask fills the cache, and the others wait for it. If its timeout fires, they wait forever."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "tasks waiting for a cache filler that timed out"


async def run(probe: Any, *, careful: bool) -> None:
    cache: dict[str, str] = {}
    filled: list[trio.Event] = []

    async def get(seconds: float) -> None:
        with trio.move_on_after(seconds):
            while "key" not in cache:
                if filled:
                    await filled[0].wait()
                    continue
                filled.append(trio.Event())
                try:
                    await trio.sleep(1)  # BUG
                    cache["key"] = "value"
                finally:
                    if careful or "key" in cache:
                        filled.pop().set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(get, 30)
        nursery.start_soon(get, float("inf"))


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
