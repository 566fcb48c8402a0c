"""Whose turn it is: the tasks that have been woken, in order, and which of them runs next.

All of this happens in every step of every run, so it is written to be fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .player import Player
    from .schedules import Policy, Schedule


@final
class Turns:
    """The queue of tasks that can run.

    Attributes:
      queue: the players at their gates, in the order in which they were woken; a player at a gate joins at the end.
      known: how many of them were in the queue when it was last sorted.
      rest_of_batch: how many of the first ones belong to the current batch.
      options: for each decision, how many could have run.
      deviations: the decisions at which it was not the first that ran, and the index of the one that did.
      left_batch: whether a task ran that was woken after others that were still waiting.
    """

    __slots__ = (
        "_choose",
        "_policy",
        "_tell",
        "deviations",
        "known",
        "left_batch",
        "options",
        "queue",
        "rest_of_batch",
    )

    def __init__(
        self, schedule: Schedule | None, policy: Policy, tell: Callable[[Sequence[Player], int], None] | None
    ) -> None:
        self.queue: list[Player] = []
        self.known: int = 0
        self.rest_of_batch: int = 0
        self.deviations: dict[int, int] = {}
        self.options: list[int] = []
        self.left_batch: bool = False
        self._choose = None if schedule is None else schedule.choose  # None: FIFO
        self._policy: Policy = policy
        self._tell = tell

    def sort(self) -> None:
        """Sort the players that have joined since by the order in which they were spawned; Trio's order is random."""
        self.queue[self.known :] = sorted(self.queue[self.known :], key=path_of)

    def take(self) -> Player:
        """Choose the player that runs next, and remove it from the queue."""
        queue = self.queue
        options = len(queue)
        if not self.rest_of_batch:
            self.rest_of_batch = options
            if self._policy == "trio" and options > 1 and self._decide(2):
                queue.reverse()
        if self._policy != "any":
            options = self.rest_of_batch if self._policy == "batch" else 1
        index = 0
        if options > 1:
            if self._choose is None:
                self.options.append(options)
            else:
                index = self._decide(options)
        if index < self.rest_of_batch:
            self.rest_of_batch -= 1
        else:
            self.left_batch = True
        self.known -= 1
        return queue.pop(index)

    def _decide(self, options: int) -> int:
        decision = len(self.options)
        self.options.append(options)
        if self._choose is None:
            return 0
        players = self.queue[: self.rest_of_batch] if self._policy == "batch" else self.queue
        choice = self._choose(decision, players, options)
        if choice:
            self.deviations[decision] = choice
        if self._tell is not None:
            self._tell(players, choice)
        return choice


def path_of(player: Player) -> tuple[int, ...]:
    """Return where `player` was spawned, which decides its place among players that are woken together."""
    return player.path
