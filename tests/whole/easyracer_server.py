"""A stand-in for the Easy Racer server, which judges the eleven scenarios by the course's rules.

    python tests/whole/easyracer_server.py [--backlog N] [--blocking SECONDS]

It listens on a free port on loopback, prints the port, and serves until it is killed. ``GET /story``
returns, as JSON, what it has seen of each scenario: see `Story`.

It does everything that a client must cope with: it alternates between chunked answers and answers with a length,
writes its headers in capitals, never closes an answered connection first, and drops others with a reset or a plain
close.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import socket
import struct
import sys
import uuid
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar
from urllib.parse import parse_qsl, urlsplit

import attrs
import h11
import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

CROWD = 10_000
"""How many racers scenario 3 needs."""

T = TypeVar("T")
Query = dict[str, str]
Answer = tuple[int, str]

RIGHT: Answer = (200, "right")
WRONG: Answer = (200, "wrong")
FAILED: Answer = (500, "wrong")


class Drop(Exception):
    """Close the connection without an answer, with a reset if `reset`."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__(reset)
        self.reset = reset


@attrs.define
class Story:
    """What the server saw of one scenario.

    Attributes:
      came: how many requests.
      together: how many of them were open at once, at most.
      answered: how many were answered, by status.
      dropped: how many were dropped.
      hung_up: for each racer that hung up without an answer, after how many seconds.
      gaps: seconds between one request and the next.
      opened: ids of resources that were handed out, in scenario 8.
      closed: ids of resources that were given back, in that order.
      loads: the loads reported in scenario 10.
    """

    came: int = 0
    open: int = 0
    together: int = 0
    answered: dict[int, int] = attrs.Factory(dict)
    dropped: int = 0
    hung_up: list[float] = attrs.Factory(list)
    gaps: list[float] = attrs.Factory(list)
    opened: list[str] = attrs.Factory(list)
    closed: list[str] = attrs.Factory(list)
    loads: list[float] = attrs.Factory(list)
    last_came: float | None = None

    @contextmanager
    def request(self) -> Iterator[None]:
        """Record a request, which is handled in the block."""
        now = trio.current_time()
        if self.last_came is not None:
            self.gaps.append(now - self.last_came)
        self.last_came = now
        self.came += 1
        self.open += 1
        self.together = max(self.together, self.open)
        try:
            yield
        except Drop:
            self.dropped += 1
            raise
        except trio.Cancelled:
            self.hung_up.append(trio.current_time() - now)
            raise
        finally:
            self.open -= 1


class Promise(Generic[T]):
    """A value that tasks can wait for. The first one that is given counts."""

    def __init__(self) -> None:
        self._given = trio.Event()
        self._value: T | None = None

    def give(self, value: T) -> None:
        if not self._given.is_set():
            self._value = value
            self._given.set()

    async def wait(self) -> T:
        await self._given.wait()
        return self._value  # type: ignore[return-value]


class Crowd(Generic[T]):
    """The racers in a scenario right now, and the promise they share. When all have left, a new crowd starts."""

    def __init__(self) -> None:
        self.size = 0
        self.promise = Promise[T]()

    @contextmanager
    def join(self) -> Iterator[tuple[int, Promise[T]]]:
        """Join the crowd, and get a number and the promise."""
        self.size += 1
        try:
            yield self.size, self.promise
        finally:
            self.size -= 1
            if not self.size:
                self.promise = Promise()


@attrs.define
class Blocker:
    """A request of scenario 10 that is held open for `seconds`, and the loads reported meanwhile."""

    start: float
    seconds: int
    loads: list[float] = attrs.Factory(list)


