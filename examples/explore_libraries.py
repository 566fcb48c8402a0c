"""Explore other people's code: small programs around parts of nine libraries for Trio, and what is found in them.

    python -m pip install aiometer==1.0.0 aioresult==1.3 anyio==4.16.0 httpcore==1.0.9 httpx==0.28.1 tenacity==9.2.1
    python -m pip install tricycle==0.4.1 trio-util==0.8.0 trio-websocket==0.12.2
    python examples/explore_libraries.py [RUNS]

Every program is an async function of a `Probe`, which also runs without the exploration. It looks at no library's
internals: it checks what should hold for every Trio program, and what it states itself.
"""
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import sys
from contextlib import aclosing, suppress
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import aiometer
import anyio
import httpcore
import httpx
import trio
import trio_util  # type: ignore[import-untyped]
import trio_websocket
from aioresult import ResultCapture, results_to_channel, wait_any
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_fixed
from tricycle import RWLock, open_service_nursery
from trio.testing import memory_stream_pair

from trio_steps.testing import Probe, explore

if TYPE_CHECKING:
    from collections.abc import Iterable

websocket: Final[Any] = trio_websocket  # it has no annotations
util: Final[Any] = trio_util  # it has no annotations


# trio-util


async def wait_for_any_of_two(probe: Probe) -> None:
    """Both arms of a wait_any close what they have opened."""

    async def use(name: str, seconds: float) -> None:
        async with probe.resource(name):
            await trio.sleep(seconds)

    await util.wait_any(lambda: use("quick", 1), lambda: use("slow", 2))


async def wait_for_a_value(_probe: Probe) -> list[int]:
    """Everybody who waits for a value of an AsyncValue sees it, though it changes again at once."""
    value = util.AsyncValue(0)
    seen: list[int] = []

    async def wait_for(number: int) -> None:
        seen.append(await util.AsyncValue.wait_value(value, number))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for, 1)
        nursery.start_soon(wait_for, 2)
        await trio.sleep(1)
        value.value = 1
        value.value = 2
    return sorted(seen)


async def leave_a_loop_over_events(_probe: Probe) -> None:
    """Leave an ``async for`` over a RepeatedEvent with ``return``: who closes its generator?"""
    event = util.RepeatedEvent()

    async def wait_for_one() -> None:
        async for _ in event.events():
            return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_one)
        await trio.sleep(1)
        event.set()


async def leave_a_loop_over_events_and_close(_probe: Probe) -> None:
    """The same, with its generator closed."""
    event = util.RepeatedEvent()

    async def wait_for_one() -> None:
        async with aclosing(event.events()) as events:
            async for _ in events:
                return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_one)
        await trio.sleep(1)
        event.set()


async def zip_with_a_timeout(probe: Probe) -> None:
    """Pair what two channels bring, with a time limit for each pair: is an item of an incomplete pair still there?"""
    sent: list[str] = []
    got: list[str] = []
    quick_send, quick = trio.open_memory_channel[str](0)
    slow_send, slow = trio.open_memory_channel[str](0)

    async def produce(name: str, pause: float, channel: trio.MemorySendChannel[str]) -> None:
        async with channel:
            for number in range(2):
                await trio.sleep(pause)
                with suppress(trio.BrokenResourceError):  # the loop below has ended
                    await channel.send(f"{name}{number}")
                    sent.append(f"{name}{number}")

    @probe.invariant
    def no_item_is_lost() -> None:
        assert sorted(got) == sorted(sent), f"{sorted(set(sent) - set(got))} were taken and never handed on"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce, "quick", 1, quick_send)
        nursery.start_soon(produce, "slow", 3, slow_send)
        async with quick, slow, aclosing(util.azip(quick, slow)) as pairs:
            async for pair in util.iter_move_on_after(2, pairs):
                got.extend(pair)


# aioresult


async def capture_results(probe: Probe) -> list[int]:
    """Results come in, whichever task is first."""

    async def compute(number: int) -> int:
        async with probe.resource(f"work-{number}"):
            await trio.sleep(number)
        return number * 10

    async with trio.open_nursery() as nursery:
        results = [ResultCapture.start_soon(nursery, compute, number) for number in (1, 2, 3)]
        first = await wait_any(results)
    assert first.is_done()
    return [result.result() for result in results]


