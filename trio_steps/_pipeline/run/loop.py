"""The one loop that executes a plan, for run and resume alike.

Problem: run a sequence of nodes that pass a context forward; descend into nested sequences, branches and forks;
forgive, stop, report and record on the way; and do the same again from the middle.

Naive answer: one loop to run, and another one that finds the place and continues from there. The two drift apart.

What is done instead. The loop asks at each node whether the journal has it. If so, it enters what the node did, and
moves on. Otherwise it runs the node and appends to the journal. A run starts with an empty journal, a resumed run
starts with that of its checkpoint, and there is no other difference. A container that was not done has no entry of its
own, but the nodes inside it have theirs: so the loop enters it, and resumes inside. Nothing is journaled inside a race,
which is resumed before it.

What is deliberately not done: nothing is timed, recorded or created unless something uses it.
"""

from __future__ import annotations

import functools
from enum import Enum
from types import CoroutineType, MappingProxyType
from typing import TYPE_CHECKING, Any, cast, final

import trio

from trio_steps._core.errors import (
    CircuitOpenError,
    ConfigError,
    LoopLimitError,
    StepOutputError,
    name_step,
    stop_in_coroutine,
)
from trio_steps._core.events.observers import Observers, logger
from trio_steps._core.events.records import KeyOverridden, StepCancelled, StepSkipped, StepStarted, quietly
from trio_steps._core.policy.policies import in_time
from trio_steps._core.scope import Scope, current, current_scope, scope_of
from trio_steps._core.step import observe_end, observe_error, type_of
from trio_steps._pipeline.call import Function, call, output_of, replacement_of
from trio_steps._pipeline.context import EVERYTHING, Inputs, Output, Store, as_output, merge
from trio_steps._pipeline.definition import Branch, Each, Group, Repeat, Row, Wait
from trio_steps._values.copying import copy_value
from trio_steps._values.described import described
from trio_steps._values.kinds import UNCOPIED

from .attempts import KeptAttempts
from .hooks import Audience, HookFailedError, Reporter, forgiven, without_carriers
from .journal import Entry, Journal
from .keeping import Answers
from .parallel import EachAttempt, GroupAttempt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from trio_steps._pipeline.context import Collision
    from trio_steps._pipeline.definition import Hooks, Node, Nodes, Program

    from .journal import EntryKind
    from .keeping import Keeper


class _Then(Enum):
    """What comes after a node."""

    NEXT = "the next node"
    END = "nothing: the rest is skipped"
    STOP = "nothing: the run was stopped, and this node is not done"
    RAISE = "its error"


_SELF: Mapping[str, str] = MappingProxyType({})  # every key comes from the step itself
_NEXT = _Then.NEXT  # looking up an attribute of an Enum is slow
_set_current = current.set  # and looking up this method makes an object


