"""The one loop that executes a plan, for run and resume alike.

Problem: run a row of nodes that pass a context forward; go down into nested rows, branches and forks; forgive, stop,
report and record on the way; and do the same again from the middle.

Naive answer: a loop to run, and another one that finds the place and goes on from there. The two drift apart.

What is done instead. The loop asks at each node whether the journal has it. If so, it enters what the node did
and goes on; else it runs the node and appends to the journal. A run begins with an empty journal, a resumed one
with that of its checkpoint, and there is no other difference. A container that was not done has no entry of its
own, but the nodes inside it have theirs: so it is gone into, and resumed inside.

The journal is append-only, so that a checkpoint is the list and a length. When something is to be forgotten (the
entries of a failed attempt, or those inside a container that is done now), a shorter list takes its place, and
the checkpoints keep theirs. Nothing is journaled inside a race, which is resumed before it.

What is deliberately not done: nothing is timed, recorded or made when nobody listens.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from enum import Enum
from types import CoroutineType, MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, cast, final

import attrs
import trio

from ._checkpoint import Checkpoint, Entry
from ._context import Context, Output, Snapshot, Store, as_output, copy_value, described, merge
from ._engine import run as run_fork
from ._errors import CircuitOpenError, ForkPartialError, StepInputError, StepOutputError, name_step
from ._events import KeyOverridden, StepCancelled, StepSkipped, StepStarted, logger
from ._nodes import Branch, Each, Function, Group, Partial, element_path
from ._results import Fulfilled, Rejected
from ._scope import Scope, current, current_scope
from ._step import observe_end, type_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from collections.abc import Set as AbstractSet

    from ._checkpoint import Codec
    from ._context import Collision
    from ._engine import Path
    from ._nodes import Node, Nodes

CompleteHook: TypeAlias = "Callable[[StepCompletion], object]"
"""What ``on_step_complete=`` takes: a sync or async function of a `StepCompletion`."""

ErrorHook: TypeAlias = "Callable[[str, Exception], object]"
"""What ``on_error=`` takes: a sync or async function of a step's full name and the error."""


@final
@attrs.frozen(kw_only=True)
class Hooks:
    """Who is told, each in its turn."""

    complete: tuple[CompleteHook, ...] = ()
    error: tuple[ErrorHook, ...] = ()

    def plus(self, complete: CompleteHook | None, error: ErrorHook | None) -> Hooks:
        """Return these and, after them, what is not None."""
        return Hooks(
            complete=self.complete if complete is None else (*self.complete, complete),
            error=self.error if error is None else (*self.error, error),
        )


@final
@attrs.frozen(kw_only=True, eq=False)
class Program:
    """A pipeline as the loop sees it: its name, its nodes, all their full names, and what goes with them."""

    name: str
    nodes: Nodes
    steps: tuple[str, ...]
    share: AbstractSet[str]
    codec: Codec | None


@final
class StepCompletion:
    """A step has ended well; what ``on_step_complete`` is told.

    Attributes:
      name: the full name of the step.
      duration: how long it took, in seconds.
    """

    __slots__ = ("_context", "_journal", "_length", "_run", "_snapshot", "duration", "name")

    def __init__(self, run: Run, name: str, duration: float, snapshot: Snapshot) -> None:
        self.name: str = name
        self.duration: float = duration
        self._run = run
        self._snapshot = snapshot
        self._journal = run.journal
        self._length = len(run.journal)
        self._context: Context | None = None

    def __repr__(self) -> str:
        return f"<StepCompletion of {self.name!r} in {self.duration:g} s>"

    @property
    def context(self) -> Context:
        """The context after the step, as the next one will see it."""
        if self._context is None:
            self._context = Context(self._snapshot, self._run.program.share)
        return self._context

    @property
    def checkpoint(self) -> Checkpoint:
        """What the run can be resumed from, right after this step; inside a race, from before the race."""
        program = self._run.program
        return Checkpoint(program.name, program.steps, self._journal, self._length, program.codec)

    def stop(self) -> None:
        """End the run after this step; it returns the context that there is then."""
        self._run.stopped = True


