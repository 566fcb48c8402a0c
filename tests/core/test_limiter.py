"""Leases of a limiter: a token that is lent to inner steps, passed on, and given back."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from trio_steps._core.errors import leaves
from trio_steps._core.policy.limiter import Lease, find_lender, hold


def held(limiter, outer=None):
    """Return a lease that holds a token."""
    lease = Lease(limiter, outer)
    assert lease.take_nowait()
    return lease


def lent(lender):
    """Return a lease on the lane of `lender`."""
    borrowed = Lease(lender.limiter, lender, lender)
    assert borrowed.take_nowait()
    return borrowed


# A lease


def test_lease_holds_a_token_on_its_own_behalf() -> None:
    """Several leases in one task hold a token each."""
    limiter = trio.CapacityLimiter(2)
    first, second = held(limiter), held(limiter)
    assert limiter.borrowed_tokens == 2
    first.end()
    assert limiter.borrowed_tokens == 1
    second.end()
    assert limiter.borrowed_tokens == 0


def test_lease_without_a_free_token_is_not_taken(limiter) -> None:
    first = held(limiter)
    assert Lease(limiter, None).take_nowait() is False
    first.end()
    assert limiter.borrowed_tokens == 0


async def test_lease_waits_for_a_token(limiter, autojump_clock) -> None:
    first, second = held(limiter), Lease(limiter, None)
    took = []

    async def takes():
        took.append((await second.take(), trio.current_time()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(takes)
        await trio.sleep(3)
        assert limiter.statistics().tasks_waiting == 1
        first.end()
    assert took == [(True, 3)]
    assert limiter.borrowed_tokens == 1
    second.end()
    assert limiter.borrowed_tokens == 0


def test_lease_lends_without_another_token(limiter) -> None:
    lent(held(limiter))
    assert limiter.borrowed_tokens == 1


def test_lease_lends_to_one_borrower_at_a_time(limiter) -> None:
    lease = held(limiter)
    borrowed = lent(lease)
    assert Lease(limiter, lease, lease).take_nowait() is False
    borrowed.end()
    assert Lease(limiter, lease, lease).take_nowait() is True


def test_lease_goes_on_after_its_borrower_has_ended(limiter) -> None:
    lease = held(limiter)
    lent(lease).end()
    assert limiter.borrowed_tokens == 1
    lease.end()
    assert limiter.borrowed_tokens == 0


def test_lease_that_ended_first_keeps_the_token_until_its_borrower_has_ended(limiter) -> None:
    lease = held(limiter)
    borrowed = lent(lease)
    lease.end()
    assert limiter.borrowed_tokens == 1
    borrowed.end()
    assert limiter.borrowed_tokens == 0


def test_lease_of_a_borrower_lends_in_turn_and_the_last_one_gives_the_token_back(limiter) -> None:
    lease = held(limiter)
    borrowed = lent(lease)
    again = lent(borrowed)
    lease.end()
    borrowed.end()
    assert limiter.borrowed_tokens == 1
    again.end()
    assert limiter.borrowed_tokens == 0


async def test_lease_has_one_lane_for_all_its_borrowers(limiter, autojump_clock) -> None:
    lease = held(limiter)
    times = []

    async def borrower():
        borrowed = Lease(limiter, lease, lease)
        assert await borrowed.take() is True
        begin = trio.current_time()
        await trio.sleep(2)
        times.append((begin, trio.current_time()))
        borrowed.end()

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(borrower)
    assert times == [(0, 2), (2, 4), (4, 6)]
    assert limiter.borrowed_tokens == 1


async def test_lease_that_has_ended_lends_no_more_and_keeps_its_lane_free(limiter) -> None:
    lease = held(limiter)
    lease.end()
    for _ in range(2):
        assert Lease(limiter, None, lease).take_nowait() is False
        assert await Lease(limiter, None, lease).take() is False
    assert limiter.borrowed_tokens == 0


async def test_lease_that_ends_while_somebody_waits_for_its_lane_lends_no_more(limiter, autojump_clock) -> None:
    lease = held(limiter)
    borrowed = lent(lease)
    took = []

    async def late():
        took.append(await Lease(limiter, lease, lease).take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(late)
        await trio.sleep(1)
        lease.end()
        await trio.sleep(1)
        assert took == []
        borrowed.end()
    assert took == [False]
    assert limiter.borrowed_tokens == 0


async def test_lease_is_as_before_when_a_borrower_was_cancelled_on_its_way_to_the_lane(limiter, autojump_clock) -> None:
    lease = held(limiter)
    borrowed = lent(lease)
    with trio.move_on_after(1) as scope:
        await Lease(limiter, lease, lease).take()
    assert scope.cancelled_caught
    borrowed.end()
    lent(lease).end()
    lease.end()
    assert limiter.borrowed_tokens == 0


# Passing a lease on


async def test_lease_is_passed_on_with_its_token(limiter) -> None:
    lease = held(limiter)
    successor = lease.pass_on(0)
    assert successor is not lease
    assert lease.ended
    assert not successor.ended
    assert limiter.borrowed_tokens == 1
    successor.end()
    assert limiter.borrowed_tokens == 0


async def test_lease_that_was_passed_on_lends_no_more_but_its_successor_does(limiter) -> None:
    lease = held(limiter)
    successor = lease.pass_on(0)
    assert Lease(limiter, None, lease).take_nowait() is False
    borrowed = lent(successor)
    successor.end()
    assert limiter.borrowed_tokens == 1
    borrowed.end()
    assert limiter.borrowed_tokens == 0


async def test_lease_is_not_passed_on_while_it_is_lent(limiter) -> None:
    """The borrower keeps the token, so the holder has to wait for another."""
    lease = held(limiter)
    borrowed = lent(lease)
    assert lease.pass_on(0) is None
    assert lease.ended
    assert limiter.borrowed_tokens == 1
    borrowed.end()
    assert limiter.borrowed_tokens == 0


async def test_lease_is_not_passed_on_while_a_stranger_waits(limiter, autojump_clock) -> None:
    lease = held(limiter)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limiter.acquire_on_behalf_of, "stranger")
        await trio.testing.wait_all_tasks_blocked()
        assert lease.pass_on(0) is None
    assert limiter.statistics().borrowers == ["stranger"]


async def test_lease_is_passed_on_when_nobody_waits_but_the_holders_own_tasks(limiter, autojump_clock) -> None:
    lease = held(limiter)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limiter.acquire_on_behalf_of, "own")
        await trio.testing.wait_all_tasks_blocked()
        successor = lease.pass_on(1)
        assert successor is not None
        assert limiter.statistics().tasks_waiting == 1
        successor.end()


def test_lease_is_not_passed_on_after_the_number_of_tokens_was_lowered() -> None:
    limiter = trio.CapacityLimiter(2)
    first, second = held(limiter), held(limiter)
    limiter.total_tokens = 1
    assert first.pass_on(0) is None
    assert limiter.borrowed_tokens == 1
    assert second.pass_on(0) is not None


async def test_lease_on_a_lane_is_passed_on_while_the_lender_runs(limiter) -> None:
    lease = held(limiter)
    borrowed = lent(lease)
    successor = borrowed.pass_on(0)
    assert successor.outer is borrowed.outer
    successor.end()
    assert limiter.borrowed_tokens == 1
    lease.end()
    assert limiter.borrowed_tokens == 0


async def test_lease_on_a_lane_is_not_passed_on_after_the_lender_has_ended(limiter) -> None:
    lease = held(limiter)
    borrowed = lent(lease)
    lease.end()
    assert borrowed.pass_on(0) is None
    assert limiter.borrowed_tokens == 0


async def test_lease_on_a_lane_is_not_passed_on_while_anybody_waits_for_the_lane(limiter, autojump_clock) -> None:
    """The holder's own tasks wait for tokens, never for the lane."""
    lease = held(limiter)
    borrowed = lent(lease)
    other = Lease(limiter, lease, lease)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.take)
        await trio.testing.wait_all_tasks_blocked()
        assert borrowed.pass_on(5) is None
    other.end()
    lease.end()
    assert limiter.borrowed_tokens == 0


