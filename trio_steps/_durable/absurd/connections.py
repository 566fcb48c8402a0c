"""Calls of PostgreSQL from Trio, in worker threads. Each call has a connection to itself.

Problem: no wait for a database may hold up a cancellation, whether it waits for a lock, a server or a network. But it
must be clear whether a cancelled call happened, and it must not happen later, when others have moved on.

Naive answer: an async driver. None is made for Trio; psycopg's is for asyncio. Or an abandoned thread. Then the call
may happen at any time, even after the next one.

What is done instead. PostgreSQL itself cancels the call: another connection asks the server to end the statement.
Either the transaction is rolled back, and the call has not happened; or the call was faster, and its result is returned
normally. If the server does not answer even that, the thread is abandoned after a few seconds.

If a connection is lost, a new one is made and the call is repeated. It is told that it is not the first, and has to
find out whether the first one happened. Every call here can do that. A server that is unreachable is tried again for a
while.

What is deliberately not done: no pool with its own thread. There are as many connections as concurrent calls, and the
limiter keeps these few.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeAlias, TypeVar, final

import attrs
import psycopg
import trio
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from trio_steps._core.errors import CheckpointError
from trio_steps._durable.protocol import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from typing import LiteralString

T = TypeVar("T")
P = ParamSpec("P")

Row: TypeAlias = "tuple[Any, ...]"
Connection: TypeAlias = "psycopg.Connection[Row]"

_PATIENCE: Final = 10.0  # seconds for which an unreachable server is tried again
_PAUSE: Final = 0.1  # seconds between two tries to connect, and to end a statement
_FAREWELL: Final = 3.0  # seconds that a cancelled statement has to end
_AT_ONCE: Final = 8  # concurrent calls of one Trio run
_DEFAULTS: Final = {"connect_timeout": "10", "application_name": "trio_steps"}
_OLDEST: Final = (0, 4)  # the first release of Absurd whose functions do what is needed here


def without_password(url: str) -> str:
    """Return `url` without its secrets.

    Raises:
      psycopg.ProgrammingError: it is not a connection string.
    """
    parts = conninfo_to_dict(url)
    return make_conninfo("", **{name: value for name, value in parts.items() if "password" not in name})


_inherited: Final[list[Connection]] = []  # connections of the parent of a forked child, which may not even close them


class _LostError(Exception):
    """The connection is lost, or could not be made."""


@final
@attrs.frozen
class Session:
    """A connection, for one call.

    Attributes:
      connection: outside a transaction, each statement is its own transaction.
      is_again: whether the call was made before and lost its connection, so that it may have happened.
    """

    connection: Connection
    is_again: bool

    def execute(self, statement: LiteralString | bytes, values: Sequence[object] = ()) -> psycopg.Cursor[Row]:
        """Execute a statement."""
        return self.connection.execute(statement, values)

    def transaction(self) -> AbstractContextManager[object]:
        """Open a transaction, and commit it at the end, or roll it back after an error."""
        return self.connection.transaction()


@final
class _Job:
    """A call that is made in a thread.

    Attributes:
      lock: hold it to look at the connection, or to end the call through it.
      has_begun: whether a thread works on it.
      is_over: whether no one waits for it any more.
      connection: its connection.
      ended: set at the end of the call.
      results: what it returned.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.has_begun = False
        self.is_over = False
        self.connection: Connection | None = None
        self.ended = threading.Event()
        self.results: list[Any] = []