@final
class _HookFailedError(BaseException):
    """A hook raised `error`: no policy of a step may forgive that."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class _Then(Enum):
    """What comes after a node."""

    NEXT = "the next node"
    END = "nothing: the rest is skipped"
    STOP = "nothing: the run was stopped, and this node is not done"
    RAISE = "its error"


_SELF: Mapping[str, str] = MappingProxyType({})  # every key comes from the step itself
_NEXT = _Then.NEXT  # an attribute of an Enum takes long


async def execute(
    program: Program,
    hooks: Hooks,
    entries: Sequence[Entry] | None,
    finish: Callable[[dict[str, object]], Any],
    *args: Any,
) -> Any:
    """Run `program` in the scope that is open, and return what `finish` makes of the context at the end.

    Args:
      program: what to run.
      hooks: who is told.
      entries: what is done already; None: nothing, and the input is in `args`.
      finish: makes the result.
      args: the input, if there is one.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    resumed = entries is not None
    if entries is None:
        entries = (Entry(kind="inputs", changes=_as_input(args[0] if args else None, program)),)
    run = Run(program, hooks, entries)
    store = Store(dict(entries[0].changes), "the input")
    try:
        await run.row(program.nodes, store, "", current_scope(), record=bool(hooks.complete))
    except _HookFailedError as failed:
        raise failed.error from failed.error.__cause__
    values = store.now().own
    if resumed or hooks.complete:  # somebody else may have a checkpoint with the very values
        return finish({key: value if key in program.share else copy_value(value) for key, value in values.items()})
    return finish(dict(values))


def _as_input(inputs: object, program: Program) -> dict[str, object]:
    try:
        return as_output(inputs, program.name, program.share)
    except StepOutputError as error:
        raise TypeError(
            f"pipeline {program.name!r} takes a mapping with str keys, or an attrs or dataclass instance, "
            f"not {described(inputs)}"
        ) from error


def overridden(entries: Sequence[Entry], overrides: Mapping[str, object]) -> tuple[Entry, ...]:
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


def _awaitable(result: object) -> bool:
    return type_of(result) is CoroutineType or hasattr(type_of(result), "__await__")


