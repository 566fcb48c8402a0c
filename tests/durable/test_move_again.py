"""A move that did not end well: the run is in one store only, or says in which other one it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
from crashing_store import DiedError, Process

from trio_steps import ConfigError, Pipeline
from trio_steps._pipeline.run.move import move
from trio_steps.store import RunChange, SqliteStore, StoreError, work
from trio_steps.testing import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from trio_steps.store import RunStore


class Places:
    """Three stores, and a run in the first."""

    def __init__(self, stores: list[RunStore]) -> None:
        self.stores = stores
        self.ran: list[str] = []
        self.pipeline: Pipeline[Any, Any] = (
            Pipeline("order")
            .step("charge", self.charge, provides="receipt")
            .wait_for("approval", provides="approved", of=bool)
            .step("ship", self.ship)
        )

    def charge(self) -> str:
        self.ran.append("charge")
        return "R"

    def ship(self) -> None:
        self.ran.append("ship")

    async def begin(self) -> None:
        await self.pipeline.run({"n": 1}, store=self.stores[0], run_id="r")
        await self.stores[0].answer("r", approved=True)

    async def dies(self, number: int, at: int, *, after: bool) -> bool:
        """Move the run from the first store to the second, in a process that dies. Return whether it did."""
        views = [Process(store, f"number {index}", {}) for index, store in enumerate(self.stores)]
        views[number].will_die(at, after=after)
        monkey = pytest.MonkeyPatch()

        def die() -> None:  # with all that it has of any store
            monkey.undo()
            for view in views:
                view.die()

        monkey.setattr(views[number], "die", die)
        try:
            await move("r", views[0], views[1])
        except DiedError:
            for store in self.stores:
                if isinstance(store, MemoryStore):
                    store.restart()
            return True
        else:
            return False
        finally:
            for view in views:
                await view.bury()

    async def move(self, source: int, target: int, **options: Any) -> None:
        processes = [Process(store, f"number {index}", {}) for index, store in enumerate(self.stores)]
        await move("r", processes[source], processes[target], **options)

    async def finish(self) -> None:
        """Run it wherever it can be run."""
        for store in self.stores:
            process = Process(store, "at work", {})
            with trio.CancelScope() as scope:
                process.idle = scope.cancel
                await work(process, [self.pipeline])
        found = [record.status for store in self.stores for record in await store.runs()]
        assert found == ["finished"]
        assert self.ran == ["charge", "ship"]


@pytest.fixture(params=["memory", "sqlite"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    if request.param == "memory":
        return Places([MemoryStore() for _ in range(3)])
    return Places([SqliteStore(tmp_path / f"{number}.db", synchronous="normal") for number in range(3)])


CALLS = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (0, 3), (0, 4), (1, 2), (0, 5)]
"""All calls of a move, each with the number of its store."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("number", "at"), CALLS)
async def test_run_of_a_move_that_died_can_be_moved_to_the_same_store_only(
    places: Places, number: int, at: int, *, after: bool
) -> None:
    await places.begin()
    assert await places.dies(number, at, after=after)
    if (number, at, after) == (0, 5, True):  # it was complete
        with pytest.raises(KeyError, match="there is no run 'r'"):
            await places.move(0, 2)
        await places.finish()
        return
    record = (await places.stores[0].load("r")).record
    if record.error is None:  # it had not begun
        assert record.status == "waiting"
        assert await places.stores[1].runs() == ()
        await places.move(0, 2)
        await places.finish()
        return
    with pytest.raises(ConfigError, match=r"can't be moved to <the store number 2>, as it (is being|was) moved to "):
        await places.move(0, 2)
    assert await places.stores[2].runs() == ()
    with pytest.raises(StoreError, match=r"the run 'r' can't be changed here: it (is being|was) moved to <the store n"):
        await places.stores[0].mark_done("r", "ship")
    if not await places.stores[1].runs():  # it may have ended there and been deleted
        with pytest.raises(ConfigError, match="which does not have it: it never got there, or has ended there and was"):
            await places.move(0, 1)
    await places.move(0, 1, instead=not await places.stores[1].runs())
    await places.finish()


