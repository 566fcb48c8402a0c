"""What became of the paths in one run of a fork: bookkeeping without decisions."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from itertools import repeat
from operator import is_
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, final, overload

from trio_steps._core.errors import NotAcceptedError, StepTimeoutError, short_name
from trio_steps._core.public import public
from trio_steps._core.results import ForkPartialError, Fulfilled, PathCancelledError, Rejected, all_fulfilled

from .paths import MANY, PathNames

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from trio_steps._core.results import SettleResult

    Named = tuple[str, Any]
    """A value or an error, and the full name of the path that it came from."""
    Discard = Callable[[list[Named]], Awaitable[None]]

T = TypeVar("T")


@final
class Missing(Enum):
    """The type of `MISSING`, which stands in `Ledger.values` for a path without a value."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "<missing>"


MISSING: Final = Missing.MISSING


@public
class Ledger(Generic[T]):
    """The paths of one run: their names, the values and errors that count, and those that came too late.

    A mode that gets the ledger can leave the values there and need not keep a second copy.

    Attributes:
      fork_id: the id of the fork.
      name: the full name of the fork.
      names: the ids of the paths so far, by index.
      values: the values by index, with a marker for each missing one; may be shorter than `names`. `in_order` leaves
        the markers out.
      errors: the errors by index, including those that came after the decision; empty once the run is over.
      late_values: values by index that came after the decision.
      late_errors: indexes of errors that came after the decision.
      started: how many paths were started. They start in order.
      closed: the fork will raise. Whatever is still here is in its error, or about to be discarded.
      reason: why the paths that are not done were stopped.
      timeout: the seconds that the fork had, after they have passed; otherwise None.
      discard: called with the values of an error that no one receives, and the full names of their paths; or None.
    """

    __slots__ = (
        "closed",
        "discard",
        "errors",
        "fork_id",
        "late_errors",
        "late_values",
        "name",
        "names",
        "own_errors",
        "reason",
        "started",
        "timeout",
        "values",
    )

    def __init__(self, fork_id: str = "fork", name: str | None = None) -> None:
        self.fork_id: str = fork_id
        self.name: str = fork_id if name is None else name
        self.names: PathNames | list[str] = []
        self.values: list[T | Missing] = []
        self.errors: dict[int, Exception] = {}
        self.late_values: dict[int, T] = {}
        self.late_errors: set[int] = set()
        self.own_errors: list[Exception] = []
        self.started: int = 0
        self.closed: bool = False
        self.reason: str = "the fork ended"
        self.timeout: float | None = None
        self.discard: Discard | None = None

    def expect(self, names: PathNames | list[str]) -> None:
        """Expect one path for each of `names`."""
        self.names = names
        self.values = [MISSING] * len(names)

    def put(self, index: int, value: T) -> None:
        """Enter the value of path `index`."""
        values = self.values
        missing = index - len(values)
        if missing < 0:
            values[index] = value
        else:
            if missing:
                values.extend([MISSING] * missing)
            values.append(value)

    def forget_errors(self) -> None:
        """Drop the errors at the end of the run. Kept, they would form a reference cycle through their tracebacks."""
        self.errors = {}
        self.own_errors = []

    def kept(self) -> Iterator[tuple[int, T]]:
        """Yield the values that count, with their indexes, in path order."""
        return ((index, value) for index, value in enumerate(self.values) if value is not MISSING)

    def in_order(self) -> list[T]:
        """Return the values that count, in path order."""
        return [value for value in self.values if value is not MISSING]

    def has_succeeded(self, index: object) -> bool:
        """Tell whether path `index` has a value that counts."""
        values = self.values
        return isinstance(index, int) and 0 <= index < len(values) and values[index] is not MISSING

    def full_name(self, index: int) -> str:
        """Return the full name of path `index`."""
        return f"{self.name}/{self.names[index]}"

    def settled(self) -> list[SettleResult[T]]:
        """Return a result for every path. A path that has not ended is rejected, as it ran out of time."""
        values = self.values
        if len(values) < len(self.names):
            values = [*values, *[MISSING] * (len(self.names) - len(values))]
        if not any(map(is_, values, repeat(MISSING))):
            return all_fulfilled(self.names, cast("list[T]", values))
        return [
            self._rejected_or_late(index) if value is MISSING else Fulfilled(name, value)
            for index, (name, value) in enumerate(zip(self.names, values, strict=True))
        ]

    def partial(self, *own: Exception) -> ForkPartialError[Exception]:
        """Return the error for a fork that failed. `own` errors of the fork come last in it."""
        errors = self.errors
        total = len(self.names)
        own_errors = (*self.own_errors, *own)
        failures = [errors[index] for index in sorted(errors)]
        begun = total if total - self.started <= MANY else self.started  # other results are made on demand
        failed: Sequence[Rejected] = tuple(
            self._rejected(index) for index in range(begun) if not self._has_value(index)
        )
        succeeded = tuple(self._succeeded(begun))
        if begun != total:
            failed = NotStarted(failed, self.names, begun, self.name, self.reason)
        what = f"{len(failures)} of {total} paths failed" if failures else "no path failed, but the fork did"
        partial = ForkPartialError(f"fork {short_name(self.name)!r}: {what}", [*failures, *own_errors])
        partial.step_id, partial.succeeded, partial.failed = self.fork_id, succeeded, failed
        return self._own(partial)

    def _own(self, partial: ForkPartialError[Exception]) -> ForkPartialError[Exception]:
        """Let `partial` dispose of the values that it holds, if no one receives it."""
        if self.discard is not None:
            held: list[Named] = [(f"{self.name}/{result.step_id}", result.value) for result in partial.succeeded]
            for index, error in sorted(self.errors.items()):
                if isinstance(error, NotAcceptedError):
                    held.append((self.full_name(index), error.value))
            partial.discard_values = _Held(self, self.discard, held)
        return partial

    def is_own(self, error: BaseException) -> bool:
        """Tell whether this ledger made `error`, which then holds the results of the paths."""
        if not isinstance(error, ForkPartialError):
            return False
        held: object = getattr(cast("Any", error), "discard_values", None)
        return isinstance(held, _Held) and held.ledger is self

    def _has_value(self, index: int) -> bool:
        if self.timeout is None and index in self.late_values:
            return True
        return index < len(self.values) and self.values[index] is not MISSING

    def _succeeded(self, begun: int) -> Iterator[Fulfilled[object]]:
        for index in range(begun):
            if self._has_value(index):
                value: Any = self.values[index] if index not in self.late_values else self.late_values[index]
                yield Fulfilled(self.names[index], value)

    def _rejected(self, index: int) -> Rejected:
        error = self.errors.get(index)
        if error is None:
            error = PathCancelledError(self.full_name(index), self.reason, index < self.started)
        return Rejected(self.names[index], error)

    def _rejected_or_late(self, index: int) -> Rejected:
        if self.timeout is not None and (index not in self.errors or index in self.late_errors):
            return Rejected(self.names[index], StepTimeoutError(self.full_name(index), self.timeout))
        return self._rejected(index)


