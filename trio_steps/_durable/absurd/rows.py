"""How a run is laid out in Absurd's tables, and how it is read.

A run is a task of the queue that is named after its pipeline. Its idempotency key is the run id, and its headers mark
it as a run of trio_steps. Its submission is in the parameters. Everything else is in checkpoints of the task:

    part 000000002     a text under that number, and the step that was saved with it: ``{"step": …, "text": …}``
    answer approval    an answer that was given
    run                the rest of the summary; not written when a step is merely done, so that a step is one row
    wake 1             Absurd's own, for an event that has woken the run

A text is a JSON string, so that PostgreSQL changes no number in it. What PostgreSQL can't hold, a NUL or a lone
surrogate, is escaped once more.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast, final

import attrs
from psycopg.sql import SQL, Identifier

from trio_steps._durable.protocol import Question, RunRecord, StoredRun

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import LiteralString

    from trio_steps._durable.protocol import RunChange, RunStatus

    from .connections import Session

RUN: Final = "run"
PART: Final = "part "
ANSWER: Final = "answer "
DIED: Final = "$ClaimTimeout"  # Absurd's reason for the failure of a run whose worker did not come back
MARK: Final = "trio_steps"  # the header that marks our tasks; its value says who submitted the task
_MOST_BYTES: Final = 57  # bytes of the name of a queue
_ESCAPED: Final = "escaped"
_LONGEST: Final = 200  # characters of a name that has to fit into an index

_RECORD: Final = """
    select t.task_id, t.last_attempt_run, t.idempotency_key, t.task_name, t.enqueue_at, t.state, t.cancelled_at,
        t.headers, t.params, r.claim_expires_at <= absurd.current_time() as is_expired, r.claimed_by, r.wake_event,
        r.completed_at, r.failed_at, r.failure_reason, own.state, last.name, last.step, last.updated,
        (select count(*) from {r} d where d.task_id = t.task_id and d.failure_reason->>'name' = '$ClaimTimeout')
    from {t} t join {r} r on r.run_id = t.last_attempt_run
    left join {c} own on own.task_id = t.task_id and own.checkpoint_name = 'run'
    left join lateral (
        select max(c.checkpoint_name) filter (where c.state->>'step' <> '' and c.checkpoint_name <> 'run') as name,
            (array_agg(c.state->>'step' order by c.checkpoint_name desc)
                filter (where c.state->>'step' <> '' and c.checkpoint_name <> 'run'))[1] as step,
            max(c.updated_at) as updated
        from {c} c where c.task_id = t.task_id
    ) last on true
    where t.headers ? 'trio_steps'
