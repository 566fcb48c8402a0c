"""Runs in Absurd, for everything but running them: submit, look, answer, cancel, resume, amend and delete.

Absurd has functions for most of that. The rest is done in its tables, under a lock of the run that keeps others from
claiming it, and in the same order of locks as Absurd's own: runs before tasks.

If a connection is lost when a call has perhaps happened, the call is made again. The result is the same.

What is deliberately not done: no tables and no functions besides Absurd's.
"""

from __future__ import annotations

import heapq
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, final

import attrs

from trio_steps._durable.protocol import RunClaimedError, StoreError, added_answers

from .rows import (
    DIED,
    MARK,
    RUN,
    Queue,
    Row,
    answer_name,
    answers_to,
    checkpoints,
    known_after,
    packed,
    part_name,
    queue_name,
    states_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Mapping
    from datetime import datetime

    from trio_steps._durable.filter import Filter
    from trio_steps._durable.protocol import RunChange, RunRecord, StoredRun

    from .connections import Session

_PAGE: Final = 200  # runs that are read at a time
_MOST_BYTES: Final = 2000  # of a run id, which has to fit into an index


@final
class Engine:
    """All runs of one database.

    Attributes:
      name: the name of the database in errors.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._queues: dict[str, Queue] = {}
        self._there_are: frozenset[str] = frozenset()

    # Where runs are

    def queue(self, name: str) -> Queue:
        """Return the queue of that name, which need not exist."""
        return self._queues.setdefault(name, Queue(name))

    def names(self, session: Session) -> list[str]:
        """Return the names of all queues."""
        rows = session.execute("select queue_name from absurd.queues order by queue_name").fetchall()
        return [name for (name,) in rows]

    def existing(self, session: Session, wanted: Collection[str]) -> frozenset[str]:
        """Return those of the queues that are there, or were when it was looked last."""
        if not self._there_are.issuperset(wanted):
            self._there_are = frozenset(self.names(session))
        return self._there_are.intersection(wanted)

    def forget(self, name: str) -> None:
        """Take a queue for one that may not be there any more."""
        self._there_are -= {name}

    def _find(self, session: Session, run_id: str) -> Row | None:
        """Find a run in any queue."""
        for name in self.names(session):
            row = self._row(session, self.queue(name), run_id)
            if row is not None:
                return row
        return None

    def _row(self, session: Session, queue: Queue, run_id: str) -> Row | None:
        columns = session.execute(queue.records("and t.idempotency_key = %s"), (run_id,)).fetchone()
        return None if columns is None else Row.of(queue, columns)

    def _there(self, session: Session, run_id: str) -> Row:
        row = self._find(session, run_id)
        if row is None:
            raise KeyError(f"there is no run {run_id!r} in {self.name!r}")
        return row

    @contextmanager
    def _locked(self, session: Session, run_id: str) -> Generator[Row]:
        """Open a transaction during which no one else can claim, end or change a run."""
        with session.transaction():
            row = self._there(session, run_id)
            while True:
                session.execute(row.queue.sql("select 1 from {r} where run_id = %s for update"), (row.attempt,))
                before = row
                row = self._there(session, run_id)
                if row.attempt == before.attempt:  # otherwise, another process was faster
                    break
            yield row

    def _put(self, session: Session, row: Row, states: Mapping[str, object]) -> None:
        """Write checkpoints of a run that is locked. Absurd's function can't do that for a failed run."""
        texts = [packed(state) for state in states.values()]
        statement = row.queue.sql(
            """
            insert into {c} (task_id, checkpoint_name, state, status, owner_run_id, updated_at)
            select %s, x.name, x.state::jsonb, 'committed', %s, absurd.current_time()
            from unnest(%s::text[], %s::text[]) as x(name, state)
            on conflict (task_id, checkpoint_name)
            do update set state = excluded.state, owner_run_id = excluded.owner_run_id, updated_at = excluded.updated_at
            """
        )
        session.execute(statement, (row.task, row.attempt, list(states), texts))

    # One run

    def read(self, session: Session, run_id: str) -> StoredRun | None:
        """Return everything about a run at one moment."""
        with session.transaction():
            session.execute("set transaction isolation level repeatable read, read only")
            row = self._find(session, run_id)
            return None if row is None else row.stored(checkpoints(session, row.queue, row.task))

    def look(self, session: Session, run_id: str) -> RunRecord:
        """Return the summary of a run."""
        return self._there(session, run_id).record

    def submit(self, session: Session, run_id: str, change: RunChange, submitter: str) -> bool:
        """Write a run for a worker to take. Return False if that id exists."""
        if len(run_id.encode()) > _MOST_BYTES:
            raise StoreError(f"the run id {run_id[:40]!r}… has more than {_MOST_BYTES} bytes; use a shorter one")
        queue = self.queue(queue_name(change.pipeline))
        lock = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"
        with session.transaction():
            session.execute(lock, (f"{MARK} {run_id}",))
            row = self._find(session, run_id)
            if row is not None:
                return session.is_again and row.submitter == submitter
            if queue.name not in self.names(session):
                session.execute(lock, (MARK,))
                session.execute("select absurd.create_queue(%s)", (queue.name,))
            params = {
                "parts": {str(number): text for number, text in change.parts.items()},
                "questions": [[each.name, each.provides, *each.of] for each in change.questions or ()],
            }
            options = {
                "idempotency_key": run_id,
                "max_attempts": 1,
                "headers": {MARK: submitter, "run_id": run_id, "version": change.version},
            }
            spawn = "select absurd.spawn_task(%s, %s, %s::jsonb, %s::jsonb)"
            session.execute(spawn, (queue.name, change.pipeline, packed(params), packed(options)))
            if change.answers or change.waiting or change.step:  # it was moved from another store
                row = self._there(session, run_id)
                known = attrs.asdict(known_after(row.known, change))
                self._put(session, row, {**states_of(attrs.evolve(change, parts={}), ()), RUN: known})
        return True

    def write_answers(self, session: Session, run_id: str, answers: Mapping[str, str]) -> None:
        """Keep answers, all of them or none, and wake the run if it waits for one of them."""
        with self._locked(session, run_id) as row:
            before = answers_to(session, row.queue, row.task)
            added_answers(run_id, before, answers)
            new = {answer_name(name): [name, text] for name, text in answers.items() if name not in before}
            self._put(session, row, new)
            if row.record.waiting.keys() & answers.keys():
                self._wake(session, row)

    def _wake(self, session: Session, row: Row) -> None:
        if row.state == "sleeping" and row.wake_event is not None:
            session.execute("select absurd.emit_event(%s, %s, 'null'::jsonb)", (row.queue.name, row.wake_event))

    def amend(self, session: Session, before: RunRecord, change: RunChange) -> bool:
        """Write a change of a run that is not running. Return False if it is no longer as `before`."""
        with self._locked(session, before.run_id) as row:
            if row.is_held:
                raise RunClaimedError(before.run_id)
            if row.record != before:
                return False
            known = attrs.asdict(known_after(row.known, change))
            self._drop(session, row, change)
            self._put(session, row, {**states_of(change, row.submitted["parts"]), RUN: known})
            if change.status == "submitted":
                self._wake(session, row)
        return True

    def _drop(self, session: Session, row: Row, change: RunChange) -> None:
        names = [part_name(number) for number in change.dropped]
        delete = row.queue.sql("delete from {c} where task_id = %s and checkpoint_name = any(%s)")
        session.execute(delete, (row.task, names))

    def cancel(self, session: Session, run_id: str) -> bool:
        """Cancel a run for good. Return False if it is already over."""
        with self._locked(session, run_id) as found:
            row = found
            if row.state in ("completed", "cancelled"):
                return session.is_again and row.state == "cancelled"
            if row.state == "running" and not row.is_held:  # otherwise, no one would count the death of its worker
                died = {"name": DIED, "message": "worker did not come back before the run was cancelled"}
                fail = "select absurd.fail_run(%s, %s, %s::jsonb)"
                session.execute(fail, (row.queue.name, row.attempt, packed(died)))
            self._retry(session, row)  # for Absurd, a failed task is over
            session.execute("select absurd.cancel_task(%s, %s)", (row.queue.name, row.task))
        return True

    def _retry(self, session: Session, row: Row) -> None:
        """Make a run available again if it has failed."""
        retry = "select absurd.retry_task(%s, task_id) from {t} where task_id = %s and state = 'failed'"
        session.execute(row.queue.sql(retry), (row.queue.name, row.task))

    def resume(self, session: Session, run_id: str) -> None:
        """Make a run that failed or was stopped available again; leave any other run unchanged."""
        with self._locked(session, run_id) as row:
            self._retry(session, row)

    def revive(self, session: Session, dead: Row, max_deaths: int) -> bool:
        """Make a run whose worker did not come back available again; fail it if that has happened too often."""
        with self._locked(session, dead.record.run_id) as row:
            if row.record.status != "interrupted" or row.state != "failed":
                return False  # another process was faster
            if row.record.deaths >= max_deaths:
                error = f"the workers that ran it have died, {row.record.deaths} of them"
                self._put(session, row, {RUN: attrs.asdict(attrs.evolve(row.known, status="failed", error=error))})
                return False
            self._retry(session, row)
        return True

    def delete(self, session: Session, run_id: str) -> None:
        """Delete a run."""
        if session.is_again and self._find(session, run_id) is None:
            return
        with self._locked(session, run_id) as row:
            if row.is_held:
                raise RunClaimedError(run_id)
            sql = row.queue.sql
            session.execute(sql("delete from {e} where starts_with(event_name, %s)"), (f"wake {row.task} ",))
            session.execute(sql("delete from {w} where task_id = %s"), (row.task,))
            session.execute(sql("delete from {c} where task_id = %s"), (row.task,))
            session.execute(sql("delete from {r} where task_id = %s"), (row.task,))
            session.execute(sql("delete from {t} where task_id = %s"), (row.task,))
            # a queue whose tables are partitioned has another one for the keys
            keys = session.execute("select to_regclass(%s)", (sql("{i}").decode().replace("%%", "%"),)).fetchall()
            if keys != [(None,)]:
                session.execute(sql("delete from {i} where task_id = %s"), (row.task,))

    # Many runs

    def runs(self, session: Session, which: Filter) -> tuple[RunRecord, ...]:
        """Return the records of the runs that match `which`, the latest first."""
        last = None if which.after is None else _place(self._there(session, which.after))
        names = self.names(session)
        if which.pipeline is not None:
            names = [name for name in names if name == queue_name(which.pipeline)]
        pages = [self._pages(session, self.queue(name), last) for name in names]
        found: list[RunRecord] = []
        for row in heapq.merge(*pages, key=_place, reverse=True):
            if len(found) == which.limit:
                break
            if which.matches(row.record):
                found.append(row.record)
        return tuple(found)

    def _pages(self, session: Session, queue: Queue, last: tuple[datetime, str] | None) -> Iterator[Row]:
        while True:
            if last is None:
                query = queue.records("order by t.enqueue_at desc, t.task_id desc limit %s")
                columns = session.execute(query, (_PAGE,)).fetchall()
            else:
                query = queue.records(
                    "and (t.enqueue_at, t.task_id) < (%s, %s::uuid) order by t.enqueue_at desc, t.task_id desc limit %s"
                )
                columns = session.execute(query, (*last, _PAGE)).fetchall()
            rows = [Row.of(queue, each) for each in columns]
            yield from rows
            if len(rows) < _PAGE:
                return
            last = _place(rows[-1])


def _place(row: Row) -> tuple[datetime, str]:
    return row.record.started, str(row.task)
