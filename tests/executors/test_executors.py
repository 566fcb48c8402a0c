"""Paths in an executor: real threads, synchronized with the test by events."""

from __future__ import annotations

import gc
import signal
import threading
import weakref
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_steps import ConfigError, ForkPartialError, Pipeline, Retry, fork, gather, race, settle, step
from trio_steps.executors import on_executor

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


class Blocker:
    """A function that blocks its thread until it is released."""

    def __init__(self, result: Any = "done") -> None:
        self.result = result
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.left = False

    def __call__(self) -> Any:
        self.entered.set()
        assert self.gate.wait(20)
        self.left = True
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result

    async def running(self) -> None:
        assert await trio.to_thread.run_sync(self.entered.wait, 20)


class ByHand(Executor):
    """An executor whose futures are settled by the test."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.futures.append(future)
        return future


async def test_call_runs_in_the_executor(pool: ThreadPoolExecutor) -> None:
    def work(a: int, *, b: int) -> tuple[int, bool]:
        return a + b, threading.current_thread() is threading.main_thread()

    assert await on_executor(pool, work)(1, b=2) == (3, False)


async def test_error_is_raised_as_it_is_with_its_traceback(pool: ThreadPoolExecutor) -> None:
    error = OSError("disk full")

    def work() -> None:
        raise error

    with pytest.raises(OSError, match="disk full") as caught:
        await on_executor(pool, work)()
    assert caught.value is error
    assert [entry.name for entry in caught.traceback][-1] == "work"


async def test_calls_run_side_by_side(pool: ThreadPoolExecutor) -> None:
    barrier = threading.Barrier(2, timeout=20)  # needs two calls at once
    assert await gather(*[on_executor(pool, barrier.wait)] * 2) in [(0, 1), (1, 0)]


async def test_trio_goes_on_while_a_call_runs(pool: ThreadPoolExecutor) -> None:
    blocker = Blocker()

    async def lets_go() -> None:
        await blocker.running()
        blocker.gate.set()

    assert await gather(on_executor(pool, blocker), lets_go) == ("done", None)


async def test_call_in_a_cancelled_scope_is_not_submitted() -> None:
    executor = ByHand()
    with trio.CancelScope() as scope:
        scope.cancel()
        await on_executor(executor, print)()
    assert scope.cancelled_caught
    assert not executor.futures


async def test_call_that_is_queued_when_it_loses_a_race_never_runs(pool: ThreadPoolExecutor) -> None:
    blockers = Blocker(), Blocker()
    queued = Blocker()
    async with trio.open_nursery() as nursery:
        for blocker in blockers:
            nursery.start_soon(on_executor(pool, blocker))
            await blocker.running()

        async def fast() -> str:
            await trio.testing.wait_all_tasks_blocked()
            return "fast"

        assert await race(on_executor(pool, queued), fast) == "fast"
        for blocker in blockers:
            blocker.gate.set()
    pool.shutdown()
    assert not queued.entered.is_set()


async def test_call_that_runs_when_it_loses_a_race_is_waited_for_and_its_value_disposed_of(
    pool: ThreadPoolExecutor,
) -> None:
    blocker = Blocker()
    disposed: list[object] = []

    async def fast() -> str:
        await blocker.running()
        won.set()
        return "fast"

    async def lets_go() -> None:
        await won.wait()
        await trio.testing.wait_all_tasks_blocked()  # the race is decided, and waits for the loser
        assert not ended
        blocker.gate.set()

    ended, won = False, trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lets_go)
        fastest = fork("f", mode="race", paths=[on_executor(pool, blocker), fast], dispose=disposed.append)
        assert await fastest() == "fast"
        ended = True
    assert blocker.left
    assert disposed == ["done"]


@pytest.mark.parametrize("result", ["done", OSError("too late")])
async def test_cancelled_call_that_runs_on_ends_with_what_it_comes_to(pool: ThreadPoolExecutor, result: Any) -> None:
    blocker = Blocker(result)
    scope = trio.CancelScope()

    async def cancels() -> None:
        await blocker.running()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        blocker.gate.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancels)
        with scope:
            try:
                end: object = await on_executor(pool, blocker)()
            except OSError as error:
                end = error
    assert end is result
    assert not scope.cancelled_caught


async def test_timeout_of_a_queued_call_is_exact() -> None:
    executor = ByHand()
    with pytest.raises(trio.TooSlowError):
        await step(on_executor(executor, print), timeout=2)()
    assert trio.current_time() == 2
    assert executor.futures[0].cancelled()


async def test_value_and_cancellation_in_one_tick_are_told_apart() -> None:
    executor = ByHand()

    async def both() -> None:
        await trio.testing.wait_all_tasks_blocked()
        executor.futures[0].set_result("in time")
        scope.cancel()

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(both)
            value = await on_executor(executor, print)()
    assert value == "in time"


async def test_future_that_somebody_else_cancels_is_a_failed_path() -> None:
    executor = ByHand()

    async def cancels() -> None:
        await trio.testing.wait_all_tasks_blocked()
        executor.futures[0].cancel()

    [call, _] = await settle(on_executor(executor, print), cancels)
    assert isinstance(call.error, CancelledError)


async def test_future_that_somebody_else_cancels_in_the_tick_of_a_cancellation_is_cancelled() -> None:
    executor = ByHand()

    async def both() -> None:
        await trio.testing.wait_all_tasks_blocked()
        executor.futures[0].cancel()
        scope.cancel()

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(both)
            await on_executor(executor, print)()
    assert scope.cancelled_caught
    await trio.testing.wait_all_tasks_blocked()  # no task is rescheduled twice


async def test_future_that_is_done_at_once_is_awaited_too() -> None:
    class Inline(ByHand):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future = super().submit(fn)
            future.set_result(fn(*args, **kwargs))
            return future

    with trio.testing.assert_checkpoints():
        assert await on_executor(Inline(), pow)(2, 3) == 8


async def test_executor_that_is_shut_down_is_a_failed_path(pool: ThreadPoolExecutor) -> None:
    pool.shutdown()
    with pytest.raises(ForkPartialError) as caught:
        await gather(on_executor(pool, print))
    assert isinstance(caught.value.exceptions[0], RuntimeError)


def test_interrupt_in_the_midst_of_a_submission_leaves_no_call_behind() -> None:
    class Interrupted(ByHand):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future = super().submit(fn)
            signal.raise_signal(signal.SIGINT)
            return future

    executor = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        trio.run(on_executor(executor, print))
    assert executor.futures[0].cancelled()


async def test_error_is_not_kept_alive_by_where_it_came_from() -> None:
    class WorkError(Exception):
        pass

    def work() -> None:
        raise WorkError

    gc.disable()
    try:
        with ThreadPoolExecutor(1) as pool:
            try:
                await on_executor(pool, work)()
            except WorkError as error:
                gone = weakref.ref(error)
            await on_executor(pool, print)()  # by then the thread has dropped its reference
            assert gone() is None
    finally:
        gc.enable()


# As a path


async def test_path_is_called_what_its_function_is_called_and_takes_what_that_takes(pool: ThreadPoolExecutor) -> None:
    def double(number: int) -> int:
        return 2 * number

    def nullary() -> str:
        return "no input"

    paths = [
        on_executor(pool, double),
        on_executor(pool, nullary),
        partial(on_executor(pool, double), 5),
        on_executor(pool, partial(double, 6)),
    ]
    results = await fork("f", mode="settle", paths=paths)(21)
    assert [(result.step_id, result.value) for result in results] == [
        ("double", 42),
        ("nullary", "no input"),
        ("double#2", 10),
        ("double#3", 12),
    ]


async def test_pipeline_gives_it_the_keys_that_its_function_names(pool: ThreadPoolExecutor) -> None:
    def area(width: int, height: int) -> dict[str, int]:
        return {"area": width * height}

    pipeline = Pipeline("p").step("area", on_executor(pool, area))
    assert (await pipeline({"width": 2, "height": 3, "depth": 4}))["area"] == 6


async def test_object_that_can_be_called_may_have_attributes_of_any_name(pool: ThreadPoolExecutor) -> None:
    class Work:
        def __init__(self) -> None:
            self._executor = self._fn = None

        def __call__(self) -> str:
            return "done"

    assert await on_executor(pool, Work())() == "done"


# Executors that break, and factories of them


class Breaks(Executor):
    """An executor that stays broken once `broken` is set."""

    def __init__(self) -> None:
        self.broken = False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self.broken:
            future.set_exception(BrokenExecutor("a worker died"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


class Factory:
    """Makes executors; the first `broken` of them are broken."""

    def __init__(self, broken: int = 0) -> None:
        self.made: list[Breaks] = []
        self.broken = broken

    def __call__(self) -> Executor:
        self.made.append(Breaks())
        self.made[-1].broken = len(self.made) <= self.broken
        return self.made[-1]


async def test_factory_is_called_once_as_long_as_its_executor_works() -> None:
    factory = Factory()
    call = on_executor(factory, abs)
    assert factory.made == []
    assert [await call(-1), await call(-2)] == [1, 2]
    assert len(factory.made) == 1


async def test_retry_heals_a_broken_executor_that_a_factory_makes() -> None:
    factory = Factory(broken=2)
    healed = step(partial(on_executor(factory, abs), -1), retry=Retry(3, delay=1, on=BrokenExecutor), id="abs")
    assert await healed() == 1
    assert len(factory.made) == 3
    assert trio.current_time() == 2  # two retries, each after 1 s


async def test_executor_that_breaks_under_several_calls_is_replaced_once() -> None:
    executors = [ByHand(), ByHand()]
    made: list[Executor] = []

    def factory() -> Executor:
        made.append(executors[len(made)])
        return made[-1]

    call = on_executor(factory, abs)

    async def break_one_after_the_other() -> None:
        await trio.sleep(1)
        executors[0].futures[0].set_exception(BrokenExecutor())
        await trio.sleep(1)
        executors[0].futures[1].set_exception(BrokenExecutor())
        await trio.sleep(1)
        executors[1].futures[0].set_result(3)

    async def then_again(number: int) -> int:
        try:
            return await call(number)
        except BrokenExecutor:
            return await call(number) if number == 1 else 0

    async with trio.open_nursery() as nursery:
        nursery.start_soon(break_one_after_the_other)
        assert await gather(partial(then_again, 1), partial(then_again, 2)) == (3, 0)
    assert made == executors


async def test_executor_of_a_factory_that_takes_no_call_is_replaced() -> None:
    pools = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]
    pools[0].shutdown()
    call = on_executor(lambda: pools.pop(0), abs)
    with pytest.raises(RuntimeError, match="after shutdown"):
        await call(-1)
    with pools[0]:
        assert await call(-1) == 1


async def test_broken_executor_without_a_factory_says_what_would_heal_it() -> None:
    pool = Breaks()
    pool.broken = True
    with pytest.raises(BrokenExecutor, match="a worker died") as caught:
        await on_executor(pool, abs)(-1)
    assert any("on_executor(make_pool, fn)" in note for note in caught.value.__notes__)


async def test_factory_of_something_else_is_refused_when_it_is_called() -> None:
    call = on_executor(lambda: 42, abs)  # type: ignore[arg-type,return-value]
    with pytest.raises(ConfigError, match=r"has to return a concurrent\.futures\.Executor, not 42"):
        await call(-1)


async def test_error_of_a_factory_is_raised_and_it_is_called_again() -> None:
    errors = [OSError("no more processes")]

    def factory() -> Executor:
        if errors:
            raise errors.pop()
        return Breaks()

    call = on_executor(factory, abs)
    with pytest.raises(OSError, match="no more processes"):
        await call(-1)
    assert await call(-1) == 1


async def test_call_that_its_executor_cancels_says_so_in_words() -> None:
    pool = ByHand()

    async def cancel_it() -> None:
        await trio.sleep(1)
        pool.futures[0].cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_it)
        [end] = await settle(on_executor(pool, abs_of_one))
    assert isinstance(end.error, CancelledError)
    assert str(end.error).startswith("the call of 'abs_of_one' was cancelled by its executor, not from here")


async def test_cancelled_error_of_the_function_itself_is_left_as_it_is() -> None:
    error = CancelledError("mine")

    def fails() -> None:
        raise error

    with ThreadPoolExecutor(1) as pool:
        [end] = await settle(on_executor(pool, fails))
    assert end.error is error


def abs_of_one() -> int:
    return 1


class OfDask(Executor):
    """Looks like an executor of Dask. Tests with a cluster are in test_dask.py."""

    def __init__(self, **kwargs: Any) -> None:
        self._kwargs = kwargs


OfDask.__module__ = "distributed.cfexecutor"


@pytest.mark.parametrize("options", [{}, {"pure": True}, {"pure": None}])
async def test_dask_executor_in_which_equal_calls_are_one_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"give client\.get_executor\(pure=False\)"):
        on_executor(OfDask(**options), abs)
    call = on_executor(lambda: OfDask(**options), abs)
    with pytest.raises(ConfigError, match=r"give client\.get_executor\(pure=False\)"):
        await call(-1)


def test_dask_executor_in_which_each_call_is_its_own_is_taken() -> None:
    on_executor(OfDask(pure=False), abs)


# Mistakes


def test_async_function_is_refused(pool: ThreadPoolExecutor) -> None:
    with pytest.raises(ConfigError, match="can't run an async function"):
        on_executor(pool, trio.sleep)


def test_async_function_that_is_an_object_is_refused(pool: ThreadPoolExecutor) -> None:
    with pytest.raises(ConfigError, match="can't run an async function"):
        on_executor(pool, on_executor(pool, print))


def test_what_is_no_function_is_refused(pool: ThreadPoolExecutor) -> None:
    with pytest.raises(ConfigError, match="not 42"):
        on_executor(pool, 42)  # type: ignore[arg-type]


def test_what_is_no_executor_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"give a concurrent\.futures\.Executor"):
        on_executor(None, print)  # type: ignore[arg-type]


def test_repr_says_what_runs_where(pool: ThreadPoolExecutor) -> None:
    assert repr(on_executor(pool, print)) == f"on_executor({pool!r}, {print!r})"
