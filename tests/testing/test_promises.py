"""The promises about searches: budgets, points, findings, and calls that fail."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from programs import ticks

from trio_steps.testing import Probe, explore, sweep_faults
from trio_steps.testing._search import bench
from trio_steps.testing._search import explore as explore_module

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def three_bugs(probe: Probe) -> None:
    """One shown by a cancellation, one by a timeout, and one by another order."""
    log: list[int] = []

    async def opens() -> None:
        conn = probe.resource("conn")
        await ticks(3)
        conn.close()
        log.append(1)

    async def waits() -> None:
        slot = trio.Semaphore(1)
        probe.watch(slot)
        with trio.move_on_after(5):
            await slot.acquire()
            await ticks(4)
            slot.release()
        log.append(2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(opens)
        nursery.start_soon(waits)
    assert log == [1, 2]


@pytest.mark.parametrize("runs", [10, 35, 90])
def test_budget_of_time_finds_what_as_many_runs_find(monkeypatch: pytest.MonkeyPatch, runs: int) -> None:
    by_runs = explore(three_bugs, budget=runs)
    made: list[int] = []
    run = bench.Bench.run

    def counted(self: bench.Bench, recipe: Any, **options: Any) -> Any:
        made.append(1)
        return run(self, recipe, **options)

    monkeypatch.setattr(bench.Bench, "run", counted)
    monkeypatch.setattr(bench, "time", SimpleNamespace(monotonic=lambda: float(len(made))))
    by_time = explore(three_bugs, budget=10**9, seconds=runs)
    assert by_time.stopped == "the budget of time"
    assert by_time.runs == by_runs.runs == runs
    assert [failure.text for failure in by_time.failures] == [failure.text for failure in by_runs.failures]


def test_explore_finds_one_bug_of_each_phase() -> None:
    failures = explore(three_bugs).failures
    assert {failure.invariant for failure in failures} >= {"resource", "lock", "outcome"}


@pytest.mark.long
def test_every_cancel_point_of_a_program_of_a_thousand_is_tried_by_default() -> None:
    async def program(probe: Probe) -> None:
        await ticks(997)
        conn = probe.resource("conn")
        await trio.lowlevel.checkpoint()  # the last point but one, which comes late in any spread order
        conn.close()
        await trio.lowlevel.checkpoint()

    report = explore(program)
    assert report.untried == ()
    assert "cancelled at 1000 of 1000 points of FIFO" in str(report)
    assert [failure.invariant for failure in report.failures] == ["resource"]


def test_report_says_which_points_of_a_larger_program_were_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explore_module, "SWEPT", 10)
    monkeypatch.setattr(explore_module, "BUDGET", 12)

    async def program(probe: Probe) -> None:
        await ticks(30)

    report = explore(program)
    assert report.stopped == "the budget of runs"
    assert len(report.untried) == 31 - 10
    assert "cancelled at 10 of 31 points of FIFO (not at " in str(report)


@pytest.mark.parametrize(("points", "cancelled", "timeouts"), [(40, 20, 10), (13, 14, 10)])
def test_search_without_a_budget_ends_when_so_many_points_and_timeouts_were_tried_or_all(
    monkeypatch: pytest.MonkeyPatch, points: int, cancelled: int, timeouts: int
) -> None:
    """They take turns of ten and five, and so one has tried more when the other has tried enough."""
    monkeypatch.setattr(explore_module, "SWEPT", 10)
    monkeypatch.setattr(explore_module, "BUDGET", 12)

    async def program(probe: Probe) -> None:
        with trio.move_on_after(100):
            await ticks(points)

    report = explore(program)
    assert report.stopped == "the budget of runs"
    assert (report.points - report.timeouts, report.timeouts) == (cancelled, timeouts)


def test_two_findings_of_one_kind_are_two_findings() -> None:
    async def program(probe: Probe) -> None:
        first = probe.resource("first")
        await trio.lowlevel.checkpoint()
        first.close()
        second = probe.resource("second")
        await trio.lowlevel.checkpoint()
        second.close()

    failures = explore(program).failures
    assert [failure.invariant for failure in failures] == ["resource", "resource"]
    assert len({failure.token for failure in failures}) == 2
    assert {failure.finding.message.split(",")[0] for failure in failures} == {"'first'", "'second'"}


def test_finding_ends_no_search() -> None:
    async def program(probe: Probe, wrong: bool) -> None:
        await three_bugs(probe)
        assert not wrong

    async def right(probe: Probe) -> None:
        await program(probe, False)

    async def wrong(probe: Probe) -> None:
        await program(probe, True)

    for function in (right, wrong):
        report = explore(function, budget=150)
        assert report.runs == 150
        assert report.untried == ()


# calls that fail


async def lock(block: bool) -> None:
    made = trio.Lock()
    await released_by_another(made, made.release, block)


async def semaphore(block: bool) -> None:
    made = trio.Semaphore(1)
    await released_by_another(made, made.release, block)


async def released_by_another(made: Any, release: Callable[[], None], block: bool) -> None:
    async def holds(*, task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope(shield=True):
            made.acquire_nowait()
            task_status.started()
            await trio.testing.wait_all_tasks_blocked()
            release()

    async with trio.open_nursery() as nursery:
        if block:
            await nursery.start(holds)
        await made.acquire()
        release()


async def event(block: bool) -> None:
    made = trio.Event()
    async with trio.open_nursery() as nursery:
        if block:
            nursery.start_soon(sets, made)
        else:
            made.set()
        await made.wait()
        nursery.cancel_scope.cancel()


async def sets(made: trio.Event) -> None:
    made.set()


async def sends(block: bool) -> None:
    send, receive = trio.open_memory_channel[int](0 if block else 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(takes, receive)
        await send.send(1)


async def takes(receive: trio.MemoryReceiveChannel[int]) -> None:
    with trio.CancelScope(shield=True):
        await receive.receive()


async def receives(block: bool) -> None:
    send, receive = trio.open_memory_channel[int](1)
    if not block:
        send.send_nowait(1)
    async with trio.open_nursery() as nursery:
        if block:
            nursery.start_soon(gives, send)
        await receive.receive()


async def gives(send: trio.MemorySendChannel[int]) -> None:
    send.send_nowait(1)


async def limiter(block: bool) -> None:
    del block
    async with trio.CapacityLimiter(1):
        pass


async def sleeps(block: bool) -> None:
    await trio.sleep(1 if block else 0)


async def checkpoints(block: bool) -> None:
    if block:
        await trio.lowlevel.checkpoint_if_cancelled()
    else:
        await trio.lowlevel.checkpoint()


async def stream(block: bool) -> None:
    one, other = trio.testing.memory_stream_pair()
    await one.send_all(b"x")
    if block:
        await other.receive_some()


CALLS = (lock, semaphore, event, sends, receives, limiter, sleeps, checkpoints, stream)


@pytest.mark.parametrize("block", [False, True], ids=["at once", "waits"])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_every_call_that_could_fail_fails(call: Callable[[bool], Awaitable[None]], block: bool) -> None:
    async def program(probe: Probe) -> None:
        conn = probe.resource("conn")
        await call(block)
        conn.close()

    report = sweep_faults(program, OSError)
    assert report.exhausted
    assert "resource" in [failure.invariant for failure in report.failures]
