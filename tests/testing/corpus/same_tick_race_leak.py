"""Two connections are raced. If both are made before the loser is cancelled, the second is never closed."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "same-tick race leaks the runner-up"


async def connect(probe: Any, name: str, ready: trio.Event) -> Any:
    await ready.wait()
    return probe.resource(name)


async def race(probe: Any, ready: trio.Event, *, close_losers: bool) -> Any:
    winners: list[Any] = []

    async def attempt(name: str, nursery: trio.Nursery) -> None:
        conn = await connect(probe, name, ready)  # BUG
        if winners and close_losers:
            conn.close()
            return
        winners.append(conn)
        nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt, "a", nursery)
            nursery.start_soon(attempt, "b", nursery)
            await trio.sleep(1)
            ready.set()
        return winners.pop(0)
    finally:
        if close_losers:
            for conn in winners:
                conn.close()


async def buggy(probe: Any) -> Any:
    winner = await race(probe, trio.Event(), close_losers=False)
    with winner:
        return winner.name


async def fixed(probe: Any) -> Any:
    winner = await race(probe, trio.Event(), close_losers=True)
    with winner:
        return winner.name
