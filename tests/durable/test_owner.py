"""Which process owns a run: what a forked child is left with, and locks on Windows."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import sys
import types
from typing import TYPE_CHECKING

import pytest

from trio_steps._durable import file, owner
from trio_steps._durable.sqlite import Database
from trio_steps.store import RunClaimedError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.mark.parametrize("by", ["Python", "C"])
def test_child_that_was_forked_has_none_of_the_runs_and_leaves_them_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """This process plays the child. The parent is a duplicate of the open file, which is what a fork shares.

    A real fork, with a parent that goes on or dies, is in test_store_together.py. If code in C forks, Python does not
    notice.
    """
    inherited: list[object] = []
    monkeypatch.setattr(file, "_inherited", inherited)
    database = Database(path, "normal")
    claimed = database.claim("r")
    [lock] = path.parent.glob("*-lock-*")
    assert database._owner._descriptor is not None
    parent = os.dup(database._owner._descriptor)
    database._lock.acquire()  # another thread of the parent is in the middle of a call
    if by == "Python":
        owner._let_go()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(RunClaimedError):
        database.claim("r")
    database.release(claimed)
    with pytest.raises(RunClaimedError):
        database.claim("r")
    assert lock.exists()
    [connection] = inherited
    assert isinstance(connection, file.sqlite3.Connection)
    assert connection.execute("SELECT run_id FROM claims").fetchall() == [("r",)]  # it was not closed
    connection.close()
    os.close(parent)  # the parent dies
    database.release(database.claim("r"))
    assert not lock.exists()


def test_lock_of_windows_is_that_of_one_byte(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked: list[int] = []

    def locking(descriptor: int, mode: int, size: int) -> None:
        locked.append(descriptor)
        assert (mode, size) == (msvcrt.LK_NBLCK, 1)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it raises OSError too

    msvcrt = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    monkeypatch.setattr(sys, "platform", "".join("win32"))  # any text that is equal
    monkeypatch.delattr(os, "register_at_fork")
    spec = importlib.util.spec_from_file_location("trio_steps._durable.owner_on_windows", owner.__file__)
    assert spec is not None
    assert spec.loader is not None
    on_windows = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(on_windows)
    one, two = on_windows.Owner(path), on_windows.Owner(path)
    name = one.begin()
    assert two.is_alive(name)
    one.end()
    assert not two.is_alive(name)
    assert list(path.parent.iterdir()) == []
    assert len(locked) == 2  # by the owner and by the look at it


FORKS = """
import os
import sys
from pathlib import Path
from trio_steps._durable.owner import Owner

owner = Owner(Path(sys.argv[1]))
owner.begin()
descriptor = owner._descriptor
pid = os.fork()
if pid == 0:
    try:
        os.fstat(descriptor)
    except OSError:
        os._exit(owner.name is not None)
    os._exit(2)
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status), owner.name is not None)
"""


def test_child_that_was_forked_closes_the_lock_at_once(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKS, path], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("0 True\n", "")


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_runs_of_two_owners_are_refused_to_each_other_whatever_their_names(
    path: Path, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    left = iter(names)
    monkeypatch.setattr(owner, "uuid4", lambda: types.SimpleNamespace(hex=next(left)))
    one, two = Database(path, "normal"), Database(path, "normal")
    claims = one.claim("of one"), two.claim("of two")
    with pytest.raises(RunClaimedError):
        one.claim("of two")
    with pytest.raises(RunClaimedError):
        two.claim("of one")
    one.release(claims[0])
    two.release(claims[1])
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_owner_takes_no_file_that_is_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = owner.Owner(path), owner.Owner(path)
    name = one.begin()
    monkeypatch.setattr(owner, "uuid4", lambda: types.SimpleNamespace(hex=name))
    with pytest.raises(FileExistsError):
        two.begin()
    assert two.name is None
    one.end()


# Processes with read-only access


def test_look_of_somebody_who_may_only_read_removes_no_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock file may have just been created, and be locked a moment later."""
    path.touch()
    reader = owner.Owner(path)
    lock = path.with_name("runs.db-lock-new")
    lock.touch(0o444)
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (reader._database, os.W_OK))
    assert not reader.is_alive("new")
    assert lock.exists()
    monkeypatch.undo()
    assert not reader.is_alive("new")
    assert not lock.exists()


def test_lock_that_somebody_looks_at_is_made_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def looked_at(descriptor: int) -> None:
        looks.append(descriptor)
        if len(looks) == 1:
            with path.with_name(next(path.parent.glob("*-lock-*")).name).open() as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                lock(descriptor)
        lock(descriptor)

    looks: list[int] = []
    lock = owner._lock
    path.touch()
    one, two = owner.Owner(path), owner.Owner(path)
    with monkeypatch.context() as patch:
        patch.setattr(owner, "_lock", looked_at)
        name = one.begin()
    assert len(looks) == 2
    assert [file.name for file in path.parent.glob("*-lock-*")] == [f"runs.db-lock-{name}"]
    assert two.is_alive(name)
    one.end()
