"""How a failing run is made smaller: what is tried, in which order, and for how long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from trio_steps.testing._findings import Finding
from trio_steps.testing._machine.token import Recipe
from trio_steps.testing._search import minimise as module
from trio_steps.testing._search.minimise import minimise

if TYPE_CHECKING:
    from collections.abc import Callable

FINDING = Finding(invariant="m", message="this one")
OTHERS = [Finding(invariant="a", message="another"), Finding(invariant="z", message="another")]


class Fake:
    """A bench whose program fails with those recipes for which `fails` is true, and has other findings with all."""

    def __init__(self, fails: Callable[[Recipe], bool], makes: Callable[[Recipe], Recipe] = lambda recipe: recipe):
        self.runs = 500
        self.fails = fails
        self.makes = makes
        self.tried: list[str] = []

    def run(self, recipe: Recipe) -> Any:
        self.runs += 1
        self.tried.append(recipe.token("").split(":")[2])
        found = [*OTHERS, FINDING] if self.fails(recipe) else OTHERS
        return SimpleNamespace(recipe=self.makes(recipe), findings=found)


def minimised(bench: Any, recipe: Recipe) -> str:
    run: Any = SimpleNamespace(recipe=recipe, findings=[FINDING])
    return minimise(bench, run, FINDING).recipe.token("").split(":")[2]


def test_disturbance_is_left_out_first_then_the_policy_is_weakened_and_then_deviations_are_left_out() -> None:
    bench = Fake(lambda recipe: recipe.policy != "trio" and {3, 7} <= recipe.deviations.keys())
    recipe = Recipe(policy="any", deviations=dict.fromkeys((1, 3, 5, 7), 1), cancel_at=4)
    assert minimised(bench, recipe) == "batch,3-1,7-1"
    assert bench.tried == [
        "any,1-1,3-1,5-1,7-1",
        *("trio", "trio,1-1,3-1,5-1,7-1", "batch", "batch,1-1,3-1,5-1,7-1"),
        "batch",  # without all four
        *("batch,1-1,3-1", "batch,5-1,7-1"),  # without two neighbours
        *("batch,1-1,3-1,5-1", "batch,1-1,3-1,7-1"),  # without one: 5 goes
        *("batch,1-1,3-1", "batch,1-1,7-1", "batch,3-1,7-1"),  # 1 goes
        *("batch,3-1", "batch,7-1"),
    ]


def test_run_without_deviations_keeps_its_disturbance_if_it_needs_it() -> None:
    bench = Fake(lambda recipe: recipe.cancel_at == 4)
    assert minimised(bench, Recipe(policy="batch", cancel_at=4)) == "trio,c4"
    assert bench.tried == ["trio,c4"]


def test_undisturbed_run_is_not_tried_again_as_it_is() -> None:
    bench = Fake(lambda recipe: recipe.policy == "any" and recipe.deviations == {2: 1})
    assert minimised(bench, Recipe(policy="any", deviations={2: 1})) == "any,2-1"
    assert bench.tried == ["trio", "trio,2-1", "batch", "batch,2-1", "any"]


def test_run_that_has_made_as_many_deviations_again_is_no_smaller_one() -> None:
    recipe = Recipe(policy="trio", deviations={2: 1, 4: 1})
    bench = Fake(lambda _: True, makes=lambda _: recipe)
    assert minimised(bench, recipe) == "trio,2-1,4-1"
    assert bench.tried == ["trio", "trio,2-1", "trio,4-1"]


def test_minimising_makes_150_runs_at_most() -> None:
    bench = Fake(lambda _: False)
    many = Recipe(policy="trio", deviations=dict.fromkeys(range(1000), 1))
    assert minimised(bench, many) == many.token("").split(":")[2]
    assert bench.runs == 650


@pytest.mark.parametrize(("seconds", "runs"), [(1.0, 10), (1.5, 7), (20.0, 1)])
def test_minimising_takes_ten_seconds_at_most(monkeypatch: pytest.MonkeyPatch, seconds: float, runs: int) -> None:
    bench = Fake(lambda _: False)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: bench.runs * seconds))
    minimised(bench, Recipe(policy="trio", deviations=dict.fromkeys(range(1000), 1)))
    assert bench.runs == 500 + runs
