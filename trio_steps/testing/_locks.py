"""Locks, limiters, semaphores and conditions: how much of each is taken, and how much should be.

Trio's own are known. For others, such as anyio's, ``statistics()`` is enough.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeGuard, cast

import attrs
import trio

from trio_steps._core.errors import ConfigError

from ._findings import Finding

if TYPE_CHECKING:
    from ._places import Place

TrioLock: TypeAlias = "trio.CapacityLimiter | trio.Lock | trio.StrictFIFOLock | trio.Semaphore | trio.Condition"
_TRIO: Final = (trio.CapacityLimiter, trio.Lock, trio.StrictFIFOLock, trio.Semaphore, trio.Condition)


class Watchable(Protocol):
    """A lock, limiter, semaphore or condition that `Probe.watch` can watch: from Trio, from anyio, or alike."""

    def statistics(self) -> Any:
        """Return an object with ``tasks_waiting``, and ``locked`` or ``borrowed_tokens``."""
        ...


def is_lock(item: object) -> TypeGuard[Watchable]:
    """Tell whether `item` can be watched."""
    if isinstance(item, _TRIO):
        return True
    kind = type(item)
    if not all(callable(getattr(kind, name, None)) for name in ("acquire", "release", "statistics")):
        return False
    try:
        state_of(cast("Watchable", item))
    except Exception:  # noqa: BLE001 - someone else's, and it has its own idea of statistics
        return False
    return True


@attrs.frozen
class State:
    """The state of a lock.

    Attributes:
      taken: how many tasks hold it, 0 or 1 for most; for a semaphore, how many tokens are missing.
      waiting: how many tasks wait for it.
      free: how many tokens it has left, if it has tokens.
      counts: whether it is a semaphore, which does not know how many tokens it should have.
    """

    taken: float
    waiting: int = 0
    free: float | None = None
    counts: bool = False


def state_of(lock: Watchable) -> State:
    """Return the state of `lock`.

    Raises:
      ConfigError: its ``statistics()`` do not show a state.
    """
    known: Any = lock.statistics() if hasattr(lock, "statistics") else None
    waiting: int = getattr(known, "tasks_waiting", 0)
    inner: Any = getattr(known, "lock_statistics", None)
    if inner is not None:  # a condition
        return State(inner.locked, waiting + inner.tasks_waiting)
    borrowed: float | None = getattr(known, "borrowed_tokens", None)
    if borrowed is not None:
        borrowed -= sum(map(_is_thread, getattr(known, "borrowers", ())))
        return State(borrowed, waiting, known.total_tokens - borrowed)
    locked: object = getattr(known, "locked", None)
    if isinstance(locked, bool):
        return State(locked, waiting)
    value: object = getattr(lock, "value", None)
    if not isinstance(value, int):
        raise ConfigError(f"{lock!r} can't be watched: give a lock, a limiter, a semaphore or a condition")
    return State(-value, waiting, value, counts=True)


def _is_thread(borrower: object) -> bool:
    """Tell whether `borrower` is an abandoned thread, the only kind that outlives a program. It returns its token."""
    return type(borrower).__name__ == "ThreadPlaceholder" and type(borrower).__module__ == "trio._threads"


def untaken(lock: Watchable, initial: int | None) -> State | None:
    """Return the state of `lock` when no task holds it. `initial` is the first value of a semaphore, if known.

    None: the state is not known, because a semaphore without a ``max_value`` may be meant to count something.
    """
    state = state_of(lock)
    if not state.counts:
        return State(0, 0, None if state.free is None else state.free + state.taken)
    if initial is None or getattr(lock, "max_value", None) is None:
        return None
    return State(-initial, 0, initial)


def check(lock: Watchable, start: State, place: Place | None, *, exactly: bool) -> Finding | None:
    """Return what is wrong with `lock`, whose state was `start`. With `exactly`, less must not be taken either."""
    end = state_of(lock)
    name = type(lock).__name__
    if end.waiting:
        what = f"{end.waiting} still wait for a {name}"
    elif end.taken == start.taken or (end.taken < start.taken and not exactly):
        return None
    elif end.free is None or start.free is None:
        what = f"a {name} is still held"
    elif end.free < math.inf:
        what = f"a {name} ends with {end.free:g} of its tokens free; at the start {start.free:g} were"
    else:
        what = f"a {name} ends with {end.taken:g} of its tokens taken; at the start {start.taken:g} were"
    kind = f"{name} {'waiting' if end.waiting else 'taken'}"
    return Finding(invariant="lock", message=what, place=place, what=kind)
