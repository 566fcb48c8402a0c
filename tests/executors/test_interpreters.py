"""Every pool of this Python that needs no other process runs paths. Since 3.14, that includes interpreters."""

from __future__ import annotations

import math
import sys
from concurrent import futures
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_steps import gather, settle, step
from trio_steps.executors import on_executor

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("ThreadPoolExecutor", "InterpreterPoolExecutor")[: 1 + (sys.version_info >= (3, 14))]


@pytest.fixture(params=NAMES)
def pool(request: pytest.FixtureRequest) -> Iterator[futures.Executor]:
    with getattr(futures, request.param)(1) as pool:
        yield pool


def paths(pool: futures.Executor) -> list[Any]:
    """Return paths whose functions an interpreter can import."""
    factorial, root = on_executor(pool, math.factorial), on_executor(pool, math.sqrt)
    return [step(partial(factorial, 5), id="factorial"), step(partial(root, -1), id="root")]


async def test_pool_returns_values(pool: futures.Executor) -> None:
    factorial = on_executor(pool, math.factorial)
    assert await gather(partial(factorial, 3), partial(factorial, 4)) == (6, 24)


async def test_pool_raises_the_error_of_its_function(pool: futures.Executor) -> None:
    value, failure = await settle(*paths(pool))
    assert (value.step_id, value.status, value.value) == ("factorial", "fulfilled", 120)
    assert (failure.step_id, failure.status, type(failure.error)) == ("root", "rejected", ValueError)


async def test_pool_runs_nothing_for_a_path_that_is_cancelled(pool: futures.Executor) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await gather(*paths(pool))
    assert scope.cancelled_caught
    assert await on_executor(pool, math.factorial)(3) == 6
