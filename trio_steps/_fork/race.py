"""Forks on the spot: `race`, `gather`, `settle`, `stream`.

The overloads tell type checkers what comes back: path by path for up to eight paths, and the union of all for up to
sixteen, or where one value comes back. Async paths come first, then mixed and sync paths, because a sync path may
return a coroutine as its value. scripts/overloads.py writes them, and explains each.
"""

# pyright: reportInvalidTypeVarUse=false
# A path that is left out returns nothing: its type variable defaults to Never.

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Any, overload

from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._core.events.records import observers_of
from trio_steps._core.public import public
from trio_steps._core.step import enter, named

from .engine.run import run
from .plan import plan
from .stream import stream_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Literal

    import trio
    from typing_extensions import Unpack

    from trio_steps._core.events.records import Observer
    from trio_steps._core.policy.rate import RateLimit

    from .arms import (
        A,
        AnyReady,
        B,
        C,
        D,
        E,
        F,
        G,
        H,
        J,
        K,
        M,
        N,
        P,
        PlainSpotOptions,
        PlainStreamOptions,
        Ready,
        S,
        Settled,
        SpotOptions,
        StreamOptions,
        T,
        TupleOfAnyReady,
        TupleOfAnyReadyArms,
        TupleOfReady,
        TupleOfReadyArms,
        U,
        V,
        W,
    )
    from .plan import Plan
    from .stream import Stream


# fmt: off
@overload
async def race(a: Ready[A], /, *, accept: Callable[[A], bool] | None = None,
               **options: Unpack[SpotOptions[A]]) -> A: ...
@overload
async def race(a: Ready[A], b: Ready[B], /, *, accept: Callable[[A | B], bool] | None = None,
               **options: Unpack[SpotOptions[A | B]]) -> A | B: ...
@overload
async def race(a: Ready[A], b: Ready[B], c: Ready[C], /, *, accept: Callable[[A | B | C], bool] | None = None,
               **options: Unpack[SpotOptions[A | B | C]]) -> A | B | C: ...
@overload
async def race(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], /, *,
               accept: Callable[[A | B | C | D], bool] | None = None,
               **options: Unpack[SpotOptions[A | B | C | D]]) -> A | B | C | D: ...
@overload
async def race(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], /, *,
               accept: Callable[[A | B | C | D | E], bool] | None = None,
               **options: Unpack[SpotOptions[A | B | C | D | E]]) -> A | B | C | D | E: ...
@overload
async def race(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], f: Ready[F], g: Ready[G] = ...,
               h: Ready[H] = ..., j: Ready[J] = ..., m: Ready[M] = ..., n: Ready[N] = ..., p: Ready[P] = ...,
               s: Ready[S] = ..., u: Ready[U] = ..., v: Ready[V] = ..., w: Ready[W] = ..., /, *more: Ready[W],
               accept: Callable[[A | B | C | D | E | F], bool] | None = None,
               **options: Unpack[SpotOptions[A | B | C | D | E | F]]
) -> A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W: ...
@overload
async def race(paths: TupleOfReady[A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /,
               **options: Unpack[PlainSpotOptions]
) -> A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W: ...
@overload
async def race(paths: TupleOfReadyArms[A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /, *,
               accept: Callable[[T], bool] | None = None,
               **options: Unpack[SpotOptions[T]]) -> A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W: ...
@overload
async def race(paths: Mapping[str, Ready[T]] | Iterable[Ready[T]] | AsyncIterable[Ready[T]], /, *,
               accept: Callable[[T], bool] | None = None, **options: Unpack[SpotOptions[T]]) -> T: ...
@overload
async def race(a: AnyReady[A], /, *, accept: Callable[[A], bool] | None = None,
               **options: Unpack[SpotOptions[A]]) -> A: ...
@overload
async def race(a: AnyReady[A], b: AnyReady[B], /, *, accept: Callable[[A | B], bool] | None = None,
               **options: Unpack[SpotOptions[A | B]]) -> A | B: ...
@overload
async def race(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], /, *, accept: Callable[[A | B | C], bool] | None = None,
               **options: Unpack[SpotOptions[A | B | C]]) -> A | B | C: ...
@overload
async def race(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], /, *,
               accept: Callable[[A | B | C | D], bool] | None = None,
               **options: Unpack[SpotOptions[A | B | C | D]]) -> A | B | C | D: ...
