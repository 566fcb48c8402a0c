"""Tokens of a `trio.CapacityLimiter` that can be lent to whatever runs inside their holder.

Problem: a path holds a token of a limiter and runs a fork, or a step, that is bounded by the same limiter.
When all tokens are held by such paths, each waits for a token that only the others could give back.

Naive answer: count the holder's token as the inner fork's first slot. That deadlocks one level further down,
when two inner paths think the slot is theirs, and it gives the token back too early when the inner fork runs
in the background of a path that has ended.

So a token is held by a `Lease`, and a lease has one lane. Whoever runs on the lane has a lease of its own,
taken from the lender's lane instead of the limiter, and can lend in turn. The token goes back when its
holder and every borrower have ended.
"""

from __future__ import annotations

from typing import final

import trio


@final
class Lease:
    """One token of `limiter`, held on its own behalf, and lendable to one borrower at a time."""

    __slots__ = ("_lane", "_lender", "_source", "_token", "_users", "ended", "limiter", "outer")

    def __init__(self, limiter: trio.CapacityLimiter, outer: Lease | None, lender: Lease | None = None) -> None:
        self.limiter = limiter
        self.outer = outer  # the lease of the step around, perhaps of another limiter
        self.ended = False
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

    def take_nowait(self) -> None:
        """Raise `trio.WouldBlock` if there is no token, or the lane is taken."""
        self._source.acquire_on_behalf_of_nowait(self._token)

    async def take(self) -> None:
        await self._source.acquire_on_behalf_of(self._token)

    async def lend(self, outer: Lease | None) -> Lease | None:
        """Wait for the lane and return a lease on it, or None if this lease has ended in the meantime."""
        borrowed = Lease(self.limiter, outer, lender=self)
        try:
            borrowed.take_nowait()
        except trio.WouldBlock:
            await borrowed.take()
        if self.ended:
            self.lane.release_on_behalf_of(borrowed)
            return None
        self._users += 1
        return borrowed

    def pass_on(self, waiting: int) -> Lease | None:
        """End this lease, and return one with the same token for the holder's next path.

        Return None, and give the token back, while it is lent, while anybody waits for a token but the holder's
        own `waiting` tasks, or after ``total_tokens`` was lowered.
        """
        self.ended = True
        seen = self._source.statistics()
        if self._lender is not None:
            waiting = 0 if not self._lender.ended else -1
        if self._users > 1 or seen.tasks_waiting > waiting or seen.borrowed_tokens > seen.total_tokens:
            self._drop()
            return None
        successor = Lease(self.limiter, self.outer, self._lender)
        successor._token = self._token
        return successor

    def end(self) -> None:
        """The holder has ended: lend no more, and give the token back as soon as nobody uses it."""
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
    """Take a token of `limiter`: a free one, or else the lane of a lease that is already held around here."""
    lease = Lease(limiter, outer)
    try:
        lease.take_nowait()
    except trio.WouldBlock:
        while (lender := find_lender(limiter, outer)) is not None:
            borrowed = await lender.lend(outer)
            if borrowed is not None:
                return borrowed
        await lease.take()
    return lease
