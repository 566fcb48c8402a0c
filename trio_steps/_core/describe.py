"""What a callable is as a step or a path: its id, what is called in its scope, and whether it takes an input."""

from __future__ import annotations

import functools
import inspect
from types import CodeType, CoroutineType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final, cast

from .entry import StepEntry
from .errors import ConfigError, short_repr
from .signatures import signature
from .step import Step, type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def check_id(id: object) -> str:
    """Return `id`, or raise `ConfigError` if it can't be the id of a step."""
    if not isinstance(id, str) or not id:
        raise ConfigError(f"id={short_repr(id)}: the id of a step is a non-empty string")
    return id


def check_provides(provides: object, where: str = "") -> None:
    """Raise `ConfigError` unless `provides` is a key, or a tuple of different keys."""
    given = provides
    keys = cast("tuple[object, ...]", given) if isinstance(given, tuple) else (given,)
    if not keys or not all(isinstance(key, str) and key for key in keys) or len(set(keys)) < len(keys):
        raise ConfigError(
            f"{where}provides={short_repr(provides)}: give the key, a non-empty string; or, for a function that "
            'returns a mapping, its keys, provides=("user", "plan")'
        )


def check_was(was: object, where: str = "") -> tuple[str, ...]:
    """Return the former names of a step, oldest first, or raise `ConfigError` if `was` is not that."""
    names = (was,) if isinstance(was, str) else was
    if (
        not isinstance(names, (tuple, list))
        or not all(isinstance(name, str) and name and "/" not in name for name in cast("tuple[object, ...]", names))
        or len(set(cast("tuple[object, ...]", names))) < len(cast("tuple[object, ...]", names))
    ):
        raise ConfigError(
            f'{where}was={short_repr(was)}: give the former name, was="charge"; or several, oldest first, '
            'was=("pay", "charge")'
        )
    return tuple(cast("tuple[str, ...]", names))


def describe(fn: object) -> tuple[str, bool, Callable[..., Any]]:
    """Return the id of a path or step, whether the user gave that id, and what to call in an open scope.

    Raises:
      ConfigError: `fn` can't be called, or calling it does nothing.
    """
    if type(fn) is FunctionType:
        if fn.__code__.co_flags & GENERATES:
            raise generates(fn)
        return fn.__name__, False, fn
    if isinstance(fn, Step):
        return fn.id, fn.id_given, fn.entry
    if isinstance(fn, MethodType) and isinstance(fn.__func__, Step):  # a class method above a step, since Python 3.13
        method = cast("Any", fn)
        return method.id, method.id_given, functools.partial(method.__func__.entry, method.__self__)
    if isinstance(fn, functools.partial):
        id, _, call = describe(fn.func)
        if call is fn.func:
            return id, False, fn  # pyright: ignore[reportUnknownVariableType]
        # A call of the step itself would open a second scope, and put the id into the full name twice.
        return id, False, functools.partial(call, *fn.args, **fn.keywords)
    if callable(fn):
        kind: type = type_of(fn)
        name: object = getattr(fn, "__name__", None)
        id = name if isinstance(name, str) and name else kind.__name__
        called: Any = fn if kind is MethodType else kind.__call__
        code: object = getattr(called, "__code__", None)
        if isinstance(code, CodeType) and code.co_flags & GENERATES:
            raise generates(fn)
        return id, False, fn
    if inspect.iscoroutine(fn):
        name = close_unawaited(fn)
        raise ConfigError(
            f"a step is a function, not the coroutine that calling it returned: "
            f"write partial({name}, …) or {name}, not {name}(…)"
        )
    raise ConfigError(
        f"a step is a function or another callable, not {short_repr(fn)}; "
        "functools.partial gives a function its arguments"
    )


RUNS: Final = "trio_steps_runs"
"""The attribute of a path of ours that says what it runs."""

GENERATES: Final = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
"""The flags of code that only makes a generator when it is called."""


def generates(fn: object) -> ConfigError:
    """Return the error for a function that has a ``yield`` in it."""
    name = getattr(fn, "__name__", type(fn).__name__)
    return ConfigError(
        f"{name} has a yield in it, so calling it runs nothing, and a step returns one value. "
        f"Return a list; or, if {name} yields the paths of a fork, write paths={name}"
    )


def close_unawaited(coroutine: CoroutineType[Any, Any, Any]) -> str:
    """Close a coroutine that was given by mistake, and return its name.

    A warning that it was never awaited would not help anyone.
    """
    coroutine.close()
    return coroutine.__name__


