"""`Stream`: the results of a fork one by one, as its paths end.

Problem: a caller wants each result as soon as it comes, and perhaps not all of them. Results are read in a block, which
the caller may leave at any moment and in any way.

Naive answer: an async generator that opens a nursery. If a caller breaks out of the loop, the generator and its nursery
stay open until the garbage collector finds them, possibly in another task.

What is done instead. A stream is an async context manager. Its nursery has one task, which runs the fork like any other
fork. When the block is left, that task is cancelled and awaited. An exception raised in the block leaves it unchanged,
not in a group.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, final

import attrs
import trio

from trio_steps._core.checks import check_flag
from trio_steps._core.errors import ConfigError, hide_frames_of_ours, leaves, short_repr
from trio_steps._core.public import public
from trio_steps._core.results import ForkPartialError

from .delivery import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType
    from typing import Self

    from .ledger import Ledger
    from .plan import Plan

T_co = TypeVar("T_co", covariant=True)


@public
@final
class Stream(Generic[T_co]):
    """The results of a fork, as its paths end. Enter it with ``async with``, and read it with ``async for``.

    `stream` and `Fork.stream` return one. It can be entered once and read once, by one task at a time.
    """

    __slots__ = ("_crash", "_delivery", "_id", "_manager", "_nursery", "_read", "_run", "_scope")

    _nursery: trio.Nursery

    def __init__(self, plan: Plan, delivery: Delivery, run: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Make a stream of what `delivery` receives while `run` runs `plan`."""
        self._id = plan.id
        self._delivery = delivery
        self._run = run
        self._manager: Any = None  # of the nursery; None before the block
        self._scope = trio.CancelScope()
        self._crash: Exception | None = None  # an error that comes neither from a path nor from the source
        self._read = False

    def __repr__(self) -> str:
        return f"<stream {self._id!r}>"

    async def __aenter__(self) -> Self:
        """Start the paths.

        Raises:
          RuntimeError: the stream was entered before.
        """
        if self._manager is not None:
            raise RuntimeError(f"{self!r} was entered before: a stream can be entered once, so make a new one")
        self._manager = trio.open_nursery(strict_exception_groups=True)
        self._nursery = await self._manager.__aenter__()
        self._nursery.start_soon(self._work, name=self._id)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancel the paths that are still running, and wait until they have ended."""
        self._scope.cancel(f"stream {self._id!r}: its block was left")
        fatal: BaseException | None = None
        try:
            # The block's own error propagates by itself, unless it may be a cancellation by the nursery.
            cancelled = self._nursery.cancel_scope.cancel_called
            await self._manager.__aexit__(*((kind, error, traceback) if cancelled else (None, None, None)))
        except BaseExceptionGroup as group:
            for leaf in leaves(group):
                if leaf is self._crash or not isinstance(leaf, (Exception, trio.Cancelled)):
                    fatal = fatal or leaf
        self._delivery.end(None)
        if fatal is not None:
            hide_frames_of_ours(fatal)
            raise fatal  # a KeyboardInterrupt, say; its context is `error`
        if error is None:
            await trio.lowlevel.checkpoint_if_cancelled()

    async def _work(self) -> None:
        """Run the fork, and keep its error for the reader, who will ask for it."""
        error: ForkPartialError[Exception] | None = None
        with self._scope:
            try:
                await self._run()
            except ForkPartialError as failure:
                hide_frames_of_ours(failure)  # the frame that raises it to the reader is enough
                error = failure
            except Exception as crash:
                self._crash = crash
                raise
        self._delivery.end(error)

    def __aiter__(self) -> Self:
        """Begin to read.

        Raises:
          RuntimeError: the stream has not been entered, or was read before.
        """
        if self._manager is None:
            raise RuntimeError(f"{self!r} has not been entered: write 'async with' around its 'async for'")
        if self._read:
            raise RuntimeError(f"{self!r} was read before: a stream can be read once, so keep what you still need")
        self._read = True
        return self

    def __anext__(self) -> Coroutine[Any, Any, T_co]:
        """Return the next result.

        Raises:
          ForkPartialError: a path failed and the mode is ``"all"``, or the source of paths failed.
          RuntimeError: another task is reading.
        """
        return self._delivery.take()  # not a coroutine itself, which would cost a frame per result


def stream_of(
    plan: Plan, run: Callable[[Plan], Coroutine[Any, Any, object]], *, ordered: bool, buffer: int | None
) -> Stream[Any]:
    """Make a stream of the results of `plan`, which `run` runs.

    Args:
      plan: a fork that settles, or whose paths all have to succeed.
      run: returns a coroutine that runs a plan.
      ordered: results come in path order.
      buffer: how many results may wait to be taken; while they do, no path starts. None: as many as paths may run at
        once.

    Raises:
      ConfigError: the fork has another mode or a `merge`, `ordered` is not a bool, or `buffer` is not a whole
        number of 1 or more.
    """
    check_flag("ordered", ordered, form="True for results in path order, or False for results as paths end")
    if plan.mode_name not in ("all", "settle"):
        raise ConfigError(
            f'fork {plan.id!r} has mode={plan.mode_name!r}: only "settle" and "all" have results to read one by one'
        )
    if plan.merge is not tuple:
        raise ConfigError(f"fork {plan.id!r} has merge=…, which needs all results at once: stream a fork without it")
    if buffer is not None and (isinstance(buffer, bool) or not isinstance(cast("object", buffer), int) or buffer < 1):
        raise ConfigError(f"buffer={short_repr(buffer)}: give the number of results that may wait, 1 or more; or None")
    limit = plan.concurrency
    if limit is None:
        room: float = inf
    else:
        room = limit if isinstance(limit, int) else max(limit.total_tokens, 1)  # it may have no token yet
    delivery = Delivery(settles=plan.mode_name == "settle", ordered=ordered, buffer=room if buffer is None else buffer)

    def mode(_ledger: Ledger[Any]) -> Delivery:
        return delivery

    streamed = attrs.evolve(plan, mode=mode, merge=None, delivery=delivery)
    return Stream(streamed, delivery, lambda: run(streamed))
