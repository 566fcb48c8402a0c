"""Orders that only swap independent steps are tried once, and no bug is missed."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import generated
import pytest
import trio
from programs import ticks

from trio_steps import ConfigError
from trio_steps.testing import Probe, enumerate_schedules, explore
from trio_steps.testing._footprints import footprints as footprints_module
from trio_steps.testing._footprints.footprints import Footprints
from trio_steps.testing._machine.schedules import Follows
from trio_steps.testing._search import races as races_module


async def three_tasks(probe: Probe) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ticks, 2)


def test_three_independent_tasks_are_one_run() -> None:
    report = enumerate_schedules(three_tasks, reduce=True)
    assert (report.runs, report.saved, report.exhausted) == (1, 1679, True)
    assert (report.points, report.timeouts) == (0, 0)  # nothing is disturbed
    assert str(report) == (
        "three_tasks: nothing found in 1 runs (all interleavings of policy 'any', reduced: 1 that differ stand for "
        "1,680); stopped by having tried all that differ\n"
        "note: steps of different tasks count as independent if neither changes what the other can reach; "
        "of 11 steps, 0 count as dependent on all"
    )


async def lost_update(probe: Probe) -> None:
    account = {"balance": 0}

    async def deposit(amount: int) -> None:
        balance = account["balance"]
        await trio.lowlevel.checkpoint()
        account["balance"] = balance + amount

    async with trio.open_nursery() as nursery:
        nursery.start_soon(deposit, 1)
        nursery.start_soon(deposit, 2)
    assert account["balance"] == 3


def test_lost_update_is_found_and_only_orders_that_matter_are_run() -> None:
    report = enumerate_schedules(lost_update, reduce=True)
    assert [failure.invariant for failure in report.failures] == ["outcome"]
    # the order of reads does not matter, the order of writes does: 4 instead of 6
    assert "4 that differ stand for 6" in str(report)
    assert "of 18 steps, 0 count" in str(report)  # those that are the same as in the run before count once
    assert report.runs == 4


def test_order_that_is_known_by_another_way_is_not_run_again() -> None:
    """Ten fewer than if only the last choices were looked at, and thirteen fewer than if none was."""

    async def program(probe: Probe) -> None:
        logs: dict[str, list[int]] = {name: [] for name in "abc"}

        async def task(number: int, mine: list[list[int]]) -> None:
            for log in mine:
                log.append(number)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            for number, names in enumerate(["abc", "c", "a"]):
                nursery.start_soon(task, number, [logs[name] for name in names])

    report = enumerate_schedules(program, reduce=True)
    assert (report.runs, report.exhausted) == (55, True)


@pytest.mark.long
@pytest.mark.parametrize("policy", ["any", "batch"])
@pytest.mark.parametrize("part", range(10))
def test_generated_programs_come_to_the_same_ends(part: int, policy: str) -> None:
    reduced_runs = all_runs = 0
    for seed in range(part * 8, part * 8 + 8):
        full, ends = generated.outcomes(seed, policy=policy, budget=150)
        reduced, reduced_ends = generated.outcomes(seed, policy=policy, budget=300, reduce=True)
        assert reduced.exhausted or not full.exhausted, generated.plan_of(seed)
        if full.exhausted:
            assert reduced_ends == ends, generated.plan_of(seed)
            assert reduced.saved == full.runs - reduced.runs
            all_runs += full.runs
            reduced_runs += reduced.runs
        elif reduced.exhausted:
            assert ends <= reduced_ends, generated.plan_of(seed)
    assert reduced_runs <= all_runs


def test_generated_programs_come_to_more_than_one_end() -> None:
    """So that the comparison above is not empty."""
    ends = [len(generated.outcomes(seed, budget=50)[1]) for seed in range(40)]
    assert max(ends) >= 3
    assert min(ends) == 1


def test_what_trio_does_can_not_be_reduced() -> None:
    with pytest.raises(ConfigError, match=r'policy="trio" has two orders for each batch, .*: give "batch" or "any"$'):
        enumerate_schedules(three_tasks, policy="trio", reduce=True)


def test_batches_are_reduced_too() -> None:
    report = enumerate_schedules(three_tasks, policy="batch", reduce=True)
    assert (report.runs, report.saved) == (1, 6**3 - 1)


def test_reduction_stops_at_its_budget() -> None:
    report = enumerate_schedules(lost_update, reduce=True, budget=2)
    assert (report.runs, report.exhausted, report.stopped) == (2, False, "the budget of runs")
    assert "all" not in str(report).partition("\n")[0]


def test_orders_of_long_runs_are_tried_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprints_module, "_MOST", 3)
    report = enumerate_schedules(lost_update, reduce=True)
    assert (report.runs, report.exhausted) == (7, True)  # the first run, and all six orders
    assert "orders are no longer reduced, because a run has more than 3 steps" in str(report)
    assert report.failures


def test_number_of_orders_that_takes_too_long_to_count_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(races_module, "_MOST", 3)
    report = enumerate_schedules(three_tasks, reduce=True)
    assert "1 that differ stand for more than 1)" in str(report)


def test_program_that_is_not_deterministic_is_not_reduced() -> None:
    runs: list[int] = []

    async def program(probe: Probe) -> None:
        runs.append(1)
        shared: list[int] = []

        async def adds() -> None:
            shared.append(1)

        async with trio.open_nursery() as nursery:
            for _ in range(2 + (len(runs) > 1)):
                nursery.start_soon(adds)

    report = enumerate_schedules(program, reduce=True)
    assert "orders are no longer reduced, because the same choices led elsewhere" in str(report)

    async def ends_early(probe: Probe) -> None:
        runs.append(1)
        if len(runs) == 1:
            await lost_update(probe)

    runs.clear()
    assert "the same choices led elsewhere" in str(enumerate_schedules(ends_early, reduce=True))

    class Player:
        path = (0, 1)

    follows = Follows([(0, 2)], Footprints())
    assert follows.choose(0, [Player()], 1) == 0
    assert follows.strayed


def test_time_that_passes_separates_what_comes_before_and_after() -> None:
    async def sleeps(log: list[int], seconds: int) -> None:
        await trio.sleep(seconds)
        log.append(seconds)

    async def program(probe: Probe) -> list[int]:
        log: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleeps, log, 1)
            nursery.start_soon(sleeps, log, 2)
        return log

    assert enumerate_schedules(program, reduce=True).runs == 1


def test_timeout_that_fires_at_once_depends_on_all() -> None:
    async def program(probe: Probe) -> None:
        async def fires() -> None:
            nursery.cancel_scope.deadline = trio.current_time()
            await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fires)
            nursery.start_soon(ticks, 1)

    report = enumerate_schedules(program, reduce=True)
    assert "a timeout that fires at once" in str(report)
    assert report.exhausted


def test_end_of_a_task_depends_on_who_leaves_its_nursery_and_who_starts_another() -> None:
    """A closed nursery starts no task, and the last task of a nursery wakes its parent."""

    async def starts(nursery: trio.Nursery, log: list[str]) -> None:
        try:
            nursery.start_soon(trio.lowlevel.checkpoint)
        except RuntimeError:
            log.append("closed")

    async def program(probe: Probe) -> list[str]:
        log: list[str] = []
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            outer.start_soon(starts, inner, log)
            inner.start_soon(ticks, 1)
            await trio.lowlevel.checkpoint()
        return log

    full, reduced = enumerate_schedules(program), enumerate_schedules(program, reduce=True)
    assert reduced.exhausted
    assert reduced.saved == full.runs - reduced.runs > 0


def test_start_of_a_task_is_tried_before_the_last_task_of_its_nursery_ends_before_the_nursery_closes_and_after() -> (
    None
):
    async def closes(opened: list[trio.Nursery]) -> None:
        async with trio.open_nursery() as nursery:
            opened.append(nursery)
            nursery.start_soon(trio.lowlevel.checkpoint)

    async def starts(opened: list[trio.Nursery]) -> None:
        for nursery in opened:  # there is none if this task runs first
            with suppress(RuntimeError):
                nursery.start_soon(trio.lowlevel.checkpoint)

    async def program(probe: Probe) -> None:
        opened: list[trio.Nursery] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(closes, opened)
            nursery.start_soon(starts, opened)

    report = enumerate_schedules(program, reduce=True)
    assert report.exhausted
    assert report.runs == 4


def test_deadlock_is_found_and_what_ends_the_run_is_not_looked_at() -> None:
    async def takes(one: trio.Lock, other: trio.Lock) -> None:
        async with one, other:
            pass

    async def program(probe: Probe) -> None:
        locks = trio.Lock(), trio.Lock()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(takes, *locks)
            nursery.start_soon(takes, *locks[::-1])

    reduced, full = enumerate_schedules(program, reduce=True), enumerate_schedules(program)
    assert {failure.finding.key for failure in reduced.failures} == {failure.finding.key for failure in full.failures}
    assert reduced.exhausted


def test_profile_function_of_others_is_put_back() -> None:
    def profile(*_: Any) -> None: ...

    sys.setprofile(profile)
    try:
        enumerate_schedules(lost_update, reduce=True)
        assert sys.getprofile() is profile
    finally:
        sys.setprofile(None)


# exploring


def test_explore_tries_all_orders_that_differ_and_then_no_others() -> None:
    report = explore(lost_update, reduce=True, seed=3)
    assert [failure.finding.what for failure in report.failures] == ["AssertionError"]
    assert "all that differ, reduced: 4 that differ stand for 6" in str(report)
    assert report.runs == 300 + 4
    plain = explore(lost_update, seed=3)
    assert plain.runs == 300
    assert plain.saved == 0
    assert report.saved == 2


def test_explore_says_what_it_has_not_tried() -> None:
    report = explore(lost_update, reduce=True, budget=12)
    assert ", reduced: 2 that differ stand for " in str(report)
    assert "all that differ" not in str(report)
