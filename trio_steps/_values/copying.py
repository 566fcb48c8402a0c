"""Copies of values: of the containers in them, and of nothing else. Pure and synchronous.

The containers are exact types: those of the table in `containers`, and classes that declare their fields (`records`).
Everything else, including a subclass of a container, is an object about which nothing is known. It is not copied.

No code of the objects inside is run, except the ``__hash__`` of a key whose value is copied. Nothing here recurses, so
depth only costs memory.
"""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, final

from .containers import DICT, LIST
from .form import Container, Frozen, Mutable, class_of
from .kinds import COPIED, KINDS, PLAIN, UNCOPIED, UNSEEN, kind_of
from .plain import copy_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

_get: Final = KINDS.get

_FEW: Final = 4
"""The most dicts in a small value, and keys in each of them. `copy_plain` takes two microseconds for any value."""


def _is_flat(kind: Container, value: object) -> bool:
    """Tell quickly whether nothing in `value` has to be copied. True is certain; False may be overcautious."""
    try:
        if PLAIN.issuperset(map(type, kind.parts(value))):
            return True
        if not COPIED.isdisjoint(map(type, kind.parts(value))):
            return False
        types = set(map(type, kind.parts(value)))
    except Exception:  # noqa: BLE001 - a class that can't be hashed; the copier takes over
        return False
    return not any(isinstance(kind_of(each), Container) for each in types)


def copy_value(value: T) -> T:
    """Return a copy of `value` that shares no mutable container with it.

    Aliasing and cycles inside `value` are kept. Objects that are not containers, and tuples of such objects, are not
    copied.
    """
    kind = _get(id(type(value)), UNSEEN)
    if kind is None:
        return value
    if kind is UNSEEN:
        kind = kind_of(type(value))
    if not isinstance(kind, Container):
        return value
    if kind is DICT:
        original: Any = value
        small: T | None = _copy_small(original)
        if small is not None:
            return small
    if _is_flat(kind, value):
        return cast("T", kind.begin(value)) if isinstance(kind, Mutable) and not kind.frozen else value
    copy = copy_plain(value) if kind is DICT or kind is LIST else None
    return cast("T", _Copier().copy(value) if copy is None else copy)


def _copy_small(value: dict[Any, Any]) -> Any:
    """Return a copy of `value`; None unless it consists of few small dicts, and of what is never copied."""
    if len(value) > _FEW:
        return None
    copy = value.copy()
    copies = {id(value): copy}
    unfinished = [copy]
    for made in unfinished:  # the list grows
        for key, part in made.items():
            if class_of(part) is dict:
                inner = copies.get(id(part))
                if inner is None:
                    if len(copies) == _FEW or len(part) > _FEW:
                        return None
                    copies[id(part)] = inner = part.copy()
                    unfinished.append(inner)
                made[key] = inner  # the keys stay the same
            elif id(class_of(part)) not in UNCOPIED:
                return None
    return copy


@final
class _Copier:
    """Copies one value. Mutable containers are made at once and filled later, so that they can contain themselves."""

    __slots__ = ("_memo", "_pending")

    def __init__(self) -> None:
        self._memo: dict[int, object] = {}
        self._pending: list[tuple[Mutable, object, object]] = []

    def copy(self, value: Any) -> Any:
        result = self._resolve(value)
        pending = self._pending
        while pending:
            kind, original, copy = pending.pop()
            kind.finish(original, copy, self._resolve)
        return result

    def _resolve(self, value: object) -> object:
        """Return the copy of `value`, which may not be filled yet."""
        kind = _get(id(type(value)), UNSEEN)
        if kind is None:
            return value
        if kind is UNSEEN:
            kind = kind_of(type(value))
        if not isinstance(kind, Container):
            return value
        memo = self._memo
        if id(value) in memo:
            return memo[id(value)]
        flat = _is_flat(kind, value)
        if isinstance(kind, Mutable):
            if flat and kind.frozen:
                return value
            memo[id(value)] = copy = kind.begin(value)
            if not flat:
                self._pending.append((kind, value, copy))
            return copy
        return value if flat else self._freeze(cast("Frozen", kind), value)

    def _freeze(self, kind: Frozen, value: object) -> object:
        """Return the copy of `value`, innermost parts first. A cycle always goes through something mutable."""
        memo = self._memo
        stack: list[tuple[Frozen, object, Iterator[object], list[object]]]
        stack = [(kind, value, iter(kind.parts(value)), [])]
        while True:
            kind, value, rest, copies = stack[-1]
            for part in rest:
                inner = kind_of(type(part))
                if isinstance(inner, Frozen) and id(part) not in memo:
                    stack.append((inner, part, iter(inner.parts(part)), []))
                    break
                copies.append(self._resolve(part))
            else:
                result = value if all(map(is_, copies, kind.parts(value))) else kind.remake(value, copies)
                memo[id(value)] = result
                stack.pop()
                if not stack:
                    return result
                stack[-1][3].append(result)
