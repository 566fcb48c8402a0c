"""Values and errors that a step neither returns nor raises: they go to the fork's ``dispose``, or observers are told.

Problem: the library itself drops values and errors. It drops the error of an attempt that is tried again, with the
results in it if a fork raised it; a value that ``accept=`` refused; and a value that came too late. Someone has to
close these values.

What is done. The `dispose` of a fork gets the values of its own paths and nothing else. So the values in a
`ForkPartialError` go back to the fork that raised it, through a function that the fork left in the error. If the
caller of a fork never gets its result, because an observer is interrupted when it is told of that, the values in it go
back in the same way. A step that is a path passes what it drops to its fork, with `Scope.discard_value`. No other value
has a `dispose`, so observers are told of it with a `ValueDiscarded`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import trio

from trio_steps._core.errors import NotAcceptedError, exc_info, hide_frames_of_ours, short_repr
from trio_steps._core.results import ForkPartialError
from trio_steps._core.scope import PathScope

from .observers import logger
from .records import ErrorDiscarded, ValueDiscarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_steps._core.scope import Scope


async def discard_value(scope: Scope, value: object) -> None:
    """Discard a value that the step in `scope` made and no one receives."""
    if isinstance(scope, PathScope) and scope.parent is not None:
        discard = getattr(scope.parent, "discard_value", None)
        if discard is not None:
            await discard(scope.name, value)
            return
    _tell(scope, value)


async def discard_result(scope: Scope, value: object) -> None:
    """Discard what the step in `scope` would have returned. If it is a fork, the values in it go to its `dispose`."""
    take_back = getattr(scope, "take_back", None)
    if take_back is not None:
        await take_back()
    else:
        await discard_value(scope, value)


async def discard_values_in(error: BaseException, scope: Scope) -> None:
    """Discard the values in `error`, which the step in `scope` raised and no one sees."""
    interrupts: list[tuple[str, BaseException]] = []
    seen: set[int] = set()
    left: list[BaseException] = [error]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        try:
            if isinstance(one, ForkPartialError):
                await _discard_results(cast("Any", one), scope)
            elif isinstance(one, NotAcceptedError):
                await discard_value(scope, one.value)
        except BaseException as caught:  # noqa: BLE001 - such as a KeyboardInterrupt: the others come first
            interrupts.append((scope.name, caught))
        if isinstance(one, BaseExceptionGroup):
            inner = cast("BaseExceptionGroup[BaseException]", one).exceptions
            is_partial = isinstance(one, ForkPartialError)
            # The fork has already taken a value of its own path that was refused.
            left.extend(member for member in inner if not (is_partial and isinstance(member, NotAcceptedError)))
    raise_first(interrupts, lambda _, later: report_error(scope, later))


def raise_first(interrupts: list[tuple[str, BaseException]], report: Callable[[str, BaseException], object]) -> None:
    """Report all `interrupts`, which come with the names of steps, but the first. Raise that one, if there is any."""
    if interrupts:
        try:
            while len(interrupts) > 1:
                report(*interrupts.pop(1))
        finally:
            raise interrupts.pop(0)[1]  # no variable here holds it, which would be a cycle


async def _discard_results(error: ForkPartialError[Any], scope: Scope) -> None:
    discard = getattr(error, "discard_values", None)
    if discard is not None:
        await discard()
        return
    for fulfilled in error.succeeded:  # made by hand, or a copy
        _tell(scope, fulfilled.value)
    for rejected in error.failed:
        if isinstance(rejected.error, NotAcceptedError):
            _tell(scope, rejected.error.value)


def _tell(scope: Scope, value: object) -> None:
    if scope.observers is not None:
        now = trio.current_time()
        scope.observers(ValueDiscarded(name=scope.name, time=now, scope=scope, value=value, disposed=False))


def report_error(scope: Scope, error: BaseException) -> None:
    """Tell observers and the log of an error of the step in `scope` that is not raised."""
    name = scope.name
    hide_frames_of_ours(error)
    logger.warning("%s: an error that it does not raise: %s", name, short_repr(error), exc_info=exc_info(error))
    if scope.observers is not None:
        scope.observers(ErrorDiscarded(name=name, time=trio.current_time(), scope=scope, error=error))
