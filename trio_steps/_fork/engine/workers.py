"""The workers of a fork: a crew that shares the paths, and the one loop in which every path runs.

Problem: a task for each path, with an ``async with limiter`` around it, costs four times as much as everything else
about a path, and needs memory for every path that waits.

What is done instead. A worker takes the next path when it is ready to run it. So paths start in order, whatever order
Trio runs tasks in, and a source is advanced only when there is a free slot. What is deliberately not done: a cancel
scope, an event object or a closure for each path.
"""

from __future__ import annotations

import sys
from copy import deepcopy
from math import inf
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast, final

import trio

from trio_steps._core.checks import answered
from trio_steps._core.describe import check_arguments, leaves_open, takes_input
from trio_steps._core.errors import ConfigError, NotAcceptedError
from trio_steps._core.events.records import StepStarted
from trio_steps._core.policy.limiter import Lease, find_lender
from trio_steps._core.scope import Held, HolderScope, PathScope, current, set_current
from trio_steps._core.step import type_of

from .fence import MOST_FENCES, Fence, Trial
from .trust import code_of, is_trusted

if TYPE_CHECKING:
    from contextvars import ContextVar

    from trio_steps._fork.delivery import Delivery
    from trio_steps._fork.paths import Call, Path

    from .verdict import ForkRun

STRETCH: Final = 32
"""The most paths that are run or started in a row without a checkpoint."""

_LONGEST: Final = 4 * STRETCH
"""The most paths that run before their worker looks for cancel scopes that they left open."""


@final
class Member:
    """A member of a crew: its task, what it has run, and its context variables as they must be between two paths.

    Attributes:
      crew: the crew that it belongs to.
      task: the task in which it runs.
      lender: the lease on whose lane it runs its paths, or None.
      counted: 1, or 0 if it has a lender.
      seeks: it has no path, and is counted among the members that look for one.
      ran: the ids of the paths of its last stretch.
      held: the token that it holds, or the lane that it is on.
      variables: how many context variables there are.
      others: all context variables but the current scope, with their values.
    """

    __slots__ = ("counted", "crew", "held", "lender", "others", "ran", "seeks", "task", "variables")

    def __init__(self, crew: Crew, task: trio.lowlevel.Task, lender: Lease | None) -> None:
        self.crew = crew
        self.task = task
        self.lender = lender
        self.counted = int(lender is None)
        self.seeks = True
        self.ran: list[str] = []
        self.held = Held()
        context = task.context
        self.variables = len(context)
        self.others: list[tuple[ContextVar[Any], Any]] = [item for item in context.items() if item[0] is not current]

    def end_lease(self) -> None:
        """Give the token back, or get off the lane."""
        held = self.held
        if held.lease is not None:
            held.lease.end()
            held.lease = None

    def seek(self) -> None:
        """Look for a path again. A member that goes on with the next path at once need not say so."""
        if not self.seeks:
            self.seeks = True
            self.crew.seeking += self.counted

    async def wait_for_room(self, delivery: Delivery, fork: ForkRun) -> None:
        """Wait until the reader of a stream has taken enough. Hold no token, and bear the fork's name, meanwhile."""
        self.seek()
        self.end_lease()
        self.task.name = fork.name
        fork.detain()
        try:
            await delivery.room()
        finally:
            fork.detained -= 1

    def is_clean(self) -> bool:
        """Tell whether every context variable still has its old value.

        If there are as many variables as before, they are the same ones, because only the code that set a variable can
        reset it.

        Values are compared by identity: ``==`` would call the ``__eq__`` of foreign values, and treat 1 as True. The
        variable of the current scope is ours, and each path sets it anew.
        """
        context = self.task.context
        for variable, value in self.others:  # noqa: SIM110 - all() takes twice as long, for each path
            if context[variable] is not value:
                return False
        return True