@overload
async def race(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], /, *,
               accept: Callable[[A | B | C | D | E], bool] | None = None,
               **options: Unpack[SpotOptions[A | B | C | D | E]]) -> A | B | C | D | E: ...
@overload
async def race(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], f: AnyReady[F],
               g: AnyReady[G] = ..., h: AnyReady[H] = ..., j: AnyReady[J] = ..., m: AnyReady[M] = ...,
               n: AnyReady[N] = ..., p: AnyReady[P] = ..., s: AnyReady[S] = ..., u: AnyReady[U] = ...,
               v: AnyReady[V] = ..., w: AnyReady[W] = ..., /, *more: AnyReady[W],
               accept: Callable[[A | B | C | D | E | F], bool] | None = None,
               **options: Unpack[SpotOptions[A | B | C | D | E | F]]
) -> A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W: ...
@overload
async def race(paths: TupleOfAnyReady[A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /,
               **options: Unpack[PlainSpotOptions]
) -> A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W: ...
@overload
async def race(paths: TupleOfAnyReadyArms[A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /, *,
               accept: Callable[[T], bool] | None = None,
               **options: Unpack[SpotOptions[T]]) -> A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W: ...
@overload
async def race(paths: Mapping[str, AnyReady[T]] | Iterable[AnyReady[T]] | AsyncIterable[AnyReady[T]], /, *,
               accept: Callable[[T], bool] | None = None, **options: Unpack[SpotOptions[T]]) -> T: ...
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
    made = _plan("race", "race", paths, concurrency, stagger, timeout, dispose, accept, rate, growing)
    return _started(made, observers)


# fmt: off
@overload
async def gather(*, accept: Callable[[object], bool] | None = None,
                 **options: Unpack[SpotOptions[object]]) -> tuple[()]: ...
@overload
async def gather(a: Ready[A], /, *, accept: Callable[[A], bool] | None = None,
                 **options: Unpack[SpotOptions[A]]) -> tuple[A]: ...
@overload
async def gather(a: Ready[A], b: Ready[B], /, *, accept: Callable[[A | B], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B]]) -> tuple[A, B]: ...
@overload
async def gather(a: Ready[A], b: Ready[B], c: Ready[C], /, *, accept: Callable[[A | B | C], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C]]) -> tuple[A, B, C]: ...
@overload
async def gather(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], /, *,
                 accept: Callable[[A | B | C | D], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D]]) -> tuple[A, B, C, D]: ...
@overload
async def gather(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], /, *,
                 accept: Callable[[A | B | C | D | E], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E]]) -> tuple[A, B, C, D, E]: ...
@overload
async def gather(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], f: Ready[F], /, *,
                 accept: Callable[[A | B | C | D | E | F], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F]]) -> tuple[A, B, C, D, E, F]: ...
@overload
async def gather(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], f: Ready[F], g: Ready[G], /, *,
                 accept: Callable[[A | B | C | D | E | F | G], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F | G]]) -> tuple[A, B, C, D, E, F, G]: ...
@overload
async def gather(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], f: Ready[F], g: Ready[G], h: Ready[H],
                 /, *, accept: Callable[[A | B | C | D | E | F | G | H], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F | G | H]]) -> tuple[A, B, C, D, E, F, G, H]: ...
@overload
async def gather(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], f: Ready[F], g: Ready[G], h: Ready[H],
                 j: Ready[J], m: Ready[M] = ..., n: Ready[N] = ..., p: Ready[P] = ..., s: Ready[S] = ...,
                 u: Ready[U] = ..., v: Ready[V] = ..., w: Ready[W] = ..., /, *more: Ready[W],
                 accept: Callable[[A | B | C | D | E | F | G | H | J], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F | G | H | J]]
) -> tuple[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W, ...]: ...
@overload
async def gather(a: AnyReady[A], /, *, accept: Callable[[A], bool] | None = None,
                 **options: Unpack[SpotOptions[A]]) -> tuple[A]: ...
