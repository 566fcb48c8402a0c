"""The portfolio: cheap and telling runs first, random ones until the budget is used."""

from __future__ import annotations

from itertools import combinations, zip_longest
from random import Random
from typing import TYPE_CHECKING

import attrs

from trio_steps.testing._findings import ExplorationError, Finding
from trio_steps.testing._machine.conductor import name_of
from trio_steps.testing._machine.run import Run, Settings
from trio_steps.testing._machine.schedules import Delays, Schedule, Shuffled
from trio_steps.testing._machine.token import Recipe, fingerprint, parse
from trio_steps.testing._machine.trace import first_difference
from trio_steps.testing._report import Findings, failure_of

from .bench import Bench
from .sweep import maker, spread, types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from trio_steps.testing._machine.run import Program, Values
    from trio_steps.testing._machine.schedules import Policy
    from trio_steps.testing._report import Report

BUDGET = 300
"""How many runs `explore` takes unless it is told otherwise."""


def explore(
    program: Program,
    *,
    budget: int = BUDGET,
    seconds: float = 60.0,
    seed: int = 0,
    allow: Iterable[type[BaseException]] | type[BaseException] = (),
    max_steps: int = 20_000,
    max_seconds: float = 300.0,
) -> Report:
    """Run `program` again and again, disturbed in every way, until something is found or the budget is used.

    In this order: undisturbed, twice; cancelled at every point; in orders that deviate from FIFO a little; in
    random orders, every other time cancelled at random.

    Args:
      program: an async function of a `Probe`.
      budget: how many runs at most; what it takes to minimise a failure comes on top.
      seconds: how long in real time at most.
      seed: of the random runs.
      allow: error types that the program may raise.
      max_steps: how many steps a run may take.
      max_seconds: how much virtual time a run may take after it was cancelled.

    Raises:
      ConfigError: an argument makes no sense.
      RuntimeError: it is called inside of a Trio program.
    """
    settings = Settings(allow=types(allow), max_steps=max_steps, max_seconds=max_seconds)
    bench = Bench(program, settings, runs=budget, seconds=seconds)
    found = Findings()
    baseline = bench.run(Recipe(policy="trio"))
    found.add(baseline)
    if not found:
        found.add(_compared(baseline, bench.run(Recipe(policy="trio"))))
    decisions, points = bool(baseline.options), set[int]()
    stopped = "a failure" if found else None
    for phase in () if found else _phases(baseline, budget, seed):
        for recipe, schedule in phase:
            stopped = bench.stopped
            if stopped is not None:
                break
            run = bench.run(recipe, schedule=schedule)
            decisions |= bool(run.options)
            if schedule is None and run.injected and recipe.cancel_at is not None:
                points.add(recipe.cancel_at)
            found.add(run)
            if any(finding.invariant == "livelock" for finding in run.findings):
                break  # they take long, and rarely come alone
        if found:
            stopped = "a failure"
        if stopped is not None:
            break
        if not decisions and len(points) == baseline.points:
            break  # there is only one order, and it has been cancelled everywhere
    exhausted = not decisions and len(points) == baseline.points and not found
    return found.report(
        bench,
        what=f"{bench.schedules} orders undisturbed, cancelled at {len(points)} of {baseline.points} points of FIFO",
        points=len(points),
        schedules=bench.schedules,
        exhausted=exhausted,
        stopped=stopped or "having tried everything",
    )


