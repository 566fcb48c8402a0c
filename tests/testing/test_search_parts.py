"""The parts of a search: the runs of each phase, the bench, the progress, and what two runs have in common."""

from __future__ import annotations

import io
import sys
from collections import Counter
from contextlib import suppress
from itertools import count, islice
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from programs import ticks

from trio_steps.testing import (
    ExplorationError,
    Explore,
    Probe,
    check_determinism,
    explore,
    replay,
    run_once,
    sweep_cancellation,
    sweep_faults,
    sweep_timeouts,
)
from trio_steps.testing._machine.settings import settings_of
from trio_steps.testing._machine.token import Recipe
from trio_steps.testing._search import bench as bench_module
from trio_steps.testing._search import explore as explore_module
from trio_steps.testing._search import phases as phases_module
from trio_steps.testing._search import replay as replay_module
from trio_steps.testing._search import search as search_module
from trio_steps.testing._search import sweep as sweep_module
from trio_steps.testing._search.bench import Bench
from trio_steps.testing._search.phases import RANDOM, Phase, Timeouts, phases
from trio_steps.testing._search.reduce import Orders
from trio_steps.testing._search.search import Search


async def nothing(probe: Probe) -> None: ...


def test_searches_try_as_much_as_is_documented() -> None:
    assert (explore_module.BUDGET, explore_module.SWEPT, sweep_module.MOST) == (300, 1000, 1000)


# Phases


def scope(number: int, first: int, last: int) -> Any:
    return SimpleNamespace(number=number, first=first, last=last)


def baseline(entered: list[Any] | None = None, between: list[bool] | None = None, **more: Any) -> Any:
    scopes = SimpleNamespace(entered=entered or [], between=between or [])
    return SimpleNamespace(scopes=scopes, **{"points": 7, "decisions": 3, **more})


def test_every_timeout_fires_once_at_every_point_at_which_it_could_first_those_between_two_batches() -> None:
    between = [number % 3 != 1 for number in range(41)]
    entered = [scope(10 + number, 3 * number, 3 * number + 2 * number) for number in range(9)]
    entered.append(scope(30, -1, -1))  # it could never fire
    timeouts = Timeouts(baseline(entered, between))
    pairs = {(point, one.number) for one in entered for point in range(one.first, one.last + 1) if point >= 0}
    made = [recipe for recipe, _ in timeouts.trials()]
    assert all(recipe.policy == ("trio" if between[recipe.expire_at or 0] else "any") for recipe in made)
    assert [recipe.policy for recipe in made] == sorted((recipe.policy for recipe in made), reverse=True)
    assert Counter((recipe.expire_at, recipe.scope) for recipe in made) == Counter(pairs)
    assert timeouts.total == len(pairs)


def test_phase_is_over_when_all_its_runs_were_made_however_many() -> None:
    trials: list[Any] = [(Recipe(cancel_at=number), None) for number in range(1000)]
    counted, endless = Phase("counted", 400, iter(trials), int("1000")), Phase("endless", 600, iter(trials))
    assert [len(list(counted.turn())) for _ in range(2)] == [400, 400]
    assert not counted.over
    assert len(list(counted.turn())) == 200
    assert counted.over
    assert [(len(list(endless.turn())), endless.over) for _ in range(3)] == [(600, False), (400, True), (0, True)]


def test_orders_that_deviate_are_tried_at_every_decision_of_the_weaker_policies() -> None:
    made = list(phases_module._delays(baseline()))
    assert Counter(recipe.policy for recipe, _ in made) == {"trio": 3, "batch": 12, "any": 12}
    assert len(list(phases_module._pairs(baseline(), 0))) == 15


def test_orders_that_differ_have_three_runs_in_each_turn() -> None:
    made = phases(baseline(), 0, Orders("any"))
    assert [phase.share for phase in made] == [10, 5, 3, 3, 1, 3]


@pytest.mark.parametrize("scopes", [0, 1])
def test_random_runs_have_a_timeout_at_random_if_there_is_any(scopes: int) -> None:
    run = baseline([scope(0, 2, 2)] * scopes, [True] * 7)
    [phase] = [phase for phase in phases(run, 0, None) if phase.name == RANDOM]
    made = [recipe for recipe, _ in islice(phase._trials, 80)]
    assert sum(recipe.chance is not None for recipe in made) == 20 * scopes
    assert sum(recipe.cancel_at is not None for recipe in made) == 40 - 20 * scopes


# Exploring


async def leaks(probe: Probe) -> None:
    conn = probe.resource("conn")
    await ticks(30)
    conn.close()


