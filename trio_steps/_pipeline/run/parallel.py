"""The forks of a run: a parallel step and a for_each, as the paths that the engine runs.

The plan of each fork was made when the pipeline was built. The engine calls its paths with an object of this module,
which holds one attempt. What was done before a checkpoint is left out of the plan, and added to the results.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, Protocol, cast, final

import attrs
import trio

from trio_steps._core.errors import CheckpointError, StepInputError, name_step, stop_in_coroutine
from trio_steps._core.results import ForkPartialError, Fulfilled, PathCancelledError, Rejected
from trio_steps._core.scope import current, current_scope
from trio_steps._core.step import Step, type_of
from trio_steps._fork.engine.run import run as run_fork
from trio_steps._fork.engine.trust import code_of, stand_for
from trio_steps._fork.modes import Race
from trio_steps._fork.paths import Known
from trio_steps._pipeline.call import Function, awaitable, output_of
from trio_steps._pipeline.context import Output, Snapshot
from trio_steps._pipeline.contract.compatible import is_ordered
from trio_steps._values.copying import copy_value
from trio_steps._values.described import described

from .attempts import KeptAttempts
from .hooks import forgiven
from .journal import Entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from trio_steps._core.scope import Scope
    from trio_steps._fork.ledger import Ledger
    from trio_steps._fork.paths import Call
    from trio_steps._fork.plan import Plan
    from trio_steps._pipeline.context import Store
    from trio_steps._pipeline.definition import Each, Group, Nodes, Program

    from .hooks import Audience, Reporter
    from .journal import Journal


class Runner(Protocol):
    """The run that a fork is part of."""

    @property
    def program(self) -> Program:
        """The pipeline that is run."""
        ...

    @property
    def journal(self) -> Journal:
        """What is done."""
        ...

    @property
    def reporter(self) -> Reporter:
        """Tells the hooks."""
        ...

    async def inner_row(self, nodes: Nodes, store: Store, prefix: str, around: Scope, audience: Audience) -> bool:
        """Run `nodes` of a pipeline; return False if the run was stopped before all were done."""
        ...

    async def nested(
        self, nodes: Nodes, store: Store, name: str, scope: Scope, audience: Audience
    ) -> tuple[list[Output], bool]:
        """Run a sequence of nodes that sees what `store` holds. Its output is a patch."""
        ...


_STOPPED: Final = object()
"""The result of an element that was not begun when the run was stopped."""


@final
@attrs.frozen
class Partial:
    """The result of a member of a group when the run is stopped: its output so far."""

    output: Output


@final
class WholeRace:
    """A race that a member can't win if it was stopped half-way. If no member wins, the group is incomplete."""

    def __init__(self, ledger: Ledger[Output | Partial]) -> None:
        self._race = Race(ledger)
        self._stopped = False

    @property
    def winner(self) -> int | None:
        """The index of the member that won."""
        return self._race.winner

    def succeeded(self, index: int, value: Output | Partial, /) -> bool:
        """Note that a member has ended."""
        if isinstance(value, Output):
            return self._race.succeeded(index, value)
        self._stopped = True
        return self._race.failed(index, RuntimeError())

    def failed(self, index: int, error: Exception, /) -> bool:
        """Note that a member has failed."""
        return self._race.failed(index, error)

    def exhausted(self, total: int, /) -> bool:
        """Note the number of members."""
        return self._race.exhausted(total)

    def result(self) -> Output | Partial | None:
        """Return the output of the winner; None if the run was stopped."""
        return None if self._stopped and self.winner is None else self._race.result()


def member_path(index: int, member: Function | Nodes) -> Call:
    """Return the path of a fork that runs `member`, number `index` of the group whose run it is called with."""

    def path(run: Any) -> Any:  # a plain function of one argument, which the engine recognises without an inspection
        return run.member(index)

    return stand_for(path, member.call if isinstance(member, Function) else None)


def element_path(function: Function, nodes: Nodes | None) -> Call:
    """Return the path of a fork that runs the element that it is named after, for a for_each."""

    def path(run: Any) -> Any:
        return run.element()

    return stand_for(path, function.call if nodes is None else None)


def known_paths(ids: list[str], calls: list[Call]) -> Known:
    """Return paths that are called with the run of their group."""
    run = calls[0] if calls else None
    if run is not None and calls.count(run) < len(calls):
        codes = {id(code): code for code in map(code_of, calls)}
        return Known(ids, calls, codes.popitem()[1] if len(codes) == 1 else None, take_input=True)
    return Known(ids, calls, None if run is None else code_of(run), take_input=True)


