"""`step`, which makes steps of functions, and the policies around such a step."""

from __future__ import annotations

import functools
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, final, overload

import attrs

from .describe import check_id, check_provides, check_was, describe, takes_input
from .entry import StepEntry
from .errors import hide_frames_of_ours
from .policy.policies import Policies
from .public import public
from .scope import current_scope
from .step import Step, called

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Literal, TypeAlias

    import trio
    from typing_extensions import TypedDict, Unpack

    from trio_steps._drawing.graph import Node, Place

    from .policy.breaker import CircuitBreaker
    from .policy.rate import RateLimit
    from .policy.retry import Retry

P = ParamSpec("P")
RestP = ParamSpec("RestP")
O_co = TypeVar("O_co", covariant=True)
OutputT = TypeVar("OutputT")
OwnerT = TypeVar("OwnerT")

if TYPE_CHECKING:
    Provides: TypeAlias = str | tuple[str, ...] | None
    """The key of what a function returns, or the keys of the mapping that it returns."""

    class StepOptions(TypedDict, total=False):
        """The options of `step`."""

        id: str | None
        timeout: float | None
        total_timeout: float | None
        limiter: trio.CapacityLimiter | None
        max_waiting: int | None
        retry: Retry | None
        circuit_breaker: CircuitBreaker | None
        rate: RateLimit | None
        provides: Provides
        was: str | Sequence[str]


@public
class FunctionStep(Step[P, O_co]):
    """A function with policies, made by `step`. It is called like the function, and binds like it in a class.

    Attributes:
      fn: the function.
    """

    # `inspect` and `help` look into the `__dict__` of a function
    __slots__ = ("__dict__", "fn", "policies", "provides", "was")

    def __init__(
        self,
        fn: Callable[..., Any],
        id: str | None,
        policies: Policies,
        provides: Provides,
        was: tuple[str, ...] = (),
    ) -> None:
        derived, given, call = describe(fn)
        self.policies: Policies = policies
        own = derived if id is None else check_id(id)
        super().__init__(own, given or id is not None, call if policies == Policies() else Guarded(call, policies, own))
        self.fn: Callable[..., Any] = fn
        self.provides: Provides = provides
        self.was: tuple[str, ...] = was
        self.__wrapped__ = fn
        if isinstance(fn, (FunctionType, MethodType)):
            self.__doc__ = fn.__doc__
            self.__module__ = fn.__module__
            self.__qualname__ = fn.__qualname__

    # The overloads, in order: access on the class, where checkers can't see whether `fn` is a class method; then on an
    # instance, for a class method (its first parameter is a type), a method and a static method.
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
        """Bind the function like a method, and return a step of the result."""
        bind = getattr(type(self.fn), "__get__", None)
        bound = self.fn if bind is None else bind(self.fn, instance, owner)
        if bound is self.fn:
            return self
        own: FunctionStep[..., Any] = FunctionStep(
            bound, self.id if self.id_given else None, self.policies, self.provides, self.was
        )
        return own


if TYPE_CHECKING:

    class OnClass(FunctionStep[P, O_co]):
        """A step looked up on a class: a method, or a class method that is bound already."""

        @overload
        async def __call__(
            self: OnClass[Concatenate[type[OwnerT], RestP], OutputT], /, *args: RestP.args, **kwargs: RestP.kwargs
        ) -> OutputT: ...

        @overload
        async def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> O_co: ...

        async def __call__(self, /, *args: Any, **kwargs: Any) -> Any: ...

    class OfAnything(Protocol[O_co]):
        """A function that takes any arguments. To mypy, every `functools.partial` is one."""

        def __call__(self, /, *args: object, **kwargs: object) -> O_co: ...

    class LooseStep(FunctionStep[..., O_co]):
        """A step of such a function. It does not mention Any: mypy makes the result of such an overload Any."""

        async def __call__(self, /, *args: object, **kwargs: object) -> O_co:
            raise NotImplementedError

        @property
        def _exact(self) -> Literal[False]: ...  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]


