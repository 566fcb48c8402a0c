"""`RunStore.mark_done` of steps inside others (elements, rounds, branches), and of steps that contain others."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, TypeAlias

import pytest

from trio_steps import CheckpointError, ConfigError, ForkPartialError, Pipeline, otherwise, step, when
from trio_steps.testing import MemoryStore

Made: TypeAlias = Pipeline[Any, Any]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def fails() -> Any:
    raise OSError("no")


def never(n: int) -> Any:
    raise AssertionError("this step was marked as done")


def one(n: int) -> dict[str, int]:
    return {"one": n}


async def failed(pipeline: Made, store: MemoryStore, inputs: object = None) -> None:
    with suppress(OSError, ForkPartialError):
        await pipeline.run(inputs or {}, store=store, run_id="r")
    assert (await store.load("r")).record.status == "failed"


async def refused(store: MemoryStore, message: str, *args: Any, **options: Any) -> None:
    before = await store.read("r")
    with pytest.raises(ConfigError, match=re.escape(message)):
        await store.mark_done("r", *args, **options)
    assert await store.read("r") == before


# Elements


def each(function: Any, **options: Any) -> Made:
    return Pipeline("p").for_each("all", function, over="ns", each="n", into="out", concurrency=1, **options)


async def test_element_of_a_function_is_marked_with_its_result(store: MemoryStore) -> None:
    ran: list[int] = []

    def half(n: int) -> float:
        ran.append(n)
        return 1 / n

    p = each(half)
    with pytest.raises(ForkPartialError):
        await p.run({"ns": [2, 0, 4]}, store=store, run_id="r")
    await refused(store, "'out' has to be float, not 'none'", "all/2", {"out": "none"})
    await refused(store, "the output has to have 'out'", "all/2", {})
    await refused(store, "mark_done('r', 'all/1'): the step is already done", "all/1", {"out": 0.5})
    await store.mark_done("r", "all/2", {"out": 0.0})
    assert await p.run(store=store, run_id="r") == {"ns": [2, 0, 4], "out": [0.5, 0.0, 0.25]}
    assert ran == [2, 0, 4]


async def test_element_is_marked_wherever_its_step_is(store: MemoryStore) -> None:
    p = Pipeline("outer").step("inner", each(lambda n: fails()))
    await failed(p, store, {"ns": [2]})
    await store.mark_done("r", "inner/all/1", {"out": 1})
    assert await p.run(store=store, run_id="r") == {"ns": [2], "out": [1]}


async def test_step_of_an_element_is_marked_by_its_number(store: MemoryStore) -> None:
    p = each(Pipeline("body").step("one", one).step("two", fails))
    await failed(p, store, {"ns": [5, 6]})
    await refused(store, "say of which element of 'all', such as 'all/1/…'", "all/*/two", {"two": 1})
    await refused(store, "say of which element of 'all'", "all/two", {"two": 1})
    await refused(store, "mark the steps in it, 'all/1/…'", "all/1", {"out": 1})
    await refused(store, "mark_done('r', 'all/1/one'): the step is already done", "all/1/one", {"one": 1})
    await store.mark_done("r", "all/1/two", {"two": 1})
    with suppress(ForkPartialError):
        await p.run(store=store, run_id="r")
    await refused(store, "mark_done('r', 'all/1/two'): 'all/1' is already done", "all/1/two", {"two": 2})
    await store.mark_done("r", "all/2/two", {"two": 2})
    result = await p.run(store=store, run_id="r")
    assert result["out"] == [{"ns": [5, 6], "n": n, "one": n, "two": two} for n, two in ((5, 1), (6, 2))]


async def test_whole_for_each_is_marked_with_all_results(store: MemoryStore) -> None:
    await failed(each(lambda n: 1 / n), store, {"ns": [1, 0]})
    await refused(store, "'out' has to be list or dict, not 1", "all", {"out": 1})
    await store.mark_done("r", "all", {"out": [1, 2]})
    assert (await each(never).run(store=store, run_id="r"))["out"] == [1, 2]


async def test_element_that_there_is_not_is_an_error_when_the_run_goes_on(store: MemoryStore) -> None:
    await failed(each(lambda n: 1 / n), store, {"ns": [0]})
    await store.mark_done("r", "all/7", {"out": 1})
    with pytest.raises(CheckpointError, match="step 'all/7': there is no such element: 'ns' has 1"):
        await each(lambda n: 1).run(store=store, run_id="r")


# Lost outputs


class Odd:
    """Can't be stored."""


