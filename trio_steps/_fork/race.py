"""Forks on the spot: `race`, `gather`, `settle`, `stream`.

The overloads tell type checkers what comes back: path by path for up to eight paths, and the union of all for more, or
where one value comes back. Async paths come first, then mixed and sync paths, because a sync path may return a
coroutine as its value. scripts/overloads.py writes them, and explains each.
"""

# pyright: reportInvalidTypeVarUse=false
# A path that is left out returns nothing: its type variable defaults to Never.

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Any, overload

from trio_steps._core.events.records import observers_of
from trio_steps._core.public import public
from trio_steps._core.step import enter, named

from .engine.run import run
from .plan import plan
from .stream import stream_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from typing import Generic, Literal, Never, TypeAlias

    import trio
    from typing_extensions import TypedDict, TypeVar, Unpack

    from trio_steps._core.events.records import Observer
    from trio_steps._core.policy.rate import RateLimit
    from trio_steps._core.results import SettleResult

    from .plan import Plan
    from .stream import Stream

    # Never: if nothing is known about a path, as mypy reports for an async path among sync ones, the overload does not
    # match.
    T = TypeVar("T", default=Never)
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
    K = TypeVar("K", bound=str, default=str)

    Path: TypeAlias = Callable[[], Awaitable[T]]
    AnyPath: TypeAlias = Callable[[], Awaitable[T] | T]
    Settled: TypeAlias = SettleResult[T]

    class Options(TypedDict, Generic[T], total=False):
        """The options of all of them."""

        concurrency: int | trio.CapacityLimiter | None
        stagger: float | None
        timeout: float | None
        dispose: Callable[[T], object] | None
        rate: RateLimit | None
        growing: bool
        observers: Iterable[Observer]

    class StreamOptions(Options[T], total=False):
        """The options that only a stream has."""

        ordered: bool
        buffer: int | None


# fmt: off
@overload
async def race(a: Path[A], /, *, accept: Callable[[A], bool] | None = None, **options: Unpack[Options[A]]) -> A: ...
@overload
async def race(a: Path[A], b: Path[B], /, *, accept: Callable[[A | B], bool] | None = None,
               **options: Unpack[Options[A | B]]) -> A | B: ...
@overload
async def race(a: Path[A], b: Path[B], c: Path[C], /, *, accept: Callable[[A | B | C], bool] | None = None,
               **options: Unpack[Options[A | B | C]]) -> A | B | C: ...
@overload
async def race(a: Path[A], b: Path[B], c: Path[C], d: Path[D], /, *,
               accept: Callable[[A | B | C | D], bool] | None = None,
               **options: Unpack[Options[A | B | C | D]]) -> A | B | C | D: ...
@overload
async def race(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], /, *,
               accept: Callable[[A | B | C | D | E], bool] | None = None,
               **options: Unpack[Options[A | B | C | D | E]]) -> A | B | C | D | E: ...
@overload
async def race(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], f: Path[F], g: Path[G] = ...,
               h: Path[H] = ..., j: Path[J] = ..., m: Path[M] = ..., n: Path[N] = ..., p: Path[P] = ..., /,
               *more: Path[P], accept: Callable[[A | B | C | D | E | F], bool] | None = None,
               **options: Unpack[Options[A | B | C | D | E | F]]) -> A | B | C | D | E | F | G | H | J | M | N | P: ...
@overload
async def race(paths: Mapping[str, Path[T]] | Iterable[Path[T]] | AsyncIterable[Path[T]], /, *,
               accept: Callable[[T], bool] | None = None, **options: Unpack[Options[T]]) -> T: ...
@overload
async def race(a: AnyPath[A], /, *, accept: Callable[[A], bool] | None = None, **options: Unpack[Options[A]]) -> A: ...
@overload
async def race(a: AnyPath[A], b: AnyPath[B], /, *, accept: Callable[[A | B], bool] | None = None,
               **options: Unpack[Options[A | B]]) -> A | B: ...
@overload
async def race(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], /, *, accept: Callable[[A | B | C], bool] | None = None,
               **options: Unpack[Options[A | B | C]]) -> A | B | C: ...
@overload
async def race(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], /, *,
               accept: Callable[[A | B | C | D], bool] | None = None,
               **options: Unpack[Options[A | B | C | D]]) -> A | B | C | D: ...