"""


@final
class Queue:
    """A queue, and statements about its tables."""

    def __init__(self, name: str) -> None:
        self.name = name
        name = name.replace("%", "%%")  # psycopg's placeholder sign
        self._tables = {letter: Identifier("absurd", f"{letter}_{name}") for letter in "trcewi"}
        self._made: dict[str, bytes] = {}

    def sql(self, text: LiteralString) -> bytes:
        """Return a statement with the names of the tables of this queue."""
        made = self._made.get(text)
        if made is None:
            made = self._made[text] = SQL(text).format(**self._tables).as_bytes(None)
        return made

    def records(self, condition: LiteralString) -> bytes:
        """Return a query for what `Row.of` reads."""
        return self.sql(_RECORD + condition)


def queue_name(pipeline: str) -> str:
    """Return the name of a pipeline's queue: the pipeline's name, cut to what PostgreSQL has room for."""
    if len(pipeline.encode()) <= _MOST_BYTES:
        return pipeline
    digest = hashlib.sha256(pipeline.encode()).hexdigest()[:8]
    return f"{pipeline.encode()[: _MOST_BYTES - 9].decode(errors='ignore')}-{digest}"


# Texts


def packed(tree: Any) -> str:
    """Return `tree` as JSON that PostgreSQL can hold."""
    text = json.dumps(tree, ensure_ascii=False)
    if _holds(text):
        return text
    return json.dumps(_escaped(tree), ensure_ascii=False)


def _holds(text: str) -> bool:
    if "\\u0000" in text or "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(tree: Any) -> Any:
    if isinstance(tree, str):
        return tree if _holds(tree) else {_ESCAPED: json.dumps(tree)}
    if isinstance(tree, dict):
        items = cast("dict[str, Any]", tree)
        return {key: _escaped(value) for key, value in items.items()}
    if isinstance(tree, list):
        return [_escaped(value) for value in cast("Iterable[Any]", tree)]
    return tree


def unpacked(tree: Any) -> Any:
    """Return the tree that was packed."""
    if isinstance(tree, dict):
        items = cast("dict[str, Any]", tree)
        if _ESCAPED in items:
            return json.loads(items[_ESCAPED])
        return {key: unpacked(value) for key, value in items.items()}
    if isinstance(tree, list):
        return [unpacked(value) for value in cast("Iterable[Any]", tree)]
    return tree


def answer_name(name: str) -> str:
    """Return the name of the checkpoint that holds the answer to the step `name`."""
    if len(name) > _LONGEST or not name.isprintable():
        name = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return ANSWER + name


def part_name(number: int) -> str:
    """Return the name of the checkpoint that holds the text of that number."""
    return f"{PART}{number:09}"


# Runs


@final
@attrs.define(kw_only=True)
class Known:
    """The contents of the checkpoint ``run``.

    Attributes:
      status: the status that was written last.
      step: the step that was done last, unless a part after number `after` names another.
      after: the number of the last part then.
      error: the error that it failed with.
      version: the version of the pipeline.
      waiting: the steps that wait, and until when.
      questions: the steps that may ask; None for those that it was submitted with.
      suspended: how often it was suspended.
      written: the id of the last change, so that a repeated change is not made twice.
    """

    status: RunStatus = "submitted"
    step: str | None = None
    after: int = -1
    error: str | None = None
    version: str | None = None
    waiting: list[list[str | None]] = attrs.field(factory=list["list[str | None]"])
    questions: list[list[str]] = attrs.field(factory=list["list[str]"])
    suspended: int = 0
    written: str = ""


@final
@attrs.frozen(kw_only=True)
class Row:
    """A run, as it is in the tables.

    Attributes:
      queue: its queue.
      task: the id of its task.
      attempt: the id of the task's last run.
      state: its state in Absurd.
      is_held: whether a worker has it that is not considered dead.
      wake_event: the event until which it is suspended.
      died: whether its last worker did not come back.
      is_new: whether it has no checkpoints.
      has_own: whether it has a checkpoint ``run``.
      known: its checkpoint ``run``.
      submitted: its submission.
      submitter: who submitted it.
      record: its summary.
    """

    queue: Queue
    task: object
    attempt: object
    state: str
    is_held: bool
    wake_event: str | None
    died: bool
    is_new: bool
    has_own: bool
    known: Known
    submitted: Mapping[str, Any]
    submitter: str
    record: RunRecord

    @classmethod
    def of(cls, queue: Queue, columns: tuple[Any, ...]) -> Row:
        """Read a row of `Queue.records`."""
        (task, attempt, run_id, pipeline, enqueued, state, cancelled_at, headers, params, is_expired, _, wake) = (
            columns[:12]
        )
        completed, failed, reason, own, last_name, last_step, saved, deaths = columns[12:]
        submitted: dict[str, Any] = unpacked(params)
        if own is None:
            status: RunStatus = "running" if deaths else "submitted"  # no checkpoint is written for that
            known = Known(status=status, version=headers.get("version"), questions=submitted["questions"])
        else:
            known = Known(**unpacked(own))
        died = state == "failed" and reason is not None and reason.get("name") == DIED
        step = known.step
        if last_name is not None and int(last_name.removeprefix(PART)) > known.after:
            step = last_step
        status = _status(state, known.status, is_expired=bool(is_expired), died=died)
        error = None if status in ("submitted", "running") else known.error
        if status == "failed" and error is None:  # failed by something else, outside the library
            error = json.dumps(reason)
        moments = [enqueued, saved, completed, failed, cancelled_at]
        record = RunRecord(
            run_id=run_id,
            pipeline=pipeline,
            version=known.version,
            status=status,
            started=enqueued.astimezone(UTC),
            updated=max(moment for moment in moments if moment is not None).astimezone(UTC),
            step=step,
            error=error,
            waiting={} if status in ("cancelled", "finished") else waiting_of(known),
            deaths=deaths + (state == "running" and bool(is_expired)),
        )
        return cls(
            queue=queue,
            task=task,
            attempt=attempt,
            state=state,
            is_held=state == "running" and not is_expired,
            wake_event=wake,
            died=died,
            is_new=saved is None,
            has_own=own is not None,
            known=known,
            submitted=submitted,
            submitter=headers[MARK],
            record=record,
        )

    def stored(self, checkpoints: Iterable[tuple[str, Any]]) -> StoredRun:
        """Return everything about it.

        Args:
          checkpoints: their names and states.
        """
        parts = {int(number): text for number, text in self.submitted["parts"].items()}
        answers: dict[str, str] = {}
        for name, state in checkpoints:
            if name.startswith(PART):
                text = unpacked(state)["text"]
                number = int(name.removeprefix(PART))
                if text is None:
                    parts.pop(number, None)
                else:
                    parts[number] = text
            elif name.startswith(ANSWER):
                key, text = unpacked(state)
                answers[key] = text
        questions = tuple(Question(name=name, provides=key, of=tuple(of)) for name, key, *of in self.known.questions)
        return StoredRun(record=self.record, parts=parts, questions=questions, answers=answers)


def _status(state: str, known: RunStatus, *, is_expired: bool, died: bool) -> RunStatus:
    """Return the status of a run, translated from Absurd's state."""
    match state:
        case "completed":
            return "finished"
        case "cancelled":
            return "cancelled"
        case "running" if is_expired:
            return "interrupted"
        case "running":
            return known if known == "waiting" else "running"
        case "failed" if died and known not in ("failed", "stopped"):
            return "interrupted"
        case "failed":
            return known if known == "stopped" else "failed"
        case _:  # it will run, now or later
            if known == "running":
                return "interrupted"
            return known if known == "waiting" else "submitted"


