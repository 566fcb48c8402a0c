"""A fault: one call of the program raises an exception, as if the operation had failed.

Naive answer: a cancel scope around the wait, closed when the wait is over, whose ``Cancelled`` becomes the fault. But a
wait that refuses to be aborted continues. In the meantime Trio may move what is inside (``Nursery.start`` does), and
then the scope can no longer be closed.

What is done instead depends on the call:

- A wait: the scope is open only while Trio asks whether the wait can be aborted, right after the task has yielded. If
  it can, a ``Cancelled`` with our reason is on its way, and is swapped for the fault when it arrives. If it can't,
  there is no fault. So nothing that was received is lost, and the end of a nursery does not raise.
- ``checkpoint()``, which only lets others run, raises the fault when its turn comes again.
- A call of Trio that does not have to wait, because there is room in the channel or the lock is free: Trio calls
  ``checkpoint_if_cancelled()`` before it does anything, and that raises. Raising later would be wrong: a lock acquired
  by a call that raises is never released.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, final

import trio

from trio_steps.testing._patches import patched

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

REASON: Final = "a fault is injected by trio_steps.testing"
_LETS_RUN: Final[Any] = trio.lowlevel.checkpoint
_SHIELDED: Final[Any] = trio.lowlevel.cancel_shielded_checkpoint


@final
class Fault(trio.abc.Instrument):
    """Makes call number `at` of a run raise what `make` returns.

    Attributes:
      at: the number of the call that raises, or None.
      calls: how many calls there were.
      error: the exception, once it was raised.
    """

    def __init__(self, at: int | None, make: Callable[[], BaseException]) -> None:
        self.at: int | None = at
        self.watched: bool = False
        self.calls: int = 0
        self.error: BaseException | None = None
        self._make = make
        self._scope: trio.CancelScope | None = None
        self._failing: trio.lowlevel.Task | None = None

    @contextmanager
    def watching(self, fires: Callable[[trio.lowlevel.Task], BaseException | None]) -> Generator[None]:
        """Also see the calls that do not wait. `fires` returns the fault, or None for a task outside the program."""
        original, is_due = trio.lowlevel.checkpoint_if_cancelled, self._is_due

        async def checkpoint_if_cancelled() -> None:
            await original()
            if is_due():
                error = fires(trio.lowlevel.current_task())
                if error is not None:
                    raise error

        self.watched = True
        with patched([(trio.lowlevel, "checkpoint_if_cancelled", checkpoint_if_cancelled)]):
            yield

    def _is_due(self) -> bool:
        self.calls += 1
        return self.calls - 1 == self.at

    def meets_trap(self) -> None:
        """Called in a task that is about to yield a trap to Trio."""
        if not self._is_due() or trio.current_effective_deadline() == -math.inf:
            return  # a cancelled call is about to raise anyway
        task = trio.lowlevel.current_task()
        codes = {frame.f_code for frame, _ in task.iter_await_frames()}
        if _SHIELDED.__code__ in codes:
            if _LETS_RUN.__code__ in codes:
                self._failing = task
            return
        self._scope = trio.CancelScope()
        self._scope.__enter__()
        self._scope.cancel(reason=REASON)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002
        """Called by Trio when it has seen the trap; the task is still the current one."""
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.__exit__(None, None, None)

    def comes_to(self, task: trio.lowlevel.Task, error: BaseException | None) -> bool:
        """Tell whether `task`, which is resumed with `error` or a value, is to get the fault instead."""
        if self._failing is task:
            self._failing = None
            return True
        return isinstance(error, trio.Cancelled) and error.reason == REASON

    def fire(self) -> BaseException:
        """Return the exception, which is about to be raised."""
        self.error = self._make()
        return self.error
