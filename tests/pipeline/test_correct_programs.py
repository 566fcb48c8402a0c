"""No correct program is refused: functions as people write them, annotated and decorated, are built and run."""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import decimal
import enum
import functools
import io
import pathlib
import unittest.mock
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import (
    IO,
    Annotated,
    Any,
    BinaryIO,
    ClassVar,
    Concatenate,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    ParamSpec,
    Protocol,
    Required,
    TextIO,
    TypedDict,
    TypeVar,
    Union,
    overload,
)

import attrs
import msgspec
import pydantic
import pytest
import trio
import trio.lowlevel
import typing_extensions

from trio_steps import ConfigError, Pipeline, fork, otherwise, step, when

T = TypeVar("T")
K = TypeVar("K", bound=str)
N = TypeVar("N", int, float)
P = ParamSpec("P")
UserId = NewType("UserId", str)
VipId = NewType("VipId", UserId)
Alias = typing_extensions.TypeAliasType("Alias", dict[str, int])


class User(TypedDict):
    user: str


class Partly(TypedDict, total=False):
    user: Required[str]
    note: str


class Colour(enum.Enum):
    RED = 1


class Reads(Protocol):
    def read(self) -> str: ...


class Base:
    pass


@dataclass
class Child(Base):
    user: str


class Point(NamedTuple):
    x: int
    y: int


# decorators


def wrapped(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, **kwargs)

    return wrapper


