"""anyio on Trio: its task groups, limiters and cancel scopes work around forks, because they are Trio's."""

from __future__ import annotations

from functools import partial

import anyio
import trio

from trio_steps import settle, step


async def fetch(number: int) -> int:
    await anyio.sleep(0.05 * number)
    return number * number


async def main() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep, 0)
        results = await settle([step(partial(fetch, n), id=f"page-{n}") for n in range(1, 4)], concurrency=2)
    print([result.unwrap() for result in results])

    with anyio.move_on_after(0.1) as scope:  # it cancels the paths, as a scope of Trio's does
        await settle(partial(fetch, 1), partial(fetch, 600))
    print("moved on:", scope.cancelled_caught)

    sent, received = anyio.create_memory_object_stream[int](3)
    async with sent, received:
        for number in (1, 2, 3):
            sent.send_nowait(number)
        sent.close()
        # an async iterable of paths: the stream of anyio feeds the fork
        print(await settle((partial(fetch, number) async for number in received), concurrency=trio.CapacityLimiter(2)))


if __name__ == "__main__":
    anyio.run(main, backend="trio")