@overload
async def race(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], /, *,
               accept: Callable[[A | B | C | D | E], bool] | None = None,
               **options: Unpack[Options[A | B | C | D | E]]) -> A | B | C | D | E: ...
@overload
async def race(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], f: AnyPath[F],
               g: AnyPath[G] = ..., h: AnyPath[H] = ..., j: AnyPath[J] = ..., m: AnyPath[M] = ..., n: AnyPath[N] = ...,
               p: AnyPath[P] = ..., /, *more: AnyPath[P], accept: Callable[[A | B | C | D | E | F], bool] | None = None,
               **options: Unpack[Options[A | B | C | D | E | F]]) -> A | B | C | D | E | F | G | H | J | M | N | P: ...
@overload
async def race(paths: Mapping[str, AnyPath[T]] | Iterable[AnyPath[T]] | AsyncIterable[AnyPath[T]], /, *,
               accept: Callable[[T], bool] | None = None, **options: Unpack[Options[T]]) -> T: ...
# fmt: on


@public
def race(
    *paths: Any,
    concurrency: int | trio.CapacityLimiter | None = None,
    stagger: float | None = None,
    timeout: float | None = None,
    dispose: Callable[[Any], object] | None = None,
    accept: Callable[[Any], bool] | None = None,
    rate: RateLimit | None = None,
    growing: bool = False,
    observers: Iterable[Observer] = (),
) -> Any:
    """Run all paths at once and return the first value. The other paths are cancelled and awaited.

    The first path that *succeeds* wins. A path that fails only drops out. With `stagger`, it is a hedged request::

        html = await race(mirror_a, mirror_b, stagger=0.25)

    Args:
      paths: steps and sync or async functions, called with no input. Or a single argument: a mapping from ids to them,
        or an iterable or async iterable of them, which is advanced only when there is room for another path. A sync
        iterable must not hold a nursery or cancel scope open across a ``yield``.
      concurrency: the most paths that run at the same time, or a `trio.CapacityLimiter` from which each path
        holds a token. None: no limit.
      stagger: seconds between the start of one path and the next. If a path fails, the next starts at once. 0
        starts paths one checkpoint apart. None: no delay.
      timeout: seconds for the whole race. None: no limit.
      dispose: a sync or async function, called with each value that a path returned and that is in neither the result
        nor the error. It runs under a shield.
      accept: a function that tells whether a value counts as success. If not, the path fails with a
        `NotAcceptedError`, which holds the value.
      rate: a `RateLimit`. Each path takes a permit before it takes a slot or a token and starts.
      growing: let paths add paths, with ``current_scope().add(path)``. The race ends when it is decided, or when all of
        them have ended.
      observers: called with every event of this run and of everything that runs inside it.

    Returns:
      The value of the path that succeeded first.

    Raises:
      ConfigError: a limit below 1, a path that can't be called, or an id given twice.
      ForkPartialError: every path failed, there were no paths, time ran out, or the iterable failed.
    """
    return _started(
        plan(
            "race",
            "race",
            _source(paths),
            concurrency=concurrency,
            stagger=stagger,
            timeout=timeout,
            dispose=dispose,
            accept=accept,
            rate=rate,
            growing=growing,
            once=True,
        ),
        observers,
    )


# fmt: off
@overload
async def gather(*, accept: Callable[[object], bool] | None = None,
                 **options: Unpack[Options[object]]) -> tuple[()]: ...
@overload
async def gather(a: Path[A], /, *, accept: Callable[[A], bool] | None = None,
                 **options: Unpack[Options[A]]) -> tuple[A]: ...
@overload
async def gather(a: Path[A], b: Path[B], /, *, accept: Callable[[A | B], bool] | None = None,
                 **options: Unpack[Options[A | B]]) -> tuple[A, B]: ...
@overload
async def gather(a: Path[A], b: Path[B], c: Path[C], /, *, accept: Callable[[A | B | C], bool] | None = None,
                 **options: Unpack[Options[A | B | C]]) -> tuple[A, B, C]: ...
@overload
async def gather(a: Path[A], b: Path[B], c: Path[C], d: Path[D], /, *,
                 accept: Callable[[A | B | C | D], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D]]) -> tuple[A, B, C, D]: ...
