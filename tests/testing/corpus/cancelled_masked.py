"""A library turns every exception into its own error, even a cancellation from outside."""

from __future__ import annotations

from typing import Any

import trio

TITLE = "`Cancelled` masked by another error"


class QueryError(Exception):
    pass


async def execute() -> str:
    await trio.sleep(1)
    return "row"


async def buggy(probe: Any) -> str:
    try:
        return await execute()
    except BaseException as error:
        raise QueryError("the query failed") from error  # BUG


async def fixed(probe: Any) -> str:
    try:
        return await execute()
    except Exception as error:
        raise QueryError("the query failed") from error
