"""Starlette on hypercorn's Trio worker: a decorator cancels an endpoint, and its paths, when the client leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any, cast

import httpx
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trio_steps import SettleResult, gather, race, settle

Endpoint = Callable[[Request], Awaitable[Response]]
stopped: list[str] = []


async def ask(name: str, seconds: float) -> str:
    try:
        await trio.sleep(seconds)
    except trio.Cancelled:
        stopped.append(name)
        raise
    return name


def while_connected(endpoint: Endpoint) -> Endpoint:
    """Cancel `endpoint` when its client leaves."""

    @wraps(endpoint)
    async def connected(request: Request) -> Response:
        async def answer() -> SettleResult[Response]:
            (result,) = await settle(partial(endpoint, request))
            return result

        async def client_left() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass

        await request.body()  # `client_left` would drop it; the endpoint gets it from the request
        result = await race(answer, client_left)
        return Response(status_code=499) if result is None else result.unwrap()

    return connected


@while_connected
async def fastest(_request: Request) -> Response:
    return JSONResponse({"from": await race(partial(ask, "near", 0.05), partial(ask, "far", 30))})


@while_connected
async def report(_request: Request) -> Response:
    return JSONResponse({"from": await gather(partial(ask, "orders", 30), partial(ask, "invoices", 30))})


app = Starlette(routes=[Route("/fastest", fastest), Route("/report", report)])


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
