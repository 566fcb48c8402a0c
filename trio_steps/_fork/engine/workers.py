"""The workers of a fork: a crew that shares the paths, and the one loop in which every path runs.

Problem: a task for each path, with an ``async with limiter`` around it, costs four times as much as everything else
about a path, and needs memory for every path that waits.

Workers take the next path when they are ready to run it instead. So paths start in order, whatever order Trio runs
tasks in, and a source is advanced only when there is a free slot. What is deliberately not done: a cancel scope, an
event object or a closure for each path.
"""

from __future__ import annotations

import sys
from copy import deepcopy
from math import inf
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, NoReturn, final

import trio

from trio_steps._core.checks import answered
from trio_steps._core.describe import takes_input
from trio_steps._core.errors import NotAcceptedError
from trio_steps._core.events.records import StepStarted
from trio_steps._core.policy.limiter import Lease, find_lender
from trio_steps._core.scope import PathScope, current
from trio_steps._core.step import type_of

if TYPE_CHECKING:
    from contextvars import ContextVar

    from trio_steps._fork.delivery import Delivery
    from trio_steps._fork.paths import Call, Path

    from .state import State
    from .verdict import Verdict

STRETCH: Final = 32
"""The most paths that are run or started without a checkpoint in between."""


@final
class Member:
    """A member of a crew: its task, what it has run, and its context variables as they must be between two paths.

    Attributes:
      task: the task in which it runs.
      lender: the lease on whose lane it runs its paths.
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

    async def wait_for_room(self, delivery: Delivery, verdict: Verdict) -> None:
        """Wait until the reader of a stream has taken enough, without a token, and under the name of the fork."""
        self.end_lease()
        self.task.name = verdict.state.name
        verdict.detain()
        try:
            await delivery.room()
        finally:
            verdict.state.detained -= 1

    def is_clean(self) -> bool:
        """Tell whether no path has left another value in a context variable.

        If there are as many as before, they are the same variables, because only the code that set one can reset it.

        Values are compared by identity: ``==`` would call the ``__eq__`` of foreign values, and take 1 for True.
        The variable of the current scope is ours, and each path sets it anew.
        """
        context = self.task.context
        for variable, value in self.others:  # noqa: SIM110 - all() takes twice as long, and each path pays for it
            if context[variable] is not value:
                return False
        return True


@final
class Crew:
    """Workers that share the paths of a sync source under a limit, and hire each other as needed.

    A member whose path left something behind (a context variable, an open cancel scope or nursery) is replaced.

    Attributes:
      is_limited: they need tokens.
      members: how many there are.
      staffed: there are as many as there may be, so no more need to be hired.
      seeking: how many have no path at the moment.
      seekers: how many of those there should be.
      waiting: how many wait for a token.
    """

    __slots__ = (
        "_limit",
        "_limiter",
        "_looked",
        "_state",
        "_unseen",
        "_verdict",
        "is_limited",
        "members",
        "seekers",
        "seeking",
        "staffed",
        "waiting",
    )

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._state = state = verdict.state
        concurrency = state.plan.concurrency
        self._limiter = concurrency if isinstance(concurrency, trio.CapacityLimiter) else None
        self._limit: float = concurrency if isinstance(concurrency, int) else inf
        self._looked = -inf  # when somebody last looked who else waits for a token
        self._unseen = 0  # paths that have ended since
        self.is_limited: bool = self._limiter is not None
        self.members: int = 0
        self.staffed: bool = False
        self.seeking: int = 0
        self.seekers: int = 1 if self.is_limited else 2  # without tokens two, to get a large crew going
        self.waiting: int = 0

    def begin(self) -> bool:
        """Hire as many as there is work and room for, or one for a lazy source. Tell whether each path starts now."""
        state, limiter = self._state, self._limiter
        room = self._limit
        if limiter is not None:
            room = max(limiter.available_tokens, 0) + 1  # one of them waits for the next token
            lender = find_lender(limiter, state.scope.lease)
            if lender is not None:
                self._hire(lender)
        known = state.source.known
        hired = 1 if known is None else int(min(room, len(known)))
        for _ in range(hired):
            self._hire(None)
        return limiter is None and known is not None and hired == len(known)

    def _hire(self, lender: Lease | None) -> None:
        """Start a member. One with a `lender` runs its paths on that lane, and is not counted."""
        if lender is None:
            self.members += 1
            self.seeking += 1
            self.staffed = self.members >= self._limit
        state = self._state
        state.context.run(state.nursery.start_soon, self._work, lender, name=state.name)  # type: ignore[arg-type]

    def replace(self, lender: Lease | None) -> None:
        """Start another member instead of the one that calls this."""
        if lender is None:
            self.members -= 1
            self.seeking -= 1
        self._hire(lender)

    def staff(self) -> None:
        """Make sure that a member looks for the next path."""
        state = self._state
        if state.source.dry or state.ledger.started == state.total:
            return
        while self.seeking < self.seekers and not self.staffed:
            self._hire(None)

    async def _work(self, lender: Lease | None) -> None:
        """Run paths one after another, until there are no more, or one leaves something behind."""
        source = self._state.source
        member = Member(trio.lowlevel.current_task(), lender)
        length, clean = 1, True
        while clean and not source.dry:
            fenced = clean = False
            try:
                with trio.CancelScope():  # to notice a cancel scope that a path leaves open
                    clean = await run_paths(self._verdict, self, member, length)
                    fenced = True
            except RuntimeError as error:
                if not fenced:
                    raise
                self._report_open_scope(member.ran, error)
                clean = False
            finally:
                member.end_lease()
            length = min(16 * length, 4 * STRETCH)
            member.ran.clear()
        if not source.dry:
            self.replace(lender)

    async def slot(self, member: Member) -> Lease:
        """Wait for the lane of the member's lender, or for a token."""
        state, limiter = self._state, self._limiter
        assert limiter is not None
        outer, lender = state.scope.lease, member.lender
        member.task.name = state.name  # between two paths it is just a member of the crew
        if lender is not None and not lender.ended:
            borrowed = Lease(limiter, outer, lender)
            if borrowed.take_nowait() or await self._taken(borrowed):
                return borrowed
        lease = Lease(limiter, outer)
        if not lease.take_nowait():
            self.waiting += 1
            try:
                await self._taken(lease)
            finally:
                self.waiting -= 1
        return lease

    async def _taken(self, lease: Lease) -> bool:
        self._verdict.detain()
        try:
            return await lease.take()
        finally:
            self._state.detained -= 1

    def is_time_to_look(self) -> bool:
        """Tell whether it is time to look whether others are waiting for a token.

        Looking costs more than everything else about a token. So it is done once in each millisecond, and at every
        eighth end of a path within one.
        """
        now = trio.current_time()
        self._unseen += 1
        if self._unseen < 8 and now - self._looked < 0.001:
            return False
        self._looked = now
        self._unseen = 0
        return True

    def _report_open_scope(self, ran: list[str], error: RuntimeError) -> None:
        state = self._state
        suspects = (
            " or ".join(map(repr, ran)) if len(ran) <= 16 else f"{ran[0]!r} or … or {ran[-1]!r} ({len(ran)} paths)"
        )
        bug = RuntimeError(f"path {suspects} of fork {state.name!r} returned with a cancel scope of its own still open")
        bug.__cause__ = error
        state.discarded.report(state.name, bug)


