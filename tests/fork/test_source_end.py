"""A source is always closed, and what it raises then is not lost. A source that waits holds no token."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from paths import cleans_up, never, raises, returns, shielded

from trio_steps import ErrorDiscarded, ForkPartialError, fork, gather, race, settle, step

# In a scope that is cancelled already


async def run_cancelled(run: Any) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await run()
    assert scope.cancelled_caught


def passes(value: Any) -> Any:
    async def path() -> Any:
        return value

    return path


async def test_source_in_a_cancelled_scope_closes_its_channel_and_the_sender_sees_it() -> None:
    async def jobs(inbox: trio.MemoryReceiveChannel[str]) -> Any:
        async with inbox:
            async for job in inbox:
                yield passes(job)

    outbox, inbox = trio.open_memory_channel[str](0)
    await run_cancelled(partial(fork("f", mode="all", paths=jobs, concurrency=2), inbox))
    with pytest.raises(trio.BrokenResourceError):
        await outbox.send("job")


@pytest.mark.parametrize("limit", [None, 2, "limiter"])
async def test_generator_in_a_cancelled_scope_has_begun_and_is_closed_and_no_path_runs(limit: Any) -> None:
    log: list[str] = []

    def paths() -> Any:
        log.append("begun")
        try:
            yield lambda: log.append("ran")
        finally:
            log.append("closed")

    limit = trio.CapacityLimiter(2) if limit == "limiter" else limit
    await run_cancelled(lambda: gather(paths(), concurrency=limit))
    assert log == ["begun", "closed"]


async def test_channel_that_is_the_source_is_closed_in_a_cancelled_scope() -> None:
    outbox, inbox = trio.open_memory_channel[Any](1)
    outbox.send_nowait(never)
    await run_cancelled(lambda: gather(inbox))
    with pytest.raises(trio.BrokenResourceError):
        outbox.send_nowait(never)


async def test_iterator_that_cannot_be_closed_is_not_asked_in_a_cancelled_scope() -> None:
    asked: list[int] = []
    await run_cancelled(lambda: gather(map(asked.append, range(3))))  # type: ignore[arg-type]
    assert asked == []

    class Endless:
        def __aiter__(self) -> Endless:
            return self

        async def __anext__(self) -> Any:
            asked.append(0)
            return never

    await run_cancelled(lambda: gather(Endless()))
    assert asked == []


async def test_error_of_a_source_in_a_cancelled_scope_is_reported() -> None:
    def paths() -> Any:
        raise OSError("no")
        yield

    events: list[Any] = []
    source = fork("f", mode="all", paths=paths)
    await run_cancelled(lambda: source.run(observers=[events.append]))
    assert [(event.name, repr(event.error)) for event in events if isinstance(event, ErrorDiscarded)] == [
        ("f", "OSError('no')")
    ]


async def test_async_source_that_has_a_path_at_once_is_closed_in_a_cancelled_scope() -> None:
    log: list[str] = []

    async def paths() -> Any:
        try:
            yield lambda: log.append("ran")
        finally:
            log.append("closed")

    await run_cancelled(lambda: gather(paths()))
    assert log == ["closed"]


# Closing


class Cursor:
    """An iterator with a connection that may fail when it is advanced, and when it is closed."""

    def __init__(self, *paths: Any, fails: Exception | None = None, unclosable: Exception | None = None) -> None:
        self._paths = iter(paths)
        self._fails = fails
        self._unclosable = unclosable
        self.closed = 0

    def __iter__(self) -> Cursor:
        return self

    def __next__(self) -> Any:
        for path in self._paths:
            return path
        if self._fails is not None:
            raise self._fails
        raise StopIteration

    def close(self) -> None:
        self.closed += 1
        if self._unclosable is not None:
            raise self._unclosable


class AsyncCursor:
    """An async `Cursor`."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def __aiter__(self) -> AsyncCursor:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._cursor)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        self._cursor.close()


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("is_async", [False, True])
async def test_source_that_fails_and_cannot_be_closed_has_both_errors_in_the_result(
    is_async: bool, limit: int | None
) -> None:
    cause, second = ConnectionError("the server hung up"), RuntimeError("the cursor is not open")
    cursor = Cursor(never, fails=cause, unclosable=second)
    source: Any = AsyncCursor(cursor) if is_async else cursor
    with pytest.raises(ForkPartialError) as caught:
        await gather(source, concurrency=None if limit is None else 2)
    assert caught.value.exceptions == (cause, second)
    assert cursor.closed == 1
    assert "its source of paths failed: ConnectionError" in str(caught.value.failed[0].error)


