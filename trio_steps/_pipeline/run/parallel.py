"""The forks of a run: a parallel step and a for_each, as the paths that the engine runs.

Each is a plan of a fork, made when the pipeline was built; the engine calls its paths with the object here, which
holds one attempt of it. What was done before a checkpoint is left out of the plan, and put in among the results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast, final

import attrs
import trio

from trio_steps._core.errors import StepInputError, name_step
from trio_steps._core.results import ForkPartialError, Fulfilled, PathCancelledError, Rejected
from trio_steps._core.scope import current, current_scope
from trio_steps._core.step import type_of
from trio_steps._fork.engine.run import run as run_fork
from trio_steps._fork.paths import Known
from trio_steps._pipeline.call import Function, awaitable, output_of
from trio_steps._pipeline.context import Output
from trio_steps._pipeline.definition import Partial, element_path
from trio_steps._values.copying import copy_value, described

from .checkpoint import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trio_steps._fork.plan import Plan
    from trio_steps._pipeline.context import Store
    from trio_steps._pipeline.definition import Each, Group

    from .loop import Run

_STOPPED: Final = object()
"""What an element comes to that was not begun when the run was stopped."""


async def _run_fork(plan: Plan, run: GroupRun | EachRun, name: str, public: Callable[[Any], object]) -> Any:
    """Run `plan`, of the step `name`; if it fails, the error shows what `public` makes of the values of its paths.

    A path that ended because the run was stopped has not succeeded.
    """
    try:
        return await run_fork(plan, run)
    except ForkPartialError as error:
        succeeded: list[Fulfilled[object]] = []
        failed = {end.step_id: end for end in error.failed}
        for end in error.succeeded:
            value = public(end.value)
            if value is _STOPPED:
                reason = "the run was stopped"
                stopped = PathCancelledError(f"{name}/{end.step_id}", reason, started=True)
                failed[end.step_id] = Rejected(end.step_id, stopped)
            else:
                succeeded.append(Fulfilled(end.step_id, value))
        order = [] if plan.known is None else plan.known.ids
        error.succeeded, error.failed = tuple(succeeded), tuple(failed[id] for id in order if id in failed)
        raise


@final
class GroupRun:
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
            ids, calls = plan.known.ids, plan.known.calls
            left = [index for index in range(len(ids)) if index not in before]
            plan = attrs.evolve(plan, known=Known([ids[index] for index in left], [calls[index] for index in left]))
        else:
            left = list(range(len(group.ids)))
        found: Any = await _run_fork(plan, self, self._name, self._public)
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

    def _public(self, end: Any) -> object:
        """Return what a user may see of a member that is done: its output, as if it was that of a run."""
        if type_of(end) is Partial:
            return _STOPPED
        share = self._run.program.share
        return {key: value if key in share else copy_value(value) for key, value in end.values.items()}

    def _before(self) -> dict[int, Output | None]:
        """Return what members that are done came to; None for one that had failed."""
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
                if awaitable(result):
                    result = await result
                output = Output(name, output_of(member, result, name))
            else:
                [output], complete = await run.nested(member, store, name, current_scope(), record)
        except Exception as error:
            name_step(error, current_scope().name)
            if record and self._group.mode == "settle":
                run.journal.entries.append(Entry(kind="rejected", step=name, error=error))
            await run.report(name, error)
            raise
        if not complete:
            return Partial(output)
        if run.tells:  # nobody is told of what ended when the run was cancelled already
            await trio.lowlevel.checkpoint_if_cancelled()
        if record:
            run.journal.entries.append(Entry(kind="done", step=name, changes=output.values, is_patch=output.is_patch))
        if run.tells:
            await run.completed_member(name, start, store, output.values)
        return output


@final
class EachRun:
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

    def _result(self, changes: Mapping[str, object], is_patch: bool) -> object:
        """Return what an element comes to by the entry that it has in the journal."""
        if self._each.nodes is None:
            return changes[self._each.into]
        return self._each.result({**self._store, **changes} if is_patch else dict(changes))

    async def outputs(self) -> tuple[list[Output], bool]:
        """Run the elements that are not done yet, and return the results of all in their order."""
        each, run = self._each, self._run
        before = run.journal.elements.get(self._name, {})
        ids = [str(number) for number in range(1, len(self._elements) + 1)]
        left = [id for id in ids if id not in before]
        plan = attrs.evolve(each.plan, known=Known(left, [element_path] * len(left)))
        found = dict(zip(left, await _run_fork(plan, self, self._name, self._public)))  # noqa: B905
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
                await run.report(f"{self._name}/{id}", result.error)
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
        run, each, store = self._run, self._each, self._store
        if run.stopped:
            return _STOPPED
        scope = current_scope()
        id = scope.id
        name = f"{self._name}/{id}"
        start = trio.current_time() if run.tells else 0.0
        element = self._elements[int(id) - 1]
        function = each.function
        is_patch = False
        try:
            if each.nodes is not None:
                inner = store.nested()
                inner.enter({each.each: element}, name)
                if not await run.row(each.nodes, inner, name + "/", scope, self._record):
                    return _STOPPED
                current.set(scope)
                end = inner.now()
                changes, is_patch = end.own, end.base is not None
                value = self._result(changes, is_patch)
            else:
                args, kwargs = function.bind(store, name)
                kwargs[each.each] = element if each.over in function.share else copy_value(element)
                result = function.call(*args, **kwargs)
                if awaitable(result):
                    result = await result
                value = result if each.into in function.share else copy_value(result)
                changes = {each.into: value}
        except Exception as error:
            name_step(error, scope.name)
            if self._record and each.settle:
                run.journal.entries.append(Entry(kind="rejected", step=self._name, case=id, error=error))
            await run.report(name, error)
            raise
        if run.tells:  # nobody is told of what ended when the run was cancelled already
            await trio.lowlevel.checkpoint_if_cancelled()
        if self._record:
            entry = Entry(kind="done", step=self._name, case=id, changes=changes, is_patch=is_patch)
            run.journal.entries.append(entry)
        if run.tells:
            await run.completed_member(name, start, store, {})
        return value
