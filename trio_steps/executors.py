"""Paths that run in an executor: on threads, in processes, or on other machines.

Problem: a `concurrent.futures.Executor` runs functions elsewhere, but to wait for one of its futures blocks, and it
knows nothing of cancel scopes. A path that runs there has to lose races and time out like any other.

Naive answer: a thread that waits for the future, and is abandoned when the path is cancelled. The work goes on, changes
things later, and its value is lost.

What is done instead is what Trio does with its own threads. The future wakes the task when it is done. A cancellation
cancels the future: a call that has not begun never will. One that runs on regardless is waited for, and its value or
error is what the path ends with; if that is too late, the fork disposes of it, or reports it.

An executor can break: a worker process is killed, and every later call fails as well. One that is made by a factory is
made anew then, for the next call; so a `Retry` heals it.

What is deliberately not done: to stop waiting for a call that still runs. How to have it killed is told in
``docs/executors.md``.
"""

from __future__ import annotations

import functools
import inspect
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, final

import trio

from ._core.describe import describe
from ._core.errors import ConfigError, add_note
from ._values.described import described

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

__all__ = ["on_executor"]

ParametersT = ParamSpec("ParametersT")
T = TypeVar("T")


def on_executor(
    executor_or_factory: Executor | Callable[[], Executor], fn: Callable[ParametersT, T], /
) -> Callable[ParametersT, Awaitable[T]]:
    """Make an async function of `fn`, which runs in an executor: ``step(on_executor(pool, resize), timeout=5)``.

    It takes the arguments of `fn`, can be a path or step like any other, and is called what `fn` is called. When it is
    cancelled, so is its future. A call that was queued never runs. One whose future can't be cancelled any more is
    waited for, as by ``trio.to_thread.run_sync``, and what it returns or raises is not lost.

    How many calls run at once is up to the executor; how many wait in its queue, to the ``concurrency`` of the fork.
    Context variables of the caller don't reach `fn`. For an executor of processes or machines, `fn`, its arguments and
    what it returns have to be picklable. The executor is the caller's to shut down, when everything here has ended.

    Args:
      executor_or_factory: a `concurrent.futures.Executor`: of threads or processes of the standard library, or of any
        other library that has one. Or a function that returns one: it is called at the first call, and again for the
        next call after the executor has broken.
      fn: a sync function.

    Raises:
      ConfigError: the first argument is neither an executor nor a function, or is one of Dask's in which equal calls
        share one result; or `fn` is no sync function. (When it runs) the factory returns such a thing.
      concurrent.futures.CancelledError: (when it runs) the executor, or somebody else, has cancelled the future, as
        ``executor.shutdown(cancel_futures=True)`` does.
      concurrent.futures.BrokenExecutor: (when it runs) the executor has lost a worker, and with it the call.
      RuntimeError: (when it runs) the executor has been shut down.
    """
    if isinstance(executor_or_factory, Executor):
        _check(executor_or_factory)
    elif not callable(executor_or_factory):
        raise ConfigError(
            f"on_executor({executor_or_factory!r}, …): give a concurrent.futures.Executor, or a function that makes one"
        )
    if inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None)):  # noqa: B004
        raise ConfigError(f"on_executor(…, {fn!r}): an executor can't run an async function; give a sync one")
    return _OnExecutor(executor_or_factory, fn)


def _check(executor: Executor) -> None:
    """Refuse an executor of Dask in which equal calls are one: they share a failure, a cancellation and a retry."""
    if type(executor).__module__.partition(".")[0] == "distributed":
        options = vars(executor).get("_kwargs")  # it has no public name
        if isinstance(options, dict) and cast("dict[str, object]", options).get("pure") is not False:
            raise ConfigError(
                "on_executor(client.get_executor(), …): equal calls would share one result, one failure and one "
                "cancellation, so that a retry could only fail again; give client.get_executor(pure=False)"
            )


@final
class _Pool:
    """Where the calls of one function go: an executor, or what a factory makes."""

    def __init__(self, given: Executor | Callable[[], Executor]) -> None:
        self.given = given
        self._made: Executor | None = None

    def executor(self) -> Executor:
        """Return the executor for the next call."""
        if isinstance(self.given, Executor):
            return self.given
        if self._made is None:
            made: object = self.given()
            if not isinstance(made, Executor):
                raise ConfigError(
                    f"on_executor({self.given!r}, …): the function has to return a concurrent.futures.Executor, "
                    f"not {described(made)}"
                )
            _check(made)
            self._made = made
        return self._made

    def broken(self, executor: Executor) -> None:
        """Have the factory called again; if `executor` has failed several calls, the first of them does it."""
        if self._made is executor:
            self._made = None


@final
class _OnExecutor(Generic[ParametersT, T]):
    """An async function; an object, so that whoever asks for its signature is told that of the function inside."""

    def __init__(self, given: Executor | Callable[[], Executor], fn: Callable[ParametersT, T]) -> None:
        functools.update_wrapper(self, fn)  # which copies the attributes of an object that can be called, too
        self._pool = _Pool(given)
        self._fn = fn
        self.__name__ = describe(fn)[0]

    def __repr__(self) -> str:
        return f"on_executor({self._pool.given!r}, {self._fn!r})"

    @trio.lowlevel.enable_ki_protection  # or Ctrl-C could come after submitting, and leave the call behind
    async def __call__(self, *args: ParametersT.args, **kwargs: ParametersT.kwargs) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        executor = self._pool.executor()
        try:
            future = executor.submit(self._fn, *args, **kwargs)
        except Exception:
            self._pool.broken(executor)  # whatever is wrong with it
            raise
        await _ended(future)
        try:
            return future.result()
        except BrokenExecutor as error:
            self._pool.broken(executor)
            if isinstance(self._pool.given, Executor):
                add_note(
                    error,
                    "the executor can't be used any more; with a function that makes one, "
                    "on_executor(make_pool, fn), the next call gets a new one",
                )
            raise
        except CancelledError as error:
            if not future.cancelled():
                raise  # it is the function's own
            raise CancelledError(
                f"the call of {self.__name__!r} was cancelled by its executor, not from here: it was shut down, lost "
                "its workers, or somebody else cancelled the future"
            ) from error
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
