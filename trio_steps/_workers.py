"""What the workers of a fork go by: when the next path may start, and whether a path has left something behind."""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, Any, final

import trio

from ._scope import current

if TYPE_CHECKING:
    from contextvars import ContextVar

    from ._lending import Lease
    from ._source import Path


@final
class Pace:
    """When the next path of a staggered fork may start: so many `seconds` after the last, or when one has failed."""

    __slots__ = ("_last_start", "_seconds", "failure")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.start()

    def start(self) -> None:
        """Take note that a path starts."""
        self._last_start = trio.current_time()
        self.failure = trio.Event()

    async def wait(self) -> None:
        """Wait until the next may."""
        with trio.CancelScope(deadline=self._last_start + self._seconds):
            await self.failure.wait()


@final
class Member:
    """A member of a crew: its task, what it has run, and its context variables, as they have to be between two paths.

    Attributes:
      task: it runs in this one.
      lender: it runs its paths on that one's lane.
      counted: 1; 0 if it has a lender.
      ran: the paths of its last stretch.
    """

    __slots__ = ("_context", "_size", "_values", "_variables", "counted", "lender", "ran", "task")

    def __init__(self, task: trio.lowlevel.Task, lender: Lease | None) -> None:
        self.task = task
        self.lender = lender
        self.counted = int(lender is None)
        self.ran: list[Path] = []
        self._context = context = task.context
        self._size = len(context)
        self._variables: list[ContextVar[Any]] = [variable for variable in context if variable is not current]
        self._values = [context[variable] for variable in self._variables]

    def is_clean(self) -> bool:
        """Tell whether no path has left a context variable behind.

        Values are compared by identity: ``==`` would call the ``__eq__`` of foreign values, and take 1 for True.
        The variable of the current scope is ours, and each path sets it anew.
        """
        context = self._context  # a variable that was there can't have gone: only who set it could take it back
        if len(context) != self._size:
            return False
        return not self._variables or all(map(is_, map(context.__getitem__, self._variables), self._values))
