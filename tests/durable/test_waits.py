"""Runs that wait for an answer, what is saved before anything follows from it, and the key of a step."""

from __future__ import annotations

import pytest
import trio

from trio_steps import CheckpointError, ConfigError, Pipeline, Retry, StepTimeoutError, current_scope, otherwise, when
from trio_steps.store import AnswerConflictError, AnswerError, SqliteStore
from trio_steps.testing import MemoryStore, StoreCrashedError


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "runs.db", synchronous="normal")


@pytest.fixture
def memory_store():
    """A store on the clock of the test, which would not wait for the threads of a store in a file."""
    return MemoryStore()


class Steps:
    def __init__(self):
        self.ran = []

    def gives(self, name, **keys):
        def give():
            self.ran.append(name)
            return keys

        return give


@pytest.fixture
def steps():
    return Steps()


def asking(steps):
    return (
        Pipeline("order")
        .step("charge", steps.gives("charge", receipt="R"))
        .wait_for("approval", provides="approved", of=bool)
        .step("ship", lambda approved: {"shipped": approved})
    )


async def status(store, run_id="r"):
    return (await store.load(run_id)).record.status


async def test_run_waits_returns_the_context_and_goes_on_with_the_answer(store, steps) -> None:
    p = asking(steps)
    for _ in range(2):
        assert await p.run({}, store=store, run_id="r") == {"receipt": "R"}
        record = (await store.load("r")).record
        assert (record.status, record.step, record.waiting) == ("waiting", "charge", {"approval": None})
    await store.answer("r", approved=True)
    assert await p.run(store=store, run_id="r") == {"receipt": "R", "approved": True, "shipped": True}
    assert (await status(store), steps.ran) == ("finished", ["charge"])


async def test_answer_can_come_with_the_run_and_before_its_question(store, steps) -> None:
    p = asking(steps)
    result = {"receipt": "R", "approved": False, "shipped": False}
    assert await p.run({}, store=store, run_id="r", answers={"approved": False}) == result
    assert await p.run({}, store=store, run_id="r", answers={"approval": False}) == result  # equal: no change
    with pytest.raises(AnswerConflictError, match="the run 'r' already has another answer to 'approval'"):
        await p.run({}, store=store, run_id="r", answers={"approved": True})


async def test_answer_that_comes_while_the_run_is_running_is_taken_at_once(memory_store, steps) -> None:
    async def slow():
        await trio.sleep(1)
        await memory_store.answer("r", approved=True)
        await trio.sleep(1)
        return {"slow": 1}

    p = Pipeline("p").step("both", asking(steps), slow)
    assert (await p.run({}, store=memory_store, run_id="r"))["shipped"] is True
    assert trio.current_time() == 2
    assert steps.ran == ["charge"]


async def test_other_branches_are_finished_before_the_run_waits(memory_store, steps) -> None:
    async def slow():
        await trio.sleep(5)
        return {"slow": 1}

    p = Pipeline("p").step("both", asking(steps), slow).step("after", steps.gives("after"))
    assert await p.run({}, store=memory_store, run_id="r") == {"receipt": "R", "slow": 1}
    assert trio.current_time() == 5
    assert (await memory_store.load("r")).record.waiting == {"both/order/approval": None}
    assert steps.ran == ["charge"]
    result = await p.run(store=memory_store, run_id="r", answers={"approved": True})
    assert result == {"receipt": "R", "approved": True, "shipped": True, "slow": 1}
    assert steps.ran == ["charge", "after"]


async def test_several_steps_wait_at_once_and_are_answered_by_full_name(store) -> None:
    review = Pipeline("review").step("read", lambda n: {"read": n}).wait_for("approval", provides="ok", of=bool)
    p = Pipeline("p").for_each("items", review, over="ns", each="n", into="done")
    await p.run({"ns": [1, 2, 3]}, store=store, run_id="r")
    assert set((await store.load("r")).record.waiting) == {f"items/{n}/approval" for n in (1, 2, 3)}
    with pytest.raises(AnswerError, match="more than one step of the run 'r' asks for 'ok'"):
        await store.answer("r", ok=True)
    await store.answer("r", {"items/1/approval": True, "items/3/approval": False})
    await p.run(store=store, run_id="r")
    assert set((await store.load("r")).record.waiting) == {"items/2/approval"}
    result = await p.run(store=store, run_id="r", answers={"ok": True})  # only one question is left
    assert [element["ok"] for element in result["done"]] == [True, True, False]


