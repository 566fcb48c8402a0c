"""When a run is disturbed, and what becomes of the resulting `Cancelled`; without a run."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from trio_steps.testing._machine import disturbance as module
from trio_steps.testing._machine.disturbance import INJECTED, Disturbance
from trio_steps.testing._machine.token import Recipe


class Story:
    def __init__(self) -> None:
        self.said: list[tuple[float, str]] = []

    def says(self, now: float, what: str) -> None:
        self.said.append((now, what))

    def whereabouts(self, players: Any, last: Any) -> str:
        return f"{players} after {last}"


class Expired:
    place = None
    has_caught = False
    passed_on = False
    around = True

    def __init__(self) -> None:
        self.at: list[float] = []

    def expire(self, now: float) -> None:
        self.at.append(now)

    def is_around(self, player: Any) -> bool:
        return self.around

    def __str__(self) -> str:
        return "a timeout in task x"


class Scopes:
    shielded = False
    alone = True

    def __init__(self, found: Expired | None = None) -> None:
        self.found = found
        self.asked: list[Any] = []
        self.reached_by: list[Any] = []

    def at(self, number: int) -> Any:
        self.asked.append(number)
        return self.found

    def any(self, chance: float) -> Any:
        self.asked.append(f"by chance {chance}")
        return self.found

    def is_alone(self, *_: Any) -> bool:
        return self.alone

    def reached(self, player: Any) -> None:
        self.reached_by.append(player)


def disturbance(recipe: Recipe, scopes: Any = None) -> tuple[Disturbance, Story]:
    story: Any = Story()
    return Disturbance(recipe, SimpleNamespace(), scopes, story), story  # type: ignore[arg-type]


PLAYERS: Any = ["player"]
PLAYER: Any = SimpleNamespace(label="x", place="here", task=None)


def cancelled(reason: str | None = None, source: str = "explicit") -> Any:
    return SimpleNamespace(reason=reason, source=source)


async def test_program_is_cancelled_once_at_its_point() -> None:
    made, story = disturbance(Recipe(cancel_at=1000))
    struck = [made.strike(point, point / 10, PLAYERS, None) for point in (998, 999, int("1000"), 1000, 1001)]
    assert struck == [False, False, True, False, False]
    assert (made.injected, made.since, made.where) == (True, 100, "['player'] after None")
    assert made.scope.cancel_called
    assert story.said == [(100, "THE PROGRAM IS CANCELLED")]


def test_nothing_has_happened_before() -> None:
    made, _ = disturbance(Recipe(cancel_at=1))
    assert (made.done, made.injected, made.since, made.lost, made.caught) == (False, False, math.inf, False, False)
    made.delivered(PLAYER, cancelled(INJECTED), 0)
    assert made.reached is None


@pytest.mark.parametrize(("chance", "asked"), [(None, 7), (0.5, "by chance 0.5")])
async def test_one_scope_expires_at_its_point(chance: float | None, asked: object) -> None:
    expired = Expired()
    scopes = Scopes(expired)
    made, story = disturbance(Recipe(expire_at=3, scope=7, chance=chance), scopes)
    assert [made.strike(point, 5.0, PLAYERS, None) for point in (2, 3, 4)] == [False, True, False]
    assert (expired.at, scopes.asked, made.injected, made.done) == ([5], [asked], False, True)
    assert not made.scope.cancel_called
    assert story.said == [(5, "A TIMEOUT IN TASK X EXPIRES")]


def test_point_without_such_a_scope_is_passed_once_and_for_all() -> None:
    scopes = Scopes(None)
    made, _ = disturbance(Recipe(expire_at=3), scopes)
    assert [made.strike(3, 5.0, PLAYERS, None) for _ in range(2)] == [False, False]
    assert (scopes.asked, made.at, made.done) == ([0], None, False)


async def test_first_cancelled_with_the_reason_of_the_injected_one_is_the_one_that_was_reached() -> None:
    made, _ = disturbance(Recipe(cancel_at=0))
    made.strike(0, 0, PLAYERS, None)
    first, second = cancelled("".join(INJECTED)), cancelled(INJECTED)
    for other in ("a", "z", None):
        made.delivered(PLAYER, cancelled(other), 0)
    assert not made.lost
    for error in (first, second):
        made.delivered(PLAYER, error, 0)
    assert (made.reached, made.reached_by) == (("x", "here"), first)
    assert made.lost


@pytest.mark.parametrize(
    "held", list(itertools.product([True, False], repeat=5)), ids=lambda held: "".join("ny"[each] for each in held)
)
def test_cancelled_is_that_of_the_expired_scope_only_if_it_can_be_no_other(
    monkeypatch: pytest.MonkeyPatch, held: tuple[bool, ...]
) -> None:
    of_deadline, now_is_then, is_around, is_alone, sleeps_on = held
    expired = Expired()
    scopes = Scopes(expired)
    made, _ = disturbance(Recipe(expire_at=0), scopes)
    made.strike(0, 5.0, PLAYERS, None)
    expired.around, scopes.alone = is_around, is_alone
    monkeypatch.setattr(module, "sleeps_until", lambda task, now: not sleeps_on)
    source = "".join("deadline") if of_deadline else "shutdown"
    made.delivered(PLAYER, cancelled(source=source), float("5.0") if now_is_then else 6.0)
    assert (made.reached is not None) is all(held)
    assert scopes.reached_by == ([PLAYER] if all(held) else [])


@pytest.mark.parametrize("source", ["explicit", "KeyboardInterrupt"])
def test_cancelled_of_another_source_is_not_that_of_the_expired_scope(
    monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setattr(module, "sleeps_until", lambda task, now: False)
    made, _ = disturbance(Recipe(expire_at=0), Scopes(Expired()))
    made.strike(0, 5.0, PLAYERS, None)
    made.delivered(PLAYER, cancelled(source=source), 5.0)
    made.delivered(PLAYER, cancelled(source="deadline"), 4.0)
    assert made.reached is None


@pytest.mark.parametrize("caught", [False, True])
@pytest.mark.parametrize("shielded", [False, True])
@pytest.mark.parametrize("passed_on", [False, True])
def test_cancelled_of_an_expired_scope_is_lost_unless_a_scope_that_may_has_caught_it(
    monkeypatch: pytest.MonkeyPatch, caught: bool, shielded: bool, passed_on: bool
) -> None:
    monkeypatch.setattr(module, "sleeps_until", lambda task, now: False)
    expired = Expired()
    scopes = Scopes(expired)
    made, _ = disturbance(Recipe(expire_at=0), scopes)
    made.strike(0, 5.0, PLAYERS, None)
    made.delivered(PLAYER, cancelled(source="deadline"), 5.0)
    expired.has_caught, expired.passed_on, scopes.shielded = caught, passed_on, shielded
    assert made.caught is caught
    assert made.lost is not (caught or shielded or passed_on)


async def test_cancelled_that_the_scope_of_the_program_has_caught_is_not_lost() -> None:
    made, _ = disturbance(Recipe(cancel_at=0))
    with made.scope:
        made.strike(0, 0, PLAYERS, None)
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as error:
            made.delivered(PLAYER, error, 0)
            assert made.lost
            raise
    assert made.caught
    assert not made.lost