@overload
async def gather(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], /, *,
                 accept: Callable[[A | B | C | D | E], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E]]) -> tuple[A, B, C, D, E]: ...
@overload
async def gather(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], f: Path[F], /, *,
                 accept: Callable[[A | B | C | D | E | F], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F]]) -> tuple[A, B, C, D, E, F]: ...
@overload
async def gather(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], f: Path[F], g: Path[G], /, *,
                 accept: Callable[[A | B | C | D | E | F | G], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F | G]]) -> tuple[A, B, C, D, E, F, G]: ...
@overload
async def gather(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], f: Path[F], g: Path[G], h: Path[H], /, *,
                 accept: Callable[[A | B | C | D | E | F | G | H], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F | G | H]]) -> tuple[A, B, C, D, E, F, G, H]: ...
@overload
async def gather(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], f: Path[F], g: Path[G], h: Path[H],
                 j: Path[J], m: Path[M] = ..., n: Path[N] = ..., p: Path[P] = ..., /, *more: Path[P],
                 accept: Callable[[A | B | C | D | E | F | G | H | J], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F | G | H | J]]
) -> tuple[A | B | C | D | E | F | G | H | J | M | N | P, ...]: ...
@overload
async def gather(a: AnyPath[A], /, *, accept: Callable[[A], bool] | None = None,
                 **options: Unpack[Options[A]]) -> tuple[A]: ...
@overload
async def gather(a: AnyPath[A], b: AnyPath[B], /, *, accept: Callable[[A | B], bool] | None = None,
                 **options: Unpack[Options[A | B]]) -> tuple[A, B]: ...
@overload
async def gather(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], /, *, accept: Callable[[A | B | C], bool] | None = None,
                 **options: Unpack[Options[A | B | C]]) -> tuple[A, B, C]: ...
@overload
async def gather(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], /, *,
                 accept: Callable[[A | B | C | D], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D]]) -> tuple[A, B, C, D]: ...
@overload
async def gather(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], /, *,
                 accept: Callable[[A | B | C | D | E], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E]]) -> tuple[A, B, C, D, E]: ...
@overload
async def gather(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], f: AnyPath[F], /, *,
                 accept: Callable[[A | B | C | D | E | F], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F]]) -> tuple[A, B, C, D, E, F]: ...
@overload
async def gather(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], f: AnyPath[F],
                 g: AnyPath[G], /, *, accept: Callable[[A | B | C | D | E | F | G], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F | G]]) -> tuple[A, B, C, D, E, F, G]: ...
@overload
async def gather(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], f: AnyPath[F],
                 g: AnyPath[G], h: AnyPath[H], /, *,
                 accept: Callable[[A | B | C | D | E | F | G | H], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F | G | H]]) -> tuple[A, B, C, D, E, F, G, H]: ...
@overload
async def gather(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], f: AnyPath[F],
                 g: AnyPath[G], h: AnyPath[H], j: AnyPath[J], m: AnyPath[M] = ..., n: AnyPath[N] = ...,
                 p: AnyPath[P] = ..., /, *more: AnyPath[P],
                 accept: Callable[[A | B | C | D | E | F | G | H | J], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F | G | H | J]]
) -> tuple[A | B | C | D | E | F | G | H | J | M | N | P, ...]: ...
@overload
async def gather(paths: Mapping[K, Path[T]], /, *, accept: Callable[[T], bool] | None = None,
                 **options: Unpack[Options[T]]) -> dict[K, T]: ...
@overload
async def gather(paths: Iterable[Path[T]] | AsyncIterable[Path[T]], /, *, accept: Callable[[T], bool] | None = None,
                 **options: Unpack[Options[T]]) -> tuple[T, ...]: ...
@overload
async def gather(paths: Mapping[K, AnyPath[T]], /, *, accept: Callable[[T], bool] | None = None,
                 **options: Unpack[Options[T]]) -> dict[K, T]: ...
@overload
async def gather(paths: Iterable[AnyPath[T]] | AsyncIterable[AnyPath[T]], /, *,
                 accept: Callable[[T], bool] | None = None, **options: Unpack[Options[T]]) -> tuple[T, ...]: ...
