"""Runs in an SQLite database: the tables, and which process has a run. Synchronous; `store` calls it in worker threads.

Every claim has a token in the database. Each write carries the token, and only has an effect where the token still
stands. That is one statement, so nothing can happen in between. A process that has lost a run can write nothing to it.

A forked child has none of the runs of its parent.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final, Literal, final
from uuid import uuid4

import attrs

from .file import File
from .owner import Owner
from .protocol import Question, RunClaimedError, RunRecord, StoredRun, StoreError, added_answers

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
    from pathlib import Path

    from .filter import Filter
    from .protocol import RunChange

_UPSERT: Final = """
    INSERT INTO runs (run_id, pipeline, version, status, started, updated, step, error, pid)
    SELECT :run_id, :pipeline, :version, :status, :now, :now, :step, :error, :pid
    FROM claims WHERE run_id = :run_id AND token = :token
    ON CONFLICT (run_id) DO UPDATE SET
        pipeline = :pipeline, status = :status, version = :version, updated = :now, step = coalesce(:step, step),
        error = :error, pid = :pid
    RETURNING id
"""
_SAVE: Final = """
    UPDATE runs SET
        pipeline = :pipeline, version = :version, updated = :now, step = coalesce(:step, step), error = :error
    WHERE id = :id AND status = 'running' AND EXISTS (SELECT 1 FROM claims WHERE run_id = :run_id AND token = :token)
"""
"""Most saves are like this: the run stays ``running``."""
_RUNS: Final = """
    SELECT runs.id, runs.run_id, pipeline, version, status, started, updated, step, error, deaths, questions,
        claims.token, claims.owner, claims.cancelled, waits.name, waits.until
    FROM runs LEFT JOIN claims USING (run_id) LEFT JOIN waits ON waits.run = runs.id
"""
"""Runs with their owners, and a row for each step that waits."""
_OVER: Final = ("finished", "failed", "cancelled")
_CANCELLED: Final = f"""
    SELECT 1 FROM claims JOIN runs USING (run_id) WHERE token = ? AND cancelled AND status NOT IN {_OVER}
"""  # noqa: S608 - our own
"""A run that was cancelled, but whose owner has not noticed."""
_READY: Final = f"""
    {_RUNS} WHERE status IN ('submitted', 'running', 'waiting') AND (
        status <> 'waiting' OR EXISTS (
            SELECT 1 FROM waits AS open LEFT JOIN answers USING (run, name)
            WHERE open.run = runs.id AND (answers.text IS NOT NULL OR open.until <= ?)
        )
    ) ORDER BY runs.updated, runs.id, waits.rowid
