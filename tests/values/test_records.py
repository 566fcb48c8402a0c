"""Instances of classes that declare their fields are copied, compared, written and read like a dict of the fields."""

from __future__ import annotations

import abc
import dataclasses
import gc
import json
import weakref
from collections import namedtuple
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import attrs
import pytest

from trio_steps import CheckpointError
from trio_steps._values import kinds
from trio_steps._values.codec import decode, encode
from trio_steps._values.containers import frozen_dict
from trio_steps._values.copying import copy_value
from trio_steps._values.equality import equal
from trio_steps._values.kinds import KINDS, MOST, kind_of
from trio_steps._values.records import fields_of, record_of

T = TypeVar("T")


@dataclass
class Cart:
    items: list[Any]
    owner: str = "ada"


@dataclass(slots=True)
class Slotted:
    items: list[Any]
    later: int = field(init=False)


@dataclass(frozen=True)
class Frozen:
    items: Any


@dataclass
class Described(Cart, Generic[T]):
    note: T | None = None
    many: ClassVar[int] = 0
    seed: InitVar[int] = 0

    def __post_init__(self, seed: int) -> None:
        self.extra = [seed]


@attrs.define
class Attrs:
    items: list[Any]
    count: int = attrs.field(default=0, converter=int)


@attrs.define(slots=False)
class Loose:
    items: list[Any]

    @cached_property
    def total(self):
        return len(self.items)


@attrs.frozen
class Key:
    id: Any


class Pair(NamedTuple):
    left: Any
    right: Any


class Wide(namedtuple("Wide", "left right")):  # noqa: PYI024, SLOT002 - one with a __dict__
    pass


def samples():
    extra = Wide([1], 2)
    extra.note = [3]
    slotted = Slotted([1])
    full = Slotted([1])
    full.later = 7
    described = Described([1], note=[2], seed=4)
    loose = Loose([1, 2])
    return [
        Cart([1]),
        slotted,
        full,
        Frozen([1]),
        described,
        Attrs([1], 2),
        loose,
        Key(([1],)),
        Pair([1], 2),
        Wide([1], 2),
        extra,
    ]


