"""Forks that are cancelled or interrupted, or whose paths fail, at the worst moment."""

from __future__ import annotations

import logging
from typing import Any

import outcome
import pytest
import trio
import trio.testing
from paths import cleans_up, never, on, raises, returns, set_after, shielded

from trio_steps import (
    ErrorDiscarded,
    Event,
    ForkPartialError,
    Fulfilled,
    StepCancelled,
    ValueDiscarded,
    fork,
    gather,
    race,
    settle,
)

MODES: list[Any] = ["race", "all", "settle", "quorum"]


def built(mode: str, paths: list[Any], **options: Any) -> Any:
    """Return a fork of any mode. A quorum needs all paths but one, and at least one."""
    if mode == "quorum":
        options["need"] = max(len(paths) - 1, 1)
    return fork("f", mode=mode, paths=paths, **options)


# from outside


@pytest.mark.parametrize("mode", MODES)
async def test_outer_cancellation_is_seen_by_its_own_scope(mode: str) -> None:
    log: list[Any] = []
    with trio.move_on_after(2) as scope:
        await built(mode, [cleans_up(log, 1), never])()
        raise AssertionError("the fork must not return")
    assert scope.cancelled_caught
    assert log == [("slow", 3)]
    assert trio.current_time() == 3


@pytest.mark.parametrize("limit", [None, 1, "limiter"])
@pytest.mark.parametrize("mode", MODES)
async def test_fork_in_a_cancelled_scope_asks_for_its_paths_and_starts_none(mode: str, limit: Any) -> None:
    asked: list[str] = []
    if limit == "limiter":
        limit = trio.CapacityLimiter(1)

    def paths() -> list[Any]:
        asked.append("paths")
        return [lambda: asked.append("path")]

    need = 1 if mode == "quorum" else None
    with trio.CancelScope() as scope:
        scope.cancel()
        await fork("f", mode=mode, need=need, paths=paths, concurrency=limit)()
    assert scope.cancelled_caught
    assert asked == ["paths"]


@pytest.mark.parametrize("mode", MODES)
async def test_outer_cancellation_in_the_tick_of_the_decision_wins_and_everything_is_disposed_of(mode: str) -> None:
    """The fork is decided first, but its values are still given back."""
    disposed: list[str] = []
    merged: list[Any] = []
    event = trio.Event()
    merge = None if mode == "race" else merged.append
    both = built(mode, [on(event, "a"), on(event, "b")], dispose=disposed.append, merge=merge)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def cancel_in_the_same_tick() -> None:
                await event.wait()
                scope.cancel()

            nursery.start_soon(cancel_in_the_same_tick)
            nursery.start_soon(set_after, 1, event)
            await both()
    assert scope.cancelled_caught
    assert sorted(disposed) == ["a", "b"]
    assert merged == []


@pytest.mark.parametrize("mode", MODES)
async def test_outer_cancellation_while_losers_clean_up_wins(mode: str) -> None:
    disposed: list[str] = []
    merged: list[Any] = []
    merge = None if mode == "race" else merged.append
    paths = [returns(1, "a"), raises(1.5, OSError()) if mode == "all" else returns(1.5, "b"), cleans_up([], 3)]
    if mode == "settle":
        paths[2] = shielded(4, "c")
    with trio.move_on_after(3) as scope:
        await built(mode, paths, dispose=disposed.append, merge=merge)()
    assert scope.cancelled_caught
    assert merged == []
    expected = {"race": ["a"], "all": ["a"], "settle": ["a", "b", "c"], "quorum": ["a", "b"]}
    assert disposed == expected[mode]


async def test_outer_cancellation_reports_the_failure_that_had_decided(caplog: pytest.LogCaptureFixture) -> None:
    events: list[Event] = []
    error = OSError("the real reason")
    with trio.move_on_after(2) as scope:
        await fork("f", mode="all", paths=[raises(1, error), cleans_up([], 3)]).run(observers=[events.append])
    assert scope.cancelled_caught
    assert [event.error for event in events if isinstance(event, ErrorDiscarded)] == [error]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.name == "trio_steps"
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert record.exc_info[2] is not None


