"""Copies, equality, the context and merging. All of it is synchronous, so nothing here needs an event loop."""

from __future__ import annotations

import copy
import dataclasses
import enum
import gc
import pickle
from array import array
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trio_steps import Fulfilled, Rejected
from trio_steps._context import Collision, Context, Output, Store, as_output, copy_value, described, equal, merge, patch
from trio_steps._errors import KeyCollisionError, StepInputError, StepOutputError, listed

DEEP = 100_000
# how long an example takes is the machine's business
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAN = float("nan")


class Point(NamedTuple):
    x: object
    y: object


class Touchy:
    """Must not be called: neither compared nor hashed nor copied."""

    def __eq__(self, other):
        raise AssertionError("__eq__ was called")

    def __hash__(self):
        raise AssertionError("__hash__ was called")

    def __copy__(self):
        raise AssertionError("__copy__ was called")

    def __deepcopy__(self, memo):
        raise AssertionError("__deepcopy__ was called")


class Incomparable:
    """Can be a key, but must not be compared."""

    def __hash__(self):
        return hash("key")

    def __eq__(self, other):
        raise AssertionError("__eq__ was called")


class Unhashable(type):
    """Classes that can't be members of a set: they define __eq__ only."""

    def __eq__(cls, other):
        raise AssertionError("__eq__ of the class was called")

    __hash__ = None


class MyList(list):
    pass


class MyDict(dict):
    pass


def samples():
    """Return one container of each kind, each with a list inside where one can be."""
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
    """Return nested tuples that show all of a value without cycles, by type and content."""
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
    """Return every object in a value that can be changed, by id."""
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
    """Change everything in a value that can be changed."""
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


# Copies


@each_sample()
def test_copy_is_of_the_same_type_and_content_and_shares_nothing_that_can_change(index) -> None:
    original = samples()[index]
    twin = copy_value(original)
    assert shape(twin) == shape(original)
    assert twin is not original
    assert mutables(original)
    assert not mutables(original).keys() & mutables(twin).keys()


@each_sample()
def test_copy_of_containers_that_stand_inside_others_is_as_deep(index) -> None:
    original = [samples()[index], ({"k": samples()[index]},)]
    twin = copy_value(original)
    before = shape(original)
    assert shape(twin) == before
    vandalise(twin)
    assert shape(original) == before


