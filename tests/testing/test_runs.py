"""One gated run: what is seen, what is done to the program, and how a run ends that can't end by itself."""

from __future__ import annotations

import functools
import gc
import inspect
import math
import types
import warnings
from contextlib import suppress
from typing import Any

import outcome
import pytest
import trio
import trio.testing

from trio_steps import ConfigError
from trio_steps.testing import (
    DeadlockError,
    ExplorationError,
    FaultInjectedError,
    Finding,
    Probe,
    TokenError,
    VirtualClock,
    check_determinism,
    enumerate_schedules,
    explore,
    replay,
    run_once,
    sweep_cancellation,
    sweep_faults,
)
from trio_steps.testing import _compare as values
from trio_steps.testing._machine import conductor as conductor_module
from trio_steps.testing._machine.conductor import Conductor
from trio_steps.testing._machine.run import Settings, perform
from trio_steps.testing._machine.schedules import Script
from trio_steps.testing._machine.token import Recipe
from trio_steps.testing._report import schedule_in_words
from trio_steps.testing._search import minimise as minimise
from trio_steps.testing._search.bench import Bench


def invariants(run: Any) -> list[str]:
    return [finding.invariant for finding in run.findings]


def message(run: Any) -> str:
    return "\n".join(map(str, run.findings))


async def ticks(count: int) -> None:
    for _ in range(count):
        await trio.lowlevel.checkpoint()


# what Trio promises, and the driver relies on


async def test_task_coro_can_be_replaced_when_a_task_is_spawned() -> None:
    """The canary: all of this rests on Trio looking up ``task.coro.send`` after it has told its instruments."""
    seen: list[object] = []

    class Stand:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def send(self, value: object) -> object:
            seen.append(value)
            return self.inner.send(value)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    class Watch(trio.abc.Instrument):
        def task_spawned(self, task: Any) -> None:
            task.coro = Stand(task.coro)

    watch = Watch()
    trio.lowlevel.add_instrument(watch)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ticks, 1)
    trio.lowlevel.remove_instrument(watch)
    assert seen == [None, outcome.Value(None)]


# plain runs


def test_run_returns_the_value_at_the_virtual_time() -> None:
    async def program(probe: Probe) -> float:
        await trio.sleep(100)
        return trio.current_time()

    run = run_once(program)
    assert (run.value, run.error, run.findings, run.seconds) == (100, None, (), 100)


def test_run_cancels_at_the_point_that_was_asked_for() -> None:
    async def program(probe: Probe) -> None:
        await trio.sleep(5)
        await trio.sleep(5)

    run = run_once(program, cancel_at=3)
    assert run.cancelled
    assert run.seconds == 5
    assert run.where is not None
    assert run.where.task == "program"
    assert "THE PROGRAM IS CANCELLED" in "\n".join(run.trace)


def test_same_seed_gives_the_same_trace_a_hundred_times() -> None:
    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ticks, 3)

    traces = {run_once(program, seed=7).trace for _ in range(100)}
    assert len(traces) == 1
    assert run_once(program, seed=8).trace not in traces


def test_tasks_of_one_name_are_told_apart() -> None:
    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticks, 1)
            nursery.start_soon(ticks, 1)
            nursery.start_soon(ticks, 1, name="other 0x12ab")

    text = "\n".join(run_once(program).trace)
    assert "ticks waits" in text
    assert "ticks#2 waits" in text
    assert "other 0x… waits" in text


def test_keyboard_interrupt_and_system_exit_of_the_program_come_out() -> None:
    async def program(probe: Probe) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        explore(program)
    assert explore(program, allow=SystemExit, budget=5).ok


