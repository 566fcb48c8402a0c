"""Durable runs: a store keeps the journal of a run as it grows, and the run can continue from there.

Problem: whenever the process dies, the run has to continue as if it had not, and no finished step may run again. Others
    may answer the questions of the run, or cancel it, whether it is running or not.

What is done. A run is claimed, read, and executed by the same loop as any other. The loop tells a `Saver` of everything
that must not be decided twice, and the saver saves it. If questions are open when nothing else is left to do, the run
is saved as waiting, and returns. If an answer has come in the meantime, it continues at once.

A separate task watches for a cancellation from outside, and cancels the scope of the run. It is a system task, so there
is no nursery between the run and its caller, and errors of the run are raised unchanged.
"""

from __future__ import annotations

import functools
import json
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, final

import attrs
import trio

from trio_steps._core.errors import CheckpointError, ConfigError, add_note, cut, leaves, listed, notes_of, short_repr
from trio_steps._core.events.observers import logger
from trio_steps._core.scope import DurableRun, current, current_scope
from trio_steps._durable.answers import answer_of, answer_texts
from trio_steps._durable.moving import check_is_here
from trio_steps._durable.protocol import (
    RunCancelledError,
    RunChange,
    RunClaimedError,
    RunRecord,
    StoredRun,
    added_answers,
)
from trio_steps._pipeline.definition import questions_of
from trio_steps._values.equality import equal
from trio_steps._values.scalars import is_plain

from .head import HEAD, INPUTS, head_of
from .inputs import inputs_entry
from .keeping import Answers
from .loop import execute
from .queue import QueueStore, run_elsewhere, texts_for
from .renames import Names
from .resume import resumed
from .saver import Saver
from .texts import checkpoint_of, part_of
from .typed import codec_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator, Mapping

    from trio_steps._durable.protocol import RunClaim, RunClaims, RunStatus
    from trio_steps._pipeline.definition import Hooks, Program

    from .checkpoint import Checkpoint
    from .journal import Entry
    from .stored import RunStore
    from .typed import AnyCodec

_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MOST_ERRORS: Final = 20  # of a group, in words
_MOST_TEXT: Final = 1_000  # characters of each of them


def kept(
    store: RunClaims | None,
    run_id: str | None,
    answers: Mapping[str, object] | None,
    program: Program,
    hooks: Hooks,
    *args: Any,
) -> functools.partial[Coroutine[Any, Any, Any]]:
    """Return a function that starts or continues a run in the scope that is open, and returns its result.

    Args:
      store: where the run is kept, or None.
      run_id: the id of the run there.
      answers: answers to its questions, by the full names of the steps or the keys that they provide.
      program: what to run.
      hooks: the hooks to call.
      args: the input, if there is one. Without one, an existing run continues with its own.

    Raises:
      ConfigError: `store` or `run_id` is not valid.
      AnswerError: nothing in the pipeline asks for an answer, or for a value of its type.
    """
    if store is None and run_id is None:
        texts = answer_texts(_nothing_stored("", program), answers or {})
        given = {name: answer_of(text) for name, text in texts.items()}
        return functools.partial(execute, program, hooks, None, *args, keeper=Answers(given))
    if store is None:
        raise ConfigError(
            f'run(run_id={short_repr(run_id)}): give also where the run is kept, store=SqliteStore("runs.db")'
        )
    if not callable(getattr(store, "claim", None)):
        raise ConfigError(f'run(store={short_repr(store)}): give a store, such as store=SqliteStore("runs.db")')
    if isinstance(store, QueueStore):
        submitted = functools.partial(
            _submit_if_new, store, checked_run_id(run_id, "run"), answers or {}, program, *args
        )
        return functools.partial(run_elsewhere, store, checked_run_id(run_id, "run"), answers or {}, program, submitted)
    return functools.partial(_claim_and_run, store, checked_run_id(run_id, "run"), answers or {}, program, hooks, *args)


def checked_run_id(run_id: object, call: str) -> str:
    """Return `run_id` if it is valid."""
    if not isinstance(run_id, str) or not is_plain(run_id) or not run_id.strip() or "\0" in run_id:
        raise ConfigError(f'{call}(store=…, run_id={short_repr(run_id)}): give the run a name, run_id="order-42"')
    return run_id


