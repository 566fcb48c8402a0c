"""The journal of a run: what is done, for checkpoints, and what was done before the checkpoint it was resumed from.

It is append-only, so that a checkpoint is the list and a length. When something is to be forgotten (the entries of a
failed attempt, or those inside a container that is done now), a shorter list takes its place, and the checkpoints
keep theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, final

import attrs

from trio_steps._core.errors import CheckpointError
from trio_steps._pipeline.definition import Branch, Each, find

from .checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trio_steps._pipeline.definition import Nodes
    from trio_steps._pipeline.program import Program

    from .checkpoint import Entry


@final
class Journal:
    """What is done in one run.

    Attributes:
      entries: what is done, in order. To append is up to whoever has done it.
      forgotten: how many entries there are no more.
      resumes: the run began with more than its input. What it began with is in the other attributes, by full names.
      done: the entries of what was done, or skipped, or has failed and was forgiven.
      passed: of a branch, the cases that did not hold.
      taken: the cases that branches took.
      elements: of a for_each, the entries of the elements that were done, by their ids.
      begun: the steps whose condition held, and the containers in which something was done.
    """

    __slots__ = ("begun", "done", "elements", "entries", "forgotten", "passed", "resumes", "taken")

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Begin with `entries`; the first tells what the input is."""
        self.entries: list[Entry] = list(entries)
        self.forgotten: int = 0
        self.resumes: bool = len(entries) > 1
        self.done: dict[str, Entry] = {}
        self.passed: dict[str, set[str]] = {}
        self.taken: dict[str, str] = {}
        self.elements: dict[str, dict[str, Entry]] = {}
        self.begun: set[str] = set()
        for entry in entries[1:]:
            if entry.case is None and entry.kind != "begun":
                self.done[entry.step] = entry
            else:
                self.begun.add(entry.step)
            if entry.kind == "taken":
                self.taken[entry.step] = cast("str", entry.case)
            elif entry.kind == "passed":
                self.passed.setdefault(entry.step, set()).add(cast("str", entry.case))
            elif entry.case is not None:
                self.elements.setdefault(entry.step, {})[entry.case] = entry
            around = entry.step.rpartition("/")[0]
            while around:
                self.begun.add(around)
                around = around.rpartition("/")[0]

    def mark(self) -> int:
        """Return what `forget` has to be told about what begins now."""
        return 0 if self.resumes else len(self.entries) + self.forgotten

    def forget(self, name: str, since: int) -> None:
        """Forget what happened inside the step `name`: it failed, or is done as a whole. That it began stays true.

        Args:
          name: its full name.
          since: the `mark` of its beginning; only what came later is looked at.
        """
        inside = name + "/"

        def is_inside(step: str) -> bool:
            return step == name or step.startswith(inside)

        start = max(since - self.forgotten, 0)
        later = self.entries[start:]
        kept = [entry for entry in later if not is_inside(entry.step) or (entry.kind == "begun" and entry.step == name)]
        if len(kept) < len(later):
            self.entries = self.entries[:start] + kept
            self.forgotten += len(later) - len(kept)
        if self.begun:
            for known in (self.done, self.passed, self.taken, self.elements):
                for step in [step for step in known if is_inside(step)]:
                    del known[step]
            self.begun = {step for step in self.begun if not step.startswith(inside)}


def resumed(program: Program, checkpoint: Checkpoint, overrides: Mapping[str, object]) -> tuple[Entry, ...]:
    """Return what the journal begins with when `program` is resumed from `checkpoint`.

    Raises:
      CheckpointError: it is of another pipeline, or of one that changed up to the point of resumption.
    """
    if not isinstance(checkpoint, Checkpoint):
        raise CheckpointError(f"resume({checkpoint!r}): give a Checkpoint; of text, Checkpoint.from_json(text)")
    checkpoint.check(program.name, program.steps)
    entries = checkpoint.entries
    if not entries or entries[0].kind != "inputs":
        raise CheckpointError("the checkpoint does not tell what the run began with")
    kept = [entries[0]]
    for entry in entries[1:]:
        if _is_of_another_element(program.nodes, entry, overrides):
            continue
        node = find(program.nodes, entry.step)
        body = None if node is None else node.body
        if entry.kind == "taken" and (
            not isinstance(body, Branch) or all(case.id != entry.case for case in body.cases)
        ):
            raise CheckpointError(
                f"the branch took the case {entry.case!r}, which the pipeline doesn't have", entry.step
            )
        kept.append(entry)
    return _overridden(kept, overrides)


def _is_of_another_element(nodes: Nodes, entry: Entry, overrides: Mapping[str, object]) -> bool:
    """Tell whether `entry` is of an element of a collection that is another one now."""
    if not overrides:
        return False
    name = entry.step if entry.case is not None else entry.step.rpartition("/")[0]
    while name:
        node = find(nodes, name)
        if node is not None and isinstance(node.body, Each) and node.body.over in overrides:
            return True
        name = name.rpartition("/")[0]
    return False


def _overridden(entries: Sequence[Entry], overrides: Mapping[str, object]) -> tuple[Entry, ...]:
    """Return what would be in the journal if `overrides` had been in the context all along.

    They stand where a context begins, so that everything inside sees them, and nowhere else: so there is nothing
    to merge.
    """
    result: list[Entry] = []
    for entry in entries:
        changes = {key: value for key, value in entry.changes.items() if key not in overrides}
        if entry.kind in ("inputs", "transform"):
            changes.update(overrides)
        elif entry.case is not None:  # an element of a for_each, under the name of the whole
            changes = dict(entry.changes)
        result.append(attrs.evolve(entry, changes=changes))
    return tuple(result)