@final
class Run:
    """One run of a pipeline, or the rest of one.

    Attributes:
      program: what is run.
      journal: what is done.
      stopped: somebody called ``stop()``: no node is started any more.
      tells: somebody wants to know when a node is done.
      resumes: it began with more than its input.
    """

    def __init__(self, program: Program, hooks: Hooks, entries: Sequence[Entry]) -> None:
        self.program = program
        self.journal: list[Entry] = list(entries)
        self.stopped = False
        self.tells: bool = bool(hooks.complete)
        self.resumes: bool = len(entries) > 1
        self._hooks = hooks
        self._reported: dict[int, Exception] = {}  # by id; this keeps what an id stands for alive
        # what there is to resume
        self._done: dict[str, Entry] = {}
        self._taken: dict[str, str] = {}
        self._elements: dict[str, dict[str, Entry]] = {}
        self._inside: set[str] = set()  # containers that had begun
        for entry in entries[1:]:
            if entry.kind == "taken":
                self._taken[entry.step] = cast("str", entry.case)
                self._inside.add(entry.step)
            elif entry.case is not None:
                self._elements.setdefault(entry.step, {})[entry.case] = entry
                self._inside.add(entry.step)
            else:
                self._done[entry.step] = entry
            around = entry.step.rpartition("/")[0]
            while around:
                self._inside.add(around)
                around = around.rpartition("/")[0]

    # The loop

    async def row(self, nodes: Nodes, store: Store, prefix: str, around: Scope, record: bool) -> bool:
        """Run `nodes` one after the other; return False if the run was stopped before all were done."""
        run_node = self._node
        for node in nodes:
            if self.stopped:
                return False
            then = await run_node(node, store, prefix, around, record)
            if then is not _NEXT:
                return then is _Then.END
        return True

    async def _node(self, node: Node, store: Store, prefix: str, around: Scope, record: bool) -> _Then:
        name = prefix + node.id
        if self._done and name in self._done:
            self._redo(self._done[name], store)
            return _Then.NEXT
        observe = around.observers
        if observe is not None and not node.log:
            observe = observe.quietly()
        scope = Scope(node.id, around, around.state, observe, around.lease)
        current.set(scope)
        start = trio.current_time() if observe is not None or self.tells else 0.0
        body = node.body
        checkpoint = False
        started = complete = True
        changes: dict[str, object]
        sources: Mapping[str, str] = _SELF
        try:
            if node.condition is not None and name not in self._inside:
                started = False
                if not await self._holds(node.condition, store, name):
                    self._skip(scope, name, "its condition does not hold", record)
                    return _Then.NEXT
                started = True
            if observe is not None:
                observe(StepStarted(name=scope.name, time=start, scope=scope))
            if type(body) is Function:
                if node.policies is None:
                    args, kwargs = body.bind(store if body.keeps else store.readable(), name)
                    result = body.call(*args, **kwargs)
                    del args, kwargs  # they may hold a snapshot, for which the store would have to be copied
                    kind = type_of(result)
                    if kind is not dict and (kind is CoroutineType or hasattr(kind, "__await__")):
                        result = await result
                    else:
                        checkpoint = True
                else:
                    attempt = functools.partial(_call, body, store, name)
                    result, checkpoint = await node.policies.apply(scope, attempt)
                if node.transforms:
                    changes = {}
                    values = _replacement(body, result, name)
                    if record:
                        changes = dict(values)
                    store.replace(values, name)
                else:
                    changes = _output(body, result, name)
                    if node.merge_policy == "override":
                        sources = _SELF
                        store.enter(changes, name)
                    else:
                        changes, sources = self._merge(node, store, [Output(name, changes)], scope, name)
                del result
                if checkpoint:
                    await trio.lowlevel.checkpoint()
            else:
                if node.policies is None:
                    outputs, complete = await self._attempt(node, store, name, scope, record)
                else:
                    again = functools.partial(self._attempt, node, store, name, scope, record)
                    outputs, complete = await node.policies.apply(scope, again)
                changes, sources = self._merge(node, store, outputs, scope, name)
        except Exception as error:
            then = await self._failed(node, scope, name, start, started, error, record)
            if then is _Then.RAISE:
                raise
            return then
        except BaseException as error:
            if observe is not None and started:
                observe_end(observe, scope, start, error.error if isinstance(error, _HookFailedError) else error)
            raise
        if not complete:
            if observe is not None:
                now = trio.current_time()
                reason = "the run was stopped"
                event = StepCancelled(name=scope.name, time=now, scope=scope, duration=now - start, reason=reason)
                observe(event)
            return _Then.STOP
        if observe is not None:
            observe_end(observe, scope, start, None)
        if record:
            if not isinstance(body, Function):
                self._forget(name)
            others = {key: source for key, source in sources.items() if source != name}
            self.journal.append(
                Entry(kind="transform" if node.transforms else "done", step=name, changes=changes, sources=others)
            )
        if self.tells:
            await self._completed(name, start, store.now())
        return _NEXT

    async def _attempt(
        self, node: Node, store: Store, name: str, scope: Scope, record: bool
    ) -> tuple[list[Output], bool]:
        """Run the body of a container; return what comes out of it, and whether all of it is done."""
        body = node.body
        current.set(scope)  # an attempt before this one may have ended further inside
        try:
            if isinstance(body, Group):
                return await _GroupRun(self, body, store, name, record).outputs()
            if isinstance(body, Each):
                return await _EachRun(self, body, store, name, record).outputs()
            if isinstance(body, Branch):
                return await self._branch(body, store, name, scope, record)
            return await self.nested(cast("Nodes", body), store, name, scope, record)
        except BaseException:
            self._forget(name)
            raise

    async def nested(
        self, nodes: Nodes, store: Store, name: str, scope: Scope, record: bool
    ) -> tuple[list[Output], bool]:
        """Run a row of nodes that sees what `store` holds; its output is a patch."""
        inner = store.nested()
        complete = await self.row(nodes, inner, name + "/", scope, record)
        current.set(scope)
        return [Output(name, inner.patch(), is_patch=True)], complete

    async def _branch(
        self, branch: Branch, store: Store, name: str, scope: Scope, record: bool
    ) -> tuple[list[Output], bool]:
        taken = self._taken.get(name)
        for case in branch.cases:
            if taken is not None:
                hit = case.id == taken
            else:
                hit = case.condition is None or await self._holds(case.condition, store, name)
            if hit:
                break
        else:
            await trio.lowlevel.checkpoint()
            return [], True
        if record and taken is None:
            self.journal.append(Entry(kind="taken", step=name, case=case.id))
        inside = Scope(case.id, scope, scope.state, scope.observers, scope.lease)
        return await self.nested(case.nodes, store, f"{name}/{case.id}", inside, record)

    async def _holds(self, condition: Function | bool, store: Store, name: str) -> bool:
        if isinstance(condition, bool):
            return condition
        return bool((await _call(condition, store, name))[0])

    def _merge(
        self, node: Node, store: Store, outputs: list[Output], scope: Scope, name: str
    ) -> tuple[dict[str, object], dict[str, str]]:
        merged = merge(store, outputs, node.merge_policy, name)
        store.update(merged.changes, merged.sources)
        for collision in merged.collisions:
            self._warn(collision, scope, node.log)
        return merged.changes, merged.sources

    def _warn(self, collision: Collision, scope: Scope, log: bool) -> None:
        key, first, second = collision.key, collision.first, collision.second
        if log:
            logger.warning("%s: the key %r of %r replaces that of %r", scope.name, key, second, first)
        if scope.observers is not None:
            now = trio.current_time()
            event = KeyOverridden(name=scope.name, time=now, scope=scope, key=key, first=first, second=second)
            scope.observers(event)

    # What does not go well

    async def _failed(
        self, node: Node, scope: Scope, name: str, start: float, started: bool, error: Exception, record: bool
    ) -> _Then:
        """Take the failure of a node, and return what comes after it."""
        if isinstance(error, CircuitOpenError) and error.skip and error.step == scope.name:
            self._skip(scope, name, str(error), record)
            return _Then.NEXT
        name_step(error, scope.name)
        if scope.observers is not None:
            if not started:
                scope.observers(StepStarted(name=scope.name, time=start, scope=scope))
            observe_end(scope.observers, scope, start, error)
        await self.report(name, error)
        if node.on_error == "raise":
            return _Then.RAISE
        if node.on_error == "skip-remaining":
            return _Then.END
        if record:
            self.journal.append(Entry(kind="skipped", step=name))
        return _Then.NEXT

    def _skip(self, scope: Scope, name: str, reason: str, record: bool) -> None:
        if scope.observers is not None:
            now = trio.current_time()
            scope.observers(StepSkipped(name=scope.name, time=now, scope=scope, reason=reason))
        if record:
            self.journal.append(Entry(kind="skipped", step=name))

    # What is recorded, and told

    def _redo(self, entry: Entry, store: Store) -> None:
        name = entry.step
        if entry.kind == "transform":
            store.replace(dict(entry.changes), name)
        elif entry.kind == "done":
            store.update(entry.changes, {key: entry.sources.get(key, name) for key in entry.changes})

    def _forget(self, name: str) -> None:
        """Forget what happened inside the step `name`: it failed, or is done as a whole."""
        inside = name + "/"

        def is_inside(step: str) -> bool:
            return step == name or step.startswith(inside)

        if any(is_inside(entry.step) for entry in self.journal):
            self.journal = [entry for entry in self.journal if not is_inside(entry.step)]
        if self._inside:
            for known in (self._done, self._taken, self._elements):
                for step in [step for step in known if is_inside(step)]:
                    del known[step]
            self._inside = {step for step in self._inside if not step.startswith(inside)}

    def done_before(self, name: str) -> Entry | None:
        """Return the entry of a member that is done already."""
        return self._done.get(name)

    def elements_before(self, name: str) -> Mapping[str, Entry]:
        """Return the entries of the elements of a for_each that are done already."""
        return self._elements.get(name, {})

    async def completed_member(self, name: str, start: float, store: Store, values: Mapping[str, object]) -> None:
        """Tell that a member is done, whose output is not merged yet."""
        await self._completed(name, start, Snapshot(dict(values), {}, name, store.now()))

    async def _completed(self, name: str, start: float, snapshot: Snapshot) -> None:
        event = StepCompletion(self, name, trio.current_time() - start, snapshot)
        for hook in self._hooks.complete:
            await _tell(hook, event)

    async def report(self, name: str, error: Exception) -> None:
        """Tell that `error` happened in the step `name`, unless it has been told from further inside."""
        if self._hooks.error and not self._is_reported(error):
            self._reported[id(error)] = error
            for hook in self._hooks.error:
                await _tell(hook, name, error)

    def _is_reported(self, error: Exception) -> bool:
        return id(error) in self._reported or (
            isinstance(error, ForkPartialError)
            and all(map(self._is_reported, cast("ForkPartialError[Exception]", error).exceptions))
        )