# fmt: on


@public
def gather(
    *paths: Any,
    concurrency: int | trio.CapacityLimiter | None = None,
    stagger: float | None = None,
    timeout: float | None = None,
    dispose: Callable[[Any], object] | None = None,
    accept: Callable[[Any], bool] | None = None,
    rate: RateLimit | None = None,
    growing: bool = False,
    observers: Iterable[Observer] = (),
) -> Any:
    """Run all paths at once and return their values. The first failure cancels the others.

    All paths have ended before the error is raised::

        user, orders = await gather(load_user, load_orders)

    Args:
      paths: steps and sync or async functions, called with no input. Or a single argument: a mapping from ids to them,
        or an iterable or async iterable of them, which is advanced only when there is room for another path. A sync
        iterable must not hold a nursery or cancel scope open across a ``yield``.
      concurrency: the most paths that run at the same time, or a `trio.CapacityLimiter` from which each path
        holds a token. None: no limit.
      stagger: seconds between the start of one path and the next. If a path fails, the next starts at once. 0
        starts paths one checkpoint apart. None: no delay.
      timeout: seconds for all paths together. None: no limit.
      dispose: a sync or async function, called with each value that a path returned and that is in neither the result
        nor the error. It runs under a shield.
      accept: a function that tells whether a value counts as success. If not, the path fails with a
        `NotAcceptedError`, which holds the value.
      rate: a `RateLimit`. Each path takes a permit before it takes a slot or a token and starts.
      growing: let paths add paths, with ``current_scope().add(path)``. The fork ends when all of them have ended.
      observers: called with every event of this run and of everything that runs inside it.

    Returns:
      A tuple of the values, in path order.

    Raises:
      ConfigError: a limit below 1, a path that can't be called, or an id given twice.
      ForkPartialError: a path failed, time ran out, or the iterable failed. It keeps what succeeded.
    """
    return _started(
        plan(
            "gather",
            "all",
            _source(paths),
            concurrency=concurrency,
            stagger=stagger,
            timeout=timeout,
            dispose=dispose,
            accept=accept,
            rate=rate,
            growing=growing,
            once=True,
        ),
        observers,
    )


# fmt: off
@overload
async def settle(*, accept: Callable[[object], bool] | None = None,
                 **options: Unpack[Options[object]]) -> tuple[()]: ...
@overload
async def settle(a: Path[A], /, *, accept: Callable[[A], bool] | None = None,
                 **options: Unpack[Options[A]]) -> tuple[Settled[A]]: ...
@overload
async def settle(a: Path[A], b: Path[B], /, *, accept: Callable[[A | B], bool] | None = None,
                 **options: Unpack[Options[A | B]]) -> tuple[Settled[A], Settled[B]]: ...
@overload
async def settle(a: Path[A], b: Path[B], c: Path[C], /, *, accept: Callable[[A | B | C], bool] | None = None,
                 **options: Unpack[Options[A | B | C]]) -> tuple[Settled[A], Settled[B], Settled[C]]: ...
@overload
async def settle(a: Path[A], b: Path[B], c: Path[C], d: Path[D], /, *,
                 accept: Callable[[A | B | C | D], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D]]: ...
@overload
async def settle(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], /, *,
                 accept: Callable[[A | B | C | D | E], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E]]: ...
@overload
async def settle(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], f: Path[F], /, *,
                 accept: Callable[[A | B | C | D | E | F], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F]]: ...
@overload
async def settle(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], f: Path[F], g: Path[G], /, *,
                 accept: Callable[[A | B | C | D | E | F | G], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F | G]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F], Settled[G]]: ...
@overload
async def settle(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], f: Path[F], g: Path[G], h: Path[H], /, *,
                 accept: Callable[[A | B | C | D | E | F | G | H], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F | G | H]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F], Settled[G], Settled[H]]: ...
@overload
async def settle(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], f: Path[F], g: Path[G], h: Path[H],
                 j: Path[J], m: Path[M] = ..., n: Path[N] = ..., p: Path[P] = ..., /, *more: Path[P],
                 accept: Callable[[A | B | C | D | E | F | G | H | J], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F | G | H | J]]
) -> tuple[Settled[A | B | C | D | E | F | G | H | J | M | N | P], ...]: ...
@overload
async def settle(a: AnyPath[A], /, *, accept: Callable[[A], bool] | None = None,
                 **options: Unpack[Options[A]]) -> tuple[Settled[A]]: ...
