"""One run of a program, gated: its time, its order, its end, and the world outside."""

from __future__ import annotations

import functools
import gc
import inspect
import math
import types
from typing import Any

import outcome
import pytest
import trio
import trio.testing
from programs import invariants, message, ticks

from trio_steps import ConfigError
from trio_steps.testing import (
    DeadlockError,
    Probe,
    VirtualClock,
    explore,
    run_once,
)
from trio_steps.testing._findings import FaultInjectedError
from trio_steps.testing._machine import conductor as conductor_module
from trio_steps.testing._machine.conductor import Conductor
from trio_steps.testing._machine.faults import Fault
from trio_steps.testing._machine.hearing import Hearing
from trio_steps.testing._machine.run import perform
from trio_steps.testing._machine.schedules import Script
from trio_steps.testing._machine.settings import Settings
from trio_steps.testing._machine.token import Recipe
from trio_steps.testing._report import order_in_words
from trio_steps.testing._search import minimise as minimise

# what Trio does, and the machine relies on


async def test_task_coro_can_be_replaced_when_a_task_is_spawned() -> None:
    """The canary: everything relies on Trio looking up ``task.coro.send`` after it has called its instruments."""
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


def test_task_has_a_number_only_if_its_parent_has_several_of_that_name() -> None:
    async def parent(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticks, 1)

    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(parent, probe)
            nursery.start_soon(parent, probe)

    text = "\n".join(run_once(program).trace)
    assert "parent#2" in text
    assert "ticks" in text
    assert "ticks#" not in text


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


def test_deadline_that_comes_amid_a_batch_may_overtake_the_rest_of_it() -> None:
    orders: set[tuple[str, ...]] = set()

    async def program(probe: Probe) -> None:
        told: list[str] = []
        event, scope = trio.Event(), trio.CancelScope()

        async def timed() -> None:
            with scope:
                await trio.sleep_forever()
            told.append("timed")

        async def first() -> None:
            await event.wait()
            scope.deadline = trio.current_time()

        async def second() -> None:
            await event.wait()
            told.append("second")

        async with trio.open_nursery() as nursery:
            for task in (timed, first, second):
                nursery.start_soon(task)
            await trio.sleep(1)
            event.set()
        orders.add(tuple(told))

    assert explore(program, budget=200).failures == ()
    assert orders == {("timed", "second"), ("second", "timed")}


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

    fault = Fault(None, FaultInjectedError)
    conductor = Conductor(program, Probe(), Script({}), Recipe(), fault, Hearing(set()), max_steps=0, max_seconds=1)
    for _ in range(1000):
        assert conductor._idle_at_the_end(math.inf) == 0
    with pytest.raises(AssertionError, match="does not end"):
        conductor._idle_at_the_end(math.inf)
    with pytest.raises(AssertionError, match="can't be given up"):
        conductor._tear_down(math.inf)


def test_choices_without_names_are_numbers() -> None:
    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticks, 1)
            nursery.start_soon(ticks, 1)

    run = perform(program, Recipe(deviations={0: 1}), Settings())
    assert order_in_words(run) == ["at decision 0, choice 1"]


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
    clock._deadlocked = True  # it has already reported a deadlock
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
