"""Sweeps: the program is disturbed at every point, one run each."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from trio_steps._core.errors import ConfigError
from trio_steps.testing._findings import FaultInjectedError
from trio_steps.testing._machine.run import Settings
from trio_steps.testing._machine.token import Recipe
from trio_steps.testing._report import Findings

from .bench import Bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_steps.testing._machine.run import Program, Values
    from trio_steps.testing._report import Report

STRIDE_ABOVE = 500
"""Sweeps are quadratic: with more points than this, only so many are tried, evenly spread."""


def spread(total: int, most: int) -> range:
    """Return `most` of the numbers below `total` at most, evenly spread, the first among them."""
    return range(0, total, max(1, -(-total // max(1, most))))


def sweep_cancellation(
    program: Program,
    *,
    allow: Iterable[type[BaseException]] | type[BaseException] = (),
    budget: int = STRIDE_ABOVE,
    max_steps: int = 20_000,
    max_seconds: float = 300.0,
) -> Report:
    """Run `program` once for every point of its FIFO schedule, and cancel it there.

    Args:
      program: an async function of a `Probe`.
      allow: error types that the program may raise.
      budget: how many points to try at most; if there are more, they are tried evenly spread.
      max_steps: how many steps a run may take.
      max_seconds: how much virtual time a run may take after it was cancelled.

    Raises:
      ConfigError: an argument makes no sense.
      RuntimeError: it is called inside of a Trio program.
    """
    settings = Settings(allow=types(allow), max_steps=max_steps, max_seconds=max_seconds)
    bench = Bench(program, settings, runs=float("inf"), seconds=float("inf"))
    found = Findings()
    baseline = bench.run(Recipe(policy="trio"))
    found.add(baseline)
    points = spread(baseline.points, budget)
    if not found:
        for point in points:
            found.add(bench.run(Recipe(policy="trio", cancel_at=point)))
    return _report(bench, found, baseline.points, len(points), "cancel point", not baseline.findings)


def sweep_faults(
    program: Program,
    exc: BaseException | type[BaseException] | Callable[[], BaseException] = FaultInjectedError,
    *,
    allow: Iterable[type[BaseException]] | type[BaseException] = (),
    values: Values = "undisturbed",
    budget: int = STRIDE_ABOVE,
    max_steps: int = 20_000,
    max_seconds: float = 300.0,
) -> Report:
    """Run `program` once for every checkpoint of its FIFO schedule, and raise `exc` from it.

    Only what can be cancelled fails: no result that has come is lost, and a nursery's end does not raise. The
    program may end with the fault, with an error that comes from it, or get over it and return its value.

    Args:
      program: an async function of a `Probe`.
      exc: an exception, a type or a function that makes one; an exception object is raised in every run.
      allow: error types that the program may raise besides.
      values: ``"any"`` if it may also return something else than it does undisturbed: a fallback, a part.
      budget: how many checkpoints to try at most; if there are more, they are tried evenly spread.
      max_steps: how many steps a run may take.
      max_seconds: how much virtual time a run may take.

    Raises:
      ConfigError: `exc` is a type that can't be called without arguments.
    """
    settings = Settings(
        allow=types(allow), max_steps=max_steps, max_seconds=max_seconds, fault=maker(exc), values=values
    )
    bench = Bench(program, settings, runs=float("inf"), seconds=float("inf"))
    found = Findings()
    baseline = bench.run(Recipe(policy="trio"))
    found.add(baseline)
    traps = spread(baseline.traps, budget)
    tried = 0
    if not found:
        for trap in traps:
            run = bench.run(Recipe(policy="trio", fault_at=trap))
            tried += run.where is not None
            found.add(run)
    return _report(bench, found, baseline.traps, len(traps), "checkpoint", not baseline.findings, tried)


def _report(
    bench: Bench, found: Findings, total: int, planned: int, what: str, swept: bool, tried: int | None = None
) -> Report:
    every = f"every {what} of this schedule" if planned == total else f"{planned} of {total} {what}s"
    if tried is not None:
        every += f"; {tried} could fail"
    return found.report(
        bench,
        what=every if swept else "undisturbed",
        points=planned if tried is None else tried,
        schedules=bench.schedules,
        exhausted=swept and planned == total,
        stopped="the end of the sweep" if swept else "its very first run",
    )


def types(allow: Iterable[type[BaseException]] | type[BaseException]) -> tuple[type[BaseException], ...]:
    """Return `allow` as a tuple.

    Raises:
      ConfigError: something else than error types is in it.
    """
    allowed = (allow,) if isinstance(allow, (type, BaseException)) else tuple(allow)
    if not all(isinstance(cast("object", kind), type) and issubclass(kind, BaseException) for kind in allowed):
        raise ConfigError(f"allow={allow!r}: give error types, allow=OSError or allow=(OSError, ValueError)")
    return allowed


def maker(exc: BaseException | type[BaseException] | Callable[[], BaseException]) -> Callable[[], BaseException]:
    """Return a function that makes the fault.

    Raises:
      ConfigError: it is a type that can't be called without arguments.
    """
    if isinstance(exc, BaseException):
        return lambda: exc
    if isinstance(exc, type):
        try:
            exc()
        except TypeError as error:
            raise ConfigError(
                f"exc={exc.__name__} needs arguments: give an exception, or a function that makes one, "
                f"exc=lambda: {exc.__name__}(…)"
            ) from error
    return exc
