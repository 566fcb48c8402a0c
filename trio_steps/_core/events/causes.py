"""Who cancelled a step, in words.

A `trio.Cancelled` says where it comes from: a call of ``cancel()``, with the task and the reason; a deadline; a nursery
in which a task failed; or Ctrl-C. It does not say whose deadline it was. So a step with a timeout keeps its deadline in
a context variable while it runs, and all tasks inside the step see it.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, final

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Iterator


@final
@attrs.frozen(eq=False, repr=False)
class Deadline:
    """The timeout of a step that is running.

    Attributes:
      at: when it fires, by ``trio.current_time()``.
      seconds: how long the step may take.
      step: the full name of the step.
      around: the deadline of the next step around this one that has a timeout.
    """

    at: float
    seconds: float
    step: str
    around: Deadline | None


deadlines: Final[ContextVar[Deadline | None]] = ContextVar("trio_steps.deadlines", default=None)

_TASK: Final = re.compile(r"<Task ['\"]?(.*?)['\"]? at 0x")
_CTRL_C: Final = "raised exception KeyboardInterrupt()"


def cause_of(cancelled: trio.Cancelled) -> str:
    """Return who or what caused `cancelled`. Call it where `cancelled` is caught, in the same tick."""
    reason = cancelled.reason
    if cancelled.source == "KeyboardInterrupt" or (cancelled.source == "nursery" and _CTRL_C in (reason or "")):
        return "Ctrl-C"
    if cancelled.source == "deadline":
        return _whose()
    if reason is not None:
        return reason
    task = _TASK.match(cancelled.source_task or "")
    return "cancelled" if task is None else f"by task {task[1]!r}"


def _whose() -> str:
    """Return which of the deadlines around this code has fired; the outermost if there are several."""
    now = trio.current_time()
    fired = [deadline for deadline in _around() if deadline.at <= now]
    return f"timeout of {fired[-1].seconds:g} s of step {fired[-1].step!r}" if fired else "a timeout around it"


def _around() -> Iterator[Deadline]:
    deadline = deadlines.get()
    while deadline is not None:
        yield deadline
        deadline = deadline.around
