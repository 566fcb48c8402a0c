"""Values of all kinds, to be given to each option of a function: some are right for it, and most are not."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import trio


class Index:
    """Like a number of numpy, it can be used as an index, and is no int."""

    def __index__(self) -> int:
        return 1


async def async_function(*_: object) -> None:
    """Never called."""


JUNK: Final[dict[str, Any]] = {
    "text": "no",
    "empty": "",
    "bytes": b"no",
    "0": 0,
    "1": 1,
    "-1": -1,
    "-huge": -(10**5_000),
    "1.5": 1.5,
    "huge": 10**5_000,  # more than a float can hold, and than Python writes in decimal
    "nan": math.nan,
    "infinity": math.inf,
    "-infinity": -math.inf,
    "decimal": Decimal(1),
    "fraction": Fraction(1),
    "index": Index(),
    "true": True,
    "false": False,
    "none": None,
    "tuple": (),
    "list": [1],
    "mapping": {1: "no"},
    "object": object(),
    "limiter": trio.CapacityLimiter(1),
    "function": lambda *_: None,
    "async": async_function,
}


def wrong(right: str) -> list[Any]:
    """Return all values but those that are named in `right`."""
    return [value for name, value in JUNK.items() if name not in right.split()]


def named(right: str) -> list[Any]:
    """Return the values that are named in `right`."""
    return [JUNK[name] for name in right.split()]
