"""What a store of durable runs is: the protocol that a driver needs, and the types that both sides use.

A store knows nothing about pipelines. For each run it keeps numbered texts and a summary, such as the status, and gives
the run to one process at a time. Only the code that writes the texts knows what they mean.

Other processes than the one that runs a run write two parts of it: the request to cancel it, and the answers to its
questions. Both can arrive at any time, and neither needs a claim.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, final

import attrs

from trio_steps._core.public import public_in

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

RunStatus: TypeAlias = Literal[
    "submitted", "running", "interrupted", "waiting", "failed", "stopped", "cancelled", "finished"
]
"""The status of a run.

``interrupted``: its process died; a store derives this status, it is never written. ``waiting``: for an answer.
``stopped``: by a hook's ``event.stop()``.
"""


@public_in("trio_steps.store")
class RunClaimedError(Exception):
    """A run can't continue here, because another process or task has it, or has taken it over.

    Attributes:
      run_id: the id of the run.
      pid: the id of the process that runs it, if it is known.
    """

    def __init__(self, run_id: str, pid: int | None = None) -> None:
        super().__init__(run_id, pid)
        self.run_id = run_id
        self.pid = pid

    def __str__(self) -> str:
        where = "" if self.pid is None else f", in the process {self.pid}"
        return f"the run {self.run_id!r} is already running{where}; wait for it, or use another run_id"


@public_in("trio_steps.store")
class RunCancelledError(Exception):
    """The run was cancelled in its store, with ``store.cancel(run_id)``.

    Attributes:
      run_id: the id of the run.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return f"the run {self.run_id!r} was cancelled from outside, by store.cancel({self.run_id!r})"


@public_in("trio_steps.store")
@final
class RunFailedError(Exception):
    """A run has failed in another process.

    Attributes:
      run_id: the id of the run.
      error: its error, in words.
    """

    def __init__(self, run_id: str, error: str) -> None:
        super().__init__(run_id, error)
        self.run_id = run_id
        self.error = error

    def __str__(self) -> str:
        return f"the run {self.run_id!r} has failed where it was run: {self.error}"


@public_in("trio_steps.store")
class StoreError(Exception):
    """A store can't be used, or can't do what it was asked to."""


@public_in("trio_steps.store")
class AnswerError(ValueError):
    """An answer is refused: no step asks for it, or for a value of its type, or the run is over."""


@public_in("trio_steps.store")
@final
class AnswerConflictError(AnswerError):
    """The run already has another answer, and answers can't be changed.

    Attributes:
      run_id: the id of the run.
      name: the full name of the step that asks.
    """

    def __init__(self, run_id: str, name: str) -> None:
        super().__init__(run_id, name)
        self.run_id = run_id
        self.name = name

    def __str__(self) -> str:
        return f"the run {self.run_id!r} already has another answer to {self.name!r}; an answer can't be changed"


@public_in("trio_steps.store")
@final
@attrs.frozen(kw_only=True)
class Question:
    """A step that waits for an answer, ``.wait_for("approval", provides="approved", of=bool)``.

    Attributes:
      name: the full name of the step; ``*`` stands for the id of an element.
      provides: the key under which the answer is stored.
      of: the names of the types that an answer may have, such as ``builtins:bool``; if empty, any type.
    """

    name: str
    provides: str
    of: tuple[str, ...] = ()


@public_in("trio_steps.store")
@final
@attrs.frozen(kw_only=True)
class RunRecord:
    """The summary of a run.

    Attributes:
      run_id: the id of the run.
      pipeline: the name of its pipeline.
      version: the ``version=`` of its pipeline, if it has one.
      status: its status.
      started: when it started, in UTC, by the wall clock.
      updated: when it was last written to, likewise.
      step: the full name of the last step that was done; None if no step was.
      error: the error that it failed with, in words.
      waiting: the full names of the steps that wait for an answer, or did when the run was stopped, with the time
        until which they wait; None if they wait without limit.
      deaths: how often a process died while running it.
    """

    run_id: str
    pipeline: str
    version: str | None = None
    status: RunStatus
    started: datetime
    updated: datetime
    step: str | None = None
    error: str | None = None
    waiting: Mapping[str, datetime | None] = attrs.field(factory=dict["str", "datetime | None"])
    deaths: int = 0


