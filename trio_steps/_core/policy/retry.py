"""`Retry`: which failures are worth another attempt, how many, and when."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any, Literal, final

import attrs

from trio_steps._core.checks import (
    all_are,
    answered,
    check_count,
    check_seconds,
    check_sync,
    check_which,
    is_number,
    types_in,
)
from trio_steps._core.errors import CircuitOpenError, ConfigError, short_repr
from trio_steps._core.public import public

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_steps._core.checks import Which


@public
@final
@attrs.frozen
class Retry:
    """Tries again when a step fails.

    The last error is raised, with a note that says how many attempts were made. ``current_scope().attempt`` tells the
    step which attempt it is. Once the scope around the step is cancelled, nothing is tried again.

    Args:
      attempts: the most attempts, including the first.
      backoff: how the delay grows: ``"fixed"`` (``delay``, ``delay``, …), ``"linear"`` (1, 2, 3 times
        ``delay``) or ``"exponential"`` (1, 2, 4, 8 times ``delay``).
      delay: seconds before the second attempt. Or a function of the error and the number of the attempt that failed,
        which returns the seconds, for example those that a server asked for, or None for no delay.
      max_delay: no delay is longer than this many seconds.
      jitter: the random part of each delay, 0 to 1. With 0.25, a delay is 75 % to 100 % of its length. Jitter does not
        apply to what a `delay` function returns.
      on: which errors are worth another attempt: exception type(s), or a function of the error. By default, all are. An
        exception group counts if it matches itself, or if every error in it does. A `CircuitOpenError` counts only if
        `on` names it.
      accept: a function that tells whether a value is good enough. If not, the attempt fails with a `NotAcceptedError`,
        and is worth another one whatever `on` says.

    Raises:
      ConfigError: an argument is not valid.
    """

    attempts: int
    backoff: Literal["fixed", "linear", "exponential"] = attrs.field(default="fixed", kw_only=True)
    delay: float | Callable[[Any, int], float | None] = attrs.field(default=0.0, kw_only=True)
    max_delay: float = attrs.field(default=math.inf, kw_only=True)
    jitter: float = attrs.field(default=0.0, kw_only=True)
    on: Which = attrs.field(default=Exception, kw_only=True)
    accept: Callable[[Any], bool] | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        form = "the number of attempts, 1 or more: Retry(3)"
        check_count(f"Retry(attempts={short_repr(self.attempts)})", self.attempts, form=form)
        if self.backoff not in ("fixed", "linear", "exponential"):
            raise ConfigError(f'Retry(backoff={short_repr(self.backoff)}): use "fixed", "linear" or "exponential"')
        if callable(self.delay):
            form = "seconds, or a function of the error and the attempt: delay=lambda error, attempt: error.retry_after"
            check_sync(lambda: f"Retry(delay={short_repr(self.delay)})", self.delay, form)
        else:
            check_seconds("Retry(delay=…)", self.delay)
        check_seconds("Retry(max_delay=…)", self.max_delay)
        if not is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise ConfigError(f"Retry(jitter={short_repr(self.jitter)}): give the random part of the delay, 0 to 1")
        check_which("Retry", self.on)
        if self.accept is not None:
            form = "a function of the value: accept=lambda value: value is not None"
            check_sync(lambda: f"Retry(accept={short_repr(self.accept)})", self.accept, form)

    def wants(self, error: Exception) -> bool:
        """Tell whether `error` is worth another attempt."""
        if isinstance(error, CircuitOpenError) and not self._names_open_circuits():
            return False
        return all_are(self.on, error)

    def _names_open_circuits(self) -> bool:
        types = types_in(self.on)
        return types is None or any(issubclass(one, CircuitOpenError) for one in types)  # a function decides for itself

    def delay_after(self, attempt: int, error: Exception | None = None) -> float:
        """Return the seconds to wait after attempt number `attempt` (the first is 1), which raised `error`.

        Raises:
          ConfigError: the `delay` function did not return seconds.
        """
        base = 0.0
        if callable(self.delay):
            asked = answered(self.delay, error, attempt)
            if asked is not None:
                check_seconds("what Retry(delay=…) returns", asked)
                return min(asked, self.max_delay)
        else:
            base = self.delay
        if self.backoff == "linear":
            delay = base * attempt
        elif self.backoff == "exponential":
            delay = base * 2.0 ** min(attempt - 1, 1023)
        else:
            delay = base
        delay = min(delay, self.max_delay)
        return delay * (1 - self.jitter * random.random()) if self.jitter else delay  # noqa: S311
