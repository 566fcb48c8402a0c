"""Pipelines, explored: cancelled at every point, reordered, and both; see `trio_steps.testing`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_steps import Checkpoint, Pipeline, StepSucceeded, otherwise, when
from trio_steps.testing import Probe, RecordingObserver

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["_trio_steps_pytest"]  # also where the package was installed without it

BUDGET = 50
"""How many runs; the patient say --steps-budget=2000, or 60s, for each test."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("trio_steps")
    logger.disabled = True
    yield
    logger.disabled = False


class Work:
    """Steps that say when they have done their work, so that nobody can claim it for them."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def step(self, name: str, seconds: float) -> Any:
        async def run() -> dict[str, object]:
            await trio.sleep(seconds)
            self.done.append(name)
            return {name: name}

        return run

    def pipeline(self) -> Pipeline[Any, Any]:
        nested = Pipeline("nested").step("x", self.step("x", 1)).step("y", self.step("y", 1))
        return (
            Pipeline("all-kinds")
            .step("first", self.step("a", 1))
            .step("group", self.step("b", 1), nested, self.step("c", 2))
            .branch_on(
                "route",
                when(lambda a: a == "nobody", lambda p: p.step("never", self.step("never", 1))),
                otherwise(lambda p: p.step("taken", self.step("d", 1))),
            )
            .for_each("each", self.each, over="items", each="item", into="collected", concurrency=2)
            .step("race", self.step("slow", 9), self.step("quick", 1), mode="race")
            .step("last", self.step("e", 1))
        )

    async def each(self, item: int) -> int:
        await trio.sleep(item)
        return item * 10


def test_pipeline_keeps_its_promises_wherever_it_is_cancelled(explore: Any) -> None:
    """No hook hears of success after a cancellation, and no checkpoint claims a step whose work is not done."""

    async def program(probe: Probe) -> Any:
        work = Work()
        claimed: list[str] = []
        observer = RecordingObserver()
        works = {
            "first": "a",
            "group/1": "b",
            "group/nested/x": "x",
            "group/nested/y": "y",
            "group/3": "c",
            "last": "e",
        }

        def hook(event: Any) -> None:
            assert event.name not in works or works[event.name] in work.done
            Checkpoint.from_json(event.checkpoint.to_json())
            claimed.append(event.name)

        def told_of_success_only() -> None:
            succeeded = {event.name for event in observer.of(StepSucceeded)}
            assert set(claimed) <= succeeded, f"{set(claimed) - succeeded} never succeeded"

        probe.invariant(told_of_success_only)
        result = await work.pipeline().run({"items": [1, 2, 3]}, on_step_complete=hook, observers=[observer])
        assert works.keys() <= set(claimed)
        return sorted(result)

    explore(program, budget=BUDGET)


def test_pipeline_that_is_resumed_keeps_its_promises_wherever_it_is_cancelled(explore: Any) -> None:
    async def program(probe: Probe) -> Any:
        del probe
        work = Work()
        texts: list[str] = []

        def hook(event: Any) -> None:
            texts.append(event.checkpoint.to_json())
            if event.name == "group/nested/x":
                event.stop()

        pipeline = work.pipeline()
        await pipeline.run({"items": [1, 2, 3]}, on_step_complete=hook)
        assert "e" not in work.done
        result = await pipeline.resume(Checkpoint.from_json(texts[-1]))
        for name in ("a", "x", "y", "d", "quick", "e"):
            assert work.done.count(name) == 1, f"{name} ran {work.done.count(name)} times"
        return result["e"]

    explore(program, budget=BUDGET)
