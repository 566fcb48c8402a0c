"""Deadlocks and livelocks are found, reported, and ended."""

from __future__ import annotations

import trio
import trio.testing
from programs import invariants, message, ticks

from trio_steps import gather
from trio_steps.testing import (
    Probe,
    explore,
    run_once,
)
from trio_steps.testing._search import minimise as minimise

# deadlocks and livelocks


def test_deadlock_says_who_waits_for_what_and_who_holds_it() -> None:
    async def holds(lock: trio.Lock, other: trio.Lock) -> None:
        async with lock:
            await trio.sleep(1)
            await other.acquire()

    async def program(probe: Probe) -> None:
        a, b = trio.Lock(), trio.Lock()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(holds, a, b)
            nursery.start_soon(holds, b, a)

    run = run_once(program)
    assert invariants(run) == ["deadlock"]
    assert "holds waits for Lock B.acquire, held by holds#2 at" in message(run)
    assert "program waits for the tasks of its nursery" in message(run)


def test_deadlock_in_a_fork_says_what_trio_waits_for() -> None:
    async def waits() -> None:
        await trio.Event().wait()

    async def program(probe: Probe) -> None:
        await gather(waits, waits)

    run = run_once(program)
    assert invariants(run) == ["deadlock"]
    assert "program waits for the tasks of its nursery" in message(run)
    assert "waits for Event B.wait at" in message(run)


def test_lock_whose_owner_is_gone_is_no_riddle() -> None:
    async def program(probe: Probe) -> None:
        semaphore = trio.Semaphore(0)
        await semaphore.acquire()

    assert "Semaphore A.acquire" in message(run_once(program))


def test_deadlock_under_a_shield_is_found_and_ended() -> None:
    async def stuck() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stuck)
            nursery.start_soon(stuck)

    assert invariants(run_once(program)) == ["deadlock"]


def test_deadlock_tells_of_everybody_who_waits_and_of_nobody_who_has_ended() -> None:
    async def first() -> None:
        await trio.lowlevel.checkpoint()

    async def second() -> None:
        await trio.sleep_forever()

    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first)
            nursery.start_soon(second)

    _, *lines = message(run_once(program)).splitlines()
    assert [line.split()[0] for line in lines] == ["program", "second"]


def test_livelock_that_catches_everything_is_found_and_ended() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await trio.lowlevel.cancel_shielded_checkpoint()
            except BaseException:
                continue

    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stubborn)

    run = run_once(program, max_steps=50)
    assert invariants(run) == ["livelock"]
    assert "not ended after 50 steps" in message(run)


def test_program_may_take_as_many_steps_as_it_is_given() -> None:
    async def program(probe: Probe) -> None:
        await ticks(7)

    steps = run_once(program).steps
    assert invariants(run_once(program, max_steps=steps)) == []
    assert invariants(run_once(program, max_steps=steps - 1)) == ["livelock"]


def test_disturbance_that_ends_in_a_livelock_ends_its_turn_so_that_others_have_theirs() -> None:
    """Ten runs would be a turn, and each of them takes all the steps that a program may take."""

    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(spins_when_cancelled)

    async def spins_when_cancelled() -> None:
        try:
            await ticks(6)
        except trio.Cancelled:
            while True:
                await trio.lowlevel.cancel_shielded_checkpoint()

    report = explore(program, budget=15)
    assert [failure.invariant for failure in report.failures] == ["livelock"]
    assert (report.runs, report.points) == (15, 2)


def test_livelock_of_sleeps_after_cancellation_is_found_by_the_clock() -> None:
    async def program(probe: Probe) -> None:
        with trio.CancelScope(shield=True):
            while True:
                await trio.sleep(50)

    run = run_once(program, cancel_at=0)
    assert invariants(run) == ["livelock"]
    assert "300 s after it was cancelled" in message(run)


def test_tear_down_lets_time_pass_for_those_who_sleep() -> None:
    slept: list[float] = []

    async def program(probe: Probe) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(7)
            slept.append(trio.current_time())

    assert invariants(run_once(program)) == ["deadlock"]
    assert slept == [7]


def test_clean_up_of_a_run_that_is_given_up_may_wait_for_a_timeout() -> None:
    begun: list[None] = []
    ended: list[float] = []

    async def program(_: Probe) -> None:
        begun.append(None)
        try:
            await trio.Event().wait()
        finally:
            with trio.move_on_after(3, shield=True):
                await trio.sleep(10)
            ended.append(trio.current_time())

    report = explore(program, budget=6)
    assert "DEADLOCK" in str(report.failures[0])
    assert len(begun) >= 5
    assert ended == [3] * len(begun)