async def submit(store: RunStore, run_id: str, program: Program, *args: Any) -> bool:
    """Leave a run to the workers of `store`. Return False if it already exists.

    Raises:
      CheckpointError: it exists with other inputs, or as a run of another pipeline; or a value can't be stored.
    """
    checked_run_id(run_id, "submit")
    entry = inputs_entry(program, args[0] if args else None)
    head = head_of(program)
    change = RunChange(
        pipeline=program.name,
        version=program.version,
        status="submitted",
        parts={HEAD: head, INPUTS: part_of(entry, codec_of(program))},
        questions=tuple(questions_of(program.nodes)),
    )
    while not await store.submit(run_id, change):
        stored = await store.read(run_id)
        if stored is not None:  # otherwise, it was deleted meanwhile
            checkpoint = checkpoint_of(stored.parts, codec_of(program))
            _check_name(program, checkpoint.pipeline)
            _check_inputs(entry, stored.parts[INPUTS], checkpoint.entries[0], codec_of(program))
            return False
    return True


async def _submit_if_new(
    store: RunStore, run_id: str, answers: Mapping[str, object], program: Program, *args: Any
) -> None:
    """Submit a run unless it exists. It must be able to start, or to continue, with what is given."""
    stored = await store.read(run_id)
    texts_for(program, stored or _nothing_stored(run_id, program), answers)
    if stored is None or args:
        await submit(store, run_id, program, *args)
    else:
        _check_name(program, stored.record.pipeline)


async def _claim_and_run(
    store: RunClaims, run_id: str, answers: Mapping[str, object], program: Program, hooks: Hooks, *args: Any
) -> Any:
    given = [inputs_entry(program, input) for input in args]
    head_of(program)  # this also checks whether the declared outputs can be stored
    async with store.claim(run_id) as claim:
        return await run_claimed(claim, answers, program, hooks, given[0] if given else None)


async def run_claimed(
    claim: RunClaim, answers: Mapping[str, object], program: Program, hooks: Hooks, given: Entry | None
) -> Any:
    """Start or continue a run that is claimed, and return its result, or the context if it is not done.

    Args:
      claim: the proof that no other process has it.
      answers: answers that are given with it.
      program: its pipeline.
      hooks: the hooks to call.
      given: its input; None for the stored one.
    """
    run_id = claim.run_id
    questions = tuple(questions_of(program.nodes))
    names = Names(program)
    stored = await claim.read()
    if stored is not None:
        check_is_here(stored.record, "run")
        stored = names.stored(stored, questions)
    texts = answer_texts(stored or _nothing_stored(run_id, program), answers)
    texts = added_answers(run_id, {} if stored is None else stored.answers, texts)
    renamed: dict[int, str] = {}
    if stored is None:
        entries: tuple[Entry, ...] = (given or inputs_entry(program, None),)
        saver = Saver(claim, program, {})
    else:
        try:
            checkpoint = checkpoint_of(stored.parts, codec_of(program))
            _check_name(program, checkpoint.pipeline)
            _check_version(program, stored.record.version)
            if given is not None:
                _check_inputs(given, stored.parts[INPUTS], checkpoint.entries[0], codec_of(program))
            if stored.record.status == "finished":
                return program.result(dict(checkpoint.entries[-1].changes))
            _check_lost(run_id, checkpoint)
            entries = resumed(program, checkpoint, {})
        except CheckpointError as error:
            add_note(error, f"in the stored run {run_id!r}")
            raise
        numbers = sorted(stored.parts)[1:]
        for number, entry, before in zip(numbers, entries, checkpoint.entries, strict=True):
            if entry.step != before.step or entry.case != before.case or entry.sources != before.sources:
                renamed[number] = part_of(entry, codec_of(program))
        saver = Saver(claim, program, dict(zip(entries, numbers, strict=True)), stored.record.waiting)
        if stored.record.status == "failed":  # its steps get all their attempts again
            entries = tuple(entry for entry in entries if entry.kind != "tried")
    saver.answers = texts
    scope = current_scope()
    scope.durable_run = DurableRun((*program.was, program.name)[0], run_id, names.oldest)
    await saver.begin(entries, questions, renamed)
    program_inside = attrs.evolve(program, done=None)
    watch = _Watch(claim)
    try:
        with trio.CancelScope() as cancel_scope, watch.over(cancel_scope):
            while True:
                current.set(scope)  # the steps before the answer have left theirs
                values = await execute(program_inside, hooks, entries, keeper=saver)
                if saver.stopped:
                    await saver.pause("stopped")
                    return values
                if not saver.waits:
                    await saver.finish(values)
                    return program.result(values)
                await saver.pause("waiting")
                if not await saver.answered():
                    return values
                entries = saver.entries()
    except BaseException as error:
        status: RunStatus = "cancelled"
        if any(isinstance(leaf, (Exception, SystemExit)) for leaf in leaves(error)):  # no step may end the process
            status = "failed"
        await saver.end(status, None if status == "cancelled" else error_text(error))
        raise
    await saver.end("cancelled", None)
    raise watch.reason


