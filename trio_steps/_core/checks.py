"""Checks of the arguments of policies and forks.

Every message shows the right form, because most people learn these rules from a message.
"""

from __future__ import annotations

import inspect
import sys
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeAlias, TypeGuard, TypeVar, cast

from .errors import ConfigError, leaves, short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")

Which: TypeAlias = "type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]"
"""Which errors: a type, several types, or a function that is asked about each error."""


@contextmanager
def located(where: str) -> Generator[None]:
    """Put `where` in front of the message of a `ConfigError`."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}{error}") from None


def check_count(what: str, count: object, *, least: int = 1, form: str) -> None:
    """Raise `ConfigError` unless `count` is a whole number of at least `least`."""
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise ConfigError(f"{what}: give {form}")


def check_flag(what: str, flag: object, *, form: str) -> None:
    """Raise `ConfigError` unless `flag` is True or False. A string such as ``"no"`` would be true."""
    if flag is not True and flag is not False:
        raise ConfigError(f"{what}={short_repr(flag)}: give {form}")


def check_key(what: str, key: object) -> None:
    """Raise `ConfigError` unless `key` can be the key of a context."""
    if not isinstance(key, str) or not key:
        raise ConfigError(f"{what}={short_repr(key)}: give the key, a non-empty string")


def check_state(state: object) -> None:
    """Raise `ConfigError` unless `state` can be the state of a run."""
    if state is not None and not isinstance(state, dict):
        raise ConfigError(f'state={short_repr(state)}: give a dict, state={{"user": "ada"}}, or None')


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether `value` is a number that can be a time: an int or a float, not NaN and not too large."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return value <= sys.float_info.max or value == inf


def check_seconds(what: str, seconds: object) -> None:
    """Raise `ConfigError` unless `seconds` is a number, 0 or more."""
    if not is_number(seconds) or seconds < 0:
        raise ConfigError(f"{what} must be a number of seconds, 0 or more, not {short_repr(seconds)}")


def check_timeout(what: str, seconds: object) -> None:
    """Raise `ConfigError` unless `seconds` is None or a number above 0."""
    if seconds is None:
        return
    if not is_number(seconds) or seconds < 0:
        raise ConfigError(f"{what} must be a number of seconds, more than 0, not {short_repr(seconds)}")
    if not seconds:
        raise ConfigError(f"{what}=0 leaves no time to run at all; give seconds, or None for no limit")


def check_sync(what: Callable[[], str], function: object, form: str) -> None:
    """Raise `ConfigError` unless `function` can be called and is sync, so that it answers at once.

    Args:
      what: returns the beginning of the message, which would cost more than the check.
      function: what to check.
      form: the right form.
    """
    if not callable(function):
        raise ConfigError(f"{what()}: give {form}")
    inner: object = function
    while isinstance(inner, partial):
        inner = cast("object", inner.func)
    if inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(getattr(inner, "__call__", None)):  # noqa: B004
        raise ConfigError(f"{what()} is async, and its answer is needed at once: give {form}")


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
    form = "exception types, or a function of the exception: on=OSError, on=(OSError, TimeoutError), on=is_temporary"
    if isinstance(which, (tuple, type)):
        raise ConfigError(f"{policy}(on={short_repr(cast('object', which))}): give {form}")
    check_sync(lambda: f"{policy}(on={short_repr(which)})", which, form)


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