async def test_outer_cancellation_reports_the_failure_with_no_observers_too(caplog: pytest.LogCaptureFixture) -> None:
    with trio.move_on_after(2):
        await gather(raises(1, OSError("the real reason")), cleans_up([], 3))
    assert "the real reason" in caplog.text


async def test_settle_under_move_on_after_lets_its_scope_see_the_timeout() -> None:
    with trio.move_on_after(1) as scope:
        await settle(never, returns(0.5, "a"))
    assert scope.cancelled_caught
    with pytest.raises(trio.TooSlowError):
        with trio.fail_after(1):
            await settle(never)


async def test_cancellation_during_merge_disposes_of_the_values() -> None:
    disposed: list[str] = []

    async def merge(values: list[str]) -> None:
        await trio.sleep_forever()

    with trio.move_on_after(5) as scope:
        await fork("f", mode="all", paths=[returns(1, "a")], merge=merge, dispose=disposed.append)()
    assert scope.cancelled_caught
    assert disposed == ["a"]


async def test_cancellation_during_a_slow_dispose_waits_for_it_and_then_gives_back_the_winner() -> None:
    disposed: list[tuple[str, float]] = []

    async def dispose(value: str) -> None:
        await trio.sleep(3)
        disposed.append((value, trio.current_time()))

    event = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(set_after, 1, event)
        with trio.move_on_after(2) as scope:
            await race(on(event, "a"), on(event, "b"), dispose=dispose)
    assert scope.cancelled_caught
    assert [time for _, time in disposed] == [4, 7]
    assert {value for value, _ in disposed} == {"a", "b"}


@pytest.mark.parametrize("paths", [[], [lambda: None]], ids=["no paths", "a sync path"])
@pytest.mark.parametrize("limit", [None, 1])
async def test_fork_always_is_a_checkpoint(paths: list[Any], limit: int | None) -> None:
    with trio.testing.assert_checkpoints():
        await gather(paths, concurrency=limit)
    with trio.testing.assert_checkpoints():
        await settle(paths, concurrency=limit)


async def test_fork_notices_a_cancellation_that_its_own_sync_path_caused() -> None:
    disposed: list[None] = []
    with trio.CancelScope() as scope:
        await gather(scope.cancel, dispose=disposed.append)
    assert scope.cancelled_caught
    assert disposed == [None]


# losers


async def test_loser_that_raises_in_its_clean_up_is_reported_and_does_not_change_the_race(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Event] = []
    error = ValueError("in clean-up")
    winner = await fork("f", mode="race", paths=[returns(1, "a"), cleans_up([], error=error)]).run(
        observers=[events.append]
    )
    assert winner == "a"
    (discarded,) = [event for event in events if isinstance(event, ErrorDiscarded)]
    assert (discarded.name, discarded.error) == ("f/slow", error)
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error]


async def test_failure_before_the_win_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    assert await race(raises(1, OSError()), returns(2, "a")) == "a"
    assert caplog.records == []


async def test_loser_hears_why_it_was_cancelled() -> None:
    reasons: list[str | None] = []

    async def loser() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cancelled:
            reasons.append(cancelled.reason)
            raise

    assert await fork("fastest", mode="race", paths=[loser, returns(1, "a", id="provider-a")])() == "a"
    assert reasons == ["fork 'fastest': path 'provider-a' won"]


async def test_path_that_swallows_its_cancellation_and_returns_is_late() -> None:
    disposed: list[str] = []

    async def stubborn() -> str:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return "stubborn"

    assert await race(stubborn, returns(1, "a"), dispose=disposed.append) == "a"
    assert disposed == ["stubborn"]


async def test_values_that_nobody_gets_are_told_to_observers() -> None:
    events: list[Event] = []
    event = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(set_after, 1, event)
        winner = await fork("f", mode="race", paths=[on(event, "a"), on(event, "b")]).run(observers=[events.append])
    (discarded,) = [event for event in events if isinstance(event, ValueDiscarded)]
    assert {winner, discarded.value} == {"a", "b"}
    assert discarded.name == f"f/{discarded.value}"
    assert discarded.disposed is False
    assert discarded.time == 1