@pytest.mark.parametrize("answer", [1, "true", None, 0.0])
async def test_answer_of_another_type_is_refused_before_anything_is_saved(store, steps, answer) -> None:
    with pytest.raises(AnswerError, match="'approval' asks for bool, not for"):
        await asking(steps).run({}, store=store, run_id="r", answers={"approved": answer})
    assert (await store.runs(), steps.ran) == ((), [])


async def test_unknown_answer_is_refused_before_anything_is_saved(store, steps) -> None:
    with pytest.raises(AnswerError, match="asks for 'aproved'; it asks for 'approval'"):
        await asking(steps).run({}, store=store, run_id="r", answers={"aproved": True})
    assert (await store.runs(), steps.ran) == ((), [])
    with pytest.raises(AnswerError, match="no step of the run 'r' asks for 'x'; it asks for nothing"):
        await Pipeline("p").run({}, store=store, run_id="r", answers={"x": 1})


async def test_answer_that_can_not_be_kept_is_refused_and_nothing_is_saved(store) -> None:
    p = Pipeline("p").wait_for("ask", provides="ok").wait_for("again", provides="more")
    await p.run({}, store=store, run_id="r")
    with pytest.raises(AnswerError, match=r"the answer to 'again' can't be kept: .*object"):
        await store.answer("r", {"ok": 1, "again": object()})
    assert (await store.read("r")).answers == {}


async def test_two_answers_to_one_step_are_refused_unless_they_are_equal(store, steps) -> None:
    await asking(steps).run({}, store=store, run_id="r")
    with pytest.raises(AnswerError, match="there are two answers to 'approval', 'approved' is one of them"):
        await store.answer("r", {"approval": True, "approved": False})
    assert (await store.read("r")).answers == {}
    await store.answer("r", {"approval": True, "approved": True})
    assert (await store.read("r")).answers == {"approval": "true"}


async def test_answer_whose_text_is_damaged_is_an_error_before_anything_is_run(store, steps) -> None:
    p = asking(steps)
    await p.run({}, store=store, run_id="r")
    await store.write_answers("r", {"approval": "tru"})
    with pytest.raises(CheckpointError, match="the text of an answer is damaged"):
        await p.run(store=store, run_id="r")
    assert steps.ran == ["charge"]


async def test_answer_to_a_run_that_is_over_is_refused(store) -> None:
    p = Pipeline("p").wait_for("ask", provides="ok", condition=False)
    await p.run({}, store=store, run_id="r")
    with pytest.raises(AnswerError, match="the run 'r' is over; it asks for nothing any more"):
        await store.answer("r", ok=1)


async def test_wait_has_a_time_that_goes_on_while_nobody_runs_the_run(memory_store) -> None:
    p = Pipeline("p").wait_for("ask", provides="ok", timeout=60).step("after", lambda ok: {"after": ok})
    await p.run({}, store=memory_store, run_id="r")
    await trio.sleep(59)
    assert await p.run(store=memory_store, run_id="r") == {}
    await trio.sleep(1)
    for _ in range(2):
        with pytest.raises(StepTimeoutError, match="'ask' timed out after 60 s"):
            await p.run(store=memory_store, run_id="r")
    assert (await p.run(store=memory_store, run_id="r", answers={"ok": 1}))["after"] == 1  # late, but still accepted


async def test_wait_whose_time_is_over_is_handled_by_on_error(memory_store) -> None:
    p = Pipeline("p").wait_for("ask", provides="ok", timeout=60, on_error="continue")
    p = p.step("after", lambda ok=None: {"after": ok})
    await p.run({}, store=memory_store, run_id="r")
    await trio.sleep(61)
    assert await p.run(store=memory_store, run_id="r") == {"after": None}


async def test_time_of_a_wait_is_over_while_other_branches_run(memory_store) -> None:
    ask = Pipeline("ask").wait_for("ask", provides="ok", timeout=1)

    async def slow():
        await trio.sleep(2)

    p = Pipeline("p").step("both", ask, slow)
    with pytest.raises(Exception, match="both"):
        await p.run({}, store=memory_store, run_id="r")
    assert await status(memory_store) == "failed"


async def test_run_without_a_store_needs_its_answers_at_once(steps) -> None:
    p = asking(steps)
    assert (await p.run({}, answers={"approved": True}))["shipped"] is True
    with pytest.raises(ConfigError, match="'approval' waits for an answer, and this run is not kept"):
        await p.run({})


