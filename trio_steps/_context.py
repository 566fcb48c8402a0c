"""What flows through a pipeline: copies, equality, the context and how outputs are merged. Pure and synchronous.

A **value** is a tree of containers. The containers are exact builtins and stdlib types: dict, list, set, frozenset,
tuple, bytearray, slice, array, deque, defaultdict, OrderedDict, Counter, ChainMap, MappingProxyType (a window on a dict
that somebody may still change), and our own `Fulfilled`, which is a tuple with names. Everything else, a subclass of
one of them too, is an object that we know nothing about: it is passed as it is, and equal only to itself.

- `copy_value` copies the containers, `equal` compares them. Neither runs code of the objects inside, except the
  ``__hash__`` of a key whose value is copied; neither recurses, so that depth costs memory only.
- A `Store` is the context of one run, or of one nested pipeline. It is changed in place, by the run loop only.
- A `Snapshot` is what a store held at one moment. It costs nothing, and the store pays for it (with a copy of
  its dict) only if it changes while somebody still has the snapshot.
- A `Context` is the read-only mapping that a step function gets: a snapshot whose values are copied on first access.
- `merge` decides what outputs mean for a store and changes nothing; ``store.update(merged.changes, merged.sources)``
  can't fail. So a merge happens whole or not at all, and costs something per key of the outputs only.
"""

from __future__ import annotations

import dataclasses
import gc
import reprlib
import weakref
from array import array
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from operator import is_
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast, final

import attrs

from ._errors import KeyCollisionError, StepOutputError, listed
from ._results import Fulfilled

T = TypeVar("T")

MergePolicy: TypeAlias = Literal["override", "error", "warn", "skip"]
"""What happens to a key that is there already: the later value wins (override, warn), or the first (skip)."""

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


