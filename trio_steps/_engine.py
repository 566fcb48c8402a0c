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
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Coroutine, Iterable, Iterator
from contextvars import copy_context
from copy import copy, deepcopy
from inspect import iscoroutine
from itertools import chain
from math import inf
from operator import is_
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast, final

import attrs
import trio

from ._errors import ConfigError, ForkPartialError, StepTimeoutError, add_note, leaves, name_step
from ._events import ErrorDiscarded, PathsCounted, StepSkipped, StepStarted, ValueDiscarded, logger
from ._ledger import MISSING, Ledger, PathNames
from ._lending import Lease, find_lender, hold
from ._scope import Scope, current, current_scope
from ._step import called, describe, observe_end, takes_input, type_of

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from contextvars import Context, ContextVar

    from ._modes import Mode

Call = Callable[..., Any]
Path = tuple[int, str, Call]  # its index, its id, and what to call in its scope

STRETCH: Final = 32
"""How many paths are run or started without a checkpoint in between, at most."""

COLLECTIONS: Final = (list, tuple, set, frozenset)
"""Sources that are all there: their paths are known when the fork begins."""

_END: Final = object()


@final
@attrs.frozen(kw_only=True, eq=False)
class Plan:
    """What a fork was built with. Exactly one of `known`, `source` and `function` says where paths come from."""

    id: str
    mode: Callable[[Ledger[Any]], Mode[Any, Any]]
    known: list[Path] | None  # all of them
    source: Iterable[object] | AsyncIterable[object] | None  # pulled one by one
    function: Call | None  # gives the paths for an input
    function_wants_scope: bool
    merge: Call | None
    merge_wants_scope: bool
    concurrency: int | trio.CapacityLimiter | None
    stagger: float | None
    timeout: float | None
    dispose: Call | None


def run(plan: Plan, *args: Any) -> Coroutine[Any, Any, Any]:
    """Run `plan` in the scope that is open; the coroutine returns its result."""
    return _Run(plan, args, current_scope()).result()