@pytest.mark.parametrize(
    ("p", "lost", "marked", "output", "result"),
    [
        (each(lambda n: Odd()), "all/1", "all/1", {"out": 1}, {"ns": [1], "out": [1]}),
        (each(lambda n: Odd()), "all/1", "all", {"out": [1]}, {"ns": [1], "out": [1]}),
        (each(Pipeline("in").step("a", lambda n: {"a": Odd()})), "all/1/a", "all", {"out": 1}, None),
        (Pipeline("p").step("in", Pipeline("in").step("a", lambda: {"a": Odd()})), "in/a", "in", {"a": 1}, {"a": 1}),
        (Pipeline("p").step("g", step(lambda: {"a": Odd()}, id="x"), fails), "g/x", "g", {"a": 1}, {"a": 1}),
        (
            Pipeline("p").repeat("r", lambda q: q.step("a", lambda: {"a": Odd()}), until=lambda a: a, at_most=2),
            "r/1/a",
            "r/1/a",
            {"a": 1},
            {"a": 1},
        ),
        (
            Pipeline("p").branch_on("b", when(lambda: True, lambda q: q.step("a", lambda: {"a": Odd()}), name="c")),
            "b/c/a",
            "b",
            {"a": 1},
            {"a": 1},
        ),
    ],
    ids=["element", "for_each", "for_each of a pipeline", "pipeline", "group", "round", "branch"],
)
async def test_what_can_not_be_stored_is_named_and_marked_where_it_is_or_around(
    store: MemoryStore, p: Made, lost: str, marked: str, output: dict[str, object], result: object
) -> None:
    inputs = {"ns": [1]} if lost.startswith("all") else {}
    with suppress(CheckpointError, ForkPartialError):
        await p.run(inputs, store=store, run_id="r")
    with pytest.raises(CheckpointError, match=re.escape(f"store.mark_done('r', '{lost}', {{…}})")) as caught:
        await p.run(store=store, run_id="r")
    assert caught.value.step == lost
    if result is None:
        output = {"out": [{"a": 1}]}
        result = {"ns": [1], **output}
    await store.mark_done("r", marked, output)
    assert await p.run(store=store, run_id="r") == result


# Rounds, races, transforms, and steps that are done


async def test_step_of_a_round_is_marked_in_the_round_that_is_next(store: MemoryStore) -> None:
    fine = [True, False]

    def act(n: int) -> dict[str, int]:
        if not fine.pop(0):
            raise OSError
        return {"n": n + 1}

    def made(act: Any) -> Made:
        return Pipeline("p").repeat("r", lambda q: q.step("act", act), until=lambda n: n > 2, at_most=5)

    await failed(made(act), store, {"n": 0})
    await refused(store, "say of which round of 'r', such as 'r/1/…'", "r/act", {"n": 1})
    await refused(store, "mark the steps in it, 'r/2/…'", "r/2", {"n": 1})
    for number in (1, 3):
        await refused(store, "'r' is in its round 2", f"r/{number}/act", {"n": 9})
    await store.mark_done("r", "r/2/act", {"n": 7})
    assert await made(fails).run(store=store, run_id="r") == {"n": 7}


async def test_member_of_a_race_can_not_be_marked_and_the_race_can(store: MemoryStore) -> None:
    inner = Pipeline("inner").step("a", fails)
    p = Pipeline("p").step("first", inner, step(fails, id="b"), mode="race")
    await failed(p, store)
    for name in ("first/b", "first/inner", "first/inner/a"):
        await refused(store, "'first' is a race, which is run as a whole; mark 'first'", name, {"x": 1})
    await store.mark_done("r", "first", {"x": 1})
    assert await p.run(store=store, run_id="r") == {"x": 1}


async def test_transform_is_marked_with_the_context_that_it_makes(store: MemoryStore) -> None:
    p = Pipeline("p").transform("whole", lambda ctx, /: fails()).step("after", lambda x: {"after": x})
    await failed(p, store, {"gone": 1})
    await store.mark_done("r", "whole", {"x": 1})
    assert await p.run(store=store, run_id="r") == {"x": 1, "after": 1}


@pytest.mark.parametrize("inside", ["in/a", "route/c/a", "all/1", "all/1/a", "r/1/a"])
async def test_step_inside_something_that_is_done_is_refused(store: MemoryStore, inside: str) -> None:
    a = Pipeline("in").step("a", lambda: {"a": 1})
    p = (
        Pipeline("p")
        .step("in", a)
        .branch_on("route", when(lambda: True, a, name="c"))
        .repeat("r", a, until=lambda: True, at_most=1)
        .for_each(
            "all",
            Pipeline("e").step("a", lambda n: {"a": n}) if "a" in inside[4:] else one,
            over="ns",
            each="n",
            into="o",
        )
        .step("last", fails)
    )
    await failed(p, store, {"ns": [1]})
    around = inside.split("/")[0]
    await refused(store, f"mark_done('r', {inside!r}): {around!r} is already done", inside, {"a": 2, "o": 2})


async def test_step_that_holds_others_is_done_whatever_they_wait_for(store: MemoryStore) -> None:
    wait = Pipeline("in").step("a", lambda: {"a": 1}).wait_for("ask", provides="x")
    p = Pipeline("p").step("both", wait, Pipeline("other").wait_for("more", provides="y"))
    await p.run({}, store=store, run_id="r")
    await store.mark_done("r", "both/in", {"x": 2})
    record = (await store.load("r")).record
    assert (record.status, record.waiting) == ("submitted", {"both/other/more": None})
    assert await p.run(store=store, run_id="r", answers={"y": 3}) == {"x": 2, "y": 3}


async def test_branch_in_an_element_is_named_with_its_number(store: MemoryStore) -> None:
    route = when(lambda n: fails(), lambda q: q.step("pay", fails), name="card")
    body = Pipeline("body").step("one", one).branch_on("route", route, otherwise(lambda q: q.step("bank", fails)))
    p = each(body)
    await failed(p, store, {"ns": [5]})
    await refused(store, "give taken={'all/1/route': 'card'}", "all/1/route/card/pay", {"paid": 1})
    await store.mark_done("r", "all/1/route/card/pay", {"paid": 1}, taken={"all/1/route": "card"})
    assert (await p.run(store=store, run_id="r"))["out"] == [{"ns": [5], "n": 5, "one": 5, "paid": 1}]
