"""The result of a path, `Fulfilled` or `Rejected`, and `ForkPartialError`, the error of a fork that holds results."""

from __future__ import annotations

from collections import deque
from itertools import repeat
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeAlias, TypeVar, cast, final

import attrs
import trio
from outcome import Error, Value

from .errors import NotAcceptedError, short_name, short_repr
from .public import public

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from typing_extensions import TypeVar as TypeVarWithDefault

Kind: TypeAlias = Literal["step_failed", "timed_out", "cancelled", "fork_partial", "not_accepted"]
"""The kind of a failure: see `kind_of`."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
if TYPE_CHECKING:
    # With the default, `except ForkPartialError` catches a group of Exceptions, not of an unknown type.
    ExceptionT_co = TypeVarWithDefault("ExceptionT_co", bound=Exception, covariant=True, default=Exception)
else:
    ExceptionT_co = TypeVar("ExceptionT_co", bound=Exception, covariant=True)
NewExceptionT = TypeVar("NewExceptionT", bound=Exception)


@public
@final
@attrs.frozen
class Fulfilled(Generic[T_co]):
    """A path that returned `value`.

    Attributes:
      step_id: the id of the path, without that of the fork.
      value: what it returned.
    """

    step_id: str
    value: T_co
    _outcome: Value[T_co] = attrs.field(init=False, eq=False, repr=False)  # unset until first used

    def __init__(self, step_id: str, value: T_co) -> None:  # half the cost of the one that attrs would write
        _set_step_id(self, step_id)
        _set_value(self, value)

    @staticmethod
    def from_outcome(step_id: str, outcome: Value[T]) -> Fulfilled[T]:
        """Make the result of the path `step_id` from its captured outcome."""
        result = Fulfilled(step_id, outcome.value)
        object.__setattr__(result, "_outcome", outcome)
        return result

    @property
    def outcome(self) -> Value[T_co]:
        """The result as an ``outcome.Value``.

        It is made on first use, because few are used, and stays the same object. It can be unwrapped only once; the
        result itself can be unwrapped any number of times.
        """
        try:
            return self._outcome
        except AttributeError:
            object.__setattr__(self, "_outcome", Value(self.value))
            return self._outcome

    def __reduce__(self) -> tuple[type[Fulfilled[T_co]], tuple[str, T_co]]:
        return Fulfilled, (self.step_id, self.value)

    @property
    def status(self) -> Literal["fulfilled"]:
        """``"fulfilled"``, which narrows a `SettleResult`."""
        return "fulfilled"

    @property
    def error(self) -> None:
        """Always None. A `Rejected` has an error here."""
        return None

    @property
    def kind(self) -> None:
        """Always None. A `Rejected` has the kind of its failure here."""
        return None

    def unwrap(self) -> T_co:
        """Return the value."""
        return self.value


_set_step_id: Callable[[object, str], None] = cast("Any", Fulfilled).step_id.__set__
_set_value: Callable[[object, object], None] = cast("Any", Fulfilled).value.__set__


def all_fulfilled(step_ids: Iterable[str], values: Sequence[T]) -> list[SettleResult[T]]:
    """Make a `Fulfilled` for each id and value, attribute by attribute, which saves a call for each of them."""
    made: list[Any] = list(map(object.__new__, repeat(Fulfilled, len(values))))
    deque(map(_set_step_id, made, step_ids), maxlen=0)
    deque(map(_set_value, made, values), maxlen=0)
    return made


@public
@final
@attrs.frozen
class Rejected:
    """A path that raised `error`, was cancelled, or ran out of time.

    Attributes:
      step_id: the id of the path, without that of the fork.
      error: the exception that it raised, not wrapped. If the path was stopped, a `PathCancelledError` or
        `StepTimeoutError`.

    Raises:
      TypeError: `error` is not an `Exception`: a cancellation or an interrupt is not a result.
    """

    step_id: str
    error: Exception
    _outcome: Error = attrs.field(init=False, eq=False, repr=False)  # unset until first used

    def __init__(self, step_id: str, error: Exception) -> None:
        if not isinstance(cast("object", error), Exception):
            raise TypeError(f"{short_repr(error)} is not an Exception, so it can't be a result: let it propagate")
        object.__setattr__(self, "step_id", step_id)
        object.__setattr__(self, "error", error)

    @staticmethod
    def from_outcome(step_id: str, outcome: Error) -> Rejected:
        """Make the result of the path `step_id` from its captured outcome.

        Raises:
          TypeError: `outcome` holds no `Exception`.
        """
        result = Rejected(step_id, cast("Exception", outcome.error))
        object.__setattr__(result, "_outcome", outcome)
        return result

    @property
    def outcome(self) -> Error:
        """The result as an ``outcome.Error``. Like that of a `Fulfilled`, it can be unwrapped only once."""
        try:
            return self._outcome
        except AttributeError:
            object.__setattr__(self, "_outcome", Error(self.error))
            return self._outcome

    def __reduce__(self) -> tuple[type[Rejected], tuple[str, Exception]]:
        return Rejected, (self.step_id, self.error)

    @property
    def status(self) -> Literal["rejected"]:
        """``"rejected"``, which narrows a `SettleResult`."""
        return "rejected"

    @property
    def value(self) -> None:
        """Always None. A `Fulfilled` has a value here."""
        return None

    @property
    def kind(self) -> Kind:
        """One of ``step_failed``, ``timed_out``, ``cancelled``, ``fork_partial`` and ``not_accepted``."""
        return kind_of(self.error)

    def unwrap(self) -> NoReturn:
        """Raise the error, each time it is called."""
        raise self.error


SettleResult: TypeAlias = Fulfilled[T] | Rejected
"""The result of one path of a ``settle``; ``status``, ``isinstance`` and ``match`` distinguish the two."""


@public
class NoPathsError(Exception):
    """A race or quorum had no paths, or a quorum had fewer than it needs, so there can be no result."""


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
        return f"{short_name(self.step)!r} {verb}: {self.reason}"


@public
class ForkPartialError(ExceptionGroup[ExceptionT_co]):
    """Some paths of a fork failed, so the fork failed.

    It is an `ExceptionGroup`. First come the real failures, in path order, and then what went wrong with the fork
    itself (its deadline, its source of paths). A path's own exception group is one member, not flattened. Siblings that
    were cancelled are in `failed` only.

    Attributes:
      step_id: the id of the fork.
      succeeded: a `Fulfilled` for each path that returned a value.
      failed: a `Rejected` for each other path, in path order; the error of a path that was cancelled is a
        `PathCancelledError`. It is a lazy sequence, because thousands of paths may never have started.
    """

    # a slot, because `__dict__` is copied and pickled
    __slots__ = ("discard_values",)

    kind: Literal["fork_partial"] = "fork_partial"
    discard_values: Callable[[], Awaitable[None]]  # passes its values to the fork's `dispose`; a copy lacks it
    step_id: str = ""
    succeeded: tuple[Fulfilled[object], ...] = ()
    failed: Sequence[Rejected] = ()

    def derive(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self, excs: Sequence[NewExceptionT], /
    ) -> ForkPartialError[NewExceptionT]:
        """Return a group of `excs` with the class and fields of this one. `split` and cancel scopes call it."""
        derived = ForkPartialError(self.message, excs)
        derived.step_id, derived.succeeded, derived.failed = self.step_id, self.succeeded, self.failed
        discard = getattr(self, "discard_values", None)
        if discard is not None:
            derived.discard_values = discard
        return derived


def kind_of(error: BaseException) -> Kind:
    """Classify `error`. Every `trio.TooSlowError` is a timeout."""
    if isinstance(error, trio.TooSlowError):
        return "timed_out"
    if isinstance(error, PathCancelledError):
        return "cancelled"
    if isinstance(error, NotAcceptedError):
        return "not_accepted"
    if isinstance(error, ForkPartialError):
        return "fork_partial"
    return "step_failed"