async def send_results_to_a_channel(_probe: Probe) -> list[int]:
    """Every result comes through the channel, then it is closed."""

    async def compute(number: int) -> int:
        await trio.sleep(number)
        return number * 10

    send, receive = trio.open_memory_channel[ResultCapture[int]](0)
    async with trio.open_nursery() as nursery:
        results = [ResultCapture.start_soon(nursery, compute, number) for number in (1, 1, 2)]
        nursery.start_soon(results_to_channel, results, send)
        async with receive:
            return sorted([result.result() async for result in receive])


# tricycle


async def read_and_write(probe: Probe) -> None:
    """Two readers and two writers: no one reads or writes while somebody writes."""
    lock = RWLock(read_biased=False)
    inside: list[str] = []

    async def read() -> None:
        async with lock.read_locked():
            inside.append("read")
            assert "write" not in inside
            await trio.sleep(1)
            inside.remove("read")

    async def write() -> None:
        async with lock.write_locked():
            assert not inside
            inside.append("write")
            await trio.lowlevel.checkpoint()
            inside.remove("write")

    probe.invariant(lambda: not lock.locked())
    async with trio.open_nursery() as nursery:
        for function in (read, write, read, write):
            nursery.start_soon(function)


async def writer_gives_up(_probe: Probe) -> None:
    """A reader reads until a second one has come. A writer between the two waits for a while, then goes away."""
    lock = RWLock(read_biased=False)
    second = trio.Event()

    async def read_until_the_second_comes() -> None:
        async with lock.read_locked():
            await second.wait()

    async def write_or_give_up() -> None:
        with trio.move_on_after(2):
            async with lock.write_locked():
                pass

    async def read_second() -> None:
        async with lock.read_locked():
            second.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_until_the_second_comes)
        await trio.sleep(1)
        nursery.start_soon(write_or_give_up)
        await trio.sleep(0.5)
        nursery.start_soon(read_second)


async def serve_a_client(probe: Probe) -> str:
    """The service of a service nursery outlives its client, so the client can say goodbye."""
    send, receive = trio.open_memory_channel[str](0)
    heard = ""

    async def serve() -> None:
        nonlocal heard
        async with receive, probe.resource("service"):
            async for word in receive:
                heard += word

    @probe.invariant
    def the_client_said_goodbye() -> None:
        assert heard in ("goodbye", "hello, goodbye"), f"the service heard {heard!r}"

    async with open_service_nursery() as nursery:
        nursery.start_soon(serve)
        async with send:
            try:
                await send.send("hello, ")
                await trio.sleep(1)
            finally:
                with trio.CancelScope(shield=True):
                    await send.send("goodbye")
    return heard


# httpcore, and httpx


class MemoryStream(httpcore.AsyncNetworkStream):
    """A connection in memory, with the interface that httpcore needs."""

    def __init__(self, stream: trio.abc.Stream, probe: Probe) -> None:
        self._stream = stream
        self._resource = probe.resource("connection")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        """Wait for some bytes."""
        with trio.fail_after(float("inf") if timeout is None else timeout):
            return bytes(await self._stream.receive_some(max_bytes))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        """Send all of them."""
        if buffer:
            with trio.fail_after(float("inf") if timeout is None else timeout):
                await self._stream.send_all(buffer)

    async def aclose(self) -> None:
        """Close it; once is enough."""
        if not self._resource.closed:
            self._resource.close()
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Return nothing."""
        del info


class MemoryNetwork(httpcore.AsyncNetworkBackend):
    """A network whose only server answers "ok" to every request, after half a second."""

    def __init__(self, nursery: trio.Nursery, probe: Probe) -> None:
        self._nursery = nursery
        self._probe = probe

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the server, whatever its address."""
        del host, port, timeout, local_address, socket_options
        await trio.lowlevel.checkpoint()
        client, server = memory_stream_pair()
        self._nursery.start_soon(answer, server)
        return MemoryStream(client, self._probe)

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await trio.sleep(seconds)


async def answer(stream: trio.abc.Stream) -> None:
    """Answer requests until the client goes away."""
    async with stream:
        with suppress(trio.BrokenResourceError):
            while True:
                request = b""
                while b"\r\n\r\n" not in request:
                    received = await stream.receive_some()
                    if not received:
                        return
                    request += received
                await trio.sleep(0.5)
                await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


