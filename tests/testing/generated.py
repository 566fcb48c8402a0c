"""Small random programs, whose tasks share objects of all kinds; and all their possible outcomes."""

from __future__ import annotations

import itertools
import json
from random import Random
from typing import TYPE_CHECKING, Any

import trio

from trio_steps.testing import Probe, Report, enumerate_schedules

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

GLOBALS = {"n": 0}
counter = 0

KINDS = (
    *("checks", "checks", "reads", "updates", "appends", "bumps", "counts_in_class", "counts_in_module", "counts"),
    *("sets_event", "waits_for_event", "locks", "sends", "receives", "receives_now", "keeps_to_itself", "takes_token"),
    *("starts_task", "sleeps", "cancels", "adds_to_set", "draws_number", "times_out", "opens_nursery", "enters_scope"),
)


class Box:
    """An object that tasks share."""

    count = 0

    def __init__(self) -> None:
        self.value = 0

    def bump(self) -> None:
        self.value += 1


class Shared:
    """Two objects of each kind."""

    def __init__(self, index: int) -> None:
        self.cell = {"v": 0}
        self.log: list[str] = []
        self.box = Box()
        self.event = trio.Event()
        self.lock = trio.Lock()
        self.semaphore = trio.Semaphore(1)
        self.send, self.receive = trio.open_memory_channel[str](1 - index)
        self.names: set[str] = set()
        self.numbers = itertools.count()
        self.scope = trio.CancelScope()


def plan_of(seed: int) -> list[list[tuple[str, int]]]:
    """Return the actions of each task, in order."""
    random = Random(seed).random
    tasks = 2 if random() < 0.7 else 3
    lengths = [1 + int(random() * (3 if tasks == 2 else 2)) for _ in range(tasks)]
    return [[(KINDS[int(random() * len(KINDS))], int(random() * 2)) for _ in range(length)] for length in lengths]


def deed(kind: str, shared: Shared, index: int, name: str, got: list[Any], nursery: trio.Nursery) -> Any:
    """Return a function that does one action, and reaches only the objects that it needs."""
    cell, log, box, event, lock, numbers = (
        shared.cell, shared.log, shared.box, shared.event, shared.lock, shared.numbers,
    )  # fmt: skip
    semaphore, send, receive, names, scope = (
        shared.semaphore, shared.send, shared.receive, shared.names, shared.scope,
    )  # fmt: skip

    async def checks() -> None:
        await trio.lowlevel.checkpoint()

    async def reads() -> None:
        got.append(cell["v"])

    async def updates() -> None:
        value = cell["v"]
        await trio.lowlevel.checkpoint()
        cell["v"] = value * 3 + len(name) + index

    async def appends() -> None:
        log.append(name)

    async def bumps() -> None:
        box.bump()
        got.append(box.value)

    async def counts_in_class() -> None:
        Box.count = Box.count * 2 + index + 1
        got.append(Box.count)

    async def counts_in_module() -> None:
        got.append(GLOBALS["n"])
        GLOBALS["n"] += index + 1

    async def counts() -> None:
        global counter
        counter = counter * 2 + len(got) + 1
        got.append(counter)

    async def sets_event() -> None:
        event.set()

    async def waits_for_event() -> None:
        await event.wait()

    async def locks() -> None:
        async with lock:
            value = cell["v"]
            await trio.lowlevel.checkpoint()
            cell["v"] = value + 1

    async def sends() -> None:
        await send.send(name)

    async def receives() -> None:
        got.append(await receive.receive())

    async def receives_now() -> None:
        try:
            got.append(receive.receive_nowait())
        except trio.WouldBlock:
            got.append("nothing")

    async def keeps_to_itself() -> None:
        got.append(len(got))
        await trio.lowlevel.checkpoint()

    async def takes_token() -> None:
        async with semaphore:
            got.append(semaphore.value)

    async def starts_task() -> None:
        nursery.start_soon(all_of, [bumps, checks][: 1 + index])

    async def sleeps() -> None:
        await trio.sleep(index)
        got.append(trio.current_time())

    async def cancels() -> None:
        scope.cancel()

    async def adds_to_set() -> None:
        names.add(name)
        got.append(len(names))

    async def draws_number() -> None:
        got.append(next(numbers))

    async def times_out() -> None:
        with trio.move_on_after(index):
            await trio.sleep(1)
        got.append(trio.current_time())

    async def opens_nursery() -> None:
        async with trio.open_nursery() as inner:
            inner.start_soon(bumps)
            inner.start_soon(keeps_to_itself)

    async def enters_scope() -> None:
        with trio.CancelScope() as own:
            await trio.lowlevel.checkpoint()
        got.append(own.cancelled_caught)

    return locals()[kind]


async def all_of(deeds: list[Callable[[], Awaitable[None]]]) -> None:
    with trio.move_on_after(50):
        for do in deeds:
            await do()


def outcomes(seed: int, **options: Any) -> tuple[Report, set[str]]:
    """Enumerate the program of that seed, and return the report and all outcomes."""
    plan = plan_of(seed)
    ends: set[str] = set()

    async def program(probe: Probe) -> None:
        global counter
        counter = GLOBALS["n"] = Box.count = 0
        shared = Shared(0), Shared(1)
        got: dict[str, list[Any]] = {}
        with trio.move_on_after(100):
            async with trio.open_nursery() as nursery:
                for name, deeds in zip("abc", plan, strict=False):
                    got[name] = []
                    nursery.start_soon(
                        all_of, [deed(kind, shared[index], index, name, got[name], nursery) for kind, index in deeds]
                    )
        states = [(one.cell, one.log, one.box.value, sorted(one.names), next(one.numbers)) for one in shared]
        ends.add(json.dumps([got, states, Box.count, GLOBALS["n"], counter]))

    return enumerate_schedules(program, **options), ends
