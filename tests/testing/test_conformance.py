"""`check_store`: every store of the library passes, and a store with a bug is caught."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import trio
from memory_queue import MemoryQueue

from trio_steps import ConfigError
from trio_steps.store import RunStore, SqliteStore
from trio_steps.testing import MemoryStore, _stores, check_store

if TYPE_CHECKING:
    from pathlib import Path

    from trio_steps.store import RunChange


async def test_memory_store_conforms() -> None:
    async def lose(store: RunStore, run_id: str) -> None:
        assert isinstance(store, MemoryStore)
        store.lose(run_id)

    await check_store(MemoryStore, lose=lose)


async def test_sqlite_store_conforms(tmp_path: Path) -> None:
    numbers = count()

    def make_store() -> SqliteStore:
        return SqliteStore(tmp_path / f"{next(numbers)}.db", synchronous="normal")

    async def lose(store: RunStore, run_id: str) -> None:
        assert isinstance(store, SqliteStore)
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute("UPDATE claims SET owner = 'dead' WHERE run_id = ?", (run_id,))

    await check_store(make_store, lose=lose)


async def test_store_whose_runs_only_workers_run_conforms() -> None:
    async def lose(store: Any, run_id: str) -> None:
        store.memory.lose(run_id)

    await check_store(MemoryQueue, lose=lose, without=["claims"])


async def test_check_that_there_is_not_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"check_store\(without=\['flies'\]\): the checks are answers, cancel"):
        await check_store(MemoryStore, without=["flies"])


async def test_check_that_is_left_out_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "cancel", lambda self, run_id: pytest.fail("it can't be cancelled"))
    await check_store(MemoryStore, without=["cancels", "goes_on_after_cancel", "submits"])


async def test_memory_store_of_which_nobody_can_lose_a_run_is_checked_without_that() -> None:
    await check_store(MemoryStore)


async def test_store_that_gives_a_run_to_two_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed = MemoryStore._claimed

    def given_again(self: MemoryStore, run_id: str) -> object:
        self._claims.pop(run_id, None)
        return claimed(self, run_id)

    monkeypatch.setattr(MemoryStore, "_claimed", given_again)
    with pytest.raises(AssertionError, match="a second claim has to raise RunClaimedError") as caught:
        await check_store(MemoryStore)
    assert caught.value.__notes__ == ["in check_store, the check 'claims'"]


async def test_store_whose_writes_can_not_be_cancelled_conforms(monkeypatch: pytest.MonkeyPatch) -> None:
    async def come(self: MemoryStore) -> None:
        await trio.lowlevel.cancel_shielded_checkpoint()

    monkeypatch.setattr(MemoryStore, "come", come)
    await check_store(MemoryStore)


async def test_store_that_writes_and_is_cancelled_all_the_same_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = MemoryStore.keep

    async def write(self: Any, change: RunChange, /) -> None:
        keep(self._store, self, change)
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(_stores._Claim, "write", write)
    with pytest.raises(AssertionError, match="a write returns if, and only if, it was made") as caught:
        await check_store(MemoryStore)
    assert caught.value.__notes__ == ["in check_store, the check 'cancelled_writes'"]