class Judge:
    """The rules."""

    def __init__(self, blocking: int | None) -> None:
        self._blocking = blocking
        self._crowds: dict[int, Crowd[None]] = {number: Crowd() for number in (1, 2, 3, 4, 5, 6, 11)}
        self._hedge: Crowd[float] = Crowd()
        self._resource: Crowd[Promise[str]] = Crowd()
        self._letters: Crowd[list[tuple[str, int] | None]] = Crowd()
        self._blockers: dict[str, Blocker] = {}
        self.stories = [Story() for _ in range(11)]
        self._scenarios: list[Callable[[Query], Awaitable[Answer]]] = [
            self._scenario_1,
            self._scenario_2,
            self._scenario_3,
            self._scenario_4,
            self._scenario_5,
            self._scenario_6,
            self._scenario_7,
            self._scenario_8,
            self._scenario_9,
            self._scenario_10,
            self._scenario_11,
        ]

    async def answer(self, target: str) -> Answer:
        """Answer one request for `target`; it is cancelled when the client hangs up."""
        url = urlsplit(target)
        if url.path == "/":
            return 200, ""
        if url.path == "/story":
            return 200, json.dumps([attrs.asdict(story) for story in self.stories])
        name = url.path[1:]
        if name not in map(str, range(1, 12)):
            return 404, ""
        number = int(name)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        story = self.stories[number - 1]
        with story.request():
            status, body = await self._scenarios[number - 1](query)
            story.answered[status] = story.answered.get(status, 0) + 1
            return status, body

    async def _scenario_1(self, query: Query) -> Answer:
        """The second racer starts the first, and is never answered."""
        with self._crowds[1].join() as (number, second_came):
            if number == 1:
                await second_came.wait()
                return RIGHT
            second_came.give(None)
            return await never()

    async def _scenario_2(self, query: Query) -> Answer:
        """The second racer is dropped, and the first answered a second later."""
        with self._crowds[2].join() as (number, second_came):
            if number == 1:
                await second_came.wait()
                await trio.sleep(1)
                return RIGHT
            second_came.give(None)
            raise Drop(reset=True)

    async def _scenario_3(self, query: Query) -> Answer:
        """Once the crowd is complete, only its last racer is answered."""
        with self._crowds[3].join() as (number, _):
            return RIGHT if number >= CROWD else await never()

    async def _scenario_4(self, query: Query) -> Answer:
        """When a racer hangs up, the others are answered."""
        with self._crowds[4].join() as (_, somebody_left):
            try:
                await somebody_left.wait()
            except trio.Cancelled:
                somebody_left.give(None)
                raise
            return RIGHT

    async def _scenario_5(self, query: Query) -> Answer:
        """The first racer fails when the second comes, and the second is answered a second later."""
        with self._crowds[5].join() as (number, second_came):
            if number == 1:
                await second_came.wait()
                return FAILED
            second_came.give(None)
            await trio.sleep(1)
            return RIGHT

    async def _scenario_6(self, query: Query) -> Answer:
        """When the third has come, the first racer fails, and the second is answered a second later."""
        with self._crowds[6].join() as (number, third_came):
            if number == 1:
                await third_came.wait()
                return FAILED
            if number == 2:
                await third_came.wait()
                await trio.sleep(1)
                return RIGHT
            third_came.give(None)
            return await never()

    async def _scenario_7(self, query: Query) -> Answer:
        """The first racer is right if the second came more than 2 seconds after it."""
        with self._hedge.join() as (number, second_came):
            now = trio.current_time()
            if number == 1:
                return RIGHT if await second_came.wait() - 2 > now else WRONG
            second_came.give(now)
            return await never()

    async def _scenario_8(self, query: Query) -> Answer:
        """Of two users the first fails; the second is right when the other's resource is closed."""
        story = self.stories[7]
        if "open" in query:
            id = str(uuid.uuid4())
            story.opened.append(id)
            return 200, id
        if "use" in query:
            with self._resource.join() as (number, second_came):
                if number == 1:
                    await second_came.wait()
                    return FAILED
                somebody_closed = Promise[str]()
                second_came.give(somebody_closed)
                return RIGHT if await somebody_closed.wait() != query["use"] else WRONG
        if "close" in query:
            story.closed.append(query["close"])
            if self._resource.size == 1:
                (await self._resource.promise.wait()).give(query["close"])
            return 200, ""
        return 406, ""

    async def _scenario_9(self, query: Query) -> Answer:
        """Of ten racers five fail, and five get a letter, each a second after the one before it."""
        with self._letters.join() as (number, all_came):
            if number == 10:
                lots = [None] * 5 + [(letter, second) for second, letter in enumerate("right")]
                random.shuffle(lots)
                all_came.give(lots)
            lot = (await all_came.wait()).pop()
            if lot is None:
                return FAILED
            letter, second = lot
            await trio.sleep(second)
            return 200, letter

    async def _scenario_10(self, query: Query) -> Answer:
        """The load must be high while the blocker is held, reported every second, and low soon after."""
        if not query:
            return 400, "You need to specify a query parameter"
        id, text = next(iter(query.items()))
        now = trio.current_time()
        if not text:
            blocker = Blocker(now, self._blocking or random.randrange(5, 10))
            self._blockers[id] = blocker
            await trio.sleep(blocker.seconds)
            return 200, ""
        try:
            load = float(text)
        except ValueError:
            return 400, "load was not a double"
        if id not in self._blockers:
            return 302, ""
        blocker = self._blockers[id]
        self.stories[9].loads.append(load)
        if now < blocker.start + blocker.seconds:
            blocker.loads.append(load)
            return 302, ""
        if len(blocker.loads) < blocker.seconds - 1:
            return 400, "Not enough readings"
        if load > 0.3:
            return 302, f"Load was still too high: {load}"
        mean = sum(blocker.loads) / len(blocker.loads)
        if mean < 0.8:
            return 400, f"A CPU was not near fully loaded - mean load = {mean}"
        return RIGHT

    async def _scenario_11(self, query: Query) -> Answer:
        """The third racer is answered, and the others are dropped."""
        with self._crowds[11].join() as (number, third_came):
            if number == 3:
                third_came.give(None)
                return RIGHT
            await third_came.wait()
            raise Drop(reset=False)


