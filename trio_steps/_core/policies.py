"""What a step does about slow, failing and overloaded work: timeouts, retries, circuit breakers, limiters.

The order, from the outside in: ``total_timeout``, ``limiter``, ``circuit_breaker``, ``retry``, ``timeout``.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Literal, TypeVar, cast, final

import attrs
import trio

from .causes import Deadline, deadlines
from .errors import CircuitOpenError, ConfigError, StepTimeoutError, add_note
from .events import StepRetrying
from .limiter import hold
from .public import public

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .scope import Scope

T = TypeVar("T")


def check_seconds(what: str, seconds: object) -> None:
    """Refuse what is not a number of seconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0:
        raise ConfigError(f"{what} must be a number of seconds, 0 or more, not {seconds!r}")


def check_timeout(what: str, seconds: object) -> None:
    """Refuse a timeout that is neither None nor a positive number of seconds."""
    if seconds is not None:
        check_seconds(what, seconds)
        if not seconds:
            raise ConfigError(f"{what}=0 leaves no time to run at all; give seconds, or None for no limit")


@public
@final
@attrs.frozen
class Retry:
    """Try again when a step fails.

    Args:
      attempts: how often to try at most, the first time included.
      backoff: how the delay grows: ``"fixed"`` (``delay``, ``delay``, …), ``"linear"`` (1, 2, 3 times
        ``delay``) or ``"exponential"`` (1, 2, 4, 8 times ``delay``).
      delay: seconds before the second attempt.
      max_delay: no delay is longer than this many seconds.
      jitter: the part of each delay that is random, 0 to 1: with 0.25 a delay is 75 % to 100 % of its length.
      on: which errors are worth another attempt: exception type(s), or a function of the error. By default all.

    Raises:
      ConfigError: an argument makes no sense.
    """

    attempts: int
    backoff: Literal["fixed", "linear", "exponential"] = attrs.field(default="fixed", kw_only=True)
    delay: float = attrs.field(default=0.0, kw_only=True)
    max_delay: float = attrs.field(default=math.inf, kw_only=True)
    jitter: float = attrs.field(default=0.0, kw_only=True)
    on: type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool] = attrs.field(
        default=Exception, kw_only=True
    )

    def __attrs_post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or self.attempts < 1:
            raise ConfigError(f"Retry(attempts={self.attempts!r}): give the number of attempts, 1 or more")
        if self.backoff not in ("fixed", "linear", "exponential"):
            raise ConfigError(f'Retry(backoff={self.backoff!r}): use "fixed", "linear" or "exponential"')
        check_seconds("Retry(delay=…)", self.delay)
        check_seconds("Retry(max_delay=…)", self.max_delay)
        if not isinstance(self.jitter, (int, float)) or not 0 <= self.jitter <= 1:
            raise ConfigError(f"Retry(jitter={self.jitter!r}): give the random part of the delay, 0 to 1")
        on = cast("object", self.on)
        types = cast("tuple[object, ...]", on) if isinstance(on, tuple) else (on,)
        if not all(isinstance(type_, type) and issubclass(type_, Exception) for type_ in types) and (
            isinstance(on, (tuple, type)) or not callable(on)
        ):
            raise ConfigError(f"Retry(on={on!r}): give exception types, or a function of the exception")

    def wants(self, error: Exception) -> bool:
        """Tell whether `error` is worth another attempt."""
        if isinstance(self.on, (type, tuple)):
            return isinstance(error, self.on)  # pyright: ignore[reportUnknownMemberType]
        return bool(self.on(error))

    def delay_after(self, attempt: int) -> float:
        """Return the seconds to wait after attempt number `attempt` (the first is 1)."""
        if self.backoff == "linear":
            delay = self.delay * attempt
        elif self.backoff == "exponential":
            delay = self.delay * 2.0 ** min(attempt - 1, 1023)
        else:
            delay = self.delay
        delay = min(delay, self.max_delay)
        return delay * (1 - self.jitter * random.random()) if self.jitter else delay  # noqa: S311


@public
@final
class CircuitBreaker:
    """Stop trying what keeps failing, and probe now and then whether it works again.

    Closed, it lets every call through and counts failures in a row; `failure_threshold` of them open it. Open,
    it refuses calls for `cooldown` seconds of ``trio.current_time()``. Then it is half open: it lets one call
    through as a probe; success closes it, failure opens it again. A cancelled call counts neither way.

    The state belongs to the object: give the same one to several steps and they share it.

    Args:
      failure_threshold: failures in a row that open it, 1 or more.
      cooldown: seconds it stays open.
      on_open: what a step does when it is refused: ``"raise"`` a `CircuitOpenError`, or ``"skip"``: return None
        and do nothing. In a fork both are a failed path.

    Raises:
      ConfigError: an argument makes no sense.
    """

    __slots__ = ("_era", "_failures", "_open_until", "_probing", "cooldown", "failure_threshold", "on_open")

    def __init__(self, failure_threshold: int, cooldown: float, *, on_open: Literal["raise", "skip"] = "raise") -> None:
        if isinstance(failure_threshold, bool) or not isinstance(failure_threshold, int) or failure_threshold < 1:
            raise ConfigError(f"CircuitBreaker(failure_threshold={failure_threshold!r}): give 1 or more failures")
        check_seconds("CircuitBreaker(cooldown=…)", cooldown)
        if on_open not in ("raise", "skip"):
            raise ConfigError(f'CircuitBreaker(on_open={on_open!r}): use "raise" or "skip"')
        self.failure_threshold: int = failure_threshold
        self.cooldown: float = cooldown
        self.on_open: Literal["raise", "skip"] = on_open
        self._failures = 0
        self._open_until: float | None = None  # None: closed
        self._probing = False
        self._era: int = 0  # a new one begins whenever it opens or probes

    def __repr__(self) -> str:
        return (
            f"CircuitBreaker(failure_threshold={self.failure_threshold}, cooldown={self.cooldown}, "
            f"on_open={self.on_open!r}, state={self.state!r})"
        )

    @property
    def state(self) -> Literal["closed", "open"]:
        """``"closed"``, or ``"open"`` from the failure that opened it until a probe succeeds."""
        return "closed" if self._open_until is None else "open"

    def enter(self, step: str) -> int:
        """Let a call of `step` through, and return what `leave` has to be told.

        Raises:
          CircuitOpenError: the call must not be made.
        """
        if self._open_until is not None:
            wait = self._open_until - trio.current_time()
            if wait > 0 or self._probing:
                raise CircuitOpenError(step, max(wait, 0.0), skip=self.on_open == "skip")
            self._probing = True
            self._era += 1
        return self._era

    def leave(self, era: int, success: bool | None) -> None:
        """Take the end of a call that was let through; `success` is None if it was cancelled."""
        if era != self._era:
            return  # it began before the breaker opened, and says nothing about now
        probed, self._probing = self._probing, False
        if success:
            self._failures = 0
            self._open_until = None
        elif success is not None:
            self._failures += 1
            if probed or self._failures >= self.failure_threshold:
                self._open_until = trio.current_time() + self.cooldown
                self._era += 1


