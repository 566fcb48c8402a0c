"""What a step does about slow, failing and overloaded work, and in which order.

From the outside in: ``total_timeout``, ``limiter``, ``retry``, ``circuit_breaker``, ``rate``, ``timeout``. So a call
holds one token from start to end. Each attempt asks the breaker, takes a permit and has its own timeout, because a
breaker and a rate have to count requests.

Each policy is a method of `_Call`, which calls the next one inside. The hard part is to know what ended an attempt:

- The time of the body may be up although it never stopped: it was sync, or shielded. A value that it returns then is
  late, and discarded. An error that it raises stands, however late.
- The scope around the step may be cancelled, and the body may still return or raise whatever it likes. Such an attempt
  says nothing about the service, and no other follows it.
- ``total_timeout`` cancels too, from inside the step. While its scope is open, that looks like a cancellation from
  outside. So the breaker gets its answer when the scope is closed.

An observer may be interrupted when it is told how an attempt ended. No one receives the value or the error of such an
attempt, so what it holds is discarded before the interrupt goes on.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, final

import attrs
import trio

from trio_steps._core.checks import answered, check_count, check_timeout
from trio_steps._core.errors import (
    ConfigError,
    NotAcceptedError,
    QueueFullError,
    StepTimeoutError,
    add_note,
    leaves,
    short_repr,
)
from trio_steps._core.events.causes import Deadline, deadlines
from trio_steps._core.events.discarded import discard_result, discard_value, discard_values_in, report_error
from trio_steps._core.events.records import AttemptEnded, AttemptStarted, CircuitChanged, LimitWaited, StepRetrying

from .breaker import CircuitBreaker
from .limiter import find_lender, hold
from .rate import RateLimit
from .retry import Retry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_steps._core.scope import Attempts, Scope

    from .breaker import Ticket

T = TypeVar("T")

_FORMS = {
    "limiter": (trio.CapacityLimiter, "a trio.CapacityLimiter: limiter=trio.CapacityLimiter(10)"),
    "retry": (Retry, "a trio_steps.Retry: retry=Retry(3, delay=0.5)"),
    "circuit_breaker": (CircuitBreaker, "a trio_steps.CircuitBreaker: circuit_breaker=CircuitBreaker(5, cooldown=30)"),
    "rate": (RateLimit, "a trio_steps.RateLimit: rate=RateLimit(10, per=1.0)"),
}


@final
@attrs.frozen(kw_only=True, repr=False)
class Policies:
    """The policies of one step, applied from the outside in."""

    total_timeout: float | None = None
    limiter: trio.CapacityLimiter | None = None
    max_waiting: int | None = None
    retry: Retry | None = None
    circuit_breaker: CircuitBreaker | None = None
    rate: RateLimit | None = None
    timeout: float | None = None

    def __attrs_post_init__(self) -> None:
        check_timeout("total_timeout", self.total_timeout)
        check_timeout("timeout", self.timeout)
        for name, (wanted, form) in _FORMS.items():
            value = getattr(self, name)
            if value is not None and not isinstance(value, wanted):
                raise ConfigError(f"{name}={short_repr(value)}: give {form}")
        if self.max_waiting is not None:
            form = "how many calls may wait for the limiter, 0 or more: max_waiting=10"
            check_count(f"max_waiting={short_repr(self.max_waiting)}", self.max_waiting, least=0, form=form)
            if self.limiter is None:
                raise ConfigError(
                    f"max_waiting={short_repr(self.max_waiting)} limits the line for a limiter, but there is no "
                    "limiter: add limiter=trio.CapacityLimiter(10)"
                )

    async def apply(
        self,
        scope: Scope,
        body: Callable[[], Awaitable[T]],
        since: float | None = None,
        reveal: Callable[[T], object] | None = None,
    ) -> T:
        """Run `body`, the body of the step in `scope`, under these policies.

        Args:
          scope: the scope of the step, in which this is called.
          body: called once for each attempt.
          since: when the step began, in the seconds of ``trio.current_time()``; None: now.
          reveal: turns what `body` returns into the value that ``accept=`` and observers get; None if it is that value.
        """
        return await _Call(self, scope, body, reveal).in_total_time(since)


@final
class _Call(Generic[T]):
    """One call of a step under its policies."""

    __slots__ = (
        "began",
        "body",
        "deadline",
        "dropped",
        "kept",
        "number",
        "observe",
        "policies",
        "reveal",
        "scope",
        "too_late",
        "unsettled",
    )

    def __init__(
        self,
        policies: Policies,
        scope: Scope,
        body: Callable[[], Awaitable[T]],
        reveal: Callable[[T], object] | None,
    ) -> None:
        self.policies = policies
        self.scope = scope
        self.observe = scope.observers
        self.body = body
        self.reveal = reveal
        self.deadline = inf  # that of `total_timeout`
        self.number = 1  # of the attempt
        self.kept: Attempts | None = None  # records failed attempts
        self.began: float | None = None  # when the body was called, in this attempt
        self.too_late = False  # this attempt ended after its own timeout
        self.dropped: Exception | None = None  # the error that is not retried because the call was cancelled
        self.unsettled: Ticket | None = None  # see `_settle`

    async def in_total_time(self, since: float | None) -> T:
        seconds = self.policies.total_timeout
        if seconds is None:
            return await self._with_token()
        since = trio.current_time() if since is None else since
        self.deadline = since + seconds
        try:
            return await in_time(seconds, self.scope, self._with_token, since, self._discard)
        except trio.Cancelled:  # from outside; a StepTimeoutError would have shown the dropped error as its cause
            if self.dropped is not None:
                report_error(self.scope, self.dropped)
            raise
        finally:
            self.dropped = None
            if self.unsettled is not None:
                self._leave(self.unsettled, None if _is_cancelled() else False)

    async def _with_token(self) -> T:
        limiter = self.policies.limiter
        if limiter is None:
            return await self._with_retries()
        scope, around = self.scope, self.scope.lease
        most = self.policies.max_waiting
        if most is not None and find_lender(limiter, around) is None:
            seen = limiter.statistics()
            if seen.tasks_waiting >= most and (seen.tasks_waiting or seen.borrowed_tokens >= seen.total_tokens):
                raise QueueFullError(scope.name, seen.tasks_waiting)
        asked = trio.current_time()
        scope.lease = await hold(limiter, around)
        try:
            self._tell_of_wait("limiter", asked)
            return await self._with_retries()
        finally:
            scope.lease.end()
            scope.lease = around

    async def _with_retries(self) -> T:
        retry = self.policies.retry
        number = 0
        if retry is not None:
            self.kept, self.scope.attempts = getattr(self.scope, "attempts", None), None
            if self.kept is not None:
                number = min(self.kept.failed, retry.attempts - 1)
        while True:
            number += 1
            if retry is not None:
                self.scope.attempt_number = number
            self.number = self.scope.attempt
            self.began = None
            self.too_late = False
            try:
                value = await self._admitted()
            except Exception as error:
                # Inside the handler, so that a cancellation has the error that waited for another attempt as context.
                if not await self._try_again(retry, number, error):
                    raise
            except BaseException as error:
                try:
                    self._tell_end(_how_ended(error), error)
                except BaseException:
                    await discard_values_in(error, self.scope)
                    raise
                raise
            else:
                if retry is None or retry.accept is None or await self._is_accepted(retry.accept, value):
                    try:
                        self._tell_end("succeeded", None)
                    except BaseException:
                        await discard_result(self.scope, self._shown(value))
                        raise
                    return value
                await self._refuse(retry, number, value)

    async def _is_accepted(self, accept: Callable[[Any], bool], value: T) -> bool:
        try:
            return bool(answered(accept, self._shown(value)))
        except BaseException as error:  # not retried, because the predicate is at fault
            try:
                self._tell_end("failed", error)
            finally:
                await self._discard(value)
            raise

    async def _refuse(self, retry: Retry, number: int, value: T) -> None:
        """Wait for the next attempt, or raise a `NotAcceptedError` if there is none."""
        try:
            raise NotAcceptedError(self.scope.name, self._shown(value))  # noqa: TRY301 - it gets its traceback here
        except NotAcceptedError as error:
            if not await self._try_again(retry, number, error, refused=True):
                raise

    async def _try_again(self, retry: Retry | None, number: int, error: Exception, *, refused: bool = False) -> bool:
        """Tell of the end of attempt `number`, and wait for the next; return False if there is none."""
        try:
            self._tell_end("failed", error)
            if retry is None:
                return False
            if number == retry.attempts or not (refused or retry.wants(error)):
                add_note(error, f"after {number} of {retry.attempts} attempts")
                return False
            if _is_cancelled():
                await trio.lowlevel.checkpoint()
            delay = retry.delay_after(number, error)
            if self.observe is not None:
                scope, now = self.scope, trio.current_time()
                event = StepRetrying(name=scope.name, time=now, scope=scope, attempt=number, error=error, delay=delay)
                self.observe(event)
        except BaseException as instead:  # also of an observer, or of a function of the policy
            await discard_values_in(error, self.scope)
            if isinstance(instead, trio.Cancelled) and not refused:
                self._drop(error)
            raise
        await discard_values_in(error, self.scope)
        if self.kept is not None:
            await self.kept.keep(number)
        await trio.sleep(delay)
        if self.kept is not None:
            self.kept.check()
        return True

    def _drop(self, error: Exception) -> None:
        """Report an error that is not retried because the call was cancelled, unless a timeout will show it."""
        if trio.current_time() < self.deadline:
            report_error(self.scope, error)
        else:
            self.dropped = error

    async def _admitted(self) -> T:
        breaker = self.policies.circuit_breaker
        ticket = None if breaker is None else breaker.enter(self.scope)
        if ticket is None:  # no breaker, or the step is part of a probe
            return await self._at_rate()
        scope, outer = self.scope, self.scope.probes
        scope.open_probes = (*outer, ticket)
        try:
            value = await self._at_rate()
        except BaseException as error:
            try:
                self._settle(ticket, error)
            except BaseException:
                await discard_values_in(error, scope)
                raise
            raise
        else:
            try:
                self._settle(ticket, None)
            except BaseException:
                await discard_result(self.scope, self._shown(value))
                raise
            return value
        finally:
            scope.open_probes = outer

    def _settle(self, ticket: Ticket, error: BaseException | None) -> None:
        """Tell the breaker what the end of an attempt means, or leave that to `in_total_time`."""
        breaker = cast("CircuitBreaker", self.policies.circuit_breaker)
        success: bool | None = None
        if self.began is None:
            pass  # it was still waiting for a permit, which says nothing about the service
        elif _is_cancelled():
            if trio.current_time() >= self.deadline:
                self.unsettled = ticket
                return
        elif self.too_late:
            success = False
        elif error is None:
            success = True
        elif isinstance(error, Exception):
            try:
                success = not breaker.blames(error)
            except BaseException:
                self._leave(ticket, None)
                raise
        self._leave(ticket, success)

    def _leave(self, ticket: Ticket, success: bool | None) -> None:
        breaker = cast("CircuitBreaker", self.policies.circuit_breaker)
        state = breaker.leave(ticket, success)
        if state is not None and self.observe is not None:
            scope = self.scope
            self.observe(CircuitChanged(name=scope.name, time=trio.current_time(), scope=scope, state=state))

    async def _at_rate(self) -> T:
        if self.policies.rate is not None:
            asked = trio.current_time()
            await self.policies.rate.acquire()
            self._tell_of_wait("rate", asked)
        return await self._attempt()

    async def _attempt(self) -> T:
        seconds = self.policies.timeout
        self.began = trio.current_time()
        if self.observe is not None:
            scope = self.scope
            self.observe(AttemptStarted(name=scope.name, time=self.began, scope=scope, attempt=self.number))
        if seconds is None:
            return await self.body()
        try:
            return await in_time(seconds, self.scope, self.body, self.began, self._discard)
        finally:
            self.too_late = trio.current_time() >= self.began + seconds

    def _shown(self, value: T) -> object:
        return value if self.reveal is None else self.reveal(value)

    async def _discard(self, value: T) -> None:
        await discard_value(self.scope, self._shown(value))

    def _tell_of_wait(self, limit: Literal["limiter", "rate"], asked: float) -> None:
        if self.observe is not None and (now := trio.current_time()) > asked:
            scope = self.scope
            self.observe(LimitWaited(name=scope.name, time=now, scope=scope, limit=limit, duration=now - asked))

    def _tell_end(self, status: Literal["succeeded", "failed", "cancelled"], error: BaseException | None) -> None:
        if self.observe is not None and self.began is not None:
            scope, now = self.scope, trio.current_time()
            self.observe(
                AttemptEnded(
                    name=scope.name,
                    time=now,
                    scope=scope,
                    attempt=self.number,
                    duration=now - self.began,
                    status=status,
                    error=error if status == "failed" else None,
                )
            )


async def in_time(
    seconds: float,
    scope: Scope,
    call: Callable[[], Awaitable[T]],
    since: float | None = None,
    discard: Callable[[T], Awaitable[None]] | None = None,
) -> T:
    """Call `call` for the step in `scope`, with a deadline `seconds` after `since`, by default now.

    A value returned at that moment or later goes to `discard`.

    Raises:
      StepTimeoutError: it took longer.
    """
    pending: BaseException | None = None
    deadline = seconds + (trio.current_time() if since is None else since)
    token = deadlines.set(Deadline(deadline, seconds, scope.name, deadlines.get()))
    # Nothing else can cancel this scope: if it ends the block, the deadline has fired.
    with trio.CancelScope(deadline=deadline):
        try:
            value = await call()
        except trio.Cancelled as cancelled:
            pending = cancelled.__context__  # such as the error that waited for another attempt
            raise
        finally:
            deadlines.reset(token)
        if trio.current_time() < deadline:
            return value
        if discard is not None:
            await discard(value)
    raise StepTimeoutError(scope.name, seconds) from pending


def _is_cancelled() -> bool:
    """Tell whether a scope around this code is cancelled, or will be at the next checkpoint."""
    return trio.current_effective_deadline() <= trio.current_time()


def _how_ended(error: BaseException) -> Literal["failed", "cancelled"]:
    return "cancelled" if all(isinstance(leaf, trio.Cancelled) for leaf in leaves(error)) else "failed"
