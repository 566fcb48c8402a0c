"""Runs in Absurd, for workers: they take, write and release a run, and a worker that has lost it can't write.

Problem: Absurd gives a run to a worker for a while. Its id is enough to write to it, and after a suspension the next
worker gets the very same run. So a worker that was stopped for too long could overwrite what another has done.

What is done instead. A worker claims a run under a token, a name that is used only once. Every write is a statement or
transaction that first locks the run, on condition that the token still stands and the run is still running. Taking the
run away needs the same lock, so it happens either before or after a write.

Death and failure are different. A task has one attempt, so Absurd itself retries nothing. If a run ended because its
worker did not come back, the next worker that looks for work retries it, up to a limit.

A run that waits is suspended on an Absurd event. Each suspension has its own event, which an answer emits. The answers
themselves are checkpoints, because events are cleaned up by age, whether they have been read or not.
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Final, final

import attrs
from psycopg import errors

from trio_steps._durable.protocol import added_answers

from .rows import (
    RUN,
    Known,
    Queue,
    Row,
    answers_to,
    checkpoints,
    known_after,
    packed,
    part_name,
    queue_name,
    states_of,
    waiting_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from trio_steps._durable.protocol import RunChange, StoredRun

    from .connections import Session
    from .engine import Engine

_GIVEN_BACK: Final = (1.0, 3.0)  # seconds for which a run is left alone after a worker took it that can't run it
_LOOK: Final = 5.0  # seconds between two looks for runs whose workers have died


class RefusedError(Exception):
    """A claim no longer stands.

    Attributes:
      is_cancelled: whether the run was cancelled; otherwise another worker has taken it over, or may.
    """

    def __init__(self, *, is_cancelled: bool) -> None:
        super().__init__(is_cancelled)
        self.is_cancelled = is_cancelled


@final
@attrs.define(kw_only=True, eq=False)
class Claimed:
    """A run that this worker has, with the proof of that.

    Attributes:
      run_id: its id.
      queue: its queue.
      task: the id of its task.
      attempt: the id of the task's last run.
      token: the name under which it was claimed, which is used only once.
      known: what this worker wrote last; no one else writes it.
      stored: the run as it was when it was claimed.
      first: the summary when it was claimed.
      row: the checkpoint ``run``; None if it was not written, so that the run is as it was submitted.
      submitted: the numbers of the texts that it was submitted with.
      until: when other workers may consider this one dead, by the monotonic clock.
      changes: the number of changes written since.
      is_over: whether it has ended, so that it need not be released.
    """

    run_id: str
    queue: Queue
    task: object
    attempt: object
    token: str
    known: Known
    stored: StoredRun
    first: Known
    row: Known | None
    submitted: Collection[str]
    until: float
    changes: int = 0
    is_over: bool = False

    def has(self, number: int, text: str) -> bool:
        """Tell whether a text is already stored, as far as that is known."""
        return self.changes == 0 and self.stored.parts.get(number) == text

    def tells(self, known: Known) -> bool:
        """Tell whether `known` follows from what is stored, so that a step or an end takes one row less.

        The last step follows from the parts. Whether the run is running or finished follows from Absurd's state.
        """
        before = self.row or self.first
        like = attrs.evolve(known, step=before.step, after=before.after, written=before.written)
        if known.status == "finished":
            like = attrs.evolve(like, status=before.status, waiting=before.waiting)
        elif known.status == "running" and self.row is None:
            like = attrs.evolve(like, status=before.status)
        return like == before


@final
class Claims:
    """Gives runs to workers.

    Attributes:
      lease: the length of a claim that is not extended, in seconds.
      engine: all runs.
      offset: how far the clock of the database is ahead of the clock of this machine.
    """

    def __init__(self, engine: Engine, lease: int) -> None:
        self.lease = lease
        self.offset: timedelta = timedelta()
        self.engine = engine
        self._looked: dict[str, float] = {}  # the last look for runs of dead workers, by queue
        self._plenty: set[str] = set()  # the queues that had a run for us at the last look

    def now(self) -> datetime:
        """Return the time by the clock of the database."""
        return datetime.now(UTC) + self.offset

    # Taking a run

    def take(
        self,
        session: Session,
        pipelines: Mapping[str, Collection[str | None]],
        max_deaths: int,
        token: str,
    ) -> Claimed | None:
        """Claim a run that is ready to continue, if there is one.

        Args:
          session: a session with the database.
          pipelines: the names of the pipelines, and the acceptable versions of each.
          max_deaths: a run whose worker has died this many times becomes failed.
          token: the name to claim it under.
        """
        wanted = {queue_name(pipeline): versions for pipeline, versions in pipelines.items()}
        names = self.engine.existing(session, wanted.keys())
        for name in random.sample(sorted(names), k=len(names)):
            queue = self.engine.queue(name)
            try:
                claimed = self._had(session, queue, token) if session.is_again else None
                claimed = claimed or self._take_from(session, queue, wanted[name], max_deaths, token)
            except errors.UndefinedTable:  # the queue was dropped
                self.engine.forget(name)
                claimed = None
            if claimed is not None:
                return claimed
        return None

    def _had(self, session: Session, queue: Queue, token: str) -> Claimed | None:
        """Return the run that an earlier try of this call has claimed."""
        mine = queue.sql("select run_id from {r} where claimed_by = %s and state = 'running'")
        for (attempt,) in session.execute(mine, (token,)).fetchall():
            return self._claimed(session, queue, attempt, token, time.monotonic())
        return None

    def _take_from(
        self, session: Session, queue: Queue, versions: Collection[str | None], max_deaths: int, token: str
    ) -> Claimed | None:
        ready = queue.sql(
            """
            select absurd.current_time(),
                exists (
                    select 1 from {r} r join {t} t on t.task_id = r.task_id
                    left join {c} own on own.task_id = t.task_id and own.checkpoint_name = 'run'
                    where r.state in ('pending', 'sleeping') and r.available_at <= absurd.current_time()
                        and t.state in ('pending', 'sleeping', 'running') and t.headers ? 'trio_steps'
                        and coalesce(coalesce(own.state, t.headers)->>'version', '') = any(%s)
                ),
                exists (
                    select 1 from {r} r where r.state = 'running' and r.claim_expires_at <= absurd.current_time()
                )
            """
        )
        known = [version or "" for version in versions]
        while True:
            began = time.monotonic()
            is_any_dead = False
            looked = self._looked.get(queue.name, float("-inf"))
            is_sure = queue.name in self._plenty and began - looked <= _LOOK
            if not is_sure:
                [(now, is_ready, is_any_dead)] = session.execute(ready, (known,)).fetchall()
                self.offset = now - datetime.now(UTC)
                if not is_any_dead and began - looked > _LOOK:
                    self._looked[queue.name] = began
                    if self._revive(session, queue, max_deaths):
                        continue
                if not is_ready and not is_any_dead:
                    return None
            claim = "select run_id, headers ? 'trio_steps' from absurd.claim_task(%s, %s, %s, 1)"
            for attempt, is_ours in session.execute(claim, (queue.name, token, self.lease)).fetchall():
                claimed = self._claimed(session, queue, attempt, token, began) if is_ours else None
                if claimed is not None and (claimed.known.version or "") in known:
                    self._plenty.add(queue.name)
                    return claimed
                later = "select absurd.schedule_run(%s, %s, absurd.current_time() + make_interval(secs => %s))"
                session.execute(later, (queue.name, attempt, random.uniform(*_GIVEN_BACK)))  # noqa: S311
            self._plenty.discard(queue.name)
            if is_any_dead or is_sure:  # Absurd itself looks for some of them when it is asked for a run
                self._revive(session, queue, max_deaths)

    def _revive(self, session: Session, queue: Queue, max_deaths: int) -> bool:
        """Make runs available again whose workers did not come back. A run whose workers have died too often fails."""
        dead = queue.records(
            """
            and t.state = 'failed' and r.state = 'failed' and r.failure_reason->>'name' = '$ClaimTimeout'
            and coalesce(own.state->>'status', '') not in ('failed', 'stopped') limit 100
            """
        )
        revived = False
        for columns in session.execute(dead).fetchall():
            row = Row.of(queue, columns)
            revived = self.engine.revive(session, row, max_deaths) or revived
        return revived

    def _claimed(self, session: Session, queue: Queue, attempt: object, token: str, began: float) -> Claimed:
        [columns] = session.execute(queue.records("and r.run_id = %s"), (attempt,)).fetchall()
        row = Row.of(queue, columns)
        # its status before it was taken, which decides how it continues
        row = attrs.evolve(row, record=attrs.evolve(row.record, status=row.known.status))
        return Claimed(
            run_id=row.record.run_id,
            queue=queue,
            task=row.task,
            attempt=attempt,
            token=token,
            known=row.known,
            first=row.known,
            row=row.known if row.has_own else None,
            stored=row.stored(() if row.is_new else checkpoints(session, queue, row.task)),
            submitted=row.submitted["parts"].keys(),
            until=began + self.lease,
        )

    # Writing it

    def write(self, session: Session, claimed: Claimed, change: RunChange) -> None:
        """Write a change, whole or not at all.

        Raises:
          RefusedError: the claim no longer stands.
          AnswerConflictError: there is already another answer.
        """
        written = f"{claimed.token} {claimed.changes}"
        known = known_after(claimed.known, change, written)
        new = attrs.evolve(
            change,
            parts={number: text for number, text in change.parts.items() if not claimed.has(number, text)},
            answers={name: text for name, text in change.answers.items() if claimed.stored.answers.get(name) != text},
        )
        states = states_of(new, claimed.submitted)
        if not claimed.tells(known):
            states[RUN] = attrs.asdict(known)
        dropped = [name for name in map(part_name, change.dropped) if name not in states]
        done = {"status": "finished", "step": known.step} if change.status == "finished" else None
        if new.answers or change.status not in ("running", "finished"):
            with session.transaction():
                is_written = self._lock(session, claimed)
                if is_written:
                    if new.answers:
                        added_answers(claimed.run_id, answers_to(session, claimed.queue, claimed.task), new.answers)
                    self._save(session, claimed, states, dropped, done)
                    self._end(session, claimed, change)
        elif states or dropped or done or not change.parts:
            is_written = self._save(session, claimed, states, dropped, done)
        else:
            is_written = True  # all of it is stored
        if not is_written and not (session.is_again and self._is_written(session, claimed, written)):
            raise self._refused(session, claimed)
        claimed.known = known
        claimed.changes += 1
        if RUN in states:
            claimed.row = known
        claimed.is_over = change.status in ("finished", "failed", "stopped", "cancelled")

    def _save(
        self,
        session: Session,
        claimed: Claimed,
        states: Mapping[str, object],
        dropped: Sequence[str],
        result: object,
    ) -> bool:
        """Write checkpoints, all in one statement. Return False if this worker has lost the run.

        Args:
          session: a session with the database.
          claimed: the run.
          states: the checkpoints, by their names.
          dropped: the names of checkpoints to delete.
          result: the result for Absurd, if the run is finished.
        """
        sql, queue, attempt = claimed.queue.sql, claimed.queue.name, claimed.attempt
        names, texts = list(states), [packed(state) for state in states.values()]
        if len(names) == 1 and not dropped and result is None:  # arrays are slower
            save = sql(
                """
                with mine as materialized (
                    select task_id from {r} where run_id = %s and claimed_by = %s and state = 'running' for share
                )
                select absurd.set_task_checkpoint_state(%s, task_id, %s, %s::jsonb, %s, null) from mine
                """
            )
            values: tuple[object, ...] = (attempt, claimed.token, queue, names[0], texts[0], attempt)
            return bool(session.execute(save, values).fetchall())
        save_all = """
            with mine as materialized (
                select task_id from {r} where run_id = %s and claimed_by = %s and state = 'running' for update
            ), gone as (
                delete from {c} c using mine where c.task_id = mine.task_id and c.checkpoint_name = any(%s)
            ), saved as materialized (
                select count(absurd.set_task_checkpoint_state(%s, mine.task_id, x.name, x.state::jsonb, %s, null))
                from mine, unnest(%s::text[], %s::text[]) as x(name, state)
            )
            """
        values = (attempt, claimed.token, dropped, queue, attempt, names, texts)
        if result is None:
            return bool(session.execute(sql(save_all + "select from mine, saved"), values).fetchall())
        end = sql(save_all + "select absurd.complete_run(%s, %s, %s::jsonb) from mine, saved")  # noqa: S608
        return bool(session.execute(end, (*values, queue, attempt, packed(result))).fetchall())

    def _lock(self, session: Session, claimed: Claimed) -> bool:
        lock = claimed.queue.sql(
            "select 1 from {r} where run_id = %s and claimed_by = %s and state = 'running' for update"
        )
        return session.execute(lock, (claimed.attempt, claimed.token)).fetchone() is not None

    def _is_written(self, session: Session, claimed: Claimed, written: str) -> bool:
        """Tell whether an earlier try of this call has made the change, which ended the run."""
        query = claimed.queue.sql(
            """
            select r.state, own.state->>'written' from {r} r
            left join {c} own on own.task_id = r.task_id and own.checkpoint_name = 'run'
            where r.run_id = %s and r.claimed_by = %s
            """
        )
        rows = session.execute(query, (claimed.attempt, claimed.token)).fetchall()
        return any(state == "completed" or by == written for state, by in rows)

    def _refused(self, session: Session, claimed: Claimed) -> RefusedError:
        query = claimed.queue.sql("select state from {t} where task_id = %s")
        states = session.execute(query, (claimed.task,)).fetchall()
        return RefusedError(is_cancelled=states == [("cancelled",)])

    def _end(self, session: Session, claimed: Claimed, change: RunChange) -> None:
        """Tell Absurd if a run has failed, or was stopped or cancelled."""
        queue = claimed.queue.name
        match change.status:
            case "cancelled":
                session.execute("select absurd.cancel_task(%s, %s)", (queue, claimed.task))
            case "failed" | "stopped":
                name, _, message = (change.error or "a hook has stopped it").partition(": ")
                reason = {"name": name, "message": message} if change.status == "failed" else {"name": "$Stopped"}
                fail = "select absurd.fail_run(%s, %s, %s::jsonb)"
                session.execute(fail, (queue, claimed.attempt, packed(reason)))
            case _:
                pass  # it continues, or is suspended when it is released; a finished run was saved with its result

    # Releasing it

    def release(self, session: Session, claimed: Claimed) -> None:
        """Let other workers have a run. A run that waits is suspended until it is answered."""
        with session.transaction():
            if not self._lock(session, claimed):
                return  # another worker has it, or an earlier try of this very call has given it back
            if claimed.known.status == "running" and claimed.row is None:  # its state will not tell that
                self._save(session, claimed, {RUN: attrs.asdict(claimed.known)}, (), None)
            if claimed.known.status != "waiting" or not self._suspended(session, claimed):
                give_back = "select absurd.schedule_run(%s, %s, absurd.current_time())"
                session.execute(give_back, (claimed.queue.name, claimed.attempt))

    def _suspended(self, session: Session, claimed: Claimed) -> bool:
        """Suspend a run that waits, unless it can already continue."""
        waiting = waiting_of(claimed.known)
        answers = answers_to(session, claimed.queue, claimed.task)
        times = [until for until in waiting.values() if until is not None]
        seconds = None if not times else ceil((min(times) - self.now()).total_seconds())
        if waiting.keys() & answers.keys() or (seconds is not None and seconds <= 0):
            return False
        number = claimed.known.suspended
        step, event = f"wake {number}", f"wake {claimed.task} {number}"
        suspend = "select should_suspend from absurd.await_event(%s, %s, %s, %s, %s, %s)"
        values = (claimed.queue.name, claimed.task, claimed.attempt, step, event, seconds)
        return session.execute(suspend, values).fetchall() == [(True,)]

    # Keeping it

    def extend(
        self,
        session: Session,
        runs: Sequence[Claimed],
    ) -> None:
        """Extend the claims of runs. Runs that this worker has lost are not changed."""
        began = time.monotonic()
        statement = """
            with mine as materialized (
                select run_id from {r} where run_id = any(%s) and claimed_by = any(%s) and state = 'running'
                order by run_id for update
            )
            select run_id, absurd.extend_claim(%s, run_id, %s) from mine
        """
        for queue in {claimed.queue for claimed in runs}:
            here = {claimed.attempt: claimed for claimed in runs if claimed.queue is queue}
            tokens = [claimed.token for claimed in here.values()]
            values = (list(here), tokens, queue.name, self.lease)
            for attempt, _ in session.execute(queue.sql(statement), values).fetchall():
                here[attempt].until = began + self.lease

    def lost(
        self,
        session: Session,
        runs: Sequence[Claimed],
    ) -> list[tuple[Claimed, bool]]:
        """Return those of `runs` that this worker has lost, and whether they were cancelled."""
        found: list[tuple[Claimed, bool]] = []
        # a worker that ends a run leaves the token there, and so does Absurd if it considered the worker dead
        statement = """
            select run_id from {r} where run_id = any(%s) and claimed_by = any(%s)
                and coalesce(failure_reason->>'name', '') <> '$ClaimTimeout'
        """
        for queue in {claimed.queue for claimed in runs}:
            here = [claimed for claimed in runs if claimed.queue is queue]
            values = ([claimed.attempt for claimed in here], [claimed.token for claimed in here])
            ours = {attempt for (attempt,) in session.execute(queue.sql(statement), values).fetchall()}
            gone = [claimed for claimed in here if claimed.attempt not in ours]
            found.extend((claimed, self._refused(session, claimed).is_cancelled) for claimed in gone)
        return found
