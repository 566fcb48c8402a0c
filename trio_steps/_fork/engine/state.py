"""What is known of one run of a fork, by all who work on it: how far it is, and what it is made of.

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
class State:
    """One run of a fork.

    Attributes:
      plan: what the fork was built with.
      args: its input, or nothing: what paths are called with.
      scope: the scope of the fork.
      name: its full name.
      prefix: what the full names of its paths begin with.
      observe: who is told, or None.
      context: where workers start, with the caller's variables, whoever hires them.
      nursery: where they run.
      ledger: what became of the paths.
      mode: what decides.
      source: where paths come from.
      discarded: what nobody gets.
      pace: when the next may start, of a staggered fork.
      total: how many paths there are, as soon as that is known.
      ended: how many have ended, before the decision.
      stopped: no path is started any more.
      decided: what is reported now comes too late.
      detained: how many tasks wait for what won't come when every path has ended.
      timed_out: the decision was that of the deadline.
      in_time: what is reported now counts; True as long as that is sure without a look at the deadline.
      states: what each path made of the state that the fork was given.
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
        """The run is over: what it is made of need not hold each other any more."""
        self.ledger.discard = None
        if self.plan.growing:
            self.scope.grow = _refuse
        del self.scope.discard_value

    async def wait_for_end(self) -> None:
        """Wait, as the caller's task, until every path has ended by itself, or be cancelled.

        That task could as well wait at the end of the nursery. But there it would not learn at once of a cancellation
        from outside; and then no other path may start.
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
