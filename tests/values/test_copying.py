"""Copies share nothing mutable with the original, and making them runs none of its code."""

from __future__ import annotations

import gc
from collections import ChainMap, Counter, UserDict, defaultdict, deque
from decimal import Decimal
from enum import Enum
from types import MappingProxyType

import pytest
from hypothesis import given
from samples import (
    NAN,
    MyDict,
    MyList,
    Point,
    Touchy,
    each_sample,
    mutables,
    nested,
    samples,
    shape,
    values,
    vandalise,
)

from trio_steps import Fulfilled, Rejected
from trio_steps._values import copying
from trio_steps._values.containers import LIST
from trio_steps._values.copying import copy_value
from trio_steps._values.equality import equal

DEEP = 100_000


class Color(Enum):
    RED = 1


class Unhashable(type):
    """A metaclass whose classes can't be members of a set, because it defines only __eq__."""

    def __eq__(cls, other):
        raise AssertionError("__eq__ of the class was called")

    __hash__ = None


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
    """Inside others, C may copy them, which a step can't notice."""
    assert copy_value(value) is value
    assert equal(copy_value([value, []]), [value, []])


def test_copy_keeps_a_nan_so_that_it_is_found() -> None:
    for value in (NAN, -NAN, float("inf")):
        copy = copy_value([[value], {"k": value}])
        assert copy[0][0] is value
        assert copy[1]["k"] is value


def test_copy_shares_long_strings_and_lists_of_numbers_are_copied_as_fast_as_lists() -> None:
    """C copies a value as a whole, including strings, so it is not used for values that are mostly strings."""
    text = "x" * 1000
    copy = copy_value({"docs": [{"text": text + str(number)} for number in range(3)], "all": [text]})
    assert copy["all"][0] is text
    words = [f"word{number}" for number in range(1000)]
    assert copy_value([words, [1]])[0][0] is words[0]


def test_copy_by_c_is_the_same_as_in_python() -> None:
    """Small and large values, so that more than one chunk is written."""
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
    assert copy_value([[1], {"a": []}]) == [[1], {"a": []}]  # the next copy does not begin with what was abandoned


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


@pytest.mark.long
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
    """Each level holds the one below twice: 2**100 parts, if shared parts were copied twice."""
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
    inside: list[object] = [odd, [1]]
    first, second = copy_value(inside)
    assert first is odd
    assert second == [1]
    assert second is not inside[1]
    assert equal(odd, odd)
    assert not equal(odd, Unhashable("Odd", (), {})())


@given(values)
def test_copy_is_equal_and_isolated(original) -> None:
    before = shape(original)
    twin = copy_value(original)
    assert shape(twin) == before
    vandalise(twin)
    assert shape(original) == before


@given(values)
def test_original_can_be_changed_without_the_copy_seeing_it(original) -> None:
    twin = copy_value(original)
    before = shape(twin)
    vandalise(original)
    assert shape(twin) == before


class OfUnhashable(metaclass=Unhashable):
    pass


@pytest.mark.parametrize(
    ("value", "is_flat"),
    [
        ([], True),
        ([1, "a", None, 1.5, frozenset()], True),
        ([object()], True),
        ([MyList()], True),
        ([[]], False),
        ([1, object(), set()], False),
        ([()], False),
        ([Point(1, 2)], False),
        ([OfUnhashable()], False),  # overcautious
    ],
)
def test_list_is_flat_if_nothing_in_it_may_have_to_be_copied(value, is_flat) -> None:
    assert copying._is_flat(LIST, value) is is_flat


def test_nested_dicts_and_lists_are_copied_in_c_and_nothing_else_is(monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(copying, "copy_plain", seen.append)
    inner: list[int] = [1]
    for value in ({"a": inner}, [inner], (inner,), deque([inner]), [1], {"a": 1}):
        assert copy_value(value) == value
    assert seen == [{"a": inner}, [inner]]


# Small dicts, which are copied in Python


SHARED = {"s": 1}
SMALL = {
    "flat": {"a": 1, "b": "x", "c": None, "d": 2.5},
    "empty": {},
    "nested": {"id": 1, "in": {"the": {"end": {"of": NAN}}}},
    "shared": {"a": SHARED, "b": {"c": SHARED}},
    "more keys": {str(number): number for number in range(5)},
    "more keys inside": {"a": {str(number): number for number in range(5)}},
    "more dicts": {"a": {"b": {"c": {"d": {"e": 1}}}}},
    "another container": {"a": {"b": [1]}},
    "an object": {"a": {"b": Color.RED, "c": Touchy()}},
    "a subclass": {"a": MyDict(b={})},
}


@pytest.mark.parametrize("name", SMALL)
def test_small_dict_is_copied_like_any_other(name, monkeypatch) -> None:
    small = SMALL[name]
    copy = copy_value(small)
    assert copy is not small
    monkeypatch.setattr(copying, "_copy_small", lambda value: None)
    assert shape(copy) == shape(copy_value(small))
    assert list(copy) == list(small)


def test_small_dict_is_not_pickled(monkeypatch) -> None:
    monkeypatch.delattr(copying, "copy_plain")
    for name in ("flat", "empty", "nested", "shared"):
        assert copy_value(SMALL[name]) is not SMALL[name]
    with pytest.raises(NameError):
        copy_value(SMALL["more dicts"])


def test_small_dict_keeps_cycles_aliases_and_what_is_never_copied() -> None:
    small = {"nan": NAN, "a": {"b": {}}}
    small["a"]["around"] = small
    small["b"] = small["a"]["b"]
    copy = copy_value(small)
    assert copy["a"]["around"] is copy
    assert copy["b"] is copy["a"]["b"] is not small["b"]
    assert copy["nan"] is NAN