# Who lends


def test_lender_is_the_innermost_lease_of_the_limiter(limiter) -> None:
    other = trio.CapacityLimiter(1)
    outermost = held(limiter)
    inner = Lease(limiter, outermost)
    foreign = held(other, inner)
    assert find_lender(limiter, foreign) is inner
    assert find_lender(other, foreign) is foreign


def test_lender_is_none_without_a_lease_of_the_limiter(limiter) -> None:
    assert find_lender(limiter, None) is None
    assert find_lender(limiter, held(trio.CapacityLimiter(1))) is None


def test_lender_is_never_a_lease_that_has_ended(limiter) -> None:
    limiter.total_tokens = 2
    outermost = held(limiter)
    inner = held(limiter, outermost)
    inner.end()
    assert find_lender(limiter, inner) is outermost
    outermost.end()
    assert find_lender(limiter, inner) is None


async def test_hold_takes_a_token(limiter) -> None:
    lease = await hold(limiter, None)
    assert limiter.borrowed_tokens == 1
    lease.end()
    assert limiter.borrowed_tokens == 0


async def test_hold_borrows_rather_than_to_take_another_token() -> None:
    limiter = trio.CapacityLimiter(2)
    lease = held(limiter)
    borrowed = await hold(limiter, lease)
    assert borrowed.outer is lease
    assert limiter.borrowed_tokens == 1


