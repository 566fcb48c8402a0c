"""Steps: anything async-callable with an id."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from types import CoroutineType, FunctionType
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, cast, final, overload

import trio

from ._errors import CircuitOpenError, ConfigError, leaves, name_step
from ._events import Observers, StepCancelled, StepFailed, StepSkipped, StepStarted, StepSucceeded
from ._policies import Policies
from ._scope import Scope, current, current_scope

if TYPE_CHECKING:
    from ._events import Observer
    from ._policies import CircuitBreaker, Retry

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


@final
class NoInput:
    """The type of `NO_INPUT`, which stands for "called with no input"; None is an input like any other."""

    def __repr__(self) -> str:
        return "<no input>"


NO_INPUT: Final = NoInput()


class Step(Generic[I_contra, O_co]):
    """Something async-callable with an `id`, made by `step`, `fork` and the like.

    Attributes:
      id: what the step is called; its full name also says where it runs.
    """

    __slots__ = ("__name__", "__weakref__", "entry", "id", "id_given")

    def __init__(self, id: str, id_given: bool, entry: Callable[..., Any]) -> None:
        self.id = id
        self.__name__ = id  # what partials and task names ask for
        self.id_given = id_given
        self.entry = entry  # the step's own work, to be called in a scope that is already open

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} {self.id!r}>"

    @overload
    def __call__(self: Step[None, OutputT]) -> Coroutine[Any, Any, OutputT]: ...

    @overload
    def __call__(self, input: I_contra, /) -> Coroutine[Any, Any, O_co]: ...

    def __call__(self, input: I_contra | NoInput = NO_INPUT, /) -> Coroutine[Any, Any, Any]:
        """Run the step once, with `input` if there is one."""
        return self._run(input, (), None)

    @overload
    def run(
        self: Step[None, OutputT],
        *,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
    ) -> Coroutine[Any, Any, OutputT]: ...

    @overload
    def run(
        self,
        input: I_contra,
        *,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
    ) -> Coroutine[Any, Any, O_co]: ...

    def run(
        self,
        input: I_contra | NoInput = NO_INPUT,
        *,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """Run the step once, with options.

        Args:
          input: what the step is called with; leave it out to call with no input.
          observers: called with every event of this run, and of all that runs inside it.
          state: handed to the steps as ``current_scope().state``; each path of a fork gets a deep copy.
        """
        return self._run(input, observers, state)

    async def _run(
        self, input: I_contra | NoInput, observers: Iterable[Observer], state: dict[str, object] | None
    ) -> O_co:
        scope = _inner_scope(self.id, tuple(observers), state)
        token = current.set(scope)
        observe = scope.observers
        start = trio.current_time()
        if observe is not None:
            observe(StepStarted(name=scope.name, time=start))
        try:
            result = self.entry(*(() if isinstance(input, NoInput) else (input,)))
            if type(result) is CoroutineType or hasattr(type(result), "__await__"):
                result = await result
        except Exception as error:
            if self._skips(error, scope):
                if observe is not None:
                    observe(StepSkipped(name=scope.name, time=trio.current_time(), reason=str(error)))
                return cast("O_co", None)
            name_step(error, scope.name)
            if observe is not None:
                observe_end(observe, scope.name, start, error)
            raise
        except BaseException as error:
            if observe is not None:
                observe_end(observe, scope.name, start, error)
            raise
        else:
            if observe is not None:
                observe_end(observe, scope.name, start, None)
            return cast("O_co", result)
        finally:
            current.reset(token)

    def _skips(self, error: Exception, scope: Scope) -> bool:
        """Tell whether `error` is no failure, but the step's own open breaker saying to skip it."""
        del error, scope
        return False


