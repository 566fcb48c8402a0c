"""`RateLimit`: exactly `count` permits in `per` seconds, in the order in which they were requested."""

from __future__ import annotations

import functools
import gc
import math
import weakref

import pytest
import trio
import trio.testing
from bodies import Body

from trio_steps import ConfigError, RateLimit, step


async def take(rate, *amounts):
    """Take permits one after the other, and return the times."""
    times = []
    for amount in amounts:
        await rate.acquire(amount)
        times.append(trio.current_time())
    return times


# Misuse


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (
            0,
            {"per": 1},
            r"^RateLimit\(count=0\): give the number of permits, 1 or more: RateLimit",
        ),
        (0.5, {"per": 1}, r"^RateLimit\(count=0\.5\): .*; one in two seconds is RateLimit\(1, per=2\.0\)$"),
        (True, {"per": 1}, r"^RateLimit\(count=True\)"),
        ("10", {"per": 1}, r"^RateLimit\(count='10'\)"),
        (1, {"per": 0}, r"^RateLimit\(per=0\): give seconds, more than 0: RateLimit\(10, per=1\.0\)$"),
        (1, {"per": -1}, r"^RateLimit\(per=-1\)"),
        (1, {"per": math.inf}, r"^RateLimit\(per=inf\)"),
        (1, {"per": math.nan}, r"^RateLimit\(per=nan\)"),
        (1, {"per": True}, r"^RateLimit\(per=True\)"),
        (1, {"per": "1"}, r"^RateLimit\(per='1'\)"),
        (
            1,
            {"per": 1, "burst": 0},
            r"^RateLimit\(burst=0\): give how many permits can be taken at once",
        ),
        (1, {"per": 1, "burst": 1.5}, r"^RateLimit\(burst=1\.5\)"),
        (1, {"per": 1, "burst": False}, r"^RateLimit\(burst=False\)"),
    ],
)
def test_rate_refuses_what_makes_no_sense(count, options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        RateLimit(count, **options)


@pytest.mark.parametrize("amount", [0, -1, 1.5, True, "1"])
async def test_rate_refuses_an_amount_that_is_no_number_of_permits(amount) -> None:
    with pytest.raises(ValueError, match=r"^acquire\(.*\): give the number of permits, 1 or more$"):
        await RateLimit(3, per=1).acquire(amount)


async def test_rate_refuses_more_than_it_ever_has_at_once(autojump_clock) -> None:
    rate = RateLimit(10, per=1, burst=5)
    with pytest.raises(
        ValueError, match=r"^acquire\(6\): RateLimit\(10, per=1, burst=5\) never has more than 5 permits"
    ):
        await rate.acquire(6)
    await rate.acquire(5)
    assert trio.current_time() == 0


def test_rate_shows_what_it_is() -> None:
    assert repr(RateLimit(3, per=2.5)) == "RateLimit(3, per=2.5, burst=3)"


# Permits


async def test_rate_begins_full_and_then_grants_permits_evenly(autojump_clock) -> None:
    assert await take(RateLimit(2, per=1), 1, 1, 1, 1, 1) == [0, 0, 0.5, 1, 1.5]


async def test_rate_without_burst_keeps_permits_apart(autojump_clock) -> None:
    assert await take(RateLimit(2, per=1, burst=1), 1, 1, 1, 1) == [0, 0.5, 1, 1.5]


async def test_rate_saves_up_no_more_than_burst(autojump_clock) -> None:
    rate = RateLimit(2, per=1, burst=3)
    await take(rate, 3)
    await trio.sleep(100)
    assert await take(rate, 1, 1, 1, 1, 1) == [100, 100, 100, 100.5, 101]


async def test_rate_saves_up_what_nobody_takes(autojump_clock) -> None:
    rate = RateLimit(2, per=1, burst=4)
    await take(rate, 4)
    await trio.sleep(1)  # 2 permits
    assert await take(rate, 1, 1, 1) == [1, 1, 1.5]


async def test_rate_grants_an_amount_when_all_of_it_is_there(autojump_clock) -> None:
    assert await take(RateLimit(60, per=60, burst=10), 10, 4, 1, 10) == [0, 4, 5, 15]


async def test_rate_does_not_drift(autojump_clock) -> None:
    """The sum of a hundred thousand thirds is not their product."""
    rate = RateLimit(3, per=1.0, burst=1)
    for number in range(3_000):
        await rate.acquire()
        assert trio.current_time() == number / 3


async def test_rate_does_not_drift_over_a_hundred_thousand_permits(autojump_clock) -> None:
    rate = RateLimit(7, per=0.1, burst=1_000)
    times = await take(rate, *[1_000] * 101)
    assert times == [number * 1_000 * 0.1 / 7 for number in range(101)]


async def test_rate_is_taken_by_a_block(autojump_clock) -> None:
    rate = RateLimit(1, per=2)
    times = []
    for _ in range(3):
        async with rate:
            times.append(trio.current_time())
            await trio.sleep(0.5)
    assert times == [0, 2, 4]


async def test_rate_lets_an_error_out_of_a_block(autojump_clock) -> None:
    with pytest.raises(ZeroDivisionError):
        async with RateLimit(1, per=2):
            raise ZeroDivisionError


async def test_rate_is_a_checkpoint_even_when_permits_are_there() -> None:
    with trio.testing.assert_checkpoints():
        await RateLimit(1, per=1).acquire()


async def test_rate_is_shared_by_all_that_use_it(autojump_clock) -> None:
    rate = RateLimit(1, per=1)
    first, second = Body(1, 1), Body(2, 2)
    for body in (first, second, first, second):
        await step(body, rate=rate)()
    assert (first.starts, second.starts) == ([0, 2], [1, 3])


# Waiters


async def test_rate_serves_those_who_wait_in_the_order_in_which_they_came(autojump_clock) -> None:
    """A small request does not overtake a large one."""
    rate = RateLimit(1, per=1, burst=10)
    await rate.acquire(10)
    story = []

    async def wait(name, amount):
        await rate.acquire(amount)
        story.append((name, trio.current_time()))

    async with trio.open_nursery() as nursery:
        for name, amount in (("large", 10), ("small", 1), ("middle", 5)):
            nursery.start_soon(wait, name, amount)
            await trio.sleep(0.25)
    assert story == [("large", 10), ("small", 11), ("middle", 16)]


async def test_rate_loses_no_permit_when_the_first_who_waits_is_cancelled(autojump_clock) -> None:
    rate = RateLimit(1, per=1, burst=10)
    await rate.acquire(10)
    story = []

    async def wait(name, amount):
        await rate.acquire(amount)
        story.append((name, trio.current_time()))

    async with trio.open_nursery() as nursery:

        async def impatient():
            with trio.move_on_after(3):
                await wait("impatient", 10)

        nursery.start_soon(impatient)
        await trio.sleep(1)
        nursery.start_soon(wait, "next", 2)
        await trio.sleep(1)
        nursery.start_soon(wait, "last", 4)
    assert story == [("next", 3), ("last", 6)]  # there were three permits when the first gave up
    assert await take(rate, 1) == [7]


async def test_rate_loses_no_permit_when_one_in_the_line_is_cancelled(autojump_clock) -> None:
    rate = RateLimit(1, per=1)
    await rate.acquire()
    times = []

    async def wait():
        await rate.acquire()
        times.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(0.25)
        with trio.move_on_after(0.5) as scope:
            await rate.acquire()
        assert scope.cancelled_caught
        nursery.start_soon(wait)
    assert times == [1, 2]


async def test_rate_takes_nothing_in_a_cancelled_scope(autojump_clock) -> None:
    rate = RateLimit(1, per=1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await rate.acquire()
    assert scope.cancelled_caught
    assert await take(rate, 1) == [0]


# Several runs of Trio


def test_rate_begins_full_in_each_run() -> None:
    rate = RateLimit(1, per=60)
    for _ in range(3):
        clock = trio.testing.MockClock(autojump_threshold=0)
        assert trio.run(functools.partial(take, rate, 1), clock=clock) == [0]


async def test_rate_is_forgotten_when_nobody_has_it() -> None:
    rate = RateLimit(1, per=60)
    await rate.acquire()
    gone = weakref.ref(rate)
    del rate
    gc.collect()
    assert gone() is None


def test_more_permits_than_a_float_can_hold_are_refused_when_the_rate_is_made() -> None:
    for options in ({"count": 10**400}, {"count": 1, "burst": 10**400}):
        with pytest.raises(ConfigError, match=r": more than 2e\+308 can't be counted; give "):
            RateLimit(**options, per=1.0)  # type: ignore[arg-type]
    RateLimit(10**308, per=1.0)