async def _tell(hook: Callable[..., object], *args: object) -> None:
    try:
        result = hook(*args)
        if _awaitable(result):
            await cast("Awaitable[object]", result)
    except Exception as error:
        raise _HookFailedError(error) from error


async def _call(function: Function, store: Store, name: str) -> tuple[Any, bool]:
    """Call `function`; return its result, and whether it was sync."""
    args, kwargs = function.bind(store, name)
    result = function.call(*args, **kwargs)
    if _awaitable(result):
        return await result, False
    return result, True


def _output(function: Function, result: object, name: str) -> dict[str, object]:
    provides = function.provides
    if provides is not None:
        return {provides: result if provides in function.share else copy_value(result)}
    if type(result) is dict and not function.share:  # most are; a short cut
        values: dict[str, object] = {}
        for key, value in cast("dict[object, object]", result).items():
            if type(key) is not str:
                break
            values[key] = copy_value(value)
        else:
            return values
    return as_output(cast("Any", result), name, function.share)


def _replacement(function: Function, result: object, name: str) -> dict[str, object]:
    if result is None and function.provides is None:
        raise StepOutputError(
            name,
            "returned None, but what a transform returns replaces the whole context, so it has to be a mapping: "
            'return {"key": value, …}, or {} to go on with nothing; to keep the context as it is, use .step(…)',
        )
    return _output(function, result, name)


