"""Steps: anything async-callable with an id."""

from __future__ import annotations

import functools
import inspect
from types import CodeType, CoroutineType, FunctionType, MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    Final,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    final,
    overload,
)

import attrs
import trio

from .causes import cause_of
from .entry import StepEntry
from .errors import CircuitOpenError, ConfigError, hide_frames_of_ours, leaves, name_step, short_repr
from .events import StepCancelled, StepFailed, StepSkipped, StepStarted, StepSucceeded, observers_of
from .observers import Observers
from .observing import ambient_observers
from .policies import Policies
from .public import public
from .scope import Scope, current, current_scope, scope_of
from .signatures import signature

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable
    from typing import TypeAlias

    from typing_extensions import TypedDict, Unpack

    from trio_steps._drawing.graph import Direction, Graph, Node, Place

    from .breaker import CircuitBreaker
    from .events import Observer
    from .rate import RateLimit
    from .retry import Retry

P = ParamSpec("P")
RestP = ParamSpec("RestP")
I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
OwnerT = TypeVar("OwnerT")
A_contra = TypeVar("A_contra", contravariant=True)
B_contra = TypeVar("B_contra", contravariant=True)
A = TypeVar("A")
B = TypeVar("B")

if TYPE_CHECKING:

    class Plain(Protocol):
        """A function, and no other callable: it has globals.

        mypy believes that a `functools.partial` can be called with no matter what, and a step of any input can be
        called with none: so that each would be two things at once, of which checkers can't make one.
        """

        @property
        def __globals__(self) -> dict[str, Any]: ...

    class Nullary(Plain, Protocol[O_co]):
        """A function without arguments."""

        def __call__(self, /) -> O_co: ...

    # What a step is called with, to say what `run` is called with.

    class Zero(Protocol[O_co]):
        def __call__(self, /) -> Coroutine[Any, Any, O_co]: ...

    class One(Protocol[A_contra, O_co]):
        def __call__(self, first: A_contra, /) -> Coroutine[Any, Any, O_co]: ...

    class Two(Protocol[A_contra, B_contra, O_co]):
        def __call__(self, first: A_contra, second: B_contra, /) -> Coroutine[Any, Any, O_co]: ...

    Provides: TypeAlias = str | tuple[str, ...] | None
    """The key of what a function returns, or the keys of the mapping that it returns."""

    class StepOptions(TypedDict, total=False):
        """What `step` takes besides the function."""

        id: str | None
        timeout: float | None
        total_timeout: float | None
        limiter: trio.CapacityLimiter | None
        max_waiting: int | None
        retry: Retry | None
        circuit_breaker: CircuitBreaker | None
        rate: RateLimit | None
        provides: Provides


@final
class NoInput:
    """The type of `NO_INPUT`, which stands for "called with no input"; None is an input like any other."""

    def __repr__(self) -> str:
        return "<no input>"


NO_INPUT: Final = NoInput()

type_of: Final = cast("Callable[[object], type[object]]", type)
"""The type of a value of any type, without type checkers concluding more from a comparison than there is."""