async def test_timeout_of_a_step_around_does_not_run_while_it_waits(memory_store, steps) -> None:
    p = Pipeline("p").step("order", asking(steps), timeout=5)
    await p.run({}, store=memory_store, run_id="r")
    await trio.sleep(100)
    assert (await p.run(store=memory_store, run_id="r", answers={"approved": True}))["shipped"] is True


async def test_submitted_run_that_waits_is_answered_before_it_has_begun(store, steps) -> None:
    p = asking(steps)
    assert await p.submit({}, store=store, run_id="r")
    await store.answer("r", approved=True)
    assert await status(store) == "submitted"
    assert (await p.run(store=store, run_id="r"))["shipped"] is True


def wraps(kind):
    """Return a pipeline with a wait inside another step."""
    ask = Pipeline("in").wait_for("ask", provides="ok")
    p = Pipeline("member").step("look", lambda: {"xs": [1]})
    if kind == "pipeline":
        return p.step("in", ask)
    if kind == "member":
        return p.step("in", lambda: None, ask)
    if kind == "case":
        return p.branch_on("in", when(lambda xs: xs, ask))
    assert kind == "element"
    each = Pipeline("in").step("use", lambda x: None).wait_for("ask", provides="ok")
    return p.for_each("in", each, over="xs", each="x", into="ys")


@pytest.mark.parametrize("kind", ["pipeline", "member", "case", "element"])
def test_wait_in_a_race_is_refused(kind) -> None:
    ask = wraps(kind)
    with pytest.raises(ConfigError, match="is a member of a race, and its step 'ask' waits for an answer"):
        Pipeline("p").step("first", ask, lambda: {"ok": 1}, mode="race")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"provides": ""}, "give the key"),
        ({"provides": "ok", "of": 3}, "give a class, such as bool"),
        ({"provides": "ok", "timeout": -1}, "timeout"),
    ],
)
def test_wait_that_makes_no_sense_is_refused(options, error) -> None:
    with pytest.raises(ConfigError, match=error):
        Pipeline("p").wait_for("ask", **options)


@pytest.mark.parametrize("version", ["", 1])
def test_version_that_is_no_text_is_refused(version) -> None:
    with pytest.raises(ConfigError, match=r"give a non-empty string, version='1'"):
        Pipeline("p", version=version)
    with pytest.raises(ConfigError, match=r"give a set of versions, versions="):
        Pipeline("p", version="2", versions={version})


def test_versions_that_are_one_text_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"versions='12': give a set, versions=\{'12'\}"):
        Pipeline("p", version="2", versions="12")


async def test_answer_may_be_of_several_types(store) -> None:
    p = Pipeline("p").wait_for("ask", provides="ok", of=str | None)
    with pytest.raises(AnswerError, match="asks for str or NoneType, not for 1"):
        await p.run({}, store=store, run_id="r", answers={"ok": 1})
    assert await p.run({}, store=store, run_id="r", answers={"ok": None}) == {"ok": None}


# What is saved before anything follows from it


async def test_branch_that_was_taken_is_kept_before_its_steps_act() -> None:
    answers = [True, False, False]
    ran = []

    def fail():
        ran.append("card")
        raise OSError("the connection broke while paying")

    p = Pipeline("p").branch_on(
        "route",
        when(lambda: answers.pop(0), lambda q: q.step("card", fail)),
        otherwise(lambda q: q.step("bank", lambda: None)),
    )
    store = MemoryStore()
    for _ in range(2):
        with pytest.raises(OSError, match="broke"):
            await p.run({}, store=store, run_id="r")
    assert (ran, answers) == (["card", "card"], [False, False])


@pytest.mark.parametrize("number", range(9))
async def test_run_that_crashes_at_any_save_takes_one_way_and_does_nothing_twice(number) -> None:
    ran = []

    def changes():
        ran.append("asked")
        return len(ran) % 2 == 1

    def step(name, **keys):
        def run():
            ran.append(name)
            return keys

        return run

    p = (
        Pipeline("p")
        .step("a", step("a", a=1))
        .step("maybe", step("maybe", m=1), condition=changes)
        .branch_on(
            "route",
            when(changes, lambda q: q.step("x", step("x", way="x")), name="x"),
            otherwise(lambda q: q.step("y", step("y", way="y"))),
        )
        .step("end", step("end", end=1))
    )
    store = MemoryStore(crash_at=number)
    told = []
    try:
        await p.run({}, store=store, run_id="r", on_step_complete=lambda event: told.append(event.name))
    except StoreCrashedError:
        store.restart()
        before = list(ran)
        result = await p.run({}, store=store, run_id="r")
        assert ("m" in result) == ("maybe" in ran)
        assert not {"x", "y"} <= set(ran)
        assert not set(told) & set(ran[len(before) :])