def typed_wrapped(fn: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(fn)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return fn(*args, **kwargs)

    return wrapper


def injecting(fn: Callable[Concatenate[str, P], T]) -> Callable[P, T]:
    @functools.wraps(fn)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return fn("db", *args, **kwargs)

    return wrapper


def injecting_by_name(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, db="db", **kwargs)

    return wrapper


def converting(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, **{name: int(value) for name, value in kwargs.items()})

    return wrapper


def naming(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return {"user": fn(*args, **kwargs)}

    return wrapper


def bare(fn):
    def wrapper(user):
        return fn(user)

    return wrapper


def renaming(fn):
    @functools.wraps(fn)
    def wrapper(user, **kwargs):
        return fn(user_id=user, **kwargs)

    return wrapper


def asynchronous(fn):
    @functools.wraps(fn)
    async def wrapper(*args, **kwargs):
        await trio.lowlevel.checkpoint()
        return fn(*args, **kwargs)

    return wrapper


class Decorating:
    def __init__(self, fn):
        functools.update_wrapper(self, fn)
        self.fn = fn

    def __call__(self, *args, **kwargs):
        return self.fn(*args, **kwargs)


def upper(user: str) -> User:
    return {"user": user.upper()}


def with_db(db: str, user: str) -> User:
    return {"user": f"{user}@{db}"}


def by_name(user: str, db: str) -> User:
    return {"user": f"{user}@{db}"}


def number(user: int) -> str:
    return str(user + 1)


def to_text(user: str) -> str:
    return user.upper()


def by_id(user_id: str) -> User:
    return {"user": user_id.upper()}


@contextlib.contextmanager
def opened(user: str):
    yield user


@contextlib.asynccontextmanager
async def aopened(user: str) -> AsyncIterator[str]:
    yield user


class Service:
    table: ClassVar[dict[str, str]] = {}

    def method(self, user: str) -> User:
        return {"user": user}

    @wrapped
    def decorated(self, user: str) -> User:
        return {"user": user}

    @classmethod
    def of_class(cls, user: str) -> User:
        return {"user": user}

    @staticmethod
    def static(user: str) -> User:
        return {"user": user}

    @functools.cached_property
    def lazy(self):
        return self.method

    async def __call__(self, user: str) -> User:
        return {"user": user}


class Box(Generic[T]):
    def __init__(self, content: T) -> None:
        self.content = content

    def put(self, user: T) -> dict[str, T]:
        return {"user": user}


@overload
def many(user: str) -> User: ...
@overload
def many(user: int) -> User: ...
def many(user):
    return {"user": user}


def annotated(**annotations):
    """Return a decorator that annotates a lambda."""

    def annotate(fn):
        fn.__annotations__ = annotations
        return fn

    return annotate


def gives(kind, value):
    """Return a pipeline with a step that returns `value` under a key, as `kind`, and a step that takes it as that."""

    def first():
        return value

    def second(value):
        return {"same": value is not None}

    first.__annotations__["return"] = kind
    second.__annotations__["value"] = kind
    return Pipeline("p").step(first, provides="value").step(second)


def takes(want, have, value):
    """Return a pipeline with a step that provides `value` as `have`, and one that takes it as `want`."""

    def first():
        return value

    def second(value):
        return {"same": True}

    first.__annotations__["return"] = have
    second.__annotations__["value"] = want
    return Pipeline("p").step(first, provides="value").step(second)


def user(fn, **options):
    return Pipeline("p", inputs=User).step("s", fn, **options)


def returns(kind, value):
    def first(user):
        return value

    first.__annotations__["return"] = kind
    return user(first)


@dataclass
class Defaults:
    user: str
    note: str = "x"
    size: int = field(init=False, default=0)
    raw: InitVar[str] = ""


@attrs.define
class Converted:
    user: int = attrs.field(converter=len)
    note: str = "x"
    _private: str = "y"
    size: int = attrs.field(init=False, default=1)


class Model(pydantic.BaseModel):
    user: str
    note: str = "x"


class Struct(msgspec.Struct, frozen=True):
    user: str
    note: str = "x"


async def upper_later(user: str) -> str:
    return user


class Slots:
    __slots__ = ("user",)

    def __init__(self, user: str) -> None:
        self.user = user


CORRECT = {
    # types of values
    "IO": lambda: takes(IO[str], TextIO, io.StringIO()),
    "TextIO": lambda: takes(TextIO, io.StringIO, io.StringIO()),
    "TextIO of open": lambda: takes(TextIO, io.TextIOWrapper, io.TextIOWrapper(io.BytesIO())),
    "BinaryIO": lambda: takes(BinaryIO, io.BytesIO, io.BytesIO()),
    "BytesIO as IO": lambda: takes(IO[bytes], io.BytesIO, io.BytesIO()),
    "IOBase": lambda: takes(io.IOBase, IO[str], io.StringIO()),
    "file for a Protocol": lambda: takes(Reads, io.StringIO, io.StringIO("a")),
    "Iterable of a file": lambda: takes(Iterable[str], TextIO, io.StringIO("a")),
    "int for float": lambda: takes(float, int, 1),
    "float that is an int": lambda: takes(int, float, 1),
    "bool for int": lambda: takes(int, bool, True),
    "NewType for its base": lambda: takes(str, UserId, UserId("a")),
    "base for NewType": lambda: takes(UserId, str, "a"),
    "NewType of NewType": lambda: takes(UserId, VipId, "a"),
    "Annotated": lambda: takes(Annotated[int, "positive"], int, 1),
    "Annotated both": lambda: takes(Annotated[int, 1], Annotated[int, 2], 1),
    "Literal for str": lambda: takes(str, Literal["a", "b"], "a"),
    "str for Literal": lambda: takes(Literal["a"], str, "a"),
    "Optional": lambda: takes(Optional[int], int, 1),  # noqa: UP045
    "int of Optional": lambda: takes(int, Optional[int], 1),  # noqa: UP045
    "Union": lambda: takes(Union[int, str], bool | int, 1),  # noqa: UP007
    "TypeVar": lambda: takes(T, int, 1),
    "bound TypeVar": lambda: takes(K, str, "a"),
    "constrained TypeVar": lambda: takes(N, int, 1),
    "list of TypeVar": lambda: takes(list[T], list[int], [1]),
    "Sequence of list": lambda: takes(Sequence[object], list[int], [1]),
    "tuple": lambda: takes(tuple[int, ...], tuple[int, int], (1, 2)),
    "Mapping of dict": lambda: takes(Mapping[str, float], dict[str, int], {}),
    "dict of TypedDict": lambda: takes(dict[str, Any], User, {"user": "a"}),
    "TypedDict of dict": lambda: takes(User, dict[str, str], {"user": "a"}),
    "alias": lambda: takes(Alias, dict[str, int], {}),
    "of an alias": lambda: takes(dict[str, int], Alias, {}),
    "Callable": lambda: takes(Callable[[int], str], type, str),
    "Callable of ParamSpec": lambda: takes(Callable[P, int], Callable[..., int], len),
    "type": lambda: takes(type[Base], type, Child),
    "NamedTuple as tuple": lambda: takes(tuple[int, int], Point, Point(1, 2)),
    "Enum": lambda: gives(Colour, Colour.RED),
    "datetime as date": lambda: takes(dt.date, dt.datetime, dt.datetime(2026, 1, 1)),  # noqa: DTZ001
    "Path as PurePath": lambda: takes(pathlib.PurePath, pathlib.Path, pathlib.Path()),
    "subclass for base": lambda: takes(Base, Child, Child("a")),
    "base that is a subclass": lambda: takes(Child, Base, Child("a")),
    "Decimal": lambda: gives(decimal.Decimal, decimal.Decimal(1)),
    "UUID": lambda: gives(uuid.UUID, uuid.UUID(int=1)),
    "Box": lambda: takes(Box[int], Box, Box(1)),
    "Final": lambda: takes(Final[int], int, 1),
    "object": lambda: takes(object, int, 1),
    "deque for Iterable": lambda: takes(Iterable[int], collections.deque[int], collections.deque([1])),
    "defaultdict": lambda: takes(dict[str, int], collections.defaultdict[str, int], collections.defaultdict(int)),
    "Any": lambda: takes(Any, int, 1),
    "LiteralString": lambda: takes(typing_extensions.LiteralString, str, "a"),
    "Self": lambda: takes(typing_extensions.Self, int, 1),
    "text that names nothing": lambda: takes("Nowhere", int, 1),
    "trio scope": lambda: gives(trio.CancelScope, trio.CancelScope()),
    # functions
    "plain": lambda: user(upper),
    "method": lambda: user(Service().method),
    "decorated method": lambda: user(Service().decorated),
    "classmethod": lambda: user(Service.of_class),
    "staticmethod": lambda: user(Service.static),
    "cached property": lambda: user(Service().lazy),
    "callable object": lambda: user(Service()),
    "generic method": lambda: user(Box("a").put),
    "overloaded": lambda: user(many),
    "partial": lambda: user(functools.partial(with_db, "db")),
    "partial by name": lambda: user(functools.partial(by_name, db="db")),
    "partialmethod": lambda: user(functools.partial(functools.partial(with_db, "db"))),
    "class": lambda: user(Child),
    "class under a key": lambda: user(Slots, provides="made"),
    "step": lambda: user(step(upper, timeout=1)),
    "step of a step": lambda: user(step(step(upper), id="s")),
    "fork": lambda: user(fork("f", mode="all", paths=[upper, Service().method]), provides="both"),
    "mock": lambda: user(unittest.mock.Mock(return_value={"a": 1})),
    "AsyncMock": lambda: user(unittest.mock.AsyncMock(return_value={"a": 1})),
    "MagicMock with a name": lambda: user(unittest.mock.MagicMock(return_value=None, __name__="m")),
    "mock of a function": lambda: user(unittest.mock.create_autospec(upper, return_value={"a": 1})),
    # decorators
    "wraps": lambda: user(wrapped(upper)),
    "typed wraps": lambda: user(typed_wrapped(upper)),
    "injected with Concatenate": lambda: user(injecting(with_db)),
    "injected by name": lambda: user(injecting_by_name(by_name)),
    "converted": lambda: Pipeline("p", inputs=User).step(converting(number), provides="n"),
    "makes a mapping of it": lambda: user(naming(to_text)),
    "without wraps": lambda: user(bare(upper)),
    "renamed": lambda: user(renaming(by_id)),
    "made async": lambda: user(asynchronous(upper)),
    "class as decorator": lambda: user(Decorating(upper)),
    "two": lambda: user(wrapped(injecting_by_name(by_name))),
    "cache": lambda: user(functools.lru_cache(upper)),
    "validated": lambda: Pipeline("p", inputs=User).step(pydantic.validate_call(number), provides="n"),
    "context manager under a key": lambda: user(opened, provides="cm"),
    "async context manager under a key": lambda: user(aopened, provides="cm"),
    "annotated lambda": lambda: user(annotated(user=str, **{"return": User})(lambda user: {"user": user})),
    # outputs
    "dict": lambda: returns(dict, {"a": 1}),
    "Mapping": lambda: returns(Mapping[str, object], {"a": 1}),
    "not always": lambda: returns(Partly, {"user": "a"}),
    "or None": lambda: returns(User | None, None),
    "or text": lambda: returns(User | str, {"user": "a"}),
    "base of a dataclass": lambda: returns(Base, Child("a")),
    "object that is a mapping": lambda: returns(object, {}),
    "Protocol that is a mapping": lambda: returns(typing_extensions.Protocol, {}),
    "Iterable that is a mapping": lambda: returns(Iterable[str], {}),
    "Awaitable": lambda: user(asynchronous(upper)),
    "Coroutine": lambda: returns(Coroutine[Any, Any, User], {"user": "a"}),
    "Awaitable or not": lambda: returns(Awaitable[User] | User, {"user": "a"}),
    "model": lambda: returns(Model, Model(user="a")),
    "struct": lambda: returns(Struct, Struct("a")),
    "alias of a dict": lambda: returns(Alias, {"a": 1}),
    "TypeVar of anything": lambda: returns(T, {"a": 1}),
    "generic dict": lambda: returns(dict[K, int], {"a": 1}),
    "nothing that anybody knows": lambda: returns("Nowhere", {"a": 1}),
    "NoReturn in a branch": lambda: returns(User, {"user": "a"}),
    # what a pipeline returns
    "outputs with defaults": lambda: user(upper).outputs(Defaults),
    "outputs that converts": lambda: user(upper).outputs(Converted),
    "outputs of a model": lambda: user(upper).outputs(Model),
    "outputs of a struct": lambda: user(upper).outputs(Struct),
    # how it is built
    "branch": lambda: user(upper).branch_on(
        when(lambda user: user == "A", lambda p: p.step(upper)), otherwise(lambda p: p.step(wrapped(upper)))
    ),
    "for each": lambda: Pipeline("p").for_each(wrapped(to_text), over="names", each="user", into="texts"),
    "nested": lambda: user(Pipeline("inner", inputs=User).step(upper)),
    "several": lambda: user(wrapped(upper)).step("g", upper, Service().method, mode="settle"),
}


@pytest.mark.parametrize("name", CORRECT)
async def test_correct_program_is_built_and_runs(name) -> None:
    given = {"user": "1", "names": ["ada"]}
    result = await CORRECT[name]().run(given)
    assert result is not None


def test_there_are_a_hundred_of_them() -> None:
    assert len(CORRECT) >= 100


# Programs that can't work


def asyncgen_annotated(user: str) -> AsyncIterator[int]: ...


async def asyncgen(user: str):
    yield user


def generator(user):
    yield user


class Impossible(TypedDict):
    user: int


def takes_bytes(user: bytes) -> None: ...


def takes_list(user: list[str]) -> None: ...


WRONG = {
    "misspelt key": (lambda: user(lambda usr: None), "needs 'usr', which nothing provides; did you mean 'user'"),
    "misspelt key of a method": (lambda: user(Box("a").put).step(lambda usr: None, id=1), "unexpected keyword"),
    "wrong type": (lambda: user(takes_bytes), "takes 'user' as bytes, but it is str"),
    "wrong element": (lambda: user(takes_list), "takes 'user' as list[str], but it is str"),
    "datetime": (lambda: returns(dt.datetime, 0), "returns datetime, which has no keys"),
    "Path": (lambda: returns(pathlib.Path, 0), "returns Path, which has no keys"),
    "Decimal": (lambda: returns(decimal.Decimal, 0), "returns Decimal, which has no keys"),
    "UUID": (lambda: returns(uuid.UUID, 0), "returns UUID, which has no keys"),
    "Enum": (lambda: returns(Colour, 0), "returns Colour, which has no keys"),
    "plain class": (lambda: returns(Slots, 0), "returns Slots, which has no keys"),
    "named tuple": (lambda: returns(Point, 0), "returns Point, which has no keys"),
    "Literal": (lambda: returns(Literal["a"], 0), "returns Literal['a'], which has no keys"),
    "type": (lambda: returns(type, 0), "returns type, which has no keys"),
    "Sequence": (lambda: returns(Sequence[int], 0), "returns Sequence[int], which has no keys"),
    "list of mappings": (lambda: returns(list[User], 0), "returns list[User], which has no keys"),
    "file": (lambda: returns(io.StringIO, 0), "returns StringIO, which has no keys"),
    "deque": (lambda: returns(collections.deque, 0), "returns deque, which has no keys"),
    "range": (lambda: returns(range, 0), "returns range, which has no keys"),
    "async generator": (lambda: user(asyncgen), "has a yield in it"),
    "annotated async generator": (lambda: user(asyncgen_annotated), "returns AsyncIterator[int], which has no keys"),
    "generator": (lambda: user(generator), "has a yield in it"),
    "class without fields": (lambda: user(Slots), "returns Slots, which has no keys"),
    "text as a transform": (lambda: user(upper).transform("t", to_text), "returns str, but what it returns replaces"),
    "outputs that nothing provides": (lambda: user(upper).outputs(Partly).outputs(Point), "give a TypedDict"),
    "outputs of another type": (lambda: user(upper).outputs(Impossible), "has 'user' as str, not int"),
    "needs a key of a case": (
        lambda: (
            user(upper)
            .branch_on("b", when(lambda: True, lambda p: p.step(lambda: 1, provides="k")))
            .step("k", lambda k: None)
        ),
        "needs 'k', but step 'b/case-1",
    ),
    "needs a key of a conditional step": (
        lambda: user(lambda: 1, provides="k", condition=lambda: True).step("k", lambda k: None),
        "needs 'k', but step 's' provides it only if its condition holds",
    ),
    "print": (lambda: user(print), "does not say which keys"),
    "no function": (lambda: user(5), "give a function or another callable, not 5"),
    "no function, and no name": (lambda: Pipeline("p").step(5), "give a function or another callable, not 5"),
    "a coroutine": (lambda: user(upper_later("a")), "not the coroutine"),
    "two contexts": (lambda: user(lambda a, b, /: None), "takes 2 positional-only arguments"),
    "bound twice": (lambda: user(functools.partial(upper, nobody=1)), "can never be called"),
    "element of another type": (
        lambda: user(upper).for_each(to_text, over="user", each="user", into="k"),
        "each='user' would hide the key 'user'",
    ),
    "no collection": (
        lambda: user(lambda: 1, provides="n").step(number_out).for_each(to_text, over="m", each="x", into="k"),
        "its function has no parameter of that name",
    ),
}


def number_out() -> Impossible:
    return {"user": 1}


@pytest.mark.parametrize("name", WRONG)
def test_program_that_can_not_work_is_refused_at_its_line(name) -> None:
    build, message = WRONG[name]
    with pytest.raises((ConfigError, TypeError)) as caught:
        build()
    assert message in str(caught.value)


def test_there_are_thirty_of_them() -> None:
    assert len(WRONG) >= 30