@final
class _Run:
    """One run of a fork."""

    _nursery: trio.Nursery

    def __init__(self, plan: Plan, args: tuple[Any, ...], scope: Scope) -> None:
        self._plan = plan
        self._args = args
        self._scope = scope
        self._name = scope.name
        self._prefix = self._name + "/"
        self._observe = scope.observers
        self._context = copy_context()  # where workers start: with the caller's variables, whoever hires them
        self._source_context: Context | None = None
        self._ledger: Ledger[Any] = Ledger(plan.id, self._name)
        self._mode = plan.mode(self._ledger)
        self._succeeded = self._mode.succeeded
        # the source
        self._known = plan.known
        self._iterator: Iterator[object] | None = None
        self._async_iterator: AsyncIterator[object] | None = None
        self._pulled = 0
        self._dry = False
        self._total: int | None = None
        # the workers
        self._limiter = plan.concurrency if isinstance(plan.concurrency, trio.CapacityLimiter) else None
        self._limit: float = plan.concurrency if isinstance(plan.concurrency, int) else inf
        self._ready: deque[tuple[Path, Lease | None]] = deque()  # fed, not yet started
        self._members = 0  # of the crew
        self._seeking = 0  # members who have no path at the moment
        self._seekers = 2 if self._limiter is None else 1  # how many there should be
        self._waiting = 0  # those of them who wait for a token
        self._last_start = 0.0
        self._failure = trio.Event() if plan.stagger is not None else None  # a path has failed since the last start
        # how it ends
        self._ended = 0  # paths, before the decision
        self._stopped = False  # no path is started any more
        self._decided = False
        self._timed_out = False
        self._deadline = inf
        self._states: dict[int, dict[str, object]] = {}
        self._unwanted: list[tuple[str, Any]] = []
        self._stray: trio.Cancelled | None = None
        self._fatal: BaseException | None = None
        self._crash: Exception | None = None
        self._answered_for: list[BaseException] = []

    # The whole, in order

    async def result(self) -> Any:
        await trio.lowlevel.checkpoint_if_cancelled()  # in a cancelled scope not even the source is asked
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
            self._skip_queued()
            await self._drop_everything()
            raise bare
        answer, error = self._answer()
        self._skip_queued()
        try:
            await self._discard_late(error)
            await trio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            await self._drop_everything()
            raise
        if error is not None:
            if not isinstance(error, ForkPartialError):
                await self._drop_everything()
            raise error
        self._adopt_state()
        return await self._merge(answer)

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
        if self._known is not None:
            self._exhausted(len(self._known))
        fed = self._async_iterator is not None or self._plan.stagger is not None
        if fed or (self._limiter is None and self._limit == inf):
            await self._feed()
        else:
            room = self._limit
            if self._limiter is not None:
                room = self._limiter.available_tokens + 1  # one of them waits for the next token
                lender = find_lender(self._limiter, self._scope.lease)
                if lender is not None:
                    self._hire(lender)
            for _ in range(1 if self._known is None else int(min(room, len(self._known)))):
                self._hire(None)

    # The source

    async def _open_source(self) -> None:
        if self._known is not None:
            self._ledger.expect([id for _, id, _ in self._known])
            return
        source: object = self._plan.source
        self._source_context = copy_context()
        if self._plan.function is not None:
            args = self._args
            if self._plan.function_wants_scope:
                args = (*args, self._scope) if args else (None, self._scope)
            try:
                source = self._source_context.run(self._plan.function, *args)
                if hasattr(type(source), "__await__"):
                    source = await cast("Awaitable[object]", source)
            except Exception as error:
                self._source_failed(error)
                return
        if isinstance(source, COLLECTIONS):
            self._known = describe_all(cast("Collection[object]", source))
            self._ledger.expect([id for _, id, _ in self._known])
        elif not isinstance(source, (AsyncIterable, Iterable)):
            raise ConfigError(
                f"the paths function of fork {self._name!r} returned {source!r}; "
                "it has to return an iterable of steps, or an async one"
            )
        else:
            try:
                if isinstance(source, AsyncIterable):
                    self._async_iterator = aiter(cast("AsyncIterable[object]", source))
                else:
                    self._iterator = self._source_context.run(iter, cast("Iterable[object]", source))
            except Exception as error:
                self._source_failed(error)

    def _pull(self) -> Path | None:
        """Take the next path, or None if there is none, or the fork is decided."""
        index = self._pulled
        known = self._known
        if known is not None:
            if self._stopped or index == len(known):
                self._dry = True
                return None
            self._pulled = index + 1
            return known[index]
        if self._stopped or self._dry:
            return None
        assert self._source_context is not None
        assert self._iterator is not None
        try:
            path = self._source_context.run(next, self._iterator, _END)
            return self._pull_in(path)
        except Exception as error:
            self._source_failed(error)
            return None

    async def _pull_async(self, source: AsyncIterator[object]) -> Path | None:
        if self._stopped:
            return None
        try:
            path = await anext(source, _END)
            return self._pull_in(path)
        except Exception as error:
            self._source_failed(error)
        except BaseExceptionGroup as group:
            self._source_mixed(group)
        return None

    def _pull_in(self, path: object) -> Path | None:
        if path is _END:
            self._dry = True
            self._exhausted(self._pulled)
            return None
        base, given, call = describe(path)
        names = self._ledger.names
        assert isinstance(names, PathNames)
        index = self._pulled
        self._pulled = index + 1
        return index, names.add(base, given), call

    def _exhausted(self, total: int) -> None:
        self._total = total
        if self._observe is not None:
            now = trio.current_time()
            self._observe(PathsCounted(name=self._name, time=now, scope=self._scope, total=total))
        if self._mode.exhausted(total):
            self._decide("no path is left")
        elif self._ended == total:
            self._decide_in_vain()

    def _source_failed(self, error: Exception) -> None:
        self._dry = True
        if self._over():
            self._report(self._name, error)
            return
        self._ledger.own_errors.append(error)
        name_step(error, self._name)
        self._decide(f"its source of paths failed: {error!r}")

    def _source_mixed(self, group: BaseExceptionGroup[BaseException]) -> None:
        errors, rest = group.split(Exception)
        if isinstance(errors, Exception):
            self._source_failed(errors)
        assert rest is not None  # a group of errors only is an Exception
        raise rest

    def _close_source(self) -> None:
        """Close a sync source that has more to give."""
        close = None if self._dry else getattr(self._iterator, "close", None)
        self._dry = True
        if close is not None and self._source_context is not None:
            try:
                self._source_context.run(close)
            except Exception as error:
                self._report(self._name, error)

    # The workers: one task a path, fed by the caller's task

    async def _feed(self) -> None:
        limiter, outer = self._limiter, self._scope.lease
        if limiter is None and self._limit != inf:
            limiter = trio.CapacityLimiter(self._limit)
        lease: Lease | None = None
        try:
            while not self._decided:
                if self._failure is not None and self._pulled:
                    await self._pace()
                if limiter is not None:
                    lease = await hold(limiter, outer)
                path = self._pull() if self._async_iterator is None else await self._pull_async(self._async_iterator)
                if path is None:
                    return
                self._ready.append((path, lease))
                lease = None
                if self._failure is not None:
                    self._failure = trio.Event()
                    self._last_start = trio.current_time()
                self._context.run(self._nursery.start_soon, self._run_ready, name=self._name)  # type: ignore[arg-type]
                if not self._pulled % STRETCH:
                    await trio.lowlevel.checkpoint()
        finally:
            if lease is not None:
                lease.end()
            close = getattr(self._async_iterator, "aclose", None)
            if close is not None:
                await self._aclose(close)

    async def _pace(self) -> None:
        """Wait until the next path of a staggered fork may start."""
        assert self._plan.stagger is not None
        assert self._failure is not None
        with trio.CancelScope(deadline=self._last_start + self._plan.stagger):
            await self._failure.wait()

    async def _aclose(self, close: Call) -> None:
        try:
            await close()
        except Exception as error:
            self._source_failed(error)
        except BaseExceptionGroup as group:
            # a nursery in the generator has put the GeneratorExit that closes it into a group
            rest: Any = group.split(GeneratorExit)[1]
            if isinstance(rest, Exception):
                self._source_failed(rest)
            elif rest is not None:
                self._source_mixed(rest)

    async def _run_ready(self) -> None:
        task = trio.lowlevel.current_task()
        path, lease = self._ready.popleft()
        fine = True
        try:
            if not self._stopped:
                fine = await self._run_path(task, path, lease)
        finally:
            if lease is not None:
                lease.end()
        if not fine:
            await self._park()

    # The workers: a crew

    def _hire(self, lender: Lease | None) -> None:
        """Start a member; one with a `lender` runs its paths on that one's lane, and is not counted."""
        if lender is None:
            self._members += 1
            self._seeking += 1
        self._context.run(self._nursery.start_soon, self._member, lender, name=self._name)  # type: ignore[arg-type]

    def _replace(self, lender: Lease | None) -> None:
        if lender is None:
            self._members -= 1
            self._seeking -= 1
        self._hire(lender)

    async def _member(self, lender: Lease | None) -> None:
        """Run paths one after another, until there is none, or one leaves something behind."""
        task = trio.lowlevel.current_task()
        context = _Context(task.context)
        length = 1
        while True:
            ran: list[Path] = []
            fenced = clean = False
            try:
                with trio.CancelScope():  # to notice a cancel scope that a path leaves open
                    clean = await self._stretch(task, length, lender, context, ran)
                    fenced = True
            except RuntimeError as error:
                if not fenced:
                    raise
                self._report_open_scope(ran, error)
                clean = False
            if self._dry or self._stopped:
                return
            if not clean:
                self._replace(lender)
                return
            length = min(2 * length, STRETCH)

    async def _stretch(
        self,
        task: trio.lowlevel.Task,
        length: int,
        lender: Lease | None,
        context: _Context,
        ran: list[Path],
    ) -> bool:
        """Run up to `length` paths, and return False if the last one left a context variable behind."""
        ledger = self._ledger
        counted = lender is None
        unblocked = 0
        lease: Lease | None = None
        try:
            for _ in range(length):
                if self._limiter is not None and lease is None:
                    lease = await self._slot(task, lender)
                path = self._pull()
                if path is None:
                    return True
                if counted:
                    self._seeking -= 1
                if self._members < self._limit and self._seeking < self._seekers:
                    self._staff()
                ran.append(path)
                started = ledger.started + 1
                fine = await self._run_path(task, path, lease)
                if counted:
                    self._seeking += 1
                if lease is not None:
                    lease = lease.pass_on(self._waiting)
                if not fine:
                    break
                if not context.is_clean():
                    return False
                # When others started a path meanwhile, this one has let them. Else it may not have blocked at all.
                if ledger.started != started:
                    unblocked = 0
                else:
                    unblocked += 1
                    if unblocked * max(self._members, 1) >= STRETCH:
                        unblocked = 0
                        await trio.lowlevel.checkpoint()
            else:
                return True
        finally:
            if lease is not None:
                lease.end()
        self._replace(lender)
        return await self._park()

    async def _slot(self, task: trio.lowlevel.Task, lender: Lease | None) -> Lease:
        """Wait for the lane of `lender`, or else for a token."""
        assert self._limiter is not None
        outer = self._scope.lease
        task.name = self._name  # between two paths it is just a member of the crew
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

    def _staff(self) -> None:
        """See to it that somebody looks for the next path; without tokens two, to get a large crew going."""
        if self._dry or self._stopped or self._pulled == self._total:
            return
        while self._seeking < self._seekers and self._members < self._limit:
            self._hire(None)

    def _report_open_scope(self, ran: list[Path], error: RuntimeError) -> None:
        suspects = " or ".join(repr(id) for _, id, _ in ran)
        bug = RuntimeError(f"path {suspects} of fork {self._name!r} returned with a cancel scope of its own still open")
        bug.__cause__ = error
        self._report(self._name, bug)

    # One path

    async def _run_path(self, task: trio.lowlevel.Task, path: Path, lease: Lease | None) -> bool:
        """Run a path and take its end; return False if it left a nursery open."""
        index, id, call = path
        parent = self._scope
        observe = self._observe
        ledger = self._ledger
        scope = Scope(id, parent, None, observe, parent.lease if lease is None else lease)
        current.set(scope)
        task.name = self._prefix + id
        ledger.started += 1
        start = 0.0
        if observe is not None:
            start = trio.current_time()
            observe(StepStarted(name=task.name, time=start, scope=scope))
        try:
            if parent.state is not None:
                scope.state = deepcopy(parent.state)
            value = call(*self._args) if self._args and takes_input(call) else call()
            if type_of(value) is CoroutineType or hasattr(type_of(value), "__await__"):
                value = await value
            if task.child_nurseries:
                self._unwanted.append((task.name, value))
                raise RuntimeError(f"path {task.name!r} returned with a nursery of its own still open")
        except Exception as error:
            self._failed(index, scope, start, error)
            return not task.child_nurseries
        except BaseException as error:
            rest = self._interrupted(index, scope, start, error)
            if rest is error:
                raise
            raise rest from None
        else:
            if self._decided or (self._deadline != inf and self._over()):
                ledger.late_values[index] = value
                if observe is not None:
                    observe_end(observe, scope, start, None)
                return True
            ledger.put(index, value)
            if scope.state is not None and hasattr(self._mode, "winner"):
                self._states[index] = scope.state
            self._ended += 1
            decided = self._succeeded(index, value)
            if observe is not None:
                won = decided and getattr(self._mode, "winner", None) == index
                observe_end(observe, scope, start, None, won=won)
            if decided:
                self._decide(f"path {id!r} won")
            elif self._ended == self._total:
                self._decide_in_vain()
            return True

    def _failed(self, index: int, scope: Scope, start: float, error: Exception) -> None:
        name = scope.name
        name_step(error, name)
        if self._observe is not None:
            observe_end(self._observe, scope, start, error)
        self._ledger.errors[index] = error
        if self._over():
            self._ledger.late_errors.add(index)
            return
        if self._failure is not None:
            self._failure.set()
        self._ended += 1
        if self._mode.failed(index, error):
            self._decide(f"path {scope.id!r} failed: {error!r}")
        elif self._ended == self._total:
            self._decide_in_vain()

    def _interrupted(self, index: int, scope: Scope, start: float, error: BaseException) -> BaseException:
        """Take the errors out of what ended a path, and return the rest, which no path can answer for."""
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
        return rest

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
        self._ledger.reason = reason = f"fork {self._plan.id!r}: {why}"
        self._nursery.cancel_scope.cancel(reason)
        self._close_source()

    def _decide_in_vain(self) -> None:
        self._crash = RuntimeError(
            f"fork {self._name!r}: every path has ended, but its mode {self._mode!r} did not decide; "
            "one of succeeded(), failed() and exhausted() has to return True"
        )
        self._decide("its mode did not decide")

    def _take_fatal(self, error: BaseException) -> None:
        self._answered_for.append(error)
        if self._fatal is None:
            self._fatal = error
        else:
            self._report(self._name, error)

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
                self._report(self._name, leaf)

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
            await self._drop_everything()
            raise

    # What nobody gets

    def _report(self, name: str, error: BaseException) -> None:
        """Tell observers and the log of an error that the fork does not raise."""
        logger.warning("%s: an error that its fork does not raise: %r", name, error, exc_info=error)
        if self._observe is not None:
            self._observe(ErrorDiscarded(name=name, time=trio.current_time(), scope=self._scope, error=error))

    async def _discard(self, values: Iterable[tuple[str, Any]]) -> None:
        dispose, observe = self._plan.dispose, self._observe
        if dispose is None and observe is None:
            return
        with trio.CancelScope(shield=True):
            for name, value in values:
                if observe is not None:
                    now = trio.current_time()
                    disposed = dispose is not None
                    observe(ValueDiscarded(name=name, time=now, scope=self._scope, value=value, disposed=disposed))
                if dispose is not None:
                    try:
                        await called(dispose, (value,))
                    except Exception as error:
                        self._report(name, error)

    def _skip_queued(self) -> None:
        """Tell observers of the paths that were never started."""
        ledger = self._ledger
        if self._observe is not None:
            for index in range(ledger.started, len(ledger.names)):
                name, now = ledger.full_name(index), trio.current_time()
                self._observe(StepSkipped(name=name, time=now, scope=self._scope, reason=ledger.reason))

    async def _discard_late(self, error: BaseException | None) -> None:
        """Give away what came too late for the fork's result, or for its error."""
        ledger = self._ledger
        if error is None:
            for index in sorted(ledger.late_errors):
                self._report(ledger.full_name(index), ledger.errors.pop(index))
        late, self._unwanted = self._unwanted, []
        if error is None or self._timed_out:
            late += self._take_late()
        if late:
            await self._discard(late)

    def _take_late(self) -> list[tuple[str, Any]]:
        ledger = self._ledger
        late = [(ledger.full_name(index), value) for index, value in ledger.late_values.items()]
        ledger.late_values.clear()
        return late

    async def _drop_everything(self) -> None:
        """The fork has no result: give every value away, and report every error."""
        ledger = self._ledger
        for index, error in sorted(ledger.errors.items()):
            self._report(ledger.full_name(index), error)
        for error in ledger.own_errors:
            self._report(self._name, error)
        kept = ((ledger.full_name(index), value) for index, value in enumerate(ledger.values) if value is not MISSING)
        await self._discard(chain(kept, self._take_late(), self._unwanted))


