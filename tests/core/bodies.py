"""Scripted bodies of steps: they fail a given number of times, and record when they were called."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from trio_steps import (
    CircuitBreaker,
    step,
)


class BoomError(Exception):
    """The error that a body raises in these tests."""


class Body:
    """A body that follows a script: each call takes `seconds`, then raises or returns what comes next."""

    __name__ = "body"

    def __init__(self, *script, seconds=0.0):
        self.script = iter(script)
        self.seconds = seconds
        self.starts = []

    async def __call__(self):
        self.starts.append(trio.current_time())
        if self.seconds:
            await trio.sleep(self.seconds)
        what = next(self.script)
        if isinstance(what, BaseException):
            raise what
        return what


def boom(count):
    return [BoomError(number) for number in range(1, count + 1)]


async def opened(threshold=1, cooldown=10.0, **options):
    """Return a breaker that has just opened."""
    breaker = CircuitBreaker(threshold, cooldown, **options)
    for error in boom(threshold):
        with pytest.raises(BoomError):
            await step(Body(error), circuit_breaker=breaker)()
    assert breaker.state == "open"
    return breaker
