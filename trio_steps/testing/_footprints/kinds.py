"""What is known about types and functions written in C: what they contain, and what they touch.

A step that can reach anything that is not listed here depends on all others.
"""

from __future__ import annotations

import abc
import array
import builtins
import collections
import contextvars
import datetime as dt
import enum
import functools
import io
import itertools
import math
import operator
import random
import re
import sys
import types
import typing
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable


class Kind(enum.Enum):
    """What an object means to a step that can reach it."""

    LEAF = enum.auto()
    """It can't be changed, and contains nothing."""
    FIXED = enum.auto()
    """It can't be changed, but its contents can."""
    OPEN = enum.auto()
    """All of its state is in its references, so a change by a step can be seen."""
    DICT = enum.auto()
    """Likewise, a dictionary."""
    INSTANCE = enum.auto()
    """Likewise, an instance of a class that is written in Python."""
    FUNCTION = enum.auto()
    """Likewise, except for its module, of which only the names in its code count."""
    CLASS = enum.auto()
    """Likewise, a class that is written in Python."""
    STATEFUL = enum.auto()
    """It has a state that can't be seen from outside, so a step that can reach it counts as changing it."""
    SCOPE = enum.auto()
    """A cancel scope of Trio: its state can be seen, but its references are not followed."""
    SYNC = enum.auto()
    """An object of Trio with which tasks synchronise."""
    TASK = enum.auto()
    """A task of Trio."""
    UNKNOWN = enum.auto()
    """Nothing is known about it."""


def _type_of(value: object) -> type:
    return type(value)


_LIST: Final[list[int]] = []
_EMPTY: Final[dict[int, int]] = {}


def _types(*names: str) -> list[type]:
    """Return the types with these names in `types`, as far as this Python has them."""
    return [kind for name in names if isinstance(kind := getattr(types, name, None), type)]


async def _generates() -> AsyncGenerator[None]:
    yield


def _awaitables_of_generators() -> list[type]:
    generator = _generates()
    made: list[Any] = [generator.__anext__(), generator.asend(None), generator.aclose()]
    with suppress(StopIteration):
        made[0].send(None)
    for awaitable in made:
        awaitable.close()
    return list(map(_type_of, made))


_LEAVES: Final[list[type]] = [
    *(types.NoneType, bool, int, float, complex, str, bytes, types.EllipsisType, types.NotImplementedType, range),
    *_types(
        "CodeType", "FrameType", "TracebackType", "WrapperDescriptorType", "MethodDescriptorType",
        "ClassMethodDescriptorType", "GetSetDescriptorType", "MemberDescriptorType", "GenericAlias", "UnionType",
    ),
    *(dt.date, dt.time, dt.datetime, dt.timedelta, dt.timezone),
    *(re.Pattern, re.Match, contextvars.Token),
    *(kind for name in ("TypeVar", "ParamSpec", "TypeVarTuple", "TypeAliasType", "Union")
      if isinstance(kind := getattr(typing, name, None), type)),
    _type_of(vars(abc.ABC)["_abc_impl"]),  # the cache of an ABC for its subclass checks
]  # fmt: skip
_FIXED: Final[list[type]] = [
    *(tuple, frozenset, slice, property, super),
    *map(_type_of, (_EMPTY.keys(), _EMPTY.values(), _EMPTY.items())),
    *(types.MethodType, types.MappingProxyType, _type_of("".__str__), contextvars.Context),
    *(contextvars.ContextVar, operator.itemgetter, operator.attrgetter, operator.methodcaller),
]
_OPEN: Final[list[Any]] = [
    list,
    set,
    types.CellType,
    collections.deque,
    functools.partial,
    object,
    typing.Generic,
    classmethod,
    staticmethod,
]
_DICTS: Final[list[type]] = [dict, collections.OrderedDict, collections.defaultdict]
_STATEFUL: Final[list[type]] = [
    *(types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType),
    *_awaitables_of_generators(),
    *(bytearray, memoryview, array.array, io.StringIO, io.BytesIO, random.Random.__mro__[1]),
    *(reversed, enumerate, zip, map, filter),
    *map(_type_of, (reversed(_LIST), iter(int, None), functools.lru_cache(len))),
    *(_type_of(iter(empty)) for empty in (_LIST, (), _EMPTY, _EMPTY.values(), _EMPTY.items(), set[int]())),
    *(_type_of(iter(empty)) for empty in (range(0), "", collections.deque[int]())),
    *(kind for kind in vars(itertools).values() if isinstance(kind, type)),
]