@final
@attrs.frozen(kw_only=True)
class Policies:
    """The policies of one step, applied from the outside in."""

    total_timeout: float | None = None
    limiter: trio.CapacityLimiter | None = None
    circuit_breaker: CircuitBreaker | None = None
    retry: Retry | None = None
    timeout: float | None = None

    def __attrs_post_init__(self) -> None:
        check_timeout("total_timeout", self.total_timeout)
        check_timeout("timeout", self.timeout)
        for name, value, wanted in (
            ("limiter", self.limiter, trio.CapacityLimiter),
            ("circuit_breaker", self.circuit_breaker, CircuitBreaker),
            ("retry", self.retry, Retry),
        ):
            if value is not None and not isinstance(value, wanted):
                raise ConfigError(f"{name}={value!r}: give a {wanted.__module__.split('.')[0]}.{wanted.__name__}")

    async def apply(self, scope: Scope, attempt: Callable[[], Awaitable[T]], since: float | None = None) -> T:
        """Run `attempt`, the body of the step that `scope` shows, under these policies.

        Args:
          scope: the scope of the step.
          attempt: its body.
          since: when the step began, in the seconds of ``trio.current_time()``; None: now.
        """
        if self.total_timeout is None:
            return await self._limited(scope, attempt)
        return await in_time(self.total_timeout, scope, lambda: self._limited(scope, attempt), since)

    async def _limited(self, scope: Scope, attempt: Callable[[], Awaitable[T]]) -> T:
        if self.limiter is None:
            return await self._guarded(scope, attempt)
        around = scope.lease
        scope.lease = await hold(self.limiter, around)
        try:
            return await self._guarded(scope, attempt)
        finally:
            scope.lease.end()
            scope.lease = around

    async def _guarded(self, scope: Scope, attempt: Callable[[], Awaitable[T]]) -> T:
        if self.circuit_breaker is None:
            return await self._retried(scope, attempt)
        era = self.circuit_breaker.enter(scope.name)
        success: bool | None = None
        try:
            result = await self._retried(scope, attempt)
            success = True
        except Exception:
            success = False
            raise
        finally:
            self.circuit_breaker.leave(era, success)
        return result

    async def _retried(self, scope: Scope, attempt: Callable[[], Awaitable[T]]) -> T:
        if self.retry is None:
            return await self._attempt(scope, attempt)
        number = 1
        while True:
            try:
                return await self._attempt(scope, attempt)
            except Exception as error:
                if number == self.retry.attempts or not self.retry.wants(error):
                    add_note(error, f"after {number} of {self.retry.attempts} attempts")
                    raise
                delay = self.retry.delay_after(number)
                if scope.observers is not None:
                    scope.observers(
                        StepRetrying(
                            name=scope.name,
                            time=trio.current_time(),
                            scope=scope,
                            attempt=number,
                            error=error,
                            delay=delay,
                        )
                    )
                # within the handler, so that a cancellation shows which error was waiting for another attempt
                await trio.sleep(delay)
            number += 1

    async def _attempt(self, scope: Scope, attempt: Callable[[], Awaitable[T]]) -> T:
        if self.timeout is None:
            return await attempt()
        return await in_time(self.timeout, scope, attempt)


async def in_time(seconds: float, scope: Scope, attempt: Callable[[], Awaitable[T]], since: float | None = None) -> T:
    """Run `attempt`, for the step that `scope` shows, until `seconds` after `since`, which is now by default.

    Raises:
      StepTimeoutError: it took longer.
    """
    pending: BaseException | None = None
    begin = trio.current_time() if since is None else since
    token = deadlines.set(Deadline(begin + seconds, seconds, scope.name, deadlines.get()))
    # Nobody else can cancel this scope: whenever it ends the block, the deadline has fired.
    with trio.CancelScope(deadline=begin + seconds):
        try:
            return await attempt()
        except trio.Cancelled as cancelled:
            pending = cancelled.__context__  # such as the error that was waiting for another attempt
            raise
        finally:
            deadlines.reset(token)
    raise StepTimeoutError(scope.name, seconds) from pending
