"""The faces of the engine: `fork`, and `race`, `gather` and `settle` for the spot."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, final

import trio

from ._engine import Plan, describe_all, run
from ._errors import ConfigError
from ._ledger import Ledger
from ._modes import All, Mode, Quorum, Race, Settle
from ._policies import check_seconds, check_timeout
from ._step import Step, check_id

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)

_MODES: Mapping[str, Callable[[Ledger[Any]], Mode[Any, Any]]] = {"race": Race, "all": All, "settle": Settle}


@final
class Fork(Step[I_contra, O_co]):
    """Several paths that run at once, and a mode that decides between them. Made by `fork`; it is a step."""

    __slots__ = ()

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.id, True, functools.partial(run, plan))


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
    dispose: Callable[[Any], Any] | None = None,
) -> Fork[Any, Any]:
    return Fork(
        plan(
            id,
            mode,
            paths,
            merge=merge,
            need=need,
            concurrency=concurrency,
            stagger=stagger,
            timeout=timeout,
            dispose=dispose,
        )
    )


def plan(
    id: str,
    mode: object,
    paths: object,
    *,
    merge: Callable[..., Any] | None = None,
    need: int | None = None,
    concurrency: int | trio.CapacityLimiter | None = None,
    stagger: float | None = None,
    timeout: float | None = None,
    dispose: Callable[[Any], Any] | None = None,
    once: bool = False,
) -> Plan:
    """Check what a fork was given, and put it in the form that the engine takes.

    Raises:
      ConfigError: it can't work.
    """
    check_id(id)
    if isinstance(concurrency, bool) or not isinstance(concurrency, (int, trio.CapacityLimiter, type(None))):
        raise ConfigError(f"concurrency={concurrency!r}: give an int, a trio.CapacityLimiter, or None for no limit")
    if isinstance(concurrency, int) and concurrency < 1:
        raise ConfigError(f"concurrency={concurrency}: at least 1 path has to run at a time; None means no limit")
    if stagger is not None:
        check_seconds("stagger", stagger)
    check_timeout("timeout", timeout)
    for name, function in (("merge", merge), ("dispose", dispose)):
        if function is not None and not callable(function):
            raise ConfigError(f"{name}={function!r}: give a function")
    known: list[tuple[str, Callable[..., Any]]] | None = None
    source: Any = None
    function = None
    if isinstance(paths, (list, tuple, set, frozenset)):
        known = describe_all(paths)
    elif isinstance(paths, (str, bytes, Mapping)) or not (
        callable(paths) or isinstance(paths, (Iterable, AsyncIterable))
    ):
        raise ConfigError(f"paths={paths!r}: give an iterable of steps or functions, or a function that returns one")
    elif not isinstance(paths, (Iterable, AsyncIterable)):
        function = paths
    elif isinstance(paths, (Iterator, AsyncIterator)) and not once:
        raise ConfigError(
            f"paths={paths!r} can be iterated over only once, but a fork can run many times: "
            "pass a function that returns a new iterator, paths=lambda input: …"
        )
    else:
        source = paths
    factory = _mode(mode, merge, need, None if known is None else len(known))
    return Plan(
        id=id,
        mode=factory,
        known=known,
        source=source,
        function=function,
        function_wants_scope=function is not None and _required(function) >= 2,
        merge=tuple if merge is None and mode in ("all", "settle", "quorum") else merge,
        merge_wants_scope=merge is not None and _required(merge) >= 2,
        concurrency=concurrency,
        stagger=stagger,
        timeout=timeout,
        dispose=dispose,
    )


def _mode(
    mode: object, merge: Callable[..., Any] | None, need: int | None, paths: int | None
) -> Callable[[Ledger[Any]], Mode[Any, Any]]:
    if mode == "race" and merge is not None:
        raise ConfigError("merge=… has nothing to merge in a race: its result is the winner's value")
    if mode != "quorum" and need is not None:
        raise ConfigError(f'need={need!r} goes with mode="quorum", not with mode={mode!r}')
    if mode == "quorum":
        if isinstance(need, bool) or not isinstance(need, int):
            raise ConfigError('mode="quorum" needs need=k, the number of paths that have to succeed')
        if need < 1 or (paths is not None and need > paths):
            raise ConfigError(
                f"need={need}: a quorum needs 1 path or more" + ("" if paths is None else f", and here {paths} at most")
            )
        return functools.partial(Quorum, need=need)
    if isinstance(mode, str):
        if mode not in _MODES:
            raise ConfigError(
                f'mode={mode!r}: use "race", "all", "settle" or "quorum" (with need=k), or a factory of modes'
            )
        return _MODES[mode]
    if not callable(mode):
        raise ConfigError(f"mode={mode!r}: give a name, or something that makes a new mode object for each run")
    factory: Callable[..., Mode[Any, Any]] = mode
    return factory if _required(factory) else lambda _ledger: factory()


def _required(function: Callable[..., Any]) -> int:
    """Return how many positional arguments `function` must be given; 0 if it doesn't tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 0
    return sum(
        parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        for parameter in parameters
    )


def _spot(paths: tuple[Any, ...]) -> Any:
    """Return the source of paths of a fork on the spot: the arguments, or the one iterable that was given."""
    if len(paths) == 1 and not callable(paths[0]) and isinstance(paths[0], (Iterable, AsyncIterable)):
        return paths[0]
    return paths


async def race(*paths, stagger=None, timeout=None, concurrency=None, dispose=None, observers=()):
    return await Fork(
        plan(
            "race",
            "race",
            _spot(paths),
            stagger=stagger,
            timeout=timeout,
            concurrency=concurrency,
            dispose=dispose,
            once=True,
        )
    ).run(observers=observers)


async def gather(*paths, timeout=None, concurrency=None, dispose=None, observers=()):
    return await Fork(
        plan("gather", "all", _spot(paths), timeout=timeout, concurrency=concurrency, dispose=dispose, once=True)
    ).run(observers=observers)


async def settle(*paths, timeout=None, concurrency=None, dispose=None, observers=()):
    return await Fork(
        plan("settle", "settle", _spot(paths), timeout=timeout, concurrency=concurrency, dispose=dispose, once=True)
    ).run(observers=observers)
