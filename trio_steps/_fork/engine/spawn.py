"""How the paths of a fork are set going: a task for each, or a crew that shares them.

- A *crew* serves a sync source under a limit: its members run one path after another.
- Known paths without a limit are *spread*: each has a task, which takes its path when it begins.
- Everything else (a lazy source without a limit, a stagger, an async source) is *fed* by the caller's own task, one
  task a path. An async source is advanced and closed by that task only, because it may hold a nursery or a scope.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from math import inf
from typing import TYPE_CHECKING, final

import trio

from trio_steps._core.limiter import hold

from .workers import STRETCH, Crew, run_paths

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_steps._core.limiter import Lease
    from trio_steps._fork.paths import Path

    from .state import State
    from .verdict import Verdict


async def start_paths(verdict: Verdict) -> None:
    """Open the source, and set its paths going; those that have started may still run when this returns."""
    state = verdict.state
    await _open_source(verdict)
    if state.decided:
        return
    known = state.source.known
    delivery = state.plan.delivery
    is_limited = state.plan.concurrency is not None
    all_at_once = not is_limited and state.pace is None and (delivery is None or delivery.buffer == inf)
    if known is not None and all_at_once:
        await _spread(verdict, len(known))
    elif not is_limited or state.source.is_async or state.pace is not None:
        await _Feeder(verdict).feed()
    elif not Crew(verdict).begin():
        await state.wait_for_end()


async def _open_source(verdict: Verdict) -> None:
    state = verdict.state
    plan, source = state.plan, state.source
    if plan.function is not None:
        args = state.args
        if plan.function_wants_scope:
            args = (*args, state.scope) if args else (None, state.scope)
        await source.ask(plan.function, args)
    elif plan.known is None:
        source.open(plan.source)
    if plan.known is None:
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            await source.begin()
            raise
    verdict.take_end_of_source()


def _starter(state: State) -> Callable[..., None]:
    """Return a ``start_soon`` for the caller's task, whose own context the source may have changed."""
    if state.source.is_async or state.plan.function is not None:
        return partial(state.context.run, state.nursery.start_soon)  # type: ignore[arg-type]
    return state.nursery.start_soon


async def _spread(verdict: Verdict, paths: int) -> None:
    """Start a task for each path, which takes its path when it begins."""
    state = verdict.state
    start_soon, name = _starter(state), state.name
    for number in range(1, paths + 1):
        start_soon(run_paths, verdict, name=name)
        if not number % STRETCH:
            await trio.lowlevel.checkpoint()


@final
class _Feeder:
    """Takes the paths in the caller's task, and starts a task for each.

    What has been taken waits in a queue for the next task that begins, because Trio runs tasks in no order.
    """

    __slots__ = ("_ready", "_state", "_verdict")

    def __init__(self, verdict: Verdict) -> None:
        self._state = verdict.state
        self._verdict = verdict
        self._ready: deque[tuple[Path, Lease | None]] = deque()

    async def feed(self) -> None:
        """Take the paths until there is none."""
        state = self._state
        limiter, outer = state.plan.concurrency, state.scope.lease
        if isinstance(limiter, int):
            limiter = trio.CapacityLimiter(limiter)
        start_soon, source, pace = _starter(state), state.source, state.pace
        delivery = state.plan.delivery
        # Nobody knows when an async source has its next path. While it waits for that, the fork holds no shared token.
        takes_first = source.is_async and limiter is state.plan.concurrency
        fed = 0
        lease: Lease | None = None
        try:
            while fed != source.total:
                if pace is not None and fed:
                    await pace.wait()
                if delivery is not None:
                    await delivery.room()
                if limiter is not None and not takes_first:
                    lease = await hold(limiter, outer)
                path = await source.take_async() if source.is_async else source.take()
                if path is None:  # it has run dry or failed, or the fork is decided
                    if source.errors:
                        self._verdict.take_end_of_source()
                    return  # what closing it brings is taken below
                if limiter is not None and takes_first:
                    lease = await hold(limiter, outer)
                    if state.stopped:
                        return
                self._ready.append((path, lease))
                lease = None
                if pace is not None:
                    pace.start()
                start_soon(self._run_next, name=state.name)
                fed += 1
                if not fed % STRETCH:
                    await trio.lowlevel.checkpoint()
        finally:
            if lease is not None:
                lease.end()
            try:
                await source.aclose()
            finally:
                self._verdict.take_end_of_source()

    async def _run_next(self) -> None:
        """Run the path that waits the longest, if any may still be started."""
        path, lease = self._ready.popleft()
        try:
            if not self._state.stopped:
                await run_paths(self._verdict, fed=path, lease=lease)
        finally:
            if lease is not None:
                lease.end()
