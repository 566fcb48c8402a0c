"""Enumerating, sweeping, exploring and minimising, and their budgets."""

from __future__ import annotations

import math

import pytest
import trio
import trio.testing
from programs import ticks

from trio_steps import ConfigError
from trio_steps.testing import (
    ExplorationError,
    Probe,
    enumerate_schedules,
    explore,
    run_once,
    sweep_cancellation,
    sweep_faults,
)
from trio_steps.testing._search import minimise as minimise

# enumeration


@pytest.mark.parametrize(
    ("tasks", "checkpoints", "count"), [(2, 0, 2), (2, 1, 6), (2, 2, 20), (2, 3, 70), (3, 0, 6), (3, 1, 90), (4, 0, 24)]
)
def test_enumeration_counts_what_theory_says(tasks: int, checkpoints: int, count: int) -> None:
    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(ticks, checkpoints)

    expected = math.factorial(tasks * (checkpoints + 1)) // math.factorial(checkpoints + 1) ** tasks
    report = enumerate_schedules(program)
    assert expected == count
    assert (report.schedules, report.exhausted, report.runs) == (count, True, count)
    assert "all interleavings" in str(report)


def test_enumeration_of_weaker_policies_has_fewer_orders() -> None:
    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticks, 1)
            nursery.start_soon(ticks, 1)
            nursery.start_soon(ticks, 1)

    assert enumerate_schedules(program, policy="batch").schedules == 36
    assert enumerate_schedules(program, policy="trio").schedules == 4


def test_enumeration_stops_at_its_budget_and_does_not_say_all() -> None:
    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticks, 3)
            nursery.start_soon(ticks, 3)

    report = enumerate_schedules(program, budget=10)
    assert (report.exhausted, report.runs) == (False, 10)
    assert "all" not in str(report)


def test_enumeration_does_not_stop_at_a_failure() -> None:
    async def program(probe: Probe) -> None:
        log: list[int] = []

        async def child(number: int) -> None:
            log.append(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, 1)
            nursery.start_soon(child, 2)
        assert log == [2, 1]

    report = enumerate_schedules(program)
    assert (report.exhausted, report.runs, len(report.failures)) == (True, 2, 1)


# exploring


def test_explore_says_all_only_of_a_program_with_one_order() -> None:
    async def program(probe: Probe) -> None:
        await trio.sleep(1)

    report = explore(program)
    assert report.exhausted
    assert report.stopped == "having tried everything"
    assert "every cancel point of this schedule" in str(sweep_cancellation(program))


def test_explore_stops_at_its_budgets() -> None:
    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticks, 3)
            nursery.start_soon(ticks, 3)

    report = explore(program, budget=40)
    assert (report.runs, report.stopped) == (40, "the budget of runs")
    assert explore(program, seconds=0).stopped == "the budget of time"


def test_sweep_of_more_points_than_its_budget_says_which_were_not_tried() -> None:
    async def program(probe: Probe) -> None:
        await ticks(10)

    report = sweep_cancellation(program, budget=4)
    assert (report.points, report.exhausted, report.stopped) == (4, False, "the budget")
    assert report.untried == (1, 3, 5, 6, 7, 9, 10)
    assert "4 of 11 cancel points, not those at 1, 3, 5-7, 9-10" in str(report)


def test_sweep_goes_on_after_a_first_run_that_fails() -> None:
    async def program(probe: Probe) -> None:
        conn = probe.resource("conn")
        await trio.sleep(1)
        conn.close()
        raise OSError("x")

    for report in (sweep_cancellation(program), sweep_faults(program), explore(program)):
        assert [failure.invariant for failure in report.failures] == ["outcome", "resource"]
        assert report.failures[0].run == 1
        with pytest.raises(ExplorationError, match="the program raised OSError"):
            report.raise_if_failed()


def test_report_without_failures_raises_nothing() -> None:
    async def program(probe: Probe) -> None: ...

    explore(program).raise_if_failed()


def test_failure_names_the_weakest_policy_and_the_least_schedule() -> None:
    async def program(probe: Probe) -> None:
        log: list[str] = []

        async def child(name: str) -> None:
            log.append(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, "a")
            nursery.start_soon(child, "b")
            nursery.start_soon(child, "c")
        assert log[0] != "c"

    failure = explore(program).failures[0]
    assert (failure.policy, failure.schedule) == ("trio", "FIFO except decision 0 → the batch reversed")

    async def finer(probe: Probe) -> None:
        log: list[str] = []

        async def child(name: str) -> None:
            log.append(name)

        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(child, name, name=name)
        assert log[0] != "b"

    failure = explore(finer).failures[0]
    assert (failure.policy, failure.schedule) == ("batch", "FIFO except decision 0 → task `b`")


def test_random_orders_find_what_needs_several_turns() -> None:
    async def program(probe: Probe) -> None:
        log: list[str] = []

        async def child(name: str) -> None:
            for _ in range(3):
                log.append(name)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(child, name, name=name)
        assert "".join(log) not in ("cbacbacab", "ccbbaacab")
        assert not "".join(log).startswith(("cabc", "cbbac"))

    report = explore(program, budget=300)
    assert report.failures[0].finding.invariant == "outcome"


def test_minimising_ends_with_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minimise, "_MOST", 0)

    async def program(probe: Probe) -> None:
        conn = probe.resource("conn")
        await trio.sleep(1)
        conn.close()

    assert explore(program).failures[0].token.split(":")[2] == "trio,c0"


def test_minimising_leaves_out_every_neighbourhood() -> None:
    left = list(minimise._without({1: 1, 3: 1, 5: 1, 7: 1, 9: 1}, 2))
    assert left == [{1: 1, 3: 1, 5: 1}, {1: 1, 7: 1, 9: 1}, {3: 1, 5: 1, 7: 1, 9: 1}]


@pytest.mark.parametrize("budget", [0, -1, math.nan, "60s"])
def test_budget_that_allows_no_run_is_refused(budget) -> None:
    with pytest.raises(ConfigError, match=r"^budget=.*: give the number of runs, 1 or more$"):
        explore(trio.sleep, budget=budget)


@pytest.mark.parametrize("allow", ["OSError", OSError(), [5], int])
def test_allow_of_what_are_no_error_types_is_refused(allow) -> None:
    with pytest.raises(ConfigError, match=r"give error types, allow=OSError or allow=\(OSError, ValueError\)$"):
        explore(trio.sleep, allow=allow)


def test_invariant_without_a_name_is_told_by_its_place() -> None:
    async def program(probe: Probe) -> None:
        probe.invariant(lambda: False)

    [finding] = run_once(program).findings
    assert finding.place is not None
    assert finding.place.line == program.__code__.co_firstlineno + 1
