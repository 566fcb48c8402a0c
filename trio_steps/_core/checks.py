"""Checks of what policies and forks are given.

Every message shows the right form: it is where most people learn these rules.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from .errors import ConfigError, leaves, short_repr

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

Which: TypeAlias = "type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]"
"""Which errors: a type, several types, or a function that is asked about each error."""


def check_count(what: str, count: object, *, least: int = 1, form: str) -> None:
    """Refuse what is not a whole number of at least `least`."""
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise ConfigError(f"{what}: give {form}")


def check_seconds(what: str, seconds: object) -> None:
    """Refuse what is not a number of seconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0:
        raise ConfigError(f"{what} must be a number of seconds, 0 or more, not {seconds!r}")


def check_timeout(what: str, seconds: object) -> None:
    """Refuse a timeout that is neither None nor a positive number of seconds."""
    if seconds is not None:
        check_seconds(what, seconds)
        if not seconds:
            raise ConfigError(f"{what}=0 leaves no time to run at all; give seconds, or None for no limit")


def check_sync(what: str, function: object, form: str) -> None:
    """Refuse what can't be called, and an async function where the answer is needed right away."""
    if not callable(function):
        raise ConfigError(f"{what}: give {form}")
    inner: object = function
    while isinstance(inner, partial):
        inner = cast("object", inner.func)
    if inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(getattr(inner, "__call__", None)):  # noqa: B004
        raise ConfigError(f"{what} is async, and its answer is needed at once: give {form}")


def answered(function: Callable[..., T], *args: object) -> T:
    """Return what the sync `function` answers to `args`.

    `check_sync` can't see that a step or a lambda around an async function is async. Such a function answers with a
    coroutine, which is true whatever the function would have said and would never be awaited.

    Raises:
      ConfigError: the answer has to be awaited.
    """
    answer = function(*args)
    if not hasattr(type(answer), "__await__"):
        return answer
    if inspect.iscoroutine(answer):
        answer.close()  # it would be reported as never awaited, which is true but no help
    raise ConfigError(
        f"{short_repr(function)} is async: it returned {short_repr(answer)}. What it says is needed at once: "
        "give a sync function"
    )


def check_which(policy: str, which: object) -> None:
    """Refuse what does not say which errors `policy` is about."""
    types = cast("tuple[object, ...]", which) if isinstance(which, tuple) else (which,)
    if all(isinstance(one, type) and issubclass(one, Exception) for one in types):
        return
    what = f"{policy}(on={which!r})"
    form = "exception types, or a function of the exception: on=OSError, on=(OSError, TimeoutError), on=is_temporary"
    if isinstance(which, (tuple, type)):
        raise ConfigError(f"{what}: give {form}")
    check_sync(what, which, form)


def is_one(which: Which, error: BaseException) -> bool:
    """Tell whether `error` itself is one of those meant."""
    if isinstance(which, (type, tuple)):
        return isinstance(error, which)
    return bool(answered(which, error))


def types_in(which: Which) -> tuple[type[Exception], ...] | None:
    """Return the types that `which` is; None if it is a function."""
    one: object = which
    if isinstance(one, tuple):
        return cast("tuple[type[Exception], ...]", one)
    return (one,) if isinstance(one, type) else None


def all_are(which: Which, error: Exception) -> bool:
    """Tell whether `error` is one of those meant; a group may be, or else each of its leaves."""
    if is_one(which, error):
        return True
    return isinstance(error, BaseExceptionGroup) and all(is_one(which, leaf) for leaf in leaves(error))


def any_is(which: Which, error: Exception) -> bool:
    """Tell whether `error` is one of those meant; a group may be, or else any of its leaves."""
    if is_one(which, error):
        return True
    return isinstance(error, BaseExceptionGroup) and any(is_one(which, leaf) for leaf in leaves(error))