def test_keyboard_interrupt_from_the_keyboard_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def program(probe: Probe) -> None: ...

    def interrupted(*_: Any, **__: Any) -> None:
        raise BaseExceptionGroup("", [KeyboardInterrupt()])

    monkeypatch.setattr(trio, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_once(program)


def test_error_of_the_machinery_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def program(probe: Probe) -> None: ...

    def broken(*_: Any, **__: Any) -> None:
        raise ExceptionGroup("", [ValueError()])

    monkeypatch.setattr(trio, "run", broken)
    with pytest.raises(ExceptionGroup):
        run_once(program)


def test_error_when_a_task_is_spawned_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def program(probe: Probe) -> None: ...

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(conductor_module, "Player", broken)
    with pytest.raises(ZeroDivisionError):
        run_once(program)


def test_program_that_is_a_partial_or_an_object_has_a_name_and_watched_arguments() -> None:
    async def program(limiter: trio.CapacityLimiter, probe: Probe) -> None:
        await limiter.acquire_on_behalf_of("x")

    class Callable:
        def __call__(self, probe: Probe) -> Any:
            return trio.sleep(1)  # noqa: ASYNC105

    report = explore(functools.partial(program, trio.CapacityLimiter(2)))
    assert report.program == "program"
    assert report.failures[0].invariant == "lock"
    assert explore(Callable(), budget=3).program == "Callable"


def test_awaitable_that_is_no_coroutine_is_a_program_too() -> None:
    class Awaitable:
        def __await__(self) -> Any:
            return trio.lowlevel.checkpoint().__await__()  # noqa: ASYNC105

    assert run_once(lambda probe: Awaitable()).findings == ()


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
    assert "holds waits for Lock.acquire, held by holds#2 at" in message(run)
    assert "program waits for the tasks of its nursery" in message(run)


def test_lock_whose_owner_is_gone_is_no_riddle() -> None:
    async def program(probe: Probe) -> None:
        semaphore = trio.Semaphore(0)
        await semaphore.acquire()

    assert "Semaphore.acquire" in message(run_once(program))


def test_deadlock_under_a_shield_is_found_and_ended() -> None:
    async def stuck() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stuck)
            nursery.start_soon(stuck)

    assert invariants(run_once(program)) == ["deadlock"]


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


# the world outside


def test_wait_all_tasks_blocked_works() -> None:
    async def program(probe: Probe) -> list[str]:
        log: list[str] = []

        async def other() -> None:
            await ticks(5)
            log.append("other")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            await trio.testing.wait_all_tasks_blocked()
            log.append("idle")
        return log

    run = run_once(program)
    assert (run.value, run.notes) == (["other", "idle"], ())


def test_threads_are_waited_for_and_noted() -> None:
    async def program(probe: Probe) -> int:
        with trio.fail_after(10):
            return await trio.to_thread.run_sync(lambda: 3)

    run = run_once(program)
    assert (run.value, run.seconds) == (3, 0)
    assert "not deterministic" in run.notes[0]
    assert "not deterministic" in str(explore(program, budget=2))


def test_sockets_are_waited_for_a_while_then_time_goes_on() -> None:
    async def program(probe: Probe) -> bool:
        one, other = trio.socket.socketpair()
        with one, other:
            with trio.move_on_after(10) as scope:
                await one.recv(1)
            return scope.cancelled_caught

    run = run_once(program)
    assert (run.value, run.seconds) == (True, 10)
    assert "not deterministic" in run.notes[0]


def test_abandoned_async_generator_is_closed_and_found() -> None:
    async def numbers() -> Any:
        try:
            yield 1
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)

    async def program(probe: Probe) -> None:
        generator = numbers()
        await generator.__anext__()
        del generator
        await trio.sleep(1)

    assert invariants(run_once(program)) == ["warning"]


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
    assert "was closed 2 times: at tests/testing/test_runs.py:" in message(run)


def test_resource_made_outside_of_a_run_names_no_task() -> None:
    finding = next(Probe().resource("conn").check(owned=False))
    assert "opened by no task" in finding.message


SHARED = trio.Lock()


