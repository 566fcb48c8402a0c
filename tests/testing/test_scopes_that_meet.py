"""Programs in which one cancellation meets another: nothing is found unless a `Cancelled` is swallowed.

Trio passes a `Cancelled` on to the outermost cancelled scope. So the scope whose timeout fires alone need not be the
one that catches it. Each program here waits in `wait`, which cleans up when it is cancelled. Its twin swallows the
`Cancelled`.
"""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import tricycle
import trio
import trio_util

from trio_steps import race, settle, stream
from trio_steps._fork.engine import trust
from trio_steps.testing import Probe, explore, run_once, sweep_cancellation, sweep_timeouts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Wait = Callable[[], Awaitable[None]]

PROGRAMS: list[Any] = []


def meets(program: Any) -> Any:
    """Put a program on the list."""
    PROGRAMS.append(program)
    return program


async def cleans_up() -> None:
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.5)


async def swallows() -> None:
    with contextlib.suppress(trio.Cancelled):
        await cleans_up()


# an outer scope is cancelled too


@meets
async def nursery_around_is_cancelled(probe: Probe, wait: Wait) -> None:
    async def worker() -> None:
        with trio.move_on_after(9):
            await wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker)
        await trio.sleep(0.25)
        await trio.sleep(0.25)
        nursery.cancel_scope.cancel()


@meets
async def scope_around_a_nursery_with_a_deadline_is_cancelled(probe: Probe, wait: Wait) -> None:
    async def cancels(around: trio.CancelScope) -> None:
        await trio.sleep(0.25)
        await trio.sleep(0.5)
        around.cancel()

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as around:
            nursery.start_soon(cancels, around)
            async with trio.open_nursery() as inner:
                inner.cancel_scope.deadline = 9
                inner.start_soon(wait)


@meets
async def sibling_fails(probe: Probe, wait: Wait) -> None:
    async def worker() -> None:
        with trio.move_on_after(9):
            await wait()

    async def fails() -> None:
        await trio.sleep(0.25)
        await trio.sleep(0.25)
        raise ValueError

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker)
            nursery.start_soon(fails)
    except* ValueError:
        pass


@meets
async def deadline_around_is_brought_forward(probe: Probe, wait: Wait) -> None:
    async def worker() -> None:
        with trio.move_on_after(20):
            await wait()

    with trio.CancelScope(deadline=50) as around:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker)
            await trio.sleep(1)
            around.deadline = trio.current_time()
            await trio.lowlevel.checkpoint()


@meets
async def clean_up_cancels_what_is_around(probe: Probe, wait: Wait) -> None:
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(9):
            try:
                await wait()
            finally:
                nursery.cancel_scope.cancel()


@meets
async def condition_comes_true(probe: Probe, wait: Wait) -> None:
    came_true = trio.Event()

    async def later() -> None:
        await trio.sleep(0.5)
        came_true.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(later)
        async with trio_util.move_on_when(came_true.wait):
            with trio.move_on_after(4):
                await wait()
        nursery.cancel_scope.cancel()


@meets
async def group_of_anyio_is_cancelled(probe: Probe, wait: Wait) -> None:
    async def worker() -> None:
        with anyio.move_on_after(4):
            await wait()

    with anyio.move_on_after(9):
        async with anyio.create_task_group() as group:
            group.start_soon(worker)
            await anyio.sleep(0.5)
            group.cancel_scope.cancel()


@meets
async def service_is_stopped(probe: Probe, wait: Wait) -> None:
    async def serve() -> None:
        with trio.move_on_after(7):
            await wait()

    async with tricycle.open_service_nursery() as nursery:
        nursery.start_soon(serve)
        with trio.move_on_after(5):
            await trio.sleep(1)
        nursery.cancel_scope.cancel()


@meets
async def service_that_was_started_is_stopped(probe: Probe, wait: Wait) -> None:
    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope() as scope:
            task_status.started()
            scope.deadline = trio.current_time() + 20
            await wait()

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(5):
            await nursery.start(serve)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()


@meets
async def reader_leaves_a_stream(probe: Probe, wait: Wait) -> None:
    async def slow() -> None:
        with trio.move_on_after(8):
            await wait()

    with trio.move_on_after(9):
        async with stream(functools.partial(trio.sleep, 1), slow) as results:
            async for _ in results:
                break


