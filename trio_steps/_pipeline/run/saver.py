"""Keeps the stored parts of a run up to date with its journal.

A store keeps a run as texts, its parts. Each has a number, and each is the JSON of a checkpoint:

    0         the head: the name of the pipeline and its steps, with an empty journal
    1         the input of the run
    2, 3, …   one entry of the journal each, in order; for a finished run just one, which is its result

A save adds entries that are new and drops those that have been forgotten since. So what a run writes grows with what
its steps return, not with the square of their number.

To find what is new in a long journal takes no longer than in a short one: the journal only grows, and is another list
once something in it is forgotten.

Several members of a parallel step may be done at once, and their saves take turns. Each saves the journal as it is when
its turn comes. So no save replaces a newer journal with an older one, and if the save of a later step comes first, the
earlier one has nothing left to do.

A failure or cancellation of the run does not undo what is saved. A container that ends like that forgets what was done
in it, so that a retry does not continue from the middle. So at the end of a run, only additions to the saved journal
are saved.

A value that can't be stored is noticed after its step has acted. Running that step again would act again. So the entry
says that its output is lost, and the run stays there until someone marks the step as done.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, final

import attrs
import trio

from trio_steps._core.errors import CheckpointError, StepTimeoutError
from trio_steps._core.events.observers import logger
from trio_steps._durable.answers import answer_of
from trio_steps._durable.protocol import RunChange, RunClaimedError

from .head import HEAD, head_of
from .journal import Entry
from .keeping import Answer
from .texts import part_of
from .typed import Bound, codec_of, sources_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from trio_steps._durable.protocol import Question, RunClaim, RunStatus
    from trio_steps._pipeline.definition import Program

    from .keeping import Course


@final
class Saver:
    """Keeps one run; a `Keeper`.

    Attributes:
      answers: the answers, as text, by the full names of the steps that ask.
    """

    keeps: bool = True

    def __init__(
        self,
        claim: RunClaim,
        program: Program,
        numbers: Mapping[Entry, int],
        waiting: Mapping[str, datetime | None] = MappingProxyType({}),
    ) -> None:
        """Take up a run.

        Args:
          claim: the proof that no other process has it.
          program: its pipeline.
          numbers: the entries that the store has, in order, and the numbers of their parts.
          waiting: the questions that were open, and their deadlines.
        """
        self.answers: Mapping[str, str] = {}
        self._claim = claim
        self._program = program
        self._numbers = dict(numbers)
        self._next = max(self._numbers.values(), default=HEAD) + 1
        self._journal: Sequence[Entry] | None = None  # the list of which the first entries are saved
        self._length = 0  # how many of them are
        self._deadlines = dict(waiting)  # the deadlines of all questions so far
        self._open: dict[str, datetime | None] = {}
        self._lost: set[Entry] = set()  # whose values can't be stored, which is saved
        self._course: Course | None = None
        self._newest: str | None = None  # the step that was done last
        self._step: str | None = None  # the last step that is saved as done
        self._is_over = False
        self._turn = trio.Lock()

    # What the run asks for

    @property
    def waits(self) -> bool:
        """Whether a question is open."""
        return bool(self._open)

    @property
    def stopped(self) -> bool:
        """Whether a hook has stopped the run."""
        return self._course is not None and self._course.stopped

    def follow(self, course: Course) -> None:
        """Take `course` as what the run does from now on."""
        self._course = course
        self._open = {}
        self._is_over = False

    def check(self) -> None:
        """Return if this process still has the run."""
        self._claim.check()

    async def answered(self) -> bool:
        """Look for answers once more. Return whether an open question can now be answered."""
        stored = await self._claim.read()
        assert stored is not None
        self.answers = stored.answers
        now = self._claim.now()
        return any(name in self.answers or (until is not None and until <= now) for name, until in self._open.items())

    async def ask(self, name: str, seconds: float | None) -> Answer | None:
        """Ask for the answer that the step `name` waits for."""
        if name in self.answers:
            return Answer(answer_of(self.answers[name]))
        now = self._claim.now()
        if name not in self._deadlines:
            self._deadlines[name] = None if seconds is None else _later(now, seconds)
        until = self._deadlines[name]
        if until is not None and until <= now:
            assert seconds is not None
            raise StepTimeoutError(name, seconds)
        self._open[name] = until
        await self.save()
        return None

    # What is saved on the way

    async def begin(
        self, entries: tuple[Entry, ...], questions: tuple[Question, ...], renamed: Mapping[int, str]
    ) -> None:
        """Save that the run continues from `entries`, with the steps of the pipeline now; some may be `renamed`."""
        parts = {HEAD: head_of(self._program), **renamed}
        added, forgotten = self._difference(entries)
        await self._update(entries, added, forgotten, parts=parts, questions=questions, answers=self.answers)

    async def save(self, done: str | None = None) -> None:
        """Save the journal, as soon as the step `done` is done or something else is decided."""
        if done is not None:
            self._newest = done
        try:
            self._turn.acquire_nowait()
        except trio.WouldBlock:
            await self._turn.acquire()
        try:
            assert self._course is not None
            entries = self._course.journal.entries
            added, forgotten = self._difference(entries)
            if added or forgotten or done is None:
                await self._update(entries, added, forgotten)
        finally:
            self._turn.release()

    def entries(self) -> tuple[Entry, ...]:
        """Return the entries that the journal has now."""
        assert self._course is not None
        return tuple(self._course.journal.entries)

    async def _update(
        self,
        entries: Sequence[Entry],
        added: Mapping[Entry, int],
        forgotten: Collection[Entry],
        *,
        parts: Mapping[int, str] = MappingProxyType({}),
        questions: tuple[Question, ...] | None = None,
        answers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        length = len(entries)  # the journal may grow meanwhile
        newest = self._newest
        try:
            texts = {number: part_of(entry, codec_of(self._program)) for entry, number in added.items()}
            change = self._change(
                "running",
                step=newest,
                parts={**parts, **texts} if parts else texts,
                dropped=[self._numbers[entry] for entry in forgotten],
                questions=questions,
                answers=answers,
            )
            await self._claim.write(change)
        except CheckpointError:
            await self._save_what_is_lost(added)
            raise
        self._step = newest
        for entry in forgotten:
            del self._numbers[entry]
        self._numbers.update(added)
        self._next += len(added)
        self._journal, self._length = entries, length

    async def _save_what_is_lost(self, added: Mapping[Entry, int]) -> None:
        """Save that steps with values that can't be stored are done, and everything else that is new.

        Raises:
          CheckpointError: one of them is too long for the store.
        """
        self._journal = None  # what is saved are no longer its entries
        problem: CheckpointError | None = None
        for entry, number in added.items():
            if entry.kind == "inputs":
                return  # nothing has acted yet
            saved, text = self._written(entry)
            try:
                await self._claim.write(self._change("running", parts={number: text}))
            except CheckpointError as error:
                keys = [*entry.changes]
                problem = CheckpointError(error.problem, entry.name, keys[0] if len(keys) == 1 else None)
                saved, text = self._as_lost(entry, problem)
                await self._claim.write(self._change("running", parts={number: text}))
            self._numbers[saved] = number
            if saved is not entry:
                self._lost.add(entry)
            self._next = number + 1
        if problem is not None:
            raise problem

    def _written(self, entry: Entry) -> tuple[Entry, str]:
        """Return an entry and its text; if its values can't be stored, one that says that they are lost."""
        try:
            return entry, part_of(entry, codec_of(self._program))
        except CheckpointError as error:
            return self._as_lost(entry, error)

    def _as_lost(self, entry: Entry, error: CheckpointError) -> tuple[Entry, str]:
        lost = Entry(kind="lost", step=entry.step, case=entry.case, error=_plain(error))
        return lost, part_of(lost, codec_of(self._program))

    def _difference(self, entries: Sequence[Entry]) -> tuple[dict[Entry, int], list[Entry]]:
        """Return the entries that are not saved yet, with numbers for them, and the saved ones that are obsolete."""
        forgotten: list[Entry] = []
        if entries is self._journal:
            added = entries[self._length :]
        else:
            there = set(entries)
            added = [entry for entry in entries if entry not in self._numbers]
            forgotten = [entry for entry in self._numbers if entry not in there and entry.kind != "lost"]
        return dict(zip(added, count(self._next), strict=False)), forgotten

    def _change(
        self,
        status: RunStatus,
        *,
        parts: Mapping[int, str] = MappingProxyType({}),
        dropped: Collection[int] = (),
        step: str | None = None,
        error: str | None = None,
        questions: tuple[Question, ...] | None = None,
        answers: Mapping[str, str] = MappingProxyType({}),
    ) -> RunChange:
        program = self._program
        waiting: Mapping[str, datetime | None] = {}
        if status == "waiting":
            waiting = dict(self._open)
        elif status != "finished" and self._deadlines:  # the deadline stays, whatever happens meanwhile
            waiting = {name: until for name, until in self._deadlines.items() if name not in self.answers}
        return RunChange(
            pipeline=program.name,
            version=program.version,
            status=status,
            step=step or self._step,
            error=error,
            parts=parts,
            dropped=dropped,
            waiting=waiting,
            questions=questions,
            answers=answers,
        )

    # What is saved at the end

    async def finish(self, values: dict[str, object]) -> None:
        """Save that the run has finished with the context `values`. Keep the input and the result."""
        over = list(self._numbers.values())[1:]
        codec = codec_of(self._program)
        sources = sources_of(self.entries()) if isinstance(codec, Bound) else {}
        result = part_of(Entry(kind="done", changes=values, sources=sources), codec)
        await self._write_at_last(self._change("finished", parts={self._next: result}, dropped=over))

    async def pause(self, status: RunStatus) -> None:
        """Save that the run can't continue for now."""
        await self._write_at_last(self._change(status))

    async def end(self, status: RunStatus, error: str | None) -> None:
        """Save what was done, and that the run has ended unless that is saved already. Log a failure to do so."""
        if self._is_over:
            return
        bare = self._change(status, error=error)
        try:
            # the status tells whoever cancelled the run; a process that took it over saves its own
            with suppress(trio.Cancelled, RunClaimedError):
                try:
                    left = self._left()
                    await self._write_at_last(attrs.evolve(bare, parts=left, step=self._newest) if left else bare)
                except Exception:  # noqa: BLE001 - what was done may be the very thing that can't be saved
                    await self._write_at_last(bare)
        except Exception:  # noqa: BLE001 - what the run has come to matters more
            logger.exception("the end of a durable run of %r could not be saved", self._program.name)

    async def _write_at_last(self, change: RunChange) -> None:
        """Write the last change even if the run is cancelled, without holding up the cancellation."""
        try:
            await self._claim.write(change)
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await self._claim.write(attrs.evolve(change, urgent=True))
            self._is_over = True
            raise
        self._is_over = True

    def _left(self) -> dict[int, str]:
        """Return parts for steps that were done, but cancelled before they could save."""
        parts: dict[int, str] = {}
        if self._course is not None:
            added, forgotten = self._difference(self._course.journal.entries)
            if not forgotten:
                parts = {number: self._written(entry)[1] for entry, number in added.items() if entry not in self._lost}
        return parts


def _later(now: datetime, seconds: float) -> datetime | None:
    """Return when so many seconds are over; None if no calendar goes so far."""
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _plain(error: CheckpointError) -> CheckpointError:
    """Return the same change without anything that might prevent storing it."""
    return CheckpointError(str(error.problem), error.step, error.key)
