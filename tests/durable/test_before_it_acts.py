"""What a durable run refuses before its first step: types that can't be stored, and outputs marked by hand."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import enum
import json
import pathlib
import re
import socket
import sys
from contextlib import suppress
from typing import Any, Generic, Literal, NamedTuple, NewType, Protocol, TypedDict, TypeVar

import attrs
import msgspec
import pytest

from trio_steps import CheckpointError, ConfigError, Fulfilled, Pipeline, StepInputError, step
from trio_steps._pipeline.contract.storable import obstacle
from trio_steps.store import AnswerError
from trio_steps.testing import MemoryStore

T = TypeVar("T")


class Client:
    """Can't be stored."""


class Base:
    """Can't be stored itself, but a class that derives from it can."""


@dataclasses.dataclass
class Derived(Base):
    x: int


@dataclasses.dataclass
class Holds:
    x: int
    client: Client


@dataclasses.dataclass
class Tree:
    branches: list[Tree]


@dataclasses.dataclass(eq=False)
class Thing:
    x: int


class Keys(TypedDict):
    client: Client


class FineKeys(TypedDict):
    tree: Tree


class Colour(enum.Enum):
    RED = 1


@attrs.frozen
class Box(Generic[T]):
    inside: T


class Pair(NamedTuple):
    a: int


class HasX(Protocol):
    x: int


class Odd(dict[str, int]):
    pass


class Struct(msgspec.Struct):
    x: int


class Initialized(msgspec.Struct):
    x: int

    def __post_init__(self) -> None:
        self.x += 1


class AbstractThing(collections.abc.Sized):
    pass


class OfClasses(type):
    """The metaclass of some classes."""


class OfTheirClasses(type, metaclass=OfClasses):
    """A metaclass that has a metaclass."""


def local() -> type:
    @dataclasses.dataclass
    class Local:
        x: int

    class LocalColour(enum.Enum):
        RED = 1

    return Local, LocalColour


LOCAL, LOCAL_COLOUR = local()


@pytest.mark.parametrize(
    "kind",
    [
        *(int, float | None, str, bytes, complex, range, object, Any, T, Literal["a"], NewType("Id", str)),
        *(list[int], dict[str, Tree], tuple[int, ...], set[Colour], collections.abc.Sequence[Tree]),
        *(collections.abc.Callable[[], int], collections.abc.Mapping[str, int], AbstractThing, HasX),
        *(pathlib.Path, pathlib.PurePath, dt.datetime, dt.tzinfo, enum.Enum, Colour, Exception, OSError),
        *(Base, Derived, Tree, FineKeys, Box[int], Pair, Struct, Fulfilled[int]),
    ],
    ids=lambda kind: getattr(kind, "__name__", str(kind)),
)
def test_type_that_can_be_stored_or_may_be_is_no_obstacle(kind) -> None:
    assert obstacle(kind) is None


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Client, "instances of Client can't be held in a checkpoint; give a codec=… for them"),
        (Client | None, "instances of Client"),
        (list[Client], "instances of Client"),
        (dict[str, list[Client]], "instances of Client"),
        (collections.abc.Mapping[str, Client], "instances of Client"),
        (Box[Client], "instances of Client"),
        (Holds, "in the field 'client' of Holds: instances of Client"),
        (Keys, "in the field 'client' of Keys: instances of Client"),
        (Thing, "Thing has eq=False, so its instances are not values"),
        (Odd, "instances of Odd"),
        (Initialized, "Initialized can't be rebuilt without its __post_init__"),
        (type[int], "instances of type"),
        (OfTheirClasses, "instances of OfTheirClasses"),
        (socket.socket, "instances of socket"),
        (LOCAL, "Local' can't be found again by this name; define it at the top of a module"),
        (LOCAL_COLOUR, "LocalColour' can't be found again by this name"),
    ],
    ids=lambda kind: getattr(kind, "__name__", str(kind))[:40],
)
def test_type_that_can_not_be_stored_says_why(kind, why) -> None:
    assert why in str(obstacle(kind))


# Before the first step

charged: list[str] = []


def charge() -> str:
    charged.append("charged")
    return "R"


def connect() -> Client:
    raise AssertionError("this is not to be called")


async def connect_each(n: int) -> Client:
    raise AssertionError("this is not to be called")


def keys() -> Keys:
    raise AssertionError("this is not to be called")


