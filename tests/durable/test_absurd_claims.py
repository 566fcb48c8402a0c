"""The cost of holding a run in PostgreSQL: how many round trips it takes, and what need not be written."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from postgresql_server import run

from trio_steps import Pipeline
from trio_steps._durable.absurd import claims
from trio_steps._durable.absurd.connections import Session
from trio_steps.store import RunChange, work

if TYPE_CHECKING:
    from postgresql_server import Database

    from trio_steps.store import RunStatus

pytestmark = pytest.mark.postgresql


def change(status: Any = "submitted", **rest: Any) -> RunChange:
    return RunChange(pipeline="p", status=status, **rest)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements executed in the database, except by the thread that keeps claims, whose timing is arbitrary."""
    monkeypatch.setattr(claims, "_LOOK", 1e9)
    executed: list[str] = []
    execute = Session.execute

    def noted(self: Session, statement: Any, values: Any = ()) -> Any:
        if not threading.current_thread().name.startswith("leases"):
            executed.append(statement if isinstance(statement, str) else statement.decode())
        return execute(self, statement, values)

    monkeypatch.setattr(Session, "execute", noted)
    return executed


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def until(count: int, store: Any, *pipelines: Any, **options: Any) -> None:
    """Work until `count` runs have ended or wait."""
    left = count

    def on_end(run_id: str, _: RunStatus, error: Exception | None) -> None:
        nonlocal left
        assert error is None
        left -= 1
        if not left:
            scope.cancel()

    with trio.CancelScope() as scope:
        await work(store, pipelines, on_end=on_end, **options)


def test_run_of_three_steps_is_six_statements(database: Database, statements: list[str]) -> None:
    store = database.store()
    pipeline = Pipeline("p").step("a", lambda n: {"b": n}).step("c", lambda b: {"d": b}).step("e", lambda d: {"f": d})

    async def main() -> None:
        for number in range(3):
            await pipeline.submit({"n": number}, store=store, run_id=str(number))
        await until(1, store, pipeline)  # the first take checks whether there is any run
        statements.clear()
        await until(2, store, pipeline)
        made = statements.copy()
        for number in range(3):
            assert (await store.load(str(number))).result == dict.fromkeys("nbdf", number)
        words = ("claim_task", "t.params", *["set_task_checkpoint_state"] * 3, "complete_run")
        assert len(made) == 2 * len(words)
        for statement, word in zip(made, words * 2, strict=True):
            assert word in statement

    run(main)
    assert database.sql("select checkpoint_name from absurd.c_p where checkpoint_name = 'run'") == []


def test_run_that_was_given_back_in_its_first_step_is_interrupted(database: Database) -> None:
    store = database.store()
    began: list[str] = []

    async def first() -> dict[str, int]:
        began.append("first")
        if len(began) == 1:
            scope.cancel()
            await trio.sleep_forever()
        return {"n": 1}

    pipeline = Pipeline("p").step(first)

    async def main() -> None:
        nonlocal scope
        await pipeline.submit({}, store=store, run_id="r")
        with scope:
            await work(store, [pipeline])
        assert (await store.look("r")).status == "interrupted"
        await until(1, store, pipeline)
        record = await store.look("r")
        assert (record.status, record.step, record.deaths) == ("finished", "first", 0)

    scope = trio.CancelScope()
    run(main)


def test_run_that_nobody_began_is_submitted_after_it_was_given_back(database: Database) -> None:
    store = database.store()

    async def main() -> None:
        await store.submit("r", change(parts={0: "zero"}))
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            assert (await store.look("r")).status == "running"
        assert (await store.look("r")).status == "submitted"

    run(main)


def test_run_whose_worker_died_in_its_first_step_is_interrupted_until_it_is_taken(database: Database) -> None:
    store = database.store()

    async def main() -> None:
        await store.submit("r", change(parts={0: "zero"}))
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            await claim.write(change("running", parts={0: "zero"}))
            database.sql("update absurd.r_p set claim_expires_at = now() - interval '1 s'")
            assert (await store.look("r")).status == "interrupted"
            assert database.sql("select absurd.claim_task('p', 'who sweeps', 60, 1)") == []
            assert (await store.look("r")).status == "interrupted"
            database.sql("select absurd.retry_task('p', task_id) from absurd.t_p")
            record = await store.look("r")
            assert (record.status, record.deaths) == ("interrupted", 1)

    run(main)


def test_change_that_ends_a_run_can_have_answers(database: Database) -> None:
    store = database.store()

    async def main() -> None:
        await store.submit("r", change(parts={0: "zero"}))
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            await claim.write(change("finished", parts={1: "one"}, answers={"approval": "true"}))
        stored = await store.read("r")
        assert stored is not None
        assert (stored.record.status, stored.parts) == ("finished", {0: "zero", 1: "one"})
        assert stored.answers == {"approval": "true"}

    run(main)


def test_queue_that_was_dropped_has_nothing_and_may_come_again(database: Database) -> None:
    store = database.store()

    async def main() -> None:
        await store.submit("one", change(parts={0: "zero"}))
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            await claim.write(change("finished"))
        database.sql("select absurd.drop_queue('p')")
        async with store.take({"p": (None,)}) as claim:
            assert claim is None
        await database.store().submit("two", change(parts={0: "zero"}))
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            assert claim.run_id == "two"

    run(main)


def test_thousand_runs_that_wait_hold_no_connection_and_no_file(database: Database) -> None:
    store = database.store()
    pipeline = Pipeline("p").wait_for("approval", provides="approved", of=bool)
    count = "select count(*) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()"

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            numbers = iter(range(1000))

            async def submit() -> None:
                for number in numbers:
                    await pipeline.submit({}, store=store, run_id=str(number))

            for _ in range(8):
                nursery.start_soon(submit)
        files = open_files()
        await until(1000, store, pipeline, concurrency=8)
        assert len(await store.runs(status=("waiting",))) == 1000
        [(connections,)] = database.sql(count, database.name)
        assert connections <= 9  # eight calls at once, and the one that extends claims
        assert open_files() <= files + 4
        await store.answer("500", approved=True)
        await until(1, store, pipeline)
        assert (await store.load("500")).result == {"approved": True}

    run(main, seconds=110)
