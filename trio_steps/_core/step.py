"""Steps: anything async-callable with an id, and what happens when one is called."""

from __future__ import annotations

from types import CoroutineType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    final,
    overload,
)

import trio
from trio.lowlevel import in_trio_run

from .checks import check_state
from .errors import CircuitOpenError, hide_frames_of_ours, leaves, name_step, stop_in_coroutine
from .events.ambient import ambient_observers
from .events.causes import cause_of
from .events.discarded import discard_result, discard_values_in
from .events.observers import Observers
from .events.records import StepCancelled, StepFailed, StepSkipped, StepStarted, StepSucceeded, observers_of
from .public import public
from .scope import Scope, current, set_current

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from typing import Literal

    from trio_steps._drawing.graph import Direction, Graph

    from .events.records import Observer

P = ParamSpec("P")
I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
OutputT = TypeVar("OutputT")
A_contra = TypeVar("A_contra", contravariant=True)
B_contra = TypeVar("B_contra", contravariant=True)
A = TypeVar("A")
B = TypeVar("B")

if TYPE_CHECKING:

    class Plain(Protocol):
        """A plain function: no other callable has ``__globals__``.

        To mypy, a `functools.partial` takes any arguments, and a step with any input can also be called without one.
        Each would match two overloads, and checkers could not choose.
        """

        @property
        def __globals__(self) -> dict[str, Any]: ...

    class Nullary(Plain, Protocol[O_co]):
        """A function without arguments."""

        def __call__(self, /) -> O_co: ...

    # The parameters of a step, from which those of `run` follow.

    class Zero(Protocol[O_co]):
        def __call__(self, /) -> Coroutine[Any, Any, O_co]: ...

    class One(Protocol[A_contra, O_co]):
        def __call__(self, first: A_contra, /) -> Coroutine[Any, Any, O_co]: ...

    class Two(Protocol[A_contra, B_contra, O_co]):
        def __call__(self, first: A_contra, second: B_contra, /) -> Coroutine[Any, Any, O_co]: ...


@final
class NoInput:
    """The type of `NO_INPUT`, which stands for "called with no input"; None is an input like any other."""

    def __repr__(self) -> str:
        return "<no input>"


NO_INPUT: Final = NoInput()

type_of: Final = cast("Callable[[object], type[object]]", type)
"""``type``, declared so that type checkers don't infer too much from a comparison."""


