"""Random pipelines are killed at random moments, continue, and give the result of a naive reference."""

from __future__ import annotations

import pytest
import trio
from random_pipelines import World

from trio_steps.testing import MemoryStore, StoreCrashedError

CRASHES = 25


async def survive(seed: int) -> tuple[int, dict[str, object]]:
    """Run a random pipeline through crashes and cancellations. Return how many there were, and the result."""
    world = World(seed)
    store = MemoryStore()
    crashes = 0
    while True:
        if crashes < CRASHES:
            store.crash_at = store.saves + world.draw.randint(0, 6)
        with trio.move_on_after(world.draw.choice([1, 2, 5, 100])) as scope:
            try:
                await world.pipeline.run(
                    {"elements": [1, 2, 3]},
                    store=store,
                    run_id="r",
                    on_step_complete=lambda event: world.log.append(("told", event.name)),
                )
            except* StoreCrashedError:
                pass
        if store.saves == store.crash_at:
            store.restart()
            crashes += 1
        store.crash_at = None
        crashes += scope.cancelled_caught
        records = await store.runs()
        if records and records[0].status == "finished":
            return crashes, await finished(world, store)
        if records and records[0].status == "waiting":
            for name in records[0].waiting:
                world.last[name] = len(world.log)
                await store.answer("r", {name: world.last[name]})


async def finished(world: World, store: MemoryStore) -> dict[str, object]:
    world.check_log()
    before = len(world.log)
    result = await world.pipeline.run(store=store, run_id="r")
    assert result == world.expected()
    assert (await store.load("r")).result == result
    assert len(world.log) == before
    return result


@pytest.mark.parametrize("seed", range(150))
async def test_run_comes_to_what_its_last_answers_say_whatever_moment_it_dies_at(seed: int) -> None:
    await survive(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1_000, 2_500, 250))
async def test_many_runs_come_to_what_their_last_answers_say_whatever_moment_they_die_at(first: int) -> None:
    crashes = 0
    for seed in range(first, first + 250):
        crashes += (await survive(seed))[0]
    assert crashes > 1_000
