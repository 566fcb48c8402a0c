"""`RateLimit`: a number of permits per number of seconds, on Trio's clock.

Problem: a service allows ten requests a second. It does not matter how many run at the same time, so a limiter of
tokens does not help. A task that sleeps 0.1 s between requests drifts, and is too slow after it was idle.

Naive answer: keep the level of a bucket and the time of the last look, and add what has flowed in since. But the sum of
a hundred thousand small numbers is not their product, and while two tasks look in turn, a third overtakes them.

What is done instead. The bucket remembers when it was last full, and how many permits were taken since. From these, one
multiplication gives the time of the next permit, so the hundred-thousandth is as exact as the first. Tasks wait in a
line, a `trio.StrictFIFOLock`, and only the first in the line sleeps. A task that is cancelled leaves the line, and has
taken nothing. The state lasts for one Trio run: see `per_run`.

What is deliberately not done: permits are not given back. A request that failed was a request.
"""

from __future__ import annotations

import sys
from math import inf
from typing import TYPE_CHECKING, final

import trio

from trio_steps._core.checks import check_count, is_number
from trio_steps._core.errors import ConfigError, short_repr
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


def _check_permits(what: str, permits: object, form: str) -> None:
    check_count(what, permits, form=form)
    if not is_number(permits):  # so large that it can't be divided by a float
        raise ConfigError(f"{what}: more than {sys.float_info.max:.1g} can't be counted; give {form}")


@public
@final
class RateLimit:
    """At most `count` permits in `per` seconds: a token bucket on Trio's clock.

    Give it to a step, ``step(fetch, rate=RateLimit(10, per=1.0))``, and each attempt takes a permit. Give it to a fork,
    and each path takes one before it starts. Or take permits by hand, with `acquire` or ``async with rate``. Everything
    that uses the same object shares its permits.

    Permits are granted in the order in which they were asked for: a small request does not overtake a large one. A task
    that is cancelled while it waits has taken none. The state lasts for one Trio run. In another ``trio.run``, the
    bucket starts full.

    Args:
      count: the number of permits in `per` seconds, 1 or more.
      per: seconds.
      burst: how many permits an idle bucket saves up, to be taken at once. By default `count`; with 1, permits are
        ``per / count`` seconds apart.

    Raises:
      ConfigError: an argument is not valid.
    """

    __slots__ = ("__weakref__", "burst", "count", "per")

    def __init__(self, count: int, *, per: float, burst: int | None = None) -> None:
        form = "the number of permits, 1 or more: RateLimit(10, per=1.0); one in two seconds is RateLimit(1, per=2.0)"
        _check_permits(f"RateLimit(count={short_repr(count)})", count, form)
        if not is_number(per) or not 0 < per < inf:
            raise ConfigError(f"RateLimit(per={short_repr(per)}): give seconds, more than 0: RateLimit(10, per=1.0)")
        if burst is not None:
            form = "how many permits can be taken at once, 1 or more: RateLimit(10, per=1.0, burst=1)"
            _check_permits(f"RateLimit(burst={short_repr(burst)})", burst, form)
        self.count: int = count
        self.per: float = per
        self.burst: int = count if burst is None else burst

    def __repr__(self) -> str:
        return f"RateLimit({self.count}, per={self.per}, burst={self.burst})"

    async def acquire(self, amount: int = 1) -> None:
        """Wait for `amount` permits, and take them.

        Raises:
          ValueError: `amount` is not a whole number of 1 or more, or is more than `burst`, which can never be granted.
        """
        if isinstance(amount, bool) or not isinstance(amount, int) or amount < 1:
            raise ValueError(f"acquire({short_repr(amount)}): give the number of permits, 1 or more")
        if amount > self.burst:
            raise ValueError(
                f"acquire({short_repr(amount)}): {self!r} never has more than {self.burst} permits at once; "
                f"take fewer, or let it save up more: burst={short_repr(amount)}"
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
            # If this task woke a little late, the permits after these are still on time.
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
