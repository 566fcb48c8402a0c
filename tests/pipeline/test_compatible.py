"""Whether a value of one type can be one of another."""

import collections
import decimal
import enum
import functools
import typing
from abc import ABC, abstractmethod
from collections import abc
from typing import Annotated, Any, Generic, Literal, NewType, Protocol, TypedDict, TypeVar

import pytest
import typing_extensions

from trio_steps._pipeline.contract.compatible import fits

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
P = typing_extensions.ParamSpec("P")
Ts = typing_extensions.TypeVarTuple("Ts")

UserId = NewType("UserId", str)
AdminId = NewType("AdminId", UserId)
OrderId = NewType("OrderId", str)
Json = typing_extensions.TypeAliasType("Json", dict[str, "Json"] | list["Json"])


class User:
    pass


class Admin(User):
    pass


class Order:
    pass


class Named(Protocol):
    name: str


class Store(ABC):
    @abstractmethod
    def get(self): ...


class Closing(ABC):
    @abstractmethod
    def close(self): ...


class Memory(Store):
    def get(self):
        return None


class Box(Generic[T]):
    pass


class Sink(Generic[T_contra]):
    pass


class Call(Generic[P]):
    pass


class Strings(list[str]):
    pass


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Mood(str, enum.Enum):  # noqa: UP042 — not the same as a StrEnum
    GOOD = "good"


class Strange(type):
    def __subclasscheck__(cls, other):
        raise RuntimeError("no")


class Stranger(metaclass=Strange):
    pass


class UserDict(TypedDict):
    id: int
    name: str


class Numbered(TypedDict):
    id: str


class Loose(TypedDict, total=False):
    id: str


class Tree(TypedDict):
    children: "list[Tree]"


class Bush(TypedDict):
    children: "list[Bush]"


@pytest.mark.parametrize(
    ("have", "want"),
    [
        (int, int),
        (Any, int),
        (abc.Generator[int, str, None], abc.Generator[str]),  # the others have defaults, which are not looked up
        (abc.Generator[int], abc.Generator[str, int, None]),
        (int, Any),
        (object, int),
        (int, object),
        (bool, int),
        (int, bool),
        (int, float),
        (float, int),
        (bool, complex),
        (float, complex),
        (bytearray, bytes),
        (memoryview, bytes),
        (Admin, User),
        (User, Admin),
        (int, int | None),
        (int | None, int),
        (int | str, str | bytes),
        (Annotated[int, "note"], int),
        (int, T),
        (T, int),
        (User, Named),
        (Named, int),
        ("not resolved", int),
        (list[str], list["Unresolved"]),  # noqa: F821 - that is what is tested
        (list, list[int]),
        (list[int], list),
        (list[bool], list[int]),
        (list[int], abc.Sequence[int]),
        (abc.Sequence[int], list[int]),
        (abc.Iterable[int], abc.Sized),
        (dict[str, int], abc.Mapping[str, int]),
        (dict[str, int], abc.Iterable[str]),
        (collections.Counter[str], dict[str, int]),
        (abc.Generator[int, str, None], abc.Generator[int, bytes, None]),
        (abc.Generator[int, None, None], abc.Iterator[int]),
        (abc.Callable[[int], str], abc.Callable[[str], str]),
        (type[Admin], type[User]),
        (Box[int], Box[bool]),
        (Box[int], Box),
        (Sink[int], Sink[str]),
        (Call[[int]], Call[[str]]),
        (Strings, list[int]),
        (functools.partial, abc.Callable),
        (Store, Closing),
        (Memory, Store),
        (Stranger, Strange),
        (int, Stranger),
        (tuple, tuple[int]),
        (tuple[int, str], tuple[int, str]),
        (tuple[int, ...], tuple[int, int]),
        (tuple[int, ...], tuple[int, int, int]),
        (tuple[int, int, int], tuple[int, ...]),
        (tuple[int, int], tuple[int, ...]),
        (tuple[int, ...], tuple[bool, ...]),
        (tuple[int, bool], abc.Sequence[int]),
        (abc.Sequence[int], tuple[int, int]),
        (tuple[int, ...], abc.Iterable[int]),
        (tuple[int, *Ts], tuple[str, int]),
        (Literal["a"], str),
        (str, Literal["a"]),
        (Literal["a", "b"], Literal["b", "c"]),
        (Literal[1], float),
        (Literal[Colour.RED], Colour),
        (Mood, str),
        (str, Mood),
        (UserId, str),
        (str, UserId),
        (UserId, UserId),
        (AdminId, UserId),
        (UserId, AdminId),
        (UserId | None, UserId),
        (Json, dict[str, int]),
        (Json, list[int]),
        (UserDict, dict),
        (UserDict, dict[str, int]),
        (dict[str, int], UserDict),
        (UserDict, abc.Mapping[str, Any]),
        (UserDict, Loose),
        (Tree, Bush),
    ],
)
def test_types_that_can_fit(have, want) -> None:
    """Types that may fit are accepted, and so are types that are not understood."""
    assert fits(have, want)


