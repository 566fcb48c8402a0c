"""Any value that Hypothesis generates comes back, and any text is a value or an error."""

from __future__ import annotations

import builtins
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from contextlib import suppress
from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st
from writable import round_trip, state

from trio_steps import (
    Fulfilled,
)
from trio_steps._core.errors import CheckpointError
from trio_steps._values.codec import decode
from trio_steps._values.equality import equal

# Hypothesis

atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(), max_size=5)
    | st.text(st.characters(categories=["Cs"]), max_size=3)
    | st.binary(max_size=5)
)
keys = st.recursive(
    atoms, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3), max_leaves=5
)


def dicts(inner, make=dict):
    return st.lists(st.tuples(keys, inner), max_size=3).map(make)


values = st.recursive(
    keys | st.binary(max_size=3).map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.lists(inner, min_size=1, max_size=2).map(lambda parts: parts * 2)
        | st.dictionaries(st.sampled_from(["a", "$", "is", "of", "\ud800", ""]), inner, max_size=3)
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


@given(values)
def test_any_value_comes_back(value) -> None:
    assert equal(round_trip(value), value)


@given(st.datetimes() | st.times() | st.dates() | st.timedeltas() | st.decimals() | st.uuids())
def test_any_moment_and_number_comes_back(value) -> None:
    twin = round_trip(value)
    assert type(twin) is type(value)
    assert repr(twin) == repr(value)


trees = st.recursive(
    st.none() | st.integers(-1, 2) | st.sampled_from(["x", "builtins:ValueError", "uuid:SafeUUID", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries(
            {"$": st.sampled_from(["ref", "graph", "tuple", "set", "dict", "error", "enum", "deque", "rejected"])},
            optional={
                "is": inner | st.tuples(st.just("builtins:ValueError"), st.integers(0, 2), st.booleans()).map(list),
                "of": st.lists(inner, max_size=3),
                "to": st.integers(-1, 2),
                "root": inner,
                "nodes": st.lists(inner, max_size=3),
            },
        )
    ),
    max_leaves=12,
)


@given(trees)
def test_any_tree_is_a_value_or_an_error(tree) -> None:
    with suppress(CheckpointError):
        decode(tree)


def test_every_builtin_exception_that_takes_any_arguments_comes_back() -> None:
    kinds = [kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    tried = 0
    for kind in kinds:
        if not issubclass(kind, (SyntaxError, UnicodeError, BaseExceptionGroup)) or kind is UnicodeError:
            tried += 1
            assert state(round_trip(kind("a", "b"))) == state(kind("a", "b"))
    assert tried > 50