@public_in("trio_steps.store")
@final
@attrs.frozen(kw_only=True)
class StoredRun:
    """Everything that a store has about a run.

    Attributes:
      record: its summary.
      parts: the texts, by their numbers.
      questions: the steps that may ask for an answer.
      answers: the answers that were given, as text, by the full names of the steps.
    """

    record: RunRecord
    parts: Mapping[int, str]
    questions: tuple[Question, ...] = ()
    answers: Mapping[str, str] = attrs.field(factory=dict[str, str])


@public_in("trio_steps.store")
@final
@attrs.frozen(kw_only=True)
class RunChange:
    """A change of a run, which is written as a whole or not at all.

    Attributes:
      pipeline: the name of the pipeline.
      version: its version, if it has one.
      status: the status from now on.
      step: the full name of the step that was done last; None if it is the same as before.
      error: the error that the run failed with, in words.
      parts: texts to add, or to put in place of those with the same numbers.
      dropped: the numbers of texts to delete.
      waiting: the steps that wait from now on, and until when.
      questions: the steps that may ask for an answer; None if they are the same as before.
      answers: answers that are given with it, as text. An equal answer that is already there stays.
      urgent: whether the run was cancelled, so that its caller waits for it to end. Then do not wait for others: what
        can't be written at once is written when the claim has ended, or not at all.
    """

    pipeline: str
    version: str | None = None
    status: RunStatus
    step: str | None = None
    error: str | None = None
    parts: Mapping[int, str] = attrs.field(factory=dict[int, str])
    dropped: Collection[int] = ()
    waiting: Mapping[str, datetime | None] = attrs.field(factory=dict["str", "datetime | None"])
    questions: tuple[Question, ...] | None = None
    answers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    urgent: bool = False

    def applied_to(self, stored: StoredRun | None, run_id: str, now: datetime) -> StoredRun:
        """Return the run `run_id`, which was `stored` before, as it is after this change.

        This is what any store has to do with a change. A store that keeps whole runs can call it.

        Raises:
          AnswerConflictError: there is already another answer.
        """
        before = None if stored is None else stored.record
        parts = {} if stored is None else dict(stored.parts)
        for number in self.dropped:
            parts.pop(number, None)
        parts.update(self.parts)
        record = RunRecord(
            run_id=run_id,
            pipeline=self.pipeline,
            version=self.version,
            status=self.status,
            started=now if before is None else before.started,
            updated=now,
            step=before.step if self.step is None and before is not None else self.step,
            error=self.error,
            waiting=dict(self.waiting),
            deaths=0 if before is None else before.deaths,
        )
        questions = self.questions
        if questions is None:
            questions = () if stored is None else stored.questions
        answers = added_answers(run_id, {} if stored is None else stored.answers, self.answers)
        return StoredRun(record=record, parts=parts, questions=questions, answers=answers)


def added_answers(run_id: str, before: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Return all answers to the run `run_id` after `new` ones were given.

    Raises:
      AnswerConflictError: there is already another answer.
    """
    for name, text in added.items():
        if before.get(name, text) != text:
            raise AnswerConflictError(run_id, name)
    return {**before, **added}


@public_in("trio_steps.store")
class RunClaim(Protocol):
    """A run that no other process or task can have meanwhile.

    Attributes:
      run_id: the id of the run.
    """

    @property
    def run_id(self) -> str: ...

    def now(self) -> datetime:
        """Return the time by the store's clock, in UTC."""
        ...

    def check(self) -> None:
        """Return if, as far as is known, no other process can have taken the run over. Called before each step.

        Raises:
          RunClaimedError: the claim has expired, so another process may have the run.
        """
        ...

    async def read(self) -> StoredRun | None:
        """Return everything about the run; None if it has never been written."""
        ...

    async def write(self, change: RunChange, /) -> None:
        """Write `change`, whole or not at all. Once this returns, the change is permanent.

        If a cancellation comes too late to prevent the write, this returns normally.

        Raises:
          RunClaimedError: another process has taken the run over; nothing is written.
          AnswerConflictError: there is already another answer; nothing is written.
          CheckpointError: a text is too long for the store; nothing is written.
        """
        ...

    async def wait_cancelled(self) -> None:
        """Return once the run is to be cancelled. Noticing that may take a second.

        Raises:
          RunClaimedError: another process has taken the run over.
        """
        ...


@public_in("trio_steps.store")
class RunClaims(Protocol):
    """Gives each run to one process or task at a time, which is all that ``run(store=…)`` needs of a store."""

    def claim(self, run_id: str, /) -> AbstractAsyncContextManager[RunClaim]:
        """Claim a run until the context ends, or the process dies.

        Raises:
          RunClaimedError: it is already claimed; raised when the context is entered.
        """
        ...
