"""Single runs: one that the user chooses, one that is replayed, and the same one several times."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

import attrs

from trio_steps._core.checks import check_count
from trio_steps._core.errors import short_repr
from trio_steps.testing._compare import same, show
from trio_steps.testing._findings import ExplorationError, FaultInjectedError, Finding
from trio_steps.testing._machine.conductor import name_of
from trio_steps.testing._machine.schedules import Shuffled
from trio_steps.testing._machine.settings import check_seed, settings_of
from trio_steps.testing._machine.token import Recipe, fingerprint, parse
from trio_steps.testing._machine.trace import first_difference
from trio_steps.testing._report import failure_of

from .bench import Bench
from .sweep import maker

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from trio_steps.testing._machine.run import Run
    from trio_steps.testing._machine.settings import Options, Program


def run_once(
    program: Program, *, seed: int | None = None, cancel_at: int | None = None, **options: Unpack[Options]
) -> Run:
    """Run `program` once, on a virtual clock, and check it.

    Args:
      program: an async function of a `Probe`.
      seed: the seed of a random order; None for FIFO.
      cancel_at: the number of the point at which to cancel the program, from 0.
      options: see `Options`.

    Raises:
      ConfigError: an argument is not valid.
      RuntimeError: it was called inside a Trio program.
    """
    if seed is not None:
        check_seed(seed)
    if cancel_at is not None:
        check_count(f"cancel_at={short_repr(cancel_at)}", cancel_at, least=0, form="the number of a point, 0 or more")
    bench = Bench(program, settings_of("run_once", options))
    schedule = None if seed is None else Shuffled(seed, 50)
    return bench.run(Recipe(cancel_at=cancel_at), schedule=schedule, keep_log=True)


def replay(
    program: Program,
    token: str,
    *,
    exc: BaseException | type[BaseException] | Callable[[], BaseException] = FaultInjectedError,
    **options: Unpack[Options],
) -> Run:
    """Run `program` as it ran when it failed, for example under a debugger.

    Args:
      program: an async function of a `Probe`.
      token: the token in the report of the failure.
      exc: the fault, for a token from `sweep_faults`.
      options: the same options as then; see `Options`.

    Raises:
      TokenError: the token is damaged, or comes from another version of Trio or of trio_steps.
      ConfigError: an argument is not valid, such as `exc` being a type that can't be called without arguments.
      RuntimeError: it was called inside a Trio program.
    """
    recipe, mark = parse(token)
    bench = Bench(program, settings_of("replay", options, maker(exc)))
    run = bench.run(recipe, keep_log=True)
    if fingerprint(run.order, program).partition(".")[0] != mark.partition(".")[0]:
        note = "the program ran differently when this token was made: it has changed since, or is not deterministic"
        run = attrs.evolve(run, notes=(*run.notes, note))
    return run


def check_determinism(program: Program, *, seed: int = 0, runs: int = 3, **options: Unpack[Options]) -> None:
    """Run `program` several times in the same order, and compare what its tasks did and what it returned.

    Args:
      program: an async function of a `Probe`.
      seed: the seed of the order.
      runs: how many times to run it.
      options: see `Options`.

    Raises:
      ExplorationError: the program behaved differently under the same conditions. The text shows where.
      ConfigError: an argument is not valid.
      RuntimeError: it was called inside a Trio program.
    """
    check_count(f"runs={short_repr(runs)}", runs, form="how many times to run the program, 1 or more")
    check_seed(seed)
    first = run_once(program, seed=seed, **options)
    for _ in range(runs - 1):
        run = run_once(program, seed=seed, **options)
        difference = compared(first, run)
        if difference is not None:
            raise ExplorationError(str(failure_of(run, difference, name_of(program))))


def compared(first: Run, second: Run) -> Finding | None:
    """Return a finding that shows how the second run differs from the first, or None if it is the same."""
    difference = first_difference(first.order, second.order)
    told = first_difference(first.trace, second.trace)
    if difference is not None or told is not None:
        lines = [f"the same choices led elsewhere at step {difference if difference is not None else told}"]
        if told is not None:
            pairs = list(zip_longest(first.trace, second.trace, fillvalue="(the end)"))
            lines += [f"  first  {pairs[told][0].strip()}", f"  then   {pairs[told][1].strip()}"]
        what = "order"
    elif _outcome(first) != _outcome(second):
        lines = ["the same choices led to another end", f"  first  {_outcome(first)}", f"  then   {_outcome(second)}"]
        what = "outcome"
    elif not same(first.value, second.value):
        lines = [
            "the same choices led to another value",
            f"  first  {show(first.value)}",
            f"  then   {show(second.value)}",
        ]
        what = "value"
    else:
        return None
    return Finding(invariant="determinism", message="\n".join(lines), what=what)


def _outcome(run: Run) -> str:
    return "it returned a value" if run.error is None else f"it raised {show(run.error)}"