def _phases(baseline: Run, budget: int, seed: int) -> Iterator[Iterator[tuple[Recipe, Schedule | None]]]:
    share = max(1, budget // 10)
    yield ((Recipe(policy="trio", cancel_at=point), None) for point in spread(baseline.points, budget // 2))
    yield (
        (Recipe(policy="trio", deviations={decision: 1}), None) for decision in spread(baseline.decisions, share // 2)
    )
    for policy in ("batch", "any"):
        yield (
            (Recipe(policy=policy), Delays((decision,), long=long))
            for decision in spread(baseline.decisions * 2, share)
            for long in (False, True)
        )
    pairs = list(combinations(range(baseline.decisions * 2), 2))
    yield ((Recipe(policy="any"), Delays(pairs[index], long=False)) for index in spread(len(pairs), share))
    yield _random(baseline, seed)


def _random(baseline: Run, seed: int) -> Iterator[tuple[Recipe, Schedule]]:
    number = Random(f"cancel {seed}").random  # noqa: S311 - no secret
    turn = 0
    while True:
        policy: Policy = "batch" if turn % 8 < 2 else "any"
        cancel_at = int(number() * (baseline.points + 2)) if turn % 2 else None
        shuffled = Shuffled(seed * 1_000_003 + turn, baseline.points, changes=turn % 4)
        yield Recipe(policy=policy, cancel_at=cancel_at), shuffled
        turn += 1


def run_once(
    program: Program,
    *,
    seed: int | None = None,
    cancel_at: int | None = None,
    allow: Iterable[type[BaseException]] | type[BaseException] = (),
    max_steps: int = 20_000,
    max_seconds: float = 300.0,
) -> Run:
    """Run `program` once, on a virtual clock, and check it.

    Args:
      program: an async function of a `Probe`.
      seed: of a random order; None for FIFO.
      cancel_at: the number of the point at which to cancel the program; they are counted from 0.
      allow: error types that the program may raise.
      max_steps: how many steps it may take.
      max_seconds: how much virtual time it may take after it was cancelled.

    Raises:
      ConfigError: an argument makes no sense.
      RuntimeError: it is called inside of a Trio program.
    """
    settings = Settings(allow=types(allow), max_steps=max_steps, max_seconds=max_seconds)
    bench = Bench(program, settings, runs=1, seconds=0)
    schedule = None if seed is None else Shuffled(seed, 50)
    return bench.run(Recipe(cancel_at=cancel_at), schedule=schedule, keep_log=True)


def replay(
    program: Program,
    token: str,
    *,
    exc: BaseException | type[BaseException] | Callable[[], BaseException] | None = None,
    values: Values = "undisturbed",
    allow: Iterable[type[BaseException]] | type[BaseException] = (),
    max_steps: int = 20_000,
    max_seconds: float = 300.0,
) -> Run:
    """Run `program` as it ran when it failed, under a debugger if you like.

    Args:
      program: an async function of a `Probe`.
      token: from the report of the failure.
      exc: the fault, for a token from `sweep_faults`.
      values: as it was then, for such a token.
      allow: as it was then.
      max_steps: as it was then.
      max_seconds: as it was then.

    Raises:
      TokenError: the token is damaged, or of another version of Trio or of trio_steps.
      ConfigError: `exc` is a type that can't be called without arguments.
    """
    recipe, mark = parse(token)
    settings = Settings(allow=types(allow), max_steps=max_steps, max_seconds=max_seconds, values=values)
    if exc is not None:
        settings = attrs.evolve(settings, fault=maker(exc))
    run = Bench(program, settings, runs=1, seconds=0).run(recipe, keep_log=True)
    if fingerprint(run.order) != mark:
        note = "the program ran differently when this token was made: it has changed since, or is not deterministic"
        run = attrs.evolve(run, notes=(*run.notes, note))
    return run


def check_determinism(
    program: Program,
    *,
    seed: int = 0,
    runs: int = 3,
    allow: Iterable[type[BaseException]] | type[BaseException] = (),
) -> None:
    """Run `program` some times in the same order, and compare what its tasks did.

    Raises:
      ExplorationError: it did something else although everything was the same; the text shows where.
    """
    first = run_once(program, seed=seed, allow=allow)
    for _ in range(runs - 1):
        compared = _compared(first, run_once(program, seed=seed, allow=allow))
        for finding in compared.findings:
            if finding.invariant == "determinism":
                raise ExplorationError(str(failure_of(compared, finding, name_of(program))))


def _compared(first: Run, second: Run) -> Run:
    """Return the second run, with what is different from the first as a finding."""
    difference = first_difference(first.order, second.order)
    told = first_difference(first.trace, second.trace)
    if difference is None and told is None:
        return second
    lines = [f"the same choices led elsewhere at step {difference if difference is not None else told}"]
    if told is not None:
        none = "(the end)"
        pairs = list(zip_longest(first.trace, second.trace, fillvalue=none))
        lines += [f"  first  {pairs[told][0].strip()}", f"  then   {pairs[told][1].strip()}"]
    finding = Finding(invariant="determinism", message="\n".join(lines))
    return attrs.evolve(second, findings=(*second.findings, finding))