async def run_paths(
    verdict: Verdict,
    crew: Crew | None = None,
    member: Member | None = None,
    length: int = 1,
    fed: Path | None = None,
    lease: Lease | None = None,
) -> bool:
    """Run up to `length` paths that `member` of the `crew` finds; or one, which was `fed`, under its `lease`.

    The whole cost of a path is in this one loop: a coroutine for each would cost more than the rest. There is no
    ``finally`` around it, because each of a thousand losers would pay for it. The caller ends leases.

    Return False if the last path left a context variable behind. Never return if it left a nursery open.
    """
    task = trio.lowlevel.current_task()
    state = verdict.state
    source, ledger, mode = state.source, state.ledger, state.mode
    observe, args, parent, prefix = state.observe, state.args, state.scope, state.prefix
    limited = crew is not None and crew.is_limited
    delivery, accept = state.plan.delivery, state.plan.accept
    unblocked = 0
    start = 0.0
    while True:
        if member is not None and delivery is not None and delivery.waiting >= delivery.buffer and not source.dry:
            await member.wait_for_room(delivery, verdict)
        if limited and crew is not None and member is not None:
            lease = member.lease
            if lease is None:
                if source.dry:
                    return True
                lease = member.lease = await crew.slot(member)
        path = source.take() if fed is None else fed
        if path is None:
            source.dry = True
            verdict.take_end_of_source()
            return True
        ledger.started = started = ledger.started + 1
        if member is not None and crew is not None:
            member.ran.append(path[1])
            if not crew.staffed:
                crew.seeking -= member.counted
                if crew.seeking < crew.seekers:
                    crew.staff()
        index, id, call = path
        del path  # a tuple that nobody has is used again for the next path
        task.name = prefix + id
        scope = PathScope()
        scope.id = id
        scope.parent = parent
        scope.state = None
        scope.observers = observe
        scope.lease = parent.lease if lease is None else lease
        scope.unnamed_inside = False
        current.set(scope)
        if observe is not None:
            start = trio.current_time()
            observe(StepStarted(name=task.name, time=start, scope=scope))
        try:
            if parent.state is not None:
                scope.state = deepcopy(parent.state)
            value = call(*args) if args and takes_input(call) else call()
            if type_of(value) is CoroutineType or hasattr(type_of(value), "__await__"):
                value = await value
            if task.child_nurseries:
                state.discarded.add(task.name, value)
                raise RuntimeError(f"path {task.name!r} returned with a nursery of its own still open")
            if accept is not None:
                _check(accept, task.name, value, state)
        except trio.Cancelled:
            cancelled: Any = sys.exc_info()[1]  # `as` would unwind the stack once more
            if observe is not None or not state.decided:
                verdict.interrupted(index, scope, start, cancelled)
            else:  # one of many losers, with nothing to tell: its traceback would keep a dozen objects till the end
                cancelled.with_traceback(None)
            del cancelled
            raise
        except Exception as error:
            verdict.failed(index, scope, start, error)
            if task.child_nurseries:
                break
        except BaseException as error:
            rest = verdict.interrupted(index, scope, start, error)
            try:
                if rest is error:
                    raise
                if rest is not None:
                    raise rest from None
            finally:
                del rest  # or else it would keep this frame, which keeps it
            if task.child_nurseries:
                break
        else:
            if not state.in_time and verdict.over():
                verdict.came_late(index, scope, start, value)
            else:
                if index < len(ledger.values):
                    ledger.values[index] = value
                else:
                    ledger.put(index, value)
                if scope.state is not None and hasattr(mode, "winner"):
                    state.states[index] = scope.state
                state.ended += 1
                if mode.succeeded(index, value) if observe is None else verdict.won(index, scope, start, value):
                    verdict.decide(f"path {id!r} won")
                elif state.ended == state.total:
                    verdict.finish()
            del value  # the ledger has it now
        if member is None or crew is None:
            return True
        if not crew.staffed:
            crew.seeking += member.counted
        if lease is not None:
            member.lease = lease.pass_on(crew.waiting, look=crew.is_time_to_look())
        if len(task.context) != member.variables or (member.others and not member.is_clean()):
            return False
        length -= 1
        if not length:
            return True
        # When others started a path meanwhile, this one has let them. Else it may not have blocked at all.
        if ledger.started != started:
            unblocked = 0
        else:
            unblocked += 1
            if unblocked * max(crew.members, 1) >= STRETCH:
                unblocked = 0
                await trio.lowlevel.checkpoint()
    if lease is not None:
        lease.end()
    if member is not None and crew is not None:
        if not crew.staffed:
            crew.seeking += member.counted
        crew.replace(member.lender)
    return await _park(verdict)


def _check(accept: Call, name: str, value: object, state: State) -> None:
    """Make a `value` that is not accepted the failure of the path `name`."""
    try:
        accepted = answered(accept, value)
    except BaseException:
        state.discarded.add(name, value)
        raise
    if not accepted:
        raise NotAcceptedError(name, value)


async def _park(verdict: Verdict) -> NoReturn:
    """Keep a task in which a path left a nursery open, until the fork is over.

    Trio ends such a task with an error, which would cancel all the others.
    """
    bug = RuntimeError("a path left a nursery open")
    verdict.answered_for.append(bug)
    verdict.detain()
    try:
        await trio.sleep_forever()
    finally:
        raise bug