@public
class Step(Generic[P, O_co]):
    """Something async-callable with an `id`, made by `step`, `fork` and the like.

    ``Step[[str], int]`` is called with a string and gives a number.

    Attributes:
      id: what the step is called; its full name also says where it runs.
    """

    __slots__ = ("__name__", "__weakref__", "entry", "id", "id_given")

    _unnamed_inside: ClassVar[bool] = False  # at the top, what runs inside it does not have its id in the name

    def __init__(self, id: str, id_given: bool, entry: Callable[..., Any]) -> None:
        self.id: str = id
        self.__name__: str = id  # what partials and task names ask for
        self.id_given: bool = id_given
        self.entry: Callable[..., Any] = entry  # the step's own work, to be called in a scope that is already open

    def __repr__(self) -> str:
        return f"<{type(self).__name__.removeprefix('Function').lower()} {self.id!r}>"

    if TYPE_CHECKING:
        # mypy tells this from a function that returns a coroutine of anything, which makes a partial of it anything
        async def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> O_co:
            raise NotImplementedError

    else:

        def __call__(self, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
            """Run the step once. All arguments go to what the step is made of."""
            return named(self._run(args, kwargs, (), None), self.id)

    @overload
    def run(
        self: Zero[OutputT],
        /,
        *,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
    ) -> Coroutine[Any, Any, OutputT]: ...

    @overload
    def run(
        self: One[A, OutputT],
        input: A,
        /,
        *,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
    ) -> Coroutine[Any, Any, OutputT]: ...

    @overload
    def run(
        self: Two[A, B, OutputT],
        first: A,
        second: B,
        /,
        *,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
    ) -> Coroutine[Any, Any, OutputT]: ...

    def run(
        self: Any,
        /,
        *args: Any,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, Any]:
        """Run the step once, with options.

        Args:
          *args: what the step is called with. For checkers, two at most; `functools.partial` gives a function others.
          observers: called with every event of this run, and of all that runs inside it.
          state: handed to the steps as ``current_scope().state``; each path of a fork gets a deep copy.
          **kwargs: what the step is called with, by name.

        Raises:
          ConfigError: `observers` are no functions.
          RuntimeError: this is no Trio program.
        """
        return named(self._run(args, kwargs, observers, state), self.id)

    async def _run(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        observers: Iterable[Observer],
        state: dict[str, object] | None,
    ) -> O_co:
        scope = _inner_scope(self.id, observers_of(observers), state, self._unnamed_inside)
        observe = scope.observers
        try:
            start = trio.current_time()
        except RuntimeError:  # which says no more than "must be called from async context": in asyncio, it is
            raise RuntimeError(
                f"step {self.id!r} runs in a Trio program only, and this is none: start it with trio.run(main)"
            ) from None
        token = current.set(scope)
        try:
            if observe is not None:
                observe(StepStarted(name=scope.name, time=start, scope=scope))
            result = self.entry(*args, **kwargs)
            if type_of(result) is CoroutineType or hasattr(type_of(result), "__await__"):
                result = await result
        except Exception as error:
            if isinstance(error, CircuitOpenError) and error.skip and error.step == scope.name:
                if observe is not None:
                    observe(StepSkipped(name=scope.name, time=trio.current_time(), scope=scope, reason=str(error)))
                return cast("O_co", None)
            hide_frames_of_ours(error)
            if not scope.unnamed_inside:  # else the steps inside it have said what there is to say
                name_step(error, scope.name)
            if observe is not None:
                observe_end(observe, scope, start, error)
            raise
        except BaseException as error:
            if observe is not None:
                observe_end(observe, scope, start, error)
            raise
        else:
            if observe is not None:
                observe_end(observe, scope, start, None)
            return cast("O_co", result)
        finally:
            current.reset(token)

    def to_mermaid(self, *, direction: Direction = "down") -> str:
        """Return the step as a Mermaid flowchart, which GitHub draws in a README, in a block of ``mermaid``.

        Forks, parallel steps and nested pipelines are frames, branches are decisions, and steps with a condition are
        dashed. More than 20 paths of a fork, and those that come from a function or a lazy source, are one box that
        says so. What a run did is drawn by `Recorder.to_mermaid`.

        Args:
          direction: where a pipeline leads: ``"down"`` or ``"right"``.

        Raises:
          ConfigError: there is no such direction.
        """
        from trio_steps._drawing.mermaid import to_mermaid  # noqa: PLC0415 - what draws nothing need not wait for it

        return to_mermaid(self._graph(direction), direction=direction)

    def to_dot(self, *, direction: Direction = "down") -> str:
        """Return the step in the language of Graphviz, ``dot -Tsvg``: the diagram of `to_mermaid`.

        Args:
          direction: where a pipeline leads: ``"down"`` or ``"right"``.

        Raises:
          ConfigError: there is no such direction.
        """
        from trio_steps._drawing.dot import to_dot  # noqa: PLC0415 - what draws nothing need not wait for it

        return to_dot(self._graph(direction), direction=direction)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return what a notebook shows: the diagram, which it draws itself; or the text."""
        diagram = self.to_mermaid()
        return {
            "text/vnd.mermaid": diagram,
            "text/markdown": f"```mermaid\n{diagram}\n```",
            "text/plain": repr(self),
        }

    def _graph(self, direction: Direction) -> Graph:
        from trio_steps._drawing.graph import Place  # noqa: PLC0415 - what draws nothing need not wait for it

        from .outline import check_direction, graph_of  # noqa: PLC0415 - what draws nothing need not wait for it

        check_direction(direction)
        return graph_of(self.entry, Place(self.id, "", whole=True))


class InputStep(Step[[I_contra], O_co], Generic[I_contra, O_co]):
    """A step that is called with one input, or with none if that is None: a fork or a pipeline."""

    __slots__ = ()

    # The form with an input comes first: mypy takes the type of the input from the first form that there is.
    @overload
    async def __call__(self, input: I_contra, /) -> O_co: ...

    @overload
    async def __call__(self: InputStep[None, OutputT], /) -> OutputT: ...

    def __call__(self, input: I_contra | NoInput = NO_INPUT, /) -> Coroutine[Any, Any, Any]:
        """Run the step once, with `input` if there is one."""
        return named(self._run(arguments(input), {}, (), None), self.id)


def arguments(input: object) -> tuple[Any, ...]:
    """Return what a step is called with that takes one input, or none."""
    return () if isinstance(input, NoInput) else (input,)


@public
class FunctionStep(Step[P, O_co]):
    """A function, with policies. Made by `step`; it is called as the function is, and binds as it does in a class.

    Attributes:
      fn: the function.
    """

    # what `inspect` and `help` ask a function for is in its `__dict__`
    __slots__ = ("__dict__", "fn", "policies", "provides")

    def __init__(self, fn: Callable[..., Any], id: str | None, policies: Policies, provides: Provides) -> None:
        derived, given, call = describe(fn)
        self.policies = policies
        own = derived if id is None else check_id(id)
        super().__init__(own, given or id is not None, call if policies == Policies() else Guarded(call, policies, own))
        self.fn: Callable[..., Any] = fn
        self.provides: Provides = provides
        self.__wrapped__ = fn
        if isinstance(fn, (FunctionType, MethodType)):
            self.__doc__ = fn.__doc__
            self.__module__ = fn.__module__
            self.__qualname__ = fn.__qualname__

    # Which form it is: of the class, where checkers can't see whether a class method is below; of an instance, a class
    # method (its first parameter is a type), a method, a static method.
    @overload
    def __get__(self, instance: None, owner: type, /) -> OnClass[P, O_co]: ...

    @overload
    def __get__(
        self: FunctionStep[Concatenate[type[OwnerT], RestP], OutputT], instance: OwnerT, owner: type | None = None, /
    ) -> FunctionStep[RestP, OutputT]: ...

    @overload
    def __get__(
        self: FunctionStep[Concatenate[OwnerT, RestP], OutputT], instance: OwnerT, owner: type | None = None, /
    ) -> FunctionStep[RestP, OutputT]: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> FunctionStep[P, O_co]: ...

    def __get__(self, instance: Any, owner: Any = None, /) -> Any:
        """Bind the function, as a method is bound, and return a step of that."""
        bind = getattr(type(self.fn), "__get__", None)
        bound = self.fn if bind is None else bind(self.fn, instance, owner)
        if bound is self.fn:
            return self
        own: FunctionStep[..., Any] = FunctionStep(
            bound, self.id if self.id_given else None, self.policies, self.provides
        )
        return own


if TYPE_CHECKING:

    class OnClass(FunctionStep[P, O_co]):
        """A step that was looked up on a class: a method, or a class method that is bound already."""

        @overload
        async def __call__(
            self: OnClass[Concatenate[type[OwnerT], RestP], OutputT], /, *args: RestP.args, **kwargs: RestP.kwargs
        ) -> OutputT: ...

        @overload
        async def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> O_co: ...

        async def __call__(self, /, *args: Any, **kwargs: Any) -> Any: ...


@final
class Guarded(StepEntry):
    """What enters a function with policies. It is no method of the step, which would have to hold itself for that."""

    __slots__ = ("__name__", "call", "policies")

    def __init__(self, call: Callable[..., Any], policies: Policies, name: str) -> None:
        self.call: Callable[..., Any] = call
        self.policies = policies
        self.__name__: str = name

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        call = functools.partial(self.call, **kwargs) if kwargs else self.call
        try:
            return await self.policies.apply(current_scope(), functools.partial(called, call, args))
        except Exception as error:
            hide_frames_of_ours(error)
            raise

    def takes_input(self, /, *args: Any, **kwargs: Any) -> bool:
        """Tell whether the function does; its policies change nothing about how it is called."""
        return takes_input(functools.partial(self.call, *args, **kwargs) if args or kwargs else self.call)

    def outline(self, place: Place) -> Node:
        """Return what is drawn of the function, with what its policies are."""
        from .outline import outline_of, policy_notes  # noqa: PLC0415 - what draws nothing need not wait for it

        node = outline_of(self.call, place)
        return attrs.evolve(node, notes=(*policy_notes(self.policies), *node.notes))


def named(run: Coroutine[Any, Any, OutputT], id: str) -> Coroutine[Any, Any, OutputT]:
    """Return `run`, called as its step is: so Python's warning says which step it is that was never awaited."""
    coroutine = cast("Any", run)
    coroutine.__name__ = coroutine.__qualname__ = id
    return run


async def called(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Call `fn`, and await what it returns if that can be awaited."""
    result = fn(*args)
    if type_of(result) is CoroutineType or hasattr(type_of(result), "__await__"):
        result = await result
    return result


def observe_end(
    observe: Observers,
    scope: Scope,
    start: float,
    error: BaseException | None,
    *,
    reason: str | None = None,
    won: bool = False,
) -> None:
    """Tell how a step ended that started at `start`; `reason` is why it was cancelled, if that is known."""
    now = trio.current_time()
    name = scope.name
    if error is None:
        observe(StepSucceeded(name=name, time=now, scope=scope, duration=now - start, won=won))
        return
    cancelled: trio.Cancelled | None = None
    for leaf in leaves(error):
        if not isinstance(leaf, trio.Cancelled):
            observe(StepFailed(name=name, time=now, scope=scope, duration=now - start, error=error))
            return
        cancelled = leaf
    assert cancelled is not None  # no group is empty
    reason = reason or cause_of(cancelled)
    observe(StepCancelled(name=name, time=now, scope=scope, duration=now - start, reason=reason))


def check_id(id: object) -> str:
    """Refuse what can't be the id of a step."""
    if not isinstance(id, str) or not id:
        raise ConfigError(f"id={id!r}: the id of a step is a string that is not empty")
    return id


def check_provides(provides: object, where: str = "") -> None:
    """Refuse what can't be the key, or the keys, that a function provides."""
    keys = cast("tuple[object, ...]", provides) if isinstance(provides, tuple) else (provides,)
    if not keys or not all(isinstance(key, str) and key for key in keys) or len(set(keys)) < len(keys):
        raise ConfigError(
            f"{where}provides={provides!r}: give the key, a string that is not empty; or, of a function that returns "
            'a mapping, its keys, provides=("user", "plan")'
        )


def describe(fn: object) -> tuple[str, bool, Callable[..., Any]]:
    """Return the id of a path or step, whether that was given by hand, and what to call in an open scope.

    Raises:
      ConfigError: `fn` can't be called, or a call of it does nothing.
    """
    if type(fn) is FunctionType:
        if fn.__code__.co_flags & GENERATES:
            raise generates(fn)
        return fn.__name__, False, fn
    if isinstance(fn, Step):
        return fn.id, fn.id_given, fn.entry
    if isinstance(fn, MethodType) and isinstance(fn.__func__, Step):  # a class method above a step, since Python 3.13
        method = cast("Any", fn)
        return method.id, method.id_given, functools.partial(method.__func__.entry, method.__self__)
    if isinstance(fn, functools.partial):
        id, _, call = describe(fn.func)
        if call is fn.func:
            return id, False, fn  # pyright: ignore[reportUnknownVariableType]
        # to enter a step by its own entry keeps it one level in the names
        return id, False, functools.partial(call, *fn.args, **fn.keywords)
    if callable(fn):
        name: object = getattr(fn, "__name__", None)
        kind: type = type_of(fn)
        called: Any = fn if kind is MethodType else kind.__call__
        code: object = getattr(called, "__code__", None)
        if isinstance(code, CodeType) and code.co_flags & GENERATES:
            raise generates(fn)
        return (name if isinstance(name, str) and name else kind.__name__), False, fn
    if inspect.iscoroutine(fn):
        name = close_unawaited(fn)
        raise ConfigError(
            f"a step is a function, not the coroutine that calling it returned: "
            f"write partial({name}, …) or {name}, not {name}(…)"
        )
    raise ConfigError(
        f"a step is a function or another callable, not {short_repr(fn)}; "
        "functools.partial gives a function its arguments"
    )


GENERATES: Final = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
"""The flags of code that does nothing when it is called but to make a generator."""


def generates(fn: object) -> ConfigError:
    """Return the error for a function that has a ``yield`` in it."""
    name = getattr(fn, "__name__", type(fn).__name__)
    return ConfigError(
        f"{name} has a yield in it, so that a call of it runs nothing: a step returns one value. "
        f"Let it return a list; or, if it gives the paths of a fork, write paths={name}"
    )


def close_unawaited(coroutine: CoroutineType[Any, Any, Any]) -> str:
    """Close a coroutine that is refused, and return its name.

    It would be reported as never awaited, which is true but no help.
    """
    coroutine.close()
    return coroutine.__name__


def takes_input(fn: Callable[..., Any]) -> bool:
    """Tell whether a path is given the input of its fork: it is if it requires a positional argument.

    Raises:
      ConfigError: it requires more than that.
    """
    if type(fn) is FunctionType and not fn.__dict__:  # else it may be a wrapper, which tells of what it wraps
        code, defaults = fn.__code__, fn.__defaults__
        required = code.co_argcount if defaults is None else code.co_argcount - len(defaults)
        if required < 2 and not code.co_kwonlyargcount:
            return required == 1
    if isinstance(fn, StepEntry):
        return fn.takes_input()
    if isinstance(fn, functools.partial) and isinstance(fn.func, StepEntry):
        return fn.func.takes_input(*fn.args, **fn.keywords)
    try:
        told = signature(fn)  # pyright: ignore[reportUnknownArgumentType]
    except (TypeError, ValueError):
        return True
    required = names = 0
    for parameter in told.parameters.values():
        if parameter.default is parameter.empty:
            required += parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
            names += parameter.kind is parameter.KEYWORD_ONLY
    if required > 1 or names:
        name = describe(cast("object", fn))[0]
        raise ConfigError(
            f"path {name!r} is given the input of its fork, or nothing, and requires more: {name}{told}; "
            f"give it the rest, partial({name}, …)"
        )
    return required == 1


def _inner_scope(
    id: str, observers: tuple[Observer, ...], state: dict[str, object] | None, unnamed_inside: bool
) -> Scope:
    """Return the scope of a step that is called here and now."""
    parent = current.get()
    ambient = ambient_observers.get()
    if ambient is not None and ambient.scope is parent:
        observers = (*observers, *ambient.observers)
    if parent is None:
        return scope_of(id, None, state, Observers(observers) if observers else None, None, unnamed_inside)
    observe = Observers(observers, parent.observers) if observers else parent.observers
    return scope_of(id, parent, parent.state if state is None else state, observe, parent.lease)


# What is async comes first: a coroutine would pass for the value of a sync function.
@overload
def step(fn: Callable[P, Awaitable[OutputT]], **options: Unpack[StepOptions]) -> FunctionStep[P, OutputT]: ...
@overload
def step(fn: Callable[P, OutputT], **options: Unpack[StepOptions]) -> FunctionStep[P, OutputT]: ...
@overload
def step(**options: Unpack[StepOptions]) -> StepDecorator: ...
@public
def step(
    fn: Callable[..., Any] | None = None,
    *,
    id: str | None = None,
    timeout: float | None = None,
    total_timeout: float | None = None,
    limiter: trio.CapacityLimiter | None = None,
    max_waiting: int | None = None,
    retry: Retry | None = None,
    circuit_breaker: CircuitBreaker | None = None,
    rate: RateLimit | None = None,
    provides: Provides = None,
) -> Any:
    """Make a step of `fn`, an async or sync function, or another step.

    Use it as a function, ``step(fetch, timeout=2.0)``, or as a decorator, with or without arguments. The
    policies apply in this order, from the outside in: `total_timeout`, `limiter`, `retry`, `circuit_breaker`, `rate`,
    `timeout`. So one token is held for the whole call, and each attempt asks the breaker, takes a permit and has a
    timeout of its own.

    Args:
      fn: called with all that the step is called with. In a class it may be a method, and a class method or a static
        method, above or below their decorators.
      id: what the step is called; by default ``fn.__name__``, looked up through `functools.partial`.
      timeout: seconds that each attempt may take. A function that returns at that moment or later is too late, even if
        it is sync, and nothing could stop it; an error of its own stands.
      total_timeout: seconds for everything together, waiting for `limiter` and `rate` and between attempts included.
      limiter: the step holds a token of it while it runs; forks and steps inside it can use that token too.
      max_waiting: how many calls may wait for a token of `limiter`; one more is refused at once. None: any number.
      retry: what to try again, how often and when.
      circuit_breaker: when not even to try.
      rate: each attempt takes a permit of it.
      provides: in a pipeline, the key under which what it returns is stored, whatever that is; or the keys of the
        mapping that it returns, ``("user", "plan")``.

    Raises:
      ConfigError: an argument makes no sense.
      StepTimeoutError: (when it runs) it was too slow; its body has stopped.
      CircuitOpenError: (when it runs) its circuit breaker is open.
      NotAcceptedError: (when it runs) the `accept` of its `retry` refused the value of the last attempt.
      QueueFullError: (when it runs) `max_waiting` calls wait for its limiter already.
    """
    policies = Policies(
        timeout=timeout,
        total_timeout=total_timeout,
        limiter=limiter,
        max_waiting=max_waiting,
        retry=retry,
        circuit_breaker=circuit_breaker,
        rate=rate,
    )
    if id is not None:
        check_id(id)
    if provides is not None:
        check_provides(provides)
    make = functools.partial(_step_of, id=id, policies=policies, provides=provides)
    return make if fn is None else make(fn)


def _step_of(fn: Any, *, id: str | None, policies: Policies, provides: Provides) -> object:
    if isinstance(cast("object", fn), (classmethod, staticmethod)):
        return type(fn)(_step_of(fn.__func__, id=id, policies=policies, provides=provides))
    made: FunctionStep[..., Any] = FunctionStep(fn, id, policies, provides)
    return made


@public
class StepDecorator(Protocol):
    """What ``step(…)`` without a function returns: it makes a step of the function below it."""

    @overload
    def __call__(self, fn: Callable[P, Awaitable[OutputT]], /) -> FunctionStep[P, OutputT]: ...

    @overload
    def __call__(self, fn: Callable[P, OutputT], /) -> FunctionStep[P, OutputT]: ...

    def __call__(self, fn: Any, /) -> Any:
        """Make a step of `fn`."""
        ...