@pytest.mark.parametrize(
    ("have", "want"),
    [
        (int, str),
        (str, int),
        (float, decimal.Decimal),
        (None.__class__, int),
        (int | None, str),
        (int | str, bytes),
        (User, Order),
        (User, int),
        (int, abc.Iterable),
        (int, abc.Callable),
        (User, Closing),
        (Annotated[int, "note"], str),
        (list[int], list[str]),
        (list[int], set[int]),
        (list[list[int]], list[list[str]]),
        (list[int], abc.Sequence[str]),
        (abc.Iterable[int], list[str]),
        (dict[str, int], dict[str, str]),
        (dict[str, int], abc.Mapping[int, int]),
        (str, list[str]),
        (abc.Callable[[int], str], abc.Callable[[int], int]),
        (type[User], type[Order]),
        (Box[int], Box[str]),
        (tuple[int, str], tuple[int]),
        (tuple[int, str], tuple[str, int]),
        (tuple[int, ...], tuple[str, ...]),
        (tuple[int, ...], tuple[int, str]),
        (tuple[int, str], abc.Sequence[int]),
        (abc.Sequence[str], tuple[int, int]),
        (tuple[int], list[int]),
        (Literal["a"], Literal["b"]),
        (Literal[1], Literal[True]),
        (Literal["a"], int),
        (int, Literal["a"]),
        (Colour, int),
        (UserId, int),
        (UserId, OrderId),
        (AdminId, OrderId),
        (UserId | None, OrderId),
        (Json, int),
        (UserDict, Numbered),
        (UserDict, int),
        (UserDict, dict[int, str]),
        (dict[int, str], UserDict),
        (User, UserDict),
    ],
)
def test_types_that_can_not_fit(have, want) -> None:
    """Types that can't fit are refused."""
    assert not fits(have, want)


def test_arguments_of_unrelated_families_are_not_compared() -> None:
    """How the arguments of a subclass relate to those of its base is not known."""

    class Pair(tuple, Generic[T]):  # noqa: SLOT001
        pass

    class Many(list[T]):
        pass

    assert fits(Pair[int], tuple[str, ...])
    assert fits(Many[int], list[str])


def test_a_class_that_inherits_from_any_fits_everything() -> None:
    """It could be anything."""

    class Unknowable(typing.Any):
        pass

    assert fits(Unknowable, int)
    assert fits(int, Unknowable)


@pytest.mark.parametrize(
    ("wrap_have", "wrap_want"),
    [
        (lambda inner: list[inner], lambda inner: list[inner]),
        (lambda inner: list[inner], lambda inner: abc.Sequence[inner]),
        (lambda inner: tuple[inner], lambda inner: tuple[inner]),
        (lambda inner: tuple[inner], lambda inner: abc.Sequence[inner]),
        (lambda inner: abc.Sequence[inner], lambda inner: tuple[inner]),
        (lambda inner: TypedDict("Have", {"key": inner}), lambda inner: TypedDict("Want", {"key": inner})),
        (lambda inner: NewType("Have", inner), lambda inner: inner),
        (lambda inner: inner, lambda inner: NewType("Want", inner)),
    ],
    ids=["list", "sequence", "tuple", "from tuple", "to tuple", "fields", "from new type", "to new type"],
)
def test_types_are_followed_twenty_levels_deep(wrap_have, wrap_want) -> None:
    have, want = int, str
    for _ in range(20):
        have, want = wrap_have(have), wrap_want(want)
        assert not fits(have, want)
    assert fits(wrap_have(have), wrap_want(want))


@pytest.mark.parametrize(("have", "want"), [(Literal[1], str), (int, Literal["a"])], ids=["from", "to"])
def test_type_of_a_literal_is_one_level_deeper(have, want) -> None:
    for _ in range(19):
        have, want = list[have], list[want]
        assert not fits(have, want)
    assert fits(list[have], list[want])
