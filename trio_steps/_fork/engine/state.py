"""The shared state of one run of a fork: its progress, and its parts.

It decides nothing. Paths are counted where they run, and `Verdict` says what their ends mean.
"""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any, final

import trio

from trio_steps._fork.ledger import Ledger

from .discarded import Discarded
from .source import Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from typing import NoReturn

    from trio_steps._core.events.observers import Observers
    from trio_steps._core.scope import Scope
    from trio_steps._fork.modes import Mode
    from trio_steps._fork.plan import Plan


@final
class Pace:
    """When the next path of a staggered fork may start: `seconds` after the last one, or when a path has failed."""

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
class State:
    """One run of a fork.

    Attributes:
      plan: what the fork was built with.
      args: its input, or nothing: what paths are called with.
      scope: the scope of the fork.
      name: its full name.
      prefix: what the full names of its paths begin with.
      observe: the observers, or None.
      context: the context in which workers start, with the caller's variables, whichever task hires them.
      nursery: where they run.
      ledger: what became of the paths.
      mode: what decides.
      source: where paths come from.
      discarded: takes what no one gets.
      pace: when the next may start, of a staggered fork.
      total: how many paths there are, as soon as that is known.
      ended: how many have ended, before the decision.
      stopped: no more paths start.
      decided: what is reported now is too late.
      detained: how many tasks are waiting for something that won't come once every path has ended.
      timed_out: the deadline made the decision.
      in_time: what is reported now counts; True while that is certain without looking at the deadline.
      states: what each path has made of the state that the fork was given.
    """

    __slots__ = (
        "_caller",
        "args",
        "context",
        "decided",
        "detained",
        "discarded",
        "ended",
        "in_time",
        "ledger",
        "mode",
        "name",
        "nursery",
        "observe",
        "pace",
        "plan",
        "prefix",
        "scope",
        "source",
        "states",
        "stopped",
        "timed_out",
        "total",
    )

    nursery: trio.Nursery

    def __init__(self, plan: Plan, args: tuple[Any, ...], scope: Scope) -> None:
        self.plan: Plan = plan
        self.args: tuple[Any, ...] = args
        self.scope: Scope = scope
        self.name: str = scope.name
        self.prefix: str = self.name + "/"
        self.observe: Observers | None = scope.observers
        self.context: Context = copy_context()
        self.ledger: Ledger[Any] = (
            Ledger(plan.id, self.name) if plan.delivery is None else plan.delivery.begin(plan.id, scope)
        )
        self.mode: Mode[Any, Any] = plan.mode(self.ledger)
        self.source: Source = Source(plan.known, self.ledger, plan.adapt, growing=plan.growing)
        self.discarded: Discarded = Discarded(self.ledger, scope, plan.dispose)
        self.pace: Pace | None = None if plan.stagger is None else Pace(plan.stagger)
        self.total: int | None = None
        self.ended: int = 0
        self.stopped: bool = False
        self.decided: bool = False
        self.detained: int = 0
        self.timed_out: bool = False
        self.in_time: bool = plan.timeout is None
        self.states: dict[int, dict[str, object]] = {}
        self._caller: trio.lowlevel.Task | None = None

        self.ledger.discard = self.discarded.discard_held
        scope.discard_value = self.discarded.discard_value

    def end(self) -> None:
        """Break the references between the parts of the run, which is over."""
        self.ledger.discard = None
        if self.plan.growing:
            self.scope.grow = _refuse
        del self.scope.discard_value

    async def wait_for_end(self) -> None:
        """Wait, as the caller's task, until every path has ended by itself, or be cancelled.

        That task could also wait at the end of the nursery. But there it would not notice a cancellation from outside
        at once, after which no other path may start.
        """
        if self.decided:
            return

        def abort(_raise_cancel: Callable[[], NoReturn]) -> trio.lowlevel.Abort:
            self._caller = None
            self.stopped = True
            return trio.lowlevel.Abort.SUCCEEDED

        self._caller = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def wake_caller(self) -> None:
        """Every path has ended."""
        if self._caller is not None:
            caller, self._caller = self._caller, None
            trio.lowlevel.reschedule(caller)


def _refuse(_path: Callable[..., object]) -> None:
    raise RuntimeError("the fork is over, so no path can be added")
