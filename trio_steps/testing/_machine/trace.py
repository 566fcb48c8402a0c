"""The story of a run: what its tasks did, where they were at one moment, and where two stories differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

import attrs

from trio_steps.testing._places import place_of_caller, waits_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import trio

    from trio_steps.testing._places import Place


class Actor(Protocol):
    """A task of the program, as a story needs it."""

    path: tuple[int, ...]
    task: trio.lowlevel.Task
    parked: bool
    ended: bool
    traps: int

    @property
    def label(self) -> str:
        """Its name in the story."""
        ...

    @property
    def place(self) -> Place | None:
        """The line at which it waits; None if it has not started."""
        ...


@final
@attrs.frozen(kw_only=True)
class Where:
    """The state of the program when it was disturbed.

    Attributes:
      task: the task that had moved last, or that was given a fault.
      place: the line at which that task waited.
      lines: a line of text for every task.
    """

    task: str = ""
    place: Place | None = None
    lines: tuple[str, ...] = ()


@final
class Story:
    """What happens in one run, line by line. Lines are written only if it is `kept`, because that takes long.

    Attributes:
      chosen: for each decision, which task went before which, and where; empty text for FIFO.
      cancellations: every `trio.Cancelled` that came, and where its task waited.
    """

    def __init__(self, *, kept: bool, name_of: Callable[[object], str | None]) -> None:
        self.chosen: list[str] = []
        self.cancellations: list[tuple[trio.Cancelled, Place | None]] = []
        self._lines: list[str] = []
        self._wakes: list[tuple[tuple[int, ...], str]] = []  # not written yet, as Trio wakes tasks in any order
        self._kept = kept
        self._name_of = name_of
        self._moved: Actor | None = None  # the task whose last step is not written yet

    @property
    def lines(self) -> list[str]:
        """What the tasks did, and when."""
        self._tell_wakes()
        return self._lines

    def says(self, now: float, what: str) -> None:
        """Write a line."""
        if self._kept:
            self._tell_wakes()
            self._lines.append(f"{now:>9g}  {what}")

    def _tell_wakes(self) -> None:
        if self._wakes:
            self._lines += [line for _, line in sorted(self._wakes)]
            self._wakes.clear()

    def chose(self, chosen: Actor, first: Actor) -> None:
        """Record a decision: `chosen` runs, although `first` was woken first. Only if the story is kept."""
        at = "" if chosen.place is None else f" at {chosen.place}"
        self.chosen.append("" if chosen is first else f"{chosen.label} went before {first.label}{at}")

    def reversed(self, batch: Sequence[Actor] | None) -> None:
        """Record a decision: the tasks of a batch run in reverse; None: in order. Only if the story is kept."""
        labels = [player.label for player in reversed(batch or ())]
        self.chosen.append(f"a batch ran in reverse: {', '.join(labels)}" if labels else "")

    def wakes(self, now: float, waker: Actor, woken: Actor) -> None:
        """Record that `waker` has woken another task. Only if the story is kept."""
        place = place_of_caller()
        line = f"{now:>9g}  {waker.label} wakes {woken.label}" + ("" if place is None else f" at {place}")
        self._wakes.append((woken.path, line))

    def delivers(self, player: Actor, error: trio.Cancelled) -> None:
        """Record that `player` gets `error`."""
        if self._kept:
            self.cancellations.append((error, player.place))

    def steps(self, player: Actor) -> None:
        """Record that `player` runs. `tell_step` writes afterwards what it did. Only if the story is kept."""
        self._moved = player

    def tell_step(self, now: float) -> None:
        """Write where the last step ended."""
        player, self._moved = self._moved, None
        if player is None:
            return
        if player.ended:
            self.says(now, f"{player.label} ends")
        else:
            place = player.place
            told = f"{player.label} waits for {waits_for(player.task, self._name_of)}"
            self.says(now, told if place is None else f"{told} at {place.story}")

    def whereabouts(self, players: Iterable[Actor], last: Actor | None, *, about_to_go_on: bool = False) -> Where:
        """Return where all the players are, `last` first: the last to move, or the one that is about to run."""
        if not self._kept:
            return Where()
        living = [player for player in players if not player.ended]
        if last is None or last.ended:
            last = max((player for player in living if player.traps), key=lambda player: player.path, default=None)
        lines = tuple(self.line_of(player, about_to_go_on=about_to_go_on and player is last) for player in living)
        if last is None:
            return Where(lines=lines)
        return Where(task=last.label, place=last.place, lines=lines)

    def line_of(self, player: Actor, *, about_to_go_on: bool = False) -> str:
        """Return in words what `player` does."""
        place = player.place
        if place is None:
            return f"{player.label} has not started"
        if player.parked or about_to_go_on:
            return f"{player.label} is about to continue at {place.story}"
        return f"{player.label} waits for {waits_for(player.task, self._name_of)} at {place.story}"


def first_difference(one: Sequence[object], other: Sequence[object]) -> int | None:
    """Return the first index at which two stories differ, or None."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return None if len(one) == len(other) else min(len(one), len(other))