async def execute(
    program: Program,
    hooks: Hooks,
    entries: Sequence[Entry] | None,
    *args: Any,
    prefix: str = "",
    keeper: Keeper | None = None,
) -> Any:
    """Run `program` in the scope that is open, and return its result; if it is not done, the context so far.

    Args:
      program: what to run.
      hooks: the hooks to call.
      entries: what is already done; None if nothing is, and the input is in `args`.
      args: the input, if there is one.
      prefix: what hooks see in front of the names of steps.
      keeper: keeps the run.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    resumed = entries is not None
    keeps = keeper is not None and keeper.keeps
    record = bool(hooks.complete) or program.tells_inside or keeps
    if entries is None:
        inputs = as_input(args[0] if args else None, program, copy=record)
        entries = (Entry(kind="inputs", changes=inputs),)
    else:
        inputs = dict(entries[0].changes)
    scope = current_scope()
    if hooks.complete or hooks.error or program.hooks_inside:
        scope.observers = without_carriers(scope.observers)
    run = PipelineRun(program, entries, prefix, keeper)
    audience = Audience(complete=hooks.complete, error=hooks.error, record=record, tells=bool(hooks.complete) or keeps)
    # The caller's values are copied when a step names them; if the run may be resumed, they are copied at once.
    # Without a record, no one looks at the first entry, so its dict is the store's.
    if resumed or record:
        store = Store(inputs.copy(), "the input")
    elif UNCOPIED.issuperset(map(id, map(type, inputs.values()))):
        store = Store(inputs, "the input")
    else:
        store = Store(Inputs(inputs, program.share), "the input")
    try:
        await run.row(program.nodes, store, "", scope, audience)
    except HookFailedError as failed:
        raise failed.error from failed.error.__cause__
    if resumed or record or program.has_aliases:  # others may hold the same values, for example a checkpoint
        as_it_is = program.share | store.untouched()
        result = {key: value if key in as_it_is else copy_value(value) for key, value in store.release().items()}
    else:
        result = store.release()
    return result if run.reporter.stopped or (keeper is not None and keeper.waits) else program.result(result)


def as_input(inputs: object, program: Program, *, copy: bool = True) -> dict[str, object]:
    """Return the first context of a run of `program` with `inputs`, whose values are copied if `copy` is true.

    Raises:
      TypeError: it is neither a mapping nor an object with fields.
      StepInputError: it lacks a key that the pipeline declares.
      ConfigError: a key that is not to be copied does not exist.
    """
    try:
        if not copy and type_of(inputs) is dict and _has_names(cast("dict[object, object]", inputs)):
            given = cast("dict[str, object]", inputs).copy()
        else:
            given = as_output(inputs, program.name, program.share if copy else EVERYTHING)
    except StepOutputError as error:
        raise TypeError(
            f"pipeline {program.name!r} takes a mapping with str keys, or an attrs or dataclass instance, "
            f"not {described(inputs)}"
        ) from error
    given = given if program.inputs is None else program.inputs.complete(given, program.name)
    if program.share:
        for key in program.shared_by_nobody - given.keys():
            raise ConfigError(
                f"pipeline {program.name!r}: share=… has {key!r}, which neither the input has nor a step provides"
            )
    return given


def _tell_stopped(observe: Observers, scope: Scope, start: float, reason: str) -> None:
    now = trio.current_time()
    observe(StepCancelled(name=scope.name, time=now, scope=scope, duration=now - start, reason=reason))


def _has_names(inputs: dict[object, object]) -> bool:
    """Tell whether all keys are strings, fast."""
    return list(map(type, inputs)).count(str) == len(inputs)


@final
class PipelineRun:
    """One run of a pipeline, or the rest of one.

    Attributes:
      program: what is run.
      journal: what is done.
      reporter: calls the hooks.
    """

    def __init__(self, program: Program, entries: Sequence[Entry], prefix: str, keeper: Keeper | None = None) -> None:
        self.program: Program = program
        self.journal: Journal = Journal(entries)
        self.reporter: Reporter = Reporter(program, self.journal, prefix, keeper)
        self._keeper = keeper
        if keeper is not None:
            keeper.follow(self.reporter)
        self._failed_inside: set[str] = set()  # containers
        self._done = self.journal.done

    # The loop

    async def row(self, nodes: Nodes, store: Store, prefix: str, around: Scope, audience: Audience) -> bool:
        """Run `nodes` one after the other; return False if the run was stopped before all were done."""
        run_node = self._node
        reporter = self.reporter
        for node in nodes:
            if reporter.stopped and prefix + node.id not in self._done:
                return False
            then = await run_node(node, store, prefix, around, audience)
            if then is not _NEXT:
                return then is _Then.END
        return True

    async def inner_row(self, nodes: Nodes, store: Store, prefix: str, around: Scope, audience: Audience) -> bool:
        """Run `nodes` of a pipeline inside this one. Its own hooks and observers are told first."""
        if not isinstance(nodes, Row):
            return await self.row(nodes, store, prefix, around, audience)
        observers = around.observers
        if nodes.observers:
            around.observers = without_carriers(Observers(nodes.observers, observers))
        try:
            return await self.row(nodes, store, prefix, around, audience.within(nodes.hooks))
        finally:
            around.observers = observers

    async def _node(self, node: Node, store: Store, prefix: str, around: Scope, audience: Audience) -> _Then:
        name = prefix + node.id
        if self._done and name in self._done:
            self._redo(self._done[name], store)
            return _Then.NEXT
        observe = around.observers
        if observe is not None and not node.log:
            observe = quietly(observe)
        scope = Scope()  # `scope_of`, written out to save a call
        scope.id = node.id
        scope.parent = around
        scope.state = around.state
        scope.observers = observe
        scope.lease = around.lease
        scope.unnamed_inside = False
        _set_current(scope)
        record, tells = audience.record, audience.tells
        start = trio.current_time() if observe is not None or tells else 0.0
        body = node.body
        checkpoint = False
        since: int | None = None
        asked: float | None = None
        if self._keeper is not None:
            self.reporter.check()
        started = complete = True
        changes: dict[str, object]
        sources: Mapping[str, str] = _SELF
        try:
            if node.condition is not None and name not in self.journal.begun:
                started = False
                asked = trio.current_time()
                if not await self._holds_in_time(node, store, scope, name):
                    self._skip(scope, name, "its condition does not hold", record)
                    await self.reporter.kept(audience)
                    return _Then.NEXT
                started = True
                if record:
                    self.journal.entries.append(Entry(kind="begun", step=name))
                    await self.reporter.kept(audience)
            if observe is not None:
                parallel = type(body) is Group
                observe(StepStarted(name=scope.name, time=start, scope=scope, in_pipeline=True, parallel=parallel))
            if type(body) is Function:
                if record:
                    scope.attempts = KeptAttempts(self.reporter, audience, name)
                if node.policies is None:
                    try:
                        result = body.run(store if body.keeps else store.readable(), name)
                    except StopIteration as stop:
                        raise stop_in_coroutine() from stop
                    kind = type_of(result)
                    if kind is not dict and (kind is CoroutineType or hasattr(kind, "__await__")):
                        result = await result
                    else:
                        checkpoint = True
                else:
                    attempt = functools.partial(call, body, store, name)
                    result, checkpoint = await node.policies.apply(scope, attempt, asked, _value)
                if node.transforms:
                    changes = {}
                    values = replacement_of(body, result, name)
                    if record:
                        changes = dict(values)
                    store.replace(values, name)
                else:
                    changes = output_of(body, result, name)
                    if node.merge_policy == "override":
                        store.enter(changes, name)
                    else:
                        changes, sources = self._merge(node, store, [Output(name, changes)], scope, name)
                del result
                if checkpoint:
                    await trio.lowlevel.checkpoint()
            else:
                since = self.journal.mark()
                if record:
                    scope.attempts = KeptAttempts(self.reporter, audience, name, since=since)
                if node.policies is None:
                    outputs, complete = await self._attempt(node, store, name, scope, audience, since)
                else:
                    again = functools.partial(self._attempt, node, store, name, scope, audience, since)
                    outputs, complete = await node.policies.apply(scope, again, asked, _changes)
                changes, sources = self._merge(node, store, outputs, scope, name)
        except Exception as error:
            then = await self._failed(node, scope, name, start, started, error, audience, since)
            if then is _Then.RAISE:
                raise
            return then
        except BaseException as error:
            if observe is not None and started:
                await observe_error(observe, scope, start, error)
            raise
        if not complete:
            if observe is not None:
                _tell_stopped(observe, scope, start, self.reporter.why_not_done())
            return _Then.STOP
        if observe is not None:
            observe_end(observe, scope, start, None)
        if tells:  # no one is told of what ended when the run was cancelled already
            await trio.lowlevel.checkpoint_if_cancelled()
        if record:
            if since is not None:
                self.journal.forget(name, since)
            self._record(node, store, name, changes, sources)
        if tells:
            await self.reporter.completed(audience, name, start, store.now())
        return _NEXT

    async def _attempt(
        self, node: Node, store: Store, name: str, scope: Scope, audience: Audience, since: int
    ) -> tuple[list[Output], bool]:
        """Run the body of a container. Return its output, and whether all of it is done."""
        body = node.body
        current.set(scope)  # an earlier attempt may have got further inside
        # What a failed attempt did is forgotten only when there is another attempt. Hooks have been told of it, and #
        # without another attempt the run can continue from there.
        if name in self._failed_inside:
            self.journal.forget(name, since)
            self.reporter.forget(name + "/")
        try:
            if isinstance(body, Group):
                return await GroupAttempt(self, body, store, name, audience).outputs()
            if isinstance(body, Each):
                return await EachAttempt(self, body, store, name, audience).outputs()
            if isinstance(body, Branch):
                return await self._branch(body, store, name, scope, audience)
            if isinstance(body, Repeat):
                return await self._repeat(body, store, name, scope, audience, since)
            if isinstance(body, Wait):
                return await self._wait(body, name)
            return await self.nested(cast("Nodes", body), store, name, scope, audience)
        except BaseException:
            self._failed_inside.add(name)
            raise

    async def nested(
        self, nodes: Nodes, store: Store, name: str, scope: Scope, audience: Audience
    ) -> tuple[list[Output], bool]:
        """Run a sequence of nodes that sees what `store` holds. Its output is a patch."""
        inner = store.nested()
        complete = await self.inner_row(nodes, inner, name + "/", scope, audience)
        current.set(scope)
        return [Output(name, inner.patch(), is_patch=True)], complete

    async def _wait(self, wait: Wait, name: str) -> tuple[list[Output], bool]:
        """Take the answer, if there is one. Otherwise the step is not done, and nothing after it starts."""
        keeper = self._keeper or Answers({})
        answer = await keeper.ask(name, wait.timeout)
        if answer is None:
            return [], False
        return [Output(name, {wait.provides: copy_value(answer.value)})], True

    async def _branch(
        self, branch: Branch, store: Store, name: str, scope: Scope, audience: Audience
    ) -> tuple[list[Output], bool]:
        taken = self.journal.taken.get(name)
        passed = self.journal.passed.get(name, ())
        for case in branch.cases:
            if taken is not None:
                hit = case.id == taken
            elif case.id in passed:
                continue
            else:
                hit = case.condition is None or await self._holds(case.condition, store, name)
            if hit:
                break
            if audience.record and taken is None:
                self.journal.entries.append(Entry(kind="passed", step=name, case=case.id))
        else:
            await trio.lowlevel.checkpoint()
            return [], True
        if audience.record and taken is None:
            self.journal.entries.append(Entry(kind="taken", step=name, case=case.id))
            await self.reporter.kept(audience)
        inside = scope_of(case.id, scope, scope.state, scope.observers, scope.lease)
        return await self.nested(case.nodes, store, f"{name}/{case.id}", inside, audience)

    async def _repeat(
        self, body: Repeat, store: Store, name: str, scope: Scope, audience: Audience, since: int
    ) -> tuple[list[Output], bool]:
        """Run rounds until one is the last. Each sees the changes of the rounds before it."""
        inner = store.nested()
        number, over = 0, False
        done = self.journal.rounds.get(name)
        if done is not None:
            number, over = int(cast("str", done.case)), done.answer
            inner.update(done.changes, done.sources)
            inner.decide(done.changes, done.same)
        complete = True
        while complete and not over:
            if number == body.at_most:
                if body.on_limit == "raise":
                    raise LoopLimitError(scope.name, number)
                break
            number += 1
            complete, over = await self._round(body, number, inner, name, scope, audience, since)
        current.set(scope)
        return [Output(name, inner.patch(), is_patch=True)], complete

    async def _round(
        self, body: Repeat, number: int, store: Store, name: str, around: Scope, audience: Audience, since: int
    ) -> tuple[bool, bool]:
        """Run a round. Return whether it is complete, and whether it is the last."""
        observe = around.observers
        scope = scope_of(str(number), around, around.state, observe, around.lease)
        own = f"{name}/{number}"
        start = trio.current_time()
        if observe is not None:
            observe(StepStarted(name=scope.name, time=start, scope=scope))
        inner = store.nested()
        try:
            complete = await self.inner_row(body.nodes, inner, f"{own}/", scope, audience)
            current.set(scope)
            sources = inner.now().sources
            patch = inner.patch()
            store.update(patch, {key: sources.get(key, own) for key in patch})
            if not complete:
                if observe is not None:
                    _tell_stopped(observe, scope, start, self.reporter.why_not_done())
                return False, False
            over = bool((await call(body.until, store, own))[0])
        except BaseException as error:
            if isinstance(error, Exception):
                name_step(error, scope.name)
                await self.reporter.failed(audience, own, error)
            if observe is not None:
                await observe_error(observe, scope, start, error)
            raise
        if observe is not None:
            observe_end(observe, scope, start, None)
        if audience.tells:  # no one is told of what ended when the run was cancelled already
            await trio.lowlevel.checkpoint_if_cancelled()
        if audience.record:
            now = store.now()
            changes = dict(now.own)
            entry = Entry(
                kind="round",
                step=name,
                changes=changes,
                sources=dict(now.sources),
                same=store.decide(changes),
                case=str(number),
                answer=over,
            )
            self.journal.end_round(entry, since)
        if audience.tells:
            await self.reporter.completed(audience, own, start, store.now())
        return True, over

    async def _holds(self, condition: Function | bool, store: Store, name: str) -> bool:
        if isinstance(condition, bool):
            return condition
        return bool((await call(condition, store, name))[0])

    async def _holds_in_time(self, node: Node, store: Store, scope: Scope, name: str) -> bool:
        """Evaluate the condition of `node`, as a part of the node: its timeouts apply to both together."""
        condition, policies, body = node.condition, node.policies, node.body
        assert condition is not None
        timeout = policies and policies.timeout
        if isinstance(body, (Group, Each)):
            timeout = body.plan.timeout
        ask: Callable[[], Awaitable[bool]] = functools.partial(self._holds, condition, store, name)
        if timeout is not None:
            ask = functools.partial(in_time, timeout, scope, ask)
        if policies is not None and policies.total_timeout is not None:
            ask = functools.partial(in_time, policies.total_timeout, scope, ask)
        return await ask()

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

    # Failures

    async def _failed(
        self,
        node: Node,
        scope: Scope,
        name: str,
        start: float,
        started: bool,
        error: Exception,
        audience: Audience,
        since: int | None,
    ) -> _Then:
        """Handle the failure of a node, and return what comes after it."""
        if isinstance(error, CircuitOpenError) and error.skip and error.step == scope.name:
            self._skip(scope, name, str(error), audience.record)
            await self.reporter.kept(audience)
            return _Then.NEXT
        name_step(error, scope.name)
        if scope.observers is not None:
            if not started:
                scope.observers(StepStarted(name=scope.name, time=start, scope=scope, in_pipeline=True))
            await observe_error(scope.observers, scope, start, error)
        await self.reporter.failed(audience, name, error)
        if node.on_error == "raise":
            return _Then.RAISE
        forgiven(error, scope, audience, node.log)
        await trio.lowlevel.checkpoint()  # as after a sync step that succeeded
        if node.on_error == "skip-remaining":
            return _Then.END
        if audience.record:
            if since is not None:
                self.journal.forget(name, since)
            self.journal.entries.append(Entry(kind="skipped", step=name))
            await self.reporter.kept(audience)
        return _Then.NEXT

    def _skip(self, scope: Scope, name: str, reason: str, record: bool) -> None:
        if scope.observers is not None:
            now = trio.current_time()
            scope.observers(StepSkipped(name=scope.name, time=now, scope=scope, reason=reason, in_pipeline=True))
        if record:
            self.journal.entries.append(Entry(kind="skipped", step=name))

    # What is recorded

    def _record(
        self, node: Node, store: Store, name: str, changes: dict[str, object], sources: Mapping[str, str]
    ) -> None:
        same = store.decide(changes)
        others = {key: source for key, source in sources.items() if source != name}
        kind: EntryKind = "transform" if node.transforms else "done"
        self.journal.entries.append(Entry(kind=kind, step=name, changes=changes, sources=others, same=same))

    def _redo(self, entry: Entry, store: Store) -> None:
        name = entry.step
        if entry.kind == "transform":
            store.replace(dict(entry.changes), name)
        elif entry.kind == "done":
            store.update(entry.changes, {key: entry.sources.get(key, name) for key in entry.changes})
        store.decide(entry.changes, entry.same)


def _value(ran: tuple[object, bool]) -> object:
    """Return the value that the function of a step returned."""
    return ran[0]


def _changes(ran: tuple[list[Output], bool]) -> dict[str, object]:
    """Return everything that a step of several functions adds to the context."""
    return {key: value for output in ran[0] for key, value in output.values.items()}
