"""The engine: the one nursery that runs the paths of a fork, whatever its mode.

Problem: run paths side by side, tell a mode how each ended, stop the rest when it is decided, and account for
every value and every error, whenever the cancellation arrives.

Naive answer: a task per path, each wrapped in ``async with limiter`` and ``outcome.acapture``. It is slow
(tasks and waiters dominate), needs memory for every path that waits, and stores ``Cancelled`` as an outcome.

What is done instead. Workers take the next path when they are ready to run it, so that paths start in order
whatever order Trio runs tasks in, and a source is advanced only when there is a free slot.

- A *crew* serves a sync source under a limit: its members run one path after another. A member whose path
  left something behind (a context variable, an open cancel scope or nursery) is replaced.
- Everything else (no limit, a stagger, an async source) is *fed* by the caller's own task, one task a path.

A path reports its end to the mode as long as the fork is neither decided nor out of time; later, its value or
error is late. Only `Exception` is a result. Everything else goes its way through the nursery and is sorted out
when all tasks have ended; and only then, past one last look for a cancellation from outside, does the fork
answer. What is deliberately not done: a cancel scope, an event object or a closure per path.
"""

from __future__ import annotations

import sys
from collections import deque
from contextvars import copy_context
from copy import copy, deepcopy
from functools import partial
from math import inf
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast, final

import trio

from trio_steps._core.errors import StepTimeoutError, add_note, leaves, name_step
from trio_steps._core.events import PathsCounted, StepStarted
from trio_steps._core.limiter import Lease, find_lender, hold
from trio_steps._core.results import ForkPartialError
from trio_steps._core.scope import Scope, current, current_scope
from trio_steps._core.step import called, observe_end, takes_input, type_of
from trio_steps._fork.ledger import Ledger

from .discarded import Leftovers
from .source import Source
from .workers import Member, Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from trio_steps._fork.paths import Path
    from trio_steps._fork.plan import Plan

STRETCH: Final = 32
"""How many paths are run or started without a checkpoint in between, at most."""


def run(plan: Plan, *args: Any) -> Coroutine[Any, Any, Any]:
    """Run `plan` in the scope that is open; the coroutine returns its result."""
    return _Run(plan, args, current_scope()).result()


