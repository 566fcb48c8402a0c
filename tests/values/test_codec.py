"""Values come back as they were written: types, aliasing, cycles, depth."""

from __future__ import annotations

import enum
import json
import re
import struct
import uuid
import zoneinfo
from array import array
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType

import pytest
from writable import Mode, Right, round_trip

from trio_steps import (
    Fulfilled,
    Rejected,
)
from trio_steps._core.errors import CheckpointError
from trio_steps._values.codec import encode
from trio_steps._values.equality import equal

NAN = float("nan")


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


class Palette:
    class Shade(enum.IntEnum):
        DARK = 1


class Number(enum.IntEnum):
    ONE = 1


def same(a, b):
    """Tell whether two values are of the same types all the way down, with the same repr."""
    return type(a) is type(b) and equal(a, b)


# Values that are like any other to `equal`


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        2**2000,
        1.5,
        -0.0,
        float("inf"),
        float("-inf"),
        1 + 2j,
        complex("-0+infj"),
        "",
        "text",
        "é𝄞",
        "\ud834",
        "\ud834\udd1e",
        b"",
        b"\x00\xff",
        bytearray(b"ab"),
        ...,
        range(1, 10, 3),
        slice(None, [1], "x"),
        [],
        [1, [2, []]],
        {},
        {"a": {"b": [1]}},
        {"$": 1},
        {"\ud834": 1},
        {1: "a", None: "b", (1, "x"): "c", 1.5: "d", frozenset({1}): "e"},
        (),
        (1,),
        ((), ([],)),
        set(),
        {1, "a", (2,)},
        frozenset(),
        frozenset({1, (2, frozenset())}),
        array("i", [1, -2]),
        array("d", [0.5]),
        deque([1, [2]]),
        deque([1], maxlen=3),
        OrderedDict(b=1, a=[2]),
        Counter(a=0, b=-1),
        defaultdict(None, a=1),
        defaultdict(list, {1: [2]}),
        defaultdict(OrderedDict),
        ChainMap({"a": 1}, {"b": [2]}),
        MappingProxyType({"a": [1]}),
        Fulfilled("step", {"a": (1,)}),
        [Fulfilled("a", 1), Fulfilled("b", None)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_comes_back_as_it_went_in(value) -> None:
    assert same(round_trip(value), value)
    assert same(round_trip({"k": (value, [value])}), {"k": (value, [value])})


@pytest.mark.parametrize(
    "value",
    [
        date(2026, 2, 28),
        time(1, 2, 3, 4),
        time(1, fold=1, tzinfo=UTC),
        datetime(2026, 2, 28, 12, 30, 15, 7),  # noqa: DTZ001 - without a time zone on purpose
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("UTC")),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30), "Newfoundland")),
        timedelta(days=-1, seconds=5, microseconds=3),
        UTC,
        timezone(timedelta(hours=2)),
        timezone(timedelta(0), "GMT"),
        Decimal("1.10"),
        Decimal("NaN123"),
        Decimal("-0E+7"),
        uuid.UUID(int=5),
        uuid.UUID(int=5, is_safe=uuid.SafeUUID.safe),
        PurePosixPath("/tmp/é"),
        PureWindowsPath("c:\\x"),
        Path("relative/file"),
        Colour.RED,
        Colour.BLUE,
        Palette.Shade.DARK,
        Number.ONE,
        Right.READ,
        uuid.SafeUUID.safe,
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_of_the_standard_library_comes_back_by_exact_type(value) -> None:
    twin = round_trip(value)
    assert type(twin) is type(value)
    assert repr(twin) == repr(value)
    (again,) = round_trip((value,))
    assert repr(again) == repr(value)
    assert getattr(twin, "fold", 0) == getattr(value, "fold", 0)
    assert getattr(twin, "is_safe", None) == getattr(value, "is_safe", None)


@pytest.mark.parametrize(
    "member",
    [
        *(Colour.RED, Palette.Shade.DARK, Number.ONE, Right.WRITE),
        *(Right.READ | Right.WRITE, Right(0), Mode.R | Mode.W, re.IGNORECASE | re.MULTILINE),
    ],
    ids=repr,
)
def test_member_of_an_enum_comes_back_as_the_very_object(member) -> None:
    assert round_trip([member])[0] is member


@pytest.mark.parametrize("zone", [UTC, zoneinfo.ZoneInfo("UTC")], ids=repr)
def test_time_zone_comes_back_as_the_very_object(zone) -> None:
    assert round_trip(zone) is zone


def test_int_comes_back_that_python_would_not_write_in_decimal() -> None:
    for value in (10**5000, -(10**5000)):
        assert round_trip([value]) == [value]


@pytest.mark.parametrize("value", [-0.0, complex(-0.0, 0.0), complex(0.0, -0.0), complex("-0-infj")], ids=repr)
def test_sign_of_zero_comes_back(value) -> None:
    assert repr(round_trip(value)) == repr(value)


def test_nan_comes_back_as_one() -> None:
    for twin in (round_trip(NAN), *round_trip([NAN]), round_trip(complex(NAN, 1)).real):
        assert type(twin) is float
        assert twin != twin


def test_plain_values_are_plain_json() -> None:
    value = {"user": {"id": "42", "orders": [1, 2.5, None, True]}}
    assert encode(value) == value
    assert encode({"user": value}) is not value
    assert encode({"é": ["𝄞", 2**1999, 1e300]}) == {"é": ["𝄞", 2**1999, 1e300]}