@pytest.mark.parametrize(
    "value",
    [
        1,
        1.5,
        "text",
        None,
        b"bytes",
        frozenset({1, (2, 3)}),
        (1, "two", None),
        (1, (2, (3, ()))),
        Fulfilled("a", 1),
        Rejected("a", ValueError()),
        slice(1, 2),
        range(3),
        object(),
        memoryview(b"x"),
        MyList([[1]]),
        MyDict(a=[1]),
        Point([1], 2),
        UserDict(a=[1]),
        MappingProxyType(MyDict(a=[1])),
        (MyList([1]), Point(1, [2])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_copy_returns_what_can_not_change_and_what_it_does_not_know_as_it_is(value) -> None:
    assert copy_value(value) is value
    assert copy_value([value, []])[0] is value


def test_copy_of_a_subclass_inside_a_container_is_the_very_object() -> None:
    inner = MyDict(a=[1])
    assert copy_value({"inner": inner, "other": []})["inner"] is inner


def test_copy_keeps_aliasing() -> None:
    shared = [1]
    window = MappingProxyType({"shared": shared})
    pair = (shared, window)
    first, second, third = copy_value([shared, pair, pair])
    assert first is not shared
    assert second is third
    assert second[0] is first
    assert second[1]["shared"] is first


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: [inner],
        lambda inner: {"k": inner},
        lambda inner: deque([inner]),
        lambda inner: ChainMap({"k": inner}),
        lambda inner: ([inner],),
        lambda inner: Fulfilled("s", {"k": inner}),
        lambda inner: MappingProxyType({"k": [inner]}),
    ],
    ids=["list", "dict", "deque", "ChainMap", "tuple", "Fulfilled", "mappingproxy"],
)
def test_copy_keeps_cycles(wrap) -> None:
    cycle: list[object] = []
    cycle.append(wrap(cycle))
    twin = copy_value(cycle)
    assert twin is not cycle
    assert equal(twin, cycle)
    reached = [part for part in mutables_of_graph(twin) if part is cycle]
    assert reached == []
    assert any(part is twin for part in mutables_of_graph(twin[0]))


def mutables_of_graph(value):
    """Return every object that can be reached from a value, cycles or not."""
    seen, stack = {}, [value]
    while stack:
        one = stack.pop()
        if id(one) not in seen and not isinstance(one, type):
            seen[id(one)] = one
            stack.extend(gc.get_referents(one))
    return seen.values()


def test_copy_of_a_cycle_through_a_tuple_that_is_reached_first() -> None:
    inner: list[object] = []
    cycle = (inner, 1)
    inner.append(cycle)
    twin = copy_value(cycle)
    assert twin is not cycle
    assert twin[0][0] is twin


@pytest.mark.parametrize(
    "wrap",
    [lambda inner: [inner], lambda inner: {"k": inner}, lambda inner: (inner, []), lambda inner: deque([inner])],
    ids=["list", "dict", "tuple", "deque"],
)
def test_copy_and_equality_survive_100_000_levels(wrap) -> None:
    value = nested(DEEP, wrap)
    twin = copy_value(value)
    assert twin is not value
    assert equal(twin, value)
    assert not equal(wrap(value), value)


def test_copy_of_a_deep_tuple_of_nothing_but_tuples_is_itself() -> None:
    value = nested(DEEP, lambda inner: (inner,))
    assert copy_value(value) is value


def test_copy_of_a_wide_lattice_is_linear() -> None:
    """Each level holds the one below twice: two to the hundredth parts, if shared ones were copied twice."""
    value: object = []
    for _ in range(100):
        value = (value, value)
    twin = copy_value(value)
    assert twin[0] is twin[1]
    assert equal(value, twin)


def test_copy_keeps_a_factory_and_a_maxlen() -> None:
    assert copy_value(defaultdict(dict, a=[])).default_factory is dict
    assert copy_value(deque([[]], 3)).maxlen == 3
    assert copy_value(deque([1], 3)).maxlen == 3


def test_copy_of_a_counter_keeps_zero_and_negative_counts() -> None:
    assert dict(copy_value(Counter(a=0, b=-1))) == {"a": 0, "b": -1}


def test_copy_of_a_chain_map_without_maps_has_none() -> None:
    value: ChainMap[str, int] = ChainMap()
    value.maps = []
    assert copy_value(value).maps == []


def test_copy_calls_no_code_of_what_it_copies() -> None:
    touchy = Touchy()
    for value in ([touchy, []], {"k": touchy, "l": []}, (touchy, []), deque([touchy, []]), Fulfilled("s", [touchy])):
        copy_value(value)


def test_copy_passes_instances_of_classes_that_can_not_be_hashed() -> None:
    odd = Unhashable("Odd", (), {})()
    assert copy_value(odd) is odd
    assert copy_value([odd]) == [odd]
    assert copy_value([odd, [1]])[0] is odd
    assert equal(odd, odd)
    assert not equal(odd, Unhashable("Odd", (), {})())


@unhurried
@given(values)
def test_copy_is_equal_and_isolated(original) -> None:
    before = shape(original)
    twin = copy_value(original)
    assert shape(twin) == before
    vandalise(twin)
    assert shape(original) == before


@unhurried
@given(values)
def test_original_can_be_changed_without_the_copy_seeing_it(original) -> None:
    twin = copy_value(original)
    before = shape(twin)
    vandalise(original)
    assert shape(twin) == before


# Equality


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, True),
        (0, False),
        (1, 1.0),
        (1.0, 1 + 0j),
        ("a", b"a"),
        (b"a", bytearray(b"a")),
        ("a", "b"),
        (NAN, float("nan")),
        (None, 0),
        ([], ()),
        ([1], [True]),
        ([1], [1, 2]),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1, "b": 1}),
        ({1: "a"}, {True: "a"}),
        ({(1, 2): "a"}, {(1, True): "a"}),
        ({1}, {True}),
        ({1}, {1, 2}),
        ({(1, 2)}, {(1.0, 2)}),
        (frozenset({frozenset({0})}), frozenset({frozenset({False})})),
        ({1}, frozenset({1})),
        ({float("nan")}, {float("nan")}),
        ({Fulfilled("a", 1)}, {Fulfilled("a", True)}),
        (deque([1]), deque([1], maxlen=2)),
        (deque([1]), deque([2])),
        (defaultdict(list), defaultdict(dict)),
        (defaultdict(list, a=1), defaultdict(list, a=2)),
        (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
        (OrderedDict(a=1, b=2), OrderedDict(a=1)),
        (Counter(a=0), Counter()),
        ({"a": 1}, OrderedDict(a=1)),
        (ChainMap({"a": 1}), ChainMap({}, {"a": 1})),
        (MappingProxyType({"a": 1}), MappingProxyType({"a": 2})),
        (array("i", [1]), array("l", [1])),
        (array("i", [1]), array("i", [2])),
        (slice(1, 2), slice(1, 3)),
        (range(3), range(4)),
        (Fulfilled("a", [1]), Fulfilled("a", [2])),
        (Fulfilled("a", [1]), Fulfilled("b", [1])),
        (Rejected("a", ValueError()), Rejected("a", ValueError())),
        (Point(1, 2), Point(1, 2)),
        (MyList(), MyList()),
        (MappingProxyType(MyDict()), MappingProxyType(MyDict())),
        (memoryview(b"a"), memoryview(b"a")),
    ],
    ids=repr,
)
def test_equal_tells_apart_what_a_step_could(a, b) -> None:
    assert equal(a, b) is False
    assert equal(b, a) is False
    assert equal([a], [b]) is False
    assert equal((a, 1), (a, 1)) is True


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (10**50, 10**50),
        (1.5, float("1.5")),
        ("ab", str(b"ab", "ascii")),
        (NAN, NAN),
        ([NAN], [NAN]),
        ({NAN}, {NAN}),
        ({(NAN, 1): 2}, {(NAN, 1): 2}),
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1}),
        ({1: "a", "b": 2, None: 3}, {None: 3, "b": 2, 1: "a"}),
        ({1, "a", (2, frozenset({3}))}, {(2, frozenset({3})), "a", 1}),
        ({Fulfilled("a", (1,))}, {Fulfilled("a", (1,))}),
        (range(0), range(1, 1)),
        (0.0, -0.0),
    ],
    ids=repr,
)
def test_equal_sees_the_same_in_other_objects(a, b) -> None:
    assert equal(a, b) is True
    assert equal([a], [b]) is True


