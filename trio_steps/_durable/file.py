"""The file of an SQLite store: its schema, one connection at a time, and what can go wrong with it.

While the process has any runs, one connection is kept open for all of them. Otherwise each transaction opens its own,
so that a store has nothing to close. A forked child leaves the connection of its parent alone.

No transaction waits long for another process: SQLite's own wait is short, and the caller tries again. So nothing holds
up a cancellation.

A file that is deleted while it is open accepts every write, and keeps nothing. So after each transaction on a
connection that was kept open, the path must still lead to the same file.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, final

from .protocol import StoreError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_APPLICATION: Final = 0x73746570  # "step" in ASCII, in the header of the file
_VERSION: Final = 3
_SCHEMA: Final = (
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL UNIQUE,
        pipeline TEXT NOT NULL,
        version TEXT,
        status TEXT NOT NULL,
        started REAL NOT NULL,  -- seconds since 1970
        updated REAL NOT NULL,
        step TEXT,
        error TEXT,
        pid INTEGER NOT NULL,  -- of the process that has the run, or had it last
        deaths INTEGER NOT NULL DEFAULT 0,
        questions TEXT NOT NULL DEFAULT '[]'
    )
    """,
    "CREATE INDEX runs_in_order ON runs (started DESC, id DESC)",
    # on nothing that a save changes; otherwise each save would write one more page
    "CREATE INDEX runs_that_can_go_on ON runs (id) WHERE status IN ('submitted', 'running', 'waiting')",
    """
    CREATE TABLE parts (
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        number INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (run, number)
    )
    """,
    """
    CREATE TABLE waits (
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        name TEXT NOT NULL,
        until REAL,
        PRIMARY KEY (run, name)
    )
    """,
    """
    CREATE TABLE answers (
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        name TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (run, name)
    )
    """,
    """
    CREATE TABLE claims (
        run_id TEXT PRIMARY KEY,
        token TEXT NOT NULL,
        owner TEXT NOT NULL,
        pid INTEGER NOT NULL,
        cancelled INTEGER NOT NULL DEFAULT 0
    )
    """,
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)
_TURN: Final = 0.1  # seconds that one call waits for others to end a transaction, which takes milliseconds


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another process or thread was in the way, so that the same call may work later."""
    return _is(error, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_too_long(error: sqlite3.Error) -> bool:
    """Tell whether a text is longer than SQLite can hold, which is a billion bytes."""
    return _is(error, sqlite3.SQLITE_TOOBIG)


def _is(error: BaseException, *kinds: int) -> bool:
    code: int | None = getattr(error, "sqlite_errorcode", None)  # the module's own errors have none
    return code is not None and code & 0xFF in kinds


@final
class File:
    """The file, in one process.

    Attributes:
      path: where it is.
      keeps: whether the connection is kept open after a transaction.
    """

    def __init__(self, path: Path, synchronous: Literal["full", "normal"]) -> None:
        self.path = path
        self.keeps = False
        self._synchronous = synchronous
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None  # the identity of the file that it is open to

    def forget(self) -> None:
        """Leave the connection to the parent process after a fork. It must not even be closed."""
        _inherited.append(self._connection)
        self._connection = None

    @contextmanager
    def transaction(self, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE") -> Generator[sqlite3.Connection]:
        """Open a transaction, commit it at the end, or roll it back after an error. Only one is open at a time."""
        connection, self._connection = self._connection, None
        if connection is None:
            connection = self._open()
            self._identity = self._identity_now()
        try:
            with _in_transaction(connection, kind):
                yield connection
        except sqlite3.Error as error:
            self._check(error)
            raise
        else:
            self._check(None)
            if self.keeps:
                connection, self._connection = None, connection
        finally:
            if connection is not None:
                connection.close()

    def _check(self, error: sqlite3.Error | None) -> None:
        if self._identity_now() != self._identity:
            raise StoreError(f"the file {str(self.path)!r} was deleted or replaced while it was in use") from error

    def _identity_now(self) -> tuple[int, int] | None:
        try:
            now = os.stat(self.path)  # noqa: PTH116 - it is asked for at each save
        except OSError:
            return None
        return now.st_dev, now.st_ino

    def _open(self) -> sqlite3.Connection:
        # calls come from several threads, but one at a time
        connection = sqlite3.connect(self.path, timeout=_TURN, isolation_level=None, check_same_thread=False)
        try:
            if not self._is_store(connection):
                with _in_transaction(connection, "EXCLUSIVE"):
                    if not self._is_store(connection):  # another process may have been quicker
                        for statement in _SCHEMA:
                            connection.execute(statement)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException as error:
            connection.close()
            if _is(error, sqlite3.SQLITE_READONLY):
                raise StoreError(
                    f"SQLite has to make files next to {str(self.path)!r}, even to read it, and can't: use a copy of it"
                ) from error
            raise
        return connection

    def _is_store(self, connection: sqlite3.Connection) -> bool:
        """Tell whether there is a store in the file; False if the file is empty or missing."""
        try:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{str(self.path)!r} is not a database, or is damaged") from error
        if (application, version) == (_APPLICATION, _VERSION):
            return True
        if application == _APPLICATION:
            raise StoreError(f"{str(self.path)!r} is a store of version {version}; this version uses {_VERSION}")
        if tables or application or version:
            raise StoreError(f"{str(self.path)!r} is a database of something else; give the store a file of its own")
        return False


_inherited: Final[list[sqlite3.Connection | None]] = []


@contextmanager
def _in_transaction(connection: sqlite3.Connection, kind: str) -> Generator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
