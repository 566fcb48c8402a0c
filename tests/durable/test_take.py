"""`take` of a `SqliteStore`: it takes the run that has been ready for longest, and the file says who has it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from trio_steps._durable.filter import Filter
from trio_steps._durable.sqlite import Database
from trio_steps.store import RunChange, RunClaimedError, SqliteStore


@pytest.fixture
def store(tmp_path):
    return SqliteStore(tmp_path / "runs.db", synchronous="normal")


async def taken(store, pipelines, **options) -> str | None:
    async with store.take(pipelines, **options) as claim:
        return None if claim is None else claim.run_id


async def submit(store, run_id, pipeline="p", version=None) -> None:
    assert await store.submit(run_id, RunChange(pipeline=pipeline, version=version, status="submitted"))


async def test_take_looks_behind_runs_of_other_pipelines_and_versions(store) -> None:
    await submit(store, "other", pipeline="q")
    await submit(store, "old", version="6")
    await submit(store, "mine", version="7")
    assert await taken(store, {"p": ("7",)}) == "mine"
    assert await taken(store, {"p": (None,)}) is None


async def test_take_looks_behind_runs_that_are_running_or_claimed(store) -> None:
    for run_id in ("running", "claimed", "free"):
        await submit(store, run_id)
    async with store.claim("running") as claim, store.claim("claimed"):
        await claim.write(RunChange(pipeline="p", status="running"))
        assert await taken(store, {"p": (None,)}) == "free"


async def test_take_looks_behind_a_run_that_too_many_processes_have_died_of(store) -> None:
    await submit(store, "deadly")
    async with store.claim("deadly") as claim:
        await claim.write(RunChange(pipeline="p", status="running"))
    await submit(store, "mine")
    assert await taken(store, {"p": (None,)}, max_deaths=0) == "mine"
    assert {record.run_id: record.status for record in await store.runs()} == {
        "deadly": "failed",
        "mine": "interrupted",
    }


async def test_submit_of_a_run_that_someone_has_claimed_and_not_written_is_refused(store) -> None:
    async with store.claim("r"):
        with pytest.raises(RunClaimedError):
            await submit(store, "r")
    assert await store.runs() == ()
    await submit(store, "r")
    assert await taken(store, {"p": (None,)}) == "r"


async def test_take_prefers_the_run_that_has_been_ready_for_longest(store) -> None:
    for run_id in ("first", "second"):
        await submit(store, run_id)
    async with store.take({"p": (None,)}) as first, store.take({"p": (None,)}) as second:
        assert (first.run_id, second.run_id) == ("first", "second")
        assert await taken(store, {"p": (None,)}) is None


async def test_file_says_which_process_has_a_run_or_had_it_last(store) -> None:
    def is_ours() -> bool:
        with closing(sqlite3.connect(store.path)) as connection, connection:
            ((pid,),) = connection.execute("SELECT pid FROM runs").fetchall()
            connection.execute("UPDATE runs SET pid = 0")
        return pid == os.getpid()

    await submit(store, "r")
    assert is_ours()
    async with store.claim("r") as claim:
        assert is_ours()
        await claim.write(RunChange(pipeline="p", status="running"))
        assert is_ours()
        await claim.write(RunChange(pipeline="p", status="finished"))
    assert is_ours()
    await store.runs()
    assert not is_ours()


async def test_lock_can_be_opened_by_whoever_can_write_the_store(store) -> None:
    mask = os.umask(0)
    try:
        async with store.claim("r"):
            [lock] = store.path.parent.glob("*-lock-*")
            assert lock.stat().st_mode & 0o777 == 0o666
    finally:
        os.umask(mask)


# Runs that processes have died of


def sql(store, statement, *values) -> None:
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(statement, values)


@pytest.mark.parametrize("max_deaths", [1, 2, 3])
async def test_take_fails_a_run_that_so_many_processes_or_more_have_died_of(store, max_deaths) -> None:
    await submit(store, "deadly")
    sql(store, "UPDATE runs SET status = 'running', deaths = 2")
    await submit(store, "mine")
    expected = "deadly" if max_deaths == 3 else "mine"
    assert await taken(store, {"p": (None,)}, max_deaths=max_deaths) == expected
    statuses = {record.run_id: record.status for record in await store.runs()}
    if max_deaths == 3:
        assert statuses == {"deadly": "interrupted", "mine": "submitted"}
    else:
        assert statuses == {"deadly": "failed", "mine": "interrupted"}


async def test_take_gives_a_run_that_was_answered_whatever_has_died_of_it(store) -> None:
    async with store.claim("r") as claim:
        await claim.write(RunChange(pipeline="p", status="waiting", waiting={"ask": None}))
    sql(store, "UPDATE runs SET deaths = 2")
    assert await taken(store, {"p": (None,)}, max_deaths=1) is None
    await store.write_answers("r", {"ask": "1"})
    assert await taken(store, {"p": (None,)}, max_deaths=1) == "r"


async def fail(store) -> None:
    assert await taken(store, {"p": (None,)}, max_deaths=1) is None


async def cancel(store) -> None:
    assert await store.cancel("r") is True


async def delete(store) -> None:
    await store.delete("r")


@pytest.mark.parametrize(("end", "after"), [(fail, ["failed"]), (cancel, ["cancelled"]), (delete, [])])
async def test_owner_that_was_taken_for_dead_writes_nothing_after_the_end_of_its_run(store, end, after) -> None:
    async with store.claim("r") as claim:
        await claim.write(RunChange(pipeline="p", status="running"))
        sql(store, "UPDATE claims SET owner = 'dead'")
        await end(store)
        with pytest.raises(RunClaimedError):
            await claim.write(RunChange(pipeline="p", status="finished"))
        assert [record.status for record in await store.runs()] == after


def test_run_that_was_given_up_is_free_and_others_of_its_process_are_not(tmp_path) -> None:
    database = Database(tmp_path / "runs.db", "normal")
    given_up, kept = database.claim("given up"), database.claim("kept")
    for claimed in (given_up, kept):
        database.write(claimed, RunChange(pipeline="p", status="running"))
    database.give_up(given_up)
    records = database.runs(Filter())
    assert {record.run_id: record.status for record in records} == {"given up": "interrupted", "kept": "running"}
    assert database.lost_and_cancelled() == (set(), set())
    with pytest.raises(RunClaimedError):
        database.claim("kept")
    database.release(database.claim("given up"))
    database.release(kept)


@pytest.mark.parametrize("prunes", [False, True])
def test_deleted_run_leaves_nothing_not_even_the_claim_of_a_dead_owner(tmp_path, prunes) -> None:
    path = tmp_path / "runs.db"
    database = Database(path, "normal")
    claimed = database.claim("r")
    parts = {0: "head"}
    database.write(
        claimed, RunChange(pipeline="p", status="waiting", parts=parts, waiting={"a": None}, answers={"a": "1"})
    )
    database.give_up(claimed)
    if prunes:
        assert database.prune(Filter(), 0) == ("r",)
    else:
        database.delete("r")
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_cancelled_run_waits_for_nothing(tmp_path) -> None:
    database = Database(tmp_path / "runs.db", "normal")
    claimed = database.claim("r")
    database.write(claimed, RunChange(pipeline="p", status="waiting", waiting={"a": None}))
    database.release(claimed)
    [record] = database.runs(Filter())
    assert (record.status, record.waiting) == ("waiting", {"a": None})
    assert database.cancel("r")
    [record] = database.runs(Filter())
    assert (record.status, record.waiting) == ("cancelled", {})


def test_run_that_waited_is_running_again_when_its_owner_says_so(tmp_path) -> None:
    database = Database(tmp_path / "runs.db", "normal")
    claimed = database.claim("r")
    for status in ("running", "waiting", "running"):
        database.write(claimed, RunChange(pipeline="p", status=status))
        assert [record.status for record in database.runs(Filter())] == [status]
    database.release(claimed)


def test_save_of_a_run_whose_claim_is_lost_is_refused_and_changes_nothing(tmp_path) -> None:
    database = Database(tmp_path / "runs.db", "normal")
    claimed = database.claim("r")
    database.write(claimed, RunChange(pipeline="p", status="running", parts={0: "head"}))
    with closing(sqlite3.connect(database.path)) as connection, connection:
        connection.execute("UPDATE claims SET token = 'of another'")
    with pytest.raises(RunClaimedError):
        database.write(claimed, RunChange(pipeline="p", status="running", parts={1: "more"}))
    stored = database.read("r")
    assert stored is not None
    assert stored.parts == {0: "head"}
    database.release(claimed)
