"""Tokens of a `trio.CapacityLimiter` that can be lent to whatever runs inside their holder.

Problem: a path holds a token of a limiter and runs a fork, or a step, under the same limiter. If such paths hold all
tokens, each waits for a token that only the others can give back.

Naive answer: count the holder's token as the first slot of the inner fork. That deadlocks one level further down, where
two inner paths both think that the slot is theirs. And if the inner fork outlives its path in the background, it gives
the token back too early.

What is done instead. A token is held by a `Lease`, and a lease has one lane. Whoever runs on the lane has a lease of
its own, taken from the lender's lane instead of the limiter, and can lend in turn. The token goes back when its holder
and every borrower have ended.
"""

from __future__ import annotations

from typing import final

import trio


@final
class Lease:
    """One token of `limiter`, which can be lent to one borrower at a time. In Trio's books, the lease borrows it."""

    __slots__ = ("_lane", "_lender", "_source", "_token", "_users", "ended", "limiter", "outer")

    def __init__(self, limiter: trio.CapacityLimiter, outer: Lease | None, lender: Lease | None = None) -> None:
        self.limiter: trio.CapacityLimiter = limiter
        self.outer: Lease | None = outer  # the lease of the step around, perhaps of another limiter
        self.ended: bool = False
        self._lender = lender
        self._source = limiter if lender is None else lender.lane
        self._lane: trio.CapacityLimiter | None = None
        self._token: object = self  # on whose behalf it is held
        self._users = 1  # the holder, and the borrower who is on the lane

    @property
    def lane(self) -> trio.CapacityLimiter:
        if self._lane is None:
            self._lane = trio.CapacityLimiter(1)
        return self._lane

    def take_nowait(self) -> bool:
        """Take the token, or the lender's lane, if it is free now; tell whether it was."""
        try:
            self._source.acquire_on_behalf_of_nowait(self._token)
        except trio.WouldBlock:
            return False
        return self._taken()

    async def take(self) -> bool:
        """Wait for the token, or the lender's lane. Return False if the lender has ended in the meantime."""
        await self._source.acquire_on_behalf_of(self._token)
        return self._taken()

    def _taken(self) -> bool:
        if self._lender is not None:
            if self._lender.ended:
                self._source.release_on_behalf_of(self._token)
                return False
            self._lender._users += 1
        return True

    def pass_on(self, waiting: int, *, look: bool = True) -> Lease | None:
        """End this lease, and return one with the same token for the holder's next path.

        Give the token back instead, and return None, while it is lent or after its own lender has ended. With `look`,
        do the same while any task waits for the limiter besides `waiting` tasks of the holder, and after
        ``total_tokens`` was lowered.
        """
        self.ended = True
        if (
            self._users > 1
            or (self._lender is not None and self._lender.ended)
            or (look and self._is_wanted(waiting if self._lender is None else 0))
        ):
            self._drop()
            return None
        successor = Lease(self.limiter, self.outer, self._lender)
        successor._token = self._token
        return successor

    def _is_wanted(self, own: int) -> bool:
        seen = self._source.statistics()
        return seen.tasks_waiting > own or seen.borrowed_tokens > seen.total_tokens

    def end(self) -> None:
        """End the holder's part: stop lending, and give the token back as soon as no one uses it."""
        if not self.ended:
            self.ended = True
            self._drop()

    def _drop(self) -> None:
        lease: Lease | None = self
        while lease is not None:
            lease._users -= 1
            if lease._users:
                return
            lease._source.release_on_behalf_of(lease._token)
            lease = lease._lender


def find_lender(limiter: trio.CapacityLimiter, lease: Lease | None) -> Lease | None:
    """Return the innermost open lease of `limiter` that the current step runs under, or None."""
    while lease is not None and (lease.ended or lease.limiter is not limiter):
        lease = lease.outer
    return lease


async def hold(limiter: trio.CapacityLimiter, outer: Lease | None) -> Lease:
    """Take a token of `limiter`, or the lane of a lease around this step: whichever is free first."""
    lease = Lease(limiter, outer)
    while (lender := find_lender(limiter, outer)) is not None:
        borrowed = Lease(limiter, outer, lender)
        if borrowed.take_nowait():
            return borrowed
        if lease.take_nowait():
            return lease
        # Waiting for a token alone would not do: paths that wait like this one may hold all of them. Nor would waiting
        # for the lane alone: whoever is on it may be waiting for this step.
        taken = await _take_either(borrowed, lease)
        if taken is not None:
            return taken
    if not lease.take_nowait():
        await lease.take()
    return lease


async def _take_either(*leases: Lease) -> Lease | None:
    """Return the first one that can be taken, or None if a lender has ended in the meantime."""
    taken: list[Lease] = []

    async def take(lease: Lease) -> None:
        if await lease.take():
            taken.append(lease)
        nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            for lease in leases:
                nursery.start_soon(take, lease, name=f"waiting for {lease.limiter!r}")
    except BaseExceptionGroup:
        for lease in taken:
            lease.end()
        await trio.lowlevel.checkpoint_if_cancelled()  # a bare Cancelled, as from any other wait
        raise
    for lease in taken[1:]:  # both were taken in one tick
        lease.end()
    return taken[0] if taken else None