@final
class Connections:
    """Connections to one database, and calls that are made with them.

    Attributes:
      name: the name of the database in errors.
    """

    def __init__(self, url: str) -> None:
        self.name: str = without_password(url)
        self._conninfo = make_conninfo("", **{**_DEFAULTS, **conninfo_to_dict(url)})
        self._lock = threading.Lock()
        self._free: list[Connection] = []
        self._pid = os.getpid()
        self._was_there = False
        self._limiter: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar(f"store {self.name!r}")
        weakref.finalize(self, _close, self._free, self._pid)

    async def call(self, function: Callable[Concatenate[Session, P], T], /, *args: P.args, **options: P.kwargs) -> T:
        """Return ``function(session, *args)``, which is called again if the connection is lost.

        If a cancellation comes too late to prevent the call, this returns normally.

        Raises:
          StoreError: the database can't be used.
        """
        try:
            limiter = self._limiter.get()
        except LookupError:
            limiter = trio.CapacityLimiter(_AT_ONCE)
            self._limiter.set(limiter)
        job = _Job()

        def work() -> T:
            with job.lock:
                job.has_begun = True
            try:
                result = self._work(job, lambda session: function(session, *args, **options))
                job.results.append(result)
            finally:
                job.ended.set()
            return result

        try:
            return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(_end, job, limiter=trio.CapacityLimiter(1))
            if job.results:
                result: T = job.results[0]
                return result
            raise

    def call_here(self, function: Callable[Concatenate[Session, P], T], /, *args: P.args, **options: P.kwargs) -> T:
        """Do the same as `call`, in the calling thread."""
        return self._work(_Job(), lambda session: function(session, *args, **options))

    def _work(self, job: _Job, function: Callable[[Session], T]) -> T:
        end = time.monotonic() + _PATIENCE
        again = False
        while True:
            try:
                return self._try(job, function, again)
            except _LostError as lost:
                error: BaseException | None = lost.__cause__
                if not (job.is_over or time.monotonic() > end or not self._was_there):
                    again = True
                    time.sleep(_PAUSE)
                    continue
            except (errors.DeadlockDetected, errors.SerializationFailure):
                continue  # it was rolled back, and nothing is wrong
            except errors.ProgramLimitExceeded as failure:
                raise CheckpointError(f"it is too long for {self.name!r}: {_words(failure)}") from failure
            except psycopg.Error as failure:
                error = failure
            raise StoreError(f"{self.name!r}: {_words(error)}") from error

    def _try(self, job: _Job, function: Callable[[Session], T], again: bool) -> T:
        connection = self._taken()
        with job.lock:
            job.connection = connection
            is_over = job.is_over
        try:
            if is_over:
                raise _LostError
            return function(Session(connection, again))
        except psycopg.OperationalError as error:
            if connection.closed:
                self._forget()  # then the other connections are lost, too
                raise _LostError from error
            raise
        finally:
            with job.lock:
                job.connection = None
                # a request to end may arrive a moment too late, during the next statement
                keep = not (job.is_over or connection.closed)
            if keep:
                with self._lock:
                    self._free.append(connection)
            else:
                connection.close()

    def _taken(self) -> Connection:
        with self._lock:
            if self._pid != os.getpid():
                _inherited.extend(self._free)
                self._free.clear()
                self._pid = os.getpid()
            if self._free:
                return self._free.pop()
        try:
            connection: Connection = psycopg.connect(self._conninfo, autocommit=True)
        except psycopg.OperationalError as error:
            raise _LostError from error
        try:
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        self._was_there = True
        return connection

    def _forget(self) -> None:
        with self._lock:
            free = self._free.copy()
            self._free.clear()
        for connection in free:
            connection.close()

    def _check(self, connection: Connection) -> None:
        """Check that the database has Absurd, in a release that is recent enough."""
        try:
            [(version,)] = connection.execute("select absurd.get_schema_version()").fetchall()
        except (errors.InvalidSchemaName, errors.UndefinedFunction) as error:
            raise StoreError(
                f"there is no Absurd in {self.name!r}; install it there: absurdctl init -d {self.name!r}"
            ) from error
        numbers = tuple(int(part) for part in version.partition("-")[0].split(".") if part.isdecimal())
        if numbers and numbers < _OLDEST:
            raise StoreError(
                f"the Absurd in {self.name!r} is {version}, and this needs {'.'.join(map(str, _OLDEST))} or later; "
                f"bring it up to date: absurdctl migrate -d {self.name!r}"
            )


def _end(job: _Job) -> None:
    """Make a call end, one way or another."""
    with job.lock:
        job.is_over = True
        if not job.has_begun:
            return
    end = time.monotonic() + _FAREWELL
    while not job.ended.wait(_PAUSE / 10) and time.monotonic() < end:
        with job.lock:
            if job.connection is not None:
                with suppress(psycopg.Error):
                    job.connection.cancel_safe(timeout=_FAREWELL)


def _close(free: list[Connection], pid: int) -> None:
    if pid == os.getpid():
        for connection in free:
            connection.close()


def _words(error: BaseException | None) -> str:
    return "it was cancelled" if error is None else str(error).strip().partition("\n")[0]
