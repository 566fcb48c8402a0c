"""The copies that a step receives and returns. A slow copy is reported, with the remedy.

Real time counts here, whatever clock the run has, because a slow copy holds up everything else.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final, final

from trio_steps._core.events.observers import logger
from trio_steps._values.copying import copy_value
from trio_steps._values.kinds import UNCOPIED

if TYPE_CHECKING:
    from collections.abc import Collection

LONG: Final = 0.25
"""Seconds that a copy may take before it is reported."""


@final
class Copies:
    """Copies values for one function. A slow copy is reported once for each key."""

    __slots__ = ("_reported", "_share")

    def __init__(self, share: Collection[str]) -> None:
        """Make an object that does not copy the values of the keys in `share`."""
        self._share = frozenset(share)
        self._reported: set[str] = set()

    def copy(self, value: object, key: str, step: str) -> object:
        """Return a copy of `value`, the value of `key`, for `step`."""
        if id(type(value)) in UNCOPIED or key in self._share:
            return value
        start = perf_counter()
        copy = copy_value(value)
        took = perf_counter() - start
        if took > LONG and key not in self._reported:
            self._reported.add(key)
            logger.warning("copying %r took %.1f s in %r: share=(%r,)", key, took, step, key)
        return copy
