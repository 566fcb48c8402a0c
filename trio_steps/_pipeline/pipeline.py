"""`Pipeline`: the immutable builder. It makes a plan, checks at every step that the plan can work, and runs nothing.

Every method returns a new pipeline and leaves the old one unchanged, so that a prefix can be shared. Each adds what the
step needs and provides to the `Flow`, so a mistake is an error at the very line that makes it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, cast, final, overload

import attrs

from trio_steps._core.checks import check_flag
from trio_steps._core.describe import check_was
from trio_steps._core.errors import ConfigError, listed, short_repr
from trio_steps._core.events.records import observers_of
from trio_steps._core.public import public
from trio_steps._core.step import NO_INPUT, InputStep, NoInput, arguments, named

from .builder.branches import BranchCase, branch
from .builder.groups import step_of
from .builder.loops import each_of, repeat_of
from .builder.options import check_codec, check_name, check_share
from .builder.steps import transform
from .builder.waits import check_version, check_versions, wait_of
from .context import as_output
from .contract.flow import Flow
from .contract.records import Inputs
from .definition import Hooks, Program, find, lines_of
from .entry import PipelineEntry
from .run.loop import execute
from .run.resume import resumed
from .run.typed import codec_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence

    import trio
    from typing_extensions import Unpack

    from trio_steps._core.events.records import Observer
    from trio_steps._durable.protocol import RunClaims
    from trio_steps._values.codec import Codec, TypedCodec

    from .builder.options import NodeOptions
    from .context import MergePolicy
    from .definition import Node, OnError
    from .run.checkpoint import Checkpoint
    from .run.hooks import CompleteHook, ErrorHook
    from .run.stored import RunStore

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
T = TypeVar("T")
DoneT = TypeVar("DoneT")


@final
class _Launch(InputStep[Any, Any]):
    """One run of a pipeline, with its options."""

    __slots__ = ()

    _unnamed_inside: ClassVar[bool] = True

    def start(
        self, input: object, observers: Iterable[Observer], state: dict[str, object] | None
    ) -> Coroutine[Any, Any, Any]:
        return named(self._run(arguments(input), {}, observers, state), self.id)


@public
@final
class Pipeline(InputStep[I_contra, O_co], Generic[I_contra, O_co]):
    """Named steps that pass a context forward.

    A pipeline is a step: call it, nest it, use it as a path of a fork. The context is a mapping. Each step is called
    with the keys that it names as parameters, and returns the keys that it adds.

    A pipeline is immutable: `step` and the other methods return a new one, and leave this one unchanged.

    ``Pipeline[In, Out]`` says what `run` takes and returns. `inputs` and `outputs` set these types.
    """

    __slots__ = ("_program",)

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
        codec: Codec | TypedCodec | None = None,
        strict: bool = False,
        version: str | None = None,
        versions: Collection[str | None] = (),
        was: str | Sequence[str] = (),
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
        codec: Codec | TypedCodec | None = None,
        strict: bool = False,
        version: str | None = None,
        versions: Collection[str | None] = (),
        was: str | Sequence[str] = (),
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
        codec: Codec | TypedCodec | None = None,
        strict: bool = False,
        version: str | None = None,
        versions: Collection[str | None] = (),
        was: str | Sequence[str] = (),
    ) -> None:
        """Make a pipeline without steps.

        Its observers and hooks are called wherever it runs: by itself, nested in another pipeline, for each element,
        or as a path of a fork. They see the full names of that run, and are called before those of the step around it.

        Args:
          name: its name, which is not part of the full names of its own steps.
          inputs: a TypedDict, attrs class, dataclass, pydantic model or msgspec struct whose fields are the keys of the
            input. If a mapping lacks a key, the default of the class is used; without a default, the mapping is refused
            before the first step runs. Values are not validated. By default anything can be in the input.
          share: keys whose values are passed to functions without a copy.
          observers: called with every event of every run.
          on_step_complete: sync or async function, called with a `StepCompletion` after each step of each run.
          on_error: sync or async function, called with the full name of the step and the error at each failure.
          codec: how values in checkpoints are written, a `Codec` or a `TypedCodec`; by default as JSON that keeps their
            exact types.
          strict: refuse anything that is not known when the pipeline is built. It needs `inputs`, and each function has
              to declare what it returns.
          version: the version of the pipeline, which is kept with each durable run, and shown.
          versions: other versions whose runs this one can continue, ``{"1", "2"}``; None is a run without a version.
          was: the name that the pipeline had before it was renamed; or several, the oldest first. Durable runs of these
            names can be continued.

        Raises:
          ConfigError: an argument is not valid.
        """
        check_flag(f"Pipeline({name!r}): strict", strict, form="True or False")
        check_codec(codec)
        flow = Flow.start(inputs)
        if strict and flow.context.outside:
            raise ConfigError(
                f"Pipeline({name!r}, strict=True): say what its input is, inputs=…, a TypedDict or another type that "
                "declares keys"
            )
        self._become(
            Program(
                name="pipeline" if name is None else check_name(name),
                name_given=name is not None,
                flow=flow,
                share=check_share(share),
                strict=strict,
                observers=observers_of(observers),
                hooks=Hooks().plus(on_step_complete, on_error),
                codec=codec,
                inputs=Inputs.of(inputs),
                version=check_version(version),
                versions=check_versions(versions),
                was=check_was(was, f"Pipeline({name!r}): "),
            )
        )

    def _become(self, program: Program) -> None:
        self._program = program
        super().__init__(program.name, program.name_given, PipelineEntry(program))

    def _with(self, program: Program) -> Pipeline[I_contra, dict[str, Any]]:
        new = cast("Pipeline[I_contra, dict[str, Any]]", Pipeline.__new__(Pipeline))
        new._become(program)  # noqa: SLF001
        return new

    # Building

    @overload
    def step(
        self,
        name: str,
        /,
        *functions: Callable[..., Any],
        mode: Literal["all", "settle", "race", "flow"] | None = None,
        concurrency: int | trio.CapacityLimiter | None = None,
        provides: str | tuple[str, ...] | None = None,
        merge_policy: MergePolicy = "override",
        **options: Unpack[NodeOptions],
    ) -> Pipeline[I_contra, dict[str, Any]]: ...

    @overload
    def step(
        self,
        /,
        *functions: Callable[..., Any],
        mode: Literal["all", "settle", "race", "flow"] | None = None,
        concurrency: int | trio.CapacityLimiter | None = None,
        provides: str | tuple[str, ...] | None = None,
        merge_policy: MergePolicy = "override",
        **options: Unpack[NodeOptions],
    ) -> Pipeline[I_contra, dict[str, Any]]: ...

    def step(
        self,
        /,
        *name_and_functions: Any,
        mode: str | None = None,
        concurrency: int | trio.CapacityLimiter | None = None,
        provides: str | tuple[str, ...] | None = None,
        merge_policy: MergePolicy = "override",
        **options: Unpack[NodeOptions],
    ) -> Pipeline[I_contra, dict[str, Any]]:
        """Add a step: one function, or several that run at once.

        Args:
          name_and_functions: the name, if it has one, then sync or async functions, steps, forks and pipelines. A
            function is called with the keys of the context that it names, and returns a mapping of the keys that
            it adds (or an attrs or dataclass instance, or None).
          mode: for several functions, as for `fork`: ``"all"`` (the default), ``"settle"`` or ``"race"``. Or
            ``"flow"``: like ``"all"``, but each function starts when the functions that provide its keys have ended.
          concurrency: the most functions that run at the same time, or a limiter.
          provides: for one function, the key under which to store whatever it returns; or the keys of the mapping that
            it returns, if its annotation can't name them, ``("user", "plan")``.
          merge_policy: what happens to keys that are already there: ``"override"``, ``"error"``, ``"warn"`` or
              ``"skip"``.
          options: `condition`: whether to run it at all, a function of the context, or a bool. `on_error`:
            ``"raise"``, ``"continue"`` (with the next step) or ``"skip-remaining"`` (of this pipeline). `timeout`,
            `total_timeout`, `retry`, `circuit_breaker`, `limiter`, `rate`: as for `trio_steps.step`; with several
            functions, `timeout` is for all of them together. `log`: whether it appears in logs and summaries. `share`:
            keys whose values are passed to its functions without a copy. `was`: the name that the step had before it
            was renamed; or several, the oldest first.

        Raises:
          ConfigError: the step can't work as written, or it needs a key that can't be there.
        """
        return self._with(
            step_of(
                self._program,
                name_and_functions,
                mode=mode,
                concurrency=concurrency,
                provides=provides,
                merge_policy=merge_policy,
                options=options,
            )
        )

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
        return self._with(transform(self._program, name_and_function, options))

    def branch_on(
        self,
        /,
        *name_and_cases: str | BranchCase,
        merge_policy: MergePolicy = "override",
        **options: Unpack[NodeOptions],
    ) -> Pipeline[I_contra, dict[str, Any]]:
        """Add a step that takes the first of several cases whose condition holds.

        Args:
          name_and_cases: the name, if it has one, then cases made by `when`, and at the end perhaps one made by
            `otherwise`.
          merge_policy: as for `step`.
          options: as for `step`.

        Raises:
          ConfigError: it can't work as it is written, or what it needs can't be there.
        """
        return self._with(branch(self._program, name_and_cases, merge_policy, options, self._with))

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
        """Add a step that runs a function or a pipeline for each element of a collection, all at once.

        A pipeline runs in the context plus the element. Its result is what `run` would return: the whole context at the
        end, or what `outputs` makes of it.

        Args:
          name_and_function: the name, if it has one, then a sync or async function, a step, or a pipeline.
          over: the key that holds the collection: a mapping, or a list, a tuple, a range, an array or anything else
            that has a length and an order.
          each: the parameter of the function that takes the element (of a mapping, the value), or the key of the
            element in the context of the pipeline. Other parameters take keys of the context.
          into: the key under which the results are stored: a list in order, or a dict with the mapping's keys.
          mode: ``"all"``, or ``"settle"``: each result is a `SettleResult`.
          concurrency: the most calls that run at the same time, or a limiter.
          merge_policy: as for `step`.
          options: as for `step`; `timeout` is for all elements together.

        Raises:
          ConfigError: it can't work as it is written, or what it needs can't be there.
        """
        return self._with(
            each_of(
                self._program,
                name_and_function,
                over=over,
                each=each,
                into=into,
                mode=mode,
                concurrency=concurrency,
                merge_policy=merge_policy,
                options=options,
            )
        )

    def repeat(
        self,
        /,
        *name_and_body: str | Then,
        until: Callable[..., Any],
        at_most: int,
        on_limit: Literal["raise", "continue"] = "raise",
        merge_policy: MergePolicy = "override",
        **options: Unpack[NodeOptions],
    ) -> Pipeline[I_contra, dict[str, Any]]:
        """Add a step that runs a pipeline again and again, until a condition holds.

        Each round sees the context with the changes of the rounds before it. The keys that a round needs must be there
        before the first round. The steps of the second round are named ``refine/2/draft``.

        Args:
          name_and_body: the name, if it has one, then a pipeline, or a function that is given an empty pipeline and
            returns it with steps.
          until: a sync or async function, called after each round with the keys of the context that it names. If it
            returns a true value, that was the last round.
          at_most: the most rounds there may be.
          on_limit: what happens if `until` does not hold after the last round: ``"raise"`` a `LoopLimitError`, or
            ``"continue"`` with what the rounds have changed.
          merge_policy: as for `step`.
          options: as for `step`. `timeout` is for all rounds together, and `retry` starts over with the first round.

        Raises:
          ConfigError: it can't work as it is written, or what it needs can't be there.
        """
        return self._with(
            repeat_of(
                self._program,
                name_and_body,
                until=until,
                at_most=at_most,
                on_limit=on_limit,
                merge_policy=merge_policy,
                options=options,
                start=self._with,
            )
        )

    def wait_for(
        self,
        name: str,
        /,
        *,
        provides: str,
        of: object = None,
        timeout: float | None = None,
        condition: bool | Callable[..., Any] | None = None,
        on_error: OnError = "raise",
        merge_policy: MergePolicy = "override",
        log: bool = True,
        was: str | Sequence[str] = (),
    ) -> Pipeline[I_contra, dict[str, Any]]:
        """Add a step that waits for an answer from outside the run, such as an approval.

        When a run in a store has nothing else left to do, it is saved as ``waiting``, and `run` returns the context so
        far. The run continues when it is run again and has an answer: ``run(…, answers={…})``, or ``await
        store.answer(run_id, …)``.

        Args:
          name: the name of the step.
          provides: the key under which the answer is stored.
          of: the exact type of an answer: a class, or several, ``str | None``. By default any.
          timeout: seconds for an answer, counted from when it is first asked for, whether the run is running or not.
            Then the step fails with a `StepTimeoutError`.
          condition: as for `step`.
          on_error: as for `step`.
          merge_policy: as for `step`.
          log: as for `step`.
          was: as for `step`.

        Raises:
          ConfigError: it can't work as it is written.
        """
        return self._with(
            wait_of(
                self._program,
                name,
                provides=provides,
                of=of,
                timeout=timeout,
                merge_policy=merge_policy,
                options={"condition": condition, "on_error": on_error, "log": log, "was": was},
            )
        )

    def outputs(self, done: type[DoneT], /) -> Pipeline[I_contra, DoneT]:
        """Check that the pipeline produces `done`, and return a pipeline whose `run` returns that type.

        Args:
          done: a TypedDict; or an attrs class, dataclass, pydantic model or msgspec struct, of which `run` then returns
            an instance.

        Raises:
          ConfigError: one of its keys may be missing, or have another type.
        """
        self._program.flow.prove(done)
        return cast("Pipeline[I_contra, DoneT]", self._with(attrs.evolve(self._program, done=done)))

    # What is known

    @property
    def codec(self) -> Codec | TypedCodec | None:
        """What its checkpoints are written with; a `TypedCodec` is told the types that its steps declare."""
        return codec_of(self._program)

    @property
    def step_names(self) -> tuple[str, ...]:
        """The full names of all steps, each before those inside it."""
        return self._program.steps

    def input_of(self, name: str) -> dict[str, object]:
        """Return the known keys that a step sees, and their types.

        Raises:
          KeyError: there is no step with that full name.
        """
        return self._node(name).before.types

    def output_of(self, name: str | None = None) -> dict[str, object]:
        """Return the known keys of the context after a step, or at the end, and their types.

        Raises:
          KeyError: there is no step with that full name.
        """
        return (self._program.flow.result if name is None else self._node(name).after).types

    def _node(self, name: str) -> Node:
        node = find(self._program.nodes, name)
        if node is None:
            raise KeyError(f"pipeline {self.id!r} has no step {name!r}; it has {listed(self.step_names)}")
        return node

    def describe(self) -> str:
        """Return the steps as an indented tree."""
        return "\n".join([self.id, *lines_of(self._program.nodes, "  ")])

    # Running

    @overload
    def run(
        self: Pipeline[None, T],
        *,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
        on_step_complete: CompleteHook | None = None,
        on_error: ErrorHook | None = None,
        store: RunClaims | None = None,
        run_id: str | None = None,
        answers: Mapping[str, object] | None = None,
    ) -> Coroutine[Any, Any, T]: ...

    @overload  # a run that exists has its input already
    def run(
        self,
        *,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
        on_step_complete: CompleteHook | None = None,
        on_error: ErrorHook | None = None,
        store: RunClaims,
        run_id: str,
        answers: Mapping[str, object] | None = None,
    ) -> Coroutine[Any, Any, O_co]: ...

    @overload
    def run(
        self,
        input: I_contra,
        *,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
        on_step_complete: CompleteHook | None = None,
        on_error: ErrorHook | None = None,
        store: RunClaims | None = None,
        run_id: str | None = None,
        answers: Mapping[str, object] | None = None,
    ) -> Coroutine[Any, Any, O_co]: ...

    def run(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input: Any = NO_INPUT,
        *,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
        on_step_complete: CompleteHook | None = None,
        on_error: ErrorHook | None = None,
        store: RunClaims | None = None,
        run_id: str | None = None,
        answers: Mapping[str, object] | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """Run the pipeline once, with options. Return the context at the end: a plain dict that the caller owns.

        Args:
          input: the first keys of the context; a mapping, or an attrs or dataclass instance.
          observers: called with every event of this run.
          state: what the steps see as ``current_scope().state``.
          on_step_complete: a sync or async function, called with a `StepCompletion` after each step.
          on_error: a sync or async function, called with the full name of the step and the error at each failure.
          store: where to keep the run while it runs, such as a `store.SqliteStore`. It needs a `run_id`.
            With a `store.QueueStore`, such as `trio_steps.absurd.AbsurdStore`, the run is submitted, and this waits for
            a worker.
          run_id: the id of the run in the store. A run that exists continues where it was, with the input that it was
              started with. If it is finished, its result is returned, and nothing runs.
          answers: answers for steps that wait for one, by the full name of the step; or by the key that it provides, if
            only one step waits for that: ``{"approved": True}``.

        Raises:
          ConfigError: `store` was given without `run_id`, or the other way round; or a step waits for an answer, and
              neither an answer nor a store was given.
          AnswerError: no step waits for one of the answers, or for a value of its type.
          AnswerConflictError: the stored run already has another answer.
          RunClaimedError: the run is already running, or another process took it over.
          RunCancelledError: the run was cancelled in its store.
          RunFailedError: the store leaves runs to workers, and the run failed there.
          CheckpointError: a value can't be kept in the store; or the stored run belongs to another pipeline, or to one
            that has changed before the point of resumption, or was started with another input.
          StepInputError: a step needs a key that is not there.
          StepOutputError: a step returned something that can't be merged.
          KeyCollisionError: a key was provided twice, and the step has ``merge_policy="error"``.
          ForkPartialError: members of a parallel step failed.
        """
        hooks = self._program.hooks.plus(on_step_complete, on_error)
        args = () if isinstance(input, NoInput) else (input,)
        entry = functools.partial(execute, self._program, hooks, None, *args)
        if store is not None or run_id is not None or answers:
            from .run.durable import kept  # noqa: PLC0415 - who has no store doesn't wait for it
            from .run.queue import check_elsewhere  # noqa: PLC0415 - likewise

            observers = tuple(observers)
            check_elsewhere(
                store, observers=observers, state=state, on_step_complete=on_step_complete, on_error=on_error
            )
            entry = kept(store, run_id, answers, self._program, hooks, *args)
        return self._start(entry, observers, state)

    @overload
    def submit(self: Pipeline[None, T], *, store: RunStore, run_id: str) -> Coroutine[Any, Any, bool]: ...

    @overload
    def submit(self, input: I_contra, *, store: RunStore, run_id: str) -> Coroutine[Any, Any, bool]: ...

    def submit(self, input: Any = NO_INPUT, *, store: RunStore, run_id: str) -> Coroutine[Any, Any, bool]:
        """Put a run into a store, for a worker to run it. Return whether it is new.

        Args:
          input: as for `run`.
          store: where to keep it, such as a `store.SqliteStore`.
          run_id: the id of the run. If a run with that id exists, nothing changes.

        Raises:
          ConfigError: `run_id` is not a valid id.
          CheckpointError: a value can't be stored, or a run with that id has another input.
        """
        from .run.durable import submit  # noqa: PLC0415 - who has no store doesn't wait for it

        return submit(store, run_id, self._program, *(() if isinstance(input, NoInput) else (input,)))

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
        """Continue a run after the step of `checkpoint`, and return the context at its end.

        Steps that are done are not run again, not even inside nested pipelines, branches and parallel steps. A race is
        run as a whole.

        Args:
          checkpoint: ``event.checkpoint`` of a hook, or ``Checkpoint.from_json(text)``.
          overrides: values for keys of the context, which the rest of the run sees instead.
          observers: as for `run`.
          state: as for `run`.
          on_step_complete: as for `run`.
          on_error: as for `run`.

        Raises:
          CheckpointError: it belongs to another pipeline, or the pipeline has changed before the point of resumption.
          ConfigError: `overrides` is not a mapping.
        """
        program = self._program
        if overrides is not None and not isinstance(cast("object", overrides), Mapping):
            raise ConfigError(f"resume(overrides={short_repr(overrides)}): give a mapping of keys and their values")
        entries = resumed(program, checkpoint, as_output(overrides, "overrides", program.share))
        hooks = program.hooks.plus(on_step_complete, on_error)
        return self._start(functools.partial(execute, program, hooks, entries), observers, state)

    def _start(
        self, entry: Callable[..., Any], observers: Iterable[Observer], state: dict[str, object] | None
    ) -> Coroutine[Any, Any, Any]:
        launch = _Launch(self.id, self.id_given, entry)
        return launch.start(NO_INPUT, (*self._program.observers, *observers_of(observers)), state)

    def _run(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],  # noqa: ARG002 - a pipeline takes its input by position
        observers: Iterable[Observer],
        state: dict[str, object] | None,
    ) -> Coroutine[Any, Any, O_co]:
        program = self._program
        return self._start(functools.partial(execute, program, program.hooks, None, *args), observers, state)


AnyPipeline: TypeAlias = "Pipeline[Any, Any]"
Then: TypeAlias = "AnyPipeline | Callable[[AnyPipeline], AnyPipeline]"
"""What a case does: a pipeline, or a function that adds the steps to the pipeline that it receives."""


@public
def when(
    condition: Callable[..., Any], then: Then, *, name: str | None = None, was: str | Sequence[str] = ()
) -> BranchCase:
    """Make a case of ``branch_on`` that is taken if `condition` holds and that of no earlier case did.

    Args:
      condition: a sync or async function, called with the keys of the context that it names.
      then: a pipeline, or a function that is given an empty pipeline and returns it with steps.
      name: the name of the case; by default that of the pipeline, or ``case-1`` by position.
      was: the name that the case had before it was renamed; or several, the oldest first.

    Raises:
      ConfigError: `condition` is not a function.
    """
    if not callable(condition):
        raise ConfigError(f"when({condition!r}, …): the condition is a function, when(lambda plan: plan == 'pro', …)")
    return BranchCase(condition=condition, then=then, name=name, was=check_was(was, "when(…): "))


@public
def otherwise(then: Then, *, name: str | None = None, was: str | Sequence[str] = ()) -> BranchCase:
    """Make the case of ``branch_on`` that is taken if no other case is. It comes last.

    Args:
      then: a pipeline, or a function that is given an empty pipeline and returns it with steps.
      name: the name of the case; by default that of the pipeline, or ``otherwise``.
      was: as for `when`.

    Raises:
      ConfigError: `was` is not a valid name.
    """
    return BranchCase(condition=None, then=then, name=name, was=check_was(was, "otherwise(…): "))
