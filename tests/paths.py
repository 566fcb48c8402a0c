"""Scripted paths for tests, timed by delays on the virtual clock."""

from __future__ import annotations

from typing import Any

import trio

from trio_steps import ForkPartialError, step
from trio_steps._core.scope import scope_of

ANY_SCOPE = scope_of("a", None, None, None, None)
"""For events that are compared or drawn, neither of which looks at the scope."""


def returns(delay: float, value: Any, *, id: str | None = None) -> Any:
    """A path that returns `value` after `delay` seconds."""

    async def path() -> Any:
        await trio.sleep(delay)
        return value

    return step(path, id=id or str(value))


def raises(delay: float, error: BaseException, *, id: str = "bad") -> Any:
    """A path that raises `error` after `delay` seconds."""

    async def path() -> Any:
        await trio.sleep(delay)
        raise error

    return step(path, id=id)


def on(event: trio.Event, value: Any, *, id: str | None = None) -> Any:
    """A path that returns `value` (raises it, if it is an error) in the tick that sets `event`.

    Paths that wait for one event end in one tick, whatever is cancelled in it. Paths that sleep until the same moment
    do not tie like that: a cancellation by the first would still reach the second.
    """

    async def path() -> Any:
        await event.wait()
        if isinstance(value, BaseException):
            raise value
        return value

    return step(path, id=id or str(value))


async def set_after(delay: float, *events: trio.Event) -> None:
    """Set all `events` in one tick."""
    await trio.sleep(delay)
    for event in events:
        event.set()


def shielded(delay: float, value: Any, *, id: str | None = None) -> Any:
    """A path that can't be cancelled, and returns `value` after `delay` seconds (raises it, if it is an error)."""

    async def path() -> Any:
        with trio.CancelScope(shield=True):
            await trio.sleep(delay)
        if isinstance(value, BaseException):
            raise value
        return value

    return step(path, id=id or str(value))


def cleans_up(log: list[Any], seconds: float = 0.0, *, id: str = "slow", error: BaseException | None = None) -> Any:
    """A path that never ends, and takes `seconds` to clean up when it is cancelled (and then raises `error`)."""

    async def path() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(seconds)
            log.append((id, trio.current_time()))
            if error is not None:
                raise error

    return step(path, id=id)


async def never() -> None:
    """A path that never ends."""
    await trio.sleep_forever()


def failures(error: ForkPartialError[Any]) -> list[tuple[str, str]]:
    """The id and the kind of each path that failed, in path order."""
    return [(rejected.step_id, rejected.kind) for rejected in error.failed]