@overload
async def gather(a: AnyReady[A], b: AnyReady[B], /, *, accept: Callable[[A | B], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B]]) -> tuple[A, B]: ...
@overload
async def gather(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], /, *,
                 accept: Callable[[A | B | C], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C]]) -> tuple[A, B, C]: ...
@overload
async def gather(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], /, *,
                 accept: Callable[[A | B | C | D], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D]]) -> tuple[A, B, C, D]: ...
@overload
async def gather(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], /, *,
                 accept: Callable[[A | B | C | D | E], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E]]) -> tuple[A, B, C, D, E]: ...
@overload
async def gather(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], f: AnyReady[F], /, *,
                 accept: Callable[[A | B | C | D | E | F], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F]]) -> tuple[A, B, C, D, E, F]: ...
@overload
async def gather(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], f: AnyReady[F],
                 g: AnyReady[G], /, *, accept: Callable[[A | B | C | D | E | F | G], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F | G]]) -> tuple[A, B, C, D, E, F, G]: ...
@overload
async def gather(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], f: AnyReady[F],
                 g: AnyReady[G], h: AnyReady[H], /, *,
                 accept: Callable[[A | B | C | D | E | F | G | H], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F | G | H]]) -> tuple[A, B, C, D, E, F, G, H]: ...
@overload
async def gather(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], f: AnyReady[F],
                 g: AnyReady[G], h: AnyReady[H], j: AnyReady[J], m: AnyReady[M] = ..., n: AnyReady[N] = ...,
                 p: AnyReady[P] = ..., s: AnyReady[S] = ..., u: AnyReady[U] = ..., v: AnyReady[V] = ...,
                 w: AnyReady[W] = ..., /, *more: AnyReady[W],
                 accept: Callable[[A | B | C | D | E | F | G | H | J], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F | G | H | J]]
) -> tuple[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W, ...]: ...
@overload
async def gather(paths: Mapping[K, Ready[T]], /, *, accept: Callable[[T], bool] | None = None,
                 **options: Unpack[SpotOptions[T]]) -> dict[K, T]: ...
@overload
async def gather(paths: TupleOfReady[A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /,
                 **options: Unpack[PlainSpotOptions]
) -> tuple[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W, ...]: ...
@overload
async def gather(paths: TupleOfReadyArms[A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /, *,
                 accept: Callable[[T], bool] | None = None,
                 **options: Unpack[SpotOptions[T]]
) -> tuple[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W, ...]: ...
@overload
async def gather(paths: Iterable[Ready[T]] | AsyncIterable[Ready[T]], /, *, accept: Callable[[T], bool] | None = None,
                 **options: Unpack[SpotOptions[T]]) -> tuple[T, ...]: ...
@overload
async def gather(paths: Mapping[K, AnyReady[T]], /, *, accept: Callable[[T], bool] | None = None,
                 **options: Unpack[SpotOptions[T]]) -> dict[K, T]: ...
@overload
async def gather(paths: TupleOfAnyReady[A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /,
                 **options: Unpack[PlainSpotOptions]
) -> tuple[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W, ...]: ...
@overload
async def gather(paths: TupleOfAnyReadyArms[A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /, *,
                 accept: Callable[[T], bool] | None = None,
                 **options: Unpack[SpotOptions[T]]
) -> tuple[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W, ...]: ...
@overload
async def gather(paths: Iterable[AnyReady[T]] | AsyncIterable[AnyReady[T]], /, *,
                 accept: Callable[[T], bool] | None = None, **options: Unpack[SpotOptions[T]]) -> tuple[T, ...]: ...
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
    made = _plan("gather", "all", paths, concurrency, stagger, timeout, dispose, accept, rate, growing)
    return _started(made, observers)


# fmt: off
@overload
async def settle(*, accept: Callable[[object], bool] | None = None,
                 **options: Unpack[SpotOptions[object]]) -> tuple[()]: ...
@overload
async def settle(a: Ready[A], /, *, accept: Callable[[A], bool] | None = None,
                 **options: Unpack[SpotOptions[A]]) -> tuple[Settled[A]]: ...
@overload
async def settle(a: Ready[A], b: Ready[B], /, *, accept: Callable[[A | B], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B]]) -> tuple[Settled[A], Settled[B]]: ...
@overload
async def settle(a: Ready[A], b: Ready[B], c: Ready[C], /, *, accept: Callable[[A | B | C], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C]]) -> tuple[Settled[A], Settled[B], Settled[C]]: ...
@overload
async def settle(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], /, *,
                 accept: Callable[[A | B | C | D], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D]]: ...
@overload
async def settle(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], /, *,
                 accept: Callable[[A | B | C | D | E], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E]]: ...