async def _run_fork(
    plan: Plan, run: GroupAttempt | EachAttempt, name: str, ids: Iterable[str], public: Callable[[Any], object]
) -> Any:
    """Run `plan`, whose paths have `ids`, for the step `name`.

    If it fails, the error shows the values of its paths as `public` converts them. A path that ended because the run
    was stopped has not succeeded.
    """
    try:
        return await run_fork(plan, run)
    except ForkPartialError as error:
        succeeded: list[Fulfilled[object]] = []
        stopped: dict[str, Rejected] = {}
        for end in error.succeeded:
            value = public(end.value)
            if value is _STOPPED:
                cancelled = PathCancelledError(f"{name}/{end.step_id}", "the run was stopped", started=True)
                stopped[end.step_id] = Rejected(end.step_id, cancelled)
            else:
                succeeded.append(Fulfilled(end.step_id, value))
        error.succeeded = tuple(succeeded)
        if stopped:  # otherwise thousands of results that no one may look at would be made here
            failed = {end.step_id: end for end in error.failed} | stopped
            error.failed = tuple(failed[id] for id in ids if id in failed)
        raise


@final
class GroupAttempt:
    """One attempt of a parallel step. The paths of its fork are called with it."""

    __slots__ = ("_audience", "_changed", "_ended", "_group", "_name", "_run", "_store")

    def __init__(self, run: Runner, group: Group, store: Store, name: str, audience: Audience) -> None:
        self._run = run
        self._group = group
        self._store = store
        self._name = name
        self._audience = audience.unrecorded() if group.mode == "race" else audience
        self._ended: dict[int, Output] = {}  # in a flow: the outputs from which siblings may take keys
        self._changed = trio.Event()

    async def outputs(self) -> tuple[list[Output], bool]:
        """Run the members that are not done yet, and return the outputs of all in their order."""
        group = self._group
        before = self._before()
        plan = group.plan
        if group.mode == "flow":
            return await self._flow(before)
        if before:
            assert plan.known is not None
            ids, calls = plan.known.ids, plan.known.calls
            left = [index for index in range(len(ids)) if index not in before]
            plan = attrs.evolve(
                plan, known=known_paths([ids[index] for index in left], [calls[index] for index in left])
            )
        else:
            left = list(range(len(group.ids)))
        found: Any = await _run_fork(plan, self, self._name, self._group.ids, self._public)
        if group.mode == "race":
            return ([], False) if found is None else ([found], True)
        if group.mode == "settle":
            found = [await self._settled(end) for end in found]
        if before:
            ends = {**before, **dict(zip(left, found))}  # noqa: B905 - as long as each other
            found = [ends[index] for index in sorted(ends)]
        outputs: list[Output] = []
        complete = True
        for end in found:
            if type(end) is Partial:
                complete = False
                outputs.append(end.output)
            elif end is not None:
                outputs.append(end)
        return outputs, complete

    async def _settled(self, end: Any) -> Output | Partial | None:
        """Return the output of a member; None if it has failed."""
        if type_of(end) is Fulfilled:
            return cast("Output | Partial", end.value)
        await self._run.reporter.failed(self._audience, f"{self._name}/{end.step_id}", end.error)  # at the deadline
        return None

    async def _flow(self, before: Mapping[int, Output | None]) -> tuple[list[Output], bool]:
        """Run the members, each as soon as the siblings from which it takes keys have ended."""
        ended = self._ended
        ended.update((index, output) for index, output in before.items() if output is not None)
        plan = attrs.evolve(self._group.plan, source=self._startable())
        found: Any = await _run_fork(plan, self, self._name, self._group.ids, self._public)
        outputs = dict(ended)
        for end in found:
            if type_of(end) is Partial:
                outputs[self._group.ids.index(end.output.source.rpartition("/")[2])] = end.output
        return [self._to_merge(outputs[index]) for index in sorted(outputs)], len(ended) == len(self._group.members)

    def _to_merge(self, output: Output) -> Output:
        """Return `output` without the keys that were overridden: siblings take them from it, the context has them."""
        entry = self._run.journal.done.get(output.source)
        if entry is None or not entry.overridden:
            return output
        values = {key: value for key, value in output.values.items() if key not in entry.overridden}
        return attrs.evolve(output, values=values)

    async def _startable(self) -> AsyncIterator[Step[Any, Any]]:
        """Yield the members that may start, as the paths of a fork."""
        group = self._group
        left = [index for index in range(len(group.members)) if index not in self._ended]
        while left and not self._run.reporter.stopped:
            ready = [index for index in left if all(other in self._ended for other in group.before(index))]
            if not ready:
                self._changed = trio.Event()
                await self._changed.wait()
                continue
            left.remove(ready[0])
            yield Step(group.ids[ready[0]], id_given=True, entry=member_path(ready[0], group.members[ready[0]]))

    def _seen_by(self, index: int) -> Store:
        """Return the context that a member is called with: in a flow, some keys come from siblings."""
        edges = self._group.edges
        if not edges[index]:
            return self._store
        given: dict[str, object] = {}
        sources: dict[str, str] = {}
        missing: list[str] = []
        for key, other in edges[index].items():
            output = self._ended[other]
            if key in output.values:
                given[key] = output.values[key]
                sources[key] = output.source
            elif not output.is_patch:  # a pipeline that did not change the key leaves it as it is
                missing.append(key)
        return self._store.seen_with(given, sources, missing)

    def _public(self, end: Any) -> object:
        """Return what a user sees of a member that is done: its output, like that of a run."""
        if type_of(end) is Partial:
            return _STOPPED
        share = self._run.program.share
        return {key: value if key in share else copy_value(value) for key, value in end.values.items()}

    def _before(self) -> dict[int, Output | None]:
        """Return the outputs of members that are done; None for a member that had failed."""
        before: dict[int, Output | None] = {}
        if not self._run.journal.resumes:
            return before
        for index, id in enumerate(self._group.ids):
            name = f"{self._name}/{id}"
            entry = self._run.journal.done.get(name)
            if entry is not None:
                before[index] = Output(name, entry.changes, entry.is_patch) if entry.kind == "done" else None
        return before

    async def member(self, index: int) -> Output | Partial:
        """Run a member, in the scope of its path."""
        run, group, audience = self._run, self._group, self._audience
        store = self._seen_by(index) if group.edges else self._store
        member = group.members[index]
        name = f"{self._name}/{group.ids[index]}"
        if run.reporter.stopped:
            return Partial(Output(name, {}))
        run.reporter.check()
        start = trio.current_time() if audience.tells else 0.0
        complete = True
        try:
            if audience.record:
                current_scope().attempts = KeptAttempts(run.reporter, audience, name)
            if type(member) is Function:
                try:
                    result = member.run(store if member.keeps else store.readable(), name)
                except StopIteration as stop:
                    raise stop_in_coroutine() from stop
                if type_of(result) is CoroutineType or awaitable(result):
                    result = await result
                output = Output(name, output_of(member, result, name))
            else:
                [output], complete = await run.nested(member, store, name, current_scope(), audience)
        except Exception as error:
            name_step(error, current_scope().name)
            settles = group.mode == "settle"
            if audience.record and settles:
                run.journal.entries.append(Entry(kind="rejected", step=name, error=error))
                await run.reporter.kept(audience)
            await run.reporter.failed(audience, name, error)
            if settles:
                forgiven(error, current_scope(), audience, log=True)
            raise
        if not complete:
            self._changed.set()
            return Partial(output)
        if audience.tells:  # no one is told of what ended when the run was cancelled already
            await trio.lowlevel.checkpoint_if_cancelled()
        if audience.record:
            run.journal.entries.append(Entry(kind="done", step=name, changes=output.values, is_patch=output.is_patch))
        if audience.tells:
            snapshot = Snapshot(dict(output.values), {}, name, store.now())
            await run.reporter.completed(audience, name, start, snapshot)
        if group.edges:
            self._ended[index] = output
            self._changed.set()
        return output


