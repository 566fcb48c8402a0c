"""Schedules: each is a deterministic answer to one question, asked again and again: which task runs next?

FIFO is the schedule with no deviation: tasks run in the order in which they were woken, and those woken together in
the order in which they were spawned. Every other schedule is described by where it deviates from FIFO.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, final

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from trio_steps.testing._footprints.footprints import Footprints

Policy: TypeAlias = Literal["trio", "batch", "any"]
"""Which tasks may run next: as in Trio (each batch in order, or reversed); any of the batch; any that is woken."""

POLICIES: Final[tuple[Policy, ...]] = ("trio", "batch", "any")


class Schedule(Protocol):
    """Decides which task runs next."""

    def choose(self, decision: int, players: Sequence[Hashable], options: int) -> int:
        """Return which of `options`: an index of `players`, or 1 to reverse them if the policy is ``trio``."""
        ...


@final
class Script:
    """FIFO except for some decisions. A choice that is not possible is replaced by the nearest one."""

    def __init__(self, deviations: Mapping[int, int]) -> None:
        self._deviations = deviations

    def choose(self, decision: int, players: Sequence[Hashable], options: int) -> int:
        """Look up the choice."""
        del players
        choice = self._deviations.get(decision, 0)
        return choice if choice < options else options - 1


@final
class Delays:
    """FIFO, but at some decisions the next task is put off: behind those that wait now, or behind all."""

    def __init__(self, decisions: Sequence[int], *, long: bool) -> None:
        self._decisions = decisions
        self._long = long
        self._behind: dict[Hashable, set[Hashable] | None] = {}

    def choose(self, decision: int, players: Sequence[Hashable], options: int) -> int:
        """Choose the first task that is not put off."""
        del options
        if decision in self._decisions:
            self._behind[players[0]] = None if self._long else set(players[1:])
        free = (index for index, player in enumerate(players) if self._is_free(player))
        chosen = next(free, 0)
        player = players[chosen]
        self._behind.pop(player, None)
        for behind in self._behind.values():
            if behind is not None:
                behind.discard(player)
        return chosen

    def _is_free(self, player: Hashable) -> bool:
        behind = self._behind.get(player, set())
        return behind is not None and not behind


@final
class Follows:
    """The tasks of `path` one after the other, a step each, then FIFO. The footprint of every step is recorded.

    Attributes:
      footprints: what the steps touched.
      strayed: whether a task could not run when it was its turn, so the program is not deterministic.
    """

    def __init__(self, path: Sequence[tuple[int, ...]], footprints: Footprints) -> None:
        self.footprints = footprints
        self.strayed = False
        self._path = path

    def choose(self, decision: int, players: Sequence[Any], options: int) -> int:
        """Choose the task whose turn it is."""
        del decision
        step = len(self.footprints.steps)
        if step >= len(self._path):
            return 0
        for index in range(options):
            if players[index].path == self._path[step]:
                return index
        self.strayed = True
        return 0


@final
class Shuffled:
    """Random priorities that change at random moments (PCT), or a random walk, both determined by `seed`.

    It uses only ``Random.random``, which returns the same numbers on every Python.
    """

    def __init__(self, seed: int, length: int, *, changes: int = 3) -> None:
        self._random = Random(f"trio_steps {seed}").random  # noqa: S311 - not used for secrets
        self._walks = self._random() < 0.5
        self._changes = {int(self._random() * (length + 1)) for _ in range(changes)}
        self._priorities: dict[Hashable, float] = {}
        self._lowest = 0.0

    def choose(self, decision: int, players: Sequence[Hashable], options: int) -> int:
        """Choose at random, or the player of the highest priority."""
        if self._walks:
            return int(self._random() * options)
        priorities = self._priorities
        for player in players:
            if player not in priorities:
                priorities[player] = self._random()
        chosen = max(range(options), key=lambda index: priorities[players[index]])
        if decision in self._changes:
            self._lowest -= 1
            priorities[players[chosen]] = self._lowest
            chosen = max(range(options), key=lambda index: priorities[players[index]])
        return chosen
