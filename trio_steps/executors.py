"""Paths that run in an executor: on threads, in processes, or on other machines.

Problem: a `concurrent.futures.Executor` runs functions elsewhere, but waiting for its futures blocks, and it knows
nothing of cancel scopes. A path that runs there has to lose races and time out like any other.

Naive answer: a thread that waits for the future, and is abandoned when the path is cancelled. The work continues and
changes things later, and its value is lost.

What is done instead is what Trio does with its own threads. The future wakes the task when it is done. A cancellation
cancels the future, so a call that has not started never will. If the call is running already, the path waits for it,
and ends with its value or error. If that comes too late, the fork disposes of it or reports it.

An executor can break: a worker process is killed, and every later call fails as well. If a factory made the executor,
it makes a new one for the next call, so a `Retry` heals it.

What is deliberately not done: abandoning a call that is still running. ``docs/executors.md`` shows how to have it
killed.
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
    """Turn the sync function `fn` into an async one that runs in an executor: ``step(on_executor(pool, resize))``.

    The async function takes the arguments of `fn`, has its name, and can be a path or step like any other. Cancelling
    it cancels its future. A call that is still queued then never runs. If the future can no longer be cancelled, the
    function waits for the call, as ``trio.to_thread.run_sync`` does, so that no value or error is lost.

    The executor decides how many calls run at once, and the ``concurrency`` of the fork decides how many are in its
    queue. Context variables of the caller don't reach `fn`. For an executor of processes or machines, `fn`, its
    arguments and its results have to be picklable. The caller has to shut down the executor, after all calls have
    ended.

    Args:
      executor_or_factory: a `concurrent.futures.Executor`: a pool of threads, processes or interpreters of the standard
        library, or an executor of any other library. Or a function that returns one. It is called before the first
        call, and before the next call after the executor has broken.
      fn: a sync function.

    Raises:
      ConfigError: the first argument is neither an executor nor a function, or is a Dask executor in which equal calls
        share one result; or `fn` is not a sync function. (When it runs) the factory returned such an object.
      concurrent.futures.CancelledError: (when it runs) the executor or other code cancelled the future, as
        ``executor.shutdown(cancel_futures=True)`` does.
      concurrent.futures.BrokenExecutor: (when it runs) the executor lost a worker, and the call with it.
      RuntimeError: (when it runs) the executor was shut down.
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
    """Refuse an executor of Dask in which equal calls are one call, with one failure, cancellation and retry."""
    if type(executor).__module__.partition(".")[0] == "distributed":
        options = vars(executor).get("_kwargs")  # it has no public name
        if isinstance(options, dict) and cast("dict[str, object]", options).get("pure") is not False:
            raise ConfigError(
                "on_executor(client.get_executor(), …): equal calls would share one result, one failure and one "
                "cancellation, so that a retry could only fail again; give client.get_executor(pure=False)"
            )


@final
class _Pool:
    """The executor for the calls of one function: the given one, or one that a factory makes."""

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
        """Drop `executor`, so that the factory is called again. If it failed several calls, only the first drops it."""
        if self._made is executor:
            self._made = None


@final
class _OnExecutor(Generic[ParametersT, T]):
    """An async function, as an object, so that it has the signature of the function inside."""

    def __init__(self, given: Executor | Callable[[], Executor], fn: Callable[ParametersT, T]) -> None:
        functools.update_wrapper(self, fn)  # this also copies the attributes of a callable object
        self._pool = _Pool(given)
        self._fn = fn
        self.__name__ = describe(fn)[0]

    def __repr__(self) -> str:
        return f"on_executor({self._pool.given!r}, {self._fn!r})"

    @trio.lowlevel.enable_ki_protection  # Ctrl-C after submitting must not leave the call behind
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
                raise  # the function itself raised it
            raise CancelledError(
                f"the call of {self.__name__!r} was cancelled by its executor, not from here: it was shut down, lost "
                "its workers, or other code cancelled the future"
            ) from error
        finally:
            del future  # its error refers to this frame, and the two would keep each other alive


async def _ended(future: Future[Any]) -> None:
    """Wait until `future` has a result or an error. A cancellation ends the wait only if it can cancel `future`."""
    task, token = trio.lowlevel.current_task(), trio.lowlevel.current_trio_token()
    cancelled = False

    def wake() -> None:
        if not cancelled:
            trio.lowlevel.reschedule(task)

    def abort(_: object) -> trio.lowlevel.Abort:
        nonlocal cancelled
        cancelled = future.cancel()  # this also calls the future's callbacks
        return trio.lowlevel.Abort.SUCCEEDED if cancelled else trio.lowlevel.Abort.FAILED

    future.add_done_callback(lambda _: token.run_sync_soon(wake))
    await trio.lowlevel.wait_task_rescheduled(abort)
