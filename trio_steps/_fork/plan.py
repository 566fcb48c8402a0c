"""The arguments of a fork, checked and put in the form that the engine takes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast, final

import attrs
import trio

from trio_steps._core.checks import check_flag, check_seconds, check_sync, check_timeout
from trio_steps._core.describe import close_unawaited
from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._core.policy.rate import RateLimit
from trio_steps._core.signatures import signature

from .modes import All, Checked, Quorum, Race, Settle
from .paths import COLLECTIONS, describe_all, describe_mapping

if TYPE_CHECKING:
    from .delivery import Delivery
    from .ledger import Ledger
    from .modes import Mode
    from .paths import Adapt, Call, Known


@final
@attrs.define(eq=False, repr=False)  # never changed once made; not frozen, which would triple its cost
class Plan:
    """The definition of a fork. Paths come from exactly one of `known`, `source` and `function`."""

    id: str
    mode: Callable[[Ledger[Any]], Mode[Any, Any]]
    mode_name: str  # for messages and drawings
    known: Known | None = None  # all paths, known in advance
    source: Iterable[object] | AsyncIterable[object] | None = None  # pulled one by one
    function: Call | None = None  # returns the paths for an input
    function_wants_scope: bool = False
    merge: Call | None = None
    merge_wants_scope: bool = False
    concurrency: int | trio.CapacityLimiter | None = None
    stagger: float | None = None
    timeout: float | None = None
    dispose: Call | None = None
    accept: Call | None = None  # which values count as success
    rate: RateLimit | None = None  # each path takes a permit from it
    growing: bool = False  # its paths may add paths
    by_name: bool = False  # the paths were a mapping, so the result is one
    delivery: Delivery | None = None  # if it is a stream: where each result goes
    adapt: Adapt | None = None  # wraps what is called for a path of `source` or `function`, given that and the path


_MODES: Mapping[str, Callable[[Ledger[Any]], Mode[Any, Any]]] = {"race": Race, "all": All, "settle": Settle}


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
    accept: Callable[[Any], object] | None = None,
    rate: RateLimit | None = None,
    growing: bool = False,
    once: bool = False,
) -> Plan:
    """Check the arguments of a fork, and put them in the form that the engine takes.

    Raises:
      ConfigError: an argument is not valid, or two of them contradict each other.
    """
    if concurrency is not None:
        _check_concurrency(concurrency)
    if stagger is not None:
        check_seconds("stagger", stagger)
    if timeout is not None:
        check_timeout("timeout", timeout)
    if merge is not None:
        _check_callable("merge", merge)
    if dispose is not None:
        _check_callable("dispose", dispose)
    if accept is not None:
        _check_accept(accept)
    if rate is not None and not isinstance(cast("object", rate), RateLimit):
        raise ConfigError(f"rate={short_repr(rate)}: give a RateLimit(10, per=1.0), or None")
    if growing is not False:
        check_flag("growing", growing, form="True if paths may add paths, else False")
    is_mapping = False
    known: Known | None = None
    if isinstance(paths, COLLECTIONS):
        known = describe_all(paths)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(paths, Mapping):
        is_mapping = True
        known = describe_mapping(cast("Mapping[object, object]", paths))
    if once and known is not None and known.to_check:
        known.check(has_input=None)
    if need is None and merge is None and isinstance(mode, str) and mode in _MODES:
        made = Plan(id, _MODES[mode], mode, known)
    else:
        count = None if known is None or growing else len(known)
        made = Plan(id, _mode(mode, merge, need, count), _name(mode, need), known)
    if known is None:
        _take_source(made, paths, once=once)
    if merge is not None:
        made.merge, made.merge_wants_scope = merge, _required(merge) >= 2
    elif mode in ("all", "settle", "quorum"):
        made.merge = tuple
    made.concurrency = concurrency
    made.stagger = stagger
    made.timeout = timeout
    made.dispose = dispose
    made.accept = accept
    made.rate = rate
    made.growing = growing
    made.by_name = is_mapping and mode in ("all", "settle")
    return made


def _check_concurrency(concurrency: object) -> None:
    if isinstance(concurrency, bool) or not isinstance(concurrency, (int, trio.CapacityLimiter)):
        raise ConfigError(
            f"concurrency={short_repr(concurrency)}: give an int, a trio.CapacityLimiter, or None for no limit"
        )
    if isinstance(concurrency, int) and concurrency < 1:
        raise ConfigError(
            f"concurrency={short_repr(concurrency)}: at least 1 path must run at a time; None means no limit"
        )


def _check_accept(accept: object) -> None:
    form = "a function of the value: accept=lambda value: value is not None"
    check_sync(lambda: f"accept={short_repr(accept)}", accept, form)


def _check_callable(name: str, given: object) -> None:
    if not callable(given):
        raise ConfigError(f"{name}={short_repr(given)}: give a function")


def _take_source(plan: Plan, paths: Any, *, once: bool) -> None:
    """Make `paths` the source of `plan`."""
    if inspect.iscoroutine(paths):
        name = close_unawaited(paths)
        raise ConfigError(
            f"paths is the coroutine that calling {name} returned: write paths={name} if it returns the paths for an "
            f"input, or paths=[partial({name}, …)] if it is a path"
        )
    if isinstance(paths, (str, bytes)) or not (callable(paths) or isinstance(paths, (Iterable, AsyncIterable))):
        raise ConfigError(
            f"paths={short_repr(paths)}: give an iterable of steps or functions, or a function that returns one"
        )
    if not isinstance(paths, (Iterable, AsyncIterable)):
        plan.function, plan.function_wants_scope = paths, _required(paths) >= 2
    elif isinstance(paths, (Iterator, AsyncIterator)) and not once:
        raise ConfigError(
            f"paths={short_repr(cast('object', paths))} can be iterated over only once, but a fork can run many times: "
            "pass a function that returns a new iterator, paths=lambda input: …"
        )
    else:
        plan.source = cast("Iterable[object]", paths)


def _mode(
    mode: object, merge: Callable[..., Any] | None, need: int | None, paths: int | None
) -> Callable[[Ledger[Any]], Mode[Any, Any]]:
    if mode == "race" and merge is not None:
        raise ConfigError("merge=… has nothing to merge in a race: its result is the winner's value")
    if mode != "quorum" and need is not None:
        raise ConfigError(f'need={short_repr(need)} goes with mode="quorum", not with mode={short_repr(mode)}')
    if mode == "quorum":
        if isinstance(need, bool) or not isinstance(need, int):
            raise ConfigError('mode="quorum" needs need=k, the number of paths that have to succeed')
        if need < 1 or (paths is not None and need > paths):
            raise ConfigError(
                f"need={short_repr(need)}: a quorum needs 1 path or more"
                + ("" if paths is None else f", at most {paths}")
            )
        return functools.partial(Quorum, need=need)
    if isinstance(mode, str):
        if mode not in _MODES:
            raise ConfigError(
                f'mode={short_repr(mode)}: use "race", "all", "settle" or "quorum" (with need=k), or a factory of modes'
            )
        return _MODES[mode]
    if not callable(mode):
        raise ConfigError(
            f"mode={short_repr(mode)}: give a name, or a function that returns a new mode object for each run"
        )
    factory = cast("Callable[..., Mode[Any, Any]]", mode)
    wants_ledger = bool(_required(factory))
    return lambda ledger: Checked(factory(ledger) if wants_ledger else factory(), ledger.name)


def _name(mode: object, need: int | None) -> str:
    if not isinstance(mode, str):
        return "custom mode"
    return mode if need is None else f"{mode} of {need}"


def _required(function: Callable[..., Any]) -> int:
    """Return how many positional arguments `function` requires; 0 if its signature can't be read."""
    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):
        return 0
    return sum(
        parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        for parameter in parameters
    )
