"""How a function is called with the keys of a context.

Problem: a step function names what it needs as parameters, and gets just that. These names have to be known when the
pipeline is built, for the contract. And calling the function must cost next to nothing, because it happens at every
step.

Naive answer: ``inspect.signature``. It shows arguments that a partial has already bound, and it trusts every
``functools.wraps``, even that of a decorator that passes its own argument.

What is done instead. `signature_of` reads each layer (step, partial, method, decorator) by itself, once. `needs_of` and
`provided_by` say what the result means for the contract, and `call.binder` turns it into a function that only looks up
and copies.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncIterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from types import FunctionType, MappingProxyType, MethodType, NoneType
from typing import TYPE_CHECKING, Any, Final, Literal, cast, final, get_args, get_origin

import attrs

from trio_steps._core.describe import close_unawaited, holes_in
from trio_steps._core.entry import StepEntry
from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._core.function import FunctionStep, Guarded
from trio_steps._core.signatures import signature
from trio_steps._core.step import Step

from .contract.annotations import UNKNOWN, awaited, members, resolve, type_name
from .contract.flow import Need, key_of
from .contract.records import field_names, fields_of, is_typed_dict
from .contract.shape import ANYTHING, NOTHING, Key, Shape, Source, alternatives

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from trio_steps._core.function import Provides

_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _frozen(types: Mapping[str, object]) -> Mapping[str, object]:
    return MappingProxyType(dict(types))


@final
@attrs.frozen(kw_only=True)
class Signature:
    """Which keys of a context a function is called with.

    Attributes:
      required: the keys it can't do without.
      optional: the keys it has defaults for.
      rest: whether it gets every other key too, except those in `bound`.
      whole: whether it gets the whole context, as its only positional argument.
      bound: keys that must not be passed, because the function already has an argument of that name.
      types: the annotations of `required` and `optional`.
      returns: what it is annotated to return, once awaited; an annotation of None is ``NoneType``.
      provides: the key under which a step stores its result, or the keys of the mapping that it returns.
      wrapped: names that were read through a decorator, which may pass them itself.
    """

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    rest: bool = False
    whole: bool = False
    bound: frozenset[str] = frozenset()
    types: Mapping[str, object] = attrs.field(default=MappingProxyType[str, object]({}), converter=_frozen)
    returns: object = UNKNOWN
    provides: Provides = None
    wrapped: frozenset[str] = frozenset()

    def takes(self, key: str) -> bool:
        """Tell whether the function can be called with `key`."""
        return key in self.required or key in self.optional or (self.rest and key not in self.bound)

    def without(self, key: str) -> Signature:
        """Return the signature that is left when the caller passes `key` itself."""
        return attrs.evolve(
            self,
            required=tuple(name for name in self.required if name != key),
            optional=tuple(name for name in self.optional if name != key),
            bound=self.bound | {key},
        )


@attrs.define
class _Layer:
    """What one callable takes. Its parameters are annotated with types, not with strings or forward references."""

    parameters: list[inspect.Parameter]
    returns: object
    bound: frozenset[str] = frozenset()
    wrapped: frozenset[str] = frozenset()


def signature_of(fn: object, step: str) -> Signature:
    """Find out how `fn`, the function of `step`, is called.

    Args:
      fn: a function or another callable, or a step; a step that is not a function gets the whole context.
      step: its name in errors.

    Raises:
      ConfigError: it can't be called, does not say what it takes, or takes what a context can't provide.
    """
    if inspect.iscoroutine(fn):
        name = close_unawaited(fn)
        raise ConfigError(f"step {step!r}: give the function {name}, not the coroutine that {name}(…) returned")
    if not callable(fn):
        several = "; give several one by one, not in a list" if isinstance(fn, (list, tuple)) else ""
        raise ConfigError(
            f"step {step!r}: give a function or another callable, not {short_repr(cast('Any', fn))}{several}"
        )
    try:
        layer = _read(fn)
    except _BindError as error:
        raise ConfigError(f"step {step!r}: {fn!r} can never be called: {error}") from None
    name = getattr(fn, "__name__", None) or repr(fn)
    if layer is None:
        raise ConfigError(
            f"step {step!r}: {name} does not say which keys of the context it takes; "
            f"call it from a function that does, lambda key: {name}(key), or, if it is decorated, "
            "give the decorator's inner function @functools.wraps"
        )
    places = [parameter for parameter in layer.parameters if parameter.kind is parameter.POSITIONAL_ONLY]
    if sum(parameter.default is parameter.empty for parameter in places) > 1:
        raise ConfigError(
            f"step {step!r}: {name} takes {len(places)} positional-only arguments, but there is one context: "
            "name the keys, def f(user, orders), or take the whole context, def f(context, /)"
        )
    named = [parameter for parameter in layer.parameters if parameter.kind in _NAMED]
    return Signature(
        required=tuple(parameter.name for parameter in named if parameter.default is parameter.empty),
        optional=tuple(parameter.name for parameter in named if parameter.default is not parameter.empty),
        rest=any(parameter.kind is parameter.VAR_KEYWORD for parameter in layer.parameters),
        whole=bool(places),
        bound=layer.bound,
        types={parameter.name: parameter.annotation for parameter in named},
        returns=layer.returns,
        provides=_provides(fn),
        wrapped=layer.wrapped,
    )


def _provides(fn: object) -> Provides:
    """Return the ``provides=`` of the outermost step in `fn` that has one."""
    while isinstance(fn, (FunctionStep, functools.partial)):
        if isinstance(fn, FunctionStep):
            if fn.provides is not None:
                return fn.provides
            fn = cast("object", fn.fn)
        else:
            fn = cast("object", fn.func)
    return None


class _BindError(Exception):
    """A partial has arguments that its function does not take."""


def _read(fn: Callable[..., Any]) -> _Layer | None:
    """Return what `fn` takes; None if it does not say."""
    if isinstance(fn, FunctionStep):
        return _read(fn.fn)
    if isinstance(fn, Guarded):
        return _read(fn.call)
    if isinstance(fn, (Step, StepEntry)):
        return _Layer([inspect.Parameter("input", inspect.Parameter.POSITIONAL_ONLY)], UNKNOWN)
    if isinstance(fn, functools.partial):
        inner = _read(fn.func)
        return inner and _bound(inner, len(fn.args), fn.keywords, holes_in(fn.args))
    if isinstance(fn, MethodType):
        func = fn.__func__
        inner = _through(func, _own(func, func), 1) if isinstance(func, FunctionType) else _read(func)
        layer = inner and _bound(inner, 1, ())
        return layer if layer and _tells(layer) else None
    if isinstance(fn, type):
        return _read_class(fn)
    if isinstance(fn, FunctionType):
        return _through(fn, _own(fn, fn), 0)
    if _is_mock(fn):
        return _Layer([inspect.Parameter("rest", inspect.Parameter.VAR_KEYWORD)], UNKNOWN)
    call = type(fn).__call__
    if isinstance(call, FunctionType) and not _explicit(fn):
        return _through(fn, _read(MethodType(call, fn)), 0)
    return _through(fn, _own(fn, type(fn)), 0)


def _is_mock(fn: object) -> bool:
    """Tell whether `fn` is a mock, which accepts any arguments."""
    base: Any = getattr(sys.modules.get("unittest.mock"), "NonCallableMock", None)
    return base in type(fn).__mro__


def _explicit(fn: object) -> bool:
    """Tell whether `fn` was given an explicit signature, which then counts."""
    return "__signature__" in getattr(fn, "__dict__", ())


def _own(fn: Callable[..., Any], owner: object) -> _Layer | None:
    """Return the signature of `fn` itself, whatever it wraps."""
    try:
        own = signature(fn, follow_wrapped=False)
    except (TypeError, ValueError):
        return None
    returns = resolve(own.return_annotation, owner)
    return _Layer(
        [parameter.replace(annotation=resolve(parameter.annotation, owner)) for parameter in own.parameters.values()],
        returns if inspect.iscoroutinefunction(owner) else awaited(returns),
    )


def _wrapped(fn: Callable[..., Any]) -> object:
    """Return what `fn` says it wraps; None if it wraps nothing, or if that leads in a circle."""
    try:
        inspect.unwrap(fn)
    except ValueError:
        return None
    return getattr(fn, "__wrapped__", None)


def _read_class(cls: type) -> _Layer | None:
    """Return what the constructor takes. It returns an instance, whatever the annotations of ``__init__`` say."""
    owner = next(base for base in cls.__mro__ if "__init__" in vars(base))
    layer = _own(cls, owner)
    if layer is None or not _tells(layer):
        return None
    return attrs.evolve(layer, returns=cls, bound=frozenset({"self"}))


def _tells(layer: _Layer) -> bool:
    """Tell whether `layer` names what it takes. A leading ``*args`` can be anything."""
    return not layer.parameters or layer.parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL


def _through(fn: Callable[..., Any], own: _Layer | None, bound: int) -> _Layer | None:
    """Return what `fn` takes, which may be a decorator's wrapper. `own` is its own signature.

    ``functools.wraps`` is a claim, and only the wrapper knows what it does. It may pass arguments itself, convert
    those that it gets, and return something else. So a key that the wrapped function names is passed if it is there,
    but not required. (A wrapper that takes just ``*args, **kwargs``, and perhaps ``self``, which is among the `bound`
    arguments, probably passes on what it gets. A strict pipeline relies on that.) Types count only if they are the
    wrapper's own.
    """
    wrapped = _wrapped(fn)
    if callable(wrapped) and not _explicit(fn) and own is not None and _has_types_of(fn, wrapped):
        own = _untyped(own)
    if callable(wrapped) and not _explicit(fn) and (own is None or _has(own, inspect.Parameter.VAR_KEYWORD)):
        inner = _read(wrapped)
        if inner is not None:
            return _mixed(own, inner, bound)
    return own if own is not None and _tells(own) else None


def _has_types_of(fn: object, wrapped: object) -> bool:
    """Tell whether the annotations of `fn` are those of the wrapped function, which ``functools.wraps`` copies."""
    name = "__annotate__" if sys.version_info >= (3, 14) else "__annotations__"
    return getattr(fn, name, None) is getattr(wrapped, name, None)


def _untyped(layer: _Layer) -> _Layer:
    return attrs.evolve(layer, parameters=[p.replace(annotation=UNKNOWN) for p in layer.parameters], returns=UNKNOWN)


def _mixed(own: _Layer | None, inner: _Layer, bound: int) -> _Layer:
    named = [] if own is None else [p for p in own.parameters if p.kind in (*_NAMED, p.POSITIONAL_ONLY)]
    if own is None or len(named) <= bound:
        returns = UNKNOWN if own is None else own.returns
        return attrs.evolve(_untyped(inner), returns=returns, wrapped=frozenset(p.name for p in inner.parameters))
    names = {p.name for p in named}
    optional = [
        p.replace(kind=p.KEYWORD_ONLY, default=None, annotation=UNKNOWN)
        for p in inner.parameters
        if p.kind in _NAMED and p.name not in names
    ]
    rest = [p for p in inner.parameters if p.kind is p.VAR_KEYWORD]
    return _Layer([*named, *optional, *rest], own.returns, inner.bound)


def _has(layer: _Layer, kind: object) -> bool:
    return any(parameter.kind is kind for parameter in layer.parameters)


def _bound(layer: _Layer, count: int, keywords: Collection[str], holes: Collection[int] = ()) -> _Layer:
    """Return the rest of `layer` when its first `count` positional arguments, but `holes`, and `keywords` are given."""
    places = [parameter for parameter in layer.parameters if parameter.kind in _POSITIONAL]
    if count > len(places) and not _has(layer, inspect.Parameter.VAR_POSITIONAL):
        raise _BindError(f"{count} positional arguments are bound, but it takes {len(places)}")
    for hole in holes:
        if hole >= len(places) or places[hole].kind is not inspect.Parameter.POSITIONAL_ONLY:
            name = "an argument" if hole >= len(places) else f"the argument {places[hole].name!r}"
            raise _BindError(f"{name} is left open by position, and keys are passed by name: bind the others by name")
    gone = {p.name for number, p in enumerate(places[:count]) if number not in holes}
    names = {p.name for p in layer.parameters if p.kind in _NAMED} - gone
    strange = [name for name in keywords if name not in names]
    if strange and not _has(layer, inspect.Parameter.VAR_KEYWORD):
        raise _BindError(f"the argument {strange[0]!r} is bound, but it takes none of that name")
    return attrs.evolve(
        layer,
        parameters=[
            p for p in layer.parameters if p.name not in gone and not (p.kind in _NAMED and p.name in keywords)
        ],
        bound=layer.bound.union(keywords, (p.name for p in places[:count] if p.kind is not p.POSITIONAL_ONLY)),
    )


# What a signature means for the contract


def needs_of(signature: Signature, step: str) -> tuple[Need, ...]:
    """Return what a function of `step` needs, and what it accepts."""
    return tuple(
        Need(key, step, signature.types[key], required, key in signature.wrapped)
        for keys, required in ((signature.required, True), (signature.optional, False))
        for key in keys
    )


def provided_by(signature: Signature, step: str, provides: Provides = None, *, transform: bool = False) -> Shape:
    """Return what a function of `step` provides with its result.

    Args:
      signature: the function.
      step: the full name of the step.
      provides: the key under which the result is stored, or the keys of the result; by default those of the signature.
      transform: the function must return a mapping; None is not a mapping.

    Raises:
      ConfigError: what it is annotated to return can't be the output of a step.
    """
    name = signature.provides if provides is None else provides
    if isinstance(name, tuple):
        return Shape({key: Key(_value_type(signature.returns), (Source(step),)) for key in name})
    if name is not None:
        return Shape({name: Key(signature.returns, (Source(step),))})
    outputs: list[tuple[Shape, str]] = []
    for kind in members(signature.returns):
        shape = _output(kind, step, transform)
        if shape is not None:
            outputs.append((shape, f"it returns {type_name(kind)}"))
    if outputs:
        return alternatives(outputs)
    what = type_name(signature.returns)
    if transform:
        raise ConfigError(
            f"transform {step!r} returns {what}, but what it returns replaces the context, so it has to be a mapping: "
            'return {"key": value, …}; to keep the context as it is, use .step(…)'
        )
    raise ConfigError(
        f"step {step!r} returns {what}, which has no keys: store it under one, "
        f'provides="key", or return a mapping, {{"key": value}}, or an attrs or dataclass instance, or None'
    )


def _value_type(returns: object) -> object:
    """Return the type of the values of a mapping."""
    origin, args = get_origin(returns), get_args(returns)
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    return args[1] if is_mapping and len(args) == 2 else UNKNOWN


def _output(kind: object, step: str, transform: bool) -> Shape | None:
    """Return what a result of this type provides; None if it can't be an output."""
    if kind is NoneType:
        return None if transform else NOTHING
    if get_origin(kind) is Literal:
        return None  # an output of None is annotated as None
    fields = fields_of(kind)
    cls: Any = get_origin(kind) or kind
    is_mapping = isinstance(cls, type) and issubclass(cls, Mapping)
    if fields is not None and (not is_mapping or is_typed_dict(kind)):
        keys = {name: key_of(field.type, field.required, step, "it returns it") for name, field in fields.items()}
        return Shape(keys)
    return ANYTHING if fields is not None or not isinstance(cls, type) or _may_have_keys(cls) else None


_NO_OUTPUTS: Final = (Iterator, AsyncIterable, Sequence, AbstractSet)
"""Abstract classes whose instances are in practice never mappings, and have no fields."""


def _may_have_keys(cls: Any) -> bool:
    """Tell whether an instance of `cls` can be a mapping, or an instance of a subclass with fields."""
    if cls is object or Any in cls.__mro__ or getattr(cls, "_is_protocol", False):
        return True
    # a subclass with fields may be defined later, but a function that returns one would be annotated with it
    subclasses: list[Any] = type.__subclasses__(cls)
    with suppress(Exception):  # a metaclass can make issubclass do anything
        if issubclass(cls, _NO_OUTPUTS) and not issubclass(cls, Mapping):
            return False
        if issubclass(cls, Mapping) or inspect.isabstract(cls):
            return True
    return any(field_names(sub) is not None or _may_have_keys(sub) for sub in subclasses)