def state(value):
    """Return the contents of an instance, with its class."""
    if isinstance(value, tuple) and type(value) is not tuple:
        return type(value), [state(part) for part in tuple(value)], state(getattr(value, "__dict__", {}))
    if isinstance(value, dict):
        return {key: state(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [state(part) for part in value]
    if type(value).__module__ == __name__:
        names = [name for owner in type(value).__mro__ for name in getattr(owner, "__slots__", ())]
        held = {name: getattr(value, name) for name in names if hasattr(value, name) and name != "__weakref__"}
        return type(value), state({**held, **getattr(value, "__dict__", {})})
    return value


each_sample = pytest.mark.parametrize(
    "index", range(len(samples())), ids=[f"{number}-{type(one).__name__}" for number, one in enumerate(samples())]
)


@each_sample
def test_record_is_copied_with_all_that_is_in_it(index) -> None:
    value = samples()[index]
    copy = copy_value(value)
    assert copy is not value
    assert state(copy) == state(value)
    assert type(copy) is type(value)


@each_sample
def test_record_inside_a_container_is_copied_too(index) -> None:
    value = samples()[index]
    copy = copy_value({"one": [value], "again": value, "plain": 1})
    assert copy["again"] is copy["one"][0]
    assert copy["again"] is not value
    assert state(copy["again"]) == state(value)


@each_sample
def test_record_is_equal_to_its_copy_and_not_to_another(index) -> None:
    a, b = samples()[index], samples()[index]
    assert equal(a, b) is True
    inner = next(part for part in kind_of(type(b)).parts(b) if isinstance(part, list | tuple))
    (inner if isinstance(inner, list) else inner[0]).append("more")
    assert equal(a, b) is False
    assert equal(a, 1) is False


@each_sample
def test_record_comes_back_as_it_went_in(index) -> None:
    value = samples()[index]
    again = decode(json.loads(json.dumps(encode([value, value]))))
    assert state(again[0]) == state(value)
    assert again[0] is again[1]


def test_change_of_a_list_in_a_copy_is_not_seen_in_the_original() -> None:
    cart = Cart([1], "ada")
    copy = copy_value([cart, (cart, 2)])
    copy[0].items.append(2)
    copy[0].owner = "bob"
    assert cart == Cart([1], "ada")
    assert copy[1][0] is copy[0]


def test_record_of_atoms_is_copied_unless_it_is_frozen() -> None:
    attr, key, frozen, pair = Attrs([], 1), Key(1), Frozen("a"), Pair(1, "b")
    attr.items = 5
    assert copy_value(attr) is not attr
    for value in (key, frozen, pair):
        assert copy_value(value) is value
        assert copy_value([value, []])[0] is value
    assert copy_value(Key([])) is not None
    assert copy_value([Key(())])[0].id == ()


def test_record_that_holds_itself_is_copied_and_comes_back() -> None:
    cart = Cart([])
    cart.items.append(cart)
    copy = copy_value(cart)
    assert copy is not cart
    assert copy.items[0] is copy
    assert equal(cart, copy) is True
    again = decode(encode(cart))
    assert again.items[0] is again


def test_records_as_keys_and_members_are_compared_by_what_is_in_them() -> None:
    assert equal({Key(1): "a"}, {Key(1): "a"}) is True
    assert equal({Key(1): "a"}, {Key(2): "a"}) is False
    assert equal({Pair(1, Key(2))}, {Pair(1, Key(2))}) is True
    assert equal({Key(1)}, {Key(True)}) is False
    assert decode(encode({Key(1): Pair(1, 2)})) == {Key(1): Pair(1, 2)}
    assert decode(encode({Key((1, Key(2)))})) == {Key((1, Key(2)))}


def test_record_with_other_attributes_differs() -> None:
    one, other = Loose([1]), Loose([1])
    assert other.total == 1
    assert equal(one, other) is False
    wide = Wide(1, 2)
    wide.note = 1
    assert equal(Wide(1, 2), wide) is False


# Objects that are not values


@attrs.define(eq=False)
class Client:
    log: list[Any]


@dataclass(eq=False)
class Thing:
    log: list[Any]


@dataclass
class Closes:
    log: list[Any]

    def __del__(self):
        pass


@dataclass
class Counts:
    log: list[Any]

    def __new__(cls, *args, **kwargs):
        return object.__new__(cls)


@dataclass
class Copies:
    log: list[Any]

    def __deepcopy__(self, memo):
        return self


@dataclass
class Listed(list):
    log: list[Any] = field(default_factory=list)


@dataclass
class Failed(Exception):
    log: list[Any]


class Sub(Pair):
    def __new__(cls, *args):
        return Pair.__new__(cls, *args)


class Fields(tuple):
    _fields = ("left",)

    __slots__ = ()

    def __new__(cls, left):
        return tuple.__new__(cls, (left,))


class Bare(tuple):
    __slots__ = ()


class Both(Pair, Generic[T]):
    pass


class Plain:
    def __init__(self):
        self.log = []


class Meta(type):
    def __eq__(cls, other):
        raise AssertionError("__eq__ of the class was called")

    def __hash__(cls):
        return 1


class Odd(metaclass=Meta):
    pass


THINGS = [
    Client([1]),
    Thing([1]),
    Closes([1]),
    Counts([1]),
    Copies([1]),
    Listed([1]),
    Failed([1]),
    Sub([1], 2),
    Bare(([1],)),
    Plain(),
    Odd(),
]


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: type(thing).__name__)
def test_thing_that_is_no_value_is_passed_as_it_is(thing) -> None:
    assert copy_value(thing) is thing
    assert copy_value([thing, []])[0] is thing
    assert equal([thing], [thing]) is True


def test_thing_that_is_no_value_can_not_be_held() -> None:
    for thing in (Client([1]), Plain(), Sub(1, 2), Copies([1])):
        with pytest.raises(CheckpointError, match=f"of type {type(thing).__name__}\\) can't be held"):
            encode([thing])


def test_tuple_with_fields_of_its_own_is_a_named_tuple_only_if_it_is_made_like_one() -> None:
    assert copy_value(Fields([1])) is not None
    both = Both([1], 2)
    assert copy_value(both) == both


# Text


def with_fields(tree, *names):
    """Return the text of a record as if its class had had other fields when it was written."""
    return json.loads(json.dumps(tree).replace(json.dumps(["items", "owner"]), json.dumps(list(names))))


def test_class_that_has_changed_its_fields_is_an_error_that_says_so() -> None:
    tree = with_fields(encode(Cart([1])), "items", "customer")
    with pytest.raises(CheckpointError, match="has the fields items, owner; when this was written, they were i"):
        decode(tree, step="s", key="k")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"$": "record", "is": [f"{__name__}:Plain", []], "of": []}, "is not a class whose instances can be built"),
        ({"$": "record", "is": [f"{__name__}:Key", ["id"]], "of": []}, "is not a class whose instances can be built"),
        ({"$": "value", "is": [f"{__name__}:Nobody", ["id"]], "of": ["id", 1]}, "there is no class 'Nobody'"),
        ({"$": "value", "is": [f"{__name__}:Key", ["id"]], "of": ["other", 1]}, "Key has no field 'other'"),
        ({"$": "value", "is": [f"{__name__}:Key", ["id"]], "of": [5, 1]}, "has no field 5"),
        ({"$": "record", "is": ["builtins:list", []], "of": []}, "is not a class whose instances can be built"),
        ({"$": "value", "is": ["no.such.module:Key", ["id"]], "of": ["id", 1]}, "is not imported"),
        ({"$": "value", "is": 5, "of": []}, "the text is damaged"),
    ],
    ids=["thing", "frozen", "nobody", "field", "number", "builtin", "module", "head"],
)
def test_damaged_text_of_a_record_is_an_error(tree, message) -> None:
    with pytest.raises(CheckpointError, match=message):
        decode(json.loads(json.dumps(tree)))


