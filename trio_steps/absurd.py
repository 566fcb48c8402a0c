"""`AbsurdStore`: durable runs that many machines share, in PostgreSQL through Absurd. It needs the extra ``absurd``.

Problem: workers on any number of machines take over runs, die, are cut off, and come back. That takes a queue, leases,
fences, timers and events, and each of them is hard to get right.

Naive answer: write all of that, on top of a few tables.

What is done instead. Absurd, https://github.com/earendil-works/absurd, is a durable-execution engine made only of
stored functions in PostgreSQL. A run is an Absurd task, in a queue named after its pipeline. Saves are checkpoints of
the task, and a wait is a suspension. So ``absurdctl`` and its web page show runs like any other tasks.

Its functions are called through psycopg in worker threads, under a separate limiter. psycopg's async side is made for
asyncio, and no driver for Trio is as well kept. A run would not gain from one, because it makes one call at a time.
Absurd's own SDK for Python blocks the thread that it works in, so it is not used.

What is deliberately not done: Absurd gives a run to any free worker, so a run can't be claimed by its id. ``run``
submits one, and waits for a worker. And a run that Absurd has cancelled stays cancelled.
"""

from __future__ import annotations

import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, final
from uuid import uuid4

from ._core.errors import ConfigError, short_repr

try:
    import psycopg
except ImportError as _error:
    raise ImportError("trio_steps.absurd needs psycopg: pip install 'trio_steps[absurd]'") from _error

from ._core.public import public_in
from ._durable.absurd.claims import Claims
from ._durable.absurd.connections import Connections
from ._durable.absurd.engine import Engine
from ._durable.absurd.leases import Claim, Leases
from ._durable.filter import Filter
from ._pipeline.run.queue import QueueStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping
    from datetime import datetime

    from ._durable.protocol import RunChange, RunClaim, RunRecord, RunStatus, StoredRun

__all__ = ["AbsurdStore"]

_HOST: Final = socket.gethostname()


@public_in("trio_steps.absurd")
@final
class AbsurdStore(QueueStore):
    """Durable runs in PostgreSQL, which any number of machines can share.

    The database needs Absurd's schema: ``absurdctl init``. Any number of threads, each with its own Trio run, can use
    one object.
    """

    def __init__(self, url: str, *, lease: int = 30) -> None:
        """Use the database at `url`.

        Args:
          url: a libpq connection string, such as ``"postgresql://user@host/database"``.
          lease: seconds after which a silent worker counts as dead, and its run goes to another worker. While a worker
            runs, it keeps extending its claims by that time.

        Raises:
          ConfigError: an argument is not valid.
        """
        if isinstance(lease, bool) or not isinstance(lease, int) or lease < 1:
            raise ConfigError(f"AbsurdStore(…, lease={short_repr(lease)}): give whole seconds, 1 or more")
        try:
            self._connections = Connections(url)
        except (psycopg.Error, AttributeError) as error:  # not even text
            raise ConfigError('AbsurdStore(…): give a database, "postgresql://user@host/database"') from error
        self._engine = Engine(self._connections.name)
        self._claims = Claims(self._engine, lease)
        self._leases = Leases(self._connections, self._claims)

    def __repr__(self) -> str:
        return f"AbsurdStore({self._connections.name!r})"

    def now(self) -> datetime:
        """Return the time by the clock of the database, in UTC, as far as that is known."""
        return self._claims.now()

    @asynccontextmanager
    async def take(
        self, pipelines: Mapping[str, Collection[str | None]], /, *, max_deaths: int = 5
    ) -> AsyncGenerator[RunClaim | None]:
        """Claim a run that is ready to continue; see `store.RunStore.take`."""
        token = f"{_HOST}:{os.getpid()}:{uuid4().hex[:12]}"
        claimed = await self._connections.call(self._claims.take, pipelines, max_deaths, token)
        if claimed is None:
            yield None
            return
        claim = Claim(self._connections, self._claims, self._leases, claimed)
        try:
            yield claim
        finally:
            await claim.release()

    async def read(self, run_id: str, /) -> StoredRun | None:
        """Return everything about a run; see `store.RunStore.read`."""
        return await self._connections.call(self._engine.read, run_id)

    async def look(self, run_id: str, /) -> RunRecord:
        """Return a summary of a run; see `store.QueueStore.look`."""
        return await self._connections.call(self._engine.look, run_id)

    async def runs(
        self,
        *,
        pipeline: str | None = None,
        status: Collection[RunStatus] | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> tuple[RunRecord, ...]:
        """Return a summary of each run; see `store.RunStore.runs`."""
        which = Filter(pipeline=pipeline, status=status, since=since, before=before, limit=limit, after=after)
        return await self._connections.call(self._engine.runs, which)

    async def delete(self, run_id: str, /) -> None:
        """Delete a run; see `store.RunStore.delete`."""
        await self._connections.call(self._engine.delete, run_id)

    async def write_answers(self, run_id: str, answers: Mapping[str, str], /) -> None:
        """Keep answers, and let a worker take the run that waits for them; see `store.RunStore.write_answers`."""
        await self._connections.call(self._engine.write_answers, run_id, answers)

    async def cancel(self, run_id: str, /) -> bool:
        """Cancel a run for good; see `store.RunStore.cancel`."""
        return await self._connections.call(self._engine.cancel, run_id)

    async def submit(self, run_id: str, change: RunChange, /) -> bool:
        """Write a run for a worker to take; see `store.RunStore.submit`."""
        return await self._connections.call(self._engine.submit, run_id, change, uuid4().hex)

    async def resume(self, run_id: str, /) -> None:
        """Let a worker take a run that has failed or was stopped; see `store.QueueStore.resume`."""
        await self._connections.call(self._engine.resume, run_id)

    async def amend(self, before: RunRecord, change: RunChange, /) -> bool:
        """Write a change of a run that no worker has; see `store.QueueStore.amend`."""
        return await self._connections.call(self._engine.amend, before, change)