# dispose


async def test_dispose_that_raises_is_reported_and_the_rest_is_still_disposed_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disposed: list[str] = []

    def dispose(value: str) -> None:
        disposed.append(value)
        raise OSError(f"can't close {value}")

    late = [shielded(delay, name) for delay, name in ((2, "b"), (3, "c"))]
    assert await race(returns(1, "a"), *late, dispose=dispose) == "a"
    assert disposed == ["b", "c"]
    assert [record.exc_info[1].args[0] for record in caplog.records if record.exc_info and record.exc_info[1]] == [
        "can't close b",
        "can't close c",
    ]


async def test_dispose_may_be_slow_and_the_fork_waits_for_it() -> None:
    async def dispose(value: str) -> None:
        await trio.sleep(5)

    assert await race(returns(1, "a"), shielded(2, "b"), dispose=dispose) == "a"
    assert trio.current_time() == 7


# interrupts


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit, pytest.fail.Exception])
@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("mode", MODES)
async def test_interrupt_leaves_a_fork_bare_and_everything_else_is_accounted_for(
    mode: str, limit: int | None, interrupt: Any, caplog: pytest.LogCaptureFixture
) -> None:
    disposed: list[str] = []
    log: list[Any] = []
    error = OSError("had failed before")
    interruption = interrupt("stop")
    paths = [cleans_up(log, 1), raises(3, interruption, id="ki")]
    if mode in ("settle", "quorum"):
        paths.insert(0, raises(1, error))
    if mode in ("settle", "all"):
        paths.insert(0, returns(1, "a"))
    with pytest.raises(interrupt) as caught:
        await fork(
            "f",
            mode=mode,
            need=2 if mode == "quorum" else None,
            paths=paths,
            concurrency=limit,
            dispose=disposed.append,
        )()
    assert caught.value is interruption
    assert log == [("slow", trio.current_time())]
    assert disposed == (["a"] if mode in ("settle", "all") else [])
    assert ("had failed before" in caplog.text) is (mode in ("settle", "quorum"))


async def test_first_of_two_interrupts_leaves_the_fork_and_the_other_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = KeyboardInterrupt("first")
    with pytest.raises(KeyboardInterrupt) as caught:
        await gather(cleans_up([], error=SystemExit("second")), raises(1, first))
    assert caught.value is first
    assert "SystemExit('second')" in caplog.text


async def test_interrupt_of_the_forks_own_caller_leaves_bare() -> None:
    """Trio raises KeyboardInterrupt in the main task, which waits for the fork's nursery."""
    log: list[Any] = []
    error = KeyboardInterrupt()

    async def source() -> Any:
        yield cleans_up(log, 1)
        await trio.sleep(1)
        raise error

    with pytest.raises(KeyboardInterrupt) as caught:
        await gather(source())
    assert caught.value is error
    assert log == [("slow", 2)]


async def test_interrupt_in_a_source_that_a_worker_advances_leaves_bare() -> None:
    error = KeyboardInterrupt()

    def source() -> Any:
        yield returns(1, "a")
        raise error

    with pytest.raises(KeyboardInterrupt) as caught:
        await gather(source(), concurrency=1)
    assert caught.value is error


# groups


async def test_group_that_mixes_cancelled_and_an_error_is_split() -> None:
    """The error is the path's failure, although its nursery was cancelled too."""
    error = ValueError("in a child")

    async def path() -> None:
        async with trio.open_nursery() as nursery:

            async def child() -> None:
                try:
                    await trio.sleep_forever()
                finally:
                    raise error

            nursery.start_soon(child)
            nursery.start_soon(trio.sleep_forever)

    with pytest.raises(ForkPartialError) as caught:
        await gather(path, raises(1, OSError()))
    inner, first = caught.value.exceptions
    assert isinstance(inner, ExceptionGroup)
    assert inner.exceptions == (error,)
    assert isinstance(first, OSError)
    assert [(rejected.step_id, rejected.kind) for rejected in caught.value.failed] == [
        ("path", "step_failed"),
        ("bad", "step_failed"),
    ]