@meets
async def race_is_won(probe: Probe, wait: Wait) -> None:
    async def slow() -> None:
        with trio.move_on_after(8):
            await wait()

    await race(slow, functools.partial(trio.sleep, 1), stagger=0.5)


@meets
async def safe_channel_is_left(probe: Probe, wait: Wait) -> None:
    @trio.as_safe_channel
    async def numbers() -> AsyncIterator[int]:
        yield 1
        await wait()
        yield 2

    with trio.move_on_after(9):
        async with numbers() as channel:
            async for _ in channel:
                with trio.move_on_after(1):
                    await wait()
                break


# both are due at once


@meets
async def deadlines_are_equal(probe: Probe, wait: Wait) -> None:
    with trio.move_on_after(9), contextlib.suppress(trio.TooSlowError), trio.fail_after(5):
        with trio.move_on_after(5):
            await wait()
        await trio.sleep(7)


@meets
async def deadlines_of_two_tasks_and_their_nursery_are_equal(probe: Probe, wait: Wait) -> None:
    async def worker() -> None:
        with contextlib.suppress(trio.TooSlowError), trio.fail_after(5):
            with trio.move_on_after(5):
                await wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker)
        nursery.start_soon(worker)
        nursery.cancel_scope.deadline = 5


# deadlines that move, and shields


@meets
async def deadline_is_put_off_as_long_as_a_heart_beats(probe: Probe, wait: Wait) -> None:
    async with trio.open_nursery() as nursery:

        async def beat() -> None:
            for _ in range(4):
                await trio.sleep(1)
                alive.deadline = trio.current_time() + 2
            nursery.cancel_scope.cancel()

        with trio.move_on_after(2) as alive:
            nursery.start_soon(beat)
            await wait()


@meets
async def deadline_of_another_task_is_brought_forward(probe: Probe, wait: Wait) -> None:
    scope = trio.CancelScope(deadline=50)

    async def worker() -> None:
        with scope:
            await wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker)
        await trio.sleep(1)
        scope.deadline = trio.current_time()


@meets
async def shield_is_in_between(probe: Probe, wait: Wait) -> None:
    with trio.move_on_after(9), trio.CancelScope(shield=True):
        with trio.move_on_after(3):
            await wait()
        await trio.sleep(1)


@meets
async def shield_is_put_up_when_it_is_cancelled(probe: Probe, wait: Wait) -> None:
    with trio.move_on_after(9):
        async with trio.open_nursery() as connections:
            connections.cancel_scope.deadline = 5
            try:
                await wait()
            finally:
                connections.cancel_scope.shield = True
                connections.cancel_scope.deadline = trio.current_time() + 1
                await trio.sleep(0.5)


# clean-up


@meets
async def timeout_is_in_a_finally(probe: Probe, wait: Wait) -> None:
    try:
        with trio.move_on_after(3):
            await wait()
    finally:
        with trio.move_on_after(2):
            await wait()


@meets
async def async_generator_is_closed_in_time(probe: Probe, wait: Wait) -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(3):
                await trio.sleep(1)
                yield number
        finally:
            with trio.move_on_after(1, shield=True):
                await wait()

    with trio.move_on_after(9):
        async with contextlib.aclosing(numbers()) as generator:
            async for number in generator:
                if number == 1:
                    break


@meets
async def async_generator_has_a_timeout_for_each_item(probe: Probe, wait: Wait) -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(2):
            with trio.move_on_after(2):
                await wait()
            yield number

    with trio.move_on_after(9):
        async with contextlib.aclosing(numbers()) as generator:
            async for _ in generator:
                pass


# threads


@meets
async def thread_is_abandoned(probe: Probe, wait: Wait) -> None:
    async def work() -> None:
        await trio.to_thread.run_sync(lambda: None, abandon_on_cancel=True)
        await wait()

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(5):
            await work()
        nursery.cancel_scope.cancel()


@meets
async def thread_calls_back(probe: Probe, wait: Wait) -> None:
    with trio.move_on_after(5):
        await trio.to_thread.run_sync(trio.from_thread.run, wait)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_cancellation_that_meets_another_is_no_finding(program: Any) -> None:
    correct = functools.partial(program, wait=cleans_up)
    for report in (explore(correct, budget=150), sweep_timeouts(correct), sweep_cancellation(correct)):
        assert report.ok, str(report)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_cancellation_that_is_swallowed_is_found_though_it_meets_another(program: Any) -> None:
    report = sweep_timeouts(functools.partial(program, wait=swallows))
    assert "cancellation" in [failure.finding.invariant for failure in report.failures], str(report)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_first_sweep_in_a_process_finds_what_the_second_does(program: Any) -> None:
    """Paths that have not run before run in a scope more, which must not shift the others."""
    swallowing = functools.partial(program, wait=swallows)
    with trust.afresh():
        first = sweep_timeouts(swallowing)
        assert str(first) == str(sweep_timeouts(swallowing))
    assert not first.ok


