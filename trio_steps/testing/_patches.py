"""Attributes that are replaced for the length of one run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

_INHERITED: Final = object()


@contextmanager
def patched(replacements: Iterable[tuple[Any, str, Any]]) -> Generator[None]:
    """Set the attribute of that name of each object to that value, and put the old ones back afterwards."""
    old: list[tuple[Any, str, Any]] = []
    try:
        for target, name, value in replacements:
            old.append((target, name, target.__dict__.get(name, _INHERITED)))
            setattr(target, name, value)
        yield
    finally:
        for target, name, value in reversed(old):
            if value is _INHERITED:
                delattr(target, name)
            else:
                setattr(target, name, value)