@overload
async def settle(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], f: Ready[F], /, *,
                 accept: Callable[[A | B | C | D | E | F], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F]]: ...
@overload
async def settle(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], f: Ready[F], g: Ready[G], /, *,
                 accept: Callable[[A | B | C | D | E | F | G], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F | G]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F], Settled[G]]: ...
@overload
async def settle(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], f: Ready[F], g: Ready[G], h: Ready[H],
                 /, *, accept: Callable[[A | B | C | D | E | F | G | H], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F | G | H]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F], Settled[G], Settled[H]]: ...
@overload
async def settle(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], f: Ready[F], g: Ready[G], h: Ready[H],
                 j: Ready[J], m: Ready[M] = ..., n: Ready[N] = ..., p: Ready[P] = ..., s: Ready[S] = ...,
                 u: Ready[U] = ..., v: Ready[V] = ..., w: Ready[W] = ..., /, *more: Ready[W],
                 accept: Callable[[A | B | C | D | E | F | G | H | J], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F | G | H | J]]
) -> tuple[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W], ...]: ...
@overload
async def settle(a: AnyReady[A], /, *, accept: Callable[[A], bool] | None = None,
                 **options: Unpack[SpotOptions[A]]) -> tuple[Settled[A]]: ...
@overload
async def settle(a: AnyReady[A], b: AnyReady[B], /, *, accept: Callable[[A | B], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B]]) -> tuple[Settled[A], Settled[B]]: ...
@overload
async def settle(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], /, *,
                 accept: Callable[[A | B | C], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C]]) -> tuple[Settled[A], Settled[B], Settled[C]]: ...
@overload
async def settle(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], /, *,
                 accept: Callable[[A | B | C | D], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D]]: ...
@overload
async def settle(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], /, *,
                 accept: Callable[[A | B | C | D | E], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E]]: ...
@overload
async def settle(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], f: AnyReady[F], /, *,
                 accept: Callable[[A | B | C | D | E | F], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F]]: ...
@overload
async def settle(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], f: AnyReady[F],
                 g: AnyReady[G], /, *, accept: Callable[[A | B | C | D | E | F | G], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F | G]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F], Settled[G]]: ...
@overload
async def settle(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], f: AnyReady[F],
                 g: AnyReady[G], h: AnyReady[H], /, *,
                 accept: Callable[[A | B | C | D | E | F | G | H], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F | G | H]]
) -> tuple[Settled[A], Settled[B], Settled[C], Settled[D], Settled[E], Settled[F], Settled[G], Settled[H]]: ...
@overload
async def settle(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], f: AnyReady[F],
                 g: AnyReady[G], h: AnyReady[H], j: AnyReady[J], m: AnyReady[M] = ..., n: AnyReady[N] = ...,
                 p: AnyReady[P] = ..., s: AnyReady[S] = ..., u: AnyReady[U] = ..., v: AnyReady[V] = ...,
                 w: AnyReady[W] = ..., /, *more: AnyReady[W],
                 accept: Callable[[A | B | C | D | E | F | G | H | J], bool] | None = None,
                 **options: Unpack[SpotOptions[A | B | C | D | E | F | G | H | J]]
) -> tuple[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W], ...]: ...
@overload
async def settle(paths: Mapping[K, Ready[T]], /, *, accept: Callable[[T], bool] | None = None,
                 **options: Unpack[SpotOptions[T]]) -> dict[K, Settled[T]]: ...
@overload
async def settle(paths: TupleOfReady[A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /,
                 **options: Unpack[PlainSpotOptions]
) -> tuple[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W], ...]: ...
@overload
async def settle(paths: TupleOfReadyArms[A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /, *,
                 accept: Callable[[T], bool] | None = None,
                 **options: Unpack[SpotOptions[T]]
) -> tuple[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W], ...]: ...
@overload
async def settle(paths: Iterable[Ready[T]] | AsyncIterable[Ready[T]], /, *, accept: Callable[[T], bool] | None = None,
                 **options: Unpack[SpotOptions[T]]) -> tuple[Settled[T], ...]: ...
