"""`RunStore.mark_done`: what may be marked, what follows from it, and what is refused without a change to the run."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from trio_steps import CheckpointError, ConfigError, ForkPartialError, Pipeline, otherwise, when
from trio_steps.store import RunStore, SqliteStore
from trio_steps.testing import MemoryStore, StoreCrashedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


Order: TypeAlias = Pipeline[Any, Any]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(params=["memory", "sqlite"])
def sqlite_or_memory(request: pytest.FixtureRequest, tmp_path: Path) -> RunStore:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "runs.db")


def nothing() -> dict[str, object]:
    return {}


def fails() -> Any:
    raise OSError("no")


def never() -> Any:
    raise AssertionError("this step was marked as done")


charged: Order = Pipeline("order").step("charge", lambda: {"receipt": "R"})


def routed(route: Callable[[], Any] = fails, card: Callable[[], Any] = never) -> Order:
    return Pipeline("order").branch_on(
        "route",
        when(route, lambda p: p.step("card", card), name="card"),
        otherwise(lambda p: p.step("bank", lambda: {"paid": "by bank"}), name="bank"),
    )


async def failed(pipeline: Order, store: RunStore) -> None:
    """Run the pipeline until a step fails."""
    with suppress(OSError, ForkPartialError):
        await pipeline.run({}, store=store, run_id="r")
    record = (await store.load("r")).record
    assert record.status == "failed"


async def refused(store: RunStore, error: type[Exception], message: str, *args: Any, **options: Any) -> None:
    """Check that `mark_done` is refused with this message, and does not change what is stored."""
    before = await store.read("r")
    with pytest.raises(error, match=re.escape(message)):
        await store.mark_done("r", *args, **options)
    assert await store.read("r") == before


async def test_step_that_is_marked_is_not_run_and_what_it_gave_is_there(store: MemoryStore) -> None:
    await failed(charged.step("ship", fails), store)
    await store.mark_done("r", "ship", {"shipped": True})
    assert (await store.load("r")).record.status == "failed"
    result = await charged.step("ship", never).run(store=store, run_id="r")
    assert result == {"receipt": "R", "shipped": True}


async def test_step_that_gives_nothing_is_marked_without_output(store: MemoryStore) -> None:
    await failed(charged.step("ship", fails), store)
    await store.mark_done("r", "ship")
    assert await charged.step("ship", never).run(store=store, run_id="r") == {"receipt": "R"}


async def test_run_that_waits_in_the_step_goes_on_and_to_where_it_waits_next(store: MemoryStore) -> None:
    p = charged.wait_for("approval", provides="approved").wait_for("colour", provides="colour")
    await p.run({}, store=store, run_id="r")
    step = "approval?".rstrip("?")  # equal to the stored string, but another object
    await store.mark_done("r", step, {"approved": True})
    assert (await store.load("r")).record.waiting == {}
    async with store.take({"order": (None,)}) as claim:
        assert claim is not None  # as `work` does
    assert await p.run(store=store, run_id="r") == {"receipt": "R", "approved": True}
    assert (await store.load("r")).record.waiting == {"colour": None}


async def test_run_that_waits_elsewhere_goes_on_waiting_when_a_step_is_marked(store: MemoryStore) -> None:
    p: Order = Pipeline("p").wait_for("colour", provides="colour").step("ship", never)
    await p.run({}, store=store, run_id="r")
    await store.mark_done("r", "ship", {"shipped": True})
    record = (await store.load("r")).record
    assert (record.status, record.waiting) == ("waiting", {"colour": None})
    async with store.take({"p": (None,)}) as claim:
        assert claim is None
    assert await p.run(store=store, run_id="r", answers={"colour": 1}) == {"colour": 1, "shipped": True}


async def test_time_of_another_question_goes_on_when_one_is_marked(sqlite_or_memory: RunStore) -> None:
    store = sqlite_or_memory
    ask = [Pipeline(id).wait_for(id, provides=id, timeout=60.0) for id in ("a", "b")]
    p: Order = Pipeline("p").step("both", *ask)
    await p.run({}, store=store, run_id="r")
    waiting = dict((await store.load("r")).record.waiting)
    assert len(waiting) == 2
    await store.mark_done("r", "both/a/a", {"a": 1})
    del waiting["both/a/a"]
    assert (await store.load("r")).record.waiting == waiting
    assert await p.run(store=store, run_id="r") == {"a": 1}
    record = (await store.load("r")).record
    assert (record.status, record.waiting) == ("waiting", waiting)


async def test_step_that_was_interrupted_is_marked_and_its_run_is_interrupted_still(store: MemoryStore) -> None:
    store.crash_at = 2
    with pytest.raises(StoreCrashedError):
        await charged.step("ship", nothing).run({}, store=store, run_id="r")
    store.restart()
    assert (await store.load("r")).record.status == "interrupted"
    await store.mark_done("r", "ship")
    assert (await store.load("r")).record.status == "interrupted"
    assert await charged.step("ship", never).run(store=store, run_id="r") == {"receipt": "R"}


async def test_case_that_is_named_is_taken_though_the_condition_says_otherwise_now(store: MemoryStore) -> None:
    await failed(routed(), store)
    await store.mark_done("r", "route/card/card", {"paid": "by hand"}, taken={"route": "card"})
    assert await routed(lambda: False).run(store=store, run_id="r") == {"paid": "by hand"}


async def test_step_in_a_case_that_was_taken_needs_no_name_for_it(store: MemoryStore) -> None:
    await failed(routed(lambda: True, fails), store)
    await store.mark_done("r", "route/card/card", {"paid": "by hand"})
    assert await routed(lambda: False).run(store=store, run_id="r") == {"paid": "by hand"}


async def test_case_that_was_taken_is_stored_once_although_it_is_named_again(store: MemoryStore) -> None:
    await failed(routed(lambda: True, fails), store)
    await store.mark_done("r", "route/card/card", {"paid": "by hand"}, taken={"route": "card"})
    stored = await store.read("r")
    assert stored is not None
    assert list(stored.parts) == list(range(len(stored.parts)))
    checkpoint = (await store.load("r")).checkpoint
    assert checkpoint is not None
    assert [(entry.kind, entry.step) for entry in checkpoint.entries] == [
        ("inputs", ""),
        ("taken", "route"),
        ("done", "route/card/card"),
    ]


async def test_step_in_a_case_that_was_not_taken_is_refused(store: MemoryStore) -> None:
    await failed(routed(), store)
    missing = "the branch 'route' has not taken that case; give taken={'route': 'card'}"
    await refused(store, ConfigError, missing, "route/card/card")
    await refused(store, ConfigError, missing, "route/card/card", taken={"route": "bank"})
    await refused(store, ConfigError, missing, "route/card/card", taken={"route": "cash"})
    await refused(store, KeyError, "no step 'route/cash/card'", "route/cash/card", taken={"route": "cash"})
    await refused(
        store,
        ConfigError,
        "mark_done(…, taken={'root': 'card'}): 'route/card/card' is in no branch of that name",
        "route/card/card",
        taken={"route": "card", "root": "card"},
    )


async def test_case_other_than_the_one_that_was_taken_is_refused(store: MemoryStore) -> None:
    await failed(routed(lambda: True, fails), store)
    await refused(
        store,
        ConfigError,
        "mark_done(…, taken={'route': 'bank'}): the run took 'card'",
        "route/bank/bank",
        taken={"route": "bank"},
    )


async def test_step_inside_a_step_is_marked_by_its_full_name(store: MemoryStore) -> None:
    def order(ship: Callable[[], Any]) -> Order:
        return charged.step("deliver", Pipeline("inner").step("pack", lambda: {"packed": True}).step("ship", ship))

    await failed(order(fails), store)
    await store.mark_done("r", "deliver/ship", {"shipped": True})
    result = await order(never).run(store=store, run_id="r")
    assert result == {"receipt": "R", "packed": True, "shipped": True}


async def test_step_that_is_done_is_refused(store: MemoryStore) -> None:
    await failed(charged.step("ship", fails), store)
    await refused(store, ConfigError, "mark_done('r', 'charge'): the step is already done", "charge")


async def test_step_that_is_not_there_is_refused(store: MemoryStore) -> None:
    await failed(charged.step("ship", fails), store)
    await refused(store, KeyError, "the pipeline 'order' has no step 'shop'; it has 'charge', 'ship'", "shop")


async def test_output_that_is_no_mapping_of_keys_or_cannot_be_kept_is_refused(store: MemoryStore) -> None:
    await failed(charged.step("ship", fails), store)
    await refused(store, ConfigError, "mark_done(…, {1: 2} (of type dict)): give a mapping of keys", "ship", {1: 2})
    await refused(store, CheckpointError, "object", "ship", {"shipped": object()})


async def test_dict_is_not_taken_for_a_class_of_dicts(store: MemoryStore) -> None:
    def count() -> Counter[str]:
        raise OSError

    await failed(charged.step("count", count, provides="votes"), store)
    await refused(
        store,
        ConfigError,
        "'votes' has to be collections:Counter, not {'a': 1} (of type dict)",
        "count",
        {"votes": {"a": 1}},
    )
    await store.mark_done("r", "count", {"votes": Counter("a")})


async def test_run_that_is_finished_is_refused(store: MemoryStore) -> None:
    await charged.run({}, store=store, run_id="r")
    await refused(store, ConfigError, "mark_done('r', 'charge'): the run is finished", "charge")


async def test_run_that_is_not_there_is_refused(store: MemoryStore) -> None:
    await refused(store, KeyError, "there is no run 'r' in the store", "charge")
    assert await store.runs() == ()