async def test_group_that_mixes_cancelled_and_an_error_under_an_outer_cancellation_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def path() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cleans_up([], error=ValueError("in a child")))
            nursery.start_soon(trio.sleep_forever)

    with trio.move_on_after(1) as scope:
        await settle(path)
    assert scope.cancelled_caught
    assert "in a child" in caplog.text


async def test_group_that_mixes_an_interrupt_and_an_error_is_split(caplog: pytest.LogCaptureFixture) -> None:
    interrupt = KeyboardInterrupt()

    async def path() -> None:
        raise BaseExceptionGroup("both", [ValueError("the error"), interrupt])

    with pytest.raises(KeyboardInterrupt) as caught:
        await gather(path)
    assert caught.value is interrupt
    assert "the error" in caplog.text


async def test_group_of_cancellations_is_a_cancellation() -> None:
    events: list[Event] = []

    async def path() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)

    await fork("f", mode="race", paths=[path, returns(1, "a")]).run(observers=[events.append])
    (cancelled,) = [event for event in events if isinstance(event, StepCancelled)]
    assert (cancelled.name, cancelled.reason, cancelled.duration) == ("f/path", "fork 'f': path 'a' won", 1)


async def test_cancelled_that_no_scope_asked_for_is_raised() -> None:
    """A stored and re-raised Cancelled must not look like a cancellation of the fork."""
    with trio.CancelScope() as scope:
        scope.cancel()
        stored = await outcome.acapture(trio.sleep, 1)
    disposed: list[str] = []

    async def path() -> None:
        await trio.sleep(1)
        stored.unwrap()

    with pytest.raises(trio.Cancelled) as caught:
        await settle(returns(0, "a"), path, dispose=disposed.append)
    assert "no scope around it was cancelled" in str(caught.value.__notes__)
    assert disposed == ["a"]


async def test_fork_whose_nursery_somebody_else_cancels_says_so() -> None:
    async def path() -> int:
        trio.lowlevel.current_task().parent_nursery.cancel_scope.cancel()
        return 1

    disposed: list[int] = []
    with pytest.raises(RuntimeError, match=r"^fork 'gather' was cancelled, but neither by itself nor from outside"):
        await gather(path, never, stagger=1, dispose=disposed.append)
    assert disposed == [1]
    assert trio.current_time() == 0


# tokens


async def test_cancelled_between_getting_a_token_and_starting_gives_it_back() -> None:
    """The token arrives in the tick in which the fork is cancelled."""
    limiter = trio.CapacityLimiter(1)
    finished: list[str] = []
    await limiter.acquire()

    async def path() -> None:
        await trio.lowlevel.checkpoint()
        finished.append("path")

    scope = trio.CancelScope()

    async def run() -> None:
        with scope:
            await gather(path, path, concurrency=limiter)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.sleep(1)
        assert limiter.statistics().tasks_waiting == 1
        limiter.release()
        scope.cancel()
        assert limiter.borrowed_tokens == 1
    assert scope.cancelled_caught
    assert finished == []
    assert limiter.borrowed_tokens == 0
    assert limiter.statistics().tasks_waiting == 0


@pytest.mark.parametrize("end", ["success", "failure", "cancelled", "late"])
async def test_token_is_given_back_on_every_exit(end: str) -> None:
    limiter = trio.CapacityLimiter(2)
    paths = {
        "success": [returns(1, "a"), returns(2, "b"), returns(1, "c")],
        "failure": [raises(1, OSError()), cleans_up([], 1), returns(1, "c")],
        "cancelled": [never, never, never],
        "late": [shielded(9, "late"), never],
    }[end]
    with trio.move_on_after(5):
        result = await settle(fork("f", mode="all", paths=paths, concurrency=limiter))
        assert (result[0].status == "fulfilled") is (end == "success")
    assert limiter.borrowed_tokens == 0
    assert limiter.statistics().tasks_waiting == 0


# the settled results never hold a cancellation


async def test_settle_never_stores_a_cancellation() -> None:
    async def path() -> str:
        with trio.move_on_after(1):
            await trio.sleep_forever()
        return "moved on"

    assert await settle(path) == (Fulfilled("path", "moved on"),)