@pytest.mark.parametrize(
    ("make", "take", "text"),
    [
        (trio.Lock, lambda lock: lock.acquire(), "a Lock is still held"),
        (trio.StrictFIFOLock, lambda lock: lock.acquire(), "a StrictFIFOLock is still held"),
        (trio.Condition, lambda condition: condition.acquire(), "a Condition is still held"),
        (lambda: trio.Semaphore(2, max_value=2), lambda semaphore: semaphore.acquire(), "1 of its tokens free"),
        (lambda: trio.CapacityLimiter(math.inf), lambda limiter: limiter.acquire_on_behalf_of(1), "tokens free"),
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

    assert message(run_once(program)) == "task: leaves is still there when the program has ended"


# faults


def test_fault_is_raised_at_every_checkpoint_that_can_be_cancelled() -> None:
    raised: list[str] = []

    async def program(probe: Probe) -> None:
        try:
            await trio.sleep(1)
        except OSError as error:
            raised.append(str(error))
            raise
        with trio.CancelScope(shield=True):
            await trio.lowlevel.cancel_shielded_checkpoint()

    report = sweep_faults(program, OSError("disk"))
    assert report.ok
    assert raised == ["disk"]
    assert report.points == 1
    assert "1 could fail" in report.what


def test_fault_that_leaks_is_found_and_replayed() -> None:
    async def program(probe: Probe) -> None:
        conn = probe.resource("conn")
        await trio.sleep(1)
        conn.close()

    failure = sweep_faults(program).failures[0]
    assert "given a fault" in str(failure)
    assert ",f0:" in failure.token
    run = replay(program, failure.token, exc=KeyError)
    assert invariants(run) == ["resource"]
    assert isinstance(run.error, KeyError)
    assert isinstance(replay(program, failure.token).error, FaultInjectedError)


def test_fault_that_becomes_another_error_counts_as_the_fault() -> None:
    async def program(probe: Probe) -> None:
        try:
            await trio.sleep(1)
        except OSError as error:
            raise LookupError from error

    assert sweep_faults(program, OSError).ok


async def falls_back(probe: Probe) -> str:
    try:
        await trio.sleep(1)
    except OSError:
        return "fallback"
    return "value"


def test_value_that_only_a_fault_leads_to_is_found_unless_any_may_be_returned() -> None:
    failure = sweep_faults(falls_back, OSError).failures[0]
    assert "given a fault, the program returned 'fallback'; undisturbed, it returns 'value'" in str(failure)
    assert 'say values="any"' in str(failure)
    assert sweep_faults(falls_back, OSError, values="any").ok
    assert invariants(replay(falls_back, failure.token, exc=OSError)) == ["outcome"]
    assert invariants(replay(falls_back, failure.token, exc=OSError, values="any")) == []


def test_fault_that_the_program_gets_over_is_no_finding() -> None:
    async def program(probe: Probe) -> str:
        for _ in range(2):
            with suppress(OSError):
                await trio.sleep(1)
                return "value"
        return "gave up"

    report = sweep_faults(program, OSError)
    assert (report.ok, report.points) == (True, 1)


def test_fault_in_a_cancelled_scope_stays_a_cancellation() -> None:
    async def program(probe: Probe) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.sleep(1)

    assert sweep_faults(program, OSError).ok


# enumeration


@pytest.mark.parametrize(
    ("tasks", "checkpoints", "count"), [(2, 0, 2), (2, 1, 6), (2, 2, 20), (2, 3, 70), (3, 0, 6), (3, 1, 90), (4, 0, 24)]
)
def test_enumeration_counts_what_theory_says(tasks: int, checkpoints: int, count: int) -> None:
    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(ticks, checkpoints)

    expected = math.factorial(tasks * (checkpoints + 1)) // math.factorial(checkpoints + 1) ** tasks
    report = enumerate_schedules(program)
    assert expected == count
    assert (report.schedules, report.exhausted, report.runs) == (count, True, count)
    assert "all interleavings" in str(report)


def test_enumeration_of_weaker_policies_has_fewer_orders() -> None:
    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticks, 1)
            nursery.start_soon(ticks, 1)
            nursery.start_soon(ticks, 1)

    assert enumerate_schedules(program, policy="batch").schedules == 36
    assert enumerate_schedules(program, policy="trio").schedules == 4


def test_enumeration_stops_at_its_budget_and_does_not_say_all() -> None:
    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticks, 3)
            nursery.start_soon(ticks, 3)

    report = enumerate_schedules(program, budget=10)
    assert (report.exhausted, report.runs) == (False, 10)
    assert "all" not in str(report)


