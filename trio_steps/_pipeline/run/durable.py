"""Durable runs: the journal of a run is kept in a store as it grows, and the run goes on from there.

What a store keeps of a run are some texts, its parts, each under a number and each the JSON of a checkpoint:

    0         the head: the name of the pipeline and its steps, with an empty journal
    1         what the run began with
    2, 3, …   an entry of the journal each, in their order; for a finished run just one, which is its result

A save adds the entries that are new and drops those that are forgotten since: what a run writes grows with what its
steps return, not with the square of their number.

Several members of a parallel step may be done at once, and their saves take turns. Each saves the journal as it is at
the newest step, whoever's it is; so no save puts an older journal in the place of a newer one, and one that comes after
that of a later step has nothing left to do. The hook that saves is called before all others: what they are told of is
saved.

What is saved is not taken back because the run fails or is cancelled. Containers that end so forget what was done in
them, lest a retry goes on from the middle; so at the end of a run only what adds to the saved journal is saved.
"""

from __future__ import annotations

import functools
import json
from contextlib import suppress
from itertools import count, islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, final

import attrs
import trio

from trio_steps._core.errors import CheckpointError, ConfigError, add_note, leaves
from trio_steps._core.observers import logger
from trio_steps._durable.protocol import RunChange
from trio_steps._pipeline.definition import Hooks
from trio_steps._values.equality import equal
from trio_steps._values.scalars import is_plain

from .checkpoint import Checkpoint, read, resumed
from .journal import Entry
from .loop import as_input, execute

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Mapping, Sequence

    from trio_steps._durable.protocol import RunClaim, RunStatus, RunStore
    from trio_steps._pipeline.definition import Program
    from trio_steps._values.codec import Codec

    from .hooks import StepCompletion

_HEAD: Final = 0
_INPUTS: Final = 1
_MOST_ERRORS: Final = 20  # of a group, in words


def durably(
    store: RunStore | None, run_id: str | None, program: Program, hooks: Hooks, *args: Any
) -> functools.partial[Coroutine[Any, Any, Any]]:
    """Return a function that starts a run, or goes on where it was, in the scope that is open; and returns its result.

    Args:
      store: where the run is kept.
      run_id: what it is called there.
      program: what to run.
      hooks: who is told.
      args: the input, if there is one; without one, a run that is there already goes on with its own.

    Raises:
      ConfigError: `store` or `run_id` makes no sense.
    """
    if store is None:
        raise ConfigError(f'run(run_id={run_id!r}): give also where the run is kept, store=SqliteStore("runs.db")')
    if not callable(getattr(store, "claim", None)):
        raise ConfigError(f'run(store={store!r}): give a store, such as store=SqliteStore("runs.db")')
    if not isinstance(run_id, str) or not is_plain(run_id) or not run_id:
        raise ConfigError(f'run(store=…, run_id={run_id!r}): give the run a name, run_id="order-42"')
    return functools.partial(_run, store, run_id, program, hooks, *args)


async def _run(store: RunStore, run_id: str, program: Program, hooks: Hooks, *args: Any) -> Any:
    given = [Entry(kind="inputs", changes=as_input(input, program)) for input in args]
    async with store.claim(run_id) as claim:
        stored = await claim.read()
        if stored is None:
            saver = _Saver(claim, program, {})
            entries = tuple(given) or (Entry(kind="inputs", changes=as_input(None, program)),)
            await saver.begin(entries)
        else:
            try:
                checkpoint = checkpoint_of(stored.parts, program.codec)
                _check_name(program.name, checkpoint.pipeline)
                if given:
                    _check_inputs(given[0], stored.parts[_INPUTS], checkpoint.entries[0], program.codec)
                if stored.status == "finished":
                    return program.result(dict(checkpoint.entries[-1].changes))
                entries = resumed(program, checkpoint, {})
            except CheckpointError as error:
                add_note(error, f"in the stored run {run_id!r}")
                raise
            numbers = sorted(stored.parts)[1:]
            saver = _Saver(claim, program, dict(zip(entries, numbers)))  # noqa: B905 - as long as each other
            await saver.begin(entries)
        hooks = Hooks(complete=(saver.save, *hooks.complete), error=hooks.error)
        try:
            values = await execute(attrs.evolve(program, done=None), hooks, entries)
            await saver.finish(values)
        except BaseException as error:
            await saver.end(error)
            raise
        return values if saver.stopped else program.result(values)


def _check_name(now: str, then: str) -> None:
    if now != then:
        raise CheckpointError(f"the stored run is of the pipeline {then!r}, not of {now!r}; use another run_id")


def _check_inputs(given: Entry, text: str, stored: Entry, codec: Codec | None) -> None:
    """Refuse inputs that are not those of the stored run, which are `stored`, written as `text`."""
    # Of some values an equal one is written another way, such as a set; others come back as another object, which
    # is equal to itself only, such as an exception. So what differs in both ways is taken to differ.
    now, then = (_changes(each) for each in (_part(given, codec), text))
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


def _part(entry: Entry, codec: Codec | None) -> str:
    try:
        return Checkpoint("", (), (entry,), 1, codec).to_json()
    except CheckpointError as error:
        # the input and the result are not of any step
        raise CheckpointError(error.problem, error.step or None, error.key) from error.__cause__


