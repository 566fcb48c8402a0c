"""`work`: a worker, which runs the runs of a store that are ready to continue, until it is cancelled.

A run that fails is saved as failed, for someone to look at. A run whose worker is stopped is given back: it is
interrupted, and the next worker continues it. Only a run that was cancelled in its store stays cancelled.
"""

from __future__ import annotations

import inspect
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, final

import attrs
import trio

from trio_steps._core.errors import ConfigError, add_note, exc_info, short_repr
from trio_steps._core.events.observers import logger
from trio_steps._core.public import public_in
from trio_steps._durable.protocol import RunCancelledError, RunChange, RunClaimedError
from trio_steps._pipeline.entry import program_of

from .durable import error_text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable
    from datetime import datetime

    from trio_steps._core.events.records import Observer
    from trio_steps._durable.protocol import RunClaim, RunStatus, StoredRun
    from trio_steps._pipeline.pipeline import Pipeline

    from .stored import RunStore

_PAUSE: Final = 0.5  # seconds between two looks for a run


@public_in("trio_steps.store")
async def work(
    store: RunStore,
    pipelines: Iterable[Pipeline[Any, Any]],
    *,
    concurrency: int = 1,
    max_deaths: int = 5,
    observers: Iterable[Observer] = (),
    on_end: Callable[[str, RunStatus, Exception | None], object] | None = None,
) -> None:
    """Run the runs of `store` that are ready to continue, until this is cancelled.

    A run is ready if it was submitted, if its process died, or if it waits and has been answered, or its time to wait
    is over. A run that fails is not tried again.

    Args:
      store: where the runs are kept.
      pipelines: the pipelines to run. Runs of other pipelines, and of other versions, are left alone.
      concurrency: the most runs at the same time.
      max_deaths: a run whose process has died this many times becomes failed.
      observers: called with every event of every run.
      on_end: a sync or async function that is called when this worker is done with a run: with the id of the run, the
        status that was saved last, and its error or None. A run that waits for an answer is ``waiting``, and one that
        another worker has taken over is still ``running``. Without `on_end` and `observers`, a failure is logged.

    Raises:
      ConfigError: two pipelines have, or had, the same name; or an argument is not valid.
    """
    by_name: dict[str, Pipeline[Any, Any]] = {}
    wanted: dict[str, tuple[str | None, ...]] = {}
    for pipeline in pipelines:
        program = program_of(pipeline)
        if program is None:
            raise ConfigError(f"work(…, [{short_repr(pipeline)}]): give pipelines")
        for name in (pipeline.id, *program.was):
            if name in by_name:
                raise ConfigError(f"work(): two pipelines are called {name!r}; each needs its own name")
            by_name[name] = pipeline
            wanted[name] = program.goes_on_with
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise ConfigError(
            f"work(concurrency={short_repr(concurrency)}): give the number of runs at the same time, 1 or more"
        )
    if isinstance(max_deaths, bool) or not isinstance(max_deaths, int) or max_deaths < 1:
        raise ConfigError(
            f"work(max_deaths={short_repr(max_deaths)}): give the number of deaths after which a run fails, 1 or more"
        )
    if on_end is not None and not callable(on_end):
        raise ConfigError(
            f"work(on_end={short_repr(on_end)}): give a function of the id of a run, its status and its error"
        )
    if not by_name:
        raise ConfigError("work(): give the pipelines to run")
    observers = tuple(observers)

    async def worker() -> None:
        while True:
            async with store.take(wanted, max_deaths=max_deaths) as claim:
                if claim is not None:
                    await one(claim)
            if claim is None:
                await trio.sleep(_PAUSE)

    async def one(claim: RunClaim) -> None:
        stored = await claim.read()
        assert stored is not None
        error: Exception | None = None
        held = _Held(claim, stored.record.status)
        try:
            await by_name[stored.record.pipeline].run(store=held, run_id=claim.run_id, observers=observers)
        except RunCancelledError as cancelled:
            error = cancelled
        except (
            SystemExit
        ) as leaving:  # which ends this process, but is saved as a failure, so that no other one follows
            add_note(leaving, f"in the run {claim.run_id!r}")
            raise
        except Exception as failure:  # noqa: BLE001 - it is saved, and the next run has nothing to do with it
            if on_end is None and not observers:  # otherwise, someone is told of it
                logger.warning("the run %r failed", claim.run_id, exc_info=exc_info(failure))
            error = failure
            if not held.is_over:  # it no longer fits its pipeline, say: no worker should take it again
                await held.fail(stored, failure)
        if on_end is not None:
            told = on_end(claim.run_id, held.status, error)
            if inspect.isawaitable(told):
                await told

    async with trio.open_nursery() as nursery:
        for _ in range(concurrency):
            nursery.start_soon(worker)


@final
class _Held:
    """A run that was taken, as a store and as its claim.

    Attributes:
      status: the status that was saved last.
      is_over: whether its end is saved.
    """

    def __init__(self, claim: RunClaim, status: RunStatus) -> None:
        self.status: RunStatus = status
        self.is_over = False
        self._claim = claim
        self._is_cancelled = False

    @asynccontextmanager
    async def claim(self, run_id: str, /) -> AsyncGenerator[RunClaim]:  # noqa: ARG002 - it is the one that was taken
        yield self

    @property
    def run_id(self) -> str:
        return self._claim.run_id

    def now(self) -> datetime:
        return self._claim.now()

    def check(self) -> None:
        self._claim.check()

    async def read(self) -> StoredRun | None:
        return await self._claim.read()

    async def write(self, change: RunChange, /) -> None:
        if change.status == "cancelled" and not self._is_cancelled:
            change = attrs.evolve(change, status="running")  # it is interrupted once the claim has ended
        await self._claim.write(change)
        self.status = change.status
        self.is_over = change.status not in ("running", "submitted")

    async def fail(self, stored: StoredRun, error: Exception) -> None:
        """Save that the run failed before it began, if that can be saved."""
        record = stored.record
        change = RunChange(
            pipeline=record.pipeline,
            version=record.version,
            status="failed",
            error=error_text(error),
            waiting=record.waiting,
        )
        try:
            await self._claim.write(change)
            self.status = "failed"
        except RunClaimedError:
            pass  # the process that took it over saves its end
        except Exception:  # noqa: BLE001 - most likely, it is the store that is the trouble
            logger.exception("the end of the run %r could not be saved", record.run_id)
            await trio.sleep(_PAUSE)

    async def wait_cancelled(self) -> None:
        await self._claim.wait_cancelled()
        self._is_cancelled = True
