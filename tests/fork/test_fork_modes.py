"""When a fork is decided, and what it returns or raises: each mode, and custom modes."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from typing import Any

import pytest
import trio
from paths import cleans_up, failures, never, on, raises, returns, set_after, shielded

from trio_steps import (
    ForkPartialError,
    Fulfilled,
    NoPathsError,
    PathCancelledError,
    Rejected,
    fork,
    gather,
    race,
    settle,
    step,
)

# race


async def test_race_returns_the_first_success_and_stops_the_rest() -> None:
    log: list[Any] = []
    assert await race(returns(2, "late"), returns(1, "early"), cleans_up(log)) == "early"
    assert trio.current_time() == 1
    assert log == [("slow", 1)]


async def test_race_waits_for_a_success_when_the_first_to_finish_fails() -> None:
    assert await race(raises(1, OSError()), returns(2, "b")) == "b"
    assert trio.current_time() == 2


async def test_race_raises_every_failure_in_path_order_when_all_fail() -> None:
    first, second = OSError("a"), ValueError("b")
    with pytest.raises(ForkPartialError) as caught:
        await race(raises(2, first, id="a"), raises(1, second, id="b"))
    assert caught.value.exceptions == (first, second)
    assert caught.value.succeeded == ()
    assert failures(caught.value) == [("a", "step_failed"), ("b", "step_failed")]


async def test_race_returns_only_after_its_losers_have_cleaned_up() -> None:
    log: list[Any] = []
    assert await race(returns(1, "a"), cleans_up(log, 3)) == "a"
    assert log == [("slow", 4)]
    assert trio.current_time() == 4


async def test_race_of_two_that_succeed_in_one_tick_has_one_winner_and_disposes_of_the_other() -> None:
    disposed: list[str] = []
    event = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(set_after, 1, event)
        winner = await race(on(event, "a"), on(event, "b"), dispose=disposed.append)
    assert {winner, *disposed} == {"a", "b"}
    assert len(disposed) == 1


async def test_race_is_not_changed_by_what_a_shielded_loser_returns_later() -> None:
    disposed: list[str] = []
    assert await race(shielded(3, "late"), returns(1, "a"), dispose=disposed.append) == "a"
    assert disposed == ["late"]
    assert trio.current_time() == 3


# all


async def test_all_returns_values_in_path_order_whatever_the_order_of_ends() -> None:
    assert await gather(returns(3, "a"), returns(1, "b"), returns(2, "c")) == ("a", "b", "c")
    assert trio.current_time() == 3


async def test_all_runs_its_paths_at_the_same_time() -> None:
    """Each path waits for the other, which sequential paths could never do."""
    here, there = trio.Event(), trio.Event()

    async def one() -> int:
        here.set()
        await there.wait()
        return 1

    async def two() -> int:
        there.set()
        await here.wait()
        return 2

    assert await gather(one, two) == (1, 2)


async def test_all_hands_a_list_to_merge_and_returns_what_it_returns() -> None:
    seen: list[Any] = []

    def merge(values: list[int]) -> int:
        seen.append(values)
        return sum(values)

    assert await fork("sum", mode="all", paths=[returns(1, 1), returns(2, 2)], merge=merge)() == 3
    assert seen == [[1, 2]]


async def test_all_takes_an_async_merge() -> None:
    async def merge(values: list[int]) -> int:
        await trio.sleep(5)
        return max(values)

    assert await fork("max", mode="all", paths=[returns(1, 1), returns(2, 2)], merge=merge)() == 2
    assert trio.current_time() == 7


async def test_all_stops_at_the_first_failure_and_says_what_became_of_every_path() -> None:
    log: list[Any] = []
    error = OSError("down")
    research = fork(
        "research",
        mode="all",
        paths=[returns(1, "a"), raises(2, error, id="news"), cleans_up(log, id="social"), returns(9, "z")],
        concurrency=3,
    )
    with pytest.raises(ForkPartialError) as caught:
        await research()
    partial_error = caught.value
    assert trio.current_time() == 2
    assert partial_error.exceptions == (error,)
    assert partial_error.step_id == "research"
    assert partial_error.kind == "fork_partial"
    assert partial_error.succeeded == (Fulfilled("a", "a"),)
    assert failures(partial_error) == [("news", "step_failed"), ("social", "cancelled"), ("z", "cancelled")]
    assert partial_error.failed[0] == Rejected("news", error)
    cancelled = [rejected.error for rejected in partial_error.failed[1:]]
    assert all(isinstance(error, PathCancelledError) for error in cancelled)
    assert [error.started for error in cancelled] == [True, True]
    assert {error.reason for error in cancelled} == {"fork 'research': path 'news' failed: OSError('down')"}


async def test_all_says_of_a_path_still_queued_that_it_was_not_started() -> None:
    with pytest.raises(ForkPartialError) as caught:
        await gather(raises(1, OSError()), returns(1, "a"), concurrency=1)
    (queued,) = [rejected.error for rejected in caught.value.failed if rejected.kind == "cancelled"]
    assert isinstance(queued, PathCancelledError)
    assert queued.started is False
    assert str(queued) == "'gather/a' was not started: fork 'gather': path 'bad' failed: OSError()"


async def test_all_keeps_the_error_of_a_path_that_fails_while_it_is_cancelled() -> None:
    first, second = OSError("first"), ValueError("in clean-up")
    with pytest.raises(ForkPartialError) as caught:
        await gather(cleans_up([], 1, error=second), raises(1, first))
    assert caught.value.exceptions == (second, first)
    assert failures(caught.value) == [("slow", "step_failed"), ("bad", "step_failed")]


async def test_all_keeps_both_of_two_failures_in_one_tick() -> None:
    one, two = OSError(1), OSError(2)
    event = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(set_after, 1, event)
        with pytest.raises(ForkPartialError) as caught:
            await gather(on(event, one), on(event, two))
    assert caught.value.exceptions == (one, two)


async def test_all_keeps_a_value_that_a_path_returned_although_it_was_cancelled() -> None:
    with pytest.raises(ForkPartialError) as caught:
        await gather(raises(1, OSError()), shielded(2, "late"))
    assert caught.value.succeeded == (Fulfilled("late", "late"),)
    assert failures(caught.value) == [("bad", "step_failed")]


async def test_all_does_not_flatten_the_group_that_a_path_raised() -> None:
    group = ForkPartialError("mine", [OSError(), ValueError()])
    with pytest.raises(ForkPartialError) as caught:
        await gather(raises(1, group))
    assert caught.value.exceptions == (group,)
    assert failures(caught.value) == [("bad", "fork_partial")]


async def test_all_can_be_handled_by_type_and_the_rest_keeps_its_fields() -> None:
    with pytest.raises(ForkPartialError) as caught:
        await gather(returns(0, "a"), shielded(1, OSError(), id="os"), shielded(2, ValueError(), id="value"))
    handled, rest = caught.value.split(OSError)
    assert isinstance(handled, ForkPartialError)
    assert isinstance(rest, ForkPartialError)
    assert [type(error) for error in rest.exceptions] == [ValueError]
    assert rest.succeeded == caught.value.succeeded
    assert rest.failed == caught.value.failed
    assert rest.step_id == "gather"


async def test_partial_error_survives_copy_and_pickle() -> None:
    with pytest.raises(ForkPartialError) as caught:
        await gather(returns(0, "a"), raises(1, OSError("x")), never)
    for twin in (copy.copy(caught.value), pickle.loads(pickle.dumps(caught.value))):
        assert type(twin) is ForkPartialError
        assert twin.step_id == "gather"
        assert twin.succeeded == caught.value.succeeded
        assert failures(twin) == failures(caught.value)
        assert str(twin) == str(caught.value)


# settle


async def test_settle_has_a_result_for_every_path_in_path_order() -> None:
    error = OSError("x")
    assert await settle(returns(3, "a"), raises(1, error), returns(2, "c")) == (
        Fulfilled("a", "a"),
        Rejected("bad", error),
        Fulfilled("c", "c"),
    )
    assert trio.current_time() == 3


async def test_settle_hands_its_results_to_merge() -> None:
    def merge(results: list[Any]) -> list[str]:
        return [result.status for result in results]

    both = fork("both", mode="settle", paths=[returns(1, 1), raises(1, OSError())], merge=merge)
    assert await both() == ["fulfilled", "rejected"]


async def test_settle_classifies_what_failed() -> None:
    results = await settle(
        raises(1, OSError(), id="a"),
        step(trio.sleep_forever, timeout=2),
        fork("inner", mode="all", paths=[raises(1, ValueError())]),
    )
    assert [result.kind for result in results] == ["step_failed", "timed_out", "fork_partial"]


# quorum


async def test_quorum_returns_the_first_k_values_in_path_order() -> None:
    log: list[Any] = []
    quorum = fork(
        "q", mode="quorum", need=2, paths=[returns(3, "a"), raises(1, OSError()), returns(2, "c"), cleans_up(log)]
    )
    assert await quorum() == ("a", "c")
    assert trio.current_time() == 3
    assert log == [("slow", 3)]


async def test_quorum_gives_up_as_soon_as_it_has_become_impossible() -> None:
    error = OSError()
    with pytest.raises(ForkPartialError) as caught:
        await fork("q", mode="quorum", need=3, paths=[raises(1, error), returns(0.5, "a"), never])()
    assert trio.current_time() == 1
    assert caught.value.exceptions == (error,)
    assert caught.value.succeeded == (Fulfilled("a", "a"),)
    assert failures(caught.value) == [("bad", "step_failed"), ("never", "cancelled")]


async def test_quorum_of_a_lazy_source_is_impossible_when_the_source_runs_dry() -> None:
    quorum = fork("q", mode="quorum", need=2, paths=lambda: iter([raises(1, OSError()), never]), concurrency=2)
    with pytest.raises(ForkPartialError):
        await quorum()
    assert trio.current_time() == 1


async def test_quorum_with_a_limit_gives_up_before_its_last_paths_are_started() -> None:
    started: list[int] = []
    bad = [step(partial(raises(1, OSError())), id=f"bad-{n}") for n in range(2)]
    quorum = fork("q", mode="quorum", need=2, paths=[*bad, step(lambda: started.append(1), id="last")], concurrency=1)
    with pytest.raises(ForkPartialError):
        await quorum()
    assert trio.current_time() == 2
    assert started == []


# no paths


@pytest.mark.parametrize("paths", [[], list, lambda: iter([])], ids=["list", "function", "lazy"])
async def test_no_paths_in_every_mode(paths: Any) -> None:
    for limit in (None, 2, trio.CapacityLimiter(1)):
        assert await fork("f", mode="all", paths=paths, concurrency=limit)() == ()
        assert await fork("f", mode="settle", paths=paths, concurrency=limit)() == ()
        assert await fork("f", mode="all", paths=paths, concurrency=limit, merge=lambda values: [values])() == [[]]
        assert await fork("f", mode="settle", paths=paths, concurrency=limit, merge=len)() == 0
        with pytest.raises(ForkPartialError) as caught:
            await fork("f", mode="race", paths=paths, concurrency=limit)()
        assert [type(error) for error in caught.value.exceptions] == [NoPathsError]
        assert caught.value.failed == ()


async def test_quorum_with_fewer_paths_than_it_needs_has_no_paths() -> None:
    quorum = fork("q", mode="quorum", need=2, paths=lambda ids: [returns(0, id, id=id) for id in ids])
    for few in ([], ["a"]):
        with pytest.raises(ForkPartialError) as caught:
            await quorum(few)
        assert [type(error) for error in caught.value.exceptions] == [NoPathsError]
    assert await quorum(["a", "b"]) == ("a", "b")


async def test_quorum_of_a_lazy_source_with_too_few_keeps_what_succeeded() -> None:
    with pytest.raises(ForkPartialError) as caught:
        await fork("q", mode="quorum", need=2, paths=lambda: iter([returns(1, "a")]), concurrency=1)()
    assert [type(error) for error in caught.value.exceptions] == [NoPathsError]
    assert caught.value.succeeded == (Fulfilled("a", "a"),)


# custom modes


class FirstTwo:
    """Decided by two values, or by the end if there are fewer."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def succeeded(self, index: int, value: Any) -> bool:
        self.got.append(value)
        return len(self.got) == 2

    def failed(self, index: int, error: Exception) -> bool:
        return False

    def exhausted(self, total: int) -> bool:
        return False

    def result(self) -> list[Any]:
        if not self.got:
            raise LookupError("nothing")
        return self.got


