"""Values from different runs: whether they are the same, and what is in them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any, Final, cast

from ._places import scrub

_DEPTH: Final = 6
_MOST: Final = 1000
_FRAMES: Final = {"async_generator": "ag_frame", "coroutine": "cr_frame", "generator": "gi_frame"}
_FLAT: Final = (str, bytes, bytearray, int, float, complex, bool, type(None))


def same(one: object, other: object) -> bool:
    """Tell whether two values are equal, or look the same but for their addresses."""
    with suppress(Exception):  # an __eq__ that fails says nothing
        if one is other or bool(one == other):
            return True
    return _kind(one) == _kind(other) and show(one) == show(other)


def _kind(value: object) -> tuple[str, str]:
    kind = type(value)  # a class that the program makes is another one in every run
    return kind.__module__, kind.__qualname__


def show(value: object) -> str:
    """Return the repr of `value` without addresses, and not too long."""
    try:
        text = scrub(repr(value))
    except Exception as error:  # noqa: BLE001 - a repr that fails must not hide what it is about
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= 200 else text[:199] + "…"


def contents(value: object) -> Iterator[object]:
    """Yield `value` and what it holds: in containers, attributes, slots, closures, partials; down to some depth."""
    seen: set[int] = set()
    todo: deque[tuple[object, int]] = deque([(value, 0)])
    while todo and len(seen) < _MOST:
        item, depth = todo.popleft()
        if isinstance(item, _FLAT) or id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        if depth < _DEPTH and not isinstance(item, (type, ModuleType)):
            todo.extend((part, depth + 1) for part in _parts(item))


def _parts(item: Any) -> Iterator[object]:
    kind = cast("type[object]", type(item))
    if issubclass(kind, Mapping):
        yield from item.keys()
        yield from item.values()
    elif issubclass(kind, (list, tuple, set, frozenset, deque)):
        yield from item
    elif issubclass(kind, BaseException):
        yield from getattr(item, "exceptions", ())
    elif issubclass(kind, MethodType):
        yield item.__self__
        yield item.__func__
    elif issubclass(kind, FunctionType):
        yield from _cells(item.__closure__)
        yield from item.__defaults__ or ()
        yield from (item.__kwdefaults__ or {}).values()
    elif issubclass(kind, partial):
        yield item.func
        yield from item.args
        yield from item.keywords.values()
    elif issubclass(kind, BuiltinFunctionType):
        yield item.__self__  # such as [].append
    frame = (
        getattr(item, _FRAMES[kind.__name__]) if kind.__name__ in _FRAMES and kind.__module__ == "builtins" else None
    )
    if frame is not None:
        yield from list(frame.f_locals.values())
    yield from list(getattr(item, "__dict__", {}).values())
    for base in kind.__mro__:
        slots: Any = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            yield getattr(item, f"_{base.__name__.lstrip('_')}{name}" if private else name, None)


def _cells(closure: tuple[CellType, ...] | None) -> Iterator[object]:
    for cell in closure or ():
        with suppress(ValueError):  # nothing is in it yet
            yield cell.cell_contents
