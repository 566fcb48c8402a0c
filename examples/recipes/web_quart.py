"""Quart on Trio: it cancels the handler of a client that leaves, and with the handler all paths of its forks."""

from __future__ import annotations

from functools import partial

import httpx
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart_trio import QuartTrio

from trio_steps import fork

stopped: list[str] = []


async def ask(name: str, seconds: float, topic: str) -> str:
    try:
        await trio.sleep(seconds)
    except trio.Cancelled:
        stopped.append(name)
        raise
    if topic == "nothing":
        raise LookupError(f"{name} knows nothing")
    return f"{topic} from {name}"


search = fork(
    "search",
    mode="all",
    paths={"papers": partial(ask, "papers", 0.05), "news": partial(ask, "news", 0.1)},
    timeout=5,
)
archive = fork("archive", mode="race", paths=[partial(ask, "disk", 30), partial(ask, "tape", 30)])
app = QuartTrio(__name__)


@app.get("/search/<topic>")
async def found(topic: str) -> dict[str, str]:
    return await search(topic)


@app.get("/archive/<topic>")
async def archived(topic: str) -> str:
    return await archive(topic)


@app.errorhandler(LookupError)
async def failed(error: LookupError) -> tuple[dict[str, str], int]:
    """Answer when a path has failed: quart-trio looks for a handler of each error in the group that a fork raises."""
    return {"failed": str(error)}, 502


async def main() -> None:
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(partial(serve, app, config, shutdown_trigger=trio.sleep_forever))
        async with httpx.AsyncClient(base_url=url) as client:
            print((await client.get("/search/owls")).json())
            answer = await client.get("/search/nothing")
            print(answer.status_code, answer.json())
            stopped.clear()
            with trio.move_on_after(0.3):  # the client leaves
                await client.get("/archive/owls")
            await trio.sleep(0.3)
            print("cancelled:", sorted(stopped))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
