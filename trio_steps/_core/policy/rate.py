"""`RateLimit`: so many in so many seconds, on Trio's clock.

Problem: a service allows ten requests a second. How many run at the same time does not matter, so a limiter of tokens
is no help; and a task that sleeps 0.1 s between requests is too slow when it was idle before, and drifts.

Naive answer: keep the level of a bucket and the time of the last look, and add what has flowed in since. The sum of a
hundred thousand small numbers is not the product, and two tasks that look in turn let a third overtake them.

What is done instead. The bucket remembers when it was full last, and how many permits were taken since. From these, one
multiplication gives the moment at which the next permits are there. So the hundred-thousandth comes as exactly as the
first. Whoever asks waits in a line, `trio.StrictFIFOLock`, and only the first in the line sleeps. A waiter that is
cancelled leaves the line, and has taken nothing. The state is that of one Trio run, see `per_run`.

What is deliberately not done: permits are not given back. A request that failed was a request.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, final

import trio

from trio_steps._core.checks import check_count
from trio_steps._core.errors import ConfigError
from trio_steps._core.public import public

from .per_run import PerRun

if TYPE_CHECKING:
    from types import TracebackType


@final
class _Bucket:
    """The state of a rate in one run."""

    __slots__ = ("full_at", "line", "taken")

    def __init__(self) -> None:
        self.line = trio.StrictFIFOLock()
        self.full_at = trio.current_time()
        self.taken = 0  # since then


_buckets: PerRun[_Bucket] = PerRun("rates", _Bucket)


@public
@final
class RateLimit:
    """At most `count` permits in `per` seconds: a token bucket on Trio's clock.

    Give it to a step, ``step(fetch, rate=RateLimit(10, per=1.0))``, where each attempt takes a permit; to a fork, where
    each path takes one before it starts; or take permits by hand, with `acquire` or ``async with rate``. All that use
    the same object share its permits.

    Permits are granted in the order in which they were asked for: a small request does not overtake a large one. A task
    that is cancelled while it waits has taken none. The bucket lasts as long as the Trio run; in another ``trio.run``,
    it begins full.

    Args:
      count: how many permits there are in `per` seconds, 1 or more.
      per: seconds.
      burst: how many can be saved up while nobody asks, and taken at once. By default `count`; with 1, permits are
        ``per / count`` seconds apart.

    Raises:
      ConfigError: an argument makes no sense.
    """

    __slots__ = ("__weakref__", "burst", "count", "per")

    def __init__(self, count: int, *, per: float, burst: int | None = None) -> None:
        form = "the number of permits, 1 or more: RateLimit(10, per=1.0); one in two seconds is RateLimit(1, per=2.0)"
        check_count(f"RateLimit(count={count!r})", count, form=form)
        if isinstance(per, bool) or not isinstance(per, (int, float)) or not 0 < per < inf:
            raise ConfigError(f"RateLimit(per={per!r}): give seconds, more than 0: RateLimit(10, per=1.0)")
        if burst is not None:
            form = "how many permits can be taken at once, 1 or more: RateLimit(10, per=1.0, burst=1)"
            check_count(f"RateLimit(burst={burst!r})", burst, form=form)
        self.count: int = count
        self.per: float = per
        self.burst: int = count if burst is None else burst

    def __repr__(self) -> str:
        return f"RateLimit({self.count}, per={self.per}, burst={self.burst})"

    async def acquire(self, amount: int = 1) -> None:
        """Wait for `amount` permits, and take them.

        Raises:
          ValueError: `amount` is no number of permits, or more than `burst`: so many are never there at once.
        """
        if isinstance(amount, bool) or not isinstance(amount, int) or amount < 1:
            raise ValueError(f"acquire({amount!r}): give the number of permits, 1 or more")
        if amount > self.burst:
            raise ValueError(
                f"acquire({amount}): {self!r} never has more than {self.burst} permits at once; "
                f"take less, or save up more: burst={amount}"
            )
        bucket = _buckets.of(self)
        async with bucket.line:
            now = trio.current_time()
            if bucket.full_at + bucket.taken * self.per / self.count <= now:
                bucket.full_at = now
                bucket.taken = 0
            ready = bucket.full_at + (bucket.taken + amount - self.burst) * self.per / self.count
            if now < ready:
                await trio.sleep_until(ready)
            # If this task woke a little late, the permits after these are there in time all the same.
            bucket.taken += amount

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        return
