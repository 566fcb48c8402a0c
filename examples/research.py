"""Six forks over real sockets: ask small services about a topic, and see who ran when, who won, and why.

Run it with ``python examples/research.py``; it takes two seconds and needs nothing but this machine. The first half is
what you would write. The second half is what you would already have: services, and a way to talk to them.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import shutil
import sys
import textwrap
from collections import deque

import trio

from trio_steps import ForkPartialError, Recorder, Retry, Step, fork, step

TOPIC = "quantum error correction"


def source(name: str) -> Step[[str], str]:
    """Return a step that asks the service `name` about the topic it is given."""

    async def ask(topic: str) -> str:
        return await request(name, topic)

    return step(ask, id=name)


# ---- The forks ----


async def race_of_mirrors(recorder: Recorder) -> str:
    """The first mirror to succeed wins; the others have stopped when the call returns."""
    fastest = fork(
        "fastest-mirror",
        mode="race",
        paths=[source("mirror-tokyo"), source("mirror-oslo"), source("mirror-lima")],
    )
    return await fastest.run(TOPIC, observers=[recorder])


async def all_or_an_error(recorder: Recorder) -> str:
    """One source fails, and the fork with it. The error says what succeeded and what was cancelled."""
    research = fork(
        "gather-research",
        mode="all",
        paths=[source("academic"), source("news"), source("social")],
        merge=", ".join,
    )
    try:
        return await research.run(TOPIC, observers=[recorder])
    except ForkPartialError as error:
        kept = [f"{result.step_id}: {result.value}" for result in error.succeeded]
        lost = [f"{result.step_id}: {result.kind} ({type(result.error).__name__})" for result in error.failed]
        return "\n".join(kept + lost)


async def settle_by_a_deadline(recorder: Recorder) -> str:
    """The same sources, but each ends in its own way, or at the deadline."""
    survey = fork(
        "survey",
        mode="settle",
        paths=[source("academic"), source("news"), source("social")],
        timeout=0.35,
    )
    results = await survey.run(TOPIC, observers=[recorder])
    return "\n".join(f"{result.step_id}: {result.value or repr(result.error)}" for result in results)


async def hedged_request(recorder: Recorder) -> str:
    """When a replica is slow, ask the next one too; whichever answers first wins."""
    hedged = fork(
        "hedged-request",
        mode="race",
        paths=[source("replica-1"), source("replica-2"), source("replica-3")],
        stagger=0.12,
    )
    return await hedged.run(TOPIC, observers=[recorder])


async def quorum_of_two(recorder: Recorder) -> str:
    """Two experts out of three have to answer. No one waits for the third."""
    fact_check = fork(
        "fact-check",
        mode="quorum",
        need=2,
        paths=[source("expert-1"), source("expert-2"), source("expert-3")],
    )
    return " and ".join(await fact_check.run(TOPIC, observers=[recorder]))


async def bounded_with_retries(recorder: Recorder) -> str:
    """Five archives, two at a time. A busy one is asked again."""
    patient = Retry(attempts=3, backoff="exponential", delay=0.05, on=ServiceError)
    crawl = fork(
        "crawl-archives",
        mode="all",
        paths=[step(source(f"archive-{number}"), retry=patient) for number in range(1, 6)],
        concurrency=2,
    )
    return " + ".join(await crawl.run(TOPIC, observers=[recorder]))


SCENES = {
    "race": race_of_mirrors,
    "all": all_or_an_error,
    "settle": settle_by_a_deadline,
    "race, with a stagger": hedged_request,
    "quorum": quorum_of_two,
    "all, two at a time": bounded_with_retries,
}


async def main() -> None:
    """Run the services, and one scene after another against them."""
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size((100, 24)).columns
    async with trio.open_nursery() as nursery:
        await start_services(nursery)
        for title, scene in SCENES.items():
            recorder = Recorder()
            print(f"── {title} ──\n{inspect.getdoc(scene)}\n")
            print(textwrap.indent(await scene(recorder), "→ "), end="\n\n")
            print(recorder.render(width=width, color=color), end="\n\n\n")
        nursery.cancel_scope.cancel("the show is over")


# ---- The protocol: send a topic, read the reply. ----


class ServiceError(Exception):
    """A service replied that it can't help."""


async def request(name: str, topic: str) -> str:
    """Ask the service `name` about `topic`."""
    async with await trio.open_tcp_stream("127.0.0.1", PORTS[name]) as stream:
        await stream.send_all(topic.encode())
        await stream.send_eof()
        reply = await read_all(stream)
    if reply.startswith("ERROR "):
        raise ServiceError(reply.removeprefix("ERROR "))
    return reply


async def read_all(stream: trio.SocketStream) -> str:
    """Read until the other end closes."""
    return b"".join([chunk async for chunk in stream]).decode()


# ---- The services: some are slow, some fail, some hang. ----


class Service:
    """Replies to each request after `delay` seconds: with its first reply, then the next, then always the last."""

    def __init__(self, delay: float, *replies: str) -> None:
        self.delay = delay
        self.replies = deque(replies)

    async def __call__(self, stream: trio.SocketStream) -> None:
        """Serve one connection."""
        await read_all(stream)
        await trio.sleep(self.delay)
        reply = self.replies.popleft() if len(self.replies) > 1 else self.replies[0]
        with contextlib.suppress(trio.BrokenResourceError):  # a path that was cancelled has hung up
            await stream.send_all(reply.encode())


SERVICES = {
    "mirror-tokyo": Service(0.30, "the page, from Tokyo"),
    "mirror-oslo": Service(0.18, "the page, from Oslo"),
    "mirror-lima": Service(0.06, "ERROR out of sync"),
    "academic": Service(0.12, "3 papers"),
    "news": Service(0.22, "ERROR over quota"),
    "social": Service(math.inf, "never sent"),
    "replica-1": Service(math.inf, "never sent"),
    "replica-2": Service(0.05, "the row, from replica 2"),
    "replica-3": Service(0.05, "the row, from replica 3"),
    "expert-1": Service(0.10, "yes"),
    "expert-2": Service(math.inf, "never sent"),
    "expert-3": Service(0.20, "yes"),
    "archive-1": Service(0.08, "12"),
    "archive-2": Service(0.05, "ERROR busy", "ERROR busy", "7"),
    "archive-3": Service(0.12, "9"),
    "archive-4": Service(0.06, "4"),
    "archive-5": Service(0.10, "10"),
}
PORTS: dict[str, int] = {}


async def start_services(nursery: trio.Nursery) -> None:
    """Start each service on a free port of this machine."""
    for name, service in SERVICES.items():
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, service, listeners)
        PORTS[name] = listeners[0].socket.getsockname()[1]


if __name__ == "__main__":
    trio.run(main)
