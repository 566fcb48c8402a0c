"""Easy Racer: the public obstacle course for structured concurrency, all eleven scenarios.

    python examples/easyracer.py HOST PORT

The course is https://github.com/jamesward/easyracer. Its server judges from the other end of the socket: who
connected, who hung up, and when. The docstring of each scenario below is its sentence in the course's README. The last
third of this file, a small HTTP client on h11, is shared by all of them.

It prints ``scenario N: right`` or ``scenario N: wrong: …`` for each, and exits with 1 if one was not right.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import logging
import re
import socket
import sys
import time
import uuid
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, cast, final
from urllib.parse import quote

import h11
import trio

from trio_steps import ForkPartialError, Fulfilled, Rejected, fork, gather, race, settle, step

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Container, Iterator

ONLY_200: Final = (200,)
ANY_20X: Final = range(200, 300)
ANY_30X: Final = range(300, 400)


# The scenarios. A server that never answers must not hang us, so each is a step with a timeout.


@step(timeout=20)
async def scenario_1(course: Course) -> str:
    """Race 2 concurrent requests."""
    request = partial(course.get, "/1")
    return await race(request, request)


@step(timeout=20)
async def scenario_2(course: Course) -> str:
    """Race 2 concurrent requests, where one produces a connection error."""
    request = partial(course.get, "/2")
    return await race(request, request)


@step(timeout=60)
async def scenario_3(course: Course) -> str:
    """Race 10,000 concurrent requests."""
    allow_open_files(10_000)
    return await race([partial(course.get, "/3")] * 10_000)


@step(timeout=20)
async def scenario_4(course: Course) -> str:
    """Race 2 concurrent requests, but 1 of them has a timeout of 1 second."""
    request = partial(course.get, "/4")
    return await race(step(request, timeout=1), request)


@step(timeout=20)
async def scenario_5(course: Course) -> str:
    """Race 2 concurrent requests, where a response other than 200 is a loser."""
    request = partial(course.get, "/5")
    return await race(request, request)


@step(timeout=20)
async def scenario_6(course: Course) -> str:
    """Race 3 concurrent requests, where a response other than 200 is a loser."""
    request = partial(course.get, "/6")
    return await race(request, request, request)


@step(timeout=20)
async def scenario_7(course: Course) -> str:
    """Start a request, wait at least 3 seconds, then start a second one (hedging)."""
    request = partial(course.get, "/7")
    return await race(request, request, stagger=3.2)  # not 3: the judge's watch may start later than ours


@step(timeout=20)
async def scenario_8(course: Course) -> str:
    """Race 2 concurrent requests that use a resource, which other requests obtain and release."""

    async def use() -> str:
        async with resource(course) as id:
            return await course.get(f"/8?use={quote(id)}")

    return await race(use, use)


@step(timeout=20)
async def scenario_9(course: Course) -> str:
    """Make 10 concurrent requests, of which 5 return a letter; in the order of the responses they are the answer."""
    letters: list[str] = []

    async def letter() -> None:
        letters.append(await course.get("/9"))

    await fork("letters", mode="quorum", need=5, paths=[letter] * 10)()
    return "".join(letters)


@step(timeout=40)
async def scenario_10(course: Course) -> str:
    """Compute something heavy as long as a request is open, and report the process load meanwhile."""
    id = uuid.uuid4().hex

    async def connection() -> None:
        with suppress(ConnectionError):  # it does not matter how the connection closes
            await course.ask(f"/10?{id}")

    async def compute() -> None:
        await trio.to_thread.run_sync(hash_until_cancelled)

    async def compute_while_connected() -> None:
        await race(connection, compute)

    async def report() -> str:
        load = ProcessLoad()
        while True:
            reply = await course.ask(f"/10?{id}={await load.next():.3f}")
            if reply.status not in ANY_30X:
                return reply.body_if(ANY_20X) or "right"  # here the status is the answer

    _, answer = await gather(compute_while_connected, report)
    return answer


@step(timeout=20)
async def scenario_11(course: Course) -> str:
    """Race a request with another race of 2 requests."""
    request = partial(course.get, "/11")
    return await race(request, fork("other-race", mode="race", paths=[request, request]))


SCENARIOS: Final = (
    scenario_1,
    scenario_2,
    scenario_3,
    scenario_4,
    scenario_5,
    scenario_6,
    scenario_7,
    scenario_8,
    scenario_9,
    scenario_10,
    scenario_11,
)


async def run(host: str, port: int) -> bool:
    """Run the course at `host` and `port`, print how each scenario ends, and return whether all were right.

    Raises:
      OSError: there is no such host.
    """
    course = await Course.find(host, port)
    all_right = True
    for number, scenario in enumerate(SCENARIOS, 1):
        results = await settle(partial(scenario, course))
        match results[0]:
            case Fulfilled(value=answer) if re.search(r"\bright\b", answer):
                verdict = "right"
            case Fulfilled(value=answer):
                verdict = f"wrong: {answer[:100]!a}"
            case Rejected(error=error):
                verdict = f"wrong: {in_short(error)}"
        print(f"scenario {number}: {verdict}", flush=True)
        all_right = all_right and verdict == "right"
    return all_right


# What some of them need


@asynccontextmanager
async def resource(course: Course) -> AsyncGenerator[str, None]:
    """Obtain a resource, and release it at the end of the block, however the block ends.

    Both requests are shielded: a racer that loses in between still learns the id, and still releases it.
    """
    with trio.fail_after(5, shield=True):
        id = await course.get("/8?open", accept=ANY_20X)
    try:
        yield id
    finally:
        with trio.fail_after(5, shield=True):
            await course.get(f"/8?close={quote(id)}", accept=ANY_20X)


def hash_until_cancelled() -> NoReturn:
    """Keep a core busy, in a worker thread, until the task that waits for it is cancelled."""
    sha = hashlib.sha512()
    block = bytes(1 << 18)
    while True:
        sha.update(block)  # releases the GIL for a block of this size, so other threads can run
        trio.from_thread.check_cancelled()


@final
class ProcessLoad:
    """How busy this process is, measured every second."""

    def __init__(self) -> None:
        self._due = trio.current_time()
        self._wall, self._busy = time.perf_counter(), busy_seconds()

    async def next(self) -> float:
        """Wait for the next full second, and return for what part of the last one, 0 to 1, this process was busy.

        Seconds are counted from the start, so that slow answers don't add up: the judge counts the readings.
        """
        self._due += 1
        await trio.sleep_until(self._due)
        wall, busy = self._wall, self._busy
        self._wall, self._busy = time.perf_counter(), busy_seconds()
        return min(max((self._busy - busy) / (self._wall - wall), 0.0), 1.0)


def busy_seconds() -> float:
    """Return the CPU time of this process so far, plus the time for which it waited for a CPU.

    Waiting counts as load, as it does for ``uptime``: a machine that is busy with other things must not make us look
    idle. Only Linux reports it; elsewhere this is the CPU time alone.
    """
    waited = 0
    for thread in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError):  # a thread that has ended in the meantime
            waited += int(thread.read_text().split()[1])  # nanoseconds
    return time.process_time() + waited / 1e9


def allow_open_files(number: int) -> None:
    """Raise the limit of open files to `number` connections and a few files.

    Raises:
      OSError: the system does not allow it.
    """
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - there is none on Windows, and no such limit

        number += 200
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < number:
            raise OSError(f"this needs {number} open files, but the hard limit (ulimit -Hn) is {hard}")
        if soft != resource.RLIM_INFINITY and soft < number:
            resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def in_short(error: BaseException) -> str:
    """Put `error` in a line: what went wrong, not once per racer."""

    def leaves(error: BaseException) -> Iterator[str]:
        if isinstance(error, BaseExceptionGroup):
            for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
                yield from leaves(inner)
        else:
            yield f"{type(error).__name__}: {error}"

    different = list(dict.fromkeys(leaves(error)))
    return "; ".join(different[:3]) + ("; ..." if len(different) > 3 else "")


# HTTP: one GET a connection


class StatusError(Exception):
    """The response has a status that does not count as success here."""


class Reply(NamedTuple):
    """A response: its status, and its body as text without white space around it."""

    status: int
    body: str

    def body_if(self, accept: Container[int]) -> str:
        """Return the body.

        Raises:
          StatusError: the status is not one of `accept`.
        """
        if self.status not in accept:
            raise StatusError(f"{self.status} {self.body[:100]!a}")
        return self.body


class Course:
    """A course server, at one address.

    Args:
      host: as the user wrote it; goes into the Host header, with the port.
      port: the port.
      family: the address family of `address`.
      address: the address itself, resolved, port included.
    """

    def __init__(self, host: str, port: int, family: int, address: tuple[object, ...]) -> None:
        self._host = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._family = family
        self._address = address
        self._dialling = trio.CapacityLimiter(64)

    @classmethod
    async def find(cls, host: str, port: int) -> Course:
        """Resolve `host`; if it has several addresses, take the first that accepts a connection.

        Raises:
          OSError: there is no such host.
        """
        infos = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        courses = [cls(host, port, family, address) for family, _, _, _, address in infos]
        with suppress(ForkPartialError):  # no one accepts: then each scenario will say so
            if len(courses) > 1:
                return await race((course.reached for course in courses), stagger=0.25)
        return courses[0]

    async def reached(self) -> Course:
        """Return this course if a connection can be made."""
        await (await self._dial()).aclose()
        return self

    async def get(self, target: str, *, accept: Container[int] = ONLY_200) -> str:
        """GET `target` and return the body of the response.

        Raises:
          StatusError: the response's status is not one of `accept`.
          ConnectionError: there was no response, or not all of it.
          OSError: no connection could be made.
        """
        return (await self.ask(target)).body_if(accept)

    async def ask(self, target: str) -> Reply:
        """GET `target` and return the response, whatever its status.

        A cancelled racer hangs up, and ends when the server has hung up too, or takes too long, so that the server
        knows before the next scenario begins.

        Raises:
          ConnectionError: there was no response, or not all of it.
          OSError: no connection could be made.
        """
        stream = await self._dial()
        async with stream:
            try:
                return await self._exchange(stream, target)
            except (trio.BrokenResourceError, h11.RemoteProtocolError) as error:
                raise ConnectionError(f"GET {target}: {error}") from error
            except trio.Cancelled:
                with trio.move_on_after(1, shield=True), suppress(trio.BrokenResourceError):
                    await stream.send_eof()
                    while await stream.receive_some(4096):
                        pass
                raise

    async def _dial(self) -> trio.SocketStream:
        """Connect, straight to the one address.

        A server whose backlog is full does not answer, or refuses. The kernel would try again after a second, and then
        less and less often, which is too slow for 10,000 connections. So a few racers at a time try again soon, to use
        every free place. Every eighth time we wait longer, in case the server is far away.
        """
        refusals = 0
        patience = cycle((0.05,) * 7 + (1.6,))
        while True:
            async with self._dialling:
                dialled = trio.socket.socket(self._family, socket.SOCK_STREAM)
                try:
                    with trio.move_on_after(next(patience)):  # when it cancels connect(), that closes the socket
                        await dialled.connect(self._address)
                        return trio.SocketStream(dialled)
                    continue
                except OSError:
                    dialled.close()
                    refusals += 1
                    if refusals == 3:
                        raise
            await trio.sleep(refusals / 10)

    async def _exchange(self, stream: trio.SocketStream, target: str) -> Reply:
        http = h11.Connection(h11.CLIENT)
        request = h11.Request(
            method="GET",
            target=target,
            headers=[("Host", self._host), ("Accept", "*/*"), ("Connection", "close")],
        )
        await stream.send_all((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
        status, body = 0, bytearray()
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                data = await stream.receive_some(4096)
                if not (data or status):
                    raise ConnectionError(f"GET {target}: the server closed the connection without a response")
                http.receive_data(data)
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > 1 << 16:
                    raise ConnectionError(f"GET {target}: the response does not end")
            elif isinstance(event, h11.EndOfMessage):
                return Reply(status, body.decode(errors="replace").strip())


def main() -> int:
    """Run the course as the command line says, and return the exit status."""
    parser = argparse.ArgumentParser(description="Run the Easy Racer course, with trio_steps.")
    parser.add_argument("host", metavar="HOST", help="name or address of the course's server")
    parser.add_argument("port", metavar="PORT", type=port_number, help="its port")
    arguments = parser.parse_args()
    # a loser that fails while it is cancelled is expected here, and need not be logged
    logging.getLogger("trio_steps").setLevel(logging.ERROR)
    # looking for garbage among 10,000 racers again and again would take as long as their race
    gc.set_threshold(50_000, 50, 50)
    try:
        all_right = trio.run(run, arguments.host, arguments.port)
    except OSError as error:
        print(f"{arguments.host}: {error}", file=sys.stderr)
        return 1
    return 0 if all_right else 1


def port_number(text: str) -> int:
    """Return `text` as a port.

    Raises:
      ValueError: it is not a port.
    """
    port = int(text)
    if not 0 < port < 1 << 16:
        raise ValueError(text)
    return port


if __name__ == "__main__":
    sys.exit(main())
