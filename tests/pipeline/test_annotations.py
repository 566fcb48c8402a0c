"""Annotations are resolved one at a time."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Awaitable, Callable, Coroutine
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypedDict,
    TypeVar,
    Union,
)

import attrs
import pytest
import typing_extensions
from typing_extensions import ReadOnly

from trio_steps._pipeline.contract.annotations import (
    UNKNOWN,
    awaited,
    members,
    resolve,
    type_name,
    union,
    unqualified,
)
from trio_steps._pipeline.contract.records import Field, fields_of
from trio_steps._pipeline.signature import signature_of

T = TypeVar("T")
UserId = NewType("UserId", str)
Alias = typing_extensions.TypeAliasType("Alias", int | str)


class Lazy:
    """Stands for a ``type`` statement whose value can't be evaluated."""

    @property
    def __value__(self):
        raise NameError("Undefined")


Lazy.__name__ = "TypeAliasType"


class User(TypedDict):
    id: str
    name: NotRequired[str]
    born: Undefined  # noqa: F821 - that is what is tested


class Partial(TypedDict, total=False):
    id: Required[int]
    name: ReadOnly[str]
    both: Annotated[NotRequired[ReadOnly[int]], "a note"]


class Inheriting(User, total=False):
    age: int


class Extension(typing_extensions.TypedDict):
    id: int
    name: NotRequired[str]


@attrs.frozen
class Base:
    id: int


@attrs.frozen
class Order(Base):
    items: list[str]
    _private: Undefined = None  # noqa: F821


@attrs.frozen
class Legacy:
    untyped = attrs.field()
    old = attrs.field(type=int)


@dataclasses.dataclass
class Report:
    title: str
    count: ClassVar[int]
    final: typing.Final[int] = 1


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


def annotated(a: int, b: Undefined, c: list[Undefined], d: not valid, e, f: None) -> str:  # noqa: F821
    ...


annotated.__annotations__["d"] = "not valid ="


def test_each_annotation_is_resolved_by_itself() -> None:
    """One that can't be resolved is unknown; the others are not affected."""
    assert signature_of(annotated, "load").types == {
        "a": int,
        "b": UNKNOWN,
        "c": list[typing.Any],
        "d": UNKNOWN,
        "e": UNKNOWN,
        "f": type(None),
    }
    assert signature_of(annotated, "load").returns is str


def test_locally_defined_types_are_found() -> None:
    """The function around a step is usually still running when the pipeline is built."""

    class Local(TypedDict):
        mine: Other

    class Other:
        pass

    def load(local: Local) -> Other: ...

    async def nested():
        pass

    assert signature_of(load, "load").types == {"local": Local}
    assert signature_of(load, "load").returns is Other
    assert fields_of(Local) == {"mine": Field(Other)}


def test_a_local_type_hides_a_global_one_of_the_same_name() -> None:
    """Names are looked up from where the annotation is written."""

    class User:
        pass

    def load(user: User): ...

    assert signature_of(load, "load").types == {"user": User}


def make_closure():
    class Local:
        pass

    class Unused:
        pass

    def load(local: Local, unused: Unused):
        return Local

    return load, Local


def test_types_of_a_function_that_has_returned_are_found_where_they_are_closed_over() -> None:
    """A type that the function uses only in an annotation is gone by then, and unknown."""
    load, local = make_closure()
    assert signature_of(load, "load").types == {"local": local, "unused": UNKNOWN}


