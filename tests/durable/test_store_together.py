"""`SqliteStore` among others: other processes, other threads, files that disappear, and a low limit on open files."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_steps import Pipeline
from trio_steps._durable import calls, file
from trio_steps.store import RunCancelledError, RunClaimedError, SqliteStore, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ok = Pipeline("p").step("a", lambda: {"a": 1})


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "runs.db", synchronous="normal")


@contextmanager
def held(store: SqliteStore) -> Iterator[sqlite3.Connection]:
    """Lock the database, as another process in the middle of a transaction does."""
    with closing(sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        try:
            yield connection
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def until(condition: Any) -> None:
    while not condition():
        time.sleep(0.01)


# Others hold the database


def test_call_is_cancelled_while_others_hold_the_database(store: SqliteStore) -> None:
    async def main() -> None:
        await store.runs()
        with held(store):
            for call in (store.runs, lambda: ok.run({}, store=store, run_id="r"), lambda: store.cancel("r")):
                with trio.move_on_after(0) as scope:
                    await call()
                assert scope.cancelled_caught
        assert await store.runs() == ()

    trio.run(main)


def test_call_waits_for_others_who_hold_the_database(store: SqliteStore) -> None:
    async def main() -> None:
        await store.runs()
        with held(store) as connection:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: ok.run({}, store=store, run_id="r"))
                await trio.sleep(0.3)  # longer than one turn
                connection.execute("ROLLBACK")
        assert [record.status for record in await store.runs()] == ["finished"]

    trio.run(main)


def test_call_waits_for_others_no_longer_than_ten_seconds(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(1_000, 1_100, 4))  # a clock that is read when a call begins, and twice per failure
    tried: list[int] = []

    def call() -> None:
        tried.append(1)
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    async def main() -> None:
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            await store._calls.make(call)

    monkeypatch.setattr(calls, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    trio.run(main)
    assert len(tried) == 2


def test_cancelled_run_ends_though_others_hold_the_database_and_that_is_saved_later(store: SqliteStore) -> None:
    connection = sqlite3.connect(store.path, isolation_level=None)

    async def main() -> None:
        async def hold_and_cancel() -> None:
            connection.execute("BEGIN EXCLUSIVE")
            scope.cancel()
            await trio.sleep_forever()

        with trio.CancelScope() as scope:
            await ok.step("b", hold_and_cancel).run({}, store=store, run_id="r")
        assert scope.cancelled_caught

    with closing(connection):
        trio.run(main)
        connection.execute("ROLLBACK")
        until(lambda: connection.execute("SELECT count(*) FROM claims").fetchone() == (0,))
    assert [record.status for record in trio.run(store.runs)] == ["cancelled"]


async def cancelled_while_held(store: SqliteStore, connection: sqlite3.Connection) -> None:
    async def hold_and_cancel() -> None:
        connection.execute("BEGIN EXCLUSIVE")
        scope.cancel()
        await trio.sleep_forever()

    with trio.CancelScope() as scope:
        await ok.step("b", hold_and_cancel).run({}, store=store, run_id="r")


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads that found the database locked, one for each time."""
    threads: list[str] = []
    is_busy = calls.is_busy

    def noted(error: sqlite3.Error) -> bool:
        threads.append(threading.current_thread().name)
        return is_busy(error)

    monkeypatch.setattr(calls, "is_busy", noted)
    return threads


def test_what_is_saved_later_is_tried_again_while_others_hold_the_database(store: SqliteStore, busy: list[str]) -> None:
    with closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        trio.run(cancelled_while_held, store, connection)
        until(lambda: len([name for name in busy if "_release_later" in name]) >= 2)
        connection.execute("ROLLBACK")
        until(lambda: connection.execute("SELECT count(*) FROM claims").fetchone() == (0,))
    assert [record.status for record in trio.run(store.runs)] == ["cancelled"]


