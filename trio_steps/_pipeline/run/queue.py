"""Stores whose runs only workers run: no run can be claimed by its id.

With such a store, ``run`` submits the run, and waits until a worker has done it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Protocol, final, runtime_checkable

import attrs
import trio

from trio_steps._core.errors import ConfigError
from trio_steps._core.events.observers import logger
from trio_steps._core.public import public_in
from trio_steps._durable.answers import answer_texts
from trio_steps._durable.protocol import RunCancelledError, RunFailedError, StoreError
from trio_steps._pipeline.definition import Hooks, questions_of

from .keeping import Answers
from .loop import execute
from .marks import marked
from .renames import Names
from .resume import resumed
from .stored import RunStore, there
from .texts import checkpoint_of
from .typed import codec_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from trio_steps._durable.protocol import RunChange, RunClaim, RunRecord, StoredRun
    from trio_steps._pipeline.definition import Program
    from trio_steps._values.codec import Codec, TypedCodec

    from .keeping import Course

_LOOK: Final = 0.25  # seconds between two looks at the state of a run
_PATIENCE: Final = 5.0  # seconds without a worker, after which that is logged


@public_in("trio_steps.store")
@runtime_checkable
class QueueStore(RunStore, Protocol):
    """A store that gives a run to whichever worker is free, such as `trio_steps.absurd.AbsurdStore`.

    ``run(store=…)`` submits the run and waits for a worker. So observers and hooks can't be given there.
    """

    def claim(self, run_id: str, /) -> AbstractAsyncContextManager[RunClaim]:
        """Raise an error: runs can't be claimed by id.

        Raises:
          StoreError: always.
        """
        raise StoreError(
            f"{self!r} gives a run to whichever worker is free, so the run {run_id!r} can't be claimed by its id; "
            "submit it, and let trio_steps.store.work() run it"
        )

    async def look(self, run_id: str, /) -> RunRecord:
        """Return the summary of a run, cheaply.

        Raises:
          KeyError: there is no such run.
        """
        ...

    async def resume(self, run_id: str, /) -> None:
        """Let a worker take a run that failed or was stopped; leave any other run unchanged.

        Raises:
          KeyError: there is no such run.
        """
        ...

    async def amend(self, before: RunRecord, change: RunChange, /) -> bool:
        """Write a change of a run that is not running. Return False, and write nothing, if it is no longer as `before`.

        Raises:
          KeyError: there is no such run.
          RunClaimedError: it is running.
        """
        ...

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
        """Mark a step that was done by hand as done; see `RunStore.mark_done`."""
        is_written = False
        while not is_written:  # an answer may have arrived meanwhile
            stored = await there(self, run_id)
            change = marked(stored, step, output, taken or {}, codec)
            is_written = await self.amend(stored.record, change)


def check_elsewhere(store: object, **given: object) -> None:
    """Refuse options that a run in another process can't have."""
    names = [name for name, value in given.items() if value]
    if names and isinstance(store, QueueStore):
        raise ConfigError(
            f"run(store={store!r}, {names[0]}=…): a worker runs this run, so give that to the worker: "
            f"work(store, [pipeline], observers=…), or Pipeline(…, {names[0]}=…)"
        )


def texts_for(program: Program, stored: StoredRun, answers: Mapping[str, object]) -> dict[str, str]:
    """Return `answers` as text, by the names that the steps of `program` have in a run that no worker may have updated.

    Raises:
      AnswerError: no step asks for one, or for a value of its type.
    """
    names = Names(program)
    texts = answer_texts(names.stored(stored, tuple(questions_of(program.nodes))), answers)
    return {names.then(name, stored): text for name, text in texts.items()}


async def run_elsewhere(
    store: QueueStore,
    run_id: str,
    answers: Mapping[str, object],
    program: Program,
    submitted: Callable[[], Awaitable[object]],
) -> Any:
    """Let a worker run a run, and return its result; if it waits for an answer or was stopped, the context so far.

    Args:
      store: where it is kept.
      run_id: its id there.
      answers: answers that are given with it.
      program: its pipeline.
      submitted: submits it, unless it exists.
    """
    await submitted()
    if answers:
        await store.write_answers(run_id, texts_for(program, await there(store, run_id), answers))
    record = await store.look(run_id)
    if record.status in ("failed", "stopped"):
        await store.resume(run_id)
    stored = await _at_rest(store, run_id)
    record = stored.record
    if record.status == "cancelled":
        raise RunCancelledError(run_id)
    if record.status == "failed":
        raise RunFailedError(run_id, record.error or "")
    checkpoint = checkpoint_of(stored.parts, codec_of(program))
    if record.status == "finished":
        return program.result(dict(checkpoint.entries[-1].changes))
    return await execute(attrs.evolve(program, done=None), Hooks(), resumed(program, checkpoint, {}), keeper=_Still({}))


async def _at_rest(store: QueueStore, run_id: str) -> StoredRun:
    """Return a run once workers can do nothing more for it."""
    patience = trio.current_time() + _PATIENCE
    while True:
        record = await store.look(run_id)
        if record.status in ("finished", "failed", "stopped", "cancelled", "waiting"):
            stored = await there(store, run_id)
            if stored.record.status == record.status and not (record.status == "waiting" and _goes_on(store, stored)):
                return stored
        elif record.status == "submitted" and trio.current_time() >= patience:
            patience = math.inf
            logger.warning(
                "the run %r waits for a worker, and none has taken it for %g s: does one work for the pipeline %r?",
                run_id,
                _PATIENCE,
                record.pipeline,
            )
        await trio.sleep(_LOOK)


def _goes_on(store: QueueStore, stored: StoredRun) -> bool:
    """Tell whether a waiting run is ready to continue."""
    waiting = stored.record.waiting
    now = store.now()
    return any(name in stored.answers or (until is not None and until <= now) for name, until in waiting.items())


@final
class _Still(Answers):
    """The keeper of a run that must not continue: what is done stays done, and nothing begins."""

    def follow(self, course: Course) -> None:
        """Stop it."""
        course.stopped = True
