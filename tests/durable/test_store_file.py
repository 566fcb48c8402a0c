"""The file of an SQLite store: what its header says, how long a call waits for others, and what an error means."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from trio_steps._durable.file import File, is_busy
from trio_steps._durable.moving import check_is_here, has_left, marks_of
from trio_steps.store import RunChange, RunRecord, StoreError

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_header_of_the_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    File(path, "normal")._open().close()
    header = path.read_bytes()[:100]
    assert (header[60:64], header[68:72]) == (b"\0\0\0\3", b"step")


def test_sqlite_itself_waits_for_others_for_a_tenth_of_a_second(tmp_path: Path) -> None:
    with closing(File(tmp_path / "runs.db", "normal")._open()) as connection:
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (100,)


def test_file_that_is_no_store_does_not_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs.db"
    path.write_text("no database, but a text of more than a few letters")
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def watched(*args: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", watched)
    with pytest.raises(StoreError, match="is not a database"), File(path, "normal").transaction():
        pass
    [connection] = opened
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


@pytest.mark.parametrize(
    ("code", "busy"),
    [
        (sqlite3.SQLITE_BUSY, True),
        (sqlite3.SQLITE_BUSY_RECOVERY, True),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, True),
        (sqlite3.SQLITE_LOCKED, True),
        (sqlite3.SQLITE_LOCKED_SHAREDCACHE, True),
        (sqlite3.SQLITE_ERROR, False),
        (sqlite3.SQLITE_ABORT, False),
        (sqlite3.SQLITE_NOMEM, False),
        (sqlite3.SQLITE_READONLY_DIRECTORY, False),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, False),
        (None, False),
    ],
)
def test_only_the_codes_of_busy_and_locked_and_their_kinds_say_that_others_are_in_the_way(
    code: int | None, busy: bool
) -> None:
    error = sqlite3.OperationalError("no")
    if code is not None:
        error.sqlite_errorcode = code
    assert is_busy(error) is busy


# What its records say


def test_run_has_no_deaths_and_a_change_is_not_urgent_unless_it_says_so() -> None:
    record = RunRecord(run_id="r", pipeline="p", status="running", started=NOON, updated=NOON)
    assert (record.deaths, record.waiting) == (0, {})
    assert RunChange(pipeline="p", status="running").urgent is False


FIRST, LAST = marks_of("other")


@pytest.mark.parametrize(
    ("status", "error", "is_here", "left"),
    [
        ("".join("cancelled"), FIRST, False, False),  # a text that is equal, as that of a file
        ("".join("cancelled"), LAST, False, True),
        ("cancelled", None, True, False),
        ("cancelled", f"OSError: {LAST}", True, False),
        ("failed", LAST, True, False),
        ("failed", FIRST, True, False),
    ],
)
def test_only_a_cancelled_run_with_a_mark_is_being_moved(
    status: Any, error: str | None, is_here: bool, left: bool
) -> None:
    record = RunRecord(run_id="r", pipeline="p", status=status, error=error, started=NOON, updated=NOON)
    assert has_left(record) is left
    if is_here:
        check_is_here(record, "run")
    else:
        with pytest.raises(StoreError, match=r"^the run 'r' can't be run here: it (was|is being) moved to 'other'"):
            check_is_here(record, "run")


def test_error_of_a_file_that_was_deleted_says_so_and_has_the_error_of_sqlite_as_its_cause(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with (
        pytest.raises(StoreError, match="was deleted or replaced while it was in use") as caught,
        File(path, "normal").transaction(),
    ):
        path.unlink()
        raise sqlite3.OperationalError("disk I/O error")
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)


def test_error_of_a_file_that_is_still_there_is_that_of_sqlite(tmp_path: Path) -> None:
    with (
        pytest.raises(sqlite3.OperationalError, match="disk"),
        File(tmp_path / "r", "normal").transaction(),
    ):
        raise sqlite3.OperationalError("disk I/O error")