@pytest.mark.parametrize("number", [0, 1])
async def test_move_makes_no_other_call(places: Places, number: int) -> None:
    await places.begin()
    assert not await places.dies(number, sum(of == number for of, _ in CALLS), after=False)
    await places.finish()


async def test_run_can_be_moved_elsewhere_if_the_store_that_it_was_moved_to_is_lost(places: Places) -> None:
    await places.begin()
    assert await places.dies(1, 1, after=True)
    await places.stores[1].delete("r")
    with pytest.raises(ConfigError, match="if that store is lost, say --instead"):
        await places.move(0, 2)
    await places.move(0, 2, instead=True)
    await places.finish()


async def test_run_that_was_moved_and_deleted_there_is_not_moved_a_second_time(places: Places) -> None:
    await places.begin()
    assert await places.dies(0, 5, after=False)
    await places.stores[1].delete("r")
    what = "the run 'r' was moved to <the store number 1> before, which does not have it any more; delete it in <the st"
    with pytest.raises(ConfigError, match=what):
        await places.move(0, 1)
    await places.move(0, 1, instead=True)
    await places.finish()


async def test_run_that_ended_and_was_deleted_while_its_move_was_cut_short_does_not_run_twice(places: Places) -> None:
    """The process died before it could note that the run had got there."""
    await places.begin()
    assert await places.dies(1, 1, after=True)
    process = Process(places.stores[1], "at work", {})
    with trio.CancelScope() as scope:
        process.idle = scope.cancel
        await work(process, [places.pipeline])
    await places.stores[1].delete("r")
    assert places.ran == ["charge", "ship"]
    with pytest.raises(ConfigError, match="if it ended, delete it in <the store number 0>, too"):
        await places.move(0, 1)
    assert await places.stores[1].runs() == ()
    await places.stores[0].delete("r")


async def test_move_elsewhere_refuses_a_store_that_has_such_a_run(places: Places) -> None:
    await places.begin()
    assert await places.dies(1, 1, after=True)
    with pytest.raises(ConfigError, match="<the store number 1> has a run 'r' already"):
        await places.move(0, 1, instead=True)
    await places.move(0, 1)
    await places.finish()


async def test_run_with_other_inputs_is_not_taken_for_the_one_that_was_being_moved(places: Places) -> None:
    await places.begin()
    assert await places.dies(1, 1, after=False)
    await places.pipeline.submit({"n": 2}, store=places.stores[1], run_id="r")
    with pytest.raises(
        ConfigError, match="<the store number 1> has a run 'r' already; the one in <the store number 0>"
    ):
        await places.move(0, 1)
    await places.stores[1].delete("r")
    await places.move(0, 1, instead=True)
    await places.finish()


async def test_run_that_somebody_submits_just_before_it_is_moved_again_stays_marked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = Places([MemoryStore() for _ in range(3)])
    await places.begin()
    assert await places.dies(1, 1, after=False)
    target = places.stores[1]
    submit = target.submit

    async def submit_second(run_id: str, change: RunChange) -> bool:
        await submit(run_id, RunChange(pipeline="other", status="submitted"))
        return await submit(run_id, change)

    with monkeypatch.context() as patch:
        patch.setattr(target, "submit", submit_second)
        with pytest.raises(ConfigError, match="has just got a run 'r'; the other one stays where it is"):
            await places.move(0, 1, instead=True)
    record = (await places.stores[0].load("r")).record
    assert record.status == "cancelled"
    assert str(record.error).startswith("it is being moved to <the store number 1>")
    await target.delete("r")
    await places.move(0, 2, instead=True)
    await places.finish()


async def test_run_that_no_one_has_answered_is_moved_without_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """By then, others may have run it at the target, and deleted it."""
    source, target = MemoryStore(), MemoryStore()
    await Pipeline("order").submit({}, store=source, run_id="r")
    monkeypatch.setattr(MemoryStore, "write_answers", None)
    await move("r", source, target)
    assert await source.read("r") is None
    assert [record.run_id for record in await target.runs()] == ["r"]