@overload
async def settle(paths: Mapping[K, AnyReady[T]], /, *, accept: Callable[[T], bool] | None = None,
                 **options: Unpack[SpotOptions[T]]) -> dict[K, Settled[T]]: ...
@overload
async def settle(paths: TupleOfAnyReady[A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /,
                 **options: Unpack[PlainSpotOptions]
) -> tuple[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W], ...]: ...
@overload
async def settle(paths: TupleOfAnyReadyArms[A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /, *,
                 accept: Callable[[T], bool] | None = None,
                 **options: Unpack[SpotOptions[T]]
) -> tuple[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W], ...]: ...
@overload
async def settle(paths: Iterable[AnyReady[T]] | AsyncIterable[AnyReady[T]], /, *,
                 accept: Callable[[T], bool] | None = None,
                 **options: Unpack[SpotOptions[T]]) -> tuple[Settled[T], ...]: ...
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
    made = _plan("settle", "settle", paths, concurrency, stagger, timeout, dispose, accept, rate, growing)
    return _started(made, observers)


# fmt: off
@overload
def stream(a: Ready[A], /, *, mode: Literal["settle"] = "settle", accept: Callable[[A], bool] | None = None,
           **options: Unpack[StreamOptions[A]]) -> Stream[Settled[A]]: ...
@overload
def stream(a: Ready[A], /, *, mode: Literal["all"], accept: Callable[[A], bool] | None = None,
           **options: Unpack[StreamOptions[A]]) -> Stream[A]: ...
@overload
def stream(a: Ready[A], b: Ready[B], /, *, mode: Literal["settle"] = "settle",
           accept: Callable[[A | B], bool] | None = None,
           **options: Unpack[StreamOptions[A | B]]) -> Stream[Settled[A | B]]: ...
@overload
def stream(a: Ready[A], b: Ready[B], /, *, mode: Literal["all"], accept: Callable[[A | B], bool] | None = None,
           **options: Unpack[StreamOptions[A | B]]) -> Stream[A | B]: ...
@overload
def stream(a: Ready[A], b: Ready[B], c: Ready[C], /, *, mode: Literal["settle"] = "settle",
           accept: Callable[[A | B | C], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C]]) -> Stream[Settled[A | B | C]]: ...
@overload
def stream(a: Ready[A], b: Ready[B], c: Ready[C], /, *, mode: Literal["all"],
           accept: Callable[[A | B | C], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C]]) -> Stream[A | B | C]: ...
@overload
def stream(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], /, *, mode: Literal["settle"] = "settle",
           accept: Callable[[A | B | C | D], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D]]) -> Stream[Settled[A | B | C | D]]: ...
@overload
def stream(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], /, *, mode: Literal["all"],
           accept: Callable[[A | B | C | D], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D]]) -> Stream[A | B | C | D]: ...
@overload
def stream(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], /, *, mode: Literal["settle"] = "settle",
           accept: Callable[[A | B | C | D | E], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E]]) -> Stream[Settled[A | B | C | D | E]]: ...
@overload
def stream(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], /, *, mode: Literal["all"],
           accept: Callable[[A | B | C | D | E], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E]]) -> Stream[A | B | C | D | E]: ...
