"""Enumerating, sweeping, exploring and minimising, and their budgets."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import signal
import sys
from typing import Any

import pytest
import trio
import trio.testing
from programs import ticks

from trio_steps import ConfigError
from trio_steps.testing import (
    ExplorationError,
    Probe,
    check_determinism,
    enumerate_schedules,
    explore,
    run_once,
    sweep_cancellation,
    sweep_faults,
)
from trio_steps.testing._search import minimise as minimise
from trio_steps.testing._search import search as search_module

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
    assert (failure.policy, failure.schedule) == (
        "trio",
        "FIFO, except that a batch ran in reverse: child#3, child#2, child",
    )

    async def finer(probe: Probe) -> None:
        log: list[str] = []

        async def child(name: str) -> None:
            log.append(name)

        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(child, name, name=name)
        assert log[0] != "b"

    failure = explore(finer).failures[0]
    assert (failure.policy, failure.schedule) == ("batch", "FIFO, except that b went before a")


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
    assert list(minimise._without({1: 1, 3: 1, 5: 1, 7: 1}, 2)) == [{1: 1, 3: 1}, {5: 1, 7: 1}]
    assert list(minimise._without({1: 1, 3: 1}, 1)) == [{1: 1}, {3: 1}]
    assert list(minimise._without({1: 1, 3: 1}, 2)) == [{}]


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


# findings of one run, and of many


def test_minimiser_keeps_the_finding_that_it_was_given() -> None:
    """One order breaks both invariants. Each failure shows its own, with its own schedule."""

    async def program(probe: Probe) -> None:
        steps, lead = [0, 0], 0

        async def go(number: int) -> None:
            nonlocal lead
            for _ in range(6):
                await trio.lowlevel.checkpoint()
                steps[number] += 1
                lead = max(lead, abs(steps[0] - steps[1]))

        @probe.invariant
        def lead_of_3_loses_a_message() -> None:
            assert lead < 3

        @probe.invariant
        def lead_of_5_corrupts_the_file() -> None:
            assert lead < 5

        async with trio.open_nursery() as nursery:
            nursery.start_soon(go, 0)
            nursery.start_soon(go, 1)

    failures = explore(program).failures
    told = {failure.finding.message.split(":")[0]: failure.token for failure in failures}
    assert set(told) == {"lead_of_3_loses_a_message", "lead_of_5_corrupts_the_file"}
    assert len(set(told.values())) == 2


def test_every_cancel_point_of_a_program_of_two_hundred_is_tried_by_default() -> None:
    async def program(probe: Probe, bad: int) -> None:
        for number in range(200):
            if number == bad:
                conn = probe.resource("conn")
                await trio.lowlevel.checkpoint()
                conn.close()
            else:
                await trio.lowlevel.checkpoint()

    for bad in (101, 198):
        report = explore(functools.partial(program, bad=bad))
        assert [failure.invariant for failure in report.failures] == ["resource"]
        assert report.untried == ()


def test_report_says_which_cancel_points_were_not_tried() -> None:
    async def program(probe: Probe) -> None:
        await ticks(30)

    report = explore(program, budget=12)
    assert len(report.untried) == 21
    assert "cancelled at 10 of 31 points of FIFO (not at 1, 3, 5-7, " in str(report)
    assert not report.exhausted


def test_budget_of_time_reorders_as_much_as_one_of_runs() -> None:
    async def program(probe: Probe) -> None:
        seen: list[int] = []

        async def counts(number: int) -> None:
            await ticks(400)
            seen.append(number)

        @probe.invariant
        def in_order() -> None:
            assert seen in ([], [0], [0, 1])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(counts, 0)
            nursery.start_soon(counts, 1)

    report = explore(program, budget=40)
    assert [failure.invariant for failure in report.failures] == ["invariant"]
    assert len(report.untried) > 700


def test_findings_beyond_the_twentieth_are_counted() -> None:
    async def program(probe: Probe) -> None:
        for name in "abcdefghijklmnopqrstuvwxyz":
            probe.resource(name)

    report = explore(program, budget=2)
    assert len(report.failures) == 20
    assert "6 more findings are not shown" in str(report)


def test_check_of_determinism_compares_what_is_returned_and_raised() -> None:
    runs: list[int] = []

    async def returns(probe: Probe) -> int:
        await trio.sleep(1)
        runs.append(1)
        return len(runs)

    with pytest.raises(ExplorationError, match="led to another value\n  first  1\n  then   2"):
        check_determinism(returns)

    async def raises(probe: Probe) -> None:
        await trio.sleep(1)
        runs.append(1)
        raise OSError(len(runs))

    with pytest.raises(ExplorationError, match=r"led to another end\n  first  it raised OSError\(3\)\n"):
        check_determinism(raises)
    failures = explore(returns, budget=20).failures
    assert [failure.invariant for failure in failures] == ["determinism"]  # no cancellation is blamed for it


@pytest.mark.parametrize("runs", [1, 2, 3, 4])
def test_check_of_determinism_runs_the_program_as_often_as_it_is_told(runs: int) -> None:
    ran: list[int] = []

    async def program(probe: Probe) -> None:
        await trio.lowlevel.checkpoint()
        ran.append(1)

    check_determinism(program, runs=runs)
    assert len(ran) == runs


def test_minimiser_takes_what_it_has_when_its_budget_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def program(probe: Probe) -> None:
        log: list[str] = []

        async def child(name: str) -> None:
            log.append(name)

        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(child, name, name=name)
        assert log[0] != "b"

    monkeypatch.setattr(minimise, "_MOST", 0)
    assert explore(program, budget=100).failures[0].finding.invariant == "outcome"


def test_value_of_a_cancelled_program_is_not_judged_if_it_never_ends_well_undisturbed() -> None:
    async def program(probe: Probe) -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        if trio.current_effective_deadline() > 0:
            raise OSError
        return "cancelled"

    assert [failure.finding.what for failure in explore(program).failures] == ["OSError"]


# Ctrl-C, and progress


@pytest.mark.parametrize("function", [explore, sweep_cancellation, enumerate_schedules])
def test_ctrl_c_gives_what_was_found_so_far(function: Any) -> None:
    runs: list[int] = []

    async def program(probe: Probe) -> None:
        runs.append(1)
        if len(runs) == 5:
            raise KeyboardInterrupt
        probe.resource("conn")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticks, 3)
            nursery.start_soon(ticks, 3)

    with pytest.raises(KeyboardInterrupt) as caught:
        function(program)
    [note] = caught.value.__notes__
    assert note.startswith("program: 1 found in 5 runs (")
    assert "stopped by Ctrl-C" in note
    assert "RESOURCE: 'conn'" in note
    assert len(runs) == 5  # after Ctrl-C, nothing is minimised


async def swallows_ctrl_c(probe: Probe) -> None:
    probe.resource("conn")
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    await trio.sleep(1)


def test_ctrl_c_ends_a_search_though_the_program_swallows_it() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        sweep_cancellation(swallows_ctrl_c)
    assert caught.value.__notes__ == [
        "swallows_ctrl_c: nothing found in 1 runs (0 of the cancel points); stopped by Ctrl-C"
    ]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_of_the_program_is_its_own_if_it_is_allowed_or_handled_otherwise() -> None:
    assert len(sweep_cancellation(swallows_ctrl_c, allow=KeyboardInterrupt, budget=2).failures) == 1
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        assert len(sweep_cancellation(swallows_ctrl_c, budget=2).failures) == 1
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert len(pressed) > 2


def test_search_outside_of_the_main_thread_leaves_signals_alone() -> None:
    async def program(probe: Probe) -> None:
        await trio.sleep(1)

    async def main() -> bool:
        return (await trio.to_thread.run_sync(sweep_cancellation, program)).ok

    assert trio.run(main)


def test_sweep_that_is_stopped_amid_a_run_does_not_count_that() -> None:
    runs: list[int] = []

    async def program(probe: Probe) -> None:
        runs.append(1)
        if len(runs) == 4:
            raise KeyboardInterrupt
        await trio.sleep(1)

    with pytest.raises(KeyboardInterrupt) as caught:
        sweep_cancellation(program)
    assert caught.value.__notes__ == [
        "program: nothing found in 4 runs (2 of 3 cancel points, not those at 1); stopped by Ctrl-C"
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_wiped_out(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(search_module, "_EVERY", -1)

    async def program(probe: Probe) -> None:
        await ticks(3)

    sweep_cancellation(program)
    first, *_, last, wiped, end = terminal.getvalue().split("\r")[1:]
    assert first == "program: 1 runs, 0 found, 0 of 4 cancel points"
    assert last == "program: 4 runs, 0 found, 3 of 4 cancel points"
    assert (wiped, end) == (" " * len(last), "")


def test_progress_is_shown_to_nobody_else(capsys: pytest.CaptureFixture[str]) -> None:
    async def program(probe: Probe) -> None:
        await ticks(3)

    explore(program, budget=10)
    assert capsys.readouterr() == ("", "")
