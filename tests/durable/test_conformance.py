"""Every store does what a store has to do; and what does not, is found out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

import pytest

from trio_steps import ConfigError
from trio_steps.store import RunStore, SqliteStore
from trio_steps.testing import MemoryStore, check_store

if TYPE_CHECKING:
    from pathlib import Path


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
            connection.execute("DELETE FROM claims WHERE run_id = ?", (run_id,))

    await check_store(make_store, lose=lose)


async def test_check_that_there_is_not_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"check_store\(without=\['flies'\]\): there are answers, cancel"):
        await check_store(MemoryStore, without=["flies"])
