"""What became of a path: `Fulfilled` or `Rejected`."""

from __future__ import annotations

from collections import deque
from itertools import repeat
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeAlias, TypeVar, cast, final

import attrs
import outcome

from .errors import kind_of
from .public import public

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .errors import Kind

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


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

    def __init__(self, step_id: str, value: T_co) -> None:  # half the price of the one that attrs would write
        _set_step_id(self, step_id)
        _set_value(self, value)

    @property
    def status(self) -> Literal["fulfilled"]:
        """``"fulfilled"``, which narrows a `SettleResult`."""
        return "fulfilled"

    @property
    def error(self) -> None:
        """None, for there is no error."""
        return None

    @property
    def outcome(self) -> outcome.Value[T_co]:
        """The path's outcome, a new object each time, for an outcome can be unwrapped only once."""
        return outcome.Value(self.value)

    def unwrap(self) -> T_co:
        """Return the value."""
        return self.value


_set_step_id: Callable[[object, str], None] = cast("Any", Fulfilled).step_id.__set__
_set_value: Callable[[object, object], None] = cast("Any", Fulfilled).value.__set__


def all_fulfilled(step_ids: Iterable[str], values: Sequence[T]) -> list[SettleResult[T]]:
    """Make a `Fulfilled` of each step's id and value, column by column: that spares a call for each."""
    made: list[Any] = list(map(object.__new__, repeat(Fulfilled, len(values))))
    deque(map(_set_step_id, made, step_ids), maxlen=0)
    deque(map(_set_value, made, values), maxlen=0)
    return made


@public
@final
@attrs.frozen
class Rejected:
    """A path that raised `error`, was cancelled, or was not done in time.

    Attributes:
      step_id: the id of the path, without that of the fork.
      error: the very exception that it raised, not wrapped; a `PathCancelledError` or `StepTimeoutError` stands for one
        that was stopped.
    """

    step_id: str
    error: Exception

    @property
    def status(self) -> Literal["rejected"]:
        """``"rejected"``, which narrows a `SettleResult`."""
        return "rejected"

    @property
    def value(self) -> None:
        """None, for there is no value."""
        return None

    @property
    def kind(self) -> Kind:
        """What the failure was, which is ``step_failed``, ``timed_out``, ``cancelled`` or ``fork_partial``."""
        return kind_of(self.error)

    @property
    def outcome(self) -> outcome.Error:
        """The path's outcome, a new object each time, for an outcome can be unwrapped only once."""
        return outcome.Error(self.error)

    def unwrap(self) -> NoReturn:
        """Raise the error, each time it is called."""
        raise self.error


SettleResult: TypeAlias = Fulfilled[T] | Rejected
"""The result of one path of a ``settle``; ``status``, ``isinstance`` and ``match`` tell them apart."""
