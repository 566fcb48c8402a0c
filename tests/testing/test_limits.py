"""How much a run may do and how much is looked at: exactly as much as is said, and no more."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest
import trio
from programs import ticks

from trio_steps.testing import Probe, enumerate_schedules, run_once
from trio_steps.testing._footprints import footprints
from trio_steps.testing._footprints.reach import Reach
from trio_steps.testing._machine import conductor
from trio_steps.testing._machine.hearing import Hearing
from trio_steps.testing._places import Place
from trio_steps.testing._search.reduce import Orders


async def never_ends(probe: Probe) -> None:
    with trio.CancelScope(shield=True):
        while True:
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("steps", [1, 2, 10, 40])
def test_cancelled_program_may_take_a_thousand_steps_more_than_three_times_those_before(steps: int) -> None:
    [finding] = run_once(never_ends, cancel_at=steps).findings
    assert finding.invariant == "livelock"
    allowed = 3 * steps + 1000
    assert finding.message.split("\n")[0] == f"the program has not ended after {allowed} steps, after it was cancelled"


def test_cancelled_program_may_take_no_more_steps_than_any() -> None:
    [finding] = run_once(never_ends, cancel_at=5, max_steps=100).findings
    assert finding.message.startswith("the program has not ended after 100 steps, after it was cancelled")


def test_program_that_is_given_up_is_ended_by_force_after_a_thousand_steps_more() -> None:
    went: list[int] = []

    async def program(probe: Probe) -> None:
        with trio.CancelScope(shield=True):
            while True:
                went.append(1)
                await trio.lowlevel.checkpoint()

    [finding] = run_once(program, max_steps=50).findings
    assert finding.invariant == "livelock"
    assert len(went) == 50 + 1000


@pytest.mark.parametrize(("seconds", "invariants"), [(60, []), (60.5, ["livelock"])])
def test_cancelled_program_may_take_its_seconds_and_no_longer(seconds: float, invariants: list[str]) -> None:
    async def program(probe: Probe) -> None:
        await trio.sleep(1)
        with trio.CancelScope(shield=True):
            await trio.sleep(seconds)
        await trio.lowlevel.checkpoint()

    run = run_once(program, cancel_at=3, max_seconds=60)
    assert run.injected
    assert [finding.invariant for finding in run.findings] == invariants


# What is looked at


@pytest.mark.parametrize(("steps", "is_too_long"), [(1000, False), (1001, True)])
def test_orders_of_runs_of_up_to_a_thousand_steps_are_reduced(steps: int, is_too_long: bool) -> None:
    async def program(probe: Probe) -> None:
        await ticks(steps - 1)

    report = enumerate_schedules(program, reduce=True)
    assert ("because a run has more than 1,000 steps" in str(report)) is is_too_long
    assert footprints._MOST == 1000


def test_step_that_can_reach_more_than_five_thousand_objects_is_unknown() -> None:
    reach = Reach({})
    reach.follow([[[] for _ in range(4999)]])
    assert (reach.reason, len(reach.touched)) == (None, 5000)
    reach = Reach({})
    reach.follow([[[] for _ in range(5000)]])
    assert reach.reason == "more than 5,000 objects that it can reach"


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        ("", ""),
        ("a", ", because of a"),
        ("abcbe", ", because of b, a, c, e"),
        ("edcba", ", because of a, b, c, d, e"),
        ("fedcbaf", ", because of f, a, b, c, d, and 1 more"),
        ("gfedcba", ", because of a, b, c, d, e, and 2 more"),
    ],
)
def test_five_reasons_are_told_the_most_frequent_first(reasons: str, told: str) -> None:
    orders = Orders("any")
    for reason in reasons:
        orders._reasons[reason] = orders._reasons.get(reason, 0) + 1
    assert orders._why() == told


def test_three_callers_of_a_line_are_told() -> None:
    place: Place | None = None
    stories: list[str] = []
    for line in range(1, 7):
        place = Place("f.py", line, f"at_{line}", place)
        stories.append(place.story)
    assert stories[0] == "f.py:1 in at_1"
    assert stories[2] == "f.py:3 in at_3 ← f.py:2 in at_2 ← f.py:1 in at_1"
    assert stories[5] == "f.py:6 in at_6 ← f.py:5 in at_5 ← f.py:4 in at_4 ← f.py:3 in at_3"
    assert place is not None
    assert place.outermost.line == 1


@pytest.mark.parametrize("origins", [False, True])
@pytest.mark.parametrize("collects", [False, True])
def test_settings_of_python_are_those_of_a_run_meanwhile_and_put_back(origins: bool, collects: bool) -> None:
    def settings() -> tuple[Any, ...]:
        return sys.unraisablehook, sys.get_coroutine_origin_tracking_depth(), gc.isenabled()

    hook = sys.unraisablehook
    depth, was_enabled = sys.get_coroutine_origin_tracking_depth(), gc.isenabled()
    (gc.enable if collects else gc.disable)()
    sys.set_coroutine_origin_tracking_depth(7)
    try:
        with Hearing(set()).listening(origins=origins):
            assert settings() == (sys.unraisablehook, int(origins), False)
            assert sys.unraisablehook is not hook
        assert settings() == (hook, 7, collects)
    finally:
        sys.set_coroutine_origin_tracking_depth(depth)
        (gc.enable if was_enabled else gc.disable)()


def test_garbage_of_a_run_is_reported_in_this_run() -> None:
    async def program(probe: Probe) -> None:
        circle: list[Any] = [ticks(1)]
        circle.append(circle)

    [finding] = run_once(program).findings
    assert finding.message == "coroutine 'ticks' was never awaited"


def test_doubt_is_about_the_last_step() -> None:
    made = footprints.Footprints()
    one: Any = footprints.Footprint(
        path=(0,),
        enabled=((0,),),
        woken=0,
        epoch=0,
        touched=frozenset(),
        written=frozenset(),
        ended=None,
        reason=None,
    )
    made.steps += [one, one, one]
    made.doubt("why")
    assert [step.reason for step in made.steps] == [None, None, "why"]


def test_what_a_task_waits_for_is_looked_at_once_for_each_step_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    outside = conductor.outside

    def told(tasks: Any) -> Any:
        listed = list(tasks)
        looked.append(len(listed))
        return outside(listed)

    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(trio.sleep, 100)
            for _ in range(4):
                await trio.sleep(1)

    monkeypatch.setattr(conductor, "outside", told)
    assert run_once(program).findings == ()
    assert looked[:5] == [9, 1, 1, 1, 1]
