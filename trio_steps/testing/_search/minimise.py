"""Minimises a run that fails: no disturbance, the weakest policy, the fewest deviations.

Only a run that shows the same finding counts. A run that breaks the same invariant elsewhere is another failure.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import attrs

from trio_steps.testing._machine.schedules import POLICIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from trio_steps.testing._findings import Finding
    from trio_steps.testing._machine.run import Run
    from trio_steps.testing._machine.token import Recipe

    from .bench import Bench

_MOST: Final = 150  # runs
_LONGEST: Final = 10.0  # seconds


def minimise(bench: Bench, run: Run, finding: Finding) -> Run:
    """Return the smallest run found that shows the same finding."""
    runs, ends = bench.runs + _MOST, time.monotonic() + _LONGEST

    def fails(recipe: Recipe) -> Run | None:
        if bench.runs >= runs or time.monotonic() >= ends:
            return None
        again = bench.run(recipe)
        return again if any(found.key == finding.key for found in again.findings) else None

    best = run
    if best.recipe.disturbs and best.recipe.deviations:
        best = fails(best.recipe.undisturbed) or best
    for policy in POLICIES[: POLICIES.index(best.recipe.policy)]:
        weaker = fails(attrs.evolve(best.recipe, policy=policy, deviations={})) or fails(
            attrs.evolve(best.recipe, policy=policy)
        )
        if weaker is not None:
            best = weaker
            break
    size = len(best.recipe.deviations)
    while size:
        for smaller in _without(best.recipe.deviations, size):
            again = fails(attrs.evolve(best.recipe, deviations=smaller))
            # The run may have made other deviations. It counts if it has fewer.
            if again is not None and len(again.recipe.deviations) < len(best.recipe.deviations):
                best = again
                break
        else:
            size //= 2
            continue
        size = min(size, len(best.recipe.deviations))
    return best


def _without(deviations: Mapping[int, int], size: int) -> Iterator[dict[int, int]]:
    """Yield `deviations` without `size` neighbours, the last ones first, because late ones depend on the rest."""
    items = sorted(deviations.items())
    for start in range(len(items) - size, -1, -size):
        yield dict(items[:start] + items[start + size :])
    if len(items) % size:
        yield dict(items[len(items) % size :])
