"""`accept`, `rate`, and results by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
from paths import never, raises, returns

from trio_steps import (
    ConfigError,
    ForkPartialError,
    NotAcceptedError,
    RateLimit,
    fork,
    gather,
    race,
    settle,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def good(value: str) -> bool:
    return not value.startswith("bad")


async def test_race_is_won_by_the_first_good_value() -> None:
    disposed: list[str] = []
    assert await race(returns(1, "bad"), returns(2, "good"), never, accept=good, dispose=disposed.append) == "good"
    assert (trio.current_time(), disposed) == (2, ["bad"])


async def test_race_without_a_good_value_holds_those_it_refused() -> None:
    disposed: list[str] = []
    with pytest.raises(ForkPartialError) as caught:
        await race(returns(1, "bad 1"), returns(2, "bad 2"), accept=good, dispose=disposed.append)
    refused = caught.value.exceptions
    assert [(type(error), error.value) for error in refused if isinstance(error, NotAcceptedError)] == [
        (NotAcceptedError, "bad 1"),
        (NotAcceptedError, "bad 2"),
    ]
    assert [result.kind for result in caught.value.failed] == ["not_accepted", "not_accepted"]
    assert disposed == []


async def test_hedge_goes_on_at_once_after_a_refused_value() -> None:
    assert await race(returns(1, "bad"), returns(1, "good"), accept=good, stagger=60) == "good"
    assert trio.current_time() == 2


async def test_quorum_counts_good_values() -> None:
    disposed: list[str] = []
    two = fork(
        "two",
        mode="quorum",
        need=2,
        paths=[returns(1, "bad"), returns(2, "a"), returns(3, "b"), never],
        accept=good,
        dispose=disposed.append,
    )
    assert (await two(), disposed) == (("a", "b"), ["bad"])


async def test_gather_fails_at_a_refused_value() -> None:
    with pytest.raises(ForkPartialError) as caught:
        await gather(returns(1, "bad"), never, accept=good)
    assert str(caught.value.exceptions[0]) == "'gather/bad' returned 'bad', which accept= refused"


async def test_settle_and_stream_reject_a_refused_value() -> None:
    results = await settle(returns(1, "bad"), returns(2, "good"), accept=good)
    assert [result.kind for result in results] == ["not_accepted", None]
    async with stream(returns(1, "bad"), returns(2, "good"), accept=good) as streamed:
        assert [result.kind async for result in streamed] == ["not_accepted", None]


async def test_error_of_the_predicate_is_the_failure_of_its_path_and_loses_no_value() -> None:
    disposed: list[str] = []

    def broken(value: str) -> bool:
        raise KeyError(value)

    results = await settle(returns(1, "a"), accept=broken, dispose=disposed.append)
    assert isinstance(results[0].error, KeyError)
    assert disposed == ["a"]


@pytest.mark.parametrize("limit", [None, 5, "limiter"])
async def test_rate_limits_the_starts_of_paths(limit: Any) -> None:
    starts: list[float] = []

    async def path() -> None:
        starts.append(trio.current_time())

    concurrency = trio.CapacityLimiter(5) if limit == "limiter" else limit
    await gather([path] * 5, rate=RateLimit(2, per=1.0), concurrency=concurrency)
    assert starts == [0, 0, 0.5, 1, 1.5]


async def test_fork_that_waits_for_a_permit_has_taken_no_token_and_no_path() -> None:
    limiter = trio.CapacityLimiter(1)
    taken: list[int] = []

    def paths() -> Iterator[Callable[[], Any]]:
        for number in range(3):
            taken.append(number)
            yield returns(0, number)

    async with trio.open_nursery() as nursery:
        run = fork("f", mode="all", paths=paths, concurrency=limiter, rate=RateLimit(1, per=10.0))
        nursery.start_soon(run)
        await trio.sleep(5)
        assert (limiter.borrowed_tokens, taken) == (0, [0])


async def test_forks_share_the_permits_of_one_rate() -> None:
    rate = RateLimit(1, per=1.0)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(fork("f", mode="all", paths=[returns(0, 1), returns(0, 2)], rate=rate))
    assert trio.current_time() == 3


async def test_stagger_counts_from_the_start_that_the_rate_allowed() -> None:
    starts: list[float] = []

    async def path() -> None:
        starts.append(trio.current_time())

    rate = RateLimit(1, per=4.0)
    await rate.acquire()
    await gather([path] * 2, rate=rate, stagger=1)
    assert starts == [4, 8]


# Results by name


async def test_mapping_of_paths_gives_a_mapping_of_results() -> None:
    found = await gather({"slow": returns(2, "a"), "fast": returns(1, "b")})
    assert list(found.items()) == [("slow", "a"), ("fast", "b")]
    results = await settle({"good": returns(1, "a"), "bad": raises(2, OSError())})
    assert {name: (result.step_id, result.kind) for name, result in results.items()} == {
        "good": ("good", None),
        "bad": ("bad", "step_failed"),
    }


async def test_mapping_without_paths_gives_an_empty_mapping() -> None:
    assert await gather({}) == {}
    assert await settle({}) == {}
    assert await fork("page", mode="settle", paths={}, merge=repr)() == "{}"


async def test_merge_gets_the_mapping() -> None:
    page = fork("page", mode="all", paths={"user": returns(1, "u"), "orders": returns(2, [7])}, merge=dict)
    assert await page() == {"user": "u", "orders": [7]}


async def test_keys_of_the_mapping_are_the_ids() -> None:
    with pytest.raises(ForkPartialError) as caught:
        await gather({"a": returns(1, "x"), "b": raises(2, OSError(), id="other")})
    assert [result.step_id for result in caught.value.failed] == ["b"]
    assert caught.value.exceptions[0].__notes__ == ["in step 'gather/b'"]


async def test_race_quorum_and_stream_take_a_mapping() -> None:
    paths = {"a": returns(2, "A"), "b": returns(1, "B")}
    assert await race(paths) == "B"
    assert await fork("q", mode="quorum", need=2, paths=paths)() == ("A", "B")
    async with stream(paths) as results:
        assert [result.step_id async for result in results] == ["b", "a"]


async def test_mapping_of_a_fork_that_grows_has_the_added_paths_too() -> None:
    from trio_steps import current_scope

    async def adds() -> str:
        current_scope().add(returns(1, "added"))
        return "first"

    assert await gather({"root": adds}, growing=True) == {"root": "first", "added": "added"}


def test_mapping_with_other_keys_is_refused() -> None:
    with pytest.raises(ConfigError, match="the keys are the ids of the paths, so use strings"):
        gather({1: never})  # type: ignore[call-overload]
