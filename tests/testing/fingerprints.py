"""Print the traces of some runs. With one version of Trio, they are the same on every Python and for any hash seed."""

from __future__ import annotations

import trio

from trio_steps.testing import Probe, run_once


async def child(event: trio.Event, count: int) -> None:
    for _ in range(count):
        await trio.lowlevel.checkpoint()
    await event.wait()
    with trio.move_on_after(1):
        await trio.sleep_forever()


async def program(probe: Probe) -> None:
    event = trio.Event()
    async with trio.open_nursery() as nursery:
        for count in range(5):
            nursery.start_soon(child, event, count)
        await trio.sleep(1)
        event.set()
        await trio.sleep(0.5)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    tokens = [run_once(program, seed=seed, cancel_at=at).token for seed in range(5) for at in (None, 20)]
    print(*(token.rpartition(":")[2] for token in tokens), sep=",")
