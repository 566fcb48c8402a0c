"""What the workers of a fork go by: when the next path may start, and whether a path has left something behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import trio

from trio_steps._core.scope import current

if TYPE_CHECKING:
    from contextvars import ContextVar

    from trio_steps._core.limiter import Lease


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
      ran: the ids of the paths of its last stretch.
      lease: the token that it holds, or the lane it is on; None in between.
      variables: how many context variables there are.
      others: all of them but the current scope, and their values.
    """

    __slots__ = ("counted", "lease", "lender", "others", "ran", "task", "variables")

    def __init__(self, task: trio.lowlevel.Task, lender: Lease | None) -> None:
        self.task = task
        self.lender = lender
        self.counted = int(lender is None)
        self.ran: list[str] = []
        self.lease: Lease | None = None
        context = task.context
        self.variables = len(context)
        self.others: list[tuple[ContextVar[Any], Any]] = [item for item in context.items() if item[0] is not current]

    def end_lease(self) -> None:
        """Give the token back, or get off the lane."""
        if self.lease is not None:
            self.lease.end()
            self.lease = None

    def is_clean(self) -> bool:
        """Tell whether no path has left another value in a context variable.

        That they are as many as they were is seen at a glance, and then they are the same: only who set one could take
        it back.

        Values are compared by identity: ``==`` would call the ``__eq__`` of foreign values, and take 1 for True.
        The variable of the current scope is ours, and each path sets it anew.
        """
        context = self.task.context
        for variable, value in self.others:  # noqa: SIM110 - all() takes twice as long, and each path pays for it
            if context[variable] is not value:
                return False
        return True
