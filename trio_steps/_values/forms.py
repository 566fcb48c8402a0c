"""How each type that a checkpoint can hold is taken apart, and put together again."""

from __future__ import annotations

import sys
from array import array
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from math import isfinite
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID, SafeUUID

from trio_steps._core.errors import listed
from trio_steps._core.results import Fulfilled, Rejected

from .classes import ProblemError, class_of, enum_apart, enum_make, error_apart, error_make, items
from .copying import beneath, described

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .classes import JSON

_BITS: Final = 2_000  # of an int that Python surely writes and reads in decimal, whatever its limit is set to


class Form:
    """How a type is written.

    It is taken apart into a head, which is JSON, and parts, which are values. What can change is made of the head
    alone, and filled with the parts later, so that it can hold itself; all else is made of both. The parts of a leaf
    hold nothing that could be shared.
    """

    __slots__ = ("apart", "fill", "leaf", "make", "tag")

    def __init__(
        self,
        tag: str,
        apart: Callable[[Any], tuple[JSON, Sequence[object]]],
        make: Callable[[Any, list[Any]], object],
        fill: Callable[[Any, list[Any]], object] | None = None,
        *,
        leaf: bool = False,
    ) -> None:
        self.tag = tag
        self.apart = apart
        self.make = make
        self.fill = fill
        self.leaf = leaf


def enter(value: dict[Any, Any], parts: list[Any]) -> None:
    for key, part in zip(parts[::2], parts[1::2]):  # noqa: B905 - the text may be damaged
        value[key] = part  # noqa: PERF403 - a Counter's update counts


def _no_parts(_value: object, _parts: list[Any]) -> None:
    """Fill what has no parts: it can change all the same, so it matters where else it stands."""


def _bare_items(value: Mapping[Any, Any]) -> tuple[JSON, Sequence[object]]:
    if vars(value):
        raise ProblemError(f"a {type(value).__qualname__} has attributes of its own ({listed(vars(value))})")
    return None, items(value)


def _chain_apart(value: ChainMap[Any, Any]) -> tuple[JSON, Sequence[object]]:
    if len(vars(value)) != 1:
        raise ProblemError(f"a ChainMap has attributes of its own ({listed(vars(value))})")
    return None, (value.maps,)


def _chain_fill(value: ChainMap[Any, Any], parts: list[Any]) -> None:
    (value.maps,) = parts


_FACTORIES: Final[dict[str, Callable[[], Any] | None]] = {
    "None": None,
    **{
        factory.__name__: factory
        for factory in (
            *(bool, bytearray, bytes, complex, dict, float, frozenset, int, list, set, str, tuple),
            *(deque, Counter, OrderedDict),
        )
    },
}


def _defaultdict_apart(value: defaultdict[Any, Any]) -> tuple[JSON, Sequence[object]]:
    for name, factory in _FACTORIES.items():
        if factory is value.default_factory:
            return name, items(value)
    raise ProblemError(f"a defaultdict has the factory {described(value.default_factory)}")


def _array_make(head: JSON, _parts: list[Any]) -> object:
    return cast("Callable[[str], array[Any]]", array)(head)  # type checkers warn of one of its typecodes


def _array_fill(value: array[Any], parts: list[Any]) -> None:
    value.fromlist(parts)


def _three(value: Any) -> tuple[JSON, Sequence[object]]:
    return None, (value.start, value.stop, value.step)


def _time_apart(value: datetime | time) -> tuple[JSON, Sequence[object]]:
    return [value.hour, value.minute, value.second, value.microsecond, value.fold], (value.tzinfo,)


def _datetime_apart(value: datetime) -> tuple[JSON, Sequence[object]]:
    head, parts = _time_apart(value)
    return [value.year, value.month, value.day, *head], parts


def _datetime_make(head: JSON, parts: list[Any]) -> object:
    return datetime(*head[:7], *parts, fold=head[7])  # noqa: DTZ001 - its time zone, or None, is the one part


def _timezone_apart(value: Any) -> tuple[JSON, Sequence[object]]:
    return None, value.__getinitargs__()  # what it is pickled by; a name that it was not given is none


def _zone_apart(value: Any) -> tuple[JSON, Sequence[object]]:
    if value.key is None:
        raise ProblemError(f"{described(value)} has no key")
    return None, (value.key,)


def _zone_make(_head: JSON, parts: list[Any]) -> object:
    zone = _zone_info()
    if zone is None:
        raise ProblemError("a ZoneInfo can't be made: the module 'zoneinfo' is not imported")
    return zone(*parts)


def _zone_info() -> type[Any] | None:
    # to import it takes longer than all of trio_steps; who has a ZoneInfo has done so
    return cast("type[Any] | None", getattr(sys.modules.get("zoneinfo"), "ZoneInfo", None))


def _path(kind: type[PurePosixPath | PureWindowsPath]) -> Form:
    return Form(kind.__name__, lambda value: (None, (str(value),)), lambda _, parts: kind(*parts), leaf=True)


