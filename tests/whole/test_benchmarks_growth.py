"""Benchmarks of inputs, copies and growth: which figures are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import growth, inputs
from benchmarks.measure import DifferentResultError, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.long  # the measured code runs many times

TINY = Settings(rounds=2, quick=True, scale=0.02)


def test_run_in_a_large_context_is_measured_against_one_in_a_small() -> None:
    (row,) = inputs.measure(["P12"], TINY)
    assert (row.key, row.limit, row.against, row.unit) == ("P12", 1.3, "5 keys", "run")


def test_copy_of_each_shape_is_measured_against_the_faster_of_two_others() -> None:
    rows = [*inputs.measure(["P13"], TINY)]
    assert [row.what.removeprefix("copy of ") for row in rows] == [*inputs.SHAPES]
    assert {(row.key, row.limit) for row in rows} == {("P13", 1.2)}
    assert {row.against for row in rows} <= {"pickle", "copy.deepcopy"}


def nothing(_value: object) -> dict[str, int]:
    return {}


def itself(value: object) -> object:
    return value


@pytest.mark.parametrize("cheat", [nothing, itself])
def test_copy_that_is_none_is_no_figure(cheat: Callable[[object], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(inputs.WAYS, inputs.OURS, cheat)
    with pytest.raises(DifferentResultError, match="copy"):
        inputs.copies(inputs.OURS, {"id": 1}).check()


def test_forks_that_fail_are_measured_against_what_really_ran() -> None:
    rows = [*growth.measure(["P18"], TINY)]
    assert [(row.key, row.limit, row.against) for row in rows] == [
        ("P18", 2.0, "10 paths"),
        ("P18", 2.0, "2 deep"),
        ("P18", 2.0, "an object each"),
    ]


def test_building_is_measured_against_half_as_many_steps() -> None:
    (row,) = growth.measure(["P19"], TINY)
    assert (row.key, row.limit, row.what, row.against) == ("P19", 1.3, "building a pipeline of 40 steps", "20 steps")
    growth.builds(20).check()


def test_depth_counts_the_forks_around_an_error() -> None:
    assert growth.deep(7, 1).sample(TINY) > 0
    assert growth.depth_of(ValueError()) == 0
