"""Every interleaving of a small program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_steps.testing._machine.run import Settings
from trio_steps.testing._machine.token import Recipe
from trio_steps.testing._report import Findings

from .bench import Bench
from .sweep import types

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_steps.testing._machine.run import Program
    from trio_steps.testing._machine.schedules import Policy
    from trio_steps.testing._report import Report


def enumerate_schedules(
    program: Program,
    *,
    policy: Policy = "any",
    allow: Iterable[type[BaseException]] | type[BaseException] = (),
    budget: int = 10_000,
    max_steps: int = 20_000,
    keep_going: bool = False,
) -> Report:
    """Run `program` in every order that `policy` allows, at the granularity of checkpoints, depth first.

    There are ``exhausted`` orders only if the report says so: two tasks of k checkpoints each already have
    binomially many.

    Args:
      program: an async function of a `Probe`.
      policy: ``any`` woken task goes on; any within a ``batch``; or what ``trio`` could do.
      allow: error types that the program may raise.
      budget: how many runs at most.
      max_steps: how many steps a run may take.
      keep_going: don't stop at the first failure.

    Raises:
      ConfigError: an argument makes no sense.
      RuntimeError: it is called inside of a Trio program.
    """
    bench = Bench(program, Settings(allow=types(allow), max_steps=max_steps), runs=budget, seconds=float("inf"))
    found = Findings()
    schedules = 0
    prefix: list[int] | None = []
    while prefix is not None and bench.stopped is None and (keep_going or not found):
        run = bench.run(Recipe(policy=policy, deviations=dict(enumerate(prefix))))
        schedules += 1
        found.add(run)
        prefix = _next(run.choices, run.options)
    exhausted = prefix is None
    return found.report(
        bench,
        what=f"all interleavings of policy {policy!r}" if exhausted else f"interleavings of policy {policy!r}",
        points=0,
        schedules=schedules,
        exhausted=exhausted,
        stopped="having tried them all" if exhausted else bench.stopped or "a failure",
    )


def _next(choices: tuple[int, ...], options: tuple[int, ...]) -> list[int] | None:
    """Return the choices that lead to the next schedule; None after the last one."""
    for index in range(len(choices) - 1, -1, -1):
        if choices[index] + 1 < options[index]:
            return [*choices[:index], choices[index] + 1]
    return None
