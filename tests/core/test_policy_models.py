"""Policies against naive models, in generated programs on the virtual clock.

Times are multiples of a quarter of a second, which floats add without error.
"""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_steps import CircuitBreaker, CircuitOpenError, RateLimit, Retry, StepTimeoutError, step

QUARTERS = st.integers(0, 24).map(lambda quarters: quarters / 4)


def run(main, *args):
    return trio.run(main, *args, clock=trio.testing.MockClock(autojump_threshold=0))


# A breaker, call by call


class NaiveBreaker:
    """A breaker as documented, for sequential calls."""

    def __init__(self, threshold, cooldown):
        self.threshold, self.cooldown = threshold, cooldown
        self.failures = 0
        self.opened = None

    def call(self, begin, end, outcome):
        if self.opened is not None and begin < self.opened + self.cooldown:
            return "refused"
        probing = self.opened is not None
        if outcome in ("fails", "is slow"):
            self.failures += 1
            if probing or self.failures >= self.threshold:
                self.opened = end
        elif outcome in ("succeeds", "is not at fault"):
            self.failures, self.opened = 0, None
        return outcome


OUTCOMES = st.sampled_from(
    ["succeeds", "fails", "is not at fault", "is slow", "is cancelled", "is cancelled and fails"]
)


@given(st.integers(1, 3), QUARTERS, st.lists(st.tuples(QUARTERS, QUARTERS, OUTCOMES), max_size=12))
@settings(max_examples=150)
def test_breaker_does_what_the_naive_one_does(threshold, cooldown, calls) -> None:
    async def main():
        breaker = CircuitBreaker(threshold, cooldown, on=OSError)
        naive = NaiveBreaker(threshold, cooldown)
        for pause, seconds, outcome in calls:
            await trio.sleep(pause)
            begin = trio.current_time()
            assert await one(breaker, seconds, outcome) == naive.call(begin, trio.current_time(), outcome)
            assert breaker.state == ("closed" if naive.opened is None else "open")

    async def one(breaker, seconds, outcome):
        async def body():
            try:
                await trio.sleep(inf if outcome.startswith("is ") else seconds)
            finally:
                if outcome == "is cancelled and fails":
                    raise OSError
            if outcome == "fails":
                raise OSError

        async def answers():
            await trio.sleep(seconds)
            raise LookupError

        called = answers if outcome == "is not at fault" else body
        timeout = seconds or 0.25
        options = {"timeout": timeout} if outcome == "is slow" else {}
        with trio.move_on_after(timeout) if "cancelled" in outcome else trio.CancelScope() as scope:
            try:
                await step(called, circuit_breaker=breaker, **options)()
            except CircuitOpenError:
                return "refused"
            except StepTimeoutError:
                return "is slow"
            except LookupError:
                return "is not at fault"
            except OSError:
                return outcome
            return "succeeds"
        assert scope.cancelled_caught
        return outcome

    run(main)


# A rate, and its callers


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 6),
    st.lists(st.tuples(QUARTERS, st.integers(1, 6), st.sampled_from([None, 0.375, 1.125])), max_size=10),
)
@settings(max_examples=150)
def test_rate_grants_what_a_bucket_that_is_filled_drop_by_drop_grants(count, per, burst, asked) -> None:
    """Permits are granted exactly when the bucket has them, in order. A task that gives up takes none."""
    asked = [(at + index / 1024, min(amount, burst), patience) for index, (at, amount, patience) in enumerate(asked)]
    asked.sort()
    granted = []

    async def main():
        rate = RateLimit(count, per=per, burst=burst)

        async def ask(at, amount, patience):
            await trio.sleep_until(start + at)
            with trio.move_on_after(inf if patience is None else patience):
                await rate.acquire(amount)
                granted.append((round(trio.current_time() - start, 9), at, amount))

        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for one in asked:
                nursery.start_soon(ask, *one)

    run(main)
    assert [(pytest.approx(time), at, amount) for time, at, amount in naive_grants(count, per, burst, asked)] == granted
    assert all(earlier[:2] <= later[:2] for earlier, later in pairwise(granted))


def naive_grants(count, per, burst, asked):
    """Serve the waiting tasks in order, from a bucket whose level rises steadily."""
    level, now = float(burst), 0.0
    grants = []
    free_at = 0.0  # when the one before left the line
    for at, amount, patience in asked:
        begin = max(at, free_at)
        level, now = min(burst, level + (begin - now) * count / per), begin
        ready = begin + max(0.0, amount - level) * per / count
        if patience is not None and ready >= at + patience:
            free_at = max(free_at, at + patience) if begin < at + patience else free_at
            continue
        level, now = min(burst, level + (ready - now) * count / per) - amount, ready
        grants.append((ready, at, amount))
        free_at = ready
    return grants


# Retries, by arithmetic


@given(
    st.integers(1, 6),
    st.sampled_from(["fixed", "linear", "exponential"]),
    QUARTERS,
    QUARTERS,
    st.lists(st.booleans(), min_size=6, max_size=6),
)
@settings(max_examples=100)
def test_retry_starts_each_attempt_when_arithmetic_says(attempts, backoff, delay, longest, fails) -> None:
    starts = []

    async def main():
        @step(retry=Retry(attempts, backoff=backoff, delay=delay, max_delay=longest))
        async def work():
            starts.append(trio.current_time())
            if fails[len(starts) - 1]:
                raise OSError

        try:
            await work()
        except OSError:
            assert all(fails[:attempts])

    run(main)
    expected, now = [0.0], 0.0
    for number in range(1, attempts):
        if not fails[number - 1]:
            break
        factor = {"fixed": 1, "linear": number, "exponential": 2 ** (number - 1)}[backoff]
        now += min(delay * factor, longest)
        expected.append(now)
    assert starts == expected
