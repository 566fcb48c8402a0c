"""The journal of a run: what is done, for checkpoints, and what was done before the checkpoint it was resumed from.

It is append-only, so a checkpoint is the list and a length. To forget something (the entries of a failed attempt, or
those inside a container that is done), a shorter list takes its place, and the checkpoints keep theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, cast, final

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


EntryKind: TypeAlias = Literal[
    "inputs", "done", "skipped", "rejected", "begun", "passed", "taken", "round", "transform", "lost", "tried"
]
"""What happened to a step: see the top of the module."""


@final
@attrs.frozen(kw_only=True, eq=False)
class Entry:
    """One thing that happened in a run and will not happen again when it is resumed.

    Attributes:
      kind: what happened.
      step: the full name of the step; empty for the inputs.
      changes: the keys that the step set, and their values, which never change again.
      sources: where the values came from, for keys whose source is not the step itself.
      same: the keys in `changes` whose values are the same as at the start of the pipeline around the step; None if
        that is not decided yet.
      is_patch: `changes` come from a nested pipeline or a branch and are still to be merged.
      overridden: the keys in `changes` that only siblings in a flow see, which take keys from the step: in the context
        they were overridden.
      case: the name of the case of a branch, or the id of an element of a for_each or the number of a round, whose name
        `step` is then.
      answer: whether that was the last round.
      error: what a member of a parallel step failed with.
      failed: how many attempts have.
    """

    kind: EntryKind
    step: str = ""
    changes: Mapping[str, object] = attrs.field(factory=dict[str, object])
    sources: Mapping[str, str] = attrs.field(factory=dict[str, str])
    same: Collection[str] | None = None
    is_patch: bool = False
    overridden: Collection[str] = ()
    case: str | None = None
    answer: bool = False
    error: Exception | None = None
    failed: int = 0


@final
class Journal:
    """What is done in one run.

    Attributes:
      entries: what is done, in order. The code that has done something appends it.
      forgotten: how many entries have been forgotten.
      resumes: the run started with more than its input. That is in the other attributes, by full names.
      done: the entries of what was done, or skipped, or has failed and was forgiven.
      passed: of a branch, the cases that did not hold.
      taken: the cases that branches took.
      rounds: of a repeat, the entry of the last round that was done.
      elements: of a for_each, the entries of the elements that were done, by their ids.
      begun: the steps whose condition held, and the containers in which something was done.
      tried: the entries of steps of which attempts failed, by the step and, of an element, its id.
    """

    __slots__ = ("begun", "done", "elements", "entries", "forgotten", "passed", "resumes", "rounds", "taken", "tried")

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Begin with `entries`; the first tells what the input is."""
        self.entries: list[Entry] = list(entries)
        self.forgotten: int = 0
        self.resumes: bool = len(entries) > 1
        self.done: dict[str, Entry] = {}
        self.passed: dict[str, set[str]] = {}
        self.taken: dict[str, str] = {}
        self.rounds: dict[str, Entry] = {}
        self.elements: dict[str, dict[str, Entry]] = {}
        self.begun: set[str] = set()
        self.tried: dict[tuple[str, str | None], Entry] = {}
        for entry in entries[1:]:
            if entry.case is None and entry.kind not in ("begun", "tried"):
                self.done[entry.step] = entry
            else:
                self.begun.add(entry.step)
            if entry.kind == "tried":
                self.tried[entry.step, entry.case] = entry
            elif entry.kind == "taken":
                self.taken[entry.step] = cast("str", entry.case)
            elif entry.kind == "passed":
                self.passed.setdefault(entry.step, set()).add(cast("str", entry.case))
            elif entry.kind == "round":
                self.rounds[entry.step] = entry
            elif entry.case is not None:
                self.elements.setdefault(entry.step, {})[entry.case] = entry
            around = entry.step.rpartition("/")[0]
            while around:
                self.begun.add(around)
                around = around.rpartition("/")[0]

    def mark(self) -> int:
        """Return a mark for `forget` of what starts now."""
        return 0 if self.resumes else len(self.entries) + self.forgotten

    def end_round(self, entry: Entry, since: int) -> None:
        """Enter a round that is done. It replaces the one before it, and what was done in it.

        Args:
          entry: the round.
          since: the `mark` of the beginning of the first round.
        """
        self.forget(entry.step, since)
        self.entries.append(entry)

    def end_attempt(self, entry: Entry) -> None:
        """Enter that an attempt has failed. It replaces the entry for the one before it."""
        before = self.tried.get((entry.step, entry.case))
        if before is not None:
            self.entries = [other for other in self.entries if other is not before]
            self.forgotten += 1
        self.tried[entry.step, entry.case] = entry
        self.entries.append(entry)

    def forget(self, name: str, since: int) -> None:
        """Forget what happened inside the step `name`: it failed, or is done as a whole. Its start is not forgotten.

        Args:
          name: its full name.
          since: the `mark` of its beginning; only what came later is looked at.
        """
        inside = name + "/"

        def is_inside(step: str) -> bool:
            return step == name or step.startswith(inside)

        start = max(since - self.forgotten, 0)
        later = self.entries[start:]
        kept = [
            entry
            for entry in later
            if not is_inside(entry.step) or (entry.kind in ("begun", "tried") and entry.step == name)
        ]
        if len(kept) < len(later):
            self.entries = self.entries[:start] + kept
            self.forgotten += len(later) - len(kept)
        if self.begun:
            for known in (self.done, self.passed, self.taken, self.rounds, self.elements):
                for step in [step for step in known if is_inside(step)]:
                    del known[step]
            self.begun = {step for step in self.begun if not step.startswith(inside)}
        if self.tried:
            self.tried = {of: entry for of, entry in self.tried.items() if not of[0].startswith(inside)}