# The key of a step


async def test_key_is_the_same_on_every_try_of_a_step_of_a_run(store) -> None:
    keys = []

    def flaky():
        scope = current_scope()
        keys.append((scope.run_id, scope.key, scope.attempt))
        if len(keys) < 3:
            raise OSError("no")

    p = Pipeline("order").step("pay", Pipeline("pay").step("charge", flaky, retry=Retry(2)))
    with pytest.raises(OSError, match="no"):
        await p.run({}, store=store, run_id="ä/42")
    await p.run({}, store=store, run_id="ä/42")
    assert [attempt for _, _, attempt in keys] == [1, 2, 1]
    assert {key for _, key, _ in keys} == {"order/%C3%A4%2F42/pay/charge"}
    assert {run_id for run_id, _, _ in keys} == {"ä/42"}


async def test_key_is_another_one_for_each_element_step_and_run(store) -> None:
    keys = []

    def note(n):
        keys.append(current_scope().key)
        return n

    p = (
        Pipeline("p")
        .for_each("each", note, over="ns", each="n", into="out")
        .step("last", lambda: note(0), provides="x")
    )
    for run_id in ("a", "b"):
        await p.run({"ns": [7, 7]}, store=store, run_id=run_id)
    assert sorted(keys) == ["p/a/each/1", "p/a/each/2", "p/a/last", "p/b/each/1", "p/b/each/2", "p/b/last"]


@pytest.mark.parametrize(
    ("orders", "names"),
    [
        ({"b/1": 1, "a": 2}, ["b%2F1", "a"]),
        ({20: 1, 10: 2}, ["20", "10"]),
        ({"1": 1, 1: 2}, ["1", "2"]),  # otherwise two elements would have one key
        ({True: 1, None: 2}, ["1", "2"]),
    ],
)
async def test_key_of_an_element_of_a_mapping_has_its_key(store, orders, names) -> None:
    keys = []

    def note(n):
        keys.append(current_scope().key)
        return n

    inner = Pipeline("inner").step("note", note, provides="m")
    p = Pipeline("p").for_each("each", note, over="ns", each="n", into="out", concurrency=1)
    p = p.for_each("more", inner, over="ns", each="n", into="more", concurrency=1)
    await p.run({"ns": orders}, store=store, run_id="r")
    assert keys == [f"p/r/each/{name}" for name in names] + [f"p/r/more/{name}/note" for name in names]


async def test_key_of_a_step_does_not_depend_on_where_the_run_was_started(store) -> None:
    keys = []
    inner = Pipeline("inner").step("a", lambda: keys.append(current_scope().key))

    async def run_inner():
        await inner.run({}, store=store, run_id="i")

    await Pipeline("outer").step("b", run_inner).run({}, store=store, run_id="o")
    assert keys == ["inner/i/a"]


async def test_key_without_a_store_is_an_error() -> None:
    p = Pipeline("p").step("a", lambda: {"run_id": current_scope().run_id, "key": current_scope().key})
    with pytest.raises(RuntimeError, match=r"in 'a': the run is not kept in a store.*store=… and run_id=…"):
        await p.run({})
    assert (await Pipeline("p").step("a", lambda: {"run_id": current_scope().run_id}).run({}))["run_id"] is None


async def test_version_is_kept_and_another_one_is_refused(store) -> None:
    def version(number, **options):
        return Pipeline("p", version=number, **options).wait_for("ask", provides="ok")

    await version("1").run({}, store=store, run_id="r")
    assert (await store.load("r")).record.version == "1"
    with pytest.raises(Exception, match="of version '1' of the pipeline 'p', which can continue those of '2'"):
        await version("2").run({}, store=store, run_id="r", answers={"ok": 1})
    assert await version("2", versions={"1"}).run({}, store=store, run_id="r", answers={"ok": 1}) == {"ok": 1}
    assert (await store.load("r")).record.version == "2"
