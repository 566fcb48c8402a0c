"""How a pipeline is drawn: its steps one after the other, each with what is inside it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import attrs

from trio_steps._core.outline import name_of, outline_of, policy_notes
from trio_steps._drawing.graph import ANY, Draft, Edge, Graph, Node
from trio_steps._fork.outline import limit_notes

from .call import Function
from .definition import Branch, Each, Group, Repeat, Wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_steps._drawing.graph import Place

    from .definition import Case, Member, Nodes, Program
    from .definition import Node as PipelineStep

_ON_ERROR: Final = {"continue": "on error: continue", "skip-remaining": "on error: skip the rest"}


def graph_of_pipeline(program: Program, place: Place) -> Graph:
    """Return the drawing of a pipeline that stands alone. It begins with its name."""
    draft = Draft()
    draft.then(Node(kind="start", label=program.name, name=place.name))
    _add_all(draft, program.nodes, place)
    return draft.graph()


def frame_of(program: Program, place: Place) -> Node:
    """Return the drawing of a pipeline inside something else."""
    return _frame(program.nodes, place, place)


def _add_all(draft: Draft, steps: Nodes, around: Place) -> None:
    for step in steps:
        if step.log or around.whole:
            _add(draft, step, around.inside(step.id))


def _add(draft: Draft, step: PipelineStep, place: Place) -> None:
    body, notes, maybe = step.body, tuple(_notes(step)), step.condition is not None
    if not isinstance(body, Branch):
        node = _outline_of_body(body, place)
        kind = "transform" if step.transforms and node.inside is None else node.kind
        draft.then(attrs.evolve(node, kind=kind, notes=(*notes, *node.notes), maybe=maybe))
        return
    cases = [
        (_label(case), functools.partial(_add_all, steps=case.nodes, around=place.inside(case.id)))
        for case in body.cases
    ]
    if body.cases[-1].condition is not None:
        cases.append(("otherwise", functools.partial(_add_all, steps=(), around=place)))
    draft.choose(Node(kind="decision", label=step.id, name=place.name, notes=notes, maybe=maybe), cases)


def _outline_of_body(body: Function | Nodes | Group | Each | Repeat | Wait, place: Place) -> Node:
    if isinstance(body, Function):
        return outline_of(body.call, place)
    if isinstance(body, Each):
        if body.nodes is not None:
            return attrs.evolve(_frame(body.nodes, place, place.inside(ANY)), many=True)
        return attrs.evolve(outline_of(body.function.call, place), many=True)
    if isinstance(body, Group):
        members = tuple(map(functools.partial(_outline_of_member, place), body.ids, body.members))
        edges = [Edge(members[before], member) for index, member in enumerate(members) for before in body.before(index)]
        return Node(kind="frame", label=place.label, name=place.name, inside=Graph(members, tuple(edges)))
    if isinstance(body, Wait):
        return Node(kind="step", label=place.label, name=place.name)
    if isinstance(body, Repeat):
        return attrs.evolve(_frame(body.nodes, place, place.inside(ANY)), many=True)
    return _frame(body, place, place)


def _outline_of_member(group: Place, id: str, member: Member) -> Node:
    label = _name(member) if id.isdigit() and isinstance(member, Function) else id
    return _outline_of_body(member, group.inside(id, label))


def _frame(steps: Nodes, place: Place, around: Place) -> Node:
    """Return the frame at `place` around `steps`, which are inside `around`."""
    draft = Draft()
    _add_all(draft, steps, around)
    inside = draft.graph()
    if not inside.nodes:
        return Node(kind="step", label=place.label, name=place.name)
    return Node(kind="frame", label=place.label, name=place.name, inside=inside)


def _notes(step: PipelineStep) -> Iterator[str]:
    body = step.body
    if isinstance(step.condition, Function):
        yield f"if {_name(step.condition)}"
    elif step.condition is not None:
        yield "never"
    if step.transforms:
        yield "replaces the context"
    if isinstance(body, Each):
        yield f"for each {body.each} of {body.over}"
        if body.settle:
            yield "settle"
        yield from limit_notes(body.plan)
    elif isinstance(body, Repeat):
        yield f"until {_name(body.until)}"
        yield "1 round" if body.at_most == 1 else f"{body.at_most} rounds at most"
    elif isinstance(body, Wait):
        yield f"waits for {body.provides}" + ("" if body.timeout is None else f", {body.timeout:g} s")
    elif isinstance(body, Group):
        yield body.mode
        yield from limit_notes(body.plan)
    if step.policies is not None:
        yield from policy_notes(step.policies)
    if step.on_error != "raise":
        yield _ON_ERROR[step.on_error]


def _label(case: Case) -> str:
    return case.id if case.condition is None else f"{case.id}: {_name(case.condition)}"


def _name(function: Function) -> str:
    """Return the name of a function; for a lambda, its parameters."""
    name, signature = name_of(function.call), function.signature
    return f"λ({', '.join((*signature.required, *signature.optional))})" if name == "λ" else name
