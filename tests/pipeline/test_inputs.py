"""Declared inputs are checked before anything runs, and classes that declare keys are inputs and outputs."""

from __future__ import annotations

import dataclasses
from dataclasses import InitVar, dataclass
from typing import Generic, NotRequired, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest

from trio_steps import ConfigError, Pipeline, StepInputError, fork
from trio_steps._pipeline.contract.annotations import UNKNOWN
from trio_steps._pipeline.contract.records import Argument, Inputs, arguments_of, fields_of
from trio_steps.store import SqliteStore

T = TypeVar("T")


class Typed(TypedDict):
    user: str
    note: NotRequired[str]


@dataclass
class Data:
    user: str
    limit: int = 10
    tags: list[str] = dataclasses.field(default_factory=list)
    size: int = dataclasses.field(init=False)
    raw: InitVar[str] = ""

    def __post_init__(self, raw):
        self.size = len(self.user) + self.limit


@attrs.define
class Attrs:
    user: str
    limit: int = 10
    tags: list[str] = attrs.field(factory=list)
    size: int = attrs.field(init=False)
    _private: str = "p"
    double: int = attrs.field(default=attrs.Factory(lambda self: self.limit * 2, takes_self=True))

    @size.default
    def _size(self):
        return len(self.user) + self.limit


class Model(pydantic.BaseModel):
    user: str
    limit: int = 10
    tags: list[str] = pydantic.Field(default_factory=list)
    at: int = pydantic.Field(default=1, alias="@")


class Struct(msgspec.Struct):
    user: str
    limit: int = 10
    tags: list[str] = msgspec.field(default_factory=list)


def ran():
    raise AssertionError("it ran")


@pytest.mark.parametrize("inputs", [Typed, Data, Attrs, Model, Struct])
@pytest.mark.parametrize("given", [{}, {"usr": 1}, None])
async def test_an_input_that_lacks_a_declared_key_is_refused_before_the_first_step(inputs, given) -> None:
    with pytest.raises(StepInputError) as caught:
        await Pipeline("p", inputs=inputs).step("first", ran).run(given)
    assert (caught.value.step, caught.value.key) == ("p", "user")


async def test_a_path_of_a_fork_and_a_run_without_an_input_are_checked_too() -> None:
    p = Pipeline("p", inputs=Typed).step("first", ran)
    with pytest.raises(StepInputError):
        await p.run()
    with pytest.raises(ExceptionGroup) as caught:
        await fork("f", mode="all", paths=[p])({})
    assert caught.group_contains(StepInputError)


async def test_no_run_is_begun_in_the_store(tmp_path) -> None:
    p = Pipeline("p", inputs=Typed).step("first", ran)
    store = SqliteStore(tmp_path / "runs.db")
    with pytest.raises(StepInputError):
        await p.run({}, store=store, run_id="r")
    with pytest.raises(StepInputError):
        await p.run(store=store, run_id="r")
    assert not await store.runs()


async def test_defaults_of_a_declared_class_apply_to_mappings() -> None:
    p = Pipeline("p", inputs=Data).step("see", lambda limit, tags: {"seen": (limit, tags)})
    given = {"user": "ada"}
    assert await p.run(given) == {"user": "ada", "limit": 10, "tags": [], "size": 13, "seen": (10, [])}
    assert given == {"user": "ada"}
    result = await p.run({"user": "ada", "limit": 2, "tags": ["a"], "size": 0, "more": 1})
    assert result == {"user": "ada", "limit": 2, "tags": ["a"], "size": 0, "more": 1, "seen": (2, ["a"])}


@pytest.mark.parametrize(
    ("inputs", "added"),
    [
        (Attrs, {"limit": 10, "tags": [], "size": 13, "_private": "p", "double": 20}),
        (Model, {"limit": 10, "tags": [], "at": 1}),
        (Struct, {"limit": 10, "tags": []}),
        (Typed, {}),
    ],
)
async def test_defaults_of_other_classes_apply_too(inputs, added) -> None:
    p = Pipeline("p", inputs=inputs).step("see", lambda user: None)
    assert await p.run({"user": "ada"}) == {"user": "ada", **added}
    first = await p.run({"user": "ada"})
    first.get("tags", []).append("changed")
    assert await p.run({"user": "ada"}) == {"user": "ada", **added}


@pytest.mark.parametrize(
    "instance", [Data("ada", 3), Attrs("ada", 3), Model(user="ada", limit=3), Struct("ada", 3)], ids=lambda i: type(i)
)
async def test_an_instance_is_an_input(instance) -> None:
    p = Pipeline("p", inputs=type(instance)).step("see", lambda user, limit: {"seen": (user, limit)})
    assert (await p.run(instance))["seen"] == ("ada", 3)
    assert (await Pipeline("p").step("see", lambda user: {"seen": user}).run(instance))["seen"] == "ada"


