"""Calls to PostgreSQL: none holds up another task, and none is lost or made twice when the connection is lost."""

from __future__ import annotations

import gc
import importlib.util
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import trio
from postgresql_server import run
from psycopg import errors

from trio_steps import CheckpointError, Pipeline, absurd
from trio_steps._durable.absurd import connections
from trio_steps.store import RunChange, RunClaimedError, StoreError, work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgresql_server import Database

    from trio_steps.absurd import AbsurdStore

pytestmark = pytest.mark.postgresql


def change(status: Any = "submitted", **rest: Any) -> RunChange:
    return RunChange(pipeline="p", status=status, **rest)


@contextmanager
def locked(database: Database, table: str) -> Iterator[psycopg.Connection[Any]]:
    """Hold a lock on a table, as another client would."""
    with psycopg.connect(database.url) as connection:
        connection.execute(f"lock table absurd.{table}")  # type: ignore[call-overload]
        yield connection
        connection.rollback()


@pytest.fixture
def store(database: Database) -> AbsurdStore:
    store = database.store()
    assert run(store.submit, "r", change(parts={0: "zero"}))
    return store


@pytest.fixture
def reply_lost(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Each item makes the reply to one call get lost after the call is made."""
    lost: list[None] = []
    real = connections.Connections._try

    def lossy(self: Any, job: Any, function: Any, again: bool) -> Any:
        result = real(self, job, function, again)
        if lost:
            lost.pop()
            raise connections._LostError from psycopg.OperationalError("the reply was lost")
        return result

    monkeypatch.setattr(connections.Connections, "_try", lossy)
    return lost


def test_cancellation_is_not_held_up_by_a_lock_and_nothing_is_written(database: Database, store: AbsurdStore) -> None:
    async def main() -> None:
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            with locked(database, "c_p"):
                began = time.monotonic()
                with trio.move_on_after(0.3) as scope:
                    await claim.write(change("running", parts={1: "one"}))
                assert scope.cancelled_caught
                assert time.monotonic() - began < 2
            await trio.sleep(0.2)
            stored = await store.read("r")
            assert stored is not None
            assert stored.parts == {0: "zero"}
            await claim.write(change("running", parts={1: "one"}))

    run(main)


def test_call_that_waits_for_its_turn_is_cancelled_at_once(database: Database, store: AbsurdStore) -> None:
    async def main() -> None:
        with locked(database, "t_p"):
            async with trio.open_nursery() as nursery:
                for _ in range(8):
                    nursery.start_soon(store.read, "r")
                await trio.sleep(0.3)
                with trio.move_on_after(0.1) as scope:
                    await store.read("r")
                assert scope.cancelled_caught
                nursery.cancel_scope.cancel()
        assert await store.read("r") is not None

    run(main)


def test_call_that_was_faster_than_its_cancellation_returns(store: AbsurdStore) -> None:
    async def main() -> None:
        with trio.CancelScope() as scope:
            token = trio.lowlevel.current_trio_token()

            def slow(_: Any) -> str:
                token.run_sync_soon(scope.cancel)
                time.sleep(0.3)
                return "done"

            assert await store._connections.call(slow) == "done"
            with pytest.raises(trio.Cancelled):
                await store._connections.call(slow)

    run(main)


def test_server_that_does_not_even_end_a_call_is_left_alone(
    store: AbsurdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_FAREWELL", 0.2)
    over = threading.Event()

    async def main() -> None:
        began = time.monotonic()
        with trio.move_on_after(0.1) as scope:
            await store._connections.call(lambda _: over.wait(10))
        assert scope.cancelled_caught
        assert time.monotonic() - began < 5
        over.set()
        assert await store.read("r") is not None

    run(main)


def test_call_that_is_over_before_it_has_a_connection_is_not_made(store: AbsurdStore) -> None:
    job = connections._Job()
    job.is_over = True
    with pytest.raises(StoreError, match="it was cancelled"):
        store._connections._work(job, lambda _: pytest.fail("it is over"))


def test_call_without_a_connection_at_the_moment_is_told_to_end_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    job = connections._Job()
    job.has_begun = True
    looks = iter([False, True])
    monkeypatch.setattr(job.ended, "wait", lambda _: next(looks))
    connections._end(job)
    assert job.is_over
    assert list(looks) == []


def test_call_is_made_again_if_the_connection_is_lost(store: AbsurdStore) -> None:
    tries: list[bool] = []

    def cut_off(session: Any) -> str:
        tries.append(session.is_again)
        if len(tries) == 1:
            session.execute("select pg_terminate_backend(pg_backend_pid())")
        return "done"

    # another idle connection, which is lost as well
    with store._connections._lock:
        store._connections._free.append(psycopg.connect(store._connections._conninfo, autocommit=True))
    assert store._connections.call_here(cut_off) == "done"
    assert tries == [False, True]


def test_server_that_stays_away_is_an_error(store: AbsurdStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_PATIENCE", 0.3)
    monkeypatch.setattr(store._connections, "_conninfo", "host=/nowhere")

    def cut_off(session: Any) -> None:
        session.execute("select pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(StoreError, match="/nowhere"):
        store._connections.call_here(cut_off)


@pytest.mark.parametrize("kind", [errors.QueryCanceled, errors.DivisionByZero])
def test_other_errors_are_told_at_once(store: AbsurdStore, kind: Any) -> None:
    def fail(_: Any) -> None:
        raise kind("no\nmore")

    with pytest.raises(StoreError, match=r"host=.*': no$"):
        store._connections.call_here(fail)


def test_what_is_too_long_for_the_database_is_an_error_of_its_own(store: AbsurdStore) -> None:
    def fail(_: Any) -> str:
        raise errors.ProgramLimitExceeded("string too long to represent as jsonb string")

    with pytest.raises(CheckpointError, match=r"it is too long for .+: string too long to represent as jsonb string"):
        store._connections.call_here(fail)


@pytest.mark.parametrize("kind", [errors.DeadlockDetected, errors.SerializationFailure])
def test_what_is_nobodys_fault_is_done_again(store: AbsurdStore, kind: Any) -> None:
    left = [kind("try again")]

    def fail(_: Any) -> str:
        if left:
            raise left.pop()
        return "done"

    assert store._connections.call_here(fail) == "done"


def test_child_that_was_forked_leaves_connections_and_claims_to_its_parent(store: AbsurdStore) -> None:
    async def main() -> None:
        store._connections._pid = store._leases._pid = -1  # as if this were another process now
        before = list(store._connections._free)
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
        assert before
        assert connections._inherited[-len(before) :] == before
        for connection in before:
            assert not connection.closed
            connection.close()

    run(main)
    connections._close([pytest.fail], -1)  # type: ignore[list-item]


def test_connections_are_closed_with_their_store(database: Database, store: AbsurdStore) -> None:
    other = database.store()
    assert run(other.runs)
    del other
    gc.collect()
    assert all(connection.closed for connection in store._connections._free) is False
    store._connections._forget()
    count = "select count(*) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()"
    while database.sql(count, database.name) != [(0,)]:
        time.sleep(0.02)


def test_what_was_done_when_the_reply_was_lost_is_not_done_again(
    database: Database, store: AbsurdStore, reply_lost: list[None]
) -> None:
    async def main() -> None:
        reply_lost.append(None)
        assert await store.submit("new", change())
        reply_lost.append(None)
        assert await store.cancel("new")
        assert not await store.cancel("new")
        reply_lost.append(None)
        await store.delete("new")
        reply_lost.append(None)
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            assert database.sql("select attempts from absurd.t_p") == [(1,)]
            for parts in ({1: "one"}, {2: "two"}):
                reply_lost.append(None)
                await claim.write(change("running", parts=parts, step="s"))
            reply_lost.append(None)
            await claim.write(change("finished", dropped=[1]))
        stored = await store.read("r")
        assert stored is not None
        assert stored.parts == {0: "zero", 2: "two"}
        assert (stored.record.status, stored.record.step) == ("finished", "s")

    run(main)


def test_take_again_finds_nothing_if_nothing_was_taken(store: AbsurdStore, reply_lost: list[None]) -> None:
    async def main() -> None:
        async with store.take({"p": (None,)}):
            reply_lost.append(None)
            async with store.take({"p": (None,), "q": (None,)}) as claim:
                assert claim is None

    run(main)


def test_last_change_that_was_not_made_is_refused_to_who_has_lost_the_run(
    database: Database, store: AbsurdStore, reply_lost: list[None]
) -> None:
    async def main() -> None:
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            await claim.write(change("running"))
            real = store._claims.write

            def lost_before(session: Any, *args: Any) -> None:
                if not session.is_again:
                    database.sql("update absurd.r_p set claimed_by = 'somebody else'")
                    raise psycopg.OperationalError("lost") from None
                real(session, *args)

            def cut_off(session: Any, *args: Any) -> None:
                if not session.is_again:
                    session.connection.close()
                lost_before(session, *args)

            store._claims.write = cut_off  # type: ignore[method-assign]
            with pytest.raises(RunClaimedError):
                await claim.write(change("finished"))

    run(main)


# Leases


def test_claims_are_extended_for_as_long_as_a_run_runs(database: Database) -> None:
    store = database.store(lease=1)
    sleeps = Pipeline("p").step("sleep", partial(trio.sleep, 2.5))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for each in (store, database.store(lease=1)):
                nursery.start_soon(partial(work, each, [sleeps], max_deaths=1))
            assert await sleeps.run(store=store, run_id="r") == {}
            nursery.cancel_scope.cancel()
        [record] = await store.runs()
        assert record.deaths == 0

    run(main)


def test_trouble_with_an_extension_is_logged_and_a_claim_that_is_over_says_so(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = database.store(lease=1)
    run(store.submit, "r", change())

    def fail(*_: Any) -> Any:
        raise StoreError("it is away")

    monkeypatch.setattr(store._claims, "extend", fail)
    monkeypatch.setattr(store._claims, "lost", fail)

    async def main() -> None:
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            with pytest.raises(RunClaimedError):
                await claim.wait_cancelled()

    run(main)
    assert set(caplog.messages) == {"claims of runs could not be extended: it is away"}


def test_claim_that_was_released_while_it_was_looked_at_is_left_alone(
    store: AbsurdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[Any] = []
    looked: list[Any] = []
    monkeypatch.setattr(store._claims, "lost", lambda _, runs: looked.append(runs) or gone)

    async def main() -> None:
        async with store.take({"p": (None,)}) as claim:
            gone.append((claim.claimed, False))  # type: ignore[union-attr]
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            while len(looked) < 2:
                await trio.sleep(0.1)
            claim.check()

    run(main)


def test_loss_that_is_found_when_its_trio_has_ended_is_nobodys(store: AbsurdStore) -> None:
    claims: list[Any] = []

    async def main() -> None:
        async with store.take({"p": (None,)}) as claim:
            claims.append(claim)

    run(main)
    claims[0].end(is_cancelled=False)
    with pytest.raises(RunClaimedError):
        claims[0].check()


def test_end_of_a_cancelled_run_is_not_held_up(
    database: Database, store: AbsurdStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        began = time.monotonic()
        with trio.CancelScope(shield=True):
            async with store.take({"p": (None,)}) as claim:
                assert claim is not None
                holder = locked(database, "r_p")
                holder.__enter__()
                await claim.write(change("running", urgent=True))
        assert 4 <= time.monotonic() - began < 10
        holder.__exit__(None, None, None)

    run(main)
    assert caplog.messages == [
        "the end of the run 'r' could not be saved in time",
        "the run 'r' could not be released in time; others have it once its claim is over",
    ]


def test_run_that_can_not_be_released_is_left_to_its_lease(
    store: AbsurdStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise StoreError("it is away")

    monkeypatch.setattr(store._claims, "release", fail)

    async def main() -> None:
        async with store.take({"p": (None,)}):
            pass
        assert (await store.look("r")).status == "running"

    run(main)
    assert caplog.messages == ["the run 'r' could not be released; others have it once its claim is over"]


# The dead


def test_run_whose_worker_others_have_found_dead_is_taken(database: Database, store: AbsurdStore) -> None:
    database.sql("select absurd.claim_task('p', 'dead', 60, 1)")
    database.sql("update absurd.r_p set claim_expires_at = now() - interval '1 s'")
    assert database.sql("select absurd.claim_task('p', 'who sweeps, and then dies', 60, 1)") == []

    async def main() -> None:
        assert (await store.look("r")).status == "interrupted"
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            await claim.write(change("running"))
        row = store._connections.call_here(store._engine._find, "r")
        assert row is not None
        assert not store._connections.call_here(store._engine.revive, row, 5)  # another worker was faster

    run(main)


def test_many_dead_are_all_swept_though_nothing_is_ready_for_us(database: Database, store: AbsurdStore) -> None:
    async def main() -> None:
        for number in range(3):
            await store.submit(str(number), change(version="7"))
        database.sql("select absurd.claim_task('p', 'dead', 60, 9)")
        database.sql("update absurd.r_p set claim_expires_at = now() - interval '1 s'")
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            assert claim.run_id == "r"

    run(main)


def test_without_psycopg_the_module_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert absurd.__file__ is not None
    spec = importlib.util.spec_from_file_location("trio_steps.absurd", absurd.__file__)
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ImportError, match=r"trio_steps\.absurd needs psycopg: pip install 'trio_steps\[absurd\]'"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_run_that_is_retried_at_that_very_moment_is_looked_up_again(
    store: AbsurdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with store.take({"p": (None,)}) as claim:
            assert claim is not None
            await claim.write(change("failed", error="no"))
        before = [store._connections.call_here(store._engine._there, "r")]
        await store.resume("r")
        there = store._engine._there
        monkeypatch.setattr(
            store._engine, "_there", lambda session, run_id: before.pop() if before else there(session, run_id)
        )
        await store.write_answers("r", {"ask": "1"})
        stored = await store.read("r")
        assert stored is not None
        assert (stored.record.status, stored.answers) == ("submitted", {"ask": "1"})

    run(main)
