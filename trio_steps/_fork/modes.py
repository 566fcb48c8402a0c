"""How a fork decides: race, all, settle, quorum. Pure and synchronous.

The engine tells a mode what happens, in the order in which it happens. Each call returns whether the fork is decided.
After the decision, the mode is told nothing more. When every path has ended, decided or not, the engine asks for the
result.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, final

from trio_steps._core.describe import close_unawaited
from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._core.public import public
from trio_steps._core.results import NoPathsError

from .ledger import MISSING

if TYPE_CHECKING:
    from trio_steps._core.results import SettleResult

    from .ledger import Ledger

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@public
class Mode(Protocol[T_contra, R_co]):
    """Decides one run of a fork. Each method except `result` returns True if its call decides the fork.

    If no call does, the fork ends when every path has ended.

    No method may be async: a mode is told what has happened, and answers at once.

    Three attributes are optional:

    - ``winner``: the index of a path that succeeded and whose state the scope of the fork takes over. None, or no such
      attribute: the fork takes over no state.
    - ``kept``: the indexes of the paths whose values, or errors, `result` holds. Every other value is given to
      ``dispose`` or reported. None, or no such attribute: `result` holds them all.
    - ``settles_deadline``: True if `result` can be called after the timeout of the fork has fired without a decision.
      Otherwise a timeout is a `ForkPartialError`.
    """

    def succeeded(self, index: int, value: T_contra, /) -> bool:
        """Path `index` returned `value`."""
        ...

    def failed(self, index: int, error: Exception, /) -> bool:
        """Path `index` raised `error`."""
        ...

    def exhausted(self, total: int, /) -> bool:
        """There are `total` paths and no more will come. Some may still be running.

        It is called once: before the first path starts if the number of paths is known, and otherwise when the source
        of paths has run out.
        """
        ...

    def result(self) -> R_co:
        """Return the fork's result, or raise its error."""
        ...


ModeFactory: TypeAlias = Callable[[], Mode[T, R_co]] | Callable[["Ledger[T]"], Mode[T, R_co]]
"""Makes a mode for one run. A factory that requires an argument gets the run's `Ledger`."""


class _Patient(Generic[T]):
    """Lets every path end. The four modes differ in what makes them stop earlier.

    Attributes:
      minds_values: whether a value may decide. Otherwise `succeeded` need not be called.
    """

    minds_values = False

    def __init__(self, ledger: Ledger[T]) -> None:
        self._ledger = ledger

    def succeeded(self, _index: int, _value: T, /) -> bool:
        return False

    def failed(self, _index: int, _error: Exception, /) -> bool:
        return False

    def exhausted(self, _total: int, /) -> bool:
        return False


@final
class Race(_Patient[T]):
    """The first path that succeeds decides; if none does, every failure is raised."""

    minds_values = True
    winner: int | None = None

    @property
    def kept(self) -> tuple[int, ...] | None:
        if self.winner is None or not self._ledger.errors:
            return None  # no other value or error counts
        return (self.winner,)

    def succeeded(self, index: int, value: T, /) -> bool:
        del value
        self.winner = index
        return True

    def result(self) -> T:
        if self.winner is not None:
            return self._ledger.values[self.winner]  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
        if not self._ledger.names:
            raise self._ledger.partial(NoPathsError(f"race {self._ledger.name!r} has no paths"))
        raise self._ledger.partial()


@final
class All(_Patient[T]):
    """Every path has to succeed; the first that fails decides."""

    _broken = False

    def failed(self, index: int, error: Exception, /) -> bool:
        del index, error
        self._broken = True
        return True

    def result(self) -> list[T]:
        if self._broken:
            raise self._ledger.partial()
        return self._ledger.values  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


@final
class Settle(_Patient[T]):
    """Every path ends in its own way, and no end decides."""

    settles_deadline = True

    def result(self) -> list[SettleResult[T]]:
        return self._ledger.settled()


@final
class Quorum(_Patient[T]):
    """`need` paths have to succeed. The fork is decided as soon as they have, or no longer can."""

    minds_values = True

    def __init__(self, ledger: Ledger[T], need: int) -> None:
        super().__init__(ledger)
        self._need = need
        self._wins = 0
        self._failures = 0
        self._total: int | None = None

    @property
    def kept(self) -> list[int]:
        return [index for index, value in enumerate(self._ledger.values) if value is not MISSING]

    def succeeded(self, index: int, value: T, /) -> bool:
        del index, value
        self._wins += 1
        return self._wins == self._need

    def failed(self, index: int, error: Exception, /) -> bool:
        del index, error
        self._failures += 1
        return self._impossible()

    def exhausted(self, total: int, /) -> bool:
        self._total = total
        return self._impossible()

    def result(self) -> list[T]:
        if self._wins == self._need:
            return self._ledger.in_order()
        if self._total is not None and self._total < self._need:
            name, total, need = self._ledger.name, self._total, self._need
            raise self._ledger.partial(NoPathsError(f"quorum {name!r} needs {need} paths, but has {total}"))
        raise self._ledger.partial()

    def _impossible(self) -> bool:
        """Tell whether too few paths are left to succeed."""
        return self._total is not None and self._total - self._failures < self._need


@final
class Checked(Generic[T]):
    """A mode that the user wrote, with its methods and answers checked.

    Raises:
      ConfigError: `mode` lacks a method, or a method is async.
    """

    def __init__(self, mode: Mode[T, Any], fork: str) -> None:
        self._mode = mode
        self._fork = fork
        for name in ("succeeded", "failed", "exhausted", "result"):
            method = getattr(mode, name, None)
            if not callable(method):
                raise ConfigError(
                    f"mode of fork {fork!r}: a mode has the methods succeeded, failed, exhausted and result, "
                    f"but {short_repr(mode)} has no {name}"
                )
            if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
                raise ConfigError(
                    f"mode of fork {fork!r}: {name} of {short_repr(mode)} is async, but a mode has to answer at once: "
                    f"def {name}(self, …); put async work into merge=…"
                )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mode, name)

    def succeeded(self, index: int, value: T, /) -> bool:
        return self._checked("succeeded", self._mode.succeeded(index, value))

    def failed(self, index: int, error: Exception, /) -> bool:
        return self._checked("failed", self._mode.failed(index, error))

    def exhausted(self, total: int, /) -> bool:
        return self._checked("exhausted", self._mode.exhausted(total))

    def result(self) -> Any:
        return self._checked("result", self._mode.result())

    def _checked(self, name: str, answer: R) -> R:
        """Return `answer`, or raise `ConfigError` if it is an awaitable, which would count as True."""
        if inspect.iscoroutine(answer):
            close_unawaited(answer)
            raise TypeError(
                f"mode of fork {self._fork!r}: {name} returned a coroutine, but a mode has to answer at once: "
                f"def {name}(self, …)"
            )
        return answer
