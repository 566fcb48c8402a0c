"""Attributes that are replaced during one run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

_INHERITED: Final = object()


@contextmanager
def patched(replacements: Iterable[tuple[Any, str, Any]]) -> Generator[None]:
    """Set attributes, given as (object, name, value), and restore the old values at the end."""
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
