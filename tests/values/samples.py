"""Values of every kind that can be copied and compared."""

from __future__ import annotations

import gc
from array import array
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from types import MappingProxyType
from typing import NamedTuple

import pytest
from hypothesis import strategies as st

from trio_steps import Fulfilled

NAN = float("nan")


class Point(NamedTuple):
    x: object
    y: object


class Touchy:
    """Fails if it is compared, hashed or copied."""

    def __eq__(self, other):
        raise AssertionError("__eq__ was called")

    def __hash__(self):
        raise AssertionError("__hash__ was called")

    def __copy__(self):
        raise AssertionError("__copy__ was called")

    def __deepcopy__(self, memo):
        raise AssertionError("__deepcopy__ was called")


class MyList(list):
    pass


class MyDict(dict):
    pass


def samples():
    """Return one container of each kind, with a list inside if it can hold one."""
    return [
        [[1], 2],
        {"a": [1], "b": 2},
        {1, 2},
        bytearray(b"ab"),
        array("i", [1, 2]),
        deque([[1], 2], maxlen=5),
        defaultdict(list, {"a": [1]}),
        OrderedDict(a=[1], b=2),
        Counter(a=1),
        ChainMap({"a": [1]}, {"b": 2}),
        ([1], 2),
        slice([1], 2),
        MappingProxyType({"a": [1]}),
        Fulfilled("step", [1]),
    ]


def each_sample():
    return pytest.mark.parametrize("index", range(len(samples())), ids=[type(one).__name__ for one in samples()])


def shape(value):
    """Return nested tuples with the types and contents of a value without cycles."""
    kind = type(value)
    if kind in (dict, Counter, defaultdict, OrderedDict, MappingProxyType):
        factory = value.default_factory if kind is defaultdict else None
        return kind, factory, tuple((shape(key), shape(part)) for key, part in value.items())
    if kind in (list, tuple, deque):
        return kind, getattr(value, "maxlen", None), tuple(map(shape, value))
    if kind in (set, frozenset):
        return kind, frozenset(map(shape, value))
    if kind is ChainMap:
        return kind, tuple(map(shape, value.maps))
    if kind is Fulfilled:
        return kind, value.step_id, shape(value.value)
    if kind is slice:
        return kind, shape(value.start), shape(value.stop), shape(value.step)
    if kind is array:
        return kind, value.typecode, value.tobytes()
    if kind is bytearray:
        return kind, bytes(value)
    return kind, repr(value) if isinstance(value, float | complex) else value


def mutables(value):
    """Return every mutable object in a value, by id."""
    found = {}
    kind = type(value)
    if kind in (dict, Counter, defaultdict, OrderedDict):
        parts = value.values()
    elif kind in (list, tuple, deque):
        parts = value
    elif kind is ChainMap:
        parts = value.maps
        found[id(value.maps)] = value.maps
    elif kind is Fulfilled:
        parts = [value.value]
    elif kind is slice:
        parts = [value.start, value.stop, value.step]
    elif kind is MappingProxyType:
        parts = gc.get_referents(value)
    else:
        parts = []
    if kind not in (tuple, Fulfilled, slice, MappingProxyType) and type(value).__hash__ is None:
        found[id(value)] = value
    for part in parts:
        found.update(mutables(part))
    return found


def vandalise(value):
    """Change everything mutable in a value."""
    for one in mutables(value).values():
        if isinstance(one, bytearray):
            one.append(0)
        elif isinstance(one, set):
            one.add("vandal")
        elif isinstance(one, dict):
            one["vandal"] = "was here"
        elif isinstance(one, ChainMap):
            one.maps = [{"vandal": "was here"}]
        elif isinstance(one, array):
            one.append(0)
        else:
            one.clear()


atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.just(...)
    | st.builds(range, st.integers(-3, 3), st.integers(-3, 3))
)
keys = st.recursive(
    atoms, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3), max_leaves=5
)


def dicts(inner, make=dict):
    return st.lists(st.tuples(keys, inner), max_size=3).map(make)


values = st.recursive(
    keys
    | st.binary(max_size=3).map(bytearray)
    | st.lists(st.integers(0, 255), max_size=3).map(lambda numbers: array("B", numbers)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | dicts(inner)
        | dicts(inner, OrderedDict)
        | dicts(inner, lambda items: defaultdict(list, items))
        | dicts(inner, lambda items: MappingProxyType(dict(items)))
        | dicts(inner, lambda items: ChainMap(dict(items), {}))
        | st.dictionaries(keys, st.integers(), max_size=3).map(Counter)
        | st.sets(keys, max_size=3)
        | st.builds(deque, st.lists(inner, max_size=3), st.none() | st.integers(0, 3))
        | st.builds(Fulfilled, st.text(max_size=3), inner)
        | st.builds(slice, inner, inner, inner)
    ),
    max_leaves=15,
)


def nested(depth, wrap):
    value = wrap(None)
    for _ in range(depth):
        value = wrap(value)
    return value
