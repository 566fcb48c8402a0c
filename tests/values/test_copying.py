"""Copies and equality. All of it is synchronous, so nothing here needs an event loop."""

from __future__ import annotations

import gc
import struct
from array import array
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trio_steps import Fulfilled, Rejected
from trio_steps._values.copying import copy_value
from trio_steps._values.described import described
from trio_steps._values.equality import equal

DEEP = 100_000
# how long an example takes is the machine's business
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAN = float("nan")


ERROR = ValueError("a")


class Color(Enum):
    RED = 1


class Zone(tzinfo):
    def utcoffset(self, when):
        return None


def odd_time():
    """A value that can't be written, for its time zone can't."""
    return time(1, tzinfo=Zone())


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
        Fulfilled("a", 1),
        Rejected("a", ValueError()),
        slice(1, 2),
        range(3),
        object(),
        memoryview(b"x"),
        MyList([[1]]),
        MyDict(a=[1]),
        UserDict(a=[1]),
        MappingProxyType(MyDict(a=[1])),
        (MyList([1]), Point(1, 2)),
        Color.RED,
        len,
        Decimal(1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_copy_returns_what_can_not_change_and_what_it_does_not_know_as_it_is(value) -> None:
    assert copy_value(value) is value
    assert copy_value([value, []])[0] is value


@pytest.mark.parametrize(
    "value",
    [1, 1.5, "text", None, b"bytes", frozenset({1, (2, 3)}), (1, "two", None), (1, (2, (3, ())))],
    ids=lambda value: type(value).__name__,
)
def test_copy_returns_builtins_that_can_not_change_as_they_are(value) -> None:
    """Inside others they are what C makes of them, which a step can't tell."""
    assert copy_value(value) is value
    assert equal(copy_value([value, []]), [value, []])


def test_copy_keeps_a_nan_so_that_it_is_found() -> None:
    for value in (NAN, -NAN, float("inf")):
        copy = copy_value([[value], {"k": value}])
        assert copy[0][0] is value
        assert copy[1]["k"] is value


def test_copy_shares_long_strings_and_lists_of_numbers_are_copied_as_fast_as_lists() -> None:
    """What C copies it copies whole; so it is not asked for what is mostly strings."""
    text = "x" * 1000
    copy = copy_value({"docs": [{"text": text + str(number)} for number in range(3)], "all": [text]})
    assert copy["all"][0] is text
    words = [f"word{number}" for number in range(1000)]
    assert copy_value([words, [1]])[0][0] is words[0]


def test_copy_by_c_is_the_same_as_in_python() -> None:
    """Small and large, so that more than one chunk is written."""
    for count in (1, 5000):
        rows = [{"id": number, "tags": ["a", number], "deep": {"y": [1.5, (1, [2])]}} for number in range(count)]
        value = {"rows": rows, "again": rows[0], "first": rows}
        copy = copy_value(value)
        assert equal(copy, value)
        assert copy["again"] is copy["rows"][0]
        assert copy["first"] is copy["rows"]
        assert copy["rows"] is not rows
        assert not mutables(copy["again"]).keys() & mutables(rows[0]).keys()


def test_copy_by_c_makes_way_when_something_else_comes_late() -> None:
    odd = object()
    rows = [{"id": number, "tags": ["a", number]} for number in range(500)]
    copy = copy_value([*rows, {"odd": odd, "tags": []}])
    assert copy[-1]["odd"] is odd
    assert equal(copy[:-1], rows)
    assert copy_value([[1], {"a": []}]) == [[1], {"a": []}]  # what was given up is not what the next one begins with


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
        (0.0, -0.0),
        (NAN, -NAN),
        (0j, -0j),
        (range(0), range(1, 1)),
        (Decimal("1.0"), Decimal("1.00")),
        (time(1), time(1, fold=1)),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
        ({0.0}, {-0.0}),
        ({Decimal("1.0")}, {Decimal("1.00")}),
        (odd_time(), odd_time()),
        ({odd_time()}, {odd_time()}),
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
        (Point(1, 2), Point(1, 3)),
        (MyList(), MyList()),
        (MappingProxyType(MyDict()), MappingProxyType(MyDict())),
        (memoryview(b"a"), memoryview(b"a")),
    ],
    ids=lambda value: type(value).__name__,
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
        (NAN, float("nan")),
        ({float("nan")}, {float("nan")}),
        (complex(NAN, 0), complex(NAN, 0)),
        (Decimal("NaN"), Decimal("NaN")),
        (Decimal("1.50"), Decimal("1.50")),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        (UUID(int=1), UUID(int=1)),
        (PurePosixPath("/a"), PurePosixPath("/a")),
        (Fraction(1, 3), Fraction(1, 3)),
        (IPv4Address("127.0.0.1"), IPv4Address("127.0.0.1")),
        (ZoneInfo("UTC"), ZoneInfo.no_cache("UTC")),
        (range(3), range(3)),
        ({Decimal(1), UUID(int=1), range(3)}, {UUID(int=1), range(3), Decimal(1)}),
        (Point(1, [2]), Point(1, [2])),
        ({Point(1, 2)}, {Point(1, 2)}),
        (Rejected("a", ERROR), Rejected("a", ERROR)),
    ],
    ids=lambda value: type(value).__name__,
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


def test_equal_takes_what_can_not_be_written_for_equal_to_itself_only(tmp_path) -> None:
    data = b"TZif" + b"\0" * 16 + b"".join(n.to_bytes(4, "big") for n in (0, 0, 0, 0, 1, 4)) + b"\0" * 6 + b"UTC\0"
    (tmp_path / "zone").write_bytes(data)

    def zone():
        with (tmp_path / "zone").open("rb") as opened:
            return ZoneInfo.from_file(opened)

    one, other = zone(), zone()
    assert equal(one, one) is True
    assert equal(one, other) is False
    assert equal({one}, {one}) is True
    assert equal({one}, {other}) is False


def test_equal_compares_floats_by_their_bits() -> None:
    (quiet,) = struct.unpack(">d", bytes.fromhex("7ff8000000000001"))
    assert equal(quiet, NAN) is False
    assert equal([quiet], [struct.unpack(">d", bytes.fromhex("7ff8000000000001"))[0]]) is True


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
    """In one direction: what is equal looks the same, but for the order of dicts."""
    if equal(a, b):
        assert type(a) is type(b)
        assert equal(b, a) is True
        assert equal(copy_value(a), copy_value(b)) is True
    if shape(a) != shape(b):
        assert a is not b


def test_described_survives_a_repr_that_fails() -> None:
    class Broken:
        __class__ = property()

        def __repr__(self):
            raise ValueError("no")

    assert "Broken" in described(Broken())
    assert described(10**5000) == "something of type int" or "of type int" in described(10**5000)
