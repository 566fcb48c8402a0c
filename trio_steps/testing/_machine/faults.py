"""A fault: one wait of the program raises an exception, as if what it waits for had failed.

Naive answer: a cancel scope around that trap, closed when the trap is over, whose ``Cancelled`` is taken for the fault.
But a trap that refuses to be aborted lasts. Trio may move what is inside in the meantime (``Nursery.start`` does), and
then the scope can't be closed any more.

What is done instead: the scope is open only while Trio asks the trap whether it can be aborted, right after the task
has yielded it. If it can, a ``Cancelled`` with our reason is on its way, and is swapped for the fault when it arrives.
If not, there is no fault: nothing that was received is lost, and a nursery's end does not raise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

REASON: Final = "a fault is injected by trio_steps.testing"


@final
class Fault(trio.abc.Instrument):
    """Makes trap number `at` of a run raise what `make` returns.

    Attributes:
      at: the number of the trap, or None: none raises.
      traps: how many there were.
      error: the exception, once it was raised.
    """

    def __init__(self, at: int | None, make: Callable[[], BaseException]) -> None:
        self.at = at
        self.traps = 0
        self.error: BaseException | None = None
        self._make = make
        self._scope: trio.CancelScope | None = None

    def meets_trap(self) -> None:
        """Called in a task that is about to yield a trap to Trio."""
        self.traps += 1
        if self.traps - 1 != self.at or trio.current_effective_deadline() == -math.inf:
            return  # what is cancelled is about to raise anyway
        self._scope = trio.CancelScope()
        self._scope.__enter__()
        self._scope.cancel(reason=REASON)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002
        """Called by Trio when it has seen the trap; the task is still the current one."""
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.__exit__(None, None, None)

    def fire(self) -> BaseException:
        """Return the exception, which is about to be raised."""
        self.error = self._make()
        return self.error
