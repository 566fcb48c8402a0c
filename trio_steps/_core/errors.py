"""Every exception that trio_steps raises on its own account.

An exception of the user's is never wrapped: it keeps its type and traceback, and gets a note with the full
name of the step it came out of.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

import trio

from .public import public

if sys.version_info < (3, 11):  # trio itself depends on this backport
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from typing_extensions import TypeVar as TypeVarWithDefault

    from .results import Fulfilled, Rejected

Kind: TypeAlias = Literal["step_failed", "timed_out", "cancelled", "fork_partial"]
"""What a failure was: see `kind_of`."""

if TYPE_CHECKING:
    # the default makes an `except ForkPartialError` one of Exceptions, and not of something unknown
    ExceptionT_co = TypeVarWithDefault("ExceptionT_co", bound=Exception, covariant=True, default=Exception)
else:
    ExceptionT_co = TypeVar("ExceptionT_co", bound=Exception, covariant=True)
NewExceptionT = TypeVar("NewExceptionT", bound=Exception)


@public
class ConfigError(ValueError):
    """Something can't work as it is written. Raised when it is built, where that can be seen then.

    It is a `ValueError`.
    """


@public
class StepTimeoutError(trio.TooSlowError):
    """A step, or a whole fork, was not done in time. Its work has stopped by the time this is raised.

    It is a `trio.TooSlowError`.

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


@public
class CircuitOpenError(Exception):
    """A step was not tried, because its circuit breaker is open.

    Attributes:
      step: the full name of the step.
      retry_after: seconds until the breaker lets a probe through; 0 while a probe is under way.
      skip: the breaker has ``on_open="skip"``: a step that is called by itself returns None instead.
    """

    def __init__(self, step: str, retry_after: float, skip: bool = False) -> None:
        super().__init__(step, retry_after, skip)
        self.step = step
        self.retry_after = retry_after
        self.skip = skip

    def __str__(self) -> str:
        when = f"next probe in {self.retry_after:g} s" if self.retry_after else "a probe is under way"
        return f"circuit breaker of {self.step!r} is open; {when}"


@public
class NoPathsError(Exception):
    """A race or a quorum had no paths, or a quorum fewer than it needs: it can't have a result."""


@public
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


@public
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

    def derive(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self, excs: Sequence[NewExceptionT], /
    ) -> ForkPartialError[NewExceptionT]:
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
    """Add `note` (PEP 678) to `error`, once, unless `error` is frozen; Python 3.10 has no ``add_note`` of its own."""
    notes: list[str] = getattr(error, "__notes__", [])
    if note not in notes:
        with suppress(AttributeError, TypeError):
            cast("Any", error).__notes__ = [*notes, note]


def name_step(error: BaseException, name: str) -> None:
    """Note that `error` came out of the step `name`, unless a step inside that one already said so."""
    inside = f"in step '{name}/"
    if not any(note.startswith(inside) for note in getattr(error, "__notes__", ())):
        add_note(error, f"in step '{name}'")


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in `error` that are not groups; `error` itself if it is none."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from leaves(inner)
    else:
        yield error


@public
class KeyCollisionError(Exception):
    """Two sources gave the same key to a context, and ``merge_policy="error"`` allows one.

    Attributes:
      key: the key.
      step: the full name of the step whose outputs were merged.
      sources: where the value that was there first came from, and the one that collided with it.
    """

    def __init__(self, key: str, step: str, sources: tuple[str, str]) -> None:
        super().__init__(key, step, sources)
        self.key = key
        self.step = step
        self.sources = sources

    def __str__(self) -> str:
        first, second = self.sources
        return (
            f"{self.step!r} can't merge the key {self.key!r}: {first!r} gave it and so did {second!r}; "
            'rename one, or use merge_policy="override", "warn" or "skip"'
        )


@public
class StepInputError(Exception):
    """A step needs a key that the context doesn't have when it runs. It is never retried.

    Attributes:
      step: the full name of the step.
      key: the key it needs.
      available: the keys that there are.
    """

    def __init__(self, step: str, key: str, available: Iterable[str]) -> None:
        available = tuple(available)
        super().__init__(step, key, available)
        self.step = step
        self.key = key
        self.available = available

    def __str__(self) -> str:
        close = get_close_matches(self.key, self.available, 1)
        return (
            f"{self.step!r} needs {self.key!r}, which the context does not have"
            + (f" (did you mean {close[0]!r}?)" if close else "")
            + (f"; there is {listed(self.available)}. " if self.available else "; the context is empty. ")
            + (
                f"The whole context goes to a positional-only parameter: lambda {self.key}, /: …"
                if self.key in WHOLE
                else "A parameter with a default may be missing"
            )
        )


@public
class StepOutputError(TypeError):
    """A step returned something that can't be merged into a context.

    Attributes:
      step: the full name of the step.
      problem: what it returned, in words.
    """

    def __init__(self, step: str, problem: str) -> None:
        super().__init__(step, problem)
        self.step = step
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.step!r} {self.problem}"


@public
class CheckpointError(ValueError):
    """A checkpoint can't be written, read or resumed from.

    Attributes:
      problem: what is wrong, in words.
      step: the full name of the step it is about, if it is about one.
      key: the key of the context it is about, if it is about one.
    """

    def __init__(self, problem: str, step: str | None = None, key: str | None = None) -> None:
        super().__init__(problem, step, key)
        self.problem = problem
        self.step = step
        self.key = key

    def __str__(self) -> str:
        where = [f"{what} {name!r}" for what, name in (("step", self.step), ("key", self.key)) if name is not None]
        return f"{', '.join(where)}: {self.problem}" if where else self.problem


WHOLE = ("ctx", "context")
"""What people call a parameter that they expect the whole context in."""

_LISTED = 20


def listed(names: Iterable[str]) -> str:
    """Return `names` for a message, not more of them than a person would read."""
    names = list(names)
    shown = ", ".join(map(repr, names[:_LISTED])) or "nothing"
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"
