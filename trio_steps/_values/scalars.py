"""Immutable values of Python and its library that hold no others: how each is written and read.

Two values of one type are equal if they are written alike, whatever their own ``==`` returns. ``Decimal("1.0")`` and
``Decimal("1.00")`` are two values, and so are datetimes of one instant in two time zones.
"""

from __future__ import annotations

import struct
import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from math import isfinite, isnan
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID, SafeUUID

from .described import described
from .form import Form, ProblemError, class_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .form import JSON

_MOST_BITS: Final = 2_000  # of an int that Python can write and read in decimal under any limit
_DOUBLE: Final = struct.Struct(">d")

bits_of: Final = _DOUBLE.pack
"""The bits of a float, by which a NaN equals itself, and ``0.0`` differs from ``-0.0``."""


def _float_apart(value: float) -> tuple[JSON, Sequence[object]]:
    bits = bits_of(value)
    return (f"0x{bits.hex()}" if isnan(value) and bits != bits_of(float("nan")) else repr(value)), ()


def _float_make(head: JSON, _parts: list[Any]) -> float:
    if head.startswith("0x"):
        (value,) = _DOUBLE.unpack(bytes.fromhex(head[2:]))
        return cast("float", value)
    return float(head)


def _time_apart(value: datetime | time) -> tuple[JSON, Sequence[object]]:
    return [value.hour, value.minute, value.second, value.microsecond, value.fold], (value.tzinfo,)


def _datetime_apart(value: datetime) -> tuple[JSON, Sequence[object]]:
    head, parts = _time_apart(value)
    return [value.year, value.month, value.day, *head], parts


def _datetime_make(head: JSON, parts: list[Any]) -> object:
    return datetime(*head[:7], *parts, fold=head[7])  # noqa: DTZ001 - its time zone, or None, is the one part


def _timezone_apart(value: Any) -> tuple[JSON, Sequence[object]]:
    return None, value.__getinitargs__()  # as for pickle: without a name if none was given


def three(value: Any) -> tuple[object, object, object]:
    """Return start, stop and step of a slice or a range."""
    return value.start, value.stop, value.step


def _path(kind: type[PurePosixPath | PureWindowsPath]) -> Form:
    return Form(kind.__name__, lambda value: (None, (str(value),)), lambda _, parts: kind(*parts), leaf=True)


_BYTES: Final = Form("bytes", lambda value: (value.hex(), ()), lambda head, _: bytes.fromhex(head))
_COMPLEX: Final = Form(
    "complex", lambda value: (None, (value.real, value.imag)), lambda _, parts: complex(*parts), leaf=True
)
_INT: Final = Form("int", lambda value: (hex(value), ()), lambda head, _: int(head, 16))
_FLOAT: Final = Form("float", _float_apart, _float_make)
_STR: Final = Form(
    "str",
    lambda value: (value.encode("utf-8", "surrogatepass").hex(), ()),
    lambda head, _: bytes.fromhex(head).decode("utf-8", "surrogatepass"),
)

SCALARS: Final[dict[type[Any], Form | None]] = {
    type(None): None,
    bool: None,
    # JSON has words for most of these; `form_of_word` knows the others
    int: _INT,
    float: _FLOAT,
    str: _STR,
    bytes: _BYTES,
    complex: _COMPLEX,
    type(...): Form("ellipsis", lambda _: (None, ()), lambda _head, _parts: ...),
    range: Form("range", lambda value: (None, three(value)), lambda _, parts: range(*parts), leaf=True),
    date: Form("date", lambda value: ([value.year, value.month, value.day], ()), lambda head, _: date(*head)),
    time: Form("time", _time_apart, lambda head, parts: time(*head[:4], *parts, fold=head[4]), leaf=True),
    datetime: Form("datetime", _datetime_apart, _datetime_make, leaf=True),
    timedelta: Form(
        "timedelta",
        lambda value: ([value.days, value.seconds, value.microseconds], ()),
        lambda head, _: timedelta(*head),
    ),
    timezone: Form("timezone", _timezone_apart, lambda _, parts: timezone(*parts), leaf=True),
    Decimal: Form("Decimal", lambda value: (str(value), ()), lambda head, _: Decimal(head)),
    UUID: Form(
        "UUID",
        lambda value: ([value.hex, value.is_safe.name], ()),
        lambda head, _: UUID(head[0], is_safe=SafeUUID[head[1]]),
    ),
    **{kind: _path(kind) for kind in (PosixPath, PurePosixPath, PureWindowsPath, WindowsPath)},
}

# Frequent types that `==` compares quickly and exactly: a step sees no difference between equal values of one of them.
ATOMS: Final = frozenset({int, str, bytes})


def is_plain(text: str) -> bool:
    """Tell whether JSON returns `text` unchanged. It turns two lone surrogates into one character."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_word(value: Any) -> bool:
    """Tell whether JSON returns `value`, an int, a float or a str, unchanged."""
    kind = class_of(value)
    if kind is str:
        return is_plain(value)
    return value.bit_length() <= _MOST_BITS if kind is int else isfinite(value)


# Types of modules that are slow to import: a program that has such a value has imported its module


def _zone_apart(value: Any) -> tuple[JSON, Sequence[object]]:
    if value.key is None:
        raise ProblemError(f"{described(value)} has no key")
    return None, (value.key,)


def _late(module: str, name: str) -> Callable[..., Any]:
    def make(*args: object) -> object:
        kind = late_class(module, name)
        if kind is None:
            raise ProblemError(f"a {name} can't be made: the module {module!r} is not imported")
        return kind(*args)

    return make


def late_class(module: str, name: str) -> type[Any] | None:
    """Return a class of a module of Python's library; None if the module is not imported."""
    return cast("type[Any] | None", getattr(sys.modules.get(module), name, None))


def _text_of(kind: str) -> Form:
    make = _late("ipaddress", kind)
    return Form(kind, lambda value: (None, (str(value),)), lambda _, parts: make(*parts), leaf=True)


_make_zone: Final = _late("zoneinfo", "ZoneInfo")
_make_fraction: Final = _late("fractions", "Fraction")

LATE: Final[dict[tuple[str, str], Form]] = {
    ("zoneinfo", "ZoneInfo"): Form("zone", _zone_apart, lambda _, parts: _make_zone(*parts), leaf=True),
    ("fractions", "Fraction"): Form(
        "Fraction",
        lambda value: (None, (value.numerator, value.denominator)),
        lambda _, parts: _make_fraction(*parts),
        leaf=True,
    ),
    **{
        ("ipaddress", f"IPv{version}{what}"): _text_of(f"IPv{version}{what}")
        for version in (4, 6)
        for what in ("Address", "Network", "Interface")
    },
}
