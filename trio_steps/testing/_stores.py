"""A store of durable runs in memory, for tests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, final

import attrs
import trio

from trio_steps._core.checks import check_count
from trio_steps._core.errors import short_repr
from trio_steps._durable.filter import Filter
from trio_steps._durable.protocol import RunClaimedError, added_answers
from trio_steps._pipeline.run.stored import RunStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping

    from trio_steps._durable.protocol import RunChange, RunClaim, RunRecord, RunStatus, StoredRun

_BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)


@final
class StoreCrashedError(Exception):
    """The simulated death of the process, at the save that `MemoryStore` was given."""


@final
class MemoryStore(RunStore):
    """Durable runs in memory, for tests: without threads and files, and with Trio's time.

    It works with a virtual clock and with `explore`. It can crash at any save::

        for number in range(10):
            store = MemoryStore(crash_at=number)
            try:
                await order.run({"order": 42}, store=store, run_id="r")
            except StoreCrashedError:
                store.restart()
            assert await order.run({"order": 42}, store=store, run_id="r") == expected

    Attributes:
      saves: how many changes were saved.
      crash_at: the number of the save, from 0, at which the process dies instead; None: it does not die.

    Raises:
      ConfigError: `crash_at` is neither of these.
    """

    def __init__(self, *, crash_at: int | None = None) -> None:
        if crash_at is not None:
            check_count(f"crash_at={short_repr(crash_at)}", crash_at, least=0, form="the number of a save, 0 or more")
        self.saves: int = 0
        self.crash_at: int | None = crash_at
        self._crashed = False
        self._runs: dict[str, StoredRun] = {}
        self._claims: dict[str, _Claim] = {}

    def restart(self) -> None:
        """Restart after a crash, with what was saved. Runs that were running are interrupted, and none is claimed."""
        for claim in self._claims.values():
            self._died(claim)
        self._claims.clear()
        self._crashed = False
        self.crash_at = None

    def _died(self, claim: _Claim) -> None:
        stored = self._runs.get(claim.run_id)
        if stored is not None and stored.record.status in ("running", "interrupted"):
            record = attrs.evolve(stored.record, deaths=stored.record.deaths + 1)
            self._runs[claim.run_id] = attrs.evolve(stored, record=record)
        self._ended(claim)

    def _ended(self, claim: _Claim) -> None:
        """Write what has become of a run whose claim has ended, in whatever way."""
        stored = self._runs.get(claim.run_id)
        if stored is None or stored.record.status in ("finished", "failed", "cancelled"):
            return
        if claim.cancelled is not None:  # and its owner has not noticed
            record = attrs.evolve(stored.record, status="cancelled", waiting={}, updated=claim.cancelled)
        elif stored.record.status == "running":
            record = attrs.evolve(stored.record, status="interrupted")
        else:
            return
        self._runs[claim.run_id] = attrs.evolve(stored, record=record)

    async def come(self) -> None:
        """Take part in a call; a store that crashed takes none."""
        if self._crashed:
            raise StoreCrashedError("the process has died; store.restart() restarts it")
        await trio.lowlevel.checkpoint()

    def _there(self, run_id: str) -> StoredRun:
        if run_id not in self._runs:
            raise KeyError(f"there is no run {run_id!r} in the store")
        return self._runs[run_id]

    def now(self) -> datetime:
        """Return Trio's time, counted from the start of the year 2000."""
        return _BEGINNING + timedelta(seconds=trio.current_time())

    # Claims

    @asynccontextmanager
    async def claim(self, run_id: str, /) -> AsyncGenerator[RunClaim]:
        """Claim a run; see `RunClaims.claim`."""
        await self.come()
        claim = self._claimed(run_id)
        try:
            yield claim
        finally:
            self._release(claim)

    def _claimed(self, run_id: str) -> _Claim:
        if run_id in self._claims:
            raise RunClaimedError(run_id)
        claim = self._claims[run_id] = _Claim(self, run_id)
        return claim

    def _release(self, claim: _Claim) -> None:
        if self._claims.get(claim.run_id) is claim and not self._crashed:
            del self._claims[claim.run_id]
            self._ended(claim)

    def lose(self, run_id: str) -> None:
        """Take a run away from its owner, as if the owner had died. Its writes are refused from now on."""
        claim = self._claims.pop(run_id)
        claim.is_lost = True
        claim.wake.set()
        self._died(claim)

    @asynccontextmanager
    async def take(
        self, pipelines: Mapping[str, Collection[str | None]], /, *, max_deaths: int = 5
    ) -> AsyncGenerator[RunClaim | None]:
        """Claim a run that is ready to continue; see `RunStore.take`."""
        await self.come()
        claim = None
        for run_id, stored in sorted(self._runs.items(), key=lambda item: item[1].record.updated):
            record = stored.record
            if not self._is_ready(stored) or record.version not in pipelines.get(record.pipeline, ()):
                continue
            if record.status == "interrupted" and record.deaths >= max_deaths:
                error = f"the processes that ran it have died, {record.deaths} of them"
                self._runs[run_id] = attrs.evolve(stored, record=attrs.evolve(record, status="failed", error=error))
                continue
            claim = self._claimed(run_id)
            # so that it counts if the worker dies before it writes anything
            self._runs[run_id] = attrs.evolve(stored, record=attrs.evolve(record, status="running"))
            break
        try:
            yield claim
        finally:
            if claim is not None:
                self._release(claim)

    def _is_ready(self, stored: StoredRun) -> bool:
        record = stored.record
        if record.run_id in self._claims:
            return False
        if record.status == "waiting":
            now = self.now()
            times = [until for until in record.waiting.values() if until is not None]
            return any(name in stored.answers for name in record.waiting) or any(until <= now for until in times)
        return record.status in ("submitted", "interrupted")

    def keep(self, claim: _Claim, change: RunChange) -> None:
        """Save a change, or crash."""
        if self._claims.get(claim.run_id) is not claim:
            raise RunClaimedError(claim.run_id)
        if self.saves == self.crash_at:
            self._crashed = True
            raise StoreCrashedError(f"the process died at save number {self.saves}")
        self.saves += 1
        self._runs[claim.run_id] = change.applied_to(self._runs.get(claim.run_id), claim.run_id, self.now())

    # Runs

    async def read(self, run_id: str, /) -> StoredRun | None:
        """Return everything about a run; see `RunStore.read`."""
        await self.come()
        return self._runs.get(run_id)

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
        await self.come()
        records = [stored.record for stored in reversed(self._runs.values())]
        if after is not None:
            records = records[records.index(self._there(after).record) + 1 :]
        found = [record for record in records if which.matches(record)]
        return tuple(found[:limit])

    async def delete(self, run_id: str, /) -> None:
        """Delete a run; see `RunStore.delete`."""
        await self.come()
        self._there(run_id)
        if run_id in self._claims:
            raise RunClaimedError(run_id)
        del self._runs[run_id]

    async def write_answers(self, run_id: str, answers: Mapping[str, str], /) -> None:
        """Keep answers; see `RunStore.write_answers`."""
        await self.come()
        stored = self._there(run_id)
        self._runs[run_id] = attrs.evolve(stored, answers=added_answers(run_id, stored.answers, answers))

    async def cancel(self, run_id: str, /) -> bool:
        """Cancel a run; see `RunStore.cancel`."""
        await self.come()
        stored = self._there(run_id)
        if stored.record.status == "finished":
            return False
        if run_id in self._claims:
            self._claims[run_id].cancelled = self.now()
            self._claims[run_id].wake.set()
            return True
        if stored.record.status == "cancelled":
            return False
        record = attrs.evolve(stored.record, status="cancelled", waiting={}, updated=self.now())
        self._runs[run_id] = attrs.evolve(stored, record=record)
        return True

    async def submit(self, run_id: str, change: RunChange, /) -> bool:
        """Write a run for a worker to take; see `RunStore.submit`."""
        await self.come()
        if run_id in self._runs:
            return False
        if run_id in self._claims:
            raise RunClaimedError(run_id)
        self._runs[run_id] = change.applied_to(None, run_id, self.now())
        return True


@final
class _Claim:
    """The claim on a run, held by one owner."""

    def __init__(self, store: MemoryStore, run_id: str) -> None:
        self._store = store
        self.run_id = run_id
        self.is_lost = False
        self.cancelled: datetime | None = None  # since when
        self.wake: trio.Event = trio.Event()

    def now(self) -> datetime:
        return self._store.now()

    def check(self) -> None:
        if self.is_lost:
            raise RunClaimedError(self.run_id)

    async def read(self) -> StoredRun | None:
        return await self._store.read(self.run_id)

    async def write(self, change: RunChange, /) -> None:
        try:
            await self._store.come()
        except StoreCrashedError:
            if change.status in ("failed", "cancelled"):  # a dead process can't complain that its end is not saved
                raise RunClaimedError(self.run_id) from None
            raise
        self._store.keep(self, change)

    async def wait_cancelled(self) -> None:
        await self.wake.wait()
        if self.is_lost:
            raise RunClaimedError(self.run_id)
