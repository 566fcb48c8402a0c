"""Claims that are kept while a run runs: extended from a thread, and watched.

Problem: a claim expires after a while, so that the runs of a lost machine are not lost with it. The claim of a longer
run has to be extended, and a run that has lost its claim must do nothing more.

Naive answer: a task that extends it. A step that blocks the event loop blocks that task, too.

What is done instead. One thread extends the claims of all runs of a store, three times in each lease, and checks every
half a second whether they still stand. A run that was cancelled or taken over is told. A machine that was suspended or
cut off knows from its own monotonic clock: once the last extension has expired, it begins no more steps, whatever the
database says.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, final

import trio

from trio_steps._core.events.observers import logger
from trio_steps._durable.protocol import RunCancelledError, RunClaimedError, StoreError

from .claims import RefusedError

if TYPE_CHECKING:
    from datetime import datetime

    from trio_steps._durable.protocol import RunChange, StoredRun

    from .claims import Claimed, Claims
    from .connections import Connections

_LOOK: Final = 0.5  # seconds between two looks at whether a run is to be cancelled
_EXTENSIONS: Final = 3  # extensions in each lease
_AT_LAST: Final = 2.0  # seconds that the last change of a cancelled run may take, and its release


@final
class Leases:
    """Keeps all claims of a store."""

    def __init__(self, connections: Connections, claims: Claims) -> None:
        self._connections = connections
        self._claims = claims
        self._lock = threading.Lock()
        self._held: dict[str, Claim] = {}  # by token
        self._is_awake = False  # whether the thread runs
        self._pid = os.getpid()

    def add(self, claim: Claim) -> None:
        """Keep a claim."""
        if self._pid != os.getpid():  # a forked child has none of its parent's claims, and no thread
            self._lock = threading.Lock()
            self._held = {}
            self._is_awake = False
            self._pid = os.getpid()
        with self._lock:
            self._held[claim.token] = claim
            if not self._is_awake:
                self._is_awake = True
                threading.Thread(target=self._keep, name="leases of trio_steps", daemon=True).start()

    def remove(self, claim: Claim) -> None:
        """Stop keeping a claim."""
        with self._lock:
            del self._held[claim.token]

    def _keep(self) -> None:
        extended = time.monotonic()
        while True:
            time.sleep(_LOOK)
            with self._lock:
                held = list(self._held.values())
                if not held:
                    self._is_awake = False
                    return
            runs = [claim.claimed for claim in held]
            try:
                if time.monotonic() - extended > self._claims.lease / _EXTENSIONS:
                    extended = time.monotonic()
                    self._connections.call_here(self._claims.extend, runs)
                lost = self._connections.call_here(self._claims.lost, runs)
            except StoreError as error:
                logger.warning("claims of runs could not be extended: %s", error)
                continue
            for claimed, is_cancelled in lost:
                with self._lock:
                    claim = self._held.get(claimed.token)
                if claim is not None:
                    claim.end(is_cancelled=is_cancelled)


@final
class Claim:
    """A `RunClaim` whose calls run in worker threads.

    Attributes:
      claimed: the run.
    """

    def __init__(self, connections: Connections, claims: Claims, leases: Leases, claimed: Claimed) -> None:
        self.claimed = claimed
        self._connections = connections
        self._claims = claims
        self._leases = leases
        self._first: StoredRun | None = claimed.stored
        self._ended = trio.Event()
        self._is_cancelled = False
        self._is_lost = False
        self._watchers = 0
        self._token = trio.lowlevel.current_trio_token()
        leases.add(self)

    @property
    def token(self) -> str:
        """The name under which it was claimed."""
        return self.claimed.token

    @property
    def run_id(self) -> str:
        return self.claimed.run_id

    def now(self) -> datetime:
        return self._claims.now()

    def check(self) -> None:
        if self._is_lost or time.monotonic() > self.claimed.until:
            raise RunClaimedError(self.run_id)

    async def read(self) -> StoredRun | None:
        if self._first is not None:  # no one else writes, and an answer that arrives now is seen when it is asked for
            await trio.lowlevel.checkpoint()
            return self._first
        return await self._connections.call(self._claims.engine.read, self.run_id)

    async def write(self, change: RunChange, /) -> None:
        self.check()
        self._first = None
        try:
            if change.urgent:
                with trio.move_on_after(_AT_LAST) as scope:
                    await self._write(change)
                if scope.cancelled_caught:
                    logger.warning("the end of the run %r could not be saved in time", self.run_id)
            else:
                await self._write(change)
        except RefusedError as refused:
            if not refused.is_cancelled:
                self._is_lost = True
                raise RunClaimedError(self.run_id) from None
            self.claimed.is_over = True
            self.end(is_cancelled=True)
            if change.urgent or change.status in ("failed", "cancelled"):
                return  # it is cancelled for good, however it has ended
            if not self._watchers:
                raise RunCancelledError(self.run_id) from None
            await trio.sleep_forever()  # the watching task cancels it

    async def _write(self, change: RunChange) -> None:
        await self._connections.call(self._claims.write, self.claimed, change)

    async def wait_cancelled(self) -> None:
        self._watchers += 1
        try:
            while not self._is_cancelled:
                self.check()
                with trio.move_on_after(_LOOK):
                    await self._ended.wait()
        finally:
            self._watchers -= 1

    def end(self, *, is_cancelled: bool) -> None:
        """Note that the run is lost; callable from any thread."""
        self._is_cancelled = is_cancelled
        self._is_lost = not is_cancelled
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._ended.set)

    async def release(self) -> None:
        """Let others have the run. Nothing can wait for that here, so it must not block."""
        self._leases.remove(self)
        if self.claimed.is_over or self._is_lost or self._is_cancelled:
            return
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _AT_LAST) as scope:
            try:
                await self._connections.call(self._claims.release, self.claimed)
            except StoreError:
                logger.exception("the run %r could not be released; others have it once its claim is over", self.run_id)
        if scope.cancelled_caught:
            logger.warning(
                "the run %r could not be released in time; others have it once its claim is over", self.run_id
            )