async def test_mode_of_ones_own_is_made_anew_for_each_run() -> None:
    first_two = fork("f", mode=FirstTwo, paths=[returns(3, "a"), returns(1, "b"), returns(2, "c")])
    assert await first_two() == ["b", "c"]
    assert await first_two() == ["b", "c"]
    assert trio.current_time() == 4


async def test_mode_of_ones_own_can_be_merged_and_can_raise() -> None:
    assert await fork("f", mode=FirstTwo, paths=[returns(1, "a")], merge=len)() == 1
    with pytest.raises(LookupError, match="nothing"):
        await fork("f", mode=FirstTwo, paths=[raises(1, OSError())])()


async def test_mode_of_ones_own_at_a_deadline_is_a_partial_error() -> None:
    with pytest.raises(ForkPartialError) as caught:
        await fork("f", mode=FirstTwo, paths=[returns(1, "a"), never], timeout=2)()
    assert caught.value.succeeded == (Fulfilled("a", "a"),)


async def test_values_of_a_mode_that_raises_are_disposed_of() -> None:
    class Picky(FirstTwo):
        def result(self) -> list[Any]:
            raise LookupError

    disposed: list[str] = []
    with pytest.raises(LookupError):
        await fork("f", mode=Picky, paths=[returns(1, "a")], dispose=disposed.append)()
    assert disposed == ["a"]


