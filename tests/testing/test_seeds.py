"""What a seed draws is always the same: a search that has found something finds it again, on any machine."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_steps.testing._machine.schedules import Shuffled
from trio_steps.testing._machine.settings import settings_of
from trio_steps.testing._search.order import pairs
from trio_steps.testing._search.phases import phases
from trio_steps.testing._search.search import Search

if TYPE_CHECKING:
    from trio_steps.testing import Probe
    from trio_steps.testing._machine.token import Trial


def drawn(schedule: Any) -> str:
    return "".join(str(schedule.choose(decision, "abc", 3)) for decision in range(12))


@pytest.mark.parametrize(
    ("seed", "changing", "constant"),
    [
        (0, "100211121022", "222100211121"),  # a random walk
        (1, "111100002221", "222222222222"),  # priorities, three of which change
        (2, "112222222000", "222222222222"),
        (3, "110101000210", "120110101000"),
        (4, "000221111111", "000000000000"),
        (5, "100000222111", "000000000000"),
    ],
)
def test_random_order_of_a_seed_is_this(seed: int, changing: str, constant: str) -> None:
    assert drawn(Shuffled(seed, 11, changes=3)) == changing
    assert drawn(Shuffled(seed, 11, changes=0)) == constant


def test_pairs_of_a_seed_are_these() -> None:
    assert list(pairs(4, 0)) == [(0, 3), (0, 3), (1, 3), (0, 3), (1, 2), (1, 2)]
    assert list(islice(pairs(5, 1), 5)) == [(2, 4), (0, 4), (0, 4), (2, 4), (0, 3)]
    assert list(pairs(2, 0)) == [(0, 1)]


async def program(probe: Probe) -> None:
    async def work() -> None:
        with trio.move_on_after(5):
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        nursery.start_soon(work)


def told(trial: Trial) -> str:
    recipe, schedule = trial
    what = recipe.token("").split(":")[2]
    if recipe.chance is not None:
        what += f" by {recipe.chance:.2f}"
    return what if schedule is None else f"{what} {drawn(schedule)}"


def test_search_of_a_seed_makes_these_runs() -> None:
    baseline = Search(program, settings_of("explore", {}), runs=10, seconds=60).baseline()
    assert (baseline.points, baseline.decisions) == (7, 2)
    made = [(phase.share, [told(trial) for trial in islice(phase._trials, 13)]) for phase in phases(baseline, 3, None)]
    assert made == [
        (10, ["trio,c0", "trio,c4", "trio,c2", "trio,c6", "trio,c1", "trio,c5", "trio,c3"]),
        (5, ["trio,t3.2", "trio,t3.3", "trio,t4.2", "trio,t4.3", "any,t2.2", "any,t5.3"]),
        (
            3,
            [
                *("trio,0-1", "batch 111111111111", "batch 111111111111", "any 111111111111", "any 111111111111"),
                *("trio,1-1", "batch 001111111111", "batch 001111111111", "any 001111111111", "any 001111111111"),
                *("batch 011111111111", "batch 011111111111", "any 011111111111"),
            ],
        ),
        (1, ["any 011111111111"] * 5 + ["any 111111111111"]),
        (
            3,
            [
                *("batch 120100211202", "batch,c4 122222222222", "any 001000012010"),
                *("any,t8.0 by 0.30 122222011111", "any 211102210110", "any,c1 221111111111"),
                *("any 222222222222", "any,t8.0 by 0.82 021122121002", "batch 111111111111"),
                *("batch,c5 000011111111", "any 110201102200", "any,t8.0 by 0.67 111022110010", "any 020100012100"),
            ],
        ),
    ]
