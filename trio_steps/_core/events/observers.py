"""Who is told what happens in a run, in which order, and what becomes of an observer that raises.

This module does not know events: an event holds the scope in which it happened, and a scope holds its observers.
"""

from __future__ import annotations

import logging
from types import BuiltinMethodType, MethodType
from typing import TYPE_CHECKING, Any, final

from trio_steps._core.checks import answered
from trio_steps._core.errors import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

logger = logging.getLogger("trio_steps")


@final
class Observers:
    """The observers of one run, shared by everything inside it. They come before those of the run around it.

    An observer that is given twice, or also to the run around, is told once.
    """

    __slots__ = ("_around", "_change", "_observers")

    def __init__(
        self,
        observers: Iterable[Callable[[Any], object]],
        around: Observers | None = None,
        change: Callable[[Any], object] | None = None,
    ) -> None:
        """Tell `observers` each event, and those `around` what `change` makes of it."""
        self._observers: tuple[Callable[[Any], object], ...] = ()
        self._around = around
        self._change = change
        for observer in observers:
            if observer not in self:
                self._observers += (observer,)

    def __contains__(self, observer: object) -> bool:
        return any(are_one(observer, other) for other in self._observers) or (
            self._around is not None and observer in self._around
        )

    def __call__(self, event: object) -> None:
        """Hand `event` to each observer; one that raises is logged and gets no more events."""
        for observer in self._observers:
            try:
                answered(observer, event)
            except Exception:
                logger.exception("observer %s raised at %s and is dropped", short_repr(observer), short_repr(event))
                self._observers = tuple(other for other in self._observers if other is not observer)
        if self._around is not None:
            self._around(event if self._change is None else self._change(event))


def are_one(one: object, other: object) -> bool:
    """Tell whether two observers are the same: by identity, except for methods, which are new at each look-up."""
    is_method = isinstance(one, (MethodType, BuiltinMethodType)) and type(one) is type(other)
    return one is other or (is_method and one == other)
