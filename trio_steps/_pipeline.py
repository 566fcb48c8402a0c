"""`Pipeline`: the immutable builder. It produces a plan, checks at every step that it can work, and runs nothing.

Every method returns a new pipeline and leaves the old one as it is, so that a prefix can be shared. Each folds what
the step needs and provides into the `Flow`: a mistake is an error at the very line that makes it.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, cast, final, overload

import attrs

from ._calling import signature_of
from ._checkpoint import Checkpoint
from ._context import as_output
from ._contract import ADMITTED, CONDITION, SUCCEEDS, Flow, branched, for_each, needs_of, provided_by, together
from ._engine import Plan
from ._engine import run as run_fork
from ._errors import CheckpointError, ConfigError, StepInputError, add_note, leaves, listed
from ._events import Observers
from ._fork import Fork
from ._nodes import Branch, Case, Each, Function, Group, Node, WholeRace, find, member_path, names_of, sharing
from ._plan import plan
from ._policies import Policies, Retry
from ._run import Hooks, Program, execute, overridden
from ._scope import current_scope
from ._step import NO_INPUT, FunctionStep, NoInput, Step, describe
from ._types import fields_of, is_typed_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
    from collections.abc import Set as AbstractSet

    import trio
    from typing_extensions import TypedDict, Unpack

    from ._checkpoint import Codec, Entry
    from ._context import MergePolicy
    from ._contract import Need
    from ._events import Observer
    from ._nodes import Member, Nodes, OnError
    from ._policies import CircuitBreaker
    from ._run import CompleteHook, ErrorHook
    from ._shape import Shape

    class NodeOptions(TypedDict, total=False):
        """What every kind of step takes."""

        condition: bool | Callable[..., Any] | None
        on_error: OnError
        timeout: float | None
        total_timeout: float | None
        retry: Retry | None
        circuit_breaker: CircuitBreaker | None
        limiter: trio.CapacityLimiter | None
        log: bool


I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
T = TypeVar("T")
DoneT = TypeVar("DoneT")

AnyPipeline: TypeAlias = "Pipeline[Any, Any]"
Then: TypeAlias = "AnyPipeline | Callable[[AnyPipeline], AnyPipeline]"
"""What a case does: a pipeline, or a function that adds the steps to the pipeline it is given."""

_MERGE_POLICIES = ("override", "error", "warn", "skip")
_GROUP_MODES = ("all", "settle", "race")
_ON_ERROR = ("raise", "continue", "skip-remaining")


@final
@attrs.frozen(kw_only=True, eq=False)
class BranchCase:
    """A case of ``branch_on``, made by `when` or `otherwise`."""

    condition: Callable[..., Any] | None
    then: Then
    name: str | None


def when(condition: Callable[..., Any], then: Then, *, name: str | None = None) -> BranchCase:
    """Make a case of ``branch_on`` that is taken if `condition` holds and no case before it did.

    Args:
      condition: sync or async function, called with the keys of the context that it names.
      then: a pipeline, or a function that is given an empty pipeline and returns it with steps.
      name: what the case is called; by default what the pipeline is, or ``case-1`` by position.

    Raises:
      ConfigError: `condition` is no function.
    """
    if not callable(condition):
        raise ConfigError(f"when({condition!r}, …): the condition is a function, when(lambda plan: plan == 'pro', …)")
    return BranchCase(condition=condition, then=then, name=name)


def otherwise(then: Then, *, name: str | None = None) -> BranchCase:
    """Make the case of ``branch_on`` that is taken if no other is; it comes last.

    Args:
      then: a pipeline, or a function that is given an empty pipeline and returns it with steps.
      name: what the case is called; by default what the pipeline is, or ``otherwise``.
    """
    return BranchCase(condition=None, then=then, name=name)


@final
@attrs.frozen(kw_only=True)
class _State:
    """What a pipeline is; the object itself is just a handle on it."""

    flow: Flow
    nodes: Nodes = ()
    share: AbstractSet[str] = frozenset()
    observers: tuple[Observer, ...] = ()
    hooks: Hooks = attrs.field(factory=Hooks)
    codec: Codec | None = None
    done: type[Any] | None = None


@final
@attrs.frozen(kw_only=True)
class _Settings:
    """What every kind of step takes, checked."""

    condition: Function | bool | None
    on_error: OnError
    policies: Policies
    log: bool


@final
@attrs.frozen
class _Part:
    """Something that a step runs, what it needs, and what it provides."""

    member: Member
    needs: tuple[Need, ...]
    provided: Shape
    skips: bool = False  # it has a circuit breaker of its own that skips


@final
class _Launch(Step[Any, Any]):
    """One run of a pipeline, with options of its own."""

    __slots__ = ()

    _unnamed_inside: ClassVar[bool] = True

    def start(
        self, input: object, observers: Iterable[Observer], state: dict[str, object] | None
    ) -> Coroutine[Any, Any, Any]:
        return self._run(input, observers, state)


@final
class Pipeline(Step[I_contra, O_co], Generic[I_contra, O_co]):
    """Named steps that pass a context forward.

    A pipeline is a step: call it, nest it, use it as a path of a fork. The context is a mapping of keys; each step
    is called with those it names as its parameters, and returns those it adds.

    ``Pipeline[In, Out]`` says what `run` takes and returns. `inputs` and `outputs` set them.
    """

    __slots__ = ("_program", "_state")

    _unnamed_inside: ClassVar[bool] = True

    @overload
    def __init__(
        self: Pipeline[Mapping[str, Any] | None, dict[str, Any]],
        name: str | None = None,
        *,
        inputs: None = None,
        share: Collection[str] = (),
        observers: Iterable[Observer] = (),
        on_step_complete: CompleteHook | None = None,
        on_error: ErrorHook | None = None,
        codec: Codec | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self: Pipeline[T, dict[str, Any]],
        name: str | None = None,
        *,
        inputs: type[T],
        share: Collection[str] = (),
        observers: Iterable[Observer] = (),
        on_step_complete: CompleteHook | None = None,
        on_error: ErrorHook | None = None,
        codec: Codec | None = None,
    ) -> None: ...

    def __init__(
        self,
        name: str | None = None,
        *,
        inputs: Any = None,
        share: Collection[str] = (),
        observers: Iterable[Observer] = (),
        on_step_complete: CompleteHook | None = None,
        on_error: ErrorHook | None = None,
        codec: Codec | None = None,
    ) -> None:
        """Make a pipeline without steps.

        Args:
          name: what it is called; full names of its own steps don't have it.
          inputs: a TypedDict, attrs class or dataclass whose fields are the keys of the input. By default anything
            can be in it.
          share: keys whose values are handed to functions as they are, not copied.
          observers: called with every event of every run.
          on_step_complete: sync or async function, called with a `StepCompletion` after each step of each run.
          on_error: sync or async function, called with the full name of the step and the error at each failure.
          codec: how the values in checkpoints are written; by default as JSON that keeps their exact types.

        Raises:
          ConfigError: an argument makes no sense.
        """
        if isinstance(share, str):
            raise ConfigError(f"share={share!r}: give the keys in a tuple, share=({share!r},)")
        state = _State(
            flow=Flow.start(inputs),
            share=frozenset(share),
            observers=tuple(observers),
            hooks=Hooks().plus(on_step_complete, on_error),
            codec=codec,
        )
        self._become("pipeline" if name is None else _check_name(name), name is not None, state)

    def _become(self, name: str, given: bool, state: _State) -> None:
        self._state = state
        self._program: Program | None = None
        super().__init__(name, given, self._enter)

    def _with(self, **changes: Any) -> Pipeline[I_contra, dict[str, Any]]:
        new = cast("Pipeline[I_contra, dict[str, Any]]", Pipeline.__new__(Pipeline))
        new._become(self.id, self.id_given, attrs.evolve(self._state, **changes))  # noqa: SLF001
        return new

    # Building

    @overload
    def step(
        self,
        name: str,
        /,
        *functions: Callable[..., Any],
        mode: Literal["all", "settle", "race"] | None = None,
        concurrency: int | trio.CapacityLimiter | None = None,
        provides: str | None = None,
        merge_policy: MergePolicy = "override",
        **options: Unpack[NodeOptions],
    ) -> Pipeline[I_contra, dict[str, Any]]: ...

    @overload
    def step(
        self,
        /,
        *functions: Callable[..., Any],
        mode: Literal["all", "settle", "race"] | None = None,
        concurrency: int | trio.CapacityLimiter | None = None,
        provides: str | None = None,
        merge_policy: MergePolicy = "override",
        **options: Unpack[NodeOptions],
    ) -> Pipeline[I_contra, dict[str, Any]]: ...

    def step(
        self,
        /,
        *name_and_functions: Any,
        mode: str | None = None,
        concurrency: int | trio.CapacityLimiter | None = None,
        provides: str | None = None,
        merge_policy: MergePolicy = "override",
        **options: Unpack[NodeOptions],
    ) -> Pipeline[I_contra, dict[str, Any]]:
        """Add a step: one function, or several that run at once.

        Args:
          name_and_functions: the name, if it has one, then sync or async functions, steps, forks and pipelines. A
            function is called with the keys of the context that it names, and returns a mapping of the keys that
            it adds (or an attrs or dataclass instance, or None).
          mode: for several functions, what `fork` means by it: ``"all"`` (the default), ``"settle"`` or ``"race"``.
          concurrency: how many of them run at the same time at most, or a limiter.
          provides: for one function, the key under which to store whatever it returns.
          merge_policy: what happens to keys that are there already: ``"override"``, ``"error"``, ``"warn"`` or
            ``"skip"``.
          options: `condition`, a function of the context, or a bool: whether to run it at all. `on_error`:
            ``"raise"``, ``"continue"`` (with the next step) or ``"skip-remaining"`` (of this pipeline). `timeout`,
            `total_timeout`, `retry`, `circuit_breaker`, `limiter`: as for `step`; with several functions,
            `timeout` is the fork's. `log`: whether it is to be seen in logs and summaries.

        Raises:
          ConfigError: it can't work as it is written, or what it needs can't be there.
        """
        given, functions = _split_name(name_and_functions)
        if not functions:
            raise ConfigError(f"step({', '.join(map(repr, name_and_functions))}): give it a function to run")
        name = self._name(given, functions)
        settings, flow = self._settings(name, **options)
        if len(functions) == 1 and mode is None:
            if concurrency is not None:
                raise ConfigError(f"step {name!r}: concurrency={concurrency!r} goes with several functions, or a mode")
            part = self._part(functions[0], name, provides)
            body: Any = part.member
            flow = flow.require(part.needs)
            provided, skips = part.provided, part.skips
        else:
            if provides is not None:
                raise ConfigError(
                    f"step {name!r}: provides={provides!r} is for one function; for one of several, "
                    f"step(function, provides={provides!r})"
                )
            body, parts = self._group(name, functions, mode or "all", concurrency, settings)
            settings = attrs.evolve(settings, policies=attrs.evolve(settings.policies, timeout=None))
            for part in parts:
                flow = flow.require(part.needs)
            provided = together([part.provided for part in parts], mode or "all", _check_policy(name, merge_policy))
            skips = False
        return self._add(name, body, settings, flow, provided, merge_policy=merge_policy, skips=skips)

    def transform(
        self, /, *name_and_function: Any, **options: Unpack[NodeOptions]
    ) -> Pipeline[I_contra, dict[str, Any]]:
        """Add a step whose output replaces the whole context.

        Args:
          name_and_function: the name, if it has one, then a sync or async function that returns the new context.
          options: as for `step`.

        Raises:
          ConfigError: it can't work as it is written, or what it needs can't be there.
        """
        given, functions = _split_name(name_and_function)
        if len(functions) != 1 or isinstance(functions[0], Pipeline):
            raise ConfigError(f"transform({', '.join(map(repr, name_and_function))}): give it one function")
        name = self._name(given, functions)
        settings, flow = self._settings(name, **options)
        part = self._part(functions[0], name, None, transform=True)
        flow = flow.require(part.needs)
        return self._add(
            name, part.member, settings, flow, part.provided, merge_policy="override", skips=part.skips, transforms=True
        )

    def branch_on(
        self,
        /,
        *name_and_cases: str | BranchCase,
        merge_policy: MergePolicy = "override",
        **options: Unpack[NodeOptions],
    ) -> Pipeline[I_contra, dict[str, Any]]:
        """Add a step that takes the first of several cases that holds.

        Args:
          name_and_cases: the name, if it has one, then what `when` returns, and `otherwise` at the end if there is
            a case for all else.
          merge_policy: as for `step`.
          options: as for `step`.

        Raises:
          ConfigError: it can't work as it is written, or what it needs can't be there.
        """
        given, specs = _split_name(name_and_cases)
        name = self._name(given, ())
        for spec in specs:
            if not isinstance(spec, BranchCase):
                raise ConfigError(
                    f"branch_on {name!r}: a case is when(condition, then) or otherwise(then), not {spec!r}"
                )
        if not specs or any(spec.condition is None for spec in specs[:-1]):
            raise ConfigError(f"branch_on {name!r}: give one case or more, when(…); otherwise(…) comes last, and once")
        settings, flow = self._settings(name, **options)
        cases: list[Case] = []
        shapes: dict[str, Shape] = {}
        conditions = [None if spec.condition is None else self._function(spec.condition, name) for spec in specs]
        for condition in conditions:
            if condition is not None:
                flow = flow.require(needs_of(condition.signature, name))
        for number, (spec, condition) in enumerate(zip(specs, conditions), 1):  # noqa: B905 - as long as each other
            default = "otherwise" if spec.condition is None else f"case-{number}"
            inner, id = self._case(spec, default, flow, name, shapes)
            if id in shapes:
                raise ConfigError(f"branch_on {name!r}: two cases have the name {id!r}; give each its own, name=…")
            flow = flow.require(need.within(f"{name}/{id}") for need in inner._state.flow.needs)  # noqa: SLF001
            shapes[id] = inner._state.flow.output.within(f"{name}/{id}")  # noqa: SLF001
            cases.append(Case(id=id, condition=condition, nodes=sharing(inner._state.nodes, self._state.share)))  # noqa: SLF001
        provided = branched(shapes, specs[-1].condition is None)
        return self._add(name, Branch(tuple(cases)), settings, flow, provided, merge_policy=merge_policy)

    def _case(
        self, spec: BranchCase, default: str, flow: Flow, branch: str, taken: Collection[str]
    ) -> tuple[AnyPipeline, str]:
        then = spec.then
        if isinstance(then, Pipeline):
            base = then.id if then.id_given else default
            return then, _numbered(base, taken) if spec.name is None else _check_name(spec.name)
        id = _numbered(default, taken) if spec.name is None else _check_name(spec.name)
        what = f"branch_on {branch!r}: the case {id!r}"
        if not callable(then):
            raise ConfigError(f"{what} is {then!r}; give a pipeline, or a function of one, lambda p: p.step(…)")
        empty: AnyPipeline = Pipeline(id)._with(flow=flow.nested(), share=self._state.share)  # noqa: SLF001
        try:
            inner: object = then(empty)
        except ConfigError as error:
            add_note(error, f"in the case '{branch}/{id}'")
            raise
        if not isinstance(inner, Pipeline):
            raise ConfigError(f"{what} has a function that returns {inner!r}; it has to return the pipeline, p.step(…)")
        return inner, id

    def for_each(
        self,
        /,
        *name_and_function: Any,
        over: str,
        each: str,
        into: str,
        mode: Literal["all", "settle"] = "all",
        concurrency: int | trio.CapacityLimiter | None = None,
        merge_policy: MergePolicy = "override",
        **options: Unpack[NodeOptions],
    ) -> Pipeline[I_contra, dict[str, Any]]:
        """Add a step that calls a function once for each element of a collection, at once.

        Args:
          name_and_function: the name, if it has one, then a sync or async function, or a step.
          over: the key that holds the collection: a list, a tuple, or a mapping.
          each: the parameter of the function that is given the element (of a mapping, the value). The others are
            given keys of the context.
          into: the key under which the results are stored: a list in order, or a dict with the mapping's keys.
          mode: ``"all"``, or ``"settle"``: the results are `SettleResult`s.
          concurrency: how many calls run at the same time at most, or a limiter.
          merge_policy: as for `step`.
          options: as for `step`; `timeout` is the fork's.

        Raises:
          ConfigError: it can't work as it is written, or what it needs can't be there.
        """
        given, functions = _split_name(name_and_function)
        if len(functions) != 1:
            raise ConfigError(f"for_each({', '.join(map(repr, name_and_function))}): give it one function")
        name = self._name(given, functions)
        if mode not in ("all", "settle"):
            raise ConfigError(f'for_each {name!r}: mode={mode!r}: use "all" or "settle"')
        settings, flow = self._settings(name, **options)
        function = self._function(functions[0], name)
        settle = mode == "settle"
        flow, provided = for_each(flow, function.signature, name, over=over, each=each, into=into, settle=settle)
        timeout = settings.policies.timeout
        body = Each(
            function=Function(function.call, function.signature.without(each), function.share),
            over=over,
            each=each,
            into=into,
            plan=plan(name, mode, (), concurrency=concurrency, timeout=timeout),
            settle=settle,
        )
        settings = attrs.evolve(settings, policies=attrs.evolve(settings.policies, timeout=None))
        return self._add(name, body, settings, flow, provided, merge_policy=merge_policy)

    def outputs(self, done: type[DoneT], /) -> Pipeline[I_contra, DoneT]:
        """Prove that the pipeline produces `done`, and return one whose `run` is typed so.

        Args:
          done: a TypedDict; or an attrs class or dataclass, of which `run` then returns an instance.

        Raises:
          ConfigError: a key of it may not be there, or not with its type.
        """
        self._state.flow.prove(done)
        return cast("Pipeline[I_contra, DoneT]", self._with(done=done))

    # What building is made of

    def _name(self, given: str | None, functions: tuple[Any, ...]) -> str:
        taken = {node.id for node in self._state.nodes}
        if given is not None:
            if _check_name(given) in taken:
                raise ConfigError(f"step {given!r}: the pipeline has a step of that name already; give it another")
            return given
        base = f"step-{len(taken) + 1}"
        if len(functions) == 1:
            derived, is_given, _ = describe(functions[0])
            if derived != "<lambda>" and (is_given or not isinstance(functions[0], Pipeline)):
                base = _check_name(derived)
        return _numbered(base, taken)

    def _settings(
        self,
        name: str,
        *,
        condition: bool | Callable[..., Any] | None = None,
        on_error: OnError = "raise",
        timeout: float | None = None,
        total_timeout: float | None = None,
        retry: Retry | None = None,
        circuit_breaker: CircuitBreaker | None = None,
        limiter: trio.CapacityLimiter | None = None,
        log: bool = True,
    ) -> tuple[_Settings, Flow]:
        """Check what every kind of step takes; return also the flow in which its condition is asked."""
        if on_error not in _ON_ERROR:
            raise ConfigError(f'step {name!r}: on_error={on_error!r}: use "raise", "continue" or "skip-remaining"')
        flow = self._state.flow
        asked: Function | bool | None = None
        if isinstance(condition, bool):
            asked = None if condition else False
        elif condition is not None:
            asked = self._function(condition, name)
            flow = flow.require(needs_of(asked.signature, name))
        policies = Policies(
            timeout=timeout,
            total_timeout=total_timeout,
            retry=retry,
            circuit_breaker=circuit_breaker,
            limiter=limiter,
        )
        if retry is not None:
            policies = attrs.evolve(policies, retry=attrs.evolve(retry, on=functools.partial(_worth_retrying, retry)))
        return _Settings(condition=asked, on_error=on_error, policies=policies, log=log), flow

    def _function(self, fn: object, name: str) -> Function:
        signature = signature_of(fn, name)
        return Function(_call_of(fn, self._state.share), signature, self._state.share, signature.provides)

    def _part(self, fn: object, name: str, provides: str | None, *, transform: bool = False) -> _Part:
        """Return what there is to know about `fn`, which the step (or member) `name` runs."""
        if isinstance(fn, Pipeline):
            if provides is not None:
                raise ConfigError(f"step {name!r}: provides={provides!r} is for a function, and this is a pipeline")
            inner = fn._state  # noqa: SLF001
            needs = tuple(need.within(name) for need in inner.flow.needs)
            return _Part(sharing(inner.nodes, self._state.share), needs, inner.flow.output.within(name))
        if provides is not None and (not isinstance(provides, str) or not provides):
            raise ConfigError(f"step {name!r}: provides={provides!r}: give the key, a string that is not empty")
        function = self._function(fn, name)
        signature = function.signature
        if provides is not None:
            function = Function(function.call, signature, function.share, provides)
        needs = (*needs_of(signature, name), *_needs_of_paths(fn, name))
        return _Part(function, needs, provided_by(signature, name, provides, transform=transform), _skips(fn))

    def _group(
        self,
        name: str,
        functions: tuple[Any, ...],
        mode: str,
        concurrency: int | trio.CapacityLimiter | None,
        settings: _Settings,
    ) -> tuple[Group, list[_Part]]:
        if mode not in _GROUP_MODES:
            raise ConfigError(f'step {name!r}: mode={mode!r}: use "all", "settle" or "race"')
        ids: dict[str, None] = {}
        parts: list[_Part] = []
        for number, fn in enumerate(functions, 1):
            id = _numbered(_check_name(fn.id) if isinstance(fn, Step) and fn.id_given else str(number), ids)
            ids[id] = None
            parts.append(self._part(cast("object", fn), f"{name}/{id}", None))
        fork = plan(
            name,
            WholeRace if mode == "race" else mode,
            (),
            concurrency=concurrency,
            timeout=settings.policies.timeout,
        )
        known = [(index, id, member_path(index)) for index, id in enumerate(ids)]
        members = tuple(part.member for part in parts)
        body = Group(mode=cast("Any", mode), ids=tuple(ids), members=members, plan=attrs.evolve(fork, known=known))
        return body, parts

    def _add(
        self,
        name: str,
        body: Any,
        settings: _Settings,
        flow: Flow,
        provided: Shape,
        *,
        merge_policy: MergePolicy,
        skips: bool = False,
        transforms: bool = False,
    ) -> Pipeline[I_contra, dict[str, Any]]:
        before = self._state.flow
        breaker = settings.policies.circuit_breaker
        reasons = [
            reason
            for reason, holds in (
                (CONDITION, settings.condition is not None),
                (ADMITTED, skips or (breaker is not None and breaker.on_open == "skip")),
                (SUCCEEDS, settings.on_error == "continue"),
            )
            if holds
        ]
        or_exit = name if settings.on_error == "skip-remaining" else None
        if transforms:
            flow = flow.replace(provided, name, when=reasons, or_exit=or_exit)
        else:
            flow = flow.provide(provided, policy=_check_policy(name, merge_policy), when=reasons, or_exit=or_exit)
        node = Node(
            id=name,
            body=body,
            condition=settings.condition,
            policies=None if settings.policies == Policies() else settings.policies,
            on_error=settings.on_error,
            merge_policy=merge_policy,
            transforms=transforms,
            log=settings.log,
            before=before.context,
            after=flow.context,
        )
        return self._with(flow=flow, nodes=(*self._state.nodes, node), done=None)

    # What is known

    @property
    def step_names(self) -> tuple[str, ...]:
        """The full names of all steps, each before those inside it."""
        return self._compiled().steps

    def input_of(self, name: str) -> dict[str, object]:
        """Return the keys that the step sees, as far as they are known, and their types.

        Raises:
          KeyError: there is no step of that full name.
        """
        return self._node(name).before.types

    def output_of(self, name: str | None = None) -> dict[str, object]:
        """Return the keys of the whole context after a step, or at the end, as far as they are known, and their types.

        Raises:
          KeyError: there is no step of that full name.
        """
        return (self._state.flow.result if name is None else self._node(name).after).types

    def _node(self, name: str) -> Node:
        node = find(self._state.nodes, name)
        if node is None:
            raise KeyError(f"pipeline {self.id!r} has no step {name!r}; it has {listed(self.step_names)}")
        return node

    def describe(self) -> str:
        """Return the steps as an indented tree."""
        return "\n".join([self.id, *_lines(self._state.nodes, "  ")])

    # Running

    def _compiled(self) -> Program:
        program = self._program
        if program is None:
            state = self._state
            self._program = program = Program(
                name=self.id,
                nodes=state.nodes,
                steps=tuple(names_of(state.nodes)),
                share=state.share,
                codec=state.codec,
            )
        return program

    @overload
    def run(
        self: Step[None, T],
        *,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
        on_step_complete: CompleteHook | None = None,
        on_error: ErrorHook | None = None,
    ) -> Coroutine[Any, Any, T]: ...

    @overload
    def run(
        self,
        input: I_contra,
        *,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
        on_step_complete: CompleteHook | None = None,
        on_error: ErrorHook | None = None,
    ) -> Coroutine[Any, Any, O_co]: ...

    def run(
        self,
        input: Any = NO_INPUT,
        *,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
        on_step_complete: CompleteHook | None = None,
        on_error: ErrorHook | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """Run the pipeline once, with options, and return the context at its end: a plain dict that is the caller's.

        Args:
          input: the keys that the context begins with; a mapping, or an attrs or dataclass instance.
          observers: called with every event of this run.
          state: handed to the steps as ``current_scope().state``.
          on_step_complete: sync or async function, called with a `StepCompletion` after each step.
          on_error: sync or async function, called with the full name of the step and the error at each failure.

        Raises:
          StepInputError: a step needs a key that is not there.
          StepOutputError: a step returned something that is no output.
          KeyCollisionError: a key was given twice, and the step has ``merge_policy="error"``.
          ForkPartialError: members of a parallel step failed.
        """
        hooks = self._state.hooks.plus(on_step_complete, on_error)
        args = () if isinstance(input, NoInput) else (input,)
        return self._start(functools.partial(self._execute, hooks, None, *args), observers, state)

    def resume(
        self,
        checkpoint: Checkpoint,
        *,
        overrides: Mapping[str, object] | None = None,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
        on_step_complete: CompleteHook | None = None,
        on_error: ErrorHook | None = None,
    ) -> Coroutine[Any, Any, O_co]:
        """Go on with a run after the step of `checkpoint`, and return the context at its end.

        What was done is not run again, inside nested pipelines, branches and parallel steps too; a race is run as
        a whole.

        Args:
          checkpoint: ``event.checkpoint`` of a hook, or ``Checkpoint.from_json(text)``.
          overrides: keys and the values that the rest of the run finds there instead.
          observers: as for `run`.
          state: as for `run`.
          on_step_complete: as for `run`.
          on_error: as for `run`.

        Raises:
          CheckpointError: it is of another pipeline, or the pipeline has changed before the point of resumption.
        """
        entries = self._entries(checkpoint, as_output(overrides, "overrides", self._state.share))
        hooks = self._state.hooks.plus(on_step_complete, on_error)
        return self._start(functools.partial(self._execute, hooks, entries), observers, state)

    def _start(
        self, entry: Callable[..., Any], observers: Iterable[Observer], state: dict[str, object] | None
    ) -> Coroutine[Any, Any, Any]:
        launch = _Launch(self.id, self.id_given, entry)
        return launch.start(NO_INPUT, (*self._state.observers, *observers), state)

    def _run(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, input: I_contra | NoInput, observers: Iterable[Observer], state: dict[str, object] | None
    ) -> Coroutine[Any, Any, O_co]:
        args = () if isinstance(input, NoInput) else (input,)
        return self._start(functools.partial(self._execute, self._state.hooks, None, *args), observers, state)

    def _enter(self, *args: Any) -> Coroutine[Any, Any, Any]:
        """Run it as a path of a fork, in the scope of that."""
        if self._state.observers:
            scope = current_scope()
            scope.observers = Observers(self._state.observers, scope.observers)
        return self._execute(self._state.hooks, None, *args)

    def _execute(self, hooks: Hooks, entries: tuple[Entry, ...] | None, *args: Any) -> Coroutine[Any, Any, Any]:
        return execute(self._compiled(), hooks, entries, functools.partial(_finish, self._state.done), *args)

    def _entries(self, checkpoint: Checkpoint, overrides: dict[str, object]) -> tuple[Entry, ...]:
        if not isinstance(checkpoint, Checkpoint):
            raise CheckpointError(f"resume({checkpoint!r}): give a Checkpoint; of text, Checkpoint.from_json(text)")
        program = self._compiled()
        checkpoint.check(program.name, program.steps)
        entries = checkpoint.entries
        if not entries or entries[0].kind != "inputs":
            raise CheckpointError("the checkpoint does not tell what the run began with")
        kept = [entries[0]]
        for entry in entries[1:]:
            node = find(program.nodes, entry.step)
            body = None if node is None else node.body
            if isinstance(body, Each) and entry.case is not None and body.over in overrides:
                continue  # it was done for an element that is another one now
            if entry.kind == "taken" and (
                not isinstance(body, Branch) or all(case.id != entry.case for case in body.cases)
            ):
                raise CheckpointError(
                    f"the branch took the case {entry.case!r}, which the pipeline doesn't have", entry.step
                )
            kept.append(entry)
        return overridden(kept, overrides)


def _finish(done: type[Any] | None, values: dict[str, object]) -> Any:
    if done is None or is_typed_dict(done):
        return values
    if attrs.has(done):
        names = {field.name: field.alias for field in attrs.fields(done) if field.init}
    else:
        names = {name: name for name in fields_of(done) or ()}
    return done(**{alias: values[name] for name, alias in names.items() if name in values})


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not name or "/" in name:
        raise ConfigError(f"{name!r} is no name of a step: a name is a string that is not empty and has no '/' in it")
    return name


def _check_policy(step: str, policy: Any) -> Any:
    if policy not in _MERGE_POLICIES:
        raise ConfigError(f'step {step!r}: merge_policy={policy!r}: use "override", "error", "warn" or "skip"')
    return policy


def _split_name(arguments: tuple[Any, ...]) -> tuple[str | None, tuple[Any, ...]]:
    if arguments and isinstance(arguments[0], str):
        return arguments[0], arguments[1:]
    return None, arguments


def _numbered(base: str, taken: Collection[str]) -> str:
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}#{number}"
    return name


def _worth_retrying(retry: Retry, error: Exception) -> bool:
    """Tell whether another attempt may help: a key that is not there will not be there then."""
    return not any(isinstance(leaf, StepInputError) for leaf in leaves(error)) and retry.wants(error)


def _skips(fn: object) -> bool:
    """Tell whether a step in `fn` has a circuit breaker that skips."""
    while isinstance(fn, (FunctionStep, functools.partial)):
        if isinstance(fn, FunctionStep):
            breaker = fn.policies.circuit_breaker
            if breaker is not None and breaker.on_open == "skip":
                return True
            fn = cast("object", fn.fn)
        else:
            fn = cast("object", fn.func)
    return False


# Forks as steps


def _call_of(fn: object, share: AbstractSet[str]) -> Callable[..., Any]:
    if isinstance(fn, Fork):
        return functools.partial(run_fork, _plan_with_context(_plan_of(fn.entry), share))
    return describe(fn)[2]


def _plan_of(entry: Callable[..., Any]) -> Plan:
    return cast("Plan", cast("functools.partial[Any]", entry).args[0])


def _is_plain(call: object) -> bool:
    """Tell whether a path of a fork is a function that can be called with keys: no fork and no pipeline."""
    if isinstance(call, functools.partial):
        return call.func is not run_fork
    return not isinstance(getattr(call, "__self__", None), Pipeline)


def _function_of(call: Callable[..., Any]) -> object:
    step: object = getattr(call, "__self__", None)
    return cast("object", step) if inspect.ismethod(call) and isinstance(step, FunctionStep) else call


def _plan_with_context(fork: Plan, share: AbstractSet[str]) -> Plan:
    """Return `fork` as a step of a pipeline, whose functions are called with the keys of the context they name."""
    if fork.known is None:
        return fork
    known = [(index, id, _path_with_context(id, call, share)) for index, id, call in fork.known]
    return attrs.evolve(fork, known=known)


def _path_with_context(id: str, call: Callable[..., Any], share: AbstractSet[str]) -> Callable[..., Any]:
    if not _is_plain(call):
        if isinstance(call, functools.partial):
            return functools.partial(run_fork, _plan_with_context(_plan_of(cast("Any", call)), share))
        return call
    function = Function(call, signature_of(_function_of(call), id), share)

    def path(context: Any) -> Any:
        args, kwargs = function.bind(context, id)
        return call(*args, **kwargs)

    return path


def _needs_of_paths(fn: object, step: str) -> tuple[Need, ...]:
    """Return what the functions of a fork need that is used as a step."""
    if not isinstance(fn, Fork):
        return ()
    needs: list[Need] = []
    pending = [(step, _plan_of(fn.entry))]
    while pending:
        around, fork = pending.pop()
        for _, id, call in fork.known or ():
            name = f"{around}/{id}"
            if _is_plain(call):
                needs += needs_of(signature_of(_function_of(call), name), name)
            elif isinstance(call, functools.partial):
                pending.append((name, _plan_of(cast("Any", call))))
    return tuple(needs)


# The tree


def _lines(nodes: Nodes, indent: str) -> list[str]:
    lines: list[str] = []
    for node in nodes:
        body = node.body
        what = ""
        if isinstance(body, Group):
            what = f" ({body.mode})"
        elif isinstance(body, Each):
            what = f" (for each {body.each} of {body.over})"
        elif node.transforms:
            what = " (transform)"
        lines.append(f"{indent}{node.id}{what}")
        deeper = indent + "  "
        if isinstance(body, Group):
            for id, member in zip(body.ids, body.members):  # noqa: B905 - as long as each other
                lines.append(f"{deeper}{id}")
                if isinstance(member, tuple):
                    lines += _lines(member, deeper + "  ")
        elif isinstance(body, Branch):
            for case in body.cases:
                lines.append(f"{deeper}{case.id}{'?' if case.condition is not None else ''}")
                lines += _lines(case.nodes, deeper + "  ")
        elif isinstance(body, tuple):
            lines += _lines(body, deeper)
    return lines