async def swallows(probe: Probe) -> None:
    with suppress(trio.Cancelled):
        await ticks(30)


@pytest.mark.parametrize("program", [leaks, swallows])
def test_runs_with_other_findings_than_a_livelock_do_not_end_a_turn(
    monkeypatch: pytest.MonkeyPatch, program: Any
) -> None:
    tried: list[bool] = []
    run = Bench.run

    def watched(self: Bench, recipe: Recipe, **options: Any) -> Any:
        tried.append(recipe.cancel_at is not None)
        return run(self, recipe, **options)

    monkeypatch.setattr(Bench, "run", watched)
    report = explore(program, budget=12)
    assert report.failures
    assert tried[:12] == [False, False] + [True] * 10


def test_kind_of_runs_that_livelocks_has_one_run_in_each_turn_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = ""
    run = Bench.run

    def watched(self: Bench, recipe: Recipe, **options: Any) -> Any:
        nonlocal tried
        tried += "c" if recipe.cancel_at is not None else "-" if recipe.expire_at is None else "t"
        return run(self, recipe, **options)

    async def program(probe: Probe) -> None:
        try:
            await ticks(1)
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await ticks(10_000)
            raise
        with trio.move_on_after(1000):
            await ticks(30)

    monkeypatch.setattr(Bench, "run", watched)
    report = explore(program, budget=20, max_steps=500)
    assert [failure.invariant for failure in report.failures] == ["livelock"]
    assert tried[:20] == "--c" + "tttttc" * 2 + "ttttt"


def test_only_cancellations_and_lone_timeouts_of_first_come_first_served_count_as_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[Recipe, Any]] = []
    run = Bench.run

    def watched(self: Bench, recipe: Recipe, **options: Any) -> Any:
        made.append((recipe, run(self, recipe, **options)))
        return made[-1][1]

    async def program(probe: Probe) -> None:
        with trio.move_on_after(1000):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ticks, 60)
                nursery.start_soon(ticks, 60)

    monkeypatch.setattr(Bench, "run", watched)
    report = explore(program, budget=90)
    cancelled = {recipe.cancel_at for recipe, run in made if recipe.policy == "trio" and run.injected}
    lone = [recipe for recipe, run in made if recipe.chance is None and run.expired is not None]
    random = [recipe for recipe, run in made if recipe.policy != "trio" and run.injected]
    by_chance = [recipe for recipe, run in made if recipe.chance is not None and run.expired is not None]
    assert random
    assert by_chance
    assert set(report.untried) == set(range(made[0][1].points)) - cancelled
    assert (report.points, report.timeouts) == (len(cancelled) + len(lone), len(lone))


def test_ctrl_c_in_the_first_run_of_an_exploration_says_that_nothing_was_tried() -> None:
    async def program(probe: Probe) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        explore(program)
    assert caught.value.__notes__ == [
        "program: nothing found in 1 runs (0 orders undisturbed, cancelled at 0 of 0 points of FIFO); stopped by Ctrl-C"
    ]


def test_only_a_sweep_of_timeouts_counts_timeouts() -> None:
    async def program(probe: Probe) -> None:
        with trio.move_on_after(5):
            await trio.sleep(1)

    sweeps = sweep_cancellation(program), sweep_faults(program, allow=Exception), sweep_timeouts(program)
    assert {(report.stopped, report.exhausted) for report in sweeps} == {("the end of the sweep", True)}
    assert [report.timeouts == report.points > 0 for report in sweeps] == [False, False, True]
    assert [report.timeouts for report in sweeps[:2]] == [0, 0]


def test_failure_has_the_number_of_the_first_run_that_shows_it() -> None:
    async def program(probe: Probe) -> None:
        for name in "abcdef":
            conn = probe.resource(name)
            await trio.lowlevel.checkpoint()
            conn.close()

    report = sweep_cancellation(program)
    assert [(failure.run, failure.finding.message[1]) for failure in report.failures] == [
        *[(2, "a"), (3, "d"), (4, "b"), (5, "f"), (7, "e"), (8, "c")]  # point 1 is in "a" too
    ]


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_each_of_two_findings_of_one_run_is_told(names: str) -> None:
    async def program(probe: Probe) -> None:
        for name in names:
            probe.resource(name)

    report = explore(program, budget=2)
    assert [failure.finding.message[1] for failure in report.failures] == list(names)


# The bench


def bench_of(program: Any, **options: Any) -> Bench:
    return Bench(program, settings_of("explore", options))


