"""Many threads, each with its own `trio.run`, share pipelines, forks, policies, recorders and stores.

On a free-threaded build they run at the same time; with the GIL they take turns, every few instructions.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from trio_steps import (
    CircuitBreaker,
    CircuitOpenError,
    Pipeline,
    RateLimit,
    Recorder,
    StepSucceeded,
    fork,
    settle,
    step,
)
from trio_steps.store import RunClaimedError, SqliteStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

THREADS = 6
RUNS = 25


@pytest.fixture(autouse=True)
def _eager_switches() -> Iterator[None]:
    """Make threads take turns as often as possible, where there is a GIL."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


def in_threads(run: Callable[[int], Awaitable[Any]], runs: int = RUNS) -> list[Any]:
    """Call `run` with different numbers in several threads at once. Return the results, in the order of the numbers."""
    results: dict[int, Any] = {}
    errors: list[BaseException] = []
    barrier = threading.Barrier(THREADS)

    def thread(first: int) -> None:
        async def main() -> None:
            for number in range(first, first + runs):
                results[number] = await run(number)

        barrier.wait()
        try:
            trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        except BaseException as error:  # or it would be lost with the thread
            errors.append(error)

    threads = [threading.Thread(target=thread, args=(runs * number,)) for number in range(THREADS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    if errors:
        raise BaseExceptionGroup("in threads", errors)
    return [results[number] for number in range(THREADS * runs)]


async def plus_one(x: int) -> int:
    await trio.sleep(1)
    return x + 1


async def twice(y: int) -> int:
    await trio.sleep(0.5)
    return 2 * y


async def thrice(y: int) -> int:
    await trio.lowlevel.checkpoint()
    return 3 * y


def flow() -> Any:
    both = (step(twice, provides="q"), step(thrice, provides="r"))
    return (
        Pipeline("p")
        .step("a", plus_one, provides="y")
        .step("both", *both, mode="settle")
        .step("sum", lambda q, r: q + r, provides="s")
    )


def test_pipeline_is_shared_by_threads() -> None:
    shared = flow()
    results = in_threads(lambda number: shared.run({"x": number}))
    assert [result["s"] for result in results] == [5 * (number + 1) for number in range(THREADS * RUNS)]


def test_pipelines_are_built_in_threads() -> None:
    results = in_threads(lambda number: flow().run({"x": number}))
    assert [result["s"] for result in results] == [5 * (number + 1) for number in range(THREADS * RUNS)]


@pytest.mark.parametrize("concurrency", [None, 2])
def test_fork_is_shared_by_threads(concurrency: int | None) -> None:
    shared = fork("f", mode="all", paths=[plus_one, twice, step(thrice, id="third")], concurrency=concurrency)
    assert in_threads(shared) == [(number + 1, 2 * number, 3 * number) for number in range(THREADS * RUNS)]


def test_race_is_shared_by_threads() -> None:
    async def loses(x: int) -> None:
        await trio.sleep_forever()

    shared = fork("f", mode="race", paths=[loses, twice, plus_one])
    assert in_threads(shared) == [2 * number for number in range(THREADS * RUNS)]


def test_recorder_that_is_shared_by_threads_has_every_event() -> None:
    recorder = Recorder()
    shared = flow()
    in_threads(lambda number: shared.run({"x": number}, observers=[recorder]))
    succeeded = [event.name for event in recorder.events if isinstance(event, StepSucceeded)]
    assert sorted(set(succeeded)) == ["a", "both", "both/thrice", "both/twice", "p", "sum"]
    assert {succeeded.count(name) for name in succeeded} == {THREADS * RUNS}
    assert "sum" in str(recorder)


def test_breaker_that_is_shared_by_threads_has_a_state_in_each_run_of_trio() -> None:
    """A cooldown is a time, and the clocks of two runs have nothing in common."""
    breaker = CircuitBreaker(5, cooldown=1e9)
    calls = []

    async def fails() -> None:
        calls.append(None)
        raise OSError("down")

    shared = step(fails, circuit_breaker=breaker)

    async def run(number: int) -> type[BaseException]:
        [result] = await settle(shared)
        return type(result.error)

    kinds = in_threads(run)
    in_each = [OSError] * 5 + [CircuitOpenError] * (RUNS - 5)
    assert kinds == in_each * THREADS
    assert len(calls) == 5 * THREADS


def test_rate_that_is_shared_by_threads_is_that_of_each_run_of_trio() -> None:
    """Their clocks have nothing in common, so in each run the first two start at once, and then one per second."""
    rate = RateLimit(2, per=2)
    shared = step(plus_one, rate=rate)

    async def run(number: int) -> float:
        await shared(number)
        return trio.current_time()

    assert in_threads(run, 5) == [1, 2, 3, 4, 5] * THREADS


def test_recorder_can_be_drawn_while_threads_write_to_it() -> None:
    recorder = Recorder()
    shared = flow()

    async def run(number: int) -> int:
        await shared.run({"x": number}, observers=[recorder])
        return len(recorder.render()) and len(recorder.to_html())

    assert all(in_threads(run, 3))


def in_store(store: SqliteStore, x_of: Callable[[int], int]) -> tuple[list[Any], Counter[int]]:
    """Run a pipeline in threads, with three runs each. Return the outcomes, and how often each step was run."""
    ran: Counter[int] = Counter()
    one_by_one = threading.Lock()

    def note(y: int) -> None:
        with one_by_one:
            ran[y] += 1

    shared = flow().step("note", note)

    async def run(number: int) -> Any:
        x = x_of(number)
        try:
            return (await shared.run({"x": x}, store=store, run_id=str(x)))["s"]
        except RunClaimedError:
            return None

    return in_threads(run, 3), ran


def test_store_that_is_shared_by_threads_keeps_the_runs_of_all(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "runs.db", synchronous="normal")
    results, ran = in_store(store, lambda number: number)
    assert results == [5 * (x + 1) for x in range(3 * THREADS)]
    assert ran == {x + 1: 1 for x in range(3 * THREADS)}
    records = trio.run(store.runs)
    assert {record.run_id: record.status for record in records} == {str(x): "finished" for x in range(3 * THREADS)}


def test_run_that_threads_want_at_once_is_run_by_one_of_them(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "runs.db", synchronous="normal")
    results, ran = in_store(store, lambda number: number % 3)
    assert ran == {1: 1, 2: 1, 3: 1}
    assert {number % 3: result for number, result in enumerate(results) if result is not None} == {0: 5, 1: 10, 2: 15}


MODULES = ["trio_steps", *(f"trio_steps.{name}" for name in ("testing", "terminal", "store", "executors", "otel"))]


IMPORTS = """
import importlib, sys
enabled = getattr(sys, "_is_gil_enabled", lambda: True)
before = enabled()
for module in sys.argv[1:]:
    public = importlib.import_module(module)
    for name in getattr(public, "__all__", ()):
        getattr(public, name)
    if enabled() is not before:
        sys.exit(module)
"""


def test_import_does_not_turn_the_gil_on() -> None:
    """Nor do the modules that it imports. On a build with a GIL, it is on before and after."""
    command = [sys.executable, "-W", "error", "-c", IMPORTS, *MODULES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