@final
class NotStarted(Sequence[Rejected]):
    """``failed`` of a fork with thousands of paths that never started. Their results are made on demand."""

    __slots__ = ("_begun", "_first", "_name", "_names", "_reason")

    def __init__(
        self, first: Sequence[Rejected], names: PathNames | list[str], begun: int, name: str, reason: str
    ) -> None:
        """Hold the results of the `first` paths, of which `begun` were started, and the data of all others."""
        self._first = first
        self._names = names
        self._begun = begun
        self._name = name
        self._reason = reason

    def __len__(self) -> int:
        return len(self._first) + len(self._names) - self._begun

    @overload
    def __getitem__(self, index: int) -> Rejected: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Rejected, ...]: ...
    def __getitem__(self, index: int | slice) -> Rejected | tuple[Rejected, ...]:
        where = range(len(self))[index]
        return self._at(where) if isinstance(where, int) else tuple(map(self._at, where))

    def __iter__(self) -> Iterator[Rejected]:
        return map(self._at, range(len(self)))

    def _at(self, position: int) -> Rejected:
        if position < len(self._first):
            return self._first[position]
        id = self._names[position - len(self._first) + self._begun]
        return Rejected(id, PathCancelledError(f"{self._name}/{id}", self._reason, started=False))

    def __repr__(self) -> str:
        return f"<{len(self)} paths, of which {len(self) - len(self._first)} were not started>"

    def __reduce__(self) -> tuple[type[tuple[Rejected, ...]], tuple[list[Rejected]]]:
        return tuple, (list(self),)  # another process gets a plain tuple


@final
class _Held:
    """Disposes, once, of the values in an error of a fork that no one receives."""

    __slots__ = ("_discard", "_values", "ledger")

    def __init__(self, ledger: Ledger[Any], discard: Discard, values: list[Named]) -> None:
        self.ledger = ledger
        self._discard = discard
        self._values = values

    def __call__(self) -> Awaitable[None]:
        values, self._values = self._values, []
        return self._discard(values)
