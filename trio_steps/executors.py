"""Paths that run in an executor: on threads, in processes, or on other machines.

Problem: a `concurrent.futures.Executor` runs functions elsewhere, but to wait for one of its futures blocks, and it
knows nothing of cancel scopes. A path that runs there has to lose races and time out like any other.

Naive answer: a thread that waits for the future, and is abandoned when the path is cancelled. The work goes on, changes
things later, and its value is lost.

What is done instead is what Trio does with its own threads. The future wakes the task when it is done. A cancellation
cancels the future: a call that has not begun never will. One that runs on regardless is waited for, and its value or
error is what the path ends with; if that is too late, the fork disposes of it, or reports it.

What is deliberately not done: to stop waiting for a call that still runs. How to have it killed is told in
``docs/executors.md``.
"""

from __future__ import annotations

import functools
import inspect
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, final

import trio

from ._core.errors import ConfigError
from ._core.step import describe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

__all__ = ["on_executor"]

ParametersT = ParamSpec("ParametersT")
T = TypeVar("T")


def on_executor(executor: Executor, fn: Callable[ParametersT, T], /) -> Callable[ParametersT, Awaitable[T]]:
    """Make an async function of `fn`, which runs in `executor`: ``step(on_executor(pool, resize), timeout=5)``.

    It takes the arguments of `fn`, can be a path or step like any other, and is called what `fn` is called. When it is
    cancelled, so is its future. A call that was queued never runs. One whose future can't be cancelled any more is
    waited for, as by ``trio.to_thread.run_sync``, and what it returns or raises is not lost.

    How many calls run at once is up to the executor; how many wait in its queue, to the ``concurrency`` of the fork.
    Context variables of the caller don't reach `fn`. For an executor of processes or machines, `fn`, its arguments and
    what it returns have to be picklable. The executor is the caller's to shut down, when everything here has ended.

    Args:
      executor: a `concurrent.futures.Executor`: of threads or processes of the standard library, or of any other
        library that has one.
      fn: a sync function.

    Raises:
      ConfigError: `executor` is no executor, or `fn` no sync function.
      concurrent.futures.CancelledError: (when it runs) somebody else has cancelled the future, such as
        ``executor.shutdown(cancel_futures=True)``.
      RuntimeError: (when it runs) the executor has been shut down.
    """
    if not isinstance(executor, Executor):
        raise ConfigError(f"on_executor({executor!r}, …): give a concurrent.futures.Executor")
    if inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None)):  # noqa: B004
        raise ConfigError(f"on_executor(…, {fn!r}): an executor can't run an async function; give a sync one")
    return _OnExecutor(executor, fn)


@final
class _OnExecutor(Generic[ParametersT, T]):
    """An async function; an object, so that whoever asks for its signature is told that of the function inside."""

    def __init__(self, executor: Executor, fn: Callable[ParametersT, T]) -> None:
        functools.update_wrapper(self, fn)  # which copies the attributes of an object that can be called, too
        self._executor = executor
        self._fn = fn
        self.__name__ = describe(fn)[0]

    def __repr__(self) -> str:
        return f"on_executor({self._executor!r}, {self._fn!r})"

    @trio.lowlevel.enable_ki_protection  # or Ctrl-C could come after submitting, and leave the call behind
    async def __call__(self, *args: ParametersT.args, **kwargs: ParametersT.kwargs) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        future = self._executor.submit(self._fn, *args, **kwargs)
        await _ended(future)
        try:
            return future.result()
        finally:
            del future  # its error refers to this frame; else the two would keep each other alive


async def _ended(future: Future[Any]) -> None:
    """Wait until `future` has a result, or an error; if this is cancelled, then only if the future can't be."""
    task, token = trio.lowlevel.current_task(), trio.lowlevel.current_trio_token()
    cancelled = False

    def wake() -> None:
        if not cancelled:
            trio.lowlevel.reschedule(task)

    def abort(_: object) -> trio.lowlevel.Abort:
        nonlocal cancelled
        cancelled = future.cancel()  # it tells its callbacks, too
        return trio.lowlevel.Abort.SUCCEEDED if cancelled else trio.lowlevel.Abort.FAILED

    future.add_done_callback(lambda _: token.run_sync_soon(wake))
    await trio.lowlevel.wait_task_rescheduled(abort)