async def test_mode_that_requires_an_argument_gets_the_ledger() -> None:
    class Longest(FirstTwo):
        def __init__(self, ledger: Any) -> None:
            super().__init__()
            self.ledger = ledger

        def succeeded(self, index: int, value: Any) -> bool:
            return False

        def result(self) -> Any:
            return max(self.ledger.in_order(), key=len)

    assert await fork("f", mode=Longest, paths=[returns(1, "a"), returns(2, "long"), returns(3, "b")])() == "long"


class Patient(FirstTwo):
    """Never decides anything."""

    def succeeded(self, index: int, value: Any) -> bool:
        self.got.append(value)
        return False

    def failed(self, index: int, error: Exception) -> bool:
        self.got.append(error)
        return False


@pytest.mark.parametrize("lazy", [False, True])
async def test_mode_that_never_decides_is_asked_when_every_path_has_ended(lazy: bool) -> None:
    lost = OSError()
    paths = [returns(2, "a"), raises(1, lost), returns(3, "b")]
    patient = fork("f", mode=Patient, paths=(lambda: iter(paths)) if lazy else paths)
    assert await patient() == [lost, "a", "b"]
    assert trio.current_time() == 3


@pytest.mark.parametrize("lazy", [False, True])
async def test_mode_that_never_decides_is_asked_at_once_if_there_is_no_path(lazy: bool) -> None:
    with pytest.raises(LookupError, match="nothing"):
        await fork("f", mode=Patient, paths=(lambda: iter([])) if lazy else [])()
    assert trio.current_time() == 0