def test_one_run_is_a_budget() -> None:
    assert explore(nothing, budget=1).runs == 1


def test_garbage_is_collected_after_every_64_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    collected: list[tuple[int, int]] = []
    bench = bench_of(nothing)
    monkeypatch.setattr(bench_module, "perform", lambda *_, **__: run_with(None))
    fake = SimpleNamespace(collect=lambda generation: collected.append((bench.runs, generation)))
    monkeypatch.setattr(bench_module, "gc", fake)
    for _ in range(130):
        bench.run(Recipe())
    assert collected == [(64, 1), (128, 1)]


def run_with(value: object, **more: Any) -> Any:
    run = {"notes": (), "ignored": (), "error": None, "cancelled": False, "disturbed": False, "findings": ()}
    return SimpleNamespace(**{**run, "value": value, "order": (value,), **more})


def test_hundred_values_are_known_and_five_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    values = count()
    monkeypatch.setattr(bench_module, "perform", lambda *_, **__: run_with(next(values)))
    bench = bench_of(nothing)
    for _ in range(99):
        bench.run(Recipe())
    assert len(bench._known) == 99
    for _ in range(9):
        bench.run(Recipe())
    assert bench._known == list(range(100))
    disturbed = run_with("x", recipe=Recipe(cancel_at=1), injected=True)
    finding = bench._judge_value(disturbed)
    assert finding is not None
    assert finding.message == "cancelled, the program returned 'x'; undisturbed, it returns 0 or 1 or 2 or 3 or 4"


# Progress


class Terminal(io.StringIO):
    is_one = True

    def isatty(self) -> bool:
        return self.is_one


def test_progress_is_shown_every_fifth_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=10.0)
    terminal, file = Terminal(), Terminal()
    file.is_one = False
    monkeypatch.setattr(search_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    searches: list[Search] = []
    for stream in (terminal, file):
        monkeypatch.setattr(sys, "stderr", stream)
        searches.append(Search(nothing, settings_of("explore", {}), runs=9, seconds=60))
    monkeypatch.setattr(sys, "stderr", terminal)
    for clock.now in (10.0, 10.125, 10.0 + 0.2, 10.25, 10.375, 10.5, 12.0):
        searches[0].show(f"at {clock.now}")
    shown = [line.split(", ")[-1] for line in terminal.getvalue().split("\r")[1:]]
    assert shown == ["at 10.2", "at 10.5", "at 12.0"]
    monkeypatch.setattr(sys, "stderr", file)
    searches[1].show("now")
    assert file.getvalue() == ""


# Single runs


def test_run_with_a_seed_changes_priorities_within_its_first_fifty_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    real = replay_module.Shuffled
    monkeypatch.setattr(replay_module, "Shuffled", lambda *args: asked.append(args) or real(*args))
    run_once(nothing)
    assert asked == []
    run_once(nothing, seed=3)
    assert asked == [(3, 50)]


@pytest.mark.parametrize("digits", ["0000", "ffff"])
def test_token_of_a_run_that_was_another_is_noted(digits: str) -> None:
    token = run_once(nothing).token
    assert replay(nothing, token).notes == ()
    mark = token.rpartition(":")[2]
    other = token.removesuffix(mark) + digits + mark[4:]
    [note] = replay(nothing, other).notes
    assert note.startswith("the program ran differently when this token was made")


@pytest.mark.parametrize("numbers", [(1, 2), (2, 1)])
def test_check_of_determinism_finds_another_error_whichever_comes_first(numbers: tuple[int, int]) -> None:
    left = list(numbers)

    async def raises(probe: Probe) -> None:
        raise OSError(left.pop(0))

    with pytest.raises(ExplorationError, match="led to another end"):
        check_determinism(raises, runs=2)


def test_check_of_determinism_lets_a_program_raise_the_same_error_each_time() -> None:
    async def raises(probe: Probe) -> None:
        await trio.sleep(1)
        raise OSError("no")

    check_determinism(raises)


@pytest.mark.parametrize("disturbed", [False, True])
def test_run_of_a_token_counts_as_a_point_if_it_is_disturbed_and_as_an_order_if_not(disturbed: bool) -> None:
    async def program(probe: Probe) -> None:
        conn = probe.resource("conn")
        await ticks(1)
        if disturbed:
            conn.close()

    token = explore(program, budget=5).failures[0].token
    report = Explore(token)._replay(program, token, {})
    assert (report.runs, report.points, report.schedules) == (1, int(disturbed), int(not disturbed))
    assert (report.exhausted, len(report.failures)) == (False, 1)
