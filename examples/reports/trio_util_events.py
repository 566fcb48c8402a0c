"""trio-util 0.8.0: closing ``RepeatedEvent.events()`` does not close the generator inside it.

What happens: a task iterates over ``events()`` inside ``aclosing``, as it should, and leaves the loop. ``events()`` is
closed. The ``eventual_values()`` that it iterates over is not, and has clean-up to do: it holds references to what it
waits for. It is left to the garbage collector, and Trio warns of that, though the caller has done nothing wrong.

What is right: closing ``events()`` closes everything, and nothing is warned of.

Why: ``async for _ in self._event.eventual_values(…): yield`` does not close what it iterates over. It takes
``async with aclosing(self._event.eventual_values(…)) as values:`` around it.
"""
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import warnings
from contextlib import aclosing
from typing import Any, Final

import trio
import trio.testing
import trio_util  # type: ignore[import-untyped]

util: Final[Any] = trio_util  # it has no annotations


async def main() -> None:
    """Wait for one event."""
    event = util.RepeatedEvent()

    async def wait_for_one() -> None:
        async with aclosing(event.events()) as events:
            async for _ in events:
                return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_one)
        await trio.testing.wait_all_tasks_blocked()
        event.set()


if __name__ == "__main__":
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trio.run(main)
    print(caught[0].message if caught else "nothing is left to the collector")
