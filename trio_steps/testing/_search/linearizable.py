"""Checks whether an object that many tasks use at once behaves as if they used it one after the other."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import attrs
import trio

from trio_steps._core.checks import check_count, check_sync
from trio_steps._core.errors import ConfigError, short_repr
from trio_steps.testing._history import History
from trio_steps.testing._machine.conductor import name_of
from trio_steps.testing._machine.settings import check_seed

from .explore import explore

if TYPE_CHECKING:
    from typing import Unpack

    from trio_steps.testing._machine.settings import Options, Program
    from trio_steps.testing._probe import Probe
    from trio_steps.testing._report import Failure, Report

Drawn: TypeAlias = tuple[Any, ...]
Operation: TypeAlias = str | Callable[[Random], Drawn]
"""The name of a method without arguments, or a function that draws a call: ``lambda random: ("put", 5)``."""

_NEVER: Final = 1e9  # seconds; when that has passed, no one is left who could do anything
_TASKS: Final = (2, 3, 4)
_CALLS: Final = 3  # of each task


def linearizable(
    make: Callable[[], object],
    model: Callable[[], object],
    operations: Iterable[Operation],
    *,
    plans: int = 12,
    budget: int = 100,
    seed: int = 0,
    **options: Unpack[Options],
) -> Report:
    """Check that an object behaves like a sequential model of it, however the calls of several tasks overlap.

    Two to four tasks call methods of one object at once: in many orders, cancelled, and with timeouts that fire alone.
    There must be some order of the calls in which the model, called sequentially, returns the same results. In that
    order, no call may come before a call that had ended when it started. Errors are results: the model has to raise the
    same type. A call that was cancelled may have happened or not.

    If a method of the model raises `trio.WouldBlock`, that call has to wait. A call that waits forever must also have
    to wait in the model, so a lost wake-up is found. If the model has an attribute ``task``, it is set to the number of
    the calling task, which a model of a lock needs.

    Args:
      make: makes the object; called in each run, by a task.
      model: makes the model, an object that can be deep-copied, with sync methods of the same names.
      operations: what the tasks may call: names of methods, or functions that draw a call from a `random.Random`.
      plans: how many times to draw the calls of the tasks.
      budget: the number of runs for each plan.
      seed: the seed of the plans.
      options: see `Options`.

    Returns:
      The report of the first plan with a failure, or of the last one. The failure shows the history as a table.

    Raises:
      ConfigError: an argument is not valid.
      RuntimeError: it was called inside a Trio program.
    """
    drawn = _checked(operations)
    check_count(f"plans={short_repr(plans)}", plans, form="a number of plans, 1 or more")
    check_seed(seed)
    for name, made in (("make", make), ("model", model)):
        if not callable(cast("object", made)):
            raise ConfigError(f"{name}={short_repr(made)}: give a function that makes one, such as a class")
    runs = 0
    report: Report | None = None
    for number in range(plans):
        random = Random(f"linearizable {seed} {number}")  # noqa: S311 - not used for secrets
        calls = [[_draw(random, drawn) for _ in range(_CALLS)] for _ in range(_TASKS[number % len(_TASKS)])]
        report = explore(_program(make, model, calls), budget=budget, seed=seed + number, **options)
        runs += report.runs
        if report.failures:
            break
    assert report is not None
    name = f"linearizable({name_of(make)}, …)"
    failures = tuple(_told(failure, f"  again: {name} with the same arguments") for failure in report.failures)
    return attrs.evolve(report, program=name, runs=runs, exhausted=False, failures=failures)


def _told(failure: Failure, again: str) -> Failure:
    """Return `failure` with a last line that says how to reproduce it, because the user does not have the program."""
    return attrs.evolve(failure, text=f"{failure.text.rpartition(chr(10))[0]}\n{again}")


def _program(make: Callable[[], object], model: Callable[[], object], plan: list[list[Drawn]]) -> Program:
    async def history_of_calls(probe: Probe) -> None:
        history = History()

        @probe.invariant
        def some_order_explains_the_history() -> None:
            if not history.explained(model):  # not an assert: pytest would add its values, with their addresses
                raise AssertionError(f"no order explains what was returned:\n{history.table()}")

        made = [make()]  # in a list, because a lock in a variable has to end as it began
        done = trio.Event()
        left = len(plan)

        async def call_all(task: int) -> None:
            nonlocal left
            await _call_all(history, made[0], task, plan[task])
            left -= 1
            if not left:
                done.set()
            await done.wait()  # a lock breaks when its owner ends

        with trio.CancelScope(deadline=_NEVER):
            async with trio.open_nursery() as nursery:
                for task in range(len(plan)):
                    nursery.start_soon(call_all, task, name=f"task {task}")

    return history_of_calls


async def _call_all(history: History, made: object, task: int, calls: list[Drawn]) -> None:
    for name, *arguments in calls:
        call = history.start(task, name, tuple(arguments))
        with trio.CancelScope(deadline=_NEVER * 2):  # one call may be cancelled, and no other
            try:
                result = getattr(made, name)(*arguments)
                if inspect.isawaitable(result):
                    result = await cast("Any", result)
            except trio.Cancelled:
                history.end(call, "stuck" if trio.current_time() >= _NEVER else "cancelled")
                raise
            except Exception as error:  # noqa: BLE001 - errors are results
                history.end(call, "raised", error)
            else:
                history.end(call, "returned", result)
        await trio.lowlevel.checkpoint()


def _draw(random: Random, operations: list[Operation]) -> Drawn:
    operation = operations[int(random.random() * len(operations))]
    drawn: object = (operation,) if isinstance(operation, str) else operation(random)
    if isinstance(drawn, tuple):
        name, *arguments = (*cast("tuple[object, ...]", drawn), None)
        if isinstance(name, str):
            return name, *arguments[:-1]
    raise ConfigError(f'an operation has drawn {drawn!r}: return the name of a method and its arguments, ("put", 5)')


def _checked(operations: Iterable[Operation]) -> list[Operation]:
    alone = isinstance(operations, str) or not isinstance(cast("object", operations), Iterable)
    given: list[Operation] = [cast("Operation", operations)] if alone else list(operations)
    form = (
        "names of methods, or functions that draw a call, "
        'operations=["get", lambda random: ("put", random.randrange(3))]'
    )
    what = f"operations={short_repr(operations)}"
    if not given:
        raise ConfigError(f"{what}: give {form}")
    for operation in given:
        if not isinstance(operation, str):
            check_sync(lambda: what, operation, form)
    return given
