"""The partial order of the steps of a run, compared with what follows from its definition."""

from __future__ import annotations

from itertools import permutations
from random import Random
from typing import Any

import pytest

from trio_steps.testing._footprints.footprints import Footprint
from trio_steps.testing._search import races as module
from trio_steps.testing._search.races import Races


def step(path: tuple[int, ...], touched: str = "", written: str = "", **more: Any) -> Footprint:
    return Footprint(
        **{
            "path": path,
            "enabled": (path,),
            "woken": 0,
            "epoch": 0,
            "touched": frozenset(touched + written),
            "written": frozenset(written),
            "ended": None,
            "reason": None,
            **more,
        }
    )


def drawn(seed: int) -> list[Footprint]:
    """Return up to six steps of up to three tasks, drawn by a seed."""
    draw = Random(seed)
    steps: list[Footprint] = []
    ended: set[tuple[int, ...]] = set()
    epoch = 0
    for number in range(draw.randrange(1, 7)):
        path = (0, draw.randrange(3))
        if path in ended:
            continue
        epoch += draw.random() < 0.1
        ends = draw.random() < 0.2
        ended |= {path} if ends else set()
        steps.append(
            step(
                path,
                "".join(draw.sample("abc", draw.randrange(2))),
                "".join(draw.sample("abc", draw.randrange(2))),
                woken=draw.randrange(min(number, len(steps)) + 1) if draw.random() < 0.3 else 0,
                epoch=epoch,
                ended=draw.choice(["one", "other"]) if ends else None,
            )
        )
    return steps


def wakers(steps: list[Footprint], number: int) -> set[int]:
    waker = steps[number].woken - 1
    if waker < 0:
        return set()
    nursery = steps[waker].ended
    with_it = {one for one in range(waker) if nursery is not None and steps[one].ended == nursery}
    return {waker, *with_it}


def orders_of(steps: list[Footprint]) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Return which steps have to come before which, and those of them that only depend on each other, directly."""
    comes_before: set[tuple[int, int]] = set()
    races: set[tuple[int, int]] = set()
    for later, second in enumerate(steps):
        for one in reversed(range(later)):
            first = steps[one]
            between = any((one, k) in comes_before and (k, later) in comes_before for k in range(one + 1, later))
            given = between or first.path == second.path or one in wakers(steps, later)
            depends = first.epoch != second.epoch or first.depends_on(second)
            if given or depends:
                comes_before.add((one, later))
            if depends and not given and first.epoch == second.epoch:
                races.add((one, later))
    return comes_before, races


@pytest.mark.parametrize("part", range(6))
def test_partial_order_is_what_follows_from_dependence(part: int) -> None:
    for seed in range(part * 50, part * 50 + 50):
        steps = drawn(seed)
        races = Races(steps)
        numbers = range(len(steps))
        comes_before, expected = orders_of(steps)
        assert set(races.found) == expected, seed
        assert len(races.found) == len(expected), seed
        told = {(one, other) for other in numbers for one in range(other) if races.comes_before(one, other)}
        assert told == comes_before, seed
        assert all(races.comes_before(one, one) and races.has(one, races) for one in numbers), seed
        for one, other in expected:
            after = races.reversed(one, other)
            assert after == [k for k in range(one, other) if k != one and (one, k) not in comes_before] + [other], seed
            firsts = [k for k in after if not any((before, k) in comes_before for before in after)]
            assert races.firsts(after) == firsts, seed
        if part < 3:
            ways = [
                order
                for order in permutations(numbers)
                if all(order.index(one) < order.index(other) for one, other in comes_before)
            ]
            assert races.orders() == len(ways), seed


def test_steps_that_swap_independent_ones_are_the_same_and_others_are_not() -> None:
    one, two, three = step((0, 0), "a"), step((0, 1), written="b"), step((0, 2), written="a")
    same = Races([one, two, three]).same
    assert Races([two, one, three]).same == Races([one, three, two]).same == same
    assert Races([three, one, two]).same != same
    assert Races([one, two]).same != same


def test_step_of_another_run_is_known_if_it_has_the_same_predecessors() -> None:
    one, two, three = step((0, 0), "a"), step((0, 1), written="b"), step((0, 2), written="a")
    races, other = Races([one, two, three]), Races([three, two, one])
    assert [races.has(number, other) for number in range(3)] == [False, True, False]


def test_orders_are_counted_up_to_twenty_thousand_states(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [step((0, number)) for number in range(4)]  # 4, 6, 4 and 1 states after 1, 2, 3 and 4 steps
    assert module._MOST == 20_000
    monkeypatch.setattr(module, "_MOST", 15)
    assert Races(steps).orders() == 24
    monkeypatch.setattr(module, "_MOST", 14)
    assert Races(steps).orders() is None
