"""Forks that grow, explored: cancelled at every point, reordered, and both. Every path that joined is accounted for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_steps import ForkPartialError, current_scope, fork

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_steps.testing import Probe

pytest_plugins = ["_trio_steps_pytest"]  # in case the entry point is not installed


@pytest.mark.parametrize("limit", [None, 1, "limiter"])
@pytest.mark.parametrize("mode", ["all", "settle", "race"])
@pytest.mark.parametrize("source", ["known", "lazy"])
def test_growing_fork_loses_no_path_wherever_it_is_cancelled(explore: Any, mode: Any, source: str, limit: Any) -> None:
    async def program(probe: Probe) -> Any:
        concurrency = probe.watch(trio.CapacityLimiter(2)) if limit == "limiter" else limit
        running = 0
        joined = 1

        async def node(depth: int) -> int:
            nonlocal running, joined
            running += 1
            try:
                await trio.lowlevel.checkpoint()
                for _ in range(2 if depth else 0):
                    current_scope().add(partial(node, depth - 1))
                    joined += 1
                if depth == 1:
                    raise OSError
                return depth
            finally:
                running -= 1

        def paths() -> Iterator[Any]:
            yield partial(node, 2)

        options: dict[str, Any] = {"paths": paths if source == "lazy" else [partial(node, 2)]}
        if source == "lazy":
            options["paths"] = lambda: paths()
        tree = fork("tree", mode=mode, concurrency=concurrency, growing=True, **options)
        try:
            result = await tree()
            if mode == "settle":
                assert len(result) == joined, "each path that joined has a result"
        except ForkPartialError as error:
            assert len(error.succeeded) + len(error.failed) == joined  # noqa: PT017 - it may not be raised at all
        finally:
            assert running == 0, "no task outlives the fork"

    explore(program, budget=40)
