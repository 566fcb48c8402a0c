"""What values are: trees of containers that can be copied and compared. Pure and synchronous.

The containers are exact builtins and stdlib types: dict, list, set, frozenset, tuple, bytearray, slice, array, deque,
defaultdict, OrderedDict, Counter, ChainMap, MappingProxyType (a window on a dict that somebody may still change), and
our own `Fulfilled`, which is a tuple with names. Everything else, a subclass of one of them too, is an object that we
know nothing about: it is passed as it is, and equal only to itself.

`copy_value` copies the containers, `equal` compares them. Neither runs code of the objects inside, except the
``__hash__`` of a key whose value is copied; neither recurses, so that depth costs memory only.
"""

from __future__ import annotations

import gc
import reprlib
from array import array
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from operator import is_
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar, cast

from trio_steps._core.results import Fulfilled

T = TypeVar("T")

_Resolve: TypeAlias = Callable[[object], object]


# Copies


class _Mutable:
    """A container that is copied in two steps, so that it can hold itself."""

    __slots__ = ("fill", "parts", "shell")

    def __init__(
        self,
        parts: Callable[[Any], Iterable[object]],
        shell: Callable[[Any], Any],
        fill: Callable[[Any, Any, _Resolve], None],
    ) -> None:
        self.parts = parts  # what in it may have to be copied
        self.shell = shell  # the copy, with the original's parts
        self.fill = fill  # puts copies of the parts into the shell


class _Frozen:
    """A container that is made from the copies of its parts; it stays as it is when they do."""

    __slots__ = ("make", "parts")

    def __init__(self, parts: Callable[[Any], Iterable[object]], make: Callable[[Any, list[Any]], object]) -> None:
        self.parts = parts
        self.make = make


def _fill_list(original: list[object], shell: list[object], resolve: _Resolve) -> None:
    for index, part in enumerate(original):
        if id(type(part)) in _KINDS:
            shell[index] = resolve(part)


def _fill_dict(original: dict[object, object], shell: dict[object, object], resolve: _Resolve) -> None:
    for key, part in original.items():
        if id(type(part)) in _KINDS:
            shell[key] = resolve(part)


def _fill_deque(original: deque[object], shell: deque[object], resolve: _Resolve) -> None:
    shell.clear()  # to assign by index would be quadratic
    shell.extend(map(resolve, original))


def _fill_chain(original: ChainMap[Any, Any], shell: ChainMap[Any, Any], resolve: _Resolve) -> None:
    shell.maps = cast("list[Any]", resolve(original.maps))


def _copy_counter(original: Counter[object]) -> Counter[object]:
    shell: Counter[object] = Counter()
    dict[Any, Any].update(shell, original)  # its own update counts, in Python
    return shell


def beneath(proxy: MappingProxyType[Any, Any]) -> Mapping[Any, Any]:
    """Return the mapping that `proxy` shows; what it offers itself would run that mapping's code."""
    (mapping,) = gc.get_referents(proxy)
    return cast("Mapping[Any, Any]", mapping)


def _no_parts(_value: object) -> tuple[()]:
    return ()


def _no_fill(_original: object, _shell: object, _resolve: _Resolve) -> None:
    """Leave a container alone that holds no others."""


# By the id of the type: to look up a type itself would run the __hash__ of its metaclass, if it has one.
# Keys and members of sets are not parts: what can be hashed holds no container that can change. So a frozenset
# needs no copy.
_KINDS: Final[dict[int, _Mutable | _Frozen]] = {
    id(list): _Mutable(iter, list, _fill_list),
    id(dict): _Mutable(dict[Any, Any].values, dict[Any, Any].copy, _fill_dict),
    id(set): _Mutable(_no_parts, set[Any].copy, _no_fill),
    id(bytearray): _Mutable(_no_parts, bytearray, _no_fill),
    id(array): _Mutable(_no_parts, lambda value: value[:], _no_fill),
    id(deque): _Mutable(iter, deque[Any].copy, _fill_deque),
    id(defaultdict): _Mutable(dict[Any, Any].values, defaultdict[Any, Any].copy, _fill_dict),
    id(OrderedDict): _Mutable(dict[Any, Any].values, OrderedDict[Any, Any].copy, _fill_dict),
    id(Counter): _Mutable(dict[Any, Any].values, _copy_counter, _fill_dict),
    id(ChainMap): _Mutable(lambda value: (value.maps,), lambda value: ChainMap(*value.maps), _fill_chain),
    id(tuple): _Frozen(iter, lambda _, parts: tuple(parts)),
    id(slice): _Frozen(lambda value: (value.start, value.stop, value.step), lambda _, parts: slice(*parts)),
    id(MappingProxyType): _Frozen(lambda value: (beneath(value),), lambda _, parts: MappingProxyType(parts[0])),
    id(Fulfilled): _Frozen(lambda value: (value.value,), lambda value, parts: Fulfilled(value.step_id, parts[0])),
}
_CONTAINERS: Final = frozenset(
    {list, dict, set, bytearray, array, deque, defaultdict, OrderedDict, Counter, ChainMap}
    | {tuple, slice, MappingProxyType, Fulfilled}
)


