"""What `explore` tries: kinds of runs that take turns.

Each phase is a finite or endless sequence of runs that depends on the program and the seed, but not on the budget. In
each turn, every phase has its fixed share. So the runs of a smaller budget are the first ones of a larger one, whether
it is counted in runs or in seconds: a larger budget never finds less.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate, chain
from random import Random
from typing import TYPE_CHECKING, Final, final

from trio_steps.testing._machine.schedules import Delays, Shuffled
from trio_steps.testing._machine.token import Recipe, Trial

from .order import bisection, pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_steps.testing._machine.run import Run
    from trio_steps.testing._machine.schedules import Policy
    from trio_steps.testing._machine.scopes import Entered

    from .reduce import Orders


@final
class Phase:
    """One kind of runs.

    Attributes:
      name: its name.
      share: how many runs it has in each turn.
      total: how many runs there are; None: no end.
      tried: how many runs were made.
    """

    def __init__(self, name: str, share: int, trials: Iterator[Trial], total: int | None = None) -> None:
        self.name = name
        self.share = share
        self.total = total
        self.tried = 0
        self._trials = trials

    def turn(self) -> Iterator[Trial]:
        """Yield the runs of one turn."""
        for _ in range(self.share):
            trial = next(self._trials, None)
            if trial is None:
                self.total = self.tried
                return
            self.tried += 1
            yield trial

    @property
    def over(self) -> bool:
        """Whether all its runs were made."""
        return self.tried == self.total


@final
class Timeouts:
    """Every (point, scope) of a run: at each point, the scopes that could expire there.

    Between two batches, that is what Trio does. Inside a batch, it is as if the rest of the batch had been woken later;
    these pairs come after the others.

    There are points times scopes of them, so they are not listed. They are counted, and each is found by its number.
    """

    def __init__(self, run: Run) -> None:
        assert run.scopes is not None
        self._scopes: list[Entered] = run.scopes.entered
        between = run.scopes.between
        self._kinds: list[tuple[Policy, list[int]]] = [
            ("trio", [point for point, is_between in enumerate(between) if is_between]),
            ("any", [point for point, is_between in enumerate(between) if not is_between]),
        ]
        self._counts = [list(accumulate(map(len, self._ranges(points)), initial=0)) for _, points in self._kinds]
        self.total = sum(counts[-1] for counts in self._counts)

    def _ranges(self, points: list[int]) -> list[range]:
        return [range(bisect_left(points, one.first), bisect_right(points, one.last)) for one in self._scopes]

    def trials(self) -> Iterator[Trial]:
        """Yield a run for each pair."""
        for (policy, points), counts in zip(self._kinds, self._counts, strict=True):
            ranges = self._ranges(points)
            for number in bisection(counts[-1]):
                index = bisect_right(counts, number) - 1
                point = points[ranges[index][number - counts[index]]]
                yield Recipe(policy=policy, expire_at=point, scope=self._scopes[index].number), None


CANCEL: Final = "cancelled at a point"
TIMEOUTS: Final = "a lone timeout"
DELAYS: Final = "an order that deviates a little"
ORDERS: Final = "an order that differs"
PAIRS: Final = "an order that deviates twice"
RANDOM: Final = "a random order"


def phases(baseline: Run, seed: int, orders: Orders | None) -> list[Phase]:
    """Return the phases for a program whose undisturbed run was `baseline`, in the order of their turns."""
    timeouts = Timeouts(baseline)
    return [
        Phase(CANCEL, 10, cancellations(baseline), baseline.points),
        Phase(TIMEOUTS, 5, timeouts.trials(), timeouts.total),
        *([] if orders is None else [Phase(ORDERS, 3, orders.trials())]),
        Phase(DELAYS, 3, _delays(baseline)),
        Phase(PAIRS, 1, _pairs(baseline, seed)),
        Phase(RANDOM, 3, _random(baseline, seed, orders, disturbs_scopes=bool(timeouts.total))),
    ]


def cancellations(baseline: Run) -> Iterator[Trial]:
    """Yield a run for every point, in which the program is cancelled there."""
    return ((Recipe(policy="trio", cancel_at=point), None) for point in bisection(baseline.points))


def _delays(baseline: Run) -> Iterator[Trial]:
    """Yield orders that deviate from FIFO once. Weaker policies have more decisions."""
    reversals = bisection(baseline.decisions)
    singles: dict[Policy, Iterator[int]] = {
        "batch": bisection(baseline.decisions * 2),
        "any": bisection(baseline.decisions * 2),
    }
    more = True
    while more:
        more = False
        for decision in chain.from_iterable(zip(reversals)):
            yield Recipe(policy="trio", deviations={decision: 1}), None
            more = True
            break
        for policy, decisions in singles.items():
            for decision in decisions:
                yield Recipe(policy=policy), Delays((decision,), long=False)
                yield Recipe(policy=policy), Delays((decision,), long=True)
                more = True
                break


def _pairs(baseline: Run, seed: int) -> Iterator[Trial]:
    for pair in pairs(baseline.decisions * 2, seed):
        yield Recipe(policy="any"), Delays(pair, long=False)


def _random(baseline: Run, seed: int, orders: Orders | None, *, disturbs_scopes: bool) -> Iterator[Trial]:
    """Yield random orders: every other one undisturbed, the rest cancelled or with a timeout at random.

    Undisturbed ones are left out after all `orders` were tried.
    """
    number = Random(f"disturb {seed}").random  # noqa: S311 - not used for secrets
    turn = 0
    while True:
        policy: Policy = "batch" if turn % 8 < 2 else "any"
        point, chance = int(number() * (baseline.points + 2)), number()
        if not turn % 2:
            recipe = Recipe(policy=policy)
        elif disturbs_scopes and turn & 2:  # every other one of these
            recipe = Recipe(policy=policy, expire_at=point, chance=chance)
        else:
            recipe = Recipe(policy=policy, cancel_at=point)
        if recipe.disturbs or orders is None or not orders.exhausted:
            yield recipe, Shuffled(seed * 1_000_003 + turn, baseline.points, changes=turn % 4)
        turn += 1
