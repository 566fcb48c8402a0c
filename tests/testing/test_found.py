"""An exploration keeps each finding once, with the simplest run that shows it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from trio_steps.testing._findings import Finding
from trio_steps.testing._machine.token import Recipe
from trio_steps.testing._search.found import Findings

LADDER = [
    Recipe(policy="any", deviations={1: 1}, cancel_at=0),
    Recipe(policy="batch", deviations={1: 1, 2: 1}, cancel_at=0),
    Recipe(policy="batch", deviations={2: 1}, cancel_at=9),
    Recipe(policy="batch", deviations={2: 1}, cancel_at=3, fault_at=9),
    Recipe(policy="trio", deviations={2: 1}, expire_at=5),
    Recipe(policy="trio", deviations={2: 1}, expire_at=4),
    Recipe(policy="trio", fault_at=2),
    Recipe(policy="trio", fault_at=1),
    Recipe(policy="trio"),
]
"""Recipes, each simpler than the one before."""


def run(recipe: Recipe, *messages: str) -> Any:
    return SimpleNamespace(recipe=recipe, findings=[Finding(invariant="value", message=one) for one in messages])


def test_finding_is_kept_with_the_simplest_run_that_shows_it_and_the_number_of_the_first() -> None:
    findings = Findings()
    [key] = [finding.key for finding in run(LADDER[0], "wrong").findings]
    for place, recipe in enumerate(LADDER):
        simpler = run(recipe, "wrong")
        findings.add(simpler, 7 + place)
        for other in LADDER[: place + 1]:  # the last of these is just as simple
            findings.add(run(other, "wrong"), 70 + place)
        number, kept, finding = findings._found[key]
        assert (number, kept.recipe, finding) == (7, recipe, simpler.findings[0])
        assert kept is simpler
        assert finding is simpler.findings[0]
    assert len(findings) == 1


def test_only_the_first_twenty_findings_are_explained_and_the_others_are_counted_once() -> None:
    findings = Findings()
    for number in (1, 2):
        findings.add(run(LADDER[-1], *(f"wrong {place}" for place in range(22))), number)
    assert len(findings) == 22
    assert [message for _, message, _ in findings._found] == [f"wrong {place}" for place in range(20)]