@final
class _Run:
    """One run of a fork."""

    __slots__ = (
        "_answered_for",
        "_args",
        "_context",
        "_crash",
        "_deadline",
        "_decided",
        "_ended",
        "_fatal",
        "_in_time",
        "_ledger",
        "_leftovers",
        "_limit",
        "_limiter",
        "_looked",
        "_members",
        "_mode",
        "_name",
        "_nursery",
        "_observe",
        "_pace",
        "_plan",
        "_prefix",
        "_ready",
        "_scope",
        "_seekers",
        "_seeking",
        "_source",
        "_staffed",
        "_states",
        "_stopped",
        "_stray",
        "_timed_out",
        "_total",
        "_unseen",
        "_waiting",
    )

    _nursery: trio.Nursery

    def __init__(self, plan: Plan, args: tuple[Any, ...], scope: Scope) -> None:
        self._plan = plan
        self._args = args
        self._scope = scope
        self._name = scope.name
        self._prefix = self._name + "/"
        self._observe = scope.observers
        self._context = copy_context()  # where workers start: with the caller's variables, whoever hires them
        self._ledger: Ledger[Any] = Ledger(plan.id, self._name)
        self._mode = plan.mode(self._ledger)
        self._source = Source(plan.known, self._ledger, plan.adapt)
        self._leftovers = Leftovers(self._ledger, scope, plan.dispose)
        self._total: int | None = None
        # the workers
        self._limiter = plan.concurrency if isinstance(plan.concurrency, trio.CapacityLimiter) else None
        self._limit: float = plan.concurrency if isinstance(plan.concurrency, int) else inf
        self._ready: deque[tuple[Path, Lease | None]] = deque()  # fed, not yet started
        self._members = 0  # of the crew
        self._staffed = False  # there are as many as there may be: nobody need be found
        self._seeking = 0  # members who have no path at the moment
        self._seekers = 2 if self._limiter is None else 1  # how many there should be
        self._waiting = 0  # those who wait for a token
        self._looked = -inf  # when somebody last looked who else waits for a token
        self._unseen = 0  # paths that have ended since
        self._pace = None if plan.stagger is None else Pace(plan.stagger)
        # how it ends
        self._ended = 0  # paths, before the decision
        self._stopped = False  # no path is started any more
        self._decided = False
        self._timed_out = False
        self._deadline = inf
        self._in_time = plan.timeout is None  # what is reported now; True as long as that is sure without a look
        self._states: dict[int, dict[str, object]] = {}
        self._stray: trio.Cancelled | None = None
        self._fatal: BaseException | None = None
        self._crash: Exception | None = None
        self._answered_for: list[BaseException] = []

    # The whole, in order

    async def result(self) -> Any:
        await trio.lowlevel.checkpoint_if_cancelled()  # in a cancelled scope not even the source is asked
        bare: BaseException | None = None
        error: BaseException | None = None
        try:
            try:
                async with trio.open_nursery(strict_exception_groups=True) as self._nursery:
                    if self._plan.timeout is not None:
                        self._deadline = trio.current_time() + self._plan.timeout
                        self._nursery.cancel_scope.deadline = self._deadline
                    await self._start()
            except BaseExceptionGroup as group:
                self._sort_out(group)
            bare = self._fatal if self._fatal is not None else self._crash
            if bare is not None:
                self._leftovers.skip_queued()
                await self._leftovers.drop_everything()
                raise bare
            answer, error = self._answer()
            self._leftovers.skip_queued()
            try:
                await self._leftovers.drop_late(error, timed_out=self._timed_out)
                await trio.lowlevel.checkpoint_if_cancelled()
            except BaseException:
                await self._leftovers.drop_everything()
                raise
            if error is not None:
                if not isinstance(error, ForkPartialError):
                    await self._leftovers.drop_everything()
                raise error
            self._adopt_state()
            return await self._merge(answer)
        finally:
            # An error keeps the frames that it went through, and so must not be kept by what they know.
            self._ledger.forget_errors()
            self._stray = self._fatal = self._crash = None
            self._answered_for.clear()
            del bare, error

    async def _start(self) -> None:
        """Open the source, set the paths going, and wait until the fork is decided or cancelled."""
        try:
            await self._open_source()
            if not self._decided:
                await self._start_paths()
            await trio.sleep_forever()
        finally:
            self._stopped = True
            self._close_source()

    async def _start_paths(self) -> None:
        known = self._source.known
        unlimited = self._limiter is None and self._limit == inf
        if unlimited and known is not None and self._pace is None:
            await self._spread(len(known))
        elif unlimited or self._source.is_async or self._pace is not None:
            await self._feed()
        else:
            room = self._limit
            if self._limiter is not None:
                room = self._limiter.available_tokens + 1  # one of them waits for the next token
                lender = find_lender(self._limiter, self._scope.lease)
                if lender is not None:
                    self._hire(lender)
            for _ in range(1 if known is None else int(min(room, len(known)))):
                self._hire(None)

    # The source

    async def _open_source(self) -> None:
        plan = self._plan
        if plan.function is not None:
            args = self._args
            if plan.function_wants_scope:
                args = (*args, self._scope) if args else (None, self._scope)
            await self._source.ask(plan.function, args)
        elif plan.known is None:
            self._source.open(plan.source)
        self._take_end_of_source()

    def _take_end_of_source(self) -> None:
        source = self._source
        if source.error is not None:
            error, source.error = source.error, None
            self._source_failed(error)
        elif self._total is None and source.total is not None:
            self._exhausted(source.total)

    def _exhausted(self, total: int) -> None:
        self._total = total
        if self._observe is not None:
            now = trio.current_time()
            self._observe(PathsCounted(name=self._name, time=now, scope=self._scope, total=total))
        if self._mode.exhausted(total) or self._ended == total:
            self._decide("no path is left")

    def _source_failed(self, error: Exception) -> None:
        if self._over():
            self._leftovers.report(self._name, error)
            return
        self._ledger.own_errors.append(error)
        name_step(error, self._name)
        self._decide(f"its source of paths failed: {error!r}")

    def _close_source(self) -> None:
        try:
            self._source.close()
        except Exception as error:
            self._leftovers.report(self._name, error)

    # The workers: one task a path

    def _starter(self) -> Callable[..., None]:
        """Return a ``start_soon`` for the caller's task, whose own context the source may have changed."""
        if self._source.is_async or self._plan.function is not None:
            return partial(self._context.run, self._nursery.start_soon)  # type: ignore[arg-type]
        return self._nursery.start_soon

    async def _spread(self, paths: int) -> None:
        """Start a task for each path, which takes its path when it begins."""
        start_soon, run, name = self._starter(), self._run_paths, self._name
        for number in range(1, paths + 1):
            start_soon(run, name=name)
            if not number % STRETCH:
                await trio.lowlevel.checkpoint()

    async def _feed(self) -> None:
        """Take the paths, and start a task for each."""
        limiter, outer = self._limiter, self._scope.lease
        if limiter is None and self._limit != inf:
            limiter = trio.CapacityLimiter(self._limit)
        start_soon = self._starter()
        source = self._source
        fed = 0
        lease: Lease | None = None
        try:
            while True:  # a fork that is decided has a source that gives no more
                if self._pace is not None and fed:
                    await self._pace.wait()
                if limiter is not None:
                    lease = await hold(limiter, outer)
                path = await source.take_async() if source.is_async else source.take()
                if path is None:
                    return  # how the source ended is taken below
                self._ready.append((path, lease))
                lease = None
                if self._pace is not None:
                    self._pace.start()
                start_soon(self._run_fed, name=self._name)
                fed += 1
                if not fed % STRETCH:
                    await trio.lowlevel.checkpoint()
        finally:
            if lease is not None:
                lease.end()
            try:
                await source.aclose()
            finally:
                self._take_end_of_source()

    async def _run_fed(self) -> None:
        """Run the path that waits the longest, if any may still be started."""
        path, lease = self._ready.popleft()
        try:
            if not self._stopped:
                await self._run_paths(fed=path, lease=lease)
        finally:
            if lease is not None:
                lease.end()

    # The workers: a crew

    def _hire(self, lender: Lease | None) -> None:
        """Start a member; one with a `lender` runs its paths on that one's lane, and is not counted."""
        if lender is None:
            self._members += 1
            self._seeking += 1
            self._staffed = self._members >= self._limit
        self._context.run(self._nursery.start_soon, self._member, lender, name=self._name)  # type: ignore[arg-type]

    def _replace(self, lender: Lease | None) -> None:
        if lender is None:
            self._members -= 1
            self._seeking -= 1
        self._hire(lender)

    async def _member(self, lender: Lease | None) -> None:
        """Run paths one after another, until there is none, or one leaves something behind."""
        member = Member(trio.lowlevel.current_task(), lender)
        length, clean = 1, True
        while clean and not self._source.dry:
            fenced = clean = False
            try:
                with trio.CancelScope():  # to notice a cancel scope that a path leaves open
                    clean = await self._run_paths(member, length)
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
        if not self._source.dry:
            self._replace(lender)

    async def _slot(self, member: Member) -> Lease:
        """Wait for the lane of the member's lender, or else for a token."""
        assert self._limiter is not None
        outer, lender = self._scope.lease, member.lender
        member.task.name = self._name  # between two paths it is just a member of the crew
        if lender is not None and not lender.ended:
            borrowed = Lease(self._limiter, outer, lender)
            if borrowed.take_nowait() or await borrowed.take():
                return borrowed
        lease = Lease(self._limiter, outer)
        if not lease.take_nowait():
            self._waiting += 1
            try:
                await lease.take()
            finally:
                self._waiting -= 1
        return lease

    def _is_time_to_look(self) -> bool:
        """Tell whether it is time to look who else waits for a token.

        To look costs more than the rest of what a token costs. So it is done when the clock shows another
        millisecond, and at every eighth end of a path within one.
        """
        now = trio.current_time()
        self._unseen += 1
        if self._unseen < 8 and now - self._looked < 0.001:
            return False
        self._looked = now
        self._unseen = 0
        return True

    def _staff(self) -> None:
        """See to it that somebody looks for the next path; without tokens two, to get a large crew going."""
        if self._source.dry or self._ledger.started == self._total:
            return
        while self._seeking < self._seekers and not self._staffed:
            self._hire(None)

    def _report_open_scope(self, ran: list[str], error: RuntimeError) -> None:
        suspects = (
            " or ".join(map(repr, ran)) if len(ran) <= 16 else f"{ran[0]!r} or … or {ran[-1]!r} ({len(ran)} paths)"
        )
        bug = RuntimeError(f"path {suspects} of fork {self._name!r} returned with a cancel scope of its own still open")
        bug.__cause__ = error
        self._leftovers.report(self._name, bug)

    # Paths

    async def _run_paths(
        self, member: Member | None = None, length: int = 1, fed: Path | None = None, lease: Lease | None = None
    ) -> bool:
        """Run up to `length` paths that `member` of the crew finds; or one: that which was `fed`, under its `lease`.

        All that a path costs is in this one loop: a coroutine for each would cost more than the rest. There is no
        ``finally`` around it, which each of a thousand losers would pay for: leases are ended by the caller.

        Return False if the last one left a context variable behind; never return if it left a nursery open.
        """
        task = trio.lowlevel.current_task()
        ledger, observe, args, parent, prefix = self._ledger, self._observe, self._args, self._scope, self._prefix
        limited = member is not None and self._limiter is not None
        unblocked = 0
        start = 0.0
        while True:
            if limited and member is not None:
                lease = member.lease
                if lease is None:
                    lease = member.lease = await self._slot(member)
            path = self._source.take() if fed is None else fed
            if path is None:
                self._source.dry = True
                self._take_end_of_source()
                return True
            ledger.started = started = ledger.started + 1
            if member is not None:
                member.ran.append(path[1])
                if not self._staffed:
                    self._seeking -= member.counted
                    if self._seeking < self._seekers:
                        self._staff()
            index, id, call = path
            del path  # a tuple that nobody has is used again for the next path
            task.name = prefix + id
            scope = Scope()
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
                    self._leftovers.add(task.name, value)
                    raise RuntimeError(f"path {task.name!r} returned with a nursery of its own still open")
            except trio.Cancelled:
                cancelled: Any = sys.exc_info()[1]  # `as` would unwind the stack once more
                if observe is not None or not self._decided:
                    self._interrupted(index, scope, start, cancelled)
                else:  # one of many losers, with nothing to tell: its traceback would keep a dozen objects till the end
                    cancelled.with_traceback(None)
                del cancelled
                raise
            except Exception as error:
                self._failed(index, scope, start, error)
                if task.child_nurseries:
                    break
            except BaseException as error:
                rest = self._interrupted(index, scope, start, error)
                if rest is None:
                    raise
                try:
                    raise rest from None
                finally:
                    del rest  # or else it would keep this frame, which keeps it
            else:
                if not self._in_time and self._over():
                    self._came_late(index, scope, start, value)
                else:
                    if index < len(ledger.values):
                        ledger.values[index] = value
                    else:
                        ledger.put(index, value)
                    if scope.state is not None and hasattr(self._mode, "winner"):
                        self._states[index] = scope.state
                    self._ended += 1
                    if self._mode.succeeded(index, value) if observe is None else self._won(index, scope, start, value):
                        self._decide(f"path {id!r} won")
                    elif self._ended == self._total:
                        self._decide("every path has ended")
                del value  # the ledger has it now
            if member is None:
                return True
            if not self._staffed:
                self._seeking += member.counted
            if lease is not None:
                member.lease = lease.pass_on(self._waiting, look=self._is_time_to_look())
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
                if unblocked * max(self._members, 1) >= STRETCH:
                    unblocked = 0
                    await trio.lowlevel.checkpoint()
        if lease is not None:
            lease.end()
        if member is not None:
            if not self._staffed:
                self._seeking += member.counted
            self._replace(member.lender)
        return await self._park()

    def _came_late(self, index: int, scope: Scope, start: float, value: Any) -> None:
        self._ledger.late_values[index] = value
        if self._observe is not None:
            observe_end(self._observe, scope, start, None)

    def _won(self, index: int, scope: Scope, start: float, value: Any) -> bool:
        """Tell the mode, and then the observers."""
        assert self._observe is not None
        won = False
        try:
            won = self._mode.succeeded(index, value)
        finally:  # also if the mode has a bug: each start has an end
            is_winner = won and getattr(self._mode, "winner", None) == index
            observe_end(self._observe, scope, start, None, won=is_winner)
        return won

    def _failed(self, index: int, scope: Scope, start: float, error: Exception) -> None:
        # Its traceback begins with a frame of ours, which tells nothing, and keeps all that there is.
        error.with_traceback(getattr(error.__traceback__, "tb_next", None))
        name = scope.name
        name_step(error, name)
        if self._observe is not None:
            observe_end(self._observe, scope, start, error)
        self._ledger.errors[index] = error
        if self._over():
            self._ledger.late_errors.add(index)
            return
        if self._pace is not None:
            self._pace.failure.set()
        self._ended += 1
        if self._mode.failed(index, error):
            self._decide(f"path {scope.id!r} failed: {error!r}")
        elif self._ended == self._total:
            self._decide("every path has ended")

    def _interrupted(self, index: int, scope: Scope, start: float, error: BaseException) -> BaseException | None:
        """Take the errors out of what ended a path; return the rest, for which no path can answer, if it is another."""
        errors: BaseException | None = None
        rest: BaseException | None = error
        group = error
        if isinstance(group, BaseExceptionGroup):
            errors, rest = cast("BaseExceptionGroup[BaseException]", group).split(Exception)
        over = self._over()
        if isinstance(errors, Exception):
            self._failed(index, scope, start, errors)
        elif self._observe is not None:
            observe_end(self._observe, scope, start, error, reason=self._ledger.reason if over else None)
        assert rest is not None  # a group of errors only is an Exception
        for leaf in leaves(rest):
            if isinstance(leaf, trio.Cancelled):
                if not over and self._stray is None:
                    self._stray = leaf
            else:
                name_step(leaf, scope.name)
                self._take_fatal(leaf)
        return None if rest is error else rest

    async def _park(self) -> NoReturn:
        """Keep a task that has a nursery of a path's open, until the fork is over.

        Trio ends such a task with an error, and that would cancel all the others.
        """
        bug = RuntimeError("a path left a nursery open")
        self._answered_for.append(bug)
        try:
            await trio.sleep_forever()
        finally:
            raise bug

    # The end

    def _over(self) -> bool:
        """Tell whether what is reported now comes too late to count."""
        if not self._decided and self._deadline != inf and trio.current_time() >= self._deadline:
            self._timed_out = True
            self._ledger.timeout = self._plan.timeout
            self._decide(f"timed out after {self._plan.timeout:g} s")
        return self._decided

    def _decide(self, why: str) -> None:
        self._decided = self._stopped = True
        self._in_time = False
        self._ledger.reason = reason = f"fork {self._plan.id!r}: {why}"
        self._nursery.cancel_scope.cancel(reason)
        self._close_source()

    def _take_fatal(self, error: BaseException) -> None:
        self._answered_for.append(error)
        if self._fatal is None:
            self._fatal = error
        else:
            self._leftovers.report(self._name, error)

    def _sort_out(self, group: BaseExceptionGroup[BaseException]) -> None:
        """Find what went through the nursery without a path having answered for it."""
        for leaf in leaves(group):
            cause: BaseException | None = leaf
            while cause is not None and not any(cause is known for known in self._answered_for):
                cause = cause.__context__
            if cause is not None or isinstance(leaf, trio.Cancelled):
                continue
            if not isinstance(leaf, Exception):
                self._take_fatal(leaf)
            elif self._crash is None:
                self._crash = leaf
            else:
                self._leftovers.report(self._name, leaf)

    def _answer(self) -> tuple[Any, BaseException | None]:
        """Return what the fork comes to: a result, or an error."""
        ledger = self._ledger
        if self._stray is None:
            self._over()
        elif not self._decided:
            ledger.reason = self._stray.reason or str(self._stray)
        if ledger.own_errors:
            return None, ledger.partial()
        if self._timed_out:
            assert self._plan.timeout is not None
            if not getattr(self._mode, "settles_deadline", False):
                return None, ledger.partial(StepTimeoutError(self._name, self._plan.timeout))
        elif not self._decided:
            return None, self._undecided()
        try:
            return self._mode.result(), None
        except ForkPartialError as error:
            return None, error.with_traceback(None)  # it shows nothing but ours
        except Exception as error:
            return None, error

    def _undecided(self) -> BaseException:
        """Return what to raise if this fork was not cancelled from outside: somebody else ended it."""
        stray = self._stray
        if stray is None:
            return RuntimeError(f"fork {self._name!r} was cancelled, but neither by itself nor from outside")
        add_note(stray, f"a path of fork {self._name!r} raised this, but no scope around it was cancelled")
        return stray

    def _adopt_state(self) -> None:
        winner = getattr(self._mode, "winner", None)
        if winner is not None and self._scope.state is not None:
            state = self._states[winner]
            self._scope.state.clear()
            self._scope.state.update(state)

    async def _merge(self, answer: Any) -> Any:
        merge = self._plan.merge
        if merge is None:
            return answer
        if self._plan.dispose is not None or self._observe is not None:
            answer = copy(answer)  # merge may do with it what it likes; if it fails, the values are still here
        try:
            return await called(merge, (answer, self._scope) if self._plan.merge_wants_scope else (answer,))
        except BaseException:
            await self._leftovers.drop_everything()
            raise
