"""Pydantic models and msgspec structs are copied, compared and written by their fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trio_steps import CheckpointError
from trio_steps._values.codec import decode, encode
from trio_steps._values.copying import copy_value
from trio_steps._values.equality import equal

pydantic = pytest.importorskip("pydantic")
msgspec = pytest.importorskip("msgspec")


class Model(pydantic.BaseModel):
    items: list[Any]
    _seen: list[Any] = pydantic.PrivateAttr(default_factory=list)


class Open(pydantic.BaseModel, extra="allow"):
    items: list[Any]


class FrozenModel(pydantic.BaseModel, frozen=True):
    id: Any


class Struct(msgspec.Struct):
    items: list[Any]
    name: str = "ada"


class FrozenStruct(msgspec.Struct, frozen=True):
    id: Any


class Loose(msgspec.Struct, dict=True):
    items: list[Any]


class Thing(msgspec.Struct, eq=False):
    items: list[Any]


class Checked(msgspec.Struct):
    items: list[Any]

    def __post_init__(self):
        self.items.append("checked")


def values():
    model, loose = Model(items=[1]), Loose([1])
    model._seen.append(2)
    loose.note = [3]
    return [model, Open(items=[1], more=[2]), FrozenModel(id=[1]), Struct([1]), FrozenStruct([1]), loose]


def fields(value):
    return (
        repr(value),
        getattr(value, "_seen", None),
        getattr(value, "model_fields_set", None),
        getattr(value, "note", None),
    )


each = pytest.mark.parametrize("index", range(len(values())), ids=[type(value).__name__ for value in values()])


@each
def test_model_is_copied_with_all_that_is_in_it(index) -> None:
    value = values()[index]
    copy = copy_value({"v": value, "w": [value]})
    assert copy["w"][0] is copy["v"]
    assert copy["v"] is not value
    assert fields(copy["v"]) == fields(value)
    (copy["v"].id if hasattr(value, "id") else copy["v"].items).append("more")
    assert fields(value) == fields(values()[index])
    assert equal(copy["v"], value) is False


@each
def test_model_is_equal_to_its_copy_and_comes_back(index) -> None:
    value = values()[index]
    assert equal(copy_value(value), value) is True
    again = decode(json.loads(json.dumps(encode([value]))))[0]
    assert type(again) is type(value)
    assert fields(again) == fields(value)
    assert equal(again, value) is True


def test_frozen_model_can_be_a_key() -> None:
    for kind in (FrozenModel, FrozenStruct):
        keys = {kind(id=1): "a"}
        assert decode(encode(keys)) == keys
        assert equal(keys, {kind(id=1): "a"}) is True


def test_frozen_struct_of_atoms_is_not_copied() -> None:
    flat = FrozenStruct(1)
    assert copy_value([flat, []])[0] is flat


class Named:
    def name(self):
        return type(self).__name__


class NamedStruct(msgspec.Struct, Named):
    items: list[Any]


class Derived(NamedStruct):
    more: list[Any]


@pytest.mark.parametrize("value", [NamedStruct([1]), Derived([1], [2])], ids=["itself", "its base"])
def test_struct_may_have_methods_of_a_plain_class(value) -> None:
    copy = copy_value([value])[0]
    assert copy == value
    assert copy.items is not value.items
    assert copy.name() == type(value).__name__
    assert decode(encode([value])) == [value]


def test_struct_whose_plain_class_knows_better_how_it_is_copied_is_passed_as_it_is() -> None:
    class Single:
        def __deepcopy__(self, memo):
            return self

    class Shared(msgspec.Struct, Single):
        items: list[Any]

    value = Shared([1])
    assert copy_value([value])[0] is value


def test_struct_that_is_equal_to_itself_only_is_passed_as_it_is() -> None:
    thing = Thing([1])
    assert copy_value([thing, []])[0] is thing


def test_struct_with_a_post_init_is_copied_without_it_and_not_held() -> None:
    value = Checked([1])
    assert copy_value(value).items == [1, "checked"]
    with pytest.raises(CheckpointError, match="Checked can't be rebuilt without its __post_init__"):
        encode(value)
