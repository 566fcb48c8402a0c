"""Which processes are alive: a process holds a lock on a file of its own for as long as it has any runs.

Problem: a run whose process died has to be free at once, and a run that is running must not run twice.

Naive answer: a row that says until when a process has the run. It blocks the run for a while after the process has
died, and is wrong if the process is merely slow. Or a POSIX lock on the database itself: any close of that file in the
same process releases it, such as that of a backup.

What is done instead. A lock that belongs to the open file, and not to the process (``flock``; on Windows, a locked
byte). It is gone as soon as the process is, and no other close can release it. There is one file for all runs that a
process has in a store, so a thousand runs need one file.

A child that is forked shares the open file, and would keep the lock alive when its parent has died. So it closes its
copy at once.
"""

from __future__ import annotations

import os
import sys
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Final, final
from uuid import uuid4

from .protocol import StoreError

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


if TYPE_CHECKING:
    from pathlib import Path


@final
class Owner:
    """This process as an owner of runs. It has a file and a lock between `begin` and `end`.

    Attributes:
      name: its name in the database; None while it has no runs.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self.name: str | None = None
        self._descriptor: int | None = None
        _owners.add(self)

    def begin(self) -> str:
        """Own something, and return the name of the owner. Call it in a transaction."""
        while self.name is None:
            for path in self._database.parent.glob(f"{self._database.name}-lock-*"):
                self.is_alive(path.name.rpartition("-")[2])  # one may have died between its lock and its first claim
            name = uuid4().hex
            self._descriptor = os.open(self._path(name), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            self.name = name
            try:
                _lock(self._descriptor)
            except BlockingIOError:
                self.end()  # someone looks at it who may only read the database, and so is in no transaction like this
            except OSError as error:
                self.end()
                where = str(self._database.parent)
                raise StoreError(f"files in {where!r} can't be locked; use a disk of the machine: {error}") from error
        return self.name

    def end(self) -> None:
        """Stop owning anything. Only removing the file can fail; it is cleared away later."""
        name = self.name
        if name is not None:
            self.forget()
            with suppress(OSError):
                self._path(name).unlink()

    def forget(self) -> None:
        """Close the file, whose lock is then that of others who have it open."""
        descriptor, self._descriptor, self.name = self._descriptor, None, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    def is_alive(self, name: str) -> bool:
        """Tell whether the owner of that name, which is not this one, is alive. Call it in a transaction.

        What one that has died has left behind is cleared away, unless the database can only be read here: then nothing
        keeps others from beginning meanwhile.
        """
        path = self._path(name)
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            _lock(descriptor)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        if os.access(self._database, os.W_OK):
            with suppress(OSError):
                path.unlink()
        return False

    def _path(self, name: str) -> Path:
        return self._database.with_name(f"{self._database.name}-lock-{name}")


_owners: Final[weakref.WeakSet[Owner]] = weakref.WeakSet()


def _let_go() -> None:
    for owner in list(_owners):
        owner.forget()


with suppress(AttributeError):  # Windows does not fork
    os.register_at_fork(after_in_child=_let_go)
