"""Steps that were done by hand are marked as done: `RunStore.mark_done`.

Problem: the code that marks a step has neither the pipeline nor the run, only what is stored. A mark that the run would
ignore, or could not continue from, has to be refused, because no one can take it back.

What is done. The head of the run says of which kind each step is. So a name is followed from the outside in, to the id
of an element, the number of a round, the case of a branch. Nothing around the step may be done. The step has to be in
the cases that were taken and in the next round, and not in a race, which is run again as a whole.

Then what has happened inside the step is forgotten, as if the run had done the step.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, final

import attrs

from trio_steps._core.errors import ConfigError, listed, short_repr
from trio_steps._durable.answers import answer_text, is_asked_by
from trio_steps._durable.moving import check_is_here
from trio_steps._durable.protocol import RunChange
from trio_steps._pipeline.definition import ANY
from trio_steps._values.described import described

from .head import BRANCH, EACH, RACE, REPEAT, TRANSFORM, check_output, kinds_of
from .journal import Entry
from .texts import checkpoint_of, part_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_steps._durable.protocol import StoredRun

    from .checkpoint import Checkpoint
    from .typed import AnyCodec

_OVER: Final = ("done", "rejected", "skipped", "transform")
"""The kinds of entries of a step that is done, or that the run continues without."""


def marked(
    stored: StoredRun, step: str, given: Mapping[str, object] | None, taken: Mapping[str, str], codec: AnyCodec | None
) -> RunChange:
    """Return the change that marks `step` as done, with the output `given`; see `RunStore.mark_done`."""
    given = {} if given is None else given
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise ConfigError(f"mark_done(…, {described(given)}): give a mapping of keys and their values")
    output = dict(given)
    if not isinstance(taken, Mapping):
        raise ConfigError(f"mark_done(…, taken={short_repr(taken)}): give a mapping of branches and their cases")
    record = stored.record
    if record.status == "finished":
        raise ConfigError(f"mark_done({record.run_id!r}, {step!r}): the run is finished")
    check_is_here(record, "changed")
    checkpoint = checkpoint_of(stored.parts, codec)
    place = _place(step, checkpoint, kinds_of(stored.parts))
    _check_ahead(record.run_id, place, checkpoint)
    for question in stored.questions:
        if is_asked_by(step, question):
            answer_text(question, step, output.get(question.provides))  # this also checks it
    check_output(stored.parts, step, place.pattern, output)
    added = [*_taken(place, checkpoint, taken), place.done(output)]
    status = record.status
    waiting = {name: until for name, until in record.waiting.items() if not place.has(name)}
    if status == "interrupted":
        status = "running"
    elif status == "waiting" and len(waiting) < len(record.waiting):
        status = "submitted"  # no one will answer that question, so a worker may take the run at once
    number = max(stored.parts) + 1
    numbers = zip(checkpoint.entries, sorted(stored.parts)[1:], strict=True)
    return RunChange(
        pipeline=record.pipeline,
        version=record.version,
        status=status,
        error=record.error,
        parts={number + index: part_of(entry, codec) for index, entry in enumerate(added)},
        dropped=[number for entry, number in numbers if place.has(entry.name)],
        waiting=waiting,
    )


@final
@attrs.frozen
class _Place:
    """Where a step is in a run.

    Attributes:
      step: its full name in the run.
      pattern: that name in the pipeline: without ids of elements and numbers of rounds.
      kind: the kind of the step.
      around: the containers around it, from the outside in: the full name in the run, the kind, and the id in it.
    """

    step: str
    pattern: str
    kind: str | None
    around: Sequence[tuple[str, str | None, str]]

    def has(self, name: str) -> bool:
        """Tell whether `name` is the name of the step, or of something inside it."""
        return name == self.step or name.startswith(f"{self.step}/")

    def done(self, output: Mapping[str, object]) -> Entry:
        """Return the entry that says that the step is done."""
        if self.around and self.around[-1][1] == EACH:
            name, _, id = self.around[-1]
            return Entry(kind="done", step=name, case=id, changes=output)
        return Entry(kind="transform" if self.kind == TRANSFORM else "done", step=self.step, changes=output)


def _place(step: str, checkpoint: Checkpoint, kinds: Mapping[str, str]) -> _Place:
    """Find the step with the full name `step`.

    Raises:
      KeyError: there is no such step.
      ConfigError: it is an element, a round, or in a race.
    """
    name = pattern = ""
    kind: str | None = None
    around: list[tuple[str, str | None, str]] = []
    for id in str(step).split("/"):
        if name:
            around.append((name, kind, id))
        if kind in (EACH, REPEAT) and not re.fullmatch("[1-9][0-9]*", id):
            what = "element" if kind == EACH else "round"
            raise ConfigError(f"mark_done(…, {step!r}): say of which {what} of {name!r}, such as '{name}/1/…'")
        if kind == RACE:
            raise ConfigError(f"mark_done(…, {step!r}): {name!r} is a race, which is run as a whole; mark {name!r}")
        name = f"{name}/{id}" if name else id
        if kind == EACH:
            pattern = f"{pattern}/{ANY}"
        elif kind != REPEAT:
            pattern = f"{pattern}/{id}" if pattern else id
        inside_of_element = kind == EACH and any(other.startswith(f"{pattern}/") for other in checkpoint.steps)
        last, kind = kind, kinds.get(pattern) if kind != REPEAT else None
        if name == step and (last == REPEAT or inside_of_element):
            raise ConfigError(f"mark_done(…, {step!r}): mark the steps in it, '{name}/…'")
    if name != step or (pattern not in checkpoint.steps and not (around and around[-1][1] == EACH)):
        raise KeyError(f"the pipeline {checkpoint.pipeline!r} has no step {step!r}; it has {listed(checkpoint.steps)}")
    return _Place(step, pattern, kind, around)


def _check_ahead(run_id: str, place: _Place, checkpoint: Checkpoint) -> None:
    """Refuse a step that is done, is inside something that is done, or is in a round that is not the next one."""
    rounds = {entry.step: int(entry.case) for entry in checkpoint.entries if entry.kind == "round" and entry.case}
    over = {entry.name for entry in checkpoint.entries if entry.kind in _OVER}
    names = [*(name for name, *_ in place.around), place.step]
    for name in names:
        if name in over:
            what = "the step" if name == place.step else f"{name!r}"
            raise ConfigError(f"mark_done({run_id!r}, {place.step!r}): {what} is already done")
    for name, kind, id in place.around:
        if kind == REPEAT and int(id) != rounds.get(name, 0) + 1:
            raise ConfigError(f"mark_done(…, {place.step!r}): {name!r} is in its round {rounds.get(name, 0) + 1}")


def _taken(place: _Place, checkpoint: Checkpoint, taken: Mapping[str, str]) -> list[Entry]:
    """Return entries for the cases to take. Refuse a step in a case that was not taken.

    Raises:
      ConfigError: a case is not one that leads to the step, or another one was taken.
    """
    before = {entry.step: entry.case for entry in checkpoint.entries if entry.kind == "taken"}
    ids = {name: id for name, kind, id in place.around if kind == BRANCH}
    for branch, case in taken.items():
        said = f"mark_done(…, taken={{{branch!r}: {case!r}}})"
        if branch in before and before[branch] != case:
            raise ConfigError(f"{said}: the run took {before[branch]!r}")
        if branch not in ids:
            raise ConfigError(f"{said}: {place.step!r} is in no branch of that name")
    for branch, case in ids.items():
        if {**before, **taken}.get(branch) != case:
            right = f"taken={{{branch!r}: {case!r}}}"
            raise ConfigError(
                f"mark_done(…, {place.step!r}): the branch {branch!r} has not taken that case; give {right}"
            )
    return [Entry(kind="taken", step=branch, case=case) for branch, case in taken.items() if branch not in before]
