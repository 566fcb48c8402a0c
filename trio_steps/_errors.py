"""Every exception that trio_steps raises on its own account.

An exception of the user's is never wrapped: it keeps its type and traceback, and gets a note with the full
name of the step it came out of.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import trio

if sys.version_info < (3, 11):  # trio itself depends on this backport
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._results import Fulfilled, Rejected

Kind: TypeAlias = Literal["step_failed", "timed_out", "cancelled", "fork_partial"]
"""What a failure was: see `kind_of`."""

ExceptionT_co = TypeVar("ExceptionT_co", bound=Exception, covariant=True)
NewExceptionT = TypeVar("NewExceptionT", bound=Exception)


class ConfigError(ValueError):
    """Something can't work as it is written. Raised when it is built, where that can be seen then."""


class StepTimeoutError(trio.TooSlowError):
    """A step, or a whole fork, was not done in time. Its work has stopped by the time this is raised.

    Attributes:
      step: the full name of what was too slow.
      seconds: the time it had.
    """

    kind: Literal["timed_out"] = "timed_out"

    def __init__(self, step: str, seconds: float) -> None:
        super().__init__(step, seconds)
        self.step = step
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{self.step!r} timed out after {self.seconds:g} s"


class CircuitOpenError(Exception):
    """A step was not tried, because its circuit breaker is open.

    Attributes:
      step: the full name of the step.
      retry_after: seconds until the breaker lets a probe through; 0 while a probe is under way.
    """

    def __init__(self, step: str, retry_after: float) -> None:
        super().__init__(step, retry_after)
        self.step = step
        self.retry_after = retry_after

    def __str__(self) -> str:
        when = f"next probe in {self.retry_after:g} s" if self.retry_after else "a probe is under way"
        return f"circuit breaker of {self.step!r} is open; {when}"


class NoPathsError(Exception):
    """A race or a quorum had no paths, or a quorum fewer than it needs: it can't have a result."""


class PathCancelledError(Exception):
    """Stands in ``ForkPartialError.failed`` for a path that the fork cancelled.

    A path's own failure is never replaced by this one.

    Attributes:
      step: the full name of the path.
      reason: why the fork cancelled it.
      started: False for a path that was still queued.
    """

    kind: Literal["cancelled"] = "cancelled"

    def __init__(self, step: str, reason: str, started: bool) -> None:
        super().__init__(step, reason, started)
        self.step = step
        self.reason = reason
        self.started = started

    def __str__(self) -> str:
        verb = "was cancelled" if self.started else "was not started"
        return f"{self.step!r} {verb}: {self.reason}"


class ForkPartialError(ExceptionGroup[ExceptionT_co]):
    """Some paths of a fork failed, and with them the fork.

    It is an `ExceptionGroup` of the real failures in path order, then of what went wrong with the fork
    itself (its deadline, its source of paths). A path's own exception group is one member, not flattened.
    Cancelled siblings stand in `failed` only.

    Attributes:
      step_id: the id of the fork.
      succeeded: a `Fulfilled` for each path that returned a value.
      failed: a `Rejected` for each other path, in path order; for one that was cancelled, its error is a
        `PathCancelledError`.
    """

    kind: Literal["fork_partial"] = "fork_partial"
    step_id: str = ""
    succeeded: tuple[Fulfilled[object], ...] = ()
    failed: tuple[Rejected, ...] = ()

    def derive(self, excs: Sequence[NewExceptionT], /) -> ForkPartialError[NewExceptionT]:  # type: ignore[override]
        """Return a group of `excs` with this one's class and fields; `split` and cancel scopes call this."""
        derived = ForkPartialError(self.message, excs)
        derived.step_id, derived.succeeded, derived.failed = self.step_id, self.succeeded, self.failed
        return derived


def kind_of(error: BaseException) -> Kind:
    """Classify `error`: a timeout (any `trio.TooSlowError`), a cancelled path, a partial fork, or a failure."""
    if isinstance(error, trio.TooSlowError):
        return "timed_out"
    if isinstance(error, PathCancelledError):
        return "cancelled"
    if isinstance(error, ForkPartialError):
        return "fork_partial"
    return "step_failed"


def add_note(error: BaseException, note: str) -> None:
    """Add `note` (PEP 678) to `error`, once; Python 3.10 has no ``add_note`` of its own."""
    notes: list[str] = getattr(error, "__notes__", [])
    if note not in notes:
        error.__notes__ = [*notes, note]


def name_step(error: BaseException, name: str) -> None:
    """Note that `error` came out of the step `name`, unless a step inside that one already said so."""
    inside = f"in step '{name}/"
    if not any(note.startswith(inside) for note in getattr(error, "__notes__", ())):
        add_note(error, f"in step {name!r}")


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in `error` that are not groups; `error` itself if it is none."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
