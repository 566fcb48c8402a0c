"""What a fork returns and raises in each mode, and what it refuses to be built from."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from typing import Any

import pytest
import trio
from paths import cleans_up, never, on, raises, returns, set_after, shielded

from trio_steps import (
    ConfigError,
    ForkPartialError,
    Fulfilled,
    NoPathsError,
    PathCancelledError,
    Rejected,
    StepTimeoutError,
    fork,
    gather,
    race,
    settle,
    step,
)


def failures(error: ForkPartialError[Any]) -> list[tuple[str, str]]:
    return [(rejected.step_id, rejected.kind) for rejected in error.failed]


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
    """Each path waits for the other, which one after the other could never do."""
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


# a fork's deadline


async def test_settle_with_a_deadline_keeps_what_finished_and_rejects_the_rest() -> None:
    results = await settle(returns(1, "a"), returns(9, "b"), never, timeout=5)
    assert trio.current_time() == 5
    assert results[0] == Fulfilled("a", "a")
    assert [result.kind for result in results[1:]] == ["timed_out", "timed_out"]
    assert str(results[1].error) == "'settle/b' timed out after 5 s"
    assert isinstance(results[1].error, trio.TooSlowError)


async def test_settle_with_a_deadline_rejects_paths_still_queued() -> None:
    results = await settle(returns(3, "a"), returns(3, "b"), returns(3, "c"), concurrency=1, timeout=4)
    assert [result.status for result in results] == ["fulfilled", "rejected", "rejected"]
    assert all(isinstance(result.error, StepTimeoutError) for result in results[1:])


@pytest.mark.parametrize("mode", ["all", "race", "quorum"])
async def test_deadline_of_other_modes_is_a_partial_error_that_keeps_what_succeeded(mode: Any) -> None:
    need = 2 if mode == "quorum" else None
    paths = [raises(1, OSError()) if mode == "race" else returns(1, "a"), never]
    with pytest.raises(ForkPartialError) as caught:
        await fork("slow", mode=mode, need=need, paths=paths, timeout=3)()
    assert trio.current_time() == 3
    timeout = caught.value.exceptions[-1]
    assert isinstance(timeout, StepTimeoutError)
    assert (timeout.step, timeout.seconds) == ("slow", 3)
    if mode == "race":
        assert isinstance(caught.value.exceptions[0], OSError)
    else:
        assert caught.value.exceptions == (timeout,)
        assert caught.value.succeeded == (Fulfilled("a", "a"),)
    last = caught.value.failed[-1].error
    assert isinstance(last, PathCancelledError)
    assert last.reason == "fork 'slow': timed out after 3 s"


@pytest.mark.parametrize("mode", ["all", "race", "settle"])
async def test_value_after_the_deadline_is_late(mode: Any) -> None:
    disposed: list[str] = []
    timed = fork("timed", mode=mode, paths=[shielded(3, "late")], timeout=2, dispose=disposed.append)
    if mode == "settle":
        (result,) = await timed()
        assert result.kind == "timed_out"
    else:
        with pytest.raises(ForkPartialError) as caught:
            await timed()
        assert caught.value.succeeded == ()
        assert failures(caught.value) == [("late", "cancelled")]
    assert disposed == ["late"]
    assert trio.current_time() == 3


async def test_error_after_the_deadline_of_a_settle_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    (result,) = await settle(cleans_up([], 1, error=ValueError("in clean-up")), timeout=2)
    assert result.kind == "timed_out"
    assert "in clean-up" in caplog.text


async def test_deadline_can_be_seen_by_the_paths() -> None:
    async def path() -> float:
        return trio.current_effective_deadline()

    assert await gather(path, timeout=7) == (7,)


# stagger


async def test_stagger_starts_the_next_path_after_a_delay() -> None:
    starts: list[float] = []

    async def path() -> None:
        starts.append(trio.current_time())
        await trio.sleep(10)

    await gather(path, path, path, stagger=0.25)
    assert starts == [0, 0.25, 0.5]


async def test_stagger_starts_the_next_path_at_once_when_one_has_failed() -> None:
    starts: list[float] = []

    async def path(delay: float) -> None:
        starts.append(trio.current_time())
        await trio.sleep(delay)
        raise OSError

    with pytest.raises(ForkPartialError):
        await race(partial(path, 1), partial(path, 0.5), partial(path, 9), partial(path, 9), stagger=5)
    assert starts == [0, 1, 1.5, 6.5]


async def test_stagger_counts_from_the_last_start_and_waits_for_a_free_slot() -> None:
    starts: list[float] = []

    async def path() -> None:
        starts.append(trio.current_time())
        await trio.sleep(3)

    await gather(*[path] * 4, stagger=1, concurrency=2)
    assert starts == [0, 1, 3, 4]


async def test_stagger_of_zero_starts_paths_one_checkpoint_apart() -> None:
    log: list[str] = []

    async def path(name: str) -> None:
        log.append(name)
        await trio.lowlevel.checkpoint()
        log.append(name.upper())

    await gather(partial(path, "a"), partial(path, "b"), stagger=0)
    assert log == ["a", "b", "A", "B"] or log == ["a", "A", "b", "B"]
    assert trio.current_time() == 0


async def test_stagger_of_zero_does_not_start_what_the_first_has_made_needless() -> None:
    started: list[str] = []

    def path(name: str) -> str:
        started.append(name)
        return name

    assert await race(*[partial(path, name) for name in "abcdefgh"], stagger=0) == "a"
    assert started == ["a"]


async def test_hedged_race_does_not_send_the_second_request_when_the_first_is_quick() -> None:
    started: list[str] = []

    async def request(name: str, delay: float) -> str:
        started.append(name)
        await trio.sleep(delay)
        return name

    assert await race(partial(request, "a", 0.2), partial(request, "b", 0.2), stagger=0.25) == "a"
    assert started == ["a"]
    assert await race(partial(request, "a", 2), partial(request, "b", 0.2), stagger=0.25) == "b"
    assert trio.current_time() == 0.2 + 0.25 + 0.2


# forks are steps


async def test_fork_calls_a_path_that_has_no_place_for_the_input_without_it() -> None:
    async def fetch(id: str, patience: float = 10) -> tuple[str, float]:
        return id, patience

    by_input = fork("f", mode="all", paths=lambda ids: [partial(fetch, id) for id in ids])
    assert await by_input("ab") == (("a", 10), ("b", 10))
    assert await fork("g", mode="all", paths=[lambda: 1, step(lambda: 2, timeout=1), fetch])("x") == (1, 2, ("x", 10))


async def test_fork_hands_its_input_to_every_path() -> None:
    async def double(n: int) -> int:
        return 2 * n

    def square(n: int) -> int:
        return n * n

    both = fork("both", mode="all", paths=[double, square])
    assert await both(3) == (6, 9)
    assert await both.run(4) == (8, 16)


async def test_fork_distinguishes_none_from_no_input() -> None:
    def path(*args: Any) -> tuple[Any, ...]:
        return args

    both = fork("f", mode="all", paths=[path])
    assert await both() == ((),)
    assert await both(None) == ((None,),)


async def test_fork_can_be_nested_and_run_again() -> None:
    inner = fork("inner", mode="race", paths=[returns(1, "x"), returns(2, "y")])
    outer = fork("outer", mode="all", paths=[inner, returns(3, "z")])
    assert await outer() == ("x", "z")
    assert await outer() == ("x", "z")
    assert trio.current_time() == 6


async def test_fork_in_fork_in_fork_a_thousand_deep() -> None:
    deep: Any = returns(1, "core")
    for level in range(1000):
        deep = fork(f"f{level}", mode="race", paths=[deep])
    assert await deep() == "core"
    assert trio.current_time() == 1


async def test_fork_of_a_thousand_forks() -> None:
    inner = [fork(f"f{n}", mode="all", paths=[returns(1, n)]) for n in range(1000)]
    assert await fork("outer", mode="all", paths=inner, merge=len)() == 1000


async def test_fork_a_thousand_deep_can_be_cancelled() -> None:
    deep: Any = never
    for level in range(1000):
        deep = fork(f"f{level}", mode="all", paths=[deep])
    with trio.move_on_after(1) as scope:
        await deep()
    assert scope.cancelled_caught


async def test_paths_function_gets_the_input() -> None:
    by_input = fork("f", mode="all", paths=lambda ids: [returns(0, id, id=id) for id in ids])
    assert await by_input("abc") == ("a", "b", "c")


async def test_paths_function_may_be_async() -> None:
    async def paths(n: int) -> list[Any]:
        await trio.sleep(1)
        return [returns(1, n)]

    assert await fork("f", mode="all", paths=paths)(5) == (5,)
    assert trio.current_time() == 2


async def test_functions_that_require_two_arguments_get_the_scope() -> None:
    def paths(n: int, scope: Any) -> list[Any]:
        return [returns(0, (n, scope.name), id="p")]

    def merge(values: list[Any], scope: Any) -> Any:
        return values, scope.name

    both = fork("f", mode="all", paths=paths, merge=merge)
    assert await both(1) == ([(1, "f")], "f")
    assert await fork("g", mode="all", paths=lambda _input, scope: [returns(0, scope.name)], merge=list)() == ["g"]


async def test_merge_with_an_optional_second_argument_does_not_get_the_scope() -> None:
    assert await fork("f", mode="all", paths=[returns(0, 1), returns(0, 2)], merge=sum)() == 3

    def merge(values: list[int], extra: str = "mine") -> Any:
        return values, extra

    assert await fork("f", mode="all", paths=[returns(0, 1)], merge=merge)() == ([1], "mine")


async def test_exception_from_merge_comes_out_as_it_is() -> None:
    error = ZeroDivisionError()

    def merge(values: list[int]) -> None:
        raise error

    with pytest.raises(ZeroDivisionError) as caught:
        await fork("f", mode="all", paths=[returns(0, 1)], merge=merge)()
    assert caught.value is error


async def test_values_that_merge_did_not_return_are_disposed_of() -> None:
    disposed: list[int] = []

    def merge(values: list[int]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fork("f", mode="all", paths=[returns(0, 1), returns(0, 2)], merge=merge, dispose=disposed.append)()
    assert disposed == [1, 2]


# a mode of one's own


class FirstTwo:
    """Decided by two values; when there are no two, by the end."""

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


# on the spot


async def test_spot_forks_take_one_iterable_too() -> None:
    assert await race(iter([returns(2, "a"), returns(1, "b")])) == "b"
    assert await gather([returns(2, "a"), returns(1, "b")]) == ("a", "b")
    assert [result.value for result in await settle(returns(0, name) for name in "xyz")] == ["x", "y", "z"]

    async def probes() -> Any:
        for name in "ab":
            await trio.sleep(1)
            yield returns(0, name)

    assert [result.value for result in await settle(probes(), concurrency=1)] == ["a", "b"]


# misuse


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mode": "some"}, 'mode=\'some\': use "race", "all", "settle" or "quorum"'),
        ({"mode": 5}, "mode=5"),
        ({"concurrency": 0}, "concurrency=0: at least 1 path"),
        ({"concurrency": -1}, "concurrency=-1"),
        ({"concurrency": 1.5}, "concurrency=1.5: give an int, a trio.CapacityLimiter"),
        ({"concurrency": True}, "concurrency=True"),
        ({"mode": "race", "merge": sum}, "nothing to merge in a race"),
        ({"mode": "quorum"}, "needs need=k"),
        ({"mode": "quorum", "need": True}, "needs need=k"),
        ({"mode": "quorum", "need": 0}, "need=0: a quorum needs 1 path or more, and here 2 at most"),
        ({"mode": "quorum", "need": 3}, "need=3"),
        ({"mode": "quorum", "need": 0, "paths": list}, "need=0: a quorum needs 1 path or more"),
        ({"need": 1}, "need=1 goes with mode=\"quorum\", not with mode='all'"),
        ({"merge": 5}, "merge=5: give a function"),
        ({"dispose": 5}, "dispose=5: give a function"),
        ({"stagger": -1}, "stagger must be a number of seconds, 0 or more, not -1"),
        ({"stagger": "1"}, "stagger must be a number of seconds"),
        ({"timeout": 0}, "timeout=0 leaves no time"),
        ({"timeout": -1}, "timeout must be a number of seconds"),
        ({"timeout": float("nan")}, "timeout must be a number of seconds"),
        ({"paths": [5]}, "a step is a function or another callable, not 5"),
        ({"paths": [step(len, id="a"), step(len, id="a")]}, "two paths of a fork have the id 'a'"),
        ({"paths": iter([len])}, "can be iterated over only once"),
        ({"paths": "abc"}, "paths='abc': give an iterable of steps"),
        ({"paths": {"a": len}}, "give an iterable of steps"),
        ({"paths": 5}, "paths=5"),
        ({"id": ""}, "id='': the id of a step is a string that is not empty"),
        ({"id": 5}, "id=5"),
    ],
)
def test_misuse_is_refused_when_the_fork_is_built(arguments: dict[str, Any], words: str) -> None:
    config: dict[str, Any] = {"id": "f", "mode": "all", "paths": [len, max], **arguments}
    with pytest.raises(ConfigError) as caught:
        fork(config.pop("id"), **config)
    assert words in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_one_shot_async_iterator_is_refused_by_a_reusable_fork() -> None:
    async def source() -> Any:
        yield len

    paths = source()
    with pytest.raises(ConfigError, match="pass a function"):
        fork("f", mode="all", paths=paths)


async def test_coroutine_instead_of_a_function_is_refused_without_a_warning() -> None:
    async def fetch(url: str) -> None:
        """Never run."""

    with pytest.raises(ConfigError, match=r"write partial\(fetch, …\) or fetch, not fetch\(…\)"):
        await race(fetch("x"))
    with pytest.raises(ConfigError, match="not the coroutine"):
        await race(fetch("x"), fetch("y"))


async def test_bad_path_in_what_a_function_returned_runs_nothing() -> None:
    started: list[int] = []
    with pytest.raises(ConfigError, match="not 'oops'"):
        await fork("f", mode="settle", paths=lambda: [lambda: started.append(1), "oops"])()
    with pytest.raises(ConfigError, match="returned 5; it has to return an iterable"):
        await fork("f", mode="settle", paths=lambda: 5)()
    assert started == []
