"""Runs in PostgreSQL: the behaviour of every store, and what is specific to Absurd."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from places import docs_page
from postgresql_server import run

from trio_steps import CheckpointError, ConfigError, Pipeline, absurd
from trio_steps._durable.absurd import claims
from trio_steps.absurd import AbsurdStore
from trio_steps.store import (
    AnswerConflictError,
    RunCancelledError,
    RunChange,
    RunClaimedError,
    RunFailedError,
    SqliteStore,
    StoreError,
    work,
)
from trio_steps.testing import MemoryStore, check_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from postgresql_server import Database, Server

    from trio_steps.store import RunRecord

pytestmark = pytest.mark.postgresql


def test_absurd_store_conforms(server: Server) -> None:
    databases: dict[AbsurdStore, Database] = {}

    def make_store() -> AbsurdStore:
        database = server.database()
        store = database.store()
        databases[store] = database
        return store

    async def lose(store: Any, run_id: str) -> None:
        databases[store].sql(
            "update absurd.r_p set claimed_by = 'dead', claim_expires_at = now() - interval '1 s'"
            " where state = 'running'"
        )

    # Absurd gives a run to any free worker, and a run that it has cancelled stays cancelled
    run(partial(check_store, make_store, lose=lose, without=["claims", "goes_on_after_cancel"]))


def p(name: str = "p", **options: Any) -> Pipeline[Any, Any]:
    return (
        Pipeline(name, **options)
        .step("charge", lambda order: {"receipt": f"R-{order}"})
        .wait_for("approval", provides="approved", of=bool)
        .step("ship", lambda approved: {"shipped": approved})
    )


DONE = {"order": 7, "receipt": "R-7", "approved": True, "shipped": True}


@asynccontextmanager
async def worker(store: Any, *pipelines: Pipeline[Any, Any], **options: Any) -> AsyncGenerator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(work, store, pipelines, on_end=lambda *_: None, **options))
        yield
        nursery.cancel_scope.cancel()


async def becomes(store: Any, run_id: str, *statuses: str) -> RunRecord:
    record = await store.look(run_id)
    while record.status not in statuses:
        await trio.sleep(0.05)
        record = await store.look(run_id)
    return record


def change(status: Any = "submitted", **rest: Any) -> RunChange:
    return RunChange(pipeline="p", status=status, **rest)


def test_run_waits_is_answered_and_goes_on(database: Database) -> None:
    store = database.store()

    async def main() -> None:
        async with worker(store, p()):
            assert await p().run({"order": 7}, store=store, run_id="r") == {"order": 7, "receipt": "R-7"}
            record = await becomes(store, "r", "waiting")
            assert (record.step, record.waiting, record.deaths) == ("charge", {"approval": None}, 0)
            await store.answer("r", approved=True)
            assert await p().run(store=store, run_id="r") == DONE

    run(main)


def test_many_runs_that_wait_and_are_answered_at_any_moment_all_end(database: Database) -> None:
    store = database.store()
    both = Pipeline("both").step(
        Pipeline("one").wait_for("a", provides="a", of=bool),
        Pipeline("two").wait_for("b", provides="b", of=bool),
    )

    async def one(number: int) -> None:
        await both.submit(store=store, run_id=str(number))
        async with trio.open_nursery() as nursery:
            for key in ("a", "b"):
                nursery.start_soon(answer, str(number), key, number % 7 / 10)

    async def answer(run_id: str, key: str, delay: float) -> None:
        await trio.sleep(delay if key == "a" else 0.6 - delay)
        await store.answer(run_id, {key: True})

    async def main() -> None:
        async with worker(store, both, concurrency=4), worker(database.store(), both, concurrency=4):
            async with trio.open_nursery() as nursery:
                for number in range(28):
                    nursery.start_soon(one, number)
            for number in range(28):
                await becomes(store, str(number), "finished")

    run(main)


def test_time_to_wait_is_over_by_the_clock_of_the_database(database: Database) -> None:
    store = database.store()
    slow = Pipeline("slow").wait_for("ok", provides="ok", of=bool, timeout=1, on_error="continue")

    async def main() -> None:
        async with worker(store, slow):
            await slow.submit(store=store, run_id="r")
            record = await becomes(store, "r", "waiting")
            until = record.waiting["ok"]
            assert until is not None
            assert (await becomes(store, "r", "finished")).updated >= until

    run(main)


def test_cancelled_run_stays_cancelled_and_cleans_up(database: Database) -> None:
    store = database.store()
    cleaned: list[str] = []

    async def sleeps() -> None:
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.2)
                cleaned.append("up")

    sleeper = Pipeline("sleeper").step("sleeps", sleeps)
    ends: list[Any] = []
    begun = trio.Event()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(work, store, [sleeper], on_end=lambda *end: ends.append(end)))
            await sleeper.submit(store=store, run_id="r")
            await begun.wait()
            began = trio.current_time()
            assert await store.cancel("r")
            while not ends:
                await trio.sleep(0.05)
            assert trio.current_time() - began < 2
            nursery.cancel_scope.cancel()
        assert not await store.cancel("r")
        await store.resume("r")
        with pytest.raises(RunCancelledError):
            await sleeper.run(store=store, run_id="r")

    run(main)
    assert cleaned == ["up"]
    [(run_id, status, error)] = ends
    assert (run_id, status) == ("r", "cancelled")
    assert isinstance(error, RunCancelledError)
    assert database.sql("select state from absurd.t_sleeper") == [("cancelled",)]


def test_cancellation_is_noticed_at_the_next_save(database: Database) -> None:
    store = database.store()

    async def cancels() -> None:
        assert await store.cancel("r")

    never = Pipeline("never").step("cancels", cancels).step("never", lambda: pytest.fail("the run is cancelled"))

    async def main() -> None:
        async with worker(store, never):
            with pytest.raises(RunCancelledError):
                await never.run(store=store, run_id="r")

    run(main)


@pytest.mark.parametrize("status", ["running", "finished", "failed"])
def test_write_to_a_cancelled_run_that_nobody_watches(database: Database, status: Any) -> None:
    store = database.store()

    async def main() -> None:
        await store.submit("r", change())
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            await store.cancel("r")
            if status == "failed":
                await claim.write(change(status))  # the outcome makes no difference any more
            else:
                with pytest.raises(RunCancelledError):
                    await claim.write(change(status))
        assert (await store.look("r")).status == "cancelled"

    run(main)


def test_worker_can_say_that_a_run_was_cancelled(database: Database) -> None:
    store = database.store()

    async def main() -> None:
        await store.submit("r", change())
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            await claim.write(change("cancelled", urgent=True))
        assert (await store.look("r")).status == "cancelled"

    run(main)


def test_failed_run_waits_for_somebody_and_goes_on(database: Database) -> None:
    store = database.store()
    mended: list[int] = []

    def fails() -> None:
        if not mended:
            raise ZeroDivisionError("no\0 \ud800")

    ran: list[int] = []
    pipeline = Pipeline("p").step("once", lambda: ran.append(1)).step("fails", fails)

    async def main() -> None:
        async with worker(store, pipeline):
            with pytest.raises(RunFailedError, match="ZeroDivisionError: no"):
                await pipeline.run(store=store, run_id="r")
            record = await store.look("r")
            assert record.error == "ZeroDivisionError: no\0 \\ud800\nin step 'fails'"
            await trio.sleep(1.2)
            assert (await store.look("r")).status == "failed"
            mended.append(1)
            await store.resume("r")
            await becomes(store, "r", "finished")

    run(main)
    assert ran == [1]


def test_stopped_run_goes_on(database: Database) -> None:
    store = database.store()
    steps = Pipeline("p").step("one", lambda: {"one": 1})
    stopping = Pipeline("p", on_step_complete=lambda event: event.stop()).step("one", lambda: {"one": 1})

    async def main() -> None:
        async with worker(store, stopping):
            assert await stopping.run(store=store, run_id="r") == {"one": 1}
        assert (await store.look("r")).status == "stopped"
        async with worker(store, steps.step("two", lambda: {"two": 2})):
            assert await steps.run(store=store, run_id="r") == {"one": 1, "two": 2}

    run(main)


def test_step_is_marked_as_done_while_nobody_runs_the_run(database: Database) -> None:
    store = database.store()

    async def main() -> None:
        await p().submit({"order": 7}, store=store, run_id="r")
        before = await store.read("r")
        assert before is not None
        await store.mark_done("r", "charge", {"receipt": "by hand"})
        assert not await store.amend(before.record, change())  # the run has changed since
        async with worker(store, p()):
            assert await p().run(store=store, run_id="r") == {"order": 7, "receipt": "by hand"}
            await store.mark_done("r", "approval", {"approved": False})
            record = await becomes(store, "r", "finished")
        assert record.step == "ship"
        assert (await store.load("r")).result == {**DONE, "receipt": "by hand", "approved": False, "shipped": False}

    run(main)


def test_failed_run_whose_step_is_marked_as_done_is_failed_until_it_is_resumed(database: Database) -> None:
    store = database.store()
    pipeline = Pipeline("p").step("divide", lambda: {"n": 1 / 0}).step("more", lambda n: {"more": n})

    async def main() -> None:
        async with worker(store, pipeline):
            with pytest.raises(RunFailedError):
                await pipeline.run(store=store, run_id="r")
            await store.mark_done("r", "divide", {"n": 1.5})
            assert (await store.look("r")).status == "failed"
            assert await pipeline.run(store=store, run_id="r") == {"n": 1.5, "more": 1.5}

    run(main)


def test_part_that_was_submitted_stays_dropped(database: Database) -> None:
    store = database.store()

    async def main() -> None:
        await store.submit("r", change(parts={0: "zero", 1: "one"}))
        stored = await store.read("r")
        assert stored is not None
        assert await store.amend(stored.record, change("running", dropped=[1], parts={2: "two"}))
        stored = await store.read("r")
        assert stored is not None
        assert stored.parts == {0: "zero", 2: "two"}
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            await claim.write(change("running", dropped=[0, 2], parts={3: "three"}))
            with pytest.raises(RunClaimedError):
                await store.amend(stored.record, change("running"))
        stored = await store.read("r")
        assert stored is not None
        assert stored.parts == {3: "three"}

    run(main)


def test_run_that_comes_from_elsewhere_goes_on_where_it_was(database: Database) -> None:
    store, memory = database.store(), MemoryStore()

    async def main() -> None:
        assert await p().run({"order": 7}, store=memory, run_id="r") == {"order": 7, "receipt": "R-7"}
        await memory.answer("r", approved=True)
        there = await memory.read("r")
        assert there is not None
        until = datetime(2030, 1, 1, tzinfo=UTC)
        moved = change(
            step="charge", parts=there.parts, answers=there.answers, questions=there.questions, waiting={"x": until}
        )
        assert await store.submit("r", moved)
        stored = await store.read("r")
        assert stored is not None
        assert (stored.record.status, stored.record.step, stored.record.waiting) == (
            "submitted",
            "charge",
            {"x": until},
        )
        assert (stored.parts, stored.answers, stored.questions) == (there.parts, there.answers, there.questions)
        never = p().step("more", lambda: {"more": 1})
        async with worker(store, never):
            assert await never.run(store=store, run_id="r") == {**DONE, "more": 1}

    run(main)


def test_runs_of_other_versions_are_left_alone(database: Database) -> None:
    store = database.store()
    one, two = p(version="1"), p(version="2", versions={"1"})

    async def main() -> None:
        await one.submit({"order": 7}, store=store, run_id="one")
        await two.submit({"order": 7}, store=store, run_id="two")
        async with worker(store, one):
            await becomes(store, "one", "waiting")
            await trio.sleep(1)
            assert (await store.look("two")).status == "submitted"
        async with worker(store, two):
            await becomes(store, "two", "waiting")
            await store.answer("one", approved=True)
            await becomes(store, "one", "finished")
        assert [record.version for record in await store.runs()] == ["2", "2"]

    run(main)


def test_run_that_somebody_else_was_given_is_left_alone_for_a_while(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not ours, but Absurd hands out the first task of the queue."""
    monkeypatch.setattr(claims, "_GIVEN_BACK", (0.1, 0.1))
    store = database.store()
    one, two = p(version="1"), p(version="2")

    async def main() -> None:
        await one.submit({"order": 7}, store=store, run_id="one")
        database.sql("select absurd.spawn_task('p', 'somebody else''s', '1')")
        await two.submit({"order": 7}, store=store, run_id="two")
        async with store.take({"p": ("2",)}) as claim:
            assert claim is not None
            assert claim.run_id == "two"
        assert {record.status for record in await store.runs()} == {"submitted"}

    run(main)
    assert sorted(database.sql("select task_name, state from absurd.t_p")) == [
        ("p", "sleeping"),
        ("p", "sleeping"),
        ("somebody else's", "sleeping"),
    ]