@final
class Crew:
    """Workers that share the paths of a sync source under a limit, and hire each other as needed.

    A member whose path left something behind (a context variable, an open cancel scope or nursery) is replaced.

    Attributes:
      is_limited: members need tokens.
      members: how many members there are.
      staffed: there are as many members as there may be, so no more need to be hired.
      seeking: how many members have no path at the moment.
      seekers: how many members should be without a path.
      waiting: how many members wait for a token.
    """

    __slots__ = (
        "_fork",
        "_limit",
        "_limiter",
        "_looked",
        "_now",
        "_unseen",
        "is_limited",
        "members",
        "seekers",
        "seeking",
        "staffed",
        "waiting",
    )

    def __init__(self, fork: ForkRun) -> None:
        self._fork = fork
        concurrency = fork.plan.concurrency
        self._limiter = concurrency if isinstance(concurrency, trio.CapacityLimiter) else None
        self._limit: float = concurrency if isinstance(concurrency, int) else inf
        self._looked = -inf  # when a member last looked whether others wait for a token
        self._unseen = 0  # how many paths have ended since
        self.is_limited: bool = self._limiter is not None
        if self.is_limited:
            self._now = trio.lowlevel.current_clock().current_time  # faster than `trio.current_time`, after each path
        self.members: int = 0
        self.staffed: bool = False
        self.seeking: int = 0
        self.seekers: int = 1 if self.is_limited else 2  # two without tokens, so that a large crew is hired soon
        self.waiting: int = 0

    def begin(self) -> None:
        """Hire as many members as there is work and room for, or one for a lazy source.

        The caller has to watch for a cancellation from outside, which members that take another path don't notice.
        """
        fork, limiter = self._fork, self._limiter
        room = self._limit
        if limiter is not None:
            room = max(limiter.available_tokens, 0) + 1  # one of them waits for the next token
            lender = find_lender(limiter, fork.scope.lease)
            if lender is not None:
                self._hire(lender)
        known = fork.source.known
        hired = 1 if known is None else int(min(room, len(known)))
        for _ in range(hired):
            self._hire(None)

    def _hire(self, lender: Lease | None) -> None:
        """Start a member. With a `lender`, it runs its paths on that lane, and is not counted."""
        if lender is None:
            self.members += 1
            self.seeking += 1
            self.staffed = self.members >= self._limit
        fork = self._fork
        fork.context.run(fork.nursery.start_soon, self._work, lender, name=fork.name)  # type: ignore[arg-type]

    def replace(self, member: Member) -> None:
        """Start a new member in place of `member`, which calls this, if there is work for it."""
        member.seek()
        self.members -= member.counted
        self.seeking -= member.counted
        self._hire(member.lender)

    def hires_another(self) -> bool:
        """Hire a member that looks for the next path, unless there are as many as may be, or no path is left."""
        fork = self._fork
        if self.staffed or fork.source.dry or fork.ledger.started == fork.total:
            return False
        self._hire(None)
        return True

    async def _work(self, lender: Lease | None) -> None:
        """Run paths one after another, until there are no more, or one leaves something behind."""
        fork = self._fork
        source, member = fork.source, Member(self, trio.lowlevel.current_task(), lender)
        try:
            length, clean = 1 if fork.fencing else _LONGEST, True
            while clean:
                fence = Fence(fork, member.ran)
                with fence:
                    clean = await run_paths(fork, member, length)
                clean = clean and fence.clean
                length = min(16 * length, _LONGEST)
                member.end_lease()
                member.ran.clear()
        finally:
            member.end_lease()
        if not source.dry and fork.ledger.started != fork.total:
            self.replace(member)

    async def slot(self, member: Member) -> Lease:
        """Wait for the lane of the member's lender, or for a token."""
        fork, limiter = self._fork, self._limiter
        assert limiter is not None
        outer, lender = fork.scope.lease, member.lender
        member.seek()
        member.task.name = fork.name  # between two paths, the task has the fork's name
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
        self._fork.detain()
        try:
            return await lease.take()
        finally:
            self._fork.detained -= 1

    def is_time_to_look(self) -> bool:
        """Tell whether to check now if others are waiting for a token.

        A check costs more than everything else about a token. So there is one in each millisecond, and one for every
        eighth path that ends within a millisecond.
        """
        now = self._now()
        self._unseen = unseen = self._unseen + 1
        if unseen < 8 and now - self._looked < 0.001:
            return False
        self._looked = now
        self._unseen = 0
        return True


