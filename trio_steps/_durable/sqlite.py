"""Runs in an SQLite database: the tables, and who has a run. Synchronous; `store` calls it in worker threads.

Problem: nobody may run a run that somebody runs, and one whose process died has to be free at once.

Naive answer: a row that says who has the run, and until when. It is in the way for a while when the process has died,
and wrong when the process is merely slow.

What is done instead. Who has a run holds a lock of the operating system on a file next to the database, which is gone
the moment that its process is. It is SQLite's lock, that of a transaction on an empty database: so it is the same on
every system, and two holders in one process are kept apart too, which bare POSIX locks don't do. Lock files are made,
tried and removed only inside a write transaction on the real database, of which there is one at a time: so nobody
locks a file that somebody else is about to remove, and nobody is turned away by one who only looks.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast, final

import attrs

from trio_steps._core.public import public_in

from .protocol import RunClaimedError, RunStatus, StoredRun

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator
    from datetime import timedelta
    from pathlib import Path

    from .protocol import RunChange

RecordStatus: TypeAlias = Literal[RunStatus, "interrupted"]
"""What became of a run; ``interrupted``: its process died."""

_APPLICATION: Final = 0x73746570  # "step", in the header of the file
_VERSION: Final = 1
_SCHEMA: Final = (
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL UNIQUE,
        pipeline TEXT NOT NULL,
        status TEXT NOT NULL,
        started REAL NOT NULL,  -- seconds since 1970
        updated REAL NOT NULL,
        step TEXT,
        error TEXT,
        pid INTEGER NOT NULL  -- of the process that has the run, or had it last
    )
    """,
    """
    CREATE TABLE parts (
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        number INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (run, number)
    )
    """,
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)
_UPSERT: Final = """
    INSERT INTO runs (run_id, pipeline, status, started, updated, step, error, pid)
    VALUES (:run_id, :pipeline, :status, :now, :now, :step, :error, :pid)
    ON CONFLICT (run_id) DO UPDATE SET
        status = :status, updated = :now, step = coalesce(:step, step), error = :error
"""
_WAIT: Final = 10.0  # seconds for others to end a transaction, which takes them milliseconds


@public_in("trio_steps.store")
class StoreError(Exception):
    """A file is no store, or none that this version can use."""


@public_in("trio_steps.store")
@final
@attrs.frozen(kw_only=True)
class RunRecord:
    """What is known of a run at a glance.

    Attributes:
      run_id: what it is called.
      pipeline: the name of its pipeline.
      status: what became of it.
      started: when it was, in UTC, by the clock on the wall.
      updated: when something was last written of it, likewise.
      step: the full name of the step that was done last; None if none was.
      error: what it failed with, in words.
    """

    run_id: str
    pipeline: str
    status: RecordStatus
    started: datetime
    updated: datetime
    step: str | None
    error: str | None