# Forks


@final
class _GroupRun:
    """One attempt of a parallel step. The paths of its fork are called with it."""

    __slots__ = ("_group", "_name", "_record", "_run", "_store")

    def __init__(self, run: Run, group: Group, store: Store, name: str, record: bool) -> None:
        self._run = run
        self._group = group
        self._store = store
        self._name = name
        self._record = record and group.mode != "race"

    async def outputs(self) -> tuple[list[Output], bool]:
        """Run the members that are not done yet, and return the outputs of all in their order."""
        group = self._group
        before = self._before()
        plan = group.plan
        if before:
            assert plan.known is not None
            rest = [path for path in plan.known if path[0] not in before]
            plan = attrs.evolve(plan, known=[(number, id, call) for number, (_, id, call) in enumerate(rest)])
            left = [index for index, _, _ in rest]
        else:
            left = list(range(len(group.ids)))
        found: Any = await run_fork(plan, self)
        if group.mode == "race":
            return ([], False) if found is None else ([found], True)
        ends: dict[int, Output | Partial | None] = dict(before)
        end: Any
        for index, end in zip(left, found):  # noqa: B905 - as long as each other
            if type_of(end) is Rejected:
                await self._run.report(f"{self._name}/{end.step_id}", end.error)  # if the deadline has ended it
                ends[index] = None
            else:
                ends[index] = end.value if type_of(end) is Fulfilled else end
        outputs: list[Output] = []
        complete = True
        for index in sorted(ends) if before else ends:
            end = ends[index]
            if type(end) is Partial:
                complete = False
                end = end.output
            if end is not None:
                outputs.append(end)
        return outputs, complete

    def _before(self) -> dict[int, Output | None]:
        """Return what members that are done came to; None for one that had failed."""
        before: dict[int, Output | None] = {}
        if not self._run.resumes:
            return before
        for index, id in enumerate(self._group.ids):
            name = f"{self._name}/{id}"
            entry = self._run.done_before(name)
            if entry is not None:
                before[index] = Output(name, entry.changes, entry.is_patch) if entry.kind == "done" else None
        return before

    async def member(self, index: int) -> Output | Partial:
        """Run a member, in the scope of its path."""
        run, store, record = self._run, self._store, self._record
        member = self._group.members[index]
        name = f"{self._name}/{self._group.ids[index]}"
        if run.stopped:
            return Partial(Output(name, {}))
        start = trio.current_time() if run.tells else 0.0
        complete = True
        try:
            if type(member) is Function:
                args, kwargs = member.bind(store if member.keeps else store.readable(), name)
                result = member.call(*args, **kwargs)
                if _awaitable(result):
                    result = await result
                output = Output(name, _output(member, result, name))
            else:
                [output], complete = await run.nested(member, store, name, current_scope(), record)
        except Exception as error:
            name_step(error, current_scope().name)
            if record and self._group.mode == "settle":
                run.journal.append(Entry(kind="rejected", step=name, error=error))
            await run.report(name, error)
            raise
        if not complete:
            return Partial(output)
        if record:
            run.journal.append(Entry(kind="done", step=name, changes=output.values, is_patch=output.is_patch))
        if run.tells:
            await run.completed_member(name, start, store, output.values)
        return output


