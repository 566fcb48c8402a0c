"""Whether a value of one type can be one of another.

A pipeline refuses only what can't work, so this errs on the side of yes. The answer is no if two types, as declared,
have no value in common, and yes for everything that is not understood. A union fits if one of its members does. A class
also fits its subclasses, because the value may be an instance of one. ``list`` fits ``list[int]``, but ``list[str]``
does not, although both include the empty list.
"""

from __future__ import annotations

import collections
import inspect
from collections import abc
from contextlib import suppress
from typing import IO, Any, Literal, NewType, TypeVar, cast, get_args, get_origin

from .annotations import UNKNOWN, members, supertype
from .records import fields_of, is_typed_dict

_DEEP = 20
"""Types can be recursive. They are not followed deeper than this."""

_PROMOTED: tuple[tuple[type, type], ...] = (
    # PEP 484: "when an argument is annotated as having type float, an argument of type int is acceptable"
    (int, float),
    (int, complex),
    (float, complex),
    (bytearray, bytes),
    (memoryview, bytes),
)

_OF_ELEMENTS: frozenset[object] = frozenset(
    {
        list,
        set,
        frozenset,
        collections.deque,
        abc.Container,
        abc.Iterable,
        abc.Iterator,
        abc.Reversible,
        abc.Collection,
        abc.Sequence,
        abc.MutableSequence,
        abc.Set,
        abc.MutableSet,
    }
)
_OF_PAIRS: frozenset[object] = frozenset(
    {dict, collections.defaultdict, collections.OrderedDict, collections.ChainMap, abc.Mapping, abc.MutableMapping}
)
_NOT_COMPARED: frozenset[object] = frozenset({abc.Generator, abc.AsyncGenerator, abc.Coroutine})
"""The send types of these are contravariant."""


def fits(have: object, want: object, depth: int = 0) -> bool:
    """Tell whether a value of type `have` can be of type `want`. False is certain, True is not."""
    if have is want or depth > _DEEP:
        return True
    wanted = members(want, into_new_types=False)
    return any(_fits_one(one, other, depth + 1) for one in members(have, into_new_types=False) for other in wanted)


def _fits_one(have: object, want: object, depth: int) -> bool:
    if get_origin(have) is Literal:
        return any(_literal_fits(value, want, depth) for value in get_args(have))
    if get_origin(want) is Literal:
        return any(fits(have, cast("object", type(value)), depth) for value in get_args(want))
    if isinstance(have, NewType) or isinstance(want, NewType):
        if isinstance(have, NewType) and isinstance(want, NewType) and not _derived(have, want):
            return False
        return fits(supertype(have), supertype(want), depth)
    have_class, have_args = _parts(have)
    want_class, want_args = _parts(want)
    if have_class is None or want_class is None:
        return True
    if is_typed_dict(have_class) and is_typed_dict(want_class):
        return _fields_fit(have_class, want_class, depth)
    if is_typed_dict(have_class):
        have_class, have_args = dict, (str, UNKNOWN)
    if is_typed_dict(want_class):
        want_class, want_args = dict, (str, UNKNOWN)
    return _classes_fit(have_class, want_class) and _arguments_fit(have_class, have_args, want_class, want_args, depth)


def _literal_fits(value: object, want: object, depth: int) -> bool:
    if get_origin(want) is Literal:
        return any(type(value) is type(other) and value == other for other in get_args(want))
    return fits(type(value), want, depth)


def _derived(one: object, other: object) -> bool:
    """Tell whether one of two ``NewType`` is derived from the other."""
    return other in _ancestry(one) or one in _ancestry(other)


def _ancestry(kind: object) -> list[object]:
    ancestry = [kind]
    while isinstance(kind, NewType):
        kind = supertype(kind)
        ancestry.append(kind)
    return ancestry


def _parts(kind: object) -> tuple[type | None, tuple[Any, ...]]:
    """Return the class of `kind`, or None if it has none or says too little, and the type arguments."""
    origin = get_origin(kind)
    cls = kind if origin is None else origin
    # A class that inherits from Any may inherit anything. No file class inherits from IO.
    if not isinstance(cls, type) or getattr(cls, "_is_protocol", False) or Any in cls.__mro__ or IO in cls.__mro__:
        return None, ()
    return cls, get_args(kind)


def _classes_fit(have: type, want: type) -> bool:
    with suppress(Exception):  # a metaclass can make issubclass do anything
        return (
            issubclass(have, want)
            or issubclass(want, have)
            or any(
                (issubclass(have, narrow) and want is wide) or (have is wide and issubclass(want, narrow))
                for narrow, wide in _PROMOTED
            )
            # like Iterable and Sized: an object can have most abilities at once
            or (inspect.isabstract(have) and inspect.isabstract(want))
        )
    return True


def _fields_fit(have: type, want: type, depth: int) -> bool:
    """Tell whether a value can be of both ``TypedDict`` types. The keys that both require decide."""
    mine, theirs = fields_of(have) or {}, fields_of(want) or {}
    return all(
        fits(mine[name].type, field.type, depth)
        for name, field in theirs.items()
        if name in mine and (mine[name].required and field.required)
    )


def _arguments_fit(have: type, have_args: tuple[Any, ...], want: type, want_args: tuple[Any, ...], depth: int) -> bool:
    if not have_args or not want_args:
        return True
    if have is tuple or want is tuple:
        return _tuples_fit(have, have_args, want, want_args, depth)
    if len(have_args) != len(want_args):
        return True
    if have is not want:
        comparable = {have, want} <= _OF_ELEMENTS or {have, want} <= _OF_PAIRS
        return not comparable or _all_fit(have_args, want_args, depth)
    if have in _NOT_COMPARED:
        return True
    parameters = cast("tuple[Any, ...]", getattr(have, "__parameters__", ()))
    return all(
        fits(one, other, depth)
        for index, (one, other) in enumerate(zip(have_args, want_args))  # noqa: B905 - as long as each other
        if index >= len(parameters) or _comparable(parameters[index])
    )


def _comparable(parameter: object) -> bool:
    return isinstance(parameter, TypeVar) and not parameter.__contravariant__


def _all_fit(have: tuple[Any, ...], want: tuple[Any, ...], depth: int) -> bool:
    return all(fits(one, other, depth) for one, other in zip(have, want))  # noqa: B905 - lengths are the caller's


def _tuples_fit(have: type, have_args: tuple[Any, ...], want: type, want_args: tuple[Any, ...], depth: int) -> bool:
    if any("Unpack[" in str(arg) or str(arg).startswith("*") for arg in have_args + want_args):
        return True
    if have is not tuple or want is not tuple:
        if have not in _OF_ELEMENTS and want not in _OF_ELEMENTS:
            return True
        if have is tuple:
            want_args = (want_args[0], ...)
        else:
            have_args = (have_args[0], ...)
    lengths = {len(args) for args in (have_args, want_args) if args[-1] is not ...}
    if len(lengths) > 1:
        return False
    length = max(lengths, default=1)
    return _all_fit(_of_length(have_args, length), _of_length(want_args, length), depth)


def _of_length(args: tuple[Any, ...], length: int) -> tuple[Any, ...]:
    return args[:1] * length if args[-1] is ... else args


def is_ordered(kind: Any) -> bool:
    """Tell whether `kind` is a class of collections with a length and an order: lists, ranges, arrays, deques.

    Text has both, but no one means its characters.
    """
    if not isinstance(kind, type) or issubclass(kind, (abc.Mapping, str, bytes, bytearray)):
        return False
    names = set(dir(cast("object", kind)))
    return "__len__" in names and bool(names & {"__getitem__", "__reversed__"})