@pytest.mark.parametrize("is_async", [False, True])
async def test_source_that_runs_dry_is_closed_once(is_async: bool) -> None:
    cursor = Cursor(returns(1, "a"), returns(1, "b"))
    source: Any = AsyncCursor(cursor) if is_async else cursor
    assert await gather(source, concurrency=1) == ("a", "b")
    assert cursor.closed == 1


@pytest.mark.parametrize("is_async", [False, True])
async def test_source_that_cannot_be_closed_when_it_has_run_dry_fails_the_fork(is_async: bool) -> None:
    error = OSError("close")
    cursor = Cursor(returns(1, "a"), unclosable=error)
    source: Any = AsyncCursor(cursor) if is_async else cursor
    with pytest.raises(ForkPartialError) as caught:
        await settle(source, concurrency=1)
    assert caught.value.exceptions == (error,)


async def test_source_that_cannot_be_closed_after_the_decision_is_reported() -> None:
    events: list[Any] = []
    cursor = Cursor(returns(1, "a"), never, unclosable=OSError("close"))
    any_of = fork("f", mode="race", paths=lambda: cursor, concurrency=1)
    assert await any_of.run(observers=[events.append]) == "a"
    [event] = [event for event in events if isinstance(event, ErrorDiscarded)]
    assert (event.name, repr(event.error), event.error.__notes__) == ("f", "OSError('close')", ["in step 'f'"])


async def test_async_source_that_fails_stops_the_paths_before_it_is_closed() -> None:
    class Slow(AsyncCursor):
        async def __anext__(self) -> Any:
            await trio.sleep(1)
            return await super().__anext__()

        async def aclose(self) -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)

    log: list[Any] = []
    with pytest.raises(ForkPartialError):
        await gather(Slow(Cursor(cleans_up(log), fails=OSError("the server hung up"))), concurrency=2)
    assert (log, trio.current_time()) == ([("slow", 2)], 7)


async def test_source_that_raises_a_group_with_an_interrupt_loses_neither() -> None:
    def paths() -> Any:
        yield never
        raise BaseExceptionGroup("both", [OSError("o"), KeyboardInterrupt()])

    events: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        await fork("f", mode="all", paths=paths).run(observers=[events.append])
    assert [repr(event.error) for event in events if isinstance(event, ErrorDiscarded)] == [
        "ExceptionGroup('both', [OSError('o')])"
    ]


async def test_source_that_raises_a_base_group_of_errors_only_has_failed() -> None:
    class Odd(BaseExceptionGroup[BaseException]):
        pass

    async def paths() -> Any:
        yield never
        raise Odd("both", [OSError("o")])

    with pytest.raises(ForkPartialError) as caught:
        await gather(paths())
    assert [repr(error) for error in caught.value.exceptions] == ["ExceptionGroup('both', [OSError('o')])"]


async def test_function_that_raises_a_group_in_place_of_paths_loses_neither_the_error_nor_the_interrupt() -> None:
    def paths() -> Any:
        raise BaseExceptionGroup("both", [OSError("o"), KeyboardInterrupt()])

    events: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        await fork("f", mode="all", paths=paths).run(observers=[events.append])
    assert [repr(event.error) for event in events if isinstance(event, ErrorDiscarded)] == [
        "ExceptionGroup('both', [OSError('o')])"
    ]


# Tokens


async def test_path_that_gets_its_token_in_the_moment_of_the_decision_does_not_run() -> None:
    limiter = trio.CapacityLimiter(2)
    limiter.acquire_on_behalf_of_nowait("somebody else")
    ran: list[str] = []

    async def wins() -> str:
        await trio.sleep(1)
        limiter.release_on_behalf_of("somebody else")
        return "won"

    async def paths() -> Any:
        yield wins
        yield lambda: ran.append("late")

    assert await race(paths(), concurrency=limiter) == "won"
    assert (ran, limiter.borrowed_tokens, trio.current_time()) == ([], 0, 1)


async def test_fork_that_waits_for_a_quiet_source_holds_no_token() -> None:
    limiter = trio.CapacityLimiter(1)
    outbox, inbox = trio.open_memory_channel[Any](0)
    results: list[Any] = []

    async def consume() -> None:
        results.append(await settle(inbox, concurrency=limiter))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        await trio.testing.wait_all_tasks_blocked()
        assert limiter.borrowed_tokens == 0
        async with limiter:
            await outbox.send(returns(1, "a"))
            await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(5)
        await outbox.aclose()
    assert [result.value for result in results[0]] == ["a"]
    assert trio.current_time() == 6


@pytest.mark.parametrize(("forks", "tokens"), [(1, 1), (1, 2), (2, 2), (4, 4)])
async def test_async_source_may_use_the_limiter_of_its_fork(forks: int, tokens: int) -> None:
    limiter = trio.CapacityLimiter(tokens)
    async with trio.open_nursery() as nursery:
        for _ in range(forks):
            nursery.start_soon(crawl(limiter))
    assert limiter.borrowed_tokens == 0