@pytest.mark.parametrize(
    "value",
    [
        None,
        2**2000,
        "\ud834",
        b"ab",
        1 + 2j,
        range(3),
        date(2026, 2, 28),
        time(1, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
        timedelta(1),
        timezone(timedelta(hours=2), "mine"),
        zoneinfo.ZoneInfo("UTC"),
        Decimal("1.10"),
        Fraction(1, 3),
        IPv4Address("127.0.0.1"),
        PurePosixPath("a"),
        uuid.UUID(int=5),
        Colour.RED,
        (),
        frozenset(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_that_holds_nothing_is_written_wherever_it_is(value) -> None:
    """Only a value that could be shared is written once."""
    assert encode([value, value]) == [encode(value)] * 2


def test_encoding_does_not_hold_on_to_the_value() -> None:
    value = {"items": [1]}
    tree = encode(value)
    value["items"].append(2)
    assert tree == {"items": [1]}


# Aliasing, cycles, depth


def test_aliasing_comes_back() -> None:
    shared, pair = [1], ([2], 3)
    twin = round_trip({"a": shared, "b": [shared, pair, pair], "c": bytearray(b"x")})
    assert twin == {"a": [1], "b": [[1], ([2], 3), ([2], 3)], "c": bytearray(b"x")}
    assert twin["a"] is twin["b"][0]
    assert twin["b"][1] is twin["b"][2]


def test_aliasing_of_a_bytearray_and_of_a_set_comes_back() -> None:
    for shared in (bytearray(b"x"), {1}, array("i"), deque()):
        first, second = round_trip([shared, shared])
        assert first is second


def depth_of(tree):
    """Return how many lists are in each other, from the outside in."""
    depth = 0
    while isinstance(tree, list):
        depth += 1
        tree = tree[0] if tree else None
    return depth


@pytest.mark.parametrize(
    ("depth", "levels"),
    [(1, [1]), (40, [40]), (41, [40, 1]), (80, [40, 40]), (81, [40, 40, 1]), (122, [40, 40, 40, 2])],
)
def test_value_is_written_forty_levels_at_a_time(depth, levels) -> None:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    tree = encode(value)
    trees = [tree] if isinstance(tree, list) else [tree["root"], *tree["nodes"]]
    assert [depth_of(tree) for tree in trees] == levels
    assert equal(round_trip(value), value)


def test_values_that_can_not_change_are_written_where_they_stand() -> None:
    one = Decimal(1)
    assert "ref" not in json.dumps(encode([one, one, (), (), Colour.RED, Colour.RED, b"x", b"x"]))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: [inner],
        lambda inner: {"k": inner},
        lambda inner: {1: inner},
        lambda inner: (inner, 1),
        lambda inner: deque([inner]),
        lambda inner: ChainMap({"k": inner}),
        lambda inner: Fulfilled("s", inner),
        lambda inner: Rejected("s", ValueError(inner)),
    ],
    ids=["list", "dict", "int dict", "tuple", "deque", "ChainMap", "Fulfilled", "Rejected"],
)
def test_cycles_come_back(wrap) -> None:
    cycle: list[object] = [1]
    cycle.append(wrap(cycle))
    twin = round_trip(cycle)
    assert twin is not cycle
    assert twin[0] == 1
    inner = twin[1]
    inner = inner.error.args if isinstance(inner, Rejected) else inner
    inner = inner.value if isinstance(inner, Fulfilled) else inner
    assert inner is twin or twin in [*inner] or any(part is twin for part in inner.values())


def test_cycle_through_a_tuple_that_comes_first_comes_back() -> None:
    inner: list[object] = []
    cycle = (inner, 1)
    inner.append(cycle)
    twin = round_trip(cycle)
    assert twin[0][0] is twin


def test_cycle_through_a_set_comes_back() -> None:
    error = ValueError()
    error.members = {error}
    ((twin,),) = (round_trip([error]),)
    assert twin.members == {twin}


def test_exception_that_is_part_of_itself_is_an_error() -> None:
    error = ValueError()
    error.itself = error
    with pytest.raises(CheckpointError, match=r"^step 's', key 'k': a value is part of itself"):
        encode(error, step="s", key="k")


@pytest.mark.parametrize(
    "wrap",
    [lambda inner: [inner], lambda inner: {"k": inner}, lambda inner: (inner,), lambda inner: {1: inner}],
    ids=["list", "dict", "tuple", "int dict"],
)
def test_10_000_levels_come_back(wrap) -> None:
    """The json module recurses, and would fail at a tenth of that depth."""
    value: object = ()
    for _ in range(10_000):
        value = wrap(value)
    assert equal(round_trip(value), value)


def test_wide_lattice_is_linear() -> None:
    value: object = (1,)
    for _ in range(100):
        value = (value, value)
    assert len(json.dumps(encode(value))) < 20_000
    assert equal(round_trip(value), value)


def test_bits_of_a_nan_come_back() -> None:
    for bits in ("7ff8000000000000", "fff8000000000000", "7ff8000000000001"):
        (value,) = struct.unpack(">d", bytes.fromhex(bits))
        assert struct.pack(">d", round_trip([value])[0]).hex() == bits


def test_scalar_that_occurs_twice_is_written_twice() -> None:
    for value in (datetime(2026, 1, 2, tzinfo=UTC), time(3), timedelta(1), Decimal("1.5"), uuid.UUID(int=7), range(3)):
        assert encode([value, value]) == [encode(value), encode(value)]
