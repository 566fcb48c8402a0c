"""`SqliteStore`: claims, records, retention, and the contents of the file. For runs, see test_durable.py."""

from __future__ import annotations

import errno
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import attrs
import pytest
import trio

from trio_steps import CheckpointError, ConfigError, Pipeline
from trio_steps._durable.file import File
from trio_steps._durable.owner import Owner
from trio_steps._durable.sqlite import Database
from trio_steps.store import (
    Question,
    RunCancelledError,
    RunChange,
    RunClaimedError,
    RunFailedError,
    RunRecord,
    RunStore,
    SqliteStore,
    StoredRun,
    StoreError,
)
from trio_steps.testing import MemoryStore

CODE = """
import sys
import trio
from trio_steps import Pipeline
from trio_steps.store import SqliteStore

async def wait():
    print("runs", flush=True)
    await trio.to_thread.run_sync(sys.stdin.readline)

p = Pipeline("p").step("a", lambda: {"a": 1}).step("b", wait)
print(trio.run(lambda: p.run({}, store=SqliteStore(sys.argv[1]), run_id="r")))
"""

LIST = """
import sys
import trio
from trio_steps.store import SqliteStore

print([record.status for record in trio.run(SqliteStore(sys.argv[1]).runs)])
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


@pytest.fixture
def store(path):
    return SqliteStore(path)


@pytest.fixture
def other_process(path):
    """A process that runs the run "r", and waits in step 'b' for a line or to be killed."""
    with subprocess.Popen(
        [sys.executable, "-c", CODE, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "runs\n"
        yield process
        process.kill()


def fails():
    raise OSError("no")


ok = Pipeline("p").step("a", lambda: {"a": 1})
failing = ok.step("b", fails)


def sql(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def files(path):
    return sorted(file.name for file in path.parent.iterdir())


def age(path, run_id, days):
    now = datetime.now(UTC)
    sql(path, "UPDATE runs SET updated = ? WHERE run_id = ?", (now - timedelta(days=days)).timestamp(), run_id)


# Claims


async def test_claim_is_refused_to_a_second_task_of_the_process_and_free_afterwards(store, path) -> None:
    async with store.claim("r") as claim:
        await claim.write(RunChange(pipeline="p", status="running"))
        with pytest.raises(RunClaimedError) as caught:
            async with SqliteStore(path).claim("r"):
                pass
        assert (caught.value.run_id, caught.value.pid) == ("r", os.getpid())
        async with store.claim("other"):
            pass
        # the failed attempt did not release the holder's lock: other processes still see it
        listed = subprocess.run([sys.executable, "-c", LIST, path], stdout=subprocess.PIPE)  # noqa: ASYNC221
        assert listed.stdout == b"['running']\n"
    async with store.claim("r"):
        pass
    assert files(path) == ["runs.db"]


async def test_claim_of_a_run_that_is_not_written_yet_is_refused_too(store) -> None:
    async with store.claim("r"):
        with pytest.raises(RunClaimedError, match="the run 'r' is already running, in the process "):
            await ok.run({}, store=store, run_id="r")


async def test_claim_knows_the_file_by_all_its_names(store, path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    async with store.claim("r"):
        with pytest.raises(RunClaimedError):
            await ok.run({}, store=SqliteStore(link), run_id="r")


async def test_claim_of_another_process_is_respected_until_it_ends(store, other_process) -> None:
    with pytest.raises(RunClaimedError) as caught:
        await ok.run({}, store=store, run_id="r")
    assert caught.value.pid == other_process.pid
    assert (await store.runs())[0].status == "running"
    assert other_process.communicate("\n")[0] == "{'a': 1}\n"
    assert (await store.runs())[0].status == "finished"


async def test_claim_of_a_process_that_was_killed_is_free_at_once(store, path, other_process) -> None:
    other_process.kill()
    other_process.wait()
    assert len([name for name in files(path) if "-lock-" in name]) == 1
    assert (await store.runs())[0].status == "interrupted"
    assert not [name for name in files(path) if "-lock-" in name]
    assert await ok.step("b", lambda: {"b": 2}).run({}, store=store, run_id="r") == {"a": 1, "b": 2}


async def test_claim_is_released_when_it_is_cancelled(store) -> None:
    with trio.CancelScope() as scope:
        async with store.claim("r"):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    async with store.claim("r"):
        pass


async def test_claim_is_released_though_the_file_of_its_lock_can_not_be_removed(store, path, monkeypatch) -> None:
    def unlink(*_):
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", unlink)
        await ok.run({}, store=store, run_id="r")
        await ok.run({}, store=store, run_id="s")
    assert len(files(path)) == 3
    async with store.claim("r"):
        assert len([name for name in files(path) if "-lock-" in name]) == 1  # the lock of this claim
    assert files(path) == ["runs.db"]


async def test_claim_in_a_directory_that_is_not_there_is_an_error_with_the_name_of_the_file(tmp_path) -> None:
    store = SqliteStore(tmp_path / "nowhere" / "runs.db")
    with pytest.raises(sqlite3.OperationalError) as caught:
        await ok.run({}, store=store, run_id="r")
    assert f"in the store {str(store.path)!r}" in caught.value.__notes__


# Saves


async def test_save_is_whole_or_not_at_all(store, path) -> None:
    async with store.claim("r") as claim:
        await claim.write(RunChange(pipeline="p", status="running", parts={0: "a", 1: "b"}))
        with pytest.raises(sqlite3.Error):
            await claim.write(RunChange(pipeline="p", status="failed", parts={2: "c", 3: None}, dropped=[0]))
        stored = await claim.read()
        assert (stored.record.status, stored.parts) == ("running", {0: "a", 1: "b"})


async def test_save_that_is_cancelled_half_way_is_made_whole(store, monkeypatch) -> None:
    write = Database.write
    token = trio.lowlevel.current_trio_token()

    def slow_write(self, claimed, change):
        if change.step == "a" and change.status == "running":
            trio.from_thread.run_sync(scope.cancel, trio_token=token)
        write(self, claimed, change)

    monkeypatch.setattr(Database, "write", slow_write)
    with trio.CancelScope() as scope:
        await ok.step("b", trio.sleep_forever).run({}, store=store, run_id="r")
    saved = await store.load("r")
    assert (saved.record.status, saved.record.step) == ("cancelled", "a")
    assert saved.checkpoint.entries[-1].changes == {"a": 1}


async def test_save_happens_in_a_worker_thread_one_at_a_time(store, monkeypatch) -> None:
    threads = set()
    running = []
    write = Database.write

    def watched_write(self, claimed, change):
        running.append(1)
        threads.add(threading.current_thread())
        assert len(running) == 1
        write(self, claimed, change)
        running.pop()

    monkeypatch.setattr(Database, "write", watched_write)
    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(lambda number=number: ok.run({}, store=store, run_id=str(number)))
    assert threading.main_thread() not in threads
    assert [record.status for record in await store.runs()] == ["finished"] * 4


def test_store_can_be_used_by_one_run_of_trio_after_another(path) -> None:
    store = SqliteStore(path)
    for _ in range(2):
        assert trio.run(lambda: ok.run({}, store=store, run_id="r")) == {"a": 1}


@pytest.mark.parametrize(("synchronous", "level"), [("full", 2), ("normal", 1)])
def test_synchronous_is_the_level_of_the_database(path, synchronous, level) -> None:
    with closing(File(path, synchronous)._open()) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# Records


async def test_runs_tells_of_each_run_the_last_one_first(store) -> None:
    before = datetime.now(UTC)
    await ok.run({}, store=store, run_id="one")
    with pytest.raises(OSError, match="no"):
        await failing.run({}, store=store, run_id="two")
    two, one = await store.runs()
    assert (one.run_id, one.pipeline, one.status, one.step, one.error) == ("one", "p", "finished", "a", None)
    assert (two.run_id, two.pipeline, two.status, two.step) == ("two", "p", "failed", "a")
    assert two.error == "OSError: no\nin step 'b'"
    assert before <= one.started <= one.updated <= two.started <= two.updated <= datetime.now(UTC)


async def test_runs_of_one_status_that_is_no_tuple_is_an_error(store) -> None:
    with pytest.raises(ConfigError, match=r"runs\(status='failed'\): give a tuple, status=\('failed',\)"):
        await store.runs(status="failed")


async def test_runs_asks_once_about_each_process_whether_it_is_alive(store, path, monkeypatch) -> None:
    asked = []
    is_alive = Owner.is_alive
    for run_id in ("one", "two", "three"):
        async with store.claim(run_id) as claim:
            await claim.write(RunChange(pipeline="p", status="running"))
        owner = "b" if run_id == "two" else "a"
        sql(path, "INSERT INTO claims (run_id, token, owner, pid) VALUES (?, ?, ?, 1)", run_id, run_id, owner)
    monkeypatch.setattr(Owner, "is_alive", lambda self, name: asked.append(name) or is_alive(self, name))
    assert [record.status for record in await store.runs()] == ["interrupted"] * 3
    assert sorted(asked) == ["a", "b"]


async def test_runs_asks_the_file_no_more_often_for_many_runs_than_for_one(store, monkeypatch) -> None:
    asked = []

    class Watched(sqlite3.Connection):
        def execute(self, statement, *values):
            asked.append(statement)
            return super().execute(statement, *values)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, factory=Watched, **options))

    async def wait(run_id):
        async with store.claim(run_id) as claim:
            await claim.write(RunChange(pipeline="p", status="waiting", waiting={"b": None, "a": None}))

    async def times():
        asked.clear()
        records = await store.runs()
        assert {tuple(record.waiting) for record in records} == {("b", "a")}
        return len(asked)

    await wait("one")
    before = await times()
    for number in range(20):
        await wait(str(number))
    assert await times() == before


async def test_load_tells_what_a_run_goes_on_from(store) -> None:
    with pytest.raises(OSError, match="no"):
        await failing.run({"x": (1,)}, store=store, run_id="r")
    saved = await store.load("r")
    assert (saved.record, saved.inputs, saved.result) == ((await store.runs())[0], {"x": (1,)}, None)
    assert await ok.resume(saved.checkpoint, overrides={"x": 2}) == {"x": 2, "a": 1}


async def test_load_tells_the_result_of_a_finished_run(store) -> None:
    await ok.run({"x": (1,)}, store=store, run_id="r")
    saved = await store.load("r")
    assert (saved.inputs, saved.checkpoint, saved.result) == ({"x": (1,)}, None, {"x": (1,), "a": 1})


async def test_load_of_a_run_that_is_not_there_is_an_error(store, path) -> None:
    with pytest.raises(KeyError, match="there is no run 'r' in the store"):
        await store.load("r")


async def test_load_of_damaged_text_is_an_error(store, path) -> None:
    await ok.run({"x": 1}, store=store, run_id="r")
    sql(path, """UPDATE parts SET text = replace(text, '"x": 1', '"x": 2') WHERE number = 1""")
    with pytest.raises(CheckpointError, match="the text is damaged: its checksum is wrong"):
        await store.load("r")


# Retention


async def test_delete_frees_the_id(store) -> None:
    await ok.run({"x": 1}, store=store, run_id="r")
    await store.delete("r")
    assert await store.runs() == ()
    assert await ok.run({"x": 2}, store=store, run_id="r") == {"x": 2, "a": 1}


async def test_delete_takes_the_parts_too(store, path) -> None:
    await ok.run({}, store=store, run_id="r")
    await store.delete("r")
    assert sql(path, "SELECT count(*) FROM parts") == [(0,)]


async def test_delete_of_a_run_that_is_not_there_is_an_error(store) -> None:
    with pytest.raises(KeyError, match="there is no run 'r' in the store"):
        await store.delete("r")


async def test_delete_of_a_run_that_is_running_is_an_error(store, other_process) -> None:
    with pytest.raises(RunClaimedError) as caught:
        await store.delete("r")
    assert caught.value.pid == other_process.pid
    assert [record.run_id for record in await store.runs()] == ["r"]


async def test_run_whose_process_has_died_is_cancelled_at_once(store, other_process) -> None:
    other_process.kill()
    other_process.wait()
    assert await store.cancel("r") is True
    assert [record.status for record in await store.runs()] == ["cancelled"]
    assert await store.cancel("r") is False


async def test_prune_deletes_finished_runs_by_age(store, path) -> None:
    for days in (1, 2, 3):
        await ok.run({}, store=store, run_id=str(days))
        age(path, str(days), days)
    with pytest.raises(OSError, match="no"):
        await failing.run({}, store=store, run_id="failed")
    age(path, "failed", 9)
    assert await store.prune(older_than=timedelta(days=1.5)) == ("2", "3")
    assert [record.run_id for record in await store.runs()] == ["failed", "1"]


async def test_prune_keeps_those_updated_last(store, path) -> None:
    for days in (1, 2, 3, 4, 5):
        await ok.run({}, store=store, run_id=str(days))
        age(path, str(days), days)
    assert await store.prune(keep=5) == ()
    assert await store.prune(keep=3) == ("4", "5")
    assert await store.prune(keep=2) == ("3",)
    assert await store.prune(keep=1, older_than=timedelta(days=30)) == ("2",)
    assert await store.prune(keep=0) == ("1",)


async def test_prune_can_delete_other_runs_but_none_that_is_running(store, path, other_process) -> None:
    with pytest.raises(OSError, match="no"):
        await failing.run({}, store=store, run_id="failed")
    await ok.run({}, store=store, run_id="finished")
    assert await store.prune(keep=0, status=("failed", "running")) == ("failed",)
    assert {record.run_id for record in await store.runs()} == {"finished", "r"}
    other_process.kill()
    other_process.wait()
    assert await store.prune(keep=0, status=("interrupted",)) == ("r",)


async def test_store_that_has_only_the_rest_prunes_by_age_and_number() -> None:
    store = MemoryStore()
    for name in "abcd":
        await ok.run({}, store=store, run_id=name)
        await trio.sleep(60)
    async with store.claim("a"):  # a claimed run is not pruned
        assert await store.prune(older_than=timedelta(minutes=4)) == ()
        assert await store.prune(older_than=timedelta(minutes=3)) == ()
        assert await store.prune(older_than=timedelta(minutes=2)) == ("b",)
    assert await store.prune(keep=3) == ()
    assert await store.prune(keep=2) == ("a",)
    assert await store.prune(keep=0, older_than=timedelta(days=1)) == ("d", "c")


async def test_prune_without_a_rule_is_an_error(store) -> None:
    with pytest.raises(ConfigError, match=r"prune\(older_than=timedelta\(days=30\)\) or prune\(keep=100\)"):
        await store.prune()
    with pytest.raises(ConfigError, match=r"prune\(keep=-1\): keep 0 or more"):
        await store.prune(keep=-1)
    with pytest.raises(ConfigError, match=r"give a tuple, status=\('failed',\)"):
        await store.prune(keep=1, status="failed")


async def test_prune_that_follows_from_the_protocol_leaves_what_runs_or_is_gone_meanwhile() -> None:
    class Store(MemoryStore):
        now = RunStore.now

        async def runs(self, **options):
            records = await super().runs(**options)
            await super().delete("gone")
            return records

    store = Store()
    before = datetime.now(UTC)
    for run_id in ("old", "gone", "claimed"):
        await ok.run({}, store=store, run_id=run_id)
    async with store.claim("claimed"):
        assert await store.prune(keep=0) == ("old",)
    assert (await store.load("claimed")).record.status == "finished"
    assert before <= store.now() <= datetime.now(UTC)


# The file


@pytest.mark.parametrize("path", ["", ":memory:", b"runs.db", None, 5, ["runs.db"]])
def test_store_without_the_name_of_a_file_is_an_error(path) -> None:
    with pytest.raises(ConfigError, match="give the name of a file"):
        SqliteStore(path)


def test_store_with_another_synchronous_is_an_error(path) -> None:
    with pytest.raises(ConfigError, match='use "full" or "normal"'):
        SqliteStore(path, synchronous="off")


def test_store_shows_its_file(store, path) -> None:
    assert repr(store) == f"SqliteStore({str(path)!r})"


async def test_store_in_a_file_that_is_no_database_is_an_error(store, path) -> None:
    path.write_text("something else entirely\n" * 100)
    with pytest.raises(StoreError, match="is not a database, or is damaged"):
        await store.runs()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (x)",
        "PRAGMA application_id = 1",
        "PRAGMA application_id = 0x7fffffff",
        "PRAGMA user_version = 3",
    ],
)
async def test_store_in_a_database_of_something_else_is_an_error_and_leaves_it_alone(store, path, statement) -> None:
    sql(path, statement)
    content = path.read_bytes()
    with pytest.raises(StoreError, match="is a database of something else; give the store a file of its own"):
        await store.runs()
    assert path.read_bytes() == content


async def test_store_of_a_newer_version_is_an_error(store, path) -> None:
    await store.runs()
    sql(path, "PRAGMA user_version = 4")
    with pytest.raises(StoreError, match="is a store of version 4; this version uses 3"):
        await store.runs()


async def test_store_whose_directory_has_no_locks_is_an_error_and_leaves_no_file(store, path, monkeypatch) -> None:
    def lock(descriptor):
        descriptors.append(descriptor)
        raise OSError(errno.ENOLCK, "No locks available")

    descriptors = []
    monkeypatch.setattr("trio_steps._durable.owner._lock", lock)
    with pytest.raises(StoreError, match=r"can't be locked; use a disk of the machine: .*No locks available"):
        await ok.run({}, store=store, run_id="r")
    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    assert (len(descriptors), files(path)) == (1, ["runs.db"])
    assert await store.runs() == ()


async def test_store_that_somebody_else_makes_meanwhile_is_used(store, path, monkeypatch) -> None:
    is_store = File._is_store
    answers = [False]
    await SqliteStore(path).runs()
    monkeypatch.setattr(File, "_is_store", lambda self, *args: answers.pop() if answers else is_store(self, *args))
    assert await store.runs() == ()
    assert answers == []


async def test_claim_that_was_not_written_is_none(store, path) -> None:
    database = store._database
    async with store.claim("r") as claim:
        await claim.write(RunChange(pipeline="p", status="running"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:  # the trigger makes the commit fail
        connection.execute("CREATE TABLE late (run REFERENCES runs DEFERRABLE INITIALLY DEFERRED)")
        connection.execute("CREATE TRIGGER no AFTER UPDATE ON runs BEGIN INSERT INTO late VALUES (-1); END")
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            async with store.claim("r"):
                raise AssertionError
        assert database._tokens == set()
        connection.execute("DROP TRIGGER no")
    async with store.claim("r"):
        assert len(database._tokens) == 1


@pytest.mark.parametrize(
    "error",
    [RunClaimedError(run_id="r", pid=7), RunCancelledError(run_id="r"), RunFailedError(run_id="r", error="no")],
    ids=lambda error: type(error).__name__,
)
def test_error_of_a_store_can_be_pickled(error) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
    assert b"trio_steps.store" in pickle.dumps(error)  # the public module, whose name is stable


def test_records_are_made_with_keywords_so_that_fields_can_be_added() -> None:
    for kind in (Question, RunRecord, StoredRun, RunChange):
        assert [field.name for field in attrs.fields(kind) if not field.kw_only] == []


async def test_nobody_else_can_make_the_store_between_the_last_look_and_the_making(store, path, monkeypatch) -> None:
    is_store, looks = File._is_store, []

    def look(self, connection) -> bool:
        looks.append(connection)
        if len(looks) == 2:
            with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
                for statement in ("BEGIN IMMEDIATE", "SELECT * FROM sqlite_master"):
                    with pytest.raises(sqlite3.OperationalError, match="locked"):
                        other.execute(statement)
        return is_store(self, connection)

    monkeypatch.setattr(File, "_is_store", look)
    assert await store.runs() == ()
    assert len(looks) == 2


async def test_store_that_can_not_be_made_is_the_error_of_sqlite(store, path, monkeypatch) -> None:
    one = "INSERT INTO one VALUES (1)"
    monkeypatch.setattr("trio_steps._durable.file._SCHEMA", ("CREATE TABLE one (x UNIQUE)", one, one))
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE constraint failed"):
        await store.runs()
    assert sql(path, "SELECT * FROM sqlite_master") == []


async def test_store_that_is_locked_is_an_error(store, path, monkeypatch) -> None:
    await store.runs()
    monkeypatch.setattr("trio_steps._durable.calls._PATIENCE", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await store.runs()
