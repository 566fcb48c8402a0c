"""The journal of a run that continues from a checkpoint, fitted to the pipeline as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_steps._core.errors import CheckpointError, short_repr
from trio_steps._pipeline.definition import Branch, Each, Group, Repeat, find

from .checkpoint import Checkpoint
from .renames import Names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trio_steps._pipeline.definition import Node, Nodes, Program

    from .journal import Entry


def resumed(program: Program, checkpoint: Checkpoint, overrides: Mapping[str, object]) -> tuple[Entry, ...]:
    """Return the first entries of the journal when `program` is resumed from `checkpoint`.

    Raises:
      CheckpointError: it belongs to another pipeline, or to one that changed up to the point of resumption.
    """
    if not isinstance(checkpoint, Checkpoint):
        raise CheckpointError(
            f"resume({short_repr(checkpoint)}): give a Checkpoint; of text, Checkpoint.from_json(text)"
        )
    checkpoint = Names(program).checkpoint(checkpoint)
    checkpoint.check(program.name, program.steps)
    entries = checkpoint.entries
    if not entries or entries[0].kind != "inputs":
        raise CheckpointError("the checkpoint does not contain the input of the run")
    kept = [entries[0]]
    for entry in entries[1:]:
        if _is_of_another_element(program.nodes, entry, overrides):
            continue
        _check_kind(find(program.nodes, entry.step), entry)
        kept.append(entry)
    return _overridden(kept, overrides, program.nodes)


def _check_kind(node: Node | None, entry: Entry) -> None:
    """Refuse to resume a step that is of another kind now."""
    body = None if node is None else node.body
    if entry.kind == "taken" and (not isinstance(body, Branch) or all(case.id != entry.case for case in body.cases)):
        raise CheckpointError(f"the branch took the case {entry.case!r}, which the pipeline doesn't have", entry.step)
    is_now = "a transform" if node is not None and node.transforms else "no transform"
    was = {"done": "no transform", "transform": "a transform"}.get(entry.kind, is_now)
    if entry.kind == "round" and not isinstance(body, Repeat):
        was, is_now = "a repeat", "none"
    elif entry.case is not None and entry.kind in ("done", "rejected") and not isinstance(body, Each):
        was, is_now = "a for_each", "none"
    if was != is_now:
        raise CheckpointError(f"the step is done, and was {was} then; now it is {is_now}", entry.step)


def _is_of_another_element(nodes: Nodes, entry: Entry, overrides: Mapping[str, object]) -> bool:
    """Tell whether `entry` belongs to an element of a collection that has been replaced."""
    if not overrides:
        return False
    name = entry.step if entry.case is not None else entry.step.rpartition("/")[0]
    while name:
        node = find(nodes, name)
        if node is not None and isinstance(node.body, Each) and node.body.over in overrides:
            return True
        name = name.rpartition("/")[0]
    return False


def _overridden(entries: Sequence[Entry], overrides: Mapping[str, object], nodes: Nodes) -> tuple[Entry, ...]:
    """Return the journal as if `overrides` had been in the context all along.

    They are put where a context begins, so that everything inside sees them, and nowhere else, so that nothing has to
    be merged. Members of a flow keep those keys, with the new values, because siblings take them from there.
    """
    result: list[Entry] = []
    for entry in entries:
        changes = {key: value for key, value in entry.changes.items() if key not in overrides}
        overridden = entry.overridden
        if entry.kind in ("inputs", "transform"):
            changes.update(overrides)
        elif entry.case is not None:  # an element of a for_each, under the name of the for_each
            changes = dict(entry.changes)
        elif len(changes) < len(entry.changes) and _is_in_flow(nodes, entry):
            changes = {key: overrides.get(key, value) for key, value in entry.changes.items()}
            overridden = {*overridden, *overrides}
        same = (
            None if entry.same is None else {*entry.same, *overrides}
        )  # the overrides are in every context, so nothing changes
        result.append(attrs.evolve(entry, changes=changes, same=same, overridden=overridden))
    return tuple(result)


def _is_in_flow(nodes: Nodes, entry: Entry) -> bool:
    """Tell whether `entry` belongs to a member of a flow."""
    around = find(nodes, entry.step.rpartition("/")[0])
    return around is not None and isinstance(around.body, Group) and around.body.mode == "flow"