def _is_flat(parts: Iterable[object]) -> bool:
    """Tell whether there is no container among `parts`, fast; True is always right, False may be too careful."""
    try:
        return _CONTAINERS.isdisjoint(map(type, parts))
    except Exception:  # noqa: BLE001 - a class that can't be hashed; then it takes longer
        return False


def copy_value(value: T) -> T:
    """Return a copy of `value` that shares no container with it that could change.

    Aliasing and cycles inside `value` are kept. Objects that are no containers, and tuples of nothing else, are
    returned as they are.
    """
    kind = _KINDS.get(id(type(value)))
    if kind is None:
        return value
    if _is_flat(kind.parts(value)):
        return value if isinstance(kind, _Frozen) else kind.shell(value)
    return cast("T", _Copier().copy(value))


class _Copier:
    """Copies one value. What can change is made at once and filled later, which is what lets it hold itself."""

    __slots__ = ("_memo", "_pending")

    def __init__(self) -> None:
        self._memo: dict[int, object] = {}
        self._pending: list[tuple[_Mutable, object, object]] = []

    def copy(self, value: object) -> object:
        result = self._resolve(value)
        pending = self._pending
        while pending:
            kind, original, shell = pending.pop()
            kind.fill(original, shell, self._resolve)
        return result

    def _resolve(self, value: object) -> object:
        """Return the copy of `value`, which may not be filled yet."""
        kind = _KINDS.get(id(type(value)))
        if kind is None:
            return value
        memo = self._memo
        if id(value) in memo:
            return memo[id(value)]
        if isinstance(kind, _Mutable):
            memo[id(value)] = shell = kind.shell(value)
            if not _is_flat(kind.parts(value)):
                self._pending.append((kind, value, shell))
            return shell
        return value if _is_flat(kind.parts(value)) else self._freeze(kind, value)

    def _freeze(self, kind: _Frozen, value: object) -> object:
        """Return the copy of `value`, innermost parts first. A cycle always goes through something mutable."""
        memo = self._memo
        stack: list[tuple[_Frozen, object, Iterator[object], list[object]]]
        stack = [(kind, value, iter(kind.parts(value)), [])]
        while True:
            kind, value, rest, copies = stack[-1]
            for part in rest:
                inner = _KINDS.get(id(type(part)))
                if isinstance(inner, _Frozen) and id(part) not in memo:
                    stack.append((inner, part, iter(inner.parts(part)), []))
                    break
                copies.append(self._resolve(part))
            else:
                result = value if all(map(is_, copies, kind.parts(value))) else kind.make(value, copies)
                memo[id(value)] = result
                stack.pop()
                if not stack:
                    return result
                stack[-1][3].append(result)


# Equality

# what these compare is nothing but themselves
_ATOMS: Final = frozenset(map(id, (int, float, complex, str, bytes, bytearray, range)))

_Pairs: TypeAlias = "Iterable[tuple[object, object]] | None"  # what else has to be equal; None: they differ


def equal(a: object, b: object) -> bool:
    """Tell whether a step could tell `a` from `b`: they are identical, or of one exact type and equal inside.

    ``1`` and ``True`` differ, and a NaN equals itself only. The order of a dict does not matter, that of an
    OrderedDict does; so do a deque's ``maxlen`` and a defaultdict's factory. No ``__eq__`` but those of
    builtins is called.
    """
    stack = [(a, b)]
    seen: set[tuple[int, int]] = set()
    while stack:
        a, b = stack.pop()
        if a is b:
            continue
        kind = id(type(a))
        if kind != id(type(b)):
            return False
        if kind in _ATOMS:
            if a != b:
                return False
            continue
        compare = _COMPARISONS.get(kind)
        if compare is None:
            return False
        # a pair that comes up again is in a cycle, or shared: what it depends on is being compared already
        if (id(a), id(b)) not in seen:
            seen.add((id(a), id(b)))
            pairs = compare(a, b)
            if pairs is None:
                return False
            stack.extend(pairs)
    return True


