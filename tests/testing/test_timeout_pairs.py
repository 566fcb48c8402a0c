"""Bugs that show when one timeout fires, for each kind of timeout: found in a few runs, while the twin passes."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import pytest
import trio

from trio_steps import StepTimeoutError, race, step
from trio_steps.testing import Probe, sweep_timeouts

PAIRS: list[Any] = []


def pair(program: Any) -> Any:
    """Put a program on the list."""
    PAIRS.append(program)
    return program


@pair
async def timeout_of_a_step(probe: Probe, *, careful: bool) -> None:
    free = 1

    @probe.invariant
    def slot_is_back() -> bool:
        return free == 1

    async def work() -> None:
        nonlocal free
        free -= 1
        try:
            await trio.sleep(1)
        except trio.Cancelled:
            if careful:
                free += 1
            raise
        free += 1

    with contextlib.suppress(StepTimeoutError):
        await step(work, timeout=5).run()


@pair
async def stagger_of_a_race(probe: Probe, *, careful: bool) -> None:
    orders: list[str] = []

    @probe.invariant
    def nothing_is_ordered_twice() -> bool:
        return len(orders) < 2

    async def order() -> str:
        if not careful:
            orders.append("book")
        await trio.sleep(1)
        return "book"

    first = await race(order, order, stagger=2)
    if careful:
        orders.append(first)


@pair
async def retry_after_a_timeout(probe: Probe, *, careful: bool) -> None:
    ask, asked = trio.open_memory_channel[int](5)
    answer, answers = trio.open_memory_channel[tuple[int, str]](5)

    async def serve() -> None:
        async for number in asked:
            await trio.sleep(1)
            await answer.send((number, f"answer {number}"))

    async def get(number: int) -> str:
        await ask.send(number)
        while True:
            of, text = await answers.receive()
            if of == number or not careful:
                return text

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        text = ""
        for number in range(2):
            with trio.move_on_after(5):
                text = await get(number)
                assert text == f"answer {number}"
        nursery.cancel_scope.cancel()


@pair
async def scope_inside_of_another(probe: Probe, *, careful: bool) -> None:
    conn = None
    with trio.move_on_after(9) as outer:
        with trio.move_on_after(5) as inner:
            await trio.sleep(1)
            conn = probe.resource("conn")
        await trio.sleep(1)
    late = outer.cancelled_caught or inner.cancelled_caught
    if conn is not None and (careful or not late):
        conn.close()


@pair
async def timeout_in_an_aexit(probe: Probe, *, careful: bool) -> None:
    class Session:
        def __init__(self) -> None:
            self.conn = probe.resource("conn")

        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None:
            with trio.CancelScope(shield=True, relative_deadline=2):
                try:
                    await trio.sleep(1)
                finally:
                    if careful:
                        self.conn.close()
                if not careful:
                    self.conn.close()

    async with Session():
        await trio.sleep(1)


@pair
async def shielded_clean_up_with_a_timeout_of_its_own(probe: Probe, *, careful: bool) -> None:
    lock = probe.watch(trio.Lock())
    await lock.acquire()
    try:
        await trio.sleep(1)
    finally:
        with trio.move_on_after(2, shield=True):
            await trio.sleep(1)
            if not careful:
                lock.release()
        if careful:
            lock.release()


@pytest.mark.parametrize("program", PAIRS, ids=lambda program: program.__name__)
def test_bug_that_needs_one_timeout_is_found_in_thirty_runs(program: Any) -> None:
    report = sweep_timeouts(functools.partial(program, careful=False), values="any")
    assert report.failures, str(report)
    assert min(failure.run for failure in report.failures) <= 30
    assert all("fires at point" in str(failure) for failure in report.failures)


@pytest.mark.parametrize("program", PAIRS, ids=lambda program: program.__name__)
def test_twin_without_the_bug_is_silent(program: Any) -> None:
    report = sweep_timeouts(functools.partial(program, careful=True), values="any")
    assert report.ok, str(report)


def test_scope_that_fires_alone_looks_as_one_whose_deadline_has_come() -> None:
    looks: set[tuple[object, ...]] = set()

    async def program(probe: Probe) -> None:
        with trio.move_on_after(5) as scope:
            try:
                await trio.sleep(1)
            except trio.Cancelled as error:
                late = scope.deadline <= trio.current_time() < 5
                looks.add((error.source, late, scope.cancel_called, trio.current_effective_deadline()))
                raise
        looks.add((scope.cancelled_caught,))

    assert sweep_timeouts(program).ok
    assert looks == {("deadline", True, True, -float("inf")), (True,), (False,)}
