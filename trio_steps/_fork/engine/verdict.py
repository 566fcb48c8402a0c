"""What each end means: the end of a path, of the source, of the fork's time, and of all its tasks.

All of it is synchronous, and happens in the task that is ending. A path reports its end to the mode as long as the fork
is neither decided nor out of time. After that, its value or error is late. Only an `Exception` is a result. Everything
else leaves through the nursery, and is sorted out when all tasks have ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, final

import trio

from trio_steps._core.errors import StepTimeoutError, add_note, hide_frames_of_ours, leaves, name_step, short_repr
from trio_steps._core.events.causes import cause_of
from trio_steps._core.events.records import PathsCounted
from trio_steps._core.step import observe_end

from .groups import split_errors
from .state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trio_steps._core.scope import Scope


@final
class ForkRun(State):
    """One run of a fork, decided as its mode says.

    Attributes:
      stray: the first cancellation that came before the decision, and so was not caused by it.
      fatal: the first error that is neither a result nor a cancellation, such as a `KeyboardInterrupt`.
      crash: the first error of this library itself, or of a mode.
      answered_for: the ids of errors that went through the nursery and are known already.
    """

    stray: trio.Cancelled | None = None
    fatal: BaseException | None = None
    crash: Exception | None = None
    answered_for: Sequence[BaseException] = ()

    def end(self) -> None:
        """Let go of everything, because the run is over.

        Errors are forgotten, because an error holds its frames, and they must not hold the error. Steps and errors that
        drop a value later find no one here to take it.
        """
        self.stray = self.fatal = self.crash = None
        self.answered_for = ()
        ledger = self.ledger
        ledger.discard = None
        if ledger.errors or ledger.own_errors:
            ledger.forget_errors()
        if self.plan.growing:
            self.scope.grow = _refuse
        del self.scope.discard_value

    @property
    def failure(self) -> BaseException | None:
        """The error that must be raised whatever the mode says, or None."""
        return self.fatal if self.fatal is not None else self.crash

    # The end of a path

    def won(self, index: int, scope: Scope, start: float, value: Any) -> bool:
        """Tell the mode of a success, and then the observers."""
        assert self.observe is not None
        won = False
        try:
            won = self.mode.succeeded(index, value)
        finally:  # each start has an end, even if the mode has a bug
            is_winner = won and getattr(self.mode, "winner", None) == index
            observe_end(self.observe, scope, start, None, won=is_winner)
        return won

    def came_late(self, index: int, scope: Scope, start: float, value: Any) -> None:
        """Record a value that came after the decision."""
        self.leftovers = True
        self.ledger.late_values[index] = value
        if self.observe is not None:
            observe_end(self.observe, scope, start, None)

    def failed(self, index: int, scope: Scope, start: float, error: Exception) -> None:
        """Record the error of a path, and tell the mode if it is not late."""
        hide_frames_of_ours(error)  # they tell the reader nothing, and would keep the whole run alive
        name = scope.name
        name_step(error, name)
        self.ledger.errors[index] = error  # first, so that it is not lost if an observer is interrupted
        if self.observe is not None:
            observe_end(self.observe, scope, start, error)
        if self.over():
            self.leftovers = True
            self.ledger.late_errors.add(index)
            return
        if self.pace is not None:
            self.pace.failure.set()
        self.ended += 1
        if self.mode.failed(index, error):
            self.decide(f"path {scope.id!r} failed: {short_repr(error)}")
        elif self.ended == self.total:
            self.finish()

    def interrupted(self, index: int, scope: Scope, start: float, error: BaseException) -> BaseException | None:
        """Record the errors in what ended a path, and return the rest, which is not the failure of a path."""
        errors: Exception | None = None
        rest: BaseException | None = error
        group = error
        if isinstance(group, BaseExceptionGroup):
            errors, rest = split_errors(cast("BaseExceptionGroup[BaseException]", group))
        over = self.over()
        try:
            if errors is not None:
                self.failed(index, scope, start, errors)
            elif self.observe is not None:
                observe_end(self.observe, scope, start, error, reason=self.ledger.reason if over else None)
        finally:  # an observer may be interrupted too
            for leaf in () if rest is None else leaves(rest):
                if isinstance(leaf, trio.Cancelled):
                    if not over and self.stray is None:
                        self.stray = leaf
                else:
                    name_step(leaf, scope.name)
                    self._take_fatal(leaf)
        return rest

    # The end of the source

    def take_end_of_source(self) -> None:
        """Note that the source has run out, has failed, or could not be closed after that."""
        source = self.source
        if source.errors:
            errors, source.errors = source.errors, ()
            self._source_failed(errors)
        elif self.total is None and source.total is not None and not self.over():
            self.exhausted(source.total)

    def exhausted(self, total: int) -> None:
        """Note that there are `total` paths, and no more will come."""
        self.total = total
        if self.observe is not None:
            now = trio.current_time()
            self.observe(PathsCounted(name=self.name, time=now, scope=self.scope, total=total))
        if self.mode.exhausted(total):
            self.decide("no path is left")
        elif self.ended == total:
            self.finish()

    def _source_failed(self, errors: Sequence[Exception]) -> None:
        ledger = self.ledger
        if self.over() and not ledger.own_errors:  # otherwise it had failed before, and now can't be closed
            self._report_source(errors)
            return
        ledger.own_errors += errors
        for error in errors:
            name_step(error, self.name)
        if not self.decided:
            self.decide(f"its source of paths failed: {short_repr(errors[0])}")

    def close_source(self) -> None:
        """Stop taking paths."""
        source = self.source
        source.close()
        if source.errors:
            errors, source.errors = source.errors, ()
            self._report_source(errors)

    def _report_source(self, errors: Sequence[Exception]) -> None:
        for error in errors:
            name_step(error, self.name)
            self.discarded.report(self.name, error)

    # The decision

    def over(self) -> bool:
        """Tell whether what is reported now comes too late to count.

        It reads the deadline from the cancel scope, because the deadline may be moved there.
        """
        if not self.decided and not self.in_time and trio.current_time() >= self.nursery.cancel_scope.deadline:
            self.timed_out = True
            self.ledger.timeout = self.plan.timeout
            self.decide(f"timed out after {self.plan.timeout:g} s")
        return self.decided

    def decide(self, why: str) -> None:
        """Decide the fork, and cancel what is still running, because of `why`."""
        self.decided = self.stopped = True
        self.in_time = False
        self.ledger.reason = reason = f"fork {self.plan.id!r}: {why}"
        if self.ended != self.total or self.detained:
            self.nursery.cancel_scope.cancel(reason)
        elif self.caller is not None:
            self.wake_caller()
        self.close_source()

    def finish(self) -> None:
        """End the fork. Every path has ended by itself, so there is usually nothing to cancel."""
        self.decided = self.stopped = True
        if self.detained:  # they wait for something that won't come
            self.nursery.cancel_scope.cancel("every path has ended")
        elif self.caller is not None:
            self.wake_caller()
        source = self.source
        if source.known is None or self.plan.growing:
            self.close_source()
        else:
            source.dry = True  # each path that is known has ended, so none is left to take

    def end_if_idle(self) -> None:
        """End a growing fork if its source has run out and every path has ended: nothing is left to add a path."""
        source = self.source
        if self.plan.growing and source.dry and self.ended == source.joined and not self.stopped:
            source.end()
            self.take_end_of_source()

    def detain(self) -> None:
        """Note that a task waits and must be cancelled when the fork ends."""
        self.detained += 1
        self.end_if_idle()
        if self.decided:
            self.nursery.cancel_scope.cancel(self.ledger.reason)

    # The end of all tasks

    def _take_fatal(self, error: BaseException) -> None:
        self.note_answered_for(error)
        if self.fatal is None:
            self.fatal = error
        else:
            self.discarded.report(self.name, error)

    def note_answered_for(self, error: BaseException) -> None:
        """Note that `error`, which leaves through the nursery, is known already."""
        self.answered_for = (*self.answered_for, error)

    def sort_out(self, group: BaseExceptionGroup[BaseException]) -> None:
        """Find the errors that went through the nursery and that no path answered for."""
        known = set(map(id, self.answered_for))
        for leaf in leaves(group):
            if isinstance(leaf, trio.Cancelled) or _is_about(leaf, known):
                continue
            if not isinstance(leaf, Exception):
                self._take_fatal(leaf)
            elif self.crash is None:
                self.crash = leaf
            else:
                self.discarded.report(self.name, leaf)
        if self.fatal is not None and self.crash is not None:
            self.discarded.report(self.name, self.crash)

    def conclude(self) -> None:
        """Find out, after all tasks have ended undecided, whether the fork ran out of time or was cancelled."""
        if self.stray is None:
            self.over()
        else:
            self.ledger.reason = cause_of(self.stray)

    def answer(self) -> Any:
        """Return the result of the fork, or raise its error."""
        ledger = self.ledger
        if self.fatal is not None:
            raise self.fatal
        if self.crash is not None:
            raise self.crash
        if ledger.own_errors:
            raise ledger.partial()
        if self.timed_out:
            assert self.plan.timeout is not None
            if not getattr(self.mode, "settles_deadline", False):
                raise ledger.partial(StepTimeoutError(self.name, self.plan.timeout))
        elif not self.decided:
            raise self._undecided()
        return self.mode.result()

    def _undecided(self) -> BaseException:
        """Return the error for a fork that ended undecided and was not cancelled from outside."""
        name, stray = self.name, self.stray
        if stray is None:
            return RuntimeError(f"fork {name!r} was cancelled, but neither by itself nor from outside")
        add_note(stray, f"a path of fork {name!r} raised this, but no scope around it was cancelled")
        return stray


def _refuse(_path: Callable[..., object]) -> None:
    raise RuntimeError("the fork is over, so no path can be added")


def _is_about(error: BaseException, known: set[int]) -> bool:
    """Tell whether `error` is one of the `known`, or was raised while one of them was handled."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:  # causes may form a ring
        if id(cause) in known:
            return True
        seen.add(id(cause))
        cause = cause.__context__
    return False