async def run_paths(
    fork: ForkRun,
    member: Member | None = None,
    length: int = 1,
    fed: Path | None = None,
    lease: Lease | None = None,
) -> bool:
    """Run up to `length` paths that `member` takes; or one path, which was `fed`, under its `lease`.

    The whole cost of a path is in this one loop. A coroutine for each path would cost more than everything else. There
    is no ``finally`` around it, because each of a thousand losers would pay for it. The caller ends leases.

    Return whether `member` may take another path: one is left, and the last left no context variable and no cancel
    scope behind. Never return if it left a nursery open.
    """
    task = trio.lowlevel.current_task()
    plan, source, ledger, tell = fork.plan, fork.source, fork.ledger, fork.tell
    observe, args, parent, prefix = fork.observe, fork.args, fork.scope, fork.prefix
    known, accept, state, values = plan.known, plan.accept, parent.state, ledger.values
    delivery, unblocked = plan.delivery, 0
    held = None if member is None or not member.crew.is_limited else member.held
    start = 0.0
    # With a task of its own, a path hits no other path. So while all fences are in use, its code does not matter.
    fencing = fork.fencing and (member is not None or fork.fences < MOST_FENCES)
    fence: Fence | None = None  # around the last path that was not trusted
    while True:
        if member is not None:
            if delivery is not None and delivery.waiting >= delivery.buffer and not source.dry:
                await member.wait_for_room(delivery, fork)
            if held is not None and held.lease is None:
                if source.dry:
                    return False
                held.lease = await member.crew.slot(member)
        path = source.take() if fed is None else fed
        if path is None:
            source.dry = True
            fork.take_end_of_source()
            return False
        ledger.started = started = ledger.started + 1
        index, id, call = path
        del path  # lets the iterator reuse the tuple for the next path
        if member is not None:
            member.ran.append(id)
            if member.seeks:
                crew, member.seeks = member.crew, False
                crew.seeking -= member.counted
                while crew.seeking < crew.seekers and crew.hires_another():
                    pass
        task.name = prefix + id
        if held is None:
            scope = PathScope()
            scope.lease = parent.lease if lease is None else lease
        else:
            scope = HolderScope()
            scope.held = held
        scope.id = id
        scope.parent = parent
        scope.state = None
        scope.observers = observe
        scope.unnamed_inside = False
        set_current(scope)
        if observe is not None:
            start = trio.current_time()
            observe(StepStarted(name=task.name, time=start, scope=scope))
        try:
            if state is not None:
                scope.state = deepcopy(state)
            trial = None
            if fencing and not is_trusted(code := code_of(call)):
                if fork.fences < MOST_FENCES:
                    trial = Trial(fork, id, code)
                    fence = trial.fence
                else:
                    length = 1  # a scope that it leaves open hits no other path
            if trial is not None:
                with trial:
                    value = call(*args) if args and takes_input(call) else call()
                    if type_of(value) is CoroutineType or hasattr(type_of(value), "__await__"):
                        value = await value
            else:
                takes = args and ((known is not None and known.take_input) or takes_input(call))
                value = call(*args) if takes else call()
                if type_of(value) is CoroutineType or hasattr(type_of(value), "__await__"):
                    value = await value
            if task.child_nurseries:
                fork.discarded.add(task.name, value)
                raise RuntimeError(f"path {task.name!r} returned with its own nursery still open")
            if accept is not None:
                _check(accept, task.name, value, fork)
        except trio.Cancelled:
            cancelled: Any = sys.exc_info()[1]  # `as` would add a try-finally to each path
            if observe is not None or not fork.decided:
                fork.interrupted(index, scope, start, cancelled)
            else:  # one of many losers, with nothing to tell: its traceback would keep a dozen objects until the end
                cancelled.with_traceback(None)
            del cancelled
            raise
        except Exception as error:
            fork.failed(index, scope, start, _explained(error, call, id, fork))
            if task.child_nurseries:
                break
            length = 1  # where clean-up is missed
        except BaseException as error:
            rest = fork.interrupted(index, scope, start, error)
            try:
                if rest is error:
                    raise
                if rest is not None:
                    raise rest from None
            finally:
                del rest  # otherwise a cycle: it holds this frame, which holds it
            if task.child_nurseries:
                break
            length = 1
        else:
            if not fork.in_time and fork.over():
                fork.came_late(index, scope, start, value)
            else:
                if index < len(values):
                    values[index] = value
                else:
                    ledger.put(index, value)
                if state is not None and scope.state is not None and hasattr(fork.mode, "winner"):
                    fork.states[index] = scope.state
                fork.ended = ended = fork.ended + 1
                if (
                    fork.won(index, scope, start, value)
                    if observe is not None
                    else tell is not None and tell(index, value)
                ):
                    fork.decide(f"path {id!r} won")
                elif ended == fork.total:
                    fork.finish()
            del value  # the ledger has it now
        if member is None:
            if fork.start_next is not None:
                fork.start_next()
            return False
        crew = member.crew
        if held is not None and held.lease is not None:
            cast("HolderScope", scope).held = None
            look = crew.is_time_to_look()
            if look or held.shown or (member.lender is not None and member.lender.ended):
                held.shown = False
                held.lease = held.lease.pass_on(crew.waiting, look=look)
        if fence is not None and not fence.clean:
            return False
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
            if unblocked * crew.members >= STRETCH:
                unblocked = 0
                member.seek()
                await trio.lowlevel.checkpoint()
    if lease is not None:
        lease.end()
    if member is not None:
        member.end_lease()
        member.crew.replace(member)
    elif fork.start_next is not None:
        fork.start_next()
    return await _park(fork)


def _check(accept: Call, name: str, value: object, fork: ForkRun) -> None:
    """Raise `NotAcceptedError` for the path `name` unless its `value` is accepted."""
    try:
        accepted = answered(accept, value)
    except BaseException:
        fork.discarded.add(name, value)
        raise
    if not accepted:
        raise NotAcceptedError(name, value)


def _explained(error: Exception, call: Call, id: str, fork: ForkRun) -> Exception:
    """Return the error of a path, or a better one if it was pulled lazily and requires more than the fork gives.

    Python's own error does not say what to do. Paths that are known are checked before any of them runs, but to check a
    million lazy ones would cost more than it is worth, and so would looking for a Placeholder in each known partial.
    """
    if isinstance(error, TypeError) and (fork.source.known is None or leaves_open(call)):
        has_input = True if fork.args else None if fork.plan.function is None else False
        try:
            check_arguments(call, id, has_input=has_input)
        except ConfigError as better:
            better.__context__ = None
            return better
    return error


async def _park(fork: ForkRun) -> NoReturn:
    """Keep a task in which a path left a nursery open until the fork is over.

    Trio ends such a task with an error, which would cancel all the others.
    """
    bug = RuntimeError("a path left a nursery open")
    fork.note_answered_for(bug)
    fork.detain()
    try:
        await trio.sleep_forever()
    finally:
        raise bug
