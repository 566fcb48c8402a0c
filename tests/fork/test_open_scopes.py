"""A path that leaves a cancel scope open: it is reported, and affects no other path, as far as that is possible."""

from __future__ import annotations

import gc
from functools import wraps
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import MockClock
from ways import LIMITS, how

from trio_steps import ErrorDiscarded, Event, Pipeline, Retry, fork, race, settle, step
from trio_steps._fork.engine import trust

if TYPE_CHECKING:
    from collections.abc import Callable

# A function is checked the first time it runs. So each test has its own functions, which are not trusted yet.


def reports_of(events: list[Event]) -> list[str]:
    return [str(event.error) for event in events if isinstance(event, ErrorDiscarded)]


class Tasks:
    """Paths that do nothing, and remember the task that they ran in."""

    def __init__(self) -> None:
        self.seen: list[trio.lowlevel.Task] = []

    def note(self) -> None:
        self.seen.append(trio.lowlevel.current_task())


@pytest.mark.parametrize("limit", LIMITS)
async def test_open_scope_is_reported_and_the_task_is_not_used_again(
    limit: str, caplog: pytest.LogCaptureFixture
) -> None:
    tasks, events = Tasks(), list[Event]()

    def leaves() -> str:
        tasks.note()
        trio.CancelScope().__enter__()
        return "value"

    def path() -> None:
        tasks.note()

    ways: Any = how(limit, [leaves, path, path, path, path, path])
    result: Any = await fork("f", mode="all", **ways).run(observers=[events.append])
    assert result == ("value", None, None, None, None, None)
    assert tasks.seen.count(tasks.seen[0]) == 1
    assert reports_of(events) == ["path 'leaves' of fork 'f' ended with its own cancel scope still open"]
    assert "its own cancel scope still open" in caplog.text


def test_open_scopes_of_more_paths_than_there_are_fences_hit_no_other_path(caplog: pytest.LogCaptureFixture) -> None:
    async def leaves() -> str:
        await trio.sleep(1)
        trio.CancelScope(deadline=-inf).__enter__()
        return "left"

    async def path() -> str:
        await trio.lowlevel.checkpoint()
        return "value"

    # Each worker runs one path by itself. From then on, it would run sixteen in a row.
    forked = fork("f", mode="all", paths=[path] * 20 + [leaves] * 20 + [path] * 20, concurrency=20)
    result = trio.run(forked, clock=MockClock(autojump_threshold=0))
    assert result == ("value",) * 20 + ("left",) * 20 + ("value",) * 20
    assert len(caplog.records) == 20


async def test_sixteen_paths_have_a_fence_at_the_same_time() -> None:
    """Where each path has its own task, an open scope outside of a fence is forgotten with it."""
    events: list[Event] = []

    async def leaves() -> None:
        await trio.sleep(1)
        trio.CancelScope().__enter__()

    for round_number in range(1, 3):
        await fork("f", mode="all", paths=[leaves] * 40).run(observers=[events.append])
        assert len(reports_of(events)) == 16 * round_number


@pytest.mark.parametrize("limit", LIMITS)
async def test_open_scope_of_a_path_that_fails_is_reported_and_its_error_stands(limit: str) -> None:
    tasks, events = Tasks(), list[Event]()

    async def leaves() -> None:
        tasks.note()
        trio.move_on_after(5).__enter__()
        raise KeyError("mine")

    def path() -> None:
        tasks.note()

    ways: Any = how(limit, [leaves, path, path, path, path, path])
    failed, *others = await fork("f", mode="settle", **ways).run(observers=[events.append])
    assert repr(failed.error) == "KeyError('mine')"
    assert {other.status for other in others} == {"fulfilled"}
    assert tasks.seen.count(tasks.seen[0]) == 1
    assert reports_of(events) == ["path 'leaves' of fork 'f' ended with its own cancel scope still open"]


@pytest.mark.parametrize("limit", LIMITS)
async def test_open_scope_of_a_path_that_is_cancelled_is_reported_and_is_no_crash(limit: str) -> None:
    events: list[Event] = []

    async def leaves() -> None:
        trio.CancelScope().__enter__()
        await trio.sleep_forever()

    async def wins() -> str:
        await trio.sleep(1)
        return "won"

    ways: Any = how(limit, [leaves, wins])
    assert await fork("f", mode="race", **ways).run(observers=[events.append]) == "won"
    assert reports_of(events) == ["path 'leaves' of fork 'f' ended with its own cancel scope still open"]


