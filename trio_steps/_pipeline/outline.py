"""What is drawn of a pipeline, a fork or another step, and of a run of it."""

from __future__ import annotations

import functools
import inspect
from collections import defaultdict
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal, cast, final

import attrs
import trio

from trio_steps._core.errors import ConfigError
from trio_steps._core.step import Guarded, Step
from trio_steps._drawing.graph import Draft, Fate, Graph, Node, to_dot, to_mermaid
from trio_steps._fork.engine.run import run as run_fork
from trio_steps._fork.modes import All, Quorum, Race, Settle
from trio_steps._observers.rows import WORDS, counts, read, walk

from .definition import Branch, Each, Function, Group, Repeat
from .run.loop import program_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trio_steps._core.events import Event
    from trio_steps._core.policies import Policies
    from trio_steps._drawing.graph import Direction, Run
    from trio_steps._fork.plan import Plan
    from trio_steps._observers.rows import Row

    from .definition import Case, Member, Nodes
    from .definition import Node as PipelineStep

_MODES: Final[tuple[tuple[object, str], ...]] = ((Race, "race"), (All, "all"), (Settle, "settle"))
_MOST_PATHS: Final = 20
"""A fork of more is one node: nobody could tell them apart."""
_ANY: Final = "*"
"""What the runs inside a node are called that stands for many."""


def draw(
    language: Literal["mermaid", "dot"],
    step: Step[Any, Any],
    direction: Direction,
    events: Iterable[Event] | None = None,
) -> str:
    """Return `step` as a diagram; with `events`, as its last run among them has left it.

    Raises:
      ConfigError: there is no such direction, or `step` is no step.
    """
    if direction not in ("down", "right"):
        raise ConfigError(f'direction={direction!r}: use "down" or "right"')
    if not isinstance(step, Step):
        raise ConfigError(f"{step!r} is no pipeline, fork or other step: there is nothing to draw")
    graph = _Sketch(whole=events is None).of(step)
    run = None if events is None else _run_of(graph, _last_run(step.id, read(events)))
    write = to_mermaid if language == "mermaid" else to_dot
    return write(graph, direction=direction, run=run)


# From steps to nodes


@final
class _Sketch:
    """What is drawn of a step; of those with ``log=False`` only if it is `whole`, for a run does not tell of them."""

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole

    def of(self, step: Step[Any, Any]) -> Graph:
        """Return the graph of `step`, whose own name in it is empty."""
        program = program_of(step)
        if program is None:
            return Graph((self._call(step.entry, step.id, ""),))
        draft = Draft()
        draft.then(Node(kind="start", label=program.name, name=""))
        self._add_all(draft, program.nodes, "")
        return draft.graph()

    def _add_all(self, draft: Draft, steps: Nodes, around: str) -> None:
        for step in steps:
            if step.log or self._whole:
                self._add(draft, step, _within(around, step.id))

    def _add(self, draft: Draft, step: PipelineStep, name: str) -> None:
        body, notes, maybe = step.body, tuple(_step_notes(step)), step.condition is not None
        if not isinstance(body, Branch):
            node = self._body(body, step.id, name)
            kind = "transform" if step.transforms and node.inside is None else node.kind
            draft.then(attrs.evolve(node, kind=kind, notes=(*notes, *node.notes), maybe=maybe))
            return
        cases = [
            (_case(case), functools.partial(self._add_all, steps=case.nodes, around=_within(name, case.id)))
            for case in body.cases
        ]
        if body.cases[-1].condition is not None:
            cases.append(("otherwise", functools.partial(self._add_all, steps=(), around=name)))
        draft.choose(Node(kind="decision", label=step.id, name=name, notes=notes, maybe=maybe), cases)

    def _body(self, body: Function | Nodes | Group | Each | Repeat, label: str, name: str) -> Node:
        if isinstance(body, Function):
            return self._call(body.call, label, name)
        if isinstance(body, Each):
            if body.nodes is not None:
                return attrs.evolve(self._frame(body.nodes, label, name, _within(name, _ANY)), many=True)
            policies, _ = _opened(body.function.call)
            return Node(kind="step", label=label, name=name, notes=policies, many=True)
        if isinstance(body, Group):
            members = tuple(map(functools.partial(self._member, name), body.ids, body.members))
            return Node(kind="frame", label=label, name=name, inside=Graph(members))
        if isinstance(body, Repeat):
            return attrs.evolve(self._frame(body.nodes, label, name, _within(name, _ANY)), many=True)
        return self._frame(body, label, name, name)

    def _member(self, group: str, id: str, member: Member) -> Node:
        label = _function(member) if id.isdigit() and isinstance(member, Function) else id
        return self._body(member, label, _within(group, id))

    def _frame(self, steps: Nodes, label: str, name: str, around: str) -> Node:
        draft = Draft()
        self._add_all(draft, steps, around)
        inside = draft.graph()
        if not inside.nodes:
            return Node(kind="step", label=label, name=name)
        return Node(kind="frame", label=label, name=name, inside=inside)

    def _call(self, call: Any, label: str, name: str) -> Node:
        """Return the node of what a step calls, which may be a fork or a pipeline."""
        notes, call = _opened(call)
        program = program_of(call)
        if program is not None:
            node = self._frame(program.nodes, label, name, name)
            return attrs.evolve(node, notes=notes)
        if not _is_partial(call):
            return Node(kind="step", label=label, name=name, notes=notes)
        fork = cast("Plan", call.args[0])
        notes = (*notes, *_fork_notes(fork))
        if not fork.known or len(fork.known) > _MOST_PATHS:
            return Node(kind="step", label=label, name=name, notes=(*notes, _paths(fork)), many=True)
        paths = tuple(self._call(path, id, _within(name, id)) for id, path in zip(fork.known.ids, fork.known.calls))  # noqa: B905
        return Node(kind="frame", label=label, name=name, notes=notes, inside=Graph(paths))