def test_run_has_the_same_points_whatever_ran_before() -> None:
    """A worker looks for open scopes more often as long as it runs paths that have not run before."""

    async def program(probe: Probe) -> None:
        await settle(*[lambda: None] * 200, concurrency=2)

    with trust.afresh():
        first, second = (sweep_cancellation(program) for _ in range(2))
    assert first.ok
    assert (first.points, first.runs) == (second.points, second.runs)


def test_whole_program_is_cancelled_and_a_scope_that_is_shielded_in_the_meantime_catches_that() -> None:
    async def program(probe: Probe) -> None:
        with trio.CancelScope() as scope:
            try:
                await trio.sleep(1)
            finally:
                scope.shield = True
                scope.cancel()

    assert sweep_cancellation(program).ok
    assert explore(program).ok


def test_scope_that_was_shielded_all_along_excuses_nobody() -> None:
    async def program(probe: Probe) -> None:
        with contextlib.suppress(trio.Cancelled):
            await trio.sleep(1)
        with trio.move_on_after(1, shield=True):
            await trio.sleep(2)

    (failure,) = sweep_cancellation(program).failures
    assert failure.finding.what == "swallowed"


def test_scope_around_that_is_cancelled_later_excuses_nobody() -> None:
    async def program(probe: Probe) -> None:
        with trio.move_on_after(5):
            with trio.CancelScope(deadline=4), contextlib.suppress(trio.Cancelled):
                await trio.sleep(1)
            await trio.sleep(9)

    report = sweep_timeouts(program)
    assert {failure.finding.what for failure in report.failures} == {"swallowed"}


def test_shield_between_keeps_a_scope_around_from_excusing_anybody() -> None:
    async def program(probe: Probe) -> None:
        with trio.CancelScope() as around:
            around.cancel()
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as nursery:
                    nursery.cancel_scope.deadline = 5
                    with contextlib.suppress(trio.Cancelled):
                        await trio.sleep(1)

    report = sweep_timeouts(program)
    assert {failure.finding.what for failure in report.failures} == {"swallowed"}


@pytest.mark.parametrize("inside", [True, False])
def test_sleep_until_now_is_not_taken_for_the_timeout(inside: bool) -> None:
    async def sleeps(started: trio.Event) -> None:
        await started.wait()
        for _ in range(2):
            await trio.sleep_until(trio.current_time())

    async def program(probe: Probe) -> None:
        started = trio.Event()
        async with trio.open_nursery() as nursery:
            if not inside:
                nursery.start_soon(sleeps, started)
                await trio.sleep(1)
            with trio.move_on_after(5), trio.CancelScope(shield=True):
                started.set()
                await trio.lowlevel.checkpoint()
                if inside:
                    await sleeps(started)

    assert sweep_timeouts(program).ok
    assert explore(program).ok


def test_time_passes_while_a_thread_waits_for_trio() -> None:
    async def program(probe: Probe) -> float:
        token = trio.lowlevel.current_trio_token()

        def work() -> None:
            trio.from_thread.run(trio.sleep, 1)
            trio.from_thread.run(trio.sleep, 2, trio_token=token)
            time.sleep(0.01)  # Trio is idle meanwhile, but this is not a deadlock
            trio.from_thread.run_sync(int)
            trio.from_thread.run(trio.sleep, 4, trio_token=token)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, work)
            await trio.to_thread.run_sync(work)
        return trio.current_time()

    run = run_once(program)
    assert (run.value, run.findings) == (7, ())
    assert "waited for a thread" in run.notes[0]


def test_thread_that_waits_for_what_never_happens_is_a_deadlock() -> None:
    async def program(probe: Probe) -> None:
        token = trio.lowlevel.current_trio_token()
        never = trio.Event()

        def work() -> None:
            with contextlib.suppress(trio.Cancelled):
                trio.from_thread.run(never.wait, trio_token=token)

        await trio.to_thread.run_sync(work, abandon_on_cancel=True)

    (finding,) = run_once(program).findings
    assert finding.invariant == "deadlock"
