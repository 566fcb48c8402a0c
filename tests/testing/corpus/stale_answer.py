"""A request that timed out leaves its answer in the connection, and the next request reads it as its own."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "stale answer read after a timeout"


async def run(probe: Any, *, careful: bool) -> None:
    to_server, requests = trio.open_memory_channel[int](10)
    to_client, answers = trio.open_memory_channel[int](10)

    async def serve() -> None:
        async with to_client:
            async for request in requests:
                await trio.sleep(1)
                await to_client.send(request)

    async def ask(number: int) -> None:
        with trio.move_on_after(30):
            await to_server.send(number)
            answer = await answers.receive()  # BUG
            while careful and answer != number:
                answer = await answers.receive()
            assert answer == number, f"request {number} got the answer to {answer}"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with to_server:
            await ask(1)
            await ask(2)


async def buggy(probe: Any) -> None:
    await run(probe, careful=False)


async def fixed(probe: Any) -> None:
    await run(probe, careful=True)
