"""Limiters that forks share with other code, and with forks inside their paths."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from paths import returns
from ways import Gauge, how, variable

from trio_steps import current_scope, fork, gather, settle
from trio_steps._core.policy.limiter import find_lender
from trio_steps._fork.engine.workers import Crew

# tokens


async def test_limiter_is_shared_with_whatever_else_uses_it() -> None:
    limiter = trio.CapacityLimiter(2)
    gauge = Gauge()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            paths = [gauge.path(1, f"p{n}") for n in range(4)]
            nursery.start_soon(partial(fork("f", mode="all", paths=paths, concurrency=limiter).run))
    assert gauge.most == 2
    assert trio.current_time() == 4


async def test_limiter_is_fair_to_others_that_wait() -> None:
    limiter = trio.CapacityLimiter(1)
    gauge = Gauge()
    got: list[float] = []

    async def other() -> None:
        await trio.sleep(0.5)
        async with limiter:
            got.append(trio.current_time())
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await gather(*[gauge.path(1, f"p{n}") for n in range(3)], concurrency=limiter)
    assert got == [1] or got == [2]
    assert trio.current_time() == 4


async def test_crew_looks_who_waits_for_a_token_after_a_millisecond_or_eight_paths() -> None:
    plan = SimpleNamespace(concurrency=trio.CapacityLimiter(1))
    crew: Any = Crew(SimpleNamespace(plan=plan))  # type: ignore[arg-type]
    assert [crew.is_time_to_look() for _ in range(17)] == [number % 8 == 0 for number in range(17)]
    looks = []
    for _ in range(4):
        await trio.sleep(0.0005)
        if crew.is_time_to_look():
            looks.append(trio.current_time())
    assert looks == [0.001, 0.002]


async def test_lease_of_a_path_is_shown_once_it_is_asked_for_and_ends_with_the_path() -> None:
    """Another task that keeps the scope of a path can't borrow from the paths that come after it."""
    limiter = trio.CapacityLimiter(1)
    scopes: list[Any] = []
    leases: list[Any] = []

    async def path() -> None:
        scope: Any = current_scope()
        scopes.append(scope)
        if len(scopes) != 2:
            leases.append(scope.lease)
            assert scope.lease is leases[-1]
            assert find_lender(limiter, scope.lease) is scope.lease
        await trio.sleep(1)

    await settle(path, path, path, path, concurrency=limiter)
    assert len(set(map(id, leases))) == 3
    assert all(lease.ended for lease in leases)
    assert scopes[1].lease is None  # that of the fork's own scope
    assert [scope.held for scope in scopes] == [None] * 4
    assert limiter.borrowed_tokens == 0


async def test_path_that_was_cancelled_shows_no_lease() -> None:
    limiter = trio.CapacityLimiter(1)
    scopes: list[Any] = []

    async def path() -> None:
        scopes.append(current_scope())
        await trio.sleep_forever()

    with trio.move_on_after(1):
        await settle(*[path] * 3, concurrency=limiter)
    (scope,) = scopes
    assert scope.lease is None
    assert limiter.borrowed_tokens == 0


async def test_scope_of_a_path_that_holds_a_token_lacks_what_any_scope_may_lack() -> None:
    async def path() -> tuple[int, str]:
        scope: Any = current_scope()
        with pytest.raises(AttributeError, match="'HolderScope' object has no attribute 'grow'"):
            _ = scope.grow
        return current_scope().attempt, current_scope().name

    results = await gather(path, path, path, concurrency=trio.CapacityLimiter(1))
    assert results == ((1, "gather/path"), (1, "gather/path#2"), (1, "gather/path#3"))