@pytest.mark.parametrize(
    ("build", "where"),
    [
        (lambda p: p.step("connect", connect, provides="client"), "step 'connect', key 'client'"),
        (lambda p: p.step("keys", keys), "step 'keys', key 'client'"),
        (lambda p: p.step("both", step(connect, provides="client"), charge_too), "step 'both/connect', key 'client'"),
        (
            lambda p: p.step("in", Pipeline("in").step("connect", connect, provides="client")),
            "step 'in/connect', key 'client'",
        ),
        (
            lambda p: p.for_each("each", connect_each, over="ns", each="n", into="clients"),
            "step 'each', key 'clients'",
        ),
        (lambda p: p.transform("whole", keys), "step 'whole', key 'client'"),
        (lambda p: p.wait_for("ask", provides="client", of=Client), "step 'ask', key 'client'"),
        (
            lambda p: p.repeat("r", lambda q: q.step("c", connect, provides="c"), until=lambda c: c, at_most=2),
            "step 'r/c', key 'c'",
        ),
    ],
    ids=["step", "keys", "member", "nested", "each", "transform", "wait", "repeat"],
)
async def test_declared_type_that_can_not_be_stored_is_an_error_before_the_first_step(build, where) -> None:
    charged.clear()
    store = MemoryStore()
    p = build(Pipeline("p").step("charge", charge, provides="receipt"))
    for call in (p.run, p.submit):
        with pytest.raises(CheckpointError, match=re.escape(f"{where}: the step is declared to return what can't be")):
            await call({"ns": [1]}, store=store, run_id="r")
    assert (charged, await store.runs()) == ([], ())


def charge_too() -> None:
    """A sibling of `charge`."""


async def test_declared_type_is_no_matter_without_a_store_or_with_a_codec() -> None:
    class Names:
        @staticmethod
        def dumps(value: object) -> str:
            return type(value).__name__

        loads = staticmethod(json.loads)

    async def real() -> Client:
        return Client()

    result = await Pipeline("p").step("connect", real, provides="client").run({})
    assert isinstance(result["client"], Client)
    p = Pipeline("p", codec=Names()).step("connect", real, provides="client")
    assert isinstance((await p.run({}, store=MemoryStore(), run_id="r"))["client"], Client)


# Outputs marked by hand


class Receipt(TypedDict):
    number: int
    ratio: float
    parts: list[str]


def fails() -> Receipt:
    raise OSError("no")


def fails_to_say():
    raise OSError("no")


def fails_and_gives_nothing() -> None:
    raise OSError("no")


async def marked(function, *output, **options) -> dict[str, object]:
    store = MemoryStore()
    p = Pipeline("p").step("fails", function, **options)
    with suppress(OSError):
        await p.run({}, store=store, run_id="r")
    await store.mark_done("r", "fails", *output)
    return await p.run(store=store, run_id="r")


GOOD = {"number": 1, "ratio": 0.5, "parts": ["a"]}


async def test_marked_output_is_checked_by_what_the_step_says() -> None:
    assert await marked(fails, GOOD) == GOOD
    assert await marked(fails, GOOD | {"ratio": 1})  # int for float, as type checkers allow
    for wrong, problem in (
        (GOOD | {"number": "1"}, "'number' has to be int, not '1' (of type str)"),
        (GOOD | {"parts": ("a",)}, "'parts' has to be list, not ('a',) (of type tuple)"),
        (GOOD | {"nmber": 1}, "the output has 'nmber', which the step doesn't give; the step gives 'number', 'ratio'"),
        ({"number": 1}, "the output has to have 'ratio', 'parts'"),
        ({}, "the output has to have"),
    ):
        with pytest.raises(ConfigError, match=re.escape(f"mark_done(…, 'fails', {{…}}): {problem}")):
            await marked(fails, wrong)
    with pytest.raises(ConfigError, match="the step gives nothing"):
        await marked(fails_and_gives_nothing, {"x": 1})
    assert await marked(fails_and_gives_nothing) == {}


async def test_marked_output_of_a_step_that_says_nothing_is_believed() -> None:
    assert await marked(fails_to_say, {"x": 1}) == {"x": 1}
    assert await marked(fails_to_say, {"x": 1}, provides="x") == {"x": 1}


def gives_base() -> Base:
    raise OSError("no")


