"""Values from different runs: whether they are the same, and what they contain."""

from __future__ import annotations

import gc
from collections import deque
from contextlib import suppress
from types import CodeType, FrameType, FunctionType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Final, cast

import trio

from ._places import scrub

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST: Final = 1000
_FLAT: Final = (str, bytes, bytearray, int, float, complex, bool, type(None))
_SHARED: Final = (CodeType, FrameType, ModuleType, TracebackType, trio.CancelScope, trio.Nursery, trio.lowlevel.Task)


def same(one: object, other: object) -> bool:
    """Tell whether two values are equal, or look the same apart from addresses."""
    with suppress(Exception):  # an __eq__ that fails says nothing
        if one is other or bool(one == other):
            return True
    return _kind(one) == _kind(other) and show(one) == show(other)


def _kind(value: object) -> tuple[str, str]:
    kind = type(value)  # a class that the program makes is a new one in every run
    return kind.__module__, kind.__qualname__


def show(value: object) -> str:
    """Return the repr of `value`, without addresses, and cut if it is long."""
    try:
        text = scrub(repr(value))
    except Exception as error:  # noqa: BLE001 - a repr that fails must not hide what it is about
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= 200 else text[:199] + "…"


def contents(value: object, *, but: object = None, most: int = _MOST) -> Iterator[object]:
    """Yield `value` and everything that it holds: in containers, attributes, slots, closures, generators.

    References are followed as the garbage collector does, so that no code of the value runs. Shared objects are not
    followed: modules, their classes, the globals of functions, tasks and nurseries. Neither are `but` and the traceback
    of an error. Near objects come first, and at most `most` are visited.
    """
    seen: dict[int, object] = {id(but): but}  # keeps the objects, so that no other gets the address of one
    todo = deque([value])
    while todo and len(seen) <= most:
        item = todo.popleft()
        if id(item) in seen or _is_everybodys(item):
            continue
        seen[id(item)] = item
        yield item
        todo.extend(_parts(item))


def _is_everybodys(item: Any) -> bool:
    kind = cast("type[object]", type(item))  # not isinstance, which asks the object for its class
    return issubclass(kind, (*_FLAT, *_SHARED)) or (issubclass(kind, type) and "<locals>" not in item.__qualname__)


def _parts(item: Any) -> Iterable[object]:
    kind = cast("type[object]", type(item))
    if issubclass(kind, type):
        return [item.__bases__, item.__dict__]
    if issubclass(kind, FunctionType):
        return [item.__closure__, item.__defaults__, item.__kwdefaults__, item.__dict__]
    held = gc.get_referents(item)
    if issubclass(kind, BaseException):
        return [part for part in held if part is not item.__cause__ and part is not item.__context__]
    return held