@overload
def stream(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], f: Ready[F], g: Ready[G] = ...,
           h: Ready[H] = ..., j: Ready[J] = ..., m: Ready[M] = ..., n: Ready[N] = ..., p: Ready[P] = ...,
           s: Ready[S] = ..., u: Ready[U] = ..., v: Ready[V] = ..., w: Ready[W] = ..., /, *more: Ready[W],
           mode: Literal["settle"] = "settle", accept: Callable[[A | B | C | D | E | F], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E | F]]
) -> Stream[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]]: ...
@overload
def stream(a: Ready[A], b: Ready[B], c: Ready[C], d: Ready[D], e: Ready[E], f: Ready[F], g: Ready[G] = ...,
           h: Ready[H] = ..., j: Ready[J] = ..., m: Ready[M] = ..., n: Ready[N] = ..., p: Ready[P] = ...,
           s: Ready[S] = ..., u: Ready[U] = ..., v: Ready[V] = ..., w: Ready[W] = ..., /, *more: Ready[W],
           mode: Literal["all"], accept: Callable[[A | B | C | D | E | F], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E | F]]
) -> Stream[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]: ...
@overload
def stream(paths: TupleOfReady[A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /, *,
           mode: Literal["settle"] = "settle",
           **options: Unpack[PlainStreamOptions]
) -> Stream[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]]: ...
@overload
def stream(paths: TupleOfReadyArms[A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /, *,
           mode: Literal["settle"] = "settle", accept: Callable[[T], bool] | None = None,
           **options: Unpack[StreamOptions[T]]
) -> Stream[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]]: ...
@overload
def stream(paths: TupleOfReady[A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /, *, mode: Literal["all"],
           **options: Unpack[PlainStreamOptions]
) -> Stream[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]: ...
@overload
def stream(paths: TupleOfReadyArms[A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /, *, mode: Literal["all"],
           accept: Callable[[T], bool] | None = None,
           **options: Unpack[StreamOptions[T]]
) -> Stream[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]: ...
@overload
def stream(paths: Mapping[str, Ready[T]] | Iterable[Ready[T]] | AsyncIterable[Ready[T]], /, *,
           mode: Literal["settle"] = "settle", accept: Callable[[T], bool] | None = None,
           **options: Unpack[StreamOptions[T]]) -> Stream[Settled[T]]: ...
@overload
def stream(paths: Mapping[str, Ready[T]] | Iterable[Ready[T]] | AsyncIterable[Ready[T]], /, *, mode: Literal["all"],
           accept: Callable[[T], bool] | None = None, **options: Unpack[StreamOptions[T]]) -> Stream[T]: ...
@overload
def stream(a: AnyReady[A], /, *, mode: Literal["settle"] = "settle", accept: Callable[[A], bool] | None = None,
           **options: Unpack[StreamOptions[A]]) -> Stream[Settled[A]]: ...
@overload
def stream(a: AnyReady[A], /, *, mode: Literal["all"], accept: Callable[[A], bool] | None = None,
           **options: Unpack[StreamOptions[A]]) -> Stream[A]: ...
@overload
def stream(a: AnyReady[A], b: AnyReady[B], /, *, mode: Literal["settle"] = "settle",
           accept: Callable[[A | B], bool] | None = None,
           **options: Unpack[StreamOptions[A | B]]) -> Stream[Settled[A | B]]: ...
@overload
def stream(a: AnyReady[A], b: AnyReady[B], /, *, mode: Literal["all"], accept: Callable[[A | B], bool] | None = None,
           **options: Unpack[StreamOptions[A | B]]) -> Stream[A | B]: ...
@overload
def stream(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], /, *, mode: Literal["settle"] = "settle",
           accept: Callable[[A | B | C], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C]]) -> Stream[Settled[A | B | C]]: ...
@overload
def stream(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], /, *, mode: Literal["all"],
           accept: Callable[[A | B | C], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C]]) -> Stream[A | B | C]: ...
@overload
def stream(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], /, *, mode: Literal["settle"] = "settle",
           accept: Callable[[A | B | C | D], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D]]) -> Stream[Settled[A | B | C | D]]: ...
@overload
def stream(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], /, *, mode: Literal["all"],
           accept: Callable[[A | B | C | D], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D]]) -> Stream[A | B | C | D]: ...
@overload
def stream(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], /, *,
           mode: Literal["settle"] = "settle", accept: Callable[[A | B | C | D | E], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E]]) -> Stream[Settled[A | B | C | D | E]]: ...
@overload
def stream(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], /, *, mode: Literal["all"],
           accept: Callable[[A | B | C | D | E], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E]]) -> Stream[A | B | C | D | E]: ...
