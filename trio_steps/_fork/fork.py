"""`fork`: several paths that run at once, and a mode that decides between them.

The overloads tell type checkers what a fork takes and returns. How they are ordered, and why:

- A tuple is typed path by path, up to six. Up to sixteen, or where one value comes back, it is typed by the union of
  what its paths return. Any other source is typed by its element, which mypy makes object if elements differ.
- Async paths come first, then mixed and sync paths, because a sync path may return a coroutine as its value.
- Paths that take the input come before paths that take none. The latter leave the type of the input open, unless a
  function of the input returns them; by default it is None.
- `merge` has a form for each number of arguments, sync and async, so that mypy can see which one a lambda is. `paths`
  is a protocol wherever possible, because mypy infers callables last, and then all of them together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast, final, overload

from trio_steps._core.checks import check_state, located
from trio_steps._core.describe import accepts_input, check_id
from trio_steps._core.entry import StepEntry
from trio_steps._core.events.records import observers_of
from trio_steps._core.public import public
from trio_steps._core.step import NO_INPUT, InputStep, NoInput, Step

from .engine.run import run
from .plan import plan
from .stream import stream_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
    from typing import Literal

    import trio
    from typing_extensions import Unpack

    from trio_steps._core.events.records import Observer
    from trio_steps._core.policy.rate import RateLimit
    from trio_steps._core.scope import Scope
    from trio_steps._drawing.graph import Node, Place

    from .arms import (
        A,
        AnyPath,
        AnyPaths,
        Arm,
        B,
        C,
        D,
        E,
        F,
        G,
        H,
        In,
        J,
        K,
        LongTupleOfAnyArms,
        LongTupleOfAnyPaths,
        LongTupleOfArms,
        LongTupleOfPaths,
        M,
        N,
        NullaryPaths,
        Options,
        P,
        Path,
        Paths,
        PathsOf,
        PlainOptions,
        R,
        S,
        Settled,
        T,
        TupleOfAnyArms,
        TupleOfAnyPaths,
        TupleOfArms,
        TupleOfPaths,
        U,
        UnaryPaths,
        V,
        W,
        WideArm,
    )
    from .ledger import Ledger
    from .modes import Mode
    from .plan import Plan
    from .stream import Stream

InputT = TypeVar("InputT")
ResultT = TypeVar("ResultT")
I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


@final
class ForkEntry(StepEntry):
    """The entry of a fork, with or without an input.

    Attributes:
      plan: the plan that is run.
      shown: the plan as the user gave it, which is drawn and checked.
    """

    __slots__ = ("__name__", "plan", "shown")

    def __init__(self, plan: Plan, shown: Plan | None = None) -> None:
        self.plan = plan
        self.shown: Plan = plan if shown is None else shown
        self.__name__: str = plan.id

    def __call__(self, /, *args: Any) -> Coroutine[Any, Any, Any]:
        """Run the fork in the scope that is open, with the input in `args`, if there is one."""
        return run(self.plan, *args)

    def takes_input(self, /, *args: Any, **kwargs: Any) -> bool:
        """Tell whether the fork takes an input: not if a function without parameters returns its paths."""
        function = self.plan.function
        return super().takes_input(*args, **kwargs) and (function is None or accepts_input(function))

    def outline(self, place: Place) -> Node:
        """Return the drawing of the fork."""
        from .outline import outline_of_fork  # noqa: PLC0415 - imported only to draw

        return outline_of_fork(self.shown, place)


@public
@final
class Fork(InputStep[I_contra, O_co]):
    """Several paths that run at once, and a mode that decides between them. It is a step, made by `fork`."""

    __slots__ = ()

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.id, id_given=True, entry=ForkEntry(plan))

    @overload
    def stream(
        self: Fork[None, tuple[ResultT, ...]],
        *,
        ordered: bool = False,
        buffer: int | None = None,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
    ) -> Stream[ResultT]: ...

    @overload
    def stream(
        self: Fork[InputT, tuple[ResultT, ...]],
        input: InputT,
        *,
        ordered: bool = False,
        buffer: int | None = None,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
    ) -> Stream[ResultT]: ...

    def stream(
        self,
        input: Any = NO_INPUT,
        *,
        ordered: bool = False,
        buffer: int | None = None,
        observers: Iterable[Observer] = (),
        state: dict[str, object] | None = None,
    ) -> Stream[Any]:
        """Run the fork once, and read its results one by one, as its paths end.

        ::

            async with research.stream("owls") as results:
                async for result in results:
                    ...

        The fork must have ``mode="settle"``, which gives a `SettleResult` for each path, or ``mode="all"``, which gives
        values. It must have no `merge`. See `trio_steps.stream` for the modes, and for what happens when the block is
        left.

        Args:
          input: the input of the fork; leave it out to call the fork without one.
          ordered: give results in path order, each as soon as all before it have come.
          buffer: how many results may wait to be taken; while they do, no other path starts. None: as many as paths may
            run at once.
          observers: called with every event of this run.
          state: what the paths see as ``current_scope().state``.

        Raises:
          ConfigError: the fork has another mode, or a `merge`; or an argument is not valid.
        """
        args = () if isinstance(input, NoInput) else (input,)
        watching = observers_of(observers)
        check_state(state)

        def run(plan: Plan) -> Coroutine[Any, Any, object]:
            return Fork[Any, Any](plan).run(*args, observers=watching, state=state)

        return stream_of(cast("ForkEntry", self.entry).plan, run, ordered=ordered, buffer=buffer)


def plan_of(call: object) -> Plan | None:
    """Return the plan of `call`, a step or its entry, if it is a fork that still takes its input; otherwise None."""
    entry: object = call.entry if isinstance(call, Step) else call
    return entry.plan if isinstance(entry, ForkEntry) else None


# fmt: off
# A mapping of ids to paths: the result has the same keys

@overload
def fork(id: str, *, mode: Literal["race"], paths: Mapping[K, Path[In, T]],
         **options: Unpack[Options[T]]) -> Fork[In, T]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: Mapping[K, Path[In, T]],
         **options: Unpack[Options[T]]) -> Fork[In, dict[K, T]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: Mapping[K, Path[In, T]], merge: Callable[[dict[K, T]], Awaitable[R]],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: Mapping[K, Path[In, T]], merge: Callable[[dict[K, T]], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: Mapping[K, Path[In, T]],
         **options: Unpack[Options[T]]) -> Fork[In, dict[K, Settled[T]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: Mapping[K, Path[In, T]],
         merge: Callable[[dict[K, Settled[T]]], Awaitable[R]], **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: Mapping[K, Path[In, T]], merge: Callable[[dict[K, Settled[T]]], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: Mapping[K, Path[In, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[T, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["race"], paths: Mapping[K, AnyPath[In, T]],
         **options: Unpack[Options[T]]) -> Fork[In, T]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: Mapping[K, AnyPath[In, T]],
         **options: Unpack[Options[T]]) -> Fork[In, dict[K, T]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: Mapping[K, AnyPath[In, T]],
         merge: Callable[[dict[K, T]], Awaitable[R]], **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: Mapping[K, AnyPath[In, T]], merge: Callable[[dict[K, T]], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: Mapping[K, AnyPath[In, T]],
         **options: Unpack[Options[T]]) -> Fork[In, dict[K, Settled[T]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: Mapping[K, AnyPath[In, T]],
         merge: Callable[[dict[K, Settled[T]]], Awaitable[R]], **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: Mapping[K, AnyPath[In, T]],
         merge: Callable[[dict[K, Settled[T]]], R], **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: Mapping[K, AnyPath[In, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[T, ...]]: ...


# A tuple, path by path

@overload
def fork(id: str, *, mode: Literal["all"], paths: tuple[Path[In, A], Path[In, B]],
         **options: Unpack[PlainOptions]) -> Fork[In, tuple[A, B]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: tuple[Arm[In, A, T], Arm[In, B, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[A, B]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: tuple[WideArm[In, A, T], WideArm[In, B, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[A, B]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: tuple[Path[In, A], Path[In, B], Path[In, C]],
         **options: Unpack[PlainOptions]) -> Fork[In, tuple[A, B, C]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: tuple[Arm[In, A, T], Arm[In, B, T], Arm[In, C, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[A, B, C]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: tuple[WideArm[In, A, T], WideArm[In, B, T], WideArm[In, C, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[A, B, C]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: tuple[Path[In, A], Path[In, B], Path[In, C], Path[In, D]],
         **options: Unpack[PlainOptions]) -> Fork[In, tuple[A, B, C, D]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: tuple[Arm[In, A, T], Arm[In, B, T], Arm[In, C, T], Arm[In, D, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[A, B, C, D]]: ...
@overload
def fork(id: str, *, mode: Literal["all"],
         paths: tuple[WideArm[In, A, T], WideArm[In, B, T], WideArm[In, C, T], WideArm[In, D, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[A, B, C, D]]: ...
@overload
def fork(id: str, *, mode: Literal["all"],
         paths: tuple[Path[In, A], Path[In, B], Path[In, C], Path[In, D], Path[In, E]],
         **options: Unpack[PlainOptions]) -> Fork[In, tuple[A, B, C, D, E]]: ...
@overload
def fork(id: str, *, mode: Literal["all"],
         paths: tuple[Arm[In, A, T], Arm[In, B, T], Arm[In, C, T], Arm[In, D, T], Arm[In, E, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[A, B, C, D, E]]: ...
@overload
def fork(id: str, *, mode: Literal["all"],
         paths: tuple[WideArm[In, A, T], WideArm[In, B, T], WideArm[In, C, T], WideArm[In, D, T], WideArm[In, E, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[A, B, C, D, E]]: ...
@overload
def fork(id: str, *, mode: Literal["all"],
         paths: tuple[Path[In, A], Path[In, B], Path[In, C], Path[In, D], Path[In, E], Path[In, F]],
         **options: Unpack[PlainOptions]) -> Fork[In, tuple[A, B, C, D, E, F]]: ...
@overload
def fork(id: str, *, mode: Literal["all"],
         paths: tuple[Arm[In, A, T], Arm[In, B, T], Arm[In, C, T], Arm[In, D, T], Arm[In, E, T], Arm[In, F, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[A, B, C, D, E, F]]: ...
@overload
def fork(id: str, *, mode: Literal["all"],
         paths: tuple[WideArm[In, A, T], WideArm[In, B, T], WideArm[In, C, T], WideArm[In, D, T], WideArm[In, E, T],
                      WideArm[In, F, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[A, B, C, D, E, F]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: tuple[Path[In, A], Path[In, B]],
         **options: Unpack[PlainOptions]) -> Fork[In, tuple[Settled[A], Settled[B]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: tuple[Arm[In, A, T], Arm[In, B, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[Settled[A], Settled[B]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: tuple[WideArm[In, A, T], WideArm[In, B, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[Settled[A], Settled[B]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: tuple[Path[In, A], Path[In, B], Path[In, C]],
         **options: Unpack[PlainOptions]) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: tuple[Arm[In, A, T], Arm[In, B, T], Arm[In, C, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: tuple[WideArm[In, A, T], WideArm[In, B, T], WideArm[In, C, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: tuple[Path[In, A], Path[In, B], Path[In, C], Path[In, D]],
         **options: Unpack[PlainOptions]) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C], Settled[D]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: tuple[Arm[In, A, T], Arm[In, B, T], Arm[In, C, T], Arm[In, D, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C], Settled[D]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"],
         paths: tuple[WideArm[In, A, T], WideArm[In, B, T], WideArm[In, C, T], WideArm[In, D, T]],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C], Settled[D]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"],
         paths: tuple[Path[In, A], Path[In, B], Path[In, C], Path[In, D], Path[In, E]],
         **options: Unpack[PlainOptions]
) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"],
         paths: tuple[Arm[In, A, T], Arm[In, B, T], Arm[In, C, T], Arm[In, D, T], Arm[In, E, T]],
         **options: Unpack[Options[T]]
) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"],
         paths: tuple[WideArm[In, A, T], WideArm[In, B, T], WideArm[In, C, T], WideArm[In, D, T], WideArm[In, E, T]],
         **options: Unpack[Options[T]]
) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"],
         paths: tuple[Path[In, A], Path[In, B], Path[In, C], Path[In, D], Path[In, E], Path[In, F]],
         **options: Unpack[PlainOptions]
) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"],
         paths: tuple[Arm[In, A, T], Arm[In, B, T], Arm[In, C, T], Arm[In, D, T], Arm[In, E, T], Arm[In, F, T]],
         **options: Unpack[Options[T]]
) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"],
         paths: tuple[WideArm[In, A, T], WideArm[In, B, T], WideArm[In, C, T], WideArm[In, D, T], WideArm[In, E, T],
                      WideArm[In, F, T]],
         **options: Unpack[Options[T]]
) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F]]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: tuple[AnyPath[In, A], AnyPath[In, B]],
         **options: Unpack[Options[A | B]]) -> Fork[In, tuple[A, B]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: tuple[AnyPath[In, A], AnyPath[In, B], AnyPath[In, C]],
         **options: Unpack[Options[A | B | C]]) -> Fork[In, tuple[A, B, C]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: tuple[AnyPath[In, A], AnyPath[In, B], AnyPath[In, C], AnyPath[In, D]],
         **options: Unpack[Options[A | B | C | D]]) -> Fork[In, tuple[A, B, C, D]]: ...
@overload
def fork(id: str, *, mode: Literal["all"],
         paths: tuple[AnyPath[In, A], AnyPath[In, B], AnyPath[In, C], AnyPath[In, D], AnyPath[In, E]],
         **options: Unpack[Options[A | B | C | D | E]]) -> Fork[In, tuple[A, B, C, D, E]]: ...
@overload
def fork(id: str, *, mode: Literal["all"],
         paths: tuple[AnyPath[In, A], AnyPath[In, B], AnyPath[In, C], AnyPath[In, D], AnyPath[In, E], AnyPath[In, F]],
         **options: Unpack[Options[A | B | C | D | E | F]]) -> Fork[In, tuple[A, B, C, D, E, F]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: tuple[AnyPath[In, A], AnyPath[In, B]],
         **options: Unpack[Options[A | B]]) -> Fork[In, tuple[Settled[A], Settled[B]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: tuple[AnyPath[In, A], AnyPath[In, B], AnyPath[In, C]],
         **options: Unpack[Options[A | B | C]]) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"],
         paths: tuple[AnyPath[In, A], AnyPath[In, B], AnyPath[In, C], AnyPath[In, D]],
         **options: Unpack[Options[A | B | C | D]]
) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C], Settled[D]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"],
         paths: tuple[AnyPath[In, A], AnyPath[In, B], AnyPath[In, C], AnyPath[In, D], AnyPath[In, E]],
         **options: Unpack[Options[A | B | C | D | E]]
) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E]]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"],
         paths: tuple[AnyPath[In, A], AnyPath[In, B], AnyPath[In, C], AnyPath[In, D], AnyPath[In, E], AnyPath[In, F]],
         **options: Unpack[Options[A | B | C | D | E | F]]
) -> Fork[In, tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F]]]: ...


# A tuple, of which what comes back is a union

@overload
def fork(id: str, *, mode: Literal["race"], paths: TupleOfPaths[In, A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[PlainOptions]
) -> Fork[In, A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]: ...
@overload
def fork(id: str, *, mode: Literal["race"], paths: TupleOfArms[In, A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[Options[T]]) -> Fork[In, A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int,
         paths: TupleOfPaths[In, A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[PlainOptions]
) -> Fork[In, tuple[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int,
         paths: TupleOfArms[In, A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[Options[T]]
) -> Fork[In, tuple[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: LongTupleOfPaths[In, A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[PlainOptions]
) -> Fork[In, tuple[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["all"],
         paths: LongTupleOfArms[In, A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[Options[T]]
) -> Fork[In, tuple[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"],
         paths: LongTupleOfPaths[In, A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[PlainOptions]
) -> Fork[In, tuple[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W], ...]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"],
         paths: LongTupleOfArms[In, A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[Options[T]]
) -> Fork[In, tuple[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W], ...]]: ...
@overload
def fork(id: str, *, mode: Literal["race"], paths: TupleOfAnyPaths[In, A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[PlainOptions]
) -> Fork[In, A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]: ...
@overload
def fork(id: str, *, mode: Literal["race"],
         paths: TupleOfAnyArms[In, A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[Options[T]]) -> Fork[In, A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int,
         paths: TupleOfAnyPaths[In, A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[PlainOptions]
) -> Fork[In, tuple[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int,
         paths: TupleOfAnyArms[In, A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[Options[T]]
) -> Fork[In, tuple[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["all"],
         paths: LongTupleOfAnyPaths[In, A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[PlainOptions]
) -> Fork[In, tuple[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["all"],
         paths: LongTupleOfAnyArms[In, A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[Options[T]]
) -> Fork[In, tuple[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"],
         paths: LongTupleOfAnyPaths[In, A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[PlainOptions]
) -> Fork[In, tuple[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W], ...]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"],
         paths: LongTupleOfAnyArms[In, A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W],
         **options: Unpack[Options[T]]
) -> Fork[In, tuple[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W], ...]]: ...


# Any source of async paths that take the input

@overload
def fork(id: str, *, mode: Literal["race"], paths: UnaryPaths[In, T], **options: Unpack[Options[T]]) -> Fork[In, T]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: UnaryPaths[In, T],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[T, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: UnaryPaths[In, T], merge: Callable[[list[T]], Awaitable[R]],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: UnaryPaths[In, T], merge: Callable[[list[T]], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: UnaryPaths[In, T],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[Settled[T], ...]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: UnaryPaths[In, T],
         merge: Callable[[list[Settled[T]]], Awaitable[R]], **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: UnaryPaths[In, T], merge: Callable[[list[Settled[T]]], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: UnaryPaths[In, T],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[T, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: UnaryPaths[In, T],
         merge: Callable[[list[T]], Awaitable[R]], **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: UnaryPaths[In, T], merge: Callable[[list[T]], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Callable[[Ledger[T]], Mode[T, R]], paths: PathsOf[Callable[[In], Awaitable[T]], In],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Callable[[], Mode[T, R]], paths: PathsOf[Callable[[In], Awaitable[T]], In],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...


# Any source of async paths that take none

@overload
def fork(id: str, *, mode: Literal["race"], paths: NullaryPaths[T, In],
         **options: Unpack[Options[T]]) -> Fork[In, T]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: NullaryPaths[T, In],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[T, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: NullaryPaths[T, In], merge: Callable[[list[T]], Awaitable[R]],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: NullaryPaths[T, In], merge: Callable[[list[T]], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: NullaryPaths[T, In],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[Settled[T], ...]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: NullaryPaths[T, In],
         merge: Callable[[list[Settled[T]]], Awaitable[R]], **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: NullaryPaths[T, In], merge: Callable[[list[Settled[T]]], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: NullaryPaths[T, In],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[T, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: NullaryPaths[T, In],
         merge: Callable[[list[T]], Awaitable[R]], **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: NullaryPaths[T, In], merge: Callable[[list[T]], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Callable[[Ledger[T]], Mode[T, R]], paths: PathsOf[Callable[[], Awaitable[T]], In],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Callable[[], Mode[T, R]], paths: PathsOf[Callable[[], Awaitable[T]], In],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...


# Any source of async paths, and a merge that takes the scope

@overload
def fork(id: str, *, mode: Literal["all"], paths: Paths[In, T], merge: Callable[[list[T], Scope], Awaitable[R]],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: Paths[In, T], merge: Callable[[list[T], Scope], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: Paths[In, T],
         merge: Callable[[list[Settled[T]], Scope], Awaitable[R]], **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: Paths[In, T], merge: Callable[[list[Settled[T]], Scope], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: Paths[In, T],
         merge: Callable[[list[T], Scope], Awaitable[R]], **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: Paths[In, T], merge: Callable[[list[T], Scope], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...


# Any source of paths of which some or all are sync

@overload
def fork(id: str, *, mode: Literal["race"], paths: AnyPaths[In, T], **options: Unpack[Options[T]]) -> Fork[In, T]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: AnyPaths[In, T],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[T, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: AnyPaths[In, T], merge: Callable[[list[T]], Awaitable[R]],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: AnyPaths[In, T], merge: Callable[[list[T]], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: AnyPaths[In, T],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[Settled[T], ...]]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: AnyPaths[In, T], merge: Callable[[list[Settled[T]]], Awaitable[R]],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: AnyPaths[In, T], merge: Callable[[list[Settled[T]]], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: AnyPaths[In, T],
         **options: Unpack[Options[T]]) -> Fork[In, tuple[T, ...]]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: AnyPaths[In, T],
         merge: Callable[[list[T]], Awaitable[R]], **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: AnyPaths[In, T], merge: Callable[[list[T]], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Callable[[Ledger[T]], Mode[T, R]], paths: AnyPaths[In, T],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Callable[[], Mode[T, R]], paths: AnyPaths[In, T],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: AnyPaths[In, T], merge: Callable[[list[T], Scope], Awaitable[R]],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["all"], paths: AnyPaths[In, T], merge: Callable[[list[T], Scope], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: AnyPaths[In, T],
         merge: Callable[[list[Settled[T]], Scope], Awaitable[R]], **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["settle"], paths: AnyPaths[In, T], merge: Callable[[list[Settled[T]], Scope], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: AnyPaths[In, T],
         merge: Callable[[list[T], Scope], Awaitable[R]], **options: Unpack[Options[T]]) -> Fork[In, R]: ...
@overload
def fork(id: str, *, mode: Literal["quorum"], need: int, paths: AnyPaths[In, T], merge: Callable[[list[T], Scope], R],
         **options: Unpack[Options[T]]) -> Fork[In, R]: ...
# fmt: on


@public
def fork(
    id: str,
    *,
    mode: str | Callable[..., Mode[Any, Any]],
    paths: Any,
    merge: Callable[..., Any] | None = None,
    need: int | None = None,
    concurrency: int | trio.CapacityLimiter | None = None,
    stagger: float | None = None,
    timeout: float | None = None,
    dispose: Callable[[Any], object] | None = None,
    accept: Callable[[Any], bool] | None = None,
    rate: RateLimit | None = None,
    growing: bool = False,
) -> Fork[Any, Any]:
    """Make a step that runs several paths at once.

    Call it like any other step, ``await f(input)``, as often as you like. Every path gets the input, unless it takes
    none. When the fork is decided, the paths that are still running are cancelled and awaited: no path outlives the
    call.

    Args:
      id: the name of the fork in full names, notes and task names.
      mode: when the fork is decided, and what it returns.

        - ``"race"``: the value of the first path that succeeds.
        - ``"all"``: the values of all paths, in path order. The first failure ends it.
        - ``"settle"``: a `SettleResult` for every path, in path order. No failure ends it.
        - ``"quorum"``: the values of the first `need` paths that succeed, in path order. It fails when too few are
          left.
        - A function that returns a new `Mode` for each run. If it requires an argument, it gets the `Ledger` of the
          run.
      paths: steps and sync or async functions. A tuple is typed path by path, anything else by its element; for mypy,
        use a tuple to mix steps and plain functions. An iterable or async iterable is advanced only when there is room
        for another path, and must allow a new iteration for each run. A function is called with the input, and with
        the `Scope` if it requires a second argument. It returns an iterable or async iterable, or an awaitable of one.
        A sync iterable must not hold a nursery or cancel scope open across a ``yield``.
      merge: a sync or async function that turns the list of values (for ``"settle"``, of results) into the result. If
        it requires a second argument, it gets the `Scope`. By default the result is a tuple. Not for a race.
      need: how many paths have to succeed. Required for ``"quorum"``, and only allowed there.
      concurrency: the most paths that run at the same time, or a `trio.CapacityLimiter` from which each path
        holds a token. None: no limit.
      stagger: seconds between the start of one path and the next. If a path fails, the next starts at once. 0
        starts paths one checkpoint apart. None: no delay.
      timeout: seconds for the whole fork. When they are over, ``"settle"`` returns what it has, with a
        `StepTimeoutError` for each path that is not done. The other modes fail. None: no limit.
      dispose: a sync or async function, called with each value that a path returned and that is in neither the result
        nor the error. It runs under a shield.
      accept: a function that tells whether a value counts as success. If not, the path fails with a
        `NotAcceptedError`, which holds the value.
      rate: a `RateLimit`. Each path takes a permit before it takes a slot or a token and starts.
      growing: let paths add paths, with ``current_scope().add(path)``. The fork ends when all of them have ended.

    Returns:
      A `Fork`. Its input is the input of the paths, or None. Its output depends on `mode` and `merge`.

    Raises:
      ConfigError: the fork can't work: an unknown mode, a limit below 1, `merge` on a race, `need` out of range, a path
        that can't be called, an id given twice, an iterator that only one run could use.
      ForkPartialError: (when it runs) too many paths failed, the deadline passed, the source of paths failed, or there
        were too few paths. The error keeps what succeeded.
    """
    with located(f"fork {id!r}: "):
        check_id(id)
        made = plan(
            id,
            mode,
            paths,
            merge=merge,
            need=need,
            concurrency=concurrency,
            stagger=stagger,
            timeout=timeout,
            dispose=dispose,
            accept=accept,
            rate=rate,
            growing=growing,
        )
    return Fork(made)