def waiting_of(known: Known) -> dict[str, datetime | None]:
    """Return the steps that wait for an answer, and until when."""
    return {str(name): None if until is None else datetime.fromisoformat(until) for name, until in known.waiting}


def checkpoints(session: Session, queue: Queue, task: object) -> list[tuple[str, Any]]:
    """Return the names and states of all checkpoints of a task."""
    query = queue.sql("select checkpoint_name, state from {c} where task_id = %s")
    return [(name, state) for name, state in session.execute(query, (task,)).fetchall()]


def answers_to(session: Session, queue: Queue, task: object) -> dict[str, str]:
    """Return the answers to a task."""
    query = queue.sql("select state from {c} where task_id = %s and starts_with(checkpoint_name, 'answer ')")
    return dict(unpacked(state) for (state,) in session.execute(query, (task,)).fetchall())


# Changes


def known_after(known: Known, change: RunChange, written: str = "") -> Known:
    """Return the checkpoint ``run`` after a change with the id `written`."""
    questions = known.questions
    if change.questions is not None:
        questions = [[each.name, each.provides, *each.of] for each in change.questions]
    return Known(
        status=change.status,
        step=change.step if change.step is not None else known.step,
        after=max(change.parts, default=known.after),
        error=change.error,
        version=change.version,
        waiting=[[name, None if until is None else until.isoformat()] for name, until in change.waiting.items()],
        questions=questions,
        suspended=known.suspended + (change.status == "waiting"),
        written=written,
    )


def states_of(change: RunChange, submitted: Collection[str]) -> dict[str, object]:
    """Return the checkpoints in which a change is written, except ``run``.

    Args:
      change: the change.
      submitted: the numbers of the texts that the run was submitted with; dropping one of them has to be recorded.
    """
    newest = max(change.parts, default=None)
    states: dict[str, object] = {
        part_name(number): {"step": change.step if number == newest else None, "text": text}
        for number, text in change.parts.items()
    }
    for number in change.dropped:
        if str(number) in submitted:
            states[part_name(number)] = {"step": None, "text": None}
    for name, text in change.answers.items():
        states[answer_name(name)] = [name, text]
    return states