@final
class _EachRun:
    """One attempt of a for_each. The paths of its fork are called with it."""

    __slots__ = ("_each", "_elements", "_keys", "_name", "_record", "_run", "_store")

    def __init__(self, run: Run, each: Each, store: Store, name: str, record: bool) -> None:
        self._run = run
        self._each = each
        self._store = store
        self._name = name
        self._record = record
        if each.over not in store:
            raise StepInputError(name, each.over, store)
        collection = store[each.over]
        self._keys: list[object] | None = None
        if isinstance(collection, Mapping):
            collection = cast("Mapping[object, object]", collection)
            self._keys = list(collection)
            collection = list(collection.values())
        elif not isinstance(collection, (list, tuple)):
            raise TypeError(
                f"{name!r} goes over {each.over!r}, which has to hold a list, a tuple or a mapping, "
                f"not {described(collection)}"
            )
        self._elements = cast("Sequence[object]", collection)

    async def outputs(self) -> tuple[list[Output], bool]:
        """Run the elements that are not done yet, and return the results of all in their order."""
        each, run = self._each, self._run
        before = run.elements_before(self._name)
        ids = [str(number) for number in range(1, len(self._elements) + 1)]
        left = [id for id in ids if id not in before]
        paths: list[Path] = [(number, id, element_path) for number, id in enumerate(left)]
        found = dict(zip(left, await run_fork(attrs.evolve(each.plan, known=paths), self)))  # noqa: B905
        results: list[object] = []
        complete = True
        for id in ids:
            result: Any = found.get(id)
            if id in before:
                entry = before[id]
                if entry.error is not None:
                    result = Rejected(id, entry.error)
                else:
                    value = entry.changes[each.into]
                    result = Fulfilled(id, value) if each.settle else value
            elif each.settle and type_of(result) is Rejected:
                await run.report(f"{self._name}/{id}", result.error)
            elif (result.value if each.settle else result) is _Then.STOP:
                complete = False
            results.append(result)
        if not complete:
            return [], False
        collected = results if self._keys is None else dict(zip(self._keys, results))  # noqa: B905
        return [Output(self._name, {each.into: collected})], True

    async def element(self) -> object:
        """Run the element that the scope is named after."""
        run, each, store = self._run, self._each, self._store
        if run.stopped:
            return _Then.STOP
        scope = current_scope()
        id = scope.id
        name = f"{self._name}/{id}"
        start = trio.current_time() if run.tells else 0.0
        function = each.function
        try:
            args, kwargs = function.bind(store, name)
            element = self._elements[int(id) - 1]
            kwargs[each.each] = element if each.over in function.share else copy_value(element)
            result = function.call(*args, **kwargs)
            if _awaitable(result):
                result = await result
        except Exception as error:
            name_step(error, scope.name)
            if self._record and each.settle:
                run.journal.append(Entry(kind="rejected", step=self._name, case=id, error=error))
            await run.report(name, error)
            raise
        value = result if each.into in function.share else copy_value(result)
        if self._record:
            run.journal.append(Entry(kind="done", step=self._name, case=id, changes={each.into: value}))
        if run.tells:
            await run.completed_member(name, start, store, {})
        return value
