"""The types of paths, of tuples of paths, and of options, for type checkers. Nothing here exists at run time.

A path of a `fork` takes the input or nothing. A path that is given to `race`, `gather`, `settle` or `stream` is
*ready*: nothing can pass it an argument later. An *arm* is a path in a tuple with its own type, and a type variable
stands for what it returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
    from typing import Any, Generic, Literal, Never, Protocol, TypeAlias
    from typing import TypeVar as PlainTypeVar

    import trio
    from typing_extensions import TypedDict, TypeVar

    from trio_steps._core.events.records import Observer
    from trio_steps._core.policy.rate import RateLimit
    from trio_steps._core.results import SettleResult
    from trio_steps._core.scope import Scope
    from trio_steps._core.step import Nullary, Plain

    # Never: an arm that is left out returns nothing, and if nothing is known about a path, as mypy reports for an async
    # path among sync ones, the overload does not match. If one type variable has a default, all need one.
    In = TypeVar("In", default=None)
    T = TypeVar("T", default=Never)
    R = TypeVar("R", default=Never)
    K = TypeVar("K", bound=str, default=str)
    # fmt: off
    A = TypeVar("A", default=Never)
    B = TypeVar("B", default=Never)
    C = TypeVar("C", default=Never)
    D = TypeVar("D", default=Never)
    E = TypeVar("E", default=Never)
    F = TypeVar("F", default=Never)
    G = TypeVar("G", default=Never)
    H = TypeVar("H", default=Never)
    J = TypeVar("J", default=Never)
    M = TypeVar("M", default=Never)
    N = TypeVar("N", default=Never)
    P = TypeVar("P", default=Never)
    S = TypeVar("S", default=Never)
    U = TypeVar("U", default=Never)
    V = TypeVar("V", default=Never)
    W = TypeVar("W", default=Never)
    # fmt: on

    X = PlainTypeVar("X")
    Y = PlainTypeVar("Y")
    Z = PlainTypeVar("Z")
    Q = PlainTypeVar("Q")
    X_contra = PlainTypeVar("X_contra", contravariant=True)
    Y_co = PlainTypeVar("Y_co", covariant=True)
    Z_co = PlainTypeVar("Z_co", covariant=True)

    class Bound(Protocol):
        """The attributes of a `functools.partial`."""

        @property
        def keywords(self) -> dict[str, Any]: ...

    class Unary(Plain, Protocol[X_contra, Y_co]):
        """An async function of one argument."""

        def __call__(self, input: X_contra, /) -> Awaitable[Y_co]: ...

    class BoundUnary(Bound, Protocol[X_contra, Y_co]):
        """A partial that takes one argument, as every partial does to mypy."""

        def __call__(self, input: X_contra, /) -> Awaitable[Y_co]: ...

    class UnaryObject(Protocol[X_contra, Y_co]):
        """Anything that can be called with one argument."""

        def __call__(self, input: X_contra, /) -> Awaitable[Y_co]: ...

    class Identified(Protocol):
        """The attributes of a step."""

        @property
        def id_given(self) -> bool: ...

    class UnaryStep(Identified, Protocol[X_contra, Y_co]):
        """A step with one input."""

        def __call__(self, input: X_contra, /) -> Awaitable[Y_co]: ...

    class Exact(Identified, Protocol):
        """The attributes of a step, except for a step of a partial, which takes any arguments to mypy."""

        @property
        def _exact(self) -> Literal[True]: ...

    class NullaryStep(Exact, Protocol[Y_co]):
        """A step without arguments."""

        def __call__(self, /) -> Awaitable[Y_co]: ...

    # The paths of a tuple, each seen twice: as one that returns Y, and as one that returns Z. So what the fork returns
    # is typed arm by arm, and what `accept` and `dispose` take by all arms together.

    class Takes(Protocol[X_contra, Y_co, Z_co]):
        @overload
        def __call__(self, input: X_contra, /) -> Y_co: ...

        @overload
        def __call__(self, input: X_contra, /) -> Z_co: ...  # type: ignore[overload-cannot-match]  # pyright: ignore[reportOverlappingOverload]

    class TakesNone(Protocol[Y_co, Z_co]):
        @overload
        def __call__(self, /) -> Y_co: ...

        @overload
        def __call__(self, /) -> Z_co: ...  # type: ignore[overload-cannot-match]  # pyright: ignore[reportOverlappingOverload]

    class UnaryArm(Plain, Takes[X_contra, Y_co, Z_co], Protocol[X_contra, Y_co, Z_co]):
        """An async function of one argument."""

    class BoundUnaryArm(Bound, Takes[X_contra, Y_co, Z_co], Protocol[X_contra, Y_co, Z_co]):
        """A partial that takes one argument."""

    class UnaryStepArm(Identified, Takes[X_contra, Y_co, Z_co], Protocol[X_contra, Y_co, Z_co]):
        """A step with one input."""

    class NullaryArm(Plain, TakesNone[Y_co, Z_co], Protocol[Y_co, Z_co]):
        """An async function without arguments."""

    class NullaryStepArm(Exact, TakesNone[Y_co, Z_co], Protocol[Y_co, Z_co]):
        """A step without arguments."""

    class PathsFor(Plain, Protocol[X_contra, Y_co]):
        """A function that returns the paths for an input."""

        def __call__(self, input: X_contra, /) -> SourceSoon[Y_co]: ...

    class BoundPathsFor(Bound, Protocol[X_contra, Y_co]):
        """A partial that returns the paths for an input."""

        def __call__(self, input: X_contra, /) -> SourceSoon[Y_co]: ...

    class PathsForWithScope(Plain, Protocol[X_contra, Y_co]):
        """A function that returns the paths for an input and the scope."""

        def __call__(self, input: X_contra, scope: Scope, /) -> SourceSoon[Y_co]: ...

    class PathsForNone(Plain, Protocol[Y_co]):
        """A function that returns the paths if there is no input."""

        def __call__(self, /) -> SourceSoon[Y_co]: ...

    Source: TypeAlias = Iterable[Q] | AsyncIterable[Q]
    SourceSoon: TypeAlias = Source[Q] | Awaitable[Source[Q]]
    PathsOf: TypeAlias = Source[Q] | PathsFor[X, Q] | PathsForWithScope[X, Q] | BoundPathsFor[X, Q] | PathsForNone[Q]

    UnaryPath: TypeAlias = Unary[X, Y] | BoundUnary[X, Y] | UnaryStep[X, Y]
    NullaryPath: TypeAlias = Nullary[Awaitable[Y]] | NullaryStep[Y]
    Path: TypeAlias = UnaryPath[X, Y] | NullaryPath[Y]
    AnyPath: TypeAlias = Callable[[X], Awaitable[Y] | Y] | Callable[[], Awaitable[Y] | Y]

    Ready: TypeAlias = Callable[[], Awaitable[Y]]
    AnyReady: TypeAlias = Callable[[], Awaitable[Y] | Y]

    TwiceUnary: TypeAlias = UnaryArm[X, Y, Z] | BoundUnaryArm[X, Y, Z] | UnaryStepArm[X, Y, Z]
    Twice: TypeAlias = TwiceUnary[X, Y, Z] | NullaryArm[Y, Z] | NullaryStepArm[Y, Z]
    Arm: TypeAlias = Twice[X, Awaitable[Y], Awaitable[Z]]
    WideArm: TypeAlias = Twice[X, Awaitable[Y], Awaitable[Z] | Z]
    AnyArm: TypeAlias = Takes[X, Awaitable[Y] | Y, Awaitable[Z] | Z] | TakesNone[Awaitable[Y] | Y, Awaitable[Z] | Z]
    ReadyArm: TypeAlias = TakesNone[Awaitable[Y], Awaitable[Z]]
    AnyReadyArm: TypeAlias = TakesNone[Awaitable[Y] | Y, Awaitable[Z] | Z]

    UnaryPaths: TypeAlias = PathsOf[UnaryObject[X, Y], X]
    NullaryPaths: TypeAlias = PathsOf[NullaryPath[Y], X]
    Paths: TypeAlias = PathsOf[Path[X, Y], X]
    AnyPaths: TypeAlias = PathsOf[AnyPath[X, Y], X]
    Settled: TypeAlias = SettleResult[Y]

    # Tuples of several lengths under one name, so that they need only one overload.
    # fmt: off
    TupleOfPaths: TypeAlias = (
        tuple[Path[X, A], Path[X, B]]
        | tuple[Path[X, A], Path[X, B], Path[X, C]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J], Path[X, M]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J], Path[X, M], Path[X, N]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J], Path[X, M], Path[X, N], Path[X, P]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J], Path[X, M], Path[X, N], Path[X, P], Path[X, S]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J], Path[X, M], Path[X, N], Path[X, P], Path[X, S], Path[X, U]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J], Path[X, M], Path[X, N], Path[X, P], Path[X, S], Path[X, U], Path[X, V]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J], Path[X, M], Path[X, N], Path[X, P], Path[X, S], Path[X, U], Path[X, V], Path[X, W]]
    )
    LongTupleOfPaths: TypeAlias = (
        tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J], Path[X, M]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J], Path[X, M], Path[X, N]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J], Path[X, M], Path[X, N], Path[X, P]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J], Path[X, M], Path[X, N], Path[X, P], Path[X, S]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J], Path[X, M], Path[X, N], Path[X, P], Path[X, S], Path[X, U]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J], Path[X, M], Path[X, N], Path[X, P], Path[X, S], Path[X, U], Path[X, V]]
        | tuple[Path[X, A], Path[X, B], Path[X, C], Path[X, D], Path[X, E], Path[X, F], Path[X, G], Path[X, H],
                Path[X, J], Path[X, M], Path[X, N], Path[X, P], Path[X, S], Path[X, U], Path[X, V], Path[X, W]]
    )
    TupleOfArms: TypeAlias = (
        tuple[Arm[X, A, T], Arm[X, B, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T], Arm[X, M, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T], Arm[X, M, T], Arm[X, N, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T], Arm[X, M, T], Arm[X, N, T], Arm[X, P, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T], Arm[X, M, T], Arm[X, N, T], Arm[X, P, T], Arm[X, S, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T], Arm[X, M, T], Arm[X, N, T], Arm[X, P, T], Arm[X, S, T], Arm[X, U, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T], Arm[X, M, T], Arm[X, N, T], Arm[X, P, T], Arm[X, S, T], Arm[X, U, T],
                Arm[X, V, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T], Arm[X, M, T], Arm[X, N, T], Arm[X, P, T], Arm[X, S, T], Arm[X, U, T],
                Arm[X, V, T], Arm[X, W, T]]
    )
    LongTupleOfArms: TypeAlias = (
        tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T], Arm[X, M, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T], Arm[X, M, T], Arm[X, N, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T], Arm[X, M, T], Arm[X, N, T], Arm[X, P, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T], Arm[X, M, T], Arm[X, N, T], Arm[X, P, T], Arm[X, S, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T], Arm[X, M, T], Arm[X, N, T], Arm[X, P, T], Arm[X, S, T], Arm[X, U, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T], Arm[X, M, T], Arm[X, N, T], Arm[X, P, T], Arm[X, S, T], Arm[X, U, T],
                Arm[X, V, T]]
        | tuple[Arm[X, A, T], Arm[X, B, T], Arm[X, C, T], Arm[X, D, T], Arm[X, E, T], Arm[X, F, T], Arm[X, G, T],
                Arm[X, H, T], Arm[X, J, T], Arm[X, M, T], Arm[X, N, T], Arm[X, P, T], Arm[X, S, T], Arm[X, U, T],
                Arm[X, V, T], Arm[X, W, T]]
    )
    TupleOfAnyPaths: TypeAlias = (
        tuple[AnyPath[X, A], AnyPath[X, B]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J], AnyPath[X, M]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J], AnyPath[X, M], AnyPath[X, N]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J], AnyPath[X, M], AnyPath[X, N], AnyPath[X, P]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J], AnyPath[X, M], AnyPath[X, N], AnyPath[X, P], AnyPath[X, S]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J], AnyPath[X, M], AnyPath[X, N], AnyPath[X, P], AnyPath[X, S], AnyPath[X, U]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J], AnyPath[X, M], AnyPath[X, N], AnyPath[X, P], AnyPath[X, S], AnyPath[X, U],
                AnyPath[X, V]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J], AnyPath[X, M], AnyPath[X, N], AnyPath[X, P], AnyPath[X, S], AnyPath[X, U],
                AnyPath[X, V], AnyPath[X, W]]
    )
    LongTupleOfAnyPaths: TypeAlias = (
        tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J], AnyPath[X, M]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J], AnyPath[X, M], AnyPath[X, N]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J], AnyPath[X, M], AnyPath[X, N], AnyPath[X, P]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J], AnyPath[X, M], AnyPath[X, N], AnyPath[X, P], AnyPath[X, S]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J], AnyPath[X, M], AnyPath[X, N], AnyPath[X, P], AnyPath[X, S], AnyPath[X, U]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J], AnyPath[X, M], AnyPath[X, N], AnyPath[X, P], AnyPath[X, S], AnyPath[X, U],
                AnyPath[X, V]]
        | tuple[AnyPath[X, A], AnyPath[X, B], AnyPath[X, C], AnyPath[X, D], AnyPath[X, E], AnyPath[X, F], AnyPath[X, G],
                AnyPath[X, H], AnyPath[X, J], AnyPath[X, M], AnyPath[X, N], AnyPath[X, P], AnyPath[X, S], AnyPath[X, U],
                AnyPath[X, V], AnyPath[X, W]]
    )
    TupleOfAnyArms: TypeAlias = (
        tuple[AnyArm[X, A, T], AnyArm[X, B, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T], AnyArm[X, M, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T], AnyArm[X, M, T], AnyArm[X, N, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T], AnyArm[X, M, T], AnyArm[X, N, T], AnyArm[X, P, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T], AnyArm[X, M, T], AnyArm[X, N, T], AnyArm[X, P, T],
                AnyArm[X, S, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T], AnyArm[X, M, T], AnyArm[X, N, T], AnyArm[X, P, T],
                AnyArm[X, S, T], AnyArm[X, U, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T], AnyArm[X, M, T], AnyArm[X, N, T], AnyArm[X, P, T],
                AnyArm[X, S, T], AnyArm[X, U, T], AnyArm[X, V, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T], AnyArm[X, M, T], AnyArm[X, N, T], AnyArm[X, P, T],
                AnyArm[X, S, T], AnyArm[X, U, T], AnyArm[X, V, T], AnyArm[X, W, T]]
    )
    LongTupleOfAnyArms: TypeAlias = (
        tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
              AnyArm[X, G, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T], AnyArm[X, M, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T], AnyArm[X, M, T], AnyArm[X, N, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T], AnyArm[X, M, T], AnyArm[X, N, T], AnyArm[X, P, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T], AnyArm[X, M, T], AnyArm[X, N, T], AnyArm[X, P, T],
                AnyArm[X, S, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T], AnyArm[X, M, T], AnyArm[X, N, T], AnyArm[X, P, T],
                AnyArm[X, S, T], AnyArm[X, U, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T], AnyArm[X, M, T], AnyArm[X, N, T], AnyArm[X, P, T],
                AnyArm[X, S, T], AnyArm[X, U, T], AnyArm[X, V, T]]
        | tuple[AnyArm[X, A, T], AnyArm[X, B, T], AnyArm[X, C, T], AnyArm[X, D, T], AnyArm[X, E, T], AnyArm[X, F, T],
                AnyArm[X, G, T], AnyArm[X, H, T], AnyArm[X, J, T], AnyArm[X, M, T], AnyArm[X, N, T], AnyArm[X, P, T],
                AnyArm[X, S, T], AnyArm[X, U, T], AnyArm[X, V, T], AnyArm[X, W, T]]
    )
    TupleOfReady: TypeAlias = (
        tuple[Ready[A], Ready[B]]
        | tuple[Ready[A], Ready[B], Ready[C]]
        | tuple[Ready[A], Ready[B], Ready[C], Ready[D]]
        | tuple[Ready[A], Ready[B], Ready[C], Ready[D], Ready[E]]
        | tuple[Ready[A], Ready[B], Ready[C], Ready[D], Ready[E], Ready[F]]
        | tuple[Ready[A], Ready[B], Ready[C], Ready[D], Ready[E], Ready[F], Ready[G]]
        | tuple[Ready[A], Ready[B], Ready[C], Ready[D], Ready[E], Ready[F], Ready[G], Ready[H]]
        | tuple[Ready[A], Ready[B], Ready[C], Ready[D], Ready[E], Ready[F], Ready[G], Ready[H], Ready[J]]
        | tuple[Ready[A], Ready[B], Ready[C], Ready[D], Ready[E], Ready[F], Ready[G], Ready[H], Ready[J], Ready[M]]
        | tuple[Ready[A], Ready[B], Ready[C], Ready[D], Ready[E], Ready[F], Ready[G], Ready[H], Ready[J], Ready[M],
                Ready[N]]
        | tuple[Ready[A], Ready[B], Ready[C], Ready[D], Ready[E], Ready[F], Ready[G], Ready[H], Ready[J], Ready[M],
                Ready[N], Ready[P]]
        | tuple[Ready[A], Ready[B], Ready[C], Ready[D], Ready[E], Ready[F], Ready[G], Ready[H], Ready[J], Ready[M],
                Ready[N], Ready[P], Ready[S]]
        | tuple[Ready[A], Ready[B], Ready[C], Ready[D], Ready[E], Ready[F], Ready[G], Ready[H], Ready[J], Ready[M],
                Ready[N], Ready[P], Ready[S], Ready[U]]
        | tuple[Ready[A], Ready[B], Ready[C], Ready[D], Ready[E], Ready[F], Ready[G], Ready[H], Ready[J], Ready[M],
                Ready[N], Ready[P], Ready[S], Ready[U], Ready[V]]
        | tuple[Ready[A], Ready[B], Ready[C], Ready[D], Ready[E], Ready[F], Ready[G], Ready[H], Ready[J], Ready[M],
                Ready[N], Ready[P], Ready[S], Ready[U], Ready[V], Ready[W]]
    )
    TupleOfReadyArms: TypeAlias = (
        tuple[ReadyArm[A, T], ReadyArm[B, T]]
        | tuple[ReadyArm[A, T], ReadyArm[B, T], ReadyArm[C, T]]
        | tuple[ReadyArm[A, T], ReadyArm[B, T], ReadyArm[C, T], ReadyArm[D, T]]
        | tuple[ReadyArm[A, T], ReadyArm[B, T], ReadyArm[C, T], ReadyArm[D, T], ReadyArm[E, T]]
        | tuple[ReadyArm[A, T], ReadyArm[B, T], ReadyArm[C, T], ReadyArm[D, T], ReadyArm[E, T], ReadyArm[F, T]]
        | tuple[ReadyArm[A, T], ReadyArm[B, T], ReadyArm[C, T], ReadyArm[D, T], ReadyArm[E, T], ReadyArm[F, T],
                ReadyArm[G, T]]
        | tuple[ReadyArm[A, T], ReadyArm[B, T], ReadyArm[C, T], ReadyArm[D, T], ReadyArm[E, T], ReadyArm[F, T],
                ReadyArm[G, T], ReadyArm[H, T]]
        | tuple[ReadyArm[A, T], ReadyArm[B, T], ReadyArm[C, T], ReadyArm[D, T], ReadyArm[E, T], ReadyArm[F, T],
                ReadyArm[G, T], ReadyArm[H, T], ReadyArm[J, T]]
        | tuple[ReadyArm[A, T], ReadyArm[B, T], ReadyArm[C, T], ReadyArm[D, T], ReadyArm[E, T], ReadyArm[F, T],
                ReadyArm[G, T], ReadyArm[H, T], ReadyArm[J, T], ReadyArm[M, T]]
        | tuple[ReadyArm[A, T], ReadyArm[B, T], ReadyArm[C, T], ReadyArm[D, T], ReadyArm[E, T], ReadyArm[F, T],
                ReadyArm[G, T], ReadyArm[H, T], ReadyArm[J, T], ReadyArm[M, T], ReadyArm[N, T]]
        | tuple[ReadyArm[A, T], ReadyArm[B, T], ReadyArm[C, T], ReadyArm[D, T], ReadyArm[E, T], ReadyArm[F, T],
                ReadyArm[G, T], ReadyArm[H, T], ReadyArm[J, T], ReadyArm[M, T], ReadyArm[N, T], ReadyArm[P, T]]
        | tuple[ReadyArm[A, T], ReadyArm[B, T], ReadyArm[C, T], ReadyArm[D, T], ReadyArm[E, T], ReadyArm[F, T],
                ReadyArm[G, T], ReadyArm[H, T], ReadyArm[J, T], ReadyArm[M, T], ReadyArm[N, T], ReadyArm[P, T],
                ReadyArm[S, T]]
        | tuple[ReadyArm[A, T], ReadyArm[B, T], ReadyArm[C, T], ReadyArm[D, T], ReadyArm[E, T], ReadyArm[F, T],
                ReadyArm[G, T], ReadyArm[H, T], ReadyArm[J, T], ReadyArm[M, T], ReadyArm[N, T], ReadyArm[P, T],
                ReadyArm[S, T], ReadyArm[U, T]]
        | tuple[ReadyArm[A, T], ReadyArm[B, T], ReadyArm[C, T], ReadyArm[D, T], ReadyArm[E, T], ReadyArm[F, T],
                ReadyArm[G, T], ReadyArm[H, T], ReadyArm[J, T], ReadyArm[M, T], ReadyArm[N, T], ReadyArm[P, T],
                ReadyArm[S, T], ReadyArm[U, T], ReadyArm[V, T]]
        | tuple[ReadyArm[A, T], ReadyArm[B, T], ReadyArm[C, T], ReadyArm[D, T], ReadyArm[E, T], ReadyArm[F, T],
                ReadyArm[G, T], ReadyArm[H, T], ReadyArm[J, T], ReadyArm[M, T], ReadyArm[N, T], ReadyArm[P, T],
                ReadyArm[S, T], ReadyArm[U, T], ReadyArm[V, T], ReadyArm[W, T]]
    )
    TupleOfAnyReady: TypeAlias = (
        tuple[AnyReady[A], AnyReady[B]]
        | tuple[AnyReady[A], AnyReady[B], AnyReady[C]]
        | tuple[AnyReady[A], AnyReady[B], AnyReady[C], AnyReady[D]]
        | tuple[AnyReady[A], AnyReady[B], AnyReady[C], AnyReady[D], AnyReady[E]]
        | tuple[AnyReady[A], AnyReady[B], AnyReady[C], AnyReady[D], AnyReady[E], AnyReady[F]]
        | tuple[AnyReady[A], AnyReady[B], AnyReady[C], AnyReady[D], AnyReady[E], AnyReady[F], AnyReady[G]]
        | tuple[AnyReady[A], AnyReady[B], AnyReady[C], AnyReady[D], AnyReady[E], AnyReady[F], AnyReady[G], AnyReady[H]]
        | tuple[AnyReady[A], AnyReady[B], AnyReady[C], AnyReady[D], AnyReady[E], AnyReady[F], AnyReady[G], AnyReady[H],
                AnyReady[J]]
        | tuple[AnyReady[A], AnyReady[B], AnyReady[C], AnyReady[D], AnyReady[E], AnyReady[F], AnyReady[G], AnyReady[H],
                AnyReady[J], AnyReady[M]]
        | tuple[AnyReady[A], AnyReady[B], AnyReady[C], AnyReady[D], AnyReady[E], AnyReady[F], AnyReady[G], AnyReady[H],
                AnyReady[J], AnyReady[M], AnyReady[N]]
        | tuple[AnyReady[A], AnyReady[B], AnyReady[C], AnyReady[D], AnyReady[E], AnyReady[F], AnyReady[G], AnyReady[H],
                AnyReady[J], AnyReady[M], AnyReady[N], AnyReady[P]]
        | tuple[AnyReady[A], AnyReady[B], AnyReady[C], AnyReady[D], AnyReady[E], AnyReady[F], AnyReady[G], AnyReady[H],
                AnyReady[J], AnyReady[M], AnyReady[N], AnyReady[P], AnyReady[S]]
        | tuple[AnyReady[A], AnyReady[B], AnyReady[C], AnyReady[D], AnyReady[E], AnyReady[F], AnyReady[G], AnyReady[H],
                AnyReady[J], AnyReady[M], AnyReady[N], AnyReady[P], AnyReady[S], AnyReady[U]]
        | tuple[AnyReady[A], AnyReady[B], AnyReady[C], AnyReady[D], AnyReady[E], AnyReady[F], AnyReady[G], AnyReady[H],
                AnyReady[J], AnyReady[M], AnyReady[N], AnyReady[P], AnyReady[S], AnyReady[U], AnyReady[V]]
        | tuple[AnyReady[A], AnyReady[B], AnyReady[C], AnyReady[D], AnyReady[E], AnyReady[F], AnyReady[G], AnyReady[H],
                AnyReady[J], AnyReady[M], AnyReady[N], AnyReady[P], AnyReady[S], AnyReady[U], AnyReady[V], AnyReady[W]]
    )
    TupleOfAnyReadyArms: TypeAlias = (
        tuple[AnyReadyArm[A, T], AnyReadyArm[B, T]]
        | tuple[AnyReadyArm[A, T], AnyReadyArm[B, T], AnyReadyArm[C, T]]
        | tuple[AnyReadyArm[A, T], AnyReadyArm[B, T], AnyReadyArm[C, T], AnyReadyArm[D, T]]
        | tuple[AnyReadyArm[A, T], AnyReadyArm[B, T], AnyReadyArm[C, T], AnyReadyArm[D, T], AnyReadyArm[E, T]]
        | tuple[AnyReadyArm[A, T], AnyReadyArm[B, T], AnyReadyArm[C, T], AnyReadyArm[D, T], AnyReadyArm[E, T],
                AnyReadyArm[F, T]]
        | tuple[AnyReadyArm[A, T], AnyReadyArm[B, T], AnyReadyArm[C, T], AnyReadyArm[D, T], AnyReadyArm[E, T],
                AnyReadyArm[F, T], AnyReadyArm[G, T]]
        | tuple[AnyReadyArm[A, T], AnyReadyArm[B, T], AnyReadyArm[C, T], AnyReadyArm[D, T], AnyReadyArm[E, T],
                AnyReadyArm[F, T], AnyReadyArm[G, T], AnyReadyArm[H, T]]
        | tuple[AnyReadyArm[A, T], AnyReadyArm[B, T], AnyReadyArm[C, T], AnyReadyArm[D, T], AnyReadyArm[E, T],
                AnyReadyArm[F, T], AnyReadyArm[G, T], AnyReadyArm[H, T], AnyReadyArm[J, T]]
        | tuple[AnyReadyArm[A, T], AnyReadyArm[B, T], AnyReadyArm[C, T], AnyReadyArm[D, T], AnyReadyArm[E, T],
                AnyReadyArm[F, T], AnyReadyArm[G, T], AnyReadyArm[H, T], AnyReadyArm[J, T], AnyReadyArm[M, T]]
        | tuple[AnyReadyArm[A, T], AnyReadyArm[B, T], AnyReadyArm[C, T], AnyReadyArm[D, T], AnyReadyArm[E, T],
                AnyReadyArm[F, T], AnyReadyArm[G, T], AnyReadyArm[H, T], AnyReadyArm[J, T], AnyReadyArm[M, T],
                AnyReadyArm[N, T]]
        | tuple[AnyReadyArm[A, T], AnyReadyArm[B, T], AnyReadyArm[C, T], AnyReadyArm[D, T], AnyReadyArm[E, T],
                AnyReadyArm[F, T], AnyReadyArm[G, T], AnyReadyArm[H, T], AnyReadyArm[J, T], AnyReadyArm[M, T],
                AnyReadyArm[N, T], AnyReadyArm[P, T]]
        | tuple[AnyReadyArm[A, T], AnyReadyArm[B, T], AnyReadyArm[C, T], AnyReadyArm[D, T], AnyReadyArm[E, T],
                AnyReadyArm[F, T], AnyReadyArm[G, T], AnyReadyArm[H, T], AnyReadyArm[J, T], AnyReadyArm[M, T],
                AnyReadyArm[N, T], AnyReadyArm[P, T], AnyReadyArm[S, T]]
        | tuple[AnyReadyArm[A, T], AnyReadyArm[B, T], AnyReadyArm[C, T], AnyReadyArm[D, T], AnyReadyArm[E, T],
                AnyReadyArm[F, T], AnyReadyArm[G, T], AnyReadyArm[H, T], AnyReadyArm[J, T], AnyReadyArm[M, T],
                AnyReadyArm[N, T], AnyReadyArm[P, T], AnyReadyArm[S, T], AnyReadyArm[U, T]]
        | tuple[AnyReadyArm[A, T], AnyReadyArm[B, T], AnyReadyArm[C, T], AnyReadyArm[D, T], AnyReadyArm[E, T],
                AnyReadyArm[F, T], AnyReadyArm[G, T], AnyReadyArm[H, T], AnyReadyArm[J, T], AnyReadyArm[M, T],
                AnyReadyArm[N, T], AnyReadyArm[P, T], AnyReadyArm[S, T], AnyReadyArm[U, T], AnyReadyArm[V, T]]
        | tuple[AnyReadyArm[A, T], AnyReadyArm[B, T], AnyReadyArm[C, T], AnyReadyArm[D, T], AnyReadyArm[E, T],
                AnyReadyArm[F, T], AnyReadyArm[G, T], AnyReadyArm[H, T], AnyReadyArm[J, T], AnyReadyArm[M, T],
                AnyReadyArm[N, T], AnyReadyArm[P, T], AnyReadyArm[S, T], AnyReadyArm[U, T], AnyReadyArm[V, T],
                AnyReadyArm[W, T]]
    )
    # fmt: on

    class PlainOptions(TypedDict, total=False):
        """The options of every fork that do not depend on the type of the values."""

        concurrency: int | trio.CapacityLimiter | None
        stagger: float | None
        timeout: float | None
        rate: RateLimit | None
        growing: bool

    class Options(PlainOptions, Generic[Q], total=False):
        """The options of every fork."""

        dispose: Callable[[Q], object] | None
        accept: Callable[[Q], bool] | None

    class PlainSpotOptions(PlainOptions, total=False):
        """The options of every fork on the spot that do not depend on the type of the values."""

        observers: Iterable[Observer]

    class SpotOptions(PlainSpotOptions, Generic[Q], total=False):
        """The options of every fork on the spot, except for `accept`, which each overload names."""

        dispose: Callable[[Q], object] | None

    class PlainStreamOptions(PlainSpotOptions, total=False):
        """The options of a stream that do not depend on the type of the values."""

        ordered: bool
        buffer: int | None

    class StreamOptions(PlainStreamOptions, Generic[Q], total=False):
        """The options of a stream, except for `accept`."""

        dispose: Callable[[Q], object] | None