@final
class Database:
    """The file; each call has a connection of its own, so that there is nothing to close."""

    def __init__(self, path: Path, synchronous: Literal["full", "normal"]) -> None:
        self.path = path
        self._synchronous = synchronous

    def claim(self, run_id: str) -> Claimed:
        """Have a run, until it is released or this process dies."""
        with ExitStack() as stack:
            connection = stack.enter_context(closing(self._open()))
            with _transaction(connection):
                lock = self._lock(run_id)
                if lock is None:
                    row = connection.execute("SELECT pid FROM runs WHERE run_id = ?", (run_id,)).fetchone()
                    raise RunClaimedError(run_id, None if row is None else row[0])
                stack.enter_context(closing(lock))
                connection.execute("UPDATE runs SET pid = ? WHERE run_id = ?", (os.getpid(), run_id))
            stack.pop_all()
        return Claimed(self, run_id, connection, lock)

    def runs(self) -> tuple[RunRecord, ...]:
        """Return the records of all runs, the one that started last first."""
        with closing(self._open()) as connection, _transaction(connection):
            return tuple(self._records(connection, "ORDER BY started DESC, id DESC"))

    def load(self, run_id: str) -> tuple[RunRecord, dict[int, str]]:
        """Return the record and the parts of a run, as they are at one moment."""
        with closing(self._open()) as connection, _transaction(connection):
            for record in self._records(connection, "WHERE run_id = ?", run_id):
                return record, _parts(connection, run_id)
        raise KeyError(f"there is no run {run_id!r} in the store {str(self.path)!r}")

    def delete(self, run_id: str) -> None:
        """Delete a run."""
        with closing(self._open()) as connection, _transaction(connection):
            row = connection.execute("SELECT pid FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            if row is None:
                raise KeyError(f"there is no run {run_id!r} in the store {str(self.path)!r}")
            if not self._is_free(run_id):
                raise RunClaimedError(run_id, row[0])
            connection.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))

    def prune(
        self, older_than: timedelta | None, keep: int | None, status: Collection[RecordStatus]
    ) -> tuple[str, ...]:
        """Delete runs that are too old, or too many, of those with a `status`, and return their ids."""
        with closing(self._open()) as connection, _transaction(connection):
            now = time.time()
            runs = [
                record
                for record in self._records(connection, "ORDER BY updated DESC, id DESC")
                if record.status in status
            ]
            pruned = tuple(
                record.run_id
                for number, record in enumerate(runs)
                if (
                    (keep is not None and number >= keep)
                    or (older_than is not None and now - record.updated.timestamp() > older_than.total_seconds())
                )
                and self._is_free(record.run_id)
            )
            connection.executemany("DELETE FROM runs WHERE run_id = ?", [(run_id,) for run_id in pruned])
        return pruned

    def _records(self, connection: sqlite3.Connection, which: str, *values: str) -> Iterator[RunRecord]:
        columns = "run_id, pipeline, status, started, updated, step, error"
        rows = connection.execute(f"SELECT {columns} FROM runs {which}", values).fetchall()  # noqa: S608 - our own
        for run_id, pipeline, status, started, updated, step, error in rows:
            is_dead = status == "running" and self._is_free(run_id)
            yield RunRecord(
                run_id=run_id,
                pipeline=pipeline,
                status="interrupted" if is_dead else status,
                started=datetime.fromtimestamp(started, UTC),
                updated=datetime.fromtimestamp(updated, UTC),
                step=step,
                error=error,
            )

    # The file

    def _open(self) -> sqlite3.Connection:
        # calls come from more than one thread, but one at a time
        connection = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
        try:
            if not self._is_store(connection):
                with _transaction(connection, "EXCLUSIVE"):
                    if not self._is_store(connection):  # somebody else may have been quicker
                        for statement in _SCHEMA:
                            connection.execute(statement)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_store(self, connection: sqlite3.Connection) -> bool:
        """Tell whether there is a store in the file; False if there is nothing at all."""
        try:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{str(self.path)!r} is no database, or a damaged one") from error
        if (application, version) == (_APPLICATION, _VERSION):
            return True
        if application == _APPLICATION:
            raise StoreError(f"{str(self.path)!r} is a store of version {version}; this version uses {_VERSION}")
        if tables or application or version:
            raise StoreError(f"{str(self.path)!r} is a database of something else; give the store a file of its own")
        return False

    # The locks, all in transactions

    def _lock_path(self, run_id: str) -> Path:
        name = blake2b(run_id.encode(), digest_size=16).hexdigest()
        return self.path.with_name(f"{self.path.name}-lock-{name}")

    def _lock(self, run_id: str) -> sqlite3.Connection | None:
        """Lock a run until the connection is closed; return None if somebody has it."""
        lock = sqlite3.connect(self._lock_path(run_id), timeout=0, isolation_level=None, check_same_thread=False)
        try:
            lock.execute("PRAGMA journal_mode = OFF")  # nothing is written into it
            lock.execute("BEGIN EXCLUSIVE")
        except BaseException as error:
            lock.close()
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                return None
            raise
        return lock

    def unlock(self, run_id: str, lock: sqlite3.Connection) -> None:
        """Free a run that is locked."""
        lock.close()
        self._lock_path(run_id).unlink(missing_ok=True)

    def _is_free(self, run_id: str) -> bool:
        """Tell whether nobody has a run; what a process that died has left is cleared away."""
        if not self._lock_path(run_id).exists():
            return True
        lock = self._lock(run_id)
        if lock is None:
            return False
        self.unlock(run_id, lock)
        return True


@final
class Claimed:
    """A run that nobody else can have."""

    def __init__(
        self, database: Database, run_id: str, connection: sqlite3.Connection, lock: sqlite3.Connection
    ) -> None:
        self._database = database
        self._run_id = run_id
        self._connection = connection
        self._lock = lock

    def read(self) -> StoredRun | None:
        """Return what there is of the run."""
        row = self._connection.execute("SELECT status FROM runs WHERE run_id = ?", (self._run_id,)).fetchone()
        if row is None:
            return None
        return StoredRun(status=row[0], parts=_parts(self._connection, self._run_id))

    def write(self, change: RunChange) -> None:
        """Write `change`, whole or not at all."""
        connection = self._connection
        run = {
            "run_id": self._run_id,
            "pipeline": change.pipeline,
            "status": change.status,
            "step": change.step,
            "error": change.error,
            "now": time.time(),
            "pid": os.getpid(),
        }
        with _transaction(connection):
            connection.execute(_UPSERT, run)
            (id,) = connection.execute("SELECT id FROM runs WHERE run_id = ?", (self._run_id,)).fetchone()
            connection.executemany(
                "DELETE FROM parts WHERE run = ? AND number = ?", [(id, number) for number in change.dropped]
            )
            connection.executemany(
                "INSERT OR REPLACE INTO parts VALUES (?, ?, ?)",
                [(id, number, text) for number, text in change.parts.items()],
            )

    def release(self) -> None:
        """Let others have the run. It is free in any case; all that can fail is to remove the file."""
        with (
            closing(self._connection),
            closing(self._lock),
            suppress(OSError, sqlite3.Error),
            _transaction(self._connection),
        ):
            self._database.unlock(self._run_id, self._lock)


def _parts(connection: sqlite3.Connection, run_id: str) -> dict[int, str]:
    query = "SELECT number, text FROM parts WHERE run = (SELECT id FROM runs WHERE run_id = ?)"
    return cast("dict[int, str]", dict(connection.execute(query, (run_id,))))


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Generator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