def test_enumeration_stops_at_a_failure_unless_it_is_told_to_go_on() -> None:
    async def program(probe: Probe) -> None:
        log: list[int] = []

        async def child(number: int) -> None:
            log.append(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, 1)
            nursery.start_soon(child, 2)
        assert log == [2, 1]

    assert enumerate_schedules(program).stopped == "a failure"
    report = enumerate_schedules(program, keep_going=True)
    assert (report.exhausted, len(report.failures)) == (True, 1)


# exploring


def test_explore_says_all_only_of_a_program_with_one_order() -> None:
    async def program(probe: Probe) -> None:
        await trio.sleep(1)

    report = explore(program)
    assert report.exhausted
    assert report.stopped == "having tried everything"
    assert "every cancel point of this schedule" in str(sweep_cancellation(program))


def test_explore_stops_at_its_budgets() -> None:
    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticks, 3)
            nursery.start_soon(ticks, 3)

    report = explore(program, budget=40)
    assert (report.runs, report.stopped) == (40, "the budget of runs")
    assert explore(program, seconds=0).stopped == "the budget of time"


def test_sweep_strides_over_many_points() -> None:
    async def program(probe: Probe) -> None:
        await ticks(30)

    report = sweep_cancellation(program, budget=10)
    assert report.points == 8
    assert not report.exhausted
    assert "8 of 31 cancel points" in str(report)


def test_sweep_of_a_program_that_fails_undisturbed_says_so() -> None:
    async def program(probe: Probe) -> None:
        raise OSError("x")

    for report in (sweep_cancellation(program), sweep_faults(program)):
        assert report.stopped == "its very first run"
        assert "undisturbed" in str(report)
        with pytest.raises(ExplorationError, match="the program raised OSError"):
            report.raise_if_failed()


def test_report_without_failures_raises_nothing() -> None:
    async def program(probe: Probe) -> None: ...

    explore(program).raise_if_failed()


def test_failure_names_the_weakest_policy_and_the_least_schedule() -> None:
    async def program(probe: Probe) -> None:
        log: list[str] = []

        async def child(name: str) -> None:
            log.append(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, "a")
            nursery.start_soon(child, "b")
            nursery.start_soon(child, "c")
        assert log[0] != "c"

    failure = explore(program).failures[0]
    assert (failure.policy, failure.schedule) == ("trio", "FIFO except decision 0 → the batch reversed")

    async def finer(probe: Probe) -> None:
        log: list[str] = []

        async def child(name: str) -> None:
            log.append(name)

        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(child, name, name=name)
        assert log[0] != "b"

    failure = explore(finer).failures[0]
    assert (failure.policy, failure.schedule) == ("batch", "FIFO except decision 0 → task `b`")


def test_random_orders_find_what_needs_several_turns() -> None:
    async def program(probe: Probe) -> None:
        log: list[str] = []

        async def child(name: str) -> None:
            for _ in range(3):
                log.append(name)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(child, name, name=name)
        assert "".join(log) not in ("cbacbacab", "ccbbaacab")
        assert not "".join(log).startswith(("cabc", "cbbac"))

    report = explore(program, budget=300)
    assert report.failures[0].finding.invariant == "outcome"


# tokens and determinism


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("nonsense", "is damaged"),
        ("s1:0.35:any,x3:ffff", "is damaged"),
        ("s9:0.35:any:ffff", "has the format 's9'"),
        ("s1:0.1:any:ffff", "was made with Trio 0.1"),
    ],
)
def test_token_that_can_not_be_replayed_says_why(token: str, text: str) -> None:
    async def program(probe: Probe) -> None: ...

    with pytest.raises(TokenError, match=text):
        replay(program, token)


