"""A server calls `started()` only after its first client has come, and the client comes only after that call."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "`nursery.start()` that never returns"


async def serve(client: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
    await client.wait()  # BUG
    task_status.started()


async def serve_well(client: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await client.wait()


async def buggy(probe: Any) -> None:
    client = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, client)
        client.set()


async def fixed(probe: Any) -> None:
    client = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_well, client)
        client.set()