@each_sample()
def test_equal_compares_each_kind_of_container_by_what_is_in_it(index) -> None:
    a, b = samples()[index], samples()[index]
    assert equal(a, b) is True
    vandalise(b)
    assert equal(a, b) is False


def test_equal_calls_no_foreign_code() -> None:
    touchy, other = Touchy(), Touchy()
    assert equal([touchy], [touchy]) is True
    assert equal([touchy], [other]) is False
    assert equal({"k": touchy}, {"k": other}) is False


def test_equal_does_not_look_up_keys_and_members_that_could_be_asked() -> None:
    """A dict finds a key by its ``__eq__``, if the hashes are the same; they are here."""
    one, other = Incomparable(), Incomparable()
    assert equal({one: 1}, {one: 1}) is True
    assert equal({one: 1}, {other: 1}) is False
    assert equal({"key": 1}, {one: 1}) is False
    assert equal({one: 1}, {"key": 1}) is False
    assert equal({one}, {one}) is True
    assert equal({one}, {other}) is False
    assert equal({(one, 1)}, {(one, 1)}) is True
    assert equal({(one, 1)}, {(other, 1)}) is False


def test_equal_takes_a_slice_and_a_proxy_as_members_where_they_can_be_hashed() -> None:
    class HashableDict(dict):
        def __hash__(self):
            return 0

    below = HashableDict()
    for make in (lambda: slice(1, 2), lambda: MappingProxyType(below)):
        try:
            a, b = {make()}, {make()}
        except TypeError:  # this Python can't hash one
            a, b = [make()], [make()]
        assert equal(a, b) is True