async def never() -> NoReturn:
    """Wait until the client hangs up."""
    await trio.sleep_forever()
    raise AssertionError


async def serve(judge: Judge, stream: trio.SocketStream) -> None:
    """Serve one connection: one request, and then nothing until the client hangs up."""
    http = h11.Connection(h11.SERVER)
    try:
        async with stream:
            while not isinstance(event := http.next_event(), h11.Request):
                if isinstance(event, h11.ConnectionClosed):
                    return
                http.receive_data(await stream.receive_some(4096))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel_when_closed, stream, nursery.cancel_scope)
                try:
                    status, body = await judge.answer(event.target.decode())
                except Drop as drop:
                    if drop.reset:
                        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    nursery.cancel_scope.cancel()
                else:
                    await stream.send_all(written(http, status, body.encode()))
    except trio.BrokenResourceError:
        pass


async def cancel_when_closed(stream: trio.SocketStream, scope: trio.CancelScope) -> None:
    """Cancel `scope` when the client hangs up."""
    try:
        while await stream.receive_some(4096):
            pass
    except trio.BrokenResourceError:
        pass
    scope.cancel()


def written(http: h11.Connection, status: int, body: bytes) -> bytes:
    """Return the bytes of a response: in chunks if it is a success, otherwise with a length."""
    headers = [("CONTENT-TYPE", "text/plain")]
    if status != 200:
        headers.append(("CONTENT-LENGTH", str(len(body))))
    half = len(body) // 2
    events = (
        h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase),
        h11.Data(data=body[:half]),
        h11.Data(data=body[half:]),
        h11.EndOfMessage(),
    )
    return b"".join(http.send(event) or b"" for event in events)


async def main(backlog: int | None, blocking: int | None) -> None:
    """Serve until this process is killed."""
    judge = Judge(blocking)
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=backlog)
    print(listener.socket.getsockname()[1], flush=True)  # noqa: T201 - whoever started us reads it
    await trio.serve_listeners(partial(serve, judge), [listener])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backlog", type=int)
    parser.add_argument("--blocking", type=int)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < CROWD + 200:
        sys.exit(f"scenario 3 needs {CROWD + 200} open files, but the hard limit (ulimit -Hn) is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (CROWD + 200, hard))
    gc.disable()  # collecting garbage among so many connections takes longer than serving them
    trio.run(main, arguments.backlog, arguments.blocking)
