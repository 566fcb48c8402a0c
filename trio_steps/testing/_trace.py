"""How a program stood at one moment, and how two runs of it differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import attrs

from ._source import waits_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._player import Player
    from ._source import Place


@final
@attrs.frozen(kw_only=True)
class Where:
    """How the program stood when something was done to it.

    Attributes:
      task: the task that had moved last, or that it was done to.
      place: the line at which that task waited.
      lines: a line of text for every task.
    """

    task: str = ""
    place: Place | None = None
    lines: tuple[str, ...] = ()


def line_of(player: Player, *, about_to_go_on: bool = False) -> str:
    """Return in words what `player` does."""
    place = player.place
    if place is None:
        return f"{player.label} has not started"
    if player.parked or about_to_go_on:
        return f"{player.label} is about to go on at {place.story}"
    return f"{player.label} waits for {waits_for(player.task)} at {place.story}"


def first_difference(one: Sequence[object], other: Sequence[object]) -> int | None:
    """Return the first index at which two stories differ, or None."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return None if len(one) == len(other) else min(len(one), len(other))