def _in_order(collection: Any, name: str, over: str) -> list[object]:
    """Return the elements of a collection that is neither a list nor a tuple, such as a range or an array.

    Raises:
      TypeError: it has no length or no order, or is text.
    """
    if is_ordered(collection.__class__):
        elements: list[object] = list(collection)
        if len(elements) == len(collection):  # a table may have the length of its rows, and be iterated by its columns
            return elements
    raise TypeError(
        f"{name!r} goes over {over!r}, which has to hold a list, a tuple or a mapping, not {described(collection)}"
    )


@final
class EachAttempt:
    """One attempt of a for_each. The paths of its fork are called with it."""

    __slots__ = ("_audience", "_each", "_elements", "_keys", "_name", "_names", "_run", "_store")

    def __init__(self, run: Runner, each: Each, store: Store, name: str, audience: Audience) -> None:
        self._run = run
        self._each = each
        self._store = store
        self._name = name
        self._audience = audience
        if each.over not in store:
            raise StepInputError(name, each.over, store)
        collection = store[each.over]
        self._keys: list[object] | None = None
        self._names: list[str] | None = None  # of elements that have better ones than their numbers
        if isinstance(collection, Mapping):
            collection = cast("Mapping[object, object]", collection)
            self._keys = list(collection)
            if set(map(type_of, self._keys)) in ({str}, {int}):
                self._names = list(map(str, self._keys))
            collection = list(collection.values())
        elif not isinstance(collection, (list, tuple)):
            collection = _in_order(collection, name, each.over)
        self._elements = cast("Sequence[object]", collection)

    def _result(self, changes: Mapping[str, object], is_patch: bool) -> object:
        """Return the result of an element from its entry in the journal."""
        if self._each.nodes is None:
            return changes[self._each.into]
        return self._each.result({**self._store, **changes} if is_patch else dict(changes))

    async def outputs(self) -> tuple[list[Output], bool]:
        """Run the elements that are not done yet, and return the results of all in their order."""
        each, run = self._each, self._run
        before = run.journal.elements.get(self._name, {})
        ids = [str(number) for number in range(1, len(self._elements) + 1)]
        for id in before.keys() - set(ids):  # one that was marked as done by hand
            raise CheckpointError(f"there is no such element: {each.over!r} has {len(ids)}", f"{self._name}/{id}")
        left = [id for id in ids if id not in before]
        plan = attrs.evolve(each.plan, known=known_paths(left, [each.path] * len(left)))
        found = dict(zip(left, await _run_fork(plan, self, self._name, ids, self._public)))  # noqa: B905
        results: list[object] = []
        complete = True
        for id in ids:
            result: Any = found.get(id)
            if id in before:
                entry = before[id]
                if entry.error is not None:
                    result = Rejected(id, entry.error)
                else:
                    value = self._result(entry.changes, entry.is_patch)
                    result = Fulfilled(id, value) if each.settle else value
            elif each.settle and type_of(result) is Rejected:
                await run.reporter.failed(self._audience, f"{self._name}/{id}", result.error)
            elif (result.value if each.settle else result) is _STOPPED:
                complete = False
            results.append(result)
        if not complete:
            return [], False
        collected = results if self._keys is None else dict(zip(self._keys, results))  # noqa: B905
        return [Output(self._name, {each.into: collected})], True

    def _public(self, end: object) -> object:
        return end if self._each.into in self._each.function.share else copy_value(end)

    async def element(self) -> object:
        """Run the element that the scope is named after."""
        run, each, store, audience = self._run, self._each, self._store, self._audience
        if run.reporter.stopped:
            return _STOPPED
        run.reporter.check()
        scope = current_scope()
        id = scope.id
        name = f"{self._name}/{id}"
        start = trio.current_time() if audience.tells else 0.0
        element = self._elements[int(id) - 1]
        if self._names is not None:
            scope.element = self._names[int(id) - 1]
        function = each.function
        is_patch = False
        if audience.record:
            scope.attempts = KeptAttempts(run.reporter, audience, self._name, id)
        try:
            if each.nodes is not None:
                inner = store.nested()
                inner.enter({each.each: element}, name)
                if not await run.inner_row(each.nodes, inner, name + "/", scope, audience):
                    return _STOPPED
                current.set(scope)
                end = inner.now()
                changes, is_patch = end.own, end.base is not None
                value = self._result(changes, is_patch)
            else:
                args, kwargs = function.bind(store, name)
                kwargs[each.each] = element if each.over in function.share else copy_value(element)
                try:
                    result = function.call(*args, **kwargs)
                except StopIteration as stop:
                    raise stop_in_coroutine() from stop
                if awaitable(result):
                    result = await result
                value = result if each.into in function.share else copy_value(result)
                changes = {each.into: value}
        except Exception as error:
            name_step(error, scope.name)
            if audience.record and each.settle:
                run.journal.entries.append(Entry(kind="rejected", step=self._name, case=id, error=error))
                await run.reporter.kept(audience)
            await run.reporter.failed(audience, name, error)
            raise
        if audience.tells:  # no one is told of what ended when the run was cancelled already
            await trio.lowlevel.checkpoint_if_cancelled()
        if audience.record:
            entry = Entry(kind="done", step=self._name, case=id, changes=changes, is_patch=is_patch)
            run.journal.entries.append(entry)
        if audience.tells:
            await run.reporter.completed(audience, name, start, store.now())
        return value