async def test_hold_takes_a_token_when_the_lane_is_taken() -> None:
    limiter = trio.CapacityLimiter(2)
    lease = held(limiter)
    lent(lease)
    other = await hold(limiter, lease)
    assert other.outer is lease
    assert limiter.borrowed_tokens == 2
    other.end()
    assert limiter.borrowed_tokens == 1


async def test_hold_waits_for_a_token_when_nobody_lends(limiter, autojump_clock) -> None:
    stranger = held(limiter)
    times = []

    async def waits():
        await hold(limiter, None)
        times.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits)
        await trio.sleep(2)
        stranger.end()
    assert times == [2]


@pytest.mark.parametrize("first", ["lane", "token", "both"])
async def test_hold_takes_the_lane_or_a_token_whichever_is_free_first(first, autojump_clock) -> None:
    limiter = trio.CapacityLimiter(2)
    lease, stranger = held(limiter), held(limiter)
    busy = lent(lease)
    got = []

    async def waits():
        got.append((await hold(limiter, lease), trio.current_time()))

    with trio.fail_after(100):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits)
            await trio.sleep(2)
            if first != "token":
                busy.end()
            if first != "lane":
                stranger.end()
    [(taken, time)] = got
    assert time == 2
    assert taken.outer is lease
    if first == "lane":
        stranger.end()
    if first == "token":
        busy.end()
    lease.end()
    assert limiter.borrowed_tokens == 1
    taken.end()
    assert limiter.borrowed_tokens == 0
    assert limiter.statistics().tasks_waiting == 0


async def test_hold_turns_to_the_next_lender_when_the_first_has_ended_in_the_meantime(limiter, autojump_clock) -> None:
    """The token belongs to the outermost lease, whose holder may be waiting for this step."""
    outermost = held(limiter)
    inner = lent(outermost)
    busy = lent(inner)
    times = []

    async def waits():
        borrowed = await hold(limiter, inner)
        times.append(trio.current_time())
        borrowed.end()

    with trio.fail_after(100):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits)
            await trio.sleep(1)
            inner.end()
            await trio.sleep(1)
            busy.end()
    assert times == [2]
    assert limiter.borrowed_tokens == 1
    outermost.end()
    assert limiter.borrowed_tokens == 0


async def test_hold_waits_for_a_token_when_the_only_lender_has_ended_in_the_meantime(limiter, autojump_clock) -> None:
    lease = held(limiter)
    busy = lent(lease)
    times = []

    async def waits():
        await hold(limiter, lease)
        times.append(trio.current_time())

    with trio.fail_after(100):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits)
            await trio.sleep(1)
            lease.end()
            await trio.sleep(1)
            busy.end()
    assert times == [2]
    assert limiter.borrowed_tokens == 1


@pytest.mark.parametrize("lends", [True, False])
async def test_hold_that_is_cancelled_leaves_nothing_behind(lends, limiter, autojump_clock) -> None:
    lease = held(limiter)
    busy = lent(lease)
    with trio.move_on_after(1) as scope:
        await hold(limiter, lease if lends else None)
    assert scope.cancelled_caught
    busy.end()
    lease.end()
    assert limiter.borrowed_tokens == 0
    assert limiter.statistics().tasks_waiting == 0


async def test_hold_that_is_cancelled_raises_a_bare_cancelled(limiter, autojump_clock) -> None:
    """And not a group, although it may wait for the lane and for a token at the same time."""
    lease = held(limiter)
    lent(lease)
    caught = []

    async def waits():
        try:
            await hold(limiter, lease)
        except BaseException as error:
            caught.append(type(error))
            raise

    with trio.move_on_after(1):
        await waits()
    assert caught == [trio.Cancelled]


@pytest.mark.parametrize("comes", ["lane", "token", "both"])
async def test_hold_that_is_cancelled_in_the_moment_in_which_it_would_go_on_leaves_nothing_behind(
    comes, autojump_clock
) -> None:
    limiter = trio.CapacityLimiter(2)
    lease, stranger = held(limiter), held(limiter)
    busy = lent(lease)
    leases = []

    async def waits():
        leases.append(await hold(limiter, lease))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits)
        await trio.sleep(1)
        if comes != "token":
            busy.end()
        if comes != "lane":
            stranger.end()
        nursery.cancel_scope.cancel()
    for got in leases:  # if it was faster than the cancellation
        got.end()
    if comes == "token":
        busy.end()
    if comes == "lane":
        stranger.end()
    lent(lease).end()
    lease.end()
    assert limiter.borrowed_tokens == 0
    assert limiter.statistics().tasks_waiting == 0


async def test_hold_that_is_interrupted_leaves_nothing_behind(limiter, monkeypatch) -> None:
    lease = held(limiter)
    busy = lent(lease)

    async def take(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Lease, "take", take)
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - alone or in a group
        await hold(limiter, lease)
    assert {type(leaf) for leaf in leaves(caught.value)} == {KeyboardInterrupt}
    busy.end()
    lease.end()
    assert limiter.borrowed_tokens == 0
