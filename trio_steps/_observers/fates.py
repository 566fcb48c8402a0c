"""A diagram of a step that shows what its last run did.

The step draws itself, the run is read from its events, and the names of steps connect the two.
"""

from __future__ import annotations

from collections import defaultdict
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from trio_steps._core.errors import ConfigError
from trio_steps._core.outline import check_direction, graph_of
from trio_steps._core.step import Step
from trio_steps._drawing.dot import to_dot
from trio_steps._drawing.graph import ANY, Fate, Place
from trio_steps._drawing.looks import WORDS
from trio_steps._drawing.mermaid import to_mermaid

from .rows import counts, read, walk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_steps._core.events.records import Event
    from trio_steps._drawing.graph import Direction, Fates, Graph, Node

    from .rows import Row


def draw(
    language: Literal["mermaid", "dot"], step: Step[..., Any], direction: Direction, events: Iterable[Event]
) -> str:
    """Return `step` as a diagram, marked with what its last run among `events` did.

    Raises:
      ConfigError: `direction` is neither "down" nor "right", or `step` is not a step.
    """
    check_direction(direction)
    if not isinstance(step, Step):
        raise ConfigError(f"{step!r} is not a pipeline, fork or other step: there is nothing to draw")
    graph = graph_of(step.entry, Place(step.id, "", whole=False))
    fates = _fates_of(graph, _last_run(step.id, read(events)))
    return (to_mermaid if language == "mermaid" else to_dot)(graph, direction=direction, fates=fates)


def _last_run(id: str, rows: list[Row]) -> Row | None:
    """Return the run of the step `id` that began last, wherever it is."""
    # also the last of those that began at the same time
    return max(reversed([row for row in walk(rows) if row.id == id]), key=lambda row: row.start, default=None)


def _fates_of(graph: Graph, root: Row | None) -> Fates:
    """Return what became of each node in the run `root`."""
    nodes = {node.name: node for node in graph.walk()}
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    ahead = [] if root is None else [("", root)]
    while ahead:
        name, row = ahead.pop()
        rows[name].append(row)
        since = row.retries[-1].time if row.retries else -inf
        inside = [child for child in row.children if child.start >= since]  # in its last attempt
        if name in nodes and nodes[name].many:
            ahead += [(_within(name, ANY), child) for child in inside]
        else:
            ahead += [
                (_within(name, label), child) for label, child in {child.label: child for child in inside}.items()
            ]
    return {node: _fate(rows[name], node) for name, node in nodes.items() if name in rows}


def _within(around: str, id: str) -> str:
    return f"{around}/{id}" if around else id


def _fate(rows: list[Row], node: Node) -> Fate:
    if len(rows) > 1:
        return Fate(next(status for status in WORDS if any(row.status == status for row in rows)), (counts(rows),))
    [row] = rows
    notes: list[str] = []
    if row.status == "failed":
        notes.append(f"failed: {type(row.error).__name__}")
    elif row.status == "cancelled":
        notes.append(f"cancelled: {row.text}")
    elif row.look != "succeeded":
        notes.append(WORDS[row.look])
    if row.retries:
        notes.append(row.retried)
    if node.many and row.children:
        notes.append(counts(row.children))
    return Fate(row.look, tuple(notes))
