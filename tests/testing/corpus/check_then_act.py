"""Two tasks look into a cache at once, both connect, and the second connection replaces the first."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "check, then act"


class Pool:
    def __init__(self, probe: Any) -> None:
        self.probe = probe
        self.conns: dict[str, Any] = {}
        self.lock = trio.Lock()

    async def get(self, host: str) -> Any:
        if host not in self.conns:
            await trio.lowlevel.checkpoint()  # BUG
            self.conns[host] = self.probe.resource(host)
        return self.conns[host]

    async def get_well(self, host: str) -> Any:
        async with self.lock:
            if host not in self.conns:
                await trio.lowlevel.checkpoint()
                self.conns[host] = self.probe.resource(host)
        return self.conns[host]


async def run(pool: Pool, get: Any) -> None:
    async def client(delay: int) -> None:
        for _ in range(delay):
            await trio.lowlevel.checkpoint()
        await get("db")

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client, 0)
            nursery.start_soon(client, 3)
    finally:
        for conn in pool.conns.values():
            conn.close()


async def buggy(probe: Any) -> None:
    pool = Pool(probe)
    await run(pool, pool.get)


async def fixed(probe: Any) -> None:
    pool = Pool(probe)
    await run(pool, pool.get_well)
