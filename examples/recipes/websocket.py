"""A websocket from the server that answers first. The race ends once it is open, and it stays open in the block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, open_websocket_url, serve_websocket

from trio_steps import race, step


@asynccontextmanager
async def first_open(*urls: str) -> AsyncIterator[WebSocketConnection]:
    async def hold(url: str, task_status: trio.TaskStatus[tuple[WebSocketConnection, trio.CancelScope]]) -> None:
        with trio.CancelScope() as scope:
            async with open_websocket_url(url) as connection:
                task_status.started((connection, scope))
                await trio.sleep_forever()

    error: Exception | None = None
    async with trio.open_nursery() as nursery:
        paths = [step(partial(nursery.start, hold, url), id=url) for url in urls]
        try:
            connection, scope = await race(paths, stagger=0.1, dispose=lambda opened: opened[1].cancel())
            try:
                yield connection
            finally:
                scope.cancel()
        except Exception as raised:
            error = raised  # raised below, outside the nursery, which would wrap it in a group
    if error is not None:
        raise error


async def chat(request: WebSocketRequest, name: str, delay: float, said: list[str]) -> None:
    await trio.sleep(delay)
    connection = await request.accept()
    try:
        await connection.send_message(f"hello from {name}")
        while True:
            said.append(f"{name} heard {await connection.get_message()!r}")
    except ConnectionClosed:
        said.append(f"{name} was closed")


async def main() -> None:
    said: list[str] = []
    async with trio.open_nursery() as nursery:
        urls: list[str] = []
        for name, delay in (("far", 30.0), ("near", 0.0)):
            handler = partial(chat, name=name, delay=delay, said=said)
            server = await nursery.start(serve_websocket, handler, "127.0.0.1", 0, None)
            urls.append(f"ws://127.0.0.1:{server.port}")
        async with first_open(*urls) as connection:
            print(await connection.get_message())
            await connection.send_message("owls")
        await trio.sleep(0.2)
        print(*said, sep="\n")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
