"""`stream`: results as they come, and every way to leave the block."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
import trio
from paths import cleans_up, failures, never, on, raises, returns, set_after, shielded

from trio_steps import (
    ConfigError,
    ErrorDiscarded,
    ForkPartialError,
    Fulfilled,
    Recorder,
    StepTimeoutError,
    ValueDiscarded,
    current_scope,
    fork,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


async def read(results: Any) -> list[tuple[float, Any]]:
    """Return each result with its time."""
    return [(trio.current_time(), result) async for result in results]


# What is read, and in which order


async def test_stream_gives_results_as_paths_end() -> None:
    async with stream(returns(3, "a"), raises(1, OSError("b"), id="b"), returns(2, "c")) as results:
        seen = await read(results)
    assert [(time, result.step_id, result.kind) for time, result in seen] == [
        (1, "b", "step_failed"),
        (2, "c", None),
        (3, "a", None),
    ]


async def test_ordered_stream_gives_each_result_when_all_before_it_have_come() -> None:
    async with stream(returns(2, "a"), returns(1, "b"), returns(4, "c"), returns(3, "d"), ordered=True) as results:
        seen = await read(results)
    assert [(time, result.value) for time, result in seen] == [(2, "a"), (2, "b"), (4, "c"), (4, "d")]


async def test_stream_of_values_gives_values() -> None:
    async with stream(returns(2, "a"), returns(1, "b"), mode="all") as values:
        assert await read(values) == [(1, "b"), (2, "a")]


async def test_stream_takes_one_iterable_of_paths() -> None:
    async with stream((returns(n, n) for n in (2, 1)), mode="all") as values:
        assert [value async for value in values] == [1, 2]


async def test_stream_without_paths_ends_at_once() -> None:
    async with stream() as results:
        assert await read(results) == []
    async with stream([], mode="all") as values:
        assert await read(values) == []


async def test_stream_of_a_fork_gives_its_input_to_the_paths() -> None:
    async def near(topic: str) -> str:
        return f"near {topic}"

    async def far(topic: str) -> str:
        await trio.sleep(1)
        return f"far {topic}"

    for mode in ("settle", "all"):
        research: Any = fork("research", mode=mode, paths=[far, near])  # type: ignore[call-overload]
        async with research.stream("owls") as results:
            seen = await read(results)
        assert [time for time, _ in seen] == [trio.current_time() - 1, trio.current_time()]
        assert [getattr(result, "value", result) for _, result in seen] == ["near owls", "far owls"]


async def test_stream_of_a_fork_without_input_is_called_with_none() -> None:
    async with fork("few", mode="settle", paths=[returns(1, "a")]).stream() as results:
        assert [result async for result in results] == [Fulfilled("a", "a")]


async def test_stream_can_be_left_and_read_later_by_one_task_after_another() -> None:
    async with stream(returns(1, "a"), returns(2, "b"), mode="all") as values:
        assert await anext(values) == "a"
        async with trio.open_nursery() as nursery:

            async def rest() -> None:
                assert [value async for value in values] == ["b"]

            nursery.start_soon(rest)


async def test_results_of_one_tick_are_all_there() -> None:
    event = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(set_after, 1, event)
        async with stream(*(on(event, n) for n in range(50)), mode="all") as values:
            seen = await read(values)
    assert {time for time, _ in seen} == {1}
    assert sorted(value for _, value in seen) == list(range(50))


async def test_quiet_source_delays_no_result() -> None:
    async def paths() -> AsyncIterator[Callable[[], Any]]:
        yield returns(1, "a")
        await trio.sleep(10)
        yield returns(1, "b")

    async with stream(paths(), mode="all") as values:
        assert await read(values) == [(1, "a"), (11, "b")]


# Failure


async def test_failure_ends_a_stream_of_values_ahead_of_those_that_wait() -> None:
    async with stream(returns(1, "a"), returns(2, "b"), raises(3, OSError("c"), id="c"), never, mode="all") as values:
        assert await anext(values) == "a"
        await trio.sleep(4)
        with pytest.raises(ForkPartialError) as caught:
            await anext(values)
        assert trio.current_time() == 5
    error = caught.value
    assert [repr(inside) for inside in error.exceptions] == ["OSError('c')"]
    assert error.succeeded == (Fulfilled("b", "b"),)
    assert failures(error) == [("c", "step_failed"), ("never", "cancelled")]
    assert error.step_id == "stream"


async def test_failed_stream_has_awaited_its_losers_before_it_raises() -> None:
    log: list[Any] = []
    async with stream(raises(1, OSError()), cleans_up(log, 2), mode="all") as values:
        with pytest.raises(ForkPartialError):
            await anext(values)
        assert (trio.current_time(), log) == (3, [("slow", 3)])


async def test_value_that_comes_after_the_failure_is_in_its_error() -> None:
    async with stream(raises(1, OSError()), shielded(2, "late"), mode="all") as values:
        with pytest.raises(ForkPartialError) as caught:
            await anext(values)
    assert caught.value.succeeded == (Fulfilled("late", "late"),)


async def test_error_of_an_endless_stream_has_only_what_was_not_taken() -> None:
    def paths() -> Iterator[Callable[[], Any]]:
        for number in range(100):
            yield returns(1, number)
        yield raises(1, OSError())

    seen: list[Any] = []
    with pytest.raises(ForkPartialError) as caught:
        async with stream(paths(), mode="all", concurrency=1) as values:
            async for value in values:
                seen += [value]
    assert seen == list(range(100))
    assert (caught.value.succeeded, failures(caught.value)) == ((), [("bad", "step_failed")])


async def test_error_of_the_source_is_raised_with_what_waits() -> None:
    def paths() -> Iterator[Callable[[], Any]]:
        yield returns(1, "a")
        yield returns(2, "b")
        raise LookupError("no more")

    async with stream(paths(), concurrency=1, buffer=2) as results:
        assert await anext(results) == Fulfilled("a", "a")
        await trio.sleep(5)
        with pytest.raises(ForkPartialError) as caught:
            await anext(results)
    assert [type(inside) for inside in caught.value.exceptions] == [LookupError]
    assert caught.value.succeeded == (Fulfilled("b", "b"),)


async def test_stream_is_over_after_its_error() -> None:
    async with stream(raises(1, OSError()), mode="all") as values:
        with pytest.raises(ForkPartialError):
            await anext(values)
        with pytest.raises(StopAsyncIteration):
            await anext(values)


# The timeout


async def test_timeout_rejects_what_runs_and_starts_nothing_else() -> None:
    started: list[int] = []

    def paths() -> Iterator[Callable[[], Any]]:
        for number in range(10):
            started.append(number)
            yield returns(number + 1, number)

    async with stream(paths(), concurrency=2, timeout=4.5) as results:
        seen = await read(results)
    kinds = [(time, result.kind) for time, result in seen]
    assert kinds == [(1, None), (2, None), (4, None), (4.5, "timed_out"), (4.5, "timed_out")]
    assert isinstance(seen[-1][1].error, StepTimeoutError)
    assert started == [0, 1, 2, 3, 4]


async def test_timeout_of_a_stream_of_values_raises_with_what_waits() -> None:
    async with stream(returns(1, "a"), returns(2, "b"), never, mode="all", timeout=3) as values:
        assert await anext(values) == "a"
        await trio.sleep(5)
        with pytest.raises(ForkPartialError) as caught:
            await anext(values)
    assert [type(inside) for inside in caught.value.exceptions] == [StepTimeoutError]
    assert caught.value.succeeded == (Fulfilled("b", "b"),)


async def test_value_after_the_timeout_is_disposed_of() -> None:
    disposed: list[Any] = []
    async with stream(shielded(3, "late"), timeout=1, dispose=disposed.append) as results:
        assert [result.kind async for result in results] == ["timed_out"]
    assert disposed == ["late"]


async def test_rejected_by_the_timeout_and_not_taken_is_reported() -> None:
    events: list[Any] = []
    async with stream(never, timeout=1, observers=[events.append]):
        await trio.sleep(2)
    assert [type(event.error) for event in events if isinstance(event, ErrorDiscarded)] == [StepTimeoutError]


# How the block is left


async def test_break_cancels_and_awaits_the_rest() -> None:
    log: list[Any] = []
    async with stream(returns(1, "a"), cleans_up(log, 2)) as results:
        async for _ in results:
            break
    assert (trio.current_time(), log) == (3, [("slow", 3)])


async def test_values_and_failures_that_are_not_taken_are_accounted_for(caplog: pytest.LogCaptureFixture) -> None:
    disposed: list[Any] = []
    events: list[Any] = []
    bad = OSError("not taken")
    async with stream(
        returns(1, "a"), returns(2, "b"), raises(2, bad), dispose=disposed.append, observers=[events.append]
    ) as results:
        assert (await anext(results)).value == "a"
        await trio.sleep(5)
    assert disposed == ["b"]
    assert [(event.name, event.value) for event in events if isinstance(event, ValueDiscarded)] == [("stream/b", "b")]
    assert [event.error for event in events if isinstance(event, ErrorDiscarded)] == [bad]
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [bad]
    assert caplog.records[0].levelno == logging.WARNING


async def test_failed_stream_that_is_not_read_on_is_accounted_for(caplog: pytest.LogCaptureFixture) -> None:
    disposed: list[Any] = []
    async with stream(returns(1, "a"), raises(2, OSError("b")), mode="all", dispose=disposed.append):
        await trio.sleep(5)
    assert disposed == ["a"]
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["b"]


async def test_error_whose_reader_was_cancelled_in_the_tick_of_the_failure_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reading = trio.CancelScope()

    async def fails() -> None:
        await trio.sleep(1)
        reading.cancel()
        raise OSError("b")

    async with stream(fails, mode="all") as values:
        with reading:
            await anext(values)
    assert reading.cancelled_caught
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["b"]


async def test_crash_of_the_fork_leaves_the_block_bare(monkeypatch: pytest.MonkeyPatch) -> None:
    bug = RuntimeError("a bug of ours")

    def broken(*_: object) -> bool:
        raise bug

    monkeypatch.setattr("trio_steps._fork.delivery.Delivery.succeeded", broken)
    with pytest.raises(RuntimeError) as caught:
        async with stream(returns(1, "a")) as results:
            await anext(results)
    assert caught.value is bug


async def test_error_of_the_block_leaves_it_bare() -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with stream(never, returns(1, "a")) as results:
            async for _ in results:
                raise error
    assert caught.value is error
    assert error.__context__ is None


async def test_group_of_the_block_leaves_it_as_it_is() -> None:
    error = ExceptionGroup("mine", [KeyError("a")])
    with pytest.raises(ExceptionGroup) as caught:
        async with stream(never):
            raise error
    assert caught.value is error


async def test_cancelled_block_is_cancelled_bare() -> None:
    with trio.move_on_after(1) as scope:
        with pytest.raises(trio.Cancelled) as caught:
            async with stream(never) as results:
                await anext(results)
        raise caught.value
    assert (scope.cancelled_caught, trio.current_time()) == (True, 1)


async def test_cancellation_during_the_clean_up_is_not_swallowed() -> None:
    with trio.move_on_after(2) as scope:
        async with stream(shielded(5, "a")):
            await trio.sleep(1)
        raise AssertionError("not reached")
    assert (scope.cancelled_caught, trio.current_time()) == (True, 5)


async def test_error_of_the_block_survives_a_cancellation_during_the_clean_up() -> None:
    with pytest.raises(KeyError):
        with trio.move_on_after(2):
            async with stream(shielded(5, "a")):
                await trio.sleep(1)
                raise KeyError
    assert trio.current_time() == 5


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
async def test_fatal_error_of_a_path_leaves_the_block_bare(fatal: type[BaseException]) -> None:
    disposed: list[Any] = []
    with pytest.raises(fatal) as caught:
        async with stream(returns(1, "a"), raises(2, fatal()), dispose=disposed.append):
            await trio.sleep(10)
    assert type(caught.value) is fatal
    assert (trio.current_time(), disposed) == (2, ["a"])


async def test_fatal_error_keeps_the_error_of_the_block_as_its_context() -> None:
    async def path() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        async with stream(path):
            await trio.sleep(1)
            raise KeyError("mine")
    chain = []
    error: BaseException | None = caught.value
    while error is not None:
        chain.append(type(error))
        error = error.__context__
    assert KeyError in chain


async def test_source_of_a_stream_that_is_never_entered_is_not_asked() -> None:
    asked = []

    def paths() -> Iterator[Callable[[], Any]]:
        asked.append(True)
        yield never

    stream(paths())
    fork("f", mode="settle", paths=lambda _: paths()).stream(None)
    assert asked == []


async def test_source_is_closed_when_the_block_is_left() -> None:
    closed: list[float] = []

    async def paths() -> AsyncIterator[Callable[[], Any]]:
        try:
            while True:
                await trio.sleep(1)
                yield returns(0, "a")
        finally:
            closed.append(trio.current_time())

    async with stream(paths()) as results:
        async for _ in results:
            break
    assert closed == [1]


# Use


async def test_second_reader_is_an_error_at_any_time() -> None:
    async with stream(returns(1, "a"), returns(2, "b")) as results:
        async for _ in results:
            break
        with pytest.raises(RuntimeError, match="was read before: a stream can be read once"):
            aiter(results)


async def test_two_readers_at_once_are_an_error() -> None:
    async with stream(returns(1, "a")) as results, trio.open_nursery() as nursery:
        nursery.start_soon(anext, results)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="another task is reading this stream"):
            await anext(results)


async def test_stream_is_entered_once_and_before_it_is_read() -> None:
    results = stream(returns(1, "a"))
    assert repr(results) == "<stream 'stream'>"
    with pytest.raises(RuntimeError, match="has not been entered: write 'async with'"):
        aiter(results)
    async with results:
        pass
    with pytest.raises(RuntimeError, match="was entered before"):
        async with results:
            pass


async def test_stream_that_was_left_gives_no_more() -> None:
    async with stream(returns(1, "a")) as results:
        pass
    assert [result async for result in results] == []


async def test_reading_what_is_there_lets_other_tasks_run() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery, stream(*(returns(1, n) for n in range(100))) as results:
        await trio.sleep(2)
        nursery.start_soon(other)
        assert len([result async for result in results]) == 100
        assert turns >= 3
        nursery.cancel_scope.cancel()


async def test_reading_what_is_there_looks_for_a_cancellation() -> None:
    async with stream(*(returns(1, n) for n in range(100))) as results:
        await trio.sleep(2)
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(results)
        assert scope.cancelled_caught
        assert len([result async for result in results]) == 100


async def test_events_of_a_stream_are_those_of_a_fork() -> None:
    recorder = Recorder()
    async with stream(returns(1, "a"), raises(2, OSError(), id="b"), observers=[recorder]) as results:
        assert len([result async for result in results]) == 2
    assert type(recorder.events[0]).__name__ == "StepStarted"
    assert [(type(event).__name__, event.name, event.time) for event in recorder.events][-3:] == [
        ("StepSucceeded", "stream/a", 1),
        ("StepFailed", "stream/b", 2),
        ("StepSucceeded", "stream", 2),
    ]


async def test_paths_of_a_stream_run_in_the_scope_of_the_block() -> None:
    names: list[str] = []

    async def path() -> None:
        names.append(current_scope().name)

    async def outer() -> None:
        async with stream(path) as results:
            async for _ in results:
                pass

    await fork("outer", mode="all", paths=[outer])()
    assert names == ["outer/outer/stream/path"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"mode": "race"}, r"^stream\(mode='race'\): use \"settle\" or \"all\", the modes with results to read"),
        ({"buffer": 0}, "buffer=0: give the number of results that may wait, 1 or more"),
        ({"buffer": True}, "buffer=True"),
        ({"buffer": 1.5}, "buffer=1.5"),
        ({"concurrency": 0}, "concurrency=0"),
    ],
)
def test_stream_that_cannot_work_is_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        stream(never, **options)


def test_fork_whose_results_do_not_come_one_by_one_is_not_streamed() -> None:
    with pytest.raises(ConfigError, match="has merge="):
        fork("f", mode="all", paths=[never], merge=list).stream()
    with pytest.raises(ConfigError, match="mode='quorum of 1'"):
        fork("f", mode="quorum", need=1, paths=[never]).stream()
