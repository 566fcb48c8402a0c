"""The plan of a pipeline, which the builder makes and the loop executes. It is immutable, and runs nothing.

A pipeline is a sequence of nodes. A node says when and under which policies its body runs, and what happens to the
output. The body is a function (or a fork that is used as a step), another sequence of nodes, a group of members
(functions or sequences of nodes), a branch of cases, a function for each element of a collection, or a sequence of
nodes that is repeated. A group and a for_each hold the plan of their fork.

Everything that can be known before a run is worked out here, once: how each function is called, and the fork of each
group. Full names depend on where a pipeline is nested, and are made as the loop descends.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, final

import attrs

from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._durable.protocol import Question
from trio_steps._values.copying import copy_value

from .call import Function
from .contract.layered import Layered
from .contract.records import arguments_of, is_typed_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from trio_steps._core.events.records import Observer
    from trio_steps._core.policy.policies import Policies
    from trio_steps._fork.paths import Call
    from trio_steps._fork.plan import Plan
    from trio_steps._values.codec import Codec, TypedCodec

    from .context import MergePolicy
    from .contract.flow import Flow
    from .contract.records import Inputs
    from .contract.shape import Shape

ANY: Final = "*"
"""Stands for the id of an element in the full name of a step that runs for each element."""

Hook: TypeAlias = "Callable[..., object]"
"""A sync or async function that is told what happens."""

OnError: TypeAlias = Literal["raise", "continue", "skip-remaining"]


Nodes: TypeAlias = "tuple[Node, ...]"
Member: TypeAlias = "Function | Nodes"


@final
@attrs.frozen(kw_only=True, eq=False)
class Group:
    """Members that run at once, as the fork `plan`; its paths are called with the run of the group.

    In a flow, a member starts when the siblings from which it takes keys have ended. So a flow is a fork with
    ``mode="all"`` whose paths come from a source, each as soon as it may start. A member that waits is not a path yet,
    and holds no slot, token or permit. What a sibling provides comes from that sibling or not at all: if the sibling
    ends without the key, the member does not get it, whatever the context has.

    Attributes:
      mode: the mode of the fork.
      ids: the names of the members.
      was: the names that they had before.
      members: what they do.
      plan: the fork; that of a flow has no paths.
      edges: for each member of a flow, its keys that come from siblings, and the indexes of those; otherwise empty.
    """

    mode: Literal["all", "settle", "race", "flow"]
    ids: tuple[str, ...]
    was: tuple[tuple[str, ...], ...]
    members: tuple[Member, ...]
    plan: Plan
    edges: tuple[Mapping[str, int], ...] = ()

    def before(self, index: int) -> tuple[int, ...]:
        """Return the indexes of the members that have to end before member `index` starts."""
        return tuple(sorted(set(self.edges[index].values()))) if self.edges else ()


@final
@attrs.frozen(kw_only=True, eq=False)
class Case:
    """A case of a branch. ``otherwise`` is the case without a condition."""

    id: str
    was: tuple[str, ...]
    condition: Function | None
    nodes: Nodes


@final
@attrs.frozen(eq=False)
class Branch:
    """Cases, of which the first whose condition holds is run."""

    cases: tuple[Case, ...]


@final
@attrs.frozen(kw_only=True, eq=False)
class Each:
    """What is run for each element of a collection, as the fork `plan` without its paths.

    Attributes:
      function: what is called with an element under `each`.
      nodes: what runs instead, for a pipeline, in a context with the element under `each`.
      path: the path of the fork for an element.
      result: turns the context at the end of `nodes` into what the pipeline would return.
      over: the key that holds the collection.
      each: the parameter or key that gets the element.
      into: the key of the results.
      plan: the fork.
      settle: the results are `SettleResult`s.
    """

    function: Function
    nodes: Nodes | None
    path: Call
    result: Callable[[dict[str, object]], object]
    over: str
    each: str
    into: str
    plan: Plan
    settle: bool


@final
@attrs.frozen(kw_only=True, eq=False)
class Repeat:
    """A sequence of nodes that is run in rounds.

    A round sees the context around it with the changes of the rounds before it. All rounds together make one patch. A
    round is complete when `until` has answered. The answer is recorded with it, and not asked again.

    Attributes:
      nodes: one round. Their full names in a run have its number, ``refine/2/draft``; `names_of` leaves it out.
      until: whether that was the last round; called like a condition, with the context after it.
      at_most: how many rounds there may be.
      on_limit: what happens if `until` does not hold after the last round: a `LoopLimitError`, or nothing.
    """

    nodes: Nodes
    until: Function
    at_most: int
    on_limit: Literal["raise", "continue"]


@final
@attrs.frozen(kw_only=True, eq=False)
class Wait:
    """A question that is answered from outside the run.

    Attributes:
      provides: the key of the answer.
      of: the names of the types that the answer may have; empty for any.
      timeout: seconds for the answer, whether the run is running or not; None for no limit.
    """

    provides: str
    of: tuple[str, ...]
    timeout: float | None


@final
@attrs.frozen(kw_only=True, eq=False)
class Node:
    """A step of a pipeline.

    Attributes:
      id: its name among the steps of the pipeline.
      was: the names that it had before, the oldest first.
      body: what it does.
      condition: whether it runs at all; None means always.
      policies: None if there are none.
      on_error: what its failure does.
      merge_policy: how its output is merged.
      transforms: its output replaces the context.
      log: whether it appears in logs and summaries.
      before: what is known of the context that it sees.
      after: what is known of the context after it.
    """

    id: str
    was: tuple[str, ...]
    body: Function | Nodes | Group | Branch | Each | Repeat | Wait
    condition: Function | bool | None
    policies: Policies | None
    on_error: OnError
    merge_policy: MergePolicy
    transforms: bool
    log: bool
    before: Shape
    after: Shape

    def inner(self) -> Iterator[tuple[str, Nodes]]:
        """Yield the rows of nodes inside this one, each with what follows this node's name in their full names.

        In a run, the id of an element follows too, or the number of a round, which is left out here.
        """
        body = self.body
        if isinstance(body, tuple):
            yield "/", body
        elif isinstance(body, Group):
            for id, member in zip(body.ids, body.members):  # noqa: B905 - as long as each other
                if isinstance(member, tuple):
                    yield f"/{id}/", member
        elif isinstance(body, Branch):
            for case in body.cases:
                yield f"/{case.id}/", case.nodes
        elif isinstance(body, Each) and body.nodes is not None:
            yield f"/{ANY}/", body.nodes
        elif isinstance(body, Repeat):
            yield "/", body.nodes


def _rows_of(nodes: Nodes) -> Iterator[Nodes]:
    """Yield all rows inside `nodes`."""
    ahead = [nodes]
    while ahead:
        inner = [row for node in ahead.pop() for _, row in node.inner()]
        yield from inner
        ahead += inner


def sharing(nodes: Nodes, keys: AbstractSet[str]) -> Nodes:
    """Return `nodes` with more keys that are not copied."""
    if not keys:
        return nodes
    more = tuple(_sharing(node, keys) for node in nodes)
    return Row.of(more, nodes.hooks, nodes.observers) if isinstance(nodes, Row) else more


def _sharing(node: Node, keys: AbstractSet[str]) -> Node:
    def shared(part: Any) -> Any:
        if isinstance(part, Function):
            return part.sharing(keys)
        return sharing(cast("Nodes", part), keys) if isinstance(part, tuple) else part

    body: Any = node.body
    if isinstance(body, Group):
        body = attrs.evolve(body, members=tuple(map(shared, body.members)))
    elif isinstance(body, Branch):
        body = Branch(
            tuple(attrs.evolve(case, condition=shared(case.condition), nodes=shared(case.nodes)) for case in body.cases)
        )
    elif isinstance(body, Each):
        more = keys | {body.each} if body.over in keys else keys
        nodes = None if body.nodes is None else sharing(body.nodes, more)
        body = attrs.evolve(body, function=shared(body.function), nodes=nodes)
    elif isinstance(body, Repeat):
        body = attrs.evolve(body, nodes=shared(body.nodes), until=shared(body.until))
    else:
        body = shared(body)
    return attrs.evolve(node, body=body, condition=shared(node.condition))


def takes(nodes: Nodes, key: str) -> bool:
    """Tell whether something in `nodes` accepts `key` of the context."""
    return any(_takes(node, key) for row in (nodes, *_rows_of(nodes)) for node in row)


def _takes(node: Node, key: str) -> bool:
    body = node.body
    functions: list[object] = [node.condition, body]
    if isinstance(body, Group):
        functions += body.members
    elif isinstance(body, Branch):
        functions += [case.condition for case in body.cases]
    elif isinstance(body, Each):
        if body.over == key:
            return True
        if body.nodes is None:
            functions.append(body.function)
    elif isinstance(body, Repeat):
        functions.append(body.until)
    signatures = [function.signature for function in functions if isinstance(function, Function)]
    return any(signature.takes(key) or signature.whole for signature in signatures)


def _is_renamed(node: Node) -> bool:
    body = node.body
    inside = [case.was for case in body.cases] if isinstance(body, Branch) else ()
    return bool(node.was) or any(inside) or (isinstance(body, Group) and any(body.was))


def names_of(nodes: Nodes) -> Iterator[str]:
    """Yield the full names of all steps, each before those inside it."""
    ahead: list[str | tuple[Nodes, str]] = [(nodes, "")]  # no recursion: pipelines may be nested a thousand deep
    while ahead:
        item = ahead.pop()
        if isinstance(item, str):
            yield item
            continue
        row, prefix = item
        items: list[str | tuple[Nodes, str]] = []
        for node in row:
            name = prefix + node.id
            items.append(name)
            if isinstance(node.body, Group):
                for id, member in zip(node.body.ids, node.body.members):  # noqa: B905 - as long as each other
                    items.append(f"{name}/{id}")
                    if isinstance(member, tuple):
                        items.append((member, f"{name}/{id}/"))
            else:
                items += [(inner, name + infix) for infix, inner in node.inner()]
        ahead += reversed(items)


def questions_of(nodes: Nodes) -> Iterator[Question]:
    """Yield the questions of the steps. ``*`` stands for the id of an element, and for the number of a round."""
    ahead: list[tuple[Nodes, str]] = [(nodes, "")]
    while ahead:
        row, prefix = ahead.pop()
        for node in row:
            name = prefix + node.id
            if isinstance(node.body, Wait):
                yield Question(name=name, provides=node.body.provides, of=node.body.of)
            for infix, inner in node.inner():
                ahead.append((inner, f"{name}/{ANY}/" if isinstance(node.body, Repeat) else name + infix))


def find(nodes: Nodes, name: str) -> Node | None:
    """Return the node with the full name `name`, or the node that has a member of that name; or None."""
    found: Node | tuple[Nodes, str] | None = (nodes, "")
    while isinstance(found, tuple):
        found = _look(*found, name)
    return found


def _look(nodes: Nodes, prefix: str, name: str) -> Node | tuple[Nodes, str] | None:
    """Return the result of `find`; or the row in which to look next, and the prefix of full names there."""
    for node in nodes:
        own = prefix + node.id
        if own == name:
            return node
        if not name.startswith(f"{own}/"):
            continue
        if isinstance(node.body, Group) and name in [f"{own}/{id}" for id in node.body.ids]:
            return node
        for infix, row in node.inner():
            inside = own + infix
            if isinstance(node.body, (Each, Repeat)):  # whichever element or round it is of
                id = name[len(own) + 1 :].partition("/")[0]
                numbered = isinstance(node.body, Each) or (id.isdecimal() and f"{own}/{id}" != name)
                inside = f"{own}/{id}/" if numbered else inside
            if name.startswith(inside):
                return row, inside
    return None


def lines_of(nodes: Nodes, indent: str) -> list[str]:
    """Return the steps as the lines of an indented tree."""
    lines: list[str] = []
    ahead: list[str | tuple[Nodes, str]] = [(nodes, indent)]
    while ahead:
        item = ahead.pop()
        if isinstance(item, str):
            lines.append(item)
        else:
            row, indent = item
            ahead += reversed([part for node in row for part in _lines_of(node, indent)])
    return lines


def _lines_of(node: Node, indent: str) -> Iterator[str | tuple[Nodes, str]]:
    """Yield the lines of a step, and the rows inside it with their indents."""
    body = node.body
    what = ""
    if isinstance(body, Group):
        what = f" ({body.mode})"
    elif isinstance(body, Each):
        what = f" (for each {body.each} of {body.over})"
    elif isinstance(body, Repeat):
        what = f" (repeat, {body.at_most} times at most)"
    elif node.transforms:
        what = " (transform)"
    yield f"{indent}{node.id}{what}"
    deeper = indent + "  "
    if isinstance(body, Group):
        for index, (id, member) in enumerate(zip(body.ids, body.members)):  # noqa: B905 - as long as each other
            after = [body.ids[other] for other in body.before(index)]
            yield f"{deeper}{id}" + (f" (after {', '.join(after)})" if after else "")
            if isinstance(member, tuple):
                yield member, deeper + "  "
    elif isinstance(body, Branch):
        for case in body.cases:
            yield f"{deeper}{case.id}{'?' if case.condition is not None else ''}"
            yield case.nodes, deeper + "  "
    else:
        for _, row in node.inner():
            yield row, deeper


@final
@attrs.frozen(kw_only=True)
class Hooks:
    """The hooks, which are called in turn."""

    complete: tuple[Hook, ...] = ()
    error: tuple[Hook, ...] = ()

    def plus(self, complete: Hook | None, error: Hook | None) -> Hooks:
        """Return these hooks followed by the given ones that are not None.

        Raises:
          ConfigError: it is not a function.
        """
        if complete is not None and not callable(complete):
            raise ConfigError(f"on_step_complete={short_repr(complete)}: give a function of a StepCompletion")
        if error is not None and not callable(error):
            raise ConfigError(
                f"on_error={short_repr(error)}: give a function of a step's name and its error; "
                'what happens next, such as "continue", is an option of the step: .step(…, on_error="continue")'
            )
        return Hooks(
            complete=self.complete if complete is None else (*self.complete, complete),
            error=self.error if error is None else (*self.error, error),
        )


@final
class Row(tuple["Node", ...]):  # noqa: SLOT001 - a tuple can have no slots
    """The nodes of a pipeline that listens to its own steps, wherever they run: its hooks and observers.

    Attributes:
      hooks: those of the pipeline.
      observers: those of the pipeline.
    """

    hooks: Hooks
    observers: tuple[Observer, ...]

    @classmethod
    def of(cls, nodes: Nodes, hooks: Hooks, observers: tuple[Observer, ...]) -> Nodes:
        """Return `nodes` as a sequence that reports to these, if there are any."""
        if not (hooks.complete or hooks.error or observers):
            return nodes
        row = cls(nodes)
        row.hooks = hooks
        row.observers = observers
        return row


@final
@attrs.frozen(kw_only=True, eq=False, slots=False)
class Program:
    """A pipeline.

    Attributes:
      name: what it is called.
      name_given: whether the caller gave that name.
      flow: what is known after its last node.
      nodes: its steps.
      names: the names of the steps, each with the highest number in use for it.
      renamed: their former names, and what each is called now.
      share: the keys that are not copied.
      observers: those of every run.
      hooks: those of every run.
      codec: how the values in its checkpoints are written.
      done: the argument of ``outputs``; None if it was not called.
      inputs: the declared type of its input, if that declares keys.
      strict: whether it must be known what each function returns.
      prefix: the prefix of its nodes' full names, if known: it is built as a case of a branch.
      version: its version, if given.
      versions: other versions whose stored runs it can continue.
      was: the names that it had before, the oldest first.
    """

    name: str
    name_given: bool
    flow: Flow
    nodes: Nodes = ()
    names: Layered[int] = attrs.field(factory=Layered[int])
    renamed: Mapping[str, str] = attrs.field(factory=dict[str, str])
    share: AbstractSet[str] = frozenset()
    observers: tuple[Observer, ...] = ()
    hooks: Hooks = attrs.field(factory=Hooks)
    codec: Codec | TypedCodec | None = None
    done: type[Any] | None = None
    prefix: str = ""
    inputs: Inputs | None = None
    strict: bool = False
    version: str | None = None
    versions: AbstractSet[str | None] = frozenset()
    was: tuple[str, ...] = ()

    @property
    def goes_on_with(self) -> tuple[str | None, ...]:
        """The versions whose stored runs it can continue, its own first."""
        return (self.version, *(version for version in self.versions if version != self.version))

    @functools.cached_property
    def row(self) -> Nodes:
        """The nodes as they run inside another pipeline, wrapped with the pipeline's own hooks and observers."""
        return Row.of(self.nodes, self.hooks, self.observers)

    @functools.cached_property
    def hooks_inside(self) -> bool:
        """Whether a pipeline inside it has hooks."""
        return any(isinstance(row, Row) and (row.hooks.complete or row.hooks.error) for row in _rows_of(self.nodes))

    @functools.cached_property
    def tells_inside(self) -> bool:
        """Whether a pipeline inside it has a hook that is called when a step is done."""
        return any(isinstance(row, Row) and row.hooks.complete for row in _rows_of(self.nodes))

    @functools.cached_property
    def shared_by_nobody(self) -> AbstractSet[str]:
        """The keys in `share` that no step provides, as far as that is known."""
        rows = [self.nodes, *_rows_of(self.nodes)]
        nodes = [node for row in rows for node in row]
        if any(node.after.open for node in nodes):
            return frozenset()
        each = {node.body.each for node in nodes if isinstance(node.body, Each)}
        return {key for key in self.share - each if not any(key in node.after.keys for node in nodes)}

    @functools.cached_property
    def steps(self) -> tuple[str, ...]:
        """The full names of all steps, each before those inside it."""
        return tuple(names_of(self.nodes))

    @functools.cached_property
    def is_renamed(self) -> bool:
        """Whether it, or something in it, was renamed."""
        return bool(self.was) or any(_is_renamed(node) for row in (self.nodes, *_rows_of(self.nodes)) for node in row)

    @functools.cached_property
    def has_aliases(self) -> bool:
        """Whether values of its context may be part of others: the results of pipelines that run for each element."""
        return any(f"/{ANY}/" in name for name in self.steps)

    def result(self, values: dict[str, object]) -> Any:
        """Return the result of a run that ends with the context `values`."""
        done = self.done
        if done is None or is_typed_dict(done):
            return values
        arguments = arguments_of(done).items()
        return done(**{argument.name: values[key] for key, argument in arguments if key in values})

    def result_inside(self, values: dict[str, object]) -> Any:
        """Return the result of a run inside another one; an object made of it gets none of the other's values."""
        if self.done is None or is_typed_dict(self.done):
            return values
        return self.result({key: copy_value(values[key]) for key in arguments_of(self.done) if key in values})
