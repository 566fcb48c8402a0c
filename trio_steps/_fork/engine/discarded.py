"""What a fork neither returns nor raises: it is given to ``dispose``, told to observers, and logged."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, final

import trio

from trio_steps._core.events import ErrorDiscarded, StepSkipped, ValueDiscarded
from trio_steps._core.observers import logger
from trio_steps._core.step import called

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_steps._core.scope import Scope
    from trio_steps._fork.ledger import Ledger


@final
class Discarded:
    """What nobody gets of one run of a fork."""

    __slots__ = ("_dispose", "_ledger", "_observe", "_scope", "_unwanted")

    def __init__(self, ledger: Ledger[Any], scope: Scope, dispose: Callable[[Any], Any] | None) -> None:
        self._ledger = ledger
        self._scope = scope
        self._observe = scope.observers
        self._dispose = dispose
        self._unwanted: list[tuple[str, Any]] = []

    def add(self, name: str, value: object) -> None:
        """Take a value that is neither result nor late, but that of a path with a bug."""
        self._unwanted.append((name, value))

    def report(self, name: str, error: BaseException) -> None:
        """Tell observers and the log of an error that the fork does not raise."""
        logger.warning("%s: an error that its fork does not raise: %r", name, error, exc_info=error)
        if self._observe is not None:
            self._observe(ErrorDiscarded(name=name, time=trio.current_time(), scope=self._scope, error=error))

    def skip_queued(self) -> None:
        """Tell observers of the paths that were never started."""
        ledger = self._ledger
        if self._observe is not None:
            for index in range(ledger.started, len(ledger.names)):
                name, now = ledger.full_name(index), trio.current_time()
                self._observe(StepSkipped(name=name, time=now, scope=self._scope, reason=ledger.reason))

    async def drop_late(self, error: BaseException | None, *, timed_out: bool) -> None:
        """Give away what came too late for the fork's result, or for its `error`."""
        ledger = self._ledger
        if error is None:
            for index in sorted(ledger.late_errors):
                self.report(ledger.full_name(index), ledger.errors.pop(index))
        late, self._unwanted = self._unwanted, []
        if error is None or timed_out:
            late += self._take_late()
        if late:
            await self._discard(late)

    async def drop_everything(self) -> None:
        """The fork has no result: give every value away, and report every error."""
        ledger = self._ledger
        for index, error in sorted(ledger.errors.items()):
            self.report(ledger.full_name(index), error)
        for error in ledger.own_errors:
            self.report(ledger.name, error)
        kept = ((ledger.full_name(index), value) for index, value in ledger.kept())
        await self._discard(chain(kept, self._take_late(), self._unwanted))

    def _take_late(self) -> list[tuple[str, Any]]:
        ledger = self._ledger
        late = [(ledger.full_name(index), value) for index, value in ledger.late_values.items()]
        ledger.late_values.clear()
        return late

    async def _discard(self, values: Iterable[tuple[str, Any]]) -> None:
        dispose, observe = self._dispose, self._observe
        if dispose is None and observe is None:
            return
        with trio.CancelScope(shield=True):
            for name, value in values:
                if observe is not None:
                    now, disposed = trio.current_time(), dispose is not None
                    observe(ValueDiscarded(name=name, time=now, scope=self._scope, value=value, disposed=disposed))
                if dispose is not None:
                    try:
                        await called(dispose, (value,))
                    except Exception as error:
                        self.report(name, error)