@overload
def stream(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], f: AnyReady[F],
           g: AnyReady[G] = ..., h: AnyReady[H] = ..., j: AnyReady[J] = ..., m: AnyReady[M] = ..., n: AnyReady[N] = ...,
           p: AnyReady[P] = ..., s: AnyReady[S] = ..., u: AnyReady[U] = ..., v: AnyReady[V] = ..., w: AnyReady[W] = ...,
           /, *more: AnyReady[W], mode: Literal["settle"] = "settle",
           accept: Callable[[A | B | C | D | E | F], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E | F]]
) -> Stream[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]]: ...
@overload
def stream(a: AnyReady[A], b: AnyReady[B], c: AnyReady[C], d: AnyReady[D], e: AnyReady[E], f: AnyReady[F],
           g: AnyReady[G] = ..., h: AnyReady[H] = ..., j: AnyReady[J] = ..., m: AnyReady[M] = ..., n: AnyReady[N] = ...,
           p: AnyReady[P] = ..., s: AnyReady[S] = ..., u: AnyReady[U] = ..., v: AnyReady[V] = ..., w: AnyReady[W] = ...,
           /, *more: AnyReady[W], mode: Literal["all"], accept: Callable[[A | B | C | D | E | F], bool] | None = None,
           **options: Unpack[StreamOptions[A | B | C | D | E | F]]
) -> Stream[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]: ...
@overload
def stream(paths: TupleOfAnyReady[A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /, *,
           mode: Literal["settle"] = "settle",
           **options: Unpack[PlainStreamOptions]
) -> Stream[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]]: ...
@overload
def stream(paths: TupleOfAnyReadyArms[A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /, *,
           mode: Literal["settle"] = "settle", accept: Callable[[T], bool] | None = None,
           **options: Unpack[StreamOptions[T]]
) -> Stream[Settled[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]]: ...
@overload
def stream(paths: TupleOfAnyReady[A, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /, *, mode: Literal["all"],
           **options: Unpack[PlainStreamOptions]
) -> Stream[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]: ...
@overload
def stream(paths: TupleOfAnyReadyArms[A, T, B, C, D, E, F, G, H, J, M, N, P, S, U, V, W], /, *, mode: Literal["all"],
           accept: Callable[[T], bool] | None = None,
           **options: Unpack[StreamOptions[T]]
) -> Stream[A | B | C | D | E | F | G | H | J | M | N | P | S | U | V | W]: ...
@overload
def stream(paths: Mapping[str, AnyReady[T]] | Iterable[AnyReady[T]] | AsyncIterable[AnyReady[T]], /, *,
           mode: Literal["settle"] = "settle", accept: Callable[[T], bool] | None = None,
           **options: Unpack[StreamOptions[T]]) -> Stream[Settled[T]]: ...
@overload
def stream(paths: Mapping[str, AnyReady[T]] | Iterable[AnyReady[T]] | AsyncIterable[AnyReady[T]], /, *,
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
    if mode not in ("settle", "all"):
        raise ConfigError(f'stream(mode={short_repr(mode)}): use "settle" or "all", the modes with results to read')
    watching = observers_of(observers)
    made = _plan("stream", mode, paths, concurrency, stagger, timeout, dispose, accept, rate, growing)
    return stream_of(made, lambda plan: _started(plan, watching), ordered=ordered, buffer=buffer)


def _plan(
    id: str,
    mode: str,
    paths: tuple[Any, ...],
    concurrency: int | trio.CapacityLimiter | None,
    stagger: float | None,
    timeout: float | None,
    dispose: Callable[[Any], object] | None,
    accept: Callable[[Any], bool] | None,
    rate: RateLimit | None,
    growing: bool,
) -> Plan:
    """Return the plan of a fork that runs once, of the paths that were given or of the one source of them."""
    source: Any = paths
    if len(paths) == 1 and not callable(paths[0]) and isinstance(paths[0], (Iterable, AsyncIterable)):
        source = paths[0]  # pyright: ignore[reportUnknownVariableType]
    return plan(
        id,
        mode,
        source,
        concurrency=concurrency,
        stagger=stagger,
        timeout=timeout,
        dispose=dispose,
        accept=accept,
        rate=rate,
        growing=growing,
        once=True,
    )


def _started(plan: Plan, observers: Iterable[Observer]) -> Coroutine[Any, Any, Any]:
    """Return a coroutine that runs `plan` as a step."""
    watching = () if observers == () else observers_of(observers)
    return named(enter(plan.id, run, (plan,), {}, watching, None), plan.id)
