"""A fork's deadline and its stagger, to the instant."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from paths import cleans_up, failures, never, raises, returns, shielded

from trio_steps import (
    ErrorDiscarded,
    ForkPartialError,
    Fulfilled,
    PathCancelledError,
    StepTimeoutError,
    fork,
    gather,
    race,
    settle,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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


@pytest.mark.parametrize("mode", ["all", "race", "settle", "quorum"])
async def test_error_while_a_path_is_cancelled_is_told_once(mode: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is in the error that the fork raises, or it is reported: never both, and never twice."""
    late = OSError("late")
    paths = [cleans_up([], 1, error=late), returns(9, "x") if mode == "settle" else raises(0.5, ValueError("first"))]
    events: list[Any] = []
    raised: list[BaseException] = []
    try:
        await fork("f", mode=mode, paths=paths, timeout=0.75, **({"need": 2} if mode == "quorum" else {})).run(
            observers=[events.append]
        )
    except ExceptionGroup as error:
        raised = [one for one in error.exceptions if one is late]
    reported = [event for event in events if isinstance(event, ErrorDiscarded) and event.error is late]
    logged = [record for record in caplog.records if record.exc_info and record.exc_info[1] is late]
    assert len(raised) + len(reported) == 1
    assert len(logged) == len(reported)


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


async def test_fork_runs_out_of_time_while_nothing_but_its_source_runs() -> None:
    async def quiet() -> AsyncIterator[Any]:
        await trio.sleep(9)
        yield never

    with pytest.raises(ForkPartialError) as caught:
        await fork("f", mode="all", paths=quiet, timeout=1)()
    [error] = caught.value.exceptions
    assert isinstance(error, StepTimeoutError)
    assert await fork("f", mode="settle", paths=quiet, timeout=1)() == ()
    assert trio.current_time() == 2
