"""How the paths of a fork are started: in a task for each, or by a crew that shares them.

- Known paths without a limit are *spread*: each has a task, which takes its path when it begins.
- Known paths of which at least half may run at once are a *relay*: each task starts another when its path has ended.
- Any other sync source under a limit is served by a *crew*, whose members run one path after another.
- Everything else (a lazy source without a limit, a stagger, an async source) is *fed* by the caller's own task, one
  task a path. An async source is advanced and closed by that task only, because it may hold a nursery or a scope.
"""

from __future__ import annotations

from collections import deque
from contextvars import copy_context
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, final

import trio

from trio_steps._core.describe import check_arguments, describe
from trio_steps._core.errors import ConfigError
from trio_steps._core.policy.limiter import hold

from .workers import STRETCH, Crew, run_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from trio_steps._core.policy.limiter import Lease
    from trio_steps._fork.paths import Path

    from .verdict import ForkRun


def start_paths(fork: ForkRun) -> Coroutine[Any, Any, None] | None:
    """Start the paths of `fork`, which may still be running after that.

    If that takes more than a moment, return what starts them.
    """
    plan, known = fork.plan, fork.plan.known
    if (
        known is None
        or plan.stagger is not None
        or plan.rate is not None
        or plan.growing
        or plan.delivery is not None
        or len(known.calls) > STRETCH
    ):
        room = count = 0
    else:
        count = len(known.calls)
        room = count if plan.concurrency is None else _room(plan.concurrency, count)
    if not room:
        fork.context = copy_context()
        return _start(fork)
    fork.exhausted(count)
    if not fork.decided:
        if room < count:
            fork.context = copy_context()
            fork.start_next = _Relay(fork, count - room).start_next
        start_soon, name = fork.nursery.start_soon, fork.name
        for _ in range(room):
            start_soon(run_paths, fork, name=name)  # it takes its path when it begins
    return None


def _room(limit: int | trio.CapacityLimiter | None, count: int) -> int:
    """Return how many of `count` known paths get a task at once; 0 if a crew runs them."""
    if limit is None:
        return count
    return min(limit, count) if isinstance(limit, int) and count <= 2 * limit else 0


async def _start(fork: ForkRun) -> None:
    """Open the source, and start its paths."""
    plan, source = fork.plan, fork.source
    if plan.known is None:
        await _open_source(fork)
        if source.known is not None and plan.adapt is None:
            source.known.check(has_input=bool(fork.args))
        fork.take_end_of_source()
    elif source.total is not None:  # it does not grow
        fork.exhausted(source.total)
    if fork.decided:
        return
    known, delivery = source.known, plan.delivery
    in_turn = plan.stagger is not None or plan.rate is not None or plan.growing
    room = count = 0
    if known is not None and not in_turn and (delivery is None or delivery.buffer == inf):
        count = len(known.calls)
        room = _room(plan.concurrency, count)
    if room:
        if room < count:
            fork.start_next = _Relay(fork, count - room).start_next
        start_soon, name = _starter(fork), fork.name
        for number in range(1, room + 1):
            start_soon(run_paths, fork, name=name)
            if not number % STRETCH:
                await trio.lowlevel.checkpoint()
    elif plan.concurrency is None or source.is_async or in_turn:
        await _Feeder(fork).feed()
        if plan.growing:
            await fork.wait_for_end()
    else:
        Crew(fork).begin()
        await fork.wait_for_end()