async def test_open_scope_among_many_paths_of_another_function_hits_none_of_them() -> None:
    """Its deadline would cancel the paths after it, and its shield would keep them from being cancelled."""

    async def path() -> None:
        await trio.sleep(0.005)

    async def expires() -> None:
        trio.move_on_after(0.05).__enter__()

    async def shields() -> None:
        trio.CancelScope(shield=True).__enter__()

    results = await settle(*[path] * 30, expires, *[path] * 70, concurrency=1)
    assert [result.status for result in results] == ["fulfilled"] * 101
    with trio.move_on_after(1) as scope:
        await settle(*[path] * 30, shields, trio.sleep_forever, concurrency=1)
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(0.5 + 1)  # the sum of floats


def leak_of(kind: str) -> Callable[[], Any]:
    """Return a path whose function is harmless the first time, and leaves a scope open the second time."""
    runs = 0

    def leaves() -> None:
        nonlocal runs
        runs += 1
        if runs > 1:
            trio.CancelScope().__enter__()

    async def awaits() -> None:
        leaves()

    return {
        "sync": leaves,
        "async": awaits,
        "step": step(awaits),
        "policies": step(awaits, retry=Retry(attempts=2, delay=1)),
    }[kind]


@pytest.mark.parametrize("kind", ["sync", "async", "step", "policies"])
async def test_function_that_is_trusted_is_found_out_at_the_end_of_a_stretch(kind: str) -> None:
    """A worker checks after 1, then 16, then 128 paths. The report names the stretch of paths."""
    events: list[Event] = []

    def path() -> None:
        pass

    leaves = leak_of(kind)
    paths = [path] * 10 + [leaves] + [path] * 40 + [leaves] + [path] * 28
    await fork("f", mode="all", paths=paths, concurrency=1).run(observers=[events.append])
    id = "leaves" if kind == "sync" else "awaits"
    (report,) = reports_of(events)
    assert report.startswith("path 'path#17' or … or ")
    assert f"{id}#2" not in report  # one of them, but they are too many to name each
    assert report.endswith("paths) of fork 'f' ended with its own cancel scope still open")


def all_of(first: int, last: int) -> str:
    return " or ".join(repr(f"path#{number}") for number in range(first, last + 1))


@pytest.mark.parametrize(
    ("trusted", "leaking", "names", "found_out"),
    [
        (False, 2, all_of(2, 17), 17),
        (False, 18, "'path#18' or … or 'path#145' (128 paths)", 145),
        (False, 146, "'path#146' or … or 'path#273' (128 paths)", 273),
        (True, 1, "'path' or … or 'path#128' (128 paths)", 128),
        (True, 129, "'path#129' or … or 'path#256' (128 paths)", 256),
    ],
)
async def test_worker_looks_for_open_scopes_after_1_and_16_and_from_then_on_every_128_paths(
    trusted: bool, leaking: int, names: str, found_out: int
) -> None:
    tasks, events = Tasks(), list[Event]()

    def path() -> None:
        tasks.note()
        if len(tasks.seen) == leaking:
            trio.CancelScope().__enter__()

    path.__code__ = path.__code__.replace()  # the tests have a code object each, so that none is trusted yet
    if trusted:  # then it looks every 128 paths from the start
        trust.trust(path.__code__)
    await fork("f", mode="all", paths=[path] * 300, concurrency=1).run(observers=[events.append])
    assert reports_of(events) == [f"path {names} of fork 'f' ended with its own cancel scope still open"]
    assert tasks.seen.index(tasks.seen[-1]) == found_out  # the first path of another worker


class BaseGroup(BaseExceptionGroup[BaseException]):
    """A group that is no `Exception`, although it may hold nothing else."""


@pytest.mark.parametrize("error", [KeyError(), BaseGroup("two", [KeyError()])], ids=["error", "group"])
async def test_function_that_is_trusted_is_found_out_at_once_when_it_fails(error: BaseException) -> None:
    events: list[Event] = []
    runs = 0

    def path() -> None:
        pass

    def leaves() -> None:
        nonlocal runs
        runs += 1
        if runs > 1:
            trio.CancelScope().__enter__()
            raise error

    paths = [path, leaves, path, path, leaves, path, path, path]
    await fork("f", mode="settle", paths=paths, concurrency=1).run(observers=[events.append])
    names = ["leaves", "path#2", "path#3", "leaves#2"]
    assert reports_of(events) == [
        f"path {' or '.join(map(repr, names))} of fork 'f' ended with its own cancel scope still open"
    ]


@pytest.mark.parametrize("limit", [None, 2])
async def test_open_scope_of_a_function_that_is_trusted_hits_nobody_in_a_small_fork(limit: int | None) -> None:
    first = True

    async def leaves() -> None:
        nonlocal first
        if first:
            first = False
            return
        trio.move_on_after(1).__enter__()

    async def sleeps() -> float:
        await trio.sleep(2)
        return trio.current_time()

    results = await settle(leaves, leaves, sleeps, sleeps, concurrency=limit)
    assert [result.status for result in results] == ["fulfilled"] * 4