@overload
async def settle(a: AnyPath[A], b: AnyPath[B], /, *, accept: Callable[[A | B], bool] | None = None,
                 **options: Unpack[Options[A | B]]) -> tuple[Settled[A], Settled[B]]: ...
@overload
async def settle(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], /, *, accept: Callable[[A | B | C], bool] | None = None,
                 **options: Unpack[Options[A | B | C]]) -> tuple[Settled[A], Settled[B], Settled[C]]: ...
@overload
async def settle(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], /, *,
                 accept: Callable[[A | B | C | D], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D]]: ...
@overload
async def settle(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], /, *,
                 accept: Callable[[A | B | C | D | E], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E]]: ...
@overload
async def settle(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], f: AnyPath[F], /, *,
                 accept: Callable[[A | B | C | D | E | F], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F]]: ...
@overload
async def settle(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], f: AnyPath[F],
                 g: AnyPath[G], /, *, accept: Callable[[A | B | C | D | E | F | G], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F | G]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F], Settled[G]]: ...
@overload
async def settle(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], f: AnyPath[F],
                 g: AnyPath[G], h: AnyPath[H], /, *,
                 accept: Callable[[A | B | C | D | E | F | G | H], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F | G | H]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F], Settled[G], Settled[H]]: ...
@overload
async def settle(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], f: AnyPath[F],
                 g: AnyPath[G], h: AnyPath[H], j: AnyPath[J], m: AnyPath[M] = ..., n: AnyPath[N] = ...,
                 p: AnyPath[P] = ..., /, *more: AnyPath[P],
                 accept: Callable[[A | B | C | D | E | F | G | H | J], bool] | None = None,
                 **options: Unpack[Options[A | B | C | D | E | F | G | H | J]]
) -> tuple[Settled[A | B | C | D | E | F | G | H | J | M | N | P], ...]: ...
@overload
async def settle(paths: Mapping[K, Path[T]], /, *, accept: Callable[[T], bool] | None = None,
                 **options: Unpack[Options[T]]) -> dict[K, Settled[T]]: ...
@overload
async def settle(paths: Iterable[Path[T]] | AsyncIterable[Path[T]], /, *, accept: Callable[[T], bool] | None = None,
                 **options: Unpack[Options[T]]) -> tuple[Settled[T], ...]: ...
@overload
async def settle(paths: Mapping[K, AnyPath[T]], /, *, accept: Callable[[T], bool] | None = None,
                 **options: Unpack[Options[T]]) -> dict[K, Settled[T]]: ...
@overload
async def settle(paths: Iterable[AnyPath[T]] | AsyncIterable[AnyPath[T]], /, *,
                 accept: Callable[[T], bool] | None = None,
                 **options: Unpack[Options[T]]) -> tuple[Settled[T], ...]: ...
# fmt: on


@public
def settle(
    *paths: Any,
    concurrency: int | trio.CapacityLimiter | None = None,
    stagger: float | None = None,
    timeout: float | None = None,
    dispose: Callable[[Any], object] | None = None,
    accept: Callable[[Any], bool] | None = None,
    rate: RateLimit | None = None,
    growing: bool = False,
    observers: Iterable[Observer] = (),
) -> Any:
    """Run all paths at once and return how each ended, in a value or an error. No failure stops the others.

    ::

        outcomes = await settle(*probes, concurrency=20)

    Args:
      paths: steps and sync or async functions, called with no input. Or a single argument: a mapping from ids to them,
        or an iterable or async iterable of them, which is advanced only when there is room for another path. A sync
        iterable must not hold a nursery or cancel scope open across a ``yield``.
      concurrency: the most paths that run at the same time, or a `trio.CapacityLimiter` from which each path
        holds a token. None: no limit.
      stagger: seconds between the start of one path and the next. If a path fails, the next starts at once. 0
        starts paths one checkpoint apart. None: no delay.
      timeout: seconds for all paths together. A path that is not done by then is `Rejected` with a `StepTimeoutError`;
        the others keep their values. None: no limit.
      dispose: a sync or async function, called with each value that a path returned and that is in neither the result
        nor the error. It runs under a shield.
      accept: a function that tells whether a value counts as success. If not, the path fails with a
        `NotAcceptedError`, which holds the value.
      rate: a `RateLimit`. Each path takes a permit before it takes a slot or a token and starts.
      growing: let paths add paths, with ``current_scope().add(path)``. The fork ends when all of them have ended.
      observers: called with every event of this run and of everything that runs inside it.

    Returns:
      A tuple of `Fulfilled` and `Rejected`, in path order; ``status``, ``isinstance`` and ``match`` distinguish them.

    Raises:
      ConfigError: a limit below 1, a path that can't be called, or an id given twice.
      ForkPartialError: the iterable failed.
    """
    return _started(
        plan(
            "settle",
            "settle",
            _source(paths),
            concurrency=concurrency,
            stagger=stagger,
            timeout=timeout,
            dispose=dispose,
            accept=accept,
            rate=rate,
            growing=growing,
            once=True,
        ),
        observers,
    )


