"""The journal of a run: what is done, for checkpoints, and what was done before the checkpoint it was resumed from.

It is append-only, so a checkpoint is the list and a length. To forget something (the entries of a failed attempt, or
those inside a container that is done), the journal takes a shorter list, and checkpoints keep the old one.
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
    """Something that happened in a run and will not happen again when it is resumed.

    Attributes:
      kind: what happened.
      step: the full name of the step; empty for the inputs.
      changes: the keys that the step set, and their values, which never change again.
      sources: where the values came from, for keys whose source is not the step itself.
      same: the keys in `changes` whose values are the same as at the start of the pipeline around the step; None if
          that is not yet decided.
      is_patch: `changes` come from a nested pipeline or a branch and are still to be merged.
      overridden: the keys in `changes` that only siblings in a flow see, because they were overridden in the context.
      case: the name of the case of the branch `step`, the id of the element of the for_each `step`, or the number of
        the round of the repeat `step`.
      answer: whether that was the last round.
      error: the error of a member of a parallel step.
      failed: the number of failed attempts.
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

    @property
    def name(self) -> str:
        """The full name of what it is about: of the step, or of one element of it."""
        is_element = self.case is not None and self.kind not in ("passed", "round", "taken")
        return f"{self.step}/{self.case}" if is_element else self.step


@final
class Journal:
    """What is done in one run.

    Attributes:
      entries: what is done, in order. The code that does something appends it.
      forgotten: how many entries have been forgotten.
      resumes: whether the run started with more than its input. The attributes below hold that, by full names.
      done: the entries of steps that were done, were skipped, or failed and were forgiven.
      passed: for a branch, the cases that did not hold.
      taken: the cases that branches took.
      rounds: for a repeat, the entry of the last round that was done.
      elements: for a for_each, the entries of the elements that were done, by their ids.
      begun: the steps whose condition held, and the containers in which something was done.
      tried: the entries of failed attempts, by step and, for an element, its id.
    """

    __slots__ = ("begun", "done", "elements", "entries", "forgotten", "passed", "resumes", "rounds", "taken", "tried")

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Begin with `entries`. The first one is the input."""
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
        """Enter a round that is done. It replaces the round before it, and what was done in the round.

        Args:
          entry: the round.
          since: the `mark` of the beginning of the first round.
        """
        self.forget(entry.step, since)
        self.entries.append(entry)

    def end_attempt(self, entry: Entry) -> None:
        """Enter a failed attempt. It replaces the entry for the attempt before it."""
        before = self.tried.get((entry.step, entry.case))
        if before is not None:
            self.entries = [other for other in self.entries if other is not before]
            self.forgotten += 1
        self.tried[entry.step, entry.case] = entry
        self.entries.append(entry)

    def forget(self, name: str, since: int) -> None:
        """Forget what happened inside the step `name`, which failed or is done as a whole. Its start is kept.

        Args:
          name: its full name.
          since: the `mark` of its beginning; only later entries are searched.
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
