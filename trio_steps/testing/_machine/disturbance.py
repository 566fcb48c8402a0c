"""The disturbance of a run: the program is cancelled, one of its scopes expires, or a call fails.

At most one of these happens, at one point. This module records the state of the program at that point, and which task
noticed first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, final

import trio

from .scopes import sleeps_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_steps.testing._places import Place

    from .faults import Fault
    from .player import Player
    from .scopes import Entered, Scopes
    from .token import Recipe
    from .trace import Story, Where

INJECTED: Final = "cancelled by trio_steps.testing"
"""The reason of the injected cancellation, by which its `trio.Cancelled` is recognised."""


@final
class Disturbance:
    """The disturbance of one run of a program, and its effect.

    Attributes:
      at: the point at which it happens, unless it is a fault.
      done: whether it has happened.
      cancels: whether it cancels the program.
      scope: the cancel scope around the whole program.
      expired: the scope that it made expire, if any.
      fault: makes a call fail.
      since: the virtual time at which it happened; infinite before.
      where: the state of the program at that point.
      reached: the task that first got the resulting `Cancelled`, and its line.
      reached_by: that `Cancelled`.
    """

    def __init__(self, recipe: Recipe, fault: Fault, scopes: Scopes | None, story: Story) -> None:
        self.done = False
        self.cancels = recipe.cancel_at is not None
        self.scope = trio.CancelScope()
        self.expired: Entered | None = None
        self.fault = fault
        self.since = math.inf
        self.where: Where | None = None
        self.reached: tuple[str, Place | None] | None = None
        self.reached_by: trio.Cancelled | None = None
        self._recipe = recipe
        self.at = recipe.expire_at if recipe.cancel_at is None else recipe.cancel_at
        self._scopes = scopes
        self._story = story

    @property
    def injected(self) -> bool:
        """Whether the program has been cancelled."""
        return self.done and self.cancels

    def strike(self, point: int, now: float, players: Iterable[Player], last: Player | None) -> bool:
        """Disturb the program, if `point` is the right one, and return whether it was."""
        if point != self.at or self.done:
            return False
        if not self.cancels:
            assert self._scopes is not None
            number, chance = self._recipe.scope, self._recipe.chance
            self.expired = self._scopes.at(number) if chance is None else self._scopes.any(chance)
            if self.expired is None:
                self.at = None  # this run has no such scope here
                return False
        self.done = True
        self.since = now
        self.where = self._story.whereabouts(players, last)
        if self.expired is None:
            self._story.says(now, "THE PROGRAM IS CANCELLED")
            self.scope.cancel(reason=INJECTED)
        else:
            self._story.says(now, f"{self.expired} EXPIRES".upper() if self.expired.place is None else self._loud())
            self.expired.expire(now)
        return True

    def _loud(self) -> str:
        assert self.expired is not None
        return f"THE TIMEOUT SET AT {self.expired.place} EXPIRES"

    def delivered(self, player: Player, error: trio.Cancelled, now: float) -> None:
        """Record that `player` got `error`."""
        if self.reached is None and self.done and self._is_ours(player, error, now):
            self.reached = player.label, player.place
            self.reached_by = error
            if self._scopes is not None:
                self._scopes.reached(player)

    def _is_ours(self, player: Player, error: trio.Cancelled, now: float) -> bool:
        if self.expired is None:
            return error.reason == INJECTED
        assert self._scopes is not None
        # A Cancelled does not name its deadline. It is ours if no other deadline can have caused it.
        return (
            error.source == "deadline"
            and now == self.since
            and self.expired.is_around(player)
            and self._scopes.is_alone(self.expired, player, now)
            and not sleeps_until(player.task, now)
        )

    def fault_fired(self, player: Player, players: Iterable[Player], now: float) -> BaseException:
        """Return the fault, which `player` is about to get."""
        self.done = True
        self.where = self._story.whereabouts(players, player, about_to_go_on=True)
        error = self.fault.fire()
        self._story.says(now, f"{player.label} IS GIVEN {error!r}")
        return error

    @property
    def caught(self) -> bool:
        """Whether the disturbed scope has caught its `Cancelled`."""
        return self.scope.cancelled_caught if self.expired is None else self.expired.has_caught

    @property
    def lost(self) -> bool:
        """Whether a resulting `Cancelled` reached the program, and no scope that may catch it did."""
        if self.reached is None or self.caught:
            return False
        if self._scopes is not None and self._scopes.shielded:
            return False
        return self.expired is None or not self.expired.passed_on
