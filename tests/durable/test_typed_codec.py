"""Codecs that are given the declared types of values, and codecs that write or read nonsense."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, TypedDict

import msgspec
import pytest

from trio_steps import Checkpoint, CheckpointError, Pipeline, otherwise, step, when
from trio_steps.testing import MemoryStore


class User(msgspec.Struct):
    name: str


class Order(msgspec.Struct):
    number: int


class Inputs(TypedDict):
    user: User
    ns: list[int]


class Msgspec:
    """Writes values with msgspec, which needs their types to read them, and records the types that it is given."""

    def __init__(self) -> None:
        self.read: list[Any] = []

    def dumps_as(self, value: Any, declared: Any) -> str:
        return msgspec.json.encode(value).decode()

    def loads_as(self, text: str, declared: Any) -> Any:
        self.read.append(declared)
        return msgspec.json.decode(text, type=declared)


def order() -> Order:
    return Order(1)


def user() -> User:
    return User("Eve")


def of(n: int) -> Order:
    return Order(n)


def grow(number: int) -> int:
    return number + 1


inner = Pipeline("inner").step("make", order, provides="order")


def makes(p: Any) -> Any:
    return p.step("make", order, provides="order")


each = Pipeline("each").step("make", of, provides="order").wait_for("sure", provides="sure", condition=lambda n: n > 2)
BUILDS = {
    "input": (lambda p: p, {}),
    "step": (lambda p: p.step("make", order, provides="order"), {"order": Order(1)}),
    "step that replaces an input": (lambda p: p.step("swap", order, provides="user"), {"user": Order(1)}),
    "step that may replace an input": (
        lambda p: p.step("swap", order, provides="user", condition=lambda: True),
        {"user": Order(1)},
    ),
    "nested": (lambda p: p.step("nested", inner), {"order": Order(1)}),
    "branch": (
        lambda p: p.branch_on("b", when(lambda: True, makes, name="yes"), otherwise(makes)),
        {"order": Order(1)},
    ),
    "members": (
        lambda p: p.step("both", step(order, provides="order"), step(user, provides="other")),
        {"order": Order(1), "other": User("Eve")},
    ),
    "elements": (lambda p: p.for_each("each", of, over="ns", each="n", into="out"), {"out": [Order(1), Order(2)]}),
    "rounds": (
        lambda p: p.repeat("r", Pipeline("in").step("make", order, provides="order"), until=lambda: True, at_most=2),
        {"order": Order(1)},
    ),
}


@pytest.mark.parametrize("name", BUILDS)
async def test_values_are_restored_by_the_types_that_are_declared(name) -> None:
    build, expected = BUILDS[name]
    p = build(Pipeline("p", inputs=Inputs, codec=Msgspec())).wait_for("answer", provides="ok").step("end", lambda: None)
    store = MemoryStore()
    given = {"user": User("Ada"), "ns": [1, 2]}
    await p.run(given, store=store, run_id="r")
    await store.answer("r", ok=True)
    assert await p.run(store=store, run_id="r") == {**given, **expected, "ok": True}
    assert await p.run(store=store, run_id="r") == {**given, **expected, "ok": True}  # the stored result, too


async def test_what_no_step_declares_is_of_any_type() -> None:
    codec = Msgspec()
    p = Pipeline("p", codec=codec).step("make", lambda: {"order": Order(1)}).wait_for("answer", provides="ok")
    store = MemoryStore()
    await p.run({"n": 1}, store=store, run_id="r")
    assert await p.run(store=store, run_id="r") == {"n": 1, "order": {"number": 1}}
    assert codec.read == [Any, Any]


async def test_codec_of_the_pipeline_knows_the_types_where_the_pipeline_is_not_at_hand() -> None:
    p = Pipeline("p", codec=Msgspec()).step("make", order, provides="order").wait_for("answer", provides="ok")
    texts: list[str] = []
    store = MemoryStore()
    await p.run({}, store=store, run_id="r", on_step_complete=lambda event: texts.append(event.checkpoint.to_json()))
    for codec, value in ((p.codec, Order(1)), (Msgspec(), {"number": 1})):
        assert Checkpoint.from_json(texts[0], codec=codec).entries[1].changes == {"order": value}
        checkpoint = (await store.load("r", codec=codec)).checkpoint
        assert checkpoint is not None
        assert checkpoint.entries[1].changes == {"order": value}
    assert p.codec is not None
    assert p.codec.loads_as(p.codec.dumps_as(Order(2), Order), Order) == Order(2)
    assert Pipeline("p", codec=json).codec is json
    assert Pipeline("p").codec is None


async def test_value_of_another_type_than_declared_says_which() -> None:
    p = Pipeline("p", codec=Msgspec()).step("make", order, provides="order").wait_for("answer", provides="ok")
    now = Pipeline("p", codec=Msgspec()).step("make", user, provides="order").wait_for("answer", provides="ok")
    store = MemoryStore()
    await p.run({}, store=store, run_id="r")
    with pytest.raises(CheckpointError, match="step 'make', key 'order': the codec can't read it: ValidationErr"):
        await now.run(store=store, run_id="r")
    await store.answer("r", ok=True)
    assert await p.run(store=store, run_id="r") == {"order": Order(1), "ok": True}  # nothing is lost


async def test_elements_that_are_done_are_restored_by_the_types_in_their_pipeline() -> None:
    p = Pipeline("p", codec=Msgspec()).for_each("each", each, over="ns", each="n", into="out")
    store = MemoryStore()
    await p.run({"ns": [1, 3]}, store=store, run_id="r")
    checkpoint = (await store.load("r", codec=p.codec)).checkpoint
    assert checkpoint is not None
    made = {entry.name: entry.changes["order"] for entry in checkpoint.entries if "order" in entry.changes}
    assert (made["each/1"], made["each/2/make"]) == (Order(1), Order(3))


async def test_what_a_step_gave_that_is_gone_is_of_any_type() -> None:
    p = Pipeline("p", codec=Msgspec()).step("make", order, provides="order").wait_for("answer", provides="ok")
    store = MemoryStore()
    await p.run({}, store=store, run_id="r")
    checkpoint = (await store.load("r", codec=Pipeline("p", codec=Msgspec()).codec)).checkpoint
    assert checkpoint is not None
    assert checkpoint.entries[1].changes == {"order": {"number": 1}}


# Nonsense


class Nonsense:
    """Writes and reads whatever the test says."""

    def __init__(self) -> None:
        self.writes: Any = json.dumps
        self.reads: Any = json.loads

    def dumps(self, value: Any) -> str:
        return self.writes(value)

    def loads(self, text: str) -> Any:
        return self.reads(text)


@pytest.mark.parametrize("written", [None, b"{}", "\ud800", 1 / 3, ValueError("no")], ids=repr)
async def test_step_whose_output_the_codec_writes_as_nonsense_is_not_run_again(written) -> None:
    codec, store, charged = Nonsense(), MemoryStore(), []

    def nonsense(value: object) -> Any:
        if isinstance(written, Exception):
            raise written
        return written

    def charge() -> str:
        charged.append(1)
        codec.writes = nonsense
        return "R"

    p = Pipeline("p", codec=codec).step("charge", charge, provides="receipt").step("ship", lambda receipt: None)
    with pytest.raises(CheckpointError, match=r"key 'receipt': the codec (can't write|has to write text)"):
        await p.run({"n": 1}, store=store, run_id="r")
    codec.writes = json.dumps
    with pytest.raises(CheckpointError, match=r"the step was done, .*it is not run again"):
        await p.run(store=store, run_id="r")
    await store.mark_done("r", "charge", {"receipt": "R"}, codec=codec)
    assert await p.run(store=store, run_id="r") == {"n": 1, "receipt": "R"}
    assert charged == [1]


async def test_run_whose_values_the_codec_can_not_read_stays_as_it_is() -> None:
    codec, store = Nonsense(), MemoryStore()
    p = Pipeline("p", codec=codec).step("a", lambda: {"a": 1}).wait_for("answer", provides="ok")
    await p.run({"n": 1}, store=store, run_id="r")
    before = await store.read("r")
    codec.reads = lambda text: 1 / 0
    for call in (partial(p.run, store=store, run_id="r"), partial(store.load, "r"), partial(store.mark_done, "r", "a")):
        with pytest.raises(CheckpointError, match="key 'n': the codec can't read it: ZeroDivision"):
            await (call() if call.func == p.run else call(codec=codec))
    assert await store.read("r") == before
    codec.reads = json.loads
    await store.answer("r", ok=True)
    assert await p.run(store=store, run_id="r") == {"n": 1, "a": 1, "ok": True}


async def test_error_of_a_member_is_kept_though_the_codec_can_not_write_errors() -> None:
    store = MemoryStore()

    def fail() -> None:
        raise OSError("no")

    p = Pipeline("p", codec=json).step("both", fail, lambda: {"b": 1}, on_error="continue")
    p = p.wait_for("answer", provides="ok")
    first = await p.run({}, store=store, run_id="r")
    assert await p.run(store=store, run_id="r") == first


class Worse(Exception):
    def __init__(self) -> None:
        super().__init__()
        self.extra = object()


async def test_error_that_only_the_codec_can_write_is_written_by_it_and_has_to_come_back_as_one() -> None:
    entry_error = Worse()
    codec = Nonsense()
    codec.writes = lambda value: "an error"
    codec.reads = lambda text: entry_error
    from trio_steps._pipeline.run.journal import Entry

    checkpoint = Checkpoint("p", ("s",), (Entry(kind="rejected", step="s", error=entry_error),), 1, codec)
    text = checkpoint.to_json()
    assert Checkpoint.from_json(text, codec=codec).entries[0].error is entry_error
    codec.reads = lambda text: "no error"
    with pytest.raises(CheckpointError, match="step 's': the text is damaged: there is no error but 'no error'"):
        Checkpoint.from_json(text, codec=codec)
