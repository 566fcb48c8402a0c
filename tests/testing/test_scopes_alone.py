"""What is recorded about the scopes of a run, without a run."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from trio_steps.testing._machine.scopes import Entered, Scopes


def player(*path: int) -> Any:
    return SimpleNamespace(path=path, ended=False, label=str(path))


def scope(deadline: float = math.inf, **more: Any) -> Any:
    given = {"deadline": deadline, "cancel_called": False, "shield": False, "cancelled_caught": False, **more}
    return SimpleNamespace(**given)


MAIN, CHILD, OTHER = player(0), player(0, 1), player(0, 2)


def entered(scopes: Scopes, *made: tuple[Any, Any]) -> list[Entered]:
    for scope, player in made:
        scopes._enter(scope, player, of_nursery=False)
    return list(scopes._live.values())


def listing() -> Scopes:
    return Scopes(places=False, lists=True)


def test_first_and_last_point_are_recorded_of_scopes_that_can_expire() -> None:
    scopes = listing()
    late = scope()
    entered(scopes, (scope(5), MAIN), (late, MAIN), (scope(5, cancel_called=True), MAIN))
    scopes.reach(0, between_batches=True)
    late.deadline = 7.0
    scopes.reach(1, between_batches=False)
    scopes.reach(1, between_batches=True)  # the same point again
    scopes.reach(2, between_batches=True)
    assert [(one.number, one.first, one.last) for one in scopes.entered] == [(0, 0, 2), (1, 1, 2)]
    assert list(scopes.between) == [True, False, True]


def test_nothing_is_recorded_of_points_unless_it_is_listed() -> None:
    scopes = Scopes(places=False, lists=False)
    entered(scopes, (scope(5), MAIN))
    scopes.reach(0, between_batches=True)
    assert (scopes.entered, list(scopes.between)) == ([], [])


def test_scope_that_can_expire_is_found_by_its_number_or_by_chance() -> None:
    scopes = listing()
    made = [(scope(5), MAIN), (scope(), MAIN), (scope(6), CHILD), (scope(7), OTHER)]
    zero, _, two, three = entered(scopes, *made)
    assert [scopes.at(number) for number in range(5)] == [zero, None, two, three, None]
    assert [scopes.any(chance) for chance in (0, 0.3, 0.34, 0.6, 0.67, 0.999)] == [zero, zero, two, two, three, three]
    assert listing().any(0.5) is None


def test_scope_is_due_at_its_deadline_and_cancelled_from_then_on_or_by_a_call() -> None:
    scopes = listing()
    timed, called = entered(scopes, (scope(5), MAIN), (scope(9, cancel_called=True), MAIN))
    assert [timed.is_due(now) for now in (4.0, 5.0, 6.0)] == [False, True, True]
    assert [timed.is_cancelled(now) for now in (4.0, 5.0, 6.0)] == [False, True, True]
    assert [called.is_due(4), called.is_cancelled(4), called.deadline] == [False, True, math.inf]
    assert timed.deadline == 5
    timed.leave()
    assert (timed.is_due(9), timed.is_cancelled(9), timed.is_shielded, timed.deadline) == (
        False,
        False,
        False,
        math.inf,
    )


@pytest.mark.parametrize(
    ("path", "is_around"), [((0, 1), True), ((0, 1, 2), True), ((0,), False), ((0, 2), False), ((0, 2, 1), False)]
)
def test_scope_is_around_its_task_and_those_below(path: tuple[int, ...], is_around: bool) -> None:
    [one] = entered(listing(), (scope(), CHILD))
    assert one.is_around(player(*path)) is is_around


def test_scopes_around_a_task_end_at_a_shield_of_its_own() -> None:
    scopes = listing()
    made = [
        (scope(), MAIN),
        (scope(shield=True), MAIN),
        (scope(), CHILD),
        (scope(shield=True), CHILD),
        (scope(), CHILD),
    ]
    entered(scopes, *made, (scope(), OTHER))
    assert [one.number for one in scopes._around(CHILD)] == [4, 3]
    assert [one.number for one in scopes._around(CHILD, 3)] == [2, 1, 0]
    assert [one.number for one in scopes._around(OTHER)] == [5, 1, 0]
    assert [one.number for one in scopes._around(MAIN)] == [1]


def test_cancelled_comes_from_one_scope_alone_if_no_other_around_is_cancelled() -> None:
    scopes = listing()
    outer, inner = scope(9), scope(5)
    _, own, _ = entered(scopes, (outer, MAIN), (inner, CHILD), (scope(1), OTHER))
    assert scopes.is_alone(own, CHILD, 5)
    assert not scopes.is_alone(own, CHILD, 9)
    outer.cancel_called = True
    assert not scopes.is_alone(own, CHILD, 5)
    inner.shield = True
    assert scopes.is_alone(own, CHILD, 5)


def test_scopes_that_a_cancelled_has_come_through_are_open() -> None:
    scopes = listing()
    made = entered(scopes, (scope(), MAIN), (scope(shield=True), MAIN), (scope(), CHILD), (scope(), OTHER))
    scopes.reached(CHILD)
    assert [one.open for one in made] == [True, False, True, False]


@pytest.mark.parametrize("caught", [False, True])
@pytest.mark.parametrize("deadline", [4.0, 5.0, 6.0])
def test_scope_that_has_run_out_of_time_by_itself_is_noted_if_it_has_caught_that(caught: bool, deadline: float) -> None:
    scopes = listing()
    [one] = entered(scopes, (scope(deadline, cancelled_caught=caught), MAIN))
    scopes._leave(one, 5.0, unwinds=False)
    assert scopes.others is (caught and deadline <= 5)
    assert (scopes.shielded, one.left, one.caught, one.passed_on) == (False, True, caught, False)


@pytest.mark.parametrize("caught", [False, True])
@pytest.mark.parametrize("shield", [False, True])
def test_scope_that_was_shielded_after_a_cancelled_came_is_noted_if_it_has_caught_that(
    caught: bool, shield: bool
) -> None:
    scopes = listing()
    made = scope(cancelled_caught=caught)
    [one] = entered(scopes, (made, MAIN))
    scopes.reached(MAIN)
    made.shield = shield
    scopes._leave(one, 5.0, unwinds=False)
    assert scopes.shielded is (caught and shield)
    assert scopes.others is False


@pytest.mark.parametrize("outer_is_cancelled", [False, True])
@pytest.mark.parametrize("unwinds", [False, True])
@pytest.mark.parametrize("caught", [False, True])
def test_cancelled_of_a_scope_that_was_made_to_expire_is_passed_on_to_one_around_it_that_is_cancelled(
    outer_is_cancelled: bool, unwinds: bool, caught: bool
) -> None:
    scopes = listing()
    made = scope(9)
    made_around = scope(cancel_called=outer_is_cancelled)
    _, one, _ = entered(scopes, (made_around, MAIN), (made, CHILD), (scope(1), CHILD))
    one.expire(5.0)
    made.cancelled_caught = caught
    scopes._leave(one, 5.0, unwinds=unwinds)
    assert one.passed_on is (outer_is_cancelled and unwinds and not caught)
    assert scopes.others is False  # it is the one that was made to
    assert one.has_caught is caught