def test_one_run_id_is_one_run_in_all_pipelines(database: Database) -> None:
    store = database.store()

    async def main() -> None:
        assert await p().submit({"order": 7}, store=store, run_id="r")
        with pytest.raises(CheckpointError, match="of the pipeline 'p', not of 'q'"):
            await p("q").submit({"order": 7}, store=store, run_id="r")

    run(main)


def test_pipelines_and_runs_can_be_called_anything(database: Database) -> None:
    store = database.store()
    names = ["My Pipeline", "ä" * 80, "ä" * 81, "x" * 57, 'quote"d', "dot.ted", "per%cent {}"]

    async def main() -> None:
        for number, name in enumerate(names):
            pipeline = Pipeline(name).step("one", lambda: {"one": "\0 \ud800 ä"})
            async with worker(store, pipeline):
                got = await pipeline.run({"n": "\0"}, store=store, run_id=f"{number} ' %s \" {{}}")
                assert got == {"n": "\0", "one": "\0 \ud800 ä"}
            [record] = await store.runs(pipeline=name)
            assert record.run_id == f"{number} ' %s \" {{}}"
            await store.delete(record.run_id)
        with pytest.raises(StoreError, match="has more than 2000 bytes; use a shorter one"):
            await p().submit({"order": 7}, store=store, run_id="ä" * 1001)

    run(main)
    assert len(database.sql("select queue_name from absurd.queues")) == len(names)


