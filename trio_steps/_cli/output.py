"""Results as JSON, for people and programs to read. Values that JSON can't express become text.

This is not a codec: the output can't be read back. It never fails, and shows a result as well as it can.
"""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from math import isfinite
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import attrs

from trio_steps._core.step import type_of
from trio_steps._values.described import described

from .streams import lacks

if TYPE_CHECKING:
    from collections.abc import Iterable

_BITS: Final = 2_000  # digits of an int that Python always writes in decimal, whatever its limit
_LEVELS: Final = 100  # levels of nesting in a result


def as_json(value: object) -> str:
    """Return `value` as JSON that standard output can encode."""
    plain_value = _plain(value)
    text = json.dumps(plain_value, indent=2, ensure_ascii=False)
    return json.dumps(plain_value, indent=2) if lacks(text) else text


def _plain(value: Any, level: int = 0) -> Any:
    """Return `value` as JSON. Text replaces what JSON can't express, and what is nested too deep or in itself."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, float) and not isfinite(value):
        return repr(value)
    if isinstance(value, int) and value.bit_length() > _BITS:
        return hex(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if level == _LEVELS:
        return described(value)
    level += 1
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {key if isinstance(key, str) else str(_plain(key, level)): _plain(part, level) for key, part in items}
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return [_plain(part, level) for part in cast("Iterable[object]", value)]
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (PurePath, UUID, Decimal)):
        return str(value)
    kind: Any = type_of(value)
    fields: Any = None
    if attrs.has(kind):
        fields = attrs.fields(kind)
    elif dataclasses.is_dataclass(kind):
        fields = dataclasses.fields(kind)
    if fields is not None:
        return {field.name: _plain(getattr(value, field.name), level) for field in fields}
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - the rest of the result matters more
        return described(value)