@final
class _Relay:
    """Lets each path of a fork, which has a task of its own, start the task of another path when it ends."""

    __slots__ = ("_fork", "_left")

    def __init__(self, fork: ForkRun, left: int) -> None:
        """Make a relay of which `left` tasks are not started yet."""
        self._fork = fork
        self._left = left

    def start_next(self) -> None:
        """Start a task, unless all are started, or no more paths may start."""
        fork = self._fork
        if self._left and not fork.source.dry:
            self._left -= 1
            fork.context.run(fork.nursery.start_soon, self._run, name=fork.name)  # type: ignore[arg-type]

    async def _run(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()  # the caller's task does not look at this time
        await run_paths(self._fork)


async def _open_source(fork: ForkRun) -> None:
    plan, source = fork.plan, fork.source
    if plan.function is not None:
        args = fork.args
        if plan.function_wants_scope:
            args = (*args, fork.scope) if args else (None, fork.scope)
        await source.ask(plan.function, args)
    else:
        source.open(plan.source)
    try:
        await trio.lowlevel.checkpoint_if_cancelled()
    except trio.Cancelled:
        await source.begin()
        raise


def _starter(fork: ForkRun) -> Callable[..., None]:
    """Return a ``start_soon`` for the caller's task, whose own context the source may have changed."""
    if fork.plan.known is None and (fork.source.is_async or fork.plan.function is not None):
        return partial(fork.context.run, fork.nursery.start_soon)  # type: ignore[arg-type]
    return fork.nursery.start_soon


@final
class _Feeder:
    """Takes the paths in the caller's task, and starts a task for each.

    A path that was taken waits in a queue for the next task that starts, because Trio runs tasks in no particular
    order. In a growing fork, a path that is added gets a task at once, which waits for its turn like the feeder itself.
    Whoever's turn it is starts the first path of the queue. So paths start in the order in which they were added.
    """

    __slots__ = ("_claimed", "_fork", "_limiter", "_ready", "_started", "_turn")

    def __init__(self, fork: ForkRun) -> None:
        limit = fork.plan.concurrency
        self._fork = fork
        self._limiter = trio.CapacityLimiter(limit) if isinstance(limit, int) else limit
        self._ready: deque[Path] = deque()
        self._claimed = 0  # how many of these are claimed by tasks that are about to begin
        self._started = 0  # tasks
        self._turn = trio.StrictFIFOLock()

    async def feed(self) -> None:
        """Take the paths until there are no more."""
        fork = self._fork
        plan, source, start_soon = fork.plan, fork.source, _starter(fork)
        if plan.growing:
            fork.scope.grow = self._add
        # An async source may take any time for its next path. In the meantime, the fork holds no token that others
        # could use: another user of a shared limiter, or a path that is added.
        takes_first = source.is_async and (plan.growing or self._limiter is plan.concurrency)
        lease: Lease | None = None
        try:
            while self._started != source.total and not (plan.growing and source.dry):
                if not plan.growing:
                    await self._wait_for_room()
                if not takes_first:
                    lease = await self._wait_for_turn()
                # Each added path has a task. So if the feeder and each such task start one path, all paths start.
                if takes_first or len(self._ready) == self._claimed:
                    path = await source.take_async() if source.is_async else source.take()
                    if path is None:  # the source has run dry or failed, or the fork is decided
                        if source.errors:
                            self._fork.take_end_of_source()
                        return  # errors from closing it are handled below
                    self._ready.append(path)
                if takes_first:
                    lease = await self._wait_for_turn()
                self._claimed += 1
                self._note_start()
                start_soon(self._run_claimed, lease, name=fork.name)
                lease = None
                if not self._started % STRETCH:
                    await trio.lowlevel.checkpoint()
        finally:
            if lease is not None:
                lease.end()
            try:
                await source.aclose()
            finally:
                self._fork.take_end_of_source()
                self._fork.end_if_idle()

    async def _wait_for_turn(self) -> Lease | None:
        """Wait until another path may start, and return the token for it."""
        if not self._fork.plan.growing:
            return await self._wait_for_token()
        try:
            self._turn.acquire_nowait()  # no checkpoint: whether a path has added another by now would be up to chance
        except trio.WouldBlock:
            await self._turn.acquire()
        try:
            await self._wait_for_room()
            return await self._wait_for_token()
        finally:
            self._turn.release()

    async def _wait_for_token(self) -> Lease | None:
        return None if self._limiter is None else await hold(self._limiter, self._fork.scope.lease)

    async def _wait_for_room(self) -> None:
        """Wait for everything but a token."""
        fork = self._fork
        plan, pace = fork.plan, fork.pace
        if pace is not None and self._started:
            await pace.wait()
        if plan.delivery is not None:
            await plan.delivery.room()
        if plan.rate is not None:
            await plan.rate.acquire()

    def _note_start(self) -> None:
        self._started += 1
        if self._fork.pace is not None:
            self._fork.pace.start()

    async def _run_claimed(self, lease: Lease | None) -> None:
        self._claimed -= 1
        await self._run_first(lease)

    async def _run_first(self, lease: Lease | None) -> None:
        """Run the path that has waited longest, if paths may still start."""
        path = self._ready.popleft()
        try:
            if not self._fork.stopped:
                await run_paths(self._fork, fed=path, lease=lease)
        finally:
            if lease is not None:
                lease.end()
        self._fork.end_if_idle()

    # A fork that grows

    def _add(self, path: Callable[..., object]) -> None:
        """Add `path` to the fork."""
        fork = self._fork
        if fork.over() or fork.stopped:
            raise RuntimeError(f"fork {fork.name!r} is decided, so no path can be added: {fork.ledger.reason}")
        if fork.plan.adapt is None:
            id, given, call = describe(path)
            check_arguments(call, id, has_input=bool(fork.args))
            if given and fork.plan.by_name and id in fork.ledger.names:
                raise ConfigError(
                    f"fork {fork.name!r} has a path {id!r}, and its results go by name: "
                    "give each path that you add an id of its own, step(…, id=…)"
                )
        self._ready.append(fork.source.add(path))
        start_soon = fork.nursery.start_soon
        fork.context.run(start_soon, self._run_added, name=fork.name)  # type: ignore[arg-type]

    async def _run_added(self) -> None:
        async with self._turn:
            if len(self._ready) == self._claimed:
                return  # the feeder has started that path
            await self._wait_for_room()
            lease = await self._wait_for_token()
        self._note_start()
        await self._run_first(lease)
