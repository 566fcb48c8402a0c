"""The order in which points are tried, and how the report lists those that were not."""

from __future__ import annotations

from itertools import pairwise

import pytest

from trio_steps.testing._search.order import bisection, pairs, ranges


@pytest.mark.parametrize("total", [0, 1, 2, 3, 7, 8, 9, 100])
def test_bisection_yields_every_number_once(total: int) -> None:
    assert sorted(bisection(total)) == list(range(total))


def test_bisection_is_spread_from_the_start() -> None:
    assert list(bisection(8)) == [0, 4, 2, 6, 1, 5, 3, 7]
    first = sorted(list(bisection(1000))[:32])
    assert max(later - earlier for earlier, later in pairwise(first)) <= 64


def test_pairs_are_drawn_and_not_listed() -> None:
    found = [pair for pair, _ in zip(pairs(10**6, 0), range(100), strict=False)]
    assert len(set(found)) == 100
    assert all(0 <= one < other < 10**6 for one, other in found)
    assert found[:50] == [pair for pair, _ in zip(pairs(10**6, 0), range(50), strict=False)]
    assert len(list(pairs(4, 0))) == 6
    assert list(pairs(1, 0)) == []


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], ""),
        ([3], "3"),
        ([3, 4, 5, 7], "3-5, 7"),
        (range(1000, 1003), "1000-1002"),
        (range(0, 20, 2), "0, 2, 4, 6, 8, 10, 12, 14, 16, 18"),
        (range(0, 40, 2), "0, 2, 4, 6, 8, 10, 12, 14, 16, 18, …"),
    ],
)
def test_ranges_are_told_shortly(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text
