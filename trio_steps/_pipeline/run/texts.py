"""The texts that a store keeps of a run: each is the JSON of a checkpoint with a part of its journal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trio_steps._core.errors import CheckpointError

from .checkpoint import Checkpoint, read
from .head import HEAD, INPUTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .journal import Entry
    from .typed import AnyCodec


def checkpoint_of(parts: Mapping[int, str], codec: AnyCodec | None) -> Checkpoint:
    """Return the checkpoint that consists of `parts`.

    Raises:
      CheckpointError: one of them is damaged or missing, or was written with another codec.
    """
    if not {HEAD, INPUTS} <= parts.keys():
        raise CheckpointError("the stored run is damaged: its head or its input is missing")
    head, *rest = read((parts[number] for number in sorted(parts)), codec)
    entries = [entry for part in rest for entry in part.entries]
    if head.entries or any(len(part.entries) != 1 for part in rest) or entries[0].kind != "inputs":
        raise CheckpointError("the stored run is damaged: one of its parts is in the place of another")
    return Checkpoint(head.pipeline, head.steps, entries, len(entries), codec)


def attempts_of(parts: Mapping[int, str]) -> dict[str, int]:
    """Return how many attempts have failed, by the full names of the steps, whatever codec wrote `parts`."""
    entries: list[dict[str, Any]] = [entry for text in parts.values() for entry in json.loads(text)["journal"]]
    return {
        entry["step"] + (f"/{entry['case']}" if "case" in entry else ""): entry["failed"]
        for entry in entries
        if entry["kind"] == "tried"
    }


def part_of(entry: Entry, codec: AnyCodec | None) -> str:
    """Return the text that a store keeps for an entry of the journal."""
    try:
        return Checkpoint("", (), (entry,), 1, codec).to_json()
    except CheckpointError as error:
        # the input and the result belong to no step
        raise CheckpointError(error.problem, error.step or None, error.key) from error.__cause__
