"""Every interleaving of a small program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_steps._core.checks import check_flag
from trio_steps._core.errors import ConfigError, short_repr
from trio_steps.testing._machine.schedules import POLICIES
from trio_steps.testing._machine.settings import check_budget, settings_of
from trio_steps.testing._machine.token import Recipe

from .reduce import Orders
from .search import Search

if TYPE_CHECKING:
    from typing import Unpack

    from trio_steps.testing._machine.schedules import Policy
    from trio_steps.testing._machine.settings import Options, Program
    from trio_steps.testing._report import Report


def enumerate_schedules(
    program: Program, *, policy: Policy = "any", budget: int = 10_000, reduce: bool = False, **options: Unpack[Options]
) -> Report:
    """Run `program` in every order that `policy` allows, at the granularity of checkpoints, depth first.

    The budget may end before the orders do: two tasks of k checkpoints each already have binomially many. The report's
    ``exhausted`` tells whether all were tried.

    Args:
      program: an async function of a `Probe`.
      policy: which task may run next: ``any`` woken one; any one of a ``batch``; or what ``trio`` could do.
      budget: how many runs at most.
      reduce: run only one of the orders that differ only in independent steps. Steps of two tasks are independent if
        neither changes what the other can reach: shared objects, variables of enclosing functions, names of modules.
        If that can't be known, they count as dependent, and the report says why. Not for policy ``trio``, which runs
        whole batches.
      options: see `Options`.

    Raises:
      ConfigError: an argument is not valid.
      RuntimeError: it was called inside a Trio program.
    """
    if policy not in POLICIES:
        raise ConfigError(f'policy={short_repr(policy)}: use "any", "batch" or "trio"')
    check_budget(budget)
    check_flag("reduce", reduce, form="True to run one of the orders that differ only in independent steps, or False")
    if reduce and policy == "trio":
        raise ConfigError('policy="trio" has two orders for each batch, and can\'t be reduced: give "batch" or "any"')
    search = Search(program, settings_of("enumerate_schedules", options), runs=budget, seconds=float("inf"))
    orders = Orders(policy) if reduce else None
    prefix: list[int] | None = []

    def go() -> str:
        nonlocal prefix
        for trial in () if orders is None else orders.trials():
            stopped = search.bench.stopped
            if stopped is not None:
                return stopped
            search.show("one order after the other")
            search.tries(trial)
        if orders is not None and orders.exhausted:
            return "having tried all that differ"
        while prefix is not None:
            stopped = search.bench.stopped
            if stopped is not None:
                return stopped
            search.show("one order after the other")
            run = search.tries((Recipe(policy=policy, deviations=dict(enumerate(prefix))), None))
            prefix = _next(run.choices, run.options)
        return "having tried them all"

    def report(stopped: str, *, explains: bool) -> Report:
        exhausted = prefix is None or (orders is not None and orders.exhausted)
        what = f"{'all ' if exhausted else ''}interleavings of policy {policy!r}"
        if orders is not None:
            what += f", {orders}"
            search.bench.notes.update(dict.fromkeys(orders.notes()))
        return search.found.report(
            search.bench,
            what=what,
            points=0,
            exhausted=exhausted,
            stopped=stopped,
            explains=explains,
            saved=0 if orders is None else orders.saved,
        )

    return search.report(go, report)


def _next(choices: tuple[int, ...], options: tuple[int, ...]) -> list[int] | None:
    """Return the choices that lead to the next schedule; None after the last one."""
    for index in reversed(range(len(choices))):
        if choices[index] + 1 < options[index]:
            return [*choices[:index], choices[index] + 1]
    return None
