"""`CircuitBreaker`: stop calling a service that keeps failing, and probe now and then whether it works again.

Problem: calls overlap. Decide from how they end whether to make the next call.

Naive answer: count failures, open at the threshold, close at a success. Then a call from before the outage closes the
breaker when it ends. A race that is won opens it, because the losers raise in their clean-up. A 404 opens it, although
the service is fine.

What is done instead.

- Each call is let in with a `Ticket` of the era it began in. An era ends when the breaker opens, and when a probe
  begins. The end of a call from an earlier era changes nothing.
- The caller says what the end of a call means: a success, a failure, or nothing at all (it was cancelled from outside).
  Only the ticket of a probe gives the probe back.
- A step that runs inside a probe and has the same breaker is part of the probe. It is let in without a ticket.
- The state lasts for one Trio run: see `per_run`.

What is deliberately not done: a rate of failures over a window of time. Failures in a row need no tuning.
"""

from __future__ import annotations

from math import inf, nextafter
from typing import TYPE_CHECKING, Literal, final

import attrs
import trio

from trio_steps._core.checks import any_is, check_count, check_seconds, check_which
from trio_steps._core.errors import CircuitOpenError, ConfigError, short_repr
from trio_steps._core.public import public

from .per_run import PerRun

if TYPE_CHECKING:
    from trio_steps._core.checks import Which
    from trio_steps._core.scope import Scope


@final
@attrs.define(eq=False, repr=False)
class _State:
    """The state of a breaker in one run."""

    failures: int = 0
    open_until: float | None = None  # None: closed
    probe: Ticket | None = None
    era: int = 0


_states: PerRun[_State] = PerRun("breakers", _State)


@final
@attrs.frozen(eq=False, repr=False)
class Ticket:
    """What a call gets when it is let in."""

    state: _State
    era: int


@public
@final
class CircuitBreaker:
    """Refuses attempts at something that keeps failing, and probes now and then whether it works again.

    While it is closed, it lets every attempt through and counts failures in a row; `failure_threshold` of them open it.
    While it is open, it refuses attempts for `cooldown` seconds of ``trio.current_time()``. Then it is half open: it
    lets one attempt through as a probe. Success closes it, failure opens it again.

    An attempt that the step's own ``timeout`` or ``total_timeout`` ended is a failure. One that was cancelled from
    outside does not count, whatever it raises: when a race is won, that says nothing about the services of the losers.

    Steps that are given the same breaker share its state. The state lasts for one Trio run. In another ``trio.run``,
    the breaker starts closed.

    Args:
      failure_threshold: the number of failures in a row that opens it, 1 or more.
      cooldown: seconds for which it stays open.
      on_open: what a step does when it is refused: ``"raise"`` a `CircuitOpenError`, or ``"skip"`` the work and return
        None. In a fork, both are a failed path.
      on: which errors are the service's fault: exception type(s), or a function of the error. By default, all are. An
        exception group counts if it matches itself, or if any error in it does. Every other error, such as a "not
        found", shows that the service answers, and counts as a success.

    Raises:
      ConfigError: an argument is not valid.
    """

    __slots__ = ("__weakref__", "cooldown", "failure_threshold", "on", "on_open")

    def __init__(
        self,
        failure_threshold: int,
        cooldown: float,
        *,
        on_open: Literal["raise", "skip"] = "raise",
        on: Which = Exception,
    ) -> None:
        what = f"CircuitBreaker(failure_threshold={short_repr(failure_threshold)})"
        check_count(what, failure_threshold, form="1 or more failures: CircuitBreaker(5, cooldown=30)")
        check_seconds("CircuitBreaker(cooldown=…)", cooldown)
        if on_open not in ("raise", "skip"):
            raise ConfigError(f'CircuitBreaker(on_open={short_repr(on_open)}): use "raise" or "skip"')
        check_which("CircuitBreaker", on)
        self.failure_threshold: int = failure_threshold
        self.cooldown: float = cooldown
        self.on_open: Literal["raise", "skip"] = on_open
        self.on: Which = on

    def __repr__(self) -> str:
        return (
            f"CircuitBreaker(failure_threshold={self.failure_threshold}, cooldown={self.cooldown}, "
            f"on_open={self.on_open!r}, state={self.state!r})"
        )

    @property
    def state(self) -> Literal["closed", "open"]:
        """``"closed"``, or ``"open"`` from the failure that opened it until a probe succeeds."""
        state = _states.known(self)
        return "closed" if state is None or state.open_until is None else "open"

    def enter(self, scope: Scope) -> Ticket | None:
        """Let an attempt of the step in `scope` through; return None if it is part of a probe.

        Raises:
          CircuitOpenError: the attempt must not be made.
        """
        state = _states.of(self)
        if state.open_until is None:
            return Ticket(state, state.era)
        if state.probe is not None and _is_inside(scope, state.probe):
            return None
        now = trio.current_time()
        if state.probe is not None or now < state.open_until:
            raise CircuitOpenError(scope.name, _seconds_until(state.open_until, now), skip=self.on_open == "skip")
        state.era += 1
        state.probe = Ticket(state, state.era)
        return state.probe

    def leave(self, ticket: Ticket, success: bool | None) -> Literal["closed", "open"] | None:
        """Record the end of an attempt, and return the new state if it changed. None as `success` changes nothing."""
        state = ticket.state
        if ticket.era != state.era:
            return None  # it began before the breaker opened, and says nothing about the present
        is_probe = ticket is state.probe
        if is_probe:
            state.probe = None
        if success is None:
            return None
        if success:
            state.failures = 0
            if state.open_until is None:
                return None
            state.open_until = None
            return "closed"
        state.failures += 1
        if not is_probe and state.failures < self.failure_threshold:
            return None
        state.open_until = trio.current_time() + self.cooldown
        state.era += 1
        return "open"

    def blames(self, error: Exception) -> bool:
        """Tell whether `error` is the service's fault."""
        return any_is(self.on, error)


def _is_inside(scope: Scope, probe: Ticket) -> bool:
    """Tell whether the step in `scope` runs inside `probe`."""
    around: Scope | None = scope
    while around is not None:
        if any(one is probe for one in around.probes):
            return True
        around = around.parent
    return False


def _seconds_until(moment: float, now: float) -> float:
    """Return how long to sleep from `now` to reach `moment`. Rounding never makes the sleep end just before it."""
    seconds = max(moment - now, 0.0)
    while now + seconds < moment:
        seconds = nextafter(seconds, inf)
    return seconds
