"""The policy `limiter`: a step holds a token while it runs, and lends it to the steps inside."""

from __future__ import annotations

import functools

import pytest
import trio
import trio.testing
from bodies import BoomError

from trio_steps import LimitWaited, Retry, StepTimeoutError, current_scope, fork, step

# The policy limiter=


async def test_limiter_of_a_step_is_held_while_it_runs(limiter) -> None:
    @step(limiter=limiter)
    async def work():
        return limiter.borrowed_tokens

    assert await work() == 1
    assert limiter.borrowed_tokens == 0


async def test_limiter_bounds_how_many_run_at_once(autojump_clock) -> None:
    limiter = trio.CapacityLimiter(2)
    times = []

    @step(limiter=limiter)
    async def work():
        begin = trio.current_time()
        await trio.sleep(1)
        times.append((begin, trio.current_time()))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(work)
    assert times == [(0, 1), (0, 1), (1, 2), (1, 2), (2, 3)]


async def test_limiter_of_steps_within_steps_never_deadlocks(limiter, autojump_clock) -> None:
    @step(limiter=limiter)
    async def innermost():
        await trio.sleep(1)
        return current_scope().name

    @step(limiter=limiter)
    async def inner():
        return await innermost()

    @step(limiter=limiter)
    async def outer():
        return [await inner(), await innermost(), await inner()]

    assert await outer() == ["outer/inner/innermost", "outer/innermost", "outer/inner/innermost"]
    assert trio.current_time() == 3
    assert limiter.borrowed_tokens == 0


async def test_limiter_lends_to_one_step_inside_after_the_other(limiter, autojump_clock) -> None:
    times = []

    @step(limiter=limiter)
    async def inner():
        begin = trio.current_time()
        await trio.sleep(1)
        times.append((begin, trio.current_time(), limiter.borrowed_tokens))

    @step(limiter=limiter)
    async def outer():
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(inner)

    await outer()
    assert times == [(0, 1, 1), (1, 2, 1), (2, 3, 1)]
    assert limiter.borrowed_tokens == 0


async def test_limiter_lends_across_a_step_with_another_limiter(limiter, autojump_clock) -> None:
    other = trio.CapacityLimiter(1)

    @step(limiter=limiter)
    async def innermost():
        return limiter.borrowed_tokens, other.borrowed_tokens

    @step(limiter=other)
    async def inner():
        return await innermost()

    @step(limiter=limiter)
    async def outer():
        return await inner()

    assert await outer() == (1, 1)
    assert (limiter.borrowed_tokens, other.borrowed_tokens) == (0, 0)


async def test_limiter_keeps_its_token_until_a_borrower_in_the_background_has_ended(limiter, autojump_clock) -> None:
    borrowed = trio.Event()

    @step(limiter=limiter)
    async def background():
        borrowed.set()
        await trio.sleep(5)

    async with trio.open_nursery() as nursery:

        @step(limiter=limiter)
        async def outer():
            nursery.start_soon(background)
            await borrowed.wait()

        await outer()
        assert trio.current_time() == 0
        assert limiter.borrowed_tokens == 1
        await trio.sleep(4)
        assert limiter.borrowed_tokens == 1
        await trio.sleep(2)
        assert limiter.borrowed_tokens == 0


async def test_limiter_lends_no_more_once_the_step_has_ended(limiter, autojump_clock) -> None:
    """A task that the step left in the background has to take a token like any other."""
    times = []

    @step(limiter=limiter)
    async def inner():
        times.append(trio.current_time())

    async def background():
        await trio.sleep(1)
        await inner()

    async with trio.open_nursery() as nursery:

        @step(limiter=limiter)
        async def outer():
            nursery.start_soon(background)

        await outer()
        async with limiter:
            await trio.sleep(3)
    assert times == [3]
    assert limiter.borrowed_tokens == 0


async def test_limiter_token_goes_back_on_error(limiter) -> None:
    @step(limiter=limiter)
    async def work():
        raise BoomError

    with pytest.raises(BoomError):
        await work()
    assert limiter.borrowed_tokens == 0


async def test_limiter_token_goes_back_on_cancellation(limiter, autojump_clock) -> None:
    @step(limiter=limiter)
    async def work():
        await trio.sleep_forever()

    with trio.move_on_after(1) as scope:
        await work()
    assert scope.cancelled_caught
    assert limiter.borrowed_tokens == 0


@pytest.mark.parametrize("policy", ["timeout", "total_timeout"])
async def test_limiter_token_goes_back_on_timeout_when_the_body_has_stopped(policy, limiter, autojump_clock) -> None:
    held_at = []

    async def work():
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)
                held_at.append((trio.current_time(), limiter.borrowed_tokens))

    with pytest.raises(StepTimeoutError):
        await step(work, limiter=limiter, **{policy: 1})()
    assert held_at == [(3, 1)]
    assert limiter.borrowed_tokens == 0


async def test_limiter_token_goes_back_on_interrupt(limiter) -> None:
    @step(limiter=limiter)
    async def work():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await work()
    assert limiter.borrowed_tokens == 0


async def test_limiter_token_goes_back_on_an_interrupt_in_an_observer_of_the_wait(limiter, autojump_clock) -> None:
    def interrupt(event):
        if isinstance(event, LimitWaited):
            raise KeyboardInterrupt

    async def work():
        pytest.fail("it began after the interrupt")

    limiter.acquire_on_behalf_of_nowait("someone")
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _():
            await trio.sleep(1)
            limiter.release_on_behalf_of("someone")

        with pytest.raises(KeyboardInterrupt):
            await step(work, limiter=limiter).run(observers=[interrupt])
    assert limiter.borrowed_tokens == 0