def _compare_sequences(a: Sequence[object], b: Sequence[object]) -> _Pairs:
    return zip(a, b) if len(a) == len(b) else None  # noqa: B905 - as long as each other


def _compare_deques(a: deque[object], b: deque[object]) -> _Pairs:
    return _compare_sequences(a, b) if a.maxlen == b.maxlen else None


def _compare_arrays(a: array[Any], b: array[Any]) -> _Pairs:
    return () if a.typecode == b.typecode and a.tobytes() == b.tobytes() else None


def _compare_sets(a: Collection[object], b: Collection[object]) -> _Pairs:
    if len(a) != len(b):
        return None
    number = _Numbers()
    return () if set(map(number, a)) == set(map(number, b)) else None


def _compare_dicts(a: dict[object, object], b: dict[object, object]) -> _Pairs:
    if len(a) != len(b):
        return None
    if not all(type(key) is str for keys in (a, b) for key in keys):  # looking up a key could call its __eq__
        number = _Numbers()
        a = {number(key): value for key, value in a.items()}
        b = {number(key): value for key, value in b.items()}
    if a.keys() != b.keys():
        return None
    return [(value, b[key]) for key, value in a.items()]


def _compare_defaultdicts(a: defaultdict[object, object], b: defaultdict[object, object]) -> _Pairs:
    return _compare_dicts(a, b) if a.default_factory is b.default_factory else None


def _compare_ordered(a: OrderedDict[object, object], b: OrderedDict[object, object]) -> _Pairs:
    return [*zip(a, b), *zip(a.values(), b.values())] if len(a) == len(b) else None  # noqa: B905 - as long as each other


def _compare_parts(a: object, b: object) -> _Pairs:
    parts = _KINDS[id(type(a))].parts
    return zip(parts(a), parts(b))  # noqa: B905 - as long as each other


def _compare_fulfilled(a: Fulfilled[object], b: Fulfilled[object]) -> _Pairs:
    return ((a.step_id, b.step_id), (a.value, b.value))


_COMPARISONS: Final[dict[int, Callable[[Any, Any], _Pairs]]] = {
    id(list): _compare_sequences,
    id(tuple): _compare_sequences,
    id(deque): _compare_deques,
    id(array): _compare_arrays,
    id(set): _compare_sets,
    id(frozenset): _compare_sets,
    id(dict): _compare_dicts,
    id(Counter): _compare_dicts,
    id(defaultdict): _compare_defaultdicts,
    id(OrderedDict): _compare_ordered,
    id(ChainMap): _compare_parts,
    id(slice): _compare_parts,
    id(MappingProxyType): _compare_parts,
    id(Fulfilled): _compare_fulfilled,
}


class _Numbers:
    """Gives values that can be hashed a number each: the same number to those that are equal, in our sense.

    Sets and dicts find a member by its own ``__hash__`` and ``__eq__``, and take ``1`` for ``True``; numbers are
    found by neither.
    """

    __slots__ = ("_by_id", "_numbers")

    def __init__(self) -> None:
        self._by_id: dict[int, int] = {}
        self._numbers: dict[object, int] = {}

    def __call__(self, value: object) -> int:
        by_id = self._by_id
        stack = [value]
        while stack:
            inner = stack[-1]
            parts = _hashable_parts(inner)
            unknown = [part for part in parts if id(part) not in by_id]
            if unknown:
                stack.extend(unknown)
                continue
            stack.pop()
            kind = id(type(inner))
            key: object
            if kind in _ATOMS and inner == inner:  # a NaN is not
                key = (kind, inner)
            elif kind == id(frozenset):
                key = (kind, frozenset(by_id[id(part)] for part in parts))
            elif kind in _COMPARISONS:
                key = (kind, *(by_id[id(part)] for part in parts))
            else:
                key = id(inner)
            by_id[id(inner)] = self._numbers.setdefault(key, len(self._numbers))
        return by_id[id(value)]


def _hashable_parts(value: object) -> Collection[object]:
    if type(value) is Fulfilled:
        fulfilled = cast("Fulfilled[object]", value)
        return (fulfilled.step_id, fulfilled.value)
    if type(value) is frozenset:
        return cast("frozenset[object]", value)
    kind = _KINDS.get(id(type(value)))
    return tuple(kind.parts(value)) if isinstance(kind, _Frozen) else ()


# Messages


def described(value: object) -> str:
    """Return a short repr of `value` and its type, for a message; whatever its own ``__repr__`` does."""
    kind = type(value).__qualname__
    try:
        return f"{reprlib.repr(value)} (of type {kind})"
    except Exception:  # noqa: BLE001 - the message that it is for matters more
        return f"something of type {kind}"
