"""Which processes are alive: a process holds a lock on its own file for as long as it has any runs.

Problem: a run whose process died has to be free at once, and a run that is running must not run twice.

Naive answer: a row that says until when a process has the run. It blocks the run for a while after the process has
died, and is wrong if the process is merely slow. Or a POSIX lock on the database itself: closing that file anywhere in
the same process releases it, for example after a backup.

What is done instead. A lock that belongs to the open file, not to the process (``flock``; on Windows, a locked byte).
It is gone as soon as the process is, and closing another file can't release it. A process has one file for all its runs
in a store, so a thousand runs need one file.

A forked child shares the open file, and would keep the lock alive after its parent has died. So it closes its copy at
once.
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
    """This process as an owner of runs. Between `begin` and `end`, it has a file and a lock.

    Attributes:
      name: its name in the database; None while it has no runs.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self.name: str | None = None
        self._descriptor: int | None = None
        _owners.add(self)

    def begin(self) -> str:
        """Become an owner, and return the owner's name. Call it in a transaction."""
        while self.name is None:
            for path in self._database.parent.glob(f"{self._database.name}-lock-*"):
                self.is_alive(path.name.rpartition("-")[2])  # one may have died before its first claim
            name = uuid4().hex
            self._descriptor = os.open(self._path(name), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            self.name = name
            try:
                _lock(self._descriptor)
            except BlockingIOError:
                self.end()  # a process that can only read the database looks at it, outside such a transaction
            except OSError as error:
                self.end()
                where = str(self._database.parent)
                raise StoreError(f"files in {where!r} can't be locked; use a disk of the machine: {error}") from error
        return self.name

    def end(self) -> None:
        """Stop owning anything. If the file can't be removed, it is cleared away later."""
        name = self.name
        if name is not None:
            self.forget()
            with suppress(OSError):
                self._path(name).unlink()

    def forget(self) -> None:
        """Close the file. The lock stays with the parent, which has it open too."""
        descriptor, self._descriptor, self.name = self._descriptor, None, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    def is_alive(self, name: str) -> bool:
        """Tell whether another owner, of that name, is alive. Call it in a transaction.

        The file of a dead owner is cleared away, unless the database can only be read here: then nothing keeps other
        owners from beginning meanwhile.
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
