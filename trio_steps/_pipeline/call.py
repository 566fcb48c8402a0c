"""Calling the function of a step with the keys of a context, and what its result means for that."""

from __future__ import annotations

from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

from trio_steps._core.errors import StepOutputError
from trio_steps._core.step import type_of
from trio_steps._values.copying import copy_value

from .context import as_output, unawaited

if TYPE_CHECKING:
    from .context import Store
    from .definition import Function


def awaitable(result: object) -> bool:
    """Tell whether `result` has to be awaited."""
    return type_of(result) is CoroutineType or hasattr(type_of(result), "__await__")


async def call(function: Function, store: Store, name: str) -> tuple[Any, bool]:
    """Call `function`; return its result, and whether it was sync."""
    args, kwargs = function.bind(store, name)
    result = function.call(*args, **kwargs)
    if awaitable(result):
        return await result, False
    return result, True


def output_of(function: Function, result: object, name: str) -> dict[str, object]:
    """Return the keys that `result`, of `function` of the step `name`, adds to the context; copies of the values."""
    provides = function.provides
    if provides is not None:
        return {provides: result if provides in function.share else copy_value(result)}
    if type(result) is dict and not function.share:  # most are; a short cut
        values: dict[str, object] = {}
        for key, value in cast("dict[object, object]", result).items():
            if type(key) is not str:
                break
            if type(value) is CoroutineType:
                raise unawaited(cast("Any", value), key, name)
            values[key] = copy_value(value)
        else:
            return values
    return as_output(cast("Any", result), name, function.share)


def replacement_of(function: Function, result: object, name: str) -> dict[str, object]:
    """Return what a transform replaces the context by."""
    if result is None and function.provides is None:
        raise StepOutputError(
            name,
            "returned None, but what a transform returns replaces the whole context, so it has to be a mapping: "
            'return {"key": value, …}, or {} to go on with nothing; to keep the context as it is, use .step(…)',
        )
    return output_of(function, result, name)
