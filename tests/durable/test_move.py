"""Runs that are moved from one store to another, and continue there."""

from __future__ import annotations

import pytest
import trio

from trio_steps import ConfigError, Pipeline
from trio_steps._pipeline.run.move import move
from trio_steps.store import AnswerError, RunClaimedError, SqliteStore, StoreError, work
from trio_steps.testing import MemoryStore, StoreCrashedError


class Order:
    """A pipeline that records what it does."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.fails = False
        self.pipeline = (
            Pipeline("order", version="7")
            .step("charge", self.charge, provides="receipt")
            .wait_for("approval", provides="approved", of=bool, timeout=100)
            .step("ship", self.ship)
        )

    def charge(self) -> str:
        self.ran.append("charge")
        return "R"

    def ship(self) -> None:
        self.ran.append("ship")
        if self.fails:
            raise OSError("no")

    async def run(self, store, **options) -> None:
        await self.pipeline.run({"n": 1}, store=store, run_id="r", **options)

    async def work(self, store) -> str:
        with trio.move_on_after(2):
            await work(store, [self.pipeline])
        return await status(store)


async def status(store) -> str:
    records = await store.runs()
    return records[0].status if records else "gone"


async def test_run_goes_on_where_it_is_moved_to() -> None:
    order, old, new = Order(), MemoryStore(), MemoryStore()
    await order.run(old)
    until = (await old.load("r")).record.waiting
    await move("r", old, new)
    assert (await status(old), await status(new)) == ("gone", "submitted")
    record = (await new.load("r")).record
    assert (record.step, record.version, record.waiting) == ("charge", "7", until)
    assert await order.work(new) == "waiting"
    assert (await new.load("r")).record.waiting == until
    await new.answer("r", approved=True)
    assert await order.work(new) == "finished"
    assert (order.ran, (await new.load("r")).inputs) == (["charge", "ship"], {"n": 1})


async def test_answer_is_moved_also_if_it_comes_meanwhile(monkeypatch) -> None:
    order, old, new = Order(), MemoryStore(), MemoryStore()
    await order.run(old)
    submit = new.submit

    async def submit_and_answer(run_id, change):
        await old.answer("r", approved=True)
        return await submit(run_id, change)

    monkeypatch.setattr(new, "submit", submit_and_answer)
    await move("r", old, new)
    assert await order.work(new) == "finished"


async def test_answer_that_is_too_late_to_be_moved_says_so(monkeypatch) -> None:
    order, old, new = Order(), MemoryStore(), MemoryStore()
    await order.run(old)
    delete = old.delete

    async def answer_and_delete(run_id):
        with pytest.raises(AnswerError, match="the run 'r' can't be answered here any more, it was moved to <trio"):
            await old.answer("r", approved=True)
        await delete(run_id)
        with pytest.raises(KeyError, match="there is no run 'r'"):
            await old.answer("r", approved=True)

    monkeypatch.setattr(old, "delete", answer_and_delete)
    await move("r", old, new)
    assert await order.work(new) == "waiting"
    await new.answer("r", approved=True)
    assert await order.work(new) == "finished"


@pytest.mark.parametrize("later", range(16))
async def test_answer_that_is_given_while_the_run_is_moved_is_moved_or_says_so(later) -> None:
    order, old, new = Order(), MemoryStore(), MemoryStore()
    await order.run(old)
    said = []

    async def answer() -> None:
        for _ in range(later):
            await trio.lowlevel.checkpoint()
        try:
            await old.answer("r", approved=True)
        except (AnswerError, KeyError) as error:
            said.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(move, "r", old, new)
        nursery.start_soon(answer)
    stored = await new.read("r")
    assert said or stored.answers == {"approval": "true"}


async def test_failed_run_is_tried_again_where_it_is_moved_to() -> None:
    order, old, new = Order(), MemoryStore(), MemoryStore()
    order.fails = True
    with pytest.raises(OSError, match="no"):
        await order.run(old, answers={"approved": True})
    order.fails = False
    await move("r", old, new)
    assert await order.work(new) == "finished"
    assert order.ran == ["charge", "ship", "ship"]


@pytest.mark.parametrize("fatal", ["mark", "submit", "submitted", "delete"])
async def test_move_that_was_cut_short_goes_on_and_nobody_runs_the_run_twice(monkeypatch, fatal) -> None:
    order, old, new = Order(), MemoryStore(), MemoryStore()
    await order.run(old)
    await old.answer("r", approved=True)
    submit = new.submit

    async def dies(*args):
        raise StoreCrashedError

    async def submits_and_dies(*args):
        await submit(*args)
        raise StoreCrashedError

    with monkeypatch.context() as patch:
        if fatal == "mark":
            old.crash_at = old.saves
        elif fatal == "delete":
            patch.setattr(old, "delete", dies)
        else:
            patch.setattr(new, "submit", dies if fatal == "submit" else submits_and_dies)
        with pytest.raises(StoreCrashedError):
            await move("r", old, new)
    old.restart()
    if fatal != "mark":  # neither a worker nor a plain run() takes it
        what = f"it was moved to {new!r}" if fatal == "delete" else f"it is being moved to {new!r}"
        assert (await old.load("r")).record.error.startswith(what)
        assert await order.work(old) == "cancelled"
        with pytest.raises(StoreError, match=f"the run 'r' can't be run here: {what}"):
            await order.pipeline.run(store=old, run_id="r")
    if fatal in ("submitted", "delete"):
        assert await order.work(new) == "finished"
    await move("r", old, new, instead=fatal == "submit")
    assert (await status(old), await order.work(new)) == ("gone", "finished")
    assert order.ran == ["charge", "ship"]


async def test_run_that_can_not_be_moved_stays_as_it_is() -> None:
    order, old, new = Order(), MemoryStore(), MemoryStore()
    with pytest.raises(KeyError, match=r"there is no run 'r' in <trio_steps\.testing\.MemoryStore object at"):
        await move("r", old, new)
    await order.run(old)
    async with old.claim("r"):
        with pytest.raises(RunClaimedError):
            await move("r", old, new)
    await order.run(new)
    before = await old.read("r")
    with pytest.raises(ConfigError, match="has a run 'r' already"):
        await move("r", old, new)
    assert await old.read("r") == before
    await order.run(old, answers={"approved": True})
    with pytest.raises(ConfigError, match="the run 'r' is finished; only a run that can continue is moved"):
        await move("r", old, MemoryStore())


async def test_run_that_somebody_submits_to_the_other_store_just_then_stays(monkeypatch) -> None:
    order, old, new = Order(), MemoryStore(), MemoryStore()
    await order.run(old)
    before = await old.read("r")
    submit = new.submit

    async def submit_second(run_id, change):
        await submit(run_id, change)
        return await submit(run_id, change)

    monkeypatch.setattr(new, "submit", submit_second)
    with pytest.raises(ConfigError, match="has just got a run 'r'"):
        await move("r", old, new)
    after = await old.read("r")
    assert (after.record.status, after.record.error, after.record.waiting) == ("waiting", None, before.record.waiting)
    assert (after.parts, after.questions) == (before.parts, before.questions)


async def test_run_is_moved_between_files(tmp_path) -> None:
    order, old, new = Order(), SqliteStore(tmp_path / "old.db"), SqliteStore(tmp_path / "new.db")
    await order.run(old)
    before = await old.read("r")
    await move("r", old, new)
    after = await new.read("r")
    assert (after.parts, after.questions) == (before.parts, before.questions)
    assert (after.record.waiting, after.record.step) == (before.record.waiting, "charge")
    assert await old.runs() == ()