def test_equal_survives_cycles() -> None:
    a: list[object] = [1]
    a.append(a)
    b: list[object] = [1]
    b.append([1, b])
    assert equal(a, b) is True
    b[1][0] = 2
    assert equal(a, b) is False


def test_equal_survives_deep_members_of_sets() -> None:
    a, b = (nested(500, lambda inner: (inner, 1)) for _ in range(2))
    assert equal({a}, {b}) is True
    assert equal({a}, {(b, 1)}) is False


@unhurried
@given(values)
def test_equal_to_a_copy(value) -> None:
    assert equal(value, copy_value(value)) is True


@unhurried
@given(values, values)
def test_equal_means_the_same_shape(a, b) -> None:
    """In one direction: what is equal looks the same, but for the order of dicts and the sign of zero."""
    if equal(a, b):
        assert type(a) is type(b)
        assert equal(b, a) is True
        assert equal(copy_value(a), copy_value(b)) is True
    if shape(a) != shape(b):
        assert a is not b


def test_patch_is_what_is_new_or_changed() -> None:
    kept = object()
    before = {"same": [1], "changed": 1, "gone": 2, "object": kept, "other": object()}
    after = {"same": [1], "changed": True, "new": None, "object": kept, "other": object()}
    assert patch(before, after) == {"changed": True, "new": None, "other": after["other"]}


# The store


def test_store_knows_values_and_where_they_came_from() -> None:
    store = Store({"a": 1}, "the inputs")
    store.update({"b": 2}, {"b": "fetch"})
    assert (store["a"], store["b"], "a" in store, "c" in store) == (1, 2, True, False)
    assert (store.source_of("a"), store.source_of("b")) == ("the inputs", "fetch")
    with pytest.raises(KeyError, match="'c'"):
        store["c"]
    with pytest.raises(KeyError, match="'c'"):
        store.source_of("c")


def test_store_is_a_mapping_of_all_that_can_be_seen() -> None:
    inner = Store({"a": 1, "b": 2}, "the inputs").nested()
    inner.update({"c": 3}, {"c": "x"})
    assert dict(inner) == {"a": 1, "b": 2, "c": 3}
    assert (len(inner), list(inner)) == (3, ["a", "b", "c"])


def test_snapshot_shows_its_moment_after_the_store_has_changed() -> None:
    store = Store({"a": 1}, "the inputs")
    snapshot = store.now()
    store.update({"a": 2, "b": 3}, {"a": "x", "b": "x"})
    assert dict(snapshot) == {"a": 1}
    assert snapshot.source_of("a") == "the inputs"
    assert dict(store.now()) == {"a": 2, "b": 3}
    assert store.now().source_of("a") == "x"


def test_snapshot_is_the_same_object_until_the_store_changes() -> None:
    store = Store({"a": 1}, "the inputs")
    snapshot = store.now()
    assert store.now() is snapshot
    store.update({"a": 2}, {"a": "x"})
    assert store.now() is not snapshot


def test_store_enters_changes_of_one_source() -> None:
    store = Store({"a": 1}, "the inputs")
    snapshot = store.now()
    store.enter({"a": 2, "b": 3}, "x")
    assert dict(store) == {"a": 2, "b": 3}
    assert (store.source_of("a"), store.source_of("b")) == ("x", "x")
    assert (dict(snapshot), snapshot.source_of("a")) == ({"a": 1}, "the inputs")
    del snapshot
    own = store.readable()
    store.enter({"a": 4}, "y")
    assert own["a"] == 4  # nobody looks on, so nothing was copied
    store.enter({"a": 5}, "z")
    assert own["a"] == 5


