"""Other people's code, explored: small programs around parts of three Trio libraries, and what is found in them.

    python -m pip install aioresult tricycle trio-util
    python examples/explore_libraries.py [RUNS]

Every program is an async function of a `Probe`, runs by itself, and knows nothing of the exploration. A library is not
looked into: what is checked is what every Trio program should keep to, and what the program says must hold.
"""

from __future__ import annotations

import sys
from contextlib import aclosing, suppress
from importlib.metadata import version
from typing import Any, Final

import trio
import trio_util  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
from aioresult import ResultCapture, results_to_channel, wait_any
from tricycle import RWLock, open_service_nursery

from trio_steps.testing import Probe, explore

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
    """Two readers and two writers: nobody reads or writes while somebody writes."""
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


PROGRAMS: Final = {
    "trio-util": (
        wait_for_any_of_two,
        wait_for_a_value,
        leave_a_loop_over_events,
        leave_a_loop_over_events_and_close,
        zip_with_a_timeout,
    ),
    "aioresult": (capture_results, send_results_to_a_channel),
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
