"""Values in checkpoints: what goes in comes out, by exact type, or an error says what could not be held."""

from __future__ import annotations

import builtins
import collections
import enum
import functools
import importlib.util
import json
import sys
import uuid
import zoneinfo
from array import array
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import NamedTuple

import attrs
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trio_steps import (
    CircuitOpenError,
    ForkPartialError,
    Fulfilled,
    PathCancelledError,
    Rejected,
    StepTimeoutError,
)
from trio_steps._core.errors import CheckpointError, add_note
from trio_steps._values.codec import decode, encode
from trio_steps._values.copying import equal

NAN = float("nan")
# how long an example takes is the machine's business
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


class Palette:
    class Shade(enum.IntEnum):
        DARK = 1


class Number(enum.IntEnum):
    ONE = 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class PaymentError(Exception):
    def __init__(self, code, *, retry):
        super().__init__(f"payment failed: {code}")
        self.code = code
        self.retry = retry


class SlottedError(ValueError):
    __slots__ = ("empty", "left")

    def __init__(self):
        super().__init__()
        self.left = [1]


@attrs.define
class AttrsError(Exception):
    path: str
    attempts: list[int]


class DiskError(OSError):
    def __init__(self, device):
        super().__init__(5, f"{device} broke", device)
        self.device = device


class GroupOfTwo(ExceptionGroup):
    def __new__(cls, first, second):
        return super().__new__(cls, "two", (first, second))

    def __init__(self, first, second):
        if first.args:  # else the args stay those of __new__
            super().__init__(first, second)


class Doomed(Exception):
    def __del__(self):
        pass


class Hashed(Exception):
    def __hash__(self):
        return 1


class Mixed(KeyError, OSError):
    pass


class Point(NamedTuple):
    x: int


class MyInt(int):
    pass


class MyList(list):
    pass


@attrs.frozen
class Plain:
    x: int


class Zone(tzinfo):
    pass


def bare_os_error():
    error = OSError()
    error.args = (2, "gone")
    return error


def with_attribute(value):
    value.extra = 1
    return value


def round_trip(value):
    """Return what comes back of a value after it was text."""
    return decode(json.loads(json.dumps(encode(value))))


def same(a, b):
    """Tell whether two values are of the same types all the way down; their repr tells the rest."""
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
        datetime(2026, 2, 28, 12, 30, 15, 7),  # noqa: DTZ001 - it has none
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


@pytest.mark.parametrize("member", [Colour.RED, Palette.Shade.DARK, Number.ONE, Right.WRITE], ids=repr)
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
    with pytest.raises(CheckpointError, match=r"^step 's', key 'k': something is part of itself"):
        encode(error, step="s", key="k")


@pytest.mark.parametrize(
    "wrap",
    [lambda inner: [inner], lambda inner: {"k": inner}, lambda inner: (inner,), lambda inner: {1: inner}],
    ids=["list", "dict", "tuple", "int dict"],
)
def test_10_000_levels_come_back(wrap) -> None:
    """The json module recurses, and would give up at a tenth of it."""
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


# Exceptions