def test_replay_tells_that_the_program_has_changed() -> None:
    async def program(probe: Probe, count: int) -> None:
        await ticks(count)
        raise OSError

    token = explore(functools.partial(program, count=1)).failures[0].token
    run = replay(functools.partial(program, count=2), token)
    assert "it has changed since" in run.notes[0]


def test_program_that_is_not_deterministic_is_found() -> None:
    turns: list[int] = []

    async def program(probe: Probe) -> None:
        turns.append(1)
        await ticks(len(turns))

    failure = explore(program).failures[0]
    assert failure.invariant == "determinism"
    assert "not deterministic" in str(failure)
    with pytest.raises(ExplorationError, match="led elsewhere at step"):
        check_determinism(program)


def test_difference_that_only_the_log_shows_is_found() -> None:
    turns: list[int] = []

    async def program(probe: Probe) -> None:
        turns.append(1)
        await (trio.sleep(1) if len(turns) % 2 else trio.lowlevel.checkpoint())  # noqa: ASYNC105

    with pytest.raises(ExplorationError, match=r"first .*\n.*then "):
        check_determinism(program)


def test_deterministic_program_with_a_finding_is_still_deterministic() -> None:
    async def program(probe: Probe) -> None:
        await ticks(2)
        raise OSError

    check_determinism(program)


def test_finding_says_what_and_where() -> None:
    assert str(Finding(invariant="task", message="x")) == "task: x"


# corners


@pytest.mark.parametrize("policy", ["trio", "any"])
def test_deadline_that_is_moved_into_the_past_comes_at_once(policy: Any) -> None:
    async def program(probe: Probe) -> list[str]:
        scope = trio.CancelScope()
        log: list[str] = []

        async def waits() -> None:
            with scope:
                await trio.sleep_forever()
            log.append("out of time")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits)
            nursery.start_soon(ticks, 3)
            await trio.sleep(1)
            scope.deadline = trio.current_time()
        return log

    run = perform(program, Recipe(policy=policy), Settings())
    assert (run.value, run.seconds) == (["out of time"], 1)


def test_foreign_trap_is_refused_as_by_trio() -> None:
    @types.coroutine
    def foreign() -> Any:
        yield "of another framework"

    async def program(probe: Probe) -> None:
        await foreign()

    run = run_once(program)
    assert invariants(run) == ["outcome"]
    assert "unrecognized yield message" in message(run)


def test_task_that_ends_by_a_foreign_trap_has_ended() -> None:
    @types.coroutine
    def foreign() -> Any:
        yield "of another framework"

    async def child() -> None:
        await foreign()

    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)

    assert invariants(run_once(program)) == ["outcome"]


def test_async_generator_that_is_left_to_the_end_of_the_run_may_take_its_time() -> None:
    kept: list[Any] = []
    closed: list[float] = []

    async def numbers() -> Any:
        try:
            yield 1
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)
            closed.append(trio.current_time())

    async def program(probe: Probe) -> None:
        kept.append(numbers())
        await kept[0].__anext__()

    assert run_once(program).findings == ()
    assert closed == [3]


def test_run_that_trio_does_not_end_is_crashed() -> None:
    async def program(probe: Probe) -> None: ...

    conductor = Conductor(program, Probe(), Script({}), "any", max_steps=0, max_seconds=1, keep_log=False)
    for _ in range(1000):
        assert conductor._idle_at_the_end(math.inf) == 0
    with pytest.raises(AssertionError, match="does not end"):
        conductor._idle_at_the_end(math.inf)
    with pytest.raises(AssertionError, match="can't be given up"):
        conductor._tear_down(math.inf)


def test_findings_of_one_kind_are_told_each_for_itself() -> None:
    async def program(probe: Probe) -> None:
        probe.resource("one")
        probe.resource("other")

    one, other = explore(program).failures
    assert "'one'" in str(one)
    assert "'other'" in str(other)