async def share_a_connection(probe: Probe) -> None:
    """Three requests over a pool of one connection. The second has a timeout."""
    async with trio.open_nursery() as servers:
        network = MemoryNetwork(servers, probe)
        async with httpcore.AsyncConnectionPool(network_backend=network, max_connections=1) as pool:

            async def hasty() -> None:
                with trio.move_on_after(10):
                    await pool.request("GET", "http://other/2")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(pool.request, "GET", "http://one/1")
                await trio.sleep(0.1)
                nursery.start_soon(hasty)
            await pool.request("GET", "http://one/3")
        servers.cancel_scope.cancel()


async def ask_an_application(probe: Probe) -> int:
    """A request to an ASGI application in the same process."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        del scope
        async with probe.resource("request"):
            await receive()
            await trio.sleep(1)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.get("/")).status_code


# anyio


async def send_with_a_timeout(probe: Probe) -> None:
    """A sender has a timeout: does it know whether the item was received?"""
    send, receive = anyio.create_memory_object_stream[str](0)
    sent: list[str] = []
    received: list[str] = []

    @probe.invariant
    def what_was_received_was_sent() -> None:
        assert set(received) <= set(sent), f"{received} was received, though the sender was told that it wasn't"

    async def sender() -> None:
        async with send:
            with trio.move_on_after(10):
                await send.send("item")
                sent.append("item")

    async def receiver() -> None:
        received.extend([item async for item in receive])

    with send, receive:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender)
            await trio.sleep(1)
            nursery.start_soon(receiver)


async def share_a_limiter(probe: Probe) -> None:
    """Three tasks at a limiter of two, one of them with a timeout."""
    limiter = probe.watch(anyio.CapacityLimiter(2))

    async def work(seconds: float) -> None:
        with trio.move_on_after(seconds):
            async with limiter, probe.resource("slot"):
                await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for seconds in (10, 20, 30):
            nursery.start_soon(work, seconds)


# aiometer


async def run_two_at_once(probe: Probe) -> list[int]:
    """Three jobs, two at a time, and their results in order."""

    async def job(number: int) -> int:
        async with probe.resource(f"job-{number}"):
            await trio.sleep(number)
        return number

    return await aiometer.run_all([partial(job, number) for number in (3, 1, 2)], max_at_once=2)


# tenacity


async def try_until_it_works(probe: Probe) -> str:
    """The third attempt works; each has a timeout of its own."""
    attempts = 0

    async def fetch() -> str:
        nonlocal attempts
        attempts += 1
        async with probe.resource("attempt"):
            with trio.fail_after(5):
                await trio.sleep(1)
        if attempts < 3:
            raise ConnectionError
        return "fetched"

    errors = retry_if_exception_type((ConnectionError, trio.TooSlowError))
    retrying = AsyncRetrying(
        sleep=trio.sleep, wait=wait_fixed(1), stop=stop_after_attempt(5), retry=errors, reraise=True
    )
    return await retrying(fetch)


# trio-websocket


async def echo_a_message(_probe: Probe) -> Any:
    """A message goes to a server and comes back, over a stream in memory."""
    client, server = memory_stream_pair()

    async def serve(nursery: trio.Nursery) -> None:
        request = await websocket.wrap_server_stream(nursery, server)
        connection = await request.accept()
        with suppress(websocket.ConnectionClosed):
            await connection.send_message(await connection.get_message())
            await connection.get_message()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, nursery)
        connection = await websocket.wrap_client_stream(nursery, client, "test", "/")
        async with connection:
            await connection.send_message("hello")
            echo = await connection.get_message()
        nursery.cancel_scope.cancel()
        return echo


PROGRAMS: Final = {
    "trio-util": (
        wait_for_any_of_two,
        wait_for_a_value,
        leave_a_loop_over_events,
        leave_a_loop_over_events_and_close,
        zip_with_a_timeout,
    ),
    "aioresult": (capture_results, send_results_to_a_channel),
    "httpcore": (share_a_connection,),
    "httpx": (ask_an_application,),
    "anyio": (send_with_a_timeout, share_a_limiter),
    "aiometer": (run_two_at_once,),
    "tenacity": (try_until_it_works,),
    "trio-websocket": (echo_a_message,),
    "tricycle": (read_and_write, writer_gives_up, serve_a_client),
}


def main() -> None:
    """Explore them all."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for library, programs in PROGRAMS.items():
        print(f"── {library} {version(library)} ──")
        for program in programs:
            print(explore(program, budget=runs))
            print()


if __name__ == "__main__":
    main()