def takes_input(fn: Callable[..., Any]) -> bool:
    """Tell whether a path takes the input of its fork: whether it requires a positional argument.

    Raises:
      ConfigError: it requires more arguments than that.
    """
    # a wrapper may have the signature of what it wraps
    if type(fn) is FunctionType and (not fn.__dict__ or RUNS in fn.__dict__):
        code, defaults = fn.__code__, fn.__defaults__
        count = code.co_argcount if defaults is None else code.co_argcount - len(defaults)
        if count < 2 and not code.co_kwonlyargcount:
            return count == 1
    if isinstance(fn, StepEntry):
        return fn.takes_input()
    if isinstance(fn, functools.partial) and isinstance(fn.func, StepEntry):
        return fn.func.takes_input(*fn.args, **fn.keywords)
    try:
        told = signature(fn)  # pyright: ignore[reportUnknownArgumentType]
    except (TypeError, ValueError):
        return True
    required: list[str] = []
    names: list[str] = []
    for parameter in told.parameters.values():
        if parameter.default is parameter.empty:
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                required.append(parameter.name)
            elif parameter.kind is parameter.KEYWORD_ONLY:
                names.append(parameter.name)
    if len(required) > 1 or names:
        name = describe(cast("object", fn))[0]
        raise requires_more(name, name, [*required[1:], *names], required[:1], has_input=True)
    return bool(required)


_PLACEHOLDER: Final[object] = getattr(functools, "Placeholder", object())  # nothing is that before Python 3.14


def holes_in(args: tuple[object, ...]) -> list[int]:
    """Return which of the arguments of a partial are left open with ``functools.Placeholder``."""
    return [number for number, arg in enumerate(args) if arg is _PLACEHOLDER]


def leaves_open(fn: object) -> bool:
    """Tell whether `fn` is a partial that leaves an argument open, before one that it gives."""
    return isinstance(fn, functools.partial) and bool(holes_in(fn.args))


def accepts_input(fn: Callable[..., Any]) -> bool:
    """Tell whether `fn` itself, whatever it wraps, can be called with a positional argument."""
    try:
        parameters = signature(fn, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.VAR_POSITIONAL)
        for parameter in parameters
    )


def check_arguments(call: Callable[..., Any], id: str, *, has_input: bool | None) -> bool:
    """Refuse a path that requires more than its fork gives. Tell whether it requires the input.

    This looks at the code of a Python function, which is cheap, and not at its signature, which may be that of what it
    wraps. What can't be seen there is refused when it runs.

    Args:
      call: what is called for the path, as `describe` says.
      id: the id of the path.
      has_input: the fork was called with an input; None if it can't have one.

    Raises:
      ConfigError: it requires more.
    """
    given, keywords, function = 0, set[str](), cast("object", call)
    holes: list[int] = []  # where a partial has a `functools.Placeholder`, counted from the last argument that is given
    while type(function) is not FunctionType:
        if isinstance(function, functools.partial):
            given += len(function.args)
            holes = [given - number for number in holes_in(function.args)] + holes
            keywords.update(function.keywords)
            function = cast("object", function.func)
        elif isinstance(function, MethodType):
            given += 1
            function = function.__func__
        elif isinstance(function, StepEntry):
            function = function.function
        else:
            given += 1
            function = getattr(type_of(function), "__call__", None)  # noqa: B004 - not whether it can be called
            if type(function) is not FunctionType:
                return False
    code, names = function.__code__, function.__code__.co_varnames
    positional = code.co_argcount
    required = [name for name in names[given : positional - len(function.__defaults__ or ())] if name not in keywords]
    slot = required[:1] if required[:1] == [*names[given : given + 1]] else []  # for the input
    if holes:
        open_names = [names[given - hole] if given - hole < positional else "*args" for hole in holes]
        slot, required = open_names[:1], [*open_names, *required]
    rest = required[len(slot) :] if has_input else required
    defaults = function.__kwdefaults__ or ()
    by_name = names[positional : positional + code.co_kwonlyargcount]
    rest += [name for name in by_name if name not in keywords and name not in defaults]
    if rest:
        unnamed = names[: code.co_posonlyargcount]
        raise requires_more(id, describe(call)[0], rest, slot, unnamed, has_input=has_input)
    return bool(required)


def requires_more(
    id: str,
    name: str,
    rest: Sequence[str],
    slot: Sequence[str],
    unnamed: Sequence[str] = (),
    *,
    has_input: bool | None,
) -> ConfigError:
    """Return the error for a path that requires more than its fork gives.

    Args:
      id: the id of the path.
      name: the name of its function.
      rest: the parameters that nothing is given for.
      slot: the parameter that the input is for, if there is one.
      unnamed: the parameters that can't be given by name.
      has_input: the fork was called with an input; None if it can't have one.
    """
    shown = name if name.isidentifier() else "fn"
    values = ", ".join("…" if parameter in unnamed else f"{parameter}=…" for parameter in rest)
    listed = " and ".join(map(repr, rest))
    if has_input:
        besides = f" besides {slot[0]!r}, which is its input" if slot else ""
        head = " ".join(["lambda", *slot])
        passed = ", ".join([*slot, values])
        return ConfigError(
            f"path {id!r} requires {listed}{besides}, and a fork gives its paths nothing but the input: "
            f"give it the rest, partial({shown}, {values}) or {head}: {shown}({passed})"
        )
    other = ", or call the fork with an input" if slot and len(rest) == 1 and has_input is not None else ""
    return ConfigError(
        f"path {id!r} requires {listed}, and is called without arguments: "
        f"give it what it needs, partial({shown}, {values}) or lambda: {shown}({values}){other}"
    )