"""  # noqa: S608 - our own


@final
@attrs.define(eq=False)
class Claimed:
    """A run that no one else can have, with the proof of that.

    Attributes:
      run_id: its id.
      token: the proof.
      id: the number of its row; None if nothing has been written under this claim.
      waits: whether there may be rows for steps that wait.
    """

    run_id: str
    token: str
    id: int | None = None
    waits: bool = True


@final
class Database:
    """The file."""

    def __init__(self, path: Path, synchronous: Literal["full", "normal"]) -> None:
        self.path = path
        self._lock = threading.Lock()  # held for every access to the attributes below
        self._file = File(path, synchronous)
        self._pid = os.getpid()
        self._owner = Owner(path)
        self._tokens: set[str] = set()  # the claims of this process

    @contextmanager
    def _transaction(self, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE") -> Generator[sqlite3.Connection]:
        if self._pid != os.getpid():
            self._lock = threading.Lock()  # another thread of the parent may have held it
            self._file.forget()
            self._owner.forget()
            self._tokens = set()
            self._pid = os.getpid()
        with self._lock:
            before = self._tokens.copy()
            try:
                with self._file.transaction(kind) as connection:
                    yield connection
                    self._file.keeps = bool(self._tokens)
            except BaseException:
                self._tokens = before
                raise
            finally:
                if not self._tokens:
                    self._owner.end()

    # Claims

    def claim(self, run_id: str) -> Claimed:
        """Claim a run, until it is released or this process dies."""
        with self._transaction() as connection:
            self._take(connection, run_id)
            return self._claimed(connection, run_id)

    def _take(self, connection: sqlite3.Connection, run_id: str) -> None:
        """Clear away the claim of a dead owner, or raise an error if a run is claimed."""
        row = connection.execute("SELECT token, owner, pid FROM claims WHERE run_id = ?", (run_id,)).fetchone()
        if row is not None:
            token, owner, pid = row
            if self._is_alive(token, owner):
                raise RunClaimedError(run_id, pid)
            self._died(connection, run_id, token)

    def _died(self, connection: sqlite3.Connection, run_id: str, token: str) -> None:
        """Write what has become of a run whose owner has died, as `_rows` tells it until then."""
        statement = "UPDATE runs SET deaths = deaths + 1 WHERE run_id = ? AND status = 'running'"
        connection.execute(statement, (run_id,))
        self._unclaim(connection, run_id, token)

    def _unclaim(self, connection: sqlite3.Connection, run_id: str, token: str) -> None:
        """Delete a claim. A run whose owner has not noticed that it was cancelled is cancelled now."""
        if connection.execute(_CANCELLED, (token,)).fetchone() is not None:
            self._end_cancelled(connection, run_id)
        connection.execute("DELETE FROM claims WHERE token = ?", (token,))

    def _claimed(self, connection: sqlite3.Connection, run_id: str) -> Claimed:
        claimed = Claimed(run_id, uuid4().hex)
        owner = self._owner.begin()
        values = (run_id, claimed.token, owner, os.getpid())
        connection.execute("INSERT OR REPLACE INTO claims (run_id, token, owner, pid) VALUES (?, ?, ?, ?)", values)
        connection.execute("UPDATE runs SET pid = ? WHERE run_id = ?", (os.getpid(), run_id))
        self._tokens.add(claimed.token)
        return claimed

    def _is_alive(self, token: str, owner: str) -> bool:
        if owner == self._owner.name:
            return token in self._tokens
        return self._owner.is_alive(owner)

    def _is_free(self, connection: sqlite3.Connection, run_id: str) -> bool:
        row = connection.execute("SELECT token, owner FROM claims WHERE run_id = ?", (run_id,)).fetchone()
        return row is None or not self._is_alive(*row)

    def take(self, pipelines: Mapping[str, Collection[str | None]], max_deaths: int) -> Claimed | None:
        """Claim the run that has been ready to continue for longest, if there is one.

        Args:
          pipelines: the names of the pipelines, and the acceptable versions of each.
          max_deaths: a run whose process has died this many times becomes failed.
        """
        with self._transaction() as connection:
            for record in self._records(connection, _READY, time.time()):
                is_ready = record.status not in ("running", "cancelled")
                if not is_ready or record.version not in pipelines.get(record.pipeline, ()):
                    continue
                if record.status == "interrupted" and record.deaths >= max_deaths:
                    error = f"the processes that ran it have died, {record.deaths} of them"
                    values = ("failed", error, record.deaths, record.run_id)
                    connection.execute("UPDATE runs SET status = ?, error = ?, deaths = ? WHERE run_id = ?", values)
                    connection.execute("DELETE FROM claims WHERE run_id = ?", (record.run_id,))
                    continue
                try:
                    self._take(connection, record.run_id)
                except RunClaimedError:
                    continue  # its owner has not written anything yet
                # so that it counts if the worker dies before it writes anything
                connection.execute("UPDATE runs SET status = 'running' WHERE run_id = ?", (record.run_id,))
                return self._claimed(connection, record.run_id)
        return None

    def lost_and_cancelled(self) -> tuple[set[str], set[str]]:
        """Return the tokens of this process that are gone, and the tokens of runs that were cancelled."""
        with self._transaction("DEFERRED") as connection:
            rows = dict(
                connection.execute(
                    "SELECT token, cancelled FROM claims WHERE owner = ?", (self._owner.name,)
                ).fetchall()
            )
            return self._tokens - rows.keys(), {token for token, cancelled in rows.items() if cancelled}

    def release(self, claimed: Claimed) -> None:
        """Let others have a run."""
        with self._transaction() as connection:
            if claimed.token in self._tokens:  # otherwise, the parent process had it
                self._unclaim(connection, claimed.run_id, claimed.token)
                self._tokens.remove(claimed.token)

    def give_up(self, claimed: Claimed) -> None:
        """Let this process claim a run that could not be released. Other processes wait until this one ends."""
        with self._lock:
            self._tokens.discard(claimed.token)

    # One run

    def read(self, run_id: str) -> StoredRun | None:
        """Return everything about a run at one moment."""
        with self._transaction() as connection:
            for id, record, questions in self._rows(
                connection, f"{_RUNS} WHERE run_id = ? ORDER BY waits.rowid", run_id
            ):
                parts = dict(connection.execute("SELECT number, text FROM parts WHERE run = ?", (id,)))
                answers = dict(connection.execute("SELECT name, text FROM answers WHERE run = ?", (id,)))
                return StoredRun(record=record, parts=parts, questions=questions, answers=answers)
        return None

    def write(self, claimed: Claimed, change: RunChange) -> None:
        """Write `change`, whole or not at all."""
        with self._transaction() as connection:
            run = {
                "id": claimed.id,
                "run_id": claimed.run_id,
                "token": claimed.token,
                "pipeline": change.pipeline,
                "version": change.version,
                "status": change.status,
                "step": change.step,
                "error": change.error,
                "now": time.time(),
                "pid": os.getpid(),
            }
            id = claimed.id
            if id is None or change.status != "running" or connection.execute(_SAVE, run).rowcount == 0:
                rows: list[tuple[int]] = connection.execute(_UPSERT, run).fetchall()
                if not rows:
                    raise RunClaimedError(claimed.run_id)
                [(id,)] = rows
            self._write_rest(connection, claimed.run_id, id, change, waits=claimed.waits)
        claimed.id, claimed.waits = id, bool(change.waiting)

    def _write_rest(
        self, connection: sqlite3.Connection, run_id: str, id: int, change: RunChange, *, waits: bool
    ) -> None:
        for number in change.dropped:
            connection.execute("DELETE FROM parts WHERE run = ? AND number = ?", (id, number))
        for number, text in change.parts.items():
            connection.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", (id, number, text))
        if waits:
            connection.execute("DELETE FROM waits WHERE run = ?", (id,))
        for name, until in change.waiting.items():
            values = (id, name, None if until is None else until.timestamp())
            connection.execute("INSERT INTO waits VALUES (?, ?, ?)", values)
        if change.questions is not None:
            questions = json.dumps([[each.name, each.provides, *each.of] for each in change.questions])
            connection.execute("UPDATE runs SET questions = ? WHERE id = ?", (questions, id))
        if change.answers:
            self._add_answers(connection, run_id, id, change.answers)

    def submit(self, run_id: str, change: RunChange) -> bool:
        """Write a run for a worker to take. Return False if that id exists."""
        with self._transaction() as connection:
            now = time.time()
            values = (run_id, change.pipeline, change.version, change.status, change.step, now, now, os.getpid())
            columns = "run_id, pipeline, version, status, step, started, updated, pid"
            insert = f"INSERT OR IGNORE INTO runs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"  # noqa: S608
            rows = connection.execute(insert, values).fetchall()
            if not rows:
                return False
            self._take(connection, run_id)  # its owner may not have written anything yet
            [(id,)] = rows
            self._write_rest(connection, run_id, id, change, waits=False)
            return True

    def write_answers(self, run_id: str, answers: Mapping[str, str]) -> None:
        """Keep answers, all of them or none."""
        with self._transaction() as connection:
            row = connection.execute("SELECT id FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            if row is None:
                raise self._no_run(run_id)
            (id,) = row
            self._add_answers(connection, run_id, id, answers)

    def _add_answers(self, connection: sqlite3.Connection, run_id: str, id: int, answers: Mapping[str, str]) -> None:
        before = dict(connection.execute("SELECT name, text FROM answers WHERE run = ?", (id,)))
        rows = [(id, name, text) for name, text in added_answers(run_id, before, answers).items()]
        connection.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", rows)

    def cancel(self, run_id: str) -> bool:
        """Cancel a run. Return False if it is already over."""
        with self._transaction() as connection:
            row = connection.execute(
                "SELECT token, owner FROM runs LEFT JOIN claims USING (run_id) WHERE run_id = ?", (run_id,)
            ).fetchone()
            if row is None:
                raise self._no_run(run_id)
            token, owner = row
            is_claimed = token is not None and self._is_alive(token, owner)
            if token is not None and not is_claimed:
                self._died(connection, run_id, token)
            ((status,),) = connection.execute("SELECT status FROM runs WHERE run_id = ?", (run_id,))
            if status == "finished" or (status == "cancelled" and not is_claimed):
                return False
            if is_claimed:
                connection.execute("UPDATE claims SET cancelled = 1 WHERE token = ?", (token,))
            else:
                self._end_cancelled(connection, run_id)
            return True

    def _end_cancelled(self, connection: sqlite3.Connection, run_id: str) -> None:
        """Cancel a run that is not running."""
        connection.execute("UPDATE runs SET status = 'cancelled', updated = ? WHERE run_id = ?", (time.time(), run_id))
        connection.execute("DELETE FROM waits WHERE run = (SELECT id FROM runs WHERE run_id = ?)", (run_id,))

    # Many runs

    def runs(self, which: Filter) -> tuple[RunRecord, ...]:
        """Return the records of the runs that match `which`, the latest first."""
        with self._transaction() as connection:
            condition, values = "", []
            if which.after is not None:
                row = connection.execute("SELECT started, id FROM runs WHERE run_id = ?", (which.after,)).fetchone()
                if row is None:
                    raise self._no_run(which.after)
                condition, values = "WHERE (started, runs.id) < (?, ?)", list(row)
            query = f"{_RUNS} {condition} ORDER BY started DESC, runs.id DESC, waits.rowid"
            return tuple(islice(filter(which.matches, self._records(connection, query, *values)), which.limit))

    def delete(self, run_id: str) -> None:
        """Delete a run."""
        with self._transaction() as connection:
            self._take(connection, run_id)
            if not connection.execute("DELETE FROM runs WHERE run_id = ?", (run_id,)).rowcount:
                raise self._no_run(run_id)

    def prune(self, which: Filter, keep: int | None) -> tuple[str, ...]:
        """Delete the runs that match `which`, except the `keep` that were updated last. Return their ids."""
        with self._transaction() as connection:
            query = f"{_RUNS} ORDER BY updated DESC, runs.id DESC, waits.rowid"
            everything = attrs.evolve(which, before=None)
            runs = [record for record in self._records(connection, query) if everything.matches(record)]
            pruned = tuple(
                record.run_id
                for number, record in enumerate(runs)
                if ((keep is not None and number >= keep) or (which.before is not None and which.matches(record)))
                and self._is_free(connection, record.run_id)
            )
            for table in ("runs", "claims"):
                statement = f"DELETE FROM {table} WHERE run_id = ?"  # noqa: S608
                connection.executemany(statement, [(run_id,) for run_id in pruned])
        return pruned

    def _no_run(self, run_id: str) -> KeyError:
        return KeyError(f"there is no run {run_id!r} in the store {str(self.path)!r}")

    def _records(self, connection: sqlite3.Connection, query: str, *values: object) -> Iterator[RunRecord]:
        return (record for _, record, _ in self._rows(connection, query, *values))

    def _rows(
        self, connection: sqlite3.Connection, query: str, *values: object
    ) -> Iterator[tuple[int, RunRecord, tuple[Question, ...]]]:
        alive: dict[str, bool] = {}  # by owner, so that each is checked once
        for _, group in groupby(connection.execute(query, values), lambda row: row[0]):
            first, *_ = rows = list(group)
            id, run_id, pipeline, version, status, started, updated, step, error, deaths, questions, *claim = first
            token, owner, cancelled, *_ = claim
            if token is None or not self._is_alive_once(alive, token, owner):
                deaths += token is not None and status == "running"  # which no one has counted yet
                if cancelled and status not in _OVER:  # its owner died before it noticed
                    status, rows = "cancelled", []
                elif status == "running":
                    status = "interrupted"
            try:
                record = RunRecord(
                    run_id=run_id,
                    pipeline=pipeline,
                    version=version,
                    status=status,
                    started=_moment(started),
                    updated=_moment(updated),
                    step=step,
                    error=error,
                    # also while it does not wait: the time goes on
                    waiting={
                        name: None if until is None else _moment(until) for *_, name, until in rows if name is not None
                    },
                    deaths=deaths,
                )
                asked = tuple(_questions(json.loads(questions)))
            except (TypeError, ValueError, OverflowError, OSError) as problem:
                raise StoreError(
                    f"what {str(self.path)!r} has of the run {run_id!r} is damaged: {problem}"
                ) from problem
            yield id, record, asked

    def _is_alive_once(self, alive: dict[str, bool], token: str, owner: str) -> bool:
        if owner == self._owner.name:
            return self._is_alive(token, owner)
        if owner not in alive:
            alive[owner] = self._is_alive(token, owner)
        return alive[owner]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _questions(rows: Iterable[list[Any]]) -> Iterator[Question]:
    for name, provides, *of in rows:
        yield Question(name=name, provides=provides, of=tuple(of))
