"""Stores as users see them: people and programs read runs, answer them, and mark their steps as done.

A store has to implement `RunClaims` and the methods of `RunStore` that have no body. The other methods build on these
and are the same for every store: a class that derives from `RunStore` inherits them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol, final

import attrs

from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._core.public import public_in
from trio_steps._durable.answers import answer_texts
from trio_steps._durable.filter import check_status, is_count
from trio_steps._durable.moving import has_left
from trio_steps._durable.protocol import AnswerError, RunClaimedError, RunClaims

from .marks import marked
from .texts import attempts_of, checkpoint_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from contextlib import AbstractAsyncContextManager

    from trio_steps._durable.protocol import RunChange, RunClaim, RunRecord, RunStatus, StoredRun
    from trio_steps._values.codec import Codec, TypedCodec

    from .checkpoint import Checkpoint

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

    The `repr` of a store says where its runs are. While a run is moved to it, the old store keeps that text.
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
          ConfigError: an argument is not valid, such as a time without a time zone.
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

    async def load(self, run_id: str, /, *, codec: Codec | TypedCodec | None = None) -> SavedRun:
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
          AnswerError: no step waits for one of the answers, or for a value of its type, and no answer is kept; or the
            run was moved to another store.
          AnswerConflictError: there is already another answer.
        """
        stored = await there(self, run_id)
        await self.write_answers(run_id, answer_texts(stored, {**(answers or {}), **named}))
        record = (await there(self, run_id)).record
        if has_left(record):  # it is about to be deleted here
            raise AnswerError(f"the run {run_id!r} can't be answered here any more, {record.error}")

    async def mark_done(
        self,
        run_id: str,
        step: str,
        output: Mapping[str, object] | None = None,
        /,
        *,
        taken: Mapping[str, str] | None = None,
        codec: Codec | TypedCodec | None = None,
    ) -> None:
        """Mark a step that was done by hand as done. The run continues without running it.

        Args:
          run_id: the id of the run, which must not be running.
          step: the full name of the step, with the ids of elements and numbers of rounds: ``"items/3/charge"``.
          output: the keys that the step adds to the context; of an element of a function, the key of the results.
          taken: the case to take for each branch around the step that has not yet taken one: ``{"route": "premium"}``.
          codec: the codec of the pipeline, if it has one.

        Raises:
          KeyError: there is no such run, or its pipeline has no such step.
          RunClaimedError: it is running.
          StoreError: it is being moved to another store.
          ConfigError: the run is over; the step is done, or is in a case that was not taken, in a race, or in a round
              that is not the next; or it provides other keys or types.
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
    if keep is not None and not is_count(keep):
        raise ConfigError(f"prune(keep={short_repr(keep)}): keep 0 or more")
    if older_than is not None and (not isinstance(older_than, timedelta) or older_than < timedelta(0)):
        raise ConfigError(f"prune(older_than={short_repr(older_than)}): give a duration, older_than=timedelta(days=30)")
    check_status("prune", status)


async def there(store: RunStore, run_id: str) -> StoredRun:
    """Return a run from a store, which must have it."""
    try:
        stored = await store.read(run_id)
    except UnicodeEncodeError:  # no run can have such an id
        stored = None
    if stored is None:
        raise _no_run(run_id)
    return stored


def _no_run(run_id: str) -> KeyError:
    return KeyError(f"there is no run {run_id!r} in the store")