def test_a_variable_that_is_not_bound_yet_is_unknown() -> None:
    """A closure can exist before the variables that it closes over have values."""

    def load(late: Late):
        return Late

    assert signature_of(load, "load").types == {"late": UNKNOWN}

    class Late:
        pass

    assert signature_of(load, "load").types == {"late": Late}


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        (User, {"id": Field(str), "name": Field(str, False), "born": Field(UNKNOWN)}),
        (Partial, {"id": Field(int), "name": Field(str, False), "both": Field(int, False)}),
        (
            Inheriting,
            {"id": Field(str), "name": Field(str, False), "born": Field(UNKNOWN), "age": Field(int, False)},
        ),
        (Extension, {"id": Field(int), "name": Field(str, False)}),
        (Order, {"id": Field(int), "items": Field(list[str]), "_private": Field(UNKNOWN)}),
        (Legacy, {"untyped": Field(UNKNOWN), "old": Field(int)}),
        (Report, {"title": Field(str), "final": Field(int)}),
        (Box[int], {"content": Field(T)}),
        (dict, None),
        (dict[str, int], None),
        (int | str, None),
        (None, None),
    ],
)
def test_fields_of(record, fields) -> None:
    """Records have fields, and ``NotRequired`` is read from strings too."""
    assert fields_of(record) == fields


def test_fields_of_a_typed_dict_whose_annotations_are_no_strings() -> None:
    """The same holds without ``from __future__ import annotations``."""
    for base in (TypedDict, typing_extensions.TypedDict):
        record = base("record", {"id": Required[int], "name": NotRequired[str], "age": int})
        assert fields_of(record) == {"id": Field(int), "name": Field(str, False), "age": Field(int)}


def test_unqualified_tells_what_was_said_about_the_key() -> None:
    """None means that nothing was said."""
    assert unqualified(Annotated[int, "note"]) == (int, None)
    assert unqualified(Annotated[Required[int], "note"]) == (int, True)
    assert unqualified(NotRequired[Annotated[int, "note"]]) == (int, False)


@pytest.mark.parametrize(
    ("returns", "result"),
    [
        (int, int),
        (Awaitable[int], int),
        (Coroutine[Any, Any, int], int),
        (Awaitable[int] | None, int | None),
        (Awaitable, UNKNOWN),
        (UNKNOWN, UNKNOWN),
        (list[int], list[int]),
    ],
)
def test_awaited(returns, result) -> None:
    """An awaitable is unwrapped once."""
    assert awaited(returns) == result


@pytest.mark.parametrize(
    ("kinds", "result"),
    [
        ([int], int),
        ([int, str], int | str),
        ([int, None], int | None),
        ([int, int], int),
        ([int, UNKNOWN], UNKNOWN),
        ([], UNKNOWN),
    ],
)
def test_union(kinds, result) -> None:
    """A union with something unknown is unknown."""
    assert union(kinds) == result


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (UNKNOWN, "Any"),
        (int, "int"),
        (type(None), "None"),
        (Order, "Order"),
        (int | None, "int | None"),
        (Union[int, None, list[str]], "int | None | list[str]"),  # noqa: UP007 - the other spelling
        (dict[str, list[int]], "dict[str, list[int]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Callable[[int], str], "Callable[[int], str]"),
        (Literal["a", 1], "Literal['a', 1]"),
        (UserId, "UserId"),
        (T, "T"),
        (Box[int], "Box[int]"),
        (..., "Ellipsis"),
    ],
)
def test_type_name(kind, name) -> None:
    """Types are named as one would write them."""
    assert type_name(kind) == name


@pytest.mark.parametrize(
    ("kind", "outer", "inner"),
    [
        (int, [int], [int]),
        (int | None, [int, type(None)], [int, type(None)]),
        (Annotated[int | Annotated[str, "note"], "note"], [int, str], [int, str]),
        (UserId, [UserId], [str]),
        (UserId | None, [UserId, type(None)], [str, type(None)]),
        (Alias, [int, str], [int, str]),
        (Lazy(), [UNKNOWN], [UNKNOWN]),
    ],
)
def test_members(kind, outer, inner) -> None:
    """Unions are split and aliases resolved; a ``NewType`` is resolved on demand."""
    assert members(kind, into_new_types=False) == outer
    assert members(kind) == inner


def test_resolve_takes_what_is_no_string() -> None:
    """Annotations are strings only under ``from __future__ import annotations``."""
    assert resolve(None, annotated) is type(None)
    assert resolve(Optional["Order"], annotated) == (Order | None)
