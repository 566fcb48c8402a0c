"""`SqliteStore`: durable runs in one file, ``await pipeline.run(inputs, store=SqliteStore("runs.db"), run_id="…")``.

For another kind of store, derive from `RunStore`.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast, final

from ._core.errors import ConfigError, short_repr
from ._core.public import public_in
from ._durable.calls import Calls, Claim
from ._durable.filter import Filter, long_ago
from ._durable.protocol import (
    AnswerConflictError,
    AnswerError,
    Question,
    RunCancelledError,
    RunChange,
    RunClaim,
    RunClaimedError,
    RunClaims,
    RunFailedError,
    RunRecord,
    RunStatus,
    StoredRun,
    StoreError,
)
from ._durable.sqlite import Database
from ._pipeline.run.queue import QueueStore
from ._pipeline.run.stored import RunStore, SavedRun, check_prune
from ._pipeline.run.work import work

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping
    from datetime import datetime, timedelta

__all__ = [
    "AnswerConflictError",
    "AnswerError",
    "Question",
    "QueueStore",
    "RunCancelledError",
    "RunChange",
    "RunClaim",
    "RunClaimedError",
    "RunClaims",
    "RunFailedError",
    "RunRecord",
    "RunStatus",
    "RunStore",
    "SavedRun",
    "SqliteStore",
    "StoreError",
    "StoredRun",
    "work",
]

_FINISHED: Final[tuple[RunStatus, ...]] = ("finished",)


@public_in("trio_steps.store")
@final
class SqliteStore(RunStore):
    """Durable runs in an SQLite database, which any number of processes on one machine can share.

    Any number of threads, each with its own Trio run, can use one object. The file is created on first use. Next to it
    are SQLite's own ``-wal`` and ``-shm`` files, and a ``-lock-…`` file for each process that has runs. The file has to
    be on a local disk, because the locks of network file systems are not reliable.

    Attributes:
      path: the path of the file.
    """

    def __init__(self, path: str | os.PathLike[str], *, synchronous: Literal["full", "normal"] = "full") -> None:
        """Use the file at `path`.

        Args:
          path: the file, which need not exist yet.
          synchronous: with ``"full"``, each save waits until it is on the disk. With ``"normal"``, the last saves may
            be lost when the power fails, and their steps run again; they still survive the death of the process.

        Raises:
          ConfigError: an argument is not valid.
        """
        if synchronous not in ("full", "normal"):
            raise ConfigError(f'SqliteStore(…, synchronous={short_repr(synchronous)}): use "full" or "normal"')
        name: object = os.fspath(path) if isinstance(cast("object", path), os.PathLike) else path
        if not isinstance(name, str) or name in ("", ":memory:"):
            raise ConfigError(f"SqliteStore({short_repr(path)}): give the name of a file, which survives a crash")
        self.path: Path = Path(os.path.realpath(name))  # one name for all: lock files are named after it
        self._database = Database(self.path, synchronous)
        self._calls = Calls(self._database)

    def __repr__(self) -> str:
        return f"SqliteStore({str(self.path)!r})"

    @asynccontextmanager
    async def claim(self, run_id: str, /) -> AsyncGenerator[RunClaim]:
        """Claim a run until the context ends. ``run(store=…)`` does that.

        Raises:
          RunClaimedError: it is already running, in this process or another one.
          StoreError: the file is not a store.
          sqlite3.Error: the file can't be used.
        """
        claimed = await self._calls.make(self._database.claim, run_id)
        claim = Claim(self._calls, claimed)
        try:
            yield claim
        finally:
            await claim.release()

    @asynccontextmanager
    async def take(
        self, pipelines: Mapping[str, Collection[str | None]], /, *, max_deaths: int = 5
    ) -> AsyncGenerator[RunClaim | None]:
        """Claim a run that is ready to continue; see `RunStore.take`."""
        claimed = await self._calls.make(self._database.take, pipelines, max_deaths)
        if claimed is None:
            yield None
            return
        claim = Claim(self._calls, claimed)
        try:
            yield claim
        finally:
            await claim.release()

    async def read(self, run_id: str, /) -> StoredRun | None:
        """Return everything about a run; see `RunStore.read`."""
        return await self._calls.make(self._database.read, run_id)

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
        """Return a summary of each run; see `RunStore.runs`."""
        which = Filter(pipeline=pipeline, status=status, since=since, before=before, limit=limit, after=after)
        return await self._calls.make(self._database.runs, which)

    async def delete(self, run_id: str, /) -> None:
        """Delete a run; see `RunStore.delete`."""
        await self._calls.make(self._database.delete, run_id)

    async def prune(
        self,
        *,
        older_than: timedelta | None = None,
        keep: int | None = None,
        status: Collection[RunStatus] = _FINISHED,
    ) -> tuple[str, ...]:
        """Delete runs that are no longer needed, all at once; see `RunStore.prune`."""
        check_prune(older_than, keep, status)
        before = None if older_than is None else long_ago(older_than)
        return await self._calls.make(self._database.prune, Filter(status=status, before=before), keep)

    async def write_answers(self, run_id: str, answers: Mapping[str, str], /) -> None:
        """Keep answers; see `RunStore.write_answers`."""
        await self._calls.make(self._database.write_answers, run_id, answers)

    async def cancel(self, run_id: str, /) -> bool:
        """Cancel a run; see `RunStore.cancel`. It can be resumed."""
        return await self._calls.make(self._database.cancel, run_id)

    async def submit(self, run_id: str, change: RunChange, /) -> bool:
        """Write a run for a worker to take; see `RunStore.submit`."""
        return await self._calls.make(self._database.submit, run_id, change)