def test_answers_to_steps_with_odd_names_are_kept(database: Database) -> None:
    store = database.store()
    answers = {f"{name}/ask": "1" for name in ("x" * 3000, "a\0b", "\ud800", "tab\t", "ä")}

    async def main() -> None:
        await store.submit("r", change())
        await store.write_answers("r", answers)
        with pytest.raises(AnswerConflictError):
            await store.write_answers("r", {"a\0b/ask": "2"})
        stored = await store.read("r")
        assert stored is not None
        assert stored.answers == answers

    run(main)


def test_queue_with_partitions_of_its_own_does_as_well(database: Database) -> None:
    store = database.store()
    database.sql("select absurd.create_queue('p', 'partitioned')")

    async def main() -> None:
        async with worker(store, p()):
            assert await p().run({"order": 7}, store=store, run_id="r", answers={"approved": True}) == DONE
        await store.delete("r")
        assert await p().submit({"order": 7}, store=store, run_id="r")

    run(main)


def test_list_of_many_runs_comes_in_order(database: Database) -> None:
    store = database.store()

    async def main() -> None:
        for number in range(3):
            for name in "pq":
                await store.submit(f"{name}{number}", RunChange(pipeline=name, status="submitted"))
        await p().submit({"order": 7}, store=store, run_id="last")
        database.sql(
            "select absurd.spawn_task('p', 'p', '{\"parts\": {}, \"questions\": []}', jsonb_build_object("
            "'idempotency_key', i::text, 'headers', '{\"trio_steps\": \"\"}'::jsonb)) from generate_series(1, 450) i"
        )
        records = await store.runs()
        assert len(records) == 457
        assert [record.run_id for record in records[450:]] == ["last", "q2", "p2", "q1", "p1", "q0", "p0"]
        assert [record.run_id for record in await store.runs(limit=3, after="last")] == ["q2", "p2", "q1"]
        odd: list[dict[str, Any]] = [{"status": "failed"}, {"limit": -1}, {"since": datetime(2026, 1, 1)}]  # noqa: DTZ001
        for options in odd:
            with pytest.raises(ConfigError, match=r"runs\((status|limit|since)=.+\): give "):
                await store.runs(**options)
        assert await store.runs(limit=0) == ()

    run(main)


