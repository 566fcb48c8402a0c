"""A store whose process can die between any two calls: for tests of what is left."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from trio_steps.store import RunChange, RunStore, SqliteStore
from trio_steps.testing import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping
    from datetime import datetime

    from trio_steps.store import RunClaim, RunRecord, StoredRun


class DiedError(Exception):
    """The process is dead: nothing that it does reaches the store."""


class Process(RunStore):
    """A process with a store, which dies at a given call.

    Attributes:
      inside: the real store.
      name: the name of the store.
      dies_at: the number of the call, from 0, at which it dies; None if it does not die.
      after: whether it dies after the call, whose result is lost, or instead of it.
      is_dead: whether it has died.
      written: the last status that any process wrote, for each run.
      idle: called when there is no run to take.
    """

    def __init__(self, inside: RunStore, name: str, written: dict[str, str]) -> None:
        self.inside = inside
        self.name = name
        self.dies_at: int | None = None
        self.after = False
        self.is_dead = False
        self.written = written
        self.idle: Callable[[], object] = lambda: None
        self._calls = 0
        self._left: list[Any] = []  # claims that were not ended

    def __repr__(self) -> str:
        return f"<the store {self.name}>"

    def will_die(self, dies_at: int | None, *, after: bool) -> None:
        self.dies_at, self.after, self._calls = dies_at, after, 0

    async def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Make a call, unless the process dies at it."""
        if self.is_dead:
            raise DiedError
        is_last = self._calls == self.dies_at
        self._calls += 1
        if not is_last or self.after:
            result = await function(*args, **options)
            if function.__name__ in ("write", "submit") and result is not False:
                claimed = getattr(function, "__self__", None)
                run_id = args[0] if function.__name__ == "submit" else getattr(claimed, "run_id", "")
                change = args[-1]
                assert isinstance(change, RunChange)
                self.written[run_id] = change.status
            if not is_last:
                return result
        self.die()
        raise DiedError

    def die(self) -> None:
        """Die, like a process that is killed."""
        self.is_dead = True
        if isinstance(self.inside, SqliteStore):
            database = self.inside._database  # pyright: ignore[reportPrivateUsage]
            database._tokens.clear()  # pyright: ignore[reportPrivateUsage]
            database._owner.forget()  # pyright: ignore[reportPrivateUsage]
        else:
            assert isinstance(self.inside, MemoryStore)
            self.inside._crashed = True  # pyright: ignore[reportPrivateUsage]

    async def bury(self) -> None:
        """End the claims that it held when it died, which has no effect any more."""
        while self._left:
            await self._left.pop().__aexit__(None, None, None)

    # The store

    @asynccontextmanager
    async def claim(self, run_id: str, /) -> AsyncGenerator[RunClaim]:
        inner = self.inside.claim(run_id)
        claim = await self.call(self._enter, inner)
        try:
            yield Claimed(self, claim)
        finally:
            await self._ended(inner)

    @asynccontextmanager
    async def take(
        self, pipelines: Mapping[str, Collection[str | None]], /, *, max_deaths: int = 5
    ) -> AsyncGenerator[RunClaim | None]:
        inner = self.inside.take(pipelines, max_deaths=max_deaths)
        claim = await self.call(self._enter, inner)
        if claim is None:
            self.idle()
        try:
            yield claim and Claimed(self, claim)
        finally:
            await self._ended(inner)

    async def _enter(self, inner: Any) -> Any:
        claim = await inner.__aenter__()
        self._left.append(inner)
        return claim

    async def _ended(self, inner: Any) -> None:
        if not self.is_dead:
            self._left.remove(inner)
            await inner.__aexit__(None, None, None)

    def now(self) -> datetime:
        return self.inside.now()

    async def read(self, run_id: str, /) -> StoredRun | None:
        stored: StoredRun | None = await self.call(self.inside.read, run_id)
        return stored

    async def runs(self, **options: Any) -> tuple[RunRecord, ...]:
        records: tuple[RunRecord, ...] = await self.call(self.inside.runs, **options)
        return records

    async def delete(self, run_id: str, /) -> None:
        await self.call(self.inside.delete, run_id)

    async def write_answers(self, run_id: str, answers: Mapping[str, str], /) -> None:
        await self.call(self.inside.write_answers, run_id, answers)

    async def cancel(self, run_id: str, /) -> bool:
        return bool(await self.call(self.inside.cancel, run_id))

    async def submit(self, run_id: str, change: RunChange, /) -> bool:
        return bool(await self.call(self.inside.submit, run_id, change))


class Claimed:
    """A run that a process has."""

    def __init__(self, process: Process, inside: RunClaim) -> None:
        self._process = process
        self._inside = inside
        self.run_id = inside.run_id

    def now(self) -> datetime:
        return self._inside.now()

    def check(self) -> None:
        self._inside.check()

    async def read(self) -> StoredRun | None:
        stored: StoredRun | None = await self._process.call(self._inside.read)
        return stored

    async def write(self, change: RunChange, /) -> None:
        await self._process.call(self._inside.write, change)

    async def wait_cancelled(self) -> None:
        await self._inside.wait_cancelled()
