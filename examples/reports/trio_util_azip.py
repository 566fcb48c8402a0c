"""trio-util 0.8.0: `azip` loses items when it is cancelled, and what it zips is out of step from then on.

What happens: two channels are zipped, and there is a time limit for a pair. The quick channel brings its first item,
the slow one does not, and the time is over. The item of the quick channel has been taken from it, and no one gets it.
Zipping the two channels again pairs the second item of the one with the first item of the other.

What is right: "quick 0" comes together with "slow 0". Trio's own ``receive()`` loses nothing when it is cancelled, and
the same library has ``iter_move_on_after``, which cancels what it iterates over.

Why: ``_azip`` keeps what it has collected in a variable of one round. An object with an ``__anext__`` could keep it
from one call to the next. A generator can't: it is over once a ``Cancelled`` has gone through it. The same happens when
one of the iterators raises.
"""
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Final

import trio
import trio.testing
import trio_util  # type: ignore[import-untyped]

util: Final[Any] = trio_util  # it has no annotations


async def produce(name: str, pause: float, channel: trio.MemorySendChannel[str]) -> None:
    """Send two items, each after a pause."""
    async with channel:
        for number in range(2):
            await trio.sleep(pause)
            await channel.send(f"{name} {number}")


async def main() -> str:
    """Return the first pair that comes."""
    quick_send, quick = trio.open_memory_channel[str](0)
    slow_send, slow = trio.open_memory_channel[str](0)
    async with trio.open_nursery() as nursery, quick, slow:
        nursery.start_soon(produce, "quick", 1, quick_send)
        nursery.start_soon(produce, "slow", 3, slow_send)
        with trio.move_on_after(2):
            async with aclosing(util.azip(quick, slow)) as pairs:
                return f"in time: {await anext(pairs)}"
        async with aclosing(util.azip(quick, slow)) as pairs:
            first = await anext(pairs)
        nursery.cancel_scope.cancel()
    return f"the first pair is {first}"


if __name__ == "__main__":
    print(trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0)))