# fmt: off
@overload
def stream(a: Path[A], /, *, mode: Literal["settle"] = "settle", accept: Callable[[A], bool] | None = None,
           **options: Unpack[StreamOptions[A]]) -> Stream[Settled[A]]: ...
@overload
def stream(a: Path[A], /, *, mode: Literal["all"], accept: Callable[[A], bool] | None = None,
           **options: Unpack[StreamOptions[A]]) -> Stream[A]: ...
@overload
def stream(a: Path[A], b: Path[B], /, *, mode: Literal["settle"] = "settle",
           accept: Callable[[A | B], bool] | None = None,
           **options: Unpack[StreamOptions[A | B]]) -> Stream[Settled[A | B]]: ...
@overload
def stream(a: Path[A], b: Path[B], /, *, mode: Literal["all"], accept: Callable[[A | B], bool] | None = None,
           **options: Unpack[StreamOptions[A | B]]) -> Stream[A | B]: ...
@overload
def stream(a: Path[A], b: Path[B], c: Path[C], /, *, mode: Literal["settle"] = "settle",
           accept: Callable[[A | B | C], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C]]) -> Stream[Settled[A | B | C]]: ...
@overload
def stream(a: Path[A], b: Path[B], c: Path[C], /, *, mode: Literal["all"],
           accept: Callable[[A | B | C], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C]]) -> Stream[A | B | C]: ...
@overload
def stream(a: Path[A], b: Path[B], c: Path[C], d: Path[D], /, *, mode: Literal["settle"] = "settle",
           accept: Callable[[A | B | C | D], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D]]) -> Stream[Settled[A | B | C | D]]: ...
@overload
def stream(a: Path[A], b: Path[B], c: Path[C], d: Path[D], /, *, mode: Literal["all"],
           accept: Callable[[A | B | C | D], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D]]) -> Stream[A | B | C | D]: ...
@overload
def stream(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], /, *, mode: Literal["settle"] = "settle",
           accept: Callable[[A | B | C | D | E], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E]]) -> Stream[Settled[A | B | C | D | E]]: ...
@overload
def stream(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], /, *, mode: Literal["all"],
           accept: Callable[[A | B | C | D | E], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E]]) -> Stream[A | B | C | D | E]: ...
@overload
def stream(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], f: Path[F], g: Path[G] = ..., h: Path[H] = ...,
           j: Path[J] = ..., m: Path[M] = ..., n: Path[N] = ..., p: Path[P] = ..., /, *more: Path[P],
           mode: Literal["settle"] = "settle", accept: Callable[[A | B | C | D | E | F], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E | F]]
) -> Stream[Settled[A | B | C | D | E | F | G | H | J | M | N | P]]: ...
@overload
def stream(a: Path[A], b: Path[B], c: Path[C], d: Path[D], e: Path[E], f: Path[F], g: Path[G] = ..., h: Path[H] = ...,
           j: Path[J] = ..., m: Path[M] = ..., n: Path[N] = ..., p: Path[P] = ..., /, *more: Path[P],
           mode: Literal["all"], accept: Callable[[A | B | C | D | E | F], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E | F]]
) -> Stream[A | B | C | D | E | F | G | H | J | M | N | P]: ...
@overload
def stream(paths: Mapping[str, Path[T]] | Iterable[Path[T]] | AsyncIterable[Path[T]], /, *,
           mode: Literal["settle"] = "settle", accept: Callable[[T], bool] | None = None,
           **options: Unpack[StreamOptions[T]]) -> Stream[Settled[T]]: ...
