"""`SqliteStore`: durable runs in one file, ``await pipeline.run(inputs, store=SqliteStore("runs.db"), run_id="…")``.

Every call is made in a worker thread, one at a time, and not abandoned when its task is cancelled: it happens whole, or
not at all. A run that is claimed has a connection of its own and anything else opens one for the call, so that a store
has no state to close, or to share with a child process.

Another kind of store is a `RunStore`, which see.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, final

import attrs
import trio

from ._core.errors import ConfigError, add_note
from ._durable.protocol import RunChange, RunClaim, RunClaimedError, RunStatus, RunStore, StoredRun
from ._durable.sqlite import Claimed, Database, RecordStatus, RunRecord, StoreError
from ._pipeline.run.durable import checkpoint_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection
    from datetime import timedelta

    from ._pipeline.run.checkpoint import Checkpoint
    from ._values.codec import Codec

__all__ = [
    "RecordStatus",
    "RunChange",
    "RunClaim",
    "RunClaimedError",
    "RunRecord",
    "RunStatus",
    "RunStore",
    "SavedRun",
    "SqliteStore",
    "StoreError",
    "StoredRun",
]

T = TypeVar("T")

_FINISHED: Final[tuple[RecordStatus, ...]] = ("finished",)


@final
@attrs.frozen(kw_only=True)
class SavedRun:
    """All that is known of a run.

    Attributes:
      record: what is known of it at a glance.
      inputs: what it began with.
      checkpoint: what it goes on from; None if it is finished.
      result: the context at its end; None if it is not finished.
    """

    record: RunRecord
    inputs: dict[str, object]
    checkpoint: Checkpoint | None
    result: dict[str, object] | None


@final
class SqliteStore:
    """Durable runs in an SQLite database, which any number of processes of one machine can share.

    The file is made when it is first used. Next to it are SQLite's own ``-wal`` and ``-shm``, and a ``-lock-…`` for
    each run that is running. It has to be on a disk of the machine: locks of network file systems can't be relied on.

    Attributes:
      path: the file.
    """

    def __init__(self, path: str | os.PathLike[str], *, synchronous: Literal["full", "normal"] = "full") -> None:
        """Use the file at `path`.

        Args:
          path: the file, which need not be there yet.
          synchronous: with ``"full"``, each save waits until it is on the disk. With ``"normal"``, the last ones may be
            lost when the power fails, and their steps run again; they survive the death of the process all the same.

        Raises:
          ConfigError: an argument makes no sense.
        """
        if synchronous not in ("full", "normal"):
            raise ConfigError(f'SqliteStore(…, synchronous={synchronous!r}): use "full" or "normal"')
        name: object = os.fspath(path)
        if not isinstance(name, str) or name in ("", ":memory:"):
            raise ConfigError(f"SqliteStore({path!r}): give the name of a file, for it has to be there after a crash")
        self.path: Path = Path(os.path.realpath(name))  # one name for everybody: those of the locks are made from it
        self._database = Database(self.path, synchronous)
        self._limiter = trio.CapacityLimiter(1)

    def __repr__(self) -> str:
        return f"SqliteStore({str(self.path)!r})"

    @asynccontextmanager
    async def claim(self, run_id: str, /) -> AsyncGenerator[RunClaim]:
        """Have a run for oneself until the context ends; ``run(store=…)`` does that.

        Raises:
          RunClaimedError: it is running already, in this process or in another one.
          StoreError: the file is no store.
          sqlite3.Error: the file can't be used.
        """
        claimed = await self._in_thread(self._database.claim, run_id)
        try:
            yield _Claim(claimed, self._in_thread)
        finally:
            with trio.CancelScope(shield=True):
                await self._in_thread(claimed.release)

    async def runs(self) -> tuple[RunRecord, ...]:
        """Return what is known of each run at a glance, the one that started last first.

        Raises:
          StoreError: the file is no store.
          sqlite3.Error: the file can't be used.
        """
        return await self._in_thread(self._database.runs)

    async def load(self, run_id: str, *, codec: Codec | None = None) -> SavedRun:
        """Return all that is known of a run, which may be running meanwhile.

        Args:
          run_id: which run.
          codec: that of the pipeline, if it has one.

        Raises:
          KeyError: there is no such run.
          CheckpointError: its values can't be read.
          StoreError: the file is no store.
          sqlite3.Error: the file can't be used.
        """
        record, parts = await self._in_thread(self._database.load, run_id)
        checkpoint = checkpoint_of(parts, codec)
        is_finished = record.status == "finished"
        return SavedRun(
            record=record,
            inputs=dict(checkpoint.entries[0].changes),
            checkpoint=None if is_finished else checkpoint,
            result=dict(checkpoint.entries[-1].changes) if is_finished else None,
        )

    async def delete(self, run_id: str) -> None:
        """Delete a run; its id can be used anew.

        Raises:
          KeyError: there is no such run.
          RunClaimedError: it is running.
          StoreError: the file is no store.
          sqlite3.Error: the file can't be used.
        """
        await self._in_thread(self._database.delete, run_id)

    async def prune(
        self,
        *,
        older_than: timedelta | None = None,
        keep: int | None = None,
        status: Collection[RecordStatus] = _FINISHED,
    ) -> tuple[str, ...]:
        """Delete runs that nobody needs any more, and return their ids; those that are running are left alone.

        Args:
          older_than: delete those that were last updated longer ago than that.
          keep: delete all but so many, those that were updated last.
          status: what became of the runs that are to be counted and deleted.

        Raises:
          ConfigError: neither `older_than` nor `keep` is given, or an argument makes no sense.
          StoreError: the file is no store.
          sqlite3.Error: the file can't be used.
        """
        if older_than is None and keep is None:
            raise ConfigError("prune(): say what to delete, prune(older_than=timedelta(days=30)) or prune(keep=100)")
        if keep is not None and keep < 0:
            raise ConfigError(f"prune(keep={keep}): keep 0 or more")
        if isinstance(status, str):
            raise ConfigError(f"prune(status={status!r}): give a tuple, status=({status!r},)")
        return await self._in_thread(self._database.prune, older_than, keep, status)

    async def _in_thread(self, call: Callable[..., T], *args: Any) -> T:
        try:
            return await trio.to_thread.run_sync(call, *args, limiter=self._limiter)
        except sqlite3.Error as error:
            add_note(error, f"in the store {str(self.path)!r}")
            raise


@final
class _Claim:
    """What a `RunClaim` is, in worker threads."""

    def __init__(self, claimed: Claimed, in_thread: Callable[..., Any]) -> None:
        self._claimed = claimed
        self._in_thread = in_thread

    async def read(self) -> StoredRun | None:
        result: StoredRun | None = await self._in_thread(self._claimed.read)
        return result

    async def write(self, change: RunChange, /) -> None:
        await self._in_thread(self._claimed.write, change)
