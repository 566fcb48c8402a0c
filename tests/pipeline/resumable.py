"""Steps that return or fail after a delay, and the checkpoints of a run."""

from __future__ import annotations

import trio

from trio_steps import (
    current_scope,
)


def gives(seconds, **keys):
    async def give():
        ran.append(current_scope().name)
        await trio.sleep(seconds)
        return keys

    return give


def fails(seconds, error):
    async def fail():
        ran.append(current_scope().name)
        await trio.sleep(seconds)
        raise error

    return fail


ran: list[str] = []