@overload
def stream(paths: Mapping[str, Path[T]] | Iterable[Path[T]] | AsyncIterable[Path[T]], /, *, mode: Literal["all"],
           accept: Callable[[T], bool] | None = None, **options: Unpack[StreamOptions[T]]) -> Stream[T]: ...
@overload
def stream(a: AnyPath[A], /, *, mode: Literal["settle"] = "settle", accept: Callable[[A], bool] | None = None,
           **options: Unpack[StreamOptions[A]]) -> Stream[Settled[A]]: ...
@overload
def stream(a: AnyPath[A], /, *, mode: Literal["all"], accept: Callable[[A], bool] | None = None,
           **options: Unpack[StreamOptions[A]]) -> Stream[A]: ...
@overload
def stream(a: AnyPath[A], b: AnyPath[B], /, *, mode: Literal["settle"] = "settle",
           accept: Callable[[A | B], bool] | None = None,
           **options: Unpack[StreamOptions[A | B]]) -> Stream[Settled[A | B]]: ...
@overload
def stream(a: AnyPath[A], b: AnyPath[B], /, *, mode: Literal["all"], accept: Callable[[A | B], bool] | None = None,
           **options: Unpack[StreamOptions[A | B]]) -> Stream[A | B]: ...
@overload
def stream(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], /, *, mode: Literal["settle"] = "settle",
           accept: Callable[[A | B | C], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C]]) -> Stream[Settled[A | B | C]]: ...
@overload
def stream(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], /, *, mode: Literal["all"],
           accept: Callable[[A | B | C], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C]]) -> Stream[A | B | C]: ...
@overload
def stream(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], /, *, mode: Literal["settle"] = "settle",
           accept: Callable[[A | B | C | D], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D]]) -> Stream[Settled[A | B | C | D]]: ...
@overload
def stream(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], /, *, mode: Literal["all"],
           accept: Callable[[A | B | C | D], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D]]) -> Stream[A | B | C | D]: ...
@overload
def stream(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], /, *,
           mode: Literal["settle"] = "settle", accept: Callable[[A | B | C | D | E], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E]]) -> Stream[Settled[A | B | C | D | E]]: ...
@overload
def stream(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], /, *, mode: Literal["all"],
           accept: Callable[[A | B | C | D | E], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E]]) -> Stream[A | B | C | D | E]: ...
@overload
def stream(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], f: AnyPath[F],
           g: AnyPath[G] = ..., h: AnyPath[H] = ..., j: AnyPath[J] = ..., m: AnyPath[M] = ..., n: AnyPath[N] = ...,
           p: AnyPath[P] = ..., /, *more: AnyPath[P], mode: Literal["settle"] = "settle",
           accept: Callable[[A | B | C | D | E | F], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E | F]]
) -> Stream[Settled[A | B | C | D | E | F | G | H | J | M | N | P]]: ...
@overload
def stream(a: AnyPath[A], b: AnyPath[B], c: AnyPath[C], d: AnyPath[D], e: AnyPath[E], f: AnyPath[F],
           g: AnyPath[G] = ..., h: AnyPath[H] = ..., j: AnyPath[J] = ..., m: AnyPath[M] = ..., n: AnyPath[N] = ...,
           p: AnyPath[P] = ..., /, *more: AnyPath[P], mode: Literal["all"],
           accept: Callable[[A | B | C | D | E | F], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E | F]]
) -> Stream[A | B | C | D | E | F | G | H | J | M | N | P]: ...
@overload
def stream(paths: Mapping[str, AnyPath[T]] | Iterable[AnyPath[T]] | AsyncIterable[AnyPath[T]], /, *,
           mode: Literal["settle"] = "settle", accept: Callable[[T], bool] | None = None,
           **options: Unpack[StreamOptions[T]]) -> Stream[Settled[T]]: ...