def _within(around: str, id: str) -> str:
    return f"{around}/{id}" if around else id


def _opened(call: Any) -> tuple[tuple[str, ...], Any]:
    """Return the policies of the steps around what is called, and that: the entry of a fork or pipeline, or another."""
    notes: list[str] = []
    while True:
        if isinstance(call, Guarded):
            notes += _policy_notes(call.policies)
            call = call.call
        elif _is_partial(call) and call.func is not run_fork and program_of(call) is None:
            call = call.func
        elif _unwrapped(call) is not call:
            call = _unwrapped(call)
        else:
            return tuple(notes), call


def _is_partial(call: Any) -> bool:
    return isinstance(call, functools.partial)


def _unwrapped(call: Any) -> Any:
    try:
        return inspect.unwrap(call)
    except ValueError:
        return call  # it wraps itself


# What is said of them


def _step_notes(step: PipelineStep) -> Iterator[str]:
    body = step.body
    if isinstance(step.condition, Function):
        yield f"if {_function(step.condition)}"
    elif step.condition is not None:
        yield "never"
    if step.transforms:
        yield "replaces the context"
    if isinstance(body, Each):
        yield f"for each {body.each} of {body.over}"
        if body.settle:
            yield "settle"
        yield from _limits(body.plan)
    elif isinstance(body, Repeat):
        yield f"until {_function(body.until)}"
        yield "1 round" if body.at_most == 1 else f"{body.at_most} rounds at most"
    elif isinstance(body, Group):
        yield body.mode
        yield from _limits(body.plan)
    if step.policies is not None:
        yield from _policy_notes(step.policies)
    if step.on_error != "raise":
        yield f"on error: {'continue' if step.on_error == 'continue' else 'skip the rest'}"


def _case(case: Case) -> str:
    return case.id if case.condition is None else f"{case.id}: {_function(case.condition)}"


def _function(function: Function) -> str:
    """Return what a function is called; of a lambda, what it is called with."""
    name, signature = _name(function.call), function.signature
    return f"λ({', '.join((*signature.required, *signature.optional))})" if name == "λ" else name


def _name(call: object) -> str:
    _, call = _opened(call)
    name = getattr(call, "__name__", None)
    if not isinstance(name, str):
        return type(call).__name__
    return "λ" if name == "<lambda>" else name


def _policy_notes(policies: Policies) -> Iterator[str]:
    if policies.total_timeout is not None:
        yield f"total timeout {policies.total_timeout:g} s"
    if policies.limiter is not None:
        yield _shared(policies.limiter)
    if policies.circuit_breaker is not None:
        yield "circuit breaker"
    if policies.retry is not None:
        yield "1 attempt" if policies.retry.attempts == 1 else f"{policies.retry.attempts} attempts"
    if policies.timeout is not None:
        yield f"timeout {policies.timeout:g} s"


def _shared(limiter: trio.CapacityLimiter) -> str:
    return "shared limiter" if limiter.total_tokens == inf else f"shared limit of {limiter.total_tokens}"


def _fork_notes(fork: Plan) -> Iterator[str]:
    mode: Any = fork.mode
    if _is_partial(mode) and mode.func is Quorum:
        yield f"quorum of {mode.keywords['need']}"
    else:
        yield next((name for kind, name in _MODES if mode is kind), "a mode of its own")
    yield from _limits(fork)
    if fork.merge is not None and fork.merge is not tuple:
        yield f"merge: {_name(fork.merge)}"


def _limits(fork: Plan) -> Iterator[str]:
    if isinstance(fork.concurrency, trio.CapacityLimiter):
        yield _shared(fork.concurrency)
    elif fork.concurrency is not None:
        yield f"{fork.concurrency} at a time"
    if fork.stagger is not None:
        yield f"stagger {fork.stagger:g} s"
    if fork.timeout is not None:
        yield f"timeout {fork.timeout:g} s"


def _paths(fork: Plan) -> str:
    """Return where the paths of a fork come from that are not drawn one by one."""
    if fork.known is not None:
        return f"{len(fork.known)} paths"
    return f"paths from {_name(fork.source if fork.function is None else fork.function)}"


# From a run to the fates of nodes


def _last_run(id: str, rows: list[Row]) -> Row | None:
    """Return the run of the step `id` that began last, wherever it is."""
    # of those that began at the same time it is the last, too
    return max(reversed([row for row in walk(rows) if row.id == id]), key=lambda row: row.start, default=None)


def _run_of(graph: Graph, root: Row | None) -> Run:
    """Return what the run `root` has left of each node."""
    nodes = {node.name: node for node in graph.walk()}
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    ahead = [] if root is None else [("", root)]
    while ahead:
        name, row = ahead.pop()
        rows[name].append(row)
        since = row.retries[-1].time if row.retries else -inf
        inside = [child for child in row.children if child.start >= since]  # in its last attempt
        if name in nodes and nodes[name].many:
            ahead += [(_within(name, _ANY), child) for child in inside]
        else:
            ahead += [
                (_within(name, label), child) for label, child in {child.label: child for child in inside}.items()
            ]
    return {node: _fate(rows[name], node) for name, node in nodes.items() if name in rows}


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
