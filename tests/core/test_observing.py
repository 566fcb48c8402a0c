"""`observing`: which runs the observers of a block see, and how often."""

from __future__ import annotations

import pytest
import trio
from paths import returns

from trio_steps import ConfigError, Pipeline, StepStarted, fork, observing, step
from trio_steps.testing import RecordingObserver


async def work() -> None:
    await trio.sleep(1)


async def test_observing_tells_of_every_run_that_begins_in_the_block() -> None:
    seen = RecordingObserver()
    await step(work, id="before")()
    with observing(seen):
        await step(work, id="one")()
        await fork("two", mode="all", paths=[returns(1, "a"), returns(1, "b")])()
        await Pipeline("three").step("c", lambda: {"c": 1}).run({})
    await step(work, id="after")()
    assert seen.names(StepStarted) == ["one", "two", "two/a", "two/b", "three", "c"]


async def test_observing_reaches_the_tasks_that_the_block_starts_and_no_others() -> None:
    seen = RecordingObserver()
    async with trio.open_nursery() as nursery:
        with observing(seen):
            nursery.start_soon(step(work, id="inside"))
            await trio.sleep(3)
        nursery.start_soon(step(work, id="outside"))
    assert seen.names(StepStarted) == ["inside"]


async def test_observing_in_another_task_is_not_seen_here() -> None:
    seen = RecordingObserver()

    async def other() -> None:
        with observing(seen):
            await trio.sleep(2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await trio.sleep(1)
        await step(work)()
    assert seen.events == []


def test_observing_around_trio_run_observes_the_program() -> None:
    seen = RecordingObserver()
    with observing(seen):
        trio.run(step(lambda: None, id="main"))
    assert seen.names(StepStarted) == ["main"]


async def test_observing_tells_of_a_run_inside_a_run_once() -> None:
    seen = RecordingObserver()

    async def outer() -> None:
        await step(work, id="inner")()
        await step(work, id="given").run(observers=[seen])

    with observing(seen):
        await step(outer)()
    assert seen.names(StepStarted) == ["outer", "outer/inner", "outer/given"]


async def test_observing_inside_a_step_tells_of_what_begins_in_the_block() -> None:
    seen = RecordingObserver()

    async def outer() -> None:
        await step(work, id="before")()
        with observing(seen):
            await fork("f", mode="all", paths=[nested])()

    async def nested() -> None:
        await step(work, id="deep")()

    await step(outer)()
    assert seen.names(StepStarted) == ["outer/f", "outer/f/nested", "outer/f/nested/deep"]


async def test_observing_blocks_add_up() -> None:
    first, second, third = RecordingObserver(), RecordingObserver(), RecordingObserver()

    async def outer() -> None:
        with observing(third):
            await step(work, id="inner")()

    with observing(first):
        with observing(second, first):
            await step(outer)()
        await step(work, id="later")()
    assert first.names(StepStarted) == ["outer", "outer/inner", "later"]
    assert second.names(StepStarted) == ["outer", "outer/inner"]
    assert third.names(StepStarted) == ["outer/inner"]


async def test_observing_is_told_after_the_observers_of_the_run() -> None:
    order: list[str] = []
    with observing(lambda _: order.append("block")):
        await step(lambda: None).run(observers=[lambda _: order.append("run")])
    assert order == ["run", "block"] * 2


async def test_observing_keeps_quiet_what_a_step_with_log_false_runs() -> None:
    seen = RecordingObserver()

    async def secret() -> None:
        await step(work, id="inner")()

    with observing(seen):
        await Pipeline("p").step("secret", secret, log=False).run({})
    assert [(event.name, event.quiet) for event in seen.of(StepStarted)] == [
        ("p", False),
        ("secret", True),
        ("secret/inner", True),
    ]


async def test_observing_ends_with_the_block_however_that_is_left() -> None:
    seen = RecordingObserver()
    with pytest.raises(KeyError), observing(seen):
        raise KeyError
    await step(work)()
    assert seen.events == []


@pytest.mark.parametrize(
    ("observers", "message"),
    [
        ((), "give it the observers"),
        (([print],), "give a sync function of an event"),
    ],
)
def test_observing_refuses_what_is_no_observer(observers, message) -> None:
    with pytest.raises(ConfigError, match=message), observing(*observers):
        raise AssertionError
