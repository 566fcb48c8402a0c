"""State of an object that lives as long as one Trio run.

Problem: a `CircuitBreaker` or a `RateLimit` is made once, at the top of a module, and keeps times of Trio's clock.
Programs and test suites call ``trio.run`` many times, threads call it side by side, and the clock of each run has its
own offset. A time of one run means nothing in another.

Naive answer: keep the state in the object. A breaker that opened in one run then stays open for days in the next.

What is done instead. A `trio.lowlevel.RunVar` holds the states of one run, by object. They are released with the run,
and the state of an object is released with the object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, final
from weakref import WeakKeyDictionary

from trio.lowlevel import RunVar

if TYPE_CHECKING:
    from collections.abc import Callable

StateT = TypeVar("StateT")


@final
class PerRun(Generic[StateT]):
    """The states of many objects, separate for each Trio run."""

    __slots__ = ("_make", "_states")

    def __init__(self, name: str, make: Callable[[], StateT]) -> None:
        self._make = make
        self._states: RunVar[WeakKeyDictionary[object, StateT]] = RunVar(f"trio_steps.{name}")

    def of(self, owner: object) -> StateT:
        """Return the state of `owner` in this run, making it the first time."""
        try:
            states = self._states.get()
        except LookupError:
            states = WeakKeyDictionary[object, StateT]()
            self._states.set(states)
        state = states.get(owner)
        if state is None:
            state = states[owner] = self._make()
        return state

    def known(self, owner: object) -> StateT | None:
        """Return the state of `owner` in this run, or None if there is no state or no run."""
        try:
            return self._states.get().get(owner)
        except (LookupError, RuntimeError):
            return None