def test_store_lends_what_keys_can_be_looked_up_in() -> None:
    outer = Store({"a": 1}, "the inputs")
    inner = outer.nested()
    inner.enter({"b": 2}, "x")
    assert outer.readable() == {"a": 1}
    assert (inner.readable()["a"], inner.readable()["b"], "c" in inner.readable()) == (1, 2, False)
    inner.replace({"c": 3}, "reshape")
    assert inner.readable() == {"c": 3}


def test_store_is_changed_in_place_when_nobody_has_a_snapshot() -> None:
    own = {"a": 1}
    store = Store(own, "the inputs")
    store.now()
    store.update({"a": 2}, {"a": "x"})
    assert own == {"a": 2}


def test_snapshot_is_a_mapping_without_the_values_copied() -> None:
    value = [1]
    snapshot = Store({"a": value}, "the inputs").now()
    assert isinstance(snapshot, Mapping)
    assert snapshot["a"] is value
    assert (len(snapshot), list(snapshot), "a" in snapshot, "b" in snapshot) == (1, ["a"], True, False)
    with pytest.raises(KeyError, match="'b'"):
        snapshot["b"]


def test_nested_store_sees_what_is_around_it_and_keeps_its_changes() -> None:
    outer = Store({"a": 1, "b": 2}, "the inputs")
    inner = outer.nested()
    inner.update({"b": 3, "c": 4}, {"b": "in", "c": "in"})
    innermost = inner.nested()
    innermost.update({"d": 5}, {"d": "deep"})
    assert dict(innermost.now()) == {"a": 1, "b": 3, "c": 4, "d": 5}
    assert list(innermost.now()) == ["a", "b", "c", "d"]
    assert (len(innermost.now()), innermost["a"], innermost["d"], "a" in innermost) == (4, 1, 5, True)
    assert [innermost.source_of(key) for key in "abcd"] == ["the inputs", "in", "in", "deep"]
    assert dict(outer.now()) == {"a": 1, "b": 2}
    with pytest.raises(KeyError, match="'e'"):
        innermost["e"]


def test_nested_store_gives_what_is_new_or_changed() -> None:
    outer = Store({"a": [1], "b": 2, "c": 3}, "the inputs")
    inner = outer.nested()
    inner.update({"a": [1], "b": 4, "d": 5}, {"a": "x", "b": "x", "d": "x"})
    assert inner.patch() == {"b": 4, "d": 5}


def test_store_that_is_not_nested_gives_everything() -> None:
    assert Store({"a": 1}, "the inputs").patch() == {"a": 1}


def test_replace_hides_what_is_around_a_nested_store_but_not_from_its_patch() -> None:
    outer = Store({"a": 1, "b": 2}, "the inputs")
    inner = outer.nested()
    inner.update({"c": 3}, {"c": "x"})
    before = inner.now()
    inner.replace({"a": 1, "b": 4}, "reshape")
    assert dict(inner.now()) == {"a": 1, "b": 4}
    assert ("c" in inner, inner.source_of("a")) == (False, "reshape")
    assert inner.patch() == {"b": 4}
    assert dict(before) == {"a": 1, "b": 2, "c": 3}


# The context


def test_context_copies_each_value_on_first_access_and_only_then() -> None:
    orders, user = [1], {"id": 2}
    context = Context({"orders": orders, "user": user})
    assert context["orders"] == [1]
    assert context["orders"] is not orders
    assert context["orders"] is context["orders"]
    user["id"] = 3  # it was not copied yet
    assert context["user"] == {"id": 3}


def test_context_does_not_copy_shared_keys() -> None:
    images, tags = [1], [2]
    context = Context({"images": images, "tags": tags}, share=("images",))
    assert context["images"] is images
    assert context["tags"] is not tags


