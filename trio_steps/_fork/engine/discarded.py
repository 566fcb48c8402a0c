"""Values and errors that a fork neither returns nor raises: they go to ``dispose``, to observers and to the log.

Each value that no one receives is disposed of once, whatever else happens. If ``dispose`` fails, its error is reported.
If it is interrupted, the remaining values are disposed of first.

That includes the values in an error. A `ForkPartialError` of an inner fork knows where its own values go. A value that
``accept=`` refused belongs to this fork.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import trio

from trio_steps._core.errors import exc_info, hide_frames_of_ours, short_repr
from trio_steps._core.events.discarded import discard_values_in, raise_first
from trio_steps._core.events.observers import logger
from trio_steps._core.events.records import ErrorDiscarded, StepSkipped, ValueDiscarded
from trio_steps._core.scope import PathScope, scope_of
from trio_steps._core.step import called

from .groups import parts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from trio_steps._core.scope import Scope
    from trio_steps._fork.ledger import Ledger, Named


@final
class Discarded:
    """The values and errors of one run of a fork that no one receives."""

    __slots__ = ("_dispose", "_emptied", "_gone", "_ledger", "_observe", "_scope", "_unwanted")

    def __init__(self, ledger: Ledger[Any], scope: Scope, dispose: Callable[[Any], Any] | None) -> None:
        self._ledger = ledger
        self._scope = scope
        self._observe = scope.observers
        self._dispose = dispose
        self._unwanted: list[Named] = []
        self._gone: set[int] = set()  # the paths whose value has been given away
        self._emptied: set[int] = set()  # the ids of errors that were not reported, but have given their values away

    def add(self, name: str, value: object) -> None:
        """Add a value that is neither a result nor late, because its path has a bug."""
        self._unwanted.append((name, value))

    def report(self, name: str, error: BaseException) -> None:
        """Tell observers and the log of an error that the fork does not raise."""
        hide_frames_of_ours(error)
        logger.warning(
            "%s: an error that its fork does not raise: %s", name, short_repr(error), exc_info=exc_info(error)
        )
        if self._observe is not None:
            self._observe(ErrorDiscarded(name=name, time=trio.current_time(), scope=self._scope, error=error))

    def skip_queued(self) -> None:
        """Tell observers of the paths that never started. There must be observers."""
        ledger, observe = self._ledger, self._observe
        assert observe is not None
        for index in range(ledger.started, len(ledger.names)):
            name, now = ledger.full_name(index), trio.current_time()
            observe(StepSkipped(name=name, time=now, scope=self._scope, reason=ledger.reason))

    async def drop_what_is_not_in(self, mode: object) -> None:
        """Give away the values that are not in the result of the fork."""
        ledger = self._ledger
        late_errors = [(ledger.full_name(index), ledger.errors.pop(index)) for index in sorted(ledger.late_errors)]
        values = self._take_late()
        errors: list[Named] = []
        kept: Any = getattr(mode, "kept", None)
        if kept is not None:
            kept = frozenset(kept)
            values += self._take(but=kept)
            errors = [(ledger.full_name(index), error) for index, error in ledger.errors.items() if index not in kept]
            self._emptied.update(id(error) for _, error in errors)
        await self._discard(values, late_errors + errors, unreported=late_errors)

    async def drop_what_no_error_holds(self, *, timed_out: bool) -> None:
        """Give away the values that are not in the error of the fork, which holds what succeeded.

        Args:
          timed_out: whether the fork ran out of time. Otherwise its error also holds the late values.
        """
        values = self._take_late() if timed_out else self._take_unwanted()
        await self._discard(values, [])

    async def drop_everything(self, raised: BaseException, lost: Exception | None) -> None:
        """Give every value away, and report every error, except for those in `raised`.

        Args:
          raised: the error that the fork raises instead.
          lost: the error that the fork would have raised if it had not been cancelled, or None.
        """
        ledger = self._ledger
        errors = [(ledger.full_name(index), ledger.errors[index]) for index in sorted(ledger.errors)]
        errors += [(ledger.name, error) for error in ledger.own_errors]
        if lost is not None and not ledger.is_own(lost):
            errors.append((ledger.name, lost))
        told = {id(part) for part in parts(raised)}
        errors = [(name, error) for name, error in errors if id(error) not in told]
        full = [(name, error) for name, error in errors if id(error) not in self._emptied]
        await self._discard(self._take() + self._take_late(), full, unreported=errors)

    def taker_back(self, *, holds_errors: bool) -> Callable[[], Awaitable[None]]:
        """Return a function that gives away the values in the result of the fork, and reports the errors in it."""
        held = self._ledger.errors if holds_errors else {}  # the ledger will soon forget them
        errors = [(self._ledger.full_name(index), error) for index, error in held.items()]

        async def take_back() -> None:
            await self._discard(self._take(), errors, unreported=errors)

        return take_back

    def _take(self, but: Collection[int] = ()) -> list[Named]:
        """Return the values that have not been given away, except those of the paths in `but`."""
        ledger, gone = self._ledger, self._gone
        wanted = [(index, value) for index, value in ledger.kept() if index not in but and index not in gone]
        gone.update(index for index, _ in wanted)
        return [(ledger.full_name(index), value) for index, value in wanted]

    def _take_unwanted(self) -> list[Named]:
        unwanted, self._unwanted = self._unwanted, []
        return unwanted

    def _take_late(self) -> list[Named]:
        ledger = self._ledger
        late = self._take_unwanted()
        late += [(ledger.full_name(index), value) for index, value in ledger.late_values.items()]
        ledger.late_values.clear()
        return late

    async def discard_value(self, name: str, value: object) -> None:
        """Discard a value that the step `name`, a path of this fork, dropped."""
        await self._discard([(name, value)], [])

    async def discard_held(self, values: list[Named]) -> None:
        """Discard the values in an error of this fork that no one will see."""
        await self._discard(values, [])

    async def _discard(self, values: list[Named], errors: list[Named], unreported: Sequence[Named] = ()) -> None:
        interrupts: list[Named] = []
        with trio.CancelScope(shield=True):
            for discard, things in (
                (self._report, unreported),
                (self._give_away, values),
                (self._discard_held_by, errors),
            ):
                for name, thing in things:
                    try:
                        await discard(name, thing)
                    except BaseException as error:  # such as a KeyboardInterrupt: the others come first
                        interrupts.append((name, error))
        raise_first(interrupts, self.report)

    async def _report(self, name: str, error: BaseException) -> None:
        self.report(name, error)

    async def _give_away(self, name: str, value: object) -> None:
        dispose, observe = self._dispose, self._observe
        try:
            if observe is not None:
                now, disposed = trio.current_time(), dispose is not None
                observe(ValueDiscarded(name=name, time=now, scope=self._scope, value=value, disposed=disposed))
        finally:
            if dispose is not None:
                try:
                    await called(dispose, (value,))
                except Exception as error:
                    self.report(name, error)

    async def _discard_held_by(self, name: str, error: BaseException) -> None:
        # as if a step of the path had dropped it: the values in it belong to this fork
        id = name.removeprefix(f"{self._ledger.name}/")
        await discard_values_in(error, scope_of(id, self._scope, None, self._observe, None, kind=PathScope))
