"""What a run finds: cancellation that goes astray, resources, locks, invariants, leftovers."""

from __future__ import annotations

import math
import warnings
from typing import Any

import outcome
import pytest
import trio
import trio.testing
from programs import invariants, message

from trio_steps.testing import (
    Probe,
    explore,
    run_once,
    sweep_cancellation,
)
from trio_steps.testing import _compare as values
from trio_steps.testing._machine.settings import Settings
from trio_steps.testing._machine.token import Recipe
from trio_steps.testing._search import minimise as minimise
from trio_steps.testing._search.bench import Bench

# cancellation


def test_cancelled_that_is_raised_again_later_escapes() -> None:
    async def program(probe: Probe) -> None:
        kept: list[BaseException] = []
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.sleep(1)
            except trio.Cancelled as error:
                kept.append(error)
                raise
        raise kept[0]

    run = run_once(program)
    assert invariants(run) == ["cancellation"]
    assert "escaped" in message(run)


def test_cancelled_in_the_result_is_found_without_a_log_too() -> None:
    async def program(probe: Probe) -> Any:
        with trio.move_on_after(1):
            return {"kept": [await outcome.acapture(trio.sleep, 2)]}

    assert explore(program).failures[0].finding.message.startswith("stored")


def test_stored_cancelled_was_caught_where_its_task_waited() -> None:
    async def program(probe: Probe) -> Any:
        with trio.move_on_after(1):
            await outcome.acapture(trio.sleep, 2)
        with trio.move_on_after(1):
            return (await outcome.acapture(trio.sleep, 3)).error
        return None

    [finding] = run_once(program).findings
    assert finding.what == "stored"
    assert finding.place is not None
    assert finding.place.line == program.__code__.co_firstlineno + 4


def test_swallowing_in_a_child_is_found() -> None:
    async def swallows() -> None:
        try:  # noqa: SIM105
            await trio.sleep(1)
        except trio.Cancelled:
            pass

    async def program(probe: Probe) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(swallows)
        return "done"

    failure = explore(program).failures[0]
    assert failure.finding.message.startswith("swallowed: Cancelled reached swallows")
    assert failure.cancelled_at is not None


def test_value_that_only_a_cancelled_program_returns_is_found() -> None:
    async def program(probe: Probe) -> int:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        return 0 if trio.current_effective_deadline() == -math.inf else 1

    failure = explore(program).failures[0]
    assert "returned 0; undisturbed, it returns 1" in failure.finding.message


def test_value_that_another_order_gives_undisturbed_is_no_finding() -> None:
    """A cancelled program may return what it returns in the same order undisturbed, though not in FIFO."""

    async def program(probe: Probe) -> str:
        log: list[str] = []

        async def child(name: str) -> None:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            log.append(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, "a")
            nursery.start_soon(child, "b")
        return "".join(log)

    assert explore(program, budget=60).ok


def test_allowed_errors_are_no_finding_in_groups_neither() -> None:
    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 1)
            await trio.sleep(0.5)
            raise OSError("x")

    assert explore(program, allow=OSError, budget=20).ok
    failure = explore(program, allow=[ValueError]).failures[0]
    assert "ExceptionGroup of OSError('x')" in failure.finding.message


def test_error_inside_trio_is_found() -> None:
    async def crashes() -> None:
        raise ZeroDivisionError

    async def program(probe: Probe) -> None:
        trio.lowlevel.spawn_system_task(crashes)
        await trio.sleep(1)

    assert "internal" in invariants(run_once(program))


# resources, locks, invariants


def test_resource_is_closed_once_by_any_means_or_returned() -> None:
    async def program(probe: Probe) -> Any:
        with probe.resource("a") as one:
            assert not one.closed
        async with probe.resource("b", [3]) as other:
            assert other.thing == [3]
        assert repr(other) == "<resource 'b', closed>"
        return {"deep": [probe.resource("c")]}

    assert run_once(program).findings == ()


def test_resource_closed_twice_is_found_with_both_lines() -> None:
    async def program(probe: Probe) -> None:
        conn = probe.resource("conn")
        conn.close()
        await conn.aclose()

    run = run_once(program)
    assert invariants(run) == ["resource"]
    assert "was closed 2 times: at tests/testing/test_run_findings.py:" in message(run)


def test_resource_made_outside_of_a_run_names_no_task() -> None:
    finding = next(Probe().resource("conn").check())
    assert "opened by no task" in finding.message


SHARED = trio.Lock()


@pytest.mark.parametrize(
    ("make", "take", "text"),
    [
        (trio.Lock, lambda lock: lock.acquire(), "a Lock is still held"),
        (trio.StrictFIFOLock, lambda lock: lock.acquire(), "a StrictFIFOLock is still held"),
        (trio.Condition, lambda condition: condition.acquire(), "a Condition is still held"),
        (lambda: trio.Semaphore(2, max_value=2), lambda semaphore: semaphore.acquire(), "1 of its tokens free"),
        (
            lambda: trio.CapacityLimiter(math.inf),
            lambda limiter: limiter.acquire_on_behalf_of(1),
            "1 of its tokens taken",
        ),
    ],
)
def test_lock_that_is_not_given_back_is_found(make: Any, take: Any, text: str) -> None:
    async def program(probe: Probe) -> None:
        lock = make()
        await take(lock)

    run = run_once(program)
    assert invariants(run) == ["lock"]
    assert text in message(run)