def test_task_that_somebody_else_failed_says_why(database: Database) -> None:
    store = database.store()

    async def main() -> None:
        await store.submit("r", change())
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            database.sql("select absurd.fail_run('p', run_id, '{\"why\": \"by hand\"}') from absurd.r_p")
            with pytest.raises(RunClaimedError):
                await claim.write(change("running"))
            with pytest.raises(RunClaimedError):
                claim.check()
            with pytest.raises(RunClaimedError):
                await claim.wait_cancelled()
        record = await store.look("r")
        assert (record.status, record.error) == ("failed", '{"why": "by hand"}')

    run(main)


def test_database_without_absurd_says_how_to_install_it(server: Server) -> None:
    database = server.database(bare=True)
    with pytest.raises(StoreError, match=r"there is no Absurd in '.*'; install it there: absurdctl init -d "):
        run(database.store().runs)
    database.ctl("init")
    assert run(database.store().runs) == ()


def test_absurd_that_is_too_old_says_so(database: Database) -> None:
    database.sql("create or replace function absurd.get_schema_version() returns text language sql return '0.3.9'")
    with pytest.raises(
        StoreError, match=r"is 0\.3\.9, and this needs 0\.4 or later; bring it up to date: absurdctl mi"
    ):
        run(database.store().runs)