def test_context_is_a_mapping_that_can_not_be_changed() -> None:
    context = Context({"a": 1, "b": [2]})
    assert isinstance(context, Mapping)
    assert (len(context), list(context), "a" in context, "c" in context) == (2, ["a", "b"], True, False)
    assert context == {"a": 1, "b": [2]}
    assert context.get("c", 7) == 7
    with pytest.raises(KeyError, match="'c'"):
        context["c"]
    with pytest.raises(TypeError):
        context["a"] = 2
    with pytest.raises(AttributeError):
        context.a = 2


def test_context_costs_no_copy_until_it_is_read() -> None:
    touchy = Touchy()
    context = Context({"touchy": touchy, "many": [touchy]})
    assert "touchy" in context
    assert repr(context) == "<Context of 'touchy', 'many'>"
    assert context["many"] == [touchy]


def test_context_shows_the_moment_it_was_made_at() -> None:
    store = Store({"a": [1]}, "the inputs")
    context = Context(store.now())
    store.update({"a": [2]}, {"a": "x"})
    assert context["a"] == [1]


def test_context_repr_is_short() -> None:
    assert repr(Context({})) == "<Context of nothing>"
    assert repr(Context({f"k{n}": n for n in range(1000)})).endswith("'k19' and 980 more>")


# Merging


def merged(context, *outputs, policy="override"):
    return merge(Store(context, "the inputs"), outputs, policy, "step")


def test_merge_takes_what_does_not_collide() -> None:
    result = merged({"z": 0}, Output("a", {"x": 1}), Output("b", {"y": 2}), policy="error")
    assert result.changes == {"x": 1, "y": 2}
    assert result.sources == {"x": "a", "y": "b"}
    assert result.collisions == ()


@pytest.mark.parametrize(
    ("policy", "changes", "sources", "collisions"),
    [
        ("override", {"x": 2, "y": 3}, {"x": "b", "y": "b"}, ()),
        ("warn", {"x": 2, "y": 3}, {"x": "b", "y": "b"}, (Collision("x", "a", "b"), Collision("y", "the inputs", "b"))),
        ("skip", {"x": 1}, {"x": "a"}, ()),
    ],
)
def test_merge_applies_the_policy_among_outputs_then_against_the_context(policy, changes, sources, collisions) -> None:
    result = merged({"y": 0}, Output("a", {"x": 1}), Output("b", {"x": 2, "y": 3}), policy=policy)
    assert (result.changes, result.sources, result.collisions) == (changes, sources, collisions)


def test_merge_warns_of_each_of_three_sources_and_of_the_context() -> None:
    result = merged({"x": 0}, *(Output(name, {"x": name}) for name in "abc"), policy="warn")
    assert result.changes == {"x": "c"}
    assert result.collisions == (
        Collision("x", "a", "b"),
        Collision("x", "b", "c"),
        Collision("x", "the inputs", "c"),
    )


def test_merge_skip_keeps_the_first_of_three() -> None:
    assert merged({}, *(Output(name, {"x": name}) for name in "abc"), policy="skip").sources == {"x": "a"}


@pytest.mark.parametrize("context", [{}, {"x": 0}], ids=["absent", "present"])
def test_merge_error_names_the_outputs_that_collide_before_the_context(context) -> None:
    with pytest.raises(KeyCollisionError) as caught:
        merged(context, Output("a", {"x": 1}), Output("b", {"x": 1}), policy="error")
    assert (caught.value.key, caught.value.step, caught.value.sources) == ("x", "step", ("a", "b"))


def test_merge_error_names_where_the_contexts_value_came_from() -> None:
    store = Store({"x": 0}, "the inputs")
    store.update({"y": 1}, {"y": "fetch"})
    with pytest.raises(KeyCollisionError) as caught:
        merge(store, [Output("a", {"y": 1})], "error", "step")
    assert caught.value.sources == ("fetch", "a")


@pytest.mark.parametrize("policy", ["error", "warn", "skip"])
def test_merge_takes_an_equal_value_of_a_patch_for_no_change(policy) -> None:
    result = merged({"x": [1]}, Output("a", {"x": [1], "y": 2}, is_patch=True), policy=policy)
    assert (result.changes, result.collisions) == ({"y": 2}, ())


