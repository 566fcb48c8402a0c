"""The engine: the one nursery that runs the paths of a fork, whatever its mode.

Problem: run paths side by side, tell a mode how each ended, stop the rest when it is decided, and account for every
value and every error, whenever the cancellation arrives.

Naive answer: a task per path, each wrapped in ``async with limiter`` and ``outcome.acapture``. It is slow (tasks and
waiters dominate), needs memory for every path that waits, and stores ``Cancelled`` as an outcome.

What is done instead. `spawn` starts the paths, and `workers` run them. `verdict` takes their ends, and decides as the
mode says. `state` is what these share. Only when all tasks have ended, and after one last look for a cancellation from
outside, does the fork answer. What it neither returns nor raises is `discarded`.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import trio

from trio_steps._core.scope import current_scope
from trio_steps._core.step import called

from .spawn import start_paths
from .state import State
from .verdict import Verdict

if TYPE_CHECKING:
    from trio_steps._fork.plan import Plan


async def run(plan: Plan, /, *args: Any) -> Any:
    """Run `plan` in the scope that is open, and return its result."""
    if plan.known is not None:  # else there is a source, which must be closed in any case
        await trio.lowlevel.checkpoint_if_cancelled()
    state = State(plan, args, current_scope())
    verdict = Verdict(state)
    discarded = state.discarded
    answer: Any = None
    error: Exception | None = None
    try:
        try:
            async with trio.open_nursery(strict_exception_groups=True) as state.nursery:
                if plan.timeout is not None:
                    state.nursery.cancel_scope.deadline = trio.current_time() + plan.timeout
                try:
                    await start_paths(verdict)
                except BaseException:
                    state.stopped = True
                    verdict.close_source()
                    raise
        except BaseExceptionGroup as group:
            verdict.sort_out(group)
        verdict.conclude()
        discarded.skip_queued()
        if not state.decided and verdict.failure is None:
            await trio.lowlevel.checkpoint_if_cancelled()  # from outside, then
        try:
            answer = verdict.answer()
        except Exception as raised:
            error = raised
        if plan.delivery is not None:
            plan.delivery.answered(error)
        if error is None:
            await discarded.drop_what_is_not_in(state.mode)
        elif state.ledger.is_own(error):
            await discarded.drop_what_no_error_holds(timed_out=state.timed_out)
        await trio.lowlevel.checkpoint_if_cancelled()
        if plan.delivery is not None:
            await plan.delivery.collected()
        if error is not None:
            raise error
        _adopt_state(state)
        return await _merged(state, answer)
    except BaseException as raised:
        if plan.delivery is not None:
            plan.delivery.answered(raised)
        if not state.ledger.is_own(raised):
            await discarded.drop_everything(raised, lost=error)
        raise
    finally:
        del error
        verdict.forget_errors()
        state.end()


def _adopt_state(state: State) -> None:
    """Replace the state of the fork with that of the winner."""
    winner: Any = getattr(state.mode, "winner", None)
    if winner is None:
        return
    if not state.ledger.has_succeeded(winner):
        raise RuntimeError(f"mode of fork {state.name!r}: winner={winner!r} is not a path that has succeeded")
    if state.scope.state is not None:
        won = state.states[winner]
        state.scope.state.clear()
        state.scope.state.update(won)


async def _merged(state: State, answer: Any) -> Any:
    plan = state.plan
    merge = plan.merge
    if merge is None:
        return answer
    if plan.by_name:
        answer = dict(zip(state.ledger.names, answer))  # noqa: B905 - as long as each other
        if merge is tuple:
            return answer
    if plan.dispose is not None or state.observe is not None:
        answer = copy(answer)  # merge may do with it what it likes; if it fails, the values are still here
    return await called(merge, (answer, state.scope) if plan.merge_wants_scope else (answer,))
