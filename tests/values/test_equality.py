"""Equality: the same shape and the same content, whatever the objects' own ``==`` returns."""

from __future__ import annotations

import struct
from array import array
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import partial
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from types import MappingProxyType
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from samples import (
    NAN,
    MyDict,
    MyList,
    Point,
    Touchy,
    each_sample,
    nested,
    samples,
    shape,
    values,
    vandalise,
)

from trio_steps import Fulfilled, Rejected
from trio_steps._values.copying import copy_value
from trio_steps._values.described import described
from trio_steps._values.equality import equal

ERROR = ValueError("a")


class Zone(tzinfo):
    def utcoffset(self, when):
        return None


def odd_time():
    """Return a value that can't be written, because its time zone can't."""
    return time(1, tzinfo=Zone())


class Incomparable:
    """Can be a key, but fails if it is compared."""

    def __hash__(self):
        return hash("key")

    def __eq__(self, other):
        raise AssertionError("__eq__ was called")


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
        ({float("nan")}, {float("nan"), float("nan")}),
        ({float("nan"): 1}, {float("nan"): 1, float("nan"): 1}),
        ({(1, 2)}, {(1.0, 2)}),
        ({(1, 2)}, {(2, 1)}),
        ({(1, 2): "a"}, {(2, 1): "a"}),
        ({(1, 1, 2)}, {(1, 2, 2)}),
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
        (bytearray(b"a"), bytearray(b"b")),
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


@pytest.mark.parametrize(
    "make",
    [list, tuple, set, frozenset, deque, Counter, OrderedDict.fromkeys, dict.fromkeys, partial(array, "l")],
    ids=["list", "tuple", "set", "frozenset", "deque", "Counter", "OrderedDict", "dict", "array"],
)
def test_equal_compares_containers_of_a_thousand_by_all_that_is_in_them(make) -> None:
    """Small numbers are shared objects. Larger ones, and lengths, can be equal without being identical."""
    assert equal(make(range(1000, 2000)), make(range(1000, 2000))) is True
    assert equal(make(range(1000, 2000)), make(range(1000, 1999))) is False
    assert equal(make(range(1000, 2000)), make([*range(1000, 1999), 2000])) is False


@pytest.mark.parametrize(
    ("a", "b"), [(10**50, 10**50 + 1), (0.5, 0.25), ("ab" * 9, "ba" * 9), (Decimal(1), Decimal(2)), ([1], [2])]
)
@pytest.mark.parametrize("alike", [lambda: int("9" * 50), lambda: float("1.5"), lambda: Decimal("1.5"), lambda: [1]])
def test_equal_goes_on_after_a_part_that_is_equal(a, b, alike) -> None:
    """Whether the equal part comes before the different one, or after it."""
    assert equal([alike(), a], [alike(), b]) is False
    assert equal([a, alike()], [b, alike()]) is False
    assert equal([alike(), a], [alike(), a]) is True


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
    """A dict calls ``__eq__`` of a key if the hashes are equal, as they are here."""
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


@given(values)
def test_equal_to_a_copy(value) -> None:
    assert equal(value, copy_value(value)) is True


@given(values, values)
def test_equal_means_the_same_shape(a, b) -> None:
    """In one direction: equal values look the same, except for the order of dicts."""
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