def test_reading_a_record_runs_nothing_of_its_class() -> None:
    tree = encode(Loud.made([1]))
    assert decode(tree).items == [1]
    assert copy_value(Loud.made([1])).items == [1]


@dataclass
class Loud(abc.ABC):
    items: list[Any]

    @classmethod
    def made(cls, items):
        value = object.__new__(cls)
        vars(value)["items"] = items
        return value

    def __init__(self, *args):
        raise AssertionError("__init__ was called")

    def __setattr__(self, name, value):
        raise AssertionError("__setattr__ was called")

    def __getattribute__(self, name):
        if name == "items" or name.startswith("__"):
            return object.__getattribute__(self, name)
        raise AssertionError("__getattribute__ was called")


def test_classes_that_a_program_makes_are_not_kept_for_ever() -> None:
    def make():
        kind = dataclasses.make_dataclass("Once", [("items", list)])
        value = kind([1])
        assert copy_value([value, []])[0] == value
        return weakref.ref(kind)

    first = make()
    for _ in range(MOST):
        make()
    gc.collect()
    assert first() is None
    assert len(KINDS) <= MOST + 100


@dataclass(eq=True)
class Sheet(dict):
    """Instances have more attributes than their fields."""

    name: str


def test_instance_of_a_class_that_derives_from_one_in_c_is_passed_as_it_is() -> None:
    sheet = Sheet("a")
    sheet["cell"] = [1]
    assert copy_value([sheet])[0] is sheet
    with pytest.raises(CheckpointError, match="Sheet"):
        encode(sheet)


def test_class_is_looked_at_once_as_long_as_few_others_come_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[type[Any]] = []

    def look(kind: type[Any]) -> Any:
        looked.append(kind)
        return record_of(kind)

    monkeypatch.setattr(kinds, "record_of", look)
    monkeypatch.setattr(kinds, "_known", {})
    monkeypatch.setattr(kinds, "KINDS", {**KINDS})  # knowledge about these classes must not outlive them
    many = [type(f"Kind{number}", (), {}) for number in range(MOST + 1)]
    for _ in range(2):
        for kind in many[:MOST]:
            kind_of(kind)
    assert looked == many[:MOST]
    kind_of(many[MOST])
    assert list(kinds._known.values()) == [many[MOST]]
    assert kind_of(many[0]) is None
    assert looked == [*many, many[0]]


def test_local_class_can_be_copied_and_is_not_held() -> None:
    @dataclass
    class Local:
        items: list[Any]

    assert copy_value(Local([1])) == Local([1])
    with pytest.raises(CheckpointError, match="define it at the top of a module"):
        encode(Local([1]))


# What this Python may not have


class FrozenDict:
    """Stands for the frozendict of Python 3.15."""

    def __init__(self, pairs):
        self.pairs = dict(pairs)

    def values(self):
        return self.pairs.values()

    def items(self):
        return self.pairs.items()

    def keys(self):
        return self.pairs.keys()

    def __iter__(self):
        return iter(self.pairs)

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, key):
        return self.pairs[key]


def test_frozen_dict_is_a_container_like_the_others(monkeypatch) -> None:
    form = frozen_dict(FrozenDict)
    monkeypatch.setitem(KINDS, id(FrozenDict), form)
    value = FrozenDict({"a": [1], "b": 2})
    copy = copy_value([value, []])[0]
    assert copy is not value
    assert copy.pairs == value.pairs
    assert copy["a"] is not value["a"]
    assert equal(copy, value) is True
    assert equal(FrozenDict({"a": 1}), FrozenDict({"a": 2})) is False
    flat = FrozenDict({"a": 1})
    assert copy_value(flat) is flat
    head, parts = form.apart(value)
    assert form.make(head, list(parts)).pairs == value.pairs


@dataclass
class Node:
    """It has a class variable that a named tuple has too."""

    _fields: ClassVar[tuple[str, ...]] = ("body",)
    line: int


@dataclass
class Mishap(Exception):
    line: int


def test_fields_are_those_that_a_class_declares_and_an_exception_has_none() -> None:
    assert fields_of(Node) == ("line",)
    assert fields_of(Pair) == ("left", "right")
    assert fields_of(Mishap) is None
    assert fields_of(tuple) is None
