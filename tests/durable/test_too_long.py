"""A value that is too long for its store is lost, like one that can't be written: its step is not run again."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from trio_steps import CheckpointError, Pipeline, step
from trio_steps._durable.file import File
from trio_steps.store import SqliteStore
from trio_steps.testing import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqliteStore:
    """A store that holds texts of a million bytes."""
    open_file = File._open

    def opened(self: File) -> sqlite3.Connection:
        connection = open_file(self)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000)
        return connection

    monkeypatch.setattr(File, "_open", opened)
    return SqliteStore(tmp_path / "runs.db", synchronous="normal")


@pytest.mark.parametrize("members", [1, 2])
async def test_value_that_is_too_long_is_named_once_and_its_step_is_not_run_again(
    store: SqliteStore, members: int
) -> None:
    ran: list[str] = []

    def long() -> dict[str, str]:
        ran.append("long")
        return {"text": "x" * 2_000_000} | ({"more": ""} if members == 2 else {})

    p: Pipeline[Any, Any] = Pipeline("p").step("a", lambda: {"a": 1}).step("long", long).step("b", lambda: {"b": 1})
    key = ", key 'text'" if members == 1 else ""
    problem = rf"step 'long'{key}: it is too long for the store '.+runs\.db'"
    with pytest.raises(CheckpointError, match=problem):
        await p.run({}, store=store, run_id="r")
    [record] = await store.runs()
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.startswith(f"CheckpointError: step 'long'{key}: it is too long")
    for _ in range(2):
        with pytest.raises(CheckpointError, match="the step was done, but its output can't be stored: it is too long"):
            await p.run(store=store, run_id="r")
    assert ran == ["long"]
    output = {"text": "short"} | ({"more": ""} if members == 2 else {})
    await store.mark_done("r", "long", output)
    assert await p.run(store=store, run_id="r") == {"a": 1, "b": 1, **output}


async def test_what_other_members_have_done_is_saved_with_what_is_lost() -> None:
    store = MemoryStore()
    members = [step(lambda key=key: {key: object() if key == "c" else key}, id=key) for key in ("a", "b", "c")]
    p: Pipeline[Any, Any] = Pipeline("p").step("all", *members)
    with pytest.raises(CheckpointError, match="can't be"):
        await p.run({}, store=store, run_id="r")
    saved = (await store.load("r")).checkpoint
    assert saved is not None
    assert [(entry.kind, entry.step) for entry in saved.entries[1:]] == [
        ("done", "all/a"),
        ("done", "all/b"),
        ("lost", "all/c"),
    ]


async def test_input_that_is_too_long_is_refused_before_anything_is_run(store: SqliteStore) -> None:
    p: Pipeline[Any, Any] = Pipeline("p").step("a", lambda: pytest.fail("it was run"))
    with pytest.raises(CheckpointError, match="it is too long for the store"):
        await p.run({"text": "x" * 2_000_000}, store=store, run_id="r")
    with pytest.raises(CheckpointError, match="it is too long for the store"):
        await p.submit({"text": "x" * 2_000_000}, store=store, run_id="r")
    assert await store.runs() == ()
