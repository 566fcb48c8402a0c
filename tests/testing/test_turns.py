"""Whose turn it is, for each policy, and what is kept of each decision."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trio_steps.testing._machine.schedules import Script, Shuffled
from trio_steps.testing._machine.trace import first_difference
from trio_steps.testing._machine.turns import Turns


def turns_of(policy: Any, choices: dict[int, int] | None, told: list[Any] | None = None) -> Turns:
    def tell(players: Any, choice: int) -> None:
        assert told is not None
        told.append(("".join(player.name for player in players), choice))

    return Turns(None if choices is None else Script(choices), policy, None if told is None else tell)


def joins(turns: Turns, names: str) -> None:
    """Let players join, in any order, and sort them as the conductor does: by where they were spawned."""
    players: list[Any] = [SimpleNamespace(name=name, path=(0, ord(name))) for name in names]
    turns.queue += players
    turns.sort()
    turns.known = len(turns.queue)


def taken(turns: Turns, *joining: str) -> str:
    """Take players, each after others have joined, and return their names."""
    names: list[str] = []
    for those in joining:
        joins(turns, those)
        player: Any = turns.take()
        names.append(player.name)
    return "".join(names)


@pytest.mark.parametrize(
    ("policy", "choices", "order", "told", "options", "left_batch"),
    [
        ("any", {}, "abcde", [("abc", 0), ("bcd", 0), ("cde", 0), ("de", 0)], [3, 3, 3, 2], False),
        ("any", {0: 1, 2: 2}, "baecd", [("abc", 1), ("acd", 0), ("cde", 2), ("cd", 0)], [3, 3, 3, 2], True),
        ("batch", {}, "abcde", [("abc", 0), ("bc", 0), ("de", 0)], [3, 2, 2], False),
        ("batch", {0: 2, 1: 1, 2: 1}, "cbaed", [("abc", 2), ("ab", 1), ("de", 1)], [3, 2, 2], False),
        ("trio", {}, "abcde", [("abc", 0), ("de", 0)], [2, 2], False),
        ("trio", {0: 1}, "cbade", [("abc", 1), ("de", 0)], [2, 2], False),
        ("trio", {1: 1}, "abced", [("abc", 0), ("de", 1)], [2, 2], False),
    ],
)  # fmt: skip
def test_players_are_taken_by_the_policy_and_the_schedule(
    policy: str, choices: Any, order: str, told: Any, options: list[int], left_batch: bool
) -> None:
    heard: list[Any] = []
    turns = turns_of(policy, choices, heard)
    assert taken(turns, "cab", "d", "e", "", "") == order
    assert heard == told
    assert (turns.options, turns.deviations, turns.left_batch) == (options, choices, left_batch)
    assert (turns.queue, turns.known, turns.rest_of_batch) == ([], 0, 0)
    silent = turns_of(policy, choices)
    taken(silent, "cab", "d", "e", "", "")
    assert (silent.options, silent.deviations) == (options, choices)


@pytest.mark.parametrize(("policy", "options"), [("any", [3, 3, 3, 2]), ("batch", [3, 2, 2]), ("trio", [2, 2])])
def test_players_are_taken_in_order_without_a_schedule(policy: str, options: list[int]) -> None:
    turns = turns_of(policy, None)
    assert taken(turns, "cab", "d", "e", "", "") == "abcde"
    assert (turns.options, turns.deviations, turns.left_batch) == (options, {}, False)


@pytest.mark.parametrize("policy", ["any", "batch", "trio"])
def test_player_that_is_alone_is_no_decision(policy: str) -> None:
    turns = turns_of(policy, {0: 1})
    assert taken(turns, "a", "b", "c") == "abc"
    assert turns.options == []


def test_script_takes_the_nearest_choice_that_is_possible() -> None:
    assert [Script({0: choice}).choose(0, "abc", 3) for choice in range(5)] == [0, 1, 2, 2, 2]


def test_priorities_change_at_each_decision_up_to_the_length_and_at_no_other() -> None:
    drawn = {change for seed in range(300) for change in Shuffled(seed, 3, changes=4)._changes}
    assert drawn == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [("", "", None), ("abc", "abc", None), ("abc", "abd", 2), ("xbc", "abc", 0), ("abc", "ab", 2), ("", "abc", 0)],
)
def test_first_difference_of_two_stories_is_where_they_part(one: str, other: str, difference: int | None) -> None:
    assert first_difference(one, other) == first_difference(other, one) == difference
