"""Schedules: which task runs next."""

from __future__ import annotations

from trio_steps.testing._machine.schedules import Delays, Script


def test_script_is_first_come_first_served_but_for_what_it_says() -> None:
    script = Script({1: 2, 3: 9})
    assert [script.choose(decision, "abc", 3) for decision in range(4)] == [0, 2, 0, 2]


def test_short_delay_puts_a_player_behind_those_who_wait_now() -> None:
    delays = Delays([0], long=False)
    assert delays.choose(0, "abc", 3) == 1  # b; a comes after it and c
    assert delays.choose(1, "acd", 3) == 1  # c
    assert delays.choose(2, "ad", 2) == 0


def test_long_delay_puts_a_player_behind_all() -> None:
    delays = Delays([0], long=True)
    assert delays.choose(0, "abc", 3) == 1
    assert delays.choose(1, "acd", 3) == 1
    assert delays.choose(2, "ade", 3) == 1
    assert delays.choose(3, "a", 1) == 0
    assert delays.choose(4, "ab", 2) == 0  # a has had its turn


def test_no_delay_is_first_come_first_served() -> None:
    delays = Delays([5], long=True)
    assert [delays.choose(decision, "abc", 3) for decision in range(4)] == [0, 0, 0, 0]
