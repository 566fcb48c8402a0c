"""Every order of a program, except that orders that differ only in independent steps count as one.

The number of orders grows like a factorial, and most differences are irrelevant: two unrelated steps were swapped. One
order of each kind is enough. (The kinds are known as Mazurkiewicz traces.)

Naive answers: run an order, and notice afterwards that its kind is known (that saves nothing); skip an order if the two
tasks that it swaps use different locks (see `footprints`).

What is done instead is dynamic partial-order reduction with source sets (Abdulla, Aronis, Jonsson and Sagonas, 2014).
A run is made and watched. Two of its steps that depend on each other, and of which the second could have come first,
are a *race*. Every race needs a run in which its two steps come in reverse order, with the same steps before them,
unless a run that begins like that was made already. Those runs have further races. When no race is left, no other order
matters.

What is deliberately not done: finding in advance every run that leads to a known order in another way. That takes sleep
sets (Godefroid, 1996), which compare a step of one run with the steps of another, but objects have no names that last
from run to run. So only steps with the same predecessors in both runs are compared. Also, the whole sequence that
reverses a race is followed, and not just its first step. A few redundant runs remain; the report counts them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from trio_steps.testing._footprints.footprints import Footprint, Footprints
from trio_steps.testing._machine.schedules import Follows
from trio_steps.testing._machine.token import Recipe, Trial

from .races import Path, Races

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trio_steps.testing._machine.schedules import Policy


_LISTED: Final = 5  # reasons


@final
class Orders:
    """The orders of one program.

    Attributes:
      runs: how many runs were made.
      kinds: how many of them differ in more than independent steps.
      stands_for: the number of possible orders of their steps, as far as that was counted.
      is_more: whether it was not counted for all runs.
      gave_up: why this method can't try all orders; None if it can.
      exhausted: whether no other order matters.
    """

    def __init__(self, policy: Policy) -> None:
        self.runs = 0
        self.stands_for = 0
        self.is_more = False
        self.gave_up: str | None = None
        self.exhausted = False
        self._policy: Policy = policy
        self._seen: set[int] = set()
        self._nodes: list[_Node] = []
        self._reasons: dict[str, int] = {}
        self._steps = 0

    @property
    def kinds(self) -> int:
        """The number of runs that differ in more than independent steps."""
        return len(self._seen)

    @property
    def saved(self) -> int:
        """The number of runs that were saved."""
        return max(self.stands_for - self.runs, 0)

    def __str__(self) -> str:
        more = "more than " if self.is_more else ""
        return f"reduced: {self.kinds} that differ stand for {more}{self.stands_for:,}"

    def trials(self) -> Iterator[Trial]:
        """Yield a run for each order. Each has to be made before the next one is requested."""
        path: list[Path] = []
        first = 0  # the steps before this one were the same in the last run
        while True:
            footprints = Footprints()
            schedule = Follows(path, footprints)
            yield Recipe(policy=self._policy), schedule
            self.runs += 1
            steps = footprints.steps
            if footprints.too_long:
                self.gave_up = f"a run has more than {len(steps):,} steps"
            elif schedule.strayed or not self._grow(steps):
                self.gave_up = "the same choices led elsewhere"
            if self.gave_up is not None:
                return
            self._learn(steps, first)
            deepest = self._deepest()
            if deepest is None:
                self.exhausted = True
                return
            first = deepest
            del self._nodes[first + 1 :]
            path = [*(node.chosen for node in self._nodes[:first]), *self._nodes[first].choose_next()]

    def _grow(self, steps: Sequence[Footprint]) -> bool:
        """Make a node for each step. Return whether the run began as planned."""
        nodes = self._nodes
        if len(steps) < len(nodes):
            return False
        for node, step in zip(nodes, steps, strict=False):
            if node.chosen != step.path or node.enabled != set(step.enabled):
                return False
        nodes += [_Node(step) for step in steps[len(nodes) :]]
        return True

    def _learn(self, steps: Sequence[Footprint], first: int) -> None:
        races = Races(steps)
        if races.same not in self._seen:
            self._seen.add(races.same)
            count = races.orders()
            self.is_more |= count is None
            self.stands_for += count or 1
        for one, other in races.found:
            if other >= first:
                after = races.reversed(one, other)
                firsts = [steps[step].path for step in races.firsts(after)]
                if not any(self._is_asleep(path, one, races) for path in firsts):
                    self._nodes[one].add(firsts, [steps[step].path for step in after])
        for node in self._nodes[first:]:
            node.tried[node.chosen] = races
        self._steps += len(steps) - first
        for step in steps[first:]:
            if step.reason is not None and len(step.enabled) > 1:
                self._reasons[step.reason] = self._reasons.get(step.reason, 0) + 1

    def _is_asleep(self, path: Path, at: int, races: Races) -> bool:
        """Tell whether everything is known that can happen if a task runs at node `at` of this run.

        That is so if it could have run earlier, all continuations from there were tried, and no step that it depends on
        has come since.
        """
        for number in reversed(range(at)):
            node = self._nodes[number]
            if node.chosen == path:
                return False
            tried = node.tried.get(path)
            if tried is not None and all(tried.has(step, races) for step in range(number, at)):
                return True
        return False

    def _deepest(self) -> int | None:
        return max((number for number, node in enumerate(self._nodes) if node.waiting), default=None)

    def notes(self) -> Iterator[str]:
        """Yield what the reader has to know."""
        unknown = sum(self._reasons.values())
        told = "steps of different tasks count as independent if neither changes what the other can reach"
        yield f"{told}; of {self._steps} steps, {unknown} count as dependent on all" + self._why()
        if self.gave_up is not None:
            yield f"orders are no longer reduced, because {self.gave_up}"

    def _why(self) -> str:
        most = sorted(self._reasons, key=lambda reason: (-self._reasons[reason], reason))
        more = f", and {len(most) - _LISTED} more" if len(most) > _LISTED else ""
        return f", because of {', '.join(most[:_LISTED])}{more}" if most else ""


@final
class _Node:
    """A moment at which a task was chosen to run."""

    def __init__(self, step: Footprint) -> None:
        self.chosen = step.path
        self.enabled = set(step.enabled)
        self.waiting: dict[Path, list[Path]] = {}  # tasks to choose later, and those to follow
        self.tried: dict[Path, Races] = {}  # tasks that were chosen, and the first run with each

    def add(self, firsts: Sequence[Path], after: list[Path]) -> None:
        """Plan a run with one of `firsts` here, and then the rest of `after`, unless one of `firsts` was or will be."""
        if (
            self.tried.keys().isdisjoint(firsts)
            and self.chosen not in firsts
            and self.waiting.keys().isdisjoint(firsts)
        ):
            chosen = after[-1] if after[-1] in firsts else firsts[0]
            rest = list(after)
            rest.remove(chosen)
            self.waiting[chosen] = [chosen, *rest]

    def choose_next(self) -> list[Path]:
        """Choose the next planned task, and return the tasks to follow."""
        chosen, path = self.waiting.popitem()
        self.chosen = chosen
        return path