@pytest.mark.parametrize(
    ("kind", "instance"),
    [(Data, Data("ada", 3)), (Attrs, Attrs("ada", 3)), (Model, Model(user="ada", limit=3)), (Struct, Struct("ada", 3))],
    ids=["dataclass", "attrs", "pydantic", "msgspec"],
)
async def test_an_instance_is_an_output_of_a_step_and_of_a_pipeline(kind, instance) -> None:
    def make():
        return instance

    make.__annotations__["return"] = kind
    p = Pipeline("p").step("make", make)
    assert p.output_of()["limit"] is int
    with pytest.raises(ConfigError, match="takes 'limit' as str, but it is int"):
        p.step("use", takes_text)
    done = await p.outputs(kind).run({})
    assert (type(done), done.user, done.limit) == (kind, "ada", 3)


def takes_text(limit: str) -> None:
    pass


def test_outputs_are_what_making_an_instance_takes() -> None:
    def user() -> Typed:
        return {"user": "ada"}

    p = Pipeline("p", inputs=TypedDict("Nothing", {})).step("user", user)
    for kind in (Data, Attrs, Model, Struct):
        p.outputs(kind)

    @dataclass
    class Needs:
        user: str
        raw: InitVar[int]

    with pytest.raises(ConfigError, match=r"outputs\(Needs\): the result has no 'raw'"):
        p.outputs(Needs)

    @attrs.define
    class Converted:
        user: int = attrs.field(converter=len)

    p.outputs(Converted)

    @dataclass
    class Wrong:
        user: InitVar[int]

    with pytest.raises(ConfigError, match="has 'user' as str, not int"):
        p.outputs(Wrong)


async def test_what_is_not_taken_to_make_an_instance_is_not_passed() -> None:
    p = Pipeline("p").step("make", lambda: {"user": "ada", "size": 1, "_private": "x", "raw": "r", "other": 1})
    assert await p.outputs(Data).run({}) == Data("ada")
    assert await p.outputs(Attrs).run({}) == Attrs("ada", private="x")


def test_arguments_of_classes() -> None:
    assert arguments_of(Model)["at"] == Argument("@", UNKNOWN, required=False)
    assert arguments_of(Attrs)["_private"].name == "private"
    assert {key: argument.required for key, argument in arguments_of(Struct).items()} == {
        "user": True,
        "limit": False,
        "tags": False,
    }

    @dataclass(init=False)
    class Own:
        user: str

        def __init__(self, name: str, *args: int, **rest: int) -> None:
            self.user = name

    assert list(arguments_of(Own)) == ["name"]
    assert list(fields_of(Own)) == ["user"]

    @dataclass
    class Box(Generic[T]):
        content: T

    assert list(arguments_of(Box[int])) == ["content"]
    assert Inputs.of(Box[int]).required == ("content",)
    assert Inputs.of(dict) is None


def test_the_validation_alias_of_a_model_is_its_argument() -> None:
    class Aliased(pydantic.BaseModel):
        a: int = pydantic.Field(validation_alias="A")
        b: int = pydantic.Field(validation_alias=pydantic.AliasChoices("B", "bb"))

    assert {key: argument.name for key, argument in arguments_of(Aliased).items()} == {"a": "A", "b": "b"}


async def test_a_class_that_does_not_set_a_field_leaves_it_out() -> None:
    @dataclass
    class Lazy:
        user: str
        later: int = dataclasses.field(init=False)

    assert await Pipeline("p", inputs=Lazy).step("s", lambda user: None).run({"user": "a"}) == {"user": "a"}


@attrs.define
class CarefulAttrs:
    n: int
    unit: str = "s"
    items: list[int] = attrs.field(factory=lambda: [1])

    def __attrs_post_init__(self):
        raise AssertionError("an instance was made")


@dataclasses.dataclass
class CarefulData:
    n: int
    unit: str = "s"
    items: list[int] = dataclasses.field(default_factory=lambda: [1])

    def __post_init__(self):
        raise AssertionError("an instance was made")


@pytest.mark.parametrize("inputs", [CarefulAttrs, CarefulData])
async def test_defaults_that_are_known_are_given_without_an_instance(inputs) -> None:
    p = Pipeline("p", inputs=inputs).step("grow", lambda items: items.append(2))
    for _ in range(2):  # each run has its own list
        assert await p({"n": 1}) == {"n": 1, "unit": "s", "items": [1]}
