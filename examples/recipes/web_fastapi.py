"""FastAPI on hypercorn's Trio worker: when a client leaves, the paths that worked for it are cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar, cast

import httpx
import trio
from fastapi import FastAPI, Request
from hypercorn.config import Config
from hypercorn.trio import serve

from trio_steps import SettleResult, gather, race, settle

T = TypeVar("T")
stopped: list[str] = []


async def ask(name: str, seconds: float) -> str:
    try:
        await trio.sleep(seconds)
    except trio.Cancelled:
        stopped.append(name)
        raise
    return name


async def while_connected(request: Request, path: Callable[[], Awaitable[T]]) -> T | None:
    """Run `path`, but cancel it when the client leaves. If `path` fails, its error is raised at once."""

    async def answer() -> SettleResult[T]:
        (result,) = await settle(path)
        return result

    async def client_left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    result = await race(answer, client_left)
    return None if result is None else result.unwrap()


app = FastAPI()


@app.get("/fastest")
async def fastest(request: Request) -> dict[str, str | None]:
    async def nearest() -> str:
        return await race(partial(ask, "near", 0.05), partial(ask, "far", 30))

    return {"from": await while_connected(request, nearest)}


@app.get("/report")
async def report(request: Request) -> dict[str, tuple[str, str] | None]:
    async def both() -> tuple[str, str]:
        return await gather(partial(ask, "orders", 30), partial(ask, "invoices", 30))

    return {"from": await while_connected(request, both)}


async def main() -> None:
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(partial(serve, cast("Any", app), config, shutdown_trigger=trio.sleep_forever))
        async with httpx.AsyncClient(base_url=url) as client:
            print((await client.get("/fastest")).json())
            print("cancelled:", sorted(stopped))
            with trio.move_on_after(0.3):  # the client leaves
                await client.get("/report")
            await trio.sleep(0.3)
            print("cancelled:", sorted(stopped))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
