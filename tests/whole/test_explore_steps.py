"""Steps with policies, explored: cancelled at every point, reordered, and both; see `trio_steps.testing`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio

from trio_steps import (
    CircuitBreaker,
    CircuitOpenError,
    ForkPartialError,
    NotAcceptedError,
    QueueFullError,
    RateLimit,
    Retry,
    StepTimeoutError,
    fork,
    race,
    step,
)

pytest_plugins = ["_trio_steps_pytest"]  # in case the entry point is not installed

BUDGET = 75


def test_rate_loses_no_permit_wherever_who_waits_is_cancelled(explore: Any) -> None:
    """Three tasks share a rate. Whichever is cancelled, the others and a later one get their permits on time."""

    async def explored(probe: Any) -> list[float]:
        rate = RateLimit(1, per=2, burst=2)
        start = trio.current_time()
        granted: list[float] = []

        async def take(amount: int) -> None:
            await rate.acquire(amount)
            granted.append(trio.current_time() - start)

        try:
            async with trio.open_nursery() as nursery:
                for amount in (2, 1, 2):
                    nursery.start_soon(take, amount)
        finally:
            with trio.CancelScope(shield=True):
                taken = trio.current_time() - start
                await rate.acquire(2)
                # two permits are available as soon as possible: none was lost, and none was granted twice
                assert trio.current_time() - start <= taken + 4
        assert len(granted) == 3
        return granted

    explore(explored, budget=BUDGET)


def test_breaker_always_gets_its_probe_back(explore: Any) -> None:
    """Wherever a probe is cancelled, the breaker lets the next one through when it is due."""

    async def explored(probe: Any) -> str:
        breaker = CircuitBreaker(1, cooldown=5, on=OSError)
        answers = [OSError("down")]

        async def service() -> str:
            await trio.sleep(1)
            if answers:
                raise answers.pop()
            return "up"

        guarded = step(
            service, circuit_breaker=breaker, retry=Retry(3, delay=1, on=OSError), timeout=3, total_timeout=9
        )
        try:
            with suppress(OSError, CircuitOpenError):
                await guarded()
            await trio.sleep(5)
            return await guarded()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)
                assert await step(service, circuit_breaker=breaker, retry=Retry(2, delay=6))() == "up"
                assert breaker.state == "closed"

    explore(explored, budget=BUDGET)


def test_losers_never_open_a_breaker_wherever_they_are_cancelled(explore: Any) -> None:
    async def explored(probe: Any) -> str:
        breaker = CircuitBreaker(1, cooldown=60)

        async def slow() -> str:
            try:
                await trio.sleep(2)
            finally:
                if trio.current_effective_deadline() == -float("inf"):
                    raise trio.BrokenResourceError("closing it failed")
            return "slow"

        async def fast() -> str:
            await trio.sleep(1)
            return "fast"

        guarded = step(slow, circuit_breaker=breaker, retry=Retry(3))
        try:
            return await race(fast, guarded)
        finally:
            assert breaker.state == "closed"

    explore(explored, budget=BUDGET)


class Value:
    """Something that has to be closed once."""

    def __init__(self, values: list[Value]) -> None:
        self.closed = 0
        values.append(self)

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed += 1


@pytest.mark.parametrize("accept", [None, lambda value: False])
def test_values_of_attempts_are_closed_once_wherever_they_are_cancelled(explore: Any, accept: Any) -> None:
    """Failed attempts hold values of paths that succeeded. Some attempts are not accepted, others are too late."""

    async def explored(probe: Any) -> int:
        values: list[Value] = []
        kept: list[Value] = []
        attempts = 0

        async def opens() -> Value:
            await trio.sleep(0.5)
            return Value(values)

        async def shielded() -> Value:
            with trio.CancelScope(shield=True):
                await trio.sleep(1.25 if attempts == 2 else 0.25)
            return Value(values)

        async def flaky() -> Value:
            nonlocal attempts
            attempts += 1
            await trio.sleep(0.75)
            if attempts < 3:
                raise OSError("busy")
            return Value(values)

        picky = step(shielded, id="picky", timeout=1, retry=Retry(1, accept=accept) if accept else None)
        inner = fork("inner", mode="all", paths=[opens, picky, flaky], dispose=Value.close)
        again = step(inner, retry=Retry(3, delay=0.25, on=(OSError, NotAcceptedError, StepTimeoutError)))
        try:
            kept += await again()
        except ForkPartialError as error:
            kept += [result.value for result in error.succeeded if isinstance(result.value, Value)]
            kept += [
                result.error.value  # type: ignore[misc]
                for result in error.failed
                if isinstance(result.error, NotAcceptedError)
            ]
        finally:
            for value in values:
                expected = not any(value is one for one in kept)
                assert value.closed == expected, f"{value.closed} times"
        return len(values)

    explore(explored, budget=BUDGET)


def test_line_of_a_limiter_is_never_longer_than_max_waiting(explore: Any) -> None:
    async def explored(probe: Any) -> tuple[int, int]:
        limiter = probe.watch(trio.CapacityLimiter(1))
        ran = refused = 0

        async def work() -> None:
            nonlocal ran
            assert limiter.statistics().tasks_waiting <= 1
            await trio.sleep(1)
            ran += 1

        guarded = step(work, limiter=limiter, max_waiting=1, retry=Retry(2))

        async def call() -> None:
            nonlocal refused
            try:
                await guarded()
            except QueueFullError:
                refused += 1

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(call)
        assert (ran, refused) == (2, 2)
        return ran, refused

    explore(explored, budget=BUDGET)