async def test_limiter_token_goes_back_when_a_borrower_fails(limiter) -> None:
    @step(limiter=limiter)
    async def inner():
        raise BoomError

    @step(limiter=limiter)
    async def outer():
        with pytest.raises(BoomError):
            await inner()
        return limiter.borrowed_tokens

    assert await outer() == 1
    assert limiter.borrowed_tokens == 0


async def test_limiter_token_goes_back_when_a_borrower_is_cancelled(limiter, autojump_clock) -> None:
    @step(limiter=limiter)
    async def inner():
        await trio.sleep_forever()

    @step(limiter=limiter)
    async def outer():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inner)
            nursery.start_soon(inner)  # waits for the lane
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        await step(trio.lowlevel.checkpoint, limiter=limiter)()
        return limiter.borrowed_tokens

    assert await outer() == 1
    assert limiter.borrowed_tokens == 0


async def test_limiter_is_waited_for_without_a_token(limiter, autojump_clock) -> None:
    ran = []

    @step(limiter=limiter)
    async def work():
        ran.append(True)

    async with limiter:
        with trio.move_on_after(1) as scope:
            await work()
    assert scope.cancelled_caught
    assert ran == []
    assert limiter.borrowed_tokens == 0


async def test_limiter_lends_to_a_step_around_a_step_with_the_same_limiter(limiter, autojump_clock) -> None:
    """Two limiter policies in one scope: the inner one borrows, and what the scope lends is restored."""
    inner = step(trio.sleep, limiter=limiter)
    await step(inner, id="outer", limiter=limiter)(1)
    assert trio.current_time() == 1
    assert limiter.borrowed_tokens == 0


async def test_limiter_lends_to_a_fork_inside_the_step(limiter, autojump_clock) -> None:
    @step(limiter=limiter)
    async def outer():
        return await fork("f", mode="all", paths=[path] * 3, concurrency=limiter)()

    async def path():
        await trio.sleep(1)
        return trio.current_time(), limiter.borrowed_tokens

    assert await outer() == ((1, 1), (2, 1), (3, 1))
    assert limiter.borrowed_tokens == 0


async def test_limiter_of_a_fork_lends_to_a_step_inside_a_path(limiter, autojump_clock) -> None:
    @step(limiter=limiter)
    async def inner():
        await trio.sleep(1)
        return trio.current_time(), limiter.borrowed_tokens

    async def path():
        return await inner()

    assert await fork("f", mode="all", paths=[path] * 3, concurrency=limiter)() == ((1, 1), (2, 1), (3, 1))
    assert limiter.borrowed_tokens == 0


@pytest.mark.parametrize("inside", ["as the path", "in the path"])
async def test_limiter_of_a_step_uses_the_token_that_is_already_held_around_it(inside, autojump_clock) -> None:
    """A path holds one token, even while it runs a step under the same limiter: four tokens, four paths at once."""
    limiter = trio.CapacityLimiter(4)
    most = []

    @step(limiter=limiter)
    async def work():
        await trio.sleep(1)
        most.append(limiter.borrowed_tokens)

    async def path():
        await work()

    path = work if inside == "as the path" else path
    await fork("f", mode="all", paths=[path, path, path, path], concurrency=limiter)()
    assert trio.current_time() == 1
    assert max(most) == 4


async def test_limiter_of_a_step_leaves_the_other_tokens_to_others_while_it_can_borrow(autojump_clock) -> None:
    limiter = trio.CapacityLimiter(2)

    @step(limiter=limiter)
    async def inner():
        return limiter.borrowed_tokens

    @step(limiter=limiter)
    async def outer():
        return await inner()

    assert await outer() == 1


async def test_limiter_gives_a_step_that_waits_for_the_lane_a_token_that_comes_free(autojump_clock) -> None:
    """As in a fork, one borrower runs on the lane, and the others on their own tokens."""
    limiter = trio.CapacityLimiter(2)
    starts = []

    @step(limiter=limiter)
    async def inner(seconds):
        starts.append(trio.current_time())
        await trio.sleep(seconds)

    @step(limiter=limiter)
    async def outer():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inner, 10)
            nursery.start_soon(inner, 10)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(step(trio.sleep, limiter=limiter), 1)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(outer)
    assert starts == [0, 1]


async def test_limiter_lets_steps_inside_that_wait_for_each_other_go_on_once_there_are_tokens(autojump_clock) -> None:
    """The first one holds the lane until the second has run; a stranger frees a token at 1."""
    limiter = trio.CapacityLimiter(2)
    arrived = trio.Event()

    @step(limiter=limiter)
    async def outer():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(step(arrived.wait, limiter=limiter))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(step(arrived.set, limiter=limiter))

    with trio.move_on_after(100) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(step(trio.sleep, limiter=limiter), 1)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(outer)
    assert not scope.cancelled_caught
    assert trio.current_time() == 1


async def test_limiter_lends_to_an_attempt_after_another(limiter, autojump_clock) -> None:
    """The token is held across the attempts of a retry, and lent again in each."""
    seen = []

    @step(limiter=limiter)
    async def inner():
        seen.append((trio.current_time(), limiter.borrowed_tokens))
        raise BoomError

    @step(limiter=limiter, retry=Retry(3, delay=1))
    async def outer():
        await inner()

    with pytest.raises(BoomError):
        await outer()
    assert seen == [(0, 1), (1, 1), (2, 1)]
    assert limiter.borrowed_tokens == 0


async def test_limiter_token_is_found_by_a_step_called_through_partial(limiter, autojump_clock) -> None:
    async def inner(value):
        return value, limiter.borrowed_tokens

    @step(limiter=limiter)
    async def outer():
        return await step(functools.partial(inner, 7), limiter=limiter)()

    assert await outer() == (7, 1)
