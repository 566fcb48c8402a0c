"""A helper is counted when it starts, but the count is not reduced if it is cancelled while it starts."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "count not reduced when a start is cancelled"


async def run(probe: Any, *, careful: bool) -> None:
    running = 0

    @probe.invariant
    def nobody_runs() -> None:
        assert running == 0, f"{running} are counted as running"

    async def serve(task_status: trio.TaskStatus[None]) -> None:
        nonlocal running
        running += 1
        try:
            await trio.sleep(1)  # BUG
        except trio.Cancelled:
            if careful:
                running -= 1
            raise
        task_status.started()
        running -= 1

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(10):
            await nursery.start(serve)


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