def patch(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    """Return the keys of `after` that are not in `before`, or not with an equal value."""
    return {key: value for key, value in after.items() if key not in before or not equal(before[key], value)}


# The context


@final
class Snapshot(Mapping[str, object]):
    """What a `Store` held at one moment: the very values, not copied, so not to be given to a step."""

    __slots__ = ("__weakref__", "base", "origin", "own", "sources")

    def __init__(self, own: dict[str, object], sources: dict[str, str], origin: str, base: Snapshot | None) -> None:
        self.own: dict[str, object] = own
        self.sources: dict[str, str] = sources
        self.origin: str = origin
        self.base: Snapshot | None = base

    def _layer(self, key: object) -> Snapshot | None:
        layer: Snapshot | None = self
        while layer is not None and key not in layer.own:
            layer = layer.base
        return layer

    def _all(self) -> dict[str, object]:
        if self.base is None:
            return self.own
        layers: list[dict[str, object]] = []
        layer: Snapshot | None = self
        while layer is not None:
            layers.append(layer.own)
            layer = layer.base
        return dict(ChainMap(*layers))

    def __getitem__(self, key: str) -> object:
        layer = self._layer(key)
        if layer is None:
            raise KeyError(key)
        return layer.own[key]

    def __contains__(self, key: object) -> bool:
        return self._layer(key) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def source_of(self, key: str) -> str:
        """Return where the value of `key` came from."""
        layer = self._layer(key)
        if layer is None:
            raise KeyError(key)
        return layer.sources.get(key, layer.origin)


@final
class Store(Mapping[str, object]):
    """The context of a run, or of a nested pipeline within one. The run loop alone has it, and alone changes it.

    A nested store sees what the store around it holds, which must not change meanwhile; drop the nested one
    before it does.
    """

    __slots__ = ("_base", "_origin", "_own", "_snapshot", "_sources", "_under")

    def __init__(self, values: dict[str, object], source: str, under: Snapshot | None = None) -> None:
        """Take over `values`, which came from `source`; see `nested` for `under`."""
        self._own = values
        self._sources: dict[str, str] = {}
        self._origin = source
        self._under = under  # what a patch is relative to
        self._base = under  # what can be seen; a transform hides it
        self._snapshot: weakref.ref[Snapshot] | None = None

    def __getitem__(self, key: str) -> object:
        if key in self._own or self._base is None:
            return self._own[key]
        return self._base[key]

    def __contains__(self, key: object) -> bool:
        return key in self._own or (self._base is not None and key in self._base)

    def __iter__(self) -> Iterator[str]:
        return iter(self.now())

    def __len__(self) -> int:
        return len(self.now())

    def source_of(self, key: str) -> str:
        """Return where the value of `key` came from."""
        return self.now().source_of(key)

    def now(self) -> Snapshot:
        """Return what the store holds now, in no time."""
        snapshot = None if self._snapshot is None else self._snapshot()
        if snapshot is None:
            snapshot = Snapshot(self._own, self._sources, self._origin, self._base)
            self._snapshot = weakref.ref(snapshot)
        return snapshot

    def readable(self) -> Mapping[str, object]:
        """Return what to look keys up in, now and not later: it is faster than the store itself."""
        return self._own if self._base is None else self

    def update(self, changes: Mapping[str, object], sources: Mapping[str, str]) -> None:
        """Enter `changes`, whose values came from `sources`. It can't fail."""
        if self._snapshot is not None:
            self._let_go(self._snapshot)
        self._own.update(changes)
        self._sources.update(sources)

    def enter(self, changes: dict[str, object], source: str) -> None:
        """Enter `changes`, all of which came from `source`. It can't fail."""
        if self._snapshot is not None:
            self._let_go(self._snapshot)
        self._own.update(changes)
        sources = self._sources
        for key in changes:
            sources[key] = source

    def _let_go(self, snapshot: weakref.ref[Snapshot]) -> None:
        if snapshot() is not None:  # somebody looks on: leave it what it sees
            self._own = self._own.copy()
            self._sources = self._sources.copy()
        self._snapshot = None

    def replace(self, values: dict[str, object], source: str) -> None:
        """Hold `values` of `source` and nothing else, as after a transform; what is around a nested store is hidden."""
        self._own = values
        self._sources = {}
        self._origin = source
        self._base = None
        self._snapshot = None

    def nested(self) -> Store:
        """Return a store for a nested pipeline: it sees what this one holds, and keeps its changes to itself."""
        return Store({}, "", self.now())

    def patch(self) -> dict[str, object]:
        """Return the keys that are new or changed since this store began, at a price per key that was written."""
        return patch({} if self._under is None else self._under, self._own)


@final
class Context(Mapping[str, object]):
    """The whole context, for a step function with one positional-only parameter: read-only, and a copy.

    Each value is copied on first access, and is then the same copy each time. To make one costs nothing.
    """

    __slots__ = ("_copies", "_share", "_values")

    def __init__(self, values: Mapping[str, object], share: Collection[str] = ()) -> None:
        """Show `values`; those of the keys in `share` are not copied."""
        self._values = values
        self._share = share
        self._copies: dict[str, object] = {}

    def __getitem__(self, key: str) -> object:
        copies = self._copies
        if key in copies:
            return copies[key]
        value = self._values[key]
        if key not in self._share:
            copies[key] = value = copy_value(value)
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Context of {listed(self._values)}>"


# Outputs


@final
@attrs.frozen
class Output:
    """What one function, or one nested pipeline, adds to the context.

    Attributes:
      source: the full name of where it comes from.
      values: a value for each key, copied already.
      is_patch: `values` come from a nested pipeline or a branch; then an equal value is no collision.
    """

    source: str
    values: Mapping[str, object]
    is_patch: bool = False


@final
@attrs.frozen
class Collision:
    """`second` gave a `key` that `first` had given, and won."""

    key: str
    first: str
    second: str


@final
@attrs.frozen(eq=False)
class Merged:
    """What a merge comes to.

    Attributes:
      changes: the keys to set in the context.
      sources: where the value of each of them came from.
      collisions: what to warn of; empty under any policy but "warn".
    """

    changes: dict[str, object]
    sources: dict[str, str]
    collisions: tuple[Collision, ...]


def merge(context: Store, outputs: Iterable[Output], policy: MergePolicy, step: str) -> Merged:
    """Decide what `outputs`, in the order of the functions they come from, change in `context`. Nothing is changed yet.

    The policy applies among the outputs, then against the context. In a patch, a value that equals the context's
    is no change, and one that equals an earlier output's is no collision.

    Raises:
      KeyCollisionError: a key collides and `policy` is "error".
    """
    changes: dict[str, object] = {}
    sources: dict[str, str] = {}
    collisions: list[Collision] = []

    def collide(key: str, first: str, second: str) -> bool:
        """Tell whether `second` wins."""
        if policy == "error":
            raise KeyCollisionError(key, step, (first, second))
        if policy == "warn":
            collisions.append(Collision(key, first, second))
        return policy != "skip"

    for output in outputs:
        source = output.source
        for key, value in output.values.items():
            if output.is_patch and key in context and equal(context[key], value):
                continue
            if key in changes and (
                (output.is_patch and equal(changes[key], value)) or not collide(key, sources[key], source)
            ):
                continue
            changes[key] = value
            sources[key] = source
    if policy != "override":
        for key in [key for key in changes if key in context]:
            if not collide(key, context.source_of(key), sources[key]):
                del changes[key], sources[key]
    return Merged(changes, sources, tuple(collisions))


def as_output(result: object, step: str, share: Collection[str] = ()) -> dict[str, object]:
    """Return what the step returned as a dict of its own, every value copied.

    Args:
      result: a mapping with str keys, an attrs or dataclass instance (its fields, one level), or None (nothing).
      step: the full name of the step.
      share: keys whose values are not copied.

    Raises:
      StepOutputError: it is something else.
    """
    if result is None:
        return {}
    kind: type[Any] = type(result)
    if kind is dict or isinstance(result, Mapping):
        return _copy_items(cast("Mapping[object, object]", result), step, share)
    if attrs.has(kind):
        names = [field.name for field in attrs.fields(kind)]
    elif dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    else:
        names = None
    if names is not None:
        return _copy_items({name: getattr(result, name) for name in names}, step, share)
    raise StepOutputError(
        step,
        f"returned {described(result)}; a step returns a mapping with str keys, an attrs or dataclass instance, "
        "or None; provides=… stores anything else under a key",
    )


def _copy_items(result: Mapping[Any, object], step: str, share: Collection[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in result.items():
        if type(key) is str and key not in share and key not in values:
            values[key] = copy_value(value)
            continue
        if not isinstance(key, str):
            raise StepOutputError(step, f"returned a mapping with the key {described(key)}; keys are strings")
        name = str.__str__(key)  # an exact one: an Enum's own str() is another
        if name in values:
            raise StepOutputError(step, f"returned a mapping with two keys that are both {name!r}")
        values[name] = value if name in share else copy_value(value)
    return values


def described(value: object) -> str:
    """Return a short repr of `value` and its type, for a message; whatever its own ``__repr__`` does."""
    kind = type(value).__qualname__
    try:
        return f"{reprlib.repr(value)} (of type {kind})"
    except Exception:  # noqa: BLE001 - the message that it is for matters more
        return f"something of type {kind}"
