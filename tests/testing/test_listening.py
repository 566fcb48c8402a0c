"""How long a virtual clock listens to sockets, threads and processes before it goes on. No time passes here."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio

from trio_steps.testing import Probe, VirtualClock, run_once
from trio_steps.testing._machine import clock, conductor


@pytest.mark.parametrize(
    ("what", "deadline", "listened", "wait"),
    [
        ("socket", math.inf, 0, 0.05),
        ("socket", math.inf, 19, 0.05),
        ("socket", math.inf, 20, None),
        ("socket", 5.0, 0, 0.05),
        ("socket", 5.0, 1, None),
        ("thread", 5.0, 10**6, 0.05),
        ("process", 5.0, 10**6, 0.05),
        ("idle", 5.0, 10**6, math.inf),
        ("asking", 5.0, 0, None),
        (None, math.inf, 0, None),
    ],
)
def test_sockets_are_listened_to_once_before_a_deadline_and_twenty_times_before_a_deadlock(
    what: str | None, deadline: float, listened: int, wait: float | None
) -> None:
    text = None if what is None else "".join(what)  # any that is equal
    assert clock.listen(text, deadline, listened) == wait


@pytest.mark.parametrize(
    ("kind", "run"),
    [
        (VirtualClock, lambda program: trio.run(program, None, clock=VirtualClock())),
        (conductor.Conductor, run_once),
    ],
    ids=["VirtualClock", "run_once"],
)
def test_trio_does_not_sleep_when_virtual_time_passes(monkeypatch: pytest.MonkeyPatch, kind: Any, run: Any) -> None:
    waits: set[float] = set()
    asked = kind.deadline_to_sleep_time

    def watched(self: Any, deadline: float) -> float:
        wait: float = asked(self, deadline)
        waits.add(wait)
        return wait

    async def sleeps(probe: Any) -> None:
        await trio.sleep(1)

    monkeypatch.setattr(kind, "deadline_to_sleep_time", watched)
    run(sleeps)
    assert waits == {0.0}


SLEEPS, THREAD, SYSTEM, SOCKET, PROCESS = "sleep", "to_thread_run_sync", "run_system", "wait_readable", "process"


@pytest.mark.parametrize(
    ("awaited", "others", "why"),
    [
        ([], [], None),
        ([SLEEPS], [], None),
        (["wait_woken"], [], None),
        ([SOCKET], [], "socket"),
        (["wait_writable"], [], "socket"),
        ([PROCESS], [], "process"),
        ([PROCESS, SOCKET], [], "process"),
        ([SOCKET, PROCESS], [], "socket"),
        ([THREAD], [], "thread"),
        ([SOCKET, THREAD], [], "thread"),
        ([f"{THREAD} run"], [], None),
        ([f"run {THREAD}"], [], "thread"),
        ([THREAD], [SYSTEM], "asking"),
        ([THREAD], [SYSTEM, SYSTEM], "asking"),
        ([THREAD, THREAD], [SYSTEM], "thread"),
        ([THREAD, THREAD], [SYSTEM, SYSTEM], "asking"),
        ([THREAD, SOCKET], [SYSTEM], "socket"),
        ([THREAD, "wait_all_tasks_blocked"], [], "idle"),
    ],
)
def test_clock_stands_still_while_somebody_outside_is_to_act(
    monkeypatch: pytest.MonkeyPatch, awaited: list[str], others: list[str], why: str | None
) -> None:
    """A task is here the names of the functions that it awaits."""
    monkeypatch.setattr(clock, "functions_awaited", str.split)
    monkeypatch.setattr(clock, "waits_for_process", lambda task: task == PROCESS)
    monkeypatch.setattr(clock, "_all_tasks", lambda: iter(others))
    tasks: Any = awaited
    assert clock.outside(tasks) == why


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many times it had been listened before, each time that it was asked whether to listen."""
    heard: list[int] = []
    listen = clock.listen

    def told(what: str | None, deadline: float, listened: int) -> float | None:
        if what == "socket":
            heard.append(listened)
        return listen(what, deadline, listened)

    monkeypatch.setattr(clock, "REAL_WAIT", 0.0)
    for module in (clock, conductor):
        monkeypatch.setattr(module, "listen", told)
    return heard


async def waits(times: int, seconds: float) -> None:
    one, other = trio.socket.socketpair()
    with one, other:
        for _ in range(times):
            with trio.move_on_after(seconds):
                await one.recv(1)


@pytest.mark.parametrize(
    ("times", "seconds", "expected"), [(2, 1, [0, 1, 0, 1]), (1, math.inf, list(range(21)))], ids=["timeout", "none"]
)
def test_run_listens_anew_each_time_that_time_has_passed(
    heard: list[int], times: int, seconds: float, expected: list[int]
) -> None:
    async def program(probe: Probe) -> None:
        await waits(times, seconds)

    run = run_once(program)
    assert [finding.invariant for finding in run.findings] == ["deadlock"] * (seconds == math.inf)
    assert heard == expected


def test_virtual_clock_listens_anew_each_time_that_time_has_passed(heard: list[int]) -> None:
    trio.run(waits, 2, 1.0, clock=VirtualClock())
    assert heard == [0, 1, 0, 1]


def test_virtual_clock_listens_anew_when_something_else_has_happened(heard: list[int]) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits, 1, 10)
            await trio.sleep(1)
            await trio.sleep(1)

    trio.run(main, clock=VirtualClock())
    assert heard == [0, 1] * 3


def test_virtual_clock_gives_up_on_a_socket_without_a_deadline(heard: list[int]) -> None:
    async def main() -> Any:
        await waits(1, math.inf)

    with pytest.raises(trio.TrioInternalError) as caught:
        trio.run(main, clock=VirtualClock())
    assert "DeadlockError('every task waits, and nothing can wake one" in repr(caught.value.__cause__)
    assert heard[:21] == list(range(21))
