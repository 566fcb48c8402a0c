"""`CircuitBreaker`: when it opens, what it lets through, when it closes."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import trio
import trio.testing
from bodies import Body, BoomError, boom, opened

from trio_steps import (
    CircuitBreaker,
    CircuitOpenError,
    ConfigError,
    fork,
    step,
)


@pytest.mark.parametrize(
    ("threshold", "cooldown", "options", "message"),
    [
        (
            0,
            1,
            {},
            r"^CircuitBreaker\(failure_threshold=0\): give 1 or more failures: CircuitBreaker\(5, cooldown=30\)$",
        ),
        (1.5, 1, {}, r"^CircuitBreaker\(failure_threshold=1\.5\)"),
        (True, 1, {}, r"^CircuitBreaker\(failure_threshold=True\)"),
        (None, 1, {}, r"^CircuitBreaker\(failure_threshold=None\)"),
        (1, -1, {}, r"^CircuitBreaker\(cooldown=…\) must be a number of seconds, 0 or more, not -1$"),
        (1, "1", {}, r"^CircuitBreaker\(cooldown=…\)"),
        (1, math.nan, {}, r"^CircuitBreaker\(cooldown=…\)"),
        (1, None, {}, r"^CircuitBreaker\(cooldown=…\)"),
        (1, 1, {"on_open": "ignore"}, r"^CircuitBreaker\(on_open='ignore'\): use \"raise\" or \"skip\"$"),
        (1, 1, {"on_open": None}, r"^CircuitBreaker\(on_open=None\)"),
        (1, 1, {"on": 5}, r"^CircuitBreaker\(on=5\): give exception types, or a function of the exception: on=OSError"),
        (1, 1, {"on": trio.Cancelled}, r"^CircuitBreaker\(on=<class 'trio.Cancelled'>\)"),
        (1, 1, {"on": Body()}, r"^CircuitBreaker\(on=<.*>\) is async, and its answer is needed at once"),
    ],
)
def test_breaker_refuses_what_makes_no_sense(threshold, cooldown, options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        CircuitBreaker(threshold, cooldown, **options)


# Circuit breaker: closed and open


async def test_breaker_opens_after_failures_in_a_row(autojump_clock) -> None:
    breaker = CircuitBreaker(3, 10)
    body = Body(*boom(3), "never")
    guarded = step(body, circuit_breaker=breaker)
    for _ in range(3):
        assert breaker.state == "closed"
        with pytest.raises(BoomError):
            await guarded()
    assert breaker.state == "open"
    with pytest.raises(CircuitOpenError):
        await guarded()
    assert len(body.starts) == 3


async def test_breaker_counts_from_zero_after_a_success(autojump_clock) -> None:
    breaker = CircuitBreaker(2, 10)
    guarded = step(Body(BoomError(), "fine", BoomError(), "fine"), circuit_breaker=breaker)
    for fails in (True, False, True, False):
        if fails:
            with pytest.raises(BoomError):
                await guarded()
        else:
            await guarded()
    assert breaker.state == "closed"


async def test_breaker_that_is_open_names_the_step_and_the_time_to_wait(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    await trio.sleep(4)

    async def outer():
        await step(Body("never"), circuit_breaker=breaker)()

    with pytest.raises(CircuitOpenError) as caught:
        await step(outer)()
    assert (caught.value.step, caught.value.retry_after) == ("outer/body", 6.0)
    assert caught.value.__notes__ == ["in step 'outer/body'"]


async def test_breaker_stays_open_until_the_very_end_of_its_cooldown(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    body = Body("fine")
    guarded = step(body, circuit_breaker=breaker)
    await trio.sleep(9.5)
    with pytest.raises(CircuitOpenError) as caught:
        await guarded()
    assert caught.value.retry_after == 0.5
    await trio.sleep(0.5)
    assert await guarded() == "fine"
    assert body.starts == [10]
    assert breaker.state == "closed"


async def test_breaker_says_how_long_to_wait_so_that_no_rounding_wakes_the_caller_too_soon(autojump_clock) -> None:
    await trio.sleep(0.1)
    breaker = await opened(cooldown=0.6000000000000001)
    await trio.sleep(0.1)
    now, end = 0.2, 0.1 + 0.6000000000000001
    assert trio.current_time() == now
    assert now + (end - now) < end
    guarded = step(Body("fine"), circuit_breaker=breaker)
    with pytest.raises(CircuitOpenError) as caught:
        await guarded()
    await trio.sleep(caught.value.retry_after)
    assert await guarded() == "fine"


async def test_breaker_without_cooldown_lets_a_probe_through_at_once(autojump_clock) -> None:
    breaker = await opened(cooldown=0)
    assert await step(Body("fine"), circuit_breaker=breaker)() == "fine"
    assert breaker.state == "closed"


async def test_breaker_refuses_without_counting_it(autojump_clock) -> None:
    """A refused call is not a failure: it neither extends the cooldown nor counts later."""
    breaker = await opened(threshold=1, cooldown=10)
    guarded = step(Body("fine"), circuit_breaker=breaker)
    for _ in range(5):
        await trio.sleep(1)
        with pytest.raises(CircuitOpenError):
            await guarded()
    await trio.sleep(5)
    assert await guarded() == "fine"


async def test_breaker_shows_its_state_in_its_repr(autojump_clock) -> None:
    shown = "CircuitBreaker(failure_threshold=2, cooldown=10, on_open='skip', state={!r})"
    assert repr(CircuitBreaker(2, 10, on_open="skip")) == shown.format("closed")
    assert repr(await opened(2, 10, on_open="skip")) == shown.format("open")


# Circuit breaker: half open


async def test_breaker_closes_when_the_probe_succeeds(autojump_clock) -> None:
    breaker = await opened(threshold=2, cooldown=10)
    await trio.sleep(10)
    guarded = step(Body("fine", BoomError(), "fine"), circuit_breaker=breaker)
    assert await guarded() == "fine"
    assert breaker.state == "closed"
    with pytest.raises(BoomError):  # again the first of two in a row
        await guarded()
    assert breaker.state == "closed"


async def test_breaker_opens_again_when_the_probe_fails(autojump_clock) -> None:
    breaker = await opened(threshold=3, cooldown=10)
    await trio.sleep(12)
    guarded = step(Body(BoomError(), "fine", seconds=1), circuit_breaker=breaker)
    with pytest.raises(BoomError):
        await guarded()
    assert breaker.state == "open"
    with pytest.raises(CircuitOpenError) as caught:
        await guarded()
    assert caught.value.retry_after == 10
    await trio.sleep(10)
    assert await guarded() == "fine"


async def test_breaker_lets_one_probe_through_at_a_time(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    await trio.sleep(15)
    body = Body("fine", seconds=2)
    guarded = step(body, circuit_breaker=breaker)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(guarded)
        await trio.sleep(1)
        with pytest.raises(CircuitOpenError) as caught:
            await guarded()
        assert caught.value.retry_after == 0
        assert str(caught.value) == "circuit breaker of 'body' is open; a probe is under way"
        assert breaker.state == "open"
    assert body.starts == [15]
    assert breaker.state == "closed"


async def test_breaker_gets_the_probe_back_when_it_is_cancelled(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    await trio.sleep(10)
    body = Body("fine", seconds=2)
    guarded = step(body, circuit_breaker=breaker)
    with trio.move_on_after(1):
        await guarded()
    assert breaker.state == "open"
    await guarded()  # at once: the cancelled probe did not extend the cooldown
    assert body.starts == [10, 11]
    assert breaker.state == "closed"


async def test_breaker_gets_the_probe_back_when_it_is_interrupted(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    await trio.sleep(10)
    guarded = step(Body(KeyboardInterrupt(), "fine"), circuit_breaker=breaker)
    with pytest.raises(KeyboardInterrupt):
        await guarded()
    assert breaker.state == "open"
    assert await guarded() == "fine"


async def test_breaker_does_not_count_a_cancelled_call_as_failure(autojump_clock) -> None:
    breaker = CircuitBreaker(1, 10)
    with trio.move_on_after(1):
        await step(trio.sleep_forever, circuit_breaker=breaker)()
    assert breaker.state == "closed"


async def test_breaker_does_not_count_a_cancelled_call_as_success(autojump_clock) -> None:
    breaker = CircuitBreaker(2, 10)
    with pytest.raises(BoomError):
        await step(Body(BoomError()), circuit_breaker=breaker)()
    with trio.move_on_after(1):
        await step(trio.sleep_forever, circuit_breaker=breaker)()
    with pytest.raises(BoomError):
        await step(Body(BoomError()), circuit_breaker=breaker)()
    assert breaker.state == "open"


@pytest.mark.parametrize("end", ["fine", BoomError()], ids=["succeeds", "fails"])
async def test_breaker_ignores_the_end_of_a_call_from_before_it_opened(end, autojump_clock) -> None:
    breaker = CircuitBreaker(1, 10)
    late = Body(end, seconds=5)

    async def call_late():
        if end == "fine":
            await step(late, circuit_breaker=breaker)()
        else:
            with pytest.raises(BoomError):
                await step(late, circuit_breaker=breaker)()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call_late)
        await trio.sleep(1)
        with pytest.raises(BoomError):
            await step(Body(BoomError()), circuit_breaker=breaker)()
    assert trio.current_time() == 5
    assert breaker.state == "open"
    with pytest.raises(CircuitOpenError) as caught:
        await step(Body("never"), circuit_breaker=breaker)()
    assert caught.value.retry_after == 6  # of the cooldown that began at 1


async def test_breaker_ignores_the_end_of_a_call_from_before_it_opened_while_a_probe_is_under_way(
    autojump_clock,
) -> None:
    breaker = CircuitBreaker(1, 10)

    async def call_late():
        with pytest.raises(BoomError):
            await step(Body(BoomError(), seconds=15), circuit_breaker=breaker)()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call_late)
        await trio.sleep(1)
        with pytest.raises(BoomError):
            await step(Body(BoomError()), circuit_breaker=breaker)()
        await trio.sleep(11)
        probe = step(Body("fine", seconds=8), circuit_breaker=breaker)
        nursery.start_soon(probe)
        await trio.sleep(4)
        with pytest.raises(CircuitOpenError, match="a probe is under way"):
            await probe()
    assert trio.current_time() == 20
    assert breaker.state == "closed"


async def test_breaker_ignores_the_end_of_a_call_from_before_it_opened_after_it_has_closed_again(
    autojump_clock,
) -> None:
    """The call began before the outage, and a probe has tested the service since."""
    breaker = CircuitBreaker(1, 10)

    async def call_late():
        with pytest.raises(BoomError):
            await step(Body(BoomError(), seconds=15), circuit_breaker=breaker)()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call_late)
        await trio.sleep(1)
        with pytest.raises(BoomError):
            await step(Body(BoomError()), circuit_breaker=breaker)()
        await trio.sleep(11)
        await step(Body("fine"), circuit_breaker=breaker)()
        assert breaker.state == "closed"
    assert trio.current_time() == 15
    assert breaker.state == "closed"


# Circuit breaker: shared, and what a step does about it


async def test_breaker_that_is_shared_by_steps_is_shared_state(autojump_clock) -> None:
    breaker = CircuitBreaker(2, 10)
    for name in ("first", "second"):
        with pytest.raises(BoomError):
            await step(Body(BoomError()), id=name, circuit_breaker=breaker)()
    third = Body("fine")
    with pytest.raises(CircuitOpenError) as caught:
        await step(third, id="third", circuit_breaker=breaker)()
    assert caught.value.step == "third"
    assert third.starts == []


async def test_breaker_lets_one_probe_through_for_all_the_steps_that_share_it(autojump_clock) -> None:
    breaker = await opened(cooldown=10)
    await trio.sleep(10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(step(Body("fine", seconds=2), circuit_breaker=breaker))
        await trio.sleep(1)
        with pytest.raises(CircuitOpenError):
            await step(Body("never"), circuit_breaker=breaker)()


async def test_breaker_is_not_shared_by_equal_options(autojump_clock) -> None:
    await opened(1, 10)
    assert await step(Body("fine"), circuit_breaker=CircuitBreaker(1, 10))() == "fine"


async def test_breaker_that_skips_makes_the_step_return_none_without_a_call(autojump_clock) -> None:
    breaker = await opened(on_open="skip")
    body = Body("never")
    assert await step(body, circuit_breaker=breaker)() is None
    assert body.starts == []


async def test_breaker_that_skips_does_so_while_a_probe_is_under_way(autojump_clock) -> None:
    breaker = await opened(cooldown=10, on_open="skip")
    await trio.sleep(10)
    guarded = step(Body("fine", seconds=2), circuit_breaker=breaker)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(guarded)
        await trio.sleep(1)
        assert await guarded() is None


async def test_breaker_that_skips_lets_failures_out(autojump_clock) -> None:
    with pytest.raises(BoomError):
        await step(Body(BoomError()), circuit_breaker=CircuitBreaker(1, 10, on_open="skip"))()


async def test_breaker_that_skips_does_not_hide_the_open_breaker_of_a_step_inside(autojump_clock) -> None:
    """The outer step did run, and failed."""
    inner_breaker = await opened()
    breaker = CircuitBreaker(1, 10, on_open="skip")

    async def outer():
        await step(Body("never"), circuit_breaker=inner_breaker)()

    with pytest.raises(CircuitOpenError) as caught:
        await step(outer, circuit_breaker=breaker)()
    assert caught.value.step == "outer/body"
    assert breaker.state == "open"


async def test_breaker_that_skips_is_a_failed_path_in_a_fork(autojump_clock) -> None:
    breaker = await opened(on_open="skip")
    [result] = await fork("f", mode="settle", paths=[step(Body("never"), circuit_breaker=breaker)])()
    assert result.status == "rejected"
    assert type(result.error) is CircuitOpenError
    assert result.error.step == "f/body"


async def test_breaker_that_skips_still_skips_when_another_step_is_made_of_its_step(autojump_clock) -> None:
    """Adding a timeout to a step does not change its breaker."""
    breaker = await opened(on_open="skip")
    guarded = step(Body("never"), circuit_breaker=breaker)
    assert await step(guarded, timeout=1)() is None
    assert await step(guarded)() is None


# Circuit breaker: the time to wait, and several runs of Trio


@pytest.mark.parametrize("start", [0.1, 0.3, 1 / 3, 12_345.678])
@pytest.mark.parametrize("cooldown", [0.1, 0.2, 0.7, 1e-9, 1 / 3, 12_345.6789])
async def test_breaker_lets_through_who_has_slept_for_as_long_as_it_said(start, cooldown, autojump_clock) -> None:
    await trio.sleep(start)
    breaker = await opened(cooldown=cooldown)
    await trio.sleep(cooldown / 3)
    with pytest.raises(CircuitOpenError) as caught:
        await step(Body("never"), circuit_breaker=breaker)()
    await trio.sleep(caught.value.retry_after)
    assert await step(Body("fine"), circuit_breaker=breaker)() == "fine"


def test_breaker_begins_closed_in_each_run() -> None:
    breaker = CircuitBreaker(1, 60)
    guarded = step(Body(BoomError(), BoomError()), circuit_breaker=breaker)

    async def main():
        assert breaker.state == "closed"
        with pytest.raises(BoomError):
            await guarded()
        assert breaker.state == "open"

    trio.run(main)
    assert breaker.state == "closed"
    trio.run(main)


def test_breaker_has_a_state_for_each_of_the_runs_in_two_threads() -> None:
    breaker = CircuitBreaker(1, 60)
    barrier = threading.Barrier(2)

    async def main(fails):
        body = Body(BoomError() if fails else "fine")
        with suppress(BoomError):
            await step(body, circuit_breaker=breaker)()
        barrier.wait()
        return breaker.state

    with ThreadPoolExecutor(2) as threads:
        states = list(threads.map(trio.run, [main, main], [True, False]))
    assert states == ["open", "closed"]


async def test_breaker_is_forgotten_when_nobody_has_it() -> None:
    breaker = CircuitBreaker(1, 60)
    await step(Body("fine"), circuit_breaker=breaker)()
    gone = weakref.ref(breaker)
    del breaker
    gc.collect()
    assert gone() is None