async def test_token_that_others_give_back_starts_the_next_path_at_once() -> None:
    limiter = trio.CapacityLimiter(2)
    gauge = Gauge()

    async def other() -> None:
        async with limiter:
            await trio.sleep(1.5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await trio.testing.wait_all_tasks_blocked()
        await gather(*[gauge.path(9, f"p{n}") for n in range(2)], concurrency=limiter)
    assert [time for _, time in gauge.starts] == [0, 1.5]


async def starts_of_eight_paths(limiter: trio.CapacityLimiter, *changes: tuple[float, float]) -> list[float]:
    """Run a fork under `limiter`, change its tokens at given times, and return which path started when."""
    gauge = Gauge()

    async def change() -> None:
        for seconds, tokens in changes:
            await trio.sleep(seconds)
            limiter.total_tokens = tokens

    async with trio.open_nursery() as nursery:
        nursery.start_soon(change)
        await gather(*[gauge.path(1, f"p{n}") for n in range(8)], concurrency=limiter)
    assert limiter.borrowed_tokens == 0
    return [time for _, time in gauge.starts]


async def test_limiter_may_grow_and_shrink_while_the_fork_runs() -> None:
    starts = await starts_of_eight_paths(trio.CapacityLimiter(1), (0.5, 3), (0.75, 1), (4, math.inf))
    assert starts == [0, 0.5, 0.5, 1, 2, 3, 4, 5]


async def test_limiter_may_pause_while_the_fork_runs() -> None:
    try:
        limiter = trio.CapacityLimiter(0)
    except ValueError as refused:  # limiters of older Trio versions can't have 0 tokens
        assert str(refused) == "total_tokens must be >= 1"  # noqa: PT017 — it is not raised by newer ones
        return
    starts = await starts_of_eight_paths(limiter, (1, 1), (0.5, 3), (0.75, 0), (4, math.inf))
    assert starts == [1, 1.5, 1.5, 2, 6.25, 6.25, 6.25, 6.25]


@pytest.mark.parametrize("lazy", [False, True])
async def test_fork_waits_for_a_limiter_that_has_lent_more_tokens_than_it_has(lazy: bool) -> None:
    limiter = trio.CapacityLimiter(4)
    gauge = Gauge()
    paths = [gauge.path(1, f"p{n}") for n in range(3)]

    async def other() -> None:
        async with limiter:
            await trio.sleep(5)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(other)
        await trio.testing.wait_all_tasks_blocked()
        limiter.total_tokens = 1
        await gather(iter(paths) if lazy else paths, concurrency=limiter)
    assert [time for _, time in gauge.starts] == [5, 6, 7]


async def test_infinite_limiter_limits_nothing() -> None:
    gauge = Gauge()
    await gather(*[gauge.path(1, f"p{n}") for n in range(50)], concurrency=trio.CapacityLimiter(math.inf))
    assert gauge.most == 50
    await gather((gauge.path(1, f"p{n}") for n in range(50)), concurrency=trio.CapacityLimiter(math.inf))
    assert trio.current_time() == 2


async def test_fork_ends_while_the_limiter_is_held_by_others() -> None:
    """A worker that waits for a token does not keep a fork from ending after all its paths have ended."""
    limiter = trio.CapacityLimiter(2)
    await limiter.acquire()
    assert await gather((returns(1, n) for n in range(3)), concurrency=limiter) == (0, 1, 2)
    assert trio.current_time() == 3


@pytest.mark.parametrize("tokens", [1, 2])
async def test_nested_forks_under_one_full_limiter_run_on_the_tokens_they_have(tokens: int) -> None:
    limiter = trio.CapacityLimiter(tokens)
    gauge = Gauge()

    def inner(n: int) -> Any:
        paths = [gauge.path(1, f"{n}-{m}") for m in range(3)]
        return fork(f"inner-{n}", mode="all", paths=paths, concurrency=limiter)

    outer = fork("outer", mode="all", paths=[inner(0), inner(1)], concurrency=limiter)
    assert await outer() == (("0-0", "0-1", "0-2"), ("1-0", "1-1", "1-2"))
    assert gauge.most == tokens
    assert trio.current_time() == 6 / tokens
    assert limiter.borrowed_tokens == 0


async def test_nesting_three_deep_under_one_token() -> None:
    limiter = trio.CapacityLimiter(1)
    innermost = fork("c", mode="all", paths=[returns(1, 1), returns(1, 2)], concurrency=limiter)
    inner = fork("b", mode="all", paths=[innermost, returns(1, 3)], concurrency=limiter)
    outer = fork("a", mode="all", paths=[inner, returns(1, 4)], concurrency=limiter)
    assert await outer() == (((1, 2), 3), 4)
    assert trio.current_time() == 4


async def test_inner_fork_takes_free_tokens_beside_the_one_it_is_lent() -> None:
    limiter = trio.CapacityLimiter(3)
    gauge = Gauge()
    for lazy in (False, True):
        start = trio.current_time()
        paths = [gauge.path(1, f"p{n}") for n in range(6)]
        inner = fork(
            "inner", mode="all", paths=(lambda paths=paths: iter(paths)) if lazy else paths, concurrency=limiter
        )
        await fork("outer", mode="all", paths=[inner], concurrency=limiter)()
        assert gauge.most == 3
        assert trio.current_time() - start == 2


async def test_two_forks_inside_one_path_share_its_lane() -> None:
    """They can't both run on the one token, and neither may wait for the other forever."""
    limiter = trio.CapacityLimiter(1)
    gauge = Gauge()

    async def path() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(partial(_gather_gauged, gauge, limiter))

    await gather(path, concurrency=limiter)
    assert gauge.most == 1
    assert trio.current_time() == 4


async def _gather_gauged(gauge: Gauge, limiter: trio.CapacityLimiter) -> None:
    await gather(gauge.path(1, "a"), gauge.path(1, "b"), concurrency=limiter)


@pytest.mark.parametrize("kind", ["stagger", "async"])
async def test_fed_fork_nested_under_a_full_limiter_runs_on_the_token_it_has(kind: str) -> None:
    limiter = trio.CapacityLimiter(1)
    options = {**how(kind, [returns(1, "a"), returns(1, "b")]), "concurrency": limiter}
    inner = fork("inner", mode="all", **options)
    assert await fork("outer", mode="all", paths=[inner], concurrency=limiter)() == (("a", "b"),)
    assert trio.current_time() == 2


async def test_background_fork_keeps_the_token_of_its_path_until_it_has_ended() -> None:
    limiter = trio.CapacityLimiter(1)
    gauge = Gauge()
    async with trio.open_nursery() as background:

        async def path() -> None:
            background.start_soon(partial(_gather_gauged, gauge, limiter))
            await trio.sleep(0.5)

        await gather(path, gauge.path(1, "next"), concurrency=limiter)
    assert gauge.most == 1
    assert gauge.starts == [("a", 0), ("next", 1), ("b", 2)]
    assert limiter.borrowed_tokens == 0


async def test_background_fork_that_waited_for_a_lane_takes_a_token_when_the_path_has_ended() -> None:
    limiter = trio.CapacityLimiter(1)
    gauge = Gauge()
    async with trio.open_nursery() as background:

        async def path() -> None:
            for name in ("a", "b"):
                background.start_soon(partial(gather, concurrency=limiter), gauge.path(2, name))
                await trio.sleep(0.5)

        await gather(path, concurrency=limiter)
    assert gauge.starts == [("a", 0), ("b", 2)]
    assert limiter.borrowed_tokens == 0


async def test_path_on_a_lane_leaves_no_variable_behind_either() -> None:
    limiter = trio.CapacityLimiter(1)
    seen: list[object] = []

    def path() -> None:
        seen.append(variable.get())
        variable.set(len(seen))

    inner = fork("inner", mode="all", paths=[path, path, path], concurrency=limiter)
    await fork("outer", mode="all", paths=[inner], concurrency=limiter)()
    assert seen == ["unset"] * 3
    assert limiter.borrowed_tokens == 0


async def test_background_fork_that_starts_after_its_path_has_ended_takes_tokens_of_its_own() -> None:
    limiter = trio.CapacityLimiter(1)
    gauge = Gauge()
    async with trio.open_nursery() as background:

        async def later() -> None:
            await trio.sleep(1)
            await _gather_gauged(gauge, limiter)

        async def path() -> None:
            background.start_soon(later)

        await gather(path, gauge.path(3, "next"), concurrency=limiter)
    assert gauge.starts == [("next", 0), ("a", 3), ("b", 4)]
