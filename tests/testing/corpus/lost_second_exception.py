"""The first error cancels the rest and is kept. A second error in the same tick is thrown away."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "second exception lost"


async def fetch_all(go: trio.Event, errors: list[str], *, keep_all: bool) -> list[str]:
    kept: list[str] = []

    async def request(name: str) -> None:
        await go.wait()
        errors.append(name)
        raise OSError(name)

    async def fetch(name: str, nursery: trio.Nursery) -> None:
        try:
            await request(name)  # BUG
        except OSError as error:
            if keep_all or not kept:
                kept.append(str(error))
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch, "a", nursery)
        nursery.start_soon(fetch, "b", nursery)
        await trio.sleep(1)
        go.set()
    return kept


async def check(probe: Any, *, keep_all: bool) -> None:
    errors: list[str] = []
    kept: list[str] | None = None

    @probe.invariant
    def every_error_is_kept() -> None:
        assert kept is None or sorted(kept) == sorted(errors), f"{errors} were raised, {kept} kept"

    kept = await fetch_all(trio.Event(), errors, keep_all=keep_all)


async def buggy(probe: Any) -> None:
    await check(probe, keep_all=False)


async def fixed(probe: Any) -> None:
    await check(probe, keep_all=True)
