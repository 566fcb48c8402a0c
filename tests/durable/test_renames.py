"""Steps that were renamed and say so: their runs continue, with the same keys. And changes that are not renamings."""

from __future__ import annotations

import pytest
import trio

from trio_steps import (
    CheckpointError,
    ConfigError,
    Pipeline,
    StepTimeoutError,
    current_scope,
    fork,
    otherwise,
    step,
    when,
)
from trio_steps._pipeline.run.renames import Names
from trio_steps.store import work
from trio_steps.testing import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


class Steps:
    """Makes steps that record that they ran, and with which key."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.keys: list[str] = []
        self.fails: set[str] = set()

    def gives(self, name: str, **keys: object):
        def give() -> dict[str, object]:
            self.ran.append(name)
            self.keys.append(current_scope().key)
            if name in self.fails:
                raise OSError(name)
            return keys

        return give

    def one(self, name: str, old: str | None = None):
        return step(self.gives(name), id=name, was=() if old is None else old)


@pytest.fixture
def steps() -> Steps:
    return Steps()


def shop(steps: Steps, *, now: bool) -> Pipeline:
    """The same pipeline, before or after a renaming of everything in it."""

    def name(old: str) -> str:
        return f"new-{old}" if now else old

    def was(old: str) -> dict[str, str]:
        return {"was": old} if now else {}

    inner = Pipeline(name("inner"), **was("inner")).step(name("a"), steps.gives("a", a=1), **was("a"))
    sub = Pipeline("sub").step(
        name("draft"), lambda turn=0: {**steps.gives("draft")(), "turn": turn + 1}, **was("draft")
    )
    each = Pipeline("each").step(name("e"), lambda n: steps.gives("e", x=n)(), **was("e"))
    alone = Pipeline("alone").step(name("b"), steps.gives("b", b=1), **was("b"))
    card = Pipeline("card").step(name("pay"), steps.gives("pay", paid=1), **was("pay"))
    member = step(steps.gives("member"), id=name("member"), **was("member"))
    return (
        Pipeline(name("shop"), **was("shop"))
        .step(name("first"), steps.gives("first", ns=[1, 2]), **was("first"))
        .step(name("both"), inner, member, **was("both"))
        .step(name("alone"), alone, **was("alone"))
        .branch_on(name("route"), when(lambda a: a, card, name=name("card"), **was("card")), **was("route"))
        .for_each(name("all"), each, over="ns", each="n", into="out", **was("all"))
        .repeat(name("refine"), sub, until=lambda turn: turn == 2, at_most=3, **was("refine"))
        .wait_for(name("ask"), provides="ok", of=bool, **was("ask"))
        .transform(name("whole"), lambda ctx, /: dict(ctx) | {"whole": True}, **was("whole"))
        .step(name("last"), steps.gives("last", last=1), **was("last"))
    )


RAN = ["first", "a", "member", "b", "pay", "e", "e", "draft", "draft", "last"]


@pytest.mark.parametrize("crash_at", range(1, 22))
async def test_run_goes_on_where_it_was_whatever_was_renamed(steps, crash_at) -> None:
    undisturbed = Steps()
    p = shop(undisturbed, now=False)
    expected = await p.run({}, store=MemoryStore(), run_id="r", answers={"ok": True})
    store = MemoryStore(crash_at=crash_at)
    try:
        await shop(steps, now=False).run({}, store=store, run_id="r", answers={"ok": True})
    except* Exception:
        store.restart()
    done = list(steps.ran)
    assert await shop(steps, now=True).run(store=store, run_id="r", answers={"ok": True}) == expected
    # only steps that were half-way may run again
    assert set(steps.ran) == set(RAN)
    assert len(steps.ran) <= len(RAN) + (len(done) > 0) * 2
    assert set(steps.keys) == set(undisturbed.keys)
    assert (await store.load("r")).record.pipeline == "new-shop"


async def test_run_that_waits_under_an_old_name_is_answered_by_either(steps) -> None:
    for name in ("ask", "new-ask", "ok"):
        store = MemoryStore()
        await shop(steps, now=False).run({}, store=store, run_id="r")
        result = await shop(steps, now=True).run(store=store, run_id="r", answers={"ok": True})
        assert result["whole"]
        store = MemoryStore()
        await shop(steps, now=False).run({}, store=store, run_id="r")
        if name != "new-ask":
            await store.answer("r", {name: True})
        await shop(steps, now=True).run(store=store, run_id="r", answers={} if name != "new-ask" else {name: True})
        assert (await store.load("r")).record.status == "finished"


async def test_time_to_answer_goes_on_under_the_new_name(store) -> None:
    old = Pipeline("p").wait_for("ask", provides="ok", timeout=10)
    await old.run({}, store=store, run_id="r")
    await trio.sleep(4)
    new = Pipeline("p").wait_for("question", provides="ok", timeout=10, was="ask")
    await new.run({}, store=store, run_id="r")
    assert (await store.load("r")).record.waiting.keys() == {"question"}
    await trio.sleep(6)
    with pytest.raises(StepTimeoutError):
        await new.run({}, store=store, run_id="r")


async def test_several_old_names_are_given_the_oldest_first_and_that_stays_in_the_key(store, steps) -> None:
    steps.fails.add("b")
    for name, was in (("a", ()), ("b", "a"), ("c", ("a", "b"))):
        p = Pipeline("p").step(name, steps.gives(name), was=was).step("b2", steps.gives("b"))
        with pytest.raises(OSError, match="b"):
            await p.run({}, store=store, run_id="r")
    assert (steps.ran, steps.keys) == (["a", "b", "b", "b"], ["p/r/a", *["p/r/b2"] * 3])
    p = Pipeline("p").step("c", steps.gives("c"), was=["a", "b"])
    await p.run({}, store=store, run_id="other")
    assert steps.keys[-1] == "p/other/a"


async def test_worker_takes_runs_of_the_old_name(store, steps) -> None:
    await Pipeline("old").step("a", steps.gives("a")).submit({}, store=store, run_id="r")
    new = Pipeline("new", was="old").step("a", steps.gives("a"))
    with trio.move_on_after(5):
        await work(store, [new])
    [record] = await store.runs()
    assert (record.status, record.pipeline, steps.keys) == ("finished", "new", ["old/r/a"])
    with pytest.raises(ConfigError, match="two pipelines are called 'old'"):
        await work(store, [new, Pipeline("old").step("a", steps.gives("a"))])


async def test_key_of_what_is_no_step_of_the_pipeline_keeps_its_names(store, steps) -> None:
    paths = fork("paths", mode="all", paths=[steps.one("x"), steps.one("y")])
    await Pipeline("p").step("pay", paths, was="charge", provides="paid").run({}, store=store, run_id="r")
    assert sorted(steps.keys) == ["p/r/charge/x", "p/r/charge/y"]


def test_old_name_that_is_in_use_or_claimed_twice_is_an_error(steps) -> None:
    one = Pipeline("p").step("pay", steps.gives("pay"), was="charge")
    with pytest.raises(ConfigError, match=r"step 'pay': was='charge', but there is a step of that name now"):
        one.step("charge", steps.gives("charge"))
    with pytest.raises(ConfigError, match=r"step 'b': was='pay', but there is a step of that name now"):
        one.step("b", steps.gives("b"), was="pay")
    with pytest.raises(ConfigError, match=r"step 'b': was='b', but there is a step of that name now"):
        one.step("b", steps.gives("b"), was="b")
    same = str(b"return", "ascii")  # an equal string, but another object
    with pytest.raises(ConfigError, match=r"step 'return': was='return', but there is a step of that name now"):
        one.step("return", steps.gives("return"), was=same)
    with pytest.raises(ConfigError, match=r"step 'b': was='charge', but step 'pay' says that too"):
        one.step("b", steps.gives("b"), was=("x", "charge"))
    with pytest.raises(ConfigError, match=r"step 'g/b': was='a', but there is a step of that name now"):
        one.step("g", steps.one("a"), steps.one("b", "a"))
    case = Pipeline("case").step("a", steps.gives("a"))
    with pytest.raises(ConfigError, match=r"step 'r/two': was='x', but step 'r/one' says that too"):
        one.branch_on("r", when(lambda: True, case, name="one", was="x"), otherwise(case, name="two", was="x"))


@pytest.mark.parametrize("was", ["", "a/b", ("a", "a"), ("a", ""), 3, {"a"}])
def test_old_name_that_is_none_is_an_error(was, steps) -> None:
    with pytest.raises(ConfigError, match=r"step 'a': was=.*: give the former name, was=\"charge\"; or several"):
        Pipeline("p").step("a", steps.gives("a"), was=was)
    for make in (lambda: step(print, was=was), lambda: when(bool, Pipeline(), was=was), lambda: Pipeline(was=was)):
        with pytest.raises(ConfigError, match="give the former name"):
            make()


async def test_renamed_step_that_does_not_say_so_is_an_error_that_asks(store, steps) -> None:
    p = Pipeline("p").step("a", steps.gives("a")).wait_for("ask", provides="ok")
    await p.run({}, store=store, run_id="r")
    changed = Pipeline("p").step("b", steps.gives("a")).wait_for("ask", provides="ok")
    with pytest.raises(CheckpointError, match=r"step 'a': .* was it renamed or removed\? .* was='a'"):
        await changed.run({}, store=store, run_id="r")


# Changes that are not renamings


@pytest.mark.parametrize(
    ("then", "now", "problem"),
    [
        (
            lambda p: p.step("a", lambda: {"a": 1}),
            lambda p: p.transform("a", lambda ctx, /: {"a": 1}),
            "step 'a': the step is done, and was no transform then; now it is a transform",
        ),
        (
            lambda p: p.transform("a", lambda ctx, /: {"a": 1}),
            lambda p: p.step("a", lambda: {"a": 1}),
            "step 'a': the step is done, and was a transform then; now it is no transform",
        ),
        (
            lambda p: p.step("g", step(lambda: None, id="x"), asking, concurrency=1),
            lambda p: p.step("g", asking, step(lambda: None, id="x")),
            "step 'g/asking': the step was moved before 'g/x', which the checkpoint is past",
        ),
        (
            lambda p: p.step("g", step(lambda: None, id="x"), step(lambda: None, id="y"), asking),
            lambda p: p.step("g", step(lambda: None, id="y"), step(lambda: None, id="x"), asking),
            "step 'g/y': the step was moved before 'g/x', which the checkpoint is past",
        ),
        (
            lambda p: p.repeat("r", asking_twice, until=lambda: False, at_most=3),
            lambda p: p.step("r", asking_twice),
            "step 'r': the step is done, and was a repeat then; now it is none",
        ),
        (
            lambda p: p.for_each("f", lambda n: n, over="ns", each="n", into="out", concurrency=1),
            lambda p: p.step("f", lambda: None),
            "step 'f': the step is done, and was a for_each then; now it is none",
        ),
    ],
    ids=["to a transform", "from a transform", "before one that waits", "members", "repeat", "for_each"],
)
async def test_step_of_another_kind_or_place_is_an_error(store, then, now, problem) -> None:
    def made(build):
        return build(Pipeline("p")).wait_for("ask", provides="ok")

    def stop(event) -> None:
        if event.name == "f/1":
            event.stop()

    await made(then).run({"ns": [1, 2], "turn": 0}, store=store, run_id="r", on_step_complete=stop)
    with pytest.raises(CheckpointError, match=problem):
        await made(now).run(store=store, run_id="r")


asking = Pipeline("asking").wait_for("later", provides="later")
asking_twice = (
    Pipeline("in")
    .step("n", lambda turn: {"turn": turn + 1})
    .wait_for("again", provides="yes", condition=lambda turn: turn == 2)
)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("loop", "loop"),
        ("loop/old", "loop/new"),
        ("loop/12/old", "loop/12/new"),
        ("loop/*/old", "loop/*/new"),
        ("loop/gone/old", "loop/gone/old"),  # `gone` is neither a step nor a round
        ("loop/old/old", "loop/new/old"),
        ("gone/old", "gone/old"),
    ],
)
def test_steps_of_a_loop_have_new_names_in_each_round_and_nowhere_else(then: str, now: str) -> None:
    p = Pipeline("p").repeat(
        "loop", Pipeline("inner").step("new", lambda: None, was="old"), until=lambda: True, at_most=20
    )
    assert Names(p._program).now(then) == now


async def test_step_needs_its_former_name_only_until_its_run_has_continued(store: MemoryStore, steps: Steps) -> None:
    steps.fails.add("b")
    for name, was in (("a", ()), ("new-a", ("a",)), ("new-a", ())):
        p = Pipeline("p").step(name, steps.gives("a", a=1), was=was).step("b", steps.gives("b", b=1))
        with pytest.raises(OSError, match="b"):
            await p.run({}, store=store, run_id="r")
    assert steps.ran == ["a", "b", "b", "b"]
