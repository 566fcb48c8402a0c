"""A retry loop treats a cancellation as one more failure."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "retry loop that can't be cancelled"


async def poll(attempts: list[int]) -> str:
    attempts.append(1)
    await trio.sleep(1)
    if len(attempts) < 3:
        raise OSError("not yet")
    return "up"


async def buggy(probe: Any) -> str:
    attempts: list[int] = []
    while True:
        try:
            return await poll(attempts)  # BUG
        except BaseException:
            continue


async def fixed(probe: Any) -> str:
    attempts: list[int] = []
    while True:
        try:
            return await poll(attempts)
        except OSError:
            continue