def test_run_that_can_not_be_released_is_given_up_and_that_is_logged(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(calls, "_PATIENCE", 0.0)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        trio.run(cancelled_while_held, store, connection)
        until(lambda: caplog.records and not store._database._tokens)
    assert [record.getMessage() for record in caplog.records] == [
        f"the run 'r' could not be released in {str(store.path)!r}"
    ]
    pipeline = ok.step("b", lambda: {"b": 2})
    assert trio.run(lambda: pipeline.run({}, store=store, run_id="r")) == {"a": 1, "b": 2}  # it can be claimed again


def test_hundred_cancelled_runs_do_not_wait_in_turn_for_others_who_hold_the_database(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, busy: list[str]
) -> None:
    monkeypatch.setattr(file, "_TURN", 0.0)
    monkeypatch.setattr(calls, "time", SimpleNamespace(monotonic=lambda: 1_000.0))  # it all happens at one moment

    async def main() -> None:
        waiting = 0
        all_wait = trio.Event()

        async def wait() -> None:
            nonlocal waiting
            waiting += 1
            if waiting == 100:
                all_wait.set()
            await trio.sleep_forever()

        with closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
            async with trio.open_nursery() as nursery:
                for number in range(100):
                    run = Pipeline("p").step("wait", wait).run
                    nursery.start_soon(lambda run=run, number=number: run({}, store=store, run_id=str(number)))
                await all_wait.wait()
                connection.execute("BEGIN EXCLUSIVE")
                nursery.cancel_scope.cancel()

    trio.run(main)
    threads = [name for name in busy if name != "MainThread" and "_release_later" not in name]
    assert len(threads) == 1  # the first has told the others


# Several event loops, threads and processes


def test_one_store_serves_several_runs_of_trio_in_threads(store: SqliteStore) -> None:
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(20):
                run_id = f"{name}-{number}"
                assert trio.run(functools.partial(ok.run, {}, store=store, run_id=run_id)) == {"a": 1}
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=[name]) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(trio.run(store.runs)) == 40


FEW_FILES = """
import resource, sys
import trio
from trio_steps import Pipeline
from trio_steps.store import SqliteStore

resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
store = SqliteStore(sys.argv[1], synchronous="normal")
waiting = 0
all_wait = trio.Event()

async def wait():
    global waiting
    waiting += 1
    if waiting == 1000:
        all_wait.set()
    await all_wait.wait()

async def main():
    asks = Pipeline("asks").wait_for("ok", provides="ok")
    async with trio.open_nursery() as nursery:
        for number in range(1000):
            run = Pipeline("p").step("wait", wait).run
            nursery.start_soon(lambda run=run, number=number: run({}, store=store, run_id=str(number)))
    print(len([record for record in await store.runs() if record.status == "finished"]))

trio.run(main)
"""