async def test_small_fork_under_a_limit_starts_no_path_once_it_is_cancelled_from_outside() -> None:
    """A shielded path ends by itself, and its slot stays free."""
    started: list[str] = []

    async def shielded() -> str:
        started.append("shielded")
        with trio.CancelScope(shield=True):
            await trio.sleep(2)
        return "value"

    def queued() -> None:
        started.append("queued")

    disposed: list[object] = []
    with trio.move_on_after(1) as scope:
        await settle(shielded, shielded, queued, queued, concurrency=2, dispose=disposed.append)
    assert scope.cancelled_caught
    assert trio.current_time() == 2
    assert (started, disposed) == (["shielded"] * 2, ["value"] * 2)


async def test_small_race_under_a_limit_starts_no_path_once_it_is_won() -> None:
    started: list[str] = []

    async def wins() -> str:
        await trio.sleep(1)
        return "won"

    async def queued() -> str:
        started.append("queued")
        return "late"

    assert await race(wins, wins, queued, queued, concurrency=2) == "won"
    assert started == []


def test_functions_with_equal_code_are_trusted_one_by_one_and_are_forgotten_when_they_are_gone() -> None:
    """Nothing that is trusted is kept alive. Code that is equal is not the same code: its globals may differ."""
    source = "def path(): pass"
    one, other = compile(source, "one", "exec").co_consts[0], compile(source, "one", "exec").co_consts[0]
    assert one == other
    assert one is not other
    gc.collect()
    kept = len(trust._trusted)
    trust.trust(one)
    assert (trust.is_trusted(one), trust.is_trusted(other)) == (True, False)
    assert len(trust._trusted) == kept + 1
    del one
    gc.collect()
    assert len(trust._trusted) == kept


def _logged(fn: Callable[[], Any]) -> Callable[[], Any]:
    @wraps(fn)
    async def wrapper() -> Any:
        return await fn()

    return wrapper


def _inside(kind: str, functions: list[Any]) -> Any:
    """`functions` side by side, one at a time, each called by code that is the same for all of them."""
    settle_one_by_one: Any = {"mode": "settle", "concurrency": 1}
    if kind == "decorated":
        return fork("f", paths=list(map(_logged, functions)), **settle_one_by_one)
    if kind == "pipelines":
        return fork("f", paths=[Pipeline(f"p{i}").step("s", fn) for i, fn in enumerate(functions)], **settle_one_by_one)
    if kind == "members":
        return Pipeline("p").step("f", *functions, concurrency=1)
    if kind == "nested members":
        nested = [Pipeline(f"p{i}").step("s", fn) for i, fn in enumerate(functions)]
        return Pipeline("p").step("f", *nested, concurrency=1)
    if kind == "fork":
        return Pipeline("p").step("f", fork("f", paths=functions, **settle_one_by_one), provides="r")
    lazy = fork("f", paths=lambda _: iter(functions), **settle_one_by_one)
    return Pipeline("p").step("f", lazy, provides="r")


@pytest.mark.parametrize("kind", ["decorated", "pipelines", "members", "nested members", "fork", "lazy fork"])
async def test_open_scope_of_a_function_hits_nobody_where_other_code_calls_it(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = Tasks()

    async def leaves() -> None:
        await trio.lowlevel.checkpoint()
        tasks.note()
        trio.CancelScope(deadline=-inf).__enter__()

    async def path() -> None:
        tasks.note()
        await trio.lowlevel.checkpoint()

    await _inside(kind, [path] * 3)({})  # now its code, and ours around it, is known to be harmless
    tasks.seen.clear()
    await _inside(kind, [path, leaves, path, path])({})
    assert tasks.seen[1] not in tasks.seen[2:]
    assert len(tasks.seen) == 4
    assert "its own cancel scope still open" in caplog.text


async def test_open_scope_of_a_function_that_wraps_itself_is_found() -> None:
    tasks = Tasks()

    def leaves() -> None:
        tasks.note()
        trio.CancelScope().__enter__()

    leaves.__wrapped__ = leaves  # type: ignore[attr-defined]
    events = list[Event]()
    await fork("f", mode="all", paths=[tasks.note, leaves, tasks.note], concurrency=1).run(observers=[events.append])
    assert tasks.seen[1] not in tasks.seen[2:]
    assert reports_of(events) == ["path 'leaves' of fork 'f' ended with its own cancel scope still open"]