def _coroutine_wrapper() -> type:
    async def nothing() -> None: ...

    coroutine = nothing()
    wrapper = coroutine.__await__()
    wrapper.close()
    return type(wrapper)


KNOWN: Final[dict[type, Kind]] = {
    **dict.fromkeys(_LEAVES, Kind.LEAF),
    **dict.fromkeys(_FIXED, Kind.FIXED),
    **dict.fromkeys(_OPEN, Kind.OPEN),
    **dict.fromkeys(_DICTS, Kind.DICT),
    **dict.fromkeys(_STATEFUL, Kind.STATEFUL),
    _coroutine_wrapper(): Kind.STATEFUL,
    types.FunctionType: Kind.FUNCTION,
}
"""Types that are written in C.

Two that look harmless are not among them: weak references, because dropping an object changes their value; and
decimals, because adding two of them changes the decimal context, which tasks share.
"""

_QUIET: Final = frozenset(
    {
        (module.__name__, name)
        for module, names in {
            builtins: "abs aiter all anext any ascii bin callable chr delattr divmod format getattr hasattr hash hex "
            "id isinstance issubclass iter len max min next oct ord pow repr round setattr sorted sum",
            sys: "exc_info exception intern",
            functools: "reduce cmp_to_key",
            math: " ".join(name for name in vars(math) if not name.startswith("_")),
            operator: " ".join(name for name in vars(operator) if not name.startswith("__")),
        }.items()
        for name in names.split()
    }
    | {("_operator", name) for name in vars(operator)}
    | {("_abc", name) for name in vars(sys.modules["_abc"])}
    | {("_functools", "reduce"), ("_functools", "cmp_to_key"), ("_contextvars", "copy_context")}
)
"""C functions that touch nothing but their arguments."""


def is_quiet(function: Any) -> bool:
    """Tell whether a function or method written in C touches nothing but its object and its arguments."""
    owner: object = getattr(function, "__self__", None)
    if owner is None or type(owner) is types.ModuleType:
        return (getattr(function, "__module__", None), function.__name__) in _QUIET
    return is_known(owner if isinstance(owner, type) else type(owner))


def is_known(kind: type) -> bool:
    """Tell whether everything is known about the parts of a type that are written in C."""
    return all(base in KNOWN or _is_error(base) or is_of_python(base) for base in kind.__mro__)


def kind_of(kind: type) -> Kind:
    """Return the kind of objects of a type. For Trio's types, `kind_of_trio` knows more."""
    known = KNOWN.get(kind)
    if known is not None:
        return known
    if type in kind.__mro__:
        return Kind.CLASS
    if not is_known(kind):
        return Kind.UNKNOWN
    is_stateful = any(KNOWN.get(base) is Kind.STATEFUL for base in kind.__mro__)
    return Kind.STATEFUL if is_stateful else Kind.INSTANCE


def _is_error(kind: type) -> bool:
    return issubclass(kind, BaseException) and getattr(builtins, kind.__name__, None) is kind


def is_of_python(kind: type) -> bool:
    """Tell whether a class is written in Python: classes written in C have other descriptors."""
    slots: object = vars(kind).get("__slots__", ())
    names = {slots} if isinstance(slots, str) else set(cast("Iterable[object]", slots))
    private = f"_{kind.__name__.lstrip('_')}"
    for name, value in vars(kind).items():
        if isinstance(value, _MADE_BY_C) and getattr(value, "__objclass__", kind) is kind:
            plain = name.removeprefix(private) if name.startswith(f"{private}__") else name
            is_slot = type(value) is types.MemberDescriptorType and (plain in names or name in names)
            if not is_slot and name not in ("__dict__", "__weakref__"):
                return False
    return bool(kind.__flags__ & _HEAP)


_HEAP: Final = 1 << 9
_MADE_BY_C: Final = (
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
