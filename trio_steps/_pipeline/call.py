"""The function of a step: how it is called with the keys of a context, and what its result adds to the context."""

from __future__ import annotations

from types import CoroutineType, FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias, final

from trio_steps._core.errors import StepInputError, StepOutputError, listed
from trio_steps._core.step import type_of
from trio_steps._values.kinds import UNCOPIED

from .context import Context, Store, as_output, unawaited
from .copies import Copies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from trio_steps._core.function import Provides

    from .signature import Signature

    Bind: TypeAlias = Callable[[Mapping[str, object], str], tuple[tuple[object, ...], dict[str, object]]]
    Copy: TypeAlias = Callable[[Any, str, str], object]


@final
class Function:
    """A function, and how it is called with a context.

    Attributes:
      call: what to call in the scope of its step; an awaitable result is awaited.
      signature: what it is called with.
      share: the keys that are not copied.
      copy: turns a value, its key, and the full name of the step into the copy that a function receives or returns.
      provides: the key under which its result is stored; or the keys of its result, which is a mapping.
      bind: makes its arguments from a context.
      places: the keys that it gets by place; None if it gets its arguments by name.
      keeps: whether it may keep the whole context.
    """

    __slots__ = ("bind", "call", "copy", "keeps", "places", "provides", "share", "signature")

    def __init__(
        self,
        call: Callable[..., Any],
        signature: Signature,
        share: AbstractSet[str],
        provides: Provides = None,
    ) -> None:
        self.call = call
        self.signature = signature
        self.share = share
        self.copy = Copies(share).copy
        self.provides = provides
        self.keeps = signature.whole
        # a snapshot in the Context, not the store: what a function keeps must not change
        self.bind: Bind = binder(signature, self.copy, lambda store: Context(_now(store), share))
        self.places: tuple[str, ...] | None = signature.required if _takes_in_order(call, signature) else None

    def run(self, context: Mapping[str, object], step: str) -> Any:
        """Call the function with a context, and return what it returns; `step` is the full name of its step.

        Arguments that go by place take half the time, and one argument half of that.
        """
        places = self.places
        if places is None:
            args, kwargs = self.bind(context, step)
            return self.call(*args, **kwargs)
        values: list[object] = []
        key = ""
        try:
            for key in places:
                value = context[key]
                values.append(value if id(type(value)) in UNCOPIED else self.copy(value, key, step))
        except KeyError:
            _require(context, key, step)
            raise  # it is part of a value that was copied
        if len(values) == 1:
            return self.call(values[0])
        return self.call(*values)

    def sharing(self, keys: AbstractSet[str]) -> Function:
        """Return the same function with more keys that are not copied."""
        return Function(self.call, self.signature, self.share | keys, self.provides)


def _now(context: Any) -> Any:
    return context.now() if isinstance(context, Store) else context


def binder(signature: Signature, copy: Copy, whole: Callable[[Mapping[str, object]], object]) -> Bind:
    """Make the function that takes a context, and the full name of the step, and returns ``(args, kwargs)``.

    Args:
      signature: what is to be called.
      copy: turns a value, its key, and the full name of the step into what is passed; not called for values that are
        never copied.
      whole: turns a context into the argument of a function that takes all of it.

    Raises:
      StepInputError: (when it is called) a required key is not in the context.
    """
    required = tuple(key for key in signature.required if key not in signature.wrapped)
    optional = (*(key for key in signature.required if key in signature.wrapped), *signature.optional)

    def named(context: Mapping[str, object], step: str) -> tuple[tuple[object, ...], dict[str, object]]:
        kwargs: dict[str, object] = {}
        key = ""
        try:
            for key in required:
                value = context[key]
                kwargs[key] = value if id(type(value)) in UNCOPIED else copy(value, key, step)
        except KeyError:
            _require(context, key, step)
            raise  # it is part of a value that was copied
        return (), kwargs

    if not (optional or signature.rest or signature.whole):
        return named

    left_out = frozenset(signature.bound.union(signature.required, signature.optional))

    def everything(context: Mapping[str, object], step: str) -> tuple[tuple[object, ...], dict[str, object]]:
        _, kwargs = named(context, step)
        for key in optional:
            if key in context:
                kwargs[key] = copy(context[key], key, step)
        if signature.rest:
            for key in context:
                if key not in left_out:
                    kwargs[key] = copy(context[key], key, step)
        return ((whole(context),) if signature.whole else ()), kwargs

    return everything


def _takes_in_order(call: Callable[..., Any], signature: Signature) -> bool:
    """Tell whether `call` is a plain function whose parameters are required keys, so that they can go by place."""
    others = signature.optional or signature.rest or signature.whole or signature.wrapped
    if others or type(call) is not FunctionType:
        return False
    return call.__code__.co_varnames[: call.__code__.co_argcount] == signature.required


def _require(context: Mapping[str, object], key: str, step: str) -> None:
    if key not in context:
        raise StepInputError(step, key, context) from None


def awaitable(result: object) -> bool:
    """Tell whether `result` has to be awaited."""
    return type_of(result) is CoroutineType or hasattr(type_of(result), "__await__")


async def call(function: Function, store: Store, name: str) -> tuple[Any, bool]:
    """Call `function`; return its result, and whether it was sync."""
    result = function.run(store, name)
    if awaitable(result):
        return await result, False
    return result, True


def output_of(function: Function, result: Any, name: str) -> dict[str, object]:
    """Return the keys that `result` of `function`, of step `name`, adds to the context, with copies of the values."""
    provides = function.provides
    if provides is None:
        if type_of(result) is dict:  # a short cut for the usual case
            values: dict[str, object] = {}
            for key, value in result.items():
                if type(key) is not str:
                    break
                if id(type_of(value)) in UNCOPIED:
                    values[key] = value
                    continue
                if type_of(value) is CoroutineType:
                    raise unawaited(value, key, name)
                values[key] = function.copy(value, key, name)
            else:
                return values
        return as_output(result, name, function.share)
    if isinstance(provides, tuple):
        return _exactly(provides, as_output(result, name, function.share), name)
    return {provides: function.copy(result, provides, name)}


def _exactly(keys: tuple[str, ...], values: dict[str, object], name: str) -> dict[str, object]:
    if values.keys() != set(keys):
        raise StepOutputError(name, f"returned a mapping with {listed(values)}, but provides={keys!r} says which keys")
    return values


def replacement_of(function: Function, result: object, name: str) -> dict[str, object]:
    """Return the context with which a transform replaces the old one."""
    if result is None and function.provides is None:
        raise StepOutputError(
            name,
            "returned None, but what a transform returns replaces the whole context, so it has to be a mapping: "
            'return {"key": value, …}, or {} for an empty context; to keep the context as it is, use .step(…)',
        )
    return output_of(function, result, name)
