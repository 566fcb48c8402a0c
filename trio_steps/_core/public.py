"""Public classes and functions name the module that users import them from.

Stored text, pickles, traces and tracebacks contain that name. If it were the private module in which a class happens to
be defined, no class could ever be moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def public(thing: T, /) -> T:
    """Mark a class or function as one that users import from `trio_steps`."""
    thing.__module__ = "trio_steps"
    return thing


def public_in(module: str, /) -> Callable[[T], T]:
    """Mark a class or function as one that users import from `module`."""

    def mark(thing: T, /) -> T:
        thing.__module__ = module
        return thing

    return mark
