"""The calls of a `Database` from Trio, in worker threads.

A call is not abandoned when its task is cancelled: it happens whole, or not at all. While another process holds the
database, a call is repeated every tenth of a second. In between it can be cancelled, so it never holds up a
cancellation. The calls at the end of a cancelled run, which save and release it, must not be dropped like that. If
another process is in the way, a separate thread makes them.

Any number of Trio runs, each in its own thread, can use one store. State that belongs to one of them is kept
separately, because a limiter of one can't be used in another.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

import trio

from trio_steps._core.errors import CheckpointError, add_note
from trio_steps._core.events.observers import logger

from .file import is_busy, is_too_long
from .protocol import RunClaimedError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .protocol import RunChange, StoredRun
    from .sqlite import Claimed, Database

T = TypeVar("T")

_PATIENCE: Final = 10.0  # seconds for which others may hold the database
_LOOK: Final = 0.5  # seconds between two looks at whether a run is to be cancelled
_SHARED: Final = 0.25  # seconds for which one look serves all runs


@final
class _Here:
    """A store in one run of Trio.

    Attributes:
      limiter: allows one thread at a time, because SQLite can't use more.
      looked: the time of the last look, in seconds of the real clock.
      seen: the tokens that were lost then, and those that were cancelled.
    """

    def __init__(self) -> None:
        self.limiter = trio.CapacityLimiter(1)
        self.looked = float("-inf")
        self.seen: tuple[set[str], set[str]] = set(), set()


@final
class Calls:
    """Makes the calls of one store."""

    def __init__(self, database: Database) -> None:
        self.database: Database = database
        self._busy_since = float("-inf")  # the last time that others were in the way
        self._here: trio.lowlevel.RunVar[_Here] = trio.lowlevel.RunVar(f"store {str(database.path)!r}")

    def _in_this_trio(self) -> _Here:
        try:
            return self._here.get()
        except LookupError:
            here = _Here()
            self._here.set(here)
            return here

    async def make(self, call: Callable[..., T], *args: Any) -> T:
        """Make a call, and repeat it while another process is in the way."""
        limiter = self._in_this_trio().limiter
        began = time.monotonic()
        while True:
            try:
                return await trio.to_thread.run_sync(call, *args, limiter=limiter)
            except sqlite3.Error as error:
                if is_busy(error):
                    self._busy_since = time.monotonic()
                    if time.monotonic() - began < _PATIENCE:
                        continue
                if is_too_long(error):
                    raise CheckpointError(f"it is too long for the store {str(self.database.path)!r}") from error
                add_note(error, f"in the store {str(self.database.path)!r}")
                raise

    async def make_now(self, call: Callable[..., object], *args: Any) -> bool:
        """Make a call at once. Return False if others are, or just were, in the way. It can't be cancelled."""
        made: list[bool] = []
        with trio.CancelScope(shield=True):
            limiter = self._in_this_trio().limiter
            made.append(await trio.to_thread.run_sync(self._made_now, call, args, limiter=limiter))
        [is_made] = made
        return is_made

    def _made_now(self, call: Callable[..., object], args: tuple[Any, ...]) -> bool:
        if time.monotonic() - self._busy_since < _LOOK:
            return False  # so that a hundred cancelled runs don't wait one after the other
        try:
            call(*args)
        except sqlite3.Error as error:
            if not is_busy(error):
                raise
            self._busy_since = time.monotonic()
            return False
        return True

    async def release(self, claimed: Claimed, last: RunChange | None) -> None:
        """Release a run now or, if others are in the way, a little later.

        Args:
          claimed: the run.
          last: a change that could not be written yet, because others were in the way.
        """
        try:
            done = last is None and await self.make_now(self.database.release, claimed)
        except (sqlite3.Error, StoreError):
            self._give_up(claimed)
        else:
            if not done:
                threading.Thread(target=self._release_later, args=[claimed, last], daemon=True).start()

    def _release_later(self, claimed: Claimed, last: RunChange | None) -> None:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                if last is not None:
                    self.database.write(claimed, last)
                    last = None
                self.database.release(claimed)
            except (sqlite3.Error, StoreError, RunClaimedError) as error:
                if isinstance(error, sqlite3.Error) and is_busy(error) and time.monotonic() < end:
                    continue
                self._give_up(claimed)
            break

    def _give_up(self, claimed: Claimed) -> None:
        logger.exception("the run %r could not be released in %r", claimed.run_id, str(self.database.path))
        self.database.give_up(claimed)

    async def look(self) -> tuple[set[str], set[str]]:
        """Return the tokens of claims that are lost, and those of runs that are cancelled. All runs share one look."""
        here = self._in_this_trio()
        if time.monotonic() - here.looked > _SHARED:
            here.looked = time.monotonic()
            here.seen = await self.make(self.database.lost_and_cancelled)
        return here.seen


@final
class Claim:
    """A `RunClaim` whose calls run in worker threads."""

    def __init__(self, calls: Calls, claimed: Claimed) -> None:
        self._calls = calls
        self._claimed = claimed
        self._last: RunChange | None = None

    @property
    def run_id(self) -> str:
        return self._claimed.run_id

    def now(self) -> datetime:
        return datetime.now(UTC)

    def check(self) -> None:
        """Do nothing: the claim is a lock, which can't expire."""

    async def read(self) -> StoredRun | None:
        return await self._calls.make(self._calls.database.read, self.run_id)

    async def write(self, change: RunChange, /) -> None:
        write = self._calls.database.write
        if not change.urgent:
            await self._calls.make(write, self._claimed, change)
        elif not await self._calls.make_now(write, self._claimed, change):
            self._last = change

    async def release(self) -> None:
        await self._calls.release(self._claimed, self._last)

    async def wait_cancelled(self) -> None:
        while True:
            await trio.sleep(_LOOK)
            lost, cancelled = await self._calls.look()
            if self._claimed.token in lost:
                raise RunClaimedError(self.run_id)
            if self._claimed.token in cancelled:
                return