@overload
def stream(paths: Mapping[str, AnyPath[T]] | Iterable[AnyPath[T]] | AsyncIterable[AnyPath[T]], /, *,
           mode: Literal["all"], accept: Callable[[T], bool] | None = None,
           **options: Unpack[StreamOptions[T]]) -> Stream[T]: ...
# fmt: on


@public
def stream(
    *paths: Any,
    mode: Literal["settle", "all"] = "settle",
    ordered: bool = False,
    buffer: int | None = None,
    concurrency: int | trio.CapacityLimiter | None = None,
    stagger: float | None = None,
    timeout: float | None = None,
    dispose: Callable[[Any], object] | None = None,
    accept: Callable[[Any], bool] | None = None,
    rate: RateLimit | None = None,
    growing: bool = False,
    observers: Iterable[Observer] = (),
) -> Stream[Any]:
    """Run all paths at once, and read their results one by one, as the paths end.

    ::

        async with stream(*probes, concurrency=20) as results:
            async for result in results:
                if not result.error:
                    break

    Paths start when the block is entered. However the block is left, the paths that are still running are cancelled and
    awaited. Values that were not taken go to `dispose`. Failures that were not taken are reported to observers and
    logged. An exception in the block leaves it unchanged.

    No path starts while `buffer` results are waiting. So a slow reader holds the paths back, and a million lazy paths
    need the memory of a few.

    Args:
      paths: steps and sync or async functions, called with no input. Or a single argument: a mapping from ids to them,
        or an iterable or async iterable of them, which is advanced only when there is room for another path. A task
        of the stream advances and closes an async iterable. A sync iterable must not hold a nursery or cancel scope
        open across a ``yield``.
      mode: ``"settle"`` gives a `SettleResult` for each path. ``"all"`` gives values, and the first failure ends the
        stream: the next step of the loop raises a `ForkPartialError`, which holds the values that were still waiting.
      ordered: give results in path order, each as soon as all before it have come. Results that are held back count as
        waiting.
      buffer: how many results may wait to be taken; while they do, no other path starts. None: as many as paths may run
        at once.
      concurrency: the most paths that run at the same time, or a `trio.CapacityLimiter` from which each path
        holds a token while it runs. None: no limit.
      stagger: seconds between the start of one path and the next. If a path fails, the next starts at once. 0
        starts paths one checkpoint apart. None: no delay.
      timeout: seconds for the whole stream. Then ``"settle"`` gives a `Rejected` with a `StepTimeoutError` for each
        path that is running, starts no other, and ends; ``"all"`` raises. None: no limit.
      dispose: a sync or async function, called with each value that was not taken and is not in an error. It runs
        under a shield.
      accept: a function that tells whether a value counts as success. If not, the path fails with a
        `NotAcceptedError`, which holds the value.
      rate: a `RateLimit`. Each path takes a permit before it takes a slot or a token and starts.
      growing: let paths add paths, with ``current_scope().add(path)``. The fork ends when all of them have ended.
      observers: called with every event of this run and of everything that runs inside it.

    Returns:
      A `Stream`: enter it with ``async with``, and read it with ``async for``.

    Raises:
      ConfigError: another mode, a limit or buffer below 1, a path that can't be called, or an id given twice.
      ForkPartialError: (in the loop) a path failed with ``mode="all"``, or the iterable failed.
    """
    watching = observers_of(observers)
    made = plan(
        "stream",
        mode,
        _source(paths),
        concurrency=concurrency,
        stagger=stagger,
        timeout=timeout,
        dispose=dispose,
        accept=accept,
        rate=rate,
        growing=growing,
        once=True,
    )
    return stream_of(made, lambda plan: _started(plan, watching), ordered=ordered, buffer=buffer)


def _started(plan: Plan, observers: Iterable[Observer]) -> Coroutine[Any, Any, Any]:
    """Return a coroutine that runs `plan` as a step."""
    return named(enter(plan.id, run, (plan,), {}, observers, None), plan.id)


def _source(paths: tuple[Any, ...]) -> Any:
    """Return the source of paths: the arguments, or the one iterable among them."""
    if len(paths) == 1 and not callable(paths[0]) and isinstance(paths[0], (Iterable, AsyncIterable)):
        return paths[0]  # pyright: ignore[reportUnknownVariableType]
    return paths
