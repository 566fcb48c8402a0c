"""The results of a stream between its paths and its reader: those that have come and have not been taken.

Problem: deliver results one by one, as paths end, to a reader that may be slower than the paths, may stop early, and
may never read at all. Nothing may be lost, and memory must not grow with the number of paths.

Naive answer: a memory channel into which each path sends. A path that waits for room there holds its slot and its
token. Whatever is in the channel when the reader leaves is lost.

What is done instead. The fork of a stream has a `Ledger` that keeps only the results that have not been taken. Taking a
result removes it from the ledger, so the rest is discarded at the end like anything else that a fork does not return.
The mode of the fork knows in which order results have come. The fork starts no path while `buffer` results are waiting,
and does not end before the reader has asked for another result after the last.

All of this is synchronous except for three waits: the workers wait for room, the fork waits for the reader, and the
reader waits for results.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

import trio

from trio_steps._core.errors import StepTimeoutError, short_name
from trio_steps._core.results import ForkPartialError, Fulfilled, Rejected

from .ledger import MISSING, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .paths import PathNames

T = TypeVar("T")

_STRETCH: Final = 32
"""The most results that are taken in a row without a checkpoint."""


@final
class Undelivered(Ledger[T]):
    """The ledger of a stream, which forgets the results that have been taken."""

    __slots__ = ("_floor", "_taken", "untaken")

    def __init__(self, fork_id: str = "fork", name: str | None = None) -> None:
        super().__init__(fork_id, name)
        self.untaken: dict[int, T] = {}  # values, in the order in which they came
        self._floor = 0  # all indexes below have been taken
        self._taken: set[int] = set()  # indexes above that have been taken

    def expect(self, names: PathNames | list[str]) -> None:
        """Expect one path for each of `names`."""
        self.names = names

    def put(self, index: int, value: T) -> None:
        """Enter the value of path `index`."""
        self.untaken[index] = value

    def forget(self, index: int) -> None:
        """Forget path `index`, whose value or error has been taken."""
        if index != self._floor:
            self._taken.add(index)
            return
        index += 1
        taken = self._taken
        while index in taken:
            taken.remove(index)
            index += 1
        self._floor = index

    def kept(self) -> Iterator[tuple[int, T]]:
        """Yield the values that have not been taken, with their indexes."""
        yield from self.untaken.items()

    def unfinished(self) -> list[int]:
        """Return the indexes of the paths that were started and have neither a value nor an error that counts."""
        late = self.late_errors
        return [
            index
            for index in range(self._floor, self.started)
            if index not in self._taken and index not in self.untaken and (index not in self.errors or index in late)
        ]

    def partial(self, *own: Exception) -> ForkPartialError[Exception]:
        """Return the error for a fork that failed. It holds the paths whose results the reader has not taken."""
        total = len(self.names)
        left = [index for index in range(self._floor, total) if index not in self._taken]
        values = dict(self.untaken) if self.timeout is not None else {**self.untaken, **self.late_values}
        failures = [self.errors[index] for index in sorted(self.errors)]
        what = f"{len(failures)} of {total} paths failed" if failures else "no path failed, but the fork did"
        partial = ForkPartialError(f"fork {short_name(self.name)!r}: {what}", [*failures, *self.own_errors, *own])
        partial.step_id = self.fork_id
        partial.succeeded = tuple(Fulfilled(self.names[index], values[index]) for index in left if index in values)
        partial.failed = tuple(self._rejected(index) for index in left if index not in values)
        return self._own(partial)


@final
class Delivery:
    """One run of a stream, between its fork and its reader. It is also the mode of that fork.

    Attributes:
      buffer: how many results may be waiting when a path starts.
      waiting: how many results are waiting.
      over: the fork has ended.
      error: what the fork ended with, until the reader has it.
      ledger: the results that have not been taken.
    """

    __slots__ = (
        "_arrived",
        "_asked",
        "_broken",
        "_expired",
        "_news",
        "_next",
        "_reader_waits",
        "_ready",
        "_room",
        "_settles",
        "_streak",
        "buffer",
        "error",
        "ledger",
        "over",
        "settles_deadline",
        "waiting",
    )

    def __init__(self, *, settles: bool, ordered: bool, buffer: float) -> None:
        """Begin without results.

        Args:
          settles: the reader takes results, and no failure breaks the fork. Otherwise it takes values, and the first
            failure breaks the fork.
          ordered: results are taken in path order, not in the order in which they come.
          buffer: how many results may be waiting when a path starts.
        """
        self.buffer: float = buffer
        self.waiting: int = 0
        self.over: bool = False
        self.error: Exception | None = None
        self.ledger: Undelivered[Any] = Undelivered()
        self.settles_deadline: bool = settles
        self._settles = settles
        self._broken = False  # the fork fails: nothing is taken any more
        self._ready: deque[int] | None = None if ordered else deque()  # what has come, in order of arrival
        self._arrived: set[int] = set()  # what has come, if results are taken in path order
        self._next = 0  # the next index in path order
        self._expired: dict[int, StepTimeoutError] = {}
        self._streak = _STRETCH  # how many more results may be taken before the reader lets other tasks run
        self._reader_waits = False
        self._asked = trio.lowlevel.ParkingLot()  # where the fork waits when everything else is done
        self._news = trio.lowlevel.ParkingLot()  # where the reader waits
        self._room = trio.lowlevel.ParkingLot()  # where workers wait

    # The fork: it begins, is decided, waits, and ends

    def begin(self, fork_id: str, name: str) -> Undelivered[Any]:
        """Return the ledger for the run of the fork with this full `name`."""
        self.ledger = Undelivered(fork_id, name)
        return self.ledger

    def succeeded(self, index: int, _value: object, /) -> bool:
        """Path `index` returned a value."""
        if self._ready is None:
            self._arrived.add(index)
        else:
            self._ready.append(index)
        self.waiting += 1
        if self._news:
            self._news.unpark()
        return False

    def failed(self, index: int, error: Exception, /) -> bool:
        """Path `index` raised `error`."""
        self._broken = not self._settles
        return self._broken or self.succeeded(index, error)

    def exhausted(self, _total: int, /) -> bool:
        """There will be no more paths."""
        return False

    def result(self) -> None:
        """Return None, because results are taken one by one; or raise the error of the fork."""
        ledger = self.ledger
        if self._broken:
            raise ledger.partial()
        if ledger.timeout is not None:
            for index in ledger.unfinished():
                error = StepTimeoutError(ledger.full_name(index), ledger.timeout)
                self._expired[index] = error
                self.succeeded(index, error)

    async def room(self) -> None:
        """Wait until fewer than `buffer` results are waiting."""
        while self.waiting >= self.buffer:
            await self._room.park()

    async def collected(self) -> None:
        """Wait until the reader has asked for another result after the last."""
        self.ledger.errors.update(self._expired)
        while not self._news:  # a reader that is cancelled while it waits leaves the lot
            await self._asked.park()

    def end(self, error: Exception | None) -> None:
        """The fork has ended, with `error` if there is one."""
        self.error = error
        self.over = True
        self._news.unpark()

    # The reader

    async def take(self) -> Any:
        """Wait for the next result, and take it.

        It avoids calls, because it runs once for each path.

        Raises:
          StopAsyncIteration: there are no more results.
          ForkPartialError: the fork has failed.
          RuntimeError: another task is waiting for the next result.
        """
        if self._reader_waits:
            raise RuntimeError("another task is reading this stream: let one task read, and pass the results on")
        self._streak -= 1
        if self._streak:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            self._streak = _STRETCH
            await trio.lowlevel.checkpoint()
        ready = self._ready
        while True:
            if self.waiting and not self._broken and not self.ledger.closed and not self.ledger.own_errors:
                if ready:
                    index = ready.popleft()
                    break
                if self._next in self._arrived:
                    index = self._next
                    self._next = index + 1
                    self._arrived.remove(index)
                    break
            if self.over:
                error, self.error = self.error, None
                raise StopAsyncIteration if error is None else error
            self._streak = _STRETCH
            self._reader_waits = True
            self._asked.unpark()
            try:
                await self._news.park()
            finally:
                self._reader_waits = False
        if self.waiting >= self.buffer:
            self._room.unpark_all()
        self.waiting -= 1
        ledger = self.ledger
        ledger.forget(index)
        value = ledger.untaken.pop(index, MISSING)
        if value is MISSING:
            return Rejected(ledger.names[index], self._expired.get(index) or ledger.errors.pop(index))
        return Fulfilled(ledger.names[index], value) if self._settles else value