@final
class _Context:
    """The context variables of a worker, as they have to be between two paths.

    Values are compared by identity: ``==`` would call the ``__eq__`` of foreign values, and take 1 for True. The
    variable of the current scope is ours, and each path sets it anew.
    """

    __slots__ = ("_context", "_size", "_values", "_variables")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._size = len(context)
        self._variables: list[ContextVar[Any]] = [variable for variable in context if variable is not current]
        self._values = [context[variable] for variable in self._variables]

    def is_clean(self) -> bool:
        """Tell whether no path has left anything behind."""
        context = self._context  # a variable that was there can't have gone: only who set it could take it back
        return len(context) == self._size and all(map(is_, map(context.__getitem__, self._variables), self._values))


def describe_all(paths: Collection[object]) -> list[Path]:
    """Return the paths of a source that is all there, each with an id of its own.

    Raises:
      ConfigError: one can't be called, or two were given the same id.
    """
    try:
        described = [describe(path) for path in paths]
    except ConfigError:
        for path in paths:
            if iscoroutine(path):
                path.close()  # the error says it all; that it was never awaited is no news
        raise
    taken: set[str] = set()
    for id, given, _ in described:
        if given:
            if id in taken:
                raise ConfigError(f"two paths of a fork have the id {id!r}: give each its own, step(…, id=…)")
            taken.add(id)
    counts: dict[str, int] = {}
    known: list[Path] = []
    for base, given, call in described:
        id = base
        if not given:
            number = counts.get(base, 0) + 1
            id = base if number == 1 else f"{base}#{number}"
            while id in taken:
                number += 1
                id = f"{base}#{number}"
            counts[base] = number
            taken.add(id)
        known.append((len(known), id, call))
    return known
