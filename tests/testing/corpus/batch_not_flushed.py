"""Lines are collected and written in batches. The last batch is lost if the task is cancelled."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "last batch not written"


async def run(probe: Any, *, careful: bool) -> None:
    accepted: list[int] = []
    batch: list[int] = []
    written: list[int] = []

    @probe.invariant
    def what_was_accepted_is_written() -> bool:
        return written == accepted

    def flush() -> None:
        written.extend(batch)
        batch.clear()

    try:
        for line in range(4):
            batch.append(line)
            accepted.append(line)
            if len(batch) == 2:
                flush()
            await trio.sleep(1)  # BUG
    finally:
        if careful:
            flush()
    flush()


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