@final
class FunctionStep(Step[I_contra, O_co]):
    """A function, with policies."""

    __slots__ = ("_policies", "call", "fn", "provides")

    def __init__(self, fn: Callable[..., Any], id: str | None, policies: Policies, provides: str | None) -> None:
        derived, given, self.call = describe(fn)
        self._policies = policies
        super().__init__(
            derived if id is None else check_id(id),
            given or id is not None,
            self.call if policies == Policies() else self._guarded,
        )
        self.fn = fn
        self.provides = provides

    async def _guarded(self, *args: Any) -> Any:
        return await self._policies.apply(current_scope(), functools.partial(called, self.call, args))

    def _skips(self, error: Exception, scope: Scope) -> bool:
        breaker = self._policies.circuit_breaker
        return (
            breaker is not None
            and breaker.on_open == "skip"
            and isinstance(error, CircuitOpenError)
            and error.step == scope.name
        )


async def called(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Call `fn`, and await what it returns if that can be awaited."""
    result = fn(*args)
    if type(result) is CoroutineType or hasattr(type(result), "__await__"):
        result = await result
    return result


def observe_end(
    observe: Observers, name: str, start: float, error: BaseException | None, reason: str | None = None
) -> None:
    """Tell how a step ended that started at `start`; `reason` is why it was cancelled, if that is known."""
    now = trio.current_time()
    if error is None:
        observe(StepSucceeded(name=name, time=now, duration=now - start))
        return
    cancelled: trio.Cancelled | None = None
    for leaf in leaves(error):
        if not isinstance(leaf, trio.Cancelled):
            observe(StepFailed(name=name, time=now, duration=now - start, error=error))
            return
        cancelled = leaf
    reason = reason or (cancelled and cancelled.reason) or str(cancelled)
    observe(StepCancelled(name=name, time=now, duration=now - start, reason=reason))


def check_id(id: object) -> str:
    """Refuse what can't be the id of a step."""
    if not isinstance(id, str) or not id:
        raise ConfigError(f"id={id!r}: the id of a step is a string that is not empty")
    return id


def describe(fn: object) -> tuple[str, bool, Callable[..., Any]]:
    """Return the id of a path or step, whether that was given by hand, and what to call in an open scope.

    Raises:
      ConfigError: `fn` can't be called.
    """
    if type(fn) is FunctionType:
        return fn.__name__, False, fn
    if isinstance(fn, Step):
        return fn.id, fn.id_given, fn.entry
    if isinstance(fn, functools.partial):
        id, _, call = describe(fn.func)
        if isinstance(fn.func, Step):
            # to enter a step by its own entry keeps it one level in the names
            return id, False, functools.partial(call, *fn.args, **fn.keywords)
        return id, False, fn
    if callable(fn):
        name = getattr(fn, "__name__", None)
        return (name if isinstance(name, str) and name else type(fn).__name__), False, fn
    if inspect.iscoroutine(fn):
        name = fn.__name__
        fn.close()  # it would be reported as never awaited, which is true but no help
        raise ConfigError(
            f"a step is a function, not the coroutine that calling it returned: "
            f"write partial({name}, …) or {name}, not {name}(…)"
        )
    raise ConfigError(f"a step is a function or another callable, not {fn!r}")


def takes_input(fn: Callable[..., Any]) -> bool:
    """Tell whether a path has a place for the fork's input.

    A function of no arguments has none; nor has a `functools.partial` when all it still takes is optional.
    """
    if type(fn) is FunctionType:
        code = fn.__code__
        return code.co_argcount > 0 or bool(code.co_flags & inspect.CO_VARARGS)
    own = getattr(fn, "__self__", None)
    if isinstance(own, FunctionStep):
        return takes_input(own.call)
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(
        parameter.kind is parameter.VAR_POSITIONAL
        or (
            parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
            and (parameter.default is parameter.empty or not isinstance(fn, functools.partial))
        )
        for parameter in parameters
    )


def _inner_scope(id: str, observers: tuple[Observer, ...], state: dict[str, object] | None) -> Scope:
    """Return the scope of a step that is called here and now."""
    parent = current.get()
    if parent is None:
        return Scope(id, None, state, Observers(observers) if observers else None, None)
    observe = parent.observers
    if observers:
        observe = Observers(observers) if observe is None else observe.extended(observers)
    return Scope(id, parent, parent.state if state is None else state, observe, parent.lease)


@overload
def step(
    fn: Callable[[], Awaitable[OutputT]],
    *,
    id: str | None = None,
    timeout: float | None = None,
    total_timeout: float | None = None,
    retry: Retry | None = None,
    circuit_breaker: CircuitBreaker | None = None,
    limiter: trio.CapacityLimiter | None = None,
) -> Step[None, OutputT]: ...


@overload
def step(
    fn: Callable[[InputT], Awaitable[OutputT]],
    *,
    id: str | None = None,
    timeout: float | None = None,
    total_timeout: float | None = None,
    retry: Retry | None = None,
    circuit_breaker: CircuitBreaker | None = None,
    limiter: trio.CapacityLimiter | None = None,
) -> Step[InputT, OutputT]: ...


@overload
def step(
    fn: Callable[[], OutputT],
    *,
    id: str | None = None,
    timeout: float | None = None,
    total_timeout: float | None = None,
    retry: Retry | None = None,
    circuit_breaker: CircuitBreaker | None = None,
    limiter: trio.CapacityLimiter | None = None,
) -> Step[None, OutputT]: ...


@overload
def step(
    fn: Callable[[InputT], OutputT],
    *,
    id: str | None = None,
    timeout: float | None = None,
    total_timeout: float | None = None,
    retry: Retry | None = None,
    circuit_breaker: CircuitBreaker | None = None,
    limiter: trio.CapacityLimiter | None = None,
) -> Step[InputT, OutputT]: ...


@overload
def step(
    *,
    id: str | None = None,
    timeout: float | None = None,
    total_timeout: float | None = None,
    retry: Retry | None = None,
    circuit_breaker: CircuitBreaker | None = None,
    limiter: trio.CapacityLimiter | None = None,
) -> StepDecorator: ...


def step(
    fn: Callable[..., Any] | None = None,
    *,
    id: str | None = None,
    timeout: float | None = None,
    total_timeout: float | None = None,
    retry: Retry | None = None,
    circuit_breaker: CircuitBreaker | None = None,
    limiter: trio.CapacityLimiter | None = None,
) -> Step[Any, Any] | StepDecorator:
    """Make a step of `fn`, an async or sync function, or another step.

    Use it as a function, ``step(fetch, timeout=2.0)``, or as a decorator, with or without arguments. The
    policies apply in this order, from the outside in: `total_timeout`, `limiter`, `circuit_breaker`, `retry`,
    `timeout`.

    Args:
      fn: called with the step's input, or with nothing when the step is called so.
      id: what the step is called; by default ``fn.__name__``, looked up through `functools.partial`.
      timeout: seconds that each attempt may take.
      total_timeout: seconds for everything together, waiting for `limiter` and between attempts included.
      retry: what to try again, how often and when.
      circuit_breaker: when not even to try.
      limiter: the step holds a token of it while it runs; forks and steps inside it can use that token too.

    Raises:
      ConfigError: an argument makes no sense.
      StepTimeoutError: (when it runs) it was too slow; its body has stopped.
      CircuitOpenError: (when it runs) its circuit breaker is open.
    """
    policies = Policies(
        timeout=timeout, total_timeout=total_timeout, retry=retry, circuit_breaker=circuit_breaker, limiter=limiter
    )
    if id is not None:
        check_id(id)
    if fn is None:
        return cast("StepDecorator", functools.partial(FunctionStep, id=id, policies=policies, provides=None))
    return FunctionStep(fn, id, policies, None)


class StepDecorator(Protocol):
    """What ``step(…)`` without a function returns: it makes a step of the function below it."""

    @overload
    def __call__(self, fn: Callable[[], Awaitable[OutputT]], /) -> Step[None, OutputT]: ...

    @overload
    def __call__(self, fn: Callable[[InputT], Awaitable[OutputT]], /) -> Step[InputT, OutputT]: ...

    @overload
    def __call__(self, fn: Callable[[], OutputT], /) -> Step[None, OutputT]: ...

    @overload
    def __call__(self, fn: Callable[[InputT], OutputT], /) -> Step[InputT, OutputT]: ...

    def __call__(self, fn: Callable[..., Any], /) -> Step[Any, Any]:
        """Make a step of `fn`."""
        ...