def test_server_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    store = AbsurdStore(f"postgresql://me:secret@/name?host={tmp_path}")
    assert repr(store) == f"AbsurdStore('user=me dbname=name host={tmp_path}')"
    with pytest.raises(StoreError, match=r"'user=me dbname=name host=.*': connection is bad: connection to server"):
        run(store.runs)


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        ((5,), {}, r"AbsurdStore\(…\): give a database"),
        (("nonsense",), {}, r"AbsurdStore\(…\): give a database"),
        (("postgresql:///x",), {"lease": 0}, r"lease=0\): give whole seconds, 1 or more"),
        (("postgresql:///x",), {"lease": True}, r"lease=True\)"),
        (("postgresql:///x",), {"lease": 1.5}, r"lease=1.5\)"),
    ],
)
def test_arguments_that_make_no_sense(args: Any, options: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        AbsurdStore(*args, **options)


def test_reference_has_every_public_name() -> None:
    page = docs_page("reference/stores.rst").partition(".. currentmodule:: trio_steps.absurd\n")[2]
    assert re.findall(r"^\.\. auto\w+:: (\w+)", page, re.MULTILINE) == absurd.__all__


def test_program_of_the_page_does_what_it_says(database: Database, tmp_path: Path) -> None:
    page = docs_page("more-than-one-machine.md")
    blocks = re.findall(r"^```\{code-block\} python\n(.*?)^```\n\n```text\n(.*?)^```\n", page, re.DOTALL | re.MULTILINE)
    [(program, output)] = [found for found in blocks if "AbsurdStore" in found[0]]
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", tmp_path / "program.py"],
        env={**os.environ, "DATABASE_URL": database.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_run_is_moved_from_sqlite_and_goes_on(database: Database, tmp_path: Path) -> None:
    sqlite, store = SqliteStore(tmp_path / "runs.db"), database.store()

    async def main() -> None:
        assert await p().run({"order": 7}, store=sqlite, run_id="r") == {"order": 7, "receipt": "R-7"}
        command = [sys.executable, "-m", "trio_steps", "move", "r", "--store", str(sqlite.path), "--to", database.url]
        await trio.run_process(command)
        assert await sqlite.read("r") is None
        await store.answer("r", approved=True)
        async with worker(store, p()):
            assert await p().run(store=store, run_id="r") == DONE

    run(main)