def checkpoint_of(parts: Mapping[int, str], codec: Codec | None) -> Checkpoint:
    """Return the checkpoint that `parts` are the parts of.

    Raises:
      CheckpointError: one of them is damaged, or was written with another codec.
    """
    head, *rest = read((parts[number] for number in sorted(parts)), codec)
    entries = [entry for part in rest for entry in part.entries]
    return Checkpoint(head.pipeline, head.steps, entries, len(entries), codec)


def error_text(error: BaseException) -> str:
    """Return `error` in words, with its notes, and if it is a group, with the first errors in it."""
    lines: list[str] = []
    for part in (error, *islice((leaf for leaf in leaves(error) if leaf is not error), _MOST_ERRORS)):
        lines += [f"{type(part).__qualname__}: {_text(part)}", *map(_text, getattr(part, "__notes__", ()))]
    return "\n".join(lines)


def _text(value: object) -> str:
    """Return ``str(value)``, whatever that does, as text that can be stored."""
    try:
        return str(value).encode("utf-8", "backslashreplace").decode()
    except Exception as error:  # noqa: BLE001 - what the words are about matters more
        return f"<str() raised {type(error).__qualname__}>"


@final
class _Saver:
    """Keeps what a store has of a run up with the journal of the run."""

    def __init__(self, claim: RunClaim, program: Program, numbers: dict[Entry, int]) -> None:
        """Take up a run of which the store has the entries in `numbers`, in this order, as the parts of these."""
        self._claim = claim
        self._program = program
        self._numbers = numbers
        self._next = max(numbers.values(), default=_HEAD) + 1
        self._newest: StepCompletion | None = None
        self._turn = trio.Lock()

    @property
    def stopped(self) -> bool:
        """Whether a hook has stopped the run."""
        return self._newest is not None and self._newest.stopped

    async def begin(self, entries: tuple[Entry, ...]) -> None:
        """Save that the run goes on from `entries`, with the steps that the pipeline has now."""
        program = self._program
        head = Checkpoint(program.name, program.steps, (), 0, program.codec).to_json()
        await self._update("running", entries, parts={_HEAD: head})

    async def save(self, event: StepCompletion) -> None:
        """Save the journal; this is called as soon as the step of `event` is done."""
        self._newest = event
        async with self._turn:
            entries = self._newest.checkpoint.entries
            if entries != tuple(self._numbers):
                await self._update("running", entries)

    async def finish(self, values: dict[str, object]) -> None:
        """Save that the run has come to an end, at which the context is `values`; keep the input and the result."""
        over = list(self._numbers.values())[1:]
        with trio.CancelScope(shield=True):  # what is done is done
            if self.stopped:
                await self._write("stopped")
            else:
                result = _part(Entry(kind="done", changes=values), self._program.codec)
                await self._write("finished", parts={self._next: result}, dropped=over)

    async def end(self, error: BaseException) -> None:
        """Save that the run has ended with `error`, and what was done meanwhile; if that fails, it is logged."""
        status: RunStatus = "cancelled"
        if any(isinstance(leaf, Exception) for leaf in leaves(error)):
            status = "failed"
        with trio.CancelScope(shield=True):
            try:
                await self._write(
                    status, parts=self._left(), error=None if status == "cancelled" else error_text(error)
                )
            except Exception:  # noqa: BLE001 - `error` is what the run has come to, whatever else goes wrong
                logger.exception("the end of a durable run of %r could not be saved", self._program.name)

    def _left(self) -> dict[int, str]:
        """Return parts that add to what is saved what its steps were cancelled before they could save."""
        parts: dict[int, str] = {}
        if self._newest is not None:
            added, forgotten = self._difference(self._newest.checkpoint.entries)
            if not forgotten:
                # what can't be written has been told by the save that failed
                with suppress(CheckpointError):
                    for entry, number in added.items():
                        parts[number] = _part(entry, self._program.codec)
        return parts

    def _difference(self, entries: tuple[Entry, ...]) -> tuple[dict[Entry, int], list[Entry]]:
        """Return the entries that are not saved yet, with numbers for them, and those that are saved in vain."""
        saved = tuple(self._numbers)
        added: Sequence[Entry]
        forgotten: list[Entry] = []
        if entries[: len(saved)] == saved:  # quick, for it is asked at every step
            added = entries[len(saved) :]
        else:
            there = set(entries)
            added = [entry for entry in entries if entry not in self._numbers]
            forgotten = [entry for entry in saved if entry not in there]
        return dict(zip(added, count(self._next))), forgotten

    async def _update(
        self, status: RunStatus, entries: tuple[Entry, ...], *, parts: Mapping[int, str] = MappingProxyType({})
    ) -> None:
        added, forgotten = self._difference(entries)
        texts = {number: _part(entry, self._program.codec) for entry, number in added.items()}
        await self._write(status, parts={**parts, **texts}, dropped=[self._numbers[entry] for entry in forgotten])
        for entry in forgotten:
            del self._numbers[entry]
        self._numbers.update(added)
        self._next += len(added)

    async def _write(
        self,
        status: RunStatus,
        *,
        parts: Mapping[int, str] = MappingProxyType({}),
        dropped: Collection[int] = (),
        error: str | None = None,
    ) -> None:
        step = None if self._newest is None else self._newest.name
        name = self._program.name
        change = RunChange(pipeline=name, status=status, step=step, error=error, parts=parts, dropped=dropped)
        await self._claim.write(change)
