"""How a fork is drawn: a frame with its paths side by side, or one box for paths that are too many or not known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from trio_steps._core.outline import limiter_note, name_of, outline_of, rate_note
from trio_steps._drawing.graph import Graph, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_steps._drawing.graph import Place

    from .plan import Plan

_MOST_PATHS: Final = 20


def outline_of_fork(plan: Plan, place: Place) -> Node:
    """Return the drawing of a fork."""
    notes = tuple(_notes(plan))
    known = plan.known
    if not known or len(known) > _MOST_PATHS:
        source = f"paths from {name_of(plan.source if plan.function is None else plan.function)}"
        paths = source if known is None else f"{len(known)} paths"
        return Node(kind="step", label=place.label, name=place.name, notes=(*notes, paths), many=True)
    inside = tuple(outline_of(call, place.inside(id)) for id, call in zip(known.ids, known.calls))  # noqa: B905
    return Node(kind="frame", label=place.label, name=place.name, notes=notes, inside=Graph(inside))


def limit_notes(plan: Plan) -> Iterator[str]:
    """Yield a line for each limit of a fork."""
    if isinstance(plan.concurrency, trio.CapacityLimiter):
        yield limiter_note(plan.concurrency)
    elif plan.concurrency is not None:
        yield f"{plan.concurrency} at a time"
    if plan.stagger is not None:
        yield f"stagger {plan.stagger:g} s"
    if plan.rate is not None:
        yield rate_note(plan.rate)
    if plan.timeout is not None:
        yield f"timeout {plan.timeout:g} s"


def _notes(plan: Plan) -> Iterator[str]:
    yield plan.mode_name
    yield from limit_notes(plan)
    if plan.growing:
        yield "growing"
    if plan.accept is not None:
        yield f"accept: {name_of(plan.accept)}"
    if plan.merge is not None and plan.merge is not tuple:
        yield f"merge: {name_of(plan.merge)}"