def test_merge_takes_an_equal_value_of_a_function_for_a_collision() -> None:
    assert merged({"x": [1]}, Output("a", {"x": [1]}), policy="warn").collisions == (Collision("x", "the inputs", "a"),)


def test_merge_takes_a_changed_value_of_a_patch_for_a_collision() -> None:
    with pytest.raises(KeyCollisionError):
        merged({"x": 1}, Output("a", {"x": True}, is_patch=True), policy="error")


def test_merge_takes_equal_values_of_two_patches_for_no_collision() -> None:
    outputs = [Output("a", {"x": [1]}, is_patch=True), Output("b", {"x": [1]}, is_patch=True)]
    result = merged({}, *outputs, policy="error")
    assert (result.changes, result.sources) == ({"x": [1]}, {"x": "a"})


def test_merge_takes_different_values_of_two_patches_for_a_collision() -> None:
    outputs = [Output("a", {"x": [1]}, is_patch=True), Output("b", {"x": [2]}, is_patch=True)]
    with pytest.raises(KeyCollisionError):
        merged({}, *outputs, policy="error")


def test_merge_lets_no_unchanged_value_of_a_patch_undo_a_siblings_change() -> None:
    outputs = [Output("a", {"x": 2}), Output("b", {"x": 1}, is_patch=True)]
    assert merged({"x": 1}, *outputs).changes == {"x": 2}


@pytest.mark.parametrize("policy", ["override", "warn", "skip", "error"])
def test_merge_changes_nothing_by_itself(policy) -> None:
    store = Store({"x": 0}, "the inputs")
    outputs = [Output("a", {"x": 1, "y": 1}), Output("b", {"y": 2})]
    try:
        result = merge(store, outputs, policy, "step")
    except KeyCollisionError:
        assert policy == "error"
    else:
        assert dict(store.now()) == {"x": 0}
        store.update(result.changes, result.sources)
        assert dict(store.now()) == {"x": 0, "y": 2} | result.changes
    assert outputs == [Output("a", {"x": 1, "y": 1}), Output("b", {"y": 2})]


class CountingStore:
    """Counts how often a merge asks the context."""

    def __init__(self):
        self.asked = 0

    def __contains__(self, key):
        self.asked += 1
        return False


def test_merge_asks_the_context_once_for_each_key_of_the_outputs() -> None:
    store = CountingStore()
    outputs = [Output(f"s{n}", {f"k{n}": n}) for n in range(1000)]
    assert len(merge(store, outputs, "error", "step").changes) == 1000
    assert store.asked == 1000
    merge(store, outputs, "override", "step")
    assert store.asked == 1000


@unhurried
@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)),
    st.lists(st.builds(Output, st.text("xyz"), st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2)))),
)
def test_merge_override_is_the_same_as_updating_one_after_the_other(context, outputs) -> None:
    expected = dict(context)
    for output in outputs:
        expected.update(output.values)
    store = Store(dict(context), "the inputs")
    result = merge(store, outputs, "override", "step")
    store.update(result.changes, result.sources)
    assert dict(store.now()) == expected
    first = dict(context)
    for output in outputs:
        first = {**output.values, **first}
    store = Store(dict(context), "the inputs")
    result = merge(store, outputs, "skip", "step")
    store.update(result.changes, result.sources)
    assert dict(store.now()) == first


# Outputs


@attrs.define
class Slotted:
    name: str
    items: list[int]
    _hidden: int = 0


@dataclasses.dataclass
class Data:
    name: str
    inner: Slotted
    items: list[int]


class Colour(str, enum.Enum):
    RED = "red"


def test_output_of_a_mapping_is_a_dict_of_copies() -> None:
    items = [1]
    for result in ({"items": items}, OrderedDict(items=items), MyDict(items=items), Context({"items": items})):
        output = as_output(result, "step")
        assert type(output) is dict
        assert output == {"items": [1]}
        assert output["items"] is not items


def test_output_of_nothing_is_empty() -> None:
    assert as_output(None, "step") == {}