@pytest.mark.long
def test_thousand_runs_at_once_need_few_files(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", FEW_FILES, tmp_path / "runs.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("1000\n", "")


OTHER = """
import sys
import trio
from trio_steps.store import RunClaimedError, SqliteStore

async def main():
    try:
        async with SqliteStore(sys.argv[1]).claim("r"):
            print("claimed")
    except RunClaimedError:
        print("refused")

trio.run(main)
"""


def claimed_by_another_process(store: SqliteStore) -> str:
    return subprocess.run([sys.executable, "-c", OTHER, store.path], capture_output=True, text=True).stdout.strip()


async def test_lock_is_not_dropped_when_somebody_else_in_the_process_closes_its_file(store: SqliteStore) -> None:
    async with store.claim("r"):
        for path in store.path.parent.iterdir():  # as a backup might
            path.read_bytes()
        assert claimed_by_another_process(store) == "refused"
    assert claimed_by_another_process(store) == "claimed"


FORKS = """
import os, signal, sys, time
import trio
from trio_steps.store import RunChange, RunClaimedError, SqliteStore

store = SqliteStore(sys.argv[1])

def child():  # it can't use Trio, which it shares with its parent
    try:
        store._database.claim("r")
    except RunClaimedError:
        store._database.claim("s")
        print("refused", flush=True)
    time.sleep(600)

async def main():
    async with store.claim("r") as claim:
        await claim.write(RunChange(pipeline="p", status="running"))
        if os.fork() == 0:
            child()
        sys.stdin.readline()
        if sys.argv[2] == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        await claim.write(RunChange(pipeline="p", status="finished"))

trio.run(main)
"""


@contextmanager
def forked(store: SqliteStore, what: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program that claims a run and forks a child, which tries to claim it too and then does nothing more."""
    command = [sys.executable, "-c", FORKS, store.path, what]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "refused\n"
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    process.wait(60)


def test_lock_does_not_outlive_its_process_in_a_child_that_was_forked(store: SqliteStore) -> None:
    with forked(store, "dies") as process:
        assert claimed_by_another_process(store) == "refused"
        tell(process)
        assert claimed_by_another_process(store) == "claimed"


def test_child_that_was_forked_takes_no_run_from_its_parent(store: SqliteStore) -> None:
    with forked(store, "goes on") as process:
        tell(process)
        assert [record.status for record in trio.run(store.runs)] == ["finished"]


# Files that disappear


async def test_file_that_is_deleted_is_an_error_at_the_step_that_could_not_be_saved(store: SqliteStore) -> None:
    ran: list[str] = []

    def delete() -> None:
        ran.append("delete")
        for path in list(store.path.parent.iterdir()):
            path.unlink()

    pipeline = Pipeline("p").step("delete", delete).step("after", lambda: ran.append("after"), provides="x")
    with pytest.raises(StoreError, match=r"runs\.db' was deleted or replaced while it was in use"):
        await pipeline.run({}, store=store, run_id="r")
    assert ran == ["delete"]


async def test_directory_that_is_deleted_is_an_error_at_the_step_that_could_not_be_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    store = SqliteStore(tmp_path / "in" / "runs.db")
    ran: list[str] = []

    def delete() -> None:
        ran.append("delete")
        shutil.rmtree(tmp_path / "in")

    pipeline = Pipeline("p").step("delete", delete).step("after", lambda: ran.append("after"), provides="x")
    with caplog.at_level(logging.CRITICAL), pytest.raises(StoreError, match="was deleted or replaced"):
        await pipeline.run({}, store=store, run_id="r")
    assert ran == ["delete"]


FULL = """
import resource, sys
import trio
from trio_steps import Pipeline
from trio_steps.store import SqliteStore

store = SqliteStore(sys.argv[1])
big = Pipeline("p").step("small", lambda: {"a": 1}).step("big", lambda: {"b": "x" * 10_000_000})
big = big.step("after", lambda: print("after"), provides="c")
trio.run(store.runs)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    trio.run(lambda: big.run({}, store=store, run_id="r"))
except Exception as error:
    print(type(error).__name__, *error.__notes__)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
print([(record.status, record.step) for record in trio.run(store.runs)])
"""


def test_disk_that_is_full_is_an_error_at_the_step_that_could_not_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    command = [sys.executable, "-c", FULL, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == [f"OperationalError in the store {str(path)!r}", "[('failed', 'small')]"]


# Cancelling from outside


async def test_run_that_is_cancelled_from_another_process_cleans_up(store: SqliteStore) -> None:
    cleaned: list[bool] = []

    async def cancelled_from_outside() -> None:
        code = "import sys, trio; from trio_steps.store import SqliteStore; "
        code += "print(trio.run(SqliteStore(sys.argv[1]).cancel, 'r'))"
        done = subprocess.run([sys.executable, "-c", code, store.path], capture_output=True, text=True)  # noqa: ASYNC221
        assert done.stdout == "True\n"
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
                cleaned.append(True)

    with pytest.raises(RunCancelledError, match="the run 'r' was cancelled from outside"):
        await ok.step("b", cancelled_from_outside).run({}, store=store, run_id="r")
    assert cleaned
    assert [record.status for record in await store.runs()] == ["cancelled"]
    assert await ok.step("b", lambda: {"b": 2}).run({}, store=store, run_id="r") == {"a": 1, "b": 2}


async def test_run_that_was_taken_over_is_cancelled_and_does_nothing_more(store: SqliteStore) -> None:
    ran: list[str] = []

    async def lose() -> None:
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute("DELETE FROM claims")
        try:
            await trio.sleep_forever()
        finally:
            ran.append("cleaned up")

    pipeline = Pipeline("p").step("lose", lose).step("after", lambda: ran.append("after"), provides="x")
    with pytest.raises(RunClaimedError):
        await pipeline.run({}, store=store, run_id="r")
    assert ran == ["cleaned up"]