@pytest.mark.parametrize(("paths", "tokens"), [(1, 1), (1, 2), (2, 2), (3, 2), (8, 4)])
async def test_async_source_may_use_the_limiter_that_its_caller_holds_a_token_of(paths: int, tokens: int) -> None:
    limiter = trio.CapacityLimiter(tokens)
    assert await gather([partial(crawl(limiter)) for _ in range(paths)], concurrency=limiter) == (("i",) * 4,) * paths
    assert limiter.borrowed_tokens == 0


def crawl(limiter: trio.CapacityLimiter) -> Any:
    @step(limiter=limiter)
    async def page() -> int:
        await trio.sleep(1)
        return 2

    async def items() -> Any:
        for _ in range(2):
            for _ in range(await page()):
                yield returns(1, "i")

    return fork("crawl", mode="all", paths=lambda: items(), concurrency=limiter)


async def test_path_that_was_taken_but_not_started_when_the_fork_was_decided_is_accounted_for() -> None:
    limiter = trio.CapacityLimiter(1)

    async def paths() -> Any:
        yield raises(2, OSError())
        yield never

    with pytest.raises(ForkPartialError) as caught:
        await gather(paths(), concurrency=limiter)
    assert [(result.step_id, getattr(result.error, "started", None)) for result in caught.value.failed] == [
        ("bad", None),
        ("never", False),
    ]
    assert limiter.borrowed_tokens == 0


@pytest.mark.parametrize("total", [4, 3, 2, 1])
@pytest.mark.parametrize("lazy", [False, True])
async def test_fork_that_begins_while_its_limiter_is_overborrowed_waits_for_a_token(total: int, lazy: bool) -> None:
    limiter = trio.CapacityLimiter(4)

    async def hold(seconds: float) -> None:
        async with limiter:
            await trio.sleep(seconds)

    async with trio.open_nursery() as nursery:
        for seconds in (1, 2, 3):
            nursery.start_soon(hold, seconds)
        await trio.testing.wait_all_tasks_blocked()
        limiter.total_tokens = total
        paths: Any = [returns(0, "a"), returns(0, "b")]
        results = await settle(iter(paths) if lazy else paths, concurrency=limiter)
        assert [result.value for result in results] == ["a", "b"]
        assert trio.current_time() == {4: 0, 3: 1, 2: 2, 1: 3}[total]


# The end by itself


async def test_member_that_waits_for_a_token_does_not_hold_up_a_fork_whose_paths_have_ended() -> None:
    limiter = trio.CapacityLimiter(2)
    await limiter.acquire()  # the fork gets only the other token
    assert await gather(returns(1, "a"), returns(1, "b"), concurrency=limiter) == ("a", "b")
    assert trio.current_time() == 2
    assert limiter.borrowed_tokens == 1


async def test_staggered_fork_ends_with_its_last_path() -> None:
    assert await gather(returns(1, "a"), returns(1, "b"), stagger=10) == ("a", "b")
    assert trio.current_time() == 11


async def test_path_that_leaves_a_nursery_open_as_the_last_does_not_hold_up_the_fork() -> None:
    async def leaves() -> None:
        await trio.sleep(1)
        await trio.open_nursery().__aenter__()

    results = await settle(returns(0.5, "a"), leaves)
    assert [result.status for result in results] == ["fulfilled", "rejected"]
    assert "with its own nursery still open" in str(results[1].error)
    assert trio.current_time() == 1


@pytest.mark.parametrize("lazy", [False, True])
async def test_no_path_starts_after_a_cancellation_that_another_withstands(lazy: bool) -> None:
    started: list[str] = []

    def path(name: str) -> Any:
        async def run() -> None:
            started.append(name)
            with trio.CancelScope(shield=True):
                await trio.sleep(2)

        return run

    paths: Any = [path("a"), path("b"), path("c")]
    with trio.move_on_after(1) as scope:
        await gather(iter(paths) if lazy else paths, concurrency=1)
    assert scope.cancelled_caught
    assert started == ["a"]
    assert trio.current_time() == 2


async def test_deadline_that_is_moved_in_its_scope_is_the_one_that_counts() -> None:
    async def path() -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        nursery = trio.lowlevel.current_task().parent_nursery
        assert nursery is not None
        nursery.cancel_scope.deadline = trio.current_time()
        return "late"

    [result] = await settle(path, timeout=10)
    assert (result.kind, trio.current_time()) == ("timed_out", 1)


async def test_race_is_over_when_the_loser_has_cleaned_up_and_not_before() -> None:
    log: list[Any] = []
    assert await race(returns(1, "a"), cleans_up(log, 2), shielded(4, "late")) == "a"
    assert (log, trio.current_time()) == ([("slow", 3)], 4)
