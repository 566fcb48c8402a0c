"""The observers of a run: in which order they are told, and what becomes of one that raises.

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
    """The observers of one run, shared by everything inside it. They are told before those of the run around it.

    An observer that is given twice, or also to the run around it, is told once.
    """

    __slots__ = ("_around", "_change", "_observers")

    def __init__(
        self,
        observers: Iterable[Callable[[Any], object]],
        around: Observers | None = None,
        change: Callable[[Any], object] | None = None,
    ) -> None:
        """Tell `observers` of each event, and `around` of what `change` returns for it."""
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
        """Call each observer with `event`; one that raises is logged and gets no more events."""
        for observer in self._observers:
            try:
                answered(observer, event)
            except Exception:
                logger.exception("observer %s raised at %s and is dropped", short_repr(observer), short_repr(event))
                self._observers = tuple(other for other in self._observers if other is not observer)
        if self._around is not None:
            self._around(event if self._change is None else self._change(event))


def are_one(one: object, other: object) -> bool:
    """Tell whether two observers are the same: by identity, but methods by value, as each lookup makes a new one."""
    is_method = isinstance(one, (MethodType, BuiltinMethodType)) and type(one) is type(other)
    return one is other or (is_method and one == other)