def test_output_of_an_attrs_instance_is_its_fields() -> None:
    items = [1]
    output = as_output(Slotted("a", items, 3), "step")
    assert output == {"name": "a", "items": [1], "_hidden": 3}
    assert output["items"] is not items


def test_output_of_a_dataclass_instance_is_its_fields_one_level_deep() -> None:
    items, inner = [1], Slotted("b", [])
    output = as_output(Data("a", inner, items), "step")
    assert output == {"name": "a", "inner": inner, "items": [1]}
    assert output["inner"] is inner
    assert output["items"] is not items


def test_output_does_not_copy_shared_keys() -> None:
    images, tags = [1], [2]
    for result in ({"images": images, "tags": tags}, Slotted(images, tags)):
        output = as_output(result, "step", share=("images", "name"))
        assert output.get("images", output.get("name")) is images
        assert output.get("tags", output.get("items")) is not tags


def test_output_takes_members_of_a_string_enum_for_the_strings_they_are() -> None:
    (key,) = as_output({Colour.RED: 1}, "step")
    assert (type(key), key) == (str, "red")


class Fake(str):
    """A string that is equal to no other."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other):
        return self is other


def test_output_with_two_keys_that_are_one_string_is_an_error() -> None:
    with pytest.raises(StepOutputError, match=r"^'step' returned a mapping with two keys that are both 'a'$"):
        as_output({Fake("a"): 1, Fake("a"): 2}, "step")


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (7, "returned 7 (of type int); a step returns a mapping"),
        ([{"a": 1}], "returned [{'a': 1}] (of type list)"),
        ("text", "returned 'text' (of type str)"),
        (Slotted, "(of type type)"),
        (Data, "(of type type)"),
        ({1: 2}, "returned a mapping with the key 1 (of type int); keys are strings"),
        (list(range(1000)), "returned [0, 1, 2, 3, 4, 5, ...] (of type list)"),
        (nested(2000, lambda inner: [inner]), "returned [[[[[[[...]]]]]]] (of type list)"),
    ],
    ids=["int", "list", "str", "attrs class", "dataclass", "int key", "long", "deep"],
)
def test_output_that_is_something_else_is_an_error_that_names_step_and_result(result, words) -> None:
    with pytest.raises(StepOutputError) as caught:
        as_output(result, "outer/step")
    assert isinstance(caught.value, TypeError)
    assert caught.value.step == "outer/step"
    assert str(caught.value).startswith("'outer/step' returned ")
    assert words in str(caught.value)


def test_described_survives_a_repr_that_fails() -> None:
    class Broken:
        __class__ = property()

        def __repr__(self):
            raise ValueError("no")

    assert "Broken" in described(Broken())
    assert described(10**5000) == "something of type int" or "of type int" in described(10**5000)


# Their errors


def test_key_collision_error_says_what_to_do() -> None:
    error = KeyCollisionError("count", "second", ("first", "second"))
    assert str(error) == (
        "'second' can't merge the key 'count': 'first' gave it and so did 'second'; "
        'rename one, or use merge_policy="override", "warn" or "skip"'
    )


def test_step_input_error_names_step_key_and_what_there_is() -> None:
    error = StepInputError("outer/step", "user", iter(["id", "plan"]))
    assert (error.step, error.key, error.available) == ("outer/step", "user", ("id", "plan"))
    assert str(error) == (
        "'outer/step' needs 'user', which the context does not have; there is 'id', 'plan'. "
        "A parameter with a default may be missing"
    )


def test_listed_shows_no_more_than_a_person_reads() -> None:
    assert listed([]) == "nothing"
    assert listed("ab") == "'a', 'b'"
    assert listed(map(str, range(22))).endswith("'19' and 2 more")


@pytest.mark.parametrize(
    "error",
    [
        KeyCollisionError("count", "second", ("first", "second")),
        StepInputError("step", "user", ["id"]),
        StepOutputError("step", "returned 7"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_copy_deepcopy_and_pickle(error) -> None:
    for twin in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))