@public
class Step(Generic[P, O_co]):
    """Something async-callable with an `id`, made by `step`, `fork` and the like.

    ``Step[[str], int]`` is called with a string and returns a number.

    Attributes:
      id: the name of the step; its full name also says where it runs.
    """

    __slots__ = ("__name__", "__weakref__", "entry", "id", "id_given")

    _unnamed_inside: ClassVar[bool] = False  # at the top, names of what runs inside it leave out its id

    def __init__(self, id: str, id_given: bool, entry: Callable[..., Any]) -> None:
        self.id: str = id
        self.__name__: str = id  # partials and task names use it
        self.id_given: bool = id_given
        self.entry: Callable[..., Any] = entry  # the step's own work, to be called in a scope that is already open

    def __repr__(self) -> str:
        return f"<{type(self).__name__.removeprefix('Function').lower()} {self.id!r}>"

    if TYPE_CHECKING:
        # An `async def`: of a function that returns a Coroutine[Any, Any, Any], mypy would make a partial of Any.
        async def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> O_co:
            raise NotImplementedError

        @property
        def _exact(self) -> Literal[True]:
            """True: it has the parameters of its function. A step of a function that takes anything says False."""
            raise NotImplementedError

    else:

        def __call__(self, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
            """Run the step once. All arguments go to the function, fork or pipeline behind it."""
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
          *args: the positional arguments of the step. Type checkers accept two; bind more with `functools.partial`.
          observers: called with every event of this run and of everything that runs inside it.
          state: what steps see as ``current_scope().state``; each path of a fork gets a deep copy.
          **kwargs: the keyword arguments of the step.

        Raises:
          ConfigError: `observers` is not a list of sync functions, or `state` is not a dict.
          RuntimeError: it was called outside of a Trio program.
        """
        if kwargs:
            self._check_keywords(kwargs)
        return named(self._run(args, kwargs, observers, state), self.id)

    def _check_keywords(self, kwargs: dict[str, Any]) -> None:
        """Refuse keyword arguments that can't be given to what is behind the step."""

    def _run(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        observers: Iterable[Observer],
        state: dict[str, object] | None,
    ) -> Coroutine[Any, Any, O_co]:
        return enter(self.id, self.entry, args, kwargs, observers, state, self._unnamed_inside)

    def to_mermaid(self, *, direction: Direction = "down") -> str:
        """Return the step as a Mermaid flowchart, which GitHub draws in a ``mermaid`` block of a README.

        Forks, parallel steps and nested pipelines are frames, branches are decisions, and steps with a condition are
        dashed. If a fork has more than 20 paths, or gets them from a function or a lazy source, one box stands for them
        all. `Recorder.to_mermaid` draws what a run did.

        Args:
          direction: where a pipeline leads: ``"down"`` or ``"right"``.

        Raises:
          ConfigError: `direction` is neither of these.
        """
        from trio_steps._drawing.mermaid import to_mermaid  # noqa: PLC0415 - imported only to draw

        return to_mermaid(self._graph(direction), direction=direction)

    def to_dot(self, *, direction: Direction = "down") -> str:
        """Return the diagram of `to_mermaid` in the DOT language of Graphviz, for ``dot -Tsvg``.

        Args:
          direction: where a pipeline leads: ``"down"`` or ``"right"``.

        Raises:
          ConfigError: `direction` is neither of these.
        """
        from trio_steps._drawing.dot import to_dot  # noqa: PLC0415 - imported only to draw

        return to_dot(self._graph(direction), direction=direction)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return the diagram that a notebook draws, and text for a notebook that can't."""
        diagram = self.to_mermaid()
        return {
            "text/vnd.mermaid": diagram,
            "text/markdown": f"```mermaid\n{diagram}\n```",
            "text/plain": repr(self),
        }

    def _graph(self, direction: Direction) -> Graph:
        from trio_steps._drawing.graph import Place  # noqa: PLC0415 - imported only to draw

        from .outline import check_direction, graph_of  # noqa: PLC0415 - imported only to draw

        check_direction(direction)
        return graph_of(self.entry, Place(self.id, "", whole=True))


class InputStep(Step[[I_contra], O_co], Generic[I_contra, O_co]):
    """A step that takes one input: a fork or a pipeline. If the input is None, it can be left out."""

    __slots__ = ()

    # The form with an input comes first: mypy takes the type of the input from the first form.
    @overload
    async def __call__(self, input: I_contra, /) -> O_co: ...

    @overload
    async def __call__(self: InputStep[None, OutputT], /) -> OutputT: ...

    def __call__(self, input: I_contra | NoInput = NO_INPUT, /) -> Coroutine[Any, Any, Any]:
        """Run the step once, with `input` if there is one."""
        args = () if input is NO_INPUT else (input,)
        return named(self._run(args, {}, (), None), self.id)

    def _check_keywords(self, kwargs: dict[str, Any]) -> None:
        name = next(iter(kwargs))
        form = ": the input is given by position, run(…)" if name == "input" else ""
        raise TypeError(f"{type(self).__name__}.run() got an unexpected keyword argument {name!r}{form}")


def arguments(input: object) -> tuple[Any, ...]:
    """Return `input` as the arguments of a step: one, or none if it is `NO_INPUT`."""
    return () if input is NO_INPUT else (input,)


def named(run: Coroutine[Any, Any, OutputT], id: str) -> Coroutine[Any, Any, OutputT]:
    """Return `run`, named like its step, so that Python's warning says which step was never awaited."""
    coroutine: Any = run
    coroutine.__name__ = coroutine.__qualname__ = id
    return run


async def enter(
    id: str,
    entry: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    observers: Iterable[Observer],
    state: dict[str, object] | None,
    unnamed_inside: bool = False,
) -> Any:
    """Call `entry`, the work of the step `id`, in a new scope. Note the name on what it raises, and tell observers."""
    parent = current.get()
    if state is not None:
        check_state(state)
    watching = () if observers == () else observers_of(observers)
    ambient = ambient_observers.get()
    if ambient is not None and ambient.scope is parent:
        watching = (*watching, *ambient.observers)
    # The scope, as `scope_of` makes it, without the call.
    scope = Scope()
    scope.id = id
    scope.parent = parent
    if parent is None:
        observe = Observers(watching) if watching else None
        scope.state = state
        scope.lease = None
        scope.unnamed_inside = unnamed_inside
    else:
        observe = Observers(watching, parent.observers) if watching else parent.observers
        scope.state = parent.state if state is None else state
        scope.lease = parent.lease
        scope.unnamed_inside = False
    scope.observers = observe
    if not in_trio_run():
        raise RuntimeError(
            f"step {id!r} runs only in a Trio program, and this is not one: start it with trio.run(main)"
        )
    start = 0.0
    token = set_current(scope)
    try:
        if observe is not None:
            scope.take_back = None
            start = trio.current_time()
            observe(StepStarted(name=scope.name, time=start, scope=scope))
        try:
            result = entry(*args, **kwargs)
        except StopIteration as stop:
            raise stop_in_coroutine() from stop
        if type_of(result) is CoroutineType or hasattr(type_of(result), "__await__"):
            result = await result
    except Exception as error:
        if isinstance(error, CircuitOpenError) and error.skip and error.step == scope.name:
            if observe is not None:
                observe(StepSkipped(name=scope.name, time=trio.current_time(), scope=scope, reason=str(error)))
            return None
        hide_frames_of_ours(error)
        if not scope.unnamed_inside:  # otherwise the steps inside it have noted their names
            name_step(error, scope.name)
        if observe is not None:
            await observe_error(observe, scope, start, error)
        raise
    except BaseException as error:
        if not isinstance(error, trio.Cancelled):  # no one reads the traceback of a cancellation
            hide_frames_of_ours(error)
        if observe is not None:
            await observe_error(observe, scope, start, error)
        raise
    else:
        if observe is not None:
            try:
                observe_end(observe, scope, start, None)
            except BaseException:  # such as a KeyboardInterrupt: no one receives the result
                await discard_result(scope, result)
                raise
            scope.take_back = None  # the result belongs to the caller
        return result
    finally:
        current.reset(token)


async def observe_error(observe: Observers, scope: Scope, start: float, error: BaseException) -> None:
    """Report that a step ended with `error`, which its caller receives unless an observer is interrupted."""
    try:
        observe_end(observe, scope, start, error)
    except BaseException:  # such as a KeyboardInterrupt: no one receives the error
        await discard_values_in(error, scope)
        raise
    finally:
        scope.take_back = None


async def called(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Call `fn`, and await the result if it can be awaited."""
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
    """Report the end of a step that started at `start`. `reason` is why it was cancelled, if that is known."""
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