@final
class _Watch:
    """Cancels a run that was cancelled from outside, or taken over by another process.

    Attributes:
      reason: the error to raise then.
    """

    def __init__(self, claim: RunClaim) -> None:
        self._claim = claim
        self.reason: Exception = RunCancelledError(claim.run_id)

    @contextmanager
    def over(self, scope: trio.CancelScope) -> Generator[None]:
        """Cancel `scope` when that happens."""
        watching = trio.CancelScope()

        async def watch() -> None:
            with watching:
                try:
                    await self._claim.wait_cancelled()
                except RunClaimedError as error:
                    self.reason = error
                except Exception:  # noqa: BLE001 - the next save will tell
                    logger.exception("can't see whether the run %r is to be cancelled", self._claim.run_id)
                    return
                scope.cancel()

        trio.lowlevel.spawn_system_task(watch, name=f"watch over the run {self._claim.run_id!r}")
        try:
            yield
        finally:
            watching.cancel()


def _nothing_stored(run_id: str, program: Program) -> StoredRun:
    """Return the questions of the pipeline, against which answers are checked before anything is stored."""
    record = RunRecord(run_id=run_id, pipeline=program.name, status="submitted", started=_LONG_AGO, updated=_LONG_AGO)
    return StoredRun(record=record, parts={}, questions=tuple(questions_of(program.nodes)))


def _check_name(program: Program, then: str) -> None:
    if then not in (program.name, *program.was):
        raise CheckpointError(
            f"the stored run is of the pipeline {then!r}, not of {program.name!r}; use another run_id"
        )


def _check_version(program: Program, then: str | None) -> None:
    if then not in program.goes_on_with:
        known = listed(str(version) for version in program.goes_on_with)
        raise CheckpointError(
            f"the stored run is of version {then!r} of the pipeline {program.name!r}, which can continue "
            f"those of {known}; "
            f"if it still fits, say so: Pipeline({program.name!r}, version=…, versions={{{then!r}}})"
        )


def _check_lost(run_id: str, checkpoint: Checkpoint) -> None:
    """Refuse to repeat a step that has acted if its output could not be stored."""
    for entry in checkpoint.entries:
        if entry.kind == "lost":
            problem = entry.error.problem if isinstance(entry.error, CheckpointError) else str(entry.error)
            key = entry.error.key if isinstance(entry.error, CheckpointError) else None
            raise CheckpointError(
                f"the step was done, but its output can't be stored: {problem}; it is not run again; give an "
                f"output that can be stored, store.mark_done({run_id!r}, {entry.name!r}, {{…}})",
                entry.name,
                key,
            )


def _check_inputs(given: Entry, text: str, stored: Entry, codec: AnyCodec | None) -> None:
    """Refuse inputs other than those of the stored run, which are `stored`, written as `text`."""
    # Some values are equal although they are written differently, such as sets. Others come back as another object that
    # equals only itself, such as an exception. So inputs differ if they differ in both ways.
    now, then = (_changes(each) for each in (part_of(given, codec), text))
    for key in (*now, *(key for key in then if key not in now)):
        if now.get(key) != then.get(key) and not (
            key in given.changes and key in stored.changes and equal(given.changes[key], stored.changes[key])
        ):
            raise CheckpointError(
                "the run was started with other inputs: give the same ones, or none; or use another run_id", key=key
            )


def _changes(part: str) -> dict[str, str]:
    changes: dict[str, object] = json.loads(part)["journal"][0]["changes"]
    return {key: json.dumps(value, sort_keys=True) for key, value in changes.items()}


def error_text(error: BaseException) -> str:
    """Return `error` in words, with its notes, and if it is a group, with the first errors in it."""
    lines: list[str] = []
    for part in (error, *islice((leaf for leaf in leaves(error) if leaf is not error), _MOST_ERRORS)):
        lines += [f"{type(part).__qualname__}: {_text(part)}", *map(_text, notes_of(part) or ())]
    return "\n".join(lines)


def _text(value: object) -> str:
    """Return the beginning of ``str(value)`` as text that can be stored, even if `str` fails."""
    try:
        return cut(str(value), _MOST_TEXT).encode("utf-8", "backslashreplace").decode()
    except Exception as error:  # noqa: BLE001 - what the words are about matters more
        return f"<str() raised {type(error).__qualname__}>"