def state(error):
    return type(error), error.args, str(error), repr(error), vars(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("broken"),
        KeyError("k", 1),
        Exception(),
        OSError(2, "no such file", "here"),
        OSError(17, "exists", "here", None, "there"),
        OSError("odd"),
        ConnectionRefusedError(111, "refused"),
        ImportError("no", name="mod", path="/p"),
        NameError("no", name="n"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        SyntaxError("bad", ("file", 1, 2, "text")),
        StopIteration(7),
        trio.TooSlowError(),
        trio.BrokenResourceError("gone"),
        StepTimeoutError("s", 2.0),
        CircuitOpenError("s", 3.0, skip=True),
        PathCancelledError("s", "because", False),
        CheckpointError("no", "s", "k"),
        PaymentError(7, retry=[1]),
        DiskError("sda"),
        json.JSONDecodeError("bad", "doc", 1),
        with_attribute(ValueError("v")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exception_comes_back_with_type_args_and_attributes(error) -> None:
    add_note(error, "in step 's'")
    twin = round_trip(error)
    assert twin is not error
    assert state(twin) == state(error)
    assert twin.__notes__ == ["in step 's'"]
    for name in ("errno", "strerror", "filename", "filename2", "name", "path", "lineno", "start", "reason", "value"):
        assert getattr(twin, name, None) == getattr(error, name, None)


def test_exception_comes_back_without_its_traceback_cause_and_context() -> None:
    with pytest.raises(ValueError, match="x") as caught:
        raise ValueError("x") from KeyError()
    twin = round_trip(caught.value)
    assert (twin.__traceback__, twin.__cause__, twin.__context__) == (None, None, None)


def test_exception_with_slots_comes_back() -> None:
    twin = round_trip(SlottedError())
    assert (type(twin), twin.left, hasattr(twin, "empty")) == (SlottedError, [1], False)
    attrs_twin = round_trip(AttrsError("p", [1]))
    assert (type(attrs_twin), attrs_twin.path, attrs_twin.attempts) == (AttrsError, "p", [1])


def test_attribute_error_comes_back_without_the_object_it_was_about() -> None:
    with pytest.raises(AttributeError) as caught:
        object().missing
    twin = round_trip(caught.value)
    assert (str(twin), twin.name, twin.obj) == (str(caught.value), "missing", None)


def test_exception_is_built_without_its_own_code(monkeypatch) -> None:
    tree = encode(PaymentError(7, retry=True))

    def refuse(*args, **options):
        raise AssertionError("code of the class was called")

    for name in ("__new__", "__init__", "__setattr__", "__setstate__", "__reduce__", "__getattribute__"):
        monkeypatch.setattr(PaymentError, name, refuse)
    twin = decode(tree)
    monkeypatch.undo()
    assert (twin.code, twin.retry) == (7, True)


@pytest.mark.parametrize("make", [list, tuple])
@pytest.mark.parametrize("group", [ExceptionGroup, ForkPartialError])
def test_exception_group_comes_back(group, make) -> None:
    error = group("m", make([ValueError("a"), group("inner", [KeyError("b")])]))
    twin = round_trip(error)
    assert type(twin) is group
    assert (twin.message, repr(twin)) == ("m", repr(error))
    assert repr(twin.args) == repr(error.args)
    assert [type(one) for one in twin.exceptions] == [ValueError, group]
    assert repr(twin.exceptions[1].exceptions) == repr(error.exceptions[1].exceptions)


def test_exception_group_with_a_constructor_of_its_own_comes_back() -> None:
    error = GroupOfTwo(ValueError(), KeyError("k"))
    twin = round_trip(error)
    assert type(twin) is GroupOfTwo
    assert (repr(twin), repr(twin.args)) == (repr(error), repr(error.args))


def test_fork_partial_error_comes_back_with_its_fields_and_the_same_errors_in_them() -> None:
    broken = ValueError("broken")
    error = ForkPartialError("fork 'f': 1 of 3 paths failed", [broken])
    error.step_id = "f"
    error.succeeded = (Fulfilled("ok", [7]),)
    error.failed = (Rejected("bad", broken), Rejected("slow", PathCancelledError("f/slow", "because", True)))
    result = round_trip(Rejected("f", error))
    twin = result.error
    assert (type(result), result.step_id, result.kind, twin.step_id) == (Rejected, "f", "fork_partial", "f")
    assert twin.succeeded == (Fulfilled("ok", [7]),)
    assert [one.kind for one in twin.failed] == ["step_failed", "cancelled"]
    assert twin.failed[0].error is twin.exceptions[0]


def test_settle_results_come_back_in_a_list() -> None:
    first, second, third = round_trip([Fulfilled("a", 1), Rejected("b", TimeoutError("slow")), Fulfilled("c", (2,))])
    assert (first, third) == (Fulfilled("a", 1), Fulfilled("c", (2,)))
    assert (type(second), second.step_id, type(second.error)) == (Rejected, "b", TimeoutError)
    assert second.error.args == ("slow",)


# What can't be held


def local_error():
    class LocalError(Exception):
        pass

    return LocalError()


def renamed_error():
    return type("RenamedError", (Exception,), {"__module__": __name__})()


def elsewhere_error():
    return type("E", (Exception,), {"__module__": "no.such.module"})()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (object(), "can't be held in a checkpoint; codec=… can be told how"),
        (lambda: 1, "can't be held"),
        (int, "<class 'int'> (of type type) can't be held"),
        (json, "can't be held"),
        (MyInt(1), "1 (of type MyInt) can't be held"),
        (MyList(), "(of type MyList) can't be held"),
        (Point(1), "Point(x=1) (of type Point) can't be held"),
        (Plain(1), "Plain(x=1) (of type Plain) can't be held"),
        (UserDict(), "can't be held"),
        (SimpleNamespace(), "can't be held"),
        (Fraction(1, 2), "can't be held"),
        (memoryview(b"x"), "can't be held"),
        (KeyboardInterrupt(), "can't be held"),
        (datetime(2026, 1, 1, tzinfo=Zone()), "of type Zone) can't be held"),
        (MappingProxyType(UserDict()), "of type UserDict) can't be held"),
        (defaultdict(lambda: 1), "a defaultdict has the factory"),
        (defaultdict(functools.partial(list)), "a defaultdict has the factory"),
        (with_attribute(Counter()), "a Counter has attributes of its own ('extra')"),
        (with_attribute(OrderedDict()), "a OrderedDict has attributes of its own ('extra')"),
        (with_attribute(ChainMap()), "a ChainMap has attributes of its own ('maps', 'extra')"),
        (Right.READ | Right.WRITE, "is no member with a name"),
        (local_error(), "define it at the top of a module"),
        (renamed_error(), "there is no class 'RenamedError'"),
        (elsewhere_error(), "the module 'no.such.module' is not imported"),
        (enum.Enum("Local", "A").A, "can't be found"),
        (bare_os_error(), "does not come back the same from its args"),
        (GroupOfTwo(ValueError(1), KeyError()), "from its args"),
        (Doomed(), "Doomed has a __del__ or __hash__ of its own"),
        (Hashed(), "Hashed has a __del__ or __hash__ of its own"),
        (with_attribute(ValueError(object())), "(of type object) can't be held"),
        (ValueError(int), "(of type type) can't be held"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_that_can_not_be_held_is_an_error_that_names_step_and_key(value, words) -> None:
    for one in (value, [1, {"deep": (value,)}]):
        with pytest.raises(CheckpointError, match=r"^step 'outer/fetch', key 'user': ") as caught:
            encode(one, step="outer/fetch", key="user")
        assert words in str(caught.value)
        assert (caught.value.step, caught.value.key) == ("outer/fetch", "user")


def test_zone_without_a_key_is_an_error(tmp_path) -> None:
    data = b"TZif" + b"\0" * 16 + b"".join(n.to_bytes(4, "big") for n in (0, 0, 0, 0, 1, 4)) + b"\0" * 6 + b"UTC\0"
    file = tmp_path / "zone"
    file.write_bytes(data)
    with file.open("rb") as opened:
        zone = zoneinfo.ZoneInfo.from_file(opened)
    with pytest.raises(CheckpointError, match="has no key"):
        encode(zone)


def test_exception_that_can_not_be_built_again_is_an_error(monkeypatch) -> None:
    error = UnicodeDecodeError("utf-8", b"", 0, 1, "bad")
    error.args = ("less",)
    with pytest.raises(CheckpointError, match="can't be built again from its args") as caught:
        encode(error)
    assert isinstance(caught.value.__cause__, TypeError)


def test_exception_of_two_builtin_classes_is_an_error() -> None:
    """The nearest of them can't build one, and to ask the class itself would run its code."""
    with pytest.raises(CheckpointError, match="can't be built again"):
        encode(Mixed("x"))


# Text that is hostile


@pytest.mark.parametrize(
    "tree",
    [
        {"$": "nonsense"},
        {"$": ["list"]},
        {"$": "ref", "to": 0},
        {"$": "ref", "to": -1},
        {"$": "ref"},
        {"$": "graph"},
        {"$": "graph", "root": {"$": "ref", "to": -1}, "nodes": [1]},
        {"$": "graph", "root": {"$": "ref", "to": "x"}, "nodes": {"x": 1}},
        {"$": "graph", "root": {"$": "ref", "to": 0}, "nodes": [{"$": "ref", "to": 0}]},
        {"$": "graph", "root": {"$": "ref", "to": 0}, "nodes": [{"$": "tuple", "of": [{"$": "ref", "to": 0}]}]},
        {"$": "set", "of": [[]]},
        {"$": "set", "of": 7},
        {"$": "tuple", "of": 7},
        {"$": "dict", "of": [[], 1]},
        {"$": "bytes", "is": "xy"},
        {"$": "bytes"},
        {"$": "int", "is": "q"},
        {"$": "str", "is": "ff"},
        {"$": "float", "is": []},
        {"$": "complex", "of": ["x", "y"]},
        {"$": "range", "of": [1.5]},
        {"$": "deque", "is": "x"},
        {"$": "array", "is": "?"},
        {"$": "array", "is": "B", "of": [256]},
        {"$": "defaultdict", "is": "open"},
        {"$": "ChainMap", "of": []},
        {"$": "mappingproxy", "of": [1]},
        {"$": "fulfilled", "of": [1]},
        {"$": "date", "is": [1, 2]},
        {"$": "datetime", "is": [1], "of": [None]},
        {"$": "Decimal", "is": "x"},
        {"$": "UUID", "is": ["0" * 32, "nonsense"]},
        {"$": "zone", "of": ["../../etc/passwd"]},
        {"$": "zone", "of": ["No/Such"]},
        {"$": "enum", "is": "builtins:int", "of": ["real"]},
        {"$": "enum", "is": "uuid:SafeUUID", "of": ["nonsense"]},
        {"$": "enum", "is": "os:system", "of": ["x"]},
        {"$": "enum", "is": 7, "of": ["x"]},
        {"$": "error", "is": ["builtins:int", 1, False], "of": [1]},
        {"$": "error", "is": ["builtins:KeyboardInterrupt", 0, False], "of": []},
        {"$": "error", "is": ["builtins:open", 1, False], "of": ["x"]},
        {"$": "error", "is": ["builtins:ValueError.args", 0, False], "of": []},
        {"$": "error", "is": ["subprocess:", 0, False], "of": []},
        {"$": "error", "is": ["no.such.module:Error", 0, False], "of": []},
        {"$": "error", "is": ["builtins:ValueError", 0, False], "of": [[], 1]},
        {"$": "error", "is": ["builtins:OSError", 0, False], "of": ["print_file_and_line"]},
        {"$": "error", "is": ["builtins:UnicodeDecodeError", 0, False], "of": []},
        {"$": "error", "is": "builtins:ValueError", "of": []},
        {"$": "rejected", "of": []},
    ],
    ids=lambda tree: json.dumps(tree)[:70],
)
def test_tree_that_makes_no_sense_is_an_error_and_nothing_else(tree) -> None:
    if tree == {"$": "error", "is": ["builtins:OSError", 0, False], "of": ["print_file_and_line"]}:
        assert type(decode(tree)) is OSError  # a name without a value is dropped
        return
    with pytest.raises(CheckpointError, match=r"^step 's', key 'k': "):
        decode(tree, step="s", key="k")


def test_decoding_imports_nothing() -> None:
    """Neither a module that is not imported, nor one that is but would be by a look at it."""
    name = "wave"
    assert name not in sys.modules
    with pytest.raises(CheckpointError, match=f"the module '{name}' is not imported"):
        decode({"$": "error", "is": [f"{name}:Error", 0, False]})
    assert name not in sys.modules


def test_decoding_does_not_wake_a_lazy_module(monkeypatch) -> None:
    spec = importlib.util.find_spec("wave")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "wave", module)
    spec.loader.exec_module(module)
    with pytest.raises(CheckpointError, match="there is no class 'Error'"):
        decode({"$": "error", "is": ["wave:Error", 0, False], "of": [1]})
    assert "Error" not in ModuleType.__getattribute__(module, "__dict__")


def test_decoding_does_not_ask_what_is_no_module(monkeypatch) -> None:
    class Trap:
        def __getattribute__(self, name):
            raise AssertionError("asked")

        __repr__ = object.__repr__

    monkeypatch.setitem(sys.modules, "trap", Trap())
    with pytest.raises(CheckpointError, match="is no module and no class"):
        decode({"$": "enum", "is": "trap:Error", "of": ["x"]})


def test_decoding_needs_zoneinfo_to_be_imported(monkeypatch) -> None:
    tree = encode(zoneinfo.ZoneInfo("UTC"))
    monkeypatch.delitem(sys.modules, "zoneinfo")
    with pytest.raises(CheckpointError, match="the module 'zoneinfo' is not imported"):
        decode(tree)


def test_class_that_is_gone_is_an_error_that_says_so(monkeypatch) -> None:
    tree = encode(PaymentError(1, retry=True))
    monkeypatch.delattr(sys.modules[__name__], "PaymentError")
    with pytest.raises(CheckpointError, match=r"there is no class 'PaymentError'"):
        decode(tree)


def test_hostile_trees_run_nothing(monkeypatch) -> None:
    """Only classes can be named, and only Enums and exceptions are looked at."""
    called = []
    monkeypatch.setattr(collections, "evil", lambda *args: called.append(args), raising=False)
    for tag in ("enum", "error"):
        with pytest.raises(CheckpointError):
            decode(
                {"$": tag, "is": ["collections:evil", 1, False] if tag == "error" else "collections:evil", "of": ["x"]}
            )
    assert called == []


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


@unhurried
@given(values)
def test_any_value_comes_back(value) -> None:
    assert equal(round_trip(value), value)


@unhurried
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


@unhurried
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
