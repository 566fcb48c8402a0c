"""The ways in which the engine gets its paths, and a gauge of how many run at once."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import trio
import trio.testing

from trio_steps import (
    step,
)

variable: ContextVar[object] = ContextVar("variable", default="unset")

LIMITS = ["none", "int", "limiter", "stagger", "async"]


def how(limit: str, paths: list[Any]) -> dict[str, Any]:
    """The five ways in which the engine can get its paths, as arguments of a fork."""
    if limit == "int":
        return {"paths": paths, "concurrency": 2}
    if limit == "limiter":
        return {"paths": paths, "concurrency": trio.CapacityLimiter(2)}
    if limit == "stagger":
        return {"paths": paths, "stagger": 0, "concurrency": 2}
    if limit == "async":

        async def source(*_: object) -> Any:
            for path in paths:
                yield path

        return {"paths": source, "concurrency": 2}
    return {"paths": paths}


class Gauge:
    """Counts how many paths run at once."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.starts: list[tuple[str, float]] = []

    def path(self, seconds: float, name: str = "path") -> Any:
        async def run() -> str:
            self.starts.append((name, trio.current_time()))
            self.running += 1
            self.most = max(self.most, self.running)
            await trio.sleep(seconds)
            self.running -= 1
            return name

        return step(run, id=name)
