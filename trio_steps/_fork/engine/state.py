"""The shared state of one run of a fork: its progress, and its parts.

It decides nothing. Paths are counted where they run, and `ForkRun` says what their ends mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import trio

from trio_steps._fork.ledger import Ledger

from .discarded import Discarded
from .source import Source
from .trust import is_trusted

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from typing import NoReturn

    from trio_steps._core.events.observers import Observers
    from trio_steps._core.scope import Scope
    from trio_steps._fork.ledger import Named
    from trio_steps._fork.modes import Mode
    from trio_steps._fork.plan import Plan


@final
class Pace:
    """Tells when the next path of a staggered fork may start: `seconds` after the last, or when a path has failed."""

    __slots__ = ("_last_start", "_seconds", "failure")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.start()

    def start(self) -> None:
        """Note that a path starts."""
        self._last_start = trio.current_time()
        self.failure = trio.Event()

    async def wait(self) -> None:
        """Wait until the next path may start."""
        with trio.CancelScope(deadline=self._last_start + self._seconds):
            await self.failure.wait()


class State:
    """The state of one run of a fork.

    Attributes:
      plan: the definition of the fork.
      args: the arguments of paths: the input of the fork, or nothing.
      scope: the scope of the fork.
      name: its full name.
      prefix: the beginning of the full names of its paths.
      observe: the observers, or None.
      context: the context in which workers start, with the caller's variables, whichever task hires them; not set if
        the caller's task starts all paths at once.
      nursery: where workers run.
      ledger: what became of the paths.
      mode: decides the fork.
      tell: tells the mode of a value; None if no value matters to it.
      source: where paths come from.
      fencing: there may be paths whose code is not trusted.
      fences: how many of them run in a fence now.
      pace: of a staggered fork: when the next path may start.
      total: how many paths there are, as soon as that is known.
      ended: how many paths ended before the decision.
      stopped: no more paths start.
      decided: whatever is reported now is too late.
      detained: how many tasks are waiting for something that won't come once every path has ended.
      timed_out: the deadline decided the fork.
      in_time: whatever is reported now counts; True while that is certain without looking at the deadline.
      states: the state of each path, a copy that the path may have changed; not set if the fork was given no state.
      leftovers: there may be late values and errors, or others that no one receives.
      start_next: called at the end of a path that had a task of its own, if not all may run at once: starts another.
      caller: the task of the caller, while it waits before the end of the nursery until every path has ended.
    """

    nursery: trio.Nursery
    context: Context
    states: dict[int, dict[str, object]]

    # The defaults fit most runs: setting attributes is most of the cost of a small fork.
    pace: Pace | None = None
    total: int | None = None
    stopped: bool = False
    detained: int = 0
    fences: int = 0
    timed_out: bool = False
    leftovers: bool = False
    caller: trio.lowlevel.Task | None = None
    _discarded: Discarded | None = None

    def __init__(self, plan: Plan, args: tuple[Any, ...], scope: Scope) -> None:
        self.plan: Plan = plan
        self.args: tuple[Any, ...] = args
        self.scope: Scope = scope
        self.name: str = (name := scope.name)
        self.prefix: str = name + "/"
        self.observe: Observers | None = scope.observers
        ledger: Ledger[Any] = Ledger(plan.id, name) if plan.delivery is None else plan.delivery.begin(plan.id, name)
        self.ledger: Ledger[Any] = ledger
        self.mode: Mode[Any, Any] = (mode := plan.mode(ledger))
        self.tell: Callable[[int, Any], bool] | None = mode.succeeded if getattr(mode, "minds_values", True) else None
        self.source: Source = Source(plan.known, ledger, plan.adapt, plan.growing)
        if plan.stagger is not None:
            self.pace = Pace(plan.stagger)
        if scope.state is not None:
            self.states = {}
        self.ended: int = 0
        self.decided: bool = False
        self.start_next: Callable[[], None] | None = None
        self.in_time: bool = plan.timeout is None
        known = plan.known
        self.fencing: bool = known is None or known.code is None or not is_trusted(known.code)
        ledger.discard = self._discard_held
        scope.discard_value = self._discard_value

    @property
    def discarded(self) -> Discarded:
        """The values and errors that no one receives. Made on demand, because most forks return all of their values."""
        if self._discarded is None:
            self.leftovers = True
            self._discarded = Discarded(self.ledger, self.scope, self.plan.dispose)
        return self._discarded

    async def _discard_value(self, name: str, value: object) -> None:
        await self.discarded.discard_value(name, value)

    async def _discard_held(self, values: list[Named]) -> None:
        await self.discarded.discard_held(values)

    async def wait_for_end(self) -> None:
        """Wait, as the caller's task, until every path has ended by itself, or be cancelled.

        That task could also wait at the end of the nursery. But there it would not notice a cancellation from outside
        at once, and after one no other path may start.
        """
        if self.decided:
            return

        def abort(_raise_cancel: Callable[[], NoReturn]) -> trio.lowlevel.Abort:
            self.caller = None
            self.stopped = True
            return trio.lowlevel.Abort.SUCCEEDED

        self.caller = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def wake_caller(self) -> None:
        """Wake the caller, because every path has ended."""
        caller, self.caller = self.caller, None
        assert caller is not None
        trio.lowlevel.reschedule(caller)
