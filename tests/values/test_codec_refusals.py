"""A value that can't be written is refused by name, and hostile text runs nothing."""

from __future__ import annotations

import collections
import enum
import functools
import importlib.util
import json
import sys
import zoneinfo
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict
from datetime import datetime, tzinfo
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import NamedTuple

import attrs
import pytest
from writable import GroupOfTwo, NumberRight, OwnRight, PaymentError, with_attribute

from trio_steps._core.errors import CheckpointError
from trio_steps._values.codec import decode, encode


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
        (object(), "can't be held in a checkpoint; give a codec=… for it"),
        (lambda: 1, "can't be held"),
        (int, "<class 'int'> (of type type) can't be held"),
        (json, "can't be held"),
        (MyInt(1), "1 (of type MyInt) can't be held"),
        (MyList(), "(of type MyList) can't be held"),
        (UserDict(), "can't be held"),
        (SimpleNamespace(), "can't be held"),
        (memoryview(b"x"), "can't be held"),
        (KeyboardInterrupt(), "can't be held"),
        (datetime(2026, 1, 1, tzinfo=Zone()), "of type Zone) can't be held"),
        (MappingProxyType(UserDict()), "of type UserDict) can't be held"),
        (defaultdict(lambda: 1), "a defaultdict has the factory"),
        (defaultdict(functools.partial(list)), "a defaultdict has the factory"),
        (with_attribute(Counter()), "a Counter has extra attributes ('extra')"),
        (with_attribute(OrderedDict()), "a OrderedDict has extra attributes ('extra')"),
        (with_attribute(ChainMap()), "a ChainMap has extra attributes ('maps', 'extra')"),
        (NumberRight(3), "is not a member with a name"),
        (OwnRight.READ | OwnRight.WRITE, "is not a member with a name"),
        (local_error(), "define it at the top of a module"),
        (renamed_error(), "there is no class 'RenamedError'"),
        (elsewhere_error(), "the module 'no.such.module' is not imported"),
        (enum.Enum("Local", "A").A, "can't be found"),
        (bare_os_error(), "is not the same when rebuilt from its args"),
        (GroupOfTwo(ValueError(1), KeyError()), "from its args"),
        (Doomed(), "Doomed defines __del__ or __hash__"),
        (Hashed(), "Hashed defines __del__ or __hash__"),
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
    with pytest.raises(CheckpointError, match="can't be rebuilt from its args") as caught:
        encode(error)
    assert isinstance(caught.value.__cause__, TypeError)


def test_exception_of_two_builtin_classes_is_an_error() -> None:
    """The nearest of them can't build one, and asking the class itself would run its code."""
    with pytest.raises(CheckpointError, match="can't be rebuilt"):
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
        {"$": "enum", "is": "uuid:SafeUUID", "of": [3]},
        {"$": "enum", "is": "uuid:SafeUUID", "of": [0]},  # the value of a member, but members are written by name
        {"$": "enum", "is": "writable:Right", "of": [4]},
        {"$": "enum", "is": "writable:OwnRight", "of": [3]},
        {"$": "enum", "is": "writable:Mode", "of": [8]},
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
    """Neither a missing module, nor a lazy module that an attribute access would import."""
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
    with pytest.raises(CheckpointError, match="is neither a module nor a class"):
        decode({"$": "enum", "is": "trap:Error", "of": ["x"]})


def test_decoding_needs_zoneinfo_to_be_imported(monkeypatch) -> None:
    tree = encode(zoneinfo.ZoneInfo("UTC"))
    monkeypatch.delitem(sys.modules, "zoneinfo")
    with pytest.raises(CheckpointError, match="the module 'zoneinfo' is not imported"):
        decode(tree)


def test_class_that_is_gone_is_an_error_that_says_so(monkeypatch) -> None:
    tree = encode(PaymentError(1, retry=True))
    monkeypatch.delattr(sys.modules[PaymentError.__module__], "PaymentError")
    with pytest.raises(CheckpointError, match=r"there is no class 'PaymentError'"):
        decode(tree)


def test_hostile_trees_run_nothing(monkeypatch) -> None:
    """Only classes can be named, and only Enums and exceptions are examined."""
    called = []
    monkeypatch.setattr(collections, "evil", lambda *args: called.append(args), raising=False)
    for tag in ("enum", "error"):
        with pytest.raises(CheckpointError):
            decode(
                {"$": tag, "is": ["collections:evil", 1, False] if tag == "error" else "collections:evil", "of": ["x"]}
            )
    assert called == []
