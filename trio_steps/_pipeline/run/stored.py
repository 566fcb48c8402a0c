"""Stores as users see them: people and programs read runs, answer them, and mark their steps as done.

A store has to implement `RunClaims` and the methods of `RunStore` that have no body. The other methods build on these
and are the same for every store: a class that derives from `RunStore` inherits them.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, cast, final

import attrs

from trio_steps._core.errors import CheckpointError, ConfigError, listed
from trio_steps._core.public import public_in
from trio_steps._durable.answers import answer_texts
from trio_steps._durable.protocol import RunChange, RunClaimedError, RunClaims
from trio_steps._pipeline.definition import ANY
from trio_steps._values.described import described

from .checkpoint import Checkpoint, read
from .head import check_output
from .journal import Entry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta

    from trio_steps._durable.protocol import RunClaim, RunRecord, RunStatus, StoredRun
    from trio_steps._values.codec import Codec

_FINISHED: Final[tuple[RunStatus, ...]] = ("finished",)


@public_in("trio_steps.store")
@final
@attrs.frozen(kw_only=True)
class SavedRun:
    """Everything about a run.

    Attributes:
      record: its summary.
      inputs: its input.
      checkpoint: where it continues; None if it is finished.
      result: the context at its end; None if it is not finished.
      attempts: how many attempts have failed, by the full names of the steps that were tried again.
    """

    record: RunRecord
    inputs: dict[str, object]
    checkpoint: Checkpoint | None
    result: dict[str, object] | None
    attempts: Mapping[str, int]


@public_in("trio_steps.store")
class RunStore(RunClaims, Protocol):
    """Where durable runs are kept.

    ``run(store=…)`` only needs `claim`. The command line and `work` need all methods that have no body here. Derive
    from this class to get the others.
    """

    # What a store does

    async def read(self, run_id: str, /) -> StoredRun | None:
        """Return everything about a run at one moment; None if there is no such run."""
        ...

    async def runs(
        self,
        *,
        pipeline: str | None = None,
        status: Collection[RunStatus] | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> tuple[RunRecord, ...]:
        """Return a summary of each run, the latest first.

        Args:
          pipeline: only runs of the pipeline of that name.
          status: only runs with one of these statuses.
          since: only runs that were updated at that time or later.
          before: only runs that were updated earlier.
          limit: the most runs to return.
          after: only runs that come after the run with this id, the last one on the previous page.

        Raises:
          KeyError: there is no run `after`.
        """
        ...

    async def delete(self, run_id: str, /) -> None:
        """Delete a run. Its id can be used again.

        Raises:
          KeyError: there is no such run.
          RunClaimedError: it is running.
        """
        ...

    async def write_answers(self, run_id: str, answers: Mapping[str, str], /) -> None:
        """Keep answers, all of them or none; `answer` checks them first.

        Args:
          run_id: the id of the run, which may be running.
          answers: texts, by the full names of the steps. An equal answer that is already there stays.

        Raises:
          KeyError: there is no such run.
          AnswerConflictError: there is another answer to one of the steps.
        """
        ...

    async def cancel(self, run_id: str, /) -> bool:
        """Cancel a run. Return whether that has an effect: it has none on a run that is over.

        A run that is running notices within a second, cleans up, and is then ``cancelled``. Any other run is
        ``cancelled`` at once.

        Raises:
          KeyError: there is no such run.
        """
        ...

    async def submit(self, run_id: str, change: RunChange, /) -> bool:
        """Write a run for a worker to `take`. Return False, and write nothing, if there is already a run of that id.

        It may have begun in another store, from which it is moved. Then `change` holds all of it.
        """
        ...

    def take(
        self, pipelines: Mapping[str, Collection[str | None]], /, *, max_deaths: int = 5
    ) -> AbstractAsyncContextManager[RunClaim | None]:
        """Claim a run that is ready to continue, like `claim`; None if no run is ready.

        A run is ready if it was submitted, if its process died, or if it waits and has been answered, or its time to
        wait is over. A run whose process has died `max_deaths` times becomes failed instead.

        Args:
          pipelines: the names of the pipelines, and the acceptable versions of each.
          max_deaths: see above.
        """
        ...

    # What builds on that

    def now(self) -> datetime:
        """Return the time by the clock of the store, in UTC."""
        return datetime.now(UTC)

    async def load(self, run_id: str, /, *, codec: Codec | None = None) -> SavedRun:
        """Return everything about a run, which may be running.

        Args:
          run_id: the id of the run.
          codec: the codec of the pipeline, if it has one.

        Raises:
          KeyError: there is no such run.
          CheckpointError: its values can't be read.
        """
        stored = await there(self, run_id)
        checkpoint = checkpoint_of(stored.parts, codec)
        is_finished = stored.record.status == "finished"
        return SavedRun(
            record=stored.record,
            inputs=dict(checkpoint.entries[0].changes),
            checkpoint=None if is_finished else checkpoint,
            result=dict(checkpoint.entries[-1].changes) if is_finished else None,
            attempts=attempts_of(stored.parts),
        )

    async def answer(self, run_id: str, answers: Mapping[str, object] | None = None, /, **named: object) -> None:
        """Give a run an answer that it waits for, or will wait for: ``await store.answer("order-42", approved=True)``.

        The run continues with the answer when ``run`` is called again, or when `work` takes it.

        Args:
          run_id: the id of the run.
          answers: answers by the full name of the step that waits, ``{"items/3/approval": True}``.
          named: answers by the key that the step provides, if only one step waits for that key.

        Raises:
          KeyError: there is no such run.
          AnswerError: no step waits for one of the answers, or for a value of its type. Then no answer is kept.
          AnswerConflictError: there is already another answer.
        """
        stored = await there(self, run_id)
        await self.write_answers(run_id, answer_texts(stored, {**(answers or {}), **named}))

    async def mark_done(
        self,
        run_id: str,
        step: str,
        output: Mapping[str, object] | None = None,
        /,
        *,
        taken: Mapping[str, str] | None = None,
        codec: Codec | None = None,
    ) -> None:
        """Mark a step that was done by hand as done. The run continues without running it.

        Args:
          run_id: the id of the run, which must not be running.
          step: the full name of the step.
          output: the keys that the step adds to the context.
          taken: the case to take for each branch around the step that has not yet taken one: ``{"route": "premium"}``.
          codec: the codec of the pipeline, if it has one.

        Raises:
          KeyError: there is no such run, or its pipeline has no such step.
          RunClaimedError: it is running.
          ConfigError: the run is over, the step is done or in a case that was not taken, or the step provides other
              keys or types.
          CheckpointError: the output can't be kept.
        """
        async with self.claim(run_id) as claim:
            stored = await claim.read()
            if stored is None:
                raise _no_run(run_id)
            await claim.write(marked(stored, step, output, taken or {}, codec))

    async def prune(
        self,
        *,
        older_than: timedelta | None = None,
        keep: int | None = None,
        status: Collection[RunStatus] = _FINISHED,
    ) -> tuple[str, ...]:
        """Delete runs that are no longer needed, and return their ids. Runs that are running are left alone.

        Args:
          older_than: delete runs that were last updated longer ago than this.
          keep: delete all but this many, and keep those that were updated last.
          status: only count and delete runs with one of these statuses.

        Raises:
          ConfigError: neither `older_than` nor `keep` is given, or an argument is not valid.
        """
        check_prune(older_than, keep, status)
        now = self.now()
        runs = sorted(await self.runs(status=status), key=lambda record: record.updated, reverse=True)
        pruned: list[str] = []
        for number, record in enumerate(runs):
            if (keep is not None and number >= keep) or (older_than is not None and now - record.updated > older_than):
                try:
                    await self.delete(record.run_id)
                except (RunClaimedError, KeyError):
                    continue
                pruned.append(record.run_id)
        return tuple(pruned)


def check_prune(older_than: timedelta | None, keep: int | None, status: Collection[RunStatus]) -> None:
    """Refuse arguments that are not valid for `RunStore.prune`."""
    if older_than is None and keep is None:
        raise ConfigError("prune(): say what to delete, prune(older_than=timedelta(days=30)) or prune(keep=100)")
    if keep is not None and keep < 0:
        raise ConfigError(f"prune(keep={keep}): keep 0 or more")
    if isinstance(status, str):
        raise ConfigError(f"prune(status={status!r}): give a tuple, status=({status!r},)")


async def there(store: RunStore, run_id: str) -> StoredRun:
    """Return a run from a store, which must have it."""
    stored = await store.read(run_id)
    if stored is None:
        raise _no_run(run_id)
    return stored


def _no_run(run_id: str) -> KeyError:
    return KeyError(f"there is no run {run_id!r} in the store")


# The texts


def checkpoint_of(parts: Mapping[int, str], codec: Codec | None) -> Checkpoint:
    """Return the checkpoint that consists of `parts`.

    Raises:
      CheckpointError: one of them is damaged, or was written with another codec.
    """
    head, *rest = read((parts[number] for number in sorted(parts)), codec)
    entries = [entry for part in rest for entry in part.entries]
    return Checkpoint(head.pipeline, head.steps, entries, len(entries), codec)


def attempts_of(parts: Mapping[int, str]) -> dict[str, int]:
    """Return how many attempts have failed, by the full names of the steps, whatever codec wrote `parts`."""
    entries: list[dict[str, Any]] = [entry for text in parts.values() for entry in json.loads(text)["journal"]]
    return {
        entry["step"] + (f"/{entry['case']}" if "case" in entry else ""): entry["failed"]
        for entry in entries
        if entry["kind"] == "tried"
    }


def part_of(entry: Entry, codec: Codec | None) -> str:
    """Return the text that a store keeps for an entry of the journal."""
    try:
        return Checkpoint("", (), (entry,), 1, codec).to_json()
    except CheckpointError as error:
        # the input and the result belong to no step
        raise CheckpointError(error.problem, error.step or None, error.key) from error.__cause__


def marked(
    stored: StoredRun, step: str, given: Mapping[str, object] | None, taken: Mapping[str, str], codec: Codec | None
) -> RunChange:
    """Return the change that marks `step` as done, with the output `given`; see `RunStore.mark_done`."""
    output = dict(given or {})
    if not all(isinstance(key, str) for key in output):
        raise ConfigError(f"mark_done(…, {described(given)}): give a mapping of keys and their values")
    record = stored.record
    run_id = record.run_id
    if record.status == "finished":
        raise ConfigError(f"mark_done({run_id!r}, {step!r}): the run is finished")
    checkpoint = checkpoint_of(stored.parts, codec)
    if step not in checkpoint.steps:
        raise KeyError(f"the pipeline {checkpoint.pipeline!r} has no step {step!r}; it has {listed(checkpoint.steps)}")
    numbers = zip(checkpoint.entries, sorted(stored.parts)[1:], strict=True)
    lost = [number for entry, number in numbers if entry.kind == "lost" and entry.step == step and entry.case is None]
    there = [entry for entry in checkpoint.entries if entry.step == step and entry.case is None]
    if any(entry.kind not in ("begun", "lost", "tried") for entry in there):
        raise ConfigError(f"mark_done({run_id!r}, {step!r}): the step is done already")
    for question in stored.questions:
        if question.name == step:
            answer_texts(stored, {step: output.get(question.provides)})  # which checks it
    check_output(stored.parts, step, output)
    added: list[Entry] = []
    branches = {entry.step: cast("str", entry.case) for entry in checkpoint.entries if entry.kind == "taken"}
    for branch, case in taken.items():
        if f"{branch}/{case}" not in {name.rpartition("/")[0] for name in checkpoint.steps}:
            raise ConfigError(f"mark_done(…, taken={{{branch!r}: {case!r}}}): there is no such branch or case")
        if branches.setdefault(branch, case) != case:
            raise ConfigError(f"mark_done(…, taken={{{branch!r}: {case!r}}}): the run took {branches[branch]!r}")
        added.append(Entry(kind="taken", step=branch, case=case))
    _check_place(checkpoint.steps, step, branches)
    added.append(Entry(kind="done", step=step, changes=output))
    status = record.status
    if status == "interrupted":
        status = "running"
    elif status == "waiting" and step in record.waiting:
        status = "submitted"  # nobody will answer that question, so a worker may take the run at once
    number = max(stored.parts) + 1
    parts = {number + index: part_of(entry, codec) for index, entry in enumerate(added)}
    return RunChange(
        pipeline=record.pipeline,
        version=record.version,
        status=status,
        error=record.error,
        parts=parts,
        dropped=lost,
        waiting={name: until for name, until in record.waiting.items() if name != step},
    )


def _check_place(steps: tuple[str, ...], step: str, branches: Mapping[str, str]) -> None:
    """Refuse a step of an element, and a step in a branch that took another case, or no case yet."""
    ids = step.split("/")
    if ANY in ids:
        raise ConfigError(f"mark_done(…, {step!r}): a step that is run for each element can't be marked")
    # a case is not listed among the steps: its steps are two levels below the branch
    for level in range(1, len(ids) - 1):
        branch, case = "/".join(ids[:level]), ids[level]
        is_case = f"{branch}/{case}" not in steps and branch in steps
        if is_case and branches.get(branch) != case:
            right = f"taken={{{branch!r}: {case!r}}}"
            raise ConfigError(f"mark_done(…, {step!r}): the branch {branch!r} has not taken that case; give {right}")