def test_minimising_ends_with_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minimise, "_MOST", 0)

    async def program(probe: Probe) -> None:
        conn = probe.resource("conn")
        await trio.sleep(1)
        conn.close()

    assert explore(program).failures[0].token.split(":")[2] == "trio,c0"


def test_minimising_leaves_out_every_neighbourhood() -> None:
    left = list(minimise._without({1: 1, 3: 1, 5: 1, 7: 1, 9: 1}, 2))
    assert left == [{1: 1, 3: 1, 5: 1}, {1: 1, 7: 1, 9: 1}, {3: 1, 5: 1, 7: 1, 9: 1}]


def test_choices_without_names_are_numbers() -> None:
    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticks, 1)
            nursery.start_soon(ticks, 1)

    run = perform(program, Recipe(deviations={0: 1}), Settings())
    assert schedule_in_words(run) == "FIFO except decision 0 → choice 1"


def test_run_leaves_the_collector_as_it_was() -> None:
    async def program(probe: Probe) -> None: ...

    gc.disable()
    try:
        run_once(program)
        assert not gc.isenabled()
    finally:
        gc.enable()
    run_once(program)
    assert gc.isenabled()


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


def test_cancelled_program_may_return_what_its_own_order_gives() -> None:
    """Not what FIFO gives, but what the same order gives undisturbed, is what counts."""

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


# the clock alone


def test_virtual_clock_jumps_and_starts_at_zero() -> None:
    async def main() -> float:
        start = trio.current_time()
        await trio.sleep(1000)
        await trio.testing.wait_all_tasks_blocked()
        return trio.current_time() - start

    assert trio.run(main, clock=VirtualClock()) == 1000


def test_virtual_clock_stands_still_for_a_thread() -> None:
    async def main() -> float:
        with trio.move_on_after(5):
            await trio.to_thread.run_sync(lambda: None)
        return trio.current_time()

    assert trio.run(main, clock=VirtualClock()) == 0


def test_virtual_clock_reports_a_deadlock() -> None:
    async def waits() -> None:
        await trio.Event().wait()

    with pytest.raises(trio.TrioInternalError) as caught:
        trio.run(waits, clock=VirtualClock())
    assert isinstance(caught.value.__cause__, (DeadlockError, BaseExceptionGroup))


async def test_virtual_clock_crashes_the_run_if_a_deadlock_refuses_to_end() -> None:
    clock = VirtualClock()
    clock._deadlocked = True  # it has reported one already
    with pytest.raises(DeadlockError, match="nothing can wake one"):
        clock.deadline_to_sleep_time(math.inf)


def test_program_that_is_no_function_is_refused() -> None:
    async def program(probe: Probe) -> None: ...

    coroutine: Any = program(Probe())
    with pytest.raises(ConfigError, match=r"^give the function program, not the coroutine that program\(…\) returned$"):
        explore(coroutine)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    with pytest.raises(ConfigError, match=r"^5 can't be run: give an async function of one argument, the probe$"):
        explore(5)


@pytest.mark.parametrize("budget", [0, -1, math.nan, "60s"])
def test_budget_that_allows_no_run_is_refused(budget) -> None:
    with pytest.raises(ConfigError, match=r"^budget=.*: give the number of runs, 1 or more$"):
        explore(trio.sleep, budget=budget)


@pytest.mark.parametrize("allow", ["OSError", OSError(), [5], int])
def test_allow_of_what_are_no_error_types_is_refused(allow) -> None:
    with pytest.raises(ConfigError, match=r"give error types, allow=OSError or allow=\(OSError, ValueError\)$"):
        explore(trio.sleep, allow=allow)


def test_invariant_without_a_name_is_told_by_its_place() -> None:
    async def program(probe: Probe) -> None:
        probe.invariant(lambda: False)

    [finding] = run_once(program).findings
    assert finding.place is not None
    assert finding.place.line == program.__code__.co_firstlineno + 1
