"""The stored data of a run is damaged in any way: that is reported, and no step of the run is executed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from trio_steps import CheckpointError, Pipeline
from trio_steps.store import SqliteStore, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

ran: list[str] = []


def charge() -> dict[str, int]:
    ran.append("charge")
    return {"a": 1}


asks: Pipeline[Any, Any] = Pipeline("p").step("charge", charge).wait_for("ask", provides="ok", of=bool)


async def waiting(tmp_path: Path, damage: str) -> SqliteStore:
    path = tmp_path / "runs.db"
    await asks.run({}, store=SqliteStore(path, synchronous="normal"), run_id="r")
    ran.clear()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(damage)
    return SqliteStore(path, synchronous="normal")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE parts SET text = 'x' WHERE number = 0",
        "UPDATE parts SET text = '{}' WHERE number = 1",
        "UPDATE parts SET text = substr(text, 1, 50) WHERE number = 2",
        "UPDATE parts SET text = x'00ff' WHERE number = 2",
        "UPDATE parts SET text = (SELECT text FROM parts WHERE number = 0) WHERE number = 2",
        "UPDATE parts SET text = (SELECT text FROM parts WHERE number = 2) WHERE number = 0",
        "UPDATE parts SET text = (SELECT text FROM parts WHERE number = 2) WHERE number = 1",
        "UPDATE parts SET number = number + 5",
        "DELETE FROM parts WHERE number = 0",
        "DELETE FROM parts WHERE number = 1",
        "DELETE FROM parts",
    ],
)
async def test_text_that_is_damaged_missing_or_elsewhere_is_an_error(tmp_path: Path, damage: str) -> None:
    store = await waiting(tmp_path, damage)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.load("r"),
        lambda: asks.run({}, store=store, run_id="r"),
        lambda: asks.run(store=store, run_id="r", answers={"ok": True}),
        lambda: store.mark_done("r", "ask", {"ok": True}),
        lambda: asks.submit({}, store=store, run_id="r"),
    ]
    for call in calls:
        with pytest.raises(CheckpointError, match=r"damaged|not a checkpoint"):
            await call()
    assert ran == []
    assert [record.status for record in await store.runs()] == ["waiting"]
    await store.delete("r")
    assert (await asks.run({}, store=store, run_id="r"))["a"] == 1


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE runs SET questions = 'nonsense'",
        "UPDATE runs SET questions = '[[1]]'",
        "UPDATE runs SET questions = '3'",
        "UPDATE runs SET started = 'x'",
        "UPDATE runs SET updated = 1e300",
        "UPDATE runs SET updated = 1e17",
        "UPDATE waits SET until = 'x'",
    ],
)
async def test_record_that_is_damaged_is_an_error_that_names_the_run(tmp_path: Path, damage: str) -> None:
    store = await waiting(tmp_path, damage)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.load("r"),
        lambda: store.runs(),
        lambda: asks.run({}, store=store, run_id="r"),
        lambda: store.answer("r", ok=True),
    ]
    for call in calls:
        with pytest.raises(StoreError, match=r"what '.*runs\.db' has of the run 'r' is damaged: "):
            await call()
    assert ran == []
    await store.delete("r")
    assert await store.runs() == ()