LIST: Final = Form("list", lambda value: (None, value), lambda _head, _parts: [], list[Any].extend)
DICT: Final = Form("dict", lambda value: (None, items(value)), lambda _head, _parts: {}, enter)
_INT: Final = Form("int", lambda value: (hex(value), ()), lambda head, _: int(head, 16))
_FLOAT: Final = Form("float", lambda value: (repr(value), ()), lambda head, _: float(head))
_STR: Final = Form(
    "str",
    lambda value: (value.encode("utf-8", "surrogatepass").hex(), ()),
    lambda head, _: bytes.fromhex(head).decode("utf-8", "surrogatepass"),
)
_ENUM: Final = Form("enum", enum_apart, enum_make, leaf=True)
_ERROR: Final = Form("error", error_apart, error_make)
_ZONE: Final = Form("zone", _zone_apart, _zone_make, leaf=True)

_FORMS: Final[dict[int, Form]] = {
    id(list): LIST,
    id(dict): DICT,
    id(tuple): Form("tuple", lambda value: (None, value), lambda _, parts: tuple(parts)),
    id(set): Form("set", lambda value: (None, list(value)), lambda _head, _parts: set[Any](), set[Any].update),
    id(frozenset): Form("frozenset", lambda value: (None, list(value)), lambda _, parts: frozenset(parts)),
    id(bytes): Form("bytes", lambda value: (value.hex(), ()), lambda head, _: bytes.fromhex(head)),
    id(bytearray): Form(
        "bytearray", lambda value: (value.hex(), ()), lambda head, _: bytearray.fromhex(head), _no_parts
    ),
    id(array): Form("array", lambda value: (value.typecode, value.tolist()), _array_make, _array_fill),
    id(deque): Form(
        "deque", lambda value: (value.maxlen, list(value)), lambda head, _: deque[Any](maxlen=head), deque[Any].extend
    ),
    id(OrderedDict): Form("OrderedDict", _bare_items, lambda _head, _parts: OrderedDict[Any, Any](), enter),
    id(Counter): Form("Counter", _bare_items, lambda _head, _parts: Counter[Any](), enter),
    id(defaultdict): Form(
        "defaultdict", _defaultdict_apart, lambda head, _: defaultdict[Any, Any](_FACTORIES[head]), enter
    ),
    id(ChainMap): Form("ChainMap", _chain_apart, lambda _head, _parts: ChainMap[Any, Any](), _chain_fill),
    id(MappingProxyType): Form(
        "mappingproxy", lambda value: (None, (beneath(value),)), lambda _, parts: MappingProxyType(*parts)
    ),
    id(Fulfilled): Form(
        "fulfilled", lambda value: (None, (value.step_id, value.value)), lambda _, parts: Fulfilled(*parts)
    ),
    id(Rejected): Form(
        "rejected", lambda value: (None, (value.step_id, value.error)), lambda _, parts: Rejected(*parts)
    ),
    id(type(...)): Form("ellipsis", lambda _: (None, ()), lambda _head, _parts: ...),
    id(complex): Form(
        "complex", lambda value: (None, (value.real, value.imag)), lambda _, parts: complex(*parts), leaf=True
    ),
    id(range): Form("range", _three, lambda _, parts: range(*parts), leaf=True),
    id(slice): Form("slice", _three, lambda _, parts: slice(*parts)),
    id(date): Form("date", lambda value: ([value.year, value.month, value.day], ()), lambda head, _: date(*head)),
    id(time): Form("time", _time_apart, lambda head, parts: time(*head[:4], *parts, fold=head[4]), leaf=True),
    id(datetime): Form("datetime", _datetime_apart, _datetime_make, leaf=True),
    id(timedelta): Form(
        "timedelta",
        lambda value: ([value.days, value.seconds, value.microseconds], ()),
        lambda head, _: timedelta(*head),
    ),
    id(timezone): Form("timezone", _timezone_apart, lambda _, parts: timezone(*parts), leaf=True),
    id(Decimal): Form("Decimal", lambda value: (str(value), ()), lambda head, _: Decimal(head)),
    id(UUID): Form(
        "UUID",
        lambda value: ([value.hex, value.is_safe.name], ()),
        lambda head, _: UUID(head[0], is_safe=SafeUUID[head[1]]),
    ),
    **{id(kind): _path(kind) for kind in (PosixPath, PurePosixPath, PureWindowsPath, WindowsPath)},
}
BY_TAG: Final = {form.tag: form for form in (*_FORMS.values(), _INT, _FLOAT, _STR, _ENUM, _ERROR, _ZONE)}

_NONE: Final = id(type(None))
_BOOL: Final = id(bool)


def form_of(value: Any) -> Form | None:
    """Return how `value` is written; None if JSON has a word for it."""
    kind = class_of(value)
    if kind is str:
        return None if is_plain(value) else _STR
    if kind is int:
        return None if value.bit_length() <= _BITS else _INT
    if kind is float:
        return None if isfinite(value) else _FLOAT
    if id(kind) in (_NONE, _BOOL):
        return None
    form = _FORMS.get(id(kind))
    if form is not None:
        return form
    if issubclass(kind, Enum):
        return _ENUM
    if issubclass(kind, Exception):
        return _ERROR
    if kind is _zone_info():
        return _ZONE
    raise ProblemError(f"{described(value)} can't be held in a checkpoint; codec=… can be told how")


def is_plain(text: str) -> bool:
    """Tell whether JSON gives `text` back; of two lone surrogates it makes one character."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
