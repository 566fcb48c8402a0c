"""httpcore 1.0.9 on Trio: a connection pool loses a slot when a queued request times out in one particular tick.

What happens: a pool of one connection, and two requests to different hosts. The second waits. In the tick in which the
first is done, the timeout of the second fires. Before the second has run again, the pool assigns a new connection to
it, in place of the idle one. Then the second gets its `Cancelled`, and takes its request off the list. The connection
that was assigned stays in the pool, never connected, never idle. From then on, every request waits for ever.

What is right: the third request is answered. A request that is cancelled gives back what was assigned to it.

Here, httpcore's ``trace`` extension is used to make the timeout fire at the very moment when it can happen.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import httpcore
import trio
import trio.testing

HASTY = trio.CancelScope()


class Stream(httpcore.AsyncNetworkStream):
    """A connection in memory."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109
        """Wait for some bytes."""
        return bytes(await self._stream.receive_some(max_bytes))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        """Send all of them."""
        if buffer:
            await self._stream.send_all(buffer)

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()


class Network(httpcore.AsyncNetworkBackend):
    """A network whose only server answers every request with "ok"."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    async def connect_tcp(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Connect to the server."""
        await trio.lowlevel.checkpoint()
        client, server = trio.testing.memory_stream_pair()
        self._nursery.start_soon(answer, server)
        return Stream(client)


async def answer(stream: trio.abc.Stream) -> None:
    """Answer requests until the client goes away."""
    with suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            await trio.sleep(0.5)
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    await stream.aclose()


async def fire(event: str, _info: object) -> None:
    """Make the timeout of the second request fire in the tick in which the first is done."""
    if event == "http11.response_closed.complete":
        HASTY.cancel()


async def main() -> str:
    """Return what becomes of the third request."""

    async def hasty(pool: httpcore.AsyncConnectionPool) -> None:
        with HASTY:
            await pool.request("GET", "http://other/2")

    async with (
        trio.open_nursery() as servers,
        httpcore.AsyncConnectionPool(network_backend=Network(servers), max_connections=1) as pool,
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(pool.request, "GET", "http://one/1", extensions={"trace": fire}))
            await trio.sleep(0.1)
            nursery.start_soon(hasty, pool)
        with trio.move_on_after(60):
            response = await pool.request("GET", "http://one/3")
            return f"the third request was answered: {response.status}"
        return f"the third request hangs; {pool!r}"


async def run() -> str:
    """Run it, and stop the servers when it ends."""
    with trio.move_on_after(1000):
        return await main()
    return "it does not end"


if __name__ == "__main__":
    print(trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0)))