def gives_has_x() -> HasX:
    raise OSError("no")


def gives_sized() -> collections.abc.Sized:
    raise OSError("no")


def gives_keys() -> FineKeys:
    raise OSError("no")


def gives_maybe() -> Derived | None:
    raise OSError("no")


@pytest.mark.parametrize(
    ("function", "good", "bad"),
    [
        (gives_base, Derived(1), 1),
        (gives_has_x, Derived(1), None),
        (gives_sized, "abc", 1),
        (gives_keys, {"tree": Tree([])}, 1),
        (gives_maybe, None, 1),
    ],
)
async def test_marked_output_may_be_of_a_class_that_derives_from_the_one_that_is_declared(function, good, bad) -> None:
    assert await marked(function, {"v": good}, provides="v") == {"v": good}
    if bad is not None:
        with pytest.raises(ConfigError, match="'v' has to be"):
            await marked(function, {"v": bad}, provides="v")


async def test_marked_output_of_a_class_that_is_gone_is_refused(monkeypatch) -> None:
    store = MemoryStore()
    with suppress(OSError):
        await Pipeline("p").step("fails", gives_base, provides="v").run({}, store=store, run_id="r")
    module = sys.modules.pop(__name__)
    try:
        with pytest.raises(ConfigError, match=r"'v' has to be .*:Base, not 1 \(of type int\)"):
            await store.mark_done("r", "fails", {"v": 1})
    finally:
        sys.modules[__name__] = module


async def test_marked_answer_has_the_exact_type_that_is_asked_for() -> None:
    store = MemoryStore()
    p = Pipeline("p").wait_for("ask", provides="ok", of=bool)
    await p.run({}, store=store, run_id="r")
    with pytest.raises(AnswerError, match="'ask' asks for bool, not for 1"):
        await store.mark_done("r", "ask", {"ok": 1})
    await store.mark_done("r", "ask", {"ok": True})
    assert await p.run(store=store, run_id="r") == {"ok": True}


# Inputs


def mail(email: str) -> None:
    """A step that needs a key."""


def declared() -> FineKeys:
    return {"tree": Tree([])}


@pytest.mark.parametrize(
    ("build", "step"),
    [
        (lambda p: p.step("mail", mail), "mail"),
        (lambda p: p.step("both", charge_too, mail), "both/mail"),
        (lambda p: p.step("keys", declared).step("mail", mail), "mail"),
        (lambda p: p.step("both", charge_too, mail, mode="settle").step("mail", mail), "mail"),
        (lambda p: p.step("in", Pipeline("in").step("charge", charge_too)).step("mail", mail), "mail"),
    ],
    ids=["step", "member", "keys before", "settle before", "pipeline before"],
)
async def test_key_that_nobody_gives_is_an_error_before_the_first_step(build, step) -> None:
    charged.clear()
    store = MemoryStore()
    p = build(Pipeline("p").step("charge", charge, provides="receipt"))
    for call in (p.run, p.submit):
        with pytest.raises(StepInputError, match=f"^{step!r} needs 'email', which the context does not have") as caught:
            await call({"emial": "a@b"}, store=store, run_id="r")
        assert (caught.value.step, caught.value.key) == (step, "email")
    with pytest.raises(StepInputError):
        await p.run(store=store, run_id="r")
    assert (charged, await store.runs()) == ([], ())
    assert await p.run({"email": "a@b"}, store=store, run_id="r")


@pytest.mark.parametrize(
    "build",
    [
        lambda p: p.step("mail", mail, condition=lambda: False),
        lambda p: p.step("mail", mail, on_error="continue"),
        lambda p: p.step("stop", fails_always, on_error="skip-remaining").step("mail", mail),
        lambda p: p.step("email", lambda: {"email": "a@b"}).step("mail", mail),
        lambda p: p.step("email", lambda: "a@b", provides="email").step("mail", mail),
        lambda p: p.step("both", charge_too, mail, mode="settle"),
        lambda p: p.step("mail", lambda email="nobody": None),
    ],
    ids=["condition", "continue", "skip-remaining", "may be given", "given", "settle", "default"],
)
async def test_key_that_may_not_be_needed_or_may_be_given_is_no_error(build) -> None:
    assert (await build(Pipeline("p")).run({}, store=MemoryStore(), run_id="r")) is not None


def fails_always() -> None:
    raise OSError("no")
