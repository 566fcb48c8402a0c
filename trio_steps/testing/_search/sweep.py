"""Sweeps: they disturb the program at every point, in a run for each."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING

import trio

from trio_steps._core.errors import ConfigError, short_repr
from trio_steps.testing._findings import FaultInjectedError
from trio_steps.testing._machine.settings import check_budget, settings_of
from trio_steps.testing._machine.token import Recipe, Trial

from .order import bisection, ranges
from .phases import Timeouts, cancellations
from .search import Search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Unpack

    from trio_steps.testing._machine.run import Run
    from trio_steps.testing._machine.settings import Options, Program, Settings
    from trio_steps.testing._report import Report


MOST = 1000
"""The most points to try unless more are asked for, because sweeps are quadratic."""


def sweep_cancellation(program: Program, *, budget: int = MOST, **options: Unpack[Options]) -> Report:
    """Run `program` once for every point of its FIFO schedule, and cancel it there.

    Args:
      program: an async function of a `Probe`.
      budget: the most points to try. If the program has more, those tried are spread evenly.
      options: see `Options`.

    Raises:
      ConfigError: an argument is not valid.
      RuntimeError: it was called inside a Trio program.
    """
    settings = settings_of("sweep_cancellation", options)
    return _sweep(program, settings, budget, "cancel point", lambda run: (cancellations(run), run.points))


def sweep_timeouts(program: Program, *, budget: int = MOST, **options: Unpack[Options]) -> Report:
    """Run `program` once for every point and every timeout that could fire there, and let that timeout alone fire.

    A timeout is any cancel scope with a finite deadline around the program's code: of `trio.move_on_after` or
    `trio.fail_after`, of a nursery, of a step or a fork, of any library. Its deadline becomes now. All other scopes are
    left alone, and so is a scope without a deadline.

    The program may end with the error of that timeout (`trio.TooSlowError`, `TimeoutError`), with an error that was
    caused by it, or with the value that it returns undisturbed. If it may return another value when a timeout fires,
    allow that with ``values=``.

    Args:
      program: an async function of a `Probe`.
      budget: the most runs. If there are more to try, those made are spread evenly.
      options: see `Options`.

    Raises:
      ConfigError: an argument is not valid.
      RuntimeError: it was called inside a Trio program.
    """

    def trials(run: Run) -> tuple[Iterator[Trial], int]:
        timeouts = Timeouts(run)
        return timeouts.trials(), timeouts.total

    return _sweep(program, settings_of("sweep_timeouts", options), budget, "lone timeout", trials)


def sweep_faults(
    program: Program,
    exc: BaseException | type[BaseException] | Callable[[], BaseException] = FaultInjectedError,
    *,
    budget: int = MOST,
    **options: Unpack[Options],
) -> Report:
    """Run `program` once for every call of its FIFO schedule that could fail, and raise `exc` from it.

    Every call of Trio that could be cancelled fails once, even if it does not have to wait. It fails before it has an
    effect, so no result that has come is lost, and the end of a nursery does not raise. The program may end with the
    fault, with an error that was caused by it, or recover and return its value.

    Args:
      program: an async function of a `Probe`.
      exc: an exception, a type, or a function that makes one. An exception object is raised in every run.
      budget: the most calls to try. If the program makes more, those tried are spread evenly.
      options: see `Options`.

    Raises:
      ConfigError: an argument is not valid, such as `exc` being a type that can't be called without arguments.
      RuntimeError: it was called inside a Trio program.
    """

    def trials(run: Run) -> tuple[Iterator[Trial], int]:
        return ((Recipe(policy="trio", fault_at=call), None) for call in bisection(run.traps)), run.traps

    settings = settings_of("sweep_faults", options, maker(exc))
    return _sweep(program, settings, budget, "call", trials)


def _sweep(
    program: Program,
    settings: Settings,
    budget: int,
    what: str,
    trials_of: Callable[[Run], tuple[Iterator[Trial], int]],
) -> Report:
    check_budget(budget)
    search = Search(program, settings, runs=budget, seconds=float("inf"))
    tried = struck = 0
    total: int | None = None  # known only after the baseline
    points: list[int] = []

    def go() -> str:
        nonlocal total, tried, struck
        trials, total = trials_of(search.baseline())
        for trial in islice(trials, min(budget, sys.maxsize)):
            search.show(f"{tried} of {total} {what}s")
            struck += search.tries(trial).disturbed
            tried += 1
            if trial[0].cancel_at is not None:
                points.append(trial[0].cancel_at)
        return "the end of the sweep" if tried == total else "the budget"

    def report(stopped: str, *, explains: bool) -> Report:
        told = f"every {what} of this schedule" if tried == total else f"{tried} of {total or 'the'} {what}s"
        if struck < tried and what != "cancel point":
            told += f"; {struck} could {'fail' if what == 'call' else 'fire'}"
        untried = tuple(sorted({*range(total or 0)}.difference(points))) if points else ()
        if untried:
            told += f", not those at {ranges(untried)}"
        return search.found.report(
            search.bench,
            what=told,
            points=struck,
            timeouts=struck if what == "lone timeout" else 0,
            untried=untried,
            exhausted=tried == total,
            stopped=stopped,
            explains=explains,
        )

    return search.report(go, report)


def maker(exc: BaseException | type[BaseException] | Callable[[], BaseException]) -> Callable[[], BaseException]:
    """Return a function that makes the fault.

    Raises:
      ConfigError: `exc` is no exception, or one that the search itself has to tell from a fault; or it is a type that
        can't be called without arguments.
    """
    kind = exc if isinstance(exc, type) else type(exc)
    if issubclass(kind, (trio.Cancelled, KeyboardInterrupt)):
        raise ConfigError(
            f"exc={short_repr(exc)} is not the fault of a call: sweep_cancellation cancels a program everywhere"
        )
    if not issubclass(kind, BaseException) and (exc is kind or not callable(exc)):
        raise ConfigError(
            f"exc={short_repr(exc)}: give an exception, its type, or a function that makes one, exc=OSError"
        )
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