async def test_mode_that_raises_twice_in_one_tick_ends_the_fork_with_the_first_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(FirstTwo):
        def succeeded(self, index: int, value: Any) -> bool:
            raise KeyError(value)

    event = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(set_after, 1, event)
        with pytest.raises(KeyError) as caught:
            await fork("f", mode=Broken, paths=[on(event, "a"), on(event, "b")])()
    (report,) = caplog.records
    assert {caught.value.args[0], report.exc_info[1].args[0]} == {"a", "b"}  # type: ignore[index,union-attr]


async def test_merge_may_be_a_builtin_that_does_not_tell_what_it_takes() -> None:
    assert await fork("f", mode="all", paths=[returns(0, ("a", 1), id="a")], merge=dict)() == {"a": 1}


async def test_mode_that_raises_ends_the_fork_with_its_error() -> None:
    class Broken(FirstTwo):
        def succeeded(self, index: int, value: Any) -> bool:
            raise KeyError("bug in the mode")

    disposed: list[str] = []
    log: list[Any] = []
    with pytest.raises(KeyError, match="bug in the mode"):
        await fork("f", mode=Broken, paths=[returns(1, "a"), cleans_up(log)], dispose=disposed.append)()
    assert disposed == ["a"]
    assert log == [("slow", 1)]
