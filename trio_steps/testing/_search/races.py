"""Which steps of a run had to come before which, and which only happened to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trio_steps.testing._footprints.footprints import Footprint

Path: TypeAlias = tuple[int, ...]
_MOST: Final = 20_000  # states of a run that are counted


@final
class Races:
    """The partial order of the steps of one run: a step comes after those that it depends on, and their predecessors.

    Attributes:
      found: pairs of steps that depend on each other directly, and could have come in reverse order.
    """

    def __init__(self, steps: Sequence[Footprint]) -> None:
        self.found: list[tuple[int, int]] = []
        self._steps = steps
        self._by_turn: dict[tuple[Path, int], dict[Path, int]] = {}
        self._turns: list[int] = []  # for each step, its place among those of its task, from 1
        self._clocks: list[dict[Path, int]] = []  # for each step, how many steps of each task come up to it
        last: dict[Path, int] = {}
        for number, step in enumerate(steps):
            self._add(number, step, last)
            last[step.path] = number

    def _add(self, number: int, step: Footprint, last: dict[Path, int]) -> None:
        clock: dict[Path, int] = {}
        for before in (last.get(step.path), *self._wakers(step)):
            if before is not None:
                _join(clock, self._clocks[before])
        for before in reversed(range(number)):
            other = self._steps[before]
            if self._turns[before] <= clock.get(other.path, 0):
                continue
            if other.epoch != step.epoch:
                _join(clock, self._clocks[before])
            elif other.depends_on(step):
                _join(clock, self._clocks[before])
                self.found.append((before, number))
        turn = 1 if step.path not in last else self._turns[last[step.path]] + 1
        clock[step.path] = turn
        self._by_turn[step.path, turn] = clock
        self._turns.append(turn)
        self._clocks.append(clock)

    def _wakers(self, step: Footprint) -> Iterator[int]:
        """Yield the steps that made this one possible."""
        waker = step.woken - 1
        if waker < 0:
            return
        yield waker
        nursery = self._steps[waker].ended
        if nursery is not None:  # it waited for all of its tasks, whichever came last
            yield from (before for before in range(waker) if self._steps[before].ended == nursery)

    def comes_before(self, one: int, other: int) -> bool:
        """Tell whether step `one` has to come before step `other`, or is the same step."""
        return self._turns[one] <= self._clocks[other].get(self._steps[one].path, 0)

    def has(self, step: int, other: Races) -> bool:
        """Tell whether step number `step` of `other` is also a step of this run, with the same predecessors."""
        clock = other._clocks[step]
        path = other._steps[step].path
        return self._by_turn.get((path, clock[path])) == clock

    def reversed(self, one: int, other: int) -> list[int]:
        """Return the steps that can come instead of `one` if `other` is to come before it: those that need not wait."""
        return [step for step in range(one, other) if not self.comes_before(one, step)] + [other]

    def firsts(self, steps: Sequence[int]) -> list[int]:
        """Return the `steps` that could come first."""
        return [
            step
            for index, step in enumerate(steps)
            if not any(self.comes_before(before, step) for before in steps[:index])
        ]

    @property
    def same(self) -> int:
        """A number that is the same for all runs that differ only in independent steps."""
        return hash(frozenset((path, turn, frozenset(clock.items())) for (path, turn), clock in self._by_turn.items()))

    def orders(self) -> int | None:
        """Return the number of possible orders of these steps; None if counting takes too long."""
        paths = sorted({step.path for step in self._steps})
        ways: dict[tuple[int, ...], int] = {(0,) * len(paths): 1}
        counted = 0
        for _ in self._steps:
            further: dict[tuple[int, ...], int] = {}
            for state, count in ways.items():
                for after in _next(state, paths, self._by_turn):
                    further[after] = further.get(after, 0) + count
            ways = further
            counted += len(ways)
            if counted > _MOST:
                return None
        return sum(ways.values())


def _next(
    state: tuple[int, ...], paths: list[Path], needs: dict[tuple[Path, int], dict[Path, int]]
) -> Iterator[tuple[int, ...]]:
    done = dict(zip(paths, state, strict=True))
    for index, path in enumerate(paths):
        clock = needs.get((path, done[path] + 1))
        if clock is not None and all(other == path or count <= done[other] for other, count in clock.items()):
            yield (*state[:index], state[index] + 1, *state[index + 1 :])


def _join(clock: dict[Path, int], other: dict[Path, int]) -> None:
    for path, count in other.items():
        if count > clock.get(path, 0):
            clock[path] = count