def test_shared_lock_is_watched_and_left_alone_if_it_ends_as_it_began() -> None:
    semaphore = trio.Semaphore(1)

    async def program(probe: Probe) -> None:
        async with semaphore, SHARED:
            await trio.sleep(1)

    assert sweep_cancellation(program).ok

    async def takes(probe: Probe) -> None:
        await semaphore.acquire()

    assert invariants(run_once(takes)) == ["lock"]


def test_lock_that_is_returned_belongs_to_the_caller() -> None:
    async def program(probe: Probe) -> trio.Lock:
        lock = probe.watch(trio.Lock())
        await lock.acquire()
        return lock

    assert run_once(program).findings == ()


async def test_waiter_that_is_left_is_found() -> None:
    limiter = trio.CapacityLimiter(1)
    await limiter.acquire_on_behalf_of("x")
    probe = Probe()
    probe.watch(limiter)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limiter.acquire_on_behalf_of, "y")
        await trio.testing.wait_all_tasks_blocked()
        probe.ended({}, None)
        limiter.release_on_behalf_of("x")
    assert [finding.message for finding in probe.findings] == ["1 still wait for a CapacityLimiter"]


def test_invariants_may_be_false_or_raise() -> None:
    async def program(probe: Probe) -> None:
        probe.invariant(lambda: True)
        probe.invariant(lambda: False)

        @probe.invariant
        def holds_not() -> None:
            raise ValueError

    found = run_once(program).findings
    assert [finding.message for finding in found] == ["<lambda> does not hold", "holds_not: ValueError"]


def test_other_warnings_of_the_program_are_passed_on() -> None:
    async def program(probe: Probe) -> None:
        warnings.warn("mind the gap", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="mind the gap"):
        run_once(program)


def test_warning_of_the_program_is_passed_on_once_for_all_its_runs() -> None:
    async def program(probe: Probe) -> None:
        await trio.sleep(1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)

    for _ in range(2):
        with pytest.warns(DeprecationWarning, match="old") as caught:
            assert explore(program, budget=20).ok
        assert len(caught) == 1


def test_unraisable_error_is_a_finding() -> None:
    class Bad:
        def __del__(self) -> None:
            raise ValueError("late")

    async def program(probe: Probe) -> None:
        Bad()

    run = run_once(program)
    assert invariants(run) == ["warning"]
    assert "ValueError: late, ignored in" in message(run)


def test_task_that_outlives_the_program_is_a_finding() -> None:
    async def leaves() -> None:
        await trio.lowlevel.permanently_detach_coroutine_object(outcome.Value(None))

    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leaves)

    assert message(run_once(program)) == "task: leaves is still running after the program has ended"


def test_findings_of_one_kind_are_told_each_for_itself() -> None:
    async def program(probe: Probe) -> None:
        probe.resource("one")
        probe.resource("other")

    one, other = explore(program).failures
    assert "'one'" in str(one)
    assert "'other'" in str(other)


def test_story_of_a_line_ends_after_some_callers() -> None:
    async def down(depth: int) -> None:
        await (down(depth - 1) if depth else trio.sleep_forever())  # noqa: ASYNC105

    async def program(probe: Probe) -> None:
        await down(6)

    story = run_once(program).findings[0].place
    assert story is not None
    assert story.story.count("←") == 3


def test_group_of_errors_that_were_never_raised_is_placed_where_it_was() -> None:
    async def program(probe: Probe) -> None:
        raise ExceptionGroup("", [OSError()])

    place = run_once(program).findings[0].place
    assert place is not None
    assert place.function == "program"


def test_value_whose_repr_or_eq_fails_is_shown_all_the_same() -> None:
    class Bad:
        def __repr__(self) -> str:
            raise ValueError

        def __eq__(self, other: object) -> bool:
            raise ValueError

        __hash__ = None

    assert values.show(Bad()) == "<Bad whose repr raises ValueError>"
    assert values.same(Bad(), Bad())
    assert len(values.show("x" * 300)) == 200
    assert values.show("x" * 198) == repr("x" * 198)  # 200 with the quotes
    assert values.show("x" * 199) == "'" + "x" * 198 + "…"


def test_cancelled_program_may_return_what_its_own_order_gives() -> None:
    """The value that the same order gives undisturbed counts, not the value of FIFO."""

    async def program(probe: Probe) -> str:
        log: list[str] = []

        async def child(name: str) -> None:
            log.append(name)

        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(child, "a")
                nursery.start_soon(child, "b")
        return "".join(log)

    bench = Bench(program, Settings(), runs=9, seconds=9)
    run = bench.run(Recipe(deviations={0: 1}, cancel_at=2))
    assert (run.value, run.findings, bench.runs) == ("ba", (), 2)