@final
class Guarded(StepEntry):
    """The entry of a function with policies. If it were a method, the step would hold a reference to itself."""

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
        """Tell whether the function takes the input. Policies do not change how it is called."""
        return takes_input(functools.partial(self.call, *args, **kwargs) if args or kwargs else self.call)

    @property
    def function(self) -> object:
        """The function: its policies do not change how it is called."""
        return self.call

    def outline(self, place: Place) -> Node:
        """Return the drawing of the function and its policies."""
        from .outline import outline_of, policy_notes  # noqa: PLC0415 - imported only to draw

        node = outline_of(self.call, place)
        return attrs.evolve(node, notes=(*policy_notes(self.policies), *node.notes))


# Async comes first, because a sync function may return a coroutine as its value.
@overload
def step(fn: OfAnything[Awaitable[OutputT]], **options: Unpack[StepOptions]) -> LooseStep[OutputT]: ...
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
    was: str | Sequence[str] = (),
) -> Any:
    """Make a step of `fn`, which is a sync or async function or another step.

    Use it as a function, ``step(fetch, timeout=2.0)``, or as a decorator, with or without arguments. The policies apply
    in this order, from the outside in: `total_timeout`, `limiter`, `retry`, `circuit_breaker`, `rate`, `timeout`. So a
    call holds one token from start to end, and each attempt asks the breaker, takes a permit and has its own timeout.

    Args:
      fn: called with the arguments of the step. In a class, it can be a method, a class method or a static method,
        above or below their decorators.
      id: the name of the step; by default ``fn.__name__``, looked up through `functools.partial`.
      timeout: seconds that each attempt may take. A value returned at that moment or later is too late, even from a
        sync function, which nothing can stop. If the function raises instead, its own error stands.
      total_timeout: seconds for everything together, including waits for `limiter` and `rate` and between attempts.
      limiter: the step holds one of its tokens while it runs. Forks and steps inside it can use that token too.
      max_waiting: how many calls may wait for a token of `limiter`; any more are refused at once. None: no limit.
      retry: what to try again, how often and when.
      circuit_breaker: refuses attempts while a service keeps failing.
      rate: each attempt takes one of its permits.
      provides: in a pipeline, the key under which to store the value, even if it is a mapping; or the keys of the
        mapping that the step returns, ``("user", "plan")``.
      was: in a pipeline, the name that the step had before it was renamed; or several, oldest first.

    Raises:
      ConfigError: an argument is not valid.
      StepTimeoutError: (when it runs) it was too slow; its body has stopped.
      CircuitOpenError: (when it runs) its circuit breaker is open.
      NotAcceptedError: (when it runs) the `accept` of its `retry` refused the value of the last attempt.
      QueueFullError: (when it runs) `max_waiting` calls are waiting for its limiter already.
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
    make = functools.partial(_step_of, id=id, policies=policies, provides=provides, was=check_was(was))
    return make if fn is None else make(fn)


def _step_of(fn: Any, *, id: str | None, policies: Policies, provides: Provides, was: tuple[str, ...]) -> object:
    if isinstance(cast("object", fn), (classmethod, staticmethod)):
        return type(fn)(_step_of(fn.__func__, id=id, policies=policies, provides=provides, was=was))
    made: FunctionStep[..., Any] = FunctionStep(fn, id, policies, provides, was)
    return made


@public
class StepDecorator(Protocol):
    """A decorator that makes a step of a function. A call of ``step(…)`` without a function returns it."""

    @overload
    def __call__(self, fn: OfAnything[Awaitable[OutputT]], /) -> LooseStep[OutputT]: ...

    @overload
    def __call__(self, fn: Callable[P, Awaitable[OutputT]], /) -> FunctionStep[P, OutputT]: ...

    @overload
    def __call__(self, fn: Callable[P, OutputT], /) -> FunctionStep[P, OutputT]: ...

    def __call__(self, fn: Any, /) -> Any:
        """Make a step of `fn`."""
        ...
