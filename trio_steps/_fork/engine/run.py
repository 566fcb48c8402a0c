"""The engine: the one nursery that runs the paths of a fork, whatever its mode.

Problem: run paths side by side, tell a mode how each ended, stop the rest when it is decided, and account for every
value and every error, whenever the cancellation arrives.

Naive answer: a task per path, each wrapped in ``async with limiter`` and ``outcome.acapture``. It is slow (tasks and
waiters dominate), needs memory for every path that waits, and stores ``Cancelled`` as an outcome.

What is done instead. `spawn` starts the paths, `workers` run them, and `verdict` handles their ends and decides as the
mode says. They share one object, a `ForkRun` (`state`). Only when all tasks have ended does the fork look once more for
a cancellation from outside. Then it answers, and what it neither returns nor raises is `discarded`.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, cast

import trio

from trio_steps._core.scope import current
from trio_steps._core.step import called

from .spawn import start_paths
from .verdict import ForkRun

if TYPE_CHECKING:
    from trio_steps._fork.plan import Plan


async def run(plan: Plan, /, *args: Any) -> Any:
    """Run `plan` in the scope that is open, and return its result."""
    known = plan.known
    if known is not None:  # a source must be closed in any case
        await trio.lowlevel.checkpoint_if_cancelled()
        if known.to_check and not (args and known.checked):
            known.check(has_input=bool(args))
    scope = current.get()
    assert scope is not None  # a fork is a step
    fork = ForkRun(plan, args, scope)
    answer: Any = None
    error: Exception | None = None
    try:
        try:
            async with trio.open_nursery(strict_exception_groups=True) as fork.nursery:
                if plan.timeout is not None:
                    fork.nursery.cancel_scope.deadline = trio.current_time() + plan.timeout
                try:
                    starting = start_paths(fork)
                    if starting is not None:
                        await starting
                except BaseException:
                    fork.stopped = True
                    fork.close_source()
                    raise
        except BaseExceptionGroup as group:
            fork.sort_out(group)
        if not fork.decided:
            fork.conclude()
        if fork.observe is not None:
            fork.discarded.skip_queued()
        if not fork.decided and fork.failure is None:
            await trio.lowlevel.checkpoint_if_cancelled()  # raises if it came from outside
        try:
            answer = fork.answer()
        except Exception as raised:
            error = raised
            fork.ledger.closed = True
        if error is not None:
            if fork.ledger.is_own(error):
                await fork.discarded.drop_what_no_error_holds(timed_out=fork.timed_out)
        elif fork.leftovers or getattr(fork.mode, "kept", None) is not None:
            await fork.discarded.drop_what_is_not_in(fork.mode)
        await trio.lowlevel.checkpoint_if_cancelled()
        if plan.delivery is not None:
            await plan.delivery.collected()
        if error is not None:
            raise error
        if hasattr(fork.mode, "winner"):
            _adopt_state(fork)
        if plan.merge is tuple and not plan.by_name:
            answer = tuple(answer)
        elif plan.merge is not None:
            answer = await _merged(fork, answer)
        return answer if fork.observe is None else _observed(fork, answer)
    except BaseException as raised:
        fork.ledger.closed = True
        if not fork.ledger.is_own(raised):
            await fork.discarded.drop_everything(raised, lost=error)
        raise
    finally:
        del error
        fork.end()


def _observed(fork: ForkRun, answer: Any) -> Any:
    """Return `answer`, and leave behind how to take it back if an observer is interrupted before the caller has it."""
    if hasattr(fork.scope, "take_back"):
        holds_errors = fork.plan.delivery is None and getattr(fork.mode, "kept", None) is None
        fork.scope.take_back = fork.discarded.taker_back(holds_errors=holds_errors)
    return answer


def _adopt_state(fork: ForkRun) -> None:
    """Replace the state of the fork with that of the winner."""
    winner: Any = cast("Any", fork.mode).winner
    if winner is None:
        return
    if not fork.ledger.has_succeeded(winner):
        raise RuntimeError(f"mode of fork {fork.name!r}: winner={winner!r} is not a path that has succeeded")
    if fork.scope.state is not None:
        won = fork.states[winner]
        fork.scope.state.clear()
        fork.scope.state.update(won)


async def _merged(fork: ForkRun, answer: Any) -> Any:
    plan = fork.plan
    merge = plan.merge
    assert merge is not None
    if plan.by_name:
        answer = dict(zip(fork.ledger.names, answer))  # noqa: B905 - as long as each other
        if merge is tuple:
            return answer
    if plan.dispose is not None or fork.observe is not None:
        answer = copy(answer)  # merge may change it; if merge fails, the values must still be here
    return await called(merge, (answer, fork.scope) if plan.merge_wants_scope else (answer,))
