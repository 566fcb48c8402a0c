"""Values of all kinds, to be given to each option of a function: some are right for it, and most are not."""

from __future__ import annotations

import math
from typing import Any, Final

import trio


async def async_function(*_: object) -> None:
    """Never called."""


JUNK: Final[dict[str, Any]] = {
    "text": "no",
    "empty": "",
    "bytes": b"no",
    "0": 0,
    "1": 1,
    "-1": -1,
    "1.5": 1.5,
    "huge": 10**400,
    "nan": math.nan,
    "infinity": math.inf,
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
