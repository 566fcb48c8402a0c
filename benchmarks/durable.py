"""P15: what a durable step adds to a run, against a bare transaction that writes the same bytes.

Both wait for the disk, so wall-clock time is counted here. The bare transaction is made from Trio as well, in a thread,
like anything that blocks.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trio_steps import Pipeline
from trio_steps.store import SqliteStore

from .fanout import OURS
from .measure import Contender, Row, Settings, Target, judge, take_turns, timed
from .work import same

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

KEYS = ("P15",)
STEPS = 500
TEXT = "x" * 1_000

BARE = "bare transaction"
SAVE = Target(key="P15", what="a durable step of 1 kB: what it adds", of=OURS, against=BARE, limit=1.3, unit="step")

_SCHEMA = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = full",
    "CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY, updated REAL, step TEXT)",
    "CREATE TABLE IF NOT EXISTS parts (run INTEGER, number INTEGER, text TEXT, PRIMARY KEY (run, number))",
)


def give() -> dict[str, str]:
    return {"text": TEXT}


def row_of(steps: int) -> Pipeline[Any, Any]:
    row: Pipeline[Any, Any] = Pipeline("row")
    for number in range(steps):
        row = row.step(f"step-{number}", give)
    return row


def _write(connection: sqlite3.Connection, run: int, number: int, text: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE runs SET updated = ?, step = ? WHERE id = ?", (time.time(), f"step-{number}", run))
    connection.execute("INSERT INTO parts VALUES (?, ?, ?)", (run, number, text))
    connection.execute("COMMIT")


def contenders(directory: Path, steps: int) -> list[Contender]:
    """Return the contenders, with files in `directory`."""
    row, numbers = row_of(steps), count(1)
    store = SqliteStore(directory / "runs.db")

    def ours(settings: Settings) -> float:
        run_id = str(next(numbers))

        async def durable() -> object:
            return await row.run({}, store=store, run_id=run_id)

        async def plain() -> object:
            return await row.run({})

        seconds, result = timed("trio", durable, settings)
        same(OURS, "result", result, {"text": TEXT})
        return (seconds - timed("trio", plain, settings)[0]) / steps

    def bare(settings: Settings) -> float:
        run = next(numbers)
        part = trio.run(store.read, "sample")
        assert part is not None
        text = part.parts[2]

        async def transactions() -> object:
            limiter = trio.CapacityLimiter(1)
            for number in range(steps):
                await trio.to_thread.run_sync(_write, connection, run, number, text, limiter=limiter)
            return steps

        path = directory / "bare.db"
        with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute("INSERT INTO runs VALUES (?, 0, '')", (run,))
            seconds, _ = timed("trio", transactions, settings)
            (written,) = connection.execute("SELECT count(*) FROM parts WHERE run = ?", (run,)).fetchone()
        same(BARE, "rows", written, steps)
        return seconds / steps

    def check() -> None:
        """Keep the text that a step is written as, which a stopped run still has."""

        async def stopped() -> None:
            await row.run({}, store=store, run_id="sample", on_step_complete=lambda event: event.stop())

        trio.run(stopped)

    return [
        Contender(name=OURS, how="SqliteStore, less the same run without a store", sample=ours, check=check),
        Contender(name=BARE, how="BEGIN, UPDATE, INSERT, COMMIT in a thread", sample=bare, check=lambda: None),
    ]


def measure(keys: Collection[str], settings: Settings) -> Iterator[Row]:
    """Measure those of `keys` that are measured here."""
    if "P15" in keys:
        settings = attrs.evolve(settings, clock=time.perf_counter)
        with tempfile.TemporaryDirectory() as directory:
            who = contenders(Path(directory), settings.size(STEPS, STEPS // 2))
            yield from judge([SAVE], who, take_turns(who, settings), None)
