"""Checks of the arguments of policies and forks.

Every message shows the right form, because most people learn these rules from a message.
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
    """Raise `ConfigError` unless `count` is a whole number of at least `least`."""
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise ConfigError(f"{what}: give {form}")


def check_seconds(what: str, seconds: object) -> None:
    """Raise `ConfigError` unless `seconds` is a number, 0 or more."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0:
        raise ConfigError(f"{what} must be a number of seconds, 0 or more, not {seconds!r}")


def check_timeout(what: str, seconds: object) -> None:
    """Raise `ConfigError` unless `seconds` is None or a number above 0."""
    if seconds is not None:
        check_seconds(what, seconds)
        if not seconds:
            raise ConfigError(f"{what}=0 leaves no time to run at all; give seconds, or None for no limit")


def check_sync(what: str, function: object, form: str) -> None:
    """Raise `ConfigError` unless `function` can be called and is sync, so that it answers at once."""
    if not callable(function):
        raise ConfigError(f"{what}: give {form}")
    inner: object = function
    while isinstance(inner, partial):
        inner = cast("object", inner.func)
    if inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(getattr(inner, "__call__", None)):  # noqa: B004
        raise ConfigError(f"{what} is async, and its answer is needed at once: give {form}")


def answered(function: Callable[..., T], *args: object) -> T:
    """Call the sync `function` with `args` and return its answer.

    `check_sync` can't see that a step, or a lambda around an async function, is async. Such a function returns a
    coroutine. A coroutine is always true, and no one would await it.

    Raises:
      ConfigError: `function` returned an awaitable.
    """
    answer = function(*args)
    if not hasattr(type(answer), "__await__"):
        return answer
    if inspect.iscoroutine(answer):
        answer.close()  # a warning that it was never awaited would not help anyone
    raise ConfigError(
        f"{short_repr(function)} is async: it returned {short_repr(answer)}. Its answer is needed at once: "
        "give a sync function"
    )


def check_which(policy: str, which: object) -> None:
    """Raise `ConfigError` unless `which` selects errors, by type or with a function."""
    types = cast("tuple[object, ...]", which) if isinstance(which, tuple) else (which,)
    if all(isinstance(one, type) and issubclass(one, Exception) for one in types):
        return
    what = f"{policy}(on={which!r})"
    form = "exception types, or a function of the exception: on=OSError, on=(OSError, TimeoutError), on=is_temporary"
    if isinstance(which, (tuple, type)):
        raise ConfigError(f"{what}: give {form}")
    check_sync(what, which, form)


def is_one(which: Which, error: BaseException) -> bool:
    """Tell whether `which` selects `error` itself."""
    if isinstance(which, (type, tuple)):
        return isinstance(error, which)
    return bool(answered(which, error))


def types_in(which: Which) -> tuple[type[Exception], ...] | None:
    """Return `which` as a tuple of types, or None if it is a function."""
    one: object = which
    if isinstance(one, tuple):
        return cast("tuple[type[Exception], ...]", one)
    return (one,) if isinstance(one, type) else None


def all_are(which: Which, error: Exception) -> bool:
    """Tell whether `which` selects `error` itself or, if `error` is a group, every leaf of it."""
    if is_one(which, error):
        return True
    return isinstance(error, BaseExceptionGroup) and all(is_one(which, leaf) for leaf in leaves(error))


def any_is(which: Which, error: Exception) -> bool:
    """Tell whether `which` selects `error` itself or, if `error` is a group, any leaf of it."""
    if is_one(which, error):
        return True
    return isinstance(error, BaseExceptionGroup) and any(is_one(which, leaf) for leaf in leaves(error))
